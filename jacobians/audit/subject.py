"""The code under audit, called with fresh arrays in poisoned memory."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import os
import re
import sysconfig
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.layouts import check_functions, in_layout
from jacobians.audit.surroundings import filled, interrupts, kept

__all__ = [
    "ENDED",
    "LARGE",
    "LATE",
    "OUTSIZED",
    "UNTRIED",
    "Arrange",
    "Call",
    "ProgramError",
    "Result",
    "Subject",
    "about_arguments",
    "call",
    "printable",
    "said",
    "told",
]

Array = npt.NDArray[Any]
Arrange = Mapping[str, Callable[[Array], Array]]

# Entries of a result that is copied whatever its shape is; more only where some argument or result has as many.
MOST_COPIED = 1 << 20
# Bytes that a larger one takes so much time to make that it is let be, and times that a function may make such.
LARGE, MOST_OUTSIZED = 1 << 26, 3
# How it is said that a call ended its process, that it did not end, and that it was not made, as others did so before.
ENDED, LATE, UNTRIED = "the process ended", "the call did not finish", "was not tried"
# The same of a function that gave far too much.
OUTSIZED = f"results were too large {MOST_OUTSIZED} times"
# NumPy keeps up to seven freed blocks of a size below this many bytes for the next array; malloc joins larger ones.
BLOCKS, SMALL = 8, 1024
# Calls in which random numbers are looked at, to note that they are drawn.
NOTED = 16
# What Python says of a call with arguments that do not fit.
ARGUMENTS = re.compile(r"positional argument|keyword argument|required argument|takes no arguments")
# Where code is that nobody under audit has written.
PACKAGE = str(Path(__file__).parents[1])
LIBRARIES = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
INSTALLED = {"site-packages", "dist-packages"}


class ProgramError(ChildProcessError):
    """How a process that was to compute results failed: its text, and not its type, is the finding."""


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What one call gave for one array: a copy of it and the array itself, or what went wrong instead."""

    value: Array | None
    returned: Any = None
    raised: str = ""
    traceback: str = ""
    changed: tuple[str, ...] = ()
    # Of an array so large that it cannot be right, of which no copy is made: its shape, and the bytes that it holds.
    shape: tuple[int, ...] = ()
    held: int = 0
    # What the call has changed around itself.
    around: tuple[str, ...] = ()


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
    layout : str
        Which layout the code is taken to have; empty for its own.
    fill : int, optional
        What np.empty and np.empty_like fill their arrays with; by default, they hold what memory holds.
    """

    given: dict[str, Any]
    labels: dict[str, str]
    spoiled: Sequence[tuple[tuple[int, ...], np.dtype[Any]]]
    number: int
    layout: str = ""
    fill: int | None = None


class Subject:
    """Functions to audit, the letters that they take, the names of what they give, and how a report writes those."""

    def __init__(
        self,
        functions: Mapping[str, Callable[..., Any] | None],
        takes: Mapping[str, tuple[str, ...]],
        gives: Mapping[str, tuple[str, ...]],
        labels: Mapping[str, str],
    ) -> None:
        given = {side: function for side, function in functions.items() if function is not None}
        if not given:
            are = "are" if len(functions) > 1 else "is"
            raise TypeError(f"{' and '.join(functions)} {are} None; audit needs at least one function to call")
        check_functions(given)
        self.order = tuple(given)
        # A backward pass may need what forward saved.
        self.functions = {side: given[side] for side in sorted(given, reverse=True)}
        self.takes, self.gives, self.labels = takes, gives, labels
        self.calls = 0
        # Told the number of calls after each.
        self.called: Callable[[int], None] = lambda _: None
        self.outsized = collections.Counter[str]()
        # That all calls of a function took, the way to another process and back included.
        self.seconds = collections.defaultdict[str, float](float)

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
        arrange: Arrange | None = None,
        only: str | None = None,
        layout: str = "",
        fill: int | None = None,
    ) -> dict[str, Result]:
        """Call the functions, or only one, each with new arrays, laid out in memory as `arrange` says by letter."""
        found: dict[str, Result] = {}
        for side in [only] if only else self.functions:
            if self.outsized[side] == MOST_OUTSIZED:
                found |= {name: Result(None, raised=f"{OUTSIZED}; it {UNTRIED}") for name in self.gives[side]}
                continue
            self.calls += 1
            given = {letter: (arrange or {}).get(letter, np.array)(arrays[letter]) for letter in self.takes[side]}
            labels = {name: self.labels[name] for name in self.gives[side]}
            spoiled = [(each.shape, each.dtype) for each in arrays.values()]
            start = time.perf_counter()
            results = call(self.functions[side], Call(given, labels, spoiled, self.calls, layout, fill))
            self.seconds[side] += time.perf_counter() - start
            self.called(self.calls)
            self.outsized[side] += any(each.held > LARGE for each in results.values())
            found |= results
        return found


@functools.singledispatch
def call(function: Callable[..., Any], asked: Call) -> dict[str, Result]:
    """Call a function in poisoned memory, and record for each of its results what it gives, raises and changes."""
    process, around = os.getpid(), list[str]()
    # Outermost, since a Ctrl-C may come at any step, and here alone it is no finding.
    with interrupts() as pressed:
        try:
            with np.errstate(all="ignore"), kept(draws=asked.number <= NOTED) as around, filled(asked.fill):
                found = _called(function, asked)
        except BaseException as error:  # whatever the code under audit raises is the finding
            found = _raised(error, asked)
        finally:
            if os.getpid() != process:  # the code has forked, and the child goes on as if it were the audit
                os._exit(1)
    if pressed:  # whatever the code, or NumPy, has made of what was not meant for it
        raise KeyboardInterrupt
    if not around:
        return found
    return {name: dataclasses.replace(result, around=tuple(around)) for name, result in found.items()}


def _called(function: Callable[..., Any], asked: Call) -> dict[str, Result]:
    labels, before = asked.labels, {name: each.copy() for name, each in asked.given.items()}
    if asked.layout:
        function = in_layout(function, tuple(labels), asked.layout)
    _poison(asked)
    returned = function(*asked.given.values())
    changed = tuple(name for name, array in asked.given.items() if before[name].tobytes() != array.tobytes())
    results = (returned,) if len(labels) == 1 and not isinstance(returned, tuple) else returned
    if not isinstance(results, tuple | list) or len(results) != len(labels):
        count = f"{len(results)} results" if isinstance(results, tuple | list) else type(returned).__name__
        said = f"returned {count}, not {len(labels)}: ({', '.join(labels)})"
        return {name: Result(None, raised=said) for name in labels}
    pairs = zip(labels.items(), results, strict=True)
    # Every right result has the shape of one of the arrays, or is a single number.
    most = max(MOST_COPIED, *(math.prod(shape) for shape, _ in asked.spoiled))
    return {name: _result(value, label, changed, most) for (name, label), value in pairs}


def _raised(error: BaseException, asked: Call) -> dict[str, Result]:
    if isinstance(error, ProgramError):
        return {name: Result(None, raised=str(error)) for name in asked.labels}
    lines = traceback.format_exception(error)
    return {name: Result(None, raised=told(error), traceback=printable("".join(lines))) for name in asked.labels}


def told(error: BaseException) -> str:
    """Return the type and the text of an exception, and the author's line that has raised it."""
    where = _place(error)
    return said(error) + (f" ({where})" if where else "")


