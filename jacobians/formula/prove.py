"""Whether two relations between indices are equal at all sizes at once, and the sizes at which they are not.

A relation says which tuples of indices take part in a sum: for the responses of one spatial axis, which response, tap
and pixel meet. Its conditions are equations and inequalities with integer coefficients, in which the sizes are names
and not numbers. Whether two such relations are equal is decidable (Presburger 1929); the integer set library decides
it, with the sizes as its parameters (Verdoolaege, *isl: An Integer Set Library for the Polyhedral Model*, ICMS 2010).

The library's Python package, islpy, is optional: it is imported when something is compared, and not before.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jacobians.formula.relation import Linear
from jacobians.formula.writing import linear

__all__ = ["Comparison", "Example", "Piece", "Sizes", "Space", "available", "compare", "points"]

# Conditions are written as the lecture writes them; the library reads these. It takes primes for a further use of the
# same name, and matches sizes by name.
PRIME = "_prime"
SPELLING = str.maketrans({"·": "*", "−": "-", "≤": "<=", "≥": ">=", "≠": "!=", "'": PRIME})
NAME = re.compile(r"[^\W\d]\w*'*")
# How often one tuple may be taken: two relations are compared by who takes a tuple once, twice, …
MOST_TIMES = 8
# The library's context is for one thread at a time, and a visitor of points may be interrupted.
ONE_AT_A_TIME = threading.RLock()
# Longest description of sizes that is one to read.
READABLE = 120


@dataclass(frozen=True)
class Piece:
    """Tuples of indices, by the conditions that hold of them.

    Attributes
    ----------
    conditions : tuple of str
        All of them hold: equations and chains of inequalities between indices and sizes with integer coefficients,
        like ``"y = 2·l + 3·a − p"`` and ``"0 ≤ l < h'"``; also ``"(l + a) mod 2 = 0"``. Names are letters, digits and
        underscores, and may end in primes.
    hidden : tuple of str
        Indices of the conditions that are not of the tuple, such as places in an array in between. A tuple is taken
        once for each of their values.
    """

    conditions: tuple[str, ...]
    hidden: tuple[str, ...] = ()

    def at(self, numbers: Mapping[str, int]) -> Piece:
        """Return the piece with numbers in the place of names."""
        return Piece(tuple(_put(each, numbers) for each in self.conditions), self.hidden)


@dataclass(frozen=True)
class Space:
    """What relations speak of.

    Attributes
    ----------
    indices : tuple of str
        Names of the tuple's entries, in order.
    sizes : tuple of str
        Names that stand for one number each, whatever it is.
    legal : tuple of str
        Conditions on the sizes: nothing is said of others. Each size needs a least one.
    """

    indices: tuple[str, ...]
    sizes: tuple[str, ...]
    legal: tuple[str, ...] = ()

    def at(self, numbers: Mapping[str, int]) -> Space:
        """Return the space with numbers in the place of names."""
        left = tuple(name for name in self.sizes if name not in numbers)
        return Space(self.indices, left, tuple(_put(each, numbers) for each in self.legal))


@dataclass(frozen=True)
class Sizes:
    """Legal sizes at which something is the case; there is at least one.

    Attributes
    ----------
    text : str
        Where they are, in words: ``"exactly where k ≥ 2"``, ``"exactly where p' ≠ p"``, ``"at all sizes"``. Conditions
        of more than 120 characters are not said.
    exact : bool
        Whether the text says which they are; otherwise it starts with "only where" or "at some", and says what holds of
        all of them, and of others, too.
    smallest : dict of str to int
        Those with the smallest sum.
    notation : str
        All of them, in the notation of the integer set library.
    """

    text: str
    exact: bool
    smallest: dict[str, int]
    notation: str

    def __contains__(self, sizes: Mapping[str, int]) -> bool:
        """Whether these sizes are among them."""
        isl = _isl()
        with ONE_AT_A_TIME:
            asked = _set(isl, list(sizes), [f"{name} = {size}" for name, size in sizes.items()])
            return not isl.Set(self.notation).intersect(asked).is_empty()

    def __str__(self) -> str:
        """Return where, in words, and the smallest."""
        return f"{self.text}, first at {', '.join(f'{name} = {size}' for name, size in self.smallest.items())}"


@dataclass(frozen=True)
class Example:
    """A tuple that two relations do not take equally often, at the smallest sizes at which they differ.

    Attributes
    ----------
    indices : dict of str to int
        The tuple.
    times : (int, int)
        How often the left and the right relation take it.
    wrong, total : int
        How many tuples they do not take equally often, of how many that either takes.
    """

    indices: dict[str, int]
    times: tuple[int, int]
    wrong: int
    total: int


@dataclass(frozen=True)
class Comparison:
    """What is known of two relations.

    Attributes
    ----------
    differ : Sizes or None
        The sizes at which they differ; None if they are equal at all legal sizes.
    example : Example or None
        One tuple that shows it; None also where a relation takes tuples without end.
    """

    differ: Sizes | None = None
    example: Example | None = None

    @property
    def equal(self) -> bool:
        """Whether both take every tuple equally often, at all legal sizes."""
        return self.differ is None


def available() -> bool:
    """Whether islpy is there, without which nothing can be compared."""
    try:
        return importlib.util.find_spec("islpy") is not None
    except ValueError:  # its place among the modules was taken by something else
        return False


def compare(left: Sequence[Piece], right: Sequence[Piece], space: Space) -> Comparison:
    """Compare two relations at all legal sizes.

    Parameters
    ----------
    left, right : sequence of Piece
        The pieces of a relation add up: a tuple that is in two of them is taken twice.
    space : Space
        Their indices and sizes.

    Returns
    -------
    Comparison
        That they are equal, which is then proved; or the sizes at which they differ, and a tuple that shows it.

    Raises
    ------
    ImportError
        If islpy is not installed.
    ValueError
        If a condition is none, or a name has two meanings; if no sizes are legal, of which everything would hold, or
        there are no least ones; or if a tuple is taken so often that it cannot be counted.

    Examples
    --------
    >>> axis = Space(("l", "a", "y"), ("h'", "k"), ("h' ≥ 1", "k ≥ 1"))
    >>> ranges = ("0 ≤ l < h'", "0 ≤ a < k")
    >>> right, turned = Piece(("y = l + a", *ranges)), Piece(("y = l + k − 1 − a", *ranges))
    >>> print(compare([right], [turned], axis).differ)
    exactly where k ≥ 2, first at h' = 1, k = 2
    >>> compare([right], [right], axis).equal
    True
    """
    with ONE_AT_A_TIME:
        return _compare(tuple(left), tuple(right), space)


# Layers share axes, and equations share sides.
@functools.cache
def _compare(left: tuple[Piece, ...], right: tuple[Piece, ...], space: Space) -> Comparison:
    isl = _isl()
    legal = _set(isl, space.sizes, space.legal)
    if legal.is_empty():
        raise ValueError(f"no sizes are legal: {' and '.join(space.legal)}")
    ours, theirs = (_relation(isl, pieces, space).intersect_params(legal) for pieces in (left, right))
    differ = _differing(ours, theirs)
    if differ.is_empty():
        return Comparison()
    sizes = _sizes(isl, differ, legal)
    return Comparison(sizes, _example(left, right, space, sizes.smallest))


def points(pieces: Sequence[Piece], space: Space, sizes: Mapping[str, int]) -> list[tuple[int, ...]]:
    """List the tuples that a relation takes at given sizes.

    Parameters
    ----------
    pieces : sequence of Piece
        The relation.
    space : Space
        Its indices and sizes.
    sizes : mapping of str to int
        A number for every size.

    Returns
    -------
    list of tuple of int
        Sorted; a tuple that is taken twice is there twice.

    Raises
    ------
    ImportError
        If islpy is not installed.
    ValueError
        If a condition is none, a size has no number, or there is no end of tuples.

    Examples
    --------
    >>> axis = Space(("l", "a", "y"), ("h'", "k"))
    >>> points([Piece(("y = 2·l + a", "0 ≤ l < h'", "0 ≤ a < k"))], axis, {"h'": 2, "k": 2})
    [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3)]
    """
    _check_names(pieces, space)
    if missing := set(space.sizes) - set(sizes):
        raise ValueError(f"sizes has no number for {', '.join(sorted(missing))}")
    isl = _isl()
    met: list[Any] = []
    with ONE_AT_A_TIME:
        for piece in pieces:
            taken = _tuples(piece, space)
            for at, name in enumerate(space.sizes):
                taken = taken.fix_val(isl.dim_type.param, at, sizes[name])
            if not taken.is_bounded():
                raise ValueError(f"tuples without end are taken where {' and '.join(piece.conditions)}")
            # No Python runs while the library calls this: a Ctrl-C there would be an error of the library.
            taken.foreach_point(met.append)
        return sorted(tuple(_coordinates(isl, point)[: len(space.indices)]) for point in met)


@functools.cache
def _tuples(piece: Piece, space: Space) -> Any:
    every = _tuple([*space.indices, *piece.hidden])
    return _read(_isl().Set, f"{_tuple(space.sizes)} -> {{ {every} : {_and(piece.conditions)} }}")


# sets of the library --------------------------------------------------------------------------------------------------


def _isl() -> Any:
    import islpy

    return islpy


def _check_names(pieces: Iterable[Piece], space: Space) -> None:
    """Refuse one name for two things, which the library would take for one thing."""
    for piece in pieces:
        names = Counter([*space.indices, *space.sizes, *piece.hidden])
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"{' and '.join(twice)} cannot name two things: indices, sizes or hidden indices")


def _put(condition: str, numbers: Mapping[str, int]) -> str:
    return NAME.sub(lambda name: str(numbers.get(name[0], name[0])), condition)


def _and(conditions: Iterable[str]) -> str:
    return " and ".join(f"({each})" for each in conditions) or "true"


def _tuple(entries: Iterable[str]) -> str:
    return f"[{', '.join(entries)}]"


def _read(kind: Callable[[str], Any], text: str) -> Any:
    """Read the library's notation, spelt as here."""
    try:
        return kind(text.translate(SPELLING))
    except _isl().Error as error:
        raise ValueError(f"this is not a relation: {text} ({error})") from error


