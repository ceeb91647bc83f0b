"""The audit itself: probe, compare, explain, shrink, and what else is observed on the way."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from fractions import Fraction
from typing import Any

import numpy.typing as npt

from jacobians.audit import AuditReport, behaviour, describe
from jacobians.audit.probes import Case, Options, Probe, curriculum, draws, expected, scheme_of
from jacobians.audit.subject import LABELS, Result, Subject
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry, check_geometry

__all__ = ["Comparison", "Subject", "audit", "compared", "options"]

Array = npt.NDArray[Any]

# Probability with which a wrong bilinear form may pass at one layer, and draws after which a layer is left as it is.
TARGET = Fraction(1, 2**60)
MOST_DRAWS = 192
FINE = {"nothing", "inexact"}
DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32")


def options(
    stride: Any, padding: Any, dilation: Any, groups: int, spatial_ndim: Any, *, bias: bool, dtype: str
) -> Options:
    """Check and normalise what the code under audit was fixed to."""
    if not isinstance(spatial_ndim, int) or spatial_ndim < 1:
        raise ShapeError(f"spatial_ndim is {spatial_ndim!r}; it needs an integer of at least 1")
    if str(dtype) not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; it needs one of {', '.join(DTYPES)}")
    word = isinstance(padding, str)
    # Large enough for any option; only the options are looked at.
    image, one = (groups, *(2**20,) * spatial_ndim), (groups, 1, *(1,) * spatial_ndim)
    layer = Geometry(image, one, stride=stride, padding=padding, dilation=dilation, groups=groups)
    same = word and padding == "same"
    return Options(
        spatial_ndim, layer.stride, None if same else layer.padding, layer.dilation, layer.groups, bias, str(dtype)
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
    cases = [case for case in given if scheme_of(case, subject.options.dtype)]
    if not cases:
        raise ShapeError(f"{given[0]} has sums so long that {subject.options.dtype} has no exact integers; use another")
    first = [each for found in (executor.map if executor else map)(_once(subject, seed), cases) for each in found]
    failed = [each for each in first if each.kind not in FINE]
    inexact = {each.name for each in first if each.kind == "inexact"}
    findings = [describe.finding(subject, _of(failed, name), _of(first, name)) for name in _names(failed)]
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
    if miss is not None and miss > TARGET and not failed:
        notes.append(
            f"{MOST_DRAWS} draws did not reach 2^{math.log2(TARGET):.0f} at the layer with the longest sums: "
            f"{subject.options.dtype} holds too few integers; audit smaller layers, or a wider dtype, as well"
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
        for number, (probe, miss) in enumerate(itertools.islice(draws(case, subject.options, seed), MOST_DRAWS)):
            missed *= describe.near_miss(probe) if inexact else miss
            failed = [] if number == 0 else [each for each in compared(subject, probe) if each.kind not in FINE]
            if failed:
                return worst, failed
            if missed <= TARGET:
                break
        worst = max(worst, missed)
    return worst, []


def _of(comparisons: Sequence[Comparison], name: str) -> list[Comparison]:
    return [each for each in comparisons if each.name == name]


def _names(comparisons: Sequence[Comparison]) -> list[str]:
    return list(dict.fromkeys(each.name for each in comparisons))
