"""The smallest case that shows a finding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jacobians.audit.compare import Comparison, Run

__all__ = ["smallest_case"]

# Steps to take from above.
MOST_STEPS = 200
# Draws of numbers that are easy to read at every case, and at the last.
FEW, MANY = 3, 16

Shows = Callable[[Comparison], bool]


def smallest_case(run: Run, failed: Sequence[Comparison], shows: Shows) -> Comparison:
    """Find the case with the fewest numbers at which the same thing is wrong, by the comparisons where it showed."""
    best = min((each for each in failed if shows(each)), key=lambda each: each.probe.case.numbers, default=failed[0])
    name, case = best.name, best.probe.case
    if run.restricted:
        fewer = [each for each in run.layer.smaller(case) if each.geometry == case.geometry]
        return _first(run, name, [*fewer, case], shows, MANY) or best
    small = itertools.takewhile(lambda each: each.numbers < case.numbers, run.layer.smallest())
    if found := _first(run, name, small, shows):
        return found
    # Where none of the small cases shows it, those where it showed are cut down, one size after the other.
    left = iter(range(MOST_STEPS))
    while found := _first(run, name, (each for _, each in zip(left, run.layer.smaller(case), strict=False)), shows):
        best, case = found, found.probe.case
    return _first(run, name, [case], shows, MANY) or best


def _first(run: Run, name: str, cases: Iterable[Any], shows: Shows, count: int = FEW) -> Comparison | None:
    """Return the comparison of the first case that shows it, if one does."""
    side = run.subject.side(name)
    for case in cases:
        for probe in run.layer.readable(case, count):
            for each in run.compared(probe, only=side):
                if each.name == name and shows(each):
                    return each
    return None
