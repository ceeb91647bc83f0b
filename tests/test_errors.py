"""Errors suggest the nearest of the names that there are."""

import numpy as np
import pytest

from jacobians import Geometry, audit, network, symbolic, verify
from jacobians.errors import DtypeError, nearest

LAYER = Geometry((1, 3, 4), (1, 1, 2, 2))
NET = network.Network([LAYER], 2)
X = np.arange(12.0).reshape(LAYER.image)


def test_the_nearest_name_is_suggested():
    known = ["image_matrix", "filter_matrix", "rot180"]
    assert nearest("filter_matrx", known) == "; did you mean filter_matrix?"
    assert nearest("ROT180", known) == "; did you mean rot180?"
    assert nearest("prove", known) == ""
    assert nearest(None, known) == ""
    assert nearest("x", []) == ""


@pytest.mark.parametrize(
    ("call", "suggested"),
    [
        (lambda: symbolic.view("filter_gradent", LAYER), "filter_gradient"),
        (lambda: symbolic.render(symbolic.image_matrix(LAYER), "LaTeX"), "latex"),
        (lambda: symbolic.equations(["S11"], [1], "unicod"), "unicode"),
        (lambda: verify([LAYER], identities=["l18"]), "L18"),
        (lambda: audit(abs, dtype="fp16 float16"), "float16"),
        (lambda: Geometry((1, 3, 3), (1, 1, 2, 2), padding="vaild"), "valid"),
        (
            lambda: NET.pull_back(NET.parameters(0), NET.trace(NET.parameters(0), X, [1, 0]), [1, 2], "jacobian"),
            "jacobians",
        ),
    ],
)
def test_every_place_that_takes_a_name_suggests_one(call, suggested):
    with pytest.raises((ValueError, DtypeError), match=rf"; did you mean {suggested}\?$"):
        call()
