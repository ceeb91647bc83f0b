"""Programs in other languages under audit: the C and JavaScript of the documentation, and programs that fail."""

import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from jacobians import Geometry, audit
from jacobians.audit import from_command
from jacobians.audit.command import MOST_LATE
from jacobians.errors import AuditError
from jacobians.testing import assert_filter_gradient, assert_forward, assert_input_gradient
from tests.test_cli import run

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "audit-any-language.md").read_text("utf-8")
OPTIONS = {"stride": (2, 1), "padding": ((1, 1), (0, 2)), "groups": 2}
LAYERS = [Geometry((4, 5, 4), (4, 2, 2, 2), **OPTIONS), Geometry((2, 4, 3), (2, 1, 1, 2), **OPTIONS)]
WRONG = "stride[0] * m"


def block(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[1]


def needed(*names):
    found = next((path for name in names if (path := shutil.which(name))), None)
    return found or pytest.skip(f"there is no {' or '.join(names)} here to run the documentation's program with")


def compiled(folder, source):
    cc = needed("cc", "gcc", "clang")
    (folder / "conv.c").write_text(source, "utf-8")
    subprocess.run([cc, "-O1", "-Wall", "-Werror", "-o", folder / "conv", folder / "conv.c"], check=True)
    return f"{shlex.quote(str(folder / 'conv'))} {{case}}"


@pytest.fixture(scope="module")
def in_c(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("right"), block("c"))


@pytest.fixture(scope="module")
def wrong_in_c(tmp_path_factory):
    source = block("c")
    assert "stride[1] * m" in source
    return compiled(tmp_path_factory.mktemp("wrong"), source.replace("stride[1] * m", WRONG))


def python(tmp_path, *lines):
    """Write a program of Python lines that knows the folder."""
    file = tmp_path / "program.py"
    file.write_text("import sys\nfolder = sys.argv[1]\n" + "\n".join(lines), "utf-8")
    return f"{shlex.quote(sys.executable)} -S {shlex.quote(str(file))} {{case}}"


def test_right_code_in_c_is_right(in_c):
    report = audit(*from_command(in_c, in_c, timeout=60, **OPTIONS), **OPTIONS, geometries=LAYERS)
    assert report.check().audited == ("S", "∂l/∂X", "∂l/∂F")


def test_wrong_code_in_c_is_convicted_by_its_formula(wrong_in_c):
    report = audit(from_command(wrong_in_c, **OPTIONS)[0], **OPTIONS, geometries=LAYERS)
    (finding,) = report.findings
    assert (finding.anchor, finding.predicts, finding.of) == ("step-of-other-axis", 2, 2)
    assert finding.formula.endswith("x = 2m + b")
    code = finding.code.splitlines()
    assert code[-2] == "print(S)"
    scope = {}
    exec("\n".join(code[:-2]), scope)  # what a user runs
    got = np.array(finding.arrays["got"])
    assert np.array_equal(scope["S"], got)
    assert not np.array_equal(scope["S"], np.array(finding.arrays["right"]))


def test_memory_that_is_never_written_does_not_pass_for_zeros(tmp_path):
    if not sys.platform.startswith("linux"):
        pytest.skip("only malloc of glibc is told to fill memory")
    source = block("c").replace("calloc(size(&A), sizeof(double))", "malloc(size(&A) * sizeof(double))")
    report = audit(from_command(compiled(tmp_path, source), **OPTIONS)[0], **OPTIONS, geometries=LAYERS[1:])
    # Memory holds other numbers in each call, and so does what is computed.
    assert [(each.about, each.kind) for each in report.findings] == [("S", "state")]


def test_javascript_is_right_and_what_is_wrong_is_seen(tmp_path):
    node, layer = needed("node"), LAYERS[0]
    for name, source in (
        ("right", block("javascript")),
        ("wrong", block("javascript").replace("stride[1] * m", WRONG)),
    ):
        (tmp_path / f"{name}.mjs").write_text(source, "utf-8")
    right, wrong = (f"{node} {shlex.quote(str(tmp_path / name))}.mjs {{case}}" for name in ("right", "wrong"))
    forward, backward = from_command(right, right, **OPTIONS)
    rng = np.random.default_rng(0)
    X, F, G = (
        rng.integers(-9, 10, shape).astype(float) for shape in ((2, *layer.image), layer.filters, (2, *layer.responses))
    )
    assert_forward(forward(X, F)[0], X, F, layer)
    dX, dF = backward(X, F, G)
    assert_input_gradient(dX, G, F, layer)
    assert_filter_gradient(dF, X, G, layer)
    with pytest.raises(AuditError, match="S is wrong"):
        assert_forward(from_command(wrong, **OPTIONS)[0](X, F)[0], X, F, layer)


def test_how_a_program_ends_is_the_finding(tmp_path, capsys, monkeypatch):
    (tmp_path / "failing.sh").write_text("echo two groups at most >&2; exit 3", "utf-8")
    failing = f"{needed('sh')} {shlex.quote(str(tmp_path / 'failing.sh'))} {{case}}"
    status, out, _ = run(capsys, monkeypatch, "audit", "--command", failing, "--axes", "1", "--dtype", "int32")
    assert status == 1
    assert "write S.npy" in out
    assert out.splitlines()[0] == "✗ S is missing: the process ended with exit status 3: two groups at most"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "returned no S.npy"),
        (["open(folder + '/S.npy', 'w').write('no')"], "returned a S.npy that holds no array"),
        (["import os", "os.abort()"], "the process ended with SIGABRT"),
    ],
)
def test_what_gives_no_array_is_said(tmp_path, lines, said):
    forward, _ = from_command(python(tmp_path, *lines))
    with pytest.raises(ChildProcessError, match=said):
        forward(np.ones((1, 1, 2)), np.ones((1, 1, 1)))


