"""Comparing the sides of an equation with each other, with one kind of evidence at a time."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from sympy import ZZ, Symbol
from sympy.polys.rings import ring

from jacobians import symbolic
from jacobians.errors import raise_interrupt
from jacobians.evidence import exact, readout
from jacobians.formula.prove import Example, available
from jacobians.geometry import Geometry
from jacobians.verify import every_size
from jacobians.verify.every_size import shape_of
from jacobians.verify.identities import ORACLE, Draw, Identity, Role, Side
from jacobians.verify.relations import WRITTEN
from jacobians.verify.report import Evidence, Failure, Outcome

__all__ = ["Task", "check", "prove", "read_out"]

Array = npt.NDArray[Any]

# Each (equation, layer) pair may miss something wrong with this probability, so that ten thousand pairs together stay
# below 2⁻⁶⁰.
TARGET = Fraction(1, 2**74)
DTYPES = ("float64", "int64", "float32")
LARGE_DTYPES = ("float64",)
REAL_DTYPES = ("float64", "float32")
EXACT_SIDES = {ORACLE, "one by one"}
LARGE_IMAGE = 20_000
# Pairs of basis elements to try when a wrong side is read out.
MOST_READINGS = 20_000


@dataclasses.dataclass(frozen=True)
class Task:
    """Equations to check at one layer; a unit of work that can be sent to another process."""

    geometry: Geometry
    identities: tuple[Identity, ...]
    seed: int
    symbolic: bool


def check(task: Task) -> list[Outcome]:
    """Check equations at one layer with every kind of evidence that it allows.

    Parameters
    ----------
    task : Task
        The layer and the equations.

    Returns
    -------
    list of Outcome
        One for each equation and kind of evidence; none for equations that are not about this layer.
    """
    outcomes = []
    symbols = _Sides(symbolic_draw(task.geometry)) if task.symbolic else None
    for statements in _by_inputs(task):
        if symbols:
            outcomes += [_check_symbols(statement, symbols, task.seed) for statement in statements]
        outcomes += _check_integers(statements, task.geometry, task.seed)
        outcomes += _check_reals(statements, task.geometry, task.seed)
    return outcomes


@dataclasses.dataclass(frozen=True)
class _Statement:
    """An equation, with the sides that are compared at one layer."""

    identity: Identity
    reference: tuple[str, Side]
    others: tuple[tuple[str, Side], ...]


class _Sides:
    """The values of sides on one draw, each computed once although several equations share it."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self._values: dict[Side, Array] = {}

    def __call__(self, side: Side) -> Array:
        if side not in self._values:
            self._values[side] = np.ravel(side(self.draw))
        return self._values[side]


def _by_inputs(task: Task) -> list[list[_Statement]]:
    """Group the equations that speak of a layer by the arrays they are multilinear in, and so by their draws."""
    groups: dict[str, list[_Statement]] = {}
    for identity in task.identities:
        sides = tuple(identity.sides_for(task.geometry).items())
        if sides:
            groups.setdefault(identity.inputs, []).append(_Statement(identity, sides[0], sides[1:]))
    return list(groups.values())


# symbolic -------------------------------------------------------------------------------------------------------------


def symbolic_draw(geometry: Geometry) -> Draw:
    """Return a draw whose entries are the generators of one polynomial ring over the integers.

    Parameters
    ----------
    geometry : Geometry
        The layer.

    Returns
    -------
    Draw
        X, F, G and b with entries named as in the lecture. Sums and products of them are kept expanded, so that ``==``
        says whether two are the same polynomial.
    """
    arrays: tuple[tuple[str, Role, tuple[int, ...]], ...] = (
        ("g", "responses", geometry.responses),
        ("X", "image", geometry.image),
        ("F", "filters", geometry.filters),
        ("b", "bias", geometry.filters[:1]),
    )
    named = [symbolic.names(letter, role, geometry) for letter, role, _ in arrays]
    # As strings, names with a comma would be taken for several.
    _, *generators = ring([Symbol(name) for names in named for name in names], ZZ)
    rest = iter(generators)
    G, X, F, b = (symbolic.object_array([next(rest) for _ in range(math.prod(shape))], shape) for _, _, shape in arrays)
    return Draw(geometry, X, F, G, b)


