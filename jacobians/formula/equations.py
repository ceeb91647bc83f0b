"""Equations between the indices of products: each is linear in those that are free, and may be folded at the border."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.formula.combine import FREE, Combinations
from jacobians.formula.relation import FLOOR, FOLDS, Axis, Equation, Linear, View, fold
from jacobians.formula.rows import Readings, Rows, own_sizes
from jacobians.formula.views import is_function, neighbours

__all__ = ["ORDERS", "Equations"]

Array = npt.NDArray[Any]

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
    """

    def __init__(
        self,
        readings: Readings,
        combinations: Combinations,
        rows: Rows,
        views: Sequence[View],
        likely: Mapping[str, Linear],
    ) -> None:
        self.readings, self.combinations, self.rows, self.likely = readings, combinations, rows, likely
        self.axes: dict[str, Axis] = {
            name: axis for view in views for name, axis in zip(view.names, view.tensor.axes, strict=True)
        }
        self.pairs: dict[tuple[tuple[str, ...], str, int], tuple[Array, Array, Array]] = {}
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
        fits = np.ones(self.rows.count, bool)
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
                fits &= self._satisfied(found)
        return equations, fits

    def of(self, name: str, free: Sequence[str]) -> Equation | None:
        """Return the equation of an index that holds for all products."""
        if not is_function(name, free, self.rows):
            return None
        own = own_sizes(name, self.readings.structure)
        rests = list(self._rests(name, free))
        for value, off in rests:
            if (found := self._linear(value, off, own)) is not None:
                return Equation(name, found[0], found[1])
        for value, off in rests:
            if value.denominator == 1 and (folded := self._folded(name, off, own)):
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

    def _folded(self, name: str, off: Array, own: Sequence[str]) -> tuple[Linear, str] | None:
        """Return the constant and the fold of an index that is folded at the border."""
        column = self.rows.columns[name]
        for kind in FOLDS:
            allowed = []
            for at in range(self.layers):
                here = self.rows.layer == at
                limit = self.readings.limit(name, self.axes[name].size, at)
                allowed.append(_constants(column[here] - off[here], column[here], limit, kind))
                if not allowed[-1]:
                    break
            else:
                if found := self.combinations.among(allowed, own):
                    return found, kind
        return None

    def _satisfied(self, each: Equation) -> Array:
        found = np.zeros(self.rows.count, bool)
        for at, sizes in enumerate(self.readings.sizes):
            here = self.rows.layer == at
            columns = {name: column[here] for name, column in self.rows.columns.items()}
            scaled, by = each.value.scaled(columns, sizes), each.value.denominator
            limit = self.readings.limit(each.index, self.axes[each.index].size, at)
            value = fold(scaled // by, limit, each.fold) if limit else scaled // by
            found[here] = (value == columns[each.index]) & ((scaled % by == 0) | (each.fold == FLOOR))
        return found

    def _rests(self, name: str, free: Sequence[str]) -> Iterator[tuple[Linear, Array]]:
        """Yield sums of free indices, and what an index is beyond them, times their denominator."""
        slopes = {each: self._slopes(name, each, free) for each in free}
        choices = _choices({each: found for each, found in slopes.items() if found != [0]})
        likely = self.likely.get(name)
        if likely and all(each in free for each, _ in likely.terms):
            choices = itertools.chain([dict(likely.terms)], choices)
        for chosen in choices:
            value = Linear.of(chosen)
            off = self.rows.columns[name] * value.denominator
            for each, slope in value.terms:
                off = off - self.rows.columns[each] * int(slope * value.denominator)
            yield value, off

    def _slopes(self, name: str, each: str, free: Sequence[str]) -> list[Fraction]:
        """Return by how much an index grows with another one, all other free ones being the same: most usual first."""
        found: dict[Fraction, float] = {}
        for lag in LAGS:
            one, two, step = self._neighbours(each, tuple(free), lag)
            if len(step):
                rise = self.rows.columns[name][two] - self.rows.columns[name][one]
                common = np.gcd(rise, step)
                codes, counts = np.unique((rise // common) * 1000 + step // common, return_counts=True)
                for code, count in zip(codes, counts, strict=True):
                    slope = Fraction(int((code + 500) // 1000), int((code + 500) % 1000 - 500))
                    found[slope] = max(found.get(slope, 0), count / len(step) / lag)
        usual = sorted((each for each, share in found.items() if share > RARE), key=lambda each: -found[each])
        return usual[:MOST_SLOPES] or [Fraction(0)]

    def _neighbours(self, each: str, free: tuple[str, ...], lag: int) -> tuple[Array, Array, Array]:
        key = (free, each, lag)
        if key not in self.pairs:
            self.pairs[key] = neighbours(self.rows, each, free, lag)
        return self.pairs[key]


def _choices(slopes: dict[str, list[Fraction]]) -> Iterator[dict[str, Fraction]]:
    """Yield the usual slopes, and then with one or two less usual ones."""
    usual = {name: found[0] for name, found in slopes.items()}
    other = [{name: each} for name, found in slopes.items() for each in found[1:]]
    pairs = ({**one, **two} for one, two in itertools.combinations(other, 2) if one.keys() != two.keys())
    for changes in itertools.islice(itertools.chain([{}], other, pairs), MOST_COMBINATIONS):
        yield {**usual, **changes}


def _constants(steps: Array, column: Array, size: int, kind: str) -> set[int]:
    """Return the constants with which indices that are folded at the border are these."""
    pairs = np.unique(np.stack([steps, column]), axis=1)
    tried = np.arange(-2 * size - 2, 2 * size + 3)
    fits = np.all(fold(pairs[0] + tried[:, None], size, kind) == pairs[1], axis=1)
    return set(tried[fits].tolist())


def _sum(one: Linear, two: Linear) -> Linear:
    return Linear(one.terms + two.terms, one.constant + two.constant)
