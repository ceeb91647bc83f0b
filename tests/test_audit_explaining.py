"""What is said of wrong results, on layers of one product per entry: no audit is run as a whole."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pytest

from jacobians.audit import explain, facts
from jacobians.audit.compare import Comparison, Run
from jacobians.audit.findings import UNWRITTEN
from jacobians.audit.layer import REAL, Explanation, Layer, Probe, Right
from jacobians.audit.layers.convolution import Convolution, options
from jacobians.audit.numbers import dtype_of
from jacobians.audit.report import Finding
from jacobians.audit.subject import ENDED, LATE, OUTSIZED, UNTRIED, Result, Subject
from jacobians.evidence import exact


@dataclasses.dataclass(frozen=True)
class Sizes:
    rows: int
    columns: int

    terms: ClassVar[int] = 1

    @property
    def numbers(self):
        return 2 * self.rows * self.columns


class Long(Sizes):
    """As if an entry were a sum of many products."""

    terms: ClassVar[int] = 100


@dataclasses.dataclass(frozen=True)
class Product(Layer):
    """Y = X·F, entry by entry, of rows and columns."""

    dtype: str = "float64"

    unit: ClassVar[str] = "batch"
    anchor: ClassVar[str] = "products"
    takes: ClassVar = {"forward": ("X", "F")}
    gives: ClassVar = {"forward": ("Y",)}
    labels: ClassVar = {"Y": "Y(X)"}
    factors: ClassVar = {"Y": ("X", "F")}
    raised: ClassVar[Mapping] = {
        "IndexError": ("an index is too large", "count from 0"),
        "KeyError": ("", "count from 0"),
    }

    def draw(self, case, seed, number=0):
        return self.integers(case, 1000, seed)

    def small(self, case, seed):
        return self.integers(case, 9, seed)

    def integers(self, case, most, seed):
        generator, shape = np.random.default_rng((seed, case.rows, case.columns)), (case.rows, case.columns)
        drawn = {letter: exact.draw_integers(generator, shape, most, "int64") for letter in "XF"}
        drawn = {letter: np.where(each == 0, 1, each) for letter, each in drawn.items()}
        return Probe(case, {letter: each.astype(dtype_of(self.dtype)) for letter, each in drawn.items()})

    def right(self, probe):
        return {"Y": Right(probe.wide["X"] * probe.wide["F"])}

    def lower(self, probe, name, dtype, right):
        return 4 * float(exact.unit_roundoff(dtype)) * np.abs(right.value)

    def smallest(self):
        return [Sizes(1, 1), Sizes(1, 2), Sizes(2, 2)]

    def names(self, name, case):
        return [f"y{row + 1}{column + 1}" for row in range(case.rows) for column in range(case.columns)]

    def axes(self, name, ndim):
        return (("rows", "r"), ("columns", "c")) if ndim == 2 else super().axes(name, ndim)

    def sizes(self, case):
        return {"rows": ("r", case.rows), "columns": ("c", case.columns)}


class Plain(Product):
    """The same, of which nothing is known."""

    factors: ClassVar = {}


CASES = [Sizes(*each) for each in ((1, 1), (1, 2), (2, 1), (2, 2), (1, 5), (3, 2), (2, 5), (3, 3), (3, 5), (4, 6))]


def run_of(function, layer=None, *, cases=CASES, probes=()):
    """A run of which everything was tried."""
    layer = layer or Product()
    run = Run(Subject({"forward": function}, layer.takes, layer.gives, layer.labels), layer, cases, 0)
    run.tried = [each for case in cases for each in run.compared(layer.draw(case, 0))]
    run.tried += [each for probe in probes for each in run.compared(probe)]
    return run


def explained(function, layer=None, **more):
    return explain.explained(run_of(function, layer, **more))


def the_only(function, layer=None, **more):
    (found,) = explained(function, layer, **more)
    return found


# titles ---------------------------------------------------------------------------------------------------------------


def clipped(low, high):
    return lambda X, F: np.clip(X * F, low, high)


def wrapped(dtype):
    return lambda X, F: (X * F).astype(np.int64).astype(dtype).astype(X.dtype)


def lowered(dtype):
    return lambda X, F: (X.astype(dtype_of(dtype)) * F.astype(dtype_of(dtype))).astype(X.dtype)


@pytest.mark.parametrize(
    ("function", "title", "kind"),
    [
        (lambda X, F: X, "is wrong: the code returns X unchanged", "values"),
        (lambda X, F: -2 * F, "is wrong: the code returns −2·F", "values"),
        (lambda X, F: 2 * F, "is wrong: the code returns 2·F", "values"),
        (lambda X, F: -F, "is wrong: the code returns −F", "values"),
        (lambda X, F: X * 0 + 5, "is wrong: the code returns 5 everywhere", "values"),
        (lambda X, F: X * 0 - 0.5, "is wrong: the code returns -0.5 everywhere", "values"),
        (lambda X, F: np.maximum(X * F, 0), "is wrong: a ReLU is applied to it", "values"),
        (clipped(-9000, 9000), "is clipped to the range -9000 … 9000", "range"),
        (clipped(-np.inf, 9000), "is clipped to the range −∞ … 9000", "range"),
        (clipped(-9000, np.inf), "is clipped to the range -9000 … ∞", "range"),
        (wrapped("int16"), "wraps around at 16 bits", "range"),
        (wrapped("uint16"), "wraps around at 16 bits", "range"),
        (wrapped("int8"), "wraps around at 8 bits", "range"),
        (lambda X, F: np.abs(X * F), explain.UNEXPLAINED, "values"),
    ],
)
def test_what_is_done_to_the_right_result_is_told(function, title, kind):
    found = the_only(function)
    assert (found.about, found.title, found.kind) == ("Y(X)", title, kind)
    assert 0 < found.wrong <= found.tried == len(CASES)


def given(*right):
    """A layer whose right results are these numbers, over and over again."""
    layer = Plain()
    object.__setattr__(layer, "right", lambda probe: {"Y": Right(np.resize(right, probe.arrays["X"].shape))})
    return layer


def test_the_ends_of_ranges():
    found = the_only(lambda X, F: np.resize([255.0, 0, 44], X.shape), given(255.0, 256, 300), cases=CASES[4:6])
    assert found.title == "wraps around at 8 bits"
    right, held = (2.0**31, 2.0**32 + 5, 3), (-(2.0**31), 5, 3)
    found = the_only(lambda X, F: np.resize(held, X.shape), given(*right), cases=CASES[4:6])
    assert found.title == "wraps around at 32 bits"
    # Of one case it is not told that it is clipped.
    few = [the_only(clipped(-9000, 9000), cases=CASES[6 : 7 + more]) for more in range(2)]
    assert [each.kind for each in few] == ["values", "range"]


def test_what_is_added_is_shown_where_the_products_are_0():
    found = the_only(lambda X, F: X * F + 1, cases=CASES[:3])
    assert found.title == "is not 0 where all numbers are 0, but up to 1"
    assert found.arrays["got"] == [[1.0]]
    large = the_only(lambda X, F: X * F + 1e6, cases=CASES[:3])
    assert large.title == "is not 0 where all numbers are 0, but up to 1e+06"
    uneven = the_only(lambda X, F: X * F + 1e6 + 0.1, cases=CASES[:3])
    assert uneven.title == large.title
    smallest = the_only(lambda X, F: X * F + 1e6 if X.size == 1 else -np.abs(X * F) - 1, cases=CASES[:3])
    assert smallest.title == large.title
    # Where the products are wrong in themselves, that is said.
    assert the_only(lambda X, F: X * F + 1e6 + 1e-5 * X, cases=CASES[:3]).title == explain.UNEXPLAINED
    assert the_only(lambda X, F: 3 * X * F + 1, cases=CASES[:3]).title == explain.UNEXPLAINED
    assert the_only(lambda X, F: X * F + (2e6 if X.any() else 1e6), cases=CASES[:3]).title == explain.UNEXPLAINED
    assert the_only(lambda X, F: X * F + 1e6, Plain(), cases=CASES[:3]).title == explain.UNEXPLAINED


@dataclasses.dataclass(frozen=True)
class Biased(Product):
    """Y = X·F + b, whose small numbers have a 0."""

    takes: ClassVar = {"forward": ("X", "F", "b")}

    def integers(self, case, most, seed):
        probe = super().integers(case, most, seed)
        X = probe.arrays["X"] * (np.arange(case.columns) > 0) if most == 9 else probe.arrays["X"]
        return probe.replaced(X=X, b=probe.arrays["X"] + 5)

    def right(self, probe):
        return {"Y": Right(probe.wide["X"] * probe.wide["F"] + probe.wide["b"])}


def test_what_is_added_is_what_is_wrong_with_the_products_up_to_rounding():
    few = CASES[3:4]
    with_bias = the_only(lambda X, F, b: X * F + b + F * F, Biased(), cases=few)
    assert with_bias.title.startswith("is not b where X is 0")
    at_last = the_only(lambda X, F, b: X * F + b + 1e6 * (np.arange(X.size).reshape(X.shape) == 3), Biased(), cases=few)
    assert at_last.title == "is not 0 where all numbers are 0, but up to 1e+06"

    # Between 2²⁰ and 2²¹, twice the unit roundoff of float64 is 2⁻³²: four roundings of two such numbers are four.
    def off_by(steps):
        return lambda X, F: X * F + (2**20 + 2**10 + (steps * 2.0**-32 if X.any() else 0))

    assert [the_only(off_by(steps), cases=few).title[:10] for steps in (4, 5)] == ["is not 0 w", "is wrong, "]
    # With zeros it raises, or gives something else.
    raises = the_only(lambda X, F: -np.abs(X * F) - 1 if X.any() else raising(ValueError(""), 0)(X, F), cases=few)
    assert raises.title.startswith("is wrong where all numbers are 0: ValueError")
    for shape in ((3,), (1, 1), (5, 7)):
        other = the_only(lambda X, F, of=shape: -np.abs(X * F) - 1 if X.any() else np.zeros(of), cases=few)
        assert other.title == explain.UNEXPLAINED


def test_a_multiple_of_an_argument_is_one_at_all_cases():
    assert the_only(lambda X, F: X * len(X)).title == explain.UNEXPLAINED
    # What is right but for zeros is no other array.
    masked = Plain()
    object.__setattr__(masked, "right", lambda probe: {"Y": Right(probe.wide["X"] * (probe.wide["X"] > 0))})
    assert the_only(lambda X, F: X, masked).title == explain.UNEXPLAINED
    for right in (
        lambda X: np.abs(X) + 1,
        lambda X: -np.abs(X) - 1,
        lambda X: np.zeros((1, 1)),
        lambda X: np.zeros((2, 3)),
    ):
        other = Plain()
        object.__setattr__(other, "right", lambda probe, of=right: {"Y": Right(of(probe.wide["X"]))})
        assert the_only(lambda X, F: X, other, cases=CASES[2:3]).title == "is wrong: the code returns X unchanged"
    # A single number is no array, and none no number.
    assert the_only(lambda X, F: X, cases=CASES[:1]).title.endswith(" everywhere")
    assert the_only(lambda X, F: X[:0]).title == "has shape (0, 1), not (1, 1)"
    assert the_only(lambda X, F: np.repeat(X, 2, 0), cases=CASES[1:2]).title == "has shape (2, 1), not (1, 1)"
    # Shapes are those of the argument, and numbers are those that were returned.
    found = the_only(lambda X, F: X[:1], cases=CASES[2:])
    assert found.title == "has shape (1, 1), not (2, 1)"
    assert found.known == ("at 1 other batch the values are wrong in a way that this shape does not explain",)
    assert the_only(lambda X, F: X * 0).title == explain.UNEXPLAINED
    everywhere = the_only(lambda X, F: (X * 0 + 5)[:1], cases=CASES[1:4])
    assert (everywhere.title, everywhere.kind) == ("is wrong: the code returns 5 everywhere", "values")
    assert np.shape(everywhere.arrays["X"]) == (1, 1)


@pytest.mark.parametrize(
    ("dtype", "computed", "title", "likely"),
    [
        ("float64", "float32", "is computed in a lower precision than float64", "float32"),
        ("float64", "float16", "is computed in a lower precision than float64", "TF32 or float16"),
        ("float64", "bfloat16", "is computed in a lower precision than float64", "bfloat16"),
        ("float32", "float16", "is computed in a lower precision than float32", "TF32 or float16"),
    ],
)
def test_a_lower_precision_is_told_by_its_error(dtype, computed, title, likely):
    layer = Product(dtype)

    def reals(case):
        generator = np.random.default_rng(case.numbers)
        drawn = {letter: generator.uniform(1, 2, (case.rows, case.columns)).astype(dtype) for letter in "XF"}
        return Probe(case, drawn)

    run = run_of(lowered(computed), layer, cases=[], probes=map(reals, CASES))
    # Products of float32 are exact in float64, and rounded in float32.
    run.tried = [dataclasses.replace(each, right=Right(each.right.value, 2e-7)) for each in run.tried]
    found = explain.explained(run)
    if dtype == "float32" or computed != "float32":
        (finding,) = found
        assert (finding.title, finding.kind) == (title, "precision")
        assert finding.cause.endswith(f", as it is for sums in {likely}.")
        assert f"Accumulate in {dtype} or a wider dtype" in finding.cure


def rounded_to(bits):
    """Products that are off by half of the last of so many bits."""
    return lambda X, F: X * F * (1 + 2.0 ** -(bits + 1))


def test_an_error_of_a_few_last_digits_is_no_lower_precision():
    found = the_only(rounded_to(50), Plain())
    assert (found.title, found.kind) == ("is rounded in its last digits", "precision")
    assert found.cause == "The largest error is 4.1e-16 times the largest entry."
    # Eight roundings of the dtype are its own.
    assert the_only(rounded_to(49), Plain(), cases=CASES[:3]).title == "is rounded in its last digits"
    for steps, title in ((8, "is rounded in its last digits"), (9, "is computed in a lower precision than float64")):
        off = (1024, 512 - steps * 2.0**-43)
        exactly = the_only(lambda X, F, of=off: np.resize(of, X.shape), given(1024.0, 512), cases=CASES[1:5])
        assert exactly.title == title
    lower = the_only(rounded_to(48), Plain(), cases=CASES[:3])
    assert lower.title == "is computed in a lower precision than float64"
    assert np.size(lower.arrays["X"]) == 1
    for bits, likely in (
        (24, "float32"),
        (18, "float32"),
        (17, "TF32 or float16"),
        (11, "TF32 or float16"),
        (8, "bfloat16"),
    ):
        assert the_only(rounded_to(bits), Plain(), cases=CASES[:3]).cause.endswith(f"as it is for sums in {likely}.")
    # Nor is it the precision of the audit itself.
    assert the_only(rounded_to(18), Plain("float32"), cases=CASES[:3]).cause.endswith(
        "as it is for sums in TF32 or float16."
    )
    # No lower precision is so far off, changes a sign, or leaves small numbers wrong that it holds.
    assert the_only(rounded_to(2), Plain(), cases=CASES[:3]).title == explain.UNEXPLAINED
    assert the_only(rounded_to(20), cases=CASES[:3]).title == explain.UNEXPLAINED
    # Of many terms, lower precisions do not hold the sums of small numbers.
    assert the_only(rounded_to(20), cases=[Long(2, 2), Long(3, 3)]).kind == "precision"


def test_a_bound_of_the_right_result_holds_for_a_lower_precision_too():
    each = run_of(lambda X, F: X * F + 1, Plain()).tried[-1]
    assert explain._is_rounded(dataclasses.replace(each, right=Right(each.right.value, 1.0)), "float32")
    assert not explain._is_rounded(dataclasses.replace(each, right=Right(each.right.value, 0.5)), "float64")
    # No lower precision is off by more than a sixteenth of the largest entry.
    wide = Right(np.array([[16.0, -8.0]]), 9.0)
    for got, rounded in (([17.0, -8], True), ([17.0, -9], True), ([17.5, -8], False), ([16.0, -6], False)):
        near = dataclasses.replace(each, right=wide, result=Result(np.array([got])))
        assert explain._is_rounded(near, "float32") == rounded
    # A zero stays one, and no sign changes.
    small = Right(np.array([[16.0, 0.0, 0.5]]), 9.0)
    for got, rounded in (([17.0, 0, 0.4], True), ([17.0, 0, -0.4], False)):
        near = dataclasses.replace(each, right=small, result=Result(np.array([got])))
        assert explain._is_rounded(near, "float32") == rounded
    assert [explain._bits(dtype) for dtype in ("float64", "float16", "int32")] == [53, 11, 64]


def test_memory_that_was_never_written_is_told_from_wrong_numbers():
    def unwritten(X, F):
        Y = np.empty_like(X)
        Y[:-1] = (X * F)[:-1]
        return Y

    found = the_only(unwritten)
    assert (found.title, found.kind, found.anchor) == (UNWRITTEN, "not written", "memory")
    assert found.entries
    assert all(entry.endswith(("nan", "inf")) for entry in found.entries)
    turns = itertools.count()
    # Other numbers in the same entries alone, each time.
    beside = the_only(lambda X, F: np.where(np.arange(X.shape[1]) == 0, 1e9 + next(turns), X * F), cases=CASES[1::2])
    assert beside.title == UNWRITTEN
    # The largest case may be wrong for another reason.
    small = the_only(
        lambda X, F: np.where(np.arange(X.shape[1]) == 0, 1e9 + next(turns), X * F) if X.size < 3 else np.abs(X * F),
        cases=CASES[1:],
    )
    assert small.title == UNWRITTEN
    # In another call it is no number; what raises then may be wrong for any reason.
    for third, title in (([np.nan], UNWRITTEN), (None, explain.UNEXPLAINED)):
        results = itertools.chain([[9e9], [9e9], third], itertools.repeat([9e9]))
        told = explained(lambda X, F, of=results: np.append((X * F)[:, 1:], [next(of)], 1), cases=CASES[1:2])
        assert told[0].title == title
    # It is looked for at the smallest and the largest case alone.
    called = []
    run = run_of(lambda X, F: called.append(X.shape) or -np.abs(X * F) - 1)
    called.clear()
    assert explain._unwritten(explain.Tried(run, run.of("Y"))) is None
    assert set(called) == {(1, 1), (4, 6)}
    everywhere = the_only(lambda X, F: X * F * (2 + next(turns)))
    assert everywhere.title != UNWRITTEN
    assert everywhere.kind == "state"


def test_what_is_right_for_integers_alone():
    def function(X, F):
        return np.where(X % 1 == 0, X * F, 2 * X * F)

    probe = Product().draw(Sizes(2, 2), 0)
    real = dataclasses.replace(probe.replaced(X=probe.arrays["X"] + 0.5), what=REAL)
    drawn = Product().draw(Sizes(3, 3), 0)
    larger = dataclasses.replace(drawn.replaced(X=drawn.arrays["X"] + 0.5), what=REAL)
    found = the_only(function, probes=[real, larger])
    assert (found.title, found.wrong, found.tried) == ("is right for integers and wrong for other numbers", 2, 10)
    assert np.shape(found.arrays["X"]) == (2, 2)
    assert found.anchor == "small"


# shapes, dtypes and what is no number ---------------------------------------------------------------------------------


def test_shapes_are_told_with_where_they_are_wrong_and_what_else_is():
    found = the_only(lambda X, F: (X * F).T if X.shape[0] != X.shape[1] else X * F)
    assert (found.title, found.kind, found.entries) == ("has shape (2, 1), not (1, 2)", "shape", ())
    assert found.cure == "Return an array of shape (1, 2) in this case."
    assert found.anchor == "products"
    assert found.known == ("the result is wrong where r ≠ c, and is right elsewhere",)
    mixed = the_only(lambda X, F: (X * F).T if X.shape[0] != X.shape[1] else -np.abs(X * F), cases=CASES[1:])
    assert mixed.title == "has shape (2, 1), not (1, 2)"
    assert mixed.known == ("at 2 other batches the values are wrong in a way that this shape does not explain",)
    values = the_only(lambda X, F: -np.abs(X * F).T - 1, cases=CASES[:2])
    assert values.title == explain.UNEXPLAINED
    assert values.known[-1] == "at 1 other batch the shape is wrong in a way that this formula does not explain"
    assert the_only(lambda X, F: (X * F).sum()).title == "has shape (), not (1, 1)"


class Laid(Product):
    """Whose arrays have their columns first."""

    def laid(self, case, name, array):
        return np.swapaxes(array, 0, 1)


def test_shapes_are_those_that_the_code_has():
    each = run_of(lambda X, F: X, Laid()).tried[1]
    assert [explain._shape_of(each, shape) for shape in ((2, 3), (7,), (1, 2, 3))] == [(3, 2), (7,), (1, 2, 3)]
    assert explain._right_shape(each) == (2, 1)


def test_other_cases_are_counted():
    run = run_of(lambda X, F: X)
    assert explain._others(run, 1) == "1 other batch"
    assert explain._others(run, 2) == "2 other batches"
    assert explain._others(dataclasses.replace(run, layer=Layer("float64")), 2) == "2 other cases"


def test_dtypes_are_told_once():
    found = the_only(lambda X, F: (X * F).astype(np.float32))
    assert (found.title, found.kind, found.entries) == ("has dtype float32, not float64", "dtype", ())
    assert found.cure == "Return float64 for float64, or audit with dtype='float32'."
    assert found.cause == "The code converts the arrays to another dtype."
    # Of several it is that of the smallest case.
    other = the_only(lambda X, F: (X * F).astype([np.uint8, "f4", np.float16][min(X.size - 1, 2)]))
    assert (other.title, other.cure) == ("has dtype uint8, not float64", "Return float64 for float64.")
    assert np.size(other.arrays["X"]) == 1


def test_numbers_that_are_none_are_told_with_what_else_is_wrong():
    found = the_only(lambda X, F: np.where(X > 500, np.nan, X * F), cases=CASES[4:7])
    assert found.title.startswith("is NaN or ∞ in ")
    assert found.title.endswith("it holds memory that was never written, or a sum overflows")
    assert found.kind == "not written"
    assert found.cause.endswith("beyond its end, or a sum overflows.")
    one = the_only(lambda X, F: np.where(np.arange(X.size).reshape(X.shape) == 3, np.inf, X * F), cases=CASES[3:6])
    assert one.title.startswith("is NaN or ∞ in 1 entry,")
    assert len(one.entries) == 1
    # Values that are wrong in a way of their own are another finding.
    both = explained(lambda X, F: np.where(X > 500, np.nan, np.maximum(X * F, 0)))
    assert [each.title[:20] for each in both] == ["is wrong: a ReLU is ", "is NaN or ∞ in 1 ent"]
    both = explained(lambda X, F: np.where(X > 500, np.nan, np.clip(X * F, -9000, 9000)))
    assert [each.kind for each in both] == ["range", "not written"]
    (alone,) = explained(lambda X, F: np.where(X > 500, np.nan, np.abs(X * F)), cases=CASES[4:7])
    assert alone.kind == "not written"
    lost = Plain()
    object.__setattr__(lost, "lost", lambda name, every: ("is lost", "why", "how"))
    why = the_only(lambda X, F: np.where(X > 500, np.nan, X * F), lost, cases=CASES[4:7])
    assert (why.title, why.cause, why.cure, why.anchor) == ("is lost", "why", "how", "products")
    assert len(why.entries) == np.isnan(np.array(why.arrays["got"], float)).sum()
    assert all(entry.endswith("nan") for entry in why.entries)


# exceptions -----------------------------------------------------------------------------------------------------------


def raising(error, least=4):
    def function(X, F, G=None):
        if X.size >= least:
            raise error
        return X * F

    return function


def test_exceptions_are_told_once_for_each_type():
    found = the_only(raising(ValueError("too many")))
    assert found.about == "forward"
    assert found.title.startswith("raises on legal input: ValueError: too many")
    assert (found.kind, found.entries, found.wrong, found.tried) == ("exception", (), 7, 10)
    assert found.cure == "This batch is legal. Make the code accept it."
    assert found.known == ()

    def two(X, F):
        if len(X) > 2:
            raise ValueError("rows")
        if X.shape[1] > 4:
            raise IndexError("columns")
        return X * F

    first, second = explained(two)
    assert first.title.startswith("raises on legal input: IndexError: columns")
    assert (first.cause, first.cure, first.wrong) == ("an index is too large", "count from 0", 2)
    assert second.title.startswith("raises on legal input: ValueError: rows")
    assert second.known == ()

    def rows(X, F):
        if len(X) > 2:
            raise ValueError("rows")
        return X * F

    # It is shown where the same is raised, and not another exception.
    shown = the_only(lambda X, F: int("x") if X.size > 1 else 1 // 0, cases=CASES[5:7])
    assert shown.title.startswith("raises on legal input: ValueError")
    assert np.shape(shown.arrays["X"]) == (1, 2)
    assert the_only(rows).known == ("the code raises where there are 3 rows or more, and is right elsewhere",)


def test_exceptions_with_one_cure_are_one_and_come_last():
    def three(X, F):
        if len(X) > 2:
            raise KeyError("rows")
        if X.shape[1] > 4:
            raise IndexError("columns")
        return np.maximum(X * F, 0)

    values, error = explained(three)
    assert values.title == "is wrong: a ReLU is applied to it"
    assert error.title.startswith("raises on legal input: IndexError")
    assert error.wrong == 6


def test_code_that_always_raises_says_what_an_audit_expects():
    found = the_only(raising(ValueError("never"), 0))
    assert found.cure == (
        "Every call fails. Check the signature, the adapter and the options: an audit expects forward(X, F) to "
        "return the array Y(X)."
    )
    assert found.known[0].startswith("the traceback of the call\nTraceback")
    assert found.known[0].endswith("ValueError: never")
    # Of one case nothing is told.
    assert "Every call" not in the_only(raising(ValueError("never"), 0), cases=CASES[:1]).cure
    returned = the_only(lambda X, F: (X, F))
    assert returned.title == "returned 2 results, not 1: (Y)"
    by_result = Product()
    object.__setattr__(by_result, "by_function", False)
    missing = the_only(lambda X, F: (X, F), by_result)
    assert (missing.about, missing.title) == ("Y(X)", "is missing: forward returned 2 results, not 1: (Y)")


def with_raised(*texts):
    """A run whose calls end in this way at the first cases, and are right at the others."""
    run = run_of(lambda X, F: X * F)
    for at, text in enumerate(texts):
        run.tried[at] = dataclasses.replace(run.tried[at], result=Result(None, raised=text))
    run.results = lambda probe, *more, **others: (
        {"Y": next(each.result for each in run.tried if each.probe.case == probe.case)} if probe.case in CASES else {}
    )
    return run


def test_processes_that_end_or_do_not_are_told_by_that():
    late = explain.explained(with_raised(f"{LATE} 9 seconds"))[0]
    assert late.title == f"is missing: {LATE} 9 seconds"
    assert late.cause == "A loop does not end, or the code waits for something."
    assert "--timeout" in late.cure
    ended = explain.explained(with_raised(f"{ENDED} by 11"))[0]
    assert ended.title == f"is missing: {ENDED} by 11"
    assert ended.cause == ""
    assert explain._root(with_raised(f"{LATE}: x").tried[0]) == LATE
    assert explain._root(with_raised("ValueError: x").tried[0]) == "ValueError"
    assert explain._root(with_raised("KeyError: x").tried[0]) == "count from 0"


def test_calls_that_were_not_made_are_counted_beside_the_one_that_was():
    found = explain.explained(with_raised(f"{LATE} 9 seconds", f"{LATE}; it {UNTRIED}", f"{LATE}; it {UNTRIED}"))[0]
    assert found.title == f"is missing: {LATE} 9 seconds"
    assert (found.wrong, found.tried) == (1, 8)
    assert found.known[-1] == "the code was not called at 2 other batches, where it may be right"
    one = explain.explained(with_raised(f"{LATE} 9 seconds", f"{LATE}; it {UNTRIED}"))[0]
    assert (one.title, one.wrong, one.tried) == (f"is missing: {LATE} 9 seconds", 1, 9)
    none = explain.explained(with_raised(f"{LATE}; it {UNTRIED}"))[0]
    assert (none.wrong, none.tried) == (1, 10)


@dataclasses.dataclass(frozen=True)
class Both(Product):
    """With a backward pass that gives ∂l/∂X."""

    takes: ClassVar = {"forward": ("X", "F"), "backward": ("X", "F", "G")}
    gives: ClassVar = {"forward": ("Y",), "backward": ("dX",)}
    labels: ClassVar = {"Y": "Y(X)", "dX": "∂l/∂X"}
    factors: ClassVar = {"Y": ("X", "F"), "dX": ("G", "F")}

    def integers(self, case, most, seed):
        one, other = (super(Both, self).integers(case, most, each) for each in (seed, seed + 99))
        return one.replaced(G=other.arrays["X"])

    def right(self, probe):
        return {"Y": Right(probe.wide["X"] * probe.wide["F"]), "dX": Right(probe.wide["F"] * probe.wide["G"])}


def both(forward, backward, cases=CASES):
    layer = Both()
    run = Run(
        Subject({"forward": forward, "backward": backward}, layer.takes, layer.gives, layer.labels), layer, cases, 0
    )
    run.tried = [each for case in cases for each in run.compared(layer.draw(case, 0))]
    return run


def test_calls_that_were_not_made_are_no_exceptions_where_a_shape_of_the_same_function_says_why():
    run = both(lambda X, F: (X * F)[:1], lambda X, F, G: F * G)
    responses, gradients = run.of("Y"), run.of("dX")
    outsized = [dataclasses.replace(gradients[0], result=Result(None, raised=f"{OUTSIZED}; it {UNTRIED}"))]
    assert len(list(explain._exceptions(explain.Tried(run, outsized)))) == 1
    outsized = [dataclasses.replace(responses[0], result=outsized[0].result)]
    assert list(explain._exceptions(explain.Tried(run, outsized))) == []
    wrong = both(lambda X, F: 3 * X * F, lambda X, F, G: F * G)
    assert len(list(explain._exceptions(explain.Tried(wrong, outsized)))) == 1
    run.tried = gradients + outsized
    assert len(list(explain._exceptions(explain.Tried(run, outsized)))) == 1
    run.tried = run.of("dX") + [dataclasses.replace(each, result=Result(None, shape=(9,))) for each in gradients[:1]]
    assert len(list(explain._exceptions(explain.Tried(run, outsized)))) == 1


# formulas -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Read(Plain):
    """A layer whose code is read as 3·X·F, and gives that at some cases."""

    observed: tuple = ()
    kind: str = "values"

    def explain(self, run, comparisons):
        return Explanation(
            "a factor is 3", "Y = 3·X·F", "Y = X·F", "why", "how", "factor", self.observed, lambda *_, **__: 3, 7, 9
        )

    def agrees(self, explanation, each):
        return each.result.value is not None and np.array_equal(each.got, 3 * each.right.value)


def test_a_formula_is_shown_on_the_smallest_case_that_it_explains():
    found = the_only(lambda X, F: 3 * X * F if X.shape[1] > 1 else np.abs(X * F) + 1, Read(observed=("seen",)))
    assert found.title == "is wrong: a factor is 3"
    assert (found.formula, found.right, found.cause, found.cure, found.anchor) == (
        "Y = 3·X·F", "Y = X·F", "why", "how", "factor"
    )  # fmt: skip
    assert (found.predicts, found.of, found.predictor()) == (7, 9, 3)
    assert np.shape(found.arrays["X"]) == (1, 2)
    assert found.known == (
        "seen", "at 2 other batches the values are wrong in a way that this formula does not explain"
    )  # fmt: skip
    # Where it explains none, the smallest is shown.
    none = the_only(lambda X, F: np.abs(X * F) + 1, Read())
    assert np.size(none.arrays["X"]) == 1
    shape = the_only(lambda X, F: np.abs(X * F).T + 1, Read(), cases=[Sizes(1, 2), Sizes(2, 1)])
    assert shape.title == "has shape (2, 1), not (1, 2): a factor is 3"
    assert shape.entries == ()
    one = the_only(lambda X, F: 3 * X * F if X.shape[1] > 1 or len(X) > 1 else X * 0 + 1, Read())
    assert one.known == ("at 1 other batch the values are wrong in a way that this formula does not explain",)


@dataclasses.dataclass(frozen=True)
class Agreeing(Read):
    """All results are what the formula gives."""

    def agrees(self, explanation, each):
        return True


def test_a_formula_is_shown_where_it_is_wrong_and_by_what_is_wrong_there():
    # At the smallest case the code is right; of larger ones, none smaller is tried than it takes.
    found = the_only(lambda X, F: X * F * (3 if X.size > 1 else 1), Agreeing(), cases=CASES[5:7])
    assert np.shape(found.arrays["X"]) == (1, 2)

    def turned(X, F):
        return (np.abs(X * F) + 1).T

    shape, values = (the_only(turned, Agreeing(), cases=CASES[first:3]) for first in (1, 0))
    assert (shape.kind, shape.title) == ("shape", "has shape (2, 1), not (1, 2): a factor is 3")
    assert (values.kind, values.title) == ("values", "is wrong: a factor is 3")


def test_a_returned_argument_keeps_its_formula():
    found = the_only(lambda X, F: X, Read())
    assert (found.title, found.formula) == ("is wrong: the code returns X unchanged", "Y = 3·X·F")
    assert found.cure == "Return what is computed: check which variable is returned."
    assert the_only(lambda X, F: X).anchor == "other-sum"


@dataclasses.dataclass(frozen=True)
class Named(Plain):
    """Entries have symbols at all places before this one."""

    before: int = 99

    def symbols(self, subject, probe, name, at, got):
        return (f"x{at}f{at}", "0") if at < self.before else None


def test_entries_are_written_in_symbols_where_all_that_are_shown_have_them():
    for before, first in ((99, "x0f0   got 0"), (1, None)):
        run = run_of(lambda X, F: X * F * F, Named(before=before), cases=[Sizes(2, 3)])
        entries = explain._entries(run, run.tried[0])
        assert entries[0].startswith(f"y11: expected {first or ''}")
        assert all(entry.endswith("got 0") == bool(first) for entry in entries[:4])
    # What is said of digits is shown in digits, and what is no number, too.
    assert the_only(lambda X, F: -np.abs(X * F) - 1, Named(), cases=CASES[:2]).entries == (
        "y11: expected x0f0   got 0",
    )
    assert "x0f0" not in the_only(rounded_to(50), Named()).entries[0]
    lost = the_only(lambda X, F: np.where(np.arange(X.shape[1]) < X.shape[1] // 2 * 2, X * F, np.nan), Named())
    assert lost.entries[0].endswith("got nan")
    each = run_of(lambda X, F: X * F + 1, Named()).tried[-1]
    entries = explain._entries(run_of(lambda X, F: X, Named()), each)
    assert len(entries) == 5
    assert entries[-1] == "… 24 of 24 entries are wrong"


# facts ----------------------------------------------------------------------------------------------------------------


def known(function, layer=None, cases=(CASES[0], CASES[-1])):
    run = run_of(function, layer, cases=cases)
    return list(facts.facts(run, [each for each in run.tried if not each.fine]))


def test_what_is_known_of_wrong_values():
    largest = "at the largest batch, "
    linear = "the result is not linear in {0}: {1}{0} does not give {1}Y(X)"
    every = f"{largest}24 of 24 entries are wrong"
    assert known(lambda X, F: X * F + 1) == [
        linear.format(*each) for each in ("X−", ("X", "2·"), "F−", ("F", "2·"))
    ] + [every]
    # Twice as much is more than integers hold.
    assert known(lambda X, F: X * F + 1, Product("int64")) == [linear.format(*each) for each in ("X−", "F−")] + [every]
    for dtype in ("float64", "int64"):
        assert known(lambda X, F: X * np.abs(F), Product(dtype), CASES[:2])[0] == linear.format(*"F−")
    assert known(lambda X, F: 2 * X * F) == [every]
    assert known(lambda X, F: X * F + 1, Plain()) == [every]
    # A cube is odd, but not linear.
    assert known(lambda X, F: X**3 * F) == [linear.format("X", "2·"), every]
    assert known(lambda X, F: X**3 * F, Product("int64")) == [every]
    turned = known(lambda X, F: (X * F)[:, ::-1], Plain())
    assert turned[0].startswith("the result holds the right numbers in the wrong places: it is a permutation")
    assert known(lambda X, F: X * 0 + 3, Plain())[-1] == "all wrong entries are 3"
    assert known(lambda X, F: np.where(X * F > 0, 9e6, -9e6), Plain())[-1] == every
    # Whether it is linear is told at the smallest.
    smallest = known(lambda X, F: X * F + 1 if X.size == 1 else 2 * X * F, cases=CASES[:2])
    assert smallest[0] == linear.format(*"X−")
    # That a bias is added is no reason not to be.
    assert known(lambda X, F, b: 2 * X * F + b, Biased()) == [every]


@pytest.mark.parametrize("least", [1, 3])
def test_what_is_not_called_again_tells_nothing_of_linearity(least):
    calls = itertools.count()

    def a_few_times(X, F):
        if next(calls) >= least:
            raise ValueError("no more")
        return X * F + 1

    run = run_of(a_few_times, cases=[])
    (each,) = run.compared(run.layer.draw(CASES[3], 0))
    assert list(facts._linear(run, each)) == []


def test_which_numbers_are_wrong_is_said_where_they_are_special():
    run = run_of(lambda X, F: X * F + 1, Plain(), cases=CASES[3:4])
    first = run.tried[0]
    special = [dataclasses.replace(first, probe=dataclasses.replace(first.probe, what=what)) for what in ("b", "a")]
    assert list(facts.facts(run, special))[-1] == "the result is wrong only for a and b"
    assert "only for" not in list(facts.facts(run, [*special, first]))[-1]


def compared(wrong, shape=(4, 6), right=None, value=7.0, layer=None):
    """A result of ones that is wrong at these places."""
    right = np.ones(shape) if right is None else right
    got = right.copy()
    got[wrong] = value
    case = Sizes(*shape) if len(shape) == 2 else Sizes(1, int(np.prod(shape)))
    probe = Probe(case, {"X": right, "F": np.ones(shape)})
    return Comparison(layer or Product(), probe, "Y", Result(got), Right(right))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.s_[-1], ["only the last row (3) is wrong", "6 of 24 entries are wrong"]),
        (np.s_[0], ["only the first row (0) is wrong", "6 of 24 entries are wrong"]),
        (np.s_[1], ["only row 1 is wrong", "6 of 24 entries are wrong"]),
        (np.s_[:, 2:], ["only columns 2 to 5, of 0 to 5, are wrong", "16 of 24 entries are wrong"]),
        (
            np.s_[1:, 5],
            [
                "only rows 1 to 3, of 0 to 3, are wrong",
                "only the last column (5) is wrong",
                "3 of 24 entries are wrong",
            ],
        ),
        (np.s_[:], ["24 of 24 entries are wrong"]),
    ],
)
def test_between_which_indices_entries_are_wrong(wrong, said):
    assert list(facts._indices(compared(wrong))) == [f"at the largest batch, {each}" for each in said]


# at which cases -------------------------------------------------------------------------------------------------------


def told(is_wrong, cases=CASES, layer=None):
    run = run_of(lambda X, F: X * F * (2 if is_wrong(*X.shape) else 1), layer, cases=cases)
    return list(facts.where([each for each in run.tried if not each.fine], run.tried))


@pytest.mark.parametrize(
    ("is_wrong", "where"),
    [
        (lambda r, c: r >= 2, "there are several rows"),
        (lambda r, c: r >= 3, "there are 3 rows or more"),
        (lambda r, c: r <= 1, "the number of rows (r) is 1"),
        (lambda r, c: c <= 2, "there are at most 2 columns"),
        (lambda r, c: c % 2 == 0, "the number of columns (c) is even"),
        (lambda r, c: r != c, "r ≠ c"),
        (lambda r, c: r == c, "r = c"),
        (lambda r, c: r > c, None),
        (lambda r, c: r < c, "r < c"),
        (lambda r, c: r >= c, "r ≥ c"),
        (lambda r, c: c % 3 == 0, None),
        (lambda r, c: True, None),
        (lambda r, c: False, None),
    ],
)
def test_where_results_are_wrong_is_told_by_their_sizes(is_wrong, where):
    assert told(is_wrong) == ([f"the result is wrong where {where}, and is right elsewhere"] if where else [])


def test_a_few_cases_tell_no_condition():
    """Three of either kind are needed."""
    many = [Sizes(1, 1), Sizes(1, 2), Sizes(1, 3), Sizes(2, 1), Sizes(2, 2), Sizes(2, 3)]
    assert told(lambda r, c: r > 1, many) == [
        "the result is wrong where there are several rows, and is right elsewhere"
    ]
    assert told(lambda r, c: r > 1, many[1:]) == []
    assert told(lambda r, c: r > 1, many[:-1]) == []


def test_cases_that_are_neither_right_nor_wrong_tell_none_either():
    run = run_of(lambda X, F: X * F * (2 if len(X) > 1 else 1))
    wrong = [each for each in run.tried if not each.fine]
    assert len(list(facts.where(wrong, run.tried))) == 1
    assert list(facts.where(wrong[:-1], run.tried)) == []
    raised = [dataclasses.replace(each, result=Result(None, raised="E")) for each in wrong]
    right = [each for each in run.tried if each.fine]
    assert next(facts.where(raised, [*raised, *right])).startswith("the code raises where there are several rows")
    mixed = [*raised[:1], *wrong[1:]]
    assert next(facts.where(mixed, [*mixed, *right])).startswith("the result is wrong where")


def test_numbers_of_what_there_may_be_none_of():
    assert next(iter(facts._conditions([{"zeros": ("p", 1)}, {"zeros": ("p", 2)}])))[0] == "there are zeros"
    bad = [{"padding": ("p", 0)}, {"padding": ("p", 0)}]
    assert next(iter(facts._conditions(bad)))[0] == "there are 0 padding or more"
    assert [words for words, *_ in facts._conditions(bad)][1] == "there are no padding"


# remainders -----------------------------------------------------------------------------------------------------------


def remainders(step, shapes, axis=-1, value=7.0, right=None, extra=()):
    """Results of which the remainder of a loop along an axis is wrong."""
    tried = []
    for shape in shapes:
        count = shape[axis] // step * step
        place = [slice(None)] * len(shape)
        place[axis] = slice(count, None)
        each = compared(tuple(place), shape, None if right is None else right(shape), value)
        tried.append(each)
    tried += extra
    return facts.remainder([each for each in tried if not each.fine], tried)


@pytest.mark.parametrize("step", [256, 128, 64, 32, 16, 8, 6, 4, 3, 2])
def test_the_remainder_of_a_loop_is_told_by_its_step(step):
    found = remainders(step, [(1, step + 1), (2, 2 * step + 1), (2, 2 * step), (3, 3 * step + step - 1)])
    assert (str(found), found.step, found.axes, found.held) == (f"the last c mod {step} columns", step, (1, 2), "7")


def test_the_axis_of_a_remainder():
    rows = remainders(4, [(5, 2), (6, 3), (8, 3), (11, 2)], axis=0)
    assert (str(rows), rows.axes) == ("the last r mod 4 rows", (0, 1))
    entries = [compared(np.s_[-1, -1:], shape) for shape in ((3, 3), (1, 5), (3, 7), (2, 4))]
    found = facts.remainder(entries[:3], entries[:3])
    assert (str(found), found.axes) == ("the last r·c mod 4 entries", (0, 2))
    assert facts.remainder(entries, entries) is None


class Images(Product):
    def axes(self, name, ndim):
        return (("images", "N"), ("filters", "n"), ("rows", "h"), ("columns", "w"))[:ndim]


def test_positions_of_images_are_taken_as_one():
    tried = []
    for shape in ((2, 1, 3, 3), (1, 2, 3, 7), (2, 2, 1, 5), (1, 1, 2, 4)):
        wrong = np.zeros(shape, bool).reshape(*shape[:2], -1)
        wrong[..., wrong.shape[-1] // 4 * 4 :] = True
        tried.append(compared(wrong.reshape(shape), shape, layer=Images()))
    found = facts.remainder([each for each in tried if not each.fine], tried)
    assert (str(found), found.axes) == ("the last h·w mod 4 positions", (2, 4))


@pytest.mark.parametrize(
    ("value", "right", "held"),
    [
        (0.0, None, "0"),
        (np.nan, None, "memory that was never written"),
        (1.0, lambda shape: np.arange(1.0, 1 + np.prod(shape)).reshape(shape), "1"),
    ],
)
def test_what_a_remainder_holds(value, right, held):
    assert remainders(4, [(1, 5), (1, 6), (1, 11)], value=value, right=right).held == held


def test_what_else_a_remainder_holds():
    right = np.arange(1.0, 8)
    copies = [compared(np.s_[:, 4:], (1, size), right[None, :size], np.arange(1.0, size - 3)) for size in (5, 6, 7)]
    assert facts.remainder(copies, copies).held == "right numbers from other places"
    other = [compared(np.s_[:, 4:], (1, size), right[None, :size], np.arange(size - 4) + 0.5) for size in (5, 6, 7)]
    assert facts.remainder(other, other).held == "other numbers"


def test_what_is_no_remainder():
    shapes = [(1, 5), (1, 6), (1, 11)]
    assert remainders(4, shapes) is not None
    assert remainders(4, shapes[:2]) is not None
    # One size alone, or only such as are smaller than a step, is wrong for another reason.
    assert remainders(4, [(1, 5), (2, 5)]) is None
    assert remainders(8, [(1, 5), (1, 6), (1, 7)]) is None
    # A right one of the same sizes is no remainder; one that is smaller than a step may be right.
    assert remainders(4, shapes, extra=[compared(np.s_[:0], (1, 7))]) is None
    assert remainders(4, shapes, extra=[compared(np.s_[:0], (1, 3)), compared(np.s_[:0], (1, 8))]) is not None
    # What is wrong before, or not at once, is none.
    before = [compared(np.s_[:, 3:], (1, 5)), compared(np.s_[:, 4:], (1, 6)), compared(np.s_[:, 8:], (1, 11))]
    assert facts.remainder(before, before) is None
    shape = dataclasses.replace(before[0], result=Result(np.ones((1, 4))))
    assert facts.remainder([*before[1:], shape], before) is None


def test_a_remainder_is_a_finding_with_what_it_holds():
    def function(X, F):
        Y = X * F
        Y[:, Y.shape[1] // 2 * 2 :] = 0
        return Y

    found = the_only(function, cases=[*CASES, Sizes(1, 7), Sizes(2, 3)])
    assert found.title == "is wrong: the last c mod 2 columns are not computed; they hold 0"
    assert found.cause == "A loop that takes 2 columns at a time leaves out the remainder."
    assert (found.kind, found.anchor) == ("values", "remainder")
    # It is shown where it is wrong, and not where there is no whole step.
    shown = the_only(lambda X, F: function(X, F) if X.shape[1] > 2 else X * F, cases=[*CASES, Sizes(1, 7), Sizes(2, 3)])
    assert np.shape(shown.arrays["X"]) == (1, 5)


# what follows ---------------------------------------------------------------------------------------------------------


def test_a_gradient_of_wrong_responses_is_no_finding_of_its_own():
    (found,) = explain.explained(both(lambda X, F: X * F * F, lambda X, F, G: F * F * G, CASES[:4]))
    assert (found.about, found.follows) == ("Y(X)", ("∂l/∂X",))
    (alone,) = explain.explained(both(lambda X, F: X * F * F, lambda X, F, G: F * G, CASES[:4]))
    assert (alone.about, alone.follows) == ("Y(X)", ())
    first, second = explain.explained(both(lambda X, F: X * F * F, lambda X, F, G: 3 * F * G, CASES[:4]))
    assert [(each.about, each.follows) for each in (first, second)] == [("Y(X)", ()), ("∂l/∂X", ())]
    (backward,) = explain.explained(both(lambda X, F: X * F, lambda X, F, G: 3 * F * G, CASES[:4]))
    assert backward.about == "∂l/∂X"


def test_one_of_several_results_of_a_function_is_compared():
    layer = Convolution("float64", options(1, 0, 1, 1, 2, bias=False, dtype="float64"))
    functions = {"forward": None, "backward": lambda X, F, G: (X, F)}
    run = Run(Subject(functions, layer.takes, layer.gives, layer.labels), layer, [], 0)
    probe = layer.draw(layer.smallest()[0], 0)
    for name in ("dX", "dF"):
        assert explain._compared(run, probe, name).name == name
    functions["backward"] = raising(ValueError("never"), 0)
    run = Run(Subject(functions, layer.takes, layer.gives, layer.labels), layer, [], 0)
    run.tried = [each for case in layer.smallest()[:2] for each in run.compared(layer.draw(case, 0))]
    (found,) = explain.explained(run)
    assert (found.about, found.follows) == ("backward", ("∂l/∂X", "∂l/∂F"))
    assert found.cure.endswith("expects backward(X, F, G) to return the arrays (∂l/∂X, ∂l/∂F).")


def refusing(X, F, G=None):
    if len(X) > 2:
        raise ValueError("rows")
    return X * F if G is None else F * G


def test_an_exception_of_both_passes_is_one_and_comes_behind_wrong_values():
    few = CASES[3:6]
    (found,) = explain.explained(both(refusing, refusing, few))
    assert (found.about, found.kind, found.follows) == ("forward", "exception", ("Y(X)", "backward", "∂l/∂X"))
    assert found.known[-1] == "the backward pass raises the same exception"
    first, second = explain.explained(both(refusing, lambda X, F, G: 3 * F * G, few))
    assert [(each.about, each.kind) for each in (first, second)] == [("∂l/∂X", "values"), ("forward", "exception")]
    # All others stand in the order of the results.
    found = explain.explained(both(lambda X, F: (X * F).astype(np.float32), lambda X, F, G: 3 * F * G, few))
    assert [(each.about, each.kind) for each in found] == [("Y(X)", "dtype"), ("∂l/∂X", "values")]


def test_what_both_passes_refuse_at_different_layers_are_two_findings():
    def large(X, shape, right):
        if np.abs(X).max() > 20 and X.shape == shape:
            raise ValueError(f"large {shape}")
        return right

    found = explain.explained(
        both(lambda X, F: large(X, (2, 2), X * F), lambda X, F, G: large(X, (3, 3), F * G), CASES[3:8:4])
    )
    assert [(each.about, each.kind) for each in found] == [("forward", "exception"), ("backward", "exception")]


def test_another_layout_is_looked_for_where_responses_have_another_shape(monkeypatch):
    asked, moved = [], Finding("Y(X)", "is right in another layout", "shape")
    monkeypatch.setattr(explain.relayout, "relaid", lambda run, found: asked.append(found) or moved)

    def transposed(X, F):
        return (X * F).T

    assert explain.explained(both(transposed, lambda X, F, G: 3 * F * G, cases=CASES[1:4])) == [moved]
    assert [each.about for each in asked] == ["Y(X)"]
    asked.clear()
    for label in ("Y(X)", "s"):
        of_function = Product()
        object.__setattr__(of_function, "labels", {"Y": label})
        assert explain.explained(run_of(raising(ValueError("no")), of_function, cases=CASES[3:5]))[0].about == "forward"
    assert explain.explained(run_of(lambda X, F: 3 * X * F, cases=CASES[:2]))[0].about == "Y(X)"
    assert explain.explained(both(lambda X, F: X * F, lambda X, F, G: (F * G).T, CASES[:4]))[0].about == "∂l/∂X"
    assert asked == []
    of_results = Product()
    object.__setattr__(of_results, "by_function", False)
    assert explain.explained(run_of(raising(ValueError("no")), of_results, cases=CASES[3:5])) == [moved]


def test_results_that_are_wrong_now_and_then_are_said_elsewhere():
    run = run_of(lambda X, F: np.abs(X * F))
    assert len(explain.explained(run)) == 1
    run.unsteady.add("Y")
    assert explain.explained(run) == []
