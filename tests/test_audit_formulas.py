"""The formula in a finding: what it says, that it predicts the code at layers it never saw, and when there is none."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from jacobians import Geometry, audit, convolve, filter_gradient, input_gradient

LARGER = Geometry((3, 13, 11), (4, 3, 4, 3))


def numbers(geometry, images=2, seed=7):
    generator = np.random.default_rng(seed)
    shapes = {"X": (images, *geometry.image), "F": geometry.filters, "G": (images, *geometry.responses)}
    return {
        letter: generator.permutation(np.arange(2, 2 + np.prod(shape))).reshape(shape)
        for letter, shape in shapes.items()
    }


def unrotated(X, F, G):
    k, l = F.shape[2:]
    dF = np.einsum("ndhwkl,nihw->idkl", sliding_window_view(X, (k, l), axis=(2, 3)), G)
    padded = np.pad(G, ((0, 0), (0, 0), (k - 1, k - 1), (l - 1, l - 1)))
    return np.einsum("nihwkl,idkl->ndhw", sliding_window_view(padded, (k, l), axis=(2, 3)), F), dF


def backward(dX=lambda value, F: value, dF=lambda value, X: value, **options):
    """A right backward pass, with something done to its results."""

    def function(X, F, G):
        groups = X.shape[1] // F.shape[1]
        layer = Geometry(X.shape[1:], F.shape, groups=groups, **options)
        images = np.stack([input_gradient(g, F, layer) for g in G])
        return dX(images, F), dF(sum(filter_gradient(x, g, layer) for x, g in zip(X, G, strict=True)), X)

    return function


@pytest.fixture(scope="module")
def finding():
    """What is found in code that does not rotate the filter."""
    (found,) = audit(None, unrotated).findings
    return found


def test_the_formula_is_that_of_the_code_and_predicts_it_at_a_larger_layer(finding):
    assert finding.about == "∂l/∂X"
    assert "y = l − a + K − 1" in finding.formula
    assert "y = l + a" in finding.right
    assert finding.predicts == finding.of > 70
    given = numbers(LARGER)
    predicted = finding.predict(LARGER, **given)
    assert np.array_equal(predicted, unrotated(**given)[0])
    # What it says is not what is right.
    right = np.stack([input_gradient(g, given["F"], LARGER) for g in given["G"]])
    assert predicted.shape == right.shape
    assert not np.array_equal(predicted, right)


def test_lines_of_the_text_stand_one_above_the_other_with_marks(finding):
    lines = str(finding).splitlines()
    code, right, marks = lines[1:4]
    assert code.startswith("  your code:")
    assert right.startswith("  right:")
    assert set(marks) == {" ", "^"}
    assert {code[at] for at, mark in enumerate(marks) if mark == "^"} & set("−K")


def test_two_mistakes_are_said_as_two_and_predicted_together():
    code = backward(dX=lambda value, F: value[:, ::-1] * 2, stride=2)
    (finding,) = audit(None, code, stride=2).findings
    assert ", and " in finding.title
    assert "reverse" in finding.title
    assert "2" in finding.title
    layer = Geometry((4, 9, 12), (2, 4, 3, 2), stride=2)
    given = numbers(layer)
    assert np.array_equal(finding.predict(layer, **given), code(**given)[0])


def test_each_result_has_a_formula_of_its_own():
    code = backward(dX=lambda value, F: -value, dF=lambda value, X: value / len(X))
    found = {finding.about: finding for finding in audit(None, code).findings}
    assert set(found) == {"∂l/∂X", "∂l/∂F"}
    assert "sign" in found["∂l/∂X"].title
    assert "1/N" in found["∂l/∂F"].formula


def test_a_forward_pass_with_groups_and_a_bias():
    def forward(X, F, b):
        layer = Geometry(X.shape[1:], F.shape, groups=2, padding=((1, 0), (0, 2)))
        return np.stack([convolve(x[::-1], F, layer) for x in X]) - b[:, None, None]

    (finding,) = audit(forward, groups=2, padding=((1, 0), (0, 2)), bias=True).findings
    layer = Geometry((4, 8, 7), (6, 2, 3, 4), groups=2, padding=((1, 0), (0, 2)))
    given = numbers(layer)
    b = np.arange(3, 9)
    assert np.array_equal(finding.predict(layer, **given, b=b), forward(given["X"], given["F"], b))


def test_arrays_that_the_formula_does_not_read_are_ignored(finding):
    given = numbers(LARGER)
    spoiled = {**given, "X": np.zeros_like(given["X"]), "b": np.ones(4)}
    assert np.array_equal(finding.predict(LARGER, **spoiled), finding.predict(LARGER, **given))


@pytest.mark.parametrize("dtype", ["float32"])
def test_code_that_refuses_other_dtypes_is_read_in_its_own(dtype):
    def code(X, F, G):
        if str(X.dtype) != dtype:
            raise TypeError(f"X is {X.dtype}, not {dtype}")
        return tuple(each.astype(dtype) for each in unrotated(*(each.astype(np.float64) for each in (X, F, G))))

    finding = audit(None, code, dtype=dtype).findings[0]
    assert "y = l − a + K − 1" in finding.formula


def test_a_result_that_is_no_sum_of_products_has_no_formula():
    finding = audit(None, backward(dX=lambda value, F: np.abs(value))).findings[0]
    assert finding.about == "∂l/∂X"
    assert (finding.formula, finding.right) == ("", "")
    with pytest.raises(ValueError, match="no formula"):
        finding.predict(LARGER, **numbers(LARGER))


def test_a_factor_that_follows_from_no_size_is_given_no_formula_that_predicts_all():
    code = backward(dX=lambda value, F: value * (1 + value.shape[2] * 7919 * F.shape[2] % 5))
    finding = audit(None, code, spatial_ndim=1).findings[0]
    assert not finding.formula or finding.predicts < finding.of


def test_what_a_formula_leaves_unexplained_is_said():
    def code(X, F, G):
        dX, dF = unrotated(X, F, G)
        return (dX * 2 if X.shape[3] > 30 else dX), dF

    found = [finding for finding in audit(None, code).findings if finding.about == "∂l/∂X"]
    finding = found[0]
    assert finding.formula
    assert finding.predicts < finding.of
    assert any("not explain" in each for each in finding.known)
