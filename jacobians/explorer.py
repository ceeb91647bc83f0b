"""The explorer: one HTML file in which a layer's matrices are touched.

Everything that the page shows is written into it here, for every stride, padding and dilation that it offers; its
script looks up and marks, and knows nothing of convolutions.
"""

from __future__ import annotations

import itertools
import json
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians import convolution, matrices, symbolic
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry, check_geometry
from jacobians.sizes import check_entries

__all__ = ["explore"]

STRIDES, PADDINGS, DILATIONS = (1, 2, 3), (0, 1, 2), (1, 2)
# Entries of M_F^filter; each is a cell that the browser lays out.
MOST_CELLS = 10_000
SLOT = "{{layers}}"

Array = npt.NDArray[Any]


def explore(geometry: Geometry | None = None) -> str:
    """Write the page in which X, F, S, G, M_X^im and M_F^filter of a layer are pointed at.

    Parameters
    ----------
    geometry : Geometry, optional
        The layer that is shown at first, of one filter, one group and two spatial axes; by default the lecture's, 6×6
        and 3×3. Its stride, padding and dilation are offered beside strides 1, 2, 3, paddings 0, 1, 2 and dilations
        1, 2; combinations in which the filter does not fit are not.

    Returns
    -------
    str
        An HTML document that fetches nothing (L1, L8, L10, L12, L14 and L16 … L18 of LECTURE.md, to be touched).

    Raises
    ------
    ShapeError
        If there is more than one filter or group, or the planes are no matrices.
    TooLargeError
        If M_F^filter has too many entries to be looked at.

    Examples
    --------
    >>> page = explore(Geometry((1, 4, 5), (1, 1, 2, 3), stride=2))
    >>> page[:15], len(page) < 1_000_000
    ('<!doctype html>', True)
    """
    geometry = Geometry((1, 6, 6), (1, 1, 3, 3)) if geometry is None else check_geometry(geometry)
    _check(geometry)
    text = json.dumps(record(geometry), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return files("jacobians").joinpath("explorer.html").read_text("utf-8").replace(SLOT, text)


def record(geometry: Geometry) -> dict[str, Any]:
    """Return all that the page looks up. Entries are counted from 1 in vec order; 0 stands where there is none."""
    offers, layers = _offers(geometry), _layers(geometry)
    for layer in layers.values():
        _check_size(layer)
    return {
        "start": [_label(getattr(geometry, option)) for option in offers],
        "offers": {option: list(values) for option, values in offers.items()},
        "X": _panel("X", "image", geometry),
        "F": _panel("F", "filters", geometry),
        "most_read": _most_read(geometry),
        "layers": {labels: _entries(layer) for labels, layer in layers.items()},
    }


def _offers(geometry: Geometry) -> dict[str, dict[str, Any]]:
    """The values of every option, by what is written on their buttons."""
    offers = {}
    for option, values in (("stride", STRIDES), ("padding", PADDINGS), ("dilation", DILATIONS)):
        own = getattr(geometry, option)
        offers[option] = {str(value): value for value in values} | {_label(own): own}
    return offers


def _layers(geometry: Geometry) -> dict[str, Geometry]:
    """The legal combinations, by their labels."""
    layers = {}
    for labels in itertools.product(*(values.items() for values in _offers(geometry).values())):
        stride, padding, dilation = (value for _, value in labels)
        try:
            layer = Geometry(geometry.image, geometry.filters, stride=stride, padding=padding, dilation=dilation)
        except ShapeError:  # the filter is wider than the padded image
            continue
        layers[" ".join(label for label, _ in labels)] = layer
    return layers


def _label(values: tuple[Any, ...]) -> str:
    """An option as the command line takes it: 1, 2,1 or 1:0,0:1."""
    sides = [(value,) if isinstance(value, int) else value for value in values]
    parts = [":".join(map(str, side if len(set(side)) > 1 else side[:1])) for side in sides]
    return ",".join(parts if len(set(parts)) > 1 else parts[:1])


def _entries(geometry: Geometry) -> dict[str, Any]:
    """What the panels of one layer show, and the formulas of its entries."""
    X, F, G = map(_counted, (geometry.image, geometry.filters, geometry.responses))
    padded = np.pad(X, ((0, 0), *geometry.padding))
    turned = convolution.rot180(F)[0]
    zero_pad = convolution.zero_pad(G, geometry)
    return {
        "S": _panel("S", "responses", geometry),
        "padded": padded.tolist(),
        "turned": turned.tolist(),
        "zero_pad": zero_pad.tolist(),
        "M_X": matrices.image_matrix(X, geometry).toarray().tolist(),
        "M_F": matrices.filter_matrix(F[0], geometry).toarray().tolist(),
        "below_F": _windows(padded.shape, geometry, geometry.stride).tolist(),
        "below_turned": _windows_of_pixels(padded, zero_pad.shape, geometry).tolist(),
        "S_formulas": _formulas(symbolic.responses(geometry)),
        "F_formulas": _formulas(symbolic.filter_gradient(geometry)),
        "X_formulas": _formulas(symbolic.input_gradient(geometry)),
        "notes": _notes(geometry),
    }


def _panel(letter: str, role: symbolic.Role, geometry: Geometry) -> dict[str, Any]:
    """The planes of an array as numbers of entries, and the names of the entries and of their gradients."""
    planes = {"image": geometry.image, "filters": geometry.filters[1:], "responses": geometry.responses}[role]
    gradient = "g" if role == "responses" else "v"
    return {
        "planes": _counted(planes).tolist(),
        "names": symbolic.names(letter, role, geometry),
        "gradient": symbolic.names(gradient, role, geometry),
    }


def _most_read(geometry: Geometry) -> int:
    """The first of the pixels that the most responses read; the guided steps point at it."""
    table = geometry.pixel_table()
    return int(np.bincount(table[table >= 0], minlength=1).argmax()) + 1


def _counted(shape: tuple[int, ...]) -> Array:
    return np.arange(1, 1 + np.prod(shape)).reshape(shape)


def _windows(image: tuple[int, ...], geometry: Geometry, stride: tuple[int, ...]) -> Array:
    """Which entries of an array the filter lies on, a row per position and a column per tap."""
    taps = (1, image[0], *geometry.filters[2:])
    return Geometry(image, taps, stride=stride, dilation=geometry.dilation).pixel_table() + 1


def _windows_of_pixels(padded: Array, zero_pad: tuple[int, ...], geometry: Geometry) -> Array:
    """Which entries of G^zero-pad the turned filter lies on, a row per pixel and a column per tap of a plane."""
    windows = _windows(zero_pad, geometry, (1, 1))
    return np.concatenate([windows[np.flatnonzero(plane)] for plane in padded])  # those of padding are cut off


def _formulas(vector: Any) -> list[str]:
    return [symbolic.write(entry, "text") for entry in vector]


def _notes(geometry: Geometry) -> dict[str, str]:
    """What the options make of the three convolutions, by what they compute."""
    stride, dilation, padding = (_label(getattr(geometry, option)) for option in ("stride", "dilation", "padding"))
    strided, dilated, padded = stride != "1", dilation != "1", padding != "0"
    reach = _label(tuple(extent - 1 for extent in geometry.extent))
    notes = {
        "S": [
            (strided, f"F moves in steps of {stride}"),
            (dilated, f"its taps lie {dilation} pixels apart"),
            (padded, f"zeros around X: {padding}"),
        ],
        "F": [
            (strided, f"the entries of G lie {stride} pixels apart on X"),
            (dilated, f"G moves in steps of {dilation}"),
            (padded, f"zeros around X: {padding}"),
        ],
        "X": [
            (True, f"zeros around G: {reach}"),
            (strided, "and stride − 1 between its entries"),
            (dilated, f"the turned taps lie {dilation} apart"),
            (padded, "the border that is padding is cut off"),
        ],
    }
    return {mode: ", ".join(text for holds, text in lines if holds) for mode, lines in notes.items()}


def _check(geometry: Geometry) -> None:
    if geometry.spatial_ndim != 2:
        raise ShapeError(
            f"geometry has {geometry.spatial_ndim} spatial axes but the explorer shows planes as tables; it needs 2: "
            "for a signal write (d, 1, length) and (1, d, 1, taps)"
        )
    if geometry.filters[0] != 1:
        raise ShapeError(
            f"geometry has {geometry.filters[0]} filters but the explorer shows M_F^filter of one; it needs "
            f"filters={(1, *geometry.filters[1:])}"
        )


def _check_size(geometry: Geometry) -> None:
    what = f"M_F^filter of {geometry!r}, which is among the layers offered,"
    cure = "take a smaller image, of at most 9×9 pixels in all planes, or build it with jacobians.filter_matrix"
    check_entries(what, (geometry.positions, geometry.pixels), MOST_CELLS, "the explorer shows", cure)
