"""The networks: every gradient, both forms, exactly; and wrong formulas in the chain are caught.

The oracle computes the scores with the literal triple sum of L1 in Python's exact numbers. A network of convolutions,
ReLU and fully connected layers is, in any single entry, linear as long as no response changes sign: a difference
quotient with a small enough exact step is the derivative itself, and ``==`` is the test.
"""

import re
from fractions import Fraction

import numpy as np
import pytest

from jacobians import Geometry, rot180
from jacobians import network as module
from jacobians.errors import DtypeError, ShapeError, TooLargeError
from jacobians.evidence.exact import gamma
from jacobians.layers import cross_entropy, cross_entropy_gradient, cross_entropy_jacobian, softmax, softmax_jacobian
from jacobians.network import Network
from tests import oracle
from tests.oracle import assert_same
from tests.strategies import distinct

DIFFERENT = "Arrays are not equal"
FORMS = ("jacobians", "convolutions")

ONE = Network([Geometry((2, 4, 3), (2, 2, 2, 2))], 3)
TWO = Network([Geometry((2, 5, 4), (3, 2, 2, 2)), Geometry((3, 4, 3), (2, 3, 2, 2))], 3)
NETWORKS = {
    "one layer": ONE,
    "two layers": TWO,
    "options": Network(
        [
            Geometry((2, 6, 5), (4, 1, 2, 3), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2),
            Geometry((4, 3, 5), (2, 4, 2, 2), dilation=(1, 2), padding=((0, 1), (1, 0)), stride=(2, 2)),
        ],
        2,
    ),
    "three layers, one axis": Network(
        [Geometry((1, 9), (2, 1, 3)), Geometry((2, 7), (2, 2, 2), stride=2), Geometry((2, 3), (1, 2, 2), padding=1)], 2
    ),
    "three axes, one class": Network([Geometry((1, 3, 2, 4), (2, 1, 2, 1, 2))], 1),
}


