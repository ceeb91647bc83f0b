"""One call of somebody's code at one small layer, to see how it is called and where it leaves its gradients."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import sums
from jacobians.audit.attributes import leaf, turned, walked
from jacobians.audit.cases import Case
from jacobians.audit.numbers import ConvolutionProbe, integers
from jacobians.audit.parameters import role_of
from jacobians.audit.programs import Asked, Called, Program, compiled
from jacobians.audit.subject import told
from jacobians.errors import CallError, ShapeError
from jacobians.formula.layouts import parse, standard

__all__ = ["RIGHT", "completed", "first", "space_of", "telling", "tried"]

Array = npt.NDArray[Any]
Places = list[tuple[str, tuple[int, ...]]]

# How good responses are: right, or of the right shape alone.
RIGHT, FITTING = 2, 1
# A layer to call once: images, planes and filters of a group, taps and responses.
TELLING = (2, 3, 5, (2, 4, 6), (3, 5, 4))
SQUARE = (3, 3, 3)


def first(returned: Any) -> Any:
    """Return S where something is returned besides it."""
    return returned[0] if isinstance(returned, tuple) and returned else returned


def telling(asked: Asked) -> Case:
    """Return the layer at which code is called once: no two axes of X, and none of F but square taps, are alike."""
    images, planes, filters, several, out = TELLING
    count = asked.options.spatial_ndim
    taps = several[-count:] if asked.form.taps else SQUARE[-count:]
    for more in range(1, 60):
        sizes = [each + more for each in out[-count:]]
        case = asked.options.case(images, planes, filters, taps, sizes, (0,) * count)
        if case is not None:
            return case
    raise ShapeError(f"{asked.options} has no small layer")


def space_of(asked: Asked, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return what lines are run in at the layer that tells: names, sizes, and arrays in the layout of the try."""
    probe, orders = _probe(asked), parse(asked.layout or standard(asked.options.spatial_ndim))
    shapes, batched = probe.case.shapes, "N" in orders["X"].letters
    first = Called(names, (), (), "", ("S",), asked.options)
    X, G = (probe.arrays[letter] if batched else probe.arrays[letter][0] for letter in "XG")
    arrays = {"X": orders["X"].give(X), "F": orders["F"].give(probe.F), "b": probe.b, "G": orders["S"].give(G)}
    variables = first.variables(X.shape, shapes["F"], orders)
    return {**variables, **names, "np": np, **arrays, "F as is": probe.F}


def _probe(asked: Asked) -> ConvolutionProbe:
    return integers(telling(asked), asked.options, 3, np.random.default_rng(3))


def tried(program: Program) -> Program:
    """Call forward once, and see what it returns."""
    asked = program.asked
    if not program.run:
        return program
    space = space_of(asked, program.names)
    if program.weights:
        space["F"] = space["F as is"]
    try:
        exec(compiled("\n".join(program.make), "exec"), space)
        returned = eval(compiled(program.run, "eval"), space)
    except Exception as error:  # whatever the code raises
        return dataclasses.replace(program, error=told(error), taken="[0]" if program.caches else "")
    taken = "[0]" if isinstance(returned, tuple) and len(returned) > 1 else ""
    probe, orders = _probe(asked), parse(asked.layout or standard(asked.options.spatial_ndim))
    right = sums.expected(probe, backward=False)["S"]
    right = right if "N" in orders["X"].letters else right[0]
    S = first(returned) if taken else returned
    wanted = orders["S"].give(right)
    level = 0
    if isinstance(S, np.ndarray) and S.shape == wanted.shape:
        level = RIGHT if np.array_equal(S, wanted) else FITTING
    return dataclasses.replace(program, taken=taken, level=level)


def completed(program: Program) -> Program:
    """Call backward once, and find the gradients by their shapes in what it returns and in what it has changed."""
    if not program.pull or not (program.caches or program.make):
        return program
    for form in dict.fromkeys((program.asked.form, dataclasses.replace(program.asked.form, taps=False))):
        # What raises there may be right where filters are square.
        asked = dataclasses.replace(program.asked, form=form)
        try:
            places, shapes, rates = _pulled(program, asked)
        except Exception:  # the audit says it
            continue
        found = _placed(program, places, shapes, rates)
        if found.updates and not _has_rate(found):
            _check_update(found, asked)
        return found
    return program


def _called(program: Program, asked: Asked) -> dict[str, Any]:
    """Call forward; return what there is then, by its names."""
    space = space_of(asked, program.names)
    if program.weights:
        space["F"] = space["F as is"]
    lines = [*program.make, f"S, cache = {program.run}" if program.caches else f"S = {program.run}"]
    exec(compiled("\n".join(lines), "exec"), space)
    return space


def _pulled(program: Program, asked: Asked) -> tuple[Places, dict[str, tuple[int, ...]], list[str]]:
    """Call both passes; return where gradients may be, the shapes that they should have, and learning rates."""
    space = _called(program, asked)
    layer = space.get("layer")
    before = {path: each.copy() for path, each in walked(layer)}
    gradients = eval(compiled(program.pull, "eval"), space)
    shapes = {"dX": np.shape(space["X"]), "dF": np.shape(space["F"]), "db": np.shape(space["b"])}
    if asked.b != "b":
        shapes["db"] = eval(compiled(f"np.shape({asked.b})", "eval"), space)
    for letter, (path, _) in program.weights.items():
        shapes[f"d{letter}"] = before[path].shape
    numbers = [name for name, each in getattr(layer, "__dict__", {}).items() if isinstance(each, int | float)]
    rates = [f"layer.{name}" for name in numbers if role_of(name, "sizes") == "rate"]
    return _returned(gradients) + _changed(layer, before), shapes, rates


