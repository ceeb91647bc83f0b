import functools
import itertools
import json
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from fractions import Fraction
from xml.etree import ElementTree as ET

import ml_dtypes
import numpy as np
import pytest
import scipy.signal

from jacobians import AuditError, DtypeError, Geometry, ShapeError, audit, convolve
from jacobians.audit import curriculum
from jacobians.audit.cases import Case
from jacobians.audit.compare import Comparison
from jacobians.audit.facts import where
from jacobians.audit.isolation import isolated
from jacobians.audit.layers import convolution
from jacobians.audit.layouts import with_layout
from jacobians.audit.subject import Result
from jacobians.evidence import exact
from jacobians.testing import assert_convolution, option_pairs
from tests import crashing
from tests.convolutions import Fft, Layer
from tests.strategies import SEEDS

PLAIN = Layer()
STRIDED = {"stride": (2, 3), "padding": ((1, 2), (0, 1))}


def first_line(report) -> str:
    return str(report).splitlines()[0]


# right code passes ----------------------------------------------------------------------------------------------------


# Each stride with each padding, and every other one with groups.
@pytest.mark.parametrize("options", [option_pairs()[2 * at + at % 2] for at in range(9)], ids=str)
def test_a_right_convolution_passes_at_all_layers_with_every_option(options) -> None:
    layer = Layer(**options)
    report = audit(layer.forward, layer.backward, **options, seed=11)
    assert report.check().findings == ()
    assert report.audited == ("S", "∂l/∂X", "∂l/∂F")
    assert report.log2_miss <= -60
    assert report.notes == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_no_false_alarm_with_many_seeds(seed) -> None:
    options = option_pairs()[seed % 18]
    layer, few = Layer(**options), [Geometry((2, 6, 5), (2, 2 // options["groups"], 2, 2), **options)]
    assert audit(layer.forward, layer.backward, **options, seed=seed, geometries=few).ok


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int32"])
def test_a_right_convolution_passes_in_every_dtype(dtype) -> None:
    layer = Layer(**STRIDED)
    assert assert_convolution(layer.forward, layer.backward, dtype=dtype, bias=True, **STRIDED).ok


@pytest.mark.usefixtures("fewer")
def test_one_and_three_spatial_axes() -> None:
    for axes in (1, 3):

        def forward(X, F, axes=axes):
            images = X.swapaxes(0, 1)  # as one more spatial axis
            layer = Geometry(images.shape, F[:, :, None].shape, stride=(1, *(2,) * axes))
            return convolve(images, F[:, :, None], layer).swapaxes(0, 1)

        assert audit(forward, stride=2, spatial_ndim=axes).ok


def by_fft(X, F):
    def plane(x, f):
        return sum(scipy.signal.fftconvolve(a, b[::-1, ::-1], mode="valid") for a, b in zip(x, f, strict=True))

    return np.stack([np.stack([plane(x, f) for f in F]) for x in X]).astype(X.dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_the_fft_is_inexact_and_passes_within_the_bound(dtype) -> None:
    layer = Fft()
    few = None if dtype == "float64" else [Geometry((2, 6, 7), (3, 2, 2, 3)), Geometry((1, 5, 9), (2, 1, 3, 1))]
    report = audit(layer.forward, layer.backward, dtype=dtype, geometries=few)
    assert report.ok
    assert any(note.startswith("S is inexact on integers but within the rounding bound") for note in report.notes)
    assert report.log2_miss < -20


def by_overlap_add(X, F):
    def plane(x, f):
        return sum(scipy.signal.oaconvolve(a, b[::-1, ::-1], mode="valid") for a, b in zip(x, f, strict=True))

    return np.stack([np.stack([plane(x, f) for f in F]) for x in X]).astype(X.dtype)


def by_winograd(X, F):
    """F(2, 3) along the columns, direct along the rows: filters of three columns, and an even width of S."""
    if F.shape[3] != 3 or (X.shape[3] - 2) % 2:
        return PLAIN.forward(X, F)
    transform = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    filters = F @ transform.T
    tiles = np.lib.stride_tricks.sliding_window_view(X, (F.shape[2], 4), axis=(2, 3))[:, :, :, ::2]
    a, b, c, d = np.moveaxis(tiles, -1, 0)
    mixed = np.stack([a - c, b + c, c - b, b - d], -1)
    m = np.einsum("ndhwkt,idkt->nihwt", mixed, filters)
    S = np.stack([m[..., 0] + m[..., 1] + m[..., 2], m[..., 1] - m[..., 2] - m[..., 3]], -1)
    return S.reshape(*S.shape[:3], -1).astype(X.dtype)


@pytest.mark.parametrize("seed", SEEDS)
def test_fast_algorithms_pass_with_many_seeds(seed) -> None:
    few = [Geometry((2, 4, 6), (2, 2, 2, 3)), Geometry((1, 3, 34), (1, 1, 1, 3))]
    function = (by_fft, by_overlap_add, by_winograd)[seed % 3]
    dtype = "float32" if seed % 10 == 0 else "float64"
    report = audit(function, dtype=dtype, seed=seed, geometries=few)
    assert report.ok, str(report)


def refuse_zeros(X, F):
    if not np.any(F):
        raise ValueError("no filter")
    return PLAIN.forward(X, F)


SMALL_NUMBERS = [
    (refuse_zeros, "is wrong where all numbers are 0: ValueError: no filter (refuse_zeros, line "),
    (lambda X, F: PLAIN.forward(X, F) + 1e-3, "is not 0 where all numbers are 0, but up to 0.001"),
    (lambda X, F: PLAIN.forward(X, F) + 1e-13, "is not 0 where all numbers are 0, but up to 1e-13"),
    (lambda X, F: by_fft(X, F) + 1e-9, "is not 0 where all numbers are 0, but up to 1e-09"),
    (lambda X, F: PLAIN.forward(X.astype(int), F).astype(float), "is rounded to integers"),
    (lambda X, F: np.rint(by_fft(X, F)), "is rounded to integers"),
    (lambda X, F: np.round(PLAIN.forward(X, F), 2), "is wrong for fractions: "),
    (lambda X, F: PLAIN.forward(X, F) + 1e-9 * np.sign(X).max(), "is not 0 where F is 0, but up to 1e-09"),
    (lambda X, F: PLAIN.forward(X, F) + 1e-9 * np.sign(X).max() * np.sign(F).max(), "is wrong for fractions: "),
]


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize(
    ("forward", "said"), SMALL_NUMBERS, ids=[f"{at} {row[1]}" for at, row in enumerate(SMALL_NUMBERS)]
)
def test_what_large_integers_hide(forward, said) -> None:
    finding = audit(forward).findings[0]
    assert finding.title.startswith(said)
    assert finding.anchor == "small"


def test_a_function_that_refuses_fractions() -> None:
    def forward(X, F):
        if np.any(np.rint(X) != X):
            raise ValueError("no fractions")
        return PLAIN.forward(X, F)

    assert (
        audit(forward).findings[0].title.startswith("is wrong for fractions: ValueError: no fractions (forward, line ")
    )


@pytest.mark.usefixtures("fewer")
def test_a_wrong_fft_is_found_although_it_is_inexact() -> None:
    finding = audit(lambda X, F: by_fft(X, F[:, :, ::-1, ::-1])).findings[0]
    assert (finding.about, finding.kind) == ("S", "values")


@pytest.mark.usefixtures("fewer")
def test_same_padding_and_a_backward_pass_alone() -> None:
    def backward(X, F, G):
        zeros = [((k - 1) // 2, k // 2) for k in F.shape[2:]]
        return Layer(padding=zeros).backward(X, F, G)

    assert audit(None, backward, padding="same").audited == ("∂l/∂X", "∂l/∂F")


# wrong code is found, named and shrunk --------------------------------------------------------------------------------


def spoil(change, name):
    """A backward pass with one of its results changed."""

    def backward(X, F, *rest):
        results = list(PLAIN.backward(X, F, *rest))
        results[["dX", "dF", "db"].index(name)] = change(results, X, F, rest[-1])
        return tuple(results)

    return backward


def turned(F):
    return F[:, :, ::-1, ::-1]


def twice_the_last_image(r, X, F, G):
    return PLAIN.backward(X[-1:], F, G[-1:])[1]


def upstream_of_ones(r, X, F, G):
    return PLAIN.backward(X, F, np.ones_like(G))[0]


def unrotated(X, F, G):
    return PLAIN.backward(X, turned(F), G)[0], PLAIN.backward(X, F, G)[1]


def last_filter(r, X, F, G):
    return PLAIN.backward(X, F[-1:], G[:, -1:])[0]


def first_image(X, F):
    return np.repeat(PLAIN.forward(X, F)[:1], len(X), axis=0)


def exchanged(X, F):
    return PLAIN.forward(X, F.swapaxes(0, 1) if len(F) == F.shape[1] else F)


# What is wrong, what must be said, and the most numbers of X, F and G in the smallest case.
WRONG = [
    (None, unrotated, "∂l/∂X is wrong: the filter is not rotated by 180°", 5),
    (None, spoil(lambda r, X, F, G: turned(r[1]), "dF"), "∂l/∂F is wrong: it is rotated by 180°", 5),
    (None, spoil(lambda r, X, F, G: r[1] / len(X), "dF"), "∂l/∂F is wrong: it is divided by the number of images", 5),
    (None, spoil(lambda r, X, F, G: r[0] * 2, "dX"), "∂l/∂X is wrong: it is twice what it should be", 3),
    (None, spoil(lambda r, X, F, G: -r[1], "dF"), "∂l/∂F is wrong: its sign is wrong", 3),
    (None, spoil(upstream_of_ones, "dX"), "∂l/∂X is wrong: the upstream gradient is replaced by ones", 3),
    (None, spoil(twice_the_last_image, "dF"), "∂l/∂F is wrong: only the last image counts", 5),
    (None, spoil(last_filter, "dX"), "∂l/∂X is wrong: only the last filter counts", 5),
    (lambda X, F: PLAIN.forward(X, turned(F)), None, "S is wrong: the filter is turned by 180°", 5),
    (lambda X, F: np.maximum(PLAIN.forward(X, F), 0), None, "S is wrong: a ReLU is applied to it", 5),
    (lambda X, F: PLAIN.forward(X[:, -1:], F[:, -1:]), None, "S is wrong: only the last plane counts", 5),
    (lambda X, F: PLAIN.forward(X[:, ::-1], F), None, "S is wrong: the planes of the filter are in reverse order", 5),
    (exchanged, None, "S is wrong: the channel axes of F are exchanged", 8),
    (first_image, None, "S is wrong: every image gets the responses of the first", 5),
]


@pytest.mark.usefixtures("fewer", "unread")
@pytest.mark.parametrize(("forward", "backward", "said", "numbers"), WRONG, ids=[row[2] for row in WRONG])
def test_wrong_code_is_found_on_a_case_with_few_numbers(forward, backward, said, numbers) -> None:
    report = audit(forward, backward)
    finding = report.findings[0]
    assert (finding.about, finding.kind) == (said.split()[0], "values")
    assert finding.entries
    sizes = [np.size(finding.arrays[letter]) for letter in ("X", "F", "G")]
    assert sum(sizes) <= numbers
    with pytest.raises(AuditError, match="wrong"):
        report.check()


@pytest.mark.usefixtures("fewer")
def test_the_smallest_case_of_the_designs_example() -> None:
    backward = WRONG[0][1]
    finding = audit(None, backward).findings[0]
    assert finding.case == "X 1×1×1×2, F 1×1×1×2, stride 1, padding 0"
    assert finding.entries == ("v1: expected g1F11   got g1F12", "v2: expected g1F12   got g1F11")


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize(
    ("options", "spoiled", "said"),
    [
        ({"stride": 3}, lambda F: F, "tail"),
        (
            {"groups": 2},
            lambda F: np.concatenate([F[: len(F) // 2]] * 2),
            "the filters of group 0 are used for all groups",
        ),
    ],
)
def test_errors_that_only_some_options_show(options, spoiled, said) -> None:
    layer = Layer(**options)

    def backward(X, F, G):
        dX, dF = layer.backward(X, spoiled(F), G)
        if said == "tail":
            rest = [(size - k) % 3 for size, k in zip(X.shape[2:], F.shape[2:], strict=True)]
            dX = np.roll(dX, rest, axis=(2, 3))
        return dX, dF

    assert {each.about for each in audit(None, backward, **options).findings} == {"∂l/∂X"}


def test_what_no_theory_explains_is_described() -> None:
    def forward(X, F):
        S = PLAIN.forward(X, F)
        S[..., 16:] = S[..., :1]
        return S

    finding = audit(forward).findings[0]
    assert finding.kind == "values"
    if not finding.formula:
        assert any("only columns 16 to 256" in fact for fact in finding.known)
        assert any("17 columns of responses or more" in fact for fact in finding.known)


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (
            lambda S: S[..., ::-1],
            "the result holds the right numbers in the wrong places: it is a permutation of the right result",
        ),
        (lambda S: 3 * S, "it is 3 times the right one everywhere"),
        (lambda S: np.roll(S, 1, axis=3), "it is the right result shifted by (0, 1) along its spatial axes"),
        (lambda S: S * np.abs(S), "the result is not linear in X: 2·X does not give 2·S"),
        (lambda S: S * S, "the result is not linear in F: −F does not give −S"),
    ],
)
def test_facts(change, fact) -> None:
    finding = audit(lambda X, F: change(PLAIN.forward(X, F))).findings[0]
    assert finding.formula or any(each.startswith(fact) for each in finding.known), finding.known


# what is added to the products ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "dtype"),
    [(0.002, "float64"), (3.0, "float32"), (0.2, "float16"), (0.002, "bfloat16")],
)
def test_a_weight_decay_is_no_lower_precision(factor, dtype) -> None:
    def decayed(A):
        return np.asarray(A.dtype.type(factor) * A, A.dtype)

    def backward(X, F, b, G):
        dX, dF, db = PLAIN.backward(X, F, b, G)
        return dX, dF + decayed(F), db + decayed(b)

    few = [Geometry((2, 6, 5), (3, 2, 2, 3)), Geometry((1, 4, 7), (2, 1, 3, 2))]
    findings = audit(None, backward, bias=True, dtype=dtype, geometries=few).findings
    assert [each.about for each in findings] == ["∂l/∂F", "∂l/∂b"]
    for letter, finding in zip("Fb", findings, strict=True):
        number = re.fullmatch(rf"is wrong: ([\d./]+)·{letter} is added, as by (?:a )?weight decay", finding.title)[1]
        assert abs(float(Fraction(number)) - factor) <= float(exact.unit_roundoff(dtype)) * 4 * factor
        assert finding.kind == "values"


def test_what_is_added_besides_a_weight_decay_is_none() -> None:
    def backward(X, F, G):
        dX, dF = PLAIN.backward(X, F, G)
        return dX + 1e-13 * X**3, dF + 1e-13 * np.sign(F)

    for finding in audit(None, backward).findings:
        assert re.match("is not 0 where G is 0, but up to", finding.title)


@pytest.mark.usefixtures("fewer")
def test_an_unusual_bias_is_seen_where_all_products_are_0() -> None:
    def forward(X, F, b):
        return PLAIN.forward(X, F) + (b * np.abs(b))[:, None, None]

    assert (
        audit(forward, bias=True).findings[0].title.startswith("is not b where X is 0, but differs from it by up to ")
    )


# one error, one finding -----------------------------------------------------------------------------------------------


def flipped(X, F, *b):
    return PLAIN.forward(X, turned(F), *b)


def backward_of_flipped(X, F, *rest):
    dX, dF, *db = PLAIN.backward(X, turned(F), *rest)
    return dX, turned(dF), *db


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize(
    ("dtype", "bias"), [("float64", False), ("float32", True), ("bfloat16", False), ("int64", False)]
)
def test_a_backward_pass_that_is_consistent_with_a_wrong_forward_pass_is_no_error_of_its_own(dtype, bias) -> None:
    report = audit(flipped, backward_of_flipped, dtype=dtype, bias=bias)
    assert [finding.about for finding in report.findings] == ["S"]
    finding = report.findings[0]
    assert finding.follows == ("∂l/∂X", "∂l/∂F")
    assert finding.title.endswith("; ∂l/∂X and ∂l/∂F follow it")
    assert finding.cure.endswith("Then derive ∂l/∂X and ∂l/∂F from it again.")
    assert any("the backward pass is consistent with the forward pass" in fact for fact in finding.known)
    suite = ET.fromstring(report.to_junit())
    assert (suite.get("tests"), suite.get("failures")) == (str(3 + bias), "3")


@pytest.mark.usefixtures("fewer")
def test_a_departure_without_a_name_is_followed_too() -> None:
    report = audit(lambda X, F: 3 * flipped(X, F), lambda X, F, G: [3 * each for each in backward_of_flipped(X, F, G)])
    assert [each.follows for each in report.findings] == [("∂l/∂X", "∂l/∂F")]


@pytest.mark.usefixtures("fewer", "unread")
def test_gradients_that_are_wrong_for_the_wrong_forward_pass_are_errors() -> None:
    def backward(X, F, G):
        dX, dF = backward_of_flipped(X, F, G)
        return dX, 2 * dF

    report = audit(flipped, backward)
    assert [finding.about for finding in report.findings] == ["S", "∂l/∂F"]
    assert report.findings[0].follows == ("∂l/∂X",)
    assert [each.about for each in audit(flipped, PLAIN.backward).findings] == ["S"]
    assert len(audit(flipped, lambda X, F, G: unrotated(X, F, 2 * G)).findings) == 3


def without_last_row(X, F):
    return PLAIN.forward(X, F)[:, :, :-1]


def backward_without_last_row(X, F, G):
    """Refuse a G of the right shape, as what autograd derives does."""
    if G.shape != without_last_row(X, F).shape:
        raise ValueError("G does not match S")
    return PLAIN.backward(X, F, np.concatenate([G, 0 * G[:, :, :1]], axis=2))


ROWS = [Geometry((1, 4, 3), (2, 1, 2, 3)), Geometry((2, 5, 6), (2, 2, 3, 2))]


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "int32"])
def test_gradients_of_responses_of_another_shape_follow_them(dtype) -> None:
    (finding,) = audit(without_last_row, backward_without_last_row, geometries=ROWS, dtype=dtype).findings
    assert (finding.about, finding.kind, finding.follows) == ("S", "shape", ("∂l/∂X", "∂l/∂F"))
    assert finding.title.endswith("; ∂l/∂X and ∂l/∂F follow it")


def test_gradients_follow_at_layers_where_both_passes_raise_the_same() -> None:
    def forward(X, F):
        if F.shape[3] == 3:
            raise ValueError("three taps")
        return without_last_row(X, F)

    def backward(X, F, G):
        forward(X, F)
        return backward_without_last_row(X, F, G)

    geometries = [*ROWS, Geometry((1, 5, 6), (1, 1, 2, 1))]
    finding, raised = audit(forward, backward, geometries=geometries).findings
    assert finding.follows == ("∂l/∂X", "∂l/∂F")
    assert (raised.about, raised.kind) == ("S", "exception")

    def other(X, F, G):
        if F.shape[3] == 3:
            raise ValueError("never three taps")
        return backward(X, F, G)

    assert {each.about for each in audit(forward, other, geometries=geometries).findings} >= {"S", "backward"}


@pytest.mark.usefixtures("fewer")
def test_gradients_that_are_wrong_for_responses_of_another_shape_are_errors() -> None:
    def doubled(X, F, G):
        dX, dF = backward_without_last_row(X, F, G)
        return dX, 2 * dF

    def untrimmed(X, F, G):
        dX, dF = backward_without_last_row(X, F, G)
        return dX[:, :, :-1], dF

    def refused(X, F, G):
        raise ValueError("never")

    for backward, about in ((doubled, "∂l/∂F"), (untrimmed, "∂l/∂X"), (refused, "backward")):
        findings = audit(without_last_row, backward, geometries=ROWS).findings
        assert [each.about for each in findings] == ["S", about]
    # Of a forward pass that is wrong in its values alone no backward pass may refuse G.
    findings = audit(lambda X, F: 2 * PLAIN.forward(X, F), refused, geometries=ROWS).findings
    assert [each.about for each in findings] == ["S", "backward"]


@pytest.mark.usefixtures("fewer")
def test_an_exception_of_both_passes_is_one_finding() -> None:
    def refuse(*arrays):
        raise ValueError("odd")

    (finding,) = audit(refuse, refuse).findings
    assert (finding.about, finding.follows) == ("S", ("∂l/∂X", "∂l/∂F"))
    assert finding.known[-1] == "the backward pass raises the same exception"
    assert audit(refuse, refuse).to_junit().count("<failure") == 3


def test_an_exception_of_the_backward_pass_is_one_finding() -> None:
    def backward(X, F, G):
        return PLAIN.backward(X, F.reshape(*F.shape[:2], F.shape[3], F.shape[3]), G)

    report = audit(None, backward)
    (finding,) = report.findings
    assert (finding.about, finding.follows) == ("backward", ("∂l/∂X", "∂l/∂F"))


@pytest.mark.usefixtures("fewer")
def test_an_exception_names_the_authors_line() -> None:
    def forward(X, F):
        return np.einsum("ndhw,idkl->nihw", X, F.sum(axis=(2, 3)))

    class Kernel:
        def __call__(self, X, F):
            return forward(X, F)

    for function in (forward, functools.partial(forward), Kernel()):
        line = first_line(audit(function))
        assert line.endswith(
            '(forward, line 0: `return np.einsum("ndhw,idkl->nihw", X, F.sum(axis=(2, 3)))`)'.replace(
                "0", str(forward.__code__.co_firstlineno + 1)
            )
        )
    assert "not enough values" in first_line(audit(int.__add__)) or "raises" in first_line(audit(int.__add__))


@pytest.mark.usefixtures("fewer")
def test_layers_that_raise_hide_no_wrong_values_at_others() -> None:
    def forward(X, F):
        if X.shape[3] < F.shape[3]:
            raise IndexError("no window")
        return PLAIN.forward(X, F)

    values, raised = audit(forward, padding=((0, 0), (1, 1))).findings
    assert values.kind in {"values", "shape"}
    assert raised.title.startswith("raises on a legal layer: IndexError: no window (forward, line ")
    assert 0 < raised.wrong < raised.tried


def refuses(holds):
    def forward(X, F):
        S = PLAIN.forward(X, F)
        if holds(X, F, S):
            raise ValueError("not this one")
        return S

    return forward


def loses_its_last_entry(holds):
    def forward(X, F):
        S = PLAIN.forward(X, F)
        if holds(X, F, S):
            S.flat[-1] = S.flat[-1] * S.flat[0] + 12345
        return S

    return forward


CIRCUMSTANCES = {
    "k ≠ l": lambda X, F, S: F.shape[2] != F.shape[3],
    "H ≠ W": lambda X, F, S: X.shape[2] != X.shape[3],
    "h' ≠ w'": lambda X, F, S: S.shape[2] != S.shape[3],
    "there are several images": lambda X, F, S: len(X) > 1,
    "there are several planes": lambda X, F, S: X.shape[1] > 1,
    "there are several filters": lambda X, F, S: len(F) > 1,
    "d ≠ n": lambda X, F, S: len(F) != X.shape[1],
    "N ≠ n": lambda X, F, S: len(F) != len(X),
    "there are several taps of a plane": lambda X, F, S: F[0, 0].size > 1,
    "the number of taps of a plane (k·l) is 1": lambda X, F, S: F[0, 0].size == 1,
    "there are several responses": lambda X, F, S: S[0, 0].size > 1,
    "the number of responses (h'·w') is 1": lambda X, F, S: S[0, 0].size == 1,
    "there are 9 columns of responses or more": lambda X, F, S: S.shape[3] >= 9,
    "k > l": lambda X, F, S: F.shape[2] > F.shape[3],
}


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("words", CIRCUMSTANCES)
def test_what_the_layers_have_in_common_is_said(words) -> None:
    raised = audit(refuses(CIRCUMSTANCES[words])).findings[0]
    assert f"the code raises where {words}, and is right elsewhere" in raised.known


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("words", ["k ≠ l", "there are several planes", "the number of responses (h'·w') is 1"])
def test_what_layers_with_wrong_results_have_in_common_is_said(words) -> None:
    wrong = audit(loses_its_last_entry(CIRCUMSTANCES[words])).findings[0]
    assert f"the result is wrong where {words}, and is right elsewhere" in wrong.known


def test_circumstances_are_not_made_up() -> None:
    """Layers that have nothing in common, and too few."""
    mixed = audit(refuses(lambda X, F, S: hash((X.shape, F.shape)) % 3 == 0)).findings[0]
    assert not any("where" in fact for fact in mixed.known)
    few = [Geometry((1, 5, 6), (1, 1, 2, 3)), Geometry((1, 5, 6), (1, 1, 2, 2)), Geometry((1, 5, 7), (1, 1, 3, 3))]
    report = audit(refuses(CIRCUMSTANCES["k ≠ l"]), geometries=few)
    assert not any("where" in fact for fact in report.findings[0].known)


def test_where_some_layers_are_neither_wrong_nor_right_nothing_is_said_of_elsewhere() -> None:
    options = convolution.options(1, 0, 1, 1, 2, bias=False, dtype="float64")
    layer = convolution.Convolution("float64", options)

    def compared(geometry, change):
        probe = layer.draw(Case(geometry, 2), 0)
        right = layer.right(probe)["S"]
        return Comparison(layer, probe, "S", Result(change(np.asarray(right.value, np.float64))), right)

    sizes = [(1, 5, 6), (1, 6, 5), (1, 5, 7)]
    fine = [compared(Geometry(size, (1, 1, 2, 3)), lambda S: S) for size in sizes]
    failed = [compared(Geometry((2, *size[1:]), (1, 2, 2, 3)), lambda S: -S) for size in sizes]
    neither = compared(Geometry((2, 4, 4), (1, 2, 2, 3)), lambda S: S + 1e-300 + 1e-9 * np.abs(S))
    assert [*where(failed, [*failed, *fine])] == [
        "the result is wrong where there are several planes, and is right elsewhere"
    ]
    assert [*where(failed, [*failed, *fine, neither])] == []


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize(
    ("options", "words", "holds"),
    [
        ({"stride": 2}, "there are rows or columns in the tail", lambda g: any(g.tail)),
        ({"stride": 2}, "there are no rows or columns in the tail", lambda g: not any(g.tail)),
        ({"groups": 2}, "there are several filters of a group", lambda g: g.filters_per_group > 1),
        ({"groups": 2}, "there are several planes of a group", lambda g: g.planes_per_group > 1),
        ({"padding": 2}, "the padding of rows ≥ K", lambda g: g.extent[0] <= 2),
    ],
)
def test_what_the_layers_have_in_common_at_options_is_said(options, words, holds) -> None:
    layer = Layer(**options)

    def forward(X, F):
        if holds(Geometry(X.shape[1:], F.shape, **options)):
            raise ValueError("not this one")
        return layer.forward(X, F)

    (fact,) = (fact for fact in audit(forward, **options).findings[0].known if "where" in fact)
    assert words in fact or "stride" not in options


def test_theories_that_explain_a_part_only_say_what_is_left() -> None:
    def forward(X, F):
        S = PLAIN.forward(X, turned(F))
        return S[0] if len(F) > 3 else S

    finding = audit(forward).findings[0]
    assert finding.kind == "values"
    assert any("the shape is wrong" in fact for fact in finding.known)


# behaviour besides values ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fewer", "unread")
def test_wrong_shapes_say_both_and_why() -> None:
    strided = Layer(stride=2)
    report = audit(PLAIN.forward, stride=2)
    assert first_line(report).startswith("✗ S has shape (1, 1, 1, 2), not (1, 1, 1, 1)")
    line = first_line(
        audit(None, lambda X, F, G: (strided.backward(X, F, G)[0][0], strided.backward(X, F, G)[1]), stride=2)
    )
    assert line.startswith("✗ ∂l/∂X has shape ")
    turned = audit(lambda X, F: PLAIN.forward(X, F).transpose(0, 2, 3, 1)).findings[0]
    assert turned.title == "is right in another layout: NCHW,OIHW->NHWC"


def test_a_wrong_dtype() -> None:
    line = first_line(audit(lambda X, F: PLAIN.forward(X, F).astype(np.float64), dtype="float32"))
    assert line == "✗ S has dtype float64, not float32"


def test_an_exception_on_a_legal_layer_is_shown_with_the_layer() -> None:
    def forward(X, F):
        if F.shape[2] != F.shape[3]:
            raise ValueError("square filters only")
        return PLAIN.forward(X, F)

    text = str(audit(forward))
    assert text.startswith("✗ S raises on a legal layer: ValueError: square filters only (forward, line ")
    assert "smallest case: X 1×1×1×2, F 1×1×1×2, stride 1, padding 0" in text


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "returned NoneType, not 2: (dX, dF)"),
        ((1, 2, 3), "returned 3 results, not 2: (dX, dF)"),
        (("a", "b"), "returned str for ∂l/∂X"),
    ],
)
def test_something_else_than_arrays(returned, said) -> None:
    assert said in first_line(audit(None, lambda X, F, G: returned))


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            np.ma.masked_array,
            "MaskedArray for S; it must return an array: its mask may hide numbers; return its .data or .filled(0)",
        ),
        (list, "list for S; it must return an array"),
        (np.ndarray.tolist, "list for S; it must return an array"),
        (lambda S: S.astype(object), "object for S; it must return real numbers"),
        (lambda S: S.view("V8"), "|V8 for S; it must return real numbers"),
    ],
    ids=["masked", "list of images", "nested lists", "objects", "bytes"],
)
def test_arrays_that_are_none_or_not_of_numbers_are_not_taken_as_such(change, said) -> None:
    report = audit(lambda X, F: change(PLAIN.forward(X, F)))
    assert str(report).splitlines()[0] == f"✗ S is missing: forward returned {said}"
    assert report.findings[0].wrong == report.layers
    of_one = with_layout(lambda X, F: change(PLAIN.forward(X[None], F)[0]), None, "CHW,OIHW->CHW")
    assert str(audit(*of_one)).startswith(f"✗ S is missing: forward returned {said}")


@pytest.mark.usefixtures("fewer")
def test_memory_that_was_never_written() -> None:
    strided = Layer(stride=2)

    def backward(X, F, G):
        dX, dF = strided.backward(X, F, G)
        result = np.empty_like(dX)
        reached = strided.backward(X, np.ones_like(F), np.ones_like(G))[0] != 0
        result[reached] = dX[reached]
        return result, dF

    finding = audit(None, backward, stride=2).findings[0]
    assert finding.about == "∂l/∂X"
    assert finding.kind == "not written"
    assert "np.empty" in finding.cause


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize("period", [1, 2, 3, 4, 5, 6, 7, 10**6])
def test_what_calls_keep_is_no_memory_that_was_never_written(period) -> None:
    calls = itertools.count(1)

    def forward(X, F):
        S = np.empty((len(X), len(F), *PLAIN.out(X, F)), X.dtype)
        S[:] = PLAIN.forward(X, F) + 1 + next(calls) // 2 % period
        return S

    report = audit(forward)
    assert not report.ok
    assert all(finding.kind != "not written" for finding in report.findings)


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_np_empty_holds_is_told_in_every_process(elsewhere) -> None:
    functions = isolated(crashing.unwritten) if elsewhere else crashing.unwritten()
    assert audit(*functions).findings[0].kind == "not written"


