"""When float arithmetic is exact, how far it can be off when it is not, and what a check can miss.

Everything that decides between "equal" and "different" is derived here, and nowhere else.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "draw_integers",
    "exact_limit",
    "exact_magnitude",
    "gamma",
    "miss_probability",
    "near_miss_probability",
    "real_numbers",
    "unit_roundoff",
]

Array = npt.NDArray[Any]

# Bits of the significand, the leading one included.
SIGNIFICAND = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}


def exact_limit(dtype: npt.DTypeLike) -> int:
    """Return the largest sum that `dtype` adds up without rounding or wrapping.

    Parameters
    ----------
    dtype : dtype
        An integer or floating-point dtype.

    Returns
    -------
    int
        ``2^p`` for a significand of ``p`` bits: every integer of at most this magnitude is representable, so that a sum
        of integers whose partial sums all stay below it is exact in any order of summation, with any blocking and with
        fused multiply-add. The largest value for integers.

    Raises
    ------
    ValueError
        If the dtype is neither an integer nor one of float64, float32, float16 and bfloat16.

    Examples
    --------
    >>> exact_limit("float16"), exact_limit("int8")
    (2048, 127)
    """
    name = _name(dtype)
    return 2 ** SIGNIFICAND[name] if name in SIGNIFICAND else int(np.iinfo(name).max)


def exact_magnitude(dtype: npt.DTypeLike, terms: int) -> int:
    """Return the largest magnitude of integers whose sums of products are exact.

    Parameters
    ----------
    dtype : dtype
        In which the products are summed.
    terms : int
        Products in the longest sum; one of them may be a single number, such as a bias.

    Returns
    -------
    int
        The largest M with ``terms · M² ≤ exact_limit(dtype)``; 0 where there is none.

    Examples
    --------
    >>> exact_magnitude("float32", 9)
    1365
    """
    return math.isqrt(exact_limit(dtype) // terms)


def draw_integers(
    generator: np.random.Generator, shape: tuple[int, ...], magnitude: int, dtype: npt.DTypeLike
) -> Array:
    """Draw integers uniformly from −magnitude … magnitude, distinct where there are enough of them.

    Parameters
    ----------
    generator : numpy.random.Generator
        The source of the draw.
    shape : tuple of int
        Shape of the result.
    magnitude : int
        Largest absolute value.
    dtype : dtype
        Of the result; it must hold the magnitude exactly.

    Returns
    -------
    ndarray, shape `shape`
        No two entries are equal where there are at least twice as many integers as entries; otherwise the entries are
        drawn independently.
    """
    values, entries = 2 * magnitude + 1, math.prod(shape)
    drawn = generator.choice(values, entries, replace=not _distinct(values, entries)) - magnitude
    return drawn.reshape(shape).astype(dtype)


def _distinct(values: int, entries: int) -> bool:
    return values >= 2 * entries


def miss_probability(magnitude: int, *entries: int) -> Fraction:
    """Bound the probability that two different multilinear forms agree on one draw of `draw_integers`.

    Parameters
    ----------
    magnitude : int
        Largest absolute value of the draw: each entry is one of ``m = 2·magnitude + 1`` values.
    *entries : int
        Number of entries of each array that the form is linear in, one count per array.

    Returns
    -------
    Fraction
        ``1 − Π (1 − 1/(m − n + 1))`` over the arrays, with n = 1 for an array whose entries are drawn independently and
        the number of its entries where they are distinct.

    Notes
    -----
    The difference of two different forms has a coefficient that is not 0; let it belong to the entries ``x_a, y_b, …``.
    Reveal all of x but ``x_a``: the coefficient of ``y_b …``, as a polynomial in ``x_a``, has degree one, so at most
    one value makes it vanish, and ``x_a`` is uniform over the ``m − n + 1`` values that are left. If it does not
    vanish, go on with ``y_b`` in the same way. With n = 1 this is the bound of Schwartz (J. ACM 27, 1980) and Zippel
    (EUROSAM 1979).

    Examples
    --------
    >>> miss_probability(512, 1, 1) == 1 - Fraction(1024, 1025) ** 2
    True
    """
    values = 2 * magnitude + 1
    caught = Fraction(1)
    for count in entries:
        caught *= 1 - Fraction(1, values - count + 1 if _distinct(values, count) else values)
    return 1 - caught


def near_miss_probability(magnitude: int, slack: float) -> Fraction:
    """Bound the probability that two different bilinear forms differ by no more than a slack on one draw.

    Parameters
    ----------
    magnitude : int
        Largest absolute value of the draw: each entry is one of ``m = 2·magnitude + 1`` values, independently.
    slack : float
        Difference up to which results are taken for equal: a rounding bound.

    Returns
    -------
    Fraction
        ``(2t + 1)/m + (2·slack/t + 1)/m`` with ``t = √slack``, at most 1; `miss_probability` where the slack is 0.

    Notes
    -----
    As in `miss_probability`, let ``x_a y_b`` have a coefficient other than 0, an integer. The coefficient c of ``x_a``
    is a linear polynomial in ``y_b``, which is within ±t at no more than ``2t + 1`` of its m values. Where it is not,
    ``c·x_a + …`` is within ±slack at no more than ``2·slack/t + 1`` of the m values of ``x_a``.

    Examples
    --------
    >>> near_miss_probability(500, 4.0) == Fraction(10, 1001)
    True
    """
    values = 2 * magnitude + 1
    if not slack:
        return miss_probability(magnitude, values, values)
    root = Fraction(math.sqrt(slack))
    return min(Fraction(1), (2 * root + 1 + 2 * Fraction(slack) / root + 1) / values)


def real_numbers(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: npt.DTypeLike
) -> tuple[Array, Array, int]:
    """Draw real numbers that a floating-point dtype holds exactly, together with their exact values.

    Parameters
    ----------
    generator : numpy.random.Generator
        The source of the draw.
    shape : tuple of int
        Shape of the result.
    dtype : dtype
        A floating-point dtype.

    Returns
    -------
    numbers : ndarray, shape `shape`, dtype `dtype`
        Uniform between −1 and 1, with all bits of the significand in use.
    numerators : object ndarray of int, shape `shape`
        ``numbers · 2^bits``, exactly.
    bits : int
        Bits of the significand.
    """
    bits = SIGNIFICAND[_name(dtype)]
    numerators = generator.integers(-(2**bits) + 1, 2**bits, shape)
    numbers = np.ldexp(numerators.astype(np.float64), -bits).astype(dtype)
    return numbers, numerators.astype(object), bits


def unit_roundoff(dtype: npt.DTypeLike) -> Fraction:
    """Return u = 2^−p, the largest relative error of one rounded operation in a dtype with p bits of significand."""
    return Fraction(1, 2 ** SIGNIFICAND[_name(dtype)])


def _name(dtype: npt.DTypeLike) -> str:
    """Name a dtype; bfloat16 also where NumPy has not heard of it."""
    return dtype if isinstance(dtype, str) else np.dtype(dtype).name


def gamma(terms: int, dtype: npt.DTypeLike) -> Fraction:
    """Bound the relative error of a rounded sum of products.

    Parameters
    ----------
    terms : int
        N, the number of products.
    dtype : dtype
        In which they are computed and summed.

    Returns
    -------
    Fraction
        ``γ_N = N·u / (1 − N·u)``: the computed sum differs from the exact one by at most ``γ_N · Σ|terms|``, in any
        order of summation (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., ch. 3).

    Raises
    ------
    ValueError
        If N·u is not below 1, where there is no such bound.

    Examples
    --------
    >>> gamma(9, "float64") == Fraction(9, 2**53 - 9)
    True
    """
    share = terms * unit_roundoff(dtype)
    if share >= 1:
        raise ValueError(f"terms is {terms}, of which {np.dtype(dtype)} has no rounding bound; use a wider dtype")
    return share / (1 - share)
