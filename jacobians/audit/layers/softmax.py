"""Softmax with cross-entropy: which formulas, factors and ranges codes are known to take instead of those of L3 and L4.

A gradient p − y, and a loss −log yᵀp, is compared with 60 digits, within a bound that every stable algorithm keeps.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mpmath
import numpy as np
from scipy.special import log_softmax, softmax

from jacobians.audit.layers import shared
from jacobians.audit.layers.shared import Array, Code, Comparison, Layer, Probe, Reach, Shape, Theory
from jacobians.evidence import exact
from jacobians.verify import reference
from jacobians.verify.reference import Rounded

__all__ = ["LAYERS", "probes"]

# Images, classes. One image alone hides a missing 1/N, and N = C an exchanged axis.
SIZES: tuple[tuple[int, int], ...] = ((1, 2), (1, 3), (2, 2), (2, 3), (3, 2), (3, 3), (1, 17), (2, 9), (4, 5))
# Differences at which exp is 0.
VANISHES = {"float64": 2000, "float32": 400}


class MiniBatch(Probe):
    """Scores s and one-hot labels y of N images and C classes, and what their losses are made of."""

    def __init__(self, s: Array, y: Array, what: str = "", *, mean: bool) -> None:
        super().__init__({"s": s, "y": y}, what)
        self.s, self.y, self.dtype = self.wide["s"], self.wide["y"], str(s.dtype)
        self.labels = self.y.argmax(axis=1)
        self.p = softmax(self.s, axis=1)
        self.of_class = (self.p * self.y).sum(axis=1)
        self.losses = self.loss_of(log_softmax(self.s, axis=1))
        self.mean, self.weight = mean, 1 / len(s) if mean else 1.0

    def like(self, arrays: dict[str, Array], what: str = "") -> MiniBatch:
        """Return a mini-batch of other scores, with the same labels: one-hot they have to be."""
        return MiniBatch(arrays["s"], self.arrays["y"], what, mean=self.mean)

    def loss_of(self, logarithms: Array) -> Array:
        """Return the loss of each image from the logarithms of probabilities."""
        return np.asarray(-logarithms[np.arange(len(self.s)), self.labels])

    @property
    def share(self) -> float:
        """How far any stable algorithm can be off, for a loss and a gradient of one image, relative to 1 + |value|.

        With m = max|s|, z = s − max s in a row, and L = log C: the difference to the row's largest score, or to the
        logarithm of its denominator, is off by at most u·(m + 2 max|z| + L). Powers and logarithms (2·ULPS units in the
        last place each, the latter of L), the sum of C powers and three divisions or products make that K roundings in
        all; a probability is off by a factor of at most e^{Ku}, its logarithm by Ku. The product of −yᵀ/(yᵀp) and
        diag(p) − ppᵀ adds fewer than eight roundings of numbers of at most 2; a logarithm 4·ULPS, and the mean N + 3.
        """
        (images, classes), logarithm = self.s.shape, math.log(self.s.shape[1])
        z = float(np.abs(self.s - self.s.max(axis=1, keepdims=True)).max())
        count = float(np.abs(self.s).max()) + 2 * z + (3 + 2 * reference.ULPS) * logarithm + classes + images
        return shared.gamma(math.ceil(count) + 8 * reference.ULPS + 22, self.dtype)

    def bound(self, value: Array) -> Array:
        """Return how far a gradient, or a loss, of this value can be off."""
        tiny = float(np.finfo(self.dtype).smallest_normal)
        parts = self.weight * (1 if value.shape else len(self.s))
        return np.asarray(self.share * (parts + np.abs(value)) + tiny)


def probes(dtype: str, seed: int, *, mean: bool) -> Iterator[MiniBatch]:
    """Yield scores around 0, then such as code fails for that does not subtract each image's largest score."""
    generator, others = (np.random.default_rng(each) for each in (seed, (seed, 1)))

    def draw(images: int, classes: int) -> MiniBatch:
        return _drawn(generator, (images, classes), dtype, mean=mean)

    def moved(m: MiniBatch, by: Any, what: str) -> MiniBatch:
        return MiniBatch((m.s + by).astype(dtype), m.arrays["y"], what, mean=mean)

    for sizes in SIZES:
        yield draw(*sizes)
        real = shared.reals(others, sizes, np.dtype(dtype))
        yield MiniBatch(
            real, np.eye(sizes[1], dtype=dtype)[others.integers(sizes[1], size=sizes[0])], shared.REAL, mean=mean
        )
    for sizes, level in itertools.product(((1, 2), (2, 3)), (1000, -1000)):
        yield moved(draw(*sizes), level, f"scores around {level}")
    far = -VANISHES[dtype]
    for images, classes in itertools.product((2, 3), (2, 3)):
        one = np.eye(images)[:, [generator.integers(images)]]
        yield moved(draw(images, classes), far * one, "images whose scores are far apart")
    for (images, classes), other in itertools.product(((1, 2), (2, 3)), (0, 1)):
        m = draw(images, classes)
        high = np.eye(classes)[(m.labels + other) % classes]
        yield moved(m, far * (1 - high), f"a class with a probability near {1 - other}")


