"""The search for formulas: products whose formula is known lead back to it, and the search takes as much as it did.

A row is a formula, at how many layers its products are known, the effort of finding it from them, and the equations and
ranges that are found where they are other ones, if they are short: so few small layers may have the products of several
formulas. The effort is measured: a search that loses its way takes more, and one that leaves candidates out takes less,
or finds less. Where a change makes the search better, measure anew.
"""

import dataclasses
import functools
from fractions import Fraction

import numpy as np
import pytest

from jacobians import Geometry
from jacobians.formula import fit as search
from jacobians.formula.fit import fit
from jacobians.formula.normal import solved
from jacobians.formula.relation import Coefficient, Linear
from jacobians.formula.structure import Layer, Structure
from jacobians.formula.writing import write
from tests.formula.searched import effort, readings
from tests.formula.test_words import DF, DX, WRONG, S
from tests.formula.test_words_facts import DBG, DFG, S1, SG, stepped
from tests.formula.wrong import OPTIONS, alone, change, eq, number, only, right_of, size, summed

# Images, planes and filters of a group, taps, responses and tails.
SIZES = [
    (2, 3, 2, (2, 2), (3, 2), (1, 0)),
    (1, 2, 4, (3, 2), (2, 4), (0, 1)),
    (3, 2, 2, (2, 3), (4, 2), (2, 0)),
    (1, 4, 1, (1, 2), (3, 5), (0, 0)),
    (2, 1, 3, (4, 1), (5, 5), (1, 1)),
    (1, 1, 2, (2, 4), (2, 6), (0, 1)),
    (2, 5, 1, (2, 1), (2, 5), (2, 1)),
    (1, 2, 5, (1, 3), (4, 3), (0, 0)),
    # Where it is looked whether the formula holds elsewhere, too.
    (4, 1, 1, (3, 3), (6, 2), (0, 0)),
    (1, 3, 3, (3, 1), (7, 6), (1, 0)),
]


@functools.cache
def layers(axes, groups):
    """Layers of these sizes."""
    given, found = OPTIONS[axes], []
    for images, planes, filters, taps, responses, tails in SIZES:
        every = zip(given.stride, given.dilation, given.padding, taps, responses, tails, strict=False)
        image = [s * (out - 1) + d * (k - 1) + 1 + min(rest, s - 1) - sum(p) for s, d, p, k, out, rest in every]
        shape = (filters * groups, planes, *taps[:axes])
        options = {"stride": given.stride, "dilation": given.dilation, "padding": given.padding, "groups": groups}
        found.append(Layer(Geometry((planes * groups, *image), shape, **options), images))
        assert found[-1].geometry.responses[1:] == responses[:axes]
    return found


def part(rest, modulus=2):
    """S at the responses that leave this remainder."""
    return change(S, conditions=(only({"S.l": 1}, low=number(rest), high=number(rest), modulus=modulus),))


