"""What is known of wrong numbers that no theory explains."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.judge import FACTORS, FINE, widened
from jacobians.audit.probes import Case, Probe
from jacobians.audit.readout import ROLES, Products, named, names, products
from jacobians.audit.subject import LABELS, Subject

if TYPE_CHECKING:
    from jacobians.audit.run import Comparison

__all__ = ["Remainder", "facts", "labels", "parts", "remainder", "wholes"]

Array = npt.NDArray[Any]
AXES = {
    "S": ("images", "filters", "rows", "columns"),
    "dX": ("images", "planes", "rows", "columns"),
    "dF": ("filters", "planes", "tap rows", "tap columns"),
    "db": ("filters",),
}
# Products to name.
MOST_NAMED = 4
NO_NUMBER = "NaN or ∞"
ALL = -1
# How many entries vector, tile and thread loops take at once.
STEPS = (256, 128, 64, 32, 16, 8, 6, 4, 3, 2)


def facts(subject: Subject, name: str, failed: Sequence[Comparison]) -> list[str]:
    """Say what is known: linear or not, a multiple, a permutation, a shift, which indices.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    name : str
        S, dX, dF or db.
    failed : sequence of Comparison
        Where it is wrong, smallest layer first.

    Returns
    -------
    list of str
        One fact a line.
    """
    pairs = [(widened(each.result.value), each.right) for each in failed if each.result.value is not None]
    found = [*_linear(subject, name, failed[0].probe), *wholes(pairs), *_indices(name, pairs)]
    return [*found, *_held(pairs)]


def parts(subject: Subject, smallest: Comparison) -> Iterator[str]:
    """Compare the products in the first wrong entry with the right ones: which are left out, which are too many.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    smallest : Comparison
        The smallest case.

    Yields
    ------
    str
        One fact.
    """
    name, case = smallest.name, smallest.probe.case
    at = int(np.flatnonzero(np.ravel(widened(smallest.result.value) != smallest.right))[0])
    found, right = products(subject, name, case, at), products(None, name, case, at)
    if found is None or right is None:
        return
    missing = {places: 1.0 for places in right if places not in found}
    more = {places: 1.0 for places in found if places not in right}
    alike = all(found[places] == right[places] for places in found if places in right)
    entry = names(*ROLES[name], case)[at]
    if found and alike and missing and not more:
        be = "is" if len(missing) == 1 else "are"
        yield f"in {entry}, {len(missing)} of {len(right)} products {be} left out: {_some(missing, name, case)}"
    elif alike and more and not missing:
        be = "product is" if len(more) == 1 else "products are"
        yield f"in {entry}, {len(more)} {be} too many: {_some(more, name, case)}"


def _some(found: Products, name: str, case: Case) -> str:
    shown = list(itertools.islice(named(found, name, case), MOST_NAMED))
    return ", ".join(shown) + (", …" if len(found) > len(shown) else "")


def _held(pairs: Sequence[tuple[Array, Array]]) -> Iterator[str]:
    """Say what stands in the wrong entries, where that is one thing."""
    wrong = np.concatenate([got[got != right] for got, right in pairs])
    if len(wrong) and np.all(wrong == wrong[0]):
        yield f"all wrong entries are {wrong[0]:g}"
    elif all(np.isin(got[got != right], right).all() for got, right in pairs):
        yield "the wrong entries are right ones of other places"


def _linear(subject: Subject, name: str, probe: Probe) -> Iterator[str]:
    plain = dataclasses.replace(probe, b=probe.b * 0)
    once = subject.results(plain)[name].value
    # Twice the largest integers that a dtype sums exactly is more than an integer dtype holds.
    factors = ((-1, "−"),) if probe.X.dtype.kind in "iu" else ((-1, "−"), (2, "2·"))
    for letter, (factor, sign) in itertools.product(FACTORS[name], factors):
        scaled = dataclasses.replace(plain, **{letter: getattr(plain, letter) * probe.X.dtype.type(factor)})
        value = subject.results(scaled)[name].value
        if once is None or value is None:
            return
        if not np.array_equal(widened(value), factor * widened(once)):
            yield f"it is not linear in {letter}: {sign}{letter} does not give {sign}{LABELS[name]}"


def wholes(pairs: Sequence[tuple[Array, Array]]) -> Iterator[str]:
    """Compare results with the right ones as wholes: a multiple, a permutation, a shift."""
    ratios = {
        float(ratio)
        for got, right in pairs
        for ratio in (got[right != 0] / right[right != 0] if np.array_equal(got == 0, right == 0) else [np.nan])
    }
    if len(ratios) == 1 and not np.isnan(next(iter(ratios))):
        yield f"it is {next(iter(ratios)):g} times the right one everywhere"
    if all(np.array_equal(np.sort(got, None), np.sort(right, None)) for got, right in pairs):
        yield "it holds the right numbers in other places: a permutation"
    shift = _shift(pairs)
    if shift:
        yield f"it is the right result shifted by {shift} along its spatial axes"


def _shift(pairs: Sequence[tuple[Array, Array]]) -> tuple[int, ...] | None:
    if any(got.ndim < 3 for got, _ in pairs):
        return None
    axes = tuple(range(2, pairs[0][0].ndim))
    large = [(got, right) for got, right in pairs if min(got.shape[2:]) > 1]
    if not large:
        return None
    for steps in itertools.product(range(-2, 3), repeat=len(axes)):
        if any(steps) and all(_overlaps(got, right, steps) for got, right in large):
            return steps
    return None


def _overlaps(got: Array, right: Array, steps: Sequence[int]) -> bool:
    """Whether `got` moved back by these steps is `right`, wherever both have entries."""
    sizes = got.shape[2:]
    if any(abs(step) >= size for step, size in zip(steps, sizes, strict=True)):
        return False
    there: tuple[Any, ...] = tuple(
        slice(max(step, 0), size + min(step, 0)) for step, size in zip(steps, sizes, strict=True)
    )
    here: tuple[Any, ...] = tuple(
        slice(max(-step, 0), size + min(-step, 0)) for step, size in zip(steps, sizes, strict=True)
    )
    return np.array_equal(got[(..., *there)], right[(..., *here)])


def _indices(name: str, pairs: Sequence[tuple[Array, Array]]) -> Iterator[str]:
    got, right = pairs[-1]
    wrong = got != right
    for axis, label in enumerate(labels(name, got.ndim)):
        others = tuple(k for k in range(got.ndim) if k != axis)
        bad = np.flatnonzero(wrong.any(axis=others))
        if len(bad) < wrong.shape[axis]:
            yield f"at the largest layer only {label} {_ranges(bad.tolist())} of 0 … {wrong.shape[axis] - 1} are wrong"
    yield f"at the largest layer {int(wrong.sum())} of {wrong.size} entries are wrong"


def labels(name: str, ndim: int) -> tuple[str, ...]:
    """Name the axes of a result."""
    if ndim <= 3 and name != "db":
        return (*AXES[name][:2], AXES[name][-1])[:ndim]
    return AXES[name] if ndim <= len(AXES[name]) else (*AXES[name][:2], *(f"axis {k}" for k in range(ndim - 2)))


def _ranges(numbers: list[int]) -> str:
    """Write ascending numbers as ranges: 0, 3 … 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = [str(run[0]) if len(run) == 1 else f"{run[0]} … {run[-1]}" for run in runs[:5]]
    return ", ".join(shown) + (", …" if len(runs) > 5 else "")


