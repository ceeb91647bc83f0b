"""The convolution forms: responses and gradients of a convolution layer by strided windows over zero-padded arrays.

Nothing here uses the pixel table or a matrix. That is why it is evidence if this module and `jacobians.matrices`
agree. What deep learning calls convolution does not rotate the filter (L1).

Stride and dilation are exchanged in the backward pass: a window that moves by the stride in the forward pass has taps
that lie a stride apart in the backward pass, and the other way round (docs/learn/beyond.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from jacobians.arguments import numeric
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry, check_geometry
from jacobians.sizes import check_bytes

__all__ = ["bias_gradient", "convolve", "filter_gradient", "input_gradient", "rot180", "zero_pad"]

Array = npt.NDArray[Any]

# Entries of the windows that are copied at once.
SLAB_ENTRIES = 1 << 22


def convolve(
    X: npt.ArrayLike, F: npt.ArrayLike, geometry: Geometry | None = None, *, bias: npt.ArrayLike | None = None
) -> Array:
    """Compute the responses S_i = X ∗ F_i + b_i of a convolution layer (L1, L2).

    Parameters
    ----------
    X : array_like, shape (d, *spatial)
        The image, integers or real floating-point numbers.
    F : array_like, shape (n, d // groups, *taps)
        The filters.
    geometry : Geometry, optional
        Stride, padding, dilation and groups; by default stride 1, no padding, no dilation and one group.
    bias : array_like, shape (n,), optional
        One scalar per filter.

    Returns
    -------
    ndarray, shape (n, *out)
        For two axes ``S[i, l, m] = Σ_k Σ_a Σ_b X[k, l·s_h + a·δ_h − p_h, m·s_w + b·δ_w − p_w] F[i, k, a, b] + b_i``,
        with zeros outside the image. int64 for integers, otherwise the dtype that NumPy gives to the operands, in
        which the sum is accumulated.

    Raises
    ------
    ShapeError
        If an array has another shape than the geometry says.
    DtypeError
        If entries are neither integers nor real floating-point numbers.
    OverflowError
        If integers are so large that a sum of these lengths may not fit in int64.
    TooLargeError
        If the padded image, the result or a copy of an array does not fit into memory.

    Examples
    --------
    >>> import numpy as np
    >>> convolve(np.arange(12).reshape(1, 3, 4), [[[[1, 0], [0, 2]]]])
    array([[[10, 13, 16],
            [22, 25, 28]]])
    """
    geometry = _plain(X, F) if geometry is None else check_geometry(geometry)
    X, F = geometry.check_array("X", X, "image"), geometry.check_array("F", F, "filters")
    b = np.zeros(geometry.filters[0], np.int8) if bias is None else geometry.check_array("bias", bias, "bias")
    dtype = _accumulator({"X": X, "F": F}, geometry.taps, {} if bias is None else {"bias": b})
    S = forward_sums(X.astype(dtype), F.astype(dtype), geometry)
    S += np.expand_dims(b.astype(dtype), tuple(range(1, S.ndim)))
    return S


def filter_gradient(X: npt.ArrayLike, G: npt.ArrayLike, geometry: Geometry) -> Array:
    """Compute ∂l/∂F = {X_k ∗ ∂l/∂S_i} (L12).

    Parameters
    ----------
    X : array_like, shape geometry.image
        The image.
    G : array_like, shape geometry.responses
        The upstream gradient ∂l/∂S.
    geometry : Geometry
        The layer.

    Returns
    -------
    ndarray, shape geometry.filters
        ``dF[i, k, a, b] = Σ_l Σ_m G[i, l, m] X[k, l·s_h + a·δ_h − p_h, m·s_w + b·δ_w − p_w]``: the image convolved with
        the upstream gradient, which is dilated by the stride, at steps of the dilation, and cut to the size of the
        filter. The dtype is that of `convolve`.

    Raises
    ------
    ShapeError, DtypeError, OverflowError, TooLargeError
        As `convolve`.

    Examples
    --------
    >>> import numpy as np
    >>> geometry = Geometry((1, 3, 4), (1, 1, 2, 2))
    >>> filter_gradient(np.arange(12).reshape(1, 3, 4), [[[1, 0, 0], [0, 0, 2]]], geometry)
    array([[[[12, 15],
             [24, 27]]]])
    """
    geometry = check_geometry(geometry)
    X, G = geometry.check_array("X", X, "image"), geometry.check_array("G", G, "responses")
    dtype = _accumulator({"X": X, "G": G}, geometry.positions)
    return filter_sums(X.astype(dtype), G.astype(dtype), geometry)


def input_gradient(G: npt.ArrayLike, F: npt.ArrayLike, geometry: Geometry) -> Array:
    """Compute ∂l/∂X = Σ_i {G_i^zero-pad ∗ F_ik^rot180} (L18, L19, L20).

    Parameters
    ----------
    G : array_like, shape geometry.responses
        The upstream gradient ∂l/∂S.
    F : array_like, shape geometry.filters
        The filters.
    geometry : Geometry
        The layer.

    Returns
    -------
    ndarray, shape geometry.image
        ``dX[k, y, x] = Σ_i Σ_l Σ_m Σ_a Σ_b G[i, l, m] F[i, k, a, b]`` over all responses and taps with
        ``l·s_h + a·δ_h − p_h = y`` and ``m·s_w + b·δ_w − p_w = x``. The dtype is that of `convolve`.

    Raises
    ------
    ShapeError, DtypeError, OverflowError, TooLargeError
        As `convolve`.

    Examples
    --------
    >>> geometry = Geometry((1, 1, 3), (1, 1, 1, 2))
    >>> input_gradient([[[1, 10]]], [[[[2, 3]]]], geometry)
    array([[[ 2, 23, 30]]])
    """
    geometry = check_geometry(geometry)
    G, F = geometry.check_array("G", G, "responses"), geometry.check_array("F", F, "filters")
    terms = geometry.filters_per_group * math.prod(geometry.filters[2:])
    dtype = _accumulator({"G": G, "F": F}, terms)
    return input_sums(G.astype(dtype), F.astype(dtype), geometry)


def bias_gradient(G: npt.ArrayLike) -> Array:
    """Compute ∂l/∂b_i, the sum of ∂l/∂S_i (L21).

    Parameters
    ----------
    G : array_like, shape (n, *out)
        The upstream gradient ∂l/∂S.

    Returns
    -------
    ndarray, shape (n,)
        ``db[i] = Σ_l Σ_m G[i, l, m]``; int64 for integers, otherwise the dtype of G.

    Raises
    ------
    ShapeError
        If G has no spatial axis.
    DtypeError, OverflowError, TooLargeError
        As `convolve`.

    Examples
    --------
    >>> bias_gradient([[[1, 2, 3]], [[4, 5, 6]]])
    array([ 6, 15])
    """
    G = numeric("G", G)
    if G.ndim < 2 or not G.size:
        raise ShapeError(f"G has shape {G.shape}; it needs (n, *out) with at least one spatial axis and no empty one")
    dtype = _accumulator({"G": G}, math.prod(G.shape[1:]))
    return np.asarray(response_sums(G.astype(dtype)))


def zero_pad(G: npt.ArrayLike, geometry: Geometry) -> Array:
    """Put zeros into and around the upstream gradient, so that ∂l/∂X is a convolution: G^zero-pad (L18).

    Parameters
    ----------
    G : array_like, shape geometry.responses
        The upstream gradient ∂l/∂S.
    geometry : Geometry
        The layer.

    Returns
    -------
    ndarray, shape (n, *sizes), dtype of G
        G with ``stride − 1`` zeros between its entries and ``extent − 1`` zeros on every side. Behind it, there is also
        a zero for each row and column of the tail, which no window reached. ``sizes = padded image + extent − 1`` on
        each axis: for the lecture's example, 4×4 becomes 8×8.

    Raises
    ------
    ShapeError, DtypeError, TooLargeError
        As `convolve`.

    Examples
    --------
    >>> zero_pad([[[1, 2]]], Geometry((1, 1, 5), (1, 1, 1, 2), stride=(1, 2)))
    array([[[0, 1, 0, 2, 0, 0]]])
    """
    geometry = check_geometry(geometry)
    return spread(geometry.check_array("G", G, "responses"), geometry)


def rot180(F: npt.ArrayLike) -> Array:
    """Rotate every filter by 180°: reverse all of its spatial axes (L18).

    Parameters
    ----------
    F : array_like, shape (n, d // groups, *taps)
        The filters.

    Returns
    -------
    ndarray, shape of F
        ``R[i, k, a, b] = F[i, k, f_h − 1 − a, f_w − 1 − b]``; a view of the same memory.

    Raises
    ------
    ShapeError
        If F has no spatial axis.
    DtypeError
        As `convolve`.

    Examples
    --------
    >>> rot180([[[[1, 2, 3], [4, 5, 6]]]])
    array([[[[6, 5, 4],
             [3, 2, 1]]]])
    """
    F = numeric("F", F)
    if F.ndim < 3:
        raise ShapeError(
            f"F has shape {F.shape}; it needs (n, d // groups, *taps) with at least one spatial axis: "
            "for a single plane of taps write F[None, None]"
        )
    return turn(F)


# the sums, for entries of any dtype -----------------------------------------------------------------------------------


def forward_sums(X: Array, F: Array, geometry: Geometry) -> Array:
    """Sum the products of L1 for entries of any dtype, symbols included: `convolve` without checks and bias."""
    windows = _windows(_pad(X, geometry), geometry.filters[2:], geometry.stride, geometry.dilation)
    planes_and_taps = _axes(windows.ndim, geometry.spatial_ndim)
    return np.concatenate(
        [
            _contract(F[geometry.filters_of(group)], windows[geometry.planes_of(group)], planes_and_taps, joined=1)
            for group in range(geometry.groups)
        ]
    )


def filter_sums(X: Array, G: Array, geometry: Geometry) -> Array:
    """Sum the products of L12 for entries of any dtype, symbols included: `filter_gradient` without checks."""
    # The tail, and what else of the image lies behind the last window, gives positions behind the filter's last tap.
    windows = _windows(_pad(X, geometry), geometry.responses[1:], geometry.dilation, geometry.stride)
    windows = windows[:, *(slice(0, taps) for taps in geometry.filters[2:])]
    axes = range(1, 1 + geometry.spatial_ndim)
    responses = (list(axes), [geometry.spatial_ndim + axis for axis in axes])
    return np.concatenate(
        [
            _contract(G[geometry.filters_of(group)], windows[geometry.planes_of(group)], responses, joined=2)
            for group in range(geometry.groups)
        ]
    )


def input_sums(G: Array, F: Array, geometry: Geometry) -> Array:
    """Sum the products of L18 … L20 for entries of any dtype, symbols included: `input_gradient` without checks."""
    ones = (1,) * geometry.spatial_ndim
    windows = _windows(spread(G, geometry), geometry.filters[2:], ones, geometry.dilation)
    turned = np.moveaxis(turn(F), 1, 0)
    filters_and_taps = _axes(windows.ndim, geometry.spatial_ndim)
    padded = np.concatenate(
        [
            _contract(
                turned[:, geometry.filters_of(group)], windows[geometry.filters_of(group)], filters_and_taps, joined=1
            )
            for group in range(geometry.groups)
        ]
    )
    sides = zip(geometry.padding, geometry.image[1:], strict=True)
    return padded[:, *(slice(before, before + size) for (before, _), size in sides)]


def response_sums(G: Array) -> Array:
    """Sum each response map of entries of any dtype: `bias_gradient` without checks."""
    sums: Array = np.sum(G, axis=tuple(range(1, G.ndim)))
    return sums


def spread(G: Array, geometry: Geometry) -> Array:
    """Spread and zero-pad entries of any dtype: `zero_pad` without checks."""
    sizes = [size + extent - 1 for size, extent in zip(geometry.padded, geometry.extent, strict=True)]
    _check_memory("G^zero-pad", (G.shape[0], *sizes), G.dtype)
    result = np.zeros((G.shape[0], *sizes), G.dtype)
    places = zip(geometry.extent, geometry.stride, G.shape[1:], strict=True)
    result[:, *(slice(extent - 1, extent - 1 + step * count, step) for extent, step, count in places)] = G
    return result


def turn(F: Array) -> Array:
    """Rotate filters with entries of any dtype: `rot180` without checks."""
    return np.flip(F, axis=tuple(range(2, F.ndim)))


def _plain(X: npt.ArrayLike, F: npt.ArrayLike) -> Geometry:
    shapes = numeric("X", X).shape, numeric("F", F).shape
    try:
        return Geometry(*shapes)
    except ShapeError as error:
        raise ShapeError(
            f"X of shape {shapes[0]} is the image and F of shape {shapes[1]} the filters: {error}"
        ) from None


def _pad(X: Array, geometry: Geometry) -> Array:
    if not any(map(any, geometry.padding)):
        return X
    _check_memory("the padded image", (len(X), *geometry.padded), X.dtype)
    return np.pad(X, ((0, 0), *geometry.padding))


def _windows(A: Array, taps: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Array:
    """Return the windows of `A` as a view of shape (planes, *positions, *taps)."""
    axes = tuple(range(1, A.ndim))
    extent = tuple((k - 1) * step + 1 for k, step in zip(taps, dilation, strict=True))
    view = sliding_window_view(A, extent, axes)
    return view[:, *(slice(None, None, step) for step in stride), *(slice(None, None, step) for step in dilation)]


def _contract(weights: Array, windows: Array, axes: tuple[list[int], list[int]], *, joined: int) -> Array:
    """Sum products over `axes`, slab by slab along the first position axis, which is axis `joined` of the result."""
    # The product copies the windows that it is given, taps times as many entries as the image has: a slab bounds that.
    outer = [
        [size for axis, size in enumerate(each.shape) if axis not in summed]
        for each, summed in zip((weights, windows), axes, strict=True)
    ]
    _check_memory("the result", (*outer[0], *outer[1]), windows.dtype)
    step = max(1, SLAB_ENTRIES * windows.shape[1] // windows.size)
    slabs = [
        np.tensordot(weights, windows[:, first : first + step], axes) for first in range(0, windows.shape[1], step)
    ]
    return np.concatenate(slabs, axis=joined)


def _check_memory(what: str, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    cure = "convolve fewer rows of the image at a time"
    check_bytes(f"{what}, of shape {tuple(shape)},", math.prod(shape) * dtype.itemsize, cure)


def _axes(ndim: int, spatial_ndim: int) -> tuple[list[int], list[int]]:
    """Axes to sum over: planes and taps, of filters and of windows."""
    return [1, *range(2, 2 + spatial_ndim)], [0, *range(ndim - spatial_ndim, ndim)]


def _accumulator(factors: dict[str, Array], terms: int, summands: dict[str, Array] | None = None) -> np.dtype[Any]:
    """Return the dtype to sum in; refuse integers whose sum may leave int64, by the bound Π max|factor| · terms."""
    arrays = {**factors, **(summands or {})}
    for name, array in arrays.items():
        _check_memory(f"a copy of {name}", array.shape, array.dtype)
    if any(array.dtype.kind == "f" for array in arrays.values()):
        return np.result_type(*arrays.values())
    largest = {name: max(abs(int(array.max())), abs(int(array.min()))) for name, array in arrays.items()}
    bound = terms * math.prod(largest[name] for name in factors) + sum(largest[name] for name in summands or {})
    if bound > np.iinfo(np.int64).max or max(largest.values()) > np.iinfo(np.int64).max:
        sizes = ", ".join(f"max|{name}| = {value}" for name, value in largest.items())
        raise OverflowError(
            f"the integers are too large for int64: with {sizes} and terms = {terms} a sum may reach {bound}, "
            "above 2⁶³ − 1; make them smaller, or use float64"
        )
    return np.dtype(np.int64)
