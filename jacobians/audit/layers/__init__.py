"""The layers around a convolution, as somebody else wrote them: ReLU, fully connected, softmax with cross-entropy.

Each audit draws small mini-batches, compares with the formulas of L3 … L6, and names the mistake that reproduces all of
the wrong numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from jacobians.audit import AuditReport

__all__ = ["audit_fully_connected", "audit_relu", "audit_softmax_cross_entropy"]


def audit_relu(backward: Callable[..., Any], *, dtype: str = "float64", seed: int = 0) -> AuditReport:
    """Hold the backward pass of somebody's ReLU against L6, and say what is wrong with it.

    Parameters
    ----------
    backward : callable
        ``backward(S, G) -> dS`` on NumPy arrays of one shape, with one axis or more; S went into the ReLU and G is the
        upstream gradient ∂l/∂H.
    dtype : str
        Of the arrays: float64, float32, float16, bfloat16, int64 or int32.
    seed : int
        Of all draws.

    Returns
    -------
    AuditReport
        What is wrong, or that nothing is; ``report.check()`` raises where something is wrong.

    Raises
    ------
    TypeError
        If there is nothing to call.
    ValueError
        If the dtype is not one of those above, or the seed is not a nonnegative integer.

    Notes
    -----
    ∂l/∂S = G where S > 0 and 0 elsewhere, at S = 0 too. Arrays hold negative, zero and positive entries; numbers are
    integers, so that the comparison is exact; one case has other numbers. Layouts in memory, NaN and repeated calls are
    observed too.

    Examples
    --------
    >>> print(str(audit_relu(lambda S, G: G * (S >= 0))).splitlines()[0])
    ✗ ∂l/∂S is wrong: ≥ stands where > is needed
    """
    from jacobians.audit.layers import relu, run, shared

    code = shared.Code(relu.LAYER, dtype, seed, backward=backward)
    return run.audited(code, list(relu.probes(code.dtype, seed)))


def audit_fully_connected(
    forward: Callable[..., Any] | None,
    backward: Callable[..., Any] | None = None,
    *,
    bias: bool = True,
    dtype: str = "float64",
    seed: int = 0,
) -> AuditReport:
    """Hold somebody's fully connected layer against L3 and L5, and say what is wrong with it.

    Parameters
    ----------
    forward : callable or None
        ``forward(W, H[, b]) -> s`` on NumPy arrays: W (C, m), H (N, d, h, w) with d·h·w = m, which the code flattens
        itself, planes first, b (C,), s (N, C). None audits the backward pass alone.
    backward : callable, optional
        ``backward(W, H, [b,] g) -> (dW, dH[, db])`` with g of the shape of s. Gradients are sums over the mini-batch: a
        mean belongs to the loss, and reaches them through g.
    bias : bool
        Whether the functions take a bias and return its gradient.
    dtype : str
        Of the arrays: float64, float32, float16, bfloat16, int64 or int32.
    seed : int
        Of all draws.

    Returns
    -------
    AuditReport
        What is wrong, or that nothing is; ``report.check()`` raises where something is wrong.

    Raises
    ------
    TypeError
        If there is nothing to call, or `bias` is not a bool.
    ValueError
        If the dtype is not one of those above, or the seed is not a nonnegative integer.

    Notes
    -----
    Numbers are integers of which no sum rounds, so that the comparison is exact; there are enough draws that a wrong
    bilinear form passes a size with probability 2⁻⁶⁰ at most. Real numbers may be off by the rounding bound of direct
    sums. Layouts in memory, NaN and repeated calls are observed too.

    Examples
    --------
    >>> report = audit_fully_connected(lambda W, H, b: H.swapaxes(1, 3).reshape(len(H), -1) @ W.T + b)
    >>> print(str(report).splitlines()[0])
    ✗ s is wrong: H is flattened column by column, planes last
    """
    from jacobians.audit.layers import fully_connected, run, shared

    shared.check_flag("bias", bias)
    code = shared.Code(fully_connected.layer(bias=bias), dtype, seed, forward=forward, backward=backward)
    return run.audited(code, *fully_connected.probes(code.dtype, seed, bias=bias))


def audit_softmax_cross_entropy(
    backward: Callable[..., Any] | None,
    forward: Callable[..., Any] | None = None,
    *,
    mean: bool = True,
    dtype: str = "float64",
    seed: int = 0,
) -> AuditReport:
    """Hold somebody's softmax with cross-entropy against L3 and L4, and say what is wrong with it.

    Parameters
    ----------
    backward : callable or None
        ``backward(s, y) -> ds`` on NumPy arrays: scores s (N, C) and labels y (N, C), one-hot, of the dtype of s.
        None audits the loss alone.
    forward : callable, optional
        ``forward(s, y) -> loss``, one number.
    mean : bool
        Whether the loss is the mean over the mini-batch; otherwise it is the sum.
    dtype : str
        Of the arrays: float64 or float32.
    seed : int
        Of all draws.

    Returns
    -------
    AuditReport
        What is wrong, or that nothing is; ``report.check()`` raises where something is wrong.

    Raises
    ------
    TypeError
        If there is nothing to call, or `mean` is not a bool.
    ValueError
        If the dtype is not one of those above, or the seed is not a nonnegative integer.

    Notes
    -----
    ∂l/∂s = p − y for each image (L4), over N for a mean. Results are compared with 60 digits, and may be off by the
    rounding bound of every stable algorithm. Layouts in memory, NaN and repeated calls are observed too.

    Examples
    --------
    >>> from scipy.special import softmax
    >>> report = audit_softmax_cross_entropy(lambda s, y: softmax(s, axis=1) - y)
    >>> print(str(report).splitlines()[0])
    ✗ ∂l/∂s is wrong: it is not divided by the number of images
    """
    from jacobians.audit.layers import run, shared, softmax

    shared.check_flag("mean", mean)
    code = shared.Code(softmax.LAYERS[mean], dtype, seed, backward=backward, forward=forward)
    return run.audited(code, list(softmax.probes(code.dtype, seed, mean=mean)))