def _check_symbols(statement: _Statement, sides: _Sides, seed: int) -> Outcome:
    failure = _compare(statement, sides, "symbolic", seed, lambda value: symbolic.write(value, "text"))
    size = _size(sides.draw.geometry)
    return Outcome(statement.identity.id, "symbolic", len(statement.others), size, failure=failure)


# exact ----------------------------------------------------------------------------------------------------------------


def integer_draws(inputs: str, terms: int, geometry: Geometry, seed: int) -> Iterator[tuple[Draw, Fraction]]:
    """Draw integers on which every side is exact, until a wrong form is missed with the target probability at most.

    Parameters
    ----------
    inputs : str
        The arrays to draw, letters of X, F, G and b; the others are 0.
    terms : int
        Products, and single numbers, in the longest sum.
    geometry : Geometry
        The layer.
    seed : int
        Seed of the run.

    Yields
    ------
    draw : Draw
        Integers in float64, int64 and float32 in turn, distinct where the dtype has enough of them.
    miss : Fraction
        Probability that this draw alone misses that two multilinear forms differ.
    """
    dtypes = LARGE_DTYPES if geometry.pixels > LARGE_IMAGE else DTYPES
    counts = [math.prod(shape_of(letter, geometry)) for letter in inputs]
    missed = Fraction(1)
    for number in itertools.count():
        dtype = dtypes[number % len(dtypes)]
        magnitude = exact.exact_magnitude(dtype, terms)
        miss = exact.miss_probability(*(exact.Draw(magnitude, count) for count in counts))
        if miss < 1:
            yield _integers(inputs, geometry, _generator(seed, geometry, number), magnitude, dtype), miss
            missed *= miss
        if missed <= TARGET:
            return


def _integers(inputs: str, geometry: Geometry, generator: np.random.Generator, magnitude: int, dtype: str) -> Draw:
    def entries(letter: str, shape: tuple[int, ...]) -> Array:
        drawn = letter in inputs
        return exact.draw_integers(generator, shape, magnitude, dtype) if drawn else np.zeros(shape, dtype)

    return _draw(geometry, entries)


def _check_integers(statements: Sequence[_Statement], geometry: Geometry, seed: int) -> list[Outcome]:
    identity = statements[0].identity
    failures: dict[str, Failure] = {}
    coded = every_size.coded(identity.inputs, geometry)
    relations = _check_relations(statements, _Sides(coded), seed) if coded else []
    missed, draws = Fraction(1), 0
    for draw, miss in integer_draws(identity.inputs, identity.terms(geometry), geometry, seed):
        sides = _Sides(draw)
        for statement in statements:
            failure = _compare(statement, sides, "exact", seed, _number)
            if failure:
                failures.setdefault(statement.identity.id, failure)
        # What tells all products of a large layer apart is too long; then these numbers have to.
        relations = relations or _check_relations(statements, sides, seed)
        missed *= miss
        draws += 1
    return [
        Outcome(
            each.identity.id,
            "exact",
            draws * len(each.others),
            _size(geometry),
            missed,
            None,
            failures.get(each.identity.id),
        )
        for each in statements
    ] + relations


# bound ----------------------------------------------------------------------------------------------------------------


def _check_reals(statements: Sequence[_Statement], geometry: Geometry, seed: int) -> list[Outcome]:
    """Hold real-valued draws against the first side, computed exactly with integers of any length."""
    exactly = [each for each in statements if each.reference[0] in EXACT_SIDES]
    worst = {each.identity.id: Fraction(0) for each in exactly}
    failures: dict[str, Failure] = {}
    for number, dtype in enumerate(REAL_DTYPES if exactly else ()):
        identity = exactly[0].identity
        floats, numerators, scale = _reals(identity.inputs, geometry, _generator(seed, geometry, -1 - number), dtype)
        sides, values, sizes = _Sides(floats), _Sides(numerators), _Sides(_absolute(numerators))
        for statement in exactly:
            share, failure = _compare_reals(statement, sides, values, sizes, scale, seed)
            worst[statement.identity.id] = max(worst[statement.identity.id], share)
            if failure:
                failures.setdefault(statement.identity.id, failure)
    return [
        Outcome(
            each.identity.id,
            "bound",
            len(REAL_DTYPES) * len(each.others),
            _size(geometry),
            worst=float(worst[each.identity.id]),
            failure=failures.get(each.identity.id),
        )
        for each in exactly
    ]


