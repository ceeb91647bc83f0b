"""Products that are read out of right and wrong code."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest

from jacobians import Geometry
from jacobians.formula.products import Unreadable, layers, read_products, ways
from jacobians.formula.relation import Coefficient
from jacobians.formula.structure import Structure, right, sizes_of

STRUCTURE = Structure(2, 1)


def geometry_of(image, filters):
    return Geometry(image, filters, stride=(2, 1), padding=((1, 0), (0, 1)))


LAYERS = list(layers(STRUCTURE, geometry_of))
SMALL = min(LAYERS, key=lambda layer: (layer.images < 2, layer.geometry.pixels * layer.geometry.taps))


def code(formula, dtype="float64"):
    def call(layer, arrays):
        zeros = {letter: np.zeros(shape) for letter, shape in layer.shapes.items()}
        given = {letter: each.astype(dtype) for letter, each in (zeros | arrays).items()}
        return formula.predict(sizes_of(layer), given).astype(dtype)

    return call


def read(call, layer, result="S", letters=("F", "X"), dtype="float64"):
    return read_products(call, layer, result, letters, dtype, STRUCTURE)


def same_products(reading, formula):
    terms = [term.products(reading.sizes) for term in formula.terms]
    expected = {}
    for places, by in terms:
        for key, each in zip(map(tuple, places.T.tolist()), by.tolist(), strict=True):
            expected[key] = expected.get(key, 0) + each
    return dict(zip(map(tuple, reading.places.T.tolist()), reading.coefficients.tolist(), strict=True)) == expected


def formula(result="S", **changes):
    found = right(result, STRUCTURE, LAYERS[0].geometry)
    return dataclasses.replace(found, terms=(dataclasses.replace(found.terms[0], **changes),))


def test_layers_have_sizes_of_their_own_and_the_options():
    assert len(LAYERS) > 20
    assert len({tuple(sizes_of(each).values()) for each in LAYERS}) == len(LAYERS)
    assert {each.geometry.stride for each in LAYERS} == {(2, 1)}
    assert max(each.images for each in LAYERS) > 4


@pytest.mark.parametrize("layer", LAYERS[:6])
@pytest.mark.parametrize(
    ("result", "letters"), [("S", ("F", "X")), ("dX", ("F", "G")), ("dF", ("G", "X")), ("db", ("G",))]
)
def test_right_code_is_read_as_the_right_products(layer, result, letters):
    assert same_products(read(code(formula(result)), layer, result, letters), formula(result))


@pytest.mark.parametrize("number", [Fraction(-1), Fraction(3), Fraction(1, 3), Fraction(7, 40)])
def test_coefficients_are_read(number):
    wrong = formula(coefficient=Coefficient(number))
    reading = read(code(wrong), LAYERS[1])
    assert set(reading.coefficients.tolist()) == {float(number)}
    np.testing.assert_array_equal(np.sort(reading.places), np.sort(read(code(formula()), LAYERS[1]).places))


def test_a_sum_of_all_products_of_an_entry_is_told_apart():
    layer = LAYERS[1]

    def call(layer, arrays):
        zeros = {letter: np.zeros(shape) for letter, shape in layer.shapes.items()} | arrays
        return np.full((1,), zeros["F"].sum() * zeros["X"][:, 0, 0].sum())

    reading = read(call, layer)
    taps, pixels = np.prod(layer.shapes["F"]), layer.images * layer.shapes["X"][3]
    assert reading.places.shape == (3, taps * pixels)
    assert set(reading.coefficients.tolist()) == {1.0}


def test_sums_of_entries_of_one_array_take_few_calls():
    calls, layer = [], SMALL

    def call(layer, arrays):
        calls.append(arrays)
        return arrays["G"].sum((0, 2, 3)) * 2 - arrays["G"][0, :, 0, 0]

    reading = read(call, layer, "db", ("G",))
    assert sorted(set(reading.coefficients.tolist())) == [1.0, 2.0]
    assert len(calls) < np.prod(layer.shapes["G"])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_products_are_read_in_the_precision_of_the_code(dtype):
    letters = ("F", "X")
    told = ways("S", letters, STRUCTURE)
    reading = read_products(code(formula(), dtype), SMALL, "S", letters, dtype, STRUCTURE, told)
    assert reading.way in told
    assert same_products(reading, formula())


def test_what_raises_gives_nothing():
    assert read(lambda layer, arrays: None, LAYERS[0]) is None


def test_two_products_of_one_group_are_not_taken_for_one():
    def two(layer, arrays):
        zeros = {letter: np.zeros(shape) for letter, shape in layer.shapes.items()} | arrays
        # A digit of 1 + 2 looks like one of 3: every filter meets every plane twice, at neighbours.
        return np.einsum("ik,nkyx->nixy", zeros["F"][:, :, 0, 0], zeros["X"] + np.roll(zeros["X"], 1, axis=3))

    letters = ("F", "X")
    told = ways("S", letters, STRUCTURE)
    for way in told:
        reading = read_products(two, SMALL, "S", letters, "float64", STRUCTURE, [way])
        drawn = {letter: np.random.default_rng(1).integers(1, 9, SMALL.shapes[letter]) for letter in letters}
        products = (
            reading.coefficients * drawn["F"].reshape(-1)[reading.places[1]] * drawn["X"].reshape(-1)[reading.places[2]]
        )
        total = np.bincount(reading.places[0], products, np.prod(reading.shape)).reshape(reading.shape)
        np.testing.assert_array_equal(total, two(SMALL, drawn))
        assert reading.way is None or way.letter == "X"


def test_squares_that_look_like_other_products_are_not_confirmed():
    right_code = code(formula())

    def call(layer, arrays):
        return right_code(layer, {"F": arrays["F"], "X": arrays["X"] ** 2})

    with pytest.raises(Unreadable, match="not linear"):
        read(call, SMALL)


def test_two_response_maps_in_one_are_read_in_few_calls():
    calls = []

    def call(layer, arrays):
        calls.append(layer)
        S = code(formula())(layer, arrays)
        return S[:, ::2] + np.pad(S[:, 1::2], ((0, 0), (0, S.shape[1] % 2), (0, 0), (0, 0)))

    layer = min(LAYERS, key=lambda each: (each.geometry.filters[0] < 3, math.prod(each.geometry.filters[1:])))
    reading = read(call, layer)
    places, _ = formula().terms[0].products(reading.sizes)
    assert np.array_equal(*(each[1:, np.lexsort(each[1:])] for each in (places, reading.places)))
    assert len(calls) <= 2 * math.prod(layer.geometry.filters[1:]) + 5
