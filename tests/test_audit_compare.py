"""What decides whether a result is wrong: the kind of a difference, and calls that are made again."""

import dataclasses
import types
from typing import ClassVar

import numpy as np
import pytest

from jacobians.audit import compare
from jacobians.audit.compare import Comparison, Run
from jacobians.audit.layer import Explanation, Layer, Probe, Right
from jacobians.audit.subject import ENDED, LARGE, LATE, UNTRIED, Result, Subject


@dataclasses.dataclass(frozen=True)
class Doubling(Layer):
    """Y = 2·X, for whose results fast algorithms may be off by `within`."""

    dtype: str = "float64"
    within: float = 0.0
    wide: bool = False

    takes: ClassVar = {"forward": ("X",)}
    gives: ClassVar = {"forward": ("Y",)}
    labels: ClassVar = {"Y": "Y(X)"}
    factors: ClassVar = {"Y": ("X",)}

    @property
    def widens(self):
        return self.wide

    def slack(self, probe, name):
        return self.within

    def right(self, probe):
        return {"Y": Right(2 * probe.wide["X"])}

    def names(self, name, case):
        return [f"y{at + 1}" for at in range(case.numbers)]


def probe_of(X, dtype="float64", what=""):
    X = np.array(X, dtype)
    return Probe(types.SimpleNamespace(numbers=X.size), {"X": X}, what)


def compared(value, right=(2.0, 4.0, 6.0), *, dtype="float64", error=0.0, layer=None, **result):
    probe = probe_of((1, 2, 3), dtype)
    wide = np.int64 if probe.dtype.kind == "i" else np.float64
    given = Result(None if value is None else np.asarray(value), **result)
    return Comparison(layer or Doubling(), probe, "Y", given, Right(np.array(right, wide), error))


def run_of(function, layer=None):
    layer = layer or Doubling()
    return Run(Subject({"forward": function}, layer.takes, layer.gives, layer.labels), layer, [], 0)


# one result -----------------------------------------------------------------------------------------------------------

WIDE = Doubling(wide=True)


@pytest.mark.parametrize(
    ("kind", "each"),
    [
        ("nothing", compared([2.0, 4, 6])),
        ("exception", compared(None, raised="ValueError: no")),
        ("shape", compared(None, shape=(9, 9))),
        ("shape", compared([2.0, 4])),
        ("shape", compared([[2.0, 4, 6]])),
        ("shape", compared([2.0, 4, 6, 8])),
        ("dtype", compared(np.float32([2, 4, 6]))),
        ("dtype", compared([2, 4, 6])),
        ("dtype", compared([2.0, 4, 6], dtype="float32")),
        ("dtype", compared([2.0, 4, 6], dtype="float32", layer=WIDE)),
        ("nothing", compared(np.float64(12), 12.0, dtype="float32", layer=WIDE)),
        ("nothing", compared(np.array(12, ">f4"), 12.0, dtype="float32", layer=WIDE)),
        ("dtype", compared(np.float64(12), 12.0, dtype="float32")),
        ("dtype", compared(np.float16(12), 12.0, dtype="float32", layer=WIDE)),
        ("dtype", compared(np.int64(12), 12.0, dtype="float32", layer=WIDE)),
        ("nothing", compared(np.int64([2, 4, 6]), dtype="int32", layer=WIDE)),
        ("dtype", compared(np.int64([2, 4, 6]), dtype="int32")),
        ("dtype", compared(np.int32([2, 4, 6]), dtype="int64", layer=WIDE)),
        ("dtype", compared([2.0, 4, 6], dtype="int32", layer=WIDE)),
        ("values", compared([2, 4, 7], dtype="int64")),
        ("not written", compared([2.0, np.nan, 6])),
        ("not written", compared([2.0, 4, np.inf], layer=Doubling(within=np.inf))),
        ("nothing", compared([2.0, np.inf], (2.0, np.inf))),
        ("values", compared([2.0, 4, 6.25])),
        ("nothing", compared([2.0, 4, 6.25], error=0.25)),
        ("nothing", compared([2.0, 4, 5.75], error=np.array([0, 0, 0.25]))),
        ("values", compared([2.0, 4.25, 6], error=np.array([0, 0, 0.25]))),
        ("inexact", compared([2.0, 4, 6.25], layer=Doubling(within=0.25))),
        ("inexact", compared([1.75, 4, 6], layer=Doubling(within=0.25))),
        ("values", compared([2.0, 4, 6.5], layer=Doubling(within=0.25))),
    ],
)
def test_the_kind_of_a_difference(kind, each):
    assert each.kind == kind
    assert each.fine == (kind in {"nothing", "inexact"})
    assert compare._is_off(each) == (kind != "nothing")


