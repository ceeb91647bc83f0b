"""Wrong formulas for ∂l/∂X."""

from __future__ import annotations

from collections.abc import Iterator

from jacobians.audit import formulas
from jacobians.audit.formulas import only, repeated
from jacobians.audit.theories.base import (
    About,
    Theory,
    after,
    by_table,
    images,
    rows_of,
    turned,
    turned_into,
    upstream,
    upstream_groups,
    with_other,
)
from jacobians.audit.theories.loops import sums, tiles
from jacobians.audit.theories.options import options, scalings
from jacobians.audit.theories.orders import (
    argument_orders,
    filters_read,
    other_gradients,
    products,
    result_orders,
    sizes,
)
from jacobians.audit.theories.slips import borders, masked, per_image, three_axes, zero

__all__ = ["of_images"]


def _images_rotation() -> Iterator[Theory]:
    about: About = "dX"
    reverse = "Reverse every spatial axis of the filter, and no other."
    yield from rows_of(
        about,
        "rotation",
        [
            (
                "the filter is not rotated by 180°",
                "The zero-padded upstream gradient is convolved with F itself.",
                "Turn the filter by 180°: ∂l/∂X = G^zero-pad ∗ F^rot180.",
                turned(about, lambda probe: probe.axes),
            ),
            (
                "the filter is turned along its last axis only",
                "Columns are reversed, rows are not.",
                reverse,
                turned(about, lambda probe: probe.axes[:-1]),
            ),
            (
                "the filter is turned along its first axis only",
                "Rows are reversed, columns are not.",
                reverse,
                turned(about, lambda probe: probe.axes[1:]),
            ),
            (
                "filters and planes are reversed in the place of rows and columns",
                "F[::-1, ::-1] reverses the first two axes.",
                "Reverse the last ones: F[..., ::-1, ::-1].",
                turned(about, lambda probe: range(probe.F.ndim)),
            ),
            (
                "filters and planes are reversed as well",
                "np.flip without axes reverses all of them.",
                reverse,
                turned(about, lambda _: (0, 1)),
            ),
        ],
    )


def _images_tail() -> Iterator[Theory]:
    about: About = "dX"
    yield from rows_of(
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
                by_table(about, lambda _: {}, sized=True),
            ),
        ],
    )


def _images_stride() -> Iterator[Theory]:
    about: About = "dX"
    spread = "Put stride − 1 zeros between the entries of G."
    yield from rows_of(
        about,
        "stride",
        [
            (
                "the upstream gradient is not spread by the stride",
                "No zeros are put between the entries of G.",
                spread,
                by_table(about, lambda g: {"stride": (1,) * g.spatial_ndim}, sized=sized),
            )
            for sized in (False, True)
        ],
    )


def _images_padding() -> Iterator[Theory]:
    about: About = "dX"
    yield from rows_of(
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
                by_table(about, lambda g: {"padding": ((0, 0),) * g.spatial_ndim}),
            ),
            (
                "the padding is cut off in front only",
                "The result ends with the gradient of the padding.",
                "Cut exactly `before` off in front, and what is left behind.",
                by_table(about, lambda g: {"padding": tuple((before + after, 0) for before, after in g.padding)}),
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
    yield from rows_of(
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
                with_other(about, "F", lambda probe: only(probe.F, -1, 0)),
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
        with_other(about, "F", lambda probe: only(probe.F, 0, 0)),
    )


def _images_groups() -> Iterator[Theory]:
    about: About = "dX"
    yield Theory(
        about,
        "planes come interleaved over the groups",
        "Plane k is put at k mod groups instead of in blocks.",
        "Put the planes of one group after each other: blocked order.",
        "groups",
        after(about, lambda probe, right: formulas.interleaved(right, 1, probe.geometry.groups)),
    )


def _images_planes_2() -> Iterator[Theory]:
    about: About = "dX"
    own_plane = "Put the gradient of plane k at plane k."
    yield from rows_of(
        about,
        "planes",
        [
            (
                "the gradients of the planes are in reverse order",
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
        ],
    )


def of_images() -> Iterator[Theory]:
    """Yield all about ∂l/∂X."""
    about: About = "dX"
    title = "every image gets the gradient of the {}"
    yield from _images_rotation()
    yield from _images_tail()
    yield from _images_stride()
    yield from _images_padding()
    yield from products("dX")
    yield from _images_accumulate()
    yield from _images_planes()
    yield from upstream(about)
    yield from filters_read(about)
    yield from upstream_groups(about)
    yield from _images_groups()
    yield from _images_planes_2()
    yield from images(about, "G", title, "Use G of image m for ∂l/∂X of image m.")
    yield from options(about)
    yield from result_orders(about)
    yield from argument_orders(about, "G")
    yield from other_gradients(about)
    yield from sizes(about)
    yield from scalings(about)
    yield from borders(about)
    yield from masked(about)
    yield from per_image(about)
    yield from three_axes(about, "rotation", "Reverse every spatial axis of the filter, and no other.")
    yield from zero(about)
    yield from sums(about)
    yield from tiles(about)
