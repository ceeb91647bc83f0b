"""Calling foreign code: in this process or another one, of any framework, in any layout."""
