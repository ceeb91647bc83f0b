"""The code under audit, called with fresh arrays in poisoned memory."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.calling.blame import place

__all__ = [
    "Call",
    "Elsewhere",
    "Result",
    "Subject",
    "call",
    "called",
    "check_flag",
    "check_functions",
    "printable",
]

Array = npt.NDArray[Any]

# NumPy keeps up to seven freed blocks of a size below this many bytes for the next array; malloc joins larger ones.
BLOCKS, SMALL = 8, 1024


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What one call gave for one array: a copy of it and the array itself, or what went wrong instead."""

    value: Array | None
    returned: Any = None
    raised: str = ""
    traceback: str = ""
    changed: tuple[str, ...] = ()


class Subject:
    """Functions to audit, called with fresh arrays in poisoned memory.

    Parameters
    ----------
    functions : dict of str to callable or None
        forward and backward, in the order in which a report speaks of them.
    takes : dict of str to tuple of str
        The letters of their arguments, in their order.
    gives : dict of str to tuple of str
        The names of their results.
    labels : dict of str to str
        How a report writes a result.
    """

    def __init__(
        self,
        functions: Mapping[str, Callable[..., Any] | None],
        takes: Mapping[str, tuple[str, ...]],
        gives: Mapping[str, tuple[str, ...]],
        labels: Mapping[str, str],
    ) -> None:
        check_functions(**functions)
        given = {side: function for side, function in functions.items() if function is not None}
        self.order = tuple(given)
        # A backward pass may need what forward saved.
        self.functions = {side: given[side] for side in sorted(given, reverse=True)}
        self.takes, self.gives, self.labels = takes, gives, labels
        self.calls = 0
        # What the first call of each function changed that changed its arguments.
        self.writes: dict[str, tuple[str, ...]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays that the functions give."""
        return tuple(name for side in self.order for name in self.gives[side])

    def side(self, name: str) -> str:
        """Return which function gives a result."""
        return next(side for side in self.functions if name in self.gives[side])

    def results(
        self,
        arrays: Mapping[str, Array],
        arrange: Mapping[str, Callable[[Array], Array]] | None = None,
        only: str | None = None,
    ) -> dict[str, Result]:
        """Call the functions, or one of them, on the same arrays.

        Parameters
        ----------
        arrays : dict of str to ndarray
            By their letters.
        arrange : dict of str to callable, optional
            How to lay out some of them in memory; by default all are contiguous. Every call gets new arrays, so that
            nothing that the functions do to them goes on to another call.
        only : str, optional
            The one function to call.

        Returns
        -------
        dict of Result
            One per array that the functions give.
        """
        found: dict[str, Result] = {}
        for side in [only] if only else self.functions:
            self.calls += 1
            given = {letter: (arrange or {}).get(letter, np.array)(arrays[letter]) for letter in self.takes[side]}
            labels = {name: self.labels[name] for name in self.gives[side]}
            spoiled = [(each.shape, each.dtype) for each in arrays.values()]
            found |= call(self.functions[side], Call(given, labels, spoiled, self.calls))
            changed = next((each.changed for each in found.values() if each.changed), ())
            if changed:
                self.writes.setdefault(side, changed)
        return found


def check_functions(**functions: Any) -> None:
    """Refuse what is no function, and nothing at all.

    Parameters
    ----------
    **functions : callable or None
        By the names of the arguments.

    Raises
    ------
    TypeError
        If none is given, or one cannot be called.
    """
    if all(function is None for function in functions.values()):
        are = "are" if len(functions) > 1 else "is"
        raise TypeError(f"{' and '.join(functions)} {are} None; audit needs at least one function to call")
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} has type {type(function).__name__}; it needs a function of NumPy arrays")


def check_flag(name: str, flag: Any) -> None:
    """Refuse a flag that is no bool."""
    if not isinstance(flag, bool):
        raise TypeError(f"{name} is {flag!r}; it needs True or False")


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One call: what it is to give, what it is given, and what memory is spoiled before.

    Attributes
    ----------
    given : dict of str to ndarray
        Its arguments, by the names of the parameters and in their order; the call may change them.
    labels : dict of str to str
        What it should give, by name, and how a report writes that.
    spoiled : sequence of (shape, dtype)
        Arrays like these are left behind in memory, which the next ones of their sizes are likely to get.
    number : int
        How many calls there were: NaN and ∞ take turns, so that what was never written differs from call to call, and
        is no number in any. Among integers, it is 77.
    """

    given: dict[str, Any]
    labels: dict[str, str]
    spoiled: Sequence[tuple[tuple[int, ...], np.dtype[Any]]]
    number: int


class Elsewhere:
    """A function that is not called in this process."""

    def results(self, asked: Call) -> dict[str, Result]:
        """Make one call, as `called` does."""
        raise NotImplementedError

    def __call__(self, *arrays: Array) -> Any:
        """Refuse: what a call gives there is for an audit."""
        raise TypeError(f"{len(arrays)} arrays were given to what runs in another process; call the function itself")


def call(function: Callable[..., Any], asked: Call) -> dict[str, Result]:
    """Make one call, here or in the process where the function is; see `called`."""
    return function.results(asked) if isinstance(function, Elsewhere) else called(function, asked)


def called(function: Callable[..., Any], asked: Call) -> dict[str, Result]:
    """Call a function in poisoned memory, and record what it gives, raises and changes.

    Parameters
    ----------
    function : callable
        The code under audit.
    asked : Call
        Its arguments.

    Returns
    -------
    dict of Result
        One per result.
    """
    labels, before = asked.labels, {name: each.copy() for name, each in asked.given.items()}
    _poison(asked)
    try:
        with np.errstate(all="ignore"):
            returned = function(*asked.given.values())
    except (Exception, SystemExit) as error:  # whatever the code under audit raises is the finding
        where, lines = place(error), traceback.format_exception(error)
        said = printable(f"{type(error).__name__}: {error}") + (f" ({where})" if where else "")
        return {name: Result(None, raised=said, traceback=printable("".join(lines))) for name in labels}
    changed = tuple(name for name, array in asked.given.items() if not _same(before[name], array))
    results = (returned,) if len(labels) == 1 and not isinstance(returned, tuple) else returned
    if not isinstance(results, tuple | list) or len(results) != len(labels):
        count = f"{len(results)} results" if isinstance(results, tuple | list) else type(returned).__name__
        said = f"returned {count}, not {len(labels)}: ({', '.join(labels)})"
        return {name: Result(None, raised=said) for name in labels}
    pairs = zip(labels.items(), results, strict=True)
    return {name: _result(value, label, changed) for (name, label), value in pairs}


def printable(text: str) -> str:
    """Escape what a terminal would obey, and XML and JSON cannot hold."""
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode("ascii") for each in text
    )


