"""Equations between the indices of products: each is linear in those that are free, and may be folded at the border."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.formula.combine import FREE, Combinations
from jacobians.formula.relation import FLOOR, FOLDS, Axis, Equation, Linear, View, fold, size_of
from jacobians.formula.rows import Readings, Rows, own_sizes
from jacobians.formula.structure import SIZES
from jacobians.formula.views import is_function, neighbours

__all__ = ["ORDERS", "Equations"]

Array = npt.NDArray[Any]
# By how much an index grows with another one: a size, or none, times a number.
Slope = tuple[str, Fraction]

# Arrays of responses, taps and pixels. Indices of those that come first are free where they can be.
RESPONSES, TAPS, PIXELS = ("G", "S"), ("F", "dF", "b", "db"), ("X", "dX")
ORDERS = ((*RESPONSES, *TAPS, *PIXELS), (*RESPONSES, *PIXELS, *TAPS), (*TAPS, *PIXELS, *RESPONSES))
# Of slopes that neighbours show, those that are tried, and how many combinations of them.
MOST_SLOPES, MOST_COMBINATIONS, RARE = 4, 24, 0.02
# Neighbours at these distances: an index may go up and down in turns.
LAGS = (1, 2, 3)
# Share of the products for which an equation that does not hold for all has to hold: where the index has several
# values, and where it has one. Constants that are nearly as usual as the most usual one are tried, too.
MAJORITY, LEAST, TIES = 0.25, 0.15, 0.6


class Equations:
    """Finds the equations between the indices of some products.

    Parameters
    ----------
    readings : Readings
        The layers.
    combinations : Combinations
        Of the sizes of these layers.
    rows : Rows
        The products.
    views : sequence of View
        Of the result and its factors.
    likely : mapping of str to Linear
        What indices are in right code, up to a constant: tried first.
    flat : bool
        Whether all spatial indices of an array may have one equation, as one.
    """

    def __init__(
        self,
        readings: Readings,
        combinations: Combinations,
        rows: Rows,
        views: Sequence[View],
        likely: Mapping[str, Linear],
        *,
        flat: bool,
    ) -> None:
        self.readings, self.combinations, self.rows, self.likely = readings, combinations, rows, likely
        self.axes: dict[str, Axis] = {
            name: axis for view in views for name, axis in zip(view.names, view.tensor.axes, strict=True)
        }
        joined = {name: some for view in views for name, some in view.joined.items()}
        self.joined = {name: some for name, some in joined.items() if flat or name.endswith("+")}
        self.pairs: dict[tuple[tuple[str, ...], str], list[tuple[Array, Array, Array]]] = {}
        self.known: dict[tuple[str, tuple[str, ...]], Equation | None] = {}
        self.layers = len(readings.sizes)
        self.there = rows.counts(self.layers) > 0

    def found(self, order: Sequence[str], *, strict: bool, constant: bool = True) -> tuple[list[Equation], Array]:
        """Express index after index by those that are free; return which products satisfy all equations, too.

        Parameters
        ----------
        order : sequence of str
            Letters of the arrays: the indices of the first are free where they can be.
        strict : bool
            Whether equations have to hold for all products.
        constant : bool
            Whether an index may be the same everywhere; it is free else, and left to ranges.

        Returns
        -------
        list of Equation
            One per index that is not free.
        ndarray of bool
            Per product.
        """
        free: list[str] = []
        equations: list[Equation] = []
        for name in sorted(self.axes, key=lambda each: order.index(each.partition(".")[0])):
            found = self.of(name, free)
            if found is not None and not constant and not any(each in self.axes for each, _ in found.value.terms):
                found = None
            elif found is None and not strict:
                found = self.usual(name, free)
            if found is None:
                free.append(name)
            else:
                equations.append(found)
            for joint, names in self.joined.items():
                if name == names[-1]:
                    free, equations = self._joint(joint, names, free, equations)
        fits = np.ones(self.rows.count, bool)
        for each in equations:
            fits &= self._satisfied(each)
        return equations, fits

    def _joint(
        self, joint: str, names: Sequence[str], free: list[str], equations: list[Equation]
    ) -> tuple[list[str], list[Equation]]:
        """Take one equation for several indices as one, where they have none each and it holds for all products."""
        others = [each for each in free if each not in names]
        if len(others) == len(free) or not others or (found := self.of(joint, others)) is None:
            return free, equations
        return others, [*(each for each in equations if each.index not in names), found]

    def column(self, name: str) -> Array:
        """Return the values of an index, of several as one, or of an index times a size."""
        if name in self.rows.columns:
            return self.rows.columns[name]
        if name in self.joined:
            total = np.zeros(self.rows.count, np.int64)
            for each in self.joined[name]:
                limits = np.array([self.readings.limit(each, self.axes[each].size, at) for at in range(self.layers)])
                total = total * limits[self.rows.layer] + self.rows.columns[each]
            return total
        size, _, index = name.rpartition("·")
        return self.sized(size) * self.rows.columns[index]

    def sized(self, name: str) -> Array:
        """Return a size at the layer of each product."""
        return np.array([size_of(name, sizes) for sizes in self.readings.sizes])[self.rows.layer]

    def limit(self, name: str, at: int) -> int:
        """Return how many values an index, or several as one, have at a layer."""
        return self.readings.joint(self.joined.get(name, (name,)), self.axes, at)

    def of(self, name: str, free: Sequence[str]) -> Equation | None:
        """Return the equation of an index that holds for all products."""
        key = name, tuple(free)
        if key not in self.known:
            self.known[key] = self._of(name, free)
        return self.known[key]

    def _of(self, name: str, free: Sequence[str]) -> Equation | None:
        if not all(is_function(each, free, self.rows) for each in self.joined.get(name, (name,))):
            return None
        own = own_sizes(name, self.readings.structure)
        rests = list(self._rests(name, free))
        for value, off in rests:
            if (found := self._linear(value, off, own)) is not None:
                return Equation(name, found[0], found[1])
        for value, off in rests:
            if folded := self._folded(name, off, own, value.denominator):
                return Equation(name, _sum(value, folded[0]), folded[1])
        return None

    def usual(self, name: str, free: Sequence[str]) -> Equation | None:
        """Return the equation of an index that holds for most products."""
        single = is_function(name, free, self.rows)
        if not single and name.partition(".")[0] not in PIXELS:
            return None
        own = own_sizes(name, self.readings.structure)
        best: tuple[float, Equation] | None = None
        for value, off in self._rests(name, free):
            agree, wanted = 0, []
            for at in range(self.layers):
                values, counts = np.unique(off[self.rows.layer == at], return_counts=True)
                agree += int(counts.max(initial=0))
                wanted.append({int(each) for each in values[counts >= TIES * counts.max(initial=0)]})
            share = agree / self.rows.count
            if share >= (LEAST if single else MAJORITY) and (not best or share > best[0]):
                found = self.combinations.among([each or set(range(-2, 3)) for each in wanted], own, value.denominator)
                if found is not None:
                    best = share, Equation(name, _sum(value, found))
        return best and best[1]

    def _linear(self, value: Linear, off: Array, own: Sequence[str]) -> tuple[Linear, str] | None:
        """Return the sum of free indices and its constant, exact or rounded down."""
        by = value.denominator
        least, most = self.rows.limits(off, self.layers)
        if np.any(most - least >= by):
            return None
        # Rounded down, the index times the denominator is by 0 to `by` − 1 less.
        spare = 0 if np.array_equal(least, most) else by - 1
        limits = [
            (int(high), int(low) + spare) if some else (-FREE, FREE)
            for low, high, some in zip(least, most, self.there, strict=True)
        ]
        found = self.combinations.within(limits, own, by)
        return (_sum(value, found), FLOOR if spare else "") if found else None

    def _folded(self, name: str, off: Array, own: Sequence[str], by: int) -> tuple[Linear, str] | None:
        """Return the constant and the fold of an index that is folded at the border."""
        if name.endswith("*"):
            return None
        column = self.column(name)
        steps = column * by - off
        pairs: list[tuple[int, Array]] = []
        for at in range(self.layers):
            here = self.rows.layer == at
            # What stands for both, since both are small.
            codes = np.unique(steps[here] * FREE + column[here])
            pairs.append((at, np.stack([codes // FREE, codes % FREE])))
        # Layers that tell most first.
        pairs.sort(key=lambda each: -each[1].shape[1])
        allowed: dict[str, dict[int, set[int]]] = {kind: {} for kind in FOLDS}
        for at, each in pairs:
            here = _constants(each[0], each[1], self.limit(name, at), tuple(allowed), by)
            allowed = {kind: some | {at: here[kind]} for kind, some in allowed.items() if here[kind]}
            if not allowed:
                return None
        for kind, some in allowed.items():
            if found := self.combinations.among([some[at] for at in range(self.layers)], own, by):
                return found, kind
        return None

    def _satisfied(self, each: Equation) -> Array:
        found = np.zeros(self.rows.count, bool)
        column = self.column(each.index)
        for at, sizes in enumerate(self.readings.sizes):
            here = self.rows.layer == at
            columns = {name: column[here] for name, column in self.rows.columns.items()}
            scaled, by = each.value.scaled(columns, sizes), each.value.denominator
            limit = self.limit(each.index, at)
            value = fold(scaled // by, limit, each.fold) if limit else scaled // by
            found[here] = (value == column[here]) & ((scaled % by == 0) | (each.fold == FLOOR))
        return found

    def _rests(self, name: str, free: Sequence[str]) -> Iterator[tuple[Linear, Array]]:
        """Yield sums of free indices, and what an index is beyond them, times their denominator."""
        column = self.column(name)
        slopes = {each: self._slopes(column, each, free, self._factors(name)) for each in free}
        choices = _choices({each: found for each, found in slopes.items() if found != [("", Fraction(0))]})
        choices = itertools.chain(self._over_groups(slopes), choices)
        likely = self.likely.get(name)
        if likely and all(each in free for each, _ in likely.terms):
            choices = itertools.chain([dict(likely.terms)], choices)
        for chosen in choices:
            value = Linear.of(chosen)
            off = column * value.denominator
            for each, slope in value.terms:
                off = off - self.column(each) * int(slope * value.denominator)
            yield value, off

    def _over_groups(self, slopes: Mapping[str, Sequence[Slope]]) -> Iterator[dict[str, Fraction]]:
        """Yield what an index is if it grows with one index that is counted over all groups alone."""
        for group, inner in (some for name, some in self.joined.items() if name.endswith("+")):
            if group in slopes and inner in slopes:
                size = self.axes[inner].size
                for factor, slope in slopes[inner]:
                    if slope and not factor:
                        yield {f"{size}·{group}": slope, inner: slope}

    def _factors(self, name: str) -> tuple[str, ...]:
        """Return the sizes with which an index may grow: planes and filters of a group, and rows, in flat indices."""
        structure = self.readings.structure
        if name.endswith("*"):
            image = [size for axis in SIZES[structure.spatial_ndim] for size in axis]
            return ("", *image)
        grouped = structure.groups > 1 and not name.endswith(".n")
        return ("", "n/g", "d/g") if grouped else ("",)

    def _slopes(self, column: Array, each: str, free: Sequence[str], factors: Sequence[str]) -> list[Slope]:
        """Return by how much an index grows with another one, all other free ones being the same: most usual first."""
        found: dict[tuple[str, Fraction], float] = {}
        pairs = zip(LAGS, self._neighbours(each, tuple(free)), strict=True)
        for (lag, (one, two, step)), factor in itertools.product(pairs, factors):
            if len(step):
                rise = column[two] - column[one]
                by = step * self.sized(factor)[one] if factor else step
                common = np.gcd(rise, by)
                # Both are small, and an index that is counted on grows.
                codes, counts = np.unique(rise // common * FREE + by // common, return_counts=True)
                for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
                    slope = Fraction(*divmod(code, FREE))
                    if slope or not factor:
                        found[factor, slope] = max(found.get((factor, slope), 0), count / len(step) / lag)
        some = [each for each, share in found.items() if share > RARE]
        # Counted modulo two groups, a group back is a group on.
        usual = sorted(some, key=lambda one: (bool(one[0]) and one[1] < 0, -found[one]))
        return usual[:MOST_SLOPES] or [("", Fraction(0))]

    def _neighbours(self, each: str, free: tuple[str, ...]) -> list[tuple[Array, Array, Array]]:
        if (free, each) not in self.pairs:
            self.pairs[free, each] = neighbours(self.rows, each, free, LAGS)
        return self.pairs[free, each]


def _choices(slopes: dict[str, list[Slope]]) -> Iterator[dict[str, Fraction]]:
    """Yield the usual slopes, and then with one or two less usual ones."""
    named = {
        name: [(f"{factor}·{name}" if factor else name, slope) for factor, slope in found]
        for name, found in slopes.items()
    }
    usual = {name: found[0] for name, found in named.items()}
    other = [{name: each} for name, found in named.items() for each in found[1:]]
    pairs = ({**one, **two} for one, two in itertools.combinations(other, 2) if one.keys() != two.keys())
    for changes in itertools.islice(itertools.chain([{}], other, pairs), MOST_COMBINATIONS):
        yield dict((usual | changes).values())


def _constants(steps: Array, column: Array, size: int, kinds: Sequence[str], by: int) -> dict[str, set[int]]:
    """Return, for each kind, the constants with which indices, times `by`, that are folded are these."""
    least, most = (-2 * size - 2) * by, (2 * size + 2) * by
    start = int(steps.min(initial=0)) + least
    scaled = np.arange(start, int(steps.max(initial=0)) + most + 1)
    folded = np.stack([np.where(scaled % by, -1, fold(scaled // by, size, kind)) for kind in kinds])
    which, tried = np.indices((len(kinds), most - least + 1)).reshape(2, -1)
    for some in (slice(0, 4), slice(None)):
        fits = np.all(folded[which[:, None], tried[:, None] + (steps[some] + least - start)] == column[some], axis=1)
        which, tried = which[fits], tried[fits]
    return {kind: set((tried[which == at] + least).tolist()) for at, kind in enumerate(kinds)}


def _sum(one: Linear, two: Linear) -> Linear:
    return Linear(one.terms + two.terms, one.constant + two.constant)
