"""Orders of axes as strings, such as ``NHWC,HWIO->NHWC``, and how arrays are brought from one order into another."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.arguments import shown
from jacobians.errors import ShapeError

__all__ = ["PLANES_FIRST", "SPATIAL", "Order", "parse", "places", "standard"]

Array = npt.NDArray[Any]

SPATIAL = "DHW"
# The leading axes of X, F and S as this package has them.
STANDARD = {"X": "NC", "F": "OI", "S": "NO"}
MEANINGS = {
    "X": "N for the image, C for its planes",
    "F": "O for the filter, I for its planes",
    "S": "N for the image, O or C for the filter",
}
# Letters that other notations use for ours.
ALIASES = {
    "X": {"B": "N", "I": "C", "L": "W"},
    "F": {"N": "O", "K": "O", "C": "I", "L": "W"},
    "S": {"B": "N", "K": "O", "L": "W"},
}


@dataclasses.dataclass(frozen=True)
class Order:
    """The axes of one array: its letters planes first, and the part of a layout that says how the code takes them."""

    letters: str
    part: str

    @functools.cached_property
    def axes(self) -> list[str]:
        """The letters of each axis, several where it is flattened."""
        return [axis.strip("()") for axis in re.findall(r"\(\w+\)|\w", self.part)]

    def give(self, array: Array) -> Array:
        """Turn an array with planes first into one of this layout."""
        turned = array.transpose([self.letters.index(letter) for letter in "".join(self.axes)])
        if array.flags.c_contiguous:
            turned = np.ascontiguousarray(turned)
        sizes = dict(zip(self.letters, array.shape, strict=True))
        return turned.reshape([math.prod(sizes[letter] for letter in axis) for axis in self.axes])

    def at(self, letters: str) -> list[int]:
        """Return where axes stand, with those that are flattened each on its own."""
        return [at for at, each in enumerate("".join(self.axes)) if each in letters]

    def written(self, name: str) -> str:
        """Write an array in this layout, with an axis for each letter, in Python."""
        flat = "".join(self.axes)
        return name if len(flat) == len(self.axes) else f"{name}.reshape({', '.join(flat)})"

    def take(self, name: str, value: Any, right: Sequence[int]) -> Any:
        """Turn a value of this layout into one with planes first; what is no array stays what it is."""
        if not isinstance(value, np.ndarray):
            return value
        if value.ndim != len(self.axes):
            raise ShapeError(
                f"{name} has shape {value.shape}, which has {value.ndim} axes, but its layout {self.part} has "
                f"{len(self.axes)}; return it in that layout, or change the layout"
            )
        # Sizes are needed of flattened letters only: an axis of its own may have a wrong one, which the audit reports.
        sizes, shape = dict(zip(self.letters, right, strict=False)), []
        for axis, got in zip(self.axes, value.shape, strict=True):
            parts = [got] if len(axis) == 1 else [sizes[letter] for letter in axis]
            if math.prod(parts) != got:
                raise ShapeError(
                    f"{name} has shape {value.shape} with {got} entries on its axis ({axis}), which needs "
                    f"{' · '.join(map(str, parts))} = {math.prod(parts)}; return all of {', '.join(axis)}, "
                    + ("or tell with_layout the stride, padding, …" if name == "S" else "or change the layout")
                )
            shape += parts
        flat = "".join(self.axes)
        return value.reshape(shape).transpose([flat.index(letter) for letter in self.letters])


def standard(spatial_ndim: int) -> str:
    """Return the layout of arrays with planes first."""
    spatial = SPATIAL[-spatial_ndim:]
    return f"NC{spatial},OI{spatial}->NO{spatial}"


def without_spaces(layout: object) -> str:
    """Return a layout without spaces, if it is text."""
    if not isinstance(layout, str):
        raise ShapeError(f'layout is {shown(layout)}; it needs a string such as "NHWC,HWIO->NHWC"')
    return "".join(layout.split())


def parse(layout: str, absent: str = "") -> dict[str, Order]:
    """Read a layout, in which some letters are absent, or say what is wrong with it and which is nearest."""
    inputs, arrow, output = without_spaces(layout).partition("->")
    if not arrow or not output or inputs.count(",") != 1 or not all(inputs.split(",")):
        raise ShapeError(
            f'layout is "{layout}"; it needs the axes of X, F and S in the form X,F->S, such as "NHWC,HWIO->NHWC"'
        )
    parts = dict(zip("XFS", (*inputs.split(","), output), strict=True))
    for name, part in parts.items():
        if not re.fullmatch(r"(\([^()]+\)|[^()])+", part):
            raise ShapeError(
                f'layout is "{layout}", where the parentheses of {name} are "{part}"; each ( needs its own ) with '
                "letters between them, as in N(CHW)"
            )
    needed = _needed(parts, absent)
    wrong = next((said for name, part in parts.items() if (said := _wrong(name, part, needed))), None)
    if wrong:
        X, F, S = (_repaired(name, part, needed[name]) for name, part in parts.items())
        raise ShapeError(f'layout is "{layout}", where {wrong}; the nearest layout is "{X},{F}->{S}"')
    return {name: Order(needed[name], part) for name, part in parts.items()}


def _needed(parts: Mapping[str, str], absent: str) -> dict[str, str]:
    """Return the letters that each array needs, planes first."""
    # As many spatial axes as most of X, F and S have.
    counts = sorted(len({*part.upper()} & {*SPATIAL}) for part in parts.values())
    leading = STANDARD | ({"S": "NC"} if "C" in parts["S"].upper() and "O" not in parts["S"].upper() else {})
    if not {*parts["X"].upper()} & {*"NB"}:
        leading |= {"X": leading["X"][1:], "S": leading["S"][1:]}
    spatial = SPATIAL[-max(1, counts[1]) :]
    return {
        name: "".join(each for each in letters if each not in absent) + spatial for name, letters in leading.items()
    }


def _wrong(name: str, part: str, needed: Mapping[str, str]) -> str | None:
    """Say what is wrong with one array's letters."""
    for letter in sorted({*part} - {*"()", *needed[name]}):
        if name == "S" and letter in "NC":
            return "S has N but X has none" if letter == "N" else "S has both O and C, which mean the same in S"
        spatial = "".join(each for each in needed[name] if each in SPATIAL)
        axes = f"{len(spatial)} spatial {'axis' if len(spatial) == 1 else 'axes'}"
        return f'{name} has "{letter}"; it needs {MEANINGS[name]}, and {spatial} for {axes}'
    for letter in needed[name]:
        if part.count(letter) > 1:
            return f"{name} has {letter} twice; each letter comes once"
    missing = [letter for letter in needed[name] if letter not in part]
    if missing == ["N"] and name == "S":
        return "X has N but S has none"
    return f"{name} lacks {' and '.join(missing)}" if missing else None


