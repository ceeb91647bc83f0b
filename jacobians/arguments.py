"""Checking what users pass: each error names the argument, what it got, what it needs and the cure."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.errors import DtypeError, ShapeError, nearest

__all__ = [
    "any_dtype",
    "bytes_of",
    "dtype_name",
    "entries",
    "flag",
    "instance",
    "integer",
    "numeric",
    "real",
    "seed_of",
    "shown",
    "unmasked",
    "word",
]

NUMERIC_KINDS = "iuf"
# Characters of a value in a message.
MOST_SHOWN = 120
# Of memory.
UNITS = {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def shown(value: object) -> str:
    """Return how Python writes a value, on one line, and cut where it is long.

    Parameters
    ----------
    value : object
        What was given.

    Returns
    -------
    str
        For the message of an error.
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


def instance(name: str, value: object, kind: Any, needs: str) -> Any:
    """Return `value` if it is of a kind.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : object
        What was given.
    kind : type
        What it needs to be, or a union of several.
    needs : str
        The same in words.

    Returns
    -------
    object
        The same.

    Raises
    ------
    TypeError
        If it is not.
    """
    if isinstance(value, kind):
        return value
    raise TypeError(f"{name} has type {type(value).__name__}; it needs {needs}")


def word(name: str, value: object, known: Collection[str]) -> str:
    """Return `value` if it is a known word.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : object
        What was given.
    known : collection of str
        The words that there are.

    Returns
    -------
    str
        The same.

    Raises
    ------
    ValueError
        If it is none of them, with the nearest one.
    """
    if isinstance(value, str) and value in known:
        return value
    raise ValueError(f"{name} is {shown(value)}; it needs one of {', '.join(known)}{nearest(value, known)}")


def entries(name: str, value: object, needs: str) -> list[Any]:
    """Return the entries of a list, or of anything that has some.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : object
        What was given.
    needs : str
        What it needs to be, in words.

    Returns
    -------
    list
        In their order.

    Raises
    ------
    TypeError
        If it has none, or is text or a mapping.
    """
    given = _iterator(value)
    if given is None:
        raise TypeError(f"{name} is {shown(value)}; it needs {needs}")
    return list(given)


def _iterator(value: Any) -> Iterator[Any] | None:
    try:
        return None if isinstance(value, str | bytes | Mapping) else iter(value)
    except TypeError:
        return None


def integer(name: str, value: object, *, least: int | None = None, most: int | None = None) -> int:
    """Return `value` as an int.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : object
        What was given.
    least, most : int, optional
        What it needs to be at least, and at most.

    Returns
    -------
    int
        The number.

    Raises
    ------
    ShapeError
        If it is no integer, or a smaller or larger one; True and False are none.
    """
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)  # type: ignore[arg-type]  # whether it is an index is the question
    except TypeError:
        number = None
    if number is not None and (least is None or number >= least) and (most is None or number <= most):
        return number
    needs = "an integer" if least is None else f"an integer of at least {least}"
    needs = needs if most is None else f"an integer from {least} to {most}"
    raise ShapeError(f"{name} is {shown(value) if number is None else number}; it needs {needs}")


def bytes_of(name: str, value: object) -> int:
    """Return an amount of memory in bytes.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : int or str
        Bytes, or a number with a unit: ``"4GiB"``, ``"512 MB"``.

    Returns
    -------
    int
        Bytes, at least 1.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> bytes_of("memory", "1.5GiB"), bytes_of("memory", "512 MB"), bytes_of("memory", 4096)
    (1610612736, 512000000, 4096)
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    said = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kmgt]i?b)", value.strip().casefold()) if isinstance(value, str) else None
    amount = int(float(said[1]) * UNITS[said[2]]) if said else 0
    if not amount:
        raise ValueError(f"{name} is {shown(value)}; it needs a number with a unit, such as 4GiB or 512MB")
    return amount


def flag(name: str, value: object) -> bool:
    """Return `value` if it is True or False.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : object
        What was given.

    Returns
    -------
    bool
        The same.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if isinstance(value, bool):
        return value
    raise TypeError(f"{name} is {shown(value)}; it needs True or False")


