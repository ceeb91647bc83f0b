"""What notebooks and IPython show: HTML that is escaped and self-contained, formulas as the lecture has them."""

import functools
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import sympy
from IPython.core.interactiveshell import InteractiveShell

from jacobians import Geometry, audit, convolution, convolve, notebook, symbolic, verify, writing
from jacobians.audit import Finding

LAYER = Geometry((1, 3, 4), (1, 1, 2, 2))


@pytest.fixture(scope="module")
def shell():
    """IPython as a notebook runs it."""
    return InteractiveShell()


@pytest.fixture
def shown(shell):
    """What IPython sends to a notebook for an object."""

    def formats(record):
        data, _ = shell.display_formatter.format(record)
        return data

    return formats


def elements(html):
    """Parse it: unclosed or unescaped HTML is no XML either."""
    return ET.fromstring(f"<html>{html}</html>")


def text(html):
    return " ".join(elements(html).itertext())


def wrong(X, F):
    return 2 * np.stack([convolve(x, F) for x in X])


@functools.cache
def wrong_report():
    return audit(wrong, geometries=[LAYER])


def right_report():
    return audit(lambda X, F: np.stack([convolve(x, F) for x in X]), geometries=[LAYER])


RECORDS = {
    "Geometry": (lambda: LAYER, ["M_F^filter", "6 × 12"]),
    "options": (
        lambda: Geometry((4, 9, 8), (2, 2, 3, 2), stride=(2, 1), groups=2),
        ["options", "stride=(2, 1), groups=2", "∂vec(S)/∂vec(X)"],
    ),
    "Report": (lambda: verify([LAYER], identities=["L18"]), ["L18", "✓ holds", "✓ 1 equation holds at 1 layer"]),
    "Finding": (lambda: wrong_report().findings[0], ["✗ S is wrong", "cause:", "Code that shows it", "np.array("]),
    "AuditReport": (wrong_report, ["✗ S is wrong", "cure:"]),
    "AuditReport of right code": (right_report, ["✓ S is right", "exact on integers"]),
}


@pytest.mark.parametrize("name", RECORDS)
def test_records_are_shown_as_html_and_as_text(shown, name):
    make, said = RECORDS[name]
    record = make()
    data = shown(record)
    assert data["text/plain"] == str(record)
    page = data["text/html"]
    assert [each for each in said if each.replace("✗ ", "").replace("✓ ", "") not in text(page)] == []
    assert re.findall(r"(?:src|href|url|@import)\b", page) == []
    # In the page's own colours, light or dark: none is set but those of the two signs.
    assert set(re.findall(r"(?<![-\w])color: ([^;\"]+)", page)) <= {"inherit", *notebook.COLOURS.values()}
    assert set(re.findall(r"background[-\w]*: ([^;\"]+)", page)) <= {"none"}


def test_what_fails_is_shown_below_the_table(shown, monkeypatch):
    monkeypatch.setattr(convolution, "turn", lambda F: F)
    page = shown(verify([LAYER], identities=["L17", "L18"]))["text/html"]
    assert "FAILS" in text(page)
    assert "L18 does not hold" in text(page)
    assert "expected" in text(page)


def test_what_code_says_is_escaped(shown):
    finding = Finding("S", "raises <script>alert('&')</script>", "exception", known=("a < b",), code='print("<b>")')
    page = shown(finding)["text/html"]
    assert "<script" not in page
    assert "<b>" not in page
    assert "raises <script>alert('&')</script>" in text(page)
    assert "a < b" in text(page)
    assert "<td" in notebook.table(["<"], [["<td>"]])
    assert "<td>" not in notebook.table(["<"], [["<td>"]])


def test_notes_of_an_audit_are_shown(shown):
    report = audit(wrong, geometries=[LAYER])
    noted = type(report)(report.findings, ("x < y",), ("S",), "options", 1, 1, None, 0)
    assert "note: x < y" in text(shown(noted)["text/html"])


def test_matrices_of_symbols_are_written_as_the_lecture_writes_them(shown):
    latex = shown(symbolic.filter_matrix(LAYER))["text/latex"]
    assert latex.startswith("$\\displaystyle \\left[\\begin{array}")
    assert "F_{11} & F_{12} & 0 & 0 & F_{21} & F_{22} & 0" in latex
    # sympy alone writes F_{12} g_{1}
    assert "g_{1} F_{12} + g_{2} F_{11}" in shown(symbolic.input_gradient(LAYER))["text/latex"].replace(
        "g_{2} F", "g_{2} F"
    )
    product = symbolic.filter_matrix(LAYER) * sympy.Matrix(symbolic.symbols("X", "image", LAYER).ravel())
    assert "X_{11} F_{11} + X_{12} F_{12}" in shown(product)["text/latex"]


def test_a_large_matrix_is_cut_before_it_is_written(shown, monkeypatch):
    matrix = symbolic.filter_matrix(Geometry((1, 12, 12), (1, 1, 3, 3)))
    written, write = [], writing.write
    monkeypatch.setattr(writing, "write", lambda *given, **options: written.append(given) or write(*given, **options))
    latex = shown(matrix)["text/latex"]
    assert r"\cdots" in latex
    assert r"\vdots" in latex
    assert len(latex) < 5000
    assert len(written) < matrix.rows * matrix.cols // 10


def test_other_expressions_are_left_to_sympy(shown):
    X11, F11 = sympy.symbols("X11 F11")
    for entry in (X11 / F11, sympy.exp(X11), sympy.sqrt(X11)):
        matrix = symbolic.Matrix([[entry]])
        assert shown(matrix)["text/latex"] == sympy.Matrix([[entry]])._repr_latex_()
        with pytest.raises(ValueError, match="it needs a sum of products of symbols"):
            symbolic.write(entry)


def test_matrices_stay_sympys():
    matrix = symbolic.filter_matrix(LAYER)
    assert isinstance(matrix, sympy.MatrixBase)
    assert matrix == sympy.Matrix(matrix.tolist())
    assert repr(matrix[:1, :2]) == "Matrix([[F11, F12]])"
    assert isinstance(matrix.T, symbolic.Matrix)
