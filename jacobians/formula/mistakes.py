"""Wrong formulas: everything that a right one becomes where one step, index, range, order or factor of it is another.

The formulas are made from the right one alone, by the kinds of difference that `jacobians.formula.atoms` names. So they
hold at all sizes, and can be evaluated at any layer.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from jacobians.formula.normal import plus
from jacobians.formula.relation import (
    AXES,
    KINDS,
    PAIRS,
    Coefficient,
    Condition,
    Equation,
    Formula,
    Linear,
    Term,
    View,
)

__all__ = ["Mistake", "mistakes"]

# Images, planes, columns, … that code takes at once.
BLOCKS = (2, 3, 32)
SIDES = ("", " before", " behind")


@dataclasses.dataclass(frozen=True)
class Mistake:
    """One way to be wrong.

    Attributes
    ----------
    atom : str
        Which kind of difference it is, as in `jacobians.formula.atoms`.
    name : str
        What is different, in the same words for all options, such as ``S: y: stride 1``.
    formula : Formula
        The wrong formula.
    """

    atom: str
    name: str
    formula: Formula


# An atom, a name, and what becomes of the main term.
Wrong = Iterator[tuple[str, str, Term]]


def mistakes(right: Formula) -> Iterator[Mistake]:
    """Yield wrong formulas of a result, each with one difference to the right one.

    Parameters
    ----------
    right : Formula
        The right one, at fixed stride, padding, dilation and groups.

    Yields
    ------
    Mistake
        Where these options leave no difference, such as with a stride that is 1 anyhow, its formula gives what the
        right one gives.
    """

    def mistake(atom: str, name: str, **fields: Any) -> Mistake:
        return Mistake(atom, f"{right.result}: {name}", dataclasses.replace(right, **fields))

    main, *biases = right.terms
    for atom, name, term in _terms(main, dict(right.options)):
        yield mistake(atom, name, terms=(term, *biases))
    for bias in biases:
        yield mistake("bias-missing", "bias missing", terms=(main,))
        for atom, name, term in _biases(bias):
            yield mistake(atom, f"bias {name}", terms=(main, term))
    for atom, name, term in _added(main):
        yield mistake(atom, name, terms=(*right.terms, term))
    yield mistake("zero", "0", terms=())
    for at, (name, size) in enumerate(zip(main.views[0].names[::-1], right.shape[::-1], strict=False)):
        for more in (1, -1) if _axis(name) is not None else ():
            shape = list(right.shape)
            shape[-1 - at] = Linear(size.terms, size.constant + more)
            yield mistake("size-off", f"size of {name} {more:+}", shape=tuple(shape))


def _axis(name: str) -> int | None:
    """Return the spatial axis of an index."""
    return next((at for at, axis in enumerate(AXES) if name.rpartition(".")[2] in axis), None)


def _terms(term: Term, options: Mapping[str, int]) -> Wrong:
    yield from _pixels(term, options)
    yield from _exchanged(term)
    yield from _indices(term)
    yield from _ranges(term)
    yield from _winners(term)
    yield from _factors(term)
    yield from _orders(term)


def _with(term: Term, *equations: Equation, without: str = "") -> Term:
    """Return a term with other equations for these indices, and none for another."""
    own = {each.index: each for each in term.equations if each.index != without}
    return dataclasses.replace(term, equations=tuple((own | {each.index: each for each in equations}).values()))


# pixels ---------------------------------------------------------------------------------------------------------------


def _pixels(term: Term, options: Mapping[str, int]) -> Wrong:
    """Change the equation of a pixel, y = s·l + δ·a − p, on one axis, and on all."""
    axes = [_of_axis(term, each, options) for each in term.equations if _axis(each.index) is not None]
    for rule in axes[0] if axes else ():
        atom, _ = axes[0][rule]
        changed = [found[rule][1] for found in axes]
        for each in changed if len(changed) > 1 else ():
            yield atom, f"{each.index}: {rule}", _with(term, each)
        together = "options-exchanged" if atom == "step-of-other-axis" and len(axes) == 2 else atom
        yield together, f"all pixels: {rule}", _with(term, *changed)


def _of_axis(term: Term, each: Equation, options: Mapping[str, int]) -> dict[str, tuple[str, Equation]]:
    """Return what can be wrong with the equation of one axis, by its name, with the atom."""
    axis = _axis(each.index) or 0
    pixels = [one.index for one in term.equations if _axis(one.index) is not None]
    l, a = _of_arrays(each)
    other = (axis + 1) % len(pixels)
    (s, d), (t, e) = ([options[f"{name}[{at}]"] for name in ("stride", "dilation")] for at in (axis, other))
    H, K, out = (term.axes[name].size for name in (each.index, a, l))
    p, q = (_padding(side, axis, H, options) for side in ("before", "after"))
    o, none, one = _padding("before", other, term.axes[pixels[other]].size, options), Linear(), Linear.of({}, 1)
    steps = (
        ("step-ignored", "stride 1", (1, d, p)),
        ("step-of-other-axis", "stride of the next axis", (t, d, p)),
        ("step-of-other-kind", "the dilation as stride", (d, d, p)),
        ("step-wrong", "stride one more", (s + 1, d, p)),
        ("step-missing", "no stride", (0, d, p)),
        ("step-ignored", "dilation 1", (s, 1, p)),
        ("step-of-other-axis", "dilation of the next axis", (s, e, p)),
        ("step-of-other-kind", "the stride as dilation", (s, s, p)),
        ("step-wrong", "dilation one more", (s, d + 1, p)),
        ("step-missing", "no dilation", (s, 0, p)),
        ("steps-exchanged", "stride and dilation exchanged", (d, s, p)),
        ("padding-ignored", "no padding", (s, d, none)),
        ("padding-after", "the padding after", (s, d, q)),
        ("padding-twice", "twice the padding", (s, d, plus(p, p))),
        ("padding-added", "the padding added", (s, d, plus(none, p, -1))),
        ("step-of-other-axis", "padding of the next axis", (s, d, o)),
        ("offset", "one too far", (s, d, plus(p, one, -1))),
        ("offset", "one too near", (s, d, plus(p, one))),
    )
    turned = "filter-not-rotated" if term.views[0].tensor.letter == "dX" else "filter-turned"
    values = [
        *((atom, rule, plus(Linear.of({l: x, a: y}), z, -1)) for atom, rule, (x, y, z) in steps),
        (turned, "taps turned", plus(Linear.of({l: s, a: -d, K: d}, -d), p, -1)),
        ("response-turned", "responses turned", plus(Linear.of({l: -s, a: d, out: s}, -s), p, -1)),
        ("image-turned", "pixels turned", plus(Linear.of({l: -s, a: -d, H: 1}, -1), p)),
    ]
    folds = [kind + side for kind in KINDS for side in SIDES]
    return {rule: (atom, Equation(each.index, value)) for atom, rule, value in values} | {
        fold: ("border", dataclasses.replace(each, fold=fold)) for fold in folds
    }


def _of_arrays(each: Equation) -> list[str]:
    """Return the indices of an equation, without sizes."""
    return [name for name, _ in each.value.terms if "." in name]


def _padding(side: str, axis: int, size: str, options: Mapping[str, int]) -> Linear:
    """Return the padding of an axis: a number, or where it depends on the filter, the name of it."""
    number = options.get(f"{side}[{axis}]")
    return Linear.of({f"{side}({size})": 1}) if number is None else Linear.of({}, number)


def _exchanged(term: Term) -> Wrong:
    """Exchange two spatial axes of one array."""
    pixels = [each for each in term.equations if _axis(each.index) is not None]
    for one, two in itertools.combinations(pixels, 2):
        for first, second in zip(_of_arrays(one), _of_arrays(two), strict=True):
            renamed = {first: second, second: first}
            changed = _with(term, *(_renamed(each, renamed) for each in (one, two)))
            yield "axes-exchanged", f"{first} and {second} exchanged", changed
        turned = Equation(one.index, two.value), Equation(two.index, one.value)
        yield "axes-exchanged", f"{one.index} and {two.index} exchanged", _with(term, *turned)


def _renamed(each: Equation, names: Mapping[str, str]) -> Equation:
    terms = {names.get(name, name): by for name, by in each.value.terms}
    return Equation(each.index, Linear.of(terms, each.value.constant))


# images, planes and filters -------------------------------------------------------------------------------------------


def _indices(term: Term) -> Wrong:
    """Take another image, plane, filter or group than the right one, or all of them."""
    for each in [one for one in term.equations if _axis(one.index) is None]:
        size, (other, _) = term.axes[each.index].size, each.value.terms[0]
        rules: dict[str, tuple[str, dict[str, Any], int, str]] = {
            "the first": ("index-constant", {}, 0, ""),
            "the last": ("index-constant", {size: 1}, -1, ""),
            "reversed": ("index-reversed", {other: -1, size: 1}, -1, ""),
            "the next": ("index-shifted", {other: 1}, 1, ""),
            "the one before": ("index-shifted", {other: 1}, -1, ""),
            "the next, cyclic": ("index-shifted", {other: 1}, 1, "wrap"),
        }
        borrowed = "bias-axis" if each.index.startswith("b.") else "index-borrowed"
        rules |= {f"that of {one}": (borrowed, {one: 1}, 0, "wrap") for one in term.free if one != other}
        for rule, (atom, terms, constant, fold) in rules.items():
            changed = _with(term, Equation(each.index, Linear.of(terms, constant), fold))
            yield atom, f"{each.index} {rule}", changed
        yield "index-summed", f"every {each.index}", _with(term, without=each.index)


# which products -------------------------------------------------------------------------------------------------------


def _ranges(term: Term) -> Wrong:
    """Leave out products by one of their indices."""
    for name in (*term.free, *(each.index for each in term.equations if _axis(each.index) is not None)):
        size = term.axes[name].size
        rules: dict[str, tuple[str, dict[str, Any]]] = {
            "without the first": ("first-lost", {"low": Linear.of({}, 1)}),
            "without the last": ("last-lost", {"high": Linear.of({size: 1}, -2)}),
            "the first only": ("some-lost", {"high": Linear.of({})}),
            "the last only": ("some-lost", {"low": Linear.of({size: 1}, -1)}),
            "even ones only": ("some-lost", {"high": Linear.of({}), "modulus": 2}),
            "odd ones only": ("some-lost", {"low": Linear.of({}, 1), "modulus": 2}),
            "the first half": ("some-lost", {"high": Linear.of({f"{size}÷2": 1}, -1)}),
        }
        for block in BLOCKS:
            whole = {"high": Linear.of({f"{size}÷{block}": block}, -1)}
            rules[f"whole blocks of {block}"] = ("remainder-lost", whole)
            rules[f"one block of {block}"] = ("some-lost", {"high": Linear.of({}, block - 1)})
        for rule, (atom, fields) in rules.items():
            yield atom, f"{name}: {rule}", _only(term, name, **fields)
        middle = Linear.of({f"{size}÷2": 1})
        hole = (Condition(Linear.of({name: 1}), middle, middle),)
        yield "hole", f"{name}: not the middle", dataclasses.replace(term, excluded=hole)
    for one, two in itertools.combinations(term.free, 2):
        if _axis(one) is not None and one.partition(".")[0] == two.partition(".")[0]:
            for rule, sign in (("≤", 1), ("≥", -1)):
                triangle = Condition(Linear.of({two: sign, one: -sign}), Linear.of({}))
                yield "some-lost", f"{one} {rule} {two}", dataclasses.replace(term, conditions=(triangle,))


def _only(term: Term, name: str, **fields: Any) -> Term:
    return dataclasses.replace(term, conditions=(*term.conditions, Condition(Linear.of({name: 1}), **fields)))


def _winners(term: Term) -> Wrong:
    """Leave one product of each sum, or one step of a loop."""
    summed = [name for name in term.free if name not in term.views[0].names]
    loops: dict[str, Sequence[str]] = {name: (name,) for name in summed} | {"all": summed}
    zero = Linear.of({})
    for loop, names in loops.items():
        for of in ("first", "last"):
            conditions = tuple(Condition(Linear.of({name: 1}), zero, zero, of=of) for name in names)
            yield "one-product", f"{of} of {loop}", dataclasses.replace(term, conditions=conditions)


# factors and orders ---------------------------------------------------------------------------------------------------


def _multiplied(term: Term) -> Wrong:
    for atom, rule, number in (
        ("sign", "the sign", Fraction(-1)),
        ("factor", "twice", Fraction(2)),
        ("factor", "half", Fraction(1, 2)),
    ):
        yield atom, rule, dataclasses.replace(term, coefficient=Coefficient(number))


def _factors(term: Term) -> Wrong:
    """Multiply every product with something, or leave a factor out."""
    yield from _multiplied(term)
    sizes = [axis.size for axis in term.axes.values()]
    planes = [
        "·".join(axis.size for axis, name in zip(view.tensor.axes, view.names, strict=True) if _axis(name) is not None)
        for view in term.views
    ]
    sizes += [size for plane in planes if plane for size in (plane, f"N·{plane}")]
    for size, power in itertools.product(dict.fromkeys(sizes), (-1, 1)):
        coefficient = Coefficient(powers=((size, power),))
        yield "size-factor", f"times {size}^{power}", dataclasses.replace(term, coefficient=coefficient)
    counted = [name for name in term.views[0].names if _axis(name) is not None] if len(term.views) > 2 else []
    for name, power in itertools.product(counted, (-1, 1)):
        coefficient = Coefficient(counts=((name, power),))
        yield "count-factor", f"times counts of {name}^{power}", dataclasses.replace(term, coefficient=coefficient)
    for view in term.views[1:]:
        atom = "factor-missing" if len(term.views) > 2 else "other-sum"
        yield atom, f"ones for {view.tensor.letter}", term.with_ones(view.tensor.letter)


def _orders(term: Term) -> Wrong:
    """Read or write an array in another order of its axes, or take an axis of it in another order."""
    for at, view in enumerate(term.views):
        count, names = len(view.names), [axis.name for axis in view.tensor.axes]
        pairs = {_swapped(count, *pair): pair for pair in itertools.combinations(range(count), 2)}
        orders = (*pairs, tuple(reversed(range(count))), (*range(1, count), 0), (count - 1, *range(count - 1)))
        for order, written in itertools.product(dict.fromkeys(orders), (False, True)):
            one, two = pairs.get(order, (0, 0))
            interleaved = names[one] == "g" and two == one + 1
            other = dataclasses.replace(view, order=order, written=written)
            name = f"{view.tensor.letter} in order {order}{', written' * written}"
            yield "groups-interleaved" if interleaved else "order", name, _viewed(term, at, other)
        for axis, (atom, step) in itertools.product(
            range(count), (("in-steps", 2), ("in-steps", -2), ("neighbours-exchanged", PAIRS))
        ):
            other = dataclasses.replace(view, steps=((axis, step),))
            yield atom, f"{view.names[axis]} in steps {step}", _viewed(term, at, other)


def _viewed(term: Term, at: int, view: View) -> Term:
    return dataclasses.replace(term, views=(*term.views[:at], view, *term.views[at + 1 :]))


def _swapped(count: int, one: int, two: int) -> tuple[int, ...]:
    order = list(range(count))
    order[one], order[two] = two, one
    return tuple(order)


# what is added --------------------------------------------------------------------------------------------------------


def _added(term: Term) -> Wrong:
    """Add products again, a constant, or an array of the shape of the result."""
    for name in term.free:
        size = term.axes[name].size
        ranges = {"the first": {"high": Linear.of({})}, "the last": {"low": Linear.of({size: 1}, -1)}}
        for block in BLOCKS:
            last = {"low": Linear.of({size: 1}, -block), "high": Linear.of({f"{size}÷{block}": block}, -1)}
            ranges[f"the last block of {block}, moved back,"] = last
        for rule, fields in ranges.items():
            yield "counted-again", f"{name}: {rule} twice", _only(term, name, **fields)
    result = term.views[0]
    yield "constant-added", "1 added", Term((result,), ())
    letter = result.tensor.letter.removeprefix("d")
    if letter == result.tensor.letter:
        return
    own = View(dataclasses.replace(result.tensor, letter=letter))
    same = [Equation(index, Linear.of({other: 1})) for index, other in zip(own.names, result.names, strict=True)]
    for rule, number in (("", Fraction(1)), ("half of ", Fraction(1, 2)), ("minus ", Fraction(-1))):
        added = Term((result, own), tuple(same), coefficient=Coefficient(number))
        yield "decay" if letter in "Fb" else "array-added", f"{rule}{letter} added", added


def _biases(term: Term) -> Wrong:
    """Multiply the bias, or take that of another filter, or of some responses alone."""
    for atom, rule, changed in _multiplied(term):
        yield atom, f"times {rule}", changed
    per_tap = Coefficient(powers=(("K", 1),))
    yield "size-factor", "times K", dataclasses.replace(term, coefficient=per_tap)
    yield from _indices(term)
    for name in term.free:
        yield "some-lost", f"at the first {name}", _only(term, name, high=Linear.of({}))
