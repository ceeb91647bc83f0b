"""Reading out which products code sums, by giving it basis elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Products", "products", "unit"]

Array = npt.NDArray[Any]
# How often each product is in a sum, by the places of its factors.
Products = dict[tuple[int, ...], float]


def unit(size: int, place: int) -> Array:
    """Return the basis element of so many entries whose entry at `place` is 1."""
    return np.asarray(np.arange(size) == place, np.float64)


def products(value: Callable[[dict[str, Array]], float | None], sizes: Mapping[str, int]) -> Products | None:
    """Read out of which products a number is the sum.

    Parameters
    ----------
    value : callable
        What code computes of its factors, flat arrays by name, in which it is linear; None where that is no number.
    sizes : mapping of str to int
        How many entries each factor has.

    Returns
    -------
    dict or None
        How often each product is in the sum, by the places of its factors in the order of `sizes`, 0 left out. None
        where some value is.

    Notes
    -----
    The code is called once for every combination of basis elements.

    Examples
    --------
    >>> products(lambda arrays: float(2 * arrays["X"][1] * arrays["F"][0]), {"X": 3, "F": 2})
    {(1, 0): 2.0}
    """
    found: Products = {}
    for places in np.ndindex(*sizes.values()):
        units = zip(sizes.items(), places, strict=True)
        number = value({name: unit(size, place) for (name, size), place in units})
        if number is None:
            return None
        if number:
            found[places] = number
    return found
