"""What formulas predict, against the convolutions themselves."""

import dataclasses
import re
from fractions import Fraction

import numpy as np
import pytest

from jacobians import Geometry, ShapeError, TooLargeError, bias_gradient, convolve, filter_gradient, input_gradient
from jacobians.formula import structure
from jacobians.formula.relation import (
    FIRST_TWO,
    FLOOR,
    PAIRS,
    Axis,
    Coefficient,
    Condition,
    Equation,
    Linear,
    Tensor,
    View,
    counted,
    distance,
    fold,
    holds,
    joined,
    same_axis,
    size_of,
    split,
    stepped,
)
from jacobians.formula.structure import Layer, given_arrays, right, sizes_of, structure_of, with_bias

GEOMETRIES = [
    Geometry((2, 9), (3, 2, 3), stride=2, padding=1),
    Geometry((3, 7, 5), (2, 3, 2, 3), stride=(2, 1), padding=((1, 0), (2, 1)), dilation=(1, 2)),
    Geometry((4, 6, 7), (6, 2, 3, 2), stride=(1, 3), padding=((0, 2), (1, 0)), groups=2),
    Geometry((2, 4, 5, 6), (2, 2, 2, 1, 3), stride=(1, 2, 2), padding=1, dilation=(2, 1, 1)),
]
IMAGES = 2


def drawn(geometry):
    rng = np.random.default_rng(8)
    return {letter: rng.integers(-9, 10, shape) for letter, shape in Layer(geometry, IMAGES).shapes.items()}


def expected(result, geometry, arrays):
    X, F, b, G = (arrays[letter].astype(float) for letter in "XFbG")
    if result == "S":
        return np.stack([convolve(each, F, geometry, bias=b) for each in X])
    if result == "dX":
        return np.stack([input_gradient(each, F, geometry) for each in G])
    if result == "dF":
        return sum(filter_gradient(image, upstream, geometry) for image, upstream in zip(X, G, strict=True))
    return sum(bias_gradient(each) for each in G)


def formula(result, geometry):
    structure = structure_of(geometry)
    found = right(result, structure, geometry)
    return with_bias(found, structure) if result == "S" else found


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("result", ["S", "dX", "dF", "db"])
def test_the_right_formula_is_the_convolution(result, geometry):
    arrays = drawn(geometry)
    predicted = formula(result, geometry).predict(sizes_of(Layer(geometry, IMAGES)), arrays)
    np.testing.assert_array_equal(predicted, expected(result, geometry, arrays))


def changed(**changes):
    term = formula("dX", GEOMETRIES[1]).terms[0]
    return dataclasses.replace(formula("dX", GEOMETRIES[1]), terms=(dataclasses.replace(term, **changes),))


