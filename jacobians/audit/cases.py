"""A convolution as an audit knows it: the options that code was fixed to, and a layer with a number of images."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from jacobians.arguments import dtype_name, flag, integer
from jacobians.errors import ShapeError
from jacobians.formula.layouts import Order, parse
from jacobians.formula.structure import Layer
from jacobians.geometry import Geometry

__all__ = ["DTYPES", "LARGE", "RULES", "Case", "Only", "Options", "options"]

# An image that is larger than any filter.
LARGE = 2**20
DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32")


# Paddings that depend on the filter, and the last on the image, too: TensorFlow's and JAX's at any stride.
RULES = ("same", "same-lower", "same-tf")
Rule = str | Callable[[tuple[int, ...], tuple[int, ...]], Any]
# Steps in which an image is looked for that has some responses behind padding that depends on it.
MOST_STEPS = 64


@dataclasses.dataclass(frozen=True)
class Only:
    """Which layers code is for, where it is not for all: what is fixed, and a predicate."""

    planes: int | None = None
    filters: int | None = None
    taps: tuple[int, ...] | None = None
    # Whether filters and images are as wide as high, filters have odd sizes, and images one plane.
    square_filters: bool = False
    square_images: bool = False
    odd: bool = False
    one_plane: bool = False
    # Whether padding is the same before and after.
    even_padding: bool = False
    where: Callable[[Geometry], bool] | None = None

    def fitted(self, planes: int, filters: int, taps: Sequence[int], groups: int) -> tuple[int, int, tuple[int, ...]]:
        """Return planes and filters of a group, and taps, that are allowed and as near to these as it is simple."""
        taps = tuple(each + (self.odd and each % 2 == 0) for each in taps)
        taps = (taps[-1],) * len(taps) if self.square_filters else taps
        if self.one_plane:
            planes = 1
        planes = planes if self.planes is None else max(self.planes // groups, 1)
        filters = filters if self.filters is None else max(self.filters // groups, 1)
        return planes, filters, self.taps or taps

    def sized(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Return the sizes of an image that are allowed."""
        return (sizes[-1],) * len(sizes) if self.square_images else tuple(sizes)

    def joined(self, other: Only | None) -> Only:
        """Return both restrictions in one; where both fix something, this one's."""
        pairs = [(each.name, getattr(self, each.name)) for each in dataclasses.fields(self)]
        return Only(**{name: value or getattr(other or Only(), name) for name, value in pairs})

    def allows(self, geometry: Geometry) -> bool:
        """Whether the code is for a layer."""
        taps, image, groups = geometry.filters[2:], geometry.image[1:], geometry.groups
        fits = self.fitted(geometry.planes_per_group, geometry.filters_per_group, taps, groups)
        if fits != (geometry.planes_per_group, geometry.filters_per_group, taps):
            return False
        if self.square_images and len(set(image)) > 1:
            return False
        if self.even_padding and any(before != after for before, after in geometry.padding):
            return False
        return self.where is None or bool(self.where(geometry))


