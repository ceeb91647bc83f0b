"""Each atom is read off a formula that differs in just that."""

import dataclasses

import numpy as np
import pytest

from jacobians import Geometry
from jacobians.formula.atoms import ATOMS, atoms
from jacobians.formula.reading import formula_of
from jacobians.formula.relation import PAIRS, Coefficient, Linear
from jacobians.formula.structure import right
from jacobians.formula.words import explain
from tests.formula.wrong import (
    OPTIONS,
    PLAIN,
    alone,
    change,
    eq,
    number,
    only,
    right_of,
    size,
    structure,
    summed,
)

DX, S, DF, DB = right_of("dX"), right_of("S"), right_of("dF"), right_of("db")
GROUPS, BIASED = right_of("dX", groups=2), right_of("S", bias=True)
# Wrong formulas by hand: stride (3, 2), dilation (2, 5), padding (2, 1) and (3, 4).
WRONG = {
    "filter-not-rotated": (change(DX, eq("dX.y", {"G.l": 3, "F.a": -2, "K": 2}, -4)), DX),
    "filter-turned": (change(S, eq("X.x", {"S.m": 2, "F.b": -5, "L": 5}, -8)), S),
    "response-turned": (change(DX, eq("dX.y", {"G.l": -3, "F.a": 2, "H'": 3}, -5)), DX),
    "image-turned": (change(S, eq("X.y", {"S.l": -3, "F.a": -2, "H": 1}, 1)), S),
    "axes-exchanged": (
        change(DX, eq("dX.y", {"G.l": 3, "F.b": 2}, -2), eq("dX.x", {"G.m": 2, "F.a": 5}, -3)),
        DX,
    ),
    "axis-borrowed": (change(DX, eq("dX.y", {"G.l": 3, "F.b": 2}, -2)), DX),
    "step-ignored": (change(DX, eq("dX.y", {"G.l": 1, "F.a": 2}, -2)), DX),
    "step-of-other-axis": (change(DF, eq("X.y", {"G.l": 2, "dF.a": 2}, -2)), DF),
    "options-exchanged": (
        change(DF, eq("X.y", {"G.l": 2, "dF.a": 2}, -2), eq("X.x", {"G.m": 3, "dF.b": 5}, -3)),
        DF,
    ),
    "steps-exchanged": (change(S, eq("X.y", {"S.l": 2, "F.a": 3}, -2)), S),
    "step-of-other-kind": (change(S, eq("X.x", {"S.m": 5, "F.b": 5}, -3)), S),
    "step-wrong": (change(S, eq("X.x", {"S.m": 7, "F.b": 5}, -3)), S),
    "step-missing": (change(S, eq("X.x", {"S.m": 2}, -3)), S),
    "padding-ignored": (change(DX, eq("dX.x", {"G.m": 2, "F.b": 5})), DX),
    "padding-after": (change(DX, eq("dX.x", {"G.m": 2, "F.b": 5}, -4)), DX),
    "padding-twice": (change(DX, eq("dX.x", {"G.m": 2, "F.b": 5}, -6)), DX),
    "padding-added": (change(DX, eq("dX.x", {"G.m": 2, "F.b": 5}, 3)), DX),
    "offset": (change(DX, eq("dX.x", {"G.m": 2, "F.b": 5, "L": 1}, -4)), DX),
    "index-constant": (change(DX, eq("F.i")), DX),
    "index-shifted": (change(DX, eq("F.i", {"G.i": 1}, 1, "wrap")), DX),
    "index-reversed": (change(S, eq("X.k", {"F.k": -1, "d": 1}, -1)), S),
    "index-summed": (change(DF, free=("X.n",)), DF),
    "index-borrowed": (change(S, eq("X.k", {"S.i": 1})), S),
    "bias-axis": (change(BIASED, eq("b.i", {"S.m": 1}, 0, "wrap"), term=1), BIASED),
    "bias-gradient-axis": (
        dataclasses.replace(change(DB, eq("db.i", {"G.l": 1})), shape=(size("H'"),)),
        DB,
    ),
    "border": (change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "wrap")), S),
    "first-lost": (change(DX, conditions=(only({"G.l": 1}, low=number(1)),)), DX),
    "last-lost": (change(DX, conditions=(only({"G.l": 1}, high=size("H'", -2)),)), DX),
    "remainder-lost": (change(DX, conditions=(only({"G.m": 1}, high=Linear.of({"W'÷8": 8}, -1)),)), DX),
    "some-lost": (change(DX, conditions=(only({"F.a": 1, "F.b": -1}, high=number(0)),)), DX),
    "hole": (change(DX, excluded=(only({"F.a": 1}, high=number(0)), only({"F.b": 1}, high=number(0)))), DX),
    "one-product": (change(DF, conditions=(only({"G.l": 1}, high=number(0), of="last"),)), DF),
    "sign": (change(DF, coefficient=Coefficient(-1)), DF),
    "factor": (change(DF, coefficient=Coefficient(2)), DF),
    "size-factor": (change(DF, coefficient=Coefficient(1, (("N", -1),))), DF),
    "count-factor": (change(DX, coefficient=Coefficient(1, (), (("dX.y", -1), ("dX.x", -1)))), DX),
    "factor-missing": (alone("dX", "G", (eq("dX.n", {"G.n": 1}),)), DX),
    "bias-missing": (S, BIASED),
    "products-missing": (alone("S", "b", (eq("b.i", {"S.i": 1}),)), BIASED),
    "other-sum": (alone("dX", "X", [eq(f"X.{each}", {f"dX.{each}": 1}) for each in "nkyx"]), DX),
    "zero": (dataclasses.replace(DX, terms=()), DX),
    "decay": (summed(DF, alone("dF", "F", [eq(f"F.{each}", {f"dF.{each}": 1}) for each in "ikab"])), DF),
    "array-added": (summed(DX, alone("dX", "X", [eq(f"X.{each}", {f"dX.{each}": 1}) for each in "nkyx"])), DX),
    "constant-added": (summed(S, alone("S", "")), S),
    "counted-again": (summed(DX, change(DX, eq("G.n"), eq("dX.n"))), DX),
    "size-without-tail": (
        dataclasses.replace(DX, shape=(*DX.shape[:2], Linear.of({"H": 1, "tail(H)": -1}), DX.shape[3])),
        DX,
    ),
    "size-off": (dataclasses.replace(S, shape=(*S.shape[:3], size("W'", -1))), S),
    "images-apart": (dataclasses.replace(DF, shape=(size("N"), *DF.shape)), DF),
    "axes-count": (dataclasses.replace(DF, shape=DF.shape[1:]), DF),
    "another-relation": (
        change(
            DX,
            eq("dX.y", {"G.l": -1, "F.a": 3, "H'": 1}),
            eq("dX.x", {"G.m": 1, "F.b": -1, "N": 1}),
            eq("F.i"),
            eq("G.n", {"dX.n": 1}, 1, "wrap"),
            free=("dX.n",),
            conditions=(only({"G.l": 1}, low=number(1)), only({"F.a": 1, "F.b": -1}, high=number(0))),
            coefficient=Coefficient(2),
        ),
        DX,
    ),
    "otherwise": (change(DX, eq("dX.y", {"G.l": 3, "F.a": 2, "G.m": 1}, -2)), DX),
    "otherwise-added": (summed(S, change(S, eq("X.y", {"S.l": 3}))), S),
}


