"""Combinations of sizes with given values at given layers: the constants of equations and the limits of ranges."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jacobians.formula.relation import Linear, Sizes, size_of

__all__ = ["FREE", "Combinations"]

Array = npt.NDArray[Any]
# A size with its coefficient.
Part = tuple[str, int]

# Stands for no limit.
FREE = 10**6
# Constants that are tried where a fold leaves several.
SMALL = range(-8, 9)
# Steps of loops whose remainder may be left out.
STEPS = (2, 3, 4, 5, 6, 8)
# Sizes in a constant of which several values will do: of more sizes, one fits by chance.
MOST_FOLDED = 2
# Coefficients, of the smallest, that are tried for three sizes at once.
MOST_COEFFICIENTS = 6


class Models(NamedTuple):
    """Combinations of sizes: parts, and for each combination, which of these it has, its values, cost, and axis."""

    parts: list[Part]
    which: Array
    values: Array
    costs: Array
    owned: Array

    def names(self, at: int) -> list[Part]:
        """Return the parts of one of them."""
        return [self.parts[part] for part in self.which[:, at]]

    def linear(self, at: int, constant: int, by: int) -> Linear:
        """Return one of them, divided, with a constant."""
        return Linear.of({name: Fraction(each, by) for name, each in self.names(at)}, Fraction(constant, by))


class Combinations:
    """All combinations of at most three sizes with small coefficients, plainest first, at some layers.

    Parameters
    ----------
    layers : sequence of mapping of str to int
        The sizes of each layer by their names.
    steps : sequence of int
        Numbers that a coefficient may be besides ±1 and ±2: strides and dilations.
    joined : sequence of str
        Products of sizes, such as all responses of a response map.
    caps : sequence of int
        Numbers that a size may be cut off at: the padding and 1, as for taps.
    """

    def __init__(
        self, layers: Sequence[Sizes], steps: Sequence[int], joined: Sequence[str] = (), caps: Sequence[int] = ()
    ) -> None:
        self.layers, self.steps, self.caps = layers, steps, caps
        self.coefficients = sorted(
            {sign * each for each in {1, 2, *steps} for sign in (1, -1)}, key=lambda c: (abs(c), -c)
        )
        plain = [name for name in layers[0] if len({each[name] for each in layers}) > 1]
        alike = {"d/g", "n/g"} if layers[0]["g"] == 1 else set()
        self.plain = [name for name in plain if name not in alike]
        self.joined = [each for each in joined if all(name in layers[0] for name in each.split("·"))]
        self.known: dict[tuple[tuple[str, ...], int, int], Models] = {}
        self.sizes: dict[str, list[int]] = {}
        # Other views and orders ask for the same again.
        self.found: dict[tuple[object, ...], Linear | None] = {}

    def exact(self, wanted: Sequence[int], own: Sequence[str], by: int = 1) -> Linear | None:
        """Return the plainest combination that has these values, `by` times."""
        return self.within([(each, each) for each in wanted], own, by)

    def within(
        self, limits: Sequence[tuple[int, int]], own: Sequence[str], by: int = 1, most: int = 3, *, alone: bool = False
    ) -> Linear | None:
        """Return the plainest combination of at most `most` sizes that lies, `by` times, between these limits.

        Parameters
        ----------
        limits : sequence of (int, int)
            Per layer, both included; ±`FREE` for none.
        own : sequence of str
            Names of sizes that are preferred: those of the axis.
        by : int
            What the values are multiplied by.
        most : int
            Sizes in the combination.
        alone : bool
            Whether other sizes than those that are preferred are left out.

        Returns
        -------
        Linear or None
            None where there is no such combination.
        """
        key = (tuple(limits), tuple(own), by, most, alone)
        if key not in self.found:
            self.found[key] = self._within(limits, tuple(own), by, most, alone=alone)
        return self.found[key]

    def among(self, allowed: Sequence[set[int]], own: Sequence[str], by: int = 1) -> Linear | None:
        """Return the plainest of at most two sizes that is, `by` times, one of the allowed values at every layer."""
        key = (tuple(map(frozenset, allowed)), tuple(own), by)
        if key not in self.found:
            self.found[key] = self._among(allowed, tuple(own), by)
        return self.found[key]

    def _within(
        self, limits: Sequence[tuple[int, int]], own: tuple[str, ...], by: int, most: int, *, alone: bool
    ) -> Linear | None:
        low, high = (np.array([[each[at]] for each in limits]) for at in range(2))
        for models in itertools.islice(self._models(own, by), most + 1):
            least, largest = (low - models.values).max(axis=0), (high - models.values).min(axis=0)
            fits = np.flatnonzero((least <= largest) & (models.owned | (not alone)))
            if len(fits):
                constants = np.where(least[fits] > 0, least[fits], np.where(largest[fits] < 0, largest[fits], 0))
                best = int(np.argmin(models.costs[fits] + np.abs(constants)))
                return models.linear(fits[best], int(constants[best]), by)
        return None

    def _among(self, allowed: Sequence[set[int]], own: tuple[str, ...], by: int) -> Linear | None:
        # Layers at which few values are allowed leave few combinations for the others.
        first, *others = sorted(range(len(allowed)), key=lambda at: len(allowed[at]))
        wanted = [np.array(sorted(some), np.int64) for some in allowed]
        for models in itertools.islice(self._models(own, by), MOST_FOLDED + 1):
            apart = wanted[first] - models.values[first][:, None]
            rows, which = np.nonzero((apart >= SMALL[0]) & (apart <= SMALL[-1]))
            constants = apart[rows, which]
            for at in others:
                fits = np.isin(models.values[at, rows] + constants, wanted[at])
                rows, constants = rows[fits], constants[fits]
            if len(rows):
                best = np.lexsort((constants, rows, models.costs[rows] + np.abs(constants)))[0]
                return models.linear(rows[best], int(constants[best]), by)
        return None

    def _models(self, own: tuple[str, ...], by: int) -> Iterator[Models]:
        """Yield combinations of 0, 1, 2 and 3 sizes: their parts, which each is made of, values, and costs."""
        for count in range(4):
            key = (own, by, count)
            if key not in self.known:
                self.known[key] = self._valued(*self._combined(own, by, count), own)
            if len(self.known[key].costs):
                yield self.known[key]

    def _combined(self, own: tuple[str, ...], by: int, count: int) -> tuple[list[Part], Array]:
        """Return sizes with coefficients, and which of them are the parts of each combination of so many."""
        coefficients = sorted({each * more for each in self.coefficients for more in {1, by}}, key=abs)
        single = [(name, each) for name in self.plain for each in coefficients]
        floors = [(f"{name}÷{step}", step * by) for name in (*self.plain, *self.joined) for step in STEPS]
        floors += [(f"{name}÷2", each * by) for name in self.plain for each in (1, -1)]
        if count == 1:
            floors += [(name, by) for name in self.joined]
            floors += [(f"min({one},{two})", by) for one, two in itertools.combinations(self.plain, 2)]
            capped = itertools.product(self.plain, self.caps, (1, -1))
            floors += [(f"min({name},{cap})", sign * by) for name, cap, sign in capped]
        parts = single + floors
        # Where the coefficients of each size begin.
        starts = range(0, len(single), len(coefficients))
        if count < 2:
            return parts, np.arange(len(parts))[None] if count else np.zeros((0, 1), np.intp)
        if count == 2:
            pairs = np.stack(np.triu_indices(len(single), 1))
            apart = pairs[:, pairs[0] // len(coefficients) != pairs[1] // len(coefficients)]
            mixed = np.indices((len(parts), len(single))).reshape(2, -1)[:, len(single) ** 2 :]
            return parts, np.concatenate([apart, mixed], axis=1)
        named = itertools.combinations(zip(self.plain, starts, strict=True), 3)
        first = [[at for _, at in some] for some in named if sum(name in own for name, _ in some) > 1]
        smallest = np.indices([min(len(coefficients), MOST_COEFFICIENTS)] * 3).reshape(3, 1, -1)
        return parts, (np.array(first, np.intp).reshape(-1, 3).T[:, :, None] + smallest).reshape(3, -1)

    def _valued(self, parts: list[Part], which: Array, own: tuple[str, ...]) -> Models:
        costs = {name: 0 if name in own else 3 for name in self.plain}
        cost = np.array([costs.get(name, 4) + min(abs(each), 3) for name, each in parts], np.int64)
        owned = np.array([all(base in own for base in _bases(name)) for name, _ in parts], bool)
        for name in dict(parts).keys() - self.sizes.keys():
            self.sizes[name] = [size_of(name, each) for each in self.layers]
        rows = np.array([self.sizes[name] for name, _ in parts], np.int64).reshape(len(parts), len(self.layers))
        # Layer by layer, so that the extremes over all layers are those of long rows.
        values = rows.T * np.array([each for _, each in parts], np.int64)
        values = values.take(which, axis=1).sum(axis=1)
        return Models(parts, which, values, cost[which].sum(axis=0), np.asarray(owned[which].all(axis=0)))


def _bases(name: str) -> list[str]:
    """Return the sizes that a derived one is made of."""
    parts = name.partition("÷")[0].removeprefix("min(").removesuffix(")").replace(",", "·").split("·")
    return [each for each in parts if not each.isdigit()]
