"""The formula that an unknown function of an image and filters computes, and which convolution it is."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.arguments import dtype_name, flag, instance, integer, numeric
from jacobians.errors import ShapeError, TooLargeError
from jacobians.evidence import exact
from jacobians.formula.arrangement import MOST_RESULTS, Arrangement, arrangements
from jacobians.formula.axes import arranged
from jacobians.formula.estimate import AxisOptions, Options, estimate
from jacobians.formula.kind import described, nearest, with_folds
from jacobians.formula.layouts import parse
from jacobians.formula.products import MOST_CALLS, Unreadable, layers
from jacobians.formula.reading import formula_of
from jacobians.formula.relation import Formula
from jacobians.formula.structure import Layer, Structure, given_arrays, sizes_of
from jacobians.formula.words import explain
from jacobians.formula.writing import Style, write
from jacobians.sizes import check_entries

__all__ = ["ReadFormula", "Unreadable", "read"]

Array = npt.NDArray[Any]
# The function at one layer, with zeros for the arrays that are not given; None where it raises.
Plain = Callable[[Layer, Mapping[str, Array]], Array | None]

MOST_AXES = 3
# Those whose numbers tell products apart.
DTYPES = ("float64", "float32", "int64", "int32")
# Images, planes and filters of a group, image and filter on each axis: of the layer at which layouts are told apart,
# and of larger ones at which a formula is held against the code.
FIRST = (2, 3, 5, (15, 13, 11), (3, 2, 2))
LARGER = ((2, 3, 4, (23, 19, 12), (3, 5, 2)), (3, 2, 3, (18, 27, 13), (5, 4, 3)), (1, 4, 2, (31, 20, 11), (2, 7, 4)))
LARGEST = 8


@dataclasses.dataclass(frozen=True)
class ReadFormula(Formula):
    """The formula that `read` found, and the options of the convolution that it is.

    Attributes
    ----------
    axes : tuple of AxisOptions
        The options of each spatial axis. If the function is not a convolution, these are the options of the nearest
        one.
    stride, dilation : tuple of int
        One per spatial axis.
    padding : tuple of pairs
        The zeros before and after, per spatial axis: numbers, or text where they depend on the sizes of the filter or
        of the image.
    turned, transposed : bool
        Whether the filter is rotated by 180°, and whether this is a transposed convolution, in which image and response
        map change roles.
    groups : int
        Number of groups of planes. For a depthwise function, the largest number that was tried.
    depthwise : bool
        Whether there is one group per plane, however many there are.
    layout : str
        The order of the axes of X, F and S, such as "NHWC,HWIO->NHWC". Without N, the function takes one image at a
        time.
    differences : tuple of str
        How the function differs from the nearest convolution; empty if it is a convolution.
    layers, calls : int
        The number of layers at which the formula was compared with the function, and the number of calls.
    """

    axes: tuple[AxisOptions, ...] = ()
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    padding: tuple[tuple[int | str, int | str], ...] = ()
    turned: bool = False
    transposed: bool = False
    groups: int = 1
    depthwise: bool = False
    layout: str = ""
    differences: tuple[str, ...] = ()
    layers: int = 0
    calls: int = 0

    @property
    def is_convolution(self) -> bool:
        """Whether the function is a convolution or a transposed convolution."""
        return not self.differences

    def write(self, style: Style = "unicode") -> str:
        """Return the formula on one line.

        Parameters
        ----------
        style : {"unicode", "text", "latex"}
            Mathematical signs, ASCII, or LaTeX.

        Returns
        -------
        str
            ``S[i, l, m] = Σ X[k, y, x] · F[i, k, a, b]   over  y = 2l + a − 1,  x = m + b``, with indices in the order
            of the axes of the layout.
        """
        orders = parse(self.layout) if {*"CI"} <= {*self.layout} else {}
        return write((arranged([self], orders) or [self])[0], style)

    def responses(self, X: npt.ArrayLike, F: npt.ArrayLike, b: npt.ArrayLike | None = None) -> Array:
        """Evaluate the formula: compute what the function should return by it.

        Parameters
        ----------
        X : array_like, shape (N, d, *image)
            The images, with planes first, whatever the layout of the function is.
        F : array_like, shape (n, d / groups, *taps)
            The filters.
        b : array_like, shape (n,), optional
            The bias.

        Returns
        -------
        ndarray, shape (N, n, *out)
            The responses, in int64 for integers and in float64 otherwise.

        Raises
        ------
        ShapeError
            If the arrays do not fit each other.
        DtypeError
            If an array does not hold numbers, or some entries are masked.
        TooLargeError
            If the products do not fit into memory.
        """
        X, F = numeric("X", X), numeric("F", F)
        if X.ndim != 2 + len(self.axes) or not X.size:
            raise ShapeError(f"X has shape {X.shape}; it needs (N, d, *image) with {len(self.axes)} spatial axes")
        layer = Layer(Options(self.axes, self.groups).geometry(X.shape[1:], F.shape), len(X))
        return self.predict(
            sizes_of(layer), given_arrays(self, layer, {"X": X, "F": F} | ({} if b is None else {"b": b}))
        )

    def __str__(self) -> str:
        options = described(Options(self.axes, self.groups), depthwise=self.depthwise)
        name = "transposed convolution" if self.transposed else "convolution"
        kind = f"It is a {name}: {options}."
        if not self.is_convolution:
            kind = (
                f"It is not a convolution. It differs from the nearest one ({options}) as follows: "
                f"{', and '.join(self.differences)}."
            )
        held = f"The formula and the function agree exactly at {self.layers} layers."
        return f"{self.write()}\n{kind}\nThe axes of X, F and S are {self.layout}.\n{held}"

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values.

        Returns
        -------
        dict
            The formula in all three styles, and every attribute under its name.
        """
        styles: tuple[Style, ...] = ("unicode", "text", "latex")
        names = ["is_convolution", "stride", "padding", "dilation", "groups", "depthwise", "turned", "transposed"]
        names += ["layout", "differences", "layers", "calls"]
        return {"formula": {style: self.write(style) for style in styles}} | {
            name: getattr(self, name) for name in names
        }


