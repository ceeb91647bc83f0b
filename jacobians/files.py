"""Files that are whole or not there: written beside, and then renamed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["write", "written"]


def write(file: Path, content: str | bytes) -> None:
    """Write a file, or leave what there was as it is: it is never in part the one and in part the other.

    Parameters
    ----------
    file : Path
        Where to; a link is followed, and what is no regular file, such as a device or a pipe, is written to as it is.
    content : str or bytes
        All of it; text is written in UTF-8.

    Raises
    ------
    OSError
        If it cannot be written, such as where a disk is full or a folder read-only.
    """
    with written(file) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def written(file: Path) -> Iterator[IO[bytes]]:
    """Give a stream to write a file to; if that ends with an error, what there was stays as it is.

    Parameters
    ----------
    file : Path
        As `write`.

    Yields
    ------
    binary file
        Which can be read, too, unless the file is a device or a pipe.

    Raises
    ------
    OSError
        As `write`.
    """
    file = file.resolve()
    if file.exists() and not file.is_file():
        with file.open("wb") as stream:
            yield stream
        return
    number, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    beside = Path(name)
    try:
        with os.fdopen(number, "w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(number)
        beside.chmod(file.stat().st_mode & 0o7777 if file.exists() else 0o666 & ~_umask())
        beside.replace(file)
    except BaseException:  # also where it is interrupted
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def _umask() -> int:
    """Return which permissions new files of this process lack; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
