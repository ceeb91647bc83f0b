"""Known wrong formulas, each with a name, a cause and a cure.

A theory predicts what code computes that makes one particular mistake. It is named only where it reproduces the wrong
numbers exactly, in their shape too. The formulas themselves are in `jacobians.audit.formulas`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jacobians.audit.formulas import Numbers, numbers
from jacobians.audit.judge import widened
from jacobians.audit.probes import Probe
from jacobians.audit.theories.base import RIGHT, About, Array, Theory
from jacobians.audit.theories.biases import of_biases
from jacobians.audit.theories.filters import of_filters
from jacobians.audit.theories.images import of_images
from jacobians.audit.theories.orders import SIZES
from jacobians.audit.theories.responses import of_responses

__all__ = ["SIZES", "THEORIES", "About", "Theory", "explain", "numbers", "reproduces"]


def explain(
    about: About,
    failures: Sequence[tuple[Probe, Array]],
    slack: Callable[[Probe, str], float] | None = None,
    right: Sequence[Probe] | None = None,
) -> Theory | None:
    """Return the first theory that reproduces every wrong result; if there is one, such that allows the right ones.

    Parameters
    ----------
    about : str
        S, dX, dF or db.
    failures : sequence of (Probe, ndarray)
        Every probe that failed, and what the code under audit computed.
    slack : callable, optional
        How far a fast algorithm may be off, by probe and result; by default the numbers have to be the same.
    right : sequence of Probe, optional
        Every probe that did not fail.

    Returns
    -------
    Theory or None
        None where no theory does.
    """
    prepared = [(numbers(probe), widened(got), slack(probe, about) if slack else 0.0) for probe, got in failures]
    fits = (
        theory
        for theory in THEORIES
        if theory.about == about and prepared and all(reproduces(theory, *each) for each in prepared)
    )
    special: Theory | None = None
    for theory in fits:
        if right is not None and all(_allows(theory, numbers(probe)) for probe in right):
            return theory
        # Code may take another path for some sizes.
        special = special or (None if theory.everywhere else theory)
        if right is None and special:
            return special
    return special


def _allows(theory: Theory, probe: Numbers) -> bool:
    """Whether a theory predicts the right result, or nothing."""
    predicted = theory.predict(probe)
    right = RIGHT[theory.about](probe)
    if predicted is None or predicted.shape != right.shape:
        return predicted is None
    return bool(np.all((predicted == right) | np.isnan(predicted)))


def reproduces(theory: Theory, probe: Numbers, got: Array, slack: float) -> bool:
    """Whether a theory predicts what code computed: the same numbers, or all within the slack."""
    predicted = theory.predict(probe)
    if predicted is None or predicted.shape != got.shape:
        return False
    free = np.isnan(predicted)
    return bool(np.all((predicted == got) | free)) or bool(np.all((np.abs(predicted - got) <= slack) | free))


THEORIES: tuple[Theory, ...] = (*of_responses(), *of_images(), *of_filters(), *of_biases())
