import itertools
from fractions import Fraction
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import sympy

from jacobians.evidence import exact


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_integers_up_to_the_limit_are_exact_and_beyond_are_not(dtype) -> None:
    limit, one = exact.exact_limit(dtype), np.dtype(dtype).type(1)
    assert int(np.dtype(dtype).type(limit - 1) + one) == limit
    assert int(np.dtype(dtype).type(limit) + one) == limit  # limit + 1 is rounded away
    assert exact.exact_limit("bfloat16" if dtype == "float16" else dtype) <= limit


@pytest.mark.parametrize(
    ("dtype", "terms"), [("float64", 27), ("float32", 9), ("float16", 4), ("int64", 1000), ("int8", 1)]
)
def test_the_magnitude_is_the_largest_that_stays_exact(dtype, terms) -> None:
    magnitude, limit = exact.exact_magnitude(dtype, terms), exact.exact_limit(dtype)
    assert terms * magnitude**2 <= limit < terms * (magnitude + 1) ** 2


def test_draws_are_distinct_within_range_and_repeatable() -> None:
    first, again = (exact.draw_integers(np.random.default_rng(7), (3, 4, 5), 100, "float32") for _ in range(2))
    assert (first == again).all()
    assert len(np.unique(first)) == 60
    assert np.abs(first).max() <= 100
    assert first.dtype == np.float32
    assert (first < 0).any()


def test_draws_repeat_values_where_there_are_too_few() -> None:
    drawn = exact.draw_integers(np.random.default_rng(7), (10, 10), 2, "float16")
    assert set(np.unique(drawn).tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}


def test_the_probability_bound_holds_by_counting_all_draws() -> None:
    """x1·y1 − x2·y1 of two different forms: count the draws of distinct entries at which it vanishes."""
    magnitude = 3
    values = range(-magnitude, magnitude + 1)
    draws = [(x, y) for x in itertools.permutations(values, 2) for y in values]
    for form in (lambda x, y: x[0] * y, lambda x, y: (x[0] + x[1]) * y, lambda x, y: (2 * x[0] - x[1]) * y):
        missed = Fraction(sum(form(x, y) == 0 for x, y in draws), len(draws))
        assert 0 < missed <= exact.miss_probability(exact.Draw(magnitude, 2), exact.Draw(magnitude, 1))


def test_the_probability_bound_counts_independent_entries_as_one() -> None:
    assert exact.miss_probability(exact.Draw(2, 100)) == Fraction(1, 5)
    assert exact.miss_probability(exact.Draw(0, 1)) == 1


def test_real_numbers_come_with_their_exact_values() -> None:
    for dtype in ("float64", "float32"):
        numbers, numerators, bits = exact.real_numbers(np.random.default_rng(1), (4, 3), dtype)
        assert numbers.dtype == dtype
        for number, numerator in zip(numbers.ravel(), numerators.ravel(), strict=True):
            assert Fraction(float(number)) == Fraction(int(numerator), 2**bits)
        assert len(np.unique(numbers)) == 12


def test_gamma_is_highams() -> None:
    u = Fraction(1, 2**24)
    assert exact.unit_roundoff("float32") == u
    assert exact.gamma(100, "float32") == 100 * u / (1 - 100 * u)
    with pytest.raises(ValueError, match="terms is 2048; float16 has no rounding bound for so many"):
        exact.gamma(2048, "float16")


