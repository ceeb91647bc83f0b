"""Writing sums, matrices and equations of symbols as the lecture does: as Unicode, as plain text, or for TeX."""

from __future__ import annotations

import itertools
import math
import re
import string
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from jacobians.arguments import entries, flag, instance, integer, shown, word
from jacobians.errors import ShapeError
from jacobians.geometry import Geometry, check_geometry
from jacobians.sizes import check_bytes, check_entries

__all__ = [
    "Format",
    "Role",
    "check_form",
    "check_written",
    "equations",
    "names",
    "pattern",
    "render",
    "shape_of",
    "write",
    "write_name",
    "write_sum",
]

Format = Literal["unicode", "text", "latex"]
Role = Literal["image", "filters", "responses", "bias"]

FORMATS = ("unicode", "text", "latex")
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
DOTS = {"unicode": ("⋯", "⋮", "⋱"), "text": ("...", ":", ":"), "latex": (r"\cdots", r"\vdots", r"\ddots")}
ALL_DOTS = {dots for form in DOTS.values() for dots in form}
# The order in which the lecture writes factors and sums.
LETTERS = "gXFSvb"
# Symbols, and products of them, and entries of a matrix, most of which are 0: more would take minutes to write.
MOST_SYMBOLS, MOST_ENTRIES = 1 << 18, 1 << 22
NAME_BYTES = 64
# Rows of a page; longer matrices are cut as the lecture cuts them.
PAGE_ROWS = 18
# Of a symbol: its letters, and what numbers it.
NAME = re.compile(r"([A-Za-z]+)(_?)(.*)")
# What stands for a symbol, and for 0, where there is room for one character.
MARKS = string.digits[1:] + string.ascii_letters
NOTHING = {"unicode": "·", "text": "."}
# Stands for the rows or columns that are left out.
CUT = -1


def names(letter: object, role: Role, geometry: Geometry) -> list[str]:
    """Name the entries of an array of the layer, in vec order.

    Parameters
    ----------
    letter : str
        X, F, S, g, v or b. Small letters have one number that counts the entries of a plane row by row, as g and v do
        in the lecture; capitals have one index per spatial axis.
    role : {"image", "filters", "responses", "bias"}
        Which array of the layer.
    geometry : Geometry
        The layer.

    Returns
    -------
    list of str
        One name per entry; no two are equal.

    Raises
    ------
    TooLargeError
        If they do not fit into memory.
    ValueError
        If the letter is none, or there is no such array.

    Examples
    --------
    >>> names("X", "image", Geometry((1, 2, 3), (1, 1, 1, 1)))
    ['X11', 'X12', 'X13', 'X21', 'X22', 'X23']
    >>> names("F", "filters", Geometry((2, 1, 3), (1, 2, 1, 2)))
    ['F_1,11', 'F_1,12', 'F_2,11', 'F_2,12']
    """
    shape = shape_of(role, check_geometry(geometry))
    if not isinstance(letter, str) or not (letter.isascii() and letter.isalpha()):
        raise ValueError(f"letter is {shown(letter)}; it needs a letter, such as X, F, S, g, v or b")
    cure = "name the entries of a smaller layer"
    check_bytes(f"a list of the names of {letter} of {geometry!r}", math.prod(shape) * NAME_BYTES, cure)
    depth = 0 if role == "bias" else 2 if role == "filters" else 1
    spatial = shape[depth:] if letter.isupper() else (math.prod(shape[depth:]),)
    numbered = [size > 1 for size in shape[:depth]]
    comma = max((*shape[:depth], *spatial)) > 9 if letter.isupper() else max((*shape[:depth], 1)) > 9
    result = []
    for index in itertools.product(*(range(1, size + 1) for size in (*shape[:depth], *spatial))):
        which = [str(number) for number, show in zip(index, numbered, strict=False) if show]
        groups = [which, [str(number) for number in index[depth:]]]
        joined = [("," if comma else "").join(group) for group in groups if group]
        result.append(letter + ("_" if len(joined) > 1 or "," in joined[-1] else "") + ",".join(joined))
    return result


