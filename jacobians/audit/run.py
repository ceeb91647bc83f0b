"""The audit itself: look for state, compare, explain, and observe what else calls do."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from fractions import Fraction
from typing import Any

import numpy as np

from jacobians.arguments import instance, seed_of
from jacobians.audit import relayout
from jacobians.audit.cases import Case, Options
from jacobians.audit.compare import Comparison, Run, counted, listed
from jacobians.audit.conduct.digits import digits
from jacobians.audit.conduct.in_place import in_place
from jacobians.audit.conduct.large_batches import large_batches
from jacobians.audit.conduct.layouts import memory_layouts
from jacobians.audit.conduct.lost import lost
from jacobians.audit.conduct.not_a_number import not_a_number
from jacobians.audit.conduct.state import seldom, state
from jacobians.audit.curriculum import affordable
from jacobians.audit.explain import explained
from jacobians.audit.flags import proposed
from jacobians.audit.layer import REAL, Layer
from jacobians.audit.layers.convolution import Convolution
from jacobians.audit.numbers import MOST_DRAWS, TARGET, scheme_of
from jacobians.audit.report import AuditReport, Finding, several
from jacobians.audit.subject import Subject, about_arguments
from jacobians.audit.surroundings import functions_kept, interrupts, random_numbers_kept
from jacobians.errors import CallError, Interrupted, ShapeError
from jacobians.geometry import Geometry, check_geometries
from jacobians.sizes import check_bytes

__all__ = ["CONDUCT", "Progress", "audited"]

# Told how many calls were made, and how many right code takes.
Progress = Callable[[int, int], None]
# Calls of each function that right code takes for each case, in the mean.
CALLS = 4

# What is observed of calls besides their results, in this order.
CONDUCT: tuple[Callable[[Run], Iterator[Finding]], ...] = (
    digits,
    memory_layouts,
    not_a_number,
    large_batches,
    in_place,
    # Last: it counts the calls of all others.
    seldom,
)


def audited(
    layer: Layer,
    functions: Mapping[str, Callable[..., Any] | None],
    seed: Any,
    *,
    geometries: Iterable[Geometry] | None = None,
    executor: Executor | None = None,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> AuditReport:
    """Run one audit of functions by their names; of a convolution, at given layers; first draws in an executor."""
    with interrupts(), random_numbers_kept(), functions_kept():
        report = _audited(layer, functions, seed, geometries, executor, progress)
    return dataclasses.replace(report, notes=(*report.notes, *notes))


def _audited(
    layer: Layer,
    functions: Mapping[str, Callable[..., Any] | None],
    seed: Any,
    geometries: Iterable[Geometry] | None,
    executor: Executor | None,
    progress: Progress | None,
) -> AuditReport:
    subject = Subject(functions, layer.takes, layer.gives, layer.labels)
    _check_executor(executor)
    run = Run(subject, layer, [], seed_of(seed), restricted=geometries is not None)
    if isinstance(layer, Convolution):
        relayout.check(run, layer.options.spatial_ndim)
        run.cases, left_out = _chosen(layer, geometries)
    else:
        run.cases, left_out = layer.curriculum(), []
    if progress:
        expected = CALLS * len(run.cases) * len(subject.functions)
        subject.called = lambda calls: progress(calls, max(calls, expected))
    findings: list[Finding] = []
    try:
        worst = _found(run, executor, findings)
    except KeyboardInterrupt:
        report = _report(run, findings, (*left_out, *_wrong_so_far(run, findings)), None, interrupted=_interrupted(run))
        raise Interrupted(report.interrupted, report) from None
    if run.broken and not findings:
        raise AssertionError(
            f"{sorted(run.broken)} are wrong, and no finding says so; please report this as a bug of jacobians"
        )
    miss = None if findings and (run.broken or run.slipped) else worst
    notes = (*left_out, *_notes(run, miss, exact=not findings), *proposed(run, findings))
    return _report(run, findings, notes, miss)


def _found(run: Run, executor: Executor | None, findings: list[Finding]) -> Fraction | None:
    """Find what is wrong, one thing after the other; return what was missed at most."""
    # Before all other calls, as a cache may look like a formula.
    findings += state(run)
    worst = _compare(run, executor)
    _check_called(run)
    findings[:0] = explained(run)
    for observe in CONDUCT:
        findings += observe(run)
    findings += lost(run, findings)
    return worst


def _report(
    run: Run, findings: Sequence[Finding], notes: Sequence[str], miss: Fraction | None, *, interrupted: str = ""
) -> AuditReport:
    gives = run.subject.gives
    parts = {side: each / len(gives[side]) for side, each in run.subject.seconds.items()}
    seconds = {run.label(name): part for side, part in parts.items() for name in gives[side]}
    return AuditReport(
        tuple(findings),
        tuple(notes),
        tuple(map(run.label, run.subject.names)),
        run.layer.title,
        run.done,
        run.subject.calls,
        None if miss is None else math.log2(miss.numerator) - math.log2(miss.denominator),
        run.seed,
        run.layer.unit,
        interrupted,
        seconds,
    )


def _check_called(run: Run) -> None:
    """Refuse code that no call has fitted: that is no verdict on what it computes."""
    for side in run.subject.functions:
        raised = [each.result.raised for name in run.subject.gives[side] for each in run.of(name)]
        if raised and all(map(about_arguments, raised)):
            takes, gives = run.subject.takes[side], [run.layer.labels[name] for name in run.subject.gives[side]]
            what = f"the array {gives[0]}" if len(gives) == 1 else f"the arrays ({', '.join(gives)})"
            expects = f"an audit calls {side}({', '.join(takes)}) and expects {what}"
            raise CallError(f"every call of {side} fails: {raised[0]}; {expects}")


# what is compared -----------------------------------------------------------------------------------------------------


def _compare(run: Run, executor: Executor | None) -> Fraction | None:
    """Compare the first draws of all cases, then more of what is right so far; return what was missed at most."""

    def first(case: Any) -> list[Comparison]:
        return run.compared(run.layer.draw(case, run.seed))

    for found in (executor.map if executor else map)(first, run.cases):
        run.tried += found
        run.done += 1
    # What was wrong twice by chance, before that was known.
    run.tried = [run.resettled(each) for each in run.tried]
    run.inexact = {each.name for each in run.tried if each.kind == "inexact"}
    # A wrong result may be near the right one at some layers.
    run.inexact -= run.broken
    return _more_draws(run)


def _more_draws(run: Run) -> Fraction | None:
    """Draw again until a wrong bilinear form is missed with the target probability at most."""
    worst, known, broken = Fraction(0), bool(run.inexact), run.broken
    for case in run.cases:
        missed = miss = run.layer.miss(case)
        if missed is None or miss is None:
            return None
        if run.inexact:
            missed = run.layer.near_miss(run.layer.draw(case, run.seed))
        for number in range(1, MOST_DRAWS):
            sides = [side for side in run.subject.functions if set(run.subject.gives[side]) - broken]
            if missed <= TARGET or not sides:
                break
            probe = run.layer.draw(case, run.seed, number)
            for side in sides:
                for each in run.compared(probe, only=side):
                    if each.name not in broken and run.is_wrong(each):
                        run.tried.append(each)
                        broken.add(each.name)
                    elif each.name not in broken and each.kind == "inexact":
                        run.inexact.add(each.name)
            if run.inexact and not known:  # by the other bound, then, from the start
                return _more_draws(run)
            missed *= run.layer.near_miss(probe) if run.inexact else miss
        worst = max(worst, missed)
    return worst


# what is tried --------------------------------------------------------------------------------------------------------


def _chosen(layer: Convolution, geometries: Iterable[Geometry] | None) -> tuple[Sequence[Case], list[str]]:
    """Return the layers to try, and notes on those that are left out."""
    options = layer.options
    given = layer.curriculum() if geometries is None else _given(geometries, options)
    if not given:
        raise ShapeError("geometries is empty; give at least one, or leave it out")
    exact = [case for case in given if scheme_of(case, options.dtype)]
    if not exact:
        raise ShapeError(
            f"{given[0]} has sums so long that {options.dtype} cannot hold them exactly; audit a smaller layer or a "
            "wider dtype"
        )
    cases = affordable(exact, options.dtype) if geometries is None else exact
    if not cases:
        raise ShapeError(
            f"with {options}, layers with several planes and filters are too large to audit in minutes; audit the "
            "code with less padding, smaller steps or a wider dtype, or give geometries of your own"
        )
    left_out = {
        f"{options.dtype} cannot hold their sums exactly": len(given) - len(exact),
        "with these options, they would take minutes": len(exact) - len(cases),
    }
    said = {why: counted(count, "layer was", "layers were") for why, count in left_out.items() if count}
    return cases, [f"{layers} left out: {why}" for why, layers in said.items()]


def _given(geometries: Iterable[Geometry], options: Options) -> list[Case]:
    found = [Case(geometry, 2) for geometry in check_geometries(geometries)]
    for number, case in enumerate(found):
        name = f"geometries[{number}]"
        _check_options(name, case.geometry, options)
        cure = "audit smaller layers, which show the same mistakes"
        check_bytes(f"an audit at {name}, {case.geometry!r},", case.bytes, cure)
    return found


def _check_options(name: str, geometry: Geometry, options: Options) -> None:
    """Refuse a layer that the code under audit was not fixed to: the verdict speaks of the options."""
    for option in ("spatial_ndim", "stride", "padding", "dilation", "groups"):
        has, value = getattr(geometry, option), getattr(options, option)
        if has != (options.zeros(geometry.filters[2:], geometry.image[1:]) if value is None else value):
            raise ShapeError(
                f"{name} has {option} {has}, but the audit has {option} {options.rule if value is None else value}; "
                f"give the audit the options of the code: {option}={has}"
            )


def _check_executor(executor: Any) -> None:
    instance("executor", executor, Executor | None, "a concurrent.futures.Executor, or None")
    if executor is None:
        return
    here: list[bool] = []
    executor.submit(here.append, True).result()  # another process appends to a copy
    if not here:
        raise TypeError(
            f"executor is a {type(executor).__name__}, which calls in other processes; an audit needs calls in this "
            "process, "
            "where it can check what they keep and write: give a concurrent.futures.ThreadPoolExecutor, or None"
        )


# what a Ctrl-C leaves -------------------------------------------------------------------------------------------------


def _interrupted(run: Run) -> str:
    compared = f"{run.done} of {counted(len(run.cases), run.layer.unit, several(run.layer.unit))}"
    return f"Interrupted after {compared}; a result that is not listed as wrong here has not been shown to be right."


def _wrong_so_far(run: Run, findings: Sequence[Finding]) -> Iterator[str]:
    """Say what is wrong and was not looked into any more."""
    told = {name for each in findings for name in (each.about, *each.follows)}
    for name in run.subject.names:
        wrong = sum(map(run.is_wrong, run.of(name)))
        if wrong and run.label(name) not in told:
            yield (
                f"{run.label(name)} was wrong at {wrong} of {run.done}; the audit was "
                "interrupted before it looked for the reason"
            )


# what is worth knowing ------------------------------------------------------------------------------------------------


def _notes(run: Run, miss: Fraction | None, *, exact: bool) -> Iterator[str]:
    """Say what is inexact, and by how much, and where the target was not reached."""
    dtype = run.layer.dtype
    for side, around in run.around.items():
        if around:
            yield f"{side} changes {listed(around)} for the whole process; the audit has restored this"
    for name in run.subject.names:
        if name in run.inexact - run.broken:
            why = "the code does not sum directly (FFT, Winograd)"
            yield f"{run.label(name)} is inexact on integers but within the rounding bound: {why}"
    if exact and (shares := list(_shares(run.tried))):
        share, name = max(shares)
        much = f"the largest error is {share:.2g} of its bound"
        yield f"{run.label(name)} is inexact but within the rounding bound: {much}"
    if miss is not None and miss > TARGET:
        yield (
            f"at the layer with the longest sums, {MOST_DRAWS} draws did not reach the probability "
            f"2^{math.log2(TARGET):.0f}: {dtype} holds too few integers; audit smaller layers or a wider dtype as well"
        )


def _shares(tried: Collection[Comparison]) -> Iterator[tuple[float, str]]:
    """How much of their bounds errors take, where there are bounds on integers."""
    for each in tried:
        if each.probe.what != REAL and np.any(each.right.error):
            yield float(np.max(np.abs(each.got - each.right.value) / each.right.error)), each.name