def _repaired(name: str, part: str, needed: str) -> str:
    """Keep what has a meaning, in its place, and add what is missing where it usually stands."""
    part, found = part.upper(), ""
    # A letter of another notation stands for ours only where ours is not written as well.
    other = {theirs: ours for theirs, ours in ALIASES[name].items() if theirs not in needed and ours not in part}
    for each in part:
        letter = other.get(each, each)
        found += letter if letter in "()" or (letter in needed and letter not in found) else "?"
    for at, letter in enumerate(needed):
        if letter not in found:
            behind = found.index(needed[at - 1]) + 1 if at else 0
            found = found.replace("?", letter, 1) if "?" in found else found[:behind] + letter + found[behind:]
    return found.replace("?", "").replace("()", "")


def places(orders: Mapping[str, Order]) -> dict[str, str]:
    """Write in Python what a cure says of axes: where they stand is read off the layout.

    Parameters
    ----------
    orders : mapping of str to Order
        The axes of X, F and S.

    Returns
    -------
    dict of str to str
        ``filters``, F with an axis per letter, and its spatial axes, ``taps``; ``bias``, b as it is added to S;
        ``gradient``, G with an axis per letter, and all of its axes but that of the filters, ``summed``.
    """
    F, S = orders["F"], orders["S"]
    of_filters, *_ = S.at("OC")
    count = len(S.letters)
    behind = count - 1 - of_filters
    return {
        "filters": F.written("F"),
        "taps": _axes(F.at(SPATIAL)),
        "bias": f"b[:{', None' * behind}]" if behind else "b",
        "gradient": S.written("G"),
        "summed": _axes([at for at in range(count) if at != of_filters]),
    }


def _axes(positions: Sequence[int]) -> str:
    return str(tuple(positions)) if len(positions) > 1 else str(positions[0])


PLANES_FIRST = places(parse(standard(2)))
