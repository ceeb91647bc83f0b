"""Every finding points to a section of docs/reference/atoms.md, whose table is what the package prints."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from jacobians.audit.report import Finding
from jacobians.formula.atoms import atoms

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "atoms.md"
TEXT = PAGE.read_text("utf-8")
spec = importlib.util.spec_from_file_location("atoms", ROOT / "docs" / "examples" / "atoms.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)

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


def test_table_is_what_the_package_prints():
    """If this fails: python docs/examples/atoms.py docs/reference/atoms.md."""
    assert script.ROWS.search(TEXT)[0] == script.table()


def test_every_atom_has_a_row():
    assert [atom.name for atom in atoms()] == ROWS


def test_a_phrase_shows_what_is_filled_in():
    assert script.shown("{number}{what} is added{where}") == "*number*·*what* is added *where*"


def test_script_writes_the_table_into_a_page():
    old = f"before\n\n{script.HEADER}| old | old | old |\n\nafter\n"
    assert script.ROWS.sub("new\n", old) == "before\n\nnew\n\nafter\n"


def test_findings_point_to_the_page():
    line = str(Finding("S", "is wrong", "values", anchor="sign")).splitlines()[1]
    assert line == f"  see: {PAGE.relative_to(ROOT).as_posix()}#sign"
