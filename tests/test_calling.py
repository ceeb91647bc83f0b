"""How code is called: options by the names of parameters, classes, and what cannot be called, which is no verdict."""

import functools

import numpy as np
import pytest

from jacobians import CallError, Geometry, audit
from jacobians.audit.binding import bound
from jacobians.audit.cases import Only
from jacobians.audit.isolation import isolated
from jacobians.audit.programs import Wanted
from tests import strangers
from tests.convolutions import Layer
from tests.strangers import backward_of, forward_of

SIZES = (((2, 5, 7), (3, 2, 2, 3)), ((1, 6, 6), (2, 1, 3, 3)), ((3, 7, 5), (2, 3, 1, 2)))


def layers(sizes=SIZES, **options):
    return [Geometry(*each, **options) for each in sizes]


def few(*functions, sizes=SIZES, **options):
    """Audit at a few layers with these options."""
    given = {name: value for name, value in options.items() if name in {"stride", "padding", "dilation"}}
    return audit(*functions, **options, geometries=layers(sizes, **given))


# options --------------------------------------------------------------------------------------------------------------


def by_name(X, F, stride=1, padding=0):
    return forward_of(X, F, stride, padding)


def by_position(X, pads, F, strides, /):
    return forward_of(X, F, strides, pads)


def by_keyword(X, F, *, conv_stride, zero_padding=(0, 0)):
    return forward_of(X, F, conv_stride, zero_padding)


def in_a_dictionary(X, F, hparams):
    return forward_of(X, F, hparams["stride"], hparams["pad"])


def as_tuples(X, F, stride=(1, 1), padding=(0, 0)):
    assert len(stride) == len(padding) == 2
    return forward_of(X, F, stride, padding)


def needs_tuples(X, F, stride, padding):
    return forward_of(X, F, (stride[0], stride[1]), padding)


@pytest.mark.parametrize("forward", [by_name, by_position, by_keyword, in_a_dictionary, as_tuples, needs_tuples])
def test_options_are_passed_by_the_names_of_parameters(forward):
    assert few(forward, stride=2, padding=1).check().ok
    if forward is not in_a_dictionary:
        assert few(forward, stride=(2, 1), padding=(1, 0)).check().ok


def test_code_that_ignores_an_option_that_it_is_given_is_wrong():
    def ignores(X, F, stride=1, padding=0):
        return forward_of(X, F, 1, padding)

    assert [each.about for each in few(ignores, stride=2, padding=1).findings] == ["S"]


def test_a_form_of_call_in_which_wrong_code_is_right_is_not_looked_for():
    def wrong_for_a_number(X, F, stride=None, padding=0):
        S = forward_of(X, F, stride, padding)
        return -S if stride == 2 else S

    assert [each.about for each in few(wrong_for_a_number, stride=2).findings] == ["S"]


def test_an_option_that_is_no_parameter_is_what_the_code_is_fixed_to():
    fixed = Layer(stride=2)
    assert few(lambda X, F, padding=0: Layer(stride=2, padding=padding).forward(X, F), stride=2, padding=1).ok
    assert not few(fixed.forward, stride=1).ok


