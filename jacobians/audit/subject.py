"""The code under audit, called with fresh arrays in poisoned memory."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.probes import Options, Probe

__all__ = ["LABELS", "Call", "Elsewhere", "Result", "Subject", "called"]

Array = npt.NDArray[Any]

LABELS = {"S": "S", "dX": "∂l/∂X", "dF": "∂l/∂F", "db": "∂l/∂b"}
# NumPy keeps up to seven freed blocks of a size for the next array.
BLOCKS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What one call gave for one array: a copy of it and the array itself, or what went wrong instead."""

    value: Array | None
    returned: Any = None
    raised: str = ""
    changed: tuple[str, ...] = ()


class Subject:
    """Functions to audit.

    Parameters
    ----------
    forward, backward : callable or None
        As `jacobians.audit.audit` takes them.
    options : Options
        What they were fixed to.
    """

    def __init__(
        self, forward: Callable[..., Any] | None, backward: Callable[..., Any] | None, options: Options
    ) -> None:
        if forward is None and backward is None:
            raise TypeError("forward and backward are None; audit needs at least one function to call")
        for name, function in (("forward", forward), ("backward", backward)):
            if function is not None and not callable(function):
                raise TypeError(f"{name} has type {type(function).__name__}; it needs a function of NumPy arrays")
        self.forward, self.backward, self.options = forward, backward, options
        self.calls = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays that the functions give."""
        backward = ("dX", "dF", *(("db",) if self.options.bias else ()))
        return (*(("S",) if self.forward else ()), *(backward if self.backward else ()))

    def results(self, probe: Probe, arrange: Mapping[str, Callable[[Array], Array]] | None = None) -> dict[str, Result]:
        """Call both functions on one probe.

        Parameters
        ----------
        probe : Probe
            The numbers.
        arrange : mapping of str to callable, optional
            How to lay out some of X, F, b and G in memory; by default all are contiguous. Every call gets new arrays,
            so that nothing that the functions do to them goes on to another call.

        Returns
        -------
        dict of Result
            One per array that the functions give.
        """
        found: dict[str, Result] = {}
        bias = self.options.bias
        if self.forward:
            found |= self._call(self.forward, ("S",), probe, "XFb" if bias else "XF", arrange or {})
        if self.backward:
            names = self.names[1:] if self.forward else self.names
            found |= self._call(self.backward, names, probe, "XFbG" if bias else "XFG", arrange or {})
        return found

    def _call(
        self,
        function: Callable[..., Any],
        names: tuple[str, ...],
        probe: Probe,
        letters: str,
        arrange: Mapping[str, Callable[[Array], Array]],
    ) -> dict[str, Result]:
        self.calls += 1
        given = [arrange.get(letter, np.array)(getattr(probe, letter)) for letter in letters]
        shapes = [getattr(probe, letter).shape for letter in "XFGb"]
        call = Call(names, letters, given, shapes, np.nan if self.calls % 2 else np.inf)
        return function.results(call) if isinstance(function, Elsewhere) else called(function, call)


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One call: what it is to give, what it is given, and what the memory around it is spoiled with."""

    names: tuple[str, ...]
    letters: str
    given: list[Any]
    shapes: list[tuple[int, ...]]
    spoil: float


class Elsewhere:
    """A function that is not called in this process."""

    def results(self, call: Call) -> dict[str, Result]:
        """Make one call, as `called` does."""
        raise NotImplementedError

    def __call__(self, *arrays: Array) -> Any:
        """Refuse: what a call gives there is for an audit."""
        raise TypeError(f"{len(arrays)} arrays were given to what runs in another process; call the function itself")


def called(function: Any, call: Call) -> dict[str, Result]:
    """Make one call in poisoned memory.

    Parameters
    ----------
    function : callable
        Forward or backward.
    call : Call
        Its arrays.

    Returns
    -------
    dict of Result
        One per name.
    """
    names, before = call.names, [each.copy() for each in call.given]
    _poison(call)
    try:
        with np.errstate(all="ignore"):
            returned = function(*call.given)
    except Exception as error:  # whatever the code under audit raises is the finding
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error}"
        place = f" ({where.name}, line {where.lineno})" if where.name else ""
        return {name: Result(None, raised=said + place) for name in names}
    changed = tuple(
        letter for letter, old, new in zip(call.letters, before, call.given, strict=True) if not _same(old, new)
    )
    results = (returned,) if len(names) == 1 and not isinstance(returned, tuple | list) else returned
    if not isinstance(results, tuple | list) or len(results) != len(names):
        count = f"{len(results)} results" if isinstance(results, tuple | list) else type(returned).__name__
        return {
            name: Result(None, raised=f"returned {count}, not {len(names)}: ({', '.join(names)})") for name in names
        }
    return {
        name: Result(np.array(value), value, changed=changed)
        if _is_array(value)
        else Result(None, raised=f"returned {type(value).__name__} for {LABELS[name]}, not an array")
        for name, value in zip(names, results, strict=True)
    }


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic | float | int)


def _same(before: Array, after: Array) -> bool:
    return before.tobytes() == after.tobytes()


def _poison(call: Call) -> None:
    """Leave a value behind in memory that the next arrays of these sizes are likely to get.

    NaN and ∞ take turns, so that what was never written differs from call to call, and is no number in any.
    """
    dtype = call.given[0].dtype
    value = 77 if dtype.kind in "iu" else call.spoil
    spoiled = [np.full(shape, value, dtype) for shape in call.shapes for _ in range(BLOCKS)]
    del spoiled
