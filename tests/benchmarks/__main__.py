"""Print what building costs, as ratios measured in one run: ``python -m tests.benchmarks [--strict] [--repeat 5]``.

time    building a matrix, divided by filling its three arrays with a constant (``np.full``); the best of several of
        each, taken in turns, so that a busy machine slows both
memory  most bytes held while building (tracemalloc), divided by the bytes of the result
import  ``import jacobians``, divided by ``import numpy, scipy.sparse``, in fresh interpreters taken in turns
gradcheck  auditing torch's conv2d at 3×32×32 with four 5×5 filters, divided by ``torch.autograd.gradcheck`` in its
        default mode on the same function and layer, nothing of the layer being known from an audit before; where torch
        is installed
audit   processor seconds of the default audit, of two implementations with NumPy and of torch's conv2d; figures only

Prints only; with --strict the exit status is 1 where the median case misses a target.
"""

import argparse
import gc
import importlib.util
import statistics
import subprocess
import sys
import time
import tracemalloc

import numpy as np
from rich.console import Console
from rich.table import Table

from jacobians import Geometry, filter_matrix, image_matrix
from tests.convolutions import Im2col, Layer

GEOMETRIES = [
    Geometry((3, 227, 227), (1, 3, 11, 11)),
    Geometry((3, 620, 620), (1, 3, 5, 5), padding=2),
    Geometry((16, 128, 128), (1, 16, 7, 7), padding=3),
    Geometry((1, 1100, 1100), (1, 1, 3, 3)),
    Geometry((3, 1200, 1200), (1, 3, 5, 5), stride=2, padding=2),
    Geometry((3, 620, 620), (1, 3, 5, 5), dilation=2),
    Geometry((2, 90, 90, 90), (1, 2, 3, 3, 3), padding=1),
    Geometry((8, 200_000), (1, 8, 9)),
]
DTYPES = ("float64", "float32")
TARGETS = {"time": 1.5, "memory": 1.3, "import": 1.3, "gradcheck": 0.01}
BARE = "import numpy, scipy.sparse"


def fill(matrix):
    return [np.full(part.size, 7, part.dtype) for part in (matrix.data, matrix.indices, matrix.indptr)]


def seconds(call):
    start = time.perf_counter()
    result = call()
    taken = time.perf_counter() - start
    del result
    return taken


def ratio(call, baseline, repeat, calls=1):
    """Best time of `call` divided by best time of `baseline`; `calls` of the first to one of the second."""
    best = [float("inf")] * 2
    for _ in range(repeat):
        best = [min(best[0], *(seconds(call) for _ in range(calls))), min(best[1], seconds(baseline))]
    return best[0] / best[1]


def peak_bytes(call):
    gc.collect()
    tracemalloc.start()
    result = call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del result
    return peak


def measure(build, operand, geometry, repeat):
    """Nonzeros, time ratio and memory ratio of one builder on one layer."""
    matrix = build(operand, geometry)
    size = sum(part.nbytes for part in (matrix.data, matrix.indices, matrix.indptr))
    time_ratio = ratio(lambda: build(operand, geometry), lambda: fill(matrix), repeat)
    return matrix.nnz, time_ratio, peak_bytes(lambda: build(operand, geometry)) / size


def against_gradcheck(repeat):
    """Time of auditing torch's conv2d at the lecture's layer over that of its gradient checker's default mode."""
    import torch

    from jacobians import audit
    from jacobians.audit.frameworks import from_torch

    conv2d = torch.nn.functional.conv2d
    layer = Geometry((3, 32, 32), (4, 3, 5, 5))
    generator = torch.Generator().manual_seed(0)
    X, F = (
        torch.randn(shape, dtype=torch.float64, generator=generator, requires_grad=True)
        for shape in ((1, *layer.image), layer.filters)
    )
    functions = from_torch(conv2d)

    def first_audit():
        forget()
        audit(*functions, geometries=[layer]).check()

    return ratio(first_audit, lambda: torch.autograd.gradcheck(conv2d, (X, F)), min(repeat, 3), calls=10)


