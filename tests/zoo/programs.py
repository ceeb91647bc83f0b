"""Programs of a few mistakes, drawn so that every one of them matters."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jacobians import Geometry
from tests.zoo import mistakes as made
from tests.zoo.nest import FACTORS, TARGET, Nest, plan_of, sizes_of

RESULTS = ("S", "dX", "dF", "db")
# How often each is the wrong one: ∂l/∂b has few ways to be.
SHARES = (0.3, 0.35, 0.28, 0.07)


@dataclass(frozen=True)
class Layer:
    """A layer and a number of images."""

    geometry: Geometry
    images: int

    def draw(self, seed: int = 0, magnitude: int = 9) -> dict[str, np.ndarray]:
        """Integers in float64, by the letters X, F, b and G; none is 0."""
        rng = np.random.default_rng((seed, *self.geometry.image, *self.geometry.filters, self.images))
        g = self.geometry
        shapes = {"X": (self.images, *g.image), "F": g.filters, "b": g.filters[:1], "G": (self.images, *g.responses)}
        return {
            letter: (rng.integers(1, magnitude + 1, shape) * rng.choice([-1, 1], shape)).astype(float)
            for letter, shape in shapes.items()
        }


@dataclass(frozen=True)
class Program:
    """A convolution of which one result is wrong.

    Attributes
    ----------
    options : dict
        stride, padding, dilation, groups, spatial_ndim and bias: the arguments of `jacobians.audit`.
    result : str
        S, dX, dF or db: the one that is wrong.
    mistakes : tuple of str
        In words.
    """

    options: dict[str, Any]
    result: str
    made: tuple[made.Mistake, ...]

    @property
    def mistakes(self) -> tuple[str, ...]:
        return tuple(each.text for each in self.made)

    def forward(self, X, F, b=None):
        return self._run("S", X=X, F=F, b=b)

    def backward(self, X, F, *rest):
        *b, G = rest
        given = {"X": X, "F": F, "b": b[0] if b else None, "G": G}
        results = ("dX", "dF", "db") if self.options["bias"] else ("dX", "dF")
        return tuple(self._run(result, **given) for result in results)

    def value(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """What the program gives for the result that is wrong, from X, F, b and G."""
        return self._run(self.result, **arrays)

    def magnitude(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Σ|terms| of every entry of that result: what bounds how far it rounds."""
        return self._run(self.result, absolute=True, **{name: np.abs(each) for name, each in arrays.items()})

    def is_exact(self, layer: Layer) -> bool:
        """Whether integers give numbers that do not round there."""
        return self._plan(self.result, self._sizes(**layer.draw())).is_exact

    def terms(self, layer: Layer) -> int:
        """Products in the longest sum of that result."""
        return self._plan(self.result, self._sizes(**layer.draw())).terms

    def layers(self, kind: str) -> tuple[Layer, ...]:
        """Layers of the program's options: "small" ones, or "large" ones of other sizes."""
        return layers(kind, **{name: value for name, value in self.options.items() if name != "bias"})

    def without(self, number: int) -> "Program":
        """The same program without one of its mistakes."""
        return Program(self.options, self.result, self.made[:number] + self.made[number + 1 :])

    def _sizes(self, X, F, **others):
        names = ("stride", "padding", "dilation", "groups")
        return sizes_of(X, F, **{name: self.options[name] for name in names})

    def _run(self, result, *, absolute=False, **arrays):
        given = {name: np.asarray(each) for name, each in arrays.items() if each is not None}
        return self._plan(result, self._sizes(**given)).run(self._needed(result, given), absolute=absolute)

    def _needed(self, result, given):
        used = {*FACTORS[result], *({"b"} if result == "S" and self.options["bias"] else ())}
        # What is added to a result is another array.
        used |= {name for name in ("X", "F", "b", "G") if result == self.result and name in given}
        return {name: each for name, each in given.items() if name in used}

    @functools.cached_property
    def _plans(self) -> Callable:
        return functools.lru_cache(maxsize=48)(self._make)

    def _plan(self, result, sizes):
        return self._plans(result, sizes)

    def _make(self, result, sizes):
        changes = [each for each in self.made if result == self.result]
        nest = Nest(sizes, result)
        if result == "S" and self.options["bias"]:
            nest.bias = lambda b, shape: made.along(b, 1, shape)
        for each in _at(changes, made.STEPS, made.STEPS):
            each.change(nest)
        nest.build()
        for each in _at(changes, made.RANGES, made.BORDER):
            each.change(nest)
        nest.settle()
        for each in _at(changes, made.ORDERS, made.AFTER):
            each.change(nest)
            if each.stage == made.WINNER:
                nest.settle()
        if nest.bias:
            nest.added.insert(0, _bias(nest.bias))
        return plan_of(nest)


def _bias(rule):
    def add(result, arrays, sizes, absolute):
        found = rule(arrays["b"], result.shape) if result.size else None
        if found is None:
            return result
        return result + (np.abs(found) if absolute else found)

    return add


def _at(changes, first, last):
    return sorted((each for each in changes if first <= each.stage <= last), key=lambda each: each.stage)


