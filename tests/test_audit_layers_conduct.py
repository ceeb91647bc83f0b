"""What audits of ReLU, fully connected and softmax layers find besides formulas: layouts, NaN, real numbers, state."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from jacobians.audit import audit_fully_connected, audit_relu, audit_softmax_cross_entropy
from tests.test_audit_reproduce import printed

INTEGERS = "is right for integers and wrong for other numbers"
DIGITS = (
    "is rounded to integers",
    "is rounded in its last digits",
    "is wrong for fractions",
    "is wrong for real numbers",
    INTEGERS,
)


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
    "is rounded to integers": lambda S, G: np.round(G) * (S > 0),
    "is wrong for a NaN in G: the NaN does not reach 1 entry": lambda S, G: np.nan_to_num(G) * (S > 0),
    "is wrong for a NaN in G: the NaN reaches": lambda S, G: G * (S > 0) + 0 * G.sum(),
    "is wrong for a NaN in S: the NaN reaches": lambda S, G: G * (S > 0) + 0 * S.sum(),
}
FORWARD = {
    "depends on the memory layout of H": lambda W, H, b: forward(W, kept(H), b),
    "depends on the memory layout of W": lambda W, H, b: forward(kept(W), H, b),
    "is wrong for fractions": lambda W, H, b: forward(W, np.round(H, 2), b),
    "is wrong for a NaN in H: the NaN does not reach": lambda W, H, b: forward(W, np.nan_to_num(H), b),
    "is wrong for a NaN in W: the NaN does not reach": lambda W, H, b: forward(np.nan_to_num(W), H, b),
    "is wrong for a NaN in b: the NaN does not reach": lambda W, H, b: forward(W, H, np.nan_to_num(b)),
    "is wrong for a NaN in H: the NaN reaches": lambda W, H, b: forward(W, H, b) + 0 * H.sum(),
}
BACKWARD = {
    "depends on the memory layout of g": lambda W, H, b, g: backward(W, H, b, kept(g)),
    "depends on the memory layout of H": lambda W, H, b, g: backward(W, kept(H), b, g),
    "is wrong for fractions": lambda W, H, b, g: backward(W, H, b, np.round(g, 1)),
    "is wrong for a NaN in g: the NaN does not reach": lambda W, H, b, g: backward(W, H, b, np.nan_to_num(g)),
    "is wrong for a NaN in W: the NaN reaches": lambda W, H, b, g: (
        backward(W, H, b, g)[0] + 0 * W.sum(),
        *backward(W, H, b, g)[1:],
    ),
}
SOFTMAX = {
    "depends on the memory layout of s": lambda s, y: gradient(kept(s), y),
    INTEGERS: lambda s, y: gradient(np.round(s), y),
    "is wrong for a NaN in s: the NaN does not reach": lambda s, y: gradient(np.nan_to_num(s), y),
    "is wrong for a NaN in s: the NaN reaches": lambda s, y: gradient(s, y) + 0 * s.sum(),
}
LOSS = {
    "depends on the memory layout of s": lambda s, y: loss(kept(s), y),
    INTEGERS: lambda s, y: loss(np.round(s), y),
    "is wrong for a NaN in s: the NaN does not reach": lambda s, y: loss(np.nan_to_num(s), y),
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
    """Layers that keep something between calls: buffers, masks, products, random numbers."""

    def __init__(self):
        self.held, self.calls, self.drawn = {}, 0, np.random.default_rng(0)

    def buffer(self, S, G):
        held = self.held.setdefault(S.shape, np.empty_like(G))
        held[...] = relu(S, G)
        return held

    def dropped(self, S, G):
        return relu(S, G) * (self.drawn.random(S.shape) > 0.2)

    def counted(self, S, G):
        self.calls += 1
        return relu(S, G) * (1 + (self.calls % 3 == 0))

    def mask_by_shape(self, S, G):
        return G * self.held.setdefault(S.shape, S > 0)

    def mask_by_sum(self, S, G):
        return G * self.held.setdefault((S.shape, float(S.sum())), S > 0)

    def mask_by_first(self, S, G):
        return G * self.held.setdefault((S.shape, float(S.flat[0])), S > 0)

    def added_up(self, S, G):
        self.held[S.shape] = self.held.get(S.shape, 0) + relu(S, G)
        return self.held[S.shape].copy()

    def not_cleared(self, S, G):
        if self.calls < S.size:
            self.calls, self.held = S.size, np.zeros(S.size, G.dtype)
        np.copyto(self.held[: S.size], G.ravel(), where=S.ravel() > 0)
        return self.held[: S.size].reshape(S.shape).copy()

    def weights_by_shape(self, W, H, b):
        return forward(self.held.setdefault(W.shape, W.copy()), H, b)

    def weights_added_up(self, W, H, b, g):
        dW, dH, db = backward(W, H, b, g)
        self.held[W.shape] = self.held.get(W.shape, 0) + dW
        return self.held[W.shape].astype(W.dtype), dH, db

    def saving(self, W, H, b):
        self.held = {"W": W.copy(), "H": H.copy()}
        return forward(W, H, b)

    def of_saved(self, W, H, b, g):
        return backward(self.held["W"], self.held["H"], b, g)

    def loss_by_shape(self, s, y):
        return self.held.setdefault(s.shape, float(loss(s, y)))

    def gradients_added_up(self, s, y):
        self.held[s.shape] = self.held.get(s.shape, 0) + gradient(s, y)
        return self.held[s.shape].copy()

    def saving_p(self, s, y):
        self.held["p"] = softmax(s, axis=1)
        return float(loss(s, y))

    def of_p(self, s, y):
        return (self.held["p"] - y) / len(s)


def in_place(S, G):
    G *= S > 0
    return G


BY_SHAPE = "depends on earlier calls: it is right for the first numbers of a size and wrong for the next"
BY_SUM = "is the result of the call before, whose numbers were the same in another order"
# The first of the findings, the audit, and the wrong functions of a new instance.
STATE = {
    "buffer": ("is overwritten by a later call", audit_relu, ("buffer",)),
    "dropout": ("differs from call to call", audit_relu, ("dropped",)),
    "every third call": ("is wrong now and then", audit_relu, ("counted",)),
    "mask by shape": (BY_SHAPE, audit_relu, ("mask_by_shape",)),
    "mask by sum": (BY_SUM, audit_relu, ("mask_by_sum",)),
    "mask by first entry": (BY_SUM, audit_relu, ("mask_by_first",)),
    "added up": ("is added to the result of the call before", audit_relu, ("added_up",)),
    "not cleared": ("depends on the call before", audit_relu, ("not_cleared",)),
    "weights by shape": (BY_SHAPE, audit_fully_connected, ("weights_by_shape",)),
    "weights added up": (
        "is added to the result of the call before", audit_fully_connected, (None, "weights_added_up"),
    ),
    "saved": ("depends on the last call of forward", audit_fully_connected, ("saving", "of_saved")),
    "loss by shape": (BY_SHAPE, audit_softmax_cross_entropy, (None, "loss_by_shape")),
    "gradients added up": (
        "is added to the result of the call before", audit_softmax_cross_entropy, ("gradients_added_up",),
    ),
    "saved p": ("depends on the last call of forward", audit_softmax_cross_entropy, ("of_p", "saving_p")),
}  # fmt: skip
RIGHT = {
    audit_relu: {"backward": relu},
    audit_fully_connected: {"forward": forward, "backward": backward},
    audit_softmax_cross_entropy: {"forward": loss, "backward": gradient},
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", STATE)
def test_state_is_named_and_its_code_shows_it(case, seed):
    title, audit, names = STATE[case]
    kept, fresh = Kept(), Kept()
    finding = audit(*(name and getattr(kept, name) for name in names), seed=seed).findings[0]
    assert finding.title.partition(": in")[0] == title
    assert finding.entries
    sides = ("backward", "forward") if audit is audit_softmax_cross_entropy else ("forward", "backward")
    sides = sides if audit is not audit_relu else ("backward",)
    functions = {side: getattr(fresh, name) for side, name in zip(sides, names, strict=False) if name}
    got, wanted = printed(finding, **functions)
    assert not np.array_equal(got, wanted)
    got, wanted = printed(finding, **RIGHT[audit])
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", ["mask_by_shape", "mask_by_sum", "mask_by_first"])
def test_masks_that_are_kept_are_found_with_every_seed(name, seed):
    assert audit_relu(getattr(Kept(), name), seed=seed).findings[0].kind == "state"


# NumPy multiplies no matrices in bfloat16, and softmax is for float64 and float32.
STATE_DTYPES = [
    (case, dtype)
    for case, (_, audit, _) in STATE.items()
    for dtype in {audit_relu: ("float16", "bfloat16", "int32"), audit_fully_connected: ("float16", "int32")}.get(
        audit, ("float32",)
    )
]


@pytest.mark.parametrize(("case", "dtype"), STATE_DTYPES)
def test_state_is_named_in_other_dtypes(case, dtype):
    title, audit, names = STATE[case]
    kept = Kept()
    functions = [name and getattr(kept, name) for name in names]
    assert audit(*functions, dtype=dtype).findings[0].title.partition(": in")[0] == title


@pytest.mark.parametrize("seed", range(20))
def test_a_formula_that_is_wrong_for_some_numbers_is_not_called_state(seed):
    both = audit_relu(lambda S, G: G * ((S > 0) & (G > 0)), seed=seed)
    assert [each.title for each in both.findings] == ["is wrong: the mask is computed from both S and G"]
    cut = audit_fully_connected(lambda W, H, b: np.maximum(forward(W, H, b), -9), seed=seed)
    assert [each.kind for each in cut.findings] == ["range"]


def test_the_code_of_a_change_in_place_shows_it():
    finding = audit_relu(in_place).findings[0]
    assert finding.title == "changes G in place"
    got, wanted = printed(finding, backward=in_place)
    assert not np.array_equal(got, wanted)
    got, wanted = printed(finding, backward=relu)
    np.testing.assert_array_equal(got, wanted)


ROUNDING = {
    "wrong within no bound": (audit_softmax_cross_entropy, lambda s, y: gradient(s, y) * (1 + 1e-9), gradient),
    "rounded": (audit_relu, lambda S, G: np.round(G, 2) * (S > 0), relu),
    "digits of a layer": (audit_fully_connected, lambda W, H, b: np.round(forward(W, H, b), 2), forward),
    "dtype": (audit_relu, lambda S, G: relu(S, G).astype(np.float32), relu),
    "shape": (audit_relu, lambda S, G: relu(S, G).ravel(), relu),
    "integer": (audit_fully_connected, lambda W, H, b: forward(W, H, b).astype(np.int64), forward),
}


@pytest.mark.parametrize("case", ROUNDING)
def test_the_code_of_rounding_dtypes_and_shapes_shows_it(case):
    audit, wrong, right = ROUNDING[case]
    side = "forward" if right is forward else "backward"
    finding = audit(wrong).findings[0]
    got, wanted = printed(finding, **{side: wrong})
    assert not np.array_equal(got, wanted)
    got, wanted = printed(finding, **{side: right})
    np.testing.assert_array_equal(got, wanted)


def test_a_wider_number_is_a_right_loss():
    finding = audit_softmax_cross_entropy(None, lambda s, y: np.float16(loss(s, y)), dtype="float32").findings[0]
    assert finding.title == "has dtype float16, not a floating-point one"
    assert printed(finding, forward=lambda s, y: float(loss(s, y))) == [True, True]
    assert printed(finding, forward=lambda s, y: np.float16(loss(s, y))) == [False, True]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_rounded_digits_are_no_precision(dtype):
    finding = audit_relu(lambda S, G: np.round(G, 2) * (S > 0), dtype=dtype).findings[0]
    assert finding.title.startswith(DIGITS)
    finding = audit_relu(lambda S, G: G.astype(np.float16).astype(G.dtype) * (S > 0)).findings[0]
    assert not finding.title.startswith(DIGITS)


SMALL = {
    "layout": (audit_relu, lambda S, G: kept(G) * (S > 0), 4),
    "layout of a layer": (audit_fully_connected, lambda W, H, b: forward(W, kept(H), b), 4),
    "NaN": (audit_relu, lambda S, G: np.nan_to_num(G) * (S > 0), 1),
    "NaN in a layer": (audit_fully_connected, lambda W, H, b: forward(W, np.nan_to_num(H), b), 1),
}


@pytest.mark.parametrize("case", SMALL)
def test_layouts_and_nan_are_shown_on_small_arrays(case):
    audit, wrong, most = SMALL[case]
    assert np.size(audit(wrong).findings[0].arrays["H" if audit is audit_fully_connected else "G"]) <= most
