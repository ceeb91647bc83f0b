"""Writing the matrices of large layers, block by block.

What stands where is defined by the two fillings of the pixel table in `jacobians.matrices`; this is a faster way to the
same arrays, which never holds the table. Cut into blocks of responses whose windows hold the same taps, the table is
the sum of one step per axis of the block and one per tap, so that each of the CSR arrays is written by one strided
assignment per block, for all groups and filters at once.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jacobians.geometry import Geometry, boxes

__all__ = ["Parts", "count", "write_pixels", "write_taps"]

Array = npt.NDArray[Any]

# Bytes of a pattern that is repeated by copying: longer ones are copied by a slower routine of the C library.
PATTERN_BYTES = 1 << 10
# Entries of a pattern that something is added to: NumPy copies shorter ones to a buffer first.
PATTERN_ENTRIES = 1 << 12
# Patterns that are kept, and entries of the pieces that threads share.
PATTERNS = 8
PIECE_ENTRIES = 1 << 19
# Below this size a thread costs more than it saves.
THREADED_ENTRIES = 1 << 20
# Lines of a window with up to so many taps are copied tap by tap, where a window has at least so many of them.
SHORT_LINE, MANY_LINES = 4, 16
# The axis of a block that its filters are.
FILTERS = 1


class Parts(NamedTuple):
    """The three arrays of a CSR matrix."""

    data: Array
    indices: Array
    indptr: Array


class Run(NamedTuple):
    """Neighbouring positions on one axis whose windows hold the same taps: those that read pixels of the image."""

    positions: range
    taps: range


class Span(NamedTuple):
    """Part of a line, the positions on the last axis: rows that are alike."""

    entry: int
    """First entry, counted from the first of the line."""
    column: int
    """What the first tap of the first row reads on the last axis of the image."""
    size: int
    taps: range
    row: int
    """Entries of a row."""

    def cut(self, start: int, stop: int, stride: int) -> Span:
        size = min(stop, self.size) - start
        return self._replace(entry=self.entry + start * self.row, column=self.column + start * stride, size=size)

    def chunks(self, entries: int) -> Iterator[tuple[int, int, int]]:
        """Cut into equal parts of about so many entries, and what remains: from where on, how many, and how wide."""
        number = max(1, self.size * self.row // entries)
        width = -(-self.size // number)
        whole = self.size - self.size % width
        yield 0, whole // width, width
        if whole < self.size:
            yield whole, 1, self.size - whole


class Block(NamedTuple):
    """Lines that are alike: of groups, of filters, and of positions on the outer axes whose windows hold the same taps.

    These are its axes. Of each it has the size, and how many entries and pixels further the next one begins.
    """

    filter: int
    entry: int
    """First entry of the first line."""
    pixel: int
    """First pixel of the line of the image that the first taps read."""
    sizes: tuple[int, ...]
    entries: tuple[int, ...]
    pixels: tuple[int, ...]
    taps: tuple[range, ...]
    """Planes, and taps of the outer axes."""
    spans: tuple[Span, ...]

    @property
    def filters(self) -> slice:
        groups, filters, *_ = self.sizes
        return slice(self.filter, self.filter + groups * filters)

    def cut(self, axis: int, start: int, stop: int) -> Block:
        filters = (self.sizes[FILTERS], 1)[axis] if axis <= FILTERS else 0
        return self._replace(
            filter=self.filter + start * filters,
            entry=self.entry + start * self.entries[axis],
            pixel=self.pixel + start * self.pixels[axis],
            sizes=(*self.sizes[:axis], min(stop, self.sizes[axis]) - start, *self.sizes[axis + 1 :]),
        )

    def pieces(self, entries: int, stride: int, whole: int | None = None) -> Iterator[Block]:
        """Cut what reaches over more memory, along the outermost axes that are long; one axis may stay whole."""
        for axis, (size, step) in enumerate(zip(self.sizes, self.entries, strict=True)):
            if axis != whole and size > 1 and size * step > entries:
                length = max(1, entries // step)
                for start in range(0, size, length):
                    yield from self.cut(axis, start, start + length).pieces(entries, stride, whole)
                return
        if sum(span.size * span.row for span in self.spans) <= entries:
            yield self
            return
        for span in self.spans:
            length = max(1, entries // span.row)
            for start in range(0, span.size, length):
                yield self._replace(spans=(span.cut(start, start + length, stride),))


def count(geometry: Geometry, rows: range) -> int:
    """Count the entries of some rows of a layer's Jacobian, without an array as long as an axis."""
    return geometry.planes_per_group * sum(
        len(groups) * len(filters) * math.prod(geometry.axis_entries(axis, each) for axis, each in enumerate(positions))
        for groups, filters, *positions in _boxes(geometry, rows)
    )


