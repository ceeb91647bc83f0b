"""The record of a long run: a file to which a line is added for every block that is done, and from which it goes on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["Journal", "journal"]

Line = dict[str, Any]
# What the first line says that a file is, so that no other one is written to.
KIND = "jacobians verify --network"


class Journal:
    """What a record says of earlier runs, and the file to add to.

    Attributes
    ----------
    lines : list of dict
        The lines after the first one, in the order in which they were written.
    """

    def __init__(self, lines: list[Line], stream: BinaryIO | None) -> None:
        self.lines = lines
        self._stream = stream

    def add(self, line: Mapping[str, Any]) -> None:
        """Write one line, and see that it is on the disk.

        Parameters
        ----------
        line : mapping
            What JSON can hold.

        Raises
        ------
        OSError
            If it cannot be written, such as where a disk is full. What it left in the file is dropped when it is read.
        """
        if self._stream is not None:
            rest = _encoded(line)
            while rest:
                rest = rest[self._stream.write(rest) :]
            os.fsync(self._stream.fileno())


@contextlib.contextmanager
def journal(file: Path | None, run: Mapping[str, Any]) -> Iterator[Journal]:
    """Open a record, or begin one.

    Parameters
    ----------
    file : Path or None
        Where it is; None keeps none.
    run : mapping
        What the run is of, which JSON can hold. A record of another run is refused.

    Yields
    ------
    Journal
        Its lines, without a last one that is torn.

    Raises
    ------
    ValueError
        If the file is no such record, or one of another run, with what differs; or cannot be read or written.
    """
    if file is None:
        yield Journal([], None)
        return
    first = {"record": KIND, **run}
    with contextlib.ExitStack() as opened:
        try:
            lines, whole = _read(file, first)
            stream = opened.enter_context(file.open("r+b" if file.exists() else "xb", buffering=0))
            stream.truncate(whole)
            stream.seek(whole)
            kept = Journal(lines[1:], stream)
            if not lines:
                kept.add(first)
        except OSError as error:
            why = f"cannot be read or written: {error.strerror or error}"
            raise ValueError(f"resume is {file}, which {why}") from error
        yield kept


def _read(file: Path, first: Line) -> tuple[list[Line], int]:
    """Return the lines of a record that are whole, the first one included, and how many bytes they have."""
    if not file.exists():
        return [], 0
    none = f"resume is {file}, which is no record of {KIND}; name another file, or one that is not there yet"
    if not file.is_file():
        raise ValueError(none)
    texts = file.read_bytes().splitlines(keepends=True)
    torn = texts.pop() if texts and (not texts[-1].endswith(b"\n") or _decoded(texts[-1]) is None) else b""
    if not texts and _encoded(first).startswith(torn):  # nothing yet, or torn within its first line
        return [], 0
    lines = [line for line in map(_decoded, texts) if line is not None]
    if len(lines) < len(texts) or not lines or lines[0].get("record") != KIND:
        raise ValueError(none)
    there = lines[0]
    differs = [_difference(name, there.get(name), here) for name, here in first.items() if there.get(name) != here]
    if differs:
        what = f"which is the record of another run: {'; '.join(differs)}"
        raise ValueError(f"resume is {file}, {what}; name another file, or run the same")
    return lines, sum(map(len, texts))


def _difference(name: str, there: Any, here: Any) -> str:
    if isinstance(there, dict) and isinstance(here, dict):
        for key in [*here, *there]:
            if there.get(key) != here.get(key):
                return f"its {key} is {there.get(key, 'not there')}, and that of this run {here.get(key, 'not there')}"
    return f"its {name} is {there}, and that of this run {here}"


def _encoded(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _decoded(text: bytes) -> Line | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
