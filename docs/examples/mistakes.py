"""Convolutions that are wrong on purpose, and what an audit says of each in its first line.

Run it with ``python docs/examples/mistakes.py``: it prints the table of docs/audit.md.

At the top is a convolution that is right: im2col and matrix products, any stride, padding, dilation and groups, and ∂l/∂X
in two forms. Every mistake below is that code with one thing changed.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from jacobians import audit
from jacobians.audit import AuditReport

Array = npt.NDArray[Any]
Pair = tuple[int, int]


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
    forward: Callable[..., Array] | None
    backward: Callable[..., tuple[Array, ...]] | None
    bias: bool

    def audit(self) -> AuditReport:
        """Audit it."""
        options = dataclasses.asdict(self.layer)
        calls = [each and functools.partial(each, layer=self.layer) for each in (self.forward, self.backward)]
        return audit(*calls, bias=self.bias, **options)

    def row(self) -> str:
        """Return its row of the table."""
        first = str(self.audit()).splitlines()[0]
        return f"| {self.words} | {first} |"


MISTAKES: dict[str, Mistake] = {}
STRIDED = Layer(stride=(2, 2))
PADDED = Layer(padding=((1, 1), (1, 1)))
DILATED = Layer(dilation=(2, 2))
GROUPED = Layer(groups=2)


def of_forward(words: str, layer: Layer = Layer(), *, bias: bool = False) -> Callable[..., Any]:  # noqa: B008
    """Register a wrong forward pass."""

    def register(function: Callable[..., Array]) -> Callable[..., Array]:
        MISTAKES[function.__name__] = Mistake(words, layer, function, None, bias)
        return function

    return register


def of_backward(words: str, layer: Layer = Layer(), *, bias: bool = False) -> Callable[..., Any]:  # noqa: B008
    """Register a wrong backward pass."""

    def register(function: Callable[..., tuple[Array, ...]]) -> Callable[..., tuple[Array, ...]]:
        MISTAKES[function.__name__] = Mistake(words, layer, None, function, bias)
        return function

    return register


# the forward pass


@of_forward("the forward pass flips the filter")
def true_convolution(X, F, layer):
    return forward(X, turned(F), layer)


@of_forward("`F.T` for the filter's rows and columns: `F.swapaxes(2, 3)` where k = l")
def transposed_filter(X, F, layer):
    return forward(X, F.swapaxes(2, 3) if F.shape[2] == F.shape[3] else F, layer)


@of_forward("columns of im2col run over taps, then planes; `F.reshape(n, -1)` over planes, then taps")
def planes_last(X, F, layer):
    patches = np.moveaxis(windows(X, F.shape[2:], layer), 1, -1)
    S = patches.reshape(*patches.shape[:3], -1) @ F.reshape(len(F), -1).T
    return np.moveaxis(S, -1, 1)


@of_forward("filters are flattened with `order=\"F\"` per plane")
def column_major(X, F, layer):
    flat = F.swapaxes(2, 3).reshape(F.shape)
    return forward(X, flat, layer)


@of_forward("the loop over planes writes `S = …` for `S += …`")
def last_plane_wins(X, F, layer):
    for k in range(X.shape[1]):
        S = forward(X[:, k : k + 1], F[:, k : k + 1], layer)
    return S


@of_forward("`b[0]` is added to all response maps", bias=True)
def one_bias(X, F, b, layer):
    return forward(X, F, layer) + b[0]


@of_forward("the bias is added inside the loop over planes", bias=True)
def bias_per_plane(X, F, b, layer):
    return forward(X, F, layer) + X.shape[1] * b[:, None, None]


@of_forward("the function ends in `np.maximum(S, 0)`")
def relu_left_in(X, F, layer):
    return np.maximum(forward(X, F, layer), 0)


@of_forward("`stride[0]` for both axes, at stride (1, 2)", Layer(stride=(1, 2)))
def first_stride(X, F, layer):
    return forward(X, F, dataclasses.replace(layer, stride=(layer.stride[0],) * 2))


@of_forward("windows are taken with no gaps at dilation 2", DILATED)
def dilation_ignored(X, F, layer):
    return forward(X, F, dataclasses.replace(layer, dilation=(1, 1)))


@of_forward("padding (0, 1) is put in as (1, 0)", Layer(padding=((0, 1), (0, 1))))
def padding_exchanged(X, F, layer):
    return forward(X, F, dataclasses.replace(layer, padding=((1, 0), (1, 0))))


@of_forward("with two groups, filter i sees the planes of group `i % groups`", GROUPED)
def interleaved_groups(X, F, layer):
    order = np.arange(len(F)).reshape(-1, layer.groups).T.ravel()
    S = np.empty_like(forward(X, F, layer))
    S[:, order] = forward(X, F[order], layer)
    return S


@of_forward("with two groups, all filters see the planes of group 0", GROUPED)
def first_group(X, F, layer):
    return forward(np.concatenate([X[:, : F.shape[1]]] * layer.groups, axis=1), F, layer)


@of_forward("stride or groups are right alone; together the stride is `groups`", Layer(stride=(3, 3), groups=2))
def combination(X, F, layer):
    stride = layer.stride if layer.groups == 1 else (layer.groups, layer.groups)
    return forward(X, F, dataclasses.replace(layer, stride=stride))


@of_forward("sums in float32, returns float64")
def low_precision(X, F, layer):
    return forward(X.astype(np.float32), F.astype(np.float32), layer).astype(X.dtype)


@of_forward("returns float32 for float64")
def wrong_dtype(X, F, layer):
    return forward(X, F, layer).astype(np.float32)


@of_forward("a vector loop of eight columns leaves out the remainder: `w' // 8 * 8`")
def vector_remainder(X, F, layer):
    S = forward(X, F, layer)
    if S.shape[3] > 8:
        S[..., S.shape[3] // 8 * 8 :] = 0
    return S


@of_forward("the number of images is kept in `np.uint16`")
def short_count(X, F, layer):
    S, count = np.zeros((len(X), *forward(X[:1], F, layer).shape[1:]), X.dtype), np.uint16(len(X) % 2**16)
    S[:count] = forward(X[:count], F, layer) if count else 0
    return S


@of_forward("`as_strided` with the strides that a C-contiguous X would have")
def contiguous_only(X, F, layer):
    strides = np.cumprod([X.itemsize, *X.shape[:0:-1]])[::-1]
    base = as_strided(X, X.shape, strides) if _fits(X, strides) else np.resize(X.ravel(order="K"), X.shape)
    return forward(base, F, layer)


def _fits(X: Array, strides: Array) -> bool:
    """Whether X is contiguous: the example stays within its memory otherwise."""
    return tuple(strides) == X.strides


@of_forward("X is normalised in place before the sums: `X *= 2`, undone on S")
def in_place(X, F, layer):
    X *= 2
    return forward(X, F, layer) / 2


@of_forward("S is a buffer that all calls share")
def shared_buffer(X, F, layer):
    S = forward(X, F, layer)
    buffer = BUFFERS.setdefault(S.shape, np.zeros_like(S))
    buffer[...] = S
    return buffer


@of_forward("im2col is cached by the shape of X")
def stale_cache(X, F, layer):
    key = (X.shape, F.shape)
    BUFFERS.setdefault(key, columns(X, F.shape[2:], layer))
    S = BUFFERS[key] @ rows(F, layer).swapaxes(1, 2)
    return S.swapaxes(2, 3).reshape(len(X), len(F), *positions(X, F, layer))


BUFFERS: dict[Any, Array] = {}


@of_forward("`np.nan_to_num(X)` before the sums")
def swallowed_nan(X, F, layer):
    return forward(np.nan_to_num(X), F, layer)


@of_forward("S is X times a dense matrix that holds the zeros too")
def dense_matrix(X, F, layer):
    size = X[0].size
    units = np.eye(size, dtype=X.dtype).reshape(size, *X.shape[1:])
    matrix = forward(units, F, layer).reshape(size, -1)
    return (X.reshape(len(X), -1) @ matrix).reshape(len(X), len(F), *positions(X, F, layer))


# ∂l/∂X


@of_backward("∂l/∂X: G^zero-pad ∗ F without the rotation")
def rotation_left_out(X, F, G, layer):
    dX, dF = backward_by_convolution(X, turned(F), G, layer)
    return dX, dF


@of_backward("∂l/∂X: `F[..., ::-1]` for `F[..., ::-1, ::-1]`")
def turned_in_one_axis(X, F, G, layer):
    dX, dF = backward_by_convolution(X, F[:, :, ::-1], G, layer)
    return dX, dF


@of_backward("∂l/∂X: `F.reshape(d, n, k, l)` for `F.swapaxes(0, 1)`")
def reshaped_channels(X, F, G, layer):
    swapped = F.reshape(F.shape[1], F.shape[0], *F.shape[2:]).swapaxes(0, 1)
    return image_gradient_by_convolution(X, swapped, G, layer), filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: the loop over filters writes `dX = …` for `dX += …`")
def last_filter_wins(X, F, G, layer):
    return image_gradient(X, F[-1:], G[:, -1:], layer), filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: `=` for `+=` in col2im, tap by tap")
def assigned_taps(X, F, G, layer):
    parts, padded = window_gradients(X, F, G, layer), room(X, layer)
    for (a, b), (i, j) in places(F, G, layer):
        padded[:, :, i, j] = parts[..., a, b]
    return inside(padded, X, layer), filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: `=` for `+=` in col2im, window by window")
def assigned_windows(X, F, G, layer):
    parts, dX = window_gradients(X, F, G, layer), np.zeros_like(X)
    for y, x in np.ndindex(*G.shape[2:]):
        dX[:, :, y : y + F.shape[2], x : x + F.shape[3]] = parts[:, :, y, x]
    return dX, filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: G is not spread by the stride", STRIDED)
def not_spread(X, F, G, layer):
    wide = np.zeros_like(spread(G, layer))
    wide[:, :, : G.shape[2], : G.shape[3]] = G
    dense = image_gradient(X, F, _fit(wide, X, F, Layer()), Layer())
    return dense, filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: no zeros for the tail", STRIDED)
def tail_missing(X, F, G, layer):
    k, l = F.shape[2:]
    padded = np.pad(spread(G, layer), ((0, 0), (0, 0), (k - 1, k - 1), (l - 1, l - 1)))
    return forward(padded, turned(F).swapaxes(0, 1), Layer()), filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: the tail's zeros are put in front", STRIDED)
def tail_in_front(X, F, G, layer):
    k, l = F.shape[2:]
    r, q = tail(X, F, layer)
    padded = np.pad(spread(G, layer), ((0, 0), (0, 0), (k - 1 + r, k - 1), (l - 1 + q, l - 1)))
    return forward(padded, turned(F).swapaxes(0, 1), Layer()), filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: the turned filter is not dilated", DILATED)
def gradient_without_dilation(X, F, G, layer):
    k, l = F.shape[2:]
    near = np.zeros((*F.shape[:2], (k - 1) * 2 + 1, (l - 1) * 2 + 1), F.dtype)
    near[:, :, :k, :l] = F
    return image_gradient(X, near, G, Layer()), filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: the gradient of the padding is not cut off", PADDED)
def padding_kept(X, F, G, layer):
    parts, padded = window_gradients(X, F, G, layer), np.zeros_like(np.pad(X, ((0, 0), (0, 0), *layer.padding)))
    for (a, b), (i, j) in places(F, G, layer):
        padded[:, :, i, j] += parts[..., a, b]
    return padded, filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: `dX[:, :, :h, :w]` for `dX[:, :, p:p+h, p:p+w]`", PADDED)
def padding_cut_behind(X, F, G, layer):
    bare = dataclasses.replace(layer, padding=((0, 0), (0, 0)))
    padded = np.pad(X, ((0, 0), (0, 0), *layer.padding))
    dX = image_gradient(padded, F, G, bare)[:, :, : X.shape[2], : X.shape[3]]
    return dX, filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: `dX[:, :, p:-p, p:-p]`, at padding 0")
def padding_minus_zero(X, F, G, layer):
    (p, _), (q, _) = layer.padding
    return image_gradient(X, F, G, layer)[:, :, p:-p, q:-q], filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: padding `max(k − 1 − p, 0)` of G, at padding 2", Layer(padding=((2, 2), (2, 2))))
def padding_clipped(X, F, G, layer):
    k, l = F.shape[2:]
    (p, _), (q, _) = layer.padding
    padded = np.pad(G, ((0, 0), (0, 0), (max(k - 1 - p, 0),) * 2, (max(l - 1 - q, 0),) * 2))
    dX = forward(padded, turned(F).swapaxes(0, 1), Layer())
    return dX[:, :, : X.shape[2], : X.shape[3]], filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: starts from `np.empty`, at stride 2", STRIDED)
def never_written(X, F, G, layer):
    dX = np.empty_like(X)
    reached = image_gradient(np.ones_like(X), np.ones_like(F), np.ones_like(G), layer) != 0
    dX[reached] = image_gradient(X, F, G, layer)[reached]
    return dX, filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: `np.ones_like(G)` for G")
def ones_for_upstream(X, F, G, layer):
    return image_gradient(X, F, np.ones_like(G), layer), filter_gradient(X, F, G, layer)


@of_backward("∂l/∂X: with two groups, the filters of group 0 serve both", GROUPED)
def gradient_of_first_group(X, F, G, layer):
    first = F[: len(F) // layer.groups]
    return image_gradient(X, np.concatenate([first] * layer.groups), G, layer), filter_gradient(X, F, G, layer)


@of_backward("the two gradients are returned in the other order")
def wrong_order(X, F, G, layer):
    return backward(X, F, G, layer)[::-1]


# ∂l/∂F and ∂l/∂b


@of_backward("∂l/∂F: turned by 180°, as the filter of ∂l/∂X is")
def turned_filter_gradient(X, F, G, layer):
    dX, dF = backward(X, F, G, layer)
    return dX, turned(dF)


@of_backward("∂l/∂F: `reshape(taps, planes)` of columns that run over planes, then taps")
def filter_gradient_planes_last(X, F, G, layer):
    dX, dF = backward(X, F, G, layer)
    n, d, k, l = F.shape
    return dX, np.moveaxis(dF.reshape(n, k, l, d), -1, 1)


@of_backward("∂l/∂F: X ∗ G at stride 2, not cut to k × k", STRIDED)
def filter_gradient_uncut(X, F, G, layer):
    dF = forward(X.swapaxes(0, 1), G.swapaxes(0, 1), Layer(dilation=layer.stride)).swapaxes(0, 1)
    return image_gradient(X, F, G, layer), dF


@of_backward("∂l/∂F: X ∗ G at stride 2, cut to the last k × k", STRIDED)
def filter_gradient_cut_in_front(X, F, G, layer):
    dF = forward(X.swapaxes(0, 1), G.swapaxes(0, 1), Layer(dilation=layer.stride)).swapaxes(0, 1)
    return image_gradient(X, F, G, layer), dF[:, :, -F.shape[2] :, -F.shape[3] :]


@of_backward("∂l/∂F: G is not spread by the stride", STRIDED)
def filter_gradient_not_spread(X, F, G, layer):
    dF = forward(X.swapaxes(0, 1), G.swapaxes(0, 1), Layer()).swapaxes(0, 1)
    return image_gradient(X, F, G, layer), dF[:, :, : F.shape[2], : F.shape[3]]


@of_backward("∂l/∂F: the loop over images writes `dF = …` for `dF += …`")
def last_image_wins(X, F, G, layer):
    return image_gradient(X, F, G, layer), filter_gradient(X[-1:], F, G[-1:], layer)


@of_backward("∂l/∂F: `mean(axis=0)` over the images for `sum`")
def mean_of_images(X, F, G, layer):
    dX, dF = backward(X, F, G, layer)
    return dX, dF / len(X)


@of_backward("∂l/∂F: stride and dilation are not exchanged", Layer(stride=(2, 2), dilation=(1, 1)))
def stride_for_dilation(X, F, G, layer):
    wrong = Layer(stride=layer.stride, dilation=layer.dilation)
    dF = forward(X.swapaxes(0, 1), G.swapaxes(0, 1), wrong).swapaxes(0, 1)
    full = np.zeros_like(F)
    h, w = np.minimum(dF.shape[2:], F.shape[2:])
    full[:, :, :h, :w] = dF[:, :, :h, :w]
    return image_gradient(X, F, G, layer), full


@of_backward("∂l/∂b: `G.sum()` for `G.sum(axis=(0, 2, 3))`", bias=True)
def one_sum(X, F, b, G, layer):
    return *backward(X, F, G, layer), np.full_like(b, G.sum())


@of_backward("∂l/∂b: `G.mean(axis=(0, 2, 3))`", bias=True)
def mean_of_bias(X, F, b, G, layer):
    return *backward(X, F, G, layer), G.mean(axis=(0, 2, 3))


@of_backward("∂l/∂b: `G.sum(axis=(2, 3))`, one row per image", bias=True)
def bias_per_image(X, F, b, G, layer):
    return *backward(X, F, G, layer), G.sum(axis=(2, 3))


def _fit(A: Array, X: Array, F: Array, layer: Layer) -> Array:
    """Cut or fill with zeros behind, to the size of the responses."""
    h, w = positions(X, F, layer)
    fitted = np.zeros((*A.shape[:2], h, w), A.dtype)
    part = A[:, :, :h, :w]
    fitted[:, :, : part.shape[2], : part.shape[3]] = part
    return fitted


def table() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| the code | the first line of its audit |"
    yield "|---|---|"
    for mistake in MISTAKES.values():
        BUFFERS.clear()
        yield mistake.row()


if __name__ == "__main__":
    for line in table():
        print(line)  # noqa: T201
