"""Assertions about one result: exact where numbers do not round, by the rounding bound elsewhere, said in symbols."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jacobians.errors import AuditError, DtypeError, ShapeError
from jacobians.evidence import exact
from jacobians.geometry import Geometry, check_geometry

if TYPE_CHECKING:
    from jacobians.audit.probes import Probe

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
        What the code under test computed. Of the dtype of the inputs; of integers, of any integer dtype.
    X : array_like, shape (d, *spatial) or (N, d, *spatial)
        The image, or N images.
    F : array_like, shape (n, d // groups, *taps)
        The filters.
    geometry : Geometry
        The layer.
    bias : array_like, shape (n,), optional
        One scalar per filter.
    fast : bool
        Whether the code is an FFT or Winograd algorithm: judged by a bound of norms, as an audit does.

    Raises
    ------
    AuditError
        If it is wrong: with the first wrong entries in symbols, and the known mistake that gives these numbers.
    ShapeError, DtypeError
        If the inputs do not fit the layer, or are no numbers.
    OverflowError
        If integers are so large that the right sums do not fit in int64.

    Notes
    -----
    An entry whose factors are integers and whose ``Σ|terms|`` is exact in the dtype has to be the right number. Any
    other may differ by ``γ_N · Σ|terms|`` for its N terms, which any order of summation keeps (Higham, Accuracy and
    Stability of Numerical Algorithms, 2nd ed., ch. 3), and by the same in float64 for the sum it is compared with.

    Examples
    --------
    >>> assert_forward([[[11, 38]]], [[[1, 5, 7]]], [[[[1, 2]]]], Geometry((1, 1, 3), (1, 1, 1, 2)))
    Traceback (most recent call last):
    jacobians.errors.AuditError: ✗ S is wrong, and no known formula gives these numbers
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
        What the code under test computed.
    X : array_like, shape (d, *spatial) or (N, d, *spatial)
        The image, or N images.
    G : array_like, shape (n, *out) or (N, n, *out)
        The upstream gradient ∂l/∂S.
    geometry, fast
        As `assert_forward`.

    Raises
    ------
    AuditError, ShapeError, DtypeError, OverflowError
        As `assert_forward`.
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
        What the code under test computed.
    G : array_like, shape (n, *out) or (N, n, *out)
        The upstream gradient ∂l/∂S.
    F : array_like, shape (n, d // groups, *taps)
        The filters.
    geometry, fast
        As `assert_forward`.

    Raises
    ------
    AuditError, ShapeError, DtypeError, OverflowError
        As `assert_forward`.
    """
    __tracebackhide__ = True
    _check("dX", dX, {"G": G, "F": F}, geometry, fast=fast)


def assert_bias_gradient(db: npt.ArrayLike, G: npt.ArrayLike, geometry: Geometry, *, fast: bool = False) -> None:
    """Assert that db is ∂l/∂b, the sum of each response map of G (L21), summed over the images of a batch.

    Parameters
    ----------
    db : array_like, shape (n,)
        What the code under test computed.
    G : array_like, shape (n, *out) or (N, n, *out)
        The upstream gradient ∂l/∂S.
    geometry, fast
        As `assert_forward`.

    Raises
    ------
    AuditError, ShapeError, DtypeError, OverflowError
        As `assert_forward`.
    """
    __tracebackhide__ = True
    _check("db", db, {"G": G}, geometry, fast=fast)


