"""The colours of X, F, S and G in the guide, which are those of the explorer and of the pictures."""

from __future__ import annotations

import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from jacobians import colours

# What latex2mathml makes of these letters, alone and with an index.
LETTER = re.compile("<mi>([XFSG])</mi>")


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add a stylesheet with the colours.

    Parameters
    ----------
    files : Files
        What the site is made of.
    config : MkDocsConfig
        Where it is built.

    Returns
    -------
    Files
        The same, with the stylesheet.
    """
    rules = [f"mi.{letter} {{ color: var(--{letter}); }}" for letter in colours.COLOURS]
    content = "\n".join([colours.stylesheet(), *rules, ""])
    files.append(File.generated(config, "stylesheets/colours.css", content=content))
    return files


def on_page_content(content: str, **_: Any) -> str:
    """Mark the letters X, F, S and G of formulas, which are MathML by then.

    Parameters
    ----------
    content : str
        The page as HTML.

    Returns
    -------
    str
        The page with a class on each of these letters.
    """
    return LETTER.sub(r'<mi class="\1">\1</mi>', content)
