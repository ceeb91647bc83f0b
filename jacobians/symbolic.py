"""The matrices of a layer with symbols as entries.

Symbols are just another dtype: every matrix here is filled by the code of `jacobians.matrices` that fills in numbers,
so that what is printed is what is computed. Names are the lecture's, counted from 1: X11, F11, S11, g1, v1. If there is
more than one plane or filter, its number comes first, followed by a comma: ``X_2,13`` is plane 2, row 1, column 3 and
``F_12,13`` is filter 1, plane 2, row 1, column 3. If an index has two digits, commas stand between all: ``X_10,3``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import sympy

from jacobians import convolution, matrices
from jacobians.arguments import flag, integer, word
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry, check_geometry
from jacobians.writing import (
    MOST_SYMBOLS,
    Format,
    Role,
    check_form,
    check_written,
    cuts_columns,
    equations,
    names,
    pattern,
    render,
    shape_of,
    write,
)

__all__ = [
    "Role",
    "equations",
    "filter_gradient",
    "filter_matrix",
    "image_matrix",
    "input_gradient",
    "names",
    "render",
    "responses",
    "rot180",
    "stack_matrix",
    "view",
    "write",
    "zero_pad",
]

Array = npt.NDArray[Any]

VIEWS = (
    "image_matrix",
    "filter_matrix",
    "stack_matrix",
    "responses",
    "filter_gradient",
    "zero_pad",
    "rot180",
    "input_gradient",
)


class Matrix(sympy.Matrix):  # type: ignore[misc]  # sympy ships no types
    """A sympy.Matrix that a notebook shows as the lecture writes it: with dots where it is large, sums in its order."""

    _class_priority = sympy.Matrix._class_priority + 1  # noqa: SLF001  # what is made of both kinds is of this one

    def _repr_latex_(self) -> str:
        try:
            return f"$\\displaystyle {render(self, 'latex')}$"
        except ValueError:  # what the lecture does not write: quotients, functions
            latex: str = super()._repr_latex_()
            return latex


def symbols(letter: str, role: Role, geometry: Geometry) -> Array:
    """Return the named symbols as an object array of the shape of the role."""
    named = [sympy.Symbol(name) for name in _named(letter, role, geometry)]
    return object_array(named, shape_of(role, geometry))


def _named(letter: str, role: Role, geometry: Geometry) -> list[str]:
    """Name the entries of an array, if there are so few that they can be looked at."""
    check_written(letter, shape_of(role, geometry), geometry, MOST_SYMBOLS)
    return names(letter, role, geometry)


def object_array(entries: Sequence[Any], shape: Sequence[int]) -> Array:
    """Return entries of any type as an object array, also such as NumPy would take for sequences."""
    array = np.empty(len(entries), object)
    for index, entry in enumerate(entries):
        array[index] = entry
    return array.reshape(shape)


# the matrices ---------------------------------------------------------------------------------------------------------


def image_matrix(geometry: Geometry, *, group: int = 0) -> sympy.Matrix:
    """M_X^im with symbols as entries (L8, L9).

    Parameters
    ----------
    geometry : Geometry
        The layer.
    group : int
        Group of planes, counted from 0.

    Returns
    -------
    sympy.Matrix, shape (positions, taps)
        Entry ``[r, c]`` is the pixel that tap ``c`` reads for response ``r``, 0 where it falls into padding.

    Raises
    ------
    IndexError
        If there is no such group.
    TooLargeError
        If there are too many entries to be looked at.

    Examples
    --------
    >>> image_matrix(Geometry((1, 2, 3), (1, 1, 2, 2)))
    Matrix([
    [X11, X12, X21, X22],
    [X12, X13, X22, X23]])
    """
    geometry = check_geometry(geometry)
    group = geometry.check_index("group", group, geometry.groups)
    return Matrix(place_image(symbols("X", "image", geometry), geometry, group))


def filter_matrix(geometry: Geometry, *, i: int = 0) -> sympy.Matrix:
    """M_Fi^filter with symbols as entries (L14, L15).

    Parameters
    ----------
    geometry : Geometry
        The layer.
    i : int
        Filter, counted from 0.

    Returns
    -------
    sympy.Matrix, shape (positions, pixels)
        Entry ``[r, P[r, c]]`` is tap ``c`` of filter `i`, where ``P[r, c]`` is the pixel that it reads for response
        ``r``.

    Raises
    ------
    IndexError
        If there is no such filter.
    TooLargeError
        If there are too many entries to be looked at.

    Examples
    --------
    >>> filter_matrix(Geometry((1, 2, 3), (1, 1, 2, 2)))
    Matrix([
    [F11, F12,   0, F21, F22,   0],
    [  0, F11, F12,   0, F21, F22]])
    """
    geometry = check_geometry(geometry)
    i = geometry.check_index("i", i, geometry.filters[0])
    return Matrix(place_filter(symbols("F", "filters", geometry), geometry, i))


def stack_matrix(i: int, geometry: Geometry) -> sympy.Matrix:
    """∂vec(S)/∂vec(S_i), a column of n blocks of which block i is the identity (L7).

    Parameters
    ----------
    i : int
        Response map, counted from 0.
    geometry : Geometry
        The layer.

    Returns
    -------
    sympy.Matrix, shape (n · positions, positions)
        Entry ``[i·t + r, r]`` is 1.

    Raises
    ------
    IndexError
        If there is no such response map.
    TooLargeError
        If there are too many entries to be looked at.

    Examples
    --------
    >>> stack_matrix(1, Geometry((1, 1, 3), (2, 1, 1, 2)))
    Matrix([
    [0, 0],
    [0, 0],
    [1, 0],
    [0, 1]])
    """
    geometry = check_geometry(geometry)
    check_written("∂vec(S)/∂vec(S_i)", (geometry.filters[0] * geometry.positions, geometry.positions), geometry)
    return Matrix(matrices.stack_matrix(i, geometry, dtype=np.int64).toarray().astype(object))


def responses(geometry: Geometry) -> sympy.Matrix:
    """vec(S) with symbols as entries: M_X^im vec(F_i) for every filter, one below the other (L8).

    Parameters
    ----------
    geometry : Geometry
        The layer.

    Returns
    -------
    sympy.Matrix, shape (n · positions, 1)
        Entry ``i·t + r`` is the sum of the products of pixels and taps that make response ``r`` of filter ``i``.

    Examples
    --------
    >>> responses(Geometry((1, 1, 3), (1, 1, 1, 2)))
    Matrix([
    [F11*X11 + F12*X12],
    [F11*X12 + F12*X13]])
    """
    geometry = check_geometry(geometry)
    _check_products(geometry)
    X, F = symbols("X", "image", geometry), symbols("F", "filters", geometry)
    maps = [_times(F[i].ravel(), place_image(X, geometry, geometry.group_of(i)).T) for i in range(len(F))]
    return Matrix(np.concatenate(maps))


def filter_gradient(geometry: Geometry) -> sympy.Matrix:
    """∂l/∂vec(F) with symbols as entries: g_i M_X^im for every filter, one behind the other (L10).

    Parameters
    ----------
    geometry : Geometry
        The layer.

    Returns
    -------
    sympy.Matrix, shape (1, n · taps)
        Entry ``i·taps + c`` is the sum over the responses ``r`` of ``g_i[r]`` times the pixel that tap ``c`` reads.

    Examples
    --------
    >>> filter_gradient(Geometry((1, 1, 3), (1, 1, 1, 2)))
    Matrix([[X11*g1 + X12*g2, X12*g1 + X13*g2]])
    """
    geometry = check_geometry(geometry)
    _check_products(geometry)
    X, G = symbols("X", "image", geometry), symbols("g", "responses", geometry)
    rows = [_times(G[i].ravel(), place_image(X, geometry, geometry.group_of(i))) for i in range(len(G))]
    return Matrix([np.concatenate(rows)])


def input_gradient(geometry: Geometry) -> sympy.Matrix:
    """∂l/∂vec(X) with symbols as entries: the sum over the filters of g_i M_Fi^filter (L16, L17).

    Parameters
    ----------
    geometry : Geometry
        The layer.

    Returns
    -------
    sympy.Matrix, shape (1, pixels)
        Entry ``p`` is the sum of ``g_i[r]`` times the tap with which response ``r`` reads pixel ``p``.

    Examples
    --------
    >>> input_gradient(Geometry((1, 1, 3), (1, 1, 1, 2)))
    Matrix([[F11*g1, F11*g2 + F12*g1, F12*g2]])
    """
    geometry = check_geometry(geometry)
    _check_products(geometry)
    F, G = symbols("F", "filters", geometry), symbols("g", "responses", geometry)
    rows = [_times(G[i].ravel(), place_filter(F, geometry, i)) for i in range(len(G))]
    return Matrix([functools.reduce(np.add, rows)])


def zero_pad(geometry: Geometry) -> tuple[sympy.Matrix, ...]:
    """G^zero-pad with symbols as entries, a matrix per response map (L18).

    Parameters
    ----------
    geometry : Geometry
        The layer, of one or two spatial axes.

    Returns
    -------
    tuple of sympy.Matrix
        G_i with ``stride − 1`` zeros between its entries, ``extent − 1`` around them and the tail behind them.

    Raises
    ------
    ShapeError
        If a plane is not a matrix.

    Examples
    --------
    >>> zero_pad(Geometry((1, 1, 5), (1, 1, 1, 2), stride=(1, 2)))
    (Matrix([[0, g1, 0, g2, 0, 0]]),)
    """
    geometry = check_geometry(geometry)
    sizes = [size + extent - 1 for size, extent in zip(geometry.padded, geometry.extent, strict=True)]
    check_written("G^zero-pad", (geometry.filters[0], *sizes), geometry)
    padded = convolution.spread(symbols("g", "responses", geometry), geometry)
    return tuple(_matrix(plane) for plane in padded)


def rot180(geometry: Geometry, *, i: int = 0) -> tuple[sympy.Matrix, ...]:
    """F_i^rot180 with symbols as entries, a matrix per plane (L18, L19).

    Parameters
    ----------
    geometry : Geometry
        The layer, of one or two spatial axes.
    i : int
        Filter, counted from 0.

    Returns
    -------
    tuple of sympy.Matrix
        The planes of filter `i`, rotated by 180°.

    Raises
    ------
    ShapeError
        If a plane is not a matrix.
    IndexError
        If there is no such filter.

    Examples
    --------
    >>> rot180(Geometry((1, 2, 3), (1, 1, 2, 2)))
    (Matrix([
    [F22, F21],
    [F12, F11]]),)
    """
    geometry = check_geometry(geometry)
    i = geometry.check_index("i", i, geometry.filters[0])
    return tuple(_matrix(plane) for plane in convolution.turn(symbols("F", "filters", geometry))[i])


def _matrix(plane: Array) -> sympy.Matrix:
    if plane.ndim > 2:
        raise ShapeError(
            f"geometry has {plane.ndim} spatial axes, whose planes are not matrices; only one or two can be written: "
            "use jacobians.zero_pad and jacobians.rot180 on arrays"
        )
    return Matrix(np.atleast_2d(plane))


def _check_products(geometry: Geometry) -> None:
    """Refuse sums of too many products."""
    sizes = geometry.filters[0], geometry.positions, geometry.taps
    check_written("the triple sum", sizes, geometry, MOST_SYMBOLS)


def _times(row: Array, matrix: Array) -> Array:
    """Multiply a row vector of symbols by a matrix, each sum at once: adding term by term would take the square."""
    sums = [
        sympy.Add(*(factor * entry for factor, entry in zip(row, column, strict=True) if entry != 0))
        for column in matrix.T
    ]
    return object_array(sums, (len(sums),))


def place_image(X: Array, geometry: Geometry, group: int) -> Array:
    """Place entries of any type as M_X^im, dense, shape (positions, taps)."""
    shape = geometry.positions, geometry.taps
    check_written("M_X^im", shape, geometry)
    return dense(matrices.pixel_entries(X, geometry, group), shape)


def place_filter(F: Array, geometry: Geometry, i: int) -> Array:
    """Place entries of any type as M_Fi^filter, dense, shape (positions, pixels)."""
    shape = geometry.positions, geometry.pixels
    check_written("M_F^filter", shape, geometry)
    return dense(matrices.tap_entries(F[i], geometry, geometry.group_of(i)), shape)


def dense(entries: matrices.Entries, shape: tuple[int, int]) -> Array:
    """Return entries of any type as a dense array, 0 where there are none."""
    result = np.zeros(shape, entries.values.dtype)
    result[entries.rows, entries.columns] = entries.values
    return result


# the views of a layer -------------------------------------------------------------------------------------------------


def view(
    name: str, geometry: Geometry, i: int = 0, form: Format = "unicode", *, whole: bool = False, width: int = 100
) -> str:
    """Write one of the layer's matrices below a line that says what it is.

    Parameters
    ----------
    name : str
        One of `VIEWS`.
    geometry : Geometry
        The layer.
    i : int
        Filter, or response map, for the matrices of one; counted from 0.
    form, whole, width
        As `render`.

    Returns
    -------
    str
        The title and the matrix, or the equations of a vector. Where the names of a matrix do not fit the width, each
        entry is one character, so that the whole pattern is seen; where that does not fit either, columns are left out.

    Raises
    ------
    ValueError
        If there is no such view.
    """
    geometry = check_geometry(geometry)
    name, i = word("name", name, VIEWS), geometry.check_index("i", i, geometry.filters[0])
    check_form(form)
    whole, width = flag("whole", whole), integer("width", width)
    page = functools.partial(render, form=form, whole=whole, width=width)
    if name in VECTORS:
        formula, letter, role, vector = VECTORS[name]
        named = _named(letter, role, geometry)
        title, text = formula, equations(named, vector(geometry), form, whole=whole, width=width)
    elif name in {"zero_pad", "rot180"}:
        planes = zero_pad(geometry) if name == "zero_pad" else rot180(geometry, i=i)
        title = "G^zero-pad, a plane per response map" if name == "zero_pad" else "F^rot180, a plane per plane of X"
        title, text = f"{title}  (L18)", "\n\n".join(map(page, planes))
    else:
        title, matrix, labels = _matrix_view(name, geometry, i)
        title = f"{title}, {matrix.rows} × {matrix.cols}"
        seen = "" if whole or form == "latex" else _pattern(name, geometry, i, matrix, labels, form, width)
        text = seen or page(matrix, labels=labels)
    if form != "latex" and len(title) > width:
        title = title.replace(": ", ":\n  ")
    return f"{'% ' if form == 'latex' else ''}{title}\n{text}"


def _pattern(
    name: str,
    geometry: Geometry,
    i: int,
    matrix: sympy.Matrix,
    labels: list[str],
    form: Literal["unicode", "text"],
    width: int,
) -> str:
    """The pattern of a matrix whose names do not fit, or nothing."""
    if name == "stack_matrix" or not cuts_columns(matrix, width, labels):
        return ""
    if name == "image_matrix":
        symbols, columns = names("X", "image", geometry), geometry.filters
    else:
        symbols = names("F", "filters", geometry)[i * geometry.taps : (i + 1) * geometry.taps]
        columns = geometry.image
    return pattern(matrix, symbols, (geometry.responses[-1], columns[-1]), form, width=width, labels=labels)


def _matrix_view(name: str, geometry: Geometry, i: int) -> tuple[str, sympy.Matrix, list[str]]:
    """Return a title, the matrix and a name for each of its rows."""
    labels, t = _named("S", "responses", geometry), geometry.positions
    number = f"_{i + 1}" if geometry.filters[0] > 1 else ""
    S_i, F_i = (f"∂vec({letter}{number})" for letter in "SF")
    if name == "stack_matrix":
        title = f"∂vec(S)/∂vec(S_{i + 1}): a row per response, the identity at block {i + 1}  (L7)"
        return title, stack_matrix(i, geometry), labels
    labels = labels[i * t : (i + 1) * t]
    if name == "image_matrix":
        title = f"M_X^im = {S_i}/{F_i}: a row per response, a column per tap  (L8, L9)"
        return title, image_matrix(geometry, group=geometry.group_of(i)), labels
    title = f"M_F{number}^filter = {S_i}/∂vec(X): a row per response, a column per pixel  (L14, L15)"
    return title, filter_matrix(geometry, i=i), labels


VECTORS: dict[str, tuple[str, str, Role, Callable[[Geometry], sympy.Matrix]]] = {
    "responses": ("vec(S) = M_X^im vec(F_i)  (L8, L9)", "S", "responses", responses),
    "filter_gradient": ("∂l/∂vec(F) = (v1 v2 …) = g M_X^im  (L10 … L12)", "v", "filters", filter_gradient),
    "input_gradient": ("∂l/∂vec(X) = (v1 v2 …) = Σ_i g_i M_Fi^filter  (L16 … L20)", "v", "image", input_gradient),
}
