"""Formulas on one line, with the lecture's letters: as text, with the signs of mathematics, and in LaTeX."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal

from jacobians.formula.normal import LETTERS, SPATIAL, expanded, is_plain, joined, position, solved
from jacobians.formula.relation import EXCHANGED, FLOOR, Condition, Equation, Formula, Linear, Term, View
from jacobians.signs import plain

__all__ = ["NAMES", "Style", "beside", "conditioned", "equation", "linear", "marked", "write"]

Style = Literal["text", "unicode", "latex"]
Tokens = dict[str, str]

NAMES = {"dX": "∂l/∂X", "dF": "∂l/∂F", "db": "∂l/∂b"}
# Factors stand in the lecture's order.
FACTORS = "GXFb"
# Responses, then taps, then pixels.
ORDER = "lmoabcyxw"
# Axes that are shown where something is said of them.
QUIET = ("n", "g")
# What planes, filters and response maps of all groups together are counted as.
ENTRIES = {"pixel": "plane", "tap": "filter", "bias": "filter", "response": "response map"}
COUNTS = {"pixel": "windows", "response": "taps", "tap": "responses", "bias": "responses"}
# An addend with its sign is one token, so that it is marked as a whole.
TOKEN = re.compile(r"[+−] [\w'·÷()]+|\w+'*|\s+|.")
WORDS = (
    "over|for|except|and|only the|first|last|clamped to|reflected|before|behind|at|if below|if above|of size|flat"
    "|windows|taps|responses|(?:read|written) as|(?:in|from) steps of"
    "|exchanged in pairs|exchanged at 0 and 1"
)
LATEX = (
    (re.compile(r"∂l/∂(\w)"), r"\\frac{\\partial l}{\\partial \1}"),
    (re.compile(r"(?<=[\w}])\[([^\]]*)\]"), r"_{\1}"),
    (re.compile(r"\(?([\w']+)÷(\d+)\)?"), r"\\lfloor \1/\2 \\rfloor"),
    (re.compile(rf"(?<![\w\\{{])({WORDS})(?!\w)"), r"\\text{\1}"),
    (re.compile(r" {2,}"), r" \\quad "),
    (re.compile(r" mod "), r" \\bmod "),
    (re.compile("Σ"), r"\\sum"),
    (re.compile("·"), r" \\cdot "),
    (re.compile("≤"), r"\\le "),
    (re.compile("≠"), r"\\ne "),
    (re.compile("…"), r"\\dots "),
    (re.compile("−"), "-"),
)


def write(formula: Formula, style: Style = "unicode", *, shown: Iterable[str] = ()) -> str:
    """Write a formula on one line.

    Parameters
    ----------
    formula : Formula
        Right or wrong.
    style : {"unicode", "text", "latex"}
        With the signs of mathematics, in ASCII, or for LaTeX's math mode.
    shown : iterable of str
        ``n`` and ``g``, the indices of images and groups, which are left out where all arrays have the same one.

    Returns
    -------
    str
        ``∂l/∂X[k, y, x] = Σ G[i, l, m] · F[i, k, a, b]   over  y = 2l + a − 1,  x = m + b − 1``.
    """
    text = _Writer(formula, {*shown, *_needed(formula)}).line()
    if style == "text":
        return plain(text)
    if style == "latex":
        for pattern, replaced in LATEX:
            text = pattern.sub(replaced, text)
    return text


def beside(read: Formula, right: Formula, style: Style = "unicode") -> tuple[str, str]:
    """Write two formulas of one result on one line each, with the same indices shown."""
    shown = _needed(read) | _needed(right)
    return write(read, style, shown=shown), write(right, style, shown=shown)


def marked(code: str, right: str) -> tuple[str, str, str]:
    """Put what two lines share into the same columns, and carets below what differs, on a third line."""
    one, two = TOKEN.findall(code), TOKEN.findall(right)
    lines = ["", "", ""]
    for kind, a, b, c, d in difflib.SequenceMatcher(None, one, two, autojunk=False).get_opcodes():
        parts = "".join(one[a:b]), "".join(two[c:d])
        width = max(map(len, parts))
        marks = "" if kind == "equal" else "^" * width
        for at, part in enumerate((*parts, marks)):
            lines[at] += part.ljust(width)
    return lines[0].rstrip(), lines[1].rstrip(), lines[2].rstrip()


# Parts of a line ------------------------------------------------------------------------------------------------------


def linear(form: Linear, tokens: Mapping[str, str] | None = None) -> str:
    """Write a linear combination: responses, taps, other indices, sizes, the constant."""
    tokens = tokens or {}
    indices = sorted(((name, by) for name, by in form.terms if "." in name), key=_place)
    sizes = sorted(((name, by) for name, by in form.terms if "." not in name), key=lambda each: each[1] < 0)
    rest = [*sizes, *([("", form.constant)] if form.constant else [])]
    first = rest if indices and all(by < 0 for _, by in indices) and any(by > 0 for _, by in rest) else []
    ordered = [*first, *indices, *(rest if not first else [])]
    text = " ".join(_times(by, _named(name, tokens)) for name, by in ordered)
    return (f"−{text[2:]}" if text.startswith("− ") else text.removeprefix("+ ")) or "0"


def _named(name: str, tokens: Mapping[str, str]) -> str:
    size, dot, index = name.rpartition("·")
    if dot and index in tokens:
        return _scaled(size, tokens[index])
    return tokens.get(name, _token(name))


def _token(name: str) -> str:
    size, dot, rest = name.rpartition("·")
    if dot and "." in rest:
        return _scaled(size, _token(rest))
    letter, _, index = name.rpartition(".")
    array = NAMES.get(letter, letter)
    return (
        {"*": f"flat index of {array}", "+": f"{ENTRIES[LETTERS[letter]]} of {array}"}.get(index, index)
        if letter
        else name
    )


def _scaled(size: str, index: str) -> str:
    """Write an index times a size."""
    return f"{f'({size})' if '/' in size else size}·{index}"


def equation(each: Equation, tokens: Mapping[str, str] | None = None) -> str:
    """Write an equation, with the fold at the border."""
    tokens = tokens or {}
    by, index = each.value.denominator, tokens.get(each.index, position(each.index))
    right = linear(_whole(each.value), tokens)
    if each.fold == FLOOR:
        return f"{index} = ({right})/{by}"
    return f"{_times(Fraction(by), index).removeprefix('+ ')} = {right}"


def conditioned(each: Condition, tokens: Mapping[str, str] | None = None) -> str:
    """Write a range, a remainder, or which product of each sum is left."""
    form = linear(each.form, tokens)
    zero = Linear()
    if each.of and each.high == zero and not each.modulus:
        return f"only the {each.of} {form}"
    if each.of:
        form = f"|{form} − {each.of} {form}|"
    if each.modulus:
        form = f"{f'({form})' if ' ' in form else form} mod {each.modulus}"
    low, high = (None if limit is None else linear(limit) for limit in (each.low, each.high))
    if low is not None and low == high:
        return f"{form} = {low}"
    if low is not None and high is not None:
        return f"{low} ≤ {form} ≤ {high}"
    return f"{form} ≥ {low}" if low is not None else f"{form} ≤ {high}"


def _place(item: tuple[str, Fraction]) -> int:
    index = position(item[0])
    return ORDER.index(index) if index in SPATIAL else len(ORDER)


def _times(by: Fraction, token: str) -> str:
    sign, size = ("−" if by < 0 else "+"), abs(by)
    if not token:
        return f"{sign} {size}"
    token = (
        f"({token})"
        if re.search(r"[÷+−]|\w/\w", re.sub(r"\(.*\)", "", token)) and (size != 1 or " " in token)
        else token
    )
    if size == 1:
        return f"{sign} {token}"
    dot = "" if size.denominator == 1 and token[0].isalpha() and not token.startswith("min") else "·"
    return f"{sign} {size}{dot}{token}"


def _folded(each: Equation, text: str, size: str) -> str:
    name, _, side = each.fold.partition(" ")
    inner = f"({text})" if " " in text else text
    last = linear(Linear.of({size: 1}, -1))
    beyond = {"before": ", if below 0", "behind": f", if above {last}"}.get(side, "")
    return {
        "": text,
        FLOOR: f"⌊{text}⌋",
        "mod": f"{inner} mod {side}",
        "wrap": f"{inner} mod {size}{beyond}",
        "clamp": f"{text} clamped to 0 … {last}{beyond}",
        "reflect": f"{text} reflected at 0 and {last}{beyond}",
        "symmetric": f"{text} reflected before 0 and behind {last}{beyond}",
    }[name]


def _needed(formula: Formula) -> set[str]:
    """Return which of the quiet axes something is said of."""
    return {axis for term in map(solved, formula.terms) for axis in QUIET if not _is_quiet(term, axis)}


def _is_quiet(term: Term, axis: str) -> bool:
    if axis == "n" and any(
        LETTERS[name.partition(".")[0]] in {"tap", "bias"} for name in term.axes if name.endswith(".n")
    ):
        return False
    names = {name for name in term.axes if position(name) == axis}
    same = [each for each in term.equations if each.index in names]
    forms = [_jointly(each.value, term) for each in term.equations if each.index not in names]
    forms += [each.form for each in (*term.conditions, *term.excluded)]
    spoken = any(name.rpartition("·")[2] in names for form in forms for name, _ in form.terms)
    inside = all(is_plain(each) and each.value.terms[0][0] in names for each in same)
    joint = [each.value for each in term.equations if axis == "g" and position(each.index) == "+"]
    inside = inside and all(_jointly(each, term) != each for each in joint)
    return inside and len(names) - len(same) <= 1 and not spoken


def _jointly(form: Linear, term: Term) -> Linear:
    """Put one index in the place of those of a group, times its size, and within it."""
    for joint, names in term.joined.items():
        if joint.endswith("+"):
            size = term.axes[names[1]].size
            group, own = form.coefficient(f"{size}·{names[0]}"), form.coefficient(names[1])
            if group and group == own:
                rest = {name: by for name, by in form.terms if name not in {f"{size}·{names[0]}", names[1]}}
                return Linear.of({joint: own, **rest}, form.constant)
    return form


class _Writer:
    """A formula, the axes that are shown, and the names that the indices of the result have in all terms."""

    def __init__(self, formula: Formula, shown: set[str]) -> None:
        self.formula, self.shown = formula, shown
        self.terms = [solved(each) for each in formula.terms]
        self.sizes = {name for term in self.terms for name in _sizes(term)}

    def line(self) -> str:
        name = NAMES.get(self.formula.result, self.formula.result)
        if not self.terms:
            return f"{name} = 0"
        parts = [self._term(term) for term in sorted(self.terms, key=lambda each: -len(each.views))]
        result = self.terms[0].views[0]
        left = f"{name}[{self._indices(result, self._result(result))}]"
        several = sum(bool(clause) for _, clause in parts) > 1
        if several:
            right = " + ".join(f"({text}{clause})" if clause else text for text, clause in parts)
        else:
            right = " + ".join(text for text, _ in parts) + "".join(clause for _, clause in parts)
        return f"{left} = {right}{self._size(result)}".replace("+ −", "− ")

    def _size(self, result: View) -> str:
        axes = [axis for axis in result.tensor.axes if axis.name != "g"]
        wrong = any(
            each != Linear.of({axis.size.partition("/")[0] if grouped else axis.size: 1})
            for each, axis, grouped in zip(self.formula.shape, axes, self._grouped(result), strict=False)
        ) or len(axes) != len(self.formula.shape)
        return f"   of size ({', '.join(linear(each) for each in self.formula.shape)})" if wrong else ""

    @staticmethod
    def _grouped(result: View) -> list[bool]:
        names = [axis.name for axis in result.tensor.axes]
        joined_with = names[names.index("g") + 1] if "g" in names else ""
        return [name == joined_with for name in names if name != "g"]

    def _result(self, result: View) -> Tokens:
        tokens: Tokens = {}
        for name in result.names:
            tokens[name] = _fresh(position(name), {*self.sizes, *tokens.values()})
        return tokens

    def _tokens(self, term: Term) -> tuple[Tokens, list[str]]:
        """Name the indices of a term, and return the equations that are written behind it."""
        tokens, equations = self._result(term.views[0]), {each.index: each for each in term.equations}
        inline = {
            name
            for joint in equations
            if joint.endswith("+") and not joint.startswith(f"{self.formula.result}.")
            for name in term.joined[joint]
        }
        for name in term.axes:
            if name not in {*tokens, *inline} and (name not in equations or _is_over(equations[name])):
                tokens[name] = _fresh(position(name), {*self.sizes, *tokens.values()})
        for joint, names in term.joined.items():
            some = [tokens.get(name, position(name)) for name in names]
            if joint.endswith("*"):
                tokens[joint] = f"flat({', '.join(some)})"
            elif joint not in equations or _is_over(equations[joint]) or joint.startswith(f"{self.formula.result}."):
                shown = "g" in self.shown
                tokens[joint] = f"{_scaled(term.axes[names[1]].size, some[0])} + {some[1]}" if shown else some[1]
        over = []
        for name, each in equations.items():
            size = self._named_size(term.size(name))
            value = each.value if "g" in self.shown else _jointly(each.value, term)
            if name not in tokens:
                text, by = linear(_whole(value), tokens), value.denominator
                tokens[name] = _folded(each, text if by == 1 else f"({text})/{by}", size)
            else:
                left, _, right = equation(dataclasses.replace(each, value=value), tokens).partition(" = ")
                over.append(f"{left} = {_folded(each, right, size)}")
        return tokens, over

    def _named_size(self, name: str) -> str:
        """Return the number of groups, which is known, and the names of other sizes."""
        return str(dict(self.formula.options).get("groups", name)) if name == "g" else name

    def _term(self, term: Term) -> tuple[str, str]:
        """Return the sum of products, and the equations and conditions behind it."""
        tokens, over = self._tokens(term)
        inline = {each.index: each.value for each in term.equations if not each.fold and not _is_over(each)}
        inline = {name: value for name, value in inline.items() if name not in term.views[0].names}
        conditions, excluded = (
            [
                conditioned(each, tokens)
                for each in joined(dataclasses.replace(one, form=expanded(one.form, inline)) for one in some)
            ]
            for some in (term.conditions, term.excluded)
        )
        clause = f"   over  {',  '.join(over)}" if over else ""
        clause += f"   for  {',  '.join(conditions)}" if conditions else ""
        clause += f"   except  {' and '.join(excluded)}" if excluded else ""
        views = sorted(term.views[1:], key=lambda view: FACTORS.index(view.tensor.letter))
        clause += "".join(self._order(view) for view in (term.views[0], *views))
        factors = " · ".join(
            "1" if view.ones else f"{view.tensor.letter}[{self._indices(view, tokens)}]" for view in views
        )
        number, counts = self._coefficient(term, tokens)
        summed = "Σ " if _is_sum(term) else ""
        text = f"{number}{summed}{factors}" if factors else (number.removesuffix("·").removeprefix("·") or "1")
        if not factors and number in {"", "−"}:
            text = f"{number}1"
        return text + counts, clause

    def _order(self, view: View) -> str:
        names = ", ".join(view.tensor.axes[at].name for at in view.order)
        name = NAMES.get(view.tensor.letter, view.tensor.letter)
        parts = [f"   {view.tensor.axes[axis].name} of {name} {_stepped(step)}" for axis, step in view.steps]
        return "".join(parts) + (f"   {name} {'written' if view.written else 'read'} as ({names})" if names else "")

    def _coefficient(self, term: Term, tokens: Tokens) -> tuple[str, str]:
        each = term.coefficient
        top = [str(each.number.numerator)] if abs(each.number.numerator) != 1 else []
        top += [_power(name, power) for name, power in each.powers if power > 0]
        below = [str(each.number.denominator)] if each.number.denominator != 1 else []
        below += [_power(name, -power) for name, power in each.powers if power < 0]
        sign = "−" if each.number == -1 or (each.number < 0 and not str(each.number.numerator).startswith("-")) else ""
        number = "·".join(top).replace("-", "−") or ("1" if below else "")
        number += f"/{below[0]}" if len(below) == 1 else f"/({'·'.join(below)})" if below else ""
        counts = ""
        for power, some in itertools.groupby(each.counts, key=lambda each: each[1]):
            names = [name for name, _ in some]
            of = COUNTS[LETTERS[names[0].partition(".")[0]]]
            counts += f" {'/' if power < 0 else '·'} {of}({', '.join(tokens[name] for name in names)})"
        return f"{sign}{number}·" if number else sign, counts

    def _indices(self, view: View, tokens: Tokens) -> str:
        joint = f"{view.tensor.letter}.+"
        names = [name for name in view.names if position(name) in self.shown or position(name) not in QUIET]
        some = view.joined.get(joint, ())
        if some and some[1] not in tokens:
            names = [joint if name == some[1] else name for name in names if name != some[0]]
        return ", ".join(tokens[name] for name in names)


def _stepped(step: int) -> str:
    if step in EXCHANGED:
        return f"exchanged {EXCHANGED[step]}"
    return f"{'from' if step < 0 else 'in'} steps of {abs(step)}"


def _power(name: str, power: int) -> str:
    name = f"({name})" if "/" in name else name
    return name if power == 1 else f"{name}^{power}"


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    return name


def _is_over(each: Equation) -> bool:
    """Whether an equation is written behind the products, as those of pixels are, and not in the place of the index."""
    letter, index = each.index.split(".")
    same = is_plain(each) and position(each.value.terms[0][0]) == index
    return index == "*" or (LETTERS[letter] == "pixel" and index in SPATIAL and not same)


def _whole(form: Linear) -> Linear:
    by = form.denominator
    return Linear.of({name: each * by for name, each in form.terms}, form.constant * by)


def _sizes(term: Term) -> set[str]:
    forms: list[Linear] = [each.value for each in term.equations]
    for each in (*term.conditions, *term.excluded):
        forms += [form for form in (each.form, each.low, each.high) if form is not None]
    names = {name for form in forms for name, _ in form.terms if "." not in name}
    folded = {term.size(each.index) for each in term.equations if each.fold} - {"g"}
    return names | folded | {name for name, _ in term.coefficient.powers}


def _is_sum(term: Term) -> bool:
    """Whether an entry of the result has several products: those of the result leave an index free."""
    own = set(term.views[0].names)
    order: Sequence[str] = [name for name in term.axes if name not in own]
    fixed = {name for each in term.equations for name in term.joined.get(each.index, (each.index,))} | own
    free = [name for name in order if name not in fixed]
    bound = [
        each for each in term.equations if each.index in own and any(name not in own for name, _ in each.value.terms)
    ]
    return len(free) > len(bound)
