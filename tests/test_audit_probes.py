"""What an audit draws: sums that stay exact in every dtype, and the probability that they miss something wrong."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from jacobians import Geometry, ShapeError, audit
from jacobians.audit import curriculum, numbers, sums
from jacobians.audit.cases import Case
from jacobians.audit.layers import convolution
from jacobians.evidence import exact
from jacobians.testing import option_pairs
from tests import oracle
from tests.convolutions import Im2col

DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32")


def options_of(dtype, spatial_ndim=2, **options):
    given = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | options
    return convolution.options(*given.values(), spatial_ndim, bias=True, dtype=dtype)


# the bound, against all draws of tiny forms ---------------------------------------------------------------------------


def supported(entries, support, magnitude):
    """All draws of so many entries, of which a random subset of this size is kept: each is equally likely."""
    values = range(-magnitude, magnitude + 1)
    for kept in itertools.combinations(range(entries), support):
        for drawn in itertools.product(values, repeat=entries):
            yield [value if at in kept else 0 for at, value in enumerate(drawn)]


@pytest.mark.parametrize(("support_x", "support_y"), [(3, 2), (2, 2), (1, 2), (2, 1), (1, 1)])
def test_no_bilinear_form_is_missed_more_often_than_the_bound_says(support_x, support_y):
    x, y = (np.array(list(supported(entries, support, 1))) for entries, support in ((3, support_x), (2, support_y)))
    bound = exact.miss_probability(exact.Draw(1, 9, Fraction(support_x, 3)), exact.Draw(1, 9, Fraction(support_y, 2)))
    worst = Fraction(0)
    for coefficients in itertools.product((-2, 0, 1), repeat=6):
        form = np.array(coefficients).reshape(3, 2)
        missed = Fraction(int(np.sum(x @ form @ y.T == 0)), len(x) * len(y))
        worst = max(worst, missed) if form.any() else worst
    assert worst == bound


@pytest.mark.parametrize("slack", [0.5, 1.0, 3.0, 4.0, 7.5])
def test_no_bilinear_form_is_nearly_missed_more_often_than_the_bound_says(slack):
    x = np.array(list(itertools.permutations(range(-20, 21), 2)))
    y = np.array(list(supported(2, 1, 30)))
    bound = exact.miss_probability(exact.Draw(20, 2), exact.Draw(30, 9, Fraction(1, 2)), slack=slack)
    assert bound < 1
    for coefficients in ((1, 0, 0, 0), (1, 1, 0, 0), (1, -1, 2, 0), (0, 1, 1, 0), (3, -2, 1, 1)):
        values = x @ np.array(coefficients).reshape(2, 2) @ y.T
        assert Fraction(int(np.sum(np.abs(values) <= slack)), values.size) <= bound


def test_one_form_that_is_linear_in_one_array_only():
    y = np.array(list(supported(3, 2, 2)))
    bound = exact.miss_probability(exact.Draw(2, 99, Fraction(2, 3)))
    assert bound == 1 - Fraction(2, 3) * Fraction(4, 5)
    assert Fraction(int(np.sum(y @ [1, 0, 0] == 0)), len(y)) == bound


# what is right --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "int64"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_what_results_are_held_against_is_the_triple_sum(ndim, dtype):
    for options in option_pairs(ndim):
        fixed = options_of(dtype, ndim, **options)
        image, filters = (2, *(5, 7, 6)[-ndim:]), (4, 2 // options["groups"], *(3, 1, 2)[-ndim:])
        probe = numbers.draw(Case(Geometry(image, filters, **options), 3), fixed, 0)
        plain = oracle.plain(probe.geometry)
        pairs = list(zip(probe.X, probe.G, strict=True))
        bias = probe.b.astype(object).reshape(-1, *(1,) * ndim)
        right = {
            "S": [oracle.convolve(X, probe.F, **plain) + bias for X in probe.X],
            "dX": [oracle.input_gradient(G, probe.F, **plain) for G in probe.G],
            "dF": sum(oracle.filter_gradient(X, G, **plain) for X, G in pairs),
            "db": np.sum(probe.G.astype(object), axis=(0, *range(2, ndim + 2))),
        }
        given = sums.expected(probe)
        assert given.keys() == right.keys()
        for name, value in given.items():
            oracle.assert_same(value, right[name])


# what is drawn --------------------------------------------------------------------------------------------------------

LONG = {
    "many responses": Case(Geometry((3, 32, 32), (4, 3, 5, 5)), 2),
    "many taps": Case(Geometry((64, 3, 4), (2, 64, 3, 3), padding=1), 1),
    "both": Case(Geometry((48, 20, 21), (2, 48, 3, 3)), 1),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", LONG.values(), ids=LONG)
def test_of_long_sums_no_partial_sum_is_beyond_what_the_dtype_holds(case, dtype):
    assert_exact(case, options_of(dtype), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", option_pairs()[1::4], ids=str)
def test_no_partial_sum_of_the_curriculum_is_beyond_what_the_dtype_holds(options, dtype):
    fixed = options_of(dtype, **options)
    for case in curriculum.curriculum(fixed):
        assert_exact(case, fixed, dtype)


def assert_exact(case, options, dtype):
    """The sums of the magnitudes of all products bound all partial sums, in any order."""
    assert 0 < numbers.miss_of(case, dtype) < 1
    probe = numbers.draw(case, options, 3)
    sizes = {letter: np.abs(probe.arrays[letter].astype(object)) for letter in "XFbG"}
    wide = probe.replaced(**{letter: size.astype(np.float64) for letter, size in sizes.items()})
    assert max(float(sums.max()) for sums in sums.expected(wide).values()) <= exact.exact_limit(dtype)


def test_supports_are_of_the_size_that_the_scheme_says_and_hold_every_entry_alike():
    case, options = LONG["both"], options_of("bfloat16")
    scheme = numbers.scheme_of(case, "bfloat16")
    assert scheme.F.share < 1
    assert scheme.G.share < 1
    drawn = [numbers.draw(case, options, 0, number) for number in range(300)]
    for letter, rows in (("F", [each.F for each in drawn]), ("G", [each.G.swapaxes(0, 1) for each in drawn])):
        draw = getattr(scheme, letter)
        filled = np.stack(rows).reshape(len(rows), rows[0].shape[0], -1).astype(float) != 0
        size = draw.share * filled.shape[-1]
        assert size.denominator == 1
        assert filled.sum(axis=-1).max() <= size
        # As often as the values that an entry of the support has are not 0, up to six standard deviations.
        rate = float(draw.share) * 2 * draw.magnitude / (2 * draw.magnitude + 1)
        spread = 6 * math.sqrt(rate * (1 - rate) / len(rows))
        assert np.all(np.abs(filled.mean(axis=0) - rate) < spread)


def test_draws_miss_a_wrong_entry_no_more_often_than_they_say():
    """One product too many in one entry of ∂l/∂F, of ∂l/∂X and of S, in a layer with supports in both F and G."""
    case, options = LONG["both"], options_of("bfloat16")
    missed, count = dict.fromkeys(("F", "X", "S"), 0), 2000
    for number in range(count):
        probe = numbers.draw(case, options, 1, number)
        x, f, g = probe.X[0, 5, 3, 4], probe.F[1, 7, 2, 0], probe.G[0, 1, 9, 8]
        for name, product in (("F", g * x), ("X", g * f), ("S", x * f)):
            missed[name] += product == 0
    scheme = numbers.scheme_of(case, "bfloat16")
    pairs = {"F": (scheme.G, scheme.X), "X": (scheme.G, scheme.F), "S": (scheme.X, scheme.F)}
    bounds = {name: exact.miss_probability(*pair) for name, pair in pairs.items()}
    assert max(bounds.values()) == scheme.miss
    for name, bound in bounds.items():
        spread = 6 * math.sqrt(float(bound * (1 - bound)) / count)
        assert float(bound) - spread < missed[name] / count < float(bound) + spread


def test_a_support_of_responses_is_worth_less_than_all_of_them():
    few, many = (numbers.scheme_of(LONG[name], "bfloat16") for name in ("many taps", "many responses"))
    assert few.G.share == 1
    assert many.G.share < 1
    assert many.miss > few.miss


def test_layers_without_exact_integers_are_refused():
    case = Case(Geometry((1, 1, 2), (600, 1, 1, 1)), 1)
    assert numbers.scheme_of(case, "bfloat16") is None
    with pytest.raises(ShapeError, match="has sums of 600 terms, for which bfloat16 has no exact integers"):
        numbers.draw(case, options_of("bfloat16"), 0)


# what a default audit can miss, and layers that are too large ---------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spatial_ndim", [1, 2, 3])
def test_default_audits_reach_the_target_in_every_dtype_and_leave_no_layer_out(dtype, spatial_ndim):
    # Every option in one dtype at least: which layers there are is the same in each.
    for options in option_pairs(spatial_ndim)[DTYPES.index(dtype) :: len(DTYPES)]:
        cases = curriculum.curriculum(options_of(dtype, spatial_ndim, **options))
        for case in cases:
            assert numbers.scheme_of(case, dtype).miss ** numbers.MOST_DRAWS <= numbers.TARGET
        assert curriculum.affordable(cases, dtype) == list(cases)


@pytest.mark.parametrize("steps", [{"padding": 20}, {"dilation": 20}, {"stride": 40}], ids=str)
def test_no_layer_of_unusual_options_is_left_out(steps):
    cases = curriculum.curriculum(options_of("float64", 2, **steps))
    assert curriculum.affordable(cases, "float64") == list(cases)


def test_of_layers_that_padding_makes_large_cheap_ones_are_kept_and_one_with_several_of_everything():
    cases = curriculum.curriculum(options_of("float64", padding=300))
    kept = curriculum.affordable(cases, "float64")
    assert kept == [case for case in cases if case in kept]
    assert 10 <= len(kept) < len(cases)
    assert any(case.several for case in kept)
    assert max(case.numbers for case in kept) < max(case.numbers for case in cases) / 3


def test_layers_that_are_left_out_are_said(monkeypatch):
    monkeypatch.setattr(curriculum, "MOST_WORK", 3000)
    report = audit(Im2col().forward)
    left_out = len(curriculum.curriculum(options_of("float64"))) - report.check().layers
    assert left_out > 1
    said = f"{left_out} layers were left out: with these options, they would take minutes"
    assert report.notes == (said,)
    few = [Geometry((2, 30, 31), (3, 2, 3, 3))]
    assert audit(Im2col().forward, geometries=few).notes == ()


@pytest.mark.parametrize(("dtype", "spatial_ndim"), [("float64", 3), ("float16", 2)])
def test_options_that_make_all_layers_too_large_are_refused(dtype, spatial_ndim):
    pattern = (
        f"^with {spatial_ndim} spatial axes, stride 1, padding 300, {dtype}, layers with several planes and filters "
        "are too large to audit in minutes; audit the code with less padding, smaller steps or a wider dtype, or give "
        "geometries of your own$"
    )
    with pytest.raises(ShapeError, match=pattern):
        audit(Im2col(padding=300).forward, padding=300, dtype=dtype, spatial_ndim=spatial_ndim)
