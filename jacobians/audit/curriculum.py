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
from collections.abc import Iterator, Sequence

from jacobians.audit.cases import Case, Options
from jacobians.audit.numbers import MOST_DRAWS, TARGET, miss_of

__all__ = ["affordable", "curriculum", "grown", "large_batch", "shaped", "small_cases", "smaller_cases", "unused"]

# Numbers and products in one call at each layer and for each draw, of all layers together: some ten seconds.
MOST_WORK = 100_000_000
# Small layers to try for the smallest case.
MOST_CASES = 200
# Images, planes and filters per group, then taps, responses and tail on the first axis, the axes between and the last.
Shape = tuple[int, int, int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]
SHAPES: tuple[Shape, ...] = (
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
# Layers with long sums are tried where padding does not make them large.
MOST_NUMBERS = 20_000
# Of longer sums, the rounding bound of fast algorithms does not tell right from wrong.
MOST_TERMS = {"float32": 300, "float16": 64, "bfloat16": 64}
# Images, planes and filters per group, just below, at and just above such a tile; and more than larger blocks hold.
CHANNELS = (
    (1, 4, 7), (1, 7, 8), (2, 8, 15), (1, 9, 16), (1, 15, 17), (1, 16, 2), (1, 17, 31), (1, 33, 1), (9, 1, 32),
    (17, 2, 1), (33, 1, 2), (1, 2, 33), (1, 65, 2), (1, 2, 65), (1, 129, 1), (1, 257, 1), (1, 1, 129), (1, 1, 257),
)  # fmt: skip
NONE, ONE = (0, 0, 0), (1, 1, 1)
LONG: tuple[Shape, ...] = (
    *((1, 1, 1, (1, 1, 1), (1, 1, width), NONE) for width in WIDE),
    *((images, planes, filters, (1, 1, 1), (1, 1, 2), NONE) for images, planes, filters in CHANNELS),
    *((1, 1, 1, taps, (2, 1, 2), NONE) for taps in TAPS),
    # Rows and columns of which every size of a tile leaves others over.
    (1, 1, 1, (2, 1, 3), (15, 1, 18), NONE),
)
# With numbers of images that no other layer has.
UNUSED: tuple[Shape, ...] = (
    (2, 1, 1, (2, 1, 2), (2, 1, 2), NONE),
    (4, 2, 3, (3, 1, 2), (11, 1, 13), NONE),
    (6, 2, 2, (2, 1, 3), (3, 1, 2), NONE),
    (7, 1, 3, (2, 1, 2), (2, 1, 3), NONE),
)


@functools.lru_cache(maxsize=64)
def curriculum(options: Options) -> Sequence[Case]:
    """Return the layers that an audit tries, smallest first, of all circumstances that the tables above are for."""
    as_is = (shaped(options, shape) for shape in SHAPES)
    wide = ((1, 1 + width % 2, 1, (1, 1, 3), (2, 1, width), (0, 0, width % 3)) for width in WIDTHS)
    tall = ((1, 1, 2, (2, 1, 1), (height, 1, 2), (1, 0, 0)) for height in WIDTHS[1::3])
    larger = (grown(options, shape) for shape in (*SHAPES, *wide, *tall))
    # One response: filters as large as the image with its padding, on all axes and on the last.
    ones = (1,) * options.spatial_ndim
    zeros = zip(options.padding or (), options.dilation, strict=False)
    whole = tuple(-(-sum(pair) // step) + 1 for pair, step in zeros) or ones
    covered = (options.case(n, d, f, whole, ones, (0,) * len(ones)) for n, d, f in ((1, 1, 1), (2, 2, 3)))
    long = (case for shape in LONG if (case := grown(options, shape)) and _is_cheap(case, options.dtype))
    found = dict.fromkeys(case for case in (*as_is, *larger, *covered, *long) if case)
    return tuple(sorted(found, key=lambda case: case.numbers))


def _is_cheap(case: Case, dtype: str) -> bool:
    return case.numbers <= MOST_NUMBERS and case.terms <= MOST_TERMS.get(dtype, MOST_NUMBERS)


def affordable(cases: Sequence[Case], dtype: str) -> list[Case]:
    """Leave out the most expensive layers where padding or steps make them so large that an audit takes minutes."""
    work = {case: _work(case, dtype) for case in cases}
    # Without a layer with several of everything, a verdict would be worth little.
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
    if (most := grown(options, (images, 1, 1, ONE, ONE, NONE))) is None:
        return None
    smaller = (
        shaped(options, (images, 1, 1, ONE, (count,) * 3, NONE)) for count in range(1, max(most.geometry.responses[1:]))
    )
    return next(filter(None, smaller), most)


def unused(options: Options) -> tuple[Case, Case, Case, Case] | None:
    """Return a small layer, a larger one and two others with numbers of images that the curriculum does not have."""
    found = [case for shape in UNUSED if (case := grown(options, shape))]
    if len(found) < len(UNUSED):
        return None
    small, large, second, third = found
    return small, large, second, third


def shaped(options: Options, shape: Shape) -> Case | None:
    """Return the layer of a shape; None where there is no image besides the padding."""
    images, planes, filters, *axes = shape
    return options.case(images, planes, filters, *(_axes(each, options) for each in axes))


def grown(options: Options, shape: Shape) -> Case | None:
    """Return the layer of a shape, of which the image is made so large that there is one behind all of the padding."""
    images, planes, filters, *axes = shape
    taps, out, tail = (_axes(each, options) for each in axes)
    more = [
        max(count, -(-(before + after - extent + 1 + step) // step) + 1)
        for count, step, extent, (before, after) in zip(
            out, options.stride, options.extent(taps), options.zeros(taps), strict=True
        )
    ]
    return options.case(images, planes, filters, taps, more, tail)


def _axes(pattern: tuple[int, ...], options: Options) -> tuple[int, ...]:
    """Take the last axis, then the first, then those between from a pattern of three."""
    first, between, last = pattern
    count = options.spatial_ndim
    return (last,) if count == 1 else (first, *(between,) * (count - 2), last)


def small_cases(options: Options) -> list[Case]:
    """Return small layers: up to two images, planes and filters, three taps on two axes, images from one pixel on."""
    return _small_cases(dataclasses.replace(options, bias=False, dtype="float64", updates=False))


@functools.lru_cache(maxsize=64)
def _small_cases(options: Options) -> list[Case]:
    axes = options.spatial_ndim
    taps = [_spread(each, axes) for each in itertools.product(range(1, 4), repeat=min(axes, 2))]
    sizes = [_spread(each, axes) for each in itertools.product(range(1, 8), repeat=min(axes, 2)) if sum(each) <= 9]
    found = {
        case
        for n, d, f in itertools.product((1, 2), repeat=3)
        for k, size in itertools.product(taps, sizes)
        if (case := options.layer(n, d, f, k, size))
    }
    return sorted(found, key=lambda case: (case.numbers, str(case)))[:MOST_CASES]


def _spread(pattern: tuple[int, ...], axes: int) -> tuple[int, ...]:
    return pattern if axes == len(pattern) else (pattern[0], *(1,) * (axes - 2), pattern[-1])


def smaller_cases(case: Case, options: Options) -> Iterator[Case]:
    """Yield layers with fewer numbers: one size less, the largest steps first."""
    g = case.geometry
    planes, filters, taps, size = g.planes_per_group, g.filters_per_group, g.filters[2:], g.image[1:]
    now = [case.images, planes, filters, *taps, *size]
    axes = len(taps)
    for at, value in enumerate(now):
        for less in sorted({1, value // 2, value // 2 + 1, value - 1} - {value}):
            changed = [*now]
            changed[at] = less
            # Fewer taps: once with the image as it is, and once with the responses as they are.
            shifts = {0, (value - less) * options.dilation[at - 3]} if 3 <= at < 3 + axes else {0}
            for shift in sorted(shifts, reverse=True):
                cut = [*changed]
                if shift:
                    cut[at + axes] -= shift
                n, d, f, *rest = cut
                found = options.layer(n, d, f, rest[:axes], rest[axes:]) if min(cut) > 0 else None
                if found and found.numbers < case.numbers:
                    yield found
