"""Right convolutions, written independently of the package, to audit and to break."""

import numpy as np


def pairs(value, count=2):
    """One entry per axis."""
    return (value,) * count if isinstance(value, int) else tuple(value)


class Layer:
    """A direct convolution of two spatial axes and its gradients, window by window, fixed to its options."""

    def __init__(self, *, stride=1, padding=0, dilation=1, groups=1):
        self.s, self.d, self.g = pairs(stride), pairs(dilation), groups
        self.p = tuple((each, each) if isinstance(each, int) else tuple(each) for each in pairs(padding))

    def windows(self, X, F):
        """Yield (filter, row, column, index of its window in the padded image)."""
        k, l = ((size - 1) * step + 1 for size, step in zip(F.shape[2:], self.d, strict=True))
        H, W = (size + sum(zeros) for size, zeros in zip(X.shape[2:], self.p, strict=True))
        c, m = F.shape[1], len(F) // self.g
        for i in range(len(F)):
            for y in range((H - k) // self.s[0] + 1):
                for x in range((W - l) // self.s[1] + 1):
                    top, left, first = y * self.s[0], x * self.s[1], i // m * c
                    rows, columns = slice(top, top + k, self.d[0]), slice(left, left + l, self.d[1])
                    yield i, y, x, (slice(None), slice(first, first + c), rows, columns)

    def pad(self, X):
        return np.pad(X, ((0, 0), (0, 0), *self.p))

    def cut(self, padded, X):
        (top, _), (left, _) = self.p
        return padded[:, :, top : top + X.shape[2], left : left + X.shape[3]].copy()

    def out(self, X, F):
        steps = zip(X.shape[2:], F.shape[2:], self.s, self.d, self.p, strict=True)
        return tuple((size + sum(zeros) - (k - 1) * d - 1) // s + 1 for size, k, s, d, zeros in steps)

    def forward(self, X, F, b=None):
        S, padded = np.zeros((len(X), len(F), *self.out(X, F)), X.dtype), self.pad(X)
        for i, y, x, window in self.windows(X, F):
            S[:, i, y, x] = np.sum(padded[window] * F[i], axis=(1, 2, 3))
        return S if b is None else S + b[:, None, None]

    def backward(self, X, F, *rest):
        G, padded = rest[-1], self.pad(X)
        dX, dF = np.zeros_like(padded), np.zeros_like(F)
        for i, y, x, window in self.windows(X, F):
            g = G[:, i, y, x][:, None, None, None]
            dX[window] += g * F[i]
            dF[i] += np.sum(g * padded[window], axis=0)
        gradients = self.cut(dX, X), dF
        return gradients if len(rest) == 1 else (*gradients, G.sum(axis=(0, 2, 3), dtype=G.dtype))
