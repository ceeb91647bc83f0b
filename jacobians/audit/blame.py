"""The line of the author's code that an exception comes from."""

from __future__ import annotations

import functools
import inspect
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["place"]

PACKAGE = str(Path(__file__).parents[1])
LIBRARIES = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
INSTALLED = ("site-packages", "dist-packages")


def place(error: BaseException, function: Callable[..., Any]) -> str:
    """Say where an exception was raised, in the terms of the author of a function.

    Parameters
    ----------
    error : BaseException
        What was raised.
    function : callable
        What was called.

    Returns
    -------
    str
        Function, line and source of the deepest frame in the file of the function, or of the deepest one that is of no
        library; empty where there is neither.
    """
    frames = list(traceback.extract_tb(error.__traceback__))
    own = [frame for frame in frames if frame.filename == _file(function)]
    others = [frame for frame in frames if not _of_library(frame.filename)]
    if not own and not others:
        return ""
    frame = (own or others)[-1]
    source = f": `{frame.line}`" if frame.line else ""
    return f"{frame.name}, line {frame.lineno}{source}"


def _file(function: Callable[..., Any]) -> str:
    """Return the file of a function, found behind partial, methods and wrappers; empty for those of this package."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    function = getattr(function, "__func__", function)
    of_objects = getattr(type(function).__dict__.get("__call__"), "__code__", None)
    code = getattr(function, "__code__", of_objects)
    file = code.co_filename if code else ""
    return "" if _of_library(file) else file


def _of_library(file: str) -> bool:
    parts = Path(file).parts
    return file.startswith((PACKAGE, *LIBRARIES, "<frozen")) or any(each in parts for each in INSTALLED)
