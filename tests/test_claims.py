"""What the evidence says of itself: probabilities and bounds, computed again by hand and held against what happens."""

import itertools
import math
import re
import sys
from fractions import Fraction

import numpy as np
import pytest
import sympy

from jacobians import Geometry, audit, cli, verify, writing
from jacobians.audit import python
from jacobians.audit.cases import Case
from jacobians.audit.compare import Run, numbered
from jacobians.audit.explain import _entries as entries_of
from jacobians.audit.layer import Probe
from jacobians.audit.layers.convolution import Convolution, options
from jacobians.audit.subject import Subject
from jacobians.evidence import exact
from jacobians.verify import Row, check
from jacobians.verify.identities import IDENTITIES, ORACLE, Identity
from jacobians.verify.report import _cells as verify_cells
from tests.binomial import refutes
from tests.convolutions import Im2col

PLAIN = Im2col()
# Two images of 3×4, one filter of 2×2: 2·3 responses.
LAYER = Geometry((1, 3, 4), (1, 1, 2, 2))


def outcomes(identity, layer=LAYER, seed=0, kind="exact"):
    task = check.Task(layer, (identity,), seed, symbolic=False)
    return [each for each in check.check(task) if each.evidence == kind]


def of_responses(**sides):
    """An equation of S whose sides are functions of a draw."""
    return Identity("L1", "", "XF", ("S", "responses"), sides)


# the probability that something wrong passed --------------------------------------------------------------------------


