"""From a function to its formula: which arrays a result is made of, the products that are summed, and the relation."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.evidence import exact
from jacobians.formula import products
from jacobians.formula.combine import FREE, Combinations
from jacobians.formula.fit import fit
from jacobians.formula.ones import completed
from jacobians.formula.products import Call, Reading, Unreadable, read_products
from jacobians.formula.relation import Formula, Linear, Term, View
from jacobians.formula.structure import FACTORS, Layer, Structure, array_axes, sizes_of
from jacobians.geometry import Geometry

__all__ = ["formula_of"]

Array = npt.NDArray[Any]

# Layers that are needed to tell sizes apart.
LEAST_LAYERS = 4
# Layers that are read at first; the others are predicted.
FIRST = 10
# Calls that one layer may take at least, and which share of those that are left.
LEAST_CALLS, SHARE = 20, 5
# Layers at which products cannot be told by digits, until that is not tried any more.
MOST_FAILED = 2
LEAST_PIXELS = 3
# Calls for a layer that is read last.
DEAR = 12
# Products of layers that take long to fit.
MANY = 1500
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
    most: int = products.MOST_CALLS,
    layers: Sequence[Layer] | None = None,
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
    layers : sequence of Layer, optional
        At which the code is called, the first of them to read it; those of `products.layers` else.

    Returns
    -------
    Formula
        Its products are those of the code at every layer that was read.

    Raises
    ------
    Unreadable
        If the code gives nothing at most layers, is not linear in the factors of its products, or no formula was found.
    """
    given = list(layers or products.layers(structure, options))
    return _Formulas(call, result, structure, given, dtype, most).formula()


class OutOfCalls(Unreadable):
    """Code that sums so many products that it would take too many calls to tell them apart."""


