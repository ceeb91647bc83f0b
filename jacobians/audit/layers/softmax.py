"""Softmax with cross-entropy: what codes compute is found among formulas, times a weight of each image and a factor.

A gradient p − y, and a loss −log yᵀp, is compared with 60 digits, within a bound that every stable algorithm keeps.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy  # which loads scipy.special when it is first asked for

from jacobians.audit.compare import Comparison, Run, written
from jacobians.audit.layer import REAL, Explanation, Layer, Probe, Reach, Right
from jacobians.audit.subject import Subject
from jacobians.evidence import exact

__all__ = ["DTYPES", "MiniBatch", "Sizes", "Softmax"]

Array = npt.NDArray[Any]

DTYPES = ("float64", "float32")
# Images, classes. One image alone hides a missing 1/N, and N = C an exchanged axis.
SIZES: tuple[tuple[int, int], ...] = ((1, 2), (1, 3), (2, 2), (2, 3), (3, 2), (3, 3), (1, 17), (2, 9), (4, 5))
# Differences at which exp is 0.
VANISHES = {"float64": 2000, "float32": 400}
SHIFT = "Subtract each image's largest score first: exp(s − s.max(axis=1, keepdims=True))."
AROUND, APART, NEAR = "scores around", "images whose scores are far apart", "a class with a probability near"


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Images, classes, and what is special about the scores."""

    images: int
    classes: int
    special: str = ""
    level: int = 0

    @property
    def numbers(self) -> int:
        """Numbers in s and y."""
        return 2 * self.images * self.classes


@dataclasses.dataclass(frozen=True, eq=False)
class MiniBatch(Probe):
    """Scores s and one-hot labels y of N images and C classes, and what their losses are made of."""

    @property
    def s(self) -> Array:
        """The scores."""
        return self.wide["s"]

    @property
    def y(self) -> Array:
        """The labels."""
        return self.wide["y"]

    @functools.cached_property
    def p(self) -> Array:
        """The probabilities."""
        return np.asarray(scipy.special.softmax(self.s, axis=1))

    @property
    def of_class(self) -> Array:
        """The probability of each image's class, as a column."""
        return np.asarray((self.p * self.y).sum(axis=1, keepdims=True))

    def loss_of(self, logarithms: Array) -> Array:
        """Return the loss of each image from the logarithms of probabilities."""
        return np.asarray(-logarithms[self.y > 0])

    def reordered(self) -> MiniBatch:
        """Other scores with the same labels: one-hot they have to be."""
        found: MiniBatch = super().reordered().replaced(y=self.arrays["y"])
        return found


