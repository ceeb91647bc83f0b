"""The frozen wrong formulas, read from their small layers, predict their larger ones.

All of them with HYPOTHESIS_PROFILE=thorough; else every thirty-sixth.
"""

import os

import numpy as np

from jacobians import Geometry
from jacobians.evidence.exact import gamma
from jacobians.formula.products import Unreadable
from jacobians.formula.reading import formula_of
from jacobians.formula.structure import Layer, Structure, sizes_of
from tests.formula import frozen
from tests.zoo import Layer as Drawn

EVERY = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 36
LEAST_SHARE = 0.85


def read(theory):
    """Return the formula that is read from the small layers; None where there is none."""
    options = {name: theory.options[name] for name in ("stride", "padding", "dilation", "groups")}

    def call(layer, arrays):
        zeros = {letter: np.zeros(shape) for letter, shape in layer.shapes.items()}
        return computed(theory, Drawn(layer.geometry, layer.images), zeros | arrays)

    def geometry_of(image, filters):
        return Geometry(image, filters, **options)

    layers = [Layer(each.geometry, each.images) for each in theory.layers]
    structure = Structure(theory.options["spatial_ndim"], theory.options["groups"])
    try:
        return formula_of(call, theory.about, structure, geometry_of, "float64", layers=layers)
    except Unreadable:
        return None


def predicts(formula, theory):
    """Whether a formula gives what a theory gives at its larger layers."""
    return formula is not None and all(agrees(formula, theory, layer) for layer in theory.larger)


def agrees(formula, theory, layer):
    arrays = layer.draw(3)
    predicted, expected = formula.predict(sizes_of(layer), arrays), computed(theory, layer, arrays)
    if predicted.shape != expected.shape:
        return False
    known = np.isfinite(expected)
    # Two sums of the same products, of which there are no more than numbers, with a rounded coefficient each.
    terms = 2 + sum(each.size for each in arrays.values())
    bound = 2 * float(gamma(terms, "float64")) * formula.predict(sizes_of(layer), arrays, absolute=True)
    return bool(np.all(np.abs(predicted - expected)[known] <= bound[known]))


def computed(theory, layer, arrays):
    b = arrays["b"] if theory.options["bias"] else None
    return theory.function(layer)(arrays["X"], arrays["F"], arrays["G"], b)


def test_most_frozen_formulas_are_read_and_predict_larger_layers():
    some = frozen.theories()[::EVERY]
    failed = [theory.title for theory in some if not predicts(read(theory), theory)]
    assert len(failed) <= (1 - LEAST_SHARE) * len(some), failed


def test_a_formula_that_was_read_does_not_predict_another_theory():
    theories = frozen.theories()
    theory = theories[5]
    alike = [each for each in theories if each.about == theory.about and each.larger == theory.larger]
    other = next(each for each in alike if each.title != theory.title)
    formula = read(theory)
    assert predicts(formula, theory)
    assert not predicts(formula, other)
