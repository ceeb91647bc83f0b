"""Known wrong formulas, each with a name, a cause and a cure.

A theory predicts what code computes that makes one particular mistake. It is named only where it reproduces the wrong
numbers exactly. The formulas are written with the convolution forms on changed arguments, or as the sums of L1 with one
thing changed.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jacobians import symbolic
from jacobians.audit.probes import Probe
from jacobians.convolution import filter_sums, forward_sums, input_sums
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry

__all__ = ["THEORIES", "About", "Theory", "explain"]

Array = npt.NDArray[Any]
About = Literal["S", "dX", "dF", "db"]
Predict = Callable[["Numbers"], Array | None]


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
        Takes the numbers and gives what such code computes; None where the mistake makes no sense there.
    """

    about: About
    title: str
    cause: str
    cure: str
    anchor: str
    predict: Predict


@dataclasses.dataclass(frozen=True, eq=False)
class Numbers:
    """A probe in a dtype in which sums do not round, with the right forms on arguments that a theory may change."""

    geometry: Geometry
    X: Array
    F: Array
    b: Array
    G: Array

    def responses(
        self, X: Array | None = None, F: Array | None = None, geometry: Geometry | None = None, b: Array | None = None
    ) -> Array:
        """Right responses to other arguments."""
        X, F, b = self.X if X is None else X, self.F if F is None else F, self.b if b is None else b
        maps = [forward_sums(image, F, geometry or self.geometry) for image in X]
        return np.stack(maps) + b.reshape(-1, *(1,) * self.geometry.spatial_ndim)

    def input_gradient(self, G: Array | None = None, F: Array | None = None, geometry: Geometry | None = None) -> Array:
        """Right ∂l/∂X for other arguments."""
        G, F = self.G if G is None else G, self.F if F is None else F
        return np.stack([input_sums(each, F, geometry or self.geometry) for each in G])

    def filter_gradient(
        self, X: Array | None = None, G: Array | None = None, geometry: Geometry | None = None
    ) -> Array:
        """Right ∂l/∂F for other arguments."""
        X, G = self.X if X is None else X, self.G if G is None else G
        return np.asarray(
            np.sum([filter_sums(x, g, geometry or self.geometry) for x, g in zip(X, G, strict=True)], axis=0)
        )

    @property
    def axes(self) -> tuple[int, ...]:
        """The spatial axes of every array, counted from the back."""
        return tuple(range(-self.geometry.spatial_ndim, 0))

    def with_options(self, **options: Any) -> Geometry | None:
        """Return the layer with other options, None where there is none or its responses have another size."""
        g = self.geometry
        given: dict[str, Any] = {"stride": g.stride, "padding": g.padding, "dilation": g.dilation, "groups": g.groups}
        given |= options
        try:
            changed = Geometry(g.image, g.filters, **given)
        except (ShapeError, OverflowError):
            return None
        return changed if changed.responses == g.responses and changed != g else None


def numbers(probe: Probe) -> Numbers:
    """Return the probe's numbers in a dtype in which theories can compute."""
    wide = np.int64 if probe.X.dtype.kind in "iu" else np.float64
    return Numbers(probe.geometry, *(each.astype(wide) for each in (probe.X, probe.F, probe.b, probe.G)))


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
    return bool(np.all(predicted == got)) or bool(np.all(np.abs(predicted - got) <= slack))


# mistakes that several results share ----------------------------------------------------------------------------------


def _spatial(slices: Iterable[Any]) -> tuple[Any, ...]:
    """Index the spatial axes, and take all of the others."""
    return (..., *slices)


def _flip(A: Array, axes: Sequence[int]) -> Array:
    return np.flip(A, axis=tuple(axes))


def _swapped_axes(F: Array) -> Array | None:
    return F.swapaxes(-1, -2) if F.ndim > 3 and F.shape[-1] == F.shape[-2] else None


def _planes_last(F: Array) -> Array:
    """Read filters as planes last: the columns of im2col run over taps × planes, the filter over planes × taps."""
    return np.moveaxis(F.reshape(F.shape[0], *F.shape[2:], F.shape[1]), -1, 1)


def _planes_last_inverse(F: Array) -> Array:
    return np.moveaxis(F, 1, -1).reshape(F.shape)


def _column_major(F: Array) -> Array:
    """Read filters that were flattened column by column."""
    return F.reshape(*F.shape[:2], *F.shape[:1:-1]).transpose(0, 1, *range(F.ndim - 1, 1, -1))


def _column_major_inverse(F: Array) -> Array:
    """Read filters whose planes were written column by column."""
    return F.transpose(0, 1, *range(F.ndim - 1, 1, -1)).reshape(F.shape)


def _reshaped_channels(F: Array, groups: int) -> Array | None:
    """Exchange the channel axes by a reshape, which keeps the order of the numbers."""
    n, d = F.shape[:2]
    return F.reshape(d, n, *F.shape[2:]).swapaxes(0, 1) if groups == 1 and n > 1 and d > 1 else None


def _groups_in_turn(probe: Numbers) -> Array | None:
    """Responses where filter i sees the planes of group i mod g."""
    g = probe.geometry
    if g.groups == 1 or g.filters_per_group == 1:
        return None
    order = np.arange(g.filters[0]).reshape(g.filters_per_group, g.groups).T.ravel()
    return np.asarray(probe.responses(F=probe.F[order], b=probe.b[order])[:, np.argsort(order)])


