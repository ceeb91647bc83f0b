"""What is said of a difference, in its facts: which array, which index and axis, which number, from the other side.

The sentences are those of the atoms; a row holds what fills them, in their order, as it follows from the two formulas.
"""

import dataclasses
import itertools
import re
from fractions import Fraction

import numpy as np
import pytest

from jacobians import Geometry
from jacobians.formula.atoms import ATOMS
from jacobians.formula.circumstances import layers
from jacobians.formula.layouts import parse
from jacobians.formula.relation import Coefficient, Linear
from jacobians.formula.structure import SIZES, right
from jacobians.formula.words import explain, known_sizes
from tests.formula.test_words import BIASED, DB, DF, DX, GROUPS, WRONG, S, reordered
from tests.formula.wrong import OPTIONS, alone, change, eq, number, only, right_of, size, structure, summed

S1, S3, DX3, DF3 = right_of("S", 1), right_of("S", 3), right_of("dX", 3), right_of("dF", 3)
DFG, DXG, SG, DBG = (right_of(each, groups=2) for each in ("dF", "dX", "S", "db"))
BG = right_of("S", groups=2, bias=True)
STEPPED = right_of("S", 3, options=Geometry((2, 40, 41, 42), (2, 2, 2, 3, 2), stride=(3, 2, 5)))


def stepped(*steps):
    """∂l/∂X, where F is taken in these steps."""
    result, F, G = DX.terms[0].views
    return change(DX, views=(result, F, dataclasses.replace(G, steps=steps)))


