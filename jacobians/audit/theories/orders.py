"""Orders of flattening and of axes, sizes, and filters that are read in another order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from jacobians.audit import formulas
from jacobians.audit.formulas import Numbers, only, repeated, table_of
from jacobians.audit.theories.base import (
    RIGHT,
    About,
    Array,
    Predict,
    Row,
    Theory,
    after,
    rows_of,
    turned_into,
    with_other,
)
from jacobians.geometry import Geometry

__all__ = [
    "SIZES",
    "argument_orders",
    "filters_read",
    "other_gradients",
    "products",
    "result_orders",
    "sizes",
    "sizes_of_responses",
]

SAME_ORDER = "Flatten and reshape in one order: planes, then rows, then columns."
ROW_BY_ROW = "Flatten both row by row."
Order = tuple[str, str, Callable[[Array], Array]]
ORDERS: tuple[Order, ...] = (
    ("reshaped column by column", "It runs row by row, and is reshaped column by column.", formulas.read_column_major),
    (
        "written column by column",
        "It is flattened column by column, and read row by row.",
        formulas.written_column_major,
    ),
    ("reshaped planes last", "It runs over planes first, and is reshaped as planes last.", formulas.read_planes_last),
    (
        "written planes last",
        "A matrix with planes as columns is reshaped without a transpose.",
        formulas.written_planes_last,
    ),
    ("reshaped in Fortran order", 'It is flattened row by row and reshaped with order="F".', formulas.read_fortran),
    ("written in Fortran order", 'It is flattened with order="F" and reshaped row by row.', formulas.written_fortran),
)
FIRST_AXIS_ORDERS: tuple[Order, ...] = (
    ("written with planes before {}", "It runs over planes, then {}.", formulas.written_planes_first),
    ("reshaped with planes before {}", "It runs over {}, then planes.", formulas.read_planes_first),
    (
        "written with {} last",
        "A matrix with {} as columns is reshaped without a transpose.",
        formulas.written_first_axis_last,
    ),
    ("reshaped with {} last", "It is reshaped as if {} ran fastest.", formulas.read_first_axis_last),
)
FIRST_AXIS: dict[About, str] = {"S": "images", "dX": "images", "dF": "filters"}


def result_orders(about: About) -> Iterator[Theory]:
    """Results whose numbers are right and stand in another order."""
    first = FIRST_AXIS[about]
    for words, cause, change in (*ORDERS, *FIRST_AXIS_ORDERS):
        title, because = f"it is {words.format(first)}", cause.format(first)
        yield Theory(about, title, because, SAME_ORDER, "vec", turned_into(about, change))


def argument_orders(about: About, letter: Literal["X", "G"]) -> Iterator[Theory]:
    """Arguments that are flattened in one order and read in another."""
    name = {"X": "the image", "G": "the upstream gradient"}[letter]

    def of(change: Callable[[Array], Array]) -> Predict:
        return with_other(about, letter, lambda probe: change(getattr(probe, letter)))

    for words, cause, change in ORDERS:
        yield Theory(about, f"{name} is {words}", cause, SAME_ORDER, "vec", of(change))


SIZES: dict[About, str] = {
    "S": "h' = ⌊(H + p₀ + p₁ − K) ÷ s⌋ + 1, with the extent K = (k − 1)·δ + 1.",
    "dX": "∂l/∂X has the shape of X: start from np.zeros_like(X).",
    "dF": "∂l/∂F has the shape of F: start from np.zeros_like(F).",
    "db": "∂l/∂b has one entry per filter: G.sum(axis=(0, 2, 3)).",
}
AXES_ORDERS: tuple[tuple[str, Callable[[Array], Array]], ...] = (
    ("planes last", lambda A: np.moveaxis(A, 1, -1)),
    ("planes before images", lambda A: A.swapaxes(0, 1)),
    ("images last", lambda A: np.moveaxis(A, 0, -1)),
    ("columns before rows", lambda A: A.swapaxes(-1, -2)),
    ("reversed", np.transpose),
    ("rows, columns, planes, images", lambda A: np.moveaxis(A, (1, 0), (-2, -1))),
)

FLAT: tuple[Callable[[Array], Array], ...] = (
    lambda A: A.reshape(*A.shape[:2], -1),
    lambda A: A.reshape(len(A), -1),
    np.ravel,
    lambda A: A.reshape(*A.shape[:2], -1).swapaxes(1, 2),
)


def sizes(about: About) -> Iterator[Theory]:
    """Results that are right but for their shape."""
    order = "They are in the order: {}."
    rows: list[Row] = [
        ("its axes are in another order", order.format(words), "Transpose it back.", turned_into(about, change))
        for words, change in AXES_ORDERS
    ]
    rows += [
        ("it is not reshaped", "It is a matrix or a vector still.", SIZES[about], turned_into(about, change))
        for change in FLAT
    ]
    yield from rows_of(about, "shapes", rows)
    if about in {"S", "dX"}:
        title, cause = "the batch axis is missing", "Only the first image is returned, without the axis of the images."
        first = after(about, lambda _, right: right[0])
        yield Theory(about, title, cause, "Keep the first axis: one entry per image.", "shapes", first)


def other_gradients(about: About) -> Iterator[Theory]:
    """Gradients that are returned in the place of this one."""
    cause, cure = "Another gradient stands in its place.", "Return ∂l/∂X, ∂l/∂F and, where there is one, ∂l/∂b."
    others: tuple[About, ...] = ("dX", "dF", "db")
    for other in others:
        if other != about:
            yield Theory(about, "the gradients come in another order", cause, cure, "shapes", RIGHT[other])


def sizes_of_responses() -> Iterator[Theory]:
    """Responses that are right as far as they go, of another size."""

    def of(size: Callable[[Geometry], tuple[int, ...]]) -> Predict:
        return after("S", lambda probe, right: formulas.resized(right, size(probe.geometry)))

    def by(**options: Any) -> Callable[[Geometry], tuple[int, ...]]:
        return lambda g: formulas.responses_size(
            g, dataclasses.replace(table_of(g), **{name: (each,) * g.spatial_ndim for name, each in options.items()})
        )

    rows: list[Row] = [
        ("the number of responses is rounded up", "The division by the stride is a ceiling.", SIZES["S"],
         of(formulas.rounded_up)),
        ("the number of responses is one too small", "The + 1 of the formula is left out.", SIZES["S"],
         of(lambda g: tuple(count - 1 for count in g.responses[1:]))),
        ("the number of responses is one too large", "One position too many is counted.", SIZES["S"],
         of(lambda g: tuple(count + 1 for count in g.responses[1:]))),
        ("the number of responses is computed without the dilation", "K is taken for k.", SIZES["S"],
         of(by(dilation=1))),
        ("the number of responses is computed without the padding", "p₀ + p₁ is left out.", SIZES["S"],
         of(by(padding=(0, 0)))),
        ("the number of responses is computed without the stride", "Nothing is divided by s.", SIZES["S"],
         of(by(stride=1))),
    ]  # fmt: skip
    yield from rows_of("S", "shapes", rows)


def _read_axes(about: About) -> Iterator[Theory]:
    def of(change: Callable[[Numbers], Array | None]) -> Predict:
        return with_other(about, "F", change)

    yield from rows_of(
        about,
        "axes",
        [
            (
                "h and w of the filter are exchanged",
                "The two axes of each filter plane are transposed.",
                "Index the filter row by row: F[i, k, a, b] with a along h.",
                of(lambda probe: formulas.swapped_axes(probe.F)),
            )
        ],
    )


def _read_planes(about: About) -> Iterator[Theory]:
    def of(change: Callable[[Numbers], Array | None]) -> Predict:
        return with_other(about, "F", change)

    yield from rows_of(
        about,
        "planes",
        [
            (
                "the channel axes of F are exchanged",
                "F is read as (planes, filters, …).",
                "Read F[i, k] as plane k of filter i; ∂l/∂X sums over i, S over k.",
                of(lambda probe: formulas.exchanged_channels(probe.F, probe.geometry.groups)),
            ),
            (
                "the planes of the filter are in reverse order",
                "Plane k of X meets plane d − 1 − k of the filter.",
                "Let plane k of X meet plane k of the filter.",
                of(lambda probe: probe.F[:, ::-1] if probe.F.shape[1] > 1 else None),
            ),
        ],
    )


def _read_vec(about: About) -> Iterator[Theory]:
    def of(change: Callable[[Numbers], Array | None]) -> Predict:
        return with_other(about, "F", change)

    planes_first = "Flatten planes first: planes, then rows, then columns."
    yield from rows_of(
        about,
        "vec",
        [
            (
                "columns are planes last, filters planes first",
                "The columns of im2col run over taps and then planes, the flattened filter over planes and then taps.",
                "Flatten both planes first: planes, then rows, then columns.",
                of(lambda probe: formulas.read_planes_last(probe.F)),
            ),
            (
                "filters are read planes last",
                "The flattened filter is taken to run over taps and then planes.",
                planes_first,
                of(lambda probe: formulas.written_planes_last(probe.F)),
            ),
            (
                "filters are flattened column by column",
                "The vec of the filter is column-major, that of the patch row-major.",
                ROW_BY_ROW,
                of(lambda probe: formulas.read_column_major(probe.F)),
            ),
            (
                "filters are written column by column",
                "Each plane of the filter is flattened column by column, and read row by row.",
                ROW_BY_ROW,
                of(lambda probe: formulas.written_column_major(probe.F)),
            ),
            (
                "filters are reshaped in Fortran order",
                'They are flattened row by row and reshaped with order="F".',
                planes_first,
                of(lambda probe: formulas.read_fortran(probe.F)),
            ),
            (
                "filters are written in Fortran order",
                'They are flattened with order="F" and reshaped row by row.',
                planes_first,
                of(lambda probe: formulas.written_fortran(probe.F)),
            ),
            (
                "filters are reshaped to taps × filters without a transpose",
                "A matrix with one row per filter is read as one with one column per filter.",
                "Transpose: F.reshape(n, −1).T.",
                of(lambda probe: formulas.read_first_axis_last(probe.F)),
            ),
        ],
    )


def _read_planes_2(about: About) -> Iterator[Theory]:
    def of(change: Callable[[Numbers], Array | None]) -> Predict:
        return with_other(about, "F", change)

    yield from rows_of(
        about,
        "planes",
        [
            (
                "the channel axes of F are exchanged by a reshape",
                "A reshape to (planes, filters, …) keeps the order of the numbers, and so mixes filters.",
                "Exchange axes with swapaxes or transpose.",
                of(lambda probe: formulas.reshaped_channels(probe.F, probe.geometry.groups)),
            ),
            (
                "only the first plane is summed",
                "The other planes of the filter are left out.",
                "Sum over all planes.",
                of(lambda probe: only(probe.F, 0, 1)),
            ),
            (
                "the first filter is used for all",
                "The index of the filter is forgotten.",
                "Use filter i for response map i.",
                of(lambda probe: repeated(probe.F, 0, 0)),
            ),
            (
                "the last filter is used for all",
                "The index of the filter is forgotten.",
                "Use filter i for response map i.",
                of(lambda probe: repeated(probe.F, -1, 0)),
            ),
            (
                "the first plane of the filter is used for all",
                "The index of the plane is forgotten.",
                "Let plane k of X meet plane k of the filter.",
                of(lambda probe: repeated(probe.F, 0, 1)),
            ),
        ],
    )


def _read_groups(about: About) -> Iterator[Theory]:
    def of(change: Callable[[Numbers], Array | None]) -> Predict:
        return with_other(about, "F", change)

    yield Theory(
        about,
        "the filters of group 0 are used for all groups",
        "The index of the filter forgets the group.",
        "Use filters i of group g from g·n/groups on.",
        "groups",
        of(lambda probe: formulas.first_filters(probe.geometry, probe.F)),
    )


def _read_accumulate(about: About) -> Iterator[Theory]:
    def of(change: Callable[[Numbers], Array | None]) -> Predict:
        return with_other(about, "F", change)

    yield from rows_of(
        about,
        "accumulate",
        [
            (
                f"only the last {word} counts",
                f"The {word}s are assigned one after the other instead of added.",
                f"Add the {word}s: += for =.",
                of(lambda probe, axis=axis: only(probe.F, -1, axis)),  # type: ignore[misc]  # bound per row
            )
            for word, axis in (("plane", 1), ("column of taps", -1), ("row of taps", 2))
        ],
    )


def filters_read(about: About) -> Iterator[Theory]:
    """Filters that are read in another order."""
    yield from _read_axes(about)
    yield from _read_planes(about)
    yield from _read_vec(about)
    yield from _read_planes_2(about)
    yield from _read_groups(about)
    yield from _read_accumulate(about)


ADD = "Add: += for =."
LAST_PRODUCT = "Only the last product of each sum is left: `=` stands where `+=` is needed."


def products(about: Literal["S", "dX", "dF"]) -> Iterator[Theory]:
    """Products that are assigned."""

    def of(*, last: bool) -> Predict:
        def predict(probe: Numbers) -> Array:
            bias = probe.b.reshape(-1, *(1,) * probe.geometry.spatial_ndim)
            return formulas.assigned(probe, about, last=last) + (bias if about == "S" else 0)

        return predict

    title, first_product = "products are assigned, not added", "Only the first product of each sum is left."
    rows = [(title, LAST_PRODUCT, ADD, of(last=True)), (title, first_product, ADD, of(last=False))]
    yield from rows_of(about, "accumulate", rows)
