"""What is wrong as a record, and as Python that reproduces it without this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jacobians.audit.compare import Comparison, Run
from jacobians.audit.layer import Probe
from jacobians.audit.python import expression, plain, shown, shown_dtype, shown_shape, shown_within, written_out

__all__ = ["calls", "code", "compared", "on_other", "record", "script"]


def record(each: Comparison) -> dict[str, Any]:
    """Return a case as plain lists: the arguments, what was computed, and what is right."""
    lists = {letter: plain(array) for letter, array in each.probe.arrays.items()}
    got = None if each.result.value is None else plain(each.result.value)
    return lists | {"right": plain(each.right.value), "got": got, "result": each.name}


def calls(run: Run, *sides: str) -> list[str]:
    """Return Python that calls functions of the code under audit: ``S = forward(X, F)``."""
    subject = run.subject
    return [f"{', '.join(subject.gives[side])} = {side}({', '.join(subject.takes[side])})" for side in sides]


def on_other(run: Run, probe: Probe, *sides: str) -> list[str]:
    """Return Python that calls functions on other numbers."""
    takes = run.subject.takes
    return [f"{side}({', '.join(expression(probe.arrays[letter]) for letter in takes[side])})" for side in sides]


def compared(each: Comparison, kind: str | None = None) -> list[str]:
    """Return Python that prints a result, or what is wrong of it, and what is right."""
    right, error, kind = each.right.value, each.right.bound, kind or each.kind
    if kind == "shape":
        return shown_shape(each.name, right)
    if kind == "dtype":
        return shown_dtype(each.name, next(iter(each.probe.arrays)), wider=each.widens)
    return shown_within(each.name, right, error) if error.any() else shown(each.name, right)


def script(run: Run, probe: Probe, lines: Sequence[str], sides: Sequence[str]) -> str:
    """Return the whole program: the functions and arrays of a case, then lines that call forward or backward."""
    letters = dict.fromkeys(letter for side in sides for letter in run.subject.takes[side])
    given = {letter: probe.arrays[letter] for letter in letters}
    return written_out({side: run.subject.functions[side] for side in sides}, given, lines, run.layer.dtype)


def code(run: Run, each: Comparison, arrange: Mapping[str, str] | None = None) -> str:
    """Return Python that makes a call, its arguments laid out as given, and prints its result beside the right one."""
    side = run.subject.side(each.name)
    lines = [f"{letter} = {text}" for letter, text in (arrange or {}).items()]
    return script(run, each.probe, [*lines, *calls(run, side), *compared(each)], (side,))