@pytest.mark.usefixtures("fewer", "unread")
def test_an_audit_says_in_what_it_found_no_mistake() -> None:
    def backward(X, F, G):
        dX, dF = PLAIN.backward(X, F, G)
        return dX, 2 * dF

    wrong = [str(audit(PLAIN.forward, change)) for change in (backward, lambda X, F, G: (F, F))]
    assert "no mistake was found in S, ∂l/∂X" in wrong[0].splitlines()[-1]
    assert "no mistake was found in S" in wrong[1].splitlines()[-1]
    assert "∂l/∂X" not in wrong[1].splitlines()[-1]


def test_inputs_changed_in_place() -> None:
    def forward(X, F):
        S = PLAIN.forward(X, F)
        X *= 2
        return S

    report = audit(forward)
    assert [finding.title for finding in report.findings] == ["changes X in place"]


@pytest.mark.usefixtures("fewer")
def test_state() -> None:
    seen = {}

    def cached(X, F):
        """Keep the responses of the first image of each size."""
        S = PLAIN.forward(X, F)
        S[:1] = seen.setdefault((X.shape, F.shape), S[:1].copy()) if X.size > 11 else S[:1]
        return S

    assert not audit(cached).ok
    calls = itertools.count()

    def drifting(X, F):
        return PLAIN.forward(X, F) + (1e9 * (next(calls) % 2) if X.shape[0] == 2 and X.size > 20 else 0)

    assert not audit(drifting).ok
    buffers = {}

    def reused(X, F):
        S = PLAIN.forward(X, F)
        buffer = buffers.setdefault(S.shape, np.empty_like(S))
        buffer[...] = S
        return buffer

    assert [finding.title for finding in audit(reused).findings] == ["is overwritten by a later call"]


