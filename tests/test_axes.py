"""Reports of code in another layout: formulas, cures, smallest cases and programs have the axes of the code."""

import contextlib
import dataclasses
import functools
import io
import itertools
import re

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from jacobians import Geometry, audit
from jacobians.audit import with_layout
from jacobians.formula.axes import arranged
from jacobians.formula.layouts import parse, places, standard
from jacobians.formula.relation import PAIRS, View
from jacobians.formula.structure import Structure
from tests.false_alarms import layers
from tests.formula.wrong import right_of

NHWC = "NHWC,HWIO->NHWC"
LAYOUTS = ("NHWC,OHWI->NHWO", "HWC,HWIO->HWO", "WHCN,WHIO->WHON", "CNHW,IHWO->OHWN")


# Code with planes last ------------------------------------------------------------------------------------------------


def forward(X, F, b):
    W = sliding_window_view(X, F.shape[:2], axis=(1, 2))
    return np.einsum("nlmiab,abio->nlmo", W, F) + b


def backward(X, F, b, G):
    k, l = F.shape[:2]
    dX, dF = np.zeros_like(X), np.zeros_like(F)
    for y, x in itertools.product(range(G.shape[1]), range(G.shape[2])):
        dF += np.einsum("nabi,no->abio", X[:, y : y + k, x : x + l], G[:, y, x])
        dX[:, y : y + k, x : x + l] += np.einsum("no,abio->nabi", G[:, y, x], F)
    return dX, dF, G.sum(axis=(0, 1, 2))


def not_rotated(X, F, b, G):
    return backward(X, F[::-1, ::-1], b, G)[0], *backward(X, F, b, G)[1:]


def as_with_planes_first(X, F, b, G):
    return *backward(X, F, b, G)[:2], G.sum(axis=(0, 2, 3))


def flattened_otherwise(X, F, b):
    W = sliding_window_view(X, F.shape[:2], axis=(1, 2))  # planes, then taps
    return W.reshape(*W.shape[:3], -1) @ F.reshape(-1, F.shape[-1]) + b


def bias_of_columns(X, F, b):
    return forward(X, F, b * 0) + np.resize(b, X.shape[2] - F.shape[1] + 1)[:, None]


def without_last_column(X, F, b):
    S = forward(X, F, b)
    return S[:, :, : max(S.shape[2] - 1, 1)]


class Kept:
    """Planes first, and filters in the order of HWIO; the last column of G is left out."""

    def __init__(self, in_channels, filters, kernel_size):
        self.W = np.zeros((kernel_size, kernel_size, in_channels, filters))

    def forward(self, X):
        self.X = X
        windows = sliding_window_view(X, self.W.shape[:2], axis=(2, 3))
        return np.einsum("nilmab,abio->nolm", windows, self.W)

    def backward(self, G):
        windows = sliding_window_view(self.X, self.W.shape[:2], axis=(2, 3))
        self.dW = np.einsum("nilmab,nolm->abio", windows[:, :, :, :-1], G[..., :-1])
        turned = backward(self.X.transpose(0, 2, 3, 1), self.W, None, G.transpose(0, 2, 3, 1))[0]
        return turned.transpose(0, 3, 1, 2)


class Last(Kept):
    """The same with planes last."""

    def forward(self, X):
        return super().forward(X.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)

    def backward(self, G):
        return super().backward(G.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)


def found(*functions, layout=NHWC, few=None):
    bias = None if isinstance(functions[0], type) else True
    report = audit(*functions, layout=layout, bias=bias, geometries=few)
    assert len(report.findings) == 1, report
    return report.findings[0]


def printed(code, **replaced):
    """What a program prints, as it stands, or with other functions in the place of those that it imports."""
    if replaced:
        code = "\n".join(line for line in code.splitlines() if not line.startswith("from tests"))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, dict(replaced))
    return out.getvalue()


def halves(text):
    """The two arrays or shapes that a program prints."""
    numbers = re.sub(r"\s+", "", text)
    return numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]


# The smallest layers, and others on which a formula can be wrong.
FEW = [
    Geometry((1, 1, 1), (1, 1, 1, 1)),
    Geometry((1, 1, 1), (2, 1, 1, 1)),
    Geometry((1, 1, 2), (1, 1, 1, 1)),
    *layers({"groups": 1}, 2),
]
# Whose smallest case is asserted.
EVERYWHERE = {"rotation", "order", "shape"}
AUDITED = {
    "rotation": (forward, not_rotated),
    "bias": (forward, as_with_planes_first),
    "order": (flattened_otherwise,),
    "column": (bias_of_columns,),
    "shape": (without_last_column,),
    "kept": (Kept,),
    "last": (Last,),
}


