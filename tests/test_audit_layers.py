"""Somebody else's ReLU, fully connected and softmax layers: right code passes, wrong code is found and named."""

import math
import re

import ml_dtypes
import numpy as np
import pytest
from scipy.special import log_softmax

from jacobians import AuditError, DtypeError, Geometry
from jacobians.audit import audit_fully_connected, audit_relu, audit_softmax_cross_entropy
from jacobians.evidence import exact
from tests.strategies import SEEDS

DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32")


def first_line(report):
    return str(report).splitlines()[0]


def pasted(finding, **functions):
    """What the code of a finding prints."""
    printed = []
    names = {**functions, "print": lambda value: printed.append(np.asarray(value, np.float64))}
    exec(finding.code, names)
    return printed


# ReLU -----------------------------------------------------------------------------------------------------------------


def relu_loops(S, G):
    dS = np.zeros_like(G)
    for index in np.ndindex(S.shape):
        if S[index] > 0:
            dS[index] = G[index]
    return dS


def relu_masked(S, G):
    dS = G.copy()
    dS[S <= 0] = 0
    return dS


RELUS = (
    relu_loops,
    relu_masked,
    lambda S, G: G * (S > 0),
    lambda S, G: np.where(np.maximum(S, 0) > 0, G, G * 0),
    lambda S, G: G * np.heaviside(S.astype(np.float64), 0).astype(G.dtype),
)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_right_relu_passes_with_many_seeds(seed):
    report = audit_relu(RELUS[seed % len(RELUS)], dtype=DTYPES[seed % 6], seed=seed).check()
    assert report.audited == ("∂l/∂S",)
    assert report.options == f"ReLU, {DTYPES[seed % 6]}"


def later(S):
    """The output of a layer behind the ReLU, of the same shape."""
    return 3 - np.cumsum(np.maximum(S, 0).astype(np.float64), axis=-1)


WRONG_RELUS = {
    "≥ is used where > is needed": lambda S, G: G * (S >= 0),
    "the mask is missing": lambda S, G: G * (np.maximum(S, 0) >= 0),
    "the mask is computed from G, not from S": lambda S, G: G * (G > 0),
    "the mask is computed from both S and G": lambda S, G: G * ((S > 0) & (G > 0)),
    "its sign is wrong": lambda S, G: -G * (S > 0),
    "the mask is inverted: S < 0": lambda S, G: G * (S < 0),
    "the mask is inverted: S ≤ 0": lambda S, G: G * (S <= 0),
    "the mask is S ≠ 0": lambda S, G: G * (S != 0),
    "the mask itself is returned, without G": lambda S, G: (S > 0).astype(S.dtype),
    "the mask itself is returned, without G, and ≥ is used where > is needed": lambda S, G: (S >= 0).astype(S.dtype),
    "the ReLU itself is returned": lambda S, G: np.maximum(S, 0),
    "G is multiplied by H": lambda S, G: G * np.maximum(S, 0),
    "G is multiplied by S": lambda S, G: G * S,
    "it is 0 everywhere": lambda S, G: G * 0,
    "the mask is 0 < S < 6": lambda S, G: G * ((S > 0) & (S < 6)),
    "S is compared with a number above 0": lambda S, G: G * (S > 1e-2),
    "the mask is computed from another array, neither S nor G": lambda S, G: G * (later(S) > 0),
    "half of the gradient passes where S is 0": lambda S, G: G * np.heaviside(S, 0.5),
    "the slope is 0.01 where S ≤ 0": lambda S, G: np.where(S > 0, G, 0.01 * G),
    "the slope is 0.1 where S ≤ 0": lambda S, G: G * np.where(S > 0, 1, 0.1),
    "the slope is 0.2 where S ≤ 0": lambda S, G: G * np.where(S > 0, 1, 0.2),
}


@pytest.mark.parametrize("title", WRONG_RELUS)
@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_relu_is_named(title, seed):
    report = audit_relu(WRONG_RELUS[title], seed=seed)
    assert first_line(report) == f"✗ ∂l/∂S is wrong: {title}"
    assert len(report.findings) == 1
    finding = report.findings[0]
    assert np.size(finding.arrays["S"]) == 1
    assert finding.cause
    assert finding.cure
    got, right = pasted(finding, backward=WRONG_RELUS[title])
    np.testing.assert_array_equal(right, finding.arrays["right"])
    assert got != right


def test_the_smallest_case_of_a_relu_in_symbols():
    finding = audit_relu(WRONG_RELUS["≥ is used where > is needed"]).findings[0]
    assert finding.case.startswith("S = [[0]], G = [[")
    assert finding.entries == ("dS1: expected 0   got g1",)
    assert finding.formula == "∂l/∂S = 1·G where S = 0, 1·G where S > 0, 0 elsewhere"
    assert audit_relu(WRONG_RELUS["the mask is computed from G, not from S"]).findings[0].entries == (
        "dS1: expected 0   got g1",
    )
    assert audit_relu(WRONG_RELUS["the ReLU itself is returned"]).findings[0].entries == ("dS1: expected g1   got S1",)
    inverted = audit_relu(WRONG_RELUS["the mask is inverted: S < 0"]).findings[0]
    assert inverted.entries in {("dS1: expected 0   got g1",), ("dS1: expected g1   got 0",)}


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_wrong_relu_is_named_in_every_dtype(dtype):
    report = audit_relu(lambda S, G: G * (S >= 0), dtype=dtype)
    assert first_line(report) == "✗ ∂l/∂S is wrong: ≥ is used where > is needed"