@dataclasses.dataclass(frozen=True)
class Softmax(Layer):
    """Softmax with cross-entropy, the mean over the mini-batch or the sum."""

    mean: bool

    unit: ClassVar[str] = "mini-batch"
    anchor: ClassVar[str] = "softmax"
    labels: ClassVar[dict[str, str]] = {"loss": "l", "ds": "∂l/∂s"}
    takes: ClassVar[dict[str, tuple[str, ...]]] = {"forward": ("s", "y"), "backward": ("s", "y")}
    gives: ClassVar[dict[str, tuple[str, ...]]] = {"forward": ("loss",), "backward": ("ds",)}
    batched: ClassVar[str] = "sy"
    widens: ClassVar[bool] = True
    raised: ClassVar[Mapping[str, tuple[str, str]]] = {
        "OverflowError": ("exp of a large score is beyond all floats.", SHIFT),
        "ZeroDivisionError": ("A probability, or a sum of exponentials, underflows to 0.", SHIFT),
    }

    @property
    def title(self) -> str:
        """The layer and its dtype."""
        return f"softmax with cross-entropy, {'mean' if self.mean else 'sum'} over the mini-batch, {self.dtype}"

    def weight(self, probe: Probe) -> float:
        """What the loss of an image is multiplied by."""
        return 1 / probe.case.images if self.mean else 1.0

    # which numbers --------------------------------------------------------------------------------------------------

    def curriculum(self) -> Sequence[Sizes]:
        """Return scores around 0, then such as code fails for that does not subtract each image's largest score."""
        found = [Sizes(*sizes, what) for sizes in SIZES for what in ("", REAL)]
        found += [Sizes(*sizes, AROUND, level) for sizes in ((1, 2), (2, 3)) for level in (1000, -1000)]
        found += [Sizes(n, c, APART) for n in (2, 3) for c in (2, 3)]
        found += [Sizes(*sizes, NEAR, level) for sizes in ((1, 2), (2, 3)) for level in (1, 0)]
        return sorted(found, key=lambda case: case.numbers)

    def draw(self, case: Sizes, seed: int, number: int = 0) -> MiniBatch:
        """Draw integers near 0 or real numbers, and labels that are not all the same; then move the scores."""
        key = (seed, case.images, case.classes, len(case.special), abs(case.level), number)
        generator, sizes = np.random.default_rng(key), (case.images, case.classes)
        if case.special == REAL:
            size = generator.uniform(1, 2, sizes) * 2.0 ** generator.integers(-6, 2, sizes)
            s = size * generator.choice([-1, 1], sizes)
        else:
            s = exact.draw_integers(generator, sizes, max(3, math.prod(sizes)), self.dtype)
        labels = generator.permutation(np.arange(case.images) + generator.integers(case.classes)) % case.classes
        far, what = -VANISHES[self.dtype], case.special
        if what == AROUND:
            s, what = s + case.level, f"{AROUND} {case.level}"
        elif what == APART:
            s = s + far * np.eye(case.images)[:, [generator.integers(case.images)]]
        elif what == NEAR:
            high = (labels + 1 - case.level) % case.classes
            s, what = s + far * (1 - np.eye(case.classes)[high]), f"{NEAR} {case.level}"
        y = np.eye(case.classes, dtype=self.dtype)[labels]
        return MiniBatch(case, {"s": np.asarray(s).astype(self.dtype), "y": y}, what)

    def small(self, case: Sizes, seed: int) -> MiniBatch:
        """Draw integers near 0."""
        return self.draw(Sizes(case.images, case.classes), seed)

    def fresh(self, cases: Sequence[Sizes]) -> tuple[Sizes, Sizes, Sizes, Sizes]:
        """Choose mini-batches that the curriculum does not have."""
        return Sizes(3, 4), Sizes(4, 3), Sizes(5, 2), Sizes(2, 6)

    def observed(self, cases: Sequence[Sizes]) -> Sequence[Sizes]:
        """Choose a mini-batch of several images and classes."""
        return [Sizes(4, 5)]

    def smallest(self) -> Sequence[Sizes]:
        """Return small mini-batches."""
        return [Sizes(*sizes) for sizes in SIZES[:6]]

    # what is right --------------------------------------------------------------------------------------------------

    def right(self, probe: Probe) -> dict[str, Right]:
        """Compute both results with 60 digits."""
        import mpmath

        labels = probe.arrays["y"].argmax(axis=1)
        with mpmath.workdps(exact.DIGITS):
            powers = [[mpmath.exp(mpmath.mpf(float(score))) for score in row] for row in probe.arrays["s"]]
            p = [[power / mpmath.fsum(row) for power in row] for row in powers]
            weight = mpmath.mpf(1) / len(p) if self.mean else mpmath.mpf(1)
            rows = list(zip(p, labels, strict=True))
            ds = [[weight * (each - int(c == label)) for c, each in enumerate(row)] for row, label in rows]
            loss = weight * mpmath.fsum(-mpmath.log(row[label]) for row, label in rows)
        values = {"ds": np.array(ds, np.float64), "loss": np.array(loss, np.float64)}
        return {name: Right(value, self.bound(probe, value, self.dtype)) for name, value in values.items()}

    def share(self, probe: Probe, dtype: str) -> float:
        """Bound the error of any stable algorithm, for a loss and a gradient of one image, relative to 1 + |value|."""
        # With m = max|s|, z = s − max s in a row, and L = log C: the difference to the row's largest score, or to the
        # logarithm of its denominator, is off by at most u·(m + 2 max|z| + L). Powers and logarithms (2·ULPS units in
        # the last place each, the latter of L), the sum of C powers and three divisions or products make that K
        # roundings in all; a probability is off by a factor of at most e^{Ku}, its logarithm by Ku. The product of
        # −yᵀ/(yᵀp) and diag(p) − ppᵀ adds fewer than eight roundings of numbers of at most 2; a logarithm 4·ULPS, and
        # the mean N + 3.
        s = probe.wide["s"]
        (images, classes), logarithm = s.shape, math.log(s.shape[1])
        z = float(np.abs(s - s.max(axis=1, keepdims=True)).max())
        count = float(np.abs(s).max()) + 2 * z + (3 + 2 * exact.ULPS) * logarithm + classes + images
        return float(exact.gamma(math.ceil(count) + 8 * exact.ULPS + 22, dtype))

    def bound(self, probe: Probe, value: Array, dtype: str) -> Array:
        """Return how far a gradient, or a loss, of this value can be off."""
        tiny = float(np.finfo(self.dtype).smallest_normal)
        parts = self.weight(probe) * (1 if value.shape else probe.case.images)
        return np.asarray(self.share(probe, dtype) * (parts + np.abs(value)) + tiny)

    def lower(self, probe: Probe, name: str, dtype: str, right: Right) -> Array:
        """Bound the errors of a lower precision, whose u is larger: 2²⁹ times for float64 and float32."""
        return right.bound * float(exact.unit_roundoff(dtype) / exact.unit_roundoff(self.dtype))

    def reach(self, probe: Probe, letter: str) -> tuple[Probe, Reach] | None:
        """A NaN among the scores has to come in the gradient of its image, and in the loss; labels are 0 or 1."""
        if letter == "y":
            return None
        s = probe.arrays["s"].copy()
        s[-1, -1] = np.nan
        row = (np.arange(len(s)) == len(s) - 1)[:, None] & np.ones(s.shape, bool)
        return probe.replaced(s=s), {"ds": (row, row), "loss": (np.array(True), np.array(True))}

    # how it is written ----------------------------------------------------------------------------------------------

    def names(self, name: str, case: Sizes) -> list[str]:
        """Number the classes; those of image 2 end in ^(2)."""
        if name == "loss":
            return ["l"]
        ends = [f"^({image + 1})" if case.images > 1 else "" for image in range(case.images)]
        return [f"ds{c + 1}{end}" for end in ends for c in range(case.classes)]

    def symbols(self, subject: Subject, probe: Probe, name: str, at: int, got: Array) -> tuple[str, str] | None:
        """Write the right formula with its number."""
        if name == "loss":
            return None
        text, images = self.names("ds", probe.case)[at].replace("ds", "p"), probe.case.images
        own = bool(np.ravel(probe.arrays["y"])[at])
        if self.mean and images > 1:
            text = f"({text} − 1)/{images}" if own else f"{text}/{images}"
        elif own:
            text = f"{text} − 1"
        right, found = (written(float(np.ravel(each)[at])) for each in (self.right(probe)[name].value, got))
        return (f"{text} = {right}", found) if right != found else None

    # what else codes compute ----------------------------------------------------------------------------------------

    def explain(self, run: Run, comparisons: Sequence[Comparison]) -> Explanation | None:
        """Find a formula that gives all results."""
        return _read(self, comparisons)

    def lost(self, name: str, comparisons: Sequence[Comparison]) -> tuple[str, str, str] | None:
        """Tell by which kinds of scores give no numbers."""
        kinds = {each.probe.case.special for each in comparisons if each.kind == "not written"}
        if not kinds <= {*OVERFLOW, NEAR}:
            return None
        said = [words for kind, words in OVERFLOW.items() if kind in kinds][:1]
        said += [UNDERFLOW[name]] if NEAR in kinds else []
        titles, causes, cures = zip(*said, strict=True)
        return f"is not a number: {', and '.join(titles)}", " ".join(causes), " ".join(dict.fromkeys(cures))


