"""The convolutions of published networks, by the shapes that their papers give; the weights are drawn.

A network is a function of the shape of an image that yields names and geometries. Where layers lie between two
convolutions that change sizes, it computes the next image as they do: pooling, cropping and putting planes together.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jacobians.arguments import seed_of, shown
from jacobians.errors import ShapeError, nearest
from jacobians.geometry import Geometry
from jacobians.models.layer import Array, Found, Layers

__all__ = ["NETWORKS", "network"]

Shape = tuple[int, ...]
Convolutions = Iterator[tuple[str, Geometry]]


def _conv(
    image: Shape, filters: int, taps: int, stride: int = 1, *, padding: int | None = None, groups: int = 1
) -> Geometry:
    """Return a square convolution, padded so that stride 1 keeps the size unless it says otherwise."""
    padding = taps // 2 if padding is None else padding
    shape = (filters, image[0] // groups, taps, taps)
    return Geometry(image, shape, stride=stride, padding=padding, groups=groups)


def _pooled(image: Shape, taps: int, stride: int, padding: int = 0) -> Shape:
    """Return the shape behind a pooling layer, whose windows are those of one filter for each plane."""
    return _conv(image, image[0], taps, stride, padding=padding, groups=image[0]).responses


def lenet_5(image: Shape) -> Convolutions:
    """Return LeNet-5; all sixteen maps of C3 see all six of S2, where the paper connects some of them only."""
    for name, filters in (("c1", 6), ("c3", 16), ("c5", 120)):
        geometry = _conv(image, filters, 5, padding=0)
        yield name, geometry
        image = geometry.responses if name == "c5" else _pooled(geometry.responses, 2, 2)


def alexnet(image: Shape) -> Convolutions:
    """Return AlexNet, with the two groups that the paper spreads over two GPUs."""
    rows = ((96, 11, 4, 0, 1), (256, 5, 1, 2, 2), (384, 3, 1, 1, 1), (384, 3, 1, 1, 2), (256, 3, 1, 1, 2))
    for number, (filters, taps, stride, padding, groups) in enumerate(rows, 1):
        geometry = _conv(image, filters, taps, stride, padding=padding, groups=groups)
        yield f"conv{number}", geometry
        image = _pooled(geometry.responses, 3, 2) if number in {1, 2} else geometry.responses


def vgg_16(image: Shape) -> Convolutions:
    """Return VGG-16, configuration D."""
    for block, (filters, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for number in range(1, count + 1):
            geometry = _conv(image, filters, 3)
            yield f"conv{block}_{number}", geometry
            image = geometry.responses
        image = _pooled(image, 2, 2)


def resnet_50(image: Shape) -> Convolutions:
    """Return ResNet-50; a block's stride is in its first convolution, as in the paper."""
    stem = _conv(image, 64, 7, 2)
    yield "conv1", stem
    image = _pooled(stem.responses, 3, 2, 1)
    for stage, (filters, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 2):
        for block in range(1, count + 1):
            name, entry, stride = f"conv{stage}_{block}", image, 2 if block == 1 and stage > 2 else 1
            for part, (outputs, taps) in zip("abc", ((filters, 1), (filters, 3), (4 * filters, 1)), strict=True):
                geometry = _conv(image, outputs, taps, stride if part == "a" else 1)
                yield name + part, geometry
                image = geometry.responses
            if block == 1:
                yield f"{name}_proj", _conv(entry, 4 * filters, 1, stride)


def mobilenet_v2(image: Shape) -> Convolutions:
    """Return MobileNet-V2 at width 1: blocks that expand the planes, filter each one, and project them."""
    stem = _conv(image, 32, 3, 2)
    yield "conv1", stem
    image, number = stem.responses, 0
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, filters, count, stride in rows:
        for repeat in range(count):
            number, planes = number + 1, expansion * image[0]
            parts = [
                ("expand", planes, 1, 1, 1),
                ("dwise", planes, 3, stride if repeat == 0 else 1, planes),
                ("project", filters, 1, 1, 1),
            ]
            for part, outputs, taps, step, groups in parts[expansion == 1 :]:
                geometry = _conv(image, outputs, taps, step, groups=groups)
                yield f"block{number}.{part}", geometry
                image = geometry.responses
    yield "conv2", _conv(image, 1280, 1)


def u_net(image: Shape) -> Convolutions:
    """Return U-Net; its four up-convolutions are transposed convolutions, and passed over."""
    skipped: list[int] = []
    for depth in range(1, 10):
        level = min(depth, 10 - depth)
        filters = 32 * 2**level
        if depth > 5:
            # The up-convolution doubles the sizes, to which the copy is cropped.
            image = (skipped.pop() + filters, *(2 * size for size in image[1:]))
        for number in (1, 2):
            geometry = _conv(image, filters, 3, padding=0)
            yield f"{'down' if depth < 5 else 'bottom' if depth == 5 else 'up'}{level}.conv{number}", geometry
            image = geometry.responses
        if depth < 5:
            skipped.append(filters)
            image = _pooled(image, 2, 2)
    yield "out", _conv(image, 2, 1)


