"""Code under audit in a process of its own, so that code that takes its process down loses no report.

The audit stays where it is; what runs elsewhere is every single call. Arrays go there with their strides, memory is
poisoned there, and what was returned is kept there, so that an audit observes what it observes in one process. Where
the process dies, that call has died of it, and the next one gets a new process.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import dataclasses
import faulthandler
import math
import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.subject import Call, Result, call, printable

__all__ = ["Isolated", "isolated"]

Array = npt.NDArray[Any]
Functions = tuple[Callable[..., Any] | None, Callable[..., Any] | None]

PASSES = ("forward", "backward")
# Times that a function may end its process before it is not called any more.
MOST_CRASHES = 5
# Returned arrays that are kept, to see whether a later call overwrites them.
KEPT = 16
NOT_LOADING = "the code under audit does not load: "


def isolated(load: Callable[[], Functions]) -> Functions:
    """Make functions that an audit calls in a process of their own.

    Parameters
    ----------
    load : callable
        Returns (forward, backward), either of them None if there is none. It is called in the new process, and again
        in each one that replaces a process that died; so it must be importable: a function of a module, or a
        ``functools.partial`` of one.

    Returns
    -------
    forward, backward : Isolated or None
        For `jacobians.audit.audit`.

    Raises
    ------
    TypeError
        If `load` cannot be sent to another process.
    ChildProcessError
        If the process ends while it loads, or `load` raises what cannot be sent from it. Anything else that `load`
        raises is raised.

    Examples
    --------
    >>> from jacobians import audit
    >>> audit(*isolated(kernels)).check()  # doctest: +SKIP
    """
    try:
        pickle.dumps(load)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"load is {load!r}, which cannot be sent to another process; it needs a function of a module, not a lambda "
            "or a function inside another"
        ) from error
    worker = _Worker(load)
    forward, backward = worker.start()
    return forward and Isolated(worker, "forward", *forward), backward and Isolated(worker, "backward", *backward)


class Isolated:
    """A function that runs in another process."""

    def __init__(self, worker: _Worker, which: str, module: str, qualname: str, layout: str) -> None:
        self.worker, self.which, self.layout = worker, which, layout
        self.__module__, self.__qualname__ = module, qualname

    def __call__(self, *arrays: Array) -> Any:
        """Refuse: what a call gives there is for an audit."""
        raise TypeError(f"{len(arrays)} arrays were given to what runs in another process; call the function itself")


@call.register
def _(function: Isolated, asked: Call) -> dict[str, Result]:
    return function.worker.results(function.which, asked)


class _Worker:
    """The process, and what is known of it."""

    def __init__(self, load: Callable[[], Functions]) -> None:
        self.load, self.lock = load, threading.Lock()
        self.crashes = collections.Counter[str]()
        # Why a function is not called any more.
        self.given_up: dict[str, str] = {}

    def start(self) -> Any:
        """Start the process; return (module, name, layout) of its functions, or raise what loading raised."""
        spawn = multiprocessing.get_context("spawn")
        self.connection, there = spawn.Pipe()
        # A daemon ends with this process.
        self.process = spawn.Process(target=_serve, args=(there, self.load, not self.crashes), daemon=True)
        self.process.start()
        there.close()
        try:
            known, raised = self.connection.recv()
        except (EOFError, ConnectionError):
            raise ChildProcessError(NOT_LOADING + self._end()) from None
        if raised:
            raise _unpacked(*raised)
        return known

    def results(self, which: str, asked: Call) -> dict[str, Result]:
        """Make one call; where the process dies of it, that is the result."""
        with self.lock:
            if which in self.given_up:
                return _none(asked, self.given_up[which])
            # What died of its own accord has to be told too, or an audit would be silent on it.
            when = "" if self.process.is_alive() else ", before this call"
            sent = dataclasses.replace(asked, given={name: _Laid(each) for name, each in asked.given.items()})
            try:
                self.connection.send((which, sent))
                found: dict[str, Result] = self.connection.recv()
            except (EOFError, ConnectionError):
                return _none(asked, self._restarted(which, self._end() + when))
        return {
            name: result if result.value is None else dataclasses.replace(result, returned=_Kept(self, result))
            for name, result in found.items()
        }

    def again(self, number: int) -> Array | None:
        """Return a returned array as it is now, None where the process is gone; the next call tells of that."""
        with self.lock:
            try:
                self.connection.send(number)
                array: Array = self.connection.recv()
            except (EOFError, ConnectionError):
                return None
        return array

    def _end(self) -> str:
        self.process.join()
        code = self.process.exitcode or 0
        names = {each.value: each.name for each in signal.Signals}
        return f"the process ended with {names.get(-code, f'signal {-code}') if code < 0 else f'exit status {code}'}"

    def _restarted(self, which: str, ended: str) -> str:
        """Start again; return how the last process ended, and where no new one starts, why."""
        self.crashes[which] += 1
        if self.crashes[which] == MOST_CRASHES:
            self.given_up[which] = f"the process ended {MOST_CRASHES} times at other layers, so this one was not tried"
        try:
            self.start()
        except Exception as error:  # whatever it is, the report is not to be lost
            ended += f", and a new one does not load the code: {_said(error)}"
            self.given_up = dict.fromkeys(PASSES, ended)
        return ended


class _Kept:
    """A returned array in the other process: as it is there now, or as it was where that process is gone."""

    def __init__(self, worker: _Worker, result: Result) -> None:
        self.worker, self.process = worker, worker.process
        # In place of the array itself comes its number there.
        self.number, self.value = result.returned, result.value

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        del copy  # it always is one
        now = self.worker.again(self.number) if self.process is self.worker.process else None
        return np.asarray(self.value if now is None else now, dtype)


class _Laid:
    """An array on its way to another process, where it has its own strides."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def __reduce__(self) -> tuple[Callable[..., Array], tuple[Any, ...]]:
        """Take the memory from the first to the last byte of the array, and where in it the array is."""
        array = self.array
        reach = [(size - 1) * step for size, step in zip(array.shape, array.strides, strict=True)]
        offset = -sum(min(each, 0) for each in reach)
        memory = ctypes.string_at(array.ctypes.data - offset, sum(map(abs, reach)) + array.itemsize)
        return _laid, (memory, array.shape, array.dtype, offset, array.strides)


