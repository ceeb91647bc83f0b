"""Zeros, fractions and real numbers: what integers as large as a dtype holds exactly cannot show."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from jacobians.audit.compare import Comparison, Run, written
from jacobians.audit.factors import differ, multiple
from jacobians.audit.findings import finding
from jacobians.audit.layer import Probe
from jacobians.audit.report import Finding
from jacobians.evidence import exact

__all__ = ["LOWER", "added", "digits", "tells"]

# Cause and cure.
ROUNDED = (
    "The numbers are converted to integers on the way, or the result is.",
    "Keep the dtype of the arrays in all buffers.",
)
DIGITS = (
    "Small digits are rounded off or added to: by np.round, a conversion to integers, or a constant.",
    "Keep the dtype of the arrays in all buffers, and add nothing.",
)
UNREAL = (
    "Small numbers or last digits are rounded off, replaced or added to.",
    "Multiply and add every number as it is, and keep the dtype of the arrays in all buffers.",
)
CONSTANT = (
    "What is left there is in no product: a term that is added, such as a tolerance, or a bias in other places.",
    "Add the products, and the bias in its place, and nothing else.",
)
UNLIKE = ("Their values decide.", "Compute with all numbers alike.")
# Lower precisions that code is known to compute in.
LOWER = {"float64": "float64", "float32": "float32", "float16": "TF32 or float16", "bfloat16": "bfloat16"}
# The argument that has the shape of a result, if that is linear in it: its multiples are what is added to losses.
OF_SHAPE = {"dX": "X", "dF": "F", "db": "b", "dH": "H", "dW": "W"}


def digits(run: Run) -> Iterator[Finding]:
    """Try zeros, then fractions, whose sums are as exact as those of integers, then numbers with all digits.

    Parameters
    ----------
    run : Run
        The audit; nothing more is said of results that are wrong already.

    Yields
    ------
    Finding
        One per result that is wrong.
    """
    said, cases = set(run.broken), run.layer.few(run.cases)
    fractions = [probe for case in cases if (probe := run.layer.fractions(case, run.seed))]
    zeroed = [probe for case in cases if (probe := run.layer.small(case, run.seed))] if fractions else []
    for probe in sorted(zeroed, key=lambda each: not tells(run, each)):
        for name, found in added(run, {*run.subject.names} - said, probe):
            said.add(name)
            run.inaccurate.add(name)
            yield found
    reals = [probe for case in cases if (probe := run.layer.reals(case, run.seed))]
    for probes, found_in in ((fractions, _of_fractions), (reals, _of_reals)):
        for probe in probes:
            for each in run.compared(probe):
                if each.name not in said and not each.fine:
                    said.add(each.name)
                    run.inaccurate.add(each.name)
                    yield found_in(run, each)


def _of_fractions(run: Run, each: Comparison) -> Finding:
    title, because = _why(each)
    return finding(run, each, title, "values", (*because, "small"))


def _why(each: Comparison) -> tuple[str, tuple[str, str]]:
    right = each.right.value
    if each.result.value is None or each.got.shape != right.shape:
        said = each.result.raised or f"it has shape {each.got.shape}, not {right.shape}"
        return f"is wrong for fractions: {said}", UNLIKE
    if np.array_equal(each.got, np.rint(right)) or np.array_equal(each.got, np.trunc(right)):
        return "is rounded to integers", ROUNDED
    off, most = np.abs(each.got - right).max(), np.abs(right).max()
    return f"is wrong for fractions, by up to {off:.3g} of {most:.3g}; it is right for large integers", DIGITS


def _of_reals(run: Run, each: Comparison) -> Finding:
    """Make the finding of a result that is farther from the right one than rounding takes any algorithm."""
    if each.kind != "values":
        return _of_fractions(run, each)
    error = np.abs(each.got - each.right.value)
    at = np.unravel_index(np.argmax(np.where(each.wrong, error, 0)), error.shape)
    explained = each.right.bound[at]
    title = f"is wrong for real numbers: it is off by {error[at]:.3g} where rounding explains {explained:.3g}"
    return finding(run, each, title, "values", (*UNREAL, "small"))


# what is added to the products ----------------------------------------------------------------------------------------


def added(run: Run, names: Collection[str], probe: Probe) -> Iterator[tuple[str, Finding]]:
    """Find what is left of sums of products where one of their factors is 0.

    Parameters
    ----------
    run : Run
        The audit.
    names : collection of str
        The results to look at.
    probe : Probe
        Numbers of which one argument after the other is set to 0, first all of them.

    Yields
    ------
    (str, Finding)
        Of each result that is not 0 in one of these cases, but for a bias. Large sums hide a small term; here it is
        alone.
    """
    said: set[str] = set()
    factors = {name: letters for name, letters in run.layer.factors.items() if name in names}
    singles = dict.fromkeys(letter for letters in factors.values() for letter in letters)
    for letters in ((*probe.arrays,), *((letter,) for letter in singles)) if factors else ():
        zeroed = probe.replaced(**{letter: probe.arrays[letter] * 0 for letter in letters})
        for each in run.compared(zeroed):
            name = each.name
            its = name in factors and name not in said and (letters[0] in factors[name] or len(letters) > 1)
            if its and not each.fine and not _is_lower(run, each):
                said.add(name)
                where = f"{letters[0]} is" if len(letters) == 1 else "all numbers are"
                title, because = _left(run, each, where)
                yield name, finding(run, each, title, "values", (*because, "small"))


def _is_lower(run: Run, each: Comparison) -> bool:
    """Whether what is left is the bias as a lower precision holds it: that is what is wrong, and nothing is added."""
    if each.kind != "values" or not each.right.value.any():
        return False
    known = [dtype for dtype in LOWER if dtype != run.layer.dtype]
    return any(
        np.all(np.abs(each.got - each.right.value) <= float(exact.unit_roundoff(dtype)) * np.abs(each.right.value))
        for dtype in known
        if run.layer.dtype not in exact.SIGNIFICAND or exact.SIGNIFICAND[dtype] < exact.SIGNIFICAND[run.layer.dtype]
    )


def _left(run: Run, each: Comparison, where: str) -> tuple[str, tuple[str, str]]:
    right = each.right.value
    if each.result.value is None or each.got.shape != right.shape:
        said = each.result.raised or f"it has shape {each.got.shape}, not {right.shape}"
        return f"is wrong where {where} 0: {said}", UNLIKE
    off, letter = each.got - right, OF_SHAPE.get(each.name, "")
    if letter in each.probe.arrays and (factor := multiple(off, each.probe.arrays[letter], run.layer.dtype)):
        return f"is wrong: {written(factor)}·{letter} is added, as by a weight decay", _decay(run, each, where, factor)
    if np.any(right):
        return f"is not b where {where} 0, but off by up to {np.abs(off).max():.3g}", CONSTANT
    return f"is not 0 where {where} 0, but up to {np.abs(off).max():.3g}", CONSTANT


def _decay(run: Run, each: Comparison, where: str, factor: float) -> tuple[str, str]:
    label, letter = run.label(each.name), OF_SHAPE[each.name]
    return (
        f"It is left where {where} 0: the gradient of {written(factor / 2)}·Σ{letter}².",
        f"Add it to the loss, or in the optimizer: {label} has the upstream gradient in every product. Is it "
        f"read off an update, as {letter} before − {letter} after? That holds the decay and the rate.",
    )


def tells(run: Run, probe: Probe) -> bool:
    """Whether multiples of what results are gradients of can be told: not of one number."""
    letters = [OF_SHAPE[name] for name in run.subject.names if name in OF_SHAPE]
    return all(differ(probe.arrays[letter]) for letter in letters if letter in probe.arrays)
