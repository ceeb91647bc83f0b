"""The matrix forms against dense matrices written entry by entry, and their format as sparse arrays."""

import re
import threading
import time
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, vstack

from jacobians import (
    Geometry,
    TooLargeError,
    _blocks,
    convolve,
    filter_gradient,
    filter_matrix,
    image_matrix,
    input_gradient,
    jacobian_wrt_bias,
    jacobian_wrt_filters,
    jacobian_wrt_image,
    matrices,
    stack_matrix,
    testing,
)
from tests import oracle, strategies
from tests.strategies import AWKWARD, LAYOUTS, distinct

LECTURE = Geometry((1, 6, 6), (1, 1, 3, 3))
FIXED = [*strategies.option_grid(), *AWKWARD.values()]
RICH = Geometry((4, 5, 7), (4, 2, 2, 3), stride=(2, 1), padding=((0, 1), (2, 0)), dilation=(1, 2), groups=2)


@contextmanager
def written_in_blocks(**constants):
    """Write matrices of any size as large ones are written, with other limits of what is written at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrices, "FILLED_ENTRIES", 0)
        for name, value in constants.items():
            patch.setattr(_blocks, name, value)
        yield


@pytest.fixture(params=["filled", "written in blocks"])
def writer(request):
    if request.param == "filled":
        yield
    else:
        with written_in_blocks():
            yield


def blocks(dense, geometry):
    """The rows of each filter."""
    return dense.reshape(geometry.filters[0], geometry.positions, -1)


def assert_format(matrix, nonzeros, dtype):
    """csr_array, indices sorted and without duplicates, and nothing stored for padding."""
    assert type(matrix) is csr_array
    assert matrix.dtype == matrix.data.dtype == dtype
    assert matrix.indices.dtype == matrix.indptr.dtype == np.int32
    assert matrix.nnz == len(matrix.data) == len(matrix.indices) == nonzeros, "nonzeros"
    fresh = csr_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)  # flags are computed anew
    assert fresh.has_canonical_format, "not canonical"
    assert matrix.has_canonical_format, "said to be not canonical"
    matrix.check_format(full_check=True)


def assert_matrices_are_the_triple_sum(geometry, X, F):
    layer = oracle.plain(geometry)
    wrt_image, wrt_filters = oracle.jacobian_wrt_image(F, **layer), oracle.jacobian_wrt_filters(X, **layer)
    reads = oracle.reads(**layer)
    for actual, expected in (
        (jacobian_wrt_image(F, geometry), wrt_image),
        (jacobian_wrt_filters(X, geometry), wrt_filters),
    ):
        oracle.assert_same(actual.toarray(), expected)
        assert_format(actual, reads, X.dtype)
    for i in range(geometry.filters[0]):
        group = geometry.group_of(i)
        own = slice(i * geometry.taps, (i + 1) * geometry.taps)
        for actual, expected in (
            (filter_matrix(F[i], geometry, group=group), blocks(wrt_image, geometry)[i]),
            (image_matrix(X, geometry, group=group), blocks(wrt_filters, geometry)[i][:, own]),
        ):
            oracle.assert_same(actual.toarray(), expected)
            assert_format(actual, reads // geometry.filters[0], X.dtype)


@pytest.mark.usefixtures("writer")
@pytest.mark.parametrize("geometry", FIXED, ids=repr)
def test_matrices_are_the_triple_sum_for_every_pair_of_options(geometry):
    X, F, _ = strategies.layer(geometry)
    assert_matrices_are_the_triple_sum(geometry, X, F)


@given(testing.layers(dtype="int64"))
def test_matrices_are_the_triple_sum(layer):
    geometry, X, F, _ = layer
    assert_matrices_are_the_triple_sum(geometry, X, F)


@given(testing.layers(dtype="int64"))
def test_matrix_forms_are_the_convolution_forms(layer):
    geometry, X, F, G = layer
    wrt_image, wrt_filters = jacobian_wrt_image(F, geometry), jacobian_wrt_filters(X, geometry)
    assert wrt_image.nnz == wrt_filters.nnz == geometry.nonzeros
    oracle.assert_same((wrt_filters @ F.ravel()).reshape(geometry.responses), convolve(X, F, geometry))
    oracle.assert_same((wrt_image @ X.ravel()).reshape(geometry.responses), convolve(X, F, geometry))
    oracle.assert_same((G.ravel() @ wrt_filters).reshape(geometry.filters), filter_gradient(X, G, geometry))
    oracle.assert_same((G.ravel() @ wrt_image).reshape(geometry.image), input_gradient(G, F, geometry))


WRONG = {
    "rotated": lambda F: F[:, :, ::-1, ::-1],
    "taps transposed": lambda F: np.swapaxes(F, 2, 3),
    "planes-last order": lambda F: np.moveaxis(F, 1, -1).reshape(F.shape),
    "filters exchanged": lambda F: F[::-1],
}


@pytest.mark.parametrize("mistake", WRONG)
def test_the_comparison_sees_wrong_code(mistake):
    geometry = Geometry((2, 5, 5), (2, 2, 3, 3), stride=2, padding=1)
    _, F, _ = strategies.layer(geometry)
    wrong = jacobian_wrt_image(WRONG[mistake](F), geometry).toarray()
    assert (wrong != oracle.jacobian_wrt_image(F, **oracle.plain(geometry))).any()


def test_the_format_check_sees_a_stored_zero_and_unsorted_indices():
    dense = np.array([[1, 0, 2]])
    good = csr_array(dense)
    assert_format(good, 2, dense.dtype)
    for data, indices in (([1, 0, 2], [0, 1, 2]), ([2, 1], [2, 0])):
        indptr = np.array([0, len(data)], np.int32)
        wrong = csr_array((np.array(data), np.array(indices, np.int32), indptr), shape=(1, 3))
        assert (wrong.toarray() == dense).all()
        with pytest.raises(AssertionError, match=r"^(nonzeros|not canonical)"):
            assert_format(wrong, 2, dense.dtype)


@pytest.mark.usefixtures("writer")
def test_a_tap_that_is_zero_is_stored():
    """The pattern depends on the geometry alone."""
    geometry = AWKWARD["padding beyond k − 1"]
    assert_format(
        jacobian_wrt_image(np.zeros(geometry.filters), geometry), oracle.reads(**oracle.plain(geometry)), float
    )


# ------------------------------------------------------------------------------------------------- the lecture's pages


def position_coded(letter_shape):
    """X_ij is 10 i + j, counted from 1."""
    rows, columns = letter_shape
    return np.array([[[10 * i + j for j in range(1, columns + 1)] for i in range(1, rows + 1)]])


def test_l8_the_image_matrix_as_printed():
    matrix = image_matrix(position_coded((6, 6)), LECTURE).toarray()
    assert matrix.shape == (16, 9)
    assert matrix[:5].tolist() == [
        [11, 12, 13, 21, 22, 23, 31, 32, 33],
        [12, 13, 14, 22, 23, 24, 32, 33, 34],
        [13, 14, 15, 23, 24, 25, 33, 34, 35],
        [14, 15, 16, 24, 25, 26, 34, 35, 36],
        [21, 22, 23, 31, 32, 33, 41, 42, 43],
    ]
    assert matrix[15].tolist() == [44, 45, 46, 54, 55, 56, 64, 65, 66]


def test_l14_the_filter_matrix_as_printed():
    matrix = filter_matrix(position_coded((3, 3)), LECTURE).toarray()
    assert matrix.shape == (16, 36)
    rows = [
        "11 12 13 0 0 0 21 22 23 0 0 0 31 32 33 0 0 0",
        "0 11 12 13 0 0 0 21 22 23 0 0 0 31 32 33 0 0",
        "0 0 11 12 13 0 0 0 21 22 23 0 0 0 31 32 33 0",
        "0 0 0 11 12 13 0 0 0 21 22 23 0 0 0 31 32 33",
        "0 0 0 0 0 0 11 12 13 0 0 0 21 22 23 0 0 0 31 32 33",
    ]
    for row, printed in zip(matrix, rows, strict=False):
        numbers = [int(number) for number in printed.split()]
        assert row.tolist() == numbers + [0] * (36 - len(numbers))


@pytest.mark.parametrize(("name", "shape"), [("image_matrix", (16, 36)), ("filter_matrix", (16, 144))])
def test_l9_l15_planes_stand_side_by_side(name, shape):
    geometry, plane = Geometry((4, 6, 6), (1, 4, 3, 3)), Geometry((1, 6, 6), (1, 1, 3, 3))
    build, entries = getattr(matrices, name), distinct((4, 6, 6) if name == "image_matrix" else (4, 3, 3))
    side_by_side = np.hstack([build(entries[k : k + 1], plane).toarray() for k in range(4)])
    assert side_by_side.shape == shape
    oracle.assert_same(build(entries, geometry).toarray(), side_by_side)


@pytest.mark.parametrize("geometry", [RICH, Geometry((1, 4), (3, 1, 2))], ids=repr)
def test_l7_stack_matrix_is_the_identity_at_block_i(geometry):
    n, t = geometry.filters[0], geometry.positions
    for i in range(n):
        expected = [[int(row == i * t + column) for column in range(t)] for row in range(n * t)]
        oracle.assert_same(stack_matrix(i, geometry).toarray(), expected)
        assert_format(stack_matrix(i, geometry), t, np.float64)


@pytest.mark.parametrize("geometry", [RICH, Geometry((1, 4), (3, 1, 2))], ids=repr)
def test_l21_bias_jacobian_is_a_column_of_ones_per_filter(geometry):
    n, t = geometry.filters[0], geometry.positions
    expected = [[int(row // t == i) for i in range(n)] for row in range(n * t)]
    oracle.assert_same(jacobian_wrt_bias(geometry).toarray(), expected)
    assert_format(jacobian_wrt_bias(geometry), n * t, np.float64)


# ------------------------------------------------------------------------------------------------------------- dtypes

DTYPES = "bhilqBHILQfdg"  # every integer and real floating-point dtype of scipy.sparse


@pytest.mark.usefixtures("writer")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_is_kept(dtype):
    X, F = (abs(A).astype(dtype) for A in strategies.layer(RICH)[:2])
    assert_matrices_are_the_triple_sum(RICH, X, F)
    assert stack_matrix(1, RICH, dtype=dtype).dtype == jacobian_wrt_bias(RICH, dtype=dtype).dtype == np.dtype(dtype)


@pytest.mark.parametrize("build", [image_matrix, jacobian_wrt_filters, filter_matrix, jacobian_wrt_image])
def test_float16_is_refused_with_its_cure(build):
    name, shape = {
        image_matrix: ("X", RICH.image),
        jacobian_wrt_filters: ("X", RICH.image),
        filter_matrix: ("F_i", RICH.filters[1:]),
        jacobian_wrt_image: ("F", RICH.filters),
    }[build]
    message = (
        f"{name} has dtype float16, which scipy.sparse cannot hold; build the matrix from {name}.astype('float32')"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
        build(np.zeros(shape, np.float16), RICH)


@pytest.mark.parametrize(
    ("dtype", "said"),
    [(complex, "complex128"), (bool, "bool"), (object, "object"), ("U3", "<U3"), (np.float16, "float16"), ("x", "'x'")],
)
def test_ones_are_numbers(dtype, said):
    for build in (lambda: stack_matrix(0, RICH, dtype=dtype), lambda: jacobian_wrt_bias(RICH, dtype=dtype)):
        with pytest.raises(TypeError, match=rf"^dtype is {said}, which the ones cannot have; use an integer"):
            build()


# ------------------------------------------------------------------------------------------------------ memory layout


@pytest.mark.usefixtures("writer")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("geometry", [RICH, AWKWARD["four axes"], Geometry((2, 9), (2, 2, 3))], ids=repr)
def test_memory_layout_does_not_matter(layout, geometry):
    X, F, _ = strategies.layer(geometry)
    change, layer = LAYOUTS[layout], oracle.plain(geometry)
    wrt_image, wrt_filters = oracle.jacobian_wrt_image(F, **layer), oracle.jacobian_wrt_filters(X, **layer)
    for matrix, expected in (
        (jacobian_wrt_filters(change(X), geometry), wrt_filters),
        (image_matrix(change(X), geometry), blocks(wrt_filters, geometry)[0][:, : geometry.taps]),
        (jacobian_wrt_image(change(F), geometry), wrt_image),
        (filter_matrix(change(F)[0], geometry), blocks(wrt_image, geometry)[0]),
        (filter_matrix(change(F[0]), geometry), blocks(wrt_image, geometry)[0]),
    ):
        oracle.assert_same(matrix.toarray(), expected)
        assert matrix.dtype.isnative


@pytest.mark.usefixtures("writer")
def test_matrices_own_their_memory():
    X, F, _ = strategies.layer(RICH)
    for matrix, source in ((image_matrix(X, RICH), X), (jacobian_wrt_image(F, RICH), F)):
        before = matrix.toarray()
        np.add(source, 1, out=source)
        oracle.assert_same(matrix.toarray(), before)
        matrix.data[:] = 0  # writeable


# -------------------------------------------------------------------------------------------------------- rows, group

BUILDERS = {
    "image_matrix": lambda g, X, F, **rows: image_matrix(X, g, group=g.groups - 1, **rows),
    "filter_matrix": lambda g, X, F, **rows: filter_matrix(F[-1], g, group=g.groups - 1, **rows),
    "jacobian_wrt_image": lambda g, X, F, **rows: jacobian_wrt_image(F, g, **rows),
    "jacobian_wrt_filters": lambda g, X, F, **rows: jacobian_wrt_filters(X, g, **rows),
    "jacobian_wrt_bias": lambda g, X, F, **rows: jacobian_wrt_bias(g, dtype=int, **rows),
    "stack_matrix": lambda g, X, F, **rows: stack_matrix(g.filters[0] - 1, g, dtype=int, **rows),
}


@pytest.mark.parametrize("name", BUILDERS)
@given(data=st.data())
def test_blocks_of_rows_make_the_whole(name, data):
    geometry = data.draw(testing.geometries())
    operands = strategies.layer(geometry)[:2]
    whole = BUILDERS[name](geometry, *operands)
    inner = data.draw(st.lists(st.integers(0, whole.shape[0]), max_size=4))
    cuts = [0, *sorted(inner), whole.shape[0]]
    parts = [BUILDERS[name](geometry, *operands, rows=slice(start, stop)) for start, stop in pairwise(cuts)]
    for part, (start, stop) in zip(parts, pairwise(cuts), strict=True):
        assert part.shape == (stop - start, whole.shape[1])
        assert_format(part, whole.indptr[stop] - whole.indptr[start], whole.dtype)
    oracle.assert_same(vstack(parts).toarray(), whole.toarray())


@pytest.mark.usefixtures("writer")
@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("rows", [slice(3), slice(-4, None), slice(5, -2), slice(2, 2), slice(9, 3), slice(5, 10**6)])
def test_slices_mean_what_python_means(name, rows):
    operands = strategies.layer(RICH)[:2]
    whole = BUILDERS[name](RICH, *operands).toarray()
    oracle.assert_same(BUILDERS[name](RICH, *operands, rows=rows).toarray(), whole[rows])


@pytest.mark.usefixtures("writer")
def test_every_cut_of_a_small_layer():
    """Three axes, groups, padding and a tail: a row range begins and ends anywhere in a box."""
    geometry = Geometry((2, 3, 4, 3), (2, 1, 2, 2, 1), stride=(1, 2, 1), padding=((1, 0), (0, 1), (1, 1)), groups=2)
    operands = strategies.layer(geometry)[:2]
    for name in ("jacobian_wrt_image", "jacobian_wrt_filters"):
        whole = BUILDERS[name](geometry, *operands).toarray()
        for start in range(0, len(whole), 3):
            for stop in range(start, len(whole) + 1, 2):
                part = BUILDERS[name](geometry, *operands, rows=slice(start, stop))
                oracle.assert_same(part.toarray(), whole[start:stop])


def test_groups_read_their_own_planes():
    X, F, _ = strategies.layer(RICH)
    assert (image_matrix(X, RICH).toarray() != image_matrix(X, RICH, group=1).toarray()).any()
    own = filter_matrix(F[2], RICH, group=1).toarray().reshape(RICH.positions, 4, -1)
    assert not own[:, :2].any()
    assert own[:, 2:].any()


# ------------------------------------------------------------------------------------ the two fillings and the blocks

FILLINGS = {
    "image_matrix": lambda g, X, F, group, **rows: image_matrix(X, g, group=group, **rows),
    "filter_matrix": lambda g, X, F, group, **rows: filter_matrix(F[0], g, group=group, **rows),
    "jacobian_wrt_image": lambda g, X, F, group, **rows: jacobian_wrt_image(F, g, **rows),
    "jacobian_wrt_filters": lambda g, X, F, group, **rows: jacobian_wrt_filters(X, g, **rows),
}


# How much is written at once, by how many threads, and from how many lines of a window on they are copied tap by tap.
PIECES = st.fixed_dictionaries(
    {
        "PIECE_ENTRIES": st.sampled_from([1, 60, 1000]),
        "PATTERN_ENTRIES": st.sampled_from([1, 10, 30]),
        "PATTERN_BYTES": st.sampled_from([16, 100, 1000]),
        "MANY_LINES": st.sampled_from([1, 1000]),
    }
)


def assert_blocks_are_the_filling(name, *given, rows, **constants):
    """The same three arrays in the same dtypes, by the two lines that define the matrices and by blocks."""
    filled = FILLINGS[name](*given, rows=rows)
    with written_in_blocks(**constants):
        written = FILLINGS[name](*given, rows=rows)
    assert filled.shape == written.shape
    for part in ("data", "indices", "indptr"):
        one, other = getattr(filled, part), getattr(written, part)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, err_msg=f"blocks differ in {part}")


@pytest.mark.parametrize("name", FILLINGS)
@given(data=st.data(), geometry=testing.geometries(), dtype=st.sampled_from(DTYPES))
def test_blocks_are_the_two_fillings_of_the_pixel_table(name, data, geometry, dtype):
    """What small layers, symbols and readers get is what large layers get."""
    X, F = (abs(A).astype(dtype) for A in strategies.layer(geometry)[:2])
    group, bound = data.draw(st.integers(0, geometry.groups - 1)), geometry.filters[0] * geometry.positions + 1
    rows = data.draw(st.none() | st.builds(slice, *[st.none() | st.integers(-bound, bound)] * 2))
    assert_blocks_are_the_filling(name, geometry, X, F, group, rows=rows, **data.draw(PIECES))


tap_entries, pixel_entries, blocks_of = matrices.tap_entries, matrices.pixel_entries, _blocks._Layer.blocks
WRONG_FILLINGS = {
    "taps in another order": ("filter_matrix", matrices, "tap_entries", lambda F, *a: tap_entries(F[..., ::-1], *a)),
    "taps counted where they read a pixel": (
        "jacobian_wrt_image",
        matrices,
        "tap_entries",
        lambda F, *a: tap_entries(F, *a)._replace(values=np.resize(F, len(tap_entries(F, *a).values))),
    ),
    "planes of another group": (
        "image_matrix",
        matrices,
        "pixel_entries",
        lambda X, geometry, group, rows: pixel_entries(X, geometry, 0, rows),
    ),
    "rows from the first on": (
        "jacobian_wrt_filters",
        matrices,
        "pixel_entries",
        lambda X, geometry, group, rows: pixel_entries(X, geometry, group, slice(0, rows.stop - rows.start)),
    ),
    "blocks one pixel further": (
        "filter_matrix",
        _blocks._Layer,
        "blocks",
        lambda *rows: (block._replace(pixel=block.pixel + 1) for block in blocks_of(*rows)),
    ),
}


@pytest.mark.parametrize("mistake", WRONG_FILLINGS)
def test_a_wrong_filling_is_not_what_the_blocks_write(mistake, monkeypatch):
    name, *wrong = WRONG_FILLINGS[mistake]
    given = (RICH, *strategies.layer(RICH)[:2], 1)
    assert_blocks_are_the_filling(name, *given, rows=slice(3, 11))
    monkeypatch.setattr(*wrong)
    with pytest.raises(AssertionError, match="blocks differ in"):
        assert_blocks_are_the_filling(name, *given, rows=slice(3, 11))


# ----------------------------------------------------------------------------------------------- large layers, threads


@pytest.mark.parametrize("entries", [1, 20, 50])
@pytest.mark.parametrize("lines", [1, 1000])
def test_threads_and_pieces_do_not_show(entries, lines):
    """Large layers are written by two threads, in pieces and patterns of limited size; the seams must not be seen."""
    limits = {"PIECE_ENTRIES": 5 * entries, "PATTERN_ENTRIES": entries, "PATTERN_BYTES": 16 * entries}
    nothing = Geometry((1, 7, 2), (1, 1, 1, 1), stride=(1, 5), padding=(0, 3))  # reads beside the image only
    for geometry in (Geometry((2, 23), (2, 2, 3), stride=2, padding=4), RICH, AWKWARD["four axes"], nothing):
        operands = (*strategies.layer(geometry)[:2], 0)
        for name in ("jacobian_wrt_image", "jacobian_wrt_filters"):
            assert_blocks_are_the_filling(
                name, geometry, *operands, rows=None, THREADED_ENTRIES=0, MANY_LINES=lines, **limits
            )


@pytest.mark.parametrize("own", [True, False])
def test_what_a_thread_raises_is_raised_and_ends_the_other(own, monkeypatch):
    strided, main, calls = _blocks._strided, threading.get_ident(), []

    def fails(*args):
        if (threading.get_ident() == main) == own:
            raise MemoryError("none left")
        time.sleep(0.001)
        calls.append(args)
        return strided(*args)

    monkeypatch.setattr(_blocks, "_strided", fails)
    geometry = Geometry((1, 12, 12), (1, 1, 2, 2))
    with written_in_blocks(THREADED_ENTRIES=0, PIECE_ENTRIES=1), pytest.raises(MemoryError, match="none left"):
        image_matrix(np.ones(geometry.image), geometry)
    if own:
        assert len(calls) < geometry.positions


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((2, 220, 201), (1, 2, 6, 5), padding=((5, 2), (0, 3)), stride=(1, 2), dilation=(1, 2)),
        Geometry((1, 50_000), (1, 1, 25), padding=7),
        Geometry((40, 61, 57), (1, 40, 3, 3), padding=1, dilation=(1, 2)),
    ],
    ids=repr,
)
def test_a_layer_large_enough_for_threads(geometry):
    """Against the pixel table, which is itself held against the triple sum in test_geometry.py."""
    X, F, _ = strategies.layer(geometry)
    table = geometry.pixel_table()
    inside = table >= 0
    assert inside.sum() >= _blocks.THREADED_ENTRIES
    matrix = image_matrix(X, geometry)
    oracle.assert_same(matrix.data, X.ravel()[table[inside]])
    oracle.assert_same(matrix.indices, np.nonzero(inside)[1])
    oracle.assert_same(np.diff(matrix.indptr), inside.sum(1))
    matrix = filter_matrix(F[0], geometry)
    oracle.assert_same(matrix.data, np.broadcast_to(F[0].ravel(), table.shape)[inside])
    oracle.assert_same(matrix.indices, table[inside])
    oracle.assert_same(np.diff(matrix.indptr), inside.sum(1))


ENORMOUS = Geometry((3, 40_000, 40_000), (2, 3, 3, 3), padding=1)


def test_a_few_rows_of_an_enormous_matrix():
    """Its columns are beyond int32, and beyond any memory if they were stored."""
    F = distinct(ENORMOUS.filters)
    row = 39_999 * 40_000 + 1  # the response at the last row, second column: no tap below the image
    matrix = filter_matrix(F[0], ENORMOUS, rows=slice(row, row + 2))
    assert matrix.shape == (2, 3 * 40_000**2)
    assert matrix.indices.dtype == matrix.indptr.dtype == np.int64
    expected = [
        k * 40_000**2 + (39_998 + a) * 40_000 + column + b
        for column in (0, 1)
        for k in range(3)
        for a in range(2)
        for b in range(3)
    ]
    assert matrix.indices.tolist() == expected
    assert max(expected) > 2**31
    assert matrix.data.tolist() == F[0][:, :2].ravel().tolist() * 2
    assert matrix.indptr.tolist() == [0, 18, 36]
    last = jacobian_wrt_image(F, ENORMOUS, rows=slice(-1, None))
    assert last.data.tolist() == F[1][:, :2, :2].ravel().tolist()


def test_five_rows_of_an_enormous_matrix_need_little():
    assert filter_matrix(np.ones((3, 3, 3)), ENORMOUS, rows=slice(0, 5), max_bytes=2000).nnz == 3 * 2 * (2 + 4 * 3)
    assert stack_matrix(1, ENORMOUS, rows=slice(-2, None)).indices.tolist() == [40_000**2 - 2, 40_000**2 - 1]
    assert jacobian_wrt_bias(ENORMOUS, rows=slice(-2, None)).indices.tolist() == [1, 1]


def test_indices_are_int32_up_to_its_largest_number():
    fits, beyond = (Geometry((1, size), (1, 1, 1)) for size in (2**31 - 1, 2**31))
    assert filter_matrix([[7]], fits, rows=slice(-1, None)).indices.dtype == np.int32
    matrix = filter_matrix([[7]], beyond, rows=slice(-1, None))
    assert matrix.indices.dtype == np.int64
    assert matrix.indices.tolist() == [2**31 - 1]


def test_long_numbers_are_copied_whole():
    """Taps that lie side by side are copied as one item, of as many bytes as they have."""
    geometry = Geometry((2, 30), (1, 2, 3))
    X = distinct(geometry.image).astype(np.longdouble)
    filled = image_matrix(X, geometry)
    with written_in_blocks():
        oracle.assert_same(image_matrix(X, geometry).toarray(), filled.toarray())


def test_a_block_stays_inside_its_array():
    array = np.arange(6)
    oracle.assert_same(_blocks._strided(array, 1, (2, 2), (3, 1)), np.array([[1, 2], [4, 5]]))
    for start in (-1, 2):
        with pytest.raises(AssertionError, match="leaves an array of 6 entries"):
            _blocks._strided(array, start, (2, 2), (3, 1))


def test_the_first_group_is_filled_by_default():
    X, F, _ = strategies.layer(RICH)
    for fill, operand in ((matrices.pixel_entries, X), (matrices.tap_entries, F[0])):
        for filled, first in zip(fill(operand, RICH), fill(operand, RICH, 0), strict=True):
            oracle.assert_same(filled, first)


ALL = {
    "filter_matrix": lambda g: filter_matrix(np.ones(g.filters[1:]), g),
    "jacobian_wrt_image": lambda g: jacobian_wrt_image(np.ones(g.filters), g),
    "stack_matrix": lambda g: stack_matrix(0, g),
    "jacobian_wrt_bias": jacobian_wrt_bias,
}


@pytest.mark.parametrize("name", ALL)
def test_an_enormous_matrix_is_refused_before_anything_is_allocated(name):
    enormous = Geometry((3, 400_000, 400_000), (2, 3, 3, 3), padding=1)
    with pytest.raises(TooLargeError, match=r"^a matrix of shape \(\d+, \d+\) with \d+ nonzeros needs \S+ GiB but may"):
        ALL[name](enormous)


def test_rows_of_an_enormous_axis_are_built():
    """No array may be as long as the axis, which would take all of a machine's memory."""
    longest = Geometry((1, 2**40), (1, 1, 3), stride=2, padding=((2, 0),))
    with pytest.raises(TooLargeError, match=r"^a matrix of shape \(549755813888, 1099511627776\) with 1649267441662 "):
        filter_matrix([[5, 6, 7]], longest)
    assert filter_matrix([[5, 6, 7]], longest, rows=slice(0, 3))[:, :5].toarray().tolist() == [
        [7, 0, 0, 0, 0],
        [5, 6, 7, 0, 0],
        [0, 0, 5, 6, 7],
    ]
    assert filter_matrix([[5, 6, 7]], longest, rows=slice(2**39 - 1, None))[:, -4:].toarray().tolist() == [[5, 6, 7, 0]]


