"""Measure what the package costs beside its rivals, into docs/benchmarks.json: ``make bench`` (ARGS=--quick)."""

import argparse
import datetime as dt
import json
import sys
from pathlib import Path

from rich.console import Console

from jacobians import files
from tests import figures
from tests.benchmarks import groups, machine, rivals

RECORD = Path(__file__).parents[2] / "docs" / "benchmarks.json"
COMMAND = "make bench"


def measured(plan, wanted, console):
    """Measure some groups; say of those that are left out why."""
    found, left_out = {}, {}
    for name in wanted:
        measure, modules = groups.GROUPS[name]
        lacking = [each for each in modules if not rivals.installed(each)]
        if lacking:
            left_out[name] = f"{', '.join(lacking)} not installed"
            console.print(f"{name}: left out, {left_out[name]}")
            continue
        found[name] = []
        for row in measure(plan):
            found[name].append(row)
            console.print(f"{name}: {line(row)}", highlight=False)
    return {"goals": groups.GOALS, "groups": found, "left out": left_out}


def line(row):
    """One case in one line."""
    seconds = ", ".join(f"{name} {taken:.3g} s" for name, taken in row["seconds"].items())
    missing = "".join(f", {name}: {reason}" for name, reason in row["missing"].items())
    goals = "".join(f"; {goal} {ratio:.2f} of {groups.GOALS[goal][1]}" for goal, ratio in row["goals"].items())
    return f"{row['case']} {row['layer']}: {seconds}{missing}{goals}"


def about(command):
    """When, how, on what kind of machine and with which versions it was measured."""
    return {
        "command": command,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": machine.kind(),
        "versions": figures.versions("sparse-convolution", "pylops"),
    }


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes only, in half a minute; nothing is written")
    parser.add_argument("--only", nargs="+", choices=groups.GROUPS, help="some groups only; nothing is written")
    options = parser.parse_args()
    rivals.one_thread()
    console = Console(width=None if sys.stdout.isatty() else 200)
    record = measured(groups.QUICK if options.quick else groups.FULL, options.only or groups.GROUPS, console)
    if not options.quick and not options.only:
        record |= about(COMMAND)
        files.write(RECORD, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
        console.print(f"written: {RECORD.relative_to(RECORD.parents[1])}, which docs/explain/benchmarks.md shows")


if __name__ == "__main__":
    main()
