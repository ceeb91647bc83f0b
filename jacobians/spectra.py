"""Singular values of a layer's Jacobian ∂vec(S)/∂vec(X), with what is known of their error.

The zero-padded layer's are computed from products alone (Lanczos); those of the same filters with circular padding come
from the Fourier transform of the filters, all of them (Sedghi, Gupta and Long, "The Singular Values of Convolutional
Layers", ICLR 2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse.linalg import LinearOperator, svds

from jacobians.arguments import instance, integer, real, seed_of, shown
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry
from jacobians.models import ConvolutionLayer
from jacobians.operators import LayerOperator, layer_operator
from jacobians.sizes import check_bytes

__all__ = ["SingularValue", "circular_singular_values", "singular_values", "spectral_norm"]

Array = npt.NDArray[Any]

# A matrix of so many entries is decomposed whole, which then costs less than the iteration.
DENSE_ENTRIES = 1 << 20


class SingularValue(float):
    """A singular value, which is a float, and what is known of its error.

    Attributes
    ----------
    error : float
        The operator has a singular value that differs from this one by at most so much: the residual of the computed
        singular vectors u and v, ``√((‖A v − σ u‖² + ‖Aᵀ u − σ v‖²) / (‖u‖² + ‖v‖²))``.
    """

    error: float

    def __new__(cls, value: float, error: float) -> SingularValue:
        """Take a value and its error."""
        self = super().__new__(cls, value)
        self.error = float(error)
        return self

    def __str__(self) -> str:
        return f"{float(self):.6g} ± {self.error:.1e}"

    def __reduce__(self) -> tuple[type[SingularValue], tuple[float, float]]:
        return SingularValue, (float(self), self.error)


def singular_values(
    layer: ConvolutionLayer | LinearOperator, k: int, *, accuracy: float = 1e-6, seed: int = 0
) -> list[SingularValue]:
    """Compute the k largest singular values of ∂vec(S)/∂vec(X), or of any operator.

    Parameters
    ----------
    layer : ConvolutionLayer or scipy.sparse.linalg.LinearOperator
        A layer, whose operator is multiplied with in float64; or an operator, in its own dtype.
    k : int
        How many, 1 … min(operator.shape).
    accuracy : float
        The iteration ends when every residual is at most this share of its singular value; 0 asks for all digits.
    seed : int
        Of the vector with which the iteration begins.

    Returns
    -------
    list of SingularValue
        From the largest down, each with its ``error``. An iteration can pass over values that are equal, or nearly
        equal, to others: each of these is a singular value of the operator within its error, but whether they are the
        largest is not proved. A matrix of up to 2²⁰ entries is decomposed whole, which passes over nothing.

    Raises
    ------
    TypeError
        If `layer` is neither.
    ValueError
        If k is not an integer between 1 and the number of singular values, or `accuracy` is negative or not finite.
    TooLargeError
        If so many singular vectors, or a whole matrix of which all values are asked for, do not fit into memory.
    scipy.sparse.linalg.ArpackNoConvergence
        If the iteration ends without the values; ask for fewer, or with a larger `accuracy`.

    Examples
    --------
    >>> geometry = Geometry((1, 1, 3), (1, 1, 1, 2))
    >>> value = singular_values(layer_operator([[[[3.0, 4.0]]]], geometry), 1)[0]
    >>> round(value, 6), value.error < 1e-12
    (6.082763, True)
    """
    A = _operator(layer)
    k, seed = integer("k", k, least=1, most=min(A.shape)), seed_of(seed)
    if not 0 <= real(accuracy) < math.inf:
        raise ValueError(f"accuracy is {shown(accuracy)}; it needs a share of the values, such as 1e-6, or 0")
    cure = "ask for fewer singular values"
    whole = math.prod(A.shape) <= DENSE_ENTRIES or k == min(A.shape)
    if whole:
        check_bytes(f"the decomposition of a matrix of shape {A.shape}", 3 * math.prod(A.shape) * 8, cure)
        U, values, V = np.linalg.svd(_dense(A), full_matrices=False)
    else:
        check_bytes(f"{k} singular vectors of a matrix of shape {A.shape}", 4 * k * sum(A.shape) * 8, cure)
        start = np.random.default_rng(seed).normal(size=min(A.shape))
        U, values, V = svds(A, k, tol=accuracy, v0=start.astype(A.dtype))
    largest = np.argsort(values)[::-1][:k]
    return _with_errors(A, U[:, largest], values[largest], V[largest].T)


def spectral_norm(layer: ConvolutionLayer | LinearOperator, *, accuracy: float = 1e-6, seed: int = 0) -> SingularValue:
    """Compute the largest singular value of ∂vec(S)/∂vec(X), or of any operator.

    Parameters
    ----------
    layer : ConvolutionLayer or scipy.sparse.linalg.LinearOperator
        As `singular_values`.
    accuracy : float
        As `singular_values`.
    seed : int
        As `singular_values`.

    Returns
    -------
    SingularValue
        By how much the layer can stretch an image at most, with its ``error``. The spectral norm is certainly not below
        this value less its error.

    Raises
    ------
    TypeError, ValueError, TooLargeError, scipy.sparse.linalg.ArpackNoConvergence
        As `singular_values`.

    Examples
    --------
    >>> geometry = Geometry((1, 1, 2), (1, 1, 1, 2))
    >>> round(spectral_norm(layer_operator([[[[3.0, 4.0]]]], geometry)), 6)
    5.0
    """
    return singular_values(layer, 1, accuracy=accuracy, seed=seed)[0]


def circular_singular_values(layer: ConvolutionLayer | LayerOperator) -> Array:
    """Compute all singular values that the layer would have with circular padding.

    Parameters
    ----------
    layer : ConvolutionLayer or LayerOperator
        The layer. Its padding is replaced: the image is continued periodically, and there are as many responses on each
        axis as there are strides.

    Returns
    -------
    ndarray of float64, from the largest down
        For each frequency ω of the responses the singular values of the matrix ``[i, (k, j)] = Σ_a F[i, k, a]
        exp(−2πi · a·δ · (ω/N + j/s)) / √Πs``, over the residues j by the stride s; per group. They are those of
        ∂vec(S)/∂vec(X), with those that are 0 because of its shape left out (Sedghi, Gupta and Long 2019, theorem 6,
        for stride 1). The layer that is padded with zeros to the same image is a part of this matrix, so that none of
        its singular values is larger if the image is not smaller than the padded one.

    Raises
    ------
    TypeError
        If `layer` is neither.
    ShapeError
        If the stride does not divide a size of the image.
    TooLargeError
        If the singular values do not fit into memory.

    Examples
    --------
    >>> geometry = Geometry((1, 1, 4), (1, 1, 1, 2))
    >>> circular_singular_values(layer_operator([[[[3.0, 4.0]]]], geometry)).round(6)
    array([7., 5., 5., 1.])
    """
    A = _operator(layer)
    operator: LayerOperator = instance("layer", A, LayerOperator, "a ConvolutionLayer, or what layer_operator returns")
    geometry = operator.geometry
    for axis, (size, stride) in enumerate(zip(geometry.image[1:], geometry.stride, strict=True)):
        if size % stride:
            raise ShapeError(
                f"the image has size {size} on axis {axis}, which the stride {stride} does not divide; with circular "
                f"padding it needs a multiple of {stride}"
            )
    strides = math.prod(geometry.stride)
    size = geometry.pixels // strides // geometry.image[0]
    ranks = geometry.groups * min(geometry.filters_per_group, geometry.planes_per_group * strides)
    check_bytes(f"{size * ranks} singular values", 3 * size * ranks * 8, "take a smaller image")
    found = [
        np.repeat(np.linalg.svd(blocks, compute_uv=False), times)
        for blocks, times in _blocks(operator.operand.astype(np.float64), geometry)
    ]
    return np.sort(np.concatenate(found))[::-1]


def _operator(layer: object) -> LinearOperator:
    """Return what to multiply with, in a dtype that the decompositions know."""
    if isinstance(layer, ConvolutionLayer):
        return layer_operator(layer.F.astype(np.float64), layer.geometry)
    A: LinearOperator = instance(
        "layer", layer, LinearOperator, "a ConvolutionLayer, or an operator: layer_operator(F, geometry)"
    )
    if isinstance(A, LayerOperator) and A.dtype not in (np.float32, np.float64):
        return layer_operator(A.operand.astype(np.float64), A.geometry)
    return A


def _dense(A: LinearOperator) -> Array:
    """Multiply by the basis of the smaller side."""
    rows, columns = A.shape
    return A @ np.eye(columns, dtype=A.dtype) if columns <= rows else (A.T @ np.eye(rows, dtype=A.dtype)).T


def _with_errors(A: LinearOperator, U: Array, values: Array, V: Array) -> list[SingularValue]:
    U, V = U.astype(np.float64, copy=False), V.astype(np.float64, copy=False)
    residuals = np.vstack([A @ V - U * values, A.T @ U - V * values])
    errors = np.linalg.norm(residuals, axis=0) / np.linalg.norm(np.vstack([U, V]), axis=0)
    return [SingularValue(value, error) for value, error in zip(values.tolist(), errors.tolist(), strict=True)]


def _blocks(F: Array, geometry: Geometry) -> Iterator[tuple[Array, int]]:
    """Yield the matrices of all frequencies with one index on the last axis, and how often their values occur."""
    strides = math.prod(geometry.stride)
    phases = [_phases(geometry, axis) for axis in range(geometry.spatial_ndim)]
    T = F.reshape(geometry.groups, -1, *F.shape[1:])
    for each in phases[:-1]:
        T = np.tensordot(T, each, ([3], [2]))
    last = len(phases[-1])
    # The filters are real, so that opposite frequencies have the same singular values.
    for index in range(last // 2 + 1):
        block = np.tensordot(T, phases[-1][index], ([3], [1])) / math.sqrt(strides)
        frequencies, residues = range(3, block.ndim - 1, 2), range(4, block.ndim, 2)
        ordered = block.transpose(0, *frequencies, 1, 2, *residues, block.ndim - 1)
        yield ordered.reshape(-1, T.shape[1], T.shape[2] * strides), 1 if 2 * index % last == 0 else 2


def _phases(geometry: Geometry, axis: int) -> Array:
    """Return exp(−2πi · a·δ · (c/N + j/s)) for the frequencies c, the residues j and the taps a of one axis."""
    size, stride = geometry.image[1 + axis], geometry.stride[axis]
    c, j, a = np.ogrid[: size // stride, :stride, : geometry.filters[2 + axis]]
    turns = a * geometry.dilation[axis] * (c + j * (size // stride)) % size
    return np.asarray(np.exp(-2j * np.pi * turns / size))
