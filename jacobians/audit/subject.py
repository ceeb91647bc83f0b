"""The code under audit, called with fresh arrays in poisoned memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.blame import place
from jacobians.audit.probes import Options, Probe

__all__ = ["LABELS", "Result", "Subject"]

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
        arrays = [getattr(probe, letter) for letter in letters]
        given = [arrange.get(letter, np.array)(each) for letter, each in zip(letters, arrays, strict=True)]
        _poison(probe, np.nan if self.calls % 2 else np.inf)
        try:
            with np.errstate(all="ignore"):
                returned = function(*given)
        except Exception as error:  # whatever the code under audit raises is the finding
            said = f"{type(error).__name__}: {error}"
            return {name: Result(None, raised=f"{said} ({place(error, function)})") for name in names}
        changed = tuple(
            letter for letter, before, after in zip(letters, arrays, given, strict=True) if not _same(before, after)
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
    left, right = (np.asarray(each, np.float64) for each in (before, after))
    return bool(np.array_equal(left, right, equal_nan=True))


def _poison(probe: Probe, value: float) -> None:
    """Leave a value behind in memory that the next arrays of these sizes are likely to get.

    NaN and ∞ take turns, so that what was never written differs from call to call, and is no number in any.
    """
    if probe.X.dtype.kind in "iu":
        value = 77
    arrays = (probe.X, probe.F, probe.G, probe.b)
    spoiled = [np.full(each.shape, value).astype(each.dtype) for each in arrays for _ in range(BLOCKS)]
    del spoiled
