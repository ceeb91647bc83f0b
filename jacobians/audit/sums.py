"""What is right of a convolution, by the pixels of its explicit matrix, and how far rounding may take code from it."""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.cases import Case
from jacobians.audit.numbers import ConvolutionProbe, scheme_of
from jacobians.evidence import exact
from jacobians.geometry import Geometry

__all__ = ["FACTORS", "expected", "near_miss", "norms", "places", "rounding_bounds", "slack", "transform_bound"]

Array = npt.NDArray[Any]

# What results are made of.
FACTORS = {"S": ("X", "F"), "dX": ("G", "F"), "dF": ("G", "X"), "db": ("G",)}
# Inexact results are accepted where the bound tells right from wrong on a single draw, and more with every further one.
MOST_NEAR_MISSES = Fraction(3, 4)


@functools.lru_cache(maxsize=1)  # for the calls of both functions
def expected(probe: ConvolutionProbe, *, backward: bool = True) -> dict[str, Array]:
    """Compute what is right, by the explicit image matrix M_X^im of every group (L9), in float64 or int64."""
    # With vec(F_i) as column i of F and vec(G_i) as column i of G: S = M_X^im·F, ∂l/∂F = (M_X^im)ᵀ·G, and
    # ∂l/∂M_X^im = G·Fᵀ, of which ∂l/∂X at a pixel is the sum over the entries of M_X^im where that pixel stands.
    layer, images, groups = probe.geometry, probe.case.images, probe.geometry.groups
    wide = np.dtype(np.int64 if probe.X.dtype.kind in "iu" else np.float64)
    X, F, b, G = (each.astype(wide) for each in (probe.X, probe.F, probe.b, probe.G))
    table, taps = places(layer), layer.taps
    # By group and image, and 0 where padding is read.
    pixels = np.zeros((groups, images, 1 + layer.pixels // groups), wide)
    pixels[:, :, 1:] = X.reshape(images, groups, -1).swapaxes(0, 1)
    M, filters = pixels.take(table, axis=2).reshape(groups, -1, taps), F.reshape(groups, -1, taps)
    S = (filters @ M.swapaxes(1, 2)).reshape(layer.responses[0], images, *layer.responses[1:]).swapaxes(0, 1)
    result = {"S": S + b.reshape(1, -1, *(1,) * layer.spatial_ndim)}
    if backward:
        g = G.swapaxes(0, 1).reshape(groups, layer.filters_per_group, -1)
        sums = np.zeros_like(pixels)
        starts = np.arange(0, sums.size, sums.shape[-1]).reshape(-1, 1, 1)
        np.add.at(sums.reshape(-1), (starts + table).ravel(), (g.swapaxes(1, 2) @ filters).ravel())
        result["dX"] = sums[:, :, 1:].swapaxes(0, 1).reshape(X.shape)
        result["dF"] = (g @ M).reshape(F.shape)
        result["db"] = g.sum(axis=2).ravel()
    return result


@functools.lru_cache(maxsize=256)
def places(layer: Geometry) -> Array:
    """Number the pixels of one group 1, 2, 3, …: which of them stands where in M_X^im, 0 for padding."""
    return layer.pixel_table() + 1


def transform_bound(bits: int, case: Case) -> float:
    """Bound the error of any algorithm in a precision of so many bits, relative to the product of norms."""
    # Fast algorithms transform whole planes: each result is made of no more operations in sequence than there are
    # numbers in the padded image and the filter, and each loses at most u = 2^−bits of the product of the factors'
    # norms (Higham, Accuracy and Stability, ch. 24, has a logarithm in the place of this count).
    geometry = case.geometry
    count = math.prod(geometry.padded) * geometry.planes_per_group + geometry.taps + case.terms
    share = count * 2.0**-bits
    return share / (1 - share) if share < 1 else math.inf


def slack(probe: ConvolutionProbe, name: str) -> float:
    """Return the error up to which an inexact result is accepted: the rounding bound of fast algorithms."""
    if probe.dtype.kind in "iu":
        return 0.0
    return _relative_slack(probe.case, str(probe.dtype), name) * norms(probe, name)


@functools.lru_cache(maxsize=4096)
def _relative_slack(case: Case, dtype: str, name: str) -> float:
    """Return the same relative to the product of norms."""
    # In half precision the bound is as large as the numbers: accepted are the errors of code that sums in float32.
    # By the largest norms that draws can have, so that what is inexact on one draw is not called wrong on the next.
    for bound in (transform_bound(bits, case) for bits in (exact.SIGNIFICAND[dtype], exact.SIGNIFICAND["float32"])):
        if _near_miss(case, dtype, name, bound * _largest_norms(case, dtype, name)) <= MOST_NEAR_MISSES:
            return bound
    return 0.0


def rounding_bounds(probe: ConvolutionProbe) -> dict[str, Array]:
    """Bound the errors of direct sums and of what they are held against: γ_N Σ|products| (Higham, ch. 3)."""
    absolute: dict[str, Any] = {letter: np.abs(probe.arrays[letter].astype(np.float64)) for letter in "XFbG"}
    sizes = expected(probe.replaced(**absolute))
    terms, dtype = probe.case.terms + 1, str(probe.dtype)
    if terms * 2.0 ** -exact.SIGNIFICAND[dtype] >= 1:
        return {name: np.full(size.shape, np.inf) for name, size in sizes.items()}
    return {name: exact.rounding_bound(size, terms, dtype, against="float64") for name, size in sizes.items()}


def near_miss(probe: ConvolutionProbe) -> Fraction:
    """Bound the probability that a wrong bilinear form is accepted as inexact on a draw like this one."""
    return max(_near_miss(probe.case, str(probe.dtype), name, slack(probe, name)) for name in FACTORS)


def _near_miss(case: Case, dtype: str, name: str, bound: float) -> Fraction:
    scheme = scheme_of(case, dtype)
    if scheme is None or not math.isfinite(bound):
        return Fraction(1)
    return exact.miss_probability(*(getattr(scheme, letter) for letter in FACTORS[name]), slack=bound)


def _largest_norms(case: Case, dtype: str, name: str) -> float:
    scheme = scheme_of(case, dtype)
    if scheme is None:
        return math.inf
    drawn = (getattr(scheme, letter) for letter in FACTORS[name])
    largest: list[float] = [math.sqrt(each.entries) * each.magnitude for each in drawn]
    return math.prod(largest) + scheme.X.magnitude * scheme.F.magnitude


def norms(probe: ConvolutionProbe, name: str) -> float:
    """Multiply the norms of the arrays that a result is made of, and add the largest bias."""
    arrays = {"X": probe.X, "F": probe.F, "G": probe.G}
    lengths = [float(np.sqrt(np.sum(arrays[letter].astype(np.float64) ** 2))) for letter in FACTORS[name]]
    return math.prod(lengths) + float(np.abs(probe.b.astype(np.float64)).max())
