"""Writing the matrices of large layers, block by block.

What stands where is defined by the two fillings of the pixel table in `jacobians.matrices`; this is a faster way to the
same arrays, which never holds the table. Cut into blocks of responses whose windows hold the same taps, the table is
the sum of one step per position and one per tap, so that every block is written into the CSR arrays by one strided
assignment.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jacobians.geometry import Geometry, boxes

__all__ = ["Parts", "Stripe", "count", "write_pixels", "write_taps"]

Array = npt.NDArray[Any]
# `Geometry.axis_reach`, remembered.
Reach = Callable[[int, range], tuple[Array, Array]]

# Entries of the pattern that one block repeats: small enough to stay in a core's cache, large enough to hide the call.
PATTERN_ENTRIES = 1 << 17
# Patterns that are kept, and entries of the pieces that threads share.
PATTERNS = 8
PIECE_ENTRIES = 1 << 20
# Below this size a thread costs more than it saves.
THREADED_ENTRIES = 1 << 20


class Parts(NamedTuple):
    """The three arrays of a CSR matrix."""

    data: Array
    indices: Array
    indptr: Array


class Stripe(NamedTuple):
    """Rows ``start … stop − 1`` of the t rows that belong to one filter."""

    filter: int
    group: int
    start: int
    stop: int
    column: int
    """Column at which the stripe's columns begin."""


class Run(NamedTuple):
    """Neighbouring positions on one axis whose windows hold the same taps: those that read pixels of the image."""

    positions: range
    taps: range


class Block(NamedTuple):
    """Rows that are alike: a box of positions whose windows hold the same taps.

    The last spatial axis is the block's line: its rows follow each other in the CSR arrays. ``steps`` are counted in
    entries from the first row of the block to the next line, one per outer axis.
    """

    runs: tuple[Run, ...]
    entry: int
    steps: tuple[int, ...]

    @property
    def lines(self) -> tuple[int, ...]:
        return tuple(len(run.positions) for run in self.runs[:-1])

    @property
    def width(self) -> int:
        return len(self.runs[-1].positions)

    @property
    def taps(self) -> tuple[int, ...]:
        return tuple(len(run.taps) for run in self.runs)


def count(geometry: Geometry, stripes: Sequence[Stripe]) -> int:
    """Count the entries of some stripes, without an array as long as an axis."""
    held = (
        math.prod(geometry.axis_entries(axis, each) for axis, each in enumerate(box))
        for stripe in stripes
        for box in boxes(geometry.responses[1:], stripe.start, stripe.stop)
    )
    return geometry.planes_per_group * sum(held)


def write_pixels(X: Array, geometry: Geometry, stripes: Sequence[Stripe], entries: int, index: np.dtype[Any]) -> Parts:
    """Write the pixels that the taps read: ``[r, c] = x[P[r, c]]`` (L8, L9).

    Parameters
    ----------
    X : ndarray, shape geometry.image
        The image.
    geometry : Geometry
        The layer.
    stripes : sequence of Stripe
        The rows to write, in order.
    entries : int
        How many entries they have.
    index : dtype
        Of the indices.

    Returns
    -------
    Parts
        The CSR arrays.
    """
    x = np.ascontiguousarray(X).ravel()
    table = _Table(geometry)

    def write_data(block: Block, stripe: Stripe, data: Array) -> None:
        planes = geometry.planes_per_group
        shape = (*block.lines, block.width, planes, *block.taps)
        tap_sizes = (planes, *block.taps)
        row_entries = math.prod(tap_sizes)
        inner = tuple(math.prod(tap_sizes[1 + axis :]) for axis in range(len(tap_sizes)))
        target = _strided(data, block.entry, shape, (*block.steps, row_entries, *inner))
        source = _strided(x, table.pixel(block, stripe.group), shape, (*table.position_steps, *table.tap_steps))
        if table.tap_steps[-1] != 1:
            target[...] = source
        else:
            run = np.dtype((np.void, x.itemsize * shape[-1]))
            target.view(run)[...] = source.view(run)

    @functools.lru_cache(PATTERNS)
    def pattern(taps: tuple[range, ...], width: int) -> Array:
        held = [np.arange(each.start, each.stop) for each in (range(geometry.planes_per_group), *taps)]
        steps = [math.prod(geometry.filters[2 + axis :]) for axis in range(len(held))]
        return np.tile(_outer_sum(held, steps).ravel(), width).astype(index)

    def write_indices(block: Block, stripe: Stripe, indices: Array) -> None:
        line = pattern(tuple(run.taps for run in block.runs), block.width)
        np.add(line, index.type(stripe.column), out=_lines(indices, block, len(line)))

    parts = Parts(np.empty(entries, x.dtype), np.empty(entries, index), np.zeros(1 + _rows(stripes), index))
    _write(geometry, stripes, parts, write_data, write_indices)
    return parts


