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


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """The axes of X, F and S in the order of the code.

    Without N the code takes one image at a time; without planes and filters, one plane and one filter of one plane.
    """

    X: str
    F: str
    S: str

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
        if "C" not in self.X:
            planes = [
                [sum(self._once(function, x, f, others) for x, f in zip(image, each, strict=True)) for each in F]
                for image in X
            ]
            return np.array(planes)
        if "N" not in self.X:
            return np.stack([self._once(function, image, F, others) for image in X])
        return self._once(function, X, F, others)

    def _once(self, function: Callable[..., Any], X: Array, F: Array, others: Sequence[Array]) -> Array:
        given = [
            np.ascontiguousarray(_turned(array, name, axes))
            for array, name, axes in ((X, "X", self.X), (F, "F", self.F))
        ]
        result = np.asarray(function(*given, *(each.copy() for each in others)))
        own = self.S.replace("C", "O")
        if result.ndim != len(own):
            raise ShapeError(f"the result has shape {result.shape}, which is not of the axes {self.S}")
        return result.transpose([own.index(letter) for letter in _standard("S", own)])


def arrangements(layout: str | None, spatial_ndim: int) -> Iterator[Arrangement]:
    """Yield the layout that is given, or all that are usual, planes first before all others.

    Parameters
    ----------
    layout : str or None
        ``"NHWC,HWIO->NHWC"`` and the like.
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
    if layout is not None:
        yield _parsed(layout, spatial)
        return
    for X, F in itertools.product((*IMAGES, *SINGLE), FILTERS):
        yield Arrangement(*(each.replace("s", spatial) for each in (X, F, X)))
    yield Arrangement(spatial, spatial, spatial)


def _parsed(layout: str, spatial: str) -> Arrangement:
    inputs, _, S = "".join(layout.split()).partition("->")
    X, _, F = inputs.partition(",")
    wanted = [[*map(sorted, each)] for each in (("NC", "OI", "NO"), ("C", "OI", "O"), ("", "", ""))]
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
