"""The networks of the lecture: convolutions with ReLU, then fully connected, softmax and cross-entropy (L3, L13, L23).

The same gradients are computed in two ways: by the chain of explicit Jacobians, a row vector times one matrix after the
other from the loss backwards, and by convolutions. The two ways share the forward pass and ∂l/∂s, and nothing else.

A mini-batch is treated as one more spatial axis, along which the filters have a single tap: the Jacobian of that layer
with respect to its filters has the rows of all images, and one product sums the gradients of the images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jacobians.arguments import instance, numeric, real, seed_of, shown, word
from jacobians.chain import Chain, ChainJacobian, Convolution, FullyConnected, Layer, ReLU
from jacobians.convolution import bias_gradient, convolve, filter_gradient, input_gradient
from jacobians.errors import DtypeError, ShapeError
from jacobians.geometry import Geometry, check_geometries
from jacobians.layers import (
    check_classes,
    check_strength,
    cross_entropy,
    cross_entropy_gradient,
    fully_connected,
    fully_connected_jacobian_wrt_bias,
    fully_connected_jacobian_wrt_input,
    fully_connected_jacobian_wrt_weights,
    l2_gradient,
    l2_penalty,
    relu,
    relu_jacobian,
    softmax,
)
from jacobians.matrices import jacobian_wrt_bias, jacobian_wrt_filters, jacobian_wrt_image
from jacobians.sizes import check_bytes

__all__ = ["Network"]

Array = npt.NDArray[Any]
Form = Literal["jacobians", "convolutions"]


@dataclass(frozen=True)
class Network:
    """Convolution layers, each followed by ReLU, then fully connected, softmax and cross-entropy.

    Parameters
    ----------
    layers : sequence of Geometry
        One for each convolution layer, beginning at the image. The image of each layer is the responses of the layer
        before.
    classes : int
        C, the number of scores.
    l2 : float
        λ, the weight of the ℓ₂ penalty on the weights F1, F2, …, W, but not on the biases.

    Attributes
    ----------
    layers, classes, l2
        As given, the layers as a tuple.

    Raises
    ------
    ShapeError
        If there are no layers, no classes, or a layer's image is not the responses of the layer before.
    TypeError
        If a layer is not a Geometry.
    ValueError
        If `l2` is negative or not finite.

    Notes
    -----
    Parameters are a plain dict of arrays: ``"F1"``, ``"b1"``, ``"F2"``, ``"b2"``, …, ``"W"``, ``"b"``. The nodes of the
    computational graph are named as in the lecture, with the image as X0: ``X0 → S1 → X1 → S2 → X2 → … → s → p → l``.

    Examples
    --------
    >>> network = Network([Geometry((1, 8, 8), (6, 1, 3, 3)), Geometry((6, 6, 6), (10, 6, 3, 3))], 10)
    >>> network.shapes
    {'F1': (6, 1, 3, 3), 'b1': (6,), 'F2': (10, 6, 3, 3), 'b2': (10,), 'W': (10, 160), 'b': (10,)}
    """

    layers: Sequence[Geometry]
    classes: int
    _: KW_ONLY
    l2: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(check_geometries(self.layers, "layers")))
        object.__setattr__(self, "classes", check_classes(self.classes))
        object.__setattr__(self, "l2", check_strength("l2", self.l2))
        if not self.layers:
            raise ShapeError("layers is empty; it needs at least one Geometry")
        for k, (before, layer) in enumerate(zip(self.layers, self.layers[1:], strict=False), start=1):
            if layer.image != before.responses:
                raise ShapeError(
                    f"layers[{k}] has images {layer.image} but layers[{k - 1}] has responses {before.responses}; "
                    f"layers[{k}] needs Geometry({before.responses}, …)"
                )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter, in order."""
        shapes: dict[str, tuple[int, ...]] = {}
        for k, layer in enumerate(self.layers, start=1):
            shapes |= {f"F{k}": layer.filters, f"b{k}": layer.filters[:1]}
        return shapes | {"W": (self.classes, math.prod(self.layers[-1].responses)), "b": (self.classes,)}

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the parameters with an ℓ₂ penalty: all but the biases."""
        return (*(f"F{k}" for k in range(1, len(self.layers) + 1)), "W")

    @property
    def biases(self) -> tuple[str, ...]:
        """Names of the biases, in the order of their weights."""
        return (*(f"b{k}" for k in range(1, len(self.layers) + 1)), "b")

    def parameters(self, seed: int) -> dict[str, Array]:
        """Draw initial parameters.

        Parameters
        ----------
        seed : int
            Seed of the random numbers; the same seed draws the same parameters.

        Returns
        -------
        dict of ndarray of float64
            Weights have the normal distribution of variance 2/m, where m is the number of entries that one output sums
            (He et al., ICCV 2015). Biases are uniform between −1/√m and 1/√m and not 0, so that code which ignores
            them is noticed.

        Raises
        ------
        ValueError
            If the seed is not an integer of at least 0.
        TooLargeError
            If the parameters do not fit into memory.
        """
        generator = np.random.default_rng(seed_of(seed))
        count = sum(map(math.prod, self.shapes.values()))
        check_bytes(f"a draw of {count} parameters", count * 8, "take fewer or smaller layers")
        drawn: dict[str, Array] = {}
        for weight, bias in zip(self.weights, self.biases, strict=True):
            m = math.prod(self.shapes[weight][1:])
            drawn[weight] = generator.normal(0, math.sqrt(2 / m), self.shapes[weight])
            drawn[bias] = generator.uniform(-1 / math.sqrt(m), 1 / math.sqrt(m), self.shapes[bias])
        return drawn

    # one image --------------------------------------------------------------------------------------------------------

    def trace(self, parameters: Mapping[str, npt.ArrayLike], X: npt.ArrayLike, y: npt.ArrayLike) -> dict[str, Any]:
        """Compute every node of the computational graph, for one image (L3, L13).

        Parameters
        ----------
        parameters : mapping of str to array_like
            All parameters, of the shapes in `shapes`.
        X : array_like, shape layers[0].image
            The image.
        y : array_like, shape (classes,)
            The label of the image, one-hot.

        Returns
        -------
        dict of str to ndarray, and "l" to float
            In order: ``"X0"``, ``"S1"``, ``"X1"``, …, ``"s"``, ``"p"``, ``"l"``. ``Sk = X(k−1) ∗ Fk + bk``,
            ``Xk = max(0, Sk)``, ``s = W vec(Xk) + b``, ``p = softmax(s)``, ``l = −log(yᵀp)`` without the ℓ₂ penalty.

        Raises
        ------
        ShapeError
            If an array has another shape, or a parameter is missing or unknown.
        DtypeError
            If a parameter is not of floating point, or entries are not real numbers.
        ValueError
            If y is not one-hot.
        """
        parameters = self._check_parameters(parameters)
        X, y = self.layers[0].check_array("X", X, "image"), self._check_labels("y", numeric("y", y)[None], 1)[0]
        nodes = {name: node[0] for name, node in self._forward(parameters, X[None]).items()}
        return nodes | {"p": softmax(nodes["s"]), "l": cross_entropy(nodes["s"], y)}

    def gradients_by_jacobians(
        self, parameters: Mapping[str, npt.ArrayLike], X: npt.ArrayLike, y: npt.ArrayLike
    ) -> dict[str, Array]:
        """Compute the gradient of one image's loss l by the chain of explicit Jacobians (L4 … L10, L13 … L16, L21).

        Parameters
        ----------
        parameters : mapping of str to array_like
            All parameters, of the shapes in `shapes`.
        X : array_like, shape layers[0].image
            The image.
        y : array_like, shape (classes,)
            The label of the image, one-hot.

        Returns
        -------
        dict of ndarray
            The gradient with respect to every parameter and, as ``"X"``, to the image, each of the same shape; without
            the ℓ₂ penalty. For two layers ``∂l/∂vec(F1) = ∂l/∂s · W · diag(Ind(vec(S2) > 0)) · ∂vec(S2)/∂vec(X1) ·
            diag(Ind(vec(S1) > 0)) · ∂vec(S1)/∂vec(F1)``, multiplied from the left.

        Raises
        ------
        ShapeError, DtypeError, ValueError
            As in `trace`.
        """
        nodes = self.trace(parameters, X, y)
        return self.pull_back(parameters, nodes, cross_entropy_gradient(nodes["s"], y), by="jacobians")

    def gradients_by_convolutions(
        self, parameters: Mapping[str, npt.ArrayLike], X: npt.ArrayLike, y: npt.ArrayLike
    ) -> dict[str, Array]:
        """Compute the gradient of one image's loss l by convolutions (L12, L20, L21).

        Parameters
        ----------
        parameters : mapping of str to array_like
            All parameters, of the shapes in `shapes`.
        X : array_like, shape layers[0].image
            The image.
        y : array_like, shape (classes,)
            The label of the image, one-hot.

        Returns
        -------
        dict of ndarray
            As in `gradients_by_jacobians`.

        Raises
        ------
        ShapeError, DtypeError, ValueError
            As in `trace`.
        """
        nodes = self.trace(parameters, X, y)
        return self.pull_back(parameters, nodes, cross_entropy_gradient(nodes["s"], y), by="convolutions")

    def pull_back(
        self,
        parameters: Mapping[str, npt.ArrayLike],
        trace: Mapping[str, Any],
        upstream: npt.ArrayLike,
        by: Form = "jacobians",
    ) -> dict[str, Array]:
        """Propagate ∂l/∂s back through the network, for one image and any loss of the scores.

        Parameters
        ----------
        parameters : mapping of str to array_like
            The parameters of the trace.
        trace : mapping
            The result of `trace`, of which ``"X0"``, ``"S1"``, ``"X1"``, … are used.
        upstream : array_like, shape (classes,)
            The row vector ∂l/∂s.
        by : {"jacobians", "convolutions"}
            How the gradients are computed.

        Returns
        -------
        dict of ndarray
            As in `gradients_by_jacobians`.

        Raises
        ------
        ShapeError
            As in `trace`, and if `upstream` has another shape.
        DtypeError
            As in `trace`.
        ValueError
            If `by` is neither of these.
        """
        parameters = self._check_parameters(parameters)
        upstream = numeric("upstream", upstream)
        if upstream.shape != (self.classes,):
            raise ShapeError(f"upstream has shape {upstream.shape}; it needs {(self.classes,)}, one entry per class")
        nodes = self._check_trace(trace)
        gradients = self._backward(parameters, nodes, upstream[None], by, image=True)
        return gradients | {"X": gradients["X"][0]}

    def chain(self, parameters: Mapping[str, npt.ArrayLike]) -> Chain:
        """Return the chain of layers from the image to the scores s, with these parameters.

        Parameters
        ----------
        parameters : mapping of str to array_like
            All parameters, of the shapes in `shapes`.

        Returns
        -------
        Chain
            Convolution and ReLU for each layer, then fully connected.

        Raises
        ------
        ShapeError, DtypeError
            As `trace`.
        """
        parameters = self._check_parameters(parameters)
        layers: list[Layer] = []
        for k, layer in enumerate(self.layers, start=1):
            layers += [Convolution(parameters[f"F{k}"], layer, parameters[f"b{k}"]), ReLU()]
        return Chain([*layers, FullyConnected(parameters["W"], parameters["b"])])

    def jacobian(self, parameters: Mapping[str, npt.ArrayLike], X: npt.ArrayLike) -> ChainJacobian:
        """Return ∂s/∂vec(X) at an image: what every score changes by, pixel by pixel (L13 … L16).

        Parameters
        ----------
        parameters : mapping of str to array_like
            All parameters, of the shapes in `shapes`.
        X : array_like, shape layers[0].image
            The image.

        Returns
        -------
        ChainJacobian, shape (classes, pixels)
            An operator, which multiplies by convolutions; ``.matrix()`` multiplies the explicit Jacobians
            ``W · diag(Ind(vec(S2) > 0)) · ∂vec(S2)/∂vec(X1) · …`` out.

        Raises
        ------
        ShapeError, DtypeError
            As `trace`.
        """
        return self.chain(parameters).operator(self.layers[0].check_array("X", X, "image"))

    # mini-batches -----------------------------------------------------------------------------------------------------

    def cost(self, parameters: Mapping[str, npt.ArrayLike], images: npt.ArrayLike, labels: npt.ArrayLike) -> float:
        """Compute the training cost of a mini-batch: the mean of l over its images, plus λ Σ‖·‖² over the weights (L3).

        Parameters
        ----------
        parameters : mapping of str to array_like
            All parameters, of the shapes in `shapes`.
        images : array_like, shape (N, *layers[0].image)
            The images.
        labels : array_like, shape (N, classes)
            The labels: a one-hot row per image.

        Returns
        -------
        float
            The cost.

        Raises
        ------
        ShapeError, DtypeError, ValueError
            As in `trace`.
        """
        parameters = self._check_parameters(parameters)
        images, labels = self._check_batch(images, labels)
        scores = self._forward(parameters, images)["s"]
        mean = sum(map(cross_entropy, scores, labels)) / len(images)
        return mean + l2_penalty([parameters[name] for name in self.weights], self.l2)

    def batch_gradients(
        self,
        parameters: Mapping[str, npt.ArrayLike],
        images: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        by: Form = "jacobians",
    ) -> dict[str, Array]:
        """Compute the gradient of `cost`: the mean of the images' gradients, plus 2λ·weight (L22).

        Parameters
        ----------
        parameters : mapping of str to array_like
            All parameters, of the shapes in `shapes`.
        images : array_like, shape (N, *layers[0].image)
            The images.
        labels : array_like, shape (N, classes)
            The labels: a one-hot row per image.
        by : {"jacobians", "convolutions"}
            How the gradients are computed.

        Returns
        -------
        dict of ndarray
            The gradient with respect to every parameter, of its shape.

        Raises
        ------
        ShapeError, DtypeError, ValueError
            As in `trace`, and ValueError if `by` is neither of these.
        """
        parameters = self._check_parameters(parameters)
        images, labels = self._check_batch(images, labels)
        nodes = self._forward(parameters, images)
        upstream = np.stack(list(map(cross_entropy_gradient, nodes["s"], labels)))
        sums = self._backward(parameters, nodes, upstream, by, image=False)
        gradients = {name: sums[name] / len(images) for name in self.shapes}
        return gradients | {name: gradients[name] + l2_gradient(parameters[name], self.l2) for name in self.weights}

    def step(
        self,
        parameters: Mapping[str, npt.ArrayLike],
        images: npt.ArrayLike,
        labels: npt.ArrayLike,
        rate: float,
    ) -> dict[str, Array]:
        """Take one step of mini-batch gradient descent, by explicit Jacobians (L22).

        Parameters
        ----------
        parameters : mapping of str to array_like
            All parameters, of the shapes in `shapes`; they are not changed.
        images : array_like, shape (N, *layers[0].image)
            The images.
        labels : array_like, shape (N, classes)
            The labels: a one-hot row per image.
        rate : float
            The learning rate, positive.

        Returns
        -------
        dict of ndarray
            New parameters, each ``parameter − rate · gradient``.

        Raises
        ------
        ShapeError, DtypeError
            As in `trace`.
        ValueError
            As in `trace`, and if `rate` is not positive and finite.
        """
        if not 0 < real(rate) < math.inf:
            raise ValueError(
                f"rate is {shown(rate)}; it needs a positive finite number, because the gradient is subtracted"
            )
        parameters = self._check_parameters(parameters)
        gradients = self.batch_gradients(parameters, images, labels)
        return {name: parameters[name] - float(rate) * gradient for name, gradient in gradients.items()}

    def predict(self, parameters: Mapping[str, npt.ArrayLike], images: npt.ArrayLike) -> npt.NDArray[np.intp]:
        """Return the class of the largest score of each image.

        Parameters
        ----------
        parameters : mapping of str to array_like
            All parameters, of the shapes in `shapes`.
        images : array_like, shape (N, *layers[0].image)
            The images.

        Returns
        -------
        ndarray of int, shape (N,)
            Classes, counted from 0.

        Raises
        ------
        ShapeError, DtypeError
            As in `trace`.
        ValueError
            If a score is NaN: then no class has the largest score.
        """
        parameters = self._check_parameters(parameters)
        scores = self._forward(parameters, self._check_images(images))["s"]
        undefined = np.flatnonzero(np.isnan(scores).any(axis=1))
        if undefined.size:
            raise ValueError(
                f"the scores of images[{undefined[0]}] are {scores[undefined[0]].tolist()}, and of {undefined.size} of "
                f"{len(scores)} images are NaN; predict needs numbers: look for NaN in the images and parameters, and "
                "use a smaller learning rate if training diverged"
            )
        return np.asarray(np.argmax(scores, axis=1))

    # passes over a mini-batch, whose nodes have the images as first axis ----------------------------------------------

    def _forward(self, parameters: Mapping[str, Array], images: Array) -> dict[str, Array]:
        nodes, H = {"X0": images}, images
        for k, layer in enumerate(self.layers, start=1):
            F, b = parameters[f"F{k}"], parameters[f"b{k}"]
            S = convolve(_swap(H), np.expand_dims(F, 2), _batch(layer, len(images)), bias=b)
            nodes[f"S{k}"] = _swap(S)
            nodes[f"X{k}"] = H = relu(nodes[f"S{k}"])
        return nodes | {"s": np.stack([fully_connected(parameters["W"], h, parameters["b"]) for h in H])}

    def _backward(
        self, parameters: Mapping[str, Array], nodes: Mapping[str, Array], rows: Array, by: Form, *, image: bool
    ) -> dict[str, Array]:
        """Pull back a row vector ∂l/∂s per image; sum the gradients of the parameters over the images."""
        forms = {"jacobians": self._backward_by_jacobians, "convolutions": self._backward_by_convolutions}
        gradients = forms[word("by", by, forms)](parameters, nodes, rows, image=image)
        return {name: gradients[name] for name in (*self.shapes, "X") if name in gradients}

    def _backward_by_jacobians(
        self, parameters: Mapping[str, Array], nodes: Mapping[str, Array], rows: Array, *, image: bool
    ) -> dict[str, Array]:
        gradients: dict[str, Array] = {}
        N, C, depth = len(rows), self.classes, len(self.layers)
        H = nodes[f"X{depth}"]
        by_weights = [row @ fully_connected_jacobian_wrt_weights(h, C) for row, h in zip(rows, H, strict=True)]
        gradients["W"] = np.sum(by_weights, axis=0).reshape(self.shapes["W"])
        gradients["b"] = rows.sum(axis=0) @ fully_connected_jacobian_wrt_bias(C, dtype=rows.dtype)
        rows = rows @ fully_connected_jacobian_wrt_input(parameters["W"])
        for k, layer in reversed(list(enumerate(self.layers, start=1))):
            S, batch = nodes[f"S{k}"], _batch(layer, N)
            rows = (rows.ravel() @ relu_jacobian(S)).reshape(N, -1)
            row = _swap(rows.reshape(S.shape)).ravel()
            by_filters = row @ jacobian_wrt_filters(_swap(nodes[f"X{k - 1}"]), batch)
            gradients[f"F{k}"] = by_filters.reshape(layer.filters)
            gradients[f"b{k}"] = row @ jacobian_wrt_bias(batch, dtype=row.dtype)
            if k > 1 or image:
                # It depends on the parameters alone: one matrix serves all images.
                rows = rows @ jacobian_wrt_image(parameters[f"F{k}"], layer)
        return gradients | ({"X": rows.reshape(nodes["X0"].shape)} if image else {})

    def _backward_by_convolutions(
        self, parameters: Mapping[str, Array], nodes: Mapping[str, Array], rows: Array, *, image: bool
    ) -> dict[str, Array]:
        gradients: dict[str, Array] = {}
        H = nodes[f"X{len(self.layers)}"]
        gradients["W"], gradients["b"] = rows.T @ H.reshape(len(H), -1), rows.sum(axis=0)
        G = (rows @ parameters["W"]).reshape(H.shape)
        for k, layer in reversed(list(enumerate(self.layers, start=1))):
            G = np.where(nodes[f"S{k}"] > 0, G, 0)
            X = nodes[f"X{k - 1}"]
            gradients[f"F{k}"] = np.sum([filter_gradient(x, g, layer) for x, g in zip(X, G, strict=True)], axis=0)
            gradients[f"b{k}"] = np.sum([bias_gradient(g) for g in G], axis=0)
            if k > 1 or image:
                G = np.stack([input_gradient(g, parameters[f"F{k}"], layer) for g in G])
        return gradients | ({"X": G} if image else {})

    # checks -----------------------------------------------------------------------------------------------------------

    def _check_parameters(self, parameters: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
        shapes = self.shapes
        instance("parameters", parameters, Mapping, "a dict of arrays: Network.parameters(seed) draws them")
        missing, unknown = [*(shapes.keys() - parameters.keys())], [*(parameters.keys() - shapes.keys())]
        if missing or unknown:
            problem = f"lacks {sorted(missing)}" if missing else f"has the unknown {sorted(unknown, key=str)}"
            raise ShapeError(
                f"parameters {problem}; it needs exactly {list(shapes)}: Network.parameters(seed) draws them"
            )
        checked = {}
        for name, needed in shapes.items():
            array = checked[name] = numeric(f"parameters[{name!r}]", parameters[name])
            if array.shape != needed:
                raise ShapeError(
                    f"parameters[{name!r}] has shape {array.shape}; it needs {needed}, by the layers and classes of "
                    "this network: pass that parameter, or make the Network of these shapes"
                )
            if array.dtype.kind != "f":
                raise DtypeError(
                    f"parameters[{name!r}] has dtype {array.dtype}, which gradient descent cannot move by fractions; "
                    f"it needs floating point: parameters[{name!r}].astype('float64')"
                )
        return checked

    def _check_trace(self, trace: Mapping[str, Any]) -> dict[str, Array]:
        """Return the nodes that the gradients are computed from, as those of a mini-batch of one image."""
        instance("trace", trace, Mapping, "a dict of arrays: what Network.trace returns")
        of = {"X0": (self.layers[0], "image")}
        for k, layer in enumerate(self.layers, start=1):
            of |= {f"S{k}": (layer, "responses"), f"X{k}": (layer, "responses")}
        missing = [name for name in of if name not in trace]
        if missing:
            raise ShapeError(f"trace lacks {missing}; it needs what Network.trace returns")
        return {
            name: layer.check_array(f"trace[{name!r}]", trace[name], role)[None] for name, (layer, role) in of.items()
        }

    def _check_batch(self, images: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[Array, Array]:
        images = self._check_images(images)
        return images, self._check_labels("labels", labels, len(images))

    def _check_images(self, images: npt.ArrayLike) -> Array:
        images, needed = numeric("images", images), self.layers[0].image
        if images.shape[1:] == needed and len(images):
            return images
        cure = "for one image write images[None]" if images.shape == needed else "the images are the first axis"
        raise ShapeError(
            f"images has shape {images.shape}; it needs (N, {str(needed)[1:]} with N of at least 1: {cure}"
        )

    def _check_labels(self, name: str, labels: npt.ArrayLike, count: int) -> Array:
        labels, needed = numeric(name, labels), (count, self.classes)
        if labels.shape != needed:
            entry, wanted = (labels.shape[1:], needed[1:]) if name == "y" else (labels.shape, needed)
            raise ShapeError(
                f"{name} has shape {entry}; it needs {wanted}, one-hot: for classes counted from 0 write "
                f"np.eye({self.classes})[{name}]"
            )
        one_hot = np.eye(1, self.classes, self.classes - 1)
        wrong = np.flatnonzero((np.sort(labels, axis=1) != one_hot).any(axis=1))
        if wrong.size:
            row = name if name == "y" else f"{name}[{wrong[0]}]"
            raise ValueError(
                f"{row} is {labels[wrong[0]].tolist()}; it needs one-hot: a single 1, at the class, and zeros"
            )
        return labels


def _swap(A: Array) -> Array:
    """Exchange the first two axes: images first as the passes have them, planes first as a layer has them."""
    return np.swapaxes(A, 0, 1)


def _batch(layer: Geometry, N: int) -> Geometry:
    """Return the geometry in which the images lie along one more spatial axis, of a single tap."""
    d, *sizes = layer.image
    n, depth, *taps = layer.filters
    return Geometry(
        (d, N, *sizes),
        (n, depth, 1, *taps),
        stride=(1, *layer.stride),
        padding=((0, 0), *layer.padding),
        dilation=(1, *layer.dilation),
        groups=layer.groups,
    )