def forget():
    """Empty all caches of the library."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "jacobians":
            for each in vars(module).values():
                if hasattr(each, "cache_clear"):
                    each.cache_clear()


class Loops(Layer):
    """Four loops with a sum in the innermost, as one writes it first."""

    def forward(self, X, F):
        S = np.zeros((len(X), len(F), *self.out(X, F)), X.dtype)
        k, l = F.shape[2:]
        for m, i, y, x in np.ndindex(*S.shape):
            S[m, i, y, x] = np.sum(X[m, :, y : y + k, x : x + l] * F[i])
        return S

    def backward(self, X, F, G):
        dX, dF, (k, l) = np.zeros_like(X), np.zeros_like(F), F.shape[2:]
        for m, i, y, x in np.ndindex(*G.shape):
            dX[m, :, y : y + k, x : x + l] += F[i] * G[m, i, y, x]
            dF[i] += X[m, :, y : y + k, x : x + l] * G[m, i, y, x]
        return dX, dF


def audit_seconds():
    """Yield what is audited, its processor seconds and its target."""
    from jacobians import audit

    subjects = {"NumPy, vectorised": (Im2col(), 2), "NumPy, four loops": (Loops(), 20)}
    functions = {name: (each.forward, each.backward, target) for name, (each, target) in subjects.items()}
    if importlib.util.find_spec("torch"):
        import torch

        from jacobians.audit.frameworks import from_torch

        functions["torch conv2d"] = (*from_torch(torch.nn.functional.conv2d), 5)
    for name, (forward, backward, target) in functions.items():
        for dtype in ("float64", "float16"):
            start = time.process_time()
            audit(forward, backward, dtype=dtype).check()
            yield f"{name}, {dtype}", time.process_time() - start, target


def fresh(code):
    subprocess.run([sys.executable, "-c", code], check=True)


def mark(value, target):
    return f"[{'green' if value <= target else 'red'}]{value:.3g} {'✓' if value <= target else '✗'}[/]"


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--strict", action="store_true", help="exit with 1 where the median case misses a target")
    parser.add_argument("--repeat", type=int, default=7, metavar="N", help="measure each N times, keep the best")
    options = parser.parse_args()
    table = Table("layer", "matrix", "dtype", "nonzeros", "time", "memory", title="building, relative to np.full")
    for column in table.columns[3:]:
        column.justify = "right"
    seen = {name: [] for name in TARGETS}
    generator = np.random.default_rng(0)
    for geometry in GEOMETRIES:
        for dtype in DTYPES:
            for build, shape in ((image_matrix, geometry.image), (filter_matrix, geometry.filters[1:])):
                operand = generator.standard_normal(shape).astype(dtype)
                nonzeros, *ratios = measure(build, operand, geometry, options.repeat)
                for name, value in zip(("time", "memory"), ratios, strict=True):
                    seen[name].append(value)
                marks = [mark(value, TARGETS[name]) for name, value in zip(("time", "memory"), ratios, strict=True)]
                layer = repr(geometry).removeprefix("Geometry")
                table.add_row(layer, build.__name__, dtype, f"{nonzeros:.1e}", *marks)
    if importlib.util.find_spec("torch"):
        seen["gradcheck"].append(against_gradcheck(options.repeat))
    fresh("import jacobians")  # writes the byte code
    seen["import"].append(ratio(lambda: fresh("import jacobians"), lambda: fresh(BARE), max(7, options.repeat)))
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    medians = {name: statistics.median(values) for name, values in seen.items() if values}
    for name, median in medians.items():
        worst = max(seen[name])
        console.print(f"{name:9} median {mark(median, TARGETS[name])}   worst {worst:.3g}   target {TARGETS[name]}")
    for name, taken, target in audit_seconds():
        console.print(f"audit     {name:27} {taken:.2g} s   target {target} s")
    return int(options.strict and any(median > TARGETS[name] for name, median in medians.items()))


if __name__ == "__main__":
    sys.exit(main())
