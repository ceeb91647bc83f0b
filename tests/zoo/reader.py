"""The reader alone on wrong programs: ``python -m tests.zoo.reader --mistakes 1 --first 40000 --seeds 60``.

Each program is read in at most 200 calls, and given up after 20 s of CPU time. Its formula has to give the program's
numbers at three layers larger than those it was read from, as in ``python -m tests.zoo``.
"""

import argparse
import signal
import statistics
import time

import numpy as np
from rich.console import Console

from jacobians import Geometry
from jacobians.formula.products import Unreadable
from jacobians.formula.reading import formula_of
from jacobians.formula.structure import sizes_of, structure_of
from tests.zoo import programs
from tests.zoo.__main__ import bound

LIMIT = 20


def late(*_):
    raise TimeoutError


def read(program, counted):
    """Read the formula of a program; `counted` gets the layer of every call."""
    options = {name: each for name, each in program.options.items() if name not in {"spatial_ndim", "bias"}}

    def call(layer, arrays):
        counted.append(layer)
        given = {letter: arrays.get(letter, np.zeros(shape)) for letter, shape in layer.shapes.items()}
        return program.value(_used(program, given))

    structure = structure_of(program.layers("small")[0].geometry)
    return formula_of(
        call, program.result, structure, lambda image, filters: Geometry(image, filters, **options), "float64"
    )


def misses(program, formula):
    """At how many of the larger layers the formula does not give the program's numbers."""
    count = 0
    for layer in program.layers("large"):
        arrays = _used(program, layer.draw(1))
        value, predicted = program.value(arrays), formula.predict(sizes_of(layer), arrays)
        same = predicted.shape == value.shape
        count += not (same and np.all(np.abs(predicted - value) <= bound(program, layer, arrays)))
    return count


def _used(program, arrays):
    return {letter: each for letter, each in arrays.items() if letter != "b" or program.options["bias"]}


def examined(count, seed):
    """Read one program: what is wrong, empty where nothing is; the calls, and the seconds."""
    program, counted, start = programs(count, seed), [], time.process_time()
    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        missed = misses(program, read(program, counted))
        said = f"wrong at {missed} larger layers" if missed else ""
    except (Unreadable, TimeoutError) as error:
        said = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return said, len(counted), time.process_time() - start


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.zoo.reader", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=60, metavar="N", help="programs of each number of mistakes")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--mistakes", type=int, nargs="+", default=[1, 2, 3], metavar="K", help="numbers of mistakes")
    given = parser.parse_args()
    console = Console(width=120, soft_wrap=True, markup=False, highlight=False)
    for count in given.mistakes:
        found = {seed: examined(count, seed) for seed in range(given.first, given.first + given.seeds)}
        for seed, (said, calls, seconds) in found.items():
            if said:
                console.print(f"programs({count}, {seed}): {said}; {calls} calls, {seconds:.1f} s")
        console.print(f"{count} mistakes: {sum(not each[0] for each in found.values())} of {len(found)} predicted")
        for name, some in (
            ("read", [each for each in found.values() if not each[0]]),
            ("failed", [each for each in found.values() if each[0]]),
        ):
            calls, seconds = ([each[at] for each in some] or [0] for at in (1, 2))
            most = f"{statistics.mean(seconds):.2f} s in the mean, {max(seconds):.1f} s at most"
            console.print(f"  {name}: {statistics.mean(calls):.0f} calls, {most}")


if __name__ == "__main__":
    main()
