"""The convolutions of an ONNX file. It is data: nothing in it is executed, and nothing outside its folder is read."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jacobians.arguments import shown
from jacobians.errors import DtypeError, ShapeError, nearest
from jacobians.geometry import Geometry
from jacobians.models.layer import Array, Found, Layers, exact

__all__ = ["file"]

Message = Any  # of onnx, which need not be installed
Shape = tuple[int, ...]

# What an image is where neither the file nor the caller says it.
IMAGE = (3, 224, 224)
STANDARD = ("", "ai.onnx")
QUANTISED = ("ConvInteger", "QLinearConv", "DequantizeLinear")


def file(path: Path, image: Shape | None) -> Layers:
    """Return the convolutions of an ONNX file: its Conv nodes, in their order.

    Parameters
    ----------
    path : Path
        The file.
    image : tuple of int, optional
        ``X.shape`` of the file's first input, without the axis of the batch; what the file leaves open is taken from
        it, by default from 3×224×224, and what the file says needs to agree with it.

    Returns
    -------
    Layers
        With the weights that the file holds, read when a layer is asked for; half precision becomes float32, with the
        same values. A layer is named like its weights without ``.weight``, as PyTorch names it, or else like its node.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModuleNotFoundError
        If ``jacobians[onnx]`` is not installed.
    ValueError
        If it is no ONNX file, is cut off or contradicts itself, if the weights of a convolution are not in it, or the
        shape of an image is not known.
    ShapeError
        If `image` is not what the file takes.
    DtypeError
        If weights are complex or quantised.
    """
    graph = _Graph(path, _inferred(path, _read(path), image))
    found, passed_over = list[Found](), Counter[str]()
    for node in graph.nodes:
        if _is(node, "Conv"):
            found.append(graph.convolution(node))
        elif _is(node, "ConvInteger", "QLinearConv"):
            raise DtypeError(
                f"{_called(node)} of {path} is a quantised convolution, a {node.op_type}; its weights are integers "
                "with a scale: give the file as it was before it was quantised"
            )
        elif not _is(node, "Constant", "Identity"):
            passed_over[_word(node)] += 1
    passed_over += Counter(f"Conv inside of {each}" for each in graph.hidden)
    return Layers(found, passed_over)


# reading --------------------------------------------------------------------------------------------------------------


def _onnx() -> Any:
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("ONNX files need onnx: pip install 'jacobians[onnx]'", name="onnx") from error
    return onnx


def _read(path: Path) -> Message:
    """Parse a file; weights beside it are left there."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; give an ONNX file" if not path.exists() else f"{path} is no file"
        )
    onnx = _onnx()
    try:
        model = onnx.load_model(path, load_external_data=False)
    except Exception as error:  # of protobuf, whose package is not ours to name
        raise ValueError(f"{path} is no ONNX file, or is cut off: {_first_line(error)}") from error
    if not model.graph.node or not model.opset_import:
        raise ValueError(
            f"{path} is no ONNX file, or is cut off: it has no {'graph' if model.opset_import else 'opset'}"
        )
    return model


def _inferred(path: Path, model: Message, image: Shape | None) -> Message:
    """Put the shape of the image where the file leaves it open, and infer the shapes behind it."""
    graph = model.graph
    held = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name not in held and each.type.HasField("tensor_type")]
    if inputs:
        _close(path, inputs, image)
    # What the file says is taken where nothing can be inferred: it may be wrong, or be of another image.
    declared, values = _shapes(graph), [_copied(each) for each in (*graph.value_info, *graph.output)]
    del graph.value_info[:]
    for each in graph.output:
        each.type.tensor_type.ClearField("shape")
    model = _infer(path, model)
    shapes = _shapes(model.graph)
    for name in declared.keys() & shapes:
        if declared[name][1:] != shapes[name][1:]:
            raise ValueError(
                f"{path} contradicts itself: {name!r} is {shapes[name]}, but the file says {declared[name]}"
            )
    unknown = [each for each in values if each.name in declared.keys() - shapes]
    model.graph.value_info.extend(unknown)
    return _infer(path, model) if unknown else model


def _infer(path: Path, model: Message) -> Message:
    """Infer shapes, with the functions that a file has of its own written out where they are called."""
    from onnx import inliner, shape_inference

    try:
        whole = inliner.inline_local_functions(model) if model.functions else model
        return shape_inference.infer_shapes(whole, data_prop=True)
    except Exception as error:  # of onnx, or of protobuf where a name is no text
        raise ValueError(f"the shapes in {path} cannot be inferred: {_first_line(error)}") from error