class Published(NamedTuple):
    """A network, the image that it was published with, and where."""

    convolutions: Callable[[Shape], Convolutions]
    image: Shape
    bias: bool
    source: str
    passed_over: dict[str, int]


NETWORKS = {
    "lenet-5": Published(
        lenet_5,
        (1, 32, 32),
        bias=True,
        source="LeCun, Bottou, Bengio, Haffner (1998), Gradient-Based Learning Applied to Document Recognition, II.B",
        passed_over={"subsampling": 2, "fully connected": 2},
    ),
    "alexnet": Published(
        alexnet,
        (3, 227, 227),  # the paper says 224, from which eleven taps with stride 4 do not make its 55 responses
        bias=True,
        source="Krizhevsky, Sutskever, Hinton (2012), ImageNet Classification with Deep Convolutional Neural Networks",
        passed_over={"maximum pooling": 3, "response normalisation": 2, "fully connected": 3},
    ),
    "vgg-16": Published(
        vgg_16,
        (3, 224, 224),
        bias=True,
        source="Simonyan, Zisserman (2015), Very Deep Convolutional Networks for Large-Scale Image Recognition, D",
        passed_over={"maximum pooling": 5, "fully connected": 3},
    ),
    "resnet-50": Published(
        resnet_50,
        (3, 224, 224),
        bias=False,
        source="He, Zhang, Ren, Sun (2016), Deep Residual Learning for Image Recognition, table 1",
        passed_over={"batch normalisation": 53, "maximum pooling": 1, "average pooling": 1, "fully connected": 1},
    ),
    "mobilenet-v2": Published(
        mobilenet_v2,
        (3, 224, 224),
        bias=False,
        source="Sandler, Howard, Zhu, Zhmoginov, Chen (2018), MobileNetV2: Inverted Residuals, table 2",
        passed_over={"batch normalisation": 52, "average pooling": 1, "fully connected": 1},
    ),
    "u-net": Published(
        u_net,
        (1, 572, 572),
        bias=True,
        source="Ronneberger, Fischer, Brox (2015), U-Net: Convolutional Networks for Biomedical Image Segmentation",
        passed_over={"maximum pooling": 4, "transposed convolution": 4},
    ),
}


def network(name: str, image: Sequence[int] | None, *, seed: int = 0) -> Layers:
    """Return the convolutions of a published network, with weights that are drawn when a layer is asked for.

    Parameters
    ----------
    name : str
        As in `NETWORKS`; hyphens, spaces and capitals do not matter.
    image : sequence of int, optional
        ``X.shape``; by default that of the paper.
    seed : int
        Of all draws; a layer's draw does not depend on those before it.

    Returns
    -------
    Layers
        With F and b of float32.

    Raises
    ------
    ValueError
        If there is no such network, with the nearest name, or `seed` is none.
    ShapeError
        If the network does not take such an image.
    """
    by_letters = {_letters(each): each for each in NETWORKS}
    if _letters(name) not in by_letters:
        raise ValueError(
            f"model is {shown(name)}, which is neither a file nor a published network; those are "
            f"{', '.join(NETWORKS)}{nearest(name, NETWORKS)}"
        )
    known, seed = by_letters[_letters(name)], seed_of(seed)
    published = NETWORKS[known]
    image = published.image if image is None else tuple(image)
    if (len(image), image[0]) != (len(published.image), published.image[0]):
        raise ShapeError(
            f"image is {image}; {known} takes images of {published.image[0]} planes, like {published.image}"
        )
    try:
        layers = list(published.convolutions(image))
    except ShapeError as error:
        raise ShapeError(f"{known} takes no image of shape {image}: {error}") from error
    found = [
        Found(layer, geometry, functools.partial(_drawn, geometry, [seed, number], bias=published.bias))
        for number, (layer, geometry) in enumerate(layers)
    ]
    return Layers(found, published.passed_over)


def _letters(name: str) -> str:
    return "".join(each for each in name.casefold() if each.isalnum())


def _drawn(geometry: Geometry, seed: list[int], *, bias: bool) -> tuple[Array, Array | None]:
    """Draw normal weights of variance 2 over the taps of a filter (He et al. 2015, 2.2), and biases of the same."""
    draw, deviation = np.random.default_rng(seed), np.float32(math.sqrt(2 / geometry.taps))
    F = draw.standard_normal(geometry.filters, np.float32) * deviation
    return F, draw.standard_normal(geometry.filters[0], np.float32) * deviation if bias else None
