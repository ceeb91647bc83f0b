import inspect
import re

import numpy as np
import pytest
import sympy

from jacobians import (
    Geometry,
    ShapeError,
    TooLargeError,
    convolution,
    filter_matrix,
    image_matrix,
    matrices,
    stack_matrix,
    symbolic,
)
from jacobians.verify.cases import EXAMPLE, SIBLING
from tests import oracle

AWKWARD = [
    EXAMPLE,
    Geometry((2, 3, 4), (2, 2, 2, 3), padding=((1, 0), (0, 2))),
    Geometry((4, 5, 3), (4, 2, 2, 2), stride=(2, 1), dilation=(2, 1), groups=2),
    Geometry((3, 12), (2, 3, 4), stride=3),
    Geometry((1, 2, 3, 4), (2, 1, 1, 2, 3)),
]


def lines(text: str) -> list[str]:
    return [line for line in text.strip().splitlines() if line]


def written(matrix: sympy.Matrix) -> list[list[str]]:
    return [[symbolic.write(entry, "text") for entry in row] for row in matrix.tolist()]


def test_the_lectures_image_matrix() -> None:
    rows = written(symbolic.image_matrix(EXAMPLE))
    assert len(rows) == 16
    assert rows[0] == ["X11", "X12", "X13", "X21", "X22", "X23", "X31", "X32", "X33"]
    assert rows[3] == ["X14", "X15", "X16", "X24", "X25", "X26", "X34", "X35", "X36"]
    assert rows[4] == ["X21", "X22", "X23", "X31", "X32", "X33", "X41", "X42", "X43"]
    assert rows[15] == ["X44", "X45", "X46", "X54", "X55", "X56", "X64", "X65", "X66"]


def test_the_lectures_filter_matrix() -> None:
    rows = written(symbolic.filter_matrix(EXAMPLE))
    first = ["F11", "F12", "F13", "0", "0", "0", "F21", "F22", "F23", "0", "0", "0", "F31", "F32", "F33"]
    assert rows[0] == first + ["0"] * 21
    assert rows[3] == ["0"] * 3 + first + ["0"] * 18
    assert rows[4] == ["0"] * 6 + first + ["0"] * 15
    assert rows[15] == ["0"] * 21 + first


def test_the_lectures_products() -> None:
    v = [symbolic.write(entry, "text") for entry in symbolic.input_gradient(EXAMPLE)]
    assert v[:4] == ["g1F11", "g1F12 + g2F11", "g1F13 + g2F12 + g3F11", "g2F13 + g3F12 + g4F11"]
    assert v[8] == "g1F23 + g2F22 + g3F21 + g5F13 + g6F12 + g7F11"
    assert v[14] == ("g1F33 + g2F32 + g3F31 + g5F23 + g6F22 + g7F21 + g9F13 + g10F12 + g11F11")
    assert v[35] == "g16F33"
    assert symbolic.write(symbolic.responses(EXAMPLE)[0], "text").startswith("X11F11 + X12F12 + X13F13 + X21F21")
    assert symbolic.write(symbolic.filter_gradient(EXAMPLE)[0], "text").startswith("g1X11 + g2X12 + g3X13 + g4X14")


def test_the_four_plane_sibling_has_the_lectures_sizes() -> None:
    assert symbolic.image_matrix(SIBLING).shape == (16, 36)
    assert symbolic.filter_matrix(SIBLING).shape == (16, 144)
    assert symbolic.image_matrix(SIBLING)[0, 9] == sympy.Symbol("X_2,11")


