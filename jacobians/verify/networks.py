"""The equations of the lecture that speak of a network, not of one convolution layer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import sympy
from sympy import ZZ
from sympy.polys.rings import ring

from jacobians import layers, symbolic
from jacobians.evidence import exact
from jacobians.geometry import Geometry
from jacobians.network import Network
from jacobians.verify import forms, reference
from jacobians.verify.report import Evidence, Failure, Outcome

__all__ = ["NETWORK_IDENTITIES", "NetworkIdentity"]

Array = npt.NDArray[Any]

SMALL = (
    Geometry((2, 5, 6), (3, 2, 2, 3), stride=(2, 1), padding=((1, 0), (0, 1))),
    Geometry((3, 3, 5), (2, 3, 2, 3)),
)
"""Two layers with every kind of entry, small enough for 60 digits."""

COMPOSITION = (Geometry((3, 32, 32), (6, 3, 5, 5)), Geometry((6, 28, 28), (10, 6, 3, 3)))
"""32×32×3 → 28×28×6 → 26×26×10 (L23)."""

STRENGTH = 0.375


@dataclass(frozen=True)
class NetworkIdentity:
    """One equation of the lecture about layers other than convolutions, or about several layers.

    Attributes
    ----------
    id : str
        L3 … L6, L22, L23.
    formula : str
        The equation on one line.
    check : callable
        Takes a seed and yields outcomes.
    """

    id: str
    formula: str
    check: Callable[[int], Iterator[Outcome]]


def _exactly_equal(
    identity: str, seed: int, where: str, entry: str, sides: dict[str, Array], evidence: Evidence = "exact"
) -> Outcome:
    (name, expected), *others = sides.items()
    for other, actual in others:
        difference = exact.first_difference(expected, actual)
        if difference:
            at, wrong = difference
            right, got = (str(np.ravel(each)[at]) if np.size(each) > at else "nothing" for each in (expected, actual))
            sizes = wrong, np.size(expected)
            failure = Failure(evidence, where, seed, (name, other), f"{entry}[{at}]", right, got, *sizes)
            return Outcome(identity, evidence, len(others), np.size(expected), failure=failure)
    return Outcome(identity, evidence, len(others), np.size(expected))


def _within_bound(
    identity: str, seed: int, where: str, results: Sequence[tuple[str, str, Any, Array, Array]]
) -> Outcome:
    """Compare (name of the side, name of the array, computed, expected, bound) and keep the worst."""
    worst = 0.0
    for side, name, computed, expected, bound in results:
        share, at = reference.worst_share(computed, np.asarray(expected, object), bound)
        worst = max(worst, share)
        if share > 1:
            got, right = np.ravel(computed)[at], np.ravel(expected)[at]
            failure = Failure(
                "bound", where, seed, ("60 digits", side), f"{name}[{at}]",
                f"{float(right)!r} ± {np.ravel(bound)[at]:.2g}", repr(float(got)), 1, np.size(expected),
            )  # fmt: skip
            return Outcome(identity, "bound", len(results), len(results), worst=worst, failure=failure)
    return Outcome(identity, "bound", len(results), len(results), worst=worst)


# L4, L5, L6: the layers behind the convolutions -----------------------------------------------------------------------


def check_softmax(seed: int) -> Iterator[Outcome]:
    """L4: symbolically by differentiating −log(yᵀ softmax(s)), and the computed gradient by its rounding bound."""
    for classes in (2, 3, 4):
        for chosen in range(classes):
            yield _softmax_symbolically(seed, classes, chosen)
    generator = np.random.default_rng(seed)
    results = []
    for scale in (1.0, 30.0, 700.0):
        s, y = generator.normal(0, scale, 5), np.eye(5)[generator.integers(5)]
        p, denominator = reference.rounded_softmax(reference.exactly(s))
        loss = reference.rounded_loss(reference.exactly(s), int(y.argmax()), denominator)
        u = float(exact.unit_roundoff("float64"))
        with mpmath.workdps(exact.DIGITS):
            powers = [mpmath.exp(each) for each in reference.high_precision(s)]
            right = np.array([each / sum(powers) for each in powers], object)
            l = -mpmath.log(right[int(y.argmax())])
            gradient = right - reference.high_precision(y)
            results += [
                ("layers.softmax", "p", layers.softmax(s), right, p.error),
                ("layers.cross_entropy", "l", layers.cross_entropy(s, y), l, loss.error),
                ("layers.cross_entropy_gradient", "∂l/∂s", layers.cross_entropy_gradient(s, y), gradient,
                 p.error + u * np.abs(p.value - y)),
            ]  # fmt: skip
    with mpmath.workdps(exact.DIGITS):
        yield _within_bound("L4", seed, "5 scores", results)


def _softmax_symbolically(seed: int, classes: int, chosen: int) -> Outcome:
    s = sympy.symbols(f"s1:{classes + 1}", real=True)
    total = sum(map(sympy.exp, s))
    p = symbolic.object_array([sympy.exp(each) / total for each in s], (classes,))
    y = symbolic.object_array([int(c == chosen) for c in range(classes)], (classes,))
    loss = -sympy.log(y @ p)
    by_formula = layers.cross_entropy_jacobian(p, y) @ layers.softmax_jacobian(p)
    powers = sympy.symbols(f"E1:{classes + 1}", positive=True)
    rational = dict(zip(map(sympy.exp, s), powers, strict=True))

    def plain(expression: Any) -> Any:
        return sympy.cancel(sympy.together(sympy.expand_log(expression).subs(rational)))

    sides = {
        "derivative of −log(yᵀ softmax(s))": np.array([plain(sympy.diff(loss, each)) for each in s], object),
        "−yᵀ/(yᵀp) · (diag(p) − ppᵀ)": np.array([plain(each) for each in by_formula], object),
        "(p − y)ᵀ": np.array([plain(each) for each in p - y], object),
    }
    return _exactly_equal("L4", seed, f"{classes} classes, y = class {chosen + 1}", "∂l/∂s", sides, "symbolic")


def check_fully_connected(seed: int) -> Iterator[Outcome]:
    """L5: the Jacobians of s = W vec(H) + b against derivatives of the sum, with symbols and with integers."""
    classes, m = 3, 4
    _, *generators = ring(
        [f"{letter}{k}" for letter, n in (("g", 3), ("W", 12), ("h", 4), ("b", 3)) for k in range(n)], ZZ
    )
    g, W, h, b = (
        symbolic.object_array(generators[first:stop], (stop - first,))
        for first, stop in ((0, 3), (3, 15), (15, 19), (19, 22))
    )
    loss = sum(g[c] * (sum(W[c * m + j] * h[j] for j in range(m)) + b[c]) for c in range(classes))
    by_h, by_W = (np.array([loss.diff(x) for x in each], object) for each in (h, W))
    rows = g @ layers.fully_connected_jacobian_wrt_input(np.arange(12).reshape(3, 4)).astype(object)
    numbers = dict(zip(W, range(12), strict=True))
    sides = {
        "derivative of Σ g_c s_c": np.array([each.subs(list(numbers.items())) for each in by_h], object),
        "∂l/∂s · W": rows,
    }
    yield _exactly_equal("L5", seed, "W 3×4 with entries 0 … 11", "∂l/∂vec(H)", sides, "symbolic")
    place = layers.fully_connected_jacobian_wrt_weights(np.arange(1, 5), classes).toarray().astype(object)
    sides = {
        "derivative of Σ g_c s_c": np.array([each.subs([(h[j], j + 1) for j in range(m)]) for each in by_W], object),
        "∂l/∂s · ∂s/∂vec(W)": g @ place,
    }
    yield _exactly_equal("L5", seed, "h = 1 … 4", "∂l/∂vec(W)", sides, "symbolic")
    yield from _fully_connected_by_steps(seed)


def _fully_connected_by_steps(seed: int) -> Iterator[Outcome]:
    """A linear function's derivative is its difference over a step of 1, exactly on integers."""
    generator = np.random.default_rng(seed)
    for classes, m in ((3, 5), (10, 7), (1, 4)):
        W, h, b, g = (
            exact.draw_integers(generator, shape, 2**20, np.int64)
            for shape in ((classes, m), (m,), (classes,), (classes,))
        )
        at = g @ layers.fully_connected(W, h, b)
        steps = {
            "h": [g @ layers.fully_connected(W, h + e, b) - at for e in np.eye(m, dtype=np.int64)],
            "W": [
                g @ layers.fully_connected(W + e.reshape(W.shape), h, b) - at for e in np.eye(W.size, dtype=np.int64)
            ],
            "b": [g @ layers.fully_connected(W, h, b + e) - at for e in np.eye(classes, dtype=np.int64)],
        }
        jacobians = {
            "h": layers.fully_connected_jacobian_wrt_input(W),
            "W": layers.fully_connected_jacobian_wrt_weights(h, classes),
            "b": layers.fully_connected_jacobian_wrt_bias(classes, dtype=np.int64),
        }
        for name, jacobian in jacobians.items():
            sides = {"steps of 1": np.array(steps[name]), "∂l/∂s · Jacobian": g @ jacobian}
            yield _exactly_equal("L5", seed, f"W {classes}×{m}", f"∂l/∂vec({name})", sides)