def _taps_assigned(probe: Numbers) -> Array:
    """Assign ∂l/∂X tap by tap: for a tap products are summed over the filters, taps overwrite."""
    g = probe.geometry
    padded = np.zeros((len(probe.X), g.image[0], *g.padded), probe.G.dtype)
    for tap in np.ndindex(*g.filters[2:]):
        read = tuple(
            slice(at * d, at * d + s * count, s)
            for at, d, s, count in zip(tap, g.dilation, g.stride, g.responses[1:], strict=True)
        )
        for group in range(g.groups):
            F = probe.F[(g.filters_of(group), slice(None), *tap)]
            part = np.moveaxis(np.tensordot(probe.G[:, g.filters_of(group)], F, ([1], [0])), -1, 1)
            padded[(slice(None), g.planes_of(group), *read)] = part
    return np.asarray(padded[_spatial(slice(b, b + size) for (b, _), size in zip(g.padding, g.image[1:], strict=True))])


def _exchanged_channels(F: Array, groups: int) -> Array | None:
    return F.swapaxes(0, 1) if groups == 1 and F.shape[0] == F.shape[1] > 1 else None


def _interleaved_filters(geometry: Geometry, A: Array, axis: int) -> Array | None:
    """Take filter i for one of group i mod g, not i ÷ (n/g)."""
    g = geometry
    if g.groups == 1 or g.filters_per_group == 1:
        return None
    order = np.arange(g.filters[0]).reshape(g.filters_per_group, g.groups).T.ravel()
    return np.take(A, order, axis=axis)


def _interleaved_planes(geometry: Geometry, A: Array, axis: int) -> Array | None:
    g = geometry
    if g.groups == 1 or g.planes_per_group == 1:
        return None
    order = np.arange(g.image[0]).reshape(g.planes_per_group, g.groups).T.ravel()
    return np.take(A, order, axis=axis)


def _unshuffle(order_of: Callable[[Array], Array | None], A: Array, axis: int) -> Array | None:
    order = order_of(np.arange(A.shape[axis]))
    return None if order is None else np.take(A, np.argsort(order), axis=axis)


def _first_group(geometry: Geometry, X: Array) -> Array | None:
    """Let every group see the planes of group 0."""
    if geometry.groups == 1:
        return None
    return np.concatenate([X[:, geometry.planes_of(0)]] * geometry.groups, axis=1)


def _first_filters(geometry: Geometry, F: Array) -> Array | None:
    """Use the filters of group 0 for every group."""
    return None if geometry.groups == 1 else np.concatenate([F[geometry.filters_of(0)]] * geometry.groups)


def _only(A: Array, index: int, axis: int) -> Array | None:
    """Keep one entry of an axis, zeros elsewhere."""
    if A.shape[axis] == 1:
        return None
    kept = np.zeros_like(A)
    at = (slice(None),) * axis + (index,)
    kept[at] = A[at]
    return kept


def _assigned(probe: Numbers, target: Literal["S", "dX", "dF"], *, last: bool) -> Array:
    """Assign each product of L1 where it should be added, so that the last, or the first, wins."""
    r, p, q = symbolic.triples(probe.geometry)
    order = slice(None) if last else slice(None, None, -1)
    F, results = probe.F.ravel(), []
    for X, G in zip(probe.X, probe.G, strict=True):
        where, value, like = {
            "S": (r, X.ravel()[p] * F[q], G),
            "dX": (p, G.ravel()[r] * F[q], X),
            "dF": (q, G.ravel()[r] * X.ravel()[p], probe.F),
        }[target]
        result = np.zeros_like(like)
        result.reshape(-1)[where[order]] = value[order]
        results.append(result)
    return np.sum(results, axis=0) if target == "dF" else np.stack(results)


def _windows_assigned(probe: Numbers) -> Array:
    """Assign ∂l/∂X window by window: within a window products are summed over the filters, windows overwrite."""
    g = probe.geometry
    padded = np.zeros((len(probe.X), g.image[0], *g.padded), probe.G.dtype)
    for position in np.ndindex(*g.responses[1:]):
        window = tuple(
            slice(at * s, at * s + extent, d)
            for at, s, extent, d in zip(position, g.stride, g.extent, g.dilation, strict=True)
        )
        for group in range(g.groups):
            G = probe.G[(slice(None), g.filters_of(group), *position)]
            padded[(slice(None), g.planes_of(group), *window)] = np.tensordot(G, probe.F[g.filters_of(group)], 1)
    return np.asarray(padded[_spatial(slice(b, b + size) for (b, _), size in zip(g.padding, g.image[1:], strict=True))])


