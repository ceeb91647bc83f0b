"""Evidence for every size: the sides of an equation proved equal as relations, each compared with its code.

`refuted` proves a formula; it does not know any code. `Expected` is the bridge: what a side computes at one layer
according to its relation, product by product. On `coded` arrays the two are the same number only if the code sums the
same products. The page "Every size" of the guide has the argument.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians import symbolic
from jacobians.formula.prove import Comparison, Piece, Space, compare, points
from jacobians.geometry import Geometry
from jacobians.verify.identities import Draw, Identity, Role
from jacobians.verify.relations import WRITTEN, Term

__all__ = ["GROUPS", "OPTIONS", "Expected", "Refuted", "applies", "coded", "refuted", "seen", "told"]

Array = npt.NDArray[Any]

OPTIONS = range(1, 9)
"""Strides, and dilations, of the proofs: they multiply indices, so they have to be numbers."""
GROUPS = range(1, 5)

RESULT = {"responses": "S", "image": "X", "filters": "F", "bias": "b"}
ROLES: Mapping[str, tuple[str, Role]] = {
    "X": ("X", "image"),
    "F": ("F", "filters"),
    "G": ("g", "responses"),
    "b": ("b", "bias"),
}
# Bits of a digit that counts how often one product is taken: integers of magnitude below 2⁷ are read without doubt.
DIGIT = 8
# Pairs of entries up to which all products of a layer are told apart, each by a digit.
MOST_PAIRS = 1 << 12
# Products of a layer up to which all entries are compared; otherwise, on every axis, the first and last two and one
# between.
MOST_PRODUCTS = 1_000_000
# Products that are multiplied at once.
BLOCK = 1 << 20


# proofs ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refuted:
    """Two sides whose relations are not equal at every size."""

    sides: tuple[str, str]
    options: str
    comparison: Comparison


def applies(identity: Identity) -> bool:
    """Whether every side of an equation is put together of index maps."""
    return all(side in WRITTEN for side in identity.sides.values())


def groups_of(identity: Identity) -> list[int]:
    """Numbers of groups of which the equation speaks: not more than one where it has a single filter."""
    return [
        groups
        for groups in GROUPS
        if any(identity.applies(Geometry((groups * d, 1), (groups, d, 1), groups=groups)) for d in (1, 2))
    ]


def refuted(identity: Identity, stride: int) -> tuple[int, Refuted | None]:
    """Prove the sides of an equation equal, at all sizes and every dilation and number of groups.

    Parameters
    ----------
    identity : Identity
        One that `applies`.
    stride : int
        The stride.

    Returns
    -------
    combinations : int
        Combinations of stride, dilation and groups for which they were compared.
    refuted : Refuted or None
        The first two sides that differ, where two do.
    """
    (first, reference), *others = [(name, WRITTEN[side]) for name, side in identity.sides.items()]
    combinations = list(itertools.product(OPTIONS, groups_of(identity)))
    for dilation, groups in combinations:
        for name, terms in others:
            for options, comparison in _comparisons(reference, terms, stride, dilation, groups):
                if not comparison.equal:
                    return len(combinations), Refuted((first, name), options, comparison)
    return len(combinations), None


def _comparisons(
    left: Sequence[Term], right: Sequence[Term], stride: int, dilation: int, groups: int
) -> Iterator[tuple[str, Comparison]]:
    """Compare terms factor by factor: relations that are products are equal if their factors are."""
    for ours, theirs in zip(left, right, strict=True):
        if ours.form is not theirs.form:
            raise ValueError("terms of different forms have no factors to compare")
        axis, space = _with_options(ours.axis, ours.form.axis, stride, dilation)
        other, _ = _with_options(theirs.axis, theirs.form.axis, stride, dilation)
        yield f"stride {stride}, dilation {dilation}", compare([axis], [other], space)
        comparison = compare(ours.planes_at(groups), theirs.planes_at(groups), ours.form.planes)
        yield f"{groups} group{'s' if groups > 1 else ''}", comparison


# relations at one layer -----------------------------------------------------------------------------------------------


class Expected:
    """What the sides of equations compute at one draw according to their relations, entry by entry of those `seen`.

    Parameters
    ----------
    draw : Draw
        The layer and its arrays.
    """

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self._known: dict[Any, Array] = {}

    def __call__(self, identity: Identity, terms: Sequence[Term]) -> Array:
        """Return sums of products in the dtype of the draw, once for all relations that have the same points here."""
        met = tuple((term.form.axis.indices, layer_points(term, self.draw.geometry)) for term in terms)
        key = (identity.inputs, identity.entries, met)
        if key not in self._known:
            self._known[key] = self._summed(identity, terms)
        return self._known[key]

    def _summed(self, identity: Identity, terms: Sequence[Term]) -> Array:
        geometry, role = self.draw.geometry, identity.entries[1]
        result = RESULT[role]
        sums = np.zeros(math.prod(shape_of(result, geometry)), self.draw.G.dtype)
        for term in terms:
            factors = [letter for letter in identity.inputs if letter in term.form.arrays and letter != result]
            arrays = [getattr(self.draw, letter).ravel() for letter in factors]
            for where, *at in _products(term, [result, *factors], geometry):
                np.add.at(sums, where, math.prod(array[i] for array, i in zip(arrays, at, strict=True)))
        return sums[seen(geometry, role)]


def shape_of(letter: str, geometry: Geometry) -> tuple[int, ...]:
    """Return the shape of an array at one layer."""
    shapes = {"X": geometry.image, "F": geometry.filters, "b": geometry.filters[:1]}
    return shapes.get(letter, geometry.responses)


def seen(geometry: Geometry, role: Role) -> Array:
    """Return the flat indices of a result's entries that are compared: all, but of a large layer some on every axis."""
    shape = shape_of(RESULT[role], geometry)
    kept = [_kept(size, geometry) for size in shape]
    return np.ravel_multi_index(np.ix_(*kept), shape).ravel()


