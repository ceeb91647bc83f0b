"""The one flag that leaves out all layers at which code is wrong, where there is one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

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
        fewest. With it, some layer with several taps is left.
    """
    wrong = {each.probe.case for each in run.tried if run.is_wrong(each)}
    told = any(each.formula or each.kind not in {"values", "shape", "exception"} for each in findings)
    if not wrong or told or run.restricted or not isinstance(next(iter(wrong)), Case):
        return
    tried = dict.fromkeys(each.probe.case for each in run.tried)
    fits = {flag: [case for case in tried if only.allows(case.geometry)] for flag, only in _flags(list(tried))}
    kept = {flag: cases for flag, cases in fits.items() if wrong.isdisjoint(cases) and any(map(_has_taps, cases))}
    if kept:
        flag = max(kept, key=lambda flag: len(kept[flag]))
        yield (
            f"{flag} leaves {counted(len(kept[flag]), 'layer', 'layers')} of the {len(tried)} that were tried, and the "
            f"code is right there: if it is for such layers alone, audit it with {flag} (in Python: where=)"
        )


def _flags(tried: Sequence[Any]) -> Iterator[tuple[str, Only]]:
    yield "--one-plane", Only(one_plane=True)
    yield "--odd", Only(odd=True)
    yield "--square", Only(square_filters=True, square_images=True)
    for taps in dict.fromkeys(case.geometry.filters[2:] for case in tried):
        yield f"--taps {'x'.join(map(str, taps))}", Only(taps=taps)


def _has_taps(case: Any) -> bool:
    return math.prod(case.geometry.filters[2:]) > 1
