"""What is wrong as a record, and as Python that reproduces it without this package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from jacobians.audit.compare import Comparison, Run
from jacobians.audit.layer import Probe
from jacobians.audit.python import expression, plain, shown, shown_dtype, shown_shape, shown_within, written_out

__all__ = ["beside", "calls", "code", "compared", "laid_out", "on_other", "record", "script"]

Array = npt.NDArray[Any]


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
    return [f"{side}({', '.join(expression(_laid(run, probe, each)) for each in takes[side])})" for side in sides]


def _laid(run: Run, probe: Probe, letter: str) -> Array:
    return run.layer.laid(probe.case, letter, probe.arrays[letter])


def laid_out(run: Run, probe: Probe, letter: str, text: str) -> list[str]:
    """Return Python that lays an argument out in memory, by Python in which it is A, with planes first."""
    line = f"{letter} = {text.replace('A', letter)}"
    if turned := run.layer.turned(probe.case, letter):
        return [f"{letter} = {expression(probe.arrays[letter])}", line + turned]
    return [line]


def beside(each: Comparison) -> list[str]:
    """Return Python that prints a result, and what is right."""
    return shown(each.name, each.layer.laid(each.probe.case, each.name, each.right.value))


def compared(each: Comparison, kind: str | None = None) -> list[str]:
    """Return Python that prints a result, or what is wrong of it, and what is right."""
    kind = kind or each.kind
    right, error = (each.layer.laid(each.probe.case, each.name, one) for one in (each.right.value, each.right.bound))
    if kind == "shape":
        return shown_shape(each.name, right)
    if kind == "dtype":
        return shown_dtype(each.name, next(iter(each.probe.arrays)), wider=each.widens)
    return shown_within(each.name, right, error) if error.any() else shown(each.name, right)


def script(run: Run, probe: Probe, lines: Sequence[str], sides: Sequence[str]) -> str:
    """Return the whole program: the functions and arrays of a case, then lines that call forward or backward."""
    letters = dict.fromkeys(letter for side in sides for letter in run.subject.takes[side])
    given = {letter: _laid(run, probe, letter) for letter in letters}
    adapted = [line for side in sides if (line := run.layer.adapted(probe.case, side))]
    made = ["from jacobians.audit import with_layout", *adapted] if adapted else []
    functions = {side: run.subject.functions[side] for side in sides}
    return written_out(functions, given, [*made, *lines], run.layer.dtype)


def code(run: Run, each: Comparison) -> str:
    """Return Python that makes a call, and prints its result beside the right one."""
    side = run.subject.side(each.name)
    return script(run, each.probe, [*calls(run, side), *compared(each)], (side,))
