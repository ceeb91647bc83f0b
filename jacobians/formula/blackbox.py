"""The formula of a function of an image and filters of which nothing is known, and which convolution it is."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.errors import DtypeError, ShapeError
from jacobians.errors import nearest as alike
from jacobians.evidence import exact
from jacobians.formula.arrangement import Arrangement, arrangements
from jacobians.formula.estimate import AxisOptions, Options, estimate
from jacobians.formula.kind import described, nearest, with_folds
from jacobians.formula.products import MOST_CALLS, MOST_DENOMINATOR, Unreadable, layers, rational
from jacobians.formula.reading import formula_of
from jacobians.formula.relation import Coefficient, Formula, Term, View
from jacobians.formula.structure import Layer, Structure, sizes_of
from jacobians.formula.words import explain
from jacobians.formula.writing import Style, write

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
    """The formula of a function, and what is known of the function.

    Attributes
    ----------
    axes : tuple of AxisOptions
        The options of each spatial axis; of a function that is no convolution, those of the nearest one.
    groups : int
        Groups of planes; of depthwise code, those of the layers that were tried.
    depthwise : bool
        Whether there is one group per plane, however many there are.
    layout : str
        The axes of X, F and S, such as "NHWC,HWIO->NHWC"; without N, one image at a time.
    differences : tuple of str
        In what it differs from the nearest convolution; empty for a convolution.
    layers, calls : int
        At how many layers the formula gives what the function gives, and how often that was called.
    """

    axes: tuple[AxisOptions, ...] = ()
    groups: int = 1
    depthwise: bool = False
    layout: str = ""
    differences: tuple[str, ...] = ()
    layers: int = 0
    calls: int = 0

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution, or a transposed one."""
        return not self.differences

    @property
    def stride(self) -> tuple[int, ...]:
        """One per spatial axis."""
        return tuple(each.stride for each in self.axes)

    @property
    def dilation(self) -> tuple[int, ...]:
        """One per spatial axis."""
        return tuple(each.dilation for each in self.axes)

    @property
    def padding(self) -> tuple[tuple[int | str, int | str], ...]:
        """Before and after, per spatial axis: numbers, or text where they depend on the filter, or the image."""
        return tuple((each.before, each.after) for each in self.axes)

    @property
    def turned(self) -> bool:
        """Whether the filter is turned."""
        return all(each.turned for each in self.axes)

    @property
    def transposed(self) -> bool:
        """Whether image and response map are exchanged."""
        return self.axes[0].transposed

    def write(self, style: Style = "unicode") -> str:
        """Return the formula on one line.

        Parameters
        ----------
        style : {"unicode", "text", "latex"}
            With the signs of mathematics, in ASCII, or for LaTeX.

        Returns
        -------
        str
            ``S[i, l, m] = Σ X[k, y, x] · F[i, k, a, b]   over  y = 2l + a − 1,  x = m + b``.
        """
        return write(self, style)

    def responses(self, X: npt.ArrayLike, F: npt.ArrayLike, b: npt.ArrayLike | None = None) -> Array:
        """Compute what the formula says that the function returns.

        Parameters
        ----------
        X : array_like, shape (N, d, *image)
            The images, planes first whatever the layout of the function is.
        F : array_like, shape (n, d / groups, *taps)
            The filters.
        b : array_like, shape (n,), optional
            The bias.

        Returns
        -------
        ndarray, shape (N, n, *out)
            int64 of integers, else float64.
        """
        arrays = {"X": np.asarray(X), "F": np.asarray(F)} | ({} if b is None else {"b": np.asarray(b)})
        options = Options(self.axes, self.groups)
        layer = Layer(options.geometry(arrays["X"].shape[1:], arrays["F"].shape), len(arrays["X"]))
        return self.predict(sizes_of(layer), arrays)

    def __str__(self) -> str:
        options = described(Options(self.axes, self.groups), depthwise=self.depthwise)
        name = "transposed convolution" if self.transposed else "convolution"
        kind = f"It is a {name}: {options}."
        if not self.is_convolution:
            kind = (
                f"It is no convolution. Compared with the nearest one ({options}): {', and '.join(self.differences)}."
            )
        held = f"The formula gives exactly what the function gives at {self.layers} layers."
        return f"{self.write()}\n{kind}\nThe axes of X, F and S are {self.layout}.\n{held}"

    def to_dict(self) -> dict[str, Any]:
        """Return the record for machines.

        Returns
        -------
        dict
            The formula in three styles, and the attributes by their names.
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
    dtype: str = "float64",
    layout: str | None = None,
    groups: int | None = None,
    most_calls: int = MOST_CALLS,
) -> ReadFormula:
    """Read the formula of any function of an image and filters, and which convolution it is.

    Parameters
    ----------
    function : callable
        ``function(X, F[, b]) -> S`` of NumPy arrays: X (N, d, *spatial), F (n, d/groups, *taps), b (n,) and
        S (N, n, *out), or with these axes in another order, or for one image, or one plane, at a time. It is called
        at many small sizes.
    spatial_ndim : int
        Number of spatial axes, 1 to 3.
    bias : bool
        Whether it takes a bias.
    dtype : str
        Of the arrays: float64, float32, int64 or int32.
    layout : str, optional
        The order of the axes, such as "NHWC,HWIO->NHWC"; by default those that are usual are tried.
    groups : int, optional
        By default 1 to 4, and one per plane, are tried.
    most_calls : int
        Of the function, for the formula itself; finding out layout and options takes some more.

    Returns
    -------
    ReadFormula
        Equations between the indices of X, F and S, as in L1, and stride, padding, dilation, groups, whether the filter
        is turned, and the layout.

    Raises
    ------
    Unreadable
        If no formula was found: the function raises, depends on earlier calls, is not linear in X or in F, or sums
        products that follow no relation between indices. The message says which.
    TypeError
        If `function` is none.
    ShapeError
        If `layout` is none, or there are more than three spatial axes.
    DtypeError
        If `dtype` is another one.

    Notes
    -----
    The function is given distinct random integers, which tell which entries are multiplied in each entry of S. The
    formula is fitted at a few layers, and has to give exactly what the function gives at others, larger ones among
    them, at numbers of both signs.

    Examples
    --------
    >>> from scipy.signal import convolve2d
    >>> found = read(lambda X, F: convolve2d(X, F, mode="valid")[::2])
    >>> print(found.write())
    S[i, l, m] = Σ X[k, y, x] · F[i, k, a, b]   over  y = 2l − a + K − 1,  x = m − b + L − 1
    >>> found.stride, found.padding, found.turned, found.layout
    ((2, 1), ((0, 0), (0, 0)), True, 'HW,HW->HW')
    """
    if not callable(function):
        raise TypeError(f"function has type {type(function).__name__}; it needs a function of NumPy arrays")
    if spatial_ndim not in range(1, MOST_AXES + 1):
        raise ShapeError(f"spatial_ndim is {spatial_ndim!r}; it needs 1, 2 or 3")
    if dtype not in DTYPES:
        raise DtypeError(
            f"dtype is {dtype!r}; it needs one of {', '.join(DTYPES)}: others tell too few products apart"
            f"{alike(dtype, DTYPES)}"
        )
    return _Reader(function, spatial_ndim, dtype, bias=bias, most=most_calls).read(layout, groups)


class _Reader:
    """The function, how it is called, and what it did."""

    def __init__(self, function: Callable[..., Any], spatial_ndim: int, dtype: str, *, bias: bool, most: int) -> None:
        self.function, self.spatial_ndim, self.dtype, self.bias, self.most = function, spatial_ndim, dtype, bias, most
        self.calls = 0
        self.error: Exception | None = None

    def read(self, layout: str | None, groups: int | None) -> ReadFormula:
        """Try the layouts in which the function can be called, one after the other."""
        refused: list[Unreadable] = []
        others: list[ReadFormula] = []
        ways = list(arrangements(layout, groups, self.spatial_ndim))
        for way in ways:
            if self._takes(way):
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
        # Whatever it does, it is no convolution: it is told from the first layout in which it does anything.
        for way in ways:
            if self._result(way) is not None:
                return self._formula(way)
        self._result(ways[0])
        raise Unreadable(self._raises()) from self.error

    # calls ------------------------------------------------------------------------------------------------------------

    def _value(self, way: Arrangement, layer: Layer, arrays: Mapping[str, Array]) -> Array | None:
        """Call the function, with zeros for the arrays that are not given; None where it raises."""
        given = {
            letter: np.asarray(arrays.get(letter, np.zeros(shape)), self.dtype)
            for letter, shape in layer.shapes.items()
        }
        try:
            with np.errstate(all="ignore"):
                found = way.call(self._counted, given["X"], given["F"], [given["b"]] if self.bias else [])
                return np.array(found, np.float64)
        except Exception as error:  # whatever it raises is what is reported
            self.error = error
            return None

    def _counted(self, *arrays: Array) -> Any:
        self.calls += 1
        return self.function(*arrays)

    def _result(self, way: Arrangement) -> Array | None:
        layer = self._first(way.groups)
        return self._value(way, layer, self._draw(layer, 0))

    def _takes(self, way: Arrangement) -> bool:
        """Whether a result comes that has the images and filters that were given."""
        layer, value = self._first(way.groups), self._result(way)
        return value is not None and value.size > 0 and value.shape[:2] == (layer.images, layer.geometry.filters[0])

    def _first(self, groups: int) -> Layer:
        return _layer(Options((AxisOptions(),) * self.spatial_ndim, groups), FIRST)

    def _draw(self, layer: Layer, seed: int) -> dict[str, Array]:
        """Draw small integers other than 0, of both signs."""
        generator = np.random.default_rng(seed)
        signs = {letter: generator.choice((-1.0, 1.0), shape) for letter, shape in layer.shapes.items()}
        return {letter: each * generator.integers(1, LARGEST, each.shape) for letter, each in signs.items()}

    # the formula ------------------------------------------------------------------------------------------------------

    def _formula(self, way: Arrangement) -> ReadFormula:
        first = self._first(way.groups)
        plain = functools.partial(self._value, way)
        self._check_steady(plain, first)
        added = self._added(plain, first)
        call = _without(plain, added) if added else plain
        structure = Structure(self.spatial_ndim, way.groups)
        options = estimate(call, structure, self.dtype)
        try:
            found = formula_of(call, "S", structure, options.geometry, self.dtype, self.most)
        except Unreadable as error:
            raise Unreadable(self._why(call, first) or f"No formula was found: {error}.") from error
        if added:
            constant = Term((View(structure.tensors["S"]),), (), coefficient=Coefficient(added))
            found = dataclasses.replace(found, terms=(*found.terms, constant))
        known = [*layers(structure, options.geometry), *(_layer(options, each) for each in LARGER)]
        # What is done to each plane before planes are summed shows where there is one.
        known.sort(key=lambda layer: layer.geometry.planes_per_group)
        agree = self._check(plain, found, known, first)
        differences = _differences(found, options, [layer for layer, _ in agree])
        fields = {each.name: getattr(found, each.name) for each in dataclasses.fields(found)}
        return ReadFormula(
            **fields,
            axes=options.axes,
            groups=way.groups,
            depthwise=way.depthwise,
            layout=way.layout,
            differences=differences,
            layers=len(agree),
            calls=self.calls,
        )

    def _added(self, call: Plain, layer: Layer) -> Fraction:
        """Return the number that the function adds to every entry, where all arrays are 0."""
        value = call(layer, {})
        if value is None or not np.all(np.isfinite(value)) or not value.size or np.ptp(value):
            return Fraction(0)
        return Fraction(float(rational(value.reshape(-1)[:1])[0])).limit_denominator(MOST_DENOMINATOR)

    def _check(self, call: Plain, found: Formula, known: Sequence[Layer], first: Layer) -> list[tuple[Layer, Array]]:
        """Hold a formula against the function at numbers of both signs."""
        agree = []
        for seed, layer in enumerate(known):
            arrays = self._draw(layer, seed)
            value = call(layer, arrays)
            if value is None or not value.size:
                continue
            predicted, most = (found.predict(sizes_of(layer), arrays, absolute=each) for each in (False, True))
            unit = self._unit(layer)
            if predicted.shape != value.shape:
                shapes = f"the result has shape {value.shape}, not {predicted.shape}"
                raise Unreadable(f"No formula was found: at {_sized(layer)} {shapes}.")
            off = int(np.sum(~(np.abs(predicted - value) <= unit * most)))
            if off:
                said = _folded(predicted, value, write(found)) or self._why(call, first)
                raise Unreadable(said or f"No formula was found: at {_sized(layer)} {off} entries are others.")
            agree.append((layer, value))
        if not agree:
            raise Unreadable(self._raises()) from self.error
        return agree

    # why not ----------------------------------------------------------------------------------------------------------

    def _raises(self) -> str:
        error = self.error
        said = f"{type(error).__name__}: {error}" if error else "an empty result"
        # One from another process has its own name in its text.
        said = str(error) if isinstance(error, ChildProcessError) else said
        return (
            f"The function cannot be called in any of the usual layouts. With planes first it gives: {said}. Check its "
            "signature, which is function(X, F), or function(X, F, b) with a bias, and say which layout it takes."
        )

    def _check_steady(self, call: Plain, layer: Layer) -> None:
        one, two = (self._draw(layer, seed) for seed in range(2))
        results = [call(layer, each) for each in (one, two, one, two, two)]
        pairs = ((0, 2), (1, 3), (3, 4))
        if any(not _equal(results[a], results[b]) for a, b in pairs):
            raise Unreadable(
                "The result of the same call differs: the function depends on earlier calls, or on random numbers. "
                "Switch off what it keeps between calls, and what it draws, and read it again."
            )

    def _why(self, call: Plain, layer: Layer) -> str:
        """Say which law of a bilinear function does not hold; empty where all do."""
        one, two = (self._draw(layer, seed) for seed in (2, 3))
        for letter in "XF":
            other = {name: each for name, each in one.items() if name != letter}
            values = [
                call(layer, {**other, letter: each})
                for each in (0 * one[letter], one[letter], 2 * one[letter], two[letter], one[letter] + two[letter])
            ]
            if any(value is None for value in values):
                return self._raises()
            zero, first, double, second, added = (np.asarray(value) for value in values)
            if not all(np.all(np.isfinite(each)) for each in (zero, first, double, second, added)):
                return f"The result has entries that are no finite numbers, where {letter} is 0 or small integers."
            constant = f" Besides, it adds something where {letter} is 0." if np.any(zero) and not self.bias else ""
            if np.any(zero) and np.array_equal(zero, first) and np.array_equal(zero, second):
                return (
                    f"The result is the same whatever {letter} is, and not 0: the function depends on earlier calls, "
                    f"such as results that it keeps by shapes, or not on {letter}."
                )
            if said := _broken(letter, self._unit(layer), zero, first, double, second, added):
                return said + constant
        return ""

    def _unit(self, layer: Layer) -> float:
        """Return the rounding error of a sum of products, as a share of their magnitudes; 0 of integers."""
        terms = sum(map(math.prod, layer.shapes.values()))
        return float(exact.gamma(terms, self.dtype)) if self.dtype in exact.SIGNIFICAND else 0.0


def _without(call: Plain, added: Fraction) -> Plain:
    """Subtract what a function adds to every entry."""

    def linear(layer: Layer, arrays: Mapping[str, Array]) -> Array | None:
        value = call(layer, arrays)
        return None if value is None else value - float(added)

    return linear


def _broken(letter: str, unit: float, zero: Array, first: Array, double: Array, second: Array, added: Array) -> str:
    size = sum(map(np.abs, (zero, first, double, second, added)))
    if np.any(np.abs(double - 2 * first + zero) > unit * size):
        return f"The function is not linear in {letter}: scaling {letter} by 2 does not double the result."
    if np.any(np.abs(added - first - second + zero) > unit * size):
        return (
            f"The function is not linear in {letter}: S({letter}₁ + {letter}₂) ≠ S({letter}₁) + S({letter}₂), although "
            f"scaling {letter} by 2 doubles the result. Read what is before a ReLU, a maximum or an absolute value."
        )
    return ""


def _layer(options: Options, sizes: tuple[int, int, int, tuple[int, ...], tuple[int, ...]]) -> Layer:
    images, planes, filters, image, taps = sizes
    count, groups = len(options.axes), options.groups
    shapes = (groups * planes, *image[:count]), (groups * filters, planes, *taps[:count])
    return Layer(options.geometry(*shapes), images)


def _sized(layer: Layer) -> str:
    g = layer.geometry
    return f"X {'×'.join(map(str, (layer.images, *g.image)))}, F {'×'.join(map(str, g.filters))}"


def _equal(one: Array | None, two: Array | None) -> bool:
    if one is None or two is None:
        return one is two
    return np.array_equal(one, two, equal_nan=True)


def _folded(predicted: Array, value: Array, formula: str) -> str:
    """Say what a function makes of the negative results of a formula; empty where that is no multiple of them."""
    negative = predicted < 0
    if not np.any(negative) or not np.array_equal(predicted[~negative], value[~negative]):
        return ""
    slopes = value[negative] / predicted[negative]
    if np.ptp(slopes) > float(exact.gamma(4, "float64")):
        return ""
    slope = float(slopes[0])
    name = "max(0, ·)" if slope == 0 else "the absolute value" if slope == -1 else f"{slope:.6g} times what is negative"
    what = "a ReLU" if slope == 0 else "an absolute value" if slope == -1 else "a leaky ReLU"
    return f"The function is not linear in X: it is {what}, {name}, of {formula}. Read what is before it."


def _differences(found: Formula, options: Options, known: Sequence[Layer]) -> tuple[str, ...]:
    """Say in what a formula differs from the convolution with these options; nothing where they give the same."""
    geometry = known[0].geometry
    right = nearest(found, options, geometry)
    if _same(found, right, known):
        return ()
    folded = with_folds(right, found)
    if folded != right and _same(found, folded, known):
        # At the border alone: the words for that are those for a filter that is not turned.
        plain = nearest(
            found,
            Options(tuple(dataclasses.replace(each, turned=False) for each in options.axes), options.groups),
            geometry,
        )
        found, right = with_folds(plain, found), plain
    return explain(found, right).causes or ("its products are others than those of the nearest convolution",)


def _same(one: Formula, two: Formula, known: Sequence[Layer]) -> bool:
    """Whether two formulas give the same at all of these layers."""
    for seed, layer in enumerate(known):
        generator = np.random.default_rng(seed)
        arrays = {letter: generator.integers(-99, 99, shape) for letter, shape in layer.shapes.items()}
        sizes = sizes_of(layer)
        if not np.array_equal(one.predict(sizes, arrays), two.predict(sizes, arrays)):
            return False
    return True
