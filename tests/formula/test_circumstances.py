"""Where two formulas differ."""

import dataclasses
import itertools
import re
import zlib
from fractions import Fraction

import numpy as np
import pytest

from jacobians import Geometry
from jacobians.formula import circumstances as module
from jacobians.formula import prove
from jacobians.formula.circumstances import Circumstances, circumstances, layers
from jacobians.formula.relation import Coefficient, Linear
from jacobians.formula.structure import SIZES, Layer, right, sizes_of
from tests.formula.wrong import OPTIONS, PLAIN, change, eq, number, only, right_of, size, structure, summed

STRIDED = Geometry((2, 20, 21), (2, 2, 2, 3), stride=(2, 1))
TAIL = Linear.of({"H": 1, "tail(H)": -1})
needs_islpy = pytest.mark.skipif(not prove.available(), reason="islpy is not installed")


def turned(formula):
    return change(formula, eq("dX.y", {"G.l": 1, "F.a": -1, "K": 1}, -1))


# The wrong formula's change of the right one, options, where it differs, and whether integer sets can prove it.
WHERE = [
    (turned, PLAIN, "a filter has more than one tap along the first axis", True),
    (
        lambda right: change(turned(right), eq("dX.x", {"G.m": 1, "F.b": -1, "L": 1}, -1)),
        PLAIN,
        "a filter has more than one tap",
        True,
    ),
    (lambda right: change(right, eq("F.k"), free=("dX.k",)), PLAIN, "there is more than one plane", True),
    (lambda right: change(right, free=("dX.n",)), PLAIN, "there is more than one image", True),
    (lambda right: change(right, eq("F.i", {"G.i": 1}, 1, "wrap")), PLAIN, "there is more than one filter", False),
    (
        lambda right: change(right, coefficient=Coefficient(1, (("N", -1),))),
        PLAIN,
        "there is more than one image",
        False,
    ),
    (
        lambda right: dataclasses.replace(right, shape=(*right.shape[:2], TAIL, right.shape[3])),
        STRIDED,
        "the stride leaves a tail along the first axis",
        False,
    ),
    (
        lambda right: change(right, conditions=(only({"G.m": 1}, high=Linear.of({"W'÷8": 8}, -1)),)),
        PLAIN,
        "W' is not a multiple of 8",
        False,
    ),
    (
        lambda right: change(right, conditions=(only({"G.l": 1}, high=number(0), of="last"),)),
        STRIDED,
        "there is more than one response along the first axis and windows overlap along the first axis",
        False,
    ),
]


def meaning(words, sizes, right):
    """Whether it is so at a layer, taken from the words alone."""
    joined = re.split(r" and (?=windows|there|a filter)", words)
    if len(joined) > 1:
        return all(meaning(each, sizes, right) for each in joined)
    if found := re.fullmatch(r"(\S+) is not a multiple of (\d+)", words):
        return sizes[found[1]] % int(found[2]) > 0
    if found := re.fullmatch(r"(\S+) ([≠<>]) (\S+)", words):
        one, two = sizes[found[1]], sizes[found[3]]
        return {"≠": one != two, "<": one < two, ">": one > two}[found[2]]
    axes, options = SIZES[2 if "stride[1]" in dict(right.options) else 1], dict(right.options)
    holds = []
    for at, (h, k, out) in enumerate(axes):
        stride, reach = options[f"stride[{at}]"], options[f"dilation[{at}]"] * (sizes[k] - 1)
        counts = {"tap": sizes[k], "response": sizes[out], "pixel": sizes[h], "image": sizes["N"]}
        counts |= {"plane": sizes["d/g"], "filter": sizes["n/g"]}
        facts = {"windows overlap": reach + 1 > stride, "the stride leaves a tail": sizes[f"tail({h})"] > 0}
        for side in ("before", "after"):
            facts[f"the padding {side} the image is larger than"] = sizes[f"{side}({h})"] > reach
        for what, count in counts.items():
            facts[f"more than one {what}"] = count > 1
            facts[f"more than two {what}s"] = count > 2
        (fact,) = [each for name, each in facts.items() if re.search(rf"(^|\b){name}( |$)", words)]
        holds.append(fact)
    if found := re.search("along the (first|second) axis", words):
        return holds[("first", "second").index(found[1])]
    return all(holds) if "along every axis" in words else any(holds)


