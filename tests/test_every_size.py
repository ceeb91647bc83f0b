"""Evidence for every size: proofs, wrong relations, and wrong code that relations refuse."""

import json
import re
import sys

import numpy as np
import pytest

from jacobians import Geometry, convolution, oracle, verify
from jacobians.formula.prove import Comparison, Piece, Space, compare, points
from jacobians.verify import cases, check, every_size, identities, relations, run
from jacobians.verify.identities import IDENTITIES
from jacobians.verify.relations import BIAS, TRILINEAR, WRITTEN, Term
from tests.mutants import MUTANTS
from tests.test_verify import LAYERS

PROVED = ["L1", "L2", *(f"L{k}" for k in range(7, 22))]
BY_ID = {each.id: each for each in IDENTITIES}
NO_PADDING = ("p = 0", "p' = 0")


def changed(piece, changes):
    """Return a piece with other conditions in the place of those that start so."""
    conditions = list(piece.conditions)
    for old, new in changes.items():
        at = [number for number, each in enumerate(conditions) if each.startswith(old)]
        assert len(at) == 1
        conditions[at[0]] = new
    return Piece(tuple(conditions), piece.hidden)


def axis(stride=1, dilation=1, *legal, indices=("l", "a", "y")):
    """Return what fixes the options of one axis: pieces and space with numbers for stride and dilation."""
    space = Space(indices, TRILINEAR.axis.sizes, (*TRILINEAR.axis.legal, *legal))
    numbers = {"s": stride, "δ": dilation}
    return space.at(numbers), lambda piece: piece.at(numbers)


def refused(right, wrong, stride=1, dilation=1, *legal):
    """Return where two relations of one axis differ."""
    space, at = axis(stride, dilation, *legal)
    rights, wrongs = ([each] if isinstance(each, Piece) else each for each in (right, wrong))
    return compare([at(each) for each in rights], [at(each) for each in wrongs], space).differ


def refused_planes(right, wrong, groups):
    """Return where two relations of planes differ."""
    pieces = (Term(TRILINEAR, each, relations.SUM).planes_at(groups) for each in (right, wrong))
    return compare(*pieces, TRILINEAR.planes).differ


# proofs ---------------------------------------------------------------------------------------------------------------


def test_the_equations_that_are_put_together_of_index_maps_are_proved() -> None:
    assert [each.id for each in IDENTITIES if every_size.applies(each)] == PROVED
    for name in PROVED:
        groups = [1] if name in {"L17", "L18", "L19"} else [1, 2, 3, 4]
        assert every_size.groups_of(BY_ID[name]) == groups
        for stride in (1, 2, 7):
            assert every_size.refuted(BY_ID[name], stride) == (8 * len(groups), None)


def test_no_side_is_written_that_no_equation_has() -> None:
    assert set(WRITTEN) == {side for name in PROVED for side in BY_ID[name].sides.values()}


@pytest.mark.parametrize(
    ("name", "follow"),
    [
        ("SUM", []),
        ("WINDOWS", []),
        ("IMAGE_MATRIX", []),
        ("FILTER_MATRIX", []),
        ("IMAGE_WITH_GRADIENT", ["0 ≤ v < h + p + p' − s·(h' − 1)"]),
        ("GRADIENT_WITH_TURNED_FILTER", ["0 ≤ v < s·(h' − 1) + 1 + t + δ·(k − 1)"]),
        ("CHAIN", ["0 ≤ u < h'", "0 ≤ r < h'"]),
    ],
)
def test_a_relation_without_one_of_its_conditions_is_another(name, follow) -> None:
    """All but those that follow from the others: a wrong proof would not see what is left out."""
    piece = getattr(relations, name)
    space, at = axis(3, 2)
    rests = {
        each: Piece(tuple(one for one in piece.conditions if one != each), piece.hidden) for each in piece.conditions
    }
    assert [each for each, rest in rests.items() if same(relations.SUM, rest, space, at)] == follow


def same(left, right, space, at):
    try:
        return compare([at(left)], [at(right)], space).equal
    except ValueError:  # a tuple is taken for all values of an index that nothing fixes
        return False


