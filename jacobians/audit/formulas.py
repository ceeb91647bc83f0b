"""Wrong formulas as functions of the numbers of a probe: what code computes that makes one mistake.

They are written with the convolution forms on changed arguments, or as the sums of L1 with one thing changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jacobians import oracle
from jacobians.audit.probes import Probe
from jacobians.convolution import filter_sums, forward_sums, input_sums
from jacobians.geometry import Geometry

__all__ = ["Numbers", "Table", "numbers"]

Array = npt.NDArray[Any]
Ints = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """Where taps meet pixels: response l and tap i at pixel l·stride − before + i·dilation.

    Unlike a `Geometry` it may start inside the image (a negative padding) and fits no sizes in particular.
    """

    stride: Ints
    padding: tuple[tuple[int, int], ...]
    dilation: Ints

    @property
    def before(self) -> Ints:
        """Padding before the image."""
        return tuple(before for before, _ in self.padding)

    def extent(self, taps: Sequence[int]) -> Ints:
        """Pixels from the first to the last tap."""
        return tuple((k - 1) * step + 1 for k, step in zip(taps, self.dilation, strict=True))


def table_of(geometry: Geometry) -> Table:
    """Return the right table of a layer."""
    return Table(geometry.stride, geometry.padding, geometry.dilation)


def fit(A: Array, start: Sequence[int], size: Sequence[int]) -> Array:
    """Take so many entries from `start` on along the spatial axes, zeros where A has none."""
    result = np.zeros((*A.shape[: -len(size)], *size), A.dtype)
    there, here = [], []
    for first, count, have in zip(start, size, A.shape[-len(size) :], strict=True):
        low, high = max(first, 0), max(min(first + count, have), first, 0)
        here.append(slice(low, high))
        there.append(slice(low - first, high - first))
    result[spatial(there)] = A[spatial(here)]
    return result


def spatial(slices: Iterable[Any]) -> tuple[Any, ...]:
    """Index the spatial axes, and take all of the others."""
    return (..., *slices)


@dataclasses.dataclass(frozen=True, eq=False)
class Numbers:
    """A probe in a dtype in which sums do not round, with the right forms on arguments that a theory may change."""

    geometry: Geometry
    X: Array
    F: Array
    b: Array
    G: Array

    def with_array(self, letter: str, array: Array) -> Numbers:
        """Return the same numbers with another X, F, b or G."""
        changes: dict[str, Any] = {letter: array}
        return dataclasses.replace(self, **changes)

    def responses(
        self,
        X: Array | None = None,
        F: Array | None = None,
        b: Array | None = None,
        table: Table | None = None,
        out: Ints | None = None,
    ) -> Array:
        """Responses to other arguments, by another table, or of another size."""
        X, F, b = self.X if X is None else X, self.F if F is None else F, self.b if b is None else b
        table, out = table or table_of(self.geometry), out or self.geometry.responses[1:]
        layer = self._layer(table, out, F.shape[2:])
        read = fit(X, [-before for before in table.before], layer.image[1:])
        maps = [forward_sums(image, F, layer) for image in read]
        return np.stack(maps) + b.reshape(-1, *(1,) * self.geometry.spatial_ndim)

    def input_gradient(
        self,
        G: Array | None = None,
        F: Array | None = None,
        table: Table | None = None,
        image: Ints | None = None,
    ) -> Array:
        """∂l/∂X for other arguments, by another table, or of another size."""
        G, F = self.G if G is None else G, self.F if F is None else F
        table, image = table or table_of(self.geometry), image or self.geometry.image[1:]
        layer = self._layer(table, G.shape[2:], F.shape[2:])
        return fit(np.stack([input_sums(each, F, layer) for each in G]), table.before, image)

    def filter_gradient(
        self,
        X: Array | None = None,
        G: Array | None = None,
        table: Table | None = None,
        taps: Ints | None = None,
    ) -> Array:
        """∂l/∂F for other arguments, by another table, or of another size."""
        return np.asarray(self.filter_gradients(X, G, table, taps).sum(axis=0))

    def filter_gradients(
        self,
        X: Array | None = None,
        G: Array | None = None,
        table: Table | None = None,
        taps: Ints | None = None,
    ) -> Array:
        """∂l/∂F of each image."""
        X, G = self.X if X is None else X, self.G if G is None else G
        table, taps = table or table_of(self.geometry), taps or self.geometry.filters[2:]
        layer = self._layer(table, G.shape[2:], taps)
        read = fit(X, [-before for before in table.before], layer.image[1:])
        return np.stack([filter_sums(x, g, layer) for x, g in zip(read, G, strict=True)])

    def bias_gradient(self) -> Array:
        """∂l/∂b."""
        return np.asarray(self.G.sum(axis=(0, *self.axes)))

    @property
    def axes(self) -> Ints:
        """The spatial axes of every array, counted from the back."""
        return tuple(range(-self.geometry.spatial_ndim, 0))

    def _layer(self, table: Table, out: Sequence[int], taps: Sequence[int]) -> Geometry:
        """Return the layer without padding that has just these responses."""
        spans = zip(out, table.stride, table.extent(taps), strict=True)
        sizes = [(count - 1) * step + extent for count, step, extent in spans]
        g = self.geometry
        return Geometry(
            (g.image[0], *sizes),
            (*g.filters[:2], *taps),
            stride=table.stride,
            dilation=table.dilation,
            groups=g.groups,
        )


def numbers(probe: Probe) -> Numbers:
    """Return the probe's numbers in a dtype in which theories can compute."""
    wide = np.int64 if probe.X.dtype.kind in "iu" else np.float64
    return Numbers(probe.geometry, *(each.astype(wide) for each in (probe.X, probe.F, probe.b, probe.G)))


