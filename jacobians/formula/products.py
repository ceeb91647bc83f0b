"""Reading out which products code sums: the places of the factors of every product, with its coefficient.

A few entries of one factor at a time, chosen such that hardly two of them meet in one entry of a result, are given with
all entries of the other factor. All are distinct random integers, such that the number that comes tells which two were
multiplied. Where more than one product comes, fewer entries are given.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.errors import ShapeError
from jacobians.evidence import exact
from jacobians.formula.digits import read_groups
from jacobians.formula.powers import read_powers
from jacobians.formula.structure import Layer, Structure, sizes_of
from jacobians.formula.sums import read_sums
from jacobians.geometry import Geometry

__all__ = ["MOST_CALLS", "Reading", "layers", "read_products", "ways"]

Array = npt.NDArray[Any]
# One result for these arrays at a layer, None where there is none.
Call = Callable[[Layer, dict[str, Array]], Array | None]

# Calls for one formula.
MOST_CALLS = 200
# What counts of images, planes and filters, then taps, then responses are drawn from, how often: all axes are large,
# or all counts, or all response maps; besides, one size in turn is, so that no size follows from others.
SMALL, LARGE_SIZES, TAILS = (1, 2, 2, 3), (4, 9, 8), (0, 0, 1, 2)
DRAWN = (
    (SMALL, (3, 4, 5, 6), (3, 4, 5, 6), 7),
    ((4, 5, 8, 9), (1, 2, 3), (1, 2, 3), 3),
    ((1, 2), (2, 3), (8, 9, 10, 12), 3),
)
MOST_PRODUCTS = 10_000
# Pixels on an axis of the largest image.
LARGE = 2**16
# Bits of the significand that are left for coefficients.
SPARE_BITS = 3
# Bits that one call tells.
CALL_BITS = 50
# Calls that are few, whatever they tell.
FEW_CALLS = 24
# Coefficients that were read, which are tried before the ratio of two calls.
MOST_COEFFICIENTS = 24
# Of a product with its coefficient, and of the ratio of two.
ROUNDINGS = 10
# Fractions that coefficients are taken for.
MOST_DENOMINATOR = 5040


def layers(structure: Structure, options: Callable[[tuple[int, ...], tuple[int, ...]], Geometry]) -> Iterator[Layer]:
    """Yield the layers at which formulas are read, with other sizes each.

    Parameters
    ----------
    structure : Structure
        Axes and groups.
    options : callable
        Makes the geometry of an image of these shape and filters, with the stride, padding and dilation.

    Yields
    ------
    Layer
        Small ones, of which one size is large in turn.

    Raises
    ------
    Unreadable
        If taps reach over more pixels than the largest image has.
    """
    count = structure.spatial_ndim
    generator = np.random.default_rng(7)
    first, *others = ([(*each, None)] * times for *each, times in DRAWN)
    in_turn = [(SMALL, SMALL, SMALL, each) for each in itertools.product(LARGE_SIZES, range(3 + 2 * count))]
    for counts, taps, responses, large in itertools.chain(first, in_turn, *others):
        drawn = ((counts, 3), (taps, count), (responses, count))
        sizes = np.concatenate([generator.choice(some, number) for some, number in drawn])
        if large:
            sizes[large[1]] = large[0]
        if math.prod(sizes.tolist()) > MOST_PRODUCTS:
            continue
        (images, planes, filters), k, out = sizes[:3].tolist(), sizes[3 : 3 + count].tolist(), sizes[3 + count :]
        shape = (structure.groups * filters, planes, *k)
        one = _largest(options, (structure.groups * planes, *(LARGE,) * count), shape)
        parts = zip(out.tolist(), one.stride, one.extent, generator.choice(TAILS, count), one.padding, strict=True)
        image = [(each - 1) * s + extent + min(more, s - 1) - sum(zeros) for each, s, extent, more, zeros in parts]
        # Behind long padding an image of one pixel has more responses.
        image = [int(size) if size > 0 else 1 + at for at, size in enumerate(image)]
        try:
            yield Layer(options((structure.groups * planes, *image), shape), images)
        except ShapeError:
            continue


def _largest(
    options: Callable[[tuple[int, ...], tuple[int, ...]], Geometry], image: tuple[int, ...], filters: tuple[int, ...]
) -> Geometry:
    """Return the geometry of a layer that is large enough to tell stride, dilation and padding for these taps."""
    try:
        return options(image, filters)
    except (ShapeError, OverflowError) as error:
        raise Unreadable("no layer is large enough for these options") from error


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """The products that code sums at one layer.

    Attributes
    ----------
    layer : Layer
        The layer.
    shape : tuple of int
        Of the result.
    letters : tuple of str
        The factors.
    places : ndarray of int64, shape (1 + factors, products)
        Where each product stands in the result, and its factors in their arrays, in the order of memory.
    coefficients : ndarray of float64, shape (products,)
        The factor of each product.
    way : Way or None
        How products were told by digits; None where they were not.
    """

    layer: Layer
    shape: tuple[int, ...]
    letters: tuple[str, ...]
    places: Array
    coefficients: Array
    way: Way | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of the layer by their names."""
        return sizes_of(self.layer)


