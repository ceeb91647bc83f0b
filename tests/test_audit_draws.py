"""Layers, draws and bounds of an audit, each by numbers that can be computed by hand."""

import dataclasses
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from jacobians import Geometry
from jacobians.audit import numbers, sums
from jacobians.audit.cases import LARGE, Case, Only, options
from jacobians.audit.factors import differ, multiple
from jacobians.audit.layer import REAL
from jacobians.evidence import exact
from jacobians.formula.layouts import parse
from tests.rounding import rounded


def options_of(spatial_ndim=2, *, stride=1, padding=0, dilation=1, groups=1, bias=True, dtype="float64", only=None):
    return options(stride, padding, dilation, groups, spatial_ndim, bias=bias, dtype=dtype, only=only)


SMALL = Case(Geometry((2, 3, 4), (4, 1, 2, 3), padding=((1, 0), (0, 2)), groups=2), 3)

# multiples ------------------------------------------------------------------------------------------------------------

A = np.array([3.0, -1.0, 7.0])


@pytest.mark.parametrize(
    ("got", "of", "dtype", "factor"),
    [
        (2 * A, A, "float64", 2.0),
        (-A, A, "float64", -1.0),
        (A / 3, A, "float64", 0.3333333333333334),
        (1e-4 * A, A, "float64", 1e-4),
        (1.0636961687321453 * A, A, "float64", 1.0636961687321453),
        (np.float32(0.1) * np.float32(A), np.float32(A), "float32", 0.1),
        (np.float32(0.1) * np.float32(A), np.float32(A), "float64", None),
        (A * (1 + np.array([0, 6, 0]) * 2.0**-53), A, "float64", None),
        (A * (1 + np.array([0, 4, 0]) * 2.0**-53), A, "float64", 1.0),
        (2 * A.astype(int), A.astype(int), "int64", 2.0),
        (np.array([6, -2, 15]), A.astype(int), "int64", None),
        (A + 1, A, "float64", None),
        (0 * A, A, "float64", None),
        (A * [1, 1, np.inf], A, "float64", None),
        (np.array([2.0, 2.0]), np.array([1.0, 1.0]), "float64", None),
        (np.array([2.0, -2.0]), np.array([1.0, -1.0]), "float64", None),
    ],
)
def test_the_shortest_factor_of_a_multiple(got, of, dtype, factor):
    assert multiple(got, of, dtype) == factor


def test_arrays_of_one_magnitude_tell_no_factor():
    assert [differ(np.array(each)) for each in ([1, 1], [1, -1], [5], [1, 2], [0, 3])] == [False] * 3 + [True] * 2


# schemes --------------------------------------------------------------------------------------------------------------

ONE, HALF, MANY = exact.Draw(1, 9), exact.Draw(2, 9, Fraction(1, 2)), exact.Draw(3, 9)


@pytest.mark.parametrize(
    ("draws", "lowest"), [((ONE, HALF, MANY), "XF"), ((MANY, ONE, HALF), "FG"), ((HALF, MANY, ONE), "XG")]
)
def test_a_scheme_catches_what_its_weakest_pair_does(draws, lowest):
    scheme = numbers.Scheme(*draws)
    assert scheme.caught == rounded(2 / 3 * 4 / 5 / 2, 16)
    assert scheme.miss == 1 - Fraction(2, 3) * Fraction(4, 5) / 2
    assert scheme.miss == exact.miss_probability(*(getattr(scheme, letter) for letter in lowest))


# Of few taps, of many, of many responses, of many filters, and of all of them.
CASES = [
    SMALL,
    Case(Geometry((64, 3, 4), (2, 64, 3, 3), padding=1), 1),
    Case(Geometry((3, 32, 32), (4, 3, 5, 5)), 2),
    Case(Geometry((1, 3, 3), (60, 1, 2, 2)), 1),
    Case(Geometry((48, 20, 21), (2, 48, 3, 3)), 1),
]


