"""Whether a call of any kind has ended its process, or did not end: no other kind of conduct may pass over that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from jacobians.audit.compare import Comparison, Run
from jacobians.audit.findings import finding
from jacobians.audit.report import Finding
from jacobians.audit.subject import Result

__all__ = ["lost"]

BECAUSE = "", "Raise an exception for what cannot be computed; do not end the process, and do not wait.", "memory"


def lost(run: Run, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Say of each function the first call that was lost, where the findings do not say it."""
    said = " ".join(each.title for each in findings)
    for name, (probe, raised) in run.lost.items():
        if raised not in said:
            each = Comparison(run.layer, probe, name, Result(None, raised=raised), run.layer.right(probe)[name])
            spoiled = any(np.isnan(array.astype(np.float64)).any() for array in probe.arrays.values())
            title = f"is missing {'where there is a NaN' if spoiled else 'for some numbers'}: {raised}"
            yield finding(run, each, title, "exception", BECAUSE, entries=())
