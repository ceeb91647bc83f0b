"""Code in a process of its own: what an audit observes there, and that a crash loses nothing."""

import numpy as np
import pytest

from jacobians import Geometry, audit, cli
from jacobians.audit.isolation import MOST_CRASHES, _array, _flat, isolated
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
        "✗ backward cannot be had: the process ended with SIGABRT",
        "  smallest case: X 1×1×4, F 1×1×1×1, stride 1, padding 0",
    ]
    assert [(each.about, each.wrong, each.tried) for each in report.findings] == [("backward", 1, 3)]
    assert report.findings[0].arrays["X"]
    assert "backward(X, F, G)" in report.findings[0].code


def test_a_segmentation_fault_of_the_default_audit_is_shown_on_its_smallest_layer():
    report = audit(*isolated(crashing.segfaulting))
    assert str(report).startswith("✗ S cannot be had: the process ended with SIGSEGV\n  smallest case: X ")
    assert "×2×3, stride" in report.findings[0].case
    assert [each.kind for each in report.findings] == ["exception"]


def test_a_process_that_always_ends_is_not_started_forever():
    report = audit(*isolated(crashing.always_exiting), geometries=MANY)
    assert str(report).startswith("✗ S cannot be had: the process ended with exit status 3")
    assert report.findings[0].wrong == len(MANY) > MOST_CRASHES


def test_what_is_observed_besides_values_is_observed_there_too():
    titles = {each.title for each in audit(*isolated(crashing.misbehaving), geometries=FEW).findings}
    assert "changes F in place" in titles
    assert "is overwritten by a later call" in titles
    assert "depends on the memory layout of X (wrong for Fortran order)" in titles
    assert {each.kind for each in audit(*isolated(crashing.unwritten), geometries=FEW).findings} == {"not written"}


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
    come = _array(*_flat(given))
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
    with pytest.raises(
        TypeError, match="2 arrays were given to what runs in another process; call the function itself"
    ):
        isolated(crashing.right)[0](np.ones(1), np.ones(1))


def test_the_command_survives_a_crash(capsys, monkeypatch, tmp_path):
    file = tmp_path / "kernels.py"
    file.write_text("from tests import crashing\nforward, backward = crashing.aborting()\n")
    status, out, _ = run(capsys, monkeypatch, "audit", f"{file}:forward", "--backward", "backward")
    assert status == cli.FAILS
    assert out.startswith("✗ backward cannot be had: the process ended with SIGABRT\n  smallest case: X 1×3×4, F ")
    file.write_text("import os\nos.abort()\n")
    status, out, err = run(capsys, monkeypatch, "audit", f"{file}:forward")
    assert (status, out) == (cli.UNUSABLE, "")
    assert err == "jacobians: the code under audit does not load: the process ended with SIGABRT\n"