def sums_of(case, scheme):
    """The largest sums of |products| of S with the bias, of ∂l/∂F and ∂l/∂X that a scheme allows."""
    g, x, f, b = case.geometry, scheme.X.magnitude, scheme.F.magnitude, scheme.G.magnitude
    p, q = scheme.F.share * g.taps, scheme.G.share * case.images * g.positions
    to_image = g.filters_per_group * min(math.prod(g.filters[2:]), p, q)
    return (p + 1) * x * f, q * b * x, to_image * b * f


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_sums_of_a_scheme_are_as_long_as_a_dtype_allows_and_no_longer(case, dtype):
    scheme, limit = numbers.scheme_of(case, dtype), exact.exact_limit(dtype)
    x, f, g = scheme.X, scheme.F, scheme.G
    assert max(sums_of(case, scheme)) <= limit
    assert x.entries == case.images * case.geometry.pixels
    assert f.entries == math.prod(case.geometry.filters)
    assert g.entries == case.images * math.prod(case.geometry.responses)
    # One more for F, of which the largest that others have is enough, or one more entry of a support is too much.
    assert (
        f.magnitude == max(x.magnitude, g.magnitude)
        or max(sums_of(case, dataclasses.replace(scheme, F=dataclasses.replace(f, magnitude=f.magnitude + 1)))) > limit
    )
    p = f.share * case.geometry.taps
    assert f.share == 1 or (p + 2) * x.magnitude > limit
    q = g.share * case.images * case.geometry.positions
    assert g.share == 1 or (q + 1) * g.magnitude * x.magnitude > limit


@pytest.mark.parametrize(
    ("case", "dtype", "scheme"),
    [
        (SMALL, "float64", (15817710, 15817710, 15817710, 1, 1)),
        (SMALL, "float16", (7, 7, 7, 1, 1)),
        (SMALL, "bfloat16", (2, 3, 3, 1, 1)),
        (CASES[1], "float16", (1, 3, 3, 1, 1)),
        (CASES[1], "bfloat16", (1, 1, 1, Fraction(85, 192), 1)),
        (CASES[2], "bfloat16", (1, 1, 1, 1, Fraction(8, 49))),
        (CASES[3], "float16", (4, 4, 2, 1, 1)),
        (CASES[4], "bfloat16", (1, 1, 1, Fraction(85, 144), Fraction(128, 171))),
        (Case(Geometry((2, 2, 2), (1, 2, 2, 2)), 5), "bfloat16", (4, 7, 9, 1, 1)),
        # Other magnitudes for other arrays, of few values alone.
        (Case(Geometry((3, 1, 3), (5, 3, 1, 1)), 2), "bfloat16", (6, 7, 7, 1, 1)),
        (Case(Geometry((2, 1, 2), (5, 2, 1, 1)), 1), "bfloat16", (7, 7, 7, 1, 1)),
        (Case(Geometry((140, 1, 1), (1, 140, 1, 1)), 1), "bfloat16", (2, 1, 2, Fraction(127, 140), 1)),
        (Case(Geometry((5, 3, 3), (40, 5, 3, 3)), 2), "bfloat16", (3, 1, 3, 1, 1)),
        (Case(Geometry((1, 2, 2), (8, 1, 2, 2)), 1), "bfloat16", (5, 5, 5, 1, 1)),
        (Case(Geometry((1, 3, 3), (8, 1, 3, 3)), 1), "bfloat16", (3, 3, 3, 1, 1)),
    ],
)
def test_the_scheme_that_misses_least(case, dtype, scheme):
    found = numbers.scheme_of(case, dtype)
    assert (found.X.magnitude, found.F.magnitude, found.G.magnitude, found.F.share, found.G.share) == scheme


def test_sums_that_no_integers_keep_exact_have_no_scheme():
    few, many = (Case(Geometry((1, 1, 1), (n, 1, 1, 1)), 1) for n in (256, 257))
    assert numbers.scheme_of(few, "bfloat16").caught > 0
    assert numbers.scheme_of(many, "bfloat16") is None
    assert numbers.miss_of(few, "bfloat16") == numbers.scheme_of(few, "bfloat16").miss


def test_the_probability_that_a_wrong_form_may_pass_at_a_layer():
    assert math.log2(numbers.TARGET) == -60
    assert numbers.MOST_DRAWS == 192


# draws ----------------------------------------------------------------------------------------------------------------


def test_draws_differ_by_seed_and_number_and_by_nothing_else():
    fixed = options_of(padding=((1, 0), (0, 2)), groups=2)
    first = numbers.draw(SMALL, fixed, 5)
    numbers.draw.cache_clear()
    for letter, array in numbers.draw(SMALL, fixed, 5).arrays.items():
        np.testing.assert_array_equal(array, first.arrays[letter])
    for other in (numbers.draw(SMALL, fixed, 6), numbers.draw(SMALL, fixed, 5, 1)):
        assert not any(np.array_equal(other.arrays[letter], first.arrays[letter]) for letter in "XFbG")
    assert {letter: array.shape for letter, array in first.arrays.items()} == SMALL.shapes
    assert first.geometry is SMALL.geometry


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "int32"])
def test_integers_of_a_magnitude(dtype):
    case = Case(Geometry((2, 9, 9), (20, 2, 3, 3)), 3)
    probe = numbers.integers(case, options_of(dtype=dtype), 3, np.random.default_rng(0))
    assert probe.dtype == numbers.dtype_of(dtype)
    assert probe.dtype == (ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype))
    for letter, most in {"X": 3, "F": 3, "G": 3, "b": 9}.items():
        found = set(np.unique(probe.arrays[letter]).astype(int).tolist())
        assert found <= set(range(-most, most + 1))
        assert len(found) == 7 if letter != "b" else max(map(abs, found)) > 3
    without = numbers.integers(case, options_of(bias=False), 3, np.random.default_rng(0))
    assert not without.b.any()