@pytest.mark.usefixtures("fewer", "unread")
def test_what_the_first_numbers_happen_to_miss_is_no_state() -> None:
    """One filter's tap is added twice: half precision misses that at one layer more often than not."""

    def forward(X, F):
        S = PLAIN.forward(X, F)
        S[0, 0, 0, 0] += X[0, 0, 0, 0] * F[0, 0, 0, 0]
        return S

    layer = Geometry((1, 12, 11), (1, 1, 2, 2))
    reports = [audit(forward, PLAIN.backward, dtype="bfloat16", geometries=[layer], seed=seed) for seed in range(12)]
    assert {finding.kind for report in reports for finding in report.findings} == {"values"}
    kept = {}

    def cached(X, F):
        return kept.setdefault((X.shape, F.shape), PLAIN.forward(X, F)).copy()

    assert {each.kind for each in audit(cached, dtype="bfloat16", geometries=[layer]).findings} == {"state"}


def test_a_nan_in_a_transform_of_half_precision_is_no_finding_but_in_a_sum_it_is() -> None:
    layer = [Geometry((2, 6, 25), (3, 2, 2, 3))]
    transform, plain = Fft(), Layer()
    assert audit(transform.forward, transform.backward, dtype="float16", geometries=layer).ok

    def masked(X, F):
        S = plain.forward(X, F)
        S[:, 1] += 0 * X.sum(axis=(1, 2, 3))[:, None, None]
        return S

    assert {each.kind for each in audit(masked, dtype="float16", geometries=layer).findings} == {"not a number"}


