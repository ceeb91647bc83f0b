"""Right implementations, each to be audited without a finding: ``python -m tests.false_alarms NAME --seeds 100``."""

import argparse
import collections
import functools
import importlib.util
import itertools
import sys
import time

from jacobians import Geometry, audit
from jacobians.testing import option_pairs
from tests import figures
from tests.convolutions import Fft, Im2col, Layer

FLOATS = ("float64", "float32", "float16", "bfloat16")


def numpy_functions(kind, options, dtype):
    layer = kind(**options)
    return layer.forward, layer.backward


def torch_functions(ndim, options, dtype):
    import torch

    from jacobians.audit.frameworks import from_torch

    torch.set_num_threads(1)  # on layers this small, threads wait for each other most of the time
    convolution = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)[ndim - 1]
    zeros = [amount for pair in reversed(options["padding"]) for amount in pair]
    others = {name: value for name, value in options.items() if name != "padding"}
    return from_torch(
        lambda X, F, b: convolution(torch.nn.functional.pad(X, zeros), F, b, **others), dtype=dtype, bias=True
    )


def jax_functions(ndim, options, dtype):
    import jax

    from jacobians.audit.frameworks import from_jax

    def convolution(X, F, b):
        # With the padding given to it, the gradient of a 3-D convolution at stride (3, 2, 3) ends the process (XLA).
        S = jax.lax.conv_general_dilated(
            jax.numpy.pad(X, [(0, 0), (0, 0), *options["padding"]]),
            F,
            options["stride"],
            "VALID",
            rhs_dilation=options["dilation"],
            feature_group_count=options["groups"],
        )
        return S + b.reshape(1, -1, *(1,) * ndim)

    return from_jax(jax.jit(convolution), bias=True)


# Number of spatial axes, what makes the functions, and the dtypes. FFTs in bfloat16 do not exist.
RIGHT = {
    "loops": (2, functools.partial(numpy_functions, Layer), (*FLOATS, "int64", "int32")),
    "im2col": (2, functools.partial(numpy_functions, Im2col), ("float64", "float32", "float16", "int64", "int32")),
    "fft": (2, functools.partial(numpy_functions, Fft), ("float64", "float32", "float16")),
    **{f"torch{ndim}": (ndim, functools.partial(torch_functions, ndim), FLOATS) for ndim in (1, 2, 3)},
    **{f"jax{ndim}": (ndim, functools.partial(jax_functions, ndim), FLOATS) for ndim in (1, 2, 3)},
}


def layers(options, ndim):
    """One layer with a tail and several of everything, and one without."""
    planes = 2 // options["groups"]
    return [
        Geometry((2, *(5, 8, 7)[-ndim:]), (4, planes, *(3, 2, 3)[-ndim:]), **options),
        Geometry((2, *(5, 6, 9)[-ndim:]), (2, planes, *(2, 3, 1)[-ndim:]), **options),
    ]


def report_of(name, options, dtype, seed, *, whole=False, functions=None):
    """Audit one right implementation, at two layers or at all that an audit tries."""
    ndim, make, _ = RIGHT[name]
    few = None if whole else layers(options, ndim)
    return audit(
        *(functions or make(options, dtype)),
        spatial_ndim=ndim,
        bias=True,
        dtype=dtype,
        seed=seed,
        geometries=few,
        **options,
    )


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.false_alarms", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RIGHT)}; all if left out")
    parser.add_argument("--seeds", type=int, default=100, help="seeds per dtype and pair of options")
    parser.add_argument("--whole", action="store_true", help="at all layers of the default audit")
    parser.add_argument("--publish", action="store_true", help="write the figures into the record that the docs show")
    given = parser.parse_args()
    found, rows = collections.Counter(), []
    for name in given.names or RIGHT:
        framework = name.rstrip("123")
        if framework in {"torch", "jax"} and not importlib.util.find_spec(framework):
            print(f"{name}: left out, {framework} is not installed")
            continue
        ndim, make, dtypes = RIGHT[name]
        for dtype in dtypes:
            start, count, before = time.perf_counter(), 0, found[name]
            made = ((options, make(options, dtype)) for options in option_pairs(ndim))  # compiled once for all seeds
            for (options, functions), seed in itertools.product(made, range(given.seeds)):
                report = report_of(name, options, dtype, seed, whole=given.whole, functions=functions)
                count += 1
                if not report.ok:
                    found[name] += 1
                    print(f"FALSE ALARM {name} {dtype} seed {seed} {options}\n{report}", flush=True)
            seconds = time.perf_counter() - start
            alarms = found[name] - before
            print(f"{name} {dtype}: {count} audits, {alarms} false alarms, {seconds:.0f} s", flush=True)
            rows.append([name, dtype, count, alarms, round(seconds)])
    if given.publish:
        columns = ["implementation", "dtype", "audits", "false alarms", "s"]
        figures.publish("sweep", figures.command_of("sweep", sys.argv[1:]), columns, rows)
    return int(bool(found.total()))


if __name__ == "__main__":
    sys.exit(main())