def write_taps(F: Array, geometry: Geometry, stripes: Sequence[Stripe], entries: int, index: np.dtype[Any]) -> Parts:
    """Write the taps at the pixels they read: ``[r, P[r, c]] = f[c]`` (L14, L15).

    Parameters
    ----------
    F : ndarray, shape (filters, *geometry.filters[1:])
        Filters, of which the stripes say which.
    geometry : Geometry
        The layer.
    stripes : sequence of Stripe
        The rows to write, in order.
    entries : int
        How many entries they have.
    index : dtype
        Of the indices.

    Returns
    -------
    Parts
        The CSR arrays.
    """
    table = _Table(geometry)

    @functools.lru_cache(PATTERNS)
    def taps(i: int, held: tuple[range, ...], width: int) -> Array:
        return np.tile(F[i][:, *(slice(each.start, each.stop) for each in held)].ravel(), width)

    def write_data(block: Block, stripe: Stripe, data: Array) -> None:
        line = taps(stripe.filter, tuple(run.taps for run in block.runs), block.width)
        _lines(data, block, len(line))[...] = line

    @functools.lru_cache(PATTERNS)
    def pattern(taps: tuple[int, ...], width: int) -> Array:
        sizes, steps = (width, geometry.planes_per_group, *taps), (table.position_steps[-1], *table.tap_steps)
        return _outer_sum(list(map(np.arange, sizes)), steps).ravel().astype(index)

    def write_indices(block: Block, stripe: Stripe, indices: Array) -> None:
        line = pattern(block.taps, block.width)
        offsets = _outer_sum(list(map(np.arange, block.lines)), table.position_steps[:-1])
        firsts = (offsets + table.pixel(block, stripe.group) + stripe.column).astype(index)
        np.add(line, firsts[..., None], out=_lines(indices, block, len(line)))

    parts = Parts(np.empty(entries, F.dtype), np.empty(entries, index), np.zeros(1 + _rows(stripes), index))
    _write(geometry, stripes, parts, write_data, write_indices)
    return parts


class _Table:
    """Steps of the pixel table inside a block: pixels from one position, and from one tap, to the next."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        axes = range(geometry.spatial_ndim)
        self.pixel_steps = [math.prod(geometry.image[2 + axis :]) for axis in axes]
        self.position_steps = [geometry.stride[axis] * self.pixel_steps[axis] for axis in axes]
        self.tap_steps = [
            math.prod(geometry.image[1:]),
            *(geometry.dilation[axis] * self.pixel_steps[axis] for axis in axes),
        ]

    def pixel(self, block: Block, group: int) -> int:
        """Pixel that the block's first tap reads for its first response, in a group of planes."""
        geometry = self.geometry
        pixel: int = geometry.planes_of(group).start * self.tap_steps[0]
        for axis, run in enumerate(block.runs):
            at = run.positions.start * geometry.stride[axis] + run.taps.start * geometry.dilation[axis]
            pixel += (at - geometry.padding[axis][0]) * self.pixel_steps[axis]
        return pixel


def _rows(stripes: Sequence[Stripe]) -> int:
    return sum(stripe.stop - stripe.start for stripe in stripes)


def _write(
    geometry: Geometry,
    stripes: Sequence[Stripe],
    parts: Parts,
    write_data: Callable[[Block, Stripe, Array], None],
    write_indices: Callable[[Block, Stripe, Array], None],
) -> None:
    reach = functools.cache(geometry.axis_reach)
    _write_indptr(geometry, stripes, parts.indptr, reach)
    blocks = [
        (piece, stripe) for block, stripe in _blocks(geometry, stripes, parts.indptr, reach) for piece in _pieces(block)
    ]
    # In order of memory: what lies side by side is written while the operating system's page of it is in the cache.
    blocks.sort(key=lambda each: each[0].entry)
    tasks = [(write_data, parts.data, *each) for each in blocks]
    tasks += [(write_indices, parts.indices, *each) for each in blocks]

    def work(first: int, step: int) -> None:
        for write, array, block, stripe in tasks[first::step]:
            write(block, stripe, array)

    if len(parts.data) < THREADED_ENTRIES:
        work(0, 1)
    else:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(work, (0, 1), (2, 2)))


