"""The matrix forms: Jacobians of a convolution layer as sparse matrices, placed from the pixel table.

With ``P[r, c]`` the pixel that tap ``c`` reads for response ``r`` (none, where it falls into padding), both matrices of
the lecture are that table, filled in two ways::

    M_X^im    [r, c]       = x[P[r, c]]      the table gathers pixels
    M_F^filter[r, P[r, c]] = f[c]            the table places taps

The table is never stored. Cut into blocks of responses whose windows hold the same taps, it is the sum of one step per
position and one per tap, so that every block is written into the CSR arrays by one strided assignment.

The placement itself (`place_pixels`, `place_taps`, `place_ones`) takes entries of any dtype, which is how
`jacobians.symbolic` prints exactly what is computed here.
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
from numpy.lib.stride_tricks import as_strided
from scipy.sparse import csr_array

from jacobians.errors import DtypeError, ShapeError, TooLargeError
from jacobians.geometry import Geometry, boxes, check_geometry

__all__ = [
    "filter_matrix",
    "image_matrix",
    "jacobian_wrt_bias",
    "jacobian_wrt_filters",
    "jacobian_wrt_image",
    "stack_matrix",
]

Array = npt.NDArray[Any]

# scipy's sparse arrays hold these and no other numeric dtypes; float16 is the one people miss.
SPARSE_DTYPES = "bhilqBHILQfdg"
# Entries of the pattern that one block repeats: small enough to stay in a core's cache, large enough to hide the call.
PATTERN_ENTRIES = 1 << 17
# Patterns that are kept, and entries of the pieces that threads share.
PATTERNS = 8
PIECE_ENTRIES = 1 << 20
# Below these sizes a thread, or a look at the machine's free memory, costs more than it saves.
THREADED_ENTRIES = 1 << 20
UNCHECKED_BYTES = 1 << 20


def image_matrix(
    X: npt.ArrayLike, geometry: Geometry, *, group: int = 0, rows: slice | None = None, max_bytes: int | None = None
) -> csr_array:
    """Build M_X^im, the Jacobian ∂vec(S_i)/∂vec(F_i) of a response map with respect to its filter (L8, L9).

    Parameters
    ----------
    X : array_like, shape geometry.image
        The image, integers or real floating-point numbers of any memory layout.
    geometry : Geometry
        The layer.
    group : int
        Group of planes, counted from 0; every filter of the group has this same matrix.
    rows : slice, optional
        Build only these of the ``geometry.positions`` rows (step 1), to work through a large matrix in blocks.
    max_bytes : int, optional
        Largest result in bytes; by default the memory that is available.

    Returns
    -------
    csr_array, shape (positions, taps), dtype of X
        Row ``r`` is the patch of X that the filter covers at response ``r``, flattened; column ``c`` is a tap. Entry
        ``[r, c]`` is the pixel that tap ``c`` reads for response ``r``: for two axes ``X[k, l·s_h + i·δ_h − p_h,
        m·s_w + j·δ_w − p_w]`` with ``r = (l, m)`` and ``c = (k, i, j)``. Nothing is stored where it falls into padding.
        Indices are sorted, and int32 where they fit.

    Raises
    ------
    ShapeError
        If X has another shape, or `rows` is not a slice of step 1.
    DtypeError
        If scipy.sparse has no arrays of X's dtype.
    IndexError
        If there is no such group.
    TooLargeError
        If the result is larger than `max_bytes`.

    Notes
    -----
    The product with vec(F_i) has the dtype that NumPy gives to the operands: cast int8 and uint8 images to int64 first
    if you multiply them by filters as narrow, for scipy does not accumulate in a wider dtype.

    Examples
    --------
    >>> import numpy as np
    >>> geometry = Geometry((1, 3, 4), (1, 1, 2, 2))
    >>> image_matrix(np.arange(12).reshape(1, 3, 4), geometry).toarray()
    array([[ 0,  1,  4,  5],
           [ 1,  2,  5,  6],
           [ 2,  3,  6,  7],
           [ 4,  5,  8,  9],
           [ 5,  6,  9, 10],
           [ 6,  7, 10, 11]])
    """
    geometry = check_geometry(geometry)
    X = _sparse(geometry.check_array("X", X, "image"), "X")
    group = geometry.check_index("group", group, geometry.groups)
    start, stop = _row_range(rows, geometry.positions)
    stripe = Stripe(geometry.filters_of(group).start, start, stop, column=0)
    return _csr(place_pixels(X, geometry, [stripe], columns=geometry.taps, max_bytes=max_bytes))


def filter_matrix(
    F_i: npt.ArrayLike, geometry: Geometry, *, group: int = 0, rows: slice | None = None, max_bytes: int | None = None
) -> csr_array:
    """Build M_F^filter, the Jacobian ∂vec(S_i)/∂vec(X) of a response map with respect to the image (L14, L15).

    Parameters
    ----------
    F_i : array_like, shape geometry.filters[1:]
        One filter, integers or real floating-point numbers of any memory layout.
    geometry : Geometry
        The layer.
    group : int
        Group of planes that the filter sees, counted from 0.
    rows : slice, optional
        Build only these of the ``geometry.positions`` rows (step 1).
    max_bytes : int, optional
        Largest result in bytes; by default the memory that is available.

    Returns
    -------
    csr_array, shape (positions, pixels), dtype of F_i
        A row per response, a column per pixel of the whole image. Entry ``[r, P[r, c]]`` is tap ``c`` of the filter,
        where ``P[r, c]`` is the pixel that tap ``c`` reads for response ``r``. Indices are sorted, and int32 where they
        fit. A tap that is 0 is stored as such, so that the pattern depends on the geometry alone.

    Raises
    ------
    ShapeError, DtypeError, IndexError, TooLargeError
        As `image_matrix`.

    Examples
    --------
    >>> geometry = Geometry((1, 2, 3), (1, 1, 2, 2))
    >>> filter_matrix([[[1, 2], [3, 4]]], geometry).toarray()
    array([[1, 2, 0, 3, 4, 0],
           [0, 1, 2, 0, 3, 4]])
    """
    geometry = check_geometry(geometry)
    F_i = _sparse(geometry.check_array("F_i", F_i, "filter"), "F_i")
    group = geometry.check_index("group", group, geometry.groups)
    start, stop = _row_range(rows, geometry.positions)
    stripe = Stripe(geometry.filters_of(group).start, start, stop, column=0)
    F = np.broadcast_to(F_i, geometry.filters)
    return _csr(place_taps(F, geometry, [stripe], columns=geometry.pixels, max_bytes=max_bytes))


def stack_matrix(
    i: int,
    geometry: Geometry,
    *,
    rows: slice | None = None,
    dtype: npt.DTypeLike = np.float64,
    max_bytes: int | None = None,
) -> csr_array:
    """Build ∂vec(S)/∂vec(S_i), a column of n blocks of which block i is the identity (L7).

    Parameters
    ----------
    i : int
        Response map, counted from 0.
    geometry : Geometry
        The layer.
    rows : slice, optional
        Build only these of the ``n · positions`` rows (step 1).
    dtype : dtype
        Of the ones.
    max_bytes : int, optional
        Largest result in bytes; by default the memory that is available.

    Returns
    -------
    csr_array, shape (n · positions, positions)
        A row per entry of vec(S), a column per entry of vec(S_i). Entry ``[i·t + r, r]`` is 1.

    Raises
    ------
    ShapeError, DtypeError, IndexError, TooLargeError
        As `image_matrix`.

    Examples
    --------
    >>> stack_matrix(1, Geometry((1, 1, 3), (2, 1, 1, 2)), dtype=int).toarray()
    array([[0, 0],
           [0, 0],
           [1, 0],
           [0, 1]])
    """
    geometry = check_geometry(geometry)
    n, t = geometry.filters[0], geometry.positions
    i = geometry.check_index("i", i, n)
    start, stop = _row_range(rows, n * t)
    ones = range(max(start, i * t), max(start, min(stop, (i + 1) * t)))
    return _csr(place_ones(ones, lambda r: r - i * t, (start, stop), t, dtype=_ones_dtype(dtype), max_bytes=max_bytes))


def jacobian_wrt_image(
    F: npt.ArrayLike, geometry: Geometry, *, rows: slice | None = None, max_bytes: int | None = None
) -> csr_array:
    """Build ∂vec(S)/∂vec(X), the whole layer's Jacobian with respect to the image (L13 … L16).

    Parameters
    ----------
    F : array_like, shape geometry.filters
        All filters, integers or real floating-point numbers of any memory layout.
    geometry : Geometry
        The layer.
    rows : slice, optional
        Build only these of the ``n · positions`` rows (step 1).
    max_bytes : int, optional
        Largest result in bytes; by default the memory that is available.

    Returns
    -------
    csr_array, shape (n · positions, pixels), dtype of F
        The matrices M_Fi^filter of all filters, one below the other: a row per entry of vec(S), a column per pixel.
        Entry ``[i·t + r, P[r, c]]`` is tap ``c`` of filter ``i``.

    Raises
    ------
    ShapeError, DtypeError, TooLargeError
        As `image_matrix`.

    Examples
    --------
    >>> geometry = Geometry((1, 1, 3), (2, 1, 1, 2))
    >>> jacobian_wrt_image([[[[1, 2]]], [[[3, 4]]]], geometry).toarray()
    array([[1, 2, 0],
           [0, 1, 2],
           [3, 4, 0],
           [0, 3, 4]])
    """
    geometry = check_geometry(geometry)
    F = _sparse(geometry.check_array("F", F, "filters"), "F")
    stripes = _stripes(geometry, rows, columns=0)
    return _csr(place_taps(F, geometry, stripes, columns=geometry.pixels, max_bytes=max_bytes))


def jacobian_wrt_filters(
    X: npt.ArrayLike, geometry: Geometry, *, rows: slice | None = None, max_bytes: int | None = None
) -> csr_array:
    """Build ∂vec(S)/∂vec(F), the whole layer's Jacobian with respect to all filters (L7 … L10).

    Parameters
    ----------
    X : array_like, shape geometry.image
        The image, integers or real floating-point numbers of any memory layout.
    geometry : Geometry
        The layer.
    rows : slice, optional
        Build only these of the ``n · positions`` rows (step 1).
    max_bytes : int, optional
        Largest result in bytes; by default the memory that is available.

    Returns
    -------
    csr_array, shape (n · positions, n · taps), dtype of X
        Block diagonal: block ``i`` is M_X^im of the group that filter ``i`` sees. A row per entry of vec(S), a column
        per entry of vec(F). Entry ``[i·t + r, i·taps + c]`` is the pixel that tap ``c`` reads for response ``r``.

    Raises
    ------
    ShapeError, DtypeError, TooLargeError
        As `image_matrix`.

    Examples
    --------
    >>> geometry = Geometry((1, 1, 3), (2, 1, 1, 2))
    >>> jacobian_wrt_filters([[[5, 6, 7]]], geometry).toarray()
    array([[5, 6, 0, 0],
           [6, 7, 0, 0],
           [0, 0, 5, 6],
           [0, 0, 6, 7]])
    """
    geometry = check_geometry(geometry)
    X = _sparse(geometry.check_array("X", X, "image"), "X")
    stripes = _stripes(geometry, rows, columns=geometry.taps)
    columns = geometry.filters[0] * geometry.taps
    return _csr(place_pixels(X, geometry, stripes, columns=columns, max_bytes=max_bytes))


def jacobian_wrt_bias(
    geometry: Geometry,
    *,
    rows: slice | None = None,
    dtype: npt.DTypeLike = np.float64,
    max_bytes: int | None = None,
) -> csr_array:
    """Build ∂vec(S)/∂b (L21).

    Parameters
    ----------
    geometry : Geometry
        The layer.
    rows : slice, optional
        Build only these of the ``n · positions`` rows (step 1).
    dtype : dtype
        Of the ones.
    max_bytes : int, optional
        Largest result in bytes; by default the memory that is available.

    Returns
    -------
    csr_array, shape (n · positions, n)
        A row per entry of vec(S), a column per bias. Entry ``[i·t + r, i]`` is 1.

    Raises
    ------
    ShapeError, DtypeError, TooLargeError
        As `image_matrix`.

    Examples
    --------
    >>> jacobian_wrt_bias(Geometry((1, 1, 3), (2, 1, 1, 2)), dtype=int).toarray()
    array([[1, 0],
           [1, 0],
           [0, 1],
           [0, 1]])
    """
    geometry = check_geometry(geometry)
    n, t = geometry.filters[0], geometry.positions
    start, stop = _row_range(rows, n * t)
    ones = range(start, stop)
    return _csr(place_ones(ones, lambda r: r // t, (start, stop), n, dtype=_ones_dtype(dtype), max_bytes=max_bytes))


# placement, for entries of any dtype ----------------------------------------------------------------------------------


class Parts(NamedTuple):
    """The three arrays of a CSR matrix and its shape."""

    data: Array
    indices: Array
    indptr: Array
    shape: tuple[int, int]


class Stripe(NamedTuple):
    """Rows ``start … stop − 1`` of the t rows that belong to one filter."""

    filter: int
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


def place_pixels(
    X: Array, geometry: Geometry, stripes: Sequence[Stripe], *, columns: int, max_bytes: int | None
) -> Parts:
    """Place the pixels that the taps read: ``[r, c] = x[P[r, c]]`` (L8, L9).

    Parameters
    ----------
    X : ndarray, shape geometry.image
        Entries of any dtype, symbols included.
    geometry : Geometry
        The layer.
    stripes : sequence of Stripe
        The rows to build, in order.
    columns : int
        Number of columns.
    max_bytes : int or None
        Largest result; by default the memory that is available.

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
        source = _strided(x, table.pixel(block, stripe.filter), shape, (*table.position_steps, *table.tap_steps))
        if x.dtype.hasobject or table.tap_steps[-1] != 1:
            target[...] = source
        else:
            run = np.dtype((np.void, x.itemsize * shape[-1]))
            target.view(run)[...] = source.view(run)

    @functools.lru_cache(PATTERNS)
    def pattern(taps: tuple[range, ...], width: int, dtype: np.dtype[Any]) -> Array:
        held = [np.arange(each.start, each.stop) for each in (range(geometry.planes_per_group), *taps)]
        steps = [math.prod(geometry.filters[2 + axis :]) for axis in range(len(held))]
        return np.tile(_outer_sum(held, steps).ravel(), width).astype(dtype)

    def write_indices(block: Block, stripe: Stripe, indices: Array) -> None:
        line = pattern(tuple(run.taps for run in block.runs), block.width, indices.dtype)
        np.add(line, indices.dtype.type(stripe.column), out=_lines(indices, block, len(line)))

    return _build(geometry, stripes, columns, x.dtype, max_bytes, write_data, write_indices)


