"""Code under audit in a process of its own, so that code that takes its process down loses no report.

The audit stays where it is; what runs elsewhere is every single call. Arrays go there with their strides, memory is
poisoned there, and what was returned is kept there, so that an audit observes what it observes in one process. Where
the process dies, that call has died of it, and the next one gets a new process.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.calling.subject import Call, Elsewhere, Result, called, printable

__all__ = ["Isolated", "isolated"]

Array = npt.NDArray[Any]
Functions = tuple[Callable[..., Any] | None, Callable[..., Any] | None]

# Times that a function may end its process before it is not called any more.
MOST_CRASHES = 5
# Returned arrays that are kept, to see whether a later call overwrites them.
KEPT = 16


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
    # The process ends with this one: it is a daemon.
    return forward and Isolated(worker, "forward", *forward), backward and Isolated(worker, "backward", *backward)


class Isolated(Elsewhere):
    """A function that runs in another process."""

    def __init__(self, worker: _Worker, which: str, module: str, qualname: str, layout: str) -> None:
        self.worker, self.which, self.layout = worker, which, layout
        self.__module__, self.__qualname__ = module, qualname

    def results(self, asked: Call) -> dict[str, Result]:
        """Call it once, as `called` does."""
        return self.worker.results(self.which, asked)


class _Worker:
    """The process, and what is known of it."""

    def __init__(self, load: Callable[[], Functions]) -> None:
        self.load, self.crashes = load, collections.Counter[str]()
        self.lost = ""
        self.lock = threading.Lock()

    def start(self) -> Any:
        """Start the process; return (module, name, layout) of its functions, or raise what loading raised."""
        spawn = multiprocessing.get_context("spawn")
        self.connection, there = spawn.Pipe()
        self.process = spawn.Process(target=_serve, args=(there, self.load, not self.crashes), daemon=True)
        self.process.start()
        there.close()
        try:
            outcome = self.connection.recv()
        except (EOFError, ConnectionError):
            raise ChildProcessError(f"the code under audit does not load: {self._end()}") from None
        if isinstance(outcome, _Raised):
            raise outcome.error()
        return outcome

    def results(self, which: str, asked: Call) -> dict[str, Result]:
        """Make one call; where the process dies of it, that is the result."""
        with self.lock:
            if self.crashes[which] >= MOST_CRASHES:
                said = f"the process ended {MOST_CRASHES} times at other layers, so this one was not tried"
                return _none(asked, said)
            if self.lost:
                return _none(asked, self.lost)
            # What died of its own accord has to be told too, or an audit would be silent on it.
            when = "" if self.process.is_alive() else ", before this call"
            try:
                self.connection.send((which, _sent(asked)))
                found: dict[str, Result] = self.connection.recv()
            except (EOFError, ConnectionError):
                self.crashes[which] += 1
                return _none(asked, self._restart(self._end() + when))
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

    def _restart(self, ended: str) -> str:
        """Start again; return how the last process ended, and where no new one starts, why."""
        try:
            self.start()
        except Exception as error:  # whatever it is, the report is not to be lost
            ended = self.lost = f"{ended}, and a new one does not load the code: {_said(error)}"
        return ended


def _none(asked: Call, said: str) -> dict[str, Result]:
    return {name: Result(None, raised=said) for name in asked.labels}


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


@dataclasses.dataclass(frozen=True)
class _Raised:
    """An exception on its way to another process, which may not know its type, or not be able to make it again."""

    text: str
    packed: bytes

    @classmethod
    def of(cls, error: BaseException) -> _Raised:
        """Pack it, if that is possible."""
        try:
            packed = pickle.dumps(error)
        except Exception:  # whatever its parts raise
            packed = b""
        return cls(_said(error), packed)

    def error(self) -> Exception:
        """Return it as it was, or one with its type and message in words."""
        try:
            error = pickle.loads(self.packed)
        except Exception:  # whatever its type raises when it is made of other arguments
            error = None
        if isinstance(error, Exception) and _Raised.of(error).text == self.text:
            return error
        return ChildProcessError(f"the code under audit does not load: {self.text}")


def _serve(connection: Connection, load: Callable[[], Functions], first: bool) -> None:  # noqa: FBT001  # a process takes its arguments by position
    """Answer calls, in the other process."""
    import faulthandler

    if first:
        faulthandler.enable()  # where it crashes, on stderr; the next processes would say the same
    try:
        functions: dict[str, Any] = dict(zip(("forward", "backward"), load(), strict=True))
    except (Exception, SystemExit) as error:  # whatever it is, the audit is told
        connection.send(_Raised.of(error))
        return
    connection.send(
        [
            each and (getattr(each, "__module__", ""), _name(each), getattr(each, "layout", ""))
            for each in functions.values()
        ]
    )
    kept: collections.deque[Any] = collections.deque(maxlen=KEPT)
    count = 0
    while True:
        try:
            asked = connection.recv()
        except EOFError:
            return
        if isinstance(asked, int):
            connection.send(np.array(kept[asked - count]))  # the last one is number count − 1
            continue
        which, sent = asked
        found = called(functions[which], _received(sent))
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


def _said(error: BaseException) -> str:
    return printable(f"{type(error).__name__}: {error}")


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))


def _sent(asked: Call) -> Call:
    return dataclasses.replace(asked, given={name: _flat(each) for name, each in asked.given.items()})


def _received(sent: Call) -> Call:
    return dataclasses.replace(sent, given={name: _array(*each) for name, each in sent.given.items()})


def _flat(array: Array) -> tuple[bytes, Any, tuple[int, ...], tuple[int, ...], int]:
    """Take the memory from the first to the last byte of an array, and where in it the array is."""
    import ctypes

    reach = [(size - 1) * step for size, step in zip(array.shape, array.strides, strict=True)]
    offset = -sum(min(each, 0) for each in reach)
    length = sum(map(abs, reach)) + array.itemsize
    memory = ctypes.string_at(array.ctypes.data - offset, length)
    return memory, array.dtype, array.shape, array.strides, offset


def _array(memory: bytes, dtype: Any, shape: Sequence[int], strides: Sequence[int], offset: int) -> Array:
    aligned = np.empty(math.ceil(len(memory) / 16) * 2, np.float64).view(np.uint8)
    aligned[: len(memory)] = np.frombuffer(memory, np.uint8)
    return np.ndarray(tuple(shape), dtype, aligned.data, offset, tuple(strides))