TERM = formula("dX", GEOMETRIES[1]).terms[0]
A = Linear.of({"F.a": 1})
WRONG = {
    "an index is turned over": {"equations": (*TERM.equations[:-1], Equation("dX.x", Linear.of({"G.m": -1}, 4)))},
    "a condition": {"conditions": (Condition(A, high=Linear.of({"K": 1}, -2)),)},
    "a remainder": {"conditions": (Condition(A, low=Linear.of({}, 1), modulus=2),)},
    "the last only": {"conditions": (Condition(Linear.of({"F.b": 1}), high=Linear.of({}, 0), of="last"),)},
    "a hole": {"excluded": (Condition(A, low=Linear.of({}, 1)),)},
    "a coefficient": {"coefficient": Coefficient(powers=(("K", -1),))},
    "counts": {"coefficient": Coefficient(counts=(("dX.x", -1),))},
    "an order of memory": {"views": (TERM.views[0], View(TERM.views[1].tensor, (1, 0, 2, 3)), TERM.views[2])},
    "an axis in steps": {"views": (View(TERM.views[0].tensor, steps=((2, 2),)), *TERM.views[1:])},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_term_predicts_other_numbers(name):
    geometry = GEOMETRIES[1]
    arrays, sizes = drawn(geometry), sizes_of(Layer(geometry, IMAGES))
    assert not np.array_equal(changed(**WRONG[name]).predict(sizes, arrays), expected("dX", geometry, arrays))


def test_conditions_and_holes_leave_out_what_they_say():
    """Taps that do not take part count as if they were 0; K = 2."""
    geometry = GEOMETRIES[1]
    arrays, sizes = drawn(geometry), sizes_of(Layer(geometry, IMAGES))
    for name, kept in {"a condition": [0], "a remainder": [1], "a hole": [0]}.items():
        F = np.zeros_like(arrays["F"])
        F[:, :, kept] = arrays["F"][:, :, kept]
        predicted = changed(**WRONG[name]).predict(sizes, arrays)
        np.testing.assert_array_equal(predicted, expected("dX", geometry, arrays | {"F": F}))


def test_a_product_is_multiplied_by_how_many_pairs_meet_at_its_pixel():
    geometry = GEOMETRIES[1]
    arrays, sizes = drawn(geometry), sizes_of(Layer(geometry, IMAGES))
    times = np.zeros(geometry.image[2], int)
    for m, b in np.ndindex(geometry.responses[2], geometry.filters[3]):
        if 0 <= (x := m + 2 * b - 2) < len(times):
            times[x] += 1
    predicted = changed(coefficient=Coefficient(counts=(("dX.x", 2),))).predict(sizes, arrays)
    np.testing.assert_array_equal(predicted, expected("dX", geometry, arrays) * times**2)


def test_results_are_integers_where_factors_and_coefficients_are():
    geometry = GEOMETRIES[1]
    arrays, sizes = drawn(geometry), sizes_of(Layer(geometry, IMAGES))
    right = expected("dX", geometry, arrays)
    for number, kind in ((Fraction(2), "int64"), (Fraction(1, 2), "float64"), (Fraction(3, 4), "float64")):
        predicted = changed(coefficient=Coefficient(number)).predict(sizes, arrays)
        assert predicted.dtype == kind
        np.testing.assert_array_equal(predicted, right * float(number))


def test_bounds_of_half_an_index():
    half, taps = Linear.of({"F.a": Fraction(1, 2)}), {"F.a": np.arange(5)}
    for bounds, kept in (
        ({"low": 1}, [2, 3, 4]),
        ({"high": Fraction(3, 2)}, [0, 1, 2, 3]),
        ({"low": 1, "high": 1}, [2]),
    ):
        condition = Condition(half, **{side: Linear.of({}, bound) for side, bound in bounds.items()})
        assert np.flatnonzero(holds(condition, taps, {}, [], np.ones(5, bool))).tolist() == kept
    remainder = Condition(half, low=Linear.of({}, Fraction(1, 2)), modulus=1)
    assert holds(remainder, taps, {}, [], np.ones(5, bool)).tolist() == [False, True, False, True, False]


def test_the_last_tap_of_every_pixel_is_found_by_counting():
    geometry = GEOMETRIES[0]
    arrays, sizes = drawn(geometry), sizes_of(Layer(geometry, IMAGES))
    term = formula("dX", geometry).terms[0]
    last = Condition(Linear.of({"F.a": 1}), high=Linear.of({}, 0), of="last")
    found = dataclasses.replace(formula("dX", geometry), terms=(dataclasses.replace(term, conditions=(last,)),))
    right = np.zeros((IMAGES, *geometry.image))
    for pixel in range(9):
        pairs = [(l, a) for l in range(5) for a in range(3) if 2 * l + a - 1 == pixel]
        l, a = max(pairs, key=lambda pair: pair[1])
        right[:, :, pixel] = arrays["G"][:, :, l] @ arrays["F"][:, :, a]
    np.testing.assert_array_equal(found.predict(sizes, arrays), right)


@pytest.mark.parametrize(("letter", "other"), ["FG", "GF"])
def test_ones_stand_in_the_place_of_a_factor(letter, other):
    geometry = GEOMETRIES[2]
    arrays, sizes = drawn(geometry), sizes_of(Layer(geometry, IMAGES))
    found = formula("dX", geometry)
    ones = dataclasses.replace(found, terms=tuple(each.with_ones(letter) for each in found.terms))
    right = expected("dX", geometry, arrays | {letter: np.ones_like(arrays[letter])})
    np.testing.assert_array_equal(ones.predict(sizes, {other: arrays[other]}), right)


def test_a_result_that_ends_early_has_the_entries_it_has_whatever_is_known_of_the_whole():
    geometry = GEOMETRIES[1]
    arrays, sizes = drawn(geometry), sizes_of(Layer(geometry, IMAGES))
    whole = formula("dX", geometry)
    ends = dataclasses.replace(whole.shape[-1], constant=whole.shape[-1].constant - 1)
    early = dataclasses.replace(whole, shape=(*whole.shape[:-1], ends))
    shared = whole.shared(sizes, arrays)
    np.testing.assert_array_equal(whole.predict(sizes, {}, known=shared), expected("dX", geometry, arrays))
    for known in (None, shared):
        found = early.predict(sizes, arrays, known=known)
        np.testing.assert_array_equal(found, expected("dX", geometry, arrays)[..., :-1])


def test_padding_by_the_filter_is_that_of_same():
    geometry = Geometry((2, 9, 8), (3, 2, 5, 4), padding="same", dilation=(1, 2))
    arrays, sizes = drawn(geometry), sizes_of(Layer(geometry, IMAGES))
    found = structure.right("dF", structure_of(geometry), geometry, same=True)
    np.testing.assert_array_equal(found.predict(sizes, arrays), expected("dF", geometry, arrays))
    assert [name for name, _ in found.options] == ["groups", "stride[0]", "dilation[0]", "stride[1]", "dilation[1]"]
    sides = {name: side for name, side in formula("dF", GEOMETRIES[1]).options if name.startswith(("before", "after"))}
    assert sides == {"before[0]": 1, "after[0]": 0, "before[1]": 2, "after[1]": 1}


@pytest.mark.parametrize(
    ("kind", "pixels"),
    [(FLOOR, [0, 0, 1, 1, 2]), ("", [0, None, 1, None, 2]), ("wrap", [0, None, 1, None, 2])],
)
def test_half_an_index_is_rounded_down_or_takes_part_where_it_is_whole(kind, pixels):
    geometry = Geometry((1, 5), (1, 1, 1))
    arrays = drawn(geometry)
    found = right("S", structure_of(geometry), geometry)
    half = Equation("X.y", Linear.of({"S.l": Fraction(1, 2)}), kind)
    term = dataclasses.replace(found.terms[0], equations=(*found.terms[0].equations[:-1], half))
    predicted = dataclasses.replace(found, terms=(term,)).predict(sizes_of(Layer(geometry, IMAGES)), arrays)
    X, F = arrays["X"][:, 0], arrays["F"].item()
    wanted = [0 * X[:, 0] if pixel is None else F * X[:, pixel] for pixel in pixels]
    np.testing.assert_array_equal(predicted[:, 0], np.stack(wanted, axis=1))


def test_indices_of_groups_and_of_space_are_joined_where_there_are_several():
    grouped, line = (formula("dF", GEOMETRIES[at]).terms[0] for at in (2, 0))
    assert {name: grouped.size(name) for name in ("X.+", "dF.+", "X.*", "dF.a")} == {
        "X.+": "d",
        "dF.+": "n",
        "X.*": "H·W",
        "dF.a": "K",
    }
    assert line.joined == {}
    axes = structure.array_axes(structure_of(GEOMETRIES[2]).tensors["S"])
    assert [(axis.name, axis.size) for axis in axes] == [("n", "N"), ("i", "n"), ("l", "H'"), ("m", "W'")]
    assert [axis.size for axis in line.views[0].tensor.axes] == ["n", "d", "K"]


def test_steps_of_an_axis():
    steps = {(5, PAIRS): [1, 0, 3, 2, 4], (6, PAIRS): [1, 0, 3, 2, 5, 4], (5, FIRST_TWO): [1, 0, 2, 3, 4]}
    steps |= {(1, FIRST_TWO): [0], (2, FIRST_TWO): [1, 0], (5, 2): [0, 2, 4, 1, 3], (5, -2): [0, 3, 1, 4, 2]}
    assert {key: stepped(*key).tolist() for key in steps} == steps


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("wrap", [2, 3, 0, 1, 2, 3, 0, 1]),
        ("clamp", [0, 0, 0, 1, 2, 3, 3, 3]),
        ("reflect", [2, 1, 0, 1, 2, 3, 2, 1]),
        ("symmetric", [1, 0, 0, 1, 2, 3, 3, 2]),
        ("clamp before", [0, 0, 0, 1, 2, 3, 4, 5]),
        ("wrap behind", [-2, -1, 0, 1, 2, 3, 0, 1]),
        ("symmetric before", [1, 0, 0, 1, 2, 3, 4, 5]),
        ("reflect before", [2, 1, 0, 1, 2, 3, 4, 5]),
        ("", [-2, -1, 0, 1, 2, 3, 4, 5]),
        ("mod 2", [0, 1, 0, 1, 0, 1, 0, 1]),
    ],
)
def test_folds(kind, values):
    np.testing.assert_array_equal(fold(np.arange(-2, 6), 4, kind), values)


