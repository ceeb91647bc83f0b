"""ReLU: which masks and values backward passes are known to take instead of G where S > 0."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jacobians.audit.layers import shared
from jacobians.audit.layers.shared import Array, Code, Comparison, Layer, Probe, Reach, Shape, Theory
from jacobians.audit.probes import dtype_of
from jacobians.evidence import exact
from jacobians.verify.reference import Rounded, exactly

__all__ = ["LAYER", "probes"]

# One axis and more, with a remainder for every width of vector that code may be written for.
SHAPES: tuple[Shape, ...] = (
    (3,), (1, 2), (2, 2), (2, 3), (1, 7), (3, 5), (2, 1, 9), (2, 2, 3, 2), (1, 33), (2, 2, 3, 4), (2, 1, 2, 3, 2),
)  # fmt: skip
# The smallest normal numbers.
SMALLEST = {"float64": 2.0**-1022, "float32": 2.0**-126, "float16": 2.0**-14, "bfloat16": 2.0**-126}


def probes(dtype: str, seed: int) -> Iterator[Probe]:
    """Yield single numbers of all signs, then arrays in which every sign of S meets every sign of G."""
    generator, others = (np.random.default_rng(each) for each in (seed, (seed, 1)))
    kind = dtype_of(dtype)
    single = {"S": (1, 1), "G": (1, 1)}
    for sign_s, sign_g in itertools.product((0, -1, 1), (1, -1)):
        drawn = shared.distinct_integers(generator, single, 8, kind)
        yield Probe({"S": abs(drawn["S"]) * kind.type(sign_s), "G": abs(drawn["G"]) * kind.type(sign_g)})
    # Above where a ReLU6 ends.
    yield Probe({letter: np.full((1, 1), number).astype(kind) for letter, number in (("S", 9), ("G", 5))})
    if dtype in exact.SIGNIFICAND:
        for tiny in (2.0**-10, -(2.0**-10), SMALLEST[dtype]):
            G = shared.distinct_integers(generator, single, 8, kind)["G"]
            yield Probe({"S": np.full((1, 1), tiny).astype(kind), "G": abs(G)}, "scores next to 0")
    for shape in SHAPES:
        drawn = shared.distinct_integers(generator, {"S": shape, "G": shape}, exact.exact_limit(dtype), kind)
        yield Probe({"S": _with_zeros(generator, drawn["S"]), "G": drawn["G"]})
    if dtype in exact.SIGNIFICAND:
        real = {letter: shared.reals(others, (3, 4), kind) for letter in "SG"}
        yield Probe(real, shared.REAL)
    most = min(exact.exact_limit(dtype), exact.exact_limit("float64"))
    large = [exact.draw_integers(generator, (2, 3, 4, 5), most, kind) for _ in "SG"]
    yield Probe({"S": _with_zeros(generator, large[0]), "G": large[1]}, shared.LARGE)


def _draw(generator: np.random.Generator, dtype: str, at: int) -> Probe:
    shape = ((4, 3), (2, 6), (6, 2))[at]
    drawn = shared.distinct_integers(generator, {"S": shape, "G": shape}, exact.exact_limit(dtype), dtype_of(dtype))
    return Probe({"S": _with_zeros(generator, drawn["S"]), "G": drawn["G"]})


def _with_zeros(generator: np.random.Generator, S: Array) -> Array:
    """Set about a third of the entries to 0, at least one, and make the others negative and positive in turn."""
    flat, order = S.reshape(-1).copy(), generator.permutation(S.size)
    flat[order[::3]] = 0
    flat[order[1::3]] = -np.abs(flat[order[1::3]])
    flat[order[2::3]] = np.abs(flat[order[2::3]])
    return flat.reshape(S.shape)


def _right(probe: Probe) -> dict[str, Rounded]:
    S, G = probe.wide["S"], probe.wide["G"]
    return {"dS": exactly(np.where(S > 0, G, 0))}


def _reach(probe: Probe, letter: str) -> Reach | None:
    """A NaN in G has to come where S > 0; one in S may come where it is."""
    S = probe.wide["S"]
    if not np.any(S > 0):
        return None
    place = int(np.flatnonzero(S.reshape(-1) > 0)[-1])
    mark = np.arange(S.size).reshape(S.shape) == place
    return place, {"dS": (mark if letter == "G" else np.zeros_like(mark), mark)}


def _names(name: str, shape: Shape) -> list[str]:
    return [f"{name}{at + 1}" for at in range(math.prod(shape))]


def _symbols(_code: Code, each: Comparison, _theory: Theory | None, at: int) -> tuple[str, str] | None:
    """Recognise the computed number, which is unlike all others in a draw."""
    wide = {"g": each.probe.wide["G"].reshape(-1), "S": each.probe.wide["S"].reshape(-1)}
    g, S = wide["g"][at], wide["S"][at]
    known = {0.0: "0"}
    for letter, here in itertools.product("gS", (True, False)):
        for k, value in enumerate(wide[letter]):
            if (k == at) is here:
                known.setdefault(value, f"{letter}{k + 1}")
                known.setdefault(-value, f"−{letter}{k + 1}")
    for value, text in ((g * S, f"g{at + 1}S{at + 1}"), (g / 2, f"g{at + 1}/2"), (1.0, "1")):
        known.setdefault(value, text)
    right, got = (f"g{at + 1}" if S > 0 else "0"), known.get(float(each.got.flat[at]))
    return None if got is None else (right, got)


# wrong formulas -------------------------------------------------------------------------------------------------------


Of = Callable[[Array, Array], Any]


def _where(mask: Of, value: Of = lambda S, G: G) -> Callable[[Probe, Array], bool | None]:
    def predict(probe: Probe) -> Array:
        S, G = probe.wide["S"], probe.wide["G"]
        return np.where(mask(S, G), value(S, G), 0.0)

    return shared.matches(predict)


def _leaky(slope: float) -> Callable[[Probe, Array], bool | None]:
    def predict(probe: Probe) -> Rounded:
        S, G = probe.wide["S"], probe.wide["G"]
        value = np.where(S > 0, G, slope * G)
        u = shared.gamma(3, str(probe.arrays["G"].dtype))
        return Rounded(value, np.where(S > 0, 0.0, u * np.abs(value)))

    return shared.matches(predict)


def _masked_otherwise(probe: Probe, got: Array) -> bool | None:
    """Whether every entry is that of G or 0: the mask of something that is not known here."""
    G = probe.wide["G"]
    return got.shape == G.shape and bool(np.all((got == G) | (got == 0)))


def _theories() -> Iterator[Theory]:
    ones, everywhere = (lambda S, G: np.ones_like(G)), (lambda S, G: np.ones_like(S))
    above: Of = lambda S, G: S > 0  # noqa: E731  # one entry of the table below, which several rows use
    table: list[tuple[str, str, Callable[[Probe, Array], bool | None]]] = [
        ("≥ stands where > is needed", "The gradient passes where S is 0.", _where(lambda S, G: S >= 0)),
        ("the mask is missing", "G passes everywhere, as it does through H ≥ 0, which holds for every H = max(0, S).",
         _where(everywhere)),
        ("the mask is of G, not of S", "The sign of the gradient is asked, not that of S.", _where(lambda S, G: G > 0)),
        ("the mask is of both S and G", "Negative gradients are dropped too, as guided backpropagation does.",
         _where(lambda S, G: (S > 0) & (G > 0))),
        ("its sign is wrong", "−G stands for G.", _where(above, lambda S, G: -G)),
        ("the mask is inverted: S < 0", "The gradient passes where S is negative.", _where(lambda S, G: S < 0)),
        ("the mask is inverted: S ≤ 0", "The gradient passes where S is not positive.", _where(lambda S, G: S <= 0)),
        ("the mask is S ≠ 0", "The gradient passes wherever S is not 0.", _where(lambda S, G: S != 0)),
        ("the mask itself is returned, without G", "The step function of S is returned; G is not used.",
         _where(above, ones)),
        ("the mask itself is returned, without G, and ≥ stands where > is needed",
         "The step function of S, 1 at 0, is returned; G is not used.", _where(lambda S, G: S >= 0, ones)),
        ("it is the ReLU itself", "max(0, S) is returned.", _where(above, lambda S, G: S)),
        ("G is multiplied by H", "G·max(0, S) is returned.", _where(above, lambda S, G: G * S)),
        ("G is multiplied by S", "G·S is returned.", _where(everywhere, lambda S, G: G * S)),
        ("it is 0 everywhere", "Nothing passes.", _where(lambda S, G: np.zeros_like(S))),
        ("half of the gradient passes where S is 0", "The step function is taken as ½ at 0.",
         _where(lambda S, G: S >= 0, lambda S, G: np.where(S == 0, G / 2, G))),
        *((f"the slope is {slope} where S ≤ 0", "It is the gradient of a leaky ReLU.", _leaky(slope))
          for slope in (0.01, 0.1, 0.2)),
        ("the mask is 0 < S < 6", "It is the gradient of ReLU6.", _where(lambda S, G: (S > 0) & (S < 6))),
        ("S is compared with a number above 0", "A tolerance or another threshold stands for 0.",
         _where(lambda S, G: S >= 1)),
        ("the mask is of another array, neither S nor G",
         "Every entry is g or 0, but not where S says: the mask may be of a later layer, or of an earlier call.",
         _masked_otherwise),
    ]  # fmt: skip
    for title, cause, explains in table:
        cure = "Let G pass where the S of this ReLU is above 0, and only there: dS = G * (S > 0)."
        yield Theory("dS", title, cause, cure, explains)


LAYER = Layer(
    title="ReLU",
    unit="case",
    anchor="relu",
    labels={"dS": "∂l/∂S"},
    takes={"backward": ("S", "G")},
    gives={"backward": ("dS",)},
    right=_right,
    theories=tuple(_theories()),
    names=_names,
    symbols=_symbols,
    draw=_draw,
    reach=_reach,
)
