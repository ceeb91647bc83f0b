"""Which convolution a formula is: the one with these options, or another relation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

from jacobians.formula.estimate import AxisOptions, Options
from jacobians.formula.relation import Equation, Formula, Linear
from jacobians.formula.structure import INDICES, SIZES, Structure, right, with_bias
from jacobians.geometry import Geometry

__all__ = ["described", "nearest"]

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


def _equation(options: AxisOptions, names: tuple[str, str, str], sizes: tuple[str, str, str]) -> Equation:
    """Write y = s·l + δ·a − p, or l = s·y + δ·a − p, with K − 1 − a in the place of a where the filter is turned."""
    (l, a, y), (size, taps, _), by = names, sizes, options.dilation
    terms = {f"F.{a}": -by, taps: by} if options.turned else {f"F.{a}": by}
    constant = -by if options.turned else 0
    if isinstance(options.before, int):
        constant -= options.before
    else:
        terms[f"before({size})"] = -1
    terms[f"S.{l}"] = -1 if options.transposed else options.stride
    divisor = -options.stride if options.transposed else 1
    value = {name: Fraction(each, divisor) for name, each in terms.items()}
    return Equation(f"X.{y}", Linear.of(value, Fraction(constant, divisor)))


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
