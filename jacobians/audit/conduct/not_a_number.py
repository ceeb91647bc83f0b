"""Whether a NaN in an argument reaches what is made of it, and nothing else."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.compare import Comparison, Run, counted
from jacobians.audit.findings import finding, first_on_small
from jacobians.audit.layer import Probe, Right
from jacobians.audit.python import listed
from jacobians.audit.report import Finding
from jacobians.audit.reproduce import calls
from jacobians.evidence import exact

__all__ = ["not_a_number"]

Array = npt.NDArray[Any]

SWALLOWED = (
    "The code replaces or skips the NaN, for example by np.nan_to_num, a maximum, a comparison or a test for zero.",
    "Multiply and add every number as it is.",
    "nan",
)
MULTIPLIED = (
    "The code multiplies the NaN by zeros of a dense matrix or of a transform.",
    "Leave out products that the formula does not have.",
    "nan",
)
# Of lower precisions than float64, in which transforms may be computed and their errors rounded away.
MIXED = {"float32", "float16"}


def not_a_number(run: Run) -> Iterator[Finding]:
    """Put one NaN into one argument after the other: it has to reach what is made of that entry, and nothing else."""
    if run.layer.dtype not in exact.SIGNIFICAND:
        return
    probes = [run.layer.draw(case, run.seed) for case in run.layer.observed(run.cases)]
    # Transforms mix all entries.
    mixing = set(run.subject.names) if run.inexact or _mixes(run, probes[0]) else set[str]()
    found: dict[tuple[str, str], Finding] = {}
    for probe in probes:
        for each in first_on_small(run, functools.partial(_spoiled, run, run.broken | mixing), probe):
            found.setdefault((each.about, each.title.partition(":")[0]), each)
    yield from found.values()


def _spoiled(run: Run, skipped: Collection[str], probe: Probe) -> Iterator[Finding]:
    right = run.layer.right(probe)
    letters = dict.fromkeys(letter for side in run.subject.functions for letter in run.subject.takes[side])
    for letter in letters:
        if not (reach := run.layer.reach(probe, letter)):
            continue
        given, masks = reach
        for side in run.subject.functions:
            results = run.results(given, only=side) if letter in run.subject.takes[side] else {}
            for name, result in results.items():
                wanted, allowed = masks[name]
                spoiled = Right(np.where(wanted, np.nan, right[name].value), right[name].error)
                strays = functools.partial(_strays, wanted, allowed)
                each = Comparison(run.layer, given, name, result, spoiled)
                each = run.settled(each, functools.partial(run.again, given, name), wrong=strays)
                if name not in skipped and strays(each):
                    yield _spread(run, each, letter, wanted, allowed)


def _strays(wanted: Array, allowed: Array, each: Comparison) -> bool:
    """Whether a NaN is not where it has to be, or is where it may not be."""
    if each.result.value is None or each.got.shape != wanted.shape:
        return False
    found = np.isnan(each.got)
    return bool(np.any(wanted & ~found) or np.any(found & ~allowed))


def _spread(run: Run, each: Comparison, letter: str, wanted: Array, allowed: Array) -> Finding:
    """Make the finding of a NaN that is not where it has to be, or is where it may not be."""
    found, judged = np.isnan(each.got), wanted | ~allowed
    missing, beyond = wanted & ~found, found & ~allowed
    said = f"does not reach {counted(int(missing.sum()))} that it should reach"
    if not missing.any():
        said = f"reaches {counted(int(beyond.sum()))} whose sums do not contain it"
    lines = calls(run, run.subject.side(each.name))
    lines += [f"judged = np.array({listed(judged)})", f"print(np.isnan({each.name}[judged]))"]
    lines.append(f"print(np.array({listed(wanted[judged])}))  # right")
    title = f"is wrong for a NaN in {letter}: the NaN {said}"
    because = SWALLOWED if missing.any() else MULTIPLIED
    return finding(run, each, title, "not a number", because, lines=lines, at=missing | beyond)


def _mixes(run: Run, probe: Probe) -> bool:
    """Whether it transforms whole rows or planes, in a wider dtype whose errors are rounded away."""
    if not run.layer.transforms or run.layer.dtype not in MIXED:
        return False
    # In a transform, a NaN in one entry reaches what NaNs in all entries of a line through it reach.
    single = _reached(run, probe, None)
    # A line of several entries that is reduced to several entries.
    sizes = zip(probe.arrays["X"].shape[2:], probe.arrays["G"].shape[2:], strict=True)
    return any(
        bool(found.any()) and not found[:-1].any() and np.array_equal(found, single[name])
        for axis, size in enumerate(sizes)
        if min(size) > 1
        for name, found in _reached(run, probe, axis).items()
    )


def _reached(run: Run, probe: Probe, line: int | None) -> dict[str, Array]:
    """Where S and ∂l/∂X are NaN if the first entry of a plane of X and of G is, or a line from it along an axis."""
    X, G = probe.arrays["X"].copy(), probe.arrays["G"].copy()
    at = (-1, 0, *(slice(None) if axis == line else 0 for axis in range(X.ndim - 2)))
    X[at] = G[at] = np.nan
    results = run.results(probe.replaced(X=X, G=G)).items()
    return {name: np.isnan(each.value) for name, each in results if name in {"S", "dX"} and each.value is not None}