def test_a_fold_on_one_side_leaves_what_is_inside():
    """Wrapped before the border only: 0 stays 0, and is not what the size would make of it."""
    np.testing.assert_array_equal(fold(np.array([-1, 0, 3]), 3, "wrap before"), [2, 0, 3])
    np.testing.assert_array_equal(fold(np.array([0, 2, 3]), 3, "reflect behind"), [0, 2, 1])


def test_every_index_is_mirrored_into_the_only_entry():
    np.testing.assert_array_equal(fold(np.arange(-2, 4), 1, "reflect"), [0] * 6)


def test_sizes_that_are_derived_by_name():
    sizes = {"K": 3, "L": 5, "W'": 11}
    names = {"K": 3, "min(K,4)": 3, "min(L,4)": 4, "min(L,K)": 3, "W'÷4": 2, "K·L": 15}
    assert {name: size_of(name, sizes) for name in names} == names
    with pytest.raises(KeyError, match="M"):
        size_of("M", sizes)


def test_a_combination_with_fractions():
    half = Linear.of({"K": Fraction(1, 2), "F.a": Fraction(2, 3)}, Fraction(1, 2))
    assert half.denominator == 6
    assert [half.coefficient(name) for name in ("F.a", "F.b")] == [Fraction(2, 3), 0]
    assert Linear() == Linear.of({})
    np.testing.assert_array_equal(half.scaled({"F.a": np.array([0, 1, 3])}, {"K": 5}), [18, 22, 30])
    assert Linear.of({"K": Fraction(1, 2)}, 1).at({"K": 5}) == 3


