"""A convolution as an audit knows it: the options that code was fixed to, and a layer with a number of images."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from jacobians.errors import ShapeError
from jacobians.formula.structure import Layer
from jacobians.geometry import Geometry

__all__ = ["Case", "Options"]


@dataclasses.dataclass(frozen=True)
class Options:
    """What the code under audit was fixed to."""

    spatial_ndim: int
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...] | None
    dilation: tuple[int, ...]
    groups: int
    bias: bool
    dtype: str

    def __str__(self) -> str:
        """Return the options in words."""
        axes = f"{self.spatial_ndim} spatial {'axis' if self.spatial_ndim == 1 else 'axes'}"
        others = _words(self.stride, self.padding, self.dilation, self.groups)
        return ", ".join([axes, others, *(["bias"] if self.bias else []), self.dtype])

    @property
    def name(self) -> str:
        """A short name, to select tests by: ``s2-p1-d1-g2``, with x between axes that differ, and _ between sides."""
        sides = [str(before) if before == after else f"{before}_{after}" for before, after in self.padding or ()]
        padding = _each(sides) if self.padding else "same"
        return f"s{_each(self.stride)}-p{padding}-d{_each(self.dilation)}-g{self.groups}"

    def zeros(self, taps: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Padding before and after on each axis; of "same", it depends on the filter."""
        if self.padding is not None:
            return self.padding
        return tuple(((extent - 1) // 2, extent // 2) for extent in self.extent(taps))

    def extent(self, taps: Sequence[int]) -> tuple[int, ...]:
        """Pixels from the first to the last tap, one per axis."""
        return tuple((k - 1) * step + 1 for k, step in zip(taps, self.dilation, strict=True))

    def geometry(self, image: Sequence[int], filters: Sequence[int]) -> Geometry:
        """Return the layer of these sizes."""
        return Geometry(
            image,
            filters,
            stride=self.stride,
            padding=self.zeros(filters[2:]),
            dilation=self.dilation,
            groups=self.groups,
        )

    def case(
        self, images: int, planes: int, filters: int, taps: Sequence[int], out: Sequence[int], tail: Sequence[int]
    ) -> Case | None:
        """Return the layer with these responses and, where the stride allows, this tail; None if there is no image."""
        sizes = [
            (count - 1) * step + extent + min(rest, step - 1) - before - after
            for count, step, extent, rest, (before, after) in zip(
                out, self.stride, self.extent(taps), tail, self.zeros(taps), strict=True
            )
        ]
        return self.layer(images, planes, filters, taps, sizes)

    def layer(self, images: int, planes: int, filters: int, taps: Sequence[int], sizes: Sequence[int]) -> Case | None:
        """Return the layer with an image of these sizes, planes and filters per group; None if there is none."""
        g = self.groups
        try:
            return Case(self.geometry((g * planes, *sizes), (g * filters, planes, *taps)), images)
        except ShapeError:
            return None


@dataclasses.dataclass(frozen=True)
class Case(Layer):
    """A layer with a number of images, as something to try."""

    @property
    def numbers(self) -> int:
        """Numbers in X, F and S."""
        geometry = self.geometry
        return self.images * (geometry.pixels + math.prod(geometry.responses)) + math.prod(geometry.filters)

    @property
    def bytes(self) -> int:
        """Memory that a call and the right results take at least: the numbers, and the patches of all images."""
        g = self.geometry
        return 8 * (self.numbers + (self.images * g.groups + 1) * g.positions * g.taps)

    @property
    def several(self) -> bool:
        """Whether there are several images, planes and filters of a group, taps and responses."""
        geometry = self.geometry
        counts = self.images, geometry.planes_per_group, geometry.filters_per_group
        return min(*counts, math.prod(geometry.filters[2:]), geometry.positions) > 1

    @property
    def terms(self) -> int:
        """Products, and single numbers, in the longest sum of S, ∂l/∂X, ∂l/∂F and ∂l/∂b."""
        geometry = self.geometry
        to_image = geometry.filters_per_group * math.prod(geometry.filters[2:])
        return max(geometry.taps + 1, self.images * geometry.positions, to_image)

    def __str__(self) -> str:
        """Return the sizes and options in words."""
        g = self.geometry
        image = "×".join(map(str, g.image if self.images == 1 else (self.images, *g.image)))
        return f"X {image}, F {'×'.join(map(str, g.filters))}, {_words(g.stride, g.padding, g.dilation, g.groups)}"


def _words(
    stride: tuple[int, ...], padding: tuple[tuple[int, int], ...] | None, dilation: tuple[int, ...], groups: int
) -> str:
    even = padding is not None and all(before == after for before, after in padding)
    zeros = "same" if padding is None else _short(tuple(before for before, _ in padding)) if even else str(padding)
    parts = [f"stride {_short(stride)}", f"padding {zeros}"]
    parts += [f"dilation {_short(dilation)}"] if set(dilation) != {1} else []
    parts += [f"groups {groups}"] if groups > 1 else []
    return ", ".join(parts)


def _each(entries: Iterable[object]) -> str:
    """Write one entry, or, where axes differ, all."""
    written = [str(each) for each in entries]
    return "x".join(written if len(set(written)) > 1 else written[:1])


def _short(entries: tuple[int, ...]) -> str:
    return str(entries[0] if len(set(entries)) == 1 else entries)
