"""Finding the formula behind products that were read at several layers.

Every index is, where it can be, a linear combination of other indices, with a constant that is one of sizes; beyond a
border it may be folded. Of the tuples that these equations allow, ranges say which take part. What is left over is
another term. A formula is found where its products are those that were read, at every layer.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.formula.combine import FREE, Combinations
from jacobians.formula.read import Reading, rational
from jacobians.formula.relation import (
    AXES,
    FOLDS,
    Coefficient,
    Columns,
    Condition,
    Equation,
    Linear,
    Tensor,
    Term,
    View,
    counted,
    distance,
    fold,
    holds,
    same_axis,
    size_of,
    split,
)
from jacobians.formula.structure import SIZES, Structure

__all__ = ["fit"]

Array = npt.NDArray[Any]

MOST_TERMS, MOST_VIEWS = 5, 3
# Of slopes that neighbours show, those that are tried, and how many combinations of them.
MOST_SLOPES, MOST_COMBINATIONS, RARE = 4, 24, 0.02
# Neighbours at these distances: an index may go up and down in turns.
LAGS = (1, 2, 3)
# Share of the products for which an equation has to hold that does not hold for all: where the index has several values,
# and where it has one. Constants that are nearly as usual as the most usual one are tried, too.
MAJORITY, LEAST, TIES = 0.25, 0.15, 0.6
MODULI = (2, 3, 4)
# Tuples of free indices at one layer: with more of them, hardly an equation holds.
MOST_TUPLES = 1 << 16
# Layers and slopes by which orders of memory are compared, and what has an equation besides the pixels' axes: the
# filter, image and plane of a product.
SCORED, FEW, RIGHT = 3, 8, ("i", "n", "k")
# Terms that are tried for one formula.
MOST_TRIED = 40
# Ranges of a term, and sizes in the limit of one.
MOST_RANGES, MOST_SIZES = 6, 2
# Sizes that coefficients are made of.
SCALES = 3


# Arrays of responses, taps and pixels. Indices of those that come first are free where they can be.
RESPONSES, TAPS, PIXELS = ("G", "S"), ("F", "dF", "b", "db"), ("X", "dX")
ORDERS = ((*RESPONSES, *TAPS, *PIXELS), (*RESPONSES, *PIXELS, *TAPS), (*TAPS, *PIXELS, *RESPONSES))


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Products at several layers: one column per index, the layer of each, and the coefficients."""

    columns: Columns
    layer: Array
    by: Array

    def where(self, mask: Array) -> Rows:
        """Return some of them."""
        return Rows({name: each[mask] for name, each in self.columns.items()}, self.layer[mask], self.by[mask])

    def with_coefficients(self, by: Array) -> Rows:
        """Return them with other coefficients."""
        return Rows(self.columns, self.layer, by)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.layer)

    def counts(self, layers: int) -> Array:
        """How many there are at each layer."""
        return np.bincount(self.layer, minlength=layers)

    def limits(self, values: Array, layers: int) -> tuple[Array, Array]:
        """Return the least and the largest value at each layer; 0 where there is none."""
        least, most = np.full(layers, FREE), np.full(layers, -FREE)
        np.minimum.at(least, self.layer, values)
        np.maximum.at(most, self.layer, values)
        none = self.counts(layers) == 0
        return np.where(none, 0, least), np.where(none, 0, most)


def fit(readings: Sequence[Reading], result: str, structure: Structure, steps: Sequence[int]) -> tuple[Term, ...] | None:
    """Find the terms whose products were read.

    Parameters
    ----------
    readings : sequence of Reading
        At several layers, of the same factors.
    result : str
        S, dX, dF or db.
    structure : Structure
        Axes and groups.
    steps : sequence of int
        Strides and dilations.

    Returns
    -------
    tuple of Term or None
        None where there are none that give just these products, with these coefficients, at every layer.
    """
    fitter = _Fitter(readings, result, structure, steps)
    plain = fitter.plain
    for way in itertools.chain([plain], fitter.other_views()):
        if (terms := fitter.terms(way, pieces=False)) is not None:
            return terms
    return fitter.terms(plain, pieces=True)


