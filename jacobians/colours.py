"""One set of colours for X, F, S and G: the explorer, the pictures and the pages of the guide take them from here.

Each letter has one of Okabe and Ito's colours, which colour-blind eyes keep apart: blue, vermilion, reddish purple and
bluish green. The entries of one array go from dark to light in vec order, so that they keep their order in greyscale
print. Letters stand in an ink that is read on light paper (on screen and in print) and another for dark screens.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["COLOURS", "Colour", "ink_on", "luminance", "ramp", "stylesheet"]

BLACK, WHITE = "#000000", "#ffffff"
# Of the coefficients of relative luminance and of its curve: WCAG 2.2, "relative luminance".
WEIGHTS = (0.2126, 0.7152, 0.0722)


class Colour(NamedTuple):
    """The colours of one letter, as CSS and matplotlib both read them."""

    full: str
    """Okabe and Ito's."""
    ink: tuple[str, str]
    """Of letters, on light and on dark paper."""
    tint: tuple[str, str]
    """Of cells, on light and on dark paper."""
    ramp: tuple[str, ...]
    """Of the entries of one array, from dark to light."""


COLOURS = {
    "X": Colour("#0072b2", ("#005a8f", "#74c3f2"), ("#e3f0f9", "#152f42"), ("#0072b2", "#56b4e9", "#c4e6f7")),
    "F": Colour(
        "#d55e00", ("#a34400", "#ffab6b"), ("#fdeadb", "#46260f"), ("#5e1f00", "#d55e00", "#f2b134", "#fbe08a")
    ),
    "S": Colour(
        "#cc79a7", ("#8e3a6b", "#eba6cb"), ("#f9e8f1", "#40243a"), ("#4a1836", "#a8497f", "#cc79a7", "#efc2da")
    ),
    "G": Colour(
        "#009e73", ("#00694d", "#4fd6ac"), ("#dcf3eb", "#123b2f"), ("#00402e", "#009e73", "#6fcfae", "#b5e8d3")
    ),
}


def ramp(letter: str, count: int) -> list[str]:
    """Return the colours of the entries of an array.

    Parameters
    ----------
    letter : str
        X, F, S or G.
    count : int
        How many.

    Returns
    -------
    list of str
        Colours like ``"#d55e00"``, from dark to light; of a single entry, the letter's own.
    """
    own = COLOURS[letter]
    anchors = [_channels(each) for each in own.ramp]
    if count == 1:
        return [own.full]
    colours = []
    for index in range(count):
        place = index * (len(anchors) - 1) / (count - 1)
        before = min(int(place), len(anchors) - 2)
        part = place - before
        mixed = [(1 - part) * a + part * b for a, b in zip(anchors[before], anchors[before + 1], strict=True)]
        colours.append("#" + "".join(f"{round(255 * channel):02x}" for channel in mixed))
    return colours


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, from 0 for black to 1 for white."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _channels(colour)]
    return sum(weight * channel for weight, channel in zip(WEIGHTS, linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def ink_on(colour: str) -> str:
    """Return black or white, whichever is read better on the colour."""
    return max((BLACK, WHITE), key=lambda ink: contrast(ink, colour))


def stylesheet() -> str:
    """Return the colours as CSS: ``var(--X)`` for letters and ``var(--X-tint)`` for cells, each light and dark."""
    lines = [
        f"  --{letter}: light-dark({', '.join(colour.ink)}); --{letter}-tint: light-dark({', '.join(colour.tint)}); "
        f"--{letter}-full: {colour.full};"
        for letter, colour in COLOURS.items()
    ]
    return "\n".join([":root {", *lines, "}", "@media print { :root { color-scheme: light; } }", ""])


def _channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue
