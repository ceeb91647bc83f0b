"""What is measured: groups of cases; a case has the seconds of this package and of its rivals, taken in turns."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial

import numpy as np

import jacobians
from jacobians import Geometry, audit, filter_matrix, image_matrix, jacobian_wrt_filters, jacobian_wrt_image, models
from jacobians.audit.frameworks import from_torch
from jacobians.operators import layer_operator
from tests.benchmarks import rivals
from tests.benchmarks.race import peak_bytes, race

# What the times of this package are called in the record, and those of filling arrays as large as the matrix's.
OURS, LIMIT = "jacobians", "memory limit"
# Of what, and how many times as much as a rival's or as the result's it may be.
FROM_1E7, FROM_1E6, PEAK = "building, from 10⁷ nonzeros", "building, from 10⁶ nonzeros", "peak memory of building"
PRODUCTS, IMPORT = "matvec and rmatvec", "import"
GOALS = {
    FROM_1E7: ["time", 1.2],
    FROM_1E6: ["time", 2.5],
    PEAK: ["memory", 1.1],
    PRODUCTS: ["time", 1.5],
    IMPORT: ["time", 1.3],
}
# A rival is left out of a case that would take more seconds, by its time at the case before, or more GiB.
PATIENCE, MOST_GIB = 20, 2


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    sides: tuple
    builders: tuple
    networks: dict
    same: tuple
    gradcheck: Geometry
    seconds: float


NETWORKS = {"vgg-16": (3, 224, 224), "resnet-50": (3, 224, 224)}
BUILDERS = (
    (image_matrix, Geometry((64, 56, 56), (64, 64, 3, 3), padding=1)),
    (image_matrix, Geometry((64, 112, 112), (64, 64, 3, 3), padding=1)),
    (image_matrix, Geometry((64, 224, 224), (64, 64, 3, 3), padding=1)),
    (image_matrix, Geometry((3, 1200, 1200), (1, 3, 5, 5), stride=2, padding=2)),
    (image_matrix, Geometry((8, 200_000), (1, 8, 9))),
    (filter_matrix, Geometry((64, 56, 56), (64, 64, 3, 3), padding=1)),
    (filter_matrix, Geometry((64, 224, 224), (64, 64, 3, 3), padding=1)),
    (jacobian_wrt_image, Geometry((3, 32, 32), (64, 3, 3, 3), padding=1)),
    (jacobian_wrt_image, Geometry((64, 28, 28), (64, 64, 3, 3), padding=1)),
    (jacobian_wrt_image, Geometry((3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)),
    (jacobian_wrt_filters, Geometry((3, 32, 32), (64, 3, 3, 3), padding=1)),
    (jacobian_wrt_filters, Geometry((64, 28, 28), (64, 64, 3, 3), padding=1)),
)
LECTURE = Geometry((3, 32, 32), (4, 3, 5, 5))
# (3·side)² nonzeros.
FULL = Plan((3, 11, 33, 105, 333, 1054, 3333), BUILDERS, NETWORKS, ((334, 3), (1055, 3), (1055, 11)), LECTURE, 20)
QUICK = Plan((3, 11, 33), BUILDERS[:1], dict.fromkeys(NETWORKS, (3, 64, 64)), ((334, 3),), LECTURE, 1)
# Seconds of one case, except where rivals take long.
SHORT = 4

# name → what it builds, the module that it needs, and by which power of the nonzeros its time grows.
SCALING = {
    "scipy.sparse.kron": (rivals.nested_kron, "scipy", 1),
    "sparse-convolution": (rivals.toeplitz, "sparse_convolution", 1),
    "basis probing": (rivals.basis_probing, "torch", 2),
    "torch.func.jacrev": (rivals.jacrev, "torch", 2),
}


def scaling(plan):
    """The matrix ∂vec(S)/∂vec(X) of one plane and one filter of 3×3, from 10² nonzeros on, by all that builds it."""
    known = {}
    for side in plan.sides:
        geometry = rivals.full(side)
        F = draw(geometry.filters)
        matrix = jacobian_wrt_image(F, geometry)
        calls, missing = {OURS: partial(jacobian_wrt_image, F, geometry), LIMIT: partial(fill, matrix)}, {}
        for name, (build, module, power) in SCALING.items():
            reason = left_out(name, module, power, geometry, known)
            if reason:
                missing[name] = reason
            else:
                calls[name] = partial(build, F, geometry)
        seconds = race(calls, plan.seconds)
        known |= {name: (geometry.nonzeros, taken) for name, taken in seconds.items()}
        yield case(f"{side}×{side}", seconds, geometry, missing=missing)


def left_out(name, module, power, geometry, known):
    """Why a rival is not measured here; empty where it is."""
    if not rivals.installed(module):
        return "not installed"
    dense = geometry.positions * geometry.pixels * 8 / 2**30
    if name == "torch.func.jacrev" and dense > MOST_GIB:
        return f"{dense:,.0f} GiB"
    nonzeros, seconds = known.get(name, (geometry.nonzeros, 0))
    return f"over {PATIENCE} s" if seconds * (geometry.nonzeros / nonzeros) ** power > PATIENCE else ""


def builders(plan):
    """The matrices of layers of real networks, against allocating and filling arrays of the same sizes."""
    for build, geometry in plan.builders:
        of_image = build in {image_matrix, jacobian_wrt_filters}
        for dtype in ("float64", "float32"):
            operand = draw(geometry.image if of_image else geometry.filters, dtype)
            operand = operand[0] if build is filter_matrix else operand
            built = partial(build, operand, geometry)
            matrix = built()
            seconds = race({OURS: built, LIMIT: partial(fill, matrix)}, min(plan.seconds, SHORT))
            size = sum(part.nbytes for part in parts(matrix))
            goal = FROM_1E7 if matrix.nnz >= 10**7 else FROM_1E6
            goals = {goal: seconds[OURS] / seconds[LIMIT], PEAK: peak_bytes(built) / size}
            yield case(f"{build.__name__}, {dtype}", seconds, geometry, nonzeros=matrix.nnz, goals=goals)


def operators(plan):
    """Products of the operators with the Jacobian and its transpose, against PyTorch's, on one thread, in float32."""
    for network, image in plan.networks.items():
        first = {}  # of those that are alike
        for layer in models.layers(network, image):
            first.setdefault(layer.geometry, layer)
        for layer in first.values():
            yield from products(f"{network} {layer.name}", layer, min(plan.seconds, SHORT) / 2)