def _compare_reals(
    statement: _Statement, sides: _Sides, values: _Sides, sizes: _Sides, scale: int, seed: int
) -> tuple[Fraction, Failure | None]:
    """Return the largest error as a fraction of its bound, and the first that is beyond it."""
    _, reference = statement.reference
    terms, dtype = statement.identity.terms(sides.draw.geometry), sides.draw.X.dtype
    expected, bounds = values(reference), exact.rounding_bound(sizes(reference), terms, dtype)
    worst = Fraction(0)
    for other, side in statement.others:
        result, complaint = _computed(side, sides, expected.size)
        shares = [_share(got, value, bound, scale) for got, value, bound in zip(result, expected, bounds, strict=True)]
        worst = max(worst, *shares)
        beyond = [entry for entry, share in enumerate(shares) if share > 1]
        if beyond:
            first = beyond[0]
            right = f"{float(Fraction(int(expected[first]), scale))!r} ± {float(bounds[first] / scale):.2g}"
            actual = complaint or repr(float(result[first]))
            failure = _failure(statement, other, sides, "bound", seed, first, right, actual, len(beyond))
            return worst, dataclasses.replace(failure, index=None) if complaint else failure
    return worst, None


def _reals(inputs: str, geometry: Geometry, generator: np.random.Generator, dtype: str) -> tuple[Draw, Draw, int]:
    """Return a draw of real numbers, the same as exact integers, and what products of those are larger by."""
    bits = exact.SIGNIFICAND[dtype]
    degree = len(inputs.replace("b", ""))
    exactly: dict[str, Array] = {}

    def numbers(letter: str, shape: tuple[int, ...]) -> Array:
        drawn, integers, _ = exact.real_numbers(generator, shape, dtype)
        used = letter in inputs
        exactly[letter] = (integers * (2 ** (bits * (degree - 1)) if letter == "b" else 1)) if used else integers * 0
        return drawn if used else np.zeros_like(drawn)

    floats = _draw(geometry, numbers)
    return floats, _draw(geometry, lambda letter, _: exactly[letter]), 2 ** (bits * degree)


def _share(got: Any, value: Any, bound: Fraction, scale: int) -> Fraction:
    """Return the error of a result as a fraction of its bound; above 1 where it is not a number."""
    if not math.isfinite(got):
        return Fraction(2)
    error = abs(Fraction(float(got)) * scale - int(value))
    return error / bound if bound else Fraction(2 if error else 0)


def _absolute(draw: Draw) -> Draw:
    return Draw(draw.geometry, *(abs(each) for each in (draw.X, draw.F, draw.G, draw.b)))


# every size -----------------------------------------------------------------------------------------------------------


def prove(identity: Identity, stride: int, seed: int) -> Outcome:
    """Prove an equation at one stride for every size.

    Parameters
    ----------
    identity : Identity
        One whose sides are all written as relations.
    stride : int
        The stride.
    seed : int
        Seed of the run, which changes nothing here.

    Returns
    -------
    Outcome
        How many combinations of stride, dilation and groups are proved, and the sizes at which two sides differ.
    """
    combinations, found = every_size.refuted(identity, stride)
    if found is None:
        return Outcome(identity.id, "every size", combinations, 0)
    differ, example = found.comparison.differ, found.comparison.example or Example({}, (0, 0), 0, 0)
    expected, actual = (f"taken {'once' if times == 1 else f'{times} times'}" for times in example.times)
    entry = ", ".join(f"{name} = {index}" for name, index in example.indices.items())
    where = f"sizes: {differ} ({found.options})"
    failure = Failure("every size", where, seed, found.sides, entry, expected, actual, example.wrong, example.total)
    return Outcome(identity.id, "every size", combinations, 0, failure=failure)


def _check_relations(statements: Sequence[_Statement], sides: _Sides, seed: int) -> list[Outcome]:
    """Hold what every side computes on one draw against the products of its relation."""
    known, size = every_size.Expected(sides.draw), _size(sides.draw.geometry)
    return [
        Outcome(each.identity.id, "every size", 0, size, failure=_compare_relations(each, sides, known, seed))
        for each in statements
        if available() and every_size.applies(each.identity)
    ]


