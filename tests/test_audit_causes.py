"""Causes that are easily taken for others: code that is wrong now and then, and code that returns an argument."""

import itertools
import re
import subprocess
import sys

import numpy as np
import pytest

from jacobians import Geometry, audit, convolve
from jacobians.audit import audit_fully_connected, audit_relu, audit_softmax_cross_entropy
from jacobians.audit.isolation import isolated
from tests import crashing
from tests.binomial import refutes
from tests.convolutions import Im2col

PLAIN = Im2col()
SMALL = [Geometry((1, 3, 4), (1, 1, 2, 2)), Geometry((2, 4, 3), (2, 2, 1, 2))]

# wrong now and then ---------------------------------------------------------------------------------------------------


def one_more(S):
    S.flat[-1] += 1
    return S


def one_nan(S):
    S.flat[0] = np.nan
    return S


def raising(S):
    raise OSError("the device is busy")


CHANGES = {"by 1": one_more, "by half": lambda S: S / 2, "NaN": one_nan, "raises": raising}


def slipping(change, slips):
    """A forward pass whose responses are changed in the calls for which `slips` gives True."""
    return lambda X, F: change(PLAIN.forward(X, F)) if next(slips) else PLAIN.forward(X, F)


def counted(every, at):
    return (number % every == at for number in itertools.count())


def seen(findings):
    """How often the only thing that is wrong was seen, and in how many calls."""
    (finding,) = findings
    assert finding.kind == "state"
    assert "buffer" not in finding.cause
    assert "cache" not in finding.cause
    return tuple(map(int, re.fullmatch(r"is wrong now and then: in (\d+) of (\d+) calls", finding.title).groups()))


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("at", [0, 17])
def test_what_is_wrong_in_one_of_fifty_calls_is_said_to_be_at_this_rate(change, at):
    report = audit(slipping(CHANGES[change], counted(50, at)))
    slips, calls = seen(report.findings)
    assert abs(slips - calls / 50) <= 1
    assert not any("FFT" in note for note in report.notes)
    assert report.log2_miss is None


@pytest.mark.parametrize(("rate", "seed"), [(0.02, 1), (0.1, 2)])
def test_the_rate_of_random_slips_is_the_one_that_is_said(rate, seed):
    drawn = np.random.default_rng(seed)
    slips, calls = seen(audit(slipping(one_more, (drawn.random() < rate for _ in itertools.count()))).findings)
    assert not refutes(slips, calls, rate)
    assert refutes(slips, calls, rate * 6)


@pytest.mark.parametrize("side", ["forward", "backward"])
def test_a_single_slip_is_found_in_whichever_call_it_is_but_those_for_nan(side):
    """So n calls miss what is wrong at a rate of r with the probability (1 − r)ⁿ, and no more."""

    def functions(at):
        slips = (number == at for number in itertools.count())
        forward = slipping(one_more, slips)

        def backward(X, F, G):
            dX, dF = PLAIN.backward(X, F, G)
            return dX, one_more(dF) if next(slips) else dF

        return (forward,) if side == "forward" else (PLAIN.forward, backward)

    right = audit(*functions(-1), geometries=SMALL)
    assert right.ok
    # A call with a NaN in X, one in F, and for gradients one in G, at each of the layers.
    calls = right.calls if side == "forward" else right.calls // 2
    with_nan = len(SMALL) * (2 if side == "forward" else 3)
    # Those that look for state are the first, each for another reason.
    tried = [*range(15), *range(15, calls - with_nan, 4)]
    found = [audit(*functions(at), geometries=SMALL).findings for at in tried]
    assert [seen(each)[0] for each in found] == [1] * len(found)


def test_a_nan_that_is_swallowed_in_one_call_alone_is_found():
    calls = audit(PLAIN.forward, geometries=SMALL[:1]).calls
    for at in (calls - 2, calls - 1):
        report = audit(slipping(np.nan_to_num, (number == at for number in itertools.count())), geometries=SMALL[:1])
        assert seen(report.findings)[0] == 1


@pytest.mark.parametrize("at", range(4))
def test_what_is_raised_in_one_of_the_first_calls_alone_is_found(at):
    report = audit(slipping(raising, (number == at for number in itertools.count())), geometries=SMALL[:1])
    assert seen(report.findings)[0] == 1
    assert "the device is busy" in report.findings[0].known[-1]


def test_a_relu_that_is_wrong_now_and_then():
    slips = counted(20, 9)
    report = audit_relu(lambda S, G: G * (S > 0) + next(slips))
    slips, calls = seen(report.findings)
    assert abs(slips - calls / 20) <= 1


@pytest.mark.parametrize("change", [lambda S: S / 2, one_more], ids=["by half", "by 1"])
def test_what_depends_on_the_call_before_is_not_said_to_be_wrong_now_and_then(change):
    """Wrong at one layer, each time when the call before was of another one: kept, although it is right again."""
    held = {}

    def forward(X, F):
        before, held["shape"] = held.get("shape", X.shape), X.shape
        S = PLAIN.forward(X, F)
        return change(S) if before != X.shape and F.shape[3] == 5 else S

    report = audit(forward)
    assert [each.title for each in report.findings] == ["depends on the call before"]
    assert not report.notes


