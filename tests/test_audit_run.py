"""The order of an audit: what is compared how often, what is refused, and what is noted, at one or two small layers."""

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

from jacobians import CallError, Geometry, ShapeError
from jacobians.audit import run as auditing
from jacobians.audit.cases import Case, options
from jacobians.audit.compare import Run
from jacobians.audit.layer import REAL, Right
from jacobians.audit.layers.convolution import Convolution
from jacobians.audit.layers.relu import Relu
from jacobians.audit.numbers import MOST_DRAWS, TARGET
from jacobians.audit.subject import Result, Subject
from jacobians.errors import Interrupted
from tests.convolutions import Layer
from tests.rounding import rounded

PLAIN = Layer()
SMALL, LARGER = Geometry((1, 1, 3), (1, 1, 1, 2)), Geometry((2, 4, 5), (3, 2, 2, 3))

CASES = (Case(SMALL, 2),)


def layer_of(*, bias=False, dtype="float64", padding=0):
    return Convolution(dtype, options(1, padding, 1, 1, 2, bias=bias, dtype=dtype))


def audited(forward=None, backward=None, *, geometries=(SMALL,), seed=0, dtype="float64", **more):
    functions = {"forward": forward, "backward": backward}
    return auditing.audited(layer_of(dtype=dtype), functions, seed, geometries=geometries, **more)


def run_of(forward=None, backward=None, *, cases=CASES, dtype="float64"):
    layer = layer_of(dtype=dtype)
    subject = Subject({"forward": forward, "backward": backward}, layer.takes, layer.gives, layer.labels)
    return Run(subject, layer, cases, 0, restricted=True)


# how often ------------------------------------------------------------------------------------------------------------


def draws_of(run):
    """How many draws of each case, the first one aside, forward was called with."""
    seen, call = [], run.subject.results
    run.subject.results = lambda arrays, *rest: (seen.append((arrays["X"].tobytes(), rest[1])), call(arrays, *rest))[1]
    return seen


@pytest.mark.parametrize(("dtype", "draws"), [("float64", 3), ("float16", 14), ("bfloat16", 22)])
def test_as_many_draws_as_reach_the_target(dtype, draws):
    run = run_of(PLAIN.forward, dtype=dtype)
    seen = draws_of(run)
    miss = run.layer.miss(run.cases[0])
    assert miss**draws <= TARGET < miss ** (draws - 1)
    assert auditing._compare(run, None) == miss**draws
    assert len(seen) == len(set(seen)) == draws
    assert run.done == 1
    assert [each.kind for each in run.tried] == ["nothing"]


def test_a_target_that_is_reached_exactly_is_reached():
    class Known(Convolution):
        def miss(self, case):
            return Fraction(1, 2**20)

    run = run_of(PLAIN.forward)
    run.layer = Known(run.layer.dtype, run.layer.options)
    assert auditing._compare(run, None) == TARGET
    assert run.subject.calls == 3


def test_the_worst_layer_decides_what_may_be_missed():
    cases = [Case(LARGER, 2), Case(SMALL, 2)]
    run = run_of(PLAIN.forward, cases=cases, dtype="float16")
    misses = [run.layer.miss(case) for case in cases]
    worst = auditing._compare(run, None)
    assert worst == max(next(miss**count for count in range(1, 99) if miss**count <= TARGET) for miss in misses)
    assert worst <= TARGET
    assert run.done == 2


def test_draws_end_where_the_target_cannot_be_reached():
    case = Case(Geometry((1, 17, 18), (2, 1, 1, 1)), 2)
    run = run_of(PLAIN.forward, cases=[case], dtype="bfloat16")
    miss = run.layer.miss(case)
    assert miss**MOST_DRAWS > TARGET
    assert auditing._compare(run, None) == miss**MOST_DRAWS
    assert run.subject.calls == MOST_DRAWS


def later_wrong(X, F):
    return PLAIN.forward(X, F) * (1 + (X.flat[0] % 3 == 0))


@pytest.mark.usefixtures("unread")
def test_what_the_first_draw_happens_to_miss_is_found_by_the_next_ones():
    # Right on the first draw.
    seed = next(seed for seed in range(9) if layer_of().draw(Case(SMALL, 2), seed).arrays["X"].flat[0] % 3)
    run = run_of(later_wrong, PLAIN.backward)
    run.seed = seed
    auditing._compare(run, None)
    assert [(each.name, each.kind) for each in run.tried] == [
        ("S", "nothing"), ("dX", "nothing"), ("dF", "nothing"), ("S", "values")
    ]  # fmt: skip
    assert run.broken == {"S"}
    # It is not called any more then, while backward is.
    assert auditing._more_draws(run) <= TARGET
    assert not audited(later_wrong, seed=seed).ok