def test_relations_hold_at_sizes_and_options_that_no_layer_of_a_run_has() -> None:
    """What is proved is looked at where it is large: 1000 pixels, 90 taps, uneven padding, a tail."""
    sizes = {"h": 1000, "k": 90, "p": 17, "p'": 400, "h'": 100, "t": 5}
    space, at = axis(7, 8)
    assert sizes["h"] + sizes["p"] + sizes["p'"] == 7 * 99 + 8 * 89 + 1 + sizes["t"] + 6
    sizes["p'"] -= 6
    found = [points([at(piece)], space, sizes) for piece in (relations.SUM, relations.GRADIENT_WITH_TURNED_FILTER)]
    assert (
        found[0]
        == found[1]
        == sorted((l, a, 7 * l + 8 * a - 17) for l in range(100) for a in range(90) if 0 <= 7 * l + 8 * a - 17 < 1000)
    )


# wrong forms ----------------------------------------------------------------------------------------------------------

TURNED, FLAT = relations.GRADIENT_WITH_TURNED_FILTER, changed(relations.GRADIENT_WITH_TURNED_FILTER, {"c =": "c = a"})
TWO_AXES = Space(
    ("l", "m", "a", "b", "y", "x"),
    ("h'", "w'", "k", "f"),
    ("h' ≥ 1", "w' ≥ 1", "k ≥ 1", "f ≥ 1"),
)
RANGES = ("0 ≤ l < h'", "0 ≤ m < w'")
TAPS = ("0 ≤ a < k", "0 ≤ b < f")
PLAIN = Piece(("y = l + a", "x = m + b", *RANGES, *TAPS))


def last_only(stride, dilation):
    """Only the last response that reads a pixel counts: no later one, δ/gcd responses on, does with an earlier tap."""
    common = int(np.gcd(stride, dilation))
    earlier, later = stride // common, dilation // common
    return [
        Piece((*relations.SUM.conditions, f"a < {earlier}")),
        Piece((*relations.SUM.conditions, f"a ≥ {earlier}", f"l > h' − 1 − {later}")),
    ]


def test_rotation_left_out() -> None:
    assert refused(relations.SUM, FLAT, 1, 1, *NO_PADDING).text == "exactly where k ≥ 2"
    found = refused(relations.SUM, FLAT)
    words = re.fullmatch(r"exactly where k ≥ 2 and \((.*) or (.*)\)", found.text)
    assert set(words.groups()) == {"2h + 2p ≥ k + 2", "2h + 2p' ≥ k + 2"}
    assert found.smallest == {"h": 1, "k": 2, "p": 0, "p'": 1, "h'": 1, "t": 0}
    assert {"h": 1, "k": 3, "p": 1, "p'": 1, "h'": 1, "t": 0} not in found  # one pixel in the middle of three taps
    for stride, dilation in ((2, 1), (1, 2), (3, 2)):
        found = refused(relations.SUM, FLAT, stride, dilation)
        assert found.text.startswith("only where k ≥ 2")
        assert found.smallest["k"] == 2


def test_rotation_in_one_axis_only() -> None:
    half = Piece(("y = l + k − 1 − a", "x = m + b", *RANGES, *TAPS))
    found = compare([PLAIN], [half], TWO_AXES).differ
    assert (found.text, found.smallest) == ("exactly where k ≥ 2", {"h'": 1, "w'": 1, "k": 2, "f": 1})


def test_h_and_w_exchanged() -> None:
    exchanged = Piece(("y = l + b", "x = m + a", *RANGES, "0 ≤ b < k", "0 ≤ a < f"))
    found = compare([PLAIN], [exchanged], TWO_AXES).differ
    assert found.text == "exactly where f + k ≥ 3"
    assert {"h'": 3, "w'": 3, "k": 1, "f": 2} in found


@pytest.mark.parametrize(("stride", "text"), [(1, None), (2, "exactly where t = 1"), (3, "only where t ≥ 1")])
def test_tail_in_front(stride, text) -> None:
    """Only, at stride 3: nothing differs where no window reads a pixel, neither there nor moved."""
    moved = changed(TURNED, {"z = e": "z = e + δ·(k − 1) + t"})
    found = refused(relations.SUM, moved, stride)
    assert (found and found.text) == text
    assert found is None or found.smallest == {"h": 1, "k": 1, "p": 0, "p'": 1, "h'": 1, "t": 1}


