"""Zeros, fractions and real numbers: what integers as large as a dtype holds exactly cannot show."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import Finding, state
from jacobians.audit.added import UNLIKE, added, tells
from jacobians.audit.entries import observation
from jacobians.audit.judge import FINE, kind, rounding_bounds, slack
from jacobians.audit.probes import Case, Probe, dtype_of, expected, integers, reals
from jacobians.audit.reproduce import calls, code, script, shown_within
from jacobians.audit.subject import LABELS, Result, Subject
from jacobians.evidence import exact

__all__ = ["real_numbers", "small_numbers"]

Array = npt.NDArray[Any]

# Cause and cure.
ROUNDED = (
    "The numbers are converted to integers on the way, or the result is.",
    "Keep the dtype of the arrays in all buffers.",
)
DIGITS = (
    "Small digits are rounded off or added to: by np.round, a conversion to integers, or a constant.",
    "Keep the dtype of the arrays in all buffers, and add nothing.",
)
UNREAL = (
    "Small numbers or last digits are rounded off, replaced or added to.",
    "Multiply and add every number as it is, and keep the dtype of the arrays in all buffers.",
)
# Layers to try small numbers at, and what integers are multiplied by there: no product is subnormal in half precision.
FEW = 6
FRACTION = 2.0**-4


def small_numbers(subject: Subject, cases: Sequence[Case], seed: int, broken: Collection[str]) -> Iterator[Finding]:
    """Try zeros, and fractions: large integers hide what is added, and integers that they are rounded to integers.

    A fraction is an integer of at most 9 divided by a power of two, so that sums are as exact as those of integers.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    cases : sequence of Case
        The layers of the audit.
    seed : int
        Of the audit.
    broken : collection of str
        Results that are wrong already.

    Yields
    ------
    Finding
        One per result that is wrong.
    """
    dtype = subject.options.dtype
    if dtype_of(dtype).kind in "iu":
        return
    said = set(broken)
    few = cases[:: max(len(cases) // FEW, 1)]
    most = {case: min(9, exact.exact_magnitude(dtype, case.terms)) for case in few}
    drawn = [integers(case, subject.options, most[case], np.random.default_rng(seed)) for case in few]
    for whole in sorted(drawn, key=lambda each: not all(tells(each, name) for name in subject.names)):
        for finding in added(subject, {*subject.names} - said, whole, state.largest(cases)):
            said |= {name for name, label in LABELS.items() if label == finding.about}
            yield finding
    for whole in drawn:
        fractions = _scaled(whole, FRACTION)
        right = expected(fractions)
        for name, result in subject.results(fractions).items():
            if name not in said and kind(result, right[name], fractions, name) not in FINE:
                said.add(name)
                finding = _off(subject, name, fractions, result, right[name])
                yield state.once_only(subject, name, fractions, result, right[name], state.largest(cases)) or finding


def real_numbers(subject: Subject, cases: Sequence[Case], seed: int, broken: Collection[str]) -> Iterator[Finding]:
    """Try numbers with all digits and of very different sizes; results may be off by rounding errors.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    cases : sequence of Case
        The layers of the audit.
    seed : int
        Of the audit.
    broken : collection of str
        Results that are wrong already.

    Yields
    ------
    Finding
        One per result that is off by more.
    """
    if dtype_of(subject.options.dtype).kind in "iu":
        return
    said = set(broken)
    for case in cases[:: max(len(cases) // FEW, 1)]:
        probe = reals(case, subject.options, np.random.default_rng(seed))
        right, bounds, results = expected(probe), rounding_bounds(probe), subject.results(probe)
        for name, result in results.items():
            if name in said:
                continue
            bound = np.broadcast_to(np.maximum(bounds[name], slack(probe, name)), right[name].shape)
            if result.value is None or result.value.shape != right[name].shape:
                said.add(name)
                yield _off(subject, name, probe, result, right[name])
            elif not np.all(np.abs(result.value.astype(np.float64) - right[name]) <= bound):
                said.add(name)
                finding = _beyond(subject, name, probe, result.value, right[name], bound)
                yield state.once_only(subject, name, probe, result, right[name], state.largest(cases)) or finding


def _scaled(probe: Probe, factor: float) -> Probe:
    """Multiply all numbers so that every product is multiplied by the same; the bias too."""
    dtype = probe.X.dtype
    changed = {letter: (getattr(probe, letter).astype(np.float64) * factor).astype(dtype) for letter in "XFG"}
    return dataclasses.replace(probe, b=(probe.b.astype(np.float64) * factor**2).astype(dtype), **changed)


def _off(subject: Subject, name: str, probe: Probe, result: Result, right: Array) -> Finding:
    """Make the finding of a result that is not exactly the right one."""
    title, because = _why(result, right)
    text = code(subject, probe, name, right)
    return observation(name, title, "values", probe, because, text, got=result.value, right=right, anchor="small")


def _why(result: Result, right: Array) -> tuple[str, tuple[str, str]]:
    if result.value is None or result.value.shape != right.shape:
        said = result.raised or f"it has shape {np.asarray(result.value).shape}, not {right.shape}"
        return f"is wrong for fractions: {said}", UNLIKE
    got = np.asarray(result.value, np.float64)
    off = np.abs(got - right).max()
    if np.array_equal(got, np.rint(right)) or np.array_equal(got, np.trunc(right)):
        return "is rounded to integers", ROUNDED
    most = np.abs(right).max()
    return f"is wrong for fractions, by up to {off:.3g} of {most:.3g}; it is right for large integers", DIGITS


def _beyond(subject: Subject, name: str, probe: Probe, got: Array, right: Array, bound: Array) -> Finding:
    """Make the finding of a result that is farther from the right one than rounding takes any algorithm."""
    error = np.abs(got.astype(np.float64) - right)
    wrong = ~(error <= bound)
    at = np.unravel_index(np.argmax(np.where(wrong, error, 0)), error.shape)
    title = f"is wrong for real numbers: it is off by {error[at]:.3g} where rounding explains {bound[at]:.3g}"
    side = "forward" if name == "S" else "backward"
    lines = [*calls(subject, side), *shown_within(name, right, bound)]
    text = script(subject, probe, lines, sides=(side,))
    return observation(name, title, "values", probe, UNREAL, text, got=got, right=right, wrong=wrong, anchor="small")
