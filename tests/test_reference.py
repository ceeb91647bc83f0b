"""Rounding errors of networks: bounds against those that are counted by hand, in units of half the last place of 1."""

import math

import mpmath
import numpy as np
import pytest

from jacobians import Geometry
from jacobians.verify import reference
from jacobians.verify.reference import Rounded
from tests.rounding import rounded as nearly

U = 2.0**-53


def rounded(values, units):
    """Numbers with errors of so many units each."""
    return Rounded(np.array(values, float), np.array(units) * U)


def units(error):
    """How many units an error has, where terms of the second order are too small to matter."""
    return np.rint(np.asarray(error) / U).tolist()


def test_products_carry_the_errors_of_their_factors():
    """N = 3 roundings of |1| + |2·5| + |3·7| and of |−2| + |4·1|, and error times other factor."""
    found = reference.products(
        np.array([0, 0, 1]), rounded([2, 3, 4], [1, 0, 2]), rounded([5, -7, 1], [0, 1, 3]), np.array([1, -2]), 3
    )
    assert found.value.tolist() == [1 + 10 - 21, -2 + 4]
    assert units(found.error) == [3 * (1 + 10 + 21) + 1 * 5 + 3 * 1, 3 * (2 + 4) + 2 * 1 + 4 * 3]


def test_large_errors_enlarge_what_other_errors_are_multiplied_by():
    """Any computed number is within its error of an exact one that is within its error of this."""
    left, right = Rounded(np.array([-3.0]), np.array([1.0])), Rounded(np.array([4.0]), np.array([0.5]))
    assert (left.size.tolist(), right.size.tolist()) == ([5], [5])
    found = reference.products(np.array([0]), left, right, np.zeros(1), 1)
    assert np.rint(found.error * 2).tolist() == [2 * (1 * 5 + 5 * 0.5)]


def test_softmax_and_loss_by_hand():
    """Scores 0 and −1 with errors of 3 and 5 units.

    Each power: both errors of its difference, the rounding of that, and 8 for an exp that is right up to 4 units in the
    last place, of 2 units each. The sum of two: the larger one, and 2. Each probability: both, and 1 for the division.
    """
    s = rounded([0, -1], [3, 5])
    powers = 3 + 3 + 0 + 8, 5 + 3 + 1 + 8
    total = max(powers) + 2
    p, denominator = reference.rounded_softmax(s)
    assert units(denominator) == total
    assert units(p.error / p.value) == [each + total + 1 for each in powers]
    assert p.value.tolist() == nearly([1 / (1 + math.exp(-1)), 1 / (1 + math.e)], 24)
    for chosen, difference in ((0, 3 + 3), (1, 5 + 3 + 1)):
        loss = reference.rounded_loss(s, chosen, denominator)
        logarithm = math.log(1 + math.exp(-1))
        assert float(loss.value) == nearly(logarithm + chosen, 24)
        by_hand = total + 8 * logarithm + difference + 2 * (logarithm + chosen)
        # Terms of the second order are as many units of the error as it has itself.
        assert loss.error / U == nearly(by_hand, 24 + 2 * int(by_hand))


def test_softmax_and_loss_with_large_errors_by_hand():
    """Powers that may be wrong by an eighth, and so may their sum.

    A quotient is wrong by at most (9/8)/(7/8) − 1 = 2/7 of the computed one, which is 2/7/(1 − 2/7) of the exact one.
    """
    s = Rounded(np.zeros(2), np.full(2, math.log(9 / 8) / 2))
    p, denominator = reference.rounded_softmax(s)
    # Taking 1 from 9/8 makes what is rounded nine times as large.
    assert denominator == nearly(1 / 8, 9 * 24)
    assert p.error.tolist() == nearly([1 / 5, 1 / 5], 9 * 24)
    # log(1 + 1/8) is at most 1/8, and log(1 − 1/8) at least −1/7.
    assert float(reference.rounded_loss(s, 0, denominator).error) == nearly(1 / 7 + math.log(9 / 8), 9 * 24)


LAYERS = [Geometry((2, 4), (4, 1, 2), groups=2), Geometry((4, 3), (3, 4, 3))]
CLASSES = 2


def network(seed=0):
    shapes = {"F1": (4, 1, 2), "b1": (4,), "F2": (3, 4, 3), "b2": (3,), "W": (CLASSES, 3), "b": (CLASSES,)}
    generator = np.random.default_rng(seed)
    X = generator.normal(size=LAYERS[0].image)
    return LAYERS, {name: generator.normal(size=shape) for name, shape in shapes.items()}, X, np.array([1.0, 0.0])


def test_the_longest_sums_of_a_network_by_hand(monkeypatch):
    """And which array each is of, by its number of entries."""
    right, seen = reference.products, []

    def noting(where, left, other, plus, terms):
        seen.append((plus.size, terms))
        return right(where, left, other, plus, terms)

    monkeypatch.setattr(reference, "products", noting)
    for batch in ({}, {"batch": 5}):
        seen.clear()
        reference.rounded_network(*network(), **batch)
        count = batch.get("batch", 1)
        assert seen == [
            (4 * 3, 1 * 2 + 1),  # S1: taps and bias
            (3 * 1, 4 * 3 + 1),  # S2
            (CLASSES, 3 + 1),  # s
            (CLASSES * 3, count),  # W
            (CLASSES, count),  # b
            (3, CLASSES),  # X2
            (3 * 4 * 3, 1 * count),  # F2: positions
            (3, 1 * count),  # b2
            (4 * 3, 3 * 3),  # X1: filters, and taps of a plane
            (4 * 1 * 2, 3 * count),  # F1
            (4, 3 * count),  # b1
            (2 * 4, 2 * 2),  # X: the two filters of a group
        ]


