"""What the line `see:` of a finding names, in words: rows of the table of atoms, and sections of a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

from jacobians.errors import nearest
from jacobians.formula.atoms import ATOMS, Atom, atoms

__all__ = ["explanation", "names", "page"]

PLACE = "<!-- the table of atoms -->\n"
HEADER = "| name | what is wrong | where to look |\n|---|---|---|\n"
SECTION = re.compile(
    r"^## (?P<title>.*?) \{ #(?P<name>[\w-]+) \}\n\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
# Letters at the end of a word that others of its family may have in their place.
ENDING = 3


def page() -> str:
    """Return the page of all explanations.

    Returns
    -------
    str
        Markdown; links are relative to the folder of this module.
    """
    return _text().replace(PLACE, HEADER + "".join(f"{_row(atom)}\n" for atom in atoms()))


def names() -> tuple[str, ...]:
    """Return what can be explained.

    Returns
    -------
    tuple of str
        The names of atoms, and of the sections that are not about them.
    """
    return (*ATOMS, *_sections())


def explanation(asked: str) -> str:
    """Explain what a finding names, or all that has to do with a word.

    Parameters
    ----------
    asked : str
        One of `names`, the beginning of one, or a word that occurs in what they say, such as ``rotation``.

    Returns
    -------
    str
        Plain text.

    Raises
    ------
    ValueError
        If nothing has to do with it.
    """
    found = list(_found(asked.strip().casefold()))
    if not found:
        known = f"; `jacobians explain` lists what there is{nearest(asked, names())}"
        raise ValueError(f"NAME is {asked!r}, which nothing that can be explained has to do with{known}")
    return "\n\n".join(found)


def _found(asked: str) -> Iterator[str]:
    sections = _sections()
    if asked in ATOMS:
        yield _explained(ATOMS[asked])
    elif asked in sections:
        yield sections[asked]
    else:
        stem = asked[:-ENDING] if len(asked) > 2 * ENDING else asked
        for word in dict.fromkeys((asked, stem)):
            rows = [_explained(atom) for atom in atoms() if word and word in " ".join(_said(atom)).casefold()]
            titles = [
                text for name, text in sections.items() if word and word in (name + text[: text.find("\n")]).casefold()
            ]
            if rows or titles:
                yield from (*rows, *titles)
                return


def _said(atom: Atom) -> tuple[str, ...]:
    return atom.name, atom.phrase, atom.everywhere


def _explained(atom: Atom) -> str:
    everywhere = (
        [f"  Along all axes: {atom.everywhere.replace('{', '<').replace('}', '>')}."] if atom.everywhere else []
    )
    return "\n".join([f"{atom.name}: {atom.plain}.", *everywhere, f"  {atom.cured()}"])


def _sections() -> dict[str, str]:
    """Return the sections by their names, as plain text."""
    found = {}
    for each in SECTION.finditer(_text().replace(PLACE, "")):
        text = LINK.sub(r"\1", each["text"].strip())
        found[each["name"]] = f"{each['title']}\n\n{re.sub(r'^```.*$', '', text, flags=re.MULTILINE)}"
    return found


def _text() -> str:
    return resources.files("jacobians.audit").joinpath("explanations.md").read_text("utf-8")


def _row(atom: Atom) -> str:
    """Return the row of an atom, which can be linked to by its name."""
    everywhere = f"; along all axes: {_italics(atom.everywhere)}" if atom.everywhere else ""
    return f'| <a id="{atom.name}"></a>`{atom.name}` | {_italics(atom.phrase)}{everywhere} | {atom.cured()} |'


def _italics(phrase: str) -> str:
    """Write what a difference fills in in italics."""
    spaced = re.sub(r"(?<=\w)\{", " {", phrase.replace("}{", "}·{"))
    return re.sub(r"\{(\w+)\}", r"*\1*", spaced)
