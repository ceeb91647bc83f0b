"""The one flag that leaves out all layers at which code is wrong, where there is one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from jacobians.audit.cases import Case, Only
from jacobians.audit.compare import Run, counted
from jacobians.audit.report import Finding

__all__ = ["proposed"]


def proposed(run: Run, findings: Sequence[Finding]) -> Iterator[str]:
    """Say with which flag code would pass that is wrong, and for some layers alone.

    Parameters
    ----------
    run : Run
        All comparisons.
    findings : sequence of Finding
        Of these. Where a formula was read, it says what is wrong.

    Yields
    ------
    str
        One note, or none: of the flags that leave out all layers at which something is wrong, the one that leaves out
        fewest. With it, some layer with several taps is left, and the code is right at a few others.
    """
    wrong = {each.probe.case for each in run.tried if run.is_wrong(each)}
    told = any(each.formula or each.kind not in {"values", "shape", "exception"} for each in findings)
    if not wrong or told or run.restricted or not isinstance(next(iter(wrong)), Case):
        return
    tried = dict.fromkeys(each.probe.case for each in run.tried)
    fits = {flag: {case for case in tried if flag.only.allows(case.geometry)} for flag in _flags(list(tried))}
    kept = [flag for flag, cases in fits.items() if wrong.isdisjoint(cases) and any(map(_has_taps, cases))]
    for flag in sorted(kept, key=lambda flag: -len(fits[flag])):
        if _holds(run, flag.only):
            yield (
                f"{flag.text} leaves {counted(len(fits[flag]), 'layer', 'layers')} of the {len(tried)} that were tried"
                f", and the code is right there: if it is for such layers alone, audit it with {flag.text} "
                "(in Python: where=)"
            )
            return


class _Flag(NamedTuple):
    text: str
    only: Only


def _holds(run: Run, only: Only) -> bool:
    """Whether the code is right at a few other layers that a flag leaves, too."""
    layer: Any = run.layer
    options = dataclasses.replace(layer.options, only=only.joined(layer.options.only))
    layer = dataclasses.replace(layer, options=options)
    probes = (layer.draw(case, run.seed) for case in layer.few(layer.curriculum()))
    return not any(run.is_wrong(each) for probe in probes for each in run.compared(probe))


def _flags(tried: Sequence[Any]) -> Iterator[_Flag]:
    yield _Flag("--one-plane", Only(one_plane=True))
    yield _Flag("--odd", Only(odd=True))
    yield _Flag("--square", Only(square_filters=True, square_images=True))
    for taps in dict.fromkeys(case.geometry.filters[2:] for case in tried):
        yield _Flag(f"--taps {'x'.join(map(str, taps))}", Only(taps=taps))


def _has_taps(case: Case) -> bool:
    return math.prod(case.geometry.filters[2:]) > 1
