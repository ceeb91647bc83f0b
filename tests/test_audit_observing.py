"""What is observed of calls besides their results, on two small layers: no audit is run as a whole."""

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from jacobians import Geometry
from jacobians.audit.cases import Case, options
from jacobians.audit.compare import Comparison, Run
from jacobians.audit.conduct import digits, large_batches, layouts, not_a_number, state
from jacobians.audit.conduct.in_place import in_place
from jacobians.audit.conduct.lost import lost
from jacobians.audit.findings import finding
from jacobians.audit.layer import Right
from jacobians.audit.layers.convolution import Convolution
from jacobians.audit.subject import LARGE, LATE, OUTSIZED, UNTRIED, Result, Subject
from tests.convolutions import Layer

PLAIN = Layer()
CASES = [Case(Geometry((1, 1, 3), (1, 1, 1, 2)), 1), Case(Geometry((2, 4, 5), (3, 2, 2, 3)), 2)]


def run_of(forward=None, backward=None, *, bias=False, dtype="float64", restricted=True, cases=CASES):
    layer = Convolution(dtype, options(1, 0, 1, 1, 2, bias=bias, dtype=dtype))
    subject = Subject({"forward": forward, "backward": backward}, layer.takes, layer.gives, layer.labels)
    return Run(subject, layer, cases, 0, restricted=restricted)


def said(findings):
    return [(each.about, each.title) for each in findings]


def compared_at(run, case=CASES[1]):
    return run.compared(run.layer.draw(case, 0))


def spoiled(change, at=0):
    """A backward pass of which one result is changed."""

    def backward(X, F, *rest):
        results = list(PLAIN.backward(X, F, *rest))
        results[at] = change(results[at], X, F, *rest)
        return tuple(results)

    return backward


# zeros, fractions and real numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int32"])
@pytest.mark.parametrize("bias", [False, True])
def test_right_code_is_right_for_all_numbers(dtype, bias):
    run = run_of(PLAIN.forward, PLAIN.backward, dtype=dtype, bias=bias)
    assert list(digits.digits(run)) == []
    assert run.inaccurate == set()


def refuses_zeros(X, F):
    if not F.any():
        raise ValueError("no filter")
    return PLAIN.forward(X, F)


def flat_for_zeros(X, F):
    return PLAIN.forward(X, F) if F.any() else PLAIN.forward(X, F)[0]


def refuses_fractions(X, F):
    if np.any(np.rint(X) != X):
        raise ValueError("no fraction")
    return PLAIN.forward(X, F)


@pytest.mark.parametrize(
    ("forward", "title"),
    [
        (lambda X, F: PLAIN.forward(X, F) + 1e-3, "is not 0 where all numbers are 0, but up to 0.001"),
        (lambda X, F: PLAIN.forward(X, F) - 1e-3, "is not 0 where all numbers are 0, but up to 0.001"),
        (lambda X, F: PLAIN.forward(X, F) + np.sign(X).max(), "is not 0 where F is 0, but up to 1"),
        (lambda X, F: PLAIN.forward(X, F) + 2 * np.sign(F).max(), "is not 0 where X is 0, but up to 2"),
        (refuses_zeros, "is wrong where all numbers are 0: ValueError: no filter"),
        (flat_for_zeros, "is wrong where all numbers are 0: it has shape (1, 1, 2), not (1, 1, 1, 2)"),
        (
            lambda X, F: PLAIN.forward(X, F).astype(float if F.any() else int),
            "is wrong where all numbers are 0: it has dtype int64, not float64",
        ),
        (
            lambda X, F: PLAIN.forward(X, F).astype(float if np.all(np.rint(X) == X) else np.float32),
            "is wrong for fractions: it has dtype float32, not float64",
        ),
        (
            lambda X, F: PLAIN.forward(X, F)[..., : None if F.any() else -1],
            "is wrong where all numbers are 0: it has shape (1, 1, 1, 1), not (1, 1, 1, 2)",
        ),
        (lambda X, F: np.rint(PLAIN.forward(X, F)), "is rounded to integers"),
        (lambda X, F: np.trunc(PLAIN.forward(X, F)), "is rounded to integers"),
        (lambda X, F: np.round(PLAIN.forward(X, F), 1), "is wrong for fractions: the largest error is 0.0"),
        (refuses_fractions, "is wrong for fractions: ValueError: no fraction"),
        (
            lambda X, F: PLAIN.forward(X, F) if np.all(np.rint(X) == X) else PLAIN.forward(X, F)[0],
            "is wrong for fractions: it has shape (1, 1, 2), not (1, 1, 1, 2)",
        ),
        (
            lambda X, F: PLAIN.forward(X, F)[..., : None if np.all(np.rint(X) == X) else -1],
            "is wrong for fractions: it has shape (1, 1, 1, 1), not (1, 1, 1, 2)",
        ),
        (
            lambda X, F: PLAIN.forward(X.astype(np.float32), F.astype(np.float32)).astype(float),
            "is wrong for real numbers: the error is ",
        ),
    ],
)
def test_what_large_integers_hide(forward, title):
    run = run_of(forward)
    ((about, first), *others) = said(digits.digits(run))
    assert about == "S"
    assert first.startswith(title)
    assert others == []
    assert run.inaccurate == {"S"}


@pytest.mark.parametrize("rounded", [np.rint, np.trunc])
def test_rounding_to_integers_is_told_by_many_fractions(rounded):
    run = run_of(lambda X, F: rounded(PLAIN.forward(X, F)), cases=CASES[1:])
    assert said(digits.digits(run)) == [("S", "is rounded to integers")]


def test_the_error_of_real_numbers_and_what_rounding_explains():
    def forward(X, F):
        S = PLAIN.forward(X, F)
        S[..., -1] += 0.25 * np.any(np.rint(X * 1024) != X * 1024)
        return S

    run = run_of(forward)
    (found,) = digits.digits(run)
    assert found.title.startswith("is wrong for real numbers: the error is 0.25, and rounding explains at most ")
    assert float(found.title.rpartition(" ")[2]) < 1e-10
    assert (found.kind, found.anchor) == ("values", "small")


