"""Relations between indices: what a formula is, and the numbers that it gives.

A layer is the trilinear form of L1: products of an entry of the response map (or of its gradient), an entry of the
filters and an entry of the image, over all index tuples that satisfy one equation per axis. A `Term` is such a set of
products, right or wrong; a `Formula` is a sum of terms for one result.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Axis", "Coefficient", "Condition", "Equation", "Formula", "Linear", "Tensor", "Term", "View", "fold"]

Array = npt.NDArray[Any]
Sizes = Mapping[str, int]
Columns = dict[str, Array]
# Of formulas at one layer, tuples by free indices and equations, and sums by terms: by identity, as fractions are slow
# to hash, and with what is meant, so that no other one can take its place.
Known = Mapping[Any, tuple[Any, Any]]

# How indices beyond a border are brought back, on which side, and remainders of small numbers.
KINDS = ("wrap", "clamp", "reflect", "symmetric")
FLOOR = "floor"
FOLDS = (*KINDS, *(f"{kind} {side}" for side in ("before", "behind") for kind in KINDS), "mod 2", "mod 3")


def size_of(name: str, sizes: Sizes) -> int:
    """Return a size of a layer, or what is derived from sizes by its name: ``W'÷4``, ``min(K,L)``, ``K·L``.

    Parameters
    ----------
    name : str
        The name of a size; sizes joined by ``·``; a size and a number joined by ``÷``, which rounds down; ``min(…)`` of
        sizes and numbers.
    sizes : mapping of str to int
        The sizes of a layer by their names.

    Returns
    -------
    int
        Its value at this layer.

    Raises
    ------
    KeyError
        If there is no such size.
    """
    if name in sizes:
        return sizes[name]
    if name.startswith("min("):
        return min(int(each) if each.isdigit() else size_of(each, sizes) for each in name[4:-1].split(","))
    if "÷" in name:
        size, _, step = name.partition("÷")
        return size_of(size, sizes) // int(step)
    if "·" in name:
        return math.prod(size_of(each, sizes) for each in name.split("·"))
    raise KeyError(name)


def _product(name: str, columns: Mapping[str, Array], sizes: Sizes) -> Any:
    """Return a size, or the product of a size and an index: ``n/g·G.g``."""
    size, dot, index = name.rpartition("·")
    return size_of(size, sizes) * columns[index] if dot and index in columns else size_of(name, sizes)


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear combination of indices and sizes with rational coefficients, and a constant.

    Names are those of indices, of sizes, and of products of a size and an index.
    """

    terms: tuple[tuple[str, Fraction], ...] = ()
    constant: Fraction = Fraction(0)

    @classmethod
    def of(cls, terms: Mapping[str, Any], constant: Any = 0) -> Linear:
        """Make one of coefficients by name; those that are 0 are left out."""
        kept = tuple((name, Fraction(each)) for name, each in terms.items() if each)
        return cls(kept, Fraction(constant))

    def coefficient(self, name: str) -> Fraction:
        """Return the coefficient of a name, 0 where it does not occur."""
        return dict(self.terms).get(name, Fraction(0))

    @functools.cached_property
    def denominator(self) -> int:
        """The least common denominator of all coefficients."""
        return math.lcm(self.constant.denominator, *(each.denominator for _, each in self.terms))

    @functools.cached_property
    def _hash(self) -> int:
        return hash((self.terms, self.constant))

    def __hash__(self) -> int:
        """Hash it once: searches for formulas look combinations up, and hashing fractions takes long."""
        return self._hash

    @functools.cached_property
    def _whole(self) -> tuple[tuple[tuple[str, int], ...], int]:
        """The coefficients and the constant times the denominator."""
        by = self.denominator
        return tuple((name, int(each * by)) for name, each in self.terms), int(self.constant * by)

    def scaled(self, columns: Mapping[str, Array], sizes: Sizes) -> Array:
        """Return the value times the denominator, in integers."""
        terms, constant = self._whole
        total: Any = np.int64(constant)
        for name, each in terms:
            value: Any = columns[name] if name in columns else _product(name, columns, sizes)
            total = total + value * each
        return np.asarray(total)

    def at(self, sizes: Sizes) -> int:
        """Return the value of a combination of sizes alone, rounded down."""
        return int(self.scaled({}, sizes)) // self.denominator


