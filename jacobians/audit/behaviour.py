"""What a call does besides computing values: memory, state, layout, not-a-numbers, small and real numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy.typing as npt

from jacobians.audit import Finding
from jacobians.audit.digits import real_numbers, small_numbers
from jacobians.audit.entries import observation
from jacobians.audit.judge import FINE, kind
from jacobians.audit.memory import LAYOUTS, OVERWRITTEN, WRITTEN, Arrangement, of_layout
from jacobians.audit.nonfinite import TILE, not_a_number
from jacobians.audit.probes import Case, Probe, draw, expected
from jacobians.audit.reproduce import calls, code, script
from jacobians.audit.shrink import small_cases
from jacobians.audit.state import repeated
from jacobians.audit.subject import LABELS, Result, Subject

__all__ = ["changes", "findings", "observed"]

Array = npt.NDArray[Any]

# Small layers to try for the smallest case.
MOST_CASES = 40
# Responses on an axis that are enough to tell a spread over all of them.
WIDE = 4 * TILE


def findings(
    subject: Subject, cases: Sequence[Case], seed: int, broken: Collection[str], inexact: Collection[str]
) -> list[Finding]:
    """Observe calls on a layer with several images, planes and filters.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    cases : sequence of Case
        The layers of the audit.
    seed : int
        Of the audit.
    broken : collection of str
        Results that are wrong already, of which nothing more is said.
    inexact : collection of str
        Results of algorithms that mix all entries, such as the FFT: a NaN spreads in them.

    Returns
    -------
    list of Finding
        One per thing that is wrong.
    """
    case = observed(cases)
    probe = draw(case, subject.options, seed)
    # What a cache keeps may look like any other error.
    kept = list(_smallest(lambda each: repeated(subject, cases, each, seed, broken), probe, subject, seed))
    unsteady = {*broken, *_named(each for each in kept if each.title != OVERWRITTEN[0])}
    small = list(small_numbers(subject, cases, seed, unsteady))
    small += real_numbers(subject, cases, seed, {*unsteady, *_named(small)})
    skipped = {*unsteady, *inexact, *_named(small)}

    def lost(probe: Probe) -> Iterator[Finding]:
        return not_a_number(subject, probe, skipped)

    checks: tuple[tuple[Case, Callable[[Probe], Iterator[Finding]]], ...] = (
        (case, lambda each: _layouts(subject, each, unsteady)),
        (case, lost),
    )
    # Beyond a tile, a NaN can only spread where there are more responses than one holds.
    wide = min(cases, key=lambda each: (-min(max(each.geometry.responses[1:]), WIDE), each.numbers))
    found: dict[tuple[str, str], Finding] = {}
    for layer, check in (*checks, *([(wide, lost)] if wide != case else [])):
        for each in _smallest(check, draw(layer, subject.options, seed), subject, seed):
            found.setdefault(_key(each), each)
    return [*kept, *small, *found.values()]


def _named(said: Iterable[Finding]) -> set[str]:
    about = {each.about for each in said}
    return {name for name, label in LABELS.items() if label in about}


def observed(cases: Sequence[Case]) -> Case:
    """Choose the layer at which calls are observed: several images and responses, and not the largest one."""
    return max(
        cases[: len(cases) * 2 // 3 + 1],
        key=lambda each: (min(each.images, 2), min(each.geometry.responses[1:]) > 1, each.numbers),
    )


def changes(subject: Subject) -> Iterator[Finding]:
    """Say what calls have written into the arrays that they were given.

    Parameters
    ----------
    subject : Subject
        The code under audit, after all other calls.

    Yields
    ------
    Finding
        One per function, on the first call that did.
    """
    for side, (letters, probe) in subject.writes.items():
        title = f"changes {' and '.join(letters)} in place"
        lines = [f"before = {letters[0]}.copy()", *calls(subject, side)]
        lines += [f"print({letters[0]})", "print(before)  # right"]
        yield observation(side, title, "in place", probe, WRITTEN, script(subject, probe, lines, sides=(side,)))


def _smallest(
    check: Callable[[Probe], Iterator[Finding]], probe: Probe, subject: Subject, seed: int
) -> Iterable[Finding]:
    """Make the findings of a check, each on the first of the small layers that shows it too."""
    found = {_key(finding): finding for finding in check(probe)}
    left = set(found)
    for case in small_cases(subject.options)[:MOST_CASES] if left else ():
        if not left or case.numbers >= probe.case.numbers:
            break
        for finding in check(draw(case, subject.options, seed)):
            if _key(finding) in left:
                left.remove(_key(finding))
                found[_key(finding)] = finding
    return found.values()


def _key(finding: Finding) -> tuple[str, str]:
    return finding.about, finding.title.partition(":")[0]


def _layouts(subject: Subject, probe: Probe, broken: Collection[str]) -> Iterator[Finding]:
    """Lay out all arguments otherwise at once; where that matters, one after the other, to find out which."""
    right, letters = expected(probe), subject.takes("backward" if subject.backward else "forward")
    said: set[tuple[str, str]] = set()
    for layout in LAYOUTS:
        if not _wrong(subject, probe, right, layout, letters, broken):
            continue
        for letter in letters:
            for name, result in _wrong(subject, probe, right, layout, letter, broken).items():
                if (name, letter) not in said:
                    said.add((name, letter))
                    title, cause, cure = of_layout(letter, layout.name, result.raised)
                    text = code(subject, probe, name, right[name], {letter: layout.code(letter)})
                    yield observation(
                        name, title, "memory layout", probe, (cause, cure), text, got=result.value, right=right[name]
                    )


def _wrong(
    subject: Subject, probe: Probe, right: dict[str, Array], layout: Arrangement, letters: str, broken: Collection[str]
) -> dict[str, Result]:
    """Return the results that are wrong for a layout of these arguments."""
    results = subject.results(probe, dict.fromkeys(letters, layout.arrange))
    return {
        name: result
        for name, result in results.items()
        if name not in broken and kind(result, right[name], probe, name) not in FINE
    }
