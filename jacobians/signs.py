"""The signs of mathematics in ASCII, for terminals that have no others."""

from __future__ import annotations

import codecs
import os
import re
import sys
import unicodedata
from typing import Any

__all__ = ["in_ascii", "plain", "prepare"]

SIGNS = {
    "∂": "d", "·": "*", "∗": "*", "×": "x", "⊗": "(x)", "÷": "//", "−": "-", "–": "-", "‐": "-", "±": "+-", "∓": "-+",
    "Σ": "sum", "Π": "prod", "√": "sqrt", "≤": "<=", "≥": ">=", "≠": "!=", "→": "->", "∞": "inf", "…": "...",
    "⋯": "...", "⋮": ":", "⋱": ":", "⌊": "floor(", "⌋": ")", "⌈": "ceil(", "⌉": ")", "‖": "||", "ᵀ": "^T", "½": "1/2",
    "°": " degrees", "γ": "gamma", "δ": "delta", "λ": "lambda", "ρ": "rho", "✓": "[ok]", "✗": "[x]", "“": '"', "”": '"',
}  # fmt: skip
TABLE = str.maketrans(SIGNS)
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
# A sign that is printed alone, and columns: spaces between two of them.
EXPONENT, COLUMN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+"), re.compile(r"( {2,})")
HANDLER = "jacobians.signs"
C_LOCALES = {"C", "POSIX"}


def in_ascii(text: str) -> str:
    """Write text in ASCII, so that what stands in columns still does, where there is room.

    Parameters
    ----------
    text : str
        Any.

    Returns
    -------
    str
        Signs of mathematics in words or in other signs, subscripts on the line, exponents behind ^.
    """
    if text.isascii():
        return text
    return "\n".join(map(_line, text.split("\n")))


def _line(line: str) -> str:
    longer, parts = 0, list[str]()
    for part in COLUMN.split(line):
        if part.startswith("  "):
            kept = max(len(part) - longer, 1)
            longer -= len(part) - kept
            parts.append(" " * kept)
        else:
            parts.append(plain(part))
            longer += len(parts[-1]) - len(part)
    return "".join(parts)


def plain(text: str) -> str:
    """Write text in ASCII, sign by sign.

    Parameters
    ----------
    text : str
        Any.

    Returns
    -------
    str
        As `in_ascii`, with all spaces.
    """
    raised = EXPONENT.sub(lambda found: "^" + found.group().translate(RAISED), text)
    decomposed = unicodedata.normalize("NFKD", raised.translate(TABLE))
    return "".join(
        each if each.isascii() else "" if unicodedata.combining(each) else "?" for each in decomposed.translate(TABLE)
    )


def prepare(*streams: Any) -> bool:
    """Let streams print what they can of any text, and the rest in ASCII.

    Parameters
    ----------
    *streams : text streams
        Such as ``sys.stdout``; the first one decides.

    Returns
    -------
    bool
        Whether it has ASCII only.
    """
    codecs.register_error(HANDLER, _replaced)
    given = [stream for stream in streams if hasattr(stream, "reconfigure")]
    ascii_alone = bool(given) and (_is_c_locale() or not _has_subscripts(given[0].encoding))
    for stream in given:
        stream.reconfigure(errors=HANDLER, **({"encoding": "ascii"} if ascii_alone else {}))
    return ascii_alone


def _replaced(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return plain(error.object[error.start : error.end]), error.end


def _has_subscripts(encoding: str) -> bool:
    try:
        "X₁₁ ⋯ ∂".encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _is_c_locale() -> bool:
    """Whether the user asks for the C locale: Python writes UTF-8 there all the same, unless it is told otherwise."""
    if not sys.flags.utf8_mode or "utf8" in sys._xoptions or {"PYTHONUTF8", "PYTHONIOENCODING"} & set(os.environ):  # noqa: SLF001  # documented
        return False
    # Python itself sets LC_CTYPE there.
    return bool({os.environ.get("LC_ALL"), os.environ.get("LANG")} & C_LOCALES)