@pytest.mark.usefixtures("fewer")
def test_the_memory_layout_of_each_argument() -> None:
    def contiguous(A):
        """Read the memory of an array as if it were contiguous."""
        return np.lib.stride_tricks.as_strided(A, strides=np.empty(A.shape, A.dtype).strides)

    def by_memory(A):
        base = A if A.base is None or A.base.size != A.size else A.base
        return np.ravel(base, order="K").reshape(A.shape)

    assert contiguous(np.arange(6).reshape(2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    report = audit(lambda X, F: PLAIN.forward(by_memory(X), F), lambda X, F, G: PLAIN.backward(X, F, by_memory(G)))
    titles = [(finding.about, finding.title) for finding in report.findings]
    assert ("S", "depends on the memory layout of X (wrong for Fortran order)") in titles
    assert ("∂l/∂X", "depends on the memory layout of G (wrong for Fortran order)") in titles
    assert all(finding.kind == "memory layout" for finding in report.findings)


@pytest.mark.usefixtures("fewer")
def test_a_nan_that_is_swallowed_and_one_that_spreads() -> None:
    report = audit(lambda X, F: np.nan_to_num(PLAIN.forward(X, F)))
    assert "is wrong for a NaN in X: the NaN does not reach" in report.findings[0].title
    report = audit(lambda X, F: PLAIN.forward(X, F) + 0 * X.sum())
    assert "is wrong for a NaN in X: the NaN reaches" in report.findings[0].title


def test_more_images_than_sixteen_bits_count() -> None:
    report = audit(lambda X, F: PLAIN.forward(X[np.arange(len(X)) % 2**16], F))
    assert [finding.title for finding in report.findings] == ["is wrong for 65537 images"]


@pytest.mark.usefixtures("fewer")
def test_lower_precision_and_clipping_are_no_wrong_formulas() -> None:
    report = audit(lambda X, F: PLAIN.forward(X.astype(np.float32), F.astype(np.float32)).astype(float))
    assert report.findings[0].kind == "precision"
    assert first_line(report) == "✗ S is summed in a lower precision than float64"
    low = audit(
        lambda X, F: PLAIN.forward(X.astype(ml_dtypes.bfloat16), F.astype(ml_dtypes.bfloat16)).astype(X.dtype),
        dtype="float32",
    )
    assert low.findings[0].kind in {"precision", "values"}
    clipped = audit(lambda X, F: np.clip(PLAIN.forward(X, F), -(2**31), 2**31 - 1))
    assert first_line(clipped) == "✗ S is clipped to the range -2147483648 … 2147483647"


@pytest.mark.usefixtures("fewer")
def test_half_precision_does_not_hide_a_wrong_formula() -> None:
    for dtype in ("float16", "bfloat16"):
        assert audit(lambda X, F: PLAIN.forward(X, turned(F)), dtype=dtype).findings[0].kind == "values"


# the report -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fewer")
def test_the_record_and_junit() -> None:
    report = audit(PLAIN.forward, WRONG[0][1])
    record = json.loads(json.dumps(report.to_dict()))
    assert record["ok"] is False
    assert record["findings"][0]["arrays"]["right"] != record["findings"][0]["arrays"]["got"]
    suite = ET.fromstring(report.to_junit())
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    assert [case.get("name") for case in suite if case.find("failure") is not None] == ["∂l/∂X"]


@pytest.mark.usefixtures("fewer")
def test_the_code_of_a_finding_reproduces_it_without_the_package() -> None:
    finding = audit(None, WRONG[0][1]).findings[0]
    assert "jacobians" not in finding.code
    space = {"backward": WRONG[0][1]}
    exec(finding.code, space)
    assert not np.array_equal(space["dX"], finding.arrays["right"])
    assert space["dX"].tolist() == finding.arrays["got"]


@pytest.mark.usefixtures("fewer")
def test_audits_are_repeatable() -> None:
    assert audit(None, WRONG[0][1], seed=4) == audit(None, WRONG[0][1], seed=4)


def test_an_executor_of_processes_is_refused() -> None:
    pattern = (
        r"^executor is a ProcessPoolExecutor, which calls in other processes; .* "
        r"give a concurrent\.futures\.ThreadPoolExecutor, or None$"
    )
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as executor, pytest.raises(TypeError, match=pattern):
        audit(PLAIN.forward, executor=executor)


def test_an_executor_and_geometries_of_ones_own() -> None:
    with ThreadPoolExecutor(2) as executor:
        report = audit(PLAIN.forward, PLAIN.backward, executor=executor, geometries=[Geometry((2, 5, 6), (3, 2, 3, 2))])
    assert report.ok
    assert report.layers == 1


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((None,), {}, TypeError, "forward and backward are None; audit needs at least one function to call"),
        (("conv",), {}, TypeError, "forward has type str; it needs a function of NumPy arrays"),
        ((PLAIN.forward,), {"dtype": "float8"}, DtypeError, "dtype is 'float8'; it needs one of float64, "),
        ((PLAIN.forward,), {"stride": 0}, ShapeError, "stride is 0; it needs an integer of at least 1"),
        ((PLAIN.forward,), {"padding": "full"}, ShapeError, "padding is 'full'"),
        ((PLAIN.forward,), {"padding": "same", "stride": 2}, ShapeError, "'same' needs stride 1"),
        ((PLAIN.forward,), {"spatial_ndim": 0}, ShapeError, "spatial_ndim is 0; it needs an integer from 1 to 3"),
        ((PLAIN.forward,), {"geometries": []}, ShapeError, "geometries is empty"),
        ((PLAIN.forward,), {"geometries": [(1, 2, 3)]}, TypeError, "it needs a Geometry"),
    ],
)  # fmt: skip
def test_unusable_arguments(arguments, options, error, message) -> None:
    with pytest.raises(error, match=message):
        audit(*arguments, **options)