def fold(values: Array, size: int, kind: str) -> Array:
    """Bring indices back into 0 … size − 1 as code does that reads beyond a border.

    Parameters
    ----------
    values : ndarray of int64
        Indices, also such as lie outside.
    size : int
        Of the axis.
    kind : str
        "wrap", modulo the size; "clamp", to the nearest; "reflect" and "symmetric", mirrored at the first and last
        entry, or before and behind them; followed by "before" or "behind" where that is done on one side only; "mod 2"
        and "mod 3", a remainder; empty for not at all.

    Returns
    -------
    ndarray of int64
        Of the same shape.
    """
    name, _, side = kind.partition(" ")
    if name == "mod":
        return values % int(side)
    if side:
        beyond = values < 0 if side == "before" else values >= size
        return np.where(beyond, fold(values, size, name), values)
    period = {"reflect": max(2 * size - 2, 1), "symmetric": 2 * size}.get(name)
    if period is not None:
        values = values % period
        mirrored: Array = np.minimum(values, 2 * size - (2 if name == "reflect" else 1) - values)
        return mirrored
    brought: Array = values % size if name == "wrap" else np.clip(values, 0, size - 1) if name == "clamp" else values
    return brought


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis of an array: the name of its index, and the name of its size."""

    name: str
    size: str


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An array of a layer, with its axes in the order of memory."""

    letter: str
    axes: tuple[Axis, ...]

    def shape(self, sizes: Sizes) -> tuple[int, ...]:
        """Return its shape at a layer."""
        return tuple(size_of(axis.size, sizes) for axis in self.axes)


@dataclasses.dataclass(frozen=True)
class View:
    """A tensor whose memory is read, or was written, in an order of axes that need not be its own.

    `order` names positions of axes. Read: the memory is unravelled as if the axes stood in this order. Written: the
    entries lie in memory in this order, and it is unravelled in the tensor's own. `steps` are pairs of an axis and a
    step, in which the indices of the axis are taken: those that leave the remainder 0 first, then those that leave 1,
    …; negative ones undo that. The steps `PAIRS` and `FIRST_TWO` exchange neighbours. With `ones`, every entry counts
    as 1. An index of the tensor is written ``letter.name``.
    """

    tensor: Tensor
    order: tuple[int, ...] = ()
    written: bool = False
    steps: tuple[tuple[int, int], ...] = ()
    ones: bool = False

    @functools.cached_property
    def joined(self) -> dict[str, tuple[str, ...]]:
        """Several indices as one, row by row: ``F.+``, group and filter; ``X.*``, all that are spatial."""
        letter = self.tensor.letter
        at = self.names.index(f"{letter}.g") if f"{letter}.g" in self.names else len(self.names)
        spatial = (f"{letter}.{name}" for axis in AXES for name in axis)
        groups: dict[str, Sequence[str]] = {
            "+": self.names[at : at + 2],
            "*": [name for name in spatial if name in self.names],
        }
        return {f"{self.tensor.letter}.{key}": tuple(some) for key, some in groups.items() if len(some) > 1}

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The indices, in the tensor's own order of axes."""
        return tuple(f"{self.tensor.letter}.{axis.name}" for axis in self.tensor.axes)

    def columns(self, flat: Array, sizes: Sizes) -> Columns:
        """Return the indices of entries that are given by their places in memory."""
        shape = self.tensor.shape(sizes)
        if self.written:
            flat = self._ravelled(np.unravel_index(flat, shape), shape)
        order = self.order if self.order and not self.written else tuple(range(len(shape)))
        unravelled = np.unravel_index(flat, [shape[at] for at in order])
        found = [unravelled[order.index(at)] for at in range(len(shape))]
        return dict(zip(self.names, self._stepped(found, shape, 1), strict=True))

    def flat(self, columns: Mapping[str, Array], sizes: Sizes) -> Array:
        """Return the places in memory of entries that are given by their indices."""
        shape = self.tensor.shape(sizes)
        indices = self._stepped([columns[name] for name in self.names], shape, -1)
        if self.order and not self.written:
            return self._ravelled(indices, shape)
        flat = np.asarray(np.ravel_multi_index(indices, shape))
        if not self.written:
            return flat
        found = np.unravel_index(flat, [shape[at] for at in self.order])
        own = [found[self.order.index(at)] for at in range(len(shape))]
        return np.asarray(np.ravel_multi_index(own, shape))

    def _stepped(self, indices: Sequence[Array], shape: Sequence[int], sign: int) -> list[Array]:
        found = list(indices)
        for axis, step in self.steps:
            found[axis] = stepped(shape[axis], step if step in EXCHANGED else sign * step)[found[axis]]
        return found

    def _ravelled(self, indices: Sequence[Array], shape: Sequence[int]) -> Array:
        ordered = [indices[at] for at in self.order]
        return np.asarray(np.ravel_multi_index(ordered, [shape[at] for at in self.order]))


