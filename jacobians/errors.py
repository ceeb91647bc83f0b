"""The errors of the toolkit; each message names the argument, what it got, what it needs and the cure."""

__all__ = ["AuditError", "DtypeError", "ShapeError", "TooLargeError", "VerificationError"]


class ShapeError(ValueError):
    """A shape, or an option of the geometry (stride, padding, dilation, groups), does not fit the others."""


class DtypeError(TypeError):
    """An array holds entries that the formulas are not defined for."""


class TooLargeError(MemoryError):
    """A matrix was asked for that is larger than the memory it may use."""


class VerificationError(AssertionError):
    """An equation of the lecture does not hold for the code that was run."""


class AuditError(AssertionError):
    """Somebody's forward or backward pass is wrong."""
