"""Which layers and which numbers an audit tries, and why those.

One configuration never suffices: a tail hides errors in the last column, a square image hides exchanged axes, a stride
of 1 hides the spread of the upstream gradient. The options are what the code under audit was fixed to; the sizes are
chosen here so that every circumstance in which convolution code is known to fail comes up, small enough for slow code.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians import matrices
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry
from jacobians.verify import exact

__all__ = ["Case", "Options", "Probe", "check_dtype", "curriculum", "draws", "expected", "sizes_ascending"]

Array = npt.NDArray[Any]

DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32")
# Probability with which a wrong bilinear form may pass at one layer.
TARGET = Fraction(1, 2**60)
# Draws at one layer; reached in half precision only, where few integers are exact.
MOST_DRAWS = 24
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
    def numbers(self) -> int:
        """Numbers in X, F and S."""
        geometry = self.geometry
        return self.images * (geometry.pixels + math.prod(geometry.responses)) + math.prod(geometry.filters)

    @property
    def terms(self) -> int:
        """Products, and single numbers, in the longest sum of S, ∂l/∂X, ∂l/∂F and ∂l/∂b."""
        geometry = self.geometry
        to_image = geometry.filters_per_group * math.prod(geometry.filters[2:])
        return max(geometry.taps + 1, self.images * geometry.positions, to_image)

    @property
    def batch(self) -> Geometry:
        """The same layer with the images as one more spatial axis, on which the filters have a single tap."""
        g = self.geometry
        return Geometry(
            (g.image[0], self.images, *g.image[1:]),
            (*g.filters[:2], 1, *g.filters[2:]),
            stride=(1, *g.stride),
            padding=((0, 0), *g.padding),
            dilation=(1, *g.dilation),
            groups=g.groups,
        )

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
        filters per group, even and odd filters, filters as large as the padded image, 1×1, and widths around 4, 8, 16
        and 32.
    """
    cases = [options.case(n, d, f, *(_axes(each, options) for each in shape)) for n, d, f, *shape in SHAPES]
    grown = [options.case(n, d, f, *_grown(options, *shape)) for n, d, f, *shape in SHAPES]
    wide = [
        options.case(1, 1 + width % 2, 1, *_grown(options, (1, 1, 3), (2, 1, width), (0, 0, width % 3)))
        for width in WIDTHS
    ]
    tall = [options.case(1, 1, 2, *_grown(options, (2, 1, 1), (width, 1, 2), (1, 0, 0))) for width in WIDTHS[4::3]]
    found = {case: None for case in (*cases, *grown, *wide, *tall) if case}
    return sorted(found, key=lambda case: case.numbers)


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


def sizes_ascending(options: Options, most: int) -> Iterator[Case]:
    """Enumerate small layers for these options, fewest numbers first.

    Parameters
    ----------
    options : Options
        What the code under audit was fixed to.
    most : int
        How many.

    Yields
    ------
    Case
        One or two images, planes and filters per group, one to three taps and responses and tails of up to two rows on
        the first and the last axis.
    """
    axes = options.spatial_ndim
    few, rests = range(1, 4), range(min(3, max(options.stride)))
    patterns = list(itertools.product(few, repeat=min(axes, 2)))
    found = {
        case
        for n, d, f in itertools.product((1, 2), (1, 2), (1, 2))
        for taps, out in itertools.product(patterns, patterns)
        for tail in itertools.product(rests, repeat=min(axes, 2))
        if sum(taps) + sum(out) + sum(tail) + n + d + f <= 14
        and (
            case := options.case(
                n, d, f, *(_spread(each, axes, lone) for each, lone in ((taps, 1), (out, 1), (tail, 0)))
            )
        )
    }
    yield from sorted(found, key=lambda case: (case.numbers, str(case)))[:most]


def _spread(pattern: tuple[int, ...], axes: int, lone: int) -> tuple[int, ...]:
    return pattern if axes == len(pattern) else (pattern[0], *(lone,) * (axes - 2), pattern[-1])


