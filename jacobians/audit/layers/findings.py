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
from jacobians.audit.layers.shared import LARGE, REAL, Code, Comparison, Theory, agrees, in_numbers
from jacobians.audit.reproduce import paste, plain
from jacobians.verify import exact
from jacobians.verify.reference import Rounded

__all__ = ["finding", "values"]

Array = npt.NDArray[Any]

# Kinds of findings that are about entries.
SHOWN = {"values", "not written", "precision", "memory layout", "not a number"}


def values(code: Code, wrong: Sequence[Comparison], theory: Theory | None, tried: int) -> Finding:
    """Make the finding of numbers, or of a shape, that are wrong."""
    first, make = wrong[0], functools.partial(finding, code, wrong, tried)
    shape = f"has shape {first.got.shape}, not {first.right.value.shape}"
    if theory:
        because: dict[str, Any] = {"cause": theory.cause, "cure": theory.cure}
        if first.kind == "shape":
            return make(f"{shape}: {theory.title}", "shape", theory, **because)
        return make(f"is wrong: {theory.title}", "values", theory, **because)
    if first.kind == "shape":
        return make(shape, "shape", cure=f"Return an array of shape {first.right.value.shape} there.")
    if (
        code.dtype == "float64"
        and first.right.error.any()
        and all(agrees(each.got, _in_single(each.right)) for each in wrong)
    ):
        title, cure = f"is computed in a lower precision than {code.dtype}", f"Compute in {code.dtype}."
        return make(title, "precision", cause="The errors are as of float32.", cure=cure, anchor="precision")
    if numbers := _numbers(code, wrong):
        return make(**numbers)
    return make("is wrong, and no known formula explains it", "values", known=tuple(_facts(wrong)))


def _numbers(code: Code, wrong: Sequence[Comparison]) -> dict[str, Any]:
    """Say that only some numbers are wrong: large ones, or such as are no integers; empty where others are, too."""
    if all(each.probe.what == REAL for each in wrong):
        title, (cause, cure) = "is right for integers, and wrong for other numbers", DIGITS
        return {"title": title, "kind": "values", "cause": cause, "cure": cure, "anchor": "small"}
    if all(each.probe.what == LARGE for each in wrong):
        title = f"is right for small numbers and wrong for large ones that {code.dtype} holds exactly"
        cause, cure = (
            f"Something is kept in a lower precision than {code.dtype}, or clipped.",
            f"Compute in {code.dtype}.",
        )
        return {"title": title, "kind": "precision", "cause": cause, "cure": cure, "anchor": "precision"}
    return {}


def _in_single(right: Rounded) -> Rounded:
    """Return a bound in float64 as it is in float32, where u is 2²⁹ times as large."""
    return Rounded(right.value, right.error * float(exact.unit_roundoff("float32") / exact.unit_roundoff("float64")))


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
        "code": text or paste(code.functions[side], side, given, layer.gives[side], first.name, right, code.dtype),
    }
    return Finding(title=title, kind=kind, **fields | more)


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
