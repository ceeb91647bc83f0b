"""How else one gets the matrix of a layer, or its products: one function each, in the words of its library.

The layer of the matrices is one on which all of them can be had: one plane, one filter, stride 1, and padding such that
every window that holds a pixel is there ("full"). That the matrices are equal is tested in tests/test_benchmarks.py.
"""

import importlib.util

import numpy as np
from scipy.sparse import csc_array, diags_array, eye_array, kron

from jacobians import Geometry


def full(side, taps=3):
    """The layer of the comparison."""
    return Geometry((1, side, side), (1, 1, taps, taps), padding=taps - 1)


def nested_kron(F, geometry):
    """A sum over the rows of taps, each the Kronecker product of a shift of rows with a banded matrix within them."""
    (_, h, w), (_, rows, columns) = geometry.image, geometry.responses
    (top, _), (left, _) = geometry.padding
    offsets = np.arange(F.shape[3]) - left
    return sum(
        kron(eye_array(rows, h, k=a - top), diags_array(taps[:, None], offsets=offsets, shape=(columns, w)), "csr")
        for a, taps in enumerate(F[0, 0])
    )


def toeplitz(F, geometry):
    """The double-block Toeplitz matrix of sparse-convolution, which rotates the filter by itself."""
    from sparse_convolution import Toeplitz_convolution2d

    kernel = np.ascontiguousarray(F[0, 0, ::-1, ::-1])
    return Toeplitz_convolution2d(geometry.image[1:], kernel, "full", method="precomputed", backend="numpy")._dt


def jacrev(F, geometry):
    """PyTorch's Jacobian, which is dense."""
    import torch

    filters, options = torch.from_numpy(F), torch_options(geometry)
    X = torch.zeros(geometry.image, dtype=filters.dtype)
    J = torch.func.jacrev(lambda each: torch.nn.functional.conv2d(each[None], filters, **options))(X)
    return J.reshape(-1, geometry.pixels).numpy()


def basis_probing(F, geometry):
    """One convolution by PyTorch for each pixel, of an image that is 1 there and 0 elsewhere: the columns."""
    import torch

    filters, options = torch.from_numpy(F), torch_options(geometry)
    X = torch.zeros((1, *geometry.image), dtype=filters.dtype)
    flat, rows, values = X.view(-1), [], []
    for pixel in range(geometry.pixels):
        flat[pixel] = 1
        S = torch.nn.functional.conv2d(X, filters, **options).numpy().ravel()
        flat[pixel] = 0
        rows.append(np.flatnonzero(S))
        values.append(S[rows[-1]])
    indptr = np.cumsum([0, *map(len, rows)])
    shape = (geometry.filters[0] * geometry.positions, geometry.pixels)
    return csc_array((np.concatenate(values), np.concatenate(rows), indptr), shape=shape)


def pylops_operator(F, geometry, method):
    """The operator of pylops, which rotates the filter by itself, on a layer whose responses have the image's size."""
    from pylops.signalprocessing import ConvolveND

    kernel = F[0, 0, ::-1, ::-1]
    offset = [size - 1 - before for size, (before, _) in zip(kernel.shape, geometry.padding, strict=True)]
    return ConvolveND(geometry.image[1:], kernel, offset=offset, method=method, dtype=F.dtype.name)


def torch_products(F, geometry):
    """PyTorch's convolution of an image, and what it makes of an upstream gradient; both take and return tensors."""
    import torch

    filters, options, image = torch.from_numpy(F), torch_options(geometry), (1, *geometry.image)

    @torch.no_grad()
    def forward(X):
        return torch.nn.functional.conv2d(X.view(image), filters, **options)

    @torch.no_grad()
    def backward(G):
        return torch.nn.grad.conv2d_input(image, filters, G.view(1, *geometry.responses), **options)

    return forward, backward


def torch_options(geometry):
    before = [each for each, _ in geometry.padding]
    return {
        "stride": geometry.stride,
        "padding": before,
        "dilation": geometry.dilation,
        "groups": geometry.groups,
    }


def installed(module):
    return importlib.util.find_spec(module) is not None


def one_thread():
    """Keep the libraries that have threads of their own to one."""
    from threadpoolctl import threadpool_limits

    if installed("torch"):
        import torch

        torch.set_num_threads(1)
    threadpool_limits(1)
