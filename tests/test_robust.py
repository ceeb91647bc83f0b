"""Nothing hangs and nothing is lost: the command as a process, beside code and systems that behave badly."""

import contextlib
import functools
import io
import json
import os
import random
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import psutil
import pytest

from jacobians import AuditError, Geometry, audit_relu, cli, explorer, files, verify, workers
from jacobians.verify import Interrupted
from tests.limits import files_up_to
from tests.test_cli import run as run_here

pty = pytest.importorskip("pty", reason="there are no such terminals on Windows")
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
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def run(*arguments, **options):
    """Run the command to its end; return exit status, stdout and stderr, and see that nothing is left running."""
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=LONG)
    return process.returncode, out, err


@pytest.fixture
def here(capsys, monkeypatch):
    """The command in this process, where the code that it calls is in another one all the same."""
    return functools.partial(run_here, capsys, monkeypatch)


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


def test_code_that_hangs_at_some_cases_is_a_finding_and_the_audit_goes_on(tmp_path):
    file = write(
        tmp_path,
        """
def relu(S, G):
    while S.ndim > 2:
        pass
    return G * (S > 0)
""",
    )
    status, out, err = run("audit", f"{file}:relu", "--layer", "relu", "--timeout", "0.3")
    assert (status, err) == (1, "")
    assert re.findall(r"^✗ (.*) is missing: the call did not finish within (.*) s$", out, re.MULTILINE) == [
        ("backward", "0.3")
    ]
    assert re.search(r"smallest case: S \d×\d×\d,", out)
    assert re.search(r"not called at \d+ other cases", out)
    assert re.search(r"fails for \d of the \d\d cases tried", out)


def test_a_function_that_always_sleeps_is_not_waited_for_at_every_layer_and_the_other_one_is_audited(tmp_path, here):
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
    status, out, _ = here("audit", f"{file}:forward", *asked)
    assert status == 1
    assert out.startswith("✗ backward is missing: the call did not finish within 0.3 s\n")
    assert out.count("✗") == 1
    assert len((tmp_path / "somebodys.py.calls").read_text()) == 3


@pytest.mark.parametrize(
    ("how", "said"), [("time.sleep(3600)", "the call did not finish within 0.5 s"), ("os.abort()", "SIGABRT")]
)
def test_a_call_that_is_lost_for_a_nan_alone_is_a_finding(tmp_path, here, how, said):
    file = write(
        tmp_path,
        f"""
def relu(S, G):
    if np.isnan(S).any():
        {how}
    return G * (S > 0)
""",
    )
    status, out, _ = here("audit", f"{file}:relu", "--layer", "relu", "--timeout", "0.5")
    assert status == 1
    assert out.count("✗") == 1
    assert said in out.splitlines()[0]
    assert "NaN" in out.splitlines()[0]


def test_a_file_that_hangs_where_it_is_loaded_is_named_and_is_no_verdict(tmp_path, here):
    """What it computes is not known, as of a file that raises there."""
    file = write(tmp_path, "time.sleep(3600)\n")
    status, out, err = here("audit", f"{file}:right", "--timeout", "0.3")
    assert (status, out) == (2, "")
    assert err == f"jacobians: {file} does not load: the call did not finish within 0.3 s\n"


def test_a_formula_is_not_read_for_ever(tmp_path, here):
    file = write(tmp_path, "def forward(X, F):\n    time.sleep(3600)\n")
    status, out, _ = here("read", f"{file}:forward", "--timeout", "0.1")
    assert status == 1
    assert "the call did not finish" in out


# files that cannot be written -----------------------------------------------------------------------------------------


def test_a_full_disk_loses_no_report_and_tears_no_file(tmp_path):
    file, record, junit = write(tmp_path, ""), tmp_path / "record.json", tmp_path / "junit.xml"
    record.write_text("as it was")
    outputs = ("--json", record, "--junit", junit)
    with files_up_to(100):
        process = start("audit", f"{file}:wrong_relu", "--layer", "relu", *outputs)
    out, err = process.communicate(timeout=LONG)
    assert (process.returncode, out[0]) == (1, "✗")
    for line, option, where in zip(err.splitlines(), ("--json", "--junit"), (record, junit), strict=True):
        assert line.startswith(f"jacobians: {option} is {where}, which cannot be written: File too large")
        assert "exit status is still 1" in line
    assert record.read_text() == "as it was"
    assert not junit.exists()
    assert {each.name for each in tmp_path.iterdir()} == {"somebodys.py", "record.json"}


