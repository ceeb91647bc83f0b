"""Code whose arrays do not have their planes first: its layout is described by a string.

A layout says in which order the axes of X, F and S come::

    layout = X "," F "->" S
    X      = axes of N, C and the spatial letters
    F      = axes of O, I and the spatial letters
    S      = axes of N, O (or C) and the spatial letters
    axes   = one or more of: a letter | "(" letters ")"

N counts images, C planes of X, O filters, and I planes of a filter. In S, the axis of response maps is written O or C,
which mean the same there: O, because filter i makes response map i; C, because response maps are the planes of the next
layer. The spatial letters are W for one spatial axis, HW for two, DHW for three. Each letter occurs once per array, and
spaces mean nothing. Letters in parentheses are one axis, flattened in the order in which they are written; the last
letter runs fastest: ``N(CHW)`` is the row-major vec of each image, ``N(CWH)`` writes each plane column by column.

Without N in X and S, the code takes one image at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.arguments import instance
from jacobians.formula.layouts import Order, parse
from jacobians.geometry import Geometry
from jacobians.sizes import available

__all__ = ["PerLayer", "adapter_of", "check_functions", "in_adapter", "in_layout", "with_layout"]

Array = npt.NDArray[Any]


def with_layout(
    forward: Callable[..., Any] | None,
    backward: Callable[..., Any] | None,
    layout: str,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] | Sequence[Sequence[int]] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> tuple[Callable[..., Any] | None, Callable[..., Any] | None]:
    """Wrap code of another layout, so that it takes X (N, d, *spatial), F (n, d/groups, *taps) and G (N, n, *out).

    Parameters
    ----------
    forward : callable or None
        ``forward(X, F[, b]) -> S`` with X, F and S in the layout.
    backward : callable or None
        ``backward(X, F, [b,] G) -> (dX, dF[, db])``, where dX has the layout of X, dF that of F, and G that of S.
    layout : str
        The order of the axes of X, F and S. ``"NCHW,OIHW->NCHW"`` needs no adapter, ``"NHWC,HWIO->NHWC"`` is
        TensorFlow's, ``"HWCN,HWIO->HWON"`` is h × w × d × N with filters k × k × d × n, ``"CHW,OIHW->OHW"`` takes one
        image at a time, and ``"N(CHW),O(IHW)->N(OHW)"`` takes vectors.
    stride, padding, dilation, groups
        The options of the code, as `Geometry` takes them. They are needed only if S is flattened over spatial axes,
        because its sizes then follow from them.

    Returns
    -------
    forward, backward : callable or None
        The same code for arrays with planes first; None for a function that was None.

    Raises
    ------
    ShapeError
        If `layout` is not a layout; the message names the nearest one.
    TypeError
        If `forward` or `backward` cannot be called.

    Notes
    -----
    A contiguous array is passed on as a contiguous array of the other layout, any other array as a view. What the code
    writes into its inputs is written back. Code for one image at a time is called once per image: its results S and dX
    are stacked, and its dF and db are summed over the images, in their own dtype.

    Examples
    --------
    >>> import numpy as np
    >>> def pointwise(X, F):  # a 1×1 convolution, planes last
    ...     return X @ F[0, 0]
    >>> forward, _ = with_layout(pointwise, None, "NHWC,HWIO->NHWC")
    >>> forward(np.ones((2, 3, 4, 5)), np.ones((6, 3, 1, 1))).shape
    (2, 6, 4, 5)
    """
    orders = parse(layout)
    check_functions({"forward": forward, "backward": backward})
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    adapted = [
        None if function is None else _Adapted(function, gives, layout, orders, options)
        for function, gives in ((forward, ("S",)), (backward, ("dX", "dF")))
    ]
    return adapted[0], adapted[1]


def in_layout(function: Callable[..., Any], gives: tuple[str, ...], layout: str) -> _Adapted:
    """Take code to have another layout than its own."""
    own = function if isinstance(function, _Adapted) else _Adapted(function, gives, "", {}, {})
    return dataclasses.replace(own, layout=layout, orders=parse(layout))


class PerLayer:
    """Code that is called in another way at each layer."""

    def at(self, X: tuple[int, ...], F: tuple[int, ...], orders: Mapping[str, Order]) -> Callable[..., Any]:
        """Return a function of arrays in these orders, at the layer of X and F of these shapes planes first."""
        raise NotImplementedError


def adapter_of(function: Any) -> _Adapted | None:
    """Return the adapter that `with_layout` has made; None of other functions."""
    return function if isinstance(function, _Adapted) else None


def in_adapter(function: PerLayer, adapter: _Adapted, gives: tuple[str, ...]) -> _Adapted:
    """Put code into an adapter, in the place of what it is called by."""
    return dataclasses.replace(adapter, function=function, gives=gives)


def check_functions(functions: Mapping[str, Any]) -> None:
    """Refuse what is no function, by the name of the argument."""
    for name, function in functions.items():
        if function is not None:
            instance(name, function, Callable, "a function of NumPy arrays")


@dataclasses.dataclass(frozen=True, eq=False)
class _Adapted:
    """Code in a layout of its own, as a function of arrays with planes first."""

    function: Callable[..., Any] | PerLayer
    gives: tuple[str, ...]
    layout: str
    orders: Mapping[str, Order]
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Be called by the name of the code."""
        for name in ("__module__", "__qualname__"):
            object.__setattr__(self, name, getattr(self.function, name, ""))

    @property
    def text(self) -> str:
        """Python that defines the code, where nothing can be imported."""
        return str(self.function.text)  # type: ignore[union-attr]

    @property
    def source(self) -> Callable[..., str]:
        """Return Python that defines the code by a name, where it has that."""
        found: Callable[..., str] = self.function.source  # type: ignore[union-attr]
        return found

    def __call__(self, *arrays: Array) -> Any:
        """Call the code, image by image where it takes one at a time."""
        last = ["G"] if len(self.gives) > 1 else []
        names = ["X", "F", *["b"] * (len(arrays) - 2 - len(last)), *last]
        given = dict(zip(names, arrays, strict=True))
        if "N" in self.orders["X"].letters:
            return self._called(given)
        each = [
            self._called({name: array[at] if name in "XG" else array for name, array in given.items()})
            for at in range(len(given["X"]))
        ]
        if not last:
            return _joined(np.stack, each)
        if any(not isinstance(gradients, tuple | list) or len(gradients) != len(each[0]) for gradients in each):
            return each[0]
        dX, *summed = zip(*each, strict=True)
        return (_joined(np.stack, dX), *(_joined(_sum, gradients) for gradients in summed))

    def _called(self, given: Mapping[str, Array]) -> Any:
        """Call the code in its own layout; what it writes into its inputs is written back."""
        orders = {**self.orders, "G": self.orders["S"]}
        turned = {name: orders[name].give(array) if name in orders else array for name, array in given.items()}
        function = self.function
        if isinstance(function, PerLayer):
            function = function.at(given["X"].shape, given["F"].shape, self.orders)
        returned = function(*turned.values())
        for name, array in given.items():
            if array.flags.writeable and not np.may_share_memory(array, turned[name]):
                array[...] = orders[name].take(name, turned[name], array.shape)
        if len(self.gives) == 1:
            return orders["S"].take("S", returned, self._responses(given["X"], given["F"]))
        if not isinstance(returned, tuple | list) or len(returned) < 2:
            return returned
        dX, dF, *others = returned
        return orders["X"].take("dX", dX, given["X"].shape), orders["F"].take("dF", dF, given["F"].shape), *others

    def _responses(self, X: Array, F: Array) -> tuple[int, ...]:
        """Return the shape of S, where it is flattened."""
        if all(len(axis) == 1 for axis in self.orders["S"].axes):
            return ()
        images = X.shape[:1] if "N" in self.orders["X"].letters else ()
        return (*images, *Geometry(X.shape[len(images) :], F.shape, **self.options).responses)


def _joined(join: Callable[[Sequence[Array]], Array], results: Sequence[Any]) -> Any:
    """Join the results of all images; what cannot be joined, or is too large to be, is returned as the first is."""
    fit = all(isinstance(each, np.ndarray) and each.shape == results[0].shape for each in results)
    return join(results) if fit and sum(each.nbytes for each in results) <= available() else results[0]


def _sum(results: Sequence[Array]) -> Array:
    return np.asarray(np.add.reduce(np.stack(results), axis=0, dtype=results[0].dtype))
