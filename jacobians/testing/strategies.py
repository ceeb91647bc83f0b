"""Hypothesis strategies for layers and for the numbers in them; the numbers are such that ``==`` is the test.

Every strategy shrinks towards the examples of the lecture: two spatial axes, one plane and one filter, stride 1, no
padding, few taps, and entries that spell their own names: X12 is 12, F_2,13 is 213, g3 is 3.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians import symbolic
from jacobians.arguments import dtype_name, integer
from jacobians.audit.cases import Case
from jacobians.audit.numbers import dtype_of
from jacobians.errors import ShapeError
from jacobians.evidence import exact
from jacobians.geometry import MOST_AXES, Geometry, check_geometry, is_list
from jacobians.writing import Role

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("the strategies need hypothesis: pip install 'jacobians[testing]'") from error

__all__ = ["biases", "filters", "geometries", "images", "layers", "upstream_gradients"]

Array = npt.NDArray[Any]
Arrays = st.SearchStrategy[Array]
Dtype = npt.DTypeLike

# Two first: the lecture's number of axes is the one to shrink to.
AXES = (2, 1, 3)
ANY_AXES = st.sampled_from(AXES)
# Taps on an axis by the number of axes, so that there are few products.
MOST_TAPS = {1: 4, 2: 3}
MOST_STRIDE, MOST_DILATION, MOST_GROUPS = 5, 3, 3
SEEDS = 2**32
DTYPES = (*exact.SIGNIFICAND, "int64", "int32", "int16", "int8")


# geometries -----------------------------------------------------------------------------------------------------------


def geometries(
    *,
    spatial_ndim: int | st.SearchStrategy[int] | None = None,
    stride: Any = None,
    padding: Any = None,
    dilation: Any = None,
    groups: int | st.SearchStrategy[int] | None = None,
    max_taps: int | None = None,
    max_size: int | None = None,
    max_planes: int = 2,
    max_filters: int = 2,
) -> st.SearchStrategy[Geometry]:
    """Draw layers of all shapes that `Geometry` allows.

    Parameters
    ----------
    spatial_ndim : int or strategy, optional
        Number of spatial axes; by default 1, 2 or 3, or as many as an option has entries.
    stride, padding, dilation, groups : optional
        The options of the code under test, as `Geometry` takes them, or strategies of these. An option that is left out
        is drawn, differently for each axis, with different padding before and after the image.
    max_taps : int, optional
        The largest number of taps on an axis; by default 4 on one axis, 3 on two and 2 on three.
    max_size : int, optional
        The largest number of pixels on an axis of the image, if the filter fits into it; by default a few more than the
        filter needs.
    max_planes, max_filters : int
        The largest numbers of planes and of filters in a group.

    Returns
    -------
    strategy of Geometry
        Among them are filters of one tap and filters as large as the padded image, tails that no window reaches,
        windows that lie in padding, and several groups. They shrink to two axes, one plane, one filter, one tap, stride
        1 and no padding.

    Raises
    ------
    ShapeError
        If an option does not describe a convolution, or a largest number is below 1.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(geometries(), lambda geometry: geometry.positions > 1)
    Geometry((1, 1, 2), (1, 1, 1, 1))
    >>> find(geometries(stride=(2, 1), padding=1), lambda geometry: geometry.taps > 1)
    Geometry((1, 1, 1), (1, 1, 1, 2), stride=(2, 1), padding=1)
    """
    most = {"max_taps": max_taps, "max_size": max_size, "max_planes": max_planes, "max_filters": max_filters}
    for name, number in most.items():
        if number is not None:
            integer(name, number, least=1)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    given = {name: option for name, option in options.items() if option is not None}
    fixed = {name: option for name, option in given.items() if not isinstance(option, st.SearchStrategy)}
    if spatial_ndim is None:
        lengths = [len(tuple(option)) for option in fixed.values() if is_list(option)]
        spatial_ndim = max(lengths[0], 1) if lengths else None
    if not isinstance(spatial_ndim, st.SearchStrategy):
        _normal(1 if spatial_ndim is None else integer("spatial_ndim", spatial_ndim, least=1, most=MOST_AXES), fixed)
    return _geometries(spatial_ndim, given, most)


@st.composite
def _geometries(draw: st.DrawFn, spatial_ndim: Any, given: dict[str, Any], most: dict[str, Any]) -> Geometry:
    ndim = _drawn(draw, ANY_AXES if spatial_ndim is None else spatial_ndim)
    options = {name: _drawn(draw, option) for name, option in given.items()}
    if options.get("padding") == "same":
        options.setdefault("stride", 1)
    layer = _normal(ndim, options)
    per_axis = {name: getattr(layer, name) for name in ("stride", "padding", "dilation") if name in options}
    if options.get("padding") == "same":
        per_axis["padding"] = ("same",) * ndim
    groups, planes, filters = (
        options.get("groups", draw(st.integers(1, MOST_GROUPS))),
        draw(st.integers(1, most["max_planes"])),
        draw(st.integers(1, most["max_filters"])),
    )
    taps = most["max_taps"] or MOST_TAPS.get(ndim, 2)
    # As many axes are drawn for one as for three: a layer with fewer of them would count as a simpler one.
    drawn = [
        draw(_axis(tuple((name, option[axis % ndim]) for name, option in per_axis.items()), taps, most["max_size"]))
        for axis in range(max(AXES) if spatial_ndim is None else ndim)
    ]
    sizes, counts, steps, zeros, spacing = zip(*drawn[:ndim], strict=True)
    return Geometry(
        (groups * planes, *sizes),
        (groups * filters, planes, *counts),
        stride=steps,
        padding=zeros,
        dilation=spacing,
        groups=groups,
    )


# Strategies are drawn from thousands of times in one search, of which making them anew takes a good part.
@functools.cache
@st.composite
def _axis(
    draw: st.DrawFn, fixed: tuple[tuple[str, Any], ...], most_taps: int, most_pixels: int | None
) -> tuple[Any, ...]:
    """Size, taps, stride, padding pair and dilation of one spatial axis."""
    given = dict(fixed)
    taps = draw(st.integers(1, most_taps))
    spacing = given.get("dilation") or draw(st.integers(1, MOST_DILATION))
    extent = (taps - 1) * spacing + 1
    zeros = given.get("padding") or draw(_padding(taps))
    if zeros == "same":
        zeros = ((extent - 1) // 2, extent // 2)
    needed = max(1, extent - sum(zeros))
    more = 2 * most_taps if most_pixels is None else max(0, most_pixels - needed)
    stride = given.get("stride") or draw(st.integers(1, MOST_STRIDE))
    return needed + draw(st.integers(0, more)), taps, stride, zeros, spacing


@functools.cache
def _padding(taps: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.just((0, 0)) | st.tuples(*[st.integers(0, taps + 1)] * 2)


def _drawn(draw: st.DrawFn, option: Any) -> Any:
    return draw(option) if isinstance(option, st.SearchStrategy) else option


def _normal(ndim: int, options: dict[str, Any]) -> Geometry:
    """Check options, and write them with one entry per axis."""
    planes = integer("groups", options.get("groups", 1), least=1)
    # Large enough for any option; only the options are looked at.
    return Geometry((planes, *(2**20,) * ndim), (planes, 1, *(1,) * ndim), **options)


# numbers --------------------------------------------------------------------------------------------------------------


def images(
    geometry: Geometry,
    *,
    dtype: Dtype = "float64",
    batch: int | None = None,
    accumulate: Dtype | None = None,
) -> Arrays:
    """Draw images X of a layer.

    Parameters
    ----------
    geometry : Geometry
        The layer.
    dtype : dtype
        Dtype of the array: float64, float32, float16, bfloat16, int64, int32, int16 or int8.
    batch : int, optional
        Number of images, on a leading axis; by default there is one image and no such axis.
    accumulate : dtype, optional
        The dtype in which the code under test promises to sum; by default `dtype`.

    Returns
    -------
    strategy of ndarray, shape (d, *spatial) or (batch, d, *spatial)
        Integers other than 0, so small that S, ∂l/∂X, ∂l/∂F and ∂l/∂b do not round in any order of summation. They are
        distinct if the dtype has enough exact integers, and the array always changes if an axis is reversed or two axes
        are swapped. They shrink to entries that spell their names, or to 1, 2, 3, … if those are too large to be exact.

    Raises
    ------
    ShapeError
        If the sums of the layer are so long that no integers are exact.
    DtypeError
        If the dtype is not one of those above.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(images(Geometry((1, 2, 3), (1, 1, 2, 2)), dtype="float32"), lambda X: True)
    array([[[11., 12., 13.],
            [21., 22., 23.]]], dtype=float32)
    """
    return _numbers("X", "image", geometry, dtype, batch, accumulate)


def filters(geometry: Geometry, *, dtype: Dtype = "float64", accumulate: Dtype | None = None) -> Arrays:
    """Draw filters F of a layer, of shape (n, d // groups, *taps), as `images` draws images."""
    return _numbers("F", "filters", geometry, dtype, None, accumulate)


def upstream_gradients(
    geometry: Geometry,
    *,
    dtype: Dtype = "float64",
    batch: int | None = None,
    accumulate: Dtype | None = None,
) -> Arrays:
    """Draw upstream gradients G of a layer, of shape (n, *out) or (batch, n, *out), as `images` draws images."""
    return _numbers("g", "responses", geometry, dtype, batch, accumulate)


def biases(geometry: Geometry, *, dtype: Dtype = "float64", accumulate: Dtype | None = None) -> Arrays:
    """Draw biases b of a layer, of shape (n,), as `images` draws images."""
    return _numbers("b", "bias", geometry, dtype, None, accumulate)


def layers(
    *,
    dtype: Dtype = "float64",
    batch: int | None = None,
    accumulate: Dtype | None = None,
    **options: Any,
) -> st.SearchStrategy[tuple[Geometry, Array, Array, Array]]:
    """Draw layers together with their numbers.

    Parameters
    ----------
    dtype, batch, accumulate
        As `images` takes them.
    **options
        As `geometries` takes them.

    Returns
    -------
    strategy of (Geometry, ndarray, ndarray, ndarray)
        A geometry, X, F and G.

    Examples
    --------
    >>> from hypothesis import find
    >>> geometry, X, F, G = find(layers(), lambda layer: layer[0].taps > 1)
    >>> geometry, X.tolist(), F.tolist(), G.tolist()
    (Geometry((1, 1, 2), (1, 1, 1, 2)), [[[11.0, 12.0]]], [[[[11.0, 12.0]]]], [[[1.0]]])
    """
    some = geometries(**options).filter(lambda each: _magnitude(each, dtype, batch, accumulate) > 0)
    return some.flatmap(
        lambda geometry: st.tuples(
            st.just(geometry),
            images(geometry, dtype=dtype, batch=batch, accumulate=accumulate),
            filters(geometry, dtype=dtype, accumulate=accumulate),
            upstream_gradients(geometry, dtype=dtype, batch=batch, accumulate=accumulate),
        )
    )


def _magnitude(geometry: Geometry, dtype: Dtype, batch: int | None, accumulate: Dtype | None) -> int:
    dtype = dtype_name(dtype, DTYPES)
    accumulate = dtype if accumulate is None else dtype_name(accumulate, DTYPES, name="accumulate")
    terms = Case(geometry, 1 if batch is None else integer("batch", batch, least=1)).terms
    return min(exact.exact_limit(dtype), exact.exact_magnitude(accumulate, terms))


def _numbers(
    letter: str,
    role: Role,
    geometry: Geometry,
    dtype: Dtype,
    batch: int | None,
    accumulate: Dtype | None,
) -> Arrays:
    magnitude = _magnitude(check_geometry(geometry), dtype, batch, accumulate)
    if magnitude < 1:
        raise ShapeError(
            f"{geometry!r} has sums so long that {accumulate or dtype} has no exact integers for them; draw smaller "
            "layers with max_size, max_taps and max_filters, or name a wider dtype to accumulate in"
        )
    one = {"image": geometry.image, "filters": geometry.filters, "responses": geometry.responses}
    shape = (*(() if batch is None else (batch,)), *one.get(role, geometry.filters[:1]))
    names = functools.partial(symbolic.names, letter, role, geometry)
    wanted = dtype_of(dtype_name(dtype, DTYPES))
    return _filled(shape, magnitude, names, batch or 1).map(operator.methodcaller("astype", wanted))


@st.composite
def _filled(
    draw: st.DrawFn, shape: tuple[int, ...], magnitude: int, names: Callable[[], Sequence[str]], batch: int
) -> Array:
    """Fill an array with a seed's draw from −span … −1, 1 … span; of seed 0 with its entries' names, if exact."""
    seed = draw(st.integers(0, SEEDS - 1))
    span = draw(st.integers(min(math.prod(shape), magnitude), magnitude))
    count = math.prod(shape)
    codes = _codes(names(), batch, magnitude) if seed == 0 else None
    if codes:
        return np.array(codes).reshape(shape)
    for attempt in itertools.count():
        drawn = np.random.default_rng((seed, attempt)).choice(2 * span, count, replace=2 * span < count)
        values = np.where(drawn % 2, -1, 1) * (drawn // 2 + 1)
        if 2 * span >= count or not _is_degenerate(values.reshape(shape)):
            return np.asarray(values.reshape(shape))
    raise AssertionError("unreachable: some draw has no symmetry")


def _codes(names: Sequence[str], batch: int, magnitude: int) -> list[int] | None:
    """Spell names as numbers, or count them; None where even that takes larger numbers than are exact."""
    digits = [re.sub(r"\D", "", name) or "1" for name in names]
    images = [str(image) for image in range(1, batch + 1)] if batch > 1 else [""]
    spelt = [int(image + each) for image in images for each in digits]
    counted = list(range(1, len(spelt) + 1))
    return next((each for each in (spelt, counted) if len(set(each)) == len(each) and max(each) <= magnitude), None)


def _is_degenerate(A: Array) -> bool:
    """Whether reversing some axes, or exchanging two, changes nothing."""
    axes = [axis for axis, size in enumerate(A.shape) if size > 1]
    reversed_axes = [kept for count in range(1, len(axes) + 1) for kept in itertools.combinations(axes, count)]
    exchanged = [pair for pair in itertools.combinations(axes, 2) if A.shape[pair[0]] == A.shape[pair[1]]]
    return any(np.array_equal(A, np.flip(A, each)) for each in reversed_axes) or any(
        np.array_equal(A, A.swapaxes(*pair)) for pair in exchanged
    )