def draw(network):
    """Integers, distinct in each array, for which no response is 0; then an image and a row vector ∂l/∂s."""
    arrays = {
        name: distinct(shape, start=3 - 2 * k if name[0] == "b" else -(np.prod(shape) // 2) + k).astype(float)
        for k, (name, shape) in enumerate(network.shapes.items())
    }
    X = distinct(network.layers[0].image, start=-7).astype(float)
    return arrays, X, distinct((network.classes,), start=-1) * 2 + 3


def exact_nodes(network, parameters, X):
    exact = {name: as_fractions(array) for name, array in parameters.items()}
    nodes = {"X0": as_fractions(X)}
    for k, layer in enumerate(network.layers, start=1):
        S = oracle.convolve(nodes[f"X{k - 1}"], exact[f"F{k}"], **oracle.plain(layer))
        nodes[f"S{k}"] = S + exact[f"b{k}"].reshape(-1, *[1] * (S.ndim - 1))
        nodes[f"X{k}"] = np.where(nodes[f"S{k}"] > 0, nodes[f"S{k}"], Fraction(0))
    h = nodes[f"X{len(network.layers)}"].ravel()
    return nodes | {"s": exact["W"] @ h + exact["b"]}


def as_fractions(array):
    return np.array([x if isinstance(x, Fraction) else Fraction(float(x)) for x in np.ravel(array)]).reshape(
        array.shape
    )


def signs(nodes):
    return [np.sign(node.astype(float)).tolist() for name, node in nodes.items() if name[0] == "S"]


def exact_gradients(network, parameters, X, upstream):
    """Difference quotient in every entry, after making sure that it crosses no kink and starts at none."""
    here = exact_nodes(network, parameters, X)
    assert all(0 not in np.ravel(each) for each in signs(here))
    assert len({entry for each in signs(here) for entry in np.ravel(each)}) == 2, "ReLU needs both sides"
    arrays = {name: as_fractions(array) for name, array in (parameters | {"X": X}).items()}
    gradients = {name: np.full(array.shape, Fraction(0)) for name, array in arrays.items()}
    step = Fraction(1, 10**9)
    for name, array in arrays.items():
        for index in np.ndindex(array.shape):
            moved = array.copy()
            moved[index] += step
            others = arrays | {name: moved}
            there = exact_nodes(network, {key: others[key] for key in parameters}, others["X"])
            assert signs(there) == signs(here)
            gradients[name][index] = sum((there["s"] - here["s"]) * upstream) / step
    return gradients


EXPECTED = {}


def expected(name):
    """Computed once: every wrong variant is held against the same numbers."""
    if name not in EXPECTED:
        parameters, X, upstream = draw(NETWORKS[name])
        EXPECTED[name] = exact_gradients(NETWORKS[name], parameters, X, upstream)
    return EXPECTED[name]


def check_pull_back(name, by):
    network = NETWORKS[name]
    parameters, X, upstream = draw(network)
    trace = network.trace(parameters, X, np.eye(network.classes)[0])
    for node, value in exact_nodes(network, parameters, X).items():
        assert_same(trace[node], value)
    gradients = network.pull_back(parameters, trace, upstream, by)
    assert list(gradients) == [*network.shapes, "X"]
    for key, gradient in gradients.items():
        assert_same(gradient, expected(name)[key])


@pytest.mark.parametrize("by", FORMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_both_forms_are_the_exact_derivative(name, by):
    check_pull_back(name, by)


# ------------------------------------------------------------------------------------------------ the test is tested

ORIGINAL = {name: getattr(module, name) for name in dir(module)}


def original(name):
    return ORIGINAL[name]


def reversed_axes(array, axes):
    return np.ascontiguousarray(np.flip(array, axes))


WRONG_JACOBIANS = {
    "filter turned by 180°": {
        "jacobian_wrt_image": lambda F, g: original("jacobian_wrt_image")(np.ascontiguousarray(rot180(F)), g)
    },
    "filter turned in one axis": {
        "jacobian_wrt_image": lambda F, g: original("jacobian_wrt_image")(reversed_axes(F, 3), g)
    },
    "filters' planes reversed": {
        "jacobian_wrt_image": lambda F, g: original("jacobian_wrt_image")(reversed_axes(F, 1), g)
    },
    "only the last filter": {
        "jacobian_wrt_image": lambda F, g: original("jacobian_wrt_image")(
            F * (np.arange(len(F)) == len(F) - 1)[:, None, None, None], g
        )
    },
    "image turned": {
        "jacobian_wrt_filters": lambda X, g: original("jacobian_wrt_filters")(reversed_axes(X, (2, 3)), g)
    },
    "image's planes reversed": {
        "jacobian_wrt_filters": lambda X, g: original("jacobian_wrt_filters")(reversed_axes(X, 0), g)
    },
    "bias: mean for sum": {"jacobian_wrt_bias": lambda g, dtype: original("jacobian_wrt_bias")(g) / g.positions},
    "no ReLU": {"relu_jacobian": lambda S: original("relu_jacobian")(np.ones(S.shape))},
    "ReLU of the other sign": {"relu_jacobian": lambda S: original("relu_jacobian")(-S)},
    "ReLU planes last": {"relu_jacobian": lambda S: original("relu_jacobian")(np.moveaxis(S, 1, -1))},
    "W transposed": {
        "fully_connected_jacobian_wrt_input": lambda W: W.ravel(order="F").reshape(W.shape),
    },
    "flatten in column order": {
        "fully_connected_jacobian_wrt_weights": lambda h, C: original("fully_connected_jacobian_wrt_weights")(
            np.moveaxis(h, 0, -1), C
        )
    },
}
WRONG_CONVOLUTIONS = {
    "filter turned by 180°": {"input_gradient": lambda G, F, g: original("input_gradient")(G, rot180(F), g)},
    "filter gradient turned": {"filter_gradient": lambda X, G, g: rot180(original("filter_gradient")(X, G, g))},
    "bias: mean for sum": {"bias_gradient": lambda G: G.mean(axis=(1, 2))},
}
WRONG_FORWARDS = {
    "bias forgotten": {"convolve": lambda X, F, g, bias: original("convolve")(X, F, g)},
    "filter turned forward": {
        "convolve": lambda X, F, g, bias: original("convolve")(X, np.ascontiguousarray(rot180(F)), g, bias=bias)
    },
    "no ReLU forward": {"relu": lambda S: S},
    "flatten planes last": {
        "fully_connected": lambda W, h, b: original("fully_connected")(W, np.moveaxis(h, 0, -1), b)
    },
}
WRONG = [
    pytest.param(by, wrong, id=f"{by}: {name}")
    for by, group in (
        ("jacobians", WRONG_JACOBIANS),
        ("convolutions", WRONG_CONVOLUTIONS),
        ("jacobians", WRONG_FORWARDS),
    )
    for name, wrong in group.items()
]


@pytest.mark.parametrize(("by", "wrong"), WRONG)
def test_a_wrong_factor_is_caught(by, wrong, monkeypatch):
    for name, function in wrong.items():
        monkeypatch.setattr(module, name, function)
    with pytest.raises(AssertionError, match=DIFFERENT):
        check_pull_back("two layers", by)


def check_kink(by):
    """All responses are exactly 0: nothing reaches the filters, their biases, or the image (L6)."""
    parameters, X, upstream = draw(ONE)
    parameters |= {"F1": 0 * parameters["F1"], "b1": 0 * parameters["b1"]}
    gradients = ONE.pull_back(parameters, ONE.trace(parameters, X, [1, 0, 0]), upstream, by)
    for name in ("F1", "b1", "X", "W"):
        assert_same(gradients[name], np.zeros(gradients[name].shape))
    assert_same(gradients["b"], upstream)


@pytest.mark.parametrize("by", FORMS)
def test_nothing_passes_a_response_of_0(by):
    check_kink(by)


def test_a_relu_that_passes_0_is_caught(monkeypatch):
    def at_least(S):
        return original("relu_jacobian")((S >= 0).astype(float))

    monkeypatch.setattr(module, "relu_jacobian", at_least)
    check_pull_back("two layers", "jacobians")  # blind to it: no response is 0
    with pytest.raises(AssertionError, match=DIFFERENT):
        check_kink("jacobians")


# ---------------------------------------------------------------------------------------------------- the whole loss


def check_whole_loss(by):
    """With scores far apart softmax is exactly one-hot and ``l = max(s) − yᵀs``: a loss with integer ∂l/∂s."""
    parameters, X, _ = draw(TWO)
    s = exact_nodes(TWO, parameters, X)["s"]
    largest = int(np.argmax(s))
    y = np.eye(3)[(largest + 1) % 3]
    upstream = np.eye(3, dtype=int)[largest] - y.astype(int)
    assert sorted(max(s) - s)[1] > 1000
    trace = TWO.trace(parameters, X, y)
    assert_same(trace["p"], np.eye(3)[largest])
    assert trace["l"] == max(s) - y @ s, "loss"
    gradients = getattr(TWO, f"gradients_by_{by}")(parameters, X, y)
    for name, gradient in exact_gradients(TWO, parameters, X, upstream).items():
        assert_same(gradients[name], gradient)


@pytest.mark.parametrize("by", FORMS)
def test_the_gradient_of_the_whole_loss_is_exact_where_softmax_is(by):
    check_whole_loss(by)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s, y: -cross_entropy_gradient(s, y),
        lambda s, y: softmax(s),
        lambda s, y: cross_entropy_gradient(s, y) / len(s),
        lambda s, y: np.full(s.shape, cross_entropy_gradient(s, y).sum()),
    ],
    ids=["sign", "p without y", "mean over the classes", "n × n sum"],
)
def test_a_wrong_gradient_of_the_loss_is_caught(wrong, monkeypatch):
    monkeypatch.setattr(module, "cross_entropy_gradient", wrong)
    with pytest.raises(AssertionError, match=DIFFERENT):
        check_whole_loss("jacobians")


def small_network():
    """Real-valued parameters and images."""
    network = Network(TWO.layers, 3, l2=0.25)
    generator = np.random.default_rng(7)
    images = generator.normal(size=(4, *network.layers[0].image))
    return network, network.parameters(3), images, np.eye(3)[[2, 0, 0, 1]]


@pytest.mark.parametrize("by", FORMS)
def test_the_gradient_is_pulled_back_from_the_lectures_row_vector(by):
    """The two gradient methods are `pull_back` of L4, which is exact above, from the stable form of it."""
    network, parameters, images, labels = small_network()
    X, y = images[0], labels[0]
    trace = network.trace(parameters, X, y)
    assert list(trace) == ["X0", "S1", "X1", "S2", "X2", "s", "p", "l"]
    assert_same(trace["p"], softmax(trace["s"]))
    assert trace["l"] == cross_entropy(trace["s"], y)
    upstream = cross_entropy_gradient(trace["s"], y)
    pulled = network.pull_back(parameters, trace, upstream, by)
    gradients = getattr(network, f"gradients_by_{by}")(parameters, X, y)
    for name, gradient in gradients.items():
        assert_same(gradient, pulled[name])
    literal = cross_entropy_jacobian(trace["p"], y) @ softmax_jacobian(trace["p"])
    # −1/p · (p − p²) and p − 1: six roundings together, of numbers of at most 1 after the division by p.
    assert np.all(np.abs(literal - upstream) <= gamma(6, "float64"))


# ----------------------------------------------------------------------------------------------------- mini-batches


def integers():
    """Four images and integer data, for which the mean of four and a penalty with λ = ¼ are exact."""
    network = Network(TWO.layers, 3, l2=0.25)
    parameters, X, _ = draw(network)
    images = np.stack([X, X[:, ::-1], 2 * X[..., ::-1] + 1, 5 - X])
    return network, parameters, images, np.eye(3)[[2, 0, 0, 1]]


def check_batch(network, gradients, parameters, images, labels):
    """Mean of the images' gradients, plus 2λ·weight on weights (L22), for an upstream that is integer."""
    total = dict.fromkeys(network.shapes, 0)
    for X, y in zip(images, labels, strict=True):
        trace = network.trace(parameters, X, y)
        for name, gradient in network.pull_back(
            parameters, trace, module.cross_entropy_gradient(trace["s"], y)
        ).items():
            if name in total:
                total[name] = total[name] + gradient
    assert list(gradients) == list(total)
    for name, gradient in gradients.items():
        decay = 0.5 * parameters[name] if name[0] in "FW" else 0
        assert_same(gradient, total[name] / 4 + decay)


def integer_upstream(s, y):
    return 3 * y - np.arange(len(s)) + 1


@pytest.mark.parametrize("by", FORMS)
def test_a_mini_batch_has_the_mean_gradient(by, monkeypatch):
    monkeypatch.setattr(module, "cross_entropy_gradient", integer_upstream)
    network, parameters, images, labels = integers()
    check_batch(network, network.batch_gradients(parameters, images, labels, by=by), parameters, images, labels)


WRONG_BATCHES = {
    "sum for mean": lambda g, p: {name: 4 * each for name, each in g.items()},
    "no L2": lambda g, p: {name: each - 0.5 * p[name] if name[0] in "FW" else each for name, each in g.items()},
    "L2 on biases": lambda g, p: {name: each + 0.5 * p[name] if name[0] == "b" else each for name, each in g.items()},
    "λ for 2λ": lambda g, p: {name: each - 0.25 * p[name] if name[0] in "FW" else each for name, each in g.items()},
    "mean of the penalty": lambda g, p: {n: each - 0.375 * p[n] if n[0] in "FW" else each for n, each in g.items()},
}


@pytest.mark.parametrize("wrong", WRONG_BATCHES.values(), ids=WRONG_BATCHES)
def test_a_wrong_mini_batch_is_caught(wrong, monkeypatch):
    monkeypatch.setattr(module, "cross_entropy_gradient", integer_upstream)
    network, parameters, images, labels = integers()
    gradients = wrong(network.batch_gradients(parameters, images, labels), parameters)
    with pytest.raises(AssertionError, match=DIFFERENT):
        check_batch(network, gradients, parameters, images, labels)


def test_images_that_exchange_places_in_the_mini_batch_are_caught(monkeypatch):
    """The mini-batch lies along an axis of the layer: its order must be that of the upstream rows."""
    monkeypatch.setattr(module, "cross_entropy_gradient", integer_upstream)
    monkeypatch.setattr(
        module, "jacobian_wrt_filters", lambda X, g: original("jacobian_wrt_filters")(reversed_axes(X, 1), g)
    )
    network, parameters, images, labels = integers()
    gradients = network.batch_gradients(parameters, images, labels)
    monkeypatch.undo()
    monkeypatch.setattr(module, "cross_entropy_gradient", integer_upstream)
    with pytest.raises(AssertionError, match=DIFFERENT):
        check_batch(network, gradients, parameters, images, labels)


def test_the_cost_is_the_mean_loss_plus_the_penalty_of_the_weights():
    network, parameters, images, labels = integers()
    losses = [network.trace(parameters, X, y)["l"] for X, y in zip(images, labels, strict=True)]
    assert len(set(losses)) == 4
    squares = sum(int(w) ** 2 for name in ("F1", "F2", "W") for w in parameters[name].ravel())
    assert network.cost(parameters, images, labels) == sum(losses) / 4 + squares / 4
    without = Network(network.layers, 3)
    assert without.cost(parameters, images, labels) == sum(losses) / 4


def test_a_step_goes_against_the_gradient_and_changes_nothing_in_place():
    network, parameters, images, labels = small_network()
    for array in (*parameters.values(), images, labels):
        array.flags.writeable = False
    before = {name: array.copy() for name, array in parameters.items()}
    gradients = network.batch_gradients(parameters, images, labels)
    moved = network.step(parameters, images, labels, 0.125)
    for name, array in moved.items():
        assert_same(array, before[name] - 0.125 * gradients[name])
        assert_same(parameters[name], before[name])
    assert network.cost(network.step(parameters, images, labels, 2**-10), images, labels) < network.cost(
        parameters, images, labels
    )


def test_predict_is_the_class_of_the_largest_score():
    network, parameters, images, labels = small_network()
    scores = [network.trace(parameters, X, y)["s"] for X, y in zip(images, labels, strict=True)]
    assert_same(network.predict(parameters, images), np.argmax(scores, axis=1))


def test_parameters_are_drawn_from_the_seed():
    network = Network([Geometry((4, 30, 20), (50, 4, 3, 3))], 10)
    parameters = network.parameters(1)
    assert {name: array.shape for name, array in parameters.items()} == network.shapes
    assert {array.dtype for array in parameters.values()} == {np.dtype(np.float64)}
    assert all(np.array_equal(array, network.parameters(1)[name]) for name, array in parameters.items())
    assert not np.array_equal(parameters["F1"], network.parameters(2)["F1"])
    # The mean of n squares of variance v has the standard deviation v·√(2/n): 8 of them.
    for name, m in (("F1", 36), ("W", 50 * 28 * 18)):
        squares = np.square(parameters[name])
        assert abs(squares.mean() * m / 2 - 1) <= 8 * np.sqrt(2 / squares.size)
    assert np.all(np.abs(parameters["b1"]) <= 1 / 6)
    assert np.count_nonzero(parameters["b1"]) == 50


def test_float32_stays_float32():
    network, parameters, images, labels = small_network()
    narrow = {name: array.astype(np.float32) for name, array in parameters.items()}
    for by in FORMS:
        gradients = network.batch_gradients(narrow, images.astype(np.float32), labels, by=by)
        assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(np.float32)}