# formulas that are tried ----------------------------------------------------------------------------------------------

# Title, cause and cure.
Words = tuple[str, str, str]
# What it gives for each image, title and cure; the plain formula is the cure where none is given.
Formula = tuple[Callable[[MiniBatch], Array], str, str]

EACH_ITS_OWN = "Give each image its own softmax: sum over the classes (axis=1), with keepdims=True."
STABLE = "Compute l = log Σ exp(s − max s) − (s[y] − max s), which needs no logarithm of a probability."
JACOBIAN = "Use −yᵀ/(yᵀp) times diag(p) − ppᵀ (L4), or ∂l/∂s = p − y."
NATURAL = "Use the natural logarithm."
WHOLE = "softmax runs over the whole mini-batch", EACH_ITS_OWN
OVER_IMAGES = "softmax runs over the images, not over the classes", EACH_ITS_OWN
TWICE = "softmax is applied twice", "The scores are already probabilities when softmax is applied again: apply it once."
PAIRS = (
    "all N × N pairs of an image and a label are summed",
    "Pair image m with label m alone: multiply elementwise and sum, or take the diagonal of s @ y.T.",
)


def _other_sums(m: MiniBatch) -> Array:
    """Divide by the sums of other images, as NumPy does where a column of N sums is taken for a row of C = N."""
    powers = np.exp(m.s - m.s.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1)) if len(m.s) == m.s.shape[1] else m.p


