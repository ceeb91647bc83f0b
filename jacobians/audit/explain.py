"""What is wrong with results, and why: one ordered list of explainers, of which the first that can tells."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import relayout
from jacobians.audit.compare import Comparison, Run, aligned, counted, numbered, times, written
from jacobians.audit.conduct.digits import DIGITS, LOWER, added, tells
from jacobians.audit.conduct.state import repeated
from jacobians.audit.factors import differ, multiple
from jacobians.audit.facts import facts, remainder, where
from jacobians.audit.findings import CLEARED, UNWRITTEN, Because, finding
from jacobians.audit.follows import following, merged, raised_once
from jacobians.audit.layer import REAL, Probe
from jacobians.audit.numbers import DTYPES
from jacobians.audit.report import Finding
from jacobians.audit.smallest import smallest_case
from jacobians.audit.subject import ENDED, LATE, OUTSIZED
from jacobians.evidence import exact

__all__ = ["EXPLAINERS", "explained"]

Array = npt.NDArray[Any]

# Entries to print in symbols.
MOST_ENTRIES = 4
# Bits of integers that sums may wrap in.
INTEGERS = (32, 16, 8)
# Roundings of the dtype itself, of which some come together where numbers are scaled and scaled back.
OWN = 8
NO_EXCEPTION = ("returned", ENDED, LATE)
TIMEOUT = "Make the call end. If it only takes long, allow more seconds: --timeout, or timeout= of isolated."
INSTEAD = "", "Return what is computed: check which variable is returned.", "other-sum"
UNEXPLAINED = "is wrong, and its formula could not be read"


def explained(run: Run) -> list[Finding]:
    """Make the findings of all results that are wrong at some case: one per root cause, with what follows from it."""
    follow = following(run)
    names = [name for name in run.subject.names if name in run.broken - run.unsteady and name not in follow]
    found = [each for name in names for each in _of_result(Tried(run, run.of(name)))]
    responses = run.label(run.layer.gives.get("forward", ("",))[0])
    unfit = next((each for each in found if each.about == responses and each.kind in {"exception", "shape"}), None)
    if unfit and (moved := relayout.relaid(run, unfit)):
        return [moved]
    if follow:
        found[0] = merged(run, found[0], follow)
    # What is wrong with numbers says more than that there are none.
    once = raised_once(found, "forward" if run.layer.by_function else responses)
    return sorted(once, key=lambda each: each.kind == "exception")


@dataclasses.dataclass(frozen=True, eq=False)
class Tried:
    """All comparisons of one result, of which some are wrong."""

    run: Run
    every: Sequence[Comparison]

    @property
    def name(self) -> str:
        """The result."""
        return self.every[0].name

    @property
    def side(self) -> str:
        """The function that gives it."""
        return self.run.subject.side(self.name)

    def wrong(self, *kinds: str) -> list[Comparison]:
        """Return those that are wrong in one of these ways."""
        return [each for each in self.every if each.kind in kinds and self.run.is_wrong(each)]

    @property
    def numeric(self) -> list[Comparison]:
        """Those with wrong values or shapes."""
        return self.wrong("values", "shape")

    @property
    def values(self) -> list[Comparison]:
        """Those with wrong values, where no shape is wrong."""
        return [] if self.wrong("shape") else self.wrong("values")

    def smallest(self, wrong: Sequence[Comparison], shows: Callable[[Comparison], bool] | None = None) -> Comparison:
        """Return the smallest case that shows the same, by default the same kind."""
        return smallest_case(self.run, wrong, shows or (lambda one: one.kind == wrong[0].kind))

    def finding(
        self, each: Comparison, title: str, kind: str, because: Because, wrong: Sequence[Comparison], **more: Any
    ) -> Finding:
        """Make the finding of a comparison, and say at how many cases it is wrong."""
        if each.kind == "values" and kind in {"values", "range"}:
            more = {"entries": _entries(self.run, each)} | more
        wrongs, tried = (len({one.probe.case for one in some}) for some in (wrong, self.every))
        return finding(self.run, each, title, kind, because, wrong=wrongs, tried=tried, **more)


def _of_result(of: Tried) -> Iterator[Finding]:
    """Say what is wrong with the numbers, then what else is: nothing hides anything."""
    numeric = next((found for each in EXPLAINERS if (found := each(of))), None) if of.numeric else None
    lost = _not_written(of) if of.wrong("not written") else None
    # What was never written has wrong values, too.
    if numeric and not (lost and numeric.title == UNEXPLAINED):
        yield numeric
    if lost and not (numeric and numeric.kind == "not written"):
        yield lost
    if of.wrong("dtype"):
        yield _dtype(of)
    yield from _exceptions(of)


# explainers -----------------------------------------------------------------------------------------------------------


def _unwritten(of: Tried) -> Finding | None:
    """Tell memory that was never written."""
    wrong = of.wrong("values")
    for each in (*wrong[:1], *wrong[-1:]):
        again = dataclasses.replace(each, result=of.run.again(each.probe, each.name))
        if again.result.value is not None and (_is_left(each, again) or of.run.is_unwritten(each)):
            return of.finding(each, UNWRITTEN, "not written", CLEARED, wrong)
    return None


def _is_left(each: Comparison, again: Comparison) -> bool:
    """Whether in another call it is no number, or others are in the same entries alone."""
    same = np.array_equal(again.wrong, each.wrong) and not each.wrong.all()
    return not np.all(np.isfinite(again.got)) or (same and not np.array_equal(again.got, each.got))


def _returned(of: Tried) -> Finding | None:
    """Tell an argument, or a number, that is returned in the place of what is to be computed."""
    what, wrong = _instead(of), of.numeric
    if not what:
        return None
    found = _formula(of) or of.finding(of.smallest(wrong), "", wrong[0].kind, INSTEAD, wrong)
    return dataclasses.replace(found, title=f"is wrong: the code returns {what}", cure=INSTEAD[1])


def _instead(of: Tried) -> str:
    """Name the argument of which every result is a multiple, or the number that all entries are; empty for neither."""
    given = [each for each in of.every if each.result.value is not None]
    if not given:
        return ""
    for letter in of.run.subject.takes[of.side]:
        every = [(each.got, each.right.value, each.probe.arrays[letter]) for each in given]
        if any(got.shape != A.shape for got, _, A in every):
            continue
        factors = {multiple(got, A, of.run.layer.dtype) for got, _, A in every if differ(A)}
        # Where the right result is made of this argument and zeros, it is those that are missing.
        masked = all(right.shape == A.shape and np.all((right == A) | (right == 0)) for _, right, A in every)
        if len(factors) == 1 and (factor := factors.pop()) and not masked:
            return f"{letter} unchanged" if factor == 1 else times(factor, letter)
    numbers = np.unique(np.concatenate([np.ravel(each.got) for each in given]))
    return f"{written(numbers.item())} everywhere" if len(numbers) == 1 and numbers.any() else ""


def _changed(of: Tried) -> Finding | None:
    """Tell what is done to the right result: a ReLU, an interval that it is clipped to, integers that it wraps in."""
    wrong = of.values
    for title, kind, because, change in _changes(of.run, wrong) if wrong else ():
        if all(np.array_equal(each.got, change(each.right.value)) for each in wrong):
            return of.finding(of.smallest(wrong), title, kind, because, wrong)
    return None


def _changes(run: Run, wrong: Sequence[Comparison]) -> Iterator[tuple[str, str, Because, Callable[[Array], Array]]]:
    if run.layer.factors:
        because = "max(0, ·) is applied to the sums.", "Return the sums themselves; a ReLU is a separate layer.", "relu"
        yield "is wrong: a ReLU is applied to it", "values", because, lambda right: np.maximum(right, 0)
    low, high = min(float(each.got.min()) for each in wrong), max(float(each.got.max()) for each in wrong)
    below = any(float(each.right.value.min()) < low for each in wrong)
    above = any(float(each.right.value.max()) > high for each in wrong)
    if len(wrong) > 1 and low < high and (above or low):
        title = f"is clipped to the range {written(low) if below else '−∞'} … {written(high) if above else '∞'}"
        because = (
            "Values outside of this range are replaced by its ends.",
            "Return the sum itself, in a wider dtype.",
            "precision",
        )
        yield title, "range", because, lambda right: np.clip(right, low, high)
    cure = "Sum in the dtype of the arrays, or in integers that hold the sums."
    for bits in INTEGERS:
        for least in (-(2 ** (bits - 1)), 0):
            because = f"Sums are kept in integers of {bits} bits.", cure, "precision"
            yield f"wraps around at {bits} bits", "range", because, functools.partial(_wrapped, bits, least)


def _wrapped(bits: int, least: int, right: Array) -> Array:
    return np.asarray((right - least) % 2**bits + least)


def _lower(of: Tried) -> Finding | None:
    """Tell a lower precision, of which all errors are, from a wrong formula that is near by chance."""
    run, wrong, dtype = of.run, of.values, of.run.layer.dtype
    known = [each for each in LOWER if _bits(each) < _bits(dtype)]
    if not wrong or not any(all(_is_rounded(each, lower) for each in wrong) for lower in known):
        return None
    if other := repeated(run, of.every):
        return other
    if left := _left(run, wrong):
        return left[1]
    if _unlike_small(of):
        return None
    last = wrong[-1]
    error = float(np.abs(last.got - last.right.value).max() / np.abs(last.right.value).max())
    cause = f"The largest error is {error:.1e} times the largest entry"
    if error <= OWN * 2.0 ** -_bits(dtype):
        because = f"{cause}.", "Do not round the result.", "precision"
        return of.finding(last, "is rounded in its last digits", "precision", because, wrong)
    # A rounding error is half of the last place.
    likely = min(known, key=lambda lower: abs(math.log2(error) + _bits(lower) + 1))
    cure = f"Accumulate in {dtype} or a wider dtype, or audit with the dtype whose precision you promise."
    because = f"{cause}, as it is for sums in {LOWER[likely]}.", cure, "precision"
    title = f"is {run.layer.verb} in a lower precision than {dtype}"
    return of.finding(wrong[0], title, "precision", because, wrong)


def _bits(dtype: str) -> int:
    """Bits of the significand; integers have more than any."""
    return exact.SIGNIFICAND.get(dtype, 64)


def _is_rounded(each: Comparison, dtype: str) -> bool:
    """Whether every entry is the right one but for its last digits, as no wrong formula is."""
    error, right = np.abs(each.got - each.right.value), each.right.value
    bound = each.layer.lower(each.probe, each.name, dtype, each.right)
    near = np.all(error <= 2.0**-4 * np.abs(right).max()) and np.all(np.sign(each.got) * np.sign(right) >= 0)
    return bool(near and np.all(error <= np.maximum(bound, each.right.bound)))


def _unlike_small(of: Tried) -> bool:
    """Whether integers that lower precisions sum exactly are wrong, too: then the formula is."""
    run = of.run
    for case in dict.fromkeys(each.probe.case for each in of.values) if run.layer.factors else ():
        exactly = 81 * case.terms <= exact.exact_limit("bfloat16")
        if exactly and not _compared(run, run.layer.small(case, run.seed), of.name).fine:
            return True
    return False


def _compared(run: Run, probe: Any, name: str) -> Comparison:
    return next(each for each in run.compared(probe, only=run.subject.side(name)) if each.name == name)


def _left(run: Run, wrong: Sequence[Comparison]) -> tuple[Probe, Finding] | None:
    """Tell a term that is there where a factor is 0, too, and for which numbers."""
    telling = [each for each in wrong if tells(run, each.probe)][:1]
    for each in (*telling, wrong[0]) if run.layer.factors else ():
        probe = run.layer.small(each.probe.case, run.seed)
        for _, found in added(run, [each.name], probe):
            return probe, found
    return None


def _added(of: Tried) -> Finding | None:
    """Tell a term that is there where a factor is 0, too, if it is what is wrong with the products beside it."""
    left = _left(of.run, of.values) if of.values else None
    if left is None:
        return None
    probe, found = left
    if found.arrays["got"] is None:
        return found
    each, got = _compared(of.run, probe, of.name), np.array(found.arrays["got"])
    if each.kind != "values" or got.shape != each.got.shape:
        return None
    error, alone = each.got - each.right.value, got - np.array(found.arrays["right"])
    unit = float(exact.unit_roundoff(of.run.layer.dtype))
    # The product, its sum with the others, and these two differences are rounded.
    return found if np.all(np.abs(error - alone) <= 4 * unit * (np.abs(each.got) + np.abs(alone))) else None


def _formula(of: Tried) -> Finding | None:
    """Tell the formula that the code computes."""
    layer, wrong = of.run.layer, of.numeric
    explanation = layer.explain(of.run, of.every)
    if explanation is None:
        return None
    agree = [each for each in wrong if layer.agrees(explanation, each)] or wrong
    each = of.smallest(agree, lambda one: one.kind == agree[0].kind and layer.agrees(explanation, one))
    title = f"is wrong: {explanation.title}"
    more: dict[str, Any] = {"formula": explanation.formula, "right": explanation.right}
    if each.kind == "shape":
        title = f"has shape {_shape_of(each, each.shape)}, not {_right_shape(each)}: {explanation.title}"
        more["entries"] = ()
    more |= {"predictor": explanation.predict, "predicts": explanation.predicts, "of": explanation.of}
    other = [each for each in wrong if not layer.agrees(explanation, each)]
    more["known"] = (*explanation.observed, *_elsewhere(of.run, "formula", other))
    because = explanation.cause, explanation.cure, explanation.anchor or layer.anchor
    return of.finding(each, title, each.kind, because, wrong, **more)


def _elsewhere(run: Run, known: str, other: Sequence[Comparison]) -> list[str]:
    """Say where values or shapes are wrong that a finding does not speak of."""
    counts = Counter(each.kind for each in other)
    return [
        f"at {_others(run, counts[kind])} the {what} wrong in a way that this {known} does not explain"
        for kind, what in (("values", "values are"), ("shape", "shape is"))
        if counts[kind]
    ]


def _others(run: Run, count: int) -> str:
    """Count cases besides those that are spoken of."""
    unit = f"other {run.layer.unit}"
    return counted(count, unit, f"{unit}{'e' * unit.endswith('ch')}s")


def _only_real(of: Tried) -> Finding | None:
    """Tell code that is right for integers."""
    wrong = of.numeric
    if {each.probe.what for each in wrong} != {REAL}:
        return None
    return of.finding(wrong[0], "is right for integers and wrong for other numbers", "values", DIGITS, wrong)


def _shape(of: Tried) -> Finding | None:
    """Say which shape is wrong."""
    wrong = of.numeric
    if wrong[0].kind != "shape":
        return None
    each = of.smallest(of.wrong("shape"))
    got, needed = _shape_of(each, each.shape), _right_shape(each)
    known = (*where(wrong, of.every), *_elsewhere(of.run, "shape", of.wrong("values")))
    if untried := sum(one.result.raised.startswith(OUTSIZED) for one in of.every):
        known += (f"{of.side} was not called at {_others(of.run, untried)}, because {OUTSIZED}",)
    because = ("", f"Return an array of shape {needed} in this case.", of.run.layer.anchor or "shapes")
    title = f"has shape {got}, not {needed}"
    return of.finding(each, title, "shape", because, wrong, entries=(), known=known)


def _shape_of(each: Comparison, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a result as the code has it."""
    if len(shape) != each.right.value.ndim:
        return shape
    return each.layer.laid(each.probe.case, each.name, np.broadcast_to(0, shape)).shape


