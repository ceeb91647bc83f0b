"""Parts of the search for formulas, at the limits of what they look at."""

import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pytest

from jacobians import Geometry
from jacobians.formula import fit, ranges
from jacobians.formula.combine import Combinations
from jacobians.formula.equations import ORDERS, Equations, _choices, _constants
from jacobians.formula.relation import Condition, Equation, Linear, Term, View, distance
from jacobians.formula.rows import Readings, Rows, coded
from jacobians.formula.structure import Layer, Structure, sizes_of
from tests.formula.searched import readings
from tests.formula.test_search import SEARCHES, layers
from tests.formula.test_words_facts import S1
from tests.formula.wrong import change, number, only, right_of, summed

STRUCTURE = Structure(1, 1)
COUNT = 5
((LETTERS, GIVEN),) = readings(S1, STRUCTURE, layers(1, 1)[:COUNT]).items()
READINGS = Readings(GIVEN, "S", STRUCTURE)
VIEWS = tuple(View(tensor) for tensor in READINGS.tensors)
COMBINATIONS = Combinations(READINGS.sizes, [2, 3])


def rows(layer=(), **columns):
    """Products of which only these indices are known."""
    columns = {name.replace("_", "."): np.array(each, np.int64) for name, each in columns.items()}
    count = len(next(iter(columns.values())))
    return Rows(columns, np.array([*layer] or [0] * count, np.int64), np.ones(count))


def equations(some, likely=None):
    found = Equations(READINGS, COMBINATIONS, some, VIEWS, likely or {}, flat=False)
    found.axes = {name: axis for name, axis in found.axes.items() if name in some.columns}
    return found


def slopes(column, index):
    some = rows(S_l=index, X_y=column)
    return equations(some)._slopes(some.columns["X.y"], "S.l", ["S.l"], [""])