def write_pixels(X: Array, geometry: Geometry, rows: range, columns: int, entries: int, index: np.dtype[Any]) -> Parts:
    """Write the pixels that the taps read: ``[r, c] = x[P[r, c]]`` (L8, L9).

    Parameters
    ----------
    X : ndarray, shape geometry.image
        The image.
    geometry : Geometry
        The layer.
    rows : range
        The rows to write, of the n · positions rows of the layer's Jacobian.
    columns : int
        How many columns further right than those of one filter the rows of the next filter begin.
    entries : int
        How many entries the rows have.
    index : dtype
        Of the indices.

    Returns
    -------
    Parts
        The CSR arrays.
    """
    x = np.ascontiguousarray(X).ravel()
    parts = _parts(x.dtype, rows, entries, index)
    steps = [math.prod(geometry.filters[2 + axis :]) for axis in range(1 + geometry.spatial_ndim)]
    layer, stride = _Layer(geometry), geometry.stride[-1]

    def write_data(block: Block) -> None:
        layer.copy_windows(x, parts.data, block.cut(FILTERS, 0, 1))
        if block.sizes[FILTERS] > 1:
            for span in block.spans:
                filters = _lines(parts.data, block, span, 0, 1, span.size)
                filters[:, 1:] = filters[:, :1]

    @functools.lru_cache(PATTERNS)
    def pattern(taps: tuple[range, ...], width: int) -> Array:
        return np.tile(_outer_sum(taps, steps).ravel().astype(index), width)

    def write_indices(block: Block) -> None:
        column = np.arange(block.filters.start, block.filters.stop) * columns
        firsts = _lead(column.astype(index), block)
        for span in block.spans:
            for start, number, width in span.chunks(PATTERN_BYTES // index.itemsize):
                line = pattern((*block.taps, span.taps), width)
                _lines(parts.indices, block, span, start, number, width)[...] = firsts + line

    pieces = (
        piece
        for block in layer.blocks(rows, parts.indptr)
        for piece in block.pieces(PIECE_ENTRIES // block.sizes[FILTERS], stride, whole=FILTERS)
    )
    _write(parts, pieces, write_data, write_indices)
    return parts


def write_taps(F: Array, geometry: Geometry, rows: range, entries: int, index: np.dtype[Any]) -> Parts:
    """Write the taps at the pixels they read: ``[r, P[r, c]] = f[c]`` (L14, L15).

    Parameters
    ----------
    F : ndarray, shape geometry.filters
        The filters.
    geometry : Geometry
        The layer.
    rows : range
        The rows to write, of the n · positions rows of the layer's Jacobian.
    entries : int
        How many entries the rows have.
    index : dtype
        Of the indices.

    Returns
    -------
    Parts
        The CSR arrays.
    """
    parts = _parts(F.dtype, rows, entries, index)
    layer, stride = _Layer(geometry), geometry.stride[-1]

    def write_data(block: Block) -> None:
        filters = F[block.filters]
        for span in block.spans:
            held = filters[:, *(slice(each.start, each.stop) for each in (*block.taps, span.taps))]
            row = _lead(held.reshape(len(held), -1), block)
            for start, number, width in span.chunks(PATTERN_BYTES // F.itemsize):
                _lines(parts.data, block, span, start, number, width)[...] = np.tile(row, width)

    @functools.lru_cache(PATTERNS)
    def pattern(sizes: tuple[int, ...]) -> Array:
        return _outer_sum(map(range, sizes), (stride, *layer.tap_steps)).ravel().astype(index)

    def write_indices(block: Block) -> None:
        lines = block.pixel + _outer_sum(map(range, block.sizes), block.pixels)
        for span in block.spans:
            for start, number, width in span.chunks(PATTERN_ENTRIES):
                line = pattern((width, *map(len, block.taps), len(span.taps)))
                firsts = np.arange(number) * (width * stride) + (span.column + start * stride)
                firsts = (lines[..., None] + firsts).astype(index)
                np.add(firsts[..., None], line, out=_lines(parts.indices, block, span, start, number, width))

    pieces = (piece for block in layer.blocks(rows, parts.indptr) for piece in block.pieces(PIECE_ENTRIES, stride))
    _write(parts, pieces, write_data, write_indices)
    return parts


def _lead(filters: Array, block: Block) -> Array:
    """What filters have, one below the other, as what the lines of a block have."""
    return filters.reshape(*block.sizes[:2], *(1 for _ in block.sizes[2:]), 1, -1)


def _lines(array: Array, block: Block, span: Span, start: int, number: int, width: int) -> Array:
    """View entries of a block's lines: `number` times those of `width` positions, from a position of a span on."""
    length = width * span.row
    shape, steps = (*block.sizes, number, length), (*block.entries, length, 1)
    return _strided(array, block.entry + span.entry + start * span.row, shape, steps)


class _Layer:
    """A layer, cut into blocks."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        pixels = [math.prod(geometry.image[2 + axis :]) for axis in range(geometry.spatial_ndim)]
        self.padding = sum(before * step for (before, _), step in zip(geometry.padding[:-1], pixels[:-1], strict=True))
        self.position_steps = list(map(operator.mul, geometry.stride, pixels))
        self.tap_steps = [math.prod(geometry.image[1:]), *map(operator.mul, geometry.dilation, pixels)]

    def blocks(self, rows: range, indptr: Array) -> Iterator[Block]:
        """Write where the rows begin, and yield what they consist of."""
        row = 0
        for groups, filters, *positions in _boxes(self.geometry, rows):
            size = math.prod(map(len, (groups, filters, *positions)))
            yield from self.box(groups, filters, positions, indptr[row : row + size + 1])
            row += size

    def box(self, groups: range, filters: range, positions: Sequence[range], indptr: Array) -> Iterator[Block]:
        geometry = self.geometry
        planes = range(geometry.planes_per_group)
        pixels = (len(planes) * self.tap_steps[0], 0, *self.position_steps[:-1])
        number = groups.start * geometry.filters_per_group + filters.start
        reaches = [geometry.axis_reach(axis, each) for axis, each in enumerate(positions)]
        _write_ends(indptr, len(planes), [stop - first for first, stop in reaches])
        *outer, last = (_runs(*reach, each) for reach, each in zip(reaches, positions, strict=True))
        sizes = (len(groups), len(filters), *map(len, positions))
        row_steps = [math.prod(sizes[1 + axis :]) for axis in range(len(sizes) - 1)]
        for runs in itertools.product(*outer):
            taps = (planes, *(run.taps for run in runs))
            if not all(taps):
                continue
            row, pixel = 0, groups.start * pixels[0] - self.padding
            for axis, run in enumerate(runs):
                row += (run.positions.start - positions[axis].start) * row_steps[2 + axis]
                pixel += run.positions.start * pixels[2 + axis] + run.taps.start * self.tap_steps[1 + axis]
            entry = int(indptr[row])
            lines = (*sizes[:2], *(len(run.positions) for run in runs))
            # Where an axis has one position only, there is no next line to step to.
            entries = tuple(
                int(indptr[row + step]) - entry if size > 1 else 0 for size, step in zip(lines, row_steps, strict=True)
            )
            spans = self.spans(last, math.prod(map(len, taps)))
            yield Block(number, entry, pixel, lines, entries, pixels, taps, spans)

    def spans(self, runs: Sequence[Run], lines: int) -> tuple[Span, ...]:
        """Cut a line whose windows hold so many lines of taps."""
        stride, dilation, (padding, _) = self.geometry.stride[-1], self.geometry.dilation[-1], self.geometry.padding[-1]
        spans, entry = [], 0
        for positions, taps in runs:
            if taps:
                column = positions.start * stride + taps.start * dilation - padding
                spans.append(Span(entry, column, len(positions), taps, lines * len(taps)))
                entry += len(positions) * lines * len(taps)
        return tuple(spans)

    def copy_windows(self, x: Array, data: Array, block: Block) -> None:
        """Copy windows of a filter of each group: line by line, or tap by tap where the lines are short and many."""
        stride, dilation = self.geometry.stride[-1], self.geometry.dilation[-1]
        taps = self.geometry.filters[-1]
        if math.prod(map(len, block.taps)) >= MANY_LINES and stride <= taps and (taps <= SHORT_LINE or dilation > 1):
            self.copy_taps(x, data, block)
            return
        for span in block.spans:
            windows = tuple(map(len, (*block.taps, span.taps)))
            shape = (*block.sizes, span.size, *windows)
            inner = [math.prod(windows[axis:]) for axis in range(1 + len(windows))]
            target = _strided(data, block.entry + span.entry, shape, (*block.entries, *inner))
            source = _strided(x, block.pixel + span.column, shape, (*block.pixels, stride, *self.tap_steps))
            if dilation == 1 and len(span.taps) > 1:
                run = np.dtype((np.void, x.itemsize * len(span.taps)))
                target, source = target.view(run), source.view(run)
            target[...] = source

    def copy_taps(self, x: Array, data: Array, block: Block) -> None:
        """Copy tap by tap, from lines of the image whose pixels of all planes and outer taps lie side by side."""
        stride, dilation = self.geometry.stride[-1], self.geometry.dilation[-1]
        windows = tuple(map(len, block.taps))
        lines, begin = math.prod(windows), min(span.column for span in block.spans)
        stop = max(span.column + (span.size - 1) * stride + (len(span.taps) - 1) * dilation + 1 for span in block.spans)
        strips = _strided(
            x,
            block.pixel + begin,
            (*block.sizes, *windows, stop - begin),
            (*block.pixels, *self.tap_steps[:-1], 1),
        )
        strips = strips.reshape(*block.sizes, lines, -1).swapaxes(-1, -2).copy()
        for span in block.spans:
            shape = (*block.sizes, span.size, lines, len(span.taps))
            target = _strided(data, block.entry + span.entry, shape, (*block.entries, span.row, len(span.taps), 1))
            for tap in range(len(span.taps)):
                at = span.column - begin + tap * dilation
                target[..., tap] = strips[..., at : at + (span.size - 1) * stride + 1 : stride, :]


def _parts(dtype: np.dtype[Any], rows: range, entries: int, index: np.dtype[Any]) -> Parts:
    return Parts(np.empty(entries, dtype), np.empty(entries, index), np.zeros(1 + len(rows), index))


def _write(
    parts: Parts,
    pieces: Iterable[Block],
    write_data: Callable[[Block], None],
    write_indices: Callable[[Block], None],
) -> None:
    # In order of memory: what lies side by side is written while the operating system's page of it is in the cache.
    pieces = sorted(pieces, key=lambda block: block.entry)
    tasks = deque(itertools.product([write_data, write_indices], pieces))
    if len(parts.data) < THREADED_ENTRIES:
        _work(tasks.popleft)
        return
    # From both ends, so that threads seldom share a page.
    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(_work, tasks.pop)
        try:
            _work(tasks.popleft)
        finally:
            tasks.clear()
    other.result()


def _work(next_task: Callable[[], tuple[Callable[[Block], None], Block]]) -> None:
    while True:
        try:
            write, block = next_task()
        except IndexError:  # there is none
            return
        write(block)


def _boxes(geometry: Geometry, rows: range) -> Iterator[tuple[range, ...]]:
    """Cut rows of the layer's Jacobian into boxes of groups, filters of a group, and positions."""
    return boxes((geometry.groups, geometry.filters_per_group, *geometry.responses[1:]), rows.start, rows.stop)


def _write_ends(indptr: Array, planes: int, held: Sequence[Array]) -> None:
    """Write where the rows of filters end; within one filter they are a product of how many taps the axes hold."""
    index = indptr.dtype
    ends = (planes * np.cumsum(held[-1])).astype(index)
    total = int(ends[-1])
    for each in reversed(held[:-1]):
        ahead = (np.cumsum(each) - each) * total
        ends = np.multiply.outer(each.astype(index), ends.ravel())
        ends += ahead.astype(index)[:, None]
        total *= int(each.sum())
    filters = indptr[1:].reshape(-1, ends.size)
    begin = indptr[0] + total * np.arange(len(filters))
    np.add(begin.astype(index)[:, None], ends.ravel(), out=filters)


def _runs(first: Array, stop: Array, positions: range) -> list[Run]:
    cuts = np.flatnonzero((np.diff(first) != 0) | (np.diff(stop) != 0)) + 1
    edges = [0, *cuts.tolist(), len(positions)]
    return [
        Run(positions[start:end], range(int(first[start]), int(stop[start])))
        for start, end in itertools.pairwise(edges)
    ]


def _strided(array: Array, start: int, shape: Sequence[int], steps: Sequence[int]) -> Array:
    last = start + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
    if not 0 <= start <= last < array.size:
        raise AssertionError(f"block {start} … {last} leaves an array of {array.size} entries")
    strides = [step * array.itemsize for step in steps]
    return np.ndarray(shape, array.dtype, array, start * array.itemsize, strides)  # a tenth of as_strided's time


def _outer_sum(terms: Iterable[range], steps: Iterable[int]) -> Array:
    total = np.zeros((), np.int64)
    for term, step in zip(terms, steps, strict=True):
        total = total[..., None] + np.arange(term.start, term.stop) * step
    return total
