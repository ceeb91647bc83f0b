"""Formulas in which several indices count as one, steps are sizes, or a factor is left out."""

import dataclasses

import numpy as np
import pytest

from jacobians import Geometry, bias_gradient, convolve, input_gradient
from jacobians.formula.circumstances import circumstances
from jacobians.formula.reading import _Formulas, formula_of
from jacobians.formula.relation import Formula, Linear
from jacobians.formula.structure import Structure, right, sizes_of
from jacobians.formula.words import explain
from jacobians.formula.writing import write
from tests.formula.searched import readings
from tests.formula.test_search import layers
from tests.formula.wrong import change, eq, right_of
from tests.zoo import Layer

GROUPS = 2
LARGER = Layer(Geometry((6, 9, 8), (10, 3, 3, 2), stride=(2, 1), padding=1, groups=GROUPS), 3)


def geometry_of(image, filters):
    return Geometry(image, filters, stride=(2, 1), padding=1, groups=GROUPS)


def each_image(function, *arrays):
    return np.stack([function(*parts) for parts in zip(*arrays, strict=True)])


def responses(layer, arrays):
    """S, with the bias of the second next filter, counted over all groups."""
    b = np.roll(arrays["b"], -2)
    return each_image(lambda x: convolve(x, arrays["F"], layer.geometry, bias=b), arrays["X"])


def planes_by_filters(layer, arrays):
    """S, where the planes of a group start at its number times the filters of a group."""
    g = layer.geometry
    start = np.arange(GROUPS)[:, None] * g.filters_per_group + np.arange(g.planes_per_group)
    X = arrays["X"][:, start.reshape(-1) % g.image[0]]
    return each_image(lambda x: convolve(x, arrays["F"], g), X)


def filters_left_out(layer, arrays):
    return each_image(lambda G: input_gradient(G, np.ones_like(arrays["F"]), layer.geometry), arrays["G"])


def first_filters(layer, arrays):
    """∂l/∂b of the first three filters."""
    found = np.sum([bias_gradient(each) for each in arrays["G"]], axis=0)
    found[3:] = 0
    return found


def images_apart(layer, arrays):
    """∂l/∂b of every image."""
    return arrays["G"].sum(axis=(2, 3))


CODE = {
    "S": [(responses, "index-shifted"), (planes_by_filters, "index-mapped")],
    "dX": [(filters_left_out, "factor-missing")],
    "db": [(first_filters, "some-lost"), (images_apart, "images-apart")],
}


def whole(layer, arrays):
    return {letter: np.zeros(shape) for letter, shape in layer.shapes.items()} | arrays


def read(result, code) -> Formula:
    calls = []

    def call(layer, arrays):
        calls.append(layer)
        return code(layer, whole(layer, arrays))

    found = formula_of(call, result, Structure(2, GROUPS), geometry_of, "float64")
    assert len(calls) <= 200
    return found


@pytest.mark.parametrize(("result", "code", "atom"), [(result, *each) for result in CODE for each in CODE[result]])
def test_what_goes_beyond_a_group_is_read_and_named(result, code, atom):
    found = read(result, code)
    arrays = LARGER.draw(3)
    np.testing.assert_array_equal(found.predict(sizes_of(LARGER), arrays), code(LARGER, arrays))
    others = right(result, Structure(2, GROUPS), LARGER.geometry).predict(sizes_of(LARGER), arrays)
    assert not np.array_equal(others, code(LARGER, arrays))
    assert found.predict(sizes_of(LARGER), arrays).shape == code(LARGER, arrays).shape
    wanted = right_of(result, groups=GROUPS, options=LARGER.geometry, bias=code is responses)
    assert explain(found, wanted).atoms == (atom,)


def test_planes_that_start_with_the_filters_are_wrong_where_there_are_not_as_many():
    found = read("S", planes_by_filters)
    assert "X[((n/g)·g + k) mod d" in write(found)
    where = circumstances(found, right("S", Structure(2, GROUPS), LARGER.geometry), Structure(2, GROUPS))
    assert 0 < where.differing < where.layers


def test_the_same_index_written_for_all_groups_is_the_right_formula():
    formula = right_of("S", groups=GROUPS)
    same = change(formula, eq("X.+", {"d/g·S.g": 1, "F.k": 1}), free=("X.g", "X.k"))
    other = change(formula, eq("X.+", {"d/g·S.g": 1, "F.k": 1}, 1), free=("X.g", "X.k"))
    arrays, sizes = LARGER.draw(2), sizes_of(LARGER)
    expected = formula.predict(sizes, arrays)
    np.testing.assert_array_equal(same.predict(sizes, arrays), expected)
    assert not np.array_equal(other.predict(sizes, arrays), expected)


def test_ones_are_no_factor():
    formula = right_of("dX", groups=GROUPS)
    ones = Formula("dX", tuple(each.with_ones("F") for each in formula.terms), formula.shape)
    arrays, sizes = LARGER.draw(2), sizes_of(LARGER)
    expected = formula.predict(sizes, arrays | {"F": np.ones_like(arrays["F"])})
    np.testing.assert_array_equal(ones.predict(sizes, arrays), expected)
    assert circumstances(ones, formula, Structure(2, GROUPS)).differing
    assert "· 1" in write(ones)


def test_a_size_times_an_index_has_the_value_of_both():
    form = Linear.of({"n/g·G.g": 1, "G.i": -1, "n": 2}, 3)
    columns = {"G.g": np.array([0, 1, 1]), "G.i": np.array([1, 0, 2])}
    np.testing.assert_array_equal(form.scaled(columns, {"n/g": 5, "n": 10}), [22, 28, 26])


def test_products_of_one_factor_may_and_may_not_be_those_of_right_code_without_the_other():
    """Of layers that are read first, and of more of them: each filter entry for its pixels, and for all pixels."""
    structure, formula = Structure(1, 1), right_of("dX", 1)
    some = layers(1, 1)[:4]
    given = readings(formula, structure, some)["F", "G"]
    single = []
    for each in given:
        places, by = np.unique(each.places[:2], axis=1, return_counts=True)
        single.append(dataclasses.replace(each, letters=("F",), places=places, coefficients=by.astype(float)))
    every = []
    for each in single:
        places = np.indices((np.prod(each.shape), np.prod(each.layer.shapes["F"]))).reshape(2, -1)
        every.append(dataclasses.replace(each, places=places, coefficients=np.ones(places.shape[1])))
    read = _Formulas(lambda layer, arrays: np.zeros(1), "dX", structure, some, "float64", 200)
    (without,) = read._terms(("F",), single[:3])
    assert [view.ones for view in without.views] == [False, False, True]
    (alone,) = read._terms(("F",), every)
    assert [view.tensor.letter for view in alone.views] == ["dX", "F"]
