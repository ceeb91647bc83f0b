"""The home page, which is README.md: what stands there stands here, with links that lead from here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

README = Path(__file__).parents[2] / "README.md"


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the page to those of the site.

    Parameters
    ----------
    files : Files
        What the site is made of.
    config : MkDocsConfig
        Where it is built.

    Returns
    -------
    Files
        The same, with the page.
    """
    files.append(File.generated(config, "index.md", content=text()))
    return files


def text() -> str:
    """Return what the page says.

    Returns
    -------
    str
        The text of README.md.
    """
    written = README.read_text("utf-8")
    return written.replace("](docs/", "](").replace("](jacobians/audit/explanations.md", "](reference/atoms.md")