@pytest.mark.parametrize(("dtype", "least"), [("float64", -40), ("float32", -40), ("float16", -4), ("bfloat16", -4)])
def test_real_numbers_are_of_all_sizes_and_signs(dtype, least):
    case = Case(Geometry((2, 12, 12), (250, 2, 3, 3)), 1)
    probe = numbers.reals(case, options_of(dtype=dtype), np.random.default_rng(0))
    assert probe.what == REAL
    for array in (probe.X, probe.F, probe.b, probe.G):
        exponents = np.frexp(array.astype(float))[1] - 1
        # In half precision, what is next to 4 is rounded to 4.
        assert set(exponents.ravel().tolist()) - {2} == set(range(least, 2))
        assert {-1, 1} == set(np.sign(array.astype(float)).ravel().tolist())
        assert len(np.unique(np.abs(array.astype(float)) / 2.0**exponents)) > 100
    assert not numbers.reals(case, options_of(dtype=dtype, bias=False), np.random.default_rng(0)).b.any()


def test_a_support_is_of_its_share_of_each_filter():
    one = np.ones((1, 2, 3))
    numbers._keep_support(one, Fraction(1, 2), np.random.default_rng(0))
    assert one.sum() == 3
    for share, kept in ((Fraction(1, 2), 3), (Fraction(1, 6), 1), (Fraction(1), 6)):
        by_filter = np.ones((99, 2, 3))
        numbers._keep_support(by_filter, share, np.random.default_rng(0))
        assert set(by_filter.sum(axis=(1, 2))) == {kept}
        assert len(np.unique(by_filter.reshape(99, -1), axis=0)) == math.comb(6, kept)


def test_draws_are_as_large_as_their_scheme_in_every_array():
    scheme = numbers.Scheme(exact.Draw(2, 1), exact.Draw(3, 1), exact.Draw(4, 1, Fraction(1, 2)))
    case = Case(Geometry((2, 9, 9), (99, 2, 3, 3)), 1)
    probe = numbers.drawn(case, options_of(), scheme, np.random.default_rng(0))
    assert [np.abs(probe.arrays[letter]).max() for letter in "XFbG"] == [2, 3, 6, 4]
    assert probe.F.all(axis=(1, 2, 3)).any() or (probe.F != 0).mean() > 0.8
    assert ((probe.G != 0).sum(axis=(2, 3)) <= 25).all()


# what is right, and how far off it may be -----------------------------------------------------------------------------


def by_hand(probe):
    """The sums over all entries, each by its definition."""
    g, case = probe.geometry, probe.case
    (top, _), (left, _) = g.padding
    found = {"S": np.zeros_like(probe.G), "dX": np.zeros_like(probe.X), "dF": np.zeros_like(probe.F)}
    for image, i, r, c in np.ndindex(case.images, *g.responses):
        found["S"][image, i, r, c] = probe.b[i]
        for j, k, l in np.ndindex(*g.filters[1:]):
            plane = i // g.filters_per_group * g.planes_per_group + j
            at = image, plane, r * g.stride[0] + k * g.dilation[0] - top, c * g.stride[1] + l * g.dilation[1] - left
            if 0 <= at[2] < g.image[1] and 0 <= at[3] < g.image[2]:
                found["S"][image, i, r, c] += probe.X[at] * probe.F[i, j, k, l]
                found["dX"][at] += probe.G[image, i, r, c] * probe.F[i, j, k, l]
                found["dF"][i, j, k, l] += probe.G[image, i, r, c] * probe.X[at]
    return found | {"db": probe.G.sum(axis=(0, 2, 3))}