def _right_shape(each: Comparison) -> tuple[int, ...]:
    return _shape_of(each, each.right.value.shape)


def _remainder(of: Tried) -> Finding | None:
    """Tell the remainder of a loop in steps."""
    wrong = of.wrong("values", "shape", "not written")
    rest = remainder(wrong, of.every)
    if rest is None:
        return None
    each = of.smallest(wrong, rest.explains)
    because = (
        f"A loop that takes {rest.step} {rest.label} at a time leaves out the remainder.",
        "Add a second loop for the remainder, or mask the last step of the first loop.",
        "remainder",
    )
    return of.finding(each, f"is wrong: {rest} are not computed; they hold {rest.held}", "values", because, wrong)


def _repeated(of: Tried) -> Finding | None:
    """Tell a result that is another one when its call is made again."""
    return repeated(of.run, of.every)


def _unexplained(of: Tried) -> Finding:
    """Say what is known."""
    values, wrong = of.wrong("values"), of.numeric
    known = (*where(wrong, of.every), *facts(of.run, values), *_elsewhere(of.run, "formula", of.wrong("shape")))
    because = ("", "", of.run.layer.anchor)
    return of.finding(of.smallest(values), UNEXPLAINED, "values", because, wrong, known=known)


# The first that can tell does.
EXPLAINERS: tuple[Callable[[Tried], Finding | None], ...] = (
    _unwritten,
    _returned,
    _changed,
    _lower,
    _formula,
    _only_real,
    _shape,
    _remainder,
    _repeated,
    _added,
    _unexplained,
)


