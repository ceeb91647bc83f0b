"""The frozen formulas: each is wrong, at layers that tell formulas apart."""

import numpy as np
import pytest

from tests.formula import frozen
from tests.zoo import Layer, Program

THEORIES = frozen.theories()


def right(theory, layer):
    program = Program(theory.options, theory.about, ())
    return program.value(layer.draw(2))


def computed(theory, layer):
    arrays = layer.draw(2)
    b = arrays["b"] if theory.options["bias"] else None
    return theory.function(layer)(arrays["X"], arrays["F"], arrays["G"], b)


def test_every_frozen_formula_is_wrong_somewhere_and_most_at_larger_layers_too():
    wrong_at_larger = 0
    for theory in THEORIES:
        wrong = [not same(computed(theory, layer), right(theory, layer)) for layer in theory.layers]
        larger = [not same(computed(theory, layer), right(theory, layer)) for layer in theory.larger]
        assert any(wrong + larger), theory.title
        wrong_at_larger += any(larger)
    assert wrong_at_larger > 0.9 * len(THEORIES)


def same(found, expected):
    return found.shape == expected.shape and np.allclose(found, expected, rtol=1e-12, atol=0)


def test_layers_are_small_and_differ_in_every_size():
    for theory in THEORIES:
        small = {layer: layer.geometry for layer in theory.layers}
        assert max(max(geometry.image[1:]) for geometry in small.values()) <= 16
        if len(small) > 8:
            assert len({layer.images for layer in small}) > 2
            assert len({geometry.filters for geometry in small.values()}) > 5


def test_every_result_is_there_and_what_is_left_out_says_why():
    assert {theory.about for theory in THEORIES} == {"S", "dX", "dF", "db"}
    assert len(THEORIES) > 600
    assert all(each["why"] for each in frozen.left_out())


def test_a_formula_is_known_at_its_layers_alone():
    theory = THEORIES[0]
    with pytest.raises(KeyError, match="Layer"):
        theory.function(Layer(theory.layers[0].geometry, 99))
