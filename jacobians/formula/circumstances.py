"""Where two formulas differ: evaluated at small layers, proved for every size where that can be, in words.

No code is called. A circumstance is said only if it holds at exactly those layers at which the formulas differ.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.formula import prove
from jacobians.formula.normal import solved
from jacobians.formula.relation import Coefficient, Formula, Linear, Term, size_of, split
from jacobians.formula.structure import SIZES, Structure
from jacobians.formula.writing import conditioned, equation, linear

__all__ = ["Circumstances", "circumstances", "layers"]

Array = npt.NDArray[Any]
Sizes = dict[str, int]

# Sizes of taps, responses and tails, and how many layers of how many products at most.
TAPS, RESPONSES, TAILS, MANY = (1, 1, 2, 3, 4), (1, 2, 3, 4), (0, 1, 2, 3), (1, 2, 3)
LAYERS, MOST_PRODUCTS = 160, 3000
# One long axis each, for the remainders of loops.
LONG = (5, 6, 7, 8, 9, 12)
ORDINALS = ("first", "second", "third")
# Names as the integer set library takes them.
MARKS = str.maketrans({"/": "_of_", "(": "_", ")": "", "[": "_", "]": ""})


@dataclasses.dataclass(frozen=True)
class Circumstances:
    """Where two formulas differ.

    Attributes
    ----------
    text : str
        ``exactly where …``, ``at every size``, ``nowhere``; empty where that cannot be said.
    proved : bool
        For every size, by integer sets; otherwise it is what was found at the layers.
    differing, layers : int
        At how many layers the formulas differ, of how many at which they were evaluated.
    """

    text: str
    proved: bool
    differing: int
    layers: int

    def __str__(self) -> str:
        """Say where, and how that is known."""
        if not self.text:
            return f"at {self.differing} of the {self.layers} small layers at which both were evaluated"
        known = "proved for every size" if self.proved else f"evaluated at {self.layers} small layers, not proved"
        return f"{self.text} ({known})"


@dataclasses.dataclass(frozen=True)
class _Predicate:
    """Comparisons of sizes: of each clause, one form at least is at least 1, or other than 0."""

    words: str
    clauses: tuple[tuple[Linear, ...], ...]
    apart: bool = False
    plain: bool = False

    def at(self, columns: Mapping[str, Array]) -> Array:
        """Return at which layers it holds."""
        found = [np.stack([each.scaled(columns, {}) for each in clause]) for clause in self.clauses]
        return np.asarray(np.all([np.any(each != 0 if self.apart else each >= 1, axis=0) for each in found], axis=0))

    def condition(self) -> str:
        """Write it for the integer set library."""
        sign = "!= 0" if self.apart else ">= 1"
        clauses = [" or ".join(f"{linear(form).translate(MARKS)} {sign}" for form in clause) for clause in self.clauses]
        return f"({' and '.join(f'({each})' for each in clauses)})"


def circumstances(read: Formula, right: Formula, structure: Structure) -> Circumstances:
    """Find the sizes at which the formula that was read and the right one, with the options, differ."""
    tried = list(layers(read, right, structure))
    predicates, ordinary = list(_predicates(read, right, structure)), _ordinary(right, structure)
    forms = [form for each in (*predicates, ordinary) for clause in each.clauses for form in clause]
    names = dict.fromkeys([*tried[0], *(name for form in forms for name, _ in form.terms)])
    columns = {name: np.array([size_of(name, sizes) for sizes in tried]) for name in names}
    mine, wanted = _apart(read, right)
    differ = np.array([_differ(mine, wanted, sizes) for sizes in tried])
    proof = _Proof.of(read, right, structure) if prove.available() else None
    inside = ordinary.at(columns)
    within = proof and proof.within(ordinary.condition())
    some = {name: column[inside] for name, column in columns.items()}
    # Where a filter meets nothing but padding, there is often nothing that could be wrong.
    asked = [("", columns, differ, proof), (f", if {ordinary.words}", some, differ[inside], within)]
    found = "", False
    for search, (where, at, wrong, proving) in itertools.product((_single, _pair), asked):
        if not found[0] and len(wrong):
            text, proved = _said(search(predicates, at, wrong), wrong, proving)
            found = f"{text}{where}" if text else "", proved
    return Circumstances(*found, int(differ.sum()), len(tried))


def _said(chosen: _Predicate | None, differ: Array, proof: _Proof | None) -> tuple[str, bool]:
    """Return where formulas differ, and whether that is proved."""
    if proof is not None:
        return proof.text(chosen), True
    if differ.all() or not differ.any():
        return "at every size" if differ.all() else "nowhere", False
    return f"exactly where {chosen.words}" if chosen else "", False


def _single(predicates: Sequence[_Predicate], columns: Mapping[str, Array], differ: Array) -> _Predicate | None:
    """Return the first comparison that holds at just the layers that differ, if they are some and not all."""
    if differ.all() or not differ.any():
        return None
    return next((each for each in predicates if np.array_equal(each.at(columns), differ)), None)


def _pair(predicates: Sequence[_Predicate], columns: Mapping[str, Array], differ: Array) -> _Predicate | None:
    """Return the first two plain comparisons that hold together at just the layers that differ."""
    valued = [(each, each.at(columns)) for each in predicates if each.plain]
    wide = [(each, holds) for each, holds in valued if not np.any(differ & ~holds)]
    for (one, first), (two, second) in itertools.combinations(wide, 2):
        if np.array_equal(first & second, differ):
            return _Predicate(f"{one.words} and {two.words}", one.clauses + two.clauses)
    return None


# Layers ---------------------------------------------------------------------------------------------------------------


def layers(read: Formula, right: Formula, structure: Structure) -> Iterator[Sizes]:
    """Yield sizes of small layers with the right options: squares and others, tails of all lengths, long axes."""
    generator, options, count = np.random.default_rng(1), dict(right.options), structure.spatial_ndim
    seen: set[tuple[int, ...]] = set()
    blocks = dict(_blocks(read))
    choices = (*[TAPS] * count, *[RESPONSES] * count, *[TAILS] * count, *[MANY] * 3)
    for number in range(20 * LAYERS):
        which = generator.integers([len(some) for some in choices])
        drawn = [some[at] for some, at in zip(choices, which, strict=True)]
        k, out, rest = (drawn[at : at + count] for at in range(0, 3 * count, count))
        many = drawn[3 * count :]
        if number % 4 == 0:
            out[int(generator.integers(count))] = LONG[(number // 4) % len(LONG)]
        elif number % 4 == 1:
            for at, (_, taps, responses) in enumerate(SIZES[count]):
                k[at], out[at] = (blocks.get(name, before) for name, before in ((taps, k[at]), (responses, out[at])))
        if number % 5 == 0:
            k, out, rest = ([each[0]] * count for each in (k, out, rest))
        found = _sizes(options, structure, k, out, rest, many)
        size = math.prod([*k, *out, *many, structure.groups])
        if found is None or size > MOST_PRODUCTS or tuple(found.values()) in seen:
            continue
        seen.add(tuple(found.values()))
        yield found
        if len(seen) == LAYERS:
            return


def _blocks(read: Formula) -> list[tuple[str, int]]:
    """Return sizes that are cut into blocks, and the lengths of these."""
    conditions = [each for term in read.terms for each in (*term.conditions, *term.excluded)]
    names = {
        name for each in conditions for form in (each.low, each.high) if form for name, _ in form.terms if "÷" in name
    }
    return [(name.partition("÷")[0], int(name.partition("÷")[2])) for name in sorted(names)]


def _sizes(
    options: Mapping[str, int],
    structure: Structure,
    k: Sequence[int],
    out: Sequence[int],
    rest: Sequence[int],
    many: Sequence[int],
) -> Sizes | None:
    images, planes, filters = many
    found = {"N": images, "d": planes * structure.groups, "n": filters * structure.groups, "g": structure.groups}
    found |= {"d/g": planes, "n/g": filters}
    for at, (image, taps, responses) in enumerate(SIZES[structure.spatial_ndim]):
        s, dilation = options[f"stride[{at}]"], options[f"dilation[{at}]"]
        around = dilation * (k[at] - 1)
        before = options.get(f"before[{at}]", around // 2)
        after = options.get(f"after[{at}]", around - before)
        tail = rest[at] % s
        size = s * (out[at] - 1) + around + 1 + tail - before - after
        if size < 1:
            return None
        found |= {image: size, taps: k[at], responses: out[at], f"tail({image})": tail}
        found |= {f"before({image})": before, f"after({image})": after}
    return found


def _apart(read: Formula, right: Formula) -> tuple[Formula, Formula]:
    """Leave out the terms that two formulas have in common."""
    mine, wanted = list[Term](), list(right.terms)
    for term in read.terms:
        same = next((each for each in wanted if solved(each) == solved(term)), None)
        if same is None:
            mine.append(term)
        else:
            wanted.remove(same)
    return dataclasses.replace(read, terms=tuple(mine)), dataclasses.replace(right, terms=tuple(wanted))


def _differ(read: Formula, right: Formula, sizes: Sizes) -> bool:
    """Whether two formulas give other numbers at a layer."""
    shapes = [tuple(max(each.at(sizes), 0) for each in one.shape) for one in (read, right)]
    if shapes[0] != shapes[1]:
        return True
    mine, wanted = (_products(one, sizes, shapes[0]) for one in (read, right))
    return mine.keys() != wanted.keys() or not all(
        np.array_equal(one, two) for letters in mine for one, two in zip(mine[letters], wanted[letters], strict=True)
    )


def _products(formula: Formula, sizes: Sizes, shape: tuple[int, ...]) -> dict[tuple[str, ...], tuple[Array, Array]]:
    """Return the products by their factors, each once, with the sums of their coefficients."""
    parts: dict[tuple[str, ...], list[tuple[Array, Array]]] = {}
    for term in formula.terms:
        places, by = term.products(sizes, split(shape, term.views[0].tensor, sizes))
        letters = ["1" if view.ones else view.tensor.letter for view in term.views]
        order = [0, *sorted(range(1, len(letters)), key=letters.__getitem__)]
        key = np.zeros(places.shape[1], np.int64)
        for at in order:
            key = key * math.prod(term.views[at].tensor.shape(sizes)) + places[at]
        parts.setdefault(tuple(letters[at] for at in order), []).append((key, by))
    found = {}
    for name, some in parts.items():
        keys, which = np.unique(np.concatenate([key for key, _ in some]), return_inverse=True)
        sums = np.bincount(which, np.concatenate([by for _, by in some]), len(keys))
        if np.any(sums):
            found[name] = keys[sums != 0], sums[sums != 0]
    return found


# Comparisons of sizes -------------------------------------------------------------------------------------------------


def _ordinary(right: Formula, structure: Structure) -> _Predicate:
    """Say that no response lies in the padding alone."""
    options, forms = dict(right.options), list[Linear]()
    for at, (image, taps, _) in enumerate(SIZES[structure.spatial_ndim]):
        dilation = options[f"dilation[{at}]"]
        forms += [Linear.of({taps: dilation, f"{side}({image})": -1}, 1 - dilation) for side in ("before", "after")]
        forms.append(Linear.of({image: 1, taps: -dilation}, dilation))
    return _Predicate("no window lies entirely in the padding", tuple((form,) for form in forms))


def _predicates(read: Formula, right: Formula, structure: Structure) -> Iterator[_Predicate]:
    """Yield comparisons of sizes, those of any axis before those of one, the plainest first."""
    for name, step in _blocks(read):
        yield _Predicate(
            f"{name} is not a multiple of {step}", ((Linear.of({name: 1, f"{name}÷{step}": -step}),),), plain=True
        )
    axes, options = SIZES[structure.spatial_ndim], dict(right.options)
    filters, planes = ("n/g", "d/g") if structure.groups > 1 else ("n", "d")
    of = " in a group" if structure.groups > 1 else ""
    images, taps, responses = zip(*axes, strict=True)
    many = {"image": ("N",), f"plane{of}": (planes,), f"filter{of}": (filters,), "response": responses, "pixel": images}
    for least, amount, end in ((2, "is more than one", ""), (3, "are more than two", "s")):
        plain = least == 2
        forms = [Linear.of({k: 1}, 1 - least) for k in taps]
        yield from _along(f"a filter has {amount.partition(' ')[2]} tap{end}", forms, plain=plain)
        for noun, names in many.items():
            kind, _, where = noun.partition(" ")
            yield from _along(
                f"there {amount} {kind}{end} {where}".rstrip(),
                [Linear.of({name: 1}, 1 - least) for name in names],
                plain=plain,
            )
    yield from _along("the stride leaves a tail", [Linear.of({f"tail({image})": 1}) for image in images], plain=True)
    steps = [options[f"dilation[{at}]"] for at in range(len(axes))]
    reach = "K − 1" if set(steps) == {1} else "dilation·(K − 1)"
    for side in ("before", "after"):
        forms = [Linear.of({f"{side}({h})": 1, k: -step}, step) for h, k, step in zip(images, taps, steps, strict=True)]
        yield from _along(f"the padding {side} the image is larger than {reach}", forms, plain=True)
    yield from _along(
        "windows overlap",
        [
            Linear.of({k: step}, 1 - step - options[f"stride[{at}]"])
            for at, (k, step) in enumerate(zip(taps, steps, strict=True))
        ],
        plain=True,
    )
    for a, b in itertools.combinations([*itertools.chain(taps, images, responses), "N", planes, filters], 2):
        yield _Predicate(f"{a} ≠ {b}", ((Linear.of({a: 1, b: -1}),),), apart=True)
        yield _Predicate(f"{a} > {b}", ((Linear.of({a: 1, b: -1}),),))
        yield _Predicate(f"{a} < {b}", ((Linear.of({a: -1, b: 1}),),))


def _along(words: str, forms: Sequence[Linear], *, plain: bool) -> Iterator[_Predicate]:
    """Yield that it is so along any axis, along every axis, and along each."""
    if len(forms) > 1:
        yield _Predicate(words, (tuple(forms),), plain=plain)
        yield _Predicate(f"{words} along every axis", tuple((form,) for form in forms), plain=plain)
    for form, axis in zip(forms, ORDINALS, strict=False):
        yield _Predicate(words + (f" along the {axis} axis" if len(forms) > 1 else ""), ((form,),), plain=plain)


# Proofs ---------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Proof:
    """The terms of two formulas as sets of indices, sizes being parameters."""

    read: tuple[prove.Piece, ...]
    right: tuple[prove.Piece, ...]
    space: prove.Space

    @classmethod
    def of(cls, read: Formula, right: Formula, structure: Structure) -> _Proof | None:
        """Return what can be proved about; None if the difference is no matter of linear equations and ranges."""
        mine, wanted = ([solved(term) for term in each.terms] for each in _apart(read, right))
        letters = {tuple(view.tensor.letter for view in term.views) for term in (*mine, *wanted)}
        if read.shape != right.shape or len(letters) != 1 or not wanted or not all(map(_is_linear, (*mine, *wanted))):
            return None
        indices = tuple(name.replace(".", "_") for name in wanted[0].axes)
        sizes, legal = _legal(dict(right.options), structure)
        pieces = [tuple(map(_piece, terms)) for terms in (mine, wanted)]
        return cls(pieces[0], pieces[1], prove.Space(indices, sizes, legal))

    def within(self, condition: str) -> _Proof:
        """Return the same about fewer sizes."""
        return dataclasses.replace(self, space=dataclasses.replace(self.space, legal=(*self.space.legal, condition)))

    def text(self, predicate: _Predicate | None) -> str:
        """Say where the terms differ, by the comparison where it is proved to say just that."""
        if predicate is not None and "÷" not in predicate.condition():
            holds = predicate.condition()
            inside = self.within(holds).differ()
            if self.within(f"not {holds}").differ() is None and inside and inside.text == "at all sizes":
                return f"exactly where {predicate.words}"
        sizes = self.differ()
        if sizes is None:
            return "nowhere"
        if not sizes.exact:
            return ""
        return "at every size" if sizes.text == "at all sizes" else sizes.text.replace("_of_", "/")

    def differ(self) -> prove.Sizes | None:
        """Return the sizes at which the two differ."""
        return prove.compare(self.read, self.right, self.space).differ


def _is_linear(term: Term) -> bool:
    conditions = (*term.conditions, *term.excluded)
    forms = [each.value for each in term.equations] + [
        limit for each in conditions for limit in (each.form, each.low or Linear(), each.high or Linear())
    ]
    names = {name for form in forms for name, _ in form.terms} | {each.index for each in term.equations}
    plain = not any(any(mark in name for mark in ("÷", "min(", "·", "*", "+")) for name in names)
    unfolded = not any(each.fold for each in term.equations) and not any(
        view.order or view.steps or view.ones for view in term.views
    )
    return plain and unfolded and not any(each.of for each in conditions) and term.coefficient == Coefficient()


def _piece(term: Term) -> prove.Piece:
    tokens = {name: name.replace(".", "_") for name in term.axes}
    conditions = [equation(each, tokens) for each in term.equations]
    conditions += [f"0 ≤ {tokens[name]} < {axis.size}" for name, axis in term.axes.items()]
    conditions += [conditioned(each, tokens) for each in term.conditions]
    named = [each.translate(MARKS) for each in conditions]
    hole = [f"({conditioned(each, tokens).translate(MARKS)})" for each in term.excluded]
    return prove.Piece((*named, *([f"not ({' and '.join(hole)})"] if hole else [])))


def _legal(options: Mapping[str, int], structure: Structure) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of sizes, and what is true of them."""
    groups = structure.groups
    many = ["N", "d", "n"] if groups == 1 else ["N", "d_of_g", "n_of_g"]
    names, legal = list(many), [f"{name} ≥ 1" for name in many]
    if groups > 1:
        names += ["g", "d", "n"]
        legal += [f"g = {groups}", f"d = {groups}·d_of_g", f"n = {groups}·n_of_g"]
    for at, (image, taps, out) in enumerate(SIZES[structure.spatial_ndim]):
        s, dilation, tail = options[f"stride[{at}]"], options[f"dilation[{at}]"], f"tail_{image}"
        zeros = [f"{side}_{image}" for side in ("before", "after")]
        names += [image, taps, out, tail, *zeros]
        legal += [f"{each} ≥ 1" for each in (image, taps, out)]
        legal += [
            f"0 ≤ {tail} < {s}",
            f"{image} = {s}·{out} + {dilation}·{taps} + {tail} − {zeros[0]} − {zeros[1]} + {1 - s - dilation}",
        ]
        if f"before[{at}]" in options:
            legal += [f"{zeros[side]} = {options[f'{word}[{at}]']}" for side, word in enumerate(("before", "after"))]
        else:
            around = f"{dilation}·{taps} − {dilation}"
            legal += [f"{zeros[0]} + {zeros[1]} = {around}", f"0 ≤ {zeros[1]} − {zeros[0]} ≤ 1"]
    return tuple(names), tuple(legal)
