"""What the audits of these layers say of wrong results."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit import Finding
from jacobians.audit.digits import DIGITS
from jacobians.audit.entries import MOST_ENTRIES, aligned
from jacobians.audit.facts import wholes
from jacobians.audit.layers.shared import LARGE, REAL, Code, Comparison, Probe, Theory, agrees, in_numbers
from jacobians.audit.reproduce import plain, shown, shown_dtype, shown_shape, shown_within, written_out
from jacobians.evidence import exact
from jacobians.verify.reference import Rounded

__all__ = ["compared", "finding", "program", "share", "values", "written_call"]

Array = npt.NDArray[Any]

LOWER = {"float64": ("float32", "float16", "bfloat16"), "float32": ("float16", "bfloat16")}
# Kinds of findings that are about entries.
SHOWN = {"values", "not written", "precision", "memory layout", "not a number", "state"}


def values(code: Code, wrong: Sequence[Comparison], theory: Theory | None, tried: int, *, overflow: bool) -> Finding:
    """Make the finding of numbers, or of a shape, that are wrong; large numbers may overflow besides."""
    first, make = wrong[0], functools.partial(finding, code, wrong, tried)
    shape = f"has shape {first.got.shape}, not {first.right.value.shape}"
    if theory:
        because: dict[str, Any] = {"cause": theory.cause, "cure": theory.cure}
        if first.kind == "shape":
            return make(f"{shape}: {theory.title}", "shape", theory, **because)
        return make(f"is wrong: {theory.title}", "values", theory, **because)
    if first.kind == "shape":
        return make(shape, "shape", cure=f"Return an array of shape {first.right.value.shape} there.")
    if lower := _lower(code.dtype, wrong, overflow=overflow):
        title, cure = f"is computed in a lower precision than {code.dtype}", f"Compute in {code.dtype}."
        return make(title, "precision", cause=f"The errors are as of {lower}.", cure=cure, anchor="precision")
    if numbers := _numbers(code, wrong):
        return make(**numbers)
    return make("is wrong, and no known formula explains it", "values", known=tuple(_facts(wrong)))


def _numbers(code: Code, wrong: Sequence[Comparison]) -> dict[str, Any]:
    """Say that only some numbers are wrong: large ones, or such as are no integers; empty where others are, too."""
    what = {each.probe.what for each in wrong}
    if what in ({REAL}, {REAL, LARGE}):
        small, (cause, cure) = "small " * (LARGE in what), DIGITS
        title = f"is right for {small}integers, and wrong for other numbers"
        return {"title": title, "kind": "values", "cause": cause, "cure": cure, "anchor": "small"}
    if what == {LARGE}:
        title = f"is right for small numbers and wrong for large ones that {code.dtype} holds exactly"
        cause, cure = (
            f"Something is kept in a lower precision than {code.dtype}, or clipped.",
            f"Compute in {code.dtype}.",
        )
        return {"title": title, "kind": "precision", "cause": cause, "cure": cure, "anchor": "precision"}
    return {}


def _lower(dtype: str, wrong: Sequence[Comparison], *, overflow: bool) -> str:
    """Return the lower dtype of which all errors are; half precision is told from digits by what overflows."""
    if not all(each.right.error.any() or (overflow and each.probe.what == REAL) for each in wrong):
        return ""
    lower = LOWER.get(dtype, ())[: None if overflow else 1]
    return next((one for one in lower if all(agrees(each.got, _widened(each, dtype, one)) for each in wrong)), "")


def _widened(each: Comparison, dtype: str, lower: str) -> Rounded:
    """Return a bound as it is in a lower precision, whose u is larger: 2²⁹ times for float64 and float32."""
    u, right = exact.unit_roundoff(lower), each.right
    bound = right.error * float(u / exact.unit_roundoff(dtype))
    return Rounded(right.value, bound + (0 if right.error.any() else float(u) * np.abs(right.value)))


def share(wrong: Sequence[Comparison]) -> float:
    """Return how large errors are at most, compared with the largest entry."""
    alike = [each for each in wrong if each.kind == "values"]
    shares = [np.abs(each.got - each.right.value).max() / (np.abs(each.right.value).max() or 1) for each in alike]
    return float(max(shares, default=0))


def _facts(wrong: Sequence[Comparison]) -> Iterator[str]:
    """Say what is known of wrong numbers that no theory explains."""
    # Multiples of large numbers are rounded.
    alike = [each for each in wrong if each.kind == "values" and each.right.value.shape and each.probe.what != LARGE]
    pairs = [(each.got, each.right.value) for each in alike]
    if pairs:
        yield from wholes(pairs)
    what = {each.probe.what for each in wrong}
    if "" not in what:
        yield f"only wrong for {' and '.join(sorted(what))}"


def finding(
    code: Code,
    wrong: Sequence[Comparison],
    tried: int,
    title: str,
    kind: str,
    theory: Theory | None = None,
    at: Array | None = None,
    text: str = "",
    **more: Any,
) -> Finding:
    """Make a finding, whose case is the first of what is wrong; `at` says which of its entries are, `text` is code."""
    first, layer = wrong[0], code.layer
    side, value, right = code.side(first.name), first.result.value, first.right.value
    given = {name: first.probe.arrays[name] for name in layer.takes[side]}
    what = f" ({first.probe.what})" if first.probe.what else ""
    record = {name: plain(array) for name, array in first.probe.arrays.items()}
    record |= {"right": plain(right), "got": None if value is None else plain(value), "result": first.name}
    fields: dict[str, Any] = {
        "about": layer.labels[first.name],
        "case": first.probe.text(given) + what,
        "entries": _entries(code, first, theory, at) if kind in SHOWN else (),
        "anchor": layer.anchor,
        "wrong": len(wrong),
        "tried": tried,
        "unit": layer.unit,
        "arrays": record,
        "code": text or program(code, first.probe, [written_call(code, side), *compared(first)], (side,)),
    }
    return Finding(title=title, kind=kind, **fields | more)


def written_call(code: Code, side: str) -> str:
    """Return Python that calls a function: ``dS = backward(S, G)``."""
    return f"{', '.join(code.layer.gives[side])} = {side}({', '.join(code.layer.takes[side])})"


def compared(each: Comparison) -> list[str]:
    """Return Python that prints a result, or what is wrong of it, and what is right."""
    value, error = each.right.value, each.right.error
    if each.kind == "shape":
        return shown_shape(each.name, value)
    if each.kind == "dtype":
        letter, given = next(iter(each.probe.arrays.items()))
        return shown_dtype(each.name, letter, wider=given.dtype.kind == "i" or not value.shape)
    return shown_within(each.name, value, error) if error.any() else shown(each.name, value)


def program(code: Code, probe: Probe, lines: Sequence[str], sides: Sequence[str]) -> str:
    """Return Python that has the arguments of functions, and then these lines."""
    letters = dict.fromkeys(letter for side in sides for letter in code.layer.takes[side])
    given = {letter: probe.arrays[letter] for letter in letters}
    return written_out({side: code.functions[side] for side in sides}, given, lines, code.dtype)


def _symbols(code: Code, first: Comparison, theory: Theory | None, at: int) -> tuple[str, str]:
    return code.layer.symbols(code, first, theory, at) or in_numbers(first, at)


def _entries(code: Code, first: Comparison, theory: Theory | None, at: Array | None) -> tuple[str, ...]:
    """Write the first wrong entries of the smallest case, in symbols where they are known."""
    got, wanted = first.got, first.right
    if got.shape != wanted.value.shape:
        return ()
    wrong = np.flatnonzero(~(np.abs(got - wanted.value) <= wanted.error) if at is None else at)
    named = code.layer.names(first.name, got.shape)
    rows = [
        (named[each], *(_symbols(code, first, theory, int(each)) if at is None else in_numbers(first, int(each))))
        for each in wrong[:MOST_ENTRIES]
    ]
    return aligned(rows, len(wrong), got.size)
