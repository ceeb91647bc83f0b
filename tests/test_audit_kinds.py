"""The kinds of layers of an audit: what they draw, what is right and within which bound, and what they name."""

import dataclasses
import decimal
import functools
import itertools
import math
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

from jacobians import Geometry
from jacobians.audit.cases import Case
from jacobians.audit.compare import Comparison, Run
from jacobians.audit.conduct import layouts
from jacobians.audit.layer import REAL
from jacobians.audit.layers import convolution, fully_connected, relu, softmax
from jacobians.audit.layers.convolution import Convolution
from jacobians.audit.layers.relu import Relu
from jacobians.audit.layers.softmax import MiniBatch, Softmax
from jacobians.audit.numbers import dtype_of
from jacobians.audit.subject import Result, Subject
from jacobians.evidence import exact
from jacobians.testing import option_pairs
from tests.rounding import rounded

FLOATS = ("float64", "float32", "float16", "bfloat16")
DTYPES = (*FLOATS, "int64", "int32")


def counted(cases):
    """How many cases, and how many numbers they have."""
    return len(cases), sum(case.numbers for case in cases)


def compared(layer, probe, name, value):
    return Comparison(layer, probe, name, Result(np.asarray(value)), layer.right(probe)[name])


# ReLU: which numbers --------------------------------------------------------------------------------------------------


def of_size(shape, S=None, G=None):
    return relu.Sizes(shape, S, G)


