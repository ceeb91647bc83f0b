"""The four kinds of layers that can be audited."""