def test_products_of_sizes_and_of_a_size_and_an_index():
    sizes, indices = {"K": 3, "L": 5}, {"F.a": np.arange(3), "F.b": np.arange(3)}
    both = Linear.of({"K·L": 2, "L·F.a": 1})
    np.testing.assert_array_equal(both.scaled(indices, sizes), [30, 35, 40])


def test_a_coefficient_is_a_number_times_powers_of_sizes():
    assert Coefficient(Fraction(2, 3), (("K", -2), ("N", 1))).at({"K": 3, "N": 5}) == Fraction(10, 27)


@pytest.mark.parametrize(("letter", "needs"), [("X", (2, 2, 3)), ("F", (1, 2, 2)), ("b", (1,))])
@pytest.mark.parametrize("more", [-1, 1])
def test_arrays_that_a_formula_reads_have_the_entries_of_the_layer(letter, needs, more):
    layer = Layer(Geometry((2, 3), (1, 2, 2)), 2)
    entries = int(np.prod(needs)) + more
    arrays = {"X": np.ones(12), "F": np.ones(4), "b": np.ones(1), letter: np.ones(entries)}
    says = re.escape(f"{letter} has shape ({entries},) but ") + ".*" + re.escape(f" needs {needs}") + "$"
    with pytest.raises(ShapeError, match=f"^{says}"):
        given_arrays(formula("S", layer.geometry), layer, arrays)


