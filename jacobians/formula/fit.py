"""Finding the formula behind products that were read at several layers.

Every index is, where it can be, a linear combination of other indices, with a constant that is one of sizes; beyond a
border it may be folded. Of the tuples that these equations allow, ranges say which take part. What is left over is
another term. A formula is found where its products are those that were read, at every layer.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from jacobians.formula.coefficients import coefficient, fraction
from jacobians.formula.combine import Combinations
from jacobians.formula.equations import ORDERS, Equations
from jacobians.formula.products import Reading
from jacobians.formula.ranges import ranged
from jacobians.formula.relation import Coefficient, Condition, Equation, Linear, Term, View, same_axis
from jacobians.formula.rows import Readings, Rows, is_spatial, joined_rows, joined_sizes
from jacobians.formula.structure import Structure, right
from jacobians.formula.views import is_function, other_views
from jacobians.geometry import Geometry

__all__ = ["fit"]

# Terms of one formula: where all equations hold for all products, and else.
MOST_STRICT, MOST_TERMS = 2, 4
# Terms that are tried for one formula, and products that are looked at for them.
MOST_TRIED, MOST_ROWS = 16, 250_000
# Remainders by which an index is told apart.
MODULI = (2, 3)
# Share of the products with the coefficient 1 for which they are taken to be one of two terms.
PLAIN = 0.1


def fit(
    readings: Sequence[Reading],
    result: str,
    structure: Structure,
    options: Geometry,
    first: tuple[View, ...] | None = None,
) -> tuple[Term, ...] | None:
    """Find the terms whose products were read.

    Parameters
    ----------
    readings : sequence of Reading
        At several layers, of the same factors.
    result : str
        S, dX, dF or db.
    structure : Structure
        Axes and groups.
    options : Geometry
        Any layer with the stride and the dilation.
    first : tuple of View, optional
        Orders of memory that are tried first.

    Returns
    -------
    tuple of Term or None
        None where there are none that give just these products, with these coefficients, at every layer.
    """
    given = Readings(readings, result, structure)
    if not given.are_split:
        return None
    steps = sorted({*options.stride, *options.dilation})
    caps = sorted({1 + zeros for pair in options.padding for zeros in pair if zeros > 1})
    combinations = Combinations(given.sizes, steps, joined_sizes(structure), caps)
    likely = {each.index: Linear(each.value.terms) for each in right(result, structure, options).terms[0].equations}
    plain = tuple(View(tensor) for tensor in given.tensors)
    ways = [(views, False) for views in dict.fromkeys((first or plain, plain))]
    for views, flat in itertools.chain(ways, ((views, False) for views in other_views(given)), [(plain, True)]):
        terms = _Terms(given, combinations, likely, views, flat=flat).found(given.rows(views), MOST_STRICT)
        if terms is not None:
            return terms
    return _Terms(given, combinations, likely, plain, pieces=True).found(given.rows(plain), MOST_TERMS)


class _Terms:
    """Terms for products in one view; in `pieces`, equations need not hold for all products.

    In `flat` ones, all spatial indices of an array may have one equation.
    """

    def __init__(
        self,
        readings: Readings,
        combinations: Combinations,
        likely: dict[str, Linear],
        views: tuple[View, ...],
        *,
        pieces: bool = False,
        flat: bool = False,
    ) -> None:
        self.readings, self.combinations, self.likely = readings, combinations, likely
        self.views, self.pieces, self.flat = views, pieces, flat
        self.equations: dict[Rows, Equations] = {}
        self.tried = self.looked = 0

    def found(self, rows: Rows, most: int, given: tuple[Condition, ...] = ()) -> tuple[Term, ...] | None:
        """Find at most `most` terms for products of which some conditions hold."""
        if not rows.count:
            return ()
        if not most:
            return None
        for order, strict in [(order, True) for order in ORDERS] + [(ORDERS[0], False)] * self.pieces:
            if not strict and (found := self._split(rows, most, given)) is not None:
                return found
            if self.tried > MOST_TRIED or self.looked > MOST_ROWS:
                return None
            for term, rest in self._term(rows, order, given, strict=strict):
                further = self.found(rest, most - 1, given)
                if further is not None:
                    return (term, *further)
        return None

    def _split(self, rows: Rows, most: int, given: tuple[Condition, ...]) -> tuple[Term, ...] | None:
        """Find terms for the classes of a remainder, where an index has an equation in each but none for all."""
        for name, by in self._remainders(rows):
            found: list[Term] = []
            for rest in range(by):
                part = rows.where(rows.columns[name] % by == rest)
                only = Condition(Linear.of({name: 1}), Linear.of({}, rest), Linear.of({}, rest), by)
                terms = self.found(part, most - 1, (*given, only))
                if terms is None:
                    return None
                found += terms
            return tuple(found)
        return None

    def _remainders(self, rows: Rows) -> Iterator[tuple[str, int]]:
        """Yield indices and what to divide them by, so that an index without an equation has one in each class."""
        equations = self._equations(rows)
        found, _ = equations.found(ORDERS[0], strict=True)
        free = [name for name in equations.axes if name not in {each.index for each in found}]
        for name in reversed(free):
            others = [each for each in free if each != name]
            if not is_function(name, others, rows):
                continue
            for other, by in itertools.product((each for each in equations.axes if _alike(name, each)), MODULI):
                if self._has_equations(name, others, rows, other, by):
                    yield other, by

    def _has_equations(self, name: str, free: Sequence[str], rows: Rows, other: str, by: int) -> bool:
        """Whether an index has an equation in each class of another one's remainder."""
        for rest in range(by):
            part = rows.where(rows.columns[other] % by == rest)
            self.looked += part.count
            if not part.count or self.looked > MOST_ROWS:
                return False
            if self._equations(part).of(name, free) is None:
                return False
        return True

    def _term(
        self, rows: Rows, order: tuple[str, ...], given: tuple[Condition, ...], *, strict: bool
    ) -> Iterator[tuple[Term, Rows]]:
        """Yield a term for most of the products, and the products that are left over."""
        self.tried += 1
        self.looked += rows.count
        for constant in (True, False):
            equations, fits = self._equations(rows).found(order, strict=strict, constant=constant)
            if not fits.any():
                return
            inside, rest = rows.where(fits), rows.where(~fits)
            if (term := self._ranged(equations, given, inside)) is not None:
                yield from self._weighted(term, inside, rest, given)
                return
            # Where few layers have such products, an index is not known to be the same everywhere.
            if all(each.value.terms for each in equations):
                return

    def _weighted(
        self, term: Term, inside: Rows, rest: Rows, given: tuple[Condition, ...]
    ) -> Iterator[tuple[Term, Rows]]:
        """Yield a term with its coefficient, and the products that are left over."""
        if found := coefficient(term, inside, self.readings, self.combinations):
            yield dataclasses.replace(term, coefficient=found), rest
            return
        usual = _usual_coefficient(inside)
        single = Coefficient(fraction(usual))
        odd = inside.by != usual
        more = inside.with_coefficients(inside.by - usual).where(odd)
        yield dataclasses.replace(term, coefficient=single), joined_rows(rest, more)
        narrow = self._ranged(term.equations, given, inside.where(~odd))
        if narrow is not None:
            yield dataclasses.replace(narrow, coefficient=single), joined_rows(rest, inside.where(odd))

    def _equations(self, rows: Rows) -> Equations:
        if rows not in self.equations:
            given = (self.readings, self.combinations, rows, self.views, self.likely)
            self.equations[rows] = Equations(*given, flat=self.flat)
        return self.equations[rows]

    def _ranged(self, equations: Sequence[Equation], given: tuple[Condition, ...], rows: Rows) -> Term | None:
        return ranged(Term(self.views, tuple(equations), given), rows, self.readings, self.combinations)


def _usual_coefficient(rows: Rows) -> float:
    values, counts = np.unique(rows.by, return_counts=True)
    plain = np.sum(rows.by == 1) > PLAIN * rows.count
    return 1.0 if plain else float(values[np.argmax(counts)])


def _alike(one: str, two: str) -> bool:
    """Whether two indices are of one spatial axis, or both of images, planes or filters."""
    return same_axis(one, two) or (not is_spatial(one) and not is_spatial(two))
