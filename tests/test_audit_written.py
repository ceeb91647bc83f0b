"""The pytest file of an audit, the code and the command that a report ends with, and times for CI."""

import re
import sys
from xml.etree import ElementTree as ET

import pytest

from jacobians import Geometry, audit
from jacobians.audit.written_test import Code, written_test
from jacobians.testing import assert_convolution
from tests.convolutions import Layer
from tests.test_cli import run

OPTIONS = {"stride": 2, "padding": 1, "dilation": 1, "groups": 2}
FIXED = {"spatial_ndim": 2, "bias": False, "dtype": "float64", "seed": 0}
SOURCE = """
from tests.convolutions import Layer
LAYER = Layer(stride=2, padding=1, groups=2)
forward = LAYER.forward
def backward(X, F, G):
    dX, dF = LAYER.backward(X, F, G)
    return dX, SIGN * dF
"""
RELU = "def relu_backward(S, G):\n    return G * (S > 0)\n"


@pytest.fixture
def few(monkeypatch):
    """Let audits be short."""
    some = [Geometry((4, 4, 5), (4, 2, 3, 2), **OPTIONS)]
    monkeypatch.setattr("jacobians.testing.audit", lambda *code, **options: audit(*code, **options, geometries=some))


def test_the_file_passes_right_code_and_fails_wrong_code(few, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    for folder in ("src", "tests_of_it"):
        (tmp_path / folder).mkdir()

    def defined(name, sign):
        (tmp_path / "src" / f"{name}.py").write_text(SOURCE.replace("SIGN", sign), "utf-8")
        file = tmp_path / "tests_of_it" / "t.py"
        scope = {"__file__": str(file)}
        exec(written_test(Code(f"{tmp_path / 'src' / name}.py:forward", "backward"), file, [OPTIONS], FIXED), scope)
        return scope

    right, wrong = defined("my-right", "1"), defined("wrong", "-1")
    assert list(right["OPTIONS"]) == ["s2-p1-d1-g2"]
    right["test_convolution"](right["OPTIONS"]["s2-p1-d1-g2"])
    with pytest.raises(AssertionError, match="∂l/∂F is wrong: the sign of"):
        wrong["test_convolution"](wrong["OPTIONS"]["s2-p1-d1-g2"])


def test_a_file_of_several_options_has_a_test_for_each(few, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "strided.py").write_text(SOURCE.replace("SIGN", "1"), "utf-8")
    file = tmp_path / "t.py"
    scope = {"__file__": str(file)}
    options = [OPTIONS, OPTIONS | {"groups": 1}, {"padding": "same"}]
    exec(written_test(Code(f"{tmp_path / 'strided.py'}:forward", "backward"), file, options, FIXED), scope)
    assert list(scope["OPTIONS"]) == ["s2-p1-d1-g2", "s2-p1-d1-g1", "s1-psame-d1-g1"]
    scope["test_convolution"](scope["OPTIONS"]["s2-p1-d1-g2"])
    with pytest.raises(Exception, match="groups"):  # the layer that is tried has two
        scope["test_convolution"](scope["OPTIONS"]["s2-p1-d1-g1"])


def test_the_command_writes_a_file_that_runs_by_itself(capsys, monkeypatch, tmp_path):
    file = tmp_path / "test_relu.py"
    (tmp_path / "right.py").write_text(RELU, "utf-8")
    asked = ["audit", f"{tmp_path / 'right.py'}:relu_backward", "--layer", "relu", "--write-test", str(file)]
    status, out, _ = run(capsys, monkeypatch, *asked)
    assert status == 0
    assert "again:" not in out
    monkeypatch.setattr(sys, "path", [*sys.path])
    scope = {"__file__": str(file)}
    exec(file.read_text("utf-8"), scope)
    scope["test_relu"]()
    scope["right"].relu_backward = lambda S, G: G * (S >= 0)
    with pytest.raises(AssertionError, match="≥ is used where > is needed"):
        scope["test_relu"]()


@pytest.mark.parametrize(
    ("code", "expression"),
    [
        (Code("a.py:conv", framework="torch"), "(a.conv, None)"),
        (Code("a.py:conv", framework="jax"), "(a.conv, None)"),
        (Code("a.b:Conv", framework="torch"), "(code_a_b.Conv, None)"),
        (Code("a.py:-", "grad"), "(None, a.grad)"),
        (Code("a.py:f", "b.py:g"), "(a.f, b.g)"),
        (Code("a.py:f", layout="NHWC,HWIO->NHWC"), "(a.f, None)"),
        (
            Code(None, "./g {case}", command="./f {case}", timeout=9),
            "from_command('./f {case}', './g {case}', **options, bias=False, timeout=9)",
        ),
    ],
)
def test_every_kind_of_code_is_called_as_it_was_audited(code, expression, tmp_path):
    text = written_test(code, tmp_path / "t.py", [OPTIONS], FIXED)
    compile(text, "t.py", "exec")
    assert re.search(r"functions = (.*)", text)[1] == expression
    for name in ("framework", "layout"):
        value = getattr(code, name)
        assert (f"{name}={value!r}" in text) == bool(value)


def test_softmax_takes_its_passes_the_other_way_round(tmp_path):
    fixed = {"mean": False, "dtype": "float64", "seed": 3}
    text = written_test(Code("a.py:f", "g"), tmp_path / "t.py", [], fixed, "softmax_cross_entropy")
    assert "audit_softmax_cross_entropy(a.g, a.f, mean=False, dtype='float64', seed=3).check()" in text


def test_frames_of_assertions_are_hidden(few):
    with pytest.raises(AssertionError, match="the sign") as raised:
        assert_convolution(lambda X, F: -Layer(**OPTIONS).forward(X, F), **OPTIONS)
    assert all(entry.frame.f_locals.get("__tracebackhide__") for entry in raised.traceback[1:])
    assert len(raised.traceback) > 2


def test_a_report_ends_with_the_command_and_prints_code_where_asked(capsys, monkeypatch, tmp_path):
    (tmp_path / "wrong.py").write_text(RELU.replace(">", ">="), "utf-8")
    asked = ["audit", f"{tmp_path / 'wrong.py'}:relu_backward", "--layer", "relu", "--code"]
    status, out, _ = run(capsys, monkeypatch, *asked)
    assert status == 1
    assert out.splitlines()[-1] == f"  reproduce it with: jacobians {' '.join(asked)}"
    assert "import numpy as np\n" in out
    assert "dS = " in out


def test_times_are_in_the_record_and_in_junit():
    layer = Layer()
    report = audit(layer.forward, layer.backward, geometries=[Geometry((2, 3, 4), (2, 2, 2, 2))])
    suite = ET.fromstring(report.to_junit())
    times = {case.get("name"): float(case.get("time")) for case in suite.findall("testcase")}
    assert times.keys() == {"S", "∂l/∂X", "∂l/∂F"} == report.seconds.keys()
    assert all(each > 0 for each in report.seconds.values())
    assert suite.get("time") == f"{sum(report.seconds.values()):.3f}"
