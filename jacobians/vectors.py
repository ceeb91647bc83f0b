"""Test vectors for code in any language: layers in integers, the right results, and the mistakes that they catch.

Wycheproof publishes such vectors for cryptography. Every case is there because it shows mistakes that no earlier case
shows. These mistakes are computed: wrong formulas are made from the right ones, and evaluated at every case.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.arguments import integer, seed_of
from jacobians.arguments import shown as said
from jacobians.audit.cases import Case, Options
from jacobians.audit.curriculum import grown, shaped
from jacobians.audit.layer import widened
from jacobians.audit.layers.convolution import options as options_of
from jacobians.audit.numbers import draw, scheme_of
from jacobians.audit.sums import expected
from jacobians.formula.atoms import ATOMS
from jacobians.formula.mistakes import Mistake, mistakes
from jacobians.formula.relation import Formula, Known
from jacobians.formula.structure import Structure, right, sizes_of, with_bias

__all__ = ["schema", "text", "vectors"]

Array = npt.NDArray[Any]

RESULTS = ("S", "dX", "dF", "db")
SCHEMA = "vectors.schema.json"
# In which every sum of a case is exact, and so in all dtypes with a longer significand.
DTYPE = "float16"
# More than the blocks that code takes at once, and a multiple of none.
WIDE = 35
# Numbers of an array that are all other than 0, and draws among which there is one with such arrays.
FEW, MOST_DRAWS = 6, 1000
# Mistakes to choose cases for at once.
MOST_ROWS = 40
ONES, NONE = (1, 1, 1), (0, 0, 0)
# Images, planes and filters per group, then taps, responses and tail on the first axis, the axes between and the last.
LAYERS = (
    (1, 1, 1, ONES, ONES, NONE),
    (1, 1, 1, ONES, (1, 1, 2), NONE),
    (1, 1, 1, (1, 1, 2), ONES, NONE),
    (1, 1, 1, (2, 1, 1), (2, 1, 1), NONE),
    (1, 1, 1, (2, 2, 3), (3, 1, 2), (0, 0, 1)),
    # Windows that overlap at a stride of 3, too.
    (1, 1, 1, (5, 2, 4), (3, 2, 3), (1, 0, 0)),
    (1, 2, 1, (2, 1, 1), (2, 1, 3), (0, 0, 1)),
    (1, 1, 3, (1, 2, 2), (3, 1, 2), (1, 1, 0)),
    (2, 1, 1, (2, 2, 1), (1, 2, 3), (0, 0, 2)),
    # Where all sizes are the same, code that exchanges axes raises nothing.
    (2, 2, 2, (2, 2, 2), (2, 2, 2), NONE),
    (3, 2, 3, (2, 2, 3), (3, 2, 2), (2, 0, 0)),
    (2, 3, 4, (3, 1, 4), (4, 2, 5), (0, 0, 1)),
    (1, 1, 1, ONES, (1, 1, WIDE), NONE),
    (1, 1, 1, ONES, (WIDE, 1, 1), NONE),
    (1, 1, 1, (1, 1, WIDE), ONES, NONE),
    (1, 1, 1, (WIDE, 1, 1), ONES, NONE),
    (1, WIDE, 1, ONES, ONES, NONE),
    (1, 1, WIDE, ONES, ONES, NONE),
    (WIDE, 1, 1, ONES, ONES, NONE),
)


def vectors(
    options: Iterable[Mapping[str, Any]] | None = None,
    *,
    spatial_ndim: int = 2,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Make test vectors.

    Parameters
    ----------
    options : iterable of dict, optional
        stride, padding, dilation and groups, as `Geometry` takes them. There is one group of cases for each. By
        default, there are nine groups, in which every two values of two options occur together.
    spatial_ndim : int
        Number of spatial axes.
    seed : int
        Seed of the random numbers.
    progress : callable, optional
        ``progress(done, total)`` is called with the number of groups that are done and of all groups.

    Returns
    -------
    dict
        Plain values, as in the schema. ``cases`` have a ``geometry``, the integers ``X``, ``F``, ``b`` and ``G``, the
        right results ``S``, ``dX``, ``dF`` and ``db``, and the mistakes that each ``catches``. ``groups`` lists the
        cases with the same options, ``smallest`` the fewest cases that catch all mistakes, and ``mistakes`` explains
        the names of the mistakes.

    Raises
    ------
    ShapeError
        If options do not describe a convolution, or `spatial_ndim` is not 1, 2 or 3.
    ValueError
        If padding depends on the image, as "same-tf" does, or the seed is not an integer of at least 0.

    Notes
    -----
    The right results are computed in integers, from the explicit matrices. A case catches a wrong formula if this gives
    another result, or a result of another shape. In each group, a case is kept if it catches a mistake that no earlier
    case catches. Every sum is exact in float16, float32 and float64: its partial sums are integers below 2¹¹ in any
    order.

    Examples
    --------
    >>> found = vectors([{"stride": 2}], spatial_ndim=1)
    >>> case = found["cases"][2]
    >>> case["X"], case["F"], case["b"], case["S"]
    ([[[10, -6]]], [[[-6, 2]]], [-254], [[[-326]]])
    """
    spatial_ndim, seed = integer("spatial_ndim", spatial_ndim, least=1, most=3), seed_of(seed)
    given = _usual(spatial_ndim) if options is None else list(options)
    groups = []
    for done, each in enumerate(given):
        groups.append(_group(_options(each, spatial_ndim), seed))
        if progress:
            progress(done + 1, len(given))
    return _record(groups, seed)


