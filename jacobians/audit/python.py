"""Arrays and calls as plain values and as Python, which needs nothing of this package."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "expression",
    "listed",
    "plain",
    "shown",
    "shown_dtype",
    "shown_shape",
    "shown_steady",
    "shown_within",
    "written_out",
]

Array = npt.NDArray[Any]

# Numbers up to which an array is written as a list; above, compressed.
MOST_LISTED = 2000
# Numbers up to which NumPy prints all of an array.
MOST_PRINTED = 1000


def plain(array: Array) -> Any:
    """Return an array as plain lists, NaN and ∞ as words; an empty one where there is too much of it to read."""
    wide = array.astype(np.float64) if array.dtype.kind not in "iu" else array
    if array.size > MOST_LISTED or np.all(np.isfinite(wide)):
        return [] if array.size > MOST_LISTED else wide.tolist()
    named = wide.astype(object)
    named[~np.isfinite(wide)] = [str(each) for each in wide[~np.isfinite(wide)]]  # JSON has no numbers for them
    return named.tolist()


def written_out(
    functions: Mapping[str, Callable[..., Any]], given: Mapping[str, Array], lines: Sequence[str], dtype: str
) -> str:
    """Return the whole program: imports, the functions, their arguments, and lines that use both."""
    body = [*(f"{letter} = {expression(each)}" for letter, each in given.items()), *lines]
    packed = any("zlib." in line for line in body)
    head = [*(["import base64", "import zlib"] if packed else []), "import numpy as np"]
    head += ["import ml_dtypes"] if dtype == "bfloat16" else []
    head += [_defined(side, function, given) for side, function in functions.items()]
    return "\n".join([*head, *body])


def _defined(side: str, function: Any, given: Mapping[str, Array]) -> str:
    """Return the lines that define or import a function, or say that it is not known from where."""
    if hasattr(function, "source"):
        return str(function.source(side, given))
    module, called = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module in {None, "", "__main__", "functools"} or not called.isidentifier():
        return f"# {side} is the function under audit"
    return f"from {module} import {called}" + (f" as {side}" if called != side else "")


def shown(name: str, right: Array) -> list[str]:
    """Return Python that prints a result, and what it should be; where there is much of it, where it is wrong."""
    if right.size <= MOST_PRINTED:
        return _beside(name, f"np.array({listed(right)})")
    return [f"right = {expression(right)}", *_beside(f"{name}[{name} != right]", f"right[{name} != right]")]


def _beside(got: str, right: str) -> list[str]:
    return [f"print({got})", f"print({right})  # right"]


def shown_shape(name: str, right: Array) -> list[str]:
    """Return Python that prints the shape of a result, and what it should be."""
    return _beside(f"np.shape({name})", str(right.shape))


def shown_dtype(name: str, letter: str, *, wider: bool = False) -> list[str]:
    """Return Python that prints the dtype of a result, and that of an argument, of which it may be a wider one."""
    got, given = f"np.asarray({name}).dtype", f"{letter}.dtype"
    fits = f"{got}.kind == {given}.kind and {got}.itemsize >= {given}.itemsize"
    return [f"print({got})", *_beside(fits, "True")] if wider else _beside(got, given)


def shown_steady(name: str, call: Sequence[str], times: int) -> list[str]:
    """Return Python that prints whether the same call gives the same result so many times."""
    body = ["results = []", f"for _ in range({times}):", *(f"    {line}" for line in call)]
    same = "all(np.array_equal(each, results[0]) for each in results)"
    return [*body, f"    results.append(np.array({name}))", *_beside(same, "True")]


def shown_within(name: str, right: Array, bound: Array) -> list[str]:
    """Return Python that prints whether a result is as near to what it should be as rounding leaves it."""
    lines = [f"right = {expression(right)}", f"bound = {expression(np.broadcast_to(bound, right.shape))}"]
    return [*lines, *_beside(f"np.all(np.abs(np.asarray({name}, np.float64) - right) <= bound)", "True")]


def expression(array: Array) -> str:
    """Return Python that makes an array again, exactly."""
    bfloat16 = array.dtype.name == "bfloat16"
    kind = "ml_dtypes.bfloat16" if bfloat16 else f"np.{array.dtype.name}"
    if array.size <= MOST_LISTED:
        return f"np.array({listed(array)}, {kind})"
    packed = base64.b64encode(zlib.compress(array.tobytes())).decode("ascii")
    return f'np.frombuffer(zlib.decompress(base64.b64decode("{packed}")), {kind}).reshape({array.shape})'


def listed(array: Array) -> str:
    """Return Python that lists the numbers of an array."""
    numbers = array if array.dtype.kind in "biu" else array.astype(np.float64)
    return re.sub(r"\b(nan|inf)\b", r"np.\1", str(numbers.tolist()))
