"""The frozen formulas: each is wrong, at layers that tell formulas apart."""

import numpy as np
import pytest

from jacobians.evidence.exact import gamma
from tests.formula import frozen
from tests.zoo import Layer, Program


def is_right(theory, layer):
    """Whether a frozen formula gives what is right, up to the rounding of one sum with a coefficient."""
    program, arrays = Program(theory.options, theory.about, ()), layer.draw(2)
    found, expected = computed(theory, layer), program.value(arrays)
    bound = float(gamma(program.terms(layer) + 2, "float64")) * program.magnitude(arrays)
    return found.shape == expected.shape and bool(np.all(np.abs(found - expected) <= bound))


def computed(theory, layer):
    arrays = layer.draw(2)
    b = arrays["b"] if theory.options["bias"] else None
    return theory.function(layer)(arrays["X"], arrays["F"], arrays["G"], b)


def test_every_frozen_formula_is_wrong_somewhere_and_most_at_larger_layers_too():
    wrong_at_larger, some = 0, frozen.theories()[::8]  # the data do not change
    for theory in some:
        wrong = [not is_right(theory, layer) for layer in theory.layers]
        larger = [not is_right(theory, layer) for layer in theory.larger]
        assert any(wrong + larger), theory.title
        wrong_at_larger += any(larger)
    assert wrong_at_larger > 0.9 * len(some)


def test_layers_are_small_and_differ_in_every_size():
    for theory in frozen.theories():
        small = {layer: layer.geometry for layer in theory.layers}
        assert max(max(geometry.image[1:]) for geometry in small.values()) <= 16
        if len(small) > 8:
            assert len({layer.images for layer in small}) > 2
            assert len({geometry.filters for geometry in small.values()}) > 5


def test_every_result_is_there_and_what_is_left_out_says_why():
    assert {theory.about for theory in frozen.theories()} == {"S", "dX", "dF", "db"}
    assert len(frozen.theories()) > 600
    assert all(each["why"] for each in frozen.left_out())


def test_a_formula_is_known_at_its_layers_alone():
    theory = frozen.theories()[0]
    with pytest.raises(KeyError, match="Layer"):
        theory.function(Layer(theory.layers[0].geometry, 99))
