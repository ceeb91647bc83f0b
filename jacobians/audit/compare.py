"""Results held against the right ones: in what they differ, and in which entries."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.layer import Layer, Probe, Right, widened
from jacobians.audit.subject import ENDED, LARGE, LATE, UNTRIED, Arrange, Result, Subject

__all__ = ["FINE", "Comparison", "Run", "aligned", "counted", "listed", "numbered", "times", "written"]

Array = npt.NDArray[Any]

# Kinds of results that are right.
FINE = {"nothing", "inexact"}
# Entries to print of a case.
MOST_ENTRIES = 4
# Wrong results that are wrong again when the call is made again, after which all others are taken to be.
STEADY = 8
# Calls to make again before a result is called wrong that is known to be right at times.
TIMES = 7
# What np.empty holds in turn: the sequence of Thue and Morse, which has no period that counters or buffers could have.
FILLS = tuple((3, 5)[at.bit_count() % 2] for at in range(8))


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """One result of one call, held against the right one."""

    layer: Layer
    probe: Probe
    name: str
    result: Result
    right: Right

    @property
    def got(self) -> Array:
        """What was computed, in int64 or float64."""
        found = widened(self.result.value)
        # Memory that was never written may hold NaNs that warn in each operation.
        return np.where(np.isnan(found), np.nan, found) if np.isnan(found).any() else found

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what was computed."""
        return self.result.shape or self.got.shape

    @property
    def widens(self) -> bool:
        """Whether a result of a wider dtype is right: of integers that are summed, and of a single number."""
        return self.layer.widens and (self.probe.dtype.kind == "i" or not self.right.value.shape)

    @functools.cached_property
    def kind(self) -> str:
        """In what it differs: nothing; inexact, within the bound of fast algorithms; else the kind of a finding."""
        value, given = self.result.value, self.probe.dtype
        if value is None:
            return "shape" if self.result.shape else "exception"
        if value.shape != self.right.value.shape:
            return "shape"
        wider = self.widens and value.dtype.kind == given.kind and value.dtype.itemsize >= given.itemsize
        if value.dtype != given and not wider:
            return "dtype"
        if self.right.allows(self.got):
            return "nothing"
        if not np.all(np.isfinite(self.got)):
            return "not written"
        error = float(np.abs(self.got - self.right.value).max())
        return "inexact" if error <= self.slack else "values"

    @functools.cached_property
    def slack(self) -> float:
        """The error up to which results of fast algorithms are accepted."""
        return self.layer.slack(self.probe, self.name)

    @property
    def fine(self) -> bool:
        """Whether it is right, up to what fast algorithms may be off."""
        return self.kind in FINE

    @property
    def untried(self) -> bool:
        """Whether this call was not made, since others took too much."""
        return UNTRIED in self.result.raised

    @property
    def wrong(self) -> Array:
        """Which entries are not the right ones."""
        if self.got.shape != self.right.value.shape:
            return np.ones(self.right.value.shape, bool)
        return np.asarray(~(np.abs(self.got - self.right.value) <= self.right.error))


def _is_off(each: Comparison) -> bool:
    return each.kind != "nothing"


