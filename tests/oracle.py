"""The literal triple sum of L1, generalised to every option, what follows from it, pooling: the oracle of the tests.

Plain loops over indices, written from the lecture's equations alone. Nothing here knows `Geometry` or its pixel table.
"""

import math
from itertools import product

import numpy as np


def products(image, filters, stride, padding, dilation, groups):
    """Yield the indices (of S, of F, of X) of every product that L1 sums; products with padding are left out."""
    (_, *sizes), (n, depth, *taps) = image, filters
    axes = list(zip(sizes, taps, stride, padding, dilation, strict=True))
    for i in range(n):
        plane = i // (n // groups) * depth
        for position in product(*map(range, out_sizes(axes))):
            for k in range(depth):
                for tap in product(*map(range, taps)):
                    pixel = [
                        l * step + a * spacing - before
                        for l, a, (_, _, step, (before, _), spacing) in zip(position, tap, axes, strict=True)
                    ]
                    if all(0 <= at < size for at, size in zip(pixel, sizes, strict=True)):
                        yield (i, *position), (i, k, *tap), (plane + k, *pixel)


def out_sizes(axes):
    """Count, on each axis, the places at which the whole filter lies in the padded image."""
    return [
        sum(1 for first in range(0, size + sum(zeros), step) if first + (taps - 1) * spacing < size + sum(zeros))
        for size, taps, step, zeros, spacing in axes
    ]


def plain(geometry):
    """The geometry's values, as the functions here take them."""
    names = ("image", "filters", "stride", "padding", "dilation", "groups")
    return {name: getattr(geometry, name) for name in names}


def entries(array):
    """An array whose integers are Python's, which neither wrap nor round."""
    return np.asarray(array).astype(object)


def convolve(X, F, **layer):
    X, F, S = entries(X), entries(F), empty_responses(**layer)
    for s, f, x in products(**layer):
        S[s] += X[x] * F[f]
    return S


def filter_gradient(X, G, **layer):
    X, G, dF = entries(X), entries(G), np.full(layer["filters"], 0, object)
    for s, f, x in products(**layer):
        dF[f] += G[s] * X[x]
    return dF


def input_gradient(G, F, **layer):
    G, F, dX = entries(G), entries(F), np.full(layer["image"], 0, object)
    for s, f, x in products(**layer):
        dX[x] += G[s] * F[f]
    return dX


def empty_responses(image, filters, stride, padding, dilation, groups):
    axes = zip(image[1:], filters[2:], stride, padding, dilation, strict=True)
    return np.full((filters[0], *out_sizes(axes)), 0, object)


# the matrices, dense --------------------------------------------------------------------------------------------------


def vec(index, shape):
    """Where vec puts an entry: planes one after the other, each plane row by row."""
    at = 0
    for position, size in zip(index, shape, strict=True):
        at = at * size + position
    return at


def jacobian_wrt_image(F, **layer):
    F, responses = entries(F), empty_responses(**layer).shape
    matrix = np.full((math.prod(responses), math.prod(layer["image"])), 0, object)
    for s, f, x in products(**layer):
        matrix[vec(s, responses), vec(x, layer["image"])] = F[f]
    return matrix


def jacobian_wrt_filters(X, **layer):
    X, responses = entries(X), empty_responses(**layer).shape
    matrix = np.full((math.prod(responses), math.prod(layer["filters"])), 0, object)
    for s, f, x in products(**layer):
        matrix[vec(s, responses), vec(f, layer["filters"])] = X[x]
    return matrix


def reads(**layer):
    """How many products L1 sums that are not with padding: the nonzeros of either whole-layer Jacobian."""
    return sum(1 for _ in products(**layer))


# pooling --------------------------------------------------------------------------------------------------------------


def pairs(value, axes):
    """Padding as a pair per axis."""
    return [(each, each) if isinstance(each, int) else each for each in (value if value else (0,) * axes)]


def per_axis(value, axes):
    return (value,) * axes if isinstance(value, int) else tuple(value)


def window_starts(size, extent, step, before, after, ceil_mode):
    """Where the windows of one axis begin; one more may end behind the padding, but not begin behind the image."""
    starts = [-before]
    while starts[-1] + step + extent <= size + after:
        starts.append(starts[-1] + step)
    uncovered = starts[-1] + extent < size + after
    if ceil_mode and uncovered and starts[-1] + step < size:
        starts.append(starts[-1] + step)
    return starts


def pooled(image, window, stride=None, padding=0, dilation=1, ceil_mode=False, counted=None):
    """For each response the indices of its pixels, and how many of its places count."""
    d, *sizes = image
    axes = len(sizes)
    window = tuple(sizes) if window is None else per_axis(window, axes)
    stride = window if stride is None else per_axis(stride, axes)
    dilation = per_axis(dilation, axes)
    padding = pairs(per_axis(padding, axes), axes)
    counted = padding if counted is None else pairs(per_axis(counted, axes), axes)
    starts = [
        window_starts(size, (k - 1) * gap + 1, step, *sides, ceil_mode)
        for size, k, gap, step, sides in zip(sizes, window, dilation, stride, padding, strict=True)
    ]
    for plane in range(d):
        for corner in product(*starts):
            places = [
                tuple(c + i * gap for c, i, gap in zip(corner, place, dilation, strict=True))
                for place in product(*map(range, window))
            ]
            pixels = [(plane, *at) for at in places if all(0 <= y < size for y, size in zip(at, sizes, strict=True))]
            count = sum(
                all(-before <= y < size + after for y, size, (before, after) in zip(at, sizes, counted, strict=True))
                for at in places
            )
            yield pixels, count


def assert_same(actual, expected):
    """Equal in shape and in every entry."""
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_array_equal(actual, expected)