def test_errors_of_gradients_begin_with_those_of_the_probabilities():
    """The gradient of b is p − y, with a rounding of the difference, and one of a sum of one term."""
    nodes, gradients = reference.rounded_network(*network())
    p = nodes["p"]
    upstream = p.value - np.array([1, 0])
    assert gradients["b"].value.tolist() == upstream.tolist()
    assert units(gradients["b"].error) == units(p.error + 2 * U * np.abs(upstream))


def test_gradients_are_those_of_difference_quotients_within_their_errors():
    layers, parameters, X, y = network()
    nodes, gradients = reference.rounded_network(layers, parameters, X, y)
    exactly = {name: reference.high_precision(each) for name, each in (parameters | {"X": X}).items()}
    with mpmath.workdps(60):

        def forward(**given):
            arrays = exactly | given
            return reference.forward(layers, arrays, arrays["X"], y)

        for name, node in forward().items():
            assert reference.worst_share(nodes[name].value, node, nodes[name].error)[0] <= 1
        for name, array in exactly.items():
            slopes = reference.derivatives(lambda at, name=name: forward(**{name: at})["l"], array)
            assert reference.worst_share(gradients[name].value, slopes, gradients[name].error)[0] <= 1
        slope = reference.derivatives(lambda at: at[0] ** 3, reference.high_precision([2.0]))[0]
        assert abs(slope - 12) <= mpmath.mpf(10) ** -36  # 20 digits below a rounding


def test_the_cost_is_the_mean_of_the_losses_and_the_squares_of_the_weights():
    layers, parameters, X, y = network()
    exactly = {name: reference.high_precision(each) for name, each in parameters.items()}
    images, labels = [reference.high_precision(each) for each in (X, 2 * X)], [y, y[::-1]]
    with mpmath.workdps(60):
        losses = [reference.forward(layers, exactly, *each)["l"] for each in zip(images, labels, strict=True)]
        squares = sum(each**2 for name in ("W", "F1", "F2") for each in exactly[name].ravel())
        for strength in (0, 0.5):
            found = reference.cost(layers, strength, exactly, images, labels)
            assert abs(found - (sum(losses) / 2 + strength * squares)) < mpmath.mpf(10) ** -50


@pytest.mark.parametrize(("bias", "refused"), [(-1 + 8 * U, True), (-1 + 10 * U, False), (-1 - 8 * U, True)])
def test_a_response_within_twice_its_error_of_zero_has_no_derivative(bias, refused):
    """1·1 + b is wrong by 2·(1 + 1) units."""
    layer = Geometry((1, 1), (1, 1, 1))
    parameters = {"F1": np.ones((1, 1, 1)), "b1": np.array([bias]), "W": np.ones((1, 1)), "b": np.zeros(1)}

    def bounds(**given):
        return reference.rounded_network([layer], parameters | given, np.ones((1, 1)), np.ones(1))

    if refused:
        with pytest.raises(ArithmeticError, match="response of layer 1 is within rounding of 0"):
            bounds()
    else:
        assert bounds()
    with pytest.raises(ArithmeticError, match="response of layer 1"):
        bounds(F1=np.zeros((1, 1, 1)), b1=np.zeros(1))


def test_the_error_of_a_mean_is_the_mean_of_the_errors_and_three_roundings():
    each = [rounded([[1, 2]], [[4, 8]]), rounded([[3, -4]], [[8, 2]])]
    found = reference.rounded_mean(each, np.array([[-2, 5]]))
    assert found.value.tolist() == [[2 - 2, -1 + 5]]
    assert units(found.error) == [[6 + 3 * (2 + 2), 5 + 3 * (3 + 5)]]


def test_the_largest_share_of_a_bound_and_where_it_is():
    def share(got, value, error):
        return reference.worst_share(got, np.array([mpmath.mpf(each) for each in value]), np.array(error))

    assert share([1.0, 5.0, 0.0], [1, 4, 0.5], [1, 4, 1]) == (nearly(1 / 2, reference.MOST_OPERATIONS + 8), 2)
    assert share([0.0], [0], [0]) == (0, 0)
    assert share([0.0, -4.0], [0, -4], [0, 1]) == (0, 0)
    for got in (math.nan, math.inf, 1.0):
        assert share([0.0, got], [0, 0], [0, 0]) == (math.inf, 1)
    assert share([0.0, math.nan], [0, 0], [9, 9]) == (math.inf, 1)
    # The bounds are computed with roundings, too, of which there are fewer than a million.
    (whole, _) = share([3.0], [1], [2])
    assert 1 - 2**20 * U < whole < 1 - 2**19 * U
