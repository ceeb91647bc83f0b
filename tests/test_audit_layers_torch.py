"""ReLU, fully connected and softmax layers of PyTorch: right ones pass, wrong ones are found and named."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from jacobians.audit import audit_fully_connected, audit_relu, audit_softmax_cross_entropy

torch = pytest.importorskip("torch", reason="the torch extra is not installed: pip install 'jacobians[torch]'")
functional = torch.nn.functional


def tensor(A):
    """A new tensor that asks for its gradient; torch takes no negative strides."""
    if A.dtype == ml_dtypes.bfloat16:
        return torch.tensor(A.astype(np.float32)).to(torch.bfloat16).requires_grad_()
    return torch.tensor(A.copy(), requires_grad=True)


def array(T):
    T = T.detach()
    return T.float().numpy().astype(ml_dtypes.bfloat16) if T.dtype == torch.bfloat16 else T.numpy()


def gradients(output, upstream, *inputs):
    return tuple(array(each) for each in torch.autograd.grad(output, inputs, upstream))


# ReLU -----------------------------------------------------------------------------------------------------------------


def through(layer):
    """The backward pass of a layer."""

    def backward(S, G):
        given = tensor(S)
        return gradients(layer(given), tensor(G).detach(), given)[0]

    return backward


class AtLeast(torch.autograd.Function):
    @staticmethod
    def forward(ctx, S):
        ctx.save_for_backward(S)
        return S.clamp(min=0)

    @staticmethod
    def backward(ctx, G):
        return G * (ctx.saved_tensors[0] >= 0)


class OfOutput(AtLeast):
    @staticmethod
    def forward(ctx, S):
        H = S.clamp(min=0)
        ctx.save_for_backward(H)
        return H

    @staticmethod
    def backward(ctx, G):
        return G * (ctx.saved_tensors[0] > 0)


RELUS = (torch.relu, functional.relu, torch.nn.ReLU(), OfOutput.apply, lambda S: torch.where(S > 0, S, 0))
WRONG_RELUS = {
    "is wrong: ≥ is used where > is needed": AtLeast.apply,
    "is wrong: the slope is 0.01 where S ≤ 0": functional.leaky_relu,
    # The largest of two equal numbers shares its gradient with the other.
    "is wrong: half of the gradient passes where S is 0": lambda S: torch.maximum(S, torch.zeros_like(S)),
    "is wrong: the mask is 0 < S < 6": functional.relu6,
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("seed", range(len(RELUS)))
def test_right_relus_pass(seed, dtype):
    audit_relu(through(RELUS[seed]), dtype=dtype, seed=seed).check()


@pytest.mark.parametrize("title", WRONG_RELUS)
def test_wrong_relus_are_named(title):
    assert audit_relu(through(WRONG_RELUS[title])).findings[0].title == title


# fully connected ------------------------------------------------------------------------------------------------------


def fully_connected(layer):
    """The forward and the backward pass of a layer."""

    def forward(W, H, b):
        return array(layer(tensor(W), tensor(H), tensor(b)))

    def backward(W, H, b, g):
        given = tensor(W), tensor(H), tensor(b)
        return gradients(layer(*given), tensor(g).detach(), *given)

    return forward, backward


CONNECTED = (
    lambda W, H, b: functional.linear(H.flatten(1), W, b),
    lambda W, H, b: torch.addmm(b, H.flatten(1), W.T),
    lambda W, H, b: torch.einsum("nj,cj->nc", H.reshape(len(H), -1), W) + b,
)
# By what the title says.
WRONG_CONNECTED = {
    "order": lambda W, H, b: functional.linear(H.permute(0, 2, 3, 1).flatten(1), W, b),
    "bias": lambda W, H, b: functional.linear(H.flatten(1), W) + 0 * b,
}


# Half precision, which holds so few integers that an audit draws often, once each.
@pytest.mark.parametrize(
    ("dtype", "seed"),
    [*itertools.product(["float64", "float32"], range(len(CONNECTED))), ("float16", 1), ("bfloat16", 2)],
)
def test_right_fully_connected_layers_pass(dtype, seed):
    audit_fully_connected(*fully_connected(CONNECTED[seed]), dtype=dtype, seed=seed).check()


@pytest.mark.parametrize("word", WRONG_CONNECTED)
def test_wrong_fully_connected_layers_are_named(word):
    finding = audit_fully_connected(*fully_connected(WRONG_CONNECTED[word])).findings[0]
    assert finding.about == "s"
    assert word in finding.title
    assert finding.formula != finding.right
    assert finding.predicts == finding.of > 0


def test_gradients_that_are_never_set_to_zero_are_named():
    held = {}

    def backward(W, H, b, g):
        weights = held.setdefault(W.shape, tensor(W))
        weights.data = tensor(W).detach()
        given = weights, tensor(H), tensor(b)
        CONNECTED[0](*given).backward(tensor(g).detach())
        return tuple(array(each.grad).copy() for each in given)

    finding = audit_fully_connected(None, backward).findings[0]
    assert (finding.about, finding.title) == ("∂l/∂W", "is added to the result of the call before")


# softmax with cross-entropy -------------------------------------------------------------------------------------------


def cross_entropy(loss):
    """The gradient and the loss."""

    def backward(s, y):
        scores = tensor(s)
        return gradients(loss(scores, tensor(y).detach()), None, scores)[0]

    def forward(s, y):
        return float(loss(tensor(s), tensor(y)).detach())

    return backward, forward


LOSSES = (
    functional.cross_entropy,
    lambda s, y: functional.cross_entropy(s, y.argmax(dim=1)),
    lambda s, y: functional.nll_loss(functional.log_softmax(s, dim=1), y.argmax(dim=1)),
)
WRONG_LOSSES = {
    "it is not divided by the number of images": lambda s, y: functional.cross_entropy(s, y, reduction="sum"),
    "softmax runs over the images, not over the classes": lambda s, y: functional.nll_loss(
        functional.log_softmax(s, dim=0), y.argmax(dim=1)
    ),
    "softmax is applied twice": lambda s, y: functional.cross_entropy(functional.softmax(s, dim=1), y),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(len(LOSSES)))
def test_right_losses_pass(seed, dtype):
    backward, forward = cross_entropy(LOSSES[seed])
    # A loss in Python's float has more digits than a float32, none of which is judged.
    audit_softmax_cross_entropy(backward, forward, dtype=dtype, seed=seed).check()


@pytest.mark.parametrize("title", WRONG_LOSSES)
def test_wrong_losses_are_named(title):
    titles = [each.title for each in audit_softmax_cross_entropy(*cross_entropy(WRONG_LOSSES[title])).findings]
    assert f"is wrong: {title}" in titles
