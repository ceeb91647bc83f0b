"""One convolution of a model with its weights: its operator, its matrix, and what that costs before it is built."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from jacobians import matrices
from jacobians.arguments import numeric
from jacobians.geometry import Geometry, check_geometry
from jacobians.operators import LayerOperator, layer_operator
from jacobians.sizes import available

__all__ = ["ConvolutionLayer", "Estimate", "Layers"]

Array = npt.NDArray[Any]

# The rows whose building is timed: about so many nonzeros, of at most so many filters, so often.
TIMED_NONZEROS, TIMED_FILTERS, TIMES = 1 << 21, 64, 2


@dataclass(frozen=True)
class Estimate:
    """What the matrix of a layer costs, before it is built.

    Attributes
    ----------
    shape : tuple of int
        Of ∂vec(S)/∂vec(X).
    nonzeros : int
        Stored entries, exactly.
    bytes : int
        Of its three arrays, exactly.
    seconds : float
        That building it takes, by the time that its first rows took just now. On a machine that does nothing else it
        is rarely wrong by more than a factor of 3.
    available : int
        Bytes that this process can still have.
    """

    shape: tuple[int, int]
    nonzeros: int
    bytes: int
    seconds: float
    available: int

    @property
    def fits(self) -> bool:
        """Whether there is memory for the matrix."""
        return self.bytes <= self.available


@dataclass(frozen=True, eq=False)
class ConvolutionLayer:
    """One convolution of a model.

    Parameters
    ----------
    name : str
        As the model names it.
    geometry : Geometry
        Its shapes and options.
    F : ndarray, shape geometry.filters
        The filters.
    b : ndarray, shape (n,), optional
        The biases; None where it has none.

    Raises
    ------
    ShapeError, DtypeError
        If F or b is none of the geometry.
    """

    name: str
    geometry: Geometry
    F: Array
    b: Array | None = None

    def __post_init__(self) -> None:
        geometry = check_geometry(self.geometry)
        object.__setattr__(self, "F", geometry.check_array("F", self.F, "filters"))
        if self.b is not None:
            object.__setattr__(self, "b", geometry.check_array("b", self.b, "bias"))

    def __repr__(self) -> str:
        """Return the name, the geometry and the dtypes; the weights are too many to be read."""
        bias = "" if self.b is None else f", b {self.b.dtype}"
        return f"ConvolutionLayer({self.name!r}, {self.geometry!r}, F {self.F.dtype}{bias})"

    def operator(self) -> LayerOperator:
        """Return ∂vec(S)/∂vec(X) as an operator, whose products need no matrix, as `jacobians.operators` does.

        Returns
        -------
        LayerOperator, shape (n · positions, pixels)
            A `scipy.sparse.linalg.LinearOperator`.
        """
        return layer_operator(self.F, self.geometry)

    def matrix(self, *, rows: slice | None = None, max_bytes: int | None = None) -> csr_array:
        """Build ∂vec(S)/∂vec(X), as `jacobians.jacobian_wrt_image` does.

        Parameters
        ----------
        rows : slice, optional
            Build only these of the ``n · positions`` rows (step 1).
        max_bytes : int, optional
            Largest result in bytes; by default the memory that is available.

        Returns
        -------
        csr_array, shape (n · positions, pixels), dtype of F
            Entry ``[i·t + r, P[r, c]]`` is tap ``c`` of filter ``i``.

        Raises
        ------
        ShapeError, TooLargeError
            As `jacobians.jacobian_wrt_image`.
        """
        return matrices.jacobian_wrt_image(self.F, self.geometry, rows=rows, max_bytes=max_bytes)

    def estimate(self) -> Estimate:
        """Say what `matrix` costs, without building more than a few rows of it.

        Returns
        -------
        Estimate
            Nonzeros and bytes are computed, and exact; the seconds are measured on the first rows, on this machine.
        """
        size = matrices.layer_size(self.geometry, self.F.dtype)
        return Estimate(size.shape, size.nonzeros, size.bytes, self._seconds(size), available())

    def _seconds(self, size: matrices.Size) -> float:
        """Time the first rows, and take the others to be like them."""
        in_a_row = max(size.nonzeros / size.shape[0], 1)
        most = min(size.shape[0], TIMED_FILTERS * self.geometry.positions)
        rows = slice(0, min(most, math.ceil(TIMED_NONZEROS / in_a_row)))
        best = min(_seconds(lambda: self.matrix(rows=rows)) for _ in range(TIMES))
        timed = matrices.layer_size(self.geometry, self.F.dtype, rows)
        return best * max(size.bytes / timed.bytes, 1)


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


class Found(NamedTuple):
    """A convolution whose weights are still where the model keeps them."""

    name: str
    geometry: Geometry
    weights: Callable[[], tuple[Array, Array | None]]


class Layers(Iterator[ConvolutionLayer]):
    """The convolutions of a model, one at a time, in the order in which they are computed.

    Parameters
    ----------
    found : sequence of Found
        All of them.
    passed_over : mapping of str to int
        What else the model has.

    Attributes
    ----------
    geometries : dict of str to Geometry
        Of all layers, by their names; a layer that the model calls again has its name with ``#2`` for the second call.
    passed_over : dict of str to int
        What the model has besides convolutions, such as ``"ReLU"``, and how often.
    """

    def __init__(self, found: Sequence[Found], passed_over: Mapping[str, int]) -> None:
        named = list(zip(_unlike([each.name for each in found]), found, strict=True))
        self.geometries = {name: each.geometry for name, each in named}
        self.passed_over = dict(passed_over)
        self._left = iter(named)

    def __next__(self) -> ConvolutionLayer:
        name, found = next(self._left)
        F, b = found.weights()
        return ConvolutionLayer(name, found.geometry, F, b)


def _unlike(names: Sequence[str]) -> Iterator[str]:
    """Number the names that come again."""
    times: Counter[str] = Counter()
    for name in names:
        times[name] += 1
        yield name if times[name] == 1 else f"{name}#{times[name]}"


def exact(name: str, array: Array) -> Array:
    """Return weights in a dtype that matrices can have, with the same values: narrow floating-point ones as float32.

    Parameters
    ----------
    name : str
        Whose weights they are, for the message.
    array : ndarray
        The weights.

    Returns
    -------
    ndarray
        Of float32 for float16, bfloat16 and narrower ones; else the same.

    Raises
    ------
    DtypeError
        If they are complex, or no numbers.
    """
    narrow = array.dtype.itemsize < 4 and array.dtype.kind not in "iub"
    return numeric(name, array.astype(np.float32) if narrow else array)
