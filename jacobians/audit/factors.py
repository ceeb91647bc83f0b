"""Numbers by which an array was multiplied, written as shortly as they can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.layer import widened
from jacobians.evidence import exact

__all__ = ["differ", "multiple"]

Array = npt.NDArray[Any]

# With so many digits every float64 is itself.
DIGITS = 17


def differ(A: Array) -> bool:
    """Whether an array has several magnitudes; of one number everything is a multiple."""
    return len(np.unique(np.abs(widened(A)))) > 1


def multiple(got: Array, A: Array, dtype: str) -> float | None:
    """Return the shortest number that an array was multiplied by in a dtype, up to rounding; None if there is none."""
    got, wide = widened(got).ravel(), widened(A).ravel()
    if not differ(A) or not np.all(np.isfinite(got)):
        return None
    at = np.argmax(np.abs(wide))
    # The factor holds the rounding of one product and of this division; every entry has that of its own product, and
    # of this one: four times u, of integers none.
    unit = float(exact.unit_roundoff(dtype)) if dtype in exact.SIGNIFICAND else 0.0
    for digits in range(1, DIGITS + 1):
        factor = float(f"{got[at] / wide[at]:.{digits}g}")
        if factor and np.all(np.abs(got - factor * wide) <= 4 * unit * np.abs(got)):
            return factor
    return None
