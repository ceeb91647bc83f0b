"""Convolutions that are wrong on purpose, and what an audit says of each: its first line, and the formula.

Run it with ``python docs/examples/mistakes.py``: it prints the table of docs/reference/mistakes.md, and writes it into
the page if that is named behind it.

At the top is a convolution that is right: im2col and matrix products, any stride, padding, dilation and groups, and
∂l/∂X in two forms. Every mistake below is that code with one thing changed.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from jacobians import audit
from jacobians.audit import AuditReport

Array = npt.NDArray[Any]
Pair = tuple[int, int]
Forward = Callable[..., Array]
Backward = Callable[..., tuple[Array, ...]]


@dataclasses.dataclass(frozen=True)
class Layer:
    """The options of a layer with two spatial axes."""

    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1


# right ----------------------------------------------------------------------------------------------------------------


def windows(X: Array, taps: tuple[int, ...], layer: Layer) -> Array:
    """Return the pixels below each window: N × d × h' × w' × k × l."""
    padded = np.pad(X, ((0, 0), (0, 0), *layer.padding))
    extent = [(k - 1) * step + 1 for k, step in zip(taps, layer.dilation, strict=True)]
    (s, t), (u, v) = layer.stride, layer.dilation
    return sliding_window_view(padded, extent, axis=(2, 3))[:, :, ::s, ::t, ::u, ::v]


def columns(X: Array, taps: tuple[int, ...], layer: Layer) -> Array:
    """im2col: N × groups × h'·w' × taps, planes first, then row by row."""
    patches = windows(X, taps, layer)
    N, d, h, w, k, l = patches.shape
    by_group = patches.reshape(N, layer.groups, d // layer.groups, h * w, k * l)
    return by_group.swapaxes(2, 3).reshape(N, layer.groups, h * w, -1)


def rows(F: Array, layer: Layer) -> Array:
    """Return the flattened filters: groups × n/groups × taps."""
    return F.reshape(layer.groups, len(F) // layer.groups, -1)


def positions(X: Array, F: Array, layer: Layer) -> tuple[int, ...]:
    """Return h' × w'."""
    return windows(X, F.shape[2:], layer).shape[2:4]


def forward(X: Array, F: Array, layer: Layer) -> Array:
    """Return S."""
    S = columns(X, F.shape[2:], layer) @ rows(F, layer).swapaxes(1, 2)
    return S.swapaxes(2, 3).reshape(len(X), len(F), *positions(X, F, layer))


def filter_gradient(X: Array, F: Array, G: Array, layer: Layer) -> Array:
    """Return ∂l/∂F."""
    g = G.reshape(len(G), layer.groups, -1, G[0, 0].size)
    return (g @ columns(X, F.shape[2:], layer)).sum(axis=0).reshape(F.shape)


def window_gradients(X: Array, F: Array, G: Array, layer: Layer) -> Array:
    """Return what each window passes on to each of its pixels: N × d × h' × w' × k × l."""
    g = G.reshape(len(G), layer.groups, -1, G[0, 0].size)
    parts = g.swapaxes(2, 3) @ rows(F, layer)
    parts = parts.reshape(len(G), layer.groups, G[0, 0].size, F.shape[1], -1).swapaxes(2, 3)
    return parts.reshape(*X.shape[:2], *G.shape[2:], *F.shape[2:])


def places(F: Array, G: Array, layer: Layer) -> Iterator[tuple[tuple[int, int], tuple[slice, slice]]]:
    """Yield every tap, and the pixels of the padded image that it reads."""
    (h, w), (s, t), (u, v) = G.shape[2:], layer.stride, layer.dilation
    for a, b in itertools.product(*map(range, F.shape[2:])):
        yield (a, b), (slice(a * u, a * u + h * s, s), slice(b * v, b * v + w * t, t))


def inside(padded: Array, X: Array, layer: Layer) -> Array:
    """Cut the padding off."""
    (top, _), (left, _) = layer.padding
    return padded[:, :, top : top + X.shape[2], left : left + X.shape[3]]


def room(X: Array, layer: Layer) -> Array:
    """Return zeros of the size of the padded image, with room for slices that step over its end."""
    s, t = layer.stride
    return np.zeros_like(np.pad(X, ((0, 0), (0, 0), *((b, a + s + t) for b, a in layer.padding))))


def image_gradient(X: Array, F: Array, G: Array, layer: Layer) -> Array:
    """Return ∂l/∂X by col2im: every window adds to its pixels."""
    parts, padded = window_gradients(X, F, G, layer), room(X, layer)
    for (a, b), (i, j) in places(F, G, layer):
        padded[:, :, i, j] += parts[..., a, b]
    return inside(padded, X, layer)


def backward(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, Array]:
    """Return ∂l/∂X and ∂l/∂F."""
    return image_gradient(X, F, G, layer), filter_gradient(X, F, G, layer)


def spread(G: Array, layer: Layer) -> Array:
    """Put stride − 1 zeros between the entries of G."""
    (h, w), (s, t) = G.shape[2:], layer.stride
    wide = np.zeros((*G.shape[:2], (h - 1) * s + 1, (w - 1) * t + 1), G.dtype)
    wide[:, :, ::s, ::t] = G
    return wide


def tail(X: Array, F: Array, layer: Layer) -> list[int]:
    """Count the last rows and columns of the padded image that no window reaches."""
    return [
        (size + sum(zeros) - (k - 1) * u - 1) % s
        for size, k, zeros, s, u in zip(
            X.shape[2:], F.shape[2:], layer.padding, layer.stride, layer.dilation, strict=True
        )
    ]


def turned(F: Array) -> Array:
    """Rotate every plane by 180°."""
    return F[:, :, ::-1, ::-1]


def image_gradient_by_convolution(X: Array, F: Array, G: Array, layer: Layer) -> Array:
    """Return ∂l/∂X as G^zero-pad ∗ F^rot180, for one group."""
    zeros = [
        ((k - 1) * u, (k - 1) * u + rest)
        for k, u, rest in zip(F.shape[2:], layer.dilation, tail(X, F, layer), strict=True)
    ]
    padded = np.pad(spread(G, layer), ((0, 0), (0, 0), *zeros))
    return inside(forward(padded, turned(F).swapaxes(0, 1), Layer(dilation=layer.dilation)), X, layer)


def backward_by_convolution(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, Array]:
    """Return ∂l/∂X and ∂l/∂F by convolutions, for one group."""
    swapped = dataclasses.replace(layer, stride=layer.dilation, dilation=layer.stride)
    k, l = F.shape[2:]
    dF = forward(X.swapaxes(0, 1), G.swapaxes(0, 1), swapped)[:, :, :k, :l]
    return image_gradient_by_convolution(X, F, G, layer), dF.swapaxes(0, 1)


# wrong ----------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Mistake:
    """One wrong implementation."""

    words: str
    layer: Layer
    forward: Forward | None
    backward: Backward | None
    bias: bool

    def audit(self) -> AuditReport:
        """Audit it."""
        return audit(*self.calls(), bias=self.bias, **dataclasses.asdict(self.layer))

    def calls(self) -> list[Callable[..., Any] | None]:
        """Return the forward and the backward pass as an audit calls them, with nothing kept from calls before."""
        BUFFERS.clear()
        return [each and functools.partial(each, layer=self.layer) for each in (self.forward, self.backward)]

    def row(self, report: AuditReport) -> str:
        """Return the row of the table for its audit."""
        first, formula = str(report).splitlines()[0], report.findings[0].formula
        cells = (self.words, first, formula and f"`{' '.join(formula.split())}`")
        return f"| {' | '.join(cells)} |"


HEADER = "| the code | the first line of its audit | the formula that was read |"
MISTAKES: dict[str, Mistake] = {}
BUFFERS: dict[Any, Array] = {}
PLAIN = Layer()
STRIDED = Layer(stride=(2, 2))
PADDED = Layer(padding=((1, 1), (1, 1)))
DILATED = Layer(dilation=(2, 2))
GROUPED = Layer(groups=2)


def of_forward(layer: Layer = PLAIN, *, bias: bool = False) -> Callable[[Forward], Forward]:
    """Register a wrong forward pass; its docstring says what is wrong."""

    def register(function: Forward) -> Forward:
        MISTAKES[function.__name__] = Mistake(_words(function), layer, function, None, bias)
        return function

    return register


def of_backward(layer: Layer = PLAIN, *, bias: bool = False) -> Callable[[Backward], Backward]:
    """Register a wrong backward pass; its docstring says what is wrong."""

    def register(function: Backward) -> Backward:
        MISTAKES[function.__name__] = Mistake(_words(function), layer, None, function, bias)
        return function

    return register


def _words(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").rstrip(".")


# the forward pass


@of_forward()
def true_convolution(X: Array, F: Array, layer: Layer) -> Array:
    """The forward pass rotates the filter."""
    return forward(X, turned(F), layer)


@of_forward()
def transposed_filter(X: Array, F: Array, layer: Layer) -> Array:
    """`F.T` for the filter's rows and columns: `F.swapaxes(2, 3)` where k = l."""
    return forward(X, F.swapaxes(2, 3) if F.shape[2] == F.shape[3] else F, layer)


