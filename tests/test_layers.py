"""The layers around the convolutions: values, Jacobians, extremes and errors; each check fails on wrong formulas."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy as sp

from jacobians import layers
from jacobians.errors import DtypeError, ShapeError
from jacobians.evidence.exact import gamma
from jacobians.layers import (
    batch_norm,
    batch_norm_jacobian,
    cross_entropy,
    cross_entropy_gradient,
    cross_entropy_jacobian,
    fully_connected,
    fully_connected_jacobian_wrt_bias,
    fully_connected_jacobian_wrt_input,
    fully_connected_jacobian_wrt_weights,
    l2_gradient,
    l2_penalty,
    relu,
    relu_jacobian,
    softmax,
    softmax_jacobian,
)
from tests.oracle import assert_same
from tests.strategies import distinct

NAN, INF = np.nan, np.inf
DIFFERENT = "Arrays are not equal"

S = np.array([[[-3, 0, 5], [2, -1, 0]], [[7, -8, 1], [0, 4, -2]]])
H = distinct((2, 3, 4))
W = distinct((3, 24), start=-30)
B = np.array([100, -200, 300])


def one_hot(c, classes):
    return np.eye(classes, dtype=int)[c]


# ---------------------------------------------------------------------------------------------------------------- ReLU


def check_relu_jacobian(jacobian):
    """On integers other than 0, one less or more does not cross the kink: the difference quotient is the derivative."""
    matrix = jacobian(S).toarray()
    for r, entry in enumerate(S.ravel()):
        away = 1 if entry > 0 else -1
        moved = S.ravel().copy()
        moved[r] += away
        quotient = (np.maximum(moved, 0) - np.maximum(S, 0).ravel()) * away
        # At 0 the step goes down, where the quotient is the 0 that the lecture's Ind(0 > 0) means.
        assert_same(matrix[:, r], quotient)


def test_relu_keeps_what_is_positive():
    assert_same(relu(S), [[[0, 0, 5], [2, 0, 0]], [[7, 0, 1], [0, 4, 0]]])
    assert relu(np.array([3], np.uint8)).dtype == np.uint8
    assert_same(relu([-1.0, NAN, 2.0]), [0, NAN, 2])


def test_relu_jacobian():
    check_relu_jacobian(relu_jacobian)
    assert relu_jacobian(S).dtype == S.dtype


def from_diagonal(held):
    return layers.csr_array(np.diag(np.ravel(held)))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda S: from_diagonal(S >= 0),
        lambda S: from_diagonal(S != 0),
        lambda S: from_diagonal(S < 0),
        lambda S: from_diagonal(np.maximum(S, 0)),
        lambda S: from_diagonal((S > 0).transpose(1, 2, 0)),
    ],
    ids=["≥ for >", "≠ for >", "< for >", "the responses themselves", "planes last"],
)
def test_a_wrong_relu_jacobian_is_caught(wrong):
    with pytest.raises(AssertionError, match=DIFFERENT):
        check_relu_jacobian(wrong)


def test_relu_jacobian_is_nan_where_the_response_is():
    assert_same(relu_jacobian([1.0, NAN, -1.0]).diagonal(), [1, NAN, 0])


# ------------------------------------------------------------------------------------------------- batch normalisation

# variance + ε are squares of powers of 2: nothing is rounded.
PLANES = distinct((3, 2, 4))
STATISTICS = {"mean": [3, -4, 1], "variance": [0, 3, 15], "weight": [5, -2, 0], "bias": [7, 100, -1]}
EPS = 1


def check_batch_norm(forward, jacobian):
    """Against fractions, and the Jacobian against the function, which is affine: its columns are differences."""
    given = {**STATISTICS, "eps": EPS}

    def literal(X):
        result = np.zeros(X.shape)
        for k, y, x in np.ndindex(*X.shape):
            deviation = math.isqrt(STATISTICS["variance"][k] + EPS)
            share = Fraction(int(X[k, y, x]) - STATISTICS["mean"][k], deviation)
            result[k, y, x] = share * STATISTICS["weight"][k] + STATISTICS["bias"][k]
        return result

    assert_same(forward(PLANES, **given), literal(PLANES))
    matrix = jacobian(PLANES.shape, STATISTICS["variance"], STATISTICS["weight"], eps=EPS).toarray()
    for c, index in enumerate(np.ndindex(*PLANES.shape)):
        moved = PLANES.copy()
        moved[index] += 1
        assert_same(matrix[:, c], (literal(moved) - literal(PLANES)).ravel())


def test_batch_norm():
    check_batch_norm(batch_norm, batch_norm_jacobian)
    check_batch_norm(batch_norm, scaled())
    assert batch_norm_jacobian(PLANES.shape, STATISTICS["variance"], STATISTICS["weight"], eps=EPS).nnz == PLANES.size
    assert_same(batch_norm([4, 6], [0, 0], [3, 0], eps=EPS), [2, 6])
    assert_same(batch_norm_jacobian((2,), [3, 0], eps=EPS).toarray(), [[0.5, 0], [0, 1]])


def test_batch_norm_keeps_the_dtype():
    given = [np.ones(3, np.float32)] * 4
    assert batch_norm(PLANES.astype(np.float32), *given).dtype == np.float32
    assert batch_norm(PLANES, *given).dtype == batch_norm(PLANES, [0] * 3, [1] * 3).dtype == np.float64
    assert batch_norm_jacobian(PLANES.shape, *given[:2]).dtype == np.float32
    assert batch_norm_jacobian(PLANES.shape, [1, 1, 1]).dtype == np.float64


def scaled(power=Fraction(1, 2), *, per=0, eps=EPS):
    def jacobian(image, variance, weight, *, eps=eps):
        scale = np.array(weight) / (np.array(variance) + eps) ** float(power)
        return from_diagonal(np.broadcast_to(np.resize(scale, image[per]).reshape([-1, *[1] * (2 - per)]), image))

    return jacobian


@pytest.mark.parametrize(
    "wrong",
    [
        {"jacobian": scaled(1)},
        {"jacobian": scaled(0)},
        {"jacobian": scaled(per=2)},
        {"jacobian": lambda image, variance, weight, *, eps: batch_norm_jacobian(image, variance, eps=eps)},
        {"jacobian": lambda image, variance, weight, *, eps: batch_norm_jacobian(image, variance, weight, eps=eps + 3)},
        {
            "jacobian": lambda image, *given, eps: from_diagonal(
                np.abs(batch_norm_jacobian(image, *given, eps=eps).diagonal())
            )
        },
        {"forward": lambda X, mean, variance, weight, bias, *, eps: batch_norm(X, mean, variance, weight, eps=eps)},
        {
            "forward": lambda X, mean, variance, weight, bias, *, eps: batch_norm(
                X, bias, variance, weight, mean, eps=eps
            )
        },
        {"forward": lambda X, *, mean, **given: batch_norm(X, X.mean(axis=(1, 2)), **given)},
    ],
    ids=[
        "variance for deviation",
        "no division",
        "per column",
        "without weight",
        "another ε",
        "sign lost",
        "without bias",
        "mean and bias exchanged",
        "the image's own mean",
    ],
)
def test_a_wrong_batch_norm_is_caught(wrong):
    with pytest.raises(AssertionError, match=DIFFERENT):
        check_batch_norm(**{"forward": batch_norm, "jacobian": batch_norm_jacobian} | wrong)


# ----------------------------------------------------------------------------------------------------- fully connected


def check_fully_connected(forward, wrt_input, wrt_weights, wrt_bias):
    """Against Python's integers, and each Jacobian against the function: it is linear in each argument."""
    h = [int(H[k, y, x]) for k in range(2) for y in range(3) for x in range(4)]
    s = [sum(int(W[c, j]) * h[j] for j in range(24)) + int(B[c]) for c in range(3)]
    assert_same(forward(W, H, B), s)
    assert_same(wrt_input(W) @ h + B, s)
    assert_same(wrt_weights(H, 3) @ W.ravel() + wrt_bias(3) @ B, s)


