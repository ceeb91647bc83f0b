"""The explorer: what is written into the page, against the triple sum of L1; and the page, in a real browser."""

import itertools
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jacobians import Geometry, colours, convolution, explorer, matrices
from jacobians.errors import ShapeError, TooLargeError
from tests import oracle

LECTURE = Geometry((1, 6, 6), (1, 1, 3, 3))
UNEVEN = Geometry((1, 5, 7), (1, 1, 2, 3), stride=(2, 1), padding=((1, 0), (0, 2)))
GROUPED = Geometry((4, 3, 4), (4, 2, 3, 2), padding=1, groups=2)
SIGNAL = Geometry((2, 7), (3, 2, 3), stride=2)
OPTIONS = ("stride", "padding", "dilation")


# what is written into the page ----------------------------------------------------------------------------------------


def scene_of(geometry):
    record = explorer.record(geometry)
    return record["scenes"][record["start"]]


def layer_of(geometry, labels):
    """The layer that these labels of options mean."""
    axes = geometry.spatial_ndim
    stride, padding, dilation = labels.split()
    sides = [tuple(map(int, side.split(":"))) for side in padding.split(",")]
    return Geometry(
        geometry.image,
        geometry.filters,
        stride=tuple(map(int, stride.split(",") * 2))[:axes],
        padding=[side * 2 if len(side) == 1 else side for side in (sides * 2)[:axes]],
        dilation=tuple(map(int, dilation.split(",") * 2))[:axes],
        groups=geometry.groups,
    )


def products(layer):
    """(r, c, p) of every product of L1, counted from 1."""
    shapes = layer.responses, layer.filters, layer.image
    return [
        tuple(1 + oracle.vec(index, shape) for index, shape in zip(indices, shapes, strict=True))
        for indices in oracle.products(**oracle.plain(layer))
    ]


def assert_true_to_the_sum(geometry):
    """Everything that the page looks up says the same as the triple sum of L1."""
    scene = scene_of(geometry)
    assert scene["layers"]
    for labels, entries in scene["layers"].items():
        layer = layer_of(geometry, labels)
        found = products(layer)
        assert_matrices(layer, entries, found)
        assert_meetings(scene, entries, found)
        assert_places(layer, scene, entries)


def assert_matrices(layer, entries, found):
    rows = int(np.prod(layer.responses))
    M_X, M_F = np.zeros((rows, int(np.prod(layer.filters))), int), np.zeros((rows, layer.pixels), int)
    for r, c, p in found:
        M_X[r - 1, c - 1], M_F[r - 1, p - 1] = p, c
    np.testing.assert_array_equal(entries["M_X"], M_X)
    np.testing.assert_array_equal(entries["M_F"], M_F)


def flat(planes):
    return np.ravel(planes).tolist()


def assert_meetings(scene, entries, found):
    """What meets in the windows of all three modes, where both are entries, are the products of the sum."""
    pixels, responses, zero_pad = (flat(entries["panels"][name]) for name in "XSZ")
    taps, turned = flat(scene["panels"]["F"]), flat(scene["panels"]["R"])
    windows = {mode: list(enumerate(windows, start=1)) for mode, windows in entries["windows"].items()}
    met = {
        "S": [(r, taps[f], pixels[x]) for r, pairs in windows["S"] for x, f in zip(*pairs, strict=True)],
        "F": [(responses[g], c, pixels[x]) for c, pairs in windows["F"] for x, g in zip(*pairs, strict=True)],
        "X": [(zero_pad[z], turned[f], p) for p, pairs in windows["X"] for z, f in zip(*pairs, strict=True)],
    }
    for triples in met.values():
        assert sorted(triple for triple in triples if all(triple)) == sorted(found)


def assert_places(layer, scene, entries):
    """The windows lie where the options say, zeros too."""
    axes = range(2 - layer.spatial_ndim, 2)
    size = {name: np.shape(entries["panels"][name]) for name in "XZ"}
    s, d, p = ([1, 1] for _ in range(3))
    for axis, mine in zip(axes, range(layer.spatial_ndim), strict=True):
        s[axis], d[axis], p[axis] = layer.stride[mine], layer.dilation[mine], layer.padding[mine][0]
    p = [p[axis] if axis in axes else 0 for axis in range(2)]
    filters = (*layer.filters[:2], *((1,) * (2 - layer.spatial_ndim)), *layer.filters[2:])
    per_group = layer.filters[0] // layer.groups
    for r, (i, l, m) in enumerate(np.ndindex(np.shape(entries["panels"]["S"]))):
        first = i // per_group * filters[1]
        taps = [(first + q, l * s[0] + a * d[0], m * s[1] + b * d[1]) for q, a, b in np.ndindex(filters[1:])]
        assert entries["windows"]["S"][r][0] == [oracle.vec(place, size["X"]) for place in taps]
    for n, (k, y, x) in enumerate(np.ndindex(np.shape(scene["panels"]["VX"]))):
        group = k // filters[1]
        own = range(group * per_group, (group + 1) * per_group)
        window = [(i, y + p[0] + a * d[0], x + p[1] + b * d[1]) for i in own for a, b in np.ndindex(filters[2:])]
        assert entries["windows"]["X"][n][0] == [oracle.vec(place, size["Z"]) for place in window]


@pytest.mark.parametrize("geometry", [LECTURE, UNEVEN, GROUPED, SIGNAL], ids=str)
def test_the_page_says_what_the_triple_sum_says(geometry):
    assert_true_to_the_sum(geometry)


NOTICED = "not equal|assert .* == "
tap_entries, pixel_entries, table_of = matrices.tap_entries, matrices.pixel_entries, explorer._table


