"""Telling in what a result differs, and saying it in the fewest words, on the smallest case."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import sympy

from jacobians import symbolic
from jacobians.audit import Finding
from jacobians.audit.facts import Remainder, facts, remainder
from jacobians.audit.probes import Case, Probe, expected, integers, scheme_of
from jacobians.audit.reproduce import code, record
from jacobians.audit.shrink import smallest_case
from jacobians.audit.subject import LABELS, Result, Subject
from jacobians.audit.theories import SIZES, About, Theory, explain, numbers, reproduces
from jacobians.verify import exact

if TYPE_CHECKING:
    from jacobians.audit.run import Comparison

__all__ = [
    "aligned",
    "counted",
    "finding",
    "kind",
    "names",
    "near_miss",
    "rounding_bounds",
    "slack",
    "state",
    "written",
]

Array = npt.NDArray[Any]

# Lower precisions that code is known to sum in, by the bits of their significand.
LOWER = (("float32", 24), ("TF32 or float16", 11), ("bfloat16", 8))
# Entries to print of the smallest case, and calls to read one entry out.
MOST_ENTRIES = 4
MOST_READINGS = 64
# Inexact results are accepted where the bound tells right from wrong on a single draw, and more with every further one.
MOST_NEAR_MISSES = Fraction(3, 4)
# Bits of integers that sums may wrap in.
INTEGERS = (32, 16, 8)
# Kinds of findings that are about numbers, which a theory may explain.
NUMERIC = {"values", "shape"}
EXPLAINED = {*NUMERIC, "precision"}
WRONG_IN = {
    "values": "its values are wrong, which this does not explain",
    "shape": "its shape is wrong, which this does not explain",
    "dtype": "its dtype is wrong",
    "precision": "it is summed in a lower precision",
    "not written": "it holds NaN or ∞",
    "exception": "",
}
# Magnitude of numbers of which many sums can be added up.
SMALL = 9
# Title, cause and cure of results that depend on earlier calls.
ACCUMULATED = (
    "is added to the result of the call before",
    "A buffer is kept between calls and never set to zero, as .grad is in PyTorch.",
    "Start every call from zeros.",
)
ANY_LAYER = "This layer is legal; make the code take it, or restrict the audit with geometries=."
LATER = (
    "depends on the calls before: it is right for the first numbers of a size, and wrong for the next",
    "Something is kept between calls, such as a cache whose key is the shape alone, or a result is random.",
    "Keep nothing that depends on the numbers.",
)
STALE = (
    "depends on the calls before",
    "Something is kept between calls, such as a cache or a buffer that is not cleared.",
    "Keep nothing, or clear all of it.",
)
FACTORS = {"S": ("X", "F"), "dX": ("G", "F"), "dF": ("G", "X"), "db": ("G",)}
NAMED = {"X": ("X", "image"), "F": ("F", "filters"), "G": ("g", "responses")}
ROLES = {"S": ("S", "responses"), "dX": ("v", "image"), "dF": ("v", "filters"), "db": ("v", "bias")}


# in what a result differs ---------------------------------------------------------------------------------------------


def kind(result: Result, right: Array, probe: Probe, name: str) -> str:
    """Say in what a result differs.

    Parameters
    ----------
    result : Result
        What the code gave.
    right : ndarray
        What is right.
    probe : Probe
        For which numbers.
    name : str
        S, dX, dF or db.

    Returns
    -------
    str
        nothing; inexact, where the errors are within the rounding bound of any algorithm; else the kind of a finding.
    """
    value = result.value
    if value is None:
        return "exception"
    for what, differs in (("shape", value.shape != right.shape), ("dtype", value.dtype != probe.X.dtype)):
        if differs:
            return what
    got = value if value.dtype.kind in "iu" else value.astype(np.float64)
    if np.array_equal(got, right):
        return "nothing"
    return "values" if value.dtype.kind in "iu" else _kind_of_error(got, right, probe, name)


def _kind_of_error(got: Array, right: Array, probe: Probe, name: str) -> str:
    if not np.all(np.isfinite(got)):
        return "not written"
    worst, scale = float(np.abs(got - right).max()), _norms(probe, name)
    promised = exact.SIGNIFICAND[str(probe.X.dtype)]
    if worst <= slack(probe, name):
        return "inexact"
    lower = [bits for _, bits in LOWER if bits < promised]
    rounded = any(worst <= _bound(bits, probe) * scale for bits in lower) and _is_rounded(got, right)
    return "precision" if rounded else "values"


def _bound(bits: int, probe: Probe) -> float:
    # Fast algorithms transform whole planes: each result is made of no more operations in sequence than there are
    # numbers in the padded image and the filter, and each loses at most u = 2^−bits of the product of the factors'
    # norms (Higham, Accuracy and Stability, ch. 24, has a logarithm in the place of this count).
    geometry = probe.geometry
    count = math.prod(geometry.padded) * geometry.planes_per_group + geometry.taps + probe.case.terms
    share = count * 2.0**-bits
    return share / (1 - share) if share < 1 else math.inf


def slack(probe: Probe, name: str) -> float:
    """Return the error up to which an inexact result is accepted: the rounding bound of fast algorithms.

    Parameters
    ----------
    probe : Probe
        The draw.
    name : str
        S, dX, dF or db.

    Returns
    -------
    float
        The bound of the promised precision where that tells right from wrong. In half precision it does not, being as
        large as the numbers; what is accepted there are the errors of code that sums in float32. 0 where neither does.
    """
    if probe.X.dtype.kind in "iu":
        return 0.0
    promised = exact.SIGNIFICAND[str(probe.X.dtype)]
    # By the largest norms that draws can have, so that what is inexact on one draw is not called wrong on the next.
    for bound in (_bound(bits, probe) for bits in (promised, exact.SIGNIFICAND["float32"])):
        if _near_miss(probe, name, bound * _largest_norms(probe, name)) <= MOST_NEAR_MISSES:
            return bound * _norms(probe, name)
    return 0.0


def rounding_bounds(probe: Probe) -> dict[str, Array]:
    """Bound the rounding errors of direct sums in the dtype, in any order, and of what they are held against.

    Parameters
    ----------
    probe : Probe
        The numbers.

    Returns
    -------
    dict of ndarray
        γ_N Σ|products| per entry of S, dX, dF and db (Higham, ch. 3); ∞ where N is too large for the dtype.
    """
    absolute: dict[str, Any] = {letter: np.abs(getattr(probe, letter).astype(np.float64)) for letter in "XFbG"}
    sizes = expected(dataclasses.replace(probe, **absolute))
    terms, dtype = probe.case.terms + 1, str(probe.X.dtype)
    if terms * 2.0 ** -exact.SIGNIFICAND[dtype] >= 1:
        return {name: np.full(size.shape, np.inf) for name, size in sizes.items()}
    share = float(exact.gamma(terms, dtype)) + 2 * float(exact.gamma(terms, "float64"))
    return {name: share * (1 + float(exact.gamma(terms, "float64"))) * size for name, size in sizes.items()}


def near_miss(probe: Probe) -> Fraction:
    """Bound the probability that a wrong bilinear form is accepted as inexact on a draw like this one."""
    return max(_near_miss(probe, name, slack(probe, name)) for name in FACTORS)


def _near_miss(probe: Probe, name: str, bound: float) -> Fraction:
    scheme = scheme_of(probe.case, str(probe.X.dtype))
    if scheme is None or not math.isfinite(bound):
        return Fraction(1)
    return exact.miss_probability(*(getattr(scheme, letter) for letter in FACTORS[name]), slack=bound)


def _largest_norms(probe: Probe, name: str) -> float:
    scheme = scheme_of(probe.case, str(probe.X.dtype))
    if scheme is None:
        return math.inf
    drawn = (getattr(scheme, letter) for letter in FACTORS[name])
    largest: list[float] = [math.sqrt(each.entries) * each.magnitude for each in drawn]
    return math.prod(largest) + scheme.X.magnitude * scheme.F.magnitude


def _norms(probe: Probe, name: str) -> float:
    arrays = {"X": probe.X, "F": probe.F, "G": probe.G}
    lengths = [float(np.sqrt(np.sum(arrays[letter].astype(np.float64) ** 2))) for letter in FACTORS[name]]
    return math.prod(lengths) + float(np.abs(probe.b.astype(np.float64)).max())


def _is_rounded(got: Array, right: Array) -> bool:
    """Whether every entry is the right one but for its last digits, as no wrong formula is."""
    return bool(
        np.all(np.abs(got - right) <= 2.0**-4 * np.abs(right).max()) and np.all(np.sign(got) * np.sign(right) >= 0)
    )


# what to say of it ----------------------------------------------------------------------------------------------------


def finding(subject: Subject, failed: Sequence[Comparison], tried: Sequence[Comparison]) -> Finding:
    """Make the finding of one result that is wrong at some layers.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    failed : sequence of Comparison
        Where it is wrong, smallest layer first.
    tried : sequence of Comparison
        All comparisons of this result.

    Returns
    -------
    Finding
        What is wrong in words, on the smallest case that shows it.
    """
    what = failed[0].kind
    alike = [each for each in failed if each.kind == what]
    if what in {"values", "precision", "not written"} and _accumulates(subject, alike[-1]):
        return _kept(subject, alike[-1], ACCUMULATED)
    counts: dict[str, Any] = {"wrong": len(failed), "tried": max(len(tried), len(failed))}
    if what == "not written" and (rest := remainder(failed, tried)):
        return _remainder(subject, failed, rest, counts)
    if what in NUMERIC:
        return _numeric(subject, failed, tried, counts)
    if what == "precision":
        return _near(subject, failed, tried, counts)
    if what == "dtype":
        return _dtype(subject, alike[0], counts)
    return _not_written(subject, alike, counts) if what == "not written" else _exception(subject, failed, counts)


def _near(
    subject: Subject, failed: Sequence[Comparison], tried: Sequence[Comparison], counts: dict[str, Any]
) -> Finding:
    """Make the finding of numbers near the right ones: a wrong formula by chance, or a lower precision."""
    alike = [each for each in failed if each.kind == "precision"]
    if wrong_formula := _on_small_integers(subject, alike):
        return _numeric(subject, wrong_formula, tried, counts)
    wrong = [each for each in failed if each.kind in NUMERIC]
    explained = wrong and _explain([each for each in failed if each.kind in EXPLAINED])
    return _numeric(subject, [*wrong, *alike], tried, counts) if explained else _precision(subject, alike, counts)


def state(subject: Subject, each: Comparison) -> Finding:
    """Make the finding of a result that was right for the first numbers at a layer and is wrong for the next.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    each : Comparison
        The result that is wrong.

    Returns
    -------
    Finding
        Of the kind "state".
    """
    return _kept(subject, each, ACCUMULATED if _accumulates(subject, each) else LATER)


def _record(subject: Subject, each: Comparison) -> dict[str, Any]:
    """Return the fields of a finding that every kind has: the layer, its numbers and code that reproduces it."""
    probe, name = each.probe, each.name
    return {
        "case": str(probe.case),
        "arrays": record(probe, name, each.result.value, each.right),
        "code": code(subject, probe, name, each.right),
    }


def _kept(subject: Subject, each: Comparison, because: tuple[str, str, str]) -> Finding:
    title, cause, cure = because
    label, record = LABELS[each.name], _record(subject, each)
    return Finding(label, title, "state", cause=cause, cure=cure, anchor="memory", **record)


def _exception(subject: Subject, failed: Sequence[Comparison], counts: dict[str, Any]) -> Finding:
    said = _type_of(failed[0])
    first = smallest_case(subject, failed[0].name, failed, lambda each: _type_of(each) == said)
    raised = first.result.raised
    no_exception = raised.startswith(("returned", "the process ended"))
    title = f"cannot be had: {raised}" if no_exception else f"raises on a legal layer: {raised}"
    everywhere = {each.kind for each in failed} == {"exception"} and len(failed) >= counts["tried"] > 1
    cure = f"It is so at all layers. {_signature(subject, failed[0].name)}" if everywhere else ANY_LAYER
    theory = _explain([each for each in failed if each.kind in NUMERIC])
    known: tuple[str, ...] = ()
    if theory:
        known = (f"where it raises nothing, the numbers say: {theory.title}",)
        cure = f"{theory.cure} {cure}"
    anchor = theory.anchor if theory else ""
    record = _record(subject, first) | counts
    return Finding(LABELS[first.name], title, "exception", cure=cure, known=known, anchor=anchor, **record)


def _signature(subject: Subject, name: str) -> str:
    b, db = (", b", ", ∂l/∂b") if subject.options.bias else ("", "")
    if name == "S":
        return f"It needs a function forward(X, F{b}) that returns the array S."
    return f"It needs a function backward(X, F{b}, G) that returns the arrays (∂l/∂X, ∂l/∂F{db})."


def _type_of(each: Comparison) -> str:
    """Name the exception of a call; empty where there is none."""
    return each.result.raised.partition(":")[0]


def _explain(failed: Sequence[Comparison]) -> Theory | None:
    """Return the theory that reproduces all of these results."""
    if not failed:
        return None
    about: About = failed[0].name  # type: ignore[assignment]  # the names are those of theories
    return explain(about, [(each.probe, np.asarray(each.result.value)) for each in failed], slack)


def _numeric(
    subject: Subject, failed: Sequence[Comparison], tried: Sequence[Comparison], counts: dict[str, Any]
) -> Finding:
    """Make the finding of wrong values or a wrong shape; a theory has to explain both."""
    what = failed[0].kind
    alike = [each for each in failed if each.kind == what]
    range_of = (_clipping(alike) or _wrapping(alike)) if what == "values" else None
    theory = None
    for kinds in () if range_of else (EXPLAINED, NUMERIC, {what}):
        theory = theory or _explain([each for each in failed if each.kind in kinds])
    if what == "values" and not theory and not range_of and (rest := remainder(failed, tried)):
        return _remainder(subject, failed, rest, counts)
    smallest = smallest_case(
        subject, alike[0].name, alike, lambda each: each.kind == what and (not theory or _agrees(theory, each))
    )
    common = _record(subject, smallest) | counts | {"known": tuple(_elsewhere(theory, failed))}
    if what == "shape":
        return _shape(smallest, theory, common)
    common["entries"] = entries(subject, smallest)
    about = LABELS[smallest.name]
    if theory:
        because: dict[str, Any] = {"cause": theory.cause, "cure": theory.cure, "anchor": theory.anchor}
        return Finding(about, f"is wrong: {theory.title}", "values", **because, **common)
    if range_of:
        return Finding(about, **range_of, kind="range", anchor="precision", **common)
    if _unwritten(subject, smallest):
        return _garbage(subject, smallest, counts)
    return _unexplained(subject, alike, tried, common)


def _unexplained(
    subject: Subject, alike: Sequence[Comparison], tried: Sequence[Comparison], common: dict[str, Any]
) -> Finding:
    if _is_stale(subject, alike[0], tried):
        return _kept(subject, alike[0], STALE)
    name = alike[0].name
    common["known"] = (*facts(subject, name, alike, tried), *common["known"])
    return Finding(LABELS[name], "is wrong, and no known formula explains it", "values", **common)


def _elsewhere(theory: Theory | None, failed: Sequence[Comparison]) -> list[str]:
    """Say what else is wrong at the layers that a finding does not speak of."""
    other = [each for each in failed if each.kind != failed[0].kind]
    if theory:
        other = [each for each in other if each.kind not in EXPLAINED or not _agrees(theory, each)]
    said = {each.kind: WRONG_IN[each.kind] for each in other}
    if raised := next((each.result.raised for each in other if each.kind == "exception"), ""):
        said["exception"] = f"it raises {raised}"
    counts = {kind: sum(each.kind == kind for each in other) for kind in said}
    return [f"at {count} other {'layer' if count == 1 else 'layers'} {said[kind]}" for kind, count in counts.items()]


def _shape(smallest: Comparison, theory: Theory | None, common: dict[str, Any]) -> Finding:
    got, needed = np.asarray(smallest.result.value).shape, smallest.right.shape
    title = f"has shape {got}, not {needed}" + (f": {theory.title}" if theory else "")
    if theory:
        because: dict[str, Any] = {"cause": theory.cause, "cure": theory.cure, "anchor": theory.anchor}
    else:
        because = {"cure": SIZES[smallest.name], "anchor": "shapes"}  # type: ignore[index]  # the names are those of theories
        if sorted(got) == sorted(needed):
            common["known"] = ("its sizes are right, in another order, and its numbers are wrong too", *common["known"])
    return Finding(LABELS[smallest.name], title, "shape", **because, **common)


def _agrees(theory: Theory, each: Comparison) -> bool:
    """Whether a theory reproduces a wrong result."""
    if each.result.value is None or each.kind not in EXPLAINED:
        return False
    got = np.asarray(each.result.value, np.float64)
    return reproduces(theory, numbers(each.probe), got, slack(each.probe, each.name))


def _remainder(subject: Subject, failed: Sequence[Comparison], rest: Remainder, counts: dict[str, Any]) -> Finding:
    smallest = smallest_case(subject, failed[0].name, failed, rest.explains)
    held = "memory that was never written" if rest.unwritten or _changes(subject, smallest) else rest.held
    return Finding(
        LABELS[smallest.name],
        f"is wrong: {rest} are not computed; they hold {held}",
        "values",
        entries=entries(subject, smallest),
        cause=f"A loop that takes {rest.step} {rest.label} at once leaves out the remainder.",
        cure="Let a second loop take the remainder, or mask the last step of the first.",
        anchor="remainder",
        **_record(subject, smallest),
        **counts,
    )


def _changes(subject: Subject, each: Comparison) -> bool:
    """Whether a result holds what is no number, or differs from call to call."""
    calls = [subject.results(each.probe)[each.name].value for _ in range(2)]
    first, second = (None if value is None else np.asarray(value, np.float64) for value in calls)
    return first is None or second is None or not np.array_equal(first, second) or not np.all(np.isfinite(first))


def _on_small_integers(subject: Subject, failed: Sequence[Comparison]) -> list[Comparison]:
    """Compare again by integers that lower precisions sum exactly too: what is wrong there is a wrong formula."""
    found = []
    for case in dict.fromkeys(each.probe.case for each in failed):
        magnitude = exact.exact_magnitude("bfloat16", case.terms)
        if magnitude > 1:
            probe = integers(case, subject.options, magnitude, np.random.default_rng(0))
            right, result = expected(probe)[failed[0].name], subject.results(probe)[failed[0].name]
            found.append(dataclasses.replace(failed[0], probe=probe, result=result, right=right))
    return [each for each in found if each.kind in NUMERIC]


def _accumulates(subject: Subject, each: Comparison) -> bool:
    """Whether a call gives what is right added to what the call before gave."""
    options, case = subject.options, each.probe.case
    probe = integers(
        case, options, min(SMALL, exact.exact_magnitude(options.dtype, case.terms)), np.random.default_rng(0)
    )
    right = expected(probe)[each.name]
    values = [subject.results(probe)[each.name].value for _ in range(2)]
    if any(value is None or value.shape != right.shape for value in values):
        return False
    first, second = (np.asarray(value, np.float64) for value in values)
    return bool(right.any()) and np.array_equal(second, first + right)


def _is_stale(subject: Subject, each: Comparison, tried: Sequence[Comparison]) -> bool:
    """Whether the same numbers give another result after calls with zeros, at the largest layer and at this one."""
    for probe in (max((one.probe for one in tried), key=lambda one: one.case.numbers, default=each.probe), each.probe):
        zeros: dict[str, Any] = {letter: np.zeros_like(getattr(probe, letter)) for letter in "XFbG"}
        subject.results(dataclasses.replace(probe, **zeros))
    again, before = subject.results(each.probe)[each.name].value, each.result.value
    return again is None or before is None or not np.array_equal(again, before)


def _dtype(subject: Subject, first: Comparison, counts: dict[str, Any]) -> Finding:
    got, needed = np.asarray(first.result.value).dtype, first.probe.X.dtype
    return Finding(
        LABELS[first.name],
        f"has dtype {got}, not {needed}",
        "dtype",
        cause="The arrays were converted on the way.",
        cure=f"Return {needed} for {needed}, or audit with dtype={str(got)!r}.",
        **_record(subject, first),
        **counts,
    )


def _not_written(subject: Subject, failed: Sequence[Comparison], counts: dict[str, Any]) -> Finding:
    first = smallest_case(subject, failed[0].name, failed, lambda each: each.kind == "not written")
    got = np.ravel(np.asarray(first.result.value, np.float64))
    bad = np.flatnonzero(~np.isfinite(got))
    named, right = names(*ROLES[first.name], first.probe.case), np.ravel(first.right)
    return Finding(
        LABELS[first.name],
        f"is NaN or ∞ in {counted(len(bad))}, of finite numbers: "
        "memory that was never written, or a sum that overflows",
        "not written",
        entries=tuple(f"{named[at]}: expected {written(right[at])}, got {got[at]}" for at in bad[:MOST_ENTRIES]),
        cause="An array of np.empty is returned that is not filled where no window reaches, or a sum overflows.",
        cure="Start from zeros; sum in a dtype that holds the sum.",
        anchor="memory",
        **_record(subject, first),
        **counts,
    )


def _precision(subject: Subject, failed: Sequence[Comparison], counts: dict[str, Any]) -> Finding:
    if _unwritten(subject, failed[0]):
        return _garbage(subject, failed[0], counts)
    last = failed[-1]
    error = np.abs(np.asarray(last.result.value, np.float64) - last.right).max() / np.abs(last.right).max()
    dtype = last.probe.X.dtype
    lower = [(label, bits) for label, bits in LOWER if bits < exact.SIGNIFICAND[str(dtype)]]
    # A rounding error is half of the last place.
    likely, _ = min(lower, key=lambda each: abs(math.log2(error) + each[1] + 1))
    return Finding(
        LABELS[last.name],
        f"is summed in a lower precision than {dtype}",
        "precision",
        cause=f"The largest error is {error:.1e} of the largest entry, as of sums in {likely}; the formula is right.",
        cure=f"Accumulate in {dtype} or wider, or audit in the precision you promise.",
        anchor="precision",
        **_record(subject, failed[0]),
        **counts,
    )


def _garbage(subject: Subject, each: Comparison, counts: dict[str, Any]) -> Finding:
    return Finding(
        LABELS[each.name],
        "holds memory that was never written",
        "not written",
        entries=entries(subject, each),
        cause="An array of np.empty is returned that is not filled where no window reaches.",
        cure="Start from zeros.",
        anchor="memory",
        **_record(subject, each),
        **counts,
    )


def _unwritten(subject: Subject, smallest: Comparison) -> bool:
    """Whether only pixels that no window reaches are wrong, or the result changes from call to call."""
    if smallest.name == "dX":
        wrong = np.asarray(smallest.result.value, np.float64) != smallest.right
        reached = np.zeros(smallest.probe.X[0].size, bool)
        reached[symbolic.triples(smallest.probe.geometry)[1]] = True
        if not np.any(wrong & reached.reshape(smallest.probe.geometry.image)):
            # What is made of G changes its sign with it; memory does not.
            turned = subject.results(dataclasses.replace(smallest.probe, G=-smallest.probe.G))["dX"].value
            return turned is None or not np.array_equal(turned, -np.asarray(smallest.result.value))
    return _changes(subject, smallest)


def _clipping(failed: Sequence[Comparison]) -> dict[str, Any] | None:
    """Describe the interval that results are clipped to, where all that is wrong lies on its ends."""
    pairs = [(np.asarray(each.result.value, np.float64), each.right) for each in failed]
    low, high = min(float(got.min()) for got, _ in pairs), max(float(got.max()) for got, _ in pairs)
    if len(failed) < 2 or not all(np.array_equal(got, np.clip(right, low, high)) for got, right in pairs):
        return None
    below = any(float(right.min()) < low for _, right in pairs)
    above = any(float(right.max()) > high for _, right in pairs)
    if low == high or (below and not above and low == 0):
        return None  # a constant, and a ReLU, which a theory names
    return {
        "title": f"is clipped to {written(low) if below else '−∞'} … {written(high) if above else '∞'}",
        "cause": "Values beyond the range are cut off.",
        "cure": "Return the sum itself, in a wider dtype.",
    }


def _wrapping(failed: Sequence[Comparison]) -> dict[str, Any] | None:
    """Describe the integers that results wrap in, where all that is wrong is off by multiples of their range."""
    for bits in INTEGERS:
        if all(_wraps(np.asarray(each.result.value), each.right, bits) for each in failed):
            return {
                "title": f"wraps at {bits} bits",
                "cause": f"Sums are kept in integers of {bits} bits.",
                "cure": "Sum in the dtype of the arrays, or in integers that hold the sums.",
            }
    return None


def _wraps(got: Array, right: Array, bits: int) -> bool:
    if got.dtype.kind not in "iu":
        got, right = got.astype(np.float64), right.astype(np.float64)
    inside = np.all((got >= -(2 ** (bits - 1))) & (got < 2**bits))
    return bool(inside and not np.any((got - right) % 2**bits))


# the entries ----------------------------------------------------------------------------------------------------------


def entries(subject: Subject, smallest: Comparison) -> tuple[str, ...]:
    """Write the first wrong entries of the smallest case, in symbols where the code can be read out."""
    assert smallest.result.value is not None
    got, right = np.ravel(smallest.result.value.astype(np.float64)), np.ravel(smallest.right)
    wrong = np.flatnonzero(got != right)
    case, name = smallest.probe.case, smallest.name
    named = names(*ROLES[name], case)
    formulas = [
        (read_out(subject, name, case, int(at)), read_out(None, name, case, int(at))) for at in wrong[:MOST_ENTRIES]
    ]
    rows = []
    for at, (found, wanted) in zip(wrong, formulas, strict=False):
        if found is None or wanted is None or found == wanted or not _reproduces(subject, smallest):
            rows.append((named[at], written(right[at]), written(got[at])))
        else:
            rows.append((named[at], wanted, found))
    return aligned(rows, len(wrong), len(right))


def aligned(rows: Sequence[tuple[str, str, str]], wrong: int, total: int) -> tuple[str, ...]:
    """Write the names of entries, what they should be and what they are, in columns."""
    width = max((len(wanted) for _, wanted, _ in rows), default=0)
    size = max((len(entry) for entry, _, _ in rows), default=0)
    lines = [f"{entry + ':':<{size + 1}} expected {wanted:<{width}}   got {found}" for entry, wanted, found in rows]
    return (*lines, *([f"… {wrong} of {total} entries are wrong"] if wrong > len(rows) else []))


def _reproduces(subject: Subject, smallest: Comparison) -> bool:
    """Whether the code is linear in what it is read out with: doubling a factor doubles the result."""
    probe = smallest.probe
    letter = FACTORS[smallest.name][0]
    plain = dataclasses.replace(probe, b=probe.b * 0)
    doubled = dataclasses.replace(plain, **{letter: getattr(plain, letter) * 2})
    twice, once = (subject.results(each)[smallest.name].value for each in (doubled, plain))
    return (
        twice is not None
        and once is not None
        and twice.shape == once.shape
        and np.array_equal(twice.astype(np.float64), 2 * once.astype(np.float64))
    )


def read_out(subject: Subject | None, name: str, case: Case, at: int) -> str | None:
    """Read out the formula of one entry by giving basis elements; of the right matrices where there is no subject."""
    letters = FACTORS[name]
    g, images = case.geometry, case.images
    shapes = {"X": (images, *g.image), "F": g.filters, "b": g.filters[:1], "G": (images, *g.responses)}
    if math.prod(math.prod(shapes[letter]) for letter in letters) > MOST_READINGS:
        return None
    dtype = np.float64 if subject is None else _dtype_of(subject)
    total: Any = 0
    labels = [_symbols(letter, case) for letter in letters]
    for index in np.ndindex(*(len(each) for each in labels)):
        given = {letter: np.zeros(shape, dtype) for letter, shape in shapes.items()}
        for letter, position in zip(letters, index, strict=True):
            given[letter].reshape(-1)[position] = 1
        probe = Probe(case, given["X"], given["F"], given["b"], given["G"])
        value = expected(probe)[name] if subject is None else subject.results(probe)[name].value
        if value is None or np.size(value) <= at:
            return None
        number = float(np.ravel(np.asarray(value, np.float64))[at])
        if not math.isfinite(number):
            return None
        if abs(number - round(number)) <= slack(probe, name):
            number = float(round(number))
        if number:
            factor = int(number) if number.is_integer() else sympy.nsimplify(number, rational=True)
            total = total + factor * math.prod(label[position] for label, position in zip(labels, index, strict=True))
    return symbolic.write(total, "text")


def _dtype_of(subject: Subject) -> np.dtype[Any]:
    from jacobians.audit.probes import dtype_of

    return dtype_of(subject.options.dtype)


def names(letter: str, role: Any, case: Case) -> list[str]:
    """Name the entries of an array of a case; those of image 2 end in ^(2)."""
    single = symbolic.names(letter, role, case.geometry)
    if case.images == 1 or role in {"filters", "bias"}:
        return single
    return [f"{name}^({image})" for image in range(1, case.images + 1) for name in single]


def _symbols(letter: str, case: Case) -> list[Any]:
    letter_of, role = NAMED[letter]
    return [sympy.Symbol(name) for name in names(letter_of, role, case)]


def counted(entries: int) -> str:
    """Write a number of entries."""
    return f"{entries} {'entry' if entries == 1 else 'entries'}"


def written(value: Any) -> str:
    """Write a number in a few digits."""
    number = float(value)
    return str(int(number)) if math.isfinite(number) and number.is_integer() else f"{number:.6g}"
