"""Chains of layers: both forms of the Jacobian against a definition by literal loops; each fails on wrong layers."""

import math
import sys
from fractions import Fraction

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

import jacobians.chain as module
from jacobians import Geometry, convolve, input_gradient, jacobian_wrt_image, rot180
from jacobians.chain import (
    AveragePool,
    BatchNorm,
    Chain,
    Convolution,
    Flatten,
    FullyConnected,
    MaximumPool,
    Products,
    ReLU,
    Softmax,
    Sum,
)
from jacobians.errors import DtypeError, ShapeError, TooLargeError
from jacobians.layers import batch_norm as batch_norm_of
from jacobians.layers import batch_norm_jacobian, relu_jacobian
from jacobians.network import Network
from jacobians.pooling import (
    average_pool_jacobian,
    chosen_by_windows,
    maximum_pool,
    maximum_pool_jacobian,
    pooling_geometry,
)
from tests import oracle
from tests.oracle import assert_same, plain, pooled
from tests.strategies import distinct

DIFFERENT = "Arrays are not equal"

# ---------------------------------------------------------------------------------------------------------- definition
# Each layer in Python's fractions, by loops that know nothing of the package.


def literal(layer, X):
    return LITERAL[type(layer)](layer, X)


def literal_convolution(layer, X):
    S = oracle.convolve(X, layer.F, **plain(layer.geometry))
    for i, b in enumerate([] if layer.b is None else layer.b):
        S[i] += int(b)
    return S


def windows_of(layer, **counted):
    geometry = layer.geometry
    options = {name: getattr(geometry, name) for name in ("stride", "padding", "dilation")}
    return pooled(geometry.image, geometry.filters[2:], **options, **counted)


def literal_maximum(layer, X):
    largest = [max(X[pixel] for pixel in pixels) for pixels, _ in windows_of(layer)]
    return np.array(largest, dtype=object).reshape(layer.geometry.responses)


def literal_average(layer, X):
    means = [
        Fraction(sum(X[pixel] for pixel in pixels), count) for pixels, count in windows_of(layer, counted=layer.counted)
    ]
    return np.array(means, dtype=object).reshape(layer.geometry.responses)


def literal_batch_norm(layer, X):
    statistics = zip(*(each.tolist() for each in (layer.mean, layer.variance, layer.weight, layer.bias)), strict=True)
    planes = [
        (plane - mean) * Fraction(weight, math.isqrt(variance + layer.eps)) + bias
        for plane, (mean, variance, weight, bias) in zip(X, statistics, strict=True)
    ]
    return np.array(planes, dtype=object)


def literal_fully_connected(layer, X):
    x = list(X.ravel())
    rows = zip(layer.W.tolist(), layer.b.tolist(), strict=True)
    return np.array([sum(w * each for w, each in zip(row, x, strict=True)) + b for row, b in rows], dtype=object)


def literal_chain(layer, X):
    for each in layer.layers:
        X = literal(each, X)
    return X


LITERAL = {
    Convolution: literal_convolution,
    ReLU: lambda layer, X: np.array([max(0, x) for x in X.ravel()], dtype=object).reshape(X.shape),
    MaximumPool: literal_maximum,
    AveragePool: literal_average,
    BatchNorm: literal_batch_norm,
    Flatten: lambda layer, X: X.reshape(-1),
    FullyConnected: literal_fully_connected,
    Sum: lambda layer, X: sum(literal(branch, X) for branch in layer.branches),
    Chain: literal_chain,
}


def by_definition(chain, X):
    """Difference quotients with a step that crosses no kink, which is seen by a step to either side."""
    X = oracle.entries(X)
    value, step = literal(chain, X).ravel(), Fraction(1, 10**12)
    columns = []
    for index in np.ndindex(*X.shape):
        up, down = X.copy(), X.copy()
        up[index] += step
        down[index] -= step
        column = (literal(chain, up).ravel() - value) / step
        assert_same((value - literal(chain, down).ravel()) / step, column)
        columns.append(column)
    return value, np.transpose(columns)


def same_numbers(actual, expected):
    """Exactly: the fractions here are floating-point numbers."""
    assert all(Fraction(float(each)) == each for each in np.ravel(expected))
    assert_same(actual, np.asarray(expected).astype(float))


