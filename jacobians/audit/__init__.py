"""`audit()` checks whether a convolution is right; if it is not, it says which formula the code computes instead."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy.typing as npt

from jacobians.arguments import dtype_name, flag
from jacobians.audit.cases import Only
from jacobians.audit.combined import combined
from jacobians.audit.command import from_command
from jacobians.audit.frameworks import from_jax, from_torch
from jacobians.audit.isolation import isolated, prepared
from jacobians.audit.layers.convolution import Convolution
from jacobians.audit.layers.fully_connected import fully_connected
from jacobians.audit.layers.relu import Relu
from jacobians.audit.layers.softmax import DTYPES as SOFTMAX_DTYPES
from jacobians.audit.layers.softmax import Softmax
from jacobians.audit.layouts import with_layout
from jacobians.audit.numbers import DTYPES
from jacobians.audit.programs import Wanted
from jacobians.audit.report import AuditReport, Finding
from jacobians.audit.run import Progress, audited
from jacobians.errors import Interrupted
from jacobians.geometry import Geometry

__all__ = [
    "AuditReport",
    "Finding",
    "Interrupted",
    "audit",
    "audit_fully_connected",
    "audit_relu",
    "audit_softmax_cross_entropy",
    "from_command",
    "from_jax",
    "from_torch",
    "isolated",
    "with_layout",
]


def audit(
    forward: Callable[..., Any] | None,
    backward: Callable[..., Any] | None = None,
    *,
    stride: int | Sequence[int] | None = None,
    padding: int | str | Sequence[int] | Sequence[Sequence[int]] | None = None,
    dilation: int | Sequence[int] | None = None,
    groups: int | None = None,
    spatial_ndim: int = 2,
    bias: bool | None = None,
    dtype: npt.DTypeLike = "float64",
    geometries: Iterable[Geometry] | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    layout: str | None = None,
    framework: str = "",
    where: Callable[[Geometry], bool] | Only | None = None,
    options: Iterable[Mapping[str, Any]] | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Compare a convolution and its gradients with the explicit matrices, and say what is wrong with them.

    Parameters
    ----------
    forward : callable or None
        ``forward(X, F[, b]) -> S`` on NumPy arrays with a leading batch axis: X (N, d, *spatial),
        F (n, d/groups, *taps), b (n,), S (N, n, *out). It may also return ``(S, cache)``. Instead of a function, give
        a class or an object with ``forward(X)`` and ``backward(G)``, or a PyTorch module. None audits the backward pass
        alone.
    backward : callable, optional
        ``backward(X, F, [b,] G) -> (dX, dF[, db])``, where G, the upstream gradient, has the shape of S; or
        ``backward(G, cache)``.
    stride, padding, dilation, groups
        The options of the layer, as `Geometry` takes them. If the code has parameters of these names, they are passed
        to it; otherwise, say here which options the code has. The default is the options of the module or object, or
        stride 1, padding 0, dilation 1 and groups 1. `padding` may also be "same-lower", "same-tf" (TensorFlow's SAME
        at any stride), or a function ``padding(image, taps)`` that returns the zeros of every axis.
    spatial_ndim : int
        Number of spatial axes.
    bias : bool, optional
        Whether the functions take a bias and return its gradient. By default, the audit finds out.
    dtype : dtype
        The dtype of the arrays: float64, float32, float16, bfloat16, int64 or int32, as a name or a NumPy dtype.
    geometries : iterable of Geometry, optional
        The layers to try, with the options above, each with two images. By default, the audit tries small layers of
        many different shapes, and leaves out those that would take minutes with these options.
    seed : int
        The seed of all random draws.
    executor : concurrent.futures.Executor, optional
        A ThreadPoolExecutor that calls the code, if it may be called from several threads at once. An executor of
        processes is refused, because an audit cannot see their memory. By default, this thread calls the code.
    layout : str, optional
        The order of the axes of X, F and S, such as "NHWC,HWIO->NHWC" (see `with_layout`). By default, planes come
        first.
    framework : str
        "torch" or "jax" for functions and classes of these frameworks. PyTorch modules are recognised without it.
    where : callable, optional
        ``where(geometry)`` returns whether the code is meant for a layer; other layers are not tried.
    options : iterable of dict, optional
        Several combinations of stride, padding, dilation and groups. Each is audited, and there is one report, in which
        formulas that are alike are written once, with s, δ and p for the numbers.
    progress : callable, optional
        Called after each call of the code with the number of calls so far, and the number that right code takes.

    Returns
    -------
    AuditReport
        What is wrong; or, if nothing is, the evidence for that. ``report.check()`` raises if something is wrong.

    Raises
    ------
    ShapeError
        If the options do not describe a convolution, if all layers are too large to try, or if a geometry or the layout
        contradicts the options.
    CallError
        If the code cannot be called, or an option contradicts an option of the code. It is a TypeError.
    TypeError
        If there is nothing to call, if `geometries` or `executor` cannot be used, or if `bias` is not a bool.
    DtypeError
        If the dtype is not one of those above.
    TooLargeError
        If one of `geometries` does not fit into memory.
    ValueError
        If the seed is not an integer of at least 0.
    Interrupted
        At Ctrl-C, with the report of what was found until then. It is a KeyboardInterrupt.

    Notes
    -----
    Besides the results, an audit checks memory layouts, NaN, repeated calls, and changes of the arguments in place.

    The functions are called in this process. If they may crash or hang, call them in another process with a time limit:
    ``audit(*isolated(load, timeout=60))``.

    Examples
    --------
    >>> import numpy as np
    >>> from numpy.lib.stride_tricks import sliding_window_view
    >>> def forward(X, F):
    ...     return np.einsum("ndhwkl,idkl->nihw", sliding_window_view(X, F.shape[2:], axis=(2, 3)), F)
    >>> report = audit(forward)
    >>> report.ok
    True
    """
    only = where if where is None or isinstance(where, Only) else Only(where=where)
    given = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    several = [given] if options is None else [{**given, **each} for each in options]
    if not several:
        raise TypeError("options is empty; give a dictionary of options for each audit, or leave it out")
    parts = []
    for at, each in enumerate(several):
        wanted = Wanted(
            **each, spatial_ndim=spatial_ndim, bias=bias, dtype=dtype, layout=layout, framework=framework, only=only
        )
        found = prepared(forward, backward, wanted)
        layer = Convolution(found.options.dtype, found.options)
        told = progress and functools.partial(_of_several, progress, at, len(several))
        report = audited(
            layer, found.functions, seed, geometries=geometries, executor=executor, notes=found.notes, progress=told
        )
        parts.append((found.options, report))
    return parts[0][1] if options is None else combined(parts)