def _option_theories(about: About, name: str, compute: Callable[[Numbers, Geometry], Array]) -> Iterator[Theory]:
    """One theory per way to take an option for another, where the sizes happen to be the same."""

    def predict(change: Callable[[Geometry], dict[str, Any]]) -> Predict:
        def under(probe: Numbers) -> Array | None:
            changed = probe.with_options(**change(probe.geometry))
            return None if changed is None else compute(probe, changed)

        return under

    own_stride, own_dilation = "Use each axis's own stride.", "Use each axis's own dilation."
    both = "Put zeros on both sides."
    changes: list[tuple[str, str, str, Callable[[Geometry], dict[str, Any]]]] = [
        (
            "padding before and after are exchanged",
            "the zeros that belong before the image are put behind it",
            "Use the first entry of each pair before the image.",
            lambda g: {"padding": [(after, before) for before, after in g.padding]},
        ),
        (
            "the padding of h and w is exchanged",
            "the padding of one axis is used for the other",
            "Use each axis's own padding.",
            lambda g: {"padding": g.padding[::-1]},
        ),
        (
            "the stride of h and w is exchanged",
            "the stride of one axis is used for the other",
            own_stride,
            lambda g: {"stride": g.stride[::-1]},
        ),
        (
            "the stride of the first axis is used for all",
            "one stride serves all axes",
            own_stride,
            lambda g: {"stride": g.stride[0]},
        ),
        (
            "the stride of the last axis is used for all",
            "one stride serves all axes",
            own_stride,
            lambda g: {"stride": g.stride[-1]},
        ),
        (
            "the dilation of h and w is exchanged",
            "the dilation of one axis is used for the other",
            own_dilation,
            lambda g: {"dilation": g.dilation[::-1]},
        ),
        (
            "stride and dilation are exchanged",
            "the step between windows is taken for the step between taps",
            "Move windows by the stride, and read taps a dilation apart.",
            lambda g: {"stride": g.dilation, "dilation": g.stride},
        ),
        (
            "the dilation is ignored",
            "taps are read side by side",
            "Read taps a dilation apart.",
            lambda g: {"dilation": 1},
        ),
        ("the stride is ignored", "windows move by one pixel", "Move windows by the stride.", lambda g: {"stride": 1}),
        (
            "the padding is put behind the image only",
            "all zeros come after the image",
            both,
            lambda g: {"padding": [(0, before + after) for before, after in g.padding]},
        ),
        (
            "the padding is put before the image only",
            "all zeros come before the image",
            both,
            lambda g: {"padding": [(before + after, 0) for before, after in g.padding]},
        ),
    ]
    for title, cause, cure, change in changes:
        yield Theory(about, title, f"In {name}, {cause}.", cure, "options", predict(change))


def _scalings(about: About, right: Callable[[Numbers], Array]) -> Iterator[Theory]:
    """Constant multiples, by the counts that code divides or multiplies by."""

    def multiplied(factor: Callable[[Numbers], float]) -> Predict:
        return lambda probe: None if factor(probe) == 1 else right(probe) * factor(probe)

    def divided(factor: Callable[[Numbers], float]) -> Predict:
        return lambda probe: None if factor(probe) == 1 else right(probe) / factor(probe)

    counts: list[tuple[str, Callable[[Numbers], float]]] = [
        ("the number of images", lambda probe: len(probe.X)),
        ("the number of responses h'·w'", lambda probe: probe.geometry.positions),
        ("images times responses", lambda probe: len(probe.X) * probe.geometry.positions),
        ("the number of taps", lambda probe: probe.geometry.taps),
        ("the number of planes", lambda probe: probe.geometry.image[0]),
        ("the number of filters", lambda probe: probe.geometry.filters[0]),
        ("the size of one filter plane", lambda probe: math.prod(probe.geometry.filters[2:])),
        ("the number of all responses", lambda probe: probe.G.size),
    ]
    for name, count in counts:
        yield Theory(
            about,
            f"it is divided by {name}",
            f"A mean over {name} is taken where the formula has a sum.",
            "Sum; the mean over a mini-batch belongs to the loss, and reaches this gradient through G.",
            "scaling",
            divided(count),
        )
        yield Theory(
            about,
            f"it is multiplied by {name}",
            f"The sum is counted once for each of {name}.",
            "Add each product once.",
            "scaling",
            multiplied(count),
        )
    for factor, words in (
        (-1, "its sign is wrong"),
        (2, "it is twice what it should be"),
        (0.5, "it is half of what it should be"),
    ):
        yield Theory(
            about,
            words,
            f"Every entry is {factor:g} times the right one.",
            "Count each product once, with its own sign.",
            "scaling",
            multiplied(functools.partial(_always, factor)),
        )


def _always(number: float, _: Numbers) -> float:
    return number