def missed(terms, *counts):
    """The probability that all draws of arrays of so many entries miss it, from the largest exact sums of each dtype.

    A sum of N products of integers up to M is exact where N·M² ≤ 2⁵³, 2⁶³ − 1 or 2²⁴. Entries are distinct: when all
    but one of n are known, 2M + 1 − (n − 1) values are left for it, of which one hides the difference.
    """
    limits, total = itertools.cycle((2**53, 2**63 - 1, 2**24)), Fraction(1)
    while total > Fraction(1, 2**74):
        magnitude = math.isqrt(next(limits) // terms)
        assert all(2 * magnitude + 1 >= 2 * count for count in counts)
        total *= 1 - math.prod(1 - Fraction(1, 2 * magnitude + 1 - (count - 1)) for count in counts)
    return total


# By the arrays that an equation is linear in, at two layers: products in the longest sum, and the entries of each.
BY_HAND = {
    # 12 pixels, 4 taps, 6 responses.
    LAYER: {
        "XF": missed(4, 12, 4),
        "XFb": missed(5, 12, 4, 1),
        "XG": missed(6, 12, 6),
        "GF": missed(4, 6, 4),
        "G": missed(6, 6),
    },
    # 2·15 pixels, 3·2·4 taps, 3·8 responses: 8 products for a response, 8 for a tap, 3·4 for a pixel.
    Geometry((2, 3, 5), (3, 2, 2, 2)): {"XF": missed(8, 30, 24), "XG": missed(8, 30, 24), "GF": missed(12, 24, 24)},
}


def test_ten_thousand_pairs_of_equation_and_layer_stay_below_two_to_the_minus_sixty_and_twice_the_target_would_not():
    assert 10_000 * check.TARGET < Fraction(1, 2**60) < 10_000 * 2 * check.TARGET


def test_no_draw_is_made_when_the_target_is_reached(monkeypatch):
    (_, first), (_, second), *_ = check.integer_draws("XF", 4, LAYER, 0)
    monkeypatch.setattr(check, "TARGET", first * second)
    assert [miss for _, miss in check.integer_draws("XF", 4, LAYER, 0)] == [first, second]


def test_no_two_draws_of_a_layer_share_their_random_numbers(monkeypatch):
    right, seeds = np.random.default_rng, []

    def noting(seed):
        seeds.append(seed)
        return right(seed)

    monkeypatch.setattr(np.random, "default_rng", noting)
    outcomes(of_responses(**{ORACLE: right_responses, "same": right_responses}))
    assert len(set(seeds)) == len(seeds) > 3


@pytest.mark.parametrize("layer", BY_HAND, ids=repr)
def test_verify_says_the_probability_that_is_computed_by_hand(layer):
    by_inputs = BY_HAND[layer]
    seen = set()
    for identity in IDENTITIES:
        if identity.inputs in by_inputs:
            for each in outcomes(identity, layer):
                assert each.miss == by_inputs[identity.inputs], identity.id
                seen.add(identity.inputs)
    assert seen == set(by_inputs)


def test_a_report_adds_up_what_all_equations_may_have_missed():
    by_hand = BY_HAND[LAYER]
    report = verify([LAYER], identities=["L1", "L7", "L18"])
    inputs = [each.inputs for each in IDENTITIES if each.id in {"L1", "L7", "L18"}]
    assert report.miss == sum(by_hand[each] for each in inputs)
    assert f"below 2^{math.ceil(math.log2(report.miss))}" in report.conclusion


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 2**53), ("float32", 2**24), ("int32", 2**31 - 1)])
def test_an_audit_says_the_probability_that_is_computed_by_hand(dtype, limit):
    """Two images: 24 pixels and 12 responses; of the sums, that of 12 responses in ∂l/∂F is the longest."""
    largest = math.isqrt(limit // 12)
    # All of X, F and G are as large, as 5 products, 4 and a bias, and 4 are fewer than 12. G and X tell least.
    assert 5 * largest**2 <= limit
    shows = [1 - Fraction(1, 2 * largest + 1 - (count - 1)) for count in (24, 12)]
    miss = 1 - math.prod(shows)
    draws = next(count for count in itertools.count(1) if miss**count <= Fraction(1, 2**60))
    report = audit(PLAIN.forward, PLAIN.backward, geometries=[LAYER], dtype=dtype)
    whole = miss**draws
    assert report.log2_miss == math.log2(whole.numerator) - math.log2(whole.denominator)
    assert f"probability below 2^{math.ceil(draws * math.log2(miss))}" in str(report)


def test_an_audit_says_the_probability_of_the_layer_where_it_is_largest():
    several = [LAYER, Geometry((1, 30, 31), (2, 1, 3, 3)), Geometry((1, 2, 3), (1, 1, 1, 1))]
    each = [audit(PLAIN.forward, geometries=[layer]).log2_miss for layer in several]
    assert len(set(each)) == 3
    assert audit(PLAIN.forward, geometries=several).log2_miss == max(each)


@pytest.mark.parametrize(("magnitude", "entries"), [(2, 4), (3, 12)])
def test_wrong_forms_pass_as_often_as_verify_says(magnitude, entries, monkeypatch):
    """One product too many in one response, and one draw from few integers, which are independent as there are few."""
    monkeypatch.setattr(check, "TARGET", Fraction(1))
    monkeypatch.setattr(exact, "exact_magnitude", lambda dtype, terms: magnitude)
    layer, count = Geometry((1, 1, entries), (1, 1, 1, entries)), 1500

    def right(draw):
        return np.atleast_1d(np.sum(draw.X * draw.F))

    def wrong(draw):
        return right(draw) + draw.X[0, 0, 1] * draw.F[0, 0, 0, 0]

    found = [outcomes(of_responses(right=right, wrong=wrong), layer, seed) for seed in range(count)]
    assert {len(each) for each in found} == {1}
    passed = sum(each.failure is None for (each,) in found)
    (claim,) = {each.miss for (each,) in found}
    # A product is 0 where one of its factors is.
    assert claim == 1 - (1 - Fraction(1, 2 * magnitude + 1)) ** 2
    assert not refutes(passed, count, float(claim))
    assert refutes(passed, count, float(claim) / 1.5)
    assert refutes(passed, count, float(claim) * 1.5)


# draws ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slack", "arrays", "near"),
    # With t = slack^(1/k), so many of the integers −t … t are as near to any number as t.
    [(9, 2, 7), (0.25, 2, 2), (27, 3, 7), (8, 3, 5), (9, 1, 19)],
)
def test_the_slack_is_shared_out_among_the_arrays(slack, arrays, near):
    values = 2 * 50 + 1
    bound = exact.miss_probability(*[exact.Draw(50, 1)] * arrays, slack=slack)
    claimed = 1 - (1 - Fraction(near, values)) ** arrays
    assert claimed <= bound <= claimed * (1 + Fraction(1, 2**30))


