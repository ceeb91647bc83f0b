"""Which layers and which numbers an audit tries, and why those.

One configuration never suffices: a tail hides errors in the last column, a square image hides exchanged axes, a stride
of 1 hides the spread of the upstream gradient. The options are what the code under audit was fixed to; the sizes are
chosen here so that every circumstance in which convolution code is known to fail comes up, small enough for slow code.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians import matrices
from jacobians.errors import ShapeError, nearest
from jacobians.evidence import exact
from jacobians.geometry import Geometry

__all__ = [
    "Case",
    "Options",
    "Probe",
    "Scheme",
    "affordable",
    "check_dtype",
    "curriculum",
    "draw",
    "drawn",
    "expected",
    "integers",
    "miss_of",
    "places",
    "reals",
    "scheme_of",
]

Array = npt.NDArray[Any]

DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32")
# Probability with which a wrong bilinear form may pass at one layer.
TARGET = Fraction(1, 2**60)
# Draws after which a layer is left as it is.
MOST_DRAWS = 192
# Numbers and products in one call at each layer and for each draw, of all layers together: some ten seconds.
MOST_WORK = 100_000_000
# Magnitude up to which other magnitudes are tried than the same for all arrays.
MOST_UNBALANCED = 6
# Images, planes and filters per group, then taps, responses and tail on the first axis, the axes between and the last.
SHAPES: tuple[tuple[int, int, int, tuple[int, ...], tuple[int, ...], tuple[int, ...]], ...] = (
    (1, 1, 1, (1, 1, 1), (1, 1, 2), (0, 0, 0)),
    (1, 1, 1, (1, 1, 2), (1, 1, 1), (0, 0, 0)),
    (1, 1, 1, (2, 1, 1), (2, 1, 1), (0, 0, 0)),
    (1, 1, 1, (1, 1, 2), (1, 1, 2), (0, 0, 0)),
    (1, 1, 1, (2, 1, 3), (2, 1, 3), (0, 0, 0)),
    (1, 1, 1, (3, 2, 2), (2, 2, 3), (1, 0, 0)),
    (1, 1, 1, (2, 2, 3), (3, 1, 2), (0, 0, 1)),
    (1, 1, 1, (2, 1, 3), (2, 2, 1), (2, 1, 0)),
    (1, 1, 1, (3, 1, 2), (1, 2, 2), (0, 0, 2)),
    (1, 2, 1, (1, 1, 1), (1, 1, 1), (0, 0, 0)),
    (1, 1, 2, (1, 1, 1), (1, 1, 1), (0, 0, 0)),
    (2, 1, 1, (1, 1, 1), (1, 1, 2), (0, 0, 0)),
    (1, 2, 2, (1, 1, 1), (1, 1, 1), (0, 0, 0)),
    (1, 2, 1, (2, 1, 1), (2, 1, 3), (0, 0, 1)),
    (1, 1, 3, (1, 2, 2), (3, 1, 2), (1, 1, 0)),
    (2, 1, 1, (2, 2, 1), (1, 2, 3), (0, 0, 2)),
    (2, 2, 2, (3, 2, 2), (2, 1, 3), (1, 0, 1)),
    (3, 2, 3, (2, 1, 3), (3, 2, 2), (2, 0, 0)),
    (2, 3, 2, (2, 2, 2), (2, 2, 2), (0, 0, 0)),
    (1, 2, 2, (3, 2, 2), (1, 1, 1), (0, 0, 0)),
    (1, 1, 1, (2, 2, 2), (2, 1, 3), (0, 0, 0)),
    (2, 2, 1, (3, 3, 3), (1, 2, 2), (1, 0, 0)),
    (1, 2, 2, (4, 1, 5), (2, 1, 3), (1, 0, 2)),
    (1, 1, 2, (5, 1, 4), (3, 1, 2), (0, 0, 1)),
    (1, 5, 4, (1, 1, 2), (2, 1, 2), (0, 0, 0)),
    (1, 3, 9, (2, 1, 1), (1, 1, 3), (0, 0, 0)),
    (5, 2, 3, (1, 1, 2), (2, 1, 1), (0, 0, 1)),
)
# Kernels that work in vectors or tiles go wrong in what is left over: just below, at and just above a tile.
WIDTHS = (4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33)
# Wider than the blocks of processors with many threads, and than 8 bits count.
WIDE = (65, 129, 257)
# Taps of large filters.
TAPS = ((6, 1, 7), (7, 1, 6), (1, 1, 11), (11, 1, 8))
# Layers with long sums are tried where so many draws reach the target, and where padding does not make them large.
FEW_DRAWS, MOST_NUMBERS = 64, 20_000
# Of longer sums, the rounding bound of fast algorithms does not tell right from wrong.
MOST_TERMS = {"float32": 300, "float16": 64, "bfloat16": 64}
# Images, planes and filters per group, just below, at and just above such a tile; and more than larger blocks hold.
CHANNELS = (
    (1, 4, 7),
    (1, 7, 8),
    (2, 8, 15),
    (1, 9, 16),
    (1, 15, 17),
    (1, 16, 2),
    (1, 17, 31),
    (1, 33, 1),
    (9, 1, 32),
    (17, 2, 1),
    (33, 1, 2),
    (1, 2, 33),
    (1, 65, 2),
    (1, 2, 65),
    (1, 129, 1),
    (1, 257, 1),
    (1, 1, 129),
    (1, 1, 257),
)
# Rows and columns of which every size of a tile leaves others over.
SIDES = (15, 1, 18)


@dataclasses.dataclass(frozen=True)
class Options:
    """What the code under audit was fixed to."""

    spatial_ndim: int
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...] | None
    dilation: tuple[int, ...]
    groups: int
    bias: bool
    dtype: str

    def __str__(self) -> str:
        """Return the options in words."""
        parts = [f"{self.spatial_ndim} spatial {'axis' if self.spatial_ndim == 1 else 'axes'}"]
        parts += [
            f"stride {_short(self.stride)}",
            f"padding {'same' if self.padding is None else _short_pairs(self.padding)}",
        ]
        parts += [f"dilation {_short(self.dilation)}"] if set(self.dilation) != {1} else []
        parts += [f"groups {self.groups}"] if self.groups > 1 else []
        return ", ".join([*parts, *(["bias"] if self.bias else []), self.dtype])

    def zeros(self, taps: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Padding before and after on each axis; of "same", it depends on the filter."""
        if self.padding is not None:
            return self.padding
        return tuple(((extent - 1) // 2, extent // 2) for extent in self.extent(taps))

    def extent(self, taps: Sequence[int]) -> tuple[int, ...]:
        """Pixels from the first to the last tap, one per axis."""
        return tuple((k - 1) * step + 1 for k, step in zip(taps, self.dilation, strict=True))

    def geometry(self, image: Sequence[int], filters: Sequence[int]) -> Geometry:
        """Return the layer of these sizes."""
        return Geometry(
            image,
            filters,
            stride=self.stride,
            padding=self.zeros(filters[2:]),
            dilation=self.dilation,
            groups=self.groups,
        )

    def case(
        self, images: int, planes: int, filters: int, taps: Sequence[int], out: Sequence[int], tail: Sequence[int]
    ) -> Case | None:
        """Return the layer with these responses and, where the stride allows, this tail; None if there is no image."""
        sizes = [
            (count - 1) * step + extent + min(rest, step - 1) - before - after
            for count, step, extent, rest, (before, after) in zip(
                out, self.stride, self.extent(taps), tail, self.zeros(taps), strict=True
            )
        ]
        if min(sizes) < 1:
            return None
        g = self.groups
        return Case(self.geometry((g * planes, *sizes), (g * filters, planes, *taps)), images)


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer and a number of images."""

    geometry: Geometry
    images: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Those of X, F, b and G."""
        g = self.geometry
        return {"X": (self.images, *g.image), "F": g.filters, "b": g.filters[:1], "G": (self.images, *g.responses)}

    @property
    def numbers(self) -> int:
        """Numbers in X, F and S."""
        geometry = self.geometry
        return self.images * (geometry.pixels + math.prod(geometry.responses)) + math.prod(geometry.filters)

    @property
    def several(self) -> bool:
        """Whether there are several images, planes and filters of a group, taps and responses."""
        geometry = self.geometry
        counts = self.images, geometry.planes_per_group, geometry.filters_per_group
        return min(*counts, math.prod(geometry.filters[2:]), geometry.positions) > 1

    @property
    def terms(self) -> int:
        """Products, and single numbers, in the longest sum of S, ∂l/∂X, ∂l/∂F and ∂l/∂b."""
        geometry = self.geometry
        to_image = geometry.filters_per_group * math.prod(geometry.filters[2:])
        return max(geometry.taps + 1, self.images * geometry.positions, to_image)

    def __str__(self) -> str:
        """Return the sizes and options in words."""
        g = self.geometry
        image = "×".join(map(str, g.image if self.images == 1 else (self.images, *g.image)))
        parts = [f"X {image}", f"F {'×'.join(map(str, g.filters))}", f"stride {_short(g.stride)}"]
        parts.append(f"padding {_short_pairs(g.padding)}")
        if set(g.dilation) != {1}:
            parts.append(f"dilation {_short(g.dilation)}")
        if g.groups > 1:
            parts.append(f"groups {g.groups}")
        return ", ".join(parts)


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
    """Numbers for one case: what is given to the code under audit.

    X (N, d, *spatial), F (n, d/groups, *taps), b (n,), G (N, n, *out), all of the dtype of the audit.
    """

    case: Case
    X: Array
    F: Array
    b: Array
    G: Array

    @property
    def geometry(self) -> Geometry:
        """The layer."""
        return self.case.geometry


def curriculum(options: Options) -> list[Case]:
    """Return the layers that an audit tries, smallest first.

    Parameters
    ----------
    options : Options
        What the code under audit was fixed to.

    Returns
    -------
    list of Case
        With and without a tail, tails of two, h ≠ w in image, filter and responses, several planes, filters, images and
        filters per group, even and odd filters, filters as large as the padded image, 1×1; widths, planes, filters and
        images around 4, 8, 16 and 32, widths, planes and filters above 64, 128 and 256, and filters
        of up to 11 taps on an axis.
    """
    cases = [options.case(n, d, f, *(_axes(each, options) for each in shape)) for n, d, f, *shape in SHAPES]
    grown = [options.case(n, d, f, *_grown(options, *shape)) for n, d, f, *shape in SHAPES]
    wide = [
        options.case(1, 1 + width % 2, 1, *_grown(options, (1, 1, 3), (2, 1, width), (0, 0, width % 3)))
        for width in WIDTHS
    ]
    tall = [options.case(1, 1, 2, *_grown(options, (2, 1, 1), (width, 1, 2), (1, 0, 0))) for width in WIDTHS[1::3]]
    blocks = [options.case(1, 1, 1, *_grown(options, (1, 1, 1), (1, 1, width), (0, 0, 0))) for width in WIDE]
    deep = [options.case(n, d, f, *_grown(options, (1, 1, 1), (1, 1, 2), (0, 0, 0))) for n, d, f in CHANNELS]
    tiled = options.case(1, 1, 1, *_grown(options, (2, 1, 3), SIDES, (0, 0, 0)))
    # One response: filters as large as the image with its padding, on all axes and on the last.
    whole = tuple(
        -(-sum(zeros) // step) + 1 for zeros, step in zip(options.padding or (), options.dilation, strict=False)
    )
    ones = (1,) * options.spatial_ndim
    whole_cases = [options.case(n, d, f, whole or ones, ones, (0,) * len(ones)) for n, d, f in ((1, 1, 1), (2, 2, 3))]
    large = [options.case(1, 1, 1, *_grown(options, taps, (2, 1, 2), (0, 0, 0))) for taps in TAPS]
    long = [case for case in (*blocks, *deep, *large, tiled) if case and _is_cheap(case, options.dtype)]
    found = {case: None for case in (*cases, *grown, *wide, *tall, *whole_cases, *long) if case}
    return sorted(found, key=lambda case: case.numbers)


def _is_cheap(case: Case, dtype: str) -> bool:
    scheme = scheme_of(case, dtype)
    short = case.numbers <= MOST_NUMBERS and case.terms <= MOST_TERMS.get(dtype, MOST_NUMBERS)
    return short and scheme is not None and scheme.miss**FEW_DRAWS <= TARGET


def affordable(cases: Sequence[Case], dtype: str) -> list[Case]:
    """Leave out the most expensive layers where padding or steps make them so large that an audit takes minutes.

    Parameters
    ----------
    cases : sequence of Case
        Layers that have a scheme in the dtype.
    dtype : str
        In which the code under audit sums.

    Returns
    -------
    list of Case
        In their order. Empty where the cheapest layer with several of everything is too expensive, without which a
        verdict would be worth little.
    """
    work = {case: _work(case, dtype) for case in cases}
    several = min((case for case in cases if case.several), key=work.__getitem__, default=None)
    ordered = sorted(cases, key=lambda case: (case != several, work[case]))
    totals = itertools.accumulate(work[case] for case in ordered)
    kept = {case for case, total in zip(ordered, totals, strict=True) if total <= MOST_WORK}
    return [case for case in cases if case in kept]


def _work(case: Case, dtype: str) -> int:
    """Count the numbers and the products of one call, times the draws until a wrong form is missed rarely enough."""
    geometry, miss = case.geometry, miss_of(case, dtype)
    products = case.images * geometry.groups * geometry.positions * geometry.taps
    bits = math.log2(miss.denominator) - math.log2(miss.numerator)
    wanted = math.log2(TARGET.denominator)
    draws = math.ceil(wanted / bits) if bits * MOST_DRAWS > wanted else MOST_DRAWS
    return draws * (case.numbers + products)


def large_batch(options: Options, images: int) -> Case | None:
    """Return the layer with 1×1 everything, or as little as there can be behind the padding, and many images."""
    return options.case(images, 1, 1, *_grown(options, (1, 1, 1), (1, 1, 1), (0, 0, 0)))


def _grown(
    options: Options, taps: tuple[int, ...], out: tuple[int, ...], tail: tuple[int, ...]
) -> tuple[tuple[int, ...], ...]:
    """Make the image large enough that there is one behind all of the padding."""
    taps, out, tail = (_axes(each, options) for each in (taps, out, tail))
    more = [
        max(count, -(-(before + after - extent + 1 + step) // step) + 1)
        for count, step, extent, (before, after) in zip(
            out, options.stride, options.extent(taps), options.zeros(taps), strict=True
        )
    ]
    return taps, tuple(more), tail


def _axes(pattern: tuple[int, ...], options: Options) -> tuple[int, ...]:
    """Take the last axis, then the first, then those between from a pattern of three."""
    first, between, last = pattern
    count = options.spatial_ndim
    return (last,) if count == 1 else (first, *(between,) * (count - 2), last)


def _spread(pattern: tuple[int, ...], axes: int, lone: int) -> tuple[int, ...]:
    return pattern if axes == len(pattern) else (pattern[0], *(lone,) * (axes - 2), pattern[-1])


@dataclasses.dataclass(frozen=True)
class Scheme:
    """How X, F and G of one layer are drawn, so that no sum of their products rounds."""

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
    """Choose the magnitudes and supports with which one draw misses a wrong form least.

    Parameters
    ----------
    case : Case
        The layer.
    dtype : str
        In which the code under audit sums.

    Returns
    -------
    Scheme or None
        None where no integers are exact in sums as long as the layer's.

    Notes
    -----
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
    limit, shortest = exact.exact_limit(dtype), max(case.terms, 1)
    balanced = max(math.isqrt(limit // shortest), 1)
    # Of few values, one more for one array may be worth fewer for another; of many, it is not.
    tried = range(1, 2 * balanced + 2) if balanced <= MOST_UNBALANCED else (balanced,)
    found = [scheme for x, g in itertools.product(tried, repeat=2) if (scheme := _scheme(case, limit, x, g))]
    return max(found, key=lambda scheme: scheme.caught, default=None)


def _scheme(case: Case, limit: int, x: int, g: int) -> Scheme | None:
    """Complete these magnitudes of X and G by the largest supports, and by a magnitude of F."""
    geometry, taps = case.geometry, case.geometry.taps
    entries, filters = case.images * geometry.positions, geometry.filters[0]
    p, q = min(taps, limit // x - 1), min(entries, limit // (g * x))
    if p < 1 or q < 1:
        return None
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
def draw(case: Case, options: Options, seed: int, number: int = 0) -> Probe:
    """Draw numbers for one layer.

    Parameters
    ----------
    case : Case
        The layer.
    options : Options
        For the dtype, and whether there is a bias.
    seed : int
        Of the audit.
    number : int
        Which draw; they are independent, and each misses a wrong form with the probability of `miss_of`.

    Returns
    -------
    Probe
        Integers so small that no sum rounds in the dtype, and as large as that allows, so that code that sums in a
        lower precision than it promises, or clips, cannot hide. Distinct where the dtype has enough of them.

    Raises
    ------
    ShapeError
        If the sums are so long that no integers are exact.
    """
    generator = np.random.default_rng((seed, case.numbers, number))
    return drawn(case, options, _needed_scheme(case, options.dtype), generator)


def miss_of(case: Case, dtype: str) -> Fraction:
    """Return the probability that one draw misses that a bilinear form is a wrong one, at most (`Scheme.miss`)."""
    return _needed_scheme(case, dtype).miss


def _needed_scheme(case: Case, dtype: str) -> Scheme:
    scheme = scheme_of(case, dtype)
    if scheme is None:
        raise ShapeError(f"{case} has sums of {case.terms} terms, for which {dtype} has no exact integers")
    return scheme


def integers(case: Case, options: Options, magnitude: int, generator: np.random.Generator) -> Probe:
    """Draw integers of at most this magnitude for one layer, everywhere."""
    return drawn(case, options, Scheme(*(exact.Draw(magnitude, 1) for _ in "XFG")), generator)


def reals(case: Case, options: Options, generator: np.random.Generator) -> Probe:
    """Draw numbers with all digits of the dtype, of magnitudes from tiny to a few: no product is subnormal."""
    probe = integers(case, options, 1, generator)
    half = options.dtype in {"float16", "bfloat16"}

    def draw_like(A: Array) -> Array:
        size = generator.uniform(1, 2, A.shape) * 2.0 ** generator.integers(-4 if half else -40, 2, A.shape)
        return np.asarray(size * generator.choice([-1, 1], A.shape)).astype(A.dtype)

    return dataclasses.replace(
        probe,
        X=draw_like(probe.X),
        F=draw_like(probe.F),
        b=draw_like(probe.b) if options.bias else probe.b,
        G=draw_like(probe.G),
    )


def drawn(case: Case, options: Options, scheme: Scheme, generator: np.random.Generator) -> Probe:
    """Draw integers for one layer as a scheme says."""
    wide = np.int64 if options.dtype.startswith("int") else np.float64
    # A bias is one of the terms of a sum: as large as a product, so that it cannot drown in the products.
    bias = scheme.X.magnitude * scheme.F.magnitude
    sizes = {"X": scheme.X.magnitude, "F": scheme.F.magnitude, "b": bias, "G": scheme.G.magnitude}
    arrays = {
        letter: exact.draw_integers(generator, shape, sizes[letter], wide).astype(dtype_of(options.dtype))
        for letter, shape in case.shapes.items()
    }
    _keep_support(arrays["F"], scheme.F.share, generator)
    _keep_support(arrays["G"].swapaxes(0, 1), scheme.G.share, generator)
    return Probe(case, arrays["X"], arrays["F"], arrays["b"] if options.bias else arrays["b"] * 0, arrays["G"])


def _keep_support(by_filter: Array, share: Fraction, generator: np.random.Generator) -> None:
    """Set all to 0 but a random support of this share of the entries of each filter."""
    if share < 1:
        kept = np.arange(by_filter[0].size) < share * by_filter[0].size
        by_filter *= generator.permuted(np.tile(kept, (len(by_filter), 1)), axis=1).reshape(by_filter.shape)


def check_dtype(dtype: Any, known: Sequence[str] = DTYPES) -> str:
    """Return the name of a dtype that can be audited."""
    if str(dtype) not in known:
        raise ValueError(f"dtype is {dtype!r}; it needs one of {', '.join(known)}{nearest(dtype, known)}")
    return str(dtype)


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the dtype of a name, bfloat16 among them."""
    import ml_dtypes

    kind: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    return kind


def expected(probe: Probe, *, backward: bool = True) -> dict[str, Array]:
    """Compute what is right, by the explicit image matrix M_X^im of every group (L9).

    Parameters
    ----------
    probe : Probe
        The numbers.
    backward : bool
        Also the gradients.

    Returns
    -------
    dict of ndarray
        S (N, n, *out), dX (N, d, *spatial), dF (n, d/groups, *taps) and db (n,) in float64, or int64 for integers;
        exact where sums of the probe's numbers do not round.

    Notes
    -----
    With vec(F_i) as column i of F and vec(G_i) as column i of G: S = M_X^im·F, ∂l/∂F = (M_X^im)ᵀ·G, and
    ∂l/∂M_X^im = G·Fᵀ, of which ∂l/∂X at a pixel is the sum over the entries of M_X^im where that pixel stands.
    """
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


@functools.lru_cache(maxsize=4)
def places(layer: Geometry) -> Array:
    """Build M_X^im of one group whose pixels are 1, 2, 3, …: which of them a tap reads, 0 for padding.

    Parameters
    ----------
    layer : Geometry
        The layer.

    Returns
    -------
    ndarray of int64, shape (positions, taps)
        The groups of planes are alike.
    """
    planes = layer.planes_per_group
    group = Geometry(
        (planes, *layer.image[1:]),
        (1, *layer.filters[1:]),
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
    )
    numbers = np.arange(1, group.pixels + 1).reshape(group.image)
    return matrices.image_matrix(numbers, group).toarray()


def _short_pairs(pairs: tuple[tuple[int, int], ...]) -> str:
    even = all(before == after for before, after in pairs)
    return _short(tuple(before for before, _ in pairs)) if even else str(pairs)


def _short(entries: tuple[int, ...]) -> str:
    return str(entries[0] if len(set(entries)) == 1 else entries)
