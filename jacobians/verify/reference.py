"""Whole networks: a reference in high precision, and how far float arithmetic can be from it.

Neither knows the pixel table, strided windows or the chain rule: the reference sums L1 term by term with 60 digits and
differentiates by difference quotients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt

from jacobians import oracle, symbolic
from jacobians.evidence import exact
from jacobians.geometry import Geometry

__all__ = ["Rounded", "cost", "derivatives", "high_precision", "rounded_network"]

Array = npt.NDArray[Any]

# The quotient of a central difference is wrong by STEP² times a third derivative, 20 digits below a rounding of
# float64, and by a rounding of 60 digits over STEP, as far below it.
STEP = mpmath.mpf(10) ** -20
# The bounds are themselves computed in float64, with fewer operations than this on the way to any of them.
MOST_OPERATIONS = 1_000_000


# the reference --------------------------------------------------------------------------------------------------------


def high_precision(array: npt.ArrayLike) -> Array:
    """Return the entries of a float64 array as numbers of high precision, exactly."""
    values = np.asarray(array, np.float64)
    return symbolic.object_array([mpmath.mpf(float(value)) for value in values.ravel()], values.shape)


def forward(layers: Sequence[Geometry], parameters: Mapping[str, Array], X: Array, y: Array) -> dict[str, Any]:
    """Compute every node of the lecture's network from its definition (L1, L2, L3), in high precision.

    Parameters
    ----------
    layers : sequence of Geometry
        The convolution layers.
    parameters : mapping of str to object ndarray
        F1, b1, …, W, b in high precision.
    X : object ndarray
        The image.
    y : ndarray, shape (classes,)
        Its class, one-hot.

    Returns
    -------
    dict of str to object ndarray, and "l" to a number
        S1, X1, …, s, p, l.
    """
    nodes: dict[str, Any] = {}
    for k, layer in enumerate(layers, start=1):
        bias = np.expand_dims(parameters[f"b{k}"], tuple(range(1, 1 + layer.spatial_ndim)))
        S = oracle.responses(X, parameters[f"F{k}"], layer) + bias
        X = np.maximum(S, mpmath.mpf(0))
        nodes |= {f"S{k}": S, f"X{k}": X}
    s = parameters["W"] @ X.ravel() + parameters["b"]
    powers = symbolic.object_array([mpmath.exp(score) for score in s], s.shape)
    p = powers / powers.sum()
    return nodes | {"s": s, "p": p, "l": -mpmath.log(p[int(np.argmax(y))])}


def cost(
    layers: Sequence[Geometry], strength: float, parameters: Mapping[str, Array], images: Array, labels: Array
) -> Any:
    """Compute the training cost of a mini-batch, mean of l plus λ Σ‖·‖² over the weights (L3), in high precision."""
    losses = [forward(layers, parameters, X, y)["l"] for X, y in zip(images, labels, strict=True)]
    weights = ["W", *(f"F{k}" for k in range(1, len(layers) + 1))]
    penalty = sum((parameters[name] ** 2).sum() for name in weights)
    return sum(losses) / len(losses) + mpmath.mpf(strength) * penalty


def derivatives(function: Callable[[Array], Any], at: Array) -> Array:
    """Differentiate a function of an array by every entry, by central differences in high precision.

    Parameters
    ----------
    function : callable
        Of an object array, smooth in the neighbourhood of `at`.
    at : object ndarray
        Where.

    Returns
    -------
    object ndarray, shape of `at`
        The derivatives.
    """
    result = np.empty(at.shape, object)
    for index in np.ndindex(at.shape):
        ahead, behind = at.copy(), at.copy()
        ahead[index] += STEP
        behind[index] -= STEP
        result[index] = (function(ahead) - function(behind)) / (2 * STEP)
    return result


# rounding -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rounded:
    """Numbers that float64 arithmetic computed, and how far any such computation of them can be from the exact ones.

    Attributes
    ----------
    value : ndarray of float64
        The numbers as computed here.
    error : ndarray of float64
        ``|computed − exact|`` is at most this, here and for any other order of summation.
    """

    value: Array
    error: Array

    @property
    def size(self) -> Array:
        """Upper bound of the magnitude, of the exact numbers and of any computed ones."""
        return np.asarray(np.abs(self.value) + 2 * self.error)

    def __getitem__(self, index: Any) -> Rounded:
        """Return the entries at `index`."""
        return Rounded(self.value[index], self.error[index])


def exactly(array: npt.ArrayLike) -> Rounded:
    """Return numbers that have no error."""
    value = np.asarray(array, np.float64)
    return Rounded(value, np.zeros_like(value))


def products(where: Array, left: Rounded, right: Rounded, plus: Array, terms: int) -> Rounded:
    """Sum products into entries: ``plus[e] + Σ left[k] right[k]`` over all k with ``where[k] = e``.

    Parameters
    ----------
    where : ndarray of int, shape (products,)
        The entry that each product is added to.
    left, right : Rounded, shape (products,)
        The factors.
    plus : ndarray, shape (entries,)
        Exact numbers to start from.
    terms : int
        N, products and single numbers in the longest sum.

    Returns
    -------
    Rounded, shape (entries,)
        Its error is ``γ_N Σ|terms|``, plus what the errors of the factors carry on.
    """
    value, size, carried = plus.astype(np.float64), np.abs(plus, dtype=np.float64), np.zeros(plus.shape)
    np.add.at(value, where, left.value * right.value)
    np.add.at(size, where, left.size * right.size)
    np.add.at(carried, where, left.error * right.size + left.size * right.error)
    return Rounded(value, exact.rounding_bound(size, terms, "float64") + carried)


def rounded_softmax(s: Rounded) -> tuple[Rounded, float]:
    """Bound softmax, and the relative error of its denominator.

    Parameters
    ----------
    s : Rounded, shape (C,)
        The scores.

    Returns
    -------
    p : Rounded, shape (C,)
        The probabilities.
    denominator : float
        Relative error of ``Σ exp(z)``.

    Notes
    -----
    The scores enter as differences z to the largest; ``exp(z + e) = exp(z)(1 + expm1(e))``; numerator, denominator and
    division each add their relative error.
    """
    u = float(exact.unit_roundoff("float64"))
    z = s.value - s.value.max()
    power_error = (
        np.expm1(s.error + s.error[s.value.argmax()] + u * np.abs(z)) * (1 + 2 * exact.ULPS * u) + 2 * exact.ULPS * u
    )
    # (1 + a)(1 + b) − 1 and its like, without the 1 that would round the errors themselves.
    sum_error = float(exact.gamma(len(z), "float64"))
    denominator = power_error.max() * (1 + sum_error) + sum_error
    p = np.exp(z) / np.exp(z).sum()
    relative = (power_error * (1 + u) + u + denominator) / (1 - denominator)
    return Rounded(p, p * relative / (1 - relative)), denominator


def rounded_loss(s: Rounded, chosen: int, denominator: float) -> Rounded:
    """Bound ``l = log Σ exp(z) − z_y``: the logarithm's error, the difference's, and a rounding of each operation."""
    u = float(exact.unit_roundoff("float64"))
    z = s.value - s.value.max()
    logarithm = math.log(float(np.exp(z).sum()))
    value = logarithm - z[chosen]
    difference = s.error[chosen] + s.error[s.value.argmax()] + u * abs(z[chosen])
    error = denominator / (1 - denominator) + 2 * exact.ULPS * u * logarithm + difference + 2 * u * abs(value)
    return Rounded(np.asarray(value), np.asarray(error))


def rounded_network(
    layers: Sequence[Geometry], parameters: Mapping[str, Array], X: Array, y: Array, *, batch: int = 1
) -> tuple[dict[str, Rounded], dict[str, Rounded]]:
    """Bound the rounding errors of every node and of every gradient of the lecture's network, for one image.

    Parameters
    ----------
    layers : sequence of Geometry
        The convolution layers.
    parameters : mapping of str to ndarray of float64
        F1, b1, …, W, b, taken as exact.
    X : ndarray of float64
        The image, taken as exact.
    y : ndarray
        Its class, one-hot.
    batch : int
        Images whose gradients may be summed in one sum with this one's.

    Returns
    -------
    nodes : dict of str to Rounded
        S1, X1, …, s, p, l.
    gradients : dict of str to Rounded
        Of l with respect to every parameter and to X.

    Raises
    ------
    ArithmeticError
        If a response is so near to 0 that rounding may change its sign, where ReLU has no derivative to compare.
    """
    nodes = _rounded_forward(layers, parameters, X, y)
    u = float(exact.unit_roundoff("float64"))
    p = nodes["p"]
    upstream = Rounded(p.value - y, p.error + u * np.abs(p.value - y))
    return nodes, _rounded_backward(layers, parameters, X, nodes, upstream, batch)


def _rounded_forward(
    layers: Sequence[Geometry], parameters: Mapping[str, Array], X: Array, y: Array
) -> dict[str, Rounded]:
    nodes: dict[str, Rounded] = {}
    H = exactly(X.ravel())
    for k, layer in enumerate(layers, start=1):
        r, p, q = oracle.triples(layer)
        bias = np.repeat(parameters[f"b{k}"], layer.positions)
        S = products(r, H[p], exactly(parameters[f"F{k}"].ravel())[q], bias, layer.taps + 1)
        if np.any(np.abs(S.value) <= 2 * S.error):
            raise ArithmeticError(f"a response of layer {k} is within rounding of 0; draw other numbers")
        H = Rounded(np.maximum(S.value, 0), S.error)
        nodes |= {f"S{k}": S, f"X{k}": H}
    W = parameters["W"]
    rows, columns = np.indices(W.shape).reshape(2, -1)
    s = products(rows, exactly(W.ravel()), H[columns], parameters["b"], W.shape[1] + 1)
    softmax, denominator = rounded_softmax(s)
    return nodes | {"s": s, "p": softmax, "l": rounded_loss(s, int(np.argmax(y)), denominator)}


def _rounded_backward(
    layers: Sequence[Geometry],
    parameters: Mapping[str, Array],
    X: Array,
    nodes: Mapping[str, Rounded],
    g: Rounded,
    batch: int,
) -> dict[str, Rounded]:
    W = parameters["W"]
    rows, columns = np.indices(W.shape).reshape(2, -1)
    H = nodes[f"X{len(layers)}"]
    gradients = {
        "W": products(np.arange(W.size), g[rows], H[columns], np.zeros(W.size), batch),
        "b": products(np.arange(len(W)), g, exactly(np.ones(len(W))), np.zeros(len(W)), batch),
    }
    g = products(columns, g[rows], exactly(W.ravel()), np.zeros(W.shape[1]), W.shape[0])
    for k, layer in reversed(list(enumerate(layers, start=1))):
        active = nodes[f"S{k}"].value > 0
        g = Rounded(g.value * active, g.error * active)
        r, p, q = oracle.triples(layer)
        H = nodes[f"X{k - 1}"] if k > 1 else exactly(X.ravel())
        F = exactly(parameters[f"F{k}"].ravel())
        n, t = layer.filters[0], layer.positions
        gradients[f"F{k}"] = products(q, g[r], H[p], np.zeros(math.prod(layer.filters)), t * batch)
        maps = np.repeat(np.arange(n), t)
        gradients[f"b{k}"] = products(maps, g, exactly(np.ones(n * t)), np.zeros(n), t * batch)
        terms = layer.filters_per_group * math.prod(layer.filters[2:])
        g = products(p, g[r], F[q], np.zeros(layer.pixels), terms)
    return gradients | {"X": g}


def rounded_mean(each: Sequence[Rounded], plus: Array) -> Rounded:
    """Bound ``Σ each / N + plus`` for N images, as mini-batch gradients with their L2 term are (L22).

    Parameters
    ----------
    each : sequence of Rounded
        One per image.
    plus : ndarray
        The term that is added.

    Returns
    -------
    Rounded
        The mean and the term.

    Notes
    -----
    The rounding of the sum over the images is part of each image's error already (``batch`` of `rounded_network`);
    the division, the term and its addition are three operations more.
    """
    value = np.sum([entry.value for entry in each], axis=0) / len(each) + plus
    size = np.sum([entry.size for entry in each], axis=0) / len(each) + np.abs(plus)
    error = np.sum([entry.error for entry in each], axis=0) / len(each)
    return Rounded(value, error + exact.rounding_bound(size, 3, "float64"))


def worst_share(computed: npt.ArrayLike, expected: Array, error: Array) -> tuple[float, int]:
    """Return the largest error as a fraction of its bound, and the entry where it is.

    Parameters
    ----------
    computed : array_like
        What the code under test computed.
    expected : object ndarray
        The same in high precision.
    error : ndarray
        The bounds.

    Returns
    -------
    share : float
        Above 1 where a bound is broken or a result is not a number.
    entry : int
        Flat index.
    """
    slack = 1 + float(exact.gamma(MOST_OPERATIONS, "float64"))
    shares = []
    for got, value, bound in zip(np.ravel(computed), np.ravel(expected), np.ravel(error), strict=True):
        off = float(abs(mpmath.mpf(float(got)) - value)) if math.isfinite(got) else math.inf
        shares.append(off / (bound * slack) if bound else math.inf if off else 0.0)
    entry = int(np.argmax(shares))
    return float(shares[entry]), entry
