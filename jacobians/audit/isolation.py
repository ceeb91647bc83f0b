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
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.arguments import instance, real, shown
from jacobians.audit.binding import bound
from jacobians.audit.programs import Bound, Wanted
from jacobians.audit.subject import ENDED, LATE, UNTRIED, Call, Result, call, said
from jacobians.workers import Worker

__all__ = ["Isolated", "isolated", "prepared"]

Array = npt.NDArray[Any]
Functions = tuple[Callable[..., Any] | None, Callable[..., Any] | None]

PASSES = ("forward", "backward")
# Times that a function may end its process, or be late, before it is not called any more.
MOST = {ENDED: 5, LATE: 3}
# Bytes of what the code prints that are passed on.
MOST_PRINTED = 20_000
# Returned arrays that are kept, to see whether a later call overwrites them.
KEPT = 16
NOT_LOADING = "the code under audit does not load: "


def isolated(load: Callable[[], Functions], *, timeout: float | None = None) -> Functions:
    """Make functions that run in a process of their own, so that an audit survives if they crash or hang.

    Parameters
    ----------
    load : callable
        A function that returns (forward, backward), with None for one that does not exist. It is called in the new
        process, and again in each process that replaces one that died. It must therefore be importable: a function of
        a module, or a ``functools.partial`` of one.
    timeout : float, optional
        The number of seconds that loading and each call may take. A call that takes longer is ended and becomes a
        finding; after three of them, the function is not called any more. By default, there is no limit.

    Returns
    -------
    forward, backward : Isolated or None
        Arguments for `jacobians.audit.audit`.

    Raises
    ------
    TypeError
        If `load` is not a function, or cannot be sent to another process.
    ValueError
        If `timeout` is not positive.
    ChildProcessError
        If the process ends or exceeds the time limit while it loads the code, or `load` raises an exception that cannot
        be sent between processes. Any other exception of `load` is raised as it is.

    Examples
    --------
    >>> from jacobians import audit
    >>> audit(*isolated(kernels)).check()  # doctest: +SKIP
    """
    if timeout is not None and not real(timeout) > 0:
        raise ValueError(f"timeout is {shown(timeout)}; it needs a number of seconds above 0, or None for no limit")
    instance("load", load, Callable, "a function that loads the code under audit")
    try:
        pickle.dumps(load)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"load is {shown(load)}, which cannot be sent to another process; it needs a function of a module, "
            "not a lambda or a function inside another"
        ) from error
    code = _Code(load, timeout)
    forward, backward = code.start()
    return forward and Isolated(code, "forward", *forward), backward and Isolated(code, "backward", *backward)


def prepared(forward: Any, backward: Any, wanted: Wanted) -> Bound:
    """Find out how code is called, in the process that it is in, as `bound` does."""
    code = next((each.code for each in (forward, backward) if isinstance(each, Isolated)), None)
    if code is None:
        return bound({"forward": forward, "backward": backward}, wanted)
    return code.prepared({"forward": forward, "backward": backward}, wanted)


class Isolated:
    """A function that runs in another process."""

    def __init__(self, code: _Code, which: str, module: str, qualname: str, layout: str, text: str) -> None:
        self.code, self.which, self.layout = code, which, layout
        self.__module__, self.__qualname__ = module, qualname
        if text:
            self.source = lambda name, given: text.replace("NAME", name)

    def __call__(self, *arrays: Array) -> Any:
        """Refuse: what a call gives there is for an audit."""
        raise TypeError(
            f"{len(arrays)} arrays were given to a function that runs in another process and only an audit can "
            "call; call the "
            "function itself"
        )


@call.register
def _(function: Isolated, asked: Call) -> dict[str, Result]:
    return function.code.results(function.which, asked)


