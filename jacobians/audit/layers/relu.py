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
from jacobians.audit.factors import multiple
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
# A small one, a larger one, and two more, all unused.
FRESH: tuple[Shape, ...] = ((2, 4), (4, 3), (2, 6), (6, 2))
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
            tiny = 0 < abs(case.S) < 1
            arrays = {letter: np.full(case.shape, each).astype(kind) for letter, each in (("S", case.S), ("G", case.G))}
            return Probe(case, arrays, NEXT_TO_0 if tiny else "")
        generator = np.random.default_rng((seed, case.numbers, number))
        S, G = self._distinct(case, generator)
        return Probe(case, {"S": _with_zeros(generator, S), "G": G})

    def _distinct(self, case: Sizes, generator: np.random.Generator) -> tuple[Array, Array]:
        kind, most, count = dtype_of(self.dtype), exact.exact_limit(self.dtype), case.numbers
        # 0 and 1 are what masks are made of; of the last shape, numbers are as large as the dtype holds exactly.
        if case.shape == SHAPES[-1]:
            drawn = exact.draw_integers(generator, (count,), min(most, exact.exact_limit("float64")), kind)
        else:
            drawn = generator.permutation(np.arange(2, count + 2)) * generator.choice([-1, 1], count)
        S, G = np.split(drawn.astype(kind), 2)
        return S.reshape(case.shape), G.reshape(case.shape)

    def small(self, case: Sizes, seed: int) -> Probe | None:
        """Draw small integers."""
        return self.draw(Sizes(case.shape), seed)

    def fractions(self, case: Sizes, seed: int) -> Probe | None:
        """Draw integers times a power of two."""
        probe = self.small(case, seed)
        if self.dtype not in exact.SIGNIFICAND or probe is None or case.shape == SHAPES[-1]:
            return None
        scaled = {letter: (each / 16).astype(each.dtype) for letter, each in probe.arrays.items()}
        return dataclasses.replace(probe, arrays=scaled)

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
        """Choose shapes that the curriculum does not have."""
        small, large, second, third = map(Sizes, FRESH)
        return small, large, second, third

    def observed(self, cases: Sequence[Sizes]) -> Sequence[Sizes]:
        """Choose an array with several axes."""
        return [Sizes((2, 2, 3, 4))]

    def smallest(self) -> Sequence[Sizes]:
        """Return single numbers, and small arrays."""
        return [case for case in self.curriculum() if not _is_tiny(case)][:11]

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
        wide = {"g": np.ravel(probe.wide["G"]), "S": np.ravel(probe.wide["S"])}
        g, S = wide["g"][at], wide["S"][at]
        known = {0.0: "0"}
        for here, letter in itertools.product((True, False), "gS"):
            for k, value in enumerate(wide[letter]):
                if (k == at) is here:
                    known.setdefault(float(value), f"{letter}{k + 1}")
                    known.setdefault(-float(value), f"−{letter}{k + 1}")
        for value, text in ((g * S, f"g{at + 1}S{at + 1}"), (g / 2, f"g{at + 1}/2"), (1.0, "1")):
            known.setdefault(float(value), text)
        right, found = (f"g{at + 1}" if S > 0 else "0"), known.get(float(np.ravel(got)[at]))
        return None if found in {None, right} else (right, str(found))


def _is_tiny(case: Sizes) -> bool:
    return case.S is not None and 0 < abs(case.S) < 1


def _with_zeros(generator: np.random.Generator, S: Array) -> Array:
    """Set about a third of the entries to 0, at least one, and make the others negative and positive in turn."""
    flat, order = S.reshape(-1).copy(), generator.permutation(S.size)
    flat[order[::3]] = 0
    flat[order[1::3]] = -np.abs(flat[order[1::3]])
    flat[order[2::3]] = np.abs(flat[order[2::3]])
    return flat.reshape(S.shape)