def _write_indptr(geometry: Geometry, stripes: Iterable[Stripe], indptr: Array, reach: Reach) -> None:
    """Count the entries of each row, and sum them up."""
    row = 1
    for stripe in stripes:
        for box in boxes(geometry.responses[1:], stripe.start, stripe.stop):
            reaches = (reach(axis, each) for axis, each in enumerate(box))
            held = [(stop - first).astype(indptr.dtype) for first, stop in reaches]
            outer, size = _outer_product(held[:-1]) * geometry.planes_per_group, math.prod(map(len, box))
            lines = indptr[row : row + size].reshape(*outer.shape, -1)
            np.multiply(outer[..., None].astype(indptr.dtype), held[-1], out=lines)
            row += size
    np.cumsum(indptr, dtype=indptr.dtype, out=indptr)


def _blocks(
    geometry: Geometry, stripes: Iterable[Stripe], indptr: Array, reach: Reach
) -> Iterator[tuple[Block, Stripe]]:
    row = 0
    for stripe in stripes:
        for box in boxes(geometry.responses[1:], stripe.start, stripe.stop):
            sizes = [len(each) for each in box]
            runs = [_runs(*reach(axis, each), each) for axis, each in enumerate(box)]
            runs[-1] = [short for run in runs[-1] for short in _short_runs(run, geometry)]
            row_steps = [math.prod(sizes[1 + axis :]) for axis in range(len(sizes))]
            for block in itertools.product(*runs):
                starts = [run.positions.start - each.start for run, each in zip(block, box, strict=True)]
                first = row + sum(map(operator.mul, starts, row_steps))
                if all(len(run.taps) for run in block):
                    entry = int(indptr[first])
                    # Where an axis has one position only, there is no next line to step to.
                    steps = tuple(
                        int(indptr[first + step]) - entry if len(run.positions) > 1 else 0
                        for run, step in zip(block[:-1], row_steps[:-1], strict=True)
                    )
                    yield Block(block, entry, steps), stripe
            row += math.prod(sizes)


def _runs(first: Array, stop: Array, positions: range) -> list[Run]:
    cuts = np.flatnonzero((np.diff(first) != 0) | (np.diff(stop) != 0)) + 1
    edges = [0, *cuts.tolist(), len(positions)]
    return [
        Run(positions[start:end], range(int(first[start]), int(stop[start])))
        for start, end in itertools.pairwise(edges)
    ]


def _short_runs(run: Run, geometry: Geometry) -> Iterator[Run]:
    """Cut a run of the last axis so that the pattern which a block repeats stays small, also with one spatial axis."""
    length = max(1, PATTERN_ENTRIES // max(1, geometry.taps))
    for start in range(0, len(run.positions), length):
        yield Run(run.positions[start : start + length], run.taps)


def _pieces(block: Block) -> Iterator[Block]:
    """Cut a block along its first axis into pieces that threads can share evenly; a single line stays whole."""
    first, *others = block.runs
    length = PIECE_ENTRIES // block.steps[0] + 1 if others and block.steps[0] else len(first.positions)
    for start in range(0, len(first.positions), length):
        piece = Run(first.positions[start : start + length], first.taps)
        entry = block.entry + (start * block.steps[0] if others else 0)
        yield Block((piece, *others), entry, block.steps)


def _strided(array: Array, start: int, shape: Sequence[int], steps: Sequence[int]) -> Array:
    last = start + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
    if not 0 <= start <= last < array.size:
        raise AssertionError(f"block {start} … {last} leaves an array of {array.size} entries")
    strides = [step * array.itemsize for step in steps]
    return np.ndarray(shape, array.dtype, array, start * array.itemsize, strides)  # a tenth of as_strided's time


def _lines(array: Array, block: Block, length: int) -> Array:
    return _strided(array, block.entry, (*block.lines, length), (*block.steps, 1))


def _outer_sum(terms: Sequence[Array], steps: Sequence[int]) -> Array:
    total = np.zeros((), np.int64)
    for term, step in zip(terms, steps, strict=True):
        total = total[..., None] + term * step
    return total


def _outer_product(factors: Sequence[Array]) -> Array:
    product = np.ones((), np.int64)
    for factor in factors:
        product = product[..., None] * factor
    return product