def test_which_entries_are_wrong():
    each = compared([2.25, np.nan, 6.5], error=0.25)
    np.testing.assert_array_equal(each.wrong, [False, True, True])
    for other in ([2.0, 4], [2.0, 4, 6, 8]):
        np.testing.assert_array_equal(compared(other).wrong, [True, True, True])
    assert compared([2.0, 4]).shape == (2,)
    assert compared(None, shape=(9, 9)).shape == (9, 9)
    assert compared(None, raised=f"it {UNTRIED}").untried
    assert not compared([2.0, 4]).untried


def test_nans_that_warn_in_each_operation_are_made_quiet():
    loud = np.array([0x7FF0000000000001, 0x4000000000000000], np.uint64).view(np.float64)
    each = compared(loud, (1.0, 2.0))
    with np.errstate(all="raise"):
        assert each.kind == "not written"
        np.testing.assert_array_equal(each.got - 1, [np.nan, 1])


def test_what_is_right_is_right_up_to_its_bound_in_its_shape():
    right = Right(np.array([1.0, np.inf]), 0.5)
    assert right.allows(np.array([1.0, np.inf]))
    assert not right.allows(np.array([1.0, 2.0]))
    assert not right.allows(np.array([1.0]))
    assert not right.allows(np.array([[1.0, np.inf]]))
    assert not Right(np.array([1.0, 1.0]), 0.5).allows(np.array([1.5, 1.6]))
    np.testing.assert_array_equal(right.bound, [0.5, 0.5])
    for shape in ((1,), (3,), (1, 2), (2, 1), ()):
        assert not Right(np.ones(2)).allows(np.ones(shape))


def test_probes_in_other_orders_and_in_words():
    probe = Probe(None, {"X": np.array([[1.0, 2.5], [3, 4]]), "F": np.arange(8.0), "I": np.arange(3)}, "what")
    assert probe.dtype == "float64"
    assert {letter: each.dtype for letter, each in probe.wide.items()} == {"X": "float64", "F": "float64", "I": "int64"}
    turned = probe.reordered()
    assert turned.arrays["X"].tolist() == [[1, 4], [3, 2.5]]
    assert turned.arrays["F"].tolist() == [0, 7, 6, 5, 4, 3, 2, 1]
    assert turned.what == "what"
    assert probe.text("X") == "X = [[1, 2.5], [3, 4]]"
    # Up to twelve numbers are shown.
    assert probe.text("XF") == "X = [[1, 2.5], [3, 4]], F = [0, 1, 2, 3, 4, 5, 6, 7]"
    assert probe.text("XFI") == "X 2×2, F 8, I 3"
    assert probe.replaced(X=np.ones(9)).text(("X", "F")) == "X 9, F 8"
    assert probe.replaced(X=np.ones(5)).text(("X", "F")) == "X 5, F 8"


def test_what_a_layer_is_where_it_says_nothing_else():
    layer = Layer("float64")
    assert [list(layer.few(range(count))) for count in (5, 12, 17)] == [
        [0, 1, 2, 3, 4], [0, 2, 4, 6, 8, 10], [0, 2, 4, 6, 8, 10, 12, 14, 16]
    ]  # fmt: skip
    probe = probe_of((1, 2), what="large numbers")
    assert (layer.slack(probe, "Y"), layer.near_miss(probe), layer.miss(probe.case)) == (0, 1, None)
    assert (layer.factors, layer.widens, layer.transforms, layer.batched) == ({}, False, False, "")
    assert Doubling().text(probe, "forward") == "X = [1, 2] (large numbers)"
    assert layer.axes("Y", 2) == (("entries of axis 0", "size 0"), ("entries of axis 1", "size 1"))
    assert layer.sizes(probe.case) == {"numbers": ("their number", 2)}
    right = compared([2.0, 4])
    assert layer.agrees(None, right)
    assert not layer.agrees(None, compared(None))
    said = Explanation("the stride is ignored")
    assert (said.formula, said.predict, said.predicts, said.of) == ("", None, 0, 0)
    assert (layer.by_function, layer.legal, layer.unit, list(layer.smaller(probe.case))) == (
        True, "legal input", "case", []
    )  # fmt: skip


