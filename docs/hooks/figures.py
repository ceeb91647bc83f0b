"""The tables of measured figures, from the record that the targets write."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

RECORD = Path(__file__).parents[1] / "figures.json"
# A page shows one with this on a line of its own.
PLACE = re.compile(r"^<!-- figures: ([\w-]+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put each table in its place, with its date, command and versions below it.

    Parameters
    ----------
    markdown : str
        The text of a page.
    page : Any
        Which page it is.

    Returns
    -------
    str
        The text with its tables.
    """
    record = json.loads(RECORD.read_text("utf-8"))

    def table(place: re.Match[str]) -> str:
        if place[1] not in record:
            raise PluginError(f"{page.file.src_path}: there are no figures called {place[1]}; known: {sorted(record)}")
        return _table(record[place[1]])

    return PLACE.sub(table, markdown)


def _table(measured: dict[str, Any]) -> str:
    """Write one entry of the record as a table."""
    rows = [measured["columns"], ["---"] * len(measured["columns"]), *measured["rows"]]
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    versions = ", ".join(f"{name} {version}" for name, version in measured["versions"].items())
    return "\n".join([*lines, "", f"Measured on {measured['date']} with `{measured['command']}`: {versions}."])
