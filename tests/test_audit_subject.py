"""One call: what it is given, what is made of what it gives, and what it may change around itself."""

import os
import random
import signal
import threading
from unittest import mock

import numpy as np
import pytest

from jacobians import Geometry
from jacobians.audit import surroundings
from jacobians.audit.subject import (
    OUTSIZED,
    UNTRIED,
    Call,
    ProgramError,
    Subject,
    about_arguments,
    call,
    printable,
    said,
)

TAKES = {"forward": ("X", "F"), "backward": ("X", "F", "G")}
GIVES = {"forward": ("S",), "backward": ("dX", "dF")}
LABELS = {"S": "S", "dX": "∂l/∂X", "dF": "∂l/∂F"}
ARRAYS = {"X": np.array([[1.0, 2], [3, 4]]), "F": np.array([5.0, 6]), "G": np.array([7.0])}


def subject_of(forward=None, backward=None):
    return Subject({"forward": forward, "backward": backward}, TAKES, GIVES, LABELS)


def result_of(function, arrays=ARRAYS, **options):
    return subject_of(function).results(arrays, **options)["S"]


def both(X, F):
    return X + F


# what is called -------------------------------------------------------------------------------------------------------


def test_functions_are_called_forward_first_and_their_results_are_named():
    order = []
    subject = subject_of(
        lambda X, F: (order.append("forward"), X)[1], lambda X, F, G: (order.append("backward"), (X, F))[1]
    )
    found = subject.results(ARRAYS)
    assert order == ["forward", "backward"]
    assert list(found) == ["S", "dX", "dF"]
    assert subject.names == ("S", "dX", "dF")
    assert [subject.side(name) for name in subject.names] == ["forward", "backward", "backward"]
    assert subject.calls == 2
    assert set(subject.results(ARRAYS, only="backward")) == {"dX", "dF"}
    assert (subject.calls, order[2:]) == (3, ["backward"])
    assert set(subject.seconds) == {"forward", "backward"}
    assert all(0 < seconds < 60 for seconds in subject.seconds.values())
    assert subject_of(None, lambda X, F, G: (X, F)).names == ("dX", "dF")
    with pytest.raises(TypeError, match=r"^forward and backward are None; audit needs at least one function to call$"):
        subject_of()
    with pytest.raises(TypeError, match=r"^backward is None; "):
        Subject({"backward": None}, TAKES, GIVES, LABELS)


def test_the_number_of_calls_is_told_after_each():
    subject, told = subject_of(both), []
    subject.called = told.append
    subject.results(ARRAYS)
    subject.results(ARRAYS)
    assert told == [1, 2]


def test_arguments_are_new_arrays_laid_out_as_asked():
    given = []
    subject = subject_of(lambda X, F: (given.append((X, F)), X)[1])
    subject.results(ARRAYS)
    subject.results(ARRAYS, {"X": np.asfortranarray})
    for X, F in given:
        np.testing.assert_array_equal(X, ARRAYS["X"])
        assert not np.shares_memory(F, ARRAYS["F"])
    assert given[0][0].flags.c_contiguous
    assert given[1][0].flags.f_contiguous
    assert not given[1][0].flags.c_contiguous


def test_what_a_call_changes_of_its_arguments_is_named():
    def forward(X, F):
        F[0] = -0.0
        return X.copy()

    arrays = {**ARRAYS, "F": np.array([0.0, 6])}
    assert result_of(forward, arrays).changed == ("F",)
    assert arrays["F"][0] == 0
    assert result_of(lambda X, F: (np.copyto(X, 0), F)[1]).changed == ("X",)
    assert result_of(both).changed == ()


def test_a_result_is_a_copy_beside_the_array_itself():
    held = np.ones((2, 2))
    result = result_of(lambda X, F: held)
    assert result.returned is held
    assert not np.shares_memory(result.value, held)
    np.testing.assert_array_equal(result.value, held)
    assert (result.raised, result.traceback, result.shape, result.held) == ("", "", (), 0)


# what is given --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [np.ones((2, 2)), (np.ones((2, 2)),), [np.ones((2, 2))][0], np.float32(1), 1.0, 2, True, np.int8([1])],
    ids=repr,
)  # fmt: skip
def test_what_is_taken_for_an_array(given):
    found = result_of(lambda X, F: given)
    assert found.raised == ""
    np.testing.assert_array_equal(found.value, given[0] if isinstance(given, tuple) else given)


