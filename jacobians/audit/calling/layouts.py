"""Code that takes other layouts than planes first, described by a string.

A layout says in which order the axes of X, F and S come::

    layout = X "," F "->" S
    X      = axes of N, C and the spatial letters
    F      = axes of O, I and the spatial letters
    S      = axes of N, O (or C) and the spatial letters
    axes   = one or more of: a letter | "(" letters ")"

N is the image, C a plane of X, O a filter and its response map, I a plane of a filter. The spatial letters are W for
one spatial axis, HW for two, DHW for three. Each letter comes once; spaces mean nothing. Letters in parentheses are one
axis, flattened in the order in which they are written, the last running fastest: ``N(CHW)`` is the row-major vec of
each image, ``N(CWH)`` writes each plane column by column.

Without N in X and S the code takes one image at a time.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.errors import ShapeError
from jacobians.geometry import Geometry

__all__ = ["with_layout"]

Array = npt.NDArray[Any]

SPATIAL = "DHW"
# Letters that other notations use for ours, by role.
ALIASES = {
    "X": {"B": "N", "I": "C", "L": "W"},
    "F": {"N": "O", "K": "O", "C": "I", "L": "W"},
    "S": {"B": "N", "C": "O", "K": "O", "L": "W"},
}
MEANINGS = {
    "X": "N for the image, C for its planes",
    "F": "O for the filter, I for its planes",
    "S": "N for the image, O for the filter",
}
LEADING = {"X": "NC", "F": "OI", "S": "NO"}


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
    """Make code that takes another layout take X (N, d, *spatial), F (n, d/groups, *taps) and G (N, n, *out).

    Parameters
    ----------
    forward : callable or None
        ``forward(X, F[, b]) -> S`` with X, F and S in the layout.
    backward : callable or None
        ``backward(X, F, [b,] G) -> (dX, dF[, db])`` with dX as X, dF as F and G as S.
    layout : str
        ``"NCHW,OIHW->NCHW"`` is what needs no adapter, ``"NHWC,HWIO->NHWC"`` is TensorFlow's,
        ``"HWCN,HWIO->HWON"`` is h × w × d × N with filters k × k × d × n, ``"CHW,OIHW->OHW"`` takes one image at a
        time, ``"N(CHW),O(IHW)->N(OHW)"`` takes vectors.
    stride, padding, dilation, groups
        What the code was fixed to, as `Geometry` takes them. They are looked at only where S is flattened over spatial
        axes: then its sizes follow from them.

    Returns
    -------
    forward, backward : callable or None
        The same code for arrays with planes first; None where None was given.

    Raises
    ------
    ShapeError
        If the layout is not one, with the nearest that is.
    TypeError
        If a function is not one.

    Notes
    -----
    An array that is contiguous is given contiguous in the other layout, any other as a view; what the code writes into
    its inputs is written back. Code for one image at a time is called once per image: the results S and dX are stacked,
    and its dF and db are summed over the images, in their own dtype.

    Examples
    --------
    >>> import numpy as np
    >>> def pointwise(X, F):  # a 1×1 convolution, planes last
    ...     return X @ F[0, 0]
    >>> forward, _ = with_layout(pointwise, None, "NHWC,HWIO->NHWC")
    >>> forward(np.ones((2, 3, 4, 5)), np.ones((6, 3, 1, 1))).shape
    (2, 6, 4, 5)
    """
    orders = _parse(layout)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    each = _Adapter(orders["X"], orders["F"], orders["S"], options)
    for name, function in (("forward", forward), ("backward", backward)):
        if function is not None and not callable(function):
            raise TypeError(f"{name} has type {type(function).__name__}; it needs a function of NumPy arrays")
    forward = None if forward is None else each.forward(forward)
    backward = None if backward is None else each.backward(backward)
    if "N" not in orders["X"].letters:
        forward = None if forward is None else _stacked_forward(forward)
        backward = None if backward is None else _stacked_backward(backward)
    for adapted in (forward, backward):
        if adapted is not None:
            vars(adapted)["layout"] = layout  # an audit says which one it should be
    return forward, backward


@dataclasses.dataclass(frozen=True)
class _Order:
    """One array's axes: the letters planes first, and the axes that the code takes.

    ``axes`` are strings of letters, of which those longer than one are flattened.
    """

    name: str
    letters: str
    axes: tuple[str, ...]

    def __str__(self) -> str:
        return _written(self.axes)

    def give(self, array: Array) -> Array:
        """Turn an array with planes first into one of this layout."""
        turned = array.transpose([self.letters.index(letter) for letter in "".join(self.axes)])
        if array.flags.c_contiguous:
            turned = np.ascontiguousarray(turned)
        sizes = dict(zip(self.letters, array.shape, strict=True))
        return turned.reshape([math.prod(sizes[letter] for letter in axis) for axis in self.axes])

    def take(self, value: Any, sizes: Mapping[str, int]) -> Any:
        """Turn an array of this layout into one with planes first; what is no array stays what it is."""
        # Sizes are needed of flattened letters only: an axis of its own may have a wrong one, which the audit reports.
        if not isinstance(value, np.ndarray):
            return value
        if value.ndim != len(self.axes):
            raise ShapeError(
                f"{self.name} has shape {value.shape}, which is {value.ndim} axes, but its layout {self} has "
                f"{len(self.axes)}; return it in that layout, or change the layout"
            )
        shape: list[int] = []
        for axis, got in zip(self.axes, value.shape, strict=True):
            parts = [got] if len(axis) == 1 else [sizes[letter] for letter in axis]
            if math.prod(parts) != got:
                raise ShapeError(
                    f"{self.name} has shape {value.shape} with {got} entries on its axis ({axis}), which needs "
                    f"{' · '.join(map(str, parts))} = {math.prod(parts)}; return all of {', '.join(axis)}, "
                    + ("or tell with_layout the stride, padding, …" if self.name == "S" else "or change the layout")
                )
            shape += parts
        flat = "".join(self.axes)
        return value.reshape(shape).transpose([flat.index(letter) for letter in self.letters])


@dataclasses.dataclass(frozen=True)
class _Adapter:
    """The three orders, and the options from which the sizes of a flattened S follow."""

    X: _Order
    F: _Order
    S: _Order
    options: dict[str, Any]

    def forward(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def planes_first(X: Array, F: Array, *b: Array) -> Any:
            returned = _call(function, [(self.X, X), (self.F, F)], b, [])
            return self.S.take(returned, self.responses(X, F))

        return planes_first

    def backward(self, function: Callable[..., Any]) -> Callable[..., Any]:
        dX, dF = (dataclasses.replace(order, name=f"d{order.name}") for order in (self.X, self.F))

        def planes_first(X: Array, F: Array, *b_and_G: Array) -> Any:
            *b, G = b_and_G
            returned = _call(function, [(self.X, X), (self.F, F)], b, [(dataclasses.replace(self.S, name="G"), G)])
            if not isinstance(returned, tuple | list) or len(returned) < 2:
                return returned
            return (
                dX.take(returned[0], dict(zip(dX.letters, X.shape, strict=True))),
                dF.take(returned[1], dict(zip(dF.letters, F.shape, strict=True))),
                *returned[2:],
            )

        return planes_first

    def responses(self, X: Array, F: Array) -> dict[str, int]:
        """Sizes of S, where it is flattened."""
        if all(len(axis) == 1 for axis in self.S.axes):
            return {}
        batched = "N" in self.X.letters
        responses = Geometry(X.shape[1:] if batched else X.shape, F.shape, **self.options).responses
        return dict(zip(self.S.letters, (*X.shape[:1], *responses) if batched else responses, strict=True))


def _call(
    function: Callable[..., Any],
    first: Sequence[tuple[_Order, Array]],
    b: Sequence[Array],
    last: Sequence[tuple[_Order, Array]],
) -> Any:
    """Call the code in its own layout; what it writes into its inputs is written back."""
    given = [order.give(array) for order, array in (*first, *last)]
    returned = function(*given[: len(first)], *b, *given[len(first) :])
    for (order, array), turned in zip((*first, *last), given, strict=True):
        if array.flags.writeable and not np.may_share_memory(array, turned):
            array[...] = order.take(turned, dict(zip(order.letters, array.shape, strict=True)))
    return returned


def _stacked_forward(function: Callable[..., Any]) -> Callable[..., Any]:
    def forward(X: Array, *others: Array) -> Any:
        return _stack([function(image, *others) for image in X])

    return forward


def _stacked_backward(function: Callable[..., Any]) -> Callable[..., Any]:
    def backward(X: Array, *others: Array) -> Any:
        *same, G = others
        each = [function(image, *same, g) for image, g in zip(X, G, strict=True)]
        if any(not isinstance(gradients, tuple | list) or len(gradients) != len(each[0]) for gradients in each):
            return each[0]
        dX, *summed = zip(*each, strict=True)
        return (_stack(dX), *map(_sum, summed))

    return backward


def _same_shapes(results: Sequence[Any]) -> bool:
    return all(isinstance(each, np.ndarray) and each.shape == results[0].shape for each in results)


def _stack(results: Sequence[Any]) -> Any:
    """Put the results of the images behind each other; what cannot be is returned as the first is."""
    return np.stack(results) if _same_shapes(results) else results[0]


def _sum(results: Sequence[Any]) -> Any:
    return np.add.reduce(np.stack(results), axis=0, dtype=results[0].dtype) if _same_shapes(results) else results[0]


# the grammar ----------------------------------------------------------------------------------------------------------


def _parse(layout: str) -> dict[str, _Order]:
    """Read a layout, or say what is wrong with it and which is nearest."""
    if not isinstance(layout, str):
        raise ShapeError(f'layout is {layout!r}; it needs a string such as "NHWC,HWIO->NHWC"')
    text = "".join(layout.split())
    inputs, arrow, output = text.partition("->")
    parts = [*inputs.split(","), output]
    if not arrow or len(parts) != 3 or not all(parts):
        raise ShapeError(
            f'layout is "{layout}"; it needs the axes of X, F and S in the form X,F->S, such as "NHWC,HWIO->NHWC"'
        )
    named = dict(zip("XFS", parts, strict=True))
    axes = {name: _axes(name, part, layout) for name, part in named.items()}
    letters = {name: [*"".join(each)] for name, each in axes.items()}
    spatial = _spatial(letters)
    wrong = next((said for name in named if (said := _wrong(name, letters, spatial))), None)
    if wrong:
        raise ShapeError(f'layout is "{layout}", where {wrong}; the nearest layout is "{_nearest(axes, spatial)}"')
    axes["S"] = [axis.replace("C", "O") for axis in axes["S"]]
    standard = {
        name: "".join(each for each in LEADING[name] if each in "".join(axes[name])) + spatial for name in named
    }
    return {name: _Order(name, standard[name], tuple(axes[name])) for name in named}


def _axes(name: str, part: str, layout: str) -> list[str]:
    """Cut "N(CHW)" into "N" and "CHW"."""
    found: list[str] = []
    rest = part
    while rest:
        inside, closed, behind = rest[1:].partition(")") if rest[0] == "(" else ("", "", "")
        if rest[0] == ")" or (rest[0] == "(" and (not closed or not inside or "(" in inside)):
            raise ShapeError(
                f'layout is "{layout}", where the parentheses of {name} are "{part}"; each ( needs its own ) with '
                "letters between them, as in N(CHW)"
            )
        found.append(inside if closed else rest[0])
        rest = behind if closed else rest[1:]
    return found


def _spatial(letters: Mapping[str, Sequence[str]]) -> str:
    """Spatial letters of the layout: as many as most of X, F and S have, the last of DHW."""
    counts = [sum(letter in SPATIAL for letter in {*map(str.upper, each)}) for each in letters.values()]
    return SPATIAL[-max(1, *(sorted(counts)[1:2])) :]


def _wrong(name: str, letters: Mapping[str, Sequence[str]], spatial: str) -> str | None:
    """Say what is wrong with one array's letters."""
    here = letters[name]
    batched = "N" in letters["X"]
    leading = LEADING[name] if batched or name == "F" else LEADING[name].replace("N", "")
    allowed = {*leading, *spatial, *("C" if name == "S" else ""), *("N" if name == "X" else "")}
    axes = f"{len(spatial)} spatial {'axis' if len(spatial) == 1 else 'axes'}"
    for letter, group in itertools.groupby(sorted(here)):
        if letter not in allowed:
            if letter == "N" and name == "S":
                return "S has N but X has not"
            return f'{name} has "{letter}"; it needs {MEANINGS[name]}, and {spatial} for {axes}'
        if len(list(group)) > 1:
            return f"{name} has {letter} twice; each letter comes once"
    if name == "S" and {"O", "C"} <= {*here}:
        return "S has both O and C, which mean the same there: the filter"
    have = {"O" if name == "S" and letter == "C" else letter for letter in here}
    missing = [letter for letter in (*leading, *spatial) if letter not in have]
    if missing == ["N"] and name == "S":
        return "X has N but S has not"
    return f"{name} lacks {' and '.join(missing)}" if missing else None


