"""What calls do besides computing values: exceptions, memory, layouts, NaN."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import Finding
from jacobians.audit.layers.findings import compared, finding, program, written_call
from jacobians.audit.layers.shared import Code, Comparison, Probe
from jacobians.audit.memory import LAYOUTS, WRITTEN, of_layout
from jacobians.audit.nonfinite import shown_masks, spread
from jacobians.evidence import exact
from jacobians.verify.reference import Rounded

__all__ = ["calls", "layouts", "not_a_number"]

Array = npt.NDArray[Any]


def calls(code: Code, tried: Sequence[Comparison]) -> Iterator[Finding]:
    """Find what functions raise, and what they change."""
    for side in code.functions:
        gives = code.layer.gives[side]
        mine = sorted((each for each in tried if each.name in gives), key=lambda each: each.probe.numbers)
        make = functools.partial(finding, code, tried=len(mine) // len(gives), about=side)
        # One per call, whichever of its results it is.
        raised = list({id(each.probe): each for each in mine if each.kind == "exception"}.values())
        if raised:
            said, what = raised[0].result.raised, raised[0].probe.what
            title = said if said.startswith("returned") else f"raises on {what or 'legal input'}: {said}"
            unknown = ("", "This input is legal; make the code take it.")
            cause, cure = code.layer.raised.get(said.partition(":")[0], unknown)
            yield make(raised, title=title, kind="exception", cause=cause, cure=cure)
        changed = list({id(each.probe): each for each in mine if each.result.changed}.values())
        if changed:
            letters = " and ".join(sorted({letter for each in changed for letter in each.result.changed}))
            cause, cure = WRITTEN
            letter, case = changed[0].result.changed[0], changed[0].probe
            lines = [f"before = {letter}.copy()", written_call(code, side)]
            lines += [f"print({letter})", "print(before)  # right"]
            because: dict[str, Any] = {"cause": cause, "cure": cure, "anchor": "memory"}
            because["text"] = program(code, case, lines, (side,))
            yield make(changed, title=f"changes {letters} in place", kind="in place", **because)


def layouts(code: Code, probes: Sequence[Probe], broken: Collection[str]) -> Iterable[Finding]:
    """Lay out all arguments otherwise at once; where that matters, one after the other, to find out which."""
    return _smallest(lambda probe: _laid_out(code, probe, broken), probes)


def not_a_number(code: Code, probes: Sequence[Probe], broken: Collection[str]) -> Iterable[Finding]:
    """Put one NaN into one argument after the other: it has to reach what is made of it, and nothing else."""
    return _smallest(lambda probe: _spoiled(code, probe, broken), probes) if code.dtype in exact.SIGNIFICAND else ()


def _smallest(check: Callable[[Probe], Iterator[Finding]], probes: Sequence[Probe]) -> Iterable[Finding]:
    """Make the findings of a check, each on the smallest of the probes that show it."""
    plain = sorted((each for each in probes if not each.what), key=lambda each: each.numbers)
    ample = max(plain, key=lambda each: min(array.size for array in each.arrays.values()))
    found = {_key(each): each for each in check(ample)}
    left = set(found)
    for probe in plain:
        for each in check(probe) if left else ():
            if _key(each) in left:
                left.remove(_key(each))
                found[_key(each)] = each
    return found.values()


def _key(finding: Finding) -> tuple[str, str]:
    return finding.about, re.split(r" \(|:", finding.title)[0]


def _laid_out(code: Code, probe: Probe, broken: Collection[str]) -> Iterator[Finding]:
    said = set[tuple[str, str]]()
    for side, layout in itertools.product(code.functions, LAYOUTS):
        letters = code.layer.takes[side]
        if not _wrong(code, probe, side, dict.fromkeys(letters, layout.arrange), broken):
            continue
        for letter in letters:
            for each in _wrong(code, probe, side, {letter: layout.arrange}, broken):
                if (each.name, letter) not in said:
                    said.add((each.name, letter))
                    title, cause, cure = of_layout(letter, layout.name, each.result.raised)
                    lines = [f"{letter} = {layout.code(letter)}", written_call(code, side), *compared(each)]
                    text = program(code, probe, lines, (side,))
                    because: dict[str, Any] = {"cause": cause, "cure": cure, "anchor": "memory", "text": text}
                    yield finding(code, [each], 0, title, "memory layout", **because)


def _wrong(
    code: Code, probe: Probe, side: str, arrange: dict[str, Callable[[Array], Array]], broken: Collection[str]
) -> list[Comparison]:
    """Return the results that are wrong for a layout of these arguments."""
    right = code.layer.right(probe)
    found = code.results(probe, side, arrange).items()
    tried = [Comparison(probe, name, result, right[name]) for name, result in found if name not in broken]
    return [each for each in tried if each.kind != "nothing"]


def _spoiled(code: Code, probe: Probe, broken: Collection[str]) -> Iterator[Finding]:
    right = code.layer.right(probe)
    for side in code.functions:
        for letter in code.layer.takes[side]:
            if not (reach := code.layer.reach(probe, letter)):
                continue
            place, masks = reach
            arrays = {name: array.copy() for name, array in probe.arrays.items()}
            arrays[letter].reshape(-1)[place] = np.nan
            given = Probe(arrays, f"a NaN in {letter}")
            for name, result in code.results(given, side).items():
                if name not in broken and result.value is not None and result.value.shape == masks[name][0].shape:
                    yield from _spread(code, Comparison(given, name, result, right[name]), letter, *masks[name])


def _spread(code: Code, each: Comparison, letter: str, wanted: Array, allowed: Array) -> Iterator[Finding]:
    """Find that a NaN is not where it has to be, or is where it may not be."""
    if code.dtype == "bfloat16":
        # Processors multiply such numbers in pairs, of which the second may be a zero.
        allowed = np.ones_like(wanted)
    found, side = np.isnan(each.got), code.side(each.name)
    wrong = (wanted & ~found) | (found & ~allowed)
    if wrong.any():
        title, cause, cure = spread(letter, found, wanted, allowed, "that are not made of it")
        spoiled = Rounded(np.where(wanted, np.nan, each.right.value), each.right.error)
        lines = [written_call(code, side), *shown_masks(each.name, wanted, allowed)]
        because: dict[str, Any] = {"cause": cause, "cure": cure, "anchor": "nan"}
        because["text"] = program(code, each.probe, lines, (side,))
        yield finding(code, [dataclasses.replace(each, right=spoiled)], 0, title, "not a number", at=wrong, **because)
