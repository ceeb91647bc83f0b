"""The first wrong entries of a case beside the right ones, in symbols where the code can be read out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import Finding
from jacobians.audit.judge import FACTORS, widened
from jacobians.audit.probes import Case, Probe
from jacobians.audit.readout import ROLES, names, products, text
from jacobians.audit.reproduce import record
from jacobians.audit.subject import LABELS, Subject

if TYPE_CHECKING:
    from jacobians.audit.run import Comparison

__all__ = [
    "MOST_ENTRIES",
    "aligned",
    "counted",
    "entries",
    "numbered",
    "observation",
    "written",
]

Array = npt.NDArray[Any]

# Entries to print of the smallest case.
MOST_ENTRIES = 4


def entries(subject: Subject, smallest: Comparison) -> tuple[str, ...]:
    """Write the first wrong entries of the smallest case, in symbols where the code can be read out."""
    assert smallest.result.value is not None
    got, right = np.ravel(widened(smallest.result.value)), np.ravel(smallest.right)
    wrong = np.flatnonzero(got != right)
    case, name = smallest.probe.case, smallest.name
    named = names(*ROLES[name], case)
    formulas = [
        [text(products(whose, name, case, int(at)), name, case) for whose in (subject, None)]
        for at in wrong[:MOST_ENTRIES]
    ]
    rows = []
    for at, (found, wanted) in zip(wrong, formulas, strict=False):
        if found is None or wanted is None or found == wanted or not _reproduces(subject, smallest):
            rows.append((named[at], written(right[at]), written(got[at])))
        else:
            rows.append((named[at], wanted, found))
    return aligned(rows, len(wrong), len(right))


def observation(
    name: str,
    title: str,
    kind: str,
    probe: Probe,
    because: tuple[str, str],
    code: str,
    *,
    got: Array | None = None,
    right: Array | None = None,
    wrong: Array | None = None,
    anchor: str = "memory",
) -> Finding:
    """Make the finding of something besides a formula.

    Parameters
    ----------
    name : str
        The result, S, dX, dF or db; or the function, forward or backward.
    title, kind, anchor : str
        As of a finding.
    probe : Probe
        The arguments that show it.
    because : tuple of str
        Cause and cure.
    code : str
        Python that shows it.
    got, right : ndarray or None
        What was computed, and what is right; None where it is not about a result, or nothing came.
    wrong : ndarray of bool, optional
        Which entries are; by default those that are not the right ones.

    Returns
    -------
    Finding
        With the first wrong entries in numbers.
    """
    cause, cure = because
    rows: tuple[str, ...] = ()
    if got is not None and right is not None and got.shape == right.shape:
        unlike = widened(got) != widened(right) if wrong is None else wrong
        rows = numbered(name, probe.case, got, right, unlike)
    because_of: dict[str, Any] = {"cause": cause, "cure": cure, "anchor": anchor}
    shown: dict[str, Any] = {"entries": rows, "arrays": record(probe, name, got, right), "code": code}
    return Finding(LABELS.get(name, name), title, kind, str(probe.case), **because_of, **shown)


def numbered(name: str, case: Case, got: Array, right: Array, wrong: Array) -> tuple[str, ...]:
    """Write the first wrong entries of a result in numbers; `wrong` is true where it is wrong."""
    named, at = names(*ROLES[name], case), np.flatnonzero(wrong)
    found, wanted = np.ravel(widened(got)), np.ravel(widened(right))
    rows = [(named[each], *_apart(wanted[each], found[each])) for each in at[:MOST_ENTRIES]]
    return aligned(rows, len(at), right.size)


def _apart(right: np.generic, got: np.generic) -> tuple[str, str]:
    """Write two numbers, with all digits where they differ in the last ones only."""
    short = written(right), written(got)
    return short if short[0] != short[1] else (repr(right.item()), repr(got.item()))


def aligned(rows: Sequence[tuple[str, str, str]], wrong: int, total: int) -> tuple[str, ...]:
    """Write the names of entries, what they should be and what they are, in columns."""
    width = max((len(wanted) for _, wanted, _ in rows), default=0)
    size = max((len(entry) for entry, _, _ in rows), default=0)
    lines = [f"{entry + ':':<{size + 1}} expected {wanted:<{width}}   got {found}" for entry, wanted, found in rows]
    return (*lines, *([f"… {wrong} of {total} entries are wrong"] if wrong > len(rows) else []))


def _reproduces(subject: Subject, smallest: Comparison) -> bool:
    """Whether the code is linear in what it is read out with: doubling a factor doubles the result."""
    probe = smallest.probe
    letter = FACTORS[smallest.name][0]
    plain = dataclasses.replace(probe, b=probe.b * 0)
    doubled = dataclasses.replace(plain, **{letter: getattr(plain, letter) * 2})
    twice, once = (subject.results(each)[smallest.name].value for each in (doubled, plain))
    return (
        twice is not None
        and once is not None
        and twice.shape == once.shape
        and np.array_equal(widened(twice), 2 * widened(once))
    )


def counted(entries: int) -> str:
    """Write a number of entries."""
    return f"{entries} {'entry' if entries == 1 else 'entries'}"


def written(value: Any) -> str:
    """Write a number in a few digits."""
    if isinstance(value, int | np.integer):
        return str(value)
    number = float(value)
    return str(int(number)) if math.isfinite(number) and number.is_integer() else f"{number:.6g}"
