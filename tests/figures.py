"""One record of measured figures, which the docs show: what was run, when, with which versions, what came out."""

import datetime as dt
import importlib.metadata
import json
import platform
from pathlib import Path

from jacobians import files

RECORD = Path(__file__).parents[1] / "docs" / "figures.json"
LIBRARIES = ("numpy", "scipy", "ml_dtypes", "torch", "jax")


def publish(name, command, columns, rows):
    """Put one table into the record, in the place of an older one of this name.

    Columns are words, and rows are lists of numbers and words, as long as the columns.
    """
    record = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}
    record[name] = {
        "command": command,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "versions": versions(),
        "columns": columns,
        "rows": rows,
    }
    files.write(RECORD, json.dumps(record, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def command_of(target, arguments):
    """Write how a target is run, without where else it writes, which is of one machine."""
    kept = [each for at, each in enumerate(arguments) if "--record" not in arguments[max(at - 1, 0) : at + 1]]
    return f"make {target} ARGS='{' '.join(kept)}'"


def versions(*more):
    """The versions of Python and of those libraries that are installed."""
    found = {"Python": platform.python_version()}
    for library in (*LIBRARIES, *more):
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