class _Code:
    """The code in its process, and what is known of it."""

    def __init__(self, load: Callable[[], Functions], timeout: float | None) -> None:
        self.load, self.timeout, self.lock = load, timeout, threading.Lock()
        self.ends = collections.Counter[tuple[str, str]]()
        # The functions that there are, and why one is not called any more.
        self.sides: tuple[str, ...] = ()
        self.given_up: dict[str, str] = {}
        # None where a call was broken off: what it gives is not to be taken for what the next one gives.
        self.worker: Worker | None = None
        self.left = MOST_PRINTED
        # What the code is to be called for; nothing where finding out how took its process down.
        self.wanted: Wanted | None = None

    def start(self) -> Any:
        """Start the process; return (module, name, layout) of its functions, or raise what loading raised."""
        self.worker = Worker(_serve, self.load, self.wanted, not self.ends, output=self._passed_on)
        try:
            self.worker.receive(None)  # it is there; what takes time from here on is the code's
            known, raised = self._answer()
        except (EOFError, ConnectionError, TimeoutError) as error:
            raise ChildProcessError(NOT_LOADING + self._ended(error)) from None
        if raised:
            raise _unpacked(*raised)
        self.sides = tuple(side for side, each in zip(PASSES, known, strict=True) if each)
        return known

    def prepared(self, functions: dict[str, Any], wanted: Wanted) -> Bound:
        """Find out how the code is called; where its process dies of that, it is called as an audit calls functions."""
        only = wanted.only
        # A predicate is for the audit, which is here.
        sent = wanted if only is None else dataclasses.replace(wanted, only=dataclasses.replace(only, where=None))
        with self.lock:
            if self.worker is None:
                self.start()
            try:
                found, raised = self._answer(sent)
            except (EOFError, ConnectionError, TimeoutError):
                self.start()
                return Bound(functions, wanted.options({}, bias=bool(wanted.bias)))
        if raised:
            raise _unpacked(*raised)
        self.wanted = sent
        known, options, notes = found
        if only is not None:
            options = dataclasses.replace(options, only=only.joined(options.only))
        made = zip(PASSES, known, strict=True)
        return Bound({side: each and Isolated(self, side, *each) for side, each in made}, options, notes)

    def results(self, which: str, asked: Call) -> dict[str, Result]:
        """Make one call; where the process dies of it, or it is late, that is the result."""
        with self.lock:
            if which in self.given_up:
                return _none(asked, self.given_up[which])
            if self.worker is None:
                self.start()
            assert self.worker is not None
            # What died of its own accord has to be told too, or an audit would be silent on it.
            when = "" if self.worker.process.is_alive() else ", before this call"
            sent = dataclasses.replace(asked, given={name: _Laid(each) for name, each in asked.given.items()})
            try:
                found: dict[str, Result] = self._answer((which, sent))
            except (EOFError, ConnectionError, TimeoutError) as error:
                return _none(asked, self._restarted(which, self._ended(error) + when))
        return {
            name: result if result.value is None else dataclasses.replace(result, returned=_Kept(self, result))
            for name, result in found.items()
        }

    def again(self, number: int) -> Array | None:
        """Return a returned array as it is now, None where the process is gone; the next call tells of that."""
        with self.lock:
            try:
                array: Array = self._answer(number)
            except (EOFError, ConnectionError, TimeoutError):
                return None
        return array

    def _answer(self, asked: Any = None) -> Any:
        assert self.worker is not None
        try:
            if asked is not None:
                self.worker.send(asked)
            return self.worker.receive(self.timeout)
        except (EOFError, ConnectionError, TimeoutError):
            self.worker.end()
            raise
        except BaseException:  # a Ctrl-C, such as in a notebook
            self.worker.end()
            self.worker = None
            raise

    def _ended(self, error: Exception) -> str:
        assert self.worker is not None
        if isinstance(error, TimeoutError):
            return f"{LATE} within {self.timeout:g} s"
        code = self.worker.process.exitcode or 0
        names = {each.value: each.name for each in signal.Signals}
        return f"{ENDED} with {names.get(-code, f'signal {-code}') if code < 0 else f'exit status {code}'}"

    def _restarted(self, which: str, ended: str) -> str:
        """Start again if a function is left to call; return how the last process ended, and why no new one starts."""
        kind = LATE if ended.startswith(LATE) else ENDED
        self.ends[which, kind] += 1
        if self.ends[which, kind] == MOST[kind]:
            self.given_up[which] = f"{kind} {MOST[kind]} times at other layers, so this one {UNTRIED}"
        if self.given_up.keys() >= {*self.sides}:
            return ended
        try:
            self.start()
        except Exception as error:  # whatever it is, the report is not to be lost
            ended += f", and a new process cannot load the code: {said(error)}"
            self.given_up = dict.fromkeys(PASSES, ended)
        return ended

    def _passed_on(self, printed: bytes) -> None:
        """Print on stderr what the code prints, so much of it that nothing else gets lost in it."""
        if self.left > 0 and sys.stderr is not None:
            sys.stderr.write(printed[: self.left].decode(errors="replace"))
            self.left -= len(printed)
            if self.left <= 0:
                sys.stderr.write(
                    f"\njacobians: the code printed {MOST_PRINTED} bytes; the rest of its output is left out\n"
                )
            sys.stderr.flush()


