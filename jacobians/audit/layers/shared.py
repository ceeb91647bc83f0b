"""What the audits of these layers share: calling the code, comparing, explaining, and observing besides values."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import AuditReport, Finding
from jacobians.audit.entries import MOST_ENTRIES, aligned, written
from jacobians.audit.facts import wholes
from jacobians.audit.memory import KEPT, OVERWRITTEN, RANDOM, WRITTEN
from jacobians.audit.probes import DTYPES, check_dtype
from jacobians.audit.reproduce import paste, plain
from jacobians.audit.subject import Call, Result, call, check_flag, check_functions
from jacobians.verify import exact
from jacobians.verify.reference import Rounded, exactly

__all__ = [
    "LARGE",
    "Code",
    "Comparison",
    "Layer",
    "Probe",
    "Theory",
    "agrees",
    "audited",
    "check_flag",
    "matches",
    "of_images",
]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

# Up to so many numbers, a case shows them; above, its shapes.
MOST_SHOWN = 12
LARGE = "large numbers"
# Title, cause and cure of a result that is not a number.
UNWRITTEN = (
    "is not a number",
    "An array of np.empty is not filled everywhere, or a sum overflows.",
    "Start from zeros, and write every entry.",
)


class Probe:
    """The arguments of one call by their names, also in float64, and what is special about them, if anything is."""

    def __init__(self, arrays: dict[str, Array], what: str = "") -> None:
        self.arrays, self.what = arrays, what
        self.wide = {name: array.astype(np.float64) for name, array in arrays.items()}

    @property
    def numbers(self) -> int:
        """How many numbers there are."""
        return sum(array.size for array in self.arrays.values())

    def text(self, names: Iterable[str]) -> str:
        """Return the numbers of some arrays where they are few, else the shapes."""
        arrays = {name: self.arrays[name] for name in names}
        if sum(array.size for array in arrays.values()) <= MOST_SHOWN:
            text = ", ".join(f"{name} = {plain(array)}" for name, array in arrays.items())
            return re.sub(r"\.0\b", "", text)
        return ", ".join(f"{name} {'×'.join(map(str, array.shape))}" for name, array in arrays.items())


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


@dataclasses.dataclass(frozen=True)
class Layer:
    """What one audit is about: the layer, what is counted, and where the documentation derives the right formulas.

    Further: how a report writes each result; parameters and results of forward and backward; what is right, by result;
    wrong formulas, in the order in which they are tried; the names of a result's entries, and the right and the
    computed entry in symbols, where they are known. `lost` gives title, cause and cure of a result that is not a number
    somewhere, from all of its comparisons; `raised` has cause and cure of known exceptions.
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

    def results(self, probe: Probe, only: str | None = None) -> dict[str, Result]:
        """Call one of the functions, or all of them, on one probe."""
        found: dict[str, Result] = {}
        for side in [only] if only else self.functions:
            self.calls += 1
            given = {name: probe.arrays[name].copy() for name in self.layer.takes[side]}
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


# the audit ------------------------------------------------------------------------------------------------------------


def audited(code: Code, probes: Sequence[Probe], log2_miss: float | None = None) -> AuditReport:
    """Run one audit: compare, observe, explain; `log2_miss` is what these probes miss with which probability."""
    tried = [
        Comparison(probe, name, result, right[name])
        for probe in probes
        for right in [code.layer.right(probe)]
        for name, result in code.results(probe).items()
    ]
    state = list(_state(code, probes, tried))
    random = {finding.about for finding in state}
    findings = [found for name in code.names for found in _of_result(code, tried, name, random)]
    findings += [*_calls(code, tried), *state]
    return AuditReport(
        tuple(findings),
        () if findings else _notes(code, tried),
        tuple(code.layer.labels[name] for name in code.names),
        f"{code.layer.title}, {code.dtype}",
        len(probes),
        code.calls,
        None if findings else log2_miss,
        code.seed,
        code.layer.unit,
    )


def _notes(code: Code, tried: Sequence[Comparison]) -> tuple[str, ...]:
    """Say how large the errors are, where there is a bound for them."""
    shares = [(float(np.max(np.abs(each.got - each.right.value) / each.right.error)), each.name)
              for each in tried if each.right.error.any()]  # fmt: skip
    if not shares:
        return ()
    worst, name = max(shares)
    label = code.layer.labels[name]
    return (f"{label} is inexact but within the rounding bound, of which it takes {worst:.2g} at most",)