def _set(isl: Any, sizes: Sequence[str], conditions: Iterable[str]) -> Any:
    return _read(isl.Set, f"{_tuple(sizes)} -> {{ : {_and(conditions)} }}")


def _relation(isl: Any, pieces: Sequence[Piece], space: Space) -> Any:
    """Map what tells the takings of a tuple apart, its piece and hidden indices, to the tuple."""
    _check_names(pieces, space)
    depth = max((len(piece.hidden) for piece in pieces), default=0)
    indices, fill = _tuple(space.indices), ["0"] * depth
    maps = [
        f"{_tuple([str(number), *[*piece.hidden, *fill][:depth]])} -> {indices} : {_and(piece.conditions)}"
        for number, piece in enumerate(pieces)
    ] or [f"{_tuple(['0'])} -> {indices} : false"]
    return _read(isl.Map, f"{_tuple(space.sizes)} -> {{ {'; '.join(maps)} }}")


def _differing(left: Any, right: Any) -> Any:
    """Return the sizes at which some tuple is not taken equally often."""
    # Two relations take every tuple equally often if, for every number, they take the same tuples at least as often.
    # Those taken once are the range; those taken twice, the range of what is left when each was taken away once.
    differ = left.params().subtract(left.params())
    for _ in range(MOST_TIMES):
        once = left.range(), right.range()
        differ = differ.union(once[0].subtract(once[1]).params()).union(once[1].subtract(once[0]).params())
        if left.is_injective() and right.is_injective():
            return differ.coalesce()
        left, right = (each.subtract(each.reverse().lexmin().reverse()) for each in (left, right))
    raise ValueError(f"a tuple is taken more than {MOST_TIMES} times: with no bound, integer sets cannot count it")


