"""What is known of wrong numbers that no formula explains."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.compare import FINE, Comparison, Run
from jacobians.audit.layer import widened

__all__ = ["facts", "where"]

Array = npt.NDArray[Any]

# So many cases of either kind that what they have in common is no chance.
LEAST = 3


def facts(run: Run, wrong: Sequence[Comparison]) -> list[str]:
    """Say what is known: linear or not, a multiple, a permutation, a shift, which indices.

    Parameters
    ----------
    run : Run
        The audit.
    wrong : sequence of Comparison
        Wrong values of one result, smallest case first.

    Returns
    -------
    list of str
        One fact a line.
    """
    pairs = [(each.got, each.right.value) for each in wrong]
    found = [*_linear(run, wrong[0]), *_wholes(pairs), *_indices(wrong[-1]), *_held(pairs)]
    what = {each.probe.what for each in wrong}
    return [*found, *([f"only wrong for {' and '.join(sorted(what))}"] if "" not in what else [])]


def _held(pairs: Sequence[tuple[Array, Array]]) -> Iterator[str]:
    """Say what stands in the wrong entries, where that is one thing."""
    wrong = np.concatenate([np.ravel(got[got != right]) for got, right in pairs])
    if len(wrong) and np.all(wrong == wrong[0]):
        yield f"all wrong entries are {wrong[0]:g}"
    elif all(np.isin(got[got != right], right).all() for got, right in pairs):
        yield "the wrong entries are right ones of other places"


def _linear(run: Run, each: Comparison) -> Iterator[str]:
    """Say of which factor a result of products is no linear function."""
    factors, probe = run.layer.factors.get(each.name, ()), each.probe
    plain = probe.replaced(b=probe.arrays["b"] * 0) if "b" in probe.arrays else probe
    once = run.again(plain, each.name).value if factors else None
    # Twice the largest integers that a dtype sums exactly is more than an integer dtype holds.
    scales = ((-1, "−"),) if probe.dtype.kind in "iu" else ((-1, "−"), (2, "2·"))
    for letter, (factor, sign) in itertools.product(factors, scales):
        scaled = plain.replaced(**{letter: plain.arrays[letter] * probe.dtype.type(factor)})
        value = run.again(scaled, each.name).value
        if once is None or value is None:
            return
        if not np.array_equal(widened(value), factor * widened(once)):
            yield f"it is not linear in {letter}: {sign}{letter} does not give {sign}{run.label(each.name)}"


def _wholes(pairs: Sequence[tuple[Array, Array]]) -> Iterator[str]:
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


def _indices(each: Comparison) -> Iterator[str]:
    """Say which indices are wrong, if not all are."""
    wrong = np.asarray(each.got != each.right.value)
    for axis, (label, _) in enumerate(each.layer.axes(each.name, wrong.ndim)):
        others = tuple(k for k in range(wrong.ndim) if k != axis)
        bad = np.flatnonzero(wrong.any(axis=others))
        if len(bad) < wrong.shape[axis]:
            which = f"{label} {_ranges(bad.tolist())} of 0 … {wrong.shape[axis] - 1}"
            yield f"at the largest {each.layer.unit} only {which} are wrong"
    yield f"at the largest {each.layer.unit} {int(wrong.sum())} of {wrong.size} entries are wrong"


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


# at which cases -------------------------------------------------------------------------------------------------------


def where(failed: Sequence[Comparison], tried: Sequence[Comparison]) -> Iterator[str]:
    """Say which sizes tell the cases that fail from those that do not, found by comparing sizes with each other.

    Parameters
    ----------
    failed : sequence of Comparison
        Where a result is wrong, or the code raises.
    tried : sequence of Comparison
        All comparisons of this result.

    Yields
    ------
    str
        At most one fact. Nothing where some cases are neither wrong nor right, as where rounding cannot be told from a
        small error.
    """
    right = [each for each in tried if each.kind in FINE]
    wrong, fine, every = ({each.probe.case for each in some} for some in (failed, right, tried))
    fine -= wrong
    if every - fine - wrong or min(len(wrong), len(fine)) < LEAST:
        return
    sizes = {case: failed[0].layer.sizes(case) for case in (*wrong, *fine)}
    does = "raises" if {each.kind for each in failed} == {"exception"} else "is wrong"
    bad, good = ([sizes[case] for case in some] for some in (wrong, fine))
    for words, holds in _conditions(bad):
        if all(map(holds, bad)) and not any(map(holds, good)):
            yield f"it {does} where {words}, and is right elsewhere"
            return


Sizes = dict[str, tuple[str, int]]
Condition = Callable[[Sizes], bool]


def _conditions(bad: Sequence[Sizes]) -> Iterator[tuple[str, Condition]]:
    """Yield what sizes may be: at least, or at most, what they are where it is wrong; even; or one beside another."""
    for name, (letter, _) in bad[0].items():
        values = [sizes[name][1] for sizes in bad]
        least, most = min(values), max(values)
        several = {1: f"there are {name}", 2: f"there are several {name}"}.get(
            least, f"there are {least} {name} or more"
        )
        yield several, _compares(name, operator.ge, least)
        few = f"there are no {name}" if most == 0 else f"there are {most} {name} at most"
        yield (f"{letter} = 1, of {name}" if most == 1 else few), _compares(name, operator.le, most)
        yield f"{letter} is even, of {name}", _compares(name, lambda value, two: value % two == 0, 2)
    for (one, (a, _)), (two, (b, _)) in itertools.combinations(bad[0].items(), 2):
        for sign, holds in COMPARED.items():
            yield f"{a} {sign} {b}", _compares(one, holds, two)


def _compares(one: str, holds: Callable[[int, int], bool], other: str | int) -> Condition:
    """Return whether a size stands in a relation to a number, or to another size."""
    return lambda sizes: holds(sizes[one][1], sizes[other][1] if isinstance(other, str) else other)


COMPARED: dict[str, Callable[[int, int], bool]] = {
    "≠": operator.ne, "=": operator.eq, ">": operator.gt, "<": operator.lt, "≥": operator.ge, "≤": operator.le,
}  # fmt: skip
