"""What is wrong, in words that are derived from the difference of two formulas and not looked up."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from jacobians.formula.atoms import ATOMS
from jacobians.formula.layouts import Order, parse, places, standard
from jacobians.formula.normal import LETTERS, SPATIAL, aligned, expanded, is_plain, plus, position, solved
from jacobians.formula.relation import AXES, EXCHANGED, FLOOR, Axis, Condition, Equation, Formula, Linear, Term, View
from jacobians.formula.structure import array_axes
from jacobians.formula.writing import ENTRIES, NAMES, conditioned, equation, linear, write

__all__ = ["Explanation", "explain", "known_sizes"]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """The differences of two formulas in words.

    Attributes
    ----------
    title : str
        ``∂l/∂X is wrong: …``, with all causes; that it is right where there are none.
    causes, cures, anchors : tuple of str
        One each per cause: what is wrong, where to look, the row on the page of mistakes.
    atoms : tuple of str
        Their names, each once.
    """

    title: str
    causes: tuple[str, ...] = ()
    cures: tuple[str, ...] = ()
    anchors: tuple[str, ...] = ()
    atoms: tuple[str, ...] = ()


# Differences beyond which nobody would call them by their names.
MOST = 5


@dataclasses.dataclass(frozen=True)
class _Found:
    """An atom, the spatial axis that it is about, and what fills its phrase."""

    atom: str
    axis: int | None = None
    fill: tuple[tuple[str, str], ...] = ()


def explain(read: Formula, right: Formula, orders: Mapping[str, Order] | None = None) -> Explanation:
    """Say how two formulas of one result differ.

    Parameters
    ----------
    read : Formula
        Of the code.
    right : Formula
        The right one.
    orders : mapping of str to Order, optional
        The axes of X, F and S in the code; by default planes come first.

    Returns
    -------
    Explanation
        One cause per difference; none where the formulas say the same.
    """
    count = _axes_of(right)
    found = _exchanged(list(dict.fromkeys(_Differences(read, right).found())), dict(right.options))
    if len({each.atom for each in found}) > MOST or len(found) > MOST * count:
        found = [_Found("another-relation")]
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[int]] = {}
    for each in found:
        axes = groups.setdefault((each.atom, each.fill), [])
        if each.axis is not None:
            axes.append(each.axis)
    where = places(orders or parse(standard(count)))
    causes, cures = [], []
    for (name, fill), axes in groups.items():
        atom = ATOMS[name]
        everywhere = atom.everywhere and len(set(axes)) == count
        causes.append(
            (atom.everywhere if everywhere else atom.phrase).format(**{"axes": _axes(axes, count)} | dict(fill))
        )
        cures.append(atom.cured(where))
    result = NAMES.get(right.result, right.result)
    title = f"{result} is wrong: {', and '.join(causes)}" if causes else f"{result} is right"
    names = tuple(name for name, _ in groups)
    return Explanation(title, tuple(causes), tuple(cures), names, tuple(dict.fromkeys(names)))


def _exchanged(found: list[_Found], options: Mapping[str, int]) -> list[_Found]:
    """Say once that two axes have each other's option."""
    for each in [one for one in found if one.atom == "step-of-other-axis"]:
        fill = dict(each.fill)
        mine, step = each.axis or 0, fill["step"]
        name, ignored = ("before", "padding-ignored") if step == "padding" else (step, "step-ignored")
        nothing = options.get(f"{name}[{mine}]") == (0 if step == "padding" else 1)
        for mate in found:
            same = (mate.atom == ignored and nothing) or (
                mate.atom == each.atom and dict(mate.fill)["other"] == _ordinal(mine)
            )
            if same and dict(mate.fill).get("step", "padding") == step and _ordinal(mate.axis or 0) == fill["other"]:
                found = [
                    dataclasses.replace(one, atom="options-exchanged", fill=(("step", step),))
                    if one in {each, mate}
                    else one
                    for one in found
                ]
                break
    return found


