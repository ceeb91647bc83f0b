"""The arrays of a convolution layer with the names of their indices and sizes, and the right relation between them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy.typing as npt

from jacobians.arguments import numeric
from jacobians.errors import ShapeError
from jacobians.formula.relation import Axis, Equation, Formula, Linear, Tensor, Term, View
from jacobians.geometry import Geometry
from jacobians.sizes import check_bytes

__all__ = ["FACTORS", "Layer", "Structure", "array_axes", "given_arrays", "right", "sizes_of", "structure_of"]

# Of one product: where its three entries stand, its factors, and what it is multiplied by.
BYTES = 6 * 8
# The factors of every product in a result: of a response, a tap and a pixel, the two that the result is not about.
FACTORS = {"S": ("F", "X"), "dX": ("F", "G"), "dF": ("G", "X"), "db": ("G",)}
# Indices of responses, taps and pixels, and the sizes of image, filter and response map, by the number of axes.
INDICES = {
    1: (("l", "a", "y"),),
    2: (("l", "a", "y"), ("m", "b", "x")),
    3: (("l", "a", "y"), ("m", "b", "x"), ("o", "c", "w")),
}
SIZES = {
    1: (("W", "K", "W'"),),
    2: (("H", "K", "H'"), ("W", "L", "W'")),
    3: (("D", "K", "D'"), ("H", "L", "H'"), ("W", "M", "W'")),
}


@dataclasses.dataclass(frozen=True)
class Layer:
    """A geometry and a number of images."""

    geometry: Geometry
    images: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Those of X, F, b and G."""
        g = self.geometry
        return {"X": (self.images, *g.image), "F": g.filters, "b": g.filters[:1], "G": (self.images, *g.responses)}