def test_a_program_that_does_not_end_is_ended_with_what_it_started(tmp_path):
    mark = tmp_path / "still there"
    child = f"import time; time.sleep(1.5); open({str(mark)!r}, 'w')"
    lines = ["import subprocess, time", f"subprocess.Popen([sys.executable, '-S', '-c', {child!r}])", "time.sleep(60)"]
    forward, _ = from_command(python(tmp_path, *lines), timeout=0.3)
    layers = [Geometry((1, size), (1, 1, 2)) for size in range(2, 9)]
    start = time.monotonic()
    report = audit(forward, spatial_ndim=1, geometries=layers)
    assert (report.findings[0].kind, report.findings[0].about) == ("exception", "S")
    assert "the call did not finish within 0.3 s" in report.findings[0].title
    assert forward.late == MOST_LATE
    time.sleep(max(0, 2 - (time.monotonic() - start)))
    assert not mark.exists()


def test_options_and_arrays_come_as_documented(tmp_path):
    copy = tmp_path / "seen"
    lines = ["import shutil", f"shutil.copytree(folder, {str(copy)!r})"]
    _, backward = from_command(None, python(tmp_path, *lines), padding="same", dilation=2, bias=True)
    X, F, b, G = np.ones((2, 3, 4)), np.ones((1, 3, 4)), np.ones(1), np.ones((2, 1, 4))
    with pytest.raises(ChildProcessError, match=r"returned no dX\.npy"):
        backward(np.asfortranarray(X), F.astype(np.float64), b, G)
    told = (copy / "options.json").read_text("utf-8")
    assert told == (
        '{"pass": "backward", "spatial_ndim": 1, "stride": [1], "padding": [[3, 3]], "dilation": [2], "groups": 1, '
        '"bias": true, "dtype": "float64"}'
    )
    for name, array in {"X": X, "F": F, "b": b, "G": G}.items():
        raw = (copy / f"{name}.npy").read_bytes()
        assert raw[:10] == b"\x93NUMPY\x01\x00\x76\x00"
        assert b"'fortran_order': False" in raw[:128]
        assert raw[128:] == array.tobytes()


def test_half_precision_goes_there_and_back(tmp_path):
    import ml_dtypes

    lines = ["import shutil", "shutil.copy(folder + '/F.npy', folder + '/S.npy')"]
    forward, _ = from_command(python(tmp_path, *lines))
    F = np.array([[[1, 2]]], ml_dtypes.bfloat16)
    (S,) = forward(F, F)
    assert S.dtype == F.dtype
    assert np.array_equal(S, F)


def test_no_shell_reads_a_command(tmp_path):
    mark = tmp_path / "mark"
    forward, _ = from_command(python(tmp_path).replace("{case}", f"'{{case}};touch {mark}' '$(touch {mark})'"))
    with pytest.raises(ChildProcessError, match=r"returned no S\.npy"):
        forward(np.ones((1, 1, 2)), np.ones((1, 1, 1)))
    assert not mark.exists()


def test_a_thread_may_call(in_c):
    found = []
    forward, _ = from_command(in_c, timeout=60)
    X, F = np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1))
    threads = [threading.Thread(target=lambda: found.append(forward(X, F)[0])) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert all(np.array_equal(each, X) for each in found)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is nothing to audit"),
        (["x.py:f", "--command", "true {case}"], "FORWARD and --command are both given"),
        (["--command", "true {case}", "--torch"], "--command is a program of its own; leave --torch out"),
        (["--command", "-"], "for the backward pass alone; it needs --backward"),
        (["--command", "./conv"], "the forward command is './conv'; write {case} in it"),
        (["--command", "no-such-program {case}"], "no program 'no-such-program' can be run"),
        (["--command", "true '{case}"], "cannot be split into words"),
        (["--command", "true {case}", "--layer", "relu"], "--command is for --layer convolution"),
    ],
)
def test_commands_that_cannot_be_run_are_refused(capsys, monkeypatch, arguments, said):
    status, _, err = run(capsys, monkeypatch, "audit", *arguments)
    assert status == 2
    assert said in err