class _Differences:
    """Two formulas, and the sizes that follow from others."""

    def __init__(self, read: Formula, right: Formula) -> None:
        self.read, self.right = read, right
        self.count = _axes_of(right)
        self.known = known_sizes(right)
        self.options = dict(right.options)

    def found(self) -> Iterator[_Found]:
        yield from self._shape()
        if not self.read.terms:
            yield _Found("zero")
            return
        groups: dict[tuple[str, ...], list[Term]] = {}
        for term in self.read.terms:
            groups.setdefault(_letters(term), []).append(solved(term))
        if not any(set(each) <= set(_letters(term)) for each in groups if each for term in self.right.terms):
            yield self._instead()
            return
        missing = []
        for term in map(solved, self.right.terms):
            mates = groups.pop(_letters(term), [])
            if mates:
                yield from self._terms(mates, term)
            else:
                missing.append(term)
        for term in missing:
            letters = _letters(term)
            part = next((each for each in groups if set(each) < set(letters) and letters != ("b",)), None)
            if part is not None:
                mates = groups.pop(part)
                lacking = [NAMES.get(each, each) for each in letters if each not in part]
                yield _Found("factor-missing", fill=(("what", " and ".join(lacking)),))
                if all(len(each.views) == len(term.views) for each in mates):
                    yield from self._terms(mates, term)
            elif letters == ("b",):
                yield _Found("bias-missing")
            else:
                yield _Found("products-missing", fill=(("what", " and ".join(letters)),))
        for terms in groups.values():
            yield from map(self._added, terms)

    # terms ------------------------------------------------------------------------------------------------------------

    def _terms(self, mates: Sequence[Term], right: Term) -> Iterator[_Found]:
        """Compare the term that is most like the right one, and say what the others add."""
        main, *others = sorted(mates, key=lambda each: self._distance(each, right))
        differences = list(self._term(main, right))
        yield from differences
        for each in others:
            missing, other, further = aligned(each, right, self.known)
            if not missing and not other and each.coefficient == main.coefficient and not each.excluded:
                where = [*map(equation, further), *map(conditioned, each.conditions)]
                yield _Found("counted-again", fill=(("where", f" for {' and '.join(where)}" if where else ""),))
            else:
                yield self._written(each)

    def _distance(self, read: Term, right: Term) -> tuple[int, int]:
        missing, other, further = aligned(read, right, self.known)
        return len(missing) + len(other) + len(further), len(read.conditions) + 2 * len(read.excluded)

    def _written(self, term: Term) -> _Found:
        return _Found("otherwise-added", fill=(("text", self._sum((term,))),))

    def _sum(self, terms: tuple[Term, ...]) -> str:
        """Write terms without their result."""
        return write(dataclasses.replace(self.read, terms=terms, shape=self.right.shape)).partition(" = ")[2]

    def _instead(self) -> _Found:
        """Say what there is, where nothing of the right formula is left to which it could be added."""
        products = max(map(_letters, self.right.terms), key=len)
        return _Found("other-sum", fill=(("text", self._sum(self.read.terms)), ("what", " and ".join(products))))

    def _added(self, term: Term) -> _Found:
        """Say what a term adds whose factors the right formula does not have."""
        letters = _letters(term)
        number = linear(Linear((), term.coefficient.number))
        simple = (
            not term.coefficient.powers and not term.coefficient.counts and not term.conditions and not term.excluded
        )
        if simple and not letters and not term.equations:
            return _Found("constant-added", fill=(("number", number),))
        same = len(letters) == 1 and len(term.equations) == len(term.views[1].names)
        if (
            simple
            and same
            and all(
                is_plain(each) and position(each.index) == position(each.value.terms[0][0]) for each in term.equations
            )
        ):
            fill = (("number", "" if number == "1" else "−" if number == "−1" else f"{number}·"), ("what", letters[0]))
            decay = self.right.result == f"d{letters[0]}" and letters[0] in "Fb"
            return _Found("decay" if decay else "array-added", fill=fill)
        return self._written(term)

    def _term(self, read: Term, right: Term) -> Iterator[_Found]:
        for view in read.views:
            yield from _orders(view, self.count)
        missing, other, further = aligned(read, right, self.known)
        together = [each for each in further if each.index in read.joined]
        # That images are kept apart is said of the shape.
        images = (f"{letter}.n" for letter in ("dF", "db"))
        apart = {each for each in images if each in read.axes}
        further = [
            each for each in further if each not in together and apart.isdisjoint({each.index, *_indices(each.value)})
        ]
        bound = {name for each in together for name in read.joined[each.index]}
        missing = [each for each in missing if bound.isdisjoint({each.index, *_indices(each.value)})]
        for each in together:
            yield from self._joint(each, read, right)
        fixed = {each.index: each.value for each in further if not each.fold}
        by_index = {each.index: each for each in other}
        pixels: dict[int, tuple[Equation, Linear]] = {}
        for wanted in missing:
            mine = by_index.pop(wanted.index, None)
            axis = _axis(wanted.index)
            if mine is None:
                yield from self._free(wanted, other + further)
            elif axis is None:
                yield from self._map(mine, wanted, right)
            else:
                pixels[axis] = mine, expanded(wanted.value, fixed)
        yield from self._pixels(pixels, right)
        for each in by_index.values():
            yield _literal(each, None)
        for each in further:
            yield self._bound(each, read)
        for condition in _together(read):
            yield from self._range(condition, read)
        if read.excluded:
            yield self._hole(read)
        yield from self._coefficient(read, right)

    # pixels -----------------------------------------------------------------------------------------------------------

    def _pixels(self, pairs: Mapping[int, tuple[Equation, Linear]], term: Term) -> Iterator[_Found]:
        roles = {(LETTERS[name.partition(".")[0]], _axis(name)): name for name in term.axes if _axis(name) is not None}
        values = {axis: mine.value for axis, (mine, _) in pairs.items()}
        rights = {axis: right for axis, (_, right) in pairs.items()}
        moved: dict[tuple[int, int], list[str]] = {}
        for role, axis in itertools.product(("response", "tap"), pairs):
            used = [at for at in range(self.count) if values[axis].coefficient(roles[role, at])]
            if len(used) != 1 or used[0] == axis:
                continue
            moved.setdefault((axis, used[0]), []).append(role)
        for (axis, from_), some in moved.items():
            back = moved.get((from_, axis), [])
            swapped = [role for role in some if role in back]
            if len(swapped) == 2:
                yield _Found("axes-exchanged", axis, (("what", _array(roles["pixel", axis])),))
            else:
                for role in swapped:
                    yield _Found("axes-exchanged", axis, (("what", _array(roles[role, axis])),))
            for role in some:
                values[axis] = expanded(values[axis], {roles[role, from_]: Linear.of({roles[role, axis]: 1})})
                if role not in back:
                    yield _Found("axis-borrowed", axis, (("role", role), ("other", _ordinal(from_))))
            own = {roles[role, from_]: Linear.of({roles[role, axis]: 1}) for role in ("response", "tap")}
            if len(swapped) == 2:
                # Options may stay with the axis, or move with it.
                moves = expanded(pairs[from_][1], own)
                rights[axis] = min(rights[axis], moves, key=lambda each: _weight(plus(values[axis], each, -1)))
        for axis, (mine, _) in pairs.items():
            right = rights[axis]
            names = {role: roles[role, axis] for role in ("response", "tap", "pixel")}
            if mine.fold:
                name, _, side = mine.fold.partition(" ")
                kind = {"wrap": "taken from the other end", "clamp": "copied from the border"}.get(name, "mirrored")
                where = {"before": "before the image", "behind": "behind the image"}.get(side, "beyond the border")
                if name in {"mod", FLOOR}:
                    yield _literal(mine, right)
                    continue
                yield _Found("border", axis, (("kind", kind), ("where", where)))
            yield from self._pixel(axis, mine, values[axis], right, names, term)

    def _pixel(
        self, axis: int, mine: Equation, value: Linear, right: Linear, names: Mapping[str, str], term: Term
    ) -> Iterator[_Found]:
        """Compare the equation of one axis: what is turned over, the steps, and then the constant."""
        l, a = names["response"], names["tap"]
        strange = [name for name, _ in value.terms if "." in name and name not in {l, a}]
        if strange or value.denominator != 1:
            yield _literal(mine, right)
            return
        value, right = expanded(value, self.known), expanded(right, self.known)
        turned, value = self._unturned(value, right, names, term)
        steps = (value.coefficient(l), value.coefficient(a)), (right.coefficient(l), right.coefficient(a))
        off = plus(value, right, -1)
        off = Linear.of({name: by for name, by in off.terms if name not in {l, a}}, off.constant)
        moved = list(self._offset(axis, value, right, off))
        if moved and moved[0].atom == "otherwise":
            yield _literal(mine, right)
            return
        for role in turned:
            atom = {"tap": "filter", "response": "response", "pixel": "image"}[role] + "-turned"
            if role == "tap" and self.right.result == "dX":
                yield _Found("filter-not-rotated", axis)
            else:
                what = "the filter" if names[role].startswith("F.") else _array(names[role])
                yield _Found(atom, axis, (("what", what),))
        yield from self._steps(axis, *steps)
        yield from moved

    def _unturned(self, value: Linear, right: Linear, names: Mapping[str, str], term: Term) -> tuple[list[str], Linear]:
        """Return what is turned over, and the equation without that."""
        turned = [role for role in ("response", "tap") if value.coefficient(names[role]) < 0]
        off = plus(value, right, -1)
        if not off.constant and all("." in name for name, _ in off.terms):
            return [], value
        other = value
        for role in turned:
            name = names[role]
            last = expanded(Linear.of({term.axes[name].size: 1}, -1), self.known)
            other = expanded(other, {name: plus(last, Linear.of({name: 1}), -1)})
        if not turned or any(value.coefficient(names[role]) > 0 for role in ("response", "tap")):
            return turned, other
        last = expanded(Linear.of({term.axes[names["pixel"]].size: 1}, -1), self.known)
        image = plus(last, value, -1)
        if _weight(plus(image, right, -1)) <= _weight(plus(other, right, -1)):
            return ["pixel"], image
        return turned, other

    def _steps(self, axis: int, mine: Sequence[Fraction], right: Sequence[Fraction]) -> Iterator[_Found]:
        kinds = ("stride", "dilation")
        if all(right) and right[0] != right[1] and tuple(mine) == (right[1], right[0]):
            yield _Found("steps-exchanged", axis)
            return
        for at, kind in enumerate(kinds):
            if mine[at] == right[at]:
                continue
            step, others = ("step", kind), [self.options.get(f"{kind}[{other}]") for other in range(self.count)]
            if not mine[at]:
                yield _Found("step-missing", axis, (("entry", ("response", "tap")[at]),))
            elif mine[at] == 1:
                yield _Found("step-ignored", axis, (step,))
            elif mine[at] in others:
                yield _Found("step-of-other-axis", axis, (step, ("other", _ordinal(others.index(int(mine[at]))))))
            elif mine[at] == right[1 - at]:
                yield _Found("step-of-other-kind", axis, (step, ("other", kinds[1 - at])))
            else:
                yield _Found(
                    "step-wrong", axis, (step, ("number", linear(Linear((), mine[at]))), ("right", str(right[at])))
                )

    def _offset(self, axis: int, value: Linear, right: Linear, off: Linear) -> Iterator[_Found]:
        """Say what the difference of the constants is."""
        if not off.terms and not off.constant:
            return
        sizes = any("." not in name for name, _ in value.terms)
        before = [self.options.get(f"before[{at}]") for at in range(self.count)]
        after, p, constant = self.options.get(f"after[{axis}]"), -right.constant, value.constant
        if not sizes and not any("." not in name for name, _ in right.terms) and p == before[axis]:
            if constant == 0:
                yield _Found("padding-ignored", axis)
                return
            if -constant == after:
                yield _Found("padding-after", axis)
                return
            if -constant in before:
                other = _ordinal(before.index(int(-constant)))
                yield _Found("step-of-other-axis", axis, (("step", "padding"), ("other", other)))
                return
            if p and constant in {p, -2 * p}:
                yield _Found("padding-added" if constant > 0 else "padding-twice", axis)
                return
        parts = [by for _, by in off.terms] + ([off.constant] if off.constant else [])
        positive = sum(by > 0 for by in parts)
        far = off.terms[0][1] > 0 if off.terms else off.constant > 0
        if off.terms and 0 < positive < len(parts) and len(off.terms) > 1:
            yield _Found("otherwise")
            return
        by = linear(off if far else plus(Linear(), off, -1))
        yield _Found("offset", axis, (("by", by), ("direction", "large" if far else "small")))

    # planes, filters, images and groups -------------------------------------------------------------------------------

    def _free(self, wanted: Equation, others: Sequence[Equation]) -> Iterator[_Found]:
        """Say that an index takes all values, unless an equation ties it to something else."""
        indices = [wanted.index, *(each for each, _ in wanted.value.terms)]
        if any(name == each.index or each.value.coefficient(name) for each in others for name in indices):
            return
        name, partner = indices[:2]
        if _axis(name) is not None:
            yield _Found(
                "otherwise", fill=(("read", f"{position(name)} takes every value instead of {equation(wanted)}"),)
            )
        else:
            meets = f"{_entry(partner, self.count)} of {_array(partner)}"
            yield _Found(
                "index-summed", fill=(("what", _array(name)), ("entry", _entry(name, self.count)), ("partner", meets))
            )

    def _map(self, mine: Equation, wanted: Equation, right: Term) -> Iterator[_Found]:
        """Compare the equation of an index that is the same as another one."""
        name, partner = wanted.index, wanted.value.terms[0][0]
        what, entries = ("what", _array(name)), ("entries", f"the {_entries(name, self.count)}")
        size, value = right.axes[name].size, mine.value
        last = {Linear.of({size: 1}, -1)} | ({Linear.of({}, self.options["groups"] - 1)} if size == "g" else set())
        indices = [(each, int(by)) for each, by in value.terms if "." in each]
        rest = Linear.of({each: by for each, by in value.terms if "." not in each}, value.constant)
        if not indices and not mine.fold:
            yield self._bound(mine, right)
        elif indices == [(partner, 1)] and not rest.terms and mine.fold in {"", "wrap"}:
            if rest.constant:
                cyclic = ", cyclically" if mine.fold else ""
                yield _Found("index-shifted", fill=(what, entries, ("by", f"{linear(rest)}{cyclic}")))
        elif indices == [(partner, -1)] and (
            rest in last or (mine.fold == "wrap" and rest == Linear((), Fraction(-1)))
        ):
            yield _Found("index-reversed", fill=(what, entries))
        elif is_plain(dataclasses.replace(mine, fold="")) and indices[0][0] != partner:
            yield self._borrowed(mine)
        else:
            sized = any("·" in each for each, _ in value.terms)
            yield self._mapped(mine, wanted.value, size) if sized else _literal(mine, wanted.value)

    def _joint(self, mine: Equation, read: Term, right: Term) -> Iterator[_Found]:
        """Compare the equation of several indices as one: of groups and what is in them, or of all axes."""
        names = read.joined[mine.index]
        wanted = {each.index: each.value for each in right.equations}
        if mine.index.endswith("*"):
            text = f"the flat index of {_array(mine.index)} is {linear(mine.value, _of_arrays(mine.value))}"
            yield _Found("otherwise", fill=(("read", text),))
            return
        group, own = (wanted.get(name, Linear.of({name: 1})) for name in names)
        together = plus(_times(group, read.axes[names[-1]].size), own)
        off = plus(expanded(mine.value, wanted), together, -1)
        if not any("." in name for name, _ in off.terms) and mine.fold in {"", "wrap"}:
            cyclic = ", cyclically" if mine.fold else ""
            what, entries = ("what", _array(mine.index)), ("entries", f"the {_entries(mine.index, self.count)}")
            yield _Found("index-shifted", fill=(what, entries, ("by", f"{linear(off)}{cyclic}")))
        else:
            yield self._mapped(mine, together, read.size(mine.index))

    def _mapped(self, mine: Equation, right: Linear, size: str) -> _Found:
        """Say which entries are taken, and which are right."""
        size = str(self.options["groups"]) if size == "g" else size
        fold = f", modulo {size}," if mine.fold == "wrap" else f" ({mine.fold})" if mine.fold else ""
        fill = (
            ("entries", f"the {_entries(mine.index, self.count)}"),
            ("what", _array(mine.index)),
            ("read", linear(mine.value, _of_arrays(mine.value)) + fold),
            ("right", linear(right, _of_arrays(right))),
        )
        return _Found("index-mapped", fill=fill)

    def _borrowed(self, mine: Equation) -> _Found:
        """Say that an index is that of something else."""
        (other, _), *_ = mine.value.terms
        text = f"the {_entries(other, self.count)} of {_array(other)}"
        text += {"": "", "wrap": ", counted modulo their number,"}.get(mine.fold, f" ({mine.fold})")
        if mine.index.startswith("b."):
            return _Found("bias-axis", fill=(("other", text.rstrip(",")),))
        if self.right.result == "db" and not mine.fold:
            left = next(name for name in (mine.index, other) if name.startswith("G."))
            return _Found("bias-gradient-axis", fill=(("other", _entry(left, self.count)),))
        entries = ("entries", f"the {_entries(mine.index, self.count)}")
        return _Found("index-borrowed", fill=(("what", _array(mine.index)), entries, ("other", text)))

    def _bound(self, each: Equation, term: Term) -> _Found:
        """Say that an index has one value only, or that of another one."""
        indices = [name for name, _ in each.value.terms if "." in name]
        if len(indices) == 1 and position(indices[0]) == position(each.index):
            same = Equation(each.index, Linear.of({indices[0]: 1}))
            return next(self._map(each, same, term), _Found("otherwise", fill=(("read", equation(each)),)))
        if is_plain(dataclasses.replace(each, fold="")):
            return self._borrowed(each)
        if each.fold or any("." in name for name, _ in each.value.terms):
            return _literal(each, None)
        return self._only(each.index, each.value, term.axes[each.index])

    def _only(self, name: str, value: Linear, axis: Axis) -> _Found:
        entry = _entry(name, self.count)
        which = {Linear.of({axis.size: 1}, -1): f"the last {entry}", Linear(): f"the first {entry}"}
        if axis.size == "g":
            which[Linear.of({}, self.options["groups"] - 1)] = f"the last {entry}"
        text = which.get(value, f"{entry} {linear(plus(value, Linear((), Fraction(1))))}")
        used = "filled" if self._is_result(name) else "used"
        return _Found("index-constant", fill=(("which", f"{text} of {_array(name)}"), ("used", used)))

    def _is_result(self, name: str) -> bool:
        return name.partition(".")[0] == self.right.result

    # ranges -----------------------------------------------------------------------------------------------------------

    def _range(self, each: Condition, term: Term) -> Iterator[_Found]:
        name = each.form.terms[0][0] if each.form.terms else ""
        single = each.form == Linear.of({name: 1})
        literal = _Found("some-lost", fill=(("condition", conditioned(each)),))
        if each.of and not each.modulus and single and each.high == Linear():
            yield _Found(
                "one-product", fill=(("which", each.of), ("entry", f"{_entry(name, self.count)} of {_array(name)}"))
            )
        elif not single or each.of or each.modulus or position(name) == "*":
            yield literal
        elif each.low is not None and each.low == each.high and name in term.axes:
            yield self._only(name, each.low, term.axes[name])
        else:
            size = term.size(name)
            low, high = each.low or Linear(), each.high or Linear.of({size: 1}, -1)
            lost = plus(Linear.of({size: 1}, -1), high, -1)
            blocks = [(other, by) for other, by in high.terms if other == f"{size}÷{by}"]
            if low.terms or (lost.terms and not blocks) or low.constant < 0 or (not lost.terms and lost.constant < 0):
                yield literal
                return
            if low.constant:
                yield self._lost("first", int(low.constant), name)
            if blocks and high == Linear.of({blocks[0][0]: blocks[0][1]}, -1):
                yield self._remainder(name, int(blocks[0][1]))
            elif blocks:
                yield literal
            elif lost.constant:
                yield self._lost("last", int(lost.constant), name)

    def _hole(self, term: Term) -> _Found:
        """Say which products are left out: the rest of a loop in blocks, or what the conditions say."""
        for each in term.excluded:
            name, low = each.form.terms[0][0], each.low or Linear()
            blocks = [by for other, by in low.terms if other == f"{term.size(name)}÷{by}"]
            if each.form == Linear.of({name: 1}) and blocks and each.high is None and not low.constant:
                others = [conditioned(one) for one in term.excluded if one is not each]
                return self._remainder(name, int(blocks[0]), f" for {' and '.join(others)}" if others else "")
        return _Found("hole", fill=(("condition", " and ".join(map(conditioned, term.excluded))),))

    def _remainder(self, name: str, step: int, where: str = "") -> _Found:
        entries, verb = f"the {_entries(name, self.count)}", self._verb(name, 2) + where
        fill = (("entries", entries), ("what", _array(name)), ("step", str(step)), ("verb", verb))
        return _Found("remainder-lost", fill=fill)

    def _lost(self, which: str, count: int, name: str) -> _Found:
        entry = _entry(name, self.count)
        some = entry if count == 1 else f"{count} {_entries(name, self.count)}"
        return _Found(
            f"{which}-lost",
            fill=(("which", f"the {which} {some} of {_array(name)}"), ("verb", self._verb(name, count))),
        )

    def _verb(self, name: str, count: int) -> str:
        one, many = ("stays 0", "stay 0") if self._is_result(name) else ("is left out", "are left out")
        return one if count == 1 else many

    # coefficients and sizes -------------------------------------------------------------------------------------------

    def _coefficient(self, read: Term, right: Term) -> Iterator[_Found]:
        number = read.coefficient.number / right.coefficient.number
        if number == -1:
            what = "the bias" if _letters(read) == ("b",) else "every product"
            yield _Found("sign", fill=(("what", what),))
        elif number != 1:
            yield _Found("factor", fill=(("number", linear(Linear((), number))),))
        for up, some in itertools.groupby(
            sorted(read.coefficient.powers, key=lambda each: each[1]), key=lambda each: each[1] > 0
        ):
            sizes = "·".join(name if abs(power) == 1 else f"{name}^{abs(power)}" for name, power in some)
            yield _Found("size-factor", fill=(("how", "multiplied by" if up else "divided by"), ("sizes", sizes)))
        for up, counts in itertools.groupby(read.coefficient.counts, key=lambda each: each[1] > 0):
            role = LETTERS[next(counts)[0].partition(".")[0]]
            entries = {"pixel": "windows", "response": "taps inside the image", "tap": "responses"}.get(role, "entries")
            yield _Found("count-factor", fill=(("how", "multiplied by" if up else "divided by"), ("entries", entries)))

    def _shape(self) -> Iterator[_Found]:
        mine, right = self.read.shape, self.right.shape
        if mine[1:] == right and mine[0] == Linear.of({"N": 1}):
            yield _Found("images-apart", fill=(("what", NAMES.get(self.right.result, self.right.result)),))
            return
        if len(mine) != len(right):
            yield _Found("axes-count", fill=(("number", str(len(mine))), ("right", str(len(right)))))
            return
        result = self.right.terms[0].views[0].tensor
        for at, (one, two, own) in enumerate(zip(mine, right, array_axes(result), strict=True)):
            if one == two or (result.letter == "db" and one in self._sizes_left()):
                continue
            off = plus(expanded(one, self.known), expanded(two, self.known), -1)
            axis = _axis(f"{result.letter}.{own.name}")
            size = two.terms[0][0]
            if axis is not None and off == Linear.of({f"tail({size})": -1}):
                yield _Found("size-without-tail", axis)
            elif off.terms or off.constant:
                where = () if axis is not None else (("axes", f"axis {at}"),)
                yield _Found("size-off", axis, (*where, ("size", linear(one)), ("right", linear(two))))

    def _sizes_left(self) -> list[Linear]:
        """Return the sizes of the axes of G over which ∂l/∂b is not summed: it has them of those."""
        names = [
            name
            for term in map(solved, self.read.terms)
            for each in term.equations
            if is_plain(each)
            for name in (each.index, each.value.terms[0][0])
        ]
        axes = {name: axis for term in self.read.terms for name, axis in term.axes.items()}
        return [Linear.of({axes[name].size: 1}) for name in names if name.startswith("G.")]