def test_option_pairs_hold_every_pair() -> None:
    rows = option_pairs()
    for a, b in itertools.combinations(("stride", "padding", "dilation", "groups"), 2):
        values = [{str(row[name]) for row in rows} for name in (a, b)]
        assert {(str(row[a]), str(row[b])) for row in rows} == set(itertools.product(*values))


def test_the_curriculum_holds_what_it_promises() -> None:
    cases = curriculum.curriculum(convolution.options(3, 1, 2, 2, 2, bias=False, dtype="float64"))
    layers = [case.geometry for case in cases]
    assert {min(max(layer.tail), 2) for layer in layers} == {0, 1, 2}
    assert any(layer.filters_per_group > 1 and layer.planes_per_group > 1 for layer in layers)
    assert any(case.images > 1 for case in cases)
    assert any(s > e for layer in layers for s, e in zip(layer.stride, layer.extent, strict=True))
    widths = {layer.responses[-1] for layer in layers}
    assert {7, 8, 9, 15, 16, 17, 31, 32, 33} <= widths
    assert any(layer.image[1] != layer.image[2] and layer.responses[1] != layer.responses[2] for layer in layers)


def test_layers_whose_sums_are_too_long_for_the_dtype_are_left_out_and_said_so() -> None:
    few, many = Geometry((1, 3, 4), (1, 1, 2, 2)), Geometry((1, 2, 1), (300, 1, 1, 1))
    report = audit(PLAIN.forward, PLAIN.backward, dtype="bfloat16", geometries=[few, many])
    assert report.ok
    assert report.notes == ("1 layer was left out: bfloat16 cannot hold their sums exactly",)
    with pytest.raises(ShapeError, match="bfloat16 cannot hold them exactly"):
        audit(PLAIN.forward, dtype="bfloat16", geometries=[many])


def test_where_a_dtype_cannot_reach_the_target_the_report_says_so() -> None:
    layer = Geometry((1, 30, 31), (2, 1, 1, 1))
    report = audit(PLAIN.forward, PLAIN.backward, dtype="bfloat16", geometries=[layer])
    assert report.ok
    assert -60 < report.log2_miss < -15
    said = "192 draws did not reach the probability 2^-60: bfloat16 holds too few integers"
    assert said in report.notes[0]
    assert audit(PLAIN.forward, PLAIN.backward, dtype="float16", geometries=[layer]).notes == ()
