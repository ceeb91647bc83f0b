"""Factors that code leaves out: products of one factor, read as if the other one were full of ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.formula.products import Reading
from jacobians.formula.relation import joined
from jacobians.formula.structure import FACTORS, Structure, right, sizes_of

__all__ = ["completed"]

Array = npt.NDArray[Any]


def completed(readings: Sequence[Reading], result: str, structure: Structure) -> tuple[list[Reading], str]:
    """Add the entry of the factor that is left out, as the right relation gives it, to every product.

    Parameters
    ----------
    readings : sequence of Reading
        Of the same factors.
    result : str
        S, dX, dF or db.
    structure : Structure
        Axes and groups.

    Returns
    -------
    readings : list of Reading
        With the factors of the right products; as they are, where no single factor is left out or a product is none of
        the right ones.
    missing : str
        The letter of the factor that was added; empty where there is none.
    """
    letters, both = readings[0].letters, FACTORS[result]
    missing = [letter for letter in both if letter not in letters]
    if len(both) < 2 or len(missing) != 1 or len(letters) != 1:
        return list(readings), ""
    found = [_completed(each, result, structure, both.index(missing[0])) for each in readings]
    whole = [each for each in found if each is not None]
    return (whole, missing[0]) if len(whole) == len(found) else (list(readings), "")


def _completed(reading: Reading, result: str, structure: Structure, missing: int) -> Reading | None:
    """Find every pair of an entry of the result and one of the factor among the right products."""
    term = right(result, structure, reading.layer.geometry).terms[0]
    if reading.shape != joined(structure.tensors[result], sizes_of(reading.layer)):
        return None
    places, _ = term.products(sizes_of(reading.layer))
    count = int(max(places[2 - missing].max(initial=0), reading.places[1].max(initial=0))) + 1
    keys, wanted = places[0] * count + places[2 - missing], reading.places[0] * count + reading.places[1]
    order = np.argsort(keys)
    at = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)] if len(keys) else wanted
    if len(wanted) and (not len(keys) or np.any(keys[at] != wanted)):
        return None
    rows = [reading.places[0], reading.places[1], reading.places[1]]
    rows[1 + missing] = places[1 + missing][at]
    return dataclasses.replace(reading, letters=FACTORS[result], places=np.stack(rows))