# Names ----------------------------------------------------------------------------------------------------------------


def known_sizes(right: Formula) -> dict[str, Linear]:
    """Return the image's sizes by those of response map, filter, tail and padding, where the options are known."""
    options, found = dict(right.options), {}
    for term in right.terms:
        sizes = {(LETTERS[name.partition(".")[0]], _axis(name)): axis.size for name, axis in term.axes.items()}
        for axis in range(_axes_of(right)):
            if f"stride[{axis}]" not in options or ("pixel", axis) not in sizes:
                continue
            image, s, d = sizes["pixel", axis], options[f"stride[{axis}]"], options[f"dilation[{axis}]"]
            padding = {f"{side}({image})": -1 for side in ("before", "after") if f"{side}[{axis}]" not in options}
            zeros = sum(options.get(f"{side}[{axis}]", 0) for side in ("before", "after"))
            steps = {sizes["response", axis]: s, sizes["tap", axis]: d, f"tail({image})": 1}
            found[image] = Linear.of({**steps, **padding}, 1 - s - d - zeros)
    return found


def _axes_of(formula: Formula) -> int:
    return len({_axis(name) for term in formula.terms for name in term.axes} - {None})


def _axis(name: str) -> int | None:
    """Return the spatial axis of an index; None for planes, filters, images and groups."""
    index = position(name)
    return next((at for at, each in enumerate(AXES) if index in each), None) if index in SPATIAL else None