def _close(path: Path, inputs: Sequence[Message], image: Shape | None) -> None:
    """Give a size to every open axis of the inputs: of the first the image's, of the others what has the same name."""
    first, *others = inputs
    axes, needed = first.type.tensor_type.shape.dim, (1, *(image or IMAGE))
    if not axes:
        for _ in needed:
            axes.add()
    sizes = [axis.dim_value if axis.dim_value > 0 else None for axis in axes]
    alike = len(sizes) == len(needed) and all(
        size in {None, each} for size, each in zip(sizes[1:], needed[1:], strict=True)
    )
    if not alike and (image is not None or None in sizes[1:]):
        given = "" if image is None else f"image is {image}, but "
        cure = "; give the shape of an image" if image is None else ""
        raise ShapeError(f"{given}the input {first.name!r} of {path} takes {_written(sizes[1:])}{cure}")
    named: dict[str, int] = {}
    for axis, size, from_image in zip(axes, sizes, needed if alike else sizes, strict=True):
        known = size or from_image or 1
        named |= {axis.dim_param: known} if axis.dim_param else {}
        axis.dim_value = known
    for other in others:
        for number, axis in enumerate(other.type.tensor_type.shape.dim):
            if axis.dim_param in named or (axis.dim_value <= 0 and number == 0):
                axis.dim_value = named.get(axis.dim_param, 1)


def _written(sizes: Sequence[int | None]) -> str:
    return "×".join("?" if size is None else str(size) for size in sizes)


def _copied(value: Message) -> Message:
    copy = type(value)()
    copy.CopyFrom(value)
    return copy


def _shape(value: Message) -> Shape | None:
    """Return the shape of a tensor; None where an axis, or how many there are, is not known."""
    tensor = value.type.tensor_type
    sizes = tuple(axis.dim_value for axis in tensor.shape.dim)
    return sizes if tensor.HasField("shape") and all(size > 0 for size in sizes) else None


def _shapes(graph: Message) -> dict[str, Shape]:
    values = (*graph.input, *graph.value_info, *graph.output)
    return {each.name: shape for each in values if (shape := _shape(each))}


# the graph ------------------------------------------------------------------------------------------------------------


class _Graph:
    """What is known of each array of a file by its name: its shape, its values, and the node that computes it."""

    def __init__(self, path: Path, model: Message) -> None:
        graph = model.graph
        self.path = path
        self.nodes = list(graph.node)
        self.inputs = {each.name for each in graph.input}
        self.shapes = _shapes(graph)
        self.by_output = {output: node for node in self.nodes for output in node.output}
        self.constants: dict[str, Message] = {each.name: each for each in graph.initializer}
        for output, node in self.by_output.items():
            if _is(node, "Constant"):
                self.constants[output] = _constant(node)
            elif _is(node, "Identity") and node.input and node.input[0] in self.constants:
                self.constants[output] = self.constants[node.input[0]]

    @property
    def hidden(self) -> list[str]:
        """Operators such as If, once for each convolution in the graphs that they choose from."""
        return [node.op_type for node in self.nodes for each in _nodes_inside(node) if _is(each, "Conv")]

    def convolution(self, node: Message) -> Found:
        """Return a Conv node, checked against what is inferred of its responses."""
        where = f"{_called(node)} of {self.path}"
        if len(node.input) < 2 or not node.output:
            raise ValueError(f"{where} has {len(node.input)} inputs; a Conv needs an image and filters")
        X, F, *rest = node.input
        filters = self._weights(F, f"F, the input {F!r} of {where},")
        bias = self._weights(rest[0], f"b, the input {rest[0]!r} of {where},") if rest and rest[0] else None
        if X not in self.shapes:
            raise ValueError(self._unknown(X, where))
        try:
            geometry = _geometry(self.shapes[X][1:], tuple(filters.dims), node)
        except (ShapeError, OverflowError) as error:
            raise ShapeError(f"{where}: {error}") from error
        if bias is not None and tuple(bias.dims) != geometry.filters[:1]:
            raise ShapeError(f"{where}: b has shape {tuple(bias.dims)}, but there are {filters.dims[0]} filters")
        inferred = self.shapes.get(node.output[0], (0, *geometry.responses))[1:]
        if inferred != geometry.responses:
            raise ValueError(f"{where} has responses of shape {geometry.responses}, but onnx infers {inferred}")
        name = F.removesuffix(".weight") if F.endswith(".weight") else node.name or node.output[0]
        return Found(name, geometry, functools.partial(_both, filters, bias, self.path))

    def _weights(self, name: str, what: str) -> Message:
        tensor = self.constants.get(name)
        if tensor is not None:
            return tensor
        if name in self.by_output:
            node = self.by_output[name]
            quantised = _is(node, *QUANTISED)
            raise (DtypeError if quantised else ValueError)(
                f"{what} is computed by {_called(node)}; "
                + (
                    "quantised weights are integers with a scale: give the file as it was before"
                    if quantised
                    else "it needs to be an initialiser or a Constant of the file"
                )
            )
        said = "is an input of the file" if name in self.inputs else "is not in the file"
        raise ValueError(f"{what} {said}; it needs to be an initialiser or a Constant")

    def _unknown(self, name: str, where: str) -> str:
        """Say from which node on shapes are unknown."""
        node, seen = self.by_output.get(name), set[str]()
        while node is not None:
            open_inputs = [each for each in node.input if each not in self.shapes and each in self.by_output]
            deeper = next((each for each in open_inputs if each not in seen and each not in self.constants), None)
            if deeper is None:
                break
            seen.add(deeper)
            node = self.by_output[deeper]
        begin = f"the shape of {name!r}, the image of {where}, is not known"
        if node is None:
            return f"{begin}: nothing in the file computes it, or its shape is open; give the image's shape"
        return (
            f"{begin}: it cannot be inferred behind {_called(node)}, of the operator {_word(node)}; write the shape of "
            f"its output into the file, or export the model with fixed shapes"
        )


