"""Known wrong formulas, each with a name, a cause and a cure.

A theory predicts what code computes that makes one particular mistake. It is named only where it reproduces the wrong
numbers exactly, in their shape too. The formulas themselves are in `jacobians.audit.formulas`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jacobians.audit import formulas
from jacobians.audit.formulas import Numbers, flip, numbers, only, repeated, table_of
from jacobians.audit.probes import Probe
from jacobians.geometry import Geometry

__all__ = ["THEORIES", "About", "Theory", "explain", "numbers", "reproduces"]

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
    """

    about: About
    title: str
    cause: str
    cure: str
    anchor: str
    predict: Predict


def explain(
    about: About, failures: Sequence[tuple[Probe, Array]], slack: Callable[[Probe, str], float] | None = None
) -> Theory | None:
    """Return the first theory that reproduces every wrong result.

    Parameters
    ----------
    about : str
        S, dX, dF or db.
    failures : sequence of (Probe, ndarray)
        Every probe that failed, and what the code under audit computed.
    slack : callable, optional
        How far a fast algorithm may be off, by probe and result; by default the numbers have to be the same.

    Returns
    -------
    Theory or None
        None where no theory does.
    """
    prepared = [
        (numbers(probe), np.asarray(got, np.float64), slack(probe, about) if slack else 0.0) for probe, got in failures
    ]
    for theory in THEORIES:
        if theory.about == about and prepared and all(reproduces(theory, *each) for each in prepared):
            return theory
    return None


def reproduces(theory: Theory, probe: Numbers, got: Array, slack: float) -> bool:
    """Whether a theory predicts what code computed: the same numbers, or all within the slack."""
    predicted = theory.predict(probe)
    if predicted is None or predicted.shape != got.shape:
        return False
    free = np.isnan(predicted)
    return bool(np.all((predicted == got) | free)) or bool(np.all((np.abs(predicted - got) <= slack) | free))


def _of(about: About, anchor: str, rows: Iterable[Row]) -> Iterator[Theory]:
    for title, cause, cure, predict in rows:
        yield Theory(about, title, cause, cure, anchor, predict)


# what a result is made of, with one thing in the place of another -----------------------------------------------------

RIGHT: dict[About, Callable[[Numbers], Array]] = {
    "S": lambda probe: probe.responses(),
    "dX": lambda probe: probe.input_gradient(),
    "dF": lambda probe: probe.filter_gradient(),
    "db": lambda probe: probe.bias_gradient(),
}


def _with(about: About, letter: str, change: Callable[[Numbers], Array | None]) -> Predict:
    """Compute a result from another X, F, b or G."""

    def predict(probe: Numbers) -> Array | None:
        changed = change(probe)
        return None if changed is None else RIGHT[about](probe.with_array(letter, changed))

    return predict


def _after(about: About, change: Callable[[Numbers, Array], Array | None]) -> Predict:
    """Change a right result."""
    return lambda probe: change(probe, RIGHT[about](probe))


def _turned_into(about: About, change: Callable[[Array], Array]) -> Predict:
    return _after(about, lambda _, right: change(right))


def _by_table(about: About, change: Callable[[Geometry], dict[str, Any]], *, sized: bool = False) -> Predict:
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


# options --------------------------------------------------------------------------------------------------------------

Change = tuple[str, str, str, Callable[[Geometry], dict[str, Any]]]
OWN = "Use each axis's own {}."
MOVE = "Move windows by the stride, and read taps a dilation apart."
BOTH = "Put zeros on both sides."


def _all(entries: Sequence[Any], index: int) -> tuple[Any, ...]:
    return (entries[index],) * len(entries)