@pytest.mark.parametrize(
    ("given", "raised"),
    [
        ((1.0, 2.0), "returned 2 results, not 1: (S)"),
        ((), "returned 0 results, not 1: (S)"),
        (None, "returned NoneType for S; it must return an array"),
        ("text", "returned str for S; it must return an array"),
        ([1.0, 2.0], "returned list for S; it must return an array"),
        (([1.0],), "returned list for S; it must return an array"),
        (("a",), "returned str for S; it must return an array"),
        (np.ones(2) * 1j, "returned complex128 for S; it must return real numbers"),
        (1j, "returned complex128 for S; it must return real numbers"),
        (np.array(["a"]), "returned <U1 for S; it must return real numbers"),
        (np.array([None]), "returned object for S; it must return real numbers"),
        (
            np.ma.masked_array([1.0], [True]),
            "returned MaskedArray for S; it must return an array: its mask may hide numbers; "
            "return its .data or .filled(0)",
        ),
    ],
    ids=repr,
)
def test_what_is_no_array(given, raised):
    found = result_of(lambda X, F: given)
    assert found.value is None
    assert found.raised == raised


def test_two_results_of_a_function():
    found = subject_of(None, lambda X, F, G: [X, F]).results(ARRAYS)
    np.testing.assert_array_equal(found["dX"].value, ARRAYS["X"])
    np.testing.assert_array_equal(found["dF"].value, ARRAYS["F"])
    for given, said_so in ((ARRAYS["X"], "ndarray"), ((1, 2, 3), "3 results"), ([1], "1 results")):
        found = subject_of(None, lambda X, F, G, given=given: given).results(ARRAYS)
        assert {each.raised for each in found.values()} == {f"returned {said_so}, not 2: (dX, dF)"}
    mixed = subject_of(None, lambda X, F, G: (X, None)).results(ARRAYS)
    assert mixed["dX"].raised == ""
    assert mixed["dF"].raised == "returned NoneType for ∂l/∂F; it must return an array"


def test_an_array_that_cannot_be_right_is_not_copied():
    found = result_of(lambda X, F: np.broadcast_to(np.zeros((2, 1)), (2, 2**20)))
    assert (found.value, found.shape, found.held) == (None, (2, 2**20), 16)
    assert found.raised == f"returned an array of shape {(2, 2**20)} for S"
    assert result_of(lambda X, F: np.zeros(2**20, np.int8)).shape == ()
    # As large as an argument.
    arrays = {**ARRAYS, "X": np.zeros(2**20 + 1)}
    assert result_of(lambda X, F: np.zeros(2**20 + 1, np.int8), arrays).value.size == 2**20 + 1
    assert result_of(lambda X, F: np.zeros(2**20 + 2, np.int8), arrays).held == 2**20 + 2


def test_a_function_that_gave_far_too_much_three_times_is_not_called_any_more():
    subject = subject_of(lambda X, F: np.zeros(2**26 + 1, np.int8), lambda X, F, G: (X, F))
    for _ in range(3):
        assert subject.results(ARRAYS)["S"].held == 2**26 + 1
    found = subject.results(ARRAYS)
    assert found["S"].raised == f"{OUTSIZED}; it {UNTRIED}"
    assert found["dX"].raised == ""
    assert subject.calls == 2 * 3 + 1
    large = subject_of(lambda X, F: np.zeros(2**26, np.int8))
    assert [large.results(ARRAYS)["S"].held for _ in range(4)] == [2**26] * 4


# what is raised -------------------------------------------------------------------------------------------------------


class MuteError(Exception):
    def __str__(self):
        raise KeyError


def raises(error):
    def forward(X, F):
        raise error

    return result_of(forward)


def test_what_is_raised_is_said_with_the_authors_line():
    found = raises(ValueError("no\x1b"))
    assert found.value is None
    assert found.raised.startswith("ValueError: no\\x1b (forward, line ")
    assert found.raised.endswith(": `raise error`)")
    assert found.traceback.startswith("Traceback")
    assert "no\\x1b" in found.traceback
    for error in (SystemExit(3), KeyboardInterrupt("own"), RecursionError(), GeneratorExit()):
        assert raises(error).raised.startswith(type(error).__name__)
    assert raises(ProgramError("the process ended")).raised == "the process ended"
    assert raises(ProgramError("the process ended")).traceback == ""
    assert said(MuteError()) == "MuteError: its text raises KeyError"