def check_operator(chain, X, value, J):
    same_numbers(chain(X).ravel(), value)
    operator = chain.operator(X)
    for k, row in enumerate(J):
        same_numbers(np.eye(len(J), dtype=int)[k] @ operator, row)
        same_numbers(operator.rmatvec(np.eye(len(J), dtype=int)[k]), row)
    same_numbers(operator @ np.eye(J.shape[1], dtype=int), J)
    v = distinct((J.shape[1],))
    same_numbers(operator @ v, J @ oracle.entries(v))


def check_matrix(chain, X, value, J):
    same_numbers(chain.matrix(X).toarray(), J)


# -------------------------------------------------------------------------------------------------------------- chains


def integers(shape, seed, most=3):
    """Integers of both signs, without 0."""
    generator = np.random.default_rng(seed)
    return generator.integers(1, most + 1, shape) * generator.choice([-1, 1], shape)


def convolution(geometry, seed, bias=True):
    return Convolution(
        integers(geometry.filters, seed), geometry, integers(geometry.filters[0], seed + 1, 9) if bias else None
    )


def batch_norm(d, seed):
    """Deviations are powers of 2, so that nothing is rounded."""
    generator = np.random.default_rng(seed)
    variance = generator.permutation(np.resize([3, 15, 0, 63], d))
    return BatchNorm(integers(d, seed), variance, integers(d, seed + 1), integers(d, seed + 2, 7), eps=1)


def fully_connected(C, m, seed):
    return FullyConnected(integers((C, m), seed), integers(C, seed + 1, 9))


def vgg():
    first = Geometry((1, 6, 4), (4, 1, 3, 3), padding=1)
    second = Geometry((4, 3, 2), (4, 2, 3, 2), stride=(1, 2), padding=((1, 1), (0, 0)), groups=2)
    return [
        convolution(first, 1),
        batch_norm(4, 2),
        ReLU(),
        MaximumPool(pooling_geometry(first.responses, 2)),
        convolution(second, 3, bias=False),
        ReLU(),
        AveragePool(pooling_geometry(second.responses, (2, 1), stride=1)),
        Flatten(),
        fully_connected(3, 8, 4),
        ReLU(),
        fully_connected(5, 3, 5),
    ]


def resnet():
    stem, down = Geometry((1, 4, 5), (2, 1, 3, 3), padding=1), Geometry((2, 4, 5), (3, 2, 3, 3), stride=2, padding=1)
    short, flat = Geometry((2, 4, 5), (3, 2, 1, 1), stride=2), Geometry((3, 2, 3), (3, 3, 3, 3), padding=1)
    block = [convolution(down, 3, bias=False), batch_norm(3, 4), ReLU(), convolution(flat, 5, bias=False)]
    return [
        convolution(stem, 1),
        ReLU(),
        Sum([Chain([*block, batch_norm(3, 6)]), Chain([convolution(short, 7, bias=False), batch_norm(3, 8)])]),
        ReLU(),
        Sum([Chain([convolution(flat, 9), ReLU()]), Chain([])]),
        AveragePool(pooling_geometry((3, 2, 3), (2, 2), stride=(2, 1))),
        Flatten(),
        fully_connected(4, 6, 10),
    ]


def signal():
    first = Geometry((2, 15), (3, 2, 3), stride=2, padding=((2, 1),), dilation=2)
    maximum = pooling_geometry(first.responses, 3, stride=2, padding=1)
    average = pooling_geometry(maximum.responses, 2, stride=1, padding=1)
    return [
        convolution(first, 1),
        MaximumPool(maximum),
        ReLU(),
        AveragePool(average, counted=((1, 0),)),
        fully_connected(3, 3 * average.positions, 2),
    ]


def volume():
    first = Geometry((1, 3, 4, 3), (2, 1, 2, 1, 2), padding=(0, 1, 0))
    return [
        convolution(first, 1),
        ReLU(),
        MaximumPool(pooling_geometry(first.responses, (1, 3, 2), stride=1)),
        Flatten(),
    ]


CHAINS = {"vgg": vgg, "resnet": resnet, "signal": signal, "volume": volume}
IMAGES = {"vgg": (1, 6, 4), "resnet": (1, 4, 5), "signal": (2, 15), "volume": (1, 3, 4, 3)}


@pytest.fixture(scope="module")
def cases():
    found = {}
    for name, layers in CHAINS.items():
        chain, X = Chain(layers()), integers(IMAGES[name], 0, 1000)
        found[name] = chain, X, *by_definition(chain, X)
    return found