@needs_islpy
@pytest.mark.parametrize(("wrong", "options", "words", "proved"), WHERE, ids=[words for _, _, words, _ in WHERE])
def test_where_is_said_and_proved_where_it_can_be(wrong, options, words, proved):
    right = right_of("dX", options=options)
    found = circumstances(wrong(right), right, structure())
    alike = {words, words.replace(" along the first axis", "")} if options is STRIDED and not proved else {words}
    assert found.text in {f"exactly where {each}" for each in alike}
    assert found.proved is proved
    differing = sum(meaning(words, sizes, right) for sizes in layers(wrong(right), right, structure()))
    assert 0 < found.differing == differing < found.layers == 160


@pytest.mark.parametrize(("axes", "groups", "options"), [(1, 1, None), (2, 2, None), (2, 1, PLAIN)])
def test_comparisons_hold_where_their_words_say(axes, groups, options):
    right = right_of("S", axes, groups, options)
    wrong = change(right, conditions=(only({"S.l": 1}, high=Linear.of({"K÷3": 3}, -1)),))
    some = list(itertools.islice(layers(wrong, right, structure(axes, groups)), 40))
    seen = set()
    for each in module._predicates(wrong, right, structure(axes, groups)):
        held = [
            bool(each.at({name: np.array([size]) for name, size in (sizes | {"K÷3": sizes["K"] // 3}).items()}))
            for sizes in some
        ]
        assert held == [meaning(each.words, sizes, right) for sizes in some], each.words
        assert each.words not in seen
        seen.add(each.words)
    assert "K is not a multiple of 3" in seen
    assert {f"K {sign} N" for sign in "≠<>"} <= seen
    plain = {each.words for each in module._predicates(wrong, right, structure(axes, groups)) if each.plain}
    assert {"K is not a multiple of 3", "the stride leaves a tail", "windows overlap"} <= plain < seen
    assert ("dilation·" in "".join(seen)) is (options is None)
    assert ("in a group" in " ".join(seen)) is (groups > 1)


@pytest.mark.parametrize(
    ("options", "steps"), [(None, (2, 5)), (dataclasses.replace(PLAIN, padding=1), (1, 1))], ids=["uneven", "1"]
)
def test_what_can_be_wrong_in_padding_alone_is_what_a_layer_says(options, steps):
    right = right_of("S", options=options)
    for sizes in layers(right, right, structure()):
        within = [
            step * (sizes[k] - 1) + 1 > max(sizes[f"before({h})"], sizes[f"after({h})"])
            and sizes[h] > step * (sizes[k] - 1)
            for (h, k, _), step in zip(SIZES[2], steps, strict=True)
        ]
        assert module._ordinary(right, structure()).at(sizes) == all(within)


# Of a report it can be asked again at which layers two formulas were evaluated.
DRAWN = {
    (1, 1, ""): 510159233,
    (1, 2, ""): 1023668186,
    (2, 1, ""): 1245916277,
    (2, 2, ""): 340067287,
    (3, 1, ""): 1163494421,
    (2, 1, "K÷3"): 2248488467,
    (1, 1, "W'÷5"): 1172744373,
}


@pytest.mark.parametrize(("axes", "groups", "block"), DRAWN)
def test_layers_are_the_same_in_every_run(axes, groups, block):
    right = right_of("S", axes, groups)
    limits = [Linear.of({block: 3}, -1)] if block else []
    read = change(right, conditions=tuple(only({"S.l": 1}, high=each) for each in limits))
    found = list(layers(read, right, structure(axes, groups)))
    assert zlib.crc32(repr([list(each.items()) for each in found]).encode()) == DRAWN[axes, groups, block]


@needs_islpy
def test_signs_and_sums_of_products_are_compared_too():
    plain = right_of("dX", options=PLAIN)
    minus = change(plain, coefficient=Coefficient(-1))
    some = list(itertools.islice(layers(plain, plain, structure()), 8))
    for read, wanted in ((turned(plain), plain), (turned(minus), minus)):
        found = circumstances(read, wanted, structure())
        assert found.text == "exactly where a filter has more than one tap along the first axis"
    for read, wanted in (
        (plain, minus),
        (change(plain, coefficient=Coefficient(-2)), minus),
        (change(plain, coefficient=Coefficient(Fraction(1, 2))), plain),
        (summed(plain, minus), plain),
        (summed(plain, plain), plain),
        (dataclasses.replace(plain, shape=(*plain.shape[:3], size("W", 1))), plain),
        (dataclasses.replace(plain, shape=(*plain.shape[:3], size("W", -1))), plain),
        (dataclasses.replace(plain, terms=()), plain),
    ):
        assert all(module._differ(read, wanted, sizes) for sizes in some)
    assert not any(module._differ(summed(plain, plain, minus), plain, sizes) for sizes in some)
    # Every product has a number of its own.
    largest = max(some, key=lambda sizes: sizes["H"] * sizes["W"] * sizes["K"] * sizes["L"])
    shape = tuple(each.at(largest) for each in plain.shape)
    ((_, counted),) = module._products(plain, largest, shape).values()
    assert set(counted) == {1}
    narrower = dataclasses.replace(plain, shape=(*plain.shape[:3], size("W", -1)))
    assert module._differ(narrower, plain, next(each for each in layers(plain, plain, structure()) if each["W"] == 1))
    result, F, G = plain.terms[0].views
    other_order = change(plain, views=(result, G, F))
    assert not any(module._differ(other_order, plain, sizes) for sizes in some)
    assert not any(module._differ(summed(plain, minus), dataclasses.replace(plain, terms=()), sizes) for sizes in some)


def test_terms_in_common_are_left_out_one_for_one():
    plain = right_of("dX", options=PLAIN)
    minus = change(plain, coefficient=Coefficient(-1))
    mine, wanted = module._apart(summed(plain, plain, turned(plain)), summed(plain, minus))
    assert (mine.terms, wanted.terms) == (summed(plain, turned(plain)).terms, minus.terms)
    assert (mine.shape, wanted.shape) == (plain.shape, plain.shape)
    mine, wanted = module._apart(plain, plain)
    assert mine.terms == wanted.terms == ()


def test_what_is_known_is_said():
    assert str(Circumstances("nowhere", True, 0, 9)) == "nowhere (proved for every size)"
    assert str(Circumstances("nowhere", False, 0, 9)) == "nowhere (evaluated at 9 small layers, not proved)"
    assert str(Circumstances("", False, 4, 9)).split()[:5] == ["at", "4", "of", "the", "9"]


@needs_islpy
@pytest.mark.parametrize(
    ("axes", "groups", "equation", "words"),
    [
        (1, 1, eq("dX.y", {"G.l": 3, "F.a": -2, "K": 2}, -2), "a filter has more than one tap"),
        (2, 2, eq("dX.g", {}, 0), ""),
        (3, 1, eq("dX.w", {"G.o": 1, "F.c": -2, "M": 2}, -2), "a filter has more than one tap along the third axis"),
    ],
)
def test_one_and_three_axes_and_groups_are_proved_about(axes, groups, equation, words):
    right = right_of("dX", axes, groups, dataclasses.replace(OPTIONS[axes], padding=0))
    found = circumstances(change(right, equation), right, structure(axes, groups))
    assert (found.text, found.proved) == (f"exactly where {words}" if words else "at every size", True)


@needs_islpy
@pytest.mark.parametrize(
    ("whole", "most", "text"),
    # Of n filters in two groups, the last of a group is n/2 − 1.
    [("n", -3, "exactly where n = 2"), ("n", -1, "nowhere"), ("d", 0, "exactly where n ≥ 2d + 4")],
)
def test_a_range_up_to_the_filters_or_planes_of_all_groups_is_proved_about(whole, most, text):
    right = right_of("dX", 2, 2)
    found = circumstances(
        change(right, conditions=(only({"G.i": 1}, high=Linear.of({whole: 1}, most)),)), right, structure(2, 2)
    )
    assert found.proved
    assert found.text.partition(", if")[0] == text


NOT_LINEAR = [
    {"coefficient": Coefficient(2)},
    {"conditions": (only({"G.l": 1}, high=number(0), of="last"),)},
    {"conditions": (only({"G.l": 1}, high=Linear.of({"W'÷2": 2})),)},
    {"conditions": (only({"G.l": 1}, low=Linear.of({"min(K,L)": 1})),)},
    {"excluded": (only({"G.*": 1}, low=number(1)),)},
    {"excluded": (only({"G.l": 1}, high=number(0), of="first"),)},
]


def test_what_is_not_linear_is_not_proved_about():
    term = right_of("dX").terms[0]
    assert module._is_linear(term)
    assert module._is_linear(dataclasses.replace(term, conditions=(only({"G.l": 1}, low=number(1)),)))
    result, *others = term.views
    views = [
        dataclasses.replace(result, **each) for each in ({"order": (0, 2, 3, 1)}, {"steps": ((1, 2),)}, {"ones": True})
    ]
    equations = [eq("dX.y", {"G.l": 3}, 0, "wrap"), eq("dX.+", {"G.l": 1}), eq("dX.y", {"n·G.l": 1})]
    changes = [*NOT_LINEAR, *({"views": (each, *others)} for each in views)]
    changes += [{"equations": (*term.equations[:-1], each)} for each in equations]
    for each in changes:
        assert not module._is_linear(dataclasses.replace(term, **each)), each


@needs_islpy
@pytest.mark.parametrize(
    "words", ["a filter has more than two taps along the first axis", "a filter has more than one tap"]
)
def test_a_comparison_is_said_only_where_it_is_proved_both_ways(words):
    """Of two axes, or of more taps, it holds at more or at fewer sizes than those at which the terms differ."""
    plain = right_of("dX", options=PLAIN)
    proof = module._Proof.of(turned(plain), plain, structure())
    (predicate,) = (each for each in module._predicates(plain, plain, structure()) if each.words == words)
    assert proof.text(predicate) == "exactly where K ≥ 2"


@needs_islpy
def test_a_proof_needs_terms_of_the_same_factors_and_shape():
    right, other = right_of("dX"), right_of("S")
    of = module._Proof.of
    assert of(turned(right), right, structure()) is not None
    assert of(right, right, structure()) is None
    assert of(dataclasses.replace(right, terms=()), dataclasses.replace(right, terms=()), structure()) is None
    assert of(dataclasses.replace(turned(right), shape=right.shape[1:]), right, structure()) is None
    assert of(dataclasses.replace(other, shape=right.shape), right, structure()) is None
    assert of(change(right, coefficient=Coefficient(2)), right, structure()) is None
    assert of(summed(turned(right), right), right, structure()) is None


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("same", [False, True])
def test_what_is_taken_for_true_of_sizes_is_true(axes, groups, same):
    formula = right("S", structure(axes, groups), OPTIONS[axes], same=same)
    names, legal = module._legal(dict(formula.options), structure(axes, groups))
    some = list(itertools.islice(layers(formula, formula, structure(axes, groups)), 12))
    plain = [{name.translate(module.MARKS): size for name, size in sizes.items()} for sizes in some]
    for sizes in plain:
        assert set(names) <= set(sizes)
        assert all(holds(each, sizes) for each in legal)
    # Each image, tap and response is at least 1; a pixel more is no layer with the same tail.
    given = ("tail", "before", "after", "g") if groups == 1 else ("tail", "before", "after", "g", "d", "n")
    counts = {"d_of_g", "n_of_g"} & set(names)
    assert all(f"{name} ≥ 1" in legal for name in names if name in counts or not name.startswith(given))
    for image, _, _ in SIZES[axes]:
        for name, by in ((image, 1), (f"tail_{image}", -4), (f"tail_{image}", 4), (f"before_{image}", 9)):
            assert not all(holds(each, plain[0] | {name: plain[0][name] + by}) for each in legal)
        # The zeros may not be moved from behind to before.
        moved = {f"{side}_{image}": plain[0][f"{side}_{image}"] + by for side, by in (("before", 1), ("after", -1))}
        assert not all(holds(each, plain[0] | moved) for each in legal)


def holds(condition, sizes):
    """Whether comparisons of sums are so."""
    parts = re.split(r" ([≤<≥=]) ", condition)
    values = [value(each, sizes) for each in parts[::2]]
    compared = {"≤": lambda a, b: a <= b, "<": lambda a, b: a < b, "≥": lambda a, b: a >= b, "=": lambda a, b: a == b}
    return all(compared[sign](*pair) for sign, pair in zip(parts[1::2], itertools.pairwise(values), strict=True))


def value(form, sizes):
    """A sum of numbers times names."""
    total = 0
    for sign, text in re.findall(r"([−+]?) ?([^ −+][^ ]*|-\d+)", form.replace("+ -", "− ")):
        by, _, name = text.rpartition("·")
        number = int(name) if name.lstrip("-").isdigit() else sizes[name]
        total += (-1 if sign == "−" else 1) * (int(by) if by else 1) * number
    return total


@needs_islpy
def test_a_right_formula_differs_nowhere():
    right = right_of("dF", options=STRIDED)
    other = change(right, eq("dF.b", {"X.x": 1, "G.m": -1}), free=("X.x",))
    assert circumstances(other, right, structure()).differing == 0
    assert circumstances(other, right, structure()).text == "nowhere"


@needs_islpy
def test_a_lost_row_is_wrong_at_every_size():
    right = right_of("dX", options=PLAIN)
    found = circumstances(change(right, conditions=(only({"G.l": 1}, high=size("H'", -2)),)), right, structure())
    assert (found.text, found.proved, found.differing) == ("at every size", True, found.layers)


@needs_islpy
def test_groups_are_named():
    right = right_of("dX", groups=2, options=PLAIN)
    found = circumstances(change(right, eq("F.k"), free=("dX.k",)), right, structure(groups=2))
    assert (found.text, found.proved) == ("exactly where there is more than one plane in a group", True)


@needs_islpy
def test_layers_that_read_padding_alone_are_set_apart():
    right = right_of("dX", options=OPTIONS[2])
    found = circumstances(change(right, eq("F.k"), free=("dX.k",)), right, structure())
    assert found.text.startswith("exactly where there is more than one plane, if ")
    assert found.proved


def test_without_the_library_what_was_evaluated_is_said(monkeypatch):
    monkeypatch.setattr(prove, "available", lambda: False)
    right = right_of("dX", options=PLAIN)
    found = circumstances(turned(right), right, structure())
    assert found.text == "exactly where a filter has more than one tap along the first axis"
    assert not found.proved
    assert str(found.layers) in str(found)


def test_where_no_comparison_holds_exactly_nothing_is_said():
    right = right_of("dX", options=OPTIONS[2])
    found = circumstances(change(right, conditions=(only({"G.l": 1}, high=number(0), of="last"),)), right, structure())
    assert found.text == ""
    assert 0 < found.differing < found.layers


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_layers_are_what_a_geometry_of_their_sizes_is(axes, groups):
    options, found = OPTIONS[axes], []
    right = right_of("S", axes, groups)
    images, taps = (("D", "H", "W")[3 - axes :], "KLM"[:axes])
    for sizes in itertools.islice(layers(right, right, structure(axes, groups)), 40):
        geometry = Geometry(
            (sizes["d"], *(sizes[each] for each in images)),
            (sizes["n"], sizes["d/g"], *(sizes[each] for each in taps)),
            stride=options.stride,
            dilation=options.dilation,
            padding=options.padding,
            groups=groups,
        )
        assert sizes_of(Layer(geometry, sizes["N"])) == sizes
        found.append(tuple(sizes.values()))
    assert len(set(found)) == 40


def test_sizes_tell_axes_apart_and_blocks_are_whole_at_some():
    right = right_of("dX", options=STRIDED)
    wrong = change(right, conditions=(only({"G.m": 1}, high=Linear.of({"W'÷8": 8}, -1)),))
    found = list(layers(wrong, right, structure()))
    assert {(each["K"] > 1, each["L"] > 1, each["tail(H)"] > 0) for each in found} == set(
        itertools.product((False, True), repeat=3)
    )
    assert {each["W'"] % 8 == 0 for each in found} == {False, True}


@needs_islpy
def test_a_hole_is_proved_about():
    right = right_of("S", options=PLAIN)
    hole = only({"X.x": 1, "F.b": -1}, low=number(0), high=size("W'", -1))
    found = circumstances(change(right, excluded=(hole,)), right, structure())
    assert found.proved
    assert "every size" in found.text