@pytest.mark.parametrize(("stride", "text"), [(1, None), (2, "exactly where t = 1"), (4, "exactly where t ≥ 1")])
def test_tail_forgotten(stride, text) -> None:
    """The result is cut by the tail and filled up in front."""
    cut = Piece(("u = s·l + δ·a − p", "0 ≤ l < h'", "0 ≤ a < k", "0 ≤ u < h − t", "y = u + t"), ("u",))
    found = refused(relations.SUM, cut, stride, 1, *NO_PADDING)
    assert (found and found.text) == text


def test_stride_and_dilation_exchanged() -> None:
    exchanged = Piece(("y = δ·l + s·a − p", "0 ≤ l < h'", "0 ≤ a < k", "0 ≤ y < h"))
    assert refused(relations.SUM, exchanged, 3, 3) is None
    found = refused(relations.SUM, exchanged, 2, 1, *NO_PADDING)
    assert found.text == "exactly where h + k ≥ 4"
    assert found.smallest == {"h": 2, "k": 2, "p": 0, "p'": 0, "h'": 1, "t": 0}


@pytest.mark.parametrize(
    ("wrong", "one_group", "two_groups"),
    [
        (changed(relations.IMAGE_BLOCKS, {"k =": "g·d' − 1 − k = γ·d' + e"}), "exactly where d' ≥ 2", "at all sizes"),
        (changed(relations.FILTER_BLOCKS, {"q =": "q = d' − 1 − e"}), "exactly where d' ≥ 2", "exactly where d' ≥ 2"),
        (changed(relations.FILTER_BLOCKS, {"i =": "j = i − γ·n'"}), None, "at all sizes"),
        (changed(relations.IMAGE_BLOCKS, {"k =": "k = e"}), None, "at all sizes"),
    ],
    ids=["planes of X exchanged", "planes of F exchanged", "first group's filters", "first group's planes"],
)
def test_planes_exchanged(wrong, one_group, two_groups) -> None:
    if "j = i − γ·n'" in wrong.conditions:  # filter i of every group is taken for filter i of the first
        wrong = Piece(tuple(each.replace("0 ≤ j − γ·n' < n'", "0 ≤ j < n'") for each in wrong.conditions), wrong.hidden)
    found = [refused_planes(relations.EVERY_FILTER, wrong, groups) for groups in (1, 2)]
    assert [each and each.text for each in found] == [one_group, two_groups]


@pytest.mark.parametrize(("groups", "text"), [(1, "exactly where n' ≥ 2"), (3, "at all sizes")])
def test_one_stack_block_moved(groups, text) -> None:
    stack, numbers = relations.STACK, {"g": groups}
    moved = [
        Piece(("0 ≤ b < g·n' − 1", "i' = b + 1", "i = b"), ("b",)),
        Piece(("b = g·n' − 1", "i' = 0", "i = b"), ("b",)),
    ]
    found = compare([relations.SAME_MAP.at(numbers)], [each.at(numbers) for each in moved], stack.planes).differ
    assert found.text == text


def test_padding_swapped() -> None:
    swapped = changed(relations.WINDOWS, {"z = y": "z = y + p'"})
    found = refused(relations.SUM, swapped)
    assert (found.text, found.smallest["p'"]) == ("exactly where p' ≠ p", 1)
    assert refused(relations.SUM, swapped, 2, 3).text == "only where p' ≠ p"


def test_assignment_for_accumulation() -> None:
    """The prover sees tuples that are lost, not only tuples that are wrong."""
    found = refused(relations.SUM, last_only(1, 1), 1, 1, *NO_PADDING)
    assert found.text == "exactly where 2 ≤ k < h"
    assert refused(relations.SUM, last_only(2, 1), 2, 1, *NO_PADDING).text == "exactly where k ≥ 3 and h' ≥ 2"
    assert refused(relations.SUM, last_only(2, 3), 2, 3, *NO_PADDING).text == "exactly where k ≥ 3 and h' ≥ 4"