# Steps of a view that exchange neighbours, 1, 0, 3, 2, …, and 1, 0, 2, 3, …, in words.
PAIRS, FIRST_TWO = 0, 1
EXCHANGED = {PAIRS: "in pairs", FIRST_TWO: "at 0 and 1"}


def stepped(size: int, step: int) -> Array:
    """Return 0 … size − 1 in steps: 0, step, 2·step, …, 1, step + 1, …; for a negative step, where each stands."""
    if step in EXCHANGED:
        exchanged = np.arange(size - size % 2 if step == PAIRS else min(size - size % 2, 2))
        return np.concatenate([exchanged ^ 1, np.arange(len(exchanged), size)])
    order = np.argsort(np.arange(size) % abs(step), kind="stable")
    return np.argsort(order) if step < 0 else order


@dataclasses.dataclass(frozen=True)
class Equation:
    """An index as a function of free indices and of sizes: a linear combination, folded at the border.

    Where the combination has a denominator, the tuples take part for which it is whole; for the fold "floor", it is
    rounded down.
    """

    index: str
    value: Linear
    fold: str = ""


@dataclasses.dataclass(frozen=True)
class Condition:
    """Which index tuples take part: ``low ≤ form ≤ high``; or only the first or last `form` of every entry of a result.

    `modulus` other than 0 takes the form's remainder. `of` is "first" or "last": the form is then the distance of an
    index to its first, or last, value among the tuples of the same entry of the result.
    """

    form: Linear
    low: Linear | None = None
    high: Linear | None = None
    modulus: int = 0
    of: str = ""


@dataclasses.dataclass(frozen=True)
class Coefficient:
    """The factor of each product: a number, times powers of sizes, times powers of counts of products.

    `counts` are pairs of an index and a power: the number of tuples that share this index, on its axis alone.
    """

    number: Fraction = Fraction(1)
    powers: tuple[tuple[str, int], ...] = ()
    counts: tuple[tuple[str, int], ...] = ()

    def at(self, sizes: Sizes) -> Fraction:
        """Return the factor at a layer, without the counts."""
        return self.number * math.prod(
            (Fraction(size_of(name, sizes)) ** power for name, power in self.powers), start=Fraction(1)
        )


