"""Reading out which products code sums, by giving it basis elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians import writing
from jacobians.evidence import exact, readout
from jacobians.evidence.readout import Products

__all__ = ["products", "text"]

Array = npt.NDArray[Any]
# Gives an entry of a result for some flat arrays, where the others are 0; None where there is no number.
Value = Callable[[dict[str, Array]], float | None]

# Pairs of basis elements to give, and entries of one factor where the other one has distinct numbers.
MOST_READINGS = 64
MOST_CALLS = 200
# Products that a line holds.
MOST_PRODUCTS = 6
# Fractions that are written as such.
MOST_DENOMINATOR = 1024


def products(value: Value, sizes: Mapping[str, int], dtype: str) -> Products | None:
    """Read out of which products one entry of a result is the sum.

    Parameters
    ----------
    value : callable
        Gives the entry.
    sizes : dict of str to int
        How many numbers each factor has, one factor or two.
    dtype : str
        In which the products are summed.

    Returns
    -------
    dict or None
        How often each product is in the sum, by the places of its factors. None where there are too many, or the code
        does not give one number.
    """
    if math.prod(sizes.values()) <= MOST_READINGS:
        return readout.products(value, sizes)
    return _by_distinct(value, sizes, dtype) if len(sizes) == 2 and min(sizes.values()) <= MOST_CALLS else None


def _by_distinct(value: Value, sizes: Mapping[str, int], dtype: str) -> Products | None:
    """Give basis elements of the smaller factor, and distinct numbers as the other one: which of them comes is read."""
    few, many = sorted(sizes, key=sizes.__getitem__)
    # Of so many, no two are alike, and a sum is not likely to be one of them.
    most = min(exact.exact_limit(dtype) // 4, 10**6)
    if most < 4 * sizes[many]:
        return None
    numbers = np.random.default_rng(0).choice(np.arange(most // 2, most), sizes[many], replace=False)
    where = {float(number): place for place, number in enumerate(numbers)}
    found: Products = {}
    for place in range(sizes[few]):
        number = value({few: readout.unit(sizes[few], place), many: numbers})
        if number is None or (number and abs(number) not in where):
            return None
        if number:
            other = where[abs(number)]
            found[(place, other) if few == next(iter(sizes)) else (other, place)] = math.copysign(1.0, number)
    return found


def text(found: Products | None, names: Mapping[str, list[str]]) -> str | None:
    """Write a sum of products in symbols, by the names of the entries of each factor; None where it is too long."""
    if found is None or len(found) > MOST_PRODUCTS:
        return None
    import sympy

    total: Any = 0
    for places, number in found.items():
        factors = (sympy.Symbol(labels[place]) for labels, place in zip(names.values(), places, strict=True))
        total = total + _factor(number) * math.prod(factors)
    return writing.write(total, "text")


def _factor(number: float) -> Any:
    """Write a number as an integer or a fraction that it is, else in a few digits."""
    import sympy

    fraction = Fraction(number).limit_denominator(MOST_DENOMINATOR)
    if float(fraction) == number:
        return sympy.Rational(fraction.numerator, fraction.denominator)
    return sympy.Float(number, 6)