def test_true_convolution() -> None:
    """The forward pass turns the filter."""
    turned = Piece((*(each.replace("δ·a", "δ·(k − 1 − a)") for each in relations.WINDOWS.conditions),), ("z", "w"))
    assert refused(relations.SUM, turned, 1, 1, *NO_PADDING).text == "exactly where k ≥ 2"


def test_filter_turned_in_its_matrix() -> None:
    turned = changed(relations.FILTER_MATRIX, {"e =": "e = δ·(k − 1 − a) − p"})
    assert refused(relations.SUM, turned, 3, 2, *NO_PADDING).text == "exactly where k ≥ 2"


def test_pixels_reversed_in_the_image_matrix() -> None:
    reversed_pixels = changed(relations.IMAGE_MATRIX, {"y =": "h − 1 − y = w + δ·c"})
    found = refused(relations.SUM, reversed_pixels)
    assert (found.text, found.smallest["h"]) == ("exactly where h ≥ 2", 2)


def test_bias_gradient_doubled() -> None:
    doubled = [relations.OWN_BIAS.at({"g": 2})] * 2
    found = compare(doubled[:1], doubled, BIAS.planes)
    assert found.differ.text == "at all sizes"
    assert found.example.times == (1, 2)


def test_every_mutant_of_an_index_map_has_a_wrong_relation_here() -> None:
    spelt = {name.partition("[")[0].removeprefix("test_").replace("_", " ") for name in globals()}
    elsewhere = {
        "zeros around G at the wrong end": "tail in front",
        "planes of X exchanged": "planes exchanged",
        "planes of F exchanged": "planes exchanged",
        "first group's filters for all": "planes exchanged",
        "first group's planes for all": "planes exchanged",
        "filter turned in M_F": "filter turned in its matrix",
        "pixels reversed in M_X": "pixels reversed in the image matrix",
    }
    assert {elsewhere.get(mutant.name, mutant.name) for mutant in MUTANTS} <= spelt


def test_a_wrong_relation_fails_in_the_report_with_the_sizes(monkeypatch) -> None:
    identity = BY_ID["L20"]
    side = identity.sides["convolution"]
    monkeypatch.setitem(WRITTEN, side, (Term(TRILINEAR, relations.GROUP_BY_GROUP, FLAT),))
    report = verify([Geometry((1, 1, 2), (1, 1, 1, 2))], identities=["L20", "L18"])
    assert [row.verdict for row in report.rows] == ["holds", "FAILS"]
    failure = report.rows[1].failure
    assert failure.evidence == "every size"
    assert failure.sides == ("triple sum", "convolution")
    assert failure.where == (
        f"sizes: {refused(relations.SUM, FLAT).text}, "
        "first at h = 1, k = 2, p = 0, p' = 1, h' = 1, t = 0 (stride 1, dilation 1)"
    )
    assert (failure.entry, failure.expected, failure.actual) == ("l = 0, a = 0, y = 0", "taken once", "taken 0 times")
    assert "every size evidence" in str(report)


def test_a_failed_proof_says_how_often_a_product_is_taken(monkeypatch) -> None:
    """With a piece for every group, all of which are the whole."""
    each_group = Piece((*relations.OWN_BIAS.conditions, "γ ≥ 0"))
    identity = next(one for one in IDENTITIES if identities.bias_sums in one.sides.values() and one.inputs == "G")
    monkeypatch.setitem(WRITTEN, identities.bias_sums, (Term(BIAS, each_group, relations.EVERY_WINDOW),))
    failure = check.prove(identity, 1, 0).failure
    assert (failure.expected, failure.actual) == ("taken once", "taken 2 times")
    assert failure.where.endswith("(2 groups)")


def test_a_failed_proof_without_an_example_counts_nothing(monkeypatch) -> None:
    comparison = Comparison(refused(relations.SUM, FLAT))
    monkeypatch.setattr(every_size, "refuted", lambda *_: (8, every_size.Refuted(("right", "wrong"), "", comparison)))
    failure = check.prove(BY_ID["L20"], 1, 0).failure
    assert (failure.expected, failure.actual) == ("taken 0 times", "taken 0 times")
    assert (failure.entry, failure.wrong, failure.total) == ("", 0, 0)