@pytest.mark.parametrize(("name", "counts"), [("X.y", [1, 2, 2, 2, 2, 1]), ("F.a", [3] * 6), ("S.l", [2] * 6)])
def test_pairs_that_meet_at_an_index_are_counted_on_its_axis(name, counts):
    """Three responses of two taps, which read pixels 0, 1, 1, 2, 2 and 3 of both planes; planes are on no such axis."""
    columns = {"S.l": [0, 0, 1, 1, 2, 2], "F.a": [0, 1, 0, 1, 0, 1], "X.y": [0, 1, 1, 2, 2, 3]}
    planes = {"F.k": np.repeat([0, 1], 6), **{each: np.tile(column, 2) for each, column in columns.items()}}
    np.testing.assert_array_equal(counted(planes, name), np.tile(counts, 2))


def test_groups_and_what_is_in_a_group_are_one_axis():
    tensor = Tensor("X", (Axis("n", "N"), Axis("g", "g"), Axis("k", "d/g"), Axis("y", "W")))
    sizes = {"N": 2, "g": 3, "d/g": 5, "W": 7}
    assert joined(tensor, sizes) == (2, 15, 7)
    assert joined(Tensor("X", (*tensor.axes, Axis("x", "N"))), sizes) == (2, 15, 7, 2)
    assert split((2, 15, 7), tensor, sizes) is None
    # A result of another shape is split as it is, or into as many groups.
    assert split((2, 3, 5, 8), tensor, sizes) == (2, 3, 5, 8)
    assert split((7, 15, 2), tensor, sizes) == (7, 3, 5, 2)
    assert split((2, 16, 7), tensor, sizes) == (2, 3, 5, 7)
    assert split((2, 2, 7), tensor, sizes) == (2, 3, 0, 7)
    assert split((1, 2, 3, 5, 7), tensor, sizes) == (1, 3, 0, 3, 5, 7)


def test_what_is_too_large_to_be_listed_is_refused_by_the_number_of_its_products():
    layer = Layer(Geometry((2, 10**7), (3, 2, 5)), 7)
    arrays = {letter: np.broadcast_to(1, shape) for letter, shape in layer.shapes.items()}
    products = 7 * 3 * (10**7 - 4) * 10
    with pytest.raises(
        TooLargeError, match=f"a list of the {products} products .* needs {products * 6 * 8 / 2**30:.3g} GiB"
    ):
        given_arrays(formula("S", layer.geometry), layer, arrays)


def test_the_distance_to_the_first_and_to_the_last_tuple_of_an_entry():
    """Entries (0, 1), (1, 0) and (1, 1) are told apart; the smallest and the largest value are not kept."""
    form = np.array([4, 6, 9, 1, 2, 8, 5, 3])
    entry = [np.array([0, 0, 0, 1, 1, 1, 1, 1]), np.array([1, 1, 1, 0, 0, 0, 1, 1])]
    kept = np.array([False, True, True, True, True, False, True, True])
    np.testing.assert_array_equal(distance(form, entry, kept, "first"), [-2, 0, 3, 0, 1, 7, 2, 0])
    np.testing.assert_array_equal(distance(form, entry, kept, "last"), [5, 3, 0, 1, 0, -6, 0, 2])


def test_response_tap_and_pixel_of_one_axis_belong_together():
    pairs = [("S.l", "F.a"), ("F.a", "X.y"), ("m", "x"), ("S.l", "F.b"), ("S.m", "X.y"), ("X.k", "S.l")]
    assert [same_axis(*pair) for pair in pairs] == [True] * 3 + [False] * 3


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("steps", [(), ((1, 2),), ((1, -3), (2, 2))])
def test_a_view_names_every_place_in_memory_once(written, steps):
    tensor = Tensor("X", (Axis("n", "N"), Axis("k", "d"), Axis("y", "W")))
    view = View(tensor, (2, 0, 1), written, steps)
    sizes = {"N": 2, "d": 5, "W": 7}
    flat = np.arange(70)
    columns = view.columns(flat, sizes)
    np.testing.assert_array_equal(view.flat(columns, sizes), flat)
    assert not np.array_equal(columns["X.y"], View(tensor).columns(flat, sizes)["X.y"])