@pytest.mark.parametrize("dtype", ["float64", "int64"])
@pytest.mark.parametrize(
    "case",
    [SMALL, Case(Geometry((4, 7, 6), (6, 2, 2, 3), stride=(2, 3), padding=1, dilation=(3, 1), groups=2), 2)],
    ids=["padding", "steps"],
)
def test_what_is_right_by_the_definition(case, dtype):
    g = case.geometry
    fixed = options_of(stride=g.stride, padding=g.padding, dilation=g.dilation, groups=2, dtype=dtype)
    probe = numbers.draw(case, fixed, 0)
    right = by_hand(probe)
    found = sums.expected(probe)
    assert found.keys() == right.keys()
    for name, value in right.items():
        assert found[name].dtype == dtype
        np.testing.assert_array_equal(found[name], value)
    forward = sums.expected(probe, backward=False)
    assert forward.keys() == {"S"}
    np.testing.assert_array_equal(forward["S"], right["S"])


def test_half_precision_is_held_against_float64():
    probe = numbers.draw(SMALL, options_of(dtype="float16", padding=((1, 0), (0, 2)), groups=2), 0)
    assert {each.dtype for each in sums.expected(probe).values()} == {np.dtype("float64")}


def test_the_pixels_of_a_group_that_each_response_reads():
    table = sums.places(Geometry((4, 1, 3), (2, 2, 1, 2), padding=((0, 0), (0, 1)), groups=2))
    np.testing.assert_array_equal(table, [[1, 2, 4, 5], [2, 3, 5, 6], [3, 0, 6, 0]])
    table = sums.places(Geometry((1, 1, 5), (1, 1, 1, 2), stride=(1, 2), dilation=(1, 2)))
    np.testing.assert_array_equal(table, [[1, 3], [3, 5]])


def one_of(dtype, X=3, F=-2, b=5, G=-4):
    case = Case(Geometry((1, 1, 1), (1, 1, 1, 1)), 1)
    probe = numbers.draw(case, options_of(dtype=dtype), 0)
    shapes = case.shapes
    return probe.replaced(**{k: np.full(shapes[k], v, probe.dtype) for k, v in zip("XFbG", (X, F, b, G), strict=True)})


def test_rounding_bounds_are_of_the_sums_of_magnitudes():
    found = sums.rounding_bounds(one_of("float32"))
    for name, size in {"S": 11, "dX": 8, "dF": 12, "db": 4}.items():
        wanted = exact.rounding_bound(np.array([float(size)]), 3, "float32", against="float64")
        np.testing.assert_array_equal(found[name].ravel(), wanted)


def test_there_is_no_bound_on_sums_that_are_too_long_for_a_dtype():
    for taps, finite in ((253, True), (254, False)):
        case = Case(Geometry((1, 1, taps), (1, 1, 1, taps)), 1)
        probe = numbers.integers(case, options_of(dtype="bfloat16"), 1, np.random.default_rng(0))
        found = sums.rounding_bounds(probe)
        assert [np.isfinite(each).all() for each in found.values()] == [finite] * 4
        assert {name: each.shape for name, each in found.items()} == {
            "S": (1, 1, 1, 1), "dX": probe.X.shape, "dF": probe.F.shape, "db": (1,)
        }  # fmt: skip


def test_norms_are_products_of_lengths_and_the_largest_bias():
    assert {name: sums.norms(one_of("float32"), name) for name in sums.FACTORS} == {
        "S": 6 + 5, "dX": 8 + 5, "dF": 12 + 5, "db": 4 + 5
    }  # fmt: skip
    probe = numbers.draw(SMALL, options_of(padding=((1, 0), (0, 2)), groups=2), 0)
    lengths = [np.linalg.norm(probe.arrays[letter]) for letter in "XF"]
    # Squares, their sums and roots, on both sides.
    operations = 2 * (probe.X.size + probe.F.size + 6)
    assert sums.norms(probe, "S") == rounded(math.prod(lengths) + np.abs(probe.b).max(), operations)


def test_the_bound_of_fast_algorithms_counts_what_they_transform():
    probe = numbers.draw(SMALL, options_of(padding=((1, 0), (0, 2)), groups=2), 0)
    # Of a group: a padded plane of 4 · 6 pixels and 6 taps, and the longest sum, of 3 images of 3 · 4 responses.
    count = 24 + 6 + 36
    assert sums.transform_bound(53, probe.case) == count * 2.0**-53 / (1 - count * 2.0**-53)
    assert sums.transform_bound(7, probe.case) == count / 128 / (1 - count / 128)
    assert sums.transform_bound(6, probe.case) == sums.transform_bound(2, one_of("float32").case) == math.inf
    wide = Case(Geometry((4, 1, 64), (2, 2, 1, 1), groups=2), 1)
    probe = numbers.integers(wide, options_of(groups=2), 1, np.random.default_rng(0))
    count = 2 * 64 + 2 + 64
    assert sums.transform_bound(53, probe.case) == count * 2.0**-53 / (1 - count * 2.0**-53)


