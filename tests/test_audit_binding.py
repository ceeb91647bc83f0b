"""How code is found to be called, without an audit: the lines that call it, its options, and what they compute."""

import functools
import math

import numpy as np
import pytest

from jacobians import CallError, ShapeError
from jacobians.audit import conventions, sums, trials, with_layout
from jacobians.audit.binding import bound
from jacobians.audit.cases import Case, Only
from jacobians.audit.numbers import integers
from jacobians.audit.parameters import Form
from jacobians.audit.programs import Asked, Program, Wanted
from jacobians.audit.trials import FITTING, RIGHT, telling, tried
from tests import strangers
from tests.strangers import backward_of, forward_of

SQUARE = "the code takes one size for all axes of a filter: only square filters are audited"
EVEN = "the code takes one padding per axis: only layers with equal padding before and after are audited"
UPDATE = "∂l/∂F is computed from the update: the filters before it minus the filters after it"
LAST = "NHWC,HWIO->NHWO"
FLAT = "NCHW,OIHW->NO(HW)"


def found(forward=None, backward=None, **wanted):
    return bound({"forward": forward, "backward": backward}, Wanted(**wanted))


def called(of):
    """The lines that call the code."""
    prefix = "it is called as "
    return next((note.removeprefix(prefix).split("; ") for note in of.notes if note.startswith(prefix)), None)


def assert_right(of, filters=(3, 2, 3, 3)):
    """What is called computes what is right, at one layer."""
    groups = of.options.groups
    image, spatial = (filters[1] * groups, 7, 8, 9)[: len(filters) - 1], len(filters) - 2
    probe = integers(Case(of.options.geometry(image, filters), 2), of.options, 3, np.random.default_rng(0))
    right, arrays = sums.expected(probe), [probe.X, probe.F, *([probe.b] if of.options.bias else [])]
    forward, backward = (of.functions[side] for side in ("forward", "backward"))
    S = forward(*arrays)
    assert np.array_equal(S[0] if isinstance(S, tuple) else S, right["S"])
    for got, name in zip(backward(*arrays, probe.G) if backward else (), ("dX", "dF", "db"), strict=False):
        assert np.array_equal(got, right[name])
    assert spatial == of.options.spatial_ndim


# in which conventions -------------------------------------------------------------------------------------------------

