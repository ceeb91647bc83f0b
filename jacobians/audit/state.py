"""Whether a call depends on the calls before it, and Python that shows it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import Finding
from jacobians.audit.entries import observation
from jacobians.audit.judge import FINE, kind
from jacobians.audit.memory import ACCUMULATED, CACHED, KEPT, LATER, OVERWRITTEN, RANDOM, SAVED, STALE, Because
from jacobians.audit.probes import Case, Probe, draw, expected, integers
from jacobians.audit.reproduce import calls, script, shown, shown_steady
from jacobians.audit.subject import Result, Subject
from jacobians.evidence import exact

if TYPE_CHECKING:
    from jacobians.audit.run import Comparison

__all__ = ["accumulates", "differs", "first", "kept", "largest", "later", "once_only", "random", "repeated", "stale"]

Array = npt.NDArray[Any]

# Magnitude of numbers of which many sums can be added up.
SMALL = 9
# Calls with the same numbers, of which a random one gives the same results with a small probability.
AGAIN = 6
# A number of images and filters that no layer of an audit has.
UNUSED = 11
LAST = {"forward": "F", "backward": "G"}
DRAWN = "draw = lambda *shape: np.random.default_rng(0).integers(-9, 10, shape).astype(X.dtype)"
# Python that gives other numbers with the same first entry, the same sum and the same shape.
REORDERED = "reordered = lambda A: np.concatenate([A.ravel()[:1], A.ravel()[:0:-1]]).reshape(A.shape)"


def repeated(
    subject: Subject, cases: Sequence[Case], probe: Probe, seed: int, broken: Collection[str]
) -> Iterator[Finding]:
    """Call again after calls on other numbers and on another layer, if there is one.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    cases : sequence of Case
        The layers of the audit.
    probe : Probe
        The numbers.
    seed : int
        Of the audit.
    broken : collection of str
        Results that are wrong already.

    Yields
    ------
    Finding
        One per result that differs.
    """
    results = subject.results(probe)
    confusing = reordered(probe)
    right, between = expected(confusing), subject.results(confusing)
    alone = subject.backward_alone(probe) if subject.forward and subject.backward else {}
    held = {name: None if each.value is None else np.array(each.returned) for name, each in results.items()}
    after = again = subject.results(probe)
    other = next((case for case in (largest(cases), cases[0]) if case != probe.case), None)
    if other:
        subject.results(draw(other, subject.options, seed))
        after = subject.results(probe)
    for name, result in results.items():
        copy = result.value
        if name in broken or copy is None:
            continue
        for wrong, because, got in (
            (not _equal(copy, held[name]), OVERWRITTEN, held[name]),
            (kind(between[name], right[name], confusing, name) not in FINE, CACHED, between[name].value),
            (not _equal(copy, alone.get(name, result).value), SAVED, alone.get(name, result).value),
            (not _equal(copy, again[name].value), RANDOM, again[name].value),
            (not _equal(copy, after[name].value), KEPT, after[name].value),
        ):
            if wrong:
                given, wanted = (confusing, right[name]) if because == CACHED else (probe, copy)
                yield _kept(subject, name, given, because, got, wanted, other)
                break


def largest(cases: Sequence[Case]) -> Case:
    """Choose the layer with the largest images and responses, which leaves most in buffers of either."""
    return max(cases, key=lambda case: case.images * min(case.geometry.pixels, math.prod(case.geometry.responses)))


def later(subject: Subject, each: Comparison, other: Case) -> Finding:
    """Make the finding of a result that was right for the first numbers at a layer and is wrong for later ones.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    each : Comparison
        The result that is wrong.
    other : Case
        The largest of the layers.

    Returns
    -------
    Finding
        Of the kind "state".
    """
    if accumulates(subject, each):
        return kept(subject, each, ACCUMULATED)
    if found := random(subject, each) or first(subject, each):
        return found
    again = subject.results(each.probe)[each.name]
    if kind(again, each.right, each.probe, each.name) in FINE:
        return kept(subject, each, KEPT, other)
    return kept(subject, each, LATER)


def stale(subject: Subject, each: Comparison, tried: Sequence[Comparison]) -> Finding | None:
    """Make the finding of a result that is another one after calls with zeros, at the largest layer and at this one."""
    other = largest([one.probe.case for one in tried] or [each.probe.case])
    for probe in (next((one.probe for one in tried if one.probe.case == other), each.probe), each.probe):
        zeros: dict[str, Any] = {letter: np.zeros_like(getattr(probe, letter)) for letter in "XFbG"}
        subject.results(dataclasses.replace(probe, **zeros))
    again, before = subject.results(each.probe)[each.name].value, each.result.value
    if again is not None and before is not None and np.array_equal(again, before):
        return None
    return kept(subject, each, STALE, other)


def first(subject: Subject, each: Comparison) -> Finding | None:
    """Make the finding of a result that is right for nothing but the first numbers of a size."""
    layer, options, name = each.probe.geometry, subject.options, each.name
    sizes = layer.image, (UNUSED * layer.groups, *layer.filters[1:])
    case = Case(options.geometry(*sizes), UNUSED)
    most = min(SMALL, exact.exact_magnitude(options.dtype, case.terms))
    probes = [integers(case, options, max(most, 1), np.random.default_rng(number)) for number in range(2)]
    fine = [kind(subject.results(probe)[name], expected(probe)[name], probe, name) in FINE for probe in probes]
    return kept(subject, each, LATER) if fine == [True, False] else None


def once_only(subject: Subject, name: str, probe: Probe, before: Result, right: Array, other: Case) -> Finding | None:
    """Make the finding of a result that is another one when the call is made again, if it is."""
    again = subject.results(probe)[name].value
    if before.value is None or _equal(before.value, again):
        return None
    return _kept(subject, name, probe, KEPT, before.value, right, other)


def random(subject: Subject, each: Comparison) -> Finding | None:
    """Make the finding of a result that differs from call to call, if it does."""
    if not differs(subject, each):
        return None
    return kept(subject, each, RANDOM)


def differs(subject: Subject, each: Comparison) -> bool:
    """Whether calls with the same numbers, one after the other, give finite results that are not the same."""
    values = [subject.results(each.probe)[each.name].value for _ in range(1 + AGAIN)][1:]
    if any(value is None or not np.all(np.isfinite(value.astype(np.float64))) for value in values):
        return False
    return any(not _equal(value, values[0]) for value in values if value is not None)


def accumulates(subject: Subject, each: Comparison) -> bool:
    """Whether a call gives what is right added to what the call before gave."""
    most = min(SMALL, exact.exact_magnitude(subject.options.dtype, each.probe.case.terms))
    probe = integers(each.probe.case, subject.options, most, np.random.default_rng(0))
    right = expected(probe)[each.name]
    found = [subject.results(probe)[each.name].value for _ in range(3)]
    values = [np.asarray(value, np.float64) for value in found if value is not None and value.shape == right.shape]
    if len(values) < len(found) or not right.any():
        return False
    return np.array_equal(values[1], values[0] + right) and np.array_equal(values[2], values[1] + right)


def kept(subject: Subject, each: Comparison, because: Because, other: Case | None = None) -> Finding:
    """Make the finding of a result that depends on other calls; `other` is the layer of one of them."""
    return _kept(subject, each.name, each.probe, because, each.result.value, each.right, other)


def _kept(
    subject: Subject, name: str, probe: Probe, because: Because, got: Array | None, right: Array, other: Case | None
) -> Finding:
    title, cause, cure = because
    sides = tuple(side for side in ("forward", "backward") if getattr(subject, side))
    lines = _lines(subject, name, because, right, sides, other)
    text = script(subject, probe, lines, sides=sides)
    return observation(name, title, "state", probe, (cause, cure), text, got=got, right=right)


def _lines(
    subject: Subject, name: str, because: Because, right: Array, sides: Sequence[str], other: Case | None
) -> list[str]:
    """Return Python that makes the calls of which the last one shows it."""
    once, last = calls(subject, *sides), shown(name, right)
    start, same = [*once, f"first = {name}.copy()"], [f"print({name})", "print(first)  # right"]
    if because == OVERWRITTEN:
        # With the last factor of the other sign: another result of the same shape.
        return [*start, *_called(subject, sides, lambda letter, side: "-" * (letter == LAST[side]) + letter), *same]
    if because == ACCUMULATED:
        return [*once, *once, *last]
    if because == RANDOM:
        return shown_steady(name, once, 1 + AGAIN)
    if because in {KEPT, STALE} and other:
        between = [DRAWN, *_called(subject, sides, lambda letter, _: f"draw{other.shapes[letter]}")]
        return [*start, *between, *once, *same] if because == KEPT else [*between, *once, *last]
    if because == LATER:
        return [*_called(subject, sides, lambda letter, _: letter + " + 1" * (letter != "b")), *once, *last]
    before = _called(
        subject,
        sides[:1] if because == SAVED else sides,
        lambda letter, _: letter if letter == "b" else f"reordered({letter})",
    )
    return [REORDERED, *before, *(calls(subject, "backward") if because == SAVED else once), *last]


def _called(subject: Subject, sides: Sequence[str], argument: Callable[[str, str], str]) -> list[str]:
    """Return Python that calls functions with other arguments."""
    return [f"{side}({', '.join(argument(letter, side) for letter in subject.takes(side))})" for side in sides]


def reordered(probe: Probe) -> Probe:
    """Other numbers with the same first entry, the same sum and the same shape: a cache may take them for the same."""
    changed: dict[str, Any] = {}
    for letter in "XFG":
        A = getattr(probe, letter)
        flat = np.ravel(A).copy()
        flat[1:] = flat[:0:-1].copy()
        changed[letter] = flat.reshape(A.shape)
    return dataclasses.replace(probe, **changed)


def _equal(left: Array, right: Array | None) -> bool:
    if right is None:
        return False
    return np.array_equal(left.astype(np.float64), right.astype(np.float64), equal_nan=True)
