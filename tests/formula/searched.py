"""Products of formulas that are known, as they would be read, and the effort of finding the formulas again."""

import contextlib
from collections import Counter
from unittest import mock

import numpy as np

from jacobians.formula import equations, fit, ranges
from jacobians.formula.combine import Combinations
from jacobians.formula.products import Reading
from jacobians.formula.structure import sizes_of


def readings(formula, structure, some):
    """What reading code with this formula gives at these layers, by the factors of its terms."""
    letters = dict.fromkeys(tuple(view.tensor.letter for view in term.views[1:]) for term in formula.terms)
    return {each: [_reading(formula, each, structure, layer) for layer in some] for each in letters}


def _reading(formula, letters, structure, layer):
    sizes = sizes_of(layer)
    shape = tuple(each.at(sizes) for each in formula.shape)
    parts = [
        term.products(sizes)
        for term in formula.terms
        if tuple(view.tensor.letter for view in term.views[1:]) == letters
    ]
    every = np.concatenate([places for places, _ in parts], axis=1)
    places, which = np.unique(every, axis=1, return_inverse=True)
    by = np.bincount(which.reshape(-1), np.concatenate([by for _, by in parts]), places.shape[1])
    return Reading(layer, shape, letters, places[:, by != 0], by[by != 0])


@contextlib.contextmanager
def effort():
    """Count what a search looks at: terms, indices, sums of indices, combinations of sizes, and ranges."""
    counts = Counter()

    def counted(owner, name, what):
        inner = getattr(owner, name)

        def count(*args, **kwargs):
            counts[what] += 1
            return inner(*args, **kwargs)

        return mock.patch.object(owner, name, count)

    def each(owner, name, what, size):
        inner = getattr(owner, name)

        def count(*args, **kwargs):
            for one in inner(*args, **kwargs):
                counts[what] += size(one)
                yield one

        return mock.patch.object(owner, name, count)

    with (
        counted(fit, "ranged", "terms"),
        counted(equations.Equations, "_satisfied", "indices"),
        each(equations.Equations, "_rests", "sums", lambda one: 1),
        each(Combinations, "_models", "combinations", lambda one: len(one.costs)),
        counted(ranges._Separation, "_condition", "ranges"),
        each(ranges._Separation, "_forms", "forms", len),
    ):
        yield counts
