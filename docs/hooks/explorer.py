"""The explorer that is embedded in the guide, written while the site is built."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from jacobians.explorer import explore

PAGE = "learn/explorer.html"


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the explorer of the lecture's 6×6 image and 3×3 filter to what the site is made of.

    Parameters
    ----------
    files : Files
        What the site is made of.
    config : MkDocsConfig
        Where it is built.

    Returns
    -------
    Files
        The same, with the explorer.
    """
    files.append(File.generated(config, PAGE, content=explore()))
    return files