def reordered(formula, letter, order, *, written=False):
    views = [
        dataclasses.replace(view, order=order, written=written) if view.tensor.letter == letter else view
        for view in formula.terms[0].views
    ]
    return change(formula, views=tuple(views))


def stepped(step):
    return change(DX, views=(*DX.terms[0].views[:2], dataclasses.replace(DX.terms[0].views[2], steps=((2, step),))))


WRONG["in-steps"] = stepped(2), DX
WRONG["neighbours-exchanged"] = stepped(PAIRS), DX
WRONG["order"] = reordered(DX, "F", (0, 2, 3, 1)), DX
WRONG["groups-interleaved"] = reordered(GROUPS, "G", (0, 2, 1, 3, 4)), GROUPS
GROUPED = right_of("S", groups=2)
WRONG["index-mapped"] = change(GROUPED, eq("X.+", {"n/g·S.g": 1, "F.k": 1}, 0, "wrap"), free=("X.g", "X.k")), GROUPED


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_difference_is_called_by_its_name_alone(name):
    found = explain(*WRONG[name])
    assert found.atoms == (name,)
    assert found.cures == (ATOMS[name].cured(),)
    assert "{" not in found.title


def test_a_hole_behind_the_last_block_is_what_remains():
    hole = (only({"G.m": 1}, low=Linear.of({"W'÷4": 4})), only({"G.m": 1}, low=number(3)))
    found = explain(change(DX, excluded=hole), DX)
    assert found.atoms == ("remainder-lost",)
    assert "blocks of 4" in found.title
    assert "m ≥ 3" in found.title