# what is no number, another dtype, and exceptions ---------------------------------------------------------------------


def _not_written(of: Tried) -> Finding:
    if rest := _remainder(of):
        return rest
    lost = of.wrong("not written")
    if why := of.run.layer.lost(of.name, of.every):
        title, cause, cure = why
        because, bad = (cause, cure, of.run.layer.anchor), ~np.isfinite(lost[0].got)
        return of.finding(lost[0], title, "not written", because, lost, at=bad)
    each = of.smallest(lost)
    if of.run.is_unwritten(each):
        return of.finding(each, UNWRITTEN, "not written", CLEARED, lost, at=~np.isfinite(each.got))
    bad, (cause, cure, anchor) = ~np.isfinite(each.got), CLEARED
    what = "although all arguments are finite: it holds memory that was never written, or a sum overflows"
    title = f"is NaN or ∞ in {counted(int(bad.sum()))}, {what}"
    because = f"{cause.removesuffix('.')}, or a sum overflows.", f"{cure} Sum in a dtype that can hold the sum.", anchor
    return of.finding(each, title, "not written", because, lost, at=bad)


def _dtype(of: Tried) -> Finding:
    wrong, needed = of.wrong("dtype"), of.run.layer.dtype
    each = wrong[0]
    got = np.asarray(each.result.value).dtype
    needs = needed if each.right.value.shape else "a floating-point one"
    otherwise = f", or audit with dtype={str(got)!r}." if str(got) in DTYPES else "."
    because = ("The code converts the arrays to another dtype.", f"Return {needs} for {needed}{otherwise}", "")
    return of.finding(each, f"has dtype {got}, not {needs}", "dtype", because, wrong, entries=())


