"""Reading products out of code whose products are known: which ones, in how many calls, with which numbers.

The calls of a row are measured, and a checksum stands for the numbers that the code is given: an audit gives the same
ones in every run. Where a change takes fewer calls, measure anew.
"""

import dataclasses
import itertools
import math
import zlib
from fractions import Fraction

import numpy as np
import pytest

from jacobians import Geometry, ShapeError
from jacobians.evidence import exact
from jacobians.formula import products
from jacobians.formula.digits import _calls, read_groups
from jacobians.formula.products import Reading, Unreadable, Way, layers, read_products, ways
from jacobians.formula.relation import Coefficient
from jacobians.formula.structure import FACTORS, Layer, Structure, right, sizes_of
from jacobians.formula.sums import read_sums

OPTIONS = {"stride": (2, 1), "padding": ((1, 0), (0, 1))}
PLAIN, GROUPED = Structure(2, 1), Structure(2, 2)
LAYER = Layer(Geometry((2, 5, 4), (3, 2, 3, 2), **OPTIONS), 2)
ONE = Layer(Geometry((1, 3, 3), (2, 1, 2, 2), **OPTIONS), 1)
FEWER = Layer(Geometry((2, 5, 4), (2, 2, 3, 2), **OPTIONS), 1)
MANY = Layer(Geometry((1, 2, 1), (24, 1, 1, 1)), 1)
TWO_GROUPS = Layer(Geometry((4, 3, 3), (4, 2, 2, 1), groups=2, **OPTIONS), 2)


class Code:
    """Code that sums given products, and keeps what it was given."""

    def __init__(self, formula, dtype="float64", change=None):
        self.formula, self.dtype, self.change, self.given = formula, dtype, change, []

    def __call__(self, layer, arrays):
        self.given.append(b"".join(letter.encode() + arrays[letter].tobytes() for letter in sorted(arrays)))
        zeros = {letter: np.zeros(shape) for letter, shape in layer.shapes.items()}
        given = {letter: each.astype(self.dtype) for letter, each in (zeros | arrays).items()}
        value = self.formula.predict(sizes_of(layer), given).astype(self.dtype)
        return value if self.change is None else self.change(value, given)

    @property
    def numbers(self):
        return zlib.crc32(b"".join(self.given))


def formula(result, structure=PLAIN, **changes):
    found = right(result, structure, LAYER.geometry)
    return dataclasses.replace(found, terms=(dataclasses.replace(found.terms[0], **changes),))


def per_entry(value, given):
    """Other coefficients in each entry of the result."""
    return value * (np.arange(value.size).reshape(value.shape) % 7 + 1) / 3


