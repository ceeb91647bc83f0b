"""Which other layout makes responses right that are wrong in their shapes: the author's own, which nobody said."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

from jacobians.audit.compare import Comparison, Run
from jacobians.audit.layer import Probe
from jacobians.audit.report import Finding
from jacobians.errors import ShapeError
from jacobians.formula.layouts import SPATIAL
from jacobians.geometry import Geometry

__all__ = ["check", "relaid"]


def check(run: Run, spatial_ndim: int) -> None:
    """Refuse a layout of another number of spatial axes than the audit's."""
    given = _layout_of(run)
    spatial = _spatial(given.partition(",")[0])
    if given and len(spatial) != spatial_ndim:
        raise ShapeError(
            f'layout is "{given}" with the spatial axes {", ".join(sorted(spatial))}, but spatial_ndim is '
            f"{spatial_ndim}; write {spatial_ndim} of D, H, W, or give spatial_ndim={len(spatial)}"
        )


def relaid(run: Run, responses: Finding) -> Finding | None:
    """Say which layout makes the responses right at all layers, if one does: one finding of all results."""
    # Where a formula was read, spatial axes that only some arrays have the other way round are what it says.
    if "X" not in run.layer.batched:
        return None
    probes = list({each.probe.case: each.probe for each in run.of("S") if not each.probe.what}.values())
    layout = next(_fitting(run, probes), "")
    if not layout or (responses.formula and len(set(map(_spatial, _parts(layout)))) > 1):
        return None
    gradients = [name for name in run.subject.names if name != "S" and name in run.broken]
    wrong = [run.label(name) for name in gradients if not _is_right(run, layout, probes, name)]
    return dataclasses.replace(
        responses,
        title=f"is right in another layout: {layout}",
        formula="",
        right="",
        predictor=None,
        predicts=0,
        of=0,
        known=tuple(f"in that layout {label} is wrong too" for label in wrong),
        cause=_differences(_layout_of(run), layout),
        cure=f'If that is intended, audit it with --layout "{layout}" (in Python: with_layout); else change it.',
        anchor="layout",
        follows=tuple(map(run.label, gradients)),
    )


def _layout_of(run: Run) -> str:
    """Return the layout that an adapter was made for; empty where there is none."""
    return "".join(getattr(run.subject.functions.get("forward"), "layout", "").split())


def _parts(layout: str) -> list[str]:
    """Return the axes of X, F and S."""
    return layout.replace("->", ",").split(",") if layout else []


def _spatial(part: str) -> str:
    return "".join(letter for letter in part if letter in SPATIAL)


def _fitting(run: Run, probes: Sequence[Probe]) -> Iterator[str]:
    """Try layouts at the layer whose sizes tell its axes apart best, and those that fit at all others."""
    given = _layout_of(run)
    for leading in ("NC", "C"):
        possible = [probe for probe in probes if leading == "NC" or probe.case.images == 1]
        if possible and (not given or ("N" in given) == ("N" in leading)):
            telling = max(possible, key=_distinct)
            for layout in _fitting_one(run, telling, given, leading):
                if _is_right(run, layout, probes, "S"):
                    yield layout


def _fitting_one(run: Run, probe: Probe, given: str, leading: str) -> Iterator[str]:
    """Yield layouts, written as the given one is, in which the responses are right at one layer."""
    geometry, right = probe.case.geometry, run.layer.right(probe)["S"]
    letters = "NC" + SPATIAL[-geometry.spatial_ndim :]
    for X, F in _orders(geometry, leading):
        result = run.results(probe, only="forward", layout=_filled(given, X, F, X))["S"]
        if result.value is None or result.value.ndim != len(letters):
            continue
        # Any other order of S is another one of what was returned: no call is needed to know it.
        for axes in itertools.permutations(range(len(letters))):
            turned = dataclasses.replace(result, value=result.value.transpose(axes))
            if Comparison(run.layer, probe, "S", turned, right).fine:
                S = X.translate({ord(letters[axis]): letter for axis, letter in zip(axes, letters, strict=True)})
                yield _filled(given, X, F, S)


def _orders(geometry: Geometry, leading: str) -> Iterator[tuple[str, str]]:
    """Yield orders of X and F; the spatial axes are turned only where the code cannot have their options exchanged."""
    spatial = SPATIAL[-geometry.spatial_ndim :]
    alike = all(len(set(each)) <= 1 for each in (geometry.stride, geometry.padding, geometry.dilation))
    for turned in dict.fromkeys((spatial, spatial[::-1] if alike else spatial)):
        for X, F in itertools.product(*(itertools.permutations((*each, turned)) for each in (leading, "OI"))):
            yield "".join(X), "".join(F)


def _filled(given: str, *orders: str) -> str:
    """Write a layout with the letters in these orders where those of the given one are, if there is one."""
    parts = []
    for part, order in zip(_parts(given) or ("", "", ""), orders, strict=True):
        letters = iter(order.replace("C", "O") if "O" in part and "I" not in part else order)
        parts.append("".join(next(letters) if each.isalpha() else each for each in part or order))
    return "{},{}->{}".format(*parts)


def _distinct(probe: Probe) -> tuple[int, int]:
    """Count the sizes that no other axis has, and the numbers."""
    geometry = probe.case.geometry
    sizes = (probe.case.images, *geometry.image, *geometry.responses)
    return len({*sizes} - {1}), math.prod(sizes)


def _is_right(run: Run, layout: str, probes: Sequence[Probe], name: str) -> bool:
    side = run.subject.side(name)
    return all(
        each.fine for probe in probes for each in run.compared(probe, only=side, layout=layout) if each.name == name
    )


def _differences(given: str, layout: str) -> str:
    """Say which arrays have another order than the given layout, or the usual one, says."""
    parts = _parts(layout)
    usual = zip(parts, ("NC", "OI", "NC"), strict=True)
    wanted = _parts(given) or ["".join(each for each in leading + SPATIAL if each in part) for part, leading in usual]
    said = [
        f"{verb} as {'×'.join(part)}"
        for verb, part, other in zip(("takes X", "takes F", "gives S"), parts, wanted, strict=True)
        if part != other or "N" not in parts[0]
    ]
    return f"The code {' and '.join(said)}."
