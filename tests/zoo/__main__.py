"""What the audit makes of wrong programs put together at random: ``python -m tests.zoo [--seeds 100] [--show]``.

found     the audit says that the program is wrong, and which result
read      it gives a formula for that result
predicts  the formula gives the program's numbers at three layers larger than those it was read from

Numbers are compared with == where integers cannot round, otherwise within the bound of two rounded sums.
"""

import argparse
import collections
import json
import statistics
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from jacobians import audit
from jacobians.audit.layers.convolution import Convolution
from jacobians.evidence.exact import gamma
from tests import figures
from tests.zoo import programs

# Roundings of one entry besides those of its sum: factors, added terms and the coefficients themselves.
OTHERS = 8
CRITERIA = ("found", "read", "predicts")
COLUMNS = ("mistakes", "seeds", "programs", *CRITERIA, "median s", "longest s")


def examined(count, seed):
    """Audit one program, and hold the formula of the finding against it: a record."""
    program = programs(count, seed)
    start = time.process_time()
    try:
        report = audit(program.forward, program.backward, **program.options)
        said, finding = str(report), _finding(report, program.result)
    except Exception:  # an audit that breaks off has found nothing
        said, finding = traceback.format_exc(), None
    taken = time.process_time() - start
    formula = str(getattr(finding, "formula", "") or "")
    missed = list(misses(finding, program)) if formula else []
    return {
        "mistakes": program.mistakes,
        "count": count,
        "seed": seed,
        "families": [each.family for each in program.made],
        "result": program.result,
        "options": program.options,
        "found": finding is not None,
        "read": bool(formula),
        "predicts": bool(formula) and not missed,
        "misses": missed,
        "seconds": round(taken, 2),
        "said": said,
        "formula": formula,
        "right": str(getattr(finding, "right", "") or ""),
    }


def _finding(report, result):
    """The finding about the result that is wrong; None where there is none."""
    label = Convolution.labels[result]
    about = [each for each in report.findings if each.about == label or label in each.follows]
    return about[0] if about else None


def misses(finding, program):
    """Where the formula does not predict the program, in words."""
    for layer in program.layers("large"):
        arrays = layer.draw(1)
        given = {letter: each for letter, each in arrays.items() if letter != "b" or program.options["bias"]}
        try:
            predicted = np.asarray(finding.predict(layer.geometry, **given))
        except Exception as error:  # whatever a prediction raises, it is none
            yield f"{layer.geometry}: {type(error).__name__}: {error}"
            continue
        value = program.value(arrays)
        if predicted.shape != value.shape:
            yield f"{layer.geometry}: shape {predicted.shape}, not {value.shape}"
        elif not np.all(np.abs(predicted - value) <= bound(program, layer, arrays)):
            wrong = int(np.sum(predicted != value))
            yield f"{layer.geometry}: {wrong} of {value.size} entries differ"


def bound(program, layer, arrays):
    """How far two ways to sum the same terms can be apart: 0 where integers do not round."""
    if program.is_exact(layer):
        return 0
    terms = program.terms(layer) + OTHERS
    return float(2 * gamma(terms, np.float64) * (1 + gamma(terms, np.float64))) * program.magnitude(arrays)


def by_count(records):
    """Count how many programs meet each criterion, by their number of mistakes: the rows of a table."""
    for count, each in sorted(_grouped(records, lambda record: [record["count"]]).items()):
        seconds = [record["seconds"] for record in each]
        seeds = f"{min(record['seed'] for record in each)} … {max(record['seed'] for record in each)}"
        yield [count, seeds, len(each), *_shares(each), statistics.median(seconds), max(seconds)]


def tabulate(console, records):
    """Print how many programs meet each criterion: by their number of mistakes, and by the kind of a single one."""
    table = Table(*COLUMNS, title="wrong programs")
    for row in by_count(records):
        table.add_row(*map(str, row))
    console.print(table)
    table = Table("mistake", "programs", *CRITERIA, title="by the kinds of mistakes in a program")
    for family, each in sorted(_grouped(records, lambda each: set(each["families"])).items()):
        table.add_row(family.replace("_", " "), *map(str, [len(each), *_shares(each)]))
    console.print(table)


def _grouped(records, keys):
    groups = collections.defaultdict(list)
    for record in records:
        for key in keys(record):
            groups[key].append(record)
    return groups


def _shares(records):
    return [sum(each[criterion] for each in records) for criterion in CRITERIA]


def show(console, record):
    """Print one program that does not meet all criteria, and what the audit said."""
    options = ", ".join(f"{name}={value}" for name, value in record["options"].items())
    lines = [f"programs({record['count']}, {record['seed']}): {Convolution.labels[record['result']]}, {options}"]
    lines += [f"  mistake: {each}" for each in record["mistakes"]]
    lines += [f"  missed at {each}" for each in record["misses"]]
    lines += [f"  │ {line}" for line in record["said"].splitlines()]
    console.print("\n".join(lines), markup=False, highlight=False)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.zoo", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=30, metavar="N", help="programs of each number of mistakes")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--mistakes", type=int, nargs="+", default=[1, 2, 3], metavar="K", help="numbers of mistakes")
    parser.add_argument("--show", action="store_true", help="print the programs whose formula is not read, or wrong")
    parser.add_argument("--record", type=Path, default=Path("zoo.json"), metavar="FILE", help="where to write it all")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes")
    parser.add_argument("--publish", action="store_true", help="write the figures into the record that the docs show")
    given = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120, soft_wrap=not sys.stdout.isatty())
    seeds, records = range(given.first, given.first + given.seeds), []
    with ProcessPoolExecutor(given.jobs) as pool:
        for count in given.mistakes:
            for record in pool.map(examined, repeat(count), seeds):
                records.append(record)
                if given.show and not all(record[criterion] for criterion in CRITERIA):
                    show(console, record)
    given.record.write_text(json.dumps(records, ensure_ascii=False, indent=1), "utf-8")
    tabulate(console, records)
    if given.publish:
        figures.publish("zoo", figures.command_of("zoo", sys.argv[1:]), COLUMNS, [*by_count(records)])
    return int(not all(record["found"] for record in records))


if __name__ == "__main__":
    sys.exit(main())