# Of each result: the right formula for one image, and what codes compute instead; q is the probability of its class.
FORMULAS: dict[str, dict[str, Formula]] = {
    "ds": {
        "p − y": (lambda m: m.p - m.y, "", "∂l/∂s = p − y for each image."),
        "−p + y": (lambda m: m.y - m.p, "it is y − p instead of p − y", ""),
        "p + y": (lambda m: m.p + m.y, "y is added, not subtracted", ""),
        "p": (lambda m: m.p, "−y is missing", ""),
        "−y": (lambda m: -m.y, "the Jacobian of softmax lacks −ppᵀ", JACOBIAN),
        "−y·(1 − p)": (
            lambda m: -m.y * (1 - m.p),
            "only the diagonal p(1 − p) of the Jacobian of softmax is used",
            JACOBIAN,
        ),
        "(p − y)·p·(1 − p)": (lambda m: (m.p - m.y) * m.p * (1 - m.p), "it is multiplied by p(1 − p) once more", ""),
        "q·(p − y)": (lambda m: m.of_class * (m.p - m.y), "the derivative of the logarithm is missing", JACOBIAN),
        "s − y": (lambda m: m.s - m.y, "the scores are used where probabilities are needed", ""),
        "p of the whole mini-batch − y": (lambda m: scipy.special.softmax(m.s) - m.y, *WHOLE),
        "p over the images − y": (lambda m: scipy.special.softmax(m.s, axis=0) - m.y, *OVER_IMAGES),
        "p of p − y": (lambda m: scipy.special.softmax(m.p, axis=1) - m.y, *TWICE),
        "p by other sums − y": (
            lambda m: _other_sums(m) - m.y,
            "exponentials are divided by the sums of other images",
            EACH_ITS_OWN,
        ),
        "N·p − Σ y": (lambda m: len(m.s) * m.p - m.y.sum(axis=0), *PAIRS),
    },
    "loss": {
        "−log q": (lambda m: m.loss_of(scipy.special.log_softmax(m.s, axis=1)), "", "l = −log(yᵀp) for each image."),
        "log q": (lambda m: -m.loss_of(scipy.special.log_softmax(m.s, axis=1)), "its sign is wrong", ""),
        "−q": (lambda m: -m.of_class[:, 0], "the logarithm is missing: −yᵀp", ""),
        "1 − q": (lambda m: 1 - m.of_class[:, 0], "the logarithm is missing: 1 − yᵀp", ""),
        "−Σ log p": (
            lambda m: -scipy.special.log_softmax(m.s, axis=1).sum(axis=1),
            "y is missing: all classes are summed",
            "",
        ),
        "−log q of the whole mini-batch": (lambda m: m.loss_of(scipy.special.log_softmax(m.s)), *WHOLE),
        "−log q over the images": (lambda m: m.loss_of(scipy.special.log_softmax(m.s, axis=0)), *OVER_IMAGES),
        "−log q of p": (lambda m: m.loss_of(scipy.special.log_softmax(m.p, axis=1)), *TWICE),
        "−Σ log p of all pairs": (lambda m: -scipy.special.log_softmax(m.s, axis=1) @ m.y.sum(axis=0), *PAIRS),
        "−log₂ q": (
            lambda m: m.loss_of(scipy.special.log_softmax(m.s, axis=1)) / math.log(2),
            "the logarithm is to base 2",
            NATURAL,
        ),
        "−log₁₀ q": (
            lambda m: m.loss_of(scipy.special.log_softmax(m.s, axis=1)) / math.log(10),
            "the logarithm is to base 10",
            NATURAL,
        ),
    },
}
# What a mini-batch of N images and C classes may be weighed by.
WEIGHTS: dict[str, tuple[Callable[[int, int], float], str]] = {
    "1": (lambda n, c: 1.0, "it is not divided by the number of images"),
    "1/N": (lambda n, c: 1 / n, "it is divided by the number of images"),
    "1/N²": (lambda n, c: 1 / n**2, "it is divided by the number of images twice"),
    "1/C": (lambda n, c: 1 / c, "it is divided by the number of classes"),
    "1/(N·C)": (lambda n, c: 1 / (n * c), "it is divided by images times classes"),
    "N": (lambda n, c: float(n), "it is multiplied by the number of images"),
    "C": (lambda n, c: float(c), "it is multiplied by the number of classes"),
}
MEAN = (
    "This audit expects the mean over the N images.",
    "Divide by N once, in the loss or in its gradient. If your loss is a sum, audit with mean=False (--sum).",
)
SUM = (
    "This audit expects the sum over the images.",
    "Do not divide. If your loss is a mean, audit with mean=True (no --sum).",
)
MOST_DENOMINATOR = 12


