"""What is added to the products: every result is 0 where one of its factors is, but for the bias."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import Finding, state
from jacobians.audit.entries import observation, written
from jacobians.audit.judge import FACTORS, FINE, kind, widened
from jacobians.audit.probes import Case, Probe, expected
from jacobians.audit.reproduce import code
from jacobians.audit.subject import LABELS, Result, Subject
from jacobians.evidence import exact

__all__ = ["added", "tells"]

Array = npt.NDArray[Any]

CONSTANT = (
    "Something is added to the sums, such as a tolerance; next to large numbers it is rounded away.",
    "Add the products and the bias, and nothing else.",
)
UNLIKE = ("Their values decide.", "Compute with all numbers alike.")
# With so many digits every float64 is itself.
DIGITS = 17
# The argument that has the shape of a result, if that is linear in it: its multiples are what is added to losses.
OF_SHAPE = {"dX": "X", "dF": "F", "db": "b"}


def added(subject: Subject, names: Collection[str], probe: Probe, other: Case) -> Iterator[Finding]:
    """Find what is left of results where one of their factors is 0.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    names : collection of str
        Of S, dX, dF and db, those to look at.
    probe : Probe
        Numbers of which one argument after the other is set to 0, first all of them.
    other : Case
        Another layer, to tell what is kept between calls.

    Yields
    ------
    Finding
        One per result that is not 0 in one of these cases, S not the bias. Large sums hide a small term; here it is
        alone.
    """
    said: set[str] = set()
    for letters in ("XFbG", "G", "X", "F"):
        zeroed = dataclasses.replace(probe, **{letter: getattr(probe, letter) * 0 for letter in letters})
        right, results = expected(zeroed), subject.results(zeroed)
        for name in subject.names:
            its = name in names and name not in said and (letters in FACTORS[name] or len(letters) > 1)
            if its and kind(results[name], right[name], zeroed, name) not in FINE:
                said.add(name)
                kept = state.once_only(subject, name, zeroed, results[name], right[name], other)
                yield kept or _finding(subject, name, letters, zeroed, results[name], right[name])


def _finding(subject: Subject, name: str, letters: str, zeroed: Probe, result: Result, right: Array) -> Finding:
    title, because = _why(name, f"{letters} is" if len(letters) == 1 else "all numbers are", zeroed, result, right)
    shown: dict[str, Any] = {"got": result.value, "right": right, "anchor": "small"}
    return observation(name, title, "values", zeroed, because, code(subject, zeroed, name, right), **shown)


def _why(name: str, where: str, probe: Probe, result: Result, right: Array) -> tuple[str, tuple[str, str]]:
    got = result.value
    if got is None or got.shape != right.shape:
        said = result.raised or f"it has shape {np.asarray(got).shape}, not {right.shape}"
        return f"is wrong where {where} 0: {said}", UNLIKE
    off = widened(got) - right
    letter = OF_SHAPE.get(name, "")
    if letter and (factor := _multiple(off, getattr(probe, letter))):
        because = _decay(name, where, letter, factor)
        return f"is wrong: {written(factor)}·{letter} is added, as by a weight decay", because
    if np.any(right):
        return f"is not b where {where} 0, but off by up to {np.abs(off).max():.3g}", CONSTANT
    return f"is not 0 where {where} 0, but up to {np.abs(off).max():.3g}", CONSTANT


def _decay(name: str, where: str, letter: str, factor: float) -> tuple[str, str]:
    return (
        f"It is left where {where} 0: the gradient of {written(factor / 2)}·Σ{letter}².",
        f"Add it where the loss is made, or in the optimizer: {LABELS[name]} of a convolution has G in every product.",
    )


def tells(probe: Probe, name: str) -> bool:
    """Whether a multiple of what a result is the gradient of can be told; of one number everything is a multiple."""
    return _differ(getattr(probe, OF_SHAPE.get(name, "F")))


def _differ(A: Array) -> bool:
    return len(np.unique(np.abs(widened(A)))) > 1


def _multiple(off: Array, A: Array) -> float | None:
    """Return the shortest number that an argument was multiplied by, if that is what is there, up to rounding."""
    off, wide = off.ravel(), widened(A).ravel()
    if not _differ(A):
        return None
    at = np.argmax(np.abs(wide))
    # The factor holds the rounding of one product and of this division; every entry has that of its own product, and
    # of this one: four times u, of integers none.
    unit = 0.0 if A.dtype.kind in "iu" else float(exact.unit_roundoff(str(A.dtype)))
    for digits in range(1, DIGITS + 1):
        factor = float(f"{off[at] / wide[at]:.{digits}g}")
        if factor and np.all(np.abs(off - factor * wide) <= 4 * unit * np.abs(off)):
            return factor
    return None
