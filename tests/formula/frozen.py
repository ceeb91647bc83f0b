"""Wrong formulas by others than the zoo, frozen as data: which products each of them sums at some layers.

data/theories.xz holds one line of JSON and, behind it, columns of 16-bit integers. A product is the index of an entry
of the result, one or two indices of its factors, and a coefficient. Factors are counted through X, F, b and G, one
behind the other and each flattened, from 1 on; 0 is a factor that is left out. Columns hold differences of
neighbours. A coefficient that is no number stands for an entry that may hold anything.
"""

import functools
import itertools
import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jacobians import Geometry
from tests.zoo import Layer

DATA = Path(__file__).parent / "data" / "theories.xz"
LETTERS = "XFbG"


@dataclass(frozen=True)
class Products:
    """What one formula sums at one layer.

    Attributes
    ----------
    shape : tuple of int
        Of the result, with its batch axis where it has one.
    entry, first, second : ndarray of int
        Indices of the result and of the factors in (1, X, F, b, G), by product.
    coefficient : ndarray
        By product.
    """

    shape: tuple[int, ...]
    entry: np.ndarray
    first: np.ndarray
    second: np.ndarray
    coefficient: np.ndarray

    def __call__(self, X, F, G, b=None):
        b = np.zeros(len(F)) if b is None else b
        factors = np.concatenate([[1.0], *(np.asarray(each, float).reshape(-1) for each in (X, F, b, G))])
        terms = self.coefficient * factors[self.first] * factors[self.second]
        return np.bincount(self.entry, terms, int(np.prod(self.shape))).reshape(self.shape)


@dataclass(frozen=True)
class Frozen:
    """One wrong formula.

    Attributes
    ----------
    about : str
        S, dX, dF or db.
    title : str
        What is wrong.
    options : dict
        stride, padding, dilation, groups, spatial_ndim and bias: the arguments of `jacobians.audit`.
    layers, larger : tuple of Layer
        Where its products are known: layers to read it from, and others that are larger.
    """

    about: str
    title: str
    options: dict[str, Any]
    layers: tuple[Layer, ...]
    larger: tuple[Layer, ...]
    products: dict[Layer, Products]

    def __hash__(self):
        return id(self)

    def function(self, layer: Layer) -> Callable[..., np.ndarray]:
        """What the formula gives at a layer: a function of X, F, G and, with a bias, b, in float64.

        Raises
        ------
        KeyError
            If the layer is not one of `layers` and `larger`.
        """
        return self.products[layer]


@functools.cache
def theories() -> list[Frozen]:
    """Every formula that is frozen."""
    header, columns = _data()
    return [_frozen(record, header, columns) for record in header["theories"]]


def left_out() -> list[dict[str, str]]:
    """The formulas that are not frozen: about, title and why."""
    return _data()[0]["left out"]


@functools.cache
def _data():
    with lzma.open(DATA) as file:
        header = json.loads(file.readline())
        return header, np.frombuffer(file.read(), "<i2")


def _frozen(record, header, columns):
    options = header["options"][record["options"]]
    fixed = {name: _tuples(options[name]) for name in ("stride", "padding", "dilation", "groups")}
    known: dict[bool, list[Layer]] = {False: [], True: []}
    products = {}
    for number, shape, block in record["layers"]:
        images, image, filters, larger = options["layers"][number]
        layer = Layer(Geometry(image, filters, **fixed), images)
        known[larger].append(layer)
        products[layer] = _products(tuple(shape), header["blocks"][block], columns)
    arguments = {**fixed, "spatial_ndim": len(fixed["stride"]), "bias": record["bias"]}
    return Frozen(record["about"], record["title"], arguments, tuple(known[False]), tuple(known[True]), products)


def _products(shape, block, columns):
    start, count, coefficients = block
    ends = itertools.count(start + count, count)
    entry, first, second = (np.cumsum(columns[end - count : end], dtype=np.uint16) for end in itertools.islice(ends, 3))
    which = columns[start + 3 * count : start + 4 * count] if len(coefficients) > 1 else np.zeros(count, int)
    values = np.array([_number(*each) for each in coefficients] or [1.0])
    return Products(shape, entry.astype(int), first.astype(int), second.astype(int), values[which])


def _number(top, bottom):
    return top / bottom if bottom else np.nan


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
