"""Nothing hangs and nothing is lost: the command as a process, beside code and systems that behave badly."""

import os
import re
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jacobians import files

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "jacobians")
# What a loaded machine may need for what takes a second or two.
LONG = 60

CODE = """
import os, signal, sys, time
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
def right(X, F):
    windows = sliding_window_view(X, F.shape[2:], axis=(2, 3))
    return np.einsum("nkhwab,ikab->nihw", windows, F)
def right_relu(S, G):
    return G * (S > 0)
def wrong_relu(S, G):
    return G
"""


def write(folder, more):
    file = folder / "somebodys.py"
    file.write_text(CODE + more)
    return file


def start(*arguments, **options):
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        **{"stdout": subprocess.PIPE, **options},
    )


def run(*arguments, **options):
    """Run the command to its end; return exit status, stdout and stderr, and see that nothing is left running."""
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=LONG)
    return process.returncode, out, err


def wait_for(what):
    """Wait until something is so."""
    until = time.monotonic() + LONG
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_ended(pids):
    return not any(map(is_running, pids))


# hanging code ---------------------------------------------------------------------------------------------------------


def test_code_that_hangs_at_some_layers_is_a_finding_and_the_audit_goes_on(tmp_path):
    file = write(
        tmp_path,
        """
def forward(X, F):
    while X.shape[3] == 4:
        pass
    return right(X, F)
""",
    )
    status, out, err = run("audit", f"{file}:forward", "--timeout", "0.3")
    assert (status, err) == (1, "")
    assert re.findall(r"^✗ (.*) cannot be had: it was not done after (.*) s$", out, re.MULTILINE) == [("S", "0.3")]
    assert re.search(r"smallest case: X \d×\d×4,", out)
    assert re.search(r"it was not tried at \d+ other layers", out)


def test_a_function_that_always_sleeps_is_not_waited_for_at_every_layer_and_the_other_one_is_audited(tmp_path):
    file = write(
        tmp_path,
        """
def forward(W, H):
    return H.reshape(len(H), -1) @ W.T
def backward(W, H, g):
    open(__file__ + ".calls", "a").write("x")
    time.sleep(3600)
""",
    )
    asked = ("--backward", "backward", "--layer", "fully-connected", "--timeout", "0.3")
    status, out, _ = run("audit", f"{file}:forward", *asked)
    assert status == 1
    assert out.startswith("✗ backward cannot be had: it was not done after 0.3 s\n")
    assert out.count("✗") == 1
    assert len((tmp_path / "somebodys.py.calls").read_text()) == 3


@pytest.mark.parametrize(
    ("how", "said"), [("time.sleep(3600)", "it was not done after 0.5 s"), ("os.abort()", "SIGABRT")]
)
def test_a_call_that_is_lost_for_a_nan_alone_is_a_finding(tmp_path, how, said):
    file = write(
        tmp_path,
        f"""
def forward(X, F):
    if np.isnan(X).any():
        {how}
    return right(X, F)
""",
    )
    status, out, _ = run("audit", f"{file}:forward", "--timeout", "0.5")
    assert status == 1
    assert out.count("✗") == 1
    assert said in out.splitlines()[0]
    assert "NaN" in out.splitlines()[0]


def test_a_file_that_hangs_where_it_is_loaded_is_said_to(tmp_path):
    file = write(tmp_path, "time.sleep(3600)\n")
    status, out, err = run("audit", f"{file}:right", "--timeout", "3")
    assert (status, out) == (2, "")
    assert err == "jacobians: the code under audit does not load: it was not done after 3 s\n"


def test_a_formula_is_not_read_for_ever(tmp_path):
    file = write(tmp_path, "def forward(X, F):\n    time.sleep(3600)\n")
    status, out, _ = run("read", f"{file}:forward", "--timeout", "1")
    assert status == 1
    assert "it was not done" in out


@pytest.mark.parametrize("option", [["--timeout", "-1"], ["--timeout", "soon"]])
def test_a_time_limit_is_a_number(tmp_path, option):
    assert run("audit", f"{write(tmp_path, '')}:right", *option)[0] == 2


# files that cannot be written -----------------------------------------------------------------------------------------


