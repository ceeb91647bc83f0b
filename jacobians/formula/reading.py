"""From a function to its formula: which arrays a result is made of, the products that are summed, and the relation."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.evidence import exact
from jacobians.formula import read
from jacobians.formula.combine import FREE, Combinations
from jacobians.formula.fit import fit
from jacobians.formula.read import Call, Reading, Unreadable, read_products
from jacobians.formula.relation import Formula, Linear, Term
from jacobians.formula.structure import FACTORS, Layer, Structure, array_axes, sizes_of
from jacobians.geometry import Geometry

__all__ = ["formula_of"]

Array = npt.NDArray[Any]

# Layers that are needed to tell sizes apart.
LEAST_LAYERS = 4
# Layers that are read at first; the others are predicted.
FIRST = 6
# Share of the calls that is kept for further layers.
RESERVE = 0.4
# Of a product with its coefficient.
ROUNDINGS = 4
ARGUMENTS = {"S": "XFb", "dX": "XFbG", "dF": "XFbG", "db": "XFbG"}


def formula_of(
    call: Call,
    result: str,
    structure: Structure,
    options: Callable[[tuple[int, ...], tuple[int, ...]], Geometry],
    dtype: str,
    most: int = read.MOST_CALLS,
) -> Formula:
    """Read the formula of one result of a function.

    Parameters
    ----------
    call : callable
        The code: takes a `Layer` and arrays by their letters, those that are not given being 0, and returns the result;
        None where it gives none.
    result : str
        S, dX, dF or db.
    structure : Structure
        Axes and groups.
    options : callable
        Makes the geometry of an image of these shape and filters, with the stride, padding and dilation of the code.
    dtype : str
        In which the code computes.
    most : int
        Calls of the code.

    Returns
    -------
    Formula
        Its products are those of the code at every layer that was read.

    Raises
    ------
    Unreadable
        If the code gives nothing at most layers, is not linear in the factors of its products, or no formula was found.
    """
    reader = _Formulas(call, result, structure, options, dtype, most)
    return reader.formula()


class _Formulas:
    def __init__(
        self,
        call: Call,
        result: str,
        structure: Structure,
        options: Callable[[tuple[int, ...], tuple[int, ...]], Geometry],
        dtype: str,
        most: int,
    ) -> None:
        self.function, self.result, self.structure, self.dtype, self.left = call, result, structure, dtype, most
        self.most = most
        self.layers = list(read.layers(structure, options))
        geometry = self.layers[0].geometry
        self.steps = sorted({*geometry.stride, *geometry.dilation})
        self.known: dict[tuple[tuple[str, ...], Layer], Reading | None] = {}
        self.values: dict[int, tuple[dict[str, Array], Array | None]] = {}

    def call(self, layer: Layer, arrays: dict[str, Array]) -> Array | None:
        """Call the code, if it may be called once more."""
        if self.left <= 0:
            raise Unreadable("the formula takes more calls than are allowed")
        self.left -= 1
        return self.function(layer, arrays)

    def formula(self) -> Formula:
        """Fit a few layers, and read those at which the formula does not predict the code, too."""
        first = next((each for each in self.layers if self._gives(each)), None)
        if first is None:
            raise Unreadable("the code gives a result at none of the layers")
        factors = self._factors(first)
        at = list(range(FIRST))
        found = self._fitted(factors, [self.layers[each] for each in at])
        try:
            while (wrong := self._first_wrong(found)) is not None:
                if wrong in at:
                    more = list(dict.fromkeys([*factors, *self._factors(self.layers[wrong])]))
                    if more == factors:
                        break
                    factors = more
                else:
                    at.append(wrong)
                found = self._fitted(factors, [self.layers[each] for each in at])
        except Unreadable:
            # What the calls did not suffice for is seen where the formula is held against the code.
            pass
        return found

    def _first_wrong(self, formula: Formula) -> int | None:
        return next((each for each in range(len(self.layers)) if not self._predicts(formula, each)), None)

    def _fitted(self, factors: Sequence[tuple[str, ...]], layers: Sequence[Layer]) -> Formula:
        terms: list[Term] = []
        shape: tuple[Linear, ...] | None = None
        for letters in factors:
            readings = []
            for layer in layers:
                # What is left is for the layers at which a formula is tried.
                if (self.left > self.most * RESERVE or len(readings) < LEAST_LAYERS or (letters, layer) in self.known) and (
                    each := self._reading(letters, layer)
                ):
                    readings.append(each)
            if len(readings) < LEAST_LAYERS:
                raise Unreadable("the code gives a result at too few layers")
            shape = shape or self._shape(readings)
            found = fit(readings, self.result, self.structure, self.steps)
            if found is None:
                raise Unreadable("the products that are summed follow no relation between indices")
            terms += found
        return Formula(self.result, tuple(terms), shape or self._shape(list(self._empty())))

    def _reading(self, letters: tuple[str, ...], layer: Layer) -> Reading | None:
        if (letters, layer) not in self.known:
            found = read_products(self.call, layer, self.result, letters, self.dtype, self.structure)
            self.known[letters, layer] = found
        return self.known[letters, layer]

    def _predicts(self, formula: Formula, at: int) -> bool:
        """Whether a formula gives what the code gives for one draw, up to rounding; true where the code gives nothing."""
        if at not in self.values:
            layer, generator = self.layers[at], np.random.default_rng(5)
            numbers = {letter: generator.integers(1, 9, shape).astype(float) for letter, shape in layer.shapes.items()}
            self.values[at] = numbers, self.call(layer, numbers)
        numbers, value = self.values[at]
        if value is None:
            return True
        sizes = sizes_of(self.layers[at])
        predicted, size = (formula.predict(sizes, numbers, absolute=each) for each in (False, True))
        unit = float(exact.gamma(ROUNDINGS + value.size, "float64"))
        return predicted.shape == value.shape and bool(np.all(np.abs(predicted - value) <= unit * size))

    def _factors(self, layer: Layer) -> list[tuple[str, ...]]:
        """Return which arrays are multiplied: those whose part of the result is not 0 when the others are."""
        generator = np.random.default_rng(3)
        numbers = {letter: generator.integers(1, 9, shape).astype(float) for letter, shape in layer.shapes.items()}
        letters = ARGUMENTS[self.result]
        parts: dict[tuple[str, ...], Array] = {}
        found = []
        for count in range(3):
            for some in itertools.combinations(letters, count):
                value = self.call(layer, {letter: numbers[letter] for letter in some})
                if value is None:
                    raise Unreadable("the code gives nothing where some arrays are 0")
                inner = (each for less in range(count) for each in itertools.combinations(some, less))
                parts[some] = np.asarray(value, np.float64) - sum(parts[each] for each in inner)
                if np.any(parts[some]):
                    found.append(some)
        everything = self.call(layer, numbers)
        if everything is None or not np.array_equal(np.asarray(everything, np.float64), sum(parts.values())):
            raise Unreadable("the result is no sum of products of two arrays")
        return [self._ordered(each) for each in found]

    def _gives(self, layer: Layer) -> bool:
        small = layer.images > 1 and layer.geometry.planes_per_group > 1
        return small and self.call(layer, {}) is not None

    def _ordered(self, letters: tuple[str, ...]) -> tuple[str, ...]:
        right = FACTORS[self.result]
        return right if set(letters) == set(right) else letters

    def _empty(self) -> Iterator[Reading]:
        for layer in self.layers:
            value = self.call(layer, {})
            if value is not None:
                yield Reading(layer, value.shape, (), np.zeros((1, 0), np.int64), np.zeros(0))

    def _shape(self, readings: Sequence[Reading]) -> tuple[Linear, ...]:
        """Find the combinations of sizes that are the shape of the result."""
        axes = array_axes(self.structure.tensors[self.result])
        if any(len(each.shape) != len(axes) for each in readings):
            raise Unreadable("the result has another number of axes")
        combinations = Combinations([each.sizes for each in readings], self.steps)
        found = []
        for at, axis in enumerate(axes):
            lengths = [each.shape[at] for each in readings]
            if lengths == [each.sizes[axis.size] for each in readings]:
                found.append(Linear.of({axis.size: 1}))
            elif (fitted := combinations.within([(each or -FREE, each) for each in lengths], ())) is not None:
                found.append(fitted)
            else:
                raise Unreadable("the shape of the result is no combination of sizes")
        return tuple(found)