def check_relu(seed: int) -> Iterator[Outcome]:
    """L6: diag(Ind(vec(S) > 0)) against the difference of ReLU over a step of −1, exactly on integers, 0 included."""
    generator = np.random.default_rng(seed)
    for shape in ((2, 3, 4), (3, 1, 5), (1, 7), (2, 2, 3, 2)):
        S = generator.permutation(math.prod(shape)).reshape(shape) - math.prod(shape) // 2
        G = exact.draw_integers(generator, shape, 2**20, np.int64)
        steps = G * (layers.relu(S) - layers.relu(S - 1))
        sides = {
            "steps of −1": steps.ravel(),
            "∂l/∂vec(H) · diag(Ind(vec(S) > 0))": G.ravel() @ layers.relu_jacobian(S),
        }
        yield _exactly_equal("L6", seed, f"S of shape {shape}", "∂l/∂vec(S)", sides)


# L3, L22, L23: networks -----------------------------------------------------------------------------------------------


def _drawn_network(seed: int, count: int) -> tuple[Network, dict[str, Array], Array, Array, list[Any]]:
    """Draw a network and a mini-batch, none of whose responses is within rounding of 0."""
    network = Network(SMALL, 3, l2=STRENGTH)
    for attempt in itertools.count():
        generator = np.random.default_rng((seed, attempt))
        parameters = network.parameters(int(generator.integers(2**31)))
        images = generator.normal(size=(count, *SMALL[0].image))
        labels = np.eye(3)[generator.permutation(3)[:count]]
        try:
            rounded = [
                reference.rounded_network(SMALL, parameters, X, y, batch=count)
                for X, y in zip(images, labels, strict=True)
            ]
        except ArithmeticError:
            continue
        return network, parameters, images, labels, rounded
    raise AssertionError("unreachable: itertools.count does not end")


