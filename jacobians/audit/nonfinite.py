"""Whether a NaN in an argument reaches what is made of it, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import Finding
from jacobians.audit.entries import counted, observation
from jacobians.audit.memory import Because
from jacobians.audit.probes import Case, Probe, expected, places
from jacobians.audit.reproduce import calls, listed, script
from jacobians.audit.subject import Subject
from jacobians.geometry import Geometry

__all__ = ["TILE", "not_a_number", "shown_masks", "spread"]

Array = npt.NDArray[Any]

# Responses that the largest tile of Winograd's algorithm in use, F(6, 3), computes at once on an axis.
TILE = 6
# Cause and cure.
SWALLOWED = (
    "Something replaces or skips it: np.nan_to_num, a maximum, a comparison or a test for zero.",
    "Multiply and add every number as it is.",
)
MULTIPLIED = (
    "Zeros of a dense matrix or of a transform are multiplied by it.",
    "Leave out products that the formula does not have.",
)
# The results that are made of an argument; a gradient of it has to stay as it is.
REACHED = {"X": ("S", "dF", "dX", "db"), "F": ("S", "dX", "dF", "db"), "G": ("dX", "dF", "db")}


def not_a_number(subject: Subject, probe: Probe, skipped: Collection[str]) -> Iterator[Finding]:
    """Put one NaN into X, then F, then G: it has to reach what is made of that entry, and may reach no other window.

    Zeros of a padding, those between the taps of a dilated filter, and those that make one filter of the filters of all
    groups are multiplied by it in many a right algorithm.

    Parameters
    ----------
    subject : Subject
        The code under audit.
    probe : Probe
        The numbers.
    skipped : collection of str
        Results that are wrong already, or of transforms that mix all entries.

    Yields
    ------
    Finding
        One per result and array.
    """
    if probe.X.dtype.kind in "iu":
        return
    for letter, reached in REACHED.items():
        at = _rarest(probe.geometry, letter)
        if at is None or (letter == "G" and not subject.backward):
            continue
        spoiled = getattr(probe, letter).copy()
        _last(spoiled)[at] = np.nan
        given = dataclasses.replace(probe, **{letter: spoiled})
        results, masks = subject.results(given), _reach(probe, letter, at)
        for name in reached:
            result = results.get(name)
            if name in skipped or result is None or result.value is None or result.value.shape != masks[name][0].shape:
                continue
            wanted, allowed = masks[name]
            if subject.options.dtype == "bfloat16" and name != "db":
                # Processors multiply such numbers in pairs: the last of an odd number of taps has a zero beside it.
                allowed = allowed.copy()
                allowed[slice(None) if name == "dF" or letter == "F" else -1] = True
            got = np.isnan(result.value.astype(np.float64))
            if np.any(wanted & ~got) or np.any(got & ~allowed):
                yield _spread(subject, given, name, letter, result.value, wanted, allowed)


def _rarest(geometry: Geometry, letter: str) -> int | None:
    """Choose the entry that is in the fewest sums, so that there are others for it to spread to."""
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
    last: Array = array[-1].reshape(-1)
    return last


def _reach(probe: Probe, letter: str, at: int) -> dict[str, tuple[Array, Array]]:
    """Say where a NaN in one entry has to go in each result, and where it may go."""
    geometry = probe.geometry
    marked: dict[str, Any] = {name: np.ones_like(getattr(probe, name)) for name in "XFG"} | {"b": 0 * probe.b}
    marked[letter] = np.zeros_like(marked[letter])
    _last(marked[letter])[at] = 1
    ones = dataclasses.replace(probe, **marked)
    wanted = {name: sums != 0 for name, sums in expected(ones).items()}
    for name in {"X": ("dX", "db"), "F": ("dF", "db")}.get(letter, ()):
        wanted[name] = np.zeros_like(wanted[name])
    if letter == "F":
        # A tap is multiplied by the zeros of a padding, and where a matrix is read out by basis images, by theirs.
        axes = tuple(range(2, wanted["S"].ndim))
        allowed = {"S": wanted["S"] | wanted["S"].any(axis=axes, keepdims=True), "dX": np.ones_like(wanted["dX"])}
    else:
        allowed = _windows(ones, wanted)
    masks = {name: (wanted[name], allowed.get(name, wanted[name])) for name in ("S", "dX", "db", "dF")}
    per_filter = wanted["dF"].any(axis=tuple(range(1 if letter == "G" else 2, wanted["dF"].ndim)), keepdims=True)
    if letter != "F":
        masks["dF"] = wanted["dF"], np.ones_like(wanted["dF"]) if geometry.groups > 1 else wanted["dF"] | per_filter
    return masks


def _windows(ones: Probe, wanted: dict[str, Array]) -> dict[str, Array]:
    """Let it reach whole windows, the gaps between the taps and other groups included, and the tiles around them."""
    geometry = ones.geometry
    solid = Geometry(
        geometry.image,
        (geometry.filters[0], geometry.image[0], *geometry.extent),
        stride=geometry.stride,
        padding=geometry.padding,
    )
    windows = dataclasses.replace(ones, case=Case(solid, ones.case.images), F=np.ones(solid.filters))
    allowed = {name: sums != 0 for name, sums in expected(windows).items()} if solid != geometry else wanted
    return {name: _tiles(allowed[name] & wanted[name].any()) for name in ("S", "dX")}


def _tiles(mask: Array) -> Array:
    """Let it reach the responses or pixels of the same tile, in the same image and map."""
    import scipy.ndimage

    size = (1, 1, *(2 * TILE - 1,) * (mask.ndim - 2))
    return np.asarray(scipy.ndimage.maximum_filter(mask, size=size, mode="constant"))


def _spread(
    subject: Subject, given: Probe, name: str, letter: str, got: Array, wanted: Array, allowed: Array
) -> Finding:
    found = np.isnan(got.astype(np.float64))
    title, cause, cure = spread(letter, found, wanted, allowed, "where no window holds it")
    side = "forward" if name == "S" else "backward"
    lines = [*calls(subject, side), *shown_masks(name, wanted, allowed)]
    return observation(
        name,
        title,
        "not a number",
        given,
        (cause, cure),
        script(subject, given, lines, sides=(side,)),
        got=got,
        right=np.where(wanted, np.nan, expected(_without(given))[name]),
        wrong=(wanted | ~allowed) & (found != wanted),
        anchor="nan",
    )


def spread(letter: str, found: Array, wanted: Array, allowed: Array, where: str) -> Because:
    """Return title, cause and cure of a NaN that is not where it has to be, or is where it may not be."""
    missing, beyond = int((wanted & ~found).sum()), int((found & ~allowed).sum())
    said = f"misses {counted(missing)}" if missing else f"reaches {counted(beyond)} {where}"
    return (f"is wrong for a NaN in {letter}: it {said}", *(SWALLOWED if missing else MULTIPLIED))


def shown_masks(name: str, wanted: Array, allowed: Array) -> list[str]:
    """Return Python that prints where a result is NaN, and where it should be, of the entries that are judged."""
    judged = wanted | ~allowed
    if judged.all():
        return [f"print(np.isnan({name}))", f"print(np.array({listed(wanted)}))  # right"]
    lines = [f"judged = np.array({listed(judged)})", f"print(np.isnan({name}[judged]))"]
    return [*lines, f"print(np.array({listed(wanted[judged])}))  # right"]


def _without(probe: Probe) -> Probe:
    """Put 0 in the place of NaN."""
    return dataclasses.replace(
        probe, **{letter: np.nan_to_num(getattr(probe, letter).astype(np.float64)) for letter in "XFG"}
    )