@of_forward()
def planes_last(X: Array, F: Array, layer: Layer) -> Array:
    """Columns of im2col run over taps, then planes; `F.reshape(n, -1)` over planes, then taps."""
    patches = np.moveaxis(windows(X, F.shape[2:], layer), 1, -1)
    S = patches.reshape(*patches.shape[:3], -1) @ F.reshape(len(F), -1).T
    return np.moveaxis(S, -1, 1)


@of_forward()
def column_major(X: Array, F: Array, layer: Layer) -> Array:
    """Filters are flattened with `order="F"` per plane."""
    flat = F.swapaxes(2, 3).reshape(F.shape)
    return forward(X, flat, layer)


@of_forward()
def last_plane_wins(X: Array, F: Array, layer: Layer) -> Array:
    """The loop over planes writes `S = …` for `S += …`."""
    for k in range(X.shape[1]):
        S = forward(X[:, k : k + 1], F[:, k : k + 1], layer)
    return S


@of_forward()
def not_transposed(X: Array, F: Array, layer: Layer) -> Array:
    """`(positions × filters).reshape(n, h', w')` without the transpose."""
    S = forward(X, F, layer)
    return np.moveaxis(S, 1, -1).reshape(S.shape)


@of_forward()
def reshaped_by_columns(X: Array, F: Array, layer: Layer) -> Array:
    """Each response map is reshaped with `order="F"`."""
    S = forward(X, F, layer)
    return S.reshape(*S.shape[:2], S.shape[3], S.shape[2]).swapaxes(2, 3)