def check_network(seed: int) -> Iterator[Outcome]:
    """L3: every node of the graph, and the cost, against the definition in high precision."""
    network, parameters, images, labels, rounded = _drawn_network(seed, 2)
    with mpmath.workdps(exact.DIGITS):
        wide = {name: reference.high_precision(value) for name, value in parameters.items()}
        results: list[tuple[str, str, Any, Array, Array]] = []
        for X, y, (bounds, _) in zip(images, labels, rounded, strict=True):
            nodes = network.trace(parameters, X, y)
            right = reference.forward(SMALL, wide, reference.high_precision(X), y)
            results += [("Network.trace", name, nodes[name], right[name], bounds[name].error) for name in bounds]
        penalty = [reference.exactly(parameters[name].ravel()) for name in network.weights]
        squares = reference.products(
            np.zeros(sum(each.value.size for each in penalty), int),
            *(reference.exactly(np.concatenate([each.value for each in penalty])),) * 2,
            np.zeros(1),
            sum(each.value.size for each in penalty) + 1,
        )
        ones = reference.exactly(np.ones(len(rounded)))
        each = reference.Rounded(
            *(np.array([getattr(bounds["l"], part) for bounds, _ in rounded]) for part in ("value", "error"))
        )
        total = reference.products(np.zeros(len(rounded), int), each, ones, np.zeros(1), len(rounded))
        mean = reference.Rounded(total.value / len(rounded), total.error / len(rounded))
        loss = reference.rounded_mean([mean], STRENGTH * squares.value)
        right = reference.cost(SMALL, STRENGTH, wide, reference.high_precision(images), labels)
        bound = loss.error + STRENGTH * squares.error
        results.append(("Network.cost", "cost", network.cost(parameters, images, labels), right, bound))
        yield _within_bound("L3", seed, f"Network({SMALL}, 3, l2={STRENGTH})", results)


def check_batch(seed: int) -> Iterator[Outcome]:
    """L22: mini-batch gradients with the L2 term, by Jacobians and by convolutions, against difference quotients."""
    network, parameters, images, labels, rounded = _drawn_network(seed, 2)
    with mpmath.workdps(exact.DIGITS):
        wide = {name: reference.high_precision(value) for name, value in parameters.items()}
        X = reference.high_precision(images)
        results: list[tuple[str, str, Any, Array, Array]] = []
        for name, at in wide.items():
            right = reference.derivatives(
                lambda value, name=name: reference.cost(SMALL, STRENGTH, wide | {name: value}, X, labels),  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                at,
            )
            term = 2 * STRENGTH * parameters[name].ravel() if name in network.weights else np.zeros(at.size)
            bound = reference.rounded_mean([gradients[name] for _, gradients in rounded], term).error
            results += [
                (f"Network.batch_gradients by {form}", name, gradient[name], right, bound)
                for form in ("jacobians", "convolutions")
                for gradient in [network.batch_gradients(parameters, images, labels, by=form)]
            ]
        yield _within_bound("L22", seed, f"Network({SMALL}, 3, l2={STRENGTH})", results)