def test_a_wrong_relation_of_planes_fails_with_the_number_of_groups(monkeypatch) -> None:
    wrong = changed(relations.FILTER_BLOCKS, {"q =": "q = d' − 1 − e"})
    monkeypatch.setitem(WRITTEN, BY_ID["L17"].sides["matrix"], (Term(TRILINEAR, wrong, relations.FILTER_MATRIX),))
    _, found = every_size.refuted(BY_ID["L13"], 1)
    assert (found.sides, found.options) == (("triple sum", "sum over the filters"), "1 group")
    assert found.comparison.differ.text == "exactly where d' ≥ 2"


def test_terms_of_different_forms_are_not_compared(monkeypatch) -> None:
    monkeypatch.setitem(WRITTEN, BY_ID["L17"].sides["matrix"], WRITTEN[BY_ID["L21"].sides["matrix"]])
    with pytest.raises(ValueError, match="terms of different forms"):
        every_size.refuted(BY_ID["L17"], 1)


# relations against code -----------------------------------------------------------------------------------------------


def refused_by_relations(geometries):
    """Return the equations whose code does not sum the products of its relations, at layers, and all outcomes."""
    outcomes = []
    for geometry in geometries:
        for statements in check._by_inputs(check.Task(geometry, tuple(IDENTITIES), 0, symbolic=False)):
            inputs, terms = statements[0].identity.inputs, statements[0].identity.terms(geometry)
            draw = every_size.coded(inputs, geometry) or next(check.integer_draws(inputs, terms, geometry, 0))[0]
            outcomes += check._check_relations(statements, check._Sides(draw), 0)
    return {each.identity for each in outcomes if each.failure}, outcomes


def test_a_check_of_a_layer_holds_its_code_against_the_relations(monkeypatch) -> None:
    monkeypatch.setattr(convolution, "turn", lambda F: F)
    task = check.Task(cases.EXAMPLE, tuple(IDENTITIES), 0, symbolic=False)
    for most in (every_size.MOST_PAIRS, 0):
        monkeypatch.setattr(every_size, "MOST_PAIRS", most)
        outcomes = [each for each in check.check(task) if each.evidence == "every size"]
        assert {each.identity for each in outcomes if each.failure} == {"L16", "L18", "L19", "L20"}
        assert {each.checks for each in outcomes} == {0}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_wrong_code_is_refused_by_the_points_of_its_relation(mutant, monkeypatch) -> None:
    monkeypatch.setattr(mutant.module, mutant.function, mutant.wrong)
    refused_ones, _ = refused_by_relations(LAYERS)
    assert mutant.fails <= refused_ones
    assert not mutant.holds & refused_ones


def test_right_code_sums_the_products_of_its_relations_at_layers_of_all_sizes() -> None:
    large = [cases.LECTURE, cases.PUBLISHED["LeNet-5 C1"]]
    drawn = list(cases.drawn(5, 12))
    refused_ones, outcomes = refused_by_relations([*LAYERS, *large, *drawn])
    assert refused_ones == set()
    assert {each.identity for each in outcomes} == set(PROVED)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_wrong_code_is_refused_by_some_entries_of_numbers_too(mutant, monkeypatch) -> None:
    """As at large layers, whose products are too many to be told apart."""
    monkeypatch.setattr(every_size, "MOST_PAIRS", 0)
    monkeypatch.setattr(every_size, "MOST_PRODUCTS", 0)
    monkeypatch.setattr(mutant.module, mutant.function, mutant.wrong)
    refused_ones, _ = refused_by_relations(LAYERS)
    assert mutant.fails <= refused_ones
    assert not mutant.holds & refused_ones


def test_right_code_sums_all_products_of_the_entries_that_are_looked_at(monkeypatch) -> None:
    """Five of nine pixels, and of eight responses."""
    monkeypatch.setattr(every_size, "MOST_PAIRS", 0)
    monkeypatch.setattr(every_size, "MOST_PRODUCTS", 0)
    refused_ones, outcomes = refused_by_relations([Geometry((1, 9), (1, 1, 2))])
    assert refused_ones == set()
    assert len(outcomes) > 10


