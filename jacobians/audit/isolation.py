"""Where the documentation imports `isolated` from: code under audit in a process of its own."""

from jacobians.audit.calling.isolation import isolated

__all__ = ["isolated"]