def place_taps(
    F: Array, geometry: Geometry, stripes: Sequence[Stripe], *, columns: int, max_bytes: int | None
) -> Parts:
    """Place the taps at the pixels they read: ``[r, P[r, c]] = f[c]`` (L14, L15).

    Parameters
    ----------
    F : ndarray, shape geometry.filters
        Entries of any dtype, symbols included.
    geometry : Geometry
        The layer.
    stripes : sequence of Stripe
        The rows to build, in order.
    columns : int
        Number of columns.
    max_bytes : int or None
        Largest result; by default the memory that is available.

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
    def pattern(taps: tuple[int, ...], width: int, dtype: np.dtype[Any]) -> Array:
        sizes, steps = (width, geometry.planes_per_group, *taps), (table.position_steps[-1], *table.tap_steps)
        return _outer_sum(list(map(np.arange, sizes)), steps).ravel().astype(dtype)

    def write_indices(block: Block, stripe: Stripe, indices: Array) -> None:
        line = pattern(block.taps, block.width, indices.dtype)
        offsets = _outer_sum(list(map(np.arange, block.lines)), table.position_steps[:-1])
        firsts = (offsets + table.pixel(block, stripe.filter) + stripe.column).astype(indices.dtype)
        np.add(line, firsts[..., None], out=_lines(indices, block, len(line)))

    return _build(geometry, stripes, columns, F.dtype, max_bytes, write_data, write_indices)


def place_ones(
    ones: range,
    column: Callable[[Array], Array],
    rows: tuple[int, int],
    width: int,
    *,
    dtype: np.dtype[Any],
    max_bytes: int | None,
) -> Parts:
    """Place a 1 in each of some rows that follow each other (L7, L21).

    Parameters
    ----------
    ones : range
        The rows that hold a 1.
    column : callable
        The column of a row's 1; it takes an array of rows.
    rows : (int, int)
        First row of the matrix, and one behind the last.
    width : int
        Number of columns.
    dtype : dtype
        Of the ones, symbols' included.
    max_bytes : int or None
        Largest result; by default the memory that is available.

    Returns
    -------
    Parts
        The CSR arrays.
    """
    shape = (rows[1] - rows[0], width)
    index = _index_dtype(len(ones), shape)
    _check_size(shape, len(ones), dtype, index, max_bytes)
    indptr = np.clip(np.arange(rows[0], rows[1] + 1) - ones.start, 0, len(ones)).astype(index)
    columns = column(np.arange(ones.start, ones.stop)).astype(index, copy=False)
    return Parts(np.ones(len(ones), dtype), columns, indptr, shape)


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

    def pixel(self, block: Block, i: int) -> int:
        """Pixel that the block's first tap reads for its first response, for filter `i`."""
        geometry = self.geometry
        pixel: int = geometry.planes_of(geometry.group_of(i)).start * self.tap_steps[0]
        for axis, run in enumerate(block.runs):
            at = run.positions.start * geometry.stride[axis] + run.taps.start * geometry.dilation[axis]
            pixel += (at - geometry.padding[axis][0]) * self.pixel_steps[axis]
        return pixel


