"""JAX through the adapter, in every dtype; on few layers, because JAX compiles for every shape."""

import math

import ml_dtypes
import numpy as np
import pytest

from jacobians import DtypeError, Geometry, convolve, filter_gradient, input_gradient
from jacobians.audit.frameworks import from_jax
from tests.test_false_alarms import assert_silent, audits

jax = pytest.importorskip("jax", reason="the jax extra is not installed: pip install 'jacobians[jax]'")

DTYPES = ["float64", "float32", "float16", "bfloat16"]
ONES = np.ones((1, 1, 2, 2), "float32")


def numpy_dtype(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def convolution(*, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1):
    def call(X, F, b=None):
        S = jax.lax.conv_general_dilated(X, F, stride, padding, rhs_dilation=dilation, feature_group_count=groups)
        return S if b is None else S + b.reshape(1, -1, *(1,) * len(stride))

    return call


# what goes in and out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "arrange", [np.copy, np.asfortranarray, lambda A: A[..., ::-1]], ids=["C", "Fortran", "reversed"]
)
def test_arrays_arrive_in_their_own_dtype_and_come_back(arrange, dtype):
    X = arrange(np.arange(120).reshape(2, 3, 4, 5).astype(numpy_dtype(dtype)))
    seen = []
    forward, _ = from_jax(lambda X, F: seen.append(X.dtype) or X)
    result = forward(X, X)
    assert seen[0] == result.dtype == X.dtype
    assert np.array_equal(result, X)
    assert result.flags.writeable
    assert not np.shares_memory(result, X)


def test_64_bits_are_asked_for_around_the_calls_only():
    before = jax.config.jax_enable_x64
    forward, backward = from_jax(lambda X, F: X * F)
    wide = ONES.astype("float64")
    assert forward(wide, wide).dtype == "float64"
    assert {each.dtype.name for each in backward(wide, wide, wide)} == {"float64"}
    assert jax.config.jax_enable_x64 == before
    with pytest.raises(ZeroDivisionError, match="zero"):
        from_jax(lambda X, F: X / (1 // 0))[0](wide, wide)
    assert jax.config.jax_enable_x64 == before


def test_code_that_makes_arrays_of_the_default_dtype_stays_in_single_precision():
    forward, _ = from_jax(lambda X, F: X + jax.numpy.zeros(X.shape))
    assert forward(ONES, ONES).dtype == "float32"


@pytest.mark.parametrize("jit", [False, True])
def test_the_gradient_is_of_the_upstream_gradient(jit):
    options = {"stride": (2, 1), "padding": ((1, 0), (0, 2)), "dilation": (1, 2), "groups": 2}
    geometry, generator = Geometry((2, 5, 6), (4, 1, 2, 3), **options), np.random.default_rng(0)
    shapes = (2, *geometry.image), geometry.filters, (4,), (2, *geometry.responses)
    X, F, b, G = (generator.integers(-50, 50, shape).astype(float) for shape in shapes)
    function = convolution(**options)
    forward, backward = from_jax(jax.jit(function) if jit else function, bias=True)
    dX, dF, db = backward(X, F, b, G)
    assert np.array_equal(forward(X, F, b), np.stack([convolve(x, F, geometry, bias=b) for x in X]))
    assert np.array_equal(dX, np.stack([input_gradient(g, F, geometry) for g in G]))
    assert np.array_equal(dF, sum(filter_gradient(x, g, geometry) for x, g in zip(X, G, strict=True)))
    assert np.array_equal(db, G.sum(axis=(0, 2, 3)))


# audits; one of wrong code is in docs/how-to/audit-jax.md -------------------------------------------------------------


@pytest.mark.parametrize(("name", "options", "dtype", "seed"), audits(["jax1", "jax2", "jax3"], (0, 4, 8)), ids=str)
def test_no_false_alarm_of_jax_in_every_dtype_and_number_of_axes(name, options, dtype, seed):
    assert_silent(name, options, dtype, seed)


def test_the_gradient_is_the_custom_one_and_wrong_where_that_is():
    right = convolution()

    @jax.custom_vjp
    def wrong(X, F):
        return right(X, F)

    def pull_back(kept, G):
        X, F = kept
        _, gradients = jax.vjp(right, X, F[:, :, ::-1, ::-1])
        return gradients(G)

    wrong.defvjp(lambda X, F: (right(X, F), (X, F)), pull_back)
    X, F, G = (np.arange(1.0, 1 + math.prod(shape)).reshape(shape) for shape in ((2, 3, 4), (3, 2, 2, 2), (3, 2, 3)))
    dX, dF = from_jax(wrong)[1](X[None], F, G[None])
    geometry = Geometry(X.shape, F.shape)
    assert np.array_equal(dX[0], input_gradient(G, F[:, :, ::-1, ::-1], geometry))
    assert not np.array_equal(dX[0], input_gradient(G, F, geometry))
    assert np.array_equal(dF, filter_gradient(X, G, geometry))


def test_a_gradient_that_is_cut_off_is_zero():
    def cut(X, F):
        return convolution()(X, jax.lax.stop_gradient(F))

    dX, dF = from_jax(cut)[1](np.ones((1, 2, 3, 4)), np.ones((3, 2, 2, 2)), np.ones((1, 3, 2, 3)))
    assert np.all(dX > 0)
    assert not np.any(dF)


# errors ---------------------------------------------------------------------------------------------------------------


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match=r"^forward has type int; it needs a function of JAX arrays$"):
        from_jax(3)
    with pytest.raises(TypeError, match=r"^bias is 'no'; it needs True or False$"):
        from_jax(jax.numpy.add, bias="no")


def test_results_that_are_no_array_are_refused():
    with pytest.raises(TypeError, match=r"^forward returned 2 results; it needs to return one jax\.Array, S$"):
        from_jax(lambda X, F: (X, F))[0](ONES, ONES)
    with pytest.raises(TypeError, match=r"^forward returned 2 results; it needs to return one jax\.Array, S$"):
        from_jax(lambda X, F: (X, F))[1](ONES, ONES, ONES)
    with pytest.raises(TypeError, match=r"^forward returned ndarray; it needs to return one jax\.Array, S$"):
        from_jax(lambda X, F: np.asarray(X))[0](ONES, ONES)


def test_integers_have_no_gradient():
    given = ONES.astype("int32")
    with pytest.raises(
        DtypeError, match=r"^X has dtype int32 but jax\.vjp needs floating-point numbers; audit with dtype="
    ):
        from_jax(lambda X, F: X * F)[1](given, given, given)


def test_a_bias_that_is_not_announced_is_refused():
    pattern = (
        "^3 arrays were given, but from_jax has bias=False and needs 2: X, F; give from_jax and audit the same bias$"
    )
    with pytest.raises(TypeError, match=pattern):
        from_jax(lambda X, F: X * F)[0](ONES, ONES, ONES)
    with pytest.raises(TypeError, match=r"^3 arrays were given, .* has bias=True and needs 4: X, F, b, G; give"):
        from_jax(lambda X, F, b: X * F * b, bias=True)[1](ONES, ONES, ONES)
