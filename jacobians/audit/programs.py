"""Code that is called otherwise than an audit calls code, as the lines of Python that a person would write to call it.

They are what is run, and what a report prints. They may mend nothing: what is given is turned into another order of
axes only as what comes back is turned.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.attributes import given, turned
from jacobians.audit.cases import Only, Options, options
from jacobians.audit.layouts import PerLayer
from jacobians.audit.parameters import FORMS, Form
from jacobians.audit.surroundings import random_numbers_kept
from jacobians.errors import CallError
from jacobians.formula.layouts import SPATIAL, Order, parse, standard

__all__ = ["SIZES", "Asked", "Bound", "Called", "Context", "Program", "Wanted", "compiled"]

Array = npt.NDArray[Any]
Functions = Mapping[str, Any]

# Where lines that are run say that they are, which is a part of this package: what they raise is somebody else's line.
FILE = str(Path(__file__).with_name("lines"))
# Letters of the sizes of an image and of taps, by the number of axes.
SIZES = {1: ("w", "l"), 2: ("hw", "kl"), 3: ("zhw", "jkl")}


class Context:
    """What a forward pass that is a function of no object keeps its numbers in, as PyTorch's and minitorch's ctx."""

    def __init__(self) -> None:
        self.saved_tensors: tuple[Any, ...] = ()

    @property
    def saved_values(self) -> tuple[Any, ...]:
        """The same by another name."""
        return self.saved_tensors

    def save_for_backward(self, *values: Any) -> None:
        """Keep values."""
        self.saved_tensors = values


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What an audit was asked for; None for what nobody said."""

    stride: Any = None
    padding: Any = None
    dilation: Any = None
    groups: Any = None
    spatial_ndim: int = 2
    bias: bool | None = None
    dtype: Any = "float64"
    # The order of the axes, and whose arrays the code takes; empty where nobody said.
    layout: str | None = None
    framework: str = ""
    only: Only | None = None
    # Whether options that nobody said are left to the code, where it has them by default.
    leaves_defaults: bool = False

    def leaves(self, role: str, default: Any) -> bool:
        """Whether an option is left to the code."""
        left = self.leaves_defaults and getattr(self, role, "said") is None
        return left and default not in {None, inspect.Parameter.empty}

    def options(self, found: Mapping[str, Any], *, bias: bool) -> Options:
        """Return the options: those that were found, unless they contradict what was asked for, or the usual ones."""
        usual = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
        asked = {name: value for name in usual if (value := getattr(self, name)) is not None}
        more = {"spatial_ndim": self.spatial_ndim, "bias": bias, "dtype": self.dtype, "only": self.only}
        made = options(**{**usual, **found, **asked}, **more)
        for name, value in found.items():
            alone = options(**{**usual, name: value}, **more)
            if name in asked and getattr(alone, name) != getattr(made, name):
                raise CallError(
                    f"{name} is {asked[name]}, but the code under audit has {name} {value}; leave the option out, "
                    f"or make the code with {name}={asked[name]}"
                )
        return made