def _build(
    geometry: Geometry,
    stripes: Sequence[Stripe],
    columns: int,
    dtype: np.dtype[Any],
    max_bytes: int | None,
    write_data: Callable[[Block, Stripe, Array], None],
    write_indices: Callable[[Block, Stripe, Array], None],
) -> Parts:
    shape = (sum(stripe.stop - stripe.start for stripe in stripes), columns)
    nonzeros = sum(_entries(geometry, stripe) for stripe in stripes)
    index = _index_dtype(nonzeros, shape)
    _check_size(shape, nonzeros, dtype, index, max_bytes)
    reach = functools.cache(geometry.axis_reach)
    indptr = np.zeros(shape[0] + 1, index)
    row = 1
    for stripe in stripes:
        for box in boxes(geometry.responses[1:], stripe.start, stripe.stop):
            reaches = (reach(axis, each) for axis, each in enumerate(box))
            held = [(stop - first).astype(index) for first, stop in reaches]
            outer, size = _outer_product(held[:-1]) * geometry.planes_per_group, math.prod(map(len, box))
            lines = indptr[row : row + size].reshape(*outer.shape, -1)
            np.multiply(outer[..., None].astype(index), held[-1], out=lines)
            row += size
    np.cumsum(indptr, dtype=index, out=indptr)
    data, indices = np.empty(nonzeros, dtype), np.empty(nonzeros, index)
    blocks = [
        (piece, stripe) for block, stripe in _blocks(geometry, stripes, indptr, reach) for piece in _pieces(block)
    ]
    # In order of memory: what lies side by side is written while the operating system's page of it is in the cache.
    blocks.sort(key=lambda each: each[0].entry)
    tasks = [(write_data, data, *each) for each in blocks] + [(write_indices, indices, *each) for each in blocks]

    def work(first: int, step: int) -> None:
        for write, array, block, stripe in tasks[first::step]:
            write(block, stripe, array)

    if nonzeros < THREADED_ENTRIES or dtype.hasobject:
        work(0, 1)
    else:
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(work, (0, 1), (2, 2)))
    return Parts(data, indices, indptr, shape)


