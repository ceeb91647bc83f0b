import json
import subprocess
import sys

import pytest

from jacobians import cli, convolution


def run(capsys, monkeypatch, *arguments: str) -> tuple[int, str, str]:
    """Run the command in this process; return its exit status and what it printed."""
    monkeypatch.setattr(sys, "argv", ["jacobians", *arguments])
    try:
        cli.main()
    except SystemExit as stop:
        printed = capsys.readouterr()
        return int(stop.code or 0), printed.out, printed.err
    raise AssertionError("the command did not set an exit status")


def test_verify_holds(capsys, monkeypatch, tmp_path) -> None:
    record = tmp_path / "record.json"
    status, out, err = run(capsys, monkeypatch, "verify", "--only", "L4,L6", "--jobs", "1", "--json", str(record))
    assert (status, err) == (0, "")
    assert "∂l/∂s = −yᵀ/(yᵀp) · (diag(p) − ppᵀ)" in out
    assert "2 equations hold" in out
    assert json.loads(record.read_text(encoding="utf-8"))["ok"] is True


def test_verify_fails_with_status_1_and_names_the_equation(capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(convolution, "turn", lambda F: F)
    record = tmp_path / "record.json"
    status, out, _ = run(capsys, monkeypatch, "verify", "--only", "L17,L18", "--jobs", "1", "--json", str(record))
    assert status == 1
    assert "✗ L18 does not hold" in out
    assert "✗ L17" not in out
    assert json.loads(record.read_text(encoding="utf-8"))["ok"] is False


def test_verify_in_several_processes(capsys, monkeypatch) -> None:
    status, out, _ = run(capsys, monkeypatch, "verify", "--only", "L5,L6", "--jobs", "2", "--seed", "3")
    assert status == 0
    assert "(seed 3)" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "--only", "L99"], "--only has 'L99'; it needs ids among L1, L2"),
        (["verify", "--seed", "-1"], "Invalid value for '--seed'"),
        (["verify", "--seed", "x"], "Invalid value for '--seed'"),
        (["verify", "--json", "no/such/folder/record.json"], "in a folder that does not exist; make it first"),
        (["show", "filter-matrx"], "did you mean filter_matrix?"),
        (["show", "--image", "6"], "image has shape (6,), which has no spatial axis"),
        (["show", "--image", "1x6xa"], "--image has 'a'; it needs sizes with x between them, like 3x6x6"),
        (["show", "--stride", "1.5"], "--stride has '1.5'; it needs a number"),
        (["show", "--stride", "0"], "stride is 0; it needs an integer of at least 1"),
        (["show", "--padding", "full"], "padding is 'full'"),
        (["show", "--padding", "1:x"], "--padding has 'x'; it needs a number"),
        (["show", "--filters", "1x2x3x3"], "filters has 2 planes per filter but image has 1"),
        (["show", "--filter", "1"], "filter is 1 but"),
        (["show", "--format", "html"], "'html' is not one of"),
        (["prove"], "No such command"),
    ],
)
def test_unusable_arguments_end_with_status_2_and_one_message(capsys, monkeypatch, arguments, said) -> None:
    status, out, err = run(capsys, monkeypatch, *arguments)
    assert status == 2
    assert out == ""
    assert said in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


def test_show_prints_the_lectures_matrices(capsys, monkeypatch) -> None:
    status, out, _ = run(capsys, monkeypatch, "show", "--format", "text")
    assert status == 0
    assert "[ X11  X12  X13  X21  X22  X23  X31  X32  X33 ]  (S11)" in out
    assert "M_F^filter" in out
    assert "v8  = g1F22 + g2F21 + g5F12 + g6F11" in out
    assert "[ F33  F32  F31 ]" in out
    assert max(map(len, out.splitlines())) <= 110


def test_show_whole_and_options(capsys, monkeypatch) -> None:
    options = ["--image", "2x4x5", "--filters", "2x1x2x3", "--stride", "2,1", "--padding", "1:0,0:1", "--groups", "2"]
    status, out, _ = run(capsys, monkeypatch, "show", "filter-matrix", *options, "--filter", "1", "--whole")
    assert status == 0
    assert "M_F_2^filter = ∂vec(S_2)/∂vec(X)" in out
    assert "8 × 40" in out
    assert "⋯" not in out
    status, same, _ = run(capsys, monkeypatch, "show", "image_matrix", "--padding", "same", "--dilation", "2")
    assert "36 × 9" in same


def test_show_latex_can_be_pasted(capsys, monkeypatch) -> None:
    _, out, _ = run(capsys, monkeypatch, "show", "input_gradient", "--format", "latex")
    assert out.startswith("% ∂l/∂vec(X)")
    assert "\\begin{aligned}" in out


def test_help_has_examples(capsys, monkeypatch) -> None:
    for command in ("verify", "show"):
        status, out, _ = run(capsys, monkeypatch, command, "--help")
        assert status == 0
        assert f"jacobians {command}" in out
        assert "Examples" in out


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jacobians", "show", "rot180", "--format", "text"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "[ F33  F32  F31 ]" in done.stdout


def test_a_poor_terminal_loses_characters_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jacobians", "show", "rot180"],
        capture_output=True,
        check=True,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
    )
    assert b"[ F??  F??  F?? ]" in done.stdout