def test_masks_that_no_theory_knows():
    report = audit_relu(lambda S, G: G * np.clip(S, 0, 1))
    assert first_line(report) == "✗ ∂l/∂S is wrong, and its formula could not be read"
    assert "  observed: the result is wrong only for scores next to 0" in str(report).splitlines()
    three = audit_relu(lambda S, G: 3 * G * (S > 0)).findings[0]
    assert three.title == "is wrong: it is 3 times what it should be"
    assert three.formula == "∂l/∂S = 3·G where S > 0, 0 elsewhere"
    assert three.right == "∂l/∂S = 1·G where S > 0, 0 elsewhere"
    turned = audit_relu(lambda S, G: (G * (S > 0)).ravel()[::-1].reshape(S.shape))
    assert any("it is a permutation" in line for line in str(turned).splitlines())


# behaviour ------------------------------------------------------------------------------------------------------------


def in_place(S, G):
    G[S <= 0] = 0
    return G


def unwritten(S, G):
    dS = np.empty_like(G)
    np.copyto(dS, G, where=S > 0)
    np.copyto(dS, 0, where=S < 0)
    return dS


BUFFERS = {}


def buffered(S, G):
    return np.multiply(G, S > 0, out=BUFFERS.setdefault((S.shape, S.dtype), np.empty_like(G)))


NOISE = np.random.default_rng(0)


def remembered(kept):
    def backward(S, G):
        mask = kept.setdefault(S.shape, S > 0)
        return G * mask

    return backward


def failing(S, G):
    if S.ndim == 4:
        raise IndexError("too many axes")
    return G * (S > 0)


BEHAVIOUR = {
    "✗ backward changes G in place": in_place,
    "✗ ∂l/∂S is overwritten by a later call": buffered,
    "✗ ∂l/∂S differs from call to call": lambda S, G: G * (S > 0) * NOISE.integers(2, 9),
    "✗ ∂l/∂S has dtype float32, not float64": lambda S, G: (G * (S > 0)).astype(np.float32),
    "✗ ∂l/∂S has shape (1,), not (1, 1)": lambda S, G: (G * (S > 0)).ravel(),
    "✗ backward raises on legal input: IndexError: too many axes": failing,
    "✗ backward returned 2 results, not 1: (dS)": lambda S, G: (G, S),
    "✗ backward returned NoneType for ∂l/∂S; it must return an array": lambda S, G: None,
    "✗ backward returned complex128 for ∂l/∂S; it must return real numbers": lambda S, G: G * (S > 0) * 1j,
    "✗ ∂l/∂S is computed in a lower precision than float64": lambda S, G: (
        (G * (S > 0)).astype(np.float32).astype(G.dtype)
    ),
    "✗ ∂l/∂S is NaN or ∞ in 1 entry": lambda S, G: np.where(S == 0, np.nan, G * (S > 0)),
}


@pytest.mark.parametrize("start", BEHAVIOUR)
def test_behaviour_is_found(start):
    report = audit_relu(BEHAVIOUR[start])
    assert first_line(report).startswith(start)
    with pytest.raises(AuditError, match=f"^{re.escape(str(report))}$"):
        report.check()


@pytest.mark.parametrize("at", range(3))
def test_every_result_is_looked_at(at):
    report = audit_fully_connected(None, spoiled(at, lambda W, H, g: None))
    label = ("∂l/∂W", "∂l/∂H", "∂l/∂b")[at]
    assert first_line(report) == f"✗ backward returned NoneType for {label}; it must return an array"
    assert report.findings[0].wrong == report.findings[0].tried


def test_memory_that_was_never_written_is_found():
    assert not audit_relu(unwritten).ok


def test_a_cache_by_shape_is_found():
    report = audit_relu(remembered({}))
    assert not report.ok
    assert {finding.kind for finding in report.findings} & {"state", "values"}


def test_lists_are_no_arrays():
    assert first_line(audit_relu(lambda S, G: (G * (S > 0)).tolist())) == (
        "✗ backward returned list for ∂l/∂S; it must return an array"
    )


def test_the_exception_is_shown_with_its_input():
    finding = audit_relu(failing).findings[0]
    assert finding.kind == "exception"
    assert "(failing, line " in finding.title
    assert np.ndim(finding.arrays["S"]) == 4
    assert 0 < finding.wrong < finding.tried
    assert "from tests" in finding.code or "from test_audit_layers" in finding.code


# fully connected ------------------------------------------------------------------------------------------------------


def rows(H):
    return H.reshape(len(H), -1)


def forward(W, H, b):
    return rows(H) @ W.T + b


def backward(W, H, b, g):
    return g.T @ rows(H), (g @ W).reshape(H.shape), g.sum(axis=0)


def forward_loops(W, H, b):
    s = np.zeros((len(H), len(W)), W.dtype)
    for image, h in enumerate(H):
        for c in range(len(W)):
            s[image, c] = b[c]
            for j, value in enumerate(h.flat):
                s[image, c] += W[c, j] * value
    return s


def backward_loops(W, H, b, g):
    dW, dH, db = np.zeros_like(W), np.zeros_like(H), np.zeros_like(b)
    for image in range(len(H)):
        dW += np.outer(g[image], H[image].ravel())
        dH[image] = (W.T @ g[image]).reshape(H.shape[1:])
        db += g[image]
    return dW, dH, db


def backward_einsum(W, H, b, g):
    return np.einsum("nc,nm->cm", g, rows(H)), np.einsum("nc,cm->nm", g, W).reshape(H.shape), np.einsum("nc->c", g)


def in_wide(function):
    """Without bfloat16, which NumPy does not multiply as matrices."""

    def wrapped(*arrays):
        if arrays[0].dtype != ml_dtypes.bfloat16:
            return function(*arrays)
        results = function(*(each.astype(np.float32) for each in arrays))
        if isinstance(results, tuple):
            return tuple(each.astype(ml_dtypes.bfloat16) for each in results)
        return results.astype(ml_dtypes.bfloat16)

    return wrapped