class _Formulas:
    """The calls of one function, and what they gave."""

    def __init__(
        self,
        call: Call,
        result: str,
        structure: Structure,
        layers: Sequence[Layer],
        dtype: str,
        most: int,
    ) -> None:
        self.function, self.result, self.structure, self.dtype = call, result, structure, dtype
        self.most = self.left = most
        self.known: dict[tuple[tuple[str, ...], Layer], Reading | None] = {}
        self.views: dict[tuple[tuple[str, ...], str], tuple[View, ...]] = {}
        self.terms: dict[tuple[tuple[str, ...], tuple[Layer, ...]], list[Term]] = {}
        self.tried: tuple[Formula | None, list[Layer]] = None, []
        self.factors: list[tuple[str, ...]] = []
        self.shape: tuple[Linear, ...] = ()
        self.wanted: set[Layer] = set()
        self.failed = 0
        self.ways = products.ways(result, FACTORS[result], structure)
        self.zero: dict[tuple[tuple[str, ...], Layer], bool] = {}
        self.numbers = {layer: _drawn(layer) for layer in layers}
        values = {layer: self.call(layer, numbers) for layer, numbers in self.numbers.items()}
        self.values = {layer: np.asarray(value, np.float64) for layer, value in values.items() if value is not None}
        if len(self.values) < LEAST_LAYERS:
            raise Unreadable("the function returns a result at too few layers")

    def call(self, layer: Layer, arrays: dict[str, Array]) -> Array | None:
        """Call the code, if it may be called once more."""
        if self.left <= 0:
            raise OutOfCalls("the formula takes more calls than are allowed")
        self.left -= 1
        return self.function(layer, arrays)

    def formula(self) -> Formula:
        """Fit a few layers, and read those at which the formula does not predict the code, too."""
        self.shape = self._shape()
        some = [layer for layer, value in self.values.items() if np.any(value)]
        if not some:
            return Formula(self.result, (), self.shape)
        # In a large image, not everything lies in the padding.
        self.factors = self._factors(max(some, key=lambda each: (_is_telling(each), each.geometry.pixels)))
        found = self._fitted()
        try:
            while self.left and (wrong := self._wrong(found)):
                if self.wanted.issuperset(wrong):
                    more = list(dict.fromkeys([*self.factors, *self._factors(wrong[0])]))
                    if more == self.factors:
                        break
                    self.factors = more
                # The more terms, the more layers are needed to tell them from others.
                further = sorted((each for each in wrong if each not in self.wanted), key=self._cost)
                self.wanted.update(further[: max(1, len(found.terms))])
                found = self._fitted()
        except Unreadable:
            # What the calls did not suffice for is seen where the formula is held against the code.
            pass
        return found

    def _wrong(self, formula: Formula) -> list[Layer]:
        """Return the layers at which a formula does not predict the code."""
        if formula != self.tried[0]:
            self.tried = formula, [each for each in self.values if not self._predicts(formula, each)]
        return self.tried[1]

    def _order(self) -> list[Layer]:
        """Return the layers, those that take few calls to read and tell much first."""

        def key(layer: Layer) -> tuple[int, bool, bool]:
            return max(self._cost(layer), DEAR), _products(layer) > MANY, not _is_telling(layer)

        order = sorted(self.values, key=key)
        # What serves to tell products is tried where it costs little.
        first = min((each for each in order if _is_telling(each)), key=_narrow, default=order[0])
        return [first, *(each for each in order if each is not first)]

    def _cost(self, layer: Layer) -> int:
        """Return how many calls it takes to read a layer, roughly."""
        if self.ways:
            return self.ways[0].cost(layer, self.structure)
        return _products(layer) // max(math.prod(self.values[layer].shape), 1)

    def _fitted(self) -> Formula:
        terms = [term for letters in self.factors for term in self._terms(letters, self._readings(letters))]
        return Formula(self.result, tuple(terms), self.shape, (("groups", self.structure.groups),))

    def _terms(self, letters: tuple[str, ...], read: Sequence[Reading]) -> list[Term]:
        """Fit terms to what was read, once."""
        key = letters, tuple(each.layer for each in read)
        if key not in self.terms:
            readings, missing = completed(read, self.result, self.structure)
            likely = self.views.get((letters, missing))
            found = fit(readings, self.result, self.structure, readings[0].layer.geometry, likely)
            if found is None:
                raise Unreadable("the products that are summed follow no relation between indices")
            if found:
                self.views[letters, missing] = found[0].views
            self.terms[key] = [each.with_ones(missing) for each in found]
        return self.terms[key]

    def _readings(self, letters: tuple[str, ...]) -> list[Reading]:
        """Read the first layers that have such products, and those that are wanted; others that have none are known."""
        found: list[Reading] = []
        empty: list[Reading] = []
        places = np.zeros((1 + len(letters), 0), np.int64)
        for layer in self._order():
            enough = len(found) >= FIRST or (len(found) >= LEAST_LAYERS and self.left < self.most * RESERVE)
            needed = not enough or layer in self.wanted or (letters, layer) in self.known
            if not needed and len(self.factors) > 1:
                continue
            ways = self.ways
            try:
                if self._is_zero(letters, layer):
                    empty.append(Reading(layer, self.values[layer].shape, letters, places, np.zeros(0)))
                elif needed and (reading := self._reading(letters, layer)):
                    found.append(reading)
            except OutOfCalls:
                break
            if ways[:1] != self.ways[:1]:
                # Other layers take few calls now.
                return self._readings(letters)
        if len(found) < LEAST_LAYERS - 1 and self.left <= 0:
            raise OutOfCalls("the formula takes more calls than are allowed")
        if not found:
            raise Unreadable("the results are not finite if some of the arrays are 0")
        return found + empty

    def _is_zero(self, letters: tuple[str, ...], layer: Layer) -> bool:
        """Whether a layer has no products of these factors, if that is known or takes one call."""
        if len(self.factors) == 1:
            return not np.any(self.values[layer])
        if (letters, layer) not in self.zero:
            others = [each for each in self.factors if set(each) < set(letters)]
            known = [self.known.get((each, layer)) for each in others]
            only = {letter: self.numbers[layer][letter] for letter in letters}
            if not others or all(known):
                value = _without(self.call, [each for each in known if each])(layer, only)
                self.zero[letters, layer] = value is not None and not np.any(value)
        return self.zero.get((letters, layer), False)

    def _reading(self, letters: tuple[str, ...], layer: Layer) -> Reading | None:
        if (letters, layer) not in self.known:
            fewer = [each for each in self.factors if set(each) < set(letters)]
            parts = [self._reading(each, layer) for each in fewer]
            call = _without(self.call, [each for each in parts if each])
            most = max(self.left // SHARE, LEAST_CALLS)
            usual = set(letters) == set(FACTORS[self.result])
            ways = self.ways if usual else products.ways(self.result, letters, self.structure)
            try:
                given = (_limited(call, most), layer, self.result, letters, self.dtype, self.structure, ways)
                found = read_products(*given, most // 4)
            except OutOfCalls:
                if self.left <= 0:
                    raise
                found = None
            if usual:
                self._learn(found)
            self.known[letters, layer] = found
        return self.known[letters, layer]

    def _learn(self, reading: Reading | None) -> None:
        """Try first what served; nothing, where nothing served twice."""
        if reading is not None and reading.way:
            self.ways = sorted(self.ways, key=lambda way: way != reading.way)
        elif self.ways:
            self.failed += 1
            self.ways = self.ways if self.failed < MOST_FAILED else []

    def _predicts(self, formula: Formula, layer: Layer) -> bool:
        """Whether a formula gives what the code gives for one draw, up to rounding."""
        sizes, value = sizes_of(layer), self.values[layer]
        numbers = self.numbers[layer]
        predicted = formula.predict(sizes, numbers)
        if np.array_equal(predicted, value):
            return True
        if predicted.shape != value.shape:
            return False
        size = formula.predict(sizes, numbers, absolute=True)
        ones = {letter: np.ones_like(each) for letter, each in numbers.items()}
        count = int(np.max(formula.predict(sizes, ones, absolute=True), initial=0))
        dtype = self.dtype if self.dtype in exact.SIGNIFICAND else "float64"
        unit = float(exact.gamma(ROUNDINGS + min(count, 2 ** (exact.SIGNIFICAND[dtype] - 2)), dtype))
        return bool(np.all(np.abs(predicted - value) <= unit * size))

    def _factors(self, layer: Layer) -> list[tuple[str, ...]]:
        """Return which arrays are multiplied: those whose part of the result is not 0 when the others are."""
        numbers = self.numbers[layer]
        letters = ARGUMENTS[self.result]
        parts: dict[tuple[str, ...], Array] = {}
        found = []
        for count in range(3):
            for some in itertools.combinations(letters, count):
                value = self.call(layer, {letter: numbers[letter] for letter in some})
                if value is None or np.shape(value) != self.values[layer].shape:
                    raise Unreadable("the function returns no result of the same shape if some arrays are 0")
                inner = (each for less in range(count) for each in itertools.combinations(some, less))
                parts[some] = np.asarray(value, np.float64) - sum(parts[each] for each in inner)
                if np.any(parts[some]):
                    found.append(some)
        error = np.abs(np.asarray(self.values[layer], np.float64) - sum(parts.values()))
        # Every part is a sum and difference of results, of which none has more terms than the arrays have numbers.
        terms = ROUNDINGS * len(parts) + sum(each.size for each in numbers.values())
        if np.any(error > float(exact.gamma(terms, "float64")) * sum(map(np.abs, parts.values()))):
            raise Unreadable("the result is not a sum of products of two arrays")
        return [self._ordered(each) for each in found]

    def _ordered(self, letters: tuple[str, ...]) -> tuple[str, ...]:
        right = FACTORS[self.result]
        return right if set(letters) == set(right) else letters

    def _shape(self) -> tuple[Linear, ...]:
        """Find the combinations of sizes that are the shape of the result."""
        shapes, sizes = [each.shape for each in self.values.values()], [sizes_of(each) for each in self.values]
        axes = array_axes(self.structure.tensors[self.result])
        images = [each["N"] for each in sizes]
        if axes[0].name != "n" and [each[0] for each in shapes if len(each) == len(axes) + 1] == images:
            # Gradients of parameters that are not summed over the images.
            self.structure = dataclasses.replace(self.structure, apart=self.result)
            axes = array_axes(self.structure.tensors[self.result])
        if any(len(each) != len(axes) for each in shapes):
            raise Unreadable("the result has a wrong number of axes")
        geometry = next(iter(self.values)).geometry
        combinations = Combinations(sizes, sorted({*geometry.stride, *geometry.dilation}))
        found = []
        for at, axis in enumerate(axes):
            lengths = [each[at] for each in shapes]
            if lengths == [each[axis.size] for each in sizes]:
                found.append(Linear.of({axis.size: 1}))
            elif (fitted := _length(combinations, lengths)) is not None:
                found.append(fitted)
            else:
                raise Unreadable("the shape of the result is not a combination of the sizes")
        return tuple(found)


def _length(combinations: Combinations, lengths: Sequence[int]) -> Linear | None:
    """Return the combination of sizes, perhaps divided by a step and rounded down, that an axis is long."""
    for by in sorted({1, *combinations.steps}):
        limits = [(by * each or -FREE, by * each + by - 1) for each in lengths]
        if (found := combinations.within(limits, (), by)) is not None:
            return found
    return None


def _drawn(layer: Layer) -> dict[str, Array]:
    generator = np.random.default_rng(5)
    return {letter: generator.integers(1, 9, shape).astype(float) for letter, shape in layer.shapes.items()}


def _limited(call: Call, most: int) -> Call:
    """Return the code such that it may be called so often."""
    left = iter(range(most))

    def limited(layer: Layer, arrays: dict[str, Array]) -> Array | None:
        if next(left, None) is None:
            raise OutOfCalls("the products of one layer take more calls than are allowed")
        return call(layer, arrays)

    return limited


def _without(call: Call, parts: Sequence[Reading]) -> Call:
    """Return the code without the sums that were read already."""

    def rest(layer: Layer, arrays: dict[str, Array]) -> Array | None:
        value = call(layer, arrays)
        for part in parts if value is not None else ():
            factors = [arrays[letter].reshape(-1) for letter in part.letters if letter in arrays]
            if len(factors) == len(part.letters):
                entries = zip(factors, part.places[1:], strict=True)
                products = math.prod((factor[at] for factor, at in entries), start=part.coefficients)
                total = np.bincount(part.places[0], products, math.prod(part.shape))
                value = np.asarray(value, np.float64) - total.reshape(part.shape)
        return value

    return rest


def _products(layer: Layer) -> int:
    """Return how many products right responses have, all together, without those in the padding."""
    g = layer.geometry
    return math.prod(layer.shapes["G"]) * g.taps


def _narrow(layer: Layer) -> tuple[bool, int]:
    """Return what makes a layer one to begin with: few products; where an axis has one pixel, much falls on it."""
    return min(layer.geometry.image[1:]) < LEAST_PIXELS, _products(layer)


def _is_telling(layer: Layer) -> bool:
    """Whether there are several images and planes."""
    return layer.images > 1 and layer.geometry.planes_per_group > 1
