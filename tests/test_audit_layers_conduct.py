"""What audits of ReLU, fully connected and softmax layers find besides formulas: layouts, NaN, real numbers, state."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from jacobians.audit import audit_fully_connected, audit_relu, audit_softmax_cross_entropy
from tests.test_audit_reproduce import printed

INTEGERS = "is right for integers, and wrong for other numbers"


def kept(A):
    """The numbers of an array in the order of memory."""
    return A.ravel(order="K").reshape(A.shape)


def relu(S, G):
    return G * (S > 0)


def forward(W, H, b):
    return H.reshape(len(H), -1) @ W.T + b


def backward(W, H, b, g):
    return g.T @ H.reshape(len(H), -1), (g @ W).reshape(H.shape), g.sum(axis=0)


def gradient(s, y):
    return (softmax(s, axis=1) - y) / len(s)


def loss(s, y):
    return -(log_softmax(s, axis=1) * y).sum(axis=1).mean()


RELUS = {
    "depends on the memory layout of G": lambda S, G: kept(G) * (S > 0),
    "depends on the memory layout of S": lambda S, G: G * (kept(S) > 0),
    INTEGERS: lambda S, G: np.round(G) * (S > 0),
    "is wrong for a NaN in G: it misses 1 entry": lambda S, G: np.nan_to_num(G) * (S > 0),
    "is wrong for a NaN in G: it reaches": lambda S, G: G * (S > 0) + 0 * G.sum(),
    "is wrong for a NaN in S: it reaches": lambda S, G: G * (S > 0) + 0 * S.sum(),
}
FORWARD = {
    "depends on the memory layout of H": lambda W, H, b: forward(W, kept(H), b),
    "depends on the memory layout of W": lambda W, H, b: forward(kept(W), H, b),
    INTEGERS: lambda W, H, b: forward(W, np.round(H, 2), b),
    "is wrong for a NaN in H: it misses": lambda W, H, b: forward(W, np.nan_to_num(H), b),
    "is wrong for a NaN in W: it misses": lambda W, H, b: forward(np.nan_to_num(W), H, b),
    "is wrong for a NaN in b: it misses": lambda W, H, b: forward(W, H, np.nan_to_num(b)),
    "is wrong for a NaN in H: it reaches": lambda W, H, b: forward(W, H, b) + 0 * H.sum(),
}
BACKWARD = {
    "depends on the memory layout of g": lambda W, H, b, g: backward(W, H, b, kept(g)),
    "depends on the memory layout of H": lambda W, H, b, g: backward(W, kept(H), b, g),
    INTEGERS: lambda W, H, b, g: backward(W, H, b, np.round(g, 1)),
    "is wrong for a NaN in g: it misses": lambda W, H, b, g: backward(W, H, b, np.nan_to_num(g)),
    "is wrong for a NaN in W: it reaches": lambda W, H, b, g: (
        backward(W, H, b, g)[0] + 0 * W.sum(),
        *backward(W, H, b, g)[1:],
    ),
}
SOFTMAX = {
    "depends on the memory layout of s": lambda s, y: gradient(kept(s), y),
    INTEGERS: lambda s, y: gradient(np.round(s), y),
    "is wrong for a NaN in s: it misses": lambda s, y: gradient(np.nan_to_num(s), y),
    "is wrong for a NaN in s: it reaches": lambda s, y: gradient(s, y) + 0 * s.sum(),
}
LOSS = {
    "depends on the memory layout of s": lambda s, y: loss(kept(s), y),
    INTEGERS: lambda s, y: loss(np.round(s), y),
    "is wrong for a NaN in s: it misses": lambda s, y: loss(np.nan_to_num(s), y),
}
# The audit, the name of the function, the wrong functions, and the right one.
ALL = (
    (audit_relu, "backward", RELUS, relu),
    (audit_fully_connected, "forward", FORWARD, forward),
    (lambda code, **options: audit_fully_connected(None, code, **options), "backward", BACKWARD, backward),
    (audit_softmax_cross_entropy, "backward", SOFTMAX, gradient),
    (lambda code, **options: audit_softmax_cross_entropy(None, code, **options), "forward", LOSS, loss),
)
CASES = [
    pytest.param(audit, side, title, wrong, right, id=f"{right.__name__} {title}")
    for audit, side, table, right in ALL
    for title, wrong in table.items()
]


@pytest.mark.parametrize(("audit", "side", "title", "wrong", "right"), CASES)
def test_conduct_is_named_and_its_code_shows_it(audit, side, title, wrong, right):
    finding = audit(wrong).findings[0]
    assert finding.title.startswith(title)
    assert finding.cause
    assert finding.cure
    got, wanted = printed(finding, **{side: wrong})
    assert not np.array_equal(got, wanted, equal_nan=True)
    if title != INTEGERS:  # rounding errors differ in the last digits
        got, wanted = printed(finding, **{side: right})
        np.testing.assert_array_equal(got, wanted)


OTHERS = [
    pytest.param(audit, wrong, dtype, id=f"{right.__name__} {title} {dtype}")
    for audit, _, table, right in ALL
    for title, wrong in table.items()
    for dtype in ("float32", *(() if right in {gradient, loss} else ("float16",)))
]


@pytest.mark.parametrize(("audit", "wrong", "dtype"), OTHERS)
def test_conduct_is_found_in_other_dtypes(audit, wrong, dtype):
    assert not audit(lambda *arrays: _as(dtype, wrong(*arrays)), dtype=dtype).ok


def _as(dtype, value):
    return tuple(each.astype(dtype) for each in value) if isinstance(value, tuple) else np.asarray(value).astype(dtype)


class Kept:
    """A buffer of the results, and a share of them that is dropped."""

    def __init__(self):
        self.buffers, self.drawn = {}, np.random.default_rng(0)

    def buffer(self, S, G):
        held = self.buffers.setdefault(S.shape, np.empty_like(G))
        held[...] = relu(S, G)
        return held

    def dropped(self, S, G):
        return relu(S, G) * (self.drawn.random(S.shape) > 0.2)


def in_place(S, G):
    G *= S > 0
    return G


@pytest.mark.parametrize(
    ("title", "code"),
    [
        ("is overwritten by a later call", Kept().buffer),
        ("differs from call to call", Kept().dropped),
        ("changes G in place", in_place),
    ],
)
def test_the_code_of_state_shows_it(title, code):
    finding = next(each for each in audit_relu(code).findings if each.title == title)
    got, wanted = printed(finding, backward=code)
    assert not np.array_equal(got, wanted)
    got, wanted = printed(finding, backward=relu)
    np.testing.assert_array_equal(got, wanted)