@of_forward(bias=True)
def bias_of_columns(X: Array, F: Array, b: Array, layer: Layer) -> Array:
    """`S + b` for `S + b[:, None, None]`, where w' = n."""
    S = forward(X, F, layer)
    return S + (b if len(b) == S.shape[3] else b[:, None, None])


@of_forward(bias=True)
def one_bias(X: Array, F: Array, b: Array, layer: Layer) -> Array:
    """`b[0]` is added to all response maps."""
    return forward(X, F, layer) + b[0]


@of_forward(bias=True)
def bias_per_plane(X: Array, F: Array, b: Array, layer: Layer) -> Array:
    """The bias is added inside the loop over planes."""
    return forward(X, F, layer) + X.shape[1] * b[:, None, None]


@of_forward()
def relu_left_in(X: Array, F: Array, layer: Layer) -> Array:
    """The function ends in `np.maximum(S, 0)`."""
    return np.maximum(forward(X, F, layer), 0)


@of_forward(Layer(stride=(2, 3)))
def first_stride(X: Array, F: Array, layer: Layer) -> Array:
    """`stride[0]` for both axes, at stride (2, 3)."""
    return forward(X, F, dataclasses.replace(layer, stride=(layer.stride[0],) * 2))


@of_forward(DILATED)
def dilation_ignored(X: Array, F: Array, layer: Layer) -> Array:
    """Windows are taken with no gaps at dilation 2."""
    return forward(X, F, dataclasses.replace(layer, dilation=(1, 1)))