def _of_several(progress: Progress, at: int, of: int, done: int, total: int) -> None:
    progress(at * total + done, of * total)


def audit_relu(
    backward: Callable[..., Any],
    *,
    dtype: npt.DTypeLike = "float64",
    seed: int = 0,
    progress: Progress | None = None,
) -> AuditReport:
    """Compare the backward pass of a ReLU with L6, and say what is wrong with it, as `audit` does.

    Parameters
    ----------
    backward : callable
        ``backward(S, G) -> dS`` on NumPy arrays of the same shape, with one axis or more. S is the input of the ReLU,
        and G the upstream gradient ∂l/∂H.
    dtype, seed, progress
        As in `audit`.

    Returns
    -------
    AuditReport
        What is wrong, or that nothing is wrong. The function raises the same errors as `audit`.

    Notes
    -----
    ∂l/∂S = G where S > 0, and 0 elsewhere, also at S = 0. The arrays hold negative, zero and positive entries. They are
    integers, so that the comparison is exact, except for one case with other numbers.

    Examples
    --------
    >>> print(str(audit_relu(lambda S, G: G * (S >= 0))).splitlines()[0])
    ✗ ∂l/∂S is wrong: ≥ is used where > is needed
    """
    return audited(Relu(dtype_name(dtype, DTYPES)), {"backward": backward}, seed, progress=progress)


def audit_fully_connected(
    forward: Callable[..., Any] | None,
    backward: Callable[..., Any] | None = None,
    *,
    bias: bool = True,
    dtype: npt.DTypeLike = "float64",
    seed: int = 0,
    progress: Progress | None = None,
) -> AuditReport:
    """Compare a fully connected layer with L3 and L5, and say what is wrong with it, as `audit` does.

    Parameters
    ----------
    forward : callable or None
        ``forward(W, H[, b]) -> s`` on NumPy arrays: W (C, m), H (N, d, h, w) with d·h·w = m, b (C,), s (N, C). The code
        flattens H itself, planes first. None audits the backward pass alone.
    backward : callable, optional
        ``backward(W, H, [b,] g) -> (dW, dH[, db])``, where g has the shape of s. Gradients are sums over the
        mini-batch; a mean belongs to the loss, and its factor 1/N is already in g.
    bias, dtype, seed, progress
        As in `audit`.

    Returns
    -------
    AuditReport
        What is wrong, or that nothing is wrong. The function raises the same errors as `audit`.

    Notes
    -----
    The numbers are integers so small that no sum rounds, so that the comparison is exact. There are enough draws that a
    wrong bilinear form passes at one size with a probability of at most 2⁻⁶⁰. Results for real numbers may differ by
    the rounding bound of direct sums.

    Examples
    --------
    >>> report = audit_fully_connected(lambda W, H, b: H.swapaxes(1, 3).reshape(len(H), -1) @ W.T + b)
    >>> print(str(report).splitlines()[0])
    ✗ s is wrong: H is written with its axes in the wrong order, (n, x, y, k)
    """
    functions = {"forward": forward, "backward": backward}
    return audited(fully_connected(dtype, bias=bias), functions, seed, progress=progress)


def audit_softmax_cross_entropy(
    backward: Callable[..., Any] | None,
    forward: Callable[..., Any] | None = None,
    *,
    mean: bool = True,
    dtype: npt.DTypeLike = "float64",
    seed: int = 0,
    progress: Progress | None = None,
) -> AuditReport:
    """Compare softmax with cross-entropy with L3 and L4, and say what is wrong with it, as `audit` does.

    Parameters
    ----------
    backward : callable or None
        ``backward(s, y) -> ds`` on NumPy arrays: scores s (N, C) and labels y (N, C), one-hot, of the dtype of s.
        None audits the loss alone.
    forward : callable, optional
        ``forward(s, y) -> loss``, which is one number.
    mean : bool
        Whether the loss is the mean over the mini-batch; otherwise it is the sum.
    dtype : dtype
        The dtype of the arrays: float64 or float32.
    seed, progress
        As in `audit`.

    Returns
    -------
    AuditReport
        What is wrong, or that nothing is wrong. The function raises the same errors as `audit`.

    Notes
    -----
    ∂l/∂s = p − y for each image (L4), divided by N for a mean. Results are compared with a computation in 60 digits,
    and may differ by the rounding bound that every stable algorithm keeps.

    Examples
    --------
    >>> from scipy.special import softmax
    >>> report = audit_softmax_cross_entropy(lambda s, y: softmax(s, axis=1) - y)
    >>> print(str(report).splitlines()[0])
    ✗ ∂l/∂s is wrong: it is not divided by the number of images
    """
    layer = Softmax(dtype_name(dtype, SOFTMAX_DTYPES), mean=flag("mean", mean))
    return audited(layer, {"backward": backward, "forward": forward}, seed, progress=progress)
