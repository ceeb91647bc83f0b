"""`audit()`: whether somebody else's convolution is right, and if it is not, which formula it is."""

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
    """Hold somebody's convolution against the explicit matrices, and say what is wrong with it.

    Parameters
    ----------
    forward : callable or None
        ``forward(X, F[, b]) -> S`` on NumPy arrays with a leading batch axis: X (N, d, *spatial),
        F (n, d/groups, *taps), b (n,), S (N, n, *out). None audits the backward pass alone. It may also return
        ``(S, cache)``, or be a class or an object with ``forward(X)`` and ``backward(G)``, or a PyTorch module.
    backward : callable, optional
        ``backward(X, F, [b,] G) -> (dX, dF[, db])`` with G of the shape of S, or ``backward(G, cache)``.
    stride, padding, dilation, groups
        Passed to code that has parameters for them; else what the code was fixed to, as `Geometry` takes them. By
        default those of a module or an object, or 1, 0, 1 and 1. `padding` may also be "same-lower", "same-tf"
        (TensorFlow's SAME at any stride), or a function ``padding(image, taps)`` that returns the zeros of every axis.
    spatial_ndim : int
        Number of spatial axes.
    bias : bool, optional
        Whether the functions take a bias and return its gradient; by default it is found out.
    dtype : dtype
        Of the arrays: float64, float32, float16, bfloat16, int64 or int32, by name, or as NumPy has it.
    geometries : iterable of Geometry, optional
        The layers to try, with two images each, and with the options above; by default a curriculum of small, awkward
        ones, without those that these options make so large that the audit would take minutes.
    seed : int
        Of all draws.
    executor : concurrent.futures.Executor, optional
        Where to run the layers: a ThreadPoolExecutor, for code that may be called from several threads at once; none of
        processes, whose memory an audit does not see. By default in this thread.
    layout : str, optional
        The order of the axes of X, F and S, such as "NHWC,HWIO->NHWC"; by default planes first.
    framework : str
        "torch" or "jax" for functions and classes of these; modules are known as such.
    where : callable, optional
        ``where(geometry)`` says for which layers the code is: others are not tried.
    options : iterable of dict, optional
        stride, padding, dilation and groups of several audits, of which there is one report. What is alike is said
        once, with s, δ and p in formulas.
    progress : callable, optional
        Called with the number of calls that were made and of those that right code takes, after each call.

    Returns
    -------
    AuditReport
        What is wrong, or that nothing is and on what evidence; ``report.check()`` raises where something is wrong.

    Raises
    ------
    ShapeError
        If the options make no convolution, or only layers too large to try, or those of a geometry or of a layout are
        others.
    CallError
        If the code cannot be called, or an option contradicts what it has; it is a TypeError.
    TypeError
        If there is nothing to call, `geometries` or `executor` is none that it can use, or `bias` is no bool.
    DtypeError
        If the dtype is not one of those above.
    TooLargeError
        If one of `geometries` does not fit into memory.
    ValueError
        If the seed is no integer of at least 0.
    Interrupted
        At a Ctrl-C, with the report of what was found until then; it is a KeyboardInterrupt.

    Notes
    -----
    Layouts in memory, NaN, repeated calls and what is changed in place are observed besides the results.

    The functions are called in this process, and may take for ever, or end it; code that may do so is called in another
    one with a time limit, by ``audit(*isolated(load, timeout=60))``.

    Examples
    --------
    >>> import numpy as np
    >>> from jacobians import convolve
    >>> report = audit(lambda X, F: np.stack([convolve(x, F) for x in X]))
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
    """Hold the backward pass of somebody's ReLU against L6, and say what is wrong with it, as `audit` does.

    Parameters
    ----------
    backward : callable
        ``backward(S, G) -> dS`` on NumPy arrays of one shape, with one axis or more; S went into the ReLU and G is the
        upstream gradient ∂l/∂H.
    dtype, seed, progress
        As of `audit`.

    Returns
    -------
    AuditReport
        What is wrong, or that nothing is. It raises as `audit` does.

    Notes
    -----
    ∂l/∂S = G where S > 0 and 0 elsewhere, at S = 0 too. Arrays hold negative, zero and positive entries; numbers are
    integers, so that the comparison is exact; one case has other numbers.

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
    """Hold somebody's fully connected layer against L3 and L5, and say what is wrong with it, as `audit` does.

    Parameters
    ----------
    forward : callable or None
        ``forward(W, H[, b]) -> s`` on NumPy arrays: W (C, m), H (N, d, h, w) with d·h·w = m, which the code flattens
        itself, planes first, b (C,), s (N, C). None audits the backward pass alone.
    backward : callable, optional
        ``backward(W, H, [b,] g) -> (dW, dH[, db])`` with g of the shape of s. Gradients are sums over the mini-batch: a
        mean belongs to the loss, and reaches them through g.
    bias, dtype, seed, progress
        As of `audit`.

    Returns
    -------
    AuditReport
        What is wrong, or that nothing is. It raises as `audit` does.

    Notes
    -----
    Numbers are integers of which no sum rounds, so that the comparison is exact; there are enough draws that a wrong
    bilinear form passes a size with probability 2⁻⁶⁰ at most. Real numbers may be off by the rounding bound of direct
    sums.

    Examples
    --------
    >>> report = audit_fully_connected(lambda W, H, b: H.swapaxes(1, 3).reshape(len(H), -1) @ W.T + b)
    >>> print(str(report).splitlines()[0])
    ✗ s is wrong: H is written in another order of axes, (n, x, y, k)
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
    """Hold somebody's softmax with cross-entropy against L3 and L4, and say what is wrong with it, as `audit` does.

    Parameters
    ----------
    backward : callable or None
        ``backward(s, y) -> ds`` on NumPy arrays: scores s (N, C) and labels y (N, C), one-hot, of the dtype of s.
        None audits the loss alone.
    forward : callable, optional
        ``forward(s, y) -> loss``, one number.
    mean : bool
        Whether the loss is the mean over the mini-batch; otherwise it is the sum.
    dtype : dtype
        Of the arrays: float64 or float32.
    seed, progress
        As of `audit`.

    Returns
    -------
    AuditReport
        What is wrong, or that nothing is. It raises as `audit` does.

    Notes
    -----
    ∂l/∂s = p − y for each image (L4), over N for a mean. Results are compared with 60 digits, and may be off by the
    rounding bound of every stable algorithm.

    Examples
    --------
    >>> from scipy.special import softmax
    >>> report = audit_softmax_cross_entropy(lambda s, y: softmax(s, axis=1) - y)
    >>> print(str(report).splitlines()[0])
    ✗ ∂l/∂s is wrong: it is not divided by the number of images
    """
    layer = Softmax(dtype_name(dtype, SOFTMAX_DTYPES), mean=flag("mean", mean))
    return audited(layer, {"backward": backward, "forward": forward}, seed, progress=progress)
