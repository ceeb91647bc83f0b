"""Whether a call depends on the calls before it, and Python that shows it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.compare import FINE, Comparison, Run
from jacobians.audit.findings import finding
from jacobians.audit.layer import Probe, Right, widened
from jacobians.audit.python import shown, shown_steady
from jacobians.audit.report import Finding
from jacobians.audit.reproduce import calls, compared, on_other, script
from jacobians.audit.subject import Result

__all__ = ["OVERWRITTEN", "repeated", "state"]

Array = npt.NDArray[Any]
Because = tuple[str, str, str]
Results = dict[str, Result]

# Calls with the same numbers, of which a random one gives the same results with a small probability.
TIMES = 7
# Other numbers that have to show what a few have shown.
CONFIRMED = 12
# Title, cause and cure.
OVERWRITTEN: Because = (
    "is overwritten by a later call",
    "The returned array is a buffer that the next call uses.",
    "Return a new array.",
)
RANDOM: Because = (
    "differs from call to call",
    "Something is random, counted from call to call, a race, or memory that was never written.",
    "Take nothing but the arguments: fix the order of summation, draw nothing, and start from zeros.",
)
KEPT: Because = (
    "depends on the call before",
    "Something is kept between calls, such as a buffer or a cache.",
    "Keep nothing, or key it by all sizes and options.",
)
CACHED: Because = (
    "is that of the call before, whose numbers were in another order",
    "Something is kept between calls under a key that other numbers have too: the shape, the first entry or the sum.",
    "Keep nothing that depends on the numbers.",
)
SAVED: Because = (
    "depends on the call of forward before",
    "It takes what forward saved, and not its own arguments.",
    "Use the arguments, or call forward in it first.",
)
ACCUMULATED: Because = (
    "is added to the result of the call before",
    "A buffer is kept between calls and never set to zero, as .grad is in PyTorch.",
    "Start every call from zeros.",
)
LATER: Because = (
    "depends on the calls before: it is right for the first numbers of a size, and wrong for the next",
    "Something is kept between calls, such as a cache whose key is the shape alone.",
    "Keep nothing that depends on the numbers.",
)


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
    right: dict[int, dict[str, Right]] = dataclasses.field(default_factory=dict)

    @property
    def everything(self) -> Iterator[Results]:
        """All results."""
        yield from (self.before, self.first, self.reordered, self.next, *self.again, self.after)
        yield from (self.mixed_first[1], self.other_first[1], *([self.alone] if self.alone else []))


def state(run: Run) -> Iterator[Finding]:
    """Find results that are others after other calls; this comes before all calls, as a cache may look like a formula.

    Parameters
    ----------
    run : Run
        The audit; the results that are others are put into ``run.unsteady``.

    Yields
    ------
    Finding
        One per result.
    """
    history = _called(run)
    if history is None:
        return
    for name in run.subject.names:
        # Exceptions and memory that was never written are findings of their own.
        known = all(_is_finite(each[name]) for each in history.everything if name in each)
        for because, each in itertools.islice(_reasons(run, history, name) if known else (), 1):
            if because != OVERWRITTEN:
                run.unsteady.add(name)
            title, *why = because
            text = _text(run, history, name, because, each)
            yield finding(run, each, title, "state", (why[0], why[1], "memory"), text=text, at=each.wrong)


def repeated(run: Run, comparisons: Sequence[Comparison]) -> Finding | None:
    """Make the finding of a result that is another one when its call is made again, if it is."""
    wrong = [each for each in comparisons if each.kind == "values"]
    for each in dict.fromkeys((*wrong[:1], *wrong[-1:])):
        same = Right(each.got)
        again = [run.again(each.probe, each.name) for _ in range(TIMES if each is wrong[0] else 1)]
        if not all(_is_finite(result) for result in again):
            return None
        if all(same.allows(widened(result.value)) for result in again):
            continue
        steady = all(Right(widened(again[0].value)).allows(widened(result.value)) for result in again)
        title, *why = KEPT if steady else RANDOM
        side = run.subject.side(each.name)
        once = calls(run, side)
        largest = run.layer.draw(max(run.cases, key=lambda case: case.numbers), run.seed)
        left = [*on_other(run, largest, side), *once, *shown(each.name, each.right.value)]
        lines = left if steady else shown_steady(each.name, once, TIMES)
        text = script(run, each.probe, lines, (side,))
        return finding(run, each, title, "state", (why[0], why[1], "memory"), text=text)
    return None


def _called(run: Run) -> History | None:
    layer, seed = run.layer, run.seed
    cases = layer.fresh(run.cases)
    drawn = [layer.small(case, seed) for case in cases]
    small, new, second, third = drawn
    if small is None or new is None or second is None or third is None:
        return None
    mixed: Probe = new.reordered()
    # A key of a cache may be the first entry.
    number = next(
        (each for each in range(seed + 1, seed + 20) if _begins_otherwise(layer.small(cases[1], each), new)), seed + 1
    )
    other, other_third = layer.small(cases[1], number), layer.small(cases[3], number)
    if other is None or other_third is None:
        return None
    before, first = run.results(small), run.results(new)
    if any(each.value is None for each in (*before.values(), *first.values())):
        return None  # code that takes its process down is not called for this any more
    reordered = run.results(mixed)
    held = {name: Result(None if each.value is None else np.array(each.returned)) for name, each in first.items()}
    between, again, after = run.results(other), [run.results(new) for _ in range(TIMES)], run.results(small)
    mixed_second = second.reordered()
    mixed_first, other_first = ((each, run.results(each)) for each in (mixed_second, other_third))
    alone: Results = {}
    if len(run.subject.functions) > 1:
        run.results(mixed, only="forward")
        alone = run.results(new, only="backward")
    return History(
        small, new, mixed, other, before, first, held, reordered, between, again, after, mixed_first, other_first, alone
    )


def _begins_otherwise(one: Probe | None, two: Probe) -> bool:
    return one is not None and all(one.arrays[name].flat[0] != each.flat[0] for name, each in two.arrays.items())


def _is_finite(result: Result) -> bool:
    return result.value is not None and bool(np.all(np.isfinite(widened(result.value))))


def _reasons(run: Run, of: History, name: str) -> Iterator[tuple[Because, Comparison]]:
    """Say on what a result depends, surest first, with a call that shows it."""

    def held_against(probe: Probe, result: Result) -> Comparison:
        if id(probe) not in of.right:
            of.right[id(probe)] = run.layer.right(probe)
        return Comparison(run.layer, probe, name, result, of.right[id(probe)][name])

    again, first = [each[name] for each in of.again], of.first[name]
    late = held_against(of.new, again[-1])
    error = late.right.bound
    if _accumulates(again, late.right):
        yield ACCUMULATED, late
    if any(_differ(each, again[-1], error) for each in again[1:]):
        yield RANDOM, _unlike(held_against(of.new, each) for each in again)
    if _differ(of.held[name], first, error):
        yield OVERWRITTEN, _beside(held_against(of.new, of.held[name]), first)
    for because, probe, results, (alone_probe, alone) in (
        (LATER, of.other, of.next, of.other_first),
        (CACHED, of.mixed, of.reordered, of.mixed_first),
    ):
        # A formula that is wrong for these numbers is wrong for them at once.
        fine = all(held_against(*each).kind in FINE for each in ((of.new, first), (alone_probe, alone[name])))
        if fine and held_against(probe, results[name]).kind not in FINE and _holds_again(run, of, name, because):
            yield because, held_against(probe, results[name])
    if _differ(of.before[name], of.after[name], held_against(of.small, of.before[name]).right.bound):
        yield KEPT, _beside(held_against(of.small, of.after[name]), of.before[name])
    if name in of.alone and _differ(of.alone[name], again[-1], error):
        yield SAVED, _beside(held_against(of.new, of.alone[name]), again[-1])


def _holds_again(run: Run, of: History, name: str, because: Because) -> bool:
    """Whether other numbers show it, too, each time: a formula that is wrong for few numbers is right for others."""
    side = run.subject.side(name)
    for number in range(CONFIRMED):
        probe = run.layer.small(of.new.case, run.seed + 100 + number)
        if probe is None:
            return False
        asked = (probe, probe.reordered()) if because == CACHED else (probe,)
        *known, last = (next(each for each in run.compared(one, only=side) if each.name == name) for one in asked)
        # What an earlier call left under the same key tells nothing.
        if last.fine and all(each.fine for each in known):
            return False
    return True


def _beside(each: Comparison, other: Result) -> Comparison:
    """Hold a result against another one of the same call, where the code is wrong anyhow."""
    if dataclasses.replace(each, result=other).kind in FINE:
        return each
    return dataclasses.replace(each, right=Right(widened(other.value)))


def _unlike(results: Iterator[Comparison]) -> Comparison:
    """Choose the first that is not right: two that differ cannot both be."""
    found = list(results)
    return next((each for each in found if each.kind not in FINE), found[-1])


def _differ(one: Result, two: Result, error: Array) -> bool:
    """Whether two results of the same call are farther apart than rounding takes them."""
    if one.value is None or two.value is None:
        return True
    found, wanted = widened(one.value), widened(two.value)
    return found.shape != wanted.shape or bool(np.any(np.abs(found - wanted) > 2 * error.max()))


def _accumulates(again: Sequence[Result], right: Right) -> bool:
    """Whether every call gives what is right added to what the call before gave."""
    values = [widened(each.value) for each in again[:3]]
    if any(each.shape != right.value.shape for each in values) or not right.value.any():
        return False
    bound = Right(right.value, 6 * right.bound)
    return all(bound.allows(after - before) for before, after in itertools.pairwise(values))


def _text(run: Run, of: History, name: str, because: Because, each: Comparison) -> str:
    """Return Python that makes the calls of which the last one shows it."""
    side, sides = run.subject.side(name), tuple(run.subject.functions)
    once, right = calls(run, side), compared(each, "values")
    start, same = [*once, f"first = np.array({name})"], [f"print({name})", "print(first)  # right"]
    between = [line for probe in (of.new, of.mixed, of.other) for line in on_other(run, probe, side)]
    lines = {
        ACCUMULATED: [*once, *once, *right],
        RANDOM: shown_steady(name, once, TIMES),
        OVERWRITTEN: [*start, *on_other(run, of.other, side), *same],
        LATER: [*on_other(run, of.new, side), *once, *right],
        CACHED: [*on_other(run, of.new, side), *once, *right],
        KEPT: [*start, *between, *once, *same],
        SAVED: [*on_other(run, of.mixed, "forward"), *once, *right] if len(sides) > 1 else [],
    }[because]
    return script(run, each.probe, lines, ("forward", side) if because == SAVED else (side,))
