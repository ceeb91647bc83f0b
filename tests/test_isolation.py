"""Code in a process of its own: what an audit observes there, and that a crash loses nothing."""

import functools
import pickle

import numpy as np
import pytest

from jacobians import Geometry, audit, cli
from jacobians.audit import isolation
from jacobians.audit.cases import Case
from jacobians.audit.isolation import MOST, _Laid, isolated
from jacobians.audit.layers.convolution import Convolution, options
from jacobians.audit.subject import ENDED, Subject
from jacobians.workers import Worker
from tests import crashing
from tests.test_cli import run

FEW = [Geometry((2, 3, columns), (3, 2, 2, 2)) for columns in (3, 4, 5)]
MANY = [Geometry((2, 3, columns), (3, 2, 2, 2)) for columns in range(2, 10)]


def test_right_code_is_right_in_another_process_as_in_this_one():
    here, there = audit(*crashing.right(), seed=5), audit(*isolated(crashing.right), seed=5)
    assert here.check() == there
    assert audit(*isolated(crashing.forward_alone), geometries=FEW).audited == ("S",)


def test_a_crash_is_a_finding_and_the_audit_goes_on():
    report = audit(*isolated(crashing.aborting), geometries=FEW)
    assert str(report).splitlines()[:2] == [
        "✗ backward is missing: the process ended with SIGABRT",
        "  smallest case: X 1×2×3×4, F 3×2×2×2, stride 1, padding 0",
    ]
    assert [(each.about, each.wrong, each.tried) for each in report.findings] == [("backward", 1, 3)]
    assert report.findings[0].arrays["X"]
    assert "backward(X, F, G)" in report.findings[0].code


def test_a_segmentation_fault_of_the_default_audit_is_shown_on_its_smallest_layer():
    report = audit(*isolated(crashing.segfaulting))
    assert str(report).startswith("✗ S is missing: the process ended with SIGSEGV\n  smallest case: X ")
    assert "×2×3, stride" in report.findings[0].case
    assert [each.kind for each in report.findings] == ["exception"]


def test_a_process_that_always_ends_is_not_started_forever(monkeypatch):
    started = []
    monkeypatch.setattr(isolation, "Worker", lambda *given, **named: started.append(given) or Worker(*given, **named))
    report = audit(*isolated(crashing.always_exiting), geometries=MANY)
    assert str(report).startswith("✗ S is missing: the process ended with exit status 3")
    (finding,) = report.findings
    assert finding.wrong == finding.tried < MOST[ENDED] < len(MANY)
    assert f"not called at {len(MANY) - finding.tried} other layers" in finding.known[-1]
    assert len(started) == MOST[ENDED]


def test_what_is_observed_besides_values_is_observed_there_too():
    titles = {each.title for each in audit(*isolated(crashing.misbehaving), geometries=FEW).findings}
    assert "changes F in place" in titles
    assert "is overwritten by a later call" in titles
    assert "depends on the memory layout of X (wrong for Fortran order)" in titles
    assert {each.kind for each in audit(*isolated(crashing.unwritten), geometries=FEW).findings} == {"not written"}


@pytest.mark.parametrize("load", [crashing.planes_last, crashing.planes_last_in_another_layout])
def test_the_layout_of_code_in_another_process_is_found(load):
    finding = audit(*isolated(load), geometries=FEW).findings[0]
    assert finding.title == "is right in another layout: NHWC,HWIO->NHWC"


ARRANGEMENTS = {
    "contiguous": np.copy,
    "Fortran order": np.asfortranarray,
    "transposed": lambda A: A.swapaxes(-1, -2).copy().swapaxes(-1, -2),
    "every other": lambda A: np.repeat(A, 2, axis=-1)[..., ::2],
    "broadcast": lambda A: np.broadcast_to(A[:1], A.shape),
    "reversed": lambda A: A[..., ::-1],
}


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
def test_arrays_keep_their_strides_on_the_way(arrangement, dtype):
    given = ARRANGEMENTS[arrangement](np.arange(120).reshape(2, 3, 4, 5).astype(dtype))
    come = pickle.loads(pickle.dumps(_Laid(given)))
    assert np.array_equal(given, come)
    assert (come.strides, come.dtype, come.flags.aligned, come.flags.writeable) == (given.strides, dtype, True, True)
    come[0, 0, 0, 0] = 7
    assert given[0, 0, 0, 0] != 7