def test_magnitudes_of_products_are_those_of_the_magnitudes_of_the_factors():
    geometry = GEOMETRIES[1]
    arrays, sizes = drawn(geometry), sizes_of(Layer(geometry, IMAGES))
    magnitudes = {letter: np.abs(array) for letter, array in arrays.items()}
    predicted = changed(coefficient=Coefficient(Fraction(-1))).predict(sizes, arrays, absolute=True)
    np.testing.assert_array_equal(predicted, expected("dX", geometry, magnitudes))


def test_a_result_without_entries_is_empty():
    whole = formula("S", GEOMETRIES[0])
    none = dataclasses.replace(whole, terms=(), shape=(*whole.shape[:-1], Linear.of({"W'": 1}, -9)))
    predicted = none.predict(sizes_of(Layer(GEOMETRIES[0], IMAGES)), {})
    assert (predicted.shape, predicted.dtype) == ((IMAGES, 3, 0), np.int64)


@pytest.mark.parametrize("where", ["conditions", "excluded"])
def test_conditions_on_several_indices_as_one(where):
    """Filters 1 to 3 of 6, which lie in both groups of 3."""
    geometry = GEOMETRIES[2]
    arrays, sizes = drawn(geometry), sizes_of(Layer(geometry, IMAGES))
    some = Condition(Linear.of({"F.+": 1}), low=Linear.of({}, 1), high=Linear.of({}, 3))
    whole = formula("dX", geometry)
    found = dataclasses.replace(whole, terms=(dataclasses.replace(whole.terms[0], **{where: (some,)}),))
    left_out = [0, 4, 5] if where == "conditions" else [1, 2, 3]
    F = arrays["F"].copy()
    F[left_out] = 0
    np.testing.assert_array_equal(found.predict(sizes, arrays), expected("dX", geometry, arrays | {"F": F}))


@pytest.mark.parametrize(
    "record", [Linear(), Axis("n", "N"), Condition(Linear()), Coefficient(), TERM, TERM.views[0], TERM.equations[0]]
)
def test_what_is_known_by_its_identity_cannot_be_changed(record):
    name = dataclasses.fields(record)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError, match=name):
        setattr(record, name, None)


def test_what_lies_beyond_several_indices_as_one_takes_no_part():
    """An image of one pixel: the second response would read a pixel that is none."""
    geometry = Geometry((1, 1, 1), (1, 1, 1, 1), padding=((0, 1), (0, 0)))
    arrays, found = drawn(geometry), formula("S", geometry)
    pixel = Equation("X.*", Linear.of({"S.l": 1}))
    term = dataclasses.replace(found.terms[0], equations=(*found.terms[0].equations[:-2], pixel))
    read = dataclasses.replace(found, terms=(term, *found.terms[1:]))
    predicted = read.predict(sizes_of(Layer(geometry, IMAGES)), arrays)
    np.testing.assert_array_equal(predicted, expected("S", geometry, arrays))


def test_several_indices_as_one_have_no_values_where_an_axis_is_empty():
    term = dataclasses.replace(TERM, equations=(*TERM.equations[:-2], Equation("dX.*", Linear.of({"G.l": 1}))))
    columns = term.tuples(sizes_of(Layer(GEOMETRIES[1], IMAGES)), (IMAGES, 3, 0, 5))
    assert {column.size for column in columns.values()} == {0}


def test_several_indices_as_one_count_row_by_row():
    columns = {"dX.y": np.array([0, 0, 2]), "dX.x": np.array([0, 3, 1])}
    flat = TERM.flats(columns, sizes_of(Layer(GEOMETRIES[1], IMAGES)))
    assert {name: column.tolist() for name, column in flat.items()} == {"dX.*": [0, 3, 11]}