def _blocks(
    geometry: Geometry, stripes: Iterable[Stripe], indptr: Array, reach: Callable[[int, range], tuple[Array, Array]]
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


def _entries(geometry: Geometry, stripe: Stripe) -> int:
    return geometry.planes_per_group * sum(
        math.prod(geometry.axis_entries(axis, each) for axis, each in enumerate(box))
        for box in boxes(geometry.responses[1:], stripe.start, stripe.stop)
    )


def _strided(array: Array, start: int, shape: Sequence[int], steps: Sequence[int]) -> Array:
    last = start + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
    if not 0 <= start <= last < array.size:
        raise AssertionError(f"block {start} … {last} leaves an array of {array.size} entries")
    strides = [step * array.itemsize for step in steps]
    if array.dtype.hasobject:
        return as_strided(array[start:], shape, strides)
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


# arguments and sizes --------------------------------------------------------------------------------------------------


def _csr(parts: Parts) -> csr_array:
    matrix = csr_array((parts.data, parts.indices, parts.indptr), shape=parts.shape)
    matrix.has_canonical_format = True
    return matrix


def _stripes(geometry: Geometry, rows: slice | None, columns: int) -> list[Stripe]:
    n, t = geometry.filters[0], geometry.positions
    start, stop = _row_range(rows, n * t)
    return [
        Stripe(i, max(start - i * t, 0), min(stop - i * t, t), column=i * columns)
        for i in range(start // t, -(-stop // t))
        if start < stop
    ]


def _row_range(rows: slice | None, count: int) -> tuple[int, int]:
    if rows is None:
        return 0, count
    try:
        start, stop, step = rows.indices(count)
    except (AttributeError, TypeError):
        step = 0
    if step != 1:
        raise ShapeError(f"rows is {rows!r}; it needs a slice of step 1 into the {count} rows, like slice(0, 100)")
    return start, max(start, stop)


def _sparse(array: Array, name: str) -> Array:
    if array.dtype.char in SPARSE_DTYPES:
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    raise DtypeError(
        f"{name} has dtype {array.dtype}, which scipy.sparse cannot hold; build the matrix from "
        f"{name}.astype('float32'), which represents every float16 exactly"
    )


def _ones_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    wanted = np.dtype(dtype)
    if wanted.char in SPARSE_DTYPES:
        return wanted
    raise DtypeError(
        f"dtype is {wanted}, which the ones cannot have; use an integer dtype, float32, float64 or longdouble"
    )


def _index_dtype(nonzeros: int, shape: tuple[int, int]) -> np.dtype[Any]:
    return np.dtype(np.int32 if max(nonzeros, *shape) <= np.iinfo(np.int32).max else np.int64)


def _check_size(
    shape: tuple[int, int], nonzeros: int, dtype: np.dtype[Any], index: np.dtype[Any], max_bytes: int | None
) -> None:
    needed = nonzeros * (dtype.itemsize + index.itemsize) + (shape[0] + 1) * index.itemsize
    if max_bytes is None:
        if needed <= UNCHECKED_BYTES:
            return
        import psutil  # the numeric core loads numpy and scipy only, until it must ask the machine

        max_bytes = psutil.virtual_memory().available
    if needed > max_bytes:
        raise TooLargeError(
            f"a matrix of shape {shape} with {nonzeros} nonzeros needs {needed / 2**30:.3g} GiB but may take "
            f"{max_bytes / 2**30:.3g} GiB; build it in blocks with rows=slice(…), or raise max_bytes"
        )