def test_what_cannot_be_sent_or_does_not_load_is_refused():
    with pytest.raises(
        TypeError, match="which cannot be sent to another process; it needs a function of a module, not"
    ):
        isolated(lambda: (None, None))
    with pytest.raises(ValueError, match=r"^no compiler$"):
        isolated(crashing.not_loading)
    with pytest.raises(
        ChildProcessError, match=r"^the code under audit does not load: the process ended with SIGABRT$"
    ):
        isolated(crashing.dying_while_loading)
    with pytest.raises(TypeError, match="2 arrays were given to a function that runs in another process"):
        isolated(crashing.right)[0](np.ones(1), np.ones(1))


@pytest.mark.parametrize(
    ("load", "text"),
    [
        (crashing.needing_two, "TwoArgumentsError: 5 is more than 3"),
        (crashing.growing, "GrowingError: no compiler"),
        (crashing.holding, "HoldingError: no device"),
        (crashing.exiting_while_loading, "SystemExit: no device"),
    ],
)
def test_what_loading_raises_and_cannot_be_sent_is_said_in_words(load, text):
    with pytest.raises(ChildProcessError, match=f"^the code under audit does not load: {text}$"):
        isolated(load)


def test_a_process_that_does_not_load_again_loses_no_report(tmp_path):
    report = audit(*isolated(functools.partial(crashing.loading_once, tmp_path / "loaded")), geometries=MANY)
    ended = "the process ended with signal 40, and a new process cannot load the code: ValueError: no device any more"
    assert report.findings[0].title == f"is missing: {ended}"


def test_a_process_that_dies_between_calls_is_told_of_by_the_next_call_and_loses_nothing():
    forward, backward = isolated(crashing.right)
    layer = Convolution("float64", options(1, 0, 1, 1, 2, bias=False, dtype="float64"))
    subject = Subject({"forward": forward, "backward": backward}, layer.takes, layer.gives, layer.labels)
    probe = layer.draw(Case(FEW[0], 2), 0).arrays
    first = subject.results(probe)
    forward.code.worker.process.kill()
    forward.code.worker.process.join()
    assert np.array_equal(np.asarray(first["dX"].returned), first["dX"].value)
    then, again = subject.results(probe), subject.results(probe)
    assert then["S"].raised == "the process ended with SIGKILL, before this call"
    for name, result in again.items():
        assert np.array_equal(result.value, first[name].value)
        assert np.array_equal(np.asarray(first[name].returned), first[name].value)


def test_a_result_that_cannot_be_sent_is_a_finding():
    finding = audit(*isolated(crashing.unsendable), geometries=FEW).findings[0]
    assert finding.title.startswith("is missing: forward returned an object that cannot be sent from its process: ")
    assert "lambda" in finding.title


def test_the_command_survives_a_crash(capsys, monkeypatch, tmp_path):
    file = tmp_path / "kernels.py"
    file.write_text("from tests import crashing\nforward, backward = crashing.aborting()\n")
    status, out, _ = run(capsys, monkeypatch, "audit", f"{file}:forward", "--backward", "backward")
    assert status == cli.FAILS
    assert out.startswith("✗ backward is missing: the process ended with SIGABRT\n  smallest case: X 1×1×3×4, F ")
    file.write_text("import os\nos.abort()\n")
    status, out, err = run(capsys, monkeypatch, "audit", f"{file}:forward")
    assert (status, out) == (cli.UNUSABLE, "")
    assert err.endswith(f"\njacobians: {file} does not load: the process ended with SIGABRT\n")
