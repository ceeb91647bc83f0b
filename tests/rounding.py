"""What rounding may make of a number that a test computes in another way."""

import pytest

from jacobians.evidence import exact


def rounded(value, operations):
    """The numbers that both sides together may reach by so many rounded operations in float64: γ_N (Higham, ch. 3)."""
    return pytest.approx(value, rel=float(exact.gamma(operations, "float64")), abs=0)