@functools.cache
def finding(name):
    """What is found in code in another layout, once in each process that asks."""
    layout = None if isinstance(AUDITED[name][0], type) else NHWC
    return found(*AUDITED[name], layout=layout, few=None if name in EVERYWHERE else FEW)


# Reports --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("rotation", ("∂l/∂X[y, x, k]", "G[l, m, i] · F[a, b, k, i]")),
        ("bias", ("∂l/∂b[i]", "G[i, m, i']")),
        ("order", ("S[l, m, i]", "X[y, x, k] · F[a, b, k, i]", "F read as (k, a, b, i)")),
        ("kept", ("∂l/∂F[a, b, k, i]", "G[i, l, m] · X[k, y, x]")),
        ("last", ("∂l/∂F[a, b, k, i]", "G[l, m, i] · X[y, x, k]")),
    ],
)
def test_indices_stand_in_the_order_of_the_axes(name, sides):
    for each in sides:
        assert each in finding(name).formula
    assert finding(name).right.partition(" = ")[0] == sides[0]


def test_cures_name_the_axes_of_the_layout():
    assert "np.flip(F, axis=(0, 1))" in finding("rotation").cure
    assert "G.sum(axis=(0, 1, 2))" in finding("bias").cure
    assert "S + b." in finding("column").cure
    assert finding("bias").anchor == "bias-gradient-axis"
    assert finding("column").anchor == "bias-axis"


def test_the_smallest_case_and_shapes_have_the_axes_of_the_layout():
    assert finding("rotation").case.startswith("X 1×1×2×1, F 1×2×1×1")
    assert finding("order").case.startswith("X 1×1×2×2, F 1×2×2×1")
    assert "has shape (1, 1, 1, 1), not (1, 1, 2, 1)" in finding("shape").title


@pytest.mark.parametrize("name", ["rotation", "bias", "order", "column", "shape", "kept", "last"])
def test_the_code_of_a_finding_runs_as_it_stands_and_shows_it(name):
    got, right = halves(printed(finding(name).code).replace("(1,)", "(1,1)"))
    assert got != right


def test_the_same_code_shows_nothing_of_right_functions():
    for name, each in (("order", forward), ("shape", forward)):
        got, right = halves(printed(finding(name).code, forward=each))
        assert got == right, name
    for name in ("rotation", "bias"):
        got, right = halves(printed(finding(name).code, backward=backward))
        assert got == right, name