def _record(groups: Sequence[_Group], seed: int) -> dict[str, Any]:
    """Return groups of cases as plain values."""
    tests = [test for group in groups for test in group.tests]
    found = {"format": 1, "seed": seed, "dtype": DTYPE, "smallest": [at + 1 for at in _smallest(groups)]}
    kinds = dict.fromkeys(kind for test in tests for kind in test.catches)
    numbers = itertools.count(1)
    return found | {
        "mistakes": {kind: _described(kind) for kind in sorted(kinds)},
        "groups": [{**_plain(group.options), "cases": [next(numbers) for _ in group.tests]} for group in groups],
        "cases": [
            {"id": at + 1, "group": group.options.name, **test.record(group.options)}
            for at, (group, test) in enumerate((group, test) for group in groups for test in group.tests)
        ],
    }


def _options(given: Mapping[str, Any], spatial_ndim: int) -> Options:
    """Check the options of a group."""
    plain = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **given}
    found = options_of(**plain, spatial_ndim=spatial_ndim, bias=True, dtype=DTYPE)
    if found.follows_image:
        raise ValueError(
            f"padding is {said(plain['padding'])}, which depends on the image; test vectors need numbers, such as 1, "
            "or same or same-lower"
        )
    return found


def _usual(spatial_ndim: int) -> list[dict[str, Any]]:
    """Return nine groups of options of which every two values of two options meet in one: four Latin squares."""
    ramp = range(spatial_ndim)
    strides = [1, 2, tuple(3 - axis % 2 for axis in ramp)]
    paddings = [0, 1, tuple((axis % 2, 2 - axis % 2) for axis in ramp)]
    dilations = [1, 2, tuple(1 + axis % 2 for axis in ramp)]
    return [
        {
            "stride": strides[a],
            "padding": paddings[b],
            "dilation": dilations[(a + b) % 3],
            "groups": 1 + (a + 2 * b) % 3,
        }
        for a, b in itertools.product(range(3), repeat=2)
    ]


# cases ----------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class _Test:
    """One case with its numbers, what is right, and the kinds of mistakes that it is the first to catch."""

    case: Case
    sizes: Mapping[str, int]
    arrays: Mapping[str, Array]
    right: Mapping[str, Array]
    # What the formulas of each result share at this layer.
    known: Mapping[str, Known]
    # Whether a wrong formula gives something else here, by its name.
    shown: dict[str, bool] = dataclasses.field(default_factory=dict)
    catches: tuple[str, ...] = ()

    def shows(self, each: Mistake) -> bool:
        """Whether a wrong formula gives something else here."""
        if each.name not in self.shown:
            result = each.formula.result
            got = each.formula.predict(self.sizes, self.arrays, known=self.known[result])
            self.shown[each.name] = not np.array_equal(got, self.right[result])
        return self.shown[each.name]

    def record(self, options: Options) -> dict[str, Any]:
        """Return the case as plain values."""
        of = self.case.geometry
        geometry = {"image": [*of.image], "filters": [*of.filters], **_plain(options), "padding": _lists(of.padding)}
        del geometry["name"]
        arrays = {name: each.tolist() for name, each in {**self.arrays, **self.right}.items()}
        return {"geometry": geometry, **arrays, "catches": list(self.catches)}


@dataclasses.dataclass(frozen=True, eq=False)
class _Group:
    """The cases of some options, the wrong formulas by their names, and those that no case catches."""

    options: Options
    tests: Sequence[_Test]
    mistakes: Mapping[str, Mistake]
    missed: Sequence[str]


def _plain(options: Options) -> dict[str, Any]:
    names = ("name", "stride", "padding", "dilation", "groups")
    found: dict[str, Any] = _lists({name: getattr(options, name) for name in names})
    return found | ({"padding": options.rule} if options.padding is None else {})


def _lists(found: Any) -> Any:
    """Return plain values with lists in the place of tuples."""
    return json.loads(json.dumps(found))


def _group(options: Options, seed: int) -> _Group:
    """Choose the cases of some options: each catches a mistake that those before it do not."""
    formulas = {result: _right(result, options) for result in RESULTS}
    found = {each.name: each for formula in formulas.values() for each in mistakes(formula)}
    left, tests = list(found.values()), list[_Test]()
    for case in _cases(options):
        test = _test(case, options, formulas, seed)
        shown = {each.name for each in left if test.shows(each)}
        kinds = dict.fromkeys(_kind(each) for each in left if each.name in shown)
        left = [each for each in left if each.name not in shown]
        if shown:
            tests.append(dataclasses.replace(test, catches=tuple(sorted(kinds))))
    return _Group(options, tests, found, [each.name for each in left])