def shape_of(role: Role, geometry: Geometry) -> tuple[int, ...]:
    """Return the shape of an array of the layer."""
    shapes = {
        "image": geometry.image,
        "filters": geometry.filters,
        "responses": geometry.responses,
        "bias": geometry.filters[:1],
    }
    return shapes[word("role", role, shapes)]


def check_written(what: str, shape: Sequence[int], geometry: Geometry, most: int = MOST_ENTRIES) -> None:
    """Refuse to write what has too many entries, by its name and shape."""
    cure = "take a smaller layer, or build it with numbers (jacobians.filter_matrix and its siblings)"
    check_entries(f"{what} of {geometry!r}", shape, most, "symbols are written for", cure)


def write(expression: Any, form: Format = "unicode", *, width: int | None = None) -> str:
    """Write a sum of products of symbols as the lecture does: ``g1F12 + g2F11``.

    Parameters
    ----------
    expression : sympy expression, polynomial ring element or number
        What to write.
    form : {"unicode", "text", "latex"}
        With subscripts, in plain ASCII, or for TeX.
    width : int, optional
        Cut the sum with dots so that it has at most this many characters.

    Returns
    -------
    str
        The sum, its products in the order of the lecture.

    Raises
    ------
    ValueError
        If the expression is something else, or there is no such form.
    """
    check_form(form)
    return _write("expression", expression, form, None if width is None else integer("width", width))


def _write(name: str, expression: Any, form: Format, width: int | None = None) -> str:
    import sympy

    products = list[tuple[Any, list[str]]]()
    for product in sympy.Add.make_args(sympy.expand(_expression(name, expression))):
        factor, rest = product.as_coeff_Mul()
        powers = [each.as_base_exp() for each in sympy.Mul.make_args(rest) if each != 1]
        if not all(_is_named(base) and power.is_Integer and power > 0 for base, power in powers):
            raise ValueError(f"{name} has the term {product}; it needs a sum of products of symbols, such as X11")
        products.append((factor, [base.name for base, power in powers for _ in range(int(power))]))
    text = write_sum(products, form)
    return text if width is None or len(text) <= width else _cut_sum(text, DOTS[form][0], width)


def write_sum(products: Iterable[tuple[Any, Sequence[str]]], form: Format = "unicode") -> str:
    """Write a sum of products, each given as a number and the names of its symbols."""
    ordered = [(number, sorted(names, key=_order)) for number, names in products]
    ordered.sort(key=lambda product: list(map(_order, product[1])))
    return _sum([_product(number, names, form) for number, names in ordered])


def _expression(name: str, value: Any) -> Any:
    """Return an expression of sympy; text, which sympy would run as a program, is none."""
    import sympy
    from sympy.polys.rings import PolyElement

    try:
        found = value.as_expr() if isinstance(value, PolyElement) else sympy.sympify(value, strict=True)
    except (sympy.SympifyError, TypeError, ValueError, AttributeError):
        found = None
    found = found.as_expr() if isinstance(found, sympy.Poly) else found
    if isinstance(found, sympy.Expr):
        return found
    raise ValueError(f"{name} is {shown(value)}; it needs a sum of products of symbols")


def _is_named(symbol: Any) -> bool:
    return symbol.is_Symbol and NAME.fullmatch(symbol.name) is not None


def write_name(name: str, form: Format = "unicode") -> str:
    """Write the name of a symbol: X₁₁ or X₂,₁₃, as ASCII, or for TeX."""
    if form == "text":
        return name
    letter, _, index = NAME.fullmatch(name).groups()  # type: ignore[union-attr]  # all names match
    if form == "latex":
        return f"{letter}_{{{index}}}" if index else letter
    return letter + index.translate(SUBSCRIPTS)