def test_a_relation_that_is_not_what_the_code_computes_is_refused_though_it_may_be_proved(monkeypatch) -> None:
    """The bridge has two ends: the relation of a side is held against this side, not against the others."""
    side = BY_ID["L18"].sides["matrix"]
    monkeypatch.setitem(WRITTEN, side, (Term(TRILINEAR, relations.FILTER_BLOCKS, FLAT),))
    refused_ones, outcomes = refused_by_relations([cases.EXAMPLE])
    failure = next(each.failure for each in outcomes if each.identity == "L18")
    assert failure.sides == ("matrix, as a relation", "matrix")
    assert (failure.entry, failure.expected, failure.actual) == ("v1", "g1F33", "g1F11")
    assert "L8" not in refused_ones


def test_products_are_told_apart_and_counted() -> None:
    geometry = Geometry((1, 1, 3), (1, 1, 1, 2))
    draw = every_size.coded("XF", geometry)
    X, F = draw.X.ravel(), draw.F.ravel()
    assert every_size.told(X[0] * F[1] + X[2] * F[0] + X[0] * F[1], "XF", geometry) == "2X11F12 + X13F11"
    assert every_size.told(X[1] * F[1] + -1 * X[0] * F[0], "XF", geometry) == "−X11F11 + X12F12".replace("−", "-")
    assert X[0] * F[1] != X[1] * F[0]
    assert np.int64(0) * X[1] == 0
    assert every_size.told(2.5, "XF", geometry) == "2.5"
    everything = [x * f for x in X for f in F]
    assert len({each.number for each in everything}) == len(everything)
    with_bias = every_size.coded("XFb", Geometry((1, 3), (2, 1, 1)))
    assert with_bias.b[0] != with_bias.X.ravel()[2] * with_bias.F.ravel()[1]
    assert every_size.told(with_bias.b[1] + with_bias.X[0, 2] * with_bias.F[1, 0, 0], "XFb",
                           Geometry((1, 3), (2, 1, 1))) == "X3F_2,1 + b2"  # fmt: skip


def test_each_product_is_a_digit_of_its_own() -> None:
    """Six products of three pixels and two taps, then two entries of the bias, in digits of eight bits."""
    geometry = Geometry((1, 3), (2, 1, 1))
    draw = every_size.coded("XFb", geometry)
    X, F, b = draw.X.ravel(), draw.F.ravel(), draw.b
    everything = [*(x * f for x in X for f in F), *b]
    assert [each.number for each in everything] == [1 << 8 * digit for digit in range(8)]
    assert [each.number for each in draw.G.ravel()] == [0] * 6
    for first, second in ((0, 1), (1, 0)):
        assert everything[first] != everything[second]
    for times in (127, -127):
        assert every_size.told(times * everything[1] + everything[7], "XFb", geometry) == f"{times}X1F_2,1 + b2"


@pytest.mark.parametrize(
    ("inputs", "fits", "too_large"),
    [
        ("XF", Geometry((1, 64), (1, 1, 64)), Geometry((1, 241), (1, 1, 17))),
        ("G", Geometry((1, 64), (1, 1, 1)), Geometry((1, 65), (1, 1, 1))),
    ],
)
def test_up_to_4096_pairs_of_entries_are_told_apart(inputs, fits, too_large) -> None:
    """And neither 241·17 = 4097 nor 65·65."""
    assert every_size.coded(inputs, fits)
    assert every_size.coded(inputs, too_large) is None


@pytest.mark.parametrize(("block", "lengths"), [(300, [288, 288]), (287, [144] * 4), (1, [144] * 4), (10**6, [576])])
def test_products_are_listed_in_blocks_of_whole_planes(monkeypatch, block, lengths) -> None:
    """Four planes of 12·12 pairs of a response and a tap."""
    monkeypatch.setattr(every_size, "BLOCK", block)
    listed = list(every_size._products(relations.TRIPLE_SUM, ["S", "X", "F"], cases.SIBLING))
    assert [len(where) for where, *_ in listed] == lengths
    triples = zip(*(np.concatenate(each) for each in zip(*listed, strict=True)), strict=True)
    assert sorted(triples) == sorted(zip(*oracle.triples(cases.SIBLING), strict=True))


def test_a_layer_of_padding_alone_has_no_products() -> None:
    layer = Geometry((1, 1), (1, 1, 1), stride=3, padding=((2, 0),))
    (found,) = every_size._products(relations.TRIPLE_SUM, ["S", "X", "F"], layer)
    assert [len(each) for each in found] == [0, 0, 0]


