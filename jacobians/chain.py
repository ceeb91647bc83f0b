"""Chains of layers, whole classifiers among them, and the Jacobian ∂s/∂X of what they compute.

A chain has its Jacobian in two forms, which are evidence for each other. As an operator it multiplies from the right,
``J v``, layer by layer from the image on, and from the left, ``vᵀ J``, layer by layer from the scores back, by the
convolution forms. As a matrix it is the product of the layers' explicit Jacobians. The two share the layers' values, at
which ReLU, maximum pooling and softmax are differentiated, and nothing else.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, eye_array
from scipy.sparse.linalg import LinearOperator

from jacobians.arguments import entries, integer, numeric
from jacobians.convolution import convolve
from jacobians.errors import DtypeError, ShapeError, TooLargeError
from jacobians.geometry import Geometry, check_geometry, check_shape
from jacobians.layers import (
    batch_norm,
    batch_norm_jacobian,
    fully_connected,
    fully_connected_jacobian_wrt_input,
    relu,
    relu_jacobian,
    softmax,
    softmax_jacobian,
)
from jacobians.matrices import jacobian_wrt_image
from jacobians.operators import layer_operator
from jacobians.pooling import (
    Padding,
    average_pool,
    average_pool_jacobian,
    check_pooling,
    chosen_by_windows,
    divided,
    maximum_pool_jacobian,
    place_counts,
    pooling_geometry,
    scatter,
)
from jacobians.sizes import check_bytes, check_int64, magnitude

__all__ = [
    "AveragePool",
    "BatchNorm",
    "Chain",
    "ChainJacobian",
    "Convolution",
    "Flatten",
    "FullyConnected",
    "Layer",
    "MaximumPool",
    "Products",
    "ReLU",
    "Softmax",
    "Sum",
]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
# Entries of what a layer computes of columns that are multiplied at once.
BLOCK_ENTRIES = 1 << 22
T = TypeVar("T")


class Products(NamedTuple):
    """What a layer computes of an image, and the products with its Jacobian J there.

    Attributes
    ----------
    value : ndarray
        The responses.
    right : callable
        V of shape (X.size, k) to J V of shape (value.size, k): of each column v the product J v, which autograd calls
        jvp.
    left : callable
        G of shape (value.size, k) to Jᵀ G of shape (X.size, k): of each column g the product gᵀ J, which autograd calls
        vjp.
    """

    value: Array
    right: Callable[[Array], Array]
    left: Callable[[Array], Array]


@runtime_checkable
class Layer(Protocol):
    """What a chain needs of a layer; a chain is itself one."""

    def responses(self, image: Shape) -> Shape:
        """Return the shape of the responses to an image of a shape, or raise ShapeError."""

    def products(self, X: Array) -> Products:
        """Compute the responses to X, and the products with the Jacobian at X by the convolution forms."""

    def matrix(self, X: Array, max_bytes: int | None = None) -> csr_array:
        """Build the Jacobian at X by the matrix forms: a row per response, a column per pixel."""


# the layers -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution layer, S_i = X ∗ F_i + b_i (L1, L2).

    Attributes
    ----------
    F : array_like, shape geometry.filters
        The filters.
    geometry : Geometry
        The layer.
    b : array_like, shape (n,), optional
        The bias.
    """

    F: npt.ArrayLike = field(repr=False)
    geometry: Geometry
    b: npt.ArrayLike | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_geometry(self.geometry).check_array("F", self.F, "filters")
        if self.b is not None:
            self.geometry.check_array("b", self.b, "bias")

    def responses(self, image: Shape) -> Shape:
        """Return geometry.responses."""
        return _same("the geometry", image, self.geometry.image, self.geometry.responses)

    def products(self, X: Array) -> Products:
        """Convolve X, directions, and with the rotated filters upstream gradients (L20)."""
        operator = layer_operator(self.F, self.geometry)
        return Products(convolve(X, self.F, self.geometry, bias=self.b), operator.matmat, operator.rmatmat)

    def matrix(self, X: Array, max_bytes: int | None = None) -> csr_array:
        """Build ∂vec(S)/∂vec(X) (L15), which does not depend on X."""
        return jacobian_wrt_image(self.F, self.geometry, max_bytes=max_bytes)