def render(
    matrix: Any,
    form: Format = "unicode",
    *,
    whole: bool = False,
    width: int = 100,
    labels: Sequence[str] | None = None,
) -> str:
    """Write a matrix of symbols for a terminal, or for TeX.

    Parameters
    ----------
    matrix : sympy.Matrix
        Of symbols, numbers, or sums of products of symbols.
    form : {"unicode", "text", "latex"}
        With subscripts, in plain ASCII, or a TeX array.
    whole : bool
        Write all of it. Otherwise rows and columns in the middle are left out with ⋯ and ⋮, as the lecture does, so
        that it fits `width` characters and a page of rows.
    width : int
        Characters in a line.
    labels : sequence of str, optional
        A name for every row, written behind it in parentheses.

    Returns
    -------
    str
        One line per row.

    Raises
    ------
    ValueError
        If there is no such form, or an entry is something else, or a label is no name.
    TypeError
        If the matrix or the labels are none.
    ShapeError
        If the matrix has no entries, or there is not a label for every row.

    Examples
    --------
    >>> import sympy
    >>> X11, X12, X13 = sympy.symbols("X11 X12 X13")
    >>> print(render(sympy.Matrix([[X11, X12], [X12, X13]]), "text", labels=["S11", "S12"]))
    [ X11  X12 ]  (S11)
    [ X12  X13 ]  (S12)
    """
    import sympy

    check_form(form)
    instance("matrix", matrix, sympy.MatrixBase, "a sympy.Matrix")
    if not all(matrix.shape):
        raise ShapeError(f"matrix has shape {matrix.shape}; it needs at least one row and one column")
    whole, width = flag("whole", whole), integer("width", width)
    labels = _named("labels", labels, matrix.rows, "row of matrix") if labels is not None else None
    rows = _shown_rows(matrix.rows, whole=whole)
    label_width = max(map(len, labels)) + 4 if labels else 0
    columns = list(range(matrix.cols)) if whole else _shown_columns(matrix, rows, width - 4 - label_width)
    across, down, both = DOTS[form]

    def cell(r: int, c: int) -> str:
        if r == CUT:
            return both if c == CUT else down
        return across if c == CUT else _entry(matrix, r, c, form)

    table = [[cell(r, c) for c in columns] for r in rows]
    behind = ["" if r == CUT or not labels else write_name(labels[r], form) for r in rows]
    return _latex(table, behind) if form == "latex" else _columns(table, behind)


def pattern(
    matrix: Any,
    symbols: Sequence[str],
    lines: tuple[int, int],
    form: Literal["unicode", "text"] = "unicode",
    *,
    width: int = 100,
    labels: Sequence[str],
) -> str:
    """Write a matrix of symbols with one character an entry, so that its pattern is seen where names do not fit.

    Parameters
    ----------
    matrix : sympy.Matrix
        Each entry is one of `symbols`, or 0.
    symbols : sequence of str
        What the first characters stand for.
    lines : (int, int)
        How many rows, and how many columns, belong together: those of one line of S, and of X or F.
    form : {"unicode", "text"}
        With subscripts, or in plain ASCII.
    width : int
        Characters in a line.
    labels : sequence of str
        A name for every row, written behind it in parentheses.

    Returns
    -------
    str
        A line per row, and below them what the characters stand for. Nothing, if there are more symbols than
        characters, or more entries in a row than the width has room for.

    Examples
    --------
    >>> import sympy
    >>> F11, F12 = sympy.symbols("F11 F12")
    >>> matrix = sympy.Matrix([[F11, F12, 0, 0], [0, 0, F11, F12]])
    >>> print(pattern(matrix, ["F11", "F12"], (2, 2), "text", labels=["S11", "S12"]))
    [ 12 .. ]  (S11)
    [ .. 12 ]  (S12)
    1 is F11, 2 is F12, . is 0
    """
    marks = dict(zip(symbols, MARKS, strict=False)) | {"0": NOTHING[form]}
    needed = 2 + matrix.cols + (matrix.cols - 1) // lines[1] + 2 + max(map(len, labels)) + 4
    if len(symbols) > len(MARKS) or needed > width:
        return ""
    written = []
    for r in _shown_rows(matrix.rows, whole=False):
        if r == CUT:
            written.append(DOTS[form][1])
            continue
        if r and r % lines[0] == 0 and lines[0] > 1:
            written.append("")
        row = "".join(marks[str(entry)] for entry in matrix.row(r))
        parts = " ".join(row[at : at + lines[1]] for at in range(0, len(row), lines[1]))
        written.append(f"[ {parts} ]  ({write_name(labels[r], form)})")
    return "\n".join([*written, _legend(symbols, form)])


