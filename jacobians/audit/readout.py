"""Reading out which products code sums, by giving it basis elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import sympy

from jacobians import symbolic
from jacobians.audit.judge import FACTORS, slack
from jacobians.audit.probes import Case, Probe, dtype_of, expected
from jacobians.audit.subject import Subject
from jacobians.evidence import exact, readout
from jacobians.evidence.readout import Products

__all__ = ["MOST_READINGS", "ROLES", "Products", "named", "names", "products", "text"]

Array = npt.NDArray[Any]
# Pairs of basis elements to give, and entries of one factor where the other one has distinct numbers.
MOST_READINGS = 64
MOST_CALLS = 200
# Products that a line holds.
MOST_PRODUCTS = 6
# Fractions that are written as such.
MOST_DENOMINATOR = 1024
ROLES = {"S": ("S", "responses"), "dX": ("v", "image"), "dF": ("v", "filters"), "db": ("v", "bias")}
NAMED = {"X": ("X", "image"), "F": ("F", "filters"), "G": ("g", "responses")}


def products(subject: Subject | None, name: str, case: Case, at: int) -> Products | None:
    """Read out of which products one entry of a result is the sum.

    Parameters
    ----------
    subject : Subject or None
        The code under audit; None for what is right.
    name : str
        The result: S, dX, dF or db.
    case : Case
        The layer.
    at : int
        Which entry, in the order of memory.

    Returns
    -------
    dict or None
        How often each product is in the sum, by the places of its factors. None where the case is too large, or the
        code does not give one number.
    """
    letters = FACTORS[name]
    sizes = [math.prod(case.shapes[letter]) for letter in letters]
    value = _value_of(subject, name, case, at)
    if math.prod(sizes) <= MOST_READINGS:
        return readout.products(value, dict(zip(letters, sizes, strict=True)))
    return _by_distinct(value, letters, sizes, subject) if len(sizes) == 2 and min(sizes) <= MOST_CALLS else None


Value = Callable[[dict[str, Array]], float | None]


def _value_of(subject: Subject | None, name: str, case: Case, at: int) -> Value:
    """Return what gives the entry for some flat arrays; the others are 0."""
    dtype = np.dtype(np.float64) if subject is None else dtype_of(subject.options.dtype)

    def value(arrays: dict[str, Array]) -> float | None:
        given = {letter: np.zeros(shape, dtype) for letter, shape in case.shapes.items()}
        for letter, flat in arrays.items():
            given[letter].reshape(-1)[:] = flat
        probe = Probe(case, given["X"], given["F"], given["b"], given["G"])
        result = expected(probe)[name] if subject is None else subject.results(probe)[name].value
        if result is None or np.size(result) <= at:
            return None
        number = float(np.ravel(np.asarray(result, np.float64))[at])
        whole = float(round(number)) if math.isfinite(number) else math.nan
        return whole if abs(number - whole) <= slack(probe, name) else number if math.isfinite(number) else None

    return value


def _by_distinct(value: Value, letters: tuple[str, ...], sizes: list[int], subject: Subject | None) -> Products | None:
    """Give basis elements of the smaller factor, and distinct numbers as the other one: which of them comes is read."""
    few, many = sorted(range(2), key=lambda each: sizes[each])
    # Of so many, no two are alike, and a sum is not likely to be one of them.
    limit = exact.exact_limit("float64" if subject is None else subject.options.dtype)
    most = min(limit // 4, 10**6)
    if most < 4 * sizes[many]:
        return None
    numbers = np.random.default_rng(0).choice(np.arange(most // 2, most), sizes[many], replace=False)
    where = {float(number): place for place, number in enumerate(numbers)}
    found: Products = {}
    for place in range(sizes[few]):
        number = value({letters[few]: readout.unit(sizes[few], place), letters[many]: numbers})
        if number is None or (number and abs(number) not in where):
            return None
        if number:
            other = where[abs(number)]
            found[(place, other) if few == 0 else (other, place)] = math.copysign(1.0, number)
    return found


def text(found: Products | None, name: str, case: Case) -> str | None:
    """Write a sum of products in symbols; None where it is too long to be read."""
    if found is None or len(found) > MOST_PRODUCTS:
        return None
    symbols = [_labels(letter, case) for letter in FACTORS[name]]
    total: Any = 0
    for places, number in found.items():
        factors = (sympy.Symbol(label[place]) for label, place in zip(symbols, places, strict=True))
        total = total + _factor(number) * math.prod(factors)
    return symbolic.write(total, "text")


def named(found: Products, name: str, case: Case) -> Iterator[str]:
    """Name single products."""
    symbols = [_labels(letter, case) for letter in FACTORS[name]]
    for places in found:
        yield "".join(label[place] for label, place in zip(symbols, places, strict=True))


def _factor(number: float) -> Any:
    """Write a number as an integer or a fraction that it is, else in a few digits."""
    fraction = Fraction(number).limit_denominator(MOST_DENOMINATOR)
    if float(fraction) == number:
        return sympy.Rational(fraction.numerator, fraction.denominator)
    return sympy.Float(number, 6)


def _labels(letter: str, case: Case) -> list[str]:
    return names(*NAMED[letter], case)


def names(letter: str, role: Any, case: Case) -> list[str]:
    """Name the entries of an array of a case; those of image 2 end in ^(2)."""
    single = symbolic.names(letter, role, case.geometry)
    if case.images == 1 or role in {"filters", "bias"}:
        return single
    return [f"{name}^({image})" for image in range(1, case.images + 1) for name in single]