def _of_result(code: Code, tried: Sequence[Comparison], name: str, random: set[str]) -> Iterator[Finding]:
    """Find what is wrong with one result, if anything is."""
    label, mine = code.layer.labels[name], _of(tried, name)
    wrong, right = _of(mine, name, "values", "shape"), _of(mine, name, "nothing")
    lost, others = _of(mine, name, "not written"), _of(mine, name, "dtype")
    theory = next((each for each in code.layer.theories if each.about == name and _explains(each, wrong, right)), None)
    why = code.layer.lost(name, [*wrong, *right, *lost]) if lost else None
    # What was never written, or is random, has wrong values too.
    if wrong and (theory or not (label in random or (lost and why is None))):
        yield _values(code, wrong, theory, len(mine))
    if lost:
        title, cause, cure = why or UNWRITTEN
        anchor = code.layer.anchor if why else "memory"
        yield _finding(code, lost, len(mine), title, "not written", cause=cause, cure=cure, anchor=anchor)
    if others:
        got, needed = np.asarray(others[0].result.value).dtype, code.dtype
        needs = needed if others[0].right.value.shape else "a floating-point one"
        cause, cure = "The arrays were converted on the way.", f"Return {needs} for {needed}."
        title = f"has dtype {got}, not {needs}"
        yield _finding(code, others, len(mine), title, "dtype", cause=cause, cure=cure, anchor="")


def _of(tried: Sequence[Comparison], name: str, *kinds: str) -> list[Comparison]:
    """Take those of a result, and of some kinds, fewest numbers first."""
    mine = [each for each in tried if each.name == name and (not kinds or each.kind in kinds)]
    return sorted(mine, key=lambda each: each.probe.numbers)


def _explains(theory: Theory, wrong: Sequence[Comparison], right: Sequence[Comparison]) -> bool:
    """Whether a theory reproduces all that is wrong, and contradicts nothing that is right."""
    return (
        bool(wrong)
        and all(theory.explains(each.probe, each.got) for each in wrong)
        and all(theory.explains(each.probe, each.got) is not False for each in right)
    )


def _values(code: Code, wrong: Sequence[Comparison], theory: Theory | None, tried: int) -> Finding:
    """Make the finding of numbers, or of a shape, that are wrong."""
    first, make = wrong[0], functools.partial(_finding, code, wrong, tried)
    shape = f"has shape {first.got.shape}, not {first.right.value.shape}"
    if theory:
        because = {"cause": theory.cause, "cure": theory.cure}
        if first.kind == "shape":
            return make(f"{shape}: {theory.title}", "shape", theory, **because)
        return make(f"is wrong: {theory.title}", "values", theory, **because)
    if first.kind == "shape":
        return make(shape, "shape", cure=f"Return an array of shape {first.right.value.shape} there.")
    if (
        code.dtype == "float64"
        and first.right.error.any()
        and all(agrees(each.got, _in_single(each.right)) for each in wrong)
    ):
        title, cure = f"is computed in a lower precision than {code.dtype}", f"Compute in {code.dtype}."
        return make(title, "precision", cause="The errors are as of float32.", cure=cure, anchor="precision")
    if all(each.probe.what == LARGE for each in wrong):
        title = f"is right for small numbers and wrong for large ones that {code.dtype} holds exactly"
        cause = f"Something is kept in a lower precision than {code.dtype}, or clipped."
        return make(title, "precision", cause=cause, cure=f"Compute in {code.dtype}.", anchor="precision")
    return make("is wrong, and no known formula explains it", "values", known=tuple(_facts(wrong)))


def _in_single(right: Rounded) -> Rounded:
    """Return a bound in float64 as it is in float32, where u is 2²⁹ times as large."""
    return Rounded(right.value, right.error * float(exact.unit_roundoff("float32") / exact.unit_roundoff("float64")))


def _facts(wrong: Sequence[Comparison]) -> Iterator[str]:
    """Say what is known of wrong numbers that no theory explains."""
    # Multiples of large numbers are rounded.
    alike = [each for each in wrong if each.kind == "values" and each.right.value.shape and each.probe.what != LARGE]
    pairs = [(each.got, each.right.value) for each in alike]
    if pairs:
        yield from wholes(pairs)
    what = {each.probe.what for each in wrong}
    if "" not in what:
        yield f"only wrong for {' and '.join(sorted(what))}"


