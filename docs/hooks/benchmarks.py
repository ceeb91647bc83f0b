"""The tables and the picture of what things cost, from the record that ``make bench`` writes."""

from __future__ import annotations

import json
import re
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from jacobians import plots

RECORD = Path(__file__).parents[1] / "benchmarks.json"
PICTURE = "pictures/benchmarks.svg"
# A page shows a table with this on a line of its own; what stands before it is repeated on each line of the table.
PLACE = re.compile(r"^( *)<!-- benchmarks: ([\w-]+) -->$", re.MULTILINE)
OURS = "jacobians"
MARKERS = "os^vDPX"
# Columns of words, which stand on the left; those of numbers stand on the right.
WORDS = ("goal", "case", "layer")
UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the picture to the files of the site.

    Parameters
    ----------
    files : Files
        What the site is made of.
    config : MkDocsConfig
        Where it is built.

    Returns
    -------
    Files
        The same, with the picture.
    """
    files.append(File.generated(config, PICTURE, content=drawn(_record())))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put each table in its place.

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
    record = _record()
    known = [*SUMMARIES, *record["groups"], *record["left out"]]

    def written(place: re.Match[str]) -> str:
        if place[2] not in known:
            raise PluginError(f"{page.file.src_path}: no benchmarks are called {place[2]}; known: {known}")
        return "\n".join(f"{place[1]}{line}" for line in lines(record, place[2]))

    return PLACE.sub(written, markdown)


def lines(record: dict[str, Any], name: str) -> list[str]:
    """Write one table.

    Parameters
    ----------
    record : dict
        What was measured.
    name : str
        A summary or a group.

    Returns
    -------
    list of str
        Lines of Markdown.
    """
    if name in SUMMARIES:
        return list(SUMMARIES[name](record))
    if name in record["left out"]:
        return [f"This was left out: {record['left out'][name]}."]
    rows = record["groups"][name]
    return list(_held_to(rows, record["goals"]) if any(row["goals"] for row in rows) else _rivals(rows))


def drawn(record: dict[str, Any]) -> bytes:
    """Draw how the seconds grow with the nonzeros.

    Parameters
    ----------
    record : dict
        What was measured.

    Returns
    -------
    bytes
        An SVG file.
    """
    ax = Figure(figsize=(7, 4.5)).subplots()
    rows = record["groups"]["scaling"]
    for number, name in enumerate(_names(rows)):
        points = [(row["nonzeros"], row["seconds"][name]) for row in rows if name in row["seconds"]]
        ax.loglog(*zip(*points, strict=True), marker=MARKERS[number % len(MARKERS)], label=name)
    ax.set_xlabel("nonzeros of ∂vec(S)/∂vec(X)")
    ax.set_ylabel("seconds")
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "benchmarks.svg")
        plots.save(ax, file)
        return file.read_bytes()


def _record() -> dict[str, Any]:
    record: dict[str, Any] = json.loads(RECORD.read_text("utf-8"))
    return record


# tables ---------------------------------------------------------------------------------------------------------------


def _about(record: dict[str, Any]) -> Iterator[str]:
    """Say when, how and on what it was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    yield f"Measured on {record['date']} with `{record['command']}` on {record['machine']}: {versions}."


def _goals(record: dict[str, Any]) -> Iterator[str]:
    """Say of each goal how often it is met, and by how much it is missed."""
    yield from _lines("goal", "at most", "median", "worst", "met", "the worst case misses it by")
    rows = [row for group in record["groups"].values() for row in group]
    for goal, (_, most) in record["goals"].items():
        ratios = [row["goals"][goal] for row in rows if goal in row["goals"]]
        if ratios:
            met = sum(ratio <= most for ratio in ratios)
            missed = f"{100 * (max(ratios) / most - 1):.0f} %" if met < len(ratios) else "—"
            worst = f"{max(ratios):.2f}"
            yield _line(goal, f"{most} ×", f"{statistics.median(ratios):.2f}", worst, f"{met} of {len(ratios)}", missed)


def _rivals(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Write a group: the seconds of this package, and how many times as long each rival takes, or why it is missing."""
    others = [name for name in _names(rows) if name != OURS]
    yield from _lines("case", "nonzeros", OURS, *others)
    for row in rows:
        ours = row["seconds"][OURS]
        ratios = [
            f"{_number(row['seconds'][name] / ours)} ×" if name in row["seconds"] else row["missing"].get(name, "")
            for name in others
        ]
        yield _line(row["case"], f"{row['nonzeros']:,}", _duration(ours), *ratios)


def _held_to(rows: list[dict[str, Any]], goals: dict[str, tuple[str, float]]) -> Iterator[str]:
    """Write a group that has goals: seconds, and ratios of time or memory, bold where they miss theirs."""
    names, kinds = _names(rows), list(dict.fromkeys(goals[goal][0] for row in rows for goal in row["goals"]))
    yield from _lines("case", "layer", "nonzeros", *names, *kinds)
    for row in rows:
        ratios = {goals[goal][0]: _ratio(ratio, goals[goal][1]) for goal, ratio in row["goals"].items()}
        layer = f"`{row['layer']}`" if row["layer"] else ""
        nonzeros = "" if row["nonzeros"] is None else f"{row['nonzeros']:,}"
        seconds = (_duration(row["seconds"][name]) for name in names)
        yield _line(row["case"], layer, nonzeros, *seconds, *(ratios.get(kind, "") for kind in kinds))


SUMMARIES: dict[str, Callable[[dict[str, Any]], Iterator[str]]] = {"about": _about, "goals": _goals}


def _names(rows: list[dict[str, Any]]) -> list[str]:
    """Return this package and its rivals, in the order in which they come."""
    return list(dict.fromkeys(name for row in rows for name in (*row["seconds"], *row["missing"])))


def _ratio(ratio: float, most: float) -> str:
    return f"{ratio:.2f} (≤ {most})" if ratio <= most else f"**{ratio:.2f}** (≤ {most})"


def _number(ratio: float) -> str:
    return f"{ratio:.3g}" if ratio < 1000 else f"{ratio:,.0f}"


def _duration(seconds: float) -> str:
    unit, size = next((each for each in UNITS if seconds >= each[1]), UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


def _lines(*heads: str) -> tuple[str, str]:
    return _line(*heads), _line(*("---" if head in WORDS else "---:" for head in heads))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
