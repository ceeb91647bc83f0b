"""Where two formulas differ."""

import dataclasses
import itertools

import pytest

from jacobians import Geometry
from jacobians.formula import prove
from jacobians.formula.circumstances import circumstances, layers
from jacobians.formula.relation import Coefficient, Linear
from jacobians.formula.structure import Layer, sizes_of
from tests.formula.wrong import OPTIONS, PLAIN, change, eq, number, only, right_of, size, structure

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


@needs_islpy
@pytest.mark.parametrize(("wrong", "options", "words", "proved"), WHERE, ids=[words for _, _, words, _ in WHERE])
def test_where_is_said_and_proved_where_it_can_be(wrong, options, words, proved):
    right = right_of("dX", options=options)
    found = circumstances(wrong(right), right, structure())
    alike = {words, words.replace(" along the first axis", "")} if options is STRIDED and not proved else {words}
    assert found.text in {f"exactly where {each}" for each in alike}
    assert found.proved is proved
    assert 0 < found.differing < found.layers


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
