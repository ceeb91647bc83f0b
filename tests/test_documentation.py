"""Everything the documentation shows as Python is run: README.md, docs/, and the examples in docstrings."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.document import Document
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown.codeblock import CodeBlockParser, PythonCodeBlockParser
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

import jacobians

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "jacobians").rglob("*.md")])
MODULES = ["jacobians", *sorted(module.name for module in pkgutil.walk_packages(jacobians.__path__, "jacobians."))]

RUN = {"python", "pycon"}
NOT_RUN = {"bash", "c", "console", "diff", "javascript", "json", "latex", "math", "text", "toml", "yaml"}


class PyconBlockParser(PythonCodeBlockParser):
    def __init__(self):
        super().__init__()
        self.codeblock_parser = CodeBlockParser("pycon", PythonEvaluator())


def page_id(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_code_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a block that writes a file leaves nothing behind
    for example in Sybil([PythonCodeBlockParser(), PyconBlockParser()]).parse(page).examples():
        example.evaluate()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_code_block_names_a_known_language(page):
    """A block marked ``py``, ``python title="…"`` or nothing at all would be shown as code and never run."""
    fences = RawFencedCodeBlockLexer(re.compile(r"(?P<language>.*)\n"))
    languages = {fence.lexemes["language"] for fence in fences(Document(page.read_text("utf-8"), str(page)))}
    assert languages <= RUN | NOT_RUN


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_docstring_examples_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
