"""Where the documentation imports `with_layout` from: code that takes other layouts than planes first."""

from jacobians.audit.calling.layouts import with_layout

__all__ = ["with_layout"]