@dataclasses.dataclass(frozen=True)
class Term:
    """A set of products, each with a coefficient: `views` of the result and of its factors, equations and conditions.

    Indices without an equation are free. All `conditions` hold; a tuple for which all of `excluded` hold is left out.
    """

    views: tuple[View, ...]
    equations: tuple[Equation, ...]
    conditions: tuple[Condition, ...] = ()
    excluded: tuple[Condition, ...] = ()
    coefficient: Coefficient = Coefficient()

    @functools.cached_property
    def free(self) -> tuple[str, ...]:
        """The indices without an equation."""
        bound = {name for each in self.equations for name in self.joined.get(each.index, (each.index,))}
        return tuple(name for view in self.views for name in view.names if name not in bound)

    @property
    def key(self) -> tuple[Any, ...]:
        """What its tuples depend on at a layer."""
        return self.free, id(self.equations)

    @functools.cached_property
    def joined(self) -> dict[str, tuple[str, ...]]:
        """Names of several indices as one."""
        return {name: some for view in self.views for name, some in view.joined.items()}

    def with_ones(self, letter: str) -> Term:
        """Return the term with ones in the place of a factor."""
        views = tuple(
            dataclasses.replace(each, ones=True) if each.tensor.letter == letter else each for each in self.views
        )
        return dataclasses.replace(self, views=views)

    @functools.cached_property
    def axes(self) -> dict[str, Axis]:
        """The axes by the names of their indices."""
        return {name: axis for view in self.views for name, axis in zip(view.names, view.tensor.axes, strict=True)}

    def size(self, name: str) -> str:
        """Return the name of the size of an index, or of several as one."""
        if name in self.axes:
            return self.axes[name].size
        some = [self.axes[each].size for each in self.joined[name]]
        return some[-1].partition("/")[0] if name.endswith("+") else "·".join(some)

    def tuples(self, sizes: Sizes, out: Sequence[int] | None = None) -> Columns:
        """Enumerate the index tuples at a layer that equations and arrays allow, without the conditions.

        Parameters
        ----------
        sizes : mapping of str to int
            The layer.
        out : sequence of int, optional
            The shape of the result, where it is not the right one.

        Returns
        -------
        dict of str to ndarray
            One column per index, in the order of `free` and then of the equations.
        """
        shape, columns, inside = self._grid(sizes, out)
        every = np.empty((len(columns), *shape), np.int64)
        for row, column in enumerate(columns.values()):
            every[row] = column
        kept = every.reshape(len(columns), -1).take(np.flatnonzero(inside), axis=1)
        return dict(zip(columns, kept, strict=True))

    def _grid(self, sizes: Sizes, out: Sequence[int] | None) -> tuple[tuple[int, ...], Columns, Array]:
        """Return a grid of the free indices: its shape, the value of every index, and where all lie in their arrays."""
        # Values have the axes of the grid on which they depend alone, so that an equation takes as long as its own
        # indices, not as all tuples.
        limits = {name: size_of(axis.size, sizes) for name, axis in self.axes.items()}
        if out is not None:
            result = self.views[0]
            limits |= dict(zip(result.names, out, strict=True))
        limits |= {name: math.prod(limits[each] for each in some) for name, some in self.joined.items()}
        shape = tuple(limits[name] for name in self.free)
        columns: Columns = dict(zip(self.free, np.indices(shape, dtype=np.int64, sparse=True), strict=True))
        inside = np.ones((), bool)
        for each in self.equations:
            scaled, by = each.value.scaled(columns, sizes), each.value.denominator
            value = scaled // by
            if each.fold != FLOOR:
                inside = inside & (scaled % by == 0)
            value = fold(value, limits[each.index], each.fold) if limits[each.index] else value
            allowed = (value >= 0) & (value < limits[each.index])
            inside, value = inside & allowed, np.where(allowed, value, 0)
            some = self.joined.get(each.index, (each.index,))
            columns |= {some[0]: value} if len(some) == 1 else _apart(value, some, limits)
        return shape, columns, np.broadcast_to(inside, shape)

    def flats(self, columns: Columns, sizes: Sizes) -> Columns:
        """Return several indices as one, row by row, where all of them are given."""
        found: Columns = {}
        for joined, names in self.joined.items():
            if all(name in columns for name in names):
                total: Any = np.int64(0)
                for name in names:
                    total = total * size_of(self.axes[name].size, sizes) + columns[name]
                found[joined] = np.asarray(total)
        return found

    def select(self, columns: Columns, sizes: Sizes) -> Array:
        """Return which of these tuples the conditions let take part."""
        count = len(next(iter(columns.values())))
        result = [columns[name] for name in self.views[0].names]
        if self.conditions or self.excluded:
            columns = columns | self.flats(columns, sizes)
        kept = np.ones(count, bool)
        for each in self.conditions:
            kept &= holds(each, columns, sizes, result, kept)
        if self.excluded:
            hole = kept.copy()
            for each in self.excluded:
                hole &= holds(each, columns, sizes, result, hole)
            kept &= ~hole
        return kept

    def products(
        self, sizes: Sizes, out: Sequence[int] | None = None, *, known: Known | None = None
    ) -> tuple[Array, Array]:
        """Return the places in memory of result and factors of every product, and the coefficients.

        Parameters
        ----------
        sizes : mapping of str to int
            The layer.
        out : sequence of int, optional
            The shape of the result, where it is not the right one.
        known : mapping, optional
            The tuples of other terms at the same layer, which those with the same equations share.

        Returns
        -------
        places : ndarray of int64, shape (len(views), products)
            Of the result and of every factor.
        coefficients : ndarray of float64, shape (products,)
            The factor of every product.
        """
        _, columns = (known or {}).get(self.key if out is None else None, (None, None))
        if columns is None and not (self.conditions or self.excluded or self.coefficient.counts):
            shape, columns, inside = self._grid(sizes, out)
            at = np.flatnonzero(inside)
            places = np.zeros((len(self.views), len(at)), np.int64)
            if len(at):  # else an array may have no entries, and so no places
                for row, flat in zip(places, self._places(columns, sizes, out), strict=True):
                    row[...] = np.broadcast_to(flat, shape).reshape(-1)[at]
            return places, self._coefficients(columns, np.ones(len(at), bool), sizes)
        columns = self.tuples(sizes, out) if columns is None else columns
        kept = self.select(columns, sizes)
        found = columns if kept.all() else {name: column[kept] for name, column in columns.items()}
        return np.stack(self._places(found, sizes, out)), self._coefficients(columns, kept, sizes)

    def _places(self, columns: Columns, sizes: Sizes, out: Sequence[int] | None) -> list[Array]:
        """Return the places in memory of the result and of every factor."""
        result = self.views[0]
        if out is None or result.order:
            first = result.flat(columns, sizes)
        else:
            first = np.asarray(np.ravel_multi_index([columns[name] for name in result.names], tuple(out)))
        return [first, *(view.flat(columns, sizes) for view in self.views[1:])]

    def _coefficients(self, columns: Columns, kept: Array, sizes: Sizes) -> Array:
        by = np.full(int(kept.sum()), float(self.coefficient.at(sizes)))
        for name, power in self.coefficient.counts:
            by = by * counted(columns, name)[kept].astype(np.float64) ** power
        return by


