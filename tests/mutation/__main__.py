"""Try mutants of the modules that decide: ``python -m tests.mutation [--only ROOM] [--sample N] [--seed S]``.

A mutant is killed by the first test of its room that fails, or by its limit of time. The score is the share of killed
ones among all that are not in the record of equivalents. Those that survive are also written to .cache/mutants.json,
from which --survivors takes them to try them again, the surer way, from source.
"""

import argparse
import json
import os
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from tests.mutation.mutants import Key, Mutant, mutants
from tests.mutation.rooms import ROOMS, Room
from tests.mutation.trial import Tests, trials

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).with_name("equivalent.toml")
LAST = ROOT / ".cache/mutants.json"


def equivalents() -> dict[Key, str]:
    """Why a mutant is equivalent, by what names it."""
    return {
        (each["module"], each["function"], each["line"], becomes): each["why"]
        for each in tomllib.loads(RECORD.read_text("utf-8"))["mutant"]
        for becomes in ([each["becomes"]] if isinstance(each["becomes"], str) else each["becomes"])
    }


def chosen(room: Room, options: argparse.Namespace) -> list[Mutant]:
    """The mutants of a room, all or a sample of them; those of one seed are the same in every run."""
    paths = [path for path in room.modules if _wanted(room, path, options.only)]
    every = list(mutants(ROOT, paths, options.sample, options.seed))
    if options.survivors:
        last = {tuple(key) for key in json.loads(LAST.read_text("utf-8"))}
        every = [mutant for mutant in every if mutant.key in last]
    return every


def _wanted(room: Room, path: str, only: list[str]) -> bool:
    return not only or room.name in only or path in only


def tried(room: Room, options: argparse.Namespace, known: Collection[Key]) -> tuple[Counter[str], list[Mutant]]:
    """Try the mutants of one room: the count of each outcome, and those that survived."""
    every = chosen(room, options)
    new = [mutant for mutant in every if mutant.key not in known]
    counts, survivors = Counter(equivalent=len(every) - len(new)), []
    start = time.monotonic()
    for mutant, outcome in (
        trials(ROOT, new, Tests(room.tests, room.without), jobs=options.jobs, sure=options.survivors) if new else ()
    ):
        counts[outcome.state] += 1
        if outcome.state == "survived":
            survivors.append(mutant)
            print(f"{mutant.path} {mutant.function}\n  - {mutant.line}\n  + {mutant.becomes}", flush=True)
        elif options.show:
            print(f"{outcome.state} after {outcome.taken:.2f} s by {outcome.test}: {mutant.becomes}", flush=True)
    print(row(room.name, counts), f"{time.monotonic() - start:6.0f} s", flush=True)
    return counts, survivors


def score(counts: Counter[str]) -> float:
    """The share of those killed, also by time, among all that are not equivalent; 1 where there are none."""
    dead = counts["killed"] + counts["timed out"]
    return dead / (dead + counts["survived"]) if dead + counts["survived"] else 1.0


def row(name: str, counts: Counter[str]) -> str:
    """One line of the table."""
    states = ("killed", "timed out", "survived", "equivalent")
    return f"{name:14}" + "".join(f"{counts[state]:5} {state:10}" for state in states) + f"{score(counts):7.1%}"


def main() -> int:
    """Exit status 0 if the mathematics reaches 99 % and the whole 95 %."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], help="rooms or modules: geometry, jacobians/geometry.py")
    parser.add_argument("--sample", type=int, help="at most so many mutants of each room")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many are tried at once")
    parser.add_argument("--survivors", action="store_true", help="only those that survived the last time")
    parser.add_argument("--show", action="store_true", help="print also what killed each")
    options = parser.parse_args()
    known, totals, survivors = equivalents(), {True: Counter(), False: Counter()}, []
    for room in ROOMS:
        if any(_wanted(room, path, options.only) for path in room.modules):
            counts, alive = tried(room, options, known)
            totals[room.mathematics] += counts
            survivors += alive
    LAST.parent.mkdir(exist_ok=True)
    LAST.write_text(json.dumps([mutant.key for mutant in survivors]), "utf-8")
    whole = totals[True] + totals[False]
    print(row("mathematics", totals[True]), row("whole", whole), sep="\n")
    return 0 if score(totals[True]) >= 0.99 and score(whole) >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