OPTIONS = "={'stride': 2, 'pad': 1, 'padding': 1, 'dilation': 1, 'groups': 1}"
RETURNED = "dX, dF, db = (gradients[0], gradients[1], gradients[2])"
CONVENTIONS = {
    "cs231n": (
        (strangers.conv_forward_naive, strangers.conv_backward_naive),
        {"stride": 2, "padding": 1},
        f"""S, cache = conv_forward_naive(X, F, b, conv_param{OPTIONS})
        gradients = conv_backward_naive(G, cache)
        {RETURNED}""",
    ),
    "im2col": (
        (strangers.conv_forward_im2col, strangers.conv_backward_im2col),
        {"padding": 1},
        f"""S, cache = conv_forward_im2col(X, F, b, stride=1, pad=1)
        gradients = conv_backward_im2col(G, cache)
        {RETURNED}""",
    ),
    "coursera": (
        (strangers.conv_forward, strangers.conv_backward),
        {"stride": 2, "padding": 1, "layout": LAST},
        f"""S, cache = conv_forward(X, F, b.reshape(1, 1, 1, -1), hparameters{OPTIONS})
        gradients = conv_backward(G, cache)
        dX, dF, db = (gradients[0], gradients[1], gradients[2].reshape(-1))""",
    ),
    "keywords": (
        (strangers.correlate,),
        {"stride": (2, 1), "padding": (1, 0)},
        "S = correlate(X, stride=(2, 1), w=F, padding=(1, 0))",
    ),
    "cmu": (
        (strangers.Conv2d_stride1,),
        {},
        """layer = Conv2d_stride1(in_channels=d, out_channels=n, kernel_size=l)
        layer.W = F
        layer.b = b
        S = layer.forward(X)
        gradients = layer.backward(G)
        dX, dF, db = (gradients, layer.dLdW, layer.dLdb)""",
    ),
    "fau": (
        (strangers.Conv,),
        {"stride": (2, 1)},
        """layer = Conv(stride_shape=(2, 1), convolution_shape=(d, k, l), num_kernels=n)
        layer.weights = F
        layer.bias = b
        S = layer.forward(X)
        gradients = layer.backward(G)
        dX, dF, db = (gradients, layer.gradient_weights, layer.gradient_bias)""",
    ),
    "minitorch": (
        (strangers.Conv2dFun,),
        {},
        """ctx = Context()
        S = Conv2dFun.forward(ctx, X, F)
        gradients = Conv2dFun.backward(ctx, G)
        dX, dF = (gradients[0], gradients[1])""",
    ),
    "dezero": (
        (strangers.Conv2dFunction,),
        {"stride": 2, "padding": 1},
        f"""layer = Conv2dFunction(stride=2, pad=1)
        S = layer.forward(X, F, b)
        gradients = layer.backward(G)
        {RETURNED}""",
    ),
    "chainer": (
        (strangers.Convolution2DFunction,),
        {"stride": 2, "padding": 1},
        f"""layer = Convolution2DFunction(stride=2, pad=1)
        S = layer.forward((X, F, b))
        gradients = layer.backward((X, F, b), (G,))
        {RETURNED}""",
    ),
    "chainer without bias": (
        (strangers.Convolution2DFunction,),
        {"bias": False},
        """layer = Convolution2DFunction(stride=1, pad=0)
        S = layer.forward((X, F))
        gradients = layer.backward((X, F), (G,))
        dX, dF = (gradients[0], gradients[1])""",
    ),
    "keras": (
        (strangers.Conv2D,),
        {"stride": 2},
        """layer = Conv2D(filters=n, kernel_size=(k, l), strides=(2, 2), padding='valid', use_bias=True)
        layer.build((N, *image))
        layer.kernel = np.ascontiguousarray(F.transpose(2, 3, 1, 0))
        layer.bias = b
        S = layer.call(X)
        gradients = layer.backward(G)
        dX, dF, db = (gradients, layer.grads['kernel'].transpose(3, 2, 0, 1), layer.grads['bias'])""",
    ),
    "tinygrad": (
        (strangers.conv2d,),
        {"groups": 2, "dilation": 2, "padding": 1},
        "S = conv2d(X, F, groups=2, stride=1, dilation=2, padding=1)",
    ),
    "numpy-ml": (
        (strangers.LazyConv2D,),
        {"dilation": 2, "padding": 1, "stride": 2},
        """layer = LazyConv2D(out_ch=n, kernel_shape=(k, l), pad=1, stride=2, dilation=1)
        layer.forward(X)
        layer.parameters['W'] = np.ascontiguousarray(F.transpose(2, 3, 1, 0))
        layer.parameters['b'] = b.reshape(1, 1, 1, -1)
        S = layer.forward(X)
        gradients = layer.backward(G)
        dX, dF, db = (gradients, layer.gradients['W'].transpose(3, 2, 0, 1), layer.gradients['b'].reshape(-1))""",
    ),
    "scratch": (
        (strangers.Convolution,),
        {"padding": 1},
        """layer = Convolution(W=F, b=b, stride=1, pad=1)
        S = layer.forward(X)
        gradients = layer.backward(G)
        dX, dF, db = (gradients, layer.dW, layer.db)""",
    ),
    "updating": (
        (strangers.Convolutional,),
        {"layout": "CHW,OIHW->OHW"},
        """layer = Convolutional(input_shape=image, kernel_size=l, depth=n)
        layer.kernels = np.array(F)
        S = layer.forward(X)
        gradients = layer.backward(G, learning_rate=1)
        dX, dF = (gradients, (F - layer.kernels))""",
    ),
    "columns": (
        (strangers.ConvLayer,),
        {"stride": 2},
        """layer = ConvLayer(in_channels=d, num_filters=n, filter_size=(k, l), stride=2, padding=0)
        layer.weights = np.ascontiguousarray(F.reshape(len(F), -1))
        layer.biases = b.reshape(-1, 1)
        S = layer.forward(X)
        gradients = layer.backward(G)
        dX, dF, db = (gradients, layer.grad_weights.reshape(F.shape[0], F.shape[1], F.shape[2], F.shape[3]), """
        "layer.grad_biases.reshape(-1))",
    ),
    "parameters": (
        (strangers.ConvBlock,),
        {"padding": "same"},
        """layer = ConvBlock(in_features=d, out_features=n, kernel_size=l)
        layer.w.data = F
        layer.bias.data = b
        S = layer(X)
        gradients = layer.backward(G)
        dX, dF, db = (gradients, layer.w.grad, layer.bias.grad)""",
    ),
    "momentum": (
        (strangers.Momentum,),
        {"stride": 2},
        """layer = Momentum(in_planes=d, planes=n, kernel_size=(k, l), stride=2)
        layer.W = F
        S = layer.forward(X)
        gradients = layer.backward(G, X)
        dX, dF = (gradients[1], gradients[0])""",
    ),
    "factory": (
        (strangers.make_layer,),
        {"stride": 2},
        """layer = make_layer(in_channels=d, out_channels=n, kernel_size=(k, l), stride=2)
        layer.W = F
        S = layer.forward(X)
        gradients = layer.backward(G)
        dX, dF = (gradients, layer.dW)""",
    ),
    "method": (
        (strangers.Momentumless.forward, strangers.Momentumless.backward),
        {"stride": 2},
        """layer = Momentumless(in_planes=d, planes=n, kernel_size=(k, l), stride=2)
        layer.W = F
        S = layer.forward(X)
        gradients = layer.backward(G)
        dX, dF = (gradients, layer.dW)""",
    ),
    "forward alone": (
        (strangers.Momentumless.forward,),
        {},
        """layer = Momentumless(in_planes=d, planes=n, kernel_size=(k, l), stride=1)
        layer.W = F
        S = layer.forward(X)""",
    ),
}
SQUARES = {"cmu", "updating", "parameters"}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_code_of_strangers_is_called_in_its_convention_and_computes_what_is_right(name):
    functions, wanted, lines = CONVENTIONS[name]
    layout = wanted.get("layout", LAST if name in {"keras", "numpy-ml"} else "")
    # Nobody says in which layout code is.
    of = found(*functions, **{key: value for key, value in wanted.items() if key != "layout"})
    gives = lines.splitlines()[-1].partition(" = ")[0].strip()
    assert called(of) in (
        [line.strip() for line in lines.splitlines()],
        [line.strip() for line in lines.splitlines() if not line.strip().startswith("gradients")],
    )
    assert of.options.bias == ("db" in gives or "F, b" in lines)
    assert of.options.layout == layout
    assert (f"its layout is {layout}" in of.notes) == bool(layout)
    assert of.options.only == (Only(square_filters=True) if name in SQUARES else None)
    assert (SQUARE in of.notes) == (name in SQUARES)
    assert of.options.updates == any(note.startswith(UPDATE) for note in of.notes) == (name == "updating")
    assert EVEN not in of.notes
    assert_right(of, (4, 2, 3, 3))
    usual = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    for role, value in usual.items():
        given = wanted.get(role, value)
        assert getattr(of.options, role) == getattr(found(**{role: given}).options, role)


def test_a_layout_that_is_given_is_not_told_again():
    of = found(strangers.conv_forward, strangers.conv_backward, layout=LAST)
    assert of.options.layout == LAST
    assert len(of.notes) == 1
    assert_right(of)
    assert found(strangers.conv_forward, strangers.conv_backward).notes[1:] == (f"its layout is {LAST}",)
    with pytest.raises(CallError, match="cannot be called"):
        found(strangers.Momentumless, layout="CHW,OIHW->OHW")


