"""Mistakes in small programs, and the facts that their formulas state."""

from fractions import Fraction

import numpy as np
import pytest

from jacobians import Geometry
from jacobians.formula import coefficients
from jacobians.formula.products import MOST_CALLS, Unreadable
from jacobians.formula.reading import formula_of
from jacobians.formula.relation import FIRST_TWO, PAIRS, Linear, stepped
from jacobians.formula.structure import Structure, right, sizes_of
from tests.zoo import Layer

OPTIONS = {"stride": (2, 1), "padding": ((1, 0), (1, 1)), "dilation": (1, 2)}


def geometry_of(image, filters):
    return Geometry(image, filters, **OPTIONS)


def filter_gradient(geometry, arrays, *, shift=0, rows=slice(None), turned=False, border=None, scale=None):
    """∂l/∂F tap by tap, with room for one mistake."""
    X, G = arrays["X"], arrays["G"][:, :, rows]
    (top, bottom), (left, right) = geometry.padding
    mode = {"mode": border} if border else {}
    X = np.pad(X, ((0, 0), (0, 0), (top, bottom + shift), (left, right)), **mode)
    dF = np.zeros(geometry.filters)
    for a, b in np.ndindex(geometry.filters[2:]):
        y, x = a + shift, 2 * b
        pixels = X[:, :, y : y + 2 * geometry.responses[1] - 1 : 2, x : x + geometry.responses[2]][:, :, rows]
        dF[:, :, a, b] = np.einsum("nilm,nklm->ik", G, pixels)
    if turned:
        dF = dF[:, :, ::-1]
    return dF * (scale(geometry) if scale else 1)


def found(counted=None, **mistake):
    def call(layer, arrays):
        if counted is not None:
            counted.append(layer)
        zeros = {letter: np.zeros(shape) for letter, shape in layer.shapes.items()}
        return filter_gradient(layer.geometry, zeros | arrays, **mistake)

    return formula_of(call, "dF", Structure(2, 1), geometry_of, "float64")


def equation(formula, index):
    return next(each for each in formula.terms[0].equations if each.index == index)


def predicts(formula, **mistake):
    layer = Layer(geometry_of((3, 12, 11), (2, 3, 4, 3)), 3)
    arrays = layer.draw(4)
    return np.allclose(formula.predict(sizes_of(layer), arrays), filter_gradient(layer.geometry, arrays, **mistake))


def test_right_code_has_the_right_equations_and_few_calls():
    calls = []
    formula = found(calls)
    assert dict(equation(formula, "X.y").value.terms) == {"G.l": 2, "dF.a": 1}
    assert equation(formula, "X.y").value.constant == -1
    assert formula.terms[0].conditions == ()
    assert len(calls) <= MOST_CALLS
    assert predicts(formula)


def test_pixels_one_too_far_change_the_constant():
    formula = found(shift=1)
    assert equation(formula, "X.y").value.constant == 0
    assert predicts(formula, shift=1)
    assert not predicts(formula)


def test_taps_turned_over_change_the_sign():
    formula = found(turned=True)
    assert equation(formula, "X.y").value.coefficient("dF.a") == -1
    assert equation(formula, "X.y").value.coefficient("K") == 1
    assert predicts(formula, turned=True)


@pytest.mark.parametrize(
    ("rows", "low", "high"),
    [(slice(1, None), 1, None), (slice(0, -1), None, -2)],
)
def test_rows_left_out_are_a_condition(rows, low, high):
    formula = found(rows=rows)
    (condition,) = formula.terms[0].conditions
    assert condition.form.terms == (("G.l", 1),)
    if low is not None:
        assert condition.low.constant == low
    else:
        assert condition.high.constant == high
        assert condition.high.coefficient("H'") == 1
    assert predicts(formula, rows=rows)


def test_every_second_row_is_a_remainder():
    formula = found(rows=slice(None, None, 2))
    (condition,) = formula.terms[0].conditions
    assert condition.modulus == 2
    assert predicts(formula, rows=slice(None, None, 2))


@pytest.mark.parametrize(("mode", "kind"), [("wrap", "wrap"), ("edge", "clamp"), ("reflect", "reflect")])
def test_a_border_is_a_fold(mode, kind):
    formula = found(border=mode)
    assert kind in {each.fold for each in formula.terms[0].equations}
    assert predicts(formula, border=mode)


@pytest.mark.parametrize(
    ("scale", "number", "powers"),
    [
        (lambda geometry: -1, -1, ()),
        (lambda geometry: 0.25, 0.25, ()),
        (lambda geometry: 1 / geometry.responses[1], 1, (("H'", -1),)),
    ],
)
def test_a_factor_is_a_coefficient(scale, number, powers):
    formula = found(scale=scale)
    coefficient = formula.terms[0].coefficient
    assert (coefficient.number, coefficient.powers) == (number, powers)
    assert predicts(formula, scale=scale)


