"""Which numbers an audit of a convolution draws: integers of which no sum rounds in the dtype, and real ones."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from jacobians.audit.cases import DTYPES, Case, Options
from jacobians.audit.layer import REAL, Probe
from jacobians.errors import ShapeError
from jacobians.evidence import exact
from jacobians.geometry import Geometry

__all__ = [
    "DTYPES",
    "MOST_DRAWS",
    "TARGET",
    "ConvolutionProbe",
    "Scheme",
    "draw",
    "drawn",
    "dtype_of",
    "integers",
    "miss_of",
    "reals",
    "scheme_of",
]

Array = npt.NDArray[Any]

# Probability with which a wrong bilinear form may pass at one layer.
TARGET = Fraction(1, 2**60)
# Draws after which a layer is left as it is.
MOST_DRAWS = 192
# Magnitude up to which other magnitudes are tried than the same for all arrays.
MOST_UNBALANCED = 6


@dataclasses.dataclass(frozen=True, eq=False)
class ConvolutionProbe(Probe):
    """X (N, d, *spatial), F (n, d/groups, *taps), b (n,) and G (N, n, *out) for one layer."""

    @property
    def geometry(self) -> Geometry:
        """The layer."""
        layer: Geometry = self.case.geometry
        return layer

    @property
    def X(self) -> Array:
        """The images."""
        return self.arrays["X"]

    @property
    def F(self) -> Array:
        """The filters."""
        return self.arrays["F"]

    @property
    def b(self) -> Array:
        """The bias."""
        return self.arrays["b"]

    @property
    def G(self) -> Array:
        """The upstream gradient."""
        return self.arrays["G"]


@dataclasses.dataclass(frozen=True)
class Scheme:
    """How X, F and G of one layer are drawn, so that no sum of their products rounds.

    Let L be `exact.exact_limit`, and let X, F and G have entries of magnitude at most x, f and g, F with p entries
    other than 0 per filter and G with q. The sums of |products|, which no partial sum exceeds, stay exact if

        S   : (p + 1)·x·f ≤ L                    for the bias is drawn as large as a product
        ∂l/∂F, ∂l/∂b : q·g·x ≤ L                 one filter's G meets one filter's gradient
        ∂l/∂X: n/g · min(k, p, q)·g·f ≤ L        of each filter, no more taps than one plane of it has

    p and q are all taps and all responses where L allows, which it does but in half precision. There a support is drawn
    for every filter, uniformly from those of its size, so that an entry is in it with probability ρ = p/taps or
    q/responses. `exact.miss_probability` bounds what a draw misses by ρ and the values that an entry can take; larger
    values on a smaller support are taken where that makes the bound smaller.
    """

    X: exact.Draw
    F: exact.Draw
    G: exact.Draw

    @property
    def caught(self) -> float:
        """Probability that one draw shows that a form is wrong, about."""
        x, f, g = (float(each.share) * (1 - 1 / each.left) for each in (self.X, self.F, self.G))
        return min(x * f, f * g, g * x)

    @property
    def miss(self) -> Fraction:
        """Probability that one draw misses that S, ∂l/∂X, ∂l/∂F or ∂l/∂b is a wrong form, at most."""
        pairs = ((self.X, self.F), (self.G, self.F), (self.G, self.X))
        return max(exact.miss_probability(*pair) for pair in pairs)


@functools.lru_cache(maxsize=4096)
def scheme_of(case: Case, dtype: str) -> Scheme | None:
    """Choose the magnitudes and supports with which one draw misses a wrong form least; None where no sum is exact."""
    limit = exact.exact_limit(dtype)
    balanced = max(math.isqrt(limit // case.terms), 1)
    # Of few values, one more for one array may be worth fewer for another; of many, it is not.
    tried = range(1, 2 * balanced + 2) if balanced <= MOST_UNBALANCED else (balanced,)
    found = [scheme for x, g in itertools.product(tried, repeat=2) if (scheme := _scheme(case, limit, x, g))]
    return max(found, key=lambda scheme: scheme.caught, default=None)


def _scheme(case: Case, limit: int, x: int, g: int) -> Scheme | None:
    """Complete these magnitudes of X and G by the largest supports, and by a magnitude of F."""
    geometry, taps = case.geometry, case.geometry.taps
    entries, filters = case.images * geometry.positions, geometry.filters[0]
    p, q = min(taps, limit // x - 1), min(entries, limit // (g * x))
    to_image = geometry.filters_per_group * min(math.prod(geometry.filters[2:]), p, q)
    # No larger than the others: wrong formulas with more terms, or a factor, are to be exact as well, to be told apart.
    f = min(limit // ((p + 1) * x), limit // (to_image * g), max(x, g))
    if f < 1:
        return None
    return Scheme(
        exact.Draw(x, case.images * geometry.pixels),
        exact.Draw(f, math.prod(geometry.filters), Fraction(p, taps)),
        exact.Draw(g, filters * entries, Fraction(q, entries)),
    )


@functools.lru_cache(maxsize=4)
def draw(case: Case, options: Options, seed: int, number: int = 0) -> ConvolutionProbe:
    """Draw integers for one layer of which no sum rounds in the dtype; draws of other numbers are independent."""
    # As large as that allows, so that code that sums in a lower precision than it promises, or clips, cannot hide.
    generator = np.random.default_rng((seed, case.numbers, number))
    return drawn(case, options, _needed_scheme(case, options.dtype), generator)


@functools.lru_cache(maxsize=4096)
def miss_of(case: Case, dtype: str) -> Fraction:
    """Return the probability that one draw misses that a bilinear form is a wrong one, at most (`Scheme.miss`)."""
    return _needed_scheme(case, dtype).miss


def _needed_scheme(case: Case, dtype: str) -> Scheme:
    scheme = scheme_of(case, dtype)
    if scheme is None:
        raise ShapeError(f"{case} has sums of {case.terms} terms, for which {dtype} has no exact integers")
    return scheme


def integers(case: Case, options: Options, magnitude: int, generator: np.random.Generator) -> ConvolutionProbe:
    """Draw integers of at most this magnitude for one layer, everywhere."""
    return drawn(case, options, Scheme(*(exact.Draw(magnitude, 1) for _ in "XFG")), generator)


def reals(case: Case, options: Options, generator: np.random.Generator) -> ConvolutionProbe:
    """Draw numbers with all digits of the dtype, of magnitudes from tiny to a few: no product is subnormal."""
    probe = integers(case, options, 1, generator)
    half = options.dtype in {"float16", "bfloat16"}

    def draw_like(A: Array) -> Array:
        size = generator.uniform(1, 2, A.shape) * 2.0 ** generator.integers(-4 if half else -40, 2, A.shape)
        return np.asarray(size * generator.choice([-1, 1], A.shape)).astype(A.dtype)

    arrays = {letter: draw_like(probe.arrays[letter]) for letter in ("XFbG" if options.bias else "XFG")}
    return ConvolutionProbe(case, {**probe.arrays, **arrays}, REAL)


def drawn(case: Case, options: Options, scheme: Scheme, generator: np.random.Generator) -> ConvolutionProbe:
    """Draw integers for one layer as a scheme says."""
    # A bias is one of the terms of a sum: as large as a product, so that it cannot drown in the products.
    bias = scheme.X.magnitude * scheme.F.magnitude
    sizes = {"X": scheme.X.magnitude, "F": scheme.F.magnitude, "b": bias, "G": scheme.G.magnitude}
    arrays = {
        letter: exact.draw_integers(generator, shape, sizes[letter], dtype_of(options.dtype))
        for letter, shape in case.shapes.items()
    }
    _keep_support(arrays["F"], scheme.F.share, generator)
    _keep_support(arrays["G"].swapaxes(0, 1), scheme.G.share, generator)
    if not options.bias:
        arrays["b"] *= 0
    return ConvolutionProbe(case, arrays)


def _keep_support(by_filter: Array, share: Fraction, generator: np.random.Generator) -> None:
    """Set all to 0 but a random support of this share of the entries of each filter."""
    if share < 1:
        kept = np.arange(by_filter[0].size) < share * by_filter[0].size
        by_filter *= generator.permuted(np.tile(kept, (len(by_filter), 1)), axis=1).reshape(by_filter.shape)


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the dtype of a name, bfloat16 among them."""
    kind: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    return kind
