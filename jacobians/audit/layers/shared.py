"""What the audits of these layers share: probes, layers, calling the code, and comparing."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.entries import written
from jacobians.audit.probes import DTYPES, check_dtype
from jacobians.audit.reproduce import plain
from jacobians.audit.subject import Call, Result, call, check_flag, check_functions
from jacobians.evidence import exact
from jacobians.verify.reference import Rounded, exactly

__all__ = [
    "LARGE",
    "REAL",
    "Code",
    "Comparison",
    "Layer",
    "Probe",
    "Reach",
    "Theory",
    "agrees",
    "check_flag",
    "distinct_integers",
    "gamma",
    "in_numbers",
    "matches",
    "of_images",
    "reals",
]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

# Up to so many numbers, a case shows them; above, its shapes.
MOST_SHOWN = 12
LARGE = "large numbers"
REAL = "numbers that are no integers"


class Probe:
    """The arguments of one call by their names, also in float64, and what is special about them, if anything is."""

    def __init__(self, arrays: dict[str, Array], what: str = "") -> None:
        self.arrays, self.what = arrays, what
        self.wide = {name: array.astype(np.float64) for name, array in arrays.items()}

    @property
    def numbers(self) -> int:
        """How many numbers there are."""
        return sum(array.size for array in self.arrays.values())

    def like(self, arrays: dict[str, Array], what: str = "") -> Probe:
        """Return a probe of the same kind of other numbers."""
        return Probe(arrays, what)

    def reordered(self) -> Probe:
        """Other numbers with the same first entry, the same sum and the same shape: a cache may take them for these."""
        return self.like({name: _reordered(array) for name, array in self.arrays.items()})

    def text(self, names: Iterable[str]) -> str:
        """Return the numbers of some arrays where they are few, else the shapes."""
        arrays = {name: self.arrays[name] for name in names}
        if sum(array.size for array in arrays.values()) <= MOST_SHOWN:
            text = ", ".join(f"{name} = {plain(array)}" for name, array in arrays.items())
            return re.sub(r"\.0\b", "", text)
        return ", ".join(f"{name} {'×'.join(map(str, array.shape))}" for name, array in arrays.items())


def _reordered(array: Array) -> Array:
    flat = array.reshape(-1)
    return np.concatenate([flat[:1], flat[:0:-1]]).reshape(array.shape)


@dataclasses.dataclass(frozen=True)
class Theory:
    """A wrong formula for one result.

    `explains` takes a probe and what was computed, and is None where the mistake makes no sense; `write` gives an entry
    in symbols.
    """

    about: str
    title: str
    cause: str
    cure: str
    explains: Callable[[Any, Array], bool | None]
    write: Callable[[Any, int], str] | None = None


def matches(predict: Callable[[Any], Array | Rounded | None]) -> Callable[[Any, Array], bool | None]:
    """Return whether numbers are those that a formula gives, None where it gives none."""

    def explains(probe: Any, got: Array) -> bool | None:
        wanted = predict(probe)
        if wanted is None:
            return None
        return agrees(got, wanted if isinstance(wanted, Rounded) else exactly(wanted))

    return explains


def agrees(got: Array, wanted: Rounded) -> bool:
    """Whether numbers have the wanted shape, and are the wanted ones up to their bounds."""
    return got.shape == wanted.value.shape and bool(np.all(np.abs(got - wanted.value) <= wanted.error))


# A place in an argument, and for results where a NaN there has to go, and where it may go.
Reach = tuple[int, dict[str, tuple[Array, Array]]]


@dataclasses.dataclass(frozen=True)
class Layer:
    """What one audit is about: the layer, what is counted, and where the documentation derives the right formulas.

    Further: how a report writes each result; parameters and results of forward and backward; what is right, by result;
    wrong formulas, in the order in which they are tried; the names of a result's entries, and the right and the
    computed entry in symbols, where they are known. `draw` gives a few small numbers of the first, second or third of
    three shapes that no other probe has. `reach` gives a place in an argument, and where a NaN there has to go, and
    where it may. `lost` gives title, cause and cure of a result that is
    not a number somewhere, from all of its comparisons; `raised` has cause and cure of known exceptions.
    """

    title: str
    unit: str
    anchor: str
    labels: dict[str, str]
    takes: dict[str, tuple[str, ...]]
    gives: dict[str, tuple[str, ...]]
    right: Callable[[Any], dict[str, Rounded]]
    theories: tuple[Theory, ...]
    names: Callable[[str, Shape], list[str]]
    symbols: Callable[[Code, Comparison, Theory | None, int], tuple[str, str] | None]
    draw: Callable[[np.random.Generator, str, int], Probe]
    reach: Callable[[Any, str], Reach | None]
    lost: Callable[[str, Sequence[Comparison]], tuple[str, str, str] | None] = lambda name, lost: None
    raised: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    dtypes: tuple[str, ...] = DTYPES


class Code:
    """The functions under audit, forward and backward or one of them, called with fresh arrays in poisoned memory."""

    def __init__(self, layer: Layer, dtype: str, seed: Any, **functions: Callable[..., Any] | None) -> None:
        check_functions(**functions)
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"seed is {seed!r}; it needs an integer of at least 0")
        self.layer, self.dtype, self.seed, self.calls = layer, check_dtype(dtype, layer.dtypes), int(seed), 0
        self.functions = {side: function for side, function in functions.items() if function is not None}

    @property
    def names(self) -> list[str]:
        """The results."""
        return [name for side in self.functions for name in self.layer.gives[side]]

    def side(self, name: str) -> str:
        """Return which function gives a result."""
        return next(side for side in self.functions if name in self.layer.gives[side])

    def results(
        self, probe: Probe, only: str | None = None, arrange: Mapping[str, Callable[[Array], Array]] | None = None
    ) -> dict[str, Result]:
        """Call one of the functions, or all of them, on one probe; `arrange` lays out arguments in memory."""
        found: dict[str, Result] = {}
        # The forward pass goes first, of which a backward pass may have saved something.
        for side in [only] if only else sorted(self.functions, reverse=True):
            self.calls += 1
            layouts = arrange or {}
            given = {name: layouts.get(name, np.array)(probe.arrays[name]) for name in self.layer.takes[side]}
            labels = {name: self.layer.labels[name] for name in self.layer.gives[side]}
            spoiled = [(array.shape, array.dtype) for array in given.values()]
            found |= call(self.functions[side], Call(given, labels, spoiled, self.calls))
        return found


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """One result of one call, held against the right one."""

    probe: Any
    name: str
    result: Result
    right: Rounded

    @property
    def got(self) -> Array:
        """What was computed, in float64."""
        return np.asarray(self.result.value).astype(np.float64)

    @functools.cached_property
    def kind(self) -> str:
        """In what the result differs: nothing, or one of the kinds of `Finding`."""
        value, given = self.result.value, next(iter(self.probe.arrays.values())).dtype
        if value is None:
            return "exception"
        # NumPy sums integers in wider ones; a single number may be one of Python's.
        wider = value.dtype.kind == given.kind and value.dtype.itemsize >= given.itemsize
        if value.dtype != given and not (wider and (given.kind == "i" or not self.right.value.shape)):
            return "dtype"
        if value.shape != self.right.value.shape:
            return "shape"
        if not np.all(np.isfinite(self.got)):
            return "not written"
        return "nothing" if agrees(self.got, self.right) else "values"


def in_numbers(each: Comparison, at: int) -> tuple[str, str]:
    """Write what an entry should be and what it is, with all digits where they differ in the last ones only."""
    right, got = float(each.right.value.flat[at]), float(each.got.flat[at])
    short = written(right), written(got)
    return short if short[0] != short[1] else (repr(right), repr(got))


def of_images(names: Sequence[str], images: int) -> list[str]:
    """Name the entries of every image: those of image 2 of several end in ^(2)."""
    return [f"{name}^({image + 1})" if images > 1 else name for image in range(images) for name in names]


def distinct_integers(
    generator: np.random.Generator, shapes: Mapping[str, Shape], most: int, dtype: np.dtype[Any]
) -> dict[str, Array]:
    """Draw integers from ±2 … ±most, no two of the same magnitude; independently where there are too few of them."""
    sizes = [math.prod(shape) for shape in shapes.values()]
    count = sum(sizes)
    # Distinct numbers tell which one a result is; 0 and 1 are what masks are made of.
    if most > count:
        values = generator.permutation(np.arange(2, count + 2)) * generator.choice([-1, 1], count)
    else:
        values = generator.integers(1, most + 1, count) * generator.choice([-1, 1], count)
    parts = np.split(values, np.cumsum(sizes)[:-1])
    return {name: part.reshape(shapes[name]).astype(dtype) for name, part in zip(shapes, parts, strict=True)}


def reals(generator: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Draw numbers with all digits, of magnitudes from small to a few: no product is subnormal in half precision."""
    size = generator.uniform(1, 2, shape) * 2.0 ** generator.integers(-6, 2, shape)
    return np.asarray(size * generator.choice([-1, 1], shape)).astype(dtype)


def gamma(terms: int, dtype: str) -> float:
    """Bound the relative error of so many operations in a dtype; integers have none."""
    return float(exact.gamma(terms, dtype)) if dtype in exact.SIGNIFICAND else 0.0