def test_verify_prints_its_report_and_says_in_one_line_which_file_it_cannot_write(tmp_path):
    file = tmp_path / "record.json"
    file.write_text("as it was")
    # The limit is below what is written, and above what a library may keep for itself.
    with files_up_to(100):
        process = start("verify", "--only", "L5,L6", "--jobs", "1", "--json", file)
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 2
    assert err == f"jacobians: --json is {file}, which cannot be written: File too large\n"
    assert "2 equations hold" in out
    assert [each.read_text() for each in tmp_path.iterdir()] == ["as it was"]


@pytest.mark.parametrize("command", [("explore",), ("plot", "filter-matrix")], ids=" ".join)
def test_what_is_drawn_is_not_torn_where_it_cannot_be_written(tmp_path, here, command):
    file = tmp_path / "out.svg"
    file.write_text("as it was")
    with files_up_to(100):
        status, out, err = here(*command, "-o", str(file))
    assert (status, out) == (2, "")
    assert err == f"jacobians: --output is {file}, which cannot be written: File too large\n"
    assert [each.read_text() for each in tmp_path.iterdir()] == ["as it was"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_loses_no_report(tmp_path):
    file, folder = write(tmp_path, ""), tmp_path / "folder"
    folder.mkdir(mode=0o500)
    outputs = ("--layer", "relu", "--json", folder / "record.json")
    status, out, err = run("audit", f"{file}:right_relu", *outputs)
    assert (status, out[0], err.count("\n")) == (2, "✓", 1)


def test_a_full_device_and_a_folder_that_takes_no_files_are_told_of(tmp_path):
    outputs = ("--json", "/dev/full", "--junit", "/proc/junit.xml")
    status, out, err = run("audit", f"{write(tmp_path, '')}:right_relu", "--layer", "relu", *outputs)
    assert (status, out[0]) == (2, "✓")
    assert err.splitlines() == [
        "jacobians: --json is /dev/full, which cannot be written: No space left on device",
        "jacobians: --junit is /proc/junit.xml, which cannot be written: No such file or directory",
    ]


def test_a_device_is_written_to_and_stays_one():
    files.write(Path("/dev/null"), "a record")
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


@pytest.mark.parametrize(
    ("name", "busy"), [("SIGTERM", "in a process of its own"), *(("SIGKILL", busy) for busy in BUSY)]
)
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
    assert all(psutil.Process(pid).environ()["OPENBLAS_NUM_THREADS"] == "1" for pid in descendants(process))
    running = ended_by(process, name)
    wait_for(lambda: all_ended(running))


# Ctrl-C ---------------------------------------------------------------------------------------------------------------

# As a shell has them: a process that ended by the signal itself has this status, too.
INTERRUPTED = {130, -signal.SIGINT}


def press(process):
    """Press Ctrl-C: every process of the terminal's foreground gets the signal."""
    os.killpg(process.pid, signal.SIGINT)


def interrupted(process, running):
    """Return what the command prints after Ctrl-C, and see that it ends soon, and all that it started."""
    pressed = time.monotonic()
    out, err = process.communicate(timeout=LONG)
    assert time.monotonic() - pressed < 10
    wait_for(lambda: all_ended(running))
    assert not err
    return out


@contextlib.contextmanager
def terminal():
    """A terminal to print to, and what comes of that."""
    here, there = pty.openpty()
    shown = []

    def show():
        with contextlib.suppress(OSError):  # nobody has the other end open
            while printed := os.read(here, 4096):
                shown.append(printed)

    shows = threading.Thread(target=show)
    shows.start()
    try:
        yield there, lambda: b"".join(shown).decode()
    finally:
        os.close(there)
        shows.join()
        os.close(here)


@contextlib.contextmanager
def ctrl_c():
    """Let Ctrl-C raise what it raises in a program, and see that this is so afterwards."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_in_verify_prints_and_writes_what_was_verified(tmp_path, jobs):
    record = tmp_path / "record.json"
    # Layers that take a moment each, and are thousands.
    asked = ("verify", "--full", "--only", "L1,L14", "--jobs", jobs, "--json", record)
    with terminal() as (stderr, told):
        process = start(*asked, stderr=stderr, start_new_session=True)
        wait_for(lambda: re.search(r"[1-9]\d*/\d{4}", told()))
        running = descendants(process)
        press(process)
        out = interrupted(process, running)
    assert process.returncode == 130
    lines = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", told()).split("\r")
    assert all(line.startswith("checking layers ") for line in lines if line.strip())
    assert re.search(r"^L14 ", out, re.MULTILINE)
    assert re.search(r"Interrupted, with \d+ pieces of work not done", out)
    written = json.loads(record.read_text(encoding="utf-8"))
    assert (written["ok"], written["left"] > 0, written["layers"] > 0) == (False, True, True)


def test_ctrl_c_while_verify_starts_its_processes_ends_all_of_them():
    process = start("verify", "--jobs", "4", start_new_session=True)
    running = wait_for(lambda: descendants(process))
    press(process)
    interrupted(process, running)
    assert process.returncode == 130


def test_a_ctrl_c_while_a_process_starts_is_raised_when_it_has_started():
    waits, started = threading.Event(), []

    def starting():
        with workers._undisturbed():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            started.append(True)

    other = threading.Thread(target=waits.wait)  # gets the signal that this one masks
    other.start()
    try:
        with ctrl_c(), pytest.raises(KeyboardInterrupt, match=r"^$"):
            starting()
    finally:
        waits.set()
        other.join()
    assert started


@pytest.mark.parametrize("loaded", ["numpy", "ml_dtypes"])
def test_ctrl_c_while_the_command_is_loaded_leaves_nothing_behind(loaded):
    process = start("verify", start_new_session=True)
    wait_for(lambda: loaded in " ".join(each.path for each in psutil.Process(process.pid).memory_maps()))
    press(process)
    process.communicate(timeout=LONG)
    assert process.returncode in INTERRUPTED
    wait_for(lambda: not any(os.getpgid(pid) == process.pid for pid in psutil.pids() if is_running(pid)))


def test_a_second_ctrl_c_ends_verify_all_the_same():
    process = start("verify", "--jobs", "2", start_new_session=True)
    wait_for(lambda: len(descendants(process)) == 3)
    running = descendants(process)
    press(process)
    press(process)
    process.communicate(timeout=LONG)
    assert process.returncode in INTERRUPTED
    wait_for(lambda: all_ended(running))


def test_a_second_ctrl_c_is_not_waited_with():
    with ctrl_c():
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            cli._interrupted(signal.SIGINT, None)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_in_audit_ends_the_code_and_prints_and_writes_what_was_found(tmp_path):
    called, record, junit = tmp_path / "called", tmp_path / "record.json", tmp_path / "junit.xml"
    file = write(
        tmp_path,
        f"""
import subprocess
def relu(S, G):
    if S.ndim > 2:
        with subprocess.Popen(["sleep", "3600"]):
            open({str(called)!r}, "w").close()
    return G
""",
    )
    outputs = ("--json", record, "--junit", junit)
    process = start("audit", f"{file}:relu", "--layer", "relu", *outputs, start_new_session=True)
    wait_for(called.exists)
    running = descendants(process)
    press(process)
    out = interrupted(process, running)
    assert process.returncode == 130
    assert (done := re.search(r"Interrupted after (\d+) of 22 cases", out))
    assert 0 < int(done[1]) < 22
    assert re.search(rf"∂l/∂S was wrong at \d+ of {done[1]}", out)
    assert json.loads(record.read_text(encoding="utf-8"))["interrupted"] in out
    assert ET.parse(junit).getroot().get("errors") == "1"


def test_an_audit_that_is_interrupted_before_anything_is_found_is_not_right():
    def relu(S, G):
        if S.ndim > 2:
            signal.raise_signal(signal.SIGINT)
        return G * (S > 0)

    with ctrl_c(), pytest.raises(Interrupted, match=r"^Interrupted after \d+ of 22 cases") as caught:
        audit_relu(relu)
    report = caught.value.report
    assert (report.ok, report.findings, report.notes) == (False, (), ())
    assert "✓" not in str(report)
    with pytest.raises(AuditError, match=r"^Interrupted"):
        report.check()


def test_ctrl_c_before_anything_is_found_out_says_that_nothing_was_written(tmp_path):
    called, record = tmp_path / "called", tmp_path / "record.json"
    file = write(tmp_path, f"open({str(called)!r}, 'w').close()\ntime.sleep(3600)\n")
    process = start("audit", f"{file}:relu", "--json", record, start_new_session=True)
    wait_for(called.exists)
    running = descendants(process)
    press(process)
    assert interrupted(process, running) == "Interrupted before there was a result; no file was written.\n"
    assert process.returncode == 130
    assert not record.exists()


def test_what_was_checked_before_a_ctrl_c_is_in_its_report():
    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"^Interrupted") as caught:
        verify([Geometry((1, 3, size), (1, 1, 2, 2)) for size in range(2, 9)], identities=["L18"], progress=stop)
    report = caught.value.report
    assert (report.layers, report.left > 0, report.ok) == (3, True, False)
    assert report.rows[0].counts["exact"] > 0
    assert report.to_dict()["left"] == report.left


# what code raises, prints and changes ---------------------------------------------------------------------------------

RAISING = """
class Own(BaseException):
    pass
class Mute(Exception):
    def __str__(self):
        raise Own
def raising(S, G):
    match S.size % 4:
        case 0:
            raise KeyboardInterrupt
        case 1:
            raise GeneratorExit
        case 2:
            raise Own("no device")
    raise Mute
"""
RAISED = {
    "raise KeyboardInterrupt": "KeyboardInterrupt:",
    "raise GeneratorExit": "GeneratorExit:",
    'raise Own("no device")': "Own: no device",
    "raise Mute": "Mute: its text raises Own",
}


def test_whatever_code_raises_is_a_finding_with_its_line(tmp_path):
    file = write(tmp_path, RAISING)
    lines = file.read_text().splitlines()
    status, out, err = run("audit", f"{file}:raising", "--layer", "relu")
    assert (status, err) == (1, "")
    names = {"__name__": "somebodys"}
    exec(compile(file.read_text(), str(file), "exec"), names)
    for report in (out, str(audit_relu(names["raising"]))):
        found = [" ".join(line.split()) for line in report.splitlines() if line.startswith("✗")]
        assert len(found) == len(RAISED)
        for source, said in RAISED.items():
            line = next(number for number, each in enumerate(lines, 1) if each.endswith(source))
            assert f"✗ backward raises on legal input: {said} (raising, line {line}: `{source}`)" in found


def test_whatever_a_file_raises_where_it_is_loaded_is_said_in_one_line(tmp_path, here):
    file = write(tmp_path, RAISING + "raise Mute\n")
    status, out, err = here("audit", f"{file}:raising", "--layer", "relu")
    assert (status, out) == (2, "")
    assert err == f"jacobians: {file} does not load: Mute: its text raises Own\n"


def test_a_ctrl_c_in_python_ends_an_audit_also_where_the_code_catches_it():
    def relu(S, G):
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGINT)
        return G * (S > 0)

    with ctrl_c(), pytest.raises(KeyboardInterrupt, match=r"^Interrupted after 0 of"):
        audit_relu(relu)


CHANGING = """
import random
def changing(S, G):
    np.seterr(all="raise")
    os.chdir("/")
    os.environ["SOMEBODYS"] = "1"
    random.seed(0)
    np.random.seed(0)
    return G * (S > 0)
"""
CHANGED = (
    "np.seterr, the working directory, the environment, the random numbers of Python and the random numbers of NumPy"
)
# Right code that changes what it should not, prints, and forks children that come back in each way there is.
UNTIDY = f"""
{CHANGING}
import itertools, subprocess
print("loaded")
with open(__file__ + ".left", "w") as left:
    print(subprocess.Popen(["sleep", "3600"]).pid, file=left)
ways = itertools.cycle([None, SystemExit, ValueError])
pids = open(__file__ + ".pids", "a", buffering=1)
def untidy(S, G):
    way = next(ways)
    if os.fork() == 0:
        print(os.getpid(), file=pids)
        if way:
            raise way
        return G * (S > 0)
    os.wait()
    print("in Python")
    os.write(1, b"below it" + bytes([10]))
    os.write(2, b"x" * 1000)
    return changing(S, G)
"""


@pytest.fixture(scope="module")
def untidy(tmp_path_factory):
    file = write(tmp_path_factory.mktemp("untidy"), UNTIDY)
    return file, *run("audit", f"{file}:untidy", "--layer", "relu")


def test_right_code_is_right_whatever_else_it_does(untidy):
    _, status, out, _ = untidy
    assert status == 0
    assert re.fullmatch(r"✓ .*(\n  .*)*\n", out)


def test_a_forked_child_that_comes_back_ends(untidy):
    children = [int(line) for line in Path(f"{untidy[0]}.pids").read_text().splitlines()]
    assert len(children) == len(set(children)) > 9
    assert all_ended(children)


def test_what_code_leaves_running_ends_with_the_audit(untidy):
    assert all_ended([int(Path(f"{untidy[0]}.left").read_text())])


def test_what_code_prints_goes_to_stderr_and_is_cut(untidy):
    *_, err = untidy
    assert err.startswith("loaded\nin Python\nbelow it\nxxx")
    assert 20_000 < len(err) < 21_000
    assert "20000 bytes" in err.splitlines()[-1]


def test_what_code_changes_for_the_whole_process_is_noted(untidy):
    assert f"note: backward changes {CHANGED} for the whole process" in untidy[2]


def test_what_code_changes_for_the_whole_process_is_put_back(tmp_path):
    here = {}
    exec(CODE + CHANGING, here)

    def around():
        return np.geterr(), Path.cwd(), dict(os.environ), random.getstate(), str(np.random.get_state())  # noqa: NPY002

    before = around()
    report = audit_relu(here["changing"]).check()
    assert around() == before
    assert any(CHANGED in note for note in report.notes)


def test_code_that_changes_nothing_around_itself_has_no_note():
    assert audit_relu(lambda S, G: G * (S > 0)).notes == ()


def test_random_results_are_seen_although_random_numbers_are_put_back():
    def relu(S, G):
        return G * (S > 0) + np.random.randint(2)  # noqa: NPY002

    assert any("another result" in each.title or each.kind == "state" for each in audit_relu(relu).findings)


# what is too large ----------------------------------------------------------------------------------------------------


LARGE = ("--image", "1048576x1048576")


@pytest.mark.parametrize(
    "command", [("show",), ("explore", "-o"), *(("plot", name, "-o") for name in ("jacobian", "patch"))], ids=" ".join
)
def test_every_command_refuses_what_is_too_large_at_once(tmp_path, here, command):
    shows = command == ("show",)
    status, out, err = run(*command, *LARGE) if shows else here(*command, str(tmp_path / "out.svg"), *LARGE)
    assert (status, out) == (2, "")
    assert re.fullmatch(r"jacobians: .*1048576.* at most \d+; .+\n", err)
    assert list(tmp_path.iterdir()) == []


def test_little_memory_is_told_of_in_one_line():
    # 3 GiB hold the libraries, and no matrix of four times as many bytes.
    code = (
        "import numpy as np, jacobians; from jacobians import cli; "
        "cli.app.command('build')(lambda: jacobians.filter_matrix(np.ones((1, 8, 8)), "
        "jacobians.Geometry((1, 4000, 4000), (1, 1, 8, 8)))); cli.main()"
    )
    # The shell sets the limit: code that runs between fork and exec is refused where other threads are.
    command = ["bash", "-c", f'ulimit -v {3 << 20}; exec "$@"', "-", sys.executable, "-c", code, "build"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"jacobians: a matrix of shape .* GiB but may take [0-2]\.\d* GiB; multiply .*\n", done.stderr)


def test_memory_that_runs_out_unforeseen_is_told_of_in_one_line(tmp_path, here, monkeypatch):
    def explore(geometry):
        raise MemoryError

    monkeypatch.setattr(explorer, "explore", explore)
    status, out, err = here("explore", "-o", str(tmp_path / "out.html"))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "not enough memory" in err


def test_a_result_that_is_too_large_is_a_finding_at_once(tmp_path, here):
    file = write(
        tmp_path,
        """
def relu(S, G):
    return np.broadcast_to(1.0, (2**20, 2**20))
def gigabytes(S, G):
    open(__file__ + ".calls", "a").write("x")
    return np.empty(2**28)
""",
    )
    for name in ("relu", "gigabytes"):
        status, out, err = here("audit", f"{file}:{name}", "--layer", "relu")
        assert (status, err, out.count("✗")) == (1, "", 1)
        assert re.search(r"✗ ∂l/∂S has shape \((1048576, 1048576|268435456,)\), not", out)
    assert len((tmp_path / "somebodys.py.calls").read_text()) == 3


# arguments ------------------------------------------------------------------------------------------------------------


UNUSABLE = [
    (("audit", "FILE:right", "--axes", "40"), "--axes is 40; it needs an integer from 1 to 3"),
    (("verify", "--only", ""), "--only has ''; it needs ids among L1, L2, "),
    (("audit", "FILE:right", "--json", "FOLDER/f", "--junit", "FOLDER/f"), "--junit is FOLDER/f, which is for --json"),
    (("read", "FILE:right", "--axes", "0"), "--axes is 0; it needs an integer from 1 to 3"),
    (("verify", "--only", "L18,,L20"), "--only has ''; it needs ids among L1, L2, "),
    (("verify", "--jobs", "100000"), "--jobs is 100000; it needs at most "),
    (("audit", "FILE:right", "--json", "FOLDER/f", "--junit", "FOLDER/./f"), "--junit is FOLDER/f, which is for --j"),
    (("audit", "FILE:right", "--json", "FILE"), "--json is FILE, which is for the code; name another file"),
    (("read", "FILE:right", "--json", "FILE"), "--json is FILE, which is for the code; name another file"),
]


@pytest.mark.parametrize("number", range(len(UNUSABLE)), ids=[" ".join(arguments) for arguments, _ in UNUSABLE])
def test_what_a_command_cannot_use_is_told_of_in_one_line(tmp_path, here, number):
    file = write(tmp_path, "")
    before, (arguments, said) = file.read_text(), UNUSABLE[number]
    places = {"FILE": str(file), "FOLDER": str(tmp_path)}

    def put(text):
        for name, place in places.items():
            text = text.replace(name, place)
        return text

    given = list(map(put, arguments))
    status, out, err = run(*given) if number == 0 else here(*given)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"jacobians: {put(said)}")
    assert ([each.name for each in tmp_path.iterdir()], file.read_text()) == (["somebodys.py"], before)


def test_a_dtype_may_be_named_by_its_letter(tmp_path, here):
    file = write(tmp_path, "")
    status, out, err = here("audit", f"{file}:right_relu", "--layer", "relu", "--dtype", "f")
    assert (status, err) == (0, "")
    assert out.startswith("✓ ∂l/∂S is right")
    assert "float32" in out


# terminals without signs ----------------------------------------------------------------------------------------------


def run_poorly(poor, *arguments):
    """Run the command where the locale has nothing but ASCII."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LANG", "LC_", "PYTHONIO"))}
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=LONG,
        env={**kept, **poor},
    )
    return done.returncode, done.stdout.decode("ascii"), done.stderr.decode("ascii")


