"""What is known of wrong numbers that no formula explains."""

from __future__ import annotations

import dataclasses
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.compare import Comparison, Run, times
from jacobians.audit.layer import widened

__all__ = ["Remainder", "facts", "remainder", "where"]

Array = npt.NDArray[Any]

# So many cases of either kind that what they have in common is no chance.
LEAST = 3


def facts(run: Run, wrong: Sequence[Comparison]) -> Iterator[str]:
    """Say what is known of wrong values of one result, smallest case first: one fact a line."""
    yield from _linear(run, wrong[0])
    pairs = [(each.got, each.right.value) for each in wrong]
    if all(np.array_equal(np.sort(got, None), np.sort(right, None)) for got, right in pairs):
        yield "the result holds the right numbers in the wrong places: it is a permutation of the right result"
    yield from _indices(wrong[-1])
    values = np.unique(np.concatenate([got[got != right] for got, right in pairs]))
    if len(values) == 1:
        yield f"all wrong entries are {values.item():g}"
    what = {each.probe.what for each in wrong}
    if "" not in what:
        yield f"the result is wrong only for {' and '.join(sorted(what))}"


def _linear(run: Run, each: Comparison) -> Iterator[str]:
    """Say of which factor a result of products is no linear function."""
    factors, probe = run.layer.factors.get(each.name, ()), each.probe
    plain = probe.replaced(b=probe.arrays["b"] * 0) if "b" in probe.arrays else probe
    once = run.again(plain, each.name).value if factors else None
    # Twice the largest integers that a dtype sums exactly is more than an integer dtype holds.
    scales = (-1,) if probe.dtype.kind in "iu" else (-1, 2)
    for letter, factor in itertools.product(factors, scales):
        scaled = plain.replaced(**{letter: plain.arrays[letter] * probe.dtype.type(factor)})
        value = run.again(scaled, each.name).value
        if once is None or value is None:
            return
        if not np.array_equal(widened(value), factor * widened(once)):
            scaled_result = times(factor, run.label(each.name))
            yield f"the result is not linear in {letter}: {times(factor, letter)} does not give {scaled_result}"


def _indices(each: Comparison) -> Iterator[str]:
    """Say between which indices entries are wrong, if not everywhere."""
    wrong = np.asarray(each.got != each.right.value)
    for axis, (label, _) in enumerate(each.layer.axes(each.name, wrong.ndim)):
        bad, most = np.unique(np.nonzero(wrong)[axis]), wrong.shape[axis] - 1
        if len(bad) <= most:
            yield f"at the largest {each.layer.unit}, only {_ends(label, int(bad[0]), int(bad[-1]), most)} wrong"
    yield f"at the largest {each.layer.unit}, {int(wrong.sum())} of {wrong.size} entries are wrong"


def _ends(label: str, first: int, last: int, most: int) -> str:
    """Say which indices of an axis are meant, counted from 0."""
    if first < last:
        return f"{label} {first} to {last}, of 0 to {most}, are"
    one, ends = label.removesuffix("s"), {0: "first", most: "last"}
    return f"the {ends[first]} {one} ({first}) is" if first in ends else f"{one} {first} is"


# at which cases -------------------------------------------------------------------------------------------------------

Sizes = dict[str, tuple[str, int]]
Compare = Callable[[int, int], bool]
COMPARED: dict[str, Compare] = {
    "≠": operator.ne, "=": operator.eq, ">": operator.gt, "<": operator.lt, "≥": operator.ge, "≤": operator.le,
}  # fmt: skip


def where(failed: Sequence[Comparison], tried: Sequence[Comparison]) -> Iterator[str]:
    """Say which sizes tell the cases that fail from those that do not, found by comparing sizes with each other."""
    wrong, fine, every = (
        {each.probe.case for each in some} for some in (failed, [each for each in tried if each.fine], tried)
    )
    fine -= wrong
    # Where some cases are neither, rounding cannot be told from a small error.
    if every - fine - wrong or min(len(wrong), len(fine)) < LEAST:
        return
    does = "the code raises" if {each.kind for each in failed} == {"exception"} else "the result is wrong"
    bad, good = ([failed[0].layer.sizes(case) for case in some] for some in (wrong, fine))
    for words, one, holds, other in _conditions(bad):
        wrongs, rights = (
            [holds(each[one][1], each[other][1] if isinstance(other, str) else other) for each in some]
            for some in (bad, good)
        )
        if all(wrongs) and not any(rights):
            yield f"{does} where {words}, and is right elsewhere"
            return