def _geometry(image: Shape, filters: Shape, node: Message) -> Geometry:
    """Return what a Conv node computes, by the definition of the operator."""
    axes, given = len(filters) - 2, _attributes(node)
    usual = {"kernel_shape": list(filters[2:]), "strides": [1] * axes, "dilations": [1] * axes, "group": 1}
    usual |= {"auto_pad": b"NOTSET", "pads": []}
    if unknown := given.keys() - usual:
        raise ShapeError(f"Conv has no attribute {min(unknown)!r}{nearest(min(unknown), usual)}")
    for name, value in usual.items():
        if type(given.setdefault(name, value)) is not type(value):
            raise ShapeError(f"{name} is {shown(given[name])}; it needs a value like {value}")
    taps, stride, dilation, groups, word, pads = (given[name] for name in usual)
    if tuple(taps) != filters[2:]:
        raise ShapeError(f"kernel_shape is {tuple(taps)}, but the filters have taps {filters[2:]}")
    if len(pads) not in {0, 2 * axes}:
        raise ShapeError(f"pads is {pads}; it needs one number before and one after each of {axes} axes")
    padding: list[tuple[int, int]] = [(0, 0)] * axes
    if word in {b"NOTSET", b""} and pads:
        padding = list(zip(pads[:axes], pads[axes:], strict=True))
    elif word in {b"SAME_UPPER", b"SAME_LOWER"}:
        sizes = zip(image[1:], filters[2:], stride, dilation, strict=True)
        padding = [_same(*each, upper=word == b"SAME_UPPER") for each in sizes]
    elif word not in {b"NOTSET", b"", b"VALID"}:
        raise ShapeError(f"auto_pad is {shown(word)}; it needs NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    if any(pads) and [*(before for before, _ in padding), *(after for _, after in padding)] != pads:
        raise ShapeError(f"auto_pad is {word.decode()} and pads is {pads}, which contradict each other")
    return Geometry(image, filters, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _same(size: int, taps: int, stride: int, dilation: int, *, upper: bool) -> tuple[int, int]:
    """Return the zeros with which there are ``⌈size / stride⌉`` responses, an odd one after the image or before it."""
    total = max((-(-size // stride) - 1) * stride + (taps - 1) * dilation + 1 - size, 0)
    return (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)


# nodes and arrays -----------------------------------------------------------------------------------------------------


def _is(node: Message, *operators: str) -> bool:
    return node.op_type in operators and node.domain in STANDARD


def _called(node: Message) -> str:
    return f"the node {node.name or node.output[0]!r}" if node.name or node.output else f"a node {node.op_type}"


def _word(node: Message) -> str:
    return node.op_type if node.domain in STANDARD else f"{node.domain}.{node.op_type}"


def _attributes(node: Message) -> dict[str, Any]:
    return {each.name: _onnx().helper.get_attribute_value(each) for each in node.attribute}


def _constant(node: Message) -> Message:
    """Return the tensor of a Constant; None where it is another value, such as text."""
    onnx, given = _onnx(), _attributes(node)
    value, floats = given.get("value"), given.get("value_floats")
    if isinstance(floats, list):
        return onnx.helper.make_tensor(node.output[0], onnx.TensorProto.FLOAT, [len(floats)], floats)
    return value if isinstance(value, onnx.TensorProto) else None


def _nodes_inside(node: Message) -> Iterable[Message]:
    for each in node.attribute:
        for graph in [each.g] if each.HasField("g") else each.graphs:
            for inner in graph.node:
                yield inner
                yield from _nodes_inside(inner)


def _both(filters: Message, bias: Message | None, path: Path) -> tuple[Array, Array | None]:
    return _array(filters, path), None if bias is None else _array(bias, path)


def _array(tensor: Message, path: Path) -> Array:
    """Read an array, from the file or from one beside it."""
    what = f"the array {tensor.name!r} of {path}"
    for each in tensor.external_data:
        if each.key == "location" and not _is_inside(path.parent, each.value):
            raise ValueError(f"{what} is at {shown(each.value)}, outside of the file's folder, where nothing is read")
    try:
        array = _onnx().numpy_helper.to_array(tensor, str(path.parent))
    except Exception as error:  # of onnx's checker, of the operating system, or of NumPy
        beside = " or the file beside it that it names" if tensor.external_data else ""
        raise ValueError(f"{what} cannot be read; it{beside} is broken or missing: {_first_line(error)}") from error
    return exact(what, array)


def _is_inside(folder: Path, location: str) -> bool:
    """Whether a path leads into a folder, when all links are followed; onnx looks at this, too, in some releases."""
    try:
        return (folder / location).resolve().is_relative_to(folder.resolve())
    except (ValueError, OSError, RuntimeError):  # of a zero byte, of a loop
        return False


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