# what passes ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Passing:
    """What stands in every entry: a coefficient by the signs of S and of G, times G, 1, S or G·S."""

    of: str
    by_signs: dict[tuple[int, int], float]

    @property
    def of_scores(self) -> tuple[float, float, float] | None:
        """The coefficients where S is below, at and above 0; None where they depend on the sign of G."""
        pairs = [(self.by_signs[sign, -1], self.by_signs[sign, 1]) for sign in (-1, 0, 1)]
        return (pairs[0][0], pairs[1][0], pairs[2][0]) if all(low == high for low, high in pairs) else None


def explain(run: Run, comparisons: Sequence[Comparison]) -> Explanation | None:
    """Read off which coefficient stands where S and G are negative, 0 and positive, and say what that is."""
    judged = [
        each for each in comparisons if each.result.value is not None and each.got.shape == each.right.value.shape
    ]
    judged = [each for each in judged if each.probe.what != REAL and np.all(np.isfinite(each.got))]
    parts = [(each.probe.wide["S"], each.probe.wide["G"], each.got) for each in judged]
    S, G, got = (np.concatenate([np.ravel(part[at]) for part in parts]) for at in range(3))
    found = _passing(S, G, got, run.layer.dtype)
    if found:
        title, cause = _words(found)
        formula = _formula(found, found.of_scores)
    elif threshold := _threshold(S, G, got):
        title, cause, formula = threshold
    elif np.all((got == G) | (got == 0)) and not _agree_on(S, got, np.abs(S) >= 1):
        title = "the mask is of another array, neither S nor G"
        cause = "Every entry is g or 0, but not where S says: the mask may be of a later layer, or of an earlier call."
        formula = ""
    else:
        return None
    if formula == RIGHT:
        return None  # what is wrong are shapes
    right = RIGHT if formula else ""
    return Explanation(title, formula, right, cause, CURE, "relu")


def _agree_on(S: Array, got: Array, plain: Array) -> bool:
    """Whether only scores next to 0 are treated otherwise."""
    return bool(np.all((got != 0)[plain] == (S > 0)[plain]))


def _passing(S: Array, G: Array, got: Array, dtype: str) -> Passing | None:
    """Find the array, and its coefficients by the signs, that give every entry."""
    for of, basis in (("G", G), ("1", np.ones_like(G)), ("S", S), ("G·S", G * S)):
        by_signs: dict[tuple[int, int], float] = {}
        for sign_s, sign_g in itertools.product((-1, 0, 1), (-1, 1)):
            there = (np.sign(S) == sign_s) & (np.sign(G) == sign_g)
            coefficient = _coefficient(basis[there], got[there], dtype)
            if coefficient is None:
                break
            by_signs[sign_s, sign_g] = coefficient
        else:
            return Passing(of, by_signs)
    return None


def _coefficient(basis: Array, got: Array, dtype: str) -> float | None:
    if not np.any(got):
        return 0.0
    if np.array_equal(got, basis):
        return 1.0
    if not np.any(basis):
        return None
    if len(np.unique(np.abs(basis))) > 1:
        return multiple(got, basis, dtype)
    return float(got[0]) if np.all(got == got[0] * basis) else None


def _words(found: Passing) -> tuple[str, str]:
    """Derive the words from the coefficients, of which (0, 0, 1) times G are right."""
    if not any(found.by_signs.values()):
        return "it is 0 everywhere", "Nothing passes."
    if found.of_scores is None:
        return _by_both_signs(found)
    below, at, above = found.of_scores
    if found.of in {"S", "G·S"}:
        return _of_score(found.of, below, above)
    mask = _mask(below, at, above)
    if found.of == "1":
        more = f", and {mask}" if mask else ""
        return f"the mask itself is returned, without G{more}", "The step function of S is returned; G is not used."
    factor = "its sign is wrong" if above == -1 else f"it is {written(above)} times what it should be"
    return mask or factor, _cause(below, at, above)