def _conditions(bad: Sequence[Sizes]) -> Iterator[tuple[str, str, Compare, str | int]]:
    """Yield what a size may be: at least, or at most, what it is where it is wrong; even; or one beside another."""
    for name, (letter, _) in bad[0].items():
        values = [sizes[name][1] for sizes in bad]
        least, most = min(values), max(values)
        several = {1: f"there are {name}", 2: f"there are several {name}"}
        yield several.get(least, f"there are {least} {name} or more"), name, operator.ge, least
        few = {0: f"there are no {name}", 1: f"the number of {name} ({letter}) is 1"}
        yield few.get(most, f"there are at most {most} {name}"), name, operator.le, most
        yield f"the number of {name} ({letter}) is even", name, lambda size, two: size % two == 0, 2
    for (one, (a, _)), (two, (b, _)) in itertools.combinations(bad[0].items(), 2):
        for sign, holds in COMPARED.items():
            yield f"{a} {sign} {b}", one, holds, two


# what a loop in steps leaves out --------------------------------------------------------------------------------------

# How many entries vector, tile and thread loops take at once.
STEPS = (256, 128, 64, 32, 16, 8, 6, 4, 3, 2)


@dataclasses.dataclass(frozen=True)
class Remainder:
    """What a loop in steps leaves out of the axes from one to another, which it takes as one."""

    label: str
    size: str
    axes: tuple[int, int]
    step: int
    held: str = ""

    def __str__(self) -> str:
        """Return which entries are meant."""
        return f"the last {self.size} mod {self.step} {self.label}"

    def count(self, each: Comparison) -> int:
        """Return how many entries there are along these axes."""
        first, last = self.axes
        return math.prod(each.right.value.shape[first:last])

    def wrong(self, each: Comparison) -> Array:
        """Return which of the entries along these axes are wrong."""
        first, last = self.axes
        shape = each.right.value.shape
        return np.asarray(each.wrong.reshape(math.prod(shape[:first]), -1, math.prod(shape[last:])).any((0, 2)))

    def explains(self, each: Comparison) -> bool:
        """Whether just the remainder is wrong, from its first entry on."""
        if each.kind not in {"values", "not written"}:
            return False
        wrong = self.wrong(each)
        return int(np.argmax(wrong)) == len(wrong) // self.step * self.step

    def allows(self, each: Comparison) -> bool:
        """Whether a right result has no remainder, or is smaller than one step."""
        count = self.count(each)
        return count % self.step == 0 or count < self.step


def remainder(failed: Sequence[Comparison], tried: Sequence[Comparison]) -> Remainder | None:
    """Tell whether all that is wrong of a result is the remainder of a loop that takes several entries at once."""
    # The wrong entries start where the remainder does, and what is right has none, or is smaller than the step.
    if any(each.kind not in {"values", "not written"} for each in failed):
        return None
    right = [each for each in tried if each.fine]
    for step, (label, size, axes) in itertools.product(STEPS, _axes(failed[0])):
        found = Remainder(label, size, axes, step)
        several = len({count for each in failed if (count := found.count(each)) > step}) > 1
        if several and all(map(found.explains, failed)) and all(map(found.allows, right)):
            return dataclasses.replace(found, held=_held(failed))
    return None


def _axes(each: Comparison) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Yield single axes, the last one first, all positions, and all entries."""
    ndim = each.right.value.ndim
    named = each.layer.axes(each.name, ndim)
    for k, (label, size) in reversed(list(enumerate(named))):
        yield label, size, (k, k + 1)
    for label, first in (("positions", 2), ("entries", 0)):
        yield label, "·".join(size for _, size in named[first:]), (first, ndim)


def _held(failed: Sequence[Comparison]) -> str:
    values = np.unique(np.concatenate([each.got[each.wrong] for each in failed]))
    if not np.all(np.isfinite(values)):
        return "memory that was never written"
    if len(values) == 1:
        return f"{values.item():g}"
    copies = all(np.isin(each.got[each.wrong], each.right.value).all() for each in failed)
    return "right numbers from other places" if copies else "other numbers"