def _apart(flat: Array, names: Sequence[str], limits: Mapping[str, int]) -> Columns:
    """Return the indices of which one is made, row by row."""
    return dict(zip(names, np.unravel_index(flat, [max(limits[name], 1) for name in names]), strict=True))


def counted(columns: Columns, name: str) -> Array:
    """Count, for every tuple, how many pairs of a response and a tap meet at its index, on the axis of the index.

    Parameters
    ----------
    columns : dict of str to ndarray
        Tuples, one column per index.
    name : str
        An index, as ``X.y``.

    Returns
    -------
    ndarray of int64
        The number of distinct values of the other indices of this axis among the tuples with the same index.
    """
    some = [columns[name], *(columns[each] for each in columns if each != name and same_axis(each, name))]
    sizes = [int(each.max(initial=0)) + 1 for each in some]
    pairs = np.unique(np.ravel_multi_index(some, sizes))
    counts = np.bincount(np.unravel_index(pairs, sizes)[0])
    return np.asarray(counts[columns[name]])


# Spatial indices by axis: response, tap, pixel.
AXES = (("l", "a", "y"), ("m", "b", "x"), ("o", "c", "w"))


def same_axis(one: str, two: str) -> bool:
    """Whether two indices lie on one spatial axis."""
    first, second = one.rpartition(".")[2], two.rpartition(".")[2]
    return any(first in axis and second in axis for axis in AXES)


def holds(each: Condition, columns: Columns, sizes: Sizes, result: Sequence[Array], kept: Array) -> Array:
    """Return for which tuples a condition holds; `kept` are those among which the first or last is sought."""
    scaled, by = each.form.scaled(columns, sizes), each.form.denominator
    if each.of:
        scaled = distance(np.broadcast_to(scaled, kept.shape), result, kept, each.of)
    if each.modulus:
        scaled = scaled % (each.modulus * by)
    found = np.ones(kept.shape, bool)
    if each.low is not None:
        found &= scaled * each.low.denominator >= each.low.scaled({}, sizes) * by
    if each.high is not None:
        found &= scaled * each.high.denominator <= each.high.scaled({}, sizes) * by
    return found