def _drawn(generator: np.random.Generator, sizes: tuple[int, int], dtype: str, *, mean: bool) -> MiniBatch:
    """Draw integers near 0, and labels that are not all the same."""
    images, classes = sizes
    s = exact.draw_integers(generator, sizes, max(3, images * classes), dtype)
    labels = generator.permutation(np.arange(images) + generator.integers(classes)) % classes
    return MiniBatch(s, np.eye(classes, dtype=dtype)[labels], mean=mean)


def _draw(generator: np.random.Generator, dtype: str, at: int, *, mean: bool) -> MiniBatch:
    return _drawn(generator, ((4, 3), (3, 4), (2, 6))[at], dtype, mean=mean)


def _right(probe: MiniBatch) -> dict[str, Rounded]:
    """Compute both results with 60 digits."""
    with mpmath.workdps(reference.DIGITS):
        powers = [[mpmath.exp(mpmath.mpf(score)) for score in row] for row in probe.s]
        p = [[power / mpmath.fsum(row) for power in row] for row in powers]
        weight = mpmath.mpf(1) / len(p) if probe.weight < 1 else mpmath.mpf(1)
        ds = [[weight * (each - int(c == label)) for c, each in enumerate(row)]
              for row, label in zip(p, probe.labels, strict=True)]  # fmt: skip
        loss = weight * mpmath.fsum(-mpmath.log(row[label]) for row, label in zip(p, probe.labels, strict=True))
    values = {"ds": np.array(ds, np.float64), "loss": np.array(loss, np.float64)}
    return {name: Rounded(value, probe.bound(value)) for name, value in values.items()}


def _reach(probe: MiniBatch, letter: str) -> Reach | None:
    """A NaN among the scores has to come in the gradient of its image, and in the loss; labels are 0 or 1."""
    if letter == "y":
        return None
    row = (np.arange(len(probe.s)) == len(probe.s) - 1)[:, None] & np.ones(probe.s.shape, bool)
    return probe.s.size - 1, {"ds": (row, row), "loss": (np.array(True), np.array(True))}


def _names(name: str, shape: Shape) -> list[str]:
    return shared.of_images([f"ds{c + 1}" for c in range(shape[1])], shape[0]) if name == "ds" else ["l"]


def _symbols(_code: Code, each: Comparison, theory: Theory | None, at: int) -> tuple[str, str] | None:
    """Write the right formula and that of the theory with their numbers."""
    if each.name == "loss":
        return None
    right, got = shared.in_numbers(each, at)
    wanted = _over(_text(RIGHT, each.probe, at), 1 / each.probe.weight)
    found = theory.write(each.probe, at) if theory and theory.write and np.isfinite(each.got.flat[at]) else ""
    # Of what is a number already, one is enough.
    return f"{wanted} = {right}", f"{found} = {got}" if "p" in found or "s" in found else got