@pytest.mark.parametrize("geometry", AWKWARD, ids=repr)
def test_symbols_stand_where_numbers_stand(geometry) -> None:
    """Put distinct numbers for the symbols: the numeric builders give the same matrices."""
    generator = np.random.default_rng(0)
    X = generator.permutation(geometry.pixels).reshape(geometry.image) + 1
    F = generator.permutation(np.prod(geometry.filters)).reshape(geometry.filters) + 1
    for_X = dict(zip(symbolic.symbols("X", "image", geometry).ravel(), X.ravel().tolist(), strict=True))
    for_F = dict(zip(symbolic.symbols("F", "filters", geometry).ravel(), F.ravel().tolist(), strict=True))
    for group in range(geometry.groups):
        shown = symbolic.image_matrix(geometry, group=group).subs(for_X)
        assert shown.tolist() == image_matrix(X, geometry, group=group).toarray().tolist()
    for i in range(geometry.filters[0]):
        shown = symbolic.filter_matrix(geometry, i=i).subs(for_F)
        assert shown.tolist() == filter_matrix(F[i], geometry, group=geometry.group_of(i)).toarray().tolist()
        assert symbolic.stack_matrix(i, geometry).tolist() == stack_matrix(i, geometry, dtype=int).toarray().tolist()


@pytest.mark.parametrize("geometry", AWKWARD, ids=repr)
def test_products_are_derivatives_of_the_triple_sum(geometry) -> None:
    """l = Σ g S with S by the literal triple sum of the tests: its derivatives are the printed gradients."""
    X, F, g = (
        symbolic.symbols(letter, role, geometry)
        for letter, role in (("X", "image"), ("F", "filters"), ("g", "responses"))
    )
    S = oracle.convolve(X, F, **oracle.plain(geometry))
    loss = sympy.expand(sum(a * b for a, b in zip(g.ravel(), np.ravel(S), strict=True)))
    assert [sympy.expand(each) for each in symbolic.responses(geometry)] == [sympy.expand(each) for each in np.ravel(S)]
    assert list(symbolic.filter_gradient(geometry)) == [sympy.diff(loss, tap) for tap in F.ravel()]
    assert list(symbolic.input_gradient(geometry)) == [sympy.diff(loss, pixel) for pixel in X.ravel()]


def test_what_is_printed_is_what_is_computed(monkeypatch) -> None:
    """A wrong placement shows in the symbols: there is no second implementation behind them."""
    geometry = Geometry((1, 1, 2), (1, 1, 1, 2))
    right = matrices.tap_entries
    monkeypatch.setattr(matrices, "tap_entries", lambda F_i, *rest: right(convolution.turn(F_i[None])[0], *rest))
    assert symbolic.filter_matrix(geometry)[0, 0] == sympy.Symbol("F12")
    assert matrices.filter_matrix([[[1, 2]]], geometry)[0, 0] == 2


@pytest.mark.parametrize(
    ("letter", "role", "geometry", "some"),
    [
        ("X", "image", EXAMPLE, {0: "X11", 35: "X66"}),
        ("X", "image", Geometry((2, 3, 4), (1, 2, 1, 1)), {0: "X_1,11", 23: "X_2,34"}),
        ("X", "image", Geometry((1, 3, 12), (1, 1, 1, 1)), {0: "X_1,1", 35: "X_3,12"}),
        ("X", "image", Geometry((2, 3, 12), (1, 2, 1, 1)), {71: "X_2,3,12"}),
        ("F", "filters", Geometry((2, 3, 4), (3, 2, 2, 3)), {0: "F_11,11", 35: "F_32,23"}),
        ("F", "filters", Geometry((2, 3, 4), (12, 2, 2, 3)), {143: "F_12,2,2,3"}),
        ("F", "filters", Geometry((2, 3, 4), (1, 2, 2, 3)), {11: "F_2,23"}),
        ("F", "filters", Geometry((1, 3, 4), (2, 1, 2, 3)), {11: "F_2,23"}),
        ("g", "responses", EXAMPLE, {0: "g1", 15: "g16"}),
        ("g", "responses", Geometry((1, 6, 6), (2, 1, 3, 3)), {0: "g_1,1", 31: "g_2,16"}),
        ("S", "responses", Geometry((1, 6, 6), (2, 1, 3, 3)), {31: "S_2,44"}),
        ("b", "bias", Geometry((1, 6, 6), (11, 1, 3, 3)), {0: "b1", 10: "b11"}),
    ],
)  # fmt: skip
def test_names(letter, role, geometry, some) -> None:
    names = symbolic.names(letter, role, geometry)
    assert {index: names[index] for index in some} == some
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("text", "g1F11 + 2g2F12 - g_3,10F_2,13"),
        ("unicode", "g₁F₁₁ + 2g₂F₁₂ - g₃,₁₀F₂,₁₃"),
        ("latex", "g_{1} F_{11} + 2 g_{2} F_{12} - g_{3,10} F_{2,13}"),
    ],
)
def test_sums_are_written_as_the_lecture_writes_them(form, text) -> None:
    g1, g2, g3, a, b, c = map(sympy.Symbol, ["g1", "g2", "g_3,10", "F11", "F12", "F_2,13"])
    assert symbolic.write(b * 2 * g2 - c * g3 + a * g1, form) == text