def _cases(options: Options) -> Iterator[Case]:
    found = (shaped(options, shape) or grown(options, shape) for shape in LAYERS)
    yield from dict.fromkeys(case for case in found if case and scheme_of(case, DTYPE))


def _test(case: Case, options: Options, formulas: Mapping[str, Formula], seed: int) -> _Test:
    draws = (draw(case, options, seed, number) for number in range(MOST_DRAWS))
    # Zeros would hide what is wrong where there are few numbers.
    probe = next(each for each in draws if all(array.all() for array in each.arrays.values() if array.size <= FEW))
    sizes = sizes_of(case)
    arrays = {letter: widened(each).astype(np.int64) for letter, each in probe.arrays.items()}
    known = {result: formula.shared(sizes, arrays) for result, formula in formulas.items()}
    return _Test(case, sizes, arrays, expected(probe.replaced(**arrays)), known)


def _right(result: str, options: Options) -> Formula:
    structure = Structure(options.spatial_ndim, options.groups)
    # Large enough for any option; only the options are looked at.
    image, one = (2**20,) * options.spatial_ndim, (1,) * options.spatial_ndim
    layer = options.geometry((options.groups, *image), (options.groups, 1, *one))
    formula = right(result, structure, layer, same=options.padding is None)
    return with_bias(formula, structure) if result == "S" else formula


def _kind(each: Mistake) -> str:
    return f"{each.formula.result}/{each.atom}"


def _described(kind: str) -> dict[str, str]:
    atom = ATOMS[kind.partition("/")[2]]
    return {"what": atom.plain, "where": atom.cured()}


# the fewest -----------------------------------------------------------------------------------------------------------


def _smallest(groups: Sequence[_Group]) -> list[int]:
    """Return the positions of the fewest cases that together catch every mistake that any of them catches."""
    # The fewest for some mistakes are found by integer programming. Where these catch all others as well, no fewer do;
    # else some of those that they miss are added, and all is done again.
    places = [(group, test) for group in groups for test in group.tests]
    shown: list[dict[str, bool]] = [{} for _ in places]

    def shows(at: int, name: str) -> bool:
        group, test = places[at]
        if name not in shown[at]:
            shown[at][name] = name in group.mistakes and test.shows(group.mistakes[name])
        return shown[at][name]

    # Layers with several of everything catch most.
    order = sorted(range(len(places)), key=lambda at: not places[at][1].case.several)
    left = list(dict.fromkeys(name for group in groups for name in group.mistakes))
    rows: list[list[bool]] = []
    chosen = order[:1]
    while missed := [name for name in left if not any(shows(at, name) for at in order if at in chosen)]:
        # A few at a time, as the next choice catches most of the others anyhow.
        for name in missed[:: max(len(missed) // MOST_ROWS, 1)]:
            row = [shows(at, name) for at in range(len(places))]
            left.remove(name)
            rows += [row] if any(row) else []
        # Among equally few, those of which most is known.
        known = np.array([len(each) for each in shown])
        chosen = _cover(np.array(rows), known / known.sum()) if rows else chosen
    return sorted(chosen)


def _cover(rows: Array, preferred: Array) -> list[int]:
    """Return the fewest columns of which every row has one; among equally few, those with most of a preference of 1."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    cost, every_row = 1 - preferred / 2, LinearConstraint(rows.astype(float), lb=1)
    found = milp(cost, constraints=every_row, integrality=np.ones(len(cost), int), bounds=Bounds(0, 1))
    if found.x is None:
        raise AssertionError(f"the fewest cases were not found: {found.message}; please report this")
    return [int(at) for at in np.flatnonzero(np.rint(found.x))]


# as a file ------------------------------------------------------------------------------------------------------------


def text(found: Mapping[str, Any]) -> str:
    """Write test vectors as JSON, with one case per line.

    Parameters
    ----------
    found : dict
        The result of `vectors`.

    Returns
    -------
    str
        The content of the file.
    """

    def lines(name: str) -> str:
        each = ",\n".join(f"    {json.dumps(one, ensure_ascii=False, separators=(',', ':'))}" for one in found[name])
        return f'  "{name}": [\n{each}\n  ]'

    head = {name: value for name, value in found.items() if name not in {"groups", "cases"}}
    start = json.dumps({"$schema": SCHEMA, **head}, indent=2, ensure_ascii=False).removesuffix("\n}")
    return f"{start},\n{lines('groups')},\n{lines('cases')}\n}}\n"


def schema() -> str:
    """Return the JSON schema of the file, which is part of the package.

    Returns
    -------
    str
        The schema, as JSON.
    """
    return resources.files("jacobians").joinpath(SCHEMA).read_text("utf-8")
