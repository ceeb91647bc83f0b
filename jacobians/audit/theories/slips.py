"""Slips at the borders of an image, of axes and of groups, and what belongs to another layer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from jacobians.audit.formulas import Numbers, flip, table_of
from jacobians.audit.theories.base import About, Array, Row, Theory, after, rows_of, turned_into, with_other

__all__ = ["borders", "circular", "clipped_before_bias", "masked", "per_image", "starts", "three_axes", "zero"]

BOTH_CHECKED = "Check the row and the column each: 0 ≤ y < h and 0 ≤ x < w."


def _bare(probe: Numbers, padded: Array, about: About) -> Array:
    """Compute S or ∂l/∂F from an image that has its padding already."""
    layer = probe.geometry
    table = type(table_of(layer))(layer.stride, ((0, 0),) * layer.spatial_ndim, layer.dilation)
    return probe.responses(X=padded, table=table) if about == "S" else probe.filter_gradient(X=padded, table=table)


def _neighbours(probe: Numbers) -> Array | None:
    """Pad by what a flat index finds that is checked against the size of the image alone."""
    layer = probe.geometry
    if not any(map(any, layer.padding)):
        return None
    sizes = layer.image[1:]
    strides = np.cumprod((1, *sizes[:0:-1]))[::-1]
    reach = [np.arange(-before, size + after) for size, (before, after) in zip(sizes, layer.padding, strict=True)]
    flat = sum(np.meshgrid(*(at * int(step) for at, step in zip(reach, strides, strict=True)), indexing="ij"))
    inside = (flat >= 0) & (flat < layer.pixels // layer.image[0])
    return np.asarray(np.where(inside, probe.X.reshape(*probe.X.shape[:2], -1)[..., np.where(inside, flat, 0)], 0))


def _zeroed(at: int) -> Callable[[Numbers, Array], Array]:
    """Set the first or last row and column to 0."""

    def change(probe: Numbers, A: Array) -> Array:
        result = A.copy()
        for axis in probe.axes:
            np.moveaxis(result, axis, 0)[at] = 0
        return result

    return change


def _of_image(change: Callable[[Numbers, Array], Array]) -> Callable[[Numbers], Array]:
    return lambda probe: change(probe, probe.X)


def borders(about: About) -> Iterator[Theory]:
    """Yield pixels at the border that are read or written as padding, and padding as pixels."""
    for at, which, wrong in ((0, "first", "0 < y stands for 0 ≤ y"), (-1, "last", "y < h − 1 stands for y < h")):
        change = _zeroed(at)
        title = f"the {which} row and column of the image are taken for padding"
        predict = after(about, change) if about == "dX" else with_other(about, "X", _of_image(change))
        yield Theory(about, title, f"The test for padding is off by one: {wrong}.", BOTH_CHECKED, "padding", predict)
    if about in {"S", "dF"}:
        yield Theory(
            about,
            "padding is read from the neighbouring row",
            "Only the flat index is compared with the size of the image: left of a row stands the end of another.",
            BOTH_CHECKED,
            "padding",
            lambda probe: None if (padded := _neighbours(probe)) is None else _bare(probe, padded, about),
        )


def circular() -> Iterator[Theory]:
    """Yield responses whose taps run in the other direction, around the edge of the image."""

    def predict(probe: Numbers) -> Array:
        layer = probe.geometry
        padded = np.pad(probe.X, ((0, 0), (0, 0), *layer.padding))
        around = np.pad(padded, ((0, 0), (0, 0), *((extent - 1, 0) for extent in layer.extent)), mode="wrap")
        return _bare(probe.with_array("F", flip(probe.F, probe.axes)), around, "S")

    yield Theory(
        "S",
        "it is the circular convolution: taps run to the left, around the edge",
        "The transform of the filter is not conjugated, or np.roll shifts the other way.",
        "Conjugate the transform of F (correlation), or shift by −i; keep the responses that no edge touches.",
        "correlation",
        predict,
    )


def _masked(mask: Callable[[Array], Array]) -> Callable[[Numbers], Array]:
    return lambda probe: np.asarray(probe.G * mask(probe.responses()))


def zero(about: About) -> Iterator[Theory]:
    """Yield a result that is never computed."""
    cause = "Nothing is added to a buffer of zeros."
    cut = "The gradient is cut off, by stop_gradient or a buffer of zeros that nothing is added to."
    cure = "Compute it from X, F and G; do not cut it off."
    yield Theory(
        about,
        "it is 0 everywhere",
        cause if about == "S" else cut,
        "Add the products." if about == "S" else cure,
        "upstream",
        after(about, lambda _, right: np.zeros_like(right)),
    )


def masked(about: About) -> Iterator[Theory]:
    """Yield gradients behind a ReLU that is not part of the layer."""
    for words, mask in (("S > 0", lambda S: S > 0), ("S ≥ 0", lambda S: S >= 0)):
        yield Theory(
            about,
            f"the upstream gradient is masked by {words}",
            "The backward pass of a ReLU behind the layer is part of it.",
            "Use G as it is; the ReLU's own backward pass masks it.",
            "linear",
            with_other(about, "G", _masked(mask)),
        )


def clipped_before_bias() -> Iterator[Theory]:
    """Yield responses of a ReLU to which the bias is added."""

    def predict(probe: Numbers) -> Array | None:
        bias = probe.b.reshape(-1, *(1,) * probe.geometry.spatial_ndim)
        return np.maximum(probe.responses() - bias, 0) + bias if probe.b.any() else None

    yield Theory(
        "S",
        "a ReLU is left in, before the bias",
        "Negative sums come out as 0, and the bias is added to that.",
        "Audit the convolution alone: return the sum and the bias.",
        "linear",
        predict,
    )


IN_COLUMNS = "The columns of im2col run over positions and images in one order; reshape in the same one."
Order = Callable[[Array], Array]


def _images_last(A: Array) -> Array:
    """Compute positions first and images last, and read images first."""
    filters_first = np.moveaxis(A, (0, 1), (-1, 0))
    return filters_first.reshape(A.shape[1], len(A), *A.shape[2:]).swapaxes(0, 1)


def _images_first(A: Array) -> Array:
    """Compute images first and positions last, and read images last."""
    flat = A.swapaxes(0, 1).reshape(A.shape[1], *A.shape[2:], len(A))
    return np.moveaxis(flat, (-1, 0), (0, 1))


def _ordered(order: Order) -> Callable[[Numbers], Array]:
    return lambda probe: order(probe.G)


def per_image(about: About) -> Iterator[Theory]:
    """Yield orders of the columns of im2col in which images and positions are exchanged."""
    orders: tuple[tuple[str, str, Order], ...] = (
        ("images before positions", "positions, then images", _images_last),
        ("positions before images", "images, then positions", _images_first),
    )
    for words, runs, order in orders:
        if about == "S":
            title, predict = f"it is reshaped with {words}", turned_into("S", order)
        else:
            title = f"the upstream gradient is flattened with {words}"
            predict = with_other(about, "G", _ordered(order))
        yield Theory(about, title, f"The columns run over {runs}.", IN_COLUMNS, "vec", predict)


def starts(about: About) -> Iterator[Theory]:
    """Yield groups whose planes are counted by their filters."""

    def change(probe: Numbers) -> Array | None:
        layer = probe.geometry
        step, planes = layer.filters_per_group, layer.planes_per_group
        if step == planes or layer.groups == 1:
            return None
        # Behind the last plane there is nothing: such a sum is 0.
        more = np.concatenate([probe.X, np.zeros_like(probe.X)] + [np.zeros_like(probe.X)] * step, axis=1)
        return np.concatenate([more[:, step * group :][:, :planes] for group in range(layer.groups)], axis=1)

    yield Theory(
        about,
        "the planes of a group start at its number times n/groups",
        "The index of the first plane is computed with the filters per group.",
        "The planes of group γ start at γ·d/groups.",
        "groups",
        with_other(about, "X", change),
    )


def three_axes(about: About, anchor: str, cure: str) -> Iterator[Theory]:
    """Yield filters of three axes of which one or two are reversed, where none are to be, or all."""
    words, rows = ("first", "middle", "last"), list[Row]()
    for axes in ((1,), (0, 1), (0, 2), (1, 2)):
        named = " and ".join(words[axis] for axis in axes)
        wrong = tuple(axis for axis in range(3) if (axis in axes) == (about == "S"))
        title = f"the filter is {'reversed' if about == 'S' else 'turned'} along its {named} axis"
        predict = with_other(about, "F", functools.partial(_turned_of_three, wrong))
        cause = "It is read from last to first there." if about == "S" else "The other axes are not reversed."
        rows.append((title + (" only" if about == "dX" else ""), cause, cure, predict))
    yield from rows_of(about, anchor, rows)


def _turned_of_three(axes: tuple[int, ...], probe: Numbers) -> Array | None:
    return flip(probe.F, [axis - 3 for axis in axes]) if len(probe.axes) == 3 else None
