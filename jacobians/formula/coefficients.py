"""The common factor of products that were read: a number, powers of sizes, and counts of products."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.formula.combine import Combinations
from jacobians.formula.products import MOST_DENOMINATOR, rational
from jacobians.formula.relation import Coefficient, Sizes, Term, counted, size_of
from jacobians.formula.rows import Readings, Rows, is_spatial
from jacobians.formula.structure import SIZES

__all__ = ["coefficient", "fraction"]

Array = npt.NDArray[Any]
Counts = tuple[tuple[str, int], ...]

# Sizes that coefficients are made of.
MOST_SCALES = 5
# Each way to multiply by some of them and divide by the others, as columns.
SIGNS = [np.array([*itertools.product((-1, 1), repeat=count)]).T for count in range(MOST_SCALES + 1)]


def coefficient(term: Term, rows: Rows, readings: Readings, combinations: Combinations) -> Coefficient | None:
    """Return the common factor of all products, if it is one of sizes and of counts.

    Parameters
    ----------
    term : Term
        Whose products these are.
    rows : Rows
        The products.
    readings : Readings
        The layers.
    combinations : Combinations
        Of the sizes of these layers.

    Returns
    -------
    Coefficient or None
        None where there is none.
    """
    if np.all(rows.by == rows.by[0]):
        return Coefficient(fraction(rows.by[0]))
    numbers: dict[str, Array] = {}
    for counts in _counts(rows):
        by = rows.by
        for name, power in counts:
            if name not in numbers:
                numbers[name] = _counted(term, rows, name, readings).astype(np.float64)
            by = by / numbers[name] ** power
        by = rational(by)
        per_layer = [np.unique(by[rows.layer == at]) for at in range(len(readings.sizes))]
        if all(len(each) <= 1 for each in per_layer):
            given = [(each[0], sizes) for each, sizes in zip(per_layer, readings.sizes, strict=True) if len(each)]
            names = _names(readings, combinations)
            if (found := _powers([(fraction(each), sizes) for each, sizes in given], names)) is not None:
                return dataclasses.replace(found, counts=counts)
    return None


def fraction(value: float) -> Fraction:
    """Return the simple fraction that a number is the nearest float to, else just the number."""
    simple = Fraction(float(value)).limit_denominator(MOST_DENOMINATOR)
    return simple if float(simple) == value else Fraction(float(value))


def _counts(rows: Rows) -> Iterator[Counts]:
    """Yield the counts that coefficients may be powers of."""
    yield ()
    names = [name for name in rows.columns if is_spatial(name)]
    for letter in dict.fromkeys(name.partition(".")[0] for name in names):
        own = [name for name in names if name.startswith(letter + ".")]
        for count in range(len(own), 0, -1):
            for some in itertools.combinations(own, count):
                for power in (-1, 1):
                    yield tuple((name, power) for name in some)


def _counted(term: Term, rows: Rows, name: str, readings: Readings) -> Array:
    found = np.ones(rows.count, np.int64)
    for at, sizes in enumerate(readings.sizes):
        here = rows.layer == at
        columns = term.tuples(sizes, readings.out[at])
        if here.any():
            counts = np.zeros(readings.limit(name, term.axes[name].size, at), np.int64)
            counts[columns[name]] = counted(columns, name)
            found[here] = np.maximum(counts[rows.columns[name][here]], 1)
    return found


def _names(readings: Readings, combinations: Combinations) -> list[str]:
    axes = itertools.chain(*SIZES[readings.structure.spatial_ndim])
    return [name for name in ("N", "d", "n", "d/g", "n/g", *axes) if name in combinations.plain]


def _powers(given: Sequence[tuple[Fraction, Sizes]], names: Sequence[str]) -> Coefficient | None:
    values = [each for each, _ in given]
    if len(set(values)) == 1 or not all(values):
        return Coefficient(values[0]) if len(set(values)) == 1 else None
    logs = np.log([[float(size_of(name, sizes)) for name in names] for _, sizes in given])
    left = np.log(np.abs(np.array(values, float)))
    # Each of the logarithms that are added up is rounded three times: as a float, as a logarithm, and in the sum.
    largest = max(1.0, float(np.abs(logs).max(initial=0)), float(np.abs(left).max()))
    nearly = 2 * 3 * (MOST_SCALES + 1) ** 2 * float(np.finfo(float).eps) * largest
    for count in range(1, MOST_SCALES + 1):
        some = np.array(list(itertools.combinations(range(len(names)), count)), np.int64).reshape(-1, count)
        off = np.ptp(left[:, None, None] - logs[:, some] @ SIGNS[count], axis=0)
        # Logarithms leave few candidates; fractions decide.
        for chosen, powers in np.argwhere(off <= nearly):
            signs = SIGNS[count][:, powers].tolist()
            pairs = tuple((names[at], sign) for at, sign in zip(some[chosen], signs, strict=True))
            if (number := _number(given, pairs)) is not None:
                return Coefficient(number, pairs)
    return None


def _number(given: Sequence[tuple[Fraction, Sizes]], powers: Counts) -> Fraction | None:
    """Return what is left of all factors without these powers, where that is one number."""
    scale = Coefficient(Fraction(1), powers)
    number: Fraction | None = None
    for each, sizes in given:
        left = each / scale.at(sizes)
        if number is not None and left != number:
            return None
        number = left
    return number
