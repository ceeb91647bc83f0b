"""Whether results depend on how arguments lie in memory."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jacobians.audit.compare import Comparison, Run, listed
from jacobians.audit.findings import finding, first_on_small
from jacobians.audit.layer import Probe
from jacobians.audit.report import Finding
from jacobians.audit.reproduce import calls, compared, laid_out

__all__ = ["LAYOUTS", "Arrangement", "memory_layouts"]

Array = npt.NDArray[Any]


class Arrangement(NamedTuple):
    """A layout in memory: its name, what lays an array out so, and the same as Python in which the array is A."""

    name: str
    arrange: Callable[[Array], Array]
    text: str


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


# What is wrong, of which argument, and how that lies in memory.
Found = tuple[Comparison, str, Arrangement]


def memory_layouts(run: Run) -> Iterator[Finding]:
    """Lay out all arguments otherwise at once; where that matters, one after the other, to find out which."""
    probe = run.layer.draw(run.layer.observed(run.cases)[0], run.seed)
    yield from first_on_small(run, functools.partial(_laid_out, run, run.broken), probe)


def _laid_out(run: Run, broken: Collection[str], probe: Probe) -> Iterator[Finding]:
    refused, said = list[Found](), set[tuple[str, str]]()
    for side, layout in itertools.product(run.subject.functions, LAYOUTS):
        letters = run.subject.takes[side]
        wrong = functools.partial(_wrong, run, probe, side, layout, broken)
        for letter in letters if wrong(letters) else ():
            for each in wrong([letter]):
                if each.result.raised:
                    refused.append((each, letter, layout))
                elif (each.name, letter) not in said:
                    said.add((each.name, letter))
                    yield _ignored(run, each, letter, layout)
    if refused:
        yield _refusal(run, refused)


def _wrong(
    run: Run, probe: Probe, side: str, layout: Arrangement, broken: Collection[str], letters: Iterable[str]
) -> list[Comparison]:
    """Return the results that are wrong where these arguments are laid out so."""
    compared = run.compared(probe, dict.fromkeys(letters, layout.arrange), side)
    return [each for each in compared if each.name not in broken and not each.fine]


def _ignored(run: Run, each: Comparison, letter: str, layout: Arrangement) -> Finding:
    title = f"depends on the memory layout of {letter} (wrong for {layout.name})"
    cure = f"Use the strides, or copy the array first: {_copied([letter])}."
    because = f"The code ignores the strides of {letter}.", cure, "memory"
    return finding(run, each, title, "memory layout", because, lines=_lines(run, each, letter, layout))


def _refusal(run: Run, refused: Sequence[Found]) -> Finding:
    """Say once which layouts of which arrays are refused, and by which error."""
    first, *_ = refused
    letters, layouts, labels = (
        dict.fromkeys(some)
        for some in zip(*((letter, how.name, run.label(each.name)) for each, letter, how in refused), strict=True)
    )
    title = f"refuses {listed(letters)} as {listed(layouts)}: {first[0].result.raised}"
    cure = f"If the code should accept them, copy first: {_copied(letters)}."
    because = "The code does not accept such strides; the numbers that it returns are right.", cure, "memory"
    follows = tuple(labels)[1:]
    return finding(run, first[0], title, "memory layout", because, lines=_lines(run, *first), follows=follows)


def _copied(letters: Iterable[str]) -> str:
    return "; ".join(f"{each} = np.ascontiguousarray({each})" for each in letters)


def _lines(run: Run, each: Comparison, letter: str, layout: Arrangement) -> list[str]:
    """Return Python that makes the call with an argument that is laid out so."""
    made = laid_out(run, each.probe, letter, layout.text)
    return [*made, *calls(run, run.subject.side(each.name)), *compared(each)]