def test_a_function_is_called_on_until_all_of_its_results_are_wrong():
    def backward(X, F, G):
        dX, dF = PLAIN.backward(X, F, G)
        return 2 * dX, dF * (1 + (X.flat[0] % 3 == 0))

    seed = next(seed for seed in range(9) if layer_of().draw(Case(SMALL, 2), seed).arrays["X"].flat[0] % 3)
    run = run_of(None, backward)
    run.seed = seed
    auditing._compare(run, None)
    assert run.broken == {"dX", "dF"}
    assert sum(each.name == "dX" for each in run.tried) == 1
    wrong = run_of(lambda X, F: 2 * PLAIN.forward(X, F))
    auditing._compare(wrong, None)
    assert wrong.subject.calls == 2  # the second time to see whether it is right then


def test_results_of_fast_algorithms_are_drawn_by_their_own_bound():
    def inexact(X, F):
        return PLAIN.forward(X, F) * (1 + 2.0**-50)

    run = run_of(inexact)
    worst = auditing._compare(run, None)
    assert run.inexact == {"S"}
    probe = run.layer.draw(run.cases[0], 0)
    near = run.layer.near_miss(probe)
    assert near > run.layer.miss(run.cases[0])
    assert worst <= TARGET
    assert run.broken == set()
    report = audited(inexact)
    assert report.ok
    assert report.notes[0].startswith("S is inexact on integers but within the rounding bound: ")
    assert report.log2_miss <= -60

    # Also where that is seen on a later draw alone.
    def later(X, F):
        return PLAIN.forward(X, F) * (1 + 2.0**-50 * (X.flat[0] % 3 == 0))

    seed = next(seed for seed in range(9) if layer_of().draw(Case(SMALL, 2), seed).arrays["X"].flat[0] % 3)
    run = run_of(later)
    run.seed = seed
    auditing._compare(run, None)
    assert run.inexact == {"S"}
    assert run.tried[0].kind == "nothing"


def test_what_is_inexact_at_some_layers_and_wrong_at_others_is_wrong():
    def forward(X, F):
        return PLAIN.forward(X, F) * (1 + 2.0**-50 if X.shape[1] == 1 else 2)

    run = run_of(forward, cases=[Case(SMALL, 2), Case(LARGER, 2)])
    auditing._compare(run, None)
    assert run.inexact == set()
    assert run.broken == {"S"}


def test_layers_without_forms_are_drawn_once():
    layer = Relu("float64")
    subject = Subject({"backward": lambda S, G: G * (S > 0)}, layer.takes, layer.gives, layer.labels)
    run = Run(subject, layer, layer.curriculum()[:3], 0)
    assert auditing._compare(run, None) is None
    assert (subject.calls, run.done) == (3, 3)


# the report -----------------------------------------------------------------------------------------------------------


def test_the_report_of_right_code():
    calls = []
    report = audited(PLAIN.forward, PLAIN.backward, seed=7, notes=["said before"], progress=lambda *n: calls.append(n))
    assert report.ok
    assert (report.audited, report.layers, report.seed, report.unit) == (("S", "∂l/∂X", "∂l/∂F"), 1, 7, "layer")
    assert report.notes == ("said before",)
    assert report.calls == calls[-1][0] == len(calls)
    assert all(done <= expected for done, expected in calls)
    assert calls[0] == (1, 4 * 1 * 2)
    calls.clear()
    audited(PLAIN.forward, geometries=[SMALL, LARGER], progress=lambda *n: calls.append(n))
    assert calls[0] == (1, 4 * 2 * 1)
    miss = layer_of().miss(Case(SMALL, 2))
    # A difference of logarithms, each of which is off by its own last places.
    cubed = miss**3
    size = (math.log2(cubed.numerator) + math.log2(cubed.denominator)) / -np.log2(float(cubed))
    assert report.log2_miss == rounded(3 * np.log2(float(miss)), 8 + 4 * int(size))
    assert set(report.seconds) == {"S", "∂l/∂X", "∂l/∂F"}
    assert report.seconds["∂l/∂X"] == report.seconds["∂l/∂F"]


def test_the_seconds_of_a_function_are_shared_by_its_results():
    run = run_of(PLAIN.forward, PLAIN.backward)
    run.subject.seconds |= {"forward": 1.0, "backward": 3.0}
    assert auditing._report(run, [], [], None).seconds == {"S": 1.0, "∂l/∂X": 1.5, "∂l/∂F": 1.5}


@pytest.mark.usefixtures("unread")
def test_the_report_of_wrong_code():
    report = audited(lambda X, F: 2 * PLAIN.forward(X, F), PLAIN.backward)
    assert not report.ok
    assert [each.about for each in report.findings] == ["S"]
    assert report.log2_miss is None


