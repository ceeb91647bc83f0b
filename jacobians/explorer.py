"""The explorer: one HTML file in which readers point at the matrices of a layer and watch what they compute.

Every index that the page shows is written into it here, for every stride, padding and dilation that it offers: which
entry lies where, and which entries are multiplied. Its script (in page/) looks up, multiplies and sums, and knows
nothing of convolutions.
"""

from __future__ import annotations

import itertools
import json
import math
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians import colours, convolution, matrices, writing
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry, as_plane, check_geometry
from jacobians.sizes import check_entries

__all__ = ["explore"]

# The layers that every page has, by their names in its address.
SCENES = {
    "1d": ("1-D: 4 pixels, 2 taps", Geometry((1, 4), (1, 1, 2))),
    "6x6": ("6×6 image, 3×3 filter", Geometry((1, 6, 6), (1, 1, 3, 3))),
    "planes": ("2 planes, 2 filters", Geometry((2, 3, 4), (2, 2, 2, 2))),
    "groups": ("2 groups", Geometry((2, 4, 4), (2, 1, 2, 2), groups=2)),
    "digit": ("8×8 handwritten digit", Geometry((1, 8, 8), (1, 1, 3, 3))),
}
LECTURE, OWN = "6x6", "own"
OFFERS = {"stride": (1, 2, 3), "padding": (0, 1, 2), "dilation": (1, 2)}
# The parts of the script, in jacobians/page: what is shown, what meets what, what is said, how it looks, how it moves.
SCRIPTS = ("state", "meetings", "lessons", "words", "panels", "paint", "player", "hands")
# Entries of ∂vec(S)/∂vec(X); each is a cell that the browser lays out.
MOST_CELLS = 10_000
# A seven: image 7 of the digits of scikit-learn, which are those of E. Alpaydin and C. Kaynak in the UCI repository.
DIGIT = (
    (0, 0, 7, 8, 13, 16, 15, 1),
    (0, 0, 7, 7, 4, 11, 12, 0),
    (0, 0, 0, 0, 8, 13, 1, 0),
    (0, 4, 8, 8, 15, 15, 6, 0),
    (0, 2, 11, 15, 15, 4, 0, 0),
    (0, 0, 0, 16, 5, 0, 0, 0),
    (0, 0, 9, 15, 1, 0, 0, 0),
    (0, 0, 13, 5, 0, 0, 0, 0),
)

Array = npt.NDArray[Any]


