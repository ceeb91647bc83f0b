"""Orders of axes that code may take its image and filters in, found by calling it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.arguments import unmasked
from jacobians.errors import ShapeError
from jacobians.formula.layouts import SPATIAL, Order, parse, without_spaces
from jacobians.sizes import check_entries

__all__ = ["Arrangement", "arrangements"]

Array = npt.NDArray[Any]

# Where the other axes of X and S, and of F, stand around the spatial ones, s; in depthwise code without I.
IMAGES, FILTERS = ("NCs", "NsC", "sCN", "Cs", "sC"), ("OIs", "sIO", "OsI", "IOs", "sOI", "Os", "sO")
# Groups that are tried, and planes of depthwise code.
GROUPS, PLANES = (1, 2, 3, 4), 3


# Entries of a result, far more than any convolution gives at the layers that are tried.
MOST_RESULTS = 1 << 24


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """A layout, and how code is called that takes less at a time than this package's arrays have.

    Without N it takes one image at a time; without planes and filters, one plane and one filter of one plane. Depthwise
    code takes one plane and one filter of each group. The results for all planes are summed.
    """

    layout: str
    groups: int = 1
    depthwise: bool = False

    @functools.cached_property
    def orders(self) -> dict[str, Order]:
        """The axes of X, F and S."""
        leading = {*self.layout.partition(",")[2].partition("->")[0]} - {*SPATIAL}
        return parse(self.layout, absent="I" if leading == {"O"} else "" if leading else "CIO")

    def call(self, function: Callable[..., Any], X: Array, F: Array, others: Sequence[Array]) -> Array:
        """Call code with X (N, d, *image), F (n, d/groups, *taps) and perhaps b (n,), for S (N, n, *out)."""
        if "C" in self.orders["X"].letters and not self.depthwise:
            return self._images(function, X, F, others)
        planes, filters = F.shape[1], len(F) // self.groups
        parts: list[Any] = []
        for i in range(filters):
            # A bias is added once.
            bias = [[each[i::filters] * (k == 0) for each in others] for k in range(planes)]
            given = [(X[:, k::planes], F[i::filters, k : k + 1], bias[k]) for k in range(planes)]
            parts.append(sum(self._images(function, *each) for each in given))
        S = np.stack(parts, axis=2)
        return S.reshape(len(S), -1, *S.shape[3:])

    def _images(self, function: Callable[..., Any], X: Array, F: Array, others: Sequence[Array]) -> Array:
        images = [X] if "N" in self.orders["X"].letters else np.split(X, len(X))
        return np.concatenate([self._once(function, each, F, others) for each in images])

    def _once(self, function: Callable[..., Any], X: Array, F: Array, others: Sequence[Array]) -> Array:
        x, f, s = self.orders.values()
        if self.groups > 1 and f.part.startswith("I"):
            # Filters by planes: those of a group come together.
            F = F.reshape(self.groups, -1, *F.shape[1:]).swapaxes(1, 2)
            F = F.reshape(-1, *F.shape[2:]).swapaxes(0, 1)
        given = x.give(X[_leading("NC", x, 0)].copy()), f.give(F[_leading("OI", f, 0)].copy())
        result = unmasked("the result", function(*given, *(each.copy() for each in others)))
        check_entries("the result", result.shape, MOST_RESULTS, "at these small layers it has", "return S alone")
        return np.asarray(s.take("S", result, ())[_leading("NC" if "C" in s.letters else "NO", s, None)])


def _leading(letters: str, order: Order, absent: int | None) -> tuple[slice | int | None, ...]:
    """Index the leading axes: all of those that an order has, and `absent` in the place of others."""
    return tuple(slice(None) if letter in order.letters else absent for letter in letters)


def arrangements(layout: str | None, groups: int | None, spatial_ndim: int) -> Iterator[Arrangement]:
    """Yield the layout that is given, or all that are usual: planes first before others, no groups before some."""
    spatial = SPATIAL[-spatial_ndim:]
    if layout is None:
        usual = [f"{X},{F}->{X}" for X, F in itertools.product(IMAGES, FILTERS)]
        layouts = [each.replace("s", spatial) for each in [*usual, "s,s->s"]]
    else:
        layouts = [_checked(layout, spatial, groups)]
    whole = [each for each in layouts if "I" in each]
    for count in GROUPS if groups is None else (groups,):
        yield from (Arrangement(each, count) for each in whole)
        if count == 1:
            yield from (Arrangement(each) for each in layouts if "C" not in each)
    if groups is None or not whole:
        yield from (Arrangement(each, PLANES, depthwise=True) for each in layouts if "C" in each)


def _checked(layout: str, spatial: str, groups: int | None) -> str:
    """Return a layout without spaces that has these spatial axes, none flattened, and planes where there are groups."""
    found = without_spaces(layout)
    if "(" in found or {*Arrangement(found).orders["X"].letters} & {*SPATIAL} != {*spatial}:
        raise ShapeError(
            f'layout is "{layout}"; it needs {spatial} for the spatial axes, each an axis of its own, such as '
            f'"N{spatial}C,{spatial}IO->N{spatial}C"'
        )
    if "C" not in found and groups not in {None, 1}:
        raise ShapeError(f'groups is {groups}, but the layout "{layout}" has no planes; leave one of them out')
    return found