@dataclasses.dataclass(frozen=True, eq=False)
class Bound:
    """Functions as an audit calls them, the options that they were found to have, and what is worth telling of them."""

    functions: Functions
    options: Options
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Called(PerLayer):
    """One pass of code that is called by lines of Python."""

    # What the lines call, by name; those that make a layer, the others, and Python for what they have computed.
    names: Mapping[str, Any]
    make: tuple[str, ...]
    lines: tuple[str, ...]
    value: str
    gives: tuple[str, ...]
    options: Options
    # Whether F and ∂l/∂F are those of an object's attributes, with an order of axes of their own.
    kept: bool = False
    # The layout in which a report writes X, F and S; empty where planes come first.
    axes: str = ""

    def __call__(self, *arrays: Array) -> Any:
        """Call the code at the layer of these arrays."""
        return self.at(arrays[0].shape, arrays[1].shape, parse(standard(self.options.spatial_ndim)))(*arrays)

    def at(self, X: tuple[int, ...], F: tuple[int, ...], orders: Mapping[str, Order]) -> Callable[..., Any]:
        """Return the code as it is called at a layer, with X and F of these shapes planes first."""
        variables = self.variables(X, F, orders)

        def function(*arrays: Array) -> Any:
            letters = _letters(self.gives, len(arrays))
            space = {**variables, **self.names, "np": np, **dict(zip(letters, arrays, strict=True))}
            if self.kept:
                space["F"] = orders["F"].take("F", space["F"], F)
            with random_numbers_kept():  # weights are drawn, and replaced
                exec(compiled("\n".join(self.make), "exec"), space)
            exec(compiled("\n".join(self.lines), "exec"), space)
            value = eval(compiled(self.value, "eval"), space)
            if self.kept and len(self.gives) > 1 and isinstance(value, tuple):
                value = (value[0], orders["F"].give(np.asarray(value[1])), *value[2:])
            return value

        return function

    def variables(self, X: tuple[int, ...], F: tuple[int, ...], orders: Mapping[str, Order]) -> dict[str, Any]:
        """Return the sizes of a layer by their letters."""
        batched = "N" in orders["X"].letters
        image = X[1:] if batched else X
        of_image, of_taps = SIZES[self.options.spatial_ndim]
        found = {"N": X[0] if batched else 1, "d": image[0], "n": F[0]}
        found |= dict(zip(of_image, image[1:], strict=True)) | dict(zip(of_taps, F[2:], strict=True))
        sizes = dict(zip("C" + SPATIAL[-len(of_image) :], image, strict=True))
        ordered = [letter for axis in orders["X"].axes for letter in axis if letter != "N"]
        pads = self.options.zeros(F[2:], image[1:])
        return {**found, "image": tuple(sizes[each] for each in ordered), "padding": _pads(pads)}

    @property
    def shown(self) -> tuple[str, ...]:
        """The lines, without what they check."""
        lines = [line for line in (*self.make, *self.lines) if not line.startswith("assert ")]
        return (*lines, f"{', '.join(self.gives)} = {self.value}")

    @property
    def text(self) -> str:
        """Python that defines the pass as a function of arrays, in the axes of a report, by the name of ``NAME``."""
        letters = ["X", "F", *(["b"] if self.options.bias else []), *(["G"] if len(self.gives) > 1 else [])]
        make, value = self.make, self.value
        orders = parse(self.axes or standard(self.options.spatial_ndim))
        if self.kept and self.axes:
            # F is then in the order of the attribute that it is put into.
            order = orders["F"].part
            make = tuple(line.replace(given("F", order), "F") for line in make)
            value = value.replace(given("F", order), "F")
            if back := turned("", "", order, "F")[0]:
                value = value.replace(back, "")
        body = [*self._sizes(orders), *make, *self.lines, f"return {value}"]
        lines = [*map(_imported, self.names, self.names.values()), f"def NAME({', '.join(letters)}):"]
        return "\n".join([*lines, *(f"    {line}" for line in body)])

    def _sizes(self, orders: Mapping[str, Order]) -> list[str]:
        """Write the sizes of a layer, as far as they are those of axes."""
        spatial = SPATIAL[-self.options.spatial_ndim :]
        of_image, of_taps = (dict(zip(spatial, each, strict=True)) for each in SIZES[self.options.spatial_ndim])
        names = {"X": {"N": "N", "C": "d", **of_image}, "F": {"O": "n", "I": "_", **of_taps}}
        lines = [
            f"{', '.join(names[letter][each] for each in orders[letter].axes)} = {letter}.shape"
            for letter in "XF"
            if max(map(len, orders[letter].axes)) == 1
        ]
        image = [names["X"][each] for each in "".join(orders["X"].axes) if each != "N"]
        missing = [] if "N" in orders["X"].letters else ["N = 1"]
        return [*lines, *missing, f"image = ({', '.join(image)})"]

    def source(self, name: str, arrays: Mapping[str, Array]) -> str:
        """Return Python that defines the pass."""
        del arrays
        return self.text.replace("NAME", name)


def _imported(name: str, what: Any) -> str:
    """Write where something that lines call comes from, if that is known."""
    if inspect.ismodule(what):
        return f"import {what.__name__}"
    module, called = getattr(what, "__module__", None), getattr(what, "__qualname__", "")
    if module in {None, "", "__main__", "functools"} or not called.isidentifier():
        return f"# {name} is the code under audit"
    return f"from {module} import {called}" + (f" as {name}" if called != name else "")


@functools.lru_cache(maxsize=256)
def compiled(text: str, mode: str) -> Any:
    """Compile Python of this package."""
    return compile(text, FILE, mode)


def _letters(gives: Sequence[str], count: int) -> list[str]:
    last = ["G"] if len(gives) > 1 else []
    return ["X", "F", *["b"] * (count - 2 - len(last)), *last]


def _pads(pads: Sequence[tuple[int, int]]) -> Any:
    """Write padding as one number, one per axis, or pairs, as little as says it."""
    if any(before != after for before, after in pads):
        return tuple(pads)
    before = tuple(each for each, _ in pads)
    return before[0] if len(set(before)) == 1 else before


