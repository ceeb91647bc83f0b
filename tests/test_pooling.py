"""Average and maximum pooling: values and Jacobians against literal loops; each check fails on wrong formulas."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from jacobians import Geometry, pooling
from jacobians.errors import DtypeError, ShapeError, TooLargeError
from jacobians.pooling import (
    average_pool,
    average_pool_jacobian,
    chosen_by_windows,
    maximum_pool,
    maximum_pool_jacobian,
    pooling_geometry,
    scatter,
)
from jacobians.testing import strategies
from tests import oracle
from tests.oracle import assert_same, pooled
from tests.strategies import distinct

DIFFERENT = "Arrays are not equal"

# Each hides or shows something that the others do not.
LAYERS = {
    "the usual one": ((2, 4, 6), 2, {}),
    "overlapping": ((2, 5, 4), (3, 2), {"stride": 1}),
    "padded, overlapping, tail": ((1, 6, 5), 3, {"stride": 2, "padding": 1}),
    "gaps": ((2, 7, 5), (2, 1), {"stride": (3, 2)}),
    "dilated": ((1, 6, 7), (2, 3), {"stride": (2, 1), "dilation": (3, 2)}),
    "before and after differ": ((3, 3, 4), (2, 3), {"stride": 1, "padding": ((1, 0), (0, 2))}),
    "global": ((3, 2, 4), None, {}),
    "one axis": ((2, 9), 4, {"stride": 3, "padding": 1}),
    "three axes": ((2, 2, 3, 4), (1, 2, 2), {"stride": (1, 1, 2)}),
    "rounded up": ((2, 5, 6), (2, 4), {"ceil_mode": True}),
    "rounded up, padded": ((1, 7, 6), (3, 2), {"stride": 3, "padding": 1, "ceil_mode": True}),
    "nothing to round up": ((1, 2, 3), 2, {"stride": (1, 3), "padding": ((0, 0), (0, 1)), "ceil_mode": True}),
}
layers = pytest.mark.parametrize(("image", "window", "options"), LAYERS.values(), ids=LAYERS)


def tied(image, dtype=np.int64):
    """Few different integers, of both signs, so that windows have several largest ones."""
    return np.random.default_rng(len(image)).integers(-2, 3, image).astype(dtype)


def basis_images(image):
    for index in np.ndindex(*image):
        E = np.zeros(image, int)
        E[index] = 1
        yield E


# ------------------------------------------------------------------------------------------------------------- maximum


def literal_maximum(X, image, window, options):
    return [max(int(X[pixel]) for pixel in pixels) for pixels, _ in pooled(image, window, **options)]


def check_maximum_pool(pool, jacobian, image, window, options):
    """The derivative at an image without ties, moved from one with ties so that the first of equals is the largest."""
    X = tied(image)
    geometry = pooling_geometry(image, window, **options)
    assert_same(pool(X, geometry).ravel(), literal_maximum(X, image, window, options))
    untied = 2 * (X * X.size - np.arange(X.size).reshape(image))
    base = np.array(literal_maximum(untied, image, window, options))
    quotients = [np.array(literal_maximum(untied + E, image, window, options)) - base for E in basis_images(image)]
    assert_same(jacobian(X, geometry).toarray(), np.transpose(quotients))


@layers
def test_maximum_pool_and_its_jacobian(image, window, options):
    check_maximum_pool(maximum_pool, maximum_pool_jacobian, image, window, options)


@layers
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32])
def test_the_two_ways_to_choose_a_pixel_agree(image, window, options, dtype):
    geometry = pooling_geometry(image, window, **options)
    X = tied(image, dtype)
    chosen, matrix = chosen_by_windows(X, geometry), maximum_pool_jacobian(X, geometry)
    assert_same(chosen.pixels.ravel(), matrix.indices)
    assert chosen.values.dtype == matrix.dtype == maximum_pool(X, geometry).dtype == dtype
    G = distinct((matrix.shape[0], 2), start=3)
    assert_same(scatter(G, chosen, geometry), matrix.astype(int).T @ G)


def as_pooling(geometry):
    """The same windows, on each plane by itself."""
    d = geometry.image[0]
    options = {name: getattr(geometry, name) for name in ("stride", "padding", "dilation")}
    return Geometry(geometry.image, (d, 1, *geometry.filters[2:]), groups=d, **options)


@given(strategies.geometries(max_planes=3, groups=1).map(as_pooling), st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_every_window_takes_its_first_largest_pixel(geometry, seed, most):
    X = np.random.default_rng(seed).integers(-most, most + 1, geometry.image)
    options = {name: getattr(geometry, name) for name in ("stride", "padding", "dilation")}
    windows = [pixels for pixels, _ in pooled(geometry.image, geometry.filters[2:], **options)]
    if not all(windows):
        for build in (maximum_pool_jacobian, chosen_by_windows):
            with pytest.raises(ShapeError, match="lies wholly in padding"):
                build(X, geometry)
        return
    # max takes the first of equals, and pixels are in vec order.
    chosen = [oracle.vec(max(pixels, key=lambda pixel: X[pixel]), X.shape) for pixels in windows]
    assert_same(maximum_pool_jacobian(X, geometry).indices, chosen)
    assert_same(chosen_by_windows(X, geometry).pixels.ravel(), chosen)
    assert_same(maximum_pool(X, geometry).ravel(), X.ravel()[chosen])


def placed(X, geometry, choose):
    """A Jacobian of maximum pooling from what is chosen of each row's pixels."""
    matrix = np.zeros((math.prod(geometry.responses), geometry.pixels), X.dtype)
    tables = [geometry.pixel_table(group=group) for group in range(geometry.groups)]
    for r, row in enumerate(np.concatenate(tables)):
        choose(matrix[r], row[row >= 0], X.ravel())
    return csr_array(matrix)