def test_every_atom_has_a_formula_that_it_is_read_from():
    assert {each.name for each in atoms()} == set(WRONG)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("result", ["S", "dX", "dF", "db"])
def test_a_right_formula_has_no_atoms(result, axes, groups):
    wanted = right_of(result, axes, groups, bias=result == "S")
    assert explain(wanted, wanted).atoms == ()


def test_a_right_formula_that_is_solved_for_other_indices_has_no_atoms():
    other = change(
        right_of("dF", options=PLAIN),
        eq("dF.a", {"X.y": 1, "G.l": -1}),
        eq("G.m", {"X.x": 1, "dF.b": -1}),
        free=("X.y", "X.x"),
    )
    assert explain(other, right_of("dF", options=PLAIN)).atoms == ()


def test_a_constant_that_is_written_with_other_sizes_is_the_same():
    # H is 3·(H' − 1) + 2·(K − 1) + 1 + tail − 2 − 1, so that this is 0.
    nothing = Linear.of({"H": 1, "H'": -3, "K": -2, "tail(H)": -1}, 7)
    wanted = DX.terms[0].equations[-2].value
    read = change(DX, eq("dX.y", dict((*wanted.terms, *nothing.terms)), wanted.constant + nothing.constant))
    assert explain(read, DX).atoms == ()


PAIRS = [
    ("filter-not-rotated", eq("dX.y", {"G.l": 2, "F.a": -2, "K": 2}, -4), "step-of-other-axis"),
    ("filter-not-rotated", eq("dX.y", {"G.l": 3, "F.a": -2, "K": 2}, 3), "offset"),
    ("step-ignored", eq("dX.y", {"G.l": 1, "F.a": 2}), "padding-ignored"),
    ("response-turned", eq("dX.y", {"G.l": -3, "F.a": 1, "H'": 3}, -5), "step-ignored"),
]


@pytest.mark.parametrize(("one", "equation", "two"), PAIRS)
def test_two_mistakes_in_one_equation_are_two_atoms(one, equation, two):
    assert set(explain(change(DX, equation), DX).atoms) == {one, two}


def test_planes_that_the_result_does_not_have_are_named_by_their_axis():
    read = dataclasses.replace(DX, shape=(DX.shape[0], size("d", -1), *DX.shape[2:]))
    assert "along axis 1 is d − 1" in explain(read, DX).title


def test_a_border_is_folded_on_one_side():
    before, both = (
        explain(change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, fold)), S) for fold in ("wrap before", "wrap")
    )
    assert before.atoms == both.atoms == ("border",)
    assert "before the image" in before.title


def test_an_index_of_the_result_that_is_shifted_is_said_to_be():
    assert explain(change(DX, eq("dX.n", {"G.n": 1}, -1, "wrap")), DX).atoms == ("index-shifted",)


def test_the_last_of_all_responses_is_one_product():
    read = change(DF, conditions=(only({"G.*": 1}, high=number(0), of="last"),))
    found = explain(read, DF)
    assert found.atoms == ("one-product",)
    assert "the last response of G" in found.title


@pytest.mark.parametrize("moved", [False, True])
def test_the_axes_of_the_image_are_exchanged_with_or_without_the_options(moved):
    y, x = ((2, 5, 3), (3, 2, 2)) if moved else ((3, 2, 2), (2, 5, 3))
    read = change(
        DX,
        eq("dX.y", {"G.m": y[0], "F.b": y[1]}, -y[2]),
        eq("dX.x", {"G.l": x[0], "F.a": x[1]}, -x[2]),
    )
    found = explain(read, DX)
    assert found.atoms == ("axes-exchanged",)
    assert len(found.causes) == 1
    assert "the first and the second axis of ∂l/∂X" in found.title