@pytest.mark.parametrize("name", CHAINS)
def test_the_operator_is_the_derivative(cases, name):
    check_operator(*cases[name])


@pytest.mark.parametrize("name", CHAINS)
def test_the_matrix_is_the_derivative(cases, name):
    check_matrix(*cases[name])


@pytest.mark.parametrize("name", CHAINS)
def test_the_cases_are_not_degenerate(cases, name):
    """Most pixels matter to a score."""
    *_, J = cases[name]
    assert (J != 0).any(axis=0).mean() > 0.5


# -------------------------------------------------------------------------------------------------------- wrong layers


class Wrong:
    """A layer with something else in place of its products or of its matrix."""

    def __init__(self, layer, products=None, matrix=None):
        self.layer, self.responses = layer, layer.responses
        self.other_products, self.other_matrix = products, matrix

    def products(self, X):
        right = self.layer.products(X)
        if not self.other_products:
            return right
        shapes = {"right": X.shape, "left": right.value.shape}
        other = self.other_products(self.layer, X)
        return right._replace(**{side: column_by_column(other[side], shapes[side]) for side in other})

    def matrix(self, X, max_bytes=None):
        return self.other_matrix(self.layer, X) if self.other_matrix else self.layer.matrix(X)


def column_by_column(function, shape):
    """A product of columns from one of arrays."""
    return lambda columns: np.stack([np.ravel(function(column.reshape(shape))) for column in columns.T], axis=1)


def with_wrong(layer, kind, **wrong):
    """The same layers, each of a kind made wrong."""
    if isinstance(layer, Chain):
        layer = Chain([with_wrong(each, kind, **wrong) for each in layer.layers])
    elif isinstance(layer, Sum):
        layer = Sum([with_wrong(each, kind, **wrong) for each in layer.branches])
    return Wrong(layer, **wrong) if type(layer) is kind else layer


def overwritten(layer, X):
    chosen = chosen_by_windows(X, layer.geometry)

    def left(G):
        gradient = np.zeros(X.size, G.dtype)
        gradient[chosen.pixels.ravel()] = G.ravel()
        return gradient.reshape(X.shape)

    return {"left": left}


WRONG_PRODUCTS = {
    "the bias in J v": (
        "vgg",
        Convolution,
        lambda of, X: {"right": lambda V: convolve(V, of.F, of.geometry, bias=of.b)},
    ),
    "not rotated": ("vgg", Convolution, lambda of, X: {"left": lambda G: input_gradient(G, rot180(of.F), of.geometry)}),
    "ReLU of v": ("vgg", ReLU, lambda of, X: {"right": lambda V: np.maximum(V, 0)}),
    "ReLU of the gradient": ("vgg", ReLU, lambda of, X: {"left": lambda G: np.maximum(G, 0)}),
    "no ReLU backward": ("resnet", ReLU, lambda of, X: {"left": lambda G: G}),
    "maximum of v": ("vgg", MaximumPool, lambda of, X: {"right": lambda V: maximum_pool(V, of.geometry)}),
    "pixels of several windows": ("signal", MaximumPool, overwritten),
    "all padding counts": (
        "signal",
        AveragePool,
        lambda of, X: {"left": lambda G: AveragePool(of.geometry).products(X).left(G.reshape(-1, 1))},
    ),
    "mean and bias in J v": (
        "resnet",
        BatchNorm,
        lambda of, X: {"right": lambda V: batch_norm_of(V, of.mean, of.variance, of.weight, of.bias, eps=of.eps)},
    ),
    "no weight backward": (
        "resnet",
        BatchNorm,
        lambda of, X: {"left": lambda G: batch_norm_of(G, 0 * of.mean, of.variance, eps=of.eps)},
    ),
    "bias of the scores in J v": ("vgg", FullyConnected, lambda of, X: {"right": lambda V: of.W @ V.ravel() + of.b}),
    "rows first": ("vgg", Flatten, lambda of, X: {"left": lambda G: G.reshape(X.shape[::-1]).T}),
    "one branch": ("resnet", Sum, lambda of, X: {"left": lambda G: of.branches[0].products(X).left(G.reshape(-1, 1))}),
    "the other branch": (
        "resnet",
        Sum,
        lambda of, X: {"right": lambda V: of.branches[1].products(X).right(V.reshape(-1, 1))},
    ),
}
WRONG_MATRICES = {
    "rotated": ("vgg", Convolution, lambda of, X: jacobian_wrt_image(rot180(of.F), of.geometry)),
    "where it is negative": ("resnet", ReLU, lambda of, X: relu_jacobian(-X)),
    "smallest": ("vgg", MaximumPool, lambda of, X: maximum_pool_jacobian(-X, of.geometry)),
    "all padding counts": ("signal", AveragePool, lambda of, X: average_pool_jacobian(of.geometry)),
    "no weight": ("vgg", BatchNorm, lambda of, X: batch_norm_jacobian(X.shape, of.variance, eps=of.eps)),
    "entries reversed": ("vgg", FullyConnected, lambda of, X: csr_array(of.W[:, ::-1])),
    "one branch": ("resnet", Sum, lambda of, X: of.branches[0].matrix(X)),
}