def _zeros_of_plain_filter(geometry: Geometry) -> dict[str, Any]:
    return {"padding": tuple(((k - 1) // 2, k // 2) for k in geometry.filters[2:])}


def _first_axis(geometry: Geometry) -> dict[str, Any]:
    return {name: _all(getattr(geometry, name), 0) for name in ("stride", "padding", "dilation")}


CHANGES: tuple[Change, ...] = (
    (
        "padding before and after are exchanged",
        "the zeros that belong before the image are put behind it",
        "Use the first entry of each pair before the image.",
        lambda g: {"padding": tuple((after, before) for before, after in g.padding)},
    ),
    (
        "the dilation is ignored",
        "taps are read side by side",
        "Read taps a dilation apart.",
        lambda g: {"dilation": (1,) * g.spatial_ndim},
    ),
    (
        "the stride is ignored",
        "windows move by one pixel",
        "Move windows by the stride.",
        lambda g: {"stride": (1,) * g.spatial_ndim},
    ),
    (
        "the padding is ignored",
        "no zeros are put around the image",
        "Pad the image, and count pixels from the first zero on.",
        lambda g: {"padding": ((0, 0),) * g.spatial_ndim},
    ),
    (
        "the padding of h and w is exchanged",
        "the padding of one axis is used for the other",
        OWN.format("padding"),
        lambda g: {"padding": g.padding[::-1]},
    ),
    (
        "the padding of the first axis is used for all",
        "one padding serves all axes",
        OWN.format("padding"),
        lambda g: {"padding": _all(g.padding, 0)},
    ),
    (
        "the padding of the last axis is used for all",
        "one padding serves all axes",
        OWN.format("padding"),
        lambda g: {"padding": _all(g.padding, -1)},
    ),
    (
        "the stride of h and w is exchanged",
        "the stride of one axis is used for the other",
        OWN.format("stride"),
        lambda g: {"stride": g.stride[::-1]},
    ),
    (
        "the stride of the first axis is used for all",
        "one stride serves all axes",
        OWN.format("stride"),
        lambda g: {"stride": _all(g.stride, 0)},
    ),
    (
        "the stride of the last axis is used for all",
        "one stride serves all axes",
        OWN.format("stride"),
        lambda g: {"stride": _all(g.stride, -1)},
    ),
    (
        "the dilation of h and w is exchanged",
        "the dilation of one axis is used for the other",
        OWN.format("dilation"),
        lambda g: {"dilation": g.dilation[::-1]},
    ),
    (
        "the dilation of the first axis is used for all",
        "one dilation serves all axes",
        OWN.format("dilation"),
        lambda g: {"dilation": _all(g.dilation, 0)},
    ),
    (
        "the dilation of the last axis is used for all",
        "one dilation serves all axes",
        OWN.format("dilation"),
        lambda g: {"dilation": _all(g.dilation, -1)},
    ),
    (
        "all options of the first axis are used for all",
        "the index of the axis is 0",
        OWN.format("options"),
        _first_axis,
    ),
    (
        "stride and dilation are exchanged",
        "the step between windows is taken for the step between taps",
        MOVE,
        lambda g: {"stride": g.dilation, "dilation": g.stride},
    ),
    (
        "the dilation is used as the stride",
        "windows move by the step between taps",
        MOVE,
        lambda g: {"stride": g.dilation},
    ),
    (
        "the stride is used as the dilation",
        "taps are read as far apart as windows",
        MOVE,
        lambda g: {"dilation": g.stride},
    ),
    (
        "the number of groups is used as the stride",
        "windows move by the number of groups",
        "Move windows by the stride; look at the order of positional arguments.",
        lambda g: {"stride": (g.groups,) * g.spatial_ndim},
    ),
    (
        "the number of groups is used as the dilation",
        "taps are read as far apart as there are groups",
        "Read taps a dilation apart; look at the order of positional arguments.",
        lambda g: {"dilation": (g.groups,) * g.spatial_ndim},
    ),
    (
        "stride and padding are exchanged",
        "the padding is used as the stride",
        "Look at the order of positional arguments.",
        lambda g: {"stride": table_of(g).before, "padding": tuple((step, step) for step in g.stride)},
    ),
    (
        "the dilation counts the pixels between taps",
        "taps are a pixel too far apart",
        "Dilation 1 means taps side by side.",
        lambda g: {"dilation": tuple(step + 1 for step in g.dilation)},
    ),
    (
        "the padding is put behind the image only",
        "all zeros come after the image",
        BOTH,
        lambda g: {"padding": tuple((0, before + after) for before, after in g.padding)},
    ),
    (
        "the padding is put before the image only",
        "all zeros come before the image",
        BOTH,
        lambda g: {"padding": tuple((before + after, 0) for before, after in g.padding)},
    ),
    (
        "the padding is put on twice",
        "two places pad the image",
        "Pad once.",
        lambda g: {"padding": tuple((2 * before, 2 * after) for before, after in g.padding)},
    ),
    (
        "the padding is that of a filter that is not dilated",
        "the padding is (k − 1) ÷ 2",
        "Use the extent K = (k − 1)·δ + 1 of the filter: (K − 1) ÷ 2 zeros.",
        _zeros_of_plain_filter,
    ),
    (
        'the padding is that of mode "full"',
        "the filter moves over all pixels that it can touch",
        'Use mode "valid" of the padded image.',
        lambda g: {"padding": tuple((extent - 1,) * 2 for extent in g.extent)},
    ),
    (
        'the padding is that of mode "same"',
        "there are as many responses as pixels",
        'Use mode "valid" of the padded image.',
        lambda g: {"padding": tuple(((extent - 1) // 2, extent // 2) for extent in g.extent)},
    ),
    (
        'the padding is that of mode "same"',
        "there are as many responses as pixels, the odd zero in front",
        'Use mode "valid" of the padded image.',
        lambda g: {"padding": tuple((extent // 2, (extent - 1) // 2) for extent in g.extent)},
    ),
)
PLACES: dict[About, str] = {"S": "the forward pass", "dX": "∂l/∂X", "dF": "∂l/∂F"}


def _options(about: About) -> Iterator[Theory]:
    """One theory per way to take an option for another: in the right size, and in the size that the mistake gives."""
    for title, cause, cure, change in CHANGES:
        for sized in (False, True):
            because = f"In {PLACES[about]}, {cause}."
            yield Theory(about, title, because, cure, "options", _by_table(about, change, sized=sized))


def _padding_modes(about: Literal["S", "dF"]) -> Iterator[Theory]:
    """Padding by pixels of the image."""

    def by(mode: Any) -> Predict:
        def predict(probe: Numbers) -> Array | None:
            g = probe.geometry
            if not any(map(sum, g.padding)):
                return None
            padded = np.pad(probe.X, ((0, 0), (0, 0), *g.padding), mode=mode)
            table = dataclasses.replace(table_of(g), padding=((0, 0),) * g.spatial_ndim)
            return probe.responses(padded, table=table) if about == "S" else probe.filter_gradient(padded, table=table)

        return predict

    for mode, words in PADDING_MODES:
        title = f"the padding repeats pixels (mode {mode})"
        yield Theory(about, title, f"The image is continued: {words}.", "Pad with zeros.", "options", by(mode))


PADDING_MODES = (
    ("edge", "by its outermost pixels"),
    ("reflect", "mirrored at its outermost pixels"),
    ("symmetric", "mirrored at its edge"),
    ("wrap", "periodically"),
)

# constant multiples ---------------------------------------------------------------------------------------------------

COUNTS: tuple[tuple[str, Callable[[Numbers], int]], ...] = (
    ("the number of images", lambda probe: len(probe.X)),
    ("the number of responses h'·w'", lambda probe: probe.geometry.positions),
    ("images times responses", lambda probe: len(probe.X) * probe.geometry.positions),
    ("the number of taps", lambda probe: probe.geometry.taps),
    ("the number of planes", lambda probe: probe.geometry.image[0]),
    ("the number of filters", lambda probe: probe.geometry.filters[0]),
    ("the size of one filter plane", lambda probe: math.prod(probe.geometry.filters[2:])),
    ("the number of all responses", lambda probe: probe.G.size),
    ("the number of groups", lambda probe: probe.geometry.groups),
)
FACTORS = ((-1, "its sign is wrong"), (2, "it is twice what it should be"), (0.5, "it is half of what it should be"))
MEAN = "Sum; the mean over a mini-batch belongs to the loss, and reaches this gradient through G."


def _scalings(about: About) -> Iterator[Theory]:
    """Constant multiples, by the counts that code divides or multiplies by."""

    def divided(count: Callable[[Numbers], int]) -> Predict:
        return _after(about, lambda probe, right: right / count(probe))

    def multiplied(count: Callable[[Numbers], int]) -> Predict:
        return _after(about, lambda probe, right: right * count(probe))

    def times(factor: float) -> Predict:
        return _after(about, lambda _, right: right * factor)

    for name, count in COUNTS:
        mean = f"A mean over {name} is taken where the formula has a sum."
        more = f"The sum is counted once for each of {name}."
        cure = "Sum." if about == "S" else MEAN
        yield Theory(about, f"it is divided by {name}", mean, cure, "scaling", divided(count))
        yield Theory(about, f"it is multiplied by {name}", more, "Add each product once.", "scaling", multiplied(count))
    for factor, words in FACTORS:
        cause, cure = f"Every entry is {factor:g} times the right one.", "Count each product once, with its own sign."
        yield Theory(about, words, cause, cure, "scaling", times(factor))


# the order of vec -----------------------------------------------------------------------------------------------------

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


def _result_orders(about: About) -> Iterator[Theory]:
    """Results whose numbers are right and stand in another order."""
    first = FIRST_AXIS[about]
    for words, cause, change in (*ORDERS, *FIRST_AXIS_ORDERS):
        title, because = f"it is {words.format(first)}", cause.format(first)
        yield Theory(about, title, because, SAME_ORDER, "vec", _turned_into(about, change))


def _argument_orders(about: About, letter: Literal["X", "G"]) -> Iterator[Theory]:
    """Arguments that are flattened in one order and read in another."""
    name = {"X": "the image", "G": "the upstream gradient"}[letter]

    def of(change: Callable[[Array], Array]) -> Predict:
        return _with(about, letter, lambda probe: change(getattr(probe, letter)))

    for words, cause, change in ORDERS:
        yield Theory(about, f"{name} is {words}", cause, SAME_ORDER, "vec", of(change))


# sizes ----------------------------------------------------------------------------------------------------------------

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


def _sizes(about: About) -> Iterator[Theory]:
    """Results that are right but for their shape."""
    order = "They are in the order: {}."
    rows: list[Row] = [
        ("its axes are in another order", order.format(words), "Transpose it back.", _turned_into(about, change))
        for words, change in AXES_ORDERS
    ]
    rows += [
        ("it is not reshaped", "It is a matrix or a vector still.", SIZES[about], _turned_into(about, change))
        for change in FLAT
    ]
    yield from _of(about, "shapes", rows)
    if about in {"S", "dX"}:
        title, cause = "the batch axis is missing", "Only the first image is returned, without the axis of the images."
        first = _after(about, lambda _, right: right[0])
        yield Theory(about, title, cause, "Keep the first axis: one entry per image.", "shapes", first)


def _other_gradients(about: About) -> Iterator[Theory]:
    """Gradients that are returned in the place of this one."""
    cause, cure = "Another gradient stands in its place.", "Return ∂l/∂X, ∂l/∂F and, where there is one, ∂l/∂b."
    others: tuple[About, ...] = ("dX", "dF", "db")
    for other in others:
        if other != about:
            yield Theory(about, "the gradients come in another order", cause, cure, "shapes", RIGHT[other])


def _sizes_of_responses() -> Iterator[Theory]:
    """Responses that are right as far as they go, of another size."""

    def of(size: Callable[[Geometry], tuple[int, ...]]) -> Predict:
        return _after("S", lambda probe, right: formulas.resized(right, size(probe.geometry)))

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
    yield from _of("S", "shapes", rows)


# what S and ∂l/∂X share -----------------------------------------------------------------------------------------------


def _read_axes(about: About) -> Iterator[Theory]:
    def of(change: Callable[[Numbers], Array | None]) -> Predict:
        return _with(about, "F", change)

    yield from _of(
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
        return _with(about, "F", change)

    yield from _of(
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
        return _with(about, "F", change)

    planes_first = "Flatten planes first: planes, then rows, then columns."
    yield from _of(
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
        return _with(about, "F", change)

    yield from _of(
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
        return _with(about, "F", change)

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
        return _with(about, "F", change)

    yield from _of(
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


def _filters(about: About) -> Iterator[Theory]:
    """Filters that are read in another order."""
    yield from _read_axes(about)
    yield from _read_planes(about)
    yield from _read_vec(about)
    yield from _read_planes_2(about)
    yield from _read_groups(about)
    yield from _read_accumulate(about)


ADD = "Add: += for =."
LAST_PRODUCT = "Only the last product of each sum is left: `=` stands where `+=` is needed."


def _of_products(about: Literal["S", "dX", "dF"]) -> Iterator[Theory]:
    """Products that are assigned."""

    def of(*, last: bool) -> Predict:
        def predict(probe: Numbers) -> Array:
            bias = probe.b.reshape(-1, *(1,) * probe.geometry.spatial_ndim)
            return formulas.assigned(probe, about, last=last) + (bias if about == "S" else 0)

        return predict

    title, first_product = "products are assigned, not added", "Only the first product of each sum is left."
    rows = [(title, LAST_PRODUCT, ADD, of(last=True)), (title, first_product, ADD, of(last=False))]
    yield from _of(about, "accumulate", rows)


# the catalogue --------------------------------------------------------------------------------------------------------

NO_FLIP = "Do not flip the filter in the forward pass."
BLOCKS = "Filter i belongs to group i ÷ (n/groups): blocks, not turns."


def _per_filter(b: Array, axis: int, G: Array) -> Array | None:
    """Add a bias along a spatial axis that happens to be as long as there are filters."""
    if len(b) == 1 or G.shape[axis] != len(b):
        return None
    return b.reshape(-1, *(1,) * (-1 - axis))


def _bias(change: Callable[[Numbers], Array]) -> Predict:
    return _with("S", "b", lambda probe: change(probe) if probe.b.any() else None)


def _bias_along(axis: int) -> Predict:
    def predict(probe: Numbers) -> Array | None:
        added = _per_filter(probe.b, axis, probe.G)
        return None if added is None else probe.responses(b=probe.b * 0) + added

    return predict


def _turned(about: About, axes: Callable[[Numbers], Sequence[int]]) -> Predict:
    """Compute a result from a filter that is reversed along some of its axes."""
    return _with(about, "F", lambda probe: flip(probe.F, axes(probe)))


def _flipped(about: About, axes: Callable[[Numbers], Sequence[int]]) -> Predict:
    return _after(about, lambda probe, right: flip(right, axes(probe)))


def _responses_correlation() -> Iterator[Theory]:
    about: About = "S"
    yield from _of(
        about,
        "correlation",
        [
            (
                "the filter is turned by 180°",
                "This is true convolution, which flips the filter; deep learning's does not.",
                NO_FLIP,
                _turned(about, lambda probe: probe.axes),
            ),
            (
                "the filter is reversed along its first axis",
                "Rows of the filter are read from last to first.",
                NO_FLIP,
                _turned(about, lambda probe: probe.axes[:1]),
            ),
            (
                "the filter is reversed along its last axis",
                "Columns of the filter are read from last to first.",
                NO_FLIP,
                _turned(about, lambda probe: probe.axes[-1:]),
            ),
        ],
    )


def _responses_bias() -> Iterator[Theory]:
    about: About = "S"
    add_own = "Add b_i to every entry of S_i: b[:, None, None]."
    yield from _of(
        about,
        "bias",
        [
            ("the bias is left out", "No bias is added.", add_own, _bias(lambda probe: probe.b * 0)),
            ("the bias is added twice", "Two places add the bias.", "Add b_i once.", _bias(lambda probe: probe.b * 2)),
            ("the bias is subtracted", "b_i has the wrong sign.", add_own, _bias(lambda probe: -probe.b)),
            (
                "one bias is used for all filters",
                "The first filter's bias is added to every response map.",
                add_own,
                _bias(lambda probe: np.full_like(probe.b, probe.b[0])),
            ),
            (
                "one bias is used for all filters",
                "The last filter's bias is added to every response map.",
                add_own,
                _bias(lambda probe: np.full_like(probe.b, probe.b[-1])),
            ),
            (
                "one bias is used for all filters",
                "The sum of all biases is added to every response map.",
                add_own,
                _bias(lambda probe: np.full_like(probe.b, probe.b.sum())),
            ),
            (
                "the bias runs along the columns, not the filters",
                "b is broadcast over the last axis of S.",
                add_own,
                _bias_along(-1),
            ),
            (
                "the bias runs along the rows, not the filters",
                "b is broadcast over the rows of S.",
                add_own,
                _bias_along(-2),
            ),
            (
                "the biases are in reverse order",
                "Filter i gets the bias of filter n − 1 − i.",
                add_own,
                _bias(lambda probe: probe.b[::-1]),
            ),
            (
                "the bias is added once per plane",
                "The bias is added inside the sum over the planes.",
                "Add b_i after the sum.",
                _bias(lambda probe: probe.b * probe.geometry.planes_per_group),
            ),
            (
                "the bias is added once per tap",
                "The bias is added inside the sum over the taps.",
                "Add b_i after the sum.",
                _bias(lambda probe: probe.b * probe.geometry.taps),
            ),
            (
                "the bias is added once per image",
                "The bias is added inside the loop over the images, to all of them.",
                "Add b_i once, after the loop.",
                _bias(lambda probe: probe.b * len(probe.X)),
            ),
        ],
    )


def _responses_linear() -> Iterator[Theory]:
    about: About = "S"
    yield from _of(
        about,
        "linear",
        [
            (
                "a ReLU is left in",
                "Negative responses come out as 0.",
                "Audit the convolution alone: return S, not max(0, S).",
                _turned_into(about, lambda right: np.maximum(right, 0)),
            ),
            (
                "the absolute value is returned",
                "Negative responses lose their sign.",
                "Return S itself.",
                _turned_into(about, np.abs),
            ),
        ],
    )


def _responses_groups() -> Iterator[Theory]:
    about: About = "S"
    yield from _of(
        about,
        "groups",
        [
            (
                "every group sees the planes of group 0",
                "The index of the plane forgets the group.",
                "Let filter i see the planes of group i ÷ (n/groups).",
                _with(about, "X", lambda probe: formulas.first_group(probe.geometry, probe.X)),
            ),
            (
                "response maps come interleaved over the groups",
                "Map i is put at i mod groups instead of in blocks.",
                "Put the maps of one group after each other: blocked order.",
                _after(about, lambda probe, right: formulas.blocked(right, 1, probe.geometry.groups)),
            ),
            (
                "filter i sees the planes of group i mod groups",
                "The groups take turns instead of being blocks of filters.",
                "Let filter i see the planes of group i ÷ (n/groups).",
                formulas.groups_in_turn,
            ),
            (
                "filters are taken interleaved over the groups",
                "Filter i is taken for one of group i mod groups.",
                BLOCKS,
                _after(about, lambda probe, right: formulas.interleaved(right, 1, probe.geometry.groups)),
            ),
            (
                "planes are taken interleaved over the groups",
                "Plane k is taken for one of group k mod groups.",
                "Plane k belongs to group k ÷ (d/groups).",
                _with(about, "X", lambda probe: formulas.interleaved(probe.X, 1, probe.geometry.groups)),
            ),
        ],
    )


def _of_responses() -> Iterator[Theory]:
    about: About = "S"
    yield from _responses_correlation()
    yield from _responses_bias()
    yield from _responses_linear()
    yield from _filters(about)
    yield from _responses_groups()
    yield from _of_products("S")
    yield from _images(about, "X", "every image gets the responses of the {}", "Read image m for responses m.")
    yield from _options(about)
    yield from _padding_modes("S")
    yield from _result_orders(about)
    yield from _argument_orders(about, "X")
    yield from _sizes_of_responses()
    yield from _sizes(about)
    yield from _scalings(about)


def _images(about: About, letter: str, title: str, cure: str) -> Iterator[Theory]:
    """One image in the place of all."""
    for index, word in ((0, "first"), (-1, "last")):
        predict = _with(about, letter, _repeated_image(letter, index))
        yield Theory(about, title.format(word), "The index of the image is forgotten.", cure, "batch", predict)


def _repeated_image(letter: str, index: int) -> Callable[[Numbers], Array | None]:
    return lambda probe: repeated(getattr(probe, letter), index, 0)


def _upstream(about: About) -> Iterator[Theory]:
    yield Theory(
        about,
        "the upstream gradient is replaced by ones",
        "G is not used.",
        "Multiply by G: the gradient of a loss, not of the sum of S.",
        "upstream",
        _with(about, "G", lambda probe: np.ones_like(probe.G)),
    )


def _upstream_groups(about: About) -> Iterator[Theory]:
    yield Theory(
        about,
        "response maps are taken interleaved over the groups",
        "Map i is taken for one of group i mod groups.",
        "Map i belongs to group i ÷ (n/groups).",
        "groups",
        _with(about, "G", lambda probe: formulas.blocked(probe.G, 1, probe.geometry.groups)),
    )


def _images_rotation() -> Iterator[Theory]:
    about: About = "dX"
    reverse = "Reverse every spatial axis of the filter, and no other."
    yield from _of(
        about,
        "rotation",
        [
            (
                "the filter is not rotated by 180°",
                "The zero-padded upstream gradient is convolved with F itself.",
                "Turn the filter by 180°: ∂l/∂X = G^zero-pad ∗ F^rot180.",
                _turned(about, lambda probe: probe.axes),
            ),
            (
                "the filter is turned along its last axis only",
                "Columns are reversed, rows are not.",
                reverse,
                _turned(about, lambda probe: probe.axes[:-1]),
            ),
            (
                "the filter is turned along its first axis only",
                "Rows are reversed, columns are not.",
                reverse,
                _turned(about, lambda probe: probe.axes[1:]),
            ),
            (
                "filters and planes are reversed in the place of rows and columns",
                "F[::-1, ::-1] reverses the first two axes.",
                "Reverse the last ones: F[..., ::-1, ::-1].",
                _turned(about, lambda probe: range(probe.F.ndim)),
            ),
            (
                "filters and planes are reversed as well",
                "np.flip without axes reverses all of them.",
                reverse,
                _turned(about, lambda _: (0, 1)),
            ),
        ],
    )


def _images_tail() -> Iterator[Theory]:
    about: About = "dX"
    yield from _of(
        about,
        "tail",
        [
            (
                "the tail is put back in front",
                "Rows and columns that no window reached are put before the gradient instead of behind it.",
                "Put the tail's zeros behind the spread gradient.",
                formulas.tail_first,
            ),
            (
                "the tail's rows and columns are set to 0",
                "The last rows and columns, as many as the tail, are filled with zeros although windows reach them.",
                "Cut the padding off only after the tail was put back.",
                formulas.tail_zeroed,
            ),
            (
                "the tail's rows and columns are missing",
                "The size that G and F give does not hold the pixels that no window reaches.",
                "Start from zeros of the size of X, or put the tail's zeros behind.",
                _by_table(about, lambda _: {}, sized=True),
            ),
        ],
    )


def _images_stride() -> Iterator[Theory]:
    about: About = "dX"
    spread = "Put stride − 1 zeros between the entries of G."
    yield from _of(
        about,
        "stride",
        [
            (
                "the upstream gradient is not spread by the stride",
                "No zeros are put between the entries of G.",
                spread,
                _by_table(about, lambda g: {"stride": (1,) * g.spatial_ndim}, sized=sized),
            )
            for sized in (False, True)
        ],
    )


def _images_padding() -> Iterator[Theory]:
    about: About = "dX"
    yield from _of(
        about,
        "padding",
        [
            (
                "padding larger than the filter is clipped",
                "Where the padding is larger than k − 1, G needs to be cut; a negative padding was taken for 0.",
                "Cut p − (k − 1) rows off G where that is positive.",
                formulas.clipped_padding,
            ),
            (
                "the padding is not cut off in front",
                "The result starts with the gradient of the padding.",
                "Cut `before` rows and columns off in front.",
                _by_table(about, lambda g: {"padding": ((0, 0),) * g.spatial_ndim}),
            ),
            (
                "the padding is cut off in front only",
                "The result ends with the gradient of the padding.",
                "Cut exactly `before` off in front, and what is left behind.",
                _by_table(about, lambda g: {"padding": tuple((before + after, 0) for before, after in g.padding)}),
            ),
            (
                "the padding is not cut off",
                "The gradient of the padded image is returned.",
                "Return padded[p : p + H] along each axis.",
                formulas.uncut,
            ),
            (
                "it is empty, as A[p:-p] is for p = 0",
                "−0 is 0: the slice ends before it starts.",
                "Slice from p to p + H.",
                formulas.sliced,
            ),
        ],
    )


def _images_accumulate() -> Iterator[Theory]:
    about: About = "dX"
    yield from _of(
        about,
        "accumulate",
        [
            (
                "windows overwrite each other",
                "Where windows overlap, the last one is assigned: `=` stands where `+=` is needed.",
                "Add each window's part: += for =.",
                formulas.windows_assigned,
            ),
            (
                "taps overwrite each other",
                "Going tap by tap, the last tap that reads a pixel is assigned: `=` stands where `+=` is needed.",
                "Add each tap's part: += for =.",
                formulas.taps_assigned,
            ),
            (
                "only the last filter counts",
                "The filters' parts are assigned one after the other instead of added.",
                "Sum over all filters.",
                _with(about, "F", lambda probe: only(probe.F, -1, 0)),
            ),
        ],
    )


def _images_planes() -> Iterator[Theory]:
    about: About = "dX"
    yield Theory(
        about,
        "only the first filter counts",
        "The sum over the filters is left out.",
        "Sum over all filters.",
        "planes",
        _with(about, "F", lambda probe: only(probe.F, 0, 0)),
    )


def _images_groups() -> Iterator[Theory]:
    about: About = "dX"
    yield Theory(
        about,
        "planes come interleaved over the groups",
        "Plane k is put at k mod groups instead of in blocks.",
        "Put the planes of one group after each other: blocked order.",
        "groups",
        _after(about, lambda probe, right: formulas.interleaved(right, 1, probe.geometry.groups)),
    )


def _images_planes_2() -> Iterator[Theory]:
    about: About = "dX"
    own_plane = "Put the gradient of plane k at plane k."
    yield from _of(
        about,
        "planes",
        [
            (
                "the gradients of the planes are in reverse order",
                "The planes come last to first.",
                own_plane,
                _turned_into(about, lambda right: right[:, ::-1]),
            ),
            (
                "every plane gets the gradient of the first",
                "The index of the plane is forgotten.",
                own_plane,
                _after(about, lambda _, right: repeated(right, 0, 1)),
            ),
        ],
    )


def _of_images() -> Iterator[Theory]:
    about: About = "dX"
    title = "every image gets the gradient of the {}"
    yield from _images_rotation()
    yield from _images_tail()
    yield from _images_stride()
    yield from _images_padding()
    yield from _of_products("dX")
    yield from _images_accumulate()
    yield from _images_planes()
    yield from _upstream(about)
    yield from _filters(about)
    yield from _upstream_groups(about)
    yield from _images_groups()
    yield from _images_planes_2()
    yield from _images(about, "G", title, "Use G of image m for ∂l/∂X of image m.")
    yield from _options(about)
    yield from _result_orders(about)
    yield from _argument_orders(about, "G")
    yield from _other_gradients(about)
    yield from _sizes(about)
    yield from _scalings(about)


def _filters_filters() -> Iterator[Theory]:
    about: About = "dF"
    turn_nothing = "Do not turn anything: ∂l/∂F_i = X ∗ G_i."
    yield from _of(
        about,
        "filters",
        [
            (
                "it is turned by 180°",
                "∂l/∂F is reversed; it needs no rotation.",
                turn_nothing,
                _flipped(about, lambda probe: probe.axes),
            ),
            (
                "it is reversed along its first axis",
                "Rows of ∂l/∂F come last to first.",
                turn_nothing,
                _flipped(about, lambda probe: probe.axes[:1]),
            ),
            (
                "it is reversed along its last axis",
                "Columns of ∂l/∂F come last to first.",
                turn_nothing,
                _flipped(about, lambda probe: probe.axes[-1:]),
            ),
            (
                "the upstream gradient is turned by 180°",
                "True convolution is used, which flips G.",
                "Do not flip G: ∂l/∂F_i = X ∗ G_i.",
                _with(about, "G", lambda probe: flip(probe.G, probe.axes)),
            ),
        ],
    )


def _filters_tail() -> Iterator[Theory]:
    about: About = "dF"
    yield from _of(
        about,
        "tail",
        [
            (
                "the tail is cut at the wrong end",
                "X ∗ G has k + r rows, of which the first k are right; the last k were kept.",
                "Keep the first k rows and columns.",
                formulas.last_taps,
            ),
            (
                "the tail's rows and columns are not cut off",
                "X ∗ G has more rows than F where there is a tail.",
                "Keep the first k rows and columns.",
                _by_table(about, lambda _: {}, sized=True),
            ),
        ],
    )


def _filters_stride() -> Iterator[Theory]:
    about: About = "dF"
    yield from _of(
        about,
        "stride",
        [
            (
                "the upstream gradient is not spread by the stride",
                "No zeros are put between the entries of G.",
                "Put stride − 1 zeros between the entries of G, or dilate the convolution by the stride.",
                _by_table(about, lambda g: {"stride": (1,) * g.spatial_ndim}, sized=sized),
            )
            for sized in (False, True)
        ],
    )


def _filters_axes() -> Iterator[Theory]:
    about: About = "dF"
    yield Theory(
        about,
        "h and w are exchanged",
        "The two axes of each plane of ∂l/∂F are transposed.",
        "Index row by row: dF[i, k, a, b] with a along h.",
        "axes",
        _after(about, lambda _, right: formulas.swapped_axes(right)),
    )


def _filters_planes() -> Iterator[Theory]:
    about: About = "dF"
    own_plane, own_filter = "Put the gradient of plane k at plane k.", "Put the gradient of filter i at filter i."
    yield from _of(
        about,
        "planes",
        [
            (
                "its channel axes are exchanged",
                "∂l/∂F comes as (planes, filters, …).",
                "Put the gradient of plane k of filter i at dF[i, k].",
                _after(about, lambda probe, right: formulas.exchanged_channels(right, probe.geometry.groups)),
            ),
            (
                "its planes are in reverse order",
                "The planes come last to first.",
                own_plane,
                _turned_into(about, lambda right: right[:, ::-1]),
            ),
            (
                "every plane gets the gradient of the first",
                "The index of the plane is forgotten.",
                own_plane,
                _after(about, lambda _, right: repeated(right, 0, 1)),
            ),
            (
                "every filter gets the gradient of the first",
                "The index of the filter is forgotten.",
                own_filter,
                _after(about, lambda _, right: repeated(right, 0, 0)),
            ),
            (
                "every filter gets the gradient of the last",
                "The index of the filter is forgotten.",
                own_filter,
                _after(about, lambda _, right: repeated(right, -1, 0)),
            ),
        ],
    )


def _filters_accumulate() -> Iterator[Theory]:
    about: About = "dF"
    yield Theory(
        about,
        "only the last image counts",
        "The images' gradients are assigned one after the other instead of added.",
        "Add the gradients of all images: += for =.",
        "accumulate",
        lambda probe: probe.filter_gradients()[-1],
    )


def _filters_batch() -> Iterator[Theory]:
    about: About = "dF"
    yield Theory(
        about,
        "only the first image counts",
        "The sum over the images is left out.",
        "Add the gradients of all images.",
        "batch",
        lambda probe: probe.filter_gradients()[0],
    )


def _filters_batch_2() -> Iterator[Theory]:
    about: About = "dF"
    yield Theory(
        about,
        "the images are not summed",
        "There is one gradient per image.",
        "Add the gradients of all images.",
        "batch",
        lambda probe: probe.filter_gradients(),
    )


def _filters_groups() -> Iterator[Theory]:
    about: About = "dF"
    yield from _of(
        about,
        "groups",
        [
            (
                "every group sees the planes of group 0",
                "The index of the plane forgets the group.",
                "Let filter i see the planes of group i ÷ (n/groups).",
                _with(about, "X", lambda probe: formulas.first_group(probe.geometry, probe.X)),
            ),
            (
                "every group gets the gradient of group 0",
                "The index of the filter forgets the group.",
                "Compute the gradient of each group's own filters.",
                _after(about, lambda probe, right: formulas.first_filters(probe.geometry, right)),
            ),
            (
                "filters come interleaved over the groups",
                "Filter i is put at i mod groups instead of in blocks.",
                "Put the filters of one group after each other: blocked order.",
                _after(about, lambda probe, right: formulas.blocked(right, 0, probe.geometry.groups)),
            ),
        ],
    )


def _of_filters() -> Iterator[Theory]:
    about: About = "dF"
    yield from _filters_filters()
    yield from _filters_tail()
    yield from _filters_stride()
    yield from _filters_axes()
    yield from _filters_planes()
    yield from _result_orders(about)
    yield from _filters_accumulate()
    yield from _filters_batch()
    yield from _filters_batch_2()
    yield from _of_products("dF")
    yield from _upstream(about)
    yield from _filters_groups()
    yield from _upstream_groups(about)
    yield from _options(about)
    yield from _padding_modes("dF")
    yield from _argument_orders(about, "X")
    yield from _argument_orders(about, "G")
    yield from _other_gradients(about)
    yield from _sizes(about)
    yield from _scalings(about)


def _biases_bias() -> Iterator[Theory]:
    about: About = "db"

    def left(axis: int) -> Predict:
        return lambda probe: probe.G.sum(axis=tuple(each for each in range(probe.G.ndim) if each != axis))

    sums = "Sum over images and positions; keep the filters: G.sum(axis=(0, 2, 3))."
    yield from _of(
        about,
        "bias",
        [
            (
                "one sum for all filters",
                "G is summed over its filters too.",
                sums,
                lambda probe: np.full(probe.b.shape, probe.G.sum()),
            ),
            ("one sum for all filters", "G is summed over its filters too.", sums, lambda probe: np.sum(probe.G)),
            (
                "it is summed over the wrong axes: columns are left, not filters",
                "The sum runs over filters.",
                sums,
                left(3),
            ),
            (
                "it is summed over the wrong axes: rows are left, not filters",
                "The sum runs over filters.",
                sums,
                left(2),
            ),
            (
                "it is summed over the wrong axes: images are left, not filters",
                "The sum runs over filters.",
                sums,
                left(0),
            ),
            (
                "the positions are not summed",
                "The sum runs over the images alone.",
                sums,
                lambda probe: probe.G.sum(axis=0),
            ),
            (
                "only one position counts",
                "The sum over the positions is left out.",
                sums,
                lambda probe: probe.G[formulas.spatial([-1] * len(probe.axes))].sum(axis=0),
            ),
            (
                "only one position counts",
                "The sum over the positions is left out.",
                sums,
                lambda probe: probe.G[formulas.spatial([0] * len(probe.axes))].sum(axis=0),
            ),
            (
                "the sums are in reverse order",
                "Filter i gets the sum of filter n − 1 − i.",
                sums,
                _turned_into(about, lambda right: right[::-1]),
            ),
        ],
    )


def _biases_upstream() -> Iterator[Theory]:
    about: About = "db"
    yield Theory(
        about,
        "the upstream gradient is replaced by ones",
        "G is not used.",
        "Sum G over images and positions.",
        "upstream",
        _with(about, "G", lambda probe: np.ones_like(probe.G)),
    )


def _biases_accumulate() -> Iterator[Theory]:
    about: About = "db"
    yield Theory(
        about,
        "only the last image counts",
        "The images' gradients are assigned one after the other instead of added.",
        "Add the gradients of all images: += for =.",
        "accumulate",
        lambda probe: probe.G[-1].sum(axis=probe.axes),
    )


def _biases_batch() -> Iterator[Theory]:
    about: About = "db"
    yield from _of(
        about,
        "batch",
        [
            (
                "only the first image counts",
                "The sum over the images is left out.",
                "Add the gradients of all images.",
                lambda probe: probe.G[0].sum(axis=probe.axes),
            ),
            (
                "the images are not summed",
                "There is one gradient per image.",
                "Add the gradients of all images.",
                lambda probe: probe.G.sum(axis=probe.axes),
            ),
        ],
    )


def _of_biases() -> Iterator[Theory]:
    about: About = "db"
    yield from _biases_bias()
    yield from _biases_upstream()
    yield from _biases_accumulate()
    yield from _biases_batch()
    yield from _other_gradients(about)
    yield from _scalings(about)


THEORIES: tuple[Theory, ...] = (*_of_responses(), *_of_images(), *_of_filters(), *_of_biases())
