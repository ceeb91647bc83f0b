"""How findings are made of comparisons, and the flag that leaves out the layers at which code is wrong."""

import dataclasses

import numpy as np
import pytest

from jacobians import Geometry
from jacobians.audit import findings, flags
from jacobians.audit.cases import Case, Only, options
from jacobians.audit.compare import Run
from jacobians.audit.layers.convolution import Convolution
from jacobians.audit.report import Finding
from jacobians.audit.subject import Subject
from tests.convolutions import Layer

PLAIN = Layer()
CASE = Case(Geometry((1, 1, 6), (1, 1, 1, 2)), 1)


def run_of(forward=PLAIN.forward, backward=None, *, cases=(CASE,), restricted=False, only=None):
    layer = Convolution("float64", options(1, 0, 1, 1, 2, bias=False, dtype="float64", only=only))
    subject = Subject({"forward": forward, "backward": backward}, layer.takes, layer.gives, layer.labels)
    return Run(subject, layer, cases, 0, restricted=restricted)


def compared(run, case=CASE):
    return run.compared(run.layer.draw(case, 0))


# findings -------------------------------------------------------------------------------------------------------------


def test_a_finding_shows_the_call_and_the_numbers_beside_the_right_ones():
    run = run_of(lambda X, F: 2 * PLAIN.forward(X, F))
    (each,) = compared(run)
    made = findings.finding(run, each, "is off", "values", ("why", "how", "small"), wrong=2, tried=3)
    assert (made.about, made.title, made.kind, made.unit) == ("S", "is off", "values", "layer")
    assert (made.cause, made.cure, made.anchor, made.wrong, made.tried) == ("why", "how", "small", 2, 3)
    assert made.case == str(CASE)
    assert len(made.entries) == 5
    assert made.entries[-1] == "… 5 of 5 entries are wrong"
    assert "S = forward(X, F)" in made.code
    assert made.arrays["got"] == (2 * np.array(made.arrays["right"])).tolist()
    assert (findings.finding(run, each, "", "values").cause, findings.finding(run, each, "", "values").known) == (
        "",
        (),
    )


def test_a_finding_may_have_lines_and_entries_of_its_own():
    run = run_of(lambda X, F: 2 * PLAIN.forward(X, F), PLAIN.backward)
    each, *_ = compared(run)
    bare = findings.finding(run, each, "is off", "values", lines=["print(1)"], entries=(), about="forward")
    assert bare.entries == ()
    assert bare.about == "forward"
    assert bare.code.splitlines()[-1] == "print(1)"
    assert "backward" not in bare.code
    assert "S = forward" not in bare.code
    both = findings.finding(run, each, "", "values", lines=[], sides=("forward", "backward"))
    assert "backward" in both.code
    assert "G = " in both.code
    first = findings.finding(run, each, "", "values", at=np.arange(5).reshape(1, 1, 1, 5) == 3, entries=None)
    assert len(first.entries) == 1
    assert first.entries[0].startswith("S14: expected ")


def finding_of(about="S", title="is wrong: so", **more):
    return Finding(about, title, "values", **more)


def test_a_finding_is_shown_on_the_first_of_the_small_cases_that_shows_it():
    run = run_of()
    shown = {"S": 3, "dX": 9}
    asked = []

    def check(probe):
        asked.append(probe.case)
        for about, least in shown.items():
            if probe.case.numbers >= least:
                yield finding_of(about, f"is wrong: {probe.case.numbers}", case=str(probe.case))

    probe = run.layer.draw(CASE, 0)
    found = {each.about: each.case for each in findings.first_on_small(run, check, probe)}
    small = run.layer.smallest()
    first = {about: next(case for case in small if case.numbers >= least) for about, least in shown.items()}
    assert found == {about: str(case) for about, case in first.items()}
    # No more is called than that takes.
    assert asked == [CASE, *small[: small.index(first["dX"]) + 1]]
    # Cases as large as the one that is known are no smaller.
    least = small[20].numbers
    shown["S"] = shown["dX"] = least
    asked.clear()
    found = {each.about: each.case for each in findings.first_on_small(run, check, run.layer.draw(small[20], 0))}
    assert set(found.values()) == {str(small[20])}
    assert asked == [small[20], *(case for case in small if case.numbers < least)]
    assert sum(case.numbers == least for case in small) > 1


def test_titles_that_differ_before_the_colon_are_of_two_findings():
    run, titles = run_of(), ("is wrong for a NaN in X: 1", "is wrong for a NaN in F: 1", "is wrong for a NaN in F: 2")

    def check(probe):
        large = probe.case == CASE
        yield from (finding_of(title=title, case=str(probe.case)) for title in (titles[:2] if large else titles[2:]))

    found = findings.first_on_small(run, check, run.layer.draw(CASE, 0))
    first = str(run.layer.smallest()[0])
    assert [(each.title, each.case) for each in found] == [(titles[0], str(CASE)), (titles[2], first)]