def draws(case: Case, options: Options, seed: int) -> Iterator[tuple[Probe, Fraction]]:
    """Draw numbers for one layer until a wrong bilinear form is missed with probability 2⁻⁶⁰ at most.

    Parameters
    ----------
    case : Case
        The layer.
    options : Options
        For the dtype, and whether there is a bias.
    seed : int
        Of the audit.

    Yields
    ------
    probe : Probe
        Integers so small that no sum rounds in the dtype, and as large as that allows, so that code that sums in a
        lower precision than it promises, or clips, cannot hide. Distinct where the dtype has enough of them.
    miss : Fraction
        Probability that this draw alone misses that a bilinear form is a wrong one (`exact.miss_probability`).

    Raises
    ------
    ShapeError
        If the sums are so long that no integers are exact.
    """
    magnitude = exact.exact_magnitude(options.dtype, case.terms)
    if magnitude < 1:
        raise ShapeError(f"{case} has sums of {case.terms} terms, for which {options.dtype} has no exact integers")
    missed = Fraction(1)
    for number in range(MOST_DRAWS):
        probe = integers(case, options, magnitude, np.random.default_rng((seed, case.numbers, number)))
        sizes = sorted(each.size for each in (probe.X, probe.F, probe.G))
        miss = exact.miss_probability(magnitude, *sizes[1:])
        yield probe, miss
        missed *= miss
        if missed <= TARGET:
            return


def integers(case: Case, options: Options, magnitude: int, generator: np.random.Generator) -> Probe:
    """Draw integers of at most this magnitude for one layer."""
    g, n = case.geometry, case.images
    wide = np.int64 if options.dtype.startswith("int") else np.float64
    # A bias is one of the terms of a sum: as large as a product, so that it cannot drown in the products.
    sizes = {"X": magnitude, "F": magnitude, "b": magnitude**2, "G": magnitude}
    shapes = {"X": (n, *g.image), "F": g.filters, "b": g.filters[:1], "G": (n, *g.responses)}
    drawn = {
        letter: exact.draw_integers(generator, shapes[letter], sizes[letter], wide).astype(dtype_of(options.dtype))
        for letter in shapes
    }
    return Probe(case, drawn["X"], drawn["F"], drawn["b"] if options.bias else drawn["b"] * 0, drawn["G"])


def check_dtype(dtype: Any, known: Sequence[str] = DTYPES) -> str:
    """Return the name of a dtype that can be audited."""
    if str(dtype) not in known:
        raise ValueError(f"dtype is {dtype!r}; it needs one of {', '.join(known)}")
    return str(dtype)


def dtype_of(name: str) -> np.dtype[Any]:
    """Return the dtype of a name, bfloat16 among them."""
    import ml_dtypes

    kind: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    return kind


def expected(probe: Probe, *, backward: bool = True) -> dict[str, Array]:
    """Compute what is right, by the explicit matrices.

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
    """
    layer = probe.case.batch
    wide = np.dtype(np.int64 if probe.X.dtype.kind in "iu" else np.float64)
    X, F, b, G = (each.astype(wide) for each in (probe.X, probe.F, probe.b, probe.G))
    by_filters = matrices.jacobian_wrt_filters(X.swapaxes(0, 1), layer)
    S = np.asarray(by_filters @ F.ravel()).reshape(layer.responses).swapaxes(0, 1)
    result = {"S": S + b.reshape(1, -1, *(1,) * (S.ndim - 2))}
    if backward:
        g = G.swapaxes(0, 1).ravel()
        by_image = matrices.jacobian_wrt_image(F.reshape(layer.filters), layer)
        result["dX"] = np.asarray(g @ by_image).reshape(layer.image).swapaxes(0, 1)
        result["dF"] = np.asarray(g @ by_filters).reshape(F.shape)
        result["db"] = np.asarray(g @ matrices.jacobian_wrt_bias(layer, dtype=wide))
    return result


def _short_pairs(pairs: tuple[tuple[int, int], ...]) -> str:
    even = all(before == after for before, after in pairs)
    return _short(tuple(before for before, _ in pairs)) if even else str(pairs)


def _short(entries: tuple[int, ...]) -> str:
    return str(entries[0] if len(set(entries)) == 1 else entries)
