"""The matrix forms: Jacobians of a convolution layer as sparse matrices, filled from the pixel table.

Let ``P[r, c]`` be the pixel that tap ``c`` reads for response ``r``, or none where the tap falls into padding. Both
matrices are this table, filled in two ways::

    M_X^im    [r, c]       = x[P[r, c]]      the table gathers pixels
    M_F^filter[r, P[r, c]] = f[c]            the table places taps

`pixel_entries` and `tap_entries` are these two lines. They take entries of any dtype, which is how `jacobians.symbolic`
prints exactly what is computed here. For large layers the table is not built: their matrices are written block by
block by `jacobians._blocks`, and the tests check that the result equals these two lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jacobians import _blocks
from jacobians.arguments import any_dtype, integer, shown
from jacobians.errors import DtypeError, ShapeError
from jacobians.geometry import Geometry, check_geometry
from jacobians.sizes import check_bytes

if TYPE_CHECKING:
    from scipy.sparse import csr_array

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
# Up to this many entries, of the pixel table and of the result, filling the table is faster than writing blocks.
FILLED_ENTRIES = 1 << 14


# the two fillings of the pixel table, for entries of any dtype --------------------------------------------------------


class Stripe(NamedTuple):
    """Rows ``start … stop − 1`` of the t rows that belong to one filter."""

    filter: int
    group: int
    start: int
    stop: int
    column: int
    """Column at which the stripe's columns begin."""


class Entries(NamedTuple):
    """The entries of a matrix in the order of its rows: which row, which column, and what stands there."""

    rows: Array
    columns: Array
    values: Array


def pixel_entries(X: Array, geometry: Geometry, group: int = 0, rows: slice = slice(None)) -> Entries:
    """M_X^im: ``[r, c] = x[P[r, c]]`` (L8, L9).

    Parameters
    ----------
    X : ndarray, shape geometry.image
        Entries of any dtype, symbols included.
    geometry : Geometry
        The layer.
    group : int
        Group of planes.
    rows : slice
        Only these rows, counted from the first of them.

    Returns
    -------
    Entries
        Sorted by row, then by column; none where a tap falls into padding.
    """
    P = geometry.pixel_table(group=group)[rows]
    r, c = np.nonzero(P >= 0)
    return Entries(r, c, X.ravel()[P[r, c]])


def tap_entries(F_i: Array, geometry: Geometry, group: int = 0, rows: slice = slice(None)) -> Entries:
    """M_F^filter: ``[r, P[r, c]] = f[c]`` (L14, L15).

    Parameters
    ----------
    F_i : ndarray, shape geometry.filters[1:]
        Entries of any dtype, symbols included.
    geometry : Geometry
        The layer.
    group : int
        Group of planes that the filter sees.
    rows : slice
        Only these rows, counted from the first of them.

    Returns
    -------
    Entries
        Sorted by row, then by column; none where a tap falls into padding.
    """
    P = geometry.pixel_table(group=group)[rows]
    r, c = np.nonzero(P >= 0)
    return Entries(r, P[r, c], F_i.ravel()[c])


def stacked(parts: Sequence[Entries], stripes: Sequence[Stripe], dtype: np.dtype[Any]) -> Entries:
    """Put the entries of stripes one below the other, each beginning at its column.

    Parameters
    ----------
    parts : sequence of Entries
        One per stripe.
    stripes : sequence of Stripe
        Their rows and first columns.
    dtype : dtype
        Of the values.

    Returns
    -------
    Entries
        Of the matrix that the stripes make together.
    """
    if len(parts) == 1 and stripes[0].column == 0:
        return parts[0]
    first = np.cumsum([0, *(each.stop - each.start for each in stripes)])
    nothing = np.empty(0, np.int64)
    return Entries(
        np.concatenate([nothing, *(part.rows + row for part, row in zip(parts, first, strict=False))]),
        np.concatenate([nothing, *(part.columns + each.column for part, each in zip(parts, stripes, strict=True))]),
        np.concatenate([np.empty(0, dtype), *(part.values for part in parts)]),
    )


class Size(NamedTuple):
    """How large a matrix is, before it is built: what its three CSR arrays hold, and their bytes."""

    shape: tuple[int, int]
    nonzeros: int
    index_dtype: np.dtype[Any]
    bytes: int


