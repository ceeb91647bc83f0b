"""Every finding points to a section of docs/reference/theories.md, and the section lists what is recognised there."""

import ast
import re
from pathlib import Path

import pytest

from jacobians.audit.layers import fully_connected, relu, softmax
from jacobians.audit.theories import THEORIES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reference" / "theories.md").read_text("utf-8")
HEADING = re.compile(r"^## .*\{ *#([\w-]+) *\}$", re.MULTILINE)


def strings(node):
    match node:
        case ast.Call():
            return [each.value for each in node.keywords if each.arg == "anchor"]
        case ast.Dict():
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            return [value for key, value in zip(keys, node.values, strict=True) if key == "anchor"]
        case ast.FunctionDef():
            arguments = node.args.posonlyargs + node.args.args
            defaults = zip(reversed(arguments), reversed(node.args.defaults), strict=False)
            keyword_only = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            return [value for argument, value in [*defaults, *keyword_only] if argument.arg == "anchor"]
    return []


def anchors():
    found = {theory.anchor for theory in THEORIES}
    for path in (ROOT / "jacobians" / "audit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            found |= {each.value for each in strings(node) if isinstance(each, ast.Constant) and each.value}
    return sorted(found)


def sections():
    parts = HEADING.split(PAGE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("anchor", anchors())
def test_every_anchor_of_a_finding_is_a_section(anchor):
    assert anchor in sections()


def test_sections_have_one_anchor_each():
    assert len(HEADING.findall(PAGE)) == len(set(HEADING.findall(PAGE))) == len(re.findall("^## ", PAGE, re.MULTILINE))


def test_anchors_are_collected_from_the_sources_too():
    assert {"memory", "precision", "shapes", "rotation"} <= set(anchors())


@pytest.mark.parametrize("title", sorted({theory.title for theory in THEORIES}))
def test_every_title_is_listed_in_its_section(title):
    for anchor in {theory.anchor for theory in THEORIES if theory.title == title}:
        assert f"“{title}”" in sections().get(anchor, "")


def titles_of_other_layers():
    """All mistakes by section; of softmax the single ones, and ε for the small numbers that are tried."""
    formulas = (*softmax._gradients(), *softmax._losses(), *softmax._weights())
    lost = [title for title, *_ in (*softmax.NOT_EACH, *softmax.UNDERFLOW.values()) if title]
    return {
        "relu": {each.title for each in relu.LAYER.theories},
        "fully-connected": {each.title for each in fully_connected.THEORIES},
        "softmax": {re.sub(r"1e-\d\d", "ε", title) for title in (*(each.title for each in formulas), *lost)},
    }


@pytest.mark.parametrize("section", titles_of_other_layers())
def test_the_section_of_another_layer_lists_its_mistakes_and_no_other(section):
    listed = re.findall("“([^”]*)”", sections()[section])
    assert sorted(listed) == sorted(titles_of_other_layers()[section])


def test_the_layers_point_to_their_sections():
    layers = relu.LAYER, fully_connected.layer(bias=True), *softmax.LAYERS.values()
    assert {layer.anchor for layer in layers} == set(titles_of_other_layers())
