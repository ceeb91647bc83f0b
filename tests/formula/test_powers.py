"""Sums of several products that are told apart by sums of powers modulo a prime."""

import itertools

import numpy as np
import pytest

from jacobians.evidence.exact import gamma
from jacobians.formula.powers import MOST, PRIMES, read_powers

COUNTS = (7, 11)
UNIT = float(gamma(10, "float64"))


def read(products, *, counted=None):
    """Read code that sums these (result, first, second, coefficient)."""
    result, first, second = (np.array(each) for each in list(zip(*products, strict=True))[:3])
    by = np.array([each[3] for each in products])

    def give(numbers):
        if counted is not None:
            counted.append(numbers)
        return np.bincount(result, by * numbers[0][first] * numbers[1][second], 5)

    return read_powers(give, COUNTS, 50, UNIT)


def as_read(found):
    places, by = found
    return sorted((*place, each) for place, each in zip(places.T.tolist(), by.tolist(), strict=True))


def drawn(lengths, by):
    generator = np.random.default_rng(3)
    for at, (length, each) in enumerate(zip(lengths, by, strict=True)):
        for pair in generator.choice(COUNTS[0] * COUNTS[1], length, replace=False):
            yield at, int(pair) % COUNTS[0], int(pair) // COUNTS[0], each


@pytest.mark.parametrize("by", [(1, 1, 1, 1), (0.25, -2, 1, 3), (1 / 3, 1 / 7, -1 / 9, 0.1)])
def test_sums_of_many_products_are_told_with_the_coefficient_of_each_sum(by):
    calls = []
    products = list(drawn((9, 6, 1, 12), by))
    found = as_read(read(products, counted=calls))
    assert [each[:3] for each in found] == sorted(each[:3] for each in products)
    # The coefficient is the sum of those of at most 12 products, divided by their number and multiplied by how often.
    rounded = float(gamma(12 + 2, "float64"))
    for each, right in zip(found, sorted(products), strict=True):
        assert abs(each[3] - right[3]) <= rounded * abs(right[3])
    assert len(calls) <= 13


def test_products_that_are_summed_several_times_are_so():
    products = [(0, 1, 2, 1.0), (0, 3, 4, 2.0), (0, 3, 5, 3.0), (2, 6, 10, 1.0)]
    assert as_read(read(products)) == products


@pytest.mark.parametrize(
    "products",
    [
        list(drawn((MOST + 1,), (1,))),
        [(0, 1, 2, 1.0), (0, 3, 4, -1.0), (0, 5, 6, 1.0)],
        [(0, 1, 2, 1.0), (0, 3, 4, 0.37)],
    ],
)
def test_too_many_products_of_other_signs_or_of_odd_ratios_are_not_told(products):
    assert read(products) is None


@pytest.mark.parametrize(("bits", "prime"), PRIMES.items())
def test_primes_are_prime_and_below_their_power_of_two(bits, prime):
    assert 2 ** (bits - 1) < prime < 2**bits
    assert all(prime % each for each in itertools.takewhile(lambda each: each**2 <= prime, itertools.count(2)))