def _example(left: Sequence[Piece], right: Sequence[Piece], space: Space, sizes: Mapping[str, int]) -> Example | None:
    try:
        counts = [Counter(points(pieces, space, sizes)) for pieces in (left, right)]
    except ValueError:  # without end
        return None
    taken = sorted({*counts[0], *counts[1]})
    times = {each: (counts[0][each], counts[1][each]) for each in taken}
    wrong = [each for each in taken if times[each][0] != times[each][1]]
    return Example(dict(zip(space.indices, wrong[0], strict=True)), times[wrong[0]], len(wrong), len(taken))


# sizes in words -------------------------------------------------------------------------------------------------------


def _sizes(isl: Any, differ: Any, legal: Any) -> Sizes:
    text, exact = _words(isl, differ, legal)
    return Sizes(text, exact, _smallest(isl, differ), str(differ))


def _words(isl: Any, sizes: Any, legal: Any) -> tuple[str, bool]:
    """Describe sizes among the legal ones, and say whether the description fits no others."""
    if legal.is_subset(sizes):
        return "at all sizes", True
    # What takes further numbers to say holds, without them, of the same sizes or of more.
    simple = sizes.coalesce()
    around = (simple if _plain(simple) else sizes.remove_divs().coalesce()).intersect(legal)
    if legal.is_subset(around):
        return "at some sizes", False
    texts = [f"where {text}" for text in _texts(isl, around, legal)]
    texts += map(_except, _texts(isl, legal.subtract(around).coalesce(), legal))
    if texts and around.is_subset(sizes):
        return f"exactly {min(texts, key=len)}", True
    hull = around.simple_hull().to_set().intersect(legal)
    texts = [f"where {text}" for text in _texts(isl, hull, legal)] or texts
    return f"only {min(texts, key=len)}" if texts else "at some sizes", False


def _except(text: str) -> str:
    left, equal, right = text.partition(" = ")
    if equal and not re.search(r" = | and | or |[<>≤≥]", right):
        return f"where {left} ≠ {right}"
    return f"where not ({text})"


