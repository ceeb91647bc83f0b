"""Wrong formulas for S."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from jacobians.audit import formulas
from jacobians.audit.formulas import Numbers
from jacobians.audit.theories.base import (
    About,
    Array,
    Predict,
    Theory,
    after,
    images,
    rows_of,
    turned,
    turned_into,
    with_other,
)
from jacobians.audit.theories.loops import sums, tiles
from jacobians.audit.theories.options import options, padding_modes, scalings
from jacobians.audit.theories.orders import (
    argument_orders,
    filters_read,
    products,
    result_orders,
    sizes,
    sizes_of_responses,
)
from jacobians.audit.theories.slips import borders, circular, clipped_before_bias, per_image, starts, three_axes, zero

__all__ = ["of_responses"]

NO_FLIP = "Do not flip the filter in the forward pass."
BLOCKS = "Filter i belongs to group i ÷ (n/groups): blocks, not turns."


def _per_filter(b: Array, axis: int, G: Array) -> Array | None:
    """Add a bias along a spatial axis that happens to be as long as there are filters."""
    if len(b) == 1 or G.shape[axis] != len(b):
        return None
    return b.reshape(-1, *(1,) * (-1 - axis))


def _bias(change: Callable[[Numbers], Array]) -> Predict:
    return with_other("S", "b", lambda probe: change(probe) if probe.b.any() else None)


def _bias_along(axis: int) -> Predict:
    def predict(probe: Numbers) -> Array | None:
        added = _per_filter(probe.b, axis, probe.G)
        return None if added is None else probe.responses(b=probe.b * 0) + added

    return predict


def _responses_correlation() -> Iterator[Theory]:
    about: About = "S"
    yield from rows_of(
        about,
        "correlation",
        [
            (
                "the filter is turned by 180°",
                "This is true convolution, which flips the filter; deep learning's does not.",
                NO_FLIP,
                turned(about, lambda probe: probe.axes),
            ),
            (
                "the filter is reversed along its first axis",
                "Rows of the filter are read from last to first.",
                NO_FLIP,
                turned(about, lambda probe: probe.axes[:1]),
            ),
            (
                "the filter is reversed along its last axis",
                "Columns of the filter are read from last to first.",
                NO_FLIP,
                turned(about, lambda probe: probe.axes[-1:]),
            ),
        ],
    )


def _responses_bias() -> Iterator[Theory]:
    about: About = "S"
    add_own = "Add b_i to every entry of S_i: b[:, None, None]."
    yield from rows_of(
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
    yield from rows_of(
        about,
        "linear",
        [
            (
                "a ReLU is left in",
                "Negative responses come out as 0.",
                "Audit the convolution alone: return S, not max(0, S).",
                turned_into(about, lambda right: np.maximum(right, 0)),
            ),
            (
                "the absolute value is returned",
                "Negative responses lose their sign.",
                "Return S itself.",
                turned_into(about, np.abs),
            ),
        ],
    )


def _responses_groups() -> Iterator[Theory]:
    about: About = "S"
    yield from rows_of(
        about,
        "groups",
        [
            (
                "every group sees the planes of group 0",
                "The index of the plane forgets the group.",
                "Let filter i see the planes of group i ÷ (n/groups).",
                with_other(about, "X", lambda probe: formulas.first_group(probe.geometry, probe.X)),
            ),
            (
                "response maps come interleaved over the groups",
                "Map i is put at i mod groups instead of in blocks.",
                "Put the maps of one group after each other: blocked order.",
                after(about, lambda probe, right: formulas.blocked(right, 1, probe.geometry.groups)),
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
                after(about, lambda probe, right: formulas.interleaved(right, 1, probe.geometry.groups)),
            ),
            (
                "planes are taken interleaved over the groups",
                "Plane k is taken for one of group k mod groups.",
                "Plane k belongs to group k ÷ (d/groups).",
                with_other(about, "X", lambda probe: formulas.interleaved(probe.X, 1, probe.geometry.groups)),
            ),
        ],
    )


def of_responses() -> Iterator[Theory]:
    """Yield all about S."""
    about: About = "S"
    yield from _responses_correlation()
    yield from _responses_bias()
    yield from _responses_linear()
    yield from filters_read(about)
    yield from _responses_groups()
    yield from products("S")
    yield from images(about, "X", "every image gets the responses of the {}", "Read image m for responses m.")
    yield from options(about)
    yield from padding_modes("S")
    yield from result_orders(about)
    yield from argument_orders(about, "X")
    yield from sizes_of_responses()
    yield from sizes(about)
    yield from scalings(about)
    yield from borders(about)
    yield from circular()
    yield from clipped_before_bias()
    yield from per_image(about)
    yield from starts(about)
    yield from three_axes(about, "correlation", NO_FLIP)
    yield from zero(about)
    yield from sums(about)
    yield from tiles(about)