def test_results_that_are_known_to_be_wrong_are_not_looked_at():
    run = run_of(lambda X, F: 2 * PLAIN.forward(X, F) + 1, spoiled(lambda dX, X, F, G: 2 * dX + 1))
    run.tried = compared_at(run)
    assert run.broken == {"S", "dX"}
    assert list(digits.digits(run)) == []


def test_of_several_results_each_is_said_once():
    run = run_of(None, spoiled(lambda dX, *_: dX + 1, 0), bias=True)
    assert said(digits.digits(run)) == [("∂l/∂X", "is not 0 where all numbers are 0, but up to 1")]
    run = run_of(None, spoiled(lambda db, *_: db + 1, 2), bias=True)
    assert said(digits.digits(run)) == [("∂l/∂b", "is not 0 where all numbers are 0, but up to 1")]


@pytest.mark.parametrize(
    ("factor", "title", "loss"),
    [(0.1, "0.1·F", "0.05·ΣF²"), (-1, "−F", "-0.5·ΣF²"), (1, "F", "0.5·ΣF²"), (-0.5, "−0.5·F", "-0.25·ΣF²")],
)
def test_a_weight_decay_is_told_by_its_factor(factor, title, loss):
    run = run_of(None, spoiled(lambda dF, X, F, G: dF + factor * F, 1))
    (found,) = digits.digits(run)
    assert (found.about, found.title) == ("∂l/∂F", f"is wrong: {title} is added, as by a weight decay")
    assert loss in found.cause
    assert "is left where G is 0" in found.cause
    # A filter of one number tells no factor, though its layer is the smallest.
    one = Case(Geometry((1, 1, 3), (1, 1, 1, 1)), 1)
    (found,) = digits.digits(run_of(None, spoiled(lambda dF, X, F, G: dF + factor * F, 1), cases=[one, CASES[1]]))
    assert found.title == f"is wrong: {title} is added, as by a weight decay"


def test_a_bias_that_is_added_twice_is_seen_where_all_products_are_0():
    run = run_of(lambda X, F, b: PLAIN.forward(X, F, 2 * b), bias=True)
    ((about, title),) = said(digits.digits(run))
    assert about == "S"
    before, _, most = title.rpartition(" ")
    assert before == "is not b where X is 0, but differs from it by up to"
    assert float(most) == np.abs(run.layer.small(CASES[0], 0).arrays["b"]).max()


def test_a_bias_as_a_lower_precision_holds_it_is_nothing_that_is_added():
    run = run_of(PLAIN.forward, bias=True)
    each = run.compared(run.layer.small(CASES[0], 0))[0]

    def with_error(relative, right=(8.0, -4.0, 0.0), value=None):
        right = np.array(right)
        got = right * (1 + relative) if value is None else value
        return dataclasses.replace(each, result=Result(np.asarray(got)), right=Right(right))

    for dtype, bits in {"float64": 24, "float32": 11, "float16": 8}.items():
        assert digits._is_lower(run_of(PLAIN.forward, bias=True, dtype=dtype), with_error(2.0**-bits))
    assert not digits._is_lower(run, with_error(2.0**-7))
    assert not digits._is_lower(run, with_error(0, value=np.array([8.0, -4.0, 1e-9])))
    assert not digits._is_lower(run, with_error(0, value=np.array([8.0, -4.0])))
    assert not digits._is_lower(run, with_error(0, right=(0.0, 0.0, 0.0), value=np.ones(3)))
    # Nothing is lower than bfloat16.
    assert not digits._is_lower(run_of(PLAIN.forward, bias=True, dtype="bfloat16"), with_error(2.0**-10))


def test_one_number_tells_no_multiple():
    run = run_of(None, PLAIN.backward)
    probe = run.layer.draw(CASES[1], 0)
    assert digits.tells(run, probe)
    assert not digits.tells(run, probe.replaced(F=np.ones_like(probe.arrays["F"])))
    assert not digits.tells(run, probe.replaced(X=-np.ones_like(probe.arrays["X"])))
    assert digits.tells(run, probe.replaced(G=np.ones_like(probe.arrays["G"])))
    forward = run_of(PLAIN.forward)
    assert digits.tells(forward, probe.replaced(F=np.ones_like(probe.arrays["F"])))


