"""Making a finding of one comparison, on the smallest of the cases that show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy.typing as npt

from jacobians.audit.compare import Comparison, Run, numbered
from jacobians.audit.layer import Probe
from jacobians.audit.report import Finding
from jacobians.audit.reproduce import code, record, script

__all__ = ["CLEARED", "UNWRITTEN", "Because", "Check", "finding", "first_on_small"]

Array = npt.NDArray[Any]
# Cause, cure and anchor.
Because = tuple[str, str, str]
# The title of what np.empty leaves, and why it is so.
UNWRITTEN = "holds memory that was never written"
CLEARED: Because = (
    "The code returns an array of np.empty that it does not fill everywhere, or reads an array beyond its end.",
    "Start from zeros, write every entry, and stay within the arrays.",
    "memory",
)
# What looks for one kind of conduct on one probe.
Check = Callable[[Probe], Iterator[Finding]]

# Small cases to try for the smallest one.
MOST_CASES = 40


def finding(
    run: Run,
    each: Comparison,
    title: str,
    kind: str,
    because: Because = ("", "", ""),
    *,
    about: str | None = None,
    lines: Sequence[str] | None = None,
    sides: Sequence[str] = (),
    at: Array | None = None,
    entries: tuple[str, ...] | None = None,
    **more: Any,
) -> Finding:
    """Make a finding of what shows it, by default with the call and the numbers beside those that are right."""
    # `lines` of Python call `sides`; `at` says which entries are wrong, and `entries` are the first of them, written.
    side = run.subject.side(each.name)
    return Finding(
        run.label(about or each.name),
        title,
        kind,
        run.layer.text(each.probe, side),
        numbered(each, at) if entries is None else entries,
        *because,
        arrays=record(each),
        code=code(run, each) if lines is None else script(run, each.probe, lines, sides or (side,)),
        unit=run.layer.unit,
        **more,
    )


def first_on_small(run: Run, check: Check, probe: Probe) -> Iterable[Finding]:
    """Make the findings of a check on a probe, each on the first of the small cases that shows it, too."""
    found = {_key(each): each for each in check(probe)}
    left = set(found)
    cases = run.cases if run.restricted else run.layer.smallest()
    for case in cases[:MOST_CASES]:
        if not left or case.numbers >= probe.case.numbers:
            break
        for each in check(run.layer.draw(case, run.seed)):
            if _key(each) in left:
                left.remove(_key(each))
                found[_key(each)] = each
    return found.values()


def _key(each: Finding) -> tuple[str, str]:
    return each.about, each.title.partition(":")[0]