NAMED = {
    "filter-not-rotated": ("the first axis",),
    "filter-turned": ("the filter", "the second axis"),
    "response-turned": ("G", "the first axis"),
    "image-turned": ("X", "the first axis"),
    "axes-exchanged": ("the first and the second axis", "F"),
    "axis-borrowed": ("tap", "the second axis", "the first axis"),
    "step-ignored": ("stride", "the first axis"),
    "step-of-other-axis": ("stride", "the second axis", "the first axis"),
    "options-exchanged": ("stride", "the first and the second axis"),
    "steps-exchanged": ("the first axis",),
    "step-of-other-kind": ("dilation", "stride", "the second axis"),
    "step-wrong": ("stride", "the second axis", "7", "2"),
    "step-missing": ("tap", "the second axis"),
    "padding-ignored": ("the second axis",),
    "padding-after": ("the second axis",),
    "padding-twice": ("the second axis",),
    "padding-added": ("the second axis",),
    "offset": ("the second axis", "L − 1", "large"),
    "index-constant": ("the first filter of F", "used"),
    "index-shifted": ("the filters", "F", "1, cyclically"),
    "index-reversed": ("the planes", "X"),
    "index-summed": ("image", "X", "image of G"),
    "index-borrowed": ("the response maps of S", "the planes", "X"),
    "bias-axis": ("the columns of S, counted modulo their number",),
    "bias-gradient-axis": ("row",),
    "border": ("beyond the border", "taken from the other end", "the first axis"),
    "first-lost": ("the first row of G", "is left out"),
    "last-lost": ("the last row of G", "is left out"),
    "remainder-lost": ("the columns", "G", "8", "are left out"),
    "some-lost": ("a − b ≤ 0",),
    "hole": ("a ≤ 0 and b ≤ 0",),
    "one-product": ("last", "row of G"),
    "sign": ("every product",),
    "factor": ("2",),
    "size-factor": ("divided", "by N"),
    "count-factor": ("divided by", "windows"),
    "factor-missing": ("F",),
    "bias-missing": (),
    "products-missing": ("F and X",),
    "other-sum": ("X[k, y, x]", "F and G"),
    "zero": (),
    "decay": ("", "F"),
    "array-added": ("", "X"),
    "constant-added": ("1",),
    "counted-again": (" for n = 0",),
    "size-without-tail": ("the first axis",),
    "size-off": ("the second axis", "W' − 1", "W'"),
    "images-apart": ("∂l/∂F",),
    "axes-count": ("3", "4"),
    "another-relation": (),
    "otherwise": ("y = 3l + m + 2a − 2 instead of y = 3l + 2a − 2",),
    "otherwise-added": ("Σ X[k, y, x] · F[i, k, a, b]   over  y = 3l,  x = 2m + 5b − 3",),
    "in-steps": ("the rows of G", "0, 2, 4, … come first, then 1, 3, 5, …"),
    "neighbours-exchanged": ("the rows of G", "in pairs"),
    "order": ("F", "read", "i, a, b, k"),
    "groups-interleaved": ("G",),
    "index-mapped": ("the planes", "X", "(n/g)·g of S + k of F, modulo d,", "(d/g)·g of S + k of F"),
}
SAID = [
    (change(S1, eq("X.y", {"S.l": 3, "F.a": -2, "K": 2}, -4)), S1, (("filter-turned everywhere", "the filter"),)),
    (
        change(S1, conditions=(only({"S.l": 1}, low=number(2)),)),
        S1,
        (("first-lost", "the first 2 responses of S", "stay 0"),),
    ),
    (
        change(S3, eq("X.w", {"S.o": 1, "F.c": -2, "M": 2}, -2)),
        S3,
        (("filter-turned", "the filter", "the third axis"),),
    ),
    (
        change(S3, eq("X.y", {"S.l": 3, "F.a": -1, "K": 1}, -3), eq("X.w", {"S.o": 1, "F.c": -2, "M": 2}, -2)),
        S3,
        (("filter-turned", "the filter", "the first and the third axis"),),
    ),
    (
        change(
            S3,
            eq("X.y", {"S.l": 3, "F.a": -1, "K": 1}, -3),
            eq("X.x", {"S.m": 2, "F.b": -1, "L": 1}, -4),
            eq("X.w", {"S.o": 1, "F.c": -2, "M": 2}, -2),
        ),
        S3,
        (("filter-turned everywhere", "the filter"),),
    ),
    (
        change(S3, eq("X.y", {"S.l": 2, "F.a": 1}, -2), eq("X.x", {"S.m": 3, "F.b": 1}, -3)),
        S3,
        (("options-exchanged", "stride", "the first and the second axis"),),
    ),
    (
        change(S3, eq("X.y", {"S.l": 1, "F.a": 1}, -2), eq("X.w", {"S.o": 3, "F.c": 2})),
        S3,
        (("options-exchanged", "stride", "the first and the third axis"),),
    ),
    (
        change(S3, eq("X.y", {"S.l": 3, "F.a": 1}, -3)),
        S3,
        (("step-of-other-axis", "padding", "the second axis", "the first axis"),),
    ),
    (
        change(S3, eq("X.y", {"S.l": 3, "F.a": 1}, -3), eq("X.x", {"S.m": 2, "F.b": 1}, -2)),
        S3,
        (("options-exchanged", "padding", "the first and the second axis"),),
    ),
    (
        change(S3, eq("X.y", {"S.l": 3, "F.a": 1}), eq("X.w", {"S.o": 1, "F.c": 2}, -2)),
        S3,
        (("options-exchanged", "padding", "the first and the third axis"),),
    ),
    (
        change(
            S3,
            eq("X.y", {"S.l": 3, "F.a": 1}, -3),
            eq("X.x", {"S.m": 2, "F.b": 1}, 0),
            eq("X.w", {"S.o": 1, "F.c": 2}, -2),
        ),
        S3,
        (
            ("step-of-other-axis", "padding", "the second axis", "the first axis"),
            ("padding-ignored", "the second axis"),
            ("step-of-other-axis", "padding", "the first axis", "the third axis"),
        ),
    ),
    (
        change(S3, eq("X.y", {"S.o": 3, "F.a": 1}, -2)),
        S3,
        (("axis-borrowed", "response", "the third axis", "the first axis"),),
    ),
    (
        change(S3, eq("X.y", {"S.l": 3, "F.c": 1}, -2), eq("X.w", {"S.o": 1, "F.a": 2})),
        S3,
        (("axes-exchanged", "the first and the third axis", "F"),),
    ),
    (
        change(DX3, conditions=(only({"G.o": 1}, low=number(1)),)),
        DX3,
        (("first-lost", "the first slice along the third axis of G", "is left out"),),
    ),
    (change(S3, eq("X.w", {"S.o": 1, "F.c": 1})), S3, (("step-ignored", "dilation", "the third axis"),)),
    (change(S3, eq("X.w", {"S.o": 1, "F.c": 3})), S3, (("step-wrong", "dilation", "the third axis", "3", "2"),)),
    (
        change(DF3, eq("X.y", {"G.l": 3, "dF.a": 3}, -2)),
        DF3,
        (("step-of-other-kind", "stride", "dilation", "the first axis"),),
    ),
    (change(S, eq("X.y", {"F.a": 2}, -2)), S, (("step-missing", "response", "the first axis"),)),
    (
        change(S, eq("X.y", {}, -2)),
        S,
        (("step-missing", "response", "the first axis"), ("step-missing", "tap", "the first axis")),
    ),
    (change(S, eq("X.y", {"S.l": 3, "F.a": 2}, 5)), S, (("offset", "the first axis", "7", "large"),)),
    (change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -7)), S, (("offset", "the first axis", "5", "small"),)),
    (change(S, eq("X.y", {"S.l": 3, "F.a": 2, "N": -2}, -2)), S, (("offset", "the first axis", "2N", "small"),)),
    (change(S, eq("X.y", {"S.l": 3, "F.a": 2, "N": 1}, -3)), S, (("offset", "the first axis", "N − 1", "large"),)),
    (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2, "N": 1, "K": -1}, -2)),
        S,
        (("otherwise", "y = 3l + 2a + N − K − 2 instead of y = 3l + 2a − 2"),),
    ),
    (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2, "N": 1, "K": 1}, -2)),
        S,
        (("offset", "the first axis", "N + K", "large"),),
    ),
    (change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -4)), S, (("padding-twice", "the first axis"),)),
    (change(S, eq("X.y", {"S.l": 3, "F.a": 2}, 2)), S, (("padding-added", "the first axis"),)),
    (change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -1)), S, (("padding-after", "the first axis"),)),
    (
        change(S, eq("X.y", {"S.l": -3, "F.a": -2, "H": 1}, 1), eq("X.x", {"S.m": -2, "F.b": -5, "W": 1}, 2)),
        S,
        (("image-turned everywhere", "X"),),
    ),
    (
        change(S, eq("X.y", {"S.l": -3, "F.a": -2, "H'": 3, "K": 2}, -7)),
        S,
        (("response-turned", "S", "the first axis"), ("filter-turned", "the filter", "the first axis")),
    ),
    (change(DF, eq("X.y", {"G.l": -3, "dF.a": 2, "H'": 3}, -5)), DF, (("response-turned", "G", "the first axis"),)),
    (change(DF, eq("X.y", {"G.l": 3, "dF.a": -2, "K": 2}, -4)), DF, (("filter-turned", "∂l/∂F", "the first axis"),)),
    (change(DX, eq("dX.y", {"G.l": -3, "F.a": -2, "H": 1}, 1)), DX, (("image-turned", "∂l/∂X", "the first axis"),)),
    (
        change(S, eq("X.y", {"S.l": 2, "F.a": -3, "K": 3}, -5)),
        S,
        (("filter-turned", "the filter", "the first axis"), ("steps-exchanged", "the first axis")),
    ),
    (
        change(S, eq("X.y", {"S.l": Fraction(3, 2), "F.a": 2}, -2, "floor")),
        S,
        (("otherwise", "y = (3l + 4a − 4)/2 (rounded down) instead of y = 3l + 2a − 2"),),
    ),
    (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "mod 2")),
        S,
        (("otherwise", "y = 3l + 2a − 2 (mod 2) instead of y = 3l + 2a − 2"),),
    ),
    (
        change(S, eq("X.y", {"S.l": Fraction(3, 2), "F.a": 2}, -2)),
        S,
        (("otherwise", "2y = 3l + 4a − 4 instead of y = 3l + 2a − 2"),),
    ),
    (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "clamp")),
        S,
        (("border", "beyond the border", "copied from the border", "the first axis"),),
    ),
    (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "reflect")),
        S,
        (("border", "beyond the border", "mirrored", "the first axis"),),
    ),
    (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "symmetric")),
        S,
        (("border", "beyond the border", "mirrored", "the first axis"),),
    ),
    (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "wrap behind")),
        S,
        (("border", "behind the image", "taken from the other end", "the first axis"),),
    ),
    (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "clamp before")),
        S,
        (("border", "before the image", "copied from the border", "the first axis"),),
    ),
    (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "wrap"), eq("X.x", {"S.m": 2, "F.b": 5}, -3, "wrap")),
        S,
        (("border everywhere", "beyond the border", "taken from the other end"),),
    ),
    (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -3, "wrap")),
        S,
        (
            ("border", "beyond the border", "taken from the other end", "the first axis"),
            ("step-of-other-axis", "padding", "the second axis", "the first axis"),
        ),
    ),
    (
        change(S, eq("F.a"), eq("X.y", {"S.l": -3, "H": 1}, 1)),
        S,
        (("image-turned", "X", "the first axis"), ("index-constant", "the first row of taps of F", "used")),
    ),
    (
        change(S, eq("F.a"), eq("X.y", {"S.l": -3, "H'": 3}, -5)),
        S,
        (("response-turned", "S", "the first axis"), ("index-constant", "the first row of taps of F", "used")),
    ),
    (
        change(S, eq("X.y", {"S.l": -3, "H": 1}, 1)),
        S,
        (("image-turned", "X", "the first axis"), ("step-missing", "tap", "the first axis")),
    ),
    (change(S1, eq("X.y", {"S.l": 3, "F.a": 2}, 5)), S1, (("offset", "the axis", "7", "large"),)),
    (change(S3, eq("X.w", {"S.o": 1, "F.c": 2}, 1)), S3, (("offset", "the third axis", "1", "large"),)),
    (
        change(S3, eq("X.y", {"S.l": 3, "F.a": 1}, -1), eq("X.w", {"S.o": 1, "F.c": 2}, -2)),
        S3,
        (
            ("padding-after", "the first axis"),
            ("step-of-other-axis", "padding", "the first axis", "the third axis"),
        ),
    ),
    (
        change(STEPPED, eq("X.y", {"S.l": 2, "F.a": 1}), eq("X.x", {"S.m": 5, "F.b": 1})),
        STEPPED,
        (
            ("step-of-other-axis", "stride", "the second axis", "the first axis"),
            ("step-of-other-axis", "stride", "the third axis", "the second axis"),
        ),
    ),
    (
        change(DX, eq("F.b"), free=("dX.n",)),
        DX,
        (
            ("index-summed", "image", "G", "image of ∂l/∂X"),
            ("index-constant", "the first column of taps of F", "used"),
        ),
    ),
    (
        change(DX, eq("G.n", {"dX.n": -1, "N": 1}, -2), free=("dX.n",)),
        DX,
        (("otherwise", "n of G = N − 2 − n of ∂l/∂X instead of n of G = n of ∂l/∂X"),),
    ),
    (change(S, eq("X.x", {"S.m": 5, "F.b": 2}, -3)), S, (("steps-exchanged", "the second axis"),)),
    (
        change(DFG, eq("X.k", {"n/g·dF.g": 1, "dF.k": 1}, 0, "wrap behind")),
        DFG,
        (("index-mapped", "the planes", "X", "(n/g)·g of ∂l/∂F + k of ∂l/∂F (wrap behind)", "k of ∂l/∂F"),),
    ),
    (
        change(S, eq("X.k", {"F.k": -1}, -1, "wrap behind")),
        S,
        (("otherwise", "k of X = −k of F − 1 (wrap behind at the border) instead of k of X = k of F"),),
    ),
    (
        change(SG, eq("F.i", {"n/g·S.g": 1, "S.i": 1}, 0, "wrap")),
        SG,
        (("index-mapped", "the filters", "F", "(n/g)·g of S + i of S, modulo n/g,", "i of S"),),
    ),
    (change(SG, eq("F.i", {"S.i": -1}, 1)), SG, (("otherwise", "i of F = 1 − i of S instead of i of F = i of S"),)),
    (
        change(S, eq("X.k", {"F.k": 1}, 0, "clamp")),
        S,
        (("otherwise", "k of X = k of F (clamp at the border) instead of k of X = k of F"),),
    ),
    (change(SG, eq("F.i", {}, 1)), SG, (("index-constant", "filter 2 of F", "used"),)),
    (
        change(DXG, views=(*DXG.terms[0].views[:2], dataclasses.replace(DXG.terms[0].views[2], order=(0, 3, 1, 2, 4)))),
        DXG,
        (("order", "G", "read", "n, l, g, i, m"),),
    ),
    (change(S, eq("X.k", {}, 2)), S, (("index-constant", "plane 3 of X", "used"),)),
    (change(S, eq("X.k", {"d": 1}, -1)), S, (("index-constant", "the last plane of X", "used"),)),
    (change(DX, eq("dX.k", {}, 0), free=("F.k",)), DX, (("index-constant", "the first plane of ∂l/∂X", "filled"),)),
    (change(DF, eq("dF.a", {}, 0)), DF, (("index-constant", "the first row of taps of ∂l/∂F", "filled"),)),
    (change(DF, eq("dF.a", {"K": 1}, -1)), DF, (("index-constant", "the last row of taps of ∂l/∂F", "filled"),)),
    (change(DFG, eq("G.g"), eq("X.g")), DFG, (("index-constant", "the first group of ∂l/∂F", "filled"),)),
    (change(SG, eq("X.g", {}, 1)), SG, (("index-constant", "the last group of X", "used"),)),
    (change(SG, eq("X.g", {"g": 1}, -1)), SG, (("index-constant", "the last group of X", "used"),)),
    (change(SG, eq("X.g", {"S.g": -1}, 1)), SG, (("index-reversed", "the groups", "X"),)),
    (change(S, eq("X.k", {"F.k": -1}, -1, "wrap")), S, (("index-reversed", "the planes", "X"),)),
    (
        change(S, eq("X.k", {"F.k": -1, "d": 1}, -2)),
        S,
        (("otherwise", "k of X = d − 2 − k of F instead of k of X = k of F"),),
    ),
    (
        change(S, eq("X.k", {"F.k": -2, "d": 1}, -1)),
        S,
        (("otherwise", "k of X = d − 1 − 2k of F instead of k of X = k of F"),),
    ),
    (change(S, eq("X.k", {"F.b": 1})), S, (("index-borrowed", "the columns of taps of F", "the planes", "X"),)),
    (change(S, eq("X.k", {"F.k": 1}, -1)), S, (("index-shifted", "the planes", "X", "−1"),)),
    (
        change(S, eq("X.k", {"F.k": 1, "N": 1}, 0, "wrap")),
        S,
        (("otherwise", "k of X = k of F + N (wrap at the border) instead of k of X = k of F"),),
    ),
    (
        change(S, eq("X.k", {"F.k": 1}, 1, "clamp")),
        S,
        (("otherwise", "k of X = k of F + 1 (clamp at the border) instead of k of X = k of F"),),
    ),
    (
        change(S, eq("X.k", {"F.k": 2}, 0, "wrap")),
        S,
        (("otherwise", "k of X = 2k of F (wrap at the border) instead of k of X = k of F"),),
    ),
    (
        change(S, eq("X.k", {"S.i": 1}, 0, "wrap")),
        S,
        (("index-borrowed", "the response maps of S, counted modulo their number,", "the planes", "X"),),
    ),
    (
        change(S, eq("X.k", {"S.i": 1}, 0, "clamp")),
        S,
        (("index-borrowed", "the response maps of S (clamp)", "the planes", "X"),),
    ),
    (change(S, eq("X.k", {"S.i": 1}, 1)), S, (("otherwise", "k of X = i of S + 1 instead of k of X = k of F"),)),
    (change(BIASED, eq("b.i", {"S.m": 1}), term=1), BIASED, (("bias-axis", "the columns of S"),)),
    (change(BIASED, term=1, coefficient=Coefficient(-1)), BIASED, (("sign", "the bias"),)),
    (change(BIASED, term=1, coefficient=Coefficient(2)), BIASED, (("factor", "2"),)),
    (
        change(BIASED, eq("b.i", {"S.i": 1}, 1, "wrap"), term=1),
        BIASED,
        (("index-shifted", "the filters", "b", "1, cyclically"),),
    ),
    (change(DX, free=("dX.n",)), DX, (("index-summed", "image", "G", "image of ∂l/∂X"),)),
    (change(DF, free=("dF.i",)), DF, (("index-summed", "response map", "G", "filter of ∂l/∂F"),)),
    (change(S, free=("X.y",)), S, (("otherwise", "y takes every value instead of y = 3l + 2a − 2"),)),
    (
        change(SG, eq("X.+", {"d/g·S.g": 1, "F.k": 1}, 1), free=("X.g", "X.k")),
        SG,
        (("index-shifted", "the planes", "X", "1"),),
    ),
    (
        change(SG, eq("S.+", {"n/g·F.g": 1, "F.i": 1}, 1), free=("F.g", "F.i")),
        SG,
        (("index-shifted", "the response maps", "S", "1"),),
    ),
    (
        change(SG, eq("X.+", {"d/g·S.g": 1, "F.k": 1}, -1, "wrap"), free=("X.g", "X.k")),
        SG,
        (("index-shifted", "the planes", "X", "−1, cyclically"),),
    ),
    (
        change(SG, eq("X.+", {"d/g·S.g": 1, "F.k": 1}, 1, "clamp"), free=("X.g", "X.k")),
        SG,
        (("index-mapped", "the planes", "X", "(d/g)·g of S + k of F + 1 (clamp)", "(d/g)·g of S + k of F"),),
    ),
    (
        change(SG, eq("X.+", {"n/g·S.g": 1, "F.k": 1}), free=("X.g", "X.k")),
        SG,
        (("index-mapped", "the planes", "X", "(n/g)·g of S + k of F", "(d/g)·g of S + k of F"),),
    ),
    (
        change(S, eq("X.*", {"S.l": 3, "W·S.m": 1}, 2), free=("X.y", "X.x")),
        S,
        (("otherwise", "the flat index of X is 3l of S + W·m of S + 2"),),
    ),
    (
        change(DFG, eq("X.k", {"n/g·dF.g": 1, "dF.k": 1}, 0, "wrap")),
        DFG,
        (("index-mapped", "the planes", "X", "(n/g)·g of ∂l/∂F + k of ∂l/∂F, modulo d/g,", "k of ∂l/∂F"),),
    ),
    (
        change(SG, eq("X.g", {"d/g·S.g": 1}, 0, "wrap")),
        SG,
        (("index-mapped", "the groups", "X", "(d/g)·g of S, modulo 2,", "g of S"),),
    ),
    (
        change(DX, conditions=(only({"G.l": 1}, low=number(1)),)),
        DX,
        (("first-lost", "the first row of G", "is left out"),),
    ),
    (
        change(DX, conditions=(only({"G.l": 1}, low=number(2)),)),
        DX,
        (("first-lost", "the first 2 rows of G", "are left out"),),
    ),
    (change(DX, conditions=(only({"G.l": 1}, low=size("K")),)), DX, (("some-lost", "l ≥ K"),)),
    (change(DX, excluded=(only({"G.m": 1}, low=size("K")),)), DX, (("hole", "m ≥ K"),)),
    (
        change(DX, conditions=(only({"G.m": 1}, high=size("W'", -2)),)),
        DX,
        (("last-lost", "the last column of G", "is left out"),),
    ),
    (
        change(DX, conditions=(only({"G.m": 1}, high=size("W'", -4)),)),
        DX,
        (("last-lost", "the last 3 columns of G", "are left out"),),
    ),
    (
        change(DX, conditions=(only({"G.m": 1}, low=number(1), high=size("W'", -2)),)),
        DX,
        (("first-lost", "the first column of G", "is left out"), ("last-lost", "the last column of G", "is left out")),
    ),
    (
        change(DX, conditions=(only({"G.m": 1}, low=number(1), high=number(1)),)),
        DX,
        (("index-constant", "column 2 of G", "used"),),
    ),
    (
        change(DX, conditions=(only({"G.m": 1}, low=size("W'", -1), high=size("W'", -1)),)),
        DX,
        (("index-constant", "the last column of G", "used"),),
    ),
    (
        change(DX, conditions=(only({"G.m": 1}, high=Linear.of({"W'÷4": 4}, -1)),)),
        DX,
        (("remainder-lost", "the columns", "G", "4", "are left out"),),
    ),
    (change(DX, conditions=(only({"G.m": 1}, high=Linear.of({"W'÷4": 4}, 0)),)), DX, (("some-lost", "m ≤ 4·(W'÷4)"),)),
    (
        change(DX, conditions=(only({"G.m": 1}, high=Linear.of({"W'÷4": 3}, -1)),)),
        DX,
        (("some-lost", "m ≤ 3·(W'÷4) − 1"),),
    ),
    (
        change(DX, conditions=(only({"G.m": 1}, low=number(1), high=Linear.of({"W'÷4": 4}, -1)),)),
        DX,
        (
            ("first-lost", "the first column of G", "is left out"),
            ("remainder-lost", "the columns", "G", "4", "are left out"),
        ),
    ),
    (change(DX, conditions=(only({"G.m": 1}, high=number(3)),)), DX, (("some-lost", "m ≤ 3"),)),
    (change(DX, conditions=(only({"G.m": 1}, low=number(-1)),)), DX, (("some-lost", "m ≥ −1"),)),
    (change(DX, conditions=(only({"G.m": 1}, high=size("W'", 0)),)), DX, (("some-lost", "m ≤ W'"),)),
    (
        change(DX, conditions=(only({"G.m": 1}, low=number(0), high=number(0), modulus=2),)),
        DX,
        (("some-lost", "m mod 2 = 0"),),
    ),
    (
        change(DX, conditions=(only({"G.m": 1}, high=number(0), of="first"),)),
        DX,
        (("one-product", "first", "column of G"),),
    ),
    (change(DX, conditions=(only({"G.m": 1}, high=number(1), of="first"),)), DX, (("some-lost", "|m − first m| ≤ 1"),)),
    (
        change(DX, conditions=(only({"G.m": 1}, high=number(0), of="last", modulus=2),)),
        DX,
        (("some-lost", "(|m − last m|) mod 2 ≤ 0"),),
    ),
    (
        change(DX, conditions=(only({"F.k": 1}, high=size("d", -2)),)),
        DX,
        (("last-lost", "the last plane of F", "is left out"),),
    ),
    (
        change(DX, conditions=(only({"G.n": 1}, low=number(1)),)),
        DX,
        (("first-lost", "the first image of G", "is left out"),),
    ),
    (
        change(DX, conditions=(only({"F.b": 1}, low=number(1)),)),
        DX,
        (("first-lost", "the first column of taps of F", "is left out"),),
    ),
    (
        change(DX, conditions=(only({"dX.y": 1}, low=number(1)),)),
        DX,
        (("first-lost", "the first row of ∂l/∂X", "stays 0"),),
    ),
    (
        change(DX, conditions=(only({"dX.y": 1}, low=number(2)),)),
        DX,
        (("first-lost", "the first 2 rows of ∂l/∂X", "stay 0"),),
    ),
    (
        change(DX, conditions=(only({"dX.x": 1}, high=size("W", -2)),)),
        DX,
        (("last-lost", "the last column of ∂l/∂X", "stays 0"),),
    ),
    (
        change(DX, conditions=(only({"dX.x": 1}, high=Linear.of({"W÷4": 4}, -1)),)),
        DX,
        (("remainder-lost", "the columns", "∂l/∂X", "4", "stay 0"),),
    ),
    (change(DX, conditions=(only({"G.l": 2}, low=number(1)),)), DX, (("some-lost", "2l ≥ 1"),)),
    (change(DX, conditions=(only({"G.*": 1}, low=number(1)),)), DX, (("some-lost", "flat index of G ≥ 1"),)),
    (change(DX, conditions=(only({"G.l": 1, "F.a": 1}, low=number(1)),)), DX, (("some-lost", "l + a ≥ 1"),)),
    (
        change(
            DF, conditions=(only({"G.l": 1}, high=number(0), of="last"), only({"G.m": 1}, high=number(0), of="last"))
        ),
        DF,
        (("one-product", "last", "response of G"),),
    ),
    (
        change(
            DF, conditions=(only({"G.l": 1}, high=number(0), of="first"), only({"G.m": 1}, high=number(0), of="first"))
        ),
        DF,
        (("one-product", "first", "response of G"),),
    ),
    (
        change(
            DF, conditions=(only({"G.l": 1}, high=number(0), of="first"), only({"G.m": 1}, high=number(0), of="last"))
        ),
        DF,
        (("one-product", "first", "row of G"), ("one-product", "last", "column of G")),
    ),
    (
        change(DX, excluded=(only({"G.m": 1}, low=Linear.of({"W'÷4": 4})),)),
        DX,
        (("remainder-lost", "the columns", "G", "4", "are left out"),),
    ),
    (change(DX, excluded=(only({"G.m": 1}, low=Linear.of({"W'÷4": 4}, 1)),)), DX, (("hole", "m ≥ 4·(W'÷4) + 1"),)),
    (change(DX, excluded=(only({"G.m": 1}, low=Linear.of({"W'÷4": 3})),)), DX, (("hole", "m ≥ 3·(W'÷4)"),)),
    (
        change(DX, excluded=(only({"G.m": 1}, low=Linear.of({"W'÷4": 4}), high=number(9)),)),
        DX,
        (("hole", "4·(W'÷4) ≤ m ≤ 9"),),
    ),
    (
        change(DX, excluded=(only({"dX.x": 1}, low=Linear.of({"W÷4": 4})), only({"dX.y": 1}, low=number(3)))),
        DX,
        (("remainder-lost", "the columns", "∂l/∂X", "4", "stay 0 for y ≥ 3"),),
    ),
    (change(DX, coefficient=Coefficient(Fraction(1, 2))), DX, (("factor", "1/2"),)),
    (change(DX, coefficient=Coefficient(-2)), DX, (("factor", "−2"),)),
    (change(DX, coefficient=Coefficient(1, (("N", -1), ("H'", -2)))), DX, (("size-factor", "divided", "by H'^2·N"),)),
    (
        change(DX, coefficient=Coefficient(1, (("N", 1), ("H'", -2), ("W'", -1)))),
        DX,
        (("size-factor", "divided", "by H'^2·W'"), ("size-factor", "multiplied", "by N")),
    ),
    (
        change(DX, coefficient=Coefficient(-1, (("N", 2),))),
        DX,
        (("sign", "every product"), ("size-factor", "multiplied", "by N^2")),
    ),
    (change(DX, coefficient=Coefficient(1, (), (("dX.y", 1),))), DX, (("count-factor", "multiplied by", "windows"),)),
    (
        change(DX, coefficient=Coefficient(1, (), (("G.l", -1),))),
        DX,
        (("count-factor", "divided by", "taps inside the image"),),
    ),
    (change(DX, coefficient=Coefficient(1, (), (("F.a", -1),))), DX, (("count-factor", "divided by", "responses"),)),
    (
        change(DX, coefficient=Coefficient(1, (), (("F.a", -1), ("dX.y", 1)))),
        DX,
        (("count-factor", "divided by", "responses"), ("count-factor", "multiplied by", "windows")),
    ),
    (
        dataclasses.replace(alone("dX", "G"), terms=(*alone("dX", "G", (eq("dX.n", {"G.n": 1}),)).terms,)),
        DX,
        (("factor-missing", "F"),),
    ),
    (alone("dX", "", ()), DX, (("other-sum", "1", "F and G"),)),
    (alone("dX", "F", (eq("dX.k", {"F.k": 1}),)), DX, (("factor-missing", "G"),)),
    (alone("S", "b", (eq("b.i", {"S.i": 1}),)), S, (("other-sum", "b[i]", "F and X"),)),
    (
        summed(
            DX,
            alone("dX", "X", [eq(f"X.{e}", {f"dX.{e}": 1}) for e in "nkyx"], coefficient=Coefficient(Fraction(1, 10))),
        ),
        DX,
        (("array-added", "", "1/10·X"),),
    ),
    (
        summed(DX, alone("dX", "X", [eq(f"X.{e}", {f"dX.{e}": 1}) for e in "nkyx"], coefficient=Coefficient(-1))),
        DX,
        (("array-added", "", "−X"),),
    ),
    (
        summed(DX, alone("dX", "X", [eq(f"X.{e}", {f"dX.{e}": 1}, e == "y") for e in "nkyx"])),
        DX,
        (("otherwise-added", "X[k, y', x]   over  y' = y + 1"),),
    ),
    (
        summed(
            DX,
            alone(
                "dX",
                "X",
                [eq(f"X.{e}", {f"dX.{e}": 1}) for e in "nkyx"],
                conditions=(only({"dX.y": 1}, low=number(1)),),
            ),
        ),
        DX,
        (("otherwise-added", "X[k, y, x]   for  y ≥ 1"),),
    ),
    (
        summed(
            DX,
            alone("dX", "X", [eq(f"X.{e}", {f"dX.{e}": 1}) for e in "nkyx"], coefficient=Coefficient(1, (("N", -1),))),
        ),
        DX,
        (("otherwise-added", "1/N·X[k, y, x]"),),
    ),
    (
        summed(
            DF,
            alone("dF", "F", [eq(f"F.{e}", {f"dF.{e}": 1}) for e in "ikab"], coefficient=Coefficient(Fraction(1, 100))),
        ),
        DF,
        (("decay", "", "1/100·F"),),
    ),
    (
        summed(
            DF,
            alone(
                "dF",
                "F",
                [eq("F.i", {"dF.i": 1}), eq("F.k", {"dF.k": 1}), eq("F.a", {"dF.b": 1}), eq("F.b", {"dF.a": 1})],
            ),
        ),
        DF,
        (("otherwise-added", "F[i, k, b, a]"),),
    ),
    (summed(S, alone("S", "", coefficient=Coefficient(-3))), S, (("constant-added", "−3"),)),
    (
        summed(S, alone("S", "", conditions=(only({"S.l": 1}, low=number(1)),))),
        S,
        (("otherwise-added", "1   for  l ≥ 1"),),
    ),
    (summed(S, alone("S", "", (eq("S.i"),))), S, (("otherwise-added", "1   over  i = 0"),)),
    (summed(S, alone("S", "b", (eq("b.i", {"S.i": 1}),))), S, (("array-added", "", "b"),)),
    (summed(DX, DX), DX, (("counted-again", ""),)),
    # Of several terms, the one that is most like the right one is told by what the others add.
    (summed(change(DX, conditions=(only({"G.l": 1}, low=number(1)),)), DX), DX, (("counted-again", " for l ≥ 1"),)),
    (
        summed(change(DX, free=("dX.n",)), DX),
        DX,
        (
            (
                "otherwise-added",
                "Σ G[n', i, l, m] · F[i, k, a, b]   over  y = 3l + 2a − 2,  x = 2m + 5b − 3",
            ),
        ),
    ),
    (summed(DX, change(DX, conditions=(only({"G.l": 1}, low=number(1)),))), DX, (("counted-again", " for l ≥ 1"),)),
    (
        summed(DX, change(DX, excluded=(only({"G.l": 1}, low=number(1)),))),
        DX,
        (
            (
                "otherwise-added",
                "Σ G[i, l, m] · F[i, k, a, b]   over  y = 3l + 2a − 2,  x = 2m + 5b − 3   except  l ≥ 1",
            ),
        ),
    ),
    (
        summed(DX, change(DX, coefficient=Coefficient(2), conditions=(only({"G.l": 1}, low=number(1)),))),
        DX,
        (("otherwise-added", "2·Σ G[i, l, m] · F[i, k, a, b]   over  y = 3l + 2a − 2,  x = 2m + 5b − 3   for  l ≥ 1"),),
    ),
    (
        summed(
            change(DX, conditions=(only({"G.l": 1}, low=number(0), high=number(0), modulus=2),)),
            change(
                DX,
                eq("dX.y", {"G.l": 3, "F.a": 2}, -3),
                conditions=(only({"G.l": 1}, low=number(1), high=number(1), modulus=2),),
            ),
        ),
        DX,
        (
            ("some-lost", "l mod 2 = 0"),
            (
                "otherwise-added",
                "Σ G[i, l, m] · F[i, k, a, b]   over  y = 3l + 2a − 3,  x = 2m + 5b − 3   for  l mod 2 = 1",
            ),
        ),
    ),
    (alone("S", "X", (eq("X.n", {"S.n": 1}),)), BIASED, (("factor-missing", "F"), ("bias-missing",))),
    (
        dataclasses.replace(S, shape=(S.shape[0], size("n", 1), size("H'", 1), size("W'", -1))),
        S,
        (
            ("size-off", "axis 1", "n + 1", "n"),
            ("size-off", "the first axis", "H' + 1", "H'"),
            ("size-off", "the second axis", "W' − 1", "W'"),
        ),
    ),
    (dataclasses.replace(S, shape=(size("N", 1), *S.shape[1:])), S, (("size-off", "axis 0", "N + 1", "N"),)),
    (
        dataclasses.replace(DX, shape=(*DX.shape[:3], Linear.of({"W": 1, "tail(W)": -1}))),
        DX,
        (("size-without-tail", "the second axis"),),
    ),
    (dataclasses.replace(DF, shape=(size("n"), *DF.shape)), DF, (("axes-count", "5", "4"),)),
    (
        dataclasses.replace(DX, shape=(*DX.shape[:2], Linear.of({"H'": 3, "K": 2, "tail(H)": 1}, -7), DX.shape[3])),
        DX,
        (),
    ),
    (dataclasses.replace(change(DB, free=("db.i",))), DB, (("index-summed", "response map", "G", "filter of ∂l/∂b"),)),
    (dataclasses.replace(DB, shape=(size("n", 1),)), DB, (("size-off", "axis 0", "n + 1", "n"),)),
    (
        dataclasses.replace(change(DB, eq("db.i", {"G.m": 1})), shape=(size("W'"),)),
        DB,
        (("bias-gradient-axis", "column"),),
    ),
    (
        change(DB, eq("db.i", {"G.m": 1}, 0, "wrap")),
        DB,
        (("index-borrowed", "the columns of G, counted modulo their number,", "the filters", "∂l/∂b"),),
    ),
    (change(DBG, eq("db.g")), DBG, (("index-constant", "the first group of ∂l/∂b", "filled"),)),
    (stepped((2, 2)), DX, (("in-steps", "the rows of G", "0, 2, 4, … come first, then 1, 3, 5, …"),)),
    (stepped((2, -2)), DX, (("in-steps", "the rows of G", "interleaved from 2 blocks"),)),
    (stepped((2, 3)), DX, (("in-steps", "the rows of G", "0, 3, 6, … come first, then 1, 4, 7, …"),)),
    (stepped((2, -3)), DX, (("in-steps", "the rows of G", "interleaved from 3 blocks"),)),
    (stepped((2, 0)), DX, (("neighbours-exchanged", "the rows of G", "in pairs"),)),
    (stepped((2, 1)), DX, (("neighbours-exchanged", "the rows of G", "at 0 and 1"),)),
    (
        stepped((0, 2), (1, 3)),
        DX,
        (
            ("in-steps", "the images of G", "0, 2, 4, … come first, then 1, 3, 5, …"),
            ("in-steps", "the response maps of G", "0, 3, 6, … come first, then 1, 4, 7, …"),
        ),
    ),
    (reordered(DX, "dX", (0, 2, 3, 1), written=True), DX, (("order", "∂l/∂X", "written", "n, y, x, k"),)),
    (reordered(GROUPS, "G", (0, 1, 3, 4, 2)), GROUPS, (("order", "G", "read", "n, g, l, m, i"),)),
    (reordered(GROUPS, "dX", (0, 2, 1, 3, 4), written=True), GROUPS, (("groups-interleaved", "∂l/∂X"),)),
    (
        change(
            DX,
            eq("F.i"),
            eq("dX.n", {"G.n": 1}, 1, "wrap"),
            eq("dX.y", {"G.l": 3, "F.a": -2, "K": 2}, -4),
            conditions=(only({"G.l": 1}, low=number(1)),),
            coefficient=Coefficient(2),
        ),
        DX,
        (
            ("index-constant", "the first filter of F", "used"),
            ("filter-not-rotated", "the first axis"),
            ("index-shifted", "the images", "∂l/∂X", "1, cyclically"),
            ("first-lost", "the first row of G", "is left out"),
            ("factor", "2"),
        ),
    ),
    (
        change(
            DX,
            eq("F.i"),
            eq("dX.n", {"G.n": 1}, 1, "wrap"),
            eq("dX.y", {"G.l": 3, "F.a": -2, "K": 2}, -4),
            conditions=(only({"G.l": 1}, low=number(1)), only({"F.a": 1}, high=size("K", -2))),
            coefficient=Coefficient(2),
        ),
        DX,
        (("another-relation",),),
    ),
    (
        change(DX, conditions=tuple(only({"G.l": 1, "F.a": 1}, high=number(-e)) for e in range(10))),
        DX,
        (
            ("some-lost", "l + a ≤ 0"),
            ("some-lost", "l + a ≤ −1"),
            ("some-lost", "l + a ≤ −2"),
            ("some-lost", "l + a ≤ −3"),
            ("some-lost", "l + a ≤ −4"),
            ("some-lost", "l + a ≤ −5"),
            ("some-lost", "l + a ≤ −6"),
            ("some-lost", "l + a ≤ −7"),
            ("some-lost", "l + a ≤ −8"),
            ("some-lost", "l + a ≤ −9"),
        ),
    ),
    (
        change(DX, conditions=tuple(only({"G.l": 1, "F.a": e}, high=number(1)) for e in range(1, 11))),
        DX,
        (
            ("some-lost", "l + a ≤ 1"),
            ("some-lost", "l + 2a ≤ 1"),
            ("some-lost", "l + 3a ≤ 1"),
            ("some-lost", "l + 4a ≤ 1"),
            ("some-lost", "l + 5a ≤ 1"),
            ("some-lost", "l + 6a ≤ 1"),
            ("some-lost", "l + 7a ≤ 1"),
            ("some-lost", "l + 8a ≤ 1"),
            ("some-lost", "l + 9a ≤ 1"),
            ("some-lost", "l + 10a ≤ 1"),
        ),
    ),
    (
        change(DX, conditions=tuple(only({"G.l": 1, "F.a": e}, high=number(1)) for e in range(1, 12))),
        DX,
        (("another-relation",),),
    ),
    (
        change(
            S3,
            eq("X.y", {"S.l": 7, "F.a": 5}, 9),
            eq("X.x", {"S.m": 7, "F.b": 5}, 9),
            eq("X.w", {"S.o": 7, "F.c": 5}, 9),
        ),
        S3,
        (
            ("step-wrong", "stride", "the first axis", "7", "3"),
            ("step-wrong", "dilation", "the first and the second axis", "5", "1"),
            ("offset", "the first axis", "11", "large"),
            ("step-wrong", "stride", "the second axis", "7", "2"),
            ("offset", "the second axis", "12", "large"),
            ("step-wrong", "stride", "the third axis", "7", "1"),
            ("step-wrong", "dilation", "the third axis", "5", "2"),
            ("offset", "the third axis", "9", "large"),
        ),
    ),
    (
        change(DX, eq("dX.y", {"G.m": 3, "F.a": 2}, -2), eq("dX.x", {"G.l": 2, "F.b": 5}, -3)),
        DX,
        (("axes-exchanged", "the first and the second axis", "G"),),
    ),
    (
        change(DX, eq("dX.x", {"G.l": 2, "F.b": 5}, -3)),
        DX,
        (("axis-borrowed", "response", "the first axis", "the second axis"),),
    ),
    (
        change(DX, eq("dX.x", {"G.m": 2, "F.b": 5, "G.n": 1}, -3)),
        DX,
        (("otherwise", "x = 2m + 5b + n of ∂l/∂X − 3 instead of x = 2m + 5b − 3"),),
    ),
    (
        dataclasses.replace(change(DF, free=("X.n",)), shape=(size("N"), *DF.shape)),
        DF,
        (("images-apart", "∂l/∂F"), ("index-summed", "image", "X", "image of G")),
    ),
    (
        change(S3, eq("X.y", {"S.l": 3, "F.a": 2}, -2), eq("X.w", {"S.o": 1, "F.c": 1})),
        S3,
        (("options-exchanged", "dilation", "the first and the third axis"),),
    ),
    (
        summed(DX, alone("dX", "X", [eq(f"X.{e}", {f"dX.{e}": 1}) for e in "kyx"])),
        DX,
        (("otherwise-added", "Σ X[n', k, y, x]"),),
    ),
    (
        change(DX, eq("F.a", {"G.l": 2})),
        DX,
        (("otherwise", "a = 2l, although a takes every value in the right formula"),),
    ),
    (change(DX, eq("F.i", {"G.n": 2})), DX, (("otherwise", "i of F = 2n of ∂l/∂X instead of i of F = i of G"),)),
    (
        change(DX, eq("F.a", {"G.l": 1}, 1, "wrap")),
        DX,
        (("otherwise", "a = l + 1 (wrap at the border), although a takes every value in the right formula"),),
    ),
    (
        change(DX, eq("F.a", {"G.l": 1}, 0, "wrap")),
        DX,
        (("index-borrowed", "the rows of G, counted modulo their number,", "the rows", "taps of F"),),
    ),
    (
        change(DX, eq("F.a", {"G.l": 1}, 0, "clamp")),
        DX,
        (("index-borrowed", "the rows of G (clamp)", "the rows", "taps of F"),),
    ),
    (
        change(DX, eq("F.a", {}, 5, "wrap")),
        DX,
        (("otherwise", "a = 5 (wrap at the border), although a takes every value in the right formula"),),
    ),
    (change(DX, eq("F.a", {"F.b": 1})), DX, (("index-borrowed", "the columns of taps of F", "the rows", "taps of F"),)),
    (
        change(DX, eq("F.a", {"F.b": 1}, 1)),
        DX,
        (("otherwise", "a = b + 1, although a takes every value in the right formula"),),
    ),
    (change(DX, eq("G.l", {"G.m": 1})), DX, (("index-borrowed", "the columns of G", "the rows", "G"),)),
    (
        change(S, eq("X.k", {"F.k": 1}, 1), eq("F.i", {"S.i": 1}, 2, "wrap"), eq("X.n", {"S.n": -1, "N": 1}, -1)),
        S,
        (
            ("index-shifted", "the filters", "F", "2, cyclically"),
            ("index-reversed", "the images", "X"),
            ("index-shifted", "the planes", "X", "1"),
        ),
    ),
    (
        change(DX, eq("dX.y", {"G.l": 2, "F.a": -2, "K": 2}, -4), eq("dX.x", {"G.m": 2, "F.b": -5, "L": 5}, -8)),
        DX,
        (("filter-not-rotated everywhere",), ("step-of-other-axis", "stride", "the second axis", "the first axis")),
    ),
    (
        change(S, eq("X.y", {"S.l": 4, "F.a": 2}, -2), eq("X.x", {"S.m": 4, "F.b": 5}, -3)),
        S,
        (("step-wrong", "stride", "the first axis", "4", "3"), ("step-wrong", "stride", "the second axis", "4", "2")),
    ),
    (
        change(S, eq("X.y", {"S.m": 3, "F.b": 2}, -2)),
        S,
        (
            ("axis-borrowed", "response", "the second axis", "the first axis"),
            ("axis-borrowed", "tap", "the second axis", "the first axis"),
        ),
    ),
    (
        change(S, eq("X.y", {"S.l": 3, "F.b": 5}, -2)),
        S,
        (
            ("axis-borrowed", "tap", "the second axis", "the first axis"),
            ("step-of-other-axis", "dilation", "the second axis", "the first axis"),
        ),
    ),
    (
        change(S, eq("X.y", {"S.m": 2, "F.b": 5}, -3), eq("X.x", {"S.l": 3, "F.a": 2}, -2)),
        S,
        (("axes-exchanged", "the first and the second axis", "X"),),
    ),
    (
        change(S, eq("X.y", {"S.m": 3, "F.b": 2}, -2), eq("X.x", {"S.l": 2, "F.a": 5}, -2)),
        S,
        (
            ("axes-exchanged", "the first and the second axis", "X"),
            ("step-of-other-axis", "padding", "the first axis", "the second axis"),
        ),
    ),
    (
        change(DF, conditions=(only({"G.l": 1}, low=number(0), high=number(0), of="first"),)),
        DF,
        (("one-product", "first", "row of G"),),
    ),
    (
        change(DX, conditions=(only({"dX.x": 1}, low=number(0), high=number(0)),)),
        DX,
        (("index-constant", "the first column of ∂l/∂X", "filled"),),
    ),
    (
        change(DX, conditions=(only({"dX.x": 1}, low=number(2), high=size("W", -3)),)),
        DX,
        (
            ("first-lost", "the first 2 columns of ∂l/∂X", "stay 0"),
            ("last-lost", "the last 2 columns of ∂l/∂X", "stay 0"),
        ),
    ),
    (
        summed(S, change(S, coefficient=Coefficient(1, (("N", -1),)))),
        S,
        (("otherwise-added", "1/N·Σ X[k, y, x] · F[i, k, a, b]   over  y = 3l + 2a − 2,  x = 2m + 5b − 3"),),
    ),
    (summed(BIASED, alone("S", "b", (eq("b.i", {"S.i": 1}),))), BIASED, (("counted-again", ""),)),
    (
        alone("S", "b", (eq("b.i", {"S.i": 1}, 1, "wrap"),)),
        BIASED,
        (("index-shifted", "the filters", "b", "1, cyclically"), ("products-missing", "F and X")),
    ),
    (
        change(S, eq("X.x", {"S.m": 2, "F.b": -5, "L": 5}, -8)),
        BIASED,
        (("filter-turned", "the filter", "the second axis"), ("bias-missing",)),
    ),
    (
        summed(alone("S", "F", (eq("F.i", {"S.i": 1}),)), alone("S", "b", (eq("b.i", {"S.i": 1}),))),
        BIASED,
        (("factor-missing", "X"),),
    ),
    (
        dataclasses.replace(SG, shape=(SG.shape[0], size("n", 1), *SG.shape[2:])),
        SG,
        (("size-off", "axis 1", "n + 1", "n"),),
    ),
    (
        change(SG, eq("F.+", {"n/g·S.g": 1, "S.i": 1}, 1, "wrap"), free=("F.g", "F.i")),
        SG,
        (("index-shifted", "the filters", "F", "1, cyclically"),),
    ),
    (
        change(DXG, eq("F.+", {"d/g·G.g": 1, "G.i": 1}, 0, "wrap"), free=("F.g", "F.i")),
        DXG,
        (("index-mapped", "the filters", "F", "(d/g)·g of ∂l/∂X + i of G, modulo n,", "(n/g)·g of ∂l/∂X + i of G"),),
    ),
    (change(BG, eq("b.g", {}, 0), term=1), BG, (("index-constant", "the first group of b", "used"),)),
    (
        change(DBG, eq("db.g", {"G.i": 1}, 0, "wrap")),
        DBG,
        (("index-borrowed", "the filters of ∂l/∂b, counted modulo their number,", "the groups", "∂l/∂b"),),
    ),
    (
        change(DX, conditions=(only({"F.a": 1}, low=number(2)),)),
        DX,
        (("first-lost", "the first 2 rows of taps of F", "are left out"),),
    ),
    (
        change(DX, conditions=(only({"F.b": 1}, high=Linear.of({"L÷2": 2}, -1)),)),
        DX,
        (("remainder-lost", "the columns", "taps of F", "2", "are left out"),),
    ),
    (
        change(
            DX,
            views=(
                DX.terms[0].views[0],
                dataclasses.replace(DX.terms[0].views[1], steps=((2, 2),)),
                DX.terms[0].views[2],
            ),
        ),
        DX,
        (("in-steps", "the rows of taps of F", "0, 2, 4, … come first, then 1, 3, 5, …"),),
    ),
    (
        change(DX3, conditions=(only({"G.o": 1}, low=number(2)),)),
        DX3,
        (("first-lost", "the first 2 slices along the third axis of G", "are left out"),),
    ),
    (
        change(DX3, conditions=(only({"F.c": 1}, high=size("M", -3)),)),
        DX3,
        (("last-lost", "the last 2 slices along the third axis of F", "are left out"),),
    ),
    (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2, "N": -1, "K": -1}, -2)),
        S,
        (("offset", "the first axis", "N + K", "small"),),
    ),
    (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2, "N": -1, "K": -1}, -3)),
        S,
        (("offset", "the first axis", "N + K + 1", "small"),),
    ),
]