# calls that are made again --------------------------------------------------------------------------------------------


class Turns:
    """Right but for the calls at these numbers, from 0."""

    def __init__(self, *wrong):
        self.wrong, self.calls = set(wrong), 0

    def __call__(self, X):
        self.calls += 1
        return 2 * X + (self.calls - 1 in self.wrong)


def test_a_right_result_is_asked_for_once():
    run = run_of(code := Turns())
    (each,) = run.compared(probe_of((1, 2)))
    assert (each.kind, code.calls, run.judged["Y"], run.slips["Y"]) == ("nothing", 1, 1, 0)


def test_a_result_that_is_right_when_called_again_is_a_slip():
    run = run_of(code := Turns(0))
    (each,) = run.compared(probe_of((1, 2)))
    assert (each.kind, code.calls, run.judged["Y"], run.slips["Y"]) == ("nothing", 2, 2, 1)
    assert run.slipped["Y"].kind == "values"
    assert not run.kept


def test_of_what_slips_six_wrong_calls_more_are_no_verdict_and_seven_are():
    run = run_of(code := Turns(0, *range(2, 9)))
    run.compared(probe_of((1, 2)))
    (each,) = run.compared(probe_of((1, 2)))
    assert (each.kind, code.calls, run.slips["Y"]) == ("nothing", 10, 2)
    code.wrong, code.calls = set(range(99)), 0
    (each,) = run.compared(probe_of((1, 2)))
    assert (each.kind, code.calls, run.slips["Y"], run.stayed["Y"]) == ("values", 8, 2, 1)


def test_after_eight_results_that_stayed_wrong_no_call_is_made_again():
    run = run_of(code := Turns(*range(99)))
    assert [run.compared(probe_of((1, 2)))[0].kind for _ in range(12)] == ["values"] * 12
    assert (code.calls, run.stayed["Y"], run.judged["Y"], dict(run.slips)) == (8 * 2 + 4, 8, 20, {})
    # One that is right at times is asked for again also then.
    run.slip(run.tried[0] if run.tried else compared([2.0, 4, 7]))
    code.wrong, code.calls = {0}, 0
    assert run.compared(probe_of((1, 2)))[0].kind == "nothing"


@pytest.mark.parametrize(
    "result",
    [
        Result(None, raised=f"{ENDED} 1"),
        Result(None, raised=f"{LATE} 9 s"),
        Result(None, raised=f"it {UNTRIED}"),
        Result(None, shape=(9,), held=LARGE + 1),
    ],
    ids=["ended", "late", "untried", "large"],
)
def test_what_took_too_much_is_not_called_again(result):
    run, calls = run_of(Turns()), []
    each = Comparison(Doubling(), probe_of((1, 2)), "Y", result, Right(np.array([2.0, 4])))
    assert run.settled(each, lambda: calls.append(1)) is each
    assert (calls, run.judged["Y"]) == ([], 1)


def test_what_is_as_large_as_is_allowed_is_called_again():
    run = run_of(Turns())
    each = Comparison(
        Doubling(), probe_of((1, 2)), "Y", Result(None, shape=(9,), held=LARGE), Right(np.array([2.0, 4]))
    )
    assert run.settled(each, lambda: Result(np.array([2.0, 4]))).kind == "nothing"


class Remembers:
    """Adds 1 wherever the first number of the call before was greater than this one's."""

    def __init__(self):
        self.before, self.calls = 0.0, 0

    def __call__(self, X):
        self.calls += 1
        wrong, self.before = self.before > X[0], X[0]
        return 2 * X + wrong


