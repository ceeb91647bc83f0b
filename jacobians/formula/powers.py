"""Reading out sums of several products: which pairs of entries each sum takes, from sums of powers modulo a prime.

Every pair of entries has a number of its own, the product of those of its entries. Sums of their first s powers are the
coefficients of the polynomial whose roots are the s numbers (Newton's identities).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["read_powers"]

Array = npt.NDArray[Any]
# Takes the numbers in all entries of two factors; returns the entries of the result, None where there is none.
Give = Callable[[list[Array]], Array | None]

# The largest prime below each of some powers of two.
PRIMES = {10: 1021, 12: 4093, 14: 16381, 16: 65521, 18: 262139}
# Products in one sum, pairs for all sums together, and sums at least by which a common factor is found.
MOST, MOST_TRIED, LEAST = 18, 1 << 24, 3
# Sums in a quotient that is multiplied with a whole number: each is rounded, and the product.
ROUNDED = 3
# Values that are computed at a time, so that they stay in the cache.
BLOCK = 1 << 14
# All whole numbers below this have an exact float.
WHOLE = 2.0**53


def read_powers(give: Give, counts: tuple[int, int], bits: int, unit: float) -> tuple[Array, Array] | None:
    """Read which products of two factors code sums, if those of one sum have one coefficient, or whole multiples of it.

    Parameters
    ----------
    give : callable
        Takes the numbers in all entries of both factors, and returns the entries of the result.
    counts : tuple of int
        Entries of each factor.
    bits : int
        Of whole numbers that the code adds without rounding.
    unit : float
        Bound of the relative error of one sum.

    Returns
    -------
    places : ndarray of int64, shape (3, products)
        In the result and in each factor.
    coefficients : ndarray of float64, shape (products,)
        Of the products.
    None
        Where it is not so, as far as that shows: the products that were found have to be confirmed.
    """
    first, second = counts
    width = next((each for each in PRIMES if PRIMES[each] > first * second), None)
    if width is None or 2 * width + MOST.bit_length() > bits:
        return None
    prime = PRIMES[width]
    table = _distinct(prime, first * second)
    value = give([np.ones(first), np.ones(second)])
    if value is None:
        return None
    some = np.flatnonzero(value)
    sums, found = [value[some]], [np.zeros((4, 0))]
    left, least = np.arange(len(some)), np.ones(len(some), np.int64)
    while len(left):
        lengths = _lengths(np.stack(sums)[:, left], least[left], unit)
        if np.any(lengths > MOST) or len(some) * len(table) > MOST_TRIED:
            return None
        if len(sums) <= max(LEAST, lengths.max()):
            powers = _power(table, len(sums), prime).astype(np.float64)
            value = give([powers[:first], powers[::first]])
            if value is None:
                return None
            sums.append(value[some])
            continue
        for count in np.unique(lengths).tolist():
            tried = left[lengths == count]
            values = np.stack(sums[: count + 1])[:, tried]
            which, pair, times = _pairs(values, table, prime)
            found.append(np.stack([some[tried[which]], pair % first, pair // first, values[0, which] / count * times]))
            least[tried] = count + 1
            least[tried[which]] = 0
        left = left[least[left] > 0]
    products = np.concatenate(found, axis=1)
    return products[:3].astype(np.int64), products[3]


def _distinct(prime: int, count: int) -> Array:
    """Return the first powers of a number modulo a prime, such that no two are alike."""
    for base in range(2, prime):
        powers = [1]
        while len(powers) < count and (following := powers[-1] * base % prime) != 1:
            powers.append(following)
        if len(powers) == count:
            return np.array(powers)
    raise AssertionError("a prime has a primitive root")


def _power(numbers: Array, exponent: int, prime: int) -> Array:
    found = np.ones_like(numbers)
    for _ in range(exponent):
        found = found * numbers % prime
    return found


def _is_whole(values: Array, count: int, unit: float) -> Array:
    """Whether sums are whole, if the first one, of the zeroth powers, is this number."""
    sums = values / values[0] * count
    off = np.abs(sums - np.rint(sums))
    return np.asarray(np.all((off <= ROUNDED * unit * sums) & (sums < WHOLE), axis=0))


def _lengths(values: Array, least: Array, unit: float) -> Array:
    """Return the least number of products, not below some, that each of some sums may have; else one too many."""
    found = np.full(values.shape[1], MOST + 1)
    for count in range(MOST, 0, -1):
        found[_is_whole(values, count, unit) & (least <= count)] = count
    return found


def _pairs(values: Array, table: Array, prime: int) -> tuple[Array, Array, Array]:
    """Return which of some sums, of so many products as powers, have which pairs how often, where all are told."""
    count = len(values) - 1
    whole = np.rint(values[1:] / values[0] * count).astype(np.int64) % prime
    which, pair, times = _multiplicities(_coefficients(whole, prime), table, prime)
    told = np.bincount(which, times, values.shape[1])[which] == count
    return which[told], pair[told], times[told]


def _coefficients(sums: Array, prime: int) -> Array:
    """Return the polynomials whose roots have these sums of powers, the leading coefficient first."""
    found = np.zeros((len(sums) + 1, sums.shape[1]), np.int64)
    found[0] = 1
    for at in range(1, len(found)):
        total = sum(found[at - each] * sums[each - 1] % prime for each in range(1, at + 1))
        found[at] = -total * pow(at, -1, prime) % prime
    return found


def _multiplicities(polynomials: Array, table: Array, prime: int) -> tuple[Array, Array, Array]:
    """Return which polynomials have which numbers of a table as roots, and how often: so many derivatives are 0."""
    exponents = np.arange(len(polynomials))[::-1]
    powers = np.stack([_power(table, each, prime) for each in exponents]).astype(np.float64)
    which, root = _roots(polynomials.T.astype(np.float64), powers, prime)
    times = np.ones(len(which), np.int64)
    several = np.arange(len(which))
    weights = polynomials
    for at in range(1, len(polynomials) - 1):
        weights = weights * np.maximum(exponents - at + 1, 0)[:, None] % prime
        lowered = powers[np.minimum(np.arange(len(powers)) + at, len(powers) - 1)][:, root[several]].astype(np.int64)
        several = several[np.sum(weights[:, which[several]] * lowered % prime, axis=0) % prime == 0]
        if not len(several):
            break
        times[several] += 1
    return which, root, times


def _roots(polynomials: Array, powers: Array, prime: int) -> tuple[Array, Array]:
    """Return which polynomials, one per row, are 0 modulo a prime at which numbers, given by their powers."""
    rows = max(BLOCK // powers.shape[1], 1)
    found = []
    for first in range(0, len(polynomials), rows):
        # Whole numbers of less than 53 bits: no sum is rounded.
        values = polynomials[first : first + rows] @ powers
        which, root = np.nonzero(values == np.rint(values / prime) * prime)
        found.append((which + first, root))
    return np.concatenate([each for each, _ in found]), np.concatenate([each for _, each in found])
