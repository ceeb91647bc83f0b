"""What is wrong with results, and why: one ordered list of explainers, of which the first that can tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import relayout
from jacobians.audit.compare import Comparison, Run, aligned, counted, numbered, written
from jacobians.audit.conduct.digits import LOWER, added, tells
from jacobians.audit.conduct.state import repeated
from jacobians.audit.facts import facts, where
from jacobians.audit.findings import finding
from jacobians.audit.follows import following, merged, raised_once
from jacobians.audit.layer import REAL, Explanation
from jacobians.audit.numbers import DTYPES
from jacobians.audit.remainders import Remainder, remainder
from jacobians.audit.report import Finding
from jacobians.audit.smallest import smallest_case
from jacobians.evidence import exact

__all__ = ["EXPLAINERS", "explained"]

Array = npt.NDArray[Any]
# Takes all comparisons of one result, of which some are wrong.
Explainer = Callable[[Run, Sequence[Comparison]], Finding | None]

# Entries to print in symbols.
MOST_ENTRIES = 4
# Bits of integers that sums may wrap in.
INTEGERS = (32, 16, 8)
NUMERIC = {"values", "shape"}
# Roundings of the dtype itself, of which some come together where numbers are scaled and scaled back.
OWN = 8
ENDED, UNTRIED = "the process ended", "was not tried"
NO_EXCEPTION = ("returned", ENDED)
CLEARED = (
    "An array of np.empty is returned that is not filled everywhere, or an array is read beyond its end.",
    "Start from zeros, write every entry, and stay within the arrays.",
)


def explained(run: Run) -> list[Finding]:
    """Make the findings of all results that are wrong at some case.

    Parameters
    ----------
    run : Run
        The audit, with all that was tried.

    Returns
    -------
    list of Finding
        One per root cause: gradients that follow from a wrong S, and results that one exception leaves without a value,
        are said with it.
    """
    follow = following(run)
    names = [name for name in run.subject.names if name in run.broken - run.unsteady and name not in follow]
    found = [each for name in names for each in _of_result(run, run.of(name))]
    responses = run.label(run.layer.gives.get("forward", ("",))[0])
    unfit = next((each for each in found if each.about == responses and each.kind in {"exception", "shape"}), None)
    if unfit and (moved := relayout.relaid(run, unfit)):
        return [moved]
    if follow:
        first = next(at for at, each in enumerate(found) if each.about == responses)
        found[first] = merged(run, found[first], follow)
    # What is wrong with numbers says more than that there are none.
    return sorted(raised_once(found, responses), key=lambda each: each.kind == "exception")


def _of_result(run: Run, tried: Sequence[Comparison]) -> Iterator[Finding]:
    """Say what is wrong with the numbers, then what else is: nothing hides anything."""
    kinds = {each.kind for each in tried if run.is_wrong(each)}
    numeric = next((found for each in EXPLAINERS if (found := each(run, tried))), None) if kinds & NUMERIC else None
    lost = _not_written(run, tried) if "not written" in kinds else None
    # What was never written has wrong values, too.
    if numeric and not (lost and numeric.title == UNEXPLAINED):
        yield numeric
    if lost and not (numeric and numeric.kind == "not written"):
        yield lost
    if "dtype" in kinds:
        yield _dtype(run, tried)
    if "exception" in kinds:
        yield from _exceptions(run, tried)


def _of(run: Run, tried: Sequence[Comparison], *kinds: str) -> list[Comparison]:
    return [each for each in tried if each.kind in kinds and run.is_wrong(each)]


def _counts(wrong: Sequence[Comparison], tried: Sequence[Comparison]) -> tuple[int, int]:
    return len({each.probe.case for each in wrong}), len({each.probe.case for each in tried})


# explainers -----------------------------------------------------------------------------------------------------------


def _unwritten(run: Run, tried: Sequence[Comparison]) -> Finding | None:
    """Tell memory that was never written, by numbers that are none in another call, or that nothing changes."""
    values = _of(run, tried, "values")
    if not values:
        return None
    again = run.again(values[0].probe, values[0].name).value
    garbage = again is None or not np.all(np.isfinite(np.asarray(again, np.float64)))
    if not garbage and not _is_constant(run, values):
        return None
    each = smallest_case(run, values, lambda one: one.kind == "values") if not garbage else values[0]
    because, counts = (*CLEARED, "memory"), _counts(values, tried)
    return finding(run, each, "holds memory that was never written", "not written", because, counts=counts)


def _is_constant(run: Run, values: Sequence[Comparison]) -> bool:
    """Whether wrong entries, which should be 0, change with no number, but from call to call, as memory does."""
    for each in values[:2]:
        if not run.layer.factors or np.any(each.right.value[each.wrong]):
            return False
        turned = {letter: -each.probe.arrays[letter] for letter in run.layer.factors[each.name][:1]}
        found = run.again(each.probe.replaced(**turned), each.name).value
        if found is None or found.shape != each.got.shape:
            return True
        wrong = np.asarray(found, np.float64)[each.wrong]
        if np.array_equal(wrong, -each.got[each.wrong]) or np.array_equal(wrong, each.got[each.wrong]):
            return False
    return True


def _range(run: Run, tried: Sequence[Comparison]) -> Finding | None:
    """Tell the interval that results are clipped to, or the integers that they wrap in."""
    wrong = _of(run, tried, "values")
    if not wrong or len(wrong) < len(_of(run, tried, *NUMERIC)):
        return None
    wrapping = (bits for bits in INTEGERS if all(_wraps(each, bits) for each in wrong))
    found = _clipping(wrong) or next(map(_wrapping, wrapping), None)
    if found is None:
        return None
    title, *why = found
    each = smallest_case(run, wrong, lambda one: one.kind == "values")
    because, counts = (why[0], why[1], "precision"), _counts(wrong, tried)
    return finding(run, each, title, "range", because, entries=_entries(run, each), counts=counts)


def _clipping(wrong: Sequence[Comparison]) -> tuple[str, str, str] | None:
    """Describe an interval where all that is wrong lies on its ends."""
    pairs = [(each.got, each.right.value) for each in wrong]
    low, high = min(float(got.min()) for got, _ in pairs), max(float(got.max()) for got, _ in pairs)
    if len(pairs) < 2 or not all(np.array_equal(got, np.clip(right, low, high)) for got, right in pairs):
        return None
    below = any(float(right.min()) < low for _, right in pairs)
    above = any(float(right.max()) > high for _, right in pairs)
    if low == high or (below and not above and low == 0):
        return None  # a constant, and a ReLU
    ends = f"{written(low) if below else '−∞'} … {written(high) if above else '∞'}"
    return f"is clipped to {ends}", "Values beyond the range are cut off.", "Return the sum itself, in a wider dtype."


def _wrapping(bits: int) -> tuple[str, str, str]:
    cure = "Sum in the dtype of the arrays, or in integers that hold the sums."
    return f"wraps at {bits} bits", f"Sums are kept in integers of {bits} bits.", cure


def _wraps(each: Comparison, bits: int) -> bool:
    got, right = each.got, each.right.value
    inside = np.all((got >= -(2 ** (bits - 1))) & (got < 2**bits))
    return bool(inside and not np.any((got - right) % 2**bits))


def _relu(run: Run, tried: Sequence[Comparison]) -> Finding | None:
    """Tell a maximum with 0 that is taken of the right result."""
    wrong = _of(run, tried, "values")
    numeric = _of(run, tried, *NUMERIC)
    if not run.layer.factors or not wrong or len(wrong) < len(numeric):
        return None
    if not all(np.array_equal(each.got, np.maximum(each.right.value, 0)) for each in wrong):
        return None
    each = smallest_case(run, wrong, lambda one: one.kind == "values")
    cure = "Return the sums themselves; a ReLU is a layer of its own."
    because, counts = ("max(0, ·) is taken of the sums.", cure, "relu"), _counts(wrong, tried)
    title = "is wrong: a ReLU is left in"
    return finding(run, each, title, "values", because, entries=_entries(run, each), counts=counts)


def _lower(run: Run, tried: Sequence[Comparison]) -> Finding | None:
    """Tell a lower precision, of which all errors are, from a wrong formula that is near by chance."""
    wrong = _of(run, tried, *NUMERIC)
    known = [dtype for dtype in LOWER if _bits(dtype) < _bits(run.layer.dtype)]
    if not all(each.kind == "values" for each in wrong) or not any(
        all(_is_rounded(each, dtype) for each in wrong) for dtype in known
    ):
        return None
    if other := repeated(run, tried) or _left(run, wrong) or _unlike_small(run, wrong):
        return other if isinstance(other, Finding) else None
    last = wrong[-1]
    error = float(np.abs(last.got - last.right.value).max() / np.abs(last.right.value).max())
    if error <= OWN * 2.0 ** -_bits(run.layer.dtype):
        because = (f"The largest error is {error:.1e} of the largest entry.", "Round nothing.", "precision")
        title = "is rounded in its last digits"
        return finding(run, last, title, "precision", because, counts=_counts(wrong, tried))
    # A rounding error is half of the last place.
    likely = min(known, key=lambda dtype: abs(math.log2(error) + _bits(dtype) + 1))
    dtype = run.layer.dtype
    because = (
        f"The largest error is {error:.1e} of the largest entry, as of sums in {LOWER[likely]}.",
        f"Accumulate in {dtype} or wider, or audit in the precision you promise.",
        "precision",
    )
    title = f"is {run.layer.verb} in a lower precision than {dtype}"
    return finding(run, wrong[0], title, "precision", because, counts=_counts(wrong, tried))


def _bits(dtype: str) -> int:
    """Bits of the significand; integers have more than any."""
    return exact.SIGNIFICAND.get(dtype, 64)


def _is_rounded(each: Comparison, dtype: str) -> bool:
    """Whether every entry is the right one but for its last digits, as no wrong formula is."""
    error, right = np.abs(each.got - each.right.value), each.right.value
    bound = each.layer.lower(each.probe, each.name, dtype, each.right)
    near = np.all(error <= 2.0**-4 * np.abs(right).max()) and np.all(np.sign(each.got) * np.sign(right) >= 0)
    return bool(near and np.all(error <= np.maximum(bound, each.right.bound)))


def _unlike_small(run: Run, wrong: Sequence[Comparison]) -> bool:
    """Whether integers that lower precisions sum exactly are wrong, too: then the formula is."""
    cases = dict.fromkeys(each.probe.case for each in wrong) if run.layer.factors else ()
    for case in cases:
        if 81 * getattr(case, "terms", 1) <= exact.exact_limit("bfloat16") and (
            probe := run.layer.small(case, run.seed)
        ):
            found = run.compared(probe, only=run.subject.side(wrong[0].name))
            if any(each.name == wrong[0].name and each.kind in NUMERIC for each in found):
                return True
    return False


def _left(run: Run, tried: Sequence[Comparison]) -> Finding | None:
    """Tell a term that is there where a factor is 0, too."""
    telling = next((each for each in tried if tells(run, each.probe)), tried[0])
    for each in (telling, tried[0]):
        probe = run.layer.small(each.probe.case, run.seed) if run.layer.factors else None
        for _, found in added(run, [each.name], probe) if probe else ():
            return found
    return None


def _added(run: Run, tried: Sequence[Comparison]) -> Finding | None:
    """Tell a term that is there where a factor is 0, too."""
    wrong = _of(run, tried, *NUMERIC)
    found = _left(run, wrong) if all(each.kind == "values" for each in wrong) else None
    if found is None or found.arrays["got"] is None:
        return found
    # A term is what is wrong with the products beside it, too.
    side = run.subject.side(wrong[0].name)
    probes = (run.layer.small(each.probe.case, run.seed) for each in wrong)
    probe = next((each for each in probes if each and run.layer.text(each, side) == found.case), None)
    each = next(each for each in run.compared(probe) if each.name == wrong[0].name) if probe else wrong[0]
    error, alone = each.got - each.right.value, np.array(found.arrays["got"]) - np.array(found.arrays["right"])
    if error.shape != alone.shape:
        return None
    unit = float(exact.unit_roundoff(run.layer.dtype))
    # The product, its sum with the others, and these two differences are rounded.
    return found if np.all(np.abs(error - alone) <= 4 * unit * (np.abs(each.got) + np.abs(alone))) else None


def _formula(run: Run, tried: Sequence[Comparison]) -> Finding | None:
    """Tell the formula that the code computes."""
    wrong = _of(run, tried, *NUMERIC)
    explanation = run.layer.explain(run, tried)
    if explanation is None:
        return None
    agree = [each for each in wrong if run.layer.agrees(explanation, each)] or wrong
    each = smallest_case(run, agree, lambda one: one.kind == agree[0].kind and run.layer.agrees(explanation, one))
    title = f"is wrong: {explanation.title}"
    if each.kind == "shape":
        title = f"has shape {each.got.shape}, not {each.right.value.shape}: {explanation.title}"
    because = (explanation.cause, explanation.cure, explanation.anchor or run.layer.anchor)
    read: dict[str, Any] = {"formula": explanation.formula, "right": explanation.right}
    read |= {"predictor": explanation.predict, "predicts": explanation.predicts, "of": explanation.of}
    read["known"] = (*explanation.observed, *_elsewhere(run, tried, explanation))
    entries = () if each.kind == "shape" else _entries(run, each)
    return finding(run, each, title, each.kind, because, entries=entries, counts=_counts(wrong, tried), **read)


def _elsewhere(run: Run, tried: Sequence[Comparison], explanation: Explanation | None) -> list[str]:
    """Say where values or shapes are wrong that a finding does not speak of."""
    wrong = _of(run, tried, *NUMERIC)
    if explanation:
        other = [each for each in wrong if not run.layer.agrees(explanation, each)]
    else:
        other = [each for each in wrong if each.kind != wrong[0].kind]
    unit = run.layer.unit
    return [
        f"at {counted(count, f'other {unit}', f'other {unit}s')} its {what} wrong, which this does not explain"
        for kind, what in (("values", "values are"), ("shape", "shape is"))
        if (count := sum(each.kind == kind for each in other))
    ]


def _only_real(run: Run, tried: Sequence[Comparison]) -> Finding | None:
    """Tell code that is right for integers."""
    wrong = _of(run, tried, *NUMERIC)
    if {each.probe.what for each in wrong} != {REAL}:
        return None
    cause = "Small digits are rounded off or added to: by np.round, a conversion to integers, or a constant."
    because = (cause, "Keep the dtype of the arrays in all buffers, and add nothing.", "small")
    title = "is right for integers, and wrong for other numbers"
    return finding(run, wrong[0], title, "values", because, counts=_counts(wrong, tried))


def _remainder(run: Run, tried: Sequence[Comparison]) -> Finding | None:
    """Tell the remainder of a loop in steps."""
    failed = _of(run, tried, "values", "shape", "not written")
    if not all(each.kind in {"values", "not written"} for each in failed) or not (rest := remainder(failed, tried)):
        return None
    return _of_remainder(run, tried, failed, rest)


def _of_remainder(run: Run, tried: Sequence[Comparison], failed: Sequence[Comparison], rest: Remainder) -> Finding:
    each = smallest_case(run, failed, rest.explains)
    again = run.again(each.probe, each.name).value
    unlike = again is None or not np.array_equal(np.asarray(again, np.float64), each.got, equal_nan=False)
    held = "memory that was never written" if rest.unwritten or unlike else rest.held
    because = (
        f"A loop that takes {rest.step} {rest.label} at once leaves out the remainder.",
        "Let a second loop take the remainder, or mask the last step of the first.",
        "remainder",
    )
    title = f"is wrong: {rest} are not computed; they hold {held}"
    entries = _entries(run, each) if each.kind == "values" else numbered(each)
    return finding(run, each, title, "values", because, entries=entries, counts=_counts(failed, tried))


def _shape(run: Run, tried: Sequence[Comparison]) -> Finding | None:
    """Say which shape is wrong."""
    wrong = _of(run, tried, *NUMERIC)
    alike = _of(run, tried, "shape")
    if not alike or wrong[0].kind != "shape":
        return None
    each = smallest_case(run, alike, lambda one: one.kind == "shape")
    got, needed = each.got.shape, each.right.value.shape
    known = [*where(wrong, tried), *_elsewhere(run, tried, None)]
    if sorted(got) == sorted(needed):
        known.insert(0, "its sizes are right, in another order, and its numbers are wrong too")
    because = ("", f"Return an array of shape {needed} there.", run.layer.anchor or "shapes")
    title, counts = f"has shape {got}, not {needed}", _counts(wrong, tried)
    return finding(run, each, title, "shape", because, entries=(), known=tuple(known), counts=counts)


UNEXPLAINED = "is wrong, and no formula was read"


def _unexplained(run: Run, tried: Sequence[Comparison]) -> Finding | None:
    """Say what is known."""
    values, wrong = _of(run, tried, "values"), _of(run, tried, *NUMERIC)
    each = smallest_case(run, values, lambda one: one.kind == "values")
    known = (*where(wrong, tried), *facts(run, values), *_elsewhere(run, tried, None))
    because, counts = ("", "", run.layer.anchor), _counts(wrong, tried)
    return finding(run, each, UNEXPLAINED, "values", because, entries=_entries(run, each), known=known, counts=counts)


# The first that can tell does.
EXPLAINERS: tuple[Explainer, ...] = (
    _unwritten,
    _range,
    _relu,
    _lower,
    _formula,
    _only_real,
    _shape,
    _remainder,
    repeated,
    _added,
    _unexplained,
)


# what is no number, another dtype, and exceptions ---------------------------------------------------------------------


def _not_written(run: Run, tried: Sequence[Comparison]) -> Finding:
    failed = _of(run, tried, "not written", "values")
    if len(failed) == len(_of(run, tried, "not written", "values", "shape")) and (rest := remainder(failed, tried)):
        return _of_remainder(run, tried, failed, rest)
    lost = _of(run, tried, "not written")
    if why := run.layer.lost(lost[0].name, tried):
        title, *known = why
        because, bad = (known[0], known[1], run.layer.anchor), ~np.isfinite(lost[0].got)
        return finding(run, lost[0], title, "not written", because, at=bad, counts=_counts(lost, tried))
    each = smallest_case(run, lost, lambda one: one.kind == "not written")
    bad, (cause, cure) = ~np.isfinite(each.got), CLEARED
    what = "of finite numbers: memory that was never written, or a sum that overflows"
    title = f"is NaN or ∞ in {counted(int(bad.sum()))}, {what}"
    cause, cure = f"{cause.removesuffix('.')}, or a sum overflows.", f"{cure} Sum in a dtype that holds the sum."
    return finding(run, each, title, "not written", (cause, cure, "memory"), at=bad, counts=_counts(lost, tried))


def _dtype(run: Run, tried: Sequence[Comparison]) -> Finding:
    wrong = _of(run, tried, "dtype")
    got, needed = np.asarray(wrong[0].result.value).dtype, run.layer.dtype
    needs = needed if wrong[0].right.value.shape else "a floating-point one"
    otherwise = f", or audit with dtype={str(got)!r}." if str(got) in DTYPES else "."
    because = ("The arrays were converted on the way.", f"Return {needs} for {needed}{otherwise}", "")
    title = f"has dtype {got}, not {needs}"
    return finding(run, wrong[0], title, "dtype", because, entries=(), counts=_counts(wrong, tried))


def _exceptions(run: Run, tried: Sequence[Comparison]) -> Iterator[Finding]:
    """Say what is raised, each type of exception once; those that have one cure are one."""
    roots: dict[str, list[Comparison]] = {}
    for each in _of(run, tried, "exception"):
        roots.setdefault(_root(each), []).append(each)
    for root, mine in roots.items():
        yield _exception(run, tried, mine, root)


def _root(each: Comparison) -> str:
    """Return the cure of the exception of a call, or its type; empty where there is none."""
    said = each.result.raised.partition(":")[0]
    if said.startswith(ENDED):
        return ENDED
    return each.layer.raised.get(said, ("", said))[1]


def _exception(run: Run, tried: Sequence[Comparison], failed: Sequence[Comparison], root: str) -> Finding:
    each, layer = (
        smallest_case(run, failed, lambda one: _root(one) == root and UNTRIED not in one.result.raised),
        run.layer,
    )
    raised, side = each.result.raised, run.subject.side(each.name)
    if raised.startswith(NO_EXCEPTION):
        title = raised if layer.by_function else f"cannot be had: {raised}"
    else:
        title = f"raises on {each.probe.what or layer.legal}: {raised}"
    counts = _counts(failed, tried)
    everywhere = counts[0] == counts[1] > 1
    cause, cure = layer.raised.get(
        raised.partition(":")[0], ("", f"This {layer.unit} is legal; make the code take it{layer.otherwise}.")
    )
    known = tuple(where(failed, tried))
    if everywhere:
        gives = [layer.labels[name] for name in layer.gives[side]]
        what = f"the array {gives[0]}" if len(gives) == 1 else f"the arrays ({', '.join(gives)})"
        signature = f"{side}({', '.join(layer.takes[side])})"
        cure = (
            f"It is so at all {layer.unit}{'e' * layer.unit.endswith('ch')}s: check the signature, the adapter and the "
            f"options. It needs a function {signature} that returns {what}."
        )
        known = (f"the traceback of the call\n{each.result.traceback.rstrip()}",) if each.result.traceback else ()
    about = side if layer.by_function else None
    because = (cause, cure, layer.anchor)
    return finding(run, each, title, "exception", because, about=about, entries=(), known=known, counts=counts)


def _entries(run: Run, each: Comparison) -> tuple[str, ...]:
    """Write the first wrong entries, in symbols where the code can be read out."""
    right, wrong = np.ravel(each.right.value), np.flatnonzero(each.wrong)
    named = run.layer.names(each.name, each.probe.case)
    rows = []
    for at in wrong[:MOST_ENTRIES]:
        symbols = run.layer.symbols(run.subject, each.probe, each.name, int(at), each.got)
        rows.append((named[at], *symbols) if symbols else None)
    if None in rows:
        return numbered(each)
    return aligned([row for row in rows if row], len(wrong), len(right))
