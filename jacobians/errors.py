"""The errors of the toolkit; each message names the argument, what it got, what it needs and the cure."""

from collections.abc import Iterable
from typing import Any

__all__ = ["AuditError", "DtypeError", "Interrupted", "ShapeError", "TooLargeError", "VerificationError", "nearest"]


class ShapeError(ValueError):
    """A shape, or an option of the geometry (stride, padding, dilation, groups), does not fit the others."""


class DtypeError(TypeError):
    """An array holds entries that the formulas are not defined for."""


class TooLargeError(MemoryError):
    """A matrix was asked for that is larger than the memory it may use."""


class VerificationError(AssertionError):
    """An equation of the lecture does not hold for the code that was run."""


class AuditError(AssertionError):
    """Somebody's forward or backward pass is wrong."""


class Interrupted(KeyboardInterrupt):
    """A Ctrl-C while something was checked; its `report` is of what was found out until then."""

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message)
        self.report = report


def nearest(name: object, known: Iterable[str]) -> str:
    """Suggest the known name that is most like another, for the end of an error's message.

    Parameters
    ----------
    name : object
        What was given.
    known : iterable of str
        The names that there are.

    Returns
    -------
    str
        Empty where none is alike.

    Examples
    --------
    >>> nearest("Flaot32", ["float64", "float32", "int32"])
    '; did you mean float32?'
    """
    import difflib

    by_case = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(str(name).casefold(), by_case, n=1)
    return f"; did you mean {by_case[close[0]]}?" if close else ""
