"""Operators: the products of the explicit matrices, by the convolution forms, exactly and in every dtype."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, lobpcg, lsmr, onenormest, svds

from jacobians import DtypeError, Geometry, ShapeError, TooLargeError, matrices, operators
from jacobians.operators import FilterOperator, LayerOperator, filter_operator, layer_operator
from jacobians.testing import geometries
from tests.strategies import distinct

GROUPED = Geometry((4, 7, 6), (6, 2, 3, 2), stride=(2, 1), padding=((1, 2), (0, 1)), dilation=(1, 2), groups=2)
SIGNAL = Geometry((2, 9), (3, 2, 4), stride=3, padding=1)
VOLUME = Geometry((2, 3, 4, 5), (2, 1, 2, 3, 2), stride=(1, 2, 1), padding=1, groups=2)
LAYERS = [GROUPED, SIGNAL, VOLUME]


def both(geometry):
    """Each operator beside the matrix that the other half of the house builds."""
    F, X = distinct(geometry.filters), distinct(geometry.image)
    return [
        (layer_operator(F, geometry), matrices.jacobian_wrt_image(F, geometry)),
        (filter_operator(X, geometry), matrices.jacobian_wrt_filters(X, geometry)),
    ]


def vectors(size, count=None):
    shape = (size,) if count is None else (size, count)
    return np.random.default_rng(size).permutation(np.arange(1, 1 + np.prod(shape))).reshape(shape) - 5


def assert_equal(operator, matrix):
    assert operator.shape == matrix.shape
    rows, columns = matrix.shape
    assert (operator @ vectors(columns) == matrix @ vectors(columns)).all()
    assert (operator.T @ vectors(rows) == matrix.T @ vectors(rows)).all()
    assert (operator @ vectors(columns, 3) == matrix @ vectors(columns, 3)).all()
    assert (operator.T @ vectors(rows, 3) == matrix.T @ vectors(rows, 3)).all()
    assert (operator.matmat(vectors(columns, 1)) == matrix @ vectors(columns, 1)).all()
    assert (operator.adjoint().matvec(vectors(rows)) == operator.rmatvec(vectors(rows))).all()


def assert_all_equal(geometry):
    for operator, matrix in both(geometry):
        assert_equal(operator, matrix)


@pytest.mark.parametrize("geometry", LAYERS, ids=repr)
def test_products_are_those_of_the_matrix(geometry):
    for operator, matrix in both(geometry):
        assert isinstance(operator, LinearOperator)
        assert_equal(operator, matrix)
        assert (operator.matrix() != matrix).nnz == 0
        assert (operator.matrix(rows=slice(1, 3)) != matrix[1:3]).nnz == 0


@given(geometries(), st.integers(1, 3))
def test_products_are_those_of_the_matrix_at_any_layer(geometry, count):
    for operator, matrix in both(geometry):
        rows, columns = matrix.shape
        assert (operator @ vectors(columns, count) == matrix @ vectors(columns, count)).all()
        assert (operator.T @ vectors(rows, count) == matrix.T @ vectors(rows, count)).all()


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ("convolve", lambda right: lambda X, F, g: right(X, F[..., ::-1, :], g)),
        ("input_gradient", lambda right: lambda G, F, g: right(G, F[:, ::-1], g)),
        ("filter_gradient", lambda right: lambda X, G, g: right(X[::-1], G, g)),
        ("_with_filters", lambda right: lambda g, n: right(Geometry(g.image, g.filters, groups=g.groups), n)),
    ],
)
def test_a_wrong_form_is_noticed(monkeypatch, form, wrong):
    monkeypatch.setattr(operators, form, wrong(getattr(operators, form)))
    with pytest.raises((AssertionError, ValueError)):  # an assertion that compares has no words
        assert_all_equal(GROUPED)


def test_columns_of_a_product_do_not_touch_each_other():
    """With several columns, each is the product of that column alone."""
    for operator, _ in both(GROUPED):
        V = vectors(operator.shape[1], 4)
        assert (operator @ V == np.stack([operator @ v for v in V.T], axis=1)).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_the_dtype_stays(dtype):
    for operator in (
        layer_operator(distinct(SIGNAL.filters).astype(dtype), SIGNAL),
        filter_operator(distinct(SIGNAL.image).astype(dtype), SIGNAL),
    ):
        rows, columns = operator.shape
        assert operator.dtype == dtype
        assert (operator @ np.ones(columns, dtype)).dtype == dtype
        assert (operator.T @ np.ones((rows, 2), dtype)).dtype == dtype


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64"])
def test_integers_are_summed_in_int64(dtype):
    operator = layer_operator(np.full(SIGNAL.filters, 100, dtype), SIGNAL)
    assert operator.dtype == np.int64
    assert (operator @ np.full(SIGNAL.pixels, 100, dtype)).max() == 100 * 100 * SIGNAL.taps


def test_the_text_tells_shape_dtype_and_cost():
    """Of 3 filters with 2 planes at 3 positions, all taps read pixels but the first and the last."""
    F = distinct(SIGNAL.filters)
    for operator, name, columns in (
        (layer_operator(F, SIGNAL), "LayerOperator", SIGNAL.pixels),
        (filter_operator(distinct(SIGNAL.image), SIGNAL), "FilterOperator", F.size),
    ):
        text = repr(operator)
        assert f"{3 * SIGNAL.positions}×{columns} {name} of int64" in text
        assert f"{operator.matrix().nnz} products" in text
        assert repr(SIGNAL) in text


def test_what_scipy_offers_runs_on_them():
    geometry = Geometry((2, 4, 5), (2, 2, 3, 3), padding=1)
    F = distinct(geometry.filters).astype(float)
    operator, dense = layer_operator(F, geometry), matrices.jacobian_wrt_image(F, geometry).toarray()
    assert onenormest(operator) == np.linalg.norm(dense, 1)
    rounding = dense.size * np.finfo(float).eps * np.linalg.norm(dense)
    exact = np.linalg.svd(dense, compute_uv=False)[:2]
    found = svds(operator, k=2, return_singular_vectors=False, v0=np.arange(40.0))
    assert (abs(np.sort(found)[::-1] - exact) <= rounding).all()
    start = np.random.default_rng(1).random((operator.shape[1], 1))
    squares, _ = lobpcg(operator.T @ operator, start, maxiter=200, tol=1e-9)
    assert abs(squares[0] - exact[0] ** 2) < exact[0] ** 2 - exact[1] ** 2
    right = operator @ np.arange(operator.shape[1], dtype=float)
    solved, wanted = (lsmr(each, right, atol=0, btol=0)[0] for each in (operator, dense))
    left = np.linalg.norm(dense @ solved - right)
    assert left < 2 * np.linalg.norm(dense @ wanted - right) < np.linalg.norm(right)


def test_operators_of_layers_whose_matrix_no_machine_holds():
    """VGG-16's second layer has 1.8·10⁹ nonzeros; one row of pixels is enough to see that its product is right."""
    geometry = Geometry((64, 224, 224), (64, 64, 3, 3), padding=1)
    F = np.random.default_rng(0).integers(-3, 4, geometry.filters).astype("float32")
    operator = layer_operator(F, geometry)
    assert geometry.nonzeros == 64 * 64 * (3 * 224 - 2) ** 2
    with pytest.raises(TooLargeError, match=r"operators\.layer_operator\(F, geometry\).*rows=slice") as error:
        operator.matrix(max_bytes=2**30)
    assert str(error.value).index("layer_operator") < str(error.value).index("rows=")
    x = np.zeros(geometry.pixels, "float32")
    x[5 * 224 * 224 : 5 * 224 * 224 + 224] = np.arange(224) % 7
    rows = slice(3 * 224 * 224, 3 * 224 * 224 + 448)
    assert (operator @ x)[rows].tolist() == (operator.matrix(rows=rows) @ x).tolist()