def read(
    function: Callable[..., Any],
    *,
    spatial_ndim: int = 2,
    bias: bool = False,
    dtype: npt.DTypeLike = "float64",
    layout: str | None = None,
    groups: int | None = None,
    most_calls: int = MOST_CALLS,
) -> ReadFormula:
    """Find out which formula a function of an image and filters computes, and which convolution it is.

    Parameters
    ----------
    function : callable
        ``function(X, F[, b]) -> S`` of NumPy arrays: X (N, d, *spatial), F (n, d/groups, *taps), b (n,) and
        S (N, n, *out). The axes may be in another order, and the function may take one image or one plane at a time.
        It is called with arrays of many small sizes.
    spatial_ndim : int
        Number of spatial axes, 1 to 3.
    bias : bool
        Whether the function takes a bias.
    dtype : dtype
        The dtype of the arrays: float64, float32, int64 or int32.
    layout : str, optional
        The order of the axes, such as "NHWC,HWIO->NHWC". By default, the usual orders are tried.
    groups : int, optional
        The number of groups. By default, 1 to 4 groups and one group per plane are tried.
    most_calls : int
        How often the function may be called to read the formula. Finding the layout and the options takes a few more
        calls.

    Returns
    -------
    ReadFormula
        Equations between the indices of X, F and S, as in L1, and stride, padding, dilation, groups, whether the filter
        is rotated, and the layout.

    Raises
    ------
    Unreadable
        If no formula was found, because the function raises, depends on earlier calls, is not linear in X or in F, or
        sums products that follow no relation between indices. The message says which.
    TypeError
        If `function` cannot be called, or `bias` is not a bool.
    ShapeError
        If `layout` is not a layout, there are more than three spatial axes, or `groups` or `most_calls` is below 1.
    DtypeError
        If `dtype` is not one of these.
    TooLargeError
        If there are more groups than the arrays of a small layer can have.

    Notes
    -----
    The function is called with distinct random integers, from which `read` tells which entries are multiplied in each
    entry of S. It fits a formula to these products at a few layers. It accepts the formula only if this gives exactly
    what the function gives at other layers, among them larger ones, with positive and negative numbers.

    Examples
    --------
    >>> from scipy.signal import convolve2d
    >>> found = read(lambda X, F: convolve2d(X, F, mode="valid")[::2])
    >>> print(found.write())
    S[i, l, m] = Σ X[k, y, x] · F[i, k, a, b]   over  y = 2l − a + K − 1,  x = m − b + L − 1
    >>> found.stride, found.padding, found.turned, found.layout
    ((2, 1), ((0, 0), (0, 0)), True, 'HW,HW->HW')
    """
    instance("function", function, Callable, "a function of NumPy arrays")
    spatial_ndim = integer("spatial_ndim", spatial_ndim, least=1, most=MOST_AXES)
    named = dtype_name(dtype, DTYPES, ": others tell too few products apart")
    most = integer("most_calls", most_calls, least=1)
    groups = None if groups is None else integer("groups", groups, least=1)
    return _Reader(function, spatial_ndim, named, bias=flag("bias", bias), most=most).read(layout, groups)