class Unreadable(Exception):  # noqa: N818  # the code under audit is not at fault for it
    """Code whose sums cannot be read out: it raises, or is not linear."""


def read_products(
    call: Call,
    layer: Layer,
    result: str,
    letters: tuple[str, ...],
    dtype: str,
    structure: Structure,
    first: Sequence[Way] = (),
    most: int = MOST_CALLS,
) -> Reading | None:
    """Read which products of two factors, or entries of one, code sums at one layer.

    Parameters
    ----------
    call : callable
        The code: takes the layer and its arrays, those that are not given being 0, and returns the result.
    layer : Layer
        The layer.
    result : str
        S, dX, dF or db.
    letters : tuple of str
        The factors, at most two of X, F, b and G.
    dtype : str
        In which the code computes.
    structure : Structure
        Axes and groups.
    first : sequence of Way
        How products are told by digits, if they can be, in this order.
    most : int
        Groups of entries that may be given one after the other, where nothing else tells the products.

    Returns
    -------
    Reading or None
        None where a call gives nothing, or other shapes than the one before, or the groups are more.
    """
    reader = _Reader(call, layer, dtype, letters)
    if len(letters) == 1 and (found := reader.sums()):
        return found
    if len(letters) < 2:
        return reader.read([tuple(np.arange(reader.count(letter)) for letter in letters)])
    for way in first:
        if found := reader.places(way, structure):
            return found
    if found := reader.powers():
        return found
    groups = ways(result, letters, structure)[0].groups(layer, structure)
    if len(groups) > most:
        return None
    return reader.read([(group, np.arange(reader.count(letters[1]))) for group in groups])


@dataclasses.dataclass(frozen=True)
class Way:
    """Which entries of one factor are given together: those that differ in these indices alone."""

    letter: str
    together: frozenset[str]

    def groups(self, layer: Layer, structure: Structure) -> list[Array]:
        """Return the places of the entries of each group."""
        tensor = structure.tensors[self.letter]
        shape = tensor.shape(sizes_of(layer))
        alone = [at for at, axis in enumerate(tensor.axes) if axis.name not in self.together]
        rows = np.moveaxis(np.arange(math.prod(shape)).reshape(shape), alone, range(len(alone)))
        return list(rows.reshape(math.prod(shape[at] for at in alone), -1))

    def cost(self, layer: Layer, structure: Structure) -> int:
        """Return how many calls it takes to tell a product of each group, roughly."""
        shape = structure.tensors[self.letter].shape(sizes_of(layer))
        axes = structure.tensors[self.letter].axes
        groups = math.prod(size for size, axis in zip(shape, axes, strict=True) if axis.name not in self.together)
        return groups * max(math.prod(each) for each in layer.shapes.values()).bit_length() // CALL_BITS


