"""Whether a NaN in an argument reaches what is made of it, and nothing else."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.compare import Comparison, Run, counted
from jacobians.audit.findings import finding, first_on_small
from jacobians.audit.layer import Probe, Right, widened
from jacobians.audit.python import listed
from jacobians.audit.report import Finding
from jacobians.audit.reproduce import calls, script
from jacobians.evidence import exact

__all__ = ["not_a_number"]

Array = npt.NDArray[Any]

# Cause and cure.
SWALLOWED = (
    "Something replaces or skips it: np.nan_to_num, a maximum, a comparison or a test for zero.",
    "Multiply and add every number as it is.",
)
MULTIPLIED = (
    "Zeros of a dense matrix or of a transform are multiplied by it.",
    "Leave out products that the formula does not have.",
)


def not_a_number(run: Run) -> Iterator[Finding]:
    """Put one NaN into one argument after the other: it has to reach what is made of that entry, and nothing else.

    Parameters
    ----------
    run : Run
        The audit; nothing is said of results that are wrong already, or of transforms that mix all entries.

    Yields
    ------
    Finding
        One per result and array.
    """
    if run.layer.dtype not in exact.SIGNIFICAND:
        return
    probes = [run.layer.draw(case, run.seed) for case in run.layer.observed(run.cases)]
    mixing = set(run.subject.names) if run.inexact or _mixes(run, probes[0]) else set[str]()
    found: dict[tuple[str, str], Finding] = {}
    for probe in probes:
        for each in first_on_small(run, functools.partial(_spoiled, run, run.broken | mixing), probe):
            found.setdefault((each.about, each.title.partition(":")[0]), each)
    yield from found.values()


def _spoiled(run: Run, skipped: Collection[str], probe: Probe) -> Iterator[Finding]:
    letters = dict.fromkeys(letter for side in run.subject.functions for letter in run.subject.takes[side])
    for letter in letters:
        if not (reach := run.layer.reach(probe, letter)):
            continue
        given, masks = reach
        right = run.layer.right(probe)
        for side in run.subject.functions:
            if letter not in run.subject.takes[side]:
                continue
            for name, result in run.results(given, only=side).items():
                wanted, allowed = masks[name]
                if name in skipped or result.value is None or result.value.shape != wanted.shape:
                    continue
                found = np.isnan(widened(result.value))
                if np.any(wanted & ~found) or np.any(found & ~allowed):
                    spoiled = Right(np.where(wanted, np.nan, right[name].value), right[name].error)
                    yield _spread(run, Comparison(run.layer, given, name, result, spoiled), letter, wanted, allowed)


def _spread(run: Run, each: Comparison, letter: str, wanted: Array, allowed: Array) -> Finding:
    """Make the finding of a NaN that is not where it has to be, or is where it may not be."""
    found, side = np.isnan(each.got), run.subject.side(each.name)
    missing, beyond = int((wanted & ~found).sum()), int((found & ~allowed).sum())
    said = f"misses {counted(missing)}" if missing else f"reaches {counted(beyond)} that no product with it is in"
    wrong = (wanted & ~found) | (found & ~allowed)
    text = script(run, each.probe, [*calls(run, side), *_shown_masks(each.name, wanted, allowed)], (side,))
    title = f"is wrong for a NaN in {letter}: it {said}"
    because = (*(SWALLOWED if missing else MULTIPLIED), "nan")
    return finding(run, each, title, "not a number", because, text=text, at=wrong)


def _shown_masks(name: str, wanted: Array, allowed: Array) -> list[str]:
    """Return Python that prints where a result is NaN, and where it should be, of the entries that are judged."""
    judged = wanted | ~allowed
    if judged.all():
        return [f"print(np.isnan({name}))", f"print(np.array({listed(wanted)}))  # right"]
    lines = [f"judged = np.array({listed(judged)})", f"print(np.isnan({name}[judged]))"]
    return [*lines, f"print(np.array({listed(wanted[judged])}))  # right"]


def _mixes(run: Run, probe: Probe) -> bool:
    """Whether it transforms whole rows or planes, in a wider dtype whose errors are rounded away."""
    if not run.layer.transforms or run.layer.dtype not in {
        "float32",
        "float16",
    }:  # in bfloat16, a NaN may spread anyhow
        return False
    # In a transform, a NaN in one entry reaches what NaNs in all entries of a line through it reach.
    single = _reached(run, probe, {})
    # A line of several entries that is reduced to several entries.
    sizes = zip(probe.arrays["X"].shape[2:], probe.arrays["G"].shape[2:], strict=True)
    lines = [axis for axis, size in enumerate(sizes) if min(size) > 1]
    return any(
        bool(found.any()) and not found[:-1].any() and np.array_equal(found, single[name])
        for axis in lines
        for name, found in _reached(run, probe, {axis: slice(None)}).items()
    )


def _reached(run: Run, probe: Probe, line: Mapping[int, slice]) -> dict[str, Array]:
    """Where S and ∂l/∂X are NaN if the first entry of a plane of X and of G is, or a line from it."""
    X, G = probe.arrays["X"].copy(), probe.arrays["G"].copy()
    at = (-1, 0, *(line.get(axis, 0) for axis in range(X.ndim - 2)))
    X[at] = G[at] = np.nan
    results = run.results(probe.replaced(X=X, G=G))
    values = {name: results[name].value for name in ("S", "dX") if name in results}
    return {name: np.isnan(value) for name, value in values.items() if value is not None}