@dataclasses.dataclass(frozen=True)
class Structure:
    """The arrays of a layer: how many spatial axes, in how many groups, and which result keeps its images apart."""

    spatial_ndim: int
    groups: int
    apart: str = ""

    @functools.cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The arrays by their letters: X, F, b, G and the results S, dX, dF and db."""
        axes = list(zip(INDICES[self.spatial_ndim], SIZES[self.spatial_ndim], strict=True))
        l, a, y = ([Axis(index[at], size[(2, 1, 0)[at]]) for index, size in axes] for at in range(3))
        image = Axis("n", "N")
        if self.groups > 1:
            group = Axis("g", "g")
            filters, planes, depth = [group, Axis("i", "n/g")], [group, Axis("k", "d/g")], [Axis("k", "d/g")]
        else:
            filters, planes, depth = [Axis("i", "n")], [Axis("k", "d")], [Axis("k", "d")]
        of = {"X": [image, *planes, *y], "F": [*filters, *depth, *a], "b": filters, "G": [image, *filters, *l]}
        of |= {"S": of["G"], "dX": of["X"], "dF": of["F"], "db": of["b"]}
        of |= {self.apart: [image, *of[self.apart]]} if self.apart else {}
        return {letter: Tensor(letter, tuple(found)) for letter, found in of.items()}


def given_arrays(formula: Formula, layer: Layer, given: Mapping[str, npt.ArrayLike]) -> dict[str, npt.NDArray[Any]]:
    """Check the arrays that a formula reads at one layer.

    Parameters
    ----------
    formula : Formula
        What is to be evaluated.
    layer : Layer
        Where.
    given : mapping of str to array_like
        X, F, G and b, with a leading batch axis where they have one, or flat; others are ignored.

    Returns
    -------
    dict of str to ndarray
        Those that are read.

    Raises
    ------
    ShapeError
        If one is missing, or has another number of entries than the layer says.
    DtypeError
        If entries are not numbers, or masked.
    TooLargeError
        If the products do not fit into memory.
    """
    letters = dict.fromkeys(view.tensor.letter for term in formula.terms for view in term.views[1:] if not view.ones)
    arrays = {}
    for letter in letters:
        needed = layer.shapes[letter]
        if given.get(letter) is None:
            raise ShapeError(f"{letter} is not given, but the formula reads it; it needs an array of shape {needed}")
        array = arrays[letter] = numeric(letter, given[letter])
        if array.size != math.prod(needed):
            raise ShapeError(f"{letter} has shape {array.shape} but {layer.geometry!r} needs {needed}")
    geometry = layer.geometry
    products = layer.images * geometry.filters[0] * geometry.positions * geometry.taps
    cure = "evaluate the formula at a smaller layer"
    check_bytes(f"a list of the {products} products of {geometry!r}", products * BYTES, cure)
    return arrays


def structure_of(geometry: Geometry) -> Structure:
    """Return the structure of a layer."""
    return Structure(geometry.spatial_ndim, geometry.groups)


def sizes_of(layer: Layer) -> dict[str, int]:
    """Name the sizes of a layer.

    Parameters
    ----------
    layer : Layer
        Or anything with a `geometry` and a number of `images`.

    Returns
    -------
    dict of str to int
        N images, d planes, n filters, g groups; H and W of the image, K and L of the filter, H' and W' of the response
        map (D, M and D' with three axes, W, K and W' with one); the tails, and the padding before and after.
    """
    g = layer.geometry
    found = {"N": layer.images, "d": g.image[0], "n": g.filters[0], "g": g.groups}
    found |= {"d/g": g.planes_per_group, "n/g": g.filters_per_group}
    parts = zip(SIZES[g.spatial_ndim], g.image[1:], g.filters[2:], g.responses[1:], g.tail, g.padding, strict=True)
    for (image, taps, out), size, k, count, tail, (before, after) in parts:
        found |= {image: size, taps: k, out: count, f"tail({image})": tail}
        found |= {f"before({image})": before, f"after({image})": after}
    return found


def right(result: str, structure: Structure, options: Geometry, *, same: bool = False) -> Formula:
    """Return the right formula of a result (L1, L12, L20, L21).

    Parameters
    ----------
    result : str
        S, dX, dF or db.
    structure : Structure
        The arrays.
    options : Geometry
        Any layer with the stride, the dilation and the padding.
    same : bool
        Whether the padding depends on the filter, as "same" does.

    Returns
    -------
    Formula
        ``y = s·l + δ·a − p`` on every axis, planes of the filter's group, the filter's own response map.
    """
    tensors, own = structure.tensors, {"S": "G", "dX": "X", "dF": "F", "db": "b"}[result]
    letters = {**{letter: letter for letter in "GFX"}, own: result}
    shape = tuple(Linear.of({axis.size: 1}) for axis in array_axes(tensors[result]))
    numbers = _numbers(options, same=same)
    if result == "db":
        same_filter = [_same(f"db.{axis.name}", f"G.{axis.name}") for axis in tensors["b"].axes]
        sums = Term((View(tensors["db"]), View(tensors["G"])), tuple(same_filter))
        return Formula("db", (sums,), shape, numbers)
    views = tuple(View(tensors[letter]) for letter in (result, *FACTORS[result]))
    G, F, X = (letters[letter] for letter in "GFX")
    names = ("g", "i") if structure.groups > 1 else ("i",)
    equations = [_same(f"{F}.{name}", f"{G}.{name}") for name in names]
    equations.append(_same(f"{X}.n", f"{G}.n"))
    equations += [_same(f"{X}.g", f"{G}.g")] if structure.groups > 1 else []
    equations.append(_same(f"{X}.k", f"{F}.k"))
    axes = zip(INDICES[structure.spatial_ndim], SIZES[structure.spatial_ndim], strict=True)
    for at, ((l, a, y), (size, _, _)) in enumerate(axes):
        steps = {f"{G}.{l}": options.stride[at], f"{F}.{a}": options.dilation[at]}
        before = options.padding[at][0]
        value = Linear.of({**steps, f"before({size})": -1}) if same else Linear.of(steps, -before)
        equations.append(Equation(f"{X}.{y}", value))
    return Formula(result, (Term(views, tuple(equations)),), shape, numbers)


def _numbers(options: Geometry, *, same: bool) -> tuple[tuple[str, int], ...]:
    """Name the options of every axis, and the padding where it is the same for all filters."""
    found = {"groups": options.groups}
    for at, (stride, dilation, (before, after)) in enumerate(
        zip(options.stride, options.dilation, options.padding, strict=True)
    ):
        found |= {f"stride[{at}]": stride, f"dilation[{at}]": dilation}
        found |= {} if same else {f"before[{at}]": before, f"after[{at}]": after}
    return tuple(found.items())


def with_bias(formula: Formula, structure: Structure) -> Formula:
    """Add the bias to the right responses (L2)."""
    tensors = structure.tensors
    equations = [_same(f"b.{axis.name}", f"S.{axis.name}") for axis in tensors["b"].axes]
    return dataclasses.replace(
        formula, terms=(*formula.terms, Term((View(tensors["S"]), View(tensors["b"])), tuple(equations)))
    )


def array_axes(tensor: Tensor) -> tuple[Axis, ...]:
    """Return the axes that an array has, with groups and what is in a group as one."""
    axes = list(tensor.axes)
    at = next((at for at, axis in enumerate(axes) if axis.name == "g"), None)
    if at is not None:
        axes[at : at + 2] = [Axis(axes[at + 1].name, axes[at + 1].size.partition("/")[0])]
    return tuple(axes)


def _same(index: str, other: str) -> Equation:
    return Equation(index, Linear.of({other: Fraction(1)}))