@dataclasses.dataclass(eq=False)
class Run:
    """One audit: the code, what it should compute, the cases to try, smallest first, and what is known so far."""

    subject: Subject
    layer: Layer
    cases: Sequence[Any]
    seed: int
    # Whether these cases were given: then nothing else is tried.
    restricted: bool = False
    # All comparisons with what the curriculum draws, and how many of the cases they are of.
    tried: list[Comparison] = dataclasses.field(default_factory=list)
    done: int = 0
    # Results of fast algorithms, those that depend on other calls, and those wrong for numbers with small digits.
    inexact: set[str] = dataclasses.field(default_factory=set)
    unsteady: set[str] = dataclasses.field(default_factory=set)
    inaccurate: set[str] = dataclasses.field(default_factory=set)
    # The first probe that each function changed, and which of its arrays.
    changed: dict[str, tuple[Probe, tuple[str, ...]]] = dataclasses.field(default_factory=dict)
    # What each function changes around itself.
    around: dict[str, dict[str, None]] = dataclasses.field(default_factory=dict)
    # The first probe of which each function ended its process, or did not end, by a result, and how.
    lost: dict[str, tuple[Probe, str]] = dataclasses.field(default_factory=dict)
    # How often each result was held against the right one, was wrong and when called again right, and wrong again.
    judged: Counter[str] = dataclasses.field(default_factory=Counter)
    slips: Counter[str] = dataclasses.field(default_factory=Counter)
    stayed: Counter[str] = dataclasses.field(default_factory=Counter)
    # The first that was right when called again.
    slipped: dict[str, Comparison] = dataclasses.field(default_factory=dict)
    # The first that was wrong whenever it followed the call before, and right by itself, and the numbers of that.
    kept: dict[str, tuple[Comparison, Probe]] = dataclasses.field(default_factory=dict)
    # Makes the last call again; its first argument are the numbers.
    last: functools.partial[Any] | None = None

    def results(
        self,
        probe: Probe,
        arrange: Arrange | None = None,
        only: str | None = None,
        layout: str = "",
        fill: int | None = None,
    ) -> dict[str, Result]:
        """Call the functions, or one of them, on one probe, as `Subject.results` does."""
        self.last = functools.partial(self.results, probe, arrange, only, layout)
        found = self.subject.results(probe.arrays, arrange, only, layout, fill)
        for side in {self.subject.side(name) for name in found}:
            name = self.subject.gives[side][0]
            self.around.setdefault(side, {}).update(dict.fromkeys(found[name].around))
            if found[name].raised.startswith((ENDED, LATE)):
                self.lost.setdefault(name, (probe, found[name].raised))
        for name, result in found.items():
            if result.changed:
                self.changed.setdefault(self.subject.side(name), (probe, result.changed))
        return found

    def again(self, probe: Probe, name: str) -> Result:
        """Call for one result."""
        return self.results(probe, only=self.subject.side(name))[name]

    def is_unwritten(self, each: Comparison) -> bool:
        """Whether a result shows what np.empty holds: it is another one, each time, where that is another number."""
        side, held = self.subject.side(each.name), list[bytes]()
        for fill in FILLS:
            value = self.results(each.probe, only=side, fill=fill)[each.name].value
            if value is None:
                return False
            held.append(np.asarray(value).tobytes())
            # Most results are the same with the first two numbers.
            if held[1:2] == held[:1] or held[-1] != held[FILLS.index(fill)]:
                return False
        return True

    def compared(
        self, probe: Probe, arrange: Arrange | None = None, only: str | None = None, layout: str = ""
    ) -> list[Comparison]:
        """Call the functions, or one of them, and hold each result against the right one, as `settled`."""
        right, before = self.layer.right(probe), self.last
        found = self.results(probe, arrange, only, layout)

        def again(name: str) -> Result:
            return self.results(probe, arrange, self.subject.side(name), layout)[name]

        return [
            self.settled(
                Comparison(self.layer, probe, name, result, right[name]), functools.partial(again, name), before
            )
            for name, result in found.items()
        ]

    def settled(
        self,
        each: Comparison,
        call: Callable[[], Result],
        before: functools.partial[Any] | None = None,
        wrong: Callable[[Comparison], bool] = _is_off,
    ) -> Comparison:
        """Return what was compared, or where it is wrong, and right when the call is made again, that: it is noted."""
        name, raised = each.name, each.result.raised
        self.judged[name] += 1
        lost = raised.startswith((ENDED, LATE)) or each.untried or each.result.held > LARGE
        if lost or not wrong(each) or (self.stayed[name] >= STEADY and name not in self.slipped):
            return each
        for _ in range(TIMES if name in self.slipped else 1):
            again = dataclasses.replace(each, result=call())
            self.judged[name] += 1
            if not wrong(again) and not self._is_kept(each, call, before, wrong):
                self.slip(each)
                return again
        self.stayed[name] += 1
        return each

    def resettled(self, each: Comparison) -> Comparison:
        """Return the same, where it is wrong and known to be right at times, as `settled`."""
        if not _is_off(each) or each.name not in self.slipped:
            return each
        return self.settled(each, functools.partial(self.again, each.probe, each.name))

    def slip(self, each: Comparison) -> None:
        """Note a result that was wrong, and right when the same call was made again."""
        self.slips[each.name] += 1
        self.slipped.setdefault(each.name, each)

    def _is_kept(
        self,
        each: Comparison,
        call: Callable[[], Result],
        before: functools.partial[Any] | None,
        wrong: Callable[[Comparison], bool],
    ) -> bool:
        """Whether a result is wrong whenever it follows the call before: then it depends on that, and not on chance."""
        if before is None or each.name in self.slipped:
            return False
        for _ in range(2):
            before()
            if not wrong(dataclasses.replace(each, result=call())):
                return False
        self.kept.setdefault(each.name, (each, before.args[0]))
        return True

    def is_wrong(self, each: Comparison) -> bool:
        """Whether it is a finding; of a fast algorithm, long sums cannot be judged where the bound allows anything."""
        if each.fine:
            return False
        return not self.inexact or each.kind != "values" or each.slack > 0

    def of(self, name: str) -> list[Comparison]:
        """Return all comparisons of one result, smallest case first."""
        return [each for each in self.tried if each.name == name]

    @property
    def broken(self) -> set[str]:
        """Results that are known to be wrong."""
        return {each.name for each in self.tried if self.is_wrong(each)} | self.unsteady | self.inaccurate

    def label(self, name: str) -> str:
        """Return how a report writes a result; a function is called by its own name."""
        return self.layer.labels.get(name, name)