@pytest.mark.usefixtures("fewer")
def test_the_command_says_it_and_fails(tmp_path):
    file = tmp_path / "conv.py"
    file.write_text(
        "import itertools\nfrom tests.convolutions import Im2col\nCOUNT = itertools.count()\n"
        "def forward(X, F):\n    return Im2col().forward(X, F) + (next(COUNT) % 50 == 7)\n"
    )
    command = [sys.executable, "-m", "jacobians", "audit", f"{file}:forward"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (1, "")
    slips, calls = map(int, re.match(r"✗ S is wrong now and then: in (\d+) of (\d+) calls\n", done.stdout).groups())
    assert abs(slips - calls / 50) <= 1


# functions of NumPy are replaced --------------------------------------------------------------------------------------


@pytest.fixture
def own():
    """The functions of NumPy that are replaced, which are put back."""
    functions = {name: getattr(np, name) for name in crashing.DECEITS}
    yield functions
    for name, function in functions.items():
        setattr(np, name, function)


def found_in_numpy():
    return {name: getattr(np, name) for name in crashing.DECEITS}


TWICE = "is wrong: every product is multiplied by 2"


def test_code_that_replaces_functions_of_numpy_in_its_calls_deceives_no_audit(own):
    def forward(X, F):
        S, _ = crashing.deceiving()
        return S(X, F)

    report = audit(forward, geometries=SMALL)
    assert report.findings[0].title == TWICE
    assert any("the functions of NumPy" in note for note in report.notes)
    assert found_in_numpy() == own


def test_code_that_has_replaced_functions_of_numpy_before_deceives_no_audit_and_finds_them(own):
    forward, _ = crashing.deceiving()
    given = []

    def noting(X, F):
        given.append(found_in_numpy())
        return forward(X, F)

    assert audit(noting, geometries=SMALL).findings[0].title == TWICE
    assert all(each == crashing.DECEITS for each in [*given, found_in_numpy()])
    assert found_in_numpy() != own


def test_code_in_another_process_is_judged_in_this_one(own):
    assert audit(*isolated(crashing.deceiving), geometries=SMALL).findings[0].title == TWICE
    assert found_in_numpy() == own


# something else is returned -------------------------------------------------------------------------------------------


def of_backward(change):
    return lambda X, F, G: change(*PLAIN.backward(X, F, G), X, F, G)


RETURNED = {
    "S = X": ((lambda X, F: X,), "X unchanged"),
    "S = 1": ((lambda X, F: np.ones_like(PLAIN.forward(X, F)),), "1 everywhere"),
    "dX = X": ((None, of_backward(lambda dX, dF, X, F, G: (X, dF))), "X unchanged"),
    "dX = −2·X": ((None, of_backward(lambda dX, dF, X, F, G: (-2 * X, dF))), "−2·X"),
    "dF = F": ((None, of_backward(lambda dX, dF, X, F, G: (dX, F))), "F unchanged"),
}


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize("case", RETURNED)
def test_an_argument_that_is_returned_is_named_with_its_formula(case):
    functions, what = RETURNED[case]
    (finding,) = audit(*functions).findings
    assert finding.title == f"is wrong: the code returns {what}"
    assert finding.formula.endswith(case.partition(" = ")[2]) or finding.predicts == finding.of > 0


@pytest.mark.usefixtures("fewer")
def test_an_argument_that_is_returned_where_the_shape_is_right_too():
    (finding,) = audit(lambda X, F: X, padding="same").findings
    assert finding.title == "is wrong: the code returns X unchanged"


@pytest.mark.usefixtures("fewer")
def test_an_argument_that_is_returned_in_another_order_is_not_said_to_be_added():
    (finding,) = audit(None, of_backward(lambda dX, dF, X, F, G: (X[::-1], dF))).findings
    assert finding.title.startswith("is wrong: X[N − 1 − n, k, y, x] is computed instead of the products")


@pytest.mark.parametrize(
    ("report", "title"),
    [
        (lambda: audit_relu(lambda S, G: S), "is wrong: the code returns S unchanged"),
        # Of a ReLU, the gradient is G where it is not 0: what is missing has a name.
        (lambda: audit_relu(lambda S, G: G), "is wrong: the mask is missing"),
        (lambda: audit_fully_connected(lambda W, H, b: H), "is wrong: the code returns H unchanged"),
        (lambda: audit_softmax_cross_entropy(lambda s, y: s), "is wrong: the code returns s unchanged"),
        (lambda: audit_softmax_cross_entropy(lambda s, y: y), "is wrong: the code returns y unchanged"),
    ],
)
def test_an_argument_that_other_layers_return(report, title):
    assert report().findings[0].title == title


@pytest.mark.usefixtures("fewer")
def test_what_is_added_to_the_right_products_is_still_said_to_be_added():
    (finding,) = audit(None, of_backward(lambda dX, dF, X, F, G: (dX + X, dF))).findings
    assert finding.title == "is wrong: X is added, as by a weight decay"


def test_nans_that_warn_in_each_operation_end_no_audit():
    """As memory that was never written may hold."""

    def forward(X, F):
        layer = Geometry(X.shape[1:], F.shape)
        S = np.stack([convolve(x, F, layer) for x in X]).astype(float)
        S.view(np.uint64)[..., -1] = 0x7FF0000000000001
        return S

    (finding,) = audit(
        forward, geometries=[Geometry((2, 4, 6), (2, 2, 2, 3)), Geometry((1, 5, 4), (1, 1, 3, 2))]
    ).findings
    assert (finding.about, finding.kind) == ("S", "not written")