def with_files_up_to(size):
    """Let no file grow larger, as if the disk were full."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize(("name", "status"), [("right_relu", 2), ("wrong_relu", 1)])
def test_a_full_disk_loses_no_report_and_tears_no_file(tmp_path, name, status):
    file, record, junit = write(tmp_path, ""), tmp_path / "record.json", tmp_path / "junit.xml"
    record.write_text("as it was")
    outputs = ("--json", record, "--junit", junit)
    found, out, err = run("audit", f"{file}:{name}", "--layer", "relu", *outputs, preexec_fn=with_files_up_to(100))
    assert found == status
    assert out[0] == {2: "✓", 1: "✗"}[status]
    for line, option, where in zip(err.splitlines(), ("--json", "--junit"), (record, junit), strict=True):
        assert line.startswith(f"jacobians: {option} is {where}, which cannot be written: File too large")
        assert ("exit status is 1" in line) == (status == 1)
    assert record.read_text() == "as it was"
    assert not junit.exists()
    assert {each.name for each in tmp_path.iterdir()} == {"somebodys.py", "record.json"}


@pytest.mark.parametrize(
    "command",
    [
        ("verify", "--only", "L4,L6", "--jobs", "1", "--json"),
        ("explore", "-o"),
        ("plot", "filter-matrix", "-o"),
    ],
)
def test_every_command_says_in_one_line_which_file_it_cannot_write(tmp_path, command):
    file = tmp_path / "out.svg"
    file.write_text("as it was")
    # The limit is below what is written, and above what a library may keep for itself.
    status, out, err = run(*command, file, preexec_fn=with_files_up_to(100))
    assert status == 2
    option = {"-o": "--output"}.get(command[-1], command[-1])
    assert err == f"jacobians: {option} is {file}, which cannot be written: File too large\n"
    assert ("2 equations hold" in out) == (command[0] == "verify")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["as it was"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_loses_no_report(tmp_path):
    file, folder = write(tmp_path, ""), tmp_path / "folder"
    folder.mkdir(mode=0o500)
    outputs = ("--layer", "relu", "--json", folder / "record.json")
    status, out, err = run("audit", f"{file}:right_relu", *outputs)
    assert (status, out[0], err.count("\n")) == (2, "✓", 1)


def test_devices_are_written_to_and_a_full_one_is_told_of(tmp_path):
    file = write(tmp_path, "")
    asked = ("audit", f"{file}:right_relu", "--layer", "relu", "--json")
    status, out, err = run(*asked, "/dev/full")
    assert (status, out[0], err) == (
        2,
        "✓",
        "jacobians: --json is /dev/full, which cannot be written: No space left on device\n",
    )
    assert run(*asked, "/proc/record.json")[::2] == (
        2,
        "jacobians: --json is /proc/record.json, which cannot be written: No such file or directory\n",
    )
    assert run(*asked, "/dev/null")[::2] == (0, "")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize(("command", "status"), [("audit", 2), ("show", 2), ("wrong", 1)])
def test_a_report_that_cannot_be_printed_is_told_of_in_one_line(tmp_path, command, status):
    file, record = write(tmp_path, ""), tmp_path / "record.json"
    name = "wrong_relu" if command == "wrong" else "right_relu"
    asked = ("show",) if command == "show" else ("audit", f"{file}:{name}", "--layer", "relu", "--json", record)
    with Path("/dev/full").open("w") as full:
        found, _, err = run(*asked, stdout=full)
    assert found == status
    assert re.fullmatch(r"jacobians: .*No space left on device.*\n", err)
    assert record.exists() == (command != "show")


def test_a_file_keeps_its_permissions_and_a_link_its_target(tmp_path):
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("before")
    target.chmod(0o640)
    link.symlink_to(target)
    files.write(link, "after")
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode), link.is_symlink()) == ("after", 0o640, True)
    mask = os.umask(0o027)
    try:
        files.write(tmp_path / "new.json", b"new")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new.json").stat().st_mode) == 0o640


# orphans --------------------------------------------------------------------------------------------------------------

KILLED = ["SIGTERM", "SIGKILL"]
BUSY = {
    "sleep": "time.sleep(3600)",
    "with the interpreter's lock held": "sum(range(10**12))",
    "in a process of its own": "subprocess.run(['sleep', '3600'])",
}


def descendants(process):
    return [each.pid for each in psutil.Process(process.pid).children(recursive=True)]


def ended_by(process, name):
    """End the command by a signal; return what it left running."""
    running = descendants(process)
    assert running
    process.send_signal(signal.Signals[name])
    process.communicate(timeout=LONG)
    assert process.returncode == -signal.Signals[name]
    return running


@pytest.mark.parametrize("name", KILLED)
@pytest.mark.parametrize("busy", BUSY)
def test_code_that_is_called_ends_with_the_audit(tmp_path, name, busy):
    called = tmp_path / "called"
    file = write(
        tmp_path,
        f"""
import subprocess
def relu(S, G):
    open({str(called)!r}, "w").close()
    {BUSY[busy]}
""",
    )
    process = start("audit", f"{file}:relu", "--layer", "relu")
    wait_for(called.exists)
    if "process" in busy:
        wait_for(lambda: "sleep" in [each.name() for each in psutil.Process(process.pid).children(recursive=True)])
    running = ended_by(process, name)
    wait_for(lambda: all_ended(running))


@pytest.mark.parametrize("name", KILLED)
def test_processes_that_verify_end_with_the_command(name):
    process = start("verify", "--jobs", "2")
    # The third one keeps account of semaphores.
    wait_for(lambda: len(descendants(process)) == 3)
    running = ended_by(process, name)
    wait_for(lambda: all_ended(running))
