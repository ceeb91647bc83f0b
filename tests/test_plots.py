import builtins
import functools
import gc
import importlib.util
import inspect
import re
import subprocess
import sys
import weakref
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jacobians import Geometry, ShapeError, convolution, matrices, network, plots, symbolic, writing
from jacobians.models import ConvolutionLayer
from jacobians.network import Network
from jacobians.spectra import circular_singular_values, singular_values
from tests import oracle
from tests.strategies import distinct
from tests.test_cli import run

DOCS = Path(__file__).parents[1] / "docs"
LECTURE = Geometry((1, 6, 6), (1, 1, 3, 3))
SMALL, PAIR = Geometry((1, 3, 4), (1, 1, 2, 2)), Geometry((2, 3, 3), (2, 2, 2, 2))
AWKWARD = [
    LECTURE,
    Geometry((2, 5, 6), (3, 2, 2, 3)),
    Geometry((1, 6, 7), (1, 1, 3, 2), stride=(2, 1), padding=((1, 0), (0, 2))),
    Geometry((4, 5, 4), (4, 2, 2, 2), stride=(1, 2), dilation=(2, 1), groups=2),
    Geometry((2, 9), (4, 1, 3), stride=2, padding=1, groups=2),
]
SOLID = Geometry((2, 3, 4, 3), (2, 2, 2, 1, 2), padding=(0, 1, 0))
BIG = Geometry((1, 64, 64), (1, 1, 3, 3))
NET = Network([Geometry((2, 8, 7), (3, 2, 3, 2)), Geometry((3, 6, 6), (4, 3, 3, 3), stride=2)], 5)


def drawn(ax):
    """What a picture of a matrix holds: index by the colour of a cell, −1 where it is empty."""
    return np.ma.filled(ax.collections[0].get_array(), -1)


def expected(geometry, i):
    """The same for M_Fi^filter, from the literal triple sum of the tests."""
    X = np.zeros(geometry.image, dtype=int)
    result = np.full((geometry.positions, geometry.pixels), -1)
    F_i = np.arange(1, geometry.taps + 1).reshape(geometry.filters[1:])
    F = np.zeros(geometry.filters, dtype=int)
    F[i] = F_i
    for p in range(geometry.pixels):
        X.flat[p] = 1
        result[:, p] = np.ravel(np.asarray(oracle.convolve(X, F, **oracle.plain(geometry)))[i]) - 1
        X.flat[p] = 0
    return result


# ------------------------------------------------------------------------------------------------------- matrices


@pytest.mark.parametrize("geometry", [*AWKWARD, SOLID], ids=repr)
def test_a_cell_of_filter_matrix_has_the_colour_of_its_tap(geometry):
    for i in range(geometry.filters[0]):
        ax = plots.filter_matrix(geometry, i=i)
        assert drawn(ax).tolist() == expected(geometry, i).tolist()
        colours = ax.collections[0].get_cmap()(ax.collections[0].norm(np.arange(geometry.taps)))
        assert len({tuple(colour) for colour in colours}) == geometry.taps


@pytest.mark.parametrize("geometry", [*AWKWARD, SOLID], ids=repr)
def test_a_cell_of_image_matrix_has_the_colour_of_its_pixel(geometry):
    for group in range(geometry.groups):
        assert drawn(plots.image_matrix(geometry, group=group)).tolist() == geometry.pixel_table(group=group).tolist()


@pytest.mark.parametrize("geometry", [*AWKWARD, SOLID], ids=repr)
def test_jacobians_are_the_matrices_of_the_filters(geometry):
    n, taps, t = geometry.filters[0], geometry.taps, geometry.positions
    by_image = drawn(plots.jacobian(geometry))
    by_filters = drawn(plots.jacobian(geometry, wrt="filters"))
    for i in range(n):
        of_filter = expected(geometry, i)
        wanted = np.where(of_filter >= 0, of_filter + i * taps, -1)
        assert by_image[i * t : (i + 1) * t].tolist() == wanted.tolist()
        block = np.full((t, n * taps), -1)
        block[:, i * taps : (i + 1) * taps] = geometry.pixel_table(group=geometry.group_of(i))
        assert by_filters[i * t : (i + 1) * t].tolist() == block.tolist()


