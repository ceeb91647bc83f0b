"""Wrong formulas for ∂l/∂b."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jacobians.audit import formulas
from jacobians.audit.theories.base import About, Predict, Theory, rows_of, turned_into, with_other
from jacobians.audit.theories.loops import sums
from jacobians.audit.theories.options import scalings
from jacobians.audit.theories.orders import other_gradients
from jacobians.audit.theories.slips import zero

__all__ = ["of_biases"]


def _biases_bias() -> Iterator[Theory]:
    about: About = "db"

    def left(axis: int) -> Predict:
        return lambda probe: probe.G.sum(axis=tuple(each for each in range(probe.G.ndim) if each != axis))

    sums = "Sum over images and positions; keep the filters: G.sum(axis=(0, 2, 3))."
    yield from rows_of(
        about,
        "bias",
        [
            (
                "one sum for all filters",
                "G is summed over its filters too.",
                sums,
                lambda probe: np.full(probe.b.shape, probe.G.sum()),
            ),
            ("one sum for all filters", "G is summed over its filters too.", sums, lambda probe: np.sum(probe.G)),
            (
                "it is summed over the wrong axes: columns are left, not filters",
                "The sum runs over filters.",
                sums,
                left(3),
            ),
            (
                "it is summed over the wrong axes: rows are left, not filters",
                "The sum runs over filters.",
                sums,
                left(2),
            ),
            (
                "it is summed over the wrong axes: images are left, not filters",
                "The sum runs over filters.",
                sums,
                left(0),
            ),
            (
                "the positions are not summed",
                "The sum runs over the images alone.",
                sums,
                lambda probe: probe.G.sum(axis=0),
            ),
            (
                "only one position counts",
                "The sum over the positions is left out.",
                sums,
                lambda probe: probe.G[formulas.spatial([-1] * len(probe.axes))].sum(axis=0),
            ),
            (
                "only one position counts",
                "The sum over the positions is left out.",
                sums,
                lambda probe: probe.G[formulas.spatial([0] * len(probe.axes))].sum(axis=0),
            ),
            (
                "the sums are in reverse order",
                "Filter i gets the sum of filter n − 1 − i.",
                sums,
                turned_into(about, lambda right: right[::-1]),
            ),
        ],
    )


def _biases_upstream() -> Iterator[Theory]:
    about: About = "db"
    yield Theory(
        about,
        "the upstream gradient is replaced by ones",
        "G is not used.",
        "Sum G over images and positions.",
        "upstream",
        with_other(about, "G", lambda probe: np.ones_like(probe.G)),
    )


def _biases_accumulate() -> Iterator[Theory]:
    about: About = "db"
    yield Theory(
        about,
        "only the last image counts",
        "The images' gradients are assigned one after the other instead of added.",
        "Add the gradients of all images: += for =.",
        "accumulate",
        lambda probe: probe.G[-1].sum(axis=probe.axes),
    )


def _biases_batch() -> Iterator[Theory]:
    about: About = "db"
    yield from rows_of(
        about,
        "batch",
        [
            (
                "only the first image counts",
                "The sum over the images is left out.",
                "Add the gradients of all images.",
                lambda probe: probe.G[0].sum(axis=probe.axes),
            ),
            (
                "the images are not summed",
                "There is one gradient per image.",
                "Add the gradients of all images.",
                lambda probe: probe.G.sum(axis=probe.axes),
            ),
        ],
    )


def of_biases() -> Iterator[Theory]:
    """Yield all about ∂l/∂b."""
    about: About = "db"
    yield from _biases_bias()
    yield from _biases_upstream()
    yield from _biases_accumulate()
    yield from _biases_batch()
    yield from other_gradients(about)
    yield from scalings(about)
    yield from zero(about)
    yield from sums(about)
