"""ReLU: G where S > 0, and what codes let pass instead, read off by the signs of S and G."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from jacobians.audit.compare import Comparison, Run, written
from jacobians.audit.factors import differ, multiple
from jacobians.audit.layer import REAL, Explanation, Layer, Probe, Reach, Right
from jacobians.audit.numbers import dtype_of
from jacobians.audit.subject import Subject
from jacobians.evidence import exact

__all__ = ["Relu", "Sizes"]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

# One axis and more, with a remainder for every width of vector that code may be written for.
SHAPES: tuple[Shape, ...] = (
    (3,), (1, 2), (2, 2), (2, 3), (1, 7), (3, 5), (2, 1, 9), (2, 2, 3, 2), (1, 33), (2, 2, 3, 4), (2, 1, 2, 3, 2),
    (2, 3, 4, 5),
)  # fmt: skip
# The smallest normal numbers.
SMALLEST = {"float64": 2.0**-1022, "float32": 2.0**-126, "float16": 2.0**-14, "bfloat16": 2.0**-126}
NEXT_TO_0 = "scores next to 0"
CURE = "Let G pass where the S of this ReLU is above 0, and only there: dS = G * (S > 0)."
RIGHT = "∂l/∂S = 1·G where S > 0, 0 elsewhere"


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The shape of S and G, and for single numbers which they are."""

    shape: Shape
    S: float | None = None
    G: float | None = None

    @property
    def numbers(self) -> int:
        """Numbers in S and G."""
        return 2 * math.prod(self.shape)

    @property
    def tiny(self) -> bool:
        """Whether S is next to 0."""
        return 0 < abs(self.S or 0) < 1