def test_slack_is_the_bound_times_the_norms_where_it_tells_right_from_wrong():
    padded = {"padding": ((1, 0), (0, 2)), "groups": 2}
    wide = numbers.draw(SMALL, options_of(**padded), 0)
    for name in sums.FACTORS:
        assert sums.slack(wide, name) == sums.transform_bound(53, wide.case) * sums.norms(wide, name)
    whole = numbers.draw(SMALL, options_of(dtype="int64", **padded), 0)
    assert {sums.slack(whole, name) for name in sums.FACTORS} == {0.0}
    # In half precision, errors of sums in float32 are accepted.
    half = numbers.draw(SMALL, options_of(dtype="float16", **padded), 0)
    for name in ("S", "dX", "dF"):
        assert sums.slack(half, name) == sums.transform_bound(24, half.case) * sums.norms(half, name) > 0


def test_slack_is_nothing_where_it_would_pass_wrong_forms():
    case = Case(Geometry((48, 20, 21), (2, 48, 3, 3)), 1)
    for dtype in ("bfloat16", "float16"):
        probe = numbers.draw(case, options_of(dtype=dtype), 0)
        assert {sums.slack(probe, name) for name in ("S", "dX", "dF")} == {0.0}


def test_what_a_draw_misses_beside_fast_algorithms():
    padded = {"padding": ((1, 0), (0, 2)), "groups": 2}
    whole = numbers.draw(SMALL, options_of(dtype="int64", **padded), 0)
    assert sums.near_miss(whole) == numbers.scheme_of(SMALL, "int64").miss
    probe = numbers.draw(SMALL, options_of(dtype="float32", **padded), 0)
    scheme, slacks = numbers.scheme_of(SMALL, "float32"), {name: sums.slack(probe, name) for name in sums.FACTORS}
    assert min(slacks.values()) > 0
    assert sums.near_miss(probe) == max(
        exact.miss_probability(*(getattr(scheme, letter) for letter in letters), slack=slacks[name])
        for name, letters in sums.FACTORS.items()
    )
    assert sums.near_miss(probe) > scheme.miss
    assert sums._near_miss(probe.case, str(probe.dtype), "S", math.inf) == 1
    # The largest norms that a draw can have, and the largest bias.
    x, f, g = (math.sqrt(each.entries) * each.magnitude for each in (scheme.X, scheme.F, scheme.G))
    bias = scheme.X.magnitude * scheme.F.magnitude
    assert sums._largest_norms(probe.case, str(probe.dtype), "S") == rounded(x * f + bias, 16)
    assert sums._largest_norms(probe.case, str(probe.dtype), "db") == rounded(g + bias, 16)
    lost = numbers.integers(Case(Geometry((1, 1, 2), (600, 1, 1, 1)), 1), options_of(), 1, np.random.default_rng(0))
    lost = lost.replaced(X=lost.X.astype(ml_dtypes.bfloat16), F=lost.F.astype(ml_dtypes.bfloat16))
    assert sums._near_miss(lost.case, str(lost.dtype), "S", 0.0) == 1
    assert sums._largest_norms(lost.case, str(lost.dtype), "S") == math.inf


# layers ---------------------------------------------------------------------------------------------------------------


def test_the_counts_of_a_case():
    assert SMALL.numbers == 3 * (24 + 4 * 3 * 4) + 24
    assert SMALL.bytes == 8 * (SMALL.numbers + (3 * 2 + 1) * 12 * 6)
    assert SMALL.terms == 36  # of ∂l/∂F: images · responses
    assert Case(Geometry((6, 2, 2), (1, 6, 2, 2)), 1).terms == 25  # of S: taps, and the bias
    assert Case(Geometry((1, 2, 2), (9, 1, 2, 2)), 1).terms == 36  # of ∂l/∂X: filters · taps of a plane
    assert SMALL.several is False
    assert Case(Geometry((4, 2, 3), (4, 2, 1, 2), groups=2), 2).several
    assert Case(Geometry((2, 3, 2), (2, 2, 2, 1)), 2).several


@pytest.mark.parametrize(
    ("images", "image", "filters"),
    [(1, (2, 2, 3), (2, 2, 1, 2)), (2, (1, 2, 3), (2, 1, 1, 2)), (2, (2, 2, 3), (1, 2, 1, 2)),
     (2, (2, 2, 3), (2, 2, 1, 1)), (2, (2, 1, 2), (2, 2, 1, 2))],
)  # fmt: skip
def test_what_has_one_of_something_has_not_several_of_everything(images, image, filters):
    assert not Case(Geometry(image, filters), images).several


