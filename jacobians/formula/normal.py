"""One form for all formulas, so that those that say the same look the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from jacobians.formula.relation import Condition, Equation, Linear, Term

__all__ = ["LETTERS", "aligned", "expanded", "is_opaque", "is_plain", "joined", "plus", "position", "solved"]

Row = dict[str, Fraction]
# What the letter of an array stands for: responses, taps or pixels.
LETTERS = {
    "G": "response",
    "S": "response",
    "F": "tap",
    "dF": "tap",
    "b": "bias",
    "db": "bias",
    "X": "pixel",
    "dX": "pixel",
}
SPATIAL = "lmoabcyxw"
# Several indices as one.
JOINED = ("+", "*")


def position(name: str) -> str:
    """Return what an index without its array is: ``a`` of ``F.a``."""
    return name.rpartition(".")[2]


def plus(one: Linear, two: Linear, times: Fraction | int = 1) -> Linear:
    """Return a linear combination plus a multiple of another one."""
    names = dict.fromkeys([*dict(one.terms), *dict(two.terms)])
    terms = {name: one.coefficient(name) + two.coefficient(name) * times for name in names}
    return Linear.of(terms, one.constant + two.constant * times)


def expanded(form: Linear, known: Mapping[str, Linear]) -> Linear:
    """Put linear combinations in the place of names."""
    found = Linear((), form.constant)
    for name, by in form.terms:
        size, dot, index = name.rpartition("·")
        same = known.get(index) if dot else None
        plain = same is not None and not same.constant and [each for _, each in same.terms] == [1]
        value = (
            Linear.of({f"{size}·{same.terms[0][0]}": 1}) if same and plain else known.get(name, Linear.of({name: 1}))
        )
        found = plus(found, value, by)
    return found


def is_plain(each: Equation) -> bool:
    """Whether an equation says that two indices are the same."""
    single = [by for name, by in each.value.terms if "·" not in name] == [1] and len(each.value.terms) == 1
    return single and not each.fold and not each.value.constant


def is_opaque(each: Equation) -> bool:
    """Whether an equation is not linear in single indices: folded, of several as one, or with sizes as steps."""
    sized = any("·" in name and "." in name for name, _ in each.value.terms)
    return bool(each.fold) or position(each.index) in JOINED or sized


def solved(term: Term) -> Term:
    """Give equations to the pixels first, then to planes, filters and images of the factors, then to taps.

    Parameters
    ----------
    term : Term
        Its equations say that combinations of indices are 0; which of the indices are left free is a matter of choice.

    Returns
    -------
    Term
        Of the same products. Two ranges of one form are one range.
    """
    own = term.views[0].tensor.letter
    opaque = [each for each in term.equations if is_opaque(each)]
    rows = _reduced([_row(each) for each in term.equations if each not in opaque], _order(term, own))
    known = {name: _value(row, name) for name, row in rows.items()}
    equations = [Equation(name, value) for name, value in known.items()]
    equations += [dataclasses.replace(each, value=expanded(each.value, known)) for each in opaque]
    equations.sort(key=lambda each: list(term.axes).index(term.joined.get(each.index, (each.index,))[0]))
    return dataclasses.replace(
        term, equations=tuple(equations), conditions=joined(term.conditions), excluded=joined(term.excluded)
    )


def aligned(
    read: Term, right: Term, known: Mapping[str, Linear]
) -> tuple[list[Equation], list[Equation], list[Equation]]:
    """Compare the equations of two terms of the same arrays.

    Parameters
    ----------
    read, right : Term
        Solved.
    known : mapping of str to Linear
        Sizes that follow from others.

    Returns
    -------
    missing : list of Equation
        Those of `right` that do not follow from `read`.
    other : list of Equation
        Those of `read` that do not follow from the rest, about indices that have one in `right`, too.
    further : list of Equation
        Those about indices that are free in `right`.
    """
    order, bound = _order(read, read.views[0].tensor.letter), {each.index for each in right.equations}
    linear = [each for each in read.equations if not is_opaque(each)]
    basis = _reduced([_row(each, known) for each in linear], order)
    missing, held = [], list[Row]()
    for each in right.equations:
        row = _row(each, known)
        if _remainder(row, basis):
            missing.append(each)
        else:
            held.append(row)
    wanted = _reduced([_row(each, known) for each in right.equations], order)
    held += [row for each in linear if not _remainder(row := _row(each, known), wanted)]
    left: list[Equation] = []
    for each in sorted(linear, key=lambda each: each.index in bound):
        row = _row(each, known)
        if _remainder(row, _reduced(held, order)):
            held.append(row)
            left.append(each)
    left += [each for each in read.equations if is_opaque(each)]
    return missing, [each for each in left if each.index in bound], [each for each in left if each.index not in bound]


def joined(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Make one range of a lower and an upper limit of the same form; forms are written with what is positive first."""
    found: dict[tuple[object, ...], Condition] = {}
    for each in map(_upright, conditions):
        key = (each.form, each.modulus, each.of)
        before = found.get(key)
        if before is None:
            found[key] = each
        elif (before.low is None or each.low is None) and (before.high is None or each.high is None):
            found[key] = dataclasses.replace(before, low=before.low or each.low, high=before.high or each.high)
        else:
            found[(*key, len(found))] = each
    return tuple(found.values())