def _legend(symbols: Sequence[str], form: Literal["unicode", "text"]) -> str:
    named = [write_name(name, form) for name in symbols]
    meanings = [f"{mark} is {name}" for mark, name in zip(MARKS, named, strict=False)]
    if len(named) > 4:
        dots = "…" if form == "unicode" else "..."
        meanings = [f"1 {dots} {MARKS[len(named) - 1]} are {named[0]} {dots} {named[-1]}"]
    return ", ".join([*meanings, f"{NOTHING[form]} is 0"])


def cuts_columns(matrix: Any, width: int, labels: Sequence[str]) -> bool:
    """Whether `render` leaves columns out at this width."""
    rows = _shown_rows(matrix.rows, whole=False)
    return CUT in _shown_columns(matrix, rows, width - 4 - max(map(len, labels)) - 4)


def equations(
    left: Sequence[str], right: Sequence[Any], form: Format = "unicode", *, whole: bool = False, width: int = 100
) -> str:
    """Write a vector of sums as equations, one a line: ``v1 = g1F11``.

    Parameters
    ----------
    left : sequence of str
        The names of the entries.
    right : sequence of sympy expressions
        The entries.
    form : {"unicode", "text", "latex"}
        With subscripts, in plain ASCII, or a TeX array.
    whole : bool
        Write all of it. Otherwise equations in the middle, and products in the middle of a long sum, are left out.
    width : int
        Characters in a line.

    Returns
    -------
    str
        One line per entry.

    Raises
    ------
    ValueError
        If there is no such form, or an entry is something else, or a name is none.
    TypeError
        If `left` or `right` has no entries.
    ShapeError
        If there are none, or not as many of both.

    Examples
    --------
    >>> import sympy
    >>> F11, F12, g1, g2 = sympy.symbols("F11 F12 g1 g2")
    >>> print(equations(["v1", "v2", "v3"], [F11 * g1, F12 * g1 + F11 * g2, F12 * g2], "text"))
    v1 = g1F11
    v2 = g1F12 + g2F11
    v3 = g2F12
    """
    check_form(form)
    whole, width = flag("whole", whole), integer("width", width)
    right = entries("right", right, "a list of sums of products of symbols")
    if not right:
        raise ShapeError("right has no entries; it needs at least one sum of products of symbols")
    left = _named("left", left, len(right), "entry of right")
    rows = _shown_rows(len(left), whole=whole)
    named = [DOTS[form][1] if r < 0 else write_name(left[r], form) for r in rows]
    size = max(map(len, named))
    most = None if whole else width - size - 3
    sums = ["" if r < 0 else _write(f"right[{r}]", right[r], form, most) for r in rows]
    if form == "latex":
        lines = " \\\\\n".join(
            f"{name} &= {text}" if text else f"{name} &" for name, text in zip(named, sums, strict=True)
        )
        return f"\\begin{{aligned}}\n{lines}\n\\end{{aligned}}"
    return "\n".join(f"{name:<{size}} = {text}" if text else name for name, text in zip(named, sums, strict=True))