def _surrounded(G, geometry):
    return np.pad(
        G,
        (
            (0, 0),
            *(
                (extent - 1 + pad, extent - 1 + 9)
                for extent, (pad, _) in zip(geometry.extent, geometry.padding, strict=True)
            ),
        ),
    )


def _unpadded(padded, zero_pad, geometry):
    return windows_of_pixels(np.where(padded, padded, 1), zero_pad, geometry)[: geometry.pixels]


windows_of_pixels = explorer._windows_of_pixels
WRONG = {
    "filter turned in M_F": (
        matrices,
        "tap_entries",
        lambda F_i, *rest: tap_entries(convolution.turn(F_i[None])[0], *rest),
    ),
    "pixels reversed in M_X": (
        matrices,
        "pixel_entries",
        lambda X, *rest: pixel_entries(np.flip(X, axis=-1), *rest),
    ),
    "rotation left out": (convolution, "turn", lambda F: F),
    "zeros between the entries of G left out": (convolution, "spread", _surrounded),
    "group forgotten": (explorer, "_table", lambda image, geometry, group: table_of(image, geometry, 0)),
    "padding not cut off": (explorer, "_windows_of_pixels", _unpadded),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_page_that_says_something_else_is_noticed(name, monkeypatch):
    monkeypatch.setattr(*WRONG[name])
    with pytest.raises(AssertionError, match=NOTICED):
        assert_true_to_the_sum(GROUPED if name == "group forgotten" else UNEVEN)


def test_the_offers_are_the_legal_combinations_and_the_layers_own():
    scene = scene_of(UNEVEN)
    assert scene["offers"] == {
        "stride": ["1", "2", "3", "2,1"],
        "padding": ["0", "1", "2", "1:0,0:2"],
        "dilation": ["1", "2"],
    }
    assert scene["start"] == {"stride": "2,1", "padding": "1:0,0:2", "dilation": "1"}
    assert len(scene["layers"]) == 4 * 4 * 2
    narrow = scene_of(Geometry((1, 4, 5), (1, 1, 3, 3)))["layers"]  # 3 taps at dilation 2 cover 5 pixels
    assert {labels for labels in narrow if labels.startswith("1 ")} == {"1 0 1", "1 1 1", "1 1 2", "1 2 1", "1 2 2"}
    wide = scene_of(Geometry((1, 11, 11), (1, 1, 3, 3)))["layers"]  # with padding 1 there are 121 responses
    assert {labels for labels in wide if labels.startswith("1 ")} == {"1 0 1", "1 0 2", "1 1 2"}


def test_the_digit_is_one_of_scikit_learn():
    assert np.array_equal(explorer.DIGIT, load_digits().images[7])
    scene = explorer.record()["scenes"]["digit"]
    assert np.array_equal(np.reshape(scene["numbers"]["X"], (8, 8)), explorer.DIGIT)
    assert scene["numbers"]["F"]["Sobel"] == [-1, 0, 1, -2, 0, 2, -1, 0, 1]
    assert scene["numbers"]["F"]["edge"] == [-1, -1, -1, -1, 8, -1, -1, -1, -1]


def test_the_page_is_small_and_names_no_address():
    page = explorer.explore()
    assert len(page.encode()) < 700_000
    assert re.findall(r"https?:|//[a-z]|\burl\(|@import|<link(?! rel=\"icon\" href=\"data:,\")", page) == []
    assert "{{" not in page


@pytest.mark.parametrize(
    ("geometry", "error", "said"),
    [
        (Geometry((1, 12, 12), (1, 1, 3, 3)), TooLargeError, r"100 × 144 = 14400 entries.* take a smaller image"),
        (Geometry((1, 6, 6, 6), (1, 1, 3, 3, 3)), ShapeError, r"geometry has 3 spatial axes .* needs 1 or 2"),
    ],
)
def test_what_cannot_be_shown_is_refused(geometry, error, said):
    with pytest.raises(error, match=said):
        explorer.explore(geometry)


# colours --------------------------------------------------------------------------------------------------------------


def test_letters_are_read_on_paper_and_on_cells_light_and_dark():
    """At least 4.5 to 1, which WCAG 2.2 asks of text."""
    for colour in colours.COLOURS.values():
        for ink, tint, paper in zip(colour.ink, colour.tint, ("#ffffff", "#1c1f25"), strict=True):
            assert colours.contrast(ink, tint) >= 4.5
            assert colours.contrast(ink, paper) >= 4.5


@pytest.mark.parametrize("letter", colours.COLOURS)
def test_entries_go_from_dark_to_light_through_okabe_and_itos_colour(letter):
    assert colours.COLOURS[letter].full in {"#0072b2", "#d55e00", "#cc79a7", "#009e73"}
    assert colours.COLOURS[letter].full in colours.COLOURS[letter].ramp
    ramp = colours.ramp(letter, 64)
    light = [colours.luminance(each) for each in ramp]
    assert light == sorted(light)
    assert len(set(ramp)) == 64
    assert all(colours.contrast(colours.ink_on(each), each) >= 4.5 for each in ramp)
    assert colours.ramp(letter, 1) == [colours.COLOURS[letter].full]


# the page, in a browser -----------------------------------------------------------------------------------------------

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE, PHONE = (1366, 768), (390, 844)
PANELS = {"S": ["X", "F", "S"], "F": ["X", "G", "VF"], "X": ["Z", "F", "R", "VX"]}


class Tab:
    """The one page of the browser, and all that it says on the console and asks for.

    To start a process for another page takes longer than to load this one anew, and pages behind it are drawn late.
    """

    def __init__(self, page):
        self.page, self.shown = page, None
        self.said, self.asked = [], set()
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.add(request.url.split("#")[0]))

    def load(self, address, state, size, scheme, motion):
        """Open a page anew."""
        self.page.goto("about:blank")
        self.page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
        self.page.emulate_media(color_scheme=scheme, reduced_motion=motion)
        self.page.goto(f"{address}#{state}")
        self.shown = None


