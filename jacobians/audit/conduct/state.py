"""Whether a call depends on the calls before it, and Python that shows it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.compare import TIMES, Comparison, Run
from jacobians.audit.findings import CLEARED, UNWRITTEN, finding
from jacobians.audit.layer import Layer, Probe, Right, widened
from jacobians.audit.python import shown_steady
from jacobians.audit.report import Finding
from jacobians.audit.reproduce import beside, calls, compared, on_other
from jacobians.audit.subject import LARGE, Result

__all__ = ["OVERWRITTEN", "repeated", "seldom", "state"]

Array = npt.NDArray[Any]
# Title, cause and cure.
Reason = tuple[str, str, str]
Results = dict[str, Result]

# How often calls are made again that have shown on what a result depends.
REPLAYED = 2
# Other numbers that have to show what a few have shown.
CONFIRMED = 12
# Seeds among which numbers are looked for that begin otherwise; those that confirm it come after them.
SEEDS = 20
OVERWRITTEN: Reason = (
    "is overwritten by a later call",
    "The returned array is a buffer that the next call uses.",
    "Return a new array.",
)
RANDOM: Reason = (
    "differs from call to call",
    "The code draws random numbers, counts its calls, has a race, or reads memory that was never written.",
    "Make the result depend on the arguments alone: fix the order of sums, draw no numbers, and start from zeros.",
)
KEPT: Reason = (
    "depends on the call before",
    "The code keeps something between calls, such as a buffer or a cache.",
    "Keep nothing between calls, or use all sizes and options as the key of the cache.",
)
CACHED: Reason = (
    "is the result of the call before, whose numbers were the same in another order",
    "The code keeps results under a key that other numbers share, such as the shape, the first entry or the sum.",
    "Keep nothing that depends on the numbers.",
)
SAVED: Reason = (
    "depends on the last call of forward",
    "The backward pass uses what forward saved instead of its own arguments.",
    "Use the arguments, or let backward call forward first.",
)
ACCUMULATED: Reason = (
    "is added to the result of the call before",
    "A buffer is kept between calls and never set to zero, as .grad is in PyTorch.",
    "Start every call from zeros.",
)
LATER: Reason = (
    "depends on earlier calls: it is right for the first numbers of a size and wrong for the next",
    "The code keeps something between calls, such as a cache whose key is the shape alone.",
    "Keep nothing that depends on the numbers.",
)


@dataclasses.dataclass(frozen=True, eq=False)
class History:
    """What calls gave for numbers of some names, in their order."""

    run: Run
    calls: dict[str, tuple[Probe, Results]] = dataclasses.field(default_factory=dict)
    right: dict[int, dict[str, Right]] = dataclasses.field(default_factory=dict)

    def call(self, what: str, probe: Probe, only: str | None = None) -> Results:
        """Call for these numbers."""
        self.calls[what] = probe, self.run.results(probe, only=only)
        return self.calls[what][1]

    def of(self, what: str, name: str) -> Comparison:
        """Hold a result of a call against the right one."""
        probe, results = self.calls[what]
        if id(probe) not in self.right:
            self.right[id(probe)] = self.run.layer.right(probe)
        return Comparison(self.run.layer, probe, name, results[name], self.right[id(probe)][name])

    def settle(self, name: str) -> None:
        """Note the calls whose result was wrong and is right when they are made again."""
        for what, (probe, results) in self.calls.items():
            if name in results and what != "held":
                self.run.settled(self.of(what, name), functools.partial(self.run.again, probe, name))


def state(run: Run) -> Iterator[Finding]:
    """Find results that are others after other calls, before all calls: a cache may look like a formula."""
    history = _called(run)
    if history is None:
        return
    for name in run.subject.names:
        # Exceptions and memory that was never written are findings of their own.
        known = all(_is_finite(results[name]) for _, results in history.calls.values() if name in results)
        for reason, each in itertools.islice(_reasons(history, name) if known else (), 1):
            if reason != OVERWRITTEN:
                run.unsteady.add(name)
                if run.is_unwritten(each):
                    yield finding(run, each, UNWRITTEN, "not written", CLEARED, at=each.wrong)
                    break
            lines, sides = _lines(history, name, reason, each)
            title, cause, cure = reason
            yield finding(run, each, title, "state", (cause, cure, "memory"), lines=lines, sides=sides, at=each.wrong)
        if name not in run.unsteady:
            history.settle(name)


def seldom(run: Run) -> Iterator[Finding]:
    """Say of each result how often it was wrong in a call, and right when that was made again, of how many calls."""
    for name, each in run.slipped.items():
        if name in run.unsteady:
            continue
        _, cause, cure = RANDOM
        of = run.judged[name]
        title = f"is wrong now and then: in {run.slips[name]} of {of} calls"
        lines = shown_steady(name, calls(run, run.subject.side(name)), of)
        known = ("when the same call was made again, the result was right", *filter(None, [each.result.raised]))
        yield finding(run, each, title, "state", (cause, cure, "memory"), lines=lines, known=known)
    yield from _kept(run)


def _kept(run: Run) -> Iterator[Finding]:
    """Say what depends on the call before where nothing else does: it is so small that no value was called wrong."""
    for name, (each, before) in run.kept.items():
        if name in run.broken or name in run.slipped:
            continue
        run.inexact.discard(name)
        side, (title, cause, cure) = run.subject.side(name), KEPT
        lines = [*on_other(run, before, side), *calls(run, side), *beside(each)]
        yield finding(run, each, title, "state", (cause, cure, "memory"), lines=lines)


def repeated(run: Run, comparisons: Sequence[Comparison]) -> Finding | None:
    """Make the finding of a result that is another one when its call is made again, if it is."""
    wrong = [each for each in comparisons if each.kind == "values"]
    for each in dict.fromkeys((*wrong[:1], *wrong[-1:])):
        again = [run.again(each.probe, each.name) for _ in range(TIMES if each is wrong[0] else 1)]
        if not all(_is_finite(result) for result in again):
            return None
        if all(Right(each.got).allows(widened(result.value)) for result in again):
            continue
        same = Right(widened(again[0].value))
        steady = each.name in run.kept or all(same.allows(widened(result.value)) for result in again)
        title, cause, cure = KEPT if steady else RANDOM
        side = run.subject.side(each.name)
        largest = run.layer.draw(max(run.cases, key=lambda case: case.numbers), run.seed)
        shows, before = run.kept.get(each.name, (each, largest))
        left = [*on_other(run, before, side), *calls(run, side), *beside(shows)]
        lines = left if steady else shown_steady(each.name, calls(run, side), TIMES)
        return finding(run, shows, title, "state", (cause, cure, "memory"), lines=lines)
    return None


def _called(run: Run) -> History | None:
    """Call for numbers of several shapes, in other orders, and again."""
    layer, seed, history = run.layer, run.seed, History(run)
    case, larger, second, third = layer.fresh(run.cases)
    number = _other_seed(layer, larger, seed)
    asked = ((case, seed), (larger, seed), (larger, number), (second, seed), (third, number))
    small, new, other, unused, last = (layer.small(*each) for each in asked)
    history.call("small", small)
    first = history.call("new", new)
    if run.lost or any(each.held > LARGE for each in first.values()):
        return None  # code that takes its process down, or a long time, is not called for this any more
    history.call("mixed", new.reordered())
    held = {name: Result(None if each.value is None else np.array(each.returned)) for name, each in first.items()}
    history.call("other", other)
    for time in range(TIMES):
        history.call(f"new again {time}", new)
    history.call("small again", small)
    # The same as mixed and other, in shapes that no call had before.
    history.call("mixed first", unused.reordered())
    history.call("other first", last)
    if len(run.subject.functions) > 1:
        run.results(history.calls["mixed"][0], only="forward")
        history.call("alone", new, only="backward")
    # What the first call returned, after the next call.
    history.calls["held"] = new, held
    return history


def _other_seed(layer: Layer, case: Any, seed: int) -> int:
    """Choose the seed of other numbers, of which all first entries differ if possible."""
    others = range(seed + 1, seed + SEEDS)
    return next((each for each in others if _begins_otherwise(layer, case, each, seed)), others[0])


def _begins_otherwise(layer: Layer, case: Any, one: int, two: int) -> bool:
    """Whether all first entries differ, which may be the key of a cache."""
    drawn, other = layer.small(case, one), layer.small(case, two)
    letters = {letter for takes in layer.takes.values() for letter in takes}
    return all(drawn.arrays[letter].flat[0] != other.arrays[letter].flat[0] for letter in letters)


def _is_finite(result: Result) -> bool:
    return result.value is not None and bool(np.all(np.isfinite(widened(result.value))))


def _reasons(history: History, name: str) -> Iterator[tuple[Reason, Comparison]]:
    """Say on what a result depends, surest first, with a call that shows it."""
    new, small, held = (history.of(what, name) for what in ("new", "small", "held"))
    again = [history.of(f"new again {time}", name) for time in range(TIMES)]
    # The first of them comes after other numbers.
    after_itself = again[1:]
    *_, before, last = after_itself
    wrong = [each for each in again if not each.fine]
    if wrong and _accumulates(again):
        yield ACCUMULATED, wrong[0]
    # Of what is right most of the time, it is said how often it is wrong.
    if len(wrong) > TIMES / 2 and any(_differ(each, last) for each in after_itself):
        yield RANDOM, wrong[0]
    if _differ(held, new):
        yield OVERWRITTEN, _beside(held, new)
    for reason, what in ((LATER, "other"), (CACHED, "mixed")):
        # A formula that is wrong for these numbers is wrong for them at once.
        each, fine = history.of(what, name), new.fine and history.of(f"{what} first", name).fine
        if fine and not each.fine and _holds_again(history.run, new, reason):
            yield reason, each
    for reason, what, other, first in ((KEPT, "small again", small, new), (SAVED, "alone", last, before)):
        each = history.of(what, name) if name in history.calls.get(what, (None, {}))[1] else other
        # Where the other one is wrong, so are all that come first.
        if _differ(each, other) and (other.fine or not first.fine) and _is_replayed(history, reason, other):
            yield reason, _beside(each, other)


# The calls that show on what a result depends, by their names, each of one function or of that whose result it is.
SHOWN: dict[Reason, tuple[tuple[str, str], ...]] = {
    KEPT: (("new", ""), ("mixed", ""), ("other", ""), ("small", "")),
    SAVED: (("mixed", "forward"), ("new", "")),
}


def _is_replayed(history: History, reason: Reason, other: Comparison) -> bool:
    """Whether the calls that have shown it give another result than `other`, and one and the same, each time."""
    probes, side = {what: probe for what, (probe, _) in history.calls.items()}, history.run.subject.side(other.name)
    found = []
    for _ in range(REPLAYED):
        for what, only in SHOWN[reason]:
            results = history.run.results(probes[what], only=only or side)
        found.append(dataclasses.replace(other, result=results[other.name]))
    return all(_differ(each, other) and not _differ(each, found[0]) for each in found)


def _holds_again(run: Run, new: Comparison, reason: Reason) -> bool:
    """Whether other numbers show it, too, each time: a formula that is wrong for few numbers is right for others."""
    for number in range(CONFIRMED):
        probe = run.layer.small(new.probe.case, run.seed + SEEDS + number)
        asked = {LATER: (probe,), CACHED: (probe, probe.reordered())}[reason]
        side = run.subject.side(new.name)
        *known, last = ({each.name: each for each in run.compared(one, only=side)}[new.name] for one in asked)
        # What an earlier call left under the same key tells nothing.
        if last.fine and all(each.fine for each in known):
            return False
    return True


def _beside(each: Comparison, other: Comparison) -> Comparison:
    """Hold a result against another one of the same call, where the code is wrong anyhow."""
    return each if other.fine else dataclasses.replace(each, right=Right(widened(other.result.value)))


def _differ(one: Comparison, two: Comparison) -> bool:
    """Whether two results of the same call are farther apart than rounding takes them."""
    if one.result.value is None or two.result.value is None:
        return True
    return one.got.shape != two.got.shape or bool(np.any(np.abs(one.got - two.got) > 2 * two.right.bound.max()))


def _accumulates(again: Sequence[Comparison]) -> bool:
    """Whether every call gives what is right added to what the call before gave."""
    first, right = again[:3], again[0].right
    if any(each.got.shape != right.value.shape for each in first) or not right.value.any():
        return False
    bound = Right(right.value, 6 * right.bound)
    return all(bound.allows(after.got - before.got) for before, after in itertools.pairwise(first))


def _lines(history: History, name: str, reason: Reason, each: Comparison) -> tuple[list[str], tuple[str, ...]]:
    """Return Python that makes the calls of which the last one shows it, and the functions that it calls."""
    run, probes = history.run, {what: probe for what, (probe, _) in history.calls.items()}
    side = run.subject.side(name)
    once, right = calls(run, side), compared(each, "values")
    start, same = [*once, f"first = np.array({name})"], [f"print({name})", "print(first)  # right"]

    def after(*whats: str) -> list[str]:
        return [line for what in whats for line in on_other(run, probes[what], side)]

    if reason == SAVED:
        return [*on_other(run, probes["mixed"], "forward"), *once, *right], ("forward", side)
    lines = {
        ACCUMULATED: [*once, *once, *right],
        RANDOM: shown_steady(name, once, TIMES),
        OVERWRITTEN: [*start, *after("other"), *same],
        LATER: [*after("new"), *once, *right],
        CACHED: [*after("new"), *once, *right],
        KEPT: [*start, *after("new", "mixed", "other"), *once, *same],
    }
    return lines[reason], (side,)
