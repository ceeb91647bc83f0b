"""Jacobians of convolution layers as operators: their products by the convolution forms, without their matrices.

An operator multiplies by the same Jacobian that `jacobians.matrices` writes down, by `convolve`, `input_gradient` and
`filter_gradient`. That is how a layer is worked with whose matrix no machine holds: ``svds``, ``lsmr``, ``lobpcg`` and
``onenormest`` of `scipy.sparse.linalg` take it as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from jacobians.convolution import convolve, filter_gradient, input_gradient
from jacobians.geometry import Geometry, check_geometry
from jacobians.matrices import jacobian_wrt_filters, jacobian_wrt_image

__all__ = ["FilterOperator", "LayerOperator", "filter_operator", "layer_operator"]

Array = npt.NDArray[Any]


class _ConvolutionOperator(LinearOperator):
    """What both operators are: a Jacobian with a row per entry of vec(S), which keeps the layer and one operand."""

    _build: Callable[..., csr_array]

    def __init__(self, geometry: Geometry, operand: Array, columns: int) -> None:
        self.geometry = geometry
        self.operand = operand
        rows = geometry.filters[0] * geometry.positions
        dtype = np.dtype(np.int64) if operand.dtype.kind in "iu" else operand.dtype
        super().__init__(dtype, (rows, columns))  # type: ignore[call-arg]  # the stubs know only how functions make one

    def __repr__(self) -> str:
        rows, columns = self.shape
        cost = f"{self.geometry.nonzeros} products for each vector"
        return f"<{rows}×{columns} {type(self).__name__} of {self.dtype}, {cost}: {self.geometry!r}>"

    def matrix(self, *, rows: slice | None = None, max_bytes: int | None = None) -> csr_array:
        """Build the matrix of the operator, as `jacobian_wrt_image` and `jacobian_wrt_filters` do.

        Parameters
        ----------
        rows : slice, optional
            Build only these rows (step 1).
        max_bytes : int, optional
            Largest result in bytes; by default the memory that is available.

        Returns
        -------
        csr_array, shape of the operator, dtype of the operand
            Entry ``[i·t + r, P[r, c]]`` is tap ``c`` of filter ``i``; of a `FilterOperator`, entry ``[i·t + r,
            i·taps + c]`` is the pixel that tap ``c`` reads for response ``r``.

        Raises
        ------
        ShapeError, DtypeError, TooLargeError
            As `jacobian_wrt_image` and `jacobian_wrt_filters`.
        """
        return self._build(self.operand, self.geometry, rows=rows, max_bytes=max_bytes)

    def _matmat(self, X: Array) -> Array:
        raise NotImplementedError

    def _rmatmat(self, X: Array) -> Array:
        raise NotImplementedError

    def _rmatvec(self, x: Array) -> Array:
        return self._rmatmat(x.reshape(-1, 1)).ravel()


class LayerOperator(_ConvolutionOperator):
    """∂vec(S)/∂vec(X) of a layer as an operator; `layer_operator` makes one.

    Attributes
    ----------
    geometry : Geometry
        The layer.
    operand : ndarray, shape geometry.filters
        The filters.
    """

    _build = staticmethod(jacobian_wrt_image)

    # The columns of a matrix that is multiplied lie along one more spatial axis, on which the filters have one tap.

    def _matmat(self, X: Array) -> Array:
        count = X.shape[1]
        S = convolve(
            X.reshape(*self.geometry.image, count), self.operand[..., None], _side_by_side(self.geometry, count)
        )
        return S.reshape(-1, count)

    def _rmatmat(self, X: Array) -> Array:
        count = X.shape[1]
        G = X.reshape(*self.geometry.responses, count)
        dX = input_gradient(G, self.operand[..., None], _side_by_side(self.geometry, count))
        return dX.reshape(-1, count)


class FilterOperator(_ConvolutionOperator):
    """∂vec(S)/∂vec(F) of a layer as an operator; `filter_operator` makes one.

    Attributes
    ----------
    geometry : Geometry
        The layer.
    operand : ndarray, shape geometry.image
        The image.
    """

    _build = staticmethod(jacobian_wrt_filters)

    # The columns of a matrix that is multiplied are so many filters more, those of one filter next to each other.

    def _matmat(self, X: Array) -> Array:
        n, count = self.geometry.filters[0], X.shape[1]
        F = np.moveaxis(X.reshape(n, -1, count), -1, 1)
        wide = _with_filters(self.geometry, n * count)
        S = convolve(self.operand, F.reshape(wide.filters), wide)
        return np.moveaxis(S.reshape(n, count, -1), 1, -1).reshape(-1, count)

    def _rmatmat(self, X: Array) -> Array:
        n, count = self.geometry.filters[0], X.shape[1]
        G = np.moveaxis(X.reshape(n, -1, count), -1, 1)
        wide = _with_filters(self.geometry, n * count)
        dF = filter_gradient(self.operand, G.reshape(wide.responses), wide)
        return np.moveaxis(dF.reshape(n, count, -1), 1, -1).reshape(-1, count)


def layer_operator(F: npt.ArrayLike, geometry: Geometry) -> LayerOperator:
    """Return ∂vec(S)/∂vec(X), the layer's Jacobian with respect to the image, as an operator (L13 … L16).

    Parameters
    ----------
    F : array_like, shape geometry.filters
        All filters, integers or real floating-point numbers.
    geometry : Geometry
        The layer.

    Returns
    -------
    LayerOperator, shape (n · positions, pixels)
        A `scipy.sparse.linalg.LinearOperator`. Its product with ``vec(X)`` is ``vec(X ∗ F)``, the responses without
        bias; the product of its transpose with ``vec(∂l/∂S)`` is ``vec(∂l/∂X)``. The dtype is that of F, and int64 for
        integers; a product has the dtype that NumPy gives to the operands, so float32 stays float32. ``.matrix()``
        builds the sparse matrix.

    Raises
    ------
    ShapeError
        If F has another shape than the geometry says.
    DtypeError
        If entries are neither integers nor real floating-point numbers; the products raise it for other vectors.
    OverflowError
        Raised by the products if integers are so large that a sum may not fit in int64.
    TooLargeError
        Raised by the products if a result does not fit into memory, and by ``.matrix()``.

    Examples
    --------
    >>> import numpy as np
    >>> geometry = Geometry((1, 1, 3), (2, 1, 1, 2))
    >>> A = layer_operator([[[[1, 2]]], [[[3, 4]]]], geometry)
    >>> A
    <4×3 LayerOperator of int64, 8 products for each vector: Geometry((1, 1, 3), (2, 1, 1, 2))>
    >>> A @ np.array([1, 10, 100])
    array([ 21, 210,  43, 430])
    >>> A.T @ np.array([1, 10, 100, 1000])
    array([ 301, 3412, 4020])
    """
    geometry = check_geometry(geometry)
    return LayerOperator(geometry, geometry.check_array("F", F, "filters"), geometry.pixels)


def filter_operator(X: npt.ArrayLike, geometry: Geometry) -> FilterOperator:
    """Return ∂vec(S)/∂vec(F), the layer's Jacobian with respect to the filters, as an operator (L7 … L10).

    Parameters
    ----------
    X : array_like, shape geometry.image
        The image, integers or real floating-point numbers.
    geometry : Geometry
        The layer.

    Returns
    -------
    FilterOperator, shape (n · positions, n · taps)
        As `layer_operator`. Its product with ``vec(F)`` is ``vec(X ∗ F)``; the product of its transpose with
        ``vec(∂l/∂S)`` is ``vec(∂l/∂F)``.

    Raises
    ------
    ShapeError, DtypeError, OverflowError, TooLargeError
        As `layer_operator`.

    Examples
    --------
    >>> import numpy as np
    >>> A = filter_operator([[[5, 6, 7]]], Geometry((1, 1, 3), (2, 1, 1, 2)))
    >>> A @ np.array([1, 10, 100, 1000])
    array([  65,   76, 6500, 7600])
    >>> A.T @ np.array([1, 10, 100, 1000])
    array([  65,   76, 6500, 7600])
    """
    geometry = check_geometry(geometry)
    columns = geometry.filters[0] * geometry.taps
    return FilterOperator(geometry, geometry.check_array("X", X, "image"), columns)


def _side_by_side(geometry: Geometry, count: int) -> Geometry:
    """Return the layer of `count` images that lie along one more spatial axis, the last, of a single tap."""
    return Geometry(
        (*geometry.image, count),
        (*geometry.filters, 1),
        stride=(*geometry.stride, 1),
        padding=(*geometry.padding, (0, 0)),
        dilation=(*geometry.dilation, 1),
        groups=geometry.groups,
    )


def _with_filters(geometry: Geometry, filters: int) -> Geometry:
    return Geometry(
        geometry.image,
        (filters, *geometry.filters[1:]),
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
        groups=geometry.groups,
    )
