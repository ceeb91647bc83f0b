"""PyTorch and JAX functions as the (forward, backward) of NumPy arrays that an audit calls.

Nothing is cast: an array comes to the framework in its own dtype, with its own strides where the framework has such
strides, and results come back in the dtype that they have. Both frameworks are imported where they are used.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from jacobians.arguments import dtype_name, flag, instance
from jacobians.audit.numbers import DTYPES
from jacobians.errors import CallError, DtypeError

__all__ = ["from_jax", "from_torch", "in_framework", "module_of"]

Array = npt.NDArray[Any]
Tensor = Any  # of a framework that need not be installed
Functions = tuple[Callable[..., Array], Callable[..., tuple[Array, ...]]]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def from_torch(forward: Callable[..., Any], *, dtype: npt.DTypeLike | None = None, bias: bool = False) -> Functions:
    """Make functions of NumPy arrays from a PyTorch convolution and its gradient by autograd.

    Parameters
    ----------
    forward : callable or torch.nn.Module
        ``forward(X, F[, b]) -> S`` on tensors: a function, ``functools.partial(torch.nn.functional.conv2d, stride=2)``,
        the ``.apply`` of an ``autograd.Function``, or a module. A module that has a parameter ``weight`` (and
        ``bias``), of its own or of one layer inside it, is called as ``module(X)`` with F (and b) in their place,
        whatever shapes they have; the module itself is not changed. A module without parameters is called like a
        function.
    dtype : dtype, optional
        The dtype of the arrays; arrays of another dtype are refused. By default, every dtype is accepted.
    bias : bool
        Whether the convolution takes a bias.

    Returns
    -------
    forward : callable
        ``forward(X, F[, b]) -> S`` on NumPy arrays with a leading batch axis.
    backward : callable
        ``backward(X, F, [b,] G) -> (dX, dF[, db])``, computed by autograd from G, the gradient with respect to S.

    Raises
    ------
    TypeError
        If `forward` cannot be called in this way, is a module with other parameters, or `bias` is not a bool.
    DtypeError
        If `dtype` cannot be audited.

    Notes
    -----
    Tensors share the memory and the strides of the arrays, so that an audit finds code that writes into its inputs or
    ignores strides. PyTorch has no negative strides; it gets a copy of such arrays. Tensors are on the CPU. For another
    device, give ``lambda X, F: kernel(X.cuda(), F.cuda()).cpu()``; autograd works through these copies.

    Examples
    --------
    >>> from jacobians import audit
    >>> import torch  # doctest: +SKIP
    >>> audit(*from_torch(torch.nn.functional.conv2d)).check()  # doctest: +SKIP
    """
    import torch

    call = _torch_call(forward, bias=bias)

    def responses(tensors: Sequence[Tensor]) -> Tensor:
        return _one(call(*tensors), torch.Tensor, "torch.Tensor")

    def run(*arrays: Array) -> Array:
        return _from_tensor(responses([_to_tensor(each) for each in arrays]))

    def pull_back(names: Sequence[str], *arrays: Array) -> tuple[Array, ...]:
        *given, G = map(_to_tensor, arrays)
        leaves = [each.requires_grad_() for each in given]
        with torch.enable_grad():
            S = responses(leaves)
            # Without any graph autograd would complain about S; which of the leaves is cut off says more.
            grads = _gradients(S, leaves, G) if S.requires_grad else [None] * len(leaves)
        missing = [name for name, grad in zip(names, grads, strict=True) if grad is None]
        if missing:
            raise RuntimeError(
                f"autograd gives no gradient with respect to {' and '.join(missing)}, because the graph is cut; do "
                "not use "
                ".detach(), .data, torch.no_grad(), torch.tensor() or NumPy in forward, and do not return None from "
                "the "
                "backward of an autograd.Function; if the kernel has no gradient, audit the forward pass alone"
            )
        return tuple(map(_from_tensor, grads))

    named = None if dtype is None else dtype_name(dtype, DTYPES)
    return _checked("from_torch", "autograd", run, pull_back, bias=bias, dtype=named)


def from_jax(forward: Callable[..., Any], *, bias: bool = False) -> Functions:
    """Make functions of NumPy arrays from a JAX convolution and its gradient by ``jax.vjp``.

    Parameters
    ----------
    forward : callable
        ``forward(X, F[, b]) -> S`` on JAX arrays, jitted or not, with a ``custom_vjp`` or not.
    bias : bool
        Whether the convolution takes a bias.

    Returns
    -------
    forward, backward : callable
        As in `from_torch`.

    Raises
    ------
    TypeError
        If `forward` cannot be called, or `bias` is not a bool.

    Notes
    -----
    JAX converts float64 to float32 unless 64-bit numbers are enabled. They are enabled during calls with 64-bit arrays,
    and nowhere else. JAX returns zeros if a result does not depend on an argument, so a gradient that is cut off shows
    as wrong values.

    Examples
    --------
    >>> from jacobians import audit
    >>> import jax  # doctest: +SKIP
    >>> audit(*from_jax(lambda X, F: jax.lax.conv(X, F, (1, 1), "VALID"))).check()  # doctest: +SKIP
    """
    import jax

    instance("forward", forward, Callable, "a function of JAX arrays")

    def run(*arrays: Array) -> Array:
        with _wide(arrays):
            return np.array(_one(forward(*map(jax.numpy.array, arrays)), jax.Array, "jax.Array"))

    def pull_back(_: Sequence[str], *arrays: Array) -> tuple[Array, ...]:
        with _wide(arrays):
            *given, G = map(jax.numpy.array, arrays)
            S, transposed = jax.vjp(forward, *given)
            _one(S, jax.Array, "jax.Array")
            return tuple(np.array(each) for each in transposed(G))

    return _checked("from_jax", "jax.vjp", run, pull_back, bias=bias)


def in_framework(framework: str, forward: Any, *, dtype: npt.DTypeLike | None, bias: bool) -> Functions:
    """Make functions of NumPy arrays from one of a framework, by its name; what cannot be is no verdict on it."""
    try:
        return from_torch(forward, dtype=dtype, bias=bias) if framework == "torch" else from_jax(forward, bias=bias)
    except TypeError as error:
        raise CallError(str(error)) from error
    except ModuleNotFoundError as error:
        raise ValueError(f"--{framework} needs {error.name}: pip install 'jacobians[{framework}]'") from error


def module_of(function: Any) -> Any:
    """Return the PyTorch module that holds the weights of a module, or None of anything else; PyTorch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None or isinstance(function, type) or not isinstance(function, torch.nn.Module):
        return None
    owners = [each for each in function.modules() if dict(each.named_parameters(recurse=False))]
    return owners[0] if len(owners) == 1 else function


