"""The page of what goes wrong, which the package itself has, as a page of the site."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from jacobians.audit import explanations

PAGE = "reference/atoms.md"


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
    text = explanations.page().replace("](../../docs/", "](../")
    files.append(File.generated(config, PAGE, content=text))
    return files