RIGHT = {
    "forward": fully_connected,
    "wrt_input": fully_connected_jacobian_wrt_input,
    "wrt_weights": fully_connected_jacobian_wrt_weights,
    "wrt_bias": fully_connected_jacobian_wrt_bias,
}


@pytest.mark.parametrize("count", [1, 4])
def test_a_fully_connected_layer_takes_what_its_weights_need(count):
    W = np.arange(6).reshape(2, 3)
    with pytest.raises(ShapeError, match=rf"^h has {count} entries but W has shape \(2, 3\), which needs 3:"):
        fully_connected(W, np.ones(count))
    with pytest.raises(ShapeError, match=rf"^b has shape \({count},\) but W has shape \(2, 3\); b needs \(2,\)"):
        fully_connected(W, np.ones(3), np.ones(count))


def test_one_class_and_no_penalty_are_layers_too():
    assert fully_connected_jacobian_wrt_weights([1, 2], 1).toarray().tolist() == [[1, 2]]
    assert l2_gradient([3.0], 0).tolist() == [0]


def test_integers_are_taken_up_to_what_int64_holds():
    """3 products of at most 2·h and one bias: 3·2·h + 1 is the largest number of int64."""
    most, h = 2**63 - 1, (2**63 - 2) // 6
    W = np.array([[0, 0, 2], [0, 0, 0]])
    assert fully_connected(W, [0, 0, h], [1, 0]).tolist() == [2 * h + 1, 0]
    numbers = rf"max\|W\| = 2, max\|h\| = {h}, max\|b\| = 3 and 3 terms bound a sum by {most + 2},"
    with pytest.raises(OverflowError, match=numbers):
        fully_connected(W, [0, 0, h], [3, 0])
    with pytest.raises(OverflowError, match=f"by {most + 1},"):
        fully_connected(W, [0, 0, h], [2, 0])
    assert fully_connected(0 * W, [0, 0, 0], [most, 0]).tolist() == [most, 0]


