"""One report of audits of the same code at several options: what is alike is said once, with s, δ and p for numbers."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from jacobians.audit.cases import Options
from jacobians.audit.report import AuditReport, Finding
from jacobians.geometry import Geometry

__all__ = ["affine", "combined", "symbolic"]

# A sum of sizes and indices with their factors, as formulas write it.
TERM = r"\d*[A-Za-z]*'?(?:\([A-Z]'?\))?"
EQUATION = re.compile(rf"(?<=\s)(\w'?) = (−?{TERM}(?: [+−] {TERM})*)(?=,|\s|$)")
# The letters of the options in a formula, by what they stand for.
LETTERS = ("s", "δ", "p")
Values = Mapping[str, int]
Sum = dict[str, int]


def combined(parts: Sequence[tuple[Options, AuditReport]]) -> AuditReport:
    """Make one report of several."""
    titles = [str(options) for options, _ in parts]
    reports = [report for _, report in parts]
    groups: dict[tuple[str, ...], list[tuple[Options, Finding]]] = {}
    for options, report in parts:
        for each in report.findings:
            groups.setdefault((each.about, each.kind, re.sub(r"\d+", "#", each.title)), []).append((options, each))
    findings = [found for group in groups.values() for found in _joined(group, len(parts))]
    # Notes that differ in the numbers of the options alone are one, which shows those of the first.
    notes: dict[str, list[tuple[str, str]]] = {}
    for title, report in zip(titles, reports, strict=True):
        for note in report.notes:
            notes.setdefault(re.sub(r"\d+", "#", note), []).append((note, title))
    said = [
        of[0][0] if len(of) == len(parts) else f"{of[0][0]} ({'; '.join(title for _, title in of)})"
        for of in notes.values()
    ]
    misses = [report.log2_miss for report in reports]
    return dataclasses.replace(
        reports[0],
        findings=tuple(findings),
        notes=tuple(said),
        options=f"{len(parts)} combinations of options: {'; '.join(titles)}",
        layers=sum(report.layers for report in reports),
        calls=sum(report.calls for report in reports),
        log2_miss=None if None in misses else max(each for each in misses if each is not None),
    )


def _joined(group: Sequence[tuple[Options, Finding]], combinations: int) -> list[Finding]:
    """Make one finding of those that are alike, or leave them as they are where their formulas are not."""
    options, findings = [of for of, _ in group], [each for _, each in group]
    formula, right = (
        symbolic([getattr(each, name) for each in findings], [_values(of) for of in options])
        for name in ("formula", "right")
    )
    if formula is None or right is None:
        at = [f"the same happens at {of}" for of in options]
        return [dataclasses.replace(each, known=(*each.known, where)) for each, where in zip(findings, at, strict=True)]
    where = "; ".join(map(str, options))
    everywhere = f"the same happens at all {combinations} combinations of options"
    first = findings[0]
    counts = {name: sum(getattr(each, name) for each in findings) for name in ("wrong", "tried", "predicts", "of")}

    def predict(geometry: Geometry, **given: Any) -> Any:
        """Evaluate the formula of the options of a layer."""
        names = ("stride", "padding", "dilation", "groups")
        fits = (
            each.predictor
            for of, each in group
            if all(getattr(of, name) in {None, getattr(geometry, name)} for name in names)
        )
        chosen = next(fits, None)
        if chosen is None:
            raise ValueError(f"{geometry!r} has options that were not audited; audited were {where}")
        return chosen(geometry, **given)

    return [
        dataclasses.replace(
            first,
            formula=formula,
            right=right,
            known=(*first.known, everywhere if len(group) == combinations else f"the same happens at {where}"),
            predictor=predict if first.predictor else None,
            **counts,
        )
    ]


def _values(options: Options) -> Values | None:
    """Return stride, dilation and padding where they are the same on all axes."""
    pads = {each for pair in options.padding or () for each in pair}
    if options.padding is None or len(pads) > 1 or len({*options.stride}) > 1 or len({*options.dilation}) > 1:
        return None
    return {"s": options.stride[0], "δ": options.dilation[0], "p": next(iter(pads))}


def symbolic(texts: Sequence[str], values: Sequence[Values | None]) -> str | None:
    """Write formulas that differ only by numbers as one, in s, δ and p.

    Parameters
    ----------
    texts : sequence of str
        The formula at each combination of options.
    values : sequence of dict of str to int, or None
        Stride s, dilation δ and padding p of each; None where they differ by axis.

    Returns
    -------
    str or None
        One formula, whose numbers are right at each combination; None where there is none.
    """
    if len(set(texts)) == 1:
        return texts[0]
    if None in values:
        return None
    known = [each for each in values if each is not None]
    # What stands between the equations, their left sides, and their right sides.
    literals = {EQUATION.sub(r"\1 = …", text) for text in texts}
    if len(literals) > 1:
        return None
    sums = [[_sum(match[2]) for match in EQUATION.finditer(text)] for text in texts]
    sides = iter([_side([each[at] for each in sums], known) for at in range(len(sums[0]))])
    parts = literals.pop().split("…")
    found = parts[0]
    for part in parts[1:]:
        side = next(sides)
        if side is None:
            return None
        found += side + part
    return found


def _sum(text: str) -> Sum:
    """Read a sum: the factor of each letter, and of "" what is added."""
    found: Sum = {}
    for sign, number, letter in re.findall(r"([+−]?) ?(\d*)([A-Za-z(')]*)", text):
        if number or letter:
            found[letter] = found.get(letter, 0) + (-1 if sign == "−" else 1) * int(number or 1)
    return found


def _side(sums: Sequence[Sum], values: Sequence[Values]) -> str | None:
    """Write one sum for several."""
    longest = max(sums, key=len)
    letters = [each for each in dict.fromkeys((*longest, *itertools.chain(*sums))) if each]
    terms = []
    for letter in (*letters, ""):
        factor = affine([each.get(letter, 0) for each in sums], values)
        if factor is None:
            return None
        terms += _terms(factor, letter)
    text = " ".join(terms)
    return text.removeprefix("+ ") if text else "0"


def _terms(factor: Mapping[str, Fraction], letter: str) -> list[str]:
    """Write a factor in s, δ and p times a letter, as terms with their signs."""
    terms = []
    for option, number in factor.items():
        names = [each for each in (option, letter) if each]
        size = abs(number)
        parts = ([str(size)] if size != 1 or not names else []) + names
        # A number stands before its letter as elsewhere: 2l.
        text = "".join(parts) if not option else "·".join(parts)
        terms.append(f"{'−' if number < 0 else '+'} {text}")
    return terms


def affine(numbers: Sequence[int], values: Sequence[Values]) -> dict[str, Fraction] | None:
    """Find how numbers depend on options: the factors of s, δ and p, and of "" a constant, as few as do.

    Parameters
    ----------
    numbers : sequence of int
        One for each combination.
    values : sequence of dict of str to int
        s, δ and p of each combination.

    Returns
    -------
    dict of str to Fraction or None
        None where they depend on them otherwise.
    """
    rows = [{**each, "": 1} for each in values]
    # On an option that is the same everywhere, nothing is seen to depend.
    varied = [letter for letter in LETTERS if len({each[letter] for each in values}) > 1]
    for count in range(len(varied) + 2):
        for names in itertools.combinations((*varied, ""), count):
            table = [[Fraction(row[name]) for name in names] for row in rows]
            found = _solved(table, [Fraction(number) for number in numbers])
            if found is not None:
                return {name: value for name, value in zip(names, found, strict=True) if value}
    return None


def _solved(table: Sequence[Sequence[Fraction]], numbers: Sequence[Fraction]) -> list[Fraction] | None:
    """Solve linear equations exactly; None where no solution, or not one alone, fulfils all."""
    rows = [[*row, number] for row, number in zip(table, numbers, strict=True)]
    count = len(table[0]) if table else 0
    for at in range(count):
        pivot = next((row for row in rows[at:] if row[at]), None)
        if pivot is None:
            return None
        rows.remove(pivot)
        rows.insert(at, [each / pivot[at] for each in pivot])
        for other, row in enumerate(rows):
            if other != at:
                rows[other] = [each - row[at] * lead for each, lead in zip(row, rows[at], strict=True)]
    return None if any(row[-1] for row in rows[count:]) else [row[-1] for row in rows[:count]]
