"""A loop nest with mistakes: every product of one result at one layer, as arrays of indices.

The zoo's own plain executor. Without a mistake it is the triple sum of L1 and its gradients, written from the lecture;
it knows neither `Geometry` nor the matrices. A mistake changes the nest at one of its stages:

    steps, sizes → build → ranges, maps, border, orders, factors → winner → scale → added → after
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

# Factors of each result, and the array whose indices collect the products.
FACTORS = {"S": ("X", "F"), "dX": ("G", "F"), "dF": ("X", "G"), "db": ("G",)}
TARGET = {"S": "G", "dX": "X", "dF": "F", "db": "b"}


@dataclass(frozen=True)
class Sizes:
    """One layer's sizes, taken from the shapes of its arrays, and the options."""

    images: int
    groups: int
    planes: int  # of one group
    filters: int  # of one group
    image: tuple[int, ...]
    taps: tuple[int, ...]
    out: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]

    @property
    def axes(self):
        return len(self.image)

    @property
    def extent(self):
        return tuple((k - 1) * step + 1 for k, step in zip(self.taps, self.dilation, strict=True))

    @property
    def padded(self):
        return tuple(size + sum(zeros) for size, zeros in zip(self.image, self.padding, strict=True))

    @property
    def tail(self):
        rows = zip(self.padded, self.out, self.stride, self.extent, strict=True)
        return tuple(size - (count - 1) * step - extent for size, count, step, extent in rows)

    @property
    def shapes(self):
        n, d = self.groups * self.filters, self.groups * self.planes
        return {
            "X": (self.images, d, *self.image),
            "F": (n, self.planes, *self.taps),
            "G": (self.images, n, *self.out),
            "b": (n,),
        }