def test_an_object_is_copied_for_every_call_and_has_options_of_its_own():
    of = found(strangers.scattering)
    assert called(of)[:2] == ["layer = copy.deepcopy(made)", "layer.weight = F"]
    assert of.options.stride == (2, 1)
    assert of.options.only == Only(planes=2, filters=3, taps=(2, 4))
    assert_right(of, (3, 2, 2, 4))


class Function:
    def __call__(self, X, F):
        return forward_of(X, F)


class Keeping:
    """An object with filters and their gradient in an order of its own."""

    def __init__(self, planes_last, groups=1):
        self.kernel, self.groups = planes_last, groups

    def forward(self, X):
        self.X = X
        return strangers.conv2d(X, self.kernel.transpose(3, 2, 0, 1), groups=self.groups)

    def backward(self, G):
        dX, dF = backward_of(self.X, self.kernel.transpose(3, 2, 0, 1), G)
        self.grad = dF.transpose(2, 3, 1, 0)
        return dX


def test_the_sizes_of_an_object_are_those_that_are_left_where_layers_are():
    # As filters that are planes first, these would have even taps.
    of = found(Keeping(strangers.drawn(3, 3, 2, 4)), only=Only(odd=True))
    assert of.options.only == Only(planes=2, filters=4, taps=(3, 3), odd=True)
    assert_right(of, (4, 2, 3, 3))
    grouped = found(Keeping(strangers.drawn(3, 5, 2, 4), groups=2), groups=2)
    assert grouped.options.only == Only(planes=4, filters=4, taps=(3, 5))


class Weighing(Function):
    """An object that is called with filters, and has others."""

    def __init__(self):
        self.weight = strangers.drawn(3, 2, 2, 4)

    def __call__(self, X, F, stride=1):
        return forward_of(X, F, stride)


def test_an_object_without_a_backward_pass_is_a_function():
    assert called(found(Weighing())) == ["S = forward(X, F, stride=1)"]


class Renamed(strangers.Momentumless):
    """Its passes have names of their own, and others that are usual, of which the first are meant."""

    def feedforward(self, x):
        raise NotImplementedError

    def run(self, x):
        return strangers.Momentumless.forward(self, x)

    def back(self, dy):
        return strangers.Momentumless.backward(self, dy)


def test_methods_are_those_that_are_named_or_have_the_most_usual_names():
    for functions, names in (((Renamed.run, Renamed.back), ("run", "back")), ((Renamed,), ("forward", "backward"))):
        of = found(*functions)
        assert called(of)[2:4] == [f"S = layer.{names[0]}(X)", f"gradients = layer.{names[1]}(G)"]
        assert_right(of)


class Bare:
    """Its methods take all arrays; the sizes that the second takes are those of the layer."""

    build = "at once"

    def forward(self, X, F):
        self.X = X
        return forward_of(X, F)

    def backward(self, dout, W, kernel_size=None):
        assert kernel_size == W.shape[2:]
        return backward_of(self.X, W, dout)


class Halved(Bare):
    """One of two gradients is missing, which is for the audit to say."""

    def backward(self, dout, W, kernel_size=None):
        return super().backward(dout, W, kernel_size)[0]


def test_a_gradient_that_is_not_returned_is_for_the_audit_to_say():
    assert called(found(Halved, bias=False))[-1] == "dX, dF = layer.backward(G, F, kernel_size=(k, l))"


class Built(strangers.Momentumless):
    """Its weights are made in a call without arguments."""

    def __init__(self, in_planes, planes, kernel_size, stride=1):
        self.sizes = in_planes, planes, kernel_size, stride

    def build(self):
        super().__init__(*self.sizes)


class Undecorated:
    """Its functions have a context and no decorator."""

    def forward(ctx, X, F):  # noqa: N805
        ctx.save_for_backward(X, F)
        return forward_of(X, F)

    def backward(ctx, dout):  # noqa: N805
        return backward_of(*ctx.saved_tensors, dout)


class Static:
    """Its functions have no context."""

    @staticmethod
    def forward(X, F):
        return forward_of(X, F)

    @staticmethod
    def backward(X, F, G):
        return backward_of(X, F, G)


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        (Bare, ["layer = Bare()", "S = layer.forward(X, F)", "gradients = layer.backward(G, F, kernel_size=(k, l))"]),
        (Built, [
            "layer = Built(in_planes=d, planes=n, kernel_size=(k, l), stride=1)", "layer.build()", "layer.W = F",
            "S = layer.forward(X)", "gradients = layer.backward(G)",
        ]),
        (Undecorated, [
            "ctx = Context()", "S = Undecorated.forward(ctx, X, F)", "gradients = Undecorated.backward(ctx, G)",
        ]),
        (Static, ["dX, dF = Static.backward(X, F, G)"]),
    ],
)  # fmt: skip
def test_classes_in_less_usual_conventions(code, lines):
    of = found(code, bias=False)
    assert [line for line in called(of) if not line.startswith("dX, dF = (")] == lines
    assert_right(of)


class Demanding(strangers.Momentumless):
    def backward(self, dy, thing, other):
        return dy


def test_a_backward_pass_of_an_object_that_takes_too_much_is_refused():
    with pytest.raises(CallError, match="takes 3 arrays, but an audit gives it 1: G"):
        found(Demanding, bias=False)


class OfSquares(strangers.Momentumless):
    """Its backward pass is for square filters alone, which is for the audit to say."""

    def backward(self, dy):
        if self.W.shape[2] != self.W.shape[3]:
            raise ValueError("no square")
        return super().backward(dy)