def distance(form: Array, result: Sequence[Array], kept: Array, of: str) -> Array:
    """Return how far each tuple is from the first, or last, of those with the same entry of the result."""
    if not len(form):
        return form
    key = np.zeros(len(form), np.int64)
    for each in result:
        key = key * (int(each.max()) + 1) + each
    _, which = np.unique(key, return_inverse=True)
    sign = -1 if of == "last" else 1
    best = np.full(which.max() + 1, np.iinfo(np.int64).max // 4)
    np.minimum.at(best, which[kept], (sign * form)[kept])
    return np.asarray(sign * form - best[which])


@dataclasses.dataclass(frozen=True)
class Formula:
    """What code computes for one result: a sum of terms, each over products of the entries of its factors.

    Attributes
    ----------
    result : str
        S, dX, dF or db.
    terms : tuple of Term
        Their sum; empty where the result is 0.
    shape : tuple of Linear
        The shape of the result, one combination of sizes per axis.
    options : tuple of (str, int)
        The numbers that the code was fixed to: stride, dilation and padding per axis, groups.
    """

    result: str
    terms: tuple[Term, ...]
    shape: tuple[Linear, ...]
    options: tuple[tuple[str, int], ...] = ()

    def predict(
        self, sizes: Sizes, arrays: Mapping[str, Array], *, absolute: bool = False, known: Known | None = None
    ) -> Array:
        """Compute what the code returns.

        Parameters
        ----------
        sizes : mapping of str to int
            The layer.
        arrays : mapping of str to ndarray
            X, F, b and G, with a leading batch axis where they have one.
        absolute : bool
            Sum the magnitudes of the products instead, by which rounding errors are bounded.
        known : mapping, optional
            What `shared` of another formula gives for the same layer and arrays.

        Returns
        -------
        ndarray
            int64 where all factors are integers and all coefficients are whole, else float64.
        """
        shape = tuple(max(each.at(sizes), 0) for each in self.shape)
        parts = [self._summed(term, sizes, arrays, shape, known, absolute=absolute) for term in self.terms]
        zeros = np.zeros(math.prod(shape), np.int64)
        return np.asarray(sum(parts, start=zeros)).reshape(shape)

    def shared(self, sizes: Sizes, arrays: Mapping[str, Array]) -> Known:
        """Compute what formulas that differ in little from this one need again.

        Parameters
        ----------
        sizes, arrays
            As of `predict`.

        Returns
        -------
        mapping
            For `predict` of the others.
        """
        shape = tuple(each.at(sizes) for each in self.shape)
        tuples = {term.key: (term.equations, term.tuples(sizes)) for term in self.terms}
        sums = {
            (id(term), shape): (term, self._summed(term, sizes, arrays, shape, tuples, absolute=False))
            for term in self.terms
        }
        return tuples | sums

    def _summed(
        self,
        term: Term,
        sizes: Sizes,
        arrays: Mapping[str, Array],
        shape: tuple[int, ...],
        known: Known | None,
        *,
        absolute: bool,
    ) -> Array:
        if known and (id(term), shape) in known:
            return np.asarray(known[id(term), shape][1])
        places, by = term.products(sizes, split(shape, term.views[0].tensor, sizes), known=known)
        factors = [
            np.asarray(arrays[view.tensor.letter]).reshape(-1)[place]
            for view, place in zip(term.views[1:], places[1:], strict=True)
            if not view.ones
        ]
        whole = all(each.dtype.kind in "iu" for each in factors) and bool(np.all(by == np.round(by)))
        wide = np.int64 if whole else np.float64
        values = math.prod([each.astype(wide) for each in factors], start=by.astype(wide))
        total = np.zeros(math.prod(shape), wide)
        np.add.at(total, places[0], np.abs(values) if absolute else values)
        return total


def split(shape: Sequence[int], tensor: Tensor, sizes: Sizes) -> tuple[int, ...] | None:
    """Return the shape of a result with its filters, or planes, split into groups; None where it is the right one."""
    right = tensor.shape(sizes)
    if tuple(shape) == joined(tensor, sizes):
        return None
    if len(shape) == len(right):
        return tuple(shape)
    at = next(at for at, axis in enumerate(tensor.axes) if axis.name == "g")
    return (*shape[:at], right[at], shape[at] // right[at], *shape[at + 1 :])


def joined(tensor: Tensor, sizes: Sizes) -> tuple[int, ...]:
    """Return the shape of a tensor as arrays have it: groups and what is in a group are one axis."""
    shape = list(tensor.shape(sizes))
    for at, axis in enumerate(tensor.axes):
        if axis.name == "g":
            shape[at : at + 2] = [shape[at] * shape[at + 1]]
    return tuple(shape)
