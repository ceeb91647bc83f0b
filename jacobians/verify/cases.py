"""The layers at which the equations are checked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jacobians.geometry import Geometry

__all__ = ["EXAMPLE", "LECTURE", "PUBLISHED", "SIBLING", "drawn"]

EXAMPLE = Geometry((1, 6, 6), (1, 1, 3, 3))
"""The lecture's example, X 6×6×1 and F 3×3×1 (L8, L14, L17)."""

SIBLING = Geometry((4, 6, 6), (1, 4, 3, 3))
"""Its sibling with four planes (L9, L15)."""

LECTURE = Geometry((3, 32, 32), (4, 3, 5, 5))
"""The lecture's layer, X 32×32×3 and four filters 5×5×3 (L24)."""

PUBLISHED = {
    "LeNet-5 C1": Geometry((1, 32, 32), (6, 1, 5, 5)),
    "AlexNet conv1": Geometry((3, 227, 227), (96, 3, 11, 11), stride=4),
    "VGG-16 conv1_1": Geometry((3, 224, 224), (64, 3, 3, 3), padding=1),
    "ResNet-50 conv1": Geometry((3, 224, 224), (64, 3, 7, 7), stride=2, padding=3),
    "MobileNet depthwise": Geometry((32, 112, 112), (32, 1, 3, 3), padding=1, groups=32),
}
"""First layers at true size: LeCun et al. 1998, Krizhevsky et al. 2012, Simonyan and Zisserman 2015, He et al. 2016,
Howard et al. 2017."""


def drawn(seed: int, count: int, *, most_products: int = 3000) -> Iterator[Geometry]:
    """Draw layers of one to three spatial axes with every combination of options.

    Parameters
    ----------
    seed : int
        Seed of the random numbers.
    count : int
        Number of layers.
    most_products : int
        Largest number of products ``n · positions · taps`` of a layer.

    Yields
    ------
    Geometry
        Sizes, taps, stride, padding (none, the same on both sides, or different before and after), dilation, planes,
        filters and groups are drawn independently of each other, so that every pair of options occurs in a few hundred
        layers. Among these are padding wider than the filter, windows that leave gaps, tails, filters as large as the
        image, and groups with several filters each.
    """
    generator = np.random.default_rng([seed, count])
    while count:
        geometry = _draw(generator)
        if geometry and geometry.filters[0] * geometry.positions * geometry.taps <= most_products:
            count -= 1
            yield geometry


def _draw(generator: np.random.Generator) -> Geometry | None:
    axes = int(generator.integers(1, 4))
    groups, planes, filters = (int(generator.integers(1, most)) for most in (4, 3, 3))
    sizes = generator.integers(1, (13, 8, 5)[axes - 1], axes)
    taps, stride, dilation = (generator.integers(1, 4, axes) for _ in range(3))
    before = generator.integers(0, 4, axes)
    after = generator.integers(0, 4, axes)
    if (kind := generator.integers(3)) < 2:
        before, after = before * kind, before * kind
    if np.any((taps - 1) * dilation + 1 > sizes + before + after):
        return None
    return Geometry(
        (groups * planes, *sizes),
        (groups * filters, planes, *taps),
        stride=stride.tolist(),
        padding=list(zip(before.tolist(), after.tolist(), strict=True)),
        dilation=dilation.tolist(),
        groups=groups,
    )