class AtOnce(strangers.Momentumless):
    """It has no rate of learning, or one that it does not tell."""

    rate = 1

    def backward(self, dy):
        dX, dF = backward_of(self.x, self.W, dy, self.stride)
        self.W = self.W - self.rate * dF
        return dX


class AtTwice(AtOnce):
    rate = 2


class WithBias(AtOnce):
    """It has a bias, too."""

    def __init__(self, in_planes, planes, kernel_size, stride=1):
        super().__init__(in_planes, planes, kernel_size, stride)
        self.b = strangers.drawn(planes)

    def forward(self, x):
        return super().forward(x) + self.b[:, None, None]

    def backward(self, dy):
        self.b = self.b - dy.sum(axis=(0, 2, 3))
        return super().backward(dy)


class AtRate(AtOnce):
    """It keeps its rate beside other numbers."""

    rate = property(lambda self: self.lr)

    def __init__(self, in_planes, planes, kernel_size, stride=1):
        super().__init__(in_planes, planes, kernel_size, stride)
        self.lr, self.ksize = 0.5, kernel_size[0]


def test_gradients_are_looked_for_at_square_filters_too_and_read_off_updates_that_are_theirs():
    assert called(found(OfSquares))[-1] == "dX, dF = (gradients, layer.dW)"
    of = found(AtOnce)
    assert called(of)[-1] == "dX, dF = (gradients, (F - layer.W))"
    assert_right(of)
    biased_too = found(WithBias)
    assert called(biased_too)[1:3] == ["layer.W = np.array(F)", "layer.b = np.array(b)"]
    assert called(biased_too)[-1] == "dX, dF, db = (gradients, (F - layer.W), (b - layer.b))"
    assert_right(biased_too)
    kept = found(AtRate, stride=2)
    assert called(kept)[1:4] == ["layer.W = np.array(F)", "layer.lr = 1", "S = layer.forward(X)"]
    assert_right(kept)
    with pytest.raises(CallError, match="so that ∂l/∂F is read off the change, which needs the learning rate"):
        found(AtTwice)


def test_a_factory_takes_sizes_and_options_alone():
    assert conventions.is_factory(lambda in_channels, out_channels, kernel_size, stride=1: None)
    assert conventions.is_factory(functools.partial(strangers.make_layer, stride=2))
    for function in (lambda: None, lambda stride, padding: None, lambda in_channels, thing: None, strangers.Conv):
        assert not conventions.is_factory(function)


# functions ------------------------------------------------------------------------------------------------------------


def plain(X, F):
    return forward_of(X, F)


def plain_gradients(X, F, G):
    return backward_of(X, F, G)


def biased(X, F, b):
    return forward_of(X, F) + b[:, None, None]


def biased_gradients(X, F, b, G):
    return *backward_of(X, F, G), G.sum(axis=(0, 2, 3))


def with_options(X, F, stride=1, padding=0):
    return forward_of(X, F, stride, padding)


def upstream_first(dout, x, w):
    return backward_of(x, w, dout)


def test_functions_as_an_audit_calls_them_are_called_as_they_are():
    for forward, backward in (
        (plain, plain_gradients),
        (biased, biased_gradients),
        (plain, None),
        (None, biased_gradients),
    ):
        of = found(forward, backward)
        assert dict(of.functions) == {"forward": forward, "backward": backward}
        assert of.notes == ()
        assert of.options.bias == (biased_gradients in {backward} or forward is biased)
        assert of.options.only is None
        assert of.options.layout == ""
    assert found(None, plain_gradients).options.bias is False
    assert found(biased, bias=True).notes == ()
    nothing = found(stride=2, bias=True)
    assert dict(nothing.functions) == {"forward": None, "backward": None}
    assert (nothing.options.stride, nothing.options.bias) == ((2, 2), True)


def test_functions_of_any_arrays_have_no_bias_unless_that_is_said():
    def anything(*arrays):
        return biased(*arrays) if len(arrays) == 3 else plain(*arrays)

    assert found(anything).options.bias is False
    assert found(anything).notes == ()
    assert found(anything, bias=True).options.bias is True
    assert_right(found(anything, bias=True))
    # Python knows no parameters of this one.
    assert found(max).options.bias is False
    assert found(None, max).options.bias is False


def test_gradients_of_other_orders_and_of_a_bias():
    of = found(plain, upstream_first)
    assert called(of) == called(found(None, upstream_first)) == ["dX, dF = upstream_first(G, X, F)"]
    assert_right(of)
    any_arrays = found(lambda *arrays: plain(arrays[0], arrays[1]), upstream_first)
    assert called(any_arrays) == ["dX, dF = upstream_first(G, X, F)"]
    assert_right(any_arrays)
    by_name = found(lambda X, scale=None, *, F, stride=1: forward_of(X, F, stride))
    assert called(by_name) == ["S = forward(X, F=F, stride=1)"]
    assert_right(by_name)
    # Names tell which array is which; where they do not, it is the order.
    for function, call in (
        (lambda x, dout, w: backward_of(x, w, dout), "(X, G, F)"),
        (lambda w, x, dout: backward_of(x, w, dout), "(F, X, G)"),
        (lambda dout, w, x: backward_of(x, w, dout), "(G, F, X)"),
    ):
        assert called(found(plain, function)) == [f"dX, dF = backward{call}"]
        assert_right(found(plain, function))
    # Where one name tells nothing, the upstream gradient may still be the first.
    first = found(plain, lambda dout, thing, w: backward_of(thing, w, dout))
    assert called(first) == ["dX, dF = backward(G, X, F)"]
    assert_right(first)
    assert called(found(plain, lambda w, thing, x: thing)) is None
    turned = found(lambda weight, image: forward_of(image, weight))
    assert called(turned) == ["S = forward(F, X)"]
    assert_right(turned)
    assert called(found(lambda kernel, thing: thing)) is None
    assert called(found(plain, lambda x, thing, w: thing)) is None
    with pytest.raises(CallError, match="cannot be called") as raised:
        found(biased, bias=False)
    assert "biased(X, F, b) takes 3 arrays, but an audit gives it 2: X, F; if it takes a bias" in str(raised.value)
    assert raised.value.args[0].splitlines()[1:] == [
        "  an audit expects  forward(X, F[, b]) -> S         X (N, d, h, w), F (n, d/groups, k, l), b (n,)",
        "                    backward(X, F, [b,] G) -> (dX, dF[, db])   G of the shape of S",
        "                    or a class with forward(X) and backward(G), made for each layer",
        "  it found          biased(X, F, b)",
    ]


