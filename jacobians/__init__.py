"""Explicit Jacobians of convolution layers, as sparse matrices: shown, proved, and compared with other code."""

import importlib
from typing import Any

from jacobians import _interrupt  # noqa: F401  # before all that takes time
from jacobians._version import __version__ as __version__
from jacobians.audit import (
    AuditReport,
    audit,
    audit_fully_connected,
    audit_relu,
    audit_softmax_cross_entropy,
)
from jacobians.convolution import bias_gradient, convolve, filter_gradient, input_gradient, rot180, zero_pad
from jacobians.errors import AuditError, CallError, DtypeError, ShapeError, TooLargeError, VerificationError
from jacobians.geometry import Geometry
from jacobians.matrices import (
    filter_matrix,
    image_matrix,
    jacobian_wrt_bias,
    jacobian_wrt_filters,
    jacobian_wrt_image,
    stack_matrix,
)
from jacobians.verify import NetworkReport, Report, verify, verify_network

__all__ = [
    "AuditError",
    "AuditReport",
    "CallError",
    "DtypeError",
    "Geometry",
    "NetworkReport",
    "Report",
    "ShapeError",
    "TooLargeError",
    "VerificationError",
    "audit",
    "audit_fully_connected",
    "audit_relu",
    "audit_softmax_cross_entropy",
    "bias_gradient",
    "convolve",
    "filter_gradient",
    "filter_matrix",
    "image_matrix",
    "input_gradient",
    "jacobian_wrt_bias",
    "jacobian_wrt_filters",
    "jacobian_wrt_image",
    "rot180",
    "stack_matrix",
    "verify",
    "verify_network",
    "zero_pad",
]

# Loaded when they are first asked for: they need sympy or matplotlib, which take longer to load than everything else.
_LATER = (
    "chain",
    "export",
    "layers",
    "models",
    "network",
    "operators",
    "plots",
    "pooling",
    "spectra",
    "symbolic",
    "testing",
    "vectors",
)


def __getattr__(name: str) -> Any:
    """Load a module of the toolkit when it is first asked for."""
    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