def products(name, layer, most):
    """Both products of one layer."""
    import torch

    A, (forward, backward) = layer.operator(), rivals.torch_products(layer.F, layer.geometry)
    X, G = draw(A.shape[1], "float32"), draw(A.shape[0], "float32")
    calls = {
        "matvec": {OURS: partial(A.matvec, X), "torch": partial(forward, torch.from_numpy(X))},
        "rmatvec": {OURS: partial(A.rmatvec, G), "torch": partial(backward, torch.from_numpy(G))},
    }
    for product, both in calls.items():
        seconds = race(both, most)
        goals = {PRODUCTS: seconds[OURS] / seconds["torch"]}
        yield case(f"{name}, {product}", seconds, layer.geometry, goals=goals)


def pylops(plan):
    """Products of the operator and of pylops' ConvolveND: one plane, one filter, stride 1, responses as the image."""
    for side, taps in plan.same:
        geometry = Geometry((1, side, side), (1, 1, taps, taps), padding=taps // 2)
        F, x = draw(geometry.filters), draw(geometry.pixels)
        multiplied = {OURS: layer_operator(F, geometry)}
        for method in ("direct", "fft"):
            multiplied[f"pylops, {method}"] = rivals.pylops_operator(F, geometry, method)
        for name in ("matvec", "rmatvec"):
            calls = {who: partial(getattr(each, name), x) for who, each in multiplied.items()}
            yield case(f"{side}×{side}, filter {taps}×{taps}, {name}", race(calls, min(plan.seconds, SHORT)), geometry)


def gradcheck(plan):
    """An audit of torch's conv2d at one layer, of which nothing is known before, and torch.autograd.gradcheck of it."""
    import torch

    conv2d, geometry = torch.nn.functional.conv2d, plan.gradcheck
    X, F = (torch.from_numpy(draw(shape)).requires_grad_() for shape in ((1, *geometry.image), geometry.filters))
    functions = from_torch(conv2d)

    def audited():
        forget()
        audit(*functions, geometries=[geometry]).check()

    calls = {
        OURS: audited,
        "gradcheck": partial(torch.autograd.gradcheck, conv2d, (X, F)),
        "gradcheck, fast_mode=True": partial(torch.autograd.gradcheck, conv2d, (X, F), fast_mode=True),
    }
    yield case("torch.nn.functional.conv2d", race(calls, plan.seconds, rounds=3), geometry)


def forget():
    """Empty all caches of the library."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == jacobians.__name__:
            for each in vars(module).values():
                if hasattr(each, "cache_clear"):
                    each.cache_clear()


def imports(plan):
    """``import jacobians`` in a fresh interpreter, against what it cannot do without, both from byte code."""
    bare = "numpy, scipy.sparse"
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        calls = {
            name: partial(subprocess.run, [sys.executable, "-c", f"import {modules}"], check=True, env=environment)
            for name, modules in ((OURS, "jacobians"), (bare, bare))
        }
        seconds = race(calls, plan.seconds, rounds=20)
    yield case("import jacobians", seconds, goals={IMPORT: seconds[OURS] / seconds[bare]})


# name → what measures it, and the modules that it needs
GROUPS = {
    "scaling": (scaling, ()),
    "builders": (builders, ()),
    "operators": (operators, ("torch",)),
    "pylops": (pylops, ("pylops",)),
    "gradcheck": (gradcheck, ("torch",)),
    "imports": (imports, ()),
}


def case(name, seconds, geometry=None, *, nonzeros=None, missing=None, goals=None):
    """A row of the record, in which each rival has its seconds or the reason why it is missing."""
    return {
        "case": name,
        "layer": "" if geometry is None else repr(geometry).removeprefix("Geometry"),
        "nonzeros": geometry.nonzeros if geometry and nonzeros is None else nonzeros,
        "seconds": seconds,
        "missing": missing or {},
        "goals": goals or {},
    }


def draw(shape, dtype="float64"):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def parts(matrix):
    return matrix.data, matrix.indices, matrix.indptr


def fill(matrix):
    return [np.full(part.size, 7, part.dtype) for part in parts(matrix)]