def test_stack_matrix_is_the_identity_at_its_block():
    geometry = Geometry((1, 3, 4), (3, 1, 2, 2))
    marked = drawn(plots.stack_matrix(1, geometry)) >= 0
    assert marked.tolist() == np.vstack([np.zeros((6, 6)), np.eye(6), np.zeros((6, 6))]).astype(bool).tolist()


def test_symbols_stand_in_the_cells_that_symbolic_prints_them_in():
    ax = plots.filter_matrix(LECTURE)
    matrix = symbolic.filter_matrix(LECTURE)
    written = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in ax.texts}
    assert written == {(r, c): symbolic.write(matrix[r, c]) for r in range(16) for c in range(36) if matrix[r, c] != 0}
    assert [label.get_text() for label in ax.get_yticklabels()][:5] == ["S₁₁", "S₁₂", "S₁₃", "S₁₄", "S₂₁"]
    assert [label.get_text() for label in ax.get_xticklabels()][5:8] == ["X₁₆", "X₂₁", "X₂₂"]


def test_rows_and_columns_are_those_of_the_filter_that_is_drawn():
    geometry = Geometry((2, 2, 3), (2, 2, 2, 2))
    ax = plots.filter_matrix(geometry, i=1)
    assert [text.get_text() for text in ax.texts][:3] == ["F₂₁,₁₁", "F₂₁,₁₂", "F₂₁,₂₁"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["S₂,₁₁", "S₂,₁₂"]
    ax = plots.image_matrix(Geometry((2, 2, 3), (2, 1, 2, 2), groups=2), group=1)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["F₂,₁₁", "F₂,₁₂", "F₂,₂₁", "F₂,₂₂"]


def lines(ax):
    """Places of the lines across and down, with their widths."""
    across, down = {}, {}
    for group in ax.collections[1:]:
        for (x, y), (_, end) in group.get_segments():
            places, place = (across, y) if y == end else (down, x)
            places[place] = max(places.get(place, 0), group.get_linewidth()[0])
    return across, down


def test_lines_part_the_rows_of_image_and_map_and_thicker_ones_the_planes():
    across, down = lines(plots.filter_matrix(Geometry((2, 3, 5), (1, 2, 2, 2))))
    assert sorted(across) == [4]
    assert sorted(down) == [5, 10, 15, 20, 25]
    assert down[15] > down[5] == across[4]


def test_a_large_matrix_is_drawn_by_squares_of_cells_in_blocks(monkeypatch):
    """3844 × 4096 are 9 × 9 cells a dot; the blocks in which it is built do not show, and none is the whole."""
    whole = drawn(plots.filter_matrix(BIG))
    high, wide = 9, 9
    taps = matrices.filter_matrix(np.arange(9).reshape(1, 3, 3), BIG).tocoo()
    total, count = np.zeros((428, 456)), np.zeros((428, 456))
    np.add.at(total, (taps.row // high, taps.col // wide), taps.data)
    np.add.at(count, (taps.row // high, taps.col // wide), 1)
    assert whole.tolist() == np.where(count, total / np.maximum(count, 1), -1).tolist()
    built, build = [], matrices.filter_matrix
    monkeypatch.setattr(plots, "BLOCK_ENTRIES", 900)
    monkeypatch.setattr(matrices, "filter_matrix", lambda *a, **b: built.append(build(*a, **b)) or built[-1])
    assert drawn(plots.filter_matrix(BIG)).tolist() == whole.tolist()
    assert max(block.shape[0] for block in built) < 3844 / 20


def test_a_large_matrix_has_a_key_and_an_enlarged_corner():
    ax = plots.filter_matrix(BIG)
    assert not ax.texts
    (key,) = [other for other in ax.figure.axes if other is not ax]
    assert [label.get_text() for label in key.get_yticklabels()] == [f"F{a}{b}" for a in "₁₂₃" for b in "₁₂₃"]
    (corner,) = ax.child_axes
    assert drawn(corner).tolist() == expected_corner(124, 256)


def expected_corner(rows, columns):
    table = BIG.pixel_table()[:rows]
    wanted = np.full((rows, BIG.pixels), -1)
    for tap in range(9):
        wanted[np.arange(rows), table[:, tap]] = tap
    return wanted[:, :columns].tolist()


def test_wrong_placement_shows_in_the_picture(monkeypatch):
    """There is no second implementation behind the pictures: if the builders are wrong, so is what is drawn."""
    right = matrices.tap_entries
    monkeypatch.setattr(matrices, "tap_entries", lambda F_i, *rest: right(convolution.turn(F_i[None])[0], *rest))
    assert drawn(plots.filter_matrix(LECTURE)).tolist() != expected(LECTURE, 0).tolist()


# ---------------------------------------------------------------------------------------- an image, and what is on it


def cells(grid):
    """Colours of a grid of cells."""
    return grid.get_array() if grid.get_array() is not None else grid.get_facecolors()


def marked(ax, colour=plots.MARKED):
    """Cells of each grid that have the colour."""
    return [np.all(np.asarray(cells(grid)) == to_rgba(colour), axis=-1) for grid in ax.collections]


@pytest.mark.parametrize("geometry", AWKWARD, ids=repr)
def test_the_patch_in_red_is_the_row_of_the_pixel_table(geometry):
    for i, row in [(0, 0), (geometry.filters[0] - 1, geometry.positions - 1)]:
        ax = plots.patch(geometry, i=i, row=row)
        group = geometry.group_of(i)
        table = geometry.pixel_table(group=group)[row]
        *planes, red = marked(ax)
        padding = geometry.padding if geometry.spatial_ndim == 2 else ((0, 0), *geometry.padding)
        sizes = geometry.image[1:] if geometry.spatial_ndim == 2 else (1, *geometry.image[1:])
        inside = tuple(slice(before, before + size) for (before, _), size in zip(padding, sizes, strict=True))
        pixels = np.concatenate([plane[inside].ravel() for plane in planes])
        first = geometry.planes_of(group).start * np.prod(sizes)
        assert sorted(np.flatnonzero(pixels) + first) == sorted(table[table >= 0])
        assert sum(plane.sum() for plane in planes) == geometry.taps == red.sum()
        names = [writing.write_name(name) for name in symbolic.names("X", "image", geometry)]
        assert [text.get_text() for text in ax.texts[-geometry.taps :]] == [names[p] if p >= 0 else "0" for p in table]


def frame(ax):
    (found,) = [patch for patch in ax.patches if isinstance(patch, Rectangle) and patch.get_linewidth() == 2.5]
    return found


def products(ax):
    """The products written into the frame, as in the lecture."""
    pairs = [text.get_text().split("\n") for text in ax.texts if "\n" in text.get_text()]
    return {f"{g}{f}" for g, f in pairs if g != "0"}


@pytest.mark.parametrize("geometry", [geometry for geometry in AWKWARD if geometry.filters_per_group == 1], ids=repr)
def test_the_frame_on_the_padded_gradient_holds_the_terms_of_the_input_gradient(geometry):
    """Two forms meet in the picture: the turned filter on G^zero-pad, and the column of M_F^filter in the title."""
    gradient, per_filter = symbolic.input_gradient(geometry), geometry.pixels // geometry.groups
    for p in range(0, geometry.pixels, 3):
        ax = plots.rotated_filter(geometry, i=p // per_filter, pixel=p)
        terms = set(symbolic.write(gradient[p]).split(" + ")) - {"0"}
        assert products(ax) == terms
        name, _, formula = ax.get_title().replace("\n", " ").partition(" = ")
        assert name == writing.write_name(symbolic.names("v", "image", geometry)[p])
        assert set(formula.split(" + ")) - {"0"} == terms


def test_of_several_filters_the_picture_is_the_part_of_one():
    geometry = Geometry((2, 3, 4), (3, 2, 2, 2))
    parts = [plots.rotated_filter(geometry, i=i, pixel=17) for i in range(3)]
    assert parts[1].get_title().startswith("part of filter 2 in v₂,₆ = g₂,")
    whole = symbolic.write(symbolic.input_gradient(geometry)[17]).split(" + ")
    assert set.union(*map(products, parts)) == set(whole)


def test_an_unturned_filter_shows_in_the_picture(monkeypatch):
    monkeypatch.setattr(convolution, "turn", lambda F: F)
    right = set(symbolic.write(symbolic.input_gradient(LECTURE)[14]).split(" + "))
    assert products(plots.rotated_filter(LECTURE, pixel=14)) != right


def test_the_frame_lies_where_the_window_is():
    geometry = Geometry((1, 6, 7), (1, 1, 3, 2), padding=((1, 0), (0, 2)), dilation=(1, 3))
    box = frame(plots.rotated_filter(geometry, pixel=2 * 7 + 4))
    assert (box.get_x(), box.get_y() - 1, box.get_width(), box.get_height()) == (4, 3, 4, 3)


# ---------------------------------------------------------------------------------------------------------- network


def sizes(ax):
    found = [re.fullmatch(r"(\d+) × (\d+)", text.get_text()) for text in ax.texts]
    return [tuple(map(int, match.groups())) for match in found if match]


@pytest.mark.parametrize("parameter", NET.shapes)
def test_the_chain_has_the_sizes_of_the_matrices_that_are_multiplied(parameter, monkeypatch):
    multiplied = {}

    def watch(name):
        function = getattr(network, name)

        def watched(*arguments, **options):
            result = function(*arguments, **options)
            multiplied.setdefault(name, []).append(result.shape)
            return result

        monkeypatch.setattr(network, name, watched)

    for name in (
        "fully_connected_jacobian_wrt_input",
        "fully_connected_jacobian_wrt_weights",
        "fully_connected_jacobian_wrt_bias",
        "relu_jacobian",
        "jacobian_wrt_image",
        "jacobian_wrt_filters",
        "jacobian_wrt_bias",
    ):
        watch(name)
    X = np.random.default_rng(0).normal(size=(2, 8, 7))
    NET.gradients_by_jacobians(NET.parameters(0), X, [0, 1, 0, 0, 0])
    relu, by_image = multiplied["relu_jacobian"], multiplied["jacobian_wrt_image"]
    W = multiplied["fully_connected_jacobian_wrt_input"]
    chain = {
        "W": [multiplied["fully_connected_jacobian_wrt_weights"][0]],
        "b": [multiplied["fully_connected_jacobian_wrt_bias"][0]],
        "F2": [*W, relu[0], multiplied["jacobian_wrt_filters"][0]],
        "b2": [*W, relu[0], multiplied["jacobian_wrt_bias"][0]],
        "F1": [*W, relu[0], by_image[0], relu[1], multiplied["jacobian_wrt_filters"][1]],
        "b1": [*W, relu[0], by_image[0], relu[1], multiplied["jacobian_wrt_bias"][1]],
    }
    ax = plots.network(NET, parameter=parameter)
    assert sizes(ax) == [(1, 5), *chain[parameter]]
    assert ax.get_title().startswith(f"∂l/∂vec({parameter}), 1 × {int(np.prod(NET.shapes[parameter]))},")


def test_the_graph_names_every_node_with_its_shape():
    nodes = NET.trace(NET.parameters(0), np.ones((2, 8, 7)), [0, 1, 0, 0, 0])
    shown = [text.get_text().split("\n") for text in plots.network(NET).texts if "\n" in text.get_text()]
    assert [name for name, _ in shown] == list(nodes)
    assert [shape for _, shape in shown] == ["×".join(map(str, np.shape(node))) or "1" for node in nodes.values()]


# --------------------------------------------------------------------------------------------- axes, files and errors

EVERY = {
    "filter_matrix": lambda **on: plots.filter_matrix(SMALL, **on),
    "image_matrix": lambda **on: plots.image_matrix(SMALL, **on),
    "jacobian": lambda **on: plots.jacobian(PAIR, **on),
    "stack_matrix": lambda **on: plots.stack_matrix(0, PAIR, **on),
    "patch": lambda **on: plots.patch(PAIR, **on),
    "rotated_filter": lambda **on: plots.rotated_filter(PAIR, **on),
    "network": lambda **on: plots.network(NET, **on),
}


@pytest.mark.parametrize("name", EVERY)
def test_axes_that_are_given_are_drawn_on_and_returned(name):
    left, right = Figure((9, 4)).subplots(1, 2)
    assert EVERY[name](ax=right) is right
    assert right.has_data()
    assert not left.has_data()


@pytest.mark.parametrize("name", EVERY)
def test_a_figure_ends_with_the_last_name_for_it_and_settings_stay(name, monkeypatch):
    monkeypatch.setattr(plots, "RESOLUTION", 50)
    before = mpl.rcParams.copy()
    ax = EVERY[name]()
    assert ax._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"
    figure = weakref.ref(ax.figure)
    del ax
    gc.collect()
    assert figure() is None
    assert mpl.rcParams.copy() == before


@pytest.mark.parametrize(("name", "suffix"), [(min(EVERY), ".png"), *(("large", each) for each in plots.SUFFIXES)])
def test_the_same_picture_is_the_same_bytes(name, suffix, tmp_path):
    draw = EVERY.get(name, lambda: plots.filter_matrix(BIG))
    files = [tmp_path / f"{number}{suffix}" for number in range(2)]
    for file in files:
        plots.save(draw(), file)
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert first.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")
    assert len(first) < 600_000


def test_no_picture_needs_pyplot_or_sympy():
    code = "import sys; from jacobians import Geometry, plots; plots.filter_matrix(Geometry((1, 6, 6), (1, 1, 3, 3)))"
    code += "; print({'matplotlib.pyplot', 'sympy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=DOCS.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("draw", "error", "said"),
    [
        (lambda: plots.patch(SOLID), ShapeError, r"geometry has 3 spatial axes; .*: image_matrix, filter"),
        (lambda: plots.rotated_filter(SOLID), ShapeError, "geometry has 3 spatial axes"),
        (lambda: plots.filter_matrix((1, 6, 6)), TypeError, "geometry has type tuple; it needs a Geometry"),
        (lambda: plots.filter_matrix(LECTURE, i=1), IndexError, r"i is 1 but .* has 1 of them"),
        (lambda: plots.image_matrix(LECTURE, group=1), IndexError, "group is 1 but"),
        (lambda: plots.stack_matrix(1, LECTURE), IndexError, "i is 1 but"),
        (lambda: plots.patch(LECTURE, row=16), IndexError, r"row is 16 but .* it needs 0 … 15"),
        (lambda: plots.rotated_filter(LECTURE, pixel=36), IndexError, r"pixel is 36 but .* it needs 0 … 35"),
        (
            lambda: plots.rotated_filter(AWKWARD[3], i=0, pixel=79),
            IndexError,
            r"pixel 79 lies in plane 3, which filter 0 of .* does not read; .* a pixel from 0 to 39, or another i",
        ),
        (lambda: plots.jacobian(LECTURE, wrt="bias"), ValueError, "wrt is 'bias'; it needs one of image, filters"),
        (lambda: plots.network(NET, parameter="F3"), ValueError, "parameter is 'F3'; .* one of F1, b1, F2, b2, W"),
        (lambda: plots.save(plots.filter_matrix(LECTURE), "x.pdf"), ValueError, r"file is 'x.pdf'; .* in .png or .svg"),
    ],
)  # fmt: skip
def test_errors_say_what_is_needed(draw, error, said):
    with pytest.raises(error, match=said):
        draw()


# ----------------------------------------------------------------------------------------------------- command line

PLANES = ["--image", "2x6x5", "--filters", "4x1x2x3", "--groups", "2", "--stride", "2,1", "--padding", "1:0,0:1"]
LAYER = Geometry((2, 6, 5), (4, 1, 2, 3), groups=2, stride=(2, 1), padding=((1, 0), (0, 1)))
NETWORK = Network([Geometry((2, 8, 8), (3, 2, 3, 3), padding=1), Geometry((3, 8, 8), (4, 3, 2, 2), padding=1)], 7)


def test_plot_writes_what_the_function_draws(tmp_path, capsys, monkeypatch):
    written, wanted = tmp_path / "written.svg", tmp_path / "wanted.svg"
    arguments = ("filter-matrix", "--image", "3x4", "--filters", "2x2")
    assert run_to_the_end(capsys, monkeypatch, "plot", *arguments, "-o", str(written)) == f"{written}\n"
    plots.save(plots.filter_matrix(SMALL), wanted)
    assert written.read_bytes() == wanted.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "same"),
    [
        (["filter-matrix"], lambda: plots.filter_matrix(LECTURE)),
        (["filter-matrix", "--image", "6x6", "--filters", "3x3"], lambda: plots.filter_matrix(LECTURE)),
        (["filter_matrix", *PLANES, "--index", "3"], lambda: plots.filter_matrix(LAYER, i=3)),
        (["image-matrix", *PLANES, "--index", "3"], lambda: plots.image_matrix(LAYER, group=1)),
        (["jacobian", *PLANES], lambda: plots.jacobian(LAYER)),
        (["jacobian", *PLANES, "--wrt", "filters"], lambda: plots.jacobian(LAYER, wrt="filters")),
        (["stack", *PLANES, "--index", "1"], lambda: plots.stack_matrix(1, LAYER)),
        (["patch", *PLANES, "--at", "2", "--index", "2"], lambda: plots.patch(LAYER, i=2, row=2)),
        (["rotated-filter", *PLANES, "--at", "7"], lambda: plots.rotated_filter(LAYER, pixel=7)),
        (
            ["network", "--image", "2x8x8", "--filters", "3x2x3x3,4x3x2x2", "--padding", "1", "--classes", "7"],
            lambda: plots.network(NETWORK),
        ),
    ],
    ids=lambda each: "" if callable(each) else " ".join(each),
)
def test_plot_draws_what_is_asked_for(arguments, same, capsys, monkeypatch):
    """The same call of the same function, which draws the same bytes."""
    saved = []
    for name in EVERY:
        monkeypatch.setattr(plots, name, functools.partial(call_of, name, inspect.signature(getattr(plots, name))))
    monkeypatch.setattr(plots, "save", lambda ax, file: saved.append((ax, file)))
    run_to_the_end(capsys, monkeypatch, "plot", *arguments, "-o", "x.svg")
    assert saved == [(same(), Path("x.svg"))]


def call_of(name, signature, *given, **named):
    """A call, with the arguments that are left out."""
    bound = signature.bind(*given, **named)
    bound.apply_defaults()
    return name, bound.arguments


def run_to_the_end(capsys, monkeypatch, *arguments):
    status, out, err = run(capsys, monkeypatch, *arguments)
    assert (status, err) == (0, "")
    return out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["filter-matrix", "-o", "x.pdf"], "--output is x.pdf; its name needs to end in .png or .svg"),
        (["filter-matrix", "-o", "x"], "--output is x; its name needs to end in .png or .svg"),
        (["filter-matrix", "-o", "no/such/x.png"], "--output is no/such/x.png, in a folder that does not exist"),
        (["filter-matrix"], "Missing option '--output'"),
        (["filter-matrx", "-o", "x.png"], "did you mean filter_matrix?"),
        (["patch", "-o", "x.png", "--at", "16"], "row is 16 but"),
        (["filter-matrix", "-o", "x.png", "--at", "1"], "--at is for patch and rotated-filter"),
        (["filter-matrix", "-o", "x.png", "--index", "1"], "filter is 1 but"),
        (["patch", "-o", "x.png", "--index", "3x3"], "Invalid value for '--index'"),
        (["filter-matrix", "-o", "x.png", "--image", "3x6x6"], "filters has 1 plane per filter but image has 3"),
        (["patch", "-o", "x.png", "--image", "1x4x4x4", "--filters", "1x1x2x2x2"], "geometry has 3 spatial axes"),
    ],
)
def test_unusable_arguments_of_plot(arguments, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, monkeypatch, "plot", *arguments)
    assert (status, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_error_names_the_cure(tmp_path, capsys, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "jacobians.plots")
    monkeypatch.delattr("jacobians.plots")
    monkeypatch.setattr(builtins, "__import__", without)
    status, out, err = run(capsys, monkeypatch, "plot", "patch", "-o", str(tmp_path / "x.png"))
    assert (status, out) == (2, "")
    assert 'jacobians.plots needs matplotlib, but there is no module matplotlib: pip install "jacobians[plot]"' in err


def test_a_spectrum_shows_the_values_of_each_layer():
    """The second layer's stride does not divide its image, so that there is nothing circular to compare with."""
    found = [
        ConvolutionLayer(name, layer, distinct(layer.filters) % 11 - 4.0, None)
        for name, layer in (("one", AWKWARD[1]), ("two", Geometry((2, 7, 6), (3, 2, 2, 3), stride=(3, 2))))
    ]
    ax = plots.spectrum(found, k=3)
    dots = [line.get_ydata().tolist() for line in ax.lines]
    assert dots == [list(singular_values(each, 3, accuracy=1e-3)) for each in found]
    circular = circular_singular_values(found[0])
    (whole,), (middle,) = [each.get_segments() for each in ax.collections]
    assert whole[:, 1].tolist() == [circular.min(), circular.max()]
    assert middle[:, 1].tolist() == np.quantile(circular, [0.25, 0.75]).tolist()
    assert [text.get_text() for text in ax.get_xticklabels()] == ["one", "two"]
    assert ax.get_yscale() == "log"


@pytest.mark.parametrize(
    ("layers", "options", "error", "facts"),
    [
        ([], {}, ValueError, ["layers is empty", "ConvolutionLayer"]),
        ([LECTURE], {}, TypeError, ["layers", "Geometry", "ConvolutionLayer"]),
        ([], {"k": 0}, ValueError, ["k is 0"]),
    ],
)
def test_a_spectrum_of_nothing_is_refused(layers, options, error, facts):
    with pytest.raises(error) as caught:
        plots.spectrum(layers, **options)
    assert [fact for fact in facts if fact not in str(caught.value)] == []


def test_the_command_draws_the_spectrum_of_a_model(tmp_path, capsys, monkeypatch):
    file = tmp_path / "spectrum.svg"
    arguments = ["--model", "lenet-5", "-k", "2", "--image", "1x8x8", "-o", str(file)]
    status, out, err = run(capsys, monkeypatch, "plot", "spectrum", *arguments)
    assert (status, out) == (2, "")
    assert "image" in err
    status, out, _ = run(capsys, monkeypatch, "plot", "spectrum", *arguments[:4], "-o", str(file))
    assert (status, out.strip()) == (0, str(file))
    assert b"<svg" in file.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["spectrum"], ["--model"]),
        (["patch", "--model", "lenet-5"], ["--model", "spectrum", "patch"]),
        (["spectrum", "--model", "lenet-6"], ["lenet-6", "lenet-5"]),
        (["jacobian", "--classes", "3"], ["--classes", "network", "jacobian"]),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, facts, tmp_path, capsys, monkeypatch):
    status, out, err = run(capsys, monkeypatch, "plot", *arguments, "-o", str(tmp_path / "x.svg"))
    assert (status, out) == (2, "")
    assert [fact for fact in facts if fact not in err] == []


def test_help_has_examples(capsys, monkeypatch):
    out = run_to_the_end(capsys, monkeypatch, "plot", "--help")
    assert "jacobians plot filter-matrix -o filter.svg" in out


# ----------------------------------------------------------------------------------------------------- documentation


def hook():
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "hooks" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_picture_of_the_documentation_is_drawn_shown_and_described():
    shown = {}
    for page in DOCS.rglob("*.md"):
        for text, name in re.findall(r"!\[([^\]]*)\]\([./]*pictures/([\w-]+)\.svg\)", page.read_text("utf-8")):
            shown.setdefault(name, []).append(text)
    drawn = hook().PICTURES
    assert shown.keys() - {"benchmarks"} == drawn.keys()  # which docs/hooks/benchmarks.py draws from its record
    assert [name for name, texts in shown.items() if min(map(len, texts)) < 40] == []
    assert [name for name, draw in drawn.items() if not draw().has_data()] == []
