"""Stride, dilation and padding of code of which nothing is known, from the products that it sums at a few layers."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.formula.products import Call, Reading, Unreadable, read_products
from jacobians.formula.structure import FACTORS, Layer, Structure
from jacobians.geometry import Geometry

__all__ = ["AxisOptions", "Options", "estimate"]

Array = npt.NDArray[Any]
Side = int | str

# Image and filter on each axis of the layers that are looked at, such that no two kinds of padding are alike at strides
# 1 and 2; images that are larger by these tell the padding behind.
LAYERS = (((14, 15, 15), (3, 2, 2)), ((15, 14, 16), (2, 3, 4)), ((16, 16, 14), (4, 4, 3)))
FURTHER = range(1, 5)


def _lacking(size: int, extent: int, stride: int) -> int:
    """How many zeros there have to be for ⌈H/s⌉ responses."""
    return max((-(-size // stride) - 1) * stride + extent - size, 0)


# Padding that depends on the extent k of the filter, with its gaps, or on the image: z zeros give ⌈H/s⌉ responses.
SIDES: Mapping[str, Callable[[int, int, int], int]] = {
    "(k − 1)÷2": lambda size, extent, stride: (extent - 1) // 2,
    "k÷2": lambda size, extent, stride: extent // 2,
    "k − 1": lambda size, extent, stride: extent - 1,
    "⌊z/2⌋": lambda size, extent, stride: _lacking(size, extent, stride) // 2,
    "⌈z/2⌉": lambda size, extent, stride: -(-_lacking(size, extent, stride) // 2),
}


@dataclasses.dataclass(frozen=True)
class AxisOptions:
    """The options of one axis; `transposed` exchanges image and response map."""

    stride: int = 1
    dilation: int = 1
    before: Side = 0
    after: Side = 0
    turned: bool = False
    transposed: bool = False

    def extent(self, taps: int) -> int:
        """How many pixels a filter reaches over."""
        return self.dilation * (taps - 1) + 1

    def zeros(self, size: int, taps: int) -> tuple[int, int]:
        """Return the padding before and after at these sizes."""
        before, after = (_side(each, size, self.extent(taps), self.stride) for each in (self.before, self.after))
        return before, after

    def responses(self, size: int, taps: int) -> int:
        """Return the size of the result."""
        before, after = self.zeros(size, taps)
        if self.transposed:
            return (size - 1) * self.stride + self.extent(taps) - before - after
        return (size + before + after - self.extent(taps)) // self.stride + 1


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of all axes, and the groups."""

    axes: tuple[AxisOptions, ...]
    groups: int = 1

    def geometry(self, image: tuple[int, ...], filters: tuple[int, ...]) -> Geometry:
        """Make the layer of these shapes.

        Parameters
        ----------
        image, filters : tuple of int
            Shapes of X and F.

        Returns
        -------
        Geometry
            Of a transposed convolution, whose image is a response map, without padding; without such as is negative.
        """
        sizes = zip(self.axes, image[1:], filters[2:], strict=True)
        zeros = [(0, 0) if each.transposed else each.zeros(size, taps) for each, size, taps in sizes]
        padding = [(max(before, 0), max(after, 0)) for before, after in zeros]
        stride, dilation = ([getattr(each, name) for each in self.axes] for name in ("stride", "dilation"))
        return Geometry(image, filters, stride=stride, padding=padding, dilation=dilation, groups=self.groups)


@dataclasses.dataclass(frozen=True)
class _Sample:
    """What one axis was seen to give: sizes of image, filter and result, and the first pixel's distance."""

    size: int
    taps: int
    out: int
    before: int | None = None


def estimate(call: Call, structure: Structure, dtype: str) -> Options:
    """Estimate the options of code that may be a convolution.

    Parameters
    ----------
    call : callable
        The code, as `read_products` takes it.
    structure : Structure
        Axes and groups.
    dtype : str
        In which it computes.

    Returns
    -------
    Options
        Stride 1, dilation 1 and padding 0 where the products show no others.
    """
    plain, count = Options((AxisOptions(),) * structure.spatial_ndim, structure.groups), structure.spatial_ndim
    readings = []
    for size, taps in LAYERS:
        layer = _layer(plain, size[:count], taps[:count])
        try:
            reading = read_products(call, layer, "S", FACTORS["S"], dtype, structure)
        except Unreadable:
            return plain
        if reading is None or len(reading.shape) != 2 + count or not reading.places.size:
            return plain
        readings.append(reading)
    further = []
    for (size, taps), more in itertools.product(LAYERS, FURTHER):
        layer = _layer(plain, [each + more for each in size[:count]], taps[:count])
        value = call(layer, {})
        further += [(layer, value.shape)] if value is not None and value.ndim == 2 + count else []
    return dataclasses.replace(plain, axes=tuple(_axis(readings, further, at) for at in range(count)))