def test_fully_connected():
    check_fully_connected(**RIGHT)
    assert fully_connected_jacobian_wrt_weights(H, 3).shape == (3, 72)
    assert_same(fully_connected(W, H), fully_connected(W, H, [0, 0, 0]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"forward": lambda W, H, b: fully_connected(W, H.transpose(1, 2, 0), b)},
        {"forward": lambda W, H, b: fully_connected(W, H)},
        {"forward": lambda W, H, b: fully_connected(W.ravel(order="F").reshape(W.shape), H, b)},
        {"wrt_input": lambda W: W[::-1]},
        {"wrt_weights": lambda H, C: fully_connected_jacobian_wrt_weights(H.swapaxes(1, 2), C)},
        {"wrt_weights": lambda H, C: np.kron(H.ravel(), np.eye(C))},
        {"wrt_bias": lambda C: np.ones((C, C))},
    ],
    ids=["planes last", "no bias", "W in column order", "classes reversed", "H in column order", "hᵀ ⊗ I", "one bias"],
)
def test_a_wrong_fully_connected_layer_is_caught(wrong):
    with pytest.raises(AssertionError, match=DIFFERENT):
        check_fully_connected(**RIGHT | wrong)


def test_the_other_byte_order_is_read_rightly():
    h = np.array([1, -2], ">f8")
    assert_same(relu_jacobian(h).toarray(), [[1, 0], [0, 0]])
    assert_same([3, 5] @ fully_connected_jacobian_wrt_weights(h, 2), [3, -6, 5, -10])


def test_narrow_integers_do_not_wrap():
    s = fully_connected(np.full((2, 50), 100, np.int8), np.full(50, -100, np.int8), np.array([1, 2], np.int8))
    assert_same(s, [1 - 500_000, 2 - 500_000])
    assert s.dtype == np.int64
    # NumPy's abs(-128) is -128 in int8.
    assert fully_connected(np.full((1, 1), -128, np.int8), np.array([-128], np.int8)) == 128**2


# ----------------------------------------------------------------------------------------- softmax and cross-entropy

SCORES = [
    [0.5],
    [1.0, -2.0, 0.25],
    [3, 1, 2, 2],
    [1e5, -1e5, 99_999.0],
    [-1e5, -1e5 + 1, -1e5 - 3.5, -1e5],
    [0.0, 1e4, 40.0],
    [700.0, 0.0, -40.0, 699.5],
    [1e308, -1e308, 0.0],
]


def exactly(s):
    with mpmath.workdps(60):
        powers = [mpmath.exp(mpmath.mpf(float(each)) - mpmath.mpf(float(max(s)))) for each in s]
        return [power / mpmath.fsum(powers) for power in powers]


