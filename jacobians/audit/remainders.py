"""The remainder that a loop in steps leaves out, of which nothing but its place is known."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.compare import Comparison

__all__ = ["Remainder", "remainder"]

Array = npt.NDArray[Any]

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

    def wrong(self, each: Comparison) -> Array:
        """Return which of the entries along these axes are wrong."""
        first, last = self.axes
        shape = each.right.value.shape
        return np.asarray(each.wrong.reshape(int(np.prod(shape[:first])), -1, int(np.prod(shape[last:]))).any((0, 2)))

    def explains(self, each: Comparison) -> bool:
        """Whether just the remainder is wrong, from its first entry on."""
        if each.kind not in {"values", "not written"}:
            return False
        wrong = self.wrong(each)
        return int(np.argmax(wrong)) == len(wrong) // self.step * self.step

    def allows(self, each: Comparison) -> bool:
        """Whether a right result has no remainder, or is smaller than one step."""
        count = len(self.wrong(each))
        return count % self.step == 0 or count < self.step


def remainder(failed: Sequence[Comparison], tried: Sequence[Comparison]) -> Remainder | None:
    """Tell whether all that is wrong of a result is the remainder of a loop that takes several entries at once."""
    # The wrong entries start where the remainder does, and what is right has none, or is smaller than the step.
    ndim = failed[0].right.value.ndim
    if any(each.kind not in {"values", "not written"} or each.right.value.ndim != ndim for each in failed):
        return None
    right = [each for each in tried if each.fine]
    for step, (label, size, axes) in itertools.product(STEPS, _axes(failed[0], ndim)):
        found = Remainder(label, size, axes, step)
        several = len({count for each in failed if (count := len(found.wrong(each))) > step}) > 1
        if several and all(map(found.explains, failed)) and all(map(found.allows, right)):
            return dataclasses.replace(found, held=_held(failed))
    return None


def _axes(each: Comparison, ndim: int) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Yield single axes, the last one first, all positions, and all entries."""
    named = each.layer.axes(each.name, ndim)
    sizes = [size for _, size in named]
    for k, (label, size) in reversed(list(enumerate(named))):
        yield label, size, (k, k + 1)
    if ndim == 4 and named[0][0] == "images":
        yield "positions", "·".join(sizes[2:]), (2, 4)
    if ndim > 1:
        yield "entries", "·".join(sizes), (0, ndim)


def _held(failed: Sequence[Comparison]) -> str:
    wrong = np.concatenate([each.got[each.wrong] for each in failed])
    if not np.all(np.isfinite(wrong)):
        return "memory that was never written"
    if np.all(wrong == wrong[0]):
        return f"{wrong[0]:g}"
    copies = all(np.isin(each.got[each.wrong], each.right.value).all() for each in failed)
    return "right numbers of other places" if copies else "other numbers"
