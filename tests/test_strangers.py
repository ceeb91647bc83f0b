"""Layers as strangers write them are audited without an adapter: right ones are right, and wrong ones are convicted."""

import pytest

from jacobians import Geometry, audit
from tests import strangers

SQUARE = {"filters": ((3, 2, 2, 2), (2, 1, 3, 3), (2, 3, 1, 1))}
# Functions or a class, options, which result a mistake makes wrong, and what the report notes.
STRANGERS = {
    "cs231n": ((strangers.conv_forward_naive, strangers.conv_backward_naive), {"stride": 2, "padding": 1}, "∂l/∂X"),
    "cs231n im2col": ((strangers.conv_forward_im2col, strangers.conv_backward_im2col), {"padding": 1}, "∂l/∂F"),
    "coursera": ((strangers.conv_forward, strangers.conv_backward), {"stride": 2, "padding": 1, **SQUARE}, "∂l/∂b"),
    "keywords": ((strangers.correlate,), {"stride": (2, 1), "padding": (1, 0)}, "S"),
    "cmu": ((strangers.Conv2d_stride1,), SQUARE, "∂l/∂X"),
    "fau": ((strangers.Conv,), {"stride": (2, 1)}, "∂l/∂F"),
    "minitorch": ((strangers.Conv2dFun,), {}, "∂l/∂F"),
    "dezero": ((strangers.Conv2dFunction,), {"stride": 2, "padding": 1}, "∂l/∂b"),
    "chainer": ((strangers.Convolution2DFunction,), {"stride": 2, "padding": 1}, "∂l/∂X"),
    "keras": ((strangers.Conv2D,), {"stride": 2}, "∂l/∂b"),
    "tinygrad": ((strangers.conv2d,), {"groups": 2, "dilation": 2, "padding": 1}, "S"),
    "numpy-ml": ((strangers.LazyConv2D,), {"dilation": 2, "padding": 1, "stride": 2}, "∂l/∂F"),
    "scratch": ((strangers.Convolution,), {"padding": 1}, "∂l/∂X"),
    "updating": ((strangers.Convolutional,), SQUARE, "∂l/∂F"),
    "columns": ((strangers.ConvLayer,), {"stride": 2}, "∂l/∂F"),
    "parameters": ((strangers.ConvBlock,), {"padding": "same", "filters": ((3, 2, 3, 3), (2, 3, 1, 1))}, "∂l/∂b"),
    "momentum": ((strangers.Momentum,), {"stride": 2}, "∂l/∂X"),
    "object": ((strangers.scattering,), {"filters": ((3, 2, 2, 4),)}, "∂l/∂X"),
    "factory": ((strangers.make_layer,), {"stride": 2}, "∂l/∂F"),
    "method": ((strangers.Momentumless.forward, strangers.Momentumless.backward), {"stride": 2}, "∂l/∂F"),
}


def layers(options, filters=((3, 2, 2, 3), (2, 1, 3, 1), (2, 3, 1, 2))):
    """A few small layers, with and without a tail."""
    groups = options.get("groups", 1)
    given = {"stride": (2, 1)} if "object" in options else options
    for n, planes, *taps in filters:
        for size in ((7, 6), (6, 8)):
            yield Geometry((groups * planes, *size), (groups * n, planes, *taps), **given)


def report(name, mistake=None):
    functions, options, _ = STRANGERS[name]
    strangers.WRONG.clear()
    strangers.WRONG.update({name} if mistake else ())
    try:
        filters = options.get("filters")
        given = {option: value for option, value in options.items() if option != "filters"}
        fixed = {"stride": (2, 1)} if name == "object" else given
        shapes = layers(fixed, filters) if filters else layers(fixed)
        return audit(*functions, **given, geometries=shapes)
    finally:
        strangers.WRONG.clear()


@pytest.mark.parametrize("name", STRANGERS)
def test_right_code_is_right_without_an_adapter(name):
    found = report(name)
    assert found.check().ok
    assert any(note.startswith("it is called as ") for note in found.notes)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("name", STRANGERS)
def test_wrong_code_is_wrong_there_and_nowhere_else(name):
    found = report(name, mistake=True)
    assert {each.about for each in found.findings} == {STRANGERS[name][2]}