def _letters(term: Term) -> tuple[str, ...]:
    return tuple(sorted(view.tensor.letter for view in term.views[1:] if not view.ones))


def _array(name: str) -> str:
    letter = name.partition(".")[0]
    return NAMES.get(letter, letter)


def _entry(name: str, axes: int) -> str:
    """Name what an index counts: an image, a plane, a row."""
    letter, index = name.split(".")
    of = LETTERS[letter]
    axis = _axis(name)
    if index == "*":
        return of
    if index == "+":
        return ENTRIES[of]
    if axis is None:
        return {"n": "image", "i": "response map" if of == "response" else "filter", "k": "plane", "g": "group"}[index]
    if axes == 2:
        return (("row", "column")[axis]) + (" of taps" if of == "tap" else "")
    return of if axes == 1 else f"slice along {_ordinal(axis)}"


def _entries(name: str, axes: int) -> str:
    """Name several of what an index counts."""
    one, of, rest = re.split(r"( of | along |$)", _entry(name, axes), maxsplit=1)
    return f"{one}s{of}{rest}"


def _ordinal(axis: int) -> str:
    return f"the {('first', 'second', 'third')[axis]} axis"


def _axes(axes: Sequence[int], count: int) -> str:
    some = sorted(set(axes))
    if count == 1:
        return "the axis"
    if len(some) == count > 2:
        return "all axes"
    return f"the {' and the '.join(('first', 'second', 'third')[each] for each in some)} axis"


