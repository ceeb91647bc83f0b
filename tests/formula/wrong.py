"""Wrong formulas, made from right ones by hand."""

import dataclasses

from jacobians import Geometry
from jacobians.formula.relation import Condition, Equation, Formula, Linear, Term, View
from jacobians.formula.structure import Structure, right, with_bias

OPTIONS = {
    1: Geometry((2, 40), (2, 2, 2), stride=3, dilation=2, padding=((2, 1),)),
    2: Geometry((2, 40, 41), (2, 2, 2, 3), stride=(3, 2), dilation=(2, 5), padding=((2, 1), (3, 4))),
    3: Geometry(
        (2, 40, 41, 42), (2, 2, 2, 3, 2), stride=(3, 2, 1), dilation=(1, 1, 2), padding=((2, 1), (3, 4), (0, 1))
    ),
}
# Where nothing but the relation matters.
PLAIN = Geometry((2, 10, 11), (2, 2, 2, 3))


def structure(axes=2, groups=1):
    return Structure(axes, groups)


def right_of(result, axes=2, groups=1, options=None, *, bias=False):
    found = right(result, structure(axes, groups), options or OPTIONS[axes])
    found = dataclasses.replace(found, options=tuple((dict(found.options) | {"groups": groups}).items()))
    return with_bias(found, structure(axes, groups)) if bias else found


def change(formula, *equations, free=(), term=0, **fields):
    """Replace equations of one term, by the names of their indices, and other fields of it."""
    terms = list(formula.terms)
    mine = {each.index: each for each in terms[term].equations if each.index not in free}
    mine |= {each.index: each for each in equations}
    terms[term] = dataclasses.replace(terms[term], equations=tuple(mine.values()), **fields)
    return dataclasses.replace(formula, terms=tuple(terms))


def eq(index, terms=(), constant=0, fold=""):
    return Equation(index, Linear.of(dict(terms), constant), fold)


def only(terms, low=None, high=None, modulus=0, of=""):
    return Condition(Linear.of(terms), low, high, modulus, of)


def size(name, off=0):
    return Linear.of({name: 1}, off)


def number(value):
    return Linear.of({}, value)


def summed(*formulas):
    return dataclasses.replace(formulas[0], terms=tuple(term for each in formulas for term in each.terms))


def alone(result, letters, equations=(), axes=2, **fields):
    """A formula of one term, of these factors."""
    tensors = structure(axes).tensors
    views = tuple(View(tensors[letter]) for letter in (result, *letters))
    return Formula(result, (Term(views, tuple(equations), **fields),), right_of(result, axes).shape)
