"""Formulas with the indices of every array in the order in which code has its axes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.formula.layouts import Order
from jacobians.formula.relation import Formula, Tensor, View

__all__ = ["arranged"]

Array = npt.NDArray[Any]

# Whose layout an array has.
LAYOUTS = {"X": "X", "dX": "X", "F": "F", "dF": "F", "S": "S", "G": "S"}
# Sizes at which orders of memory are compared: no two products of some of them are the same.
SIZES = (2, 3, 5, 7, 11, 13, 17)


class UnwritableError(ValueError):
    """An order of memory that is none of the axes of the code."""


def arranged(formulas: Sequence[Formula], orders: Mapping[str, Order]) -> list[Formula] | None:
    """Put the indices of each array into the order of its axes in a layout.

    Parameters
    ----------
    formulas : sequence of Formula
        With planes first.
    orders : mapping of str to Order
        The axes of X, F and S; none for those of arrays with planes first.

    Returns
    -------
    list of Formula or None
        The same products. None where memory is read in an order that cannot be said of these axes.
    """
    if not orders:
        return list(formulas)
    try:
        return [_formula(each, orders) for each in formulas]
    except UnwritableError:
        return None


def _formula(formula: Formula, orders: Mapping[str, Order]) -> Formula:
    terms = [
        dataclasses.replace(term, views=tuple(_view(view, orders) for view in term.views)) for term in formula.terms
    ]
    shape = formula.shape
    if formula.terms and formula.result in LAYOUTS:
        order = orders[LAYOUTS[formula.result]]
        blocks = _blocks(formula.terms[0].views[0].tensor)
        if len(shape) == len(blocks):
            shape = tuple(shape[at] for at in _permuted(blocks, order))
    return dataclasses.replace(formula, terms=tuple(terms), shape=shape)


def _blocks(tensor: Tensor) -> list[tuple[int, ...]]:
    """Return the axes that an array has, with a group and what is in it as one."""
    names = [axis.name for axis in tensor.axes]
    return [(at, at + 1) if name == "g" else (at,) for at, name in enumerate(names) if at == 0 or names[at - 1] != "g"]


def _permuted(blocks: Sequence[tuple[int, ...]], order: Order) -> list[int]:
    """Return in which order axes come; an image that the code does not know comes first."""
    more = len(blocks) - len(order.letters)
    return [*range(more), *(more + order.letters.index(letter) for letter in "".join(order.axes))]


def _view(view: View, orders: Mapping[str, Order]) -> View:
    tensor = view.tensor
    if tensor.letter not in LAYOUTS:
        return view
    blocks = _blocks(tensor)
    own = tuple(itertools.chain(*(blocks[at] for at in _permuted(blocks, orders[LAYOUTS[tensor.letter]]))))
    new = dataclasses.replace(
        view,
        tensor=Tensor(tensor.letter, tuple(tensor.axes[at] for at in own)),
        steps=tuple((own.index(axis), step) for axis, step in view.steps),
    )
    if not view.order:
        return new
    order, written = _order(view, own)
    return dataclasses.replace(new, order=tuple(own.index(at) for at in order), written=written)


def _order(view: View, own: tuple[int, ...]) -> tuple[tuple[int, ...], bool]:
    """Return the order in which memory in the order of the code's axes is read, or was written."""
    plain = tuple(range(len(own)))
    memory, meant = (view.order, plain) if view.written else (plain, view.order)
    sizes = SIZES[: len(own)]
    for written in (view.written, not view.written):
        one, other = (meant, memory) if written else (memory, meant)
        # Where an entry lies of which the other order tells the place.
        at = _ravelled(_unravelled(np.arange(np.prod(sizes)), one, sizes), own, sizes)
        start = _ravelled(list(np.eye(len(own), dtype=int)), other, sizes)
        steps = at[start] - at[0]
        found = tuple(sorted(plain, key=lambda axis: -int(steps[axis])))
        if np.array_equal(at, _ravelled(_unravelled(np.arange(len(at)), other, sizes), found, sizes)):
            return found, written
    raise UnwritableError


def _ravelled(indices: Sequence[Array], order: Sequence[int], sizes: Sequence[int]) -> Array:
    return np.asarray(np.ravel_multi_index([indices[at] for at in order], [sizes[at] for at in order]))


def _unravelled(flat: Array, order: Sequence[int], sizes: Sequence[int]) -> list[Array]:
    found = np.unravel_index(flat, [sizes[at] for at in order])
    return [found[order.index(at)] for at in range(len(order))]
