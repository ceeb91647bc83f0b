"""The audit of one of these layers: compare, observe, explain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from jacobians.audit import AuditReport, Finding
from jacobians.audit.layers import conduct
from jacobians.audit.layers.findings import finding, share, values
from jacobians.audit.layers.shared import LARGE, REAL, Code, Comparison, Probe, Theory
from jacobians.audit.layers.state import SHAPES, drawn, state
from jacobians.audit.memory import OVERWRITTEN

__all__ = ["audited"]

# Between errors of one precision, compared with the largest entry, there is no such factor.
ALIKE = 2**8
# Numbers of which some stay in a buffer that is not cleared.
ENOUGH = 12
# Title, cause and cure of a result that is not a number.
UNWRITTEN = (
    "is not a number",
    "An array of np.empty is not filled everywhere, or a sum overflows.",
    "Start from zeros, and write every entry.",
)


def audited(code: Code, probes: Sequence[Probe], log2_miss: float | None = None) -> AuditReport:
    """Run one audit: compare, observe, explain; `log2_miss` is what these probes miss with which probability."""
    # Before all other calls, as a cache may look like a formula.
    kept = list(state(code, min((each for each in probes if each.numbers >= ENOUGH), key=lambda each: each.numbers)))
    unsteady = {each.about for each in kept if each.title != OVERWRITTEN[0]}
    probes = [*probes, *(drawn(code, 0, shape) for shape in range(SHAPES))]
    tried = [
        Comparison(probe, name, result, right[name])
        for probe in probes
        for right in [code.layer.right(probe)]
        for name, result in code.results(probe).items()
    ]
    findings = [found for name in code.names for found in _of_result(code, tried, name, unsteady)]
    findings += [*conduct.calls(code, tried), *kept]
    broken = {each.name for each in tried if each.kind != "nothing" or code.layer.labels[each.name] in unsteady}
    findings += [*conduct.layouts(code, probes, broken), *conduct.not_a_number(code, probes, broken)]
    return AuditReport(
        tuple(findings),
        () if findings else _notes(code, tried),
        tuple(code.layer.labels[name] for name in code.names),
        f"{code.layer.title}, {code.dtype}",
        len(probes),
        code.calls,
        None if findings else log2_miss,
        code.seed,
        code.layer.unit,
    )


def _notes(code: Code, tried: Sequence[Comparison]) -> tuple[str, ...]:
    """Say how large the errors are, where there is a bound for them."""
    shares = [(float(np.max(np.abs(each.got - each.right.value) / each.right.error)), each.name)
              for each in tried if each.right.error.any() and each.probe.what != REAL]  # fmt: skip
    if not shares:
        return ()
    worst, name = max(shares)
    label = code.layer.labels[name]
    return (f"{label} is inexact but within the rounding bound, of which it takes {worst:.2g} at most",)


def _of_result(code: Code, tried: Sequence[Comparison], name: str, unsteady: set[str]) -> Iterator[Finding]:
    """Find what is wrong with one result, if anything is."""
    mine = _of(tried, name)
    wrong = _telling(_of(mine, name, "values", "shape"))
    right = [each for each in _of(mine, name, "nothing") if each.probe.what != REAL]
    lost, others = _of(mine, name, "not written"), _of(mine, name, "dtype")
    whole = bool(wrong) and wrong[0].probe.what != REAL
    mistakes = [each for each in code.layer.theories if each.about == name] if whole else []
    theory = next((each for each in mistakes if _explains(each, wrong, right)), None)
    why = code.layer.lost(name, [*wrong, *right, *lost]) if lost else None
    # What was never written, or depends on other calls, has wrong values too.
    if (
        wrong
        and code.layer.labels[name] not in unsteady
        and (theory or why or all(each.probe.what == LARGE for each in lost))
    ):
        yield values(code, wrong, theory, len(mine), overflow=bool(lost))
    if lost:
        title, cause, cure = why or UNWRITTEN
        anchor = code.layer.anchor if why else "memory"
        yield finding(code, lost, len(mine), title, "not written", cause=cause, cure=cure, anchor=anchor)
    if others:
        got, needed = np.asarray(others[0].result.value).dtype, code.dtype
        needs = needed if others[0].right.value.shape else "a floating-point one"
        cause, cure = "The arrays were converted on the way.", f"Return {needs} for {needed}."
        title = f"has dtype {got}, not {needs}"
        yield finding(code, others, len(mine), title, "dtype", cause=cause, cure=cure, anchor="")


def _telling(wrong: Sequence[Comparison]) -> list[Comparison]:
    """Take integers, whose sums are exact; others where these are right, or wrong as large numbers may be."""
    real, large = ([each for each in wrong if each.probe.what == what] for what in (REAL, LARGE))
    if len(real) + len(large) == len(wrong) and share(real) > ALIKE * share(large):
        return [*real, *large]
    return [each for each in wrong if each.probe.what != REAL]


def _of(tried: Sequence[Comparison], name: str, *kinds: str) -> list[Comparison]:
    """Take those of a result, and of some kinds, fewest numbers first."""
    mine = [each for each in tried if each.name == name and (not kinds or each.kind in kinds)]
    return sorted(mine, key=lambda each: each.probe.numbers)


def _explains(theory: Theory, wrong: Sequence[Comparison], right: Sequence[Comparison]) -> bool:
    """Whether a theory reproduces all that is wrong, and contradicts nothing that is right."""
    return (
        bool(wrong)
        and all(theory.explains(each.probe, each.got) for each in wrong)
        and all(theory.explains(each.probe, each.got) is not False for each in right)
    )