@dataclass(frozen=True, eq=False)
class ReLU:
    """max(0, X) (L3); its derivative at 0 is 0."""

    def responses(self, image: Shape) -> Shape:
        """Return the same shape."""
        return image

    def products(self, X: Array) -> Products:
        """Keep of directions and of upstream gradients what is positive in X (L6)."""
        kept = np.where(np.isnan(X), X, X > 0).astype(X.dtype).reshape(-1, 1)
        return Products(relu(X), lambda V: V * kept, lambda G: G * kept)

    def matrix(self, X: Array, max_bytes: int | None = None) -> csr_array:
        """Build diag(Ind(vec(X) > 0)) (L6)."""
        return relu_jacobian(X)


@dataclass(frozen=True, eq=False)
class MaximumPool:
    """Maximum pooling; where pixels of a window are equally large, the first in vec order has the derivative.

    Attributes
    ----------
    geometry : Geometry
        Of `jacobians.pooling.pooling_geometry`.
    """

    geometry: Geometry

    def __post_init__(self) -> None:
        check_pooling(self.geometry)

    def responses(self, image: Shape) -> Shape:
        """Return geometry.responses."""
        return _same("the geometry", image, self.geometry.image, self.geometry.responses)

    def products(self, X: Array) -> Products:
        """Choose the largest pixel of each window of X, and take the same pixels of directions."""
        chosen = chosen_by_windows(X, self.geometry)
        return Products(
            X.ravel()[chosen.pixels],
            lambda V: V[chosen.pixels.ravel()] * chosen.values.reshape(-1, 1),
            lambda G: scatter(G, chosen, self.geometry),
        )

    def matrix(self, X: Array, max_bytes: int | None = None) -> csr_array:
        """Build the matrix with a 1 in each row, chosen in the pixel table."""
        return maximum_pool_jacobian(X, self.geometry)


@dataclass(frozen=True, eq=False)
class AveragePool:
    """Average pooling.

    Attributes
    ----------
    geometry : Geometry
        Of `jacobians.pooling.pooling_geometry`.
    counted : int, sequence of int, sequence of pairs of int, optional
        How much of the padding counts as zeros of the mean, as of `jacobians.pooling.average_pool`.
    """

    geometry: Geometry
    counted: Padding | None = None

    def __post_init__(self) -> None:
        check_pooling(self.geometry)

    def responses(self, image: Shape) -> Shape:
        """Return geometry.responses."""
        return _same("the geometry", image, self.geometry.image, self.geometry.responses)

    def products(self, X: Array) -> Products:
        """Average X and directions, and share out upstream gradients, by convolution with ones."""
        counts = place_counts(self.geometry, self.counted)
        by_row = np.broadcast_to(counts, self.geometry.responses).reshape(-1, 1)
        sums = layer_operator(np.ones(self.geometry.filters, np.int8), self.geometry)
        return Products(
            average_pool(X, self.geometry, counted=self.counted),
            lambda V: divided(sums.matmat(V), by_row),
            lambda G: sums.rmatmat(divided(G, by_row)),
        )

    def matrix(self, X: Array, max_bytes: int | None = None) -> csr_array:
        """Build the matrix of the shares, in the pixel table; it depends on X only by its dtype."""
        dtype = X.dtype if X.dtype.kind == "f" else np.float64
        return average_pool_jacobian(self.geometry, counted=self.counted, dtype=dtype, max_bytes=max_bytes)


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """Batch normalisation in inference mode.

    Attributes
    ----------
    mean, variance : array_like, shape (d,)
        Running statistics, one per plane.
    weight, bias : array_like, shape (d,), optional
        γ and β; by default 1 and 0.
    eps : float
        ε, added to the variance.
    """

    mean: npt.ArrayLike = field(repr=False)
    variance: npt.ArrayLike = field(repr=False)
    weight: npt.ArrayLike | None = field(default=None, repr=False)
    bias: npt.ArrayLike | None = field(default=None, repr=False)
    eps: float = 1e-5

    def responses(self, image: Shape) -> Shape:
        """Return the same shape."""
        planes = np.shape(self.mean)[:1]
        return _same("mean", image, (*planes, *image[1:]), image)

    def products(self, X: Array) -> Products:
        """Normalise X; directions and upstream gradients are scaled alike, without mean and bias."""
        d = len(X)

        def scale(V: Array) -> Array:
            planes = batch_norm(V.reshape(d, -1), np.zeros(d, np.int8), self.variance, self.weight, eps=self.eps)
            return planes.reshape(V.shape)

        value = batch_norm(X, self.mean, self.variance, self.weight, self.bias, eps=self.eps)
        return Products(value, scale, scale)

    def matrix(self, X: Array, max_bytes: int | None = None) -> csr_array:
        """Build the diagonal matrix of weight / √(variance + ε), which depends on X only by its shape."""
        return batch_norm_jacobian(X.shape, self.variance, self.weight, eps=self.eps)


