"""What an audit needs to know of a layer: what its code takes and gives, which numbers to try, and what is right."""

from __future__ import annotations

import dataclasses
import re
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from jacobians.audit.python import plain
from jacobians.audit.subject import Subject

__all__ = ["REAL", "Explanation", "Layer", "Probe", "Reach", "Right", "widened"]

Array = npt.NDArray[Any]
# Where a NaN has to go in each result, and where it may go.
Reach = dict[str, tuple[Array, Array]]

REAL = "numbers that are not integers"
# Up to so many numbers, a case shows them; above, its shapes.
MOST_SHOWN = 12


def widened(array: Any) -> Array:
    """Return an array in a dtype that holds all of its numbers: int64 or float64."""
    found = np.asarray(array)
    return found.astype(np.int64 if found.dtype.kind in "iu" else np.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class Right:
    """What a result should be, and how far any sound computation of it may be off, entry by entry."""

    value: Array
    error: Array | float = 0.0

    @property
    def bound(self) -> Array:
        """The error in the shape of the value."""
        return np.broadcast_to(np.asarray(self.error, np.float64), self.value.shape)

    def allows(self, got: Array) -> bool:
        """Whether numbers have the right shape, and are the right ones up to the bound."""
        if got.shape != self.value.shape:
            return False
        with np.errstate(invalid="ignore"):  # an infinite number is no right one
            return np.array_equal(got, self.value) or bool(np.all(np.abs(got - self.value) <= self.error))


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
    """Numbers for one case: what is given to the code under audit, and what is special about them, if anything is."""

    # The sizes, which have `numbers`: how many there are.
    case: Any
    # By their letters, all of the dtype of the audit.
    arrays: Mapping[str, Array]
    # Such as "scores around 1000"; empty for the usual ones.
    what: str = ""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the arrays."""
        return next(iter(self.arrays.values())).dtype

    @property
    def wide(self) -> dict[str, Array]:
        """The arrays in float64 or int64."""
        return {letter: widened(array) for letter, array in self.arrays.items()}

    def replaced(self, **arrays: Array) -> Any:
        """Return the same with other arrays."""
        return dataclasses.replace(self, arrays={**self.arrays, **arrays})

    def reordered(self) -> Any:
        """Other numbers with the same first entry, the same sum and the same shape: a cache may take them for these."""
        flat = {letter: array.reshape(-1) for letter, array in self.arrays.items()}
        turned = {letter: np.concatenate([each[:1], each[:0:-1]]) for letter, each in flat.items()}
        return self.replaced(**{letter: each.reshape(self.arrays[letter].shape) for letter, each in turned.items()})

    def text(self, letters: Sequence[str]) -> str:
        """Return the numbers of some arrays where they are few, else the shapes."""
        arrays = {letter: self.arrays[letter] for letter in letters}
        if sum(array.size for array in arrays.values()) <= MOST_SHOWN:
            text = ", ".join(f"{name} = {plain(array)}" for name, array in arrays.items())
            return re.sub(r"\.0\b", "", text)
        return ", ".join(f"{name} {'×'.join(map(str, array.shape))}" for name, array in arrays.items())


@dataclasses.dataclass(frozen=True)
class Explanation:
    """The formula that code computes in the place of the right one, and what follows from it, as in a `Finding`."""

    # The difference in words, as it stands behind "is wrong: ".
    title: str
    formula: str = ""
    right: str = ""
    cause: str = ""
    cure: str = ""
    anchor: str = ""
    # What else is known, such as the circumstances.
    observed: tuple[str, ...] = ()
    # Gives what the code computes, by (geometry, *, X, F, G, b).
    predict: Callable[..., Any] | None = None
    predicts: int = 0
    of: int = 0
    # Whether it gives the numbers of a comparison, where that was asked.
    agreed: weakref.WeakKeyDictionary[Any, bool] = dataclasses.field(default_factory=weakref.WeakKeyDictionary)


@dataclasses.dataclass(frozen=True)
class Layer:
    """One kind of layer, at the options and in the dtype that its code was fixed to.

    The four kinds derive from it; an audit knows no more of them than what is here. Cases are sizes, smallest first;
    probes are numbers for them.
    """

    dtype: str

    # What is tried, in the singular, and where the documentation derives the right formulas.
    unit: ClassVar[str] = "case"
    anchor: ClassVar[str] = ""
    # What the code does with numbers.
    verb: ClassVar[str] = "computed"
    # How a report writes each result.
    labels: ClassVar[dict[str, str]] = {}
    # Letters with one entry per image on their first axis.
    batched: ClassVar[str] = ""
    # Whether a result of a wider dtype of the same kind is right, too.
    widens: ClassVar[bool] = False
    # Whether fast algorithms, which mix all entries of an axis, are in use.
    transforms: ClassVar[bool] = False
    # Whether what is raised is said of a function, not of a result; what is legal.
    by_function: ClassVar[bool] = True
    legal: ClassVar[str] = "legal input"
    # Cause and cure of known exceptions.
    raised: ClassVar[Mapping[str, tuple[str, str]]] = {}

    @property
    def title(self) -> str:
        """The layer and its options."""
        raise NotImplementedError

    @property
    def takes(self) -> dict[str, tuple[str, ...]]:
        """Letters of the arguments of forward and backward, in their order."""
        raise NotImplementedError

    @property
    def gives(self) -> dict[str, tuple[str, ...]]:
        """Names of the results of forward and backward, in their order."""
        raise NotImplementedError

    @property
    def factors(self) -> dict[str, tuple[str, ...]]:
        """The arrays that a result is linear in, where it is a sum of products of them."""
        return {}

    # which numbers --------------------------------------------------------------------------------------------------

    def curriculum(self) -> Sequence[Any]:
        """Return the cases that an audit tries, smallest first."""
        raise NotImplementedError

    def draw(self, case: Any, seed: int, number: int = 0) -> Probe:
        """Draw numbers for a case; draws of other numbers are independent."""
        raise NotImplementedError

    def miss(self, case: Any) -> Fraction | None:
        """Bound the probability that one draw misses that a bilinear form is a wrong one; None for other layers."""
        return None

    def near_miss(self, probe: Probe) -> Fraction:
        """Bound the same where results of fast algorithms are accepted."""
        return Fraction(1)

    def few(self, cases: Sequence[Any]) -> Sequence[Any]:
        """Choose cases of all sizes at which numbers with small digits are tried."""
        return cases[:: max(len(cases) // 6, 1)]

    def small(self, case: Any, seed: int) -> Probe:
        """Draw integers of which many sums can be added up."""
        raise NotImplementedError

    def fractions(self, case: Any, seed: int) -> Probe | None:
        """Draw small multiples of a power of two, whose sums are exact; None where there are none."""
        return None

    def reals(self, case: Any, seed: int) -> Probe | None:
        """Draw numbers with all digits; None where they are among the others already, or are none."""
        return None

    def fresh(self, cases: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
        """Choose four cases to look for what is kept between calls: a small one, a larger one, two that are unused."""
        raise NotImplementedError

    def observed(self, cases: Sequence[Any]) -> Sequence[Any]:
        """Choose the cases at which memory layouts and NaN are looked at: the first for all, the others for NaN."""
        raise NotImplementedError

    def large_batch(self, images: int) -> Probe | None:
        """Draw numbers for as little as there can be of each of many images; None where it is not tried."""
        return None

    # what is right --------------------------------------------------------------------------------------------------

    def right(self, probe: Probe) -> dict[str, Right]:
        """Return what is right, by result, and how far rounding may take it."""
        raise NotImplementedError

    def slack(self, probe: Probe, name: str) -> float:
        """Return the error up to which results of fast algorithms are accepted, which round on integers, too."""
        return 0.0

    def lower(self, probe: Probe, name: str, dtype: str, right: Right) -> Array:
        """Bound the errors of code that computes in a lower precision."""
        raise NotImplementedError

    def reach(self, probe: Probe, letter: str) -> tuple[Probe, Reach] | None:
        """Put a NaN into an array, and say for every result where it has to go and where it may; None for nothing."""
        return None

    def explain(self, run: Any, comparisons: Sequence[Any]) -> Explanation | None:
        """Read which formula the code computes, from all comparisons of one result; None where none was read."""
        return None

    def agrees(self, explanation: Explanation, each: Any) -> bool:
        """Whether a formula that was read gives what a comparison has; where it cannot be evaluated, it may."""
        return each.result.value is not None

    def lost(self, name: str, comparisons: Sequence[Any]) -> tuple[str, str, str] | None:
        """Return title, cause and cure of a result that is no number somewhere, where an algorithm explains it."""
        return None

    # how it is written ----------------------------------------------------------------------------------------------

    def text(self, probe: Probe, side: str) -> str:
        """Write a case."""
        what = f" ({probe.what})" if probe.what else ""
        return probe.text(self.takes[side]) + what

    def names(self, name: str, case: Any) -> list[str]:
        """Name the entries of an argument or a result, in the order of memory."""
        raise NotImplementedError

    def axes(self, name: str, ndim: int) -> tuple[tuple[str, str], ...]:
        """Name the axes of a result, and their sizes."""
        return tuple((f"entries of axis {k}", f"size {k}") for k in range(ndim))

    def sizes(self, case: Any) -> dict[str, tuple[str, int]]:
        """Name the sizes of a case, of which some may decide whether code is right, each with its letter."""
        return {"numbers": ("their number", case.numbers)}

    def symbols(self, subject: Subject, probe: Probe, name: str, at: int, got: Array) -> tuple[str, str] | None:
        """Write the right and the computed entry in symbols, where they are known."""
        return None

    def laid(self, case: Any, name: str, array: Array) -> Array:
        """Return an array or a result of a case with its axes in the order in which the code has them."""
        return array

    def turned(self, case: Any, name: str) -> str:
        """Return what is written behind an array, in Python, for its axes to be in that order."""
        return ""

    def adapted(self, case: Any, side: str) -> str:
        """Return Python that makes a function take arrays as they are written for a case; empty where it does."""
        return ""

    # smaller cases --------------------------------------------------------------------------------------------------

    def smaller(self, case: Any) -> Iterator[Any]:
        """Yield cases with one size less, the largest steps first."""
        yield from ()

    def smallest(self) -> Sequence[Any]:
        """Return small cases, fewest numbers first, that may show what is wrong."""
        return ()

    def readable(self, case: Any, count: int) -> Iterator[Probe]:
        """Draw numbers that are easy to read, then others."""
        yield self.draw(case, 1)