# Result, layer, precision, ways to tell by digits, coefficient, change of the result: calls, checksum, way that served.
READ = [
    ("S", LAYER, "float64", (), "1", None, 14, 1818319564, None),
    ("S", LAYER, "float64", (0,), "1", None, 5, 1263777268, 0),
    ("S", LAYER, "float64", (1,), "1", None, 9, 4286093464, 1),
    ("S", LAYER, "float64", (2,), "1", None, 9, 1510029401, 2),
    ("S", LAYER, "float64", (3,), "1", None, 14, 487713095, 3),
    ("S", LAYER, "float32", (), "1", None, 24, 1697508800, None),
    ("S", LAYER, "float32", (0,), "1", None, 8, 3460990448, 0),
    ("S", LAYER, "int32", (), "1", None, 12, 1056195215, None),
    ("S", LAYER, "int32", (0,), "1", None, 7, 266640047, 0),
    ("S", LAYER, "int64", (), "1", None, 12, 836320174, None),
    ("S", LAYER, "int64", (0,), "1", None, 5, 1263777268, 0),
    ("S", FEWER, "float32", (), "1", None, 24, 615608307, None),
    ("S", FEWER, "int32", (), "1", None, 12, 3031043548, None),
    ("S", LAYER, "float16", (0,), "1", None, 20, 1546801520, 0),
    ("S", LAYER, "float64", (), "-1", None, 14, 1818319564, None),
    ("S", LAYER, "float64", (0, 1), "-1", None, 5, 1263777268, 0),
    ("S", LAYER, "float64", (), "3", None, 14, 1818319564, None),
    ("S", LAYER, "float64", (0, 1), "3", None, 5, 1913000951, 0),
    ("S", LAYER, "float64", (), "1/3", None, 14, 1818319564, None),
    ("S", LAYER, "float64", (0, 1), "1/3", None, 5, 1913000951, 0),
    ("S", LAYER, "float64", (), "7/40", None, 14, 1818319564, None),
    ("S", LAYER, "float64", (0, 1), "7/40", None, 5, 1913000951, 0),
    ("S", LAYER, "float32", (0,), "1/3", None, 11, 844196495, 0),
    ("S", TWO_GROUPS, "float64", (), "1", None, 10, 2592437627, None),
    ("S", TWO_GROUPS, "float64", (0,), "1", None, 4, 3524148475, 0),
    ("S", ONE, "float64", (), "1", None, 6, 1404084478, None),
    ("S", ONE, "int32", (), "1", None, 4, 2210809499, None),
    ("S", ONE, "float64", (), "1", per_entry, 6, 1404084478, None),
    ("S", ONE, "float32", (), "2", per_entry, 6, 3763829422, None),
    ("S", LAYER, "float64", (), "1", per_entry, 14, 1818319564, None),
    ("dX", LAYER, "float64", (), "1", None, 14, 676493791, None),
    ("dX", LAYER, "float64", (0,), "1", None, 6, 545053124, 0),
    ("dX", LAYER, "float64", (1,), "1", None, 6, 3324678425, 1),
    ("dX", LAYER, "float64", (2,), "1", None, 8, 2707166600, 2),
    ("dX", LAYER, "float64", (3,), "1", None, 9, 2118982620, 3),
    ("dX", LAYER, "float32", (), "1", None, 36, 1632467150, None),
    ("dX", LAYER, "float32", (0,), "1", None, 10, 525206765, 0),
    ("dX", LAYER, "int32", (), "1", None, 18, 2865509529, None),
    ("dX", LAYER, "int32", (0,), "1", None, 9, 2618574804, 0),
    ("dX", LAYER, "int64", (), "1", None, 18, 1676768433, None),
    ("dX", LAYER, "int64", (0,), "1", None, 6, 545053124, 0),
    ("dX", FEWER, "float32", (), "1", None, 12, 2533813810, None),
    ("dX", FEWER, "int32", (), "1", None, 12, 1632087812, None),
    ("dX", LAYER, "float64", (), "-1", None, 14, 676493791, None),
    ("dX", LAYER, "float64", (0, 1), "-1", None, 6, 545053124, 0),
    ("dX", LAYER, "float64", (), "3", None, 14, 676493791, None),
    ("dX", LAYER, "float64", (0, 1), "3", None, 6, 2394404671, 0),
    ("dX", LAYER, "float64", (), "1/3", None, 14, 676493791, None),
    ("dX", LAYER, "float64", (0, 1), "1/3", None, 6, 2394404671, 0),
    ("dX", LAYER, "float64", (), "7/40", None, 14, 676493791, None),
    ("dX", LAYER, "float64", (0, 1), "7/40", None, 6, 2394404671, 0),
    ("dX", LAYER, "float32", (0,), "1/3", None, 14, 3728061104, 0),
    ("dX", TWO_GROUPS, "float64", (), "1", None, 9, 855418342, None),
    ("dX", TWO_GROUPS, "float64", (0,), "1", None, 4, 4200366634, 0),
    ("dX", ONE, "float64", (), "1", None, 6, 2963772386, None),
    ("dX", ONE, "int32", (), "1", None, 8, 780894203, None),
    ("dX", ONE, "float64", (), "1", per_entry, 6, 2963772386, None),
    ("dX", ONE, "float32", (), "2", per_entry, 14, 1151070062, None),
    ("dX", LAYER, "float64", (), "1", per_entry, 14, 676493791, None),
    ("dF", LAYER, "float64", (), "1", None, 18, 1085919995, None),
    ("dF", LAYER, "float64", (0,), "1", None, 6, 587209431, 0),
    ("dF", LAYER, "float64", (1,), "1", None, 9, 3314973520, 1),
    ("dF", LAYER, "float64", (2,), "1", None, 10, 284474895, 2),
    ("dF", LAYER, "float64", (3,), "1", None, 14, 2039102838, 3),
    ("dF", LAYER, "float32", (), "1", None, 32, 927082168, None),
    ("dF", LAYER, "float32", (0,), "1", None, 11, 2765864990, 0),
    ("dF", LAYER, "int32", (), "1", None, 16, 1080524286, None),
    ("dF", LAYER, "int32", (0,), "1", None, 8, 2819274607, 0),
    ("dF", LAYER, "int64", (), "1", None, 16, 353007502, None),
    ("dF", LAYER, "int64", (0,), "1", None, 6, 587209431, 0),
    ("dF", FEWER, "float32", (), "1", None, 16, 3118776574, None),
    ("dF", FEWER, "int32", (), "1", None, 8, 3105542462, None),
    ("dF", LAYER, "float16", (0,), "1", None, 26, 2911471669, 0),
    ("dF", LAYER, "float64", (), "-1", None, 18, 1085919995, None),
    ("dF", LAYER, "float64", (0, 1), "-1", None, 6, 587209431, 0),
    ("dF", LAYER, "float64", (), "3", None, 18, 1085919995, None),
    ("dF", LAYER, "float64", (0, 1), "3", None, 7, 3196526752, 0),
    ("dF", LAYER, "float64", (), "1/3", None, 18, 1085919995, None),
    ("dF", LAYER, "float64", (0, 1), "1/3", None, 7, 3196526752, 0),
    ("dF", LAYER, "float64", (), "7/40", None, 18, 1085919995, None),
    ("dF", LAYER, "float64", (0, 1), "7/40", None, 7, 3196526752, 0),
    ("dF", LAYER, "float32", (0,), "1/3", None, 14, 1157938888, 0),
    ("dF", TWO_GROUPS, "float64", (), "1", None, 14, 2848920958, None),
    ("dF", TWO_GROUPS, "float64", (0,), "1", None, 6, 3812824078, 0),
    ("dF", ONE, "float64", (), "1", None, 8, 1213379019, None),
    ("dF", ONE, "int32", (), "1", None, 6, 1156446182, None),
    ("dF", ONE, "float64", (), "1", per_entry, 8, 1213379019, None),
    ("dF", ONE, "float32", (), "2", per_entry, 11, 2531548575, None),
    ("dF", LAYER, "float64", (), "1", per_entry, 18, 1085919995, None),
    ("S", FEWER, "float32", (), "2", None, 24, 615608307, None),
    ("dF", ONE, "int32", (), "2", None, 6, 1156446182, None),
    ("S", FEWER, "float32", (), "-1", None, 24, 615608307, None),
    ("dF", ONE, "int32", (), "-1", None, 6, 1156446182, None),
    ("S", FEWER, "float32", (), "1/2", None, 24, 615608307, None),
    ("S", FEWER, "float32", (), "3", None, 26, 528124240, None),
    ("dF", ONE, "int32", (), "3", None, 7, 1404396255, None),
    ("S", FEWER, "float32", (), "-2", None, 26, 528124240, None),
    ("dF", ONE, "int32", (), "-2", None, 7, 1404396255, None),
    ("S", MANY, "float32", (), "1", None, 2, 1075276117, None),
    ("S", MANY, "int32", (), "1", None, 1, 691863946, None),
    ("S", MANY, "float32", (0,), "1", None, 4, 564998759, 0),
    ("dX", MANY, "float32", (), "1", None, 48, 2215854001, None),
    ("db", LAYER, "float64", (), "1", None, 3, 3420762151, None),
    ("db", LAYER, "float32", (), "1", None, 5, 1129933750, None),
    ("db", LAYER, "int32", (), "1", None, 4, 2242020885, None),
    ("db", LAYER, "float64", (), "1/3", None, 3, 3420762151, None),
    ("db", LAYER, "float32", (), "1/3", None, 5, 1129933750, None),
    ("db", LAYER, "float64", (), "-3", None, 3, 3420762151, None),
    ("db", TWO_GROUPS, "float64", (), "1", None, 4, 1094609854, None),
    ("db", LAYER, "float64", (), "1", per_entry, 6, 4165287016, None),
]


