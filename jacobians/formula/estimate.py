"""Stride, dilation and padding of code of which nothing is known, from the products that it sums at a few layers."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from jacobians.formula.products import Call, Reading, Unreadable, read_products
from jacobians.formula.structure import FACTORS, Layer, Structure
from jacobians.geometry import Geometry

__all__ = ["AxisOptions", "Options", "estimate"]

Array = npt.NDArray[np.int64]
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

    def zeros(self, size: int, taps: int) -> tuple[int, int]:
        """Return the padding before and after at these sizes."""
        before, after = (
            side if isinstance(side, int) else SIDES[side](size, self.dilation * (taps - 1) + 1, self.stride)
            for side in (self.before, self.after)
        )
        return before, after

    def responses(self, size: int, taps: int) -> int:
        """Return the size of the result."""
        around = self.dilation * (taps - 1) - sum(self.zeros(size, taps))
        return (size - 1) * self.stride + around + 1 if self.transposed else (size - 1 - around) // self.stride + 1


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of all axes, and the groups."""

    axes: tuple[AxisOptions, ...]
    groups: int = 1

    def geometry(self, image: tuple[int, ...], filters: tuple[int, ...]) -> Geometry:
        """Make the layer of these shapes, without padding that is negative, or of a transposed convolution."""
        sizes = zip(self.axes, image[1:], filters[2:], strict=True)
        zeros = [(0, 0) if each.transposed else each.zeros(size, taps) for each, size, taps in sizes]
        padding = [(max(before, 0), max(after, 0)) for before, after in zeros]
        stride, dilation = ([getattr(each, name) for each in self.axes] for name in ("stride", "dilation"))
        return Geometry(image, filters, stride=stride, padding=padding, dilation=dilation, groups=self.groups)


@dataclasses.dataclass(frozen=True)
class _Sample:
    """What one axis was seen to give: sizes of image, filter and result, and the padding before, if that is known."""

    size: int
    taps: int
    out: int
    before: int | None = None

    def has(self, options: AxisOptions) -> bool:
        """Whether these options give it."""
        before, _ = options.zeros(self.size, self.taps)
        return self.before in {None, before} and options.responses(self.size, self.taps) == self.out


def estimate(call: Call, structure: Structure, dtype: str) -> Options:
    """Estimate the options of code that may be a convolution: stride 1 and no padding where it shows no others."""
    count = structure.spatial_ndim
    plain = Options((AxisOptions(),) * count, structure.groups)
    readings, samples = [], list[list[_Sample]]()
    for more, (size, taps) in itertools.product((0, *FURTHER), LAYERS):
        image = (plain.groups, *(each + more for each in size[:count]))
        layer = Layer(plain.geometry(image, (plain.groups, 1, *taps[:count])), 1)
        if not more:
            try:
                reading = read_products(call, layer, "S", FACTORS["S"], dtype, structure)
            except Unreadable:
                return plain
            if reading is None or len(reading.shape) != 2 + count or not reading.places.size:
                return plain
            readings.append(reading)
        elif (value := call(layer, {})) is not None and value.ndim == 2 + count:
            samples.append([_Sample(*each) for each in zip(image[1:], taps, value.shape[2:], strict=False)])
    axes = (_axis(readings, [each[at] for each in samples], at) for at in range(count))
    return dataclasses.replace(plain, axes=tuple(axes))


def _axis(readings: Sequence[Reading], further: Sequence[_Sample], at: int) -> AxisOptions:
    """Estimate the options of one axis from the products at some layers, and from the sizes at others."""
    l, a, y = _indices(readings[0], at)
    by_response, by_tap = _slope(y, l, a), _slope(y, a, l)
    transposed = 0 < by_response < 1
    if transposed:
        by_response, by_tap = 1 / by_response, _slope(l, a, y)
    if by_response < 1 or not by_tap or by_response.denominator > 1 or by_tap.denominator > 1:
        return AxisOptions()
    found = AxisOptions(int(by_response), abs(int(by_tap)), turned=by_tap < 0, transposed=transposed)
    samples = [_sample(found, each, at) for each in readings] + list(further)
    return next((each for each in _padded(found, samples[0]) if all(one.has(each) for one in samples)), found)


def _indices(reading: Reading, at: int) -> tuple[Array, Array, Array]:
    """Return response, tap and pixel of each product on one axis."""
    shapes = reading.shape, reading.layer.shapes["F"], reading.layer.shapes["X"]
    indices = [np.unravel_index(each, shape)[2 + at] for each, shape in zip(reading.places, shapes, strict=True)]
    l, a, y = np.unique(np.stack(indices), axis=1)
    return l, a, y


def _slope(of: Array, along: Array, fixed: Array) -> Fraction:
    """Return how much one index usually rises with another, a third being the same; 0 where that is never so."""
    order = np.lexsort((along, fixed))
    rise, step, other = (np.diff(each[order]) for each in (of, along, fixed))
    alike = (other == 0) & (step > 0)
    slopes = map(Fraction, rise[alike].tolist(), step[alike].tolist())
    return max(collections.Counter(slopes).items(), key=lambda each: each[1], default=(Fraction(0), 0))[0]


def _sample(found: AxisOptions, reading: Reading, at: int) -> _Sample:
    l, a, y = _indices(reading, at)
    size, taps = reading.layer.shapes["X"][2 + at], reading.layer.shapes["F"][2 + at]
    response, pixel = (y, l) if found.transposed else (l, y)
    tap = taps - 1 - a if found.turned else a
    offsets, counts = np.unique(found.stride * response + found.dilation * tap - pixel, return_counts=True)
    return _Sample(size, taps, reading.shape[2 + at], int(offsets[np.argmax(counts)]))


def _padded(found: AxisOptions, one: _Sample) -> Iterator[AxisOptions]:
    """Yield options with all padding that one sample may have; numbers before expressions."""
    assert one.before is not None
    start = dataclasses.replace(found, before=one.before)
    lacks = one.out - start.responses(one.size, one.taps)
    need = -lacks if found.transposed else lacks * found.stride
    numbers = sorted(range(need - found.stride, need + found.stride + 1), key=lambda each: (each < 0, abs(each)))
    befores: list[Side] = [one.before, *SIDES]
    afters: list[Side] = [*numbers, *SIDES]
    # Padding that depends on the image on both sides, or on neither, before other.
    pairs = sorted(itertools.product(befores, afters), key=lambda pair: len({"z" in str(side) for side in pair}))
    for before, after in pairs:
        yield dataclasses.replace(found, before=before, after=after)
