"""What the build of the documentation makes beside the pages: formulas, and the page of the command line."""

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[1]
PAGE = SimpleNamespace(file=SimpleNamespace(src_path="learn/page.md"))


def hook(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "hooks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_formulas_become_mathml():
    html = r'<p>a <span class="arithmatex">\(x &lt; y\)</span> b</p><div class="arithmatex">\[\frac{1}{n}\]</div>'
    written = hook("maths").on_page_content(html, PAGE)
    assert "arithmatex" not in written
    assert re.search(r"<p>a <math [^>]*inline.*<mi>x</mi><mo>&#x0003C;</mo><mi>y</mi>.*</math> b</p>", written)
    assert re.search(r'<div class="formula"><math [^>]*block.*<mfrac>.*</math></div>', written)


@pytest.mark.parametrize("latex", [r"\nosuchcommand x", r"a &amp;= b"])
def test_formula_that_cannot_be_written_ends_the_build(latex):
    with pytest.raises(PluginError, match=r"learn/page\.md: this formula holds a command that is not known: "):
        hook("maths").on_page_content(rf'<span class="arithmatex">\({latex}\)</span>', PAGE)


def test_every_formula_of_the_guide_is_delimited_as_the_build_expects():
    """A block marked otherwise would be shown as TeX."""
    for page in (ROOT / "docs").rglob("*.md"):
        assert not re.search(r"\\\(|\\\[|^\$\$|```latex", page.read_text("utf-8"), re.MULTILINE), page


def test_the_explorer_is_embedded_where_the_build_writes_it():
    lecture = ROOT / "docs" / "learn" / "lecture.md"
    embedded = re.findall(r'<iframe src="([^"]+)"', lecture.read_text("utf-8"))
    assert [(lecture.parent / src).relative_to(ROOT / "docs").as_posix() for src in embedded] == [hook("explorer").PAGE]


def test_readme_links_exist():
    links = re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", (ROOT / "README.md").read_text("utf-8"))
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