@pytest.mark.parametrize(("result", "layer", "dtype", "first", "number", "change", "calls", "numbers", "served"), READ)
def test_products_are_read_in_so_many_calls(result, layer, dtype, first, number, change, calls, numbers, served):
    structure = GROUPED if layer.geometry.groups > 1 else PLAIN
    wanted = formula(result, structure, coefficient=Coefficient(Fraction(number)))
    code, letters = Code(wanted, dtype, change), FACTORS[result]
    every = ways(result, letters, structure)
    reading = read_products(code, layer, result, letters, dtype, structure, [every[at] for at in first])
    places, by = wanted.terms[0].products(reading.sizes)
    by = by * (places[0] % 7 + 1) / 3 if change else by
    mine, theirs = (np.lexsort(each) for each in (reading.places, places))
    assert np.array_equal(reading.places[:, mine], places[:, theirs])
    unit = float(exact.gamma(products.ROUNDINGS, dtype)) if dtype in exact.SIGNIFICAND else 0
    np.testing.assert_allclose(reading.coefficients[mine], by[theirs], rtol=unit, atol=0)
    assert (reading.way and every.index(reading.way), len(code.given), code.numbers) == (served, calls, numbers)
    assert reading.shape == tuple(each.at(reading.sizes) for each in wanted.shape)


def test_what_is_no_sum_of_products_is_not_read():
    letters = FACTORS["S"]

    def read(change, layer=ONE, dtype="float64", **more):
        return read_products(Code(formula("S"), dtype, change), layer, "S", letters, dtype, PLAIN, **more)

    for change in (lambda S, given: S**2, lambda S, given: np.abs(S - 50), lambda S, given: S + given["F"].sum()):
        with pytest.raises(Unreadable, match="not linear"):
            read(change)
    calls = itertools.count(0)
    assert read(lambda S, given: S[:, :, : 1 + next(calls) % 2]) is None
    assert read(lambda S, given: S[:, :, : 2 - next(calls) % 2], dtype="int32") is None
    assert read(lambda S, given: S[:, :, : 1 + next(calls) % 2], dtype="int32") is None
    assert read(lambda S, given: S * np.nan if next(calls) > 4 else S) is None
    assert read_products(lambda layer, arrays: None, ONE, "S", letters, "float64", PLAIN) is None
    # Groups of entries of F: one per plane and tap; where powers do not tell, one after the other is given.
    uneven = lambda S, given: np.round(S, 0)  # noqa: E731
    assert isinstance(read(uneven, dtype="int32", most=4), Reading)
    assert read(uneven, dtype="int32", most=3) is None


@pytest.mark.parametrize(("taps", "is_read"), [(200, True), (201, False)])
def test_at_most_two_hundred_groups_are_given_one_after_the_other(taps, is_read):
    long = Layer(Geometry((1, taps), (1, 1, taps)), 1)
    reading = read_products(lambda layer, arrays: np.zeros(1), long, "S", ("F", "X"), "int32", Structure(1, 1))
    assert (reading is not None) == is_read