def relative_bound(s):
    """γ_N for a quotient of a power and a sum of powers, from the roundings of each.

    Power j: the difference d_j to the largest score is rounded once, which exp turns into |d_j| roundings; a power of
    less than −746 is 0 to begin with. exp itself: at most 4 units in the last place (NumPy), 8 roundings. Numerator,
    denominator: one such each; the sum C more, the quotient 1, and 3 for the difference, logarithm and sum behind it.
    """
    spread = math.ceil(min(746, max(float(max(s)) - float(each) for each in s)))
    return gamma(2 * (spread + 8) + len(s) + 4, "float64")


# Where a power is below the normal range its error is absolute: of the 4 + 1 smallest steps there are.
TINY = 5 * Fraction(1, 2**1074)


def assert_within(actual, expected, bound):
    for c, (value, reference, allowed) in enumerate(zip(np.ravel(actual), expected, bound, strict=True)):
        assert abs(mpmath.mpf(float(value)) - reference) <= allowed, f"beyond the bound at entry {c}"


def as_mpf(fraction):
    return mpmath.mpf(fraction.numerator) / fraction.denominator


@pytest.mark.parametrize("s", SCORES, ids=str)
def test_softmax_is_within_its_rounding_bound(s):
    with mpmath.workdps(60):
        p = exactly(s)
        assert_within(softmax(s), p, [as_mpf(relative_bound(s)) * each + as_mpf(TINY) for each in p])


def check_loss_and_gradient(loss, gradient, s, y):
    with mpmath.workdps(60):
        p, relative, tiny = exactly(s), as_mpf(relative_bound(s)), as_mpf(TINY)
        # The literal softmax over the classes of y: 0/0 where yᵀp is beyond even 60 digits.
        chosen = [c for c, each in enumerate(y) if each]
        top = max(float(s[c]) for c in chosen)
        powers = {c: y[c] * mpmath.exp(mpmath.mpf(float(s[c])) - top) for c in chosen}
        share = [powers.get(c, 0) / mpmath.fsum(powers.values()) for c in range(len(s))]
        total = -mpmath.log(mpmath.fsum(p[c] for c in range(len(s)) if c == int(np.argmax(s))))
        l = total + mpmath.mpf(float(max(s))) - top - mpmath.log(mpmath.fsum(powers.values()))
        terms = abs(total) + abs(mpmath.mpf(float(max(s))) - top) + abs(mpmath.log(mpmath.fsum(powers.values())))
        assert_within(loss(s, y), [l], [relative * terms + tiny])
        limits = [2 * relative * (a + b) + tiny for a, b in zip(p, share, strict=True)]
        assert_within(gradient(s, y), [a - b for a, b in zip(p, share, strict=True)], limits)


def labels(C):
    yield from np.eye(C, dtype=int)
    if C > 2:
        yield [1, 0, 3] + [0] * (C - 3)
        yield [0.25, 0.5, 0.125] + [1] * (C - 3)


LABELLED = [(s, list(y)) for s in SCORES[:-1] for y in labels(len(s))]


@pytest.mark.parametrize(("s", "y"), LABELLED, ids=str)
def test_cross_entropy_and_its_gradient_are_within_their_rounding_bounds(s, y):
    check_loss_and_gradient(cross_entropy, cross_entropy_gradient, s, y)


WRONG_LOSSES = {
    "sign of the loss": {"loss": lambda s, y: -cross_entropy(s, y)},
    "base 2": {"loss": lambda s, y: cross_entropy(s, y) / math.log(2)},
    "mean over the classes": {"loss": lambda s, y: cross_entropy(s, y) / len(s)},
    "−Σ y log p": {"loss": lambda s, y: -np.dot(y, np.log(softmax(s)))},
    "sign of the gradient": {"gradient": lambda s, y: -cross_entropy_gradient(s, y)},
    "p without y": {"gradient": lambda s, y: softmax(s)},
    "p − y for weights": {"gradient": lambda s, y: softmax(s) - y},
    "without diag(p)": {"gradient": lambda s, y: cross_entropy_jacobian(softmax(s), y) @ -np.outer(*[softmax(s)] * 2)},
    "mean gradient": {"gradient": lambda s, y: cross_entropy_gradient(s, y) / len(s)},
}


