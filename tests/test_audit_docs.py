"""Every finding names a row or a section of the page that the package has, and explains."""

import ast
import re
from pathlib import Path

import pytest

from jacobians.audit.explanations import _italics, explanation, names, page
from jacobians.audit.report import Finding
from jacobians.formula.atoms import atoms
from tests.test_cli import run

ROOT = Path(__file__).parents[1]
TEXT = page()

SECTIONS = re.findall(r"^## .*\{ *#([\w-]+) *\}$", TEXT, re.MULTILINE)
ROWS = re.findall(r'<a id="([\w-]+)"></a>', TEXT)
WORD = re.compile("[a-z][a-z-]+")


def is_text(node):
    match node:
        case ast.Constant(value=str(text)):
            return text.endswith(".")
        case ast.Name(id=name):
            return name == "cure"
    return isinstance(node, ast.Starred | ast.Subscript | ast.JoinedStr)


def pointed_to(path):
    """What a source names as an anchor: last of (cause, cure, anchor), behind a text, and as the field of that name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Tuple(elts=[*_, before, ast.Constant(value=str(name))]) if WORD.fullmatch(name) and is_text(
                before
            ):
                yield name
            case ast.Tuple(elts=[_, _, ast.BoolOp(values=[*_, ast.Constant(value=str(name))])]):
                yield name
            case ast.keyword(arg="anchor", value=ast.Constant(value=str(name))):
                yield name
            case ast.AnnAssign(target=ast.Name(id="anchor"), value=ast.Constant(value=str(name))):
                yield name
            case ast.Call(func=ast.Name(id="Explanation"), args=[_, _, _, _, _, ast.Constant(value=str(name))]):
                yield name


def anchors():
    paths = [path for room in ("audit", "testing") for path in sorted((ROOT / "jacobians" / room).rglob("*.py"))]
    return sorted({name for path in paths for name in pointed_to(path)} - {""})


@pytest.mark.parametrize("anchor", anchors())
def test_every_anchor_of_a_finding_is_on_the_page(anchor):
    assert anchor in {*SECTIONS, *ROWS}


def test_all_sections_are_pointed_to():
    assert set(SECTIONS) == {*anchors(), "differences"} - {*ROWS}


def test_sections_and_rows_have_one_anchor_each():
    assert len(SECTIONS) == len(re.findall("^## ", TEXT, re.MULTILINE))
    assert len({*SECTIONS, *ROWS}) == len(SECTIONS) + len(ROWS)


def test_every_atom_has_a_row():
    assert [atom.name for atom in atoms()] == ROWS


def test_a_phrase_shows_what_is_filled_in():
    assert _italics("{number}{what} is added{where}") == "*number*·*what* is added *where*"


def test_findings_name_what_can_be_explained():
    line = str(Finding("S", "is wrong", "values", anchor="sign")).splitlines()[1]
    assert line == "  see: jacobians explain sign"


@pytest.mark.parametrize("name", names())
def test_everything_is_explained_in_plain_text(name):
    said = explanation(name)
    assert len(said.splitlines()) > 1
    assert not re.search(r"\]\(|```|\{ *#|<!--", said)


def test_names_are_those_of_the_page():
    assert {*names()} == {*SECTIONS, *ROWS}


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("rotation", "filter-not-rotated"),
        ("Filter-Turned", "filter-turned"),
        ("nan", "NaN"),
        ("remainder", "The remainder"),
    ],
)
def test_a_word_finds_what_has_to_do_with_it(asked, first):
    assert explanation(asked).startswith(first)


def test_the_command_explains(capsys, monkeypatch):
    assert run(capsys, monkeypatch, "explain")[1].split() == [*names()]
    status, out, _ = run(capsys, monkeypatch, "explain", "rotation")
    assert status == 0
    assert "np.flip(F, axis=(2, 3))" in out
    status, _, err = run(capsys, monkeypatch, "explain", "fliter-turned")
    assert status == 2
    assert "did you mean filter-turned?" in err
