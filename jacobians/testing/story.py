"""What is wrong with one result, in the lecture's symbols."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import sympy

from jacobians import oracle, symbolic
from jacobians.audit.layers.convolution import Convolution, entry_names
from jacobians.audit.numbers import ConvolutionProbe
from jacobians.audit.report import Finding
from jacobians.audit.sums import slack

__all__ = ["Mismatch"]

Array = npt.NDArray[Any]

# Wrong entries to print, characters of the formula of one, and products of a layer up to which formulas are written.
MOST_ENTRIES = 4
MOST_CHARACTERS = 60
MOST_PRODUCTS = 50_000
LABELS = Convolution.labels


@dataclasses.dataclass(frozen=True, eq=False)
class Mismatch:
    """A result that is wrong: what was given, what came back, and how far it may be off.

    Its text is made when it is read: a search for a smaller case meets hundreds and shows one.
    """

    name: str
    probe: ConvolutionProbe
    # With a leading axis of images, also where there was none: then `single`.
    got: Array
    right: Array
    bound: Array
    single: bool

    @functools.cached_property
    def text(self) -> str:
        """What is wrong, the layer, the first wrong entries in symbols, cause and cure."""
        return _told(self)

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shape of the result and the right one, as the code under test sees them."""
        return self.got.shape[self.single :], self.right.shape[self.single :]

    @property
    def has_right_dtype(self) -> bool:
        """Whether the result has the dtype of what was given, or is an integer of integers."""
        given = self.probe.X.dtype
        return self.got.dtype.kind in "iu" if given.kind in "iu" else self.got.dtype == given

    @property
    def wrong(self) -> Array:
        """Flat indices of the wrong entries of a result of the right shape and dtype."""
        if self.right.dtype.kind in "iu":
            return np.flatnonzero(self.got != self.right)
        # Not "more than the bound", which a NaN is not.
        return np.flatnonzero(~(np.abs(self.got.astype(np.float64) - self.right) <= self.bound))

    def __str__(self) -> str:
        """Return the text."""
        return self.text

    __repr__ = __str__


def _told(mismatch: Mismatch) -> str:
    """Say what is wrong, the layer, the first wrong entries beside the right ones, and a cure."""
    about, probe, got = LABELS[mismatch.name], mismatch.probe, mismatch.got
    layer = f"layer: {probe.case.text(probe.X.shape[mismatch.single :])}, {probe.X.dtype}"
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
    return str(Finding(about, "is wrong", "values", "", entries, cure=_cure(mismatch)))


def _shape(mismatch: Mismatch, layer: str) -> Finding:
    got, needed = mismatch.shapes
    return Finding(LABELS[mismatch.name], f"has shape {got}, not {needed}", "shape", entries=(layer,), anchor="shapes")


def _cure(mismatch: Mismatch) -> str:
    error = np.abs(mismatch.got.astype(np.float64) - mismatch.right).max()
    if error <= slack(mismatch.probe, mismatch.name):
        return "If this is an FFT or Winograd algorithm, which rounds on integers too, pass fast=True."
    return "Audit the function, which reads out the formula that it computes: jacobians.audit(forward, backward)."


def _entries(mismatch: Mismatch, *, formulas: bool) -> list[str]:
    """Write the first wrong entries, each with the formula of the right one."""
    named, wrong = entry_names(mismatch.name, mismatch.probe.case), mismatch.wrong
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
    symbols = {letter: [sympy.Symbol(each) for each in entry_names(letter, case)] for letter in "XFGb"}
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