def _kept(size: int, geometry: Geometry) -> list[int]:
    if geometry.filters[0] * geometry.positions * geometry.taps <= MOST_PRODUCTS:
        return list(range(size))
    return sorted({each % size for each in (0, 1, size // 2, -2, -1)})


def _products(term: Term, letters: Sequence[str], geometry: Geometry) -> Iterator[list[Array]]:
    """Yield the flat indices of the arrays that meet, block by block, for those entries of the first that are seen."""
    planes, *axes = _tables(term, letters[0], geometry)
    step = max(1, BLOCK // max(1, math.prod(map(len, axes))))
    for first in range(0, len(planes), step):
        block = [planes[first : first + step], *axes]
        yield [_flat(letter, term, block, geometry) for letter in letters]


def _tables(term: Term, result: str, geometry: Geometry) -> list[Array]:
    """Return the points of planes and axes that lead to an entry of the result that is seen."""
    shape, tables = iter(shape_of(result, geometry)), []
    for found, columns in zip(layer_points(term, geometry), _columns(result, term, geometry), strict=True):
        table = np.array(found, np.int64)
        for column in columns:
            size = next(shape)
            table = table[np.isin(table[:, column], _kept(size, geometry))] if len(table) else table
        tables.append(table)
    return tables


def _flat(letter: str, term: Term, tables: Sequence[Array], geometry: Geometry) -> Array:
    """Return the flat index in an array of every product: the planes and every axis add their shares."""
    shape = shape_of(letter, geometry)
    steps = iter([math.prod(shape[axis + 1 :]) for axis in range(len(shape))])
    shares = []
    for table, columns in zip(tables, _columns(letter, term, geometry), strict=True):
        share = np.zeros(len(table), np.int64)
        for column in columns:
            step = next(steps)
            share += table[:, column] * step if len(table) else 0
        shares.append(share)
    return np.asarray(functools.reduce(np.add.outer, shares)).ravel()


def _columns(letter: str, term: Term, geometry: Geometry) -> list[list[int]]:
    """Return which entries of the points are indices of an array: of those of the planes, and of every axis."""
    planes, axis = term.form.arrays[letter]
    of_axis = [term.form.axis.indices.index(name) for name in axis]
    return [[term.form.planes.indices.index(name) for name in planes], *[of_axis] * geometry.spatial_ndim]


def layer_points(term: Term, geometry: Geometry) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """List the points of a relation at one layer: of the planes, and of every spatial axis.

    Parameters
    ----------
    term : Term
        The relation.
    geometry : Geometry
        The layer.

    Returns
    -------
    tuple of tuple of tuple of int
        Every combination of one point each is a product.
    """
    per_group = {"d'": geometry.planes_per_group, "n'": geometry.filters_per_group}
    planes = _points(term.planes_at(geometry.groups), term.form.planes, tuple(per_group.items()))
    return (planes, *(_axis_points(term, geometry, axis) for axis in range(geometry.spatial_ndim)))


def _axis_points(term: Term, geometry: Geometry, axis: int) -> tuple[tuple[int, ...], ...]:
    before, after = geometry.padding[axis]
    sizes = {
        "h": geometry.image[1 + axis],
        "k": geometry.filters[2 + axis],
        "p": before,
        "p'": after,
        "h'": geometry.responses[1 + axis],
        "t": geometry.tail[axis],
    }
    piece, space = _with_options(term.axis, term.form.axis, geometry.stride[axis], geometry.dilation[axis])
    return _points((piece,), space, tuple(sizes.items()))


@functools.cache
def _with_options(piece: Piece, space: Space, stride: int, dilation: int) -> tuple[Piece, Space]:
    numbers = {"s": stride, "δ": dilation}
    return piece.at(numbers), space.at(numbers)


# Layers share axes, and equations share sides.
@functools.cache
def _points(pieces: tuple[Piece, ...], space: Space, sizes: tuple[tuple[str, int], ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(points(pieces, space, dict(sizes)))


# arrays that tell products apart --------------------------------------------------------------------------------------


class Digits:
    """An integer of any length whose digits count products; NumPy's own zeros, which padding brings, add to it."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __add__(self, other: Any) -> Digits:
        return Digits(self.number + (other.number if type(other) is Digits else int(other)))

    def __mul__(self, other: Any) -> Digits:
        return Digits(self.number * (other.number if type(other) is Digits else int(other)))

    __radd__, __rmul__ = __add__, __mul__

    def __eq__(self, other: object) -> bool:
        return self.number == (other.number if isinstance(other, Digits) else other)

    def __hash__(self) -> int:
        return hash(self.number)


def coded(inputs: str, geometry: Geometry) -> Draw | None:
    """Return arrays on which a sum of products says which products it has, and how often each.

    Parameters
    ----------
    inputs : str
        The arrays to fill, letters of X, F, G and b; the others are 0.
    geometry : Geometry
        The layer.

    Returns
    -------
    Draw or None
        Powers of two in integers of any length, chosen so that each product is a digit of its own (Kronecker's
        substitution); None where that takes too many digits.
    """
    letters = inputs.replace("b", "")
    digits, powers = 1, {}
    for letter in reversed(letters):
        powers[letter] = digits
        digits *= math.prod(shape_of(letter, geometry))
    # A matrix has an entry for each pair of one array's entries, too.
    if digits ** (2 // len(letters)) > MOST_PAIRS:
        return None

    def entries(letter: str) -> Array:
        shape = shape_of(letter, geometry)
        first, step = (digits, 1) if letter == "b" else (0, powers.get(letter, 0))
        numbers = [
            Digits(1 << DIGIT * (first + step * at) if letter in inputs else 0) for at in range(math.prod(shape))
        ]
        return symbolic.object_array(numbers, shape)

    return Draw(geometry, *(entries(letter) for letter in "XFGb"))


def told(number: Any, inputs: str, geometry: Geometry) -> str:
    """Write the sum of products that a number on `coded` arrays stands for, in symbols; any other number as it is.

    Parameters
    ----------
    number : object
        An entry of a result.
    inputs : str
        The arrays that are filled.
    geometry : Geometry
        The layer.

    Returns
    -------
    str
        The sum, like ``g1F12 + g2F11``.
    """
    if not isinstance(number, Digits):
        return str(number)
    letters = inputs.replace("b", "")
    named = [symbolic.symbols(*ROLES[letter], geometry).ravel() for letter in letters]
    products = itertools.product(*named)
    biases = ((each,) for each in symbolic.symbols(*ROLES["b"], geometry).ravel())
    total, rest, base = 0, number.number, 1 << DIGIT
    for factors in itertools.chain(products, biases):
        if not rest:
            break
        digit = (rest + base // 2) % base - base // 2
        if digit:
            total += digit * math.prod(factors)
        rest = (rest - digit) >> DIGIT
    return symbolic.write(total, "text")
