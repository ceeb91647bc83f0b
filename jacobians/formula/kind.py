"""Which convolution a formula is: the one with these options, or another relation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from jacobians.formula.estimate import AxisOptions, Options
from jacobians.formula.relation import Equation, Formula, Linear
from jacobians.formula.structure import INDICES, SIZES, Structure, right, with_bias
from jacobians.geometry import Geometry

__all__ = ["described", "nearest"]


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
    """Write y = s·l + δ·a − p, with K − 1 − a in the place of a where the filter is turned."""
    (l, a, y), (size, taps, _) = names, sizes
    before = {"": options.before} if isinstance(options.before, int) else {f"before({size})": 1}
    sign = -1 if options.turned else 1
    steps = {f"F.{a}": sign * options.dilation}
    steps |= {taps: options.dilation} if options.turned else {}
    constant = -options.dilation if options.turned else 0
    zeros = int(before.pop("", 0))
    if options.transposed:
        # The same with l and y exchanged.
        by = -options.stride
        value = {f"S.{l}": -1, **steps, **{name: -1 for name in before}}
        return Equation(f"X.{y}", _divided(value, constant - zeros, by))
    return Equation(f"X.{y}", Linear.of({f"S.{l}": options.stride, **steps, **{name: -1 for name in before}}, constant - zeros))


def _divided(terms: dict[str, int], constant: int, by: int) -> Linear:
    from fractions import Fraction

    return Linear.of({name: Fraction(each, by) for name, each in terms.items()}, Fraction(constant, by))


def described(options: Options, layout: str) -> str:
    """Say which convolution it is.

    Parameters
    ----------
    options : Options
        Of a convolution.
    layout : str
        The axes of X, F and S in the order of the code.

    Returns
    -------
    str
        One sentence, and one about the filter.
    """
    axes = options.axes
    kind = "a transposed convolution" if axes[0].transposed else "a convolution"
    padding = ", ".join(f"{each.before} before and {each.after} after" for each in axes)
    if all(each.before == each.after == 0 for each in axes):
        padding = "none"
    turned = [each.turned for each in axes]
    filters = "turned by 180°" if all(turned) else "not turned" if not any(turned) else "turned on some axes only"
    return (
        f"It is {kind}: stride {_numbers([each.stride for each in axes])}, padding {padding}, dilation "
        f"{_numbers([each.dilation for each in axes])}, groups {options.groups}, layout {layout}. The filter is {filters}."
    )


def _numbers(values: Sequence[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else f"({', '.join(map(str, values))})"