def check_composition(seed: int) -> Iterator[Outcome]:
    """L23: two layers, at true size on integers, and ∂l/∂X of two layers against difference quotients."""
    yield from _composition_on_integers(seed)
    network, parameters, images, labels, rounded = _drawn_network(seed, 1)
    with mpmath.workdps(exact.DIGITS):
        wide = {name: reference.high_precision(value) for name, value in parameters.items()}
        right = reference.derivatives(
            lambda X: reference.forward(SMALL, wide, X, labels[0])["l"], reference.high_precision(images[0])
        )
        results = [
            ("gradients_by_jacobians", "X", network.gradients_by_jacobians(parameters, images[0], labels[0])["X"]),
            (
                "gradients_by_convolutions",
                "X",
                network.gradients_by_convolutions(parameters, images[0], labels[0])["X"],
            ),
        ]
        bound = rounded[0][1]["X"].error
        yield _within_bound("L23", seed, f"Network({SMALL}, 3)", [(*each, right, bound) for each in results])


def _composition_on_integers(seed: int) -> Iterator[Outcome]:
    generator = np.random.default_rng(seed)
    network = Network(COMPOSITION, 10)
    terms = math.prod(layer.taps for layer in COMPOSITION) * network.shapes["W"][1]
    # The scores are the largest sums: products of a pixel, two taps and a weight, over all paths through the layers.
    magnitude = math.floor((exact.exact_limit("float64") / terms) ** 0.25) - 1
    parameters = {
        name: exact.draw_integers(generator, shape, magnitude if name[0] in "FW" else 1, "float64")
        for name, shape in network.shapes.items()
    }
    X = exact.draw_integers(generator, COMPOSITION[0].image, magnitude, "float64")
    S, H = [], X
    for k, layer in enumerate(COMPOSITION, start=1):
        by_filters = forms.jacobian_wrt_filters(H, layer) @ parameters[f"F{k}"].ravel()
        S.append(by_filters.reshape(layer.responses) + parameters[f"b{k}"][:, None, None])
        H = np.maximum(S[-1], 0)
    trace = network.trace(parameters, X, np.eye(10)[3])
    where = "32×32×3 → 28×28×6 → 26×26×10, integers in float64"
    shapes = {
        "lecture": np.array([6, 28, 28, 10, 26, 26]),
        "Network.trace": np.array([*trace["S1"].shape, *trace["S2"].shape]),
    }
    yield _exactly_equal("L23", seed, where, "sizes", shapes)
    for k, right in enumerate(S, start=1):
        yield _exactly_equal("L23", seed, where, f"S{k}", {"matrices": right, "Network.trace": trace[f"S{k}"]})
    upstream = exact.draw_integers(generator, (10,), magnitude, "float64")
    by_jacobians, by_convolutions = (
        network.pull_back(parameters, trace, upstream, form) for form in ("jacobians", "convolutions")
    )
    for name, gradient in by_jacobians.items():
        sides = {"chain of Jacobians": gradient, "convolutions": by_convolutions[name]}
        yield _exactly_equal("L23", seed, where, f"∂l/∂{name}", sides)


NETWORK_IDENTITIES: tuple[NetworkIdentity, ...] = (
    NetworkIdentity("L3", "H = max(0, S),  s = W vec(H) + b,  p = softmax(s),  l = −log(yᵀp)", check_network),
    NetworkIdentity("L4", "∂l/∂s = −yᵀ/(yᵀp) · (diag(p) − ppᵀ)", check_softmax),
    NetworkIdentity("L5", "∂l/∂vec(H) = ∂l/∂s · W", check_fully_connected),
    NetworkIdentity("L6", "∂l/∂vec(S) = ∂l/∂vec(H) · diag(Ind(vec(S) > 0))", check_relu),
    NetworkIdentity("L22", "gradient of mean l + λ Σ‖·‖² = mean of the gradients + 2λ·(parameter)", check_batch),
    NetworkIdentity("L23", "32×32×3 → 28×28×6 → 26×26×10, and back through both layers", check_composition),
)