def _read(layer: Softmax, comparisons: Sequence[Comparison]) -> Explanation | None:
    """Find the formula, the weight of an image and the factor that give all results."""
    name, usable = comparisons[0].name, [each for each in comparisons if each.kind in {"values", "nothing"}]
    formulas = FORMULAS[name] | (_inside(usable) if name == "loss" else {})
    for weight, text in itertools.product(WEIGHTS, formulas):
        given = [_given(each, formulas[text][0], weight) for each in usable]
        if (factor := _factor(usable, given)) > 0 and all(
            _fits(layer, each, np.asarray(float(factor) * value), weight)
            for each, value in zip(usable, given, strict=True)
        ):
            return _said(layer, name, text, formulas[text], weight, factor)
    return None


def _given(each: Comparison, formula: Callable[[MiniBatch], Array], weight: str) -> Array:
    m: Any = each.probe
    with np.errstate(all="ignore"):
        rows = WEIGHTS[weight][0](m.case.images, m.case.classes) * formula(m)
    return np.asarray(rows if each.got.shape else rows.sum())


def _factor(usable: Sequence[Comparison], given: Sequence[Array]) -> Fraction:
    """Return the simple fraction by which formulas are multiplied, if by any."""
    pairs = [(each.got, value) for each, value in zip(usable, given, strict=True) if each.probe.what in {"", REAL}]
    above, below = sum(np.sum(got * value) for got, value in pairs), sum(np.sum(value**2) for _, value in pairs)
    return Fraction(float(above / below) if below else 0.0).limit_denominator(MOST_DENOMINATOR)


