"""Which other layout makes responses right that are wrong in their shapes: the author's own, which nobody said."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.calling.subject import Result
from jacobians.audit.compare import Comparison, Run
from jacobians.audit.layer import Probe
from jacobians.audit.report import Finding
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry

__all__ = ["check", "relaid"]

Array = npt.NDArray[Any]

AXES_OF = {"X": "NC", "F": "OI", "S": "NC"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """Orders of the axes that the code takes and gives, in the letters of `with_layout`."""

    X: str
    F: str
    S: str

    def __str__(self) -> str:
        return f"{self.X},{self.F}->{self.S}"

    def arrange(self) -> dict[str, Callable[[Array], Array]]:
        """What turns arrays with planes first into those of this layout."""
        orders = {"X": (self.X, "X"), "F": (self.F, "F"), "G": (self.S, "S")}
        return {letter: _turning(order, name) for letter, (order, name) in orders.items()}

    def back(self, result: Result, name: str) -> Result:
        """Turn what the code gave into an array with planes first, where it has the axes for it."""
        letter = {"S": "S", "dX": "X", "dF": "F"}.get(name)
        order = getattr(self, letter) if letter else ""
        if result.value is None or letter is None or result.value.ndim != len(order):
            return result
        standard = _standard(letter, order)
        value = result.value.transpose([order.index(axis) for axis in standard])
        return dataclasses.replace(result, value=value if "N" in standard or letter == "F" else value[None])


def check(run: Run, spatial_ndim: int) -> None:
    """Refuse a layout of another number of spatial axes than the audit's.

    Parameters
    ----------
    run : Run
        The audit of code that is behind the adapter of `with_layout` or not.
    spatial_ndim : int
        Of the audit.

    Raises
    ------
    ShapeError
        If they differ.
    """
    given = _layout_of(run)
    spatial = {letter for letter in _parts(given)["X"] if letter in "DHW"}
    if given and len(spatial) != spatial_ndim:
        raise ShapeError(
            f'layout is "{given}" with the spatial axes {", ".join(sorted(spatial))}, but spatial_ndim is '
            f"{spatial_ndim}; write {spatial_ndim} of D, H, W, or give spatial_ndim={len(spatial)}"
        )


def relaid(run: Run, responses: Finding) -> Finding | None:
    """Say which layout makes the responses right, if one does.

    Parameters
    ----------
    run : Run
        The audit.
    responses : Finding
        Of an exception or a wrong shape of S.

    Returns
    -------
    Finding or None
        One for all results, where S is right in another layout at all layers that were tried.

    Notes
    -----
    Images, planes and spatial axes are put in every order, the spatial axes forwards and backwards; so are the filters'
    axes. Code for one image at a time is held against the layers with one image. Where a formula was read, spatial axes
    that only some arrays have the other way round are what the formula says, and no layout.
    """
    if "X" not in run.layer.batched:
        return None
    probes = list({each.probe.case: each.probe for each in run.of("S") if not each.probe.what}.values())
    found = next(_fitting(run, probes), None)
    if found is None:
        return None
    gradients = [name for name in run.subject.names if name != "S" and name in run.broken]
    wrong = [run.label(name) for name in gradients if not _is_right(run, found, probes, name)]
    given = _layout_of(run)
    layout = _composed(given, found)
    if responses.formula and not _keeps_axes(layout):
        return None
    return dataclasses.replace(
        responses,
        title=f"is right in another layout: {layout}",
        formula="",
        right="",
        predictor=None,
        predicts=0,
        of=0,
        known=tuple(f"in that layout {label} is wrong too" for label in wrong),
        cause=_differences(given, layout),
        cure=f'If that is meant, audit it with --layout "{layout}" (in Python: with_layout); else change the order.',
        anchor="layout",
        follows=tuple(map(run.label, gradients)),
    )


def _layout_of(run: Run) -> str:
    """Return the layout that an adapter was made for; empty where there is none."""
    return "".join(getattr(run.subject.functions.get("forward"), "layout", "").split())


def _fitting(run: Run, probes: Sequence[Probe]) -> Iterator[Layout]:
    """Try layouts at the layer whose sizes tell its axes apart best, and those that fit at all others."""
    given = _layout_of(run)
    for batched in (True,) if given else (True, False):  # an adapter calls code for one image at a time itself
        possible = [probe for probe in probes if batched or probe.case.images == 1]
        if not possible:
            continue
        telling = max(possible, key=_distinct)
        right = run.layer.right(telling)["S"]
        spatial_ndim = telling.arrays["X"].ndim - 2
        for X, F in _orders(spatial_ndim, given, batched=batched, alike=_alike(telling.case.geometry)):
            asked = Layout(X, F, "")
            result = run.results(telling, asked.arrange(), "forward")["S"]
            for S in ("".join(axes) for axes in itertools.permutations(X)):
                layout = dataclasses.replace(asked, S=S)
                back = Comparison(run.layer, telling, "S", layout.back(result, "S"), right)
                if back.fine and _is_right(run, layout, probes, "S"):
                    yield layout


def _distinct(probe: Probe) -> tuple[int, int]:
    """Count the sizes that no other axis has, and the numbers."""
    geometry = probe.case.geometry
    sizes = (probe.case.images, *geometry.image, *geometry.responses)
    return len({*sizes} - {1}), math.prod(sizes)


def _alike(layer: Geometry) -> bool:
    return all(len(set(each)) <= 1 for each in (layer.stride, layer.padding, layer.dilation))


def _orders(ndim: int, given: str, *, batched: bool, alike: bool) -> Iterator[tuple[str, str]]:
    """Yield orders of X and F so that the code gets the usual ones, behind an adapter for a given layout if any.

    The spatial axes are turned only where their options are alike: else the code has the options exchanged.

    Yields
    ------
    tuple of str
        Letters of X and of F.
    """
    spatial, adapted = "DHW"[-ndim:], _parts(given)
    for turned in dict.fromkeys((spatial, spatial[::-1] if alike else spatial)):
        possible = [
            [_behind(adapted[name], "".join(each), name) for each in itertools.permutations((*letters, turned))]
            for name, letters in (("X", "NC" if batched else "C"), ("F", "OI"))
        ]
        yield from itertools.product(*possible)


def _behind(given: str, order: str, name: str) -> str:
    """Return the order of what is given to an adapter whose code is to get this order."""
    if not given:
        return order
    real = dict(zip(given, order if "N" in given or name != "X" else order.replace("N", ""), strict=True))
    return "".join(real.get(letter, letter) for letter in _standard(name, order))


def _is_right(run: Run, layout: Layout, probes: Sequence[Probe], name: str) -> bool:
    for probe in probes:
        if "N" not in layout.X and probe.case.images > 1:
            continue
        result = run.results(probe, layout.arrange(), run.subject.side(name))[name]
        each = Comparison(run.layer, probe, name, layout.back(result, name), run.layer.right(probe)[name])
        if not each.fine:
            return False
    return True


def _turning(order: str, name: str) -> Callable[[Array], Array]:
    def turned(A: Array) -> Array:
        standard = _standard(name, order)
        each = A if A.ndim == len(standard) else A[0]
        return np.array(each.transpose([standard.index(letter) for letter in order]), order="C")

    return turned


def _standard(name: str, order: str) -> str:
    """Put the letters of one array planes first."""
    return "".join(letter for letter in AXES_OF[name] + "DHW" if letter in order)


def _parts(given: str) -> dict[str, str]:
    """Letters of X, F and S in a layout; empty where none was given."""
    inputs, _, S = given.partition("->")
    parts = [*inputs.split(","), S] if given else ["", "", ""]
    return {name: "".join(filter(str.isalpha, part)) for name, part in zip("XFS", parts, strict=True)}


def _composed(given: str, found: Layout) -> str:
    """Write the layout that the code has, behind an adapter for the given one if any."""
    if not given:
        return str(found)
    inputs, _, S = given.partition("->")
    written = dict(zip("XFS", (*inputs.split(","), S), strict=True))
    return str(Layout(**{name: _translated(name, part, getattr(found, name)) for name, part in written.items()}))


def _translated(name: str, part: str, order: str) -> str:
    letters = dict(zip(_standard(name, order), order, strict=True))
    return "".join(letters.get("C" if name == "S" and letter == "O" else letter, letter) for letter in part)


def _keeps_axes(layout: str) -> bool:
    """Whether all arrays have their spatial axes in one order."""
    orders = {"".join(letter for letter in each if letter in "DHW") for each in _parts(layout).values()}
    return len(orders) == 1


def _differences(given: str, layout: str) -> str:
    """Say which arrays have another order than the given layout, or the usual one, says."""
    parts = _parts(layout)
    wanted = _parts(given) if given else {name: _standard(name, each) for name, each in parts.items()}
    verbs = {"X": "takes X as", "F": "takes F as", "S": "gives S as"}
    said = [
        f"{verbs[name]} {'×'.join(each)}"
        for name, each in parts.items()
        if each != wanted[name] or "N" not in parts["X"]
    ]
    return f"The code {' and '.join(said)}."