def real(value: object) -> float:
    """Return `value` as a float; NaN where it is no real number, as True and text are not.

    Parameters
    ----------
    value : object
        What was given.

    Returns
    -------
    float
        The number.
    """
    return math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)


def seed_of(value: object) -> int:
    """Return `value` if draws can be made by it.

    Parameters
    ----------
    value : object
        What was given.

    Returns
    -------
    int
        The seed.

    Raises
    ------
    ValueError
        If it is no integer of at least 0.
    """
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 0:
        return int(value)
    raise ValueError(f"seed is {shown(value)}; it needs an integer of at least 0")


def any_dtype(dtype: object) -> np.dtype[Any] | None:
    """Return the dtype that is given by its name, as a type or as a dtype; None where it is none, as None is.

    Parameters
    ----------
    dtype : object
        What was given.

    Returns
    -------
    dtype or None
        As NumPy reads it.
    """
    try:
        return None if dtype is None else np.dtype(dtype)  # type: ignore[call-overload]  # whether it is one is the question
    except (TypeError, ValueError, SyntaxError):  # of "a,b" and of "(", which begin a list of fields
        return None


def dtype_name(dtype: object, known: Sequence[str], why: str = "", *, name: str = "dtype") -> str:
    """Return the name of a dtype that is given by its name, as a type or as a dtype.

    Parameters
    ----------
    dtype : object
        What was given.
    known : sequence of str
        Names of those that it may be.
    why : str
        Why it may be no other one, for the message.
    name : str
        Name of the argument, for the message.

    Returns
    -------
    str
        One of those names.

    Raises
    ------
    DtypeError
        If it is none of them.
    """
    found = any_dtype(dtype)
    if found is not None and found.isnative and found.name in known:
        return found.name
    raise DtypeError(f"{name} is {shown(dtype)}; it needs one of {', '.join(known)}{why}{nearest(dtype, known)}")


def numeric(name: str, array: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return `array` as an ndarray of integers or real floating-point numbers.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    array : array_like
        What was given.

    Returns
    -------
    ndarray
        The same entries, dtype and memory.

    Raises
    ------
    DtypeError
        If the entries are anything else, or some are masked, with the cure.
    ShapeError
        If the rows are not equally long.
    """
    if array is None:
        raise DtypeError(f"{name} is None; it needs an array of integers or real floating-point numbers")
    result = unmasked(name, array)
    if result.dtype.kind in NUMERIC_KINDS:
        return result
    cures = {
        "c": f"the formulas are linear in {name}: pass {name}.real and {name}.imag, one after the other",
        "b": f"say which integers you mean: {name}.astype('int8')",
        "O": f"convert it: {name}.astype('float64'), or use jacobians.symbolic for symbols",
    }
    raise DtypeError(
        f"{name} has dtype {result.dtype}, which is not integer or real floating-point; "
        + cures.get(result.dtype.kind, f"convert it: {name}.astype('float64')")
    )


def unmasked(name: str, array: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return `array` as an ndarray of any dtype, which has no mask to lose.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    array : array_like
        What was given.

    Returns
    -------
    ndarray
        The same entries, dtype and memory.

    Raises
    ------
    DtypeError
        If it is a masked array, or a list of some.
    ShapeError
        If the rows are not equally long.
    """
    if _has_mask(array):
        raise DtypeError(
            f"{name} is a masked array; it needs a number in every entry: pass {name}.filled(0), or {name}.data to "
            "use the "
            "numbers under the mask"
        )
    try:
        return np.asarray(array)
    except ValueError as error:
        raise ShapeError(f"{name} is not an array; make its rows equally long (NumPy says: {error})") from error


def _has_mask(array: object) -> bool:
    return isinstance(array, np.ma.MaskedArray) or (isinstance(array, list | tuple) and any(map(_has_mask, array)))
