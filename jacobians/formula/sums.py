"""Reading out sums of many products: which products each sum takes, and how often, from the digits of one number."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["read_sums"]

Array = npt.NDArray[Any]
# Takes the numbers in all entries of each factor; returns the entries of the result, None where there is none.
Give = Callable[[list[Array]], Array | None]

# Bits of a digit: sums of products once each, and sums of some of them several times, or less some others.
WIDTHS = (1, 3, 5)
# Calls for one layer.
MOST_CALLS = 30


def read_sums(
    give: Give, counts: Sequence[int], bits: int, unit: float, scales: Sequence[float]
) -> tuple[Array, Array] | None:
    """Read which entries of one array, or products of entries of two, code sums into each entry of a result.

    Parameters
    ----------
    give : callable
        Takes the numbers in all entries of each array, and returns the entries of the result; None where there is none.
    counts : sequence of int
        Entries of each array.
    bits : int
        Of whole numbers that the code adds without rounding.
    unit : float
        Bound of the relative error of one sum.
    scales : sequence of float
        Common factors that are tried.

    Returns
    -------
    places : ndarray of int64, shape (1 + len(counts), products)
        In the result and in each array.
    coefficients : ndarray of float64, shape (products,)
        How often, times a common factor.
    None
        Where the sums could not be told, in few calls.
    """
    for width in WIDTHS:
        blocks = list(_blocks(counts, bits // width))
        if len(blocks) >= MOST_CALLS:
            return None
        values = [give(_powers(block, counts, width)) for block in blocks]
        some = [each for each in values if each is not None]
        if len(some) < len(values):
            return None
        for scale in scales:
            table = _table(some, blocks, counts, width, scale, unit)
            if table is not None and _confirmed(give, table, counts, bits, scale, unit):
                result, product = np.nonzero(table)
                places = np.stack([result, *np.unravel_index(product, counts)])
                return places, scale * table[result, product].astype(np.float64)
    return None


def _blocks(counts: Sequence[int], many: int) -> Iterator[tuple[range, ...]]:
    """Yield so many entries of each array that there are at most `many` products of them."""
    last = min(counts[-1], many)
    steps = [max(1, many // last), last] if len(counts) > 1 else [last]
    cuts = (range(0, count, step) for count, step in zip(counts, steps, strict=True))
    for starts in itertools.product(*cuts):
        parts = zip(starts, counts, steps, strict=True)
        yield tuple(range(start, min(start + step, count)) for start, count, step in parts)


def _powers(block: Sequence[range], counts: Sequence[int], width: int) -> list[Array]:
    """Return numbers such that each product of the block has its own digit, in the order of products."""
    found: list[Array] = []
    step = width
    for here, count in reversed(list(zip(block, counts, strict=True))):
        numbers = np.zeros(count)
        numbers[here] = 2.0 ** (step * np.arange(len(here)))
        found.insert(0, numbers)
        step *= len(here)
    return found


def _table(
    values: Sequence[Array],
    blocks: Sequence[Sequence[range]],
    counts: Sequence[int],
    width: int,
    scale: float,
    unit: float,
) -> Array | None:
    """Return how often each product is in each sum, if these values are that, times the scale, in digits."""
    table: Any = np.zeros((len(values[0]), *counts), np.int64)
    for value, block in zip(values, blocks, strict=True):
        whole = np.rint(value / scale)
        if np.any(np.abs(whole * scale - value) > unit * np.abs(value)) or np.any(np.abs(whole) >= 2.0**62):
            return None
        left = whole.astype(np.int64)
        for at in itertools.product(*block):
            digit = left % 2**width
            if width > 1:
                # As many negative digits as others.
                digit = np.where(digit >= 2 ** (width - 1), digit - 2**width, digit)
            table[:, *at] = digit
            left = (left - digit) >> width
        if np.any(left):
            return None
    return np.asarray(table).reshape(len(table), math.prod(counts))


def _confirmed(give: Give, table: Array, counts: Sequence[int], bits: int, scale: float, unit: float) -> bool:
    """Whether sums with random numbers are these."""
    most = max(int(np.abs(table).sum(axis=1).max(initial=1)), 1)
    limit = max(int((2**bits // most) ** (1 / len(counts))), 3)
    generator = np.random.default_rng(6)
    numbers = [generator.integers(1, limit, count) for count in counts]
    value = give([each.astype(np.float64) for each in numbers])
    expected = scale * (table @ functools.reduce(np.multiply.outer, numbers).ravel())
    return value is not None and bool(np.all(np.abs(value - expected) <= unit * np.abs(expected)))
