"""Functions of which nothing is known: their formula, and which convolution they are, or why they are none."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import convolve2d, correlate2d

from jacobians import Geometry, convolve, formula
from jacobians.errors import DtypeError, ShapeError
from jacobians.formula import Unreadable, read


def conv(X, F, b=None, **options):
    geometry = Geometry(X.shape[1:], F.shape, **options)
    return np.stack([convolve(image, F, geometry, bias=b) for image in X])


def planes_last(X, F):
    S = conv(X.transpose(0, 3, 1, 2), F.transpose(3, 2, 0, 1), stride=(2, 1), padding=((1, 0), (0, 2)))
    return S.transpose(0, 2, 3, 1)


def turned(X, F):
    return conv(X, F[:, :, ::-1, ::-1], stride=(1, 2), padding=((2, 1), (0, 1)), dilation=(2, 1))


def transposed(X, F, stride=(2, 3), cut=1):
    """F is (d, n, k, l), as PyTorch has it."""
    (N, _, H, W), (_, n, K, L), (s, r) = X.shape, F.shape, stride
    S = np.zeros((N, n, (H - 1) * s + K, (W - 1) * r + L))
    for y, x in np.ndindex(H, W):
        S[:, :, s * y : s * y + K, r * x : r * x + L] += np.einsum("nk,kiab->niab", X[:, :, y, x], F)
    return S[:, :, cut:, : S.shape[3] - cut]


def depthwise(X, F):
    """F is (d, k, l)."""
    return conv(X, F[:, None], groups=X.shape[1], padding=1)


def same_of_tensorflow(X, F):
    zeros = [max((-(-h // 2) - 1) * 2 + k - h, 0) for h, k in zip(X.shape[2:], F.shape[2:], strict=True)]
    return conv(X, F, stride=2, padding=[(z // 2, z - z // 2) for z in zeros])


def causal(X, F):
    return conv(X, F, stride=3, padding=[(k - 1, 0) for k in F.shape[2:]])


def wrapped(X, F):
    k, l = F.shape[2:]
    return conv(np.pad(X, ((0, 0), (0, 0), (0, k - 1), (0, l - 1)), mode="wrap"), F)


@functools.cache
def read_once(function, layout):
    return read(function, layout=layout)


# Given where the fact is another one: code that is no convolution is read in every layout in which it can be called.
PLANES_FIRST = "NCHW,OIHW->NCHW"
SOME = {"stride": (2, 1), "padding": ((1, 0), (2, 1)), "dilation": (1, 2)}


@pytest.mark.parametrize(
    ("function", "facts"),
    [
        (lambda X, F: conv(X, F, **SOME), {**SOME, "layout": "NCHW,OIHW->NCHW", "turned": False, "groups": 1}),
        (lambda X, F: conv(X, F, stride=3), {"stride": (3, 3), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}),
        (turned, {"stride": (1, 2), "padding": ((2, 1), (0, 1)), "dilation": (2, 1), "turned": True}),
        (planes_last, {"stride": (2, 1), "padding": ((1, 0), (0, 2)), "layout": "NHWC,HWIO->NHWC", "turned": False}),
        (lambda X, F: conv(X[None], F, padding=1)[0], {"padding": ((1, 1), (1, 1)), "layout": "CHW,OIHW->CHW"}),
        (lambda X, F: conv(X, F, groups=2, stride=2), {"groups": 2, "stride": (2, 2), "depthwise": False}),
        (depthwise, {"depthwise": True, "padding": ((1, 1), (1, 1)), "layout": "NCHW,OHW->NCHW"}),
        (transposed, {"transposed": True, "stride": (2, 3), "padding": ((1, 0), (0, 1)), "layout": "NCHW,IOHW->NCHW"}),
        (lambda X, F: transposed(X, F.transpose(3, 2, 0, 1)), {"transposed": True, "layout": "NCHW,HWOI->NCHW"}),
        (same_of_tensorflow, {"stride": (2, 2), "padding": (("⌊z/2⌋", "⌈z/2⌉"),) * 2, "transposed": False}),
        (causal, {"stride": (3, 3), "padding": (("k − 1", 0),) * 2}),
        (convolve2d, {"turned": True, "padding": (("k − 1", "k − 1"),) * 2, "layout": "HW,HW->HW"}),
        (lambda X, F: correlate2d(X, F, "valid"), {"turned": False, "padding": ((0, 0), (0, 0))}),
    ],
)
def test_a_convolution_is_named_by_its_options(function, facts):
    found = read_once(function, None)
    assert found.is_convolution
    assert {name: getattr(found, name) for name in facts} == facts
    assert found.layers >= 20


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        (1, {"stride": 3, "padding": ((2, 1),), "dilation": 2}),
        (3, {"stride": (2, 1, 1), "padding": ((0, 0), (1, 0), (0, 0))}),
    ],
)
def test_one_and_three_axes(axes, options):
    found = read(lambda X, F: conv(X, F, **options), spatial_ndim=axes)
    right = Geometry((1, *(20,) * axes), (1, 1, *(2,) * axes), **options)
    assert found.is_convolution
    assert (found.stride, found.padding, found.dilation) == (right.stride, right.padding, right.dilation)


def test_the_bias_is_read_and_the_formula_is_printed():
    found = read(lambda X, F, b: conv(X, F, b, padding=2), bias=True)
    assert found.write() == "S[i, l, m] = Σ X[k, y, x] · F[i, k, a, b] + b[i]   over  y = l + a − 2,  x = m + b − 2"
    assert found.write() == str(found).splitlines()[0]
    assert "\\sum" in found.write("latex")
    assert found.write("text").isascii()
    assert json.loads(json.dumps(found.to_dict()))["padding"] == [[2, 2], [2, 2]]


def test_a_function_of_one_plane_may_take_a_bias():
    found = read(lambda X, F, b: convolve2d(X, F, mode="valid") + b, bias=True)
    assert (found.is_convolution, found.layout, found.turned) == (True, "HW,HW->HW", True)
    assert "+ b[i]" in found.write()
    assert not read(lambda X, F, b: convolve2d(X, F, mode="valid") - b, bias=True).is_convolution


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_other_dtypes(dtype):
    def only_this(X, F):
        assert {X.dtype, F.dtype} == {np.dtype(dtype)}
        return conv(X, F, stride=(1, 2), padding=1)

    found = read(only_this, dtype=dtype)
    assert (found.is_convolution, found.stride, found.padding) == (True, (1, 2), ((1, 1), (1, 1)))


@pytest.mark.parametrize("function", [wrapped, turned, transposed, same_of_tensorflow])
def test_the_formula_gives_what_the_function_gives_at_a_layer_it_was_not_read_at(function):
    """Larger than all of them; a formula that ignores where it is wrong would be seen here."""
    generator = np.random.default_rng(7)
    X, F = generator.integers(-9, 9, (2, 3, 37, 29)), generator.integers(-9, 9, (4, 3, 6, 4))
    given = F.swapaxes(0, 1) if function is transposed else F
    found = read_once(function, None)
    np.testing.assert_array_equal(found.responses(X, F), function(X, given))
    assert not np.array_equal(found.responses(X, F), found.responses(X, F[:, :, ::-1]))


@pytest.mark.parametrize(
    ("function", "layout", "difference"),
    [
        (wrapped, None, "from the other end"),
        (lambda X, F: convolve2d(X, F, "same", "symm"), None, "mirrored"),
        (lambda X, F: conv(X, F) / len(X), PLANES_FIRST, "divided by N"),
        (lambda X, F: conv(X, F) + 3, PLANES_FIRST, "3 is added"),
        (lambda X, F: -conv(X, F), PLANES_FIRST, "the sign of every product is wrong"),
        (lambda X, F: conv(X[:, ::-1], F), PLANES_FIRST, "plane"),
    ],
)
def test_another_relation_is_no_convolution_and_what_differs_is_said(function, layout, difference):
    found = read_once(function, layout)
    assert not found.is_convolution
    assert len(found.differences) == 1
    assert difference in found.differences[0]


def relu(X, F):
    return np.maximum(conv(X, F, padding=1), 0)


def leaky(X, F):
    S = conv(X, F)
    return np.where(S > 0, S, S / 8)


def kept_by_shapes():
    memory = {}
    return lambda X, F: memory.setdefault((X.shape, F.shape), conv(X, F))


def counting():
    calls = []
    return lambda X, F: calls.append(1) or conv(X, F) * len(calls)


def random():
    generator = np.random.default_rng(0)
    return lambda X, F: conv(X, F) * (generator.random() > 0.5)


@pytest.mark.parametrize(
    ("function", "layout", "why"),
    [
        (relu, None, r"a ReLU, max\(0, ·\), to S\[i, l, m\] = .* y = l \+ a − 1"),
        (leaky, PLANES_FIRST, r"a leaky ReLU, with slope 0\.125 "),
        (lambda X, F: np.abs(conv(X, F)), PLANES_FIRST, "the absolute value"),
        (lambda X, F: conv(X, F) ** 2, PLANES_FIRST, "not linear in X: multiplying X by 2"),
        (lambda X, F: conv(X, F**3), PLANES_FIRST, "not linear in F: multiplying F by 2"),
        (lambda X, F: np.sort(conv(X, F)), PLANES_FIRST, r"S\(X₁ \+ X₂\) ≠ S\(X₁\) \+ S\(X₂\)"),
        (lambda X, F: conv(X, F) / np.abs(X).sum(), None, "NaN or infinite entries"),
        (
            lambda X, F: conv(X, F)[:, :, : 1 + int(X.flat[0] > 0)],
            PLANES_FIRST,
            "The shape of the result depends on the numbers in X",
        ),
        (kept_by_shapes(), PLANES_FIRST, "depends on earlier calls"),
        (counting(), None, "same call returned different results"),
        (random(), None, "same call returned different results"),
        (lambda X, F: X.nope, None, "AttributeError: 'numpy.ndarray' object has no attribute 'nope'"),
        (lambda X: X, None, "takes 1 positional argument"),
    ],
)
def test_why_there_is_no_formula(function, layout, why):
    with pytest.raises(Unreadable, match=why):
        read(function, layout=layout)


def test_what_the_function_raises_is_the_cause():
    with pytest.raises(Unreadable, match="ZeroDivisionError") as caught:
        read(lambda X, F: 1 // 0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_layout_and_groups_that_are_given_are_not_searched():
    found = read(planes_last, layout="NHWC,HWIO->NHWC", groups=1)
    assert found.layout == "NHWC,HWIO->NHWC"
    with pytest.raises(Unreadable, match="cannot be called"):
        read(planes_last, layout="NCHW,OIHW->NCHW", groups=1)


def test_unusable_arguments():
    with pytest.raises(TypeError, match="function has type int"):
        read(3)
    with pytest.raises(ShapeError, match="spatial_ndim is 4; it needs an integer from 1 to 3"):
        read(conv, spatial_ndim=4)
    with pytest.raises(ShapeError, match='layout is "NHCW"'):
        read(conv, layout="NHCW")
    with pytest.raises(ShapeError, match='the nearest layout is "NHWC,HWIO->NHWC"'):
        read(conv, layout="NHWC,HWCO->NHWC")
    for layout in ("NCW,OIW->NCW", "N(CHW),OIHW->N(CHW)"):
        with pytest.raises(ShapeError, match="it needs HW for the spatial axes, each an axis of its own"):
            read(conv, layout=layout)
    with pytest.raises(ShapeError, match='groups is 2, but the layout "HW,HW->HW" has no planes'):
        read(convolve2d, layout="HW,HW->HW", groups=2)
    with pytest.raises(DtypeError, match="dtype is 'float16'; it needs one of float64, float32"):
        read(conv, dtype="float16")


def test_the_function_is_not_hidden_by_a_module_of_its_name():
    assert not list(Path(formula.__file__).parent.glob("read.py"))
    assert formula.read is read
