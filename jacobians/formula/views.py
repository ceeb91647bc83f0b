"""Orders of memory in which arrays may have been read or written, found by how steadily their indices grow."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.formula.relation import FIRST_TWO, PAIRS, Tensor, View
from jacobians.formula.rows import Readings, Rows, coded

__all__ = ["is_function", "neighbours", "other_views"]

Array = npt.NDArray[Any]

# Products by which orders of memory are compared, and how many orders are tried.
MOST_SCORED, MOST_VIEWS = 12_000, 4
# Steps that one axis is taken in.
STEPS = (2, -2, 3, -3, PAIRS, FIRST_TWO)
# By how much the share of steady growth has to be better.
BETTER = 0.003


def other_views(readings: Readings) -> Iterator[tuple[View, ...]]:
    """Yield the arrays with the memory of some of them in another order, such that indices grow more steadily.

    Parameters
    ----------
    readings : Readings
        The layers.

    Yields
    ------
    tuple of View
        The most steady first; none where the arrays' own orders are steady.
    """
    if any(out is not None for out in readings.out):
        return
    plain = tuple(View(tensor) for tensor in readings.tensors)
    seen = {plain}
    current = plain
    for _ in range(2):
        ways = _better(readings, current)
        for _, way in ways[:MOST_VIEWS]:
            if way not in seen:
                seen.add(way)
                yield way
        if not ways:
            return
        current = ways[0][1]


def _better(readings: Readings, current: tuple[View, ...]) -> list[tuple[float, tuple[View, ...]]]:
    """Return what one other view makes steadier, the most steady first."""
    found = []
    for at, tensor in enumerate(readings.tensors):
        steadiness = _Steadiness(readings, current, at)
        least = steadiness.of(current[at])
        if least < 1:
            views = _views(tensor, current[at], [len(set(axis)) > 1 for axis in steadiness.lengths])
            scored = [(steadiness.of(view) - least, (*current[:at], view, *current[at + 1 :])) for view in views]
            found += [(score, way) for score, way in scored if score > BETTER]
    return sorted(found, key=lambda each: -each[0])


class _Steadiness:
    """How steadily the indices of one array grow with those of the others."""

    def __init__(self, readings: Readings, views: Sequence[View], at: int) -> None:
        self.readings, self.at = readings, at
        tensor = readings.tensors[at]
        shapes = [tensor.shape(sizes) for sizes in readings.sizes]
        self.lengths = list(zip(*shapes, strict=True))
        counts = [each.places.shape[1] for each in readings.readings]
        self.layers = _compared(shapes, counts)
        rows = readings.rows(views, self.layers)
        own = set(views[at].names)
        free: list[str] = []
        for name in rows.columns:
            if name not in own and not is_function(name, free, rows):
                free.append(name)
        self.pairs = [neighbours(rows, each, free, (1,))[0] for each in free]
        self.shares: dict[bytes, list[float]] = {}

    def of(self, view: View) -> float:
        """Return the share of neighbours between which an index grows as it usually does, in the mean."""
        if not self.layers:
            return 1.0
        parts = [
            view.columns(self.readings.readings[layer].places[self.at], self.readings.sizes[layer])
            for layer in self.layers
        ]
        shares = []
        for name in view.names:
            column = np.concatenate([each[name] for each in parts])
            # Most views leave most indices as they are.
            key = column.tobytes()
            if key not in self.shares:
                self.shares[key] = self._shares(column)
            shares += self.shares[key]
        return float(np.mean(shares)) if shares else 1.0

    def _shares(self, column: Array) -> list[float]:
        """Return, for each other index, the share of neighbours between which an index grows as it usually does."""
        slopes = [(column[two] - column[one]) / step for one, two, step in self.pairs if len(step)]
        return [np.unique(each, return_counts=True)[1].max() / len(each) for each in slopes]


def _compared(shapes: Sequence[tuple[int, ...]], counts: Sequence[int]) -> list[int]:
    """Choose layers with several of everything, and with many on each axis in turn; of these, with few products."""
    layers = [at for at, count in enumerate(counts) if count]
    found: list[int] = []
    for axis in (None, *reversed(range(len(shapes[0])))) if layers else ():
        sizes = [sum(size > 1 for size in shape) if axis is None else shape[axis] for shape in shapes]
        best = min(layers, key=lambda at: (-sizes[at], counts[at]))
        if best not in found and (not found or sum(counts[at] for at in (*found, best)) <= MOST_SCORED):
            found.append(best)
    return sorted(found)


def is_function(name: str, free: Sequence[str], rows: Rows) -> bool:
    """Return whether the free indices leave one value of an index."""
    given = coded([rows.layer, *(rows.columns[each] for each in free)])
    order = np.argsort(given, kind="stable")
    given, values = given[order], rows.columns[name][order]
    return not np.any((given[1:] == given[:-1]) & (values[1:] != values[:-1]))


def neighbours(rows: Rows, each: str, free: Sequence[str], lags: Sequence[int]) -> list[tuple[Array, Array, Array]]:
    """Return, for each lag, pairs of products whose free indices are the same but for one, and how that differs."""
    others = coded([rows.layer, *(rows.columns[other] for other in free if other != each)])
    column = rows.columns[each]
    order = np.argsort(coded([others, column]), kind="stable")
    others, column = others[order], column[order]
    found = []
    for lag in lags:
        step = column[lag:] - column[:-lag]
        alike = (others[lag:] == others[:-lag]) & (step > 0)
        found.append((order[:-lag][alike], order[lag:][alike], step[alike]))
    return found


def _views(tensor: Tensor, current: View, varies: Sequence[bool]) -> Iterator[View]:
    """Yield other orders of axes, read and written: one moved elsewhere, some reversed; and steps along one axis."""
    if not current.order:
        for order in _orders(tensor):
            yield from (dataclasses.replace(current, order=order, written=written) for written in (False, True))
    taken = {axis for axis, _ in current.steps}
    for axis in range(len(tensor.axes)):
        if varies[axis] and axis not in taken:
            for step in STEPS:
                yield dataclasses.replace(current, steps=(*current.steps, (axis, step)))


def _orders(tensor: Tensor) -> Iterator[tuple[int, ...]]:
    """Yield orders of axes; groups and what is in a group stay together, or are exchanged."""
    names = [axis.name for axis in tensor.axes]
    parts = [(at, at + 1) if name == "g" else (at,) for at, name in enumerate(names) if at == 0 or names[at - 1] != "g"]
    plain = tuple(range(len(parts)))
    found: dict[tuple[int, ...], None] = {}
    for one, two in itertools.permutations(plain, 2):
        rest = [each for each in plain if each != one]
        found[(*rest[:two], one, *rest[two:])] = None
    for one, two in itertools.combinations(plain, 2):
        order = list(plain)
        order[one], order[two] = two, one
        found[tuple(order)] = None
        found[(*plain[:one], *reversed(plain[one : two + 1]), *plain[two + 1 :])] = None
    found.pop(plain, None)
    yield from (tuple(itertools.chain(*(parts[each] for each in order))) for order in found)
    if "g" in names:
        yield tuple(itertools.chain(*(reversed(part) for part in parts)))
