"""Reading out sums of many entries: which entries of an array each sum takes, and how often, from digits of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["read_sums"]

Array = npt.NDArray[Any]
# Takes the numbers in all entries of an array; returns the entries of the result, None where there is none.
Give = Callable[[Array], Array | None]

# Bits of a digit: sums of entries once each, and sums of some of them several times, or less some others.
WIDTHS = (1, 3, 5)
# Calls for one layer.
MOST_CALLS = 30


def read_sums(give: Give, count: int, bits: int, unit: float, scale: float) -> tuple[Array, Array] | None:
    """Read which entries of one array code sums into each entry of a result.

    Parameters
    ----------
    give : callable
        Takes the numbers in all entries of the array, and returns the entries of the result; None where there is none.
    count : int
        Entries of the array.
    bits : int
        Of whole numbers that the code adds without rounding.
    unit : float
        Bound of the relative error of one sum.
    scale : float
        The common factor.

    Returns
    -------
    places : ndarray of int64, shape (2, entries)
        In the result and in the array.
    coefficients : ndarray of float64, shape (entries,)
        How often, times the common factor.
    None
        Where the sums could not be told, in few calls.
    """
    for width in WIDTHS:
        many = min(count, bits // width)
        blocks = [np.arange(start, min(start + many, count)) for start in range(0, count, many)]
        if len(blocks) >= MOST_CALLS:
            return None
        values = [give(_powers(block, count, width)) for block in blocks]
        some = [each for each in values if each is not None]
        if len(some) < len(values):
            return None
        table = _table(some, blocks, count, width, scale, unit)
        if table is not None and _confirmed(give, table, bits, scale, unit):
            places = np.stack(np.nonzero(table))
            return places, scale * table[tuple(places)].astype(np.float64)
    return None


def _powers(block: Array, count: int, width: int) -> Array:
    """Return numbers such that each entry of the block has its own digit."""
    numbers = np.zeros(count)
    numbers[block] = 2.0 ** (width * np.arange(len(block)))
    return numbers


def _table(
    values: Sequence[Array], blocks: Sequence[Array], count: int, width: int, scale: float, unit: float
) -> Array | None:
    """Return how often each entry is in each sum, if these values are that, times the scale, in digits."""
    table = np.zeros((len(values[0]), count), np.int64)
    for value, block in zip(values, blocks, strict=True):
        whole = np.rint(value / scale)
        if np.any(np.abs(whole * scale - value) > unit * np.abs(value)) or np.any(np.abs(whole) >= 2.0**62):
            return None
        left = whole.astype(np.int64)
        for at in block:
            digit = left % 2**width
            if width > 1:
                # As many negative digits as others.
                digit = np.where(digit >= 2 ** (width - 1), digit - 2**width, digit)
            table[:, at] = digit
            left = (left - digit) >> width
        if np.any(left):
            return None
    return table


def _confirmed(give: Give, table: Array, bits: int, scale: float, unit: float) -> bool:
    """Whether sums with random numbers are these."""
    most = int(np.abs(table).sum(axis=1).max(initial=1))
    numbers = np.random.default_rng(6).integers(1, max(2**bits // most, 3), table.shape[1])
    value = give(numbers.astype(np.float64))
    expected = scale * (table @ numbers)
    return value is not None and bool(np.all(np.abs(value - expected) <= unit * np.abs(expected)))
