"""The frozen formulas are the catalogue's; to be deleted together with it."""

from collections import defaultdict

import numpy as np
import pytest

from jacobians.audit.formulas import Numbers
from jacobians.audit.theories import THEORIES
from jacobians.audit.theories.base import RIGHT
from tests.formula import frozen

CATALOGUE = defaultdict(list)
for each in THEORIES:
    CATALOGUE[each.about, each.title].append(each)
FROZEN = frozen.theories()


@pytest.mark.parametrize("number", range(0, len(FROZEN), 3))
def test_the_products_give_the_numbers_of_a_theory_of_that_title(number):
    theory = FROZEN[number]
    assert any(
        all(agrees(theory, layer, each) for layer in (*theory.layers, *theory.larger)) for each in candidates(theory)
    )


def test_another_theory_does_not_agree():
    theory = FROZEN[0]
    others = [each for each in THEORIES if each.about == theory.about and each.title != theory.title]
    assert not any(all(agrees(theory, layer, each) for layer in theory.layers) for each in others)


def candidates(theory):
    return CATALOGUE[theory.about, theory.title]


def agrees(theory, layer, each):
    arrays = layer.draw(5)
    b = arrays["b"] if theory.options["bias"] else 0 * arrays["b"]
    numbers = Numbers(layer.geometry, arrays["X"], arrays["F"], b, arrays["G"])
    predicted = each.predict(numbers)
    if predicted is None and each.everywhere:  # it makes no difference there
        predicted = RIGHT[each.about](numbers)
    found = theory.function(layer)(arrays["X"], arrays["F"], arrays["G"], b)
    return (
        predicted is not None
        and np.shape(predicted) == found.shape
        and np.allclose(predicted, found, rtol=1e-12, atol=1e-9, equal_nan=True)
    )
