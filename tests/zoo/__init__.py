"""Wrong convolutions, put together at random from one, two or three mistakes: what an audit is measured by."""

from tests.zoo.programs import Layer, Program, programs

__all__ = ["Layer", "Program", "programs"]