# An entry of the image's class, and one of another; p and s are its own, q is the probability of the image's class.
Texts = tuple[str, str]
RIGHT: Texts = ("{p} − 1", "{p}")


def _text(texts: Texts, probe: MiniBatch, at: int) -> str:
    image, c = divmod(at, probe.s.shape[1])
    of, label = (f"^({image + 1})" if len(probe.s) > 1 else ""), probe.labels[image]
    return texts[int(label != c)].format(p=f"p{c + 1}{of}", s=f"s{c + 1}{of}", q=f"p{label + 1}{of}")


def _over(text: str, divisor: float) -> str:
    bare = not any(sign in text[1:] for sign in "+−·")
    whole = text if bare or divisor == 1 else f"({text})"
    if divisor == round(divisor):
        return whole if divisor == 1 else f"{whole}/{round(divisor)}"
    return f"{1 / divisor:.6g}·{whole}"


# wrong formulas -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Mistake:
    """What code computes of each image, or by what it weighs the images; `texts` write an entry in symbols."""

    title: str
    cause: str
    cure: str
    of: Callable[[MiniBatch], Any]
    texts: Texts | None = None


EACH_ITS_OWN = "Give each image its own softmax: sum over the classes (axis=1), with keepdims=True."
PAIRS = (
    "all N × N pairs of an image and a label are summed",
    "An N × C array times the transpose of another gives N × N numbers, of which only the diagonal counts.",
    "Multiply elementwise and sum: image m meets label m alone.",
)


def _other_sums(m: MiniBatch) -> Array | None:
    """Divide by the sums of other images, as NumPy does where a column of N sums is taken for a row of C = N."""
    powers = np.exp(m.s - m.s.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1)) - m.y if len(m.s) == m.s.shape[1] else None


def _gradients() -> tuple[Mistake, ...]:
    right, jacobian = "∂l/∂s = p − y for each image.", "Use diag(p) − ppᵀ (L4), or p − y."
    return (
        Mistake("y − p stands where p − y is needed", "The minus of l = −log(yᵀp) is lost.", right,
                lambda m: m.y - m.p, ("1 − {p}", "−{p}")),
        Mistake("−y is missing", "The probabilities are returned.", right, lambda m: m.p, ("{p}", "{p}")),
        Mistake("the Jacobian of softmax lacks −ppᵀ", "−y/(yᵀp) is multiplied by diag(p) alone.", jacobian,
                lambda m: -m.y, ("−1", "0")),
        Mistake("only the diagonal p(1 − p) of the Jacobian of softmax is used",
                "Each probability is taken to depend on its own score alone.", jacobian,
                lambda m: m.y * (m.p - 1), ("{p} − 1", "0")),
        Mistake("p(1 − p) is multiplied on once more", "p − y is the gradient of the scores already.", right,
                lambda m: (m.p - m.y) * m.p * (1 - m.p), ("({p} − 1)·{p}(1 − {p})", "{p}·{p}(1 − {p})")),
        Mistake("the derivative of the logarithm is missing", "−y is multiplied by diag(p) − ppᵀ without 1/(yᵀp).",
                "Start with −yᵀ/(yᵀp), or use p − y.", lambda m: (m.p - m.y) * m.of_class[:, None],
                ("({p} − 1)·{q}", "{p}·{q}")),
        Mistake("the scores stand where probabilities are needed", "s − y is returned.", right, lambda m: m.s - m.y,
                ("{s} − 1", "{s}")),
        Mistake("softmax runs over the whole mini-batch", "All N·C exponentials are summed.", EACH_ITS_OWN,
                lambda m: softmax(m.s) - m.y),
        Mistake("softmax runs over the images, not over the classes", "The wrong axis is summed.", EACH_ITS_OWN,
                lambda m: softmax(m.s, axis=0) - m.y),
        Mistake("softmax is taken twice", "The scores that are taken are probabilities already.", "Apply softmax once.",
                lambda m: softmax(m.p, axis=1) - m.y),
        Mistake("exponentials are divided by the sums of other images",
                "A column of N sums is taken for a row of C, which NumPy allows where N = C.", EACH_ITS_OWN,
                _other_sums),
        Mistake(*PAIRS, lambda m: len(m.s) * m.p - m.y.sum(axis=0)),
    )  # fmt: skip