@pytest.mark.usefixtures("fewer")
def test_words_for_the_padding_where_the_default_is_one():
    def tensorflow(X, F, strides=1, padding="VALID"):
        assert padding in {"VALID", "SAME"}
        k, l = F.shape[2:]
        zeros = ((k - 1) // 2, k // 2), ((l - 1) // 2, l // 2)
        return forward_of(np.pad(X, ((0, 0), (0, 0), *zeros)) if padding == "SAME" else X, F, strides)

    assert few(tensorflow, stride=2).check().ok
    assert audit(tensorflow, padding="same").check().ok


@pytest.mark.usefixtures("fewer")
def test_padding_that_depends_on_the_filter_is_passed_as_a_number():
    report = audit(by_name, padding="same")
    assert report.check().ok
    assert any("equal padding before and after" in note for note in report.notes)


def test_a_dilation_of_which_0_is_the_default_counts_the_gaps():
    def gaps(X, F, dilation=0):
        return forward_of(X, F, 1, 0, dilation + 1)

    assert few(gaps, dilation=2).check().ok


@pytest.mark.usefixtures("fewer")
def test_what_partial_has_fixed_is_found_and_a_contradiction_is_no_verdict():
    report = audit(functools.partial(by_name, stride=2), padding=1)
    assert report.ok
    assert "stride 2, padding 1" in report.options
    with pytest.raises(CallError, match=r"^stride is 1, but the code under audit has stride 2"):
        audit(functools.partial(by_name, stride=2), stride=1)


def test_padding_that_code_cannot_take_is_no_verdict():
    with pytest.raises(CallError, match="cannot be called"):
        audit(by_name, padding=((1, 2), (0, 1)))


def test_a_bias_is_found_by_the_number_of_arrays():
    def forward(X, F, b):
        return forward_of(X, F) + b[:, None, None]

    assert "bias" in few(forward).check().options
    with pytest.raises(CallError, match="--bias"):
        audit(forward, bias=False)
    with pytest.raises(CallError, match="takes 2 arrays, but an audit gives it 3"):
        audit(lambda X, F: X, bias=True)


# classes --------------------------------------------------------------------------------------------------------------


class Attributes:
    """Right, with one thing that a class below does otherwise."""

    def __init__(self, in_channels, out_channels, kernel_size):
        self.W = strangers.drawn(out_channels, in_channels * kernel_size[0] * kernel_size[1])
        self.size = kernel_size

    def filters(self):
        return self.W.reshape(len(self.W), -1, *self.size)

    def forward(self, X):
        self.X = X
        return forward_of(X, self.filters())

    def backward(self, G):
        dX, dF = backward_of(self.X, self.filters(), G)
        self.keep(dF)
        return dX

    def keep(self, dF):
        self.dW = dF.reshape(self.W.shape)


class Transposed(Attributes):
    def keep(self, dF):
        self.dW = dF.reshape(self.W.shape).T if dF.shape[2] != 2 else dF.reshape(self.W.shape)


class Ignoring(Attributes):
    """Its responses do not depend on its weights."""

    def filters(self):
        return np.ones((len(self.W), self.W.shape[1] // (self.size[0] * self.size[1]), *self.size))


class Stale(Attributes):
    """It keeps the gradient of the first image alone."""

    def keep(self, dF):
        self.dW = dF.reshape(self.W.shape) * (1 if len(self.X) == 1 else 0.5)


def test_weights_that_are_kept_as_a_matrix():
    assert few(Attributes).check().ok


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("wrong", [Transposed, Ignoring, Stale])
def test_what_is_read_off_an_object_is_not_mended(wrong):
    assert not few(wrong).ok


class Updating:
    def __init__(self, in_channels, out_channels, kernel_size):
        self.W = strangers.drawn(out_channels, in_channels, *kernel_size)

    def forward(self, X):
        self.X = X
        return forward_of(X, self.W)

    def backward(self, G, lr=0.1):
        dX, dF = backward_of(self.X, self.W, G)
        self.W = self.W - lr * dF
        return dX


class Unknown(Updating):
    def backward(self, G):
        return super().backward(G)


class Decaying(Updating):
    """A decay of the weights, which is no part of the gradient."""

    def backward(self, G, lr=0.1):
        self.W = self.W - lr * 2 * self.W
        return super().backward(G, lr)


def test_a_gradient_is_read_off_the_update_at_a_rate_of_1():
    report = few(Updating)
    assert report.check().ok
    assert any("computed from the update" in note for note in report.notes)
    assert [each.about for each in few(Decaying).findings][-1] == "∂l/∂F"


class ByAttribute(Updating):
    """The rate is kept in the object."""

    def __init__(self, in_channels, out_channels, kernel_size):
        super().__init__(in_channels, out_channels, kernel_size)
        self.learning_rate = 0.01

    def backward(self, G):
        return super().backward(G, self.learning_rate * scale())


class AtOnce(Updating):
    """There is no rate."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1):
        super().__init__(in_channels, out_channels, kernel_size)

    def backward(self, G):
        return super().backward(G, scale())


def scale():
    return 1


def test_the_rate_of_an_update_is_an_attribute_or_1(monkeypatch):
    report = few(ByAttribute)
    assert report.check().ok
    assert any("layer.learning_rate = 1" in note for note in report.notes)
    assert few(AtOnce).check().ok
    monkeypatch.setitem(globals(), "scale", lambda: 2)
    # With a rate that is set to 1, twice the gradient is a mistake; without one, it may be the rate.
    assert [each.about for each in few(ByAttribute).findings] == ["∂l/∂F"]
    with pytest.raises(CallError, match="learning rate"):
        few(AtOnce)


def test_an_update_that_is_not_exact_is_no_verdict():
    with pytest.raises(CallError, match="learning rate"):
        few(Unknown)
    with pytest.raises(CallError, match="in float32 or float64"):
        few(Updating, dtype="float16")


def test_classes_are_made_and_called_in_another_process():
    sizes = SIZES[1:2]
    functions = isolated(strangers.both)
    report = audit(*functions, geometries=layers(sizes))
    assert report.check().audited == ("S", "∂l/∂X", "∂l/∂F", "∂l/∂b")
    assert "is called as layer = Conv2d_stride1(" in "".join(report.notes)


def test_an_object_is_not_changed():
    before = strangers.scattering.weight.copy()
    found = bound({"forward": strangers.scattering, "backward": None}, Wanted())
    assert found.options.only.taps == (2, 4)
    assert found.options.stride == (2, 1)
    found.functions["backward"](np.ones((1, 2, 5, 6)), np.ones((3, 2, 2, 4)), np.ones((1, 3, 2, 3)))
    assert np.array_equal(strangers.scattering.weight, before)
    with pytest.raises(CallError, match=r"has stride \(2, 1\)"):
        bound({"forward": strangers.scattering, "backward": None}, Wanted(stride=3))


@pytest.mark.usefixtures("unread")
def test_the_code_of_a_finding_makes_the_object_and_calls_it():
    finding = few(Stale).findings[0]
    assert f"from {Stale.__module__} import Stale" in finding.code
    assert "layer = Stale(in_channels=d, out_channels=n, kernel_size=(k, l))" in finding.code
    printed = []
    exec(finding.code.replace("print(", "printed.append("), {"printed": printed})
    got, right = printed
    assert got.shape == right.shape
    assert not np.array_equal(got, right)


# no verdict -----------------------------------------------------------------------------------------------------------


class NeedsMore:
    def __init__(self, in_channels, activation):
        pass

    def forward(self, X):
        return X


class Raising(Attributes):
    def forward(self, X):
        return X.nope


@pytest.mark.parametrize(
    ("functions", "said"),
    [
        ((lambda X: X,), "takes 1 array, but an audit gives it 2: X, F"),
        ((lambda X, F, a, c, d: X,), "takes 5 arrays"),
        ((by_name, lambda G: G), "takes 1 array, but an audit gives it 3"),
        ((lambda *arrays: by_name(*arrays, None, None, None),), "every call of forward fails: TypeError"),
        ((NeedsMore,), "what to give for the parameter `activation` of NeedsMore(in_channels, activation)"),
        ((Raising,), "has no attribute 'nope'"),
    ],
)
def test_what_cannot_be_called_is_no_verdict_and_says_what_is_expected(functions, said):
    with pytest.raises(CallError, match=r"(?s)an audit (expects|calls)") as raised:
        few(*functions)
    assert said in str(raised.value)


# which layers ---------------------------------------------------------------------------------------------------------


def kept(where, **options):
    """The layers of the curriculum that code is for."""
    from jacobians.audit.curriculum import curriculum

    given = bound({"forward": by_name, "backward": None}, Wanted(only=where, **options)).options
    return [case.geometry for case in curriculum(given)]


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        (Only(taps=(3, 3)), lambda g: g.filters[2:] == (3, 3)),
        (Only(square_filters=True, square_images=True), lambda g: g.image[1] == g.image[2]),
        (Only(odd=True), lambda g: all(k % 2 for k in g.filters[2:])),
        (Only(one_plane=True), lambda g: g.image[0] == 1),
        (Only(where=lambda g: g.filters[2:] == (3, 3)), lambda g: g.filters[2:] == (3, 3)),
    ],
)
def test_the_layers_are_restricted_without_losing_tails_and_long_rows(where, holds):
    layers = kept(where, stride=2)
    assert all(map(holds, layers))
    assert len(layers) > 20 or where.where
    assert {0, 1} <= {each.tail[-1] for each in layers}
    assert max(each.responses[-1] for each in layers) >= 33 or where.where


@pytest.mark.usefixtures("fewer")
def test_the_smallest_case_is_a_layer_that_the_code_is_for():
    def wrong(X, F):
        assert F.shape[2:] == (3, 3)
        S = forward_of(X, F)
        S[..., -1] = 0
        return S

    (finding,) = audit(wrong, where=lambda g: g.filters[2:] == (3, 3)).findings
    assert "F 1×1×3×3" in finding.case


# padding by words and functions ---------------------------------------------------------------------------------------


def tensorflow_same(X, F, stride):
    """TensorFlow's SAME: as many responses as steps fit, more zeros behind."""
    sizes = zip(X.shape[2:], F.shape[2:], strict=True)
    total = [max((-(-size // stride) - 1) * stride + k - size, 0) for size, k in sizes]
    return forward_of(np.pad(X, ((0, 0), (0, 0), *((each // 2, each - each // 2) for each in total))), F, stride)


def same_lower(X, F):
    return forward_of(np.pad(X, ((0, 0), (0, 0), *((k // 2, (k - 1) // 2) for k in F.shape[2:]))), F)


@pytest.mark.usefixtures("unread")
def test_same_as_tensorflow_has_it_at_any_stride():
    assert audit(lambda X, F: tensorflow_same(X, F, 2), stride=2, padding="same-tf").check().ok
    shapes = [Geometry(*each, stride=2) for each in SIZES]
    assert not audit(lambda X, F: tensorflow_same(X, F, 2), stride=2, geometries=shapes).ok


@pytest.mark.usefixtures("fewer")
def test_same_with_more_zeros_before():
    assert audit(same_lower, padding="same-lower").check().ok


@pytest.mark.usefixtures("fewer")
def test_a_function_that_returns_the_padding():
    def half(image, taps):
        return [(k // 2, k // 2) for k in taps]

    assert audit(lambda X, F: forward_of(X, F, 1, [k // 2 for k in F.shape[2:]]), padding=half).check().ok
