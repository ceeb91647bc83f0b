"""Both forms of a layer behind one set of names, for numbers and for symbols.

Numbers go through the public functions, checks included. Symbols go through the sums and the placement beneath them,
which take entries of any type. An equation is thus written once, and what it states of symbols is stated of the code
that computes numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians import convolution, matrices, symbolic
from jacobians.geometry import Geometry

Array = npt.NDArray[Any]


def convolve(X: Array, F: Array, geometry: Geometry, bias: Array | None = None) -> Array:
    """S = X ∗ F + b."""
    if not X.dtype.hasobject:
        return convolution.convolve(X, F, geometry, bias=bias)
    S = convolution.forward_sums(X, F, geometry)
    return S if bias is None else S + np.expand_dims(bias, tuple(range(1, S.ndim)))


def filter_gradient(X: Array, G: Array, geometry: Geometry) -> Array:
    """∂l/∂F by convolution."""
    if not X.dtype.hasobject:
        return convolution.filter_gradient(X, G, geometry)
    return convolution.filter_sums(X, G, geometry)


def input_gradient(G: Array, F: Array, geometry: Geometry) -> Array:
    """∂l/∂X by convolution."""
    if not G.dtype.hasobject:
        return convolution.input_gradient(G, F, geometry)
    return convolution.input_sums(G, F, geometry)


def bias_gradient(G: Array) -> Array:
    """∂l/∂b by summation."""
    return convolution.response_sums(G) if G.dtype.hasobject else convolution.bias_gradient(G)


def zero_pad(G: Array, geometry: Geometry) -> Array:
    """G^zero-pad."""
    return convolution.spread(G, geometry) if G.dtype.hasobject else convolution.zero_pad(G, geometry)


def rot180(F: Array) -> Array:
    """F^rot180."""
    return convolution.turn(F) if F.dtype.hasobject else convolution.rot180(F)


def image_matrix(X: Array, geometry: Geometry, group: int = 0) -> Any:
    """M_X^im."""
    if X.dtype.hasobject:
        return symbolic.place_image(X, geometry, group)
    return matrices.image_matrix(X, geometry, group=group)


def filter_matrix(F: Array, geometry: Geometry, i: int) -> Any:
    """M_Fi^filter of filter i of all filters F."""
    if F.dtype.hasobject:
        return symbolic.place_filter(F, geometry, i)
    return matrices.filter_matrix(F[i], geometry, group=geometry.group_of(i))


def stack_matrix(i: int, geometry: Geometry, dtype: np.dtype[Any]) -> Any:
    """∂vec(S)/∂vec(S_i)."""
    if dtype.hasobject:
        return matrices.stack_matrix(i, geometry, dtype=np.int8).toarray().astype(object)
    return matrices.stack_matrix(i, geometry, dtype=dtype)


def jacobian_wrt_image(F: Array, geometry: Geometry) -> Any:
    """∂vec(S)/∂vec(X)."""
    if F.dtype.hasobject:
        return np.concatenate([symbolic.place_filter(F, geometry, i) for i in range(len(F))])
    return matrices.jacobian_wrt_image(F, geometry)


def jacobian_wrt_filters(X: Array, geometry: Geometry) -> Any:
    """∂vec(S)/∂vec(F)."""
    if not X.dtype.hasobject:
        return matrices.jacobian_wrt_filters(X, geometry)
    n, t, taps = geometry.filters[0], geometry.positions, geometry.taps
    stripes = matrices.stripes(geometry, range(n * t), columns=taps)
    maps = [matrices.pixel_entries(X, geometry, stripe.group) for stripe in stripes]
    return symbolic.dense(matrices.stacked(maps, stripes, X.dtype), (n * t, n * taps))


def jacobian_wrt_bias(geometry: Geometry, dtype: np.dtype[Any]) -> Any:
    """∂vec(S)/∂b."""
    if dtype.hasobject:
        return matrices.jacobian_wrt_bias(geometry, dtype=np.int8).toarray().astype(object)
    return matrices.jacobian_wrt_bias(geometry, dtype=dtype)
