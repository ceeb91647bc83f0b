"""What calls do besides computing values: exceptions, memory, layouts, NaN."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import Finding
from jacobians.audit.layers.findings import finding
from jacobians.audit.layers.shared import Code, Comparison, Probe, Reach
from jacobians.audit.memory import KEPT, LAYOUTS, OVERWRITTEN, RANDOM, WRITTEN, Because, of_layout
from jacobians.audit.nonfinite import shown_masks, spread
from jacobians.audit.reproduce import expression, shown, shown_within, written_out
from jacobians.verify import exact
from jacobians.verify.reference import Rounded

__all__ = ["calls", "layouts", "not_a_number", "state"]

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
            lines = [f"before = {letter}.copy()", _call(code, side), f"print({letter})", "print(before)  # right"]
            because: dict[str, Any] = {"cause": cause, "cure": cure, "anchor": "memory"}
            because["text"] = _program(code, side, case, lines)
            yield make(changed, title=f"changes {letters} in place", kind="in place", **because)


def state(code: Code, probes: Sequence[Probe], tried: Sequence[Comparison]) -> Iterator[Finding]:
    """Call three times on the same numbers, with calls on others of the same shapes and on other shapes between."""
    probe = max(probes, key=lambda each: min(array.size for array in each.arrays.values()))
    known = {each.name for each in tried if each.kind in {"exception", "not written"}}
    first = {name: result for name, result in code.results(probe).items() if name not in known}
    code.results(Probe({name: array[::-1].copy() for name, array in probe.arrays.items()}))
    kept = {name: np.array_equal(np.asarray(each.value), np.asarray(each.returned)) for name, each in first.items()}
    again = code.results(probe)
    code.results(probes[0])
    after = code.results(probe)
    for name, result in first.items():
        same = [np.array_equal(np.asarray(result.value), np.asarray(each[name].value)) for each in (again, after)]
        differs = [not kept[name], *(not each for each in same)]
        if any(differs):
            because = (OVERWRITTEN, RANDOM, KEPT)[differs.index(True)]
            title, cause, cure = because
            each = Comparison(probe, name, result, code.layer.right(probe)[name])
            text = _program(code, code.side(name), probe, _between(code, name, because, probes[0]))
            yield finding(code, [each], 0, title, "state", cause=cause, cure=cure, anchor="memory", text=text)


def _call(code: Code, side: str) -> str:
    return f"{', '.join(code.layer.gives[side])} = {side}({', '.join(code.layer.takes[side])})"


def _program(code: Code, side: str, probe: Probe, lines: Sequence[str]) -> str:
    given = {letter: probe.arrays[letter] for letter in code.layer.takes[side]}
    return written_out({side: code.functions[side]}, given, lines, code.dtype)


def _between(code: Code, name: str, because: Because, other: Probe) -> list[str]:
    """Return Python that prints a result of a call, before and after another call."""
    side = code.side(name)
    once, letters = _call(code, side), code.layer.takes[side]
    start, same = [once, f"first = {name}.copy()"], [f"print({name})", "print(first)  # right"]
    if because == OVERWRITTEN:
        return [*start, f"{side}({', '.join(f'{letter}[::-1].copy()' for letter in letters)})", *same]
    if because == KEPT:
        return [*start, f"{side}({', '.join(expression(other.arrays[letter]) for letter in letters)})", once, *same]
    return [*start, once, *same]


def _ample(probes: Sequence[Probe]) -> Probe:
    """Choose a probe of which every argument has several entries."""
    plain = [each for each in probes if not each.what]
    return max(plain, key=lambda each: min(array.size for array in each.arrays.values()))


def layouts(code: Code, probes: Sequence[Probe], broken: Collection[str]) -> Iterator[Finding]:
    """Lay out all arguments otherwise at once; where that matters, one after the other, to find out which."""
    probe, said = _ample(probes), set[tuple[str, str]]()
    for side, layout in itertools.product(code.functions, LAYOUTS):
        letters = code.layer.takes[side]
        if not _wrong(code, probe, side, dict.fromkeys(letters, layout.arrange), broken):
            continue
        for letter in letters:
            for each in _wrong(code, probe, side, {letter: layout.arrange}, broken):
                if (each.name, letter) not in said:
                    said.add((each.name, letter))
                    title, cause, cure = of_layout(letter, layout.name, each.result.raised)
                    lines = [
                        f"{letter} = {layout.code(letter)}",
                        _call(code, side),
                        *_shown(each),
                    ]
                    text = _program(code, side, probe, lines)
                    because: dict[str, Any] = {"cause": cause, "cure": cure, "anchor": "memory", "text": text}
                    yield finding(code, [each], 0, title, "memory layout", **because)


def _shown(each: Comparison) -> list[str]:
    value, error = each.right.value, each.right.error
    return shown_within(each.name, value, error) if error.any() else shown(each.name, value)


def _wrong(
    code: Code, probe: Probe, side: str, arrange: dict[str, Callable[[Array], Array]], broken: Collection[str]
) -> list[Comparison]:
    """Return the results that are wrong for a layout of these arguments."""
    right = code.layer.right(probe)
    found = code.results(probe, side, arrange).items()
    tried = [Comparison(probe, name, result, right[name]) for name, result in found if name not in broken]
    return [each for each in tried if each.kind != "nothing"]


def not_a_number(code: Code, probes: Sequence[Probe], broken: Collection[str]) -> Iterator[Finding]:
    """Put one NaN into one argument after the other: it has to reach what is made of it, and nothing else."""
    probe = _ample(probes)
    if code.dtype not in exact.SIGNIFICAND:
        return
    for side in code.functions:
        for letter in code.layer.takes[side]:
            if reach := code.layer.reach(probe, letter):
                yield from _spoiled(code, probe, side, letter, reach, broken)


def _spoiled(
    code: Code, probe: Probe, side: str, letter: str, reach: Reach, broken: Collection[str]
) -> Iterator[Finding]:
    place, masks = reach
    arrays = {name: array.copy() for name, array in probe.arrays.items()}
    arrays[letter].reshape(-1)[place] = np.nan
    given, right = Probe(arrays, f"a NaN in {letter}"), code.layer.right(probe)
    for name, result in code.results(given, side).items():
        wanted, allowed = masks[name]
        if name in broken or result.value is None or result.value.shape != wanted.shape:
            continue
        if code.dtype == "bfloat16":
            # Processors multiply such numbers in pairs, of which the second may be a zero.
            allowed = np.ones_like(wanted)
        found = np.isnan(result.value.astype(np.float64))
        if np.any(wanted & ~found) or np.any(found & ~allowed):
            title, cause, cure = spread(letter, found, wanted, allowed, "that are not made of it")
            spoiled = Rounded(np.where(wanted, np.nan, right[name].value), right[name].error)
            text = _program(code, side, given, [_call(code, side), *shown_masks(name, wanted, allowed)])
            because: dict[str, Any] = {"cause": cause, "cure": cure, "anchor": "nan", "text": text}
            wrong = (wanted & ~found) | (found & ~allowed)
            each = Comparison(given, name, result, spoiled)
            yield finding(code, [each], 0, title, "not a number", at=wrong, **because)