@pytest.mark.parametrize(
    ("S", "tiny"), [(None, False), (0, False), (2.0**-10, True), (-(2.0**-10), True), (1, False), (-1, False)]
)
def test_scores_next_to_0(S, tiny):
    assert of_size((1, 1), S, 1).tiny == tiny
    assert of_size((2, 3), S).numbers == 12


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_relu_is_tried_on_every_pair_of_signs_and_on_arrays_of_every_width(dtype):
    """How many numbers are tried changes on purpose only."""
    cases = Relu(dtype).curriculum()
    assert counted(cases) == ((19, 622) if dtype.startswith("int") else (22, 628))
    single = [(case.S, case.G) for case in cases if case.S is not None]
    usual = [pair for pair in single if abs(pair[0]) >= 1 or pair[0] == 0]
    assert {(np.sign(S), np.sign(G)) for S, G in usual} == set(itertools.product((-1, 0, 1), (-1, 1)))
    # Below and above where a ReLU6 ends, and nothing that is mistaken for a mask, or for a multiple of another.
    assert {S for S, _ in usual} == {0, -3, 4, 9}
    assert all(abs(G) > 1 and abs(S) != abs(G) for S, G in single)
    arrays = [case.shape for case in cases if case.S is None]
    assert len(set(arrays)) == len(arrays)
    assert {len(shape) for shape in arrays} == {1, 2, 3, 4, 5}
    assert all(
        any(math.prod(shape) > width and math.prod(shape) % width for shape in arrays) for width in (2, 4, 8, 32)
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_scores_next_to_0_are_as_near_as_a_dtype_has_normal_numbers(dtype):
    near = [case.S for case in Relu(dtype).curriculum() if case.tiny]
    assert near == [2.0**-10, -(2.0**-10), float(ml_dtypes.finfo(dtype_of(dtype)).smallest_normal)]
    (probe,) = {Relu(dtype).draw(of_size((1, 1), near[-1], 7), 0)}
    assert probe.wide["S"].tolist() == [[near[-1]]]
    assert probe.wide["G"].tolist() == [[7]]
    assert probe.what == "scores next to 0"
    assert Relu(dtype).draw(of_size((1, 1), 4, 7), 0).what == ""


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_for_a_relu_have_zeros_among_the_scores_and_no_magnitude_twice(dtype):
    layer, case = Relu(dtype), of_size((2, 3, 4))
    probe = layer.draw(case, 1)
    S, G = (probe.wide[letter].ravel() for letter in "SG")
    assert probe.dtype == dtype_of(dtype)
    assert probe.arrays["S"].shape == probe.arrays["G"].shape == case.shape
    assert [int(np.sum(np.sign(S) == sign)) for sign in (0, -1, 1)] == [8, 8, 8]
    magnitudes = np.abs([*S[S != 0], *G])
    assert len(set(magnitudes)) == len(magnitudes) == 40
    assert magnitudes.min() >= 2
    assert magnitudes.max() <= 49
    assert {-1, 1} == set(np.sign(G))
    others = layer.draw(case, 2), layer.draw(case, 1, 1), layer.draw(of_size((2, 3, 5)), 1)
    assert not any(np.array_equal(each.wide["G"].ravel()[:24], G) for each in others)
    assert np.array_equal(layer.draw(case, 1).wide["S"].ravel(), S)
    # A single score is 0, as the first of two is at times.
    assert layer.draw(of_size((1,)), 0).wide["S"].tolist() == [0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_the_largest_array_are_as_large_as_a_dtype_holds_exactly(dtype):
    layer = Relu(dtype)
    probe = layer.draw(max(layer.curriculum(), key=lambda case: case.numbers), 0)
    most = min(exact.exact_limit(dtype), 2**53)
    assert most * 0.9 < np.abs(probe.wide["G"]).max() <= most


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_numbers_for_a_relu_have_the_same_signs_and_sums_that_are_exact(dtype):
    layer, case = Relu(dtype), of_size((2, 3, 4))
    small, drawn = layer.small(dataclasses.replace(case, S=9.0, G=9.0), 3), layer.draw(case, 3)
    for letter in "SG":
        assert np.array_equal(np.sign(small.wide[letter]), np.sign(drawn.wide[letter]))
        magnitudes = np.abs(small.wide[letter][small.wide[letter] != 0])
        assert (magnitudes.min(), magnitudes.max()) == (1, 7)
    assert small.dtype == dtype_of(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_real_numbers_for_a_relu_have_digits_and_are_small_to_a_few(dtype):
    layer, case = Relu(dtype), of_size((20, 30))
    probe = layer.reals(case, 0)
    assert probe.what == REAL
    assert probe.dtype == dtype_of(dtype)
    for each in probe.wide.values():
        assert 2.0**-6 <= np.abs(each).min() < 2.0**-5.9
        assert 2.0**1.9 < np.abs(each).max() <= 4
        assert {-1, 1} == set(np.sign(each).ravel())
        assert np.mean(each % 1 == 0) < 0.1
    assert not np.array_equal(probe.wide["S"], probe.wide["G"])
    assert not np.array_equal(probe.wide["S"], layer.reals(case, 1).wide["S"])
    assert Relu("int64").reals(case, 0) is None


def test_other_cases_of_a_relu():
    layer = Relu("float64")
    cases = layer.curriculum()
    small, larger, third, fourth = layer.fresh(cases)
    assert not {small, larger, third, fourth} & set(cases)
    assert small.numbers < larger.numbers
    assert third.shape == fourth.shape[::-1] != fourth.shape
    # A mask of fewer scores would be the same in two draws too often.
    assert small.numbers == 16
    (observed,) = layer.observed(cases)
    assert min(observed.shape) > 1
    assert len(observed.shape) == 4
    assert observed in cases
    smallest = layer.smallest()
    assert counted(smallest) == (11, 44)
    assert list(smallest) == [case for case in cases if case in smallest] == list(Relu("int32").smallest())


# ReLU: what is right --------------------------------------------------------------------------------------------------


def relu_probe(S, G, dtype="float64"):
    probe = Relu(dtype).draw(of_size(np.shape(S)), 0)
    return probe.replaced(S=np.array(S, dtype_of(dtype)), G=np.array(G, dtype_of(dtype)))


def test_what_is_right_of_a_relu_has_no_error_but_the_rounding_of_a_lower_precision():
    layer, probe = Relu("float64"), relu_probe([[-1, 0, 2, 1]], [[5, -6, -7, 0.5]])
    right = layer.right(probe)["dS"]
    assert right.value.tolist() == [[0, 0, -7, 0.5]]
    assert right.bound.tolist() == [[0, 0, 0, 0]]
    assert layer.lower(probe, "dS", "float32", right).tolist() == [[0, 0, 7 * 2.0**-24, 2.0**-25]]
    assert Relu("int64").right(relu_probe([1, 0], [2**60, 3], "int64"))["dS"].value.tolist() == [2**60, 0]
    assert layer.title == "ReLU, float64"
    assert layer.widens


def test_where_a_nan_goes_in_a_relu():
    layer, probe = Relu("float32"), relu_probe([[3, 0, 2], [1, -2, -1]], [[1, 2, 3], [4, 5, 6]], "float32")
    at = np.array([[False, False, False], [True, False, False]])
    for letter, wanted in (("G", at), ("S", np.zeros_like(at))):
        spoiled, reach = layer.reach(probe, letter)
        assert np.array_equal(np.isnan(spoiled.arrays[letter]), at)
        assert not np.isnan(probe.arrays[letter]).any()
        assert np.array_equal(reach["dS"], (wanted, at))
    # Processors multiply such numbers in pairs.
    wanted, allowed = Relu("bfloat16").reach(relu_probe(probe.wide["S"], probe.wide["G"], "bfloat16"), "G")[1]["dS"]
    assert np.array_equal(wanted, at)
    assert allowed.all()
    assert Relu("int32").reach(relu_probe([1], [1], "int32"), "G") is None
    assert layer.reach(relu_probe([0, -1], [1, 1], "float32"), "G") is None


# ReLU: in words -------------------------------------------------------------------------------------------------------


def read(function, dtype="float64"):
    layer = Relu(dtype)
    probes = [layer.draw(case, 0) for case in layer.curriculum()]
    probes += [layer.reals(of_size((3, 4)), 0)] if dtype in FLOATS else []
    kind = dtype_of(dtype)
    given = [compared(layer, each, "dS", np.asarray(function(*each.wide.values())).astype(kind)) for each in probes]
    return layer.explain(SimpleNamespace(layer=layer), given)


READINGS = [
    (lambda S, G: G * (S >= 0), "≥ is used where > is needed", "1·G where S = 0, 1·G where S > 0, 0 elsewhere"),
    (lambda S, G: G, "the mask is missing", "1·G where S < 0, 1·G where S = 0, 1·G where S > 0"),
    (lambda S, G: G * (G > 0), "the mask is computed from G, not from S", "1·G where G > 0, 0 elsewhere"),
    (
        lambda S, G: G * ((S > 0) & (G > 0)),
        "the mask is computed from both S and G",
        "1·G where S > 0, G > 0, 0 elsewhere",
    ),
    (
        lambda S, G: -2 * G * (S < 0),
        "it is -2·G where S < 0, 0 elsewhere",
        "-2·G where S < 0, 0 elsewhere",
    ),
    (lambda S, G: G * (S == 0), "the mask is inverted: S = 0", "1·G where S = 0, 0 elsewhere"),
    (lambda S, G: -G * (S > 0), "its sign is wrong", "-1·G where S > 0, 0 elsewhere"),
    (lambda S, G: 0 * G, "it is 0 everywhere", "0 elsewhere"),
    (
        lambda S, G: -np.maximum(S, 0),
        "the ReLU itself is returned, and its sign is wrong",
        "-1·S where S > 0, 0 elsewhere",
    ),
    (lambda S, G: G * np.maximum(S, 0), "G is multiplied by H", "1·G·S where S > 0, 0 elsewhere"),
    (lambda S, G: G * S, "G is multiplied by S", "1·G·S where S < 0, 1·G·S where S > 0, 0 elsewhere"),
    (
        lambda S, G: (S != 0) * 3,
        "the mask itself is returned, without G, and the mask is S ≠ 0, and it is 3 times what it should be",
        "3·1 where S < 0, 3·1 where S > 0, 0 elsewhere",
    ),
    (
        lambda S, G: np.where(S < 0, G / 4, G * (S > 0)),
        "the slope is 0.25 where S < 0",
        "0.25·G where S < 0, 1·G where S > 0, 0 elsewhere",
    ),
    (
        lambda S, G: np.where(S <= 0, G / 4, G),
        "the slope is 0.25 where S ≤ 0",
        "0.25·G where S < 0, 0.25·G where S = 0, 1·G where S > 0",
    ),
    (
        lambda S, G: np.where(S < 0, S / 4, S),
        "it is 0.25·S where S < 0, 1·S where S > 0, 0 elsewhere",
        "0.25·S where S < 0, 1·S where S > 0, 0 elsewhere",
    ),
    (
        lambda S, G: G * np.where(S < 0, 2, (S > 0) * 4),
        "the slope is 0.5 where S < 0, and it is 4 times what it should be",
        "2·G where S < 0, 4·G where S > 0, 0 elsewhere",
    ),
    (
        lambda S, G: G * np.where(S == 0, 0.25, S > 0),
        "it is 0.25·G where S = 0, 1·G where S > 0, 0 elsewhere",
        "0.25·G where S = 0, 1·G where S > 0, 0 elsewhere",
    ),
    (
        lambda S, G: G * np.where(G < 0, 3, S > 0),
        "it is 3·G where S < 0, G < 0, 3·G where S = 0, G < 0, 3·G where S > 0, G < 0, 1·G where S > 0, G > 0, "
        "0 elsewhere",
        "3·G where S < 0, G < 0, 3·G where S = 0, G < 0, 3·G where S > 0, G < 0, 1·G where S > 0, G > 0, 0 elsewhere",
    ),
    (
        lambda S, G: G * (S > 0.5),
        "S is compared with a number above 0",
        "1·G where S > t, 0 elsewhere, with 0.000976562 ≤ t < 3",
    ),
    (lambda S, G: G * ((S > 0) & (S < 6)), "the mask is 0 < S < 6", "1·G where 0 < S < 6, 0 elsewhere"),
    (
        lambda S, G: G * ((S > 0) & (S < 9.5)),
        "the mask ends above S = 9",
        "1·G where 0 < S ≤ 9, 0 elsewhere",
    ),
]


@pytest.mark.parametrize(("function", "title", "formula"), READINGS, ids=[title for _, title, _ in READINGS])
def test_what_passes_is_read_off(function, title, formula):
    found = read(function)
    assert (found.title, found.formula) == (title, f"∂l/∂S = {formula}")
    assert found.right == "∂l/∂S = 1·G where S > 0, 0 elsewhere"
    assert formula in found.cause
    assert found.anchor == "relu"


def test_masks_of_other_arrays_are_read_off_without_a_formula_and_other_results_are_not():
    found = read(lambda S, G: G * (np.cumsum(S, axis=-1) > 0))
    assert found.title == "the mask is computed from another array, neither S nor G"
    assert (found.formula, found.right) == ("", "")
    assert read(lambda S, G: G * (S > 0) + 1) is None
    assert read(lambda S, G: np.tanh(G) * (S > 0)) is None
    assert read(lambda S, G: 1.0 + np.arange(S.size).reshape(S.shape)) is None
    # What is wrong for real numbers alone is no mask.
    assert read(lambda S, G: np.where(S % 1 == 0, G * (S > 0), G)) is None
    assert Relu("float64").explain(None, [compared(Relu("float64"), relu_probe([1], [2]), "dS", [[2.0]])]) is None


def test_entries_of_a_relu_in_symbols():
    layer, probe = Relu("float64"), relu_probe([[3, 0], [-5, 7]], [[11, 13], [17, -19]])
    assert layer.names("dS", of_size((2, 2))) == ["dS1", "dS2", "dS3", "dS4"]
    got = np.array([[17.0, 13], [-5, -19]])
    assert [layer.symbols(None, probe, "dS", at, got) for at in range(4)] == [
        ("g1", "g3"), ("0", "g2"), ("0", "S3"), None
    ]  # fmt: skip
    got = np.array([[5.5, 1], [-85, 19]])
    assert [layer.symbols(None, probe, "dS", at, got) for at in range(4)] == [
        ("g1", "g1/2"), ("0", "1"), ("0", "g3S3"), ("g4", "−g4")
    ]  # fmt: skip
    got = np.array([[0.0, 0], [0, 0.125]])
    assert [layer.symbols(None, probe, "dS", at, got) for at in range(4)] == [("g1", "0"), None, None, None]
    # Of equal numbers, those of the same place are meant.
    same = relu_probe([[2, 5]], [[5, 5]])
    assert layer.symbols(None, same, "dS", 1, np.array([[0.0, -5.0]])) == ("g2", "−g2")


# softmax: which numbers -----------------------------------------------------------------------------------------------

MEAN, SUM, SINGLE = Softmax("float64", mean=True), Softmax("float64", mean=False), Softmax("float32", mean=True)


def batch_of(s, labels, dtype="float64", what=""):
    s = np.array(s, dtype)
    return MiniBatch(softmax.Sizes(*s.shape, what), {"s": s, "y": np.eye(s.shape[1], dtype=dtype)[labels]}, what)


def test_a_softmax_is_tried_on_all_sizes_and_on_scores_of_which_exp_is_0_or_infinite():
    """How many numbers are tried changes on purpose only."""
    cases = MEAN.curriculum()
    assert counted(cases) == (30, 454)
    assert sorted(cases, key=lambda case: case.numbers) == cases
    assert len(set(cases)) == len(cases)
    sizes = {what: {(case.images, case.classes) for case in cases if case.special == what} for what in ("", REAL)}
    assert sizes[""] == sizes[REAL]
    images, classes = (set(each) for each in zip(*sizes[""], strict=True))
    assert images == {1, 2, 3, 4}
    assert {2, 3, 5, 9, 17} <= classes
    assert {(2, 2), (3, 3)} <= sizes[""]
    for what, levels in ((softmax.AROUND, {1000, -1000}), (softmax.NEAR, {0, 1})):
        special = [case for case in cases if case.special == what]
        assert {case.level for case in special} == levels
        assert {case.images for case in special} == {1, 2}
        assert all(case.classes > 1 for case in special)
    apart = [(case.images, case.classes) for case in cases if case.special == softmax.APART]
    assert sorted(apart) == [(2, 2), (2, 3), (3, 2), (3, 3)]
    assert softmax.Sizes(3, 5).numbers == 30


def test_other_cases_of_a_softmax():
    cases = MEAN.curriculum()
    fresh = MEAN.fresh(cases)
    assert not set(fresh) & set(cases)
    assert len(set(fresh)) == 4
    assert fresh[2].numbers < fresh[0].numbers == fresh[1].numbers == fresh[3].numbers == 24
    (observed,) = MEAN.observed(cases)
    assert observed in cases
    assert 1 < observed.images != observed.classes > 1
    smallest = MEAN.smallest()
    assert [(case.images, case.classes) for case in smallest] == [(1, 2), (1, 3), (2, 2), (2, 3), (3, 2), (3, 3)]


@pytest.mark.parametrize("layer", [MEAN, SINGLE], ids=["float64", "float32"])
@pytest.mark.parametrize("sizes", [(1, 2), (2, 3), (4, 5)])
def test_scores_near_0_are_integers_that_differ_and_labels_are_one_hot_and_differ(layer, sizes):
    probe = layer.draw(softmax.Sizes(*sizes), 0)
    assert probe.what == ""
    assert probe.dtype == probe.arrays["y"].dtype == layer.dtype
    assert np.all(probe.s % 1 == 0)
    assert len(np.unique(probe.s)) == probe.s.size
    assert np.abs(probe.s).max() <= max(3, probe.s.size)
    assert np.array_equal(np.sort(probe.y, axis=1), np.eye(sizes[1])[[-1] * sizes[0]])
    assert len(np.unique(probe.y.argmax(axis=1))) == sizes[0]
    assert np.array_equal(layer.small(softmax.Sizes(*sizes, softmax.NEAR, 1), 0).s, probe.s)


def test_labels_are_in_no_order_and_every_class_has_images():
    drawn = [MEAN.draw(softmax.Sizes(2, 3), seed).y.argmax(axis=1).tolist() for seed in range(40)]
    assert {tuple(each) for each in drawn} == {(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)}
    few = MEAN.draw(softmax.Sizes(5, 2), 0).y.sum(axis=0)
    assert sorted(few) == [2, 3]


def test_draws_of_other_seeds_numbers_and_kinds_are_others():
    case = softmax.Sizes(2, 3)
    drawn = [MEAN.draw(case, 0), MEAN.draw(case, 1), MEAN.draw(case, 0, 1)]
    drawn += [MEAN.draw(softmax.Sizes(2, 3, softmax.AROUND, level), 0) for level in (1000, 0)]
    assert len({(each.s - each.s.mean()).tobytes() for each in drawn}) == 5
    assert np.array_equal(MEAN.draw(case, 0).s, drawn[0].s)


def test_real_scores_have_digits_and_are_small_to_a_few():
    s = MEAN.draw(softmax.Sizes(20, 30, REAL), 0).s
    assert 2.0**-6 <= np.abs(s).min() < 2.0**-5.9
    assert 2.0**1.9 < np.abs(s).max() < 4
    assert {-1, 1} == set(np.sign(s).ravel())
    assert np.mean(s % 1 == 0) < 0.1
    assert MEAN.draw(softmax.Sizes(2, 3, REAL), 0).what == REAL


@pytest.mark.parametrize("level", [1000, -1000])
def test_scores_around_a_large_number(level):
    probe = MEAN.draw(softmax.Sizes(2, 3, softmax.AROUND, level), 0)
    assert probe.what == f"scores around {level}"
    assert np.abs(probe.s - level).max() <= 6
    assert len(np.unique(probe.s)) == 6


@pytest.mark.parametrize("layer", [MEAN, SINGLE], ids=["float64", "float32"])
def test_one_image_is_so_far_from_the_others_that_exp_is_0(layer):
    probe = layer.draw(softmax.Sizes(3, 2, softmax.APART), 0)
    assert probe.what == "images whose scores are far apart"
    away = np.exp((probe.s - probe.s.max()).astype(layer.dtype)).sum(axis=1) == 0
    assert away.sum() == 1
    assert np.abs(probe.s[~away]).max() <= 6
    assert np.ptp(probe.s[away]) <= 12
    # Which image it is, is drawn.
    found = {int(layer.draw(softmax.Sizes(3, 2, softmax.APART), seed).s.min(axis=1).argmin()) for seed in range(12)}
    assert found == {0, 1, 2}


@pytest.mark.parametrize("layer", [MEAN, SINGLE], ids=["float64", "float32"])
@pytest.mark.parametrize("level", [0, 1])
def test_the_class_of_an_image_has_a_probability_of_0_or_1(layer, level):
    probe = layer.draw(softmax.Sizes(2, 3, softmax.NEAR, level), 0)
    assert probe.what == f"a class with a probability near {level}"
    assert np.all(probe.p.astype(layer.dtype)[probe.y > 0] == level)
    assert np.array_equal(np.sort(probe.p.astype(layer.dtype)), np.eye(3)[[2, 2]])
    assert np.sum(np.abs(probe.s) <= 6) == 2
    # The likely class is that of the image, or the one behind it.
    behind = (probe.p.argmax(axis=1) - probe.y.argmax(axis=1)) % 3
    assert behind.tolist() == [1 - level] * 2


def test_scores_in_another_order_keep_their_labels():
    probe = batch_of([[1, 2], [3, 4]], [1, 0])
    assert probe.reordered().s.tolist() == [[1, 4], [3, 2]]
    assert np.array_equal(probe.reordered().y, probe.y)


# softmax: what is right -----------------------------------------------------------------------------------------------


def by_hand(s, labels, *, mean):
    """Gradient and loss in decimal numbers with 60 digits."""
    with decimal.localcontext(prec=60):
        powers = [[decimal.Decimal(float(score)).exp() for score in row] for row in s]
        p = [[power / sum(row) for power in row] for row in powers]
        weight = decimal.Decimal(1) / (len(p) if mean else 1)
        rows = list(zip(p, labels, strict=True))
        ds = [[weight * (each - (c == label)) for c, each in enumerate(row)] for row, label in rows]
        return np.array(ds, float), float(-weight * sum(row[label].ln() for row, label in rows))


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize(
    ("s", "labels"), [([[0.5, -1, 3]], [1]), ([[1000, 998], [-3, 700]], [0, 0]), ([[1, 2, 3], [0, 0, 0]], [2, 1])]
)
def test_what_is_right_of_a_softmax(s, labels, mean):
    right, probe = Softmax("float64", mean=mean).right(batch_of(s, labels)), batch_of(s, labels)
    ds, loss = by_hand(s, labels, mean=mean)
    assert np.array_equal(right["ds"].value, ds)
    assert right["loss"].value == loss
    assert right["loss"].value.shape == ()
    summed = ds * (len(s) if mean else 1)
    assert np.all(np.abs(probe.p - probe.y - summed) <= SUM.bound(probe, summed, "float64"))
    assert probe.of_class.shape == (len(s), 1)
    assert probe.of_class.ravel().tolist() == [row[label] for row, label in zip(probe.p, labels, strict=True)]


@pytest.mark.parametrize(
    ("s", "roundings"),
    [
        # Each image's largest score is 0 away: m, then 11 log C, then C and N, then those of exp, log and divisions.
        ([[0.0, 0.0]], 0 + 8 + 2 + 1 + 54),
        # m = 5, and the largest difference in a row is 4; 11 log 3 is 12.08….
        ([[3.0, -1, 0], [5, 5, 2]], 5 + 2 * 4 + 12 + 1 + 3 + 2 + 54),
        # m = 1000 also where all scores are negative.
        ([[-1000.0, -998.5]], 1000 + 2 * 1.5 + 8 + 2 + 1 + 54),
        # The difference is that of a row, not that of all scores; 11 log 2 is 7.6….
        ([[0.0, 0], [-2000, -2000]], 2000 + 8 + 2 + 2 + 54),
    ],
)
def test_the_bound_of_a_softmax_counts_roundings(s, roundings):
    probe = batch_of(s, [0] * len(s))
    for dtype, u in (("float64", 2.0**-53), ("float32", 2.0**-24)):
        assert MEAN.share(probe, dtype) == rounded(roundings * u / (1 - roundings * u), 4)


@pytest.mark.parametrize(("layer", "weight"), [(MEAN, 1 / 2), (SUM, 1)], ids=["mean", "sum"])
def test_the_bound_of_a_softmax_is_relative_to_one_image_and_the_value(layer, weight):
    probe = batch_of([[3.0, -1, 0], [5, 5, 2]], [0, 1])
    share, tiny = layer.share(probe, "float64"), 2.0**-1022
    right = layer.right(probe)
    ds, loss = right["ds"], right["loss"]
    assert layer.weight(probe) == weight
    assert np.array_equal(ds.bound, share * (weight + np.abs(ds.value)) + tiny)
    assert loss.bound == share * (2 * weight + loss.value) + tiny
    assert np.array_equal(layer.lower(probe, "ds", "float32", ds), ds.bound * 2.0**29)
    assert layer.lower(probe, "loss", "bfloat16", loss) == loss.bound * 2.0**45
    value = np.zeros((2, 3), np.float32)
    assert (
        layer.bound(batch_of(probe.s, [0, 1], "float32"), value, "float32").max()
        > layer.bound(probe, value, "float64").max()
    )


def test_a_result_of_0_may_be_off_by_the_smallest_normal_number():
    probe = batch_of([[0.0, -2000]], [0])
    assert MEAN.right(probe)["loss"].value == 0
    for layer, smallest in ((MEAN, 2.0**-1022), (SINGLE, 2.0**-126)):
        # Where images have no weight, nothing else is left.
        weightless = SimpleNamespace(dtype=layer.dtype, share=layer.share, weight=lambda probe: 0.0)
        assert Softmax.bound(weightless, probe, np.zeros((1, 2)), layer.dtype).tolist() == [[smallest] * 2]


def test_where_a_nan_goes_in_a_softmax():
    probe = batch_of([[1.0, 2, 3], [4, 5, 6]], [0, 1])
    spoiled, reach = MEAN.reach(probe, "s")
    assert np.argwhere(np.isnan(spoiled.s)).tolist() == [[1, 2]]
    assert not np.isnan(probe.s).any()
    for each in reach["ds"]:
        assert each.tolist() == [[False] * 3, [True] * 3]
    assert [each.tolist() for each in reach["loss"]] == [True, True]
    assert MEAN.reach(probe, "y") is None


# softmax: in words ----------------------------------------------------------------------------------------------------


def test_entries_of_a_softmax_in_symbols():
    one, two = batch_of([[0.0, 0]], [1]), batch_of([[0.0, 0], [0, 0]], [1, 0])
    assert MEAN.names("ds", one.case) == ["ds1", "ds2"]
    assert MEAN.names("ds", two.case) == ["ds1^(1)", "ds2^(1)", "ds1^(2)", "ds2^(2)"]
    assert MEAN.names("loss", two.case) == ["l"]
    wrong = np.full((2, 2), 7.0)
    assert [MEAN.symbols(None, one, "ds", at, wrong) for at in (0, 1)] == [
        ("p1 = 0.5", "7"), ("p2 − 1 = -0.5", "7")
    ]  # fmt: skip
    assert [MEAN.symbols(None, two, "ds", at, wrong) for at in (0, 1, 2)] == [
        ("p1^(1)/2 = 0.25", "7"), ("(p2^(1) − 1)/2 = -0.25", "7"), ("(p1^(2) − 1)/2 = -0.25", "7")
    ]  # fmt: skip
    assert [SUM.symbols(None, two, "ds", at, wrong) for at in (0, 1)] == [
        ("p1^(1) = 0.5", "7"), ("p2^(1) − 1 = -0.5", "7")
    ]  # fmt: skip
    assert MEAN.symbols(None, one, "ds", 0, np.array([[0.5, 9]])) is None
    assert MEAN.symbols(None, one, "loss", 0, np.array(3.0)) is None
    assert MEAN.title == "softmax with cross-entropy, mean over the mini-batch, float64"
    assert SUM.title == "softmax with cross-entropy, sum over the mini-batch, float64"


@functools.cache
def drawn(layer):
    """All that an audit draws, and what is right of it."""
    probes = [layer.draw(case, 0) for case in layer.curriculum()]
    return [(probe, layer.right(probe)) for probe in probes]


def tried(layer, name, function):
    with np.errstate(all="ignore"):
        return [
            Comparison(layer, probe, name, Result(np.asarray(function(probe))), right[name])
            for probe, right in drawn(layer)
        ]


def explained(layer, name, function):
    return layer.explain(None, tried(layer, name, function))


def cross_entropy(m, log=np.log):
    z = m.s - m.s.max(axis=1, keepdims=True)
    return log(np.exp(z).sum(axis=1)) - (m.y * z).sum(axis=1)


def other_sums(m):
    powers = np.exp(m.s - m.s.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1) if len(m.s) == m.s.shape[1] else m.p


FORMULAS = [
    (MEAN, "ds", lambda m: (m.y - m.p) / len(m.s), "1/N·(−p + y)"),
    (MEAN, "ds", lambda m: (m.p + m.y) / len(m.s), "1/N·(p + y)"),
    (SUM, "ds", lambda m: 3 * m.p, "3·1·(p)"),
    (SUM, "ds", lambda m: (m.p - m.y) / 2, "1/2·1·(p − y)"),
    (SUM, "ds", lambda m: (m.p - m.y) / len(m.s) ** 2, "1/N²·(p − y)"),
    (SUM, "ds", lambda m: (m.p - m.y) / m.s.size, "1/(N·C)·(p − y)"),
    (SUM, "ds", lambda m: (m.p - m.y) * len(m.s), "N·(p − y)"),
    (SUM, "ds", lambda m: (m.p - m.y) * m.s.shape[1], "C·(p − y)"),
    (MEAN, "ds", lambda m: (m.p - m.y) / m.s.shape[1], "1/C·(p − y)"),
    (SUM, "ds", lambda m: m.y * (m.p - 1), "1·(−y·(1 − p))"),
    (SUM, "ds", lambda m: (m.p - m.y) * m.p * (1 - m.p), "1·((p − y)·p·(1 − p))"),
    (SUM, "ds", lambda m: (m.p * m.y).sum(axis=1, keepdims=True) * (m.p - m.y), "1·(q·(p − y))"),
    (SUM, "ds", lambda m: m.s - m.y, "1·(s − y)"),
    (SUM, "ds", lambda m: other_sums(m) - m.y, "1·(p by other sums − y)"),
    (SUM, "ds", lambda m: len(m.s) * m.p - m.y.sum(axis=0), "1·(N·p − Σ y)"),
    (MEAN, "loss", lambda m: -cross_entropy(m).mean(), "1/N·(log q)"),
    (SUM, "loss", lambda m: cross_entropy(m).mean(), "1/N·(−log q)"),
    (MEAN, "loss", lambda m: -(m.p * m.y).sum() / len(m.s), "1/N·(−q)"),
    (MEAN, "loss", lambda m: 1 - (m.p * m.y).sum() / len(m.s), "1/N·(1 − q)"),
    (MEAN, "loss", lambda m: cross_entropy(m).mean() / np.log(2), "1/N·(−log₂ q)"),
    (MEAN, "loss", lambda m: cross_entropy(m).mean() / np.log(10), "1/N·(−log₁₀ q)"),
    (MEAN, "loss", lambda m: -np.log((m.p * m.y).sum(axis=1) + 1e-9).mean(), "1/N·(−log(q + 1e-09))"),
    (MEAN, "loss", lambda m: -np.log((m.p * m.y).sum(axis=1).clip(1e-9)).mean(), "1/N·(−log(clip(q, 1e-09, 1)))"),
    (
        MEAN,
        "loss",
        lambda m: -np.log((m.p * m.y).sum(axis=1).clip(1e-9, 1 - 1e-9)).mean(),
        "1/N·(−log(clip(q, 1e-09, 1 − 1e-09)))",
    ),
]


@pytest.mark.parametrize(("layer", "name", "function", "formula"), FORMULAS, ids=[each[-1] for each in FORMULAS])
def test_the_formula_of_a_softmax_is_read(layer, name, function, formula):
    found = explained(layer, name, function)
    label, weight = layer.labels[name], "1/N" if layer.mean else "1"
    assert found.formula == f"{label} = {formula}"
    assert found.right == f"{label} = {weight}·({'p − y' if name == 'ds' else '−log q'})"
    assert found.cause
    assert found.cure
    assert found.anchor == "softmax"


def test_what_is_no_formula_of_a_softmax_and_what_is_right_is_not_read():
    assert explained(MEAN, "ds", lambda m: (m.p - m.y) / len(m.s) * 13 / 17) is None
    assert explained(MEAN, "ds", lambda m: (m.p - m.y) / len(m.s)) is None
    assert explained(MEAN, "loss", lambda m: cross_entropy(m).mean() - 1e-3) is None


@pytest.mark.parametrize("name", ["ds", "loss"])
def test_scores_that_give_no_numbers_tell_why(name):
    value = {"ds": lambda m: m.p - m.y, "loss": lambda m: cross_entropy(m).sum()}[name]

    def said(*wrong):
        return MEAN.lost(name, tried(MEAN, name, lambda m: value(m) * (np.nan if m.case.special in wrong else 1)))

    near = {"ds": "−y/(yᵀp) divides by a probability of 0", "loss": "the logarithm of a probability of 0 is taken"}
    assert said(softmax.AROUND)[0] == "is not a number: exp overflows for large scores"
    assert said(softmax.APART)[0] == "is not a number: the maximum is taken over the whole mini-batch"
    assert said(softmax.AROUND, softmax.APART)[0] == "is not a number: exp overflows for large scores"
    assert said(softmax.NEAR)[0] == f"is not a number: {near[name]}"
    title, cause, cure = said(softmax.APART, softmax.NEAR)
    assert title == f"is not a number: the maximum is taken over the whole mini-batch, and {near[name]}"
    assert len(cause.split(". ")) == 2
    assert cure.startswith("Subtract each image's largest score first")
    assert said(softmax.AROUND, "") is None
    assert said("") is None


@pytest.mark.parametrize("weight", ["1/N", "1", "N"])
def test_a_formula_fits_within_four_times_the_errors_of_both_sides(weight):
    """Those of the terms of the formula, and those of the right algorithm, of images of this weight."""
    probe, images = batch_of([[3.0, -1, 0], [5, 5, 2]], [0, 1]), 2
    of_image, share = {"1/N": 1 / 2, "1": 1.0, "N": 2.0}[weight], MEAN.share(probe, "float64")
    for name, value, parts in (("ds", np.full((2, 3), 0.5), 1), ("loss", np.array(3.0), images)):
        right = share * (parts / images + value) * max(1.0, of_image * images)
        off = 4 * (share * (value + of_image * images) + right)
        for times, fits in ((0.999, True), (1.001, False)):
            each = compared(MEAN, probe, name, value + times * off)
            assert softmax._fits(MEAN, each, value, weight) == fits


# fully connected ------------------------------------------------------------------------------------------------------

CONNECTED = fully_connected.fully_connected("float64", bias=True)


def connected_case(images, classes, *image):
    return Case(Geometry(image, (classes, *image)), images)


def test_a_fully_connected_layer_is_tried_on_all_sizes():
    """How many numbers are tried, or read, changes on purpose only."""
    cases = CONNECTED.curriculum()
    assert counted(cases) == (14, 1098)
    assert sum(case.numbers**2 for case in cases) == 321476
    assert sorted(cases, key=lambda case: case.numbers) == cases
    assert all(case.geometry.positions == 1 for case in cases)
    sizes = {(case.images, case.geometry.filters[0], *case.geometry.image) for case in cases}
    assert len(sizes) == len(cases)
    assert {size for size in sizes if max(size) <= 2 and math.prod(size) == 2} >= {
        (1, 1, 1, 1, 2), (1, 2, 1, 1, 1), (2, 1, 1, 1, 1)
    }  # fmt: skip
    assert any(images > 1 and math.prod(image) == classes > 1 for images, classes, *image in sizes)
    for width in (4, 8, 16, 32):
        assert any(math.prod(image) > width and math.prod(image) % width for _, _, *image in sizes)
    for layer in CONNECTED.reading_layers():
        assert layer.geometry.filters[1:] == layer.geometry.image
    read = [Case(layer.geometry, layer.images) for layer in CONNECTED.reading_layers()]
    assert (counted(read), sum(case.numbers**2 for case in read)) == ((17, 1045), 107885)
    assert len(set(read)) == len(read)


def test_no_size_of_the_layers_that_are_read_follows_from_the_others():
    """No size is the same, one more or less, or a product or a sum of two others, at all of them."""
    sizes = [(each.images, each.geometry.filters[0], *each.geometry.image) for each in CONNECTED.reading_layers()]
    columns = [np.array(column) for column in zip(*sizes, strict=True)]
    for at, column in enumerate(columns):
        others = [each for k, each in enumerate(columns) if k != at]
        made = [each + more for each in others for more in (-1, 0, 1)]
        made += [f(a, b) for a, b in itertools.combinations(others, 2) for f in (np.add, np.multiply)]
        assert not any(np.array_equal(column, each) for each in made)
        assert len(set(column)) >= 4


def test_other_cases_of_a_fully_connected_layer():
    cases = CONNECTED.curriculum()
    fresh = CONNECTED.fresh(cases)
    assert not set(fresh) & set(cases)
    assert len(set(fresh)) == 4
    assert [case.numbers for case in fresh] == [20, 26, 33, 40]
    assert [case.images for case in fresh] == [2, 4, 4, 4]
    small, *_ = fresh
    assert (small.geometry.filters[0], small.geometry.pixels) == (2, 4)
    (observed,) = CONNECTED.observed(cases)
    shapes = CONNECTED.draw(observed, 0).arrays
    assert min(each.size for each in shapes.values()) == 17
    assert CONNECTED.large_batch(9) is None
    smallest = CONNECTED.smallest()
    assert len(set(smallest)) == len(smallest) == 32
    assert {(each.images, each.geometry.filters[0], *each.geometry.image) for each in smallest} == set(
        itertools.product((1, 2), repeat=5)
    )
    assert list(smallest) == sorted(smallest, key=lambda case: case.numbers)


def test_a_fully_connected_layer_is_cut_by_one_size():
    smaller = CONNECTED.smaller(connected_case(5, 4, 3, 2, 1))
    found = [(each.images, each.geometry.filters[0], *each.geometry.image) for each in smaller]
    assert found == [
        (1, 4, 3, 2, 1), (2, 4, 3, 2, 1), (4, 4, 3, 2, 1),
        (5, 1, 3, 2, 1), (5, 2, 3, 2, 1), (5, 3, 3, 2, 1),
        (5, 4, 1, 2, 1), (5, 4, 2, 2, 1), (5, 4, 3, 1, 1),
    ]  # fmt: skip
    assert list(CONNECTED.smaller(connected_case(1, 1, 1, 1, 1))) == []


@pytest.mark.parametrize("bias", [True, False])
def test_what_is_right_of_a_fully_connected_layer(bias):
    layer, case = fully_connected.fully_connected("int64", bias=bias), connected_case(3, 4, 2, 1, 5)
    probe = layer.draw(case, 0)
    W, H, b, g = (probe.arrays[letter] for letter in ("W", "H", "b", "g"))
    assert (W.shape, H.shape, b.shape, g.shape) == ((4, 10), (3, 2, 1, 5), (4,), (3, 4))
    right = {name: each.value for name, each in layer.right(probe).items()}
    assert np.array_equal(right["s"], H.reshape(3, 10) @ W.T + b)
    assert np.array_equal(right["dW"], g.T @ H.reshape(3, 10))
    assert np.array_equal(right["dH"], (g @ W).reshape(H.shape))
    assert np.array_equal(right["db"], g.sum(axis=0))
    assert bool(b.any()) == bias
    assert layer.slack(probe, "s") == 0
    assert layer.title == f"fully connected {'with' if bias else 'without'} bias, int64"
    options = layer.options
    assert (options.spatial_ndim, options.stride, options.dilation, options.groups) == (2, (1, 1), (1, 1), 1)
    assert options.padding == ((0, 0), (0, 0))


def test_results_of_a_fully_connected_layer_in_the_shapes_of_a_convolution():
    case = connected_case(3, 4, 2, 1, 5)
    for name, shape, wanted in (("S", (3, 4), (3, 4, 1, 1)), ("dF", (4, 10), (4, 2, 1, 5)), ("dX", (3, 2, 1, 5), None)):
        array = np.arange(math.prod(shape)).reshape(shape)
        turned = CONNECTED.convolved(name, array, case)
        assert np.array_equal(turned, array.reshape(wanted or shape))
        assert np.array_equal(CONNECTED.shaped(name, turned), array)
    # What has another shape is left as it is.
    for name, shape in (("S", (12,)), ("S", (4, 3)), ("S", (3, 4, 1)), ("dF", (10, 4)), ("dF", (40,)), ("db", (4,))):
        assert CONNECTED.convolved(name, np.ones(shape), case).shape == shape


def test_names_of_a_fully_connected_layer():
    one, several, wide = connected_case(1, 2, 1, 1, 3), connected_case(2, 2, 1, 1, 2), connected_case(1, 1, 1, 1, 10)
    assert CONNECTED.names("W", one) == ["W11", "W12", "W13", "W21", "W22", "W23"]
    assert CONNECTED.names("dW", one) == ["dW11", "dW12", "dW13", "dW21", "dW22", "dW23"]
    assert CONNECTED.names("W", wide)[8:] == ["W1,9", "W1,10"]
    assert CONNECTED.names("W", connected_case(1, 10, 1, 1, 1))[-1] == "W10,1"
    assert CONNECTED.names("W", connected_case(1, 9, 1, 1, 1))[-1] == "W91"
    assert CONNECTED.names("H", one) == ["h1", "h2", "h3"]
    assert CONNECTED.names("dH", several) == ["dh1^(1)", "dh2^(1)", "dh1^(2)", "dh2^(2)"]
    assert CONNECTED.names("s", several) == ["s1^(1)", "s2^(1)", "s1^(2)", "s2^(2)"]
    assert CONNECTED.names("g", one) == ["g1", "g2"]
    assert CONNECTED.names("b", several) == ["b1", "b2"]
    assert CONNECTED.names("db", several) == ["db1", "db2"]
    assert CONNECTED.axes("dW", 2) == (("classes", "C"), ("entries of h", "m"))


def test_sizes_of_a_fully_connected_layer():
    assert CONNECTED.sizes(connected_case(3, 4, 2, 1, 5)) == {
        "images": ("N", 3), "classes": ("C", 4), "entries of h": ("m", 10), "planes": ("d", 2), "rows": ("h", 1),
        "columns": ("w", 5),
    }  # fmt: skip


def test_words_of_a_fully_connected_layer():
    worded = CONNECTED.worded
    assert worded("the filters are as wide as taps of a filter") == "the classes are as wide as entries of a class"
    assert worded("S[n, i, l, m] = Σ X[n, k, y, x]·F[i, k, y, x] over k < d, n < n") == (
        "s[n, i] = Σ H[n, k, y, x]·W[i, k, y, x] over k < d, n < C"
    )
    assert worded("G[n, i, 0, 0]") == "g[n, i]"


# convolutions ---------------------------------------------------------------------------------------------------------


def layer_of(spatial_ndim=2, dtype="float64", *, bias=True, layout="", **given):
    """A layer with these options."""
    order = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | given
    found = convolution.options(*order.values(), spatial_ndim, bias=bias, dtype=dtype)
    return Convolution(found.dtype, dataclasses.replace(found, layout=layout))


UNLIKE = Case(Geometry((2, 5, 6), (4, 1, 2, 3), stride=2, padding=((1, 0), (0, 2)), groups=2), 3)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_calls_are_observed_at_a_layer_with_several_of_everything_and_at_a_wide_one(axes, dtype):
    """Where every array has one entry, its layout in memory is none."""
    for options in option_pairs(axes)[::3]:
        layer = layer_of(axes, dtype, **options)
        cases = layer.curriculum()
        several, *wide = layer.observed(cases)
        assert several in cases
        assert several.several
        wide_enough = [case.numbers for case in cases if max(case.geometry.responses[1:]) >= 24]
        assert [case.numbers for case in wide] == [min(wide_enough)]


def test_code_of_three_axes_that_ignores_the_strides_of_its_filters_is_found():
    def forward(X, F):
        F = F.ravel(order="K").reshape(F.shape)
        windows = np.lib.stride_tricks.sliding_window_view(X, F.shape[2:], axis=(2, 3, 4))
        return np.einsum("ncdhwabe,ocabe->nodhw", windows, F)

    layer = layer_of(3, bias=False)
    run = Run(called(layer, "forward", forward), layer, layer.curriculum(), 0)
    (found,) = layouts.memory_layouts(run)
    assert (found.about, found.title) == ("S", "depends on the memory layout of F (wrong for Fortran order)")


def test_of_given_layers_those_that_have_most_are_observed():
    layer = layer_of()
    one, rows, several = (
        Case(Geometry((planes, 3, width), (filters, planes, 2, 2)), images)
        for planes, width, filters, images in ((1, 3, 1, 1), (1, 3, 1, 2), (2, 3, 3, 2))
    )
    flat = Case(Geometry((2, 2, 9), (3, 2, 2, 2)), 2)
    assert layer.observed([one]) == [one]
    assert layer.observed([one, rows]) == [rows, one]
    assert layer.observed([one, rows, several]) == [several, one]
    assert layer.observed([one, rows, several, flat]) == [several, flat]
    # A large one is not taken where a smaller one has the same.
    larger = [Case(Geometry((2, size, size), (3, 2, 2, 2)), 2) for size in (3, 4, 5, 6)]
    assert layer.observed(larger) == [larger[2], larger[3]]
    assert layer.observed([one, one, one, one, several]) == [several, one]
    # From 24 responses on a layer is wide enough.
    wide = [Case(Geometry((1, 1, size), (1, 1, 1, 1)), 1) for size in (23, 24, 25)]
    assert layer.observed(wide)[-1] == wide[1]


def test_layers_to_look_for_what_is_kept_between_calls():
    layer = layer_of()
    cases = layer.curriculum()
    small, larger, third, fourth = layer.fresh(cases)
    assert not {small, larger, third, fourth} & set(cases)
    assert small.numbers < larger.numbers
    # Of a few that were given, other numbers of images.
    given = [Case(Geometry((1, size, 3), (1, 1, 2, 2)), 1) for size in (2, 3)]
    assert layer.fresh(given) == (
        Case(given[0].geometry, 3), Case(given[1].geometry, 4), Case(given[1].geometry, 6), Case(given[1].geometry, 7)
    )  # fmt: skip
    assert layer.fresh(given[:1]) == tuple(Case(given[0].geometry, images) for images in (3, 4, 6, 7))
    others = [Case(Geometry((1, size, 3), (1, 1, 2, 2)), 1) for size in (7, 3, 5, 4, 9)]
    assert [case.geometry for case in layer.fresh(others)] == [others[1].geometry] + [others[0].geometry] * 3


@pytest.mark.parametrize(
    ("dtype", "small", "fraction"),
    [("float64", 9, 9), ("float32", 9, 9), ("float16", 5, 8), ("bfloat16", 1, 3), ("int32", 9, None)],
)
def test_small_numbers_of_a_convolution_have_exact_sums(dtype, small, fraction):
    """UNLIKE has sums of 27 products: of three calls 81 s², and 27 f², are at most 2^p."""
    layer = layer_of(dtype=dtype)
    assert UNLIKE.terms == 27
    found = layer.small(UNLIKE, 0)
    assert max(np.abs(found.wide[letter]).max() for letter in "XFG") == small
    assert np.abs(found.wide["b"]).max() <= small**2
    parts = layer.fractions(UNLIKE, 0)
    if fraction is None:
        assert parts is None
    else:
        assert max(np.abs(parts.wide[letter]).max() for letter in "XFG") == fraction / 16
        assert np.all(parts.wide["X"] * 16 % 1 == 0)
        assert np.all(parts.wide["b"] * 256 % 1 == 0)
        assert 0 < np.abs(parts.wide["b"]).max() <= fraction**2 / 256
        assert parts.dtype == found.dtype == dtype_of(dtype)
        assert not np.array_equal(parts.wide["X"], layer.fractions(UNLIKE, 1).wide["X"])
    assert not np.array_equal(found.wide["X"], layer.small(UNLIKE, 1).wide["X"])
    many = Case(Geometry((1, 20, 20), (1, 1, 1, 1)), 1)
    assert np.abs(layer_of(dtype="bfloat16").small(many, 0).wide["G"]).max() == 1
    assert layer_of(dtype="bfloat16").fractions(many, 0) is None
    fewer = Case(Geometry((1, 14, 14), (1, 1, 1, 1)), 1)
    assert np.abs(layer_of(dtype="bfloat16").fractions(fewer, 0).wide["G"]).max() == 1 / 16


def test_numbers_that_are_easy_to_read_come_first():
    easy, large = (
        [float(np.abs(each.wide["X"]).max()) for each in layer_of(dtype=dtype).readable(UNLIKE, 3)]
        for dtype in ("float16", "float64")
    )
    assert easy == [8, 8, 8]
    assert large[:3] == [9, 9, 9]
    assert len(large) == 4
    assert 2**23 < large[3] <= math.isqrt(2**53 // 27)
    many = Case(Geometry((1, 20, 20), (1, 1, 1, 1)), 1)
    assert list(layer_of(dtype="bfloat16").readable(many, 3)) == []


def test_real_numbers_of_a_convolution():
    assert layer_of().reals(UNLIKE, 0).what == REAL
    assert layer_of(dtype="int32").reals(UNLIKE, 0) is None
    layer = layer_of()
    updating = Convolution("float64", dataclasses.replace(layer.options, updates=True))
    assert updating.reals(UNLIKE, 0) is None
    right = layer.right(layer.reals(UNLIKE, 0))
    assert all(each.bound.min() > 0 for each in right.values())
    assert all(not each.bound.any() for each in layer.right(layer.draw(UNLIKE, 0)).values())


def test_very_many_images_are_tried_where_one_is_small():
    layer = layer_of()
    batch = layer.large_batch(4097)
    assert (batch.case.images, batch.case.geometry.pixels, batch.case.geometry.positions) == (4097, 1, 1)
    assert np.abs(batch.wide["X"]).max() > 2**19
    # One column is left behind the padding by 4 responses, and as many are taken along the rows.
    padded = layer_of(stride=(2, 1), padding=((1, 2), (0, 3))).large_batch(9).case.geometry
    assert (padded.image, padded.responses) == ((1, 4, 1), (1, 4, 4))
    assert layer_of(padding=40).large_batch(9) is None
    half = layer_of(dtype="bfloat16").large_batch(70000)
    assert np.flatnonzero(half.wide["G"]).tolist() == [0, 70000 - 1]
    assert np.abs(half.wide["G"]).max() == np.abs(half.wide["X"]).max() == 1
    assert layer_of(dtype="float16").large_batch(100).wide["G"].all() == False  # noqa: E712
    assert np.abs(layer_of(dtype="float16").large_batch(100).wide["X"]).max() == 4


def test_the_bounds_of_a_convolution_are_those_of_its_sums():
    layer, probe = layer_of(), layer_of().draw(UNLIKE, 0)
    right = layer.right(probe)
    for name, factors in (("S", "XF"), ("dX", "GF"), ("dF", "GX"), ("db", "G")):
        norms = math.prod(math.sqrt(float(np.sum(probe.wide[letter] ** 2))) for letter in factors)
        norms += float(np.abs(probe.wide["b"]).max())
        operations = sum(probe.wide[letter].size for letter in factors) + 10
        # A padded plane, of which a group has one, taps, and the longest sum.
        count = 6 * 8 * 1 + 6 + 27
        assert layer.slack(probe, name) == rounded(count * 2.0**-53 / (1 - count * 2.0**-53) * norms, operations)
        lower = layer.lower(probe, name, "float32", right[name])
        assert lower == rounded(count * 2.0**-24 / (1 - count * 2.0**-24) * norms, operations)


def test_a_nan_is_put_into_no_integer_and_into_no_filter_that_is_updated():
    probe = layer_of().draw(UNLIKE, 0)
    updating = Convolution("float64", dataclasses.replace(layer_of().options, updates=True))
    for letter in "XFG":
        spoiled, reach = layer_of().reach(probe, letter)
        assert np.isnan(spoiled.arrays[letter]).sum() == 1
        assert set(reach) == {"S", "dX", "dF", "db"}
        assert (updating.reach(probe, letter) is None) == (letter == "F")
        assert layer_of(dtype="int64").reach(layer_of(dtype="int64").draw(UNLIKE, 0), letter) is None


def test_names_of_a_convolution():
    one, two = (Case(Geometry((1, 1, 2), (1, 1, 1, 1)), images) for images in (1, 2))
    names = convolution.entry_names
    assert (names("X", one), names("dX", one)) == (["X11", "X12"], ["v1", "v2"])
    assert names("X", two) == ["X11^(1)", "X12^(1)", "X11^(2)", "X12^(2)"]
    assert names("dF", two) == names("dF", one)
    assert names("b", two) == names("b", one)
    assert layer_of().names("S", two) == names("S", two)
    assert len(names("S", two)) == 4


def test_sizes_and_axes_of_a_convolution():
    sizes = layer_of().sizes(UNLIKE)
    assert dict(sizes.values()) == {
        "N": 3, "d": 2, "n": 4, "d/groups": 1, "n/groups": 2, "k·l": 6, "h'·w'": 9, "d·k·l": 6, "the tail": 1,
        "k": 2, "h'": 3, "H": 5, "K": 2, "the padding of rows": 1, "l": 3, "w'": 3, "W": 6, "L": 3,
        "the padding of columns": 2,
    }  # fmt: skip
    dilated = layer_of(1).sizes(Case(Geometry((1, 7), (1, 1, 2), dilation=3), 1))
    assert dilated["entries of axis 0 of a filter"] == ("K0", 4)
    assert dilated["entries of axis 0 of taps"] == ("k0", 2)
    assert dilated["entries of axis 0 of responses"] == ("h'0", 4)
    assert dilated["entries of axis 0 of the image"] == ("H0", 7)
    third = layer_of(3).sizes(Case(Geometry((1, 2, 3, 4), (1, 1, 1, 2, 3)), 1))
    assert third["entries of axis 2 of taps"] == ("k2", 3)
    axes = layer_of().axes
    assert axes("dX", 4) == (("images", "N"), ("planes", "d"), ("rows", "h"), ("columns", "w"))
    assert axes("dF", 3) == (("filters", "n"), ("planes", "d"), ("tap columns", "l"))
    assert axes("db", 1) == (("filters", "n"),)
    assert [name for name, _ in axes("S", 5)] == [f"entries of axis {k}" for k in range(5)]
    assert [name for name, _ in axes("db", 3)] == [f"entries of axis {k}" for k in range(3)]


def test_spatial_axes_are_counted_in_the_order_of_the_code():
    text = "the stride of the first axis and the second axis are exchanged; first planes"
    assert layer_of().worded(text) == text
    turned = layer_of(layout="NCWH,OIWH->NOWH").worded(text)
    assert turned == "the stride of the second axis and the first axis are exchanged; first planes"


# entries of a convolution in symbols ----------------------------------------------------------------------------------


def called(layer, side, function):
    return Subject({side: function}, layer.takes, layer.gives, layer.labels)


def symbols(layer, probe, subject, name, change=0.0):
    got = np.asarray(subject.results(probe.arrays)[name].value) + change
    return [layer.symbols(subject, probe, name, at, got) for at in range(got.size)]


def turned_responses(X, F, b):
    """Of two taps, in the wrong order, the second twice, and the bias subtracted."""
    return X[:, :1, :-1] * F[0, 0, 1] + 2 * X[:, :1, 1:] * F[0, 0, 0] - b


def wrong_gradients(X, F, b, G):
    return G * F[0, 0, 0] / 2, 3 * np.sum(X * G)[None, None, None], G[:1, 0, 0]


def test_entries_of_responses_in_symbols():
    layer, case = layer_of(1), Case(Geometry((1, 3), (1, 1, 2)), 1)
    probe, subject = layer.draw(case, 0), called(layer_of(1), "forward", turned_responses)
    found = [
        ("X1F1 + X2F2 + b1", "X1F2 + 2X2F1 - b1"),
        ("X2F1 + X3F2 + b1", "X2F2 + 2X3F1 - b1"),
    ]
    assert symbols(layer, probe, subject, "S") == found
    # Rounding may change the numbers, but nothing else: then they are not those of the symbols.
    assert symbols(layer, probe, subject, "S", layer.slack(probe, "S")) == found
    terms = np.abs(probe.wide["X"]).max() * np.abs(probe.wide["F"]).max() * 4
    far = layer.slack(probe, "S") + 8 * 2.0**-53 * terms
    assert symbols(layer, probe, subject, "S", 2 * far) == [None, None]
    assert symbols(layer, probe, subject, "S", -2 * far) == [None, None]
    right = called(layer, "forward", lambda X, F, b: X[:, :1, :-1] * F[0, 0, 0] + X[:, :1, 1:] * F[0, 0, 1] + b)
    assert symbols(layer, probe, right, "S") == [None, None]
    # The product of two terms is no product of one.
    squared = called(layer, "forward", lambda X, F, b: X[:, :1, :-1] ** 2 + X[:, :1, 1:] * F[0, 0, 1] + b)
    assert symbols(layer, probe, squared, "S") == [None, None]
    plain = layer_of(1, bias=False)
    alone = called(plain, "forward", lambda X, F: turned_responses(X, F, 0))
    assert symbols(plain, plain.draw(case, 0), alone, "S")[0] == ("X1F1 + X2F2", "X1F2 + 2X2F1")
    nothing = called(plain, "forward", lambda X, F: X[:, :1, 1:] * 0)
    assert symbols(plain, plain.draw(case, 0), nothing, "S")[0] == ("X1F1 + X2F2", "0")


def test_entries_of_gradients_in_symbols():
    layer, case = layer_of(1), Case(Geometry((1, 2), (1, 1, 1)), 2)
    probe, subject = layer.draw(case, 0), called(layer_of(1), "backward", wrong_gradients)
    assert symbols(layer, probe, subject, "dX")[1:3] == [
        ("g2^(1)F1", "1/2g2^(1)F1"), ("g1^(2)F1", "1/2g1^(2)F1")
    ]  # fmt: skip
    products = ["g1^(1)X1^(1)", "g1^(2)X1^(2)", "g2^(1)X2^(1)", "g2^(2)X2^(2)"]
    assert symbols(layer, probe, subject, "dF") == [(" + ".join(products), " + ".join(f"3{each}" for each in products))]
    assert symbols(layer, probe, subject, "db") == [("g1^(1) + g1^(2) + g2^(1) + g2^(2)", "g1^(1)")]


def test_code_that_returns_no_numbers_has_no_symbols():
    layer, case = layer_of(1, bias=False), Case(Geometry((1, 3), (1, 1, 2)), 1)
    probe = layer.draw(case, 0)

    def refuses_zeros(X, F):
        if np.sum(X != 0) < 2:
            raise ValueError("no image")
        return X[:, :1, 1:] * F[0, 0, 0]

    infinite = called(layer, "forward", lambda X, F: X[:, :1, 1:] * F[0, 0, 0] + (np.inf if np.sum(X != 0) < 2 else 0))
    short = called(layer, "forward", lambda X, F: X[:, :1, 1:] * F[0, 0, 0] if np.sum(X != 0) > 1 else X[:, :1, :1])
    assert symbols(layer, probe, called(layer, "forward", refuses_zeros), "S") == [None, None]
    assert symbols(layer, probe, infinite, "S") == [None, None]
    assert symbols(layer, probe, short, "S")[1] is None