@pytest.mark.usefixtures("writer")
@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("rows", [None, slice(3, -2)])
def test_a_matrix_that_just_fits_is_built(build, rows):
    def built(**most):
        return BUILDERS[build](RICH, *strategies.layer(RICH)[:2], rows=rows, **most)

    matrix = built()
    needed = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    oracle.assert_same(built(max_bytes=needed).toarray(), matrix.toarray())
    message = (
        f"a matrix of shape {matrix.shape} with {matrix.nnz} nonzeros needs {needed / 2**30:.3g} GiB but may take "
        f"{(needed - 1) / 2**30:.3g} GiB; "
    )
    with pytest.raises(TooLargeError, match=f"^{re.escape(message)}.*rows=slice.*max_bytes"):
        built(max_bytes=needed - 1)
    with pytest.raises(TooLargeError, match="GiB but may take 0 GiB"):
        built(max_bytes=0)


@pytest.mark.parametrize("rows", [None, slice(3, -2)])
def test_the_size_of_a_layers_matrix_is_known_before_it_is_built(rows):
    matrix = jacobian_wrt_image(np.ones(RICH.filters), RICH, rows=rows)
    needed = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    size = matrices.layer_size(RICH, matrix.dtype, rows)
    assert size == (matrix.shape, matrix.nnz, matrix.indices.dtype, needed)


def test_by_default_a_matrix_may_take_the_memory_that_is_available(monkeypatch):
    geometry = Geometry((1, 300, 300), (1, 1, 3, 3))
    matrix = filter_matrix(np.ones((1, 3, 3)), geometry)
    needed = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    for available, fits in ((needed, True), (needed - 1, False)):
        machine = psutil.virtual_memory()._replace(available=available)
        monkeypatch.setattr(psutil, "virtual_memory", lambda machine=machine: machine)
        if fits:
            assert filter_matrix(np.ones((1, 3, 3)), geometry).nnz == 298 * 298 * 9
        else:
            with pytest.raises(TooLargeError, match=r"\(88804, 90000\) with 799236 nonzeros needs 0.00926 GiB but may"):
                filter_matrix(np.ones((1, 3, 3)), geometry)
