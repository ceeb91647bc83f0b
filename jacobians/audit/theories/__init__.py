"""Known wrong formulas, each with a name, a cause and a cure.

A theory predicts what code computes that makes one particular mistake. It is named only where it reproduces the wrong
numbers exactly, in their shape too. The formulas themselves are in `jacobians.audit.formulas`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jacobians.audit.formulas import Numbers, numbers
from jacobians.audit.probes import Probe
from jacobians.audit.theories.base import About, Array, Theory
from jacobians.audit.theories.biases import of_biases
from jacobians.audit.theories.filters import of_filters
from jacobians.audit.theories.images import of_images
from jacobians.audit.theories.orders import SIZES
from jacobians.audit.theories.responses import of_responses

__all__ = ["SIZES", "THEORIES", "About", "Theory", "explain", "numbers", "reproduces"]


def explain(
    about: About, failures: Sequence[tuple[Probe, Array]], slack: Callable[[Probe, str], float] | None = None
) -> Theory | None:
    """Return the first theory that reproduces every wrong result.

    Parameters
    ----------
    about : str
        S, dX, dF or db.
    failures : sequence of (Probe, ndarray)
        Every probe that failed, and what the code under audit computed.
    slack : callable, optional
        How far a fast algorithm may be off, by probe and result; by default the numbers have to be the same.

    Returns
    -------
    Theory or None
        None where no theory does.
    """
    prepared = [
        (numbers(probe), np.asarray(got, np.float64), slack(probe, about) if slack else 0.0) for probe, got in failures
    ]
    for theory in THEORIES:
        if theory.about == about and prepared and all(reproduces(theory, *each) for each in prepared):
            return theory
    return None


def reproduces(theory: Theory, probe: Numbers, got: Array, slack: float) -> bool:
    """Whether a theory predicts what code computed: the same numbers, or all within the slack."""
    predicted = theory.predict(probe)
    if predicted is None or predicted.shape != got.shape:
        return False
    free = np.isnan(predicted)
    return bool(np.all((predicted == got) | free)) or bool(np.all((np.abs(predicted - got) <= slack) | free))


THEORIES: tuple[Theory, ...] = (*of_responses(), *of_images(), *of_filters(), *of_biases())
