"""The convolutions of a PyTorch module, as one forward pass calls them."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jacobians.errors import DtypeError, ShapeError
from jacobians.geometry import Geometry
from jacobians.models.layer import Array, Found, Layers, exact

__all__ = ["module"]

Module = Any  # of PyTorch, which need not be installed
Call = tuple[str, Module, tuple[int, ...]]


def module(model: Module, image: Sequence[int]) -> Layers:
    """Return the convolutions that one forward pass of a module calls, in its order.

    Parameters
    ----------
    model : torch.nn.Module
        It is run once, in evaluation mode and without gradients, and left as it was.
    image : sequence of int
        ``X.shape`` of one image, without the axis of the batch.

    Returns
    -------
    Layers
        With copies of the weights, made when a layer is asked for; half precision becomes float32, with the same
        values. Layers that are no convolutions, transposed ones among them, are passed over, and so are convolutions
        that are not called, that are called as functions, and that have a forward pass of their own.

    Raises
    ------
    ValueError
        If the forward pass fails on such an image, or the module has no weights yet.
    ShapeError
        If a convolution pads with anything but zeros.
    DtypeError
        If weights are complex or quantised.
    """
    names = {each: name or type(each).__name__ for name, each in model.named_modules()}
    for each, name in names.items():
        _check_weights(each, name)
    calls, computed = _called(model, names, image)
    found = [
        Found(name, _geometry(each, name, shape), functools.partial(_weights, each, name))
        for name, each, shape in calls
    ]
    passed_over = Counter(filter(None, map(_word, names)))
    uncalled = [each for each in names if _is_convolution(each) and each not in {conv for _, conv, _ in calls}]
    passed_over += Counter(f"{type(each).__name__} that is not called" for each in uncalled)
    passed_over += Counter({"convolution that is called as a function": computed - len(calls)})
    return Layers(found, passed_over)


def _is_convolution(each: Module) -> bool:
    """Whether a layer is a convolution that computes as PyTorch's own do; a class derived from them may not."""
    import torch

    return any(
        isinstance(each, kind) and (type(each).forward, type(each)._conv_forward) == (kind.forward, kind._conv_forward)  # noqa: SLF001  # the forward pass is these two
        for kind in (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    )


def _word(each: Module) -> str:
    """Return what a layer is called that is passed over; empty for convolutions, and for what is made of layers."""
    import torch

    if isinstance(each, torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Conv3d):
        return "" if _is_convolution(each) else f"{type(each).__name__} with a forward pass of its own"
    return "" if list(each.children()) else type(each).__name__


def _check_weights(each: Module, name: str) -> None:
    """Refuse weights that are not there yet, and those that are no real numbers."""
    import torch

    if any(
        torch.nn.parameter.is_lazy(tensor) for tensor in [*each.parameters(recurse=False), *each.buffers(recurse=False)]
    ):
        raise ValueError(f"{name} is a {type(each).__name__} that has no weights yet; call the model once on an image")
    weight = getattr(each, "weight", None)
    if hasattr(each, "kernel_size") and callable(weight):
        raise DtypeError(
            f"{name} is a quantised {type(each).__name__}; its weights are integers with a scale: give the model as it "
            "was before it was quantised"
        )
    if _is_convolution(each) and weight is not None and weight.is_complex():
        raise DtypeError(
            f"the weight of {name} has dtype {weight.dtype}; the formulas are linear in it: give a model with its real "
            "part and one with its imaginary part"
        )


def _called(model: Module, names: dict[Module, str], image: Sequence[int]) -> tuple[list[Call], int]:
    """Run the module; return its calls of convolutions with the shapes of their images, and how many were computed."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    calls, computed = list[Call](), list[Any]()
    convolution = {torch.ops.aten.convolution.default, torch.ops.aten._convolution.default}  # noqa: SLF001  # the latter is what a traced module calls

    class Computed(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            del types
            if operation in convolution and not args[6]:  # not transposed
                computed.append(operation)
            return operation(*args, **(kwargs or {}))

    def note(each: Module, args: Any, kwargs: Any, result: Any) -> None:
        del result
        X = args[0] if args else kwargs["input"]
        calls.append((names[each], each, tuple(X.shape[-1 - len(each.kernel_size) :])))

    tensor = next((each for each in model.parameters() if each.is_floating_point()), torch.empty(0))
    with _evaluating(model), contextlib.ExitStack() as hooks:
        for each in filter(_is_convolution, names):
            hooks.callback(each.register_forward_hook(note, with_kwargs=True).remove)
        try:
            with torch.no_grad(), Computed():
                model(torch.zeros((1, *image), dtype=tensor.dtype, device=tensor.device))
        except Exception as error:  # whatever the module raises
            said = str(error).partition("\n")[0]
            raise ValueError(
                f"the forward pass of {type(model).__name__} fails on an image of shape {tuple(image)}: "
                f"{type(error).__name__}: {said}; give the shape that it takes as image"
            ) from error
    return calls, len(computed)


@contextlib.contextmanager
def _evaluating(model: Module) -> Iterator[None]:
    """Put a module into evaluation mode, and each part of it back into the mode that it was in."""
    before = {each: each.training for each in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for each, training in before.items():
            each.training = training


def _geometry(each: Module, name: str, image: tuple[int, ...]) -> Geometry:
    try:
        return Geometry.of(each, image)
    except ShapeError as error:
        raise ShapeError(f"{name}: {error}") from error


def _weights(each: Module, name: str) -> tuple[Array, Array | None]:
    F = _array(each.weight, f"the weight of {name}")
    return F, None if each.bias is None else _array(each.bias, f"the bias of {name}")


def _array(tensor: Any, name: str) -> Array:
    if tensor.is_meta:
        raise ValueError(f"{name} is on the device meta, and has no numbers; load the model onto the CPU")
    plain = tensor.detach().cpu()
    narrow = plain.is_floating_point() and plain.element_size() < 4
    return np.array(exact(name, (plain.float() if narrow else plain).numpy()), order="C")