class _Kept:
    """A returned array in the other process: as it is there now, or as it was where that process is gone."""

    def __init__(self, code: _Code, result: Result) -> None:
        self.code, self.worker = code, code.worker
        # In place of the array itself comes its number there.
        self.number, self.value = result.returned, result.value

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        del copy  # it always is one
        now = self.code.again(self.number) if self.worker is self.code.worker else None
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


def _none(asked: Call, text: str) -> dict[str, Result]:
    return {name: Result(None, raised=text) for name in asked.labels}


def _unpacked(text: str, packed: bytes) -> Exception:
    """Return an exception of the other process as it was, or where it cannot be made again here, in words."""
    try:
        error = pickle.loads(packed)
    except Exception:  # whatever its type raises when it is made of other arguments
        error = None
    return error if isinstance(error, Exception) and said(error) == text else ChildProcessError(NOT_LOADING + text)


# in the other process -------------------------------------------------------------------------------------------------


def _serve(connection: Connection, load: Callable[[], Functions], wanted: Wanted | None, first: bool) -> None:  # noqa: FBT001  # a process takes its arguments by position
    """Load the code, then answer calls until there are no more."""
    connection.send("ready")
    if first:
        faulthandler.enable(all_threads=False)  # where it crashes, on stderr; the next processes would say the same
    process = os.getpid()
    try:
        loaded: dict[str, Any] = dict(zip(PASSES, load(), strict=True))
        functions = loaded
        if wanted is not None:
            functions = dict(bound(loaded, wanted).functions)
    except BaseException as error:  # whatever it is, the audit is told
        connection.send((None, _packed(error)))
        return
    finally:
        if os.getpid() != process:  # a child that the code has forked
            os._exit(1)
    connection.send((_known(functions), None))
    served = _Served(loaded, functions)
    with contextlib.suppress(EOFError):
        while True:
            asked = connection.recv()
            try:
                connection.send(served.answer(asked))
            except BaseException as error:  # nothing of it was sent: it is packed first
                text = f"returned an object that cannot be sent from its process: {said(error)}"
                connection.send(_none(asked[1], text))


class _Served:
    """The code in its own process, the functions that an audit calls, and what they returned last."""

    def __init__(self, loaded: dict[str, Any], functions: dict[str, Any]) -> None:
        self.loaded, self.functions = loaded, functions
        self.kept: collections.deque[Any] = collections.deque(maxlen=KEPT)
        self.count = 0

    def answer(self, asked: Any) -> Any:
        """Bind the code to what is wanted, return an array that a call returned, by its number, or make a call."""
        if isinstance(asked, Wanted):
            return self._bound(asked)
        if isinstance(asked, int):
            return np.array(self.kept[asked - self.count])  # the last one is number count − 1
        which, made = asked
        return self._called(which, made)

    def _bound(self, wanted: Wanted) -> tuple[Any, Any]:
        try:
            found = bound(self.loaded, wanted)
        except BaseException as error:  # whatever it is, the audit is told
            return None, _packed(error)
        self.functions = dict(found.functions)
        return (_known(self.functions), found.options, found.notes), None

    def _called(self, which: str, made: Call) -> dict[str, Result]:
        found = call(self.functions[which], made)
        for name, result in found.items():
            if result.value is not None:
                self.kept.append(result.returned)
                found[name] = dataclasses.replace(result, returned=self.count)
                self.count += 1
        return found


def _known(functions: dict[str, Any]) -> list[list[Any] | None]:
    """Return what is known of functions in the process that asks."""
    usual = {"__module__": "", "__qualname__": "", "layout": "", "text": ""}
    return [
        None if each is None else [getattr(each, name, value) for name, value in usual.items()]
        for each in functions.values()
    ]


def _packed(error: BaseException) -> tuple[str, bytes]:
    packed = b""
    with contextlib.suppress(BaseException):  # whatever its parts raise
        packed = pickle.dumps(error)
    return said(error), packed
