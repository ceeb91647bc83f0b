"""Remainders that loops in steps leave out of sums, or of tiles."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from jacobians.audit.formulas import Numbers
from jacobians.audit.theories.base import About, Array, Predict, Theory, after, with_other

__all__ = ["sums", "tiles"]

# How many terms loops take at once, and tiles hold on an axis.
STEPS = (64, 32, 16, 8, 6, 4, 3, 2)
TILES = (8, 6, 4, 3, 2)
SECOND = "Let a second loop take the remainder, or mask the last step of the first."


def _cut(A: Array, axis: int, step: int, *, whole: bool) -> Array | None:
    """Set what a loop in steps leaves out of an axis to 0; `whole` takes what is shorter than a step another way."""
    size = A.shape[axis]
    kept = size // step * step
    if size % step == 0 or (whole and size < step):
        return None
    result = A.copy()
    np.moveaxis(result, axis, 0)[kept:] = 0
    return result


def _of_filters(F: Array, groups: int) -> Array:
    """Return a view whose first axis is that of the filters of one group."""
    return F.reshape(groups, len(F) // groups, *F.shape[1:]).swapaxes(0, 1)


# What is summed over, the letter of the array that is cut, and its axis after another shape is given to it.
Sum = tuple[str, str, Callable[[Numbers, Array], Array], int]
IN_ORDER: Callable[[Numbers, Array], Array] = lambda _, A: A  # noqa: E731  # one entry of the table below
TAPS: Sum = ("taps of all planes", "F", lambda _, F: F.reshape(len(F), -1), 1)
SUMS: dict[About, tuple[Sum, ...]] = {
    "S": (("planes", "F", IN_ORDER, 1), ("tap columns", "F", IN_ORDER, -1), ("tap rows", "F", IN_ORDER, 2), TAPS),
    "dX": (("filters", "F", lambda probe, F: _of_filters(F, probe.geometry.groups), 0),),
    "dF": (
        ("images", "G", IN_ORDER, 0),
        ("columns", "G", IN_ORDER, -1),
        ("rows", "G", IN_ORDER, 2),
        ("positions", "G", lambda _, G: G.reshape(*G.shape[:2], -1), -1),
    ),
}
SUMS["db"] = SUMS["dF"]


def _without(about: About, each: Sum, step: int, *, whole: bool) -> Predict:
    _, letter, arrange, axis = each

    def change(probe: Numbers) -> Array | None:
        A = getattr(probe, letter)
        arranged = arrange(probe, A)
        if not -arranged.ndim <= axis < arranged.ndim:
            return None
        cut = _cut(arranged, axis, step, whole=whole)
        if cut is None:
            return None
        return cut.swapaxes(0, 1).reshape(A.shape) if letter == "F" and axis == 0 else cut.reshape(A.shape)

    return with_other(about, letter, change)


def sums(about: About) -> Iterator[Theory]:
    """Yield sums without the last terms, fewer than a step."""
    for each, step, whole in itertools.product(SUMS[about], STEPS, (True, False)):
        title = f"the remainder of a loop over the {each[0]} is left out of the sum"
        cause = f"A loop adds {step} {each[0]} at once, and what is left behind the last {step} is not added."
        predict = _without(about, each, step, whole=whole)
        yield Theory(about, title, cause, SECOND, "remainder", predict, everywhere=True)
    if about in {"dF", "db"}:
        yield Theory(
            about,
            "the last row and column of the responses are left out of the sum",
            "A slice, or the bound of a loop, ends one too early.",
            "Sum over all h'·w' positions.",
            "remainder",
            with_other(about, "G", _all_but_last),
            everywhere=True,
        )


def _all_but_last(probe: Numbers) -> Array:
    G = probe.G.copy()
    for axis in probe.axes:
        np.moveaxis(G, axis, 0)[-1] = 0
    return G


def tiles(about: About) -> Iterator[Theory]:
    """Yield results of which only whole tiles are computed."""
    for step in TILES:

        def cut(probe: Numbers, right: Array, step: int = step) -> Array | None:
            result = right.copy()
            for axis in probe.axes:
                size = right.shape[axis]
                np.moveaxis(result, axis, 0)[size // step * step :] = 0
            return result

        yield Theory(
            about,
            "rows and columns behind the last whole tile are not computed",
            f"Tiles of {step} on each axis are computed, as Winograd's algorithm does; what is left holds 0.",
            "Pad the image so that tiles cover all of it, and cut the result.",
            "remainder",
            after(about, cut),
            everywhere=True,
        )
