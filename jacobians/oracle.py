"""The literal triple sum of L1, and its derivatives.

Everything else is compared with these loops over the indices of L1, which share nothing with the pixel table or with
strided windows. Since ``l = Σ g_r S_r``, S, ∂l/∂F and ∂l/∂X are one list of products, summed by response, by tap and by
pixel. Entries may be of any dtype, polynomials included.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.geometry import Geometry

__all__ = ["filter_gradient", "input_gradient", "responses", "triples"]

Array = npt.NDArray[Any]


@functools.lru_cache(maxsize=512)
def triples(geometry: Geometry) -> tuple[Array, Array, Array]:
    """Write out the triple sum of L1: which pixel times which tap is added to which response.

    Parameters
    ----------
    geometry : Geometry
        The layer.

    Returns
    -------
    r, p, q : ndarray of int64
        One entry per product of L1, in the order of its sums: ``vec(S)[r] += vec(X)[p] · vec(F)[q]``.

    Notes
    -----
    Literal loops over the indices of L1. The arrays are kept and shared, and may not be written to.
    """
    found = [
        (
            _flat((i, *lm), geometry.responses),
            _flat((k, *pixel), geometry.image),
            _flat((i, k - first, *tap), geometry.filters),
        )
        for i, lm, k, first, tap, pixel in _products(geometry)
    ]
    table = np.array(found, np.int64).reshape(-1, 3).T
    table.flags.writeable = False
    r, p, q = table
    return r, p, q


def responses(X: Array, F: Array, geometry: Geometry) -> Array:
    """Sum S by L1, term by term.

    Parameters
    ----------
    X : ndarray, shape geometry.image
        The image.
    F : ndarray, shape geometry.filters
        The filters.
    geometry : Geometry
        The layer.

    Returns
    -------
    ndarray, shape geometry.responses
        ``vec(S)[r] = Σ vec(X)[p] · vec(F)[q]``, summed in the dtype of the products.
    """
    r, p, q = triples(geometry)
    return _summed(r, X.ravel()[p] * F.ravel()[q], geometry.responses)


def filter_gradient(X: Array, G: Array, geometry: Geometry) -> Array:
    """Sum ∂l/∂F, the derivative of l = Σ g S with respect to every tap, term by term (L10).

    Parameters
    ----------
    X : ndarray, shape geometry.image
        The image.
    G : ndarray, shape geometry.responses
        The upstream gradient ∂l/∂S.
    geometry : Geometry
        The layer.

    Returns
    -------
    ndarray, shape geometry.filters
        ``∂l/∂vec(F)[q] = Σ vec(G)[r] · vec(X)[p]``, summed in the dtype of the products.
    """
    r, p, q = triples(geometry)
    return _summed(q, G.ravel()[r] * X.ravel()[p], geometry.filters)


def input_gradient(G: Array, F: Array, geometry: Geometry) -> Array:
    """Sum ∂l/∂X, the derivative of l = Σ g S with respect to every pixel, term by term (L16).

    Parameters
    ----------
    G : ndarray, shape geometry.responses
        The upstream gradient ∂l/∂S.
    F : ndarray, shape geometry.filters
        The filters.
    geometry : Geometry
        The layer.

    Returns
    -------
    ndarray, shape geometry.image
        ``∂l/∂vec(X)[p] = Σ vec(G)[r] · vec(F)[q]``, summed in the dtype of the products.
    """
    r, p, q = triples(geometry)
    return _summed(p, G.ravel()[r] * F.ravel()[q], geometry.image)


def _summed(where: Array, terms: Array, shape: tuple[int, ...]) -> Array:
    total = np.zeros(math.prod(shape), terms.dtype)
    np.add.at(total, where, terms)
    return total.reshape(shape)


def _products(geometry: Geometry) -> Iterator[tuple[Any, ...]]:
    n, per_filter, *sizes = geometry.filters
    before = [first for first, _ in geometry.padding]
    for i in range(n):
        first = per_filter * (i // (n // geometry.groups))
        for lm in itertools.product(*map(range, geometry.responses[1:])):
            for k in range(first, first + per_filter):
                for tap in itertools.product(*map(range, sizes)):
                    pixel = [
                        at * s + a * step - p
                        for at, a, s, step, p in zip(lm, tap, geometry.stride, geometry.dilation, before, strict=True)
                    ]
                    if all(0 <= y < size for y, size in zip(pixel, geometry.image[1:], strict=True)):
                        yield i, lm, k, first, tap, pixel


def _flat(index: Sequence[int], shape: Sequence[int]) -> int:
    return functools.reduce(lambda flat, step: flat * step[1] + step[0], zip(index, shape, strict=True), 0)