def last_of_equals(row, pixels, x):
    row[pixels[len(pixels) - 1 - np.argmax(x[pixels][::-1])]] = 1


def all_equals(row, pixels, x):
    row[pixels[x[pixels] == x[pixels].max()]] = 1


def smallest(row, pixels, x):
    row[pixels[np.argmin(x[pixels])]] = 1


def pixel_itself(row, pixels, x):
    row[pixels[np.argmax(x[pixels])]] = x[pixels].max()


def first_of_the_window(row, pixels, x):
    row[pixels[0]] = 1


def largest_magnitude(row, pixels, x):
    row[pixels[np.argmax(np.abs(x[pixels]))]] = 1


@pytest.mark.parametrize(
    "wrong", [last_of_equals, all_equals, smallest, pixel_itself, first_of_the_window, largest_magnitude]
)
def test_a_wrong_maximum_jacobian_is_caught(wrong):
    with pytest.raises(AssertionError, match=DIFFERENT):
        check_maximum_pool(maximum_pool, lambda X, geometry: placed(X, geometry, wrong), *LAYERS["overlapping"])


def zeros_of_the_padding(X, geometry):
    padded = np.pad(X, ((0, 0), *geometry.padding))
    d, *sizes = padded.shape
    return maximum_pool(padded, Geometry((d, *sizes), geometry.filters, stride=geometry.stride, groups=d))


def test_padding_taken_for_zeros_is_caught():
    image, window, options = LAYERS["padded, overlapping, tail"]
    with pytest.raises(AssertionError, match=DIFFERENT):
        check_maximum_pool(zeros_of_the_padding, maximum_pool_jacobian, image, window, options)


def test_padding_is_never_the_largest():
    """Not even beside the smallest number of a dtype."""
    geometry = pooling_geometry((1, 1, 3), (1, 2), stride=(1, 2), padding=((0, 0), (1, 0)))
    for X in (np.full((1, 1, 3), -128, np.int8), np.full((1, 1, 3), -np.inf)):
        assert_same(maximum_pool(X, geometry), X[:, :, :2])
        assert_same(maximum_pool_jacobian(X, geometry).indices, [0, 1])
        assert_same(chosen_by_windows(X, geometry).pixels.ravel(), [0, 1])


