"""Every finding points to a section of docs/reference/theories.md."""

import ast
import re
from pathlib import Path

import pytest

from jacobians.audit.layers.fully_connected import FullyConnected
from jacobians.audit.layers.relu import Relu
from jacobians.audit.layers.softmax import Softmax

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reference" / "theories.md").read_text("utf-8")
HEADING = re.compile(r"^## .*\{ *#([\w-]+) *\}$", re.MULTILINE)


# Where findings point to: the last of (cause, cure, anchor).
ANCHORS = {"layout", "memory", "nan", "precision", "relu", "remainder", "shapes", "small"}


def anchors():
    """All words of the audit's sources that are sections, and those of the layers."""
    found = {each.anchor for each in (FullyConnected, Relu, Softmax)}
    for path in (ROOT / "jacobians" / "audit").rglob("*.py"):
        constants = (
            node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)
        )
        found |= ANCHORS & {each for each in constants if isinstance(each, str)}
    return sorted(found)


def sections():
    parts = HEADING.split(PAGE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("anchor", anchors())
def test_every_anchor_of_a_finding_is_a_section(anchor):
    assert anchor in sections()


def test_sections_have_one_anchor_each():
    assert len(HEADING.findall(PAGE)) == len(set(HEADING.findall(PAGE))) == len(re.findall("^## ", PAGE, re.MULTILINE))


def test_all_anchors_are_in_use():
    assert set(anchors()) == ANCHORS | {"fully-connected", "softmax"}
