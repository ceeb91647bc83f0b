"""Processes that end with the one that started them, however that ends, and take with them what they started."""

from __future__ import annotations

import atexit
import contextlib
import functools
import multiprocessing
import multiprocessing.connection
import os
import queue
import signal
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

if sys.platform == "linux":
    import fcntl

__all__ = ["Pool", "Worker", "completed"]

SPAWN = multiprocessing.get_context("spawn")
# Seconds between two looks at whether a process that does not answer is there at all, and for its last words.
LOOK, LAST_WORDS = 1.0, 1.0
READ = 4096
# How often a piece of work is tried whose process dies: it may be at fault itself.
TRIES = 3
# What keeps the linear algebra of a process that starts from taking the cores of the others.
THREADS = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"


class Worker:
    """One process, asked through a connection.

    It runs ``target(connection, *args)``; what it and its libraries print comes to `output` in pieces.
    """

    def __init__(self, target: Callable[..., None], *args: Any, output: Callable[[bytes], None]) -> None:
        self.connection, there = SPAWN.Pipe()
        printed, prints = SPAWN.Pipe(duplex=False)
        with _undisturbed():
            self.process: SpawnProcess = SPAWN.Process(target=_serve, args=(prints, target, there, *args), daemon=True)
            self.process.start()
        there.close()
        prints.close()
        self._words = threading.Thread(target=_passed_on, args=(printed, output), daemon=True)
        self._words.start()
        _running.add(self)

    def send(self, asked: Any) -> None:
        """Ask for something."""
        self.connection.send(asked)

    def receive(self, timeout: float | None) -> Any:
        """Return the answer; TimeoutError if it is not there in time, EOFError or ConnectionError if none can come."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            # Another process that it started may hold its end of the connection open.
            alive = self.process.is_alive()
            left = LOOK if until is None else max(min(LOOK, until - time.monotonic()), 0)
            if self.connection.poll(left):
                return self.connection.recv()
            if not alive:
                raise EOFError
            if until is not None and time.monotonic() >= until:
                raise TimeoutError

    def end(self) -> None:
        """End the process and all that it started, now; what it printed is passed on."""
        _end(self.process)
        self._words.join(LAST_WORDS)


class Pool(Executor):
    """Processes of one thread for pieces of work, which end at once where the pool is left, by an exception, too.

    A process that dies costs its piece of work another try, in a new process.
    """

    def __init__(self, jobs: int, output: Callable[[bytes], None]) -> None:
        self._output = output
        self._pieces: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._lock, self._ended = threading.Lock(), False
        with _one_thread():
            self._workers = [Worker(_work, output=output) for _ in range(jobs)]
        self._threads = [threading.Thread(target=self._serve, args=(place,), daemon=True) for place in range(jobs)]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function in one of the processes."""
        if self._ended:
            raise RuntimeError("the processes have ended, and take no more work")
        future: Future[Any] = Future()
        self._pieces.put((future, functools.partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, *_: Any, **__: Any) -> None:
        """End the processes; what they have not done yet fails."""
        with self._lock:
            self._ended = True
            for worker in self._workers:
                worker.end()
        for _thread in self._threads:
            self._pieces.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self, place: int) -> None:
        """Give the pieces of work to the process at one place, one after the other."""
        while piece := self._pieces.get():
            future, task = piece
            if not future.set_running_or_notify_cancel():
                continue
            try:
                error, result = self._answer(place, task)
            except Exception as lost:  # such as what cannot be sent to another process
                error, result = lost, None
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _answer(self, place: int, task: Callable[[], Any]) -> tuple[Exception | None, Any]:
        for _ in range(TRIES):
            try:
                self._workers[place].send(task)
                answer: tuple[Exception | None, Any] = self._workers[place].receive(None)
            except (EOFError, ConnectionError):
                self._replace(place)
            else:
                return answer
        raise BrokenExecutor(
            f"a process ended at each of {TRIES} tries of one piece of work, as where the memory is used up"
        )

    def _replace(self, place: int) -> None:
        with self._lock:
            if self._ended:
                raise BrokenExecutor("the processes were ended before all work was done")
            self._workers[place].end()
            with _one_thread():
                self._workers[place] = Worker(_work, output=self._output)


def completed(
    executor: Executor | None, function: Callable[[Any], Any], pieces: Sequence[Any]
) -> Iterator[tuple[int, Any]]:
    """Call a function for each of some pieces of work, in whichever order an executor does them.

    Parameters
    ----------
    executor : concurrent.futures.Executor or None
        Runs the calls; None makes them here.
    function : callable
        Of one piece.
    pieces : sequence
        What it is called with.

    Yields
    ------
    number : int
        Of the piece.
    result : object
        What the function returned, as soon as it is known.
    """
    if executor is None:
        yield from enumerate(map(function, pieces))
        return
    numbers: dict[Future[Any], int] = {}
    try:
        for number, piece in enumerate(pieces):
            numbers[executor.submit(function, piece)] = number
        for future in as_completed(numbers):
            yield numbers[future], future.result()
    finally:
        for future in numbers:
            future.cancel()


# Those that may still run; multiprocessing only asks them to end, and then waits for them.
_running: weakref.WeakSet[Worker] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)


@atexit.register
def _end_all() -> None:
    for each in list(_running):
        each.end()


def _end(process: Any) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended, or has not made its group yet
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(THREADS, "1"))  # read once, where a process loads the library
    try:
        yield
    finally:
        for name in THREADS:
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep a Ctrl-C from a process that starts here, until it has a group of its own, and from what starts it."""
    with _later(), _masked():
        yield


@contextlib.contextmanager
def _later() -> Iterator[None]:
    """Raise a Ctrl-C afterwards; what the mask keeps from this thread comes by way of another one."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or handler is None:
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def _masked() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # where it starts, it unblocks what is blocked
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _passed_on(printed: Connection, output: Callable[[bytes], None]) -> None:
    with contextlib.suppress(EOFError, OSError):
        while piece := os.read(printed.fileno(), READ):
            output(piece)
    printed.close()


# in the other process -------------------------------------------------------------------------------------------------


def _serve(prints: Connection, target: Callable[..., None], *args: Any) -> None:
    _follow()
    if os.name == "posix":
        for stream in (1, 2):
            os.dup2(prints.fileno(), stream)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is the one of the interpreter
    prints.close()
    target(*args)


def _work(connection: Connection) -> None:
    with contextlib.suppress(EOFError):
        while True:
            task = connection.recv()
            try:
                answer: tuple[Any, Any] = None, task()
            except Exception as error:  # it is raised where the result is waited for
                error.add_note(traceback.format_exc())
                answer = error, None
            connection.send(answer)


def _follow() -> None:
    """End with the process that started this one, also while code holds the interpreter's lock, where systems can."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # forget one that came while this process started
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform == "linux":
        pipe = int(parent.sentinel)  # it closes when the parent ends
        fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)