def test_what_is_wrong_whenever_it_follows_a_call_is_kept_and_no_slip():
    run = run_of(code := Remembers())
    large, small = probe_of((9, 9)), probe_of((1, 2))
    run.compared(large)
    (each,) = run.compared(small)
    assert (each.kind, dict(run.slips), run.stayed["Y"]) == ("values", {}, 1)
    # Both, the second again, and twice both again.
    assert code.calls == 1 + 2 + 2 * 2
    assert run.kept["Y"][0] is each
    assert run.kept["Y"][1] is large
    # The next one does not take its place.
    run.compared(large)
    run.compared(small)
    assert run.kept["Y"][0] is each


def test_what_followed_a_call_by_chance_twice_is_a_slip():
    run = run_of(code := Turns(1, 4))  # the call, the call again, and the first time after the other
    run.compared(probe_of((9, 9)))
    (each,) = run.compared(probe_of((1, 2)))
    assert (each.kind, run.slips["Y"], dict(run.kept)) == ("nothing", 1, {})
    assert code.calls == 7


def test_wrong_is_what_is_said_to_be():
    run = run_of(Turns())
    each = compared([2.0, 4, 7])
    assert run.settled(each, each.result.__class__, wrong=lambda _: False) is each


def test_results_are_settled_again_once_they_are_known_to_slip():
    run = run_of(Turns())
    wrong, right = compared([2.0, 4, 7]), compared([2.0, 4, 6])
    assert run.resettled(wrong) is wrong
    run.slip(wrong)
    assert run.resettled(right) is right
    assert run.resettled(wrong).kind == "nothing"
    assert run.slips["Y"] == 2
    assert run.slipped["Y"] is wrong


def test_only_the_arguments_that_a_call_has_changed_are_noted_with_the_first_probe():
    def spoil(X):
        found = 2 * X
        X[0] = 9 if X[0] < 5 else X[0]
        return found

    run, large, first, second = run_of(spoil), probe_of((7, 8)), probe_of((1, 2)), probe_of((3, 4))
    run.results(large)
    assert run.changed == {}
    run.results(first)
    run.results(second)
    assert run.changed["forward"] == (first, ("X",))
    assert run.last.args[0] is second
    assert run.last()["Y"].value.tolist() == [6, 8]


def test_the_first_probe_that_ended_or_outlasted_a_call_is_noted():
    run, first, second = run_of(Turns()), probe_of((7, 8)), probe_of((1, 2))
    said = iter(["ValueError: no", f"{LATE} 9 s", f"{ENDED} 1"])
    run.subject.gives = {"forward": ("Y", "Z")}

    def results(*_):
        result = Result(None, raised=next(said), around=("the seed",))
        return {"Y": result, "Z": result}

    run.subject.results = results
    run.results(second)
    assert run.lost == {}
    run.results(first)
    run.results(second)
    # It is said of the first result.
    assert run.lost == {"Y": (first, f"{LATE} 9 s")}
    assert list(run.around["forward"]) == ["the seed"]


