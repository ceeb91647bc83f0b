"""Average and maximum pooling, each with its Jacobian.

A pooling layer has the geometry of a depthwise convolution, one filter for each plane: ``P[r, c]`` is the pixel that
place ``c`` of the window reads for response ``r``. An average weighs the pixels of a row of P by one over their number;
a maximum takes one pixel of each row.

As for a convolution there are two forms, which are evidence for each other: the values, and which pixel is the largest,
come from windows over padded arrays, and the matrices from the pixel table.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from jacobians.arguments import any_dtype, flag
from jacobians.convolution import convolve
from jacobians.errors import DtypeError, ShapeError
from jacobians.geometry import Geometry, check_geometry, check_shape, is_list
from jacobians.layers import sparse_dtype
from jacobians.matrices import jacobian_wrt_image
from jacobians.sizes import check_bytes, check_int64, magnitude

__all__ = [
    "average_pool",
    "average_pool_jacobian",
    "maximum_pool",
    "maximum_pool_jacobian",
    "pooling_geometry",
]

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
# As `Geometry` takes it.
Padding = int | Sequence[int] | Sequence[Sequence[int]]


def pooling_geometry(
    image: Sequence[int],
    window: int | Sequence[int] | None = None,
    *,
    stride: int | Sequence[int] | None = None,
    padding: int | str | Sequence[int] | Sequence[Sequence[int]] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Geometry:
    """Return the geometry of a pooling layer: a depthwise convolution with one filter for each plane.

    Parameters
    ----------
    image : sequence of int
        ``X.shape = (d, *spatial)``.
    window : int or sequence of int, optional
        Sizes of the window, one for all spatial axes, or one per axis; by default the whole image, which is global
        pooling.
    stride : int or sequence of int, optional
        By default the window, so that windows touch and do not overlap.
    padding, dilation
        As of `Geometry`.
    ceil_mode : bool
        Whether the sizes of the result are rounded up: a window that begins in the image or in the padding before it
        also counts if it ends behind the padding. The padding after the image becomes larger by as much.

    Returns
    -------
    Geometry
        With filters of shape (d, 1, *window) and d groups.

    Raises
    ------
    ShapeError
        If the shapes and options do not describe a convolution.
    TypeError
        If `ceil_mode` is neither True nor False.

    Notes
    -----
    `ceil_mode` follows PyTorch: no window begins behind the image and the padding before it.

    Examples
    --------
    >>> pooling_geometry((3, 6, 8), 2).responses
    (3, 3, 4)
    >>> pooling_geometry((3, 6, 8), 3, stride=2, ceil_mode=True)
    Geometry((3, 6, 8), (3, 1, 3, 3), stride=2, padding=((0, 1), (0, 1)), groups=3)
    >>> pooling_geometry((3, 6, 8)).responses
    (3, 1, 1)
    """
    image = check_shape("image", image, "(d, *spatial)")
    if len(image) < 2:
        raise ShapeError(f"image has shape {image}; it needs (d, *spatial) with at least one spatial axis: X.shape")
    d, *sizes = image
    window = sizes if window is None else window
    sides: tuple[Any, ...] = tuple(window) if is_list(window) else (window,) * len(sizes)
    step = sides if stride is None else stride
    options: dict[str, Any] = {"stride": step, "dilation": dilation, "groups": d}
    try:
        geometry = Geometry(image, (d, 1, *sides), padding=padding, **options)
    except ShapeError as error:
        raise ShapeError(f"a window of {sides} on an image of {image} is a filter for each plane: {error}") from None
    return _rounded_up(geometry) if flag("ceil_mode", ceil_mode) else geometry


def _rounded_up(geometry: Geometry) -> Geometry:
    """Pad after the image so that the rows of the tail get a window, unless that would begin behind the image."""
    sides = []
    axes = zip(
        geometry.image[1:], geometry.responses[1:], geometry.stride, geometry.padding, geometry.tail, strict=True
    )
    for size, out, step, (before, after), tail in axes:
        further = tail > 0 and out * step < before + size
        sides.append((before, after + step - tail if further else after))
    options: dict[str, Any] = {"stride": geometry.stride, "dilation": geometry.dilation, "groups": geometry.groups}
    return Geometry(geometry.image, geometry.filters, padding=sides, **options)


# average --------------------------------------------------------------------------------------------------------------


def average_pool(X: npt.ArrayLike, geometry: Geometry, *, counted: Padding | None = None) -> Array:
    """Compute the mean of every window of every plane.

    Parameters
    ----------
    X : array_like, shape geometry.image
        The image, integers or real floating-point numbers.
    geometry : Geometry
        The layer, of `pooling_geometry`.
    counted : int, sequence of int, sequence of pairs of int, optional
        How much of the padding counts as zeros of the mean, in the forms of `Geometry`'s padding. By default all of it,
        so that every sum is divided by the size of the window; with 0 it is divided by the number of its pixels.

    Returns
    -------
    ndarray, shape geometry.responses
        ``Y[k, l, m] = 1/c · Σ_a Σ_b X[k, l·s_h + a·δ_h − p_h, m·s_w + b·δ_w − p_w]``, with zeros outside the image, and
        c the places of the window that lie in the image or in the padding that is counted. float64 for integers, whose
        sums are exact; otherwise the dtype of X.

    Raises
    ------
    ShapeError
        If X has another shape, the geometry is not that of a pooling layer, more padding is counted than there is, or
        a window has no place that counts.
    DtypeError
        If entries are neither integers nor real floating-point numbers.
    OverflowError, TooLargeError
        As `jacobians.convolution.convolve`.

    Notes
    -----
    PyTorch's ``count_include_pad=False`` is ``counted=0``. In its ``ceil_mode`` the padding that was asked for counts,
    and what the last window needs besides does not: ``counted=padding``.

    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86, 1998
    (there with a trained factor); over whole planes: Lin, Chen and Yan, "Network in network", ICLR 2014.

    Examples
    --------
    >>> average_pool([[[1, 3, 5], [3, 5, 7]]], pooling_geometry((1, 2, 3), 2, stride=1))
    array([[[3., 5.]]])
    """
    counts = place_counts(geometry := check_pooling(geometry), counted)
    X = geometry.check_array("X", X, "image")
    return divided(convolve(X, np.ones(geometry.filters, X.dtype), geometry), counts)


def average_pool_jacobian(
    geometry: Geometry,
    *,
    counted: Padding | None = None,
    dtype: npt.DTypeLike = np.float64,
    max_bytes: int | None = None,
) -> csr_array:
    """Build ∂vec(Y)/∂vec(X) of average pooling: the pixel table with 1/c at every pixel of a row.

    Parameters
    ----------
    geometry : Geometry
        The layer, of `pooling_geometry`.
    counted
        As of `average_pool`.
    dtype : dtype
        Of the entries: floating point.
    max_bytes : int, optional
        Largest result in bytes; by default the memory that is available.

    Returns
    -------
    csr_array, shape (d · positions, pixels)
        Entry ``[k·t + r, P[r, c]]`` is one over the number of places of window ``r`` that count, for the pixels of
        plane ``k``.

    Raises
    ------
    ShapeError
        As `average_pool`.
    DtypeError
        If the dtype is not of floating point, or scipy.sparse has no arrays of it.
    TooLargeError
        If the result is larger than `max_bytes`.

    Examples
    --------
    >>> average_pool_jacobian(pooling_geometry((1, 1, 3), (1, 2), stride=1)).toarray()
    array([[0.5, 0.5, 0. ],
           [0. , 0.5, 0.5]])
    """
    counts = _counts_by_table(geometry := check_pooling(geometry), counted)
    found = any_dtype(dtype)
    if found is None or found.kind != "f":
        raise DtypeError(f"dtype is {dtype}; the shares 1/c need a floating-point dtype, such as float64")
    ones = np.ones(geometry.filters, sparse_dtype("the Jacobian", found))
    matrix = jacobian_wrt_image(ones, geometry, max_bytes=max_bytes)
    divisors = np.broadcast_to(counts, geometry.responses).ravel()
    matrix.data = divided(matrix.data, np.repeat(divisors, np.diff(matrix.indptr)))
    return matrix


def divided(sums: Array, counts: IntArray) -> Array:
    """Divide by counts, in float64 at least, and round once to the dtype of the sums.

    Parameters
    ----------
    sums : ndarray
        What is shared out.
    counts : ndarray of int64, of a shape that broadcasts to that of the sums
        By how many.

    Returns
    -------
    ndarray, shape and dtype of the sums
        float64 for integers.
    """
    return np.asarray((sums / counts).astype(sums.dtype if sums.dtype.kind == "f" else np.float64, copy=False))


def place_counts(geometry: Geometry, counted: Padding | None = None) -> IntArray:
    """Return how many places of each window count, by convolution of ones with ones.

    Parameters
    ----------
    geometry : Geometry
        The layer, of `pooling_geometry`.
    counted
        As of `average_pool`.

    Returns
    -------
    ndarray of int64, shape geometry.responses[1:]
        c, for each position of a plane.

    Raises
    ------
    ShapeError
        As `average_pool`.
    """
    layer = _counting_layer(geometry, counted)
    return np.asarray(convolve(np.ones(layer.image, np.int8), np.ones(layer.filters, np.int8), layer)[0])


def _counts_by_table(geometry: Geometry, counted: Padding | None) -> IntArray:
    """Count the same by the reach of the pixel table: axis by axis, how many places of each window lie in the image."""
    layer = _counting_layer(geometry, counted)
    by_axis = (np.subtract(*reversed(layer.axis_reach(axis))) for axis in range(layer.spatial_ndim))
    return np.asarray(math.prod(np.ix_(*by_axis)), dtype=np.int64)


def _counting_layer(geometry: Geometry, counted: Padding | None) -> Geometry:
    """Return the layer with the same windows on one plane, whose pixels are the places that count."""
    sides = _counted(counted, geometry)
    rest = []
    for axis, (has, counts) in enumerate(zip(geometry.padding, sides, strict=True)):
        rest.append(tuple(given - taken for given, taken in zip(has, counts, strict=True)))
        if min(rest[-1]) < 0:
            raise ShapeError(
                f"counted is {counts} on spatial axis {axis} but the padding is {has}; it needs at most the padding"
            )
    sizes = [size + sum(counts) for size, counts in zip(geometry.image[1:], sides, strict=True)]
    options: dict[str, Any] = {"stride": geometry.stride, "dilation": geometry.dilation}
    layer = Geometry((1, *sizes), (1, 1, *geometry.filters[2:]), padding=rest, **options)
    _check_no_empty_window(layer)
    return layer


def _counted(counted: Any, geometry: Geometry) -> tuple[tuple[int, int], ...]:
    """Return the padding that counts as a pair per axis."""
    if counted is None:
        return geometry.padding
    if isinstance(counted, str):
        raise ShapeError(f"counted is {counted!r}; it needs integers, in the forms of a Geometry's padding")
    try:
        return Geometry(geometry.image, (1, geometry.image[0], *(1,) * geometry.spatial_ndim), padding=counted).padding
    except ShapeError as error:
        raise ShapeError(str(error).replace("padding", "counted")) from None


# maximum --------------------------------------------------------------------------------------------------------------


class Chosen(NamedTuple):
    """Which pixel each window takes: its index in vec(X), and what the derivative is there."""

    pixels: IntArray
    values: Array


def maximum_pool(X: npt.ArrayLike, geometry: Geometry) -> Array:
    """Compute the largest pixel of every window of every plane.

    Parameters
    ----------
    X : array_like, shape geometry.image
        The image, integers or real floating-point numbers.
    geometry : Geometry
        The layer, of `pooling_geometry`.

    Returns
    -------
    ndarray, shape geometry.responses, dtype of X
        ``Y[k, l, m] = max_a max_b X[k, l·s_h + a·δ_h − p_h, m·s_w + b·δ_w − p_w]`` over the pixels of the window: the
        padding is no zero here, and never the largest. NaN where a window has a NaN.

    Raises
    ------
    ShapeError
        If X has another shape, the geometry is not that of a pooling layer, or a window lies wholly in the padding,
        where there is nothing to choose from.
    DtypeError
        If entries are neither integers nor real floating-point numbers.
    TooLargeError
        If it does not fit into memory.

    Notes
    -----
    Ranzato, Huang, Boureau and LeCun, "Unsupervised learning of invariant feature hierarchies with applications to
    object recognition", CVPR 2007.

    Examples
    --------
    >>> maximum_pool([[[1, 3, 5], [3, 9, 7]]], pooling_geometry((1, 2, 3), 2, stride=1))
    array([[[9, 9]]])
    """
    X = check_pooling(geometry).check_array("X", X, "image")
    return X.ravel()[chosen_by_windows(X, geometry).pixels]


def maximum_pool_jacobian(X: npt.ArrayLike, geometry: Geometry) -> csr_array:
    """Build ∂vec(Y)/∂vec(X) of maximum pooling: each row has a 1 at the pixel that is the largest of its window.

    Parameters
    ----------
    X : array_like, shape geometry.image
        The image, integers or real floating-point numbers.
    geometry : Geometry
        The layer, of `pooling_geometry`.

    Returns
    -------
    csr_array, shape (d · positions, pixels), dtype of X
        Entry ``[k·t + r, P[r, c]]`` is 1 for the first place ``c`` at which row ``r`` of the pixel table has its
        largest pixel; NaN where that is NaN.

    Raises
    ------
    ShapeError, DtypeError, TooLargeError
        As `maximum_pool`, and DtypeError if scipy.sparse has no arrays of X's dtype.

    Notes
    -----
    Where two or more pixels of a window are the largest, the maximum has no derivative. The first of them in vec order
    takes it all, as in PyTorch: that is one of the generalised Jacobians, the limit of those at images near by in which
    the first is the larger one.

    Examples
    --------
    >>> maximum_pool_jacobian([[[1, 3, 3]]], pooling_geometry((1, 1, 3), (1, 2), stride=1)).toarray()
    array([[0, 1, 0],
           [0, 1, 0]])
    """
    X = check_pooling(geometry).check_array("X", X, "image")
    pixels, values = _chosen_by_table(X, geometry)
    arrays = (values.astype(sparse_dtype("X", X.dtype)), pixels, np.arange(pixels.size + 1))
    return csr_array(arrays, shape=(pixels.size, geometry.pixels))


def _chosen_by_table(X: Array, geometry: Geometry) -> Chosen:
    """Choose along the rows of the pixel table."""
    _check_no_empty_window(geometry)
    chosen = []
    for group in range(geometry.groups):
        P = geometry.pixel_table(group=group)
        rows = np.arange(len(P))
        # The window's first pixel in place of the padding: it changes neither the maximum nor which pixel comes first.
        P = np.where(P < 0, P[rows, np.argmax(P >= 0, axis=1)][:, None], P)
        chosen.append(P[rows, np.argmax(X.ravel()[P], axis=1)])
    pixels = np.concatenate(chosen)
    return Chosen(pixels, _derivatives(X.ravel()[pixels]))


def chosen_by_windows(X: Array, geometry: Geometry) -> Chosen:
    """Choose by comparing all windows at once, place by place, without the pixel table.

    Parameters
    ----------
    X : ndarray, shape geometry.image
        The image.
    geometry : Geometry
        The layer, of `pooling_geometry`.

    Returns
    -------
    Chosen
        Both arrays of the shape geometry.responses.

    Raises
    ------
    ShapeError, TooLargeError
        As `maximum_pool`.
    """
    _check_no_empty_window(geometry)
    what = f"the padded image of {geometry!r} with its indices"
    check_bytes(what, 6 * geometry.image[0] * math.prod(geometry.padded) * 8, "pool fewer planes at a time")
    outside = ((0, 0), *geometry.padding)
    numbered = np.pad(np.arange(X.size, dtype=np.int64).reshape(X.shape), outside, constant_values=-1)
    places = zip(_places(np.pad(X, outside), geometry), _places(numbered, geometry), strict=True)
    best, pixels = (first.copy() for first in next(places))
    for value, pixel in places:
        larger = (value > best) | (np.isnan(value) & ~np.isnan(best))
        better = (pixel >= 0) & (larger | (pixels < 0))
        np.copyto(best, value, where=better)
        np.copyto(pixels, pixel, where=better)
    return Chosen(pixels, _derivatives(best))


def _places(padded: Array, geometry: Geometry) -> Iterator[Array]:
    """For each place of the window in turn, what all windows have there: a view of a padded array."""
    axes = list(zip(geometry.stride, geometry.dilation, geometry.responses[1:], strict=True))
    for place in itertools.product(*map(range, geometry.filters[2:])):
        starts = [i * dilation for i, (_, dilation, _) in zip(place, axes, strict=True)]
        ends = [start + (out - 1) * step + 1 for start, (step, _, out) in zip(starts, axes, strict=True)]
        steps = [step for step, _, _ in axes]
        yield padded[:, *map(slice, starts, ends, steps)]


def _derivatives(maxima: Array) -> Array:
    """Return 1 for each maximum, and NaN where that is NaN, in its dtype."""
    return np.where(np.isnan(maxima), maxima, np.ones_like(maxima))


def scatter(G: Array, chosen: Chosen, geometry: Geometry) -> Array:
    """Give each entry of upstream gradients to the pixel that its window has chosen.

    Parameters
    ----------
    G : ndarray, shape (d · positions, k)
        k upstream gradients vec(∂l/∂Y), as columns.
    chosen : Chosen
        Of `chosen_by_windows`.
    geometry : Geometry
        The layer, of `pooling_geometry`.

    Returns
    -------
    ndarray, shape (pixels, k)
        vec(∂l/∂X), as columns: a pixel gets the sum over the windows that have chosen it.

    Raises
    ------
    OverflowError
        If integers are so large that a sum may leave int64.
    """
    shares = G * chosen.values.reshape(-1, 1)
    if shares.dtype.kind in "iu":
        check_int64("the gradient of a pixel in several windows", magnitude(shares) * geometry.taps)
    gradients = np.zeros((G.shape[1], geometry.pixels), shares.dtype)
    for gradient, share in zip(gradients, shares.T, strict=True):
        np.add.at(gradient, chosen.pixels.ravel(), share)
    return gradients.T


# arguments ------------------------------------------------------------------------------------------------------------


def check_pooling(geometry: object) -> Geometry:
    """Return `geometry` if it is that of a pooling layer.

    Parameters
    ----------
    geometry : object
        What was given.

    Returns
    -------
    Geometry
        The same.

    Raises
    ------
    TypeError
        If it is no geometry.
    ShapeError
        If it does not have one filter of one plane for each plane of the image.
    """
    geometry = check_geometry(geometry)
    d = geometry.image[0]
    if geometry.filters[:2] == (d, 1):  # so that there are d groups
        return geometry
    raise ShapeError(
        f"geometry is {geometry!r}; pooling needs one filter of one plane for each of the {d} planes: "
        f"pooling_geometry({geometry.image}, {geometry.filters[2:]}, …)"
    )


def _check_no_empty_window(geometry: Geometry) -> None:
    for axis in range(geometry.spatial_ndim):
        first, stop = geometry.axis_reach(axis)
        empty = np.flatnonzero(first == stop)
        if empty.size:
            raise ShapeError(
                f"geometry is {geometry!r}, of which window {empty[0]} on spatial axis {axis} lies wholly in padding: "
                "it has neither a mean nor a maximum; pad less than the window is wide"
            )
