"""Whether a call depends on the calls before it, and Python that shows it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import Finding
from jacobians.audit.layers.findings import compared, finding, program, written_call
from jacobians.audit.layers.shared import Code, Comparison, Probe, agrees
from jacobians.audit.memory import ACCUMULATED, CACHED, KEPT, LATER, OVERWRITTEN, RANDOM, SAVED, Because
from jacobians.audit.reproduce import expression, shown_steady
from jacobians.audit.subject import Result
from jacobians.verify.reference import Rounded

__all__ = ["SHAPES", "drawn", "state"]

Array = npt.NDArray[Any]
Results = dict[str, Result]

# Calls with the same numbers, of which a random one gives the same results with a small probability.
TIMES = 7
# Shapes that `Layer.draw` knows.
SHAPES = 3


@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """What calls gave, in their order.

    `small` numbers; `new` ones of another shape; `mixed`, the new ones in another order; `other` ones of the same
    shape; the new ones again and again; the small ones again; the mixed and the other ones, each in a shape that no
    call had before; and the backward pass alone for the new ones, behind a forward pass for the mixed ones. `held` is
    what the first call for the new ones returned, after the next call.
    """

    small: Probe
    new: Probe
    mixed: Probe
    other: Probe
    before: Results
    first: Results
    held: Results
    reordered: Results
    next: Results
    again: Sequence[Results]
    after: Results
    mixed_first: tuple[Probe, Results]
    other_first: tuple[Probe, Results]
    alone: Results


def state(code: Code, small: Probe) -> Iterator[Finding]:
    """Find results that are others after other calls; this comes before all calls, as a cache may look like a formula.

    Parameters
    ----------
    code : Code
        The functions under audit.
    small : Probe
        Numbers of another shape than those of `Layer.draw`.

    Yields
    ------
    Finding
        One per result.
    """
    history = _called(code, small)
    for name in code.names:
        alone = [history.alone] if name in history.alone else []
        results = [history.before, history.first, history.reordered, history.next, *history.again, history.after]
        results += [history.mixed_first[1], history.other_first[1]]
        # Exceptions and memory that was never written are findings of their own.
        reasons = _reasons(code, history, name) if all(_is_finite(each[name]) for each in (*results, *alone)) else ()
        for because, each in itertools.islice(reasons, 1):
            title, cause, cure = because
            said: dict[str, Any] = {"cause": cause, "cure": cure, "anchor": "memory"}
            said["text"] = _text(code, history, name, because, each)
            yield finding(code, [each], 0, title, "state", at=~_near(each.got, each.right), **said)


def _called(code: Code, small: Probe) -> History:
    new = drawn(code, 0, 0)
    mixed = new.reordered()
    # A key of a cache may be the first entry.
    number = next(each for each in itertools.count(1) if _begins_otherwise(drawn(code, each, 0), new))
    other = drawn(code, number, 0)
    before, first, reordered = (code.results(each) for each in (small, new, mixed))
    held = {name: Result(None if each.value is None else np.array(each.returned)) for name, each in first.items()}
    between, again, after = code.results(other), [code.results(new) for _ in range(TIMES)], code.results(small)
    mixed_first, other_first = (
        (each, code.results(each)) for each in (drawn(code, 0, 1).reordered(), drawn(code, number, 2))
    )
    alone: Results = {}
    if len(code.functions) > 1:
        code.results(mixed, "forward")
        alone = code.results(new, "backward")
    return History(
        small, new, mixed, other, before, first, held, reordered, between, again, after, mixed_first, other_first, alone
    )


def drawn(code: Code, number: int, shape: int) -> Probe:
    """Draw numbers in one of the shapes that are tried here alone."""
    return code.layer.draw(np.random.default_rng((code.seed, number)), code.dtype, shape)


def _begins_otherwise(one: Probe, two: Probe) -> bool:
    name = next(iter(one.arrays))
    return bool(one.arrays[name].flat[0] != two.arrays[name].flat[0])


def _is_finite(result: Result) -> bool:
    return result.value is not None and bool(np.all(np.isfinite(result.value.astype(np.float64))))


def _reasons(code: Code, of: History, name: str) -> Iterator[tuple[Because, Comparison]]:
    """Say on what a result depends, surest first, with a call that shows it."""
    small, new, mixed, other = (code.layer.right(each)[name] for each in (of.small, of.new, of.mixed, of.other))
    again, first = [each[name] for each in of.again], of.first[name]
    late = again[-1]
    if _accumulates(again, new):
        yield ACCUMULATED, Comparison(of.new, name, late, new)
    if any(_differ(each, late, new) for each in again[1:]):
        yield RANDOM, Comparison(of.new, name, _wrong(again, new), new)
    if _differ(of.held[name], first, new):
        yield OVERWRITTEN, Comparison(of.new, name, of.held[name], new)
    for because, probe, results, right, alone in (
        (LATER, of.other, of.next, other, of.other_first),
        (CACHED, of.mixed, of.reordered, mixed, of.mixed_first),
    ):
        # A formula that is wrong for these numbers is wrong for them at once.
        known = agrees(_wide(first), new) and agrees(_wide(alone[1][name]), code.layer.right(alone[0])[name])
        if known and not agrees(_wide(results[name]), right):
            yield because, Comparison(probe, name, results[name], right)
    if _differ(of.before[name], of.after[name], small):
        yield KEPT, Comparison(of.small, name, _wrong([of.after[name], of.before[name]], small), small)
    if name in of.alone and _differ(of.alone[name], late, new):
        yield SAVED, Comparison(of.new, name, of.alone[name], new)


def _wide(result: Result) -> Array:
    return np.asarray(result.value).astype(np.float64)


def _differ(one: Result, two: Result, right: Rounded) -> bool:
    """Whether two results of the same call are farther apart than rounding takes them."""
    found, wanted = _wide(one), _wide(two)
    return found.shape != wanted.shape or bool(np.any(np.abs(found - wanted) > 2 * right.error.max()))


def _near(got: Array, right: Rounded) -> Array:
    same = got.shape == right.value.shape
    return np.asarray(np.abs(got - right.value) <= right.error) if same else np.zeros(got.shape, bool)


def _wrong(results: Sequence[Result], right: Rounded) -> Result:
    """Choose the first that is not right: two that differ cannot both be."""
    return next(each for each in results if not agrees(_wide(each), right))


def _accumulates(again: Sequence[Result], right: Rounded) -> bool:
    """Whether every call gives what is right added to what the call before gave."""
    values = [_wide(each) for each in again[:3]]
    if any(each.shape != right.value.shape for each in values) or not right.value.any():
        return False
    bound = Rounded(right.value, 6 * right.error)
    return all(agrees(after - before, bound) for before, after in itertools.pairwise(values))


def _text(code: Code, of: History, name: str, because: Because, each: Comparison) -> str:
    """Return Python that makes the calls of which the last one shows it."""
    side = code.side(name)
    once, right = [written_call(code, side)], compared(each)
    start, same = [*once, f"first = np.array({name})"], [f"print({name})", "print(first)  # right"]
    lines = {
        ACCUMULATED: [*once, *once, *right],
        RANDOM: shown_steady(name, once, TIMES),
        OVERWRITTEN: [*start, _on(code, side, of.other), *same],
        LATER: [_on(code, side, of.new), *once, *right],
        CACHED: [_on(code, side, of.new), *once, *right],
        KEPT: [*start, *(_on(code, side, each) for each in (of.new, of.mixed, of.other)), *once, *same],
        SAVED: [_on(code, "forward", of.mixed), *once, *right] if len(code.functions) > 1 else [],
    }[because]
    return program(code, each.probe, lines, ("forward", side) if because == SAVED else (side,))


def _on(code: Code, side: str, probe: Probe) -> str:
    """Return Python that calls a function on other numbers."""
    return f"{side}({', '.join(expression(probe.arrays[letter]) for letter in code.layer.takes[side])})"