def _together(term: Term) -> list[Condition]:
    """Return the conditions, those that leave the first or last along every axis of an array as one about the array."""
    left = list(term.conditions)
    for joint, names in term.joined.items():
        for of in ("first", "last"):
            each = [Condition(Linear.of({name: 1}), high=Linear(), of=of) for name in names]
            if joint.endswith("*") and all(one in left for one in each):
                left = [one for one in left if one not in each]
                left.append(Condition(Linear.of({joint: 1}), high=Linear(), of=of))
    return left


def _times(form: Linear, size: str) -> Linear:
    """Return indices times a size."""
    return Linear.of({f"{size}·{name}": by for name, by in form.terms}, form.constant)


def _of_arrays(form: Linear) -> dict[str, str]:
    """Name indices with their arrays."""
    return {name: f"{position(name)} of {_array(name)}" for name in _indices(form)}


def _indices(form: Linear) -> list[str]:
    return [name.rpartition("·")[2] for name, _ in form.terms if "." in name]


def _weight(form: Linear) -> int:
    return len(form.terms) + bool(form.constant)


def _orders(view: View, axes: int) -> Iterator[_Found]:
    for at, step in view.steps:
        entries = f"the {_entries(view.names[at], axes)} of {_array(view.names[at])}"
        if step in EXCHANGED:
            yield _Found("neighbours-exchanged", fill=(("entries", entries), ("which", EXCHANGED[step])))
            continue
        yield _Found("in-steps", fill=(("entries", entries), ("order", _dealt(step))))
    if view.order:
        yield _order(view)


