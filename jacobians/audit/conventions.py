"""Conventions in which code is called: each yields programs that may call it, for one of them to be right.

What parameters are for is told by their names where only names tell it, and by calling the code where that tells.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jacobians.audit.attributes import filters_of, fitting, given, leaf, walked
from jacobians.audit.cases import Only
from jacobians.audit.loading import Method
from jacobians.audit.parameters import Parameters, called, named, parameters_of, role_of
from jacobians.audit.programs import Asked, Context, Program, compiled
from jacobians.audit.trials import first, space_of, telling
from jacobians.errors import CallError

__all__ = ["CONVENTIONS", "is_class_or_layer", "is_factory", "is_plain", "of_function"]

# What the passes are called in classes, in this order.
METHODS = {
    "forward": "forward __call__ call fprop forward_pass forwardpass forward_propagation feedforward",
    "backward": "backward backward_pass backwardpass backward_propagation backprop bprop back_propagation grad",
}


def is_plain(asked: Asked) -> bool:
    """Whether functions take and give arrays as an audit does: then they are called as they are."""
    sides = (("forward", asked.forward), ("backward", asked.backward))
    return all(_takes_arrays(asked, side, function) for side, function in sides if function is not None)


def _takes_arrays(asked: Asked, side: str, function: Any) -> bool:
    """Whether a function takes the arrays of an audit, and no more, in its order."""
    if not inspect.isroutine(function) and not isinstance(function, functools.partial) and not _is_called(function):
        return False
    parameters = of_function(function)
    if parameters is None or parameters.takes_any:
        return True
    letters = ["X", "F", *["b"] * asked.options.bias, *["G"] * (side == "backward")]
    needed = parameters.needed
    if any(each not in {"", "left"} for each in parameters.roles.values()):
        return False
    if len(needed) > len(letters) or len(parameters.arrays) < len(letters):
        return False
    if side == "backward" and (len(needed) < 3 or _upstream_first(parameters)):
        return False
    by_name = named(needed, letters)
    return not by_name or list(by_name.values()) == letters[: len(by_name)]


def _is_called(function: Any) -> bool:
    """Whether an object is nothing but something to call."""
    return callable(function) and not isinstance(function, type | Method) and not hasattr(function, "backward")


def of_function(function: Any) -> Parameters | None:
    """Return the parameters of a function of arrays."""
    found = parameters_of(function, "options", "sizes")
    if found is None:
        return None
    # In functions these are arrays.
    roles = {name: "" if role in {"bias", "rate"} else role for name, role in found.roles.items()}
    return dataclasses.replace(found, roles=roles)


def _upstream_first(parameters: Parameters) -> bool:
    roles = [role_of(name, "arrays") for name in parameters.needed]
    return roles[:1] == ["G"] and roles[-1] not in {"", "G"}


def _functions(asked: Asked) -> Iterator[Program]:
    """Call functions that take options, or keep a cache."""
    forward, backward = asked.forward, asked.backward
    if any(isinstance(each, type | Method) or not (each is None or callable(each)) for each in (forward, backward)):
        return
    if backward is None and _methods(forward)["backward"]:
        return
    names, run, pull = dict[str, Any](), "", ""
    if forward is not None:
        name = _name(forward, "forward")
        names[name] = forward
        run = f"{name}({_forward_arguments(asked, forward, own=False)})"
    if backward is not None:
        name = _name(backward, "backward", taken=names)
        names[name] = backward
        pull = f"{name}({_backward_arguments(asked, backward, own=False)})"
    yield Program(asked, names, (), run, pull)


def _name(function: Any, usual: str, taken: Mapping[str, Any] | None = None) -> str:
    name = str(getattr(function, "__name__", usual))
    free = name.isidentifier() and name not in {*(taken or {}), "X", "F", "b", "G", "S", "np"}
    return name if free and len(name) > 1 else usual


def _forward_arguments(asked: Asked, function: Any, *, own: bool) -> str:
    """Write what forward takes: X, and without weights of its own F and perhaps b."""
    parameters = of_function(function)
    letters = ["X"] if own else ["X", "F", *(["b"] if asked.options.bias else [])]
    return _arguments(asked, parameters, letters)


def _backward_arguments(asked: Asked, function: Any, *, own: bool) -> str:
    """Write what backward takes: G, and what forward kept or its own arrays."""
    parameters = of_function(function)
    if parameters is None or own:
        return _arguments(asked, parameters, ["G"])
    roles = {name: role_of(name, "arrays") for name in parameters.needed}
    if len(roles) == 2:
        first, last = roles
        gives_arrays = named(roles, ["X", "F", "G"])
        if gives_arrays is None:
            swapped = roles[first] == "cache" or roles[last] == "G"
            texts = {first: "cache", last: "G"} if swapped else {first: "G", last: "cache"}
            return called(parameters, texts, asked.filled)
        return called(parameters, gives_arrays, asked.filled)
    letters = ["X", "F", *(["b"] if asked.options.bias and len(roles) != 3 else []), "G"]
    if _upstream_first(parameters):
        letters = ["G", *letters[:-1]]
    return _arguments(asked, parameters, letters)


def _arguments(asked: Asked, parameters: Parameters | None, letters: Sequence[str]) -> str:
    text = {"b": asked.b}
    if parameters is None or parameters.takes_any:
        return ", ".join(text.get(letter, letter) for letter in letters)
    needed = parameters.needed
    names = needed if len(needed) >= len(letters) else parameters.arrays[: len(letters)]
    roles = [role_of(name, "arrays") for name in names]
    contexts = [name for name, role in zip(names, roles, strict=True) if role == "cache"]
    names = [name for name in names if name not in contexts]
    if len(names) != len(letters):
        cure = ""
        if "b" not in letters and len(names) == len(letters) + 1:
            cure = "; if it takes a bias, give --bias (in Python: bias=True)"
        if "b" in letters and len(names) == len(letters) - 1:
            cure = "; if it takes no bias, leave --bias out (in Python: bias=False)"
        raise CallError(
            f"{parameters.text} takes {len(names)} array{'s' * (len(names) != 1)}, but an audit gives it "
            f"{len(letters)}: {', '.join(letters)}{cure}"
        )
    by_name = named(names, letters) or dict(zip(names, letters, strict=True))
    texts = {name: text.get(letter, letter) for name, letter in by_name.items()}
    return called(parameters, {**texts, **dict.fromkeys(contexts, "cache")}, asked.filled)


def _classes(asked: Asked) -> Iterator[Program]:
    """Make an object of a class for every layer, put F into its weights, and call its methods."""
    maker, methods = _maker(asked)
    if maker is None:
        return
    name = _name(maker, "Layer")
    parameters = parameters_of(maker, "options", "sizes", "of layers", "arrays", name=name)
    arguments = "" if parameters is None else called(parameters, {}, asked.filled)
    takes = () if parameters is None else {role for role in parameters.roles.values() if role in {"F", "b"}}
    make, names = (f"layer = {name}({arguments})",), {name: maker}
    yield from _objects(asked, make, names, methods, takes)


def _instances(asked: Asked) -> Iterator[Program]:
    """Copy an object for every call."""
    if isinstance(asked.forward, type | Method) or not _methods(asked.forward)["backward"]:
        return
    names = {"copy": copy, "made": asked.forward}
    for sizes in filters_of(asked.forward, asked.options.spatial_ndim):
        only = Only(**sizes | {"planes": sizes["planes"] * asked.options.groups}).joined(asked.options.only)
        one = dataclasses.replace(asked, options=dataclasses.replace(asked.options, only=only))
        try:
            yield from _objects(one, ("layer = copy.deepcopy(made)",), names, _methods(asked.forward), ())
        except Exception:  # whatever the code raises, its weights may have another order
            continue


def _maker(asked: Asked) -> tuple[Any, dict[str, str]]:
    """Return the class of an object to make, and the names of the methods to call: forward alone where it is named."""
    forward, backward = asked.forward, asked.backward
    first = forward if forward is not None else backward
    owner = first.owner if isinstance(first, Method) else first
    makes = isinstance(owner, type) or is_factory(owner)
    if not makes:
        return None, {}
    methods = _methods(owner) if isinstance(owner, type) else {"forward": "", "backward": ""}
    for side, each in (("forward", forward), ("backward", backward)):
        if isinstance(each, Method):
            methods[side] = each.name
    if isinstance(forward, Method) and backward is None:
        del methods["backward"]
    return owner, methods


def is_factory(function: Any) -> bool:
    """Whether a function takes sizes and options alone: then it makes a layer."""
    if not (inspect.isfunction(function) or isinstance(function, functools.partial)):
        return False
    found = parameters_of(function, "sizes", "options")
    roles = [] if found is None else list(found.roles.values())
    return bool({"planes", "filters", "taps"} & set(roles)) and all(roles)


def _methods(of: Any) -> dict[str, str]:
    """Return the names of the methods for both passes; empty for those that there are not."""
    found = {}
    for side, names in METHODS.items():
        own = [name for name in names.split() if callable(getattr(of, name, None))]
        # A class can be called, and so can all functions.
        own = [name for name in own if name != "__call__" or _defines_call(of)]
        found[side] = own[0] if own else ""
    return found


def _defines_call(of: Any) -> bool:
    return "__call__" in {name for each in (of if isinstance(of, type) else type(of)).__mro__ for name in vars(each)}


def _objects(
    asked: Asked, make: tuple[str, ...], names: dict[str, Any], methods: dict[str, str], taken: Any
) -> Iterator[Program]:
    """Find the weights of an object that is made at one layer, by their shapes and by what they change."""
    space = space_of(asked, names)
    owner = next(iter(names.values())) if "made" not in names else None
    if isinstance(owner, type) and methods["forward"] and _is_static(owner, methods["forward"]):
        yield _static(asked, names, methods)
        return
    exec(compiled("\n".join(make), "exec"), space)
    layer = space["layer"]
    methods = {side: methods[side] or _methods(layer)[side] for side in methods}
    run = f"layer.{methods['forward']}" if methods["forward"] != "__call__" else "layer"
    function = getattr(layer, methods["forward"], None)
    if function is None:
        raise CallError(f"{type(layer).__name__} has no method forward; an audit calls forward(X)")
    if callable(build := getattr(layer, "build", None)):
        line = f"layer.build({_arguments_of_build(build)})"
        make += (line,)
        exec(compiled(line, "exec"), space)
    pull = ""
    if methods.get("backward"):
        pull = _method_call(asked, layer, methods["backward"])
    if "F" in taken:
        own = _forward_arguments(asked, function, own=True)
        yield Program(asked, names, make, f"{run}({own})", pull)
        return
    parameters = of_function(function)
    if parameters is not None and len(parameters.needed) > 1:
        arguments = _forward_arguments(asked, function, own=False)
        yield Program(asked, names, make, f"{run}({arguments})", pull)
        return
    call = f"{run}({_forward_arguments(asked, function, own=True)})"
    # Whatever the code raises then, it may take the weights with the image.
    with contextlib.suppress(Exception):
        yield from _weighted(asked, names, make, call, pull, space)
    arrays = "X, F, b" if asked.options.bias else "X, F"
    yield Program(asked, names, make, f"{run}(({arrays}))", pull)


def _arguments_of_build(build: Any) -> str:
    parameters = parameters_of(build, "sizes")
    batched = "(N, *image)"
    return batched if parameters is None or parameters.signature.parameters else ""


def _method_call(asked: Asked, layer: Any, name: str) -> str:
    method = getattr(layer, name)
    parameters = of_function(method)
    if parameters is not None:
        rate = {each: asked.rate for each in parameters.signature.parameters if role_of(each, "sizes") == "rate"}
        roles = {**parameters.roles, **dict.fromkeys(rate, "rate")}
        parameters = dataclasses.replace(parameters, roles=roles)
        if len(parameters.needed) == 2:
            one, other = (role_of(each, "arrays") for each in parameters.needed)
            inputs = "(X, F, b)" if asked.options.bias else "(X, F)"
            texts = [_method_argument(each, inputs) for each in parameters.needed]
            if "G" not in {one, other}:
                texts = ["G", "cache"]
            given_ = dict(zip(parameters.needed, texts, strict=True))
            return f"layer.{name}({called(parameters, given_, asked.filled)})"
    return f"layer.{name}({_arguments(asked, parameters, ['G'])})"


def _method_argument(name: str, inputs: str) -> str:
    """Write one of two arguments of a backward pass by its name; those of several arrays are tuples."""
    several = name.endswith("s")
    role = role_of(name, "arrays")
    if role == "G":
        return "(G,)" if several else "G"
    return {"X": inputs if several else "X", "F": "F"}.get(role, "cache")


def _is_static(owner: type, name: str) -> bool:
    method = inspect.getattr_static(owner, name, None)
    if isinstance(method, staticmethod | classmethod):
        return True
    parameters = parameters_of(method)
    return parameters is not None and next(iter(parameters.signature.parameters), "") in {"ctx", "context"}


def _static(asked: Asked, names: dict[str, Any], methods: dict[str, str]) -> Program:
    """Call the functions of a class that keep their numbers in a context."""
    name, owner = next(iter(names.items()))
    texts = {"forward": "", "backward": ""}
    for side, method in methods.items():
        function = getattr(owner, method, None) if method else None
        if function is None:
            continue
        parameters = of_function(function)
        keeps = parameters is not None and role_of(next(iter(parameters.arrays), ""), "arrays") == "cache"
        own = ["X", "F", *(["b"] if asked.options.bias else [])]
        letters = own if side == "forward" else ["G"] if keeps else [*own, "G"]
        texts[side] = f"{name}.{method}({_arguments(asked, parameters, letters)})".replace("cache", "ctx")
    make = ("ctx = Context()",) if "ctx" in "".join(texts.values()) else ()
    return Program(asked, {**names, "Context": Context}, make, texts["forward"], texts["backward"])


def _weighted(
    asked: Asked, names: dict[str, Any], make: tuple[str, ...], call: str, pull: str, space: dict[str, Any]
) -> Iterator[Program]:
    """Yield programs that put F and b into the attributes of their shapes on which the responses depend."""
    case = telling(asked)
    arrays = dict(walked(space["layer"]))
    shapes = {"F": case.shapes["F"], "b": case.shapes["b"]}
    if not any(fitting(each.shape, shapes["F"]) for each in arrays.values()):
        # Some have weights from their first call on.
        make += (call,)
        exec(compiled(call, "exec"), space)
        arrays = dict(walked(space["layer"]))
    candidates = {
        letter: [
            (path, order)
            for path, each in arrays.items()
            for order in (fitting(each.shape, shape) if letter == "F" else _bias_orders(each.shape, *shape))
        ]
        for letter, shape in shapes.items()
    }
    weights = _that_change(candidates["F"], call, space, "F")
    biases = _that_change(candidates["b"], call, space, "b")
    if not weights:
        return
    for path, order in weights:
        kept = {"F": (path, order)} | ({"b": biases[0]} if biases else {})
        lines = [f"layer{where} = {given(letter, how)}" for letter, (where, how) in kept.items()]
        same = [each for each, array in arrays.items() if array is arrays[path] and each != path]
        lines += [f"layer{each} = layer{path}" for each in same]
        if "b" in kept and not asked.options.bias:
            own = kept["b"][0]
            lines[1] = f"layer{own} = np.zeros_like(layer{own})"
        yield Program(asked, names, (*make, *lines), call, pull, kept)


def _bias_orders(shape: tuple[int, ...], count: int) -> list[str]:
    if math.prod(shape) != count or count not in shape:
        return []
    axes = ", ".join("-1" if size == count else "1" for size in shape)
    return [f"b.reshape({axes})" if len(shape) > 1 else ""]


def _that_change(
    candidates: Sequence[tuple[str, str]], call: str, space: dict[str, Any], letter: str
) -> list[tuple[str, str]]:
    """Return the attributes on which the responses depend; by their names where they depend on none."""
    paths = dict.fromkeys(path for path, _ in candidates)
    depend = [path for path in paths if _changes(path, call, space)]
    if not depend:
        depend = [path for path in paths if role_of(leaf(path), "arrays") == letter]
    if len(paths) == 1 and not depend and letter == "F":
        depend = list(paths)
    first = depend[0] if depend else None
    return [each for each in candidates if each[0] == first]


def _changes(path: str, call: str, space: dict[str, Any]) -> bool:
    tried = {**space, "layer": copy.deepcopy(space["layer"])}
    values = []
    for factor in (1, 2):
        line = f"layer{path} = {factor} + np.arange(layer{path}.size, dtype=float).reshape(layer{path}.shape) % 7"
        try:
            exec(compiled(line, "exec"), tried)
            values.append(np.array(first(eval(compiled(call, "eval"), tried)), float))
        except Exception:  # whatever the code raises
            return False
    before, after = values
    return not np.array_equal(before, after)


def is_class_or_layer(function: Any) -> bool:
    """Whether it is no function: a class, a method of one, or an object with a backward pass."""
    return function is not None and (isinstance(function, type | Method) or bool(_methods(function)["backward"]))


CONVENTIONS: tuple[Callable[[Asked], Iterator[Program]], ...] = (_classes, _instances, _functions)
