"""How arguments lie in memory, and what code that keeps or overwrites memory is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "ACCUMULATED",
    "CACHED",
    "KEPT",
    "LATER",
    "LAYOUTS",
    "OVERWRITTEN",
    "RANDOM",
    "SAVED",
    "STALE",
    "WRITTEN",
    "Arrangement",
    "Because",
    "of_layout",
]

Array = npt.NDArray[Any]
Because = tuple[str, str, str]

# Title, cause and cure.
OVERWRITTEN: Because = (
    "is overwritten by a later call",
    "The returned array is a buffer that the next call uses.",
    "Return a new array.",
)
RANDOM: Because = (
    "differs from call to call",
    "Something is random, counted from call to call, a race, or memory that was never written.",
    "Take nothing but the arguments: fix the order of summation, draw nothing, and start from zeros.",
)
KEPT: Because = (
    "depends on the call before",
    "Something is kept between calls, such as a buffer or a cache.",
    "Keep nothing, or key it by all sizes and options.",
)
CACHED: Because = (
    "is that of the call before, whose numbers were in another order",
    "Something is kept between calls under a key that other numbers have too: the shape, the first entry or the sum.",
    "Keep nothing that depends on the numbers.",
)
SAVED: Because = (
    "depends on the call of forward before",
    "It takes what forward saved, and not its own arguments.",
    "Use the arguments, or call forward in it first.",
)
ACCUMULATED: Because = (
    "is added to the result of the call before",
    "A buffer is kept between calls and never set to zero, as .grad is in PyTorch.",
    "Start every call from zeros.",
)
LATER: Because = (
    "depends on the calls before: it is right for the first numbers of a size, and wrong for the next",
    "Something is kept between calls, such as a cache whose key is the shape alone.",
    "Keep nothing that depends on the numbers.",
)
STALE: Because = (
    "depends on the calls before",
    "Something is kept between calls, such as a cache or a buffer that is not cleared.",
    "Keep nothing, or clear all of it.",
)
# Cause and cure of arguments that were changed.
WRITTEN = ("It writes into arrays that it was given.", "Copy what you change.")


class Arrangement(NamedTuple):
    """A layout in memory: its name, what lays an array out so, and the same as Python in which the array is A."""

    name: str
    arrange: Callable[[Array], Array]
    text: str

    def code(self, letter: str) -> str:
        """Return Python that lays out the array of this letter."""
        return self.text.replace("A", letter)


# What lies between the entries, or in front of them, is another number.
LAYOUTS: tuple[Arrangement, ...] = (
    Arrangement("Fortran order", lambda A: np.array(A, order="F"), 'np.array(A, order="F")'),
    Arrangement(
        "a transposed view",
        lambda A: np.array(A.swapaxes(-1, -min(2, A.ndim)), order="C").swapaxes(-1, -min(2, A.ndim)),
        'np.array(A.swapaxes(-1, -2), order="C").swapaxes(-1, -2)',
    ),
    Arrangement(
        "a view with reversed strides",
        lambda A: np.array(A[..., ::-1], order="C")[..., ::-1],
        'np.array(A[..., ::-1], order="C")[..., ::-1]',
    ),
    Arrangement(
        "every other entry of a larger array",
        lambda A: np.stack([A, np.full_like(A, 77)], axis=-1)[..., 0],
        "np.stack([A, np.full_like(A, 77)], axis=-1)[..., 0]",
    ),
    Arrangement(
        "a slice from within an array",
        lambda A: np.concatenate([np.full(3, 77, A.dtype), A.ravel()])[3:].reshape(A.shape),
        "np.concatenate([np.full(3, 77, A.dtype), A.ravel()])[3:].reshape(A.shape)",
    ),
)


def of_layout(letter: str, layout: str, raised: str) -> Because:
    """Return title, cause and cure of a result that depends on how an argument lies in memory."""
    return (
        f"depends on the memory layout of {letter} (wrong for {layout}){f': {raised}' if raised else ''}",
        f"The strides of {letter} are ignored.",
        f"Use the strides, or copy first: {letter} = np.ascontiguousarray({letter}).",
    )