class _Reader:
    """The function, how it is called, and what it did."""

    def __init__(self, function: Callable[..., Any], spatial_ndim: int, dtype: str, *, bias: bool, most: int) -> None:
        self.function, self.spatial_ndim, self.dtype, self.bias, self.most = function, spatial_ndim, dtype, bias, most
        self.calls = 0
        self.error: Exception | None = None

    def read(self, layout: str | None, groups: int | None) -> ReadFormula:
        """Try the layouts in which the function can be called, one after the other."""
        if groups is not None:
            largest = self._first(groups).shapes["X"]
            check_entries(f"X with groups={groups}", largest, MOST_RESULTS, "a small layer has", "give fewer groups")
        ways = list(arrangements(layout, groups, self.spatial_ndim))
        refused: list[Unreadable] = []
        others: list[ReadFormula] = []
        odd: list[Arrangement] = []
        for way in ways:
            value = self._result(way)
            if value is None:
                continue
            if not value.size or value.shape[:2] != self._first(way.groups).shapes["G"][:2]:
                odd.append(way)
                continue
            try:
                found = self._formula(way)
            except Unreadable as error:
                refused.append(error)
                continue
            if found.is_convolution:
                return found
            # Arrays in a wrong order may be taken, too.
            others.append(found)
        if others:
            return others[0]
        if refused:
            raise refused[0]
        if odd:
            # Without the images and filters that were given it is no convolution, whatever it does.
            return self._formula(odd[0])
        self._result(ways[0])
        raise Unreadable(self._raises()) from self.error

    # calls ------------------------------------------------------------------------------------------------------------

    def _value(self, way: Arrangement, layer: Layer, arrays: Mapping[str, Array]) -> Array | None:
        """Call the function, with zeros for the arrays that are not given; None where it raises."""
        shapes = layer.shapes
        X, F, b = (np.asarray(arrays.get(each, np.zeros(shapes[each])), self.dtype) for each in "XFb")
        try:
            with np.errstate(all="ignore"):
                return np.array(way.call(self._counted, X, F, [b] if self.bias else []), np.float64)
        except TooLargeError as error:  # it would be as slow in all layouts
            raise Unreadable(f"No formula was found: {error}.") from error
        except Exception as error:  # whatever it raises is what is reported
            self.error = error
            return None

    def _counted(self, *arrays: Array) -> Any:
        self.calls += 1
        return self.function(*arrays)

    def _first(self, groups: int) -> Layer:
        return _layer(Options((AxisOptions(),) * self.spatial_ndim, groups), FIRST)

    def _result(self, way: Arrangement) -> Array | None:
        layer = self._first(way.groups)
        return self._value(way, layer, _drawn(layer, 0))

    # the formula ------------------------------------------------------------------------------------------------------

    def _formula(self, way: Arrangement) -> ReadFormula:
        call, first = functools.partial(self._value, way), self._first(way.groups)
        self._check_steady(call, first)
        structure = Structure(self.spatial_ndim, way.groups)
        options = estimate(_without_constant(call), structure, self.dtype)
        # The images of a transposed convolution need not be as large as its responses.
        axes = tuple(dataclasses.replace(each, stride=1) if each.transposed else each for each in options.axes)
        drawn = layers(structure, dataclasses.replace(options, axes=axes).geometry)
        known = [Layer(options.geometry(each.geometry.image, each.geometry.filters), each.images) for each in drawn]
        try:
            found = formula_of(call, "S", structure, options.geometry, self.dtype, self.most, known)
        except Unreadable as error:
            raise Unreadable(self._why(call, first) or f"No formula was found: {error}.") from error
        known += [_layer(options, each) for each in LARGER]
        # What is done to each plane before planes are summed shows where there is one.
        known.sort(key=lambda layer: layer.geometry.planes_per_group)
        agree = [layer for seed, layer in enumerate(known) if self._agrees(call, found, layer, seed)]
        if not agree:
            raise Unreadable(self._raises()) from self.error
        return ReadFormula(
            **vars(found),
            axes=options.axes,
            stride=tuple(each.stride for each in options.axes),
            dilation=tuple(each.dilation for each in options.axes),
            padding=tuple((each.before, each.after) for each in options.axes),
            turned=all(each.turned for each in options.axes),
            transposed=options.axes[0].transposed,
            groups=way.groups,
            depthwise=way.depthwise,
            layout=way.layout,
            differences=_differences(found, options, agree),
            layers=len(agree),
            calls=self.calls,
        )

    def _agrees(self, call: Plain, found: Formula, layer: Layer, seed: int) -> bool:
        """Hold a formula against the function at numbers of both signs, if it gives anything at this layer."""
        arrays = _drawn(layer, seed)
        value = call(layer, arrays)
        if value is None or not value.size:
            return False
        predicted, most = (found.predict(sizes_of(layer), arrays, absolute=each) for each in (False, True))
        g, said = layer.geometry, ""
        if predicted.shape != value.shape:
            said = f"the result has shape {value.shape}, not {predicted.shape}"
        elif off := int(np.sum(~(np.abs(predicted - value) <= self._unit(layer) * most))):
            if why := _folded(predicted, value, write(found)) or self._why(call, self._first(g.groups)):
                raise Unreadable(why)
            said = f"{off} entries of the result differ from the formula"
        if said:
            sizes = [f"{letter} {'×'.join(map(str, layer.shapes[letter]))}" for letter in "XF"]
            raise Unreadable(f"No formula was found: at {', '.join(sizes)} {said}.")
        return True

    # why not ----------------------------------------------------------------------------------------------------------

    def _raises(self) -> str:
        error = self.error
        said = f"{type(error).__name__}: {error}" if error else "an empty result"
        # One from another process has its own name in its text.
        said = str(error) if isinstance(error, ChildProcessError) else said
        return (
            f"The function cannot be called in any of the usual layouts. With planes first, it gives {said}. Check "
            "that "
            "its signature is function(X, F), or function(X, F, b) with a bias, and give its layout."
        )

    def _check_steady(self, call: Plain, layer: Layer) -> None:
        one, two = (_drawn(layer, seed) for seed in range(2))
        results = [call(layer, each) for each in (one, two, one, two, two)]
        # Where it raises, the result is None, which is not equal to a number.
        values = [np.asarray(each, np.float64) for each in results]
        if not all(np.array_equal(values[a], values[b], equal_nan=True) for a, b in ((0, 2), (1, 3), (3, 4))):
            raise Unreadable(
                "The same call returned different results: the function depends on earlier calls or on random numbers. "
                "Switch off its caches and its random numbers, and read it again."
            )

    def _why(self, call: Plain, layer: Layer) -> str:
        """Say which law of a bilinear function does not hold; empty where all do."""
        one, two = (_drawn(layer, seed) for seed in (2, 3))
        for letter in "XF":
            some = (0 * one[letter], one[letter], 2 * one[letter], two[letter], one[letter] + two[letter])
            given = [call(layer, {**one, letter: each}) for each in some]
            values = [each for each in given if each is not None]
            if len(values) < len(given):
                return self._raises()
            if len({each.shape for each in values}) > 1:
                return f"The shape of the result depends on the numbers in {letter}."
            if not np.all(np.isfinite(values)):
                return f"The result has NaN or infinite entries although {letter} is 0 or holds small integers."
            zero, first, double, second, added = values
            if np.any(zero) and np.all(np.equal(values, zero)):
                return (
                    f"The result is the same for every {letter}, and it is not 0: either the function ignores "
                    f"{letter}, "
                    "or it depends on earlier calls, for example through a cache whose key is the shape."
                )
            allowed, said = self._unit(layer) * sum(map(np.abs, values)), ""
            if np.any(np.abs(double - 2 * first + zero) > allowed):
                said = f"multiplying {letter} by 2 does not double the result."
            elif np.any(np.abs(added - first - second + zero) > allowed):
                said = (
                    f"S({letter}₁ + {letter}₂) ≠ S({letter}₁) + S({letter}₂), although multiplying {letter} by 2 "
                    "doubles "
                    "the result. Read the part of the function before its ReLU, maximum or absolute value."
                )
            if said:
                constant = f" It also adds something where {letter} is 0." if np.any(zero) and not self.bias else ""
                return f"The function is not linear in {letter}: {said}{constant}"
        return ""

    def _unit(self, layer: Layer) -> float:
        """Return the rounding error of a sum of products, as a share of their magnitudes; 0 of integers."""
        terms = sum(map(math.prod, layer.shapes.values()))
        return float(exact.gamma(terms, self.dtype)) if self.dtype in exact.SIGNIFICAND else 0.0