def test_a_case_in_words():
    assert str(SMALL) == "X 3×2×3×4, F 4×1×2×3, stride 1, padding ((1, 0), (0, 2)), groups 2"
    case = Case(Geometry((2, 9, 8), (4, 2, 2, 3), stride=(2, 1), padding=(1, 2), dilation=(1, 2)), 3)
    assert str(case) == "X 3×2×9×8, F 4×2×2×3, stride (2, 1), padding (1, 2), dilation (1, 2)"
    assert case.written(parse("NHWC,HWIO->NHWC")).startswith("X 3×9×8×2, F 2×3×2×4, ")
    assert case.written(parse("HWC,HWIO->HWC")).startswith("X 3×9×8×2, F 2×3×2×4, ")
    assert dataclasses.replace(case, images=2).written(parse("HWC,HWIO->HWC")).startswith("X 2×9×8×2, F ")
    assert dataclasses.replace(case, images=1).written(parse("HWC,HWIO->HWC")).startswith("X 9×8×2, F ")
    assert case.text((7,)) == "X 7, F 4×2×2×3, stride (2, 1), padding (1, 2), dilation (1, 2)"


def test_options_in_words():
    assert str(options_of()) == "2 spatial axes, stride 1, padding 0, bias, float64"
    assert str(options_of(1, padding="same", dilation=2, bias=False)) == (
        "1 spatial axis, stride 1, padding same, dilation 2, float64"
    )
    for padding in (((0, 1), (1, 1)), ((1, 0), (1, 1))):
        assert f"padding {padding}" in str(options_of(padding=padding))
    assert "padding by a function" in str(options_of(padding=lambda image, taps: 0))
    assert options_of(stride=(2, 1), padding=((1, 0), (2, 2)), groups=2).name == "s2x1-p1_0x2-d1-g2"
    assert options_of(padding=((0, 1), (2, 1))).name == "s1-p0_1x2_1-d1-g1"
    assert options_of(padding="same-tf").name == "s1-psame-tf-d1-g1"
    assert options_of(padding=lambda image, taps: 0).name == "s1-pfunction-d1-g1"


def test_the_axes_of_arrays_and_of_what_is_like_them():
    fixed = dataclasses.replace(options_of(), layout="NHWC,HWIO->NHWC")
    assert {name: "".join(order.axes) for name, order in fixed.orders.items()} == {
        "X": "NHWC", "F": "HWIO", "S": "NHWC", "G": "NHWC", "dX": "NHWC", "dF": "HWIO"
    }  # fmt: skip
    assert options_of().orders == {}


def test_extents_and_zeros_by_rules():
    fixed = options_of(dilation=(1, 3))
    assert fixed.extent((4, 3)) == (4, 7)
    assert options_of(padding=((1, 2), (0, 3))).zeros((3, 3)) == ((1, 2), (0, 3))
    assert options_of(padding="same").zeros((4, 5)) == ((1, 2), (2, 2))
    assert options_of(padding="same-lower").zeros((4, 5)) == ((2, 1), (2, 2))
    tensorflow = options_of(padding="same-tf", stride=(2, 3))
    assert tensorflow.follows_image
    assert not options_of(padding="same").follows_image
    assert not options_of(padding="same-lower").follows_image
    assert not options_of().follows_image
    # The last window ends ⌈H / s⌉ steps from the first, with more zeros after than before.
    assert tensorflow.zeros((4, 5), (7, 7)) == ((1, 2), (2, 2))
    assert tensorflow.zeros((4, 5), (8, 8)) == ((1, 1), (1, 2))
    assert tensorflow.zeros((1, 1), (8, 8)) == ((0, 0), (0, 0))
    # Padding is asked for an image that is larger than any filter.
    assert options_of(padding=lambda image, taps: 0, dilation=500).zeros((3, 3)) == ((0, 0), (0, 0))
    by_function = options_of(padding=lambda image, taps: image[0] if image[0] < LARGE else taps[1])
    assert by_function.zeros((4, 5), (7, 8)) == ((7, 7), (7, 7))
    assert by_function.zeros((4, 5)) == ((5, 5), (5, 5))