@pytest.mark.parametrize(("name", "kind", "wrong"), WRONG_PRODUCTS.values(), ids=WRONG_PRODUCTS)
def test_a_wrong_product_is_caught_by_the_operator_and_is_not_in_the_matrix(cases, name, kind, wrong):
    chain, *rest = cases[name]
    changed = with_wrong(chain, kind, products=wrong)
    check_matrix(changed, *rest)
    with pytest.raises(AssertionError, match=DIFFERENT):
        check_operator(changed, *rest)


@pytest.mark.parametrize(("name", "kind", "wrong"), WRONG_MATRICES.values(), ids=WRONG_MATRICES)
def test_a_wrong_matrix_is_caught_and_is_not_in_the_operator(cases, name, kind, wrong):
    chain, *rest = cases[name]
    changed = with_wrong(chain, kind, matrix=wrong)
    check_operator(changed, *rest)
    with pytest.raises(AssertionError, match=DIFFERENT):
        check_matrix(changed, *rest)


# ----------------------------------------------------------------------------------------------- with kinks, any chain


def drawn_windows(generator, image):
    """Sizes of windows that fit, and options; no window lies wholly in padding."""
    window = [int(generator.integers(1, min(3, size) + 1)) for size in image[1:]]
    padding = [tuple(int(generator.integers(0, size)) for _ in range(2)) for size in window]
    return window, {"stride": [int(generator.integers(1, 3)) for _ in window], "padding": padding}


def drawn_layer(generator, image):
    window, options = drawn_windows(generator, image)
    kinds = ("convolution", "relu", "maximum", "sum")
    match generator.choice(kinds):
        case "convolution":
            geometry = Geometry(image, (int(generator.integers(1, 4)), image[0], *window), **options)
            return Convolution(generator.integers(-1, 2, geometry.filters), geometry)
        case "maximum":
            return MaximumPool(pooling_geometry(image, window, **options))
        case "sum":
            same = Geometry(image, (image[0], 1, *window), padding="same", groups=image[0])
            return Sum([Chain([Convolution(generator.integers(-1, 2, same.filters), same), ReLU()]), Chain([])])
    return ReLU()


def drawn_chain(seed):
    generator = np.random.default_rng(seed)
    image = (2, *(int(size) for size in generator.integers(2, 6, 1 + seed % 3)))
    chain = Chain([])
    for _ in range(4):
        chain = Chain([*chain.layers, drawn_layer(generator, chain.responses(image))])
    m = math.prod(chain.responses(image))
    chain = Chain([*chain.layers, Flatten(), FullyConnected(generator.integers(-2, 3, (3, m)))])
    return chain, generator.integers(-1, 2, image)


@pytest.mark.parametrize("seed", range(30))
def test_both_forms_are_equal_where_responses_are_zero_and_maxima_are_tied(seed):
    chain, X = drawn_chain(seed)
    J = chain.matrix(X)
    operator = chain.operator(X)
    assert_same(operator @ np.eye(X.size, dtype=int), J.toarray())
    assert_same([row @ operator for row in np.eye(3, dtype=int)], J.toarray())