SCORES = (forward, lambda W, H, b: (W @ rows(H).T + b[:, None]).T, lambda W, H, b: np.inner(rows(H), W) + b)
CONNECTED = (backward, backward_einsum, backward_loops)


@pytest.mark.parametrize("seed", range(18))
def test_a_right_fully_connected_layer_passes_with_many_seeds(seed):
    functions = in_wide(SCORES[seed % 3]), in_wide(CONNECTED[seed // 3 % 3])
    report = audit_fully_connected(*functions, dtype=DTYPES[seed % 6], seed=seed).check()
    assert report.audited == ("s", "∂l/∂W", "∂l/∂H", "∂l/∂b")
    assert report.log2_miss <= -60


def test_loops_pass():
    assert audit_fully_connected(forward_loops, backward_loops, dtype="float32").ok


def test_without_bias_and_one_side_alone():
    report = audit_fully_connected(
        lambda W, H: rows(H) @ W.T, lambda W, H, g: backward(W, H, None, g)[:2], bias=False
    ).check()
    assert report.audited == ("s", "∂l/∂W", "∂l/∂H")
    assert report.options == "fully connected without bias, float64"
    assert audit_fully_connected(None, backward).check().audited == ("∂l/∂W", "∂l/∂H", "∂l/∂b")
    assert audit_fully_connected(forward).check().audited == ("s",)


def planes_last(H):
    return np.moveaxis(H, 1, -1)


def by_columns(H):
    return H.swapaxes(2, 3)


def all_columns(H):
    return H.transpose(0, 3, 2, 1)


def back(flat, H, order):
    """The shape that `order` gives, and its axes in their places again."""
    return flat.reshape([H.shape[axis] for axis in ORDER[order]]).transpose(np.argsort(ORDER[order]))


ORDER = {planes_last: (0, 2, 3, 1), by_columns: (0, 1, 3, 2), all_columns: (0, 3, 2, 1)}
WRONG_SCORES = {
    "H is flattened planes last": lambda W, H, b: rows(planes_last(H)) @ W.T + b,
    "H is flattened column by column": lambda W, H, b: rows(by_columns(H)) @ W.T + b,
    "H is flattened column by column, planes last": lambda W, H, b: H.reshape((len(H), -1), order="F") @ W.T + b,
    "W is used transposed": lambda W, H, b: (
        rows(H) @ W + b if W.shape[0] == W.shape[1] and len(W) > 1 else forward(W, H, b)
    ),
    "the bias is left out": lambda W, H, b: rows(H) @ W.T,
    "the bias is subtracted": lambda W, H, b: rows(H) @ W.T - b,
    "every image gets the result of the first": lambda W, H, b: forward(W, H, b)[[0] * len(H)],
    "every image gets the result of the last": lambda W, H, b: forward(W, H, b)[[-1] * len(H)],
    "it is divided by the number of images": lambda W, H, b: forward(W, H, b) / len(H),
    "it is divided by the number of classes": lambda W, H, b: forward(W, H, b) / len(W),
    "it is divided by images times classes": lambda W, H, b: forward(W, H, b) / (len(W) * len(H)),
    "it is divided by the number of entries of h": lambda W, H, b: forward(W, H, b) / W.shape[1],
    "it is multiplied by the number of images": lambda W, H, b: forward(W, H, b) * len(H),
    "it is multiplied by the number of classes": lambda W, H, b: forward(W, H, b) * len(W),
    "it is multiplied by images times classes": lambda W, H, b: forward(W, H, b) * len(W) * len(H),
    "it is multiplied by the number of entries of h": lambda W, H, b: forward(W, H, b) * W.shape[1],
    "its sign is wrong": lambda W, H, b: -forward(W, H, b),
    "it is twice what it should be": lambda W, H, b: 2 * forward(W, H, b),
}


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("title", WRONG_SCORES)
def test_wrong_scores_are_found(title):
    report = audit_fully_connected(WRONG_SCORES[title], seed=3)
    assert [(each.about, each.kind) for each in report.findings] == [("s", "values")]
    got, right = pasted(report.findings[0], forward=WRONG_SCORES[title])
    assert not np.array_equal(got, right)
    np.testing.assert_array_equal(right, report.findings[0].arrays["right"])


@pytest.mark.parametrize(
    ("title", "part"),
    [
        ("H is flattened planes last", "H written as (n, y, x, k)"),
        ("H is flattened column by column", "H written as (n, k, x, y)"),
        ("H is flattened column by column, planes last", "H written as (n, x, y, k)"),
        ("the bias is left out", "s[i] = Σ H[k, y, x] · W[i, k, a, b]"),
        ("the bias is subtracted", "−b[i]"),
        ("every image gets the result of the last", "H[N − 1, k, y, x]"),
        ("it is divided by the number of images", "1/N·Σ"),
        ("it is divided by images times classes", "1/(N·C)·Σ"),
        ("it is multiplied by the number of entries of h", "d·h·w·Σ"),
    ],
)
def test_the_formula_of_wrong_scores_is_read_and_predicts_them(title, part):
    finding = audit_fully_connected(WRONG_SCORES[title], seed=3).findings[0]
    assert part in finding.formula
    assert part not in finding.right
    assert finding.predicts == finding.of > 10
    W, H, b = (np.random.default_rng(1).integers(-9, 9, shape).astype(float) for shape in ((4, 12), (2, 2, 2, 3), (4,)))
    layer = Geometry((2, 2, 3), (4, 2, 2, 3))
    predicted = finding.predict(layer, X=H, F=W.reshape(4, 2, 2, 3), b=b)
    wrong = WRONG_SCORES[title]
    sizes = wrong(np.abs(W), np.abs(H), b * 0) + np.abs(wrong(W * 0, H * 0, np.abs(b)))
    # Both are sums of one product per entry of h and the bias, with a rounded coefficient.
    bound = 2 * float(exact.gamma(W.shape[1] + 4, "float64")) * sizes
    assert np.all(np.abs(predicted - wrong(W, H, b)) <= bound)


def ones(g):
    return np.ones_like(g)


WRONG_WEIGHTS = {
    "H is flattened planes last": lambda W, H, g: g.T @ rows(planes_last(H)),
    "H is flattened column by column": lambda W, H, g: g.T @ rows(by_columns(H)),
    "H is flattened column by column, planes last": lambda W, H, g: g.T @ rows(all_columns(H)),
    "only the last image counts": lambda W, H, g: g[-1:].T @ rows(H[-1:]),
    "only the first image counts": lambda W, H, g: g[:1].T @ rows(H[:1]),
    "the upstream gradient is replaced by ones": lambda W, H, g: ones(g).T @ rows(H),
    "h is left out": lambda W, H, g: g.T @ np.ones_like(rows(H)),
    "it is divided by the number of images": lambda W, H, g: g.T @ rows(H) / len(H),
    "it is divided by images times classes": lambda W, H, g: g.T @ rows(H) / g.size,
    "it is multiplied by the number of images": lambda W, H, g: g.T @ rows(H) * len(H),
    "its sign is wrong": lambda W, H, g: -g.T @ rows(H),
    "all N × N pairs of a gradient and an image are summed": lambda W, H, g: np.outer(g.sum(0), rows(H).sum(0)),
}
WRONG_INPUTS = {
    "the gradient of H is read planes last": lambda W, H, g: back(g @ W, H, planes_last),
    "the gradient of H is read column by column": lambda W, H, g: back(g @ W, H, by_columns),
    "the gradient of H is read column by column, planes last": lambda W, H, g: (
        (g @ W).reshape(H.shape[::-1]).T if len(H) == 1 else back(g @ W, H, all_columns)
    ),
    "the upstream gradient is replaced by ones": lambda W, H, g: (ones(g) @ W).reshape(H.shape),
    "every image gets the result of the last": lambda W, H, g: (g[[-1] * len(g)] @ W).reshape(H.shape),
    "every image gets the result of the first": lambda W, H, g: (g[[0] * len(g)] @ W).reshape(H.shape),
    "it is summed over the images": lambda W, H, g: ((g * 0 + g.sum(0)) @ W).reshape(H.shape),
    "it is divided by the number of images": lambda W, H, g: (g @ W / len(H)).reshape(H.shape),
    "its sign is wrong": lambda W, H, g: -(g @ W).reshape(H.shape),
}
WRONG_BIASES = {
    "one sum for all classes": lambda W, H, g: np.full(len(W), g.sum()),
    "only the last image counts": lambda W, H, g: g[-1].copy(),
    "only the first image counts": lambda W, H, g: g[0].copy(),
    "the upstream gradient is replaced by ones": lambda W, H, g: ones(g).sum(axis=0),
    "it is divided by the number of images": lambda W, H, g: g.mean(axis=0),
    "its sign is wrong": lambda W, H, g: -g.sum(axis=0),
}


def spoiled(at, change):
    def wrong(W, H, b, g):
        results = list(backward(W, H, b, g))
        results[at] = change(W, H, g)
        return tuple(results)

    return wrong


GRADIENTS = [
    (at, title, change)
    for at, table in enumerate((WRONG_WEIGHTS, WRONG_INPUTS, WRONG_BIASES))
    for title, change in table.items()
]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(("at", "title", "change"), GRADIENTS, ids=[f"{at} {title}" for at, title, _ in GRADIENTS])
def test_wrong_gradients_are_found(at, title, change):
    report = audit_fully_connected(None, spoiled(at, change), seed=5)
    assert [(each.about, each.kind) for each in report.findings] == [(("∂l/∂W", "∂l/∂H", "∂l/∂b")[at], "values")]


def test_products_that_do_not_fit_together_are_named_where_they_do():
    report = audit_fully_connected(lambda W, H, b: W @ rows(H) + b)
    assert first_line(report).startswith("✗ s has shape (2, 2), not (1, 2)")
    assert report.findings[1].title.startswith("raises on legal input: ValueError: ")
    assert report.findings[1].cure.startswith("With H as an (N, m) matrix: s = H @ W.T + b")
    report = audit_fully_connected(None, lambda W, H, b, g: (g.T @ rows(H), g @ W.T, g.sum(axis=0)))
    assert first_line(report).startswith("✗ ∂l/∂H has shape (1, 1), not (1, 1, 1, 1)")


@pytest.mark.usefixtures("unread")
def test_w_transposed_in_the_gradient_of_h():
    def transposed(W, H, g):
        return (g @ W.T).reshape(H.shape) if W.shape[0] == W.shape[1] else (g @ W).reshape(H.shape)

    assert first_line(audit_fully_connected(None, spoiled(1, transposed))).startswith("✗ ∂l/∂H is wrong")
    report = audit_fully_connected(None, spoiled(0, lambda W, H, g: g @ rows(H)))
    assert {each.about for each in report.findings} == {"∂l/∂W", "backward"}
    report = audit_fully_connected(lambda W, H, b: rows(H) @ W + b)
    assert first_line(report).startswith("✗ s ")
    assert report.findings[1].title.startswith("raises on legal input: ValueError: matmul: ")


SHAPES = {
    (0, "has shape (1, 1, 1), not (1, 1)"): lambda W, H, g: (g.T @ rows(H))[None],
    (0, "has shape (2, 1), not (1, 2): it is transposed"): lambda W, H, g: rows(H).T @ g,
    (1, "has shape (1, 1), not (1, 1, 1, 1): it is not reshaped to the shape of H"): lambda W, H, g: g @ W,
    (2, "has shape (), not (1,): one sum for all classes"): lambda W, H, g: g.sum(),
    (2, "is wrong: the code returns g unchanged"): lambda W, H, g: g.copy(),
    (2, "has shape (1, 1), not (1,): the axis that was summed is kept"): lambda W, H, g: g.sum(axis=0, keepdims=True),
}


@pytest.mark.parametrize(("at", "title"), SHAPES)
def test_wrong_shapes_are_named(at, title):
    report = audit_fully_connected(None, spoiled(at, SHAPES[at, title]))
    shapes = title.partition(": ")[0]
    assert first_line(report).startswith(f"✗ {('∂l/∂W', '∂l/∂H', '∂l/∂b')[at]} {shapes}")
    assert report.findings[0].kind == "shape"


def test_shapes_of_scores_and_sums_over_the_wrong_axis():
    report = audit_fully_connected(lambda W, H, b: forward(W, H, b).T)
    assert report.findings[0].kind == "shape"
    report = audit_fully_connected(None, spoiled(2, lambda W, H, g: g.sum(axis=1)))
    assert {each.about for each in report.findings} == {"∂l/∂b"}


def test_the_smallest_cases_of_the_fully_connected_layer_in_symbols():
    report = audit_fully_connected(WRONG_SCORES["H is flattened planes last"])
    assert report.findings[0].entries == ("s1: expected W11h1 + W12h2 + W13h3 + W14h4 + b1   "
                                          "got W11h1 + W12h3 + W13h2 + W14h4 + b1",)  # fmt: skip
    report = audit_fully_connected(None, spoiled(0, WRONG_WEIGHTS["only the last image counts"]))
    assert report.findings[0].entries == ("dW11: expected g1^(1)h1^(1) + g1^(2)h1^(2)   got g1^(2)h1^(2)",)
    report = audit_fully_connected(None, spoiled(0, WRONG_WEIGHTS["it is divided by the number of images"]))
    assert report.findings[0].entries == (
        "dW11: expected g1^(1)h1^(1) + g1^(2)h1^(2)   got 1/2g1^(1)h1^(1) + 1/2g1^(2)h1^(2)",
    )
    # In g, this is no sum of products: the entry is written in numbers.
    finding = audit_fully_connected(
        None, spoiled(0, WRONG_WEIGHTS["the upstream gradient is replaced by ones"])
    ).findings[0]
    h, g = (int(np.ravel(finding.arrays[letter])[0]) for letter in "Hg")
    assert finding.entries == (f"dW11: expected {g * h}   got {h}",)
    assert "g[i]" in finding.right
    assert "g[i]" not in finding.formula
    report = audit_fully_connected(None, spoiled(2, WRONG_BIASES["one sum for all classes"]))
    assert report.findings[0].entries == ("db1: expected g1   got g1 + g2", "db2: expected g2   got g1 + g2")
    assert report.findings[0].case.startswith("W = [[")


def test_a_layer_in_lower_precision_is_said_to_be():
    def lower(W, H, b):
        return forward(*(each.astype(np.float32) for each in (W, H, b))).astype(np.float64)

    assert audit_fully_connected(lower).findings[0].kind == "precision"


# softmax with cross-entropy -------------------------------------------------------------------------------------------


def probabilities(s, shift=None):
    powers = np.exp(s - (s.max(axis=1, keepdims=True) if shift is None else shift))
    return powers / powers.sum(axis=1, keepdims=True)


def gradient(s, y):
    return (probabilities(s) - y) / s.dtype.type(len(s))


def gradient_of_sum(s, y):
    return probabilities(s) - y


def gradient_by_logarithm(s, y):
    m = s.max(axis=1, keepdims=True)
    return (np.exp(s - (m + np.log(np.exp(s - m).sum(axis=1, keepdims=True)))) - y) * s.dtype.type(1 / len(s))


def gradient_of_each(s, y):
    return (probabilities(s) / s.dtype.type(len(s))) - y / s.dtype.type(len(s))


def gradient_loops(s, y):
    ds = np.zeros_like(s)
    for image, scores in enumerate(s.tolist()):
        powers = [math.exp(score - max(scores)) for score in scores]
        for c, power in enumerate(powers):
            ds[image, c] = (power / math.fsum(powers) - y[image, c]) / len(s)
    return ds


def loss(s, y):
    z = s - s.max(axis=1, keepdims=True)
    return ((np.log(np.exp(z).sum(axis=1)) - (y * z).sum(axis=1)).sum() / s.dtype.type(len(s))).astype(s.dtype)


def loss_by_labels(s, y):
    m = s.max(axis=1)
    return np.mean(m + np.log(np.exp(s - m[:, None]).sum(axis=1)) - s[np.arange(len(s)), y.argmax(axis=1)])


def loss_loops(s, y):
    total = 0.0
    for scores, label in zip(s.tolist(), y.tolist(), strict=True):
        m = max(scores)
        total += math.log(sum(math.exp(score - m) for score in scores)) + m - scores[label.index(1)]
    return total / len(s)


def gradient_in_place(s, y):
    p = probabilities(s)
    p[np.arange(len(s)), y.argmax(axis=1)] -= 1
    p /= len(s)
    return p


def loss_by_library(s, y):
    return -(log_softmax(s, axis=1) * y).sum() / s.dtype.type(len(s))


GRADIENT_STYLES = (gradient, gradient_by_logarithm, gradient_of_each, gradient_loops, gradient_in_place)
LOSSES = (loss, loss_by_labels, loss_loops, loss_by_library)


@pytest.mark.parametrize("seed", SEEDS)
def test_right_softmaxes_pass_with_many_seeds(seed):
    dtype, mean = ("float64", "float32")[seed % 2], seed % 3 > 0

    def weighed(function):
        return lambda s, y: function(s, y) * s.dtype.type(1 if mean else len(s))

    functions = weighed(GRADIENT_STYLES[seed % 5]), weighed(LOSSES[seed % 4])
    report = audit_softmax_cross_entropy(*functions, mean=mean, dtype=dtype, seed=seed).check()
    assert report.audited == ("∂l/∂s", "l")
    (note,) = report.notes
    assert "inexact but within the rounding bound" in note
    assert float(re.search(r"the largest error is (\S+) of", note)[1]) <= 1


def test_the_sum_over_the_mini_batch():
    report = audit_softmax_cross_entropy(gradient_of_sum, lambda s, y: loss(s, y) * len(s), mean=False).check()
    assert report.options == "softmax with cross-entropy, sum over the mini-batch, float64"
    assert audit_softmax_cross_entropy(None, loss).check().audited == ("l",)


def scaled(p):
    return lambda s, y: (p(s) - y) / len(s)


def over_images(s):
    powers = np.exp(s - s.max(axis=0))
    return powers / powers.sum(axis=0)


def whole(s):
    powers = np.exp(s - s.max())
    return powers / powers.sum()


def unkept(s):
    powers = np.exp(s - s.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1) if s.shape[0] == s.shape[1] else probabilities(s)


def chain(s, y, shift=None, every=False):
    ds = []
    for p, label in zip(probabilities(s, shift), y, strict=True):
        upstream = -label / p if every else -label / (label @ p)
        ds.append(upstream @ (np.diag(p) - np.outer(p, p)) / len(s))
    return np.stack(ds)


def of_class(s, y):
    return (probabilities(s) * y).sum(axis=1, keepdims=True)


WRONG_GRADIENTS = {
    "it is y − p instead of p − y": lambda s, y: (y - probabilities(s)) / len(s),
    "−y is missing": lambda s, y: probabilities(s) / len(s),
    "the Jacobian of softmax lacks −ppᵀ": lambda s, y: -y / len(s),
    "only the diagonal p(1 − p) of the Jacobian of softmax is used": lambda s, y: y * (probabilities(s) - 1) / len(s),
    "it is multiplied by p(1 − p) once more": lambda s, y: gradient(s, y) * probabilities(s) * (1 - probabilities(s)),
    "the derivative of the logarithm is missing": lambda s, y: gradient(s, y) * of_class(s, y),
    "the scores are used where probabilities are needed": lambda s, y: (s - y) / len(s),
    "softmax runs over the whole mini-batch": scaled(whole),
    "softmax runs over the images, not over the classes": scaled(over_images),
    "softmax is applied twice": scaled(lambda s: probabilities(probabilities(s))),
    "exponentials are divided by the sums of other images": scaled(unkept),
    "all N × N pairs of an image and a label are summed": lambda s, y: (
        (len(s) * probabilities(s) - y.sum(axis=0)) / len(s)
    ),
    "it is not divided by the number of images": gradient_of_sum,
    "it is divided by the number of images twice": lambda s, y: gradient(s, y) / len(s),
    "it is divided by the number of classes": lambda s, y: gradient_of_sum(s, y) / s.shape[1],
    "it is divided by images times classes": lambda s, y: gradient(s, y) / s.shape[1],
    "it is twice what it should be": lambda s, y: 2 * gradient(s, y),
    "it is half of what it should be": lambda s, y: gradient(s, y) / 2,
    "it is y − p instead of p − y, and it is not divided by the number of images": lambda s, y: y - probabilities(s),
    "it is y − p instead of p − y, and it is divided by the number of images twice": lambda s, y: (
        -gradient(s, y) / len(s)
    ),
    "all N × N pairs of an image and a label are summed, and it is not divided by the number of images": lambda s, y: (
        len(s) * probabilities(s) - y.sum(axis=0)
    ),
}
LOST_GRADIENTS = {
    "exp overflows for large scores": scaled(lambda s: probabilities(s, 0)),
    "the maximum is taken over the whole mini-batch": scaled(lambda s: probabilities(s, s.max())),
    "−y/(yᵀp) divides by a probability of 0": chain,
    "exp overflows for large scores, and −y/(yᵀp) divides by a probability of 0": lambda s, y: chain(s, y, 0),
    "the maximum is taken over the whole mini-batch, and −y/(yᵀp) divides by a probability of 0": lambda s, y: chain(
        s, y, s.max()
    ),
}


@pytest.mark.parametrize("title", LOST_GRADIENTS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_softmax_gradients_that_are_not_numbers_are_named(title, dtype):
    report = audit_softmax_cross_entropy(lambda s, y: LOST_GRADIENTS[title](s, y).astype(s.dtype), dtype=dtype)
    assert first_line(report) == f"✗ ∂l/∂s is not a number: {title}"
    assert len(report.findings) == 1
    assert report.findings[0].wrong < report.findings[0].tried
    assert "got nan" in " ".join(report.findings[0].entries)


def test_two_mistakes_are_two_findings():
    report = audit_softmax_cross_entropy(lambda s, y: y - probabilities(s, 0))
    assert [finding.title for finding in report.findings] == [
        "is wrong: it is y − p instead of p − y, and it is not divided by the number of images",
        "is not a number: exp overflows for large scores",
    ]


@pytest.mark.parametrize("title", WRONG_GRADIENTS)
def test_wrong_softmax_gradients_are_named(title):
    report = audit_softmax_cross_entropy(WRONG_GRADIENTS[title], seed=2)
    assert first_line(report) == f"✗ ∂l/∂s is wrong: {title}"
    assert len(report.findings) == 1
    assert report.findings[0].cause
    assert report.findings[0].cure
    if "softmax" not in title and "image" not in title and "batch" not in title:
        assert np.size(report.findings[0].arrays["s"]) <= 2


def test_a_division_by_every_probability_is_named():
    def by_every(s, y):
        return chain(s, y, every=True)

    title = "−y/(yᵀp) divides by a probability of 0"
    assert first_line(audit_softmax_cross_entropy(by_every)) == f"✗ ∂l/∂s is not a number: {title}"


WRONG_SUMS = {
    "it is divided by the number of images": gradient,
    "it is divided by the number of images twice": lambda s, y: gradient(s, y) / len(s),
    "it is divided by the number of classes": lambda s, y: gradient_of_sum(s, y) / s.shape[1],
    "it is divided by images times classes": lambda s, y: gradient_of_sum(s, y) / s.size,
    "it is multiplied by the number of images": lambda s, y: gradient_of_sum(s, y) * len(s),
}


@pytest.mark.parametrize("title", WRONG_SUMS)
def test_wrong_factors_of_a_sum_are_named(title):
    report = audit_softmax_cross_entropy(WRONG_SUMS[title], mean=False)
    assert first_line(report) == f"✗ ∂l/∂s is wrong: {title}"


def likelihoods(s, y, shift=None):
    return (probabilities(s, shift) * y).sum(axis=1)


def stable(s, y):
    """−log p of all classes."""
    z = s - s.max(axis=1, keepdims=True)
    return np.log(np.exp(z).sum(axis=1, keepdims=True)) - z


def by_scores(s, y, axis):
    z = s - s.max(axis=axis, keepdims=True)
    return ((np.log(np.exp(z).sum(axis=axis, keepdims=True)) - z) * y).sum() / len(s)


WRONG_LOSSES = {
    "its sign is wrong": lambda s, y: -loss(s, y),
    "the logarithm is missing: −yᵀp": lambda s, y: -likelihoods(s, y).mean(),
    "the logarithm is missing: 1 − yᵀp": lambda s, y: (1 - likelihoods(s, y)).mean(),
    "the logarithm is to base 2": lambda s, y: loss(s, y) / np.log(2),
    "the logarithm is to base 10": lambda s, y: loss(s, y) / np.log(10),
    "y is missing: all classes are summed": lambda s, y: stable(s, y).sum() / len(s),
    "softmax runs over the whole mini-batch": lambda s, y: by_scores(s, y, None),
    "softmax runs over the images, not over the classes": lambda s, y: by_scores(s, y, 0),
    "softmax is applied twice": lambda s, y: loss(probabilities(s), y),
    "all N × N pairs of an image and a label are summed": lambda s, y: (stable(s, y) @ y.T).sum() / len(s),
    "it is not divided by the number of images": lambda s, y: loss(s, y) * len(s),
    "it is divided by the number of images twice": lambda s, y: loss(s, y) / len(s),
    "it is divided by images times classes": lambda s, y: loss(s, y) / s.shape[1],
    "1e-08 is added inside the logarithm": lambda s, y: -np.log(likelihoods(s, y) + 1e-8).mean(),
    "1e-15 is added inside the logarithm": lambda s, y: -np.log(likelihoods(s, y) + 1e-15).mean(),
    "probabilities are clipped to 1e-07 … 1 − 1e-07": lambda s, y: (
        -np.log(likelihoods(s, y).clip(1e-7, 1 - 1e-7)).mean()
    ),
    "probabilities are clipped to 1e-12 … 1": lambda s, y: -np.log(likelihoods(s, y).clip(1e-12)).mean(),
}
LOST_LOSSES = {
    "the logarithm of a probability of 0 is taken": lambda s, y: -np.log(likelihoods(s, y)).mean(),
    "exp overflows for large scores": lambda s, y: (np.log(np.exp(s).sum(axis=1)) - (s * y).sum(axis=1)).mean(),
    "the maximum is taken over the whole mini-batch": lambda s, y: (
        np.log(np.exp(s - s.max()).sum(axis=1)) - ((s - s.max()) * y).sum(axis=1)
    ).mean(),
    "exp overflows for large scores, and the logarithm of a probability of 0 is taken": lambda s, y: (
        -np.log(likelihoods(s, y, 0)).mean()
    ),
    "the maximum is taken over the whole mini-batch, and the logarithm of a probability of 0 is taken": lambda s, y: (
        -np.log(likelihoods(s, y, s.max())).mean()
    ),
}


@pytest.mark.parametrize("title", LOST_LOSSES)
def test_losses_that_are_not_numbers_are_named(title):
    report = audit_softmax_cross_entropy(gradient, LOST_LOSSES[title])
    assert first_line(report) == f"✗ l is not a number: {title}"
    assert len(report.findings) == 1


@pytest.mark.parametrize("title", WRONG_LOSSES)
def test_wrong_losses_are_named(title):
    report = audit_softmax_cross_entropy(gradient, WRONG_LOSSES[title], seed=4)
    assert first_line(report) == f"✗ l is wrong: {title}"
    assert len(report.findings) == 1


def test_zero_times_the_logarithm_of_zero_is_named():
    def multiplied(s, y):
        return -(y * np.log(probabilities(s))).sum() / len(s)

    report = audit_softmax_cross_entropy(None, multiplied)
    assert first_line(report) == "✗ l is not a number: the logarithm of a probability of 0 is taken"


def test_the_smallest_case_of_softmax_in_symbols():
    finding = audit_softmax_cross_entropy(WRONG_GRADIENTS["it is y − p instead of p − y"]).findings[0]
    assert np.shape(finding.arrays["s"]) == (1, 2)
    chosen = int(np.argmax(finding.arrays["y"]))
    assert f"ds{chosen + 1}: expected p{chosen + 1} − 1 = -0." in finding.entries[chosen]
    assert finding.formula == "∂l/∂s = 1/N·(−p + y)"
    finding = audit_softmax_cross_entropy(gradient_of_sum).findings[0]
    assert np.shape(finding.arrays["s"]) == (2, 2)
    assert finding.entries[0].startswith("ds1^(1): expected ")
    assert ")/2 = " in " ".join(finding.entries)
    assert finding.anchor == "softmax"


def test_numbers_that_do_not_exist_are_shown_where_they_do_not():
    finding = audit_softmax_cross_entropy(LOST_GRADIENTS["exp overflows for large scores"]).findings[0]
    assert finding.case.endswith("(scores around 1000)")
    finding = audit_softmax_cross_entropy(LOST_GRADIENTS["the maximum is taken over the whole mini-batch"]).findings[0]
    assert finding.case.endswith("(images whose scores are far apart)")


@pytest.mark.parametrize("title", WRONG_GRADIENTS)
def test_wrong_softmax_gradients_are_named_in_float32(title):
    def wrong(s, y):
        return WRONG_GRADIENTS[title](s, y).astype(np.float32)

    assert first_line(audit_softmax_cross_entropy(wrong, dtype="float32")) == f"✗ ∂l/∂s is wrong: {title}"


def test_exceptions_of_softmax_are_explained():
    def naive(s, y):
        ds = np.zeros_like(s)
        for image, scores in enumerate(s.tolist()):
            powers = [math.exp(score) for score in scores]
            ds[image] = [power / sum(powers) for power in powers]
        return (ds - y) / len(s)

    report = audit_softmax_cross_entropy(naive)
    (finding,) = report.findings
    assert finding.title.startswith("raises on scores around 1000: OverflowError: math range error")
    assert finding.about == "backward"
    assert finding.cure.startswith("Subtract each image's largest score first")


def test_a_softmax_in_lower_precision_is_said_to_be():
    report = audit_softmax_cross_entropy(lambda s, y: gradient(s.astype(np.float32), y).astype(np.float64))
    assert first_line(report) == "✗ ∂l/∂s is computed in a lower precision than float64"
    assert report.findings[0].kind == "precision"


@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-12), ("float32", 1e-3)])
def test_the_bound_of_a_softmax_is_tight_enough_to_see_small_errors(dtype, error):
    def off(s, y):
        return (gradient(s, y) + error).astype(dtype)

    report = audit_softmax_cross_entropy(off, lambda s, y: loss(s, y) * (1 + error), dtype=dtype)
    assert {finding.about for finding in report.findings} == {"∂l/∂s", "l"}


