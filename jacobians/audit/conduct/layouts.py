"""Whether results depend on how arguments lie in memory."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jacobians.audit.compare import Comparison, Run, listed
from jacobians.audit.findings import finding, first_on_small
from jacobians.audit.layer import Probe
from jacobians.audit.report import Finding
from jacobians.audit.reproduce import code

__all__ = ["LAYOUTS", "Arrangement", "memory_layouts"]

Array = npt.NDArray[Any]


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


def memory_layouts(run: Run) -> Iterator[Finding]:
    """Lay out all arguments otherwise at once; where that matters, one after the other, to find out which.

    Parameters
    ----------
    run : Run
        The audit; nothing more is said of results that are wrong already.

    Yields
    ------
    Finding
        One per result and array that matters, and one of all layouts that are refused with an error.
    """
    broken = run.broken
    probe = run.layer.draw(run.layer.observed(run.cases)[0], run.seed)
    found = list(first_on_small(run, functools.partial(_laid_out, run, broken), probe))
    refused = [each for each in found if each.title.startswith("refuses")]
    yield from (each for each in found if each not in refused)
    if refused:
        yield _refusal(refused)


def _laid_out(run: Run, broken: Iterable[str], probe: Probe) -> Iterator[Finding]:
    said = set[tuple[str, str, bool]]()
    for side, layout in itertools.product(run.subject.functions, LAYOUTS):
        letters = run.subject.takes[side]
        if not _wrong(run, probe, side, dict.fromkeys(letters, layout.arrange), broken):
            continue
        for letter in letters:
            for each in _wrong(run, probe, side, {letter: layout.arrange}, broken):
                key = each.name, letter, bool(each.result.raised)
                if key not in said:
                    said.add(key)
                    yield _of_layout(run, each, letter, layout)


def _wrong(
    run: Run, probe: Probe, side: str, arrange: dict[str, Callable[[Array], Array]], broken: Iterable[str]
) -> list[Comparison]:
    """Return the results that are wrong for a layout of these arguments."""
    return [each for each in run.compared(probe, arrange, side) if each.name not in broken and not each.fine]


def _of_layout(run: Run, each: Comparison, letter: str, layout: Arrangement) -> Finding:
    text, raised = code(run, each, {letter: layout.code(letter)}), each.result.raised
    copied = f"{letter} = np.ascontiguousarray({letter})"
    if raised:
        title, cause = f"refuses {letter} as {layout.name}: {raised}", "Its strides are not taken; no number is wrong."
        cure = f"Copy it first: {copied}."
    else:
        title = f"depends on the memory layout of {letter} (wrong for {layout.name})"
        cause, cure = f"The strides of {letter} are ignored.", f"Use the strides, or copy first: {copied}."
    return finding(run, each, title, "memory layout", (cause, cure, "memory"), text=text)


def _refusal(refused: list[Finding]) -> Finding:
    """Say once which layouts of which arrays are refused, and by which error."""
    first = refused[0]
    words = [each.title.removeprefix("refuses ").split(": ")[0].split(" as ", 1) for each in refused]
    letters, layouts = ([*dict.fromkeys(each)] for each in zip(*words, strict=True))
    error = first.title.split(": ", 1)[1]
    copied = "; ".join(f"{each} = np.ascontiguousarray({each})" for each in letters)
    labels = tuple(dict.fromkeys(each.about for each in refused))
    return dataclasses.replace(
        first,
        title=f"refuses {listed(letters)} as {listed(layouts)}: {error}",
        cure=f"If that is not meant, copy first: {copied}.",
        follows=labels[1:],
    )