def last_of_equals(layer, X):
    return maximum_pool_jacobian(X * X.size + np.arange(X.size).reshape(X.shape), layer.geometry)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [(MaximumPool, last_of_equals), (ReLU, lambda layer, X: relu_jacobian(np.where(X == 0, 1, X)))],
    ids=["last of equals", "≥ for >"],
)
def test_another_choice_at_a_kink_is_caught(kind, wrong):
    caught = 0
    for seed in range(30):
        chain, X = drawn_chain(seed)
        changed = with_wrong(chain, kind, matrix=wrong)
        v = distinct((X.size,))
        caught += not np.array_equal(changed.operator(X) @ v, changed.matrix(X) @ v)
    assert caught >= 3


def test_the_drawn_chains_are_not_degenerate():
    drawn = [drawn_chain(seed) for seed in range(30)]
    assert sum(chain.matrix(X).count_nonzero() > 0 for chain, X in drawn) > 20
    assert {type(layer) for chain, _ in drawn for layer in chain.layers} == {
        Convolution, ReLU, MaximumPool, Sum, Flatten, FullyConnected
    }  # fmt: skip


# ------------------------------------------------------------------------------------------- softmax, dtypes, operators


def test_softmax_of_equal_scores():
    """Four classes of which each has exactly one quarter, so that nothing is rounded."""
    W = np.array([[1, 2, 3], [3, 1, 2], [2, 3, 1], [3, 2, 1]])
    chain, X = Chain([FullyConnected(W), Softmax()]), np.array([5, 5, 5])
    expected = (np.eye(4) / 4 - np.full((4, 4), 1 / 16)) @ W
    assert_same(chain.matrix(X).toarray(), expected)
    assert_same(chain.operator(X) @ np.eye(3), expected)
    assert_same(np.array([row @ chain.operator(X) for row in np.eye(4)]), expected)
    assert_same(chain(X), [0.25] * 4)


def test_a_sum_of_one_branch_is_the_branch():
    layer = fully_connected(3, 4, 0)
    X = distinct((4,))
    assert_same(Chain([Sum([layer])])(X), Chain([layer])(X))
    assert_same(Chain([Sum([layer])]).matrix(X).toarray(), layer.W)


def test_a_chain_without_layers_is_the_identity():
    X = distinct((2, 3))
    assert_same(Chain([])(X), X)
    assert_same(Chain([]).matrix(X).toarray(), np.eye(6))
    assert_same(Chain([]).operator(X) @ X.ravel(), X.ravel())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_is_kept(dtype):
    def cast(layer):
        match layer:
            case Convolution():
                return Convolution(
                    layer.F.astype(dtype), layer.geometry, None if layer.b is None else layer.b.astype(dtype)
                )
            case BatchNorm():
                given = (each.astype(dtype) for each in (layer.mean, layer.variance, layer.weight, layer.bias))
                return BatchNorm(*given, layer.eps)
            case FullyConnected():
                return FullyConnected(layer.W.astype(dtype), layer.b.astype(dtype))
        return layer

    X = integers(IMAGES["vgg"], 0, 100).astype(dtype)
    chain = Chain([*map(cast, vgg()), Softmax()])
    operator = chain.operator(X)
    s, v = np.ones(5, dtype), np.ones(X.size, dtype)
    found = [chain(X), operator, operator @ v, s @ operator, operator.matrix(), chain.matrix(X)]
    assert {each.dtype for each in found} == {np.dtype(dtype)}


def test_narrow_integers_do_not_wrap():
    layer = Geometry((1, 1, 3), (1, 1, 1, 2))
    F = np.full(layer.filters, 100, np.int8)
    chain = Chain([Convolution(F, layer), Sum([Chain([]), ReLU()]), FullyConnected(np.full((1, 2), 100, np.int8))])
    X = np.full((1, 1, 3), 100, np.int8)
    assert Sum([Chain([]), Chain([])]).responses((3,)) == (3,)
    assert Chain([Sum([Chain([]), Chain([])])])(X[0, 0]).tolist() == [200] * 3
    assert chain(X).tolist() == [8_000_000]
    assert chain.matrix(X).toarray().tolist() == [[20_000, 40_000, 20_000]]
    assert (chain.operator(X) @ np.full(3, 100, np.int8)).tolist() == [8_000_000]
    assert (np.full(1, 100, np.int8) @ chain.operator(X)).tolist() == [2_000_000, 4_000_000, 2_000_000]


