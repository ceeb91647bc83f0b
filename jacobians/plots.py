"""Pictures of the matrices: what `jacobians.symbolic` prints, drawn.

The pictures come from the builders of `jacobians.matrices`, which are given indices as entries: if a picture has the
colour of tap 5, the builder has placed a 5. Colours are those of `jacobians.colours`: pixels are blue, taps vermilion,
each from dark to light in vec order, so that they keep their order for colour-blind eyes and in greyscale print. If
symbols fit into the cells they are written there; otherwise a key stands beside the matrix. Empty cells are zeros
that are not stored. A matrix with more rows or columns than a picture has dots is built in blocks and averaged over
squares of cells; it is never dense.

Every function draws on `ax` and returns it. Without `ax` it makes a new figure, which need not be closed: a notebook
shows the axes that are returned, and `save` writes them to a file. To see a picture in a window, pass axes of pyplot:
``plots.filter_matrix(geometry, ax=plt.gca())``, then ``plt.show()``.
"""

from __future__ import annotations

import io
import math
import os
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from jacobians import convolution, files, matrices, spectra, writing
from jacobians.arguments import instance, integer, word
from jacobians.colours import COLOURS, ramp
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry, as_plane, check_geometry
from jacobians.models import ConvolutionLayer
from jacobians.network import Network
from jacobians.sizes import check_entries

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize, to_rgba
    from matplotlib.figure import Figure, SubplotParams
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'jacobians.plots needs matplotlib, but there is no module {error.name}: pip install "jacobians[plot]"',
        name=error.name,
    ) from error

__all__ = [
    "filter_matrix",
    "image_matrix",
    "jacobian",
    "network",
    "patch",
    "rotated_filter",
    "save",
    "spectrum",
    "stack_matrix",
]

Array = npt.NDArray[Any]
Builder = Callable[[slice], csr_array]

SUFFIXES = (".png", ".svg")
# Dots on each side of a picture of a matrix; larger matrices are averaged.
DOTS = 480
# Entries that are built at once, and all together: some ten seconds; and cells that are drawn one by one.
BLOCK_ENTRIES, MOST_ENTRIES, MOST_DRAWN = 1 << 21, 1 << 27, 1 << 20
# Symbols are written into cells up to this many cells, and no smaller than this many points.
MOST_SYMBOLS = 1500
FONT, LEAST_FONT = 8.0, 5.0
# Width of a character as a part of the font's size; most are subscripts.
LETTER = 0.5
# Widest figure in inches; wider ones are no longer readable when they are shown as wide as a page.
WIDEST = 11.0
# Part of a figure that its axes take before they are laid out, which is about what they take afterwards.
AXES_PART = 0.9
# Dots per inch of PNG files, and of what is no line in SVG files.
RESOLUTION = 200
# More names than the first are not all written beside a key, and more than the second are not even made.
KEY_NAMES, MOST_NAMES = 18, 100_000
# Cells on a side of an image up to which the cells beside it are as large as its own.
MOST_CELLS = 24
# More block lines than the first are drawn lightly, and more than the second not at all.
FEW_LINES, MOST_LINES = 24, 100

# What is drawn on, in words.
DRAWN_ON = "matplotlib.axes.Axes"
# The window of the filter: its frame, and what lies below it.
FRAME, MARKED = COLOURS["F"].full, COLOURS["F"].tint[0]
PIXEL, GRADIENT, ENTRY, ZERO, LINE = COLOURS["X"].tint[0], COLOURS["G"].tint[0], "#E9E9E9", "#FFFFFF", "#BDBDBD"
ROTATED = r"$F^{\mathrm{rot180}}$"
INK, FAINT = "#1A1A1A", "#777777"