def _checked(
    adapter: str,
    differentiates: str,
    run: Callable[..., Array],
    pull_back: Callable[..., tuple[Array, ...]],
    *,
    bias: bool,
    dtype: str | None = None,
) -> Functions:
    """Put the checks of the arrays before both functions."""
    names = ("X", "F", "b") if flag("bias", bias) else ("X", "F")

    def check(needed: Sequence[str], arrays: Sequence[Array]) -> None:
        if len(arrays) != len(needed):
            raise TypeError(
                f"{len(arrays)} arrays were given, but {adapter} has bias={bias} and needs {len(needed)}: "
                f"{', '.join(needed)}; give {adapter} and audit the same bias"
            )
        for name, array in zip(needed, arrays, strict=True):
            if dtype is not None and array.dtype.name != dtype:
                raise DtypeError(
                    f"{name} has dtype {array.dtype} but {adapter} has dtype={dtype}, and arrays are not cast: "
                    f"give both the same dtype, or leave dtype out of {adapter}"
                )

    def forward(*arrays: Array) -> Array:
        check(names, arrays)
        return run(*arrays)

    def backward(*arrays: Array) -> tuple[Array, ...]:
        check((*names, "G"), arrays)
        for name, array in zip(names, arrays, strict=False):
            if array.dtype.kind in "iu":
                raise DtypeError(
                    f"{name} has dtype {array.dtype} but {differentiates} needs floating-point numbers; "
                    "audit with dtype='float64', or audit the forward pass alone"
                )
        return pull_back(names, *arrays)

    return forward, backward


def _one(value: Any, kind: type, kind_name: str) -> Any:
    if isinstance(value, kind):
        return value
    what = f"{len(value)} results" if isinstance(value, tuple | list) else type(value).__name__
    raise TypeError(f"forward returned {what}; it needs to return one {kind_name}, S")


def _torch_call(forward: Any, *, bias: bool) -> Callable[..., Tensor]:
    """Return a function of tensors, with F and b in the place of the parameters of a module."""
    import torch

    if isinstance(forward, type) and issubclass(forward, torch.autograd.Function):
        raise TypeError(
            f"forward is the class {forward.__name__}; give the function that is called: {forward.__name__}.apply"
        )
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


def _parameters_of(module: Any, *, bias: bool) -> list[str]:
    """Names of the parameters that F and b take the place of."""
    names = [name for name, _ in module.named_parameters()]
    short = sorted(name.rpartition(".")[2] for name in names)
    needed = ["weight", "bias"] if bias else ["weight"]
    if short == sorted(needed):
        return sorted(names, key=lambda name: needed.index(name.rpartition(".")[2]))
    cure = {
        ("bias", "weight"): "pass bias=True, or make the module with bias=False",
        ("weight",): "leave bias=True out, or make the module with bias=True",
    }.get(tuple(short), "give a function of (X, F) or (X, F, b) that calls it")
    raise TypeError(
        f"forward is a {type(module).__name__} with parameters {', '.join(names)}; with bias={bias} it needs exactly "
        f"{' and '.join(needed)}: {cure}"
    )


def _gradients(S: Tensor, leaves: Sequence[Tensor], G: Tensor) -> Sequence[Tensor]:
    import torch

    try:
        found: Sequence[Tensor] = torch.autograd.grad(S, leaves, G, allow_unused=True)
    except RuntimeError as error:
        if re.search("invalid gradient|number of gradients|expected Variable", str(error)):
            raise RuntimeError(
                f"{error}; the backward of an autograd.Function needs to return, for each argument of its forward, in "
                "their order, a tensor of the argument's shape, or None if the argument is not a tensor"
            ) from error
        raise
    return found


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
    bfloat16 = plain.dtype == torch.bfloat16
    result: Array = (plain.view(torch.int16) if bfloat16 else plain).numpy()
    return result.view(BFLOAT16) if bfloat16 else result


def _wide(arrays: Sequence[Array]) -> AbstractContextManager[Any]:
    """Let JAX have 64-bit arrays, if there are any; it keeps what it was told otherwise."""
    import jax
    import jax.experimental

    if all(each.dtype.itemsize < 8 for each in arrays):
        return nullcontext()
    # Older versions have it in another place.
    home = jax if hasattr(jax, "enable_x64") else jax.experimental
    context: AbstractContextManager[Any] = home.enable_x64(True)
    return context
