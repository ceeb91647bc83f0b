"""Reading out which products code sums, by giving it basis elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy.typing as npt

from jacobians import writing
from jacobians.evidence import readout
from jacobians.evidence.readout import Products

__all__ = ["Value", "products", "text"]

# Gives an entry of a result for some flat arrays, where the others are 0; None where there is no number.
Value = Callable[[dict[str, npt.NDArray[Any]]], float | None]

# Combinations of basis elements to give.
MOST_READINGS = 64
# Products that a line holds.
MOST_PRODUCTS = 6
# Fractions that are written as such.
MOST_DENOMINATOR = 1024


def products(value: Value, sizes: Mapping[str, int]) -> Products | None:
    """Read out of which products one entry is the sum, by the places of its factors; None where there are too many."""
    return readout.products(value, sizes) if math.prod(sizes.values()) <= MOST_READINGS else None


def text(found: Products | None, names: Mapping[str, list[str]]) -> str | None:
    """Write a sum of products in symbols, by the names of the entries of each factor; None where it is too long."""
    if found is None or len(found) > MOST_PRODUCTS:
        return None
    named = ([labels[at] for labels, at in zip(names.values(), places, strict=True)] for places in found)
    return writing.write_sum(zip(map(_factor, found.values()), named, strict=True), "text") if found else "0"


def _factor(number: float) -> Fraction | float:
    """Return the integer or the simple fraction that a number is, else its first digits."""
    fraction = Fraction(number).limit_denominator(MOST_DENOMINATOR)
    return fraction if float(fraction) == number else float(f"{number:.6g}")