@pytest.mark.parametrize("wrong", WRONG_LOSSES.values(), ids=WRONG_LOSSES)
def test_a_wrong_loss_or_gradient_is_caught(wrong):
    right = {"loss": cross_entropy, "gradient": cross_entropy_gradient}
    with pytest.raises(AssertionError, match="beyond the bound"):
        check_loss_and_gradient(**right | wrong, s=[1.0, -2.0, 0.25], y=[1, 0, 3])


def test_the_gradient_is_p_minus_y_for_one_hot_y():
    for s, y in LABELLED:
        if sum(y) == 1 and max(y) == 1:
            assert_same(cross_entropy_gradient(s, y), softmax(s) - y)


def test_the_gradient_exists_where_the_probability_underflows():
    assert softmax([0, 1e4])[0] == 0
    assert_same(cross_entropy_gradient([0, 1e4], [1, 0]), [-1, 1])
    assert_same(cross_entropy_gradient([0, 0, 1e4], [1, 3, 0]), [-0.25, -0.75, 1])
    assert cross_entropy([0, 1e4], [1, 0]) == 1e4
    assert cross_entropy([0, 0, 1e4], [1, 3, 0]) == 1e4 - math.log(4)


def test_the_dtype_of_the_scores_is_kept():
    s = np.array([1, 2], np.float32)
    assert softmax(s).dtype == cross_entropy_gradient(s, [0, 1]).dtype == np.float32
    assert softmax(s.astype(np.int8)).dtype == np.float64


def test_infinite_scores_have_a_value_where_there_is_a_limit():
    assert_same(softmax([0, -INF, 0]), [0.5, 0, 0.5])
    assert cross_entropy([0, -INF], [1, 0]) == 0
    assert cross_entropy([0, -INF], [0, 1]) == INF
    assert_same(cross_entropy_gradient([0, -INF], [1, 0]), [0, 0])
    assert_same(cross_entropy_gradient([1, -INF, 1], [0, 1, 0]), [NAN, NAN, NAN])


@pytest.mark.parametrize("s", [[NAN, 0, 1], [0, NAN, 1], [INF, 0, 1], [0, INF, INF], [-INF, -INF, -INF]], ids=str)
def test_nan_is_not_hidden_and_no_limit_is_nan(s):
    assert_same(softmax(s), [NAN, NAN, NAN])
    for y in (*np.eye(3), [1, 2, 0]):
        assert math.isnan(cross_entropy(s, y))
        assert_same(cross_entropy_gradient(s, y), [NAN, NAN, NAN])


# the same with symbols ------------------------------------------------------------------------------------------------

SYMBOLS = np.array(sp.symbols("s1 s2 s3", real=True), dtype=object)
PROBABILITIES = np.array([sp.exp(s) / sum(map(sp.exp, SYMBOLS)) for s in SYMBOLS], dtype=object)


def assert_identical(actual, expected):
    assert np.shape(actual) == np.shape(expected)
    for index in np.ndindex(np.shape(expected)):
        assert sp.simplify(actual[index] - expected[index]) == 0, f"another expression at {index}"


def check_softmax_jacobian(jacobian):
    derivatives = np.array([[p.diff(s) for s in SYMBOLS] for p in PROBABILITIES], dtype=object)
    assert_identical(jacobian(PROBABILITIES), derivatives)


def check_chain(first, second):
    """−yᵀ/(yᵀp) · (diag(p) − ppᵀ) = ∂(−log yᵀp)/∂s, for every class; and that is p − y."""
    for c in range(3):
        y = one_hot(c, 3).astype(object)
        chain = first(PROBABILITIES, y) @ second(PROBABILITIES)
        l = -sp.log(PROBABILITIES[c])
        assert_identical(chain, np.array([l.diff(s) for s in SYMBOLS], dtype=object))
        assert_identical(chain, PROBABILITIES - y)


def test_the_softmax_jacobian_is_the_derivative():
    check_softmax_jacobian(softmax_jacobian)
    symbolic = softmax_jacobian(np.array(sp.symbols("p1 p2"), dtype=object))
    p1, p2 = sp.symbols("p1 p2")
    assert_identical(symbolic, np.array([[p1 - p1**2, -p1 * p2], [-p1 * p2, p2 - p2**2]], dtype=object))