def test_the_arrays_of_a_finding_are_what_predict_takes():
    each = finding("rotation")
    X, F, G = (np.array(each.arrays[letter]) for letter in "XFG")
    geometry = Geometry(X.shape[1:], F.shape)
    np.testing.assert_array_equal(each.predict(geometry, F=F, G=G), each.arrays["got"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_its_own_axes(layout):
    """Code that takes F from its end is written by einsum in any layout."""
    X, F, S = re.split(",|->", layout)
    turned = [axis for axis, letter in enumerate(F) if letter in "HW"]

    def wrong(x, f):
        x = np.einsum(f"{X}->{planes_first(X, 'NCHW')}", x)
        f = np.einsum(f"{F}->OIHW", np.flip(f, turned))
        windows = sliding_window_view(x if "N" in X else x[None], f.shape[2:], axis=(2, 3))
        result = np.einsum("nilmab,oiab->nolm", windows, f)
        result = result if "N" in X else result[0]
        return np.einsum(f"{planes_first(S.replace('C', 'O'), 'NOHW')}->{S.replace('C', 'O')}", result)

    each = audit(wrong, layout=layout, bias=False).findings[0]
    names = {"N": "n", "C": "k", "O": "i", "I": "k"}
    indices = {
        "X": [{"H": "y", "W": "x", **names}[letter] for letter in X if letter != "N"],
        "F": [{"H": "a", "W": "b", **names}[letter] for letter in F],
        "S": [{"H": "l", "W": "m", **names, "C": "i"}[letter] for letter in S if letter != "N"],
    }
    assert each.anchor == "filter-turned"
    for text in (each.formula, each.right):
        assert all(f"{letter}[{', '.join(some)}]" in text for letter, some in indices.items())
    shape = np.shape(eval(re.search(r"^F = (.*)$", each.code, re.MULTILINE)[1], {"np": np}))
    assert f"F {'×'.join(map(str, shape))}," in each.case
    got, right = halves(printed(each.code, forward=wrong))
    assert got != right


def planes_first(part, order):
    return "".join(letter for letter in order if letter in part)


def test_spatial_axes_are_counted_as_the_code_has_them():
    def wrong(X, F):
        windows = sliding_window_view(X[::-1], F.shape[:2], axis=(0, 1))
        return np.einsum("mlinba,baio->mlon", windows, F)

    each = audit(wrong, layout="WHCN,WHIO->WHON", bias=False).findings[0]
    assert (each.anchor, "the first axis" in each.title, "the first axis" in each.cause) == ("image-turned", True, True)


def test_code_for_one_image_is_shown_with_several_by_an_adapter():
    """∂l/∂F is summed over images by the audit, so that only state shows with two of them."""
    last = {}

    def keeps(X, F):
        before, last["F"] = last.get("F"), F.copy()
        right = np.einsum("ilmab,oiab->olm", sliding_window_view(X, F.shape[2:], axis=(1, 2)), F)
        return right if before is None or before.shape != F.shape or np.array_equal(before, F) else right + 1

    each = audit(keeps, layout="CHW,OIHW->OHW", bias=False).findings[0]
    assert each.kind == "state"
    assert "with_layout(forward, None, " in each.code
    got, right = halves(printed(each.code, forward=keeps))
    assert got != right


# Formulas -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("written", [False, True])
def test_an_order_of_memory_is_the_same_in_other_axes(layout, written):
    tensor, sizes = Structure(2, 2).tensors["F"], {"g": 2, "n/g": 3, "d/g": 5, "K": 2, "L": 7}
    # Groups and what is in them, planes, taps.
    named, memory = 0, np.arange(np.prod(tensor.shape(sizes)))
    for order in itertools.permutations(range(5)):
        view = View(tensor, order, written, steps=((3, 2), (2, PAIRS)))
        formula = right_of("dX", groups=2)
        term = formula.terms[0]
        views = [view if each.tensor.letter == "F" else each for each in term.views]
        changed = dataclasses.replace(formula, terms=(dataclasses.replace(term, views=tuple(views)),))
        found = arranged([changed], parse(layout))
        if found is None:
            continue
        named += 1
        new = next(each for each in found[0].terms[0].views if each.tensor.letter == "F")
        # Where the same entries lie in memory in the order of the code's axes.
        indices = View(tensor).columns(memory, sizes)
        there = View(new.tensor).flat(indices, sizes)
        for name, column in view.columns(memory, sizes).items():
            np.testing.assert_array_equal(new.columns(there, sizes)[name], column)
        np.testing.assert_array_equal(new.flat(new.columns(there, sizes), sizes), there)
    assert named >= 5


def test_what_cannot_be_said_of_the_axes_is_not_said():
    formula = right_of("S")
    term = formula.terms[0]
    views = tuple(
        dataclasses.replace(each, order=(1, 3, 2, 0)) if each.tensor.letter == "F" else each for each in term.views
    )
    changed = dataclasses.replace(formula, terms=(dataclasses.replace(term, views=views),))
    assert arranged([changed], parse("NHWC,HWIO->NHWC")) is None
    assert arranged([changed], {}) == [changed]


@pytest.mark.parametrize(
    ("layout", "taps", "bias", "summed"),
    [
        (standard(2), "(2, 3)", "b[:, None, None]", "(0, 2, 3)"),
        (standard(1), "2", "b[:, None]", "(0, 2)"),
        (NHWC, "(0, 1)", "b", "(0, 1, 2)"),
        ("HWC,HWIO->HWO", "(0, 1)", "b", "(0, 1)"),
        ("CDHW,ODHWI->ODHW", "(1, 2, 3)", "b[:, None, None, None]", "(1, 2, 3)"),
        ("CNHW,IHWO->OHWN", "(1, 2)", "b[:, None, None, None]", "(1, 2, 3)"),
    ],
)
def test_where_axes_stand_is_read_off_the_layout(layout, taps, bias, summed):
    where = places(parse(layout))
    assert (where["taps"], where["bias"], where["summed"]) == (taps, bias, summed)
    # NumPy agrees.
    S = layout.partition("->")[2].replace("C", "O")
    G = np.ones([5 if letter == "O" else 2 for letter in S])
    b = np.arange(5.0)
    assert eval(f"G.sum(axis={where['summed']})", {"G": G}).shape == (5,)
    assert eval(f"(G + {where['bias']})", {"G": G, "b": b}).shape == G.shape


def test_flattened_axes_are_unfolded_where_they_are_named():
    where = places(parse("N(CHW),O(IHW)->N(OHW)"))
    assert (where["filters"], where["gradient"]) == ("F.reshape(O, I, H, W)", "G.reshape(N, O, H, W)")


def test_an_adapter_tells_its_layout():
    each = audit(*with_layout(bias_of_columns, None, NHWC), bias=True, geometries=FEW).findings[0]
    assert "F[a, b, k, i]" in each.formula