USUAL_TAPS = (3, 1, 5, 2, 4, 7)
# What is changed of layers to find some for which a predicate holds.
TRIED = (
    Only(),
    Only(square_filters=True),
    Only(odd=True),
    Only(square_filters=True, odd=True),
    Only(square_filters=True, square_images=True, odd=True),
    Only(one_plane=True),
    Only(one_plane=True, square_filters=True, odd=True),
    Only(planes=1, filters=1, square_filters=True, square_images=True, odd=True),
)


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
    # How padding depends on the layer, where it does.
    rule: Rule = "same"
    only: Only | None = None
    # Whether ∂l/∂F is the difference of the filters before and after an update, which is exact on integers alone.
    updates: bool = False
    # The order of the axes of X, F and S in the code, as a layout; empty where planes come first.
    layout: str = ""

    def __str__(self) -> str:
        """Return the options in words."""
        axes = f"{self.spatial_ndim} spatial {'axis' if self.spatial_ndim == 1 else 'axes'}"
        rule = self.rule if isinstance(self.rule, str) else "by a function"
        others = _words(self.stride, rule if self.padding is None else self.padding, self.dilation, self.groups)
        return ", ".join([axes, others, *(["bias"] if self.bias else []), self.dtype])

    @functools.cached_property
    def orders(self) -> dict[str, Order]:
        """The axes of X, F and S, and of the arrays that are like them; none where planes come first."""
        of = parse(self.layout) if self.layout else {}
        like = {"X": "X", "F": "F", "S": "S", "G": "S", "dX": "X", "dF": "F"}
        return {name: of[letter] for name, letter in like.items() if of}

    @property
    def name(self) -> str:
        """A short name, to select tests by: ``s2-p1-d1-g2``, with x between axes that differ, and _ between sides."""
        sides = [str(before) if before == after else f"{before}_{after}" for before, after in self.padding or ()]
        padding = _each(sides) if self.padding else _rule_name(self.rule)
        return f"s{_each(self.stride)}-p{padding}-d{_each(self.dilation)}-g{self.groups}"

    @property
    def follows_image(self) -> bool:
        """Whether the padding depends on the image."""
        return self.padding is None and self.rule not in RULES[:2]

    def zeros(self, taps: Sequence[int], image: Sequence[int] | None = None) -> tuple[tuple[int, int], ...]:
        """Padding before and after on each axis; by a rule, it depends on the filter, and on the image if one does."""
        if self.padding is not None:
            return self.padding
        extent = self.extent(taps)
        if self.rule == "same":
            return tuple(((each - 1) // 2, each // 2) for each in extent)
        if self.rule == "same-lower":
            return tuple((each // 2, (each - 1) // 2) for each in extent)
        sizes = image or (LARGE,) * len(extent)
        if callable(self.rule):
            pads = self.rule(tuple(sizes), tuple(taps))
            one = (1, *(LARGE,) * len(extent)), (1, 1, *taps)
            return Geometry(*one, padding=pads, dilation=self.dilation).padding
        parts = zip(sizes, self.stride, extent, strict=True)
        total = [max((math.ceil(size / step) - 1) * step + each - size, 0) for size, step, each in parts]
        return tuple((each // 2, each - each // 2) for each in total)

    def extent(self, taps: Sequence[int]) -> tuple[int, ...]:
        """Pixels from the first to the last tap, one per axis."""
        return tuple((k - 1) * step + 1 for k, step in zip(taps, self.dilation, strict=True))

    def geometry(self, image: Sequence[int], filters: Sequence[int]) -> Geometry:
        """Return the layer of these sizes."""
        return Geometry(
            image,
            filters,
            stride=self.stride,
            padding=self.zeros(filters[2:], image[1:]),
            dilation=self.dilation,
            groups=self.groups,
        )

    def case(
        self, images: int, planes: int, filters: int, taps: Sequence[int], out: Sequence[int], tail: Sequence[int]
    ) -> Case | None:
        """Return the layer with these responses and, where the stride allows, this tail; None if there is no image."""
        for only in self._tried():
            fits = only.fitted(planes, filters, taps, self.groups)
            found = self.layer(images, *fits, only.sized(self._sizes(fits[2], out, tail)))
            if found is not None:
                return found
        return None

    def _tried(self) -> Sequence[Only]:
        if self.only is None:
            return TRIED[:1]
        if self.only.where is None:
            return (self.only,)
        changes = (*TRIED, *(Only(taps=(size,) * self.spatial_ndim) for size in USUAL_TAPS))
        return [self.only.joined(each) for each in changes]

    def _sizes(self, taps: Sequence[int], out: Sequence[int], tail: Sequence[int]) -> list[int]:
        """Return the sizes of the image that has these responses."""
        wanted = [
            (count - 1) * step + extent + min(rest, step - 1)
            for count, step, extent, rest in zip(out, self.stride, self.extent(taps), tail, strict=True)
        ]
        if not self.follows_image:
            return [size - before - after for size, (before, after) in zip(wanted, self.zeros(taps), strict=True)]
        sizes = wanted
        for _ in range(MOST_STEPS):
            pads = self.zeros(taps, sizes)
            found = [max(size - before - after, 1) for size, (before, after) in zip(wanted, pads, strict=True)]
            if found == sizes:
                break
            sizes = found
        return sizes

    def layer(self, images: int, planes: int, filters: int, taps: Sequence[int], sizes: Sequence[int]) -> Case | None:
        """Return the layer with an image of these sizes, planes and filters per group; None if there is none."""
        g = self.groups
        if self.only is not None:
            planes, filters, taps = self.only.fitted(planes, filters, taps, g)
            sizes = self.only.sized(sizes)
        try:
            found = self.geometry((g * planes, *sizes), (g * filters, planes, *taps))
        except ShapeError:
            return None
        return Case(found, images) if self.only is None or self.only.allows(found) else None


def _rule_name(rule: Rule) -> str:
    return rule if isinstance(rule, str) else "function"


def options(
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    spatial_ndim: Any,
    *,
    bias: bool,
    dtype: npt.DTypeLike,
    only: Only | None = None,
) -> Options:
    """Check and normalise what the code under audit was fixed to."""
    spatial_ndim, groups = integer("spatial_ndim", spatial_ndim, least=1, most=3), integer("groups", groups, least=1)
    bias, dtype = flag("bias", bias), dtype_name(dtype, DTYPES)
    # Large enough for any option; only the options are looked at.
    image, one = (groups, *(LARGE,) * spatial_ndim), (groups, 1, *(1,) * spatial_ndim)
    rule = padding if callable(padding) or padding in RULES[1:] else "same"
    depends = rule is padding or padding == "same"
    zeros = 0 if rule is padding and rule != "same" else padding
    layer = Geometry(image, one, stride=stride, padding=zeros, dilation=dilation, groups=groups)
    if rule == "same-lower":
        Geometry(image, one, stride=stride, padding="same", dilation=dilation, groups=groups)
    padding = None if depends else layer.padding
    return Options(spatial_ndim, layer.stride, padding, layer.dilation, layer.groups, bias, dtype, rule, only)


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
        """Return the shapes of X, with its axis of images, and F, and the options in words."""
        return self.text((self.images, *self.geometry.image))

    def written(self, orders: Mapping[str, Order]) -> str:
        """Return the same with the axes in the order of a layout; an image that it does not know is left out."""
        g, (X, F) = self.geometry, ("".join(orders[name].axes) for name in "XF")
        spatial = sorted(each for each in F if each not in "OI")
        sizes = dict(zip(("N", "C", *spatial), (self.images, *g.image), strict=True))
        taps = dict(zip(("O", "I", *spatial), g.filters, strict=True))
        images = "N" * (self.images > 1 and "N" not in X)
        return self.text([sizes[each] for each in images + X], [taps[each] for each in F])

    def text(self, X: Sequence[int], F: Sequence[int] = ()) -> str:
        """Return the same with other shapes for X, and for F."""
        g = self.geometry
        image, filters = ("×".join(map(str, shape)) for shape in (X, F or g.filters))
        return f"X {image}, F {filters}, {_words(g.stride, g.padding, g.dilation, g.groups)}"


def _words(
    stride: tuple[int, ...], padding: tuple[tuple[int, int], ...] | str, dilation: tuple[int, ...], groups: int
) -> str:
    even = not isinstance(padding, str) and all(before == after for before, after in padding)
    zeros = _short(tuple(int(pair[0]) for pair in padding)) if even else str(padding)
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