def test_code_of_less_precision_that_raises_at_some_layers_has_the_same_formula():
    def call(layer, arrays):
        if layer.images == 3:
            return None  # as code that raises there
        zeros = {letter: np.zeros(shape) for letter, shape in layer.shapes.items()}
        return filter_gradient(layer.geometry, zeros | arrays, turned=True).astype("float32")

    formula = formula_of(call, "dF", Structure(2, 1), geometry_of, "float32")
    assert predicts(formula, turned=True)


def test_code_that_is_not_linear_has_no_formula():
    def call(layer, arrays):
        return np.maximum(arrays.get("G", np.zeros(layer.shapes["G"])).sum((0, 2, 3)) - 50, 0) ** 2

    with pytest.raises(Unreadable, match=r"products|linear|told"):
        formula_of(call, "db", Structure(2, 1), geometry_of, "float64")


def test_code_that_gives_another_shape_for_zeros_has_no_formula():
    def call(layer, arrays):
        return np.ones(layer.geometry.filters if len(arrays) > 1 else 7)

    with pytest.raises(Unreadable, match="no result of the same shape"):
        formula_of(call, "dF", Structure(2, 1), geometry_of, "float64")


def image_gradient(change):
    """The formula of right ∂l/∂X with one change of its result or its factors."""
    structure = Structure(2, 1)
    formula = right("dX", structure, geometry_of((2, 9, 9), (3, 2, 3, 2)))

    def call(layer, arrays):
        zeros = {letter: np.zeros(shape) for letter, shape in layer.shapes.items()}
        return change(zeros | arrays, lambda given: formula.predict(sizes_of(layer), given))

    found = formula_of(call, "dX", structure, geometry_of, "float64")
    layer = Layer(geometry_of((3, 12, 11), (5, 3, 4, 3)), 3)
    arrays = {letter: each for letter, each in layer.draw(4).items() if letter in "FG"}
    expected = change(arrays, lambda given: formula.predict(sizes_of(layer), given))
    assert np.array_equal(found.predict(sizes_of(layer), arrays), expected)
    return found


def test_a_result_that_is_rolled_has_positions_that_are_limited_before_they_wrap():
    formula = image_gradient(lambda arrays, run: np.roll(run(arrays), -1, axis=3))
    (term,) = formula.terms
    assert {each.index: each.fold for each in term.equations}["dX.x"] == "wrap"
    assert {each.form for each in term.conditions} == {Linear.of({"G.m": 1, "F.b": 2})}
    assert [each.low for each in term.conditions if each.low] == [Linear.of({}, 1)]
    assert [each.high for each in term.conditions if each.high] == [Linear.of({"W": 1})]


@pytest.mark.parametrize(("step", "order"), [(PAIRS, [1, 0, 3, 2, 4]), (FIRST_TWO, [1, 0, 2, 3, 4])])
def test_entries_that_change_places_are_steps_of_a_view(step, order):
    assert stepped(5, step).tolist() == order
    assert stepped(1, step).tolist() == [0]

    def change(arrays, run):
        return run(arrays | {"F": arrays["F"][stepped(len(arrays["F"]), step)]})

    (term,) = image_gradient(change).terms
    assert [each for view in term.views for each in view.steps] in [[(0, step)], [(1, step)]]
    assert term.conditions == ()


def test_filters_counted_over_all_groups_are_one_index_where_it_is_clamped():
    structure = Structure(1, 2)
    rows = {"n/g": 3, "g": 2}

    def options(image, filters):
        return Geometry(image, filters, groups=2)

    def call(layer, arrays):
        G = arrays.get("G", np.zeros(layer.shapes["G"]))
        at = np.minimum(np.arange(G.shape[1]), G.shape[2] - 1)
        return G[:, np.arange(G.shape[1]), at].sum(axis=0)

    formula = formula_of(call, "db", structure, options, "float64")
    (found,) = [each for term in formula.terms for each in term.equations if each.index == "G.l"]
    assert found.fold == "clamp"
    columns = {"G.g": np.arange(rows["g"]), "G.i": np.arange(rows["g"])}
    assert found.value.scaled(columns | {"db.g": columns["G.g"], "db.i": columns["G.i"]}, rows).tolist() == [0, 4]


def test_powers_of_sizes_are_found_exactly_or_not_at_all():
    sizes = [{"N": N, "H": H, "W": W} for N, H, W in ((2, 5, 7), (3, 4, 11), (5, 9, 8))]
    names = ["N", "H", "W"]
    exact = [Fraction(-3 * each["W"], 7 * each["N"] * each["H"]) for each in sizes]
    found = coefficients._powers(list(zip(exact, sizes, strict=True)), names)
    assert (found.number, dict(found.powers)) == (Fraction(-3, 7), {"N": -1, "H": -1, "W": 1})
    # So near that logarithms do not tell, of another sign at one layer, and nothing at one layer.
    for change in (1 + Fraction(1, 2**60), -1, 0):
        other = [exact[0] * change, *exact[1:]]
        assert coefficients._powers(list(zip(other, sizes, strict=True)), names) is None