def _result(value: Any, label: str, changed: tuple[str, ...]) -> Result:
    if not isinstance(value, np.ndarray | np.generic | float | int | complex):
        return Result(None, raised=f"returned {type(value).__name__} for {label}, not an array")
    if isinstance(value, np.ma.MaskedArray):
        said = (
            f"returned MaskedArray for {label}, not an array: its mask may hide numbers; return its .data or .filled(0)"
        )
        return Result(None, raised=said)
    if not np.can_cast(np.asarray(value).dtype, np.float64, "same_kind"):
        return Result(None, raised=f"returned {np.asarray(value).dtype} for {label}, not real numbers")
    return Result(np.array(value), value, changed=changed)


def _same(before: Array, after: Array) -> bool:
    if before.flags.c_contiguous and after.flags.c_contiguous:
        return np.array_equal(before.reshape(-1).view(np.uint8), after.reshape(-1).view(np.uint8))
    return before.tobytes() == after.tobytes()


def _poison(asked: Call) -> None:
    spoiled = []
    for shape, dtype in asked.spoiled:
        value = 77 if dtype.kind in "iu" else np.nan if asked.number % 2 else np.inf
        blocks = [np.empty(shape, dtype)]
        blocks += [np.empty(shape, dtype) for _ in range(BLOCKS - 1 if blocks[0].nbytes < SMALL else 1)]
        for block in blocks:
            block.fill(value)
        spoiled += blocks
    del spoiled