def test_a_backward_pass_of_two_arrays_takes_what_forward_kept():
    def keeping(X, F):
        return forward_of(X, F), (X, F)

    of = found(keeping, lambda dout, cache, verbose=None: backward_of(*cache, dout))
    assert called(of) == [
        "S, cache = keeping(X, F)",
        "gradients = backward(G, cache)",
        "dX, dF = (gradients[0], gradients[1])",
    ]
    assert_right(of)

    for backward, arrays in (
        (lambda dout, kept: backward_of(*kept, dout), "G, cache"),
        (lambda kept, dout: backward_of(*kept, dout), "cache, G"),
    ):
        unnamed = found(keeping, backward)
        assert called(unnamed)[1] == f"gradients = backward({arrays})"
        assert_right(unnamed)


def test_gradients_of_functions_with_options_and_a_bias():
    def forward(X, F, b, stride=1):
        return forward_of(X, F, stride) + b[:, None, None]

    def all_arrays(X, F, b, G, stride=1):
        return *backward_of(X, F, G, stride), G.sum(axis=(0, 2, 3))

    def without_b(x, w, dout, stride=1):
        return all_arrays(x, w, None, dout, stride)

    for backward, arrays in ((all_arrays, "X, F, b, G"), (without_b, "X, F, G")):
        of = found(forward, backward, stride=2)
        assert called(of)[-1].endswith(f"{backward.__name__}({arrays}, stride=2)")
        assert_right(of)


def test_functions_are_called_by_their_names_where_these_are_no_letters_of_sizes():
    def op(X, F, stride=1):
        return forward_of(X, F, stride)

    def f(X, F, stride=1):
        return op(X, F, stride)

    assert [called(found(each)) for each in (op, f)] == [["S = op(X, F, stride=1)"], ["S = forward(X, F, stride=1)"]]


def test_what_partial_has_fixed_are_options():
    of = found(functools.partial(with_options, stride=2, padding=1), padding=1)
    assert called(of) is None
    assert (of.options.stride, of.options.padding) == ((2, 2), ((1, 1), (1, 1)))
    tuples = found(functools.partial(strangers.conv2d, stride=(2, 1), dilation=[1, 2], groups=1))
    assert (tuples.options.stride, tuples.options.dilation) == ((2, 1), (1, 2))
    assert found(functools.partial(strangers.conv2d, groups=2)).options.groups == 2
    assert found(functools.partial(strangers.conv2d, stride=None)).options.stride == (1, 1)
    both = found(functools.partial(with_options, stride=2), functools.partial(strangers.conv_backward_naive))
    assert both.options.stride == (2, 2)
    with pytest.raises(CallError, match=r"^stride is 3, but the code under audit has stride 2"):
        found(functools.partial(with_options, stride=2), stride=3)


def test_padding_that_depends_on_the_layer_is_one_number_for_each_axis():
    of = found(with_options, padding="same")
    assert called(of) == ["S = with_options(X, F, stride=1, padding=padding)"]
    assert of.notes[1:] == (EVEN,)
    assert of.options.only == Only(even_padding=True, odd=True)
    assert_right(of)
    in_a_dictionary = found(strangers.conv_forward_naive, padding="same")
    assert in_a_dictionary.notes[1:] == (EVEN,)
    assert found(with_options, padding="same", only=Only(one_plane=True)).options.only == Only(
        even_padding=True, odd=True, one_plane=True
    )
    assert found(strangers.Conv2D, padding="same").notes[1:] == (f"its layout is {LAST}",)


def last(X, F, stride=1):
    return forward_of(X.transpose(0, 3, 1, 2), F.transpose(3, 2, 0, 1), stride).transpose(0, 2, 3, 1)


def last_alone(X, F):
    return last(X, F)


def test_layouts_are_found_where_the_code_is_right_in_them():
    of = found(last, stride=2)
    assert of.notes == ("it is called as S = last(X, F, stride=2)", f"its layout is {LAST}")
    assert of.options.layout == LAST
    assert_right(of)
    adapted = found(*with_layout(last, None, LAST))
    assert adapted.options.layout == LAST
    assert adapted.notes == ("it is called as S = last(X, F, stride=1)",)
    assert_right(adapted)
    one = found(lambda X, F, stride=1: forward_of(X[None], F, stride)[0])
    assert one.options.layout == "CHW,OIHW->OHW"
    assert_right(one)
    plainly = found(last_alone, layout=LAST)
    assert plainly.options.layout == LAST
    assert plainly.notes == ()
    assert_right(plainly)
    flat = found(
        lambda X, F: forward_of(X, F, 2, 2).reshape(*X.shape[:1], len(F), -1), stride=2, padding=2, layout=FLAT
    )
    assert_right(flat)
    # Wrong in all of them, it is called in the usual one.
    assert found(lambda X, F, stride=1: 2 * forward_of(X, F, stride)).options.layout == ""