class Picture(Axes):
    """Axes of a figure that nobody else holds, which a notebook shows by itself."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        _render(self, file, ".png")
        return file.getvalue()


@dataclass(frozen=True)
class Side:
    """Rows, columns or entries of a matrix: entries of an array of the layer, in vec order."""

    label: str
    letter: str
    role: writing.Role
    shape: tuple[int, ...]
    start: int = 0
    """Entries of the whole array before the first one."""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def names(self, geometry: Geometry) -> Array:
        return _names(self.letter, self.role, geometry)[self.start : self.start + self.size]


def _names(letter: str, role: writing.Role, geometry: Geometry) -> Array:
    """Name the entries of an array of the layer as the lecture does; where there are too many, all names are empty."""
    shape = {"image": geometry.image, "filters": geometry.filters, "responses": geometry.responses}[role]
    if math.prod(shape) > MOST_NAMES:
        return np.full(math.prod(shape), "", object)
    return np.array([writing.write_name(name) for name in writing.names(letter, role, geometry)], object)


# matrices -------------------------------------------------------------------------------------------------------------


def image_matrix(geometry: Geometry, *, group: int = 0, ax: Axes | None = None) -> Axes:
    """Draw M_X^im, each pixel of X in a colour of its own (L8, L9).

    Parameters
    ----------
    geometry : Geometry
        The layer, of any number of spatial axes.
    group : int
        Group of planes, counted from 0.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A row per response, a column per tap; the same colour is the same pixel. Cells are empty where a tap reads
        padding. Thin lines separate the rows of the image and of the filter, thicker lines their planes.

    Raises
    ------
    IndexError
        If there is no such group.

    Examples
    --------
    >>> ax = image_matrix(Geometry((1, 6, 6), (1, 1, 3, 3)))
    >>> [symbol.get_text() for symbol in ax.texts[:4]]
    ['X₁₁', 'X₁₂', 'X₁₃', 'X₂₁']
    """
    geometry = _checked(geometry, 1)
    X = np.arange(geometry.pixels).reshape(geometry.image)
    i = geometry.filters_of(geometry.check_index("group", group, geometry.groups)).start
    return _matrix(
        ax,
        geometry,
        lambda rows: matrices.image_matrix(X, geometry, group=group, rows=rows),
        _map_side(geometry, i),
        Side("taps", "F", "filters", geometry.filters[1:], i * geometry.taps),
        key=Side("pixels", "X", "image", geometry.image),
        title=f"{_image_matrix_name(geometry, group)}: {geometry.positions} responses × {geometry.taps} taps "
        "(same colour, same pixel)",
    )


def filter_matrix(geometry: Geometry, *, i: int = 0, ax: Axes | None = None) -> Axes:
    """Draw M_F^filter, each tap of the filter in a colour of its own (L14, L15).

    Parameters
    ----------
    geometry : Geometry
        The layer, of any number of spatial axes.
    i : int
        Filter, counted from 0.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A row per response, a column per pixel; the same colour is the same tap. Thin lines separate the rows of the
        image and of the response map, thicker lines the planes. With stride 1 and without padding, the matrix is doubly
        block Toeplitz.

    Raises
    ------
    IndexError
        If there is no such filter.

    Examples
    --------
    >>> ax = filter_matrix(Geometry((1, 6, 6), (1, 1, 3, 3)))
    >>> [symbol.get_text() for symbol in ax.texts[:4]]
    ['F₁₁', 'F₁₂', 'F₁₃', 'F₂₁']
    """
    geometry = _checked(geometry, 1)
    i = geometry.check_index("i", i, geometry.filters[0])
    F_i = np.arange(geometry.taps).reshape(geometry.filters[1:])
    name = rf"$M_{{F{f'_{{{i + 1}}}' if geometry.filters[0] > 1 else ''}}}^{{\mathrm{{filter}}}}$"
    return _matrix(
        ax,
        geometry,
        lambda rows: matrices.filter_matrix(F_i, geometry, group=geometry.group_of(i), rows=rows),
        _map_side(geometry, i),
        Side("pixels", "X", "image", geometry.image),
        key=Side("taps", "F", "filters", geometry.filters[1:], i * geometry.taps),
        title=f"{name}: {geometry.positions} responses × {geometry.pixels} pixels (same colour, same tap)",
    )


def jacobian(geometry: Geometry, *, wrt: Literal["image", "filters"] = "image", ax: Axes | None = None) -> Axes:
    """Draw the Jacobian of the whole layer: all planes, filters and groups (L7 … L10, L13 … L16).

    Parameters
    ----------
    geometry : Geometry
        The layer, of any number of spatial axes.
    wrt : {"image", "filters"}
        "image" draws ∂vec(S)/∂vec(X), coloured by taps; "filters" draws ∂vec(S)/∂vec(F), coloured by pixels.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A row per entry of vec(S), and a column per pixel of X or per tap of all filters. The thickest lines separate
        the rows of different filters.

    Raises
    ------
    ValueError
        If `wrt` is neither of these.

    Examples
    --------
    >>> ax = jacobian(Geometry((2, 6, 6), (4, 1, 3, 3), groups=2))
    >>> ax.get_title()
    '∂vec(S)/∂vec(X): 64 responses × 72 pixels (same colour, same tap)'
    """
    geometry = _checked(geometry, check_geometry(geometry).filters[0])
    responses = Side("responses", "S", "responses", geometry.responses)
    pixels = Side("pixels", "X", "image", geometry.image)
    taps = Side("taps", "F", "filters", geometry.filters)
    X, F = np.arange(pixels.size).reshape(pixels.shape), np.arange(taps.size).reshape(taps.shape)
    if word("wrt", wrt, ("image", "filters")) == "image":
        columns, key, by, of = pixels, taps, "X", "tap"

        def build(rows: slice) -> csr_array:
            return matrices.jacobian_wrt_image(F, geometry, rows=rows)

    else:
        columns, key, by, of = taps, pixels, "F", "pixel"

        def build(rows: slice) -> csr_array:
            return matrices.jacobian_wrt_filters(X, geometry, rows=rows)

    size = f"{responses.size} responses × {columns.size} {columns.label}"
    title = f"∂vec(S)/∂vec({by}): {size} (same colour, same {of})"
    return _matrix(ax, geometry, build, responses, columns, key=key, title=title)


def stack_matrix(i: int, geometry: Geometry, *, ax: Axes | None = None) -> Axes:
    """Draw ∂vec(S)/∂vec(S_i), a column of n blocks of which block i is the identity (L7).

    Parameters
    ----------
    i : int
        Response map, counted from 0.
    geometry : Geometry
        The layer, of any number of spatial axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        A row per entry of vec(S), a column per entry of vec(S_i).

    Raises
    ------
    IndexError
        If there is no such response map.

    Examples
    --------
    >>> stack_matrix(1, Geometry((1, 3, 4), (3, 1, 2, 2))).get_title()
    '∂vec(S)/∂vec(S₂): 18 × 6, the identity at block 2 of 3'
    """
    geometry = _checked(geometry, check_geometry(geometry).filters[0])
    n, t = geometry.filters[0], geometry.positions
    i = geometry.check_index("i", i, n)

    def build(rows: slice) -> csr_array:
        ones = matrices.stack_matrix(i, geometry, rows=rows, dtype=np.int64)
        return csr_array((np.zeros_like(ones.data), ones.indices, ones.indptr), shape=ones.shape)

    return _matrix(
        ax,
        geometry,
        build,
        Side("responses", "S", "responses", geometry.responses),
        _map_side(geometry, i),
        key=None,
        title=f"∂vec(S)/∂vec({_of('S', n, i)}): {n * t} × {t}, the identity at block {i + 1} of {n}",
    )


def _checked(geometry: Geometry, filters: int) -> Geometry:
    """Refuse a matrix with rows for so many filters that has too many entries to be built, or columns to be named."""
    geometry = check_geometry(geometry)
    cure = "draw a smaller layer: the pattern is the same"
    for what, shape in (
        ("the matrix", (filters, geometry.positions, geometry.taps)),
        ("the image", geometry.image),
        ("S", geometry.responses),
    ):
        check_entries(f"{what} of {geometry!r}", shape, MOST_ENTRIES, "a picture is made of", cure)
    return geometry


def _map_side(geometry: Geometry, i: int) -> Side:
    """One response map."""
    return Side("responses", "S", "responses", geometry.responses[1:], i * geometry.positions)


def _of(letter: str, count: int, index: int) -> str:
    """Number what there is more than one of, from 1 as the lecture does."""
    return writing.write_name(f"{letter}{index + 1}") if count > 1 else letter


def _image_matrix_name(geometry: Geometry, group: int) -> str:
    return r"$M_X^{\mathrm{im}}$" + (f" of group {group + 1}" if geometry.groups > 1 else "")


def _matrix(
    ax: Axes | None, geometry: Geometry, build: Builder, rows: Side, columns: Side, *, key: Side | None, title: str
) -> Axes:
    """Draw a matrix whose entries are indices into the entries of `key`: their symbols or their colours."""
    symbols = key.names(geometry) if key else np.array(["1"], object)
    letters = max(map(len, symbols))
    shape = (rows.size, columns.size)
    ax = _axes(ax, *_matrix_size(shape, letters))
    ax.set(xlim=(0, columns.size), ylim=(rows.size, 0))
    ax.set_title(title, fontsize=FONT + 2)
    size = _font(ax, shape, letters) if letters and math.prod(shape) <= MOST_SYMBOLS else 0
    scale = Scale(key.size, key.letter) if key else Scale(1, "S")
    values = _dots(build, shape, geometry.taps)
    _mesh(ax, values, shape, scale, cells=size > 0)
    _part(ax, rows.shape, columns.shape)
    if size:
        _write_symbols(ax, values, symbols, scale, size)
    elif key:
        _zoom(ax, build, values, scale, rows.shape, columns.shape)
        _key(ax, scale, key, symbols)
    _name_cells(ax, rows, columns, geometry)
    return ax


def _matrix_size(shape: tuple[int, int], letters: int) -> tuple[float, float]:
    """Inches in which the symbols fit into the cells, or, if that is too wide, in which the matrix looks well."""
    height, width = shape
    cell = (FONT * LETTER * max(letters, 2) + 2.5) / 72
    if letters and width * cell <= WIDEST and height * width <= MOST_SYMBOLS:
        return max(4.5, width * cell / AXES_PART), min(max(2.5, height * 0.19 / AXES_PART), WIDEST)
    ratio = min(max(height / width, 0.25), 1.5)
    return (8.0, 1.5 + 6.5 * ratio) if ratio < 1 else (2.0 + 6.5 / ratio, 8.0)


def _dots(build: Builder, shape: tuple[int, int], taps: int) -> Array:
    """Return entries where a dot is a cell, means where it is a square of them; masked where nothing is stored."""
    high, wide = (-(-size // DOTS) for size in shape)
    dots = -(-shape[0] // high), -(-shape[1] // wide)
    total, count = np.zeros(math.prod(dots)), np.zeros(math.prod(dots))
    step = max(1, BLOCK_ENTRIES // taps)
    for start in range(0, shape[0], step):
        block = build(slice(start, start + step)).tocoo()
        dot = (block.row.astype(np.int64) + start) // high * dots[1] + block.col // wide
        total += np.bincount(dot, block.data, len(total))
        count += np.bincount(dot, minlength=len(count))
    return np.ma.masked_array(total / np.maximum(count, 1), count == 0).reshape(dots)


class Scale:
    """Colours of `count` entries of the array with this letter, from dark to light."""

    def __init__(self, count: int, letter: str) -> None:
        self.norm = Normalize(-0.5, count - 0.5)
        self.cmap = ListedColormap(ramp(letter, min(count, 256)))

    def __call__(self, index: npt.ArrayLike) -> Array:
        return np.asarray(self.cmap(self.norm(index)))


def _mesh(ax: Axes, values: Array, shape: tuple[int, int], scale: Scale, *, cells: bool) -> None:
    down, across = (
        np.minimum(np.arange(dots + 1) * -(-size // DOTS), size) for dots, size in zip(values.shape, shape, strict=True)
    )
    edges: dict[str, Any] = (
        {"edgecolors": ax.get_facecolor(), "linewidth": 0.8} if cells else {"rasterized": values.size > MOST_SYMBOLS}
    )
    ax.pcolormesh(across, down, values, cmap=scale.cmap, norm=scale.norm, **edges)


def _part(ax: Axes, rows: Sequence[int], columns: Sequence[int]) -> None:
    """Draw lines between the rows of an image in vec order, thicker ones between its planes, and so on."""
    height, width = math.prod(rows), math.prod(columns)
    for shape, lines, span in ((rows, ax.hlines, width), (columns, ax.vlines, height)):
        for level in range(1, len(shape)):
            count, step = math.prod(shape[:level]), math.prod(shape[level:])
            if step > 1 and 1 < count <= MOST_LINES:
                weight = 0.8 * 2 ** (len(shape) - 1 - level)
                light: dict[str, Any] = {"alpha": 0.2, "linewidth": 0.4, "zorder": 0}
                look = {"linewidth": weight} if count <= FEW_LINES else light
                lines(range(step, count * step, step), 0, span, colors=mpl.rcParams["axes.edgecolor"], **look)


def _write_symbols(ax: Axes, values: Array, symbols: Array, scale: Scale, size: float) -> None:
    for r, c in zip(*np.nonzero(~np.ma.getmaskarray(values)), strict=True):
        _write(ax, c + 0.5, r + 0.5, symbols[int(values[r, c])], size, _ink(scale(values[r, c])))


def _key(ax: Axes, scale: Scale, key: Side, symbols: Array) -> None:
    """Draw the colours with their names beside the matrix, all names or some."""
    if key.size == 1:
        return
    bar = ax.figure.colorbar(ScalarMappable(scale.norm, scale.cmap), ax=ax, fraction=0.05, pad=0.02, aspect=30)
    some = np.arange(key.size) if key.size <= KEY_NAMES else np.linspace(0, key.size - 1, 5).astype(int)
    bar.set_ticks(some.tolist(), labels=[symbols[c] or str(c) for c in some], fontsize=FONT)
    bar.minorticks_off()
    bar.ax.invert_yaxis()
    bar.set_label(f"{key.label}, in the order of vec({key.letter})", fontsize=FONT)


def _zoom(ax: Axes, build: Builder, values: Array, scale: Scale, rows: Sequence[int], columns: Sequence[int]) -> None:
    """Show the first blocks enlarged in the upper right corner, if cells are too small to be seen and it is empty."""
    size = min(2 * rows[-1], math.prod(rows)), min(4 * columns[-1], math.prod(columns))
    high, wide = int(0.38 * values.shape[0]), int(0.57 * values.shape[1])
    small = min(math.prod(rows), math.prod(columns)) > DOTS >= max(size)
    if not small or not np.ma.getmaskarray(values)[:high, -wide:].all():
        return
    inset = ax.inset_axes((0.44, 0.64, 0.54, 0.34))
    inset.set(xlim=(0, size[1]), ylim=(size[0], 0), xticks=[], yticks=[])
    corner = build(slice(0, size[0]))[:, : size[1]]
    _mesh(inset, _dots(lambda taken: corner[taken], size, 1), size, scale, cells=False)
    _part(inset, (2, rows[-1]), (4, columns[-1]))
    inset.set_xlabel(f"enlarged: the first {size[0]} rows and {size[1]} columns", fontsize=FONT)


def _name_cells(ax: Axes, rows: Side, columns: Side, geometry: Geometry) -> None:
    """Name each row and column where there is room, else number them from 0."""
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.tick_params(length=0, labelsize=FONT - 1)
    height, width = _cell(ax, (rows.size, columns.size))
    for axis, side, cell in ((ax.yaxis, rows, height), (ax.xaxis, columns, width)):
        names = side.names(geometry) if cell >= FONT else np.array([""])
        if names[0]:
            axis.set_ticks(np.arange(side.size) + 0.5, names, rotation=90 if axis is ax.xaxis else 0)
        else:
            axis.set_major_locator(MaxNLocator(8, integer=True))
            axis.set_major_formatter("{x:.0f}")
            axis.set_label_text(f"{side.label}, counted from 0", fontsize=FONT)


# an image and a filter on it ------------------------------------------------------------------------------------------


def patch(geometry: Geometry, *, i: int = 0, row: int | None = None, ax: Axes | None = None) -> Axes:
    """Draw a row of M_X^im and, marked in X, the patch that it is (L1, L8).

    Parameters
    ----------
    geometry : Geometry
        The layer, of one or two spatial axes.
    i : int
        Filter, counted from 0; it reads the planes of its group.
    row : int, optional
        Row of M_X^im, which is a response counted from 0; by default one in the middle.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The padded planes of X that the filter reads, with the patch in red; below them the row, with 0 where a tap
        reads padding.

    Raises
    ------
    ShapeError
        If the planes have more than two axes.
    IndexError
        If there is no such filter or row.

    Examples
    --------
    >>> patch(Geometry((1, 6, 6), (1, 1, 3, 3)), row=5).get_title()
    'S₂₂ is the sum of taps times the patch in red'
    """
    flat, t = _flat(geometry), geometry.positions
    i = geometry.check_index("i", i, geometry.filters[0])
    row = geometry.check_index("row", _middle(flat.responses[1:]) if row is None else row, t)
    group = geometry.group_of(i)
    planes = range(geometry.image[0])[geometry.planes_of(group)]
    _check_drawn(geometry, "the padded image", (len(planes), *flat.padded))
    height, width = flat.padded
    across = len(planes) * (width + 1) - 1
    size = max(across, height)
    cell = max(1.0, min(0.9 * size / geometry.taps, size / 10)) if size > MOST_CELLS else 1.0
    total = max(across, cell * geometry.taps)
    gap = _gap(max(total, height))
    ax = _stage(ax, total, height + 2.4 * gap + cell)
    for k, plane in enumerate(planes):
        _draw_plane(ax, geometry, flat, plane, row, ((total - across) / 2 + k * (width + 1), gap))
    corner = ((total - cell * geometry.taps) / 2, height + 2.4 * gap)
    texts = _row_of_image_matrix(geometry, group, row)[None]
    _label(
        ax,
        total / 2,
        corner[1] - gap / 2,
        f"the patch as row {row} of {_image_matrix_name(geometry, group)}, counted from 0",
    )
    _grid(ax, corner, texts, _filled(texts.shape, MARKED), cell=cell)
    _frame(ax, corner, (cell, cell * geometry.taps))
    name = _names("S", "responses", geometry)[i * t + row] or f"Response {row}"
    ax.set_title(f"{name} is the sum of taps times the patch in red", fontsize=FONT + 2)
    return ax


def _check_drawn(geometry: Geometry, what: str, shape: Sequence[int]) -> None:
    """Refuse planes with too many cells, or with an image of too many pixels to be named."""
    cure = "draw a smaller layer: the pattern is the same"
    for name, sizes, most in ((what, shape, MOST_DRAWN), ("the image", geometry.image, MOST_ENTRIES)):
        check_entries(f"{name} of {geometry!r}", sizes, most, "a picture is made of", cure)


def _draw_plane(
    ax: Axes, geometry: Geometry, flat: Geometry, plane: int, row: int, corner: tuple[float, float]
) -> None:
    """Draw a padded plane of X and mark the patch that makes response `row`."""
    inside = tuple(slice(p, p + size) for (p, _), size in zip(flat.padding, flat.image[1:], strict=True))
    texts, colours = np.full(flat.padded, "0", object), _filled(flat.padded, ZERO)
    texts[inside] = _names("X", "image", geometry).reshape(flat.image)[plane]
    colours[inside] = to_rgba(PIXEL)
    position = np.unravel_index(row, flat.responses[1:])
    taps = [flat.axis_table(axis)[l] + flat.padding[axis][0] for axis, l in enumerate(position)]
    colours[np.ix_(*taps)] = to_rgba(MARKED)
    left, top = corner
    _grid(ax, corner, texts, colours)
    _frame(ax, (left + taps[1][0], top + taps[0][0]), flat.extent)
    _label(ax, left + flat.padded[1] / 2, top / 2, _of("X", geometry.image[0], plane))


def _row_of_image_matrix(geometry: Geometry, group: int, row: int) -> Array:
    X = np.arange(geometry.pixels).reshape(geometry.image)
    built = matrices.image_matrix(X, geometry, group=group, rows=slice(row, row + 1))
    texts = np.full(geometry.taps, "0", object)
    texts[built.indices] = _names("X", "image", geometry)[built.data]
    return texts


def rotated_filter(geometry: Geometry, *, i: int = 0, pixel: int | None = None, ax: Axes | None = None) -> Axes:
    """Draw F^rot180 on G^zero-pad, at the place that gives one entry of ∂l/∂X (L17, L18).

    Parameters
    ----------
    geometry : Geometry
        The layer, of one or two spatial axes.
    i : int
        Filter, counted from 0.
    pixel : int, optional
        Entry of ∂l/∂X, counted from 0 in vec order; by default one in the middle of a plane that the filter reads.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        G_i^zero-pad with the filter rotated by 180° on it, framed in red; beside it the filter's plane as it is and
        rotated, each tap in the colour that it has in `filter_matrix`. The title writes the entry as in the product
        vec(G_i) M_Fi^filter; the frame holds its terms. If several filters read the pixel, both show the part of filter
        `i`.

    Raises
    ------
    ShapeError
        If the planes have more than two axes.
    IndexError
        If there is no such filter or pixel, or the filter does not read the pixel.

    Examples
    --------
    >>> rotated_filter(Geometry((1, 6, 6), (1, 1, 3, 3)), pixel=2).get_title()
    'v₃ = g₁F₁₃ + g₂F₁₂ + g₃F₁₁'
    """
    flat = _flat(geometry)
    i = geometry.check_index("i", i, geometry.filters[0])
    pixel, plane, window = _pixel(flat, i, pixel)
    sizes = [size + extent - 1 for size, extent in zip(flat.padded, flat.extent, strict=True)]
    _check_drawn(geometry, "G^zero-pad", sizes)
    responses = np.arange(1, 1 + flat.positions).reshape(1, *flat.responses[1:])
    padded = convolution.spread(responses, flat)[0]
    taps = np.arange(flat.taps).reshape(1, *flat.filters[1:])
    turned = convolution.turn(taps)[0, plane]
    high, wide = turned.shape
    cell = max(1.0, 0.42 * len(padded) / high) if len(padded) > MOST_CELLS else 1.0
    right, gap = padded.shape[1] + 1.0, _gap(len(padded))
    ax = _stage(ax, right + cell * wide, max(gap + len(padded), 2.2 * gap + 2 * cell * high), unit=0.48)
    _draw_padded(ax, geometry, flat, i, padded, turned, window, gap)
    f = _names("F", "filters", geometry)[i * flat.taps : (i + 1) * flat.taps]
    for top, tap, label in ((gap, taps[0, plane], "$F$"), (2.2 * gap + cell * high, turned, ROTATED)):
        _grid(ax, (right, top), f[tap], Scale(flat.taps, "F")(tap), cell=cell)
        _label(ax, right + cell * wide / 2, top - gap / 2, label)
    title = _entry_of_input_gradient(geometry, i, pixel, f)
    ax.set_title("\n".join(textwrap.wrap(title, int(11 * _inches(ax)))), fontsize=FONT + 2)
    return ax


def _pixel(flat: Geometry, i: int, pixel: int | None) -> tuple[int, int, tuple[int, ...]]:
    """Return an entry of vec(X), which plane of filter `i` meets it, and where its window begins in G^zero-pad."""
    size = math.prod(flat.image[1:])
    planes = range(flat.image[0])[flat.planes_of(flat.group_of(i))]
    if pixel is None:
        pixel = planes[0] * size + _middle(flat.image[1:])
    plane, *place = np.unravel_index(flat.check_index("pixel", pixel, flat.pixels), flat.image)
    if plane not in planes:
        raise IndexError(
            f"pixel {pixel} lies in plane {plane}, which filter {i} of {flat!r} does not read; it needs a pixel from "
            f"{planes[0] * size} to {(planes[-1] + 1) * size - 1}, or another i"
        )
    return pixel, int(plane) - planes[0], tuple(int(at) + p for at, (p, _) in zip(place, flat.padding, strict=True))


def _draw_padded(
    ax: Axes,
    geometry: Geometry,
    flat: Geometry,
    i: int,
    padded: Array,
    turned: Array,
    window: tuple[int, ...],
    top: float,
) -> None:
    """Draw G_i^zero-pad, whose entries count from 1, with the turned filter at `window`."""
    t = flat.positions
    g = np.array(["0", *_names("g", "responses", geometry)[i * t : (i + 1) * t]], object)
    f = _names("F", "filters", geometry)[i * flat.taps : (i + 1) * flat.taps]
    texts, colours = g[padded], _filled(padded.shape, ZERO)
    colours[padded > 0] = to_rgba(GRADIENT)
    ends = zip(window, flat.extent, flat.dilation, strict=True)
    below = tuple(slice(at, at + extent, step) for at, extent, step in ends)
    texts[below] += "\n" + f[turned]
    colours[below] = Scale(flat.taps, "F")(turned)
    number = f"_{{{i + 1}}}" if flat.filters[0] > 1 else ""
    _label(ax, padded.shape[1] / 2, top / 2, rf"$G{number}^{{\mathrm{{zero‐pad}}}}$ and, framed, {ROTATED} on it")
    _grid(ax, (0, top), texts, colours)
    _frame(ax, (window[1], top + window[0]), flat.extent)


def _entry_of_input_gradient(geometry: Geometry, i: int, pixel: int, f: Array) -> str:
    """Write entry `pixel` of vec(G_i) M_Fi^filter, from the column that the builder places."""
    F_i = np.arange(geometry.taps).reshape(geometry.filters[1:])
    column = matrices.filter_matrix(F_i, geometry, group=geometry.group_of(i))[:, [pixel]].tocoo()
    g = _names("g", "responses", geometry)[i * geometry.positions :]
    terms = [
        f"{g[r] or f'g{r + 1}'}{f[c]}" for r, c in sorted(zip(column.row.tolist(), column.data.tolist(), strict=True))
    ]
    name = _names("v", "image", geometry)[pixel] or f"v{pixel + 1}"
    part = f"part of filter {i + 1} in " if geometry.filters_per_group > 1 else ""
    return f"{part}{name} = {' + '.join(terms) or '0'}"


# a network ------------------------------------------------------------------------------------------------------------


def network(model: Network, *, parameter: str = "F1", ax: Axes | None = None) -> Axes:
    """Draw a network's graph and the chain of Jacobians that is the gradient of one of its parameters (L4 … L10, L13).

    Parameters
    ----------
    model : Network
        The network.
    parameter : str
        One of ``model.shapes``: ``"F1"``, ``"b1"``, …, ``"W"``, ``"b"``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Above, the nodes of the graph with their shapes. Below, the factors of ∂l/∂vec(parameter) in the order in which
        they are multiplied, a row vector from the left, each with its size; heights and widths grow with the logarithm
        of rows and columns. Hatched factors are the explicit Jacobians of convolutions.

    Raises
    ------
    ValueError
        If there is no such parameter.

    Examples
    --------
    >>> model = Network([Geometry((1, 8, 8), (6, 1, 3, 3)), Geometry((6, 6, 6), (10, 6, 3, 3))], 10)
    >>> network(model).get_title()
    '∂l/∂vec(F1), 1 × 54, is a product of 6 factors'
    """
    instance("model", model, Network, "a Network")
    parameter = word("parameter", parameter, model.shapes)
    factors = _factors(model, parameter)
    nodes = _nodes(model)
    slots = [max(_length(factor.columns), 1.0) + 0.25 for factor in factors]
    width = max(sum(slots), 1.1 * len(nodes))
    tallest = max(_length(factor.rows) for factor in factors)
    ax = _stage(ax, width, 2.0 + tallest, cells=False)
    _draw_graph(ax, nodes, width)
    left = (width - sum(slots)) / 2
    for slot, factor in zip(slots, factors, strict=True):
        _draw_factor(ax, factor, left + slot / 2, 1.7 + tallest / 2, tallest)
        left += slot
        if factor is not factors[-1]:
            _write(ax, left, 1.7 + tallest / 2, "·", 2 * FONT)
    entries = factors[-1].columns
    ax.set_title(f"∂l/∂vec({parameter}), 1 × {entries}, is a product of {len(factors)} factors", fontsize=FONT + 2)
    return ax


@dataclass(frozen=True)
class Factor:
    """One matrix of the chain: its formula in TeX, its size, its colour and its hatch."""

    formula: str
    rows: int
    columns: int
    colour: str
    hatch: str = ""


def _factors(model: Network, parameter: str) -> list[Factor]:
    """Return the chain from ∂l/∂s to the parameter."""
    target = int(parameter[1:] or 0)
    entries, C = math.prod(model.shapes[parameter]), model.classes
    chain = [Factor(_ratio("l", "s"), 1, C, COLOURS["G"].full)]
    if not target:
        return [*chain, Factor(_ratio("s", parameter), C, entries, ENTRY)]
    chain.append(Factor("$W$", C, model.shapes["W"][1], ENTRY))
    for k, layer in reversed(list(enumerate(model.layers, start=1))[target - 1 :]):
        size = math.prod(layer.responses)
        chain.append(Factor(rf"$\mathrm{{diag}}(\mathrm{{Ind}}(S_{{{k}}} > 0))$", size, size, ENTRY, "diagonal"))
        if k > target:
            chain.append(Factor(_ratio(f"S_{{{k}}}", f"X_{{{k - 1}}}"), size, layer.pixels, COLOURS["F"].full, "///"))
    formula = _ratio(f"S_{{{target}}}", f"{parameter[0]}_{{{target}}}")
    return [*chain, Factor(formula, chain[-1].columns, entries, COLOURS["X"].full, "\\\\\\")]


def _ratio(above: str, below: str) -> str:
    """Write a derivative in TeX; capitals are arrays, which vec makes vectors."""
    vectors = [rf"\mathrm{{vec}}({each})" if each[0].isupper() else each for each in (above, below)]
    return rf"$\partial {vectors[0]}\,/\,\partial {vectors[1]}$"


def _nodes(model: Network) -> list[tuple[str, str, str]]:
    """Return the nodes of the graph: name, shape, and what is done to the node before it."""
    found = [("X0", _by(model.layers[0].image), "")]
    for k, layer in enumerate(model.layers, start=1):
        found += [(f"S{k}", _by(layer.responses), f"∗ F{k} + b{k}"), (f"X{k}", _by(layer.responses), "ReLU")]
    return [*found, ("s", str(model.classes), "W · + b"), ("p", str(model.classes), "softmax"), ("l", "1", "−log yᵀp")]


def _by(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _length(size: int) -> float:
    return 0.15 + 0.33 * math.log10(size)


def _draw_graph(ax: Axes, nodes: Sequence[tuple[str, str, str]], width: float) -> None:
    step = width / len(nodes)
    for index, (name, shape, done) in enumerate(nodes):
        x = (index + 0.5) * step
        box = {"boxstyle": "round,pad=0.4", "facecolor": ENTRY, "edgecolor": LINE}
        ax.text(x, 0.7, f"{name}\n{shape}", ha="center", va="center", fontsize=FONT + 1, color="black", bbox=box)
        if done:
            _write(ax, x - step / 2, 0.25, done, FONT)
            arrow = {"arrowstyle": "->", "color": LINE, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", (x - 0.4 * step, 0.7), (x - 0.6 * step, 0.7), arrowprops=arrow)


def _draw_factor(ax: Axes, factor: Factor, x: float, y: float, tallest: float) -> None:
    width, height = _length(factor.columns), _length(factor.rows)
    corner = (x - width / 2, y - height / 2)
    hatch = factor.hatch if factor.hatch != "diagonal" else ""
    ax.add_patch(Rectangle(corner, width, height, facecolor=factor.colour, edgecolor=INK, hatch=hatch, linewidth=0.8))
    if factor.hatch == "diagonal":
        ax.plot([corner[0], corner[0] + width], [corner[1], corner[1] + height], color=INK, linewidth=1.5)
    _write(ax, x, y - tallest / 2 - 0.2, factor.formula, FONT + 1)
    _write(ax, x, y + tallest / 2 + 0.2, f"{factor.rows} × {factor.columns}", FONT + 1)


# files ----------------------------------------------------------------------------------------------------------------


# singular values ------------------------------------------------------------------------------------------------------


def spectrum(
    layers: Iterable[ConvolutionLayer], *, k: int = 10, accuracy: float = 1e-3, ax: Axes | None = None
) -> Axes:
    """Draw the largest singular values of each layer's ∂vec(S)/∂vec(X), beside those of circular padding.

    Parameters
    ----------
    layers : iterable of ConvolutionLayer
        What `models.layers` returns, or a part of it; one layer is held at a time.
    k : int
        How many singular values of the layer as it is; fewer where it has fewer.
    accuracy : float
        That of `spectra.singular_values`.
    ax : matplotlib.axes.Axes, optional
        To draw on; by default axes of a figure of its own.

    Returns
    -------
    matplotlib.axes.Axes
        A column for each layer, with a logarithmic scale. Dots are the k largest singular values of the layer with its
        zero padding. The line reaches from the smallest to the largest singular value of the same filters with circular
        padding, and is thick between the quartiles; it is left out where the stride does not divide the image.

    Raises
    ------
    TypeError
        If a layer is not a ConvolutionLayer, or `ax` is not axes.
    ValueError
        If there are no layers, or k or `accuracy` is none of `singular_values`.
    TooLargeError
        As `singular_values` and `circular_singular_values`.

    Examples
    --------
    >>> from jacobians.models import layers
    >>> [text.get_text() for text in spectrum(layers("lenet-5"), k=2).get_xticklabels()]
    ['c1', 'c3', 'c5']
    """
    k = integer("k", k, least=1)
    columns = [_column(layer, k, accuracy) for layer in layers]
    if not columns:
        raise ValueError("layers is empty; it needs at least one ConvolutionLayer: models.layers(model) yields them")
    ax = _axes(ax, min(max(4.5, 0.35 * len(columns) + 1.5), WIDEST), 4.0)
    for x, (_, values, circular) in enumerate(columns):
        if circular is not None:
            low, *middle, high = np.quantile(circular, [0, 0.25, 0.75, 1])
            ax.vlines(x, low, high, color=LINE, linewidth=1.5)
            ax.vlines(x, *middle, color=FAINT, linewidth=3)
        ax.plot([x] * len(values), values, ".", color=FRAME, markersize=5)
    ax.set_yscale("log")
    ax.set_xticks(range(len(columns)), [name for name, *_ in columns], rotation=90 if len(columns) > 5 else 0)
    ax.set_ylabel("singular values of ∂vec(S)/∂vec(X)")
    ax.legend(
        [Line2D([], [], marker=".", linestyle="", color=FRAME), Line2D([], [], color=LINE)],
        [f"zero padding, the {k} largest", "circular padding, smallest to largest; thick: quartiles"],
        fontsize=FONT,
        frameon=False,
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
    )
    return ax


def _column(layer: ConvolutionLayer, k: int, accuracy: float) -> tuple[str, Array, Array | None]:
    """Compute what stands in one column: the layer's name, its values, and those with circular padding."""
    instance("layers", layer, ConvolutionLayer, "ConvolutionLayers: models.layers(model) yields them")
    geometry = layer.geometry
    most = min(geometry.filters[0] * geometry.positions, geometry.pixels)
    values = spectra.singular_values(layer, min(k, most), accuracy=accuracy)
    divided = not any(size % step for size, step in zip(geometry.image[1:], geometry.stride, strict=True))
    return layer.name, np.array(values), spectra.circular_singular_values(layer) if divided else None