# drawing --------------------------------------------------------------------------------------------------------------


def programs(count_mistakes: int, seed: int) -> Program:
    """Draw a program with so many mistakes, each of which changes what the others make of it.

    Parameters
    ----------
    count_mistakes : int
        1, 2 or 3.
    seed : int
        The same program for the same seed.

    Returns
    -------
    Program
        Wrong at one of its small layers at least, and without any one of its mistakes another program.
    """
    rng = np.random.default_rng((seed, count_mistakes, 20))
    while True:
        result = str(rng.choice(RESULTS, p=SHARES))
        options = draw_options(rng, result)
        draw = made.Draw(
            rng,
            result,
            options["spatial_ndim"],
            *(options[name] for name in made.Draw.__annotations__ if name in options),
        )
        found: dict[str, made.Mistake] = {}
        while len(found) < count_mistakes:
            each = made.mistake(draw)
            found.setdefault(each.slot, each)
        program = Program(options, result, tuple(sorted(found.values(), key=lambda each: each.stage)))
        if _every_mistake_matters(program):
            return program


def _every_mistake_matters(program):
    for number in range(len(program.made)):
        if _same(program, program.without(number)):
            return False
    return not _same(program, Program(program.options, program.result, ()))


def _same(program, other):
    for layer in program.layers("small"):
        arrays = layer.draw()
        mine, theirs = program.value(arrays), other.value(arrays)
        if mine.shape != theirs.shape or not np.array_equal(mine, theirs):
            return False
    return True


def draw_options(rng: np.random.Generator, result: str) -> dict[str, Any]:
    """Draw what a program is fixed to."""
    axes = int(rng.choice((1, 2, 3), p=(0.2, 0.65, 0.15)))

    def per_axis(values, shares):
        return tuple(int(each) for each in rng.choice(values, axes, p=shares))

    zeros = rng.choice((0, 1, 2, 3), (axes, 2), p=(0.4, 0.35, 0.2, 0.05))
    return {
        "stride": per_axis((1, 2, 3), (0.45, 0.4, 0.15)),
        "padding": tuple((int(before), int(behind)) for before, behind in zeros),
        "dilation": per_axis((1, 2, 3), (0.55, 0.35, 0.1)),
        "groups": int(rng.choice((1, 2, 3, 4), p=(0.5, 0.3, 0.1, 0.1))),
        "spatial_ndim": axes,
        "bias": bool(result == "db" or rng.random() < 0.4),
    }


# layers ---------------------------------------------------------------------------------------------------------------

# Images, planes and filters of a group, then taps, responses and tail of each of three axes.
SMALL = (
    (2, 2, 3, (2, 3, 2), (3, 2, 2), (1, 0, 1)),
    (3, 3, 2, (3, 2, 1), (2, 4, 3), (0, 1, 0)),
    (2, 5, 4, (1, 2, 2), (3, 3, 1), (2, 0, 0)),
    (4, 1, 5, (3, 3, 1), (2, 3, 2), (0, 2, 1)),
    (2, 1, 1, (2, 4, 2), (9, 5, 3), (0, 1, 0)),
    (3, 2, 1, (4, 1, 3), (5, 11, 2), (1, 0, 2)),
    (5, 1, 2, (1, 3, 1), (7, 2, 3), (1, 1, 0)),
)
LARGE = {
    1: (
        (3, 3, 2, (4,), (37,), (1,)),
        (2, 7, 5, (3,), (13,), (0,)),
        (5, 2, 3, (7,), (23,), (2,)),
    ),
    2: (
        (2, 2, 2, (3, 4), (17, 13), (1, 0)),
        (3, 5, 6, (2, 3), (5, 6), (0, 2)),
        (2, 3, 2, (5, 3), (7, 19), (2, 1)),
    ),
    3: (
        (2, 2, 2, (2, 3, 2), (7, 5, 6), (1, 0, 1)),
        (3, 5, 4, (1, 2, 3), (3, 4, 2), (0, 1, 0)),
        (2, 1, 2, (3, 2, 4), (5, 7, 3), (2, 0, 1)),
    ),
}


def layers(kind, *, stride, padding, dilation, groups, spatial_ndim):
    """Layers of some options, of sizes that differ in everything."""
    rows = SMALL if kind == "small" else LARGE[spatial_ndim]
    found = []
    for images, planes, filters, *patterns in rows:
        taps, out, tail = (pattern[:spatial_ndim] for pattern in patterns)
        image = []
        for k, count, rest, step, (before, behind), spacing in zip(
            taps, out, tail, stride, padding, dilation, strict=True
        ):
            size = (count - 1) * step + (k - 1) * spacing + 1 + min(rest, step - 1) - before - behind
            # More responses, where the padding holds them all.
            image.append(size + step * max(0, -(-(2 - size) // step)))
        geometry = Geometry(
            (groups * planes, *image),
            (groups * filters, planes, *taps),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
        found.append(Layer(geometry, images))
    return tuple(found)


assert set(TARGET) == set(RESULTS)