def test_several_products_of_one_sum_are_told_by_giving_fewer():
    """Every pixel of an image times every tap, in one entry, in whole numbers, which powers do not tell."""
    calls = []

    def call(layer, arrays):
        calls.append(1)
        zeros = {letter: np.zeros(shape) for letter, shape in layer.shapes.items()} | arrays
        return np.full((1, 1), zeros["F"].sum() * zeros["X"].sum(), dtype=np.int64)

    reading = read_products(call, ONE, "S", ("F", "X"), "int32", PLAIN)
    taps, pixels = (math.prod(ONE.shapes[letter]) for letter in "FX")
    assert sorted(map(tuple, reading.places.T.tolist())) == [(0, *each) for each in np.ndindex(taps, pixels)]
    assert set(reading.coefficients.tolist()) == {1.0}
    assert len(calls) == 208


# Sums of entries ------------------------------------------------------------------------------------------------------


def table(rows, count, values, seed=1):
    return np.random.default_rng(seed).choice(values, (rows, count))


@pytest.mark.parametrize(
    ("values", "count", "scale", "calls"),
    [
        ((0, 1), 20, 1.0, 2),
        ((0, 1), 51, -0.5, 3),
        ((0, 1), 1449, 1.0, 30),
        ((-3, 0, 1, 3), 20, 1.0, 4),
        ((-4, 0, 3), 16, 1.0, 3),
        ((-4, 0, 3), 17, 1 / 3, 4),
        ((-16, 0, 15), 20, 1.0, 6),
        ((-1, 0), 20, 2.0, 4),
    ],
)
def test_sums_are_told_by_digits(values, count, scale, calls):
    wanted, given = table(6, count, values), []

    def give(numbers):
        given.append(numbers)
        return scale * (wanted @ numbers)

    places, by = read_sums(give, count, 50, float(exact.gamma(10, "float64")), scale)
    found = np.zeros(wanted.shape)
    found[tuple(places)] = by
    assert np.array_equal(found, scale * wanted)
    assert np.all(by != 0)
    assert len(given) == calls
    assert all(np.array_equal(each, np.rint(each)) and each.min() >= 0 for each in given)
    assert all(np.abs(wanted).max() * each.max() <= 2.0**53 for each in given)
    # The last draw tells that the sums are these: as large numbers as there is room for.
    last = np.abs(wanted) @ given[-1]
    assert given[-1].min() >= 1
    assert 2.0**44 < last.max() <= 2.0**50


def test_numbers_that_confirm_sums_are_as_large_as_there_is_room_for():
    given = []
    places, _ = read_sums(lambda numbers: given.append(numbers) or numbers, 40, 50, 0.0, 1.0)
    assert places.tolist() == [[*range(40)]] * 2
    assert 2.0**49 < given[-1].max() < 2.0**50
    few = []
    assert read_sums(lambda numbers: few.append(numbers) or numbers.sum(keepdims=True), 200, 8, 0.0, 1.0)
    assert set(few[-1].tolist()) == {1, 2}


@pytest.mark.parametrize(
    "code",
    [
        lambda numbers, wanted: None,
        lambda numbers, wanted: wanted @ numbers / 2,
        lambda numbers, wanted: 20 * wanted @ numbers,
        lambda numbers, wanted: (wanted @ numbers) ** 2,
        lambda numbers, wanted: wanted @ np.minimum(numbers, 2.0**19),
        lambda numbers, wanted: wanted @ numbers * 2.0**43,
        lambda numbers, wanted: -(wanted @ numbers) * 2.0**43,
        lambda numbers, wanted: wanted @ numbers * (1 + 2.0**-20),
        lambda numbers, wanted: None if np.count_nonzero(numbers) > 1 and numbers.min() > 0 else wanted @ numbers,
    ],
)
def test_what_is_no_sum_of_entries_is_none(code):
    wanted = table(6, 20, (0, 1))
    assert read_sums(lambda numbers: code(numbers, wanted), 20, 50, float(exact.gamma(10, "float64")), 1.0) is None


def test_sums_that_are_no_whole_numbers_are_not_confirmed():
    """Twenty digits of 50 bits take one call, of three or five bits each two."""
    calls = []
    assert read_sums(lambda numbers: calls.append(1) or numbers / 2, 20, 50, 2.0**-50, 1.0) is None
    assert len(calls) == 5


def test_sums_that_take_too_many_calls_are_none():
    calls = []
    assert read_sums(calls.append, 1451, 50, 0.0, 1.0) is None
    assert calls == []


@pytest.mark.parametrize(
    ("change", "scale"),
    [
        (lambda value: value * 3.0, 3.0),
        (lambda value: value / -3.0, -1 / 3),
        (lambda value: np.where(np.arange(len(value)) == 1, 5 * value, 2 * value), 2.0),
    ],
)
def test_the_common_factor_is_that_of_a_single_entry(change, scale):
    def call(layer, arrays):
        return change(arrays["G"].sum(axis=(0, 2, 3)))

    reading = read_products(call, LAYER, "db", ("G",), "float64", PLAIN)
    own = reading.places[1] // math.prod(LAYER.shapes["G"][2:]) % 3
    assert np.array_equal(own, reading.places[0])
    assert len(own) == math.prod(LAYER.shapes["G"])
    by = np.where(own == 1, 5.0, 2.0) if scale == 2.0 else np.full(len(own), scale)
    np.testing.assert_allclose(reading.coefficients, by, rtol=float(exact.gamma(10, "float64")), atol=0)