def _exceptions(of: Tried) -> Iterator[Finding]:
    """Say what is raised, each type of exception once; those that have one cure are one."""
    roots: dict[str, list[Comparison]] = {}
    # Why calls were not made any more is said with the shape of the result that was too large, if that was seen.
    side = of.run.subject.side
    known = any(each.kind == "shape" and side(each.name) == of.side for each in of.run.tried)
    for each in (one for one in of.wrong("exception") if not (known and one.result.raised.startswith(OUTSIZED))):
        roots.setdefault(_root(each), []).append(each)
    for root, mine in roots.items():
        yield _exception(of, mine, root)


def _root(each: Comparison) -> str:
    """Return the cure of the exception of a call, or its type; empty where there is none."""
    said = each.result.raised.partition(":")[0]
    for without in (ENDED, LATE):
        if said.startswith(without):
            return without
    return each.layer.raised.get(said, ("", said))[1]


def _exception(of: Tried, wrong: Sequence[Comparison], root: str) -> Finding:
    layer, unit = of.run.layer, of.run.layer.unit
    untried = sum(one.untried for one in wrong)
    if made := [one for one in wrong if not one.untried]:
        of, wrong = dataclasses.replace(of, every=[one for one in of.every if not one.untried]), made
    each = of.smallest(wrong, lambda one: _root(one) == root and not one.untried)
    raised, side = each.result.raised, of.side
    title = f"raises on {each.probe.what or layer.legal}: {raised}"
    if raised.startswith(NO_EXCEPTION):
        missing = f"is missing: {side} {raised}" if raised.startswith("returned") else f"is missing: {raised}"
        title = raised if layer.by_function and raised.startswith("returned") else missing
    legal = "", f"This {unit} is legal. Make the code accept it."
    cause, cure = layer.raised.get(raised.partition(":")[0], legal)
    known = tuple(where(wrong, of.every))
    if len(wrong) == len(of.every) > 1:
        gives = [layer.labels[name] for name in layer.gives[side]]
        what = f"the array {gives[0]}" if len(gives) == 1 else f"the arrays ({', '.join(gives)})"
        usual = (
            "Check the signature, the adapter and the options: an audit "
            f"expects {side}({', '.join(layer.takes[side])}) to return {what}."
        )
        cure = f"Every call fails. {getattr(of.run.subject.functions[side], 'expected', usual)}"
        known = (f"the traceback of the call\n{each.result.traceback.rstrip()}",) if each.result.traceback else ()
    if root == LATE:
        cause, cure = "A loop does not end, or the code waits for something.", TIMEOUT
    if untried:
        known += (f"the code was not called at {_others(of.run, untried)}, where it may be right",)
    about, follows = (side, (of.run.label(each.name),)) if layer.by_function else (None, ())
    because, more = (cause, cure, layer.anchor), {"known": known, "follows": follows}
    return of.finding(each, title, "exception", because, wrong, about=about, entries=(), **more)


def _entries(run: Run, each: Comparison) -> tuple[str, ...]:
    """Write the first wrong entries, in symbols where the code can be read out."""
    right, wrong = np.ravel(each.right.value), np.flatnonzero(each.wrong)
    named = run.layer.names(each.name, each.probe.case)
    rows = []
    for at in wrong[:MOST_ENTRIES]:
        symbols = run.layer.symbols(run.subject, each.probe, each.name, int(at), each.got)
        if symbols is None:
            return numbered(each)
        rows.append((named[at], *symbols))
    return aligned(rows, len(wrong), len(right))