def _filter_theories(about: About, right: Callable[[Numbers, Array], Array]) -> Iterator[Theory]:
    """Filters that are read in another order, of S and ∂l/∂X alike."""

    def of(change: Callable[[Numbers], Array | None]) -> Predict:
        def predict(probe: Numbers) -> Array | None:
            F = change(probe)
            return None if F is None else right(probe, F)

        return predict

    yield Theory(
        about,
        "h and w of the filter are exchanged",
        "The two axes of each filter plane are transposed.",
        "Index the filter row by row: F[i, k, a, b] with a along h.",
        "axes",
        of(lambda probe: _swapped_axes(probe.F)),
    )
    yield Theory(
        about,
        "the channel axes of F are exchanged",
        "F is read as (planes, filters, …).",
        "Read F[i, k] as plane k of filter i; ∂l/∂X sums over i, S over k.",
        "planes",
        of(lambda probe: _exchanged_channels(probe.F, probe.geometry.groups)),
    )
    yield Theory(
        about,
        "the planes of the filter are in reverse order",
        "Plane k of X meets plane d − 1 − k of the filter.",
        "Let plane k of X meet plane k of the filter.",
        "planes",
        of(lambda probe: probe.F[:, ::-1] if probe.F.shape[1] > 1 else None),
    )
    yield Theory(
        about,
        "columns are planes last, filters planes first",
        "The columns of im2col run over taps and then planes, the flattened filter over planes and then taps.",
        "Flatten both planes first: planes, then rows, then columns.",
        "vec",
        of(lambda probe: _planes_last(probe.F) if probe.F.shape[1] > 1 else None),
    )
    yield Theory(
        about,
        "filters are read planes last",
        "The flattened filter is taken to run over taps and then planes.",
        "Flatten planes first: planes, then rows, then columns.",
        "vec",
        of(lambda probe: _planes_last_inverse(probe.F) if probe.F.shape[1] > 1 else None),
    )
    yield Theory(
        about,
        "filters are flattened column by column",
        "The vec of the filter is column-major, that of the patch row-major.",
        "Flatten both row by row.",
        "vec",
        of(lambda probe: _column_major(probe.F) if probe.F.ndim > 3 else None),
    )
    yield Theory(
        about,
        "filters are written column by column",
        "Each plane of the filter is flattened column by column, and read row by row.",
        "Flatten both row by row.",
        "vec",
        of(lambda probe: _column_major_inverse(probe.F) if probe.F.ndim > 3 else None),
    )
    yield Theory(
        about,
        "the channel axes of F are exchanged by a reshape",
        "A reshape to (planes, filters, …) keeps the order of the numbers, and so mixes filters.",
        "Exchange axes with swapaxes or transpose.",
        "planes",
        of(lambda probe: _reshaped_channels(probe.F, probe.geometry.groups)),
    )
    yield Theory(
        about,
        "the filters of group 0 are used for all groups",
        "The index of the filter forgets the group.",
        "Use filters i of group g from g·n/groups on.",
        "groups",
        of(lambda probe: _first_filters(probe.geometry, probe.F)),
    )
    yield Theory(
        about,
        "only the first plane is summed",
        "The other planes of the filter are left out.",
        "Sum over all planes.",
        "planes",
        of(lambda probe: _only(probe.F, 0, 1)),
    )
    yield Theory(
        about,
        "only the last plane counts",
        "The planes are assigned one after the other instead of added.",
        "Add the planes: += for =.",
        "accumulate",
        of(lambda probe: _only(probe.F, -1, 1)),
    )


def _ones(A: Array) -> Array:
    return np.ones_like(A)


def _clipped(probe: Numbers) -> Array | None:
    """∂l/∂X where the padding p is larger than k − 1 and the negative padding of G is clipped at 0."""
    g = probe.geometry
    over = [max(before - extent + 1, 0) for (before, _), extent in zip(g.padding, g.extent, strict=True)]
    if not any(over):
        return None
    padding = [(before - cut, after + cut) for (before, after), cut in zip(g.padding, over, strict=True)]
    changed = probe.with_options(padding=padding)
    return None if changed is None else probe.input_gradient(geometry=changed)


def _uncut(probe: Numbers, *, behind: bool) -> Array | None:
    """∂l/∂X with the padding left on one side, so that it is shifted."""
    g = probe.geometry
    if not any(map(any, g.padding)):
        return None
    bare = Geometry((g.image[0], *g.padded), g.filters, stride=g.stride, dilation=g.dilation, groups=g.groups)
    padded = probe.input_gradient(geometry=bare)
    if behind:
        return np.asarray(padded[_spatial(slice(None, size) for size in g.image[1:])])
    return np.asarray(
        padded[_spatial(slice(full - size, None) for full, size in zip(g.padded, g.image[1:], strict=True))]
    )


def _tail_first(probe: Numbers) -> Array | None:
    """∂l/∂X with the tail's rows and columns in front."""
    g = probe.geometry
    if not any(g.tail):
        return None
    bare = Geometry((g.image[0], *g.padded), g.filters, stride=g.stride, dilation=g.dilation, groups=g.groups)
    rolled = np.roll(probe.input_gradient(geometry=bare), g.tail, axis=probe.axes)
    return np.asarray(rolled[_spatial(slice(b, b + size) for (b, _), size in zip(g.padding, g.image[1:], strict=True))])


def _tail_zeroed(probe: Numbers) -> Array | None:
    """∂l/∂X whose last rows and columns, as many as the tail, are 0 although windows reach them."""
    g = probe.geometry
    if not any(g.tail):
        return None
    result = probe.input_gradient()
    for axis, tail in zip(probe.axes, g.tail, strict=True):
        if tail:
            result[_spatial([slice(-tail, None), *[slice(None)] * (-1 - axis)])] = 0
    return result


def _unspread(probe: Numbers) -> Array | None:
    """∂l/∂X of an upstream gradient that is not spread by the stride, in a corner."""
    g = probe.geometry
    return None if set(g.stride) == {1} else _as_stride_one(probe)


def _as_stride_one(probe: Numbers) -> Array | None:
    g = probe.geometry
    try:
        dense = Geometry(g.image, g.filters, padding=g.padding, dilation=g.dilation, groups=g.groups)
    except ShapeError:
        return None
    G = np.zeros((len(probe.G), *dense.responses), probe.G.dtype)
    G[_spatial(slice(None, size) for size in g.responses[1:])] = probe.G
    return probe.input_gradient(G=G, geometry=dense)


