"""The smallest case that shows a finding."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jacobians.audit.probes import Case, Options, Probe, integers
from jacobians.audit.subject import Subject
from jacobians.errors import ShapeError
from jacobians.evidence import exact

if TYPE_CHECKING:
    from jacobians.audit.run import Comparison

__all__ = ["smallest_case"]

# Layers to try from below, and steps to take from above.
MOST_CASES = 200
MOST_STEPS = 200
# Magnitude of numbers that are easy to read, and draws of them at every layer and at the last.
SMALL = 9
FEW = 3
MANY = 16

Shows = Callable[["Comparison"], bool]


def smallest_case(subject: Subject, name: str, failed: Sequence[Comparison], shows: Shows) -> Comparison:
    """Find the layer with the fewest numbers at which the same thing is wrong.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    name : str
        S, dX, dF or db.
    failed : sequence of Comparison
        Where it showed.
    shows : callable
        Whether a comparison shows it.

    Returns
    -------
    Comparison
        Of the first of the small layers, in ascending size, that shows it. Where none does, of the smallest that those
        where it showed can be cut down to, one size after the other, and it still shows.
    """
    best = min((each for each in failed if shows(each)), key=lambda each: each.probe.case.numbers, default=failed[0])
    for case in small_cases(subject.options):
        if case.numbers >= best.probe.case.numbers:
            break
        if found := _shown(subject, name, case, shows):
            return found
    return _cut_down(subject, name, best, shows)


def _cut_down(subject: Subject, name: str, best: Comparison, shows: Shows) -> Comparison:
    steps = 0
    smaller: Comparison | None = best
    while smaller:
        best, smaller = smaller, None
        for case in _smaller(best.probe.case, subject.options):
            steps += 1
            if steps > MOST_STEPS:
                break
            if smaller := _shown(subject, name, case, shows):
                break
    return _shown(subject, name, best.probe.case, shows, MANY) or best


def _shown(subject: Subject, name: str, case: Case, shows: Shows, count: int = FEW) -> Comparison | None:
    from jacobians.audit.run import compared

    for probe in _numbers(case, subject.options, count):
        for each in compared(subject, probe):
            if each.name == name and shows(each):
                return each
    return None


def _numbers(case: Case, options: Options, count: int) -> Iterator[Probe]:
    """Draw numbers that are easy to read, and then such as an audit draws."""
    generator = np.random.default_rng(1)
    most = exact.exact_magnitude(options.dtype, case.terms)
    for _ in range(count if most else 0):
        yield integers(case, options, min(SMALL, most), generator)
    if most > SMALL:
        yield integers(case, options, most, generator)


@functools.lru_cache(maxsize=16)
def small_cases(options: Options) -> list[Case]:
    """Enumerate small layers for these options, fewest numbers first.

    Parameters
    ----------
    options : Options
        What the code under audit was fixed to.

    Returns
    -------
    list of Case
        One or two images, planes and filters per group, one to three taps on the first and the last axis, and images
        from a single pixel on.
    """
    axes = options.spatial_ndim
    taps = [_spread(each, axes) for each in itertools.product(range(1, 4), repeat=min(axes, 2))]
    sizes = [_spread(each, axes) for each in itertools.product(range(1, 8), repeat=min(axes, 2)) if sum(each) <= 9]
    found = {
        case
        for n, d, f in itertools.product((1, 2), repeat=3)
        for k, size in itertools.product(taps, sizes)
        if (case := _case(options, n, d, f, k, size))
    }
    return sorted(found, key=lambda case: (case.numbers, str(case)))[:MOST_CASES]


def _spread(pattern: tuple[int, ...], axes: int) -> tuple[int, ...]:
    return pattern if axes == len(pattern) else (pattern[0], *(1,) * (axes - 2), pattern[-1])


def _case(
    options: Options, images: int, planes: int, filters: int, taps: Sequence[int], size: Sequence[int]
) -> Case | None:
    g = options.groups
    try:
        return Case(options.geometry((g * planes, *size), (g * filters, planes, *taps)), images)
    except ShapeError:
        return None


def _smaller(case: Case, options: Options) -> Iterator[Case]:
    """Yield layers with fewer numbers: one size less, the largest steps first."""
    g = case.geometry
    planes, filters, taps, size = g.planes_per_group, g.filters_per_group, g.filters[2:], g.image[1:]
    now = [case.images, planes, filters, *taps, *size]
    axes = len(taps)
    for at, value in enumerate(now):
        for less in sorted({1, value // 2, value // 2 + 1, value - 1} - {0, value}):
            changed = [*now]
            changed[at] = less
            # Fewer taps: once with the image as it is, and once with the responses as they are.
            shifts = {0, (value - less) * options.dilation[at - 3]} if 3 <= at < 3 + axes else {0}
            for shift in sorted(shifts, reverse=True):
                cut = [*changed]
                if shift:
                    cut[at + axes] -= shift
                n, d, f, *rest = cut
                found = _case(options, n, d, f, rest[:axes], rest[axes:]) if min(cut) > 0 else None
                if found and found.numbers < case.numbers:
                    yield found