# the comparison -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Mismatch:
    """A result that is wrong: what was given, what came back, and how far it may be off.

    Its text is made when it is read: a search for a smaller case meets hundreds and shows one.
    """

    name: str
    probe: Probe
    # With a leading axis of images, also where there was none: then `single`.
    got: Array
    right: Array
    bound: Array
    single: bool

    @functools.cached_property
    def text(self) -> str:
        """What is wrong, the layer, the first wrong entries in symbols, cause and cure."""
        from jacobians.testing import story

        return story.tell(self)

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shape of the result and the right one, as the code under test sees them."""
        return self.got.shape[self.single :], self.right.shape[self.single :]

    @property
    def has_right_dtype(self) -> bool:
        """Whether the result has the dtype of what was given, or is an integer of integers."""
        given = self.probe.X.dtype
        return self.got.dtype.kind in "iu" if given.kind in "iu" else self.got.dtype == given

    @property
    def wrong(self) -> Array:
        """Flat indices of the wrong entries of a result of the right shape and dtype."""
        if self.right.dtype.kind in "iu":
            return np.flatnonzero(self.got != self.right)
        # Not "more than the bound", which a NaN is not.
        return np.flatnonzero(~(np.abs(self.got.astype(np.float64) - self.right) <= self.bound))

    def __str__(self) -> str:
        """Return the text."""
        return self.text

    __repr__ = __str__


def _check(
    name: str, result: npt.ArrayLike, given: Mapping[str, npt.ArrayLike], geometry: Geometry, *, fast: bool
) -> None:
    __tracebackhide__ = True
    from jacobians.audit.judge import slack
    from jacobians.audit.probes import expected

    probe, batched = _probe(given, check_geometry(geometry))
    single = not batched and name in {"S", "dX"}
    got = np.asarray(result)[None] if single else np.asarray(result)
    right, bound = expected(probe, backward=name != "S")[name], _bound(name, probe, tuple(given))
    if fast:
        bound = np.maximum(bound, slack(probe, name))
    mismatch = Mismatch(name, probe, got, right, np.broadcast_to(bound, right.shape), single)
    if got.shape != right.shape or not mismatch.has_right_dtype or len(mismatch.wrong):
        raise AuditError(mismatch)


def _probe(given: Mapping[str, npt.ArrayLike], geometry: Geometry) -> tuple[Probe, bool]:
    """Check the inputs, and put them in a batch with zeros for what was not given; say whether they were in one."""
    from jacobians.audit.probes import Case, Probe

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
    X, F, b, G = (
        np.reshape(arrays.get(letter, np.zeros(shapes[letter])), shapes[letter]).astype(dtype) for letter in "XFbG"
    )
    return Probe(Case(geometry, images), X, F, b, G), batched


def _numeric(letter: str, array: npt.ArrayLike) -> Array:
    values = np.asarray(array)
    if values.dtype.kind in "iu" or values.dtype.name in exact.SIGNIFICAND:
        return values
    name = NAMES.get(letter, letter)
    raise DtypeError(
        f"{name} has dtype {values.dtype}; it needs integers or one of {', '.join(exact.SIGNIFICAND)}: convert it, "
        f"{name}.astype('float64')"
    )


def _bound(name: str, probe: Probe, given: tuple[str, ...]) -> Array:
    """Bound the error of every entry: 0 where nothing rounds."""
    from jacobians.audit.probes import expected

    dtype, terms = probe.X.dtype, _terms(name, probe)
    absolute = {letter: np.abs(getattr(probe, letter).astype(np.float64)) for letter in "XFbG"}
    whole = all(np.all(absolute[letter] % 1 == 0) for letter in given)
    # No sum is larger than if each of its products were the largest one.
    largest = terms * math.prod(max(1.0, absolute[letter].max()) for letter in given)
    if whole and largest <= exact.exact_limit("int64" if dtype.kind in "iu" else dtype):
        return np.zeros(1)
    sizes = expected(dataclasses.replace(probe, **absolute), backward=name != "S")[name]
    if dtype.kind in "iu":
        if sizes.max() > np.iinfo(np.int64).max:
            raise OverflowError(f"the right sums reach {sizes.max():.3g}, beyond int64; make the integers smaller")
        return np.zeros(1)
    bound = exact.rounding_bound(sizes, terms, dtype, against="float64")
    return np.where(whole & (sizes <= exact.exact_limit(dtype)), 0.0, bound)


def _terms(name: str, probe: Probe) -> int:
    """Products, and single numbers, in the longest sum."""
    geometry = probe.geometry
    to_image = geometry.filters_per_group * math.prod(geometry.filters[2:])
    to_filters = probe.case.images * geometry.positions
    return {"S": geometry.taps + 1, "dX": to_image, "dF": to_filters, "db": to_filters}[name]
