"""Layers of Keras, where it is installed, by class and by object."""

import importlib.util
import os

import pytest

from jacobians import CallError, Geometry, audit

pytestmark = pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="keras is not installed")


@pytest.fixture(scope="module")
def keras():
    """Imported by the process that runs these tests alone: it takes seconds."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    if keras.backend.backend() not in {"torch", "jax"}:
        pytest.skip("keras runs on tensorflow")
    return keras


def turned(keras):
    class Turned(keras.layers.Conv2D):
        """The kernel is rotated."""

        def convolution_op(self, inputs, kernel):
            return super().convolution_op(inputs, keras.ops.flip(kernel, axis=(0, 1)))

    return Turned


def test_an_object_has_its_own_options(keras):
    # With some axes of size 1, PyTorch refuses the gradient of a kernel that Keras has turned.
    geometry = Geometry((2, 7, 6), (4, 2, 3, 3), stride=2, padding=((1, 1), (0, 1)))
    report = audit(keras.layers.Conv2D(4, 3, strides=2, padding="same"), geometries=[geometry])
    assert report.check().audited == ("S", "∂l/∂X", "∂l/∂F", "∂l/∂b")
    assert "padding same-tf" in report.options
    with pytest.raises(CallError, match="stride"):
        audit(keras.layers.Conv2D(4, 3, strides=2, padding="same"), stride=1)


def test_a_class_is_made_with_what_is_asked_for(keras):
    geometry = Geometry((4, 7, 6), (6, 2, 3, 2), stride=2, groups=2)
    assert audit(keras.layers.Conv2D, stride=2, groups=2, geometries=[geometry]).ok
    with pytest.raises(CallError, match="same-tf"):
        audit(keras.layers.Conv2D, padding=1)


def test_a_wrong_layer_is_told_in_its_own_axes(keras):
    finding = audit(turned(keras)(2, 3, use_bias=False), geometries=[Geometry((2, 5, 6), (3, 2, 2, 3))]).findings[0]
    assert finding.anchor == "filter-turned"
    assert "S[l, m, i] = Σ X[y, x, k] · F[a, b, k, i]" in finding.formula
    assert finding.case.endswith("×5×6×2, F 2×3×2×3, stride 1, padding 0")