def _compare_relations(statement: _Statement, sides: _Sides, known: every_size.Expected, seed: int) -> Failure | None:
    identity, geometry = statement.identity, sides.draw.geometry
    entries = every_size.seen(geometry, identity.entries[1])
    total = math.prod(shape_of(every_size.RESULT[identity.entries[1]], geometry))
    for name, side in (statement.reference, *statement.others):
        expected = known(identity, WRITTEN[side])
        actual, complaint = _computed(side, sides, total)
        difference = exact.first_difference(expected, actual[entries])
        if difference:
            first, wrong = difference
            right, got = (
                every_size.told(each[first], identity.inputs, geometry) for each in (expected, actual[entries])
            )
            pair = (f"{name}, as a relation", name)
            named = symbolic.names(*identity.entries, geometry)[entries[first]]
            return Failure(
                "every size", repr(geometry), seed, pair, named, right, complaint or got, wrong, len(entries), geometry
            )
    return None


# comparison -----------------------------------------------------------------------------------------------------------


def _compare(
    statement: _Statement, sides: _Sides, evidence: Evidence, seed: int, text: Callable[[Any], str]
) -> Failure | None:
    _, reference = statement.reference
    expected = sides(reference)
    for other, side in statement.others:
        actual, complaint = _computed(side, sides, expected.size)
        difference = exact.first_difference(expected, actual)
        if difference:
            entry, wrong = difference
            right, got = text(expected[entry]), complaint or text(actual[entry])
            failure = _failure(statement, other, sides, evidence, seed, entry, right, got, wrong)
            return dataclasses.replace(failure, index=None) if complaint else failure
    return None


def _computed(side: Side, sides: _Sides, size: int) -> tuple[Array, str | None]:
    """Return what a side computes; what is wrong with it instead where it is no array of the right size."""
    nothing = np.full(size, np.nan)
    try:
        actual = sides(side)
    except MemoryError:
        raise
    except Exception as error:  # whatever wrong code raises is the finding
        raise_interrupt(error)
        return nothing, f"{type(error).__name__}: {error}"
    return (actual, None) if actual.size == size else (nothing, f"{actual.size} entries")


def _failure(
    statement: _Statement,
    other: str,
    sides: _Sides,
    evidence: Evidence,
    seed: int,
    entry: int,
    expected: str,
    actual: str,
    wrong: int,
) -> Failure:
    geometry = sides.draw.geometry
    named = symbolic.names(*statement.identity.entries, geometry)
    pair = (statement.reference[0], other)
    return Failure(
        evidence, repr(geometry), seed, pair, named[entry], expected, actual, wrong, len(named), geometry, entry
    )


def read_out(side: Side, inputs: str, geometry: Geometry, entry: int) -> str | None:
    """Find out the formula of one entry that code computes, by calling it with basis elements.

    Parameters
    ----------
    side : callable
        The code, taking a `Draw` of numbers.
    inputs : str
        Arrays that the code is multilinear in, of X, F and G.
    geometry : Geometry
        The layer.
    entry : int
        Flat index of the entry.

    Returns
    -------
    str or None
        The entry as a sum of products of symbols; None where reading it would take too many calls.
    """
    sizes = {letter: math.prod(shape_of(letter, geometry)) for letter in inputs.replace("b", "")}
    if math.prod(sizes.values()) > MOST_READINGS:
        return None

    def value(basis: dict[str, Array]) -> Any:
        return np.ravel(side(_draw(geometry, functools.partial(_entries, basis))))[entry]

    named = [symbolic.symbols(*every_size.ROLES[letter], geometry).ravel() for letter in sizes]
    total = 0
    for places, number in (readout.products(value, sizes) or {}).items():
        total = total + _plain(number) * math.prod(each[at] for each, at in zip(named, places, strict=True))
    return symbolic.write(total, "text")


def _entries(given: Mapping[str, Array], letter: str, shape: tuple[int, ...]) -> Array:
    return given[letter].reshape(shape) if letter in given else np.zeros(shape)


def _plain(number: Any) -> Any:
    return int(number) if float(number).is_integer() else float(number)


def _number(value: Any) -> str:
    return str(_plain(value)) if math.isfinite(value) else str(value)


def _draw(geometry: Geometry, fill: Callable[[str, tuple[int, ...]], Array]) -> Draw:
    return Draw(geometry, *(fill(letter, shape_of(letter, geometry)) for letter in "XFGb"))


def _size(geometry: Geometry) -> int:
    return geometry.pixels + math.prod(geometry.filters) + math.prod(geometry.responses)


def _generator(seed: int, geometry: Geometry, number: int) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(repr(geometry).encode()), number + len(REAL_DTYPES)))