@dataclasses.dataclass(frozen=True)
class Relu(Layer):
    """The backward pass of a ReLU."""

    anchor: ClassVar[str] = "relu"
    labels: ClassVar[dict[str, str]] = {"dS": "∂l/∂S"}
    takes: ClassVar[dict[str, tuple[str, ...]]] = {"backward": ("S", "G")}
    gives: ClassVar[dict[str, tuple[str, ...]]] = {"backward": ("dS",)}
    widens: ClassVar[bool] = True

    @property
    def title(self) -> str:
        """The layer and its dtype."""
        return f"ReLU, {self.dtype}"

    def curriculum(self) -> Sequence[Sizes]:
        """Return single numbers of all signs, then arrays in which every sign of S meets every sign of G."""
        single = [Sizes((1, 1), s, g) for s, g in itertools.product((0, -3, 4), (5, -2))]
        single.append(Sizes((1, 1), 9, 5))  # above where a ReLU6 ends
        if self.dtype in exact.SIGNIFICAND:
            single += [Sizes((1, 1), tiny, 7) for tiny in (2.0**-10, -(2.0**-10), SMALLEST[self.dtype])]
        return [*single, *map(Sizes, SHAPES)]

    def draw(self, case: Sizes, seed: int, number: int = 0) -> Probe:
        """Draw integers of which no two have the same magnitude, where there are enough, and zeros among S."""
        kind = dtype_of(self.dtype)
        if case.S is not None:
            arrays = {letter: np.full(case.shape, each).astype(kind) for letter, each in (("S", case.S), ("G", case.G))}
            return Probe(case, arrays, NEXT_TO_0 if case.tiny else "")
        generator, count = np.random.default_rng((seed, case.numbers, number)), case.numbers
        # 0 and 1 are what masks are made of; of the last shape, numbers are as large as the dtype holds exactly.
        drawn = generator.permutation(np.arange(2, count + 2)) * generator.choice([-1, 1], count)
        if case.shape == SHAPES[-1]:
            most = min(exact.exact_limit(self.dtype), exact.exact_limit("float64"))
            drawn = exact.draw_integers(generator, (count,), most, kind)
        S, G = drawn.astype(kind).reshape(2, -1)
        # As many zeros as negative and positive numbers, and at least one.
        S = np.abs(S) * generator.permutation(np.resize((0, -1, 1), S.size)).astype(kind)
        return Probe(case, {"S": S.reshape(case.shape), "G": G.reshape(case.shape)})

    def small(self, case: Sizes, seed: int) -> Probe:
        """Draw small integers, of which the results of several calls can be added up in every dtype."""
        probe = self.draw(Sizes(case.shape), seed)
        small = {letter: np.sign(each) * (1 + np.abs(each) % 7) for letter, each in probe.wide.items()}
        return dataclasses.replace(probe, arrays={letter: each.astype(probe.dtype) for letter, each in small.items()})

    def reals(self, case: Sizes, seed: int) -> Probe | None:
        """Draw numbers with all digits, of magnitudes from small to a few."""
        if self.dtype not in exact.SIGNIFICAND:
            return None
        generator, kind = np.random.default_rng((seed, 1)), dtype_of(self.dtype)
        arrays = {}
        for letter in "SG":
            size = generator.uniform(1, 2, case.shape) * 2.0 ** generator.integers(-6, 2, case.shape)
            arrays[letter] = np.asarray(size * generator.choice([-1, 1], case.shape)).astype(kind)
        return Probe(case, arrays, REAL)

    def fresh(self, cases: Sequence[Sizes]) -> tuple[Sizes, Sizes, Sizes, Sizes]:
        """Choose shapes that the curriculum does not have, so large that no two draws have the same mask by chance."""
        return Sizes((2, 4)), Sizes((6, 7)), Sizes((5, 8)), Sizes((8, 5))

    def observed(self, cases: Sequence[Sizes]) -> Sequence[Sizes]:
        """Choose an array with several axes."""
        return [Sizes((2, 2, 3, 4))]

    def smallest(self) -> Sequence[Sizes]:
        """Return single numbers, and small arrays."""
        return [case for case in self.curriculum() if not case.tiny][:11]

    def right(self, probe: Probe) -> dict[str, Right]:
        """Let G pass where S > 0."""
        wide = probe.wide
        return {"dS": Right(np.where(wide["S"] > 0, wide["G"], 0))}

    def lower(self, probe: Probe, name: str, dtype: str, right: Right) -> Array:
        """Bound the error of one rounding."""
        return np.asarray(float(exact.unit_roundoff(dtype)) * np.abs(right.value))

    def reach(self, probe: Probe, letter: str) -> tuple[Probe, Reach] | None:
        """A NaN in G has to come where S > 0; one in S may come where it is."""
        S, array = probe.wide["S"], probe.arrays[letter].copy()
        if self.dtype not in exact.SIGNIFICAND or not np.any(S > 0):
            return None
        place = int(np.flatnonzero(S.reshape(-1) > 0)[-1])
        array.reshape(-1)[place] = np.nan
        mark = np.arange(S.size).reshape(S.shape) == place
        wanted, allowed = (mark if letter == "G" else np.zeros_like(mark)), mark
        if self.dtype == "bfloat16":
            allowed = np.ones_like(mark)  # processors multiply such numbers in pairs
        return probe.replaced(**{letter: array}), {"dS": (wanted, allowed)}

    def explain(self, run: Run, comparisons: Sequence[Comparison]) -> Explanation | None:
        """Read off what passes."""
        return explain(run, comparisons)

    def names(self, name: str, case: Sizes) -> list[str]:
        """Number the entries."""
        return [f"{name}{at + 1}" for at in range(math.prod(case.shape))]

    def symbols(self, subject: Subject, probe: Probe, name: str, at: int, got: Array) -> tuple[str, str] | None:
        """Recognise the computed number, which is unlike all others in a draw."""
        g, S = np.ravel(probe.wide["G"]), np.ravel(probe.wide["S"])
        right, known = f"g{at + 1}" if S[at] > 0 else "0", {0.0: "0"}
        # Those of this place before others.
        for k in sorted(range(g.size), key=lambda k: k != at):
            for value, text in ((g[k], f"g{k + 1}"), (S[k], f"S{k + 1}")):
                known = {float(value): text, -float(value): f"−{text}"} | known
        known = {1.0: "1", float(g[at] / 2): f"g{at + 1}/2", float(g[at] * S[at]): f"g{at + 1}S{at + 1}"} | known
        found = known.get(float(np.ravel(got)[at]), right)
        return None if found == right else (right, found)


# what passes ----------------------------------------------------------------------------------------------------------

# A coefficient by the sign of S, by that of G, or by both.
Coefficients = tuple[float, ...]
OF_S, OF_G = ("S < 0", "S = 0", "S > 0"), ("G < 0", "G > 0")
SIGNS = {3: OF_S, 2: OF_G, 6: tuple(f"{S}, {G}" for S in OF_S for G in OF_G)}
PASSES: Coefficients = (0, 0, 1)
# What passes by these signs, of what, after division by what passes where both are above 0.
KNOWN: dict[tuple[str, Coefficients], str] = {
    ("G", (0, 1, 1)): "≥ is used where > is needed",
    ("G", (1, 1, 1)): "the mask is missing",
    ("G", (1, 0, 1)): "the mask is S ≠ 0",
    ("G", (0, 0.5, 1)): "half of the gradient passes where S is 0",
    ("G", (1, 0, 0)): "the mask is inverted: S < 0",
    ("G", (1, 1, 0)): "the mask is inverted: S ≤ 0",
    ("G", (0, 1, 0)): "the mask is inverted: S = 0",
    ("G", (0, 1)): "the mask is computed from G, not from S",
    ("G", (0, 0, 0, 0, 0, 1)): "the mask is computed from both S and G",
    ("G", (0, 0, 0)): "it is 0 everywhere",
    ("1", PASSES): "the mask itself is returned, without G",
    ("S", PASSES): "the ReLU itself is returned",
    ("G·S", PASSES): "G is multiplied by H",
    ("G·S", (1, 0, 1)): "G is multiplied by S",
}


