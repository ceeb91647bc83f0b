"""In what a result differs from the right one, and how far rounding may take it."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.probes import Probe, expected, scheme_of
from jacobians.audit.subject import Result
from jacobians.evidence import exact

__all__ = ["FACTORS", "FINE", "kind", "lower_than", "near_miss", "rounding_bounds", "slack", "widened"]

Array = npt.NDArray[Any]

# Kinds of results that are right.
FINE = {"nothing", "inexact"}
# Lower precisions that code is known to sum in, by the bits of their significand.
LOWER = (("float64", 53), ("float32", 24), ("TF32 or float16", 11), ("bfloat16", 8))
# Integers have more bits than any of these.
ALL = 64
# Inexact results are accepted where the bound tells right from wrong on a single draw, and more with every further one.
MOST_NEAR_MISSES = Fraction(3, 4)
# What results are made of.
FACTORS = {"S": ("X", "F"), "dX": ("G", "F"), "dF": ("G", "X"), "db": ("G",)}


def kind(result: Result, right: Array, probe: Probe, name: str) -> str:
    """Say in what a result differs.

    Parameters
    ----------
    result : Result
        What the code gave.
    right : ndarray
        What is right.
    probe : Probe
        For which numbers.
    name : str
        S, dX, dF or db.

    Returns
    -------
    str
        nothing; inexact, where the errors are within the rounding bound of any algorithm; else the kind of a finding.
    """
    value = result.value
    if value is None:
        return "exception"
    for what, differs in (("shape", value.shape != right.shape), ("dtype", value.dtype != probe.X.dtype)):
        if differs:
            return what
    got = widened(value)
    if np.array_equal(got, right):
        return "nothing"
    return _kind_of_error(got, right, probe, name)


def widened(array: Any) -> Array:
    """Return an array in a dtype that holds all of its numbers: int64 or float64."""
    found = np.asarray(array)
    return found.astype(np.int64 if found.dtype.kind in "iu" else np.float64)


def _kind_of_error(got: Array, right: Array, probe: Probe, name: str) -> str:
    if not np.all(np.isfinite(got)):
        return "not written"
    worst, scale = float(np.abs(got - right).max()), _norms(probe, name)
    if worst <= slack(probe, name):
        return "inexact"
    lower = [bits for _, bits in lower_than(str(probe.X.dtype))]
    rounded = any(worst <= _bound(bits, probe) * scale for bits in lower) and _is_rounded(got, right)
    return "precision" if rounded else "values"


def lower_than(dtype: str) -> list[tuple[str, int]]:
    """Return the precisions that are lower than that of a dtype, by the bits of their significand."""
    return [each for each in LOWER if each[1] < exact.SIGNIFICAND.get(dtype, ALL)]


def _bound(bits: int, probe: Probe) -> float:
    # Fast algorithms transform whole planes: each result is made of no more operations in sequence than there are
    # numbers in the padded image and the filter, and each loses at most u = 2^−bits of the product of the factors'
    # norms (Higham, Accuracy and Stability, ch. 24, has a logarithm in the place of this count).
    geometry = probe.geometry
    count = math.prod(geometry.padded) * geometry.planes_per_group + geometry.taps + probe.case.terms
    share = count * 2.0**-bits
    return share / (1 - share) if share < 1 else math.inf


def slack(probe: Probe, name: str) -> float:
    """Return the error up to which an inexact result is accepted: the rounding bound of fast algorithms.

    Parameters
    ----------
    probe : Probe
        The draw.
    name : str
        S, dX, dF or db.

    Returns
    -------
    float
        The bound of the promised precision where that tells right from wrong. In half precision it does not, being as
        large as the numbers; what is accepted there are the errors of code that sums in float32. 0 where neither does.
    """
    if probe.X.dtype.kind in "iu":
        return 0.0
    promised = exact.SIGNIFICAND[str(probe.X.dtype)]
    # By the largest norms that draws can have, so that what is inexact on one draw is not called wrong on the next.
    for bound in (_bound(bits, probe) for bits in (promised, exact.SIGNIFICAND["float32"])):
        if _near_miss(probe, name, bound * _largest_norms(probe, name)) <= MOST_NEAR_MISSES:
            return bound * _norms(probe, name)
    return 0.0


def rounding_bounds(probe: Probe) -> dict[str, Array]:
    """Bound the rounding errors of direct sums in the dtype, in any order, and of what they are held against.

    Parameters
    ----------
    probe : Probe
        The numbers.

    Returns
    -------
    dict of ndarray
        γ_N Σ|products| per entry of S, dX, dF and db (Higham, ch. 3); ∞ where N is too large for the dtype.
    """
    absolute: dict[str, Any] = {letter: np.abs(getattr(probe, letter).astype(np.float64)) for letter in "XFbG"}
    sizes = expected(dataclasses.replace(probe, **absolute))
    terms, dtype = probe.case.terms + 1, str(probe.X.dtype)
    if terms * 2.0 ** -exact.SIGNIFICAND[dtype] >= 1:
        return {name: np.full(size.shape, np.inf) for name, size in sizes.items()}
    return {name: exact.rounding_bound(size, terms, dtype, against="float64") for name, size in sizes.items()}


def near_miss(probe: Probe) -> Fraction:
    """Bound the probability that a wrong bilinear form is accepted as inexact on a draw like this one."""
    return max(_near_miss(probe, name, slack(probe, name)) for name in FACTORS)


def _near_miss(probe: Probe, name: str, bound: float) -> Fraction:
    scheme = scheme_of(probe.case, str(probe.X.dtype))
    if scheme is None or not math.isfinite(bound):
        return Fraction(1)
    return exact.miss_probability(*(getattr(scheme, letter) for letter in FACTORS[name]), slack=bound)


def _largest_norms(probe: Probe, name: str) -> float:
    scheme = scheme_of(probe.case, str(probe.X.dtype))
    if scheme is None:
        return math.inf
    drawn = (getattr(scheme, letter) for letter in FACTORS[name])
    largest: list[float] = [math.sqrt(each.entries) * each.magnitude for each in drawn]
    return math.prod(largest) + scheme.X.magnitude * scheme.F.magnitude


def _norms(probe: Probe, name: str) -> float:
    arrays = {"X": probe.X, "F": probe.F, "G": probe.G}
    lengths = [float(np.sqrt(np.sum(arrays[letter].astype(np.float64) ** 2))) for letter in FACTORS[name]]
    return math.prod(lengths) + float(np.abs(probe.b.astype(np.float64)).max())


def _is_rounded(got: Array, right: Array) -> bool:
    """Whether every entry is the right one but for its last digits, as no wrong formula is."""
    return bool(
        np.all(np.abs(got - right) <= 2.0**-4 * np.abs(right).max()) and np.all(np.sign(got) * np.sign(right) >= 0)
    )
