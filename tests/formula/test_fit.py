"""Mistakes in small programs, and the facts that their formulas state."""

import numpy as np
import pytest

from jacobians import Geometry
from jacobians.formula.products import MOST_CALLS, Unreadable
from jacobians.formula.reading import formula_of
from jacobians.formula.structure import Structure, sizes_of
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
