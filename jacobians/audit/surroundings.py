"""What code may change around itself, for all code of its process: noted, and put back."""

from __future__ import annotations

import contextlib
import functools
import operator
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

__all__ = ["filled", "functions_kept", "interrupts", "kept", "random_numbers_kept"]


def _directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  # as a string, to go back to
    except FileNotFoundError:  # it was removed
        return ""


def _environment() -> dict[Any, Any]:
    # As the system writes it, if Python says: a copy in words takes as long as a small call.
    return dict(vars(os.environ).get("_data", os.environ))


def _set_environment(before: dict[Any, Any]) -> None:
    os.environ.clear()
    os.environ.update({os.fsdecode(name): os.fsdecode(value) for name, value in before.items()})


def _numpy_state() -> Any:
    name, words, *more = np.random.get_state()  # noqa: NPY002  # it is other people's code that uses it
    return name, words.tobytes(), *more  # type: ignore[attr-defined]  # an array


def _set_numpy_state(before: Any) -> None:
    name, words, *more = before
    np.random.set_state((name, np.frombuffer(words, np.uint32), *more))  # noqa: NPY002


# What an audit draws, computes and compares with.
NAMESPACES = tuple(map(vars, (np, np.random, np.linalg, np.lib.stride_tricks)))


def _functions() -> list[dict[str, Any]]:
    return [dict(space) for space in NAMESPACES]


def _set_functions(before: list[dict[str, Any]]) -> None:
    for space, functions in zip(NAMESPACES, before, strict=True):
        space.update(functions)


def _are_replaced(before: list[dict[str, Any]]) -> bool:
    """Whether functions are others now; modules that are loaded in between only add names."""
    return not all(map(_holds, NAMESPACES, before))


def _holds(space: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether a namespace holds the same objects: what code puts there may say that it equals anything, or raise."""
    # Names are added behind the others, where a look at the values alone is faster.
    in_order = len(space) >= len(before) and all(map(operator.is_, before.values(), space.values()))
    return in_order or all(map(operator.is_, map(space.get, before), before.values()))


class Part(NamedTuple):
    """Something around a call: how it is looked at and put back, and whether it has changed."""

    get: Callable[[], Any]
    put: Callable[[Any], Any]
    differs: Callable[[Any], bool] | None = None

    def changed(self, before: Any) -> bool:
        """Whether it is another one now."""
        return self.differs(before) if self.differs else bool(self.get() != before)


# What each call finds as the one before found it.
STEADY: dict[str, Part] = {
    "np.seterr": Part(np.geterr, lambda before: np.seterr(**before)),
    "the working directory": Part(_directory, os.chdir),
    "the environment": Part(_environment, _set_environment),
    "the functions of NumPy": Part(_functions, _set_functions, _are_replaced),
}
# What is put back after the audit alone: with the same numbers in each call, random results would look steady.
RANDOM: dict[str, Part] = {
    "the random numbers of Python": Part(random.getstate, random.setstate),
    "the random numbers of NumPy": Part(_numpy_state, _set_numpy_state),
}
# NumPy's own functions, as they were when this was imported.
FUNCTIONS = _functions()


def _states(parts: dict[str, Part]) -> dict[str, Any]:
    return {name: part.get() for name, part in parts.items()}


class Found(NamedTuple):
    """What the calls of an audit find, and whether code has replaced functions of NumPy before."""

    states: dict[str, Any]
    replaced: bool


AUDITS: list[Found] = []


@contextlib.contextmanager
def kept(*, draws: bool) -> Iterator[list[str]]:
    """Put back what changes, except for random numbers; afterwards, the list says what has changed."""
    # Looking at random numbers takes longer than a small call.
    found = AUDITS[-1] if AUDITS else Found(_states(STEADY), replaced=False)
    if found.replaced:
        _set_functions(found.states["the functions of NumPy"])
    drawn = _states(RANDOM) if draws else {}
    changed: list[str] = []
    try:
        yield changed
    finally:
        for name, part in STEADY.items():
            if part.changed(found.states[name]):
                changed.append(name)
                part.put(found.states[name])
        changed += [name for name, before in drawn.items() if RANDOM[name].changed(before)]
        if found.replaced:
            _set_functions(FUNCTIONS)


@contextlib.contextmanager
def functions_kept() -> Iterator[None]:
    """Judge by NumPy's own functions, although code has replaced some, which only its calls find."""
    with np.errstate(all="ignore"):  # as in each call
        found = Found(_states(STEADY), _are_replaced(FUNCTIONS))
    AUDITS.append(found)
    _set_functions(FUNCTIONS)
    try:
        yield
    finally:
        _set_functions(found.states["the functions of NumPy"])
        AUDITS.pop()


@contextlib.contextmanager
def filled(number: int | None) -> Iterator[None]:
    """Let np.empty and np.empty_like give arrays that are full of a number, if one is given."""
    if number is None:
        yield
        return
    empties = {name: getattr(np, name) for name in ("empty", "empty_like")}

    def full(empty: Callable[..., Any], *given: Any, **named: Any) -> Any:
        array = empty(*given, **named)
        if array.dtype.kind in "biufc":
            array.fill(number)
        return array

    vars(np).update({name: functools.partial(full, empty) for name, empty in empties.items()})
    try:
        yield
    finally:
        vars(np).update(empties)


@contextlib.contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Put the random numbers back."""
    before = _states(RANDOM)
    try:
        yield
    finally:
        for name, part in RANDOM.items():
            part.put(before[name])


class _Noting:
    """A handler of Ctrl-C that notes each, and passes it on to another one."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        self.handler, self.came = handler, list[int]()

    def __call__(self, number: int, frame: Any) -> Any:
        self.came.append(number)
        return self.handler(number, frame)


@contextlib.contextmanager
def interrupts() -> Iterator[list[int]]:
    """Tell a Ctrl-C from a KeyboardInterrupt of the code: afterwards, the list holds the signals that came."""
    came: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield came  # no signal raises anything here
        return
    # Exchanging a handler takes as long as a small call: an audit does it once, for all its calls.
    noting = handler if isinstance(handler, _Noting) else _Noting(handler)
    if noting is not handler:
        signal.signal(signal.SIGINT, noting)
    before = len(noting.came)
    try:
        yield came
    finally:
        came += noting.came[before:]
        # A first Ctrl-C may have set what a second one does.
        now = signal.getsignal(signal.SIGINT)
        if now is not handler and (now is noting or not came):
            signal.signal(signal.SIGINT, handler)