def test_numbers_and_powers_are_written() -> None:
    assert symbolic.write(0) == "0"
    assert symbolic.write(-3) == "-3"
    assert symbolic.write(sympy.Symbol("X11") ** 2, "text") == "X11X11"


def test_long_sums_are_cut_in_the_middle() -> None:
    text = symbolic.write(symbolic.responses(EXAMPLE)[0], "text", width=40)
    assert len(text) <= 40
    assert text == "X11F11 + X12F12 + X13F13 + ... + X33F33"


def test_a_wide_matrix_is_cut_and_fits() -> None:
    matrix = symbolic.filter_matrix(Geometry((1, 8, 8), (1, 1, 3, 3)))
    text = symbolic.render(matrix, width=100)
    assert max(map(len, lines(text))) <= 100
    assert len(lines(text)) == 17
    assert all(dots in text for dots in "⋯⋮⋱")
    whole = symbolic.render(matrix, whole=True)
    assert len(lines(whole)) == 36
    assert not any(dots in whole for dots in "⋯⋮⋱")


@pytest.mark.parametrize("width", [30, 60, 100])
def test_every_view_fits_the_width(width) -> None:
    for geometry in AWKWARD[:4]:
        for name in symbolic.VIEWS:
            view = symbolic.view(name, geometry, 0, "unicode", width=width)
            _, *body = view.replace(":\n  a row", ": a row").splitlines()  # the title may take two lines
            assert max(map(len, body)) <= max(width, 50), (name, geometry)


def placed_by(view, columns) -> list[dict[int, str]]:
    """Where a pattern has its characters: {column: character} of each row."""
    rows = [re.sub(r" |^\[|\].*$", "", line) for line in view.splitlines() if line.startswith("[")]
    assert {len(row) for row in rows} == {columns}
    return [{column: mark for column, mark in enumerate(row) if mark not in "·."} for row in rows]