@pytest.mark.usefixtures("unread")
def test_errors_within_their_bounds_are_noted_of_right_code_alone(monkeypatch):
    monkeypatch.setattr(auditing, "_notes", lambda run, miss, *, exact: [f"{exact}"])
    assert audited(PLAIN.forward).notes == ("True",)
    assert audited(lambda X, F: 2 * PLAIN.forward(X, F)).notes == ("False",)


def test_what_is_changed_for_the_whole_process_is_noted():
    def forward(X, F):
        np.seterr(divide="raise")
        return PLAIN.forward(X, F)

    assert audited(forward, PLAIN.backward).notes == (
        "forward changes np.seterr for the whole process; the audit has restored this",
    )


@pytest.mark.usefixtures("unread")
def test_functions_that_take_other_arguments_are_refused():
    said = r"^every call of backward fails: TypeError: .*; an audit calls backward\(X, F, G\) and expects the arrays"
    with pytest.raises(CallError, match=said):
        audited(PLAIN.forward, lambda X, G: (X, G))
    with pytest.raises(CallError, match=r"an audit calls forward\(X, F\) and expects the array S$"):
        audited(lambda X: X)

    def worded_by_size(X, F):
        raise TypeError(f"f() missing {X.shape[1]} required positional arguments")

    with pytest.raises(CallError, match=r"TypeError: f\(\) missing 1 .*; an audit calls"):
        audited(worded_by_size, geometries=[SMALL, LARGER])

    def sometimes(X, F):
        if len(F) == 1:
            raise TypeError("f() missing 1 required positional argument: 'b'")
        return PLAIN.forward(X, F)

    assert not audited(sometimes, geometries=[SMALL, LARGER]).ok


def test_what_is_found_before_and_after_the_formulas_stays_in_its_order():
    buffers = {}

    def held(A):
        buffer = buffers.setdefault(A.shape, np.zeros_like(A))
        buffer[...] = A
        return buffer

    def backward(X, F, G):
        dX, dF = PLAIN.backward(X, F, G)
        G += 1
        return held(dX), held(dF)

    report = audited(PLAIN.forward, backward, geometries=[LARGER])
    assert [(each.about, each.title) for each in report.findings] == [
        ("∂l/∂X", "is overwritten by a later call"),
        ("∂l/∂F", "is overwritten by a later call"),
        ("backward", "changes G in place"),
    ]
    # The numbers are right.
    assert report.log2_miss <= -60


# which layers ---------------------------------------------------------------------------------------------------------


def test_layers_that_are_given_are_tried_with_two_images():
    shapes = set()
    audited(lambda X, F: (shapes.add((X.shape, F.shape)), PLAIN.forward(X, F))[1], geometries=[LARGER])
    assert ((2, 2, 4, 5), (3, 2, 2, 3)) in shapes
    # Besides these, other numbers of images of the same layer, and no others.
    assert {shape[1:] for shape, _ in shapes} == {(2, 4, 5)}
    assert max(shape[0] for shape, _ in shapes) == 7


def test_sums_that_are_too_long_for_the_dtype():
    long = Geometry((1, 1, 2), (600, 1, 1, 1))
    report = audited(PLAIN.forward, geometries=[SMALL, long, long], dtype="bfloat16")
    assert report.notes == ("2 layers were left out: bfloat16 cannot hold their sums exactly",)
    assert report.layers == 1
    longer = Geometry((1, 1, 2), (700, 1, 1, 1))
    with pytest.raises(ShapeError, match=r"^X 2×1×1×2, F 600×.* so long that bfloat16 cannot hold them exactly"):
        audited(PLAIN.forward, geometries=[long, longer], dtype="bfloat16")
    with pytest.raises(ShapeError, match="geometries is empty"):
        audited(PLAIN.forward, geometries=[])


def test_layers_that_are_given_are_tried_however_much_they_take(monkeypatch):
    monkeypatch.setattr(auditing, "affordable", lambda cases, dtype: [])
    assert audited(PLAIN.forward).layers == 1
    with pytest.raises(ShapeError, match="are too large to audit in minutes"):
        audited(PLAIN.forward, geometries=None)
    monkeypatch.setattr(auditing, "affordable", lambda cases, dtype: cases[:-1])
    assert auditing._chosen(layer_of(), None)[1] == [
        "1 layer was left out: with these options, they would take minutes"
    ]