def test_nan_in_an_image_reaches_the_loss_and_the_gradients():
    network, parameters, images, labels = small_network()
    images[1, 0, 2, 2] = np.nan
    assert np.isnan(network.cost(parameters, images, labels))
    assert np.isnan(network.batch_gradients(parameters, images, labels)["b"]).all()
    with pytest.raises(
        ValueError, match=r"scores of images\[1\] are \[nan, .* of 1 of 4 images are NaN; .* smaller learning rate"
    ):
        network.predict(parameters, images)


def test_a_network_is_a_value():
    assert Network(list(TWO.layers), np.int64(3)) == TWO
    assert hash(Network(TWO.layers, 3)) == hash(TWO)
    assert TWO.weights == ("F1", "F2", "W")
    assert TWO.biases == ("b1", "b2", "b")


# ----------------------------------------------------------------------------------------------------------- errors


def without(name):
    return {key: array for key, array in TWO.parameters(0).items() if key != name}


def replaced(**arrays):
    return TWO.parameters(0) | arrays


X0 = distinct((2, 5, 4)).astype(float)
Y0 = np.eye(3)[1]
BATCH = np.stack([X0, 2 * X0])
LABELS = np.eye(3)[[1, 2]]

ERRORS = [
    (lambda: Network([], 3), ShapeError, r"layers is empty; it needs at least one Geometry"),
    (lambda: Network(TWO.layers[0], 3), TypeError, r"layers is Geometry\(.*; it needs a list of Geometry"),
    (lambda: Network(None, 3), TypeError, r"layers is None; it needs a list of Geometry"),
    (lambda: Network([*TWO.layers, "x"], 3), TypeError, r"layers\[2\] has type str"),
    (lambda: Network([(2, 5, 4)], 3), TypeError, r"layers\[0\] has type tuple; it needs a Geometry"),
    (
        lambda: Network([TWO.layers[1], TWO.layers[0]], 3),
        ShapeError,
        r"layers\[1\] has images \(2, 5, 4\) but layers\[0\] has responses \(2, 3, 2\); .* Geometry\(\(2, 3, 2\), …\)",
    ),
    (lambda: Network(TWO.layers, 0), ShapeError, r"classes is 0; it needs an integer of at least 1"),
    (lambda: Network(TWO.layers, 3.0), ShapeError, r"classes is 3\.0"),
    (lambda: Network(TWO.layers, 3, l2=-1), ValueError, r"l2 is -1; it needs a finite number of at least 0"),
    (lambda: TWO.trace(without("F2"), X0, Y0), ShapeError, r"parameters lacks \['F2'\]; it needs exactly \['F1', 'b1'"),
    (lambda: TWO.trace(replaced(F3=X0), X0, Y0), ShapeError, r"parameters has the unknown \['F3'\]; it needs exactly"),
    (
        lambda: TWO.trace(replaced(W=np.ones((12, 3))), X0, Y0),
        ShapeError,
        r"parameters\['W'\] has shape \(12, 3\); it needs \(3, 12\), by the layers and classes",
    ),
    (
        lambda: TWO.trace(replaced(W=np.ones((3, 11))), X0, Y0),
        ShapeError,
        r"parameters\['W'\] has shape \(3, 11\); it needs \(3, 12\)",
    ),
    (
        lambda: TWO.pull_back(TWO.parameters(0), {"X0": X0}, [1, 2, 3]),
        ShapeError,
        r"trace lacks \['S1', 'X1', 'S2', 'X2'\]; it needs what Network\.trace returns",
    ),
    (
        lambda: TWO.pull_back(TWO.parameters(0), TWO.trace(TWO.parameters(0), X0, Y0) | {"S2": X0}, [1, 2, 3]),
        ShapeError,
        r"trace\['S2'\] has shape \(2, 5, 4\)",
    ),
    (
        lambda: Network([Geometry((1, 2**20, 2**20), (1, 1, 3, 3))], 10).parameters(0),
        TooLargeError,
        re.escape(f"needs {10 * (2**20 - 2) ** 2 * 8 / 2**30:.3g} GiB"),
    ),
    (
        lambda: TWO.cost(replaced(b=np.arange(3)), BATCH, LABELS),
        DtypeError,
        r"parameters\['b'\] has dtype int64, .* it needs floating point: parameters\['b'\]\.astype\('float64'\)",
    ),
    (lambda: TWO.predict(replaced(b=[1j] * 3), BATCH), DtypeError, r"parameters\['b'\] has dtype complex128"),
    (lambda: TWO.trace(TWO.parameters(0), X0.T, Y0), ShapeError, r"X has shape \(4, 5, 2\) but Geometry"),
    (
        lambda: TWO.trace(TWO.parameters(0), X0, 1),
        ShapeError,
        r"y has shape \(\); it needs \(3,\), .* np\.eye\(3\)\[y\]",
    ),
    (
        lambda: TWO.trace(TWO.parameters(0), X0, [0.5, 0.5, 0]),
        ValueError,
        r"y is \[0\.5, 0\.5, 0\.0\]; it needs one-hot",
    ),
    (lambda: TWO.trace(TWO.parameters(0), X0, [0, 2, 0]), ValueError, r"y is \[0, 2, 0\]; it needs one-hot"),
    (lambda: TWO.trace(TWO.parameters(0), X0, [1, -1, 0]), ValueError, r"y is \[1, -1, 0\]; it needs one-hot"),
    (lambda: TWO.trace(TWO.parameters(0), X0, [1, 0.5, 0]), ValueError, r"y is \[1\.0, 0\.5, 0\.0\]; it needs one-hot"),
    (lambda: TWO.trace(TWO.parameters(0), X0, [1, np.nan, 0]), ValueError, r"y is \[1\.0, nan, 0\.0\]; it needs one-h"),
    (lambda: TWO.trace(TWO.parameters(0), X0, [0, 0, 0]), ValueError, r"y is \[0, 0, 0\]; it needs one-hot"),
    (lambda: TWO.trace(TWO.parameters(0), X0, [1, 0]), ShapeError, r"y has shape \(2,\); it needs \(3,\), one-hot"),
    (lambda: TWO.trace(TWO.parameters(0), X0, [1, 0, 0, 0]), ShapeError, r"y has shape \(4,\); it needs \(3,\), one-h"),
    (
        lambda: TWO.cost(TWO.parameters(0), BATCH, np.eye(3)),
        ShapeError,
        r"labels has shape \(3, 3\); it needs \(2, 3\), one-hot",
    ),
    (lambda: TWO.trace(TWO.parameters(0), X0, [1, 1, 0]), ValueError, r"y is \[1, 1, 0\]; it needs one-hot"),
    (lambda: TWO.trace(TWO.parameters(0), X0, None), DtypeError, r"y is None"),
    (
        lambda: TWO.cost(TWO.parameters(0), X0, LABELS),
        ShapeError,
        r"images has shape \(2, 5, 4\); .* write images\[None\]",
    ),
    (lambda: TWO.cost(TWO.parameters(0), BATCH[:0], LABELS[:0]), ShapeError, r"\(N, 2, 5, 4\) with N of at least 1"),
    (
        lambda: TWO.cost(TWO.parameters(0), BATCH, [1, 2]),
        ShapeError,
        r"labels has shape \(2,\); it needs \(2, 3\), one-hot",
    ),
    (
        lambda: TWO.cost(TWO.parameters(0), BATCH, LABELS[:1]),
        ShapeError,
        r"labels has shape \(1, 3\); it needs \(2, 3\)",
    ),
    (
        lambda: TWO.cost(TWO.parameters(0), BATCH, 2 * LABELS),
        ValueError,
        r"labels\[0\] is \[0\.0, 2\.0, 0\.0\]; it needs one-hot",
    ),
    (
        lambda: TWO.batch_gradients(TWO.parameters(0), BATCH, LABELS, by="magic"),
        ValueError,
        r"by is 'magic'; it needs one of jacobians, convolutions",
    ),
    (
        lambda: TWO.pull_back(TWO.parameters(0), TWO.trace(TWO.parameters(0), X0, Y0), [1, 2]),
        ShapeError,
        r"upstream has shape \(2,\); it needs \(3,\), one entry per class",
    ),
    (
        lambda: TWO.step(TWO.parameters(0), BATCH, LABELS, -0.1),
        ValueError,
        r"rate is -0\.1; it needs a positive finite",
    ),
    (lambda: TWO.step(TWO.parameters(0), BATCH, LABELS, np.nan), ValueError, r"rate is nan"),
    (lambda: TWO.step(TWO.parameters(0), BATCH, LABELS, np.inf), ValueError, r"rate is inf"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[text for *_, text in ERRORS])
def test_bad_input_is_named_with_its_cure(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_biases_are_drawn_from_both_sides_of_0():
    """Of 400 biases that come from m = 4 entries, about half are negative, and none is larger than 1/2."""
    drawn = Network([Geometry((1, 2, 2), (400, 1, 2, 2))], classes=2).parameters(seed=0)["b1"]
    assert np.abs(drawn).max() <= 0.5
    assert (drawn < -0.25).sum() > 50
    assert (drawn > 0.25).sum() > 50


@pytest.mark.parametrize("size", [3, 5])
def test_a_layer_takes_the_responses_of_the_one_before(size):
    before, after = Geometry((1, 5), (2, 1, 2)), Geometry((2, size), (1, 2, 2))
    with pytest.raises(
        ShapeError, match=rf"^layers\[1\] has images \(2, {size}\) but layers\[0\] has responses \(2, 4\)"
    ):
        Network([before, after], classes=2)


@pytest.mark.parametrize("count", [2, 4])
def test_the_upstream_gradient_has_an_entry_per_class(count):
    network = Network([Geometry((1, 3), (1, 1, 2))], classes=3)
    trace = network.trace(network.parameters(0), np.ones((1, 3)), [1, 0, 0])
    with pytest.raises(ShapeError, match=rf"^upstream has shape \({count},\); it needs \(3,\)"):
        network.pull_back(network.parameters(0), trace, np.ones(count))


@pytest.mark.parametrize("by", ["jacobians", "convolutions"])
def test_a_response_of_1_passes_the_gradient_and_one_of_minus_1_does_not(by):
    network = Network([Geometry((1, 3), (1, 1, 1))], classes=2)
    parameters = {"F1": [[[1.0]]], "b1": [0.0], "W": [[2.0, 3.0, 5.0], [0.0, 0.0, 0.0]], "b": [0.0, 0.0]}
    trace = network.trace(parameters, [[1.0, -1.0, 0.5]], [1, 0])
    assert network.pull_back(parameters, trace, [1.0, 0.0], by)["X"].tolist() == [[2, 0, 5]]


def test_a_rate_of_0_is_no_step():
    network = Network([Geometry((1, 3), (1, 1, 2))], classes=2)
    with pytest.raises(ValueError, match=r"^rate is 0(\.0)?; it needs a positive finite"):
        network.step(network.parameters(0), np.ones((1, 1, 3)), [[1, 0]], 0.0)


@pytest.mark.parametrize("size", [2, 4])
def test_images_and_parameters_of_other_shapes_are_refused(size):
    network = Network([Geometry((1, 3), (1, 1, 2))], classes=2)
    parameters = network.parameters(0)
    with pytest.raises(ShapeError, match=rf"^images has shape \(1, 1, {size}\);"):
        network.batch_gradients(parameters, np.ones((1, 1, size)), [[1, 0]])
    with pytest.raises(ShapeError, match=rf"^images has shape \(1, {size}\);(?!.*images\[None\])"):
        network.batch_gradients(parameters, np.ones((1, size)), [[1, 0]])
    with pytest.raises(ShapeError, match=rf"F1.* has shape \(1, 1, {size + 1}\)"):
        network.batch_gradients(parameters | {"F1": np.ones((1, 1, size + 1))}, np.ones((1, 1, 3)), [[1, 0]])
    with pytest.raises(ShapeError, match=rf"W.* has shape \(2, {2 * size - 3}\)"):
        network.batch_gradients(parameters | {"W": np.ones((2, 2 * size - 3))}, np.ones((1, 1, 3)), [[1, 0]])