@pytest.mark.parametrize("padding", [0, 1, "same", "same-lower", "same-tf", ((0, 2), (1, 0))], ids=str)
def test_the_layer_with_so_many_responses_and_such_a_tail(padding):
    steps = padding not in {"same", "same-lower"}
    fixed = options_of(stride=(2, 3) if steps else 1, padding=padding, dilation=(1, 2))
    case = fixed.case(3, 2, 4, (3, 2), (4, 5), (1, 2) if padding != "same-tf" else (0, 0))
    g = case.geometry
    assert (case.images, g.image[0], g.filters, g.responses) == (3, 2, (4, 2, 3, 2), (4, 4, 5))
    if padding != "same-tf" and steps:
        assert g.tail == (1, 2)
        longer = fixed.case(3, 2, 4, (3, 2), (4, 5), (9, 9))  # no more than a stride leaves
        assert longer.geometry.tail == (1, 2)
        assert fixed.case(3, 2, 4, (3, 2), (4, 5), (0, 0)).geometry.tail == (0, 0)
    assert g.padding == fixed.zeros((3, 2), g.image[1:])
    assert g == fixed.geometry(g.image, g.filters)


def test_padding_by_a_function_is_asked_for_images_until_the_responses_are_right():
    seen = []
    case = options_of(1, padding=lambda image, taps: seen.append(image[0]) or 3).case(1, 1, 1, (1,), (1,), (0,))
    assert case.geometry.image == (1, min(seen)) == (1, 1)
    # Of an image of 9, two zeros on each side leave 5, which has one; with that it has 7, which has one, too.
    fixed = options_of(1, padding=lambda image, taps: image[0] // 4)
    assert fixed.case(1, 1, 1, (1,), (9,), (0,)).geometry.responses == (1, 9)


def test_a_layer_without_an_image_is_none():
    # One with other taps is tried for code alone that is not for all layers.
    assert options_of(padding=2).case(1, 1, 1, (1, 3), (3, 3), (0, 0)) is None
    assert options_of(padding=2).case(1, 1, 1, (3, 3), (2, 2), (0, 0)) is None
    assert options_of(padding=2).case(1, 1, 1, (3, 3), (3, 3), (0, 0)).geometry.image == (1, 1, 1)
    assert options_of().layer(1, 1, 1, (3, 3), (2, 3)) is None
    found = options_of(groups=3).layer(2, 2, 4, (1, 2), (2, 3))
    assert (found.geometry.image, found.geometry.filters, found.images) == ((6, 2, 3), (12, 2, 1, 2), 2)


# layers that code is for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "fitted"),
    [
        (Only(), (3, 5, (4, 3))),
        (Only(odd=True), (3, 5, (5, 3))),
        (Only(square_filters=True), (3, 5, (3, 3))),
        (Only(one_plane=True), (1, 5, (4, 3))),
        (Only(planes=8), (4, 5, (4, 3))),
        (Only(filters=8), (3, 4, (4, 3))),
        (Only(planes=1, filters=1), (1, 1, (4, 3))),
        (Only(taps=(7, 1)), (3, 5, (7, 1))),
    ],
)
def test_sizes_are_fitted_to_what_is_fixed(only, fitted):
    assert only.fitted(3, 5, (4, 3), 2) == fitted


LAYER = Geometry((4, 6, 6), (6, 2, 3, 3), groups=2, padding=1)


@pytest.mark.parametrize(
    ("only", "allowed"),
    [
        (Only(), True),
        (Only(planes=4, filters=6, taps=(3, 3)), True),
        (Only(planes=2), False),
        (Only(filters=3), False),
        (Only(taps=(3, 1)), False),
        (Only(one_plane=True), False),
        (Only(odd=True, square_filters=True, square_images=True, even_padding=True), True),
        (Only(where=lambda geometry: geometry.groups == 2), True),
        (Only(where=lambda geometry: geometry.groups == 1), False),
    ],
)
def test_a_layer_is_allowed_or_not(only, allowed):
    assert only.allows(LAYER) is allowed


def test_restrictions_one_by_one():
    wide = Geometry((1, 6, 7), (1, 1, 3, 2), padding=((1, 0), (1, 1)))
    assert Only().allows(wide)
    for only in (Only(square_images=True), Only(square_filters=True), Only(odd=True), Only(even_padding=True)):
        assert not only.allows(wide)
        assert only.allows(LAYER)


def test_padding_that_is_uneven_in_either_way():
    for pair in ((1, 0), (0, 1)):
        layer = Geometry((1, 6, 6), (1, 1, 3, 3), padding=((1, 1), pair))
        assert not Only(even_padding=True).allows(layer)
        assert Only().allows(layer)


def test_joined_restrictions():
    both = Only(planes=2, odd=True).joined(Only(planes=3, filters=4, square_images=True))
    assert both == Only(planes=2, filters=4, odd=True, square_images=True)
    assert both.joined(None) == both