def save(ax: Axes, file: str | Path) -> None:
    """Write the figure of `ax` to a file; the same picture gives the same bytes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The axes that a function of this module returned.
    file : str or Path
        Its name ends in .png or .svg.

    Raises
    ------
    ValueError
        If the name of the file has another ending.
    OSError
        If the file cannot be written; an existing file stays as it was.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(filter_matrix(Geometry((1, 6, 6), (1, 1, 3, 3))), f"{folder}/filter-matrix.svg")
    """
    instance("ax", ax, Axes, DRAWN_ON)
    file = Path(instance("file", file, str | os.PathLike, "the name of a file"))
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"file is {str(file)!r}; its name needs to end in {' or '.join(SUFFIXES)}")
    content = io.BytesIO()
    _render(ax, content, file.suffix.lower())
    files.write(file, content.getvalue())


def _render(ax: Axes, file: io.BytesIO, suffix: str) -> None:
    # Without a salt the ids in an SVG, and without None its date, would be others every time.
    metadata = {"Date": None} if suffix == ".svg" else {}
    with mpl.rc_context({"svg.hashsalt": "jacobians"}):
        ax.figure.figure.savefig(file, format=suffix[1:], dpi=RESOLUTION, bbox_inches="tight", metadata=metadata)


# drawing --------------------------------------------------------------------------------------------------------------


