"""Where the documentation imports `from_jax` from: PyTorch and JAX functions as what an audit calls."""

from jacobians.audit.calling.frameworks import from_jax, from_torch

__all__ = ["from_jax", "from_torch"]
