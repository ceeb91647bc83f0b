"""The convolution forms: responses and gradients of a convolution layer by strided windows over zero-padded arrays.

Nothing here uses the pixel table or a matrix. That is why it is evidence if this module and `jacobians.matrices`
agree. What deep learning calls convolution does not rotate the filter (L1).

Stride and dilation are exchanged in the backward pass: a window that moves by the stride in the forward pass has taps
that lie a stride apart in the backward pass, and the other way round.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from jacobians.arguments import numeric
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry, check_geometry
from jacobians.sizes import check_bytes, magnitude

__all__ = ["bias_gradient", "convolve", "filter_gradient", "input_gradient", "rot180", "zero_pad"]

Array = npt.NDArray[Any]

# Entries of the windows that are copied at once.
SLAB_ENTRIES = 1 << 18


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
    summands = {} if bias is None else {"bias": geometry.check_array("bias", bias, "bias")}
    dtype = _accumulator({"X": X, "F": F}, geometry.taps, summands)
    S = forward_sums(X.astype(dtype, copy=False), F.astype(dtype, copy=False), geometry)
    for b in summands.values():
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
    return filter_sums(X.astype(dtype, copy=False), G.astype(dtype, copy=False), geometry)


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
    return input_sums(G.astype(dtype, copy=False), F.astype(dtype, copy=False), geometry)


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
    return _correlate(F, windows, geometry.groups)


def filter_sums(X: Array, G: Array, geometry: Geometry) -> Array:
    """Sum the products of L12 for entries of any dtype, symbols included: `filter_gradient` without checks."""
    windows = _windows(_pad(X, geometry), geometry.filters[2:], geometry.stride, geometry.dilation)
    maps = G.reshape(geometry.groups, geometry.filters_per_group, *geometry.responses[1:])
    slabs = (
        maps[:, :, slab].reshape(*maps.shape[:2], -1) @ patches.swapaxes(1, 2)
        for slab, patches in _patches(windows, geometry.groups, SLAB_ENTRIES)
    )
    total: Array = functools.reduce(np.add, slabs)
    return total.reshape(geometry.filters)


def input_sums(G: Array, F: Array, geometry: Geometry) -> Array:
    """Sum the products of L18 … L20 for entries of any dtype, symbols included: `input_gradient` without checks."""
    # Pixels that lie a stride apart meet the zeros that the stride puts into G^zero-pad at the same taps, so these
    # zeros and taps are left out: one convolution for each residue of the pixel's index.
    lattice = _pad_to_lattice(G, geometry)
    by_group = turn(F).reshape(geometry.groups, geometry.filters_per_group, *geometry.filters[1:])
    turned = by_group.swapaxes(1, 2).reshape(geometry.image[0], -1, *geometry.filters[2:])
    _check_memory("the gradient of the padded image", (geometry.image[0], *geometry.padded), lattice.dtype)
    padded = np.zeros((geometry.image[0], *geometry.padded), np.result_type(G, F))
    for residues in itertools.product(*map(range, geometry.stride)):
        axes = [_Residue(geometry, axis, residue) for axis, residue in enumerate(residues)]
        pixels = padded[:, *(slice(each.residue, None, each.stride) for each in axes)]
        weights = turned[:, :, *(slice(each.taps.start, each.taps.stop, each.taps.step) for each in axes)]
        if pixels.size and weights.size:
            met = lattice[:, *(slice(each.start, None) for each in axes)]
            windows = _windows(met, weights.shape[2:], (1,) * len(axes), [each.dilation for each in axes])
            windows = windows[:, *map(slice, pixels.shape[1:])]
            pixels[...] = _correlate(weights, windows, geometry.groups)
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


def _pad_to_lattice(G: Array, geometry: Geometry) -> Array:
    """Return every stride-th entry of G^zero-pad on each axis, beginning so that G's own entries are among them."""
    sides = []
    for axis, count in enumerate(G.shape[1:]):
        stride, edge = geometry.stride[axis], geometry.extent[axis] - 1
        kept = len(range(edge % stride, geometry.padded[axis] + edge, stride))
        sides.append((edge // stride, kept - edge // stride - count))
    shape = [count + sum(side) for count, side in zip(G.shape[1:], sides, strict=True)]
    _check_memory("G^zero-pad", (G.shape[0], *shape), G.dtype)
    return np.pad(G, ((0, 0), *sides))


class _Residue:
    """What the pixels of one residue by the stride meet on one axis of G^zero-pad that is not zero by its place.

    Entry l of G stands at ``extent − 1 + stride · l``; tap a of the rotated filter reads ``pixel + a · dilation``.
    """

    def __init__(self, geometry: Geometry, axis: int, residue: int) -> None:
        stride, dilation, taps = geometry.stride[axis], geometry.dilation[axis], geometry.filters[2 + axis]
        edge, common = geometry.extent[axis] - 1, math.gcd(stride, dilation)
        first = next((a for a in range(taps) if (residue + a * dilation - edge) % stride == 0), taps)
        self.residue, self.stride = residue, stride
        self.taps = range(first, taps, stride // common)
        self.dilation = dilation // common
        """Steps of the lattice from one of these taps to the next."""
        self.start = (residue + first * dilation - edge % stride) // stride
        """Where the first of these taps reads the lattice for the first of these pixels."""


def _windows(A: Array, taps: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Array:
    """Return the windows of `A` as a view of shape (planes, *positions, *taps)."""
    axes = tuple(range(1, A.ndim))
    extent = tuple((k - 1) * step + 1 for k, step in zip(taps, dilation, strict=True))
    view = sliding_window_view(A, extent, axes)
    return view[:, *(slice(None, None, step) for step in stride), *(slice(None, None, step) for step in dilation)]


def _correlate(weights: Array, windows: Array, groups: int) -> Array:
    """Sum the products of weights (n, planes of a group, *taps) and windows (planes, *positions, *taps) over taps."""
    positions = windows.shape[1 : 1 + windows.ndim // 2]
    dtype = np.result_type(weights, windows)
    _check_memory("the result", (len(weights), *positions), dtype)
    result = np.empty((groups, len(weights) // groups, *positions), dtype)
    rows = weights.reshape(*result.shape[:2], -1)
    # The product reads all weights once a slab: slabs that are smaller would read them more often than the windows.
    for slab, patches in _patches(windows, groups, max(SLAB_ENTRIES, weights.size)):
        result[:, :, slab] = (rows @ patches).reshape(result[:, :, slab].shape)
    return result.reshape(len(weights), *positions)


def _patches(windows: Array, groups: int, entries: int) -> Iterator[tuple[slice, Array]]:
    """Copy windows, slab by slab along the first position axis, to (groups, planes · taps, positions) each."""
    # The copies have taps times as many entries as the image; slabs of some `entries` bound that and stay in the cache.
    axes = windows.ndim // 2
    grouped = windows.reshape(groups, -1, *windows.shape[1:])
    ordered = grouped.transpose(0, 1, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes))
    count = windows.shape[1]
    terms = math.prod(ordered.shape[1 : 2 + axes])
    step = max(1, entries * count // windows.size)
    for first in range(0, count, step):
        slab = slice(first, first + step)
        part = np.moveaxis(np.moveaxis(ordered, 2 + axes, 0)[slab], 0, 2 + axes)
        yield slab, part.reshape(groups, terms, -1)


def _check_memory(what: str, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    cure = "convolve fewer rows of the image at a time"
    check_bytes(f"{what}, of shape {tuple(shape)},", math.prod(shape) * dtype.itemsize, cure)


def _accumulator(factors: dict[str, Array], terms: int, summands: dict[str, Array] | None = None) -> np.dtype[Any]:
    """Return the dtype to sum in; refuse integers whose sum may leave int64, by the bound Π max|factor| · terms."""
    arrays = {**factors, **(summands or {})}
    for name, array in arrays.items():
        _check_memory(f"a copy of {name}", array.shape, array.dtype)
    if any(array.dtype.kind == "f" for array in arrays.values()):
        return np.result_type(*arrays.values())
    largest = {name: magnitude(array) for name, array in arrays.items()}
    bound = terms * math.prod(largest[name] for name in factors) + sum(largest[name] for name in summands or {})
    if bound > np.iinfo(np.int64).max or max(largest.values()) > np.iinfo(np.int64).max:
        sizes = ", ".join(f"max|{name}| = {value}" for name, value in largest.items())
        raise OverflowError(
            f"the integers are too large for int64: with {sizes} and terms = {terms} a sum may reach {bound}, "
            "above 2⁶³ − 1; make them smaller, or use float64"
        )
    return np.dtype(np.int64)