def _returned(gradients: Any) -> Places:
    """List Python for what backward returned, with shapes."""
    if isinstance(gradients, dict):
        return [(f"gradients[{name!r}]", np.shape(each)) for name, each in gradients.items()]
    if isinstance(gradients, tuple | list):
        return [(f"gradients[{at}]", np.shape(each)) for at, each in enumerate(gradients)]
    return [("gradients", np.shape(gradients))] if gradients is not None else []


def _changed(layer: Any, before: Mapping[str, Array]) -> Places:
    """List attributes that backward has made or changed, with shapes."""
    return [
        (f"layer{path}", each.shape)
        for path, each in walked(layer)
        if path not in before or not np.array_equal(each, before[path])
    ]


def _placed(program: Program, places: Places, shapes: Mapping[str, tuple[int, ...]], rates: Sequence[str]) -> Program:
    """Take each gradient from where something has its shape: returned before kept, and what is called a gradient."""
    found: dict[str, str] = {}
    checks = []
    for name in ("dX", "dF", "db") if program.asked.options.bias else ("dX", "dF"):
        own = program.weights.get(name[1:], ("", ""))[0]
        fit = [text for text, shape in places if shape == shapes[name] and text not in {f"layer{own}", *found.values()}]
        fit = [text for text in fit if text.startswith("gradients")] or sorted(
            fit, key=lambda text: -_likely(text, own)
        )
        if fit:
            found[name] = fit[0]
        elif own and f"layer{own}" in dict(places):
            program, text = _updated(program, own, rates)
            found[name] = text
        else:
            named_so = [text for text, _ in places if own and _likely(text, own) > 1]
            if not named_so:
                return program if program.caches or not program.weights else _without(name, places)
            found[name] = named_so[0]
    for name, letter in (("dF", "F"), ("db", "b")):
        if name not in found:
            continue
        own, order = program.weights.get(letter, ("", ""))
        place = found[name]
        if order:
            found[name], check = turned(place, f"layer{own}", order, letter)
            checks += check
        elif name == "db" and program.asked.b != "b":
            found[name] = f"{place}.reshape(-1)"
            checks.append(
                f"assert np.shape({place}) == np.shape({program.asked.b}), 'the shape of ∂l/∂b is not that of b'"
            )
    return dataclasses.replace(program, found=found, checks=tuple(checks))


def _likely(text: str, own: str) -> int:
    """Say how much the name of an attribute looks like that of the gradient of another."""
    name, weight = leaf(text).lower(), leaf(own).lower()
    return ("grad" in text.lower() or name.startswith("d")) + (weight in name) * bool(weight)


def _updated(program: Program, own: str, rates: Sequence[str]) -> tuple[Program, str]:
    """Read a gradient off the update of a weight, at a learning rate of 1 where the code has one."""
    line = next(line for line in program.make if line.startswith(f"layer{own} = "))
    value = line.partition(" = ")[2]
    make = tuple(f"layer{own} = np.array({value})" if each == line else each for each in program.make)
    make += tuple(line for rate in rates if (line := f"{rate} = {program.asked.rate}") not in make)
    dtype = program.asked.options.dtype
    if dtype in {"float16", "bfloat16"}:
        raise CallError(
            f"backward changes layer{own} and keeps no gradient. In {dtype} the change is rounded, so that ∂l/∂F "
            "cannot be computed from it: audit the layer in float32 or float64"
        )
    return dataclasses.replace(program, make=make, updates=True), f"({value} - layer{own})"


def _without(name: str, places: Places) -> Program:
    changed = ", ".join(f"{text} {shape}" for text, shape in places) or "nothing"
    raise CallError(
        f"∂l/∂{name[1:]} was not found after backward: no attribute that backward changed has the shape of the "
        "weights; it "
        f"returned or changed {changed}"
    )


def _has_rate(program: Program) -> bool:
    """Whether a learning rate is given to the code."""
    given = re.findall(rf"(\w+) ?= ?{program.asked.rate}\b", "\n".join((*program.make, program.pull)))
    return any(role_of(name, "sizes") == "rate" for name in given)


def _check_update(program: Program, asked: Asked) -> None:
    """Refuse a change whose learning rate is not known: it is 1 where the change is exactly the right gradient."""
    # A multiple of it may be a right gradient at another rate as well as a wrong one at this.
    space, right = _called(program, asked), sums.expected(_probe(asked))
    space["gradients"] = eval(compiled(program.pull, "eval"), space)
    for name in ("dF", "db"):
        text = program.found.get(name, "")
        own = program.weights.get(name[1:], ("", ""))[0]
        if f" - layer{own})" in text and not np.array_equal(eval(compiled(text, "eval"), space), right[name]):
            raise CallError(
                f"backward changes layer{own} and keeps no gradient, so that ∂l/∂{name[1:]} is read off the change, "
                "which needs the learning rate: give backward or the constructor a parameter lr, or the object an "
                "attribute of this name"
            )