def _layer(options: Options, size: Sequence[int], taps: Sequence[int]) -> Layer:
    return Layer(options.geometry((options.groups, *size), (options.groups, 1, *taps)), 1)


def _axis(readings: Sequence[Reading], further: Sequence[tuple[Layer, tuple[int, ...]]], at: int) -> AxisOptions:
    """Estimate the options of one axis."""
    rows = [_rows(each, at) for each in readings]
    (l, a, y), taps = rows[0], readings[0].layer.geometry.filters[2 + at]
    slope, by_tap = _slope(y, l, a), _slope(y, a, l)
    transposed = slope is not None and 0 < slope < 1
    if transposed and slope is not None:
        slope, by_tap = 1 / slope, _slope(l, a, y)
    if slope is None or not by_tap or slope < 1 or slope.denominator > 1 or by_tap.denominator > 1:
        return AxisOptions()
    found = AxisOptions(int(slope), abs(int(by_tap)), turned=by_tap < 0, transposed=transposed)
    samples = []
    for reading, (l, a, y) in zip(readings, rows, strict=True):
        image, taps = (
            shape[at + lead] for shape, lead in ((reading.layer.geometry.image, 1), (reading.layer.geometry.filters, 2))
        )
        tap = taps - 1 - a if found.turned else a
        response, pixel = (y, l) if transposed else (l, y)
        offsets = found.stride * response + found.dilation * tap - pixel
        samples.append(_Sample(image, taps, reading.shape[2 + at], _usual(offsets.tolist())))
    samples += [
        _Sample(each.geometry.image[1 + at], each.geometry.filters[2 + at], shape[2 + at]) for each, shape in further
    ]
    return _padded(found, samples)


def _rows(reading: Reading, at: int) -> tuple[Array, Array, Array]:
    """Return response, tap and pixel of each product on one axis."""
    g = reading.layer.geometry
    shapes = [reading.shape[2:], g.filters[2:], g.image[1:]]
    flats = [place % int(np.prod(shape)) for place, shape in zip(reading.places, shapes, strict=True)]
    columns = [np.unravel_index(flat, shape)[at] for flat, shape in zip(flats, shapes, strict=True)]
    l, a, y = np.unique(np.stack(columns), axis=1)
    return l, a, y


def _slope(of: Array, along: Array, fixed: Array) -> Fraction | None:
    """Return how much one index usually rises with another, a third being the same."""
    order = np.lexsort((along, fixed))
    of, along, fixed = of[order], along[order], fixed[order]
    rise, step = np.diff(of), np.diff(along)
    alike = (np.diff(fixed) == 0) & (step > 0)
    slopes = [Fraction(one, two) for one, two in zip(rise[alike].tolist(), step[alike].tolist(), strict=True)]
    return collections.Counter(slopes).most_common(1)[0][0] if slopes else None


def _usual(values: list[int]) -> int:
    return collections.Counter(values).most_common(1)[0][0]


def _padded(found: AxisOptions, samples: Sequence[_Sample]) -> AxisOptions:
    """Find padding with which offsets and sizes are those that were seen; numbers are tried before expressions."""
    seen = [each for each in samples if each.before is not None]
    firsts: list[Side] = [seen[0].before or 0, *SIDES]
    for before in firsts:
        if any(each.before != _side(before, each.size, found.extent(each.taps), found.stride) for each in seen):
            continue
        one = seen[0]
        start = dataclasses.replace(found, before=before)
        need = (one.out - start.responses(one.size, one.taps)) * (-1 if found.transposed else found.stride)
        room = 0 if found.transposed else found.stride
        numbers = sorted(range(need - room, need + room + 1), key=lambda each: (each < 0, abs(each)))
        for after in _in_order(before, numbers):
            tried = dataclasses.replace(start, after=after)
            if all(tried.responses(each.size, each.taps) == each.out for each in samples):
                return tried
    return found


def _in_order(before: Side, numbers: Sequence[int]) -> list[Side]:
    """Return what the padding after may be, with what goes well with that before first."""
    if isinstance(before, int):
        return [*numbers, *SIDES]
    return [*sorted(SIDES, key=lambda side: (side != before, not {"k", "z"} & {*side} & {*before})), *numbers]


def _side(side: Side, size: int, extent: int, stride: int) -> int:
    return side if isinstance(side, int) else SIDES[side](size, extent, stride)
