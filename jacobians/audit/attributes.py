"""The arrays that an object keeps, by the Python that names them, and which of them are weights, by their shapes."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.parameters import role_of
from jacobians.formula.layouts import SPATIAL

__all__ = ["filters_of", "fitting", "given", "leaf", "options_of", "sizes_of", "turned", "walked"]

Array = npt.NDArray[Any]

# How deep in an object, and in how long a list, arrays are looked for.
DEPTH, MOST = 3, 16


def walked(found: Any, path: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Array]]:
    """Yield the arrays in an object, a dictionary or a list, with what is written behind its name to get them."""
    if isinstance(found, np.ndarray):
        if path:
            yield path, found
        return
    if depth == 0 or isinstance(found, type) or (callable(found) and not hasattr(found, "__dict__")):
        return
    if isinstance(found, dict):
        inner = [(f"[{name!r}]", each) for name, each in found.items() if isinstance(name, str | int)]
    elif isinstance(found, list | tuple):
        inner = [(f"[{at}]", each) for at, each in enumerate(found[:MOST])]
    else:
        inner = [(f".{name}", each) for name, each in getattr(found, "__dict__", {}).items() if name.isidentifier()]
    for name, each in inner:
        yield from walked(each, path + name, depth - 1)


def options_of(layer: Any) -> dict[str, Any]:
    """Return the options of a convolution that an object keeps under the names that they usually have."""
    found: dict[str, Any] = {}
    for name, value in vars(layer).items():
        role = role_of(name, "options")
        is_word = role == "padding" and isinstance(value, str)
        if role in {"stride", "padding", "dilation", "groups"} and (is_word or _is_sizes(value)):
            found[role] = value.lower() if is_word else value
    return found


def filters_of(layer: Any, spatial_ndim: int) -> list[dict[str, Any]]:
    """Return the planes of a group, filters and taps that an object may be made for, by the shapes of its arrays."""
    found = []
    for _, each in walked(layer):
        if each.ndim == spatial_ndim + 2:
            found += [
                {"planes": each.shape[1], "filters": each.shape[0], "taps": each.shape[2:]},
                {"planes": each.shape[-2], "filters": each.shape[-1], "taps": each.shape[:-2]},
                {"planes": each.shape[-1], "filters": each.shape[0], "taps": each.shape[1:-1]},
            ]
    return found


def sizes_of(layer: Any, spatial_ndim: int) -> dict[str, Any]:
    """Return the planes, filters and taps that an object keeps under the names that they usually have."""
    found: dict[str, Any] = {}
    for name, value in vars(layer).items():
        role = role_of(name, "sizes")
        if role in {"planes", "filters"} and isinstance(value, int):
            found[role] = value
        if role == "taps" and _is_sizes(value):
            found[role] = (value,) * spatial_ndim if isinstance(value, int) else tuple(value)
    return found


def _is_sizes(value: Any) -> bool:
    each = value if isinstance(value, tuple | list) else (value,)
    return all(isinstance(one, int) and not isinstance(one, bool) for one in each)


def leaf(path: str) -> str:
    """Return the last name in a path that is not that of a wrapper."""
    names = [each for each in re.findall(r"\w+", path) if each not in {"data", "value", "array", "layer", "gradients"}]
    return names[-1] if names else ""


def fitting(shape: tuple[int, ...], filters: tuple[int, ...]) -> list[str]:
    """Return the orders of axes in which filters have a shape, such as HWIO and (IHW)O; likely ones first."""
    letters = "OI" + SPATIAL[-(len(filters) - 2) :]
    sizes = dict(zip(letters, filters, strict=True))
    if len(shape) == len(filters):
        orders = itertools.permutations(letters)
        return ["".join(each) for each in orders if tuple(sizes[letter] for letter in each) == shape]
    if len(shape) != 2:
        return []
    spatial, rest = letters[2:], math.prod(filters[1:])
    inner = [f"I{spatial}", f"{spatial}I"]
    found = [f"O({each})" for each in inner] if shape == (filters[0], rest) else []
    return found + ([f"({each})O" for each in inner] if shape == (rest, filters[0]) else [])


def given(letter: str, order: str) -> str:
    """Write F or b in the order in which an object keeps it."""
    if letter == "b":
        return order or "b"
    letters, flat, plain = _parts(order)
    if order == letters:
        return "F"
    text = f"F.transpose{tuple(letters.index(each) for each in flat)}" if flat != letters else "F"
    if not plain:
        text += ".reshape(len(F), -1)" if order.startswith("O(") else ".reshape(-1, len(F))"
    return f"np.ascontiguousarray({text})"


def turned(place: str, weight: str, order: str, letter: str) -> tuple[str, list[str]]:
    """Write a gradient that is kept as the weight is in the order of F, and what has to hold for that."""
    check = [f"assert np.shape({place}) == np.shape({weight}), {f'{place} has not the shape of {weight}'!r}"]
    if letter == "b":
        return f"{place}.reshape(-1)", check
    letters, flat, plain = _parts(order)
    if order == letters:
        return place, []
    text = place
    if not plain:
        sizes = [f"F.shape[{letters.index(each)}]" for each in flat]
        text += f".reshape({', '.join(sizes)})"
    back = tuple(flat.index(each) for each in letters)
    text += f".transpose{back}" if flat != letters else ""
    return text, check


def _parts(order: str) -> tuple[str, str, bool]:
    """Return the letters planes first, those of an order without parentheses, and whether it has none."""
    flat = order.replace("(", "").replace(")", "")
    return "OI" + SPATIAL[-(len(flat) - 2) :], flat, flat == order
