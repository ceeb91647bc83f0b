"""How somebody's code is called, found out before an audit."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from jacobians.arguments import flag
from jacobians.audit.attributes import options_of, sizes_of
from jacobians.audit.cases import Only
from jacobians.audit.conventions import CONVENTIONS, is_class_or_layer, is_factory, is_plain, of_function
from jacobians.audit.frameworks import in_framework, module_of
from jacobians.audit.keras_layers import is_keras, of_keras
from jacobians.audit.layouts import adapter_of, check_functions, with_layout
from jacobians.audit.loading import Method, as_method
from jacobians.audit.parameters import FORMS, called, fixed, parameters_of, role_of
from jacobians.audit.programs import SIZES, Asked, Bound, Called, Program, Wanted, compiled
from jacobians.audit.subject import about_arguments, told
from jacobians.audit.trials import FITTING, RIGHT, completed, space_of, tried
from jacobians.errors import CallError
from jacobians.formula.layouts import SPATIAL, parse, standard

__all__ = ["bound"]

BIASES = ("b", "b.reshape(1, 1, 1, -1)", "b.reshape(-1, 1)", "b.reshape(1, -1, 1, 1)")
# How padding that depends on the layer is passed.
PASSED = ("=padding", "'padding': padding")
# Orders of axes in which code is called once to see how else it is called; which it has is found out by the audit.
USUAL = ("NC*,OI*->NO*", "N*C,*IO->N*O", "N*C,OI*->N*O", "C*,OI*->O*", "*C,*IO->*O")


def bound(functions: Mapping[str, Any], wanted: Wanted) -> Bound:
    """Find out how code is called.

    Parameters
    ----------
    functions : mapping of str to object
        forward and backward, or None: functions, classes, methods or objects.
    wanted : Wanted
        What was asked for.

    Returns
    -------
    Bound
        Functions that take and give what an audit knows.

    Raises
    ------
    CallError
        If the code cannot be called, with what an audit expects and what was found.
    """
    if is_keras(functions["forward"]):
        return _in_layout(*of_keras(functions["forward"], wanted))
    if wanted.framework or module_of(functions["forward"]) is not None or _is_module_class(functions["forward"]):
        return _in_layout(_of_framework(functions["forward"], wanted), wanted.layout)
    adapters = [adapter_of(each) for each in functions.values()]
    layout = wanted.layout or next((each.layout for each in adapters if each is not None), "")
    inner = [adapter.function if adapter else each for each, adapter in zip(functions.values(), adapters, strict=True)]
    forward, backward = map(as_method, inner)
    check_functions(
        {
            side: None if is_class_or_layer(each) else each
            for side, each in (("forward", forward), ("backward", backward))
        }
    )
    bias = _takes_bias(forward, backward) if wanted.bias is None else flag("bias", wanted.bias)
    asked = Asked(forward, backward, wanted, wanted.options(_fixed(forward, backward), bias=bool(bias)), layout)
    if forward is None and backward is None:
        return Bound(functions, asked.options)
    if not is_plain(asked):
        return _by_program(asked, either=bias is None)
    return _in_layout(Bound(functions, dataclasses.replace(asked.options, layout=layout)), wanted.layout)


def _in_layout(found: Bound, layout: str | None) -> Bound:
    """Describe the order of the axes in which functions take and give arrays."""
    if not layout:
        return found
    of = found.options
    given: dict[str, Any] = {"stride": of.stride, "padding": of.padding or of.rule}
    given |= {"dilation": of.dilation, "groups": of.groups}
    forward, backward = with_layout(found.functions["forward"], found.functions["backward"], layout, **given)
    options = dataclasses.replace(of, layout=of.layout or layout)
    return dataclasses.replace(found, functions={"forward": forward, "backward": backward}, options=options)


def _by_program(asked: Asked, *, either: bool) -> Bound:
    """Find the program that calls the code, with a bias where it has one and nobody said."""
    biased = dataclasses.replace(asked, options=dataclasses.replace(asked.options, bias=True)) if either else asked
    try:
        program = _best(biased)
    except CallError:
        if not either:
            raise
        program = _best(asked)
    if either and program.level < RIGHT and "b" not in program.weights and program.asked.b not in program.run:
        program = _best(asked)
    unfit = program.make or about_arguments(program.error) or program.asked.uneven
    if not program.level and program.error and unfit:
        raise CallError(_expected(asked, program.error, _shown(program.passes())))
    program = completed(program)
    made = program.asked
    limited = made.options.only or Only()
    taps = SIZES[made.options.spatial_ndim][1]
    if program.make and not made.form.taps and f"={taps[-1]}" in program.make[0]:
        limited = limited.joined(Only(square_filters=True))
    if made.options.padding is None and any(each in "".join((*program.make, program.run)) for each in PASSED):
        limited = limited.joined(Only(even_padding=True, odd=True))
    only = None if limited == Only() else limited
    layout = made.layout if asked.layout or (program.level and made.layout != _usual(made)) else ""
    axes = _axes(program, layout)
    options = dataclasses.replace(made.options, only=only, updates=program.updates, layout=axes)
    passes = {side: each and dataclasses.replace(each, axes=axes) for side, each in program.passes().items()}
    notes = [f"it is called as {'; '.join(_shown(passes))}"]
    if layout and not asked.layout:
        notes.append(f"its layout is {layout}")
    if program.updates:
        notes.append(
            "∂l/∂F is computed from the update: the filters before it minus the filters after it, at learning rate 1; "
            "this is exact on integers, and other numbers are not tried"
        )
    if limited.even_padding:
        notes.append("the code takes one padding per axis: only layers with equal padding before and after are audited")
    if limited.square_filters and not (asked.options.only or Only()).square_filters:
        notes.append("the code takes one size for all axes of a filter: only square filters are audited")
    return _in_layout(Bound(passes, options, tuple(notes)), layout)


def _axes(program: Program, layout: str) -> str:
    """Return the layout of X, F and S as their author has them: that of weights in an attribute is its own."""
    usual = standard(program.asked.options.spatial_ndim)
    orders = parse(layout or usual)
    own = program.weights.get("F", ("", ""))[1]
    F = orders["F"].part if not own else parse(usual)["F"].part if "(" in own else own
    found = f"{orders['X'].part},{F}->{orders['S'].part}"
    return "" if found == usual else found


def _shown(passes: Mapping[str, Called | None]) -> tuple[str, ...]:
    return next(each.shown for each in (passes["backward"], passes["forward"]) if each is not None)


def _fixed(*functions: Any) -> dict[str, Any]:
    """Return the options that `functools.partial` has fixed."""
    found: dict[str, Any] = {}
    for function in functions:
        if is_class_or_layer(function) and not isinstance(function, type | Method):
            found |= options_of(function)
        for name, value in fixed(function).items():
            role = role_of(name, "options")
            if role in {"stride", "dilation", "groups"} and isinstance(value, int | tuple | list):
                found[role] = value
    return found


def _takes_bias(forward: Any, backward: Any) -> bool | None:
    """Return whether functions need a bias; None of classes, which are tried."""
    if is_class_or_layer(forward) or is_class_or_layer(backward):
        return None
    if is_factory(forward):
        return None
    first, parameters = (forward, of_function(forward)) if forward is not None else (None, of_function(backward))
    if parameters is None:
        return False
    return len(parameters.needed) == (3 if first is not None else 4)


def _best(asked: Asked) -> Program:
    """Return the first program whose responses have the right shape: whether they are right is for the audit to say."""
    best: Program | None = None
    first: CallError | None = None
    layouts = [asked.layout] if asked.layout else [_layout(asked, each) for each in USUAL]
    biases = BIASES if asked.options.bias else ("b",)
    for layout, form, b in itertools.product(layouts, FORMS, biases):
        one = dataclasses.replace(asked, layout=layout, form=form, b=b)
        for convention in CONVENTIONS:
            programs = list[Program]()
            try:
                programs = list(convention(one))
            except CallError as error:
                first = first or error
            except Exception as error:  # whatever the code raises
                first = first or CallError(told(error))
            if not programs:
                continue
            # Of programs that differ by the order of axes in which an object keeps its weights, the right one is meant.
            found = max(map(tried, programs), key=lambda program: program.level)
            if best is None or found.level > best.level:
                best = found
            if found.level >= FITTING:
                return found
    if best is None:
        raise CallError(_expected(asked, str(first or "an audit does not know how to call it")))
    return best


def _usual(asked: Asked) -> str:
    return _layout(asked, USUAL[0])


def _layout(asked: Asked, pattern: str) -> str:
    return pattern.replace("*", SPATIAL[-asked.options.spatial_ndim :])


def _expected(asked: Asked, why: str, tried: Iterable[str] = ()) -> str:
    """Say what an audit expects, what was found, and how it was called."""
    spatial, taps = (", ".join(each) for each in SIZES[asked.options.spatial_ndim])
    targets = [each.owner if isinstance(each, Method) else each for each in (asked.forward, asked.backward)]
    found = [each for each in (parameters_of(target) for target in targets if target is not None) if each]
    lines = list(tried)
    return "\n".join(
        [
            f"the code cannot be called: {why}",
            f"  an audit expects  forward(X, F[, b]) -> S         X (N, d, {spatial}), F (n, d/groups, {taps}), b (n,)",
            "                    backward(X, F, [b,] G) -> (dX, dF[, db])   G of the shape of S",
            "                    or a class with forward(X) and backward(G), made for each layer",
            *(f"  it found          {each.text}" for each in found),
            *([f"  it tried          {'; '.join(lines)}"] if lines else []),
        ]
    )


# frameworks -----------------------------------------------------------------------------------------------------------


def _of_framework(forward: Any, wanted: Wanted) -> Bound:
    """Make functions of NumPy arrays of one of a framework, with the options that a module has."""
    framework = wanted.framework or "torch"
    owner = module_of(forward)
    if framework == "torch" and _is_module_class(forward):
        return _module_class(forward, wanted)
    found = {} if owner is None else options_of(owner)
    bias = wanted.bias
    if bias is None:
        names = [] if owner is None else [name for name, _ in owner.named_parameters()]
        parameters = None if owner is not None else of_function(forward)
        bias = any(name.endswith("bias") for name in names) or (parameters is not None and len(parameters.needed) == 3)
    options_ = wanted.options(found, bias=flag("bias", bias))
    if owner is not None and not type(owner).__module__.startswith("torch.nn"):
        sizes = sizes_of(owner, options_.spatial_ndim)
        options_ = dataclasses.replace(options_, only=Only(**sizes).joined(options_.only) if sizes else options_.only)
    pair = in_framework(framework, forward, dtype=options_.dtype, bias=options_.bias)
    return Bound(dict(zip(("forward", "backward"), pair, strict=True)), options_)


def _is_module_class(function: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(function, type) and issubclass(function, torch.nn.Module)


def _module_class(owner: Any, wanted: Wanted) -> Bound:
    """Make a module for every layer, and call it with F and b in the place of its parameters."""
    import torch

    parameters = parameters_of(owner, "options", "sizes", "of layers", name=owner.__name__)
    bias = True if wanted.bias is None else flag("bias", wanted.bias)
    asked = Asked(owner, None, wanted, wanted.options({}, bias=bias))
    if parameters is None:
        raise CallError(_expected(asked, "its constructor has no signature"))
    try:
        text = f"{owner.__name__}({called(parameters, {}, asked.filled)})"
        space = space_of(asked, {owner.__name__: owner})
        biased = "bias" in {
            name.rpartition(".")[2] for name, _ in eval(compiled(text, "eval"), space).named_parameters()
        }
    except Exception as error:
        raise CallError(_expected(asked, told(error))) from error
    if wanted.bias is None and not biased:
        asked = dataclasses.replace(asked, options=wanted.options({}, bias=False))
        text = f"{owner.__name__}({called(parameters, {}, asked.filled)})"
    orders = parse(standard(wanted.spatial_ndim))
    maker = Called({owner.__name__: owner}, (), (), text, ("S",), asked.options)

    def forward(X: Any, F: Any, *b: Any) -> Any:
        space = {**maker.variables(tuple(X.shape), tuple(F.shape), orders), owner.__name__: owner}
        with torch.random.fork_rng(devices=[]):
            module = eval(compiled(text, "eval"), space).to(F.dtype)
        names = {name.rpartition(".")[2]: name for name, _ in module.named_parameters()}
        given = {names["weight"]: F} | ({names["bias"]: b[0]} if b else {})
        return torch.func.functional_call(module, given, (X,))

    pair = in_framework("torch", forward, dtype=asked.options.dtype, bias=asked.options.bias)
    note = f"the code is called as {text} with F{' and b' * asked.options.bias} in the place of its parameters"
    return Bound(dict(zip(("forward", "backward"), pair, strict=True)), asked.options, (note,))