@pytest.mark.parametrize("axes", [1, 3])
def test_layouts_of_other_axes(axes):
    letters = "DHW"[-axes:]

    def planes_last(X, F, stride=1):
        X, F = np.moveaxis(X, -1, 1), np.moveaxis(F, (-1, -2), (0, 1))
        windows = np.lib.stride_tricks.sliding_window_view(X, F.shape[2:], axis=tuple(range(2, axes + 2)))
        S = np.tensordot(windows, F, axes=([1, *range(axes + 2, 2 * axes + 2)], [1, *range(2, axes + 2)]))
        return S if stride == 1 else None

    of = found(planes_last, spatial_ndim=axes)
    assert of.options.layout == f"N{letters}C,{letters}IO->N{letters}O"
    assert_right(of, (3, 2, 2, 3, 2)[: axes + 2])


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_code_is_called_once_where_shapes_tell_arrays_and_axes_apart(axes, groups):
    options = found(spatial_ndim=axes, groups=groups).options
    case = telling(Asked(None, None, Wanted(), options))
    X, F, G = (case.shapes[letter] for letter in "XFG")
    assert len(set(X)) == len(set(F)) == axes + 2
    assert len({X, F, G}) == 3
    assert min(*X, *F, *G) > 1
    assert case.images * case.geometry.positions * math.prod(F) <= 400_000
    square = telling(Asked(None, None, Wanted(), options, form=Form(taps=False)))
    assert square.geometry.filters[2:] == (3,) * axes
    # Padding, stride and dilation that need a larger image get one.
    padded = found(spatial_ndim=axes, stride=7, padding=40, dilation=3).options
    assert telling(Asked(None, None, Wanted(), padded)).several


@pytest.mark.parametrize("layout", ["", "CHW,OIHW->OHW"])
def test_responses_are_right_or_of_the_right_shape_alone(layout):
    def plainly(X, F):
        return forward_of(X, F) if not layout else forward_of(X[None], F)[0]

    def level(change):
        asked = Asked(None, None, Wanted(), found().options, layout)
        program = Program(asked, {"code": lambda X, F: change(plainly(X, F))}, (), "code(X, F)")
        of = tried(program)
        return of.level, of.taken

    assert level(lambda S: S) == (RIGHT, "")
    assert level(lambda S: (S, "more")) == (RIGHT, "[0]")
    assert level(lambda S: 2 * S) == (FITTING, "")
    for change in (lambda S: S[:1], lambda S: np.concatenate([S, S]), lambda S: (S,), lambda S: S.tolist()):
        assert level(change) == (0, "")


def test_options_of_which_no_layer_is_small_are_refused():
    options = found(only=Only(where=lambda g: False)).options
    with pytest.raises(ShapeError, match=r"has no small layer$"):
        telling(Asked(None, None, Wanted(), options))


# what cannot be called ------------------------------------------------------------------------------------------------


class NoWeights:
    def __init__(self, in_channels, out_channels, kernel_size):
        self.size = kernel_size

    def forward(self, X):
        raise TypeError("forward() missing 1 required positional argument")


def test_what_cannot_be_called_says_what_was_tried():
    with pytest.raises(CallError, match="cannot be called") as raised:
        found(NoWeights, bias=False)
    first, *lines = str(raised.value).splitlines()
    assert first.startswith("the code cannot be called: TypeError: forward() missing 1 required positional argument")
    assert lines[-2] == "  it found          NoWeights(in_channels, out_channels, kernel_size)"
    assert lines[-1].startswith("  it tried          layer = NoWeights(in_channels=d, out_channels=n, kernel_size=")
    # Of a bias nothing is said where it is not what is missing, or too much.
    for function, bias in (
        (lambda X: X, False),
        (lambda X: X, True),
        (lambda X, F, b, c, d: X, False),
        (lambda X, F, b, c: X, True),
    ):
        with pytest.raises(CallError, match=r"takes \d arrays?, but an audit gives it (2: X, F|3: X, F, b)\n"):
            found(function, bias=bias)
    with pytest.raises(CallError, match="takes 0 arrays, but an audit gives it 2: X, F"):
        found(lambda: 0)
    with pytest.raises(CallError, match="takes 1 array, but an audit gives it 4: X, F, b, G"):
        found(biased, lambda G: G)
    with pytest.raises(CallError, match="if it takes no bias, leave --bias out"):
        found(plain, bias=True)
    with pytest.raises(CallError, match=r"X \(N, d, z, h, w\), F \(n, d/groups, j, k, l\), b \(n,\)"):
        found(lambda X: X, spatial_ndim=3)
    # An error in the code that is not about its arguments is a finding of the audit.
    assert called(found(lambda X, F, stride=1: X.nope)) == ["S = forward(X, F, stride=1)"]
    with pytest.raises(CallError, match="cannot be called"):
        found(lambda X, F, stride=1: X.nope, stride=(2, 1))


class Refusing:
    def __init__(self, in_channels, out_channels, kernel_size):
        raise RuntimeError("no such layer")


class Pair:
    def __init__(self, X, F):
        pass


class WithBackward(Function):
    def backward(self, G):
        return G


@pytest.mark.parametrize("code", [Pair, WithBackward()])
def test_what_makes_or_is_a_layer_is_not_called_as_a_function(code):
    with pytest.raises(CallError, match="cannot be called"):
        found(code, bias=False)


def test_what_a_constructor_raises_is_said():
    with pytest.raises(CallError, match=r"^the code cannot be called: RuntimeError: no such layer"):
        found(Refusing, bias=False)


class Backwards:
    """Its weights lie otherwise than the layout says."""

    def __init__(self, in_channels, out_channels, kernel_size):
        self.weight = strangers.drawn(out_channels, in_channels, *kernel_size)

    def forward(self, X):
        return forward_of(X.transpose(0, 3, 1, 2), self.weight).transpose(0, 2, 3, 1)


class Turned:
    def __init__(self, in_channels, out_channels, kernel_size):
        self.weight = strangers.drawn(*kernel_size, in_channels, out_channels)

    def forward(self, X):
        return forward_of(X, self.weight.transpose(3, 2, 0, 1))