@pytest.mark.parametrize(("at", "calls"), [(0, 3), (-1, 4), (0.5, 5)])
def test_the_common_factor_is_that_of_the_first_the_last_or_the_middle_entry(at, calls):
    """Besides, calls give the digits, and the draw that confirms them."""
    given, count = [], math.prod(LAYER.shapes["G"])
    wanted = int(at * count) if at > 0 else at % count

    def call(layer, arrays):
        given.append(1)
        return arrays["G"].reshape(-1)[wanted : wanted + 1] / 3

    reading = read_products(call, LAYER, "db", ("G",), "float64", PLAIN)
    assert reading.places.tolist() == [[0], [wanted]]
    assert reading.coefficients.tolist() == [1 / 3]
    assert len(given) == calls


def test_sums_of_whole_numbers_are_exact():
    def call(layer, arrays):
        value = arrays["G"].sum(axis=(0, 2, 3))
        # Of the digits and of single entries right, of the draw that confirms them off by little.
        return value + (np.count_nonzero(arrays["G"] == 1) == 0)

    with pytest.raises(Unreadable, match="not linear"):
        read_products(call, LAYER, "db", ("G",), "int32", PLAIN)


def test_a_single_entry_that_gives_nothing_has_no_factor():
    def call(layer, arrays):
        return None if np.count_nonzero(arrays["G"]) == 1 else arrays["G"].sum(axis=(0, 2, 3))

    reading = read_products(call, LAYER, "db", ("G",), "float64", PLAIN)
    assert set(reading.coefficients.tolist()) == {1.0}
    assert reading.places.shape == (2, math.prod(LAYER.shapes["G"]))


@pytest.mark.parametrize(
    ("letters", "dtype"), [(("F", "X"), "int32"), (("F", "X"), "float64"), (("X",), "float64"), ((), "float64")]
)
def test_code_that_gives_zeros_has_no_products(letters, dtype):
    reading = read_products(lambda layer, arrays: np.zeros((2, 3)), ONE, "S", letters, dtype, PLAIN)
    assert reading.places.shape == (1 + len(letters), 0)
    assert (reading.shape, reading.letters, reading.way) == ((2, 3), letters, None)


def test_a_constant_is_a_product_of_no_factors():
    calls = []

    def call(layer, arrays):
        calls.append(arrays)
        return np.array([[0.0, -2.5]])

    reading = read_products(call, ONE, "S", (), "float64", PLAIN)
    assert (reading.places.tolist(), reading.coefficients.tolist()) == ([[1]], [-2.5])
    assert calls == [{}] * 2


# Products of groups ---------------------------------------------------------------------------------------------------

GROUPS = [np.arange(12).reshape(4, 3)[at] for at in (2, 0, 3, 1)]


def grouped(seed=0, second=7, rows=9, least=0):
    """Products of each entry of a result: one of each group at most, with any entry of the second factor."""
    generator = np.random.default_rng(seed)
    return [
        (row, int(group[generator.integers(len(group))]), int(generator.integers(second)))
        for row in range(rows)
        for group in GROUPS
        if generator.integers(4) >= least
    ]


def sums(products, scale=1.0, rows=9, given=None):
    place, one, two = (np.array(each) for each in zip(*products, strict=True))

    def give(numbers):
        if given is not None:
            given.append(numbers)
        return scale * np.bincount(place, numbers[0][one] * numbers[1][two], rows)

    return give


@pytest.mark.parametrize(
    ("scale", "bits", "second", "calls"),
    [
        (1.0, 50, 7, 3),
        (1.0, 6, 7, 5),
        (1.0, 5, 7, 9),
        (-0.25, 50, 7, 3),
        (1 / 3, 50, 7, 3),
        (3.0, 12, 7, 5),
        (3.0, 5, 7, 9),
        (1.0, 12, 8, 4),
        (1.0, 50, 1, 3),
    ],
)
def test_products_of_groups_are_told_by_digits(scale, bits, second, calls):
    wanted, given = grouped(second=second, least=1), []
    places, by = read_groups(sums(wanted, scale, given=given), GROUPS, (12, second), bits, 20)
    assert by == scale
    assert sorted(map(tuple, places.T.tolist())) == sorted(wanted)
    assert len(given) == calls
    assert all(np.array_equal(each, np.rint(each)) for numbers in given for each in numbers)
    top = max(float(numbers[0].max() * numbers[1].max()) for numbers in given)
    assert top < 2.0 ** max(bits, 4)


def test_calls_for_groups_are_counted_beforehand():
    wanted, given = grouped(), []
    # Three bits for seven entries and for six numbers of a group; six bits of twelve are left where a factor rounds.
    for most, bits in ((2, 50), (4, 6), (8, 5)):
        assert read_groups(sums(wanted), GROUPS, (12, 7), bits, most) is not None
        assert read_groups(sums(wanted, given=given), GROUPS, (12, 7), bits, most - 1) is None
    wide = list(np.arange(20).reshape(4, 5))
    # Numbers up to ten have four bits.
    assert read_groups(sums(wanted, given=given), wide, (20, 7), 12, 2) is None
    assert given == []
    assert [_calls(4, many, 12) for many in (1, 2, 7, 8, 4095, 4096)] == [1, 1, 1, 2, 4, 4]