@pytest.fixture(scope="module")
def tab():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is missing: pip install -e '.[test-browser]'"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on the PATH: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=QUIET)
        page = browser.new_page()
        page.set_default_timeout(10_000)
        yield Tab(page)
        browser.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The page of a geometry, written once."""
    files = {}

    def write(geometry):
        if geometry not in files:
            files[geometry] = tmp_path_factory.mktemp("explorer") / "explorer.html"
            files[geometry].write_text(explorer.explore(geometry), encoding="utf-8")
        return files[geometry].as_uri()

    return write


@pytest.fixture
def opened(tab, written):
    """Open a page at a state, or follow a link there; nothing is fetched but pages themselves, and nothing is said.

    With `own`, what is there before is not taken, and what is there afterwards is not left to other tests.
    """
    addresses = set()
    tab.said.clear()
    tab.asked.clear()

    def open_page(
        state="layer=6x6", geometry=None, *, size=WIDE, scheme="light", motion="reduce", address=None, own=False
    ):
        address = address or written(geometry)
        addresses.add(address)
        wanted = (address, size, scheme, motion)
        if tab.shown == wanted and not own:
            go(tab.page, state)
        else:
            tab.load(address, state, size, scheme, motion)
        tab.shown = None if own else wanted
        return tab.page

    yield open_page
    assert (tab.said, tab.asked - addresses) == ([], set())


def until(page, expression):
    """Wait until an expression holds; the page forbids strings as scripts, which Playwright's own waiting takes."""
    deadline = time.monotonic() + 10
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        time.sleep(0.02)


def go(page, state):
    """Follow a link to another state, as if it were opened there."""
    page.mouse.move(0, 0)
    page.evaluate("state => { stop(); ask(); show(readLink(state)); }", state)


def entry(page, panel, n):
    return page.locator(f"#{panel} tbody td").nth(n)


def text(page, name):
    """What is said: the caption, the sum, or the entry; indices are digits."""
    return page.locator(f"#{name}").text_content()


def marks(page):
    """The positions of the marked entries of every panel."""
    return page.evaluate("""() => Object.fromEntries(Object.entries(cells).map(([panel, tds]) =>
        [panel, tds.flatMap((td, n) => td.ariaSelected === "true" ? [n] : [])]))""")


def laid(page):
    """What lies on the entries of a panel: {(panel, position): name}."""
    found = page.evaluate("""() => Object.entries(cells).flatMap(([panel, tds]) =>
        tds.flatMap((td, n) => td.dataset.on ? [[panel, n, td.dataset.on]] : []))""")
    return {(panel, n): name for panel, n, name in found}


def places_of(layer, s, f, x):
    """Where the factors of one product, and what it is in, stand in every panel."""
    r, c, p = oracle.vec(s, layer.responses), oracle.vec(f, layer.filters), oracle.vec(x, layer.image)
    padded = (layer.image[0], *layer.padded)
    spread = [size + extent - 1 for size, extent in zip(layer.padded, layer.extent, strict=True)]
    in_padding = [at + before for at, (before, _) in zip(x[1:], layer.padding, strict=True)]
    in_zeros = [at * step + extent - 1 for at, step, extent in zip(s[1:], layer.stride, layer.extent, strict=True)]
    turned = (*f[:2], *(k - 1 - at for k, at in zip(layer.filters[2:], f[2:], strict=True)))
    return {
        "X": oracle.vec((x[0], *in_padding), padded),
        "F": c,
        "S": r,
        "G": r,
        "VF": c,
        "VX": p,
        "Z": oracle.vec((s[0], *in_zeros), (layer.filters[0], *spread)),
        "R": oracle.vec(turned, layer.filters),
        "MX": r * int(np.prod(layer.filters)) + c,
        "MF": r * layer.pixels + p,
    }


POINT = "([panel, n]) => cells[panel][n].dispatchEvent(new PointerEvent('pointerover', { bubbles: true }))"