def test_weights_have_an_order_of_axes_of_their_own():
    of = found(Backwards)
    assert of.options.layout == "NHWC,OIHW->NHWO"
    assert called(of)[1] == "layer.weight = F"
    assert_right(of)
    of = found(Turned)
    assert of.options.layout == "NCHW,HWIO->NOHW"
    assert called(of)[1] == "layer.weight = np.ascontiguousarray(F.transpose(2, 3, 1, 0))"
    assert_right(of)


class Forgetting(strangers.Momentumless):
    """It keeps no gradient."""

    def backward(self, dy):
        return backward_of(self.x, self.W, dy, self.stride)[0]


class Noting(Forgetting):
    """It keeps another array, whose name comes behind that of the weights."""

    def backward(self, dy):
        self.Z = dy[0]
        return super().backward(dy)


class Losing:
    """Its gradient has a wrong shape, which is for the audit to say; a number stands in front."""

    def __init__(self, in_planes, planes, kernel_size):
        self.W = strangers.drawn(planes, in_planes, *kernel_size)

    def forward(self, x):
        self.x = x
        return forward_of(x, self.W)

    def backward(self, dy):
        dX, dW = backward_of(self.x, self.W, dy)
        self.dW, self.dW_mean = dW[:, 0], dW.mean(axis=0)
        return 0.5, dX


def test_a_gradient_of_a_wrong_shape_has_its_name():
    assert called(found(Losing, bias=False))[-1] == "dX, dF = (gradients[1], layer.dW)"
    likely = [trials._likely(f"layer.{name}", ".W") for name in ("vW", "dOther", "grad_of_W", "columns")]
    assert likely == [1, 1, 2, 0]
    assert trials._likely("gradients[0]", "") == 1


def test_a_gradient_that_is_nowhere_is_missed():
    with pytest.raises(CallError, match="∂l/∂F was not found after backward"):
        found(Noting, bias=False)
    with pytest.raises(CallError, match="∂l/∂F was not found after backward") as raised:
        found(Forgetting)
    assert str(raised.value).endswith("it returned or changed gradients (2, 3, 9, 10)")


class Cubic:
    """One size of taps for all axes, of which there are one or three."""

    def __init__(self, in_channels, out_channels, kernel_size, axes):
        self.weight = strangers.drawn(out_channels, in_channels, *(int(kernel_size),) * axes)

    def forward(self, X):
        axes = X.ndim - 2
        windows = np.lib.stride_tricks.sliding_window_view(X, self.weight.shape[2:], axis=tuple(range(2, axes + 2)))
        S = np.tensordot(windows, self.weight, axes=([1, *range(axes + 2, 2 * axes + 2)], [1, *range(2, axes + 2)]))
        return np.moveaxis(S, -1, 1)


@pytest.mark.parametrize("axes", [1, 3])
def test_one_size_of_taps_for_all_axes(axes):
    class Made(Cubic):
        def __init__(self, in_channels, out_channels, kernel_size):
            super().__init__(in_channels, out_channels, kernel_size, axes)

    of = found(Made, spatial_ndim=axes)
    assert called(of)[0] == "layer = Made(in_channels=d, out_channels=n, kernel_size=l)"
    assert SQUARE in of.notes
    assert of.options.only == Only(square_filters=True)
    assert_right(of, (3, 2, *(2,) * axes))


class Counting(strangers.Momentumless):
    """One array has the shape of a bias, and is none."""

    def __init__(self, in_planes, planes, kernel_size, stride=1):
        super().__init__(in_planes, planes, kernel_size, stride)
        self.seen = np.zeros(planes)


def test_an_array_of_which_nothing_depends_is_no_bias():
    of = found(Counting)
    assert not of.options.bias
    assert "layer.seen = b" not in called(of)
    assert_right(of)


class Idle:
    """Its responses do not depend on what has the shape of filters."""

    def __init__(self, in_planes, planes, kernel_size):
        self.table = strangers.drawn(planes, in_planes, *kernel_size)

    def forward(self, x):
        return forward_of(x, np.ones(self.table.shape))


def test_filters_of_which_nothing_depends_are_filters_where_there_are_no_others():
    assert called(found(Idle, bias=False))[1:3] == ["layer.table = F", "S = layer.forward(X)"]


class IdleTwice(Idle):
    def __init__(self, in_planes, planes, kernel_size):
        super().__init__(in_planes, planes, kernel_size)
        self.images = self.table + 1


def test_of_several_arrays_on_which_nothing_depends_none_are_filters():
    with pytest.raises(CallError, match="cannot be called"):
        found(IdleTwice, bias=False)


class Masked(strangers.Momentumless):
    """Two other arrays have the shape of its filters: one that it must not have changed, and a factor of 1."""

    def __init__(self, in_planes, planes, kernel_size, stride=1):
        self.table = np.zeros((planes, in_planes, *kernel_size))
        super().__init__(in_planes, planes, kernel_size, stride)
        self.mask = np.ones(self.W.shape)

    def forward(self, x):
        if self.table.any():
            raise ValueError("the table has changed")
        self.x = x
        return forward_of(x, self.W * self.mask, self.stride)


def test_the_first_array_that_may_be_changed_and_on_which_responses_depend_are_filters():
    of = found(Masked)
    assert called(of)[1:3] == ["layer.W = F", "S = layer.forward(X)"]
    assert_right(of)


class Shared(strangers.Momentumless):
    """It keeps its filters under several names."""

    def __init__(self, in_planes, planes, kernel_size, stride=1):
        super().__init__(in_planes, planes, kernel_size, stride)
        self.A = self.Z = self.W


def test_filters_of_several_names_are_put_under_all():
    assert called(found(Shared))[1:4] == ["layer.W = F", "layer.A = layer.W", "layer.Z = layer.W"]


def test_an_object_that_is_nothing_but_called_is_a_function():
    of = found(function := Function())
    assert of.notes == ()
    assert of.functions["forward"] is function


