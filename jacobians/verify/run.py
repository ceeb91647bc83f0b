"""From the arguments of `verify` to units of work, and from their outcomes to the report."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

from jacobians.arguments import entries, flag, seed_of, shown
from jacobians.errors import nearest, raise_interrupt
from jacobians.formula.prove import available
from jacobians.geometry import Geometry, check_geometries
from jacobians.sizes import check_bytes
from jacobians.verify import every_size
from jacobians.verify.cases import EXAMPLE, LECTURE, PUBLISHED, SIBLING, drawn
from jacobians.verify.check import Task, check, prove, read_out
from jacobians.verify.identities import IDENTITIES, Identity
from jacobians.verify.networks import NETWORK_IDENTITIES, NetworkIdentity
from jacobians.verify.report import KINDS, Failure, Outcome, Report, Row

# Layers that are drawn besides those of the lecture and the published ones.
DRAWN = 300
DRAWN_SYMBOLICALLY = 24
FULL = 8
DRAWN_QUICKLY = 30
# Products of a layer up to which its polynomials are expanded.
MOST_SYMBOLIC_PRODUCTS = 600

LAYER = {identity.id: identity for identity in IDENTITIES}
NETWORK = {identity.id: identity for identity in NETWORK_IDENTITIES}
ORDER = sorted([*LAYER, *NETWORK], key=lambda name: int(name[1:]))


@dataclasses.dataclass(frozen=True)
class NetworkTask:
    """One equation about networks; a unit of work that can be sent to another process."""

    identity: str
    seed: int


@dataclasses.dataclass(frozen=True)
class LayerTask:
    """Equations at one layer, by their ids; a unit of work that can be sent to another process."""

    geometry: Geometry
    identities: tuple[str, ...]
    seed: int
    symbolic: bool


@dataclasses.dataclass(frozen=True)
class ProofTask:
    """Equations to prove for every size at one stride; a unit of work that can be sent to another process."""

    identities: tuple[str, ...]
    stride: int
    seed: int


# Arrays of the size of each array of a layer, at least, that are held at once: drawn, as integers, and computed twice.
FORMS = 4

Unit = LayerTask | NetworkTask | ProofTask


def tasks(
    geometries: Iterable[Geometry] | None,
    identities: Sequence[str] | None,
    seed: int,
    *,
    full: bool,
    quick: bool = False,
) -> tuple[list[str], list[Unit]]:
    """Return the equations to check, and the work: large layers first, so that no process waits for one at the end."""
    ids = ORDER if identities is None else entries("identities", identities, "a list of ids, such as ['L18', 'L20']")
    wanted = list(map(_known, ids))
    if not wanted:
        raise ValueError(f"identities is empty; it needs ids among {', '.join(ORDER)}, or None for all")
    seed, full, quick = seed_of(seed), flag("full", full), flag("quick", quick)
    if full and quick:
        raise ValueError("full and quick are both True; choose one of them")
    if geometries is None:
        layers = _quick_layers(seed) if quick else _default_layers(seed, FULL if full else 1)
    else:
        given = map(_fitting, check_geometries(geometries))
        layers = {each: _products(each) <= MOST_SYMBOLIC_PRODUCTS for each in given}
        if identities is None:
            wanted = [name for name in ORDER if name in LAYER and any(map(LAYER[name].sides_for, layers))]
    of_layers = tuple(name for name in wanted if name in LAYER)
    proved = tuple(name for name in of_layers if every_size.applies(LAYER[name])) if available() else ()
    spoken_of = [each for each in layers if any(LAYER[name].sides_for(each) for name in of_layers)]
    ordered = sorted(spoken_of, key=_products, reverse=True)
    return wanted, [
        *(LayerTask(each, of_layers, seed, layers[each]) for each in ordered),
        # A proof is of a formula: without layers, nothing would show that code computes it.
        *(ProofTask(proved, stride, seed) for stride in every_size.OPTIONS if proved and layers),
        *(NetworkTask(name, seed) for name in wanted if name in NETWORK),
    ]


def run(task: Unit) -> list[Outcome]:
    """Do one unit of work."""
    if isinstance(task, ProofTask):
        return [prove(LAYER[name], task.stride, task.seed) for name in task.identities]
    if isinstance(task, NetworkTask):
        return list(NETWORK[task.identity].check(task.seed))
    chosen = tuple(LAYER[name] for name in task.identities)
    return check(Task(task.geometry, chosen, task.seed, task.symbolic))


def report(
    wanted: Sequence[str],
    done: Sequence[Unit],
    outcomes: Sequence[Outcome],
    seed: int,
    *,
    left: int = 0,
    left_out: str = "",
) -> Report:
    """Sum the outcomes up, one row per equation that was asked for."""
    rows = [_row(name, [each for each in outcomes if each.identity == name]) for name in ORDER if name in wanted]
    miss = sum((each.miss for each in outcomes if each.miss is not None), Fraction(0))
    layers = sum(isinstance(task, LayerTask) for task in done)
    return Report(tuple(rows), seed, layers, miss, available(), left, left_out)


def _row(name: str, outcomes: Sequence[Outcome]) -> Row:
    identity: Identity | NetworkIdentity = LAYER[name] if name in LAYER else NETWORK[name]
    counts: dict[str, int] = dict.fromkeys(KINDS, 0)
    for each in outcomes:
        counts[each.evidence] += each.checks
    failed = sorted((each for each in outcomes if each.failure), key=lambda each: each.size)
    worst = [each.worst for each in outcomes if each.worst is not None]
    failure = failed[0].failure if failed else None
    if failure and isinstance(identity, Identity):
        failure = _in_symbols(identity, failure)
    provable = isinstance(identity, Identity) and every_size.applies(identity)
    return Row(name, identity.formula, counts, max(worst, default=None), failure, provable)


def _in_symbols(identity: Identity, failure: Failure) -> Failure:
    """Add to the numbers of a failure the formulas that they come from, read out entry by entry."""
    geometry = failure.geometry
    if failure.evidence in {"symbolic", "every size"} or geometry is None or failure.index is None:
        return failure
    sides = identity.sides_for(geometry)
    try:
        expected, actual = (read_out(sides[name], identity.inputs, geometry, failure.index) for name in failure.sides)
    except Exception as error:  # code that is wrong may also raise, and its numbers are reported all the same
        raise_interrupt(error)
        return failure
    if expected is None or actual is None or expected == actual:
        return failure
    return dataclasses.replace(
        failure, expected=f"{expected}  (here {failure.expected})", actual=f"{actual}  (here {failure.actual})"
    )


def _default_layers(seed: int, times: int) -> dict[Geometry, bool]:
    """Return the layers, and whether their polynomials are expanded."""
    small = drawn(seed, DRAWN_SYMBOLICALLY * times, most_products=MOST_SYMBOLIC_PRODUCTS // 4)
    return (
        dict.fromkeys([LECTURE, *PUBLISHED.values(), *drawn(seed, DRAWN * times)], False)
        | dict.fromkeys(small, True)
        | {EXAMPLE: True, SIBLING: True}
    )


def _quick_layers(seed: int) -> dict[Geometry, bool]:
    """Return a few of the layers: the lecture's, the smallest of the published ones, and some that are drawn."""
    few = drawn(seed, DRAWN_QUICKLY, most_products=MOST_SYMBOLIC_PRODUCTS // 4)
    smallest = min(PUBLISHED.values(), key=_products)
    return {LECTURE: False, smallest: False} | dict.fromkeys(few, False) | {EXAMPLE: True, SIBLING: True}


def left_out(identities: Sequence[str] | None, seed: int) -> str:
    """Say which work `quick` leaves out.

    Parameters
    ----------
    identities : sequence of str or None
        The equations that were asked for.
    seed : int
        Of the draws.

    Returns
    -------
    str
        One sentence.
    """
    tried, all_layers = (
        sum(isinstance(task, LayerTask) for task in tasks(None, identities, seed, full=False, quick=quick)[1])
        for quick in (True, False)
    )
    large = f"the {len(PUBLISHED) - 1} largest published layers, and most symbolic comparisons"
    return f"A quick run: it tried {tried} of the {all_layers} layers, and left out {large}."


def _fitting(geometry: Geometry) -> Geometry:
    """Refuse a layer of which not even the arrays of all forms fit into memory."""
    numbers = geometry.pixels + math.prod(geometry.filters) + math.prod(geometry.responses)
    check_bytes(f"{geometry!r}", FORMS * 8 * numbers, "verify smaller layers: the equations are the same")
    return geometry


def _products(geometry: Geometry) -> int:
    return geometry.filters[0] * geometry.positions * geometry.taps


def _known(name: object) -> str:
    if isinstance(name, str) and name in ORDER:
        return name
    raise ValueError(f"identities has {shown(name)}; it needs ids among {', '.join(ORDER)}{nearest(str(name), ORDER)}")