def test_a_negative_step_is_nothing_turned_over():
    assert explain(change(DX, eq("dX.y", {"G.l": -3, "F.a": 2}, -2)), DX).atoms == ("step-wrong",)


def test_options_of_two_axes_are_exchanged_also_where_one_of_them_is_1():
    right = right_of("S", options=Geometry((2, 20, 21), (2, 2, 2, 3), stride=(2, 1), padding=((0, 0), (1, 1))))
    read = change(right, eq("X.y", {"S.l": 1, "F.a": 1}, -1), eq("X.x", {"S.m": 2, "F.b": 1}))
    found = explain(read, right)
    assert found.atoms == ("options-exchanged",)
    assert [each.split()[1] for each in found.causes] == ["strides", "paddings"]
    assert all("the first and the second axis" in each for each in found.causes)


def test_what_is_right_of_a_group_index_is_not_said_to_be_wrong():
    right = right_of("dF", groups=2)
    read = change(right, eq("dF.g"), eq("X.g", {"G.g": 1}), free=("G.g",))
    assert explain(read, right).atoms == ("index-constant",)


def test_mistakes_in_different_parts_of_a_formula_are_all_said():
    read = change(
        DX,
        eq("F.k", {"dX.k": -1, "d": 1}, -1),
        free=("dX.k",),
        conditions=(only({"G.l": 1}, high=size("H'", -2)),),
        coefficient=Coefficient(2),
    )
    found = explain(read, DX)
    assert set(found.atoms) == {"index-reversed", "last-lost", "factor"}
    assert found.title.count(", and ") == 2


def test_the_filter_is_not_rotated_along_all_axes_or_along_one():
    one = explain(*WRONG["filter-not-rotated"])
    both = change(WRONG["filter-not-rotated"][0], eq("dX.x", {"G.m": 2, "F.b": -5, "L": 5}, -8))
    assert "180°" not in one.title
    assert "first axis" in one.title
    assert explain(both, DX).causes == (ATOMS["filter-not-rotated"].everywhere,)


def test_what_no_atom_describes_is_said_as_it_stands():
    found = explain(*WRONG["otherwise"])
    assert found.title.count("y = 3l + ") == 2
    assert "3l + 2a − 2" in found.title


def test_exchanged_indices_are_not_said_to_be_summed():
    read = change(DF, eq("dF.i", {"X.k": 1}, 0, "wrap"), eq("dF.k", {"G.i": 1}, 0, "wrap"), free=("G.i", "X.k"))
    assert explain(read, DF).atoms == ("index-borrowed",)


# Code -----------------------------------------------------------------------------------------------------------------


def responses(X, F, *, turned=False, lost=0, first_plane=False, number=1):
    """A convolution on one axis with stride 2, and what may be wrong with it."""
    taps = F[..., ::-1] if turned else F
    X = X[:, :1].repeat(X.shape[1], axis=1) if first_plane else X
    out = (X.shape[2] - F.shape[2]) // 2 + 1
    S = np.zeros((len(X), len(F), out))
    for l in range(out - lost):
        S[:, :, l] = number * np.einsum("nka,ika->ni", X[:, :, 2 * l : 2 * l + F.shape[2]], taps)
    return S


CODE = {
    "filter-turned": {"turned": True},
    "last-lost": {"lost": 1},
    "index-constant": {"first_plane": True},
    "factor": {"number": 2},
}


@pytest.mark.parametrize("names", [(), *[(each,) for each in CODE], ("filter-turned", "factor")])
def test_mistakes_are_read_off_code(names):
    wrong = {key: value for name in names for key, value in CODE[name].items()}

    def call(layer, arrays):
        X, F = (arrays.get(letter, np.zeros(layer.shapes[letter])) for letter in "XF")
        return responses(X, F, **wrong)

    def options(image, filters):
        return Geometry(image, filters, stride=2)

    read = formula_of(call, "S", structure(1), options, "float64")
    assert set(explain(read, right("S", structure(1), options((2, 9), (1, 2, 3)))).atoms) == set(names)


def test_the_options_of_the_hand_made_formulas_differ_from_one_another():
    geometry = OPTIONS[2]
    assert len({*geometry.stride, *geometry.dilation}) == 3
    assert len({zeros for pair in geometry.padding for zeros in pair}) == 4