def check_form(form: object) -> None:
    """Refuse what is no format."""
    word("form", form, FORMATS)


def _named(argument: str, value: object, count: int, each: str) -> list[str]:
    """Return a list of names if it has one for each of what is named."""
    named = entries(argument, value, "a list of names, such as ['S11', 'S12']")
    for number, name in enumerate(named):
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"{argument}[{number}] is {shown(name)}; it needs a name that begins with letters: S11")
    if len(named) != count:
        raise ShapeError(f"{argument} has {len(named)} entries; it needs {count}, one for every {each}")
    return named


def _shown_rows(count: int, *, whole: bool) -> list[int]:
    return list(range(count)) if whole or count <= PAGE_ROWS else [*range(PAGE_ROWS - 3), CUT, count - 1]


def _order(symbol: str) -> tuple[Any, ...]:
    letter, numbers = re.match(r"([A-Za-z]+)_?(.*)", symbol).groups()  # type: ignore[union-attr]  # any name matches
    rank = LETTERS.find(letter) if letter in LETTERS else len(LETTERS)
    return rank, letter, [int(number) for number in re.findall(r"\d+", numbers)]


def _product(factor: Any, named: Sequence[str], form: Format) -> str:
    between = " " if form == "latex" else ""
    text = between.join(write_name(each, form) for each in named)
    if not text:
        return str(factor)
    return text if factor == 1 else f"-{text}" if factor == -1 else f"{factor}{between}{text}"


def _sum(products: Sequence[str]) -> str:
    return products[0] + "".join(f" - {each[1:]}" if each.startswith("-") else f" + {each}" for each in products[1:])


def _cut_sum(text: str, dots: str, width: int) -> str:
    terms = re.split(r"(?= [+-] )", text)
    if len(terms) < 3:
        return text
    last = terms[-1]
    kept = terms[0]
    for term in terms[1:-1]:
        if len(kept) + len(term) + len(f" + {dots}") + len(last) > width:
            break
        kept += term
    return f"{kept} + {dots}{last}"


def _entry(matrix: Any, r: int, c: int, form: Format) -> str:
    return _write(f"matrix[{r}, {c}]", matrix[r, c], form)


def _shown_columns(matrix: Any, rows: Sequence[int], width: int) -> list[int]:
    """Choose the columns that fit a line; of a wide matrix only those are looked at that may."""
    # A column takes three characters at least: one, and two in front of it.
    most = min(matrix.cols, max(2, width // 3 + 2))
    looked_at = [*range(most - 1), matrix.cols - 1]
    widths = [max(len(_entry(matrix, r, c, "text")) for r in rows if r != CUT) + 2 for c in looked_at]
    if most == matrix.cols and sum(widths) - 2 <= width:
        return looked_at
    count, used = 0, widths[-1] + 3 - 2
    while used + widths[count] + 2 <= width:
        used += widths[count]
        count += 1
    return [*range(max(1, count)), CUT, matrix.cols - 1]


def _columns(table: Sequence[Sequence[str]], labels: Sequence[str]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row, label in zip(table, labels, strict=True):
        padded = [
            entry.center(size) if entry in ALL_DOTS else entry.rjust(size)
            for entry, size in zip(row, widths, strict=True)
        ]
        lines.append(f"[ {'  '.join(padded)} ]" + (f"  ({label})" if label else ""))
    return "\n".join(lines)


def _latex(table: Sequence[Sequence[str]], labels: Sequence[str]) -> str:
    lines = [" & ".join(row) + (f" & ({label})" if label else "") for row, label in zip(table, labels, strict=True)]
    columns = "c" * len(table[0]) + ("l" if any(labels) else "")
    array = f"\\begin{{array}}{{{columns}}}\n" + " \\\\\n".join(lines) + "\n\\end{array}"
    return array if any(labels) else f"\\left[{array}\\right]"
