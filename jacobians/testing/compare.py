"""Assertions about one result: exact if no sum rounds, otherwise within the rounding bound. They say what is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.arguments import flag, unmasked
from jacobians.audit.cases import Case
from jacobians.audit.numbers import ConvolutionProbe
from jacobians.audit.sums import expected, slack
from jacobians.errors import AuditError, DtypeError, ShapeError
from jacobians.evidence import exact
from jacobians.geometry import Geometry, check_geometry
from jacobians.testing.story import Mismatch

__all__ = ["assert_bias_gradient", "assert_filter_gradient", "assert_forward", "assert_input_gradient"]

Array = npt.NDArray[Any]

ROLES = {"X": "image", "F": "filters", "G": "responses", "b": "bias"}
NAMES = {"b": "bias"}


def assert_forward(
    S: npt.ArrayLike,
    X: npt.ArrayLike,
    F: npt.ArrayLike,
    geometry: Geometry,
    *,
    bias: npt.ArrayLike | None = None,
    fast: bool = False,
) -> None:
    """Assert that S_i = X ∗ F_i + b_i (L1, L2).

    Parameters
    ----------
    S : array_like, shape (n, *out) or (N, n, *out)
        The result of the code under test. It must have the dtype of the inputs; for integers, any integer dtype.
    X : array_like, shape (d, *spatial) or (N, d, *spatial)
        The image, or N images.
    F : array_like, shape (n, d // groups, *taps)
        The filters.
    geometry : Geometry
        The layer.
    bias : array_like, shape (n,), optional
        The bias, one scalar per filter.
    fast : bool
        Whether the code is an FFT or Winograd algorithm. Then its result may differ by a larger bound, as in an audit.

    Raises
    ------
    AuditError
        If the result is wrong, with the first wrong entries and the formulas of the right ones.
    ShapeError, DtypeError
        If the inputs do not fit the layer, or are not numbers.
    OverflowError
        If integers are so large that the right sums do not fit in int64.

    Notes
    -----
    An entry whose factors are integers and whose ``Σ|terms|`` is exact in the dtype must be the right number. Any other
    entry may differ by ``γ_N · Σ|terms|`` for its N terms, a bound that holds for any order of summation (Higham,
    Accuracy and Stability of Numerical Algorithms, 2nd ed., ch. 3), and by the same bound in float64 for the sum that
    it is compared with.

    Examples
    --------
    >>> assert_forward([[[11, 38]]], [[[1, 5, 7]]], [[[[1, 2]]]], Geometry((1, 1, 3), (1, 1, 1, 2)))
    Traceback (most recent call last):
    jacobians.errors.AuditError: ✗ S is wrong
      layer: X 1×1×3, F 1×1×1×2, stride 1, padding 0, int64
      S12: expected X12F11 + X13F12 = 19, got 38
      1 of 2 entries are wrong
      cure: Audit the function, which reads out the formula that it computes: jacobians.audit(forward, backward).
    """
    __tracebackhide__ = True
    given = {"X": X, "F": F} | ({} if bias is None else {"b": bias})
    _check("S", S, given, geometry, fast=fast)


def assert_filter_gradient(
    dF: npt.ArrayLike, X: npt.ArrayLike, G: npt.ArrayLike, geometry: Geometry, *, fast: bool = False
) -> None:
    """Assert that dF is ∂l/∂F (L10 … L12), summed over the images of a batch.

    Parameters
    ----------
    dF : array_like, shape (n, d // groups, *taps)
        The result of the code under test.
    X : array_like, shape (d, *spatial) or (N, d, *spatial)
        The image, or N images.
    G : array_like, shape (n, *out) or (N, n, *out)
        The upstream gradient ∂l/∂S.
    geometry, fast
        As in `assert_forward`.

    Raises
    ------
    AuditError, ShapeError, DtypeError, OverflowError
        As in `assert_forward`.
    """
    __tracebackhide__ = True
    _check("dF", dF, {"X": X, "G": G}, geometry, fast=fast)


def assert_input_gradient(
    dX: npt.ArrayLike, G: npt.ArrayLike, F: npt.ArrayLike, geometry: Geometry, *, fast: bool = False
) -> None:
    """Assert that dX is ∂l/∂X (L16 … L20).

    Parameters
    ----------
    dX : array_like, shape (d, *spatial) or (N, d, *spatial)
        The result of the code under test.
    G : array_like, shape (n, *out) or (N, n, *out)
        The upstream gradient ∂l/∂S.
    F : array_like, shape (n, d // groups, *taps)
        The filters.
    geometry, fast
        As in `assert_forward`.

    Raises
    ------
    AuditError, ShapeError, DtypeError, OverflowError
        As in `assert_forward`.
    """
    __tracebackhide__ = True
    _check("dX", dX, {"G": G, "F": F}, geometry, fast=fast)


def assert_bias_gradient(db: npt.ArrayLike, G: npt.ArrayLike, geometry: Geometry, *, fast: bool = False) -> None:
    """Assert that db is ∂l/∂b, the sum of each response map of G (L21), summed over the images of a batch.

    Parameters
    ----------
    db : array_like, shape (n,)
        The result of the code under test.
    G : array_like, shape (n, *out) or (N, n, *out)
        The upstream gradient ∂l/∂S.
    geometry, fast
        As in `assert_forward`.

    Raises
    ------
    AuditError, ShapeError, DtypeError, OverflowError
        As in `assert_forward`.
    """
    __tracebackhide__ = True
    _check("db", db, {"G": G}, geometry, fast=fast)


# the comparison -------------------------------------------------------------------------------------------------------


def _check(
    name: str, result: npt.ArrayLike, given: Mapping[str, npt.ArrayLike], geometry: Geometry, *, fast: bool
) -> None:
    __tracebackhide__ = True
    flag("fast", fast)
    probe, batched = _probe(given, check_geometry(geometry))
    single = not batched and name in {"S", "dX"}
    got = unmasked(name, result)
    got = got[None] if single else got
    right, bound = expected(probe, backward=name != "S")[name], _bound(name, probe, tuple(given))
    if fast:
        bound = np.maximum(bound, slack(probe, name))
    mismatch = Mismatch(name, probe, got, right, np.broadcast_to(bound, right.shape), single)
    if got.shape != right.shape or not mismatch.has_right_dtype or len(mismatch.wrong):
        raise AuditError(mismatch)


def _probe(given: Mapping[str, npt.ArrayLike], geometry: Geometry) -> tuple[ConvolutionProbe, bool]:
    """Check the inputs, and put them in a batch with zeros for what was not given; say whether they were in one."""
    arrays = {letter: _numeric(letter, array) for letter, array in given.items()}
    batches = {letter: array for letter, array in arrays.items() if letter in "XG"}
    batched = all(array.ndim == geometry.spatial_ndim + 2 for array in batches.values())
    for letter, array in arrays.items():
        one = array[0] if batched and letter in batches and len(array) else array
        # The shape is all that is looked at: entries may be bfloat16.
        geometry.check_array(NAMES.get(letter, letter), np.empty(one.shape, np.int8), ROLES[letter])
    counts = {letter: len(array) if batched else 1 for letter, array in batches.items()}
    images = next(iter(counts.values()))
    if set(counts.values()) != {images}:
        raise ShapeError(f"X has {counts['X']} images but G has {counts['G']}; each image needs its upstream gradient")
    shapes = {
        "X": (images, *geometry.image),
        "F": geometry.filters,
        "b": geometry.filters[:1],
        "G": (images, *geometry.responses),
    }
    dtype = np.result_type(*arrays.values())
    given_or_0 = {
        letter: np.reshape(arrays.get(letter, np.zeros(shape)), shape).astype(dtype) for letter, shape in shapes.items()
    }
    return ConvolutionProbe(Case(geometry, images), given_or_0), batched


def _numeric(letter: str, array: npt.ArrayLike) -> Array:
    values = unmasked(NAMES.get(letter, letter), array)
    if values.dtype.kind in "iu" or values.dtype.name in exact.SIGNIFICAND:
        return values
    name = NAMES.get(letter, letter)
    raise DtypeError(
        f"{name} has dtype {values.dtype}; it needs integers or one of {', '.join(exact.SIGNIFICAND)}: convert it, "
        f"{name}.astype('float64')"
    )


def _bound(name: str, probe: ConvolutionProbe, given: tuple[str, ...]) -> Array:
    """Bound the error of every entry: 0 where nothing rounds."""
    dtype, terms = probe.X.dtype, _terms(name, probe)
    absolute = {letter: np.abs(probe.arrays[letter].astype(np.float64)) for letter in "XFbG"}
    whole = all(np.all(absolute[letter] % 1 == 0) for letter in given)
    # No sum is larger than if each of its products were the largest one.
    largest = terms * math.prod(max(1.0, absolute[letter].max()) for letter in given)
    if whole and largest <= exact.exact_limit("int64" if dtype.kind in "iu" else dtype):
        return np.zeros(1)
    sizes = expected(probe.replaced(**absolute), backward=name != "S")[name]
    if dtype.kind in "iu":
        if sizes.max() > np.iinfo(np.int64).max:
            raise OverflowError(f"the right sums reach {sizes.max():.3g}, beyond int64; make the integers smaller")
        return np.zeros(1)
    bound = exact.rounding_bound(sizes, terms, dtype, against="float64")
    return np.where(whole & (sizes <= exact.exact_limit(dtype)), 0.0, bound)


def _terms(name: str, probe: ConvolutionProbe) -> int:
    """Products, and single numbers, in the longest sum."""
    geometry = probe.geometry
    to_image = geometry.filters_per_group * math.prod(geometry.filters[2:])
    to_filters: int = probe.case.images * geometry.positions
    terms: dict[str, int] = {"S": geometry.taps + 1, "dX": to_image, "dF": to_filters, "db": to_filters}
    return terms[name]
