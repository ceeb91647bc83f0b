"""Orders of axes that code may take its image and filters in, found by calling it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.errors import ShapeError

__all__ = ["Arrangement", "arrangements"]

Array = npt.NDArray[Any]

SPATIAL = "DHW"
# The axes of X, F and S as this package has them: images, planes and filters first.
STANDARD = {"X": "NC", "F": "OI", "S": "NO"}
# Where the other axes stand around the spatial ones, s.
IMAGES, FILTERS, SINGLE = ("NCs", "NsC", "sCN"), ("OIs", "sIO", "OsI", "IOs"), ("Cs", "sC")
# Those of depthwise code, in which each plane has filters of its own.
DEPTHWISE = ("OIs", "Os", "sO", "sIO", "sOI")
# Groups that are tried, and planes of depthwise code.
GROUPS, PLANES = (1, 2, 3, 4), 3


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """The axes of X, F and S in the order of the code.

    Without N the code takes one image at a time; without planes and filters, one plane and one filter of one plane.
    Depthwise code is called for one plane and one filter of each group at a time, and the results are summed.
    """

    X: str
    F: str
    S: str
    groups: int = 1
    depthwise: bool = False

    def __str__(self) -> str:
        return f"{self.X},{self.F}->{self.S}"

    def call(self, function: Callable[..., Any], X: Array, F: Array, others: Sequence[Array]) -> Array:
        """Call code with arrays that have images, planes and filters first.

        Parameters
        ----------
        function : callable
            The code.
        X : ndarray, shape (N, d, *image)
            The images.
        F : ndarray, shape (n, d, *taps)
            The filters.
        others : sequence of ndarray
            What it takes besides, such as a bias.

        Returns
        -------
        ndarray, shape (N, n, *out)
            What the code returns.

        Raises
        ------
        ShapeError
            If the result has another number of axes.
        """
        if self.depthwise:
            return self._by_planes(function, X, F, others)
        if "C" not in self.X:
            planes = range(F.shape[1])
            return np.asarray(sum(self._filters(function, X[:, k], F[:, k], others) for k in planes))
        return self._images(function, X, F, others)

    def _by_planes(self, function: Callable[..., Any], X: Array, F: Array, others: Sequence[Array]) -> Array:
        """Give one plane and one filter of each group at a time; a bias is added once."""
        planes, filters = F.shape[1], len(F) // self.groups
        parts = [
            sum(
                self._images(
                    function,
                    X[:, k::planes],
                    F[i::filters, k : k + 1],
                    [each[i::filters] * (k == 0) for each in others],
                )
                for k in range(planes)
            )
            for i in range(filters)
        ]
        S = np.stack(parts, axis=2)
        return S.reshape(len(S), -1, *S.shape[3:])

    def _images(self, function: Callable[..., Any], X: Array, F: Array, others: Sequence[Array]) -> Array:
        if "N" in self.X:
            return self._once(function, X, F, others)
        return np.stack([self._once(function, image, F, others) for image in X])

    def _filters(self, function: Callable[..., Any], X: Array, F: Array, others: Sequence[Array]) -> Array:
        return np.array([[self._once(function, image, each, others) for each in F] for image in X])

    def _once(self, function: Callable[..., Any], X: Array, F: Array, others: Sequence[Array]) -> Array:
        if self.groups > 1 and self.F.startswith("I"):
            # Filters by planes: those of a group come together.
            F = F.reshape(self.groups, -1, *F.shape[1:]).swapaxes(1, 2)
            F = F.reshape(-1, *F.shape[2:]).swapaxes(0, 1)
        elif "I" not in self.F and F.ndim > len(self.F):
            F = F[:, 0]
        turned = (_turned(array, name, axes) for array, name, axes in ((X, "X", self.X), (F, "F", self.F)))
        given = [np.array(each, order="C") for each in turned]
        result = np.asarray(function(*given, *(each.copy() for each in others)))
        own = self.S.replace("C", "O")
        if result.ndim != len(own):
            raise ShapeError(f"the result has shape {result.shape}, which is not of the axes {self.S}")
        return result.transpose([own.index(letter) for letter in _standard("S", own)])


def arrangements(layout: str | None, groups: int | None, spatial_ndim: int) -> Iterator[Arrangement]:
    """Yield the layout that is given, or all that are usual: planes first before others, no groups before some.

    Parameters
    ----------
    layout : str or None
        ``"NHWC,HWIO->NHWC"`` and the like.
    groups : int or None
        By default 1 to 4, and then one per plane.
    spatial_ndim : int
        Number of spatial axes.

    Yields
    ------
    Arrangement
        One after the other.

    Raises
    ------
    ShapeError
        If the layout is not one.
    """
    spatial = SPATIAL[-spatial_ndim:]
    given = [] if layout is None else [_parsed(layout, spatial)]
    for count in GROUPS if groups is None else (groups,):
        yield from _usual(spatial, FILTERS, count) if not given else (dataclasses.replace(given[0], groups=count),)
        if count == 1 and not given:
            yield Arrangement(spatial, spatial, spatial)
    ways = given or _usual(spatial, DEPTHWISE, PLANES)
    yield from (dataclasses.replace(each, groups=PLANES, depthwise=True) for each in ways if groups is None)


def _usual(spatial: str, filters: Sequence[str], groups: int) -> Iterator[Arrangement]:
    for X, F in itertools.product((*IMAGES, *SINGLE), filters):
        yield Arrangement(X.replace("s", spatial), F.replace("s", spatial), X.replace("s", spatial), groups)


def _parsed(layout: str, spatial: str) -> Arrangement:
    inputs, _, S = "".join(layout.split()).partition("->")
    X, _, F = inputs.partition(",")
    known = (("NC", "OI", "NO"), ("C", "OI", "O"), ("NC", "O", "NO"), ("C", "O", "O"), ("", "", ""))
    wanted = [[*map(sorted, each)] for each in known]
    given = [sorted(set(each) - set(spatial)) for each in (X, F, S.replace("C", "O"))]
    whole = all(sorted(each) == sorted({*each, *spatial}) for each in (X, F, S))
    if given not in wanted or not whole:
        raise ShapeError(
            f'layout is "{layout}"; it needs the axes of X, F and S, each letter once, with {spatial} for the spatial '
            f'axes, such as "N{spatial}C,{spatial}IO->N{spatial}C"'
        )
    return Arrangement(X, F, S)


def _turned(array: Array, name: str, axes: str) -> Array:
    standard = _standard(name, axes)
    return array.transpose([standard.index(letter) for letter in axes])


def _standard(name: str, axes: str) -> str:
    return "".join(each for each in STANDARD[name] + SPATIAL if each in axes)
