"""Combinations of sizes with given values at given layers: the constants of equations and the limits of ranges."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.formula.relation import Linear, Sizes, size_of

__all__ = ["FREE", "Combinations"]

Array = npt.NDArray[Any]
Names = tuple[tuple[str, int], ...]
Models = tuple[list[Names], Array, Array, Array]

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
        low, high = (np.array([[each[at]] for each in limits]) for at in range(2))
        for names, values, costs, owned in itertools.islice(self._models(tuple(own), by), most + 1):
            least, largest = (low - values).max(axis=0), (high - values).min(axis=0)
            fits = np.flatnonzero((least <= largest) & (owned | (not alone)))
            if len(fits):
                constants = np.where(least[fits] > 0, least[fits], np.where(largest[fits] < 0, largest[fits], 0))
                best = int(np.argmin(costs[fits] + np.abs(constants)))
                return self._linear(names[fits[best]], int(constants[best]), by)
        return None

    def among(self, allowed: Sequence[set[int]], own: Sequence[str], by: int = 1) -> Linear | None:
        """Return the plainest of at most two sizes that is, `by` times, one of the allowed values at every layer."""
        # Layers at which few values are allowed leave few combinations for the others.
        first, *others = sorted(range(len(allowed)), key=lambda at: len(allowed[at]))
        wanted = [np.array(sorted(some), np.int64) for some in allowed]
        for names, values, costs, _ in itertools.islice(self._models(tuple(own), by), MOST_FOLDED + 1):
            apart = wanted[first] - values[first][:, None]
            rows, which = np.nonzero((apart >= SMALL[0]) & (apart <= SMALL[-1]))
            constants = apart[rows, which]
            for at in others:
                fits = np.isin(values[at, rows] + constants, wanted[at])
                rows, constants = rows[fits], constants[fits]
            if len(rows):
                best = np.lexsort((constants, rows, costs[rows] + np.abs(constants)))[0]
                return self._linear(names[rows[best]], int(constants[best]), by)
        return None

    def _linear(self, names: tuple[tuple[str, int], ...], constant: int, by: int) -> Linear:
        return Linear.of({name: Fraction(each, by) for name, each in names}, Fraction(constant, by))

    def _models(self, own: tuple[str, ...], by: int) -> Iterator[Models]:
        """Yield combinations of 0, 1, 2 and 3 sizes: names and coefficients, values, and costs."""
        for count in range(4):
            key = (own, by, count)
            if key not in self.known:
                self.known[key] = self._valued(list(self._combined(own, by, count)), own)
            if self.known[key][0]:
                yield self.known[key]

    def _combined(self, own: tuple[str, ...], by: int, count: int) -> Iterator[Names]:
        coefficients = sorted({each * more for each in self.coefficients for more in {1, by}}, key=abs)
        single = [((name, each),) for name in self.plain for each in coefficients]
        floors = [((f"{name}÷{step}", step * by),) for name in (*self.plain, *self.joined) for step in STEPS]
        floors += [((f"{name}÷2", each * by),) for name in self.plain for each in (1, -1)]
        if count == 0:
            yield ()
        elif count == 1:
            yield from (*single, *floors, *(((name, by),) for name in self.joined))
            yield from (((f"min({one},{two})", by),) for one, two in itertools.combinations(self.plain, 2))
            for name, cap, sign in itertools.product(self.plain, self.caps, (1, -1)):
                yield ((f"min({name},{cap})", sign * by),)
        elif count == 2:
            yield from (a + b for a, b in itertools.combinations(single, 2) if a[0][0] != b[0][0])
            yield from (a + b for a in floors for b in single)
        else:
            for names in itertools.combinations(self.plain, 3):
                if sum(name in own for name in names) > 1:
                    for each in itertools.product(coefficients[:MOST_COEFFICIENTS], repeat=3):
                        yield tuple(zip(names, each, strict=True))

    def _valued(self, models: list[Names], own: tuple[str, ...]) -> Models:
        names = sorted({name for model in models for name, _ in model})
        at = {name: place for place, name in enumerate(names)}
        weights = np.zeros((len(models), len(names)), np.int64)
        for row, model in enumerate(models):
            for name, each in model:
                weights[row, at[name]] += each
        rows = [[size_of(name, each) for each in self.layers] for name in names]
        # Layer by layer, so that the extremes over all layers are those of long rows.
        values = np.array(rows, np.int64).reshape(len(names), len(self.layers)).T @ weights.T
        costs = {name: 0 if name in own else 3 for name in self.plain}
        cost = np.array(
            [sum(costs.get(name, 4) + min(abs(each), 3) for name, each in model) for model in models], float
        )
        owned = np.array([all(base in own for name, _ in model for base in _bases(name)) for model in models])
        return models, values, cost, owned


def _bases(name: str) -> list[str]:
    """Return the sizes that a derived one is made of."""
    parts = name.partition("÷")[0].removeprefix("min(").removesuffix(")").replace(",", "·").split("·")
    return [each for each in parts if not each.isdigit()]