def layer_size(geometry: Geometry, dtype: np.dtype[Any], rows: slice | None = None) -> Size:
    """Compute how large `jacobian_wrt_image` is, by arithmetic alone.

    Parameters
    ----------
    geometry : Geometry
        The layer.
    dtype : dtype
        Of the filters.
    rows : slice, optional
        Only these of the ``n · positions`` rows (step 1).

    Returns
    -------
    Size
        Of exactly the arrays that are built.
    """
    of_layer = _row_range(rows, geometry.filters[0] * geometry.positions)
    return _size((len(of_layer), geometry.pixels), _blocks.count(geometry, of_layer), dtype)


def stripes(geometry: Geometry, rows: range, columns: int) -> list[Stripe]:
    """Cut rows of a whole layer's Jacobian into stripes, one per filter, each `columns` further right."""
    t = geometry.positions
    return [
        Stripe(i, geometry.group_of(i), max(rows.start - i * t, 0), min(rows.stop - i * t, t), column=i * columns)
        for i in range(rows.start // t, -(-rows.stop // t))
        if rows
    ]


# the builders ---------------------------------------------------------------------------------------------------------


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
        If the result is larger than `max_bytes`, or a copy of X, which is made if its memory is in another order.

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
    of_group = _rows_of_filter(geometry.filters_of(group).start, rows, geometry)
    return _matrix_of_pixels(X, geometry, of_group, 0, geometry.taps, max_bytes)


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
    of_group = _rows_of_filter(geometry.filters_of(group).start, rows, geometry)
    return _matrix_of_taps(np.broadcast_to(F_i, geometry.filters), geometry, of_group, max_bytes)


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
    of_layer = _row_range(rows, n * t)
    ones = range(max(of_layer.start, i * t), max(of_layer.start, min(of_layer.stop, (i + 1) * t)))
    return _ones(ones, lambda r: r - i * t, of_layer, t, _ones_dtype(dtype), max_bytes)


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
    return _matrix_of_taps(F, geometry, _row_range(rows, geometry.filters[0] * geometry.positions), max_bytes)


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
    of_layer, width = _row_range(rows, geometry.filters[0] * geometry.positions), geometry.filters[0] * geometry.taps
    return _matrix_of_pixels(X, geometry, of_layer, geometry.taps, width, max_bytes)


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
    of_layer = _row_range(rows, n * t)
    return _ones(of_layer, lambda r: r // t, of_layer, n, _ones_dtype(dtype), max_bytes)


# from entries to a sparse array ---------------------------------------------------------------------------------------


def _matrix_of_pixels(
    X: Array, geometry: Geometry, rows: range, columns: int, width: int, max_bytes: int | None
) -> csr_array:
    def fill(stripe: Stripe) -> Entries:
        return pixel_entries(X, geometry, stripe.group, slice(stripe.start, stripe.stop))

    def write(entries: int, index: np.dtype[Any]) -> _blocks.Parts:
        return _blocks.write_pixels(X, geometry, rows, columns, entries, index)

    if not X.flags.c_contiguous:
        what = f"a copy of X, of shape {X.shape} and strides {X.strides},"
        check_bytes(what, X.nbytes, "build the matrix of a part of the image")
    operator = "operators.filter_operator(X, geometry)"
    return _matrix(fill, write, geometry, rows, columns, (len(rows), width), X.dtype, max_bytes, operator)


def _matrix_of_taps(F: Array, geometry: Geometry, rows: range, max_bytes: int | None) -> csr_array:
    def fill(stripe: Stripe) -> Entries:
        return tap_entries(F[stripe.filter], geometry, stripe.group, slice(stripe.start, stripe.stop))

    def write(entries: int, index: np.dtype[Any]) -> _blocks.Parts:
        return _blocks.write_taps(F, geometry, rows, entries, index)

    operator = "operators.layer_operator(F, geometry)"
    return _matrix(fill, write, geometry, rows, 0, (len(rows), geometry.pixels), F.dtype, max_bytes, operator)


def _matrix(
    fill: Callable[[Stripe], Entries],
    write: Callable[[int, np.dtype[Any]], _blocks.Parts],
    geometry: Geometry,
    rows: range,
    columns: int,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    max_bytes: int | None,
    operator: str,
) -> csr_array:
    """Fill the table where it is small, and write blocks where it is not."""
    instead = f"multiply with {operator}, which needs no matrix; or "
    if max(len(rows), geometry.positions) * geometry.taps <= FILLED_ENTRIES:
        each = stripes(geometry, rows, columns)
        r, c, values = stacked(list(map(fill, each)), each, dtype)
        index = _checked_index(shape, len(values), dtype, max_bytes, instead)
        return _csr(values, c, np.searchsorted(r, np.arange(len(rows) + 1)), shape, index)
    entries = _blocks.count(geometry, rows)
    index = _checked_index(shape, entries, dtype, max_bytes, instead)
    return _csr(*write(entries, index), shape, index)


def _ones(
    ones: range,
    column: Callable[[Array], Array],
    rows: range,
    width: int,
    dtype: np.dtype[Any],
    max_bytes: int | None,
) -> csr_array:
    """Place a 1 in each of some rows that follow each other, in the column that a row's number gives (L7, L21)."""
    shape = (len(rows), width)
    index = _checked_index(shape, len(ones), dtype, max_bytes)
    indptr = np.clip(np.arange(rows.start, rows.stop + 1) - ones.start, 0, len(ones))
    return _csr(np.ones(len(ones), dtype), column(np.arange(ones.start, ones.stop)), indptr, shape, index)


def _csr(data: Array, indices: Array, indptr: Array, shape: tuple[int, int], index: np.dtype[Any]) -> csr_array:
    from scipy.sparse import csr_array  # which takes longer to load than all of an audit, and an audit needs none

    arrays = (data, indices.astype(index, copy=False), indptr.astype(index, copy=False))
    matrix = csr_array(arrays, shape=shape)
    matrix.has_canonical_format = True
    return matrix


# arguments and sizes --------------------------------------------------------------------------------------------------


def _row_range(rows: slice | None, count: int) -> range:
    if rows is None:
        return range(count)
    try:
        start, stop, step = rows.indices(count)
    except (AttributeError, TypeError):
        step = 0
    if step != 1:
        raise ShapeError(f"rows is {shown(rows)}; it needs a slice of step 1 into the {count} rows, like slice(0, 100)")
    return range(start, max(start, stop))


def _rows_of_filter(i: int, rows: slice | None, geometry: Geometry) -> range:
    of_filter, before = _row_range(rows, geometry.positions), i * geometry.positions
    return range(before + of_filter.start, before + of_filter.stop)


def _sparse(array: Array, name: str) -> Array:
    if array.dtype.char in SPARSE_DTYPES:
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    raise DtypeError(
        f"{name} has dtype {array.dtype}, which scipy.sparse cannot hold; build the matrix from "
        f"{name}.astype('float32'), which represents every float16 exactly"
    )


def _ones_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    wanted = any_dtype(dtype)
    if wanted is not None and wanted.char in SPARSE_DTYPES:
        return wanted
    given = shown(dtype) if wanted is None else str(wanted)
    raise DtypeError(
        f"dtype is {given}, which the ones cannot have; use an integer dtype, float32, float64 or longdouble"
    )


def _size(shape: tuple[int, int], nonzeros: int, dtype: np.dtype[Any]) -> Size:
    index = np.dtype(np.int32 if max(nonzeros, *shape) <= np.iinfo(np.int32).max else np.int64)
    needed = nonzeros * (dtype.itemsize + index.itemsize) + (shape[0] + 1) * index.itemsize
    return Size(shape, nonzeros, index, needed)


def _checked_index(
    shape: tuple[int, int], nonzeros: int, dtype: np.dtype[Any], max_bytes: int | None, instead: str = ""
) -> np.dtype[Any]:
    """Return the dtype of the indices of a matrix, which may not be too large; name what to use instead."""
    size = _size(shape, nonzeros, dtype)
    max_bytes = None if max_bytes is None else integer("max_bytes", max_bytes, least=0)
    cure = f"{instead}build it in blocks with rows=slice(…), or raise max_bytes"
    check_bytes(f"a matrix of shape {shape} with {nonzeros} nonzeros", size.bytes, cure, max_bytes)
    return size.index_dtype
