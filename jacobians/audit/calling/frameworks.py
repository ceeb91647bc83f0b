"""PyTorch and JAX functions as the (forward, backward) of NumPy arrays that an audit calls.

Nothing is cast: an array comes to the framework in its own dtype, with its own strides where the framework has such
strides, and results come back in the dtype that they have. Both frameworks are imported where they are used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from jacobians.audit.calling.subject import check_flag
from jacobians.errors import DtypeError

__all__ = ["from_jax", "from_torch"]

Array = npt.NDArray[Any]
Tensor = Any  # of a framework that need not be installed
Functions = tuple[Callable[..., Array], Callable[..., tuple[Array, ...]]]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def from_torch(forward: Callable[..., Any], *, dtype: str | None = None, bias: bool = False) -> Functions:
    """Make a PyTorch convolution one of NumPy arrays, and its gradient the one that autograd gives.

    Parameters
    ----------
    forward : callable or torch.nn.Module
        ``forward(X, F[, b]) -> S`` on tensors: a function, ``functools.partial(torch.nn.functional.conv2d, stride=2)``,
        the ``.apply`` of an ``autograd.Function``, or a module. A module that has a parameter ``weight`` (and
        ``bias``), its own or that of one layer inside it, is called as ``module(X)`` with F (and b) in their place,
        whatever shapes they have; the module itself is not changed. One without parameters is called like a function.
    dtype : str, optional
        Of the arrays; arrays of another dtype are refused. By default every dtype is taken.
    bias : bool
        Whether it takes a bias.

    Returns
    -------
    forward : callable
        ``forward(X, F[, b]) -> S`` on NumPy arrays with a leading batch axis.
    backward : callable
        ``backward(X, F, [b,] G) -> (dX, dF[, db])``, by autograd with G as the gradient with respect to S.

    Raises
    ------
    TypeError
        If `forward` is nothing that can be called so, or a module with other parameters, or `bias` is no bool.

    Notes
    -----
    Tensors share the memory and the strides of the arrays, so that code that writes into its inputs or ignores strides
    is found; PyTorch has no negative strides, and gets a copy of such arrays. Tensors are on the CPU: for another
    device give ``lambda X, F: kernel(X.cuda(), F.cuda()).cpu()``, through which autograd goes.

    Examples
    --------
    >>> from jacobians import audit
    >>> import torch  # doctest: +SKIP
    >>> audit(*from_torch(torch.nn.functional.conv2d)).check()  # doctest: +SKIP
    """
    import torch

    check_flag("bias", bias)
    names = ("X", "F", "b") if bias else ("X", "F")
    call = _torch_call(forward, bias=bias)

    def numpy_forward(*arrays: Array) -> Array:
        _check_dtypes("from_torch", _named("from_torch", names, arrays), dtype)
        return _from_tensor(_one(call(*map(_to_tensor, arrays)), torch.Tensor, "torch.Tensor"))

    def numpy_backward(*arrays: Array) -> tuple[Array, ...]:
        _check_dtypes("from_torch", _named("from_torch", (*names, "G"), arrays), dtype)
        _check_floating("autograd", dict(zip(names, arrays, strict=False)))
        *given, G = map(_to_tensor, arrays)
        leaves = [each.requires_grad_() for each in given]
        with torch.enable_grad():
            S = _one(call(*leaves), torch.Tensor, "torch.Tensor")
            # Without any graph autograd would complain about S; which of the leaves is cut off says more.
            grads = _gradients(S, leaves, G) if S.requires_grad else [None] * len(leaves)
        _check_gradients(names, grads)
        return tuple(map(_from_tensor, grads))

    return numpy_forward, numpy_backward


def from_jax(forward: Callable[..., Any], *, bias: bool = False) -> Functions:
    """Make a JAX convolution one of NumPy arrays, and its gradient the one that ``jax.vjp`` gives.

    Parameters
    ----------
    forward : callable
        ``forward(X, F[, b]) -> S`` on JAX arrays, jitted or not, with a ``custom_vjp`` or not.
    bias : bool
        Whether it takes a bias.

    Returns
    -------
    forward : callable
        ``forward(X, F[, b]) -> S`` on NumPy arrays with a leading batch axis.
    backward : callable
        ``backward(X, F, [b,] G) -> (dX, dF[, db])``.

    Raises
    ------
    TypeError
        If `forward` cannot be called, or `bias` is no bool.

    Notes
    -----
    JAX makes float32 of float64 unless it is told not to; around calls with 64-bit arrays it is, and nowhere else. JAX
    gives zeros where nothing depends on an argument, so that a gradient that is cut off shows as wrong values.

    Examples
    --------
    >>> from jacobians import audit
    >>> import jax  # doctest: +SKIP
    >>> audit(*from_jax(lambda X, F: jax.lax.conv(X, F, (1, 1), "VALID"))).check()  # doctest: +SKIP
    """
    import jax

    check_flag("bias", bias)
    if not callable(forward):
        raise TypeError(f"forward has type {type(forward).__name__}; it needs a function of JAX arrays")
    names = ("X", "F", "b") if bias else ("X", "F")

    def numpy_forward(*arrays: Array) -> Array:
        _named("from_jax", names, arrays)
        with _wide(arrays):
            return np.array(_one(forward(*map(jax.numpy.array, arrays)), jax.Array, "jax.Array"))

    def numpy_backward(*arrays: Array) -> tuple[Array, ...]:
        _check_floating("jax.vjp", _named("from_jax", (*names, "G"), arrays))
        with _wide(arrays):
            *given, G = map(jax.numpy.array, arrays)
            S, pull_back = jax.vjp(forward, *given)
            _one(S, jax.Array, "jax.Array")
            return tuple(np.array(each) for each in pull_back(G))

    return numpy_forward, numpy_backward


# checks ---------------------------------------------------------------------------------------------------------------


def _one(value: Any, kind: type, kind_name: str) -> Any:
    if isinstance(value, kind):
        return value
    what = f"{len(value)} results" if isinstance(value, tuple | list) else type(value).__name__
    raise TypeError(f"forward returned {what}; it needs to return one {kind_name}, the S")


def _named(adapter: str, names: Sequence[str], arrays: Sequence[Array]) -> dict[str, Array]:
    if len(arrays) != len(names):
        raise TypeError(
            f"{len(arrays)} arrays were given, but {adapter} was told bias={'b' in names}, which needs {len(names)}: "
            f"{', '.join(names)}; give {adapter} and audit the same bias"
        )
    return dict(zip(names, arrays, strict=True))


def _check_dtypes(adapter: str, arrays: dict[str, Array], dtype: str | None) -> None:
    for name, array in arrays.items():
        if dtype is not None and array.dtype.name != str(dtype):
            raise DtypeError(
                f"{name} has dtype {array.dtype} but {adapter} was told {dtype}; nothing is cast: "
                f"give both the same dtype, or leave it out of {adapter}"
            )


def _check_floating(differentiates: str, arrays: dict[str, Array]) -> None:
    for name, array in arrays.items():
        if array.dtype.kind in "iu":
            raise DtypeError(
                f"{name} has dtype {array.dtype} but {differentiates} needs floating-point numbers; "
                "audit with dtype='float64', or the forward pass alone"
            )


def _check_gradients(names: Sequence[str], grads: Sequence[Tensor]) -> None:
    missing = [name for name, grad in zip(names, grads, strict=True) if grad is None]
    if missing:
        raise RuntimeError(
            f"the gradient with respect to {' and '.join(missing)} is cut off: autograd gives none; keep .detach(), "
            ".data, torch.no_grad(), torch.tensor() and NumPy out of forward, and None out of an autograd.Function's "
            "backward; of a kernel without any gradient, audit the forward pass alone"
        )


# PyTorch --------------------------------------------------------------------------------------------------------------


def _torch_call(forward: Any, *, bias: bool) -> Callable[..., Tensor]:
    import copy

    import torch

    if isinstance(forward, type) and issubclass(forward, torch.autograd.Function):
        raise TypeError(f"forward is the class {forward.__name__}; it needs what is called: {forward.__name__}.apply")
    if isinstance(forward, type) or not callable(forward):
        what = f"is the class {forward.__name__}" if isinstance(forward, type) else f"has type {type(forward).__name__}"
        raise TypeError(f"forward {what}; it needs a function of tensors or a torch.nn.Module")
    if not isinstance(forward, torch.nn.Module) or not list(forward.parameters()):
        function: Callable[..., Tensor] = forward
        return function
    names = _parameters_of(forward, bias=bias)
    # A copy, so that whatever else the module keeps between calls is not changed in the original.
    module = copy.deepcopy(forward)

    def call(X: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (X,))

    return call


def _gradients(S: Tensor, leaves: Sequence[Tensor], G: Tensor) -> Sequence[Tensor]:
    import torch

    try:
        found: Sequence[Tensor] = torch.autograd.grad(S, leaves, G, allow_unused=True)
    except RuntimeError as error:
        if re.search("invalid gradient|number of gradients|expected Variable", str(error)):
            raise RuntimeError(
                f"{error}; the backward of an autograd.Function needs to return, for each argument of its forward, in "
                "their order, a tensor of the argument's shape, or None if the argument is no tensor"
            ) from error
        raise
    return found


def _parameters_of(module: Any, *, bias: bool) -> list[str]:
    """Names of the parameters that F and b take the place of."""
    found = {name.rpartition(".")[2]: name for name, _ in module.named_parameters()}
    count = sum(1 for _ in module.named_parameters())
    needed = ["weight", "bias"] if bias else ["weight"]
    if count == len(found) and sorted(found) == sorted(needed):
        return [found[name] for name in needed]
    names = ", ".join(name for name, _ in module.named_parameters())
    cure = "give a function of (X, F) or (X, F, b) that calls it"
    if count == len(found) and set(found) == {"weight", "bias"}:
        cure = "pass bias=True, or make the module with bias=False"
    elif count == len(found) and set(found) == {"weight"}:
        cure = "leave bias=True out, or make the module with bias=True"
    raise TypeError(
        f"forward is a {type(module).__name__} with parameters {names}; with bias={bias} it needs exactly "
        f"{' and '.join(needed)}: {cure}"
    )


def _to_tensor(array: Array) -> Tensor:
    """Return a tensor on the memory of the array, with its strides, or on a copy where PyTorch has no such strides."""
    import torch

    size = array.itemsize
    if not array.flags.writeable or any(step < 0 or step % size for step in array.strides):
        array = array.copy()
    if array.dtype == BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _from_tensor(tensor: Tensor) -> Array:
    import torch

    plain = tensor.detach().resolve_conj().resolve_neg()
    if plain.dtype == torch.bfloat16:
        bits: Array = plain.view(torch.int16).numpy()
        return bits.view(BFLOAT16)
    result: Array = plain.numpy()
    return result


# JAX ------------------------------------------------------------------------------------------------------------------


def _wide(arrays: Sequence[Array]) -> AbstractContextManager[Any]:
    """Let JAX have 64-bit arrays, if there are any; it keeps what it was told otherwise."""
    import jax

    if all(each.dtype.itemsize < 8 for each in arrays):
        return nullcontext()
    if hasattr(jax, "enable_x64"):
        context: AbstractContextManager[Any] = jax.enable_x64(True)
        return context
    import jax.experimental

    older: AbstractContextManager[Any] = jax.experimental.enable_x64()
    return older
