"""The errors of the toolkit; each message names the argument, what it got, what it needs and the cure."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

__all__ = [
    "AuditError",
    "CallError",
    "DtypeError",
    "Interrupted",
    "ShapeError",
    "StoppedError",
    "TooLargeError",
    "VerificationError",
    "nearest",
    "raise_interrupt",
]


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


class CallError(TypeError):
    """The code under audit cannot be called as an audit calls code; that is no verdict on what it computes."""


class Interrupted(KeyboardInterrupt):
    """A Ctrl-C while something was checked; its `report` is of what was found out until then."""

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message)
        self.report = report


class StoppedError(RuntimeError):
    """An end before all was checked, such as on a full disk; its `report` is of what was found out until then."""

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

    wanted = str(name).casefold()
    by_case: dict[str, str] = {}
    for each in known:
        by_case.setdefault(each.casefold(), each)
    begun = [each for each in by_case if wanted and each.startswith(wanted)]
    close = begun or difflib.get_close_matches(wanted, by_case, n=len(by_case) or 1)
    best = min(close, key=lambda each: (_edits(wanted, each), _other_letters(wanted, each)), default=None)
    return "" if best is None else f"; did you mean {by_case[best]}?"


def _other_letters(one: str, other: str) -> int:
    """Count the letters that only one of two words has."""
    mine, theirs = Counter(one), Counter(other)
    return ((mine - theirs) + (theirs - mine)).total()


def _edits(one: str, other: str) -> int:
    """Count the letters to insert, leave out, replace, or exchange with their neighbours, to make one word another."""
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, wanted in enumerate(other, 1):
            costs = [rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != wanted)]
            if i > 1 and j > 1 and (letter, one[i - 2]) == (other[j - 2], wanted):
                costs.append(rows[-2][j - 2] + 1)
            row.append(min(costs))
        rows.append(row)
    return rows[-1][-1]


def raise_interrupt(error: BaseException) -> None:
    """Raise the Ctrl-C that an error was made of: loops of NumPy over objects report a SystemError in its place."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            raise cause
        cause = cause.__cause__ or cause.__context__
