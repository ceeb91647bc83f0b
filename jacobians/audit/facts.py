"""What is known of wrong numbers that no theory explains."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.probes import Probe
from jacobians.audit.subject import Subject

if TYPE_CHECKING:
    from jacobians.audit.run import Comparison

__all__ = ["facts", "wholes"]

Array = npt.NDArray[Any]
AXES = {
    "S": ("images", "filters", "rows", "columns"),
    "dX": ("images", "planes", "rows", "columns"),
    "dF": ("filters", "planes", "tap rows", "tap columns"),
    "db": ("filters",),
}


def facts(subject: Subject, name: str, failed: Sequence[Comparison]) -> list[str]:
    """Say what is known: linear or not, a multiple, a permutation, a shift, which indices, since which size.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    name : str
        S, dX, dF or db.
    failed : sequence of Comparison
        Where it is wrong, smallest layer first.

    Returns
    -------
    list of str
        One fact a line.
    """
    pairs = [
        (np.asarray(each.result.value, np.float64), each.right.astype(np.float64))
        for each in failed
        if each.result.value is not None
    ]
    found = [*_linear(subject, name, failed[0].probe), *wholes(pairs), *_indices(name, pairs)]
    sizes = sorted({max(each.probe.geometry.image[1:]) for each in failed})
    if sizes and sizes[0] > 3:
        found.append(f"it is right for images up to {sizes[0] - 1} wide and high, wrong from {sizes[0]} on")
    return found


def _linear(subject: Subject, name: str, probe: Probe) -> Iterator[str]:
    letters = {"S": "XF", "dX": "GF", "dF": "GX", "db": "G"}[name]
    once = subject.results(probe)[name].value
    for letter in letters:
        given = {each: getattr(probe, each) for each in "XFbG"}
        given["b"] = given["b"] * 0
        plain = subject.results(Probe(probe.case, given["X"], given["F"], given["b"], given["G"]))[name].value
        given[letter] = given[letter] * -1
        turned = subject.results(Probe(probe.case, given["X"], given["F"], given["b"], given["G"]))[name].value
        if once is None or plain is None or turned is None:
            return
        if not np.array_equal(np.asarray(turned, np.float64), -np.asarray(plain, np.float64)):
            yield f"it is not linear in {letter}: −{letter} does not give −{name}"


def wholes(pairs: Sequence[tuple[Array, Array]]) -> Iterator[str]:
    """Compare results with the right ones as wholes: a multiple, a permutation, a shift."""
    ratios = {
        float(ratio)
        for got, right in pairs
        for ratio in (got[right != 0] / right[right != 0] if np.array_equal(got == 0, right == 0) else [np.nan])
    }
    if len(ratios) == 1 and not np.isnan(next(iter(ratios))):
        yield f"it is {next(iter(ratios)):g} times the right one everywhere"
    if all(np.array_equal(np.sort(got, None), np.sort(right, None)) for got, right in pairs):
        yield "it holds the right numbers in other places: a permutation"
    shift = _shift(pairs)
    if shift:
        yield f"it is the right result shifted by {shift} along its spatial axes"


def _shift(pairs: Sequence[tuple[Array, Array]]) -> tuple[int, ...] | None:
    if any(got.ndim < 3 for got, _ in pairs):
        return None
    axes = tuple(range(2, pairs[0][0].ndim))
    large = [(got, right) for got, right in pairs if min(got.shape[2:]) > 1]
    if not large:
        return None
    for steps in itertools.product(range(-2, 3), repeat=len(axes)):
        if any(steps) and all(_overlaps(got, right, steps) for got, right in large):
            return steps
    return None


def _overlaps(got: Array, right: Array, steps: Sequence[int]) -> bool:
    """Whether `got` moved back by these steps is `right`, wherever both have entries."""
    sizes = got.shape[2:]
    if any(abs(step) >= size for step, size in zip(steps, sizes, strict=True)):
        return False
    there: tuple[Any, ...] = tuple(
        slice(max(step, 0), size + min(step, 0)) for step, size in zip(steps, sizes, strict=True)
    )
    here: tuple[Any, ...] = tuple(
        slice(max(-step, 0), size + min(-step, 0)) for step, size in zip(steps, sizes, strict=True)
    )
    return np.array_equal(got[(..., *there)], right[(..., *here)])


def _indices(name: str, pairs: Sequence[tuple[Array, Array]]) -> Iterator[str]:
    got, right = pairs[-1]
    wrong = got != right
    labels = (
        AXES[name] if got.ndim <= len(AXES[name]) else (*AXES[name][:2], *(f"axis {k}" for k in range(got.ndim - 2)))
    )
    for axis, label in enumerate(labels[: got.ndim]):
        others = tuple(k for k in range(got.ndim) if k != axis)
        bad = np.flatnonzero(wrong.any(axis=others))
        if len(bad) < wrong.shape[axis]:
            yield f"at the largest layer only {label} {_ranges(bad.tolist())} of 0 … {wrong.shape[axis] - 1} are wrong"
    yield f"at the largest layer {int(wrong.sum())} of {wrong.size} entries are wrong"


def _ranges(numbers: list[int]) -> str:
    """Write ascending numbers as ranges: 0, 3 … 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = [str(run[0]) if len(run) == 1 else f"{run[0]} … {run[-1]}" for run in runs[:5]]
    return ", ".join(shown) + (", …" if len(runs) > 5 else "")