def test_integers_beyond_int64_are_refused():
    W = np.array([[2**40]])
    chain, X = Chain([FullyConnected(W), FullyConnected(W)]), np.array([0])
    assert chain(X).tolist() == [0]
    with pytest.raises(OverflowError, match=rf"layers\[0\], FullyConnected: .*may reach {2**80}, above"):
        chain.matrix(X)
    with pytest.raises(OverflowError, match=r"2⁶³ − 1"):
        chain.operator(X) @ [1]
    twice = Chain([Sum([FullyConnected([[2**62]]), FullyConnected([[2**62]])])])
    with pytest.raises(OverflowError, match=f"Jacobians may reach {2**63}"):
        twice.matrix(X)
    with pytest.raises(OverflowError, match=f"branches may reach {2**63}"):
        twice(np.array([1]))
    two = Chain([FullyConnected([[2**31], [2**31]]), FullyConnected([[2**31, 2**31]])])
    with pytest.raises(OverflowError, match=f"product of Jacobians may reach {2**63}"):
        two.matrix(X)
    # Zeros reach nothing.
    assert Chain([FullyConnected([[2**62], [2**62]]), FullyConnected([[0, 0]])]).matrix(X).toarray().tolist() == [[0]]


@pytest.mark.parametrize("kinds", [(float, float), (float, int), (int, float)])
def test_floating_point_numbers_may_be_larger_than_int64(kinds):
    """2⁶¹ in each, of which the product and the sum of eight are beyond it."""
    first, second = (FullyConnected(np.full((1, 1), 2**61, kind)) for kind in kinds)
    assert Chain([first, second]).matrix([1]).toarray().tolist() == [[2.0**122]]
    assert Sum([first, *[second] * 7]).matrix(np.array([1])).toarray().tolist() == [[2.0**64]]


def test_the_operator_is_one_of_scipy():
    X = integers(IMAGES["vgg"], 0, 100)
    operator = Chain(vgg()).operator(X)
    J = operator.matrix().toarray()
    assert operator.shape == J.shape == (5, 24)
    assert_same(operator.T @ np.eye(5), J.T)
    assert_same(operator.H @ np.eye(5), J.T)
    assert_same((2 * operator) @ np.eye(24), 2 * J)
    assert "5×24" in repr(operator)
    assert "Convolution → BatchNorm → ReLU → MaximumPool → … → Flatten" in repr(operator)
    assert "ReLU → ReLU → Flatten>" in repr(Chain([*[ReLU()] * 8, Flatten()]).operator(X))
    assert svds(operator, k=1, v0=np.ones(5), return_singular_vectors=False).shape == (1,)


@pytest.mark.parametrize(("count", "shown"), [(9, [*"012345678"]), (10, [*"0123…6789"])])
def test_of_more_than_nine_layers_the_middle_is_left_out(count, shown):
    layers = [type(str(k), (Wrong,), {})(ReLU()) for k in range(count)]
    assert repr(Chain(layers).operator([1])).endswith(f": {' → '.join(shown)}>")


def test_layers_are_written_without_their_arrays():
    for layer in (*vgg(), Convolution(np.ones(LAYER.filters), LAYER, [1, 2]), FullyConnected([[1]], [2])):
        assert repr(layer).startswith(type(layer).__name__)
        assert "[" not in repr(layer)


def test_columns_are_multiplied_in_blocks(monkeypatch):
    X = integers(IMAGES["resnet"], 0, 100)
    J = Chain(resnet()).matrix(X).toarray()
    # The widest of the responses has 40 entries.
    V, G = distinct((J.shape[1], 7)), distinct((J.shape[0], 7))
    for entries, widths in ((3 * 40, [3, 3, 1]), (3 * 40 - 1, [2, 2, 2, 1]), (1, [1] * 7)):
        monkeypatch.setattr("jacobians.chain.BLOCK_ENTRIES", entries)
        seen = []
        operator = Chain([Watched(seen), *resnet()]).operator(X)
        assert_same(operator @ V, J @ V)
        assert_same(operator.T @ G, J.T @ G)
        assert seen == widths * 2
    assert_same(operator @ V[:, :1], J @ V[:, :1])
    assert (Chain([ReLU()]).operator([1, 2]) @ np.ones((2, 0))).shape == (2, 0)


class Watched(Flatten):
    """The identity, which notes how many columns it is given."""

    def __init__(self, seen):
        object.__setattr__(self, "seen", seen)

    def responses(self, image):
        return image

    def products(self, X):
        def product(columns):
            self.seen.append(columns.shape[1])
            return columns

        return Products(X, product, product)


