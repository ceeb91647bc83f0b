"""The audit itself: probe, compare, explain, shrink, and what else is observed on the way."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from fractions import Fraction
from typing import Any

import numpy.typing as npt

from jacobians.audit import AuditReport, Finding, behaviour, consistent, describe
from jacobians.audit.probes import Case, Options, Probe, check_dtype, curriculum, draws, expected
from jacobians.audit.subject import LABELS, Result, Subject
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry, check_geometry
from jacobians.verify import exact

__all__ = ["Comparison", "Subject", "audit", "compared", "options"]

Array = npt.NDArray[Any]


def options(
    stride: Any, padding: Any, dilation: Any, groups: int, spatial_ndim: Any, *, bias: bool, dtype: str
) -> Options:
    """Check and normalise what the code under audit was fixed to."""
    if not isinstance(spatial_ndim, int) or spatial_ndim < 1:
        raise ShapeError(f"spatial_ndim is {spatial_ndim!r}; it needs an integer of at least 1")
    dtype = check_dtype(dtype)
    word = isinstance(padding, str)
    # Large enough for any option; only the options are looked at.
    image, one = (groups, *(2**20,) * spatial_ndim), (groups, 1, *(1,) * spatial_ndim)
    layer = Geometry(image, one, stride=stride, padding=padding, dilation=dilation, groups=groups)
    same = word and padding == "same"
    return Options(
        spatial_ndim, layer.stride, None if same else layer.padding, layer.dilation, layer.groups, bias, dtype
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """One result of one call, held against the right one."""

    probe: Probe
    name: str
    result: Result
    right: Array

    @property
    def kind(self) -> str:
        """In what the result differs: nothing, inexact, or one of the kinds of `Finding`."""
        return describe.kind(self.result, self.right, self.probe, self.name)


def audit(subject: Subject, geometries: Iterable[Geometry] | None, seed: int, executor: Executor | None) -> AuditReport:
    """Run the whole audit of one subject."""
    given = _cases(subject.options, geometries)
    if not given:
        raise ShapeError("geometries is empty; give at least one, or leave it out")
    cases = [case for case in given if exact.exact_magnitude(subject.options.dtype, case.terms)]
    if not cases:
        raise ShapeError(f"{given[0]} has sums so long that {subject.options.dtype} has no exact integers; use another")
    first = [each for found in (executor.map if executor else map)(_once(subject, seed), cases) for each in found]
    failed = [each for each in first if each.kind not in {"nothing", "inexact"}]
    inexact = {each.name for each in first if each.kind == "inexact"}
    findings = _findings(subject, failed, first, seed)
    miss: Fraction | None = None
    if not failed:
        miss, failed = _more_draws(subject, cases, seed, inexact=bool(inexact))
        # The first draw alone misses a wrong formula hardly ever: what it passed and the next did not has a memory.
        findings = [describe.state(subject, _of(failed, name)[0]) for name in _names(failed)]
    broken = {each.name for each in failed}
    findings += behaviour.findings(subject, cases, seed, broken, inexact)
    if geometries is None and not broken:
        findings += behaviour.many_images(subject, seed)
    notes = [
        f"{LABELS[name]} is inexact on integers but within the rounding bound: not a direct sum (FFT, Winograd)"
        for name in subject.names
        if name in inexact - broken
    ]
    if len(cases) < len(given):
        notes.append(
            f"{len(given) - len(cases)} layers were left out: their sums are too long for {subject.options.dtype}"
        )
    return AuditReport(
        tuple(findings),
        tuple(notes),
        tuple(LABELS[name] for name in subject.names),
        str(subject.options),
        len(cases),
        subject.calls,
        None if failed or miss is None else math.log2(miss.numerator) - math.log2(miss.denominator),
        seed,
    )


def _findings(subject: Subject, failed: Sequence[Comparison], tried: Sequence[Comparison], seed: int) -> list[Finding]:
    """Make one finding per result that is wrong; where gradients follow from a wrong S, or share an exception, one."""
    follow = consistent.following(subject, failed, seed)
    # S first: the others may follow from it.
    names = [name for name in subject.names if name in _names(failed) and name not in follow]
    found = [describe.finding(subject, _of(failed, name), _of(tried, name)) for name in names]
    if follow:
        found = [consistent.merged(each, follow) if each.about == LABELS["S"] else each for each in found]
    return consistent.raised_once(found)


def _cases(options: Options, geometries: Iterable[Geometry] | None) -> list[Case]:
    if geometries is None:
        return curriculum(options)
    return [Case(check_geometry(geometry), 2) for geometry in geometries]


def _once(subject: Subject, seed: int) -> Callable[[Case], list[Comparison]]:
    def compare(case: Case) -> list[Comparison]:
        probe, _ = next(draws(case, subject.options, seed))
        return list(compared(subject, probe))

    return compare


def compared(subject: Subject, probe: Probe) -> Iterator[Comparison]:
    """Call the code under audit and hold each of its results against the right one."""
    right = expected(probe, backward=subject.backward is not None)
    for name, result in subject.results(probe).items():
        yield Comparison(probe, name, result, right[name])


def _more_draws(
    subject: Subject, cases: Sequence[Case], seed: int, *, inexact: bool
) -> tuple[Fraction, list[Comparison]]:
    """Draw again until a wrong bilinear form is missed with the target probability at most; stop where one shows."""
    worst = Fraction(0)
    for case in cases:
        missed = Fraction(1)
        for number, (probe, miss) in enumerate(draws(case, subject.options, seed)):
            missed *= describe.near_miss(probe) if inexact else miss
            if number == 0:
                continue
            failed = [each for each in compared(subject, probe) if each.kind not in {"nothing", "inexact"}]
            if failed:
                return worst, failed
        worst = max(worst, missed)
    return worst, []


def _of(comparisons: Sequence[Comparison], name: str) -> list[Comparison]:
    return [each for each in comparisons if each.name == name]


def _names(comparisons: Sequence[Comparison]) -> list[str]:
    return list(dict.fromkeys(each.name for each in comparisons))
