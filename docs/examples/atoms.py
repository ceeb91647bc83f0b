"""The kinds of difference between two formulas, as the table of docs/reference/atoms.md.

Run it with ``python docs/examples/atoms.py``: it prints the table, and writes it into the page if that is named behind
it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from jacobians.formula.atoms import Atom, atoms

HEADER = "| name | what is wrong | where to look |\n|---|---|---|\n"
ROWS = re.compile(re.escape(HEADER) + r"(?:\|.*\n)*")


def table() -> str:
    """Return the table."""
    return HEADER + "".join(f"{row(atom)}\n" for atom in atoms())


def row(atom: Atom) -> str:
    """Return the row of an atom, which can be linked to by its name."""
    everywhere = f"; along all axes: {shown(atom.everywhere)}" if atom.everywhere else ""
    return f'| <a id="{atom.name}"></a>`{atom.name}` | {shown(atom.phrase)}{everywhere} | {atom.cure} |'


def shown(phrase: str) -> str:
    """Write what a difference fills in in italics."""
    spaced = re.sub(r"(?<=\w)\{", " {", phrase.replace("}{", "}·{"))
    return re.sub(r"\{(\w+)\}", r"*\1*", spaced)


if __name__ == "__main__":
    if sys.argv[1:]:
        page = Path(sys.argv[1])
        page.write_text(ROWS.sub(lambda _: table(), page.read_text("utf-8")), "utf-8")
    else:
        sys.stdout.write(table())
