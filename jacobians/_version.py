"""Which version of the toolkit this is."""

__version__ = "0.1.0"