def test_slopes_are_those_that_more_than_two_in_a_hundred_neighbours_show():
    for count, found in ((51, [3]), (50, [3, 13])):
        column = 3 * np.arange(count)
        column[-1] += 10
        assert slopes(column, np.arange(count)) == [("", Fraction(each)) for each in found]
    assert slopes(np.arange(8) * -3, np.arange(8) * 2) == [("", Fraction(-3, 2))]
    assert slopes(np.arange(6) // 6, np.arange(6)) == [("", Fraction(0))]
    assert slopes([5], [2]) == [("", Fraction(0))]


def test_four_slopes_are_tried_the_most_usual_first():
    rises = np.repeat([9, 1, 70, 300, 1000], [20, 6, 5, 4, 3])
    found = slopes(np.concatenate([[0], np.cumsum(rises)]), np.arange(1 + len(rises)))
    assert found == [("", Fraction(each)) for each in (9, 1, 70, 300)]


def test_an_index_that_goes_up_and_down_in_turns_has_the_slope_of_every_second_and_third():
    found = slopes(np.arange(12) // 2 * 5 + np.arange(12) % 2, np.arange(12))
    assert found[:3] == [("", 1), ("", Fraction(5, 2)), ("", 4)]
    assert ("", Fraction(7, 3)) in slopes(np.arange(30) // 3 * 7 + np.arange(30) % 3 * 3, np.arange(30))


def test_less_usual_slopes_are_tried_one_and_two_at_a_time():
    given = {"S.l": [("", 3), ("", 1)], "S.g": [("d/g", 1), ("", 2)], "F.a": [("", 2)]}
    assert list(_choices(given)) == [
        {"S.l": 3, "d/g·S.g": 1, "F.a": 2},
        {"S.l": 1, "d/g·S.g": 1, "F.a": 2},
        {"S.l": 3, "S.g": 2, "F.a": 2},
        {"S.l": 1, "S.g": 2, "F.a": 2},
    ]
    many = {name: [("", at) for at in range(4)] for name in ("S.n", "S.i", "S.l", "F.a")}
    every = [tuple(each.values()) for each in _choices(many)]
    assert len(set(every)) == len(every) == 24
    assert [sum(each > 0 for each in one) for one in every] == [0] + [1] * 12 + [2] * 11
    assert list(_choices({})) == [{}]


def test_constants_of_a_fold_reach_two_sizes_and_two_beyond_the_border():
    def constants(step, column, by=1, kind="wrap", size=3):
        return sorted(_constants(np.array([step]), np.array([column]), size, [kind], by)[kind])

    assert constants(0, 2) == [-7, -4, -1, 2, 5, 8]
    assert constants(0, 1) == [-8, -5, -2, 1, 4, 7]
    assert constants(0, 0) == [-6, -3, 0, 3, 6]
    assert constants(1, 2, by=2) == [-15, -9, -3, 3, 9, 15]
    assert constants(0, 1, by=2) == [-16, -10, -4, 2, 8, 14]
    assert constants(0, 2, by=2) == [-14, -8, -2, 4, 10, 16]
    assert constants(0, 2, kind="clamp") == [2, 3, 4, 5, 6, 7, 8]
    # What the fifth product rules out.
    steps = np.arange(5)
    kinds = ("wrap", "clamp")
    assert _constants(steps, np.minimum(steps + 1, 5), 6, kinds, 1) == {"wrap": {-11, -5, 1, 7, 13}, "clamp": {1}}
    assert _constants(steps, np.array([1, 2, 3, 4, 4]), 6, kinds, 1) == {"wrap": set(), "clamp": set()}


PIXELS = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]


@pytest.mark.parametrize("more", [0, 1])
def test_an_equation_of_several_values_holds_for_a_quarter_of_the_products(more):
    """The response is the same everywhere, so that pixels differ alone by what is not known."""
    column = [*PIXELS, *([5] * more)]
    found = equations(rows(S_l=[7] * len(column), X_y=column)).usual("X.y", ["S.l"])
    assert (found is None) == bool(more)
    taps = equations(rows(S_l=[7] * 3, F_a=[1, 1, 2])).usual("F.a", ["S.l"])
    assert taps is None


@pytest.mark.parametrize("more", [0, 1])
def test_an_equation_of_one_value_holds_for_three_products_of_twenty(more):
    generator = np.random.default_rng(3)
    index = np.arange(20 + more)
    column = 1000 + 7 * generator.permutation(len(index)) ** 2
    column[[2, 9, 15]] = 5 * index[[2, 9, 15]] + 1
    some = rows(S_l=index, F_a=column)
    found = equations(some, {"F.a": Linear.of({"S.l": 5})}).usual("F.a", ["S.l"])
    assert (found is None) == bool(more)
    if found:
        assert (dict(found.value.terms), found.value.constant) == ({"S.l": 5}, 1)


def test_an_equation_holds_at_a_layer_with_one_product_too():
    some = equations(rows([0, 0, 0, 1], S_l=[0, 1, 2, 0], X_y=[0, 3, 6, 5]))
    found = some.of("X.y", ["S.l"])
    assert found is None or some._satisfied(found).all()


def test_of_equations_that_are_as_usual_the_likely_one_is_taken():
    index = np.arange(1, 9)
    for by in (2, 3):
        some = rows(S_l=index, X_y=np.where(index < 5, 2, 3) * index)
        found = equations(some, {"X.y": Linear.of({"S.l": by})}).usual("X.y", ["S.l"])
        assert (dict(found.value.terms), found.value.constant) == ({"S.l": by}, 0)


def test_of_constants_those_that_are_nearly_as_usual_are_tried():
    def usual(counts):
        column, layer = [], []
        for at, each in enumerate(counts):
            column += [value for value, count in each.items() for _ in range(count)]
            layer += [at] * sum(each.values())
        found = equations(rows(layer, S_l=[0] * len(column), X_y=column)).usual("X.y", [])
        return found and (found.value.terms, found.value.constant)

    # Three are as many as six in ten of five.
    every = [{3: 4}] * (COUNT - 1)
    assert usual([{1: 5, 3: 3}, *every]) == ((), 3)
    assert usual([{1: 6, 3: 3}, *every]) != ((), 3)
    # A layer without products may have any small constant.
    for constant, small in ((2, True), (-2, True), (3, False), (-3, False)):
        assert (usual([{constant: 4}] * (COUNT - 1)) == ((), constant)) is small, constant


def test_an_index_that_grows_half_as_much_may_be_folded():
    size = READINGS.limit("X.y", "W", 0)
    some = rows(S_l=2 * np.arange(size + 2), X_y=np.minimum(np.arange(size + 2) + 1, size - 1))
    found = equations(some).of("X.y", ["S.l"])
    assert (dict(found.value.terms), found.value.constant) == ({"S.l": Fraction(1, 2)}, 1)
    assert found.fold == "clamp"


def test_three_indices_that_have_no_equation_each_may_have_one_as_one():
    """The response along the last axis counts all pixels, of which only the last index is folded."""
    structure = Structure(3, 1)
    given = Sized((1, 1, 1))
    given.structure, given.sizes = structure, [sizes_of(Layer(Geometry((1, 2, 3, 4), (1, 1, 1, 1, 1)), 1))]
    views = [View(structure.tensors[letter]) for letter in "SX"]
    pixel = np.arange(24)
    columns = dict.fromkeys(name for view in views for name in view.names)
    columns = {name: np.zeros(24, np.int64) for name in columns} | {"S.o": pixel}
    columns |= dict(zip(("X.y", "X.x", "X.w"), np.unravel_index(pixel, (2, 3, 4)), strict=True))
    some = Rows(columns, np.zeros(24, np.int64), np.ones(24))
    every = Equations(given, Combinations(given.sizes, [1]), some, views, {}, flat=True)
    found, fits = every.found(ORDERS[0], strict=True)
    assert fits.all()
    assert {each.index: dict(each.value.terms) for each in found if each.value.terms} == {"X.*": {"S.o": 1}}


def test_an_index_that_is_the_same_everywhere_may_be_left_free():
    some = rows(S_l=[0, 1, 2], F_a=[1, 1, 1], X_y=[2, 5, 8])

    def found(*, constant):
        every, fits = equations(some).found(ORDERS[0], strict=True, constant=constant)
        assert fits.all()
        return {each.index: (dict(each.value.terms), each.value.constant) for each in every}

    assert found(constant=True) == {"F.a": ({}, 1), "X.y": ({"S.l": 3}, 2)}
    assert found(constant=False) == {"X.y": ({"S.l": 3}, 2)}


def test_an_equation_of_halves_holds_where_they_are_whole_unless_it_is_rounded_down():
    some = equations(rows(S_l=[0, 1, 2, 3], X_y=[0, 0, 1, 2]))

    def satisfied(kind):
        return some._satisfied(Equation("X.y", Linear.of({"S.l": Fraction(1, 2)}), kind)).tolist()

    assert satisfied("") == satisfied("clamp") == satisfied("wrap") == [True, False, True, False]
    assert satisfied("floor") == [True, True, True, False]


# Terms ----------------------------------------------------------------------------------------------------------------


def test_a_search_ends_at_its_limits():
    def found(**state):
        terms = fit._Terms(READINGS, COMBINATIONS, {}, VIEWS)
        vars(terms).update(state)
        return terms.found(READINGS.rows(VIEWS), 2)

    assert len(found(tried=16, looked=250_000)) == 1
    assert found(tried=17) is None
    assert found(looked=250_001) is None


def test_up_to_four_terms_are_found_where_equations_need_not_hold_for_all(monkeypatch):
    """∂l/∂b with the products that are not at one border, at two, and so on, once more."""
    monkeypatch.setattr(fit, "other_views", lambda given: ())
    monkeypatch.setattr(fit, "ORDERS", ORDERS[:1])
    right = right_of("db", 1)
    ranges = [only({name: 1}, low=number(1)) for name in ("G.n", "G.l", "db.i")]
    every = [change(right, conditions=tuple(ranges[:count])) for count in range(4)]
    five = summed(*every, change(every[-1], conditions=(*ranges, only({"G.l": 1}, low=number(2)))))
    some = layers(1, 1)[:4]

    def read(formula):
        return readings(formula, STRUCTURE, some)["G",]

    def found(formula):
        terms = fit.fit(read(formula), "db", STRUCTURE, some[0].geometry)
        return terms and dataclasses.replace(formula, terms=terms)

    four = found(summed(*every))
    assert len(four.terms) == 4
    for mine, wanted in zip(read(four), read(summed(*every)), strict=True):
        assert np.array_equal(mine.places, wanted.places)
        assert np.array_equal(mine.coefficients, wanted.coefficients)
    assert found(five) is None


def test_no_more_terms_are_found_than_are_wanted():
    some = READINGS.rows(VIEWS)
    twice = some.with_coefficients(1.0 + (some.columns["F.a"] == 0))
    for most, found in ((0, None), (1, None), (2, 2), (3, 2)):
        terms = fit._Terms(READINGS, COMBINATIONS, {}, VIEWS).found(twice, most)
        assert (terms and len(terms)) == found


def test_a_remainder_is_not_looked_at_beyond_the_limit():
    some = READINGS.rows(VIEWS)
    terms = fit._Terms(READINGS, COMBINATIONS, {}, VIEWS, pieces=True)
    free = [name for name in some.columns if name in ("S.l", "F.a")]
    # Every class of the remainder is counted.
    assert terms._has_equations("X.y", free, some, "F.a", 1)
    assert terms.looked == some.count
    terms.looked = 250_000 - some.count
    assert terms._has_equations("X.y", free, some, "F.a", 1)
    assert not terms._has_equations("X.y", free, some, "F.a", 1)
    terms.looked = 0
    assert not terms._has_equations("X.y", ["S.l"], some, "F.a", 1)
    # No tap leaves the remainder 9 of 10.
    assert not terms._has_equations("X.y", free, some, "F.a", 10)


@pytest.mark.parametrize(("name", "other"), [("X.n", "S.n"), ("F.a", "S.l")])
def test_a_remainder_is_looked_for_of_every_index_that_others_leave_one_value(name, other):
    """The pixel is anything, and one index 0 or 8, where that of S is even or odd."""
    some = READINGS.rows(VIEWS, [2])
    given = some.columns[other]
    pixel = np.random.default_rng(0).integers(0, 9, some.count)
    columns = some.columns | {"X.y": pixel, name: 8 * (given % 2)}
    terms = fit._Terms(READINGS, COMBINATIONS, {}, VIEWS, pieces=True)
    assert next(terms._remainders(Rows(columns, some.layer, some.by))) == (other, 2)


def test_classes_of_a_remainder_have_one_term_less_than_all():
    some, odd = layers(1, 1)[:3], SEARCHES["remainders tap"][0]
    read = Readings(readings(odd, STRUCTURE, some)["F", "X"], "S", STRUCTURE)
    for most, found in ((1, None), (2, 2)):
        terms = fit._Terms(read, Combinations(read.sizes, [2, 3]), {}, VIEWS, pieces=True)
        split = terms._split(read.rows(VIEWS), most, ())
        assert (split and len(split)) == found


def test_no_remainder_is_looked_for_of_an_index_that_is_the_same_everywhere():
    some = READINGS.rows(VIEWS)
    columns = some.columns | {"X.n": np.zeros(some.count, np.int64)}
    terms = fit._Terms(READINGS, COMBINATIONS, {}, VIEWS, pieces=True)
    assert list(terms._remainders(Rows(columns, some.layer, some.by))) == []


def test_the_usual_coefficient_is_one_where_more_than_a_tenth_have_it():
    def usual(*by):
        return fit._usual_coefficient(rows(S_l=by).with_coefficients(np.array(by, float)))

    assert usual(*[1] * 2, *[3] * 9, *[5] * 8) == 1
    assert usual(*[1] * 2, *[3] * 10, *[5] * 8) == 3
    assert usual(*[-2] * 5, *[4] * 5) == -2


def test_indices_whose_remainders_tell_apart_are_of_one_axis_or_none():
    alike = {pair for pair in itertools.product(("S.l", "X.y", "S.m", "S.n", "F.k"), repeat=2) if fit._alike(*pair)}
    assert {frozenset(pair) for pair in alike if pair[0] != pair[1]} == {
        frozenset({"S.l", "X.y"}),
        frozenset({"S.n", "F.k"}),
    }


# Ranges ---------------------------------------------------------------------------------------------------------------


class Sized(Readings):
    """Layers of which only the sizes are known."""

    def __init__(self, *layers):
        self.structure, self.out = STRUCTURE, [None] * len(layers)
        self.sizes = [dict(zip(("N", "n", "W'"), each, strict=True)) | {"n/g": each[1], "g": 1} for each in layers]
        self.result_names, self.separated = (), {}


@pytest.mark.parametrize("count", [1, 0])
def test_terms_with_too_many_tuples_are_not_looked_at(count):
    """2¹⁶ at a layer with products, 2¹² at one without."""
    term = Term((VIEWS[0],), ())
    some = rows(S_n=[1] * count, S_i=[2] * count, S_l=[3] * count)
    full, more = ((16, 16, 256), (16, 16, 257)) if count else ((16, 16, 16), (16, 16, 17))
    columns, actual = ranges._candidates(term, some, Sized(full), 0)
    assert len(columns["S.l"]) == len(actual) == np.prod(full)
    assert actual.sum() == count
    if count:
        (found,) = np.flatnonzero(actual)
        assert [int(columns[name][found]) for name in ("S.n", "S.i", "S.l")] == [1, 2, 3]
        assert ranges._candidates(term, some, Sized(more), 0) is None
    else:
        columns, actual = ranges._candidates(term, some, Sized(more), 0)
        assert [len(each) for each in columns.values()] == [0] * 3
        assert len(actual) == 0


def test_a_term_that_leaves_out_a_product_has_no_ranges():
    term = Term((VIEWS[0],), (), (Condition(Linear.of({"S.l": 1}), high=Linear.of({}, 2)),))
    _, actual = ranges._candidates(term, rows(S_n=[0, 1], S_i=[2, 2], S_l=[2, 2]), Sized((2, 3, 4)), 0)
    assert (len(actual), actual.sum()) == (2 * 3 * 3, 2)
    assert ranges._candidates(term, rows(S_n=[0, 1], S_i=[2, 2], S_l=[2, 3]), Sized((2, 3, 4)), 0) is None


def test_tuples_have_different_numbers():
    columns = dict(zip(("S.n", "S.i", "S.l"), np.indices((3, 2, 4)).reshape(3, -1), strict=True))
    assert coded([np.zeros(0, np.int64)]).tolist() == []
    assert len(set(coded(list(columns.values())).tolist())) == 24
    part, actual = ranges._projected(columns, columns["S.n"] * columns["S.l"] > 5, ["S.n", "S.i"])
    assert list(zip(part["S.n"].tolist(), part["S.i"].tolist(), actual.tolist(), strict=True)) == [
        (0, 0, False),
        (0, 1, False),
        (1, 0, False),
        (1, 1, False),
        (2, 0, True),
        (2, 1, True),
    ]


def separation(count, actual):
    """Tuples of so many indices, each 0 or 1, at one layer."""
    names = ["S.n", "S.i", "S.l", "F.i", "F.k", "F.a", "X.n", "X.k", "X.y", "Y.n", "Y.k"][:count]
    columns = dict(zip(names, np.indices((2,) * count).reshape(count, -1), strict=True))
    return columns, actual(list(columns.values()))


@pytest.mark.parametrize(("count", "found"), [(6, True), (7, False)])
def test_a_term_has_at_most_six_ranges(count, found):
    columns, actual = separation(count, lambda some: np.all(some, axis=0))
    term = ranges._separated(Term((VIEWS[0],), ()), [(columns, actual)], Sized((2, 2, 2)), COMBINATIONS)
    assert (term is not None) is found
    if found:
        assert {each.form.terms for each in term.conditions} == {((name, 1),) for name in columns}


def test_a_term_has_one_hole():
    corner = (Condition(Linear.of({"S.l": 1}), low=Linear.of({}, 1)),)

    def separated(actual, excluded=()):
        term = Term((VIEWS[0],), (), excluded=excluded)
        return ranges._separated(term, [separation(2, actual)], Sized((2, 2, 2)), COMBINATIONS)

    hole, half = (lambda some: ~np.all(some, axis=0)), (lambda some: some[0] > 0)
    assert len(separated(hole).excluded) == 2
    assert separated(hole, corner) is None
    assert (len(separated(half, corner).conditions), separated(half, corner).excluded) == (1, corner)


@pytest.mark.parametrize(("count", "forms"), [(10, 45), (11, 3)])
def test_all_pairs_of_at_most_ten_indices_are_compared(count, forms):
    columns, actual = separation(count, lambda some: some[0] > 0)
    given = ranges._Separation(Term((VIEWS[0],), ()), [(columns, actual)], Sized((2, 2, 2)), COMBINATIONS)
    # The differences come last but one, those of spatial ones in steps, too.
    differences = {frozenset(dict(each.form.terms)) for each in list(given._forms())[-2]}
    assert len(differences) == forms


def test_distances_are_to_what_earlier_ranges_leave():
    """Of each response, the two last taps that it has, and of these the two first planes."""
    generator = np.random.default_rng(0)
    l, first, more = np.repeat(np.arange(4), 8), generator.integers(0, 9, (2, 4)), generator.integers(0, 4, (4, 8, 2))
    a, k = (np.repeat(start, 8) + each for start, each in zip(first, more.reshape(-1, 2).T, strict=True))
    columns = dict(zip(("S.l", "F.a", "F.k"), np.unique(np.stack([l, a, k]), axis=1), strict=True))
    result, every = [columns["S.l"]], np.ones(len(columns["S.l"]), bool)
    last = distance(columns["F.a"], result, every, "last") <= 1
    actual = last & (distance(columns["F.k"], result, last, "first") <= 1)
    given = ranges._Separation(Term((VIEWS[0],), ()), [(columns, actual)], Sized((1, 1, 4)), COMBINATIONS)
    found, excluded = given.found()
    assert excluded == ()
    assert {(each.form, each.of, each.low, each.high) for each in found} == {
        (Linear.of({name: 1}), of, None, Linear.of({}, 1)) for name, of in (("F.a", "last"), ("F.k", "first"))
    }