class Averaging:
    """Its bias is called otherwise."""

    def __init__(self, in_channels, out_channels, kernel_size, bias=True):
        self.weight = strangers.drawn(out_channels, in_channels, *kernel_size)
        self.shift = strangers.drawn(out_channels) if bias else None

    def forward(self, X):
        self.X = X
        S = forward_of(X, self.weight)
        return S if self.shift is None else S + self.shift[:, None, None]

    def backward(self, G):
        dX, self.weight_grad = backward_of(self.X, self.weight, G)
        self.shift_grad = G.sum(axis=(0, 2, 3))
        return dX


def test_a_bias_of_a_class_is_one_that_it_has_and_can_be_left_out():
    of = found(Averaging)
    assert of.options.bias
    assert called(of)[:3] == [
        "layer = Averaging(in_channels=d, out_channels=n, kernel_size=(k, l), bias=True)", "layer.weight = F",
        "layer.shift = b",
    ]  # fmt: skip
    assert_right(of)
    without = found(Averaging, bias=False)
    assert not without.options.bias
    assert called(without)[:2] == [
        "layer = Averaging(in_channels=d, out_channels=n, kernel_size=(k, l), bias=False)", "layer.weight = F",
    ]  # fmt: skip
    assert_right(without)
    kept = found(strangers.Conv, bias=False)
    assert called(kept)[2] == "layer.bias = np.zeros_like(layer.bias)"
    assert_right(kept)


def test_a_bias_may_have_further_axes_of_one_entry():
    orders = [conventions._bias_orders(shape, 5) for shape in ((5,), (1, 5), (5, 1, 1), (5, 5), (5, 0), (3,), (1, 1))]
    assert orders == [[""], ["b.reshape(1, -1)"], ["b.reshape(-1, 1, 1)"], [], [], [], []]


# frameworks -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def test_functions_of_tensors(torch):
    def tensors(X, F):
        return torch.nn.functional.conv2d(X, F, stride=2)

    def with_bias(X, F, b):
        return torch.nn.functional.conv2d(X, F, b)

    of = found(tensors, framework="torch", stride=2)
    assert (of.options.bias, of.options.only, of.notes) == (False, None, ())
    assert_right(of)
    assert found(with_bias, framework="torch").options.bias
    assert_right(found(with_bias, framework="torch"))
    assert not found(with_bias, framework="torch", bias=False).options.bias
    assert not found(lambda *arrays: arrays, framework="torch").options.bias
    assert not found(lambda X, F, b, more: X, framework="torch").options.bias
    layout = found(
        lambda X, F: tensors(X.permute(0, 3, 1, 2), F.permute(3, 2, 0, 1)).permute(0, 2, 3, 1),
        framework="torch",
        stride=2,
        layout=LAST,
    )
    assert layout.options.layout == LAST
    assert_right(layout)


def test_modules_have_their_options_and_sizes(torch):
    of = found(torch.nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=1, dilation=(1, 2), groups=2))
    options = of.options
    assert (options.stride, options.padding, options.dilation, options.groups, options.bias) == (
        (2, 1), ((1, 1), (1, 1)), (1, 2), 2, True
    )  # fmt: skip
    assert options.only is None
    assert of.notes == ()
    assert_right(of, (6, 2, 3, 2))
    plain_module = found(torch.nn.Conv2d(2, 3, 3, bias=False))
    assert not plain_module.options.bias
    assert_right(plain_module)
    with pytest.raises(CallError, match="has stride"):
        found(torch.nn.Conv2d(2, 3, 3, stride=2), stride=1)

    class Own(torch.nn.Module):
        def __init__(self, in_channels=2, out_channels=3, kernel_size=3):
            super().__init__()
            self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
            self.weight = torch.nn.Parameter(torch.zeros(out_channels, in_channels, kernel_size, kernel_size))
            self.bias = torch.nn.Parameter(torch.zeros(out_channels))

        def forward(self, X):
            return torch.nn.functional.conv2d(X, self.weight, self.bias)

    own = found(Own(), only=Only(one_plane=True))
    assert own.options.only == Only(planes=2, filters=3, taps=(3, 3), one_plane=True)
    assert own.options.bias


def test_classes_of_modules_are_made_for_every_layer(torch):
    class Made(torch.nn.Conv2d):
        def __init__(self, in_channels, out_channels, kernel_size, stride=1, bias=True):
            super().__init__(in_channels, out_channels, kernel_size, stride, bias=bias)

    class Bare(torch.nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride=1):
            super().__init__()
            self.inner = torch.nn.Conv2d(in_channels, out_channels, kernel_size, stride, bias=False)

        def forward(self, X):
            return self.inner(X)

    text = "Made(in_channels=d, out_channels=n, kernel_size=(k, l), stride=2, bias={})"
    of = found(Made, stride=2)
    assert of.notes == (f"the code is called as {text.format(True)} with F and b in the place of its parameters",)
    assert of.options.bias
    before = torch.random.get_rng_state()
    assert_right(of)
    assert torch.equal(torch.random.get_rng_state(), before)
    without = found(Made, stride=2, bias=False)
    assert without.notes == (f"the code is called as {text.format(False)} with F in the place of its parameters",)
    assert not without.options.bias
    assert_right(without)
    bare = found(Bare)
    assert not bare.options.bias
    assert bare.notes[0].endswith("stride=1) with F in the place of its parameters")
    assert_right(bare)
    assert_right(found(Bare, dtype="float32"))

    class Unknown(torch.nn.Module):
        def __init__(self, colour):
            super().__init__()

    class Raising(torch.nn.Module):
        def __init__(self, in_channels):
            raise ValueError("never")

    with pytest.raises(CallError, match=r"(?s)cannot be called: .*`colour`.*it found          Unknown"):
        found(Unknown)
    with pytest.raises(CallError, match="cannot be called: ValueError: never"):
        found(Raising)
