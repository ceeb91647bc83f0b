"""Which of the tuples that equations allow take part: ranges of combinations of indices, and holes among them."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.formula.combine import FREE, Combinations
from jacobians.formula.relation import Columns, Condition, Linear, Term, distance, same_axis
from jacobians.formula.rows import Readings, Rows, is_spatial, own_sizes

__all__ = ["ranged"]

Array = npt.NDArray[Any]

# Tuples of free indices at one layer: with more of them, hardly an equation holds.
MOST_TUPLES = 1 << 16
# Ranges of a term, and sizes in the limit of one.
MOST_RANGES, MOST_SIZES = 6, 2
MODULI = (2, 3, 4)


def ranged(term: Term, rows: Rows, readings: Readings, combinations: Combinations) -> Term | None:
    """Find the ranges that leave just these products of those that the equations allow.

    Parameters
    ----------
    term : Term
        With equations, and conditions that are given.
    rows : Rows
        Products, all of which satisfy the equations.
    readings : Readings
        The layers.
    combinations : Combinations
        Of the sizes of these layers.

    Returns
    -------
    Term or None
        With further conditions; None where none were found that leave these products and no others.
    """
    candidates = []
    for at in range(len(readings.sizes)):
        if (tuples := _candidates(term, rows, readings, at)) is None:
            return None
        candidates.append(tuples)
    if all(actual.all() for _, actual in candidates):
        return term
    separation = _Separation(term, candidates, readings, combinations)
    if (found := separation.found()) is None:
        return None
    conditions, excluded = found
    return dataclasses.replace(term, conditions=term.conditions + conditions, excluded=excluded)


def _candidates(term: Term, rows: Rows, readings: Readings, at: int) -> tuple[Columns, Array] | None:
    """Return the tuples that the equations allow, and which of them are products; None if some products are not."""
    here = rows.where(rows.layer == at)
    if math.prod(readings.limit(name, term.axes[name].size, at) for name in term.free) > MOST_TUPLES:
        # A layer without products rules out little, at this price.
        return None if here.count else (here.columns, np.ones(0, bool))
    columns = term.tuples(readings.sizes[at], readings.out[at])
    names = list(columns)
    limits = [readings.limit(name, term.axes[name].size, at) for name in names]
    kept = term.select(columns, readings.sizes[at])
    columns = {name: column[kept] for name, column in columns.items()}
    keys, actual = (_keys(each, names, limits) for each in (columns, here.columns))
    found = np.isin(keys, actual)
    return (columns, found) if found.sum() == len(np.unique(actual)) else None


def _keys(columns: Columns, names: Sequence[str], limits: Sequence[int]) -> Array:
    total: Any = np.zeros(len(columns[names[0]]), np.int64)
    for name, limit in zip(names, limits, strict=True):
        total = total * max(limit, 1) + columns[name]
    return np.asarray(total)


class _Separation:
    """Ranges of combinations of indices that separate the products of a term from the other tuples."""

    def __init__(
        self,
        term: Term,
        candidates: Sequence[tuple[Columns, Array]],
        readings: Readings,
        combinations: Combinations,
    ) -> None:
        self.term, self.sizes, self.structure = term, readings.sizes, readings.structure
        self.combinations = combinations
        pairs = zip(candidates, self.sizes, strict=True)
        parts = [columns | term.flats(columns, sizes) for (columns, _), sizes in pairs]
        self.columns = {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}
        self.actual = np.concatenate([each for _, each in candidates])
        self.layer = np.repeat(np.arange(len(candidates)), [len(each) for _, each in candidates])
        # Entries of the result at different layers are different ones.
        self.result = [self.layer, *(self.columns[name] for name in term.views[0].names)]

    def found(self) -> tuple[tuple[Condition, ...], tuple[Condition, ...]] | None:
        """Return conditions that hold for all products, and conditions that all hold for a hole among the others."""
        conditions, left = self._hull(np.ones(len(self.actual), bool), self.actual)
        if left is None:
            return None
        if np.array_equal(left, self.actual):
            return conditions, ()
        hole = left & ~self.actual
        excluded, covered = self._hull(left, hole)
        return (conditions, excluded) if covered is not None and np.array_equal(covered, hole) else None

    def _hull(self, among: Array, inside: Array) -> tuple[tuple[Condition, ...], Array | None]:
        """Find ranges in which all of `inside` lies, and as little as possible else of `among`."""
        left, chosen = among, list[Condition]()
        for forms in self._forms():
            valued = {form: self._values(form, left) for form in forms}
            while not np.array_equal(left, inside):
                cuts = {
                    (form, side): self._cut(values, left, inside, side)
                    for form, values in valued.items()
                    for side in (0, 1)
                }
                best = max(cuts, key=lambda each: cuts[each], default=None)
                if best is None or not cuts[best]:
                    break
                condition = self._condition(best[0], valued[best[0]], left, inside, best[1])
                if condition is None:
                    del valued[best[0]]
                    continue
                chosen.append(condition)
                left = self._kept([condition], left)
                if len(chosen) > 2 * MOST_RANGES or np.any(inside & ~left):
                    return (), None
                valued = {form: self._values(form, left) if form.of else each for form, each in valued.items()}
        needed = self._needed(chosen, among, left)
        return needed, left if len(needed) <= MOST_RANGES else None

    def _needed(self, chosen: Sequence[Condition], among: Array, left: Array) -> tuple[Condition, ...]:
        """Leave out conditions without which the others leave the same."""
        kept = list(chosen)
        for each in chosen:
            others = [one for one in kept if one is not each]
            if others and np.array_equal(self._kept(others, among), left):
                kept = others
        return tuple(kept)

    def _kept(self, conditions: Sequence[Condition], among: Array) -> Array:
        kept = among
        for each in conditions:
            values = self._values(dataclasses.replace(each, low=None, high=None), kept)
            if each.low is not None:
                kept = kept & (values * each.low.denominator >= self._limits(each.low))
            if each.high is not None:
                kept = kept & (values * each.high.denominator <= self._limits(each.high))
        return kept

    def _limits(self, limit: Linear) -> Array:
        return np.array([int(limit.scaled({}, sizes)) for sizes in self.sizes])[self.layer]

    def _forms(self) -> Iterator[list[Condition]]:
        """Yield indices, their remainders, their distances to the first and last, and their sums and differences."""
        names = list(self.term.axes)
        plain = [Condition(Linear.of({name: 1})) for name in self.columns]
        yield plain[: len(names)]
        yield plain[len(names) :]
        yield [dataclasses.replace(each, modulus=by) for each in plain for by in MODULI]
        yield [dataclasses.replace(each, of=of) for each in plain for of in ("first", "last")]
        steps = sorted({1, *self.combinations.steps})
        pairs = [(one, two) for one, two in itertools.permutations(names, 2) if same_axis(one, two)]
        apart = [Condition(Linear.of({one: 1, two: -step})) for one, two in pairs for step in steps]
        spatial = [name for name in names if is_spatial(name)]
        apart += [Condition(Linear.of({one: 1, two: -1})) for one, two in itertools.combinations(spatial, 2)]
        apart += [Condition(Linear.of({one: 1, two: 1})) for one, two in pairs if one < two]
        yield list(dict.fromkeys(apart))
        yield [dataclasses.replace(each, modulus=by) for each in dict.fromkeys(apart) for by in steps[1:]]

    def _values(self, form: Condition, kept: Array) -> Array:
        value = np.broadcast_to(form.form.scaled(self.columns, {}), kept.shape)
        if form.of:
            value = distance(value, self.result, kept, form.of)
        return value % form.modulus if form.modulus else value

    def _extremes(self, values: Array, where: Array, side: int) -> Array:
        """Return the least or largest value at each layer, ∓`FREE` where there is none."""
        found = np.full(len(self.sizes), -FREE if side else FREE)
        (np.maximum if side else np.minimum).at(found, self.layer[where], values[where])
        return found

    def _cut(self, values: Array, left: Array, inside: Array, side: int) -> int:
        """Count the tuples that lie beyond the range."""
        limit = self._extremes(values, inside, side)[self.layer]
        beyond = values > limit if side else values < limit
        return int(np.sum(left & beyond & (np.abs(limit) < FREE)))

    def _condition(self, form: Condition, values: Array, left: Array, inside: Array, side: int) -> Condition | None:
        """Return the range with a limit that is a combination of sizes."""
        values = values if side else -values
        innermost = self._extremes(values, inside, 1)
        beyond = left & ~inside & (values > innermost[self.layer])
        first = self._extremes(values, beyond, 0)
        name = next(iter(dict(form.form.terms)))
        own = () if form.modulus or form.of else own_sizes(name, self.structure)
        # Where there are no products, the limit may lie before all tuples, or another condition leaves them out.
        for least in (innermost, np.where(innermost == -FREE, FREE, innermost)):
            limits = [
                (-FREE, FREE) if low == FREE else (int(low), int(high) - 1 if high < FREE else FREE)
                for low, high in zip(least, first, strict=True)
            ]
            signed = [each if side else (-each[1], -each[0]) for each in limits]
            if found := self.combinations.within(signed, own, most=MOST_SIZES):
                return dataclasses.replace(form, high=found) if side else dataclasses.replace(form, low=found)
        return None