def test_all_entries_are_compared_up_to_a_million_products() -> None:
    """And of 101 filters of 9901 taps, which have 1 000 001, five."""
    assert len(every_size.seen(Geometry((1, 1999), (1, 1, 1000)), "filters")) == 1000
    large = Geometry((1, 9901), (101, 1, 9901))
    assert every_size.seen(large, "bias").tolist() == [0, 1, 50, 99, 100]


def test_the_points_of_the_triple_sum_are_its_products() -> None:
    """The relation, listed by the library, and the oracle's loops over L1 are the same products."""
    for geometry in LAYERS:
        tables = every_size.layer_points(relations.TRIPLE_SUM, geometry)
        listed = next(every_size._products(relations.TRIPLE_SUM, ["S", "X", "F"], geometry))
        assert sorted(zip(*listed, strict=True)) == sorted(zip(*oracle.triples(geometry), strict=True))
        assert len(listed[0]) == np.prod([len(table) for table in tables])


def test_entries_of_large_results_are_looked_at_on_all_sides() -> None:
    small, large = cases.EXAMPLE, cases.PUBLISHED["VGG-16 conv1_1"]
    assert every_size.seen(small, "image").tolist() == list(range(36))
    at = np.unravel_index(every_size.seen(large, "responses"), large.responses)
    assert [sorted(set(each.tolist())) for each in at] == [[0, 1, 32, 62, 63], *[[0, 1, 112, 222, 223]] * 2]


# the report -----------------------------------------------------------------------------------------------------------


def test_the_report_counts_combinations_and_says_where_no_proof_applies() -> None:
    report = verify([cases.EXAMPLE, *LAYERS], identities=["L4", "L16", "L18", "L24"])
    counts = {row.id: row.counts for row in report.rows}
    assert {name: each["every size"] for name, each in counts.items()} == {"L4": 0, "L16": 256, "L18": 64, "L24": 0}
    assert all(set(each) == {"symbolic", "every size", "exact", "bound"} for each in counts.values())
    lines = {line.split()[0]: line for line in str(report).splitlines() if line}
    assert [name for name in ("L4", "L16", "L18", "L24") if " 256 " in lines[name]] == ["L16"]
    assert max(map(len, str(report).splitlines()[:-1])) <= 80
    assert "2 equations are proved for every size of image, filter, padding and tail." in report.conclusion
    assert "every size</th>" in report._repr_html_()
    record = json.loads(json.dumps(report.to_dict()))
    assert record["can_prove"] is True
    assert [each["provable"] for each in record["identities"]] == [False, True, True, False]
    assert record["identities"][1]["counts"]["every size"] == 256


def test_a_proof_alone_holds_nothing() -> None:
    report = verify([cases.EXAMPLE], identities=["L9"])
    assert report.rows[0].counts["every size"] == 256
    assert report.rows[0].verdict == "not checked"


def test_proofs_are_no_layers_of_the_progress() -> None:
    told = []
    verify(LAYERS[:2], identities=["L1"], progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]
    _, tasks = run.tasks(LAYERS[:2], ["L1"], 0, full=False)
    assert [task.stride for task in tasks if isinstance(task, run.ProofTask)] == list(range(1, 9))


def test_without_islpy_the_report_says_what_is_missing_and_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "islpy", None)
    report = verify([cases.EXAMPLE], identities=["L4", "L18"])
    assert report.check().ok
    assert [row.counts["every size"] for row in report.rows] == [0, 0]
    assert report.conclusion.endswith("because islpy is not installed: pip install 'jacobians[prove]'")
    lines = {line.split()[0]: line for line in str(report).splitlines() if line}
    assert " islpy " not in lines["L4"]
    assert " islpy " in lines["L18"]
    assert report.to_dict()["can_prove"] is False
    monkeypatch.setattr(convolution, "turn", lambda F: F)
    failing = verify([cases.EXAMPLE], identities=["L18"])
    assert failing.conclusion.startswith("L18 does not hold (seed 0). Nothing is proved for every size")
    assert "islpy" not in verify([], identities=["L4"]).conclusion