MATRIX = "[ X11  X12  X13  X21  X22  X23  X31  X32  X33 ]  (S11)"
TURNED = "def turned(X, F):\n    return right(X, F[:, :, ::-1, ::-1])\n"


def test_a_report_is_printed_in_ascii_where_there_is_nothing_else(tmp_path):
    status, out, err = run_poorly({"LANG": "C"}, "audit", f"{write(tmp_path, TURNED)}:turned")
    assert (status, err) == (1, "")
    assert out.startswith("[x] S is wrong: the filter is rotated by 180 degrees\n")
    assert "S11: expected X11F11 + X12F12   got X11F12 + X12F11" in out
    assert re.search(r"^  your code: +S\[i, l, m\] = sum X\[k, y, x\] \* F\[i, k, a, b\] ", out, re.MULTILINE)


def test_matrices_and_what_is_refused_are_printed_in_ascii_where_there_is_nothing_else():
    status, out, err = run_poorly({"LC_ALL": "POSIX"}, "show", "image_matrix")
    assert (status, err) == (0, "")
    assert out.splitlines()[1] == MATRIX
    status, out, err = run_poorly({"LANG": "C"}, "show", "--image", "2x2")
    assert (status, out) == (2, "")
    assert err.startswith("jacobians: filters has 3 taps on spatial axis 0")


@pytest.mark.parametrize(
    ("arguments", "begun"),
    [
        (("show", "image_matrix"), re.escape(MATRIX)),
        (("read", "FILE:turned"), r"S\[i, l, m\] = sum X\[k, y, x\] \* F\[i, k, a, b\] "),
        (("verify", "--only", "L6", "--jobs", "1"), r"L6 +dl/dvec\(S\) = "),
    ],
    ids=["show", "read", "verify"],
)
def test_all_commands_print_ascii_to_what_takes_nothing_else(tmp_path, monkeypatch, here, arguments, begun):
    file = write(tmp_path, TURNED)
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2)]
    for name, stream in zip(("stdout", "stderr"), streams, strict=True):
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(cli._terminal, "ascii_alone", False)
    status, *_ = here(*(each.replace("FILE", str(file)) for each in arguments))
    out, err = (stream.buffer.getvalue().decode("ascii") for stream in streams)
    assert (status, err) == (0, "")
    assert re.search(f"^{begun}", out, re.MULTILINE)


def test_signs_are_printed_where_they_can_be(here):
    status, out, _ = here("show", "image_matrix")
    assert (status, out.splitlines()[1][:7]) == (0, "[ X₁₁  ")
