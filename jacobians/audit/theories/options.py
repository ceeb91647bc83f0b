"""Options that are ignored or exchanged, other paddings, and constant multiples."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from jacobians.audit.formulas import Numbers, table_of
from jacobians.audit.theories.base import About, Array, Predict, Theory, after, by_table
from jacobians.geometry import Geometry

__all__ = ["options", "padding_modes", "scalings"]

Change = tuple[str, str, str, Callable[[Geometry], dict[str, Any]]]
OWN = "Use each axis's own {}."
MOVE = "Move windows by the stride, and read taps a dilation apart."
BOTH = "Put zeros on both sides."


def _all(entries: Sequence[Any], index: int) -> tuple[Any, ...]:
    return (entries[index],) * len(entries)


def _zeros_of_plain_filter(geometry: Geometry) -> dict[str, Any]:
    return {"padding": tuple(((k - 1) // 2, k // 2) for k in geometry.filters[2:])}


def _same(geometry: Geometry) -> dict[str, Any]:
    """Zeros for ⌈H ÷ stride⌉ responses."""
    sizes = zip(geometry.image[1:], geometry.extent, geometry.stride, strict=True)
    zeros = [max((-(-size // step) - 1) * step + extent - size, 0) for size, extent, step in sizes]
    return {"padding": tuple((total // 2, total - total // 2) for total in zeros)}


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
    (
        "the padding is that of a filter that is not dilated",
        "the padding is (k − 1) ÷ 2",
        "Use the extent K = (k − 1)·δ + 1 of the filter: (K − 1) ÷ 2 zeros.",
        _zeros_of_plain_filter,
    ),
    (
        'the padding is that of mode "SAME" of TensorFlow and JAX',
        "the zeros are counted from the sizes of image, filter and stride: one more behind where their number is odd",
        "Give each side its zeros, as pairs; this mode puts none in front at stride 2, filter 3 and an even size.",
        _same,
    ),
)
PLACES: dict[About, str] = {"S": "the forward pass", "dX": "∂l/∂X", "dF": "∂l/∂F"}


def options(about: About) -> Iterator[Theory]:
    """One theory per way to take an option for another: in the right size, and in the size that the mistake gives."""
    for title, cause, cure, change in CHANGES:
        for sized in (False, True):
            because = f"In {PLACES[about]}, {cause}."
            yield Theory(about, title, because, cure, "options", by_table(about, change, sized=sized))


def padding_modes(about: Literal["S", "dF"]) -> Iterator[Theory]:
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


def scalings(about: About) -> Iterator[Theory]:
    """Constant multiples, by the counts that code divides or multiplies by."""

    def divided(count: Callable[[Numbers], int]) -> Predict:
        return after(about, lambda probe, right: right / count(probe))

    def multiplied(count: Callable[[Numbers], int]) -> Predict:
        return after(about, lambda probe, right: right * count(probe))

    def times(factor: float) -> Predict:
        return after(about, lambda _, right: right * factor)

    for name, count in COUNTS:
        mean = f"A mean over {name} is taken where the formula has a sum."
        more = f"The sum is counted once for each of {name}."
        cure = "Sum." if about == "S" else MEAN
        yield Theory(about, f"it is divided by {name}", mean, cure, "scaling", divided(count))
        yield Theory(about, f"it is multiplied by {name}", more, "Add each product once.", "scaling", multiplied(count))
    for factor, words in FACTORS:
        cause, cure = f"Every entry is {factor:g} times the right one.", "Count each product once, with its own sign."
        yield Theory(about, words, cause, cure, "scaling", times(factor))