def said(name, *facts):
    """The phrase of an atom with these facts in its gaps; "everywhere" that of all axes."""
    name, _, everywhere = name.partition(" ")
    phrase = ATOMS[name].everywhere if everywhere else ATOMS[name].phrase
    gaps = iter(facts)
    filled = re.sub(r"\{\w+\}", lambda _: next(gaps), phrase)
    assert next(gaps, None) is None
    return filled


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_difference_is_told_with_its_facts(name):
    assert explain(*WRONG[name]).causes == (said(name, *NAMED[name]),)


def test_what_differs_is_told_with_all_facts():
    for at, (read, wanted, facts) in enumerate(SAID):
        found = explain(read, wanted)
        assert found.causes == tuple(said(*each) for each in facts), at
        assert found.anchors == tuple(each[0].partition(" ")[0] for each in facts), at
        assert found.atoms == tuple(dict.fromkeys(found.anchors)), at
        assert all(each in found.title for each in found.causes), at


def test_other_formulas_have_other_words():
    """What is said of one axis tells all of its equation."""
    generator, said_of = np.random.default_rng(2), {}
    for stride, dilation in itertools.product((-3, -2, 1, 2, 3, 5, 7), repeat=2):
        for constant in {-2, *generator.integers(-9, 10, 1).tolist()}:
            read = change(S, eq("X.y", {"S.l": stride, "F.a": dilation}, constant))
            title = explain(read, S).title
            assert said_of.setdefault(title, (stride, dilation, constant)) == (stride, dilation, constant)
    assert said_of["S is right"] == (3, 2, -2)


def test_where_to_look_is_said_in_the_layout_of_the_code():
    read, wanted = WRONG["bias-axis"]
    default, last = explain(read, wanted).cures[0], explain(read, wanted, parse("NHWC,HWIO->NHWC")).cures[0]
    assert "b[:, None, None]" in default
    assert default != last
    assert "None" not in last


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_size_of_an_image_follows_from_the_others(axes, same):
    formula = right("S", structure(axes), OPTIONS[axes], same=same)
    known = known_sizes(formula)
    assert list(known) == [image for image, _, _ in SIZES[axes]]
    for sizes in itertools.islice(layers(formula, formula, structure(axes)), 10):
        assert all(value.at(sizes) == sizes[image] for image, value in known.items())
    assert known_sizes(dataclasses.replace(formula, options=())) == {}