@dataclass(frozen=True, eq=False)
class Flatten:
    """vec(X): planes one after the other, each row by row. Its Jacobian is the identity."""

    def responses(self, image: Shape) -> Shape:
        """Return the shape of vec(X)."""
        return (math.prod(image),)

    def products(self, X: Array) -> Products:
        """Flatten X; directions and upstream gradients are in vec order already."""
        return Products(X.ravel(), lambda V: V, lambda G: G)

    def matrix(self, X: Array, max_bytes: int | None = None) -> csr_array:
        """Build the identity."""
        return _identity(X)


@dataclass(frozen=True, eq=False)
class FullyConnected:
    """s = W vec(X) + b (L3).

    Attributes
    ----------
    W : array_like, shape (C, m)
        The weights, a row per class and a column per entry of vec(X).
    b : array_like, shape (C,), optional
        The bias.
    """

    W: npt.ArrayLike = field(repr=False)
    b: npt.ArrayLike | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        fully_connected_jacobian_wrt_input(self.W)

    def responses(self, image: Shape) -> Shape:
        """Return (C,)."""
        C, m = np.shape(self.W)
        if math.prod(image) != m:
            raise ShapeError(f"W has shape {(C, m)}, for images of {m} entries, but the image has shape {image}")
        return (C,)

    def products(self, X: Array) -> Products:
        """Multiply by W, as the convolution of an image of one pixel with m planes (L5)."""
        W = np.asarray(self.W)[:, :, None]
        operator = layer_operator(W, Geometry((X.size, 1), W.shape))
        return Products(fully_connected(self.W, X, self.b), operator.matmat, operator.rmatmat)

    def matrix(self, X: Array, max_bytes: int | None = None) -> csr_array:
        """Return W as a sparse array, which does not depend on X (L5)."""
        W = fully_connected_jacobian_wrt_input(self.W)
        what = f"a sparse array of W, of shape {W.shape},"
        check_bytes(what, W.size * (W.itemsize + 8), "raise max_bytes", max_bytes)
        return csr_array(W)


@dataclass(frozen=True, eq=False)
class Softmax:
    """p = softmax(s) (L3)."""

    def responses(self, image: Shape) -> Shape:
        """Return the same shape."""
        if len(image) == 1:
            return image
        raise ShapeError(f"the image has shape {image}; softmax needs scores (C,): put Flatten() before it")

    def products(self, X: Array) -> Products:
        """Multiply by diag(p) − ppᵀ (L4), which is symmetric, without building it."""
        p = softmax(X)

        def multiply(V: Array) -> Array:
            return np.asarray(p[:, None] * V - np.outer(p, p @ V))

        return Products(p, multiply, multiply)

    def matrix(self, X: Array, max_bytes: int | None = None) -> csr_array:
        """Build diag(p) − ppᵀ (L4)."""
        return csr_array(softmax_jacobian(softmax(X)))


@dataclass(frozen=True, eq=False)
class Sum:
    """The sum of branches that begin at the same image, as in a residual block; ``Chain([])`` is a branch that skips.

    Attributes
    ----------
    branches : sequence of Layer
        Chains or single layers with responses of the same shape.

    Notes
    -----
    The Jacobian is the sum of the branches' Jacobians. He, Zhang, Ren and Sun, "Deep residual learning for image
    recognition", CVPR 2016.
    """

    branches: Sequence[Layer]

    def __post_init__(self) -> None:
        object.__setattr__(self, "branches", _layers("branches", self.branches))
        if not self.branches:
            raise ShapeError("branches is empty; it needs at least one chain: Sum([Chain([…]), Chain([])])")

    def responses(self, image: Shape) -> Shape:
        """Return the shape of each branch's responses."""
        found = self._of_each(lambda branch: branch.responses(image))
        for k, shape in enumerate(found):
            if shape != found[0]:
                raise ShapeError(
                    f"branches[{k}] has responses {shape} but branches[0] has {found[0]}; a sum needs the same shape"
                )
        return found[0]

    def products(self, X: Array) -> Products:
        """Add the branches' responses, and the products with their Jacobians."""
        found = self._of_each(lambda branch: branch.products(X))
        return Products(
            _add([each.value for each in found]),
            lambda V: _add([each.right(V) for each in found]),
            lambda G: _add([each.left(G) for each in found]),
        )

    def matrix(self, X: Array, max_bytes: int | None = None) -> csr_array:
        """Add the branches' Jacobians."""
        total, *others = self._of_each(lambda branch: _matrix_of(branch, X, max_bytes))
        for other in others:
            if np.result_type(total, other).kind == "i":
                most = magnitude(total.data) + magnitude(other.data)
                check_int64("an entry of the sum of the branches' Jacobians", most)
            total = csr_array(total + other)
        return total

    def _of_each(self, ask: Callable[[Layer], T]) -> list[T]:
        answers = []
        for k, branch in enumerate(self.branches):
            with _at(f"branches[{k}]", branch):
                answers.append(ask(branch))
        return answers