class _Fitter:
    """Readings, and what does not depend on how memory is viewed."""

    def __init__(self, readings: Sequence[Reading], result: str, structure: Structure, steps: Sequence[int]) -> None:
        self.readings, self.structure = readings, structure
        self.sizes = [each.sizes for each in readings]
        self.tensors = [structure.tensors[letter] for letter in (result, *readings[0].letters)]
        self.combinations = Combinations(self.sizes, steps, _joined_sizes(structure))
        self.out = [split(each.shape, self.tensors[0], sizes) for each, sizes in zip(readings, self.sizes, strict=True)]
        self.pairs: dict[Any, Any] = {}
        self.tried = 0

    # views ------------------------------------------------------------------------------------------------------------

    @property
    def plain(self) -> tuple[View, ...]:
        """The arrays as they are."""
        return tuple(View(tensor) for tensor in self.tensors)

    def other_views(self) -> Iterator[tuple[View, ...]]:
        """Yield the arrays with the memory of one of them in another order, such that more equations hold."""
        if any(out is not None for out in self.out):
            return
        plain = self.plain
        counts = [reading.places.shape[1] for reading in self.readings]
        richest = sorted(range(len(counts)), key=lambda at: (len(set(self.sizes[at].values())), counts[at]))[-SCORED:]
        least = self._bound(plain, richest)
        if least >= len(RIGHT) + self.structure.spatial_ndim + 2 * (self.structure.groups > 1):
            return
        changed = [(at, view) for at, tensor in enumerate(self.tensors) for view in _views(tensor)]
        ways = [plain[:at] + (view,) + plain[at + 1 :] for at, view in changed]
        found = sorted(((self._bound(way, richest), way) for way in ways), key=lambda each: -each[0])
        yield from (way for bound, way in found[:MOST_VIEWS] if bound > least)

    def _bound(self, views: tuple[View, ...], layers: Sequence[int]) -> int:
        """Count the indices that are linear in others at each of some layers."""
        rows = self._rows(views)
        rows = rows.where(np.isin(rows.layer, layers))
        self.pairs = {}
        free: list[str] = []
        names = sorted(rows.columns, key=lambda each: ORDERS[0].index(each.partition(".")[0]))
        for name in names:
            rests = itertools.islice(self._rests(name, free, rows), FEW) if self._is_function(name, free, rows) else ()
            if not self._is_linear(rows, rests):
                free.append(name)
        return len(names) - len(free)

    def _is_linear(self, rows: Rows, rests: Any) -> bool:
        return any(np.array_equal(*rows.limits(off, len(self.sizes))) for _, off in rests)

    def _rows(self, views: tuple[View, ...]) -> Rows:
        columns: list[Columns] = []
        for reading, sizes, out in zip(self.readings, self.sizes, self.out, strict=True):
            found: Columns = {}
            for view, flat in zip(views, reading.places, strict=True):
                if view is views[0] and out is not None:
                    found |= dict(zip(view.names, np.unravel_index(flat, out), strict=True))
                else:
                    found |= view.columns(flat, sizes)
            columns.append(found)
        joined = {name: np.concatenate([each[name] for each in columns]) for name in columns[0]}
        counts = [reading.places.shape[1] for reading in self.readings]
        layer = np.repeat(np.arange(len(counts)), counts)
        return Rows(joined, layer, np.concatenate([reading.coefficients for reading in self.readings]))

    # terms ------------------------------------------------------------------------------------------------------------

    def terms(self, views: tuple[View, ...], *, pieces: bool) -> tuple[Term, ...] | None:
        """Return the terms whose products are all of these; in `pieces`, equations need not hold for all products."""
        return self._terms(self._rows(views), views, MOST_TERMS if pieces else 2, pieces=pieces)

    def _terms(
        self, rows: Rows, views: tuple[View, ...], most: int, given: tuple[Condition, ...] = (), *, pieces: bool = True
    ) -> tuple[Term, ...] | None:
        """Find terms for products of which some conditions hold."""
        if not rows.count:
            return ()
        if not most or self.tried > MOST_TRIED:
            return None
        ways = [(order, True) for order in ORDERS] + [(ORDERS[0], False)] * pieces
        for order, strict in ways:
            for term, rest in self._term(rows, views, order, given, strict=strict):
                further = self._terms(rest, views, most - 1, given, pieces=pieces)
                if further is not None:
                    return (term, *further)
            if pieces and strict and order is ORDERS[-1] and (found := self._split(rows, views, most, given)):
                return found
        return None

    def _split(
        self, rows: Rows, views: tuple[View, ...], most: int, given: tuple[Condition, ...]
    ) -> tuple[Term, ...] | None:
        """Find terms for the classes of an index's remainder, where more equations hold in each than for all."""
        equations, _ = self._equations(rows, views, strict=True)
        bound = {each.index for each in equations}
        best: tuple[int, str, int] | None = None
        for name, by in itertools.product((each for each in rows.columns if each not in bound), (2, 3)):
            part = rows.where(rows.columns[name] % by == 0)
            if part.count and part.count < rows.count:
                count = len(self._equations(part, views, strict=True)[0])
                if count > (best[0] if best else len(equations)):
                    best = count, name, by
        if best is None:
            return None
        _, name, by = best
        found: list[Term] = []
        for rest in range(by):
            part = rows.where(rows.columns[name] % by == rest)
            only = Condition(Linear.of({name: 1}), Linear.of({}, rest), Linear.of({}, rest), by)
            terms = self._terms(part, views, most - 1, (*given, only))
            if terms is None:
                return None
            found += terms
        return tuple(found)

    def _term(
        self,
        rows: Rows,
        views: tuple[View, ...],
        order: tuple[str, ...],
        given: tuple[Condition, ...],
        *,
        strict: bool,
    ) -> Iterator[tuple[Term, Rows]]:
        """Yield a term for most of the products, and the products that are left over."""
        self.tried += 1
        equations, fits = self._equations(rows, views, order, strict=strict)
        if strict and not fits.all():
            return
        inside, rest = rows.where(fits), rows.where(~fits)
        if not inside.count:
            return
        term = self._ranged(Term(views, tuple(equations), given), inside)
        if term is None:
            return
        if found := self._coefficient(term, inside):
            yield dataclasses.replace(term, coefficient=found), rest
            return
        values, counts = np.unique(inside.by, return_counts=True)
        plain = np.sum(inside.by == 1) > RARE * 5 * inside.count
        usual = 1.0 if plain else float(values[np.argmax(counts)])
        single = dataclasses.replace(term, coefficient=Coefficient(Fraction(usual).limit_denominator(5040)))
        odd = inside.by != usual
        yield single, _joined(rest, inside.with_coefficients(inside.by - usual).where(odd))
        part = inside.where(~odd)
        narrow = self._ranged(Term(views, tuple(equations), given), part)
        if narrow is not None:
            yield dataclasses.replace(narrow, coefficient=single.coefficient), _joined(rest, inside.where(odd))

    # equations --------------------------------------------------------------------------------------------------------

    def _equations(
        self, rows: Rows, views: tuple[View, ...], order: tuple[str, ...] = ORDERS[0], *, strict: bool
    ) -> tuple[list[Equation], Array]:
        """Express index after index by those that are free; return which products satisfy all equations."""
        axes = {name: axis for view in views for name, axis in zip(view.names, view.tensor.axes, strict=True)}
        free: list[str] = []
        equations: list[Equation] = []
        fits = np.ones(rows.count, bool)
        self.pairs = {}
        for name in sorted(axes, key=lambda each: order.index(each.partition(".")[0])):
            found = self._equation(name, axes[name].size, free, rows)
            if found is None and not strict:
                found = self._usual_equation(name, free, rows)
            if found is None:
                free.append(name)
            else:
                equations.append(found)
                fits &= self._satisfied(found, rows, axes[name].size)
        return equations, fits

    def _satisfied(self, each: Equation, rows: Rows, size: str) -> Array:
        found = np.zeros(rows.count, bool)
        for at, sizes in enumerate(self.sizes):
            here = rows.layer == at
            scaled = each.value.scaled({name: column[here] for name, column in rows.columns.items()}, sizes)
            by, limit = each.value.denominator, self._limit(each.index, size, at)
            value = fold(scaled // by, limit, each.fold) if limit else scaled // by
            found[here] = (value == rows.columns[each.index][here]) & (scaled % by == 0)
        return found

    def _limit(self, name: str, size: str, at: int) -> int:
        out = self.out[at]
        names = View(self.tensors[0]).names
        return out[names.index(name)] if out is not None and name in names else size_of(size, self.sizes[at])

    def _equation(self, name: str, size: str, free: list[str], rows: Rows) -> Equation | None:
        """Return the equation that holds for all products."""
        if not self._is_function(name, free, rows):
            return None
        own = _own(name, self.structure)
        for value, off in self._rests(name, free, rows):
            by = value.denominator
            least, most = rows.limits(off, len(self.sizes))
            if np.array_equal(least, most):
                there = rows.counts(len(self.sizes)) > 0
                limits = [(int(each), int(each)) if some else (-FREE, FREE) for each, some in zip(least, there, strict=True)]
                if found := self.combinations.within(limits, own, by):
                    return Equation(name, _sum(value, found))
            elif by == 1 and (folded := self._folded(name, size, off, rows, own)):
                return Equation(name, _sum(value, folded.value), folded.fold)
        return None

    def _usual_equation(self, name: str, free: list[str], rows: Rows) -> Equation | None:
        """Return the equation that holds for most products, of an index that is a function of the free ones."""
        single = self._is_function(name, free, rows)
        if not single and name.partition(".")[0] not in PIXELS:
            return None
        own = _own(name, self.structure)
        best: tuple[float, Equation] | None = None
        for value, off in self._rests(name, free, rows):
            agree, wanted = 0, []
            for at in range(len(self.sizes)):
                values, counts = np.unique(off[rows.layer == at], return_counts=True)
                agree += int(counts.max(initial=0))
                wanted.append({int(each) for each in values[counts >= TIES * counts.max(initial=0)]})
            share = agree / rows.count
            if share >= (LEAST if single else MAJORITY) and (not best or share > best[0]):
                found = self.combinations.among([each or set(range(-2, 3)) for each in wanted], own, value.denominator)
                if found is not None:
                    best = share, Equation(name, _sum(value, found))
        return best and best[1]

    def _is_function(self, name: str, free: list[str], rows: Rows) -> bool:
        """Whether the free indices leave one value of this one."""
        given = [rows.columns[each] for each in free]
        order = np.lexsort((rows.columns[name], *given, rows.layer))
        alike = np.ones(max(len(order) - 1, 0), bool)
        for each in (*given, rows.layer):
            alike &= each[order[1:]] == each[order[:-1]]
        return not np.any(alike & (rows.columns[name][order[1:]] != rows.columns[name][order[:-1]]))

    def _rests(self, name: str, free: list[str], rows: Rows) -> Iterator[tuple[Linear, Array]]:
        """Yield sums of free indices, and what an index is beyond them, times their denominator."""
        slopes = {each: self._slopes(rows, name, each, free) for each in free}
        for chosen in _choices({each: found for each, found in slopes.items() if found != [0]}):
            value = Linear.of(chosen)
            off = rows.columns[name] * value.denominator
            for each, slope in value.terms:
                off = off - rows.columns[each] * int(slope * value.denominator)
            yield value, off

    def _folded(self, name: str, size: str, off: Array, rows: Rows, own: Sequence[str]) -> Equation | None:
        """Return the equation whose index is folded at the border."""
        column = rows.columns[name]
        for kind in FOLDS:
            allowed = []
            for at in range(len(self.sizes)):
                here = rows.layer == at
                limit = self._limit(name, size, at)
                allowed.append(_constants(column[here] - off[here], column[here], limit, kind))
                if not allowed[-1]:
                    break
            else:
                if found := self.combinations.among(allowed, own):
                    return Equation(name, found, kind)
        return None

    def _slopes(self, rows: Rows, name: str, each: str, free: list[str]) -> list[Fraction]:
        """Return by how much an index grows with another one, all other free ones being the same: most usual first."""
        found: dict[Fraction, float] = {}
        for lag in LAGS:
            one, two, step = self._neighbours(rows, each, free, lag)
            if len(step):
                rise = rows.columns[name][two] - rows.columns[name][one]
                common = np.gcd(rise, step)
                codes, counts = np.unique((rise // common) * 1000 + step // common, return_counts=True)
                for code, count in zip(codes, counts, strict=True):
                    slope = Fraction(int((code + 500) // 1000), int((code + 500) % 1000 - 500))
                    found[slope] = max(found.get(slope, 0), count / len(step) / lag)
        usual = sorted((each for each, share in found.items() if share > RARE), key=lambda each: -found[each])
        return usual[:MOST_SLOPES] or [Fraction(0)]

    def _neighbours(self, rows: Rows, each: str, free: list[str], lag: int) -> tuple[Array, Array, Array]:
        """Return pairs of products whose free indices are the same but for one, and by how much that differs."""
        key = (tuple(free), each, lag)
        if key not in self.pairs:
            others = [rows.columns[other] for other in free if other != each]
            order = np.lexsort((rows.columns[each], *others, rows.layer))
            one, two = order[:-lag], order[lag:]
            alike = rows.layer[one] == rows.layer[two]
            for other in others:
                alike &= other[one] == other[two]
            step = rows.columns[each][two] - rows.columns[each][one]
            alike &= step > 0
            self.pairs[key] = one[alike], two[alike], step[alike]
        found: tuple[Array, Array, Array] = self.pairs[key]
        return found

    # ranges -----------------------------------------------------------------------------------------------------------

    def _ranged(self, term: Term, rows: Rows) -> Term | None:
        """Find the ranges that leave just these products of those that the equations allow."""
        found = [self._candidates(term, rows, at) for at in range(len(self.sizes))]
        if any(each is None for each in found):
            return None
        candidates = [each for each in found if each is not None]
        if all(actual.all() for _, actual in candidates):
            return term
        ranges = _Ranges(term, candidates, self.sizes, self.combinations, self.structure)
        for conditions, excluded in ranges.found():
            return dataclasses.replace(term, conditions=term.conditions + conditions, excluded=excluded)
        return None

    def _candidates(self, term: Term, rows: Rows, at: int) -> tuple[Columns, Array] | None:
        """Return the tuples that the equations allow, and which of them are products; None if some products are not."""
        if math.prod(self._limit(name, term.axes[name].size, at) for name in term.free) > MOST_TUPLES:
            return None
        columns = term.tuples(self.sizes[at], self.out[at])
        here = rows.where(rows.layer == at)
        names = list(columns)
        limits = [self._limit(name, term.axes[name].size, at) for name in names]
        keys, actual = (_keys(each, names, limits) for each in (columns, here.columns))
        kept = term.select(columns, self.sizes[at])
        columns, keys = {name: column[kept] for name, column in columns.items()}, keys[kept]
        found = np.isin(keys, actual)
        return (columns, found) if found.sum() == len(np.unique(actual)) else None

    # coefficients -----------------------------------------------------------------------------------------------------

    def _coefficient(self, term: Term, rows: Rows) -> Coefficient | None:
        """Return the common factor of all products, if it is one of sizes and of counts."""
        if np.all(rows.by == rows.by[0]) :
            return Coefficient(_fraction(rows.by[0]))
        for counts in self._counts(term, rows):
            by = rows.by
            for name, power in counts:
                by = by / self._counted(term, rows, name).astype(np.float64) ** power
            by = rational(by)
            per_layer = [np.unique(by[rows.layer == at]) for at in range(len(self.sizes))]
            if all(len(each) <= 1 for each in per_layer):
                values = [_fraction(each[0]) if len(each) else None for each in per_layer]
                if (found := self._powers(values)) is not None:
                    return dataclasses.replace(found, counts=counts)
        return None

    def _counts(self, term: Term, rows: Rows) -> Iterator[tuple[tuple[str, int], ...]]:
        """Yield the counts that coefficients may be powers of."""
        yield ()
        names = [name for name in rows.columns if _is_spatial(name)]
        letters = dict.fromkeys(name.partition(".")[0] for name in names)
        for letter in letters:
            own = [name for name in names if name.startswith(letter + ".")]
            for count in range(len(own), 0, -1):
                for some in itertools.combinations(own, count):
                    for power in (-1, 1):
                        yield tuple((name, power) for name in some)

    def _counted(self, term: Term, rows: Rows, name: str) -> Array:
        found = np.ones(rows.count, np.int64)
        for at, sizes in enumerate(self.sizes):
            here = rows.layer == at
            columns = term.tuples(sizes, self.out[at])
            if here.any():
                counts = np.zeros(self._limit(name, term.axes[name].size, at), np.int64)
                counts[columns[name]] = counted(columns, name)
                found[here] = counts[rows.columns[name][here]]
        return found

    def _powers(self, values: Sequence[Fraction | None]) -> Coefficient | None:
        names = [name for name in ("N", "d", "n", "d/g", "n/g", *itertools.chain(*SIZES[self.structure.spatial_ndim])) if name in self.combinations.plain]
        given = [(each, sizes) for each, sizes in zip(values, self.sizes, strict=True) if each is not None]
        for count in range(2 * SCALES):
            for some in itertools.combinations(names, count):
                for powers in itertools.product((-1, 1), repeat=count):
                    pairs = tuple(zip(some, powers, strict=True))
                    left = {each / Coefficient(Fraction(1), pairs).at(sizes) for each, sizes in given}
                    if len(left) == 1:
                        return Coefficient(left.pop(), pairs)
        return None


class _Ranges:
    """Ranges of combinations of indices that separate the products of a term from the other tuples."""

    def __init__(
        self,
        term: Term,
        candidates: Sequence[tuple[Columns, Array]],
        sizes: Sequence[Any],
        combinations: Combinations,
        structure: Structure,
    ) -> None:
        self.term, self.sizes = term, sizes
        self.candidates = [
            (columns | term.flats(columns, each), actual) for (columns, actual), each in zip(candidates, sizes, strict=True)
        ]
        self.combinations, self.structure = combinations, structure

    def found(self) -> Iterator[tuple[tuple[Condition, ...], tuple[Condition, ...]]]:
        """Yield conditions that hold for all products, and conditions that all hold for a hole among the others."""
        actual = [each for _, each in self.candidates]
        everything = [np.ones(len(each), bool) for each in actual]
        conditions, left = self._hull(everything, actual)
        if left is None or len(conditions) > MOST_RANGES:
            return
        if all(np.array_equal(one, two) for one, two in zip(left, actual, strict=True)):
            yield conditions, ()
            return
        # What is left over lies in a hole.
        hole = [one & ~two for one, two in zip(left, actual, strict=True)]
        excluded, covered = self._hull(left, hole)
        if covered is not None and len(excluded) <= MOST_RANGES and all(np.array_equal(one, two) for one, two in zip(covered, hole, strict=True)):
            yield conditions, excluded

    def _hull(self, among: Sequence[Array], inside: Sequence[Array]) -> tuple[tuple[Condition, ...], list[Array] | None]:
        """Find ranges in which all of `inside` lies, and as little as possible else of `among`."""
        left, chosen = [each.copy() for each in among], list[Condition]()
        for forms in self._forms():
            valued = [(form, self._values(form, among)) for form in forms]
            while any((one & ~two).any() for one, two in zip(left, inside, strict=True)):
                best = max(
                    ((self._cut(values, left, inside, side), form, values, side) for form, values in valued for side in (0, 1)),
                    key=lambda each: each[0],
                    default=None,
                )
                if best is None or best[0] == 0:
                    break
                _, form, values, side = best
                condition = self._condition(form, values, left, inside, side)
                if condition is None:
                    valued = [each for each in valued if each[0] is not form]
                    continue
                chosen.append(condition)
                if len(chosen) > 2 * MOST_RANGES:
                    return (), None
                left = [one & two for one, two in zip(left, self._kept([condition], among), strict=True)]
                if any((two & ~one).any() for one, two in zip(left, inside, strict=True)):
                    return (), None
        return self._needed(chosen, among, left), left

    def _needed(
        self, chosen: Sequence[Condition], among: Sequence[Array], left: Sequence[Array]
    ) -> tuple[Condition, ...]:
        """Leave out conditions without which the others leave the same."""
        kept = list(chosen)
        for each in chosen:
            others = [one for one in kept if one is not each]
            if len(kept) > 1 and all(map(np.array_equal, self._kept(others, among), left)):
                kept = others
        return tuple(kept)

    def _kept(self, conditions: Sequence[Condition], among: Sequence[Array]) -> list[Array]:
        found = []
        for (columns, _), sizes, start in zip(self.candidates, self.sizes, among, strict=True):
            result = [columns[name] for name in self.term.views[0].names]
            kept = start.copy()
            for each in conditions:
                kept &= holds(each, columns, sizes, result, start)
            found.append(kept)
        return found

    def _forms(self) -> Iterator[list[Condition]]:
        """Yield indices, their remainders, their distances to the first and last, and their sums and differences."""
        names = list(self.term.axes)
        plain = [Condition(Linear.of({name: 1})) for name in self.candidates[0][0]]
        yield plain
        yield [dataclasses.replace(each, modulus=by) for each in plain for by in MODULI]
        yield [Condition(Linear.of({name: 1}), of=of) for name in names for of in ("first", "last")]
        steps = sorted({1, *self.combinations.steps})
        pairs = [(one, two) for one, two in itertools.permutations(names, 2) if same_axis(one, two)]
        apart = [Condition(Linear.of({one: 1, two: -step})) for one, two in pairs for step in steps]
        spatial = [name for name in names if _is_spatial(name)]
        apart += [Condition(Linear.of({one: 1, two: -1})) for one, two in itertools.combinations(spatial, 2)]
        apart += [Condition(Linear.of({one: 1, two: 1})) for one, two in pairs if one < two]
        yield list(dict.fromkeys(apart))
        yield [dataclasses.replace(each, modulus=by) for each in dict.fromkeys(apart) for by in steps[1:]]

    def _values(self, form: Condition, among: Sequence[Array]) -> list[Array]:
        found = []
        for (columns, _), sizes, kept in zip(self.candidates, self.sizes, among, strict=True):
            value = np.broadcast_to(form.form.scaled(columns, sizes), kept.shape)
            if form.of:
                value = distance(value, [columns[name] for name in self.term.views[0].names], kept, form.of)
            found.append(value % form.modulus if form.modulus else value)
        return found

    def _cut(self, values: Sequence[Array], left: Sequence[Array], inside: Sequence[Array], side: int) -> int:
        """Count the tuples that lie beyond the range."""
        total = 0
        for each, one, two in zip(values, left, inside, strict=True):
            if two.any():
                limit = each[two].max() if side else each[two].min()
                total += int(np.sum(one & (each > limit if side else each < limit)))
        return total

    def _condition(
        self, form: Condition, values: Sequence[Array], left: Sequence[Array], inside: Sequence[Array], side: int
    ) -> Condition | None:
        """Return the range with a limit that is a combination of sizes."""
        sign = 1 if side else -1
        limits, empty = [], []
        for each, one, two in zip(values, left, inside, strict=True):
            mine, all_of = sign * each[two], sign * each[one & ~two]
            if len(mine):
                beyond = all_of[all_of > mine.max()]
                limits.append((int(mine.max()), int(beyond.min()) - 1 if len(beyond) else FREE))
            else:
                limits.append((-FREE, FREE))
            empty.append((-FREE, int(all_of.min()) - 1) if not len(mine) and len(all_of) else limits[-1])
        name = next(iter(dict(form.form.terms)))
        own = () if form.modulus or form.of else _own(name, self.structure)
        for each_limits in dict.fromkeys((tuple(empty), tuple(limits))):
            signed = [each if side else (-each[1], -each[0]) for each in each_limits]
            if found := self.combinations.within(signed, own, most=MOST_SIZES):
                return dataclasses.replace(form, high=found) if side else dataclasses.replace(form, low=found)
        return None


def _joined(one: Rows, two: Rows) -> Rows:
    columns = {name: np.concatenate([each, two.columns[name]]) for name, each in one.columns.items()}
    return Rows(columns, np.concatenate([one.layer, two.layer]), np.concatenate([one.by, two.by]))


def _sum(one: Linear, two: Linear) -> Linear:
    return Linear(one.terms + two.terms, one.constant + two.constant)


def _fraction(value: float) -> Fraction:
    simple = Fraction(float(value)).limit_denominator(5040)
    return simple if float(simple) == value else Fraction(float(value))


def _own(name: str, structure: Structure) -> tuple[str, ...]:
    """Return the sizes of the axis of an index."""
    index = name.rpartition(".")[2]
    for axis, sizes in zip(AXES, SIZES[structure.spatial_ndim], strict=False):
        if index in axis:
            return (*sizes, *(f"{what}({sizes[0]})" for what in ("tail", "before", "after")))
    if index == "*":
        return tuple(_joined_sizes(structure))
    return {"n": ("N",), "i": ("n", "n/g"), "k": ("d", "d/g"), "g": ()}[index]


def _choices(slopes: dict[str, list[Fraction]]) -> Iterator[dict[str, Fraction]]:
    """Yield the usual slopes, and then with one or two less usual ones."""
    usual = {name: found[0] for name, found in slopes.items()}
    other = [{name: each} for name, found in slopes.items() for each in found[1:]]
    pairs = ({**one, **two} for one, two in itertools.combinations(other, 2) if one.keys() != two.keys())
    for changes in itertools.islice(itertools.chain([{}], other, pairs), MOST_COMBINATIONS):
        yield {**usual, **changes}


def _joined_sizes(structure: Structure) -> list[str]:
    """Name the number of responses, of taps of a plane, and of pixels of a plane."""
    axes = SIZES[structure.spatial_ndim]
    return ["·".join(each) for each in zip(*axes, strict=True)] if len(axes) > 1 else []


def _is_spatial(name: str) -> bool:
    return any(name.rpartition(".")[2] in axis for axis in AXES)


def _constants(steps: Array, column: Array, size: int, kind: str) -> set[int]:
    """Return the constants with which indices that are folded at the border are these."""
    pairs = np.unique(np.stack([steps, column]), axis=1)
    tried = np.arange(-2 * size - 2, 2 * size + 3)
    fits = np.all(fold(pairs[0] + tried[:, None], size, kind) == pairs[1], axis=1)
    return set(tried[fits].tolist())


def _keys(columns: Columns, names: Sequence[str], limits: Sequence[int]) -> Array:
    total: Any = np.zeros(len(columns[names[0]]), np.int64)
    for name, limit in zip(names, limits, strict=True):
        total = total * max(limit, 1) + columns[name]
    return np.asarray(total)


def _views(tensor: Tensor) -> Iterator[View]:
    """Yield other orders of axes, read and written: one moved elsewhere, some reversed; and steps along one axis."""
    plain = tuple(range(len(tensor.axes)))
    found: dict[tuple[int, ...], None] = {}
    for one, two in itertools.permutations(plain, 2):
        rest = [each for each in plain if each != one]
        found[(*rest[:two], one, *rest[two:])] = None
    for one, two in itertools.combinations(plain, 2):
        order = list(plain)
        order[one], order[two] = two, one
        found[tuple(order)] = None
        found[(*plain[:one], *reversed(plain[one : two + 1]), *plain[two + 1 :])] = None
    for order in found:
        if order != plain:
            yield from (View(tensor, order, written) for written in (False, True))
    for axis in plain:
        yield from (View(tensor, steps=(axis, step)) for step in (2, -2, 3, -3))
