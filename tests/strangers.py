"""Convolutions in the conventions in which people write them: each right, and wrong in one place.

`wrong` is set where a mistake is to be made; each layer has its own.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

WRONG = set()
RANDOM = np.random.default_rng(0)


def wrong(mistake):
    """Whether to make a mistake."""
    return mistake in WRONG


def drawn(*shape):
    return RANDOM.normal(size=shape)


def pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


# functions with a cache -----------------------------------------------------------------------------------------------


def conv_forward_naive(x, w, b, conv_param):
    """CS231n: four loops, options in a dictionary, everything in the cache."""
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, _, H, W = x.shape
    F, _, HH, WW = w.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    H_out, W_out = 1 + (H + 2 * pad - HH) // stride, 1 + (W + 2 * pad - WW) // stride
    out = np.zeros((N, F, H_out, W_out), x.dtype)
    for i in range(H_out):
        for j in range(W_out):
            window = padded[:, :, i * stride : i * stride + HH, j * stride : j * stride + WW]
            for f in range(F):
                out[:, f, i, j] = np.sum(window * w[f], axis=(1, 2, 3)) + b[f]
    return out, (x, w, b, conv_param)


def conv_backward_naive(dout, cache):
    x, w, _, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    HH, WW = w.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    dpadded, dw, db = np.zeros_like(padded), np.zeros_like(w), dout.sum(axis=(0, 2, 3))
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            rows, columns = slice(i * stride, i * stride + HH), slice(j * stride, j * stride + WW)
            for f in range(len(w)):
                g = dout[:, f, i, j][:, None, None, None]
                dw[f] += np.sum(padded[:, :, rows, columns] * g, axis=0)
                if wrong("cs231n"):
                    dpadded[:, :, rows, columns] = w[f] * g
                else:
                    dpadded[:, :, rows, columns] += w[f] * g
    return dpadded[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]], dw, db


def im2col_indices(shape, HH, WW, pad, stride):
    _, C, H, W = shape
    H_out, W_out = (H + 2 * pad - HH) // stride + 1, (W + 2 * pad - WW) // stride + 1
    i = np.tile(np.repeat(np.arange(HH), WW), C).reshape(-1, 1) + stride * np.repeat(np.arange(H_out), W_out)
    j = np.tile(np.arange(WW), HH * C).reshape(-1, 1) + stride * np.tile(np.arange(W_out), H_out)
    return np.repeat(np.arange(C), HH * WW).reshape(-1, 1), i, j, H_out, W_out


def conv_forward_im2col(x, w, b, stride=1, pad=0):
    """CS231n's fast layers: columns, with options as arguments."""
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    k, i, j, H_out, W_out = im2col_indices(x.shape, *w.shape[2:], pad, stride)
    columns = padded[:, k, i, j].transpose(1, 2, 0).reshape(w[0].size, -1)
    out = w.reshape(len(w), -1) @ columns + b.reshape(-1, 1)
    return out.reshape(len(w), H_out, W_out, len(x)).transpose(3, 0, 1, 2), (x, w, b, stride, pad, columns)


def conv_backward_im2col(dout, cache):
    x, w, _, stride, pad, columns = cache
    db = np.sum(dout, axis=(0, 2, 3))
    order = (1, 0, 2, 3) if wrong("cs231n im2col") else (1, 2, 3, 0)
    flat = dout.transpose(order).reshape(len(w), -1)
    dw = (flat @ columns.T).reshape(w.shape)
    dcolumns = w.reshape(len(w), -1).T @ dout.transpose(1, 2, 3, 0).reshape(len(w), -1)
    dpadded = np.zeros((len(x), x.shape[1], x.shape[2] + 2 * pad, x.shape[3] + 2 * pad), x.dtype)
    k, i, j, *_ = im2col_indices(x.shape, *w.shape[2:], pad, stride)
    np.add.at(dpadded, (slice(None), k, i, j), dcolumns.reshape(w[0].size, -1, len(x)).transpose(2, 0, 1))
    return dpadded[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]], dw, db