def twice(products):
    return [*products, products[0]]


@pytest.mark.parametrize(
    ("products", "change"),
    [
        (twice(grouped()), lambda value, call: value),
        ([*grouped(), (8, *next(each[1:] for each in grouped() if each[0] == 0))], lambda value, call: value),
        (grouped(), lambda value, call: None if call == 0 else value),
        (grouped(), lambda value, call: None if call == 1 else value),
        (grouped(), lambda value, call: None if call == 2 else value),
        (grouped(), lambda value, call: value * np.where(np.arange(9) == 4, 2, 1)),
        (grouped(), lambda value, call: value - (np.arange(9) == 4) if call else value),
        (grouped(), lambda value, call: value * (1 - (np.arange(9) == 3)) if call == 2 else value),
        (grouped(), lambda value, call: value * 3 if call == 2 else value),
        (grouped(), lambda value, call: value * 2.0**12 if call == 1 else value),
        (grouped(), lambda value, call: value * -1.0 if call else value),
        # Three times the first number of a group is that of another one.
        (
            [(4, int(group[0]), 0) for group in GROUPS] + [each for each in grouped() if each[0] != 4],
            lambda value, call: value * np.where(np.arange(9) == 4, 3, 1),
        ),
        # A third of three times the first number of a group is its first number.
        (
            [(4, int(group[1]), 2) for group in GROUPS] + [each for each in grouped() if each[0] != 4],
            lambda value, call: value / np.where(np.arange(9) == 4, 3, 1),
        ),
        (
            [(4, int(group[1]), 2) for group in GROUPS] + [each for each in grouped() if each[0] != 4],
            lambda value, call: -value / np.where(np.arange(9) == 4, 3, 1),
        ),
        # The digits of the four groups have three bits each.
        (grouped(), lambda value, call: value + 2.0**12 * (value > 0) if call == 1 else value),
        (grouped(), lambda value, call: value - 2.0**12 * (value > 0) if call == 1 else value),
        (grouped(), lambda value, call: value + 2.0**12 * (value > 0) if call == 2 else value),
        (grouped(), lambda value, call: value - 2.0**12 * (value > 0) if call == 2 else value),
    ],
)
def test_what_is_no_product_of_each_group_is_none(products, change):
    calls = itertools.count()
    give = sums(products)
    assert read_groups(lambda numbers: change(give(numbers), next(calls)), GROUPS, (12, 7), 50, 20) is None


@pytest.mark.parametrize(
    "products",
    [
        # Of group 0, whose factor is not looked at beforehand: more than the three entries, more than the six numbers.
        [(4, int(GROUPS[0][0]), 0)] * 7,
        [(4, int(GROUPS[0][0]), number) for number in (0, 1, 3)],
        # Of group 3, which is the last: one more than its digits hold.
        [(4, int(GROUPS[3][0]), 0)] * 8,
    ],
)
def test_digits_beyond_all_numbers_are_no_products(products):
    products += [each for each in grouped(second=6) if each[0] != 4]
    assert read_groups(sums(products), GROUPS, (12, 6), 50, 20) is None


def test_a_negative_sum_is_no_product_of_a_group():
    """All digits of −1 are 7, as of the last of four entries and the last of seven."""
    groups, calls = list(np.arange(12).reshape(3, 4)), itertools.count()

    def give(numbers):
        return np.array([numbers[0][5] * numbers[1][2], -1.0 if next(calls) else 0.0])

    assert read_groups(give, groups, (12, 7), 50, 20) is None


def test_code_that_gives_nothing_has_no_products_of_groups():
    places, scale = read_groups(lambda numbers: np.zeros(5), GROUPS, (12, 7), 50, 20)
    assert places.shape == (3, 0)
    assert scale == 1.0


# Layers and ways ------------------------------------------------------------------------------------------------------


def drawn(structure, **options):
    def of(image, filters):
        return Geometry(image, filters, groups=structure.groups, **options)

    return list(layers(structure, of))


@pytest.mark.parametrize(
    ("axes", "groups", "options", "count", "checksum"),
    [
        (1, 1, {}, 28, 1998314955),
        (2, 1, OPTIONS, 32, 3668617438),
        (2, 2, {"padding": 2, "stride": 3}, 32, 4059345859),
        (3, 1, {"dilation": 2}, 30, 2793390641),
        (1, 3, {"padding": 6}, 28, 956899073),
        (1, 1, {"stride": 5, "padding": 1}, 28, 3554496199),
        # Taps that reach over more pixels than most images have, and many groups of large images.
        (1, 1, {"dilation": 20}, 28, 1566956943),
        (1, 1, {"dilation": 5000}, 28, 3456836413),
        (3, 1024, {}, 30, 4166927836),
    ],
)
def test_formulas_are_read_at_the_same_layers_in_every_run(axes, groups, options, count, checksum):
    structure = Structure(axes, groups)
    found = drawn(structure, **options)
    assert len(found) == count
    described = [(each.images, each.geometry.image, each.geometry.filters, each.geometry.padding) for each in found]
    assert zlib.crc32(repr(described).encode()) == checksum
    for each in found:
        sizes = sizes_of(each)
        counts = [sizes[name] for name in ("N", "d/g", "n/g")]
        assert math.prod([*counts, *each.geometry.filters[2:], *each.geometry.responses[1:]]) <= 10_000 or not options


