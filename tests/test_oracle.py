"""The triple sum against the one that the tests have of their own, and against the pixel table."""

import itertools

import numpy as np
import pytest
from hypothesis import given

from jacobians import Geometry, oracle, testing
from tests import oracle as literal
from tests import strategies

GEOMETRIES = [*strategies.option_grid(), *strategies.AWKWARD.values()]
RICH = Geometry((4, 5, 7), (4, 2, 2, 3), stride=(2, 1), padding=((0, 1), (2, 0)), dilation=(1, 2), groups=2)


def assert_is_the_triple_sum(geometry, X, F, G):
    layer = literal.plain(geometry)
    literal.assert_same(oracle.responses(X, F, geometry), literal.convolve(X, F, **layer))
    literal.assert_same(oracle.filter_gradient(X, G, geometry), literal.filter_gradient(X, G, **layer))
    literal.assert_same(oracle.input_gradient(G, F, geometry), literal.input_gradient(G, F, **layer))


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=repr)
def test_sums_are_literal_for_every_pair_of_options(geometry):
    assert_is_the_triple_sum(geometry, *strategies.layer(geometry))


@given(testing.layers(dtype="int64"))
def test_sums_are_literal(layer):
    assert_is_the_triple_sum(*layer)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=repr)
def test_triples_are_the_pixel_table(geometry):
    r, p, q = oracle.triples(geometry)
    t = geometry.positions
    tables = [geometry.pixel_table(group=geometry.group_of(i)) for i in range(geometry.filters[0])]
    expected = {
        (i * t + row, int(table[row, c]), i * geometry.taps + c)
        for i, table in enumerate(tables)
        for row, c in zip(*np.nonzero(table >= 0), strict=True)
    }
    assert set(zip(r.tolist(), p.tolist(), q.tolist(), strict=True)) == expected
    assert len(r) == len(expected)


products = oracle._products
WRONG = {
    "one product left out": lambda geometry: itertools.islice(products(geometry), 1, None),
    "a product twice": lambda geometry: itertools.chain(itertools.islice(products(geometry), 1), products(geometry)),
    "padding exchanged": lambda geometry: products(
        Geometry(
            geometry.image,
            geometry.filters,
            stride=geometry.stride,
            padding=[pair[::-1] for pair in geometry.padding],
            dilation=geometry.dilation,
            groups=geometry.groups,
        )
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_the_comparison_sees_wrong_sums(mistake, monkeypatch):
    monkeypatch.setattr(oracle, "_products", WRONG[mistake])
    monkeypatch.setattr(oracle, "triples", oracle.triples.__wrapped__)
    with pytest.raises(AssertionError, match="not equal"):
        assert_is_the_triple_sum(RICH, *strategies.layer(RICH))


def test_what_is_kept_cannot_be_changed():
    for each in oracle.triples(RICH):
        with pytest.raises(ValueError, match="read-only"):
            each[0] = 7
