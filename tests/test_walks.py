"""Walks of the guide: their files are written, their commands run, and the outputs are those of the pages."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.test_cli import run

PAGES = Path(__file__).parents[1] / "docs" / "how-to"
WALKS = ("audit-classes", "audit-pytorch", "audit-any-language", "audit-numpy")
BLOCK = re.compile(r"^```(python|c|diff|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"(?:#|//) (\S+\.(?:py|c))\n")


def section(page):
    text = (PAGES / f"{page}.md").read_text("utf-8")
    return re.search(r"^## [^\n]*{ #walk }\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]


def steps(page):
    """Files, changes to them, and commands with what they print, in the order of the page."""
    for language, text in BLOCK.findall(section(page)):
        if language == "diff":
            yield "change", text
        elif language == "console":
            for each in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                yield "command", each
        elif name := NAMED.match(text):
            yield "file", (name[1], text)


def changed(text):
    """Replace lines of a file, each of which stands there once."""
    name, *lines = text.splitlines()
    file = Path(name.removeprefix("--- "))
    source, old, new = (
        file.read_text("utf-8"),
        *("\n".join(each[1:] for each in lines if each[0] == sign) for sign in "-+"),
    )
    assert source.count(old) == 1
    file.write_text(source.replace(old, new), "utf-8")


@pytest.mark.parametrize("page", WALKS)
def test_a_walk_prints_what_its_page_says(page, capsys, monkeypatch, tmp_path):
    if page == "audit-pytorch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    if page == "audit-any-language" and not shutil.which("cc"):
        pytest.skip("there is no cc here")
    monkeypatch.chdir(tmp_path)
    statuses = []
    for kind, what in steps(page):
        if kind == "file":
            name, text = what
            Path(name).parent.mkdir(exist_ok=True)
            (Path(name).parent / "__init__.py").touch()
            Path(name).write_text(text, "utf-8")
        elif kind == "change":
            changed(what)
        else:
            command, _, wanted = what.partition("\n")
            program, *arguments = shlex.split(command)
            if program != "jacobians":
                subprocess.run([program, *arguments], check=True)
                continue
            status, out, _ = run(capsys, monkeypatch, *arguments)
            assert out.strip() == wanted.strip()
            statuses.append(status)
    # Each shows right code and wrong code.
    assert set(statuses) == {0, 1}


def test_no_walk_needs_more_than_one_flag_to_be_understood():
    told = {"--stride", "--padding", "--dilation", "--groups", "--command", "--backward"}
    for page in WALKS:
        for kind, what in steps(page):
            if kind == "command" and what.startswith("jacobians"):
                assert len({each for each in what.partition("\n")[0].split() if each.startswith("--")} - told) <= 1
