"""Formulas as MathML, written while the site is built: browsers show it without a script or a network connection."""

from __future__ import annotations

import html
import re
from importlib.metadata import distribution
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

# What pymdownx.arithmatex makes of $…$, and of a block ```math.
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\(?:\((.*?)\\\)|\[(.*?)\\\])</\1>', re.DOTALL)
# vec, diag, …: the space of an operator around them would tear them off their brackets.
NAME = re.compile("<mo>([A-Za-z]+)</mo>")
FONT = distribution("ziamath").locate_file("ziamath/fonts/STIXTwoMath-Regular.ttf")


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the font that the package ziamath ships, for readers whose machine has none for formulas.

    Parameters
    ----------
    files : Files
        What the site is made of.
    config : MkDocsConfig
        Where it is built.

    Returns
    -------
    Files
        The same, with the font.
    """
    files.append(File.generated(config, "fonts/formulas.ttf", abs_src_path=str(FONT)))
    return files


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """Replace every formula of a page.

    Parameters
    ----------
    content : str
        The page as HTML.
    page : mkdocs.structure.pages.Page
        Named in the error.

    Returns
    -------
    str
        The page with MathML.

    Raises
    ------
    PluginError
        If a formula holds a command that is not known; the build ends.
    """

    def written(match: re.Match[str]) -> str:
        latex = html.unescape(match[2] or match[3]).strip()
        mathml = convert(latex, display="inline" if match[2] else "block")
        if "\\" in mathml or ">&<" in mathml:
            raise PluginError(f"{page.file.src_path}: this formula holds a command that is not known: {latex}")
        mathml = NAME.sub(r'<mo lspace="0.12em" rspace="0">\1</mo>', mathml)
        return f'<div class="formula">{mathml}</div>' if match[3] else mathml

    return FORMULA.sub(written, content)