def test_an_operator_keeps_the_image_that_it_was_made_at():
    X = integers(IMAGES["vgg"], 0, 100)
    operator = Chain(vgg()).operator(X)
    J = operator @ np.eye(24)
    X[...] = -X
    assert_same(operator @ np.eye(24), J)
    assert_same(operator.matrix().toarray(), J)


def test_a_matrix_that_is_too_large_is_refused_with_the_operator_in_its_place():
    chain, X = Chain(vgg()), integers(IMAGES["vgg"], 0, 100)
    with pytest.raises(TooLargeError, match=r"^multiply by chain\.operator\(X\).*layers\[4\], Convolution: a matrix"):
        chain.matrix(X, max_bytes=1000)
    with pytest.raises(TooLargeError, match=r"layers\[1\], FullyConnected: a sparse array of W"):
        Chain([ReLU(), FullyConnected(np.ones((10, 10)))]).matrix(np.ones(10), max_bytes=1000)
    with pytest.raises(TooLargeError, match=r"layers\[0\], ReLU: its Jacobian, of shape \(100, 100\)"):
        Chain([ReLU()]).matrix(np.ones(100), max_bytes=1000)
    # Each of 40 rows reads all 40 columns.
    thin, wide = FullyConnected(np.ones((1, 40))), FullyConnected(np.ones((40, 1)))
    with pytest.raises(TooLargeError, match=r"layers\[0\], FullyConnected: the product .*\(40, 40\)"):
        Chain([thin, wide]).matrix(np.ones(40), max_bytes=2000)
    assert Chain([thin, wide]).matrix(np.ones(40)).nnz == 1600
    with pytest.raises(TooLargeError, match=r"ReLU: its Jacobian, of shape \(1, 1\)"):
        Chain([ReLU()]).matrix([1], max_bytes=0)


@pytest.mark.parametrize(("width", "index"), [(2**31 - 1, 4), (2**31, 8)])
def test_memory_is_asked_for_what_is_made(monkeypatch, width, index):
    """W of 3×8 entries; and two rows of a product, of which each has the two entries of the row that it is a sum of."""
    asked = []

    def refuse(what, needed, cure, most):
        asked.append(needed)
        raise TooLargeError(what)

    monkeypatch.setattr(module, "check_bytes", refuse)
    row = (np.ones(2), np.array([0, 1], np.int32), np.array([0, 2], np.int32))
    A, B = csr_array(np.ones((2, 1))), csr_array(row, shape=(1, width))
    assert B.indices.itemsize == index
    with pytest.raises(TooLargeError, match="W, of shape"):
        FullyConnected(np.ones((3, 8), np.float32)).matrix(np.ones(8))
    with pytest.raises(TooLargeError, match="product of the Jacobians"):
        module._multiply(A, B, None)
    assert asked == [3 * 8 * (4 + 8), 2 * 2 * (8 + index)]


# ------------------------------------------------------------------------------------------------------- the lecture's


def test_the_jacobian_of_the_lectures_network_holds_the_gradients_of_its_scores():
    network = Network([Geometry((2, 5, 6), (3, 2, 2, 3)), Geometry((3, 4, 4), (2, 3, 3, 2), stride=(1, 2))], 4)
    parameters = {name: integers(shape, k).astype(float) for k, (name, shape) in enumerate(network.shapes.items())}
    X = integers((2, 5, 6), 9, 9).astype(float)
    J = network.jacobian(parameters, X)
    trace = network.trace(parameters, X, [0, 1, 0, 0])
    assert_same(J.value, trace["s"])
    for row in np.eye(4):
        for by in ("jacobians", "convolutions"):
            gradient = network.pull_back(parameters, trace, row, by)["X"]
            assert_same(row @ J, gradient.ravel())
            assert_same(row @ J.matrix(), gradient.ravel())
    assert J.matrix().count_nonzero() > 40
    with pytest.raises(ShapeError, match=r"^X has shape \(2, 6, 5\)"):
        network.jacobian(parameters, np.ones((2, 6, 5)))


# -------------------------------------------------------------------------------------------------------------- errors

