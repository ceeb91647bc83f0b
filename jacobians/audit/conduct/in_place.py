"""Whether calls write into the arrays that they are given."""

from __future__ import annotations

from collections.abc import Iterator

from jacobians.audit.compare import Run, listed
from jacobians.audit.findings import finding
from jacobians.audit.report import Finding
from jacobians.audit.reproduce import calls

__all__ = ["in_place"]

BECAUSE = "The code writes into arrays that it was given.", "Copy an array before you change it.", "memory"


def in_place(run: Run) -> Iterator[Finding]:
    """Say for each function what any call so far has changed, on a call that did."""
    for side, (probe, letters) in list(run.changed.items()):
        each = run.compared(probe, only=side)[0]
        lines = [f"before = {letters[0]}.copy()", *calls(run, side), f"print({letters[0]})", "print(before)  # right"]
        title = f"changes {listed(letters)} in place"
        yield finding(run, each, title, "in place", BECAUSE, about=side, lines=lines, entries=())