def _without_constant(call: Plain) -> Plain:
    """Subtract what a function gives where all arrays are 0."""
    constant = functools.cache(lambda layer: call(layer, {}))

    def linear(layer: Layer, arrays: Mapping[str, Array]) -> Array | None:
        value, added = call(layer, arrays), constant(layer)
        return None if value is None or added is None or value.shape != added.shape else value - added

    return linear


def _drawn(layer: Layer, seed: int) -> dict[str, Array]:
    """Draw small integers other than 0, of both signs."""
    generator = np.random.default_rng(seed)
    signs = {letter: generator.choice((-1.0, 1.0), shape) for letter, shape in layer.shapes.items()}
    return {letter: each * generator.integers(1, LARGEST, each.shape) for letter, each in signs.items()}


def _layer(options: Options, sizes: tuple[int, int, int, tuple[int, ...], tuple[int, ...]]) -> Layer:
    images, planes, filters, image, taps = sizes
    count, groups = len(options.axes), options.groups
    shapes = (groups * planes, *image[:count]), (groups * filters, planes, *taps[:count])
    return Layer(options.geometry(*shapes), images)


def _folded(predicted: Array, value: Array, formula: str) -> str:
    """Say what a function makes of the negative results of a formula; empty where that is no multiple of them."""
    negative = predicted < 0
    if not np.any(negative) or not np.array_equal(predicted[~negative], value[~negative]):
        return ""
    slopes = value[negative] / predicted[negative]
    if np.ptp(slopes) > float(exact.gamma(4, "float64")):
        return ""
    slope = float(slopes[0])
    names = {0.0: "a ReLU, max(0, ·)", -1.0: "the absolute value, |·|"}
    name = names.get(slope, f"a leaky ReLU, with slope {slope:.6g} for negative numbers")
    return (
        f"The function is not linear in X: it applies {name}, to {formula}. Read the part of the function before that."
    )


def _differences(found: Formula, options: Options, known: Sequence[Layer]) -> tuple[str, ...]:
    """Say in what a formula differs from the convolution with these options; nothing where they give the same."""
    right = nearest(found, options, known)
    if _same(found, right, known):
        return ()
    folded = with_folds(right, found)
    # At the border alone, if these are the same.
    found = folded if _same(found, folded, known) else found
    return explain(found, right).causes or ("it sums other products than the nearest convolution",)


def _same(one: Formula, two: Formula, known: Sequence[Layer]) -> bool:
    """Whether two formulas give the same at all of these layers."""
    for seed, layer in enumerate(known):
        first, second = (each.predict(sizes_of(layer), _drawn(layer, seed)) for each in (one, two))
        if not np.array_equal(first, second):
            return False
    return True