def _upright(each: Condition) -> Condition:
    """Turn ``c ≤ −l`` into ``l ≤ −c``."""
    if each.modulus or each.of or any(by > 0 for _, by in each.form.terms):
        return each
    turned = [plus(Linear(), limit, -1) if limit is not None else None for limit in (each.high, each.low)]
    return dataclasses.replace(each, form=plus(Linear(), each.form, -1), low=turned[0], high=turned[1])


def _order(term: Term, own: str) -> list[str]:
    opaque = [each.index for each in term.equations if is_opaque(each)]
    bound = {name for index in opaque for name in term.joined.get(index, (index,))}
    return sorted((name for name in term.axes if name not in bound), key=lambda name: _rank(name, own))


def _rank(name: str, own: str) -> tuple[int, bool]:
    letter, index = name.split(".")
    of = LETTERS[letter]
    if index in SPATIAL:
        return {"pixel": 0, "tap": 4, "bias": 4, "response": 5}[of], letter == own
    return (6 if letter == own else {"pixel": 1, "tap": 2, "bias": 2, "response": 3}[of]), False


def _row(each: Equation, known: Mapping[str, Linear] | None = None) -> Row:
    value = expanded(each.value, known or {})
    row = {name: -by for name, by in value.terms} | {"": -value.constant}
    row[each.index] = row.get(each.index, Fraction(0)) + 1
    return {name: by for name, by in row.items() if by}


def _value(row: Row, name: str) -> Linear:
    return Linear.of({each: -by for each, by in row.items() if each not in {name, ""}}, -row.get("", Fraction(0)))


def _remainder(row: Row, basis: Mapping[str, Row]) -> Row:
    """Return what is left of a row when its leading indices are eliminated."""
    for name, other in basis.items():
        if by := row.get(name):
            row = {each: row.get(each, Fraction(0)) - by * other.get(each, Fraction(0)) for each in {**row, **other}}
    return {name: by for name, by in row.items() if by}


def _reduced(rows: Sequence[Row], order: Sequence[str]) -> dict[str, Row]:
    """Solve equations for as many indices as can be, the first of an order first (Gauss and Jordan)."""
    found: dict[str, Row] = {}
    left = list(rows)
    for name in order:
        chosen = next((row for row in left if name in row), None)
        if chosen is None:
            continue
        left.remove(chosen)
        pivot = {each: by / chosen[name] for each, by in chosen.items()}
        left = [_remainder(row, {name: pivot}) for row in left]
        found = {each: _remainder(row, {name: pivot}) for each, row in found.items()} | {name: pivot}
    return found
