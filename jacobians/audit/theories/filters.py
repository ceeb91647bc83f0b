"""Wrong formulas for ∂l/∂F."""

from __future__ import annotations

from collections.abc import Iterator

from jacobians.audit import formulas
from jacobians.audit.formulas import flip, repeated
from jacobians.audit.theories.base import (
    About,
    Theory,
    after,
    by_table,
    flipped,
    rows_of,
    turned_into,
    upstream,
    upstream_groups,
    with_other,
)
from jacobians.audit.theories.loops import sums
from jacobians.audit.theories.options import options, padding_modes, scalings
from jacobians.audit.theories.orders import argument_orders, other_gradients, products, result_orders, sizes
from jacobians.audit.theories.slips import borders, masked, per_image, starts, zero

__all__ = ["of_filters"]


def _filters_filters() -> Iterator[Theory]:
    about: About = "dF"
    turn_nothing = "Do not turn anything: ∂l/∂F_i = X ∗ G_i."
    yield from rows_of(
        about,
        "filters",
        [
            (
                "it is turned by 180°",
                "∂l/∂F is reversed; it needs no rotation.",
                turn_nothing,
                flipped(about, lambda probe: probe.axes),
            ),
            (
                "it is reversed along its first axis",
                "Rows of ∂l/∂F come last to first.",
                turn_nothing,
                flipped(about, lambda probe: probe.axes[:1]),
            ),
            (
                "it is reversed along its last axis",
                "Columns of ∂l/∂F come last to first.",
                turn_nothing,
                flipped(about, lambda probe: probe.axes[-1:]),
            ),
            (
                "the upstream gradient is turned by 180°",
                "True convolution is used, which flips G.",
                "Do not flip G: ∂l/∂F_i = X ∗ G_i.",
                with_other(about, "G", lambda probe: flip(probe.G, probe.axes)),
            ),
        ],
    )


def _filters_tail() -> Iterator[Theory]:
    about: About = "dF"
    yield from rows_of(
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
                by_table(about, lambda _: {}, sized=True),
            ),
        ],
    )


def _filters_stride() -> Iterator[Theory]:
    about: About = "dF"
    yield from rows_of(
        about,
        "stride",
        [
            (
                "the upstream gradient is not spread by the stride",
                "No zeros are put between the entries of G.",
                "Put stride − 1 zeros between the entries of G, or dilate the convolution by the stride.",
                by_table(about, lambda g: {"stride": (1,) * g.spatial_ndim}, sized=sized),
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
        after(about, lambda _, right: formulas.swapped_axes(right)),
    )


def _filters_planes() -> Iterator[Theory]:
    about: About = "dF"
    own_plane, own_filter = "Put the gradient of plane k at plane k.", "Put the gradient of filter i at filter i."
    yield from rows_of(
        about,
        "planes",
        [
            (
                "its channel axes are exchanged",
                "∂l/∂F comes as (planes, filters, …).",
                "Put the gradient of plane k of filter i at dF[i, k].",
                after(about, lambda probe, right: formulas.exchanged_channels(right, probe.geometry.groups)),
            ),
            (
                "its planes are in reverse order",
                "The planes come last to first.",
                own_plane,
                turned_into(about, lambda right: right[:, ::-1]),
            ),
            (
                "every plane gets the gradient of the first",
                "The index of the plane is forgotten.",
                own_plane,
                after(about, lambda _, right: repeated(right, 0, 1)),
            ),
            (
                "every filter gets the gradient of the first",
                "The index of the filter is forgotten.",
                own_filter,
                after(about, lambda _, right: repeated(right, 0, 0)),
            ),
            (
                "every filter gets the gradient of the last",
                "The index of the filter is forgotten.",
                own_filter,
                after(about, lambda _, right: repeated(right, -1, 0)),
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
                "every group gets the gradient of group 0",
                "The index of the filter forgets the group.",
                "Compute the gradient of each group's own filters.",
                after(about, lambda probe, right: formulas.first_filters(probe.geometry, right)),
            ),
            (
                "filters come interleaved over the groups",
                "Filter i is put at i mod groups instead of in blocks.",
                "Put the filters of one group after each other: blocked order.",
                after(about, lambda probe, right: formulas.blocked(right, 0, probe.geometry.groups)),
            ),
        ],
    )


def of_filters() -> Iterator[Theory]:
    """Yield all about ∂l/∂F."""
    about: About = "dF"
    yield from _filters_filters()
    yield from _filters_tail()
    yield from _filters_stride()
    yield from _filters_axes()
    yield from _filters_planes()
    yield from result_orders(about)
    yield from _filters_accumulate()
    yield from _filters_batch()
    yield from _filters_batch_2()
    yield from products("dF")
    yield from upstream(about)
    yield from _filters_groups()
    yield from upstream_groups(about)
    yield from options(about)
    yield from padding_modes("dF")
    yield from argument_orders(about, "X")
    yield from argument_orders(about, "G")
    yield from other_gradients(about)
    yield from sizes(about)
    yield from scalings(about)
    yield from borders(about)
    yield from masked(about)
    yield from per_image(about)
    yield from starts("dF")
    yield from zero(about)
    yield from sums(about)
