"""Audits at several options make one report, whose formulas are written in s, δ and p."""

import numpy as np
import pytest

from jacobians import Geometry, audit
from jacobians.audit.combined import affine, symbolic
from tests.strangers import backward_of, forward_of

VALUES = [{"s": s, "δ": d, "p": p} for s, d, p in ((1, 1, 0), (2, 1, 1), (2, 2, 0), (3, 2, 1), (1, 3, 2))]


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ([1, 2, 2, 3, 1], {"s": 1}),
        ([0, -1, 0, -1, -2], {"p": -1}),
        ([4, 4, 4, 4, 4], {"": 4}),
        ([0, 0, 0, 0, 0], {}),
        ([2, 5, 4, 7, 4], {"s": 2, "p": 1}),
        ([1, 4, 4, 9, 1], None),
    ],
)
def test_numbers_are_solved_for_the_options_exactly(numbers, found):
    assert affine(numbers, VALUES) == found


def test_an_option_that_is_the_same_everywhere_is_no_cause():
    assert affine([2, 2], [{"s": 1, "δ": 2, "p": 0}, {"s": 2, "δ": 2, "p": 0}]) == {"": 2}


def test_formulas_that_differ_by_numbers_are_one():
    texts = [
        "S[y] = Σ X[y]   over  y = l + a,  x = m + K − 1",
        "S[y] = Σ X[y]   over  y = 2l + a − 1,  x = m + K − 1",
        "S[y] = Σ X[y]   over  y = 2l + 2a,  x = m + 2K − 2",
        "S[y] = Σ X[y]   over  y = 3l + 2a − 1,  x = m + 2K − 2",
        "S[y] = Σ X[y]   over  y = l + 3a − 2,  x = m + 3K − 3",
    ]
    assert symbolic(texts, VALUES) == "S[y] = Σ X[y]   over  y = s·l + δ·a − p,  x = m + δ·K − δ"
    assert symbolic([texts[0], texts[1].replace("Σ", "max")], VALUES[:2]) is None
    assert symbolic(texts[:2], [None, None]) is None
    quadratic = [f"S = Σ X   over  y = {k * k}l" for k in (2, 3, 4, 5, 6)]
    assert symbolic(quadratic, [{"s": k, "δ": 1, "p": 0} for k in (2, 3, 4, 5, 6)]) is None


def forward(X, F, stride=1, padding=0):
    return forward_of(X, F, stride, padding)


def unturned(X, F, G, stride=1, padding=0):
    dX = backward_of(X, F[:, :, ::-1, ::-1], G, stride, padding)[0]
    return dX, backward_of(X, F, G, stride, padding)[1]


@pytest.fixture(scope="module")
def report():
    return audit(forward, unturned, options=[{"stride": s, "padding": p} for s, p in ((1, 0), (2, 1))])


def test_what_is_wrong_at_several_options_is_said_once(report):
    (finding,) = report.findings
    assert finding.about == "∂l/∂X"
    assert "y = s·l + a − p" in finding.right
    assert any("all 2 combinations" in each for each in finding.known)
    assert finding.wrong < finding.tried == finding.of == report.layers
    assert "2 combinations of options" in report.options


def test_the_formula_of_a_report_is_evaluated_at_each_of_its_options(report):
    (finding,) = report.findings
    F, G = np.arange(12.0).reshape(2, 1, 2, 3), np.arange(24.0).reshape(1, 2, 3, 4)
    layer = Geometry((1, 5, 8), (2, 1, 2, 3), stride=2, padding=1)
    assert np.array_equal(finding.predict(layer, F=F, G=G), unturned(np.ones((1, 1, 5, 8)), F, G, 2, 1)[0])
    with pytest.raises(ValueError, match="options that were not audited"):
        finding.predict(Geometry((1, 9, 9), (2, 1, 2, 3), stride=3), F=F, G=G)


def test_right_code_is_right_at_all():
    def ignores(X, F, stride=1):
        return forward_of(X, F)

    right = audit(forward, options=[{"stride": 1}, {"stride": 2, "padding": 1}])
    assert right.check().ok
    assert right.layers > 100
    (finding,) = audit(ignores, options=[{"stride": 1}, {"stride": 2}]).findings
    assert any("stride 2" in each for each in finding.known)
    with pytest.raises(TypeError, match="options is empty"):
        audit(forward, options=[])