def test_gamma_bounds_a_sum_that_is_as_bad_as_sums_get() -> None:
    """Adding 1 and then u·1 again and again in float16 loses every u."""
    terms = np.array([1.0] + [2.0**-11] * 30, np.float16)
    total = np.float16(0)
    for term in terms:
        total = total + term
    error = abs(Fraction(float(total)) - sum(map(Fraction, terms.tolist())))
    size = sum(map(Fraction, terms.tolist()))
    assert 0 < error <= exact.gamma(len(terms), "float16") * size
    assert error > exact.gamma(len(terms) // 2 - 4, "float16") * size


def test_integers_have_no_rounding_bound_but_zero() -> None:
    assert exact.gamma(10**6, "int64") == 0
    with pytest.raises(ValueError, match="Invalid integer data type"):
        exact.gamma(3, "bool")


def test_the_rounding_bound_is_exact_where_the_sizes_are() -> None:
    sizes = np.array([[3, 10**30], [0, 7]], object)
    bound = exact.rounding_bound(sizes, 5, "float32")
    assert (bound == sizes * exact.gamma(5, "float32")).all()
    assert all(isinstance(each, Fraction) for each in bound.flat)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_rounding_bound_in_float64_is_no_smaller_than_the_exact_one(dtype) -> None:
    """Sizes summed in the order that loses most are too small; the bound makes up for it."""
    terms = np.array([1.0] + [2.0**-54] * 1000)
    size = np.cumsum(terms)[-1]
    assert size == 1.0 < sum(map(Fraction, terms.tolist()))
    for against, share in ((None, 0), ("float64", exact.gamma(len(terms), "float64"))):
        right = sum(map(Fraction, terms.tolist())) * (exact.gamma(len(terms), dtype) + share)
        bound = Fraction(float(exact.rounding_bound([size], len(terms), dtype, against=against)[0]))
        assert right <= bound <= right * (1 + 3 * exact.gamma(len(terms), "float64"))


def test_the_rounding_bound_holds_and_a_wrong_term_is_beyond_it() -> None:
    numbers, numerators, bits = exact.real_numbers(np.random.default_rng(3), (2, 9), "float32")
    x, f = numbers
    right = Fraction(int(numerators[0] @ numerators[1]), 2 ** (2 * bits))
    bound = Fraction(float(exact.rounding_bound(np.abs(x) @ np.abs(f).astype(float), 9, "float32")))
    assert 0 < abs(Fraction(float(x @ f)) - right) <= bound
    assert abs(Fraction(float(x[:-1] @ f[:-1])) - right) > bound


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_the_bound_of_a_float64_size_is_the_least_that_makes_up_for_its_roundings(dtype):
    """The size may be too small by 1 − γ_N, and each of three roundings more takes away at most a factor of 1 − u."""
    u = exact.unit_roundoff("float64")
    for terms in range(1, 100):
        bound = Fraction(float(exact.rounding_bound([1.0], terms, dtype)[0]))
        needed = exact.gamma(terms, dtype) / (1 - exact.gamma(terms, "float64")) / (1 - u) ** 2
        assert needed <= bound <= needed * (1 + Fraction(5, 2) * u)


def test_the_precisions_are_those_of_the_dtypes():
    for name, bits in exact.SIGNIFICAND.items():
        assert ml_dtypes.finfo(name).nmant + 1 == bits


def test_powers_and_logarithms_are_as_accurate_as_numpys_own_tests_demand():
    """NumPy ships its tests' table of arguments, results and the units in the last place by which each may be off."""
    tables = [Path(np.__file__).parent / f"_core/tests/data/umath-validation-set-{name}.csv" for name in ("exp", "log")]
    if not all(table.exists() for table in tables):
        pytest.skip("this NumPy was installed without its tests")
    lines = [line for table in tables for line in table.read_text("utf-8").splitlines() if line.startswith("np.float")]
    assert max(int(line.split(",")[3]) for line in lines) == exact.ULPS


@pytest.mark.parametrize("arrays", [1, 2, 3])
def test_a_slack_is_shared_by_the_arrays_and_rounded_up(arrays):
    """Of the same draw k times the miss says t: caught is (1 − (2t + 1)/m)^k, a power of a fraction."""
    m = 10**9 + 1
    for slack in (0.0, 1.0, 8.0, 10.0, 1 / 3, 2.5, 64.0, 1e6 / 7):
        miss = exact.miss_probability(*[exact.Draw(m // 2, 1)] * arrays, slack=slack)
        low, high = ((2 * Fraction(slack ** (1 / arrays)) * each + 1) / m for each in (1, 1 + Fraction(1, 2**49)))
        assert 1 - (1 - low) ** arrays <= miss <= 1 - (1 - high) ** arrays
        t = (1 - _root(1 - miss, arrays)) * m / 2 - Fraction(1, 2)
        assert t**arrays >= slack
    assert (
        exact.miss_probability(*[exact.Draw(m // 2, 1)] * arrays, slack=2.0**arrays) == 1 - Fraction(m - 5, m) ** arrays
    )


def _root(number, k):
    """The root of a fraction that is a k-th power."""
    parts = [sympy.integer_nthroot(each, k) for each in number.as_integer_ratio()]
    assert all(exactly for _, exactly in parts)
    return Fraction(int(parts[0][0]), int(parts[1][0]))


@pytest.mark.parametrize("arrays", [1, 2, 3])
def test_what_a_bound_does_not_tell_apart_is_missed_for_sure(arrays):
    """Where the slack is wider than all draws, nothing is caught, whatever the number of arrays."""
    assert exact.miss_probability(*[exact.Draw(1, 1)] * arrays, slack=1e12) == 1


def test_not_a_number_never_equals() -> None:
    assert exact.first_difference([1.0, np.nan], [1.0, np.nan]) == (1, 1)
    assert exact.first_difference([1, 2], [1, 2]) is None
    assert exact.first_difference([1, 2, 3], [3, 2, 1]) == (0, 2)
    assert exact.first_difference([1, 2, 3], [1, 2]) == (0, 3)
    assert exact.first_difference([1, 2], [1, 2, 3]) == (0, 3)
