"""Fully connected: which sums, orders of flattening and axes codes are known to take instead of those of L3 and L5."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from jacobians.audit.entries import written
from jacobians.audit.layers import shared
from jacobians.audit.layers.shared import Array, Code, Comparison, Layer, Probe, Reach, Shape, Theory
from jacobians.audit.probes import TARGET, dtype_of
from jacobians.audit.readout import MOST_READINGS
from jacobians.evidence import exact
from jacobians.verify.reference import Rounded, exactly

__all__ = ["layer", "probes"]

# Images, planes × rows × columns, classes: everything 1, each alone 2, m = C, and remainders of 4, 8, 16 and 32.
SIZES: tuple[tuple[int, Shape, int], ...] = (
    (1, (1, 1, 1), 1), (1, (1, 1, 2), 1), (1, (1, 1, 1), 2), (2, (1, 1, 1), 1), (1, (1, 1, 2), 2), (1, (1, 2, 2), 1),
    (1, (2, 1, 2), 1), (2, (1, 1, 1), 2), (2, (1, 2, 1), 3), (2, (2, 1, 2), 4), (2, (2, 2, 3), 3), (3, (2, 3, 2), 12),
    (3, (3, 1, 11), 5), (5, (2, 2, 4), 17),
)  # fmt: skip


def probes(dtype: str, seed: int, *, bias: bool) -> tuple[list[Probe], float]:
    """Draw small numbers, and large ones until a wrong bilinear form is missed with probability 2⁻⁶⁰ at each size."""
    generator, others = (np.random.default_rng(each) for each in (seed, (seed, 1)))
    kind, found, worst = dtype_of(dtype), list[Probe](), Fraction(0)
    for images, image, classes in SIZES:
        b = {"b": (classes,)} if bias else {}
        shapes: dict[str, Shape] = {"W": (classes, math.prod(image)), "H": (images, *image), **b}
        shapes["g"] = (images, classes)
        terms = max(math.prod(image) + 1, images, classes)
        # Also what is right is computed in float64.
        magnitude = min(exact.exact_magnitude(each, terms) for each in (dtype, "float64"))
        found.append(Probe(shared.distinct_integers(generator, shapes, min(99, magnitude), kind)))
        sizes = sorted((math.prod(shape) for shape in shapes.values()), reverse=True)[:2]
        missed = Fraction(1)
        while missed > TARGET:
            large = {name: exact.draw_integers(generator, shape, magnitude, kind) for name, shape in shapes.items()}
            found.append(Probe(large, shared.LARGE))
            missed *= exact.miss_probability(*(exact.Draw(magnitude, size) for size in sizes))
        worst = max(worst, missed)
        if images > 1 and dtype in exact.SIGNIFICAND:
            real = {name: shared.reals(others, shape, kind) for name, shape in shapes.items()}
            found.append(Probe(real, shared.REAL))
    return found, math.log2(worst.numerator) - math.log2(worst.denominator)


def _draw(generator: np.random.Generator, dtype: str, at: int, *, bias: bool) -> Probe:
    image, classes = (((3, 1, 1), 2), ((1, 3, 1), 3), ((1, 1, 3), 4))[at]
    shapes: dict[str, Shape] = {"W": (classes, 3), "H": (4, *image)}
    shapes |= {**({"b": (classes,)} if bias else {}), "g": (4, classes)}
    # Also the results of three calls can be added up.
    magnitude = min(9, exact.exact_magnitude(dtype, 3 * 5))
    return Probe(shared.distinct_integers(generator, shapes, magnitude, dtype_of(dtype)))


def _flat(H: Array) -> Array:
    return H.reshape(len(H), -1)


def _parts(probe: Probe) -> tuple[Array, Array, Array, Array]:
    wide = probe.wide
    return wide["W"], _flat(wide["H"]), wide["g"], wide.get("b", np.zeros(1))


# The layer and its gradients, from H as a matrix (L3, L5).
SUMS: dict[str, Callable[[Array, Array, Array, Array], Array]] = {
    "s": lambda W, H, g, b: H @ W.T + b,
    "dW": lambda W, H, g, b: g.T @ H,
    "dH": lambda W, H, g, b: g @ W,
    "db": lambda W, H, g, b: g.sum(axis=0),
}


def _right(probe: Probe) -> dict[str, Rounded]:
    right = {name: _shaped(probe, name, formula(*_parts(probe))) for name, formula in SUMS.items()}
    if probe.what != shared.REAL:
        return {name: exactly(each) for name, each in right.items()}
    W, H, g, b = (np.abs(each) for each in _parts(probe))
    # Rounding of direct sums in the dtype, in any order, and of what is held against them.
    terms, dtype = max(*W.shape, len(H)) + 1, str(probe.arrays["W"].dtype)
    share = shared.gamma(terms, dtype) + 2 * shared.gamma(terms, "float64")
    return {name: Rounded(each, share * _shaped(probe, name, SUMS[name](W, H, g, b))) for name, each in right.items()}


def _shaped(probe: Probe, name: str, each: Array) -> Array:
    return each.reshape(probe.wide["H"].shape) if name == "dH" else each


MADE_OF = {"s": "WHb", "dW": "gH", "dH": "gW", "db": "g"}


def _reach(probe: Probe, letter: str) -> Reach:
    """Where one entry that is not 0 goes, among ones."""
    ones = {name: np.ones_like(array) for name, array in probe.wide.items()}
    if "b" in ones:
        ones["b"] *= 0
    ones |= {name: 0 * ones[name] for name in "WH"} if letter == "b" else {}
    place = ones[letter].size - 1
    ones[letter] = (np.arange(place + 1) == place).reshape(ones[letter].shape) * 1.0
    reached = {name: (each.value != 0) & (letter in MADE_OF[name]) for name, each in _right(Probe(ones)).items()}
    return place, {name: (mask, mask) for name, mask in reached.items()}


# names and formulas of entries ----------------------------------------------------------------------------------------


def _names(name: str, shape: Shape) -> list[str]:
    letter, columns = {"H": "h", "dH": "dh"}.get(name, name), math.prod(shape[1:])
    if name in {"b", "db"}:
        return [f"{letter}{c + 1}" for c in range(shape[0])]
    if name in {"W", "dW"}:
        comma = "," if max(shape[0], columns) > 9 else ""
        return [f"{letter}{c + 1}{comma}{j + 1}" for c in range(shape[0]) for j in range(columns)]
    return shared.of_images([f"{letter}{j + 1}" for j in range(columns)], shape[0])


# In which arguments a result is bilinear, and what it may be instead.
READ: dict[str, tuple[tuple[str, ...], ...]] = {
    "s": (("W", "H"),),
    "dW": (("g", "H"), ("H",), ("g",)),
    "dH": (("g", "W"), ("W",), ("g",)),
    "db": (("g",),),
}


def _symbols(code: Code, each: Comparison, _theory: Theory | None, at: int) -> tuple[str, str] | None:
    """Read both formulas out by giving basis elements."""
    name, probe = each.name, each.probe

    def got(arrays: dict[str, Array]) -> float:
        value = code.results(Probe(arrays), code.side(name))[name].value
        return math.nan if value is None or value.size <= at else float(value.astype(np.float64).flat[at])

    def right(arrays: dict[str, Array]) -> float:
        return float(_right(Probe(arrays))[name].value.flat[at])

    wanted = _read_out(right, probe, READ[name][0], float(each.right.value.flat[at]))
    for letters in READ[name]:
        found = _read_out(got, probe, letters, float(each.got.flat[at]))
        if wanted is not None and found is not None and found != wanted:
            return wanted, found
    return None


def _read_out(
    function: Callable[[dict[str, Array]], float], probe: Probe, letters: tuple[str, ...], total: float
) -> str | None:
    """Read a formula out; None where there are too many numbers, or it does not give the total."""
    products = [letters, *([("b",)] if "b" in probe.arrays and letters == ("W", "H") else [])]
    if sum(math.prod(probe.arrays[letter].size for letter in each) for each in products) > MOST_READINGS:
        return None
    zeros = {letter: probe.arrays[letter] * 0 for each in products for letter in each}
    text = ""
    for each in products:
        for places in itertools.product(*(range(zeros[letter].size) for letter in each)):
            arrays = probe.arrays | {letter: array.copy() for letter, array in zeros.items()}
            for letter, place in zip(each, places, strict=True):
                arrays[letter].flat[place] = 1
            number = function(arrays)
            if not math.isfinite(number):
                return None
            if number:
                pairs = list(zip(each, places, strict=True))
                total -= number * math.prod(float(probe.wide[letter].flat[place]) for letter, place in pairs)
                name = "".join(_names(letter, zeros[letter].shape)[place] for letter, place in pairs)
                factor = "" if abs(number) == 1 else f"{written(abs(number))}·"
                sign = "−" if number < 0 else "+" if text else ""
                text += f" {sign} {factor}{name}" if text else f"{sign}{factor}{name}"
    return (text or "0") if total == 0 else None


# wrong formulas -------------------------------------------------------------------------------------------------------


# W, H as a matrix, g and b.
Arguments = tuple[Array, Array, Array, Array]
ADD = "Add the products of all images."
OWN = "Use h and g of image m for image m."
SHAPES = "With H as an (N, m) matrix: s = H @ W.T + b, dW = g.T @ H, dH = (g @ W).reshape(…), db = g.sum(axis=0)."
FORGOTTEN = "The index of the image is forgotten."
# Which results, title, cause, cure, and the arguments with which the right formulas give what is computed.
CHANGED: tuple[tuple[str, str, str, str, Callable[[Array, Array, Array, Array], Arguments]], ...] = (
    ("s", "W is used transposed", "H·W stands for H·Wᵀ: W has a row per class.", "Use s = H @ W.T + b.",
     lambda W, H, g, b: (W.T, H, g, b)),
    ("s", "the bias is left out", "b is not added.", "Add b to every row.", lambda W, H, g, b: (W, H, g, b * 0)),
    ("s", "the bias is subtracted", "−b stands for +b.", "Add b to every row.", lambda W, H, g, b: (W, H, g, -b)),
    ("s dH", "every image gets the result of the first", FORGOTTEN, OWN,
     lambda W, H, g, b: (W, np.repeat(H[:1], len(H), 0), np.repeat(g[:1], len(g), 0), b)),
    ("s dH", "every image gets the result of the last", FORGOTTEN, OWN,
     lambda W, H, g, b: (W, np.repeat(H[-1:], len(H), 0), np.repeat(g[-1:], len(g), 0), b)),
    ("dW", "g is not transposed", "g·H stands for gᵀ·H: images meet classes.", "Use dW = g.T @ H.",
     lambda W, H, g, b: (W, H, g.T, b)),
    ("dW", "all N × N pairs of a gradient and an image are summed",
     "g and H are summed over the images first, and multiplied then.", "Multiply first: dW = g.T @ H.",
     lambda W, H, g, b: (W, H.sum(0, keepdims=True), g.sum(0, keepdims=True), b)),
    ("dW", "h is left out", "Only g is summed.", "Multiply by h: dW = g.T @ H.",
     lambda W, H, g, b: (W, np.ones_like(H), g, b)),
    ("dW db", "only the last image counts", "Images are assigned one after the other, not added.", ADD,
     lambda W, H, g, b: (W, H[-1:], g[-1:], b)),
    ("dW db", "only the first image counts", "The sum over the images is left out.", ADD,
     lambda W, H, g, b: (W, H[:1], g[:1], b)),
    ("dW dH db", "the upstream gradient is replaced by ones", "g is not used.",
     "Multiply by g: dW = g.T @ H, dH = g @ W, db = g.sum(axis=0).", lambda W, H, g, b: (W, H, np.ones_like(g), b)),
    ("dH", "W is used transposed", "g·Wᵀ stands for g·W: W has a row per class.", "Use dH = g @ W.",
     lambda W, H, g, b: (W.T, H, g, b)),
    ("dH", "it is summed over the images", "Every image gets the sum of all N, so that N × N products are summed.",
     "Keep the images apart: a row of g @ W per image.",
     lambda W, H, g, b: (W, H, np.repeat(g.sum(0, keepdims=True), len(g), 0), b)),
    ("db", "it is summed over the classes, not over the images", "The wrong axis is summed.",
     "Sum over the images: db = g.sum(axis=0).", lambda W, H, g, b: (W, H, g.T, b)),
)  # fmt: skip
# Which result, title, cause, cure, and what is computed from the right one (dH as a matrix) and the arguments.
RESHAPED: tuple[tuple[str, str, str, str, Callable[[Array, Array, Array, Array, Array], Any]], ...] = (
    ("s", "it is transposed", "W·Hᵀ is returned.", "Return H @ W.T + b, a row per image.",
     lambda right, W, H, g, b: right.T),
    ("s", "H is not transposed", "W·H stands for W·Hᵀ: entries meet images.", "Return H @ W.T + b, a row per image.",
     lambda right, W, H, g, b: W @ H + b),
    ("dW", "it is transposed", "h·gᵀ stands for g·hᵀ.", "Return g.T @ H, which has the shape of W.",
     lambda right, W, H, g, b: right.T),
    ("dH", "it is not reshaped to the shape of H", "The flat row vectors g·W are returned.",
     "Return (g @ W).reshape(H.shape).", lambda right, W, H, g, b: right),
    ("dH", "W is used transposed, and it is not reshaped to the shape of H", "g·Wᵀ is returned.",
     "Return (g @ W).reshape(H.shape).", lambda right, W, H, g, b: g @ W.T),
    ("db", "one sum for all classes", "g is summed over the classes too.",
     "Sum over the images only: db = g.sum(axis=0).", lambda right, W, H, g, b: np.full(len(right), g.sum())),
    ("db", "one sum for all classes", "g is summed over the classes too.",
     "Sum over the images only: db = g.sum(axis=0).", lambda right, W, H, g, b: g.sum()),
    ("db", "it is not summed over the images", "g itself is returned.", "Sum over the images: db = g.sum(axis=0).",
     lambda right, W, H, g, b: g),
    ("db", "the axis that was summed is kept", "keepdims is set.", "Sum without it: db = g.sum(axis=0).",
     lambda right, W, H, g, b: right[None]),
)  # fmt: skip
# How H (N, d, h, w) may be flattened.
ORDERS: tuple[tuple[str, Callable[[Array], Array]], ...] = (
    ("planes last", lambda H: np.moveaxis(H, 1, -1)),
    ("column by column", lambda H: H.swapaxes(-1, -2)),
    ("column by column, planes last", lambda H: H.swapaxes(1, -1)),
)
COUNTS: tuple[tuple[str, Callable[[Mapping[str, Array]], int]], ...] = (
    ("the number of images", lambda a: len(a["H"])),
    ("the number of classes", lambda a: len(a["W"])),
    ("images times classes", lambda a: a["g"].size),
    ("the number of entries of h", lambda a: a["W"].shape[1]),
)


def _theories() -> Iterator[Theory]:
    for name, (order, arrange) in itertools.product(("s", "dW", "dH"), ORDERS):
        title = f"the gradient of H is read {order}" if name == "dH" else f"H is flattened {order}"
        cause = f"The columns of W run over the entries of H {order}, where a convolution writes planes first."
        cure = "Flatten planes, then rows, then columns: H.reshape(N, -1), and back with .reshape(H.shape)."
        yield Theory(name, title, cause, cure, shared.matches(_ordered(name, arrange)))
    for names, title, cause, cure, change in CHANGED:
        for name in names.split():
            yield Theory(name, title, cause, cure, shared.matches(_changed(name, change)))
    for name, title, cause, cure, reshape in RESHAPED:
        yield Theory(name, title, cause, cure, shared.matches(_reshaped(name, reshape)))
    for name in ("s", "dW", "dH", "db"):
        yield from _scalings(name)


def _scalings(name: str) -> Iterator[Theory]:
    mean = "Sum; the mean over a mini-batch belongs to the loss, and reaches this gradient through g."
    sums = "Leave the mean out: scores are sums over the entries of h." if name == "s" else mean
    for label, count in COUNTS:
        cause = f"A mean over {label} is taken where the formula has a sum."
        divided = shared.matches(_scaled(name, count, divided=True))
        yield Theory(name, f"it is divided by {label}", cause, sums, divided)
        cause, times = f"The factor {label} is not in the formula.", shared.matches(_scaled(name, count))
        yield Theory(name, f"it is multiplied by {label}", cause, "Leave it out.", times)
    minus, twice = shared.matches(_scaled(name, lambda a: -1)), shared.matches(_scaled(name, lambda a: 2))
    yield Theory(name, "its sign is wrong", "A minus is too many.", "Leave it out.", minus)
    yield Theory(name, "it is twice what it should be", "It is added twice.", "Add once.", twice)


def _ordered(name: str, arrange: Callable[[Array], Array]) -> Callable[[Probe], Array]:
    """Predict what is computed from, or put into, H in another order."""

    def predict(probe: Probe) -> Array:
        W, _, g, b = _parts(probe)
        H = probe.wide["H"]
        if name != "dH":
            return SUMS[name](W, _flat(arrange(H)), g, b)
        result = np.empty(H.size)
        result[arrange(np.arange(H.size).reshape(H.shape)).reshape(-1)] = (g @ W).reshape(-1)
        return result.reshape(H.shape)

    return predict


def _changed(name: str, change: Callable[[Array, Array, Array, Array], Arguments]) -> Callable[[Probe], Array | None]:
    """Predict what the right formula gives for other arguments; nothing where they do not fit together."""

    def predict(probe: Probe) -> Array | None:
        try:
            value = SUMS[name](*change(*_parts(probe)))
        except ValueError:
            return None
        return value.reshape(probe.wide["H"].shape) if name == "dH" else value

    return predict


def _reshaped(name: str, reshape: Callable[..., Any]) -> Callable[[Probe], Any]:
    """Predict what has another shape; nothing where arrays do not fit together."""

    def predict(probe: Probe) -> Any:
        parts = _parts(probe)
        try:
            return reshape(SUMS[name](*parts), *parts)
        except ValueError:
            return None

    return predict


def _scaled(name: str, count: Callable[[Mapping[str, Array]], int], *, divided: bool = False) -> Callable[[Probe], Any]:
    """Predict a multiple: of integers that the dtype holds exactly, else with the roundings of 1/N and the products."""

    def predict(probe: Probe) -> Any:
        factor = 1 / count(probe.wide) if divided else count(probe.wide)
        value, dtype = _right(probe)[name].value * factor, str(probe.arrays["W"].dtype)
        if not divided and np.abs(value).max() <= exact.exact_limit(dtype):
            return value
        size = SUMS[name](*(np.abs(each) for each in _parts(probe))).reshape(value.shape) * abs(factor)
        return Rounded(value, shared.gamma(3, dtype) * size)

    return predict


THEORIES = tuple(_theories())


def layer(*, bias: bool) -> Layer:
    """Return what an audit of this layer is about, with or without a bias."""
    b, db = (("b",), ("db",)) if bias else ((), ())
    return Layer(
        title=f"fully connected {'with' if bias else 'without'} bias",
        unit="mini-batch",
        anchor="fully-connected",
        labels={"s": "s", "dW": "∂l/∂W", "dH": "∂l/∂H", "db": "∂l/∂b"},
        takes={"forward": ("W", "H", *b), "backward": ("W", "H", *b, "g")},
        gives={"forward": ("s",), "backward": ("dW", "dH", *db)},
        right=_right,
        theories=THEORIES,
        names=_names,
        symbols=_symbols,
        draw=functools.partial(_draw, bias=bias),
        reach=_reach,
        raised={"ValueError": ("", SHAPES)},
    )
