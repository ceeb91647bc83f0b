"""What code may change around itself, for all code of its process: noted, and put back."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["functions_kept", "interrupts", "kept", "random_numbers_kept"]


def _directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  # as a string, to go back to
    except FileNotFoundError:  # it was removed
        return ""


def _set_environment(before: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(before)


def _numpy_state() -> Any:
    name, words, *more = np.random.get_state()  # noqa: NPY002  # it is other people's code that uses it
    return name, words.tobytes(), *more  # type: ignore[attr-defined]  # an array


def _set_numpy_state(before: Any) -> None:
    name, words, *more = before
    np.random.set_state((name, np.frombuffer(words, np.uint32), *more))  # noqa: NPY002


# What an audit draws, computes and compares with.
NAMESPACES = tuple(map(vars, (np, np.random, np.linalg, np.lib.stride_tricks)))
NAMES = tuple([name for name in each if not name.startswith("__")] for each in NAMESPACES)


def _functions() -> list[tuple[Any, ...]]:
    return [tuple(map(space.get, names)) for space, names in zip(NAMESPACES, NAMES, strict=True)]


def _set_functions(before: list[tuple[Any, ...]]) -> None:
    for space, names, functions in zip(NAMESPACES, NAMES, before, strict=True):
        space.update(zip(names, functions, strict=True))


# As they were when this was imported; what code has replaced before an audit, which its calls find.
FUNCTIONS = _functions()
REPLACED: list[list[tuple[Any, ...]]] = []
Part = tuple[Callable[[], Any], Callable[[Any], Any]]
# What each call finds as the one before found it.
STEADY: dict[str, Part] = {
    "np.seterr": (np.geterr, lambda before: np.seterr(**before)),
    "the working directory": (_directory, os.chdir),
    "the environment": (lambda: dict(os.environ), _set_environment),
    "the functions of NumPy": (_functions, _set_functions),
}
# What is put back after the audit alone: with the same numbers in each call, random results would look steady.
RANDOM: dict[str, Part] = {
    "the random numbers of Python": (random.getstate, random.setstate),
    "the random numbers of NumPy": (_numpy_state, _set_numpy_state),
}


@contextlib.contextmanager
def kept() -> Iterator[list[str]]:
    """Put back what changes, except for random numbers; afterwards, the list says what has changed."""
    parts = STEADY | RANDOM
    if REPLACED:
        _set_functions(REPLACED[-1])
    before = {name: get() for name, (get, _) in parts.items()}
    changed: list[str] = []
    try:
        yield changed
    finally:
        for name, (get, put) in parts.items():
            if get() != before[name]:
                changed.append(name)
                if name in STEADY:
                    put(before[name])
        if REPLACED:
            _set_functions(FUNCTIONS)


@contextlib.contextmanager
def functions_kept() -> Iterator[None]:
    """Judge by NumPy's own functions, although code has replaced some, which only its calls find."""
    REPLACED.append(_functions())
    _set_functions(FUNCTIONS)
    try:
        yield
    finally:
        _set_functions(REPLACED.pop())


@contextlib.contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Put the random numbers back."""
    before = {name: get() for name, (get, _) in RANDOM.items()}
    try:
        yield
    finally:
        for name, (_, put) in RANDOM.items():
            put(before[name])


@contextlib.contextmanager
def interrupts() -> Iterator[list[int]]:
    """Tell a Ctrl-C from a KeyboardInterrupt that code raises itself: the list holds the signals that came."""
    came: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield came  # no signal raises anything here
        return

    def noted(number: int, frame: Any) -> Any:
        came.append(number)
        return handler(number, frame)

    signal.signal(signal.SIGINT, noted)
    try:
        yield came
    finally:
        # A first Ctrl-C may have set what a second one does.
        if signal.getsignal(signal.SIGINT) is noted or not came:
            signal.signal(signal.SIGINT, handler)