def helper(X):
    return np.linalg.inv(X[0])


def test_the_deepest_line_that_is_of_no_library_is_named():
    for forward in (lambda X, F: helper(X), lambda X, F: helper(X) + F):
        assert result_of(forward).raised.endswith(": `return np.linalg.inv(X[0])`)")
        assert "(helper, line " in result_of(forward).raised
    made = {}
    exec("def inner(X):\n    raise ValueError('no line')", made)
    assert result_of(lambda X, F: made["inner"](X)).raised == "ValueError: no line (inner, line 2)"
    assert "(<lambda>, line " in result_of(lambda X, F: Geometry((1, 1, 1), (1, 1, 2, 2))).raised


def test_what_is_about_the_arguments_of_a_call():
    assert about_arguments(result_of(lambda X: X).raised)
    assert about_arguments(result_of(lambda X, F, b: X).raised)
    assert about_arguments("TypeError: f() takes no arguments (1 given)")
    assert not about_arguments(result_of(lambda X, F: X + None).raised)
    assert not about_arguments("ValueError: a positional argument")


def test_what_a_terminal_would_obey_is_escaped():
    assert printable("a\x1b[0m\nb\u202e∂") == "a\\x1b[0m\nb\\u202e∂"


def test_a_signal_is_no_exception_of_the_code():
    def forward(X, F):
        signal.raise_signal(signal.SIGINT)

    def catches(X, F):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            return X

    def exchanges(X, F):
        """As NumPy's loops over objects do."""
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as pressed:
            raise SystemError("returned a result with an exception set") from pressed

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for function in (forward, catches, exchanges):
            with pytest.raises(KeyboardInterrupt, match=r"^$"):
                result_of(function)
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        with surroundings.interrupts() as came:
            pass
        assert came == []
        with surroundings.interrupts() as all_that_came:
            for _ in range(2):
                with surroundings.interrupts() as came, pytest.raises(KeyboardInterrupt, match=r"^$"):
                    signal.raise_signal(signal.SIGINT)
                assert came == [signal.SIGINT]
            with surroundings.interrupts() as came:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            assert came == []
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        assert all_that_came == [signal.SIGINT] * 2
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with surroundings.interrupts():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("step", ["__enter__", "__exit__"])
def test_a_signal_just_before_or_after_the_code_is_no_exception_of_it(step, monkeypatch):
    class Pressed(np.errstate):
        pass

    def pressed(self, *given):
        signal.raise_signal(signal.SIGINT)

    setattr(Pressed, step, pressed)
    monkeypatch.setattr(np, "errstate", Pressed)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            result_of(both)
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_a_signal_has_set_stays_and_what_code_sets_does_not():
    before = signal.getsignal(signal.SIGINT)

    def once(number, frame):
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    try:
        signal.signal(signal.SIGINT, once)
        with surroundings.interrupts() as came:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert (came, signal.getsignal(signal.SIGINT)) == ([], once)
        with surroundings.interrupts() as came:
            signal.raise_signal(signal.SIGINT)
        assert (came, signal.getsignal(signal.SIGINT)) == ([signal.SIGINT], signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGINT, before)


# JAX warns of this where its tests have run in the same process.
@pytest.mark.filterwarnings("ignore:os.fork")
def test_a_process_that_code_has_forked_does_not_go_on_as_the_audit():
    parent, codes = os.getpid(), []

    def forward(X, F):
        if child := os.fork():
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return X

    result_of(forward)
    if os.getpid() != parent:
        os._exit(0)
    assert codes == [1]