# chains ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Chain:
    """Layers one after the other; without any it is the identity.

    Parameters
    ----------
    layers : sequence of Layer
        From the image on: `Convolution`, `ReLU`, `MaximumPool`, `AveragePool`, `BatchNorm`, `Flatten`,
        `FullyConnected`, `Softmax`, `Sum` of branches, or further chains.

    Raises
    ------
    TypeError
        If an entry is no layer.

    Notes
    -----
    The chain rule (L13): ∂s/∂vec(X) is the product of the layers' Jacobians, each at what the layer before computes.
    Arrays are kept as they are, without a copy.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Geometry((1, 1, 4), (2, 1, 1, 2))
    >>> chain = Chain([Convolution(np.reshape([1, 2, -1, 1], layer.filters), layer), ReLU(), Flatten()])
    >>> X = np.array([[[1, 2, -3, 0]]])
    >>> chain(X)
    array([5, 0, 0, 1, 0, 3])
    >>> chain.matrix(X).toarray()
    array([[ 1,  2,  0,  0],
           [ 0,  0,  0,  0],
           [ 0,  0,  0,  0],
           [-1,  1,  0,  0],
           [ 0,  0,  0,  0],
           [ 0,  0, -1,  1]])
    >>> J = chain.operator(X)
    >>> J
    <6×4 ChainJacobian of int64: Convolution → ReLU → Flatten>
    >>> J @ [1, 0, 0, 0], [1, 0, 0, 0, 0, 2] @ J
    (array([ 1,  0,  0, -1,  0,  0]), array([ 1,  2, -2,  2]))
    """

    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", _layers("layers", self.layers))

    def __call__(self, X: npt.ArrayLike) -> Array:
        """Compute s, the responses of the last layer.

        Parameters
        ----------
        X : array_like
            The image, of the shape that the first layer needs: planes first, without a batch axis.

        Returns
        -------
        ndarray
            int64 for integers as long as the layers keep to integers: average pooling, batch normalisation and softmax
            give float64. Otherwise the dtype that NumPy gives to the operands.

        Raises
        ------
        ShapeError
            If X, or what a layer computes, does not fit the next layer, which is named.
        DtypeError
            If entries are neither integers nor real floating-point numbers.
        OverflowError
            If integers may leave int64.
        TooLargeError
            If it does not fit into memory.
        """
        return self.products(_image(X)).value

    def responses(self, image: Shape) -> Shape:
        """Return the shape of s for an image of a shape.

        Parameters
        ----------
        image : tuple of int
            ``X.shape``.

        Returns
        -------
        tuple of int
            ``s.shape``, found without any computation on images.

        Raises
        ------
        ShapeError
            As a call.
        """
        for k, layer in enumerate(self.layers):
            with _at(f"layers[{k}]", layer):
                image = layer.responses(image)
        return image

    def operator(self, X: npt.ArrayLike) -> ChainJacobian:
        """Return ∂vec(s)/∂vec(X) at X as an operator, which multiplies without a matrix.

        Parameters
        ----------
        X : array_like
            The image at which the chain is differentiated.

        Returns
        -------
        ChainJacobian
            A `scipy.sparse.linalg.LinearOperator` of shape (s.size, X.size) and the dtype of s.

        Raises
        ------
        ShapeError, DtypeError, OverflowError, TooLargeError
            As a call.
        """
        return ChainJacobian(self, X)

    def matrix(self, X: npt.ArrayLike, max_bytes: int | None = None) -> csr_array:
        """Build ∂vec(s)/∂vec(X) at X: the product of the layers' explicit Jacobians, from the last one to the first.

        Parameters
        ----------
        X : array_like
            The image at which the chain is differentiated.
        max_bytes : int, optional
            Largest matrix in bytes, of the result, of a layer's Jacobian and of a product on the way; by default the
            memory that is available.

        Returns
        -------
        csr_array, shape (s.size, X.size), dtype of s
            A row per entry of vec(s), a column per pixel. Where the chain has no derivative, it holds what the layers
            say: ReLU has 0 at 0, and a maximum gives all to the first of equal pixels.

        Raises
        ------
        ShapeError, DtypeError, OverflowError
            As a call; OverflowError also if an entry of a product of integers may leave int64, and DtypeError if
            scipy.sparse has no arrays of the dtype.
        TooLargeError
            If a matrix is larger than `max_bytes`; the operator takes no such memory.
        """
        X = _image(X)
        max_bytes = None if max_bytes is None else integer("max_bytes", max_bytes, least=0)
        try:
            return _product_of(self, X, max_bytes)
        except TooLargeError as error:
            found, _, _ = str(error).partition("; ")
            raise TooLargeError(
                "multiply by chain.operator(X), which needs no matrix, for this one is too large: "
                f"{found}; or raise max_bytes"
            ) from None

    @classmethod
    def of(
        cls,
        module: Any,
        image: Sequence[int],
        *,
        blocks: Mapping[type, Callable[[Any], Any]] | None = None,
    ) -> Chain:
        """Read a classifier that is written in PyTorch.

        Parameters
        ----------
        module : torch.nn.Sequential, other torch.nn.Module, list or tuple
            Convolutions, ReLU, maximum and average pooling, adaptive average pooling to sizes that divide the image's,
            batch normalisation, dropout, Flatten, Linear and Softmax, alone or in a Sequential; a list of such, which
            is read as a Sequential; or a tuple of lists, which is read as the sum of these branches.
        image : sequence of int
            Shape of one image, (d, *spatial), without the batch axis.
        blocks : mapping of type to callable, optional
            For modules whose ``forward`` says more than a Sequential can: how each such class is made of others, as a
            function of the module that returns a list.

        Returns
        -------
        Chain
            With copies of the weights.

        Raises
        ------
        TypeError
            If a module is not supported, with its path in the model.
        ModuleNotFoundError
            If PyTorch is not installed.
        ValueError
            If a module has an option that is not supported, or is in training mode and so does not compute the same of
            an image twice.
        ShapeError
            If the modules do not fit the image, or each other.

        Examples
        --------
        A residual block ``relu(conv2(relu(conv1(x))) + x)`` is read with
        ``blocks={Block: lambda block: [([block.conv1, block.relu, block.conv2], []), block.relu]}``.
        """
        return cls(_read(module, check_shape("image", image, "(d, *spatial)"), "module", blocks or {}))

    def products(self, X: Array) -> Products:
        """Compute s, and the products with the Jacobian at X, layer by layer."""
        X = _image(X)
        self.responses(X.shape)
        value, rights, lefts = X, [], []
        for k, layer in enumerate(self.layers):
            with _at(f"layers[{k}]", layer):
                value, right, left = layer.products(value)
            rights.append(right)
            lefts.append(left)
        return Products(value, _composed(rights), _composed(lefts[::-1]))