# sizes that follow from a table ---------------------------------------------------------------------------------------


def responses_size(geometry: Geometry, table: Table) -> Ints:
    """Return h' × w' by this table."""
    parts = zip(geometry.image[1:], table.padding, table.extent(geometry.filters[2:]), table.stride, strict=True)
    return _clipped((size + sum(zeros) - extent) // step + 1 for size, zeros, extent, step in parts)


def image_size(geometry: Geometry, table: Table) -> Ints:
    """Return the size of ∂l/∂X that the sizes of G and F give: without the tail."""
    parts = zip(geometry.responses[1:], table.padding, table.extent(geometry.filters[2:]), table.stride, strict=True)
    return _clipped((count - 1) * step + extent - sum(zeros) for count, zeros, extent, step in parts)


def taps_size(geometry: Geometry, table: Table) -> Ints:
    """Return the size of X ∗ G, which is not cut to that of F."""
    parts = zip(geometry.image[1:], table.padding, geometry.responses[1:], table.stride, table.dilation, strict=True)
    return _clipped(
        (size + sum(zeros) - (count - 1) * step - 1) // dilation + 1 for size, zeros, count, step, dilation in parts
    )


def _clipped(sizes: Iterable[int]) -> Ints:
    return tuple(max(size, 0) for size in sizes)


def rounded_up(geometry: Geometry) -> Ints:
    """Return h' × w' where the division is rounded up."""
    parts = zip(geometry.padded, geometry.extent, geometry.stride, strict=True)
    return tuple(-(-(size - extent) // step) + 1 for size, extent, step in parts)


def resized(right: Array, size: Ints) -> Array | None:
    """Return right responses of another size; NaN, which stands for anything, where there is nothing right."""
    if min(size) < 0 or size == right.shape[2:]:
        return None
    known = fit(np.ones_like(right, dtype=bool), [0] * len(size), size)
    return np.where(known, fit(right, [0] * len(size), size), np.nan)


# orders of vec --------------------------------------------------------------------------------------------------------


def flip(A: Array, axes: Sequence[int]) -> Array:
    """Reverse axes."""
    return np.flip(A, axis=tuple(axes))


def swapped_axes(A: Array) -> Array | None:
    """Exchange the last two axes, where both have the same size."""
    return A.swapaxes(-1, -2) if A.ndim > 3 and A.shape[-1] == A.shape[-2] else None


def read_planes_last(A: Array) -> Array:
    """Read what was flattened planes first as planes last."""
    return np.moveaxis(A.reshape(A.shape[0], *A.shape[2:], A.shape[1]), -1, 1)


def written_planes_last(A: Array) -> Array:
    """Flatten planes last what will be read planes first."""
    return np.moveaxis(A, 1, -1).reshape(A.shape)


def read_first_axis_last(A: Array) -> Array:
    """Read the first axis as if it ran fastest."""
    return np.moveaxis(A.reshape(*A.shape[1:], A.shape[0]), -1, 0)


def written_first_axis_last(A: Array) -> Array:
    """Flatten with the first axis running fastest."""
    return np.moveaxis(A, 0, -1).reshape(A.shape)


def written_planes_first(A: Array) -> Array:
    """Flatten planes, then images, what will be read images, then planes."""
    return A.swapaxes(0, 1).reshape(A.shape)


def read_planes_first(A: Array) -> Array:
    """Read what was flattened images, then planes as planes, then images."""
    return A.reshape(A.shape[1], A.shape[0], *A.shape[2:]).swapaxes(0, 1)


def read_column_major(A: Array) -> Array:
    """Read planes column by column that were flattened row by row."""
    return A.reshape(*A.shape[:2], *A.shape[:1:-1]).transpose(0, 1, *range(A.ndim - 1, 1, -1))


def written_column_major(A: Array) -> Array:
    """Flatten planes column by column that will be read row by row."""
    return A.transpose(0, 1, *range(A.ndim - 1, 1, -1)).reshape(A.shape)


def read_fortran(A: Array) -> Array:
    """Read each image, planes and all, in Fortran order."""
    return np.stack([each.ravel().reshape(each.shape, order="F") for each in A])


def written_fortran(A: Array) -> Array:
    """Flatten each image, planes and all, in Fortran order."""
    return np.stack([each.ravel(order="F").reshape(each.shape) for each in A])


# planes, filters and groups -------------------------------------------------------------------------------------------


def only(A: Array, index: int, axis: int) -> Array | None:
    """Keep one entry of an axis, zeros elsewhere."""
    if A.shape[axis] == 1:
        return None
    kept = np.zeros_like(A)
    np.moveaxis(kept, axis, 0)[index] = np.moveaxis(A, axis, 0)[index]
    return kept


def repeated(A: Array, index: int, axis: int) -> Array | None:
    """Put one entry of an axis in the place of all."""
    count = A.shape[axis]
    return None if count == 1 else np.repeat(np.take(A, [index], axis=axis), count, axis=axis)


def reshaped_channels(F: Array, groups: int) -> Array | None:
    """Exchange the channel axes by a reshape, which keeps the order of the numbers."""
    n, d = F.shape[:2]
    return F.reshape(d, n, *F.shape[2:]).swapaxes(0, 1) if groups == 1 and n > 1 and d > 1 else None


def exchanged_channels(F: Array, groups: int) -> Array | None:
    """Exchange the channel axes, where both have the same size."""
    return F.swapaxes(0, 1) if groups == 1 and F.shape[0] == F.shape[1] > 1 else None


def in_turn(groups: int, count: int) -> Array | None:
    """Return the order in which groups take turns, of so many filters or planes; None where it is that of blocks."""
    if groups in {1, count}:
        return None
    return np.arange(count).reshape(-1, groups).T.ravel()


def interleaved(A: Array, axis: int, groups: int) -> Array | None:
    """Take an axis as if groups took turns."""
    order = in_turn(groups, A.shape[axis])
    return None if order is None else np.take(A, order, axis=axis)


def blocked(A: Array, axis: int, groups: int) -> Array | None:
    """Undo `interleaved`."""
    order = in_turn(groups, A.shape[axis])
    return None if order is None else np.take(A, np.argsort(order), axis=axis)


def groups_in_turn(probe: Numbers) -> Array | None:
    """Responses where filter i sees the planes of group i mod groups."""
    order = in_turn(probe.geometry.groups, len(probe.F))
    if order is None:
        return None
    return np.asarray(probe.responses(F=probe.F[order], b=probe.b[order])[:, np.argsort(order)])


def first_group(geometry: Geometry, X: Array) -> Array | None:
    """Let every group see the planes of group 0."""
    if geometry.groups == 1:
        return None
    return np.concatenate([X[:, geometry.planes_of(0)]] * geometry.groups, axis=1)


def first_filters(geometry: Geometry, F: Array) -> Array | None:
    """Use the filters of group 0 for every group."""
    return None if geometry.groups == 1 else np.concatenate([F[geometry.filters_of(0)]] * geometry.groups)


# `=` for `+=` ---------------------------------------------------------------------------------------------------------


def assigned(probe: Numbers, target: Literal["S", "dX", "dF"], *, last: bool) -> Array:
    """Assign each product of L1 where it should be added, so that the last, or the first, wins."""
    r, p, q = oracle.triples(probe.geometry)
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


def windows_assigned(probe: Numbers) -> Array:
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
    return fit(padded, table_of(g).before, g.image[1:])


def taps_assigned(probe: Numbers) -> Array:
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
    return fit(padded, table_of(g).before, g.image[1:])


# tail and padding -----------------------------------------------------------------------------------------------------


def moved(geometry: Geometry, steps: Sequence[int]) -> Table:
    """Return the right table with the image moved by so many pixels."""
    right = table_of(geometry)
    padding = tuple((b - step, a + step) for (b, a), step in zip(right.padding, steps, strict=True))
    return dataclasses.replace(right, padding=padding)


def tail_first(probe: Numbers) -> Array | None:
    """∂l/∂X with the tail's rows and columns in front."""
    g = probe.geometry
    return probe.input_gradient(table=moved(g, g.tail)) if any(g.tail) else None


def tail_zeroed(probe: Numbers) -> Array | None:
    """∂l/∂X whose last rows and columns, as many as the tail, are 0 although windows reach them."""
    g = probe.geometry
    result = probe.input_gradient()
    for axis, tail in zip(probe.axes, g.tail, strict=True):
        if tail:
            result[spatial([slice(-tail, None), *[slice(None)] * (-1 - axis)])] = 0
    return result if any(g.tail) else None


def clipped_padding(probe: Numbers) -> Array | None:
    """∂l/∂X where the padding p is larger than k − 1 and the negative padding of G is clipped at 0."""
    g = probe.geometry
    over = [max(before - extent + 1, 0) for (before, _), extent in zip(g.padding, g.extent, strict=True)]
    return probe.input_gradient(table=moved(g, over)) if any(over) else None


def last_taps(probe: Numbers) -> Array | None:
    """∂l/∂F of more than k rows, because of the tail, of which the last k are kept."""
    g = probe.geometry
    steps = [tail // step * step for tail, step in zip(g.tail, g.dilation, strict=True)]
    return probe.filter_gradient(table=moved(g, steps)) if any(steps) else None


def uncut(probe: Numbers) -> Array:
    """∂l/∂X of the padded image."""
    g = probe.geometry
    bare = dataclasses.replace(table_of(g), padding=((0, 0),) * len(g.padding))
    return probe.input_gradient(table=bare, image=g.padded)


def sliced(probe: Numbers) -> Array:
    """∂l/∂X of the padded image cut by [before:-after], which is empty for 0."""
    return np.asarray(uncut(probe)[spatial(slice(before, -after) for before, after in probe.geometry.padding)])
