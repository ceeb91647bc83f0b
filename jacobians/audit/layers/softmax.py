"""Softmax with cross-entropy: what codes compute, solved for its coefficients from what the loss and p are made of.

A gradient p − y, and a loss −log yᵀp, is compared with 60 digits, within a bound that every stable algorithm keeps.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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
# A small one, a larger one, and two more, all unused.
FRESH: tuple[tuple[int, int], ...] = ((3, 4), (4, 3), (5, 2), (2, 6))
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
        return np.asarray(self.arrays["s"], np.float64)

    @property
    def y(self) -> Array:
        """The labels."""
        return np.asarray(self.arrays["y"], np.float64)

    @property
    def labels(self) -> Array:
        """The class of each image."""
        return np.asarray(self.y.argmax(axis=1))

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
        return np.asarray(-logarithms[np.arange(len(self.s)), self.labels])

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
        small, large, second, third = itertools.starmap(Sizes, FRESH)
        return small, large, second, third

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
        s = np.asarray(probe.arrays["s"], np.float64)
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
        image, c = divmod(at, probe.case.classes)
        p = f"p{c + 1}" + (f"^({image + 1})" if probe.case.images > 1 else "")
        own = bool(probe.arrays["y"][image, c])
        text = f"{p} − 1" if own else p
        if self.mean and probe.case.images > 1:
            text = f"({text})/{probe.case.images}" if own else f"{text}/{probe.case.images}"
        right, found = (written(float(np.ravel(each)[at])) for each in (self.right(probe)[name].value, got))
        return (f"{text} = {right}", found) if right != found else None

    # what else codes compute ----------------------------------------------------------------------------------------

    def explain(self, run: Run, comparisons: Sequence[Comparison]) -> Explanation | None:
        """Solve for the coefficients of what the result may be made of."""
        return _solved(self, comparisons) or _inside(self, comparisons)

    def lost(self, name: str, comparisons: Sequence[Comparison]) -> tuple[str, str, str] | None:
        """Find the algorithm that gives no number for the same images."""
        return _lost(name, comparisons)


# solving for coefficients ---------------------------------------------------------------------------------------------

Basis = dict[str, Callable[[MiniBatch], Array]]
Coefficients = dict[str, Fraction]


def _other_sums(m: MiniBatch) -> Array:
    """Divide by the sums of other images, as NumPy does where a column of N sums is taken for a row of C = N."""
    powers = np.exp(m.s - m.s.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1)) if len(m.s) == m.s.shape[1] else m.p


# What the gradient of an image may be made of. q is the probability of its class.
GRADIENT: Basis = {
    "p": lambda m: m.p,
    "y": lambda m: m.y,
    "p²": lambda m: m.p**2,
    "p³": lambda m: m.p**3,
    "y·p": lambda m: m.y * m.p,
    "y·p²": lambda m: m.y * m.p**2,
    "q·p": lambda m: m.of_class * m.p,
    "1": lambda m: np.ones_like(m.p),
    "s": lambda m: m.s,
    "p of the whole mini-batch": lambda m: scipy.special.softmax(m.s),
    "p over the images": lambda m: scipy.special.softmax(m.s, axis=0),
    "p of p": lambda m: scipy.special.softmax(m.p, axis=1),
    "p by other sums": _other_sums,
    "N·p": lambda m: len(m.s) * m.p,
    "the sum of all y": lambda m: np.broadcast_to(m.y.sum(axis=0), m.y.shape),
}
# And its loss.
LOSS: Basis = {
    "−log q": lambda m: m.loss_of(scipy.special.log_softmax(m.s, axis=1)),
    "q": lambda m: m.of_class[:, 0],
    "1": lambda m: np.ones(len(m.s)),
    "−Σ log p": lambda m: -scipy.special.log_softmax(m.s, axis=1).sum(axis=1),
    "−log q of the whole mini-batch": lambda m: m.loss_of(scipy.special.log_softmax(m.s)),
    "−log q over the images": lambda m: m.loss_of(scipy.special.log_softmax(m.s, axis=0)),
    "−log q of p": lambda m: m.loss_of(scipy.special.log_softmax(m.p, axis=1)),
    "the sum of −log p over all pairs": lambda m: -scipy.special.log_softmax(m.s, axis=1) @ m.y.sum(axis=0),
}
# What an image may be weighed by, of N images and C classes.
WEIGHTS: dict[str, Callable[[int, int], float]] = {
    "": lambda n, c: 1.0,
    "1/N": lambda n, c: 1 / n,
    "1/N²": lambda n, c: 1 / n**2,
    "1/C": lambda n, c: 1 / c,
    "1/(N·C)": lambda n, c: 1 / (n * c),
    "N": lambda n, c: float(n),
    "C": lambda n, c: float(c),
}
# Factors of coefficients that are no fractions, with what they are the factor of.
BASES = {2: 1 / math.log(2), 10: 1 / math.log(10)}
MOST_DENOMINATOR = 12


@dataclasses.dataclass(frozen=True)
class Solution:
    """A weight, a factor that is no fraction if there is one, and the coefficients of what is summed."""

    weight: str
    base: int | None
    coefficients: Coefficients

    def formula(self, label: str) -> str:
        """Write it."""
        terms = ""
        for name, c in self.coefficients.items():
            size = "" if abs(c) == 1 else f"{abs(c)}·"
            sign = (" − " if c < 0 else " + ") if terms else ("−" if c < 0 else "")
            terms += (
                f"{sign}{size}{name}" if not (sign in {"", "−"} and name.startswith("−")) else f"{sign}{size}({name})"
            )
        log = f" ÷ log {self.base}" if self.base else ""
        return f"{label} = {self.weight or '1'}·({terms}){log}"


def _solved(layer: Softmax, comparisons: Sequence[Comparison]) -> Explanation | None:
    """Explain a result that is a weighted sum of the basis."""
    name = comparisons[0].name
    basis = GRADIENT if name == "ds" else LOSS
    usable = [each for each in comparisons if each.kind in {"values", "nothing"}]
    plain = [each for each in usable if each.probe.what in {"", REAL}]
    if not plain:
        return None
    bases: list[tuple[int | None, float]] = [(None, 1.0), *(BASES.items() if name == "loss" else ())]
    for label, (base, factor) in itertools.product(WEIGHTS, bases):
        for coefficients in _coefficients(plain, basis, label, factor):
            if all(_fits(layer, each, basis, coefficients, label, factor) for each in usable):
                return _said(layer, name, Solution(label, base, coefficients))
    return None


def _coefficients(plain: Sequence[Comparison], basis: Basis, label: str, factor: float) -> Iterator[Coefficients]:
    """Solve for simple fractions, which fit or do not."""
    columns, right = [], []
    for each in plain:
        weight = WEIGHTS[label](each.probe.case.images, each.probe.case.classes) * factor
        parts = [weight * np.asarray(of(each.probe)) for of in basis.values()]  # type: ignore[arg-type]  # a mini-batch
        scalar = not each.got.shape
        columns.append(np.stack([np.atleast_1d(part.sum()) if scalar else part.ravel() for part in parts], axis=1))
        right.append(np.atleast_1d(each.got.ravel()))
    matrix, wanted = np.concatenate(columns), np.concatenate(right)
    # What is summed over one image is the same twice: take what depends on the others alone out, first.
    names = list(basis)
    for few in (names[:9], [*names[:2], *names[9:]]) if len(names) > 8 else (names,):
        found, _, rank, _ = np.linalg.lstsq(matrix[:, [names.index(each) for each in few]], wanted, rcond=None)
        near = [Fraction(float(c)).limit_denominator(MOST_DENOMINATOR) for c in found]
        if rank == len(few) and any(near):
            yield {each: c for each, c in zip(few, near, strict=True) if c}


def _fits(
    layer: Softmax, each: Comparison, basis: Basis, coefficients: Coefficients, label: str, factor: float
) -> bool:
    """Whether a formula gives a result; four times the bound is allowed for, since terms differ from the right ones."""
    m: Any = each.probe
    weight = WEIGHTS[label](m.case.images, m.case.classes) * factor
    with np.errstate(all="ignore"):
        parts = [float(c) * np.asarray(basis[name](m)) for name, c in coefficients.items()]
    rows = weight * np.sum(parts, axis=0)
    value = rows if each.got.shape else rows.sum()
    size = weight * np.sum(np.abs(parts), axis=0)
    room = 4 * layer.share(m, layer.dtype) * (size if each.got.shape else size.sum() + weight * m.case.images)
    room = room + 4 * layer.bound(m, np.asarray(value), layer.dtype) * max(1.0, weight / layer.weight(m))
    return Right(np.asarray(value), np.asarray(room)).allows(each.got)


EACH_ITS_OWN = "Give each image its own softmax: sum over the classes (axis=1), with keepdims=True."
STABLE = "Compute l = log Σ exp(s − max s) − (s[y] − max s), which needs no logarithm of a probability."
DIFFERENCE, LOGARITHM = "∂l/∂s = p − y for each image.", "l = −log(yᵀp) for each image."
# In the place of p, or of q in a loss: what it means, why, and what to do.
OTHER_P = {
    "of the whole mini-batch": (
        "softmax runs over the whole mini-batch", "All N·C exponentials are summed.", EACH_ITS_OWN,
    ),
    "over the images": (
        "softmax runs over the images, not over the classes", "The wrong axis is summed.", EACH_ITS_OWN,
    ),
    "of p": ("softmax is taken twice", "The scores that are taken are probabilities already.", "Apply softmax once."),
    "by other sums": (
        "exponentials are divided by the sums of other images",
        "A column of N sums is taken for a row of C, which NumPy allows where N = C.",
        EACH_ITS_OWN,
    ),
}  # fmt: skip
PAIRS = (
    "all N × N pairs of an image and a label are summed",
    "An N × C array times the transpose of another gives N × N numbers, of which only the diagonal counts.",
    "Multiply elementwise and sum: image m meets label m alone.",
)


def _said(layer: Softmax, name: str, found: Solution) -> Explanation:
    """Say in what the coefficients and the weight differ from the right ones."""
    label, wanted = ("∂l/∂s", {"p": 1, "y": -1}) if name == "ds" else ("l", {"−log q": 1})
    coefficients, scale = _scaled(found.coefficients, wanted)
    parts = [each for each in (_differs(name, coefficients, found.base), _weighed(layer, found.weight, scale)) if each]
    title, cause, cure = (
        glue.join(texts) for glue, texts in zip((", and ", " ", " "), zip(*parts, strict=True), strict=True)
    )
    right = f"{label} = {'1/N' if layer.mean else '1'}·({'p − y' if name == 'ds' else '−log q'})"
    return Explanation(title, found.formula(label), right, cause, cure, "softmax")


def _scaled(found: Coefficients, wanted: Mapping[str, int]) -> tuple[Coefficients, Fraction]:
    """Divide by a positive factor, where what is left is what is wanted, or what is smallest is 1 then."""
    least = min(abs(c) for c in found.values())
    if {name: c / least for name, c in found.items()} == wanted:
        return {name: c / least for name, c in found.items()}, least
    return found, Fraction(1)


def _differs(name: str, c: Coefficients, base: int | None) -> tuple[str, str, str] | None:
    """Say which terms are missing, too many, or in the place of others."""
    if base:
        return f"the logarithm is to base {base}", f"log{base} is used.", "Use the natural logarithm."
    if c == ({"p": 1, "y": -1} if name == "ds" else {"−log q": 1}):
        return None
    for term, words in OTHER_P.items():
        if f"p {term}" in c or f"−log q {term}" in c:
            return words
    if "the sum of all y" in c or "the sum of −log p over all pairs" in c:
        return PAIRS
    if name == "loss":
        return _other_loss(c)
    return _other_gradient(c)


def _other_loss(c: Coefficients) -> tuple[str, str, str]:
    if c == {"−log q": -1}:
        return "its sign is wrong", "The minus of l = −log(yᵀp) is lost.", LOGARITHM
    if set(c) <= {"q", "1"} and c.get("q") == -1:
        return (
            f"the logarithm is missing: {'1 − yᵀp' if '1' in c else '−yᵀp'}",
            "The probability is returned.",
            LOGARITHM,
        )
    if c == {"−Σ log p": 1}:
        return "y is missing: all classes are summed", "−Σ log p is returned.", LOGARITHM
    return f"it is {Solution('', None, c).formula('l').partition('·')[2]}", "Other terms are summed.", LOGARITHM


def _other_gradient(c: Coefficients) -> tuple[str, str, str]:
    """Factor the coefficients: p − y with another sign, without a term, or times another factor."""
    jacobian = "Use diag(p) − ppᵀ (L4), or p − y."
    known = {
        ("−p", "y"): ("y − p stands where p − y is needed", "The minus of l = −log(yᵀp) is lost.", DIFFERENCE),
        ("p",): ("−y is missing", "The probabilities are returned.", DIFFERENCE),
        ("−y",): ("the Jacobian of softmax lacks −ppᵀ", "−y/(yᵀp) is multiplied by diag(p) alone.", jacobian),
        ("−y", "y·p"): (
            "only the diagonal p(1 − p) of the Jacobian of softmax is used",
            "Each probability is taken to depend on its own score alone.",
            jacobian,
        ),
        ("p²", "−p³", "−y·p", "y·p²"): (
            "p(1 − p) is multiplied on once more",
            "p − y is the gradient of the scores already.",
            DIFFERENCE,
        ),
        ("−y·p", "q·p"): (
            "the derivative of the logarithm is missing",
            "−y is multiplied by diag(p) − ppᵀ without 1/(yᵀp).",
            "Start with −yᵀ/(yᵀp), or use p − y.",
        ),
    }
    if all(abs(value) == 1 for value in c.values()) and (
        words := known.get(tuple(f"{'−' * (value < 0)}{term}" for term, value in c.items()))
    ):
        return words
    if "s" in c:
        return "the scores stand where probabilities are needed", "s − y is returned.", DIFFERENCE
    return f"it is {Solution('', None, c).formula('').partition('·')[2]}", "Other terms are summed.", DIFFERENCE


def _weighed(layer: Softmax, weight: str, scale: Fraction) -> tuple[str, str, str] | None:
    """Say by what the mini-batch is weighed, if that is wrong."""
    once = "Divide once, by N: in the loss or in its gradient, not in both."
    wrong_axis = "A mean is over N, the number of rows; a sum is divided by nothing."
    said: tuple[str, str, str] | None = None
    if weight != ("1/N" if layer.mean else ""):
        said = {
            "": ("it is not divided by the number of images", "A mean over the mini-batch was asked for.",
                 "Divide by N. Is your loss a sum? Audit with mean=False (--sum)."),
            "1/N": ("it is divided by the number of images", "The mean is taken, and a sum was asked for.",
                    "Divide by nothing. Is your loss a mean? Audit with mean=True (no --sum)."),
            "1/N²": ("it is divided by the number of images twice", "It is divided by N·N.", once),
            "1/C": ("it is divided by the number of classes", "The mean is taken over the wrong axis.", wrong_axis),
            "1/(N·C)": ("it is divided by images times classes", "The mean is over all N·C numbers.", wrong_axis),
            "N": ("it is multiplied by the number of images", "A factor N is too many.", "Leave it out."),
            "C": ("it is multiplied by the number of classes", "A factor C is too many.", "Leave it out."),
        }[weight]  # fmt: skip
    if scale == 1:
        return said
    title = {Fraction(2): "twice", Fraction(1, 2): "half of"}.get(scale, f"{scale} times")
    factor = (f"it is {title} what it should be", f"A factor {scale} is too many.", "Leave it out.")
    return (
        factor if said is None else (f"{said[0]}, and {factor[0]}", f"{said[1]} {factor[1]}", f"{said[2]} {factor[2]}")
    )


def _inside(layer: Softmax, comparisons: Sequence[Comparison]) -> Explanation | None:
    """Find what is added to a probability before its logarithm is taken, or what it is clipped to."""
    if comparisons[0].name != "loss":
        return None
    usable = [each for each in comparisons if each.kind in {"values", "nothing"}]
    single = [each for each in usable if each.probe.case.images == 1]
    near_0 = next((each for each in single if each.probe.what == f"{NEAR} 0"), None)
    if near_0 is None or near_0.kind == "nothing":
        return None
    eps = float(f"{math.exp(-float(near_0.got)):.6g}")
    for title, inside in (
        (f"{eps:g} is added inside the logarithm", lambda q: q + eps),
        (f"probabilities are clipped to {eps:g} … 1", lambda q: np.clip(q, eps, 1)),
        (f"probabilities are clipped to {eps:g} … 1 − {eps:g}", lambda q: np.clip(q, eps, 1 - eps)),
    ):
        if eps < 1 and all(_is_inside(layer, each, inside) for each in usable):
            formula = "l = −log(q + ε)" if "added" in title else "l = −log(clip(q))"
            cause = "It avoids log(0), and changes the loss."
            return Explanation(title, formula.replace("ε", f"{eps:g}"), "l = −log q", cause, STABLE, "softmax")
    return None


def _is_inside(layer: Softmax, each: Comparison, inside: Callable[[Array], Array]) -> bool:
    m: Any = each.probe
    with np.errstate(all="ignore"):
        value = np.asarray(layer.weight(m) * -np.log(inside(m.of_class)).sum())
    return Right(value, 4 * layer.bound(m, value, layer.dtype)).allows(each.got)


# what is not a number -------------------------------------------------------------------------------------------------


NOT_EACH = (
    (
        "exp overflows for large scores",
        "exp(s) is ∞ from 710 on (float32: 89) and 0 from −746 on (−104): ∞/∞, 0/0 and log 0 are no numbers.",
        lambda s: 0,
    ),
    (
        "the maximum is taken over the whole mini-batch",
        "All exponentials of an image whose scores lie far below another's are 0: 0/0 and log 0 are no numbers.",
        lambda s: s.max(),
    ),
    ("", "", lambda s: s.max(axis=1, keepdims=True)),
)
# Of a gradient and of a loss: title, cause and cure of dividing by, or of the logarithm of, a probability of 0.
UNDERFLOW = {
    "ds": ("−y/(yᵀp) divides by a probability of 0", "The probability of the image's class underflows.",
           "Use ∂l/∂s = p − y, which divides by no probability."),
    "loss": ("the logarithm is taken of a probability of 0", "The probability of a class underflows.", STABLE),
}  # fmt: skip


def _lost(name: str, mine: Sequence[Comparison]) -> tuple[str, str, str] | None:
    """Find the algorithm that gives no number for the same images, in arithmetic of their dtype."""
    for (shifted, because, shift), zero in itertools.product(NOT_EACH, (None, "of the class", "of any")):
        if (shifted or zero) and all(_is_lost(each, shift, zero) for each in mine):
            title, cause, cure = UNDERFLOW[name] if zero else ("", "", "")
            both = ", and ".join(part for part in (shifted, title) if part)
            joined = " ".join(part for part in (because, cause) if part)
            return f"is not a number: {both}", joined, " ".join(part for part in (SHIFT * bool(shifted), cure) if part)
    return None


def _is_lost(each: Comparison, shift: Callable[[Array], Any], zero: str | None) -> bool:
    s, y = each.probe.arrays["s"], each.probe.arrays["y"]
    with np.errstate(all="ignore"):
        powers = np.exp(s - shift(s))
        p = powers / powers.sum(axis=1, keepdims=True)
    none = np.isnan(p).any(axis=1)
    if zero:
        none |= ((p == 0) & ((y > 0) | (zero == "of any"))).any(axis=1)
    bad = ~np.isfinite(each.got)
    return np.array_equal(none, bad.any(axis=1)) if bad.shape else bool(none.any() == bad)
