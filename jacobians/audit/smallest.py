"""The smallest case that shows a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jacobians.audit.compare import Comparison, Run

__all__ = ["smallest_case"]

# Steps to take from above.
MOST_STEPS = 200
# Draws of numbers that are easy to read at every case, and at the last.
FEW, MANY = 3, 16

Shows = Callable[[Comparison], bool]


def smallest_case(run: Run, failed: Sequence[Comparison], shows: Shows) -> Comparison:
    """Find the case with the fewest numbers at which the same thing is wrong.

    Parameters
    ----------
    run : Run
        The audit; where its cases were given, no others are tried.
    failed : sequence of Comparison
        Where it showed.
    shows : callable
        Whether a comparison shows it.

    Returns
    -------
    Comparison
        Of the first of the small cases, in ascending size, that shows it. Where none does, of the smallest that those
        where it showed can be cut down to, one size after the other, and it still shows.
    """
    best = min((each for each in failed if shows(each)), key=lambda each: each.probe.case.numbers, default=failed[0])
    name = best.name
    if run.restricted:
        fewer = [case for case in run.layer.smaller(best.probe.case) if case.geometry == best.probe.case.geometry]
        shown = (_shown(run, name, case, shows, MANY) for case in (*fewer, best.probe.case))
        return next((each for each in shown if each), best)
    for case in run.layer.smallest():
        if case.numbers >= best.probe.case.numbers:
            break
        if found := _shown(run, name, case, shows):
            return found
    return _cut_down(run, name, best, shows)


def _cut_down(run: Run, name: str, best: Comparison, shows: Shows) -> Comparison:
    steps = 0
    smaller: Comparison | None = best
    while smaller:
        best, smaller = smaller, None
        for case in run.layer.smaller(best.probe.case):
            steps += 1
            if steps > MOST_STEPS:
                break
            if smaller := _shown(run, name, case, shows):
                break
    return _shown(run, name, best.probe.case, shows, MANY) or best


def _shown(run: Run, name: str, case: Any, shows: Shows, count: int = FEW) -> Comparison | None:
    compared: Iterator[Comparison] = (
        each for probe in run.layer.readable(case, count) for each in run.compared(probe, only=run.subject.side(name))
    )
    return next((each for each in compared if each.name == name and shows(each)), None)