STABLE = "Compute l = log Σ exp(s − max s) − (s[y] − max s), which needs no logarithm of a probability."


def _losses() -> Iterator[Mistake]:
    right = "l = −log(yᵀp) for each image."
    yield from (
        Mistake("its sign is wrong", "The minus of l = −log(yᵀp) is lost.", right, lambda m: -m.losses),
        Mistake("the logarithm is missing: −yᵀp", "The probability is returned.", right, lambda m: -m.of_class),
        Mistake("the logarithm is missing: 1 − yᵀp", "The probability is returned.", right, lambda m: 1 - m.of_class),
        Mistake("the logarithm is to base 2", "log2 is used.", "Use the natural logarithm.",
                lambda m: m.losses / math.log(2)),
        Mistake("the logarithm is to base 10", "log10 is used.", "Use the natural logarithm.",
                lambda m: m.losses / math.log(10)),
        Mistake("y is missing: all classes are summed", "−Σ log p is returned.", right,
                lambda m: -log_softmax(m.s, axis=1).sum(axis=1)),
        Mistake("softmax runs over the whole mini-batch", "All N·C exponentials are summed.", EACH_ITS_OWN,
                lambda m: m.loss_of(log_softmax(m.s))),
        Mistake("softmax runs over the images, not over the classes", "The wrong axis is summed.", EACH_ITS_OWN,
                lambda m: m.loss_of(log_softmax(m.s, axis=0))),
        Mistake("softmax is taken twice", "The scores that are taken are probabilities already.", "Apply softmax once.",
                lambda m: m.loss_of(log_softmax(m.p, axis=1))),
        Mistake(*PAIRS, lambda m: -log_softmax(m.s, axis=1) @ m.y.sum(axis=0)),
    )  # fmt: skip
    for eps in (10.0**-digits for digits in range(5, 21)):
        added, cause = f"{eps:g} is added inside the logarithm", "It avoids log(0), and changes the loss."
        yield Mistake(added, cause, STABLE, functools.partial(_log_of, 0.0, 1.0, eps))
        for low, high, ends in ((eps, 1.0, f"{eps:g} … 1"), (eps, 1 - eps, f"{eps:g} … 1 − {eps:g}")):
            clipped = f"probabilities are clipped to {ends}"
            yield Mistake(clipped, cause, STABLE, functools.partial(_log_of, low, high, 0.0))


def _log_of(low: float, high: float, plus: float, m: MiniBatch) -> Array:
    return np.asarray(-np.log(np.clip(m.of_class, low, high) + plus))


def _weights() -> tuple[Mistake, ...]:
    """List what the loss of an image may be weighed by; that of a mean and of a sum is right for one of them."""
    once = "Divide once, by N: in the loss or in its gradient, not in both."
    return (
        Mistake("it is not divided by the number of images", "A mean over the mini-batch was asked for.",
                "Divide by N. Is your loss a sum? Audit with mean=False (--sum).",
                lambda m: 1),
        Mistake("it is divided by the number of images", "The mean is taken, and a sum was asked for.",
                "Divide by nothing. Is your loss a mean? Audit with mean=True (no --sum).", lambda m: 1 / len(m.s)),
        Mistake("it is divided by the number of images twice", "It is divided by N·N.", once,
                lambda m: 1 / len(m.s) ** 2),
        Mistake("it is divided by the number of classes", "The mean is taken over the wrong axis.",
                "A mean is over N, the number of rows; a sum is divided by nothing.", lambda m: 1 / m.s.shape[1]),
        Mistake("it is divided by images times classes", "The mean is over all N·C numbers.",
                "A mean is over N, the number of rows; a sum is divided by nothing.", lambda m: 1 / m.s.size),
        Mistake("it is multiplied by the number of images", "A factor N is too many.", "Leave it out.",
                lambda m: len(m.s) * m.weight),
        Mistake("it is twice what it should be", "It is added twice, or is the gradient of a square.",
                "Leave the 2 out.", lambda m: 2 * m.weight),
        Mistake("it is half of what it should be", "A factor ½ is too many.", "Leave the ½ out.",
                lambda m: m.weight / 2),
    )  # fmt: skip