def test_nan_is_not_hidden():
    geometry = pooling_geometry((1, 1, 5), (1, 3), stride=1)
    X = np.array([[[np.inf, 1.0, np.nan, np.nan, 2.0]]])
    assert_same(maximum_pool(X, geometry), np.full((1, 1, 3), np.nan))
    matrix = maximum_pool_jacobian(X, geometry)
    assert_same(matrix.indices, [2, 2, 2])
    assert_same(matrix.data, [np.nan] * 3)
    chosen = chosen_by_windows(X, geometry)
    assert_same(chosen.pixels.ravel(), [2, 2, 2])
    assert_same(chosen.values.ravel(), [np.nan] * 3)


def test_memory_is_asked_for_what_is_made(monkeypatch):
    """Of the padded image, 2·8·7 entries, and its indices: both, what the windows have there, and what is compared."""
    asked = []
    monkeypatch.setattr(pooling, "check_bytes", lambda what, needed, cure: asked.append(needed // 8))
    maximum_pool(np.ones((2, 6, 5)), pooling_geometry((2, 6, 5), 3, padding=1))
    assert asked == [6 * 2 * 8 * 7]


# ------------------------------------------------------------------------------------------------------------- average


def literal_average(X, image, window, options, counted):
    found = pooled(image, window, **options, counted=counted)
    return [Fraction(sum(int(X[pixel]) for pixel in pixels), count) for pixels, count in found]


def check_average_pool(pool, jacobian, image, window, options, counted):
    """Linear, so that each column is what a basis image gives; 1/c is rounded once, as the quotient of integers is."""
    geometry = pooling_geometry(image, window, **options)
    X = distinct(image)
    expected = literal_average(X, image, window, options, counted)
    assert_same(pool(X, geometry, counted=counted).ravel(), [float(mean) for mean in expected])
    shares = [literal_average(E, image, window, options, counted) for E in basis_images(image)]
    assert_same(jacobian(geometry, counted=counted).toarray(), np.transpose(shares).astype(float))


COUNTED = [
    *((*layer, None) for layer in LAYERS.values()),
    *((*layer, 0) for layer in LAYERS.values()),
    ((1, 7, 6), (3, 2), {"stride": 3, "padding": 1, "ceil_mode": True}, 1),
    ((2, 5, 6), (3, 4), {"stride": 2, "padding": ((2, 1), (1, 2))}, ((1, 1), (0, 2))),
    ((1, 1, 3), (1, 2), {"stride": 1}, 0),
]
RIGHT = {"pool": average_pool, "jacobian": average_pool_jacobian}


def with_overhang_as(image, window, options, counted):
    """By default all padding counts, in the geometry that of rounding up too."""
    if counted is None and options.get("ceil_mode"):
        return pooling_geometry(image, window, **options).padding
    return counted


@pytest.mark.parametrize(("image", "window", "options", "counted"), COUNTED, ids=str)
def test_average_pool_and_its_jacobian(image, window, options, counted):
    given = with_overhang_as(image, window, options, counted)
    check_average_pool(**RIGHT, image=image, window=window, options=options, counted=given)


@pytest.mark.parametrize(("counts", "wrong"), [("place_counts", "value"), ("_counts_by_table", "matrix")])
def test_the_values_and_the_matrix_count_places_in_two_ways(monkeypatch, counts, wrong):
    """Where one is wrong, the other is right: a mean of ones is 1, and so is the share in a window of one pixel."""
    image, window, options = LAYERS["before and after differ"]
    geometry = pooling_geometry(image, window, **options)
    monkeypatch.setattr(f"jacobians.pooling.{counts}", lambda geometry, counted: np.array(geometry.taps))
    right = {
        "value": (average_pool(np.ones(image), geometry, counted=0) == 1).all(),
        "matrix": average_pool_jacobian(geometry, counted=0).max() == 1,
    }
    assert [name for name in right if not right[name]] == [wrong]


def test_all_padding_counts_unless_it_is_said():
    geometry = pooling_geometry((1, 3, 3), 2, padding=((1, 0), (0, 0)), ceil_mode=True)
    assert_same(average_pool_jacobian(geometry).data, [0.25] * 9)
    assert_same(average_pool_jacobian(geometry, counted=geometry.padding).data, [0.25] * 9)
    given = average_pool_jacobian(geometry, counted=((1, 0), (0, 0)))
    assert_same(given.data, [0.25, 0.25, 0.5, *[0.25] * 4, 0.5, 0.5])
    assert_same(average_pool_jacobian(geometry, counted=0).data, [0.5, 0.5, 1, *[0.25] * 4, 0.5, 0.5])


def sums(geometry, counted=None):
    matrix = average_pool_jacobian(geometry, counted=counted)
    matrix.data = np.ones(matrix.nnz)
    return matrix


def by_the_window(geometry, counted=None):
    matrix = average_pool_jacobian(geometry)
    matrix.data = np.full(matrix.nnz, 1 / geometry.taps)
    return matrix


def by_plane_and_window(geometry, counted=None):
    return average_pool_jacobian(geometry, counted=counted) / geometry.image[0]


def by_rows_only(geometry, counted=None):
    matrix = average_pool_jacobian(geometry, counted=counted)
    matrix.data = matrix.data * geometry.filters[-1]
    return matrix


def transposed_planes(geometry, counted=None):
    return average_pool_jacobian(geometry, counted=counted)[::-1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"jacobian": sums},
        {"jacobian": by_the_window},
        {"jacobian": by_plane_and_window},
        {"jacobian": by_rows_only},
        {"jacobian": transposed_planes},
        {"jacobian": lambda geometry, counted: average_pool_jacobian(geometry)},
        {"pool": lambda X, geometry, counted: average_pool(X, geometry)},
        {"pool": lambda X, geometry, counted: maximum_pool(X, geometry)},
    ],
    ids=[
        "no division",
        "by the window, padding included",
        "by the planes, too",
        "by one side of the window",
        "responses reversed",
        "padding counted",
        "value with padding counted",
        "maximum",
    ],
)
def test_a_wrong_average_is_caught(wrong):
    image, window, options = LAYERS["before and after differ"]
    with pytest.raises(AssertionError, match=DIFFERENT):
        check_average_pool(**RIGHT | wrong, image=image, window=window, options=options, counted=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_kept(dtype):
    geometry = pooling_geometry((2, 4, 4), 2)
    X = distinct(geometry.image, dtype=dtype)
    assert average_pool(X, geometry).dtype == average_pool_jacobian(geometry, dtype=dtype).dtype == dtype
    assert average_pool(X.astype(int), geometry).dtype == np.float64


def test_small_integers_are_summed_without_wrapping():
    assert_same(average_pool(np.full((1, 2, 2), 127, np.int8), pooling_geometry((1, 2, 2))), [[[127]]])
    geometry = pooling_geometry((1, 1, 3), (1, 2), stride=1)
    chosen = chosen_by_windows(np.array([[[0, 1, 0]]]), geometry)
    with pytest.raises(OverflowError, match=f"may reach {2**63}"):
        scatter(np.full((2, 1), 2**62), chosen, geometry)


# ------------------------------------------------------------------------------------------------------------ geometry


def test_a_window_is_a_filter_for_each_plane():
    geometry = pooling_geometry((3, 7, 9), (2, 3))
    assert geometry == Geometry((3, 7, 9), (3, 1, 2, 3), stride=(2, 3), groups=3)
    assert pooling_geometry((3, 7, 9)).filters == (3, 1, 7, 9)


PLANE = pooling_geometry((2, 4, 4), 2)


def pooled_as(filters, groups=1):
    return maximum_pool(np.ones((2, 4, 4)), Geometry((2, 4, 4), filters, groups=groups))


ERRORS = [
    (lambda: pooling_geometry((4,), 2), ShapeError, r"^image has shape \(4,\); it needs \(d, \*spatial\)"),
    (lambda: pooling_geometry(4, 2), ShapeError, r"image is 4; it needs"),
    (lambda: pooling_geometry((1, 3, 3), 4), ShapeError, r"a window of \(4, 4\) on an image of \(1, 3, 3\) .*pad by 1"),
    (lambda: pooling_geometry((1, 3, 3), (2, 2, 2)), ShapeError, r"a window of \(2, 2, 2\) on an image"),
    (lambda: pooling_geometry((1, 3, 3), 2, ceil_mode=1), TypeError, r"ceil_mode is 1; it needs True or False"),
    (lambda: pooled_as((2, 2, 3, 2)), ShapeError, r"pooling_geometry\(\(2, 4, 4\), \(3, 2\), …\)"),
    (lambda: pooled_as((1, 2, 2, 2)), ShapeError, r"one filter of one plane for each of the 2 planes"),
    (lambda: pooled_as((4, 1, 2, 2), groups=2), ShapeError, r"one filter of one plane for each of the 2 planes:"),
    (lambda: maximum_pool(np.ones((2, 4, 5)), PLANE), ShapeError, r"X has shape \(2, 4, 5\)"),
    (lambda: maximum_pool(np.ones((2, 4, 4)), (2, 2)), TypeError, r"geometry"),
    (lambda: maximum_pool(np.ones((2, 4, 4), bool), PLANE), DtypeError, r"X has dtype bool"),
    (lambda: maximum_pool_jacobian(np.ones((2, 4, 4), np.float16), PLANE), DtypeError, r"X has dtype float16"),
    (lambda: average_pool_jacobian(PLANE, dtype=int), DtypeError, r"need a floating-point dtype"),
    (lambda: average_pool_jacobian(PLANE, dtype=complex), DtypeError, r"the shares 1/c need a floating-point dtype"),
    (lambda: average_pool_jacobian(PLANE, dtype="float16"), DtypeError, r"dtype float16"),
    (lambda: average_pool_jacobian(PLANE, max_bytes=10), TooLargeError, r"may take"),
    (lambda: average_pool(np.ones((2, 4, 4)), PLANE, counted=1), ShapeError, r"counted is \(1, 1\) .* at most"),
    (
        lambda: average_pool(np.ones((2, 4, 4)), PLANE, counted=((0, 0), (1, 0))),
        ShapeError,
        r"\(1, 0\) on spatial axis 1",
    ),
    (lambda: average_pool(np.ones((2, 4, 4)), PLANE, counted=-1), ShapeError, r"counted is -1"),
    (lambda: average_pool(np.ones((2, 4, 4)), PLANE, counted="same"), ShapeError, r"counted is 'same'; it needs"),
    (lambda: average_pool(np.ones((2, 4, 4)), PLANE, counted=(0, 0, 0)), ShapeError, r"counted has 3 entries"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[text for *_, text in ERRORS])
def test_bad_input_is_named_with_its_cure(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_a_window_of_padding_alone_has_no_maximum_and_no_mean():
    geometry = pooling_geometry((1, 3, 2), 2, stride=1, padding=((0, 0), (0, 3)))
    for call in (
        lambda: maximum_pool(np.ones((1, 3, 2)), geometry),
        lambda: maximum_pool_jacobian(np.ones((1, 3, 2)), geometry),
        lambda: average_pool(np.ones((1, 3, 2)), geometry, counted=0),
        lambda: average_pool_jacobian(geometry, counted=0),
    ):
        with pytest.raises(ShapeError, match=r"window 2 on spatial axis 1 lies wholly in padding"):
            call()
    assert_same(average_pool(np.ones((1, 3, 2)), geometry), [[[1, 0.5, 0, 0]] * 2])