# the remainder of a vector loop ---------------------------------------------------------------------------------------


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
        if each.result.value is None or each.kind in {*FINE, "shape", "dtype"}:
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
        value = widened(each.result.value)
        wrong = value != each.right if value.shape == each.right.shape else np.ones(each.right.shape, bool)
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
    name, shape = failed[0].name, failed[0].right.shape
    letters = {"S": ("N", "n", "h'", "w'"), "dX": ("N", "d", "h", "w"), "dF": ("n", "d", "k", "l"), "db": ("n",)}[name]
    axes: list[tuple[str, str, int | None]] = []
    if len(shape) in {3, 4}:
        letters = letters if len(shape) == 4 else (*letters[:2], letters[3])
        axes += list(zip(labels(name, len(shape)), letters, range(len(shape)), strict=True))[::-1]
        axes += [("positions", f"{letters[-2]}·{letters[-1]}", None)] if len(shape) == 4 and name != "dF" else []
        axes += [("entries", "·".join(letters), ALL)]
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
    pairs = [(widened(each.result.value), each.right) for each in failed]
    wrong = np.concatenate([got[got != right] for got, right in pairs])
    if not np.all(np.isfinite(wrong)):
        return NO_NUMBER
    if np.all(wrong == wrong[0]):
        return f"{wrong[0]:g}"
    copies = all(np.isin(got[got != right], right).all() for got, right in pairs)
    return "right numbers of other places" if copies else "other numbers"
