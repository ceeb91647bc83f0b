"""Where a NaN in one entry of a convolution's arguments has to go, and where it may go."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.cases import Case
from jacobians.audit.layer import Reach
from jacobians.audit.numbers import ConvolutionProbe
from jacobians.audit.sums import expected, places
from jacobians.geometry import Geometry

__all__ = ["TILE", "reach"]

Array = npt.NDArray[Any]

# Responses that the largest tile of Winograd's algorithm in use, F(6, 3), computes at once on an axis.
TILE = 6


def reach(probe: ConvolutionProbe, letter: str) -> tuple[ConvolutionProbe, Reach] | None:
    """Put a NaN into the entry that is in the fewest sums, and say where it has to go, and where it may."""
    # Zeros of a padding, those between the taps of a dilated filter, and those that make one filter of the filters of
    # all groups are multiplied by it in many a right algorithm.
    at = -1 if letter == "b" else _rarest(probe.geometry, letter)
    if at is None:
        return None
    spoiled = probe.arrays[letter].copy()
    _last(spoiled)[at] = np.nan
    masks = _masks(probe, letter, at)
    if probe.dtype.name == "bfloat16" and letter != "b":
        masks = {name: (wanted, _paired(name, letter, allowed)) for name, (wanted, allowed) in masks.items()}
    return probe.replaced(**{letter: spoiled}), masks


def _paired(name: str, letter: str, allowed: Array) -> Array:
    """Let it spread: processors multiply such numbers in pairs, the last of an odd number of taps beside a zero."""
    wider = allowed.copy()
    if name != "db":
        wider[slice(None) if name == "dF" or letter == "F" else -1] = True
    return wider


def _rarest(geometry: Geometry, letter: str) -> int | None:
    """Choose the entry that is in the fewest sums, so that there are others for it to spread to; None for no sum."""
    table = places(geometry)
    pixels = np.bincount(table.ravel(), minlength=1 + geometry.pixels // geometry.groups)[1:]
    counts = {
        "X": np.tile(pixels, geometry.groups),
        "F": (table > 0).sum(axis=0),
        "G": np.tile((table > 0).sum(axis=1), geometry.filters[0]),
    }[letter]
    return int(np.flatnonzero(counts == counts[counts > 0].min())[-1]) if counts.any() else None


def _last(array: Array) -> Array:
    """Return the numbers of the last image, or of the last filter."""
    last: Array = array[-1:].reshape(-1)
    return last


def _masks(probe: ConvolutionProbe, letter: str, at: int) -> Reach:
    """Say where a NaN in one entry has to go in each result, and where it may go."""
    # Of the bias, without products.
    marked = {
        name: np.full_like(array, letter != "b" and name not in {letter, "b"}) for name, array in probe.arrays.items()
    }
    _last(marked[letter])[at] = 1
    ones = ConvolutionProbe(probe.case, marked)
    wanted = {name: sums != 0 for name, sums in expected(ones).items()}
    for name in {"X": ("dX", "db"), "F": ("dF", "db")}.get(letter, ()):
        wanted[name] = np.zeros_like(wanted[name])
    if letter == "F":
        # A tap is multiplied by the zeros of a padding, and where a matrix is read out by basis images, by theirs.
        axes = tuple(range(2, wanted["S"].ndim))
        allowed = {"S": wanted["S"] | wanted["S"].any(axis=axes, keepdims=True), "dX": np.ones_like(wanted["dX"])}
    elif letter == "b":
        allowed = {}
    else:
        per_plane = wanted["dF"].any(axis=tuple(range(2, wanted["dF"].ndim)), keepdims=True)
        everywhere = np.full_like(wanted["dF"], probe.geometry.groups > 1)
        allowed = {**_windows(ones, wanted), "dF": wanted["dF"] | per_plane | everywhere}
    return {name: (mask, allowed.get(name, mask)) for name, mask in wanted.items()}


def _windows(ones: ConvolutionProbe, wanted: dict[str, Array]) -> dict[str, Array]:
    """Let it reach whole windows, the gaps between the taps and other groups included, and the tiles around them."""
    geometry = ones.geometry
    options: dict[str, Any] = {"stride": geometry.stride, "padding": geometry.padding}
    solid = Geometry(geometry.image, (geometry.filters[0], geometry.image[0], *geometry.extent), **options)
    windows = ConvolutionProbe(Case(solid, ones.case.images), {**ones.arrays, "F": np.ones(solid.filters)})
    allowed = {name: sums != 0 for name, sums in expected(windows).items()} if solid != geometry else wanted
    return {name: _tiles(allowed[name] & wanted[name].any()) for name in ("S", "dX")}


def _tiles(mask: Array) -> Array:
    """Let it reach the responses or pixels of the same tile, in the same image and map."""
    reach = TILE - 1
    for axis in range(2, mask.ndim):
        wider = np.pad(mask, [(reach * (at == axis),) * 2 for at in range(mask.ndim)])
        mask = np.any(np.lib.stride_tricks.sliding_window_view(wider, 2 * reach + 1, axis), axis=-1)
    return mask