def test_products_of_three_integers_are_near_zero_no_more_often_than_the_bound_says():
    numbers = np.arange(-20, 21)
    products = np.abs(numbers[:, None, None] * numbers[:, None] * numbers)
    for slack in (1.0, 8.0, 27.0, 200.0):
        near = Fraction(int(np.sum(products <= slack)), products.size)
        bound = exact.miss_probability(*[exact.Draw(20, 1)] * 3, slack=slack)
        assert near <= bound < 1
        # The slack of two arrays is too much for three.
        assert bound < exact.miss_probability(*[exact.Draw(20, 1)] * 3, slack=slack**1.5) or slack == 1


def test_entries_are_distinct_up_to_half_as_many_as_there_are_integers():
    """Of −5 … 5, eleven integers, five are distinct, and six are drawn one by one."""
    generators = [np.random.default_rng(seed) for seed in range(99)]
    drawn = [
        [len(set(exact.draw_integers(each, (count,), 5, "int64").tolist())) for each in generators] for count in (5, 6)
    ]
    assert set(drawn[0]) == {5}
    # Six of eleven are distinct by chance in every fifth draw.
    assert min(drawn[1]) < 6
    # The last of five has 11 − 4 integers left.
    assert [exact.miss_probability(exact.Draw(5, count)) for count in (1, 4, 5, 6)] == [
        Fraction(1, left) for left in (11, 8, 7, 11)
    ]


@pytest.mark.parametrize(("dtype", "bits"), [("float64", 53), ("float32", 24), ("float16", 11)])
def test_real_numbers_are_of_both_signs_large_and_small_and_use_all_digits(dtype, bits):
    numbers, numerators, scale = exact.real_numbers(np.random.default_rng(0), (4000,), dtype)
    assert scale == bits
    whole = np.array(numerators, np.float64)
    assert np.array_equal(whole, numbers.astype(np.float64) * 2.0**bits)
    # Each of these has a probability of 1/32 at least: 4000 draws without one have one below 2⁻¹⁸⁰.
    for sign in (1, -1):
        own = sign * whole
        odd = (whole % 2 == 1) & (own > 0)
        assert np.any(odd & (own > 2.0 ** (bits - 1)))
        assert np.any(own > 2.0**bits * 15 / 16)
        assert np.any((own > 0) & (own < 2.0**bits / 16))
    assert np.all(np.abs(whole) < 2.0**bits)
    few = exact.real_numbers(np.random.default_rng(0), (9000,), "bfloat16")[1]
    assert (min(few), max(few)) == (-255, 255)
    # Uniform: the mean of so many is as near to 0 as six of its standard deviations, of which each is 1/√3.
    assert abs(numbers.astype(np.float64).mean()) < 6 / math.sqrt(3 * 4000)


# the largest error as a fraction of its bound -------------------------------------------------------------------------

# One response of 64 products, and three: its bound is some 64 times as coarse as a float64, which then can tell halves.
PRODUCTS = 64
WIDE = Geometry((1, 1, PRODUCTS + 2), (1, 1, 1, PRODUCTS))


def responses(draw):
    windows = np.lib.stride_tricks.sliding_window_view(draw.X[0, 0], PRODUCTS)
    return windows @ draw.F[0, 0, 0]


def planted(share, at=1):
    """The exact responses, with an error of so much of its bound N·u/(1 − N·u)·Σ|products| in one of them."""

    def side(draw):
        X, F = (np.array([Fraction(float(each)) for each in array.ravel()]) for array in (draw.X, draw.F))
        unit = Fraction(1, 2**53 if draw.X.dtype == np.float64 else 2**24)
        windows = [X[at : at + PRODUCTS] * F for at in range(3)]
        found = [sum(each) for each in windows]
        found[at] += Fraction(share) * PRODUCTS * unit / (1 - PRODUCTS * unit) * sum(map(abs, windows[at]))
        return np.array([float(each) for each in found])

    return of_responses(**{ORACLE: responses, "planted": side})


