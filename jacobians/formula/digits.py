"""Reading out single products: which entry each of many others is multiplied with, from the digits of one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["read_groups"]

Array = npt.NDArray[Any]
# Takes the numbers in all entries of two factors; returns the entries of the result, None where there is none.
Give = Callable[[list[Array]], Array | None]

# Bits that are left for the rounding of products with a factor that is no power of two.
ROUNDING_BITS = 6


def read_groups(
    give: Give, groups: Sequence[Array], counts: tuple[int, int], bits: int, most: int
) -> tuple[Array, float] | None:
    """Read which products of two factors code sums, if it takes one of each group of entries, all with one coefficient.

    Parameters
    ----------
    give : callable
        Takes the numbers in all entries of both factors, and returns the entries of the result.
    groups : sequence of ndarray of int
        All entries of the first factor: of those of one group, no two are in one sum.
    counts : tuple of int
        Entries of each factor.
    bits : int
        Of whole numbers that the code adds without rounding.
    most : int
        Calls, without the first.

    Returns
    -------
    places : ndarray of int64, shape (3, products)
        In the result and in each factor.
    coefficient : float
        Of every product.
    None
        Where it is not so, as far as that shows: the products that were found have to be confirmed.
    """
    first, second = counts
    group, within = np.zeros(first, np.int64), np.zeros(first)
    for at, entries in enumerate(groups):
        group[entries] = at
        within[entries] = np.arange(len(entries))
    widest = max(map(len, groups))
    if _calls(len(groups), second, bits) + _calls(len(groups), 2 * widest, bits) > most:
        return None
    some = give([(group == len(groups) // 2).astype(float), np.ones(second)])
    if some is None:
        return None
    scale = float(next(iter(some[some != 0]), 1.0))
    if np.any(some[some != 0] != scale):
        return None
    # Sums of two odd numbers are even: where two products of a group meet, that shows at once.
    own = _numbers(give, group, [2 * within + 1, np.ones(second)], bits, scale, odd=True)
    other = None if own is None else _numbers(give, group, [np.ones(first), np.arange(second) + 1.0], bits, scale)
    if own is None or other is None:
        return None
    own = (own + 1) // 2
    limits = np.array([len(entries) for entries in groups])
    if np.any(other > second) or np.any(own > limits) or not np.array_equal(other > 0, own > 0):
        return None
    place, which = np.nonzero(other)
    chosen = zip(which.tolist(), own[place, which].tolist(), strict=True)
    first_entries = np.array([groups[at][one - 1] for at, one in chosen], np.int64)
    return np.stack([place, first_entries, other[place, which] - 1]), scale


def _calls(groups: int, many: int, bits: int) -> int:
    """Return the calls that tell one number of so many for each group."""
    return -(-groups // max(1, bits // many.bit_length()))


def _numbers(
    give: Give, group: Array, numbers: list[Array], bits: int, scale: float, *, odd: bool = False
) -> Array | None:
    """Return, per entry of the result, the product of two numbers for each group; None where sums are no digits."""
    count = int(group.max()) + 1
    width = int(max(each.max() for each in numbers)).bit_length()
    exact = math.frexp(scale)[0] in {0.5, -0.5}
    step = max(1, (bits if exact else bits - ROUNDING_BITS) // width)
    found: list[Array] = []
    for start in range(0, count, step):
        some = min(step, count - start)
        inside = (group >= start) & (group < start + some)
        powers = np.ldexp(inside.astype(float), width * (group - start))
        values = give([powers * numbers[0], numbers[1]])
        whole = None if values is None else np.rint(values / scale)
        if whole is None or np.any(whole < 0) or np.any(whole >= 2.0 ** (width * some)):
            return None
        left = whole.astype(np.int64)
        for _ in range(some):
            found.append(left % 2**width)
            left >>= width
            if odd and np.any((found[-1] > 0) & (found[-1] % 2 == 0)):
                return None
    return np.stack(found, axis=1)