class ChainJacobian(LinearOperator):
    """∂vec(s)/∂vec(X) of a chain at one image, as an operator.

    Attributes
    ----------
    chain : Chain
        The chain.
    value : ndarray
        s, what the chain computes of the image.
    shape : tuple of int
        (s.size, X.size).
    dtype : dtype
        Of s.

    Notes
    -----
    ``J @ v`` goes through the layers from the image on, as autograd's jvp, and ``v @ J`` or ``J.T @ v`` from the
    scores back, as its vjp. A product costs what the chain costs, and holds no matrix: the solvers of
    `scipy.sparse.linalg` run where the matrix fits on no machine.
    """

    def __init__(self, chain: Chain, X: npt.ArrayLike) -> None:
        X = _image(X).copy()
        self.chain, self._X = chain, X
        self.value, self._right, self._left = chain.products(X)
        shapes = itertools.accumulate(chain.layers, lambda image, layer: layer.responses(image), initial=X.shape)
        self._step = max(1, BLOCK_ENTRIES // max(map(math.prod, shapes)))
        super().__init__(self.value.dtype, (self.value.size, X.size))  # type: ignore[call-arg]  # the stubs know only how functions make one

    def __repr__(self) -> str:
        rows, columns = self.shape
        kinds = [type(layer).__name__ for layer in self.chain.layers] or ["the identity"]
        if len(kinds) > 9:
            kinds[4:-4] = ["…"]
        return f"<{rows}×{columns} {type(self).__name__} of {self.dtype}: {' → '.join(kinds)}>"

    def matrix(self, max_bytes: int | None = None) -> csr_array:
        """Build the matrix, as `Chain.matrix` does.

        Parameters
        ----------
        max_bytes : int, optional
            Largest matrix in bytes; by default the memory that is available.

        Returns
        -------
        csr_array, of the operator's shape and dtype
            The product of the layers' explicit Jacobians: nothing of it is computed by this operator's products.

        Raises
        ------
        TooLargeError
            As `Chain.matrix`.
        """
        return self.chain.matrix(self._X, max_bytes)

    def _matmat(self, V: Array) -> Array:
        return self._in_blocks(self._right, _image(V, "V"))

    def _rmatmat(self, G: Array) -> Array:
        return self._in_blocks(self._left, _image(G, "G"))

    def _rmatvec(self, g: Array) -> Array:
        return self._rmatmat(g.reshape(-1, 1)).ravel()

    def _in_blocks(self, product: Callable[[Array], Array], columns: Array) -> Array:
        """Multiply so many columns at a time that what the layers make of them stays in bounds."""
        starts = range(0, max(columns.shape[1], 1), self._step)
        return np.concatenate([product(columns[:, first : first + self._step]) for first in starts], axis=1)


def _composed(functions: Sequence[Callable[[Array], Array]]) -> Callable[[Array], Array]:
    def composed(A: Array) -> Array:
        for function in functions:
            A = function(A)
        return A

    return composed


def _product_of(chain: Chain, X: Array, max_bytes: int | None) -> csr_array:
    """Multiply the layers' Jacobians, beginning with the last, which has the fewest rows in a classifier."""
    chain.responses(X.shape)
    nodes = [X]
    for k, layer in enumerate(chain.layers):
        with _at(f"layers[{k}]", layer):
            nodes.append(layer.products(nodes[-1]).value)
    product: csr_array | None = None
    for k, layer in reversed(list(enumerate(chain.layers))):
        with _at(f"layers[{k}]", layer):
            factor = _matrix_of(layer, nodes[k], max_bytes)
            product = factor if product is None else _multiply(product, factor, max_bytes)
    product = csr_array((_identity(X) if product is None else product).astype(nodes[-1].dtype, copy=False))
    product.sum_duplicates()
    return product


def _matrix_of(layer: Layer, X: Array, max_bytes: int | None) -> csr_array:
    """Build a layer's Jacobian; integers as int64, because scipy multiplies int8 by int8 in int8."""
    matrix = _product_of(layer, X, max_bytes) if isinstance(layer, Chain) else layer.matrix(X, max_bytes)
    needed = sum(each.nbytes for each in (matrix.data, matrix.indices, matrix.indptr))
    check_bytes(f"its Jacobian, of shape {matrix.shape},", needed, "raise max_bytes", max_bytes)
    return csr_array(matrix.astype(np.int64 if matrix.dtype.kind in "iu" else matrix.dtype, copy=False))


def _multiply(A: csr_array, B: csr_array, max_bytes: int | None) -> csr_array:
    """Multiply two Jacobians, unless the product may be too large, or its integers may be."""
    shape = (A.shape[0], B.shape[1])
    # A row of the product has no more entries than the rows of B together that it is a sum of.
    most = min(math.prod(shape), int(np.diff(B.indptr).astype(np.int64)[A.indices].sum()))
    needed = most * (np.result_type(A, B).itemsize + (4 if max(most, *shape) < 2**31 else 8))
    check_bytes(f"the product of the Jacobians from here on, of shape {shape},", needed, "raise max_bytes", max_bytes)
    if np.result_type(A, B).kind == "i":
        terms = magnitude(np.diff(A.indptr))
        check_int64("an entry of the product of Jacobians", magnitude(A.data) * magnitude(B.data) * terms)
    return csr_array(A @ B)


def _identity(X: Array) -> csr_array:
    return csr_array(eye_array(X.size, dtype=X.dtype, format="csr"))


# arguments ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _at(place: str, layer: object) -> Iterator[None]:
    """Say in which layer an error arose."""
    try:
        yield
    except (ShapeError, DtypeError, OverflowError, TooLargeError, ValueError) as error:
        raise type(error)(f"{place}, {type(layer).__name__}: {error}") from None


def _layers(name: str, layers: object) -> tuple[Layer, ...]:
    given = entries(name, layers, "a list of layers, such as [Convolution(F, geometry), ReLU()]")
    for k, layer in enumerate(given):
        if isinstance(layer, type) or not isinstance(layer, Layer):
            what = f"is the class {layer.__name__}" if isinstance(layer, type) else f"has type {type(layer).__name__}"
            raise TypeError(
                f"{name}[{k}] {what}; it needs a layer of jacobians.chain, such as ReLU(): Chain.of reads modules "
                "of PyTorch"
            )
    return tuple(given)


def _image(X: npt.ArrayLike, name: str = "X") -> Array:
    """Return an array of numbers; integers as int64, so that no layer's sums wrap in a narrower dtype."""
    X = numeric(name, X)
    if X.dtype.kind == "f":
        return X
    check_int64(name, magnitude(X))
    return X.astype(np.int64)


def _same(what: str, image: Shape, needed: Shape, responses: Shape) -> Shape:
    if tuple(image) == tuple(needed):
        return responses
    raise ShapeError(f"the image has shape {tuple(image)} but {what} needs {tuple(needed)}")


def _add(arrays: Sequence[Array]) -> Array:
    if all(array.dtype.kind in "iu" for array in arrays):
        check_int64("the sum of the branches", sum(map(magnitude, arrays)))
    return np.asarray(sum(arrays[1:], start=arrays[0]))


# from PyTorch ---------------------------------------------------------------------------------------------------------


def _torch_nn() -> Any:
    try:
        from torch import nn
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "PyTorch's modules need torch: pip install 'jacobians[torch]'", name="torch"
        ) from error
    return nn


