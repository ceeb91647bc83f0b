"""Combinations of sizes: the plainest that has given values at some layers."""

import itertools
import re
from fractions import Fraction

from jacobians.formula.combine import FREE, Combinations
from jacobians.formula.relation import Linear

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


def test_where_there_is_no_limit_any_value_will_do():
    found = combinations().within([(999_999, 999_999), *[(-FREE, FREE)] * 5], OWN)
    assert (found.terms, found.constant) == ((), 999_999)


def test_the_remainder_of_a_loop_is_a_size_rounded_down():
    found = combinations().exact([4 * (layer["W'"] // 4) - 1 for layer in LAYERS], OWN)
    assert dict(found.terms) == {"W'÷4": 4}
    assert found.constant == -1


def test_one_of_several_values_is_enough():
    allowed = [{layer["K"], layer["N"] + 9} for layer in LAYERS]
    found = combinations().among(allowed, OWN)
    assert values(found) == [layer["K"] for layer in LAYERS]


def test_all_combinations_of_some_sizes_are_tried_and_no_others():
    """Six plain sizes: d/g and n/g are d and n; g is the same everywhere."""
    found = Combinations([each | {"d/g": each["d"], "n/g": each["n"]} for each in LAYERS], [1, 3], ["W·K", "H·L"], [4])
    assert found.plain == ["N", "d", "n", "W", "K", "W'"]
    assert found.joined == ["W·K"]
    assert found.coefficients == [1, -1, 2, -2, 3, -3]
    coefficients, steps = len(found.coefficients), 6
    single = 6 * coefficients
    floors = (6 + 1) * steps + 6 * 2
    one = single + floors + 1 + 15 + 6 * 2
    two = 15 * coefficients**2 + floors * single
    # Of three sizes two at least are of the axis.
    three = (1 + 3 * 3) * coefficients**3
    assert [len(models.costs) for models in found._models(OWN, 1)] == [1, one, two, three]
    assert [len(models.costs) for models in found._models((), 1)] == [1, one, two]
    # Of three sizes, with the six smallest of ten coefficients.
    assert [len(models.costs) for models in found._models(OWN, 2)][3] == (1 + 3 * 3) * 6**3
    grouped = Combinations([each | {"g": 2, "d/g": 2 * each["d"], "n/g": each["n"]} for each in LAYERS], [1])
    assert grouped.plain == ["N", "d", "n", "W", "K", "W'", "d/g", "n/g"]
    assert grouped.coefficients == [1, -1, 2, -2]


def test_values_and_costs_are_those_of_the_names():
    found = Combinations(LAYERS, [1, 3], ["W·K"], [4])
    plain = {"N": 3, "d": 3, "n": 3, "W": 0, "K": 0, "W'": 0}
    for models in found._models(OWN, 2):
        for at in range(0, len(models.costs), 7):
            names = models.names(at)
            form = Linear.of(dict(names))
            assert models.values[:, at].tolist() == [int(form.scaled({}, layer)) for layer in LAYERS]
            assert models.costs[at] == sum(plain.get(name, 4) + min(abs(each), 3) for name, each in names)
            sizes = {size for name, _ in names for size in re.findall(r"[A-Za-z]+'?", name.replace("min", ""))}
            assert models.owned[at] == (sizes <= set(OWN))
    by_two: dict[str, set[int]] = {}
    for name, each in next(itertools.islice(found._models(OWN, 2), 1, None)).parts:
        by_two.setdefault(name, set()).add(each)
    assert by_two["K"] == {1, -1, 2, -2, 3, -3, 4, -4, 6, -6}
    assert (by_two["K÷2"], by_two["K÷3"], by_two["W·K÷8"]) == ({4, 2, -2}, {6}, {16})
    assert (by_two["W·K"], by_two["min(W,K)"], by_two["min(K,4)"]) == ({2}, {2}, {2, -2})


def test_of_limits_that_hold_the_constant_nearest_to_zero_is_taken():
    for low, high, constant in ((2, 5, 2), (-5, -2, -2), (-2, 5, 0), (0, 3, 0), (-3, 0, 0), (1, 1, 1), (-1, -1, -1)):
        found = combinations().within([(low, high)] * len(LAYERS), OWN)
        assert (found.terms, found.constant) == ((), constant)
    assert combinations().within([(1, 0)] * len(LAYERS), OWN, most=0) is None


def test_most_and_alone_limit_what_is_tried():
    wanted = [(each, each) for each in (layer["N"] + 3 * layer["K"] for layer in LAYERS)]
    assert dict(combinations().within(wanted, OWN).terms) == {"N": 1, "K": 3}
    assert combinations().within(wanted, OWN, most=1) is None
    assert combinations().within(wanted, OWN, alone=True) is None
    three = [(each, each) for each in (layer["W'"] + layer["K"] - 2 * layer["N"] + 5 for layer in LAYERS)]
    assert combinations().within(three, OWN, most=2) is None
    assert dict(combinations().within(three, OWN).terms) == {"W'": 1, "K": 1, "N": -2}


def test_of_several_values_the_plainest_is_taken():
    found = combinations()
    assert found.among([{8, 3}, *[{8}] * 5], OWN).constant == 8
    assert found.among([{-8}] * 6, OWN).constant == -8
    assert found.among([{9}] * 6, OWN) is None or found.among([{9}] * 6, OWN).terms
    assert found.among([{-2, 1, 5}] * 6, OWN).constant == 1
    assert found.among([set(), *[{0}] * 5], OWN) is None
    halves = found.among([{layer["K"] - 3, layer["K"] + 40} for layer in LAYERS], OWN, by=2)
    assert (dict(halves.terms), halves.constant) == ({"K": Fraction(1, 2)}, Fraction(-3, 2))
    two = [{layer["K"] - layer["W"] + 1, -70 - at} for at, layer in enumerate(LAYERS)]
    assert dict(found.among(two, OWN).terms) == {"K": 1, "W": -1}
    three = [{layer["W'"] + layer["K"] - 2 * layer["N"] + 5} for layer in LAYERS]
    assert found.among(three, OWN) is None


def test_a_value_beyond_all_that_are_allowed_is_not_taken_for_one_of_them():
    """At one layer −W is one less than the least value, from whose other side 10 is as far."""
    allowed = [{-layer["W"] if layer["W"] < 11 else 10} for layer in LAYERS]
    assert combinations().among(allowed, OWN) is None