def _fits(layer: Softmax, each: Comparison, value: Array, weight: str) -> bool:
    """Whether a formula gives a result; four times the bound is allowed for, since terms differ from the right ones."""
    m: Any = each.probe
    of_image = WEIGHTS[weight][0](m.case.images, m.case.classes)
    room = layer.share(m, layer.dtype) * (np.abs(value) + of_image * m.case.images)
    room = room + layer.bound(m, value, layer.dtype) * max(1.0, of_image / layer.weight(m))
    return Right(value, np.asarray(4 * room)).allows(each.got)


def _inside(usable: Sequence[Comparison]) -> dict[str, Formula]:
    """Add a number to probabilities before their logarithm is taken, or clip them: it is read where they are near 0."""
    near_0 = [each for each in usable if each.probe.what == f"{NEAR} 0" and each.probe.case.images == 1]
    if not near_0 or near_0[0].kind == "nothing" or near_0[0].got <= 0:
        return {}
    eps = float(f"{math.exp(-near_0[0].got):.6g}")

    def log(change: Callable[[Array], Array]) -> Callable[[MiniBatch], Array]:
        return lambda m: -np.log(change(m.of_class[:, 0]))

    clipped = f"probabilities are clipped to {eps:g} …"
    return {
        f"−log(q + {eps:g})": (log(lambda q: q + eps), f"{eps:g} is added inside the logarithm", STABLE),
        f"−log(clip(q, {eps:g}, 1))": (log(lambda q: np.clip(q, eps, 1)), f"{clipped} 1", STABLE),
        f"−log(clip(q, {eps:g}, 1 − {eps:g}))": (
            log(lambda q: np.clip(q, eps, 1 - eps)), f"{clipped} 1 − {eps:g}", STABLE,
        ),
    }  # fmt: skip


def _said(layer: Softmax, name: str, text: str, formula: Formula, weight: str, factor: Fraction) -> Explanation | None:
    """Say in what the formula, the weight and a factor differ from the right ones."""
    right, (_, _, plain) = next(iter(FORMULAS[name].items()))
    wanted, said = "1/N" if layer.mean else "1", list[Words]()
    if text != right:
        _, title, cure = formula
        said.append((title, f"The code computes {text} instead of {right}.", cure or plain))
    if weight != wanted:
        said.append((WEIGHTS[weight][1], *(MEAN if layer.mean else SUM)))
    if factor != 1:
        times = {Fraction(2): "twice", Fraction(1, 2): "half of"}.get(factor, f"{factor} times")
        said.append((f"it is {times} what it should be", f"The factor {factor} is wrong.", "Remove it."))
    if not said:
        return None  # it is right up to rounding that is a little larger than that of stable algorithms
    titles, causes, cures = zip(*said, strict=True)
    label, number = layer.labels[name], "" if factor == 1 else f"{factor}·"
    code, line = f"{label} = {number}{weight}·({text})", f"{label} = {wanted}·({right})"
    return Explanation(", and ".join(titles), code, line, " ".join(causes), " ".join(cures), "softmax")


# Why results are no numbers at scores of some kind; those around a large number tell more than those that are apart.
OVERFLOW: dict[str, Words] = {
    AROUND: (
        "exp overflows for large scores",
        "exp(s) is ∞ from 710 on (float32: 89) and 0 from −746 on (−104): ∞/∞, 0/0 and log 0 are not finite numbers.",
        SHIFT,
    ),
    APART: (
        "the maximum is taken over the whole mini-batch",
        "If the scores of an image lie far below those of another, all its exponentials are 0: 0/0 and log 0 are not "
        "finite.",
        SHIFT,
    ),
}
# Why they are none where a probability is 0.
UNDERFLOW: dict[str, Words] = {
    "ds": (
        "−y/(yᵀp) divides by a probability of 0",
        "The probability of the image's class underflows.",
        "Use ∂l/∂s = p − y, which does not divide by a probability.",
    ),
    "loss": ("the logarithm of a probability of 0 is taken", "The probability of a class underflows.", STABLE),
}
