"""The layers around the convolutions, each with its Jacobian: ReLU, batch normalisation, fully connected, softmax.

Cross-entropy and the ℓ₂ penalty have their gradients here, too; pooling is in `jacobians.pooling`.

A Jacobian has a row per entry of vec(output) and a column per entry of vec(input). ∂l/∂s and the like are row vectors,
arrays of one axis, so that a chain of Jacobians is read from the loss backwards:
``∂l/∂s @ W @ relu_jacobian(S) @ …`` (L4 … L6).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from jacobians.arguments import any_dtype, entries, integer, numeric, real, shown, unmasked
from jacobians.errors import DtypeError, ShapeError
from jacobians.geometry import check_shape
from jacobians.matrices import SPARSE_DTYPES
from jacobians.sizes import check_bytes, magnitude

__all__ = [
    "batch_norm",
    "batch_norm_jacobian",
    "cross_entropy",
    "cross_entropy_gradient",
    "cross_entropy_jacobian",
    "fully_connected",
    "fully_connected_jacobian_wrt_bias",
    "fully_connected_jacobian_wrt_input",
    "fully_connected_jacobian_wrt_weights",
    "l2_gradient",
    "l2_penalty",
    "relu",
    "relu_jacobian",
    "softmax",
    "softmax_jacobian",
]

Array = npt.NDArray[Any]


# ReLU -----------------------------------------------------------------------------------------------------------------


def relu(S: npt.ArrayLike) -> Array:
    """Compute H = max(0, S) (L3).

    Parameters
    ----------
    S : array_like, of any shape
        Responses, integers or real floating-point numbers.

    Returns
    -------
    ndarray, shape and dtype of S
        ``H[r] = max(0, S[r])``; NaN stays NaN.

    Raises
    ------
    DtypeError
        If entries are neither integers nor real floating-point numbers.
    TooLargeError
        If the result does not fit into memory.

    Examples
    --------
    >>> relu([[-2, 0, 3]])
    array([[0, 0, 3]])
    """
    S = numeric("S", S)
    _check_memory("relu(S)", S.shape, S.dtype)
    return np.asarray(np.maximum(S, 0))


def relu_jacobian(S: npt.ArrayLike) -> csr_array:
    """Build ∂vec(H)/∂vec(S) = diag(Ind(vec(S) > 0)) (L6).

    Parameters
    ----------
    S : array_like, of any shape
        The responses that went into the ReLU.

    Returns
    -------
    csr_array, shape (S.size, S.size), dtype of S
        Entry ``[r, r]`` is 1 where ``vec(S)[r] > 0`` and 0 elsewhere, also at ``S = 0``; it is NaN where S is NaN. The
        whole diagonal is stored, so that the pattern depends on the shape alone.

    Raises
    ------
    DtypeError
        If scipy.sparse has no arrays of S's dtype, or entries are neither integers nor real floating-point numbers.
    TooLargeError
        If the result does not fit into memory.

    Examples
    --------
    >>> relu_jacobian([[-2, 0, 3]]).toarray()
    array([[0, 0, 0],
           [0, 0, 0],
           [0, 0, 1]])
    """
    S = numeric("S", S)
    _check_memory("diag(Ind(vec(S) > 0))", (3, S.size), np.dtype(np.int64))
    S = S.ravel()
    return diagonal(np.where(np.isnan(S), S, S > 0).astype(sparse_dtype("S", S.dtype)))


# batch normalisation --------------------------------------------------------------------------------------------------


def batch_norm(
    X: npt.ArrayLike,
    mean: npt.ArrayLike,
    variance: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    *,
    eps: float = 1e-5,
) -> Array:
    """Normalise every plane by the mean and variance that training has left: batch normalisation in inference mode.

    Parameters
    ----------
    X : array_like, shape (d, *spatial)
        The image; a vector is d planes of one entry.
    mean, variance : array_like, shape (d,)
        Running statistics, one per plane.
    weight, bias : array_like, shape (d,), optional
        γ and β, one per plane; by default 1 and 0.
    eps : float
        ε, added to the variance; not negative.

    Returns
    -------
    ndarray, shape of X
        ``Y[k, y, x] = (X[k, y, x] − mean[k]) / √(variance[k] + ε) · weight[k] + bias[k]``. float64 for integers,
        otherwise the dtype that NumPy gives to the operands.

    Raises
    ------
    ShapeError
        If X has no planes, or a statistic or parameter has not one entry per plane.
    DtypeError
        If entries are neither integers nor real floating-point numbers.
    ValueError
        If `eps` is negative or not finite, or ``variance + eps`` is not positive.

    Notes
    -----
    Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    ICML 2015, algorithm 2. In training mode every entry depends on the whole mini-batch, which is another layer.

    Examples
    --------
    >>> batch_norm([[[1, 5]], [[2, 3]]], [1, 2], [3, 0], [6, 1], [0, 10], eps=1)
    array([[[ 0., 12.]],
    <BLANKLINE>
           [[10., 11.]]])
    """
    X = numeric("X", X)
    if not X.ndim or not X.size:
        raise ShapeError(f"X has shape {X.shape}; it needs (d, *spatial), planes first and none of them empty")
    deviation, weight = _deviation_and_weight(X.shape, variance, weight, eps)
    mean = _per_plane("mean", mean, X.shape)
    bias = _per_plane("bias", np.zeros(len(X), np.int8) if bias is None else bias, X.shape)
    dtype = np.result_type(X, mean, deviation, weight, bias)
    X, mean, deviation, weight, bias = (each.astype(dtype, copy=False) for each in (X, mean, deviation, weight, bias))
    return np.asarray((X - mean) / deviation * weight + bias)


def batch_norm_jacobian(
    image: Sequence[int], variance: npt.ArrayLike, weight: npt.ArrayLike | None = None, *, eps: float = 1e-5
) -> csr_array:
    """Build ∂vec(Y)/∂vec(X) of batch normalisation in inference mode, which is diagonal.

    Parameters
    ----------
    image : sequence of int
        ``X.shape = (d, *spatial)``.
    variance : array_like, shape (d,)
        Running variance, one per plane.
    weight : array_like, shape (d,), optional
        γ, one per plane; by default 1.
    eps : float
        ε, added to the variance; not negative.

    Returns
    -------
    csr_array, shape (X.size, X.size)
        Entry ``[r, r]`` is ``weight[k] / √(variance[k] + ε)`` for the plane ``k`` that r lies in. The dtype is that of
        the parameters, float64 for integers. A weight of 0 is stored as such.

    Raises
    ------
    ShapeError
        As `batch_norm`.
    DtypeError
        As `batch_norm`, and if scipy.sparse has no arrays of the result's dtype.
    ValueError
        As `batch_norm`.
    TooLargeError
        If it does not fit into memory.

    Examples
    --------
    >>> batch_norm_jacobian((2, 1, 2), [3, 0], [6, 1], eps=1).diagonal()
    array([3., 3., 1., 1.])
    """
    shape = check_shape("image", image, "(d, *spatial)")
    if not shape:
        raise ShapeError("image is (); it needs (d, *spatial), planes first: X.shape")
    deviation, weight = _deviation_and_weight(shape, variance, weight, eps)
    dtype = sparse_dtype("the Jacobian", np.result_type(deviation, weight))
    _check_memory("∂vec(Y)/∂vec(X)", (3, math.prod(shape)), np.dtype(np.int64))
    scale = weight.astype(dtype) / deviation.astype(dtype)
    return diagonal(np.broadcast_to(scale, shape).ravel())


def _deviation_and_weight(
    shape: tuple[int, ...], variance: npt.ArrayLike, weight: npt.ArrayLike | None, eps: float
) -> tuple[Array, Array]:
    """Return √(variance + ε) and γ, one per plane, with an axis for each axis of the image."""
    variance = _per_plane("variance", variance, shape)
    weight = _per_plane("weight", np.ones(shape[0], np.int8) if weight is None else weight, shape)
    squares = variance + check_strength("eps", eps)
    wrong = np.flatnonzero(~(squares > 0))
    if wrong.size:
        raise ValueError(
            f"variance[{wrong[0]}] + eps is {squares.ravel()[wrong[0]]}; it needs to be positive, for its root divides "
            "the plane: look for NaN or a variance below 0, or take a positive eps"
        )
    return np.sqrt(squares), weight


def _per_plane(name: str, value: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
    array = numeric(name, value)
    if array.shape == shape[:1]:
        return array.reshape(-1, *(1,) * (len(shape) - 1))
    raise ShapeError(
        f"{name} has shape {array.shape} but X has shape {shape}; {name} needs {shape[:1]}, one entry per plane"
    )


# fully connected ------------------------------------------------------------------------------------------------------


def fully_connected(W: npt.ArrayLike, h: npt.ArrayLike, b: npt.ArrayLike | None = None) -> Array:
    """Compute the scores s = W vec(H) + b (L3).

    Parameters
    ----------
    W : array_like, shape (C, m)
        The weights, a row per class.
    h : array_like, of any shape with m entries
        H or vec(H): planes first, so that ``n`` response maps of ``t`` entries make ``m = n·t``.
    b : array_like, shape (C,), optional
        The bias.

    Returns
    -------
    ndarray, shape (C,)
        ``s[c] = Σ_j W[c, j] h[j] + b[c]``. int64 for integers, otherwise the dtype that NumPy gives to the operands.

    Raises
    ------
    ShapeError
        If the shapes do not fit each other.
    DtypeError
        If entries are neither integers nor real floating-point numbers.
    OverflowError
        If integers are so large that a sum of m products may not fit in int64.

    Examples
    --------
    >>> fully_connected([[1, 2, 3], [4, 5, 6]], [1, 0, 2], [10, 20])
    array([17, 36])
    """
    W, h = _weights(W), numeric("h", h).ravel()
    if h.size != W.shape[1]:
        raise ShapeError(
            f"h has {h.size} entries but W has shape {W.shape}, which needs {W.shape[1]}: "
            "W has a column for each entry of vec(H)"
        )
    b = np.zeros(len(W), np.int8) if b is None else numeric("b", b)
    if b.shape != W.shape[:1]:
        raise ShapeError(f"b has shape {b.shape} but W has shape {W.shape}; b needs {W.shape[:1]}, one entry per class")
    dtype = np.result_type(W, h, b)
    if all(array.dtype.kind in "iu" for array in (W, h, b)):
        _check_int64(W, h, b)
        dtype = np.dtype(np.int64)
    return np.asarray(W.astype(dtype) @ h.astype(dtype) + b.astype(dtype))


def fully_connected_jacobian_wrt_input(W: npt.ArrayLike) -> Array:
    """Return ∂s/∂vec(H) = W (L5).

    Parameters
    ----------
    W : array_like, shape (C, m)
        The weights.

    Returns
    -------
    ndarray, shape (C, m), dtype of W
        A row per class, a column per entry of vec(H). Entry ``[c, j]`` is ``W[c, j]``.

    Raises
    ------
    ShapeError
        If W is not a matrix.
    DtypeError
        If entries are neither integers nor real floating-point numbers.

    Examples
    --------
    >>> fully_connected_jacobian_wrt_input([[1, 2, 3], [4, 5, 6]])
    array([[1, 2, 3],
           [4, 5, 6]])
    """
    return _weights(W)


def fully_connected_jacobian_wrt_weights(h: npt.ArrayLike, classes: int) -> csr_array:
    """Build ∂s/∂vec(W) = I_C ⊗ vec(H)ᵀ (L3).

    Parameters
    ----------
    h : array_like, of any shape with m entries
        H or vec(H), the layer's input.
    classes : int
        C, the number of rows of W.

    Returns
    -------
    csr_array, shape (C, C·m), dtype of h
        A row per class, a column per entry of vec(W). Entry ``[c, c·m + j]`` is ``h[j]``. Entries of h that are 0
        are stored as well, so that the pattern depends on the shape alone.

    Raises
    ------
    ShapeError
        If there are no classes or no entries.
    DtypeError
        If scipy.sparse has no arrays of h's dtype, or entries are neither integers nor real floating-point numbers.
    TooLargeError
        If the result does not fit into memory.

    Examples
    --------
    >>> fully_connected_jacobian_wrt_weights([5, 6, 7], 2).toarray()
    array([[5, 6, 7, 0, 0, 0],
           [0, 0, 0, 5, 6, 7]])
    """
    h, C = numeric("h", h).ravel(), check_classes(classes)
    h = h.astype(sparse_dtype("h", h.dtype))
    if not h.size:
        raise ShapeError("h has no entries; it needs at least one: give it H, the input of the layer")
    _check_memory("∂s/∂vec(W)", (2, C * h.size), np.dtype(np.int64))
    columns, rows = np.arange(C * h.size), np.arange(C + 1) * h.size
    return csr_array((np.tile(h, C), columns, rows), shape=(C, C * h.size))


def fully_connected_jacobian_wrt_bias(classes: int, *, dtype: npt.DTypeLike = np.float64) -> csr_array:
    """Build ∂s/∂b = I_C (L3).

    Parameters
    ----------
    classes : int
        C, the number of entries of b.
    dtype : dtype
        Dtype of the ones.

    Returns
    -------
    csr_array, shape (C, C)
        Entry ``[c, c]`` is 1.

    Raises
    ------
    ShapeError
        If there are no classes.
    DtypeError
        If scipy.sparse has no arrays of that dtype.
    TooLargeError
        If the result does not fit into memory.

    Examples
    --------
    >>> fully_connected_jacobian_wrt_bias(2, dtype=int).toarray()
    array([[1, 0],
           [0, 1]])
    """
    C = check_classes(classes)
    _check_memory("∂s/∂b", (3, C), np.dtype(np.int64))
    return diagonal(np.ones(C, sparse_dtype("the Jacobian", dtype)))


# softmax and cross-entropy --------------------------------------------------------------------------------------------


def softmax(s: npt.ArrayLike) -> Array:
    """Compute the probabilities p = softmax(s) (L3).

    Parameters
    ----------
    s : array_like, shape (C,)
        The scores of one image, integers or real floating-point numbers.

    Returns
    -------
    ndarray, shape (C,)
        ``p[c] = exp(s[c]) / Σ_j exp(s[j])``, computed from the differences to the largest score, so that no finite
        scores overflow. float64 for integers, otherwise the dtype of s.

    Raises
    ------
    ShapeError
        If s is not a vector. For a mini-batch, call it for each image: softmax does not run over several images.
    DtypeError
        If entries are neither integers nor real floating-point numbers.

    Notes
    -----
    A score of −∞ has the probability 0. If a score is NaN or +∞, or all scores are −∞, softmax has no limit, and all
    probabilities are NaN.

    Examples
    --------
    >>> import numpy as np
    >>> softmax([1000, 1000, -1000])
    array([0.5, 0.5, 0. ])
    >>> softmax([0, -np.inf, np.nan])
    array([nan, nan, nan])
    """
    powers = np.exp(_below_largest(_vector("s", s)))
    return np.asarray(powers / powers.sum())


def softmax_jacobian(p: npt.ArrayLike) -> Array:
    """Build ∂p/∂s = diag(p) − ppᵀ (L4).

    Parameters
    ----------
    p : array_like, shape (C,)
        The probabilities: numbers, or symbols in an array of dtype object.

    Returns
    -------
    ndarray, shape (C, C), dtype of p
        A row per probability, a column per score. Entry ``[i, j]`` is ``p_i (1 − p_i)`` for ``i = j`` and ``−p_i p_j``
        elsewhere, formed as ``p_i δ_ij − p_i p_j``.

    Raises
    ------
    ShapeError
        If p is not a vector.
    DtypeError
        If entries are neither numbers nor symbols.
    TooLargeError
        If the result does not fit into memory.

    Examples
    --------
    >>> softmax_jacobian([0.5, 0.25, 0.25])
    array([[ 0.25  , -0.125 , -0.125 ],
           [-0.125 ,  0.1875, -0.0625],
           [-0.125 , -0.0625,  0.1875]])
    """
    p = _vector("p", p, symbols=True)
    _check_memory("diag(p) − ppᵀ", (2, p.size, p.size), p.dtype)
    return np.asarray(np.diag(p) - np.outer(p, p))


def cross_entropy_jacobian(p: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    """Build ∂l/∂p = −yᵀ/(yᵀp), the first factor of L4.

    Parameters
    ----------
    p : array_like, shape (C,)
        The probabilities: numbers, or symbols in an array of dtype object.
    y : array_like, shape (C,)
        The label, one-hot: 1 at the class of the image, 0 elsewhere. Numbers or symbols.

    Returns
    -------
    ndarray, shape (C,)
        The row vector ``−y[c] / Σ_j y[j] p[j]``.

    Raises
    ------
    ShapeError
        If p or y is not a vector, or one is longer than the other.
    DtypeError
        If entries are neither numbers nor symbols.
    ValueError
        If y cannot be a label.
    ZeroDivisionError
        If yᵀp is 0, for example because the probability of the class has underflowed.

    Examples
    --------
    >>> cross_entropy_jacobian([0.5, 0.25, 0.25], [0, 1, 0])
    array([-0., -4., -0.])
    """
    p, y = _vector("p", p, symbols=True), _vector("y", y, symbols=True)
    _check_label(y, p, "p")
    likelihood = y @ p
    if likelihood == 0:
        raise ZeroDivisionError(
            "yᵀp is 0, so −yᵀ/(yᵀp) does not exist; it needs a positive probability of the image's class: "
            "use cross_entropy_gradient, which works from the scores"
        )
    return np.asarray(-y / likelihood)


def cross_entropy(s: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """Compute the loss l = −log(yᵀp) of one image, with p = softmax(s) (L3).

    Parameters
    ----------
    s : array_like, shape (C,)
        The scores.
    y : array_like, shape (C,)
        The label, one-hot. Other nonnegative weights that are not all 0 are allowed, and enter the formula as they are.

    Returns
    -------
    float
        ``log Σ_j exp(s[j]) − log Σ_j y[j] exp(s[j])``, computed without overflow and without a logarithm of 0, and with
        full relative precision even if the probability is almost 1.

    Raises
    ------
    ShapeError
        If s or y is not a vector, or one is longer than the other.
    DtypeError
        If entries are neither integers nor real floating-point numbers.
    ValueError
        If y is negative, not finite, or 0 everywhere.

    Notes
    -----
    The loss is NaN if `softmax` is NaN, and +∞ if the scores of all classes of y are −∞.

    Examples
    --------
    >>> cross_entropy([0, 10_000], [1, 0])
    10000.0
    >>> cross_entropy([0, 100], [0, 1])
    3.720075976020836e-44
    """
    s = _vector("s", s)
    chosen, log_y = _chosen(y, s)
    below = _below_largest(s.astype(np.result_type(s, np.float64)))
    # The largest score is a 1 in the sum, and log1p keeps what the others add to it.
    others = np.delete(below, below.argmax())
    return float(np.log1p(np.exp(others).sum()) - _log_sum_exp(below[chosen] + log_y))


def cross_entropy_gradient(s: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    """Compute ∂l/∂s = −yᵀ/(yᵀp) · (diag(p) − ppᵀ) from the scores (L4).

    Parameters
    ----------
    s : array_like, shape (C,)
        The scores.
    y : array_like, shape (C,)
        The label, one-hot. Other nonnegative weights that are not all 0 are allowed, and enter the formula as they are.

    Returns
    -------
    ndarray, shape (C,)
        The row vector ``p[c] − y[c] p[c] / Σ_j y[j] p[j]``, which is ``p[c] − y[c]`` for one-hot y. The second term is
        a softmax over the classes of y alone, so that it exists even if yᵀp underflows. float64 for integers, otherwise
        the dtype of s.

    Raises
    ------
    ShapeError, DtypeError, ValueError
        As in `cross_entropy`.

    Notes
    -----
    The gradient is NaN if `softmax` is NaN, and if the loss is infinite and has no derivative.

    Examples
    --------
    >>> cross_entropy_gradient([0, 10_000], [1, 0])
    array([-1.,  1.])
    """
    s = _vector("s", s)
    chosen, log_y = _chosen(y, s)
    gradient = softmax(s)
    gradient[chosen] -= softmax(_below_largest(s[chosen]) + log_y)
    # The other classes keep their probabilities: without this an infinite loss would show in y's own entries only.
    return np.full_like(gradient, np.nan) if np.isnan(gradient).any() else gradient


# L2 -------------------------------------------------------------------------------------------------------------------


def l2_penalty(weights: Iterable[npt.ArrayLike], strength: float) -> float:
    """Compute the ℓ₂ penalty λ Σ‖·‖² of the training cost (L3).

    Parameters
    ----------
    weights : iterable of array_like
        The arrays that are penalised, of any shapes.
    strength : float
        λ, not negative.

    Returns
    -------
    float
        λ times the sum of the squares of all entries, summed in float64.

    Raises
    ------
    TypeError
        If `weights` is not a list, or is a single array, whose rows would be mistaken for the arrays.
    DtypeError
        If entries are neither integers nor real floating-point numbers.
    ValueError
        If `strength` is negative or not finite.

    Examples
    --------
    >>> l2_penalty([[[1, 2], [3, 4]], [5]], 0.5)
    27.5
    """
    if isinstance(weights, np.ndarray):
        raise TypeError(
            f"weights is an array of shape {weights.shape}; it needs a list of arrays: [weights] for this one"
        )
    arrays = entries("weights", weights, "a list of arrays")
    squares = (np.square(numeric(f"weights[{i}]", each).astype(np.float64)).sum() for i, each in enumerate(arrays))
    return check_strength("strength", strength) * float(sum(squares))


def l2_gradient(weight: npt.ArrayLike, strength: float) -> Array:
    """Compute the gradient 2λ·weight of the ℓ₂ penalty with respect to one array (L22).

    Parameters
    ----------
    weight : array_like, of any shape
        The parameter.
    strength : float
        λ, not negative.

    Returns
    -------
    ndarray, shape of weight
        ``2·λ·weight[j]``; float64 for integers, otherwise the dtype of weight.

    Raises
    ------
    DtypeError
        If entries are neither integers nor real floating-point numbers.
    ValueError
        If `strength` is negative or not finite.

    Examples
    --------
    >>> l2_gradient([[1, -2]], 0.5)
    array([[ 1., -2.]])
    """
    weight = numeric("weight", weight)
    factor = 2 * check_strength("strength", strength)
    return np.asarray(np.multiply(factor, weight, dtype=weight.dtype if weight.dtype.kind == "f" else np.float64))


# arguments ------------------------------------------------------------------------------------------------------------


def check_strength(name: str, strength: float) -> float:
    """Return `strength` as a float that is neither negative nor infinite nor NaN.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    strength : float
        What was given.

    Returns
    -------
    float
        The strength.

    Raises
    ------
    ValueError
        If it is not.
    """
    number = real(strength)
    if math.isfinite(number) and number >= 0:
        return number
    raise ValueError(f"{name} is {shown(strength)}; it needs a finite number of at least 0: 0 for no penalty")


def diagonal(held: Array) -> csr_array:
    """Store a whole diagonal, its zeros included, so that the pattern depends on the shape alone."""
    return csr_array((held, np.arange(held.size), np.arange(held.size + 1)), shape=(held.size, held.size))


def _check_memory(what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    cure = "take fewer entries at a time"
    check_bytes(f"{what} with its parts, of shape {shape},", math.prod(shape) * dtype.itemsize, cure)


def check_classes(classes: object) -> int:
    """Return `classes` as an int of at least 1.

    Parameters
    ----------
    classes : object
        What was given.

    Returns
    -------
    int
        The number of classes.

    Raises
    ------
    ShapeError
        If it is not.
    """
    return integer("classes", classes, least=1)


def _weights(W: npt.ArrayLike) -> Array:
    W = numeric("W", W)
    if W.ndim == 2 and W.size:
        return W
    raise ShapeError(f"W has shape {W.shape}; it needs (C, m), a row per class and a column per entry of vec(H)")


def _vector(name: str, value: npt.ArrayLike, *, symbols: bool = False) -> Array:
    """Return `value` as a vector; integers as float64, because −y and p − y leave unsigned ones."""
    vector = unmasked(name, value)
    vector = vector if symbols and _are_symbols(vector) else numeric(name, value)
    if vector.ndim == 1 and vector.size:
        return vector if vector.dtype.kind in "fO" else vector.astype(np.float64)
    raise ShapeError(
        f"{name} has shape {vector.shape}; it needs (C,), one entry per class: "
        + (f"pass one image at a time, {name}[0]" if vector.ndim == 2 else f"np.ravel({name}) if it is one image's")
    )


def _are_symbols(array: Array) -> bool:
    """Whether entries are objects that can be multiplied, as the formulas do."""
    try:
        return array.dtype == object and np.asarray(np.multiply(array, array)).dtype == object
    except TypeError:
        return False


def _chosen(y: npt.ArrayLike, s: Array) -> tuple[Array, Array]:
    """Return where y is positive, and its logarithms there."""
    y = _vector("y", y)
    _check_label(y, s, "s")
    chosen = y > 0
    return chosen, np.log(y[chosen], dtype=np.float64)


def _check_label(y: Array, other: Array, name: str) -> None:
    if y.shape != other.shape:
        raise ShapeError(f"y has {y.size} entries but {name} has {other.size}; it needs one per class, one-hot")
    if y.dtype == object:
        return
    if not np.isfinite(y).all() or (y < 0).any() or not y.any():
        raise ValueError(
            f"y is {y.tolist()}; it needs nonnegative finite entries that are not all 0: "
            "one-hot, 1 at the image's class"
        )


def _below_largest(s: Array) -> Array:
    """Return the differences to the largest score; NaN where that is infinite, because ∞ − ∞ has no limit."""
    largest = s.max()
    if not np.isfinite(largest):
        return np.full_like(s, np.nan)
    with np.errstate(over="ignore"):  # a difference beyond the largest float is −∞, whose power is 0 as it should be
        return np.asarray(s - largest)


def _log_sum_exp(a: Array) -> Any:
    largest = a.max()
    return largest if largest == -np.inf else largest + np.log(np.exp(a - largest).sum())


def sparse_dtype(name: str, dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return `dtype` in the machine's byte order, the only one that scipy.sparse computes in."""
    found = any_dtype(dtype)
    if found is not None and found.char in SPARSE_DTYPES:
        return found.newbyteorder("=")
    raise DtypeError(
        f"{name} has dtype {dtype}, which scipy.sparse cannot hold as numbers; use float32, which represents every "
        "float16 exactly"
    )


def _check_int64(W: Array, h: Array, b: Array) -> None:
    """Refuse integers whose sums may leave int64, by the bound max|W| · max|h| · m + max|b|."""
    largest = [magnitude(array) for array in (W, h, b)]
    bound, most = W.shape[1] * largest[0] * largest[1] + largest[2], np.iinfo(np.int64).max
    if bound > most or max(largest) > most:
        raise OverflowError(
            f"W, h and b hold integers too large for int64: max|W| = {largest[0]}, max|h| = {largest[1]}, max|b| = "
            f"{largest[2]} and {W.shape[1]} terms bound a sum by {bound}, above 2⁶³ − 1; "
            "make them smaller, or use float64"
        )
