"""The line of the author's code that an exception comes from."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

__all__ = ["place"]

PACKAGE = str(Path(__file__).parents[2])
LIBRARIES = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
INSTALLED = ("site-packages", "dist-packages")


def place(error: BaseException) -> str:
    """Say where an exception was raised, in the terms of the author of the code.

    Parameters
    ----------
    error : BaseException
        What was raised.

    Returns
    -------
    str
        Function, line and source of the deepest frame that is of no installed library, in whichever file it is; empty
        where there is none.
    """
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _of_library(each.filename)]
    if not frames:
        return ""
    source = f": `{frames[-1].line}`" if frames[-1].line else ""
    return f"{frames[-1].name}, line {frames[-1].lineno}{source}"


def _of_library(file: str) -> bool:
    parts = Path(file).parts
    return file.startswith((PACKAGE, *LIBRARIES, "<frozen")) or any(each in parts for each in INSTALLED)