def test_layers_that_the_options_do_not_have_are_left_out():
    def even(image, filters):
        if image[1] % 2:
            raise ShapeError("an odd image")
        return Geometry(image, filters, **OPTIONS)

    every = drawn(PLAIN, **OPTIONS)
    assert [each.geometry for each in layers(PLAIN, even)] == [
        each.geometry for each in every if not each.geometry.image[1] % 2
    ]
    assert any(each.geometry.image[1] % 2 for each in every)


@pytest.mark.parametrize("structure", [Structure(1, 1), Structure(3, 10**6)])
def test_layers_that_are_too_large_have_no_formulas(structure):
    with pytest.raises(Unreadable, match="large"):
        drawn(structure, dilation=8192)


def test_ways_give_entries_together_that_do_not_meet():
    def named(result, structure=PLAIN):
        return [(way.letter, *sorted(way.together)) for way in ways(result, FACTORS[result], structure)]

    assert named("S") == [("F", "i"), ("X", "n"), ("F",), ("X",)]
    assert named("dF") == [("G", "i"), ("X", "k"), ("G",), ("X",)]
    assert named("S", GROUPED) == [("F", "g", "i"), ("X", "g", "n"), ("F", "i"), ("X", "n"), ("F",), ("X",)]
    filters = Way("F", frozenset({"i"})).groups(LAYER, PLAIN)
    assert [each.tolist() for each in filters[:2]] == [[0, 12, 24], [1, 13, 25]]
    assert len(filters) == 12
    assert [each.tolist() for each in Way("F", frozenset()).groups(ONE, PLAIN)] == [[at] for at in range(8)]
    # Twelve groups, of numbers up to 80 pixels, seven bits each, in calls of 50 bits.
    assert Way("F", frozenset({"i"})).cost(LAYER, PLAIN) == 12 * 7 // 50
    assert Way("X", frozenset()).cost(LAYER, PLAIN) == 80 * 7 // 50
    # Numbers up to 735.
    larger = Layer(Geometry((5, 7, 7), (3, 5, 7, 7)), 1)
    assert Way("F", frozenset({"i"})).cost(larger, PLAIN) == 5 * 7 * 7 * 10 // 50 == 49


# Parts ----------------------------------------------------------------------------------------------------------------


def test_simple_fractions_are_taken_for_what_they_are():
    simple = np.array([1 / 3, -2 / 7, 1 / 5040, 0.1 + 0.2, 4.0])
    assert products.rational(simple).tolist() == [1 / 3, -2 / 7, 1 / 5040, 0.3, 4.0]
    # Up to ten roundings away: seven units in the last place of 3/4 are nine and a third, eight are more.
    assert products.rational(0.75 + np.array([-7, 7]) * 2.0**-53).tolist() == [0.75, 0.75]
    assert products.rational(np.array([1 - 10 * 2.0**-53, 1 - 11 * 2.0**-53])).tolist() == [1, 1 - 11 * 2.0**-53]
    assert products.rational(np.nextafter([1 / 5040, 1 / 5041], 1)).tolist() == [1 / 5040, math.nextafter(1 / 5041, 1)]
    others = np.array([1 / 5041, math.pi, 0.3 + 1e-12, 0.75 + 8 * 2.0**-53, 0.75 - 8 * 2.0**-53])
    assert products.rational(others).tolist() == others.tolist()


def test_entries_are_halved_where_there_are_more():
    one, two = np.arange(3), np.arange(5)
    assert [[each.tolist() for each in half] for half in products._halves((one, two))] == [
        [[0, 1, 2], [0, 1, 2]],
        [[0, 1, 2], [3, 4]],
    ]


def test_pairs_are_told_by_their_products():
    codes = [[np.array([5.0, 6.0, 7.0]), np.array([11.0, 13.0])], [np.array([6.0, 5.0, 7.0]), np.array([13.0, 11.0])]]
    every = np.array([np.multiply.outer(*code).ravel() for code in codes])
    values = np.concatenate([every[:, [4, 0, 5]], every[:, :1] + 1, [[7 * 13.0], [5 * 13.0]]], axis=1)
    assert products._matched(values, codes).tolist() == [4, 0, 5, -1, -1]
    assert products._matched(every[:1, [3, 1]], codes[:1]).tolist() == [3, 1]
    scaled = np.concatenate([every[:, [4, 0]] / 3, every[:, 3:4] * -7, every[:, :1] * [[1], [1.001]]], axis=1)
    assert products._ratios(scaled, codes, "float64").tolist() == [4, 0, 3, -1]
    # The ratio is 3 or a third, up to ten roundings.
    for ratio in (3, 1 / 3):
        given = [[np.array([12.0])], [np.array([12.0 * ratio])]]
        off = np.array([[1.0] * 3, [ratio * (1 + by * 2.0**-53) for by in (-8, 8, 14)]])
        assert products._ratios(off, given, "float64").tolist() == [0, 0, -1]
    with np.errstate(all="raise"):
        assert products._ratios(np.zeros((2, 1)), codes, "float64").tolist() == [-1]
    assert products._ratios(every[:, :2] * (1 + 2.0**-51), codes, "int32").tolist() == [0, 1]