def _laid(memory: bytes, shape: Any, dtype: Any, offset: int, strides: Any) -> Array:
    aligned = np.empty(math.ceil(len(memory) / 16) * 2, np.float64).view(np.uint8)
    aligned[: len(memory)] = np.frombuffer(memory, np.uint8)
    return np.ndarray(shape, dtype, aligned.data, offset, strides)


def _none(asked: Call, said: str) -> dict[str, Result]:
    return {name: Result(None, raised=said) for name in asked.labels}


def _said(error: BaseException) -> str:
    return printable(f"{type(error).__name__}: {error}")


def _unpacked(said: str, packed: bytes) -> Exception:
    """Return an exception of the other process as it was, or where it cannot be made again here, in words."""
    try:
        error = pickle.loads(packed)
    except Exception:  # whatever its type raises when it is made of other arguments
        error = None
    return error if isinstance(error, Exception) and _said(error) == said else ChildProcessError(NOT_LOADING + said)


# in the other process -------------------------------------------------------------------------------------------------


def _serve(connection: Connection, load: Callable[[], Functions], first: bool) -> None:  # noqa: FBT001  # a process takes its arguments by position
    """Load the code, then answer calls until there are no more."""
    if first:
        faulthandler.enable()  # where it crashes, on stderr; the next processes would say the same
    try:
        functions: dict[str, Any] = dict(zip(PASSES, load(), strict=True))
    except (Exception, SystemExit) as error:  # whatever it is, the audit is told
        packed = b""
        with contextlib.suppress(Exception):  # whatever its parts raise
            packed = pickle.dumps(error)
        connection.send((None, (_said(error), packed)))
        return
    attributes = ("__module__", "__qualname__", "layout")
    known = [each if each is None else [getattr(each, name, "") for name in attributes] for each in functions.values()]
    connection.send((known, None))
    kept: collections.deque[Any] = collections.deque(maxlen=KEPT)
    count = 0
    with contextlib.suppress(EOFError):
        while True:
            asked = connection.recv()
            if isinstance(asked, int):
                connection.send(np.array(kept[asked - count]))  # the last one is number count − 1
                continue
            which, made = asked
            found = call(functions[which], made)
            for name, result in found.items():
                if result.value is not None:
                    kept.append(result.returned)
                    found[name] = dataclasses.replace(result, returned=count)
                    count += 1
            try:
                connection.send(found)
            except Exception as error:  # nothing of it was sent: it is packed first
                said = f"returned what cannot be sent from its process: {_said(error)}"
                connection.send({name: Result(None, raised=said) for name in found})