def sizes_of(X, F, *, stride, padding, dilation, groups):
    """Sizes of the layer that these arrays make."""
    image, taps = X.shape[2:], F.shape[2:]
    out = [
        (size + sum(zeros) - (k - 1) * spacing - 1) // step + 1
        for size, zeros, k, spacing, step in zip(image, padding, taps, dilation, stride, strict=True)
    ]
    return Sizes(len(X), groups, F.shape[1], len(F) // groups, image, taps, tuple(out), stride, padding, dilation)


@dataclass
class Nest:
    """All products of one result at one layer.

    Before `build`: what the loops count (`count`), the equation of every axis (`step`, `spacing`, `start`) and the
    result's shape. After it: loop variables (`at`), the index of every product in each array (`index`), its
    coefficient, and which products take part (`keep`).
    """

    sizes: Sizes
    result: str
    count: dict[str, int] = field(default_factory=dict)
    at: dict[str, np.ndarray] = field(default_factory=dict)
    index: dict[str, list[np.ndarray]] = field(default_factory=dict)
    # Loops that go one step too far, and which entry of F, G and the planes they take there.
    further: dict[str, Callable] = field(default_factory=dict)
    ones: set[str] = field(default_factory=set)
    scale: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    added: list[Callable] = field(default_factory=list)
    after: list[Callable] = field(default_factory=list)
    # What is added to S of this shape, from b.
    bias: Callable | None = None

    def __post_init__(self):
        z = self.sizes
        self.count = {"n": z.images, "i": z.groups * z.filters}
        self.count |= {f"l{axis}": size for axis, size in enumerate(z.out)}
        if self.result != "db":
            self.count |= {"q": z.planes, **{f"a{axis}": size for axis, size in enumerate(z.taps)}}
            self.count |= {f"r{axis}": 1 for axis in range(z.axes)}
        self.step, self.spacing = list(z.stride), list(z.dilation)
        self.before, self.behind = ([zeros[side] for zeros in z.padding] for side in (0, 1))
        self.offset = [0] * z.axes
        self.shape = list(z.shapes[TARGET[self.result]])

    def build(self):
        names = list(self.count)
        grids = np.indices([max(0, each) for each in self.count.values()], np.int64)
        self.at = dict(zip(names, grids.reshape(len(names), -1), strict=True))
        at, axes = self.at, range(self.sizes.axes)
        self.coefficient = np.ones(len(at["n"]), np.int64)
        self.keep = np.ones(len(at["n"]), bool)
        take = {name: self.further.get(name, lambda each: each)(each) for name, each in at.items()}
        self.index = {"G": [take["n"], take["i"], *(take[f"l{axis}"] for axis in axes)], "b": [take["i"]]}
        if self.result != "db":
            plane = take["i"] // self.sizes.filters * self.sizes.planes + take["q"]
            pixel = [
                self.step[axis] * at[f"l{axis}"]
                + self.spacing[axis] * at[f"a{axis}"]
                + (self.offset[axis] - self.before[axis] + at[f"r{axis}"])
                for axis in axes
            ]
            self.index |= {
                "X": [take["n"], plane, *pixel],
                "F": [take["i"], take["q"], *(take[f"a{axis}"] for axis in axes)],
            }

    def shape_of(self, array):
        """Shape of an array of the nest: of the result, the one it is given."""
        return tuple(self.shape) if array == TARGET[self.result] else self.sizes.shapes[array]

    def used(self):
        return [*FACTORS[self.result], TARGET[self.result]]

    def settle(self):
        """Leave out the products that read or write outside of an array."""
        for array in self.used():
            for index, size in zip(self.index[array], self.shape_of(array), strict=True):
                self.keep &= (index >= 0) & (index < size)
        self.at = {name: each[self.keep] for name, each in self.at.items()}
        self.index = {array: [each[self.keep] for each in indices] for array, indices in self.index.items()}
        self.coefficient, self.keep = self.coefficient[self.keep], self.keep[self.keep]

    def flat(self, array):
        """Index of every product in the flattened array."""
        shape = self.shape_of(array)
        found = np.zeros(len(self.coefficient), np.int64)
        for index, size in zip(self.index[array], shape, strict=True):
            found = found * size + index
        return found


@dataclass
class Plan:
    """A nest, ready to sum: flat indices, and what is done to the sums."""

    nest: Nest
    factors: dict[str, np.ndarray]
    target: np.ndarray
    coefficient: np.ndarray

    @property
    def is_exact(self):
        """Whether integers give numbers that do not round, short of sums that are too long."""
        return all(_powers_of_two(bottom) for _, bottom in self.nest.scale)

    @property
    def terms(self):
        """Products in the longest sum."""
        return int(np.bincount(self.target, np.abs(self.coefficient), 1).max())

    def run(self, arrays, *, absolute=False):
        """Sum the products of these arrays; absolute: Σ|terms|, where the arrays are absolute values."""
        nest, kind = self.nest, np.result_type(*arrays.values())
        wide = np.dtype(np.int64 if kind.kind in "iu" else np.float64)
        arrays = {name: np.ascontiguousarray(each, wide) for name, each in arrays.items()}
        terms = (np.abs(self.coefficient) if absolute else self.coefficient).astype(wide)
        for name, flat in self.factors.items():
            terms = terms * arrays[name].reshape(-1)[flat]
        shape = tuple(max(0, size) for size in nest.shape)
        if wide.kind == "f":
            result = np.bincount(self.target, terms, math.prod(shape)).reshape(shape)
        else:
            result = np.zeros(math.prod(shape), wide)
            np.add.at(result, self.target, terms)
            result = result.reshape(shape)
        for top, bottom in nest.scale:
            result = result * (np.abs(top) if absolute else top) / bottom
        for add in nest.added:
            result = add(result, arrays, nest.sizes, absolute)
        for change in nest.after:
            result = change(result)
        return np.ascontiguousarray(result, kind)


def plan_of(nest):
    """What is left to do once all mistakes are made."""
    target = TARGET[nest.result]
    factors = {array: nest.flat(array) for array in FACTORS[nest.result] if array not in nest.ones}
    return Plan(nest, factors, nest.flat(target), nest.coefficient)


def _powers_of_two(numbers):
    return bool(np.all(np.frexp(np.asarray(numbers, float))[0] == 0.5))
