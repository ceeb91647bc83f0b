"""From the layers of a network to blocks of work and the record of them, and from their outcomes to the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from fractions import Fraction
from pathlib import Path
from typing import Any

from jacobians import models
from jacobians._version import __version__
from jacobians.errors import Interrupted, StoppedError
from jacobians.geometry import Geometry, check_geometry
from jacobians.verify.journal import Journal, journal
from jacobians.verify.large import Block, blocks, check_block
from jacobians.verify.report import Failure, LayerRow, NetworkReport, Outcome
from jacobians.workers import completed

__all__ = ["Plan", "plan", "run"]

# Of a failure, what the record does not need: the block says which layer it is.
LAYER = "geometry"


@dataclasses.dataclass(frozen=True)
class Plan:
    """The work at some layers: each geometry is one statement, whichever layers have it.

    Attributes
    ----------
    names : dict of Geometry to list of str
        Which layers have it.
    blocks : list of Block
        All work.
    seed : int
        Of the run.
    """

    names: Mapping[Geometry, Sequence[str]]
    blocks: Sequence[Block]
    seed: int

    @property
    def record(self) -> dict[str, Any]:
        """What a record says that it is of. The memory of a block changes nothing of what is found."""
        layers = {name: repr(geometry) for geometry, names in self.names.items() for name in names}
        return {"version": __version__, "seed": self.seed, "layers": layers}


def plan(network: Any, image: Sequence[int] | None, seed: int, memory: int) -> Plan:
    """Cut the work at the layers of a network into blocks.

    Parameters
    ----------
    network : mapping of str to Geometry, or what `jacobians.models.layers` takes
        The layers, or their model.
    image : sequence of int or None
        Shape of the model's input.
    seed : int
        Of the run.
    memory : int
        Bytes that a block may take.

    Returns
    -------
    Plan
        The blocks in the order of the layers.

    Raises
    ------
    TypeError
        If it is nothing that has layers.
    ValueError
        If an image is given with layers.
    TooLargeError
        If a layer does not fit, even row by row.
    """
    if isinstance(network, Mapping):
        if image is not None:
            raise ValueError("image is given with layers, which have theirs; leave it out")
        layers = dict(network)
    else:
        layers = models.layers(network, image).geometries
    names: dict[Geometry, list[str]] = {}
    for name, geometry in layers.items():
        names.setdefault(check_geometry(geometry, f"network[{name!r}]"), []).append(name)
    work = [block for geometry, named in names.items() for block in blocks(named[0], geometry, seed, memory)]
    return Plan(names, work, seed)


def run(
    work: Plan, executor: Executor | None, resume: Path | None, progress: Callable[[int, int], None] | None
) -> NetworkReport:
    """Check all blocks that a record does not have yet.

    Parameters
    ----------
    work : Plan
        What to check.
    executor : concurrent.futures.Executor or None
        Runs the blocks.
    resume : Path or None
        The record to go on with, or to begin.
    progress : callable or None
        Called with the nonzeros that are done, and all.

    Returns
    -------
    NetworkReport
        The same whatever runs the blocks, in whichever order, and however often the run was interrupted.

    Raises
    ------
    Interrupted
        After Ctrl-C, with the report of what is done.
    StoppedError
        If it cannot go on, with such a report.
    ValueError
        If the record cannot be used.
    """
    found: dict[int, list[Outcome]] = {}
    with journal(resume, work.record) as kept:
        found |= _kept(work, kept, resume)
        left = [number for number in range(len(work.blocks)) if number not in found]
        total = sum(block.nonzeros for block in work.blocks)
        try:
            _tell(progress, work, found, total)
            for number, outcomes in completed(executor, check_block, [work.blocks[number] for number in left]):
                found[left[number]] = outcomes
                kept.add({"block": left[number], "outcomes": list(map(_line, outcomes))})
                _tell(progress, work, found, total)
        except KeyboardInterrupt as stop:
            so_far = report(work, found)
            raise Interrupted(so_far.conclusion, so_far) from stop
        except OSError as error:
            why = f"resume is {resume}, which cannot be written: {error.strerror or error}" if resume else str(error)
            raise StoppedError(why, report(work, found)) from error
        except Exception as error:
            raise StoppedError(str(error) or type(error).__name__, report(work, found)) from error
    return report(work, found)


def report(work: Plan, found: Mapping[int, Sequence[Outcome]]) -> NetworkReport:
    """Sum the outcomes of blocks up, one row per geometry.

    Parameters
    ----------
    work : Plan
        All work.
    found : mapping of int to sequence of Outcome
        Of the blocks that are done, by their numbers.

    Returns
    -------
    NetworkReport
        Whose order is that of the blocks.
    """
    rows = []
    for geometry, names in work.names.items():
        own = [number for number, block in enumerate(work.blocks) if block.geometry == geometry]
        outcomes = [outcome for number in own for outcome in found.get(number, ())]
        counts: dict[str, int] = {}
        failures: dict[str, Failure] = {}
        for each in outcomes:
            counts[each.identity] = counts.get(each.identity, 0) + each.checks
            if each.failure:
                failures.setdefault(each.identity, each.failure)
        done = sum(number in found for number in own)
        rows.append(
            LayerRow(tuple(names), geometry, geometry.nonzeros, counts, done, len(own), tuple(failures.values()))
        )
    misses = [each.miss for outcomes in found.values() for each in outcomes if each.miss is not None]
    # What is wrong is wrong in one block at least, whose draws do not depend on the others'.
    return NetworkReport(tuple(rows), work.seed, sum(map(len, work.names.values())), max(misses, default=Fraction(0)))


def _tell(
    progress: Callable[[int, int], None] | None, work: Plan, found: Mapping[int, Sequence[Outcome]], total: int
) -> None:
    if progress:
        progress(sum(work.blocks[number].nonzeros for number in found), total)


# lines of a record ----------------------------------------------------------------------------------------------------


def _line(outcome: Outcome) -> dict[str, Any]:
    line = dataclasses.asdict(outcome) | {"miss": str(outcome.miss)}
    if outcome.failure:
        del line["failure"][LAYER]
    return line


def _kept(work: Plan, kept: Journal, file: Path | None) -> dict[int, list[Outcome]]:
    """Read the outcomes of the blocks that a record has."""
    found: dict[int, list[Outcome]] = {}
    try:
        for line in kept.lines:
            block = dict(enumerate(work.blocks))[line["block"]]
            found[line["block"]] = [_outcome(each, block.geometry) for each in line["outcomes"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"resume is {file}, which has a line that no run writes; name another file") from error
    return found


def _outcome(line: Mapping[str, Any], geometry: Geometry) -> Outcome:
    failure = line["failure"]
    told = failure and Failure(**{**failure, "sides": tuple(failure["sides"]), LAYER: geometry})
    return Outcome(**{**line, "miss": Fraction(line["miss"]), "failure": told})