@pytest.mark.parametrize(
    ("gives", "unwritten"),
    [
        (lambda fill, call: fill, True),
        (lambda fill, call: 8 - fill, True),
        (lambda fill, call: 7, False),
        (lambda fill, call: None, False),
        (lambda fill, call: call, False),
        (lambda fill, call: min(call, 2), False),
        (lambda fill, call: (0, 1, 1, 0, 1, 0, 0)[call % 7], False),
        *((lambda fill, call, period=period: call % period, False) for period in range(2, 9)),
        *((lambda fill, call, period=period: call % period == 0, False) for period in range(2, 9)),
        *((lambda fill, call, length=length: call // length % 2, False) for length in range(2, 5)),
    ],
)
def test_unwritten_is_what_changes_with_what_memory_holds_and_with_nothing_else(gives, unwritten):
    run, calls = run_of(Turns()), iter(range(99))

    def results(arrays, arrange, only, layout, fill):
        value = gives(fill, next(calls))
        return {"Y": Result(None if value is None else np.array([value]))}

    run.subject.results = results
    assert run.is_unwritten(compared([2.0, 4, 7])) == unwritten
    # No more calls than it takes to see that it is not: two of most results.
    made, first, second = next(calls), gives(3, 0), gives(5, 1)
    assert made == 8 if unwritten else made <= 8
    assert (made <= 2) == (first == second)


# all results ----------------------------------------------------------------------------------------------------------


def test_what_is_wrong_of_a_run_and_what_cannot_be_judged():
    run = run_of(Turns())
    assert (run.restricted, run.done) == (False, 0)
    right, wrong, shape = compared([2.0, 4, 6]), compared([2.0, 4, 7]), compared([2.0])
    other = dataclasses.replace(wrong, name="Z")
    near = compared([2.0, 4, 6.25], layer=Doubling(within=0.25))
    bounded = compared([2.0, 4, 7], layer=Doubling(within=0.25))
    assert [run.is_wrong(each) for each in (right, wrong, shape, near, bounded)] == [False, True, True, False, True]
    run.tried = [right, other]
    assert run.broken == {"Z"}
    assert (run.of("Y"), run.of("Z")) == ([right], [other])
    run.unsteady, run.inaccurate = {"A"}, {"B"}
    assert run.broken == {"A", "B", "Z"}
    run.inexact = {"Y"}
    assert [run.is_wrong(each) for each in (right, wrong, shape, near, bounded)] == [False, False, True, False, True]
    assert (run.label("Y"), run.label("forward")) == ("Y(X)", "forward")


def test_all_other_wrong_calls_of_one_function_are_asked_for_by_it_alone():
    asked = []
    run = run_of(Turns())
    call = run.subject.results
    run.subject.results = lambda arrays, arrange, only, *rest: asked.append((arrange, only)) or call(arrays, None, only)
    arrange = {"X": np.asfortranarray}
    run.compared(probe_of((1, 2)), arrange)
    assert asked == [(arrange, None)]
    run.again(probe_of((1, 2)), "Y")
    assert asked[1:] == [(None, "forward")]


# how they are written -------------------------------------------------------------------------------------------------


def many(got, right):
    layer, X = Doubling(), np.array(right) / 2
    return Comparison(layer, probe_of(X), "Y", Result(np.array(got, float)), Right(np.array(right, float)))


def test_the_first_wrong_entries_in_numbers():
    assert compare.numbered(many([2, 5, 6], [2, 4, 6])) == ("y2: expected 4   got 5",)
    lines = compare.numbered(many(range(1, 12), [10, *range(2, 5), *[100.5] * 7]))
    assert lines == (
        "y1: expected 10      got 1",
        "y5: expected 100.5   got 5",
        "y6: expected 100.5   got 6",
        "y7: expected 100.5   got 7",
        "… 8 of 11 entries are wrong",
    )
    assert compare.numbered(many([1, 4, 5], [2, 4, 6]), np.array([False, False, True])) == ("y3: expected 6   got 5",)
    assert compare.numbered(compared([2.0])) == ()
    assert compare.numbered(compared([2.0, 4, 6, 8])) == ()
    assert compare.numbered(compared(None)) == ()


def test_numbers_that_differ_in_their_last_digits_are_written_with_all_of_them():
    assert compare.numbered(many([0.1 + 0.2], [0.3])) == ("y1: expected 0.3   got 0.30000000000000004",)
    assert compare.aligned([], 0, 3) == ()
    assert compare.aligned([("a", "1", "2"), ("bcd", "12", "3")], 2, 3) == (
        "a:   expected 1    got 2",
        "bcd: expected 12   got 3",
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (np.int8(-3), "-3"),
        (3.0, "3"),
        (0.1234567, "0.123457"),
        (12345678.0, "12345678"),
        (np.nan, "nan"),
        (-np.inf, "-inf"),
    ],
)
def test_a_number_in_a_few_digits(value, text):
    assert compare.written(value) == text


def test_words():
    assert [compare.counted(number) for number in (0, 1, 2)] == ["0 entries", "1 entry", "2 entries"]
    assert [compare.listed("abc"[:end]) for end in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert [compare.times(factor, "X") for factor in (1, -1, 2, -0.5)] == ["X", "−X", "2·X", "−0.5·X"]
