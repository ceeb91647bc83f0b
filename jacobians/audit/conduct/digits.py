"""Zeros, fractions and real numbers: what integers as large as a dtype holds exactly cannot show."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from jacobians.audit.compare import Comparison, Run, times, written
from jacobians.audit.factors import differ, multiple
from jacobians.audit.findings import Because, finding
from jacobians.audit.layer import Probe
from jacobians.audit.report import Finding
from jacobians.evidence import exact

__all__ = ["DIGITS", "LOWER", "added", "digits", "tells"]

DIGITS = (
    "Small numbers or last digits are rounded off, replaced or changed, for example by np.round, a conversion to "
    "integers, or a constant that is added.",
    "Keep the dtype of the arrays in all buffers; multiply and add every number as it is, and nothing else.",
    "small",
)
CONSTANT = (
    "What remains there is not a product: something is added, such as a tolerance, or the bias in the wrong places.",
    "Add the products, the bias in its place, and nothing else.",
    "small",
)
# Kinds of results that are no numbers to hold against the right ones.
NO_NUMBERS = {"exception", "shape", "dtype"}
UNLIKE = ("What the code does depends on the values of the numbers.", "Treat all numbers alike.", "small")
# Lower precisions that code is known to compute in.
LOWER = {"float64": "float64", "float32": "float32", "float16": "TF32 or float16", "bfloat16": "bfloat16"}
# The argument that has the shape of a result, if that is linear in it: its multiples are what is added to losses.
OF_SHAPE = {"dX": "X", "dF": "F", "db": "b", "dH": "H", "dW": "W"}


def digits(run: Run) -> Iterator[Finding]:
    """Try zeros, then fractions, whose sums are as exact as those of integers, then numbers with all digits."""
    cases = run.layer.few(run.cases)
    fractions = [probe for case in cases if (probe := run.layer.fractions(case, run.seed))]
    zeroed = [run.layer.small(case, run.seed) for case in cases] if fractions else []
    for probe in sorted(zeroed, key=lambda each: not tells(run, each)):
        for name, found in added(run, {*run.subject.names} - run.broken, probe):
            run.inaccurate.add(name)
            yield found
    reals = [probe for case in cases if (probe := run.layer.reals(case, run.seed))]
    for probes, what in ((fractions, "fractions"), (reals, "real numbers")):
        for each in (each for probe in probes for each in run.compared(probe)):
            if each.name not in run.broken and not each.fine and not each.untried:
                run.inaccurate.add(each.name)
                title, because = _wrong(each, what)
                yield finding(run, each, title, "values", because)


def _wrong(each: Comparison, what: str) -> tuple[str, Because]:
    right = each.right.value
    if each.kind in NO_NUMBERS:
        return f"is wrong for {what}: {_unlike(each)}", UNLIKE
    error = np.abs(each.got - right)
    if each.right.bound.any():
        at = np.unravel_index(np.argmax(np.where(each.wrong, error, 0)), error.shape)
        explained = each.right.bound[at]
        return (
            f"is wrong for {what}: the error is {error[at]:.3g}, and rounding explains at most {explained:.3g}",
            DIGITS,
        )
    if np.array_equal(each.got, np.rint(right)) or np.array_equal(each.got, np.trunc(right)):
        return "is rounded to integers", DIGITS
    return (
        f"is wrong for {what}: the largest error is {error.max():.3g}, the largest right entry "
        f"{np.abs(right).max():.3g}",
        DIGITS,
    )


def _unlike(each: Comparison) -> str:
    if each.kind == "dtype":
        return f"it has dtype {np.asarray(each.result.value).dtype}, not {each.probe.dtype}"
    return each.result.raised or f"it has shape {each.got.shape}, not {each.right.value.shape}"


# what is added to the products ----------------------------------------------------------------------------------------


def added(run: Run, names: Collection[str], probe: Probe) -> Iterator[tuple[str, Finding]]:
    """Find what is left of sums of products where all numbers, then one of their factors, are 0: nothing hides it."""
    said: set[str] = set()
    factors = {name: letters for name, letters in run.layer.factors.items() if name in names}
    singles = dict.fromkeys(letter for letters in factors.values() for letter in letters)
    zeros = {"all numbers are": (*probe.arrays,), **{f"{letter} is": (letter,) for letter in singles}}
    for where, letters in zeros.items() if factors else ():
        for each in run.compared(probe.replaced(**{letter: probe.arrays[letter] * 0 for letter in letters})):
            zero = set(letters) & set(factors.get(each.name, ()))
            off = zero and not each.fine and not each.untried
            if off and each.name not in said and not _is_lower(run, each):
                said.add(each.name)
                title, because = _left(run, each, where)
                yield each.name, finding(run, each, title, "values", because)


def _is_lower(run: Run, each: Comparison) -> bool:
    """Whether what is left is the bias as a lower precision holds it: that is what is wrong, and nothing is added."""
    bits, right = exact.SIGNIFICAND.get(run.layer.dtype, 64), each.right.value
    if each.kind != "values" or not right.any():
        return False
    lower = [float(exact.unit_roundoff(dtype)) for dtype in LOWER if exact.SIGNIFICAND[dtype] < bits]
    return any(np.all(np.abs(each.got - right) <= unit * np.abs(right)) for unit in lower)


def _left(run: Run, each: Comparison, where: str) -> tuple[str, Because]:
    right = each.right.value
    if each.kind in NO_NUMBERS:
        return f"is wrong where {where} 0: {_unlike(each)}", UNLIKE
    off, letter = each.got - right, OF_SHAPE.get(each.name, "")
    if letter in each.probe.arrays and (factor := multiple(off, each.probe.arrays[letter], run.layer.dtype)):
        cause = f"This is left where {where} 0; it is the gradient of {written(factor / 2)}·Σ{letter}²."
        cure = (
            f"Add it to the loss or in the optimizer: every product of {run.label(each.name)} has the upstream "
            "gradient as a "
            f"factor. If {run.label(each.name)} is read off an update, {letter} before − {letter} after, leave "
            "decay out of it."
        )
        return f"is wrong: {times(factor, letter)} is added, as by a weight decay", (cause, cure, "small")
    most = f"{np.abs(off).max():.3g}"
    wrong = f"is not b where {where} 0, but differs from it by" if np.any(right) else f"is not 0 where {where} 0, but"
    return f"{wrong} up to {most}", CONSTANT


def tells(run: Run, probe: Probe) -> bool:
    """Whether multiples of what results are gradients of can be told: not of one number."""
    letters = [OF_SHAPE[name] for name in run.subject.names if name in OF_SHAPE]
    return all(differ(probe.arrays[letter]) for letter in letters if letter in probe.arrays)
