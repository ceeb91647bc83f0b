"""Formulas on one line."""

import dataclasses

import pytest

from jacobians.formula.normal import aligned, joined, solved
from jacobians.formula.relation import Coefficient, Linear
from jacobians.formula.writing import beside, marked, write
from tests.formula.wrong import PLAIN, alone, change, eq, number, only, right_of, size, summed

DX, S, DF = (right_of(result, options=PLAIN) for result in ("dX", "S", "dF"))
GROUPS = right_of("dX", groups=2, options=PLAIN)


@pytest.mark.parametrize(
    ("formula", "line"),
    [
        (right_of("dX"), "∂l/∂X[k, y, x] = Σ G[i, l, m] · F[i, k, a, b]   over  y = 3l + 2a − 2,  x = 2m + 5b − 3"),
        (
            right_of("S", 1, bias=True),
            "S[i, l] = Σ X[k, y] · F[i, k, a] + b[i]   over  y = 3l + 2a − 2",
        ),
        (right_of("db"), "∂l/∂b[i] = Σ G[i, l, m]"),
        (
            right_of("dF", 3, options=None),
            "∂l/∂F[i, k, a, b, c] = Σ G[i, l, m, o] · X[k, y, x, w]   over  y = 3l + a − 2,  x = 2m + b − 3,"
            "  w = o + 2c",
        ),
    ],
)
def test_right_formulas_stand_as_in_the_lecture(formula, line):
    assert write(formula) == line


# What is wrong, and what is written for it.
PARTS = [
    (change(DX, eq("dX.y", {"G.l": 1, "F.a": -1, "K": 1}, -1)), "y = l − a + K − 1"),
    (change(DX, eq("dX.y", {"G.l": -1, "F.a": -1, "H": 1}, -1)), "y = H − 1 − l − a"),
    (change(S, eq("X.k", {"F.k": -1, "d": 1}, -1)), "X[d − 1 − k, y, x]"),
    (change(S, eq("X.k")), "X[0, y, x]"),
    (change(S, eq("X.k", {"S.i": 1})), "X[i, y, x] · F[i, k, a, b]"),
    (change(DX, eq("F.i", {"G.i": 1}, 1, "wrap")), "F[(i + 1) mod n, k, a, b]"),
    (change(S, eq("X.n")), "S[n, i, l, m] = Σ X[0, k, y, x] · F[i, k, a, b]"),
    (change(DX, free=("F.i",)), "G[i', l, m] · F[i, k, a, b]"),
    (change(DX, eq("F.a")), "F[i, k, 0, b]   over  y = l,  x = m + b"),
    (change(S, eq("X.y", {"S.l": 1, "F.a": 1}, -1, "wrap")), "y = (l + a − 1) mod H"),
    (change(S, eq("X.y", {"S.l": 1, "F.a": 1}, -1, "clamp")), "y = l + a − 1 clamped to 0 … H − 1"),
    (change(S, eq("X.y", {"S.l": 1, "F.a": 1}, -1, "reflect")), "reflected at 0 and H − 1"),
    (change(S, eq("X.y", {"S.l": 1, "F.a": 1}, -1, "clamp before")), "clamped to 0 … H − 1, if below 0"),
    (change(S, eq("X.n", {"S.n": 1}, 0, "mod 2")), "X[n mod 2, k, y, x]"),
    (change(DX, conditions=(only({"G.*": 1}, high=number(0), of="last"),)), "for  only the last flat(l, m)"),
    (change(DX, conditions=(only({"G.m": 1}, high=Linear.of({"W'÷8": 8}, -1)),)), "for  m ≤ 8·(W'÷8) − 1"),
    (change(DX, conditions=(only({"G.l": 1}, high=number(0), of="last"),)), "for  only the last l"),
    (change(DX, conditions=(only({"G.l": 1}, number(0), number(0), 2),)), "for  l mod 2 = 0"),
    (
        change(DX, conditions=(only({"G.l": 1}, low=number(1)), only({"G.l": 1}, high=size("H'", -2)))),
        "for  1 ≤ l ≤ H' − 2",
    ),
    (change(DX, excluded=(only({"F.a": 1}, number(0), number(0)),)), "except  a = 0"),
    (change(DX, coefficient=Coefficient(2)), "= 2·Σ G"),
    (change(DX, coefficient=Coefficient(-1)), "= −Σ G"),
    (change(DX, coefficient=Coefficient(1, (("H'", -1), ("W'", -1)))), "= 1/(H'·W')·Σ G"),
    (change(DX, coefficient=Coefficient(1, (), (("dX.y", -1), ("dX.x", -1)))), "F[i, k, a, b] / windows(y, x)"),
    (dataclasses.replace(S, shape=(*S.shape[:2], size("H'", -1), S.shape[3])), "of size (N, n, H' − 1, W')"),
    (dataclasses.replace(S, terms=()), "S = 0"),
    (
        summed(DF, alone("dF", "F", [eq(f"F.{each}", {f"dF.{each}": 1}) for each in "ikab"])),
        "+ F[i, k, a, b]   over  y = l + a",
    ),
    (summed(S, alone("S", "", coefficient=Coefficient(3))), "+ 3   over"),
    (summed(S, change(S, eq("X.y"))), "(Σ X[k, y, x] · F[i, k, a, b]   over  y = l + a,  x = m + b) + (Σ"),
    (change(GROUPS, eq("F.g")), "∂l/∂X[g, k, y, x] = Σ G[g, i, l, m] · F[0, i, k, a, b]"),
]


