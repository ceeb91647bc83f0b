"""Train the lecture's networks on handwritten digits; every gradient is a product of explicit Jacobians.

Run it with ``python docs/examples/digits.py`` (it needs scikit-learn, which ships the digits: nothing is downloaded).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from jacobians import Geometry
from jacobians.network import Network

Array = npt.NDArray[Any]

CLASSES = 10
HELD_OUT = 517  # of 1797 digits; the 1280 others make 40 mini-batches of 32
MINI_BATCH = 32

# 1×8×8 → 8×6×6
ONE_LAYER = (Geometry((1, 8, 8), (8, 1, 3, 3)),)
# 1×8×8 → 8×6×6 → 16×4×4
TWO_LAYERS = (*ONE_LAYER, Geometry((8, 6, 6), (16, 8, 3, 3)))


def digits(seed: int, images: int | None = None) -> tuple[Array, Array, Array, Array]:
    """Return training images and their classes, then held-out ones: a split that depends on the seed alone."""
    X, classes = load_digits(return_X_y=True)
    X = X.reshape(-1, 1, 8, 8) / 8 - 1  # one plane of 8×8 pixels; 0 … 16 becomes −1 … 1
    order = np.random.default_rng(seed).permutation(len(X))
    held_out, training = order[:HELD_OUT], order[HELD_OUT:][:images]
    return X[training], classes[training], X[held_out], classes[held_out]


def descend(
    network: Network, images: Array, labels: Array, *, epochs: int, seed: int = 0, rate: float = 0.3
) -> dict[str, Array]:
    """Return the parameters after mini-batch gradient descent."""
    parameters = network.parameters(seed)
    generator = np.random.default_rng(seed)
    steps = [
        batch
        for _ in range(epochs)
        for batch in np.array_split(generator.permutation(len(images)), math.ceil(len(images) / MINI_BATCH))
    ]
    for step, batch in enumerate(steps):
        # The rate falls to 0 along a line, so that the last mini-batches do not have the last word.
        parameters = network.step(parameters, images[batch], labels[batch], rate * (1 - step / len(steps)))
    return parameters


def train(
    layers: Sequence[Geometry], *, epochs: int = 8, images: int | None = None, seed: int = 0, l2: float = 1e-4
) -> float:
    """Train a network with these convolution layers; return the share of held-out digits that it then reads right."""
    X, classes, X_held_out, classes_held_out = digits(seed, images)
    network = Network(layers, CLASSES, l2=l2)
    one_hot = np.eye(CLASSES)[classes]
    parameters = descend(network, X, one_hot, epochs=epochs, seed=seed)
    return float(np.mean(network.predict(parameters, X_held_out) == classes_held_out))


def main() -> None:
    """Train both networks and print a table."""
    options = argparse.ArgumentParser(description="Train the lecture's networks on handwritten digits.")
    options.add_argument("--epochs", type=int, default=8)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    print("convolution layers  parameters  held-out digits read right  seconds")  # noqa: T201
    for layers in (ONE_LAYER, TWO_LAYERS):
        started = time.perf_counter()
        accuracy = train(layers, epochs=chosen.epochs, seed=chosen.seed)
        seconds = time.perf_counter() - started
        count = sum(math.prod(shape) for shape in Network(layers, CLASSES).shapes.values())
        print(f"{len(layers):18}  {count:10}  {accuracy:26.1%}  {seconds:7.1f}")  # noqa: T201


if __name__ == "__main__":
    main()