def _finding(
    code: Code,
    wrong: Sequence[Comparison],
    tried: int,
    title: str,
    kind: str,
    theory: Theory | None = None,
    **more: Any,
) -> Finding:
    """Make a finding, whose case is the first of what is wrong."""
    first, layer = wrong[0], code.layer
    side, value, right = code.side(first.name), first.result.value, first.right.value
    given = {name: first.probe.arrays[name] for name in layer.takes[side]}
    what = f" ({first.probe.what})" if first.probe.what else ""
    record = {name: plain(array) for name, array in first.probe.arrays.items()}
    record |= {"right": plain(right), "got": None if value is None else plain(value), "result": first.name}
    fields: dict[str, Any] = {
        "about": layer.labels[first.name],
        "case": first.probe.text(given) + what,
        "entries": _entries(code, first, theory) if kind in {"values", "not written", "precision"} else (),
        "anchor": layer.anchor,
        "wrong": len(wrong),
        "tried": tried,
        "unit": layer.unit,
        "arrays": record,
        "code": paste(code.functions[side], side, given, layer.gives[side], first.name, right, code.dtype),
    }
    return Finding(title=title, kind=kind, **fields | more)


def _entries(code: Code, first: Comparison, theory: Theory | None) -> tuple[str, ...]:
    """Write the first wrong entries of the smallest case, in symbols where they are known."""
    got, wanted = first.got, first.right
    if got.shape != wanted.value.shape:
        return ()
    wrong = np.flatnonzero(~(np.abs(got - wanted.value) <= wanted.error))
    named = code.layer.names(first.name, got.shape)
    rows = [
        (named[at], *(code.layer.symbols(code, first, theory, int(at)) or in_numbers(first, int(at))))
        for at in wrong[:MOST_ENTRIES]
    ]
    return aligned(rows, len(wrong), got.size)


def in_numbers(each: Comparison, at: int) -> tuple[str, str]:
    """Write what an entry should be and what it is, with all digits where they differ in the last ones only."""
    right, got = float(each.right.value.flat[at]), float(each.got.flat[at])
    short = written(right), written(got)
    return short if short[0] != short[1] else (repr(right), repr(got))


def of_images(names: Sequence[str], images: int) -> list[str]:
    """Name the entries of every image: those of image 2 of several end in ^(2)."""
    return [f"{name}^({image + 1})" if images > 1 else name for image in range(images) for name in names]


# besides values -------------------------------------------------------------------------------------------------------


def _calls(code: Code, tried: Sequence[Comparison]) -> Iterator[Finding]:
    """Find what functions raise, and what they change."""
    for side in code.functions:
        gives = code.layer.gives[side]
        mine = sorted((each for each in tried if each.name in gives), key=lambda each: each.probe.numbers)
        make = functools.partial(_finding, code, tried=len(mine) // len(gives), about=side)
        # One per call, whichever of its results it is.
        raised = list({id(each.probe): each for each in mine if each.kind == "exception"}.values())
        if raised:
            said, what = raised[0].result.raised, raised[0].probe.what
            title = said if said.startswith("returned") else f"raises on {what or 'legal input'}: {said}"
            unknown = ("", "This input is legal; make the code take it.")
            cause, cure = code.layer.raised.get(said.partition(":")[0], unknown)
            yield make(raised, title=title, kind="exception", cause=cause, cure=cure)
        changed = list({id(each.probe): each for each in mine if each.result.changed}.values())
        if changed:
            letters = " and ".join(sorted({letter for each in changed for letter in each.result.changed}))
            cause, cure = WRITTEN
            yield make(
                changed, title=f"changes {letters} in place", kind="in place", cause=cause, cure=cure, anchor="memory"
            )


def _state(code: Code, probes: Sequence[Probe], tried: Sequence[Comparison]) -> Iterator[Finding]:
    """Call three times on the same numbers, with calls on others of the same shapes and on other shapes between."""
    probe = max(probes, key=lambda each: min(array.size for array in each.arrays.values()))
    known = {each.name for each in tried if each.kind in {"exception", "not written"}}
    first = {name: result for name, result in code.results(probe).items() if name not in known}
    code.results(Probe({name: array[::-1].copy() for name, array in probe.arrays.items()}))
    kept = {name: np.array_equal(np.asarray(each.value), np.asarray(each.returned)) for name, each in first.items()}
    again = code.results(probe)
    code.results(probes[0])
    after = code.results(probe)
    for name, result in first.items():
        same = [np.array_equal(np.asarray(result.value), np.asarray(each[name].value)) for each in (again, after)]
        differs = [not kept[name], *(not each for each in same)]
        if any(differs):
            title, cause, cure = (OVERWRITTEN, RANDOM, KEPT)[differs.index(True)]
            each = Comparison(probe, name, result, code.layer.right(probe)[name])
            yield _finding(code, [each], 0, title, "state", cause=cause, cure=cure, anchor="memory")


# drawing integers -----------------------------------------------------------------------------------------------------


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


def gamma(terms: int, dtype: str) -> float:
    """Bound the relative error of so many operations in a dtype; integers have none."""
    return float(exact.gamma(terms, dtype)) if dtype in exact.SIGNIFICAND else 0.0