@pytest.mark.parametrize(
    ("geometry", "i"),
    [
        (Geometry((1, 6, 6), (1, 1, 3, 3)), 0),
        (Geometry((4, 4, 5), (2, 2, 2, 3), stride=(2, 1), padding=(1, 0), groups=2), 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", ["unicode", "text"])
def test_the_pattern_of_the_lectures_matrix_is_seen_whole_on_80_columns(geometry, i, form) -> None:
    view = symbolic.view("filter_matrix", geometry, i, form, width=80 if i == 0 else 120)
    assert max(map(len, view.splitlines())) <= 120 - 40 * (i == 0)
    table = geometry.pixel_table(group=geometry.group_of(i))
    assert placed_by(view, geometry.pixels) == [
        {int(p): "123456789abc"[c] for c, p in enumerate(row) if p >= 0} for row in table
    ]
    if i == 0:  # a gap between the blocks of columns, an empty line between the blocks of rows
        blocks = ["······", "123···", "456···", "789···", "······", "······"]
        row = view.partition("\n\n")[2].splitlines()[0]
        assert row.split()[1:-2] == [block.replace("·", "." if form == "text" else "·") for block in blocks]


def test_a_pattern_is_that_of_its_filter_and_shows_the_lines_of_responses_and_image() -> None:
    layer = Geometry((1, 5, 6), (2, 1, 3, 2))
    title = "M_F_1^filter = ∂vec(S_1)/∂vec(X): a row per response, a column per pixel  (L14, L15), 15 × 30"
    below, *rows, legend = symbolic.view("filter_matrix", layer, 0, "text", width=len(title) - 1).splitlines()[1:]
    assert below.strip() == title.partition(": ")[2]
    assert symbolic.view("filter_matrix", layer, 0, "text", width=len(title)).splitlines()[0] == title
    assert legend == "1 ... 6 are F_1,11 ... F_1,32, . is 0"
    assert [len(part) for part in rows[0].split()[1:-2]] == [6] * 5
    assert [at for at, row in enumerate(rows) if not row] == [5, 11]


def test_a_pattern_that_is_wrong_is_noticed(monkeypatch) -> None:
    geometry, placed = Geometry((1, 6, 6), (1, 1, 3, 3)), matrices.tap_entries
    monkeypatch.setattr(matrices, "tap_entries", lambda F_i, *rest: placed(np.flip(F_i), *rest))
    with pytest.raises(AssertionError):  # noqa: PT011  # a plain assert, which pytest need not explain
        test_the_pattern_of_the_lectures_matrix_is_seen_whole_on_80_columns(geometry, 0, "unicode")


def test_names_are_written_where_they_fit_or_are_asked_for_and_dots_where_nothing_fits() -> None:
    assert "F₁₁" in symbolic.view("filter_matrix", Geometry((1, 3, 3), (1, 1, 2, 2))).splitlines()[1]
    lecture = Geometry((1, 6, 6), (1, 1, 3, 3))
    assert "F₃₃" in symbolic.view("filter_matrix", lecture, whole=True).splitlines()[1]
    assert "⋯" in symbolic.view("filter_matrix", lecture, width=40)
    deep = Geometry((4, 6, 6), (1, 4, 3, 3))  # of 144 pixels, more than there are characters
    assert "⋯" in symbolic.view("image_matrix", deep)


def test_text_is_ascii() -> None:
    for matrix in (symbolic.filter_matrix(SIBLING), symbolic.image_matrix(EXAMPLE)):
        assert symbolic.render(matrix, "text").isascii()
    named = symbolic.names("v", "image", EXAMPLE)
    assert symbolic.equations(named, symbolic.input_gradient(EXAMPLE), "text").isascii()


def test_latex_is_an_array() -> None:
    text = symbolic.render(symbolic.image_matrix(Geometry((1, 2, 3), (1, 1, 2, 2))), "latex")
    assert text.startswith("\\left[\\begin{array}{cccc}\nX_{11} & X_{12} & X_{21} & X_{22} \\\\\n")
    assert symbolic.view("input_gradient", EXAMPLE, 0, "latex").startswith("% ")
    assert "v_{1} &= g_{1} F_{11} \\\\" in symbolic.view("input_gradient", EXAMPLE, 0, "latex")


def test_what_the_lecture_does_not_write_is_left_to_sympy() -> None:
    x = sympy.Symbol("X11")
    assert "\\frac{1}{X_{11}}" in symbolic.Matrix([[1 / x]])._repr_latex_()


def test_symbols_have_the_shape_of_their_role() -> None:
    geometry = Geometry((2, 3, 4), (5, 2, 2, 2))
    shapes = {"image": (2, 3, 4), "filters": (5, 2, 2, 2), "responses": (5, 2, 3), "bias": (5,)}
    assert {role: symbolic.symbols("X", role, geometry).shape for role in shapes} == shapes


def test_each_filter_is_turned_and_each_view_of_planes_is_its_own() -> None:
    geometry = Geometry((1, 3, 4), (5, 1, 2, 3))
    assert [symbolic.rot180(geometry, i=i)[0][0, 0].name for i in range(5)] == [f"F_{i},23" for i in range(1, 6)]
    with pytest.raises(IndexError, match=r"^i is 5 "):
        symbolic.rot180(geometry, i=5)
    turned, padded = (symbolic.view(name, geometry, form="text") for name in ("rot180", "zero_pad"))
    assert (turned[:8], "F_1,23" in turned, "g" in turned.partition("\n")[2]) == ("F^rot180", True, False)
    assert (padded[:10], "g_1,1" in padded, "F" in padded.partition("\n")[2]) == ("G^zero-pad", True, False)


def test_a_view_names_its_filter_and_the_responses_of_its_rows() -> None:
    geometry = Geometry((1, 2, 4), (2, 1, 2, 2))
    titles = {"stack_matrix": "S_2): a row", "filter_matrix": "M_F_2^filter", "image_matrix": "∂vec(F_2)"}
    for name, title in titles.items():
        view = symbolic.view(name, geometry, 1, "text")
        assert title in view.partition("\n")[0]
        assert view.count("(S_2,1") == 3
        assert view.count("(S_1,1") == (3 if name == "stack_matrix" else 0)
    assert "identity at block 2 " in symbolic.view("stack_matrix", geometry, 1)
    assert symbolic.view("filter_matrix", EXAMPLE, 0).startswith("M_F^filter = ∂vec(S)/∂vec(X):")


def test_the_turned_filter_and_the_padded_gradient() -> None:
    (turned,) = symbolic.rot180(EXAMPLE)
    assert written(turned) == [["F33", "F32", "F31"], ["F23", "F22", "F21"], ["F13", "F12", "F11"]]
    (padded,) = symbolic.zero_pad(EXAMPLE)
    assert padded.shape == (8, 8)
    assert written(padded)[2] == ["0", "0", "g1", "g2", "g3", "g4", "0", "0"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: symbolic.image_matrix(EXAMPLE, group=1), IndexError, "group is 1 but .* has 1 of them"),
        (lambda: symbolic.filter_matrix(EXAMPLE, i=-1), IndexError, "i is -1 but"),
        (lambda: symbolic.rot180(EXAMPLE, i=3), IndexError, "i is 3 but"),
        (
            lambda: symbolic.zero_pad(AWKWARD[4]),
            ShapeError,
            "geometry has 3 spatial axes, whose planes are not matrices",
        ),
        (
            lambda: symbolic.render(sympy.eye(2), "html"),
            ValueError,
            "form is 'html'; it needs one of unicode, text, latex",
        ),
        (lambda: symbolic.view("sums", EXAMPLE), ValueError, "name is 'sums'; it needs one of image_matrix, "),
    ],
)
def test_unusable_arguments(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("write", "sizes"),
    [
        (lambda layer: symbolic.stack_matrix(0, layer), "120600 × 40200"),
        (symbolic.zero_pad, "3 × 2014 × 2004"),
        (symbolic.responses, "3 × 40200 × 40"),
        (symbolic.filter_gradient, "3 × 40200 × 40"),
        (symbolic.input_gradient, "3 × 40200 × 40"),
        (lambda _: symbolic.image_matrix(Geometry((1, 9000), (3, 1, 1000))), "8001 × 1000"),
        (lambda _: symbolic.filter_matrix(Geometry((1, 9000), (3, 1, 1000))), "8001 × 9000"),
    ],
)
def test_what_is_too_large_to_be_written_is_refused_by_its_sizes(write, sizes) -> None:
    layer = Geometry((2, 2010, 2000), (3, 2, 5, 4), stride=10, padding=((0, 0), (0, 1)))
    with pytest.raises(TooLargeError, match=f"has {sizes} = "):
        write(layer)


def test_what_is_made_of_two_kinds_of_matrices_is_written_as_the_lecture_does() -> None:
    matrix = symbolic.filter_matrix(EXAMPLE)
    plain = sympy.zeros(*matrix.shape)
    assert all(isinstance(each, symbolic.Matrix) for each in (matrix + plain, plain + matrix, plain.T * matrix))


def test_pages_are_as_wide_by_default_wherever_something_is_written() -> None:
    for write in (symbolic.view, symbolic.render, symbolic.equations):
        assert inspect.signature(write).parameters["width"].default == 100


def test_every_view_of_a_later_filter_names_its_own_responses() -> None:
    layer = Geometry((1, 1, 3), (4, 1, 1, 2))
    assert "S_4,12" in symbolic.view("filter_matrix", layer, 3, "text")
    shown = symbolic.view("filter_matrix", layer, 1, "text")
    assert [part in shown for part in ("S_1", "S_2,11", "S_2,12", "S_3")] == [False, True, True, False]