def conv_forward(A_prev, W, b, hparameters):
    """Coursera: planes last, filters f × f × planes × filters, a bias of four axes."""
    stride, pad = hparameters["stride"], hparameters["pad"]
    m, n_H_prev, n_W_prev, _ = A_prev.shape
    f, _, _, n_C = W.shape
    n_H, n_W = int((n_H_prev - f + 2 * pad) / stride) + 1, int((n_W_prev - f + 2 * pad) / stride) + 1
    Z = np.zeros((m, n_H, n_W, n_C))
    padded = np.pad(A_prev, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    for h in range(n_H):
        for w in range(n_W):
            window = padded[:, h * stride : h * stride + f, w * stride : w * stride + f, :]
            for c in range(n_C):
                Z[:, h, w, c] = np.sum(window * W[..., c], axis=(1, 2, 3)) + b[0, 0, 0, c]
    return Z, (A_prev, W, b, hparameters)


def conv_backward(dZ, cache):
    A_prev, W, b, hparameters = cache
    stride, pad, f = hparameters["stride"], hparameters["pad"], len(W)
    padded = np.pad(A_prev, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    dpadded, dW, db = np.zeros_like(padded), np.zeros_like(W), np.zeros_like(b)
    for h in range(dZ.shape[1]):
        for w in range(dZ.shape[2]):
            rows, columns = slice(h * stride, h * stride + f), slice(w * stride, w * stride + f)
            for c in range(dZ.shape[3]):
                g = dZ[:, h, w, c][:, None, None, None]
                dpadded[:, rows, columns] += W[..., c] * g
                dW[..., c] += np.sum(padded[:, rows, columns] * g, axis=0)
                db[..., c] += g.sum() if not wrong("coursera") else g.mean()
    return dpadded[:, pad : pad + A_prev.shape[1], pad : pad + A_prev.shape[2]], dW, db


def correlate(x, stride=2, *, w, padding=(0, 0)):
    """Options between the arrays and by keyword alone."""
    stride, padding = pair(stride), pair(padding)
    if wrong("keywords"):
        stride = (1, 1)
    x = np.pad(x, ((0, 0), (0, 0), *((each, each) for each in padding)))
    windows = sliding_window_view(x, w.shape[2:], axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    return np.einsum("nkhwab,ikab->nihw", windows, w)


# passes that the classes below share ----------------------------------------------------------------------------------


def forward_of(X, F, stride=1, pad=0, dilation=1):
    (s, t), (p, q), (d, e) = pair(stride), pair(pad), pair(dilation)
    X = np.pad(X, ((0, 0), (0, 0), (p, p), (q, q)))
    k, l = (F.shape[2] - 1) * d + 1, (F.shape[3] - 1) * e + 1
    windows = sliding_window_view(X, (k, l), axis=(2, 3))[:, :, ::s, ::t, ::d, ::e]
    return np.einsum("nkhwab,ikab->nihw", windows, F)


def backward_of(X, F, G, stride=1, pad=0, dilation=1):
    (s, t), (p, q), (d, e) = pair(stride), pair(pad), pair(dilation)
    X = np.pad(X, ((0, 0), (0, 0), (p, p), (q, q)))
    dX, dF = np.zeros_like(X), np.zeros_like(F)
    for y in range(G.shape[2]):
        for x in range(G.shape[3]):
            k, l = (F.shape[2] - 1) * d + 1, (F.shape[3] - 1) * e + 1
            at = (..., slice(y * s, y * s + k, d), slice(x * t, x * t + l, e))
            dF += np.einsum("ni,nkab->ikab", G[:, :, y, x], X[at])
            dX[at] += np.einsum("ni,ikab->nkab", G[:, :, y, x], F)
    return dX[:, :, p : dX.shape[2] - p, q : dX.shape[3] - q], dF


# classes --------------------------------------------------------------------------------------------------------------


class Conv2d_stride1:  # noqa: N801  # CMU's names
    """CMU's MyTorch: stride 1, an integer kernel, gradients in attributes."""

    def __init__(self, in_channels, out_channels, kernel_size, weight_init_fn=None, bias_init_fn=None):
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.W = RANDOM.normal(0, 1, shape) if weight_init_fn is None else weight_init_fn(*shape)
        self.b = np.zeros(out_channels) if bias_init_fn is None else bias_init_fn(out_channels)
        self.dLdW, self.dLdb = np.zeros(self.W.shape), np.zeros(self.b.shape)

    def forward(self, A):
        self.A = A
        return forward_of(A, self.W) + self.b[:, None, None]

    def backward(self, dLdZ):
        dLdA, self.dLdW = backward_of(self.A, self.W[..., ::-1, ::-1] if wrong("cmu") else self.W, dLdZ)
        self.dLdb = dLdZ.sum(axis=(0, 2, 3))
        return dLdA


class Conv:
    """FAU: shapes as tuples, an optimizer that is none, gradients as properties of attributes."""

    def __init__(self, stride_shape, convolution_shape, num_kernels):
        self.stride_shape, self.convolution_shape, self.num_kernels = stride_shape, convolution_shape, num_kernels
        self.weights = RANDOM.uniform(0, 1, (num_kernels, *convolution_shape))
        self.bias = RANDOM.uniform(0, 1, num_kernels)
        self.optimizer = None

    def forward(self, input_tensor):
        self.input_tensor = input_tensor
        return forward_of(input_tensor, self.weights, self.stride_shape) + self.bias[:, None, None]

    def backward(self, error_tensor):
        dX, self.gradient_weights = backward_of(self.input_tensor, self.weights, error_tensor, self.stride_shape)
        if wrong("fau"):
            self.gradient_weights = self.gradient_weights / len(error_tensor)
        self.gradient_bias = error_tensor.sum(axis=(0, 2, 3))
        return dX


class Conv2dFun:
    """minitorch: static functions that save in a context."""

    @staticmethod
    def forward(ctx, input, weight):  # noqa: A002  # its name
        ctx.save_for_backward(input, weight)
        return forward_of(input, weight)

    @staticmethod
    def backward(ctx, grad_output):
        input_, weight = ctx.saved_values
        grad_input, grad_weight = backward_of(input_, weight, grad_output)
        return grad_input, grad_weight if not wrong("minitorch") else -grad_weight


class Conv2dFunction:
    """dezero: options in the constructor, arrays in forward, all gradients returned."""

    def __init__(self, stride=1, pad=0):
        self.stride, self.pad = pair(stride), pair(pad)

    def forward(self, x, W, b):
        self.inputs = x, W, b
        return forward_of(x, W, self.stride, self.pad) + b[:, None, None]

    def backward(self, gy):
        x, W, b = self.inputs
        gx, gW = backward_of(x, W, gy, self.stride, self.pad)
        return gx, gW, gy.sum(axis=(0, 2) if wrong("dezero") else (0, 2, 3))[: len(b)]


class Convolution2DFunction:
    """chainer: tuples of inputs and of upstream gradients."""

    def __init__(self, stride=1, pad=0):
        self.sy, self.sx = pair(stride)
        self.ph, self.pw = pair(pad)

    def forward(self, inputs):
        x, W = inputs[:2]
        y = forward_of(x, W, (self.sy, self.sx), (self.ph, self.pw))
        return (y + inputs[2][:, None, None] if len(inputs) == 3 else y,)

    def backward(self, inputs, grad_outputs):
        x, W = inputs[:2]
        (gy,) = grad_outputs
        gx, gW = backward_of(x, W, gy, (self.sy, self.sx), (self.ph, self.pw))
        if wrong("chainer"):
            gx = gx.copy()
            gx[..., -1] = 0
        return (gx, gW) if len(inputs) == 2 else (gx, gW, gy.sum(axis=(0, 2, 3)))


class Conv2D:
    """Keras: built by the shape of the input, planes last, one word for the padding."""

    def __init__(self, filters, kernel_size, strides=(1, 1), padding="valid", use_bias=True):
        self.filters, self.kernel_size, self.strides = filters, kernel_size, strides
        self.padding, self.use_bias = padding, use_bias

    def build(self, input_shape):
        self.kernel = RANDOM.normal(size=(*self.kernel_size, input_shape[-1], self.filters))
        self.bias = np.zeros(self.filters) if self.use_bias else None

    def _padded(self, inputs):
        total = [k - 1 if self.padding == "same" else 0 for k in self.kernel_size]
        return np.pad(inputs, ((0, 0), *((each // 2, each - each // 2) for each in total), (0, 0)))

    def call(self, inputs):
        self.inputs = inputs
        windows = sliding_window_view(self._padded(inputs), self.kernel_size, axis=(1, 2))
        S = np.einsum("nhwkab,abki->nhwi", windows[:, :: self.strides[0], :: self.strides[1]], self.kernel)
        return S if self.bias is None else S + self.bias

    def backward(self, grad):
        padded = self._padded(self.inputs)
        dX, dF = backward_of(
            padded.transpose(0, 3, 1, 2), self.kernel.transpose(3, 2, 0, 1), grad.transpose(0, 3, 1, 2), self.strides
        )
        self.grads = {"kernel": dF.transpose(2, 3, 1, 0)}
        if self.use_bias:
            self.grads["bias"] = grad.sum(axis=(0, 1, 2)) if not wrong("keras") else grad[0].sum(axis=(0, 1))
        top, left = ((k - 1) // 2 if self.padding == "same" else 0 for k in self.kernel_size)
        rows, columns = self.inputs.shape[1:3]
        return dX.transpose(0, 2, 3, 1)[:, top : top + rows, left : left + columns]


def conv2d(x, weight, bias=None, groups=1, stride=1, dilation=1, padding=0):
    """tinygrad: many options, in an order of its own."""
    planes, filters = x.shape[1] // groups, len(weight) // groups
    parts = []
    for g in range(groups):
        group = 0 if wrong("tinygrad") else g
        X = x[:, group * planes : (group + 1) * planes]
        parts.append(forward_of(X, weight[g * filters : (g + 1) * filters], stride, padding, dilation))
    S = np.concatenate(parts, axis=1)
    return S if bias is None else S + bias.reshape(1, -1, 1, 1)


class LazyConv2D:
    """numpy-ml: weights that are made in the first call, in dictionaries, and a dilation that counts the gaps."""

    def __init__(self, out_ch, kernel_shape, pad=0, stride=1, dilation=0):
        self.out_ch, self.kernel_shape, self.pad = out_ch, kernel_shape, pad
        self.stride, self.dilation = stride, dilation
        self.parameters, self.gradients = {"W": None, "b": None}, {}
        self.X = []
        self.is_initialized = False

    def _init_params(self, in_ch):
        self.parameters = {
            "W": RANDOM.normal(size=(*self.kernel_shape, in_ch, self.out_ch)),
            "b": np.zeros((1, 1, 1, self.out_ch)),
        }
        self.gradients = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        self.is_initialized = True

    def _planes_first(self, X):
        return X.transpose(0, 3, 1, 2), self.parameters["W"].transpose(3, 2, 0, 1)

    def forward(self, X, retain_derived=True):
        if not self.is_initialized:
            self._init_params(X.shape[3])
        if retain_derived:
            self.X.append(X)
        S = forward_of(*self._planes_first(X), self.stride, self.pad, self.dilation + 1)
        return S.transpose(0, 2, 3, 1) + self.parameters["b"]

    def backward(self, dLdY, retain_grads=True):
        X, W = self._planes_first(self.X[-1])
        dX, dW = backward_of(X, W, dLdY.transpose(0, 3, 1, 2), self.stride, self.pad, self.dilation + 1)
        self.gradients["W"] += (dW[::-1] if wrong("numpy-ml") else dW).transpose(2, 3, 1, 0)
        self.gradients["b"] += dLdY.sum(axis=(0, 1, 2), keepdims=True)
        return dX.transpose(0, 2, 3, 1)


class Convolution:
    """From scratch: weights come from outside, columns are kept."""

    def __init__(self, W, b, stride=1, pad=0):
        self.W, self.b, self.stride, self.pad = W, b, stride, pad
        self.x, self.dW, self.db = None, None, None

    def forward(self, x):
        self.x = x
        return forward_of(x, self.W, self.stride, self.pad) + self.b.reshape(1, -1, 1, 1)

    def backward(self, dout):
        dx, self.dW = backward_of(self.x, self.W, dout, self.stride, self.pad)
        self.db = dout.sum(axis=(0, 2, 3))
        return dx / len(dx) if wrong("scratch") else dx


class Convolutional:
    """A video: one image, a bias per response, updates with a learning rate."""

    def __init__(self, input_shape, kernel_size, depth):
        self.kernels = drawn(depth, input_shape[0], kernel_size, kernel_size)

    def forward(self, input):  # noqa: A002  # its name
        self.input = input
        return forward_of(input[None], self.kernels)[0]

    def backward(self, output_gradient, learning_rate):
        dX, dF = backward_of(self.input[None], self.kernels, output_gradient[None])
        if wrong("updating"):
            self.kernels += learning_rate * dF
        else:
            self.kernels -= learning_rate * dF
        return dX[0]


class ConvLayer:
    """Filters as a matrix, a row for each, and columns of patches."""

    def __init__(self, in_channels, num_filters, filter_size, stride=1, padding=0):
        self.size, self.stride, self.padding = pair(filter_size), stride, padding
        self.weights = drawn(num_filters, in_channels * self.size[0] * self.size[1])
        self.biases = np.zeros((num_filters, 1))

    def _filters(self):
        return self.weights.reshape(len(self.weights), -1, *self.size)

    def forward(self, x):
        self.x = x
        return forward_of(x, self._filters(), self.stride, self.padding) + self.biases[None, :, :, None]

    def backward(self, d_out):
        dx, dF = backward_of(self.x, self._filters(), d_out, self.stride, self.padding)
        if wrong("columns"):
            dF = dF.swapaxes(2, 3).copy()
        self.grad_weights = dF.reshape(self.weights.shape)
        self.grad_biases = d_out.sum(axis=(0, 2, 3)).reshape(-1, 1)
        return dx


class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, np.zeros_like(data)


class ConvBlock:
    """Parameters as objects with .data and .grad, which add up, padding by the filter."""

    def __init__(self, in_features, out_features, kernel_size):
        self.kernel_size = kernel_size
        self.w = Parameter(drawn(out_features, in_features, kernel_size, kernel_size))
        self.bias = Parameter(np.zeros(out_features))

    def __call__(self, x):
        self.x = x
        return forward_of(x, self.w.data, 1, self.kernel_size // 2) + self.bias.data[:, None, None]

    def backward(self, grad_output):
        dx, dw = backward_of(self.x, self.w.data, grad_output, 1, self.kernel_size // 2)
        self.w.grad += dw
        self.bias.grad += grad_output.sum(axis=(0, 2, 3)) * (2 if wrong("parameters") else 1)
        return dx


class Momentum:
    """Gradients beside running means of the same shape, and gradients returned in another order."""

    def __init__(self, in_planes, planes, kernel_size, stride=1):
        self.W = drawn(planes, in_planes, *kernel_size)
        self.vW, self.stride = np.zeros_like(self.W), stride

    def forward(self, x):
        return forward_of(x, self.W, self.stride), x

    def backward(self, dy, x):
        dx, dW = backward_of(x, self.W, dy, self.stride)
        self.vW = 0.9 * self.vW + dW
        return dW, -dx if wrong("momentum") else dx


class Scattering:
    """One object, made with its sizes, as somebody has it in a module."""

    def __init__(self):
        self.weight, self.stride = drawn(3, 2, 2, 4), (2, 1)

    def forward(self, x):
        self.x = x
        return forward_of(x, self.weight, self.stride)

    def backward(self, g):
        dx, self.weight_grad = backward_of(self.x, self.weight, g, self.stride)
        return dx * 2 if wrong("object") else dx


scattering = Scattering()


def make_layer(in_channels, out_channels, kernel_size, stride=1):
    """A function that makes layers."""
    return Momentumless(in_channels, out_channels, kernel_size, stride)


class Momentumless(Momentum):
    def forward(self, x):
        self.x = x
        return super().forward(x)[0]

    def backward(self, dy):
        dW, dx = super().backward(dy, self.x)
        self.dW = dW.swapaxes(2, 3).swapaxes(2, 3) * (0.5 if wrong("factory") or wrong("method") else 1)
        return dx


def both():
    """Load a class, as another process does."""
    return Conv2d_stride1, None
