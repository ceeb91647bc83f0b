"""Combinations of sizes: the plainest that has given values at some layers."""

from fractions import Fraction

from jacobians.formula.combine import FREE, Combinations

LAYERS = [
    {"g": 1, "N": 1, "d": 2, "n": 3, "W": 7, "K": 2, "W'": 5},
    {"g": 1, "N": 2, "d": 1, "n": 2, "W": 5, "K": 3, "W'": 4},
    {"g": 1, "N": 1, "d": 4, "n": 1, "W": 11, "K": 4, "W'": 9},
    {"g": 1, "N": 3, "d": 3, "n": 5, "W": 6, "K": 1, "W'": 8},
    {"g": 1, "N": 2, "d": 5, "n": 2, "W": 4, "K": 2, "W'": 3},
    {"g": 1, "N": 4, "d": 2, "n": 4, "W": 9, "K": 5, "W'": 14},
]
OWN = ("W", "K", "W'")


def combinations(**more):
    return Combinations([each | more for each in LAYERS], steps=[1, 3])


def values(found):
    return [found.at(layer) for layer in LAYERS]


def test_a_constant_is_plainer_than_a_size():
    found = combinations().exact([4] * len(LAYERS), OWN)
    assert (found.terms, found.constant) == ((), 4)


def test_sizes_with_steps_as_coefficients_are_found():
    wanted = [3 * layer["K"] - layer["W"] + 2 for layer in LAYERS]
    found = combinations().exact(wanted, OWN)
    assert dict(found.terms) == {"K": 3, "W": -1}
    assert found.constant == 2


def test_values_that_no_sizes_have_are_refused():
    assert combinations().exact([0, 17, -40, 3, 31, -5], OWN) is None


def test_half_a_size_is_found_by_twice_its_values():
    found = combinations().exact([layer["K"] for layer in LAYERS], OWN, by=2)
    assert found.coefficient("K") == Fraction(1, 2)


def test_limits_need_not_be_met_at_every_layer():
    limits = [(layer["K"] - 1, FREE if at else layer["K"] - 1) for at, layer in enumerate(LAYERS)]
    found = combinations().within(limits, OWN)
    assert all(low <= value <= high for value, (low, high) in zip(values(found), limits, strict=True))


def test_the_remainder_of_a_loop_is_a_size_rounded_down():
    found = combinations().exact([4 * (layer["W'"] // 4) - 1 for layer in LAYERS], OWN)
    assert dict(found.terms) == {"W'÷4": 4}
    assert found.constant == -1


def test_one_of_several_values_is_enough():
    allowed = [{layer["K"], layer["N"] + 9} for layer in LAYERS]
    found = combinations().among(allowed, OWN)
    assert values(found) == [layer["K"] for layer in LAYERS]