# memory layouts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", layouts.LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 4), (6,)])
def test_a_layout_holds_the_same_numbers_elsewhere(layout, shape):
    A = np.arange(float(np.prod(shape))).reshape(shape)
    laid = layout.arrange(A)
    np.testing.assert_array_equal(laid, A)
    np.testing.assert_array_equal(eval(layout.text, {"np": np, "A": A}) if len(shape) > 1 else A, A)
    assert not np.shares_memory(laid, A)
    steps = tuple(step // 8 for step in laid.strides)
    if len(shape) == 4:
        assert (
            steps
            == {
                "Fortran order": (1, 2, 6, 24),
                "a transposed view": (60, 20, 1, 4),
                "a view with reversed strides": (60, 20, 5, -1),
                "every other entry of a larger array": (120, 40, 10, 2),
                "a slice from within an array": (60, 20, 5, 1),
            }[layout.name]
        )
        assert eval(layout.text, {"np": np, "A": A}).strides == laid.strides
    if layout.name == "a slice from within an array":
        whole = laid.base if laid.base.ndim == 1 else laid.base.base
        assert whole.tolist() == [77, 77, 77, *A.ravel()]
    if layout.name == "every other entry of a larger array":
        assert set(laid.base[..., 1].ravel()) == {77}


def raw(A):
    """Read the memory of an array as if it were contiguous."""
    return np.lib.stride_tricks.as_strided(A, strides=np.empty(A.shape, A.dtype).strides)


def test_right_code_is_right_in_every_layout_of_several_of_everything():
    wide, shapes = Case(Geometry((1, 1, 30), (1, 1, 1, 2)), 1), set()

    def forward(X, F):
        shapes.add(X.shape)
        return PLAIN.forward(X, F)

    assert list(layouts.memory_layouts(run_of(forward, PLAIN.backward, cases=[CASES[1], wide]))) == []
    assert shapes == {CASES[1].shapes["X"]}


@pytest.mark.parametrize("letter", ["X", "F", "G"])
def test_strides_that_are_ignored_are_said_of_their_argument(letter):
    def backward(X, F, G):
        given = {"X": X, "F": F, "G": G}
        if given[letter].strides[-1] >= 0:
            given[letter] = raw(given[letter])
        return PLAIN.backward(*given.values())

    names = {"X": ["∂l/∂F"], "F": ["∂l/∂X"], "G": ["∂l/∂X", "∂l/∂F"]}[letter]
    found = list(layouts.memory_layouts(run_of(PLAIN.forward, backward)))
    assert [each.about for each in found] == names
    for each in found:
        assert each.title.startswith(f"depends on the memory layout of {letter} (wrong for ")
        assert each.cure.endswith(f"{letter} = np.ascontiguousarray({letter}).")
    broken = run_of(PLAIN.forward, backward)
    broken.unsteady = {"dX", "dF"}
    assert list(layouts.memory_layouts(broken)) == []


@pytest.mark.parametrize("layout", layouts.LAYOUTS, ids=lambda layout: layout.name)
def test_each_layout_is_tried(layout):
    case = CASES[1]
    strides = {letter: layout.arrange(np.zeros(case.shapes[letter])).strides for letter in "XF"}

    def forward(X, F):
        inside = X.base is not None and X.base.size == X.size + 3
        wrong = inside if layout.name.startswith("a slice") else X.strides == strides["X"]
        return PLAIN.forward(X, F) * (1 + wrong * (X.shape == case.shapes["X"]))

    found = said(layouts.memory_layouts(run_of(forward)))
    assert found == [("S", f"depends on the memory layout of X (wrong for {layout.name})")]


def test_layouts_that_are_refused_are_one_finding():
    def forward(X, F):
        if not (X.flags.c_contiguous and F.flags.c_contiguous):
            raise ValueError("contiguous arrays only")
        return PLAIN.forward(X, F)

    (found,) = layouts.memory_layouts(run_of(forward, cases=CASES[1:]))
    assert found.title.startswith(
        "refuses X and F as Fortran order, a transposed view, a view with reversed strides and every other entry of a "
        "larger array: ValueError: contiguous arrays only"
    )
    assert found.follows == ()
    assert found.cure.endswith("copy first: X = np.ascontiguousarray(X); F = np.ascontiguousarray(F).")


def test_a_refusal_of_several_results_is_said_of_the_first():
    def backward(X, F, G):
        if not G.flags.c_contiguous:
            raise ValueError("contiguous arrays only")
        return PLAIN.backward(X, F, G)

    (found,) = layouts.memory_layouts(run_of(None, backward, cases=CASES[1:]))
    assert (found.about, found.follows) == ("∂l/∂X", ("∂l/∂F",))


# NaN ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int32"])
def test_a_nan_goes_where_it_should_in_right_code(dtype):
    run = run_of(PLAIN.forward, PLAIN.backward, dtype=dtype, bias=True)
    assert list(not_a_number.not_a_number(run)) == []


def without_nan(A):
    return np.where(np.isnan(A), 0, A)


@pytest.mark.parametrize(
    ("at", "letter", "about"), [(0, "X", ["∂l/∂F"]), (1, "F", ["∂l/∂X"]), (2, "G", ["∂l/∂X", "∂l/∂F"])]
)
def test_a_nan_that_is_swallowed(at, letter, about):
    def backward(*given):
        return PLAIN.backward(*(without_nan(A) if k == at else A for k, A in enumerate(given)))

    found = list(not_a_number.not_a_number(run_of(None, backward)))
    assert [each.about for each in found] == about
    for each in found:
        assert each.title.startswith(f"is wrong for a NaN in {letter}: the NaN does not reach ")
        assert each.kind == each.anchor == "nan" or each.kind == "not a number"
        assert each.cause.startswith("The code replaces or skips the NaN")


def test_each_argument_whose_nan_is_swallowed_is_said_of_each_result():
    run = run_of(None, lambda *given: PLAIN.backward(*map(without_nan, given)))
    found = {(each.about, each.title.partition(":")[0][-1]) for each in not_a_number.not_a_number(run)}
    assert found == {("∂l/∂X", "F"), ("∂l/∂X", "G"), ("∂l/∂F", "X"), ("∂l/∂F", "G")}


def test_a_nan_that_spreads(capsys):
    def forward(X, F):
        return PLAIN.forward(X, F) + 0 * X.sum()

    run = run_of(forward, cases=CASES[1:])
    found = list(not_a_number.not_a_number(run))
    assert [each.title.partition(" reaches")[0] for each in found] == ["is wrong for a NaN in X: the NaN"]
    assert found[0].cause.startswith("The code multiplies the NaN by zeros")
    # Those of the first image; three of the last one have to be reached, and the others may be.
    assert found[0].title.endswith(" reaches 27 entries whose sums do not contain it")
    assert found[0].entries[-1] == "… 27 of 54 entries are wrong"
    exec(found[0].code, {"forward": forward})
    printed = capsys.readouterr().out.split("]\n")
    assert "True" in printed[0]
    assert [(each.count("True"), each.count("False")) for each in printed[:2]] == [(30, 0), (3, 27)]
    for skipped in ({"inexact": {"S"}}, {"unsteady": {"S"}}):
        assert list(not_a_number.not_a_number(dataclasses.replace(run, **skipped))) == []


def test_where_a_nan_has_to_be_and_where_it_may():
    run = run_of(PLAIN.forward)
    each = compared_at(run)[0]
    wanted, allowed = np.array([True, False, False]), np.array([True, True, False])

    def strays(*entries):
        got = None if entries == (None,) else np.array(entries, float)
        return not_a_number._strays(wanted, allowed, dataclasses.replace(each, result=Result(got)))

    nan = np.nan
    assert [strays(*entries) for entries in ((nan, 1, 2), (nan, nan, 2), (nan, 1, nan), (1, 2, 3), (1, nan, 3))] == [
        False, False, True, True, True
    ]  # fmt: skip
    assert not strays(1, 2, 3, 4)
    assert not strays(None)
    assert not strays(1, 2)


@pytest.mark.parametrize(
    ("reached", "said", "names"),
    [
        ((1, 2), "does not reach 1 entry that it should reach", ["S_1,11^(2)"]),
        ((2,), "does not reach 2 entries that it should reach", ["S_1,11^(2)", "S_1,12^(2)"]),
        ((0, 1, 2, 3), "reaches 1 entry whose sums do not contain it", ["S_1,21^(2)"]),
        ((0, 3), "does not reach 1 entry that it should reach", ["S_1,12^(2)", "S_1,21^(2)"]),
    ],
)
def test_the_entries_where_a_nan_is_missing_or_should_not_be(reached, said, names):
    """It has to reach the first two entries of the last image, and may reach the third."""
    run = run_of(PLAIN.forward)
    each = compared_at(run)[0]
    got, wanted, allowed = (np.zeros(each.right.value.shape, kind) for kind in (float, bool, bool))
    got[1].flat[[*reached]] = np.nan
    wanted[1].flat[:2] = allowed[1].flat[:3] = True
    each = dataclasses.replace(each, result=Result(got), right=Right(np.where(wanted, np.nan, 0)))
    found = not_a_number._spread(run, each, "X", wanted, allowed)
    assert found.title == f"is wrong for a NaN in X: the NaN {said}"
    assert [line.partition(":")[0] for line in found.entries] == names


def test_an_argument_that_reaches_nothing_hides_no_other():
    class Unreached(Convolution):
        def reach(self, probe, letter):
            return None if letter == "X" else super().reach(probe, letter)

    run = run_of(lambda X, F: PLAIN.forward(X, without_nan(F)))
    run.layer = Unreached(run.layer.dtype, run.layer.options)
    assert [title.partition(":")[0] for _, title in said(not_a_number.not_a_number(run))] == ["is wrong for a NaN in F"]


def test_a_nan_that_is_swallowed_in_one_call_alone_is_a_slip():
    calls = itertools.count()

    def forward(X, F):
        return without_nan(PLAIN.forward(X, F)) if np.isnan(X).any() and next(calls) == 0 else PLAIN.forward(X, F)

    run = run_of(forward)
    assert list(not_a_number.not_a_number(run)) == []
    assert run.slips["S"] == 1
    assert [title for _, title in said(state.seldom(run))] == [
        f"is wrong now and then: in 1 of {run.judged['S']} calls"
    ]


def by_fft(X, F):
    """One transform of each plane."""
    h, w = (size - k + 1 for size, k in zip(X.shape[2:], F.shape[2:], strict=True))
    products = np.einsum("ncij,mcij->nmij", np.fft.rfft2(X), np.conj(np.fft.rfft2(F, X.shape[2:])))
    return np.fft.irfft2(products, X.shape[2:])[:, :, :h, :w].astype(X.dtype)


@pytest.mark.parametrize(("dtype", "mixes"), [("float64", False), ("float32", True), ("float16", True)])
def test_transforms_mix_all_entries_of_a_line(dtype, mixes):
    case = Case(Geometry((2, 6, 7), (3, 2, 2, 3)), 3)
    run = run_of(by_fft, dtype=dtype, cases=[case])
    probe = run.layer.draw(case, 0)
    assert not_a_number._mixes(run, probe) == mixes
    assert not not_a_number._mixes(run_of(PLAIN.forward, PLAIN.backward, dtype=dtype, cases=[case]), probe)
    one = Case(Geometry((1, 1, 1), (1, 1, 1, 1)), 2)
    assert not not_a_number._mixes(run_of(by_fft, dtype=dtype, cases=[one]), run.layer.draw(one, 0))

    two = Case(Geometry((1, 3, 1), (1, 1, 2, 1)), 2)
    assert not_a_number._mixes(run_of(by_fft, dtype=dtype, cases=[two]), run.layer.draw(two, 0)) == mixes

    # What reaches other images is no transform.
    for images in (2, 3):

        def spreads(X, F, images=images):
            S = PLAIN.forward(X, F)
            S[-images:] += 0 * X.sum()
            return S

        assert not not_a_number._mixes(run_of(spreads, dtype=dtype, cases=[case]), probe)


@pytest.mark.parametrize(("line", "rows", "columns"), [(None, [0], [0]), (0, range(4), [0]), (1, [0], range(5))])
def test_a_line_of_nans_starts_at_the_first_entry_of_the_last_image(line, rows, columns):
    given = {}

    def backward(X, F, G):
        given.update(X=X.copy(), G=G.copy())
        return X, F

    def forward(X, F):
        raise ValueError("no responses")

    run = run_of(forward, backward, cases=CASES[1:])
    reached = not_a_number._reached(run, run.layer.draw(CASES[1], 0), line)
    spoiled = [(1, 0, r, c) for r in rows for c in columns]
    assert np.argwhere(np.isnan(given["X"])).tolist() == [list(each) for each in spoiled]
    assert np.isnan(given["G"]).sum() == len([1 for *_, r, c in spoiled if r < 3 and c < 3])
    assert reached.keys() == {"dX"}
    np.testing.assert_array_equal(reached["dX"], np.isnan(given["X"]))


def test_whether_code_mixes_is_seen_where_there_are_several_of_everything():
    several, wide = Case(Geometry((2, 4, 14), (3, 2, 2, 3)), 2), Case(Geometry((1, 1, 30), (1, 1, 1, 2)), 1)

    def forward(X, F):
        return by_fft(X, F) if X.shape == several.shapes["X"] else PLAIN.forward(X, F)

    run = run_of(forward, dtype="float32", cases=[several, wide])
    assert run.layer.observed(run.cases) == [several, wide]
    assert list(not_a_number.not_a_number(run)) == []
    run = run_of(forward, dtype="float64", cases=[several, wide])
    assert [each.about for each in not_a_number.not_a_number(run)] == ["S"]


# many images ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def few_counts(monkeypatch):
    monkeypatch.setattr(large_batches, "COUNTS", large_batches.COUNTS[:9])


@pytest.mark.parametrize(
    ("most", "count", "cause"),
    [(255, 257, "A size or an offset is kept in 8 bits."), (64, 65, "The code takes images in blocks")],
)
@pytest.mark.usefixtures("few_counts")
def test_the_fewest_images_that_are_too_many(most, count, cause):
    run = run_of(lambda X, F: PLAIN.forward(X, F) * (np.arange(len(X)) < most)[:, None, None, None], restricted=False)
    (found,) = large_batches.large_batches(run)
    assert (found.title, found.kind) == (f"is wrong for {count} images", "large batch")
    assert found.cause.startswith(cause)


def test_a_counter_of_so_many_bits_with_and_without_a_sign():
    counts = {count: large_batches._because(count)[0] for count in large_batches.COUNTS}
    assert list(counts) == [2**power + 1 for power in range(17)]
    bits = {count: said.split()[-2] for count, said in counts.items() if "is kept in" in said}
    assert bits == {129: "8", 257: "8", 32769: "16", 65537: "16"}


@pytest.mark.usefixtures("few_counts")
def test_what_is_raised_for_many_images_and_where_none_are_tried():
    def forward(X, F):
        if len(X) > 9:
            raise MemoryError("too many")
        return PLAIN.forward(X, F)

    run = run_of(forward, restricted=False)
    assert said(large_batches.large_batches(run))[0][1].startswith("is wrong for 17 images: MemoryError: too many")
    # An exception is one also of fast algorithms, wrong numbers are none.
    run.inexact = {"S"}
    assert len(list(large_batches.large_batches(run))) == 1
    wrong = run_of(lambda X, F: PLAIN.forward(X, F) * (1 + (len(X) > 9)), restricted=False)
    assert len(list(large_batches.large_batches(wrong))) == 1
    assert list(large_batches.large_batches(dataclasses.replace(wrong, inexact={"S"}))) == []
    assert list(large_batches.large_batches(dataclasses.replace(wrong, restricted=True))) == []
    assert list(large_batches.large_batches(dataclasses.replace(wrong, unsteady={"S"}))) == []
    assert list(large_batches.large_batches(run_of(PLAIN.forward, restricted=False))) == []
    for layout, count in (("CHW,OIHW->OHW", 0), ("NCHW,OIHW->NOHW", 1)):
        wrong.subject.functions["forward"].layout = layout
        assert len(list(large_batches.large_batches(wrong))) == count


# arguments that are changed, and calls that are lost ------------------------------------------------------------------


def test_what_is_changed_in_place_is_said_of_the_function():
    def forward(X, F):
        S = PLAIN.forward(X, F)
        X += 1
        F += 1
        return S

    run = run_of(forward, PLAIN.backward)
    compared_at(run)
    (found,) = in_place(run)
    assert (found.about, found.title, found.kind, found.entries) == (
        "forward", "changes X and F in place", "in place", ()
    )  # fmt: skip
    lines = found.code.splitlines()
    assert lines[-4:] == ["before = X.copy()", "S = forward(X, F)", "print(X)", "print(before)  # right"]
    # Of a function with several results, the first one is kept with the numbers.
    both = run_of(forward, lambda X, F, G: PLAIN.backward(X, F, np.add(G, 1, out=G)))
    compared_at(both)
    assert [(each.about, each.arrays["result"]) for each in in_place(both)] == [("forward", "S"), ("backward", "dX")]
    right = run_of(PLAIN.forward, PLAIN.backward)
    compared_at(right)
    assert list(in_place(right)) == []


def test_a_call_that_was_lost_is_said_unless_it_was():
    run = run_of(PLAIN.forward)
    probe = run.layer.draw(CASES[1], 0)
    run.lost = {"S": (probe, f"{LATE} 9 s")}
    (found,) = lost(run, [])
    assert (found.title, found.kind) == (f"is missing for some numbers: {LATE} 9 s", "exception")
    assert list(lost(run, [found])) == []
    run.lost = {"S": (probe.replaced(X=np.full_like(probe.arrays["X"], np.nan)), f"{LATE} 9 s")}
    assert [each.title for each in lost(run, [])] == [f"is missing where there is a NaN: {LATE} 9 s"]


# state ----------------------------------------------------------------------------------------------------------------


def adds_up():
    sums = {}

    def forward(X, F):
        sums[X.shape] = sums.get(X.shape, 0) + PLAIN.forward(X, F)
        return sums[X.shape].copy()

    return forward


def takes_turns():
    calls = itertools.count()
    return lambda X, F: PLAIN.forward(X, F) + next(calls) % 3


def reuses_its_buffer():
    buffers = {}

    def forward(X, F):
        S = PLAIN.forward(X, F)
        buffer = buffers.setdefault(S.shape, np.zeros_like(S))
        buffer[...] = S
        return buffer

    return forward


def keeps_by_shape():
    known = {}
    return lambda X, F: PLAIN.forward(X, known.setdefault((X.shape, F.shape), F.copy()))


def keeps_by(key):
    def made():
        known = {}
        return lambda X, F: PLAIN.forward(X, known.setdefault((F.shape, key(F)), F.copy()))

    return made


def remembers_the_largest():
    most = [0]

    def forward(X, F):
        most[0] = max(most[0], X.size)
        return PLAIN.forward(X, F) + (X.size < most[0])

    return forward


@pytest.mark.parametrize(
    ("made", "title"),
    [
        (lambda: PLAIN.forward, None),
        (lambda: lambda X, F: PLAIN.forward(X, F) + 1, None),
        (adds_up, "is added to the result of the call before"),
        (takes_turns, "differs from call to call"),
        (reuses_its_buffer, "is overwritten by a later call"),
        (
            keeps_by_shape,
            "depends on earlier calls: it is right for the first numbers of a size and wrong for the next",
        ),
        (
            keeps_by(lambda F: float(F.sum())),
            "is the result of the call before, whose numbers were the same in another",
        ),
        (keeps_by(lambda F: float(F.flat[0])), "is the result of the call before, whose numbers were the same in an"),
        (remembers_the_largest, "depends on the call before"),
    ],
)
def test_on_what_a_result_depends(made, title, capsys):
    run = run_of(made())
    found = list(state.state(run))
    assert [(each.about, each.kind) for each in found] == ([("S", "state")] if title else [])
    assert all(each.title.startswith(title) for each in found)
    assert run.unsteady == ({"S"} if title and "overwritten" not in title else set())
    # What is printed is not what is said to be right.
    for each in found:
        assert each.entries
        exec(each.code, {"forward": made()})
        printed = capsys.readouterr().out.splitlines()
        assert printed[: len(printed) // 2] != printed[len(printed) // 2 :]
        assert ("first = np.array(S)" in each.code) == (title in {state.KEPT[0], state.OVERWRITTEN[0]})
    assert dict(run.slips) == {}


def test_other_numbers_confirm_what_a_few_have_shown():
    known, calls = {}, []

    def forward(X, F):
        calls.append((X.shape, X.tobytes()))
        return PLAIN.forward(X, known.setdefault((X.shape, F.shape), F.copy()))

    (found,) = state.state(run_of(forward))
    assert found.title == state.LATER[0]
    # The first numbers, the same in another order, others, and as many as confirm it, none of them twice.
    assert len({numbers for shape, numbers in calls if shape == calls[-1][0]}) == 3 + state.CONFIRMED


def other_numbers(run, what="other"):
    """The images of one of the calls that look for state."""
    return state._called(run).calls[what][0].arrays["X"]


@pytest.mark.parametrize("what", ["other", "mixed"])
def test_what_few_numbers_have_shown_and_others_do_not_is_no_state(what):
    few = other_numbers(run_of(PLAIN.forward), what)
    run = run_of(lambda X, F: PLAIN.forward(X, F) + np.array_equal(X, few))
    history = state._called(run)
    assert not history.of(what, "S").fine
    assert all(history.of(each, "S").fine for each in ("new", f"{what} first"))
    assert list(state.state(run)) == []


@pytest.mark.parametrize(
    ("reason", "wrong", "holds"),
    [
        (state.LATER, lambda at: True, True),
        (state.LATER, lambda at: at != 0, False),
        (state.LATER, lambda at: at != state.CONFIRMED - 1, False),
        (state.CACHED, lambda at: at % 2, True),
        (state.CACHED, lambda at: at % 2 == 0, True),
        (state.CACHED, lambda at: at not in {4, 5}, False),
    ],
)
def test_other_numbers_have_to_show_it_each_time(reason, wrong, holds):
    known = []

    def forward(X, F):
        """Wrong by the number of the numbers, in the order in which they come for the first time."""
        known.extend([X.tobytes()] * (X.tobytes() not in known))
        return PLAIN.forward(X, F) + bool(wrong(known.index(X.tobytes())))

    run, case = run_of(forward), Case(Geometry((1, 1, 9), (1, 1, 1, 2)), 1)
    new = run.layer.small(case, run.seed)
    each = Comparison(run.layer, new, "S", Result(None), run.layer.right(new)["S"])
    assert state._holds_again(run, each, reason) == holds
    # They are other ones than those that have shown it.
    shown = {run.layer.small(case, run.seed + more).arrays["X"].tobytes() for more in range(state.SEEDS)}
    assert shown.isdisjoint(known)


@pytest.mark.parametrize(("at", "name"), [(1, "dF"), (2, "db")])
def test_other_numbers_have_to_show_it_of_the_same_result(at, name):
    run = run_of(None, spoiled(lambda right, *_: right + 1, at), bias=True)
    each = next(each for each in compared_at(run, CASES[0]) if each.name == name)
    assert state._holds_again(run, each, state.LATER)
    assert not state._holds_again(run, dataclasses.replace(each, name="dX"), state.LATER)


@pytest.mark.parametrize(
    ("reason", "calls"),
    [
        (state.KEPT, [("new", "backward"), ("mixed", "backward"), ("other", "backward"), ("small", "backward")]),
        (state.SAVED, [("mixed", "forward"), ("new", "backward")]),
    ],
)
def test_what_calls_have_shown_has_to_come_again_and_be_the_same(reason, calls):
    run = run_of(PLAIN.forward, PLAIN.backward)
    other = next(each for each in compared_at(run) if each.name == "dX")
    history = state.History(run, {what: (what, {}) for what in ("small", "new", "mixed", "other")})

    def replayed(*offsets):
        """Whether it holds where each time the last of the calls is off by these."""
        made, off = [], itertools.cycle(offsets)

        def results(probe, only):
            made.append((probe, only))
            last = len(made) % len(calls) == 0
            return {"dX": Result(other.result.value + next(off)) if last else Result(None)}

        history.run.results = results
        found = state._is_replayed(history, reason, other)
        assert made == calls * state.REPLAYED
        return found

    assert replayed(1, 1)
    assert not replayed(1, 2)
    assert not replayed(0, 0)
    assert not replayed(0, 1)
    assert not replayed(1, 0)


def test_a_backward_pass_that_uses_what_forward_saved():
    saved = {}

    def forward(X, F):
        saved["X"] = X.copy()
        return PLAIN.forward(X, F)

    run = run_of(forward, lambda X, F, G: PLAIN.backward(saved.get("X", X), F, G))
    assert said(state.state(run)) == [("∂l/∂F", "depends on the last call of forward")]
    own = run_of(forward, lambda X, F, G: PLAIN.backward((forward(X, F), saved["X"])[1], F, G))
    assert list(state.state(own)) == []


def test_what_is_no_number_is_no_state():
    calls = itertools.count()
    run = run_of(lambda X, F: PLAIN.forward(X, F) * (np.nan if next(calls) % 2 else 1))
    assert list(state.state(run)) == []

    def forward(X, F):
        S = PLAIN.forward(X, F) + next(calls) % 3
        S[..., 0] = np.nan
        return S

    assert list(state.state(run_of(forward))) == []


def test_code_that_takes_its_process_down_is_not_asked_on():
    calls = []

    def forward(X, F):
        calls.append(X.shape)
        return np.broadcast_to(np.float64(0), (2**30,)) + 0 if len(calls) == 99 else PLAIN.forward(X, F)

    run = run_of(forward)
    run.lost = {"S": (None, f"{LATE} 9 s")}
    assert list(state.state(run)) == []
    assert len(calls) == 2


@pytest.mark.parametrize("at", [4, 6])
def test_a_result_that_is_wrong_now_and_then_is_counted(at):
    calls = itertools.count()

    def forward(X, F):
        return PLAIN.forward(X, F) + (next(calls) == at)

    run = run_of(forward)
    assert list(state.state(run)) == []
    assert run.slips["S"] == 1
    (found,) = state.seldom(run)
    assert found.title == f"is wrong now and then: in 1 of {run.judged['S']} calls"
    assert found.known == ("when the same call was made again, the result was right",)
    run.unsteady = {"S"}
    assert list(state.seldom(run)) == []
    run.slipped["dX"] = dataclasses.replace(run.slipped["S"], name="dX")
    run.subject.gives["forward"] = ("S", "dX")
    assert [each.about for each in state.seldom(run)] == ["∂l/∂X"]


def test_each_call_that_looks_for_state_is_counted_where_it_is_wrong_by_chance():
    calls = []

    def backward(X, F, G, at=None):
        calls.append(X.shape)
        dX, dF = PLAIN.backward(X, F, G)
        return dX + (len(calls) - 1 == at), dF

    state._called(run_of(PLAIN.forward, backward))
    made = len(calls)
    assert calls[-1] == calls[1]  # alone, after another call of forward
    for at in (0, 1, made - 1):
        calls.clear()
        run = run_of(PLAIN.forward, lambda *given, at=at: backward(*given, at=at))
        assert list(state.state(run)) == []
        assert run.slips == {"dX": 1}


@pytest.mark.parametrize(("more", "goes_on"), [(0, True), (1, False)])
def test_code_that_returns_more_than_can_be_held_is_not_asked_on(more, goes_on):
    run = run_of(PLAIN.forward)
    call = run.subject.results
    run.subject.results = lambda *given: {
        name: dataclasses.replace(result, held=LARGE + more) for name, result in call(*given).items()
    }
    assert (state._called(run) is not None) == goes_on


def test_what_depends_on_the_call_before_by_little_is_said():
    run = run_of(PLAIN.forward)
    each = compared_at(run)[0]
    run.kept = {"S": (each, run.layer.draw(CASES[0], 0))}
    run.inexact = {"S"}
    assert said(state.seldom(run)) == [("S", "depends on the call before")]
    assert run.inexact == set()
    run.unsteady = {"S"}
    assert list(state.seldom(run)) == []
    run.subject.gives["forward"] = ("S", "dX")
    run.kept["dX"] = dataclasses.replace(each, name="dX"), run.layer.draw(CASES[0], 0)
    assert said(state.seldom(run)) == [("∂l/∂X", "depends on the call before")]


@pytest.mark.parametrize(
    ("made", "title"),
    [
        (lambda: lambda X, F: PLAIN.forward(X, F) + 1, None),
        (takes_turns, "differs from call to call"),
    ],
)
def test_a_wrong_result_that_is_another_one_in_each_call(made, title):
    run = run_of(made())
    probe = run.layer.small(CASES[1], 0)
    each = next(each for each in (run.compared(probe)[0] for _ in range(3)) if each.kind == "values")
    found = state.repeated(run, [each])
    assert (found and found.title) == title
    if title is None:
        calls = run.subject.calls
        state.repeated(run, [each, dataclasses.replace(each), dataclasses.replace(each)])
        # The first one seven times, and the last one once.
        assert run.subject.calls - calls == 8
    assert state.repeated(run, []) is None


def test_a_wrong_result_that_is_steady_when_it_is_repeated_depends_on_the_call_before():
    def forward(X, F):
        wrong, forward.before = X.shape != forward.before, X.shape
        return PLAIN.forward(X, F) + wrong

    forward.before = None
    run = run_of(forward)
    probe = run.layer.small(CASES[1], 0)
    each = Comparison(run.layer, probe, "S", run.again(probe, "S"), run.layer.right(probe)["S"])
    assert each.kind == "values"
    assert state.repeated(run, [each]).title == "depends on the call before"


def test_of_several_wrong_results_the_first_is_called_most_and_the_last_once_more():
    run = run_of(lambda X, F: PLAIN.forward(X, F) + 1)
    one, two = (run.compared(run.layer.small(case, 0))[0] for case in CASES)
    shapes, call = [], run.subject.results
    run.subject.results = lambda arrays, *rest: (shapes.append(arrays["X"].shape), call(arrays, *rest))[1]
    assert state.repeated(run, [one, two]) is None
    assert shapes == [CASES[0].shapes["X"]] * state.TIMES + [CASES[1].shapes["X"]]
    # The last one was something else before, and is the same now however often it is called.
    other = dataclasses.replace(two, result=Result(two.result.value + 1))
    found = state.repeated(run, [one, other])
    assert found.title == "depends on the call before"
    # Largest numbers first, as they were before.
    assert found.code.count("forward(") == 2
    assert "results.append" not in found.code
    assert "results.append" in state.repeated(run_of(takes_turns()), [one]).code
    # What raises is no number that is another one.
    shapes.clear()
    raised = dataclasses.replace(one, result=Result(None, raised="ValueError: no"))
    assert state.repeated(run, [raised]) is None
    assert shapes == []


def test_numbers_whose_first_entries_all_differ():
    drawn = {1: ([1, 2], [3, 4]), 2: ([1, 3], [4, 3]), 3: ([2, 1], [4, 3]), 4: ([2, 1], [3, 3])}
    layer = run_of(PLAIN.forward).layer

    class Draws:
        takes = layer.takes

        def small(self, case, seed):
            X, F = map(np.array, drawn[seed])
            return layer.draw(CASES[0], 0).replaced(X=X, F=F, G=np.ones(1) * seed)

    differ = {(one, two) for one in drawn for two in drawn if state._begins_otherwise(Draws(), None, one, two)}
    assert differ == {(1, 3), (3, 1), (2, 4), (4, 2)}
    # The first seed after it of which they do, else the next seed.
    drawn |= dict.fromkeys(range(5, 40), ([2, 2], [3, 3]))
    assert [state._other_seed(Draws(), None, seed) for seed in (1, 2, 3)] == [3, 4, 4]


def test_two_results_differ_beyond_their_bound():
    run = run_of(PLAIN.forward)
    each = compared_at(run)[0]

    def with_value(value, error=0.0):
        got = None if value is None else np.array(value, float)
        return dataclasses.replace(each, result=Result(got), right=Right(np.zeros(2), error))

    assert not state._differ(with_value([1, 2]), with_value([1, 2]))
    assert state._differ(with_value([1, 2]), with_value([1, 2.5]))
    assert state._differ(with_value([1, 1]), with_value([1]))
    assert state._differ(with_value([1]), with_value([1, 1]))
    assert state._differ(with_value(None), with_value([1, 2]))
    assert state._differ(with_value(None), with_value(1))
    assert state._differ(with_value(1), with_value(None))
    assert state._differ(with_value([1, 2]), with_value(None))
    assert not state._differ(with_value([1, 2]), with_value([1, 2.5], 0.25))
    assert state._differ(with_value([1, 2]), with_value([1, 2.75], 0.25))


def test_what_every_call_adds_is_the_right_result():
    run = run_of(PLAIN.forward)
    each = compared_at(run)[0]

    def added(*values, right=(1.0, 2.0), error=0.0):
        results = [Result(np.array(value, float)) for value in values]
        return state._accumulates(
            [dataclasses.replace(each, result=result, right=Right(np.array(right), error)) for result in results]
        )

    assert added((3, 4), (4, 6), (5, 8))
    assert added((3, 4), (4, 6), (5, 8), (0, 0))
    assert added((3, 4), (4, 6), (5, 8), (0, 0, 0))
    assert not added((3, 4), (4, 6), (5, 9))
    assert not added((3, 4), (5, 6), (6, 8))
    assert not added((0, 0), (0, 0), (0, 0), right=(0.0, 0.0))
    assert not added((3, 4, 5), (4, 6, 7), (5, 8, 9))
    assert not added((3, 4), (4, 6, 7), (5, 8))
    assert not added((3, 4), (4, 6), (5, 8, 9))
    assert not added((3, 4, 5), (4, 6), (5, 8), right=(1.0, 2.0, 3.0, 4.0))
    # Each of the results, and of what is right, may be off by its bound: up to 1.5 are, and no more.
    assert added((3, 4), (4, 7.5), (5, 11), error=0.25)
    assert not added((3, 4), (4, 7.625), (5, 11), error=0.25)
    assert not added((3, 4), (4, 8), (5, 12), error=0.25)


def test_a_finding_tells_the_case_and_its_numbers():
    run = run_of(lambda X, F: PLAIN.forward(X, F) + 1)
    each = compared_at(run)[0]
    found = finding(run, each, "is wrong", "values", ("why", "cure", "small"))
    assert (found.about, found.title, found.kind, found.cause, found.cure, found.anchor) == (
        "S", "is wrong", "values", "why", "cure", "small"
    )  # fmt: skip
    assert found.entries[-1] == f"… {each.got.size} of {each.got.size} entries are wrong"
    assert finding(run, each, "t", "values", about="forward", entries=("one",)).about == "forward"
    assert finding(run, each, "t", "values", entries=("one",)).entries == ("one",)
    assert not {UNTRIED, OUTSIZED} & set(found.entries)


def reasons_of(each, again, **calls):
    """The reasons for which a result depends on others, where calls are off by so much, and what shows them."""

    def off(number):
        return dataclasses.replace(each, result=Result(each.result.value + number))

    given = {f"new again {time}": off(number) for time, number in enumerate(again)}
    given |= {what.replace("_", " "): off(number) for what, number in calls.items()}
    subject = SimpleNamespace(side=lambda name: "forward")
    history = SimpleNamespace(
        run=SimpleNamespace(subject=subject, results=lambda probe, only: {"S": given["alone"].result}),
        calls={"mixed": (None, {}), "new": (None, {})} | {what: (None, {"S": None}) for what in given},
        of=lambda what, name: given.get(what, off(0)),
    )
    shown = {id(comparison): what for what, comparison in given.items()}
    return [(reason, shown.get(id(comparison))) for reason, comparison in state._reasons(history, "S")]


@pytest.fixture
def whole():
    """A right result of int32."""
    (each,) = compared_at(run_of(PLAIN.forward, dtype="int32"))
    return each


@pytest.mark.parametrize("right", range(state.TIMES + 1))
def test_what_is_right_in_most_calls_is_not_said_to_differ_from_call_to_call(whole, right):
    again = [0] * right + [*range(1, state.TIMES + 1 - right)]
    reasons = [reason for reason, _ in reasons_of(whole, again)]
    assert reasons == ([state.RANDOM] if right <= 3 else [])


def test_the_first_wrong_result_shows_what_differs_and_what_is_added(whole):
    assert reasons_of(whole, [0, 1, 2, 0, 1, 2, 3]) == [(state.RANDOM, "new again 1")]
    # What comes after other numbers may be another result than what comes after the same ones.
    assert reasons_of(whole, [2, 1, 1, 1, 1, 1, 1]) == []
    assert reasons_of(whole, [2, 2, 1, 1, 1, 1, 1]) == [(state.RANDOM, "new again 0")]
    assert reasons_of(whole, [1, 1, 1, 1, 1, 1, 2]) == [(state.RANDOM, "new again 0")]
    value = whole.result.value
    assert reasons_of(whole, [value * time for time in range(7)])[0] == (state.ACCUMULATED, "new again 1")


def test_what_is_right_is_not_said_to_be_added_up_where_rounding_explains_all_of_it(whole):
    value = whole.right.value
    loose = dataclasses.replace(whole, right=Right(value, float(np.abs(value).max())))
    assert state._accumulates([loose] * 3)
    assert reasons_of(loose, [0] * 7) == []


@pytest.mark.parametrize(("what", "reason"), [("other", state.LATER), ("mixed", state.CACHED)])
def test_a_formula_that_is_wrong_at_once_is_no_state(whole, monkeypatch, what, reason):
    monkeypatch.setattr(state, "_holds_again", lambda run, new, reason: True)
    assert reasons_of(whole, [0] * 7, **{what: 1}) == [(reason, what)]
    assert reasons_of(whole, [0] * 7, **{what: 1, f"{what}_first": 1}) == []
    assert reasons_of(whole, [0] * 7, new=1, held=1, **{what: 1}) == []
    assert reasons_of(whole, [0] * 7) == []


def test_a_backward_pass_alone_is_held_against_the_last_call(whole):
    assert reasons_of(whole, [0] * 7, alone=0) == []
    assert reasons_of(whole, [0] * 7, alone=1) == [(state.SAVED, "alone")]
    # Where the code is wrong anyhow, each time.
    assert reasons_of(whole, [2] * 7, alone=1) == [(state.SAVED, None)]
    assert reasons_of(whole, [2] * 7, alone=2) == []
    # What was wrong in the last call alone was so by chance.
    assert reasons_of(whole, [0, 0, 0, 0, 0, 0, 2], alone=0) == []
    assert reasons_of(whole, [0, 0, 0, 0, 0, 2, 0], alone=0) == []
    assert reasons_of(whole, [0, 0, 0, 0, 0, 2, 0], alone=1) == [(state.SAVED, "alone")]
    assert reasons_of(whole, [0, 0, 2, 0, 0, 0, 0], alone=2) == [(state.SAVED, "alone")]
