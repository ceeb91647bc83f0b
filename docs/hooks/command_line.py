"""The page of the command line, as the commands describe themselves, written while the site is built."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGE = "reference/command-line.md"
DESCRIBE = ("-m", "typer", "jacobians.cli", "utils", "docs", "--name", "jacobians", "--title", "Command line")


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
    text = subprocess.run([sys.executable, *DESCRIBE], check=True, capture_output=True, encoding="utf-8").stdout
    files.append(File.generated(config, PAGE, content=text))
    return files