def numbered(each: Comparison, wrong: Array | None = None) -> tuple[str, ...]:
    """Write the first wrong entries in numbers; `wrong` says which they are, where it is not those that differ."""
    right = np.asarray(each.right.value)
    if each.result.value is None or each.got.shape != right.shape:
        return ()
    at = np.flatnonzero(each.wrong if wrong is None else wrong)
    named, got = each.layer.names(each.name, each.probe.case), np.ravel(each.got)
    rows = [(named[k], *_apart(np.ravel(right)[k], got[k])) for k in at[:MOST_ENTRIES]]
    return aligned(rows, len(at), right.size)


def _apart(right: np.generic, got: np.generic) -> tuple[str, str]:
    """Write two numbers, with all digits where they differ in the last ones only."""
    short = written(right), written(got)
    return short if short[0] != short[1] else (repr(right.item()), repr(got.item()))


def aligned(rows: Sequence[tuple[str, str, str]], wrong: int, total: int) -> tuple[str, ...]:
    """Write the names of entries, what they should be and what they are, in columns."""
    width = max((len(wanted) for _, wanted, _ in rows), default=0)
    size = max((len(entry) for entry, _, _ in rows), default=0)
    lines = [f"{entry + ':':<{size + 1}} expected {wanted:<{width}}   got {found}" for entry, wanted, found in rows]
    return (*lines, *([f"… {wrong} of {total} entries are wrong"] if wrong > len(rows) else []))


def counted(number: int, what: str = "entry", several: str = "entries") -> str:
    """Write a number of things."""
    return f"{number} {what if number == 1 else several}"


def listed(words: Iterable[str]) -> str:
    """Join words by commas and, before the last, by "and"."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def written(value: Any) -> str:
    """Write a number in a few digits."""
    if isinstance(value, int | np.integer):
        return str(value)
    number = float(value)
    return str(int(number)) if math.isfinite(number) and number.is_integer() else f"{number:.6g}"


def times(factor: float, letter: str) -> str:
    """Write an array and what it was multiplied by: ``X``, ``−X``, ``0.5·X``."""
    if abs(factor) == 1:
        return letter if factor > 0 else f"−{letter}"
    return f"{written(factor)}·{letter}".replace("-", "−")
