"""Telling in what a result differs, and saying it in the fewest words, on the smallest case."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import Finding, state
from jacobians.audit.added import added, tells
from jacobians.audit.circumstances import circumstances
from jacobians.audit.entries import MOST_ENTRIES, counted, entries, numbered, written
from jacobians.audit.facts import Remainder, facts, parts, remainder
from jacobians.audit.judge import lower_than, slack, widened
from jacobians.audit.memory import ACCUMULATED
from jacobians.audit.probes import DTYPES, expected, integers, places
from jacobians.audit.readout import ROLES, names
from jacobians.audit.reproduce import code, record
from jacobians.audit.shrink import smallest_case
from jacobians.audit.subject import LABELS, Subject
from jacobians.audit.theories import SIZES, About, Theory, explain, numbers, reproduces
from jacobians.evidence import exact

if TYPE_CHECKING:
    from jacobians.audit.run import Comparison

__all__ = ["finding"]

Array = npt.NDArray[Any]

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
NO_EXCEPTION = ("returned", "the process ended")
ANY_LAYER = "This layer is legal; make the code take it, or restrict the audit with geometries=."


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
    if what in {"values", "precision", "not written"} and state.accumulates(subject, alike[0]):
        return state.kept(subject, alike[0], ACCUMULATED)
    counts: dict[str, Any] = {"wrong": len(failed), "tried": max(len(tried), len(failed))}
    if what == "not written" and (rest := remainder(failed, tried)):
        return _remainder(subject, failed, rest, counts)
    if what in NUMERIC:
        return _numeric(subject, failed, tried, counts)
    if what == "precision":
        return _near(subject, failed, tried, counts)
    if what == "dtype":
        return _dtype(subject, alike[0], counts)
    return _not_written(subject, alike, counts) if what == "not written" else _exception(subject, failed, tried, counts)


def _near(
    subject: Subject, failed: Sequence[Comparison], tried: Sequence[Comparison], counts: dict[str, Any]
) -> Finding:
    """Make the finding of numbers near the right ones: a wrong formula by chance, or a lower precision."""
    alike = [each for each in failed if each.kind == "precision"]
    if wrong_formula := _on_small_integers(subject, alike):
        return _numeric(subject, wrong_formula, tried, counts)
    wrong = [each for each in failed if each.kind in NUMERIC]
    explained = wrong and _explain([each for each in failed if each.kind in EXPLAINED], tried)
    return (
        _numeric(subject, [*wrong, *alike], tried, counts) if explained else _precision(subject, alike, tried, counts)
    )


def _record(subject: Subject, each: Comparison) -> dict[str, Any]:
    """Return the fields of a finding that every kind has: the layer, its numbers and code that reproduces it."""
    probe, name = each.probe, each.name
    return {
        "case": str(probe.case),
        "arrays": record(probe, name, each.result.value, each.right),
        "code": code(subject, probe, name, each.right, kind=each.kind),
    }


def _exception(
    subject: Subject, failed: Sequence[Comparison], tried: Sequence[Comparison], counts: dict[str, Any]
) -> Finding:
    said = _type_of(failed[0])
    first = smallest_case(subject, failed[0].name, failed, lambda each: _type_of(each) == said)
    raised = first.result.raised
    title = f"cannot be had: {raised}" if raised.startswith(NO_EXCEPTION) else f"raises on a legal layer: {raised}"
    everywhere = {each.kind for each in failed} == {"exception"} and len(failed) >= counts["tried"] > 1
    because: dict[str, Any] = {
        "cure": _at_all_layers(subject, failed[0].name, raised) if everywhere else ANY_LAYER,
        "known": tuple(circumstances(failed, tried)),
    }
    numeric = [each for each in failed if each.kind in NUMERIC]
    if theory := _explain(numeric, tried):
        because = {"cause": theory.cause, "cure": theory.cure, "anchor": theory.anchor}
        if 2 * len(numeric) > len(failed):
            count = sum(each.kind == "exception" for each in failed)
            title = f"is wrong: {theory.title}; at {_layers(count)} it {_raised(raised)}"
        else:
            because["known"] = (f"where it raises nothing, the numbers say: {theory.title}",)
            because["cure"] = f"{theory.cure} {ANY_LAYER}"
    return Finding(LABELS[first.name], title, "exception", **because, **_record(subject, first), **counts)


def _raised(raised: str) -> str:
    return raised if raised.startswith(NO_EXCEPTION) else f"raises {raised}"


def _layers(count: int, of: str = "") -> str:
    return f"{count} {of}{'layer' if count == 1 else 'layers'}"


def _at_all_layers(subject: Subject, name: str, raised: str) -> str:
    if not raised.startswith((*NO_EXCEPTION, "TypeError")):
        return "It is so at all layers, whatever their sizes: make the code take one of them."
    b, db = (", b", ", ∂l/∂b") if subject.options.bias else ("", "")
    takes, returns = (f"forward(X, F{b})", "array S")
    if name != "S":
        takes, returns = (f"backward(X, F{b}, G)", f"arrays (∂l/∂X, ∂l/∂F{db})")
    return f"It is so at all layers. It needs a function {takes} that returns the {returns}."


def _type_of(each: Comparison) -> str:
    """Name the exception of a call; empty where there is none."""
    return each.result.raised.partition(":")[0]


def _explain(failed: Sequence[Comparison], tried: Sequence[Comparison]) -> Theory | None:
    """Return the theory that reproduces all of these results, and at best those that are right."""
    if not failed:
        return None
    right = [each.probe for each in tried if each.kind == "nothing"]
    about: About = failed[0].name  # type: ignore[assignment]  # the names are those of theories
    return explain(about, [(each.probe, np.asarray(each.result.value)) for each in failed], slack, right)


def _numeric(
    subject: Subject, failed: Sequence[Comparison], tried: Sequence[Comparison], counts: dict[str, Any]
) -> Finding:
    """Make the finding of wrong values or a wrong shape; a theory has to explain both."""
    what = failed[0].kind
    alike = [each for each in failed if each.kind == what]
    range_of = (_clipping(alike) or _wrapping(alike)) if what == "values" else None
    theory = None
    for kinds in () if range_of else (EXPLAINED, NUMERIC, {what}):
        theory = theory or _explain([each for each in failed if each.kind in kinds], tried)
    unknown = what == "values" and not theory and not range_of
    if unknown and (found := _conduct(subject, failed, tried, counts)):
        return found
    smallest = smallest_case(
        subject, alike[0].name, alike, lambda each: each.kind == what and (not theory or _agrees(theory, each))
    )
    common = _record(subject, smallest) | counts | {"known": tuple(_elsewhere(theory, failed))}
    if what == "shape":
        where = () if theory else circumstances(failed, tried)
        return _shape(smallest, theory, common | {"known": (*where, *common["known"])})
    common["entries"] = entries(subject, smallest)
    if theory and theory.anchor == "remainder":
        common["known"] = (*parts(subject, smallest), *common["known"])
    about = LABELS[smallest.name]
    if theory:
        because: dict[str, Any] = {"cause": theory.cause, "cure": theory.cure, "anchor": theory.anchor}
        return Finding(about, f"is wrong: {theory.title}", "values", **because, **common)
    if range_of:
        return Finding(about, **range_of, kind="range", anchor="precision", **common)
    if _unwritten(subject, smallest):
        return _garbage(subject, smallest, counts)
    return _unexplained(subject, smallest, failed, tried, common)


def _conduct(
    subject: Subject, failed: Sequence[Comparison], tried: Sequence[Comparison], counts: dict[str, Any]
) -> Finding | None:
    """Make the finding of a remainder that is left out, or of randomness, if it is one of these."""
    if rest := remainder(failed, tried):
        return _remainder(subject, failed, rest, counts)
    wrong = [each for each in failed if each.kind == "values"]
    return _random(subject, wrong)


def _unexplained(
    subject: Subject,
    smallest: Comparison,
    failed: Sequence[Comparison],
    tried: Sequence[Comparison],
    common: dict[str, Any],
) -> Finding:
    alike = [each for each in failed if each.kind == failed[0].kind]
    if changed := state.stale(subject, alike[0], tried) or state.first(subject, alike[0]):
        return changed
    if alone := _added(subject, alike, tried, common):
        return dataclasses.replace(alone, known=tuple(circumstances(failed, tried)))
    name = alike[0].name
    found = (*parts(subject, smallest), *circumstances(failed, tried), *facts(subject, name, alike))
    common["known"] = (*found, *common["known"])
    return Finding(LABELS[name], "is wrong, and no known formula explains it", "values", **common)


def _added(
    subject: Subject, failed: Sequence[Comparison], tried: Sequence[Comparison], counts: dict[str, Any]
) -> Finding | None:
    """Make the finding of a term that is there where a factor is 0, too."""
    telling = next((each for each in (*failed, *tried) if tells(each.probe, each.name)), failed[0])
    alone = (added(subject, [each.name], each.probe, each.probe.case) for each in (telling, failed[0]))
    found = next(itertools.chain.from_iterable(alone), None)
    return found and dataclasses.replace(found, wrong=counts["wrong"], tried=counts["tried"])


def _elsewhere(theory: Theory | None, failed: Sequence[Comparison]) -> list[str]:
    """Say what else is wrong at the layers that a finding does not speak of."""
    other = [each for each in failed if each.kind != failed[0].kind]
    if theory:
        other = [each for each in other if each.kind not in EXPLAINED or not _agrees(theory, each)]
    elif failed[0].kind == "values":
        # A wrong sum of many products may be near the right one by chance.
        other = [each for each in other if each.kind != "precision"]
    said = {each.kind: WRONG_IN[each.kind] for each in other}
    if raised := next((each.result.raised for each in other if each.kind == "exception"), ""):
        said["exception"] = f"it {_raised(raised)}"
    counts = {kind: sum(each.kind == kind for each in other) for kind in said}
    return [f"at {_layers(count, 'other ')} {said[kind]}" for kind, count in counts.items()]


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
    got = widened(each.result.value)
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


def _dtype(subject: Subject, first: Comparison, counts: dict[str, Any]) -> Finding:
    got, needed = np.asarray(first.result.value).dtype, first.probe.X.dtype
    return Finding(
        LABELS[first.name],
        f"has dtype {got}, not {needed}",
        "dtype",
        cause="The arrays were converted on the way.",
        cure=f"Return {needed} for {needed}" + (f", or audit with dtype={str(got)!r}." if str(got) in DTYPES else "."),
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


def _precision(
    subject: Subject, failed: Sequence[Comparison], tried: Sequence[Comparison], counts: dict[str, Any]
) -> Finding:
    if random := _random(subject, failed):
        return random
    if _unwritten(subject, failed[0]):
        return _garbage(subject, failed[0], counts)
    if alone := _added(subject, failed, tried, counts):
        return alone
    last = failed[-1]
    error = float(np.abs(widened(last.result.value) - last.right).max() / np.abs(last.right).max())
    dtype = last.probe.X.dtype
    # A rounding error is half of the last place.
    likely, _ = min(lower_than(str(dtype)), key=lambda each: abs(math.log2(error) + each[1] + 1))
    return Finding(
        LABELS[last.name],
        f"is summed in a lower precision than {dtype}",
        "precision",
        cause=f"The largest error is {error:.1e} of the largest entry, as of sums in {likely}.",
        cure=f"Accumulate in {dtype} or wider, or audit in the precision you promise.",
        anchor="precision",
        entries=_in_numbers(failed[0]),
        **_record(subject, failed[0]),
        **counts,
    )


def _in_numbers(each: Comparison) -> tuple[str, ...]:
    got = np.asarray(each.result.value)
    return numbered(each.name, each.probe.case, got, each.right, widened(got) != each.right)


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


def _random(subject: Subject, failed: Sequence[Comparison]) -> Finding | None:
    """Make the finding of results that differ from call to call, but for memory where no window reaches."""
    if any(_is_apart(each) for each in failed):
        return None
    # A single entry may be the same several times.
    return state.random(subject, failed[0]) or state.random(subject, failed[-1])


def _unwritten(subject: Subject, smallest: Comparison) -> bool:
    """Whether only pixels that no window reaches are wrong, or the result changes from call to call."""
    if _is_apart(smallest):
        # What is made of G changes its sign with it; memory does not.
        turned = subject.results(dataclasses.replace(smallest.probe, G=-smallest.probe.G))["dX"].value
        return turned is None or not np.array_equal(turned, -np.asarray(smallest.result.value))
    return _changes(subject, smallest)


def _is_apart(each: Comparison) -> bool:
    """Whether only pixels that no window reaches are wrong."""
    if each.name != "dX":
        return False
    wrong = widened(each.result.value) != each.right
    layer = each.probe.geometry
    reached = np.zeros(1 + layer.pixels // layer.groups, bool)
    reached[places(layer)] = True
    return not np.any(wrong & np.tile(reached[1:], layer.groups).reshape(layer.image))


def _clipping(failed: Sequence[Comparison]) -> dict[str, Any] | None:
    """Describe the interval that results are clipped to, where all that is wrong lies on its ends."""
    pairs = [(widened(each.result.value), each.right) for each in failed]
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
