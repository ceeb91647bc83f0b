"""Nothing hides anything, each root cause is said once, and nothing is called by a name that is not proved."""

import types

import numpy as np
import pytest

from jacobians import Geometry, audit
from jacobians.audit.cases import Case
from tests.convolutions import Im2col

PLAIN = Im2col()


def refusing(*arrays):
    """As torch.from_numpy does."""
    if any(step < 0 for array in arrays for step in array.strides):
        raise ValueError("negative strides are not supported")


def test_a_memory_layout_that_is_refused_is_one_finding_of_all_results():
    def forward(X, F):
        refusing(X, F)
        return PLAIN.forward(X, F)

    def backward(X, F, G):
        refusing(X, F, G)
        return PLAIN.backward(X, F, G)

    (finding,) = audit(forward, backward).findings
    assert finding.kind == "memory layout"
    assert {finding.about, *finding.follows} == {"S", "∂l/∂X", "∂l/∂F"}
    assert finding.title.startswith("refuses X, F and G as a view with reversed strides: ValueError")
    assert "ignored" not in finding.cause


def test_a_layout_that_is_refused_hides_none_that_gives_wrong_numbers():
    def forward(X, F):
        refusing(X)
        return PLAIN.forward(X.ravel(order="K").reshape(X.shape), F)

    titles = [each.title for each in audit(forward).findings]
    assert [each.split(" ")[0] for each in titles] == ["depends", "refuses"]


def test_exceptions_at_some_layers_hide_no_wrong_shape_at_the_others():
    def backward(X, F, G):
        if F.shape[2] > 2:
            raise ValueError("no such filter")
        dX, dF = PLAIN.backward(X, F, G)
        return dX, dF[None]

    findings = audit(None, backward).findings
    assert [(each.about, each.kind) for each in findings] == [("∂l/∂F", "shape"), ("backward", "exception")]
    assert findings[0].wrong + findings[1].wrong == findings[1].tried


def test_each_wrong_result_is_reported():
    def backward(X, F, G):
        dX, dF = PLAIN.backward(X, F, G)
        return 2 * dX, dF + 1

    assert [each.about for each in audit(lambda X, F: -PLAIN.forward(X, F), backward).findings] == [
        "S",
        "∂l/∂X",
        "∂l/∂F",
    ]


def test_the_line_of_the_author_is_blamed_where_the_adapter_is_in_another_file(tmp_path):
    file = tmp_path / "kernel.py"
    file.write_text("def convolve(X, F):\n    return X @ F.missing\n", "utf-8")
    kernel = types.ModuleType("kernel")
    exec(compile(file.read_text("utf-8"), str(file), "exec"), kernel.__dict__)
    finding = audit(lambda *arrays: kernel.convolve(*arrays) + 0).findings[0]
    assert "(convolve, line 2: `return X @ F.missing`)" in finding.title
    assert "Traceback (most recent call last)" in finding.known[0]


GIVEN = [Geometry((2, 6, 7), (3, 2, 2, 3)), Geometry((2, 5, 9), (2, 2, 3, 3))]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda S, X: 2 * S,
        lambda S, X: S[:, :, :-1],
        lambda S, X: S.astype(np.float32),
        lambda S, X: S + 0 * X.sum(),
    ],
    ids=["values", "shape", "dtype", "NaN"],
)
def test_the_smallest_case_stays_within_the_layers_that_were_given(wrong):
    cases = {str(Case(each, images)) for each in GIVEN for images in range(1, 8)}
    findings = audit(lambda X, F: wrong(PLAIN.forward(X, F), X), geometries=GIVEN).findings
    assert findings
    assert {each.case for each in findings} <= cases


def test_a_bias_that_is_added_in_float32_is_called_a_lower_precision():
    def forward(X, F, b):
        return PLAIN.forward(X, F) + b.astype(np.float32).astype(b.dtype)[:, None, None]

    def sums(X, F, b):
        return (PLAIN.forward(X, F).astype(np.float32) + b.astype(np.float32)[:, None, None]).astype(X.dtype)

    for function in (forward, sums):
        (finding,) = audit(function, bias=True).findings
        assert (finding.about, finding.kind) == ("S", "precision")


def test_reads_beyond_an_array_are_no_formula():
    def forward(X, F):
        S = PLAIN.forward(X, F)
        S[-1, -1, -1, -1] += np.empty(X.shape, X.dtype).flat[0]
        return S

    finding = audit(forward).findings[0]
    assert finding.about == "S"
    assert not finding.formula
    assert not finding.title.startswith("is wrong: ")


def test_a_gradient_that_is_read_off_an_update_is_seen_with_its_decay():
    def backward(X, F, G):
        dX, dF = PLAIN.backward(X, F, G)
        after = F - (dF + 0.5 * F)
        return dX, F - after

    finding = audit(None, backward).findings[0]
    assert (finding.about, finding.kind) == ("∂l/∂F", "values")
    assert "0.5·F is added" in finding.title
    assert "read off an update" in finding.cure


def test_a_gradient_that_is_read_off_an_update_is_judged_by_its_rounding_and_called_no_formula():
    def backward(X, F, G):
        dX, dF = PLAIN.backward(X, F, G)
        after = F - np.float64(0.1) * dF
        return dX, (F - after) / np.float64(0.1)

    for finding in audit(None, backward).findings:
        assert finding.about == "∂l/∂F"
        assert finding.kind in {"precision", "values"}
        assert not finding.formula


def test_a_mean_over_the_images_is_found_where_there_are_several():
    def backward(X, F, G):
        dX, dF = PLAIN.backward(X, F, G)
        return dX, dF / len(X)

    (finding,) = audit(None, backward).findings
    assert finding.about == "∂l/∂F"
    assert finding.formula or "it is wrong where there are several images, and is right elsewhere" in finding.known


def test_a_finding_without_a_formula_has_nothing_to_predict():
    finding = audit(lambda X, F: PLAIN.forward(X, F).astype(np.float32)).findings[0]
    with pytest.raises(ValueError, match="this finding has no formula to evaluate: S has dtype float32, not float64"):
        finding.predict(GIVEN[0])