def test_unlike_any_theory():
    report = audit_softmax_cross_entropy(lambda s, y: gradient(s, y) * 3)
    assert first_line(report) == "✗ ∂l/∂s is wrong: it is 3 times what it should be"
    report = audit_softmax_cross_entropy(lambda s, y: np.tanh(gradient(s, y)))
    assert first_line(report) == "✗ ∂l/∂s is wrong, and its formula could not be read"
    report = audit_softmax_cross_entropy(gradient, lambda s, y: stable(s, y)[y > 0])
    assert first_line(report) == "✗ l has shape (1,), not ()"
    report = audit_softmax_cross_entropy(gradient, lambda s, y: round(float(loss(s, y))))
    assert first_line(report) == "✗ l has dtype int64, not a floating-point one"


# reports and arguments ------------------------------------------------------------------------------------------------


def test_the_text_of_a_report_that_passes():
    lines = str(audit_relu(relu_loops)).splitlines()
    assert lines[0] == "✓ ∂l/∂S is right: ReLU, float64"
    assert lines[1].startswith("  exact on integers at ")
    assert audit_fully_connected(forward, backward).to_dict()["ok"]
    assert "softmax with cross-entropy" in audit_softmax_cross_entropy(gradient).to_junit()


ERRORS = [
    (lambda: audit_relu(None), TypeError, "backward is None; audit needs at least one function to call"),
    (lambda: audit_relu(3), TypeError, "backward has type int; it needs a function of NumPy arrays"),
    (
        lambda: audit_relu(relu_loops, dtype="complex64"),
        DtypeError,
        "dtype is 'complex64'; it needs one of float64, float32, float16, bfloat16, int64, int32",
    ),
    (lambda: audit_relu(relu_loops, seed=-1), ValueError, "seed is -1; it needs an integer of at least 0"),
    (lambda: audit_relu(relu_loops, seed=0.5), ValueError, "seed is 0.5; it needs an integer of at least 0"),
    (
        lambda: audit_fully_connected(None),
        TypeError,
        "forward and backward are None; audit needs at least one function to call",
    ),
    (
        lambda: audit_fully_connected(forward, "backward", bias=False),
        TypeError,
        "backward has type str; it needs a function of NumPy arrays",
    ),
    (lambda: audit_fully_connected(forward, bias="yes"), TypeError, "bias is 'yes'; it needs True or False"),
    (
        lambda: audit_softmax_cross_entropy(None),
        TypeError,
        "backward and forward are None; audit needs at least one function to call",
    ),
    (lambda: audit_softmax_cross_entropy(gradient, mean=1), TypeError, "mean is 1; it needs True or False"),
    (
        lambda: audit_softmax_cross_entropy(gradient, dtype="float16"),
        DtypeError,
        "dtype is 'float16'; it needs one of float64, float32; did you mean float64?",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[text for _, _, text in ERRORS])
def test_unusable_arguments(call, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        call()