# what is filled in ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """The code, what was asked for, and how it is called in one try."""

    forward: Any
    backward: Any
    wanted: Wanted
    options: Options
    layout: str = ""
    form: Form = FORMS[0]
    b: str = "b"
    rate: str = "1"

    def filled(self, role: str, default: Any) -> str | None:
        """Return Python for what a parameter is for; None where that is left out."""
        if self.wanted.leaves(role, default):
            return None
        _, of_taps = SIZES[self.options.spatial_ndim]
        several = f"({', '.join(of_taps)}{',' * (len(of_taps) == 1)})"
        known = {
            "planes": "d",
            "filters": "n",
            "taps": several if self.wide(default, taps=True) else of_taps[-1],
            "rows of taps": of_taps[0],
            "columns of taps": of_taps[-1],
            "filter shape": f"(d, {', '.join(of_taps)})",
            "image shape": "image",
            "images": "N",
            "bias": str(self.options.bias),
            "rate": self.rate,
            "groups": str(self.options.groups),
            "F": "F",
            "b": self.b,
        }
        if role in {"stride", "dilation"}:
            steps = getattr(self.options, role)
            # Some count the gaps between taps.
            gaps = role == "dilation" and default == 0
            return self._per_axis([each - gaps for each in steps], default)
        if role == "padding":
            return self._padding(default)
        if role == "options":
            stride, padding = self._per_axis(self.options.stride, None), self._padding(None)
            others = {"dilation": self._per_axis(self.options.dilation, None), "groups": known["groups"]}
            usual = {"stride": stride, "pad": padding, "padding": padding, **others}
            return "{" + ", ".join(f"'{name}': {text}" for name, text in usual.items()) + "}"
        return known.get(role)

    @property
    def uneven(self) -> bool:
        """Whether options differ by axis, or before and after, which not all code takes."""
        of = self.options
        pads = {each for pair in of.padding or () for each in pair}
        return max(len(set(of.stride)), len(set(of.dilation)), len(pads)) > 1

    def wide(self, default: Any, *, taps: bool = False) -> bool:
        """Whether numbers that are alike on all axes are written as a tuple."""
        if isinstance(default, tuple | list):
            return True
        return (self.form.taps if taps else self.form.options) and not isinstance(default, int)

    def _per_axis(self, numbers: Sequence[int], default: Any) -> str:
        alike = len(set(numbers)) == 1 and not self.wide(default)
        return str(numbers[0] if alike else tuple(numbers))

    def _padding(self, default: Any) -> str:
        pads = self.options.padding
        if isinstance(default, str):
            word = "same" if pads is None else "valid" if not np.any(pads) else ""
            if word:
                return repr(word.upper() if default.isupper() else word)
        if pads is None:
            return "padding"
        pairs = isinstance(default, tuple | list) and len(default) > 0 and isinstance(default[0], tuple | list)
        if pairs or any(before != after for before, after in pads):
            return str(tuple(pads))
        return self._per_axis([before for before, _ in pads], default)


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """One way to call code: lines that make what is called, what the passes are, and where results are."""

    asked: Asked
    names: dict[str, Any]
    # Lines that make a layer with its weights, and Python for both calls; that of backward may be a `cache` of forward.
    make: tuple[str, ...]
    run: str
    pull: str = ""
    # Where the weights are, and in which order of axes.
    weights: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    # Python for S of what forward returned.
    taken: str = ""
    # Python for the gradients; empty where backward returns them as an audit needs them.
    found: Mapping[str, str] = dataclasses.field(default_factory=dict)
    checks: tuple[str, ...] = ()
    # Whether a gradient is read off the update of a weight.
    updates: bool = False
    # How good its responses are: 2 right, 1 of the right shape, 0 none.
    level: int = 0
    error: str = ""

    @property
    def caches(self) -> bool:
        """Whether backward takes what forward returned besides S."""
        return "cache" in self.pull

    def passes(self) -> dict[str, Called | None]:
        """Return both passes."""
        of, kept = self.asked.options, bool(self.weights)
        gives = ("dX", "dF", "db") if of.bias else ("dX", "dF")
        forward = Called(self.names, self.make, (), self.run + self.taken, ("S",), of, kept) if self.run else None
        if not self.pull:
            return {"forward": forward, "backward": None}
        lines = [f"S, cache = {self.run}"] if self.caches else [f"S = {self.run}"] if self.make else []
        value = self.pull
        if self.found:
            lines += [f"gradients = {self.pull}", *self.checks]
            value = f"({', '.join(self.found[name] for name in gives)})"
        return {"forward": forward, "backward": Called(self.names, self.make, tuple(lines), value, gives, of, kept)}