def test_no_case_is_looked_at_where_nothing_is_found_and_few_where_much_is():
    run, asked = run_of(), []

    def nothing(probe):
        asked.append(probe.case)
        yield from ()

    assert list(findings.first_on_small(run, nothing, run.layer.draw(CASE, 0))) == []
    assert asked == [CASE]
    many = Case(Geometry((1, 20, 20), (1, 1, 1, 2)), 1)

    def once(probe):
        asked.append(probe.case)
        if probe.case == many:
            yield finding_of()

    (found,) = findings.first_on_small(run, once, run.layer.draw(many, 0))
    assert found == finding_of()
    assert len(asked) - 2 == min(findings.MOST_CASES, len(run.layer.smallest())) == 40


def test_of_given_cases_the_smallest_of_these_shows_it():
    given = [Case(Geometry((1, 1, size), (1, 1, 1, 2)), 1) for size in (3, 4, 6)]
    run = run_of(cases=given, restricted=True)

    def check(probe):
        if probe.case.numbers >= given[1].numbers:
            yield finding_of(case=str(probe.case))

    (found,) = findings.first_on_small(run, check, run.layer.draw(given[2], 0))
    assert found.case == str(given[1])


# flags ----------------------------------------------------------------------------------------------------------------


def case_of(planes, taps, image=(5, 6), images=1):
    return Case(Geometry((planes, *image), (2, planes, *taps)), images)


CASES = [case_of(1, (1, 1)), case_of(1, (3, 3), (5, 5)), case_of(1, (3, 3)), case_of(2, (3, 3)), case_of(2, (2, 3))]
CASES += [case_of(2, (2, 2)), case_of(2, (1, 3)), case_of(3, (3, 3), (7, 7)), case_of(1, (2, 3))]


def proposed(is_right, *found, only=None, **more):
    """What is proposed for code that is right at some layers alone."""

    def forward(X, F):
        return PLAIN.forward(X, F) * (1 if is_right(X.shape, F.shape) else 2)

    run = run_of(forward, only=only, cases=CASES, **more)
    run.tried = [each for case in CASES for each in run.compared(run.layer.draw(case, 0))]
    return list(flags.proposed(run, found))


@pytest.mark.parametrize(
    ("is_right", "flag", "left"),
    [
        (lambda X, F: X[1] == 1, "--one-plane", 4),
        (lambda X, F: F[2] % 2 and F[3] % 2, "--odd", 6),
        (lambda X, F: F[2] == F[3] and X[2] == X[3], "--square", 2),
        (lambda X, F: F[2:] == (2, 3), "--taps 2x3", 2),
        (lambda X, F: F[2:] == (3, 3), "--taps 3x3", 4),
        # Of several flags, the one that leaves most; those with several taps alone are asked for.
        (lambda X, F: X[1] == 1 or F[2:] == (3, 3), "--one-plane", 4),
        # At other layers of odd filters than those that were tried, it is wrong.
        (lambda X, F: F[2:] in {(3, 3), (1, 1), (1, 3)}, "--taps 3x3", 4),
    ],
)
def test_the_flag_that_leaves_most_of_the_layers_that_are_right(is_right, flag, left):
    (said,) = proposed(is_right)
    assert said.startswith(f"{flag} leaves {left} layers of the 9 that were tried, and the code is right there")
    assert f"audit it with {flag} (in Python: where=)" in said


def test_no_flag_is_proposed_where_none_leaves_out_what_fails_or_more_is_known():
    def odd(X, F):
        return F[2] % 2 and F[3] % 2

    assert len(proposed(odd)) == 1
    assert proposed(lambda X, F: True) == []
    assert proposed(lambda X, F: False) == []
    # Filters of one tap are no layers to be right for.
    assert proposed(lambda X, F: F[2:] == (1, 1)) == []
    assert proposed(lambda X, F: X[1] == 3) == []
    # Where a formula was read, or conduct is wrong, that is what is to be mended.
    assert len(proposed(odd, finding_of(), dataclasses.replace(finding_of(), kind="exception"))) == 1
    assert proposed(odd, finding_of(formula="S = 0")) == []
    assert proposed(odd, finding_of(), dataclasses.replace(finding_of(), kind="state")) == []
    assert proposed(odd, restricted=True) == []
    # Right at the odd layers that were tried, and wrong at others.
    assert proposed(lambda X, F: odd(X, F) and max(X[2:]) < 8) == []


def test_a_flag_is_tried_with_what_was_asked_for():
    (said,) = proposed(lambda X, F: F[2:] == (3, 3), only=Only(odd=True))
    assert said.startswith("--taps 3x3 ")
    # Wide images of several planes are none that were asked for.
    assert len(proposed(lambda X, F: F[2:] == (3, 3) and X[1] == 1, only=Only(one_plane=True))) == 0