def assert_marks(page, layer, mode, matrix):
    """Point at one entry of every panel; marked are the places of the triple sum's products that it is in."""
    found = [places_of(layer, s, f, x) for s, f, x in oracle.products(**oracle.plain(layer))]
    one = found[len(found) // 3]
    shown = [*PANELS[mode], matrix]
    # In the arrays an entry is one response, tap or pixel; in a matrix it is a response and one of the others.
    same = {"X": ["VX"], "Z": ["G"], "R": ["F"], "MX": ["G", "F"], "MF": ["G", "VX"]}
    for panel in shown:
        page.evaluate(POINT, [panel, one[panel]])
        wanted = [each for each in found if all(each[key] == one[key] for key in same.get(panel, [panel]))]
        assert marks(page) == {name: sorted({each[name] for each in wanted}) for name in shown}, panel


@pytest.mark.parametrize(
    ("geometry", "options"),
    [
        (LECTURE, "stride=1"),
        (UNEVEN, "stride=2,1&padding=1:0,0:2"),
        (UNEVEN, "stride=2&padding=1&dilation=2"),
        (GROUPED, "padding=1&stride=2"),
    ],
    ids=str,
)
def test_pointing_marks_what_an_entry_is_made_of(opened, geometry, options):
    given = dict(option.split("=") for option in options.split("&"))
    layer = layer_of(geometry, " ".join(given.get(option, "01"[option != "padding"]) for option in OPTIONS))
    page = opened(options, geometry)
    for mode, matrix in (("S", "MX"), ("S", "MF"), ("F", "MX"), ("X", "MF")):
        go(page, f"{options}&mode={mode}&matrix={matrix}")
        assert_marks(page, layer, mode, matrix)


def test_wrong_marks_are_noticed(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(*WRONG["filter turned in M_F"])
    file = tmp_path / "wrong.html"
    file.write_text(explorer.explore(LECTURE), encoding="utf-8")
    with pytest.raises(AssertionError, match=NOTICED):
        assert_marks(opened(address=file.as_uri()), LECTURE, "S", "MX")


def test_the_filter_lies_on_its_patch_and_rotated_on_g(opened):
    page = opened("layer=6x6&mode=S&entry=7")  # S23
    patch = {("X", 6 * y + x): f"F{y}{x - 1}" for y in (1, 2, 3) for x in (2, 3, 4)}
    assert laid(page) == patch
    go(page, "layer=6x6&mode=F&entry=2")
    assert laid(page) == {("X", 6 * y + x + 1): f"g{4 * y + x + 1}" for y in range(4) for x in range(4)}
    go(page, "layer=6x6&mode=X&entry=8")
    turned = {("Z", 8 * y + x): f"F{4 - y}{4 - x}" for y in (1, 2, 3) for x in (1, 2, 3)}
    assert laid(page) == turned
    go(page, "layer=6x6&mode=X&entry=8&rotate=no")
    assert laid(page) == {("Z", 8 * y + x): f"F{y}{x}" for y in (1, 2, 3) for x in (1, 2, 3)}


@pytest.mark.parametrize(
    ("mode", "panel", "n", "first", "second"),
    [
        ("S", "S", 6, "S23", "S23 = X23F11 + X24F12 + X25F13 + X33F21 + X34F22 + X35F23 + X43F31 + X44F32 + X45F33"),
        ("S", "MX", 6 * 9 + 1, "∂S23/∂F12 = X24", "S23 = X23F11 + X24F12"),
        ("S&matrix=MF", "MF", 35, "∂S11/∂X66 = 0: S11 does not read X66", ""),
        ("S", "X", 1, "X12", "is in S11 with F12, S12 with F11"),
        ("F", "VF", 1, "v2 = ∂ℓ/∂F12", "v2 = g1X12 + g2X13"),
        ("F", "G", 15, "g16 = ∂ℓ/∂S44", "is in v1 with X44, v2 with X45"),
        ("X", "VX", 7, "v8 = ∂ℓ/∂X22", "v8 = g1F22 + g2F21 + g5F12 + g6F11"),
        ("X", "Z", 0, "0: there is no such response", ""),
        ("X", "F", 0, "F11", "is in v1 with g1, v2 with g2"),
    ],
)
def test_the_formula_of_an_entry(opened, mode, panel, n, first, second):
    page = opened(f"layer=6x6&mode={mode}")
    entry(page, panel, n).hover()
    assert text(page, "entry").startswith(first)
    assert text(page, "sum").startswith(second)
    assert page.locator("#sum mark").count() == (panel == "MX")


def test_names_and_formulas_of_planes_filters_and_groups(opened):
    page = opened("layer=groups&mode=S&entry=10")  # the first response of the second filter, which reads plane 2
    assert text(page, "sum") == "S2,11 = X2,11F2,11 + X2,12F2,12 + X2,21F2,21 + X2,22F2,22"
    go(page, "layer=planes&mode=X&entry=1")
    assert text(page, "sum") == "v1,1 = g1,1F11,11 + g2,1F21,11"


# a link is a state ----------------------------------------------------------------------------------------------------


def shown(page, *fields):
    return page.evaluate("fields => fields.map(field => state[field])", list(fields))


def test_a_link_is_a_state(opened):
    page = opened("layer=6x6&stride=2&padding=1&mode=X&entry=15&step=2", own=True)
    assert shown(page, "stride", "padding", "dilation", "mode", "entry", "step", "matrix") == [
        "2", "1", "1", "X", 15, 2, "MF",
    ]  # fmt: skip
    assert text(page, "sum") == "v15 = g5F22 + …" or text(page, "sum") == "v15 = g5F22"
    page.get_by_role("radio", name="∂ℓ/∂F").check(force=True)
    page.locator("select[name=stride]").select_option("1")
    entry(page, "VF", 4).click()
    until(page, "location.hash.includes('entry=5')")
    link = page.evaluate("location.hash")
    assert link == "#layer=6x6&padding=1&mode=F&entry=5"
    assert shown(opened(link[1:]), "stride", "padding", "mode", "entry") == ["1", "1", "F", 5]


def test_a_broken_link_is_the_nearest_state(opened):
    page = opened("%&layer=no&mode=Q&entry=0&step=-1", own=True)
    assert shown(page, "layer", "mode", "entry") == ["6x6", "S", 1]
    for state in ("layer=6x6&entry=99999999&taps=1,2&show=x", "stride=3&padding=x&dilation=1", "lesson=77"):
        go(page, state)
        assert shown(page, "layer", "mode", "entry") == ["6x6", "S", 1]
    page.evaluate("location.hash = 'layer=6x6&mode=X&entry=15'")  # a link that is followed
    until(page, "state.entry === 15")


def test_every_state_is_read_as_it_was_written(opened):
    page = opened()
    states = [
        "lesson=6",
        "lesson=5&step=4",
        "lesson=9",
        "layer=digit&show=numbers&taps=1,0,-1,2,0,-2,1,0,5&mode=X&rotate=no",
        "layer=1d&mode=F&matrix=MF&entry=2&step=1&by=entries",
    ]  # fmt: skip
    for state in states:
        first, again = page.evaluate("s => [readLink(s), readLink(linkOf(readLink(s)))]", state)
        assert first == again


# the film -------------------------------------------------------------------------------------------------------------

SUMS = ["v2 = …", "v2 = g1F2 + …", "v2 = g1F2 + g2F1", "v2 = g1F2 + g2F1"]


def test_the_sum_builds_term_by_term_by_buttons_keys_and_slider(opened):
    page = opened("layer=1d&mode=X&entry=2&step=0")
    found = [text(page, "sum")]
    for _ in range(3):
        page.get_by_role("button", name="One product on").click()
        found.append(text(page, "sum"))
    assert found == SUMS
    page.locator("body").focus()
    page.evaluate("document.activeElement.blur()")
    walk = [
        ("ArrowLeft", [2, 2]), ("Home", [2, 0]), ("ArrowRight", [2, 1]), ("ArrowDown", [3, 3]),
        ("ArrowUp", [2, 3]), ("ArrowRight", [3, 0]), ("ArrowLeft", [2, 3]), ("End", [2, 3]),
    ]  # fmt: skip
    for key, at in walk:
        page.keyboard.press(key)
        assert shown(page, "entry", "step") == at, key
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("Home")
    assert shown(page, "entry", "step") == [1, 0]
    slider.press("End")
    assert shown(page, "entry", "step") == [4, 2]
    assert slider.get_attribute("aria-valuetext") == "v4, product 1 of 1"


def test_play_and_pause(opened):
    page = opened("layer=1d&mode=X&entry=2&step=0", own=True)
    page.evaluate("document.querySelector('#speed').add(new Option('test', '60', true, true))")
    page.get_by_role("button", name="Play").click()
    assert page.locator("#say").get_attribute("aria-live") == "off"
    until(page, "!playing")
    assert shown(page, "entry", "step") == [2, 3]  # the film by products ends with its entry
    assert page.locator("#say").get_attribute("aria-live") == "polite"
    go(page, "layer=6x6&mode=S&entry=1&by=entries")
    page.keyboard.press("Space")
    until(page, "state.entry > 2")
    page.keyboard.press("Space")
    entry_now = shown(page, "entry")
    page.wait_for_timeout(150)
    assert shown(page, "entry") == entry_now


def frame(page, panel):
    """Where the frame in a panel is, in cells: left, top, width, height."""
    return page.evaluate(
        """panel => {
            const cell = cells[panel][0].getBoundingClientRect();
            const frame = document.querySelector(`#${panel} .frame`).getBoundingClientRect();
            const across = [frame.left - cell.left, frame.width].map(each => Math.round(each / cell.width));
            const down = [frame.top - cell.top, frame.height].map(each => Math.round(each / cell.height));
            return [across[0], down[0], across[1], down[1]];
        }""",
        panel,
    )


def test_the_window_slides_and_the_row_of_the_matrix_lights_up(opened):
    page = opened("layer=6x6&mode=S&entry=2")
    assert (frame(page, "X"), frame(page, "MX")) == ([1, 0, 3, 3], [0, 1, 9, 1])
    go(page, "layer=6x6&mode=S&entry=7&matrix=MF")
    assert (frame(page, "X"), frame(page, "MF")) == ([2, 1, 3, 3], [0, 6, 36, 1])
    go(page, "layer=6x6&mode=X&entry=15")
    assert (frame(page, "Z"), frame(page, "MF")) == ([2, 2, 3, 3], [14, 0, 1, 16])
    go(page, "layer=6x6&mode=F&entry=2")
    assert (frame(page, "X"), frame(page, "MX")) == ([1, 0, 4, 4], [1, 0, 1, 16])


# Which cell of a panel the chips in the air are over, by their names, at a part of their flight.
FLIGHT = """([panel, part]) => {
    for (const each of document.getAnimations()) {
        each.pause();
        each.currentTime = part * each.effect.getTiming().duration;
    }
    const holds = (td, [x, y]) => {
        const box = td.getBoundingClientRect();
        return box.left <= x && x < box.right && box.top <= y && y < box.bottom;
    };
    const over = chip => [chip.textContent, cells[panel].findIndex(td => holds(td, middle(chip)))];
    return Object.fromEntries([...document.querySelectorAll(".chip")].map(over));
}"""


def test_the_column_folds_up_and_the_filter_lands_rotated(opened):
    page = opened("layer=6x6&mode=X&entry=15&step=0", motion="no-preference")
    window = [8 * y + x for y in (2, 3, 4) for x in (2, 3, 4)]
    on = page.get_by_role("button", name="One product on")
    on.click()
    assert page.evaluate(FLIGHT, ["MF", 0]) == {"F33": 14}
    assert page.evaluate(FLIGHT, ["Z", 0.999]) == {"F33": window[0]}
    page.evaluate("document.getAnimations().forEach(each => each.finish())")
    until(page, "!document.querySelector('.chip, .landing')")
    go(page, "layer=6x6&mode=X&entry=15&step=9")
    names = [f"F{y}{x}" for y in (1, 2, 3) for x in (1, 2, 3)]
    on.click()
    assert page.evaluate(FLIGHT, ["F", 0]) == dict(zip(names, range(9), strict=True))
    assert page.evaluate(FLIGHT, ["Z", 0.999]) == dict(zip(names, window[::-1], strict=True))
    assert "fits" not in text(page, "caption")
    page.evaluate("document.getAnimations().forEach(each => each.finish())")
    until(page, "document.querySelector('#caption').textContent.includes('fits')")
    go(page, "layer=6x6&mode=X&entry=15&step=9&rotate=no")
    on.click()
    until(page, "document.querySelectorAll('.chip').length === 9")
    assert page.evaluate(FLIGHT, ["Z", 0.999]) == dict(zip(names, window, strict=True))


def test_nothing_flies_for_those_who_want_no_motion(opened):
    page = opened("layer=6x6&mode=X&entry=15&step=0", motion="reduce")
    for _ in range(10):
        page.get_by_role("button", name="One product on").click()
        assert page.locator(".chip").count() == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.frame')).transitionDuration") == "0s"
    assert len(laid(page)) == 9


# the rotation left out ------------------------------------------------------------------------------------------------


def test_without_the_rotation_only_the_centre_fits(opened):
    page = opened("layer=6x6&mode=X&entry=15")
    assert page.locator("#sum .wrong, #VX .bad").count() == 0
    page.get_by_label("do not rotate F").check()
    assert "8 of 9 are wrong; only the centre fits" in text(page, "caption")
    assert page.locator("#sum .wrong").count() == 8
    assert text(page, "sum").startswith("v15 = ✗ g1F11 + ✗ g2F12 + ✗ g3F13 + ✗ g5F21 + g6F22 + ✗ g7F23")
    assert text(page, "entry").endswith("g1F33 + g2F32 + g3F31 + g5F23 + g6F22 + g7F21 + g9F13 + g10F12 + g11F11")
    assert [page.locator(f"#{panel} .bad").count() for panel in ("Z", "VX")] == [8, 36]
    go(page, "layer=6x6&mode=X&entry=15&rotate=no&step=1")
    assert laid(page) == {("Z", 18): "F11"}  # no tap lies there before it has come
    assert "g1 = ∂ℓ/∂S11 meets F11, but S11 reads X33 with F33" in text(page, "caption")
    page.get_by_label("do not rotate F").uncheck()
    assert page.locator("#sum .wrong, .bad").count() == 0


def test_a_lone_tap_fits_no_window(opened):
    page = opened("layer=6x6&stride=3&mode=X&entry=15")  # of X33, S11 alone is made
    assert "F33 on g1" in text(page, "caption")
    assert "around and between" in text(page, "caption")
    go(page, "layer=6x6&stride=3&mode=X&entry=15&step=1")
    assert "Only S11" in text(page, "caption")
    assert "reverse" not in text(page, "caption")
    go(page, "layer=6x6&mode=X&entry=15")
    assert "between its entries" not in text(page, "caption")


def test_what_is_wrong_is_counted_and_not_known_beforehand(opened):
    """For every pixel: the taps that lie on a g that another tap belongs to, by the triple sum."""
    layer = Geometry((1, 6, 6), (1, 1, 3, 3), stride=2, padding=1)
    right = {}
    for _, f, x in oracle.products(**oracle.plain(layer)):
        right.setdefault(oracle.vec(x, layer.image), []).append(f[2:])
    expected = []
    for p in range(layer.pixels):
        taps = right.get(p, [])
        expected.append((sum(tap != (1, 1) for tap in taps), len(taps)))
    state = "layer=6x6&stride=2&padding=1&mode=X&rotate=no"
    found = opened(state).evaluate(
        """states => states.map(state => {
            show(readLink(state));
            return [byId("caption").textContent, document.querySelectorAll("#sum .wrong").length];
        })""",
        [f"{state}&entry={p + 1}" for p in range(layer.pixels)],
    )
    for (wrong, taps), (caption, marked) in zip(expected, found, strict=True):
        assert f" {wrong} of {taps} are wrong" in caption
        assert marked == wrong


def test_numbers_tell_when_a_filter_hides_the_mistake(opened):
    page = opened("layer=6x6&mode=X&rotate=no&show=numbers&taps=Sobel")
    assert "36 of 36 are wrong" in text(page, "caption")
    page.locator("select[name=taps]").select_option("blur")
    assert "8 of 9 are wrong" in text(page, "caption")
    assert "right all the same" in text(page, "caption")
    assert page.locator("#VX .bad").count() == 0


# numbers --------------------------------------------------------------------------------------------------------------


def numbers_in(page, panel):
    texts = page.evaluate("panel => cells[panel].map(td => td.querySelector('input')?.value ?? td.textContent)", panel)
    return [float(each.replace("−", "-")) for each in texts]


@pytest.mark.parametrize("geometry", [LECTURE, GROUPED, SIGNAL], ids=str)
def test_the_numbers_are_those_of_the_library(opened, geometry):
    scene = scene_of(geometry)
    taps = [(7 * c) % 5 - 2 for c in range(int(np.prod(geometry.filters)))]
    X, F = np.reshape(scene["numbers"]["X"], geometry.image), np.reshape(taps, geometry.filters)
    S = convolution.convolve(X, F, geometry)
    layer = "6x6" if geometry is LECTURE else "own"
    state = f"layer={layer}&show=numbers&taps={','.join(map(str, taps))}"
    page = opened(state, None if geometry is LECTURE else geometry)
    assert numbers_in(page, "S") == S.ravel().tolist()
    go(page, f"{state}&mode=F")
    assert numbers_in(page, "VF") == convolution.filter_gradient(X, S, geometry).ravel().tolist()
    go(page, f"{state}&mode=X")
    assert numbers_in(page, "VX") == convolution.input_gradient(S, F, geometry).ravel().tolist()


def test_taps_are_typed(opened):
    page = opened("layer=1d&show=numbers&mode=S")
    X = numbers_in(page, "X")
    for tap, value in (("F1", "-2"), ("F2", "3.2")):
        page.get_by_role("textbox", name=tap).fill(value)
        page.keyboard.press("Tab")
    assert numbers_in(page, "S") == [-2 * a + 3 * b for a, b in itertools.pairwise(X)]
    until(page, "location.hash.includes('taps=-2,3')")


def test_the_digit_is_a_picture_and_so_are_s_and_the_gradient(opened):
    page = opened("layer=digit&show=pictures&taps=Sobel&mode=X")
    shades = "panel => cells[panel].map(td => getComputedStyle(td).backgroundColor)"
    assert page.locator("#F input").first.input_value() == "−1"  # the minus of every other number
    assert len(set(page.evaluate(shades, "VX"))) > 20
    go(page, "layer=digit&show=pictures&taps=Sobel&mode=S")
    darkness = page.evaluate("() => numbers.X.map(value => shade(value, numbers.X)[0].match(/(\\d+)%/)[1]).map(Number)")
    assert darkness == [int(100 * value / 16 + 0.5) for value in np.ravel(explorer.DIGIT).tolist()]
    assert len(set(page.evaluate(shades, "X"))) == len(set(np.ravel(explorer.DIGIT).tolist()))


# lessons, questions and captions --------------------------------------------------------------------------------------


def test_a_question_comes_before_its_answer(opened):
    page = opened("lesson=4")
    assert "Which tap reads X33 for S11?" in text(page, "caption")
    assert laid(page) == {}
    assert page.locator("#matrix").is_hidden()
    assert text(page, "sum") == "S11 = …"
    page.locator("#question button").first.click()
    assert "for S11 tap F11 lies on X11" in text(page, "caption")
    assert page.locator("#X .now").text_content() == "X33"
    assert laid(page) == {}
    page.locator("#question button").last.click()
    assert "Yes" in text(page, "caption")
    assert "Which tap reads X33 for S33?" in text(page, "caption")
    page.locator("#question button").first.click()
    assert page.locator("#matrix").is_visible()
    assert page.locator("#sum mark").text_content() == "X33F11"
    assert page.locator("#question").is_hidden()
    assert "S33 with the first" in text(page, "caption")
    page.get_by_role("button", name="Entry before").click()
    assert "S33 with the first" not in text(page, "caption")
    page.get_by_role("button", name="Next: The rotation").click()
    assert shown(page, "mode", "lesson") == ["X", 5]


def test_captions_follow_what_is_shown(opened):
    page = opened("lesson=5")
    current = page.locator("#lessons [aria-current=step]")
    assert current.text_content() == "5"
    begun = text(page, "caption")
    page.get_by_role("button", name="One product on").click()
    assert text(page, "caption") != begun
    assert "S11 reads X33 with tap F33" in text(page, "caption")
    assert "g1 = ∂ℓ/∂S11" in text(page, "caption")
    assert "v15 = ∂ℓ/∂X33" in text(page, "caption")
    assert page.locator("#MF .lit").all_text_contents() == ["X33"]
    assert page.evaluate("getComputedStyle(document.querySelector('#MF .lit')).fontSize") == "12px"
    assert current.count() == 1
    page.get_by_role("radio", name="S forward").check(force=True)
    assert current.count() == 0
    assert "S11" in text(page, "caption")
    entry(page, "S", 5).hover()
    assert "S22" in text(page, "caption")
    page.mouse.move(0, 0)
    page.get_by_role("button", name="Back to: The rotation").click()
    assert shown(page, "mode", "lesson", "step") == ["X", 5, 0]


def test_every_lesson_begins_as_its_link_says(opened):
    page = opened()
    begun = ["1d S", "1d X", "6x6 S", "6x6 S", "6x6 X", "6x6 X", "6x6 F", "6x6 X", "digit S"]
    for n, layer_and_mode in enumerate(begun, start=1):
        page.get_by_role("button", name=f"Lesson {n}").click()
        assert shown(page, "layer", "mode", "lesson") == [*layer_and_mode.split(), n]


# one screen -----------------------------------------------------------------------------------------------------------

FITS = """() => ["operation", "formula", "player", ...innerWidth > 992 ? ["matrix"] : []].filter(id => {
    const box = document.getElementById(id).getBoundingClientRect();
    return box.top < 0 || box.bottom > innerHeight;
})"""
# Sizes of type that is shown in cells and heads, and is too small.
SMALL = """() => [...document.querySelectorAll("td, th, td sub, th sub, figcaption small, h2 small")]
    .filter(each => each.textContent && each.offsetParent)
    .map(each => parseFloat(getComputedStyle(each).fontSize))
    .filter(size => size > 0 && size < 9)"""
# Cells whose names are wider than they are.
CUT = """() => [...document.querySelectorAll("#operation td, #matrix td")].filter(td => {
    const range = document.createRange();
    range.selectNodeContents(td);
    return range.getBoundingClientRect().width > td.getBoundingClientRect().width + 1;
}).map(td => td.textContent)"""


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=str)
def test_operands_result_and_formula_are_on_one_screen(opened, size):
    page = opened(size=size)
    for lesson in range(1, 10):
        go(page, f"lesson={lesson}")
        assert page.evaluate(FITS) == [], lesson
        assert page.evaluate(SMALL) == page.evaluate(CUT) == [], lesson
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    for layer in ("planes", "groups"):
        go(page, f"layer={layer}&mode=X")
        assert page.evaluate(SMALL) == page.evaluate(CUT) == []
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        if size == WIDE:
            assert page.evaluate(FITS) == [], layer


def test_a_cell_without_a_name_has_its_name_on_pointing(opened):
    page = opened("layer=6x6&mode=X&entry=15", size=PHONE)
    cell = entry(page, "MF", 14)
    assert page.evaluate("getComputedStyle(cells.MF[14]).fontSize") == "0px"
    cell.hover()
    assert page.locator("#tip").text_content() == "∂S11/∂X33 = F33"


def test_a_number_without_room_has_a_shade_instead(opened):
    page = opened("layer=6x6&mode=X&show=numbers&taps=edge", size=PHONE)
    background = "cells.VX.map(td => getComputedStyle(td).backgroundColor)"
    assert page.evaluate("getComputedStyle(cells.VX[0]).fontSize") == "0px"
    assert len(set(page.evaluate(background))) > 20
    go(page, "layer=6x6&mode=X&show=symbols")
    assert len(set(page.evaluate(background))) == 1


def test_what_has_lain_on_a_cell_leaves_no_trace(opened):
    page = opened("layer=6x6&mode=X&entry=36")
    green = page.evaluate("getComputedStyle(cells.Z[18]).backgroundColor")
    for step in ("layer=6x6&mode=X&entry=1", "layer=6x6&mode=X&entry=36"):
        go(page, step)
    assert page.evaluate("getComputedStyle(cells.Z[18]).backgroundColor") == green


AROUND = """<!doctype html><body data-md-color-scheme="slate">
<iframe class="explorer" src="{src}#lesson=5" style="width: {width}px; height: 10px; border: 0"></iframe>
<script>{script}</script></body>"""
SCROLLS = """(({ scrollWidth, scrollHeight }) => scrollWidth > innerWidth || scrollHeight > innerHeight)
    (document.documentElement)"""


@pytest.mark.parametrize("width", [1180, 700, 360])
def test_in_a_frame_it_does_not_scroll_and_follows_the_pages_colours(tab, written, tmp_path, width):
    script = (Path(__file__).parents[1] / "docs" / "javascripts" / "explorer.js").read_text("utf-8")
    around = tmp_path / "around.html"
    around.write_text(AROUND.format(src=written(None), width=width, script=script), "utf-8")
    tab.load(around.as_uri(), "", (1366, 900), "light", "reduce")
    page, inside = tab.page, tab.page.frames[1]
    until(inside, f"innerHeight > 300 && !{SCROLLS}")
    until(inside, "document.documentElement.style.colorScheme === 'dark'")
    page.evaluate("document.body.dataset.mdColorScheme = 'default'")
    until(inside, "document.documentElement.style.colorScheme === 'light'")
    go_inside = "state => { ask(); show(readLink(state)); document.getElementById('options').open = true; }"
    for state in ("lesson=1", "layer=planes&mode=X", "layer=digit&show=numbers&mode=X&rotate=no"):
        inside.evaluate(go_inside, state)
        until(inside, f"!{SCROLLS}")


# keys, colours, those who do not see ----------------------------------------------------------------------------------


def test_keys_walk_through_a_grid_and_tab_to_the_next(opened):
    page = opened("layer=6x6&mode=S")
    focused = "document.activeElement.dataset.key ?? document.activeElement.id"
    page.locator("#X td").first.focus()
    walk = [
        ("ArrowRight", "p2"), ("ArrowDown", "p8"), ("ArrowLeft", "p7"), ("ArrowLeft", "p7"),
        ("ArrowUp", "p1"), ("ArrowUp", "p1"), ("End", "p6"), ("Control+End", "p36"), ("Control+Home", "p1"),
        ("Tab", "c1"), ("Tab", "r1"), ("Shift+Tab", "c1"), ("Shift+Tab", "p1"),
    ]  # fmt: skip
    for key, at in walk:
        page.keyboard.press(key)
        assert page.evaluate(focused) == at, (key, at)
    assert marks(page)["S"] == [0]
    assert text(page, "sum") == "is in S11 with F11"
    page.locator("#S td").first.focus()
    for key in ("ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    assert shown(page, "entry") == [6]
    stops = "[...document.querySelectorAll('table')].map(each => each.querySelectorAll('[tabindex=\"0\"]').length)"
    assert page.evaluate(stops) == [1] * 4


PAPER = "getComputedStyle(document.documentElement).backgroundColor"


def test_dark_follows_the_system_and_the_switch(opened):
    papers = []
    for scheme, name, other in (("light", "Dark", "Light"), ("dark", "Light", "Dark")):
        page = opened(scheme=scheme, own=True)
        papers.append(page.evaluate(PAPER))
        page.get_by_role("button", name=name).click()
        papers.append(page.evaluate(PAPER))
        assert page.locator("#theme").text_content() == other
    light, switched, dark, back = papers
    assert light != dark
    assert (switched, back) == (dark, light)


@pytest.mark.parametrize(
    ("state", "scheme", "size"),
    [
        ("lesson=1", "light", WIDE),
        ("layer=6x6&mode=X&rotate=no&entry=15", "dark", PHONE),
        ("layer=6x6&mode=F&show=numbers&step=3", "light", (768, 1024)),
        ("layer=planes&mode=X&show=pictures", "dark", WIDE),
    ],
)
def test_accessibility_rules_hold(opened, state, scheme, size):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
    found = axe.Axe().run(opened(state, scheme=scheme, size=size)).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"], each["nodes"][0]["failureSummary"]) for each in found] == []


def test_axe_notices_what_is_wrong(opened):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
    page = opened("layer=1d", own=True)
    page.evaluate("document.querySelector('#theme').textContent = ''")
    assert [each["id"] for each in axe.Axe().run(page).response["violations"]] == ["button-name"]


def test_panels_and_formula_have_names_for_those_who_do_not_see_them(opened):
    page = opened("layer=6x6&mode=X&entry=15")
    assert page.get_by_role("grid").count() == 5
    zero_pad = page.get_by_role("grid", name="Gzero-pad, 8 × 8, G between zeros")
    assert zero_pad.get_by_role("gridcell", name="g1 with F33").count() == 1
    assert page.get_by_role("grid", name="MFfilter, 16 × 36").get_by_role("rowheader").count() == 16
    assert page.get_by_role("region", name="Formula").get_attribute("aria-live") == "polite"
    assert page.get_by_role("radio", name="∂ℓ/∂X").count() == 1
    assert page.get_by_role("slider").get_attribute("aria-valuetext") == "v15, product 9 of 9"
