"""Convolutions as relations between indices: mathematics that knows neither code under test nor reports."""

from jacobians.formula.blackbox import ReadFormula, Unreadable, read

__all__ = ["ReadFormula", "Unreadable", "read"]
