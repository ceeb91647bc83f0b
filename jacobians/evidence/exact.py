"""When floating-point arithmetic is exact, how large its error can be when it is not, and what a check can miss.

Everything that decides between "equal" and "different" is derived here, and nowhere else.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "Draw",
    "draw_integers",
    "exact_limit",
    "exact_magnitude",
    "first_difference",
    "gamma",
    "miss_probability",
    "real_numbers",
    "rounding_bound",
    "unit_roundoff",
]

Array = npt.NDArray[Any]

# Bits of the significand, the leading one included.
SIGNIFICAND = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
# Of numbers whose roundings are none beside those of float64.
DIGITS = 60
# NumPy's exp and log are within 4 units in the last place: its own accuracy tests allow no more.
ULPS = 4


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
        The dtype in which the products are summed.
    terms : int
        Number of products in the longest sum; one of them may be a single number, such as a bias.

    Returns
    -------
    int
        The largest M with ``terms · M² ≤ exact_limit(dtype)``; 0 if there is none.

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
        Dtype of the result; it must hold the magnitude exactly.

    Returns
    -------
    ndarray, shape `shape`
        No two entries are equal if there are at least twice as many integers as entries; otherwise, the entries are
        drawn independently.
    """
    values, entries = 2 * magnitude + 1, math.prod(shape)
    if _distinct(values, entries):
        drawn = generator.choice(values, entries, replace=False) - magnitude
    else:
        drawn = generator.integers(-magnitude, magnitude + 1, entries)
    return drawn.reshape(shape).astype(dtype)


def _distinct(values: int, entries: int) -> bool:
    return values >= 2 * entries


@dataclasses.dataclass(frozen=True)
class Draw:
    """How one array is drawn: by `draw_integers`, then kept on a random support and 0 elsewhere.

    Attributes
    ----------
    magnitude : int
        Largest absolute value: each entry of the support is one of ``m = 2·magnitude + 1`` values.
    entries : int
        Number of entries n that `draw_integers` draws at once.
    share : Fraction
        Probability ρ that an entry is in the support, which is drawn independently of the values; 1 keeps all.
    """

    magnitude: int
    entries: int
    share: Fraction = Fraction(1)

    @property
    def left(self) -> int:
        """Values that are equally likely for one entry when all others are known: m, or m − n + 1 of distinct ones."""
        values = 2 * self.magnitude + 1
        return values - self.entries + 1 if _distinct(values, self.entries) else values