# What is looked at: terms, indices, sums of indices, combinations of sizes, and forms and limits of ranges.
EFFORT = ("terms", "indices", "sums", "combinations", "forms", "ranges")
SEARCHES = {
    "response-turned": (WRONG["response-turned"][0], 8, (1, 5, 10, 323, 0, 0), ""),
    "axes-exchanged": (WRONG["axes-exchanged"][0], 8, (1, 5, 10, 5, 0, 0), ""),
    "axis-borrowed": (WRONG["axis-borrowed"][0], 8, (1, 5, 10, 5, 0, 0), ""),
    "step-ignored": (WRONG["step-ignored"][0], 8, (1, 5, 10, 5, 0, 0), ""),
    "step-wrong": (WRONG["step-wrong"][0], 8, (1, 5, 10, 5, 0, 0), ""),
    "step-missing": (WRONG["step-missing"][0], 8, (1, 5, 10, 5, 0, 0), ""),
    "offset": (WRONG["offset"][0], 8, (1, 5, 10, 323, 0, 0), ""),
    "index-constant": (WRONG["index-constant"][0], 8, (1, 5, 10, 5, 0, 0), ""),
    "index-reversed": (WRONG["index-reversed"][0], 8, (1, 5, 10, 323, 0, 0), ""),
    "index-summed": (WRONG["index-summed"][0], 8, (1, 4, 8, 4, 0, 0), ""),
    "index-borrowed": (WRONG["index-borrowed"][0], 8, (1, 5, 10, 5, 0, 0), ""),
    "border": (WRONG["border"][0], 8, (1, 5, 25, 5, 0, 0), ""),
    "first-lost": (WRONG["first-lost"][0], 8, (1, 5, 10, 6, 3, 1), ""),
    "last-lost": (WRONG["last-lost"][0], 8, (1, 5, 10, 324, 3, 1), ""),
    "some-lost": (WRONG["some-lost"][0], 8, (1, 5, 10, 105662, 422, 7), ""),
    "hole": (WRONG["hole"][0], 8, (1, 5, 10, 26659, 9, 3), "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  flat(a, b) ≥ 1"),
    "one-product": (WRONG["one-product"][0], 8, (1, 5, 10, 158010, 34, 8), ""),
    "sign": (WRONG["sign"][0], 8, (1, 5, 10, 5, 0, 0), ""),
    "size-factor": (WRONG["size-factor"][0], 8, (1, 5, 10, 5, 0, 0), ""),
    "count-factor": (WRONG["count-factor"][0], 8, (1, 5, 10, 5, 0, 0), ""),
    "factor-missing": (WRONG["factor-missing"][0], 8, (1, 1, 2, 1, 0, 0), ""),
    "counted-again": (WRONG["counted-again"][0], 8, (2, 11, 20, 5, 0, 0), ""),
    "otherwise": (WRONG["otherwise"][0], 8, (1, 5, 10, 5, 0, 0), "y = 3l + m + 2a − 2,  x = 2m + 5b − 3"),
    "order": (WRONG["order"][0], 8, (4, 11, 104, 5, 0, 0), ""),
    "groups-interleaved": (
        WRONG["groups-interleaved"][0],
        6,
        (2, 13, 193, 131108, 252, 22),
        "g = ((n/g)·g' + i) mod 2,  y = 3l + 2a − 2,  x = 2m + 5b − 3",
    ),
    "in-steps": (WRONG["in-steps"][0], 6, (4, 17, 39, 383775, 284, 38), ""),
    "index-mapped": (WRONG["index-mapped"][0], 8, (1, 6, 97, 6, 0, 0), ""),
    "index-shifted": (WRONG["index-shifted"][0], 8, (1, 5, 13, 5, 0, 0), ""),
    "right dXG": (right_of("dX", 2, 2), 8, (1, 7, 57, 6, 0, 0), ""),
    "right dFG": (DFG, 8, (1, 7, 57, 6, 0, 0), ""),
    "right dBG": (DBG, 8, (1, 2, 11, 2, 0, 0), ""),
    "fold clamp": (change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "clamp")), 8, (1, 5, 25, 5, 0, 0), ""),
    "fold reflect": (change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "reflect")), 8, (1, 5, 25, 5, 0, 0), ""),
    "fold symmetric": (change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "symmetric")), 8, (1, 5, 25, 5, 0, 0), ""),
    "fold wrap before": (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "wrap before")),
        8,
        (1, 5, 25, 13491, 13, 2),
        "y = (3l + 2a − 2) mod H,  x = 2m + 5b − 3   for  3l + 2a ≤ H + 1",
    ),
    "fold wrap behind": (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "wrap behind")),
        8,
        (1, 5, 25, 325, 13, 2),
        "y = (3l + 2a − 2) mod H,  x = 2m + 5b − 3   for  3l + 2a ≥ 1",
    ),
    "fold clamp behind": (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "clamp behind")),
        8,
        (1, 5, 18, 325, 13, 2),
        "y = 3l + 2a − 2 clamped to 0 … H − 1,  x = 2m + 5b − 3   for  3l + 2a ≥ 1",
    ),
    "fold reflect before": (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "reflect before")),
        8,
        (1, 5, 25, 13491, 13, 2),
        "y = 3l + 2a − 2 reflected at 0 and H − 1,  x = 2m + 5b − 3   for  3l + 2a ≤ H + 1",
    ),
    "fold symmetric behind": (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "symmetric behind")),
        8,
        (1, 5, 18, 325, 13, 2),
        "y = 3l + 2a − 2 clamped to 0 … H − 1,  x = 2m + 5b − 3   for  3l + 2a ≥ 1",
    ),
    "fold1 clamp": (change(S1, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "clamp")), 8, (1, 4, 23, 4, 0, 0), ""),
    "fold1 reflect": (change(S1, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "reflect")), 8, (1, 4, 23, 4, 0, 0), ""),
    "fold1 symmetric": (change(S1, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "symmetric")), 8, (1, 4, 23, 4, 0, 0), ""),
    "fold1 wrap": (change(S1, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "wrap")), 8, (1, 4, 23, 4, 0, 0), ""),
    "fold1 wrap before": (
        change(S1, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "wrap before")),
        8,
        (1, 4, 23, 3380, 13, 2),
        "y = (3l + 2a − 2) mod W   for  3l + 2a ≤ W + 1",
    ),
    "fold both": (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "wrap"), eq("X.x", {"S.m": 2, "F.b": 5}, -3, "clamp")),
        8,
        (1, 5, 40, 5, 0, 0),
        "",
    ),
    "fold size": (change(S1, eq("X.y", {"S.l": 3, "F.a": 2, "K": 1}, -2, "wrap")), 8, (1, 4, 23, 137, 0, 0), ""),
    "mod 2": (
        change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -2, "mod 2")),
        8,
        (1, 5, 13, 5, 0, 0),
        "y = (3l + 2a) mod 2,  x = 2m + 5b − 3",
    ),
    "mod 3": (
        change(S1, eq("X.y", {"S.l": 1, "F.a": 2}, -2, "mod 3")),
        8,
        (1, 4, 23, 4, 0, 0),
        "y = (l − a + 1) mod 3",
    ),
    "floor": (change(S1, eq("X.y", {"S.l": Fraction(1, 2), "F.a": 1}, 0, "floor")), 8, (1, 4, 11, 4, 0, 0), ""),
    "floor 3": (
        change(S1, eq("X.y", {"S.l": Fraction(2, 3), "F.a": 1}, Fraction(-1, 3), "floor")),
        8,
        (1, 4, 11, 4, 0, 0),
        "",
    ),
    "denominator": (change(S1, eq("X.y", {"S.l": Fraction(1, 2), "F.a": 1}, 0)), 8, (1, 4, 8, 4, 0, 0), ""),
    "half K": (change(S1, eq("X.y", {"S.l": 3, "F.a": 2, "K÷2": -1})), 8, (1, 4, 8, 137, 0, 0), ""),
    "half size": (
        change(S1, eq("X.y", {"S.l": 3, "F.a": 2, "K": Fraction(-1, 2)}, 0)),
        8,
        (1, 4, 8, 6622, 18, 14),
        "y = 3l + 2a − K÷2   for  n ≥ d÷2 − 2N + 2",
    ),
    "min cap": (change(S1, eq("X.y", {"S.l": 3, "F.a": 2, "min(K,3)": -1})), 8, (1, 4, 8, 137, 0, 0), ""),
    "three sizes": (
        change(S1, eq("X.y", {"S.l": -3, "F.a": -2, "W'": 3, "K": 2, "W": -1}, -2)),
        8,
        (1, 4, 8, 137, 0, 0),
        "y = −tail(W) + 5 − 3l − 2a",
    ),
    "cond mod": (
        change(S, conditions=(only({"S.l": 1}, low=number(0), high=number(0), modulus=2),)),
        8,
        (1, 5, 10, 13492, 18, 3),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  l mod 2 ≤ 0",
    ),
    "cond mod3": (
        change(S, conditions=(only({"S.m": 1}, low=number(1), high=number(2), modulus=3),)),
        8,
        (1, 5, 10, 327, 18, 4),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  m mod 3 ≥ 1",
    ),
    "cond both": (
        change(S, conditions=(only({"S.m": 1}, low=number(1), high=size("W'", -2)),)),
        8,
        (1, 5, 10, 325, 3, 2),
        "",
    ),
    "cond pair": (
        change(S, conditions=(only({"S.l": 1, "F.a": -1}, low=number(0)),)),
        8,
        (1, 5, 10, 7, 61, 2),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  l ≥ 1,  −l − 5a + y ≥ −5",
    ),
    "cond pairs sum": (
        change(S, conditions=(only({"S.l": 1, "F.a": 1}, high=size("H'", -1)),)),
        8,
        (1, 5, 10, 325, 61, 2),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  y ≤ 3H' − 5,  −2l − a + y ≤ 2",
    ),
    "cond step pair": (
        change(S, conditions=(only({"X.y": 1, "S.l": -3}, low=number(0), high=number(3)),)),
        8,
        (1, 5, 10, 7, 3, 2),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  1 ≤ a ≤ 2",
    ),
    "cond triple": (
        change(S, conditions=(only({"X.y": 1, "S.l": -2, "F.a": -2}, low=number(0)),)),
        8,
        (1, 5, 10, 6, 3, 1),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  l ≥ 2",
    ),
    "cond plane pair": (
        change(S, conditions=(only({"S.i": 1, "X.k": -1}, low=number(0)),)),
        8,
        (1, 5, 10, 325, 48, 2),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  i − k ≥ 0",
    ),
    "cond mod pair": (
        change(S, conditions=(only({"S.l": 1, "F.a": 1}, low=number(0), high=number(0), modulus=2),)),
        8,
        (1, 5, 10, 328, 142, 5),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  (l − a) mod 2 ≤ 0",
    ),
    "cond far": (change(S, conditions=(only({"S.l": 1}, low=number(2)),)), 8, (1, 5, 10, 6, 3, 1), ""),
    "cond limit size": (change(S, conditions=(only({"S.l": 1}, high=size("K", -1)),)), 8, (1, 5, 10, 324, 3, 1), ""),
    "cond limit other": (
        change(S, conditions=(only({"S.l": 1}, high=size("N", -1)),)),
        8,
        (1, 5, 10, 324, 3, 1),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  l ≤ min(H,tail(H))",
    ),
    "cond limit two": (
        change(S, conditions=(only({"X.y": 1}, high=Linear.of({"H": 1, "K": -1}, -1)),)),
        8,
        (1, 5, 10, 13172, 3, 1),
        "",
    ),
    "cond two axes": (
        change(S, conditions=(only({"S.l": 1}, low=number(1)), only({"F.b": 1}, high=size("L", -2)))),
        8,
        (1, 5, 10, 325, 6, 2),
        "",
    ),
    "cond taps and planes": (
        change(S, conditions=(only({"F.k": 1}, high=number(0)), only({"F.a": 1}, low=number(1)))),
        8,
        (1, 6, 10, 6, 3, 1),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  a ≥ 1",
    ),
    "cond flat": (change(S, conditions=(only({"S.*": 1}, low=number(3)),)), 8, (1, 5, 10, 26340, 9, 3), ""),
    "cond four": (
        change(S, conditions=tuple(only({n: 1}, low=number(1)) for n in ("S.l", "S.m", "F.a", "F.b"))),
        8,
        (1, 8, 11, 8, 2, 1),
        "m = 1,  y = 3l,  x = 4   for  l ≥ 1",
    ),
    "cond distance": (
        change(S, conditions=(only({"F.a": 1}, high=number(1), of="last"),)),
        8,
        (1, 5, 10, 324, 3, 1),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  a ≥ min(K,H') − 2",
    ),
    "hole block": (
        change(DX, excluded=(only({"G.m": 1}, low=Linear.of({"W'÷2": 2})), only({"G.l": 1}, low=number(1)))),
        8,
        (1, 5, 10, 324, 3, 1),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  m ≤ 2·(W'÷2) − 1",
    ),
    "hole middle": (
        change(S, excluded=(only({"S.l": 1}, low=number(1), high=number(1)),)),
        8,
        (1, 5, 10, 185302, 145, 12),
        "…",
    ),
    "hole and range": (
        change(
            S,
            conditions=(only({"S.m": 1}, low=number(1)),),
            excluded=(only({"S.l": 1}, high=number(0)), only({"F.a": 1}, high=number(0))),
        ),
        8,
        (1, 5, 10, 6, 3, 1),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   for  m ≥ 1",
    ),
    "coef half": (change(S, coefficient=Coefficient(Fraction(1, 2))), 8, (1, 5, 10, 5, 0, 0), ""),
    "coef third": (change(S, coefficient=Coefficient(Fraction(-1, 3))), 8, (1, 5, 10, 5, 0, 0), ""),
    "coef powers": (
        change(S, coefficient=Coefficient(1, (("N", -1), ("H'", -1), ("W'", -1)))),
        8,
        (1, 5, 10, 5, 0, 0),
        "",
    ),
    "coef up": (change(S, coefficient=Coefficient(1, (), (("X.y", -1),))), 8, (1, 5, 10, 5, 0, 0), ""),
    "coef up2": (change(S, coefficient=Coefficient(2, (("N", 1),), ())), 8, (1, 5, 10, 5, 0, 0), ""),
    "remainders": (
        summed(part(0), change(part(1), eq("X.y", {"S.l": 3, "F.a": 2}, -3))),
        8,
        (1, 4, 13, 40146, 61, 7),
        "x = 2m + 5b − 3   for  y mod 2 ≤ 0,  −3 ≤ −3l − 2a + y ≤ −2",
    ),
    "remainders tap": (
        summed(
            change(S1, conditions=(only({"F.a": 1}, low=number(0), high=number(0), modulus=2),)),
            change(
                S1,
                eq("X.y", {"S.l": 3, "F.a": -2, "K": 2}, -2),
                conditions=(only({"F.a": 1}, low=number(1), high=number(1), modulus=2),),
            ),
        ),
        5,
        (11, 38, 96, 89558, 138, 50),
        "",
    ),
    "two": (
        summed(S1, change(S1, eq("X.y", {"S.l": 3, "F.a": -2, "K": 2}, -4))),
        5,
        (20, 65, 123, 72383, 684, 131),
        "",
    ),
    "two at first": (
        summed(S, change(S, eq("X.y", {"S.l": 3, "F.a": 2}, -1), conditions=(only({"S.l": 1}, high=number(0)),))),
        8,
        (1, 4, 8, 134559, 345, 33),
        "…",
    ),
    "twice some": (summed(S, change(S, conditions=(only({"F.a": 1}, high=number(0)),))), 8, (2, 11, 20, 6, 0, 0), "…"),
    "twice first": (
        summed(S, change(S, conditions=(only({"S.l": 1}, high=number(0)),), coefficient=Coefficient(Fraction(5, 2)))),
        8,
        (2, 11, 20, 11, 0, 0),
        "…",
    ),
    "half some": (
        summed(S1, change(S1, conditions=(only({"F.a": 1}, low=number(1)),), coefficient=Coefficient(Fraction(-1, 2)))),
        8,
        (2, 8, 16, 9, 3, 1),
        "(1/2·Σ X[k, y] · F[i, k, a]   over  y = 3l + 2a − 2   for  a ≥ 1)",
    ),
    "size times some": (
        summed(
            change(S1, conditions=(only({"F.a": 1}, high=number(0)),)),
            change(S1, conditions=(only({"F.a": 1}, low=number(1)),), coefficient=Coefficient(-1, (("W'", 1),))),
        ),
        5,
        (9, 18, 35, 9875, 348, 18),
        "",
    ),
    "blocks": (
        change(S1, conditions=(only({"S.l": 1}, high=Linear.of({"W'÷2": 2}, -1)),)),
        8,
        (1, 4, 8, 138, 3, 1),
        "",
    ),
    "four terms": (
        summed(*(change(S1, eq("X.y", {"S.l": 3, "F.a": 2}, at)) for at in (-2, 1, 4, 7))),
        8,
        (1, 3, 6, 62009, 138, 33),
        "…",
    ),
    "minus": (
        summed(S, change(S, eq("X.k", {"F.k": 1}, 1, "wrap"), coefficient=Coefficient(-1))),
        5,
        (11, 38, 128, 14134, 846, 48),
        "…",
    ),
    "planes wrap": (change(S, eq("X.k", {"F.k": 1}, 1, "wrap")), 8, (1, 5, 13, 5, 0, 0), ""),
    "planes twice": (change(S, eq("X.k", {"F.k": 2}, 0, "wrap")), 8, (1, 5, 13, 5, 0, 0), ""),
    "clamp planes": (change(S, eq("X.k", {"F.k": 1}, 1, "clamp")), 8, (1, 5, 13, 5, 0, 0), ""),
    "joined": (change(SG, eq("X.+", {"d/g·S.g": 1, "F.k": 1}, 1), free=("X.g", "X.k")), 8, (1, 6, 85, 7, 0, 0), ""),
    "joined wrap": (
        change(SG, eq("X.+", {"d/g·S.g": 1, "F.k": 1}, -1, "wrap"), free=("X.g", "X.k")),
        8,
        (1, 6, 85, 7, 0, 0),
        "",
    ),
    "joined back": (
        change(SG, eq("X.+", {"d/g·S.g": -1, "F.k": 1, "d": 1, "d/g": -1}), free=("X.g", "X.k")),
        8,
        (1, 7, 57, 7, 0, 0),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3",
    ),
    "map sized": (change(DFG, eq("X.k", {"n/g·dF.g": 1, "dF.k": 1}, 0, "wrap")), 6, (1, 7, 69, 6, 0, 0), ""),
    "group constant": (change(SG, eq("X.g", {}, 0)), 8, (1, 7, 54, 6, 0, 0), ""),
    "group reversed": (change(SG, eq("X.g", {"S.g": -1}, 1)), 8, (1, 7, 57, 7, 0, 0), ""),
    "step image": (
        stepped((1, 3)),
        6,
        (4, 17, 41, 184985, 64, 11),
        "y = 3l + 2a − 2,  x = 2m + 5b − 3   i of F from steps of 3",
    ),
    "dF borrowed": (
        change(DF, eq("dF.i", {"X.k": 1}, 0, "wrap"), eq("dF.k", {"G.i": 1}, 0, "wrap"), free=("G.i", "X.k")),
        8,
        (1, 4, 9, 197830, 18, 11),
        "…",
    ),
    "single filter": (change(DF, eq("dF.i", {}, 0)), 8, (1, 5, 10, 5, 0, 0), ""),
    "constant some": (alone("S", "", conditions=(only({"S.l": 1}, low=number(1)),)), 8, (1, 0, 0, 1, 1, 1), ""),
    "bias shifted": (alone("S", "b", (eq("b.i", {"S.i": 1}, 1, "wrap"),)), 8, (1, 1, 4, 1, 0, 0), ""),
    "three own": (
        change(S1, eq("X.y", {"S.l": 3, "F.a": 2, "K": 1, "W'": -1, "N": 1}, -2)),
        8,
        (1, 4, 8, 7997, 0, 0),
        "y = 3l + 2a + N + K − W' − 2",
    ),
    "taps of planes": (
        change(S1, conditions=(only({"S.l": 1, "F.a": -2}, high=number(0)),)),
        8,
        (1, 4, 8, 141, 90, 4),
        "",
    ),
    "remainder of taps": (
        change(S1, conditions=(only({"F.a": 1, "S.l": 1}, low=number(0), high=number(0), modulus=2),)),
        8,
        (1, 4, 8, 275, 90, 5),
        "y = 3l + 2a − 2   for  (l − a) mod 2 ≤ 0",
    ),
    "remainders 3": (
        summed(
            *(
                change(
                    S1,
                    eq("X.y", {"S.l": 3, "F.a": 2}, -at * at - 1),
                    conditions=(only({"S.l": 1}, low=number(at), high=number(at), modulus=3),),
                )
                for at in range(3)
            )
        ),
        5,
        (12, 43, 103, 92005, 180, 49),
        "…",
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_formula_is_found_from_its_products_with_this_effort(name):
    formula, count, known, written = SEARCHES[name]
    options = dict(formula.options)
    axes, groups = 2 if not options or "stride[1]" in options else 1, options.get("groups", 1)
    structure, some = Structure(axes, groups), layers(axes, groups)
    ((letters, given),) = readings(formula, structure, some[:count]).items()
    with effort() as counts:
        terms = fit(given, formula.result, structure, some[0].geometry)
    found = dataclasses.replace(formula, terms=terms)
    if not written:
        assert tuple(map(solved, terms)) == tuple(map(solved, formula.terms))
    else:
        assert written == "…" or written in write(found)
        for mine, wanted in zip(readings(found, structure, some[:count])[letters], given, strict=True):
            assert np.array_equal(mine.places, wanted.places)
            assert np.array_equal(mine.coefficients, wanted.coefficients)
    assert tuple(counts[each] for each in EFFORT) == known


def looked_at(name, monkeypatch):
    """What is found from some products, and the products of each term that is tried."""
    formula, count, *_ = SEARCHES[name]
    structure, some, looked = Structure(len(formula.terms[0].views[0].names) - 2, 1), layers(2, 1), []
    ((_, given),) = readings(formula, structure, some[:count]).items()
    inner = search._Terms._term

    def term(self, rows, *args, **kwargs):
        looked.append(rows.count)
        return inner(self, rows, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(search._Terms, "_term", term)
        return fit(given, formula.result, structure, some[0].geometry), looked


def test_a_search_ends_after_so_many_terms_and_products(monkeypatch):
    found, looked = looked_at("twice some", monkeypatch)
    assert len(found) == 2
    assert len(looked) == 2
    # The first term is looked at before any limit, the second one up to it.
    for name, enough in (("MOST_TRIED", 1), ("MOST_ROWS", looked[0])):
        for limit in (enough, enough - 1):
            monkeypatch.setattr(search, name, limit)
            again, tried = looked_at("twice some", monkeypatch)
            assert (again == found) is (limit == enough), name
            assert (tried == looked) is (limit == enough), name
        monkeypatch.undo()
