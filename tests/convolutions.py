"""Right convolutions, written independently of the package, to audit and to break."""

import numpy as np


def pairs(value, count=2):
    """One entry per axis."""
    return (value,) * count if isinstance(value, int) else tuple(value)


class Layer:
    """A direct convolution of two spatial axes and its gradients, tap by tap, fixed to its options."""

    def __init__(self, *, stride=1, padding=0, dilation=1, groups=1):
        self.s, self.d, self.g = pairs(stride), pairs(dilation), groups
        self.p = tuple((each, each) if isinstance(each, int) else tuple(each) for each in pairs(padding))

    def pad(self, X):
        (top, below), (left, right) = self.p
        N, c, H, W = X.shape
        padded = np.zeros((N, c, top + H + below, left + W + right), X.dtype)
        padded[:, :, top : top + H, left : left + W] = X
        return padded

    def cut(self, padded, X):
        (top, _), (left, _) = self.p
        return padded[:, :, top : top + X.shape[2], left : left + X.shape[3]].copy()

    def out(self, X, F):
        steps = zip(X.shape[2:], F.shape[2:], self.s, self.d, self.p, strict=True)
        return tuple((size + sum(zeros) - (k - 1) * d - 1) // s + 1 for size, k, s, d, zeros in steps)

    def parts(self, X, F):
        """Yield (filters and planes of a group, tap row and column, index of the padded pixels that the tap reads)."""
        c, m, (h, w) = F.shape[1], len(F) // self.g, self.out(X, F)
        for g, a, b in np.ndindex(self.g, *F.shape[2:]):
            top, left = a * self.d[0], b * self.d[1]
            rows = slice(top, top + (h - 1) * self.s[0] + 1, self.s[0])
            columns = slice(left, left + (w - 1) * self.s[1] + 1, self.s[1])
            yield slice(g * m, (g + 1) * m), slice(g * c, (g + 1) * c), a, b, (..., rows, columns)

    def forward(self, X, F, b=None):
        S, padded = np.zeros((len(X), len(F), *self.out(X, F)), X.dtype), self.pad(X)
        for filters, planes, k, l, read in self.parts(X, F):
            weights = F[filters, :, k, l][None, :, :, None, None]
            S[:, filters] += np.sum(padded[:, None, planes][read] * weights, axis=2, dtype=S.dtype)
        return S if b is None else S + b[:, None, None]

    def backward(self, X, F, *rest):
        G, padded = rest[-1], self.pad(X)
        dX, dF = np.zeros_like(padded), np.zeros_like(F)
        for filters, planes, k, l, read in self.parts(X, F):
            g, weights = G[:, filters, None], F[filters, :, k, l][None, :, :, None, None]
            dX[:, planes][read] += np.sum(g * weights, axis=1, dtype=dX.dtype)
            dF[filters, :, k, l] += np.sum(g * padded[:, None, planes][read], axis=(0, 3, 4), dtype=dF.dtype)
        gradients = self.cut(dX, X), dF
        return gradients if len(rest) == 1 else (*gradients, G.sum(axis=(0, 2, 3), dtype=G.dtype))


class Im2col(Layer):
    """The same by one matrix product: all windows side by side, and what they give put back where they were."""

    def columns(self, X, F):
        """Windows (N, groups, planes · taps, positions) of the padded images."""
        padded = self.pad(X)
        N, c, (h, w) = len(X), F.shape[1], self.out(X, F)
        rows = [
            padded[:, :, a * self.d[0] :, b * self.d[1] :][:, :, :: self.s[0], :: self.s[1]][:, :, :h, :w]
            for a in range(F.shape[2])
            for b in range(F.shape[3])
        ]
        stacked = np.stack(rows, axis=2).reshape(N, self.g, c, len(rows), h * w)
        return stacked.reshape(N, self.g, c * len(rows), h * w)

    def forward(self, X, F, b=None):
        filters = F.reshape(self.g, len(F) // self.g, -1)
        S = np.einsum("gmk,ngkt->ngmt", filters, self.columns(X, F)).reshape(len(X), len(F), *self.out(X, F))
        return S.astype(X.dtype) if b is None else (S + b[:, None, None]).astype(X.dtype)

    def backward(self, X, F, *rest):
        G, padded, (h, w) = rest[-1], self.pad(X), self.out(X, F)
        g = G.reshape(len(G), self.g, len(F) // self.g, -1)
        dF = np.einsum("ngmt,ngkt->gmk", g, self.columns(X, F)).reshape(F.shape)
        spread = np.einsum("gmk,ngmt->ngkt", F.reshape(self.g, len(F) // self.g, -1), g)
        spread = spread.reshape(len(X), X.shape[1], *F.shape[2:], h, w)
        dX = np.zeros_like(padded)
        for a in range(F.shape[2]):
            for b in range(F.shape[3]):
                top, left = a * self.d[0], b * self.d[1]
                rows = slice(top, top + h * self.s[0], self.s[0]), slice(left, left + w * self.s[1], self.s[1])
                dX[:, :, rows[0], rows[1]][:, :, :h, :w] += spread[:, :, a, b]
        gradients = self.cut(dX, X), dF.astype(F.dtype)
        return gradients if len(rest) == 1 else (*gradients, G.sum(axis=(0, 2, 3), dtype=G.dtype))


class Fft(Layer):
    """The same by fast Fourier transforms of whole planes."""

    def spread(self, A, steps):
        """Put zeros between the entries of the last two axes."""
        (h, w), (s, t) = A.shape[2:], steps
        wide = np.zeros((*A.shape[:2], (h - 1) * s + 1, (w - 1) * t + 1), A.dtype)
        wide[:, :, ::s, ::t] = A
        return wide

    def of_group(self, A, i, F):
        c, m = F.shape[1], len(F) // self.g
        return A[:, i // m * c : (i // m + 1) * c]

    def forward(self, X, F, b=None):
        from scipy.signal import fftconvolve  # slow to import

        padded, wide, (h, w) = self.pad(X), self.spread(F, self.d), self.out(X, F)
        S = np.empty((len(X), len(F), h, w))
        for i in range(len(F)):
            planes = self.of_group(padded, i, F)
            turned = wide[None, i, :, ::-1, ::-1]
            whole = fftconvolve(planes, turned, mode="valid", axes=(2, 3)).sum(axis=1)
            S[:, i] = whole[:, :: self.s[0], :: self.s[1]][:, :h, :w]
        return (S if b is None else S + b[:, None, None]).astype(X.dtype)

    def backward(self, X, F, *rest):
        from scipy.signal import fftconvolve  # slow to import

        G, padded, (k, l) = rest[-1], self.pad(X), F.shape[2:]
        wide, spread = self.spread(F, self.d), self.spread(G, self.s)
        dX, dF = np.zeros(padded.shape), np.empty(F.shape)
        for i in range(len(F)):
            back = fftconvolve(spread[:, i : i + 1], wide[None, i], axes=(2, 3))
            self.of_group(dX, i, F)[:, :, : back.shape[2], : back.shape[3]] += back
            planes = self.of_group(padded, i, F)
            taps = fftconvolve(planes, spread[:, i : i + 1, ::-1, ::-1], mode="valid", axes=(2, 3)).sum(axis=0)
            dF[i] = taps[:, :: self.d[0], :: self.d[1]][:, :k, :l]
        gradients = self.cut(dX, X).astype(X.dtype), dF.astype(F.dtype)
        return gradients if len(rest) == 1 else (*gradients, G.sum(axis=(0, 2, 3), dtype=G.dtype))


class Taking:
    """It takes options, and ignores the last column of responses at stride 2."""

    def __init__(self, stride, padding=0):
        self.stride, self.layer = stride, Layer(stride=stride, padding=padding)

    def forward(self, X, F):
        S = self.layer.forward(X, F)
        if self.stride == 2:
            S[..., -1] = 0
        return S
