"""The remainder that a loop in steps leaves out, of which nothing but its place is known."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.compare import FINE, Comparison

__all__ = ["Remainder", "remainder"]

Array = npt.NDArray[Any]

ALL, NO_NUMBER = -1, "NaN or ∞"
# How many entries vector, tile and thread loops take at once.
STEPS = (256, 128, 64, 32, 16, 8, 6, 4, 3, 2)


@dataclasses.dataclass(frozen=True)
class Remainder:
    """What a loop in steps leaves out of an axis, of all positions (axis None), or of all entries (axis −1)."""

    label: str
    size: str
    axis: int | None
    step: int
    held: str = ""

    @property
    def unwritten(self) -> bool:
        """Whether it holds what is no number."""
        return self.held == NO_NUMBER

    def __str__(self) -> str:
        """Return which entries are meant."""
        return f"the last {self.size} mod {self.step} {self.label}"

    def explains(self, each: Comparison) -> bool:
        """Whether just the remainder is wrong, from its first entry on."""
        if each.kind in {*FINE, "shape", "dtype", "exception"}:
            return False
        wrong = self._wrong(each)
        at = np.flatnonzero(wrong)
        return len(at) > 0 and at[0] == len(wrong) // self.step * self.step

    def count(self, each: Comparison) -> int:
        """Return how many entries there are along the axis."""
        return len(self._wrong(each))

    def allows(self, each: Comparison) -> bool:
        """Whether a right result has no remainder, or is smaller than one step."""
        count = self.count(each)
        return count % self.step == 0 or count < self.step

    def _wrong(self, each: Comparison) -> Array:
        wrong = each.wrong
        if self.axis == ALL:
            return np.ravel(wrong)
        if self.axis is None:
            return np.asarray(wrong.reshape(*wrong.shape[:2], -1).any(axis=(0, 1)))
        return np.asarray(wrong.any(axis=tuple(axis for axis in range(wrong.ndim) if axis != self.axis)))


def remainder(failed: Sequence[Comparison], tried: Sequence[Comparison]) -> Remainder | None:
    """Tell whether all that is wrong is the remainder of a loop that takes several entries at once.

    Parameters
    ----------
    failed : sequence of Comparison
        Where a result is wrong.
    tried : sequence of Comparison
        All comparisons of this result.

    Returns
    -------
    Remainder or None
        The largest step for which the wrong entries start where the remainder does, at every layer that failed, and
        every layer that did not has no remainder or is smaller than the step. Two sizes above the step have to fail.
    """
    first = failed[0]
    shape = first.right.value.shape
    if any(each.right.value.ndim != len(shape) for each in (*failed, *tried)):
        return None
    named = first.layer.axes(first.name, len(shape))
    axes: list[tuple[str, str, int | None]] = []
    axes += reversed([(label, size, k) for k, (label, size) in enumerate(named)])
    letters = [size for _, size in named]
    if len(shape) == 4 and named[0][0] == "images":
        axes.append(("positions", "·".join(letters[2:]), None))
    axes += [("entries", "·".join(letters), ALL)] if len(shape) > 1 else []
    right = [each for each in tried if each.kind in FINE]
    for step, (label, size, axis) in itertools.product(STEPS, axes):
        found = Remainder(label, size, axis, step)
        sizes = {found.count(each) for each in failed}
        if (
            sum(size > step for size in sizes) > 1
            and all(map(found.explains, failed))
            and all(map(found.allows, right))
        ):
            return dataclasses.replace(found, held=_what_is_held(failed))
    return None


def _what_is_held(failed: Sequence[Comparison]) -> str:
    wrong = np.concatenate([each.got[each.wrong] for each in failed])
    if not np.all(np.isfinite(wrong)):
        return NO_NUMBER
    if np.all(wrong == wrong[0]):
        return f"{wrong[0]:g}"
    copies = all(np.isin(each.got[each.wrong], each.right.value).all() for each in failed)
    return "right numbers of other places" if copies else "other numbers"