def explore(geometry: Geometry | None = None) -> str:
    """Return a page that shows X, F, S, G, M_X^im and M_F^filter of a layer, entry by entry and in motion.

    Parameters
    ----------
    geometry : Geometry, optional
        The layer that the page shows first, with one or two spatial axes; by default the layer of the lecture, with a
        6×6 image and a 3×3 filter. The page offers its stride, padding and dilation, besides strides 1, 2, 3, paddings
        0, 1, 2 and dilations 1, 2, but no combinations that are too large or in which the filter does not fit. The
        layers of the lessons are in every page.

    Returns
    -------
    str
        An HTML document that loads nothing from the network (L1, L8, L10, L12, L14 and L16 … L18, as an interactive
        page).

    Raises
    ------
    ShapeError
        If there are more than two spatial axes.
    TooLargeError
        If ∂vec(S)/∂vec(X) has too many entries to show.

    Examples
    --------
    >>> page = explore(Geometry((1, 4, 5), (1, 1, 2, 3), stride=2))
    >>> page[:15], len(page) < 1_000_000
    ('<!doctype html>', True)
    """
    found = json.dumps(record(geometry), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    style = colours.stylesheet() + _part("style.css")
    parts = {"style": style, "data": found, "script": "\n".join(_part(f"{name}.js") for name in SCRIPTS)}
    page = _part("page.html")
    for name, text in parts.items():
        page = page.replace(f"{{{{{name}}}}}", text)
    return page


def _part(file: str) -> str:
    return files("jacobians").joinpath("page", file).read_text("utf-8")


def record(geometry: Geometry | None = None) -> dict[str, Any]:
    """Return all that the page looks up. Entries are counted from 1 in vec order; 0 stands where there is none."""
    shown = dict(SCENES)
    start = LECTURE
    if geometry is not None and check_geometry(geometry) != SCENES[LECTURE][1]:
        _check(geometry)
        start, shown = OWN, {OWN: ("your layer", geometry), **SCENES}
    return {"start": start, "scenes": {name: _scene(title, layer) for name, (title, layer) in shown.items()}}


def _check(geometry: Geometry) -> None:
    if geometry.spatial_ndim > 2:
        raise ShapeError(
            f"geometry has {geometry.spatial_ndim} spatial axes but the explorer shows planes as tables and needs 1 or "
            "2; explore one slice of a volume: Geometry((d, height, width), (n, d, taps, taps))"
        )
    what = f"∂vec(S)/∂vec(X) of {geometry!r}"
    cure = "take a smaller image, of at most 11×11 pixels in all planes, or build it with jacobians.jacobian_wrt_image"
    check_entries(what, (math.prod(geometry.responses), geometry.pixels), MOST_CELLS, "the explorer shows", cure)


# one layer with all of its options ------------------------------------------------------------------------------------


def _scene(title: str, geometry: Geometry) -> dict[str, Any]:
    """A layer: its names, colours and numbers, and for every stride, padding and dilation what lies where."""
    flat = as_plane(geometry)
    return {
        "title": title,
        "start": {option: _label(getattr(geometry, option)) for option in OFFERS},
        "offers": {option: list(values) for option, values in _offers(geometry).items()},
        "names": {
            "X": writing.names("X", "image", geometry),
            "F": writing.names("F", "filters", geometry),
            "VX": writing.names("v", "image", geometry),
            "VF": writing.names("v", "filters", geometry),
        },
        "colours": {"X": _colours("X", geometry.pixels), "F": _colours("F", geometry.filters[0] * geometry.taps)},
        "panels": {
            "F": _planes(_counted(flat.filters)),
            "VF": _planes(_counted(flat.filters)),
            "R": _planes(convolution.turn(_counted(flat.filters))),
            "VX": _planes(_counted(flat.image)),
        },
        "numbers": {"X": _picture(flat.image).ravel().tolist(), "F": _presets(flat.filters)},
        "layers": {labels: _entries(layer) for labels, layer in _layers(geometry).items()},
    }


def _colours(letter: str, count: int) -> list[list[str]]:
    """The colours of the entries of an array, each with the ink in which a name is read on it."""
    return [[colour, colours.ink_on(colour)] for colour in colours.ramp(letter, count)]


def _offers(geometry: Geometry) -> dict[str, dict[str, Any]]:
    """The values of every option, by their labels."""
    offers = {}
    for option, values in OFFERS.items():
        own = getattr(geometry, option)
        offers[option] = {str(value): value for value in values} | {_label(own): own}
    return offers


def _layers(geometry: Geometry) -> dict[str, Geometry]:
    """The combinations that are legal and can be looked at, by their labels."""
    layers = {}
    for labels in itertools.product(*(values.items() for values in _offers(geometry).values())):
        stride, padding, dilation = (value for _, value in labels)
        given = {"stride": stride, "padding": padding, "dilation": dilation}
        try:
            layer = Geometry(geometry.image, geometry.filters, groups=geometry.groups, **given)
        except ShapeError:  # the filter is wider than the padded image
            continue
        if math.prod(layer.responses) * layer.pixels <= MOST_CELLS:
            layers[" ".join(label for label, _ in labels)] = layer
    return layers


def _label(values: tuple[Any, ...]) -> str:
    """An option as the command line takes it: 1, 2,1 or 1:0,0:1."""
    sides = [(value,) if isinstance(value, int) else value for value in values]
    parts = [":".join(map(str, side if len(set(side)) > 1 else side[:1])) for side in sides]
    return ",".join(parts if len(set(parts)) > 1 else parts[:1])


# what lies where ------------------------------------------------------------------------------------------------------


def _entries(geometry: Geometry) -> dict[str, Any]:
    """What the panels of one layer show, which entry meets which, and both Jacobian matrices of the whole layer."""
    flat = as_plane(geometry)
    padded = np.pad(_counted(flat.image), ((0, 0), *flat.padding))
    zero_pad = convolution.zero_pad(_counted(flat.responses), flat)
    return {
        "names": {
            "S": writing.names("S", "responses", geometry),
            "G": writing.names("g", "responses", geometry),
        },
        "panels": {"X": _planes(padded), "S": _planes(_counted(flat.responses)), "Z": _planes(zero_pad)},
        "M_X": matrices.jacobian_wrt_filters(_counted(flat.image), flat).toarray().tolist(),
        "M_F": matrices.jacobian_wrt_image(_counted(flat.filters), flat).toarray().tolist(),
        "windows": {
            "S": _windows_of_responses(padded.shape, flat),
            "F": _windows_of_taps(padded.shape, flat),
            "X": _windows_of_pixels(padded, zero_pad.shape, flat),
        },
    }


def _planes(array: Array) -> Any:
    return array.reshape(-1, *array.shape[-2:]).tolist()


def _counted(shape: tuple[int, ...]) -> Array:
    return np.arange(1, 1 + math.prod(shape)).reshape(shape)


def _table(image: tuple[int, ...], geometry: Geometry, group: int) -> Array:
    """Which places of the padded image the filters of a group lie on, a row per position and a column per tap."""
    padded = Geometry(
        image, geometry.filters, stride=geometry.stride, dilation=geometry.dilation, groups=geometry.groups
    )
    return padded.pixel_table(group=group)


# Each window below is a pair of lists: places in the array that is slid over, and in the one that lies on it.


def _windows_of_responses(padded: tuple[int, ...], geometry: Geometry) -> list[Any]:
    """For every response, the pixels that the filter lies on, and its taps."""
    windows = []
    for i in range(geometry.filters[0]):
        taps = np.arange(geometry.taps) + i * geometry.taps
        windows += [[row.tolist(), taps.tolist()] for row in _table(padded, geometry, geometry.group_of(i))]
    return windows


def _windows_of_taps(padded: tuple[int, ...], geometry: Geometry) -> list[Any]:
    """For every tap, the pixels that it ever lies on, and the responses that they go into."""
    windows = []
    for i in range(geometry.filters[0]):
        responses = np.arange(geometry.positions) + i * geometry.positions
        windows += [[row.tolist(), responses.tolist()] for row in _table(padded, geometry, geometry.group_of(i)).T]
    return windows


def _windows_of_pixels(padded: Array, zero_pad: tuple[int, ...], geometry: Geometry) -> list[Any]:
    """For every pixel, the entries of G^zero-pad that the turned filters lie on, and the taps of these."""
    taps = geometry.filters[2:]
    size, plane = math.prod(taps), math.prod(zero_pad[1:])
    table = Geometry((1, *zero_pad[1:]), (1, 1, *taps), dilation=geometry.dilation).pixel_table()
    windows = []
    for k, pixels in enumerate(padded):
        group, q = divmod(k, geometry.planes_per_group)
        filters = np.arange(geometry.filters[0])[geometry.filters_of(group)]
        partners = (filters[:, None] * geometry.planes_per_group + q) * size + np.arange(size)
        # Windows of padding are cut off.
        places = [(filters[:, None] * plane + row).ravel().tolist() for row in table[np.flatnonzero(pixels)]]
        windows += [[each, partners.ravel().tolist()] for each in places]
    return windows


# numbers --------------------------------------------------------------------------------------------------------------


def _picture(image: tuple[int, ...]) -> Array:
    """The middle of the digit, or zeros around it, as large as the image; further planes hold it turned over."""
    digit = np.array(DIGIT)
    wide = [max(0, size - len(digit)) for size in image[1:]]
    digit = np.pad(digit, [(extra // 2, extra - extra // 2) for extra in wide])
    middle = tuple(
        slice((have - size) // 2, (have - size) // 2 + size) for have, size in zip(digit.shape, image[1:], strict=True)
    )
    turned = (digit, digit[::-1], digit[:, ::-1], digit[::-1, ::-1])
    return np.array([turned[k % len(turned)][middle] for k in range(image[0])])


def _presets(filters: tuple[int, ...]) -> dict[str, list[int]]:
    """Taps to begin with: counted, and edge, blur and Sobel where the filter is large enough for them."""
    height, width = filters[2:]
    blur = [_binomial(height - 1), _binomial(width - 1)]
    planes = {"blur": np.outer(*blur)}
    if height * width % 2 and height * width > 1:
        planes["edge"] = -np.ones((height, width), int)
        planes["edge"][height // 2, width // 2] += height * width
    if width > 1:
        difference = np.convolve(_binomial(width - 2), [-1, 1])
        planes["Sobel" if min(height, width) > 2 else "difference"] = np.outer(blur[0], difference)
    tiled = {name: np.broadcast_to(plane, filters).ravel().tolist() for name, plane in planes.items()}
    return {"1 2 3 …": list(range(1, 1 + math.prod(filters))), **dict(sorted(tiled.items(), key=_small_letters))}


def _small_letters(item: tuple[str, Any]) -> str:
    return item[0].lower()


def _binomial(n: int) -> Array:
    """The n-th row of Pascal's triangle."""
    row = np.ones(1, int)
    for _ in range(n):
        row = np.convolve(row, [1, 1])
    return row