def test_layers_for_code_that_is_not_for_all():
    only = Only(square_filters=True, square_images=True, odd=True, one_plane=True)
    g = options_of(only=only).case(2, 3, 4, (2, 4), (3, 4), (0, 0)).geometry
    assert (g.image[0], g.filters[2:], g.image[1] == g.image[2]) == (1, (5, 5), True)
    # A predicate is tried with layers like these, and with usual filters.
    for where in (
        lambda g: g.filters[2] == g.filters[3],
        lambda g: g.filters[2:] == (7, 7),
        lambda g: g.filters[2:] == (1, 1) and g.image[0] == 3,
        lambda g: g.image[0] == 1 == g.filters[0] and g.image[1] == g.image[2],
    ):
        case = options_of(only=Only(where=where)).case(2, 3, 4, (2, 4), (3, 4), (0, 0))
        assert where(case.geometry)
    assert options_of(only=Only(where=lambda g: False)).case(2, 3, 4, (2, 4), (3, 4), (0, 0)) is None
    plain = options_of(only=Only(where=lambda g: True)).case(2, 3, 4, (2, 4), (3, 4), (0, 0))
    assert plain.geometry == options_of().case(2, 3, 4, (2, 4), (3, 4), (0, 0)).geometry


def test_what_is_made_square_or_odd():
    assert Only(square_images=True).sized((3, 5, 7)) == (7, 7, 7)
    assert Only().sized([3, 5, 7]) == (3, 5, 7)
    assert Only(square_filters=True).fitted(1, 1, (4, 2, 3), 1)[2] == (3, 3, 3)
    assert Only(odd=True).fitted(1, 1, (4, 2, 3), 1)[2] == (5, 3, 3)


@pytest.mark.parametrize(
    ("planes", "filters", "taps", "square"),
    [
        (3, 4, (2, 8), False),
        (3, 4, (8, 8), False),
        (3, 4, (3, 9), False),
        (3, 4, (9, 9), False),
        (3, 4, (9, 9), True),
        (1, 4, (2, 8), False),
        (1, 4, (9, 9), False),
        (1, 1, (9, 9), True),
        *((3, 4, (size, size), False) for size in (1, 2, 3, 4, 5, 7)),
    ],
)
def test_what_is_tried_for_a_predicate(planes, filters, taps, square):
    def where(g):
        return (g.image[0], g.filters[0], g.filters[2:], g.image[1] == g.image[2]) == (planes, filters, taps, square)

    case = options_of(only=Only(where=where)).case(2, 3, 4, (2, 8), (3, 4), (0, 0))
    assert where(case.geometry)


def test_an_image_of_one_pixel_behind_padding_that_depends_on_it():
    g = options_of(padding="same-tf").case(1, 1, 1, (3, 3), (1, 1), (0, 0)).geometry
    assert (g.image, g.responses[1:], g.padding) == ((1, 1, 1), (1, 1), ((1, 1), (1, 1)))


# options --------------------------------------------------------------------------------------------------------------


def test_options_are_normalised():
    fixed = options_of(stride=2, padding=(1, 0), dilation=(1, 2), groups=3, bias=False, dtype="float32")
    assert (fixed.stride, fixed.padding, fixed.dilation, fixed.groups) == ((2, 2), ((1, 1), (0, 0)), (1, 2), 3)
    assert (fixed.bias, fixed.dtype, fixed.rule, fixed.spatial_ndim) == (False, "float32", "same", 2)
    for rule in ("same", "same-lower", "same-tf"):
        fixed = options_of(padding=rule)
        assert (fixed.padding, fixed.rule) == (None, rule)
    assert options_of(padding="valid").padding == ((0, 0), (0, 0))
    assert (options_of(3).spatial_ndim, options_of().updates) == (3, False)
    # TensorFlow's rule knows strides, which the other two do not.
    assert options_of(padding="same-tf", stride=2).stride == (2, 2)


@pytest.mark.parametrize(
    "given",
    [
        {"spatial_ndim": 0},
        {"spatial_ndim": 4},
        {"groups": 0},
        {"bias": 1},
        {"dtype": "int8"},
        {"stride": 0},
        {"stride": (1, 1, 1)},
        {"padding": -1},
        {"padding": "full"},
        {"dilation": 0},
        {"padding": "same", "stride": 2},
        {"padding": "same-lower", "stride": 2},
    ],
    ids=str,
)
def test_options_that_no_code_has_are_refused(given):
    with pytest.raises((ValueError, TypeError), match=next(iter(given))):
        options_of(**given)