LAYER = Geometry((1, 3, 3), (2, 1, 2, 2))
LAYERS = [Convolution(np.ones(LAYER.filters), LAYER), ReLU(), FullyConnected(np.ones((3, 8)))]
CHAIN = Chain(LAYERS)
ERRORS = [
    (lambda: CHAIN(np.ones((1, 3, 4))), ShapeError, r"layers\[0\], Convolution: the image has shape \(1, 3, 4\)"),
    (lambda: Chain(LAYERS[1:])(np.ones((2, 2, 3))), ShapeError, r"layers\[1\], FullyConnected: W has shape \(3, 8\)"),
    (lambda: CHAIN(np.ones((1, 3, 2))), ShapeError, r"layers\[0\], Convolution: the image has shape \(1, 3, 2\)"),
    (lambda: Chain(LAYERS[1:])(np.ones(7)), ShapeError, r"FullyConnected: W has shape .* for images of 8 entries"),
    (lambda: Chain([ReLU(), CHAIN])([1]), ShapeError, r"layers\[1\], Chain: layers\[0\], Convolution: the image"),
    (lambda: CHAIN(np.ones((1, 3, 3), bool)), DtypeError, r"X has dtype bool"),
    (lambda: CHAIN.operator(np.ones((1, 3, 3))) @ np.full(9, 1j), DtypeError, r"V has dtype complex128"),
    (lambda: CHAIN.matrix(np.ones((1, 3, 3)), max_bytes="all"), ShapeError, r"max_bytes is 'all'"),
    (lambda: CHAIN.matrix(np.ones((1, 3, 3)), max_bytes=-1), ShapeError, r"max_bytes is -1"),
    (lambda: Chain([Convolution]), TypeError, r"layers\[0\] is the class Convolution; it needs a layer"),
    (lambda: Chain([ReLU(), 5]), TypeError, r"layers\[1\] has type int; it needs a layer"),
    (lambda: Chain(5), TypeError, r"layers is 5; it needs a list of layers"),
    (lambda: Sum([]), ShapeError, r"branches is empty"),
    (lambda: Chain([Sum([Chain([]), Flatten()])])([[1]]), ShapeError, r"branches\[1\] has responses \(1,\) .*\(1, 1\)"),
    (lambda: Chain([Sum([Flatten(), Chain([])])])([[1]]), ShapeError, r"branches\[1\] has responses \(1, 1\)"),
    (lambda: Chain([Sum([CHAIN])])([1]), ShapeError, r"layers\[0\], Sum: branches\[0\], Chain: layers\[0\], Conv"),
    (lambda: Convolution(np.ones((2, 1, 2, 3)), LAYER), ShapeError, r"F has shape \(2, 1, 2, 3\)"),
    (lambda: Convolution(np.ones((2, 1, 2, 2)), LAYER, [1]), ShapeError, r"b has shape \(1,\)"),
    (lambda: MaximumPool(LAYER), ShapeError, r"geometry is .*pooling needs one filter of one plane"),
    (lambda: AveragePool(LAYER), ShapeError, r"geometry is .*pooling needs one filter of one plane"),
    (lambda: AveragePool((2, 2)), TypeError, r"geometry"),
    (lambda: FullyConnected([1, 2]), ShapeError, r"W has shape \(2,\)"),
    (lambda: Chain([Softmax()])([[1]]), ShapeError, r"layers\[0\], Softmax: .* put Flatten\(\) before it"),
    (lambda: Chain([Softmax()])(1), ShapeError, r"layers\[0\], Softmax: .* scores \(C,\)"),
    (
        lambda: Chain([BatchNorm([1], [1])])(np.ones((2, 3))),
        ShapeError,
        r"layers\[0\], BatchNorm: .*mean needs \(1, 3\)",
    ),
    (lambda: Chain([BatchNorm([[1, 2]], [1])])([[1, 2]]), ShapeError, r"layers\[0\], BatchNorm: mean has shape"),
    (lambda: Chain([BatchNorm([1], [-1])])([1]), ValueError, r"layers\[0\], BatchNorm: variance\[0\]"),
    (lambda: Chain([ReLU()]).matrix(np.ones(3, np.float16)), DtypeError, r"layers\[0\], ReLU: S has dtype float16"),
]


def test_modules_are_read_with_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jacobians\[torch\]'"):
        Chain.of([], (1, 2, 2))


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[text for *_, text in ERRORS])
def test_bad_input_is_named_with_its_cure(call, error, text):
    with pytest.raises(error, match=text):
        call()