def reader(call=lambda layer, arrays: None, layer=ONE, dtype="float64", letters=("F", "X")):
    return products._Reader(call, layer, dtype, letters)


def test_numbers_are_different_where_there_are_enough():
    some = reader()
    some.bits = (3, 5)
    one, two = some._codes((np.arange(4), np.arange(9)))
    assert sorted(one.tolist()) == [4, 5, 6, 7]
    assert len(set(two.tolist())) == 9
    assert set(two.tolist()) <= set(range(16, 32))
    one, _ = some._codes((np.arange(5), np.arange(1)))
    assert set(one.tolist()) <= {4, 5, 6, 7}


@pytest.mark.parametrize(("pixels", "taps", "count"), [(60, 2, 1), (60, 4, 0), (19, 16, 1), (20, 16, 0)])
def test_groups_are_given_where_few_calls_tell_them_or_half_as_many(pixels, taps, count):
    """Groups of an entry each, in numbers of eight bits: 30 or 45 calls for sixty groups, 24 and 25 for the others."""
    wide, calls = Layer(Geometry((1, pixels), (1, 1, taps)), 1), []
    some = reader(lambda layer, arrays: calls.append(arrays), wide, "float16", ("X", "F"))
    assert some.places(Way("X", frozenset()), Structure(1, 1)) is None
    assert len(calls) == count


@pytest.mark.parametrize(("filters", "pixels", "count"), [(2, 4, 2), (3, 3, 3), (1, 1, 2)])
def test_pairs_of_entries_are_told_by_ten_bits_more_than_pairs_of_pairs_need(filters, pixels, count):
    """Calls tell eight bits each."""
    calls = []
    some = reader(lambda layer, arrays: calls.append(1) or np.zeros(1), dtype="float16")
    (places, _), mixed = some._single((np.arange(filters), np.arange(pixels)))
    assert (places.shape, mixed) == ((3, 0), False)
    assert len(calls) == count


def test_results_of_other_shapes_are_none():
    for shapes in ([3, 2], [2, 3]):
        values = map(np.ones, shapes)
        some = reader(lambda layer, arrays, values=values: next(values))
        assert some._given([np.ones(8), np.ones(9)]).tolist() == [1] * shapes[0]
        assert some._given([np.ones(8), np.ones(9)]) is None


@pytest.mark.parametrize(
    ("dtype", "change", "confirmed"),
    [
        ("float64", 0, True),
        # Twelve products, and ten roundings more: up to 22 units.
        ("float64", 16 * 2.0**-53, True),
        ("float64", 32 * 2.0**-53, False),
        ("int32", 0, True),
        ("int32", 2.0**-30, False),
        ("float64", None, False),
    ],
)
def test_products_are_confirmed_up_to_rounding(dtype, change, confirmed):
    places = np.array([[0] * 12 + [1], [*range(8), *range(5)], [*range(9), 0, 1, 2, 3]])

    def call(layer, arrays):
        each = arrays["F"].reshape(-1)[places[1]] * arrays["X"].reshape(-1)[places[2]]
        return None if change is None else np.bincount(places[0], each) * (1 + change)

    some = reader(call, dtype=dtype)
    some.shape = (2,)
    found = some._confirmed(places, np.ones(13))
    assert (found is not None) == confirmed
    assert not found or (np.array_equal(found.places, places) and set(found.coefficients.tolist()) == {1})


def test_numbers_that_confirm_many_products_in_few_bits_are_one_and_two():
    drawn = set()

    def call(layer, arrays):
        drawn.update(*(each.reshape(-1).tolist() for each in arrays.values()))
        return np.ones(1)

    places = np.stack([np.zeros(72, int), *(each.reshape(-1) for each in np.indices((8, 9)))])
    assert reader(call, dtype="float16")._confirmed(places, np.ones(72)) is None
    assert drawn == {1, 2}


def test_coefficients_are_kept_of_entries_that_are_told_alone():
    some = reader()
    codes = [[np.array([5.0, 6.0]), np.array([11.0, 13.0])], [np.array([6.0, 5.0]), np.array([13.0, 11.0])]]
    every = np.array([np.multiply.outer(*code).ravel() for code in codes])
    told = products._Told(np.array([3, 5, 8, 9]))
    values = np.zeros((2, 10))
    values[:, [3, 5, 9]], values[:, 8] = every[:, [0, 2, 2]] * [7, -9, 7], [1, 2]
    some._by_ratio(told, values, codes)
    assert told.left.tolist() == [8]
    assert [np.concatenate(each).tolist() for each in (told.places, told.products, told.by)] == [
        [3, 5, 9],
        [0, 2, 2],
        [7, -9, 7],
    ]
    assert some.coefficients == [2, -1, 0.5, 7, -9]
    for number in range(10, 40):
        some._by_ratio(products._Told(np.array([0])), every[:, :1] * number, codes)
    assert some.coefficients == [2, -1, 0.5, 7, -9, *range(10, 29)]
