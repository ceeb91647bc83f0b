"""The convolutions of a model, each with its geometry and weights: of PyTorch, of an ONNX file, or published.

>>> for layer in layers("lenet-5"):
...     print(layer.name, layer.geometry, layer.estimate().nonzeros)
c1 Geometry((1, 32, 32), (6, 1, 5, 5)) 117600
c3 Geometry((6, 14, 14), (16, 6, 5, 5)) 240000
c5 Geometry((16, 5, 5), (120, 16, 5, 5)) 48000
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from jacobians.geometry import check_shape
from jacobians.models import onnx_files, published, torch_modules
from jacobians.models.layer import ConvolutionLayer, Estimate, Layers

__all__ = ["ConvolutionLayer", "Estimate", "Layers", "layers"]

IMAGE = (3, 224, 224)


def layers(model: Any, image: Sequence[int] | None = None, *, seed: int = 0) -> Layers:
    """Return the convolutions of a model, one at a time, in the order in which they are computed.

    Parameters
    ----------
    model : torch.nn.Module, path of an ONNX file, or name of a published network
        A module is run once, in evaluation mode, and is left as it was. Nothing in an ONNX file is executed, and
        nothing outside its folder is read. Networks are lenet-5, alexnet, vgg-16, resnet-50, mobilenet-v2 and u-net;
        they need no PyTorch.
    image : sequence of int, optional
        ``X.shape = (d, *spatial)`` of the model's input, without the axis of the batch. By default it is what the ONNX
        file or the paper says, and else 3×224×224.
    seed : int
        Of the weights of a published network, normal with variance 2/taps (He et al. 2015).

    Returns
    -------
    Layers
        An iterator of `ConvolutionLayer`, which reads or draws the weights of a layer when that is asked for. Its
        ``passed_over`` counts what else the model has.

    Raises
    ------
    TypeError
        If `model` is none of these.
    FileNotFoundError
        If there is no such file.
    ModuleNotFoundError
        If an ONNX file is given and ``jacobians[onnx]`` is not installed.
    ValueError
        If there is no such network; if the forward pass of a module fails on such an image, or it has no weights yet;
        if a file is broken, or the shapes of its arrays are not known.
    ShapeError
        If a convolution pads with anything but zeros, or the model takes no such image.
    DtypeError
        If weights are complex or quantised.

    Examples
    --------
    >>> found = layers("vgg16")
    >>> next(found)
    ConvolutionLayer('conv1_1', Geometry((3, 224, 224), (64, 3, 3, 3), padding=1), F float32, b float32)
    >>> len(found.geometries)
    13
    """
    shape = None if image is None else check_shape("image", image, "(d, *spatial)")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        return torch_modules.module(model, shape or IMAGE)
    if isinstance(model, PathLike) or (isinstance(model, str) and _is_path(model)):
        return onnx_files.file(Path(model), shape)
    if isinstance(model, str):
        return published.network(model, shape, seed=seed)
    what = f"is the class {model.__name__}" if isinstance(model, type) else f"has type {type(model).__name__}"
    raise TypeError(f"model {what}; it needs a torch.nn.Module, the path of an ONNX file, or the name of a network")


def _is_path(model: str) -> bool:
    return Path(model).suffix != "" or Path(model).name != model or Path(model).is_file()