def explain(run: Run, comparisons: Sequence[Comparison]) -> Explanation | None:
    """Read off which coefficient stands where S and G are negative, 0 and positive, and say what that is."""
    judged = [each for each in comparisons if each.kind in {"values", "nothing"} and each.probe.what != REAL]
    if not judged:
        return None  # what is wrong are shapes
    parts = [(each.probe.wide["S"], each.probe.wide["G"], each.got) for each in judged]
    S, G, got = (np.concatenate([np.ravel(part[at]) for part in parts]) for at in range(3))
    title, where = _by_signs(S, G, got, run.layer.dtype) or _interval(S, G, got)
    if not title and np.all((got == G) | (got == 0)) and np.any((got != 0) != (S > 0), where=np.abs(S) >= 1):
        title = "the mask is computed from another array, neither S nor G"
    if not title:
        return None
    cause = f"The code returns {where}." if where else "Every entry is g or 0, but the zeros are not where S ≤ 0."
    formula, right = (f"∂l/∂S = {where}", RIGHT) if where else ("", "")
    return Explanation(title, formula, right, cause, CURE, "relu")


def _by_signs(S: Array, G: Array, got: Array, dtype: str) -> tuple[str, str] | None:
    """Find the array that every entry is a multiple of, by the signs of S and G: what it is called, and where."""
    for of, basis in (("G", G), ("1", np.ones_like(G)), ("S", S), ("G·S", G * S)):
        groups = [(np.sign(S) == s) & (np.sign(G) == g) for s in (-1, 0, 1) for g in (-1, 1)]
        found = [_coefficient(basis[there], got[there], dtype) for there in groups]
        if None not in found:
            return _named(of, tuple(each for each in found if each is not None))
    return None


def _coefficient(basis: Array, got: Array, dtype: str) -> float | None:
    if not np.any(got):
        return 0.0
    if differ(basis):
        return multiple(got, basis, dtype)
    return float(got[0] / basis[0]) if np.any(basis) and np.all(got == got[0] / basis[0] * basis) else None


def _named(of: str, found: Coefficients) -> tuple[str, str]:
    """Name the coefficients, and a factor that they have in common; empty where they are right."""
    found = found[::2] if found[::2] == found[1::2] else found[:2] if found[:2] * 3 == found else found
    signs = SIGNS[len(found)]
    rows = [f"{written(c)}·{of} where {sign}" for c, sign in zip(found, signs, strict=True) if c]
    where = ", ".join([*rows, *(["0 elsewhere"] if 0 in found else [])])
    factor = found[-1] or 1.0
    shares = tuple(c / factor for c in found)
    said = [KNOWN.get((of, shares), "")] if (of, shares) != ("G", PASSES) else []
    if said == [""]:
        said = _unnamed(of, shares, where)
    if factor != 1:
        said.append("its sign is wrong" if factor == -1 else f"it is {written(factor)} times what it should be")
    return ", and ".join(said), where


def _unnamed(of: str, shares: Coefficients, where: str) -> list[str]:
    if of == "1" and ("G", shares) in KNOWN:
        return [KNOWN[of, PASSES], KNOWN["G", shares]]
    if of == "G" and len(shares) == 3 and shares[0] and shares[2]:
        return [f"the slope is {written(shares[0])} where S {'≤' if shares[1] == shares[0] else '<'} 0"]
    return [f"it is {where}"]


def _interval(S: Array, G: Array, got: Array) -> tuple[str, str]:
    """Say between which numbers above 0 S lies where G passes; empty where that is no interval."""
    passes = (got == G) & (got != 0)
    if not np.all(passes | (got == 0)) or not passes.any():
        return "", ""
    low, high = S[passes].min(), S[passes].max()
    stopped = S[~passes]
    before, beyond = stopped[(stopped > 0) & (stopped < low)], stopped[stopped > high]
    if low <= 0 or np.any((stopped >= low) & (stopped <= high)) or (len(before) and len(beyond)):
        return "", ""
    if len(before):
        between = f"{written(before.max())} ≤ t < {written(low)}"
        return "S is compared with a number above 0", f"1·G where S > t, 0 elsewhere, with {between}"
    if high < 6 <= beyond.min():
        return "the mask is 0 < S < 6", "1·G where 0 < S < 6, 0 elsewhere"
    return f"the mask ends above S = {written(high)}", f"1·G where 0 < S ≤ {written(high)}, 0 elsewhere"
