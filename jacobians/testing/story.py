"""What is wrong with one result, in the lecture's symbols."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy

from jacobians import oracle, symbolic
from jacobians.audit import Finding
from jacobians.audit.judge import slack
from jacobians.audit.readout import ROLES, names
from jacobians.audit.subject import LABELS
from jacobians.audit.theories import explain

if TYPE_CHECKING:
    from jacobians.audit.theories import Theory
    from jacobians.symbolic import Role
    from jacobians.testing.compare import Mismatch

__all__ = ["tell"]

# Wrong entries to print, characters of the formula of one, and products of a layer up to which formulas and known
# mistakes are looked for.
MOST_ENTRIES = 4
MOST_CHARACTERS = 60
MOST_PRODUCTS = 50_000
NAMED: dict[str, tuple[str, Role]] = {
    "X": ("X", "image"),
    "F": ("F", "filters"),
    "G": ("g", "responses"),
    "b": ("b", "bias"),
}


def tell(mismatch: Mismatch) -> str:
    """Say what is wrong.

    Parameters
    ----------
    mismatch : Mismatch
        A result that is wrong.

    Returns
    -------
    str
        What is wrong, the layer, the first wrong entries beside the right ones, and a cure.
    """
    about, probe, got = LABELS[mismatch.name], mismatch.probe, mismatch.got
    layer = f"layer: {probe.case}, {probe.X.dtype}"
    if got.shape != mismatch.right.shape:
        return str(_shape(mismatch, layer))
    if not mismatch.has_right_dtype:
        title, cure = (
            f"has dtype {got.dtype}, not {probe.X.dtype}",
            "Return the dtype of the inputs, or convert them first.",
        )
        return str(Finding(about, title, "dtype", entries=(layer,), cure=cure))
    small = probe.case.images * math.prod(probe.geometry.responses) * probe.geometry.taps <= MOST_PRODUCTS
    entries = (layer, *_entries(mismatch, formulas=small))
    # Theories compute in float64, where larger integers are not told apart.
    theory = _theory(mismatch) if small and np.abs(mismatch.right).max() <= 2**53 else None
    if theory:
        title = f"is wrong; these numbers fit: {theory.title}"
        return str(
            Finding(about, title, "values", "", entries, cause=theory.cause, cure=theory.cure, anchor=theory.anchor)
        )
    return str(
        Finding(
            about, "is wrong, and no known formula gives these numbers", "values", "", entries, cure=_cure(mismatch)
        )
    )


def _shape(mismatch: Mismatch, layer: str) -> Finding:
    about, (got, needed), theory = LABELS[mismatch.name], mismatch.shapes, _theory(mismatch)
    title = f"has shape {got}, not {needed}"
    if theory is None:
        return Finding(about, title, "shape", entries=(layer,), anchor="shapes")
    because: dict[str, Any] = {"cause": theory.cause, "cure": theory.cure, "anchor": theory.anchor}
    return Finding(about, f"{title}: {theory.title}", "shape", entries=(layer,), **because)


def _theory(mismatch: Mismatch) -> Theory | None:
    """Return the first known mistake that gives these numbers."""
    about: Any = mismatch.name
    return explain(about, [(mismatch.probe, mismatch.got)], lambda *_: float(mismatch.bound.max()))


def _cure(mismatch: Mismatch) -> str:
    error = np.abs(mismatch.got.astype(np.float64) - mismatch.right).max()
    if error <= slack(mismatch.probe, mismatch.name):
        return "If this is an FFT or Winograd algorithm, which rounds on integers too, pass fast=True."
    return "Audit the function, which reads out the formula that it computes: jacobians.audit(forward, backward)."


def _entries(mismatch: Mismatch, *, formulas: bool) -> list[str]:
    """Write the first wrong entries, each with the formula of the right one."""
    named, wrong = names(*ROLES[mismatch.name], mismatch.probe.case), mismatch.wrong
    got, right, bound = (np.ravel(each) for each in (mismatch.got, mismatch.right, mismatch.bound))
    width = max(len(named[at]) for at in wrong[:MOST_ENTRIES]) + 1
    lines = []
    for at in wrong[:MOST_ENTRIES]:
        formula = _formula(mismatch, int(at)) if formulas else "0"
        right_side = _number(right[at]) if formula == "0" else f"{formula} = {_number(right[at])}"
        room = f" ± {bound[at]:.2g}" if bound[at] else ""
        lines.append(f"{named[at] + ':':<{width}} expected {right_side}{room}, got {_number(got[at])}")
    entries = "1 entry is" if len(named) == 1 else f"{len(named)} entries are"
    return [*lines, f"{len(wrong)} of {entries} wrong"]


def _formula(mismatch: Mismatch, at: int) -> str:
    """Write the sum of products that an entry is, cut where it is long."""
    case, name = mismatch.probe.case, mismatch.name
    symbols = {letter: [sympy.Symbol(each) for each in names(*NAMED[letter], case)] for letter in NAMED}
    X, F, G, b = (symbols[letter] for letter in "XFGb")
    r, p, q = oracle.triples(case.geometry)
    pixels, outs = case.geometry.pixels, math.prod(case.geometry.responses)
    if name == "S":
        image, at = divmod(at, outs)
        terms = [X[image * pixels + p[k]] * F[q[k]] for k in np.flatnonzero(r == at)]
        terms += [b[at // case.geometry.positions]] if mismatch.probe.b.any() else []
    elif name == "dX":
        image, at = divmod(at, pixels)
        terms = [G[image * outs + r[k]] * F[q[k]] for k in np.flatnonzero(p == at)]
    elif name == "dF":
        found = np.flatnonzero(q == at)
        terms = [G[image * outs + r[k]] * X[image * pixels + p[k]] for image in range(case.images) for k in found]
    else:
        maps = np.arange(case.images * outs) % outs // case.geometry.positions
        terms = [G[k] for k in np.flatnonzero(maps == at)]
    return symbolic.write(sympy.Add(*terms), "text", width=MOST_CHARACTERS)


def _number(value: Any) -> str:
    if isinstance(value, np.integer):
        return str(value)
    wide = float(value)
    return str(int(wide)) if wide.is_integer() else f"{wide:.6g}"