def test_the_chain_of_the_lecture_is_the_derivative():
    check_chain(cross_entropy_jacobian, softmax_jacobian)
    y, p = np.array(sp.symbols("y1 y2"), dtype=object), np.array(sp.symbols("p1 p2"), dtype=object)
    assert_identical(cross_entropy_jacobian(p, y), -y / (y @ p))


WRONG_JACOBIANS = {
    "without diag(p)": lambda p: -np.outer(p, p),
    "without ppᵀ": np.diag,
    "diagonal only": lambda p: np.diag(p - p * p),
    "sign": lambda p: np.outer(p, p) - np.diag(p),
    "n × n sum": lambda p: np.full((3, 3), np.sum(np.diag(p) - np.outer(p, p))),
    "plus": lambda p: np.diag(p) + np.outer(p, p),
}


@pytest.mark.parametrize("wrong", WRONG_JACOBIANS.values(), ids=WRONG_JACOBIANS)
def test_a_wrong_softmax_jacobian_is_caught(wrong):
    with pytest.raises(AssertionError, match="another expression"):
        check_softmax_jacobian(wrong)
    with pytest.raises(AssertionError, match="another expression"):
        check_chain(cross_entropy_jacobian, wrong)


@pytest.mark.parametrize(
    "wrong",
    [lambda p, y: y / (y @ p), lambda p, y: -y / p.sum(), lambda p, y: -1 / p],
    ids=["sign", "Σp for yᵀp", "−1/p"],
)
def test_a_wrong_cross_entropy_jacobian_is_caught(wrong):
    with pytest.raises(AssertionError, match="another expression"):
        check_chain(wrong, softmax_jacobian)


def test_the_chain_in_numbers():
    """Dyadic probabilities, where the literal product of L4 does not round."""
    p, y = np.array([0.5, 0.125, 0.25, 0.125]), one_hot(1, 4)
    assert_same(cross_entropy_jacobian(p, y), [0, -8, 0, 0])
    assert_same(cross_entropy_jacobian(p, y) @ softmax_jacobian(p), p - y)
    # −y is 255 in uint8.
    assert_same(cross_entropy_jacobian(p, y.astype(np.uint8)), [0, -8, 0, 0])


# ------------------------------------------------------------------------------------------------------------------ L2


def check_l2(penalty, gradient):
    """A central difference of a square is its derivative, whatever the step."""
    weights, strength = [distinct((2, 3)), distinct((4,), start=9)], 0.25
    assert penalty(weights, strength) == sum(int(w) ** 2 for each in weights for w in each.ravel()) / 4, "penalty"
    for each, slope in zip(weights, (gradient(w, strength) for w in weights), strict=True):
        for index in np.ndindex(each.shape):
            up, down = ([w.copy() for w in weights] for _ in range(2))
            k = next(k for k, w in enumerate(weights) if w is each)
            up[k][index] += 1
            down[k][index] -= 1
            assert slope[index] == (penalty(up, strength) - penalty(down, strength)) / 2, "gradient"


def test_l2():
    check_l2(l2_penalty, l2_gradient)
    assert l2_penalty([np.array([100], np.int8)], 1) == 10_000
    assert l2_penalty([], 1) == 0
    assert l2_gradient(np.array([1, 2], np.float32), 0.5).dtype == np.float32
    assert l2_gradient(np.array([100], np.int8), 1) == 200


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"penalty": lambda weights, strength: strength * sum(np.sum(np.abs(w)) for w in weights)}, "penalty"),
        ({"penalty": lambda weights, strength: strength * sum(np.linalg.norm(w) for w in weights)}, "penalty"),
        ({"penalty": lambda weights, strength: l2_penalty(weights, strength) / 2}, "penalty"),
        ({"gradient": lambda weight, strength: strength * weight}, "gradient"),
        ({"gradient": lambda weight, strength: 2 * strength * np.sum(weight) * np.ones(weight.shape)}, "gradient"),
    ],
    ids=["L1", "not squared", "halved", "λ for 2λ", "summed"],
)
def test_a_wrong_l2_term_is_caught(wrong, where):
    with pytest.raises(AssertionError, match=where):
        check_l2(**{"penalty": l2_penalty, "gradient": l2_gradient} | wrong)


# -------------------------------------------------------------------------------------------------------------- errors

BIG = np.array([[2**62, 1]])