@pytest.mark.parametrize("share", [0, Fraction(1, 2), Fraction(-1, 2), Fraction(15, 16), Fraction(-15, 16)])
def test_an_error_within_its_bound_passes_and_is_told_as_a_fraction_of_it(share):
    (found,) = outcomes(planted(share), WIDE, kind="bound")
    assert found.failure is None
    # The planted responses are rounded once, which is an N-th of the bound at most.
    assert abs(found.worst - abs(share)) <= 1 / PRODUCTS
    assert found.worst > 0


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("share", [Fraction(17, 16), Fraction(-17, 16), 2, -2])
def test_an_error_beyond_its_bound_fails_from_either_side(share, at):
    (found,) = outcomes(planted(share, at), WIDE, kind="bound")
    assert abs(found.worst - abs(share)) <= 1 / PRODUCTS
    assert (found.failure.index, found.failure.wrong, found.failure.total) == (at, 1, 3)


def test_an_error_as_large_as_its_bound_is_within_it(monkeypatch):
    """The magnitude of a single product in the place of the bound: a result of 0 is wrong by as much."""
    monkeypatch.setattr(exact, "rounding_bound", lambda sizes, terms, dtype: [Fraction(each) for each in sizes])
    layer = Geometry((1, 1, 1), (1, 1, 1, 1))
    nothing = of_responses(**{ORACLE: lambda draw: draw.X * draw.F, "nothing": lambda draw: 0 * draw.X})
    (found,) = outcomes(nothing, layer, kind="bound")
    assert (found.worst, found.failure) == (1, None)


def test_the_error_of_the_whole_table_is_the_largest():
    layers = [LAYER, Geometry((1, 1, 1), (1, 1, 1, 1)), WIDE]
    identity = next(each for each in IDENTITIES if each.id == "L1")
    each = [outcomes(identity, layer, kind="bound")[0].worst for layer in layers]
    assert verify(layers, identities=["L1"]).rows[0].worst == max(each) > min(each)


# the first of several wrong entries -----------------------------------------------------------------------------------


def two_wrong(draw):
    S = right_responses(draw)
    S[2] = S[2] + draw.X[0, 0, 0] * draw.F[0, 0, 0, 0]
    S[4] = S[4] + draw.X[0, 0, 0] * draw.F[0, 0, 0, 1]
    return S


def right_responses(draw):
    X, F = draw.X[0], draw.F[0, 0]
    return np.array([(X[r : r + 2, c : c + 2] * F).sum() for r in range(2) for c in range(3)])


@pytest.mark.parametrize("kind", ["symbolic", "exact", "bound"])
def test_of_two_wrong_entries_the_first_is_shown(kind):
    identity = of_responses(**{ORACLE: right_responses, "wrong": two_wrong})
    task = check.Task(LAYER, (identity,), 0, symbolic=True)
    (found,) = (each for each in check.check(task) if each.evidence == kind)
    failure = found.failure
    assert (failure.entry, failure.index, failure.wrong, failure.total) == ("S13", 2, 2, 6)
    assert failure.expected != failure.actual
    assert (failure.sides, failure.geometry) == ((ORACLE, "wrong"), LAYER)
    assert found.size == 12 + 4 + 6


# where what is shown is cut -------------------------------------------------------------------------------------------


def symbols(rows, columns):
    return sympy.Matrix(rows, columns, lambda r, c: sympy.Symbol(f"X{r % 9 + 1}{c % 9 + 1}"))


@pytest.mark.parametrize(("rows", "lines"), [(17, 17), (18, 18), (19, 17), (20, 17)])
def test_a_page_has_eighteen_rows_and_of_longer_matrices_the_middle_is_left_out(rows, lines):
    column = symbols(rows, 1)
    shown = writing.render(column, "text").splitlines()
    assert len(shown) == len(writing.equations(["v1"] * rows, list(column), "text").splitlines()) == lines
    assert (":" in shown[15].split()) == (lines < rows)
    assert shown[-1] == f"[ X{(rows - 1) % 9 + 1}1 ]"
    assert len(writing.render(column, "text", whole=True).splitlines()) == rows


FOUR = ["X11", "X12", "X13", "X14"]
CUT = ["X11", "...", "X14"]