def _theories() -> Iterator[Theory]:
    """Yield single mistakes, then a wrong formula with a wrong weight."""
    for about, formulas in (("ds", _gradients()), ("loss", tuple(_losses()))):
        pairs = list(itertools.product((None, *formulas), (None, *_weights())))
        for formula, weight in sorted(pairs, key=lambda pair: sum(part is not None for part in pair))[1:]:
            given = [part for part in (formula, weight) if part]
            yield Theory(
                about,
                ", and ".join(part.title for part in given),
                " ".join(part.cause for part in given),
                " ".join(part.cure for part in given),
                shared.matches(functools.partial(_predicted, about, formula, weight)),
                functools.partial(_written, formula, weight),
            )


def _predicted(about: str, formula: Mistake | None, weight: Mistake | None, m: MiniBatch) -> Rounded | None:
    """Weigh a formula; four times the bound is allowed for, since terms differ from the right ones."""
    each = formula.of(m) if formula else m.p - m.y if about == "ds" else m.losses
    if each is None:
        return None
    by = weight.of(m) if weight else m.weight
    value = np.asarray((each if about == "ds" else each.sum()) * by)
    return Rounded(value, 4 * m.bound(value) * max(1.0, by / m.weight))


def _written(formula: Mistake | None, weight: Mistake | None, m: MiniBatch, at: int) -> str:
    texts = formula.texts if formula else RIGHT
    return _over(_text(texts, m, at), 1 / (weight.of(m) if weight else m.weight)) if texts else ""


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
SHIFT = "Subtract each image's largest score first: exp(s − s.max(axis=1, keepdims=True))."
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
    s, y = each.probe.arrays["s"], each.probe.y
    with np.errstate(all="ignore"):
        powers = np.exp(s - shift(s))
        p = powers / powers.sum(axis=1, keepdims=True)
    none = np.isnan(p).any(axis=1)
    if zero:
        none |= ((p == 0) & ((y > 0) | (zero == "of any"))).any(axis=1)
    bad = ~np.isfinite(each.got)
    return np.array_equal(none, bad.any(axis=1)) if bad.shape else bool(none.any() == bad)


def _layer(*, mean: bool) -> Layer:
    return Layer(
        title=f"softmax with cross-entropy, {'mean' if mean else 'sum'} over the mini-batch",
        unit="mini-batch",
        anchor="softmax",
        labels={"loss": "l", "ds": "∂l/∂s"},
        takes={"forward": ("s", "y"), "backward": ("s", "y")},
        gives={"forward": ("loss",), "backward": ("ds",)},
        right=_right,
        theories=THEORIES,
        names=_names,
        symbols=_symbols,
        draw=functools.partial(_draw, mean=mean),
        reach=_reach,
        lost=_lost,
        dtypes=("float64", "float32"),
        raised={
            "OverflowError": ("exp of a large score is beyond all floats.", SHIFT),
            "ZeroDivisionError": ("A probability, or a sum of exponentials, underflows to 0.", SHIFT),
        },
    )


THEORIES = tuple(_theories())
LAYERS = {mean: _layer(mean=mean) for mean in (True, False)}
