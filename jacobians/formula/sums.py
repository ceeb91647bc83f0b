"""Reading out sums of entries of one array: which entries each sum takes, and how often, from digits of one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["read_sums"]

Array = npt.NDArray[Any]

# Bits of a digit: sums of entries once each, and sums of some of them several times, or less some others.
WIDTHS = (1, 3, 5)
# Calls for one layer.
MOST_CALLS = 24


def read_sums(give: Callable[[Array], Array | None], count: int, bits: int, unit: float) -> tuple[Array, Array] | None:
    """Read which entries of one array code sums into each entry of a result.

    Parameters
    ----------
    give : callable
        Takes the numbers in all entries, flat, and returns the entries of the result, flat; None where there is none.
    count : int
        Entries of the array.
    bits : int
        Of whole numbers that the code adds without rounding.
    unit : float
        Bound of the relative error of one sum.

    Returns
    -------
    places : ndarray of int64, shape (2, products)
        In the result and in the array.
    coefficients : ndarray of float64, shape (products,)
        How often, times a common factor.
    None
        Where the sums could not be told, in few calls.
    """
    scale = _scale(give, count)
    for width in WIDTHS if scale else ():
        if -(-count // (bits // width)) > MOST_CALLS:
            return None
        table = _digits(give, count, bits // width, width, scale, unit)
        if table is not None and _confirmed(give, table, scale, bits, unit):
            places = np.stack(np.nonzero(table))
            return places, scale * table[tuple(places)].astype(np.float64)
    return None


def _scale(give: Callable[[Array], Array | None], count: int) -> float:
    """Return the number that single entries are multiplied with; 0 where the first and last show none."""
    for at in dict.fromkeys((0, count - 1, count // 2)):
        value = give((np.arange(count) == at).astype(np.float64))
        some = np.unique(value[value != 0]) if value is not None else np.zeros(0)
        if len(some):
            return float(min(some, key=abs))
    return 0.0


def _digits(
    give: Callable[[Array], Array | None], count: int, many: int, width: int, scale: float, unit: float
) -> Array | None:
    """Return how often each entry is in each sum, if numbers have a digit of this width for each of `many` entries."""
    columns = []
    for start in range(0, count, many):
        here = np.arange(start, min(start + many, count))
        numbers = np.zeros(count)
        numbers[here] = 2.0 ** (width * (here - start))
        value = give(numbers)
        if value is None:
            return None
        whole = np.rint(value / scale)
        if np.any(np.abs(whole * scale - value) > unit * np.abs(value)) or np.any(np.abs(whole) >= 2.0 ** (width * many)):
            return None
        left = whole.astype(np.int64)
        for _ in here:
            digit = left % 2**width
            if width > 1:
                # As many negative digits as others.
                digit = np.where(digit >= 2 ** (width - 1), digit - 2**width, digit)
            columns.append(digit)
            left = (left - digit) >> width
        if np.any(left):
            return None
    return np.stack(columns, axis=1)


def _confirmed(give: Callable[[Array], Array | None], table: Array, scale: float, bits: int, unit: float) -> bool:
    """Whether sums of random numbers are these."""
    most = max(int(np.abs(table).sum(axis=1).max()), 1)
    numbers = np.random.default_rng(6).integers(1, max(2**bits // most, 3), table.shape[1])
    value = give(numbers.astype(np.float64))
    expected = scale * (table @ numbers)
    return value is not None and bool(np.all(np.abs(value - expected) <= unit * np.abs(expected)))