@pytest.mark.parametrize(("width", "cells"), [(21, CUT), (22, FOUR), (23, FOUR)])
def test_a_matrix_as_wide_as_the_line_is_shown_whole_and_a_wider_one_is_cut(width, cells):
    """Four symbols of three characters, two between them, and brackets: 22 characters, and 7 more with a label."""
    line = writing.render(symbols(1, 4), "text", width=width)
    assert line.split()[1:-1] == cells
    labelled = writing.render(symbols(1, 4), "text", width=width + 7, labels=["S11"])
    assert labelled.split()[1:-2] == cells
    assert len(line) <= width
    assert len(labelled) <= width + 7


WHOLE = "X11 X12 X13 X14 X15"


@pytest.mark.parametrize(
    ("width", "products"),
    [(20, "X11 ... X15"), (21, "X11 X12 ... X15"), (26, "X11 X12 ... X15"), (27, WHOLE), (28, WHOLE)],
)
def test_a_sum_as_long_as_the_line_is_shown_whole_and_a_longer_one_is_cut(width, products):
    """Five symbols of three characters, three between them: 27 characters; 21 with one of them and dots left out."""
    text = writing.write(sum(symbols(1, 5)), "text", width=width)
    assert text.split(" + ") == products.split()
    assert len(text) <= width


@pytest.mark.parametrize(("symbolic", "change"), [(False, lambda S: S + 1), (True, lambda S: 2 * S)])
@pytest.mark.parametrize("wrong", [3, 4, 5])
def test_four_wrong_entries_are_listed_and_of_more_it_is_said_how_many_there_are(wrong, symbolic, change):
    """Of the responses S11, S12, S13, S21, S22 and S23, the last ones are wrong."""

    def forward(X, F):
        S = PLAIN.forward(X, F)
        last = S.reshape(-1)[-wrong:]
        last[...] = change(last)
        return S

    layer = Convolution("float64", options(1, 0, 1, 1, 2, bias=False, dtype="float64"))
    run = Run(Subject({"forward": forward}, layer.takes, layer.gives, layer.labels), layer, [], 0)
    (each,) = run.compared(layer.draw(Case(LAYER, 1), 0))
    found = entries_of(run, each)
    names = ["S11", "S12", "S13", "S21", "S22", "S23"][-wrong:]
    assert [entry.partition(":")[0] for entry in found[:4]] == names[:4]
    assert {"F1" in entry for entry in found[:4]} == {symbolic}
    assert [entry.startswith(f"… {wrong} of 6") for entry in found[4:]] == [True] * (wrong > 4)
    with_numbers = [entry.partition(":")[0] for entry in numbered(each)[:4]]
    assert with_numbers == names[:4]


@pytest.mark.parametrize(("count", "listed"), [(11, True), (12, True), (13, False)])
def test_up_to_twelve_numbers_a_case_is_told_by_them(count, listed):
    text = Probe(None, {"X": np.arange(count) + 100.0}).text("X")
    assert ("100" in text) == listed
    assert (text == f"X {count}") != listed


def test_arrays_of_up_to_two_thousand_numbers_are_recorded_and_written_out_and_up_to_one_thousand_printed_whole():
    assert [len(python.plain(np.zeros(count))) for count in (1999, 2000, 2001)] == [1999, 2000, 0]
    assert ["zlib" in python.expression(np.zeros(count)) for count in (1999, 2000, 2001)] == [False, False, True]
    assert [len(python.shown("S", np.zeros(count))) for count in (999, 1000, 1001)] == [2, 2, 3]


@pytest.mark.parametrize(
    ("worst", "shown"), [(1.0, "1.00"), (np.nextafter(1, 2), ">1"), (0.005, "0.01"), (np.nextafter(0.005, 0), "<0.01")]
)
def test_a_fraction_of_a_bound_is_never_rounded_to_nothing_or_down_to_one(worst, shown):
    assert verify_cells(Row("L1", "", {}, worst, None), can_prove=True)[-1] == shown


@pytest.mark.parametrize("index", [0, 1, 2])
def test_show_takes_the_filter_of_the_index(index, capsys, monkeypatch):
    arguments = ["show", "rot180", "--filters", "3x1x1x2", "--index", str(index), "--format", "text"]
    monkeypatch.setattr(sys, "argv", ["jacobians", *arguments])
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main()
    shown = re.findall(r"F_\d,\d+", capsys.readouterr().out.partition("\n")[2])
    assert shown == [f"F_{index + 1},12", f"F_{index + 1},11"]
