"""More images than 8 or 16 bits count, or a block holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator

import numpy as np

from jacobians.audit import Finding
from jacobians.audit.entries import observation
from jacobians.audit.judge import FINE, kind
from jacobians.audit.probes import Case, Probe, expected, integers, large_batch
from jacobians.audit.reproduce import calls, script
from jacobians.audit.subject import Result, Subject
from jacobians.evidence import exact

__all__ = ["many_images"]

# One more than powers of two, where grids and offsets wrap; the last is more than 16 bits count.
COUNTS = tuple(2**k + 1 for k in range(17))
LARGE_BATCH = COUNTS[-1]
# Numbers of one image up to which so many of them are tried.
MOST_PER_IMAGE = 100


def many_images(subject: Subject, seed: int, inexact: Collection[str]) -> Iterator[Finding]:
    """Try more images than 16 bits count, with 1×1 everything.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    seed : int
        Of the audit.
    inexact : collection of str
        Results of fast algorithms: the bound on the rounding errors of so long sums tells nothing.

    Yields
    ------
    Finding
        One per result that is wrong, at the smallest of the counts 2^k + 1 that shows it.
    """
    case = large_batch(subject.options, LARGE_BATCH)
    if case is None or case.geometry.pixels + case.geometry.positions > MOST_PER_IMAGE:
        return
    largest = _large_probe(subject, case, seed)
    for name, result in _wrong(subject, largest).items():
        if name in inexact and result.value is not None:
            continue
        smaller = (_large_probe(subject, each, seed) for n in COUNTS if (each := large_batch(subject.options, n)))
        probe, wrong = next(
            ((each, found[name]) for each in smaller if name in (found := _wrong(subject, each))), (largest, result)
        )
        yield _finding(subject, name, probe, wrong)


def _wrong(subject: Subject, probe: Probe) -> dict[str, Result]:
    right, results = expected(probe), subject.results(probe)
    return {name: result for name, result in results.items() if kind(result, right[name], probe, name) not in FINE}


def _large_probe(subject: Subject, case: Case, seed: int) -> Probe:
    magnitude = exact.exact_magnitude(subject.options.dtype, case.terms)
    probe = integers(case, subject.options, max(magnitude, 1), np.random.default_rng(seed))
    if magnitude < 1:
        # Sums over so many images are not exact in this dtype: let the first and the last entry of G count.
        G = np.zeros_like(probe.G)
        G.reshape(-1)[[0, -1]] = 1
        probe = dataclasses.replace(probe, G=G)
    return probe


def _finding(subject: Subject, name: str, probe: Probe, result: Result) -> Finding:
    images, right = probe.case.images, expected(probe)[name]
    title = f"is wrong for {images} images{f': {result.raised}' if result.raised else ''}"
    return observation(
        name,
        title,
        "large batch",
        probe,
        _why(images),
        _code(subject, name, probe, result),
        got=result.value,
        right=right,
    )


def _code(subject: Subject, name: str, probe: Probe, result: Result) -> str:
    """Return Python that compares a mini-batch with its images, one at a time."""
    side = "forward" if name == "S" else "backward"
    lines, taken = calls(subject, side), subject.takes(side)
    if result.value is not None and result.value.shape != expected(probe)[name].shape:
        lines += [f"print({name}.shape)", f"print({expected(probe)[name].shape})  # right"]
    elif name in {"S", "dX"}:
        lines += [
            f"right = np.concatenate([{_one(taken, side, name, subject)} for m in range(len(X))])",
            f"print(np.flatnonzero(({name} != right).any(axis={tuple(range(1, probe.X.ndim))})))",
            "print(np.array([]))  # right: of no image",
        ]
    else:
        lines += [f"right = sum({_one(taken, side, name, subject)} for m in range(len(X)))"]
        lines += [f"print({name})", "print(right)  # right"]
    return script(subject, probe, lines, sides=(side,))


def _one(taken: str, side: str, name: str, subject: Subject) -> str:
    """Return Python that computes a result of image m alone."""
    given = ", ".join(f"{letter}[[m]]" if letter in "XG" else letter for letter in taken)
    gives = [each for each in subject.names if each != "S"]
    return f"{side}({given})" + (f"[{gives.index(name)}]" if side == "backward" else "")


def _why(count: int) -> tuple[str, str]:
    """Cause and cure by where it starts."""
    bits = next((bits for bits in (8, 16) if count in {2**bits + 1, 2 ** (bits - 1) + 1}), None)
    if bits:
        return f"A size or an offset is kept in {bits} bits.", "Count in 64 bits."
    return (
        "Images are taken in blocks, and those behind the first block, or in the last, are wrong.",
        "Let the last block hold what is left, and give every block its own offset.",
    )