def _texts(isl: Any, sizes: Any, legal: Any) -> Iterator[str]:
    """Describe sizes, with fewer and fewer of the names, as long as the others tell them from other legal ones."""
    left_out: list[str] = []
    for name in [None, *sizes.get_var_names(isl.dim_type.param)]:
        fewer = [*left_out, name] if name else []
        some, context = (_without(isl, each, fewer) for each in (sizes, legal))
        if some.intersect(legal).is_equal(sizes):
            left_out = fewer
            some = some.coalesce().gist(context).coalesce()
            text = _plain(some)
            if text and len(text) <= READABLE:
                yield text


def _without(isl: Any, sizes: Any, names: Iterable[str]) -> Any:
    for name in names:
        sizes = sizes.project_out(isl.dim_type.param, sizes.find_dim_by_name(isl.dim_type.param, name), 1)
    return sizes


def _smallest(isl: Any, sizes: Any) -> dict[str, int]:
    names = sizes.get_var_names(isl.dim_type.param)
    with_sum = _tuple([" + ".join(names) or "0", *names])
    ranked = sizes.from_params().apply(_read(isl.Map, f"{_tuple(names)} -> {{ [] -> {with_sum} }}"))
    try:
        least = ranked.project_out(isl.dim_type.param, 0, len(names)).lexmin().sample_point()
    except isl.Error as error:
        raise ValueError(
            f"the sum of {', '.join(names)} has no least value: limit each from below ({error})"
        ) from error
    _, *numbers = _coordinates(isl, least)
    return dict(zip((name.replace(PRIME, "'") for name in names), numbers, strict=True))


def _coordinates(isl: Any, point: Any) -> list[int]:
    count = point.get_space().dim(isl.dim_type.set)
    return [point.get_coordinate_val(isl.dim_type.set, at).to_python() for at in range(count)]


TERM = r"(?:\d*[^\W\d]\w*'*|\d+)"
SUM = rf"-?{TERM}(?: [+-] {TERM})*"
ORDER = {">=": ("≥", "≤"), "<=": ("≤", "≥"), ">": ("≥", "≤"), "<": ("≤", "≥"), "=": ("=", "=")}
BETWEEN = {"<=": "≤", "<": "<", "=": "="}
CONDITION = re.compile(
    rf"\((?P<sum>{SUM})\) mod (?P<divisor>\d+) = (?P<rest>\d+)"
    rf"|(?P<chain>{SUM}(?: (?:{'|'.join(ORDER)}) {SUM})+)"
)


def _plain(sizes: Any) -> str | None:
    """Write what holds of sizes in words; None where that takes numbers nobody named."""
    text = str(sizes).replace(PRIME, "'").partition("{")[2].rpartition("}")[0].strip().removeprefix(":").strip()
    return None if "exists" in text or "floor" in text else CONDITION.sub(_condition, text)


def _condition(found: re.Match[str]) -> str:
    if found["chain"]:
        return _chain(re.split(f" ({'|'.join(ORDER)}) ", found["chain"]))
    terms, divisor = _terms(found["sum"]), int(found["divisor"])
    rest = (int(found["rest"]) - terms.pop("", 0)) % divisor
    if divisor == 2:
        return f"{_sum(terms)} is {'odd' if rest else 'even'}"
    return f"{_sum(terms)} is a multiple of {divisor}" + (f" plus {rest}" if rest else "")


def _chain(parts: Sequence[str]) -> str:
    """Write a comparison with positive terms on both sides, and one between two bounds as it is."""
    if len(parts) > 3:
        return " ".join(BETWEEN[part] if part in BETWEEN else _sum(_terms(part)) for part in parts)
    left, right = _terms(parts[0]), _terms(parts[2])
    terms = {name: left.get(name, 0) - right.get(name, 0) for name in {**left, **right}}
    constant = terms.pop("", 0) + {">": -1, "<": 1}.get(parts[1], 0)
    more = {name: number for name, number in terms.items() if number > 0}
    less = {name: -number for name, number in terms.items() if number < 0}
    if more:
        return f"{_sum(more)} {ORDER[parts[1]][0]} {_sum({**less, '': -constant})}"
    return f"{_sum(less)} {ORDER[parts[1]][1]} {_sum({'': constant})}"


def _terms(text: str) -> dict[str, int]:
    """Read a sum of the library: the number of every name, and that of no name."""
    found = re.findall(r"(-?) ?(?:(\d*)([^\W\d]\w*'*)|(\d+))", text)
    return {name: int(f"{sign}{number or alone or 1}") for sign, number, name, alone in found}


def _sum(terms: Mapping[str, int]) -> str:
    """Write a sum with what is positive first, and the constant last."""
    names = {name: number for name, number in sorted(terms.items()) if name}
    return linear(Linear.of(names, terms.get("", 0)))
