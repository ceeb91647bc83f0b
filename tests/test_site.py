"""What the build of the documentation makes beside the pages: formulas, and the page of the command line."""

import importlib.util
import json
import platform
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mkdocs.exceptions import PluginError

from jacobians import colours, explorer, plots
from tests import figures

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
    for page in (ROOT / "docs" / "learn" / name for name in ("ten-minutes.md", "lecture.md")):
        (src,) = re.findall(r'<iframe class="explorer" src="([^"#]+)#', page.read_text("utf-8"))
        assert (page.parent / src).relative_to(ROOT / "docs").as_posix() == hook("explorer").PAGE


def test_letters_of_formulas_have_the_colours_of_the_explorer_and_the_pictures():
    site = hook("colours")
    formulas = hook("maths").on_page_content(r'<span class="arithmatex">\(S = X * F_i\)</span>', PAGE)
    assert re.findall(r'<mi class="([XFSG])">\1</mi>', site.on_page_content(formulas)) == ["S", "X", "F"]
    assert site.on_page_content("<p><mi>Y</mi> and X</p>") == "<p><mi>Y</mi> and X</p>"
    page = explorer.explore()
    for letter, colour in colours.COLOURS.items():
        rule = f"--{letter}: light-dark({colour.ink[0]}, {colour.ink[1]});"
        assert rule in colours.stylesheet()
        assert rule in page
    assert plots.Scale(9, "F").cmap.colors == colours.ramp("F", 9)
    assert colours.COLOURS["F"].full == plots.FRAME


def test_the_home_page_is_the_readme_with_links_that_lead_from_there():
    links = re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", hook("home").text())
    assert "filter-matrix.png" in links
    built = {hook("explanations").PAGE}
    assert [link for link in links if link not in built and not (ROOT / "docs" / link).exists()] == []


def test_links_to_an_equation_lead_to_it_also_from_the_table_of_all():
    learn = ROOT / "docs" / "learn"
    listed = re.findall(r'<span id="l(\d+)"></span>\[L\1\]\((\w+\.md)#l\1\)', (learn / "lecture.md").read_text("utf-8"))
    assert [int(number) for number, _ in listed] == list(range(1, 25))
    for number, page in listed:
        assert f"{{ #l{number} }}" in (learn / page).read_text("utf-8")


def test_readme_links_exist():
    links = re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", (ROOT / "README.md").read_text("utf-8"))
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_measured_figures_are_shown_with_date_command_and_versions(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "RECORD", tmp_path / "figures.json")
    figures.publish("sweep", "make sweep", ["dtype", "audits"], [["float32", 18], ["float16", 17]])
    figures.publish("zoo", "make zoo", ["mistakes"], [[1]])
    figures.publish("zoo", "make zoo", ["mistakes"], [[2]])
    site = hook("figures")
    monkeypatch.setattr(site, "RECORD", figures.RECORD)
    shown = site.on_page_markdown("before\n\n<!-- figures: sweep -->\n\n<!-- figures: zoo -->\n", PAGE)
    assert "| dtype | audits |\n| --- | --- |\n| float32 | 18 |\n| float16 | 17 |\n\nMeasured on 20" in shown
    assert f"`make sweep`: Python {platform.python_version()}, " in shown
    assert f", numpy {np.__version__}, " in shown
    assert "| mistakes |\n| --- |\n| 2 |\n\n" in shown
    assert "| 1 |" not in shown
    with pytest.raises(PluginError, match=r"learn/page\.md: there are no figures called bench; known: .'sweep', 'zoo'"):
        site.on_page_markdown("<!-- figures: bench -->", PAGE)


def test_the_command_of_figures_names_no_place_of_one_machine():
    given = ["--first", "5", "--record", "/somewhere/zoo.json", "--publish"]
    assert figures.command_of("zoo", given) == "make zoo ARGS='--first 5 --publish'"
    assert all("/" not in each["command"] for each in json.loads(figures.RECORD.read_text("utf-8")).values())


def test_the_record_holds_what_the_pages_show():
    record = json.loads(figures.RECORD.read_text("utf-8"))
    shown = [
        name
        for page in (ROOT / "docs").rglob("*.md")
        for name in hook("figures").PLACE.findall(page.read_text("utf-8"))
    ]
    assert sorted(shown) == sorted(record)
    for measured in record.values():
        assert all(len(row) == len(measured["columns"]) for row in measured["rows"])