def test_in_another_thread_no_handler_is_set():
    found = []

    def work():
        before = signal.getsignal(signal.SIGINT)
        with surroundings.interrupts() as came:
            found.append((came, signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [([], True)]


# memory that was never written ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (2, 60)])
def test_memory_holds_no_number_unless_it_was_written(shape):
    subject = subject_of(lambda X, F: np.empty(shape))
    arrays = {**ARRAYS, "X": np.ones(shape)}
    values = [subject.results(arrays)["S"].value for _ in range(4)]
    for at, value in enumerate(values):
        assert np.isinf(value).all() if at % 2 else np.isnan(value).all()
    whole = {letter: each.astype(np.int32) for letter, each in arrays.items()}
    assert set(result_of(lambda X, F: np.empty(shape, np.int32), whole).value.ravel()) == {77}
    small = result_of(lambda X, F: np.stack([np.empty(3) for _ in range(7)]), {**ARRAYS, "X": np.ones(3)})
    assert np.isnan(small.value).all()


def test_np_empty_is_filled_where_that_is_asked_for():
    empty, like = np.empty, np.empty_like

    def forward(X, F):
        return np.stack([np.empty(2), np.empty_like(F), np.empty(2, np.int8), np.empty(shape=2, dtype=bool)])

    assert (result_of(forward, fill=5).value == [[5, 5], [5, 5], [5, 5], [1, 1]]).all()
    assert np.empty is empty
    assert np.empty_like is like
    with surroundings.filled(None):
        assert np.empty is empty
    with surroundings.filled(3):
        assert np.empty(1, object)[0] is None
        assert np.empty(1, complex)[0] == 3


# around a call --------------------------------------------------------------------------------------------------------


def environment(X, F):
    os.environ["JACOBIANS_TEST"] = "1"
    return X


def directory(X, F):
    os.chdir("/")
    return X


def errors(X, F):
    np.seterr(all="raise")
    return X


def replaces(X, F):
    np.sum = max
    return X


def leaves_and_comes_back(X, F):
    name = next(iter(vars(np)))
    vars(np)[name] = vars(np).pop(name)
    return X


@pytest.mark.parametrize(
    ("forward", "around"),
    [
        (both, ()),
        (environment, ("the environment",)),
        (directory, ("the working directory",)),
        (errors, ("np.seterr",)),
        (replaces, ("the functions of NumPy",)),
        (lambda X, F: setattr(np, "pi", np.ones(3)), ("the functions of NumPy",)),
        (lambda X, F: setattr(np, "pi", mock.ANY), ("the functions of NumPy",)),
        (lambda X, F: delattr(np, "pi"), ("the functions of NumPy",)),
        (leaves_and_comes_back, ()),
        (lambda X, F: X + random.random(), ("the random numbers of Python",)),
        (lambda X, F: X + np.random.rand(), ("the random numbers of NumPy",)),  # noqa: NPY002
    ],
)
@pytest.mark.parametrize("audited", [False, True])
def test_what_a_call_changes_around_itself_is_said_and_put_back(forward, around, audited, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place, handling, own = os.getcwd(), np.geterr(), (np.sum, np.pi)  # noqa: PTH109
    if audited:
        with surroundings.functions_kept():
            assert result_of(forward).around == around
    else:
        assert result_of(forward).around == around
    assert (os.getcwd(), np.geterr(), (np.sum, np.pi)) == (place, handling, own)  # noqa: PTH109
    assert "JACOBIANS_TEST" not in os.environ


def test_a_working_directory_that_is_gone_is_no_fault_of_the_code(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    found = result_of(both)
    assert (found.raised, found.around) == ("", ())


def test_random_numbers_are_looked_at_in_the_first_calls_alone():
    def drawn(number):
        given = {"X": ARRAYS["X"]}
        asked = Call(given, {"S": "S"}, [], number)
        return call(lambda X: X + random.random(), asked)["S"].around

    assert drawn(16) == ("the random numbers of Python",)
    assert drawn(17) == ()


def test_random_numbers_are_put_back_after_an_audit():
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    first = random.random(), np.random.rand()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    with surroundings.random_numbers_kept():
        random.random()
        np.random.rand(7)  # noqa: NPY002
    assert (random.random(), np.random.rand()) == first  # noqa: NPY002


def test_functions_that_code_has_replaced_before_are_found_by_its_calls_alone(monkeypatch):
    own = np.sum
    monkeypatch.setattr(np, "sum", lambda A: "replaced")
    replaced = np.sum
    result_of(lambda X, F: X)
    assert np.sum is replaced
    with surroundings.functions_kept():
        assert np.sum is own
        seen = []
        result_of(lambda X, F: (seen.append(np.sum), X)[1])
        assert seen == [replaced]
        assert np.sum is own
        monkeypatch.setattr(np, "sum", lambda A: "replaced again")
        again = np.sum
        with surroundings.functions_kept():
            result_of(lambda X, F: (seen.append(np.sum), X)[1])
        assert seen[1:] == [again]
        assert np.sum is again
    assert np.sum is replaced
    assert surroundings.AUDITS == []