def _axes(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the axes that are given, or new ones, whose figure only they refer to: pyplot would keep it."""
    if ax is not None:
        given: Axes = instance("ax", ax, Axes, f"{DRAWN_ON}, or None for a figure of its own")
        return given
    margins = SubplotParams(left=1 - AXES_PART, right=1, bottom=0, top=AXES_PART)
    figure = Figure((width, height), layout="constrained", subplotpars=margins)
    return figure.add_subplot(axes_class=Picture)


def _stage(ax: Axes | None, width: float, height: float, *, unit: float = 0.36, cells: bool = True) -> Axes:
    """Return axes without axis lines, on which cells are square; `width` and `height` are counted in cells."""
    unit = min(max(unit, 4.5 / width), 9.0 / width, 9.0 / height) if cells else 1.0
    ax = _axes(ax, max(width * unit, 4.5) + 0.3, height * unit + 0.6)
    ax.set(xlim=(-0.15, width + 0.15), ylim=(height + 0.15, 0), aspect="equal")
    ax.set_axis_off()
    return ax


def _grid(ax: Axes, corner: tuple[float, float], texts: Array, colours: Array, *, cell: float = 1.0) -> None:
    """Draw cells with texts in them, where these fit."""
    (left, top), (height, width) = corner, texts.shape
    points = cell * min(_cell(ax, (abs(np.subtract(*ax.get_ylim())), abs(np.subtract(*ax.get_xlim())))))
    ax.pcolormesh(
        left + cell * np.arange(width + 1),
        top + cell * np.arange(height + 1),
        colours,
        edgecolors=LINE if points > LEAST_FONT else "none",
        linewidth=0.6,
        antialiased=True,
    )
    ax.add_patch(Rectangle(corner, cell * width, cell * height, fill=False, edgecolor=FAINT, linewidth=0.8))
    lines = [text.split("\n") for text in texts.flat]
    letters, deep = max(len(line) for text in lines for line in text), max(map(len, lines))
    size = min(FONT + 1, 0.9 * points / (LETTER * max(letters, 2)), 0.75 * points / deep)
    if size >= LEAST_FONT:
        for (r, c), text in np.ndenumerate(texts):
            ink = FAINT if text == "0" else _ink(colours[r, c])
            _write(ax, left + cell * (c + 0.5), top + cell * (r + 0.5), text, size, ink)


def _gap(width: float) -> float:
    """Height of a line of text, in cells, on a stage so many cells wide."""
    return max(1.0, width / 16)


def _filled(shape: Sequence[int], colour: str) -> Array:
    return np.full((*shape, 4), to_rgba(colour))


def _frame(ax: Axes, corner: tuple[float, float], size: tuple[float, ...]) -> None:
    """Frame cells in red, `size` being height and width."""
    ax.add_patch(Rectangle(corner, size[1], size[0], fill=False, edgecolor=FRAME, linewidth=2.5, zorder=3))


def _label(ax: Axes, x: float, y: float, text: str) -> None:
    _write(ax, x, y, text, FONT + 1)


def _write(ax: Axes, x: float, y: float, text: str, size: float, colour: str | None = None) -> None:
    ax.text(x, y, text, ha="center", va="center", fontsize=size, color=colour, linespacing=1.0)


def _ink(colour: Any) -> str:
    """Black or white, whichever is read better on the colour."""
    red, green, blue, _ = to_rgba(colour)
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.42 else "black"


def _cell(ax: Axes, shape: tuple[float, float]) -> tuple[float, float]:
    """Height and width in points of a cell of a matrix that fills the axes."""
    box = ax.get_window_extent()
    points = 72 / ax.figure.dpi
    return box.height * points / shape[0], box.width * points / shape[1]


def _inches(ax: Axes) -> float:
    return float(ax.get_window_extent().width / ax.figure.dpi)


def _font(ax: Axes, shape: tuple[int, int], letters: int) -> float:
    """Size at which so many letters fit into a cell, 0 where it would not be read."""
    height, width = _cell(ax, shape)
    size = min(FONT, width / (LETTER * max(letters, 2)), 0.75 * height)
    return size if size >= LEAST_FONT else 0.0


def _flat(geometry: Geometry) -> Geometry:
    """Return the layer with two spatial axes; of one axis, a plane is a single row."""
    geometry = check_geometry(geometry)
    if geometry.spatial_ndim > 2:
        raise ShapeError(
            f"geometry has {geometry.spatial_ndim} spatial axes; this picture needs one or two, so that planes "
            "can be drawn: image_matrix, filter_matrix, jacobian and stack_matrix draw any number"
        )
    return as_plane(geometry)


def _middle(shape: Sequence[int]) -> int:
    """Flat index of the entry in the middle."""
    return int(np.ravel_multi_index([(size - 1) // 2 for size in shape], tuple(shape)))
