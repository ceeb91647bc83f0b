"""Products that were read at several layers, as rows of index values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.formula.combine import FREE
from jacobians.formula.products import Reading
from jacobians.formula.relation import AXES, Axis, Columns, Condition, View, size_of, split
from jacobians.formula.structure import SIZES, Structure

__all__ = ["Readings", "Rows", "Separated", "coded", "is_spatial", "joined_rows", "joined_sizes", "own_sizes"]

Array = npt.NDArray[Any]
# Conditions that hold for all products, and conditions that all hold for a hole among the others.
Separated = tuple[tuple[Condition, ...], tuple[Condition, ...]]
# Numbers of tuples stay below this.
LARGEST = 2**62


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


class Readings:
    """What was read at several layers, and the shapes there.

    Parameters
    ----------
    readings : sequence of Reading
        Of the same factors.
    result : str
        S, dX, dF or db.
    structure : Structure
        Axes and groups.
    """

    def __init__(self, readings: Sequence[Reading], result: str, structure: Structure) -> None:
        self.readings, self.structure = readings, structure
        self.sizes = [each.sizes for each in readings]
        self.tensors = [structure.tensors[letter] for letter in (result, *readings[0].letters)]
        pairs = zip(readings, self.sizes, strict=True)
        # Shapes of the result that are not the right ones.
        self.out = [split(each.shape, self.tensors[0], sizes) for each, sizes in pairs]
        self.result_names = View(self.tensors[0]).names
        self.separated: dict[tuple[object, ...], Separated | None] = {}

    @property
    def are_split(self) -> bool:
        """Whether the planes, or filters, of every result can be split into groups."""
        shapes = zip(self.readings, self.out, strict=True)
        return all(out is None or math.prod(out) == math.prod(each.shape) for each, out in shapes)

    def limit(self, name: str, size: str, at: int) -> int:
        """Return how many values an index has at a layer."""
        out = self.out[at]
        if out is not None and name in self.result_names:
            return out[self.result_names.index(name)]
        return size_of(size, self.sizes[at])

    def joint(self, names: Sequence[str], axes: Mapping[str, Axis], at: int) -> int:
        """Return how many values several indices have together."""
        return math.prod(self.limit(name, axes[name].size, at) for name in names)

    def rows(self, views: Sequence[View], layers: Sequence[int] | None = None) -> Rows:
        """Return the products with their indices in these views, at these layers or all."""
        at = list(range(len(self.readings))) if layers is None else list(layers)
        columns = [self._columns(views, each) for each in at]
        joined = {name: np.concatenate([each[name] for each in columns]) for name in columns[0]}
        layer = np.repeat(at, [self.readings[each].places.shape[1] for each in at])
        return Rows(joined, layer, np.concatenate([self.readings[each].coefficients for each in at]))

    def _columns(self, views: Sequence[View], at: int) -> Columns:
        out, found = self.out[at], Columns()
        for view, flat in zip(views, self.readings[at].places, strict=True):
            if view.tensor is self.tensors[0] and out is not None:
                found |= dict(zip(view.names, np.unravel_index(flat, out), strict=True))
            else:
                found |= view.columns(flat, self.sizes[at])
        return found


def joined_rows(one: Rows, two: Rows) -> Rows:
    """Return the products of both."""
    columns = {name: np.concatenate([each, two.columns[name]]) for name, each in one.columns.items()}
    return Rows(columns, np.concatenate([one.layer, two.layer]), np.concatenate([one.by, two.by]))


def coded(columns: Sequence[Array]) -> Array:
    """Number tuples, given as columns of whole numbers that are not negative, in their order.

    Parameters
    ----------
    columns : sequence of ndarray of int64
        All of one length; the first decides most about the order.

    Returns
    -------
    ndarray of int64
        Of this length: equal for equal tuples, and growing with them.
    """
    total, most = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        size = int(column.max(initial=0)) + 1
        if most * size > LARGEST:
            distinct, total = np.unique(total, return_inverse=True)
            most = len(distinct)
        total, most = total * size + column, most * size
    return total


def own_sizes(name: str, structure: Structure) -> tuple[str, ...]:
    """Return the sizes of the axis of an index."""
    index = name.rpartition(".")[2]
    for axis, sizes in zip(AXES, SIZES[structure.spatial_ndim], strict=False):
        if index in axis:
            return (*sizes, *(f"{what}({sizes[0]})" for what in ("tail", "before", "after")))
    if index == "*":
        return (*joined_sizes(structure), *(size for axis in SIZES[structure.spatial_ndim] for size in axis))
    if index == "+":
        return ("n", "n/g", "d", "d/g")
    return {"n": ("N",), "i": ("n", "n/g"), "k": ("d", "d/g"), "g": ()}[index]


def joined_sizes(structure: Structure) -> list[str]:
    """Name the number of responses, of taps of a plane, and of pixels of a plane."""
    axes = SIZES[structure.spatial_ndim]
    return ["·".join(each) for each in zip(*axes, strict=True)] if len(axes) > 1 else []


def is_spatial(name: str) -> bool:
    """Return whether an index counts responses, taps or pixels along an axis."""
    return any(name.rpartition(".")[2] in axis for axis in AXES)
