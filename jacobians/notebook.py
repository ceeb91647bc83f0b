"""How records are shown in notebooks: HTML that is escaped, takes the page's colours, and fetches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

__all__ = ["Shown", "story", "table"]

# Readable on white and on black; the sign says the same without it.
COLOURS = {"✓": "#1a9850", "✗": "#e0503a"}
CELL = "text-align: left; padding: 0.15em 0.8em 0.15em 0; background: none; white-space: nowrap"


class Shown:
    """A record that IPython shows as its text, and a notebook as its ``_repr_html_``."""

    def __init_subclass__(cls) -> None:
        # IPython takes a method of a class itself before one that it inherits, and its own __repr__ before both.
        cls._repr_pretty_ = _pretty  # type: ignore[attr-defined]  # looked up by name


def _pretty(record: Shown, printer: Any, *_: Any) -> None:
    printer.text(str(record))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table.

    Parameters
    ----------
    header : sequence of str
        One text per column.
    rows : iterable of sequence of str
        The cells; one that begins with ✓ or ✗ gets the sign's colour.

    Returns
    -------
    str
        HTML.
    """
    head = "".join(f'<th style="{CELL}">{escape(cell)}</th>' for cell in header)
    body = "".join(
        "<tr>" + "".join(f'<td style="{CELL}">{_signed(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f'<table style="border-collapse: collapse"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def story(text: str, code: str = "") -> str:
    """Write a text of which the first line says it all, with code to unfold.

    Parameters
    ----------
    text : str
        One or more lines, in columns that a fixed width aligns.
    code : str
        Python; nothing is unfolded if there is none.

    Returns
    -------
    str
        HTML.
    """
    first, _, rest = text.partition("\n")
    parts = [f"<p><strong>{_signed(first)}</strong></p>"]
    if rest:
        parts.append(_lines(rest))
    if code:
        parts.append(f"<details><summary>Code that shows it</summary>{_lines(code)}</details>")
    return f"<div>{''.join(parts)}</div>"


def _lines(text: str) -> str:
    return f'<pre style="background: none; color: inherit; overflow-x: auto">{escape(text)}</pre>'


def _signed(text: str) -> str:
    sign, rest = text[:1], text[1:]
    return f'<span style="color: {COLOURS[sign]}">{sign}</span>{escape(rest)}' if sign in COLOURS else escape(text)
