"""The formula that wrong code computes, as a reader of formulas gives it."""

from __future__ import annotations

from collections.abc import Sequence

from jacobians.audit.compare import Comparison, Run
from jacobians.audit.layer import Explanation

__all__ = ["formula_finding"]


def formula_finding(run: Run, comparisons: Sequence[Comparison]) -> Explanation | None:
    """Read which formula a convolution, or a fully connected layer, computes for one result.

    Parameters
    ----------
    run : Run
        The audit; ``run.layer`` is a `Convolution`: ``canonical(probe)`` has X, F, b and G of ``probe.geometry``,
        ``own(probe)`` turns such numbers into what ``run.again(probe, name)`` calls the code with, and
        ``convolved(called(name), result, case)`` gives a result the axes of a convolution's.
    comparisons : sequence of Comparison
        All comparisons of the result, right ones among them.

    Returns
    -------
    Explanation or None
        None where none was read.
    """
    del run, comparisons
    return None