def test_the_error_of_a_large_matrix_of_pixels_names_its_operator():
    with pytest.raises(TooLargeError, match=r"operators\.filter_operator\(X, geometry\)"):
        filter_operator(distinct(GROUPED.image), GROUPED).matrix(max_bytes=1)


@pytest.mark.parametrize(
    ("make", "error", "facts"),
    [
        (lambda: layer_operator(np.ones((1, 2, 4)), SIGNAL), ShapeError, ["F", "(1, 2, 4)", "(3, 2, 4)"]),
        (lambda: filter_operator(np.ones(18), SIGNAL), ShapeError, ["X", "(18,)", "(2, 9)"]),
        (lambda: layer_operator(np.ones(SIGNAL.filters, complex), SIGNAL), DtypeError, ["F", "complex128"]),
        (lambda: layer_operator(np.ones(SIGNAL.filters), (2, 9)), TypeError, ["geometry", "tuple", "Geometry"]),
        (
            lambda: layer_operator(np.full(SIGNAL.filters, 2**31), SIGNAL) @ np.full(18, 2**31),
            OverflowError,
            ["max|F| = 2147483648", "int64"],
        ),
    ],
)
def test_errors_say_what_is_wrong(make, error, facts):
    with pytest.raises(error) as caught:
        make()
    assert all(fact in str(caught.value) for fact in facts)


def test_both_are_of_their_own_class():
    assert type(layer_operator(distinct(SIGNAL.filters), SIGNAL)) is LayerOperator
    assert type(filter_operator(distinct(SIGNAL.image), SIGNAL)) is FilterOperator
