"""Making a finding of one comparison, on the smallest of the cases that show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy.typing as npt

from jacobians.audit.compare import Comparison, Run, numbered
from jacobians.audit.layer import Probe
from jacobians.audit.report import Finding
from jacobians.audit.reproduce import code, record

__all__ = ["Because", "Check", "finding", "first_on_small"]

Array = npt.NDArray[Any]
# Cause, cure and anchor.
Because = tuple[str, str, str]
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
    counts: tuple[int, int] = (0, 0),
    about: str | None = None,
    text: str | None = None,
    at: Array | None = None,
    entries: tuple[str, ...] | None = None,
    **more: Any,
) -> Finding:
    """Make a finding.

    Parameters
    ----------
    run : Run
        The audit.
    each : Comparison
        What shows it.
    title, kind : str
        As of a finding.
    because : (str, str, str)
        Cause, cure, and where the documentation derives the right formula.
    counts : (int, int)
        At how many cases it is wrong, of how many.
    about : str, optional
        What it is about; by default the result.
    text : str, optional
        Python that shows it; by default the call beside what is right.
    at : ndarray of bool, optional
        Which entries are wrong; by default those that are not the right ones.
    entries : tuple of str, optional
        The first of them; by default in numbers.
    **more
        Other fields.

    Returns
    -------
    Finding
        With its case.
    """
    return Finding(
        run.label(about or each.name),
        title,
        kind,
        run.layer.text(each.probe, run.subject.side(each.name)),
        numbered(each, at) if entries is None else entries,
        *because,
        arrays=record(each),
        code=code(run, each) if text is None else text,
        unit=run.layer.unit,
        wrong=counts[0],
        tried=counts[1],
        **more,
    )


def first_on_small(run: Run, check: Check, probe: Probe) -> Iterable[Finding]:
    """Make the findings of a check, each on the first of the small cases that shows it, too.

    Parameters
    ----------
    run : Run
        The audit; where its cases were given, no others are tried.
    check : callable
        Makes the findings of one probe.
    probe : Probe
        Large enough to show what there is.

    Returns
    -------
    iterable of Finding
        One per thing that is wrong.
    """
    found = {_key(each): each for each in check(probe)}
    left = set(found)
    cases = run.cases if run.restricted else run.layer.smallest()
    for case in cases[:MOST_CASES] if left else ():
        if not left or case.numbers >= probe.case.numbers:
            break
        for each in check(run.layer.draw(case, run.seed)):
            if _key(each) in left:
                left.remove(_key(each))
                found[_key(each)] = each
    return found.values()


def _key(each: Finding) -> tuple[str, str]:
    return each.about, each.title.partition(":")[0]
