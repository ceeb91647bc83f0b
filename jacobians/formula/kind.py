"""Which convolution a formula is: the one with these options, or another relation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction

from jacobians.formula.estimate import AxisOptions, Options
from jacobians.formula.normal import plus, solved
from jacobians.formula.relation import Equation, Formula, Linear
from jacobians.formula.structure import INDICES, SIZES, Layer, right, sizes_of, structure_of, with_bias

__all__ = ["described", "nearest", "with_folds"]

# Letters in padding that depends on sizes.
MEANINGS = {"k": "k is the extent of the filter", "z": "z zeros give ⌈H/s⌉ responses"}


def nearest(read: Formula, options: Options, layers: Sequence[Layer]) -> Formula:
    """Return the convolution with these options and layers, in the words of a formula where that says the same."""
    structure = structure_of(layers[0].geometry)
    axes = zip(options.axes, INDICES[structure.spatial_ndim], SIZES[structure.spatial_ndim], strict=True)
    wanted = {f"X.{names[-1]}": _equation(each, names, sizes) for each, names, sizes in axes}
    for each in (each for term in map(solved, read.terms) for each in term.equations if each.index in wanted):
        off = plus(each.value, wanted[each.index], -1)
        if all("." not in name for name, _ in off.terms) and not any(
            off.scaled({}, sizes_of(layer)) for layer in layers
        ):
            wanted[each.index] = each.value
    found = right("S", structure, layers[0].geometry)
    found = _with_equations(found, lambda each: dataclasses.replace(each, value=wanted.get(each.index, each.value)))
    if any(each.transposed for each in options.axes):
        found = dataclasses.replace(found, shape=read.shape)
    has_bias = any(view.tensor.letter == "b" for each in read.terms for view in each.views)
    return with_bias(found, structure) if has_bias else found


def with_folds(formula: Formula, read: Formula) -> Formula:
    """Bring the pixels of a formula back at the border as those of another one are."""
    folds = {each.index: each.fold for term in read.terms for each in term.equations}
    return _with_equations(formula, lambda each: dataclasses.replace(each, fold=folds.get(each.index, "")))


def _with_equations(formula: Formula, change: Callable[[Equation], Equation]) -> Formula:
    first, *others = formula.terms
    first = dataclasses.replace(first, equations=tuple(map(change, first.equations)))
    return dataclasses.replace(formula, terms=(first, *others))


def _equation(options: AxisOptions, names: tuple[str, str, str], sizes: tuple[str, str, str]) -> Linear:
    """Return y of y = s·l + δ·a − p or l = s·y + δ·a − p, with K − 1 − a in the place of a if the filter is turned."""
    (l, a, _), (size, taps, _), by = names, sizes, options.dilation
    tap = Linear.of({f"F.{a}": -by, taps: by}, -by) if options.turned else Linear.of({f"F.{a}": by})
    zeros = Linear.of({}, options.before) if isinstance(options.before, int) else Linear.of({f"before({size})": 1})
    form = plus(plus(tap, zeros, -1), Linear.of({f"S.{l}": -1 if options.transposed else options.stride}))
    return plus(Linear(), form, Fraction(-1, options.stride) if options.transposed else 1)


def described(options: Options, *, depthwise: bool = False) -> str:
    """Say which options a convolution has, and whether the filter is rotated."""
    axes = options.axes
    turned = [each.turned for each in axes]
    filters = "rotated by 180°" if all(turned) else "flipped along some axes" if any(turned) else "not rotated"
    numbers = {
        "stride": [str(each.stride) for each in axes],
        "padding": [_padding(each) for each in axes],
        "dilation": [str(each.dilation) for each in axes],
        "groups": ["one per plane" if depthwise else str(options.groups)],
    }
    said = ", ".join(f"{name} {_joined(values)}" for name, values in numbers.items()) + f", the filter {filters}"
    return said + "".join(f"; {text}" for letter, text in MEANINGS.items() if letter in _joined(numbers["padding"]))


def _padding(options: AxisOptions) -> str:
    if options.before == options.after:
        return str(options.before)
    return f"{options.before} before and {options.after} after"


def _joined(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else f"({', '.join(values)})"
