"""What theories are made of: a result with one thing in the place of another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jacobians.audit import formulas
from jacobians.audit.formulas import Numbers, flip, repeated, table_of
from jacobians.geometry import Geometry

__all__ = [
    "RIGHT",
    "About",
    "Array",
    "Predict",
    "Row",
    "Theory",
    "after",
    "by_table",
    "flipped",
    "images",
    "rows_of",
    "turned",
    "turned_into",
    "upstream",
    "upstream_groups",
    "with_other",
]

Array = npt.NDArray[Any]
About = Literal["S", "dX", "dF", "db"]
Predict = Callable[[Numbers], Array | None]
# Title, cause, cure and formula: what is left of a theory where the result and the anchor are given.
Row = tuple[str, str, str, Predict]


@dataclasses.dataclass(frozen=True)
class Theory:
    """A wrong formula.

    Attributes
    ----------
    about : str
        S, dX, dF or db.
    title : str
        What is wrong, in plain words.
    cause : str
        One sentence on what the code does.
    cure : str
        One sentence on what to do.
    anchor : str
        Where the documentation derives the right formula.
    predict : callable
        Takes the numbers and gives what such code computes, NaN where it may be anything; None where the mistake makes
        no sense.
    everywhere : bool
        Whether it is named only where it predicts the right results, too: one of several sizes of a block.
    """

    about: About
    title: str
    cause: str
    cure: str
    anchor: str
    predict: Predict
    everywhere: bool = False


def rows_of(about: About, anchor: str, rows: Iterable[Row]) -> Iterator[Theory]:
    """Make theories about one result that share a section of the documentation."""
    for title, cause, cure, predict in rows:
        yield Theory(about, title, cause, cure, anchor, predict)


RIGHT: dict[About, Callable[[Numbers], Array]] = {
    "S": lambda probe: probe.responses(),
    "dX": lambda probe: probe.input_gradient(),
    "dF": lambda probe: probe.filter_gradient(),
    "db": lambda probe: probe.bias_gradient(),
}


def with_other(about: About, letter: str, change: Callable[[Numbers], Array | None]) -> Predict:
    """Compute a result from another X, F, b or G."""

    def predict(probe: Numbers) -> Array | None:
        changed = change(probe)
        return None if changed is None else RIGHT[about](probe.with_array(letter, changed))

    return predict


def after(about: About, change: Callable[[Numbers, Array], Array | None]) -> Predict:
    """Change a right result."""
    return lambda probe: change(probe, RIGHT[about](probe))


def turned_into(about: About, change: Callable[[Array], Array]) -> Predict:
    """Change the numbers of a right result alone."""
    return after(about, lambda _, right: change(right))


def by_table(about: About, change: Callable[[Geometry], dict[str, Any]], *, sized: bool = False) -> Predict:
    """Compute a result by a table of other options, in the right size or in the size that follows from them."""

    def predict(probe: Numbers) -> Array | None:
        g = probe.geometry
        table = dataclasses.replace(table_of(g), **change(g))
        if min(*table.stride, *table.dilation) < 1:
            return None
        find = {"S": formulas.responses_size, "dX": formulas.image_size, "dF": formulas.taps_size}[about]
        size = find(g, table) if sized else None
        if size and min(size) == 0:
            return np.zeros((*RIGHT[about](probe).shape[:2], *size))
        match about:
            case "S":
                return probe.responses(table=table, out=size)
            case "dX":
                return probe.input_gradient(table=table, image=size)
            case _:
                return probe.filter_gradient(table=table, taps=size)

    return predict


def turned(about: About, axes: Callable[[Numbers], Sequence[int]]) -> Predict:
    """Compute a result from a filter that is reversed along some of its axes."""
    return with_other(about, "F", lambda probe: flip(probe.F, axes(probe)))


def flipped(about: About, axes: Callable[[Numbers], Sequence[int]]) -> Predict:
    """Reverse a right result along some of its axes."""
    return after(about, lambda probe, right: flip(right, axes(probe)))


def images(about: About, letter: str, title: str, cure: str) -> Iterator[Theory]:
    """One image in the place of all."""
    for index, word in ((0, "first"), (-1, "last")):
        predict = with_other(about, letter, _repeated_image(letter, index))
        yield Theory(about, title.format(word), "The index of the image is forgotten.", cure, "batch", predict)


def _repeated_image(letter: str, index: int) -> Callable[[Numbers], Array | None]:
    return lambda probe: repeated(getattr(probe, letter), index, 0)


def upstream(about: About) -> Iterator[Theory]:
    """Yield a gradient without the upstream gradient."""
    yield Theory(
        about,
        "the upstream gradient is replaced by ones",
        "G is not used.",
        "Multiply by G: the gradient of a loss, not of the sum of S.",
        "upstream",
        with_other(about, "G", lambda probe: np.ones_like(probe.G)),
    )


def upstream_groups(about: About) -> Iterator[Theory]:
    """Yield an upstream gradient whose filters are in another order."""
    yield Theory(
        about,
        "response maps are taken interleaved over the groups",
        "Map i is taken for one of group i mod groups.",
        "Map i belongs to group i ÷ (n/groups).",
        "groups",
        with_other(about, "G", lambda probe: formulas.blocked(probe.G, 1, probe.geometry.groups)),
    )
