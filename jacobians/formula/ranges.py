"""Which of the tuples that equations allow take part: ranges of combinations of indices, and holes among them."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.formula.combine import FREE, Combinations
from jacobians.formula.relation import Columns, Condition, Linear, Term, distance, same_axis
from jacobians.formula.rows import Readings, Rows, Separated, coded, is_spatial, own_sizes

__all__ = ["ranged"]

Array = npt.NDArray[Any]
Tuples = tuple[Columns, Array]

# Tuples of free indices at one layer: with more of them, hardly an equation holds.
MOST_TUPLES, MOST_EMPTY = 1 << 16, 1 << 12
# Ranges of a term, and sizes in the limit of one.
MOST_RANGES, MOST_SIZES = 6, 2
MODULI = (2, 3, 4)
# Indices that are compared with each other, whatever they count.
MOST_COUPLED = 10
# Pixels, responses, taps.
AXIS_ORDER = "yxwlmoabc"


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
    narrowed = _by_parts(term, candidates, readings, combinations)
    every = zip(candidates, readings.sizes, strict=True)
    if narrowed and all(np.array_equal(narrowed.select(columns, sizes), actual) for (columns, actual), sizes in every):
        return narrowed
    return _separated(term, candidates, readings, combinations) if narrowed else None


def _by_parts(term: Term, candidates: Sequence[Tuples], readings: Readings, combinations: Combinations) -> Term | None:
    """Find ranges for each part of the indices that is independent of the others."""
    narrowed = term
    for names in _parts(term, candidates):
        # Which part has nothing where there are no products is not known.
        given = {
            at: _projected(columns, actual, names) for at, (columns, actual) in enumerate(candidates) if actual.any()
        }
        empty = ({name: np.zeros(0, np.int64) for name in names}, np.zeros(0, bool))
        found = _separated(narrowed, [given.get(at, empty) for at in range(len(candidates))], readings, combinations)
        if found is None:
            return None
        narrowed = found
    return narrowed


def _separated(term: Term, candidates: Sequence[Tuples], readings: Readings, combinations: Combinations) -> Term | None:
    if all(actual.all() for _, actual in candidates):
        return term
    separation = _Separation(term, candidates, readings, combinations)
    # Other orders and views leave the same tuples of some indices.
    if (key := separation.key()) not in readings.separated:
        readings.separated[key] = separation.found()
    if (found := readings.separated[key]) is None:
        return None
    conditions, excluded = found
    if excluded and term.excluded:
        return None
    return dataclasses.replace(term, conditions=term.conditions + conditions, excluded=term.excluded + excluded)


def _parts(term: Term, candidates: Sequence[Tuples]) -> list[tuple[str, ...]]:
    """Return sets of indices such that the products are all combinations of what each set has."""
    parts = [{name} for name in term.axes]
    forms = [[each.index, *(name for name, _ in each.value.terms)] for each in term.equations]
    for names in [*forms, *([name for name, _ in each.form.terms] for each in term.conditions)]:
        linked = {one for name in names for one in indices_of(name, term)}
        joined = [part for part in parts if part & linked]
        parts = [part for part in parts if part not in joined] + [set().union(*joined)]
    alone = [part for part in parts if _is_independent(part, set(term.axes) - part, candidates)]
    coupled = set(term.axes).difference(*alone)
    return [tuple(name for name in term.axes if name in part) for part in [*alone, coupled] if part]


def indices_of(name: str, term: Term) -> tuple[str, ...]:
    """Return the indices that a name stands for: those of a joined one, that of a product with a size."""
    index = name.rpartition("·")[2]
    return term.joined.get(index, (index,) if index in term.axes else ())


def _is_independent(part: set[str], others: set[str], candidates: Sequence[Tuples]) -> bool:
    """Whether the products are all combinations of what a part and the other indices have."""
    return all(
        int(actual.sum()) == math.prod(_count(columns, actual, names) for names in (part, others))
        for columns, actual in candidates
        if actual.any()
    )


def _count(columns: Columns, actual: Array, names: Iterable[str]) -> int:
    return len(np.unique(coded([columns[name][actual] for name in names])))


def _projected(columns: Columns, actual: Array, names: Sequence[str]) -> Tuples:
    """Return the tuples of some indices, and which of them occur in products."""
    codes = coded([columns[name] for name in names])
    _, first = np.unique(codes, return_index=True)
    return {name: columns[name][first] for name in names}, np.isin(codes[first], codes[actual])


def _candidates(term: Term, rows: Rows, readings: Readings, at: int) -> tuple[Columns, Array] | None:
    """Return the tuples that the equations allow, and which of them are products; None if some products are not."""
    here = rows.where(rows.layer == at)
    most = MOST_TUPLES if here.count else MOST_EMPTY
    if math.prod(readings.limit(name, term.axes[name].size, at) for name in term.free) > most:
        # A layer without products rules out little, at this price.
        return None if here.count else (here.columns, np.ones(0, bool))
    columns = term.tuples(readings.sizes[at], readings.out[at])
    kept = term.select(columns, readings.sizes[at])
    columns = {name: column[kept] for name, column in columns.items()}
    codes = coded([np.concatenate([column, here.columns[name]]) for name, column in columns.items()])
    keys, actual = np.split(codes, [np.count_nonzero(kept)])
    found = np.isin(keys, actual)
    return (columns, found) if found.sum() == len(np.unique(actual)) else None


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
        self.some, self.starts = np.unique(self.layer, return_index=True)
        # Entries of the result at different layers are different ones.
        self.names = list(candidates[0][0])
        self.result = [self.layer, *(self.columns[name] for name in term.views[0].names if name in self.columns)]

    def key(self) -> tuple[object, ...]:
        """Return what tells the tuples, and those of them that are products, from others at these layers."""
        every = np.stack([*self.columns.values(), self.layer, self.actual])
        return (*self.columns, len(self.names), tuple(self._unfolded()), hashlib.sha256(every.tobytes()).digest())

    def found(self) -> Separated | None:
        """Return conditions that hold for all products, and conditions that all hold for a hole among the others."""
        # Limits are made of the sizes of their own axis alone where they can be: of others, some fit by chance.
        for self.alone in (True, False):
            conditions, left = self._hull(np.ones(len(self.actual), bool), self.actual)
            if left is None:
                continue
            if np.array_equal(left, self.actual):
                return conditions, ()
            hole = left & ~self.actual
            excluded, covered = self._hull(left, hole)
            if covered is not None and np.array_equal(covered, hole):
                return conditions, excluded
        return None

    def _hull(self, among: Array, inside: Array) -> tuple[tuple[Condition, ...], Array | None]:
        """Find ranges in which all of `inside` lies, and as little as possible else of `among`."""
        left, chosen = among, list[Condition]()
        for forms in self._forms():
            if np.array_equal(left, inside):
                break
            valued = {form: self._valued(form, left, inside) for form in forms}
            while not np.array_equal(left, inside):
                cuts = {
                    (form, side): int(np.count_nonzero(beyond[side] & left))
                    for form, (_, beyond) in valued.items()
                    for side in (0, 1)
                }
                best = max(cuts, key=lambda each: cuts[each], default=None)
                if best is None or not cuts[best]:
                    break
                # What cuts nothing off now does not later, if it does not depend on what is left.
                valued = {form: each for form, each in valued.items() if form.of or cuts[form, 0] or cuts[form, 1]}
                condition = self._condition(best[0], valued[best[0]][0], left, inside, best[1])
                if condition is None:
                    del valued[best[0]]
                    continue
                chosen.append(condition)
                left = self._kept([condition], left)
                if len(chosen) > 2 * MOST_RANGES or np.any(inside & ~left):
                    return (), None
                valued = {form: self._valued(form, left, inside) if form.of else each for form, each in valued.items()}
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
                kept = kept & (values >= self._limits(each.low))
            if each.high is not None:
                kept = kept & (values <= self._limits(each.high))
        return kept

    def _limits(self, limit: Linear) -> Array:
        return np.array([int(limit.scaled({}, sizes)) for sizes in self.sizes])[self.layer]

    def _forms(self) -> Iterator[list[Condition]]:
        """Yield indices, their remainders, their distances to the first and last, and their sums and differences."""
        names = self.names
        plain = [Condition(Linear.of({name: 1})) for name in self.columns]
        yield plain[: len(names)]
        yield plain[len(names) :]
        yield list(self._unfolded())
        yield [dataclasses.replace(each, modulus=by) for each in plain for by in MODULI]
        yield [dataclasses.replace(each, of=of) for each in plain for of in ("first", "last")]
        steps = sorted({1, *self.combinations.steps})
        pairs = [(one, two) for one, two in itertools.permutations(names, 2) if same_axis(one, two)]
        apart = [Condition(Linear.of({one: 1, two: -step})) for one, two in pairs for step in steps]
        spatial = [name for name in names if is_spatial(name)]
        coupled = list(self.columns) if len(names) <= MOST_COUPLED else spatial
        apart += [Condition(Linear.of({one: 1, two: -1})) for one, two in itertools.combinations(coupled, 2)]
        apart += [Condition(Linear.of({one: 1, two: 1})) for one, two in pairs if one < two]
        triples = [each for each in itertools.combinations(spatial, 3) if all(same_axis(each[0], one) for one in each)]
        yield [
            Condition(Linear.of({pixel: 1, l: -first, a: -second}))
            for triple in triples
            for pixel, l, a in (sorted(triple, key=lambda name: AXIS_ORDER.index(name.rpartition(".")[2])),)
            for first, second in itertools.product(steps, repeat=2)
        ]
        yield list(dict.fromkeys(apart))
        yield [dataclasses.replace(each, modulus=by) for each in dict.fromkeys(apart) for by in steps[1:]]

    def _unfolded(self) -> Iterator[Condition]:
        """Yield what is folded, as it is before that."""
        for each in self.term.equations:
            indices = {name: by for name, by in each.value.terms if "." in name}
            if each.fold and indices and all(name in self.columns for name in indices):
                yield Condition(Linear.of(indices))

    def _values(self, form: Condition, kept: Array) -> Array:
        value = np.broadcast_to(form.form.scaled(self.columns, {}), kept.shape)
        if form.of:
            value = distance(value, self.result, kept, form.of)
        return value % form.modulus if form.modulus else value

    def _valued(self, form: Condition, left: Array, inside: Array) -> tuple[Array, tuple[Array, Array]]:
        """Return the values of a form, and which tuples lie before and beyond the range of those inside."""
        values = self._values(form, left)
        least, most = (self._extremes(values, inside, each)[self.layer] for each in (np.minimum, np.maximum))
        # Where there are no products, a range may leave out all.
        return values, (values < least, values > most)

    def _extremes(self, values: Array, where: Array, extreme: np.ufunc) -> Array:
        """Return the least or largest value at each layer, ∓`FREE` where there is none."""
        none = -FREE if extreme is np.maximum else FREE
        found = np.full(len(self.sizes), none)
        if len(self.some):
            masked = np.where(where, values, none)
            found[self.some] = extreme.reduceat(masked, self.starts)
        return found

    def _condition(self, form: Condition, values: Array, left: Array, inside: Array, side: int) -> Condition | None:
        """Return the range with a limit that is a combination of sizes."""
        values = values if side else -values
        innermost = self._extremes(values, inside, np.maximum)
        beyond = left & ~inside & (values > innermost[self.layer])
        first = self._extremes(values, beyond, np.minimum)
        name = next(iter(dict(form.form.terms)))
        own = () if form.modulus or form.of else own_sizes(name, self.structure)
        # Where there are no products, the limit may lie before all tuples, or another condition leaves them out.
        for least in (innermost, np.where(innermost == -FREE, FREE, innermost)):
            limits = [
                (-FREE, FREE) if low == FREE else (int(low), int(high) - 1)
                for low, high in zip(least, first, strict=True)
            ]
            signed = [each if side else (-each[1], -each[0]) for each in limits]
            if found := self.combinations.within(signed, own, most=MOST_SIZES, alone=self.alone):
                return dataclasses.replace(form, high=found) if side else dataclasses.replace(form, low=found)
        return None