def miss_probability(*draws: Draw, slack: float = 0.0) -> Fraction:
    """Bound the probability that two different multilinear forms agree, or nearly agree, on one draw.

    Parameters
    ----------
    *draws : Draw
        How each array that the forms are linear in is drawn, independently of the others.
    slack : float
        Difference up to which results are taken for equal, a rounding bound; forms have integer coefficients if it is
        not 0.

    Returns
    -------
    Fraction
        ``1 − Π ρ·(1 − (2t + 1)/(m − n + 1))`` over the k arrays, with ``t = slack^(1/k)``, and n = 1 for an array whose
        entries are drawn independently.

    Notes
    -----
    The difference of two different forms has a coefficient c that is not 0; let it belong to the entries
    ``x_a, y_b, …``. Reveal which entries are in the support of x, and all values of x but that of ``x_a``. The
    coefficient of ``y_b …`` is then ``c·x_a + const`` if a is in the support, which has the probability ρ and does not
    depend on the values. It vanishes at one value of ``x_a`` at most, and ``x_a`` is uniform over the ``m − n + 1``
    values that are left. If it does not vanish, go on with ``y_b``, whose support and values are independent of all of
    this. With ρ = 1 and n = 1 this is the bound of Schwartz (J. ACM 27, 1980) and Zippel (EUROSAM 1979).

    With a slack, |c| is at least 1, so that no more than ``2t + 1`` integers ``x_a`` bring ``c·x_a + const`` into ±t;
    else the coefficient in the next step exceeds t, and so on to a result that exceeds ``t^k``.

    Examples
    --------
    >>> miss_probability(Draw(512, 1), Draw(512, 1)) == 1 - Fraction(1024, 1025) ** 2
    True
    >>> miss_probability(Draw(1, 9), Draw(1, 64, Fraction(1, 4))) == 1 - Fraction(2, 3) * Fraction(2, 3) / 4
    True
    >>> miss_probability(Draw(500, 1), Draw(500, 1), slack=4.0) > Fraction(9, 1001)
    True
    """
    t = slack ** (1 / len(draws))
    while Fraction(t) ** len(draws) < slack:  # the root was rounded down
        t = math.nextafter(t, math.inf)
    caught = Fraction(1)
    for draw in draws:
        caught *= draw.share * (1 - min(Fraction(1), (2 * Fraction(t) + 1) / draw.left))
    return 1 - caught


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
    """Return u = 2^−p for p bits of significand, the largest relative error of one operation; 0 of integers."""
    name = _name(dtype)
    if name in SIGNIFICAND:
        return Fraction(1, 2 ** SIGNIFICAND[name])
    np.iinfo(name)
    return Fraction(0)


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
        The dtype in which they are computed and summed.

    Returns
    -------
    Fraction
        ``γ_N = N·u / (1 − N·u)``: the computed sum differs from the exact one by at most ``γ_N · Σ|terms|``, in any
        order of summation (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., ch. 3).

    Raises
    ------
    ValueError
        If N·u is not below 1, so that there is no such bound.

    Examples
    --------
    >>> gamma(9, "float64") == Fraction(9, 2**53 - 9)
    True
    """
    share = terms * unit_roundoff(dtype)
    if share >= 1:
        raise ValueError(f"terms is {terms}; {np.dtype(dtype)} has no rounding bound for so many; use a wider dtype")
    return share / (1 - share)


def rounding_bound(sizes: npt.ArrayLike, terms: int, dtype: npt.DTypeLike, *, against: str | None = None) -> Array:
    """Bound the error of every entry of a rounded sum of products.

    Parameters
    ----------
    sizes : array_like
        ``Σ|terms|`` of every entry: exact numbers (Python's integers or fractions, in an object array), or sums of as
        many products in float64.
    terms : int
        N, products and single numbers in the longest sum.
    dtype : dtype
        The dtype in which they are computed and summed.
    against : dtype, optional
        The dtype of the sums that they are compared with; by default, those are exact.

    Returns
    -------
    ndarray, shape of `sizes`
        ``γ_N · Σ|terms|``, plus the same for `against`: ``|computed − right|`` is at most this in any order of
        summation. Fractions if the sizes are exact, otherwise float64. 0 for integers.

    Raises
    ------
    ValueError
        As in `gamma`.

    Notes
    -----
    A size that is summed in float64 is too small by a factor of 1 − γ_N at most. Three roundings more are those of the
    factor, of its product with the size, and of ``computed − right``: ``(1 − γ_N)(1 − u)³ ≥ 1 − γ_(N+3)``.

    Examples
    --------
    >>> rounding_bound(np.array([3, 5], object), 9, "float64")[1] == 5 * gamma(9, "float64")
    True
    >>> rounding_bound([3.0, 5.0], 9, "float32", against="float64")[1] > float(5 * gamma(9, "float32"))
    np.True_
    """
    found = np.asarray(sizes)
    share = gamma(terms, dtype) + (0 if against is None else gamma(terms, against))
    if found.dtype.hasobject:
        return np.asarray(found * share)
    return np.asarray(float(share / (1 - gamma(terms + 3, "float64"))) * found)


def first_difference(expected: Any, actual: Any) -> tuple[int, int] | None:
    """Find where two arrays differ.

    Parameters
    ----------
    expected, actual : array_like
        Arrays with the same number of entries, compared in vec order. NaN differs from everything.

    Returns
    -------
    (int, int) or None
        Flat index of the first difference and the number of differences; None where there is none. An array of another
        size differs everywhere.
    """
    left, right = np.ravel(expected), np.ravel(actual)
    if left.size != right.size:
        return 0, max(left.size, right.size)
    wrong = np.flatnonzero(np.asarray(left != right, dtype=bool))
    return (int(wrong[0]), len(wrong)) if len(wrong) else None