def _read(part: Any, image: Shape, path: str, blocks: Mapping[type, Callable[[Any], Any]]) -> list[Layer]:
    """Read a module, a list of modules one after the other, or a tuple of branches that are added."""
    nn = _torch_nn()
    if isinstance(part, tuple):
        branches = [Chain(_read(each, image, f"{path}[{k}]", blocks)) for k, each in enumerate(part)]
        with _at(path, part):
            return _fitting([Sum(branches)], image)
    if type(part) in blocks:
        return _read(blocks[type(part)](part), image, path, blocks)
    if isinstance(part, nn.Sequential) and _computes_as(part, nn.Sequential):
        _check_module(part, path)
        inside = [(f"{path}.{name}", each) for name, each in part.named_children()]
    elif isinstance(part, list):
        inside = [(f"{path}[{k}]", each) for k, each in enumerate(part)]
    else:
        return _read_layer(part, image, path)
    layers: list[Layer] = []
    for name, each in inside:
        found = _read(each, image, name, blocks)
        image = Chain(found).responses(image)
        layers += found
    return layers


def _read_layer(module: Any, image: Shape, path: str) -> list[Layer]:
    """Read a single layer; none where it leaves an image as it is."""
    nn = _torch_nn()
    readers: dict[Callable[[Any, Shape], list[Layer]], tuple[Any, ...]] = {
        _read_convolution: (nn.Conv1d, nn.Conv2d, nn.Conv3d),
        _read_maximum_pool: (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
        _read_average_pool: (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
        _read_adaptive_pool: (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
        _read_batch_norm: (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
        _read_linear: (nn.Linear,),
        _read_flatten: (nn.Flatten,),
        _read_softmax: (nn.Softmax,),
        lambda module, image: [ReLU()]: (nn.ReLU,),
        _read_dropout: (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
        lambda module, image: []: (nn.Identity,),
    }
    for reader, kinds in readers.items():
        # A class that inherits from a layer and computes something else is another layer.
        if any(isinstance(module, kind) and _computes_as(module, kind) for kind in kinds):
            _check_module(module, path)
            with _at(path, module):
                return _fitting(reader(module, image), image)
    known = ", ".join(kind.__name__ for kind in itertools.chain((nn.Sequential,), *readers.values()))
    raise TypeError(
        f"{path} has type {type(module).__name__}, of which no Jacobian is known; it needs one of {known}: give "
        "blocks={…}, which says how the class is made of these"
    )


def _fitting(layers: list[Layer], image: Shape) -> list[Layer]:
    """Return layers that fit an image."""
    for layer in layers:
        layer.responses(image)
    return layers


def _computes_as(module: Any, kind: Any) -> bool:
    """Whether a class that may inherit from a kind of layer has no forward pass of its own."""
    names = ("forward", "_conv_forward")
    return all(getattr(type(module), name, None) is getattr(kind, name, None) for name in names)


def _check_module(module: Any, path: str) -> None:
    """Refuse a module that has no weights yet, and one that computes something else by its hooks."""
    if any(map(_torch_nn().parameter.is_lazy, module.parameters(recurse=False))):
        raise ValueError(f"{path}, {type(module).__name__}, has no weights yet; call the model once on an image")
    if module._forward_hooks or module._forward_pre_hooks:  # noqa: SLF001  # PyTorch has no public way to ask
        raise ValueError(
            f"{path}, {type(module).__name__}, has forward hooks, which may change what it computes; it needs none: "
            "remove them, or what put them there (torch.nn.utils.remove_weight_norm)"
        )


def _check_option(name: str, value: object, *allowed: object) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it needs {' or '.join(map(repr, allowed))}")


def _numbers(tensor: Any) -> Any:
    """Return a copy of a tensor's entries, half precision and less as float32 with the same values; None as None."""
    if tensor is None:
        return None
    tensor = tensor.detach().cpu()
    return np.array((tensor.float() if tensor.is_floating_point() and tensor.itemsize <= 2 else tensor).numpy())


def _read_convolution(module: Any, image: Shape) -> list[Layer]:
    geometry = Geometry.of(module, image)
    return [Convolution(_numbers(module.weight), geometry, _numbers(module.bias))]


def _read_maximum_pool(module: Any, image: Shape) -> list[Layer]:
    _check_option("return_indices", module.return_indices, False)
    names = ("stride", "padding", "dilation", "ceil_mode")
    return [MaximumPool(pooling_geometry(image, module.kernel_size, **{name: getattr(module, name) for name in names}))]


def _read_average_pool(module: Any, image: Shape) -> list[Layer]:
    _check_option("divisor_override", getattr(module, "divisor_override", None), None)
    names = ("stride", "padding", "ceil_mode")
    geometry = pooling_geometry(image, module.kernel_size, **{name: getattr(module, name) for name in names})
    return [AveragePool(geometry, counted=module.padding if module.count_include_pad else 0)]


def _read_adaptive_pool(module: Any, image: Shape) -> list[Layer]:
    """Read it as average pooling with windows that touch, which it is where they are equally large."""
    given, sizes = module.output_size, image[1:]
    wanted = tuple(given) if isinstance(given, Sequence) else (given,) * len(sizes)
    out = [size if each is None else each for each, size in zip(wanted, sizes, strict=True)]
    if any(size % each for size, each in zip(sizes, out, strict=True)):
        raise ShapeError(
            f"output_size is {given} but the image has shape {image}; each size needs to divide the image's"
        )
    return [AveragePool(pooling_geometry(image, [size // each for size, each in zip(sizes, out, strict=True)]))]


def _read_batch_norm(module: Any, image: Shape) -> list[Layer]:
    _check_option("training", module.training, False)
    if module.running_mean is None:
        raise ValueError("track_running_stats is False, so that it normalises by each mini-batch; it needs True")
    statistics = _numbers(module.running_mean), _numbers(module.running_var)
    return [BatchNorm(*statistics, _numbers(module.weight), _numbers(module.bias), module.eps)]


def _read_linear(module: Any, image: Shape) -> list[Layer]:
    if len(image) != 1:
        raise ShapeError(f"the image has shape {image}, of which it takes the last axis alone; put Flatten before it")
    return [FullyConnected(_numbers(module.weight), _numbers(module.bias))]


def _read_flatten(module: Any, image: Shape) -> list[Layer]:
    _check_option("start_dim", module.start_dim, 1)
    _check_option("end_dim", module.end_dim, -1, len(image))
    return [Flatten()]


def _read_softmax(module: Any, image: Shape) -> list[Layer]:
    _check_option("dim", module.dim, 1, -1)
    return [Softmax()]


def _read_dropout(module: Any, image: Shape) -> list[Layer]:
    _check_option("training", module.training, False)
    return []
