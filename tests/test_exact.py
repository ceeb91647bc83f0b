import itertools
from fractions import Fraction

import numpy as np
import pytest

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
    with pytest.raises(ValueError, match="terms is 2048, of which float16 has no rounding bound; use a wider dtype"):
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