def _mask(below: float, at: float, above: float) -> str:
    """Say what passes that should not, or does not that should; empty where only a factor differs."""
    where: dict[tuple[float, float], str] = {
        (0, 0): "",
        (0, 1): "≥ stands where > is needed",
        (1, 1): "the mask is missing",
    }
    where |= {(1, 0): "the mask is S ≠ 0", (0, 0.5): "half of the gradient passes where S is 0"}
    if above == 0:
        return f"the mask is inverted: S {'≤' if below and at else '<' if below else '='} 0"
    share = below / above, at / above
    if share in where:
        return where[share]
    if share[0]:
        return f"the slope is {written(below)} where S {'≤' if share[1] else '<'} 0"
    return f"{written(share[1])} of the gradient passes where S is 0"


def _cause(below: float, at: float, above: float) -> str:
    places = (("negative", below), ("0", at), ("positive", above))
    passes = [f"{'' if c == 1 else f'{written(c)}·'}G where S is {where}" for where, c in places if c]
    return f"It passes {', and '.join(passes)}."


def _by_both_signs(found: Passing) -> tuple[str, str]:
    of_both = {(s, g): float(s > 0 and g > 0) for s, g in found.by_signs}
    of_G = {(s, g): float(g > 0) for s, g in found.by_signs}
    if found.of == "G" and found.by_signs == of_G:
        return "the mask is of G, not of S", "The sign of the gradient is asked, not that of S."
    if found.of == "G" and found.by_signs == of_both:
        return "the mask is of both S and G", "Negative gradients are dropped too, as guided backpropagation does."
    return f"the signs of S and G decide how often {found.of} passes", "The sign of the gradient is asked."


def _of_score(of: str, below: float, above: float) -> tuple[str, str]:
    if of == "S" and (below, above) == (0, 1):
        return "it is the ReLU itself", "max(0, S) is returned."
    if of == "G·S" and above == 1 and below in {0, 1}:
        by = "S" if below else "H"
        return f"G is multiplied by {by}", f"G·{'S' if below else 'max(0, S)'} is returned."
    return f"{of} stands in the place of G", f"{written(above)}·{of} is returned where S > 0."


def _formula(found: Passing, of_scores: tuple[float, float, float] | None) -> str:
    if of_scores is None:
        signs = {-1: "< 0", 0: "= 0", 1: "> 0"}
        rows = (
            f"{written(c)}·{found.of} where S {signs[s]}, G {signs[g]}" for (s, g), c in found.by_signs.items() if c
        )
        return f"∂l/∂S = {', '.join(rows)}, 0 elsewhere"
    rows = (f"{written(c)}·{found.of} where S {sign} 0" for c, sign in zip(of_scores, "<=>", strict=True) if c)
    return "∂l/∂S = " + ", ".join([*rows, *(["0 elsewhere"] if 0 in of_scores else [])])


def _threshold(S: Array, G: Array, got: Array) -> tuple[str, str, str] | None:
    """Say between which numbers S lies where G passes, if that is an interval above 0."""
    passes = (got == G) & (got != 0)
    if not np.all(passes | (got == 0)) or not passes.any():
        return None
    low, high = float(S[passes].min()), float(S[passes].max())
    stopped = S[~passes]
    if np.any((stopped >= low) & (stopped <= high)):
        return None
    beyond, before = stopped[stopped > high], stopped[(stopped > 0) & (stopped < low)]
    if len(beyond) and low > 0 and not len(before):
        title = "the mask is 0 < S < 6" if high < 6 <= beyond.min() else f"the mask ends above S = {written(high)}"
        return (
            title,
            "It is the gradient of a ReLU with an upper end, as ReLU6 has.",
            f"∂l/∂S = 1·G where 0 < S < {written(float(beyond.min()))}, 0 elsewhere",
        )
    if len(before) and not len(beyond):
        title = "S is compared with a number above 0"
        limits = f"between {written(float(before.max()))} and {written(low)}"
        return title, f"A tolerance or another threshold, {limits}, stands for 0.", ""
    return None