@of_forward(PADDED)
def padding_ignored(X: Array, F: Array, layer: Layer) -> Array:
    """No zeros are put around X at padding 1."""
    return forward(X, F, dataclasses.replace(layer, padding=((0, 0), (0, 0))))


@of_forward(Layer(stride=(2, 2), padding=((1, 1), (1, 1))))
def padding_of_tensorflow(X: Array, F: Array, layer: Layer) -> Array:
    """The zeros are those of TensorFlow's `padding="SAME"`, at stride 2 and padding 1."""
    sizes = zip(X.shape[2:], F.shape[2:], layer.stride, strict=True)
    zeros = [max((-(-size // step) - 1) * step + k - size, 0) for size, k, step in sizes]
    return forward(X, F, Layer(stride=layer.stride, padding=tuple((each // 2, each - each // 2) for each in zeros)))


@of_forward(STRIDED)
def size_rounded_up(X: Array, F: Array, layer: Layer) -> Array:
    """h' and w' are rounded up at stride 2, and what is too much is 0."""
    more = [(0, int(rest > 0)) for rest in tail(X, F, layer)]
    return np.pad(forward(X, F, layer), ((0, 0), (0, 0), *more))


@of_forward(Layer(padding=((0, 1), (0, 1))))
def padding_exchanged(X: Array, F: Array, layer: Layer) -> Array:
    """Padding (0, 1) is put in as (1, 0)."""
    return forward(X, F, dataclasses.replace(layer, padding=((1, 0), (1, 0))))


@of_forward(GROUPED)
def interleaved_groups(X: Array, F: Array, layer: Layer) -> Array:
    """With two groups, filter i sees the planes of group `i % groups`."""
    order = np.arange(len(F)).reshape(-1, layer.groups).T.ravel()
    S = np.empty_like(forward(X, F, layer))
    S[:, order] = forward(X, F[order], layer)
    return S


@of_forward(GROUPED)
def first_group(X: Array, F: Array, layer: Layer) -> Array:
    """With two groups, all filters see the planes of group 0."""
    return forward(np.concatenate([X[:, : F.shape[1]]] * layer.groups, axis=1), F, layer)


@of_forward(Layer(stride=(3, 3), groups=2))
def combination(X: Array, F: Array, layer: Layer) -> Array:
    """Stride or groups are right alone; together the stride is `groups`."""
    stride = layer.stride if layer.groups == 1 else (layer.groups, layer.groups)
    return forward(X, F, dataclasses.replace(layer, stride=stride))


@of_forward()
def low_precision(X: Array, F: Array, layer: Layer) -> Array:
    """Sums in float32, returns float64."""
    return forward(X.astype(np.float32), F.astype(np.float32), layer).astype(X.dtype)


@of_forward()
def wrong_dtype(X: Array, F: Array, layer: Layer) -> Array:
    """Returns float32 for float64."""
    return forward(X, F, layer).astype(np.float32)


@of_forward()
def vector_remainder(X: Array, F: Array, layer: Layer) -> Array:
    """A vector loop of eight columns leaves out the remainder: `w' // 8 * 8`."""
    S = forward(X, F, layer)
    if S.shape[3] > 8:
        S[..., S.shape[3] // 8 * 8 :] = 0
    return S


@of_forward()
def vector_garbage(X: Array, F: Array, layer: Layer) -> Array:
    """The same with steps of four columns, and S from `np.empty`."""
    S = forward(X, F, layer)
    S[..., S.shape[3] // 4 * 4 :] = np.nan
    return S


@of_forward()
def epsilon(X: Array, F: Array, layer: Layer) -> Array:
    """`S + 1e-9`."""
    return forward(X, F, layer) + 1e-9


@of_forward()
def integer_buffer(X: Array, F: Array, layer: Layer) -> Array:
    """S is written into a buffer of integers."""
    S = np.empty(forward(X, F, layer).shape, np.int64)
    S[...] = forward(X, F, layer)
    return S.astype(X.dtype)


@of_forward()
def square_only(X: Array, F: Array, layer: Layer) -> Array:
    """Filters are read as k × k: `F.reshape(n, d, k, k)`."""
    k = F.shape[2]
    return forward(X, F.reshape(*F.shape[:2], k, k), layer)


@of_forward()
def short_count(X: Array, F: Array, layer: Layer) -> Array:
    """The number of images is kept in `np.uint16`."""
    S, count = np.zeros((len(X), *forward(X[:1], F, layer).shape[1:]), X.dtype), np.uint16(len(X) % 2**16)
    S[:count] = forward(X[:count], F, layer) if count else 0
    return S


@of_forward()
def contiguous_only(X: Array, F: Array, layer: Layer) -> Array:
    """Reads X from memory without its strides."""
    return forward(X.ravel(order="K").reshape(X.shape), F, layer)


@of_forward()
def in_place(X: Array, F: Array, layer: Layer) -> Array:
    """X is normalised in place before the sums: `X *= 2`, undone on S."""
    X *= 2
    return forward(X, F, layer) / 2


@of_forward()
def shared_buffer(X: Array, F: Array, layer: Layer) -> Array:
    """S is a buffer that all calls share."""
    S = forward(X, F, layer)
    buffer = BUFFERS.setdefault(S.shape, np.zeros_like(S))
    buffer[...] = S
    return buffer


@of_forward()
def stale_cache(X: Array, F: Array, layer: Layer) -> Array:
    """The columns of im2col are cached by the shape of X."""
    key = (X.shape, F.shape)
    BUFFERS.setdefault(key, columns(X, F.shape[2:], layer))
    S = BUFFERS[key] @ rows(F, layer).swapaxes(1, 2)
    return S.swapaxes(2, 3).reshape(len(X), len(F), *positions(X, F, layer))


@of_forward()
def swallowed_nan(X: Array, F: Array, layer: Layer) -> Array:
    """`np.nan_to_num(X)` before the sums."""
    return forward(np.nan_to_num(X), F, layer)


@of_forward()
def dense_matrix(X: Array, F: Array, layer: Layer) -> Array:
    """S is X times a dense matrix that holds the zeros too."""
    size = X[0].size
    units = np.eye(size, dtype=X.dtype).reshape(size, *X.shape[1:])
    matrix = forward(units, F, layer).reshape(size, -1)
    return (X.reshape(len(X), -1) @ matrix).reshape(len(X), len(F), *positions(X, F, layer))


# ∂l/∂X


@of_backward()
def rotation_left_out(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: G^zero-pad ∗ F without the rotation."""
    return backward_by_convolution(X, turned(F), G, layer)


@of_backward()
def turned_in_one_axis(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: `F[..., ::-1]` for `F[..., ::-1, ::-1]`."""
    return backward_by_convolution(X, F[:, :, ::-1], G, layer)


@of_backward()
def upstream_not_transposed(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: `G.reshape(positions, n)` for `G.reshape(n, positions).T`."""
    mixed = np.moveaxis(G.reshape(len(G), *G.shape[2:], G.shape[1]), -1, 1)
    return image_gradient(X, F, mixed, layer), filter_gradient(X, F, G, layer)


@of_backward()
def reshaped_channels(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: `F.reshape(d, n, k, l)` for `F.swapaxes(0, 1)`."""
    swapped = F.reshape(F.shape[1], F.shape[0], *F.shape[2:]).swapaxes(0, 1)
    return image_gradient_by_convolution(X, swapped, G, layer), filter_gradient(X, F, G, layer)


@of_backward()
def last_filter_wins(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: the loop over filters writes `dX = …` for `dX += …`."""
    return image_gradient(X, F[-1:], G[:, -1:], layer), filter_gradient(X, F, G, layer)


@of_backward()
def assigned_taps(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: `=` for `+=` in col2im, tap by tap."""
    parts, padded = window_gradients(X, F, G, layer), room(X, layer)
    for (a, b), (i, j) in places(F, G, layer):
        padded[:, :, i, j] = parts[..., a, b]
    return inside(padded, X, layer), filter_gradient(X, F, G, layer)


@of_backward()
def assigned_windows(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: `=` for `+=` in col2im, window by window."""
    parts, dX = window_gradients(X, F, G, layer), np.zeros_like(X)
    for y, x in np.ndindex(*G.shape[2:]):
        dX[:, :, y : y + F.shape[2], x : x + F.shape[3]] = parts[:, :, y, x]
    return dX, filter_gradient(X, F, G, layer)


@of_backward(STRIDED)
def not_spread(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: G is not spread by the stride."""
    wide = np.zeros_like(spread(G, layer))
    wide[:, :, : G.shape[2], : G.shape[3]] = G
    dense = image_gradient(X, F, _fit(wide, X, F, Layer()), Layer())
    return dense, filter_gradient(X, F, G, layer)


@of_backward(STRIDED)
def tail_missing(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: no zeros for the tail."""
    k, l = F.shape[2:]
    padded = np.pad(spread(G, layer), ((0, 0), (0, 0), (k - 1, k - 1), (l - 1, l - 1)))
    return forward(padded, turned(F).swapaxes(0, 1), Layer()), filter_gradient(X, F, G, layer)


@of_backward(STRIDED)
def tail_in_front(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: the tail's zeros are put in front."""
    k, l = F.shape[2:]
    r, q = tail(X, F, layer)
    padded = np.pad(spread(G, layer), ((0, 0), (0, 0), (k - 1 + r, k - 1), (l - 1 + q, l - 1)))
    return forward(padded, turned(F).swapaxes(0, 1), Layer()), filter_gradient(X, F, G, layer)


@of_backward(DILATED)
def gradient_without_dilation(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: the rotated filter is not dilated."""
    k, l = F.shape[2:]
    near = np.zeros((*F.shape[:2], (k - 1) * 2 + 1, (l - 1) * 2 + 1), F.dtype)
    near[:, :, :k, :l] = F
    return image_gradient(X, near, G, Layer()), filter_gradient(X, F, G, layer)


@of_backward(STRIDED)
def stride_and_dilation_exchanged(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: col2im steps by the dilation and spreads the taps by the stride."""
    swapped = dataclasses.replace(layer, stride=layer.dilation, dilation=layer.stride)
    parts, padded = window_gradients(X, F, G, layer), np.zeros((*X.shape[:2], *(3 * (n + 4) for n in X.shape[2:])))
    for (a, b), (i, j) in places(F, G, swapped):
        padded[:, :, i, j] += parts[..., a, b]
    return inside(padded, X, layer), filter_gradient(X, F, G, layer)


@of_backward()
def first_upstream(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: the loop over images reads `G[0]`."""
    return image_gradient(X, F, np.repeat(G[:1], len(G), axis=0), layer), filter_gradient(X, F, G, layer)


@of_backward(PADDED)
def padding_kept(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: the gradient of the padding is not cut off."""
    parts, padded = window_gradients(X, F, G, layer), np.zeros_like(np.pad(X, ((0, 0), (0, 0), *layer.padding)))
    for (a, b), (i, j) in places(F, G, layer):
        padded[:, :, i, j] += parts[..., a, b]
    return padded, filter_gradient(X, F, G, layer)


@of_backward(PADDED)
def padding_cut_behind(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: `dX[:, :, :h, :w]` for `dX[:, :, p:p+h, p:p+w]`."""
    bare = dataclasses.replace(layer, padding=((0, 0), (0, 0)))
    padded = np.pad(X, ((0, 0), (0, 0), *layer.padding))
    dX = image_gradient(padded, F, G, bare)[:, :, : X.shape[2], : X.shape[3]]
    return dX, filter_gradient(X, F, G, layer)


@of_backward()
def padding_minus_zero(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: `dX[:, :, p:-p, p:-p]`, at padding 0."""
    (p, _), (q, _) = layer.padding
    return image_gradient(X, F, G, layer)[:, :, p:-p, q:-q], filter_gradient(X, F, G, layer)


@of_backward(Layer(padding=((2, 2), (2, 2))))
def padding_clipped(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: padding `max(k − 1 − p, 0)` of G, at padding 2."""
    k, l = F.shape[2:]
    (p, _), (q, _) = layer.padding
    padded = np.pad(G, ((0, 0), (0, 0), (max(k - 1 - p, 0),) * 2, (max(l - 1 - q, 0),) * 2))
    dX = forward(padded, turned(F).swapaxes(0, 1), Layer())
    return dX[:, :, : X.shape[2], : X.shape[3]], filter_gradient(X, F, G, layer)


@of_backward(STRIDED)
def never_written(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: starts from `np.empty`, at stride 2."""
    dX = np.empty_like(X)
    reached = image_gradient(np.ones_like(X), np.ones_like(F), np.ones_like(G), layer) != 0
    dX[reached] = image_gradient(X, F, G, layer)[reached]
    return dX, filter_gradient(X, F, G, layer)


@of_backward()
def ones_for_upstream(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: `np.ones_like(G)` for G."""
    return image_gradient(X, F, np.ones_like(G), layer), filter_gradient(X, F, G, layer)


@of_backward(GROUPED)
def gradient_of_first_group(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂X: with two groups, the filters of group 0 serve both."""
    first = F[: len(F) // layer.groups]
    return image_gradient(X, np.concatenate([first] * layer.groups), G, layer), filter_gradient(X, F, G, layer)


@of_backward()
def wrong_order(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """The two gradients are returned in the other order."""
    return backward(X, F, G, layer)[::-1]


# ∂l/∂F and ∂l/∂b


@of_backward()
def turned_filter_gradient(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂F: rotated by 180°, as the filter of ∂l/∂X is."""
    dX, dF = backward(X, F, G, layer)
    return dX, turned(dF)


@of_backward()
def filter_gradient_planes_last(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂F: `reshape(taps, planes)` of columns that run over planes, then taps."""
    dX, dF = backward(X, F, G, layer)
    n, d, k, l = F.shape
    return dX, np.moveaxis(dF.reshape(n, k, l, d), -1, 1)


@of_backward(STRIDED)
def filter_gradient_uncut(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂F: X ∗ G at stride 2, not cut to k × k."""
    dF = forward(X.swapaxes(0, 1), G.swapaxes(0, 1), Layer(dilation=layer.stride)).swapaxes(0, 1)
    return image_gradient(X, F, G, layer), dF


@of_backward(STRIDED)
def filter_gradient_cut_in_front(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂F: X ∗ G at stride 2, cut to the last k × k."""
    dF = forward(X.swapaxes(0, 1), G.swapaxes(0, 1), Layer(dilation=layer.stride)).swapaxes(0, 1)
    return image_gradient(X, F, G, layer), dF[:, :, -F.shape[2] :, -F.shape[3] :]


@of_backward(STRIDED)
def filter_gradient_not_spread(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂F: G is not spread by the stride."""
    dF = forward(X.swapaxes(0, 1), G.swapaxes(0, 1), Layer()).swapaxes(0, 1)
    return image_gradient(X, F, G, layer), dF[:, :, : F.shape[2], : F.shape[3]]


@of_backward(DILATED)
def filter_gradient_without_dilation(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂F: taps are read side by side at dilation 2."""
    k, l = F.shape[2:]
    read = windows(X, G.shape[2:], Layer())[:, :, :k, :l]
    return image_gradient(X, F, G, layer), np.einsum("ndklhw,nihw->idkl", read, G)


@of_backward()
def last_image_wins(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂F: the loop over images writes `dF = …` for `dF += …`."""
    return image_gradient(X, F, G, layer), filter_gradient(X[-1:], F, G[-1:], layer)


@of_backward()
def mean_of_images(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂F: `mean(axis=0)` over the images for `sum`."""
    dX, dF = backward(X, F, G, layer)
    return dX, dF / len(X)


@of_backward()
def weight_decay(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂F: the gradient of a weight decay is in it, `dF += 2 * 5e-4 * F`."""
    dX, dF = backward(X, F, G, layer)
    return dX, dF + 2 * 5e-4 * F


@of_backward(bias=True)
def one_sum(X: Array, F: Array, b: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂b: `G.sum()` for `G.sum(axis=(0, 2, 3))`."""
    return *backward(X, F, G, layer), np.full_like(b, G.sum())


@of_backward(bias=True)
def mean_of_bias(X: Array, F: Array, _: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂b: `G.mean(axis=(0, 2, 3))`."""
    return *backward(X, F, G, layer), G.mean(axis=(0, 2, 3))


@of_backward(bias=True)
def bias_per_image(X: Array, F: Array, _: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂b: `G.sum(axis=(2, 3))`, one row per image."""
    return *backward(X, F, G, layer), G.sum(axis=(2, 3))


@of_backward(bias=True)
def bias_of_wrong_axes(X: Array, F: Array, _: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """∂l/∂b: `G.sum(axis=(0, 1, 2))`."""
    return *backward(X, F, G, layer), G.sum(axis=(0, 1, 2))


# both


def backward_of_true_convolution(X: Array, F: Array, G: Array, layer: Layer) -> tuple[Array, ...]:
    """Return the gradients of `true_convolution`."""
    dX, dF = backward(X, turned(F), G, layer)
    return dX, turned(dF)


MISTAKES["true_convolution_throughout"] = Mistake(
    "The forward pass rotates the filter, and the backward pass is derived from it",
    PLAIN,
    true_convolution,
    backward_of_true_convolution,
    bias=False,
)


def _fit(A: Array, X: Array, F: Array, layer: Layer) -> Array:
    """Cut or fill with zeros behind, to the size of the responses."""
    h, w = positions(X, F, layer)
    fitted = np.zeros((*A.shape[:2], h, w), A.dtype)
    part = A[:, :, :h, :w]
    fitted[:, :, : part.shape[2], : part.shape[3]] = part
    return fitted


def table() -> str:
    """Return the table of docs/reference/mistakes.md."""
    rows = (mistake.row(mistake.audit()) for mistake in MISTAKES.values())
    return "\n".join([HEADER, "|---|---|---|", *rows]) + "\n"


def write(page: Path, lines: str) -> None:
    """Replace the table of a page."""
    before, _, after = page.read_text("utf-8").partition(HEADER)
    page.write_text(before + lines + after[after.index("\n\n") + 1 :], "utf-8")


if __name__ == "__main__":
    if sys.argv[1:]:
        write(Path(sys.argv[1]), table())
    else:
        sys.stdout.write(table())