def _filter_tail_front(probe: Numbers) -> Array | None:
    """∂l/∂F of k + r rows that is cut at the wrong end."""
    g = probe.geometry
    if not any(g.tail):
        return None
    shift = [-(-tail // step) if tail >= step else 0 for tail, step in zip(g.tail, g.dilation, strict=True)]
    if set(g.dilation) == {1}:
        shift = list(g.tail)
    wide = [(before - move, after + move) for (before, after), move in zip(g.padding, shift, strict=True)]
    X = np.pad(probe.X, ((0, 0), (0, 0), *((0, 2 * move) for move in shift)))
    X = X[_spatial(slice(max(-before, 0), None) for before, _ in wide)]
    layer = Geometry(
        (g.image[0], *X.shape[2:]),
        g.filters,
        stride=g.stride,
        padding=[(max(b, 0), max(a, 0)) for b, a in wide],
        dilation=g.dilation,
        groups=g.groups,
    )
    if any(a < b for a, b in zip(layer.responses[1:], g.responses[1:], strict=True)):
        return None
    G = np.zeros((len(probe.G), *layer.responses), probe.G.dtype)
    G[_spatial(slice(None, size) for size in g.responses[1:])] = probe.G
    return probe.filter_gradient(X=X, G=G, geometry=layer)


def _unspread_filters(probe: Numbers) -> Array | None:
    g = probe.geometry
    if set(g.stride) == {1}:
        return None
    dense = Geometry(g.image, g.filters, padding=g.padding, dilation=g.dilation, groups=g.groups)
    G = np.zeros((len(probe.G), *dense.responses), probe.G.dtype)
    G[_spatial(slice(None, size) for size in g.responses[1:])] = probe.G
    return probe.filter_gradient(G=G, geometry=dense)


# the catalogue --------------------------------------------------------------------------------------------------------


def _of_responses() -> Iterator[Theory]:
    about: About = "S"
    yield Theory(
        about,
        "the filter is turned by 180°",
        "This is true convolution, which flips the filter; deep learning's does not.",
        "Do not flip the filter in the forward pass.",
        "correlation",
        lambda probe: probe.responses(F=_flip(probe.F, probe.axes)),
    )
    yield Theory(
        about,
        "the filter is reversed along its first axis",
        "Rows of the filter are read from last to first.",
        "Do not flip the filter in the forward pass.",
        "correlation",
        lambda probe: probe.responses(F=_flip(probe.F, probe.axes[:1])),
    )
    yield Theory(
        about,
        "the filter is reversed along its last axis",
        "Columns of the filter are read from last to first.",
        "Do not flip the filter in the forward pass.",
        "correlation",
        lambda probe: probe.responses(F=_flip(probe.F, probe.axes[-1:])),
    )
    yield Theory(
        about,
        "the bias is left out",
        "No bias is added.",
        "Add b_i to every entry of S_i.",
        "bias",
        lambda probe: probe.responses(b=probe.b * 0) if probe.b.any() else None,
    )
    yield Theory(
        about,
        "the bias is added twice",
        "Two places add the bias.",
        "Add b_i once.",
        "bias",
        lambda probe: probe.responses(b=probe.b * 2) if probe.b.any() else None,
    )
    yield Theory(
        about,
        "one bias is used for all filters",
        "The first filter's bias is added to every response map.",
        "Add b_i to S_i.",
        "bias",
        lambda probe: probe.responses(b=np.full_like(probe.b, probe.b[0])) if probe.b.any() else None,
    )
    yield Theory(
        about,
        "the bias is added once per plane",
        "The bias is added inside the sum over the planes.",
        "Add b_i after the sum.",
        "bias",
        lambda probe: probe.responses(b=probe.b * probe.geometry.planes_per_group) if probe.b.any() else None,
    )
    yield Theory(
        about,
        "the bias is added once per tap",
        "The bias is added inside the sum over the taps.",
        "Add b_i after the sum.",
        "bias",
        lambda probe: probe.responses(b=probe.b * probe.geometry.taps) if probe.b.any() else None,
    )
    yield Theory(
        about,
        "a ReLU is left in",
        "Negative responses come out as 0.",
        "Audit the convolution alone: return S, not max(0, S).",
        "linear",
        lambda probe: np.maximum(probe.responses(), 0),
    )
    yield Theory(
        about,
        "the absolute value is returned",
        "Negative responses lose their sign.",
        "Return S itself.",
        "linear",
        lambda probe: np.abs(probe.responses()),
    )
    yield from _filter_theories(about, lambda probe, F: probe.responses(F=F))
    yield Theory(
        about,
        "every group sees the planes of group 0",
        "The index of the plane forgets the group.",
        "Let filter i see the planes of group i ÷ (n/groups).",
        "groups",
        lambda probe: None if (X := _first_group(probe.geometry, probe.X)) is None else probe.responses(X=X),
    )
    yield Theory(
        about,
        "response maps come interleaved over the groups",
        "Map i is put at i mod groups instead of in blocks.",
        "Put the maps of one group after each other: blocked order.",
        "groups",
        lambda probe: _unshuffle(lambda index: _interleaved_filters(probe.geometry, index, 0), probe.responses(), 1),
    )
    yield Theory(
        about,
        "filter i sees the planes of group i mod groups",
        "The groups take turns instead of being blocks of filters.",
        "Let filter i see the planes of group i ÷ (n/groups).",
        "groups",
        _groups_in_turn,
    )
    yield Theory(
        about,
        "filters are taken interleaved over the groups",
        "Filter i is taken for one of group i mod groups.",
        "Filter i belongs to group i ÷ (n/groups).",
        "groups",
        lambda probe: _interleaved_filters(probe.geometry, probe.responses(), 1),
    )
    yield Theory(
        about,
        "planes are taken interleaved over the groups",
        "Plane k is taken for one of group k mod groups.",
        "Plane k belongs to group k ÷ (d/groups).",
        "groups",
        lambda probe: None if (X := _interleaved_planes(probe.geometry, probe.X, 1)) is None else probe.responses(X=X),
    )
    yield Theory(
        about,
        "products are assigned, not added",
        "Only the last product of each sum is left: `=` stands where `+=` is needed.",
        "Add: += for =.",
        "accumulate",
        lambda probe: _assigned(probe, "S", last=True) + probe.b.reshape(-1, *(1,) * probe.geometry.spatial_ndim),
    )
    yield Theory(
        about,
        "every image gets the responses of the first",
        "The index of the image is forgotten.",
        "Read image m for responses m.",
        "batch",
        lambda probe: probe.responses(X=np.repeat(probe.X[:1], len(probe.X), axis=0)) if len(probe.X) > 1 else None,
    )
    yield Theory(
        about,
        "every image gets the responses of the last",
        "The index of the image is forgotten.",
        "Read image m for responses m.",
        "batch",
        lambda probe: probe.responses(X=np.repeat(probe.X[-1:], len(probe.X), axis=0)) if len(probe.X) > 1 else None,
    )
    yield from _option_theories(about, "the forward pass", lambda probe, geometry: probe.responses(geometry=geometry))
    yield from _scalings(about, lambda probe: probe.responses())


def _of_images() -> Iterator[Theory]:
    about: About = "dX"
    yield Theory(
        about,
        "the filter is not rotated by 180°",
        "The zero-padded upstream gradient is convolved with F itself.",
        "Turn the filter by 180°: ∂l/∂X = G^zero-pad ∗ F^rot180.",
        "rotation",
        lambda probe: probe.input_gradient(F=_flip(probe.F, probe.axes)),
    )
    yield Theory(
        about,
        "the filter is turned along its last axis only",
        "Columns are reversed, rows are not.",
        "Reverse every spatial axis of the filter.",
        "rotation",
        lambda probe: probe.input_gradient(F=_flip(probe.F, probe.axes[:-1])) if len(probe.axes) > 1 else None,
    )
    yield Theory(
        about,
        "the filter is turned along its first axis only",
        "Rows are reversed, columns are not.",
        "Reverse every spatial axis of the filter.",
        "rotation",
        lambda probe: probe.input_gradient(F=_flip(probe.F, probe.axes[1:])) if len(probe.axes) > 1 else None,
    )
    yield Theory(
        about,
        "the tail is put back in front",
        "Rows and columns that no window reached are put before the gradient instead of behind it.",
        "Put the tail's zeros behind the spread gradient.",
        "tail",
        _tail_first,
    )
    yield Theory(
        about,
        "the tail's rows and columns are set to 0",
        "The last rows and columns, as many as the tail, are filled with zeros although windows reach them.",
        "Cut the padding off only after the tail was put back.",
        "tail",
        _tail_zeroed,
    )
    yield Theory(
        about,
        "the upstream gradient is not spread by the stride",
        "No zeros are put between the entries of G.",
        "Put stride − 1 zeros between the entries of G.",
        "stride",
        _unspread,
    )
    yield Theory(
        about,
        "padding larger than the filter is clipped",
        "Where the padding is larger than k − 1, G needs to be cut; a negative padding was taken for 0.",
        "Cut p − (k − 1) rows off G where that is positive.",
        "padding",
        _clipped,
    )
    yield Theory(
        about,
        "the padding is not cut off in front",
        "The result starts with the gradient of the padding.",
        "Cut `before` rows and columns off in front.",
        "padding",
        lambda probe: _uncut(probe, behind=True),
    )
    yield Theory(
        about,
        "the padding is cut off in front only",
        "The result ends with the gradient of the padding.",
        "Cut exactly `before` off in front, and what is left behind.",
        "padding",
        lambda probe: _uncut(probe, behind=False),
    )
    yield Theory(
        about,
        "windows overwrite each other",
        "Where windows overlap, the last one is assigned: `=` stands where `+=` is needed.",
        "Add each window's part: += for =.",
        "accumulate",
        _windows_assigned,
    )
    yield Theory(
        about,
        "products are assigned, not added",
        "Only the last product of each sum is left: `=` stands where `+=` is needed.",
        "Add: += for =.",
        "accumulate",
        lambda probe: _assigned(probe, "dX", last=True),
    )
    yield Theory(
        about,
        "taps overwrite each other",
        "Going tap by tap, the last tap that reads a pixel is assigned: `=` stands where `+=` is needed.",
        "Add each tap's part: += for =.",
        "accumulate",
        _taps_assigned,
    )
    yield Theory(
        about,
        "products are assigned, not added",
        "Only the first product of each sum is left.",
        "Add: += for =.",
        "accumulate",
        lambda probe: _assigned(probe, "dX", last=False),
    )
    yield Theory(
        about,
        "only the last filter counts",
        "The filters' parts are assigned one after the other instead of added.",
        "Sum over all filters.",
        "accumulate",
        lambda probe: None if (F := _only(probe.F, -1, 0)) is None else probe.input_gradient(F=F),
    )
    yield Theory(
        about,
        "only the first filter counts",
        "The sum over the filters is left out.",
        "Sum over all filters.",
        "planes",
        lambda probe: None if (F := _only(probe.F, 0, 0)) is None else probe.input_gradient(F=F),
    )
    yield Theory(
        about,
        "the upstream gradient is replaced by ones",
        "G is not used.",
        "Multiply by G: the gradient of a loss, not of the sum of S.",
        "upstream",
        lambda probe: probe.input_gradient(G=_ones(probe.G)),
    )
    yield from _filter_theories(about, lambda probe, F: probe.input_gradient(F=F))
    yield Theory(
        about,
        "response maps are taken interleaved over the groups",
        "Map i is taken for one of group i mod groups.",
        "Map i belongs to group i ÷ (n/groups).",
        "groups",
        lambda probe: (
            None
            if (G := _unshuffle(lambda index: _interleaved_filters(probe.geometry, index, 0), probe.G, 1)) is None
            else probe.input_gradient(G=G)
        ),
    )
    yield Theory(
        about,
        "planes come interleaved over the groups",
        "Plane k is put at k mod groups instead of in blocks.",
        "Put the planes of one group after each other: blocked order.",
        "groups",
        lambda probe: _interleaved_planes(probe.geometry, probe.input_gradient(), 1),
    )
    yield Theory(
        about,
        "the gradients of the planes are in reverse order",
        "The planes come last to first.",
        "Put the gradient of plane k at plane k.",
        "planes",
        lambda probe: probe.input_gradient()[:, ::-1] if probe.X.shape[1] > 1 else None,
    )
    yield Theory(
        about,
        "every image gets the gradient of the first",
        "The index of the image is forgotten.",
        "Use G of image m for ∂l/∂X of image m.",
        "batch",
        lambda probe: (
            probe.input_gradient(G=np.repeat(probe.G[:1], len(probe.G), axis=0)) if len(probe.G) > 1 else None
        ),
    )
    yield Theory(
        about,
        "every image gets the gradient of the last",
        "The index of the image is forgotten.",
        "Use G of image m for ∂l/∂X of image m.",
        "batch",
        lambda probe: (
            probe.input_gradient(G=np.repeat(probe.G[-1:], len(probe.G), axis=0)) if len(probe.G) > 1 else None
        ),
    )
    yield from _option_theories(about, "∂l/∂X", lambda probe, geometry: probe.input_gradient(geometry=geometry))
    yield from _scalings(about, lambda probe: probe.input_gradient())


def _of_filters() -> Iterator[Theory]:
    about: About = "dF"
    yield Theory(
        about,
        "it is turned by 180°",
        "∂l/∂F is reversed; it needs no rotation.",
        "Do not turn anything: ∂l/∂F_i = X ∗ G_i.",
        "filters",
        lambda probe: _flip(probe.filter_gradient(), probe.axes),
    )
    yield Theory(
        about,
        "it is reversed along its first axis",
        "Rows of ∂l/∂F come last to first.",
        "Do not turn anything: ∂l/∂F_i = X ∗ G_i.",
        "filters",
        lambda probe: _flip(probe.filter_gradient(), probe.axes[:1]),
    )
    yield Theory(
        about,
        "it is reversed along its last axis",
        "Columns of ∂l/∂F come last to first.",
        "Do not turn anything: ∂l/∂F_i = X ∗ G_i.",
        "filters",
        lambda probe: _flip(probe.filter_gradient(), probe.axes[-1:]),
    )
    yield Theory(
        about,
        "the upstream gradient is turned by 180°",
        "True convolution is used, which flips G.",
        "Do not flip G: ∂l/∂F_i = X ∗ G_i.",
        "filters",
        lambda probe: probe.filter_gradient(G=_flip(probe.G, probe.axes)),
    )
    yield Theory(
        about,
        "the tail is cut at the wrong end",
        "X ∗ G has k + r rows, of which the first k are right; the last k were kept.",
        "Keep the first k rows and columns.",
        "tail",
        _filter_tail_front,
    )
    yield Theory(
        about,
        "the upstream gradient is not spread by the stride",
        "No zeros are put between the entries of G.",
        "Put stride − 1 zeros between the entries of G, or dilate the convolution by the stride.",
        "stride",
        _unspread_filters,
    )
    yield Theory(
        about,
        "h and w are exchanged",
        "The two axes of each plane of ∂l/∂F are transposed.",
        "Index row by row: dF[i, k, a, b] with a along h.",
        "axes",
        lambda probe: _swapped_axes(probe.filter_gradient()),
    )
    yield Theory(
        about,
        "its channel axes are exchanged",
        "∂l/∂F comes as (planes, filters, …).",
        "Put the gradient of plane k of filter i at dF[i, k].",
        "planes",
        lambda probe: _exchanged_channels(probe.filter_gradient(), probe.geometry.groups),
    )
    yield Theory(
        about,
        "its planes are in reverse order",
        "The planes come last to first.",
        "Put the gradient of plane k at plane k.",
        "planes",
        lambda probe: probe.filter_gradient()[:, ::-1] if probe.F.shape[1] > 1 else None,
    )
    yield Theory(
        about,
        "it is reshaped planes last",
        "The row vector runs over planes and then taps, and was reshaped as taps and then planes.",
        "Reshape planes first: (n, d, k, k).",
        "vec",
        lambda probe: _planes_last(probe.filter_gradient()) if probe.F.shape[1] > 1 else None,
    )
    yield Theory(
        about,
        "it is written planes last",
        "The row vector runs over taps and then planes.",
        "Flatten planes first: planes, then rows, then columns.",
        "vec",
        lambda probe: _planes_last_inverse(probe.filter_gradient()) if probe.F.shape[1] > 1 else None,
    )
    yield Theory(
        about,
        "it is reshaped column by column",
        "The row vector runs row by row, and was reshaped column by column.",
        "Reshape row by row.",
        "vec",
        lambda probe: _column_major(probe.filter_gradient()) if probe.F.ndim > 3 else None,
    )
    yield Theory(
        about,
        "only the last image counts",
        "The images' gradients are assigned one after the other instead of added.",
        "Add the gradients of all images: += for =.",
        "accumulate",
        lambda probe: probe.filter_gradient(X=probe.X[-1:], G=probe.G[-1:]) if len(probe.X) > 1 else None,
    )
    yield Theory(
        about,
        "only the first image counts",
        "The sum over the images is left out.",
        "Add the gradients of all images.",
        "batch",
        lambda probe: probe.filter_gradient(X=probe.X[:1], G=probe.G[:1]) if len(probe.X) > 1 else None,
    )
    yield Theory(
        about,
        "products are assigned, not added",
        "Only the last product of each sum is left: `=` stands where `+=` is needed.",
        "Add: += for =.",
        "accumulate",
        lambda probe: _assigned(probe, "dF", last=True),
    )
    yield Theory(
        about,
        "the upstream gradient is replaced by ones",
        "G is not used.",
        "Multiply by G: the gradient of a loss, not of the sum of S.",
        "upstream",
        lambda probe: probe.filter_gradient(G=_ones(probe.G)),
    )
    yield Theory(
        about,
        "every group sees the planes of group 0",
        "The index of the plane forgets the group.",
        "Let filter i see the planes of group i ÷ (n/groups).",
        "groups",
        lambda probe: None if (X := _first_group(probe.geometry, probe.X)) is None else probe.filter_gradient(X=X),
    )
    yield Theory(
        about,
        "every group gets the gradient of group 0",
        "The index of the filter forgets the group.",
        "Compute the gradient of each group's own filters.",
        "groups",
        lambda probe: _first_filters(probe.geometry, probe.filter_gradient()),
    )
    yield Theory(
        about,
        "filters come interleaved over the groups",
        "Filter i is put at i mod groups instead of in blocks.",
        "Put the filters of one group after each other: blocked order.",
        "groups",
        lambda probe: _unshuffle(
            lambda index: _interleaved_filters(probe.geometry, index, 0), probe.filter_gradient(), 0
        ),
    )
    yield Theory(
        about,
        "response maps are taken interleaved over the groups",
        "Map i is taken for one of group i mod groups.",
        "Map i belongs to group i ÷ (n/groups).",
        "groups",
        lambda probe: (
            None
            if (G := _unshuffle(lambda index: _interleaved_filters(probe.geometry, index, 0), probe.G, 1)) is None
            else probe.filter_gradient(G=G)
        ),
    )
    yield from _option_theories(about, "∂l/∂F", lambda probe, geometry: probe.filter_gradient(geometry=geometry))
    yield from _scalings(about, lambda probe: probe.filter_gradient())


def _of_biases() -> Iterator[Theory]:
    about: About = "db"

    def sums(probe: Numbers) -> Array:
        return np.asarray(probe.G.sum(axis=(0, *probe.axes)))

    yield Theory(
        about,
        "one sum for all filters",
        "G is summed over its filters too.",
        "Sum over images and positions; keep the filters.",
        "bias",
        lambda probe: np.full(probe.b.shape, probe.G.sum()) if len(probe.b) > 1 else None,
    )
    yield Theory(
        about,
        "the upstream gradient is replaced by ones",
        "G is not used.",
        "Sum G over images and positions.",
        "upstream",
        lambda probe: np.full(probe.b.shape, probe.G[:, 0].size, probe.G.dtype),
    )
    yield Theory(
        about,
        "only the last image counts",
        "The images' gradients are assigned one after the other instead of added.",
        "Add the gradients of all images: += for =.",
        "accumulate",
        lambda probe: probe.G[-1].sum(axis=probe.axes) if len(probe.G) > 1 else None,
    )
    yield Theory(
        about,
        "only the first image counts",
        "The sum over the images is left out.",
        "Add the gradients of all images.",
        "batch",
        lambda probe: probe.G[0].sum(axis=probe.axes) if len(probe.G) > 1 else None,
    )
    yield Theory(
        about,
        "only one position counts",
        "The sum over the positions is left out.",
        "Sum over all positions.",
        "bias",
        lambda probe: probe.G[_spatial([-1] * len(probe.axes))].sum(axis=0) if probe.geometry.positions > 1 else None,
    )
    yield from _scalings(about, sums)


THEORIES: tuple[Theory, ...] = (*_of_responses(), *_of_images(), *_of_filters(), *_of_biases())