def ways(result: str, letters: Sequence[str], structure: Structure) -> list[Way]:
    """Return ways to give entries of one factor together, so that no two of them meet in one entry of the result.

    Parameters
    ----------
    result : str
        S, dX, dF or db.
    letters : sequence of str
        The factors.
    structure : Structure
        Axes and groups.

    Returns
    -------
    list of Way
        In right code, entries do not meet that differ in indices that the result has, too; the last ways give every
        entry alone.
    """
    own = {axis.name for axis in structure.tensors[result].axes}
    found = []
    for left_out in (set[str](), {"g"}, own):
        for letter in letters:
            names = {axis.name for axis in structure.tensors[letter].axes}
            found.append(Way(letter, frozenset((names & own).difference(left_out))))
    return list(dict.fromkeys(found))


class _Reader:
    """Calls at one layer, and what they gave."""

    def __init__(self, call: Call, layer: Layer, dtype: str, letters: tuple[str, ...]) -> None:
        self.call, self.layer, self.dtype, self.letters = call, layer, dtype, letters
        bits = exact.SIGNIFICAND.get(dtype, 31 if dtype == "int32" else 53) - SPARE_BITS
        self.bits = {0: (), 1: (bits,), 2: (bits // 3, bits - bits // 3)}[len(letters)]
        self.generator = np.random.default_rng(20)
        self.shape: tuple[int, ...] | None = None
        self.coefficients: list[float] = [2.0, -1.0, 0.5]

    def count(self, letter: str) -> int:
        return math.prod(self.layer.shapes[letter])

    def sums(self) -> Reading | None:
        """Read sums of the entries of one array by digits; None where they cannot be told so."""

        def give(numbers: Array) -> Array | None:
            return self._given([numbers])

        count = self.count(self.letters[0])
        # Whole numbers are added without rounding; a common factor rounds.
        unit = float(exact.gamma(ROUNDINGS, self.dtype)) if self.dtype in exact.SIGNIFICAND else 0.0
        found = read_sums(give, count, sum(self.bits), unit, self._scale(give, count))
        return found and Reading(self.layer, self.shape or (), self.letters, *found)

    def _scale(self, give: Callable[[Array], Array | None], count: int) -> float:
        """Return the number that single entries are multiplied with; 1 where the first and last show none."""
        for at in dict.fromkeys((0, count - 1, count // 2)):
            value = give((np.arange(count) == at).astype(np.float64))
            some = np.unique(value[value != 0]) if value is not None else np.zeros(0)
            if len(some):
                return float(min(some, key=abs))
        return 1.0

    def places(self, way: Way, structure: Structure) -> Reading | None:
        """Read one product at most of each group of entries, and one factor for all; None where that is not so."""
        groups = way.groups(self.layer, structure)
        counts = [self.count(letter) for letter in self.letters]
        turn = slice(None, None, 1 if way.letter == self.letters[0] else -1)
        found = read_groups(
            lambda numbers: self._given(numbers[turn]),
            groups,
            (counts[turn][0], counts[turn][1]),
            sum(self.bits),
            max(FEW_CALLS, len(groups) // 2),
        )
        if found is None:
            return None
        (place, *factors), scale = found
        return self._confirmed(np.stack([place, *factors[turn]]), np.full(len(place), scale), way)

    def powers(self) -> Reading | None:
        """Read several products of each sum, of one factor; None where that is not so."""
        if self.dtype not in exact.SIGNIFICAND:
            return None
        counts = (self.count(self.letters[0]), self.count(self.letters[1]))
        found = read_powers(self._given, counts, sum(self.bits), float(exact.gamma(ROUNDINGS, self.dtype)))
        return found and self._confirmed(*found)

    def _confirmed(self, places: Array, by: Array, way: Way | None = None) -> Reading | None:
        """Return these products if random numbers give their sums."""
        count = int(np.bincount(places[0], minlength=1).max())
        most = max(int((2.0 ** sum(self.bits) / max(count, 1)) ** 0.5), 3)
        drawn = [self.generator.integers(1, most, self.count(letter)).astype(float) for letter in self.letters]
        value = self._given(drawn)
        if value is None or self.shape is None:
            return None
        products = by * drawn[0][places[1]] * drawn[1][places[2]]
        total, size = (np.bincount(places[0], each, value.size) for each in (products, np.abs(products)))
        unit = float(exact.gamma(ROUNDINGS + count, self.dtype)) if self.dtype in exact.SIGNIFICAND else 0.0
        if np.any(np.abs(total - value) > unit * size):
            return None
        return Reading(self.layer, self.shape, self.letters, places, by, way)

    def _given(self, numbers: list[Array]) -> Array | None:
        """Return the result for numbers in all entries of the factors."""
        values = self._values(tuple(np.arange(len(each)) for each in numbers), [numbers])
        return None if values is None else np.asarray(values[0])

    def read(self, parts: Sequence[tuple[Array, ...]]) -> Reading | None:
        found: list[tuple[Array, Array]] = []
        for part in parts:
            products = self._part(part)
            if products is None or self.shape is None:
                return None
            found += products
        every = np.concatenate([each for each, _ in found], axis=1)
        places, which = np.unique(every, axis=1, return_inverse=True)
        by = np.bincount(which.reshape(-1), np.concatenate([each for _, each in found]), places.shape[1])
        kept = by != 0
        assert self.shape is not None
        return Reading(self.layer, self.shape, self.letters, places[:, kept], by[kept])

    def _part(self, part: tuple[Array, ...]) -> list[tuple[Array, Array]] | None:
        """Read the products of some entries with others; where several come in one sum, of fewer."""
        found = list[tuple[Array, Array]]()
        waiting = [part]
        while waiting:
            piece = waiting.pop()
            read = self._single(piece)
            if read is None:
                return None
            products, mixed = read
            if not mixed:
                found.append(products)
                continue
            if all(len(each) == 1 for each in piece):
                raise Unreadable("single products cannot be told apart: the result is not linear in its factors")
            waiting += _halves(piece)
        return found

    def _single(self, piece: tuple[Array, ...]) -> tuple[tuple[Array, Array], bool] | None:
        """Give these entries; return the products, and whether some sums could not be told apart."""
        entries = math.prod(len(each) for each in piece)
        wanted = math.ceil((2 * math.log2(entries) + 10) / sum(self.bits)) if piece else 1
        codes = [self._codes(piece) for _ in range(wanted)]
        values = self._values(piece, codes)
        if values is None:
            return None
        told = _Told(np.flatnonzero(np.any(values != 0, axis=0)))
        for coefficient in (1.0, *self.coefficients):
            if len(told.left):
                found = _matched(values[:, told.left] / coefficient, codes)
                told.add(found, np.full(len(found), coefficient))
        if len(told.left):
            more = [self._codes(piece) for _ in range(wanted)]
            second = self._values(piece, more)
            if second is None:
                return None
            self._by_ratio(told, np.concatenate([values, second]), codes + more)
        each = np.unravel_index(np.concatenate(told.products), [1, *(len(one) for one in piece)])[1:]
        rows = [one[index] for one, index in zip(piece, each, strict=True)]
        return (np.stack([np.concatenate(told.places), *rows]), np.concatenate(told.by)), bool(len(told.left))

    def _by_ratio(self, told: _Told, values: Array, codes: Sequence[Sequence[Array]]) -> None:
        """Find products with any coefficient: the ratio of two calls does not know it."""
        found = _ratios(values[:, told.left], codes, self.dtype)
        by = np.ones(len(found))
        hit = found >= 0
        by[hit] = rational(values[0, told.left[hit]] / _table(codes)[0, found[hit]])
        told.add(found, by)
        self.coefficients = list(dict.fromkeys([*self.coefficients, *by[hit].tolist()]))[:MOST_COEFFICIENTS]

    def _codes(self, piece: tuple[Array, ...]) -> list[Array]:
        found = []
        for one, bits in zip(piece, self.bits, strict=True):
            low = 2 ** (bits - 1)
            drawn = self.generator.choice(low, len(one), replace=low < len(one))
            found.append((drawn + low).astype(np.float64))
        return found

    def _values(self, piece: tuple[Array, ...], codes: Sequence[Sequence[Array]]) -> Array | None:
        rows = []
        for code in codes:
            arrays: dict[str, Array] = {}
            for letter, one, numbers in zip(self.letters, piece, code, strict=True):
                array = np.zeros(self.layer.shapes[letter])
                array.reshape(-1)[one] = numbers
                arrays[letter] = array
            value = self.call(self.layer, arrays)
            if value is None or (self.shape is not None and value.shape != self.shape):
                return None
            self.shape = value.shape
            rows.append(np.asarray(value, np.float64).ravel())
        values = np.stack(rows)
        return values if np.all(np.isfinite(values)) else None


class _Told:
    """Entries of a result whose products have been told, and those that are left."""

    def __init__(self, left: Array) -> None:
        self.left = left
        self.places, self.products, self.by = [left[:0]], [left[:0]], [np.zeros(0)]

    def add(self, found: Array, by: Array) -> None:
        """Add one product for each entry that is left, or −1, and its coefficient."""
        hit = found >= 0
        self.places.append(self.left[hit])
        self.products.append(found[hit])
        self.by.append(by[hit])
        self.left = self.left[~hit]


def _halves(piece: tuple[Array, ...]) -> list[tuple[Array, ...]]:
    """Cut the entries of the array of which there are more into two."""
    longest = max(range(len(piece)), key=lambda at: len(piece[at]))
    return [(*piece[:longest], half, *piece[longest + 1 :]) for half in np.array_split(piece[longest], 2)]


def _table(codes: Sequence[Sequence[Array]]) -> Array:
    """Return the products of all pairs of entries, by call."""
    return np.stack([functools.reduce(np.multiply.outer, code, np.ones(())).ravel() for code in codes])


def _matched(values: Array, codes: Sequence[Sequence[Array]]) -> Array:
    """Find the pair of entries whose product came in all calls; −1 where it is none."""
    table = _table(codes)
    keys, wanted = (_columns(each) for each in (table, values))
    order = np.argsort(keys, kind="stable")
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    found = order[at]
    return np.where(np.all(table[:, found] == values, axis=0), found, -1)


def _columns(rows: Array) -> Array:
    """Return each column as one value that can be sorted."""
    columns = np.ascontiguousarray(rows.T)
    return columns.view(np.dtype((np.void, columns.itemsize * len(rows)))).ravel()


def _ratios(values: Array, codes: Sequence[Sequence[Array]], dtype: str) -> Array:
    """Find the pair of entries whose products came in all calls up to a common coefficient; −1 where it is none."""
    table = _table(codes)
    ratios = table[1:] / table[0]
    with np.errstate(all="ignore"):
        wanted = values[1:] / values[0]
    # Each number has been rounded once or twice, in the product and by the coefficient; the ratio twice that, and once.
    unit = float(exact.gamma(ROUNDINGS, dtype)) if dtype in exact.SIGNIFICAND else 0.0
    found = np.full(values.shape[1], -1)
    for at in range(values.shape[1]):
        off = np.abs(ratios - wanted[:, at : at + 1]) / ratios
        worst = off.max(axis=0)
        best = int(np.argmin(worst))
        if worst[best] <= unit:
            found[at] = best
    return found


def rational(values: Array) -> Array:
    """Return numbers that are simple fractions but for rounding as the nearest float to the fraction."""
    found = np.array([float(Fraction(each).limit_denominator(MOST_DENOMINATOR)) for each in np.unique(values)])
    nearest = dict(zip(np.unique(values).tolist(), found.tolist(), strict=True))
    unit = float(exact.gamma(ROUNDINGS, "float64"))
    simple = np.array([nearest[each] for each in values.tolist()])
    return np.where(np.abs(simple - values) <= unit * np.abs(values), simple, values)