ERRORS = [
    (lambda: relu(None), DtypeError, r"S is None; it needs an array"),
    (lambda: relu([1j]), DtypeError, r"S has dtype complex128, .* pass S\.real and S\.imag"),
    (lambda: relu_jacobian(np.ones(2, np.float16)), DtypeError, r"S has dtype float16, .* use float32"),
    (lambda: relu_jacobian(["a"]), DtypeError, r"S has dtype <U1"),
    (lambda: batch_norm(1, [1], [1]), ShapeError, r"X has shape \(\); it needs \(d, \*spatial\)"),
    (
        lambda: batch_norm(H, [1], [1, 1]),
        ShapeError,
        r"mean has shape \(1,\) but X has shape \(2, 3, 4\); mean needs \(2,\)",
    ),
    (lambda: batch_norm(H, [[1], [1]], [1, 1]), ShapeError, r"mean has shape \(2, 1\) but X has .*; mean needs \(2,\)"),
    (lambda: batch_norm(H, [1, 1], [1, 1], eps=-1), ValueError, r"eps is -1; it needs a finite number of at least 0"),
    (lambda: batch_norm(H, [1, 1], [1, 0], eps=0), ValueError, r"variance\[1\] \+ eps is 0.*needs to be positive"),
    (lambda: batch_norm(H, [1, 1], [NAN, -1]), ValueError, r"variance\[0\] \+ eps is nan"),
    (lambda: batch_norm_jacobian((), [1]), ShapeError, r"image is \(\)"),
    (lambda: batch_norm_jacobian((1, 0), [1]), ShapeError, r"image has shape \(1, 0\)"),
    (lambda: batch_norm_jacobian((1, 2), np.ones(1, np.float16)), DtypeError, r"the Jacobian has dtype float16"),
    (lambda: fully_connected([1, 2], [1, 2]), ShapeError, r"W has shape \(2,\); it needs \(C, m\), a row per class"),
    (lambda: fully_connected([[[1, 2]]], [1, 2]), ShapeError, r"W has shape \(1, 1, 2\); it needs \(C, m\)"),
    (lambda: softmax(5.0), ShapeError, r"has shape \(\); .*np\.ravel\("),
    (lambda: softmax(np.ones((1, 2))), ShapeError, r"has shape \(1, 2\); .*one image at a time"),
    (lambda: softmax(np.ones((1, 1, 2))), ShapeError, r"has shape \(1, 1, 2\); .*np\.ravel\("),
    (lambda: fully_connected(W, H[0]), ShapeError, r"h has 12 entries but W has shape \(3, 24\), which needs 24"),
    (lambda: fully_connected(W, H, [1, 2]), ShapeError, r"b has shape \(2,\) .* b needs \(3,\), one entry per class"),
    (lambda: fully_connected(W, H, 1), ShapeError, r"b has shape \(\) but"),
    (lambda: fully_connected(BIG, [2, 1]), OverflowError, r"max\|W\| = 4611686018427387904, .* use float64"),
    (lambda: fully_connected(BIG.astype(np.uint64) * 3, [0, 0]), OverflowError, r"too large for int64"),
    (lambda: fully_connected_jacobian_wrt_input([1]), ShapeError, r"W has shape \(1,\)"),
    (
        lambda: fully_connected_jacobian_wrt_weights([1], 0),
        ShapeError,
        r"classes is 0; it needs an integer of at least 1",
    ),
    (lambda: fully_connected_jacobian_wrt_weights([], 2), ShapeError, r"h has no entries; .* give it H"),
    (lambda: fully_connected_jacobian_wrt_weights(np.ones(1, np.float16), 2), DtypeError, r"h has dtype float16"),
    (lambda: fully_connected_jacobian_wrt_bias(2.0), ShapeError, r"classes is 2\.0; it needs an integer"),
    (lambda: fully_connected_jacobian_wrt_bias(2, dtype="float16"), DtypeError, r"the Jacobian has dtype float16"),
    (
        lambda: softmax([[1, 2], [3, 4]]),
        ShapeError,
        r"s has shape \(2, 2\); it needs \(C,\), .* one image at a time, s\[0\]",
    ),
    (lambda: softmax(3), ShapeError, r"s has shape \(\); it needs \(C,\)"),
    (lambda: softmax([]), ShapeError, r"s has shape \(0,\); it needs \(C,\)"),
    (lambda: softmax(SYMBOLS), DtypeError, r"s has dtype object"),
    (lambda: softmax_jacobian(np.array(["p1", "p2"], object)), DtypeError, r"p has dtype object"),
    (lambda: softmax_jacobian(np.array(1, object)), DtypeError, r"p has dtype object"),
    (lambda: softmax_jacobian([[0.5, 0.5]]), ShapeError, r"p has shape \(1, 2\)"),
    (lambda: softmax_jacobian("p"), DtypeError, r"p has dtype <U1"),
    (lambda: cross_entropy_jacobian([0.5, 0.5], [1, 0, 0]), ShapeError, r"y has 3 entries but p has 2; .* one-hot"),
    (lambda: cross_entropy_jacobian([0.0, 1.0], [1, 0]), ZeroDivisionError, r"yᵀp is 0, .* use cross_entropy_gradient"),
    (lambda: cross_entropy_jacobian([0.5, 0.5], [2, -1]), ValueError, r"y is \[2\.0, -1\.0\]; it needs nonnegative"),
    (lambda: cross_entropy([1, 2], 1), ShapeError, r"y has shape \(\); it needs \(C,\)"),
    (lambda: cross_entropy([1, 2], [1]), ShapeError, r"y has 1 entries but s has 2"),
    (lambda: cross_entropy([1, 2], [0, 0]), ValueError, r"y is \[0\.0, 0\.0\]; it needs .* not all 0: one-hot"),
    (lambda: cross_entropy([1, 2], [True, False]), DtypeError, r"y has dtype bool, .* y\.astype\('int8'\)"),
    (lambda: cross_entropy_gradient([1, 2], [NAN, 1]), ValueError, r"y is \[nan, 1\.0\]; it needs nonnegative finite"),
    (lambda: cross_entropy_gradient([1, 2], [INF, 1]), ValueError, r"y is \[inf, 1\.0\]"),
    (lambda: cross_entropy_gradient([1, 2], [-1, 1]), ValueError, r"y is \[-1\.0, 1\.0\]"),
    (lambda: l2_penalty(np.ones((2, 3)), 1), TypeError, r"weights is an array of shape \(2, 3\); it needs a list"),
    (lambda: l2_penalty([[1], ["a"]], 1), DtypeError, r"weights\[1\] has dtype <U1"),
    (lambda: l2_penalty([[1]], -1), ValueError, r"strength is -1; it needs a finite number of at least 0"),
    (lambda: l2_gradient([1], NAN), ValueError, r"strength is nan"),
    (lambda: l2_gradient([1], INF), ValueError, r"strength is inf"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[text for *_, text in ERRORS])
def test_bad_input_is_named_with_its_cure(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_arguments_are_not_changed():
    arrays = [np.array([1.0, 5.0, 2.0]), np.array([0.0, 1.0, 0.0])]
    for array in arrays:
        array.flags.writeable = False
    cross_entropy_gradient(*arrays)
    cross_entropy(*arrays)
    relu(arrays[0])
    relu_jacobian(arrays[0])
    l2_gradient(arrays[0], 1)
    assert_same(arrays[0], [1, 5, 2])


def test_memory_is_asked_for_the_arrays_of_a_jacobian(monkeypatch):
    """Values, columns and where the rows begin: as many of each in a diagonal, few rows in one of long rows."""
    asked = []
    monkeypatch.setattr(layers, "check_bytes", lambda what, needed, cure: asked.append(needed // 8))
    relu_jacobian(np.ones(5))
    batch_norm_jacobian((5, 2), np.ones(5))
    fully_connected_jacobian_wrt_bias(5)
    fully_connected_jacobian_wrt_weights(np.ones(7), 2)
    softmax_jacobian(np.ones(5) / 5)  # dense: a diagonal, and what is taken from it
    assert asked == [3 * 5, 3 * 10, 3 * 5, 2 * 2 * 7, 2 * 5 * 5]


def test_the_epsilon_of_batch_normalisation_is_a_hundred_thousandth_by_default():
    assert batch_norm_jacobian((1, 1), [0.0]).data.tolist() == [1 / math.sqrt(1e-5)]
    assert batch_norm([[1.0]], [0.0], [0.0]).tolist() == [[1 / math.sqrt(1e-5)]]
