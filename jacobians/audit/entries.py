"""The first wrong entries of a case beside the right ones, in symbols where the code can be read out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import sympy

from jacobians import symbolic
from jacobians.audit import Finding
from jacobians.audit.judge import FACTORS, slack
from jacobians.audit.probes import Case, Probe, dtype_of, expected
from jacobians.audit.reproduce import record
from jacobians.audit.subject import LABELS, Subject

if TYPE_CHECKING:
    from jacobians.audit.run import Comparison

__all__ = [
    "MOST_ENTRIES",
    "MOST_READINGS",
    "ROLES",
    "aligned",
    "counted",
    "entries",
    "names",
    "observation",
    "written",
]

Array = npt.NDArray[Any]

# Entries to print of the smallest case, and calls to read one entry out.
MOST_ENTRIES = 4
MOST_READINGS = 64
NAMED = {"X": ("X", "image"), "F": ("F", "filters"), "G": ("g", "responses")}
ROLES = {"S": ("S", "responses"), "dX": ("v", "image"), "dF": ("v", "filters"), "db": ("v", "bias")}


def entries(subject: Subject, smallest: Comparison) -> tuple[str, ...]:
    """Write the first wrong entries of the smallest case, in symbols where the code can be read out."""
    assert smallest.result.value is not None
    got, right = np.ravel(smallest.result.value.astype(np.float64)), np.ravel(smallest.right)
    wrong = np.flatnonzero(got != right)
    case, name = smallest.probe.case, smallest.name
    named = names(*ROLES[name], case)
    formulas = [
        (read_out(subject, name, case, int(at)), read_out(None, name, case, int(at))) for at in wrong[:MOST_ENTRIES]
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
        unlike = got.astype(np.float64) != right.astype(np.float64) if wrong is None else wrong
        rows = numbered(name, probe.case, got, right, unlike)
    because_of: dict[str, Any] = {"cause": cause, "cure": cure, "anchor": anchor}
    shown: dict[str, Any] = {"entries": rows, "arrays": record(probe, name, got, right), "code": code}
    return Finding(LABELS.get(name, name), title, kind, str(probe.case), **because_of, **shown)


def numbered(name: str, case: Case, got: Array, right: Array, wrong: Array) -> tuple[str, ...]:
    """Write the first wrong entries of a result in numbers; `wrong` is true where it is wrong."""
    named, at = names(*ROLES[name], case), np.flatnonzero(wrong)
    found, wanted = np.ravel(got.astype(np.float64)), np.ravel(right.astype(np.float64))
    rows = [(named[each], *_apart(wanted[each], found[each])) for each in at[:MOST_ENTRIES]]
    return aligned(rows, len(at), right.size)


def _apart(right: float, got: float) -> tuple[str, str]:
    """Write two numbers, with all digits where they differ in the last ones only."""
    short = written(right), written(got)
    return short if short[0] != short[1] else (repr(float(right)), repr(float(got)))


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
        and np.array_equal(twice.astype(np.float64), 2 * once.astype(np.float64))
    )


def read_out(subject: Subject | None, name: str, case: Case, at: int) -> str | None:
    """Read out the formula of one entry by giving basis elements; of the right matrices where there is no subject."""
    letters = FACTORS[name]
    shapes = case.shapes
    if math.prod(math.prod(shapes[letter]) for letter in letters) > MOST_READINGS:
        return None
    dtype = np.float64 if subject is None else dtype_of(subject.options.dtype)
    total: Any = 0
    labels = [_symbols(letter, case) for letter in letters]
    for index in np.ndindex(*(len(each) for each in labels)):
        given = {letter: np.zeros(shape, dtype) for letter, shape in shapes.items()}
        for letter, position in zip(letters, index, strict=True):
            given[letter].reshape(-1)[position] = 1
        probe = Probe(case, given["X"], given["F"], given["b"], given["G"])
        value = expected(probe)[name] if subject is None else subject.results(probe)[name].value
        if value is None or np.size(value) <= at:
            return None
        number = float(np.ravel(np.asarray(value, np.float64))[at])
        if not math.isfinite(number):
            return None
        if abs(number - round(number)) <= slack(probe, name):
            number = float(round(number))
        if number:
            factor = int(number) if number.is_integer() else sympy.nsimplify(number, rational=True)
            total = total + factor * math.prod(label[position] for label, position in zip(labels, index, strict=True))
    return symbolic.write(total, "text")


def names(letter: str, role: Any, case: Case) -> list[str]:
    """Name the entries of an array of a case; those of image 2 end in ^(2)."""
    single = symbolic.names(letter, role, case.geometry)
    if case.images == 1 or role in {"filters", "bias"}:
        return single
    return [f"{name}^({image})" for image in range(1, case.images + 1) for name in single]


def _symbols(letter: str, case: Case) -> list[Any]:
    letter_of, role = NAMED[letter]
    return [sympy.Symbol(name) for name in names(letter_of, role, case)]


def counted(entries: int) -> str:
    """Write a number of entries."""
    return f"{entries} {'entry' if entries == 1 else 'entries'}"


def written(value: Any) -> str:
    """Write a number in a few digits."""
    number = float(value)
    return str(int(number)) if math.isfinite(number) and number.is_integer() else f"{number:.6g}"