@pytest.mark.parametrize(
    ("geometry", "option"),
    [
        (Geometry((1, 4, 4), (1, 1, 2, 2), stride=2), "stride"),
        (Geometry((1, 4, 4), (1, 1, 2, 2), padding=1), "padding"),
        (Geometry((1, 4, 4), (1, 1, 2, 2), dilation=2), "dilation"),
        (Geometry((2, 4, 4), (2, 1, 2, 2), groups=2), "groups"),
        (Geometry((1, 4), (1, 1, 2)), "spatial_ndim"),
    ],
    ids=["stride", "padding", "dilation", "groups", "spatial_ndim"],
)
def test_layers_of_other_options_are_refused(geometry, option):
    with pytest.raises(ShapeError, match=rf"^geometries\[1\] has {option} .*give the audit the options of the code"):
        audited(PLAIN.forward, geometries=[SMALL, geometry])


def test_layers_by_a_rule_of_padding():
    same = layer_of(padding="same").options
    fits = Geometry((1, 4, 4), (1, 1, 3, 2), padding=((1, 1), (0, 1)))
    assert auditing._given([fits], same) == [Case(fits, 2)]
    assert auditing._given([fits], layer_of(padding="same-tf").options) == [Case(fits, 2)]
    with pytest.raises(ShapeError, match=r"has padding .* but the audit has padding same"):
        auditing._given([Geometry((1, 4, 4), (1, 1, 3, 2), padding=1)], same)


def test_a_layer_that_takes_too_much_memory_is_refused():
    huge = Geometry((64, 4096, 4096), (64, 64, 3, 3))
    with pytest.raises(Exception, match="audit smaller layers, which show the same mistakes"):
        auditing._given([huge], layer_of().options)


def test_an_executor_has_to_call_in_this_process():
    with ThreadPoolExecutor(2) as threads:
        assert audited(PLAIN.forward, executor=threads).ok
    for wrong in (7, "threads"):
        with pytest.raises(TypeError, match="executor"):
            auditing._check_executor(wrong)


# notes ----------------------------------------------------------------------------------------------------------------


def test_what_the_largest_error_is_of_its_bound():
    run = run_of(PLAIN.forward)
    probe = run.layer.draw(run.cases[0], 0)
    (each,) = run.compared(probe)
    value = each.right.value

    def off(by, error, what=""):
        given = dataclasses.replace(probe, what=what)
        return dataclasses.replace(each, probe=given, result=Result(value + by), right=Right(value, error))

    assert list(auditing._shares([off(1.0, 4.0), off(0.0, 0.0), off(3.0, 4.0, REAL), off(2.0, 4.0, "zeros")])) == [
        (0.25, "S"), (0.5, "S")
    ]  # fmt: skip
    run.tried = [off(1.0, 4.0), off(2.0, 4.0)]
    said = "S is inexact but within the rounding bound: the largest error is 0.5 of its bound"
    assert list(auditing._notes(run, None, exact=True)) == [said]
    assert list(auditing._notes(run, None, exact=False)) == []


def test_a_target_that_was_not_reached_is_noted():
    run = run_of(PLAIN.forward)
    (said,) = auditing._notes(run, TARGET * 2, exact=True)
    assert "192 draws did not reach the probability 2^-60: float64 holds too few integers" in said
    assert list(auditing._notes(run, TARGET, exact=True)) == []
    run.inexact, run.unsteady = {"S"}, {"S"}
    assert list(auditing._notes(run, Fraction(0), exact=True)) == []


# a Ctrl-C -------------------------------------------------------------------------------------------------------------


def test_what_is_wrong_so_far_is_said_when_an_audit_is_interrupted(monkeypatch):
    def interrupted(run):
        raise KeyboardInterrupt

    monkeypatch.setattr(auditing, "explained", interrupted)
    with pytest.raises(Interrupted, match=r"^Interrupted after 2 of 2 layers; ") as caught:
        audited(lambda X, F: 2 * PLAIN.forward(X, F), PLAIN.backward, geometries=[SMALL, LARGER])
    report = caught.value.report
    assert report.interrupted.startswith("Interrupted after 2 of 2 layers; ")
    assert report.notes == ("S was wrong at 2 of 2; the audit was interrupted before it looked for the reason",)
    assert (report.ok, report.log2_miss, report.findings) == (False, None, ())


def test_what_is_wrong_without_a_finding_is_a_bug_of_the_audit(monkeypatch):
    monkeypatch.setattr(auditing, "explained", lambda run: [])
    with pytest.raises(AssertionError, match="are wrong, and no finding says so; please report this as a bug"):
        audited(lambda X, F: 2 * PLAIN.forward(X, F))


def test_everything_that_is_observed_is_looked_for_in_its_order():
    names = [each.__name__ for each in auditing.CONDUCT]
    assert names == ["digits", "memory_layouts", "not_a_number", "large_batches", "in_place", "seldom"]
