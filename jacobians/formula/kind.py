"""Which convolution a formula is: the one with these options, or another relation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

from jacobians.formula.estimate import AxisOptions, Options
from jacobians.formula.normal import plus
from jacobians.formula.relation import Equation, Formula, Linear
from jacobians.formula.structure import INDICES, SIZES, Structure, right, with_bias
from jacobians.geometry import Geometry

__all__ = ["described", "nearest", "with_folds"]

# Letters in padding that depends on sizes.
MEANINGS = {"k": "k is the extent of the filter", "z": "z zeros give ⌈H/s⌉ responses"}


def nearest(read: Formula, options: Options, geometry: Geometry) -> Formula:
    """Return the convolution with these options.

    Parameters
    ----------
    read : Formula
        Of code; with its bias, and of a transposed convolution with its shape.
    options : Options
        Stride, dilation, padding, filter turned, image and response map exchanged.
    geometry : Geometry
        Any layer with these options.

    Returns
    -------
    Formula
        It may be another one than `read`.
    """
    structure = Structure(geometry.spatial_ndim, options.groups)
    found = right("S", structure, geometry)
    names = zip(options.axes, INDICES[geometry.spatial_ndim], SIZES[geometry.spatial_ndim], strict=True)
    changed = {f"X.{y}": _equation(each, (l, a, y), size) for each, (l, a, y), size in names}
    (term,) = found.terms
    term = dataclasses.replace(term, equations=tuple(changed.get(each.index, each) for each in term.equations))
    found = dataclasses.replace(found, terms=(term,))
    if any(each.transposed for each in options.axes):
        found = dataclasses.replace(found, shape=read.shape)
    has_bias = any(view.tensor.letter == "b" for each in read.terms for view in each.views)
    return with_bias(found, structure) if has_bias else found


def with_folds(formula: Formula, read: Formula) -> Formula:
    """Bring the pixels of a formula back at the border as those of another one are.

    Parameters
    ----------
    formula, read : Formula
        Of S.

    Returns
    -------
    Formula
        The first one, with the folds of the second.
    """
    folds = {each.index: each.fold for term in read.terms for each in term.equations if each.fold}
    first, *others = formula.terms
    equations = tuple(dataclasses.replace(each, fold=folds.get(each.index, "")) for each in first.equations)
    return dataclasses.replace(formula, terms=(dataclasses.replace(first, equations=equations), *others))


def _equation(options: AxisOptions, names: tuple[str, str, str], sizes: tuple[str, str, str]) -> Equation:
    """Write y = s·l + δ·a − p, or l = s·y + δ·a − p, with K − 1 − a in the place of a where the filter is turned."""
    (l, a, y), (size, taps, _), by = names, sizes, options.dilation
    tap = Linear.of({f"F.{a}": -by, taps: by}, -by) if options.turned else Linear.of({f"F.{a}": by})
    if options.turned and {options.before, options.after} == {"(k − 1)÷2", "k÷2"}:
        # Both together are all taps but one.
        form = Linear.of({f"F.{a}": -by, f"after({size})": 1})
    elif options.before == "k − 1":
        form = plus(tap, Linear.of({taps: -by}, by))
    else:
        zeros = Linear.of({}, options.before) if isinstance(options.before, int) else Linear.of({f"before({size})": 1})
        form = plus(tap, zeros, -1)
    form = plus(form, Linear.of({f"S.{l}": -1 if options.transposed else options.stride}))
    return Equation(f"X.{y}", plus(Linear(), form, Fraction(-1, options.stride) if options.transposed else 1))


def described(options: Options, *, depthwise: bool = False) -> str:
    """Say which options a convolution has.

    Parameters
    ----------
    options : Options
        All of them.
    depthwise : bool
        Whether there is one group per plane.

    Returns
    -------
    str
        Stride, padding, dilation and groups, and whether the filter is turned.
    """
    axes = options.axes
    turned = [each.turned for each in axes]
    filters = "turned by 180°" if all(turned) else "turned on some axes" if any(turned) else "not turned"
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