def _nearest(axes: Mapping[str, Sequence[str]], spatial: str) -> str:
    """Keep what has a meaning, in its place, and add what is missing where it usually stands."""
    batched = any(letter in "NB" for letter in "".join(axes["X"]).upper())
    parts = {name: _repaired(name, axes[name], spatial, batched=batched) for name in "XFS"}
    return f"{parts['X']},{parts['F']}->{parts['S']}"


def _repaired(name: str, axes: Sequence[str], spatial: str, *, batched: bool) -> str:
    leading = LEADING[name] if batched or name == "F" else LEADING[name].replace("N", "")
    needed = [*leading, *spatial]
    present = "".join(axes).upper()
    # A letter of another notation stands for ours only where ours is not written as well.
    other = {theirs: ours for theirs, ours in ALIASES[name].items() if theirs not in needed and ours not in present}
    seen: set[str] = set()
    kept = ["".join(_known(other.get(letter, letter), needed, seen) for letter in axis.upper()) for axis in axes]
    # What means nothing is replaced by what is missing; what is still missing comes where it usually stands.
    for letter in [each for each in needed if each not in seen]:
        at = next((i for i, axis in enumerate(kept) if "?" in axis), None)
        if at is None:
            before = needed[needed.index(letter) - 1] if letter != needed[0] else ""
            kept.insert(next((i + 1 for i, axis in enumerate(kept) if before and before in axis), 0), letter)
        else:
            kept[at] = kept[at].replace("?", letter, 1)
    kept = [axis for each in kept if (axis := each.replace("?", ""))]
    written = _written(kept)
    return written.replace("O", "C") if name == "S" and "C" in other and "C" in present else written


def _known(letter: str, needed: Sequence[str], seen: set[str]) -> str:
    if letter not in needed or letter in seen:
        return "?"
    seen.add(letter)
    return letter


def _written(axes: Sequence[str]) -> str:
    return "".join(axis if len(axis) == 1 else f"({axis})" for axis in axes)
