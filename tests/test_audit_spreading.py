"""Where a NaN has to go in the sums of a convolution, and where it may."""

import numpy as np
import pytest

from jacobians import Geometry
from jacobians.audit import numbers
from jacobians.audit.cases import Case, options
from jacobians.audit.layers import spreading
from jacobians.audit.numbers import ConvolutionProbe
from tests.test_audit_draws import by_hand

STRIDED = {"stride": (2, 3), "padding": ((1, 0), (0, 2)), "dilation": (3, 1), "groups": 2}
SPREADING = {
    "plain": Case(Geometry((2, 4, 5), (3, 2, 2, 3)), 3),
    "steps": Case(Geometry((4, 7, 8), (4, 2, 2, 3), **STRIDED), 2),
    "tail": Case(Geometry((4, 5, 5), (4, 2, 2, 2), stride=2, groups=2), 3),
    "wide": Case(Geometry((1, 2, 20), (2, 1, 1, 2)), 2),
    # Every other pixel is in no sum, the last one among them, and that before it is in the fewest.
    "gaps": Case(Geometry((2, 1, 8), (2, 1, 1, 3), stride=(1, 2), dilation=(1, 2), groups=2), 1),
    # The first tap is in fewer sums than the second one, and the second one alone meets the first pixel.
    "ahead": Case(Geometry((2, 1, 5), (1, 2, 1, 2), stride=(1, 2), padding=((0, 0), (1, 0))), 1),
}


def spread(name, letter, dtype="float64"):
    """The numbers with a NaN in one argument, and its masks."""
    case = SPREADING[name]
    g = case.geometry
    fixed = options(g.stride, g.padding, g.dilation, g.groups, 2, bias=True, dtype=dtype)
    probe = numbers.draw(case, fixed, 0)
    return probe, *spreading.reach(probe, letter)


@pytest.mark.parametrize("name", SPREADING)
@pytest.mark.parametrize("letter", "XFbG")
def test_a_nan_has_to_go_where_its_products_are(name, letter):
    probe, given, masks = spread(name, letter)
    wrong = np.isnan(given.arrays[letter])
    assert wrong.sum() == 1
    assert wrong[-1].any()
    assert not any(np.isnan(given.arrays[other]).any() for other in "XFbG" if other != letter)
    assert not np.isnan(probe.arrays[letter]).any()
    for result, value in by_hand(given).items():
        if (letter, result) == ("G", "S"):
            continue  # forward does not take it
        wanted, allowed = masks[result]
        np.testing.assert_array_equal(wanted, np.isnan(value))
        assert not np.any(wanted & ~allowed)
    # Of the last image or filter, it is the last entry that is in the fewest sums, those aside that are in none.
    if letter != "b":
        ones = by_hand(
            ConvolutionProbe(probe.case, {each: np.ones(array.shape) for each, array in given.arrays.items()})
        )
        counts = {"X": ones["dX"], "F": ones["dF"], "G": ones["S"] - 1}[letter][-1].ravel()
        assert np.flatnonzero(wrong[-1]) == np.flatnonzero(counts == counts[counts > 0].min())[-1]


@pytest.mark.parametrize("name", SPREADING)
def test_a_nan_in_a_filter_may_go_where_zeros_of_a_padding_are_multiplied(name):
    _, given, masks = spread(name, "F")
    at = int(np.argwhere(np.isnan(given.F))[0][0])
    one = np.zeros_like(masks["S"][0])
    one[:, at] = True
    np.testing.assert_array_equal(masks["S"][1], one)
    assert masks["dX"][1].all()
    for result in ("dF", "db"):
        np.testing.assert_array_equal(masks[result][1], masks[result][0])
    _, _, masks = spread(name, "b")
    assert all(np.array_equal(*pair) for pair in masks.values())


@pytest.mark.parametrize(("letter", "result"), [("X", "S"), ("G", "dX"), ("X", "dF"), ("G", "dF")])
@pytest.mark.parametrize("name", SPREADING)
def test_how_far_a_nan_may_spread(name, letter, result):
    wanted, allowed = spread(name, letter)[2][result]
    if result == "dF":
        # In the whole filter of an upstream gradient, in the taps of a plane; of groups, everywhere.
        filters = np.broadcast_to(wanted.any(axis=(1, 2, 3) if letter == "G" else (2, 3), keepdims=True), wanted.shape)
        np.testing.assert_array_equal(allowed, np.ones_like(wanted) if SPREADING[name].geometry.groups > 1 else filters)
        return
    # In the last image alone, and in all maps, along windows with the gaps between the taps, and five entries more.
    assert not allowed[:-1].any()
    assert (allowed[-1] == allowed[-1, :1]).all() or SPREADING[name].geometry.groups == 1
    rows, columns = (np.flatnonzero(allowed[-1].any(axis=(0, 1 + other))) for other in (1, 0))
    reached = [np.flatnonzero(wanted[-1].any(axis=(0, 1 + other))) for other in (1, 0)]
    for found, needed, size in zip((rows, columns), reached, allowed.shape[2:], strict=True):
        assert found[0] == max(needed[0] - 5, 0)
        assert found[-1] == min(needed[-1] + 5, size - 1)


def test_a_tile_of_six_that_holds_a_response_reaches_five_to_both_sides():
    mask = np.zeros((2, 2, 20, 20), bool)
    mask[0, 1, 9, 7] = True
    np.testing.assert_array_equal(
        np.argwhere(spreading._tiles(mask)), [(0, 1, r, c) for r in range(4, 15) for c in range(2, 13)]
    )


def test_numbers_of_half_the_bits_of_float32_may_spread_in_pairs():
    for letter, everywhere in (("F", {"S", "dX", "dF"}), ("X", {"dF"}), ("G", {"dF"})):
        _, _, masks = spread("plain", letter, "bfloat16")
        for result, (_, allowed) in masks.items():
            if (letter, result) == ("G", "S"):
                continue
            if result in everywhere:
                assert allowed.all()
            elif result != "db":
                assert allowed[-1].all()
                assert not allowed[0].all()
    _, _, masks = spread("plain", "b", "bfloat16")
    assert not masks["S"][1].all()


def test_an_argument_that_is_in_no_sum_is_left_out():
    case = Case(Geometry((1, 1, 1), (1, 1, 1, 1), padding=((0, 0), (3, 0)), stride=(1, 9)), 1)
    probe = numbers.draw(case, options((1, 9), ((0, 0), (3, 0)), 1, 1, 2, bias=False, dtype="float64"), 0)
    assert spreading.reach(probe, "X") is None
    assert spreading.reach(probe, "b") is not None
