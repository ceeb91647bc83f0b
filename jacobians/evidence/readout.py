"""Finding out which products code sums, by calling it with basis elements: arrays with a single 1."""

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
    """Return an array of so many entries that is 1 at `place` and 0 elsewhere."""
    return np.asarray(np.arange(size) == place, np.float64)


def products(value: Callable[[dict[str, Array]], float | None], sizes: Mapping[str, int]) -> Products | None:
    """Find out which products are summed in a number.

    Parameters
    ----------
    value : callable
        ``value(arrays)`` computes the number from its factors, flat arrays by name. It is linear in each of them, and
        returns None if the result is not a number.
    sizes : mapping of str to int
        The number of entries of each factor.

    Returns
    -------
    dict or None
        How often each product is in the sum, by the places of its factors in the order of `sizes`; products that do not
        occur are left out. None if a value is None.

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
