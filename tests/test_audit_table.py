"""The table of docs/reference/mistakes.md is what audits of docs/examples/mistakes.py print."""

import dataclasses
import functools
import importlib.util
import sys
from pathlib import Path

import pytest

from jacobians import audit

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "docs" / "examples" / "mistakes.py"
spec = importlib.util.spec_from_file_location("mistakes", SCRIPT)
mistakes = importlib.util.module_from_spec(spec)
sys.modules["mistakes"] = mistakes  # dataclasses look their module up
spec.loader.exec_module(mistakes)

PAGE = (ROOT / "docs" / "reference" / "mistakes.md").read_text("utf-8").splitlines()
ROWS = PAGE[PAGE.index(mistakes.HEADER) + 2 :]
ROWS = ROWS[: ROWS.index("")]

RIGHT = [
    mistakes.Layer(),
    mistakes.Layer(stride=(2, 3), padding=((1, 2), (0, 1)), dilation=(2, 1)),
    mistakes.Layer(stride=(2, 1), padding=((2, 2), (1, 0)), dilation=(1, 2), groups=2),
]


@pytest.mark.parametrize("name", mistakes.MISTAKES)
def test_row_is_what_the_audit_prints(name):
    """If this fails: python docs/examples/mistakes.py docs/reference/mistakes.md."""
    assert mistakes.MISTAKES[name].row() in ROWS


def test_table_has_a_row_per_mistake():
    assert len(ROWS) == len(mistakes.MISTAKES)


@pytest.mark.parametrize("layer", RIGHT)
def test_what_the_mistakes_are_derived_from_is_right(layer):
    backwards = [mistakes.backward] if layer.groups > 1 else [mistakes.backward, mistakes.backward_by_convolution]
    for backward in backwards:
        functions = (functools.partial(each, layer=layer) for each in (mistakes.forward, backward))
        audit(*functions, **dataclasses.asdict(layer)).check()


def test_script_writes_the_table_into_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{mistakes.HEADER}\n|---|---|\n| old | old |\n\nafter\n", "utf-8")
    mistakes.write(page, f"{mistakes.HEADER}\n|---|---|\n| new | new |\n")
    assert page.read_text("utf-8") == f"before\n\n{mistakes.HEADER}\n|---|---|\n| new | new |\n\nafter\n"
