"""Formulas as MathML, written while the site is built: browsers show it without a script or a network connection."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

# What pymdownx.arithmatex makes of $…$, and of a block ```math.
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\(?:\((.*?)\\\)|\[(.*?)\\\])</\1>', re.DOTALL)


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
        return f'<div class="formula">{mathml}</div>' if match[3] else mathml

    return FORMULA.sub(written, content)