@pytest.mark.parametrize(("formula", "part"), PARTS, ids=[part for _, part in PARTS])
def test_what_is_wrong_is_written(formula, part):
    assert part in write(formula)


def test_views_say_in_which_order_memory_is_read():
    views = tuple(
        dataclasses.replace(each, order=(0, 2, 3, 1)) if each.tensor.letter == "F" else each
        for each in DX.terms[0].views
    )
    assert write(change(DX, views=views)).endswith("F read as (i, a, b, k)")


def test_an_index_that_is_called_like_a_size_gets_a_prime():
    read = change(DF, eq("X.n", {"G.n": -1, "N": 1}, -1), conditions=(only({"G.i": 1}, high=size("n", -2)),))
    line = write(read)
    assert "G[n', i, l, m] · X[N − 1 − n', k, y, x]" in line
    assert "i ≤ n − 2" in line


def test_both_lines_show_the_same_indices():
    read, right = beside(change(S, eq("X.n")), S)
    assert read.partition(" = ")[0] == right.partition(" = ")[0] == "S[n, i, l, m]"


def test_text_is_ascii_and_latex_has_no_signs_of_unicode():
    read = change(
        DX,
        eq("dX.y", {"G.l": 1, "F.a": -1, "K": 1}, -1),
        conditions=(only({"G.m": 1}, high=Linear.of({"W'÷8": 8}, -1)),),
        coefficient=Coefficient(-1, (("N", -1),)),
    )
    assert write(read, "text").isascii()
    assert "dl/dX[k, y, x] = -1/N*sum G[i, l, m] * F[i, k, a, b]" in write(read, "text")
    latex = write(read, "latex")
    assert latex.isascii()
    assert r"\frac{\partial l}{\partial X}_{k, y, x}" in latex
    assert r"\lfloor W'/8 \rfloor" in latex
    assert latex.count("{") == latex.count("}")


def test_lines_are_aligned_and_what_differs_is_marked():
    wrong = change(DX, eq("dX.y", {"G.l": 1, "F.a": -1, "K": 1}, -1))
    code, right, marks = marked(*beside(wrong, DX))
    assert code.index("x = m + b") == right.index("x = m + b")
    assert {code[at] for at, mark in enumerate(marks) if mark == "^"} == set("− a + K − 1")
    assert all(one == two for one, two, mark in zip(code, right, marks, strict=False) if mark == " ")


def test_equal_lines_have_no_marks():
    assert marked(write(S), write(S)) == (write(S), write(S), "")


# The normal form ------------------------------------------------------------------------------------------------------


def test_a_formula_that_is_solved_for_taps_is_written_with_pixels():
    other = change(DF, eq("dF.a", {"X.y": 1, "G.l": -1}), eq("dF.b", {"X.x": 1, "G.m": -1}), free=("X.y", "X.x"))
    assert write(other) == write(DF)


@pytest.mark.parametrize("result", ["S", "dX", "dF", "db"])
def test_a_solved_term_has_the_same_products(result):
    sizes = {"N": 2, "d": 2, "n": 3, "g": 1, "H": 5, "W": 4, "K": 2, "L": 3, "H'": 4, "W'": 2, "d/g": 2, "n/g": 3}
    term = right_of(result, options=PLAIN).terms[0]
    one, two = (each.products(sizes)[0] for each in (term, solved(term)))
    assert sorted(zip(*one.tolist(), strict=True)) == sorted(zip(*two.tolist(), strict=True))


def test_equations_that_hold_in_both_are_no_difference():
    missing, other, further = aligned(solved(change(DX, eq("F.a")).terms[0]), solved(DX.terms[0]), {})
    assert (missing, other) == ([], [])
    assert [each.index for each in further] == ["F.a"]


def test_limits_of_one_form_are_one_range():
    (found,) = joined([only({"G.l": -1}, high=number(-1)), only({"G.l": 1}, high=size("H'", -2))])
    assert found == only({"G.l": 1}, number(1), size("H'", -2))