def _dealt(step: int) -> str:
    """Say in which order entries come that are taken in steps, or, for a negative step, put back."""
    if step < 0:
        return f"interleaved from {-step} blocks"
    return f"0, {step}, {2 * step}, … come first, then 1, {step + 1}, {2 * step + 1}, …"


def _order(view: View) -> _Found:
    names = [axis.name for axis in view.tensor.axes]
    order = [names[at] for at in view.order]
    if "g" in names:
        at = names.index("g")
        swapped = [*names[:at], names[at + 1], names[at], *names[at + 2 :]]
        if order == swapped:
            return _Found("groups-interleaved", fill=(("what", _array(view.names[0])),))
    fill = (
        ("what", _array(view.names[0])),
        ("read", "written" if view.written else "read"),
        ("order", ", ".join(order)),
    )
    return _Found("order", fill=fill)


def _literal(mine: Equation, right: Linear | None) -> _Found:
    """Say the difference as it stands."""
    names = [mine.index, *(name for form in (mine.value, right or Linear()) for name, _ in form.terms if "." in name)]
    tokens = {
        name: position(name) if _axis(name) is not None else f"{position(name)} of {_array(name)}" for name in names
    }
    how = {FLOOR: "rounded down"}.get(
        mine.fold, mine.fold if mine.fold.startswith("mod") else f"{mine.fold} at the border"
    )
    folded = f" ({how})" if mine.fold else ""
    text = f"{equation(mine, tokens)}{folded}"
    text += (
        f" instead of {equation(Equation(mine.index, right), tokens)}"
        if right is not None
        else f", although {tokens[mine.index]} takes every value in the right formula"
    )
    return _Found("otherwise", fill=(("read", text),))