def said(error: BaseException) -> str:
    """Return the type and the text of an exception, whatever its text raises."""
    try:
        text = str(error)
    except BaseException as another:
        text = f"its text raises {type(another).__name__}"
    return printable(f"{type(error).__name__}: {text}")


def about_arguments(raised: str) -> bool:
    """Whether what was raised is about the arguments of a call, which is not the fault of a formula."""
    return raised.startswith("TypeError") and bool(ARGUMENTS.search(raised))


def printable(text: str) -> str:
    """Escape what a terminal would obey, and XML and JSON cannot hold."""
    return "\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in text.split("\n"))


def _escaped(sign: str) -> str:
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii")


def _result(value: Any, label: str, changed: tuple[str, ...], most: int) -> Result:
    masked = isinstance(value, np.ma.MaskedArray)
    if masked or not isinstance(value, np.ndarray | np.generic | float | int | complex):
        more = ": its mask may hide numbers; return its .data or .filled(0)" if masked else ""
        return Result(None, raised=f"returned {type(value).__name__} for {label}; it must return an array{more}")
    if not np.can_cast(np.asarray(value).dtype, np.float64, "same_kind"):
        return Result(None, raised=f"returned {np.asarray(value).dtype} for {label}; it must return real numbers")
    if isinstance(value, np.ndarray) and value.size > most:
        raised = f"returned an array of shape {value.shape} for {label}"
        steps = zip(value.shape, value.strides, strict=True)
        held = value.itemsize * math.prod(size for size, step in steps if step)
        return Result(None, raised=raised, changed=changed, shape=value.shape, held=held)
    return Result(np.array(value), value, changed=changed)


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


def _place(error: BaseException) -> str:
    """Say where an exception was raised: function, line and source of the deepest frame that is of no library."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _of_library(each.filename)]
    if not frames:
        return ""
    source = f": `{frames[-1].line}`" if frames[-1].line else ""
    return f"{frames[-1].name}, line {frames[-1].lineno}{source}"


def _of_library(file: str) -> bool:
    return file.startswith((PACKAGE, *LIBRARIES, "<frozen")) or bool(INSTALLED & set(Path(file).parts))
