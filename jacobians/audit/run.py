"""The audit itself: probe, compare, explain, shrink, and what else is observed on the way."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import AuditReport, Finding, batches, behaviour, consistent, describe, judge, relayout, state
from jacobians.audit.probes import (
    MOST_DRAWS,
    TARGET,
    Case,
    Options,
    Probe,
    affordable,
    check_dtype,
    curriculum,
    draw,
    expected,
    miss_of,
    scheme_of,
)
from jacobians.audit.subject import LABELS, Result, Subject, check_flag
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry, check_geometry

__all__ = ["Comparison", "Subject", "audit", "compared", "options"]

Array = npt.NDArray[Any]


def options(
    stride: Any, padding: Any, dilation: Any, groups: Any, spatial_ndim: Any, *, bias: bool, dtype: str
) -> Options:
    """Check and normalise what the code under audit was fixed to."""
    if not isinstance(spatial_ndim, int) or spatial_ndim < 1:
        raise ShapeError(f"spatial_ndim is {spatial_ndim!r}; it needs an integer of at least 1")
    if not isinstance(groups, int | np.integer) or isinstance(groups, bool) or groups < 1:
        raise ShapeError(f"groups is {groups!r}; it needs an integer of at least 1, the number of groups of planes")
    check_flag("bias", bias)
    groups, dtype = int(groups), check_dtype(dtype)
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
        return judge.kind(self.result, self.right, self.probe, self.name)


def audit(subject: Subject, geometries: Iterable[Geometry] | None, seed: int, executor: Executor | None) -> AuditReport:
    """Run the whole audit of one subject."""
    _check_run(seed, executor)
    relayout.check(subject)
    cases, left_out = _chosen(subject.options, geometries)
    first = [each for found in (executor.map if executor else map)(_once(subject, seed), cases) for each in found]
    inexact = {each.name for each in first if each.kind == "inexact"}
    failed = [each for each in first if _is_wrong(each, inexact)]
    findings = _findings(subject, failed, first, seed)
    miss: Fraction | None = None
    if not failed:
        miss, failed = _more_draws(subject, cases, seed, inexact)
        findings = [_later(subject, _of(failed, name), state.largest(cases)) for name in _names(failed)]
    broken = {each.name for each in failed}
    mixing = set(subject.names) if inexact or _mixes(subject, behaviour.observed(cases), seed) else set()
    findings += behaviour.findings(subject, cases, seed, broken, mixing)
    if geometries is None and not broken:
        findings += batches.many_images(subject, seed, mixing)
    findings += behaviour.changes(subject)
    return AuditReport(
        tuple(findings),
        (*left_out, *_notes(subject, inexact - broken, None if failed else miss)),
        tuple(LABELS[name] for name in subject.names),
        str(subject.options),
        len(cases),
        subject.calls,
        None if failed or miss is None else math.log2(miss.numerator) - math.log2(miss.denominator),
        seed,
    )


def _chosen(options: Options, geometries: Iterable[Geometry] | None) -> tuple[list[Case], list[str]]:
    """Return the layers to try, and notes on those that are left out."""
    given = _cases(options, geometries)
    if not given:
        raise ShapeError("geometries is empty; give at least one, or leave it out")
    exact = [case for case in given if scheme_of(case, options.dtype)]
    if not exact:
        raise ShapeError(f"{given[0]} has sums so long that {options.dtype} has no exact integers; use another")
    cases = exact if geometries is not None else affordable(exact, options.dtype)
    if not cases:
        raise ShapeError(
            f"{options} makes layers with several planes and filters too large to audit in minutes; audit the "
            "code with less padding, smaller steps or a wider dtype, or take the time with geometries of your own"
        )
    long = _left_out(len(given) - len(exact), f"their sums are too long for {options.dtype}")
    large = _left_out(len(exact) - len(cases), "these options make them too large to try all in minutes")
    return cases, [*long, *large]


def _check_run(seed: Any, executor: Any) -> None:
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed is {seed!r}; it needs an integer of at least 0")
    if executor is not None:
        _check_executor(executor)


def _check_executor(executor: Any) -> None:
    if not isinstance(executor, Executor):
        raise TypeError(f"executor has type {type(executor).__name__}; it needs a concurrent.futures.Executor, or None")
    here: list[bool] = []
    executor.submit(here.append, True).result()  # another process appends to a copy
    if not here:
        raise TypeError(
            f"executor is a {type(executor).__name__}, which calls in other processes; audit needs calls in this one, "
            "to see what they keep and write: give a concurrent.futures.ThreadPoolExecutor, or None"
        )


def _findings(subject: Subject, failed: Sequence[Comparison], tried: Sequence[Comparison], seed: int) -> list[Finding]:
    """Make one finding per result that is wrong; where gradients follow from a wrong S, or share an exception, one."""
    follow = consistent.following(subject, failed, seed)
    # S first: the others may follow from it.
    names = [name for name in subject.names if name in _names(failed) and name not in follow]
    found = [describe.finding(subject, _of(failed, name), _of(tried, name)) for name in names]
    if names[:1] == ["S"] and (found[0].kind == "exception" or (found[0].kind == "shape" and not found[0].cause)):
        moved = relayout.relaid(subject, found[0], failed, tried)
        if moved is not found[0]:
            return [moved]
    if follow:
        found = [consistent.merged(each, follow) if each.about == LABELS["S"] else each for each in found]
    return consistent.raised_once(found)


def _left_out(count: int, why: str) -> Iterator[str]:
    if count:
        yield f"{count} {'layer was' if count == 1 else 'layers were'} left out: {why}"


def _notes(subject: Subject, inexact: Collection[str], miss: Fraction | None) -> Iterator[str]:
    dtype = subject.options.dtype
    for name in subject.names:
        if name in inexact:
            label = LABELS[name]
            yield f"{label} is inexact on integers but within the rounding bound: not a direct sum (FFT, Winograd)"
    if miss is not None and miss > TARGET:
        yield (
            f"{MOST_DRAWS} draws did not reach 2^{math.log2(TARGET):.0f} at the layer with the longest sums: "
            f"{dtype} holds too few integers; audit smaller layers, or a wider dtype, as well"
        )


def _cases(options: Options, geometries: Iterable[Geometry] | None) -> list[Case]:
    if geometries is None:
        return curriculum(options)
    if isinstance(geometries, Geometry) or not isinstance(geometries, Iterable):
        raise TypeError(f"geometries is {geometries!r}; it needs a list of Geometry, such as [Geometry(…)]")
    found = [check_geometry(geometry) for geometry in geometries]
    for number, geometry in enumerate(found):
        _check_options(f"geometries[{number}]", geometry, options)
    return [Case(geometry, 2) for geometry in found]


def _check_options(name: str, geometry: Geometry, options: Options) -> None:
    """Refuse a layer that the code under audit was not fixed to: the verdict speaks of the options."""
    wanted = {
        "spatial_ndim": options.spatial_ndim,
        "stride": options.stride,
        "padding": options.padding,
        "dilation": options.dilation,
        "groups": options.groups,
    }
    for option, value in wanted.items():
        has = getattr(geometry, option)
        same = options.zeros(geometry.filters[2:]) if option == "padding" and value is None else value
        if has != same:
            raise ShapeError(
                f"{name} has {option} {has}, but the audit is of {option} {'same' if value is None else value}; "
                f"give the audit the options that the code was fixed to: {option}={has}"
            )


def _once(subject: Subject, seed: int) -> Callable[[Case], list[Comparison]]:
    def compare(case: Case) -> list[Comparison]:
        return list(compared(subject, draw(case, subject.options, seed)))

    return compare


def compared(subject: Subject, probe: Probe) -> Iterator[Comparison]:
    """Call the code under audit and hold each of its results against the right one."""
    right = expected(probe, backward=subject.backward is not None)
    for name, result in subject.results(probe).items():
        yield Comparison(probe, name, result, right[name])


def _more_draws(
    subject: Subject, cases: Sequence[Case], seed: int, inexact: set[str]
) -> tuple[Fraction, list[Comparison]]:
    """Draw again until a wrong bilinear form is missed with the target probability at most; stop where one shows."""
    worst, known = Fraction(0), len(inexact)
    for case in cases:
        missed = Fraction(1)
        for number in range(MOST_DRAWS):
            probe = draw(case, subject.options, seed, number)
            found = list(compared(subject, probe)) if number else []  # the first was compared before
            failed = [each for each in found if _is_wrong(each, inexact)]
            if failed:
                return worst, failed
            inexact |= {each.name for each in found if each.kind == "inexact"}
            if inexact and not known:  # by the other bound, then, from the start
                return _more_draws(subject, cases, seed, inexact)
            missed *= judge.near_miss(probe) if inexact else miss_of(case, subject.options.dtype)
            if missed <= TARGET:
                break
        worst = max(worst, missed)
    return worst, []


def _is_wrong(each: Comparison, inexact: Collection[str]) -> bool:
    """Whether it is a finding; of a fast algorithm, long sums cannot be judged where the bound allows anything."""
    judged = each.kind not in {"values", "precision"} or judge.slack(each.probe, each.name) > 0
    return each.kind not in judge.FINE and (judged or not inexact)


def _later(subject: Subject, failed: Sequence[Comparison], largest: Case) -> Finding:
    """Make the finding of a result that was right for the first numbers at a layer, and is wrong for later ones."""
    first = failed[0]
    again = next(each for each in compared(subject, first.probe) if each.name == first.name)
    if again.kind == first.kind == "values" and not _is_kept(subject, first):
        value = first.result.value
        if value is not None and again.result.value is not None and np.array_equal(value, again.result.value):
            return describe.finding(subject, failed, failed)
    return state.later(subject, first, largest)


def _is_kept(subject: Subject, each: Comparison) -> bool:
    """Whether what is wrong stays the same when X, F or G changes its sign, as what is left of earlier calls does."""
    got = np.asarray(each.result.value)
    wrong = got != each.right
    for letter in judge.FACTORS[each.name]:
        turned = dataclasses.replace(each.probe, **{letter: -getattr(each.probe, letter)})
        value = subject.results(turned)[each.name].value
        if value is not None and np.any(got[wrong]) and np.array_equal(value[wrong], got[wrong]):
            return True
    return False


def _mixes(subject: Subject, case: Case, seed: int) -> bool:
    """Whether it transforms whole rows or planes, in a wider dtype whose errors are rounded away."""
    if subject.options.dtype not in {"float32", "float16"}:  # in bfloat16, a NaN may spread anyhow
        return False
    probe = draw(case, subject.options, seed)
    # In a transform, a NaN in one entry reaches what NaNs in all entries of a line through it reach.
    single = _reached(subject, probe, {})
    # A line of several entries that is reduced to several entries.
    sizes = zip(probe.X.shape[2:], probe.G.shape[2:], strict=True)
    lines = [axis for axis, size in enumerate(sizes) if min(size) > 1]
    return any(
        bool(found.any()) and not found[:-1].any() and np.array_equal(found, single[name])
        for axis in lines
        for name, found in _reached(subject, probe, {axis: slice(None)}).items()
    )


def _reached(subject: Subject, probe: Probe, line: Mapping[int, slice]) -> dict[str, Array]:
    """Where S and ∂l/∂X are NaN if the first entry of a plane of X and of G is, or a line from it."""
    X, G = probe.X.copy(), probe.G.copy()
    at = (-1, 0, *(line.get(axis, 0) for axis in range(X.ndim - 2)))
    X[at] = G[at] = np.nan
    results = subject.results(dataclasses.replace(probe, X=X, G=G))
    values = {name: results[name].value for name in ("S", "dX") if name in results}
    return {name: np.isnan(value) for name, value in values.items() if value is not None}


def _of(comparisons: Sequence[Comparison], name: str) -> list[Comparison]:
    return [each for each in comparisons if each.name == name]


def _names(comparisons: Sequence[Comparison]) -> list[str]:
    return list(dict.fromkeys(each.name for each in comparisons))
