"""The explorer: what is written into the page, against the triple sum of L1; and the page, in a real browser."""

import json
import re
import shutil

import numpy as np
import pytest

from jacobians import Geometry, convolution, explorer, matrices
from jacobians.errors import ShapeError, TooLargeError
from tests import oracle

LECTURE = Geometry((1, 6, 6), (1, 1, 3, 3))
UNEVEN = Geometry((1, 5, 7), (1, 1, 2, 3), stride=(2, 1), padding=((1, 0), (0, 2)))
DEEP = Geometry((2, 4, 5), (1, 2, 3, 2))


# what is written into the page ----------------------------------------------------------------------------------------


def layer_of(geometry, labels):
    stride, padding, dilation = labels.split()
    sides = [tuple(map(int, side.split(":"))) for side in padding.split(",")]
    return Geometry(
        geometry.image,
        geometry.filters,
        stride=tuple(map(int, stride.split(",") * 2))[:2],
        padding=[side * 2 if len(side) == 1 else side for side in (sides * 2)[:2]],
        dilation=tuple(map(int, dilation.split(",") * 2))[:2],
    )


def products(layer):
    """(r, c, p) of every product of L1, counted from 1."""
    shapes = layer.responses, layer.filters, layer.image
    return [
        tuple(1 + oracle.vec(index, shape) for index, shape in zip(indices, shapes, strict=True))
        for indices in oracle.products(**oracle.plain(layer))
    ]


def names(layer):
    """The lecture's names of the entries of X and of F, written out here once more."""

    def capital(letter, shape):
        several = shape[0] > 1
        return [
            f"{letter}_{k + 1},{y + 1}{x + 1}" if several else f"{letter}{y + 1}{x + 1}"
            for k, y, x in np.ndindex(shape)
        ]

    return capital("X", layer.image), capital("F", layer.filters[1:])


def assert_true_to_the_sum(geometry):
    """Everything that the page looks up says the same as the triple sum of L1."""
    record = explorer.record(geometry)
    assert record["layers"]
    for labels, entries in record["layers"].items():
        layer = layer_of(geometry, labels)
        found = products(layer)
        assert_matrices(layer, entries, found)
        assert_windows(layer, entries, found)
        assert_formulas(layer, entries, found)


def assert_matrices(layer, entries, found):
    M_X, M_F = np.zeros((layer.positions, layer.taps), int), np.zeros((layer.positions, layer.pixels), int)
    for r, c, p in found:
        M_X[r - 1, c - 1], M_F[r - 1, p - 1] = p, c
    np.testing.assert_array_equal(entries["M_X"], M_X)
    np.testing.assert_array_equal(entries["M_F"], M_F)


def assert_windows(layer, entries, found):
    """What the filter lies on, in X and, turned, in G^zero-pad; every entry in its place, zeros too."""
    padded, zero_pad = np.array(entries["padded"]), np.array(entries["zero_pad"])
    (top, _), (left, _) = layer.padding
    s, d = layer.stride, layer.dilation
    for r, (l, m) in enumerate(np.ndindex(layer.responses[1:])):
        places = [(k, l * s[0] + i * d[0], m * s[1] + j * d[1]) for k, i, j in np.ndindex(layer.filters[1:])]
        assert entries["below_F"][r] == [1 + oracle.vec(place, padded.shape) for place in places]
        assert [padded[place] for place in places] == entries["M_X"][r]
    for p, (k, y, x) in enumerate(np.ndindex(layer.image)):
        places = [(0, y + top + i * d[0], x + left + j * d[1]) for i, j in np.ndindex(layer.filters[2:])]
        assert entries["below_turned"][p] == [1 + oracle.vec(place, zero_pad.shape) for place in places]
        met = {(zero_pad[place], tap) for place, tap in zip(places, np.ravel(entries["turned"][k]), strict=True)}
        assert {pair for pair in met if pair[0]} == {(r, c) for r, c, pixel in found if pixel == p + 1}


def assert_formulas(layer, entries, found):
    X, F = names(layer)
    sums = {"S": {}, "F": {}, "X": {}}
    for r, c, p in found:
        sums["S"].setdefault(r, []).append(X[p - 1] + F[c - 1])
        sums["F"].setdefault(c, []).append(f"g{r}" + X[p - 1])
        sums["X"].setdefault(p, []).append(f"g{r}" + F[c - 1])
    for mode, count in (("S", layer.positions), ("F", layer.taps), ("X", layer.pixels)):
        expected = [sorted(sums[mode].get(n + 1, ["0"])) for n in range(count)]
        assert [sorted(formula.split(" + ")) for formula in entries[f"{mode}_formulas"]] == expected


@pytest.mark.parametrize("geometry", [LECTURE, UNEVEN, DEEP], ids=str)
def test_the_page_says_what_the_triple_sum_says(geometry):
    assert_true_to_the_sum(geometry)


NOTICED = "not equal|assert .* == "
tap_entries, pixel_entries, windows = matrices.tap_entries, matrices.pixel_entries, explorer._windows


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
    "steps of the window left out": (explorer, "_windows", lambda *given: windows(*given[:-1], (1, 1))),
    "padding not cut off": (
        explorer,
        "_windows_of_pixels",
        lambda padded, shape, geometry: windows(shape, geometry, (1, 1))[: geometry.pixels],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_page_that_says_something_else_is_noticed(name, monkeypatch):
    monkeypatch.setattr(*WRONG[name])
    with pytest.raises(AssertionError, match=NOTICED):
        assert_true_to_the_sum(UNEVEN)


def test_the_offers_are_the_legal_combinations_and_the_layers_own():
    record = explorer.record(UNEVEN)
    assert record["offers"] == {
        "stride": ["1", "2", "3", "2,1"],
        "padding": ["0", "1", "2", "1:0,0:2"],
        "dilation": ["1", "2"],
    }
    assert " ".join(record["start"]) == "2,1 1:0,0:2 1"
    assert len(record["layers"]) == 4 * 4 * 2
    narrow = explorer.record(Geometry((1, 4, 5), (1, 1, 3, 3)))["layers"]  # 3 taps at dilation 2 cover 5 pixels
    assert {labels for labels in narrow if labels.startswith("1 ")} == {"1 0 1", "1 1 1", "1 1 2", "1 2 1", "1 2 2"}


def test_the_lectures_formulas_are_in_the_page():
    page = explorer.explore()
    assert "g1F22 + g2F21 + g5F12 + g6F11" in page
    assert "X23F11 + X24F12 + X25F13" in page
    assert len(page.encode()) < 250_000


def test_the_page_names_no_address():
    assert (
        re.findall(r"https?:|//[a-z]|\burl\(|@import|<link(?! rel=\"icon\" href=\"data:,\")", explorer.explore()) == []
    )


@pytest.mark.parametrize(
    ("geometry", "error", "said"),
    [
        (Geometry((1, 9, 10), (1, 1, 3, 3)), TooLargeError, r"132 × 90 = 11880 entries.* take a smaller image"),
        (Geometry((1, 6, 6), (2, 1, 3, 3)), ShapeError, r"geometry has 2 filters .* needs filters=\(1, 1, 3, 3\)"),
        (Geometry((1, 6), (1, 1, 3)), ShapeError, r"geometry has 1 spatial axes .* write \(d, 1, length\)"),
    ],
)
def test_what_cannot_be_shown_is_refused(geometry, error, said):
    with pytest.raises(error, match=said):
        explorer.explore(geometry)


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
MODES = {"S": "forward", "F": "∂l/∂F", "X": "∂l/∂X"}
ENTRIES = "td:not(.corner)"


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is missing: pip install -e '.[test-browser]'"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on the PATH: apt-get install chromium")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=chromium, args=QUIET)
        yield found
        found.close()


@pytest.fixture(scope="session")
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
def opened(browser, written):
    """Open a page; at the end, nothing was fetched and the console is empty."""
    contexts, said, asked = [], [], []

    def open_page(geometry=LECTURE, *, width=1400, scheme="light", address=None):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        contexts[-1].set_default_timeout(10_000)
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        address = address or written(geometry)
        page.goto(address)
        asked.remove(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert (said, asked) == ([], [])


def choose(page, **values):
    for name, value in values.items():
        page.locator(f"input[name={name}][value='{value}']").check(force=True)


def entry(page, panel, n):
    return page.locator(f"#{panel} {ENTRIES}").nth(n)


def marks(page):
    """The positions of the marked entries of every panel."""
    script = f"""() => Object.fromEntries([...document.querySelectorAll("figure")].map(panel => [panel.id,
        [...panel.querySelectorAll("{ENTRIES}")].flatMap((entry, n) => entry.ariaSelected === "true" ? [n] : [])]))"""
    return page.evaluate(script)


def laid(page):
    """What lies on the entries of a panel: {(panel, position): name}."""
    script = f"""() => [...document.querySelectorAll("figure")].flatMap(panel =>
        [...panel.querySelectorAll("{ENTRIES}")].flatMap((entry, n) =>
            entry.dataset.on ? [[panel.id, n, entry.dataset.on]] : []))"""
    return {(panel, n): name for panel, n, name in page.evaluate(script)}


def expected_marks(layer, mode, wanted):
    """Where the products that `wanted` keeps have their factors and their sums, panel by panel."""
    padded = (layer.image[0], *layer.padded)
    spread = (
        1,
        *(
            (out - 1) * s + 1 + 2 * (e - 1) + tail
            for out, s, e, tail in zip(layer.responses[1:], layer.stride, layer.extent, layer.tail, strict=True)
        ),
    )
    shown = {
        name: set() for name in ["X", "F", "S", "G", "MX", "MF", *{"S": [], "F": ["VF"], "X": ["VX", "Z", "R"]}[mode]]
    }
    for s, f, x in oracle.products(**oracle.plain(layer)):
        r, c, p = oracle.vec(s, layer.responses), oracle.vec(f, layer.filters), oracle.vec(x, layer.image)
        if not wanted(r, c, p):
            continue
        in_padding = [at + before for at, (before, _) in zip(x[1:], layer.padding, strict=True)]
        in_zeros = [at * step + extent - 1 for at, step, extent in zip(s[1:], layer.stride, layer.extent, strict=True)]
        turned = (f[1], *(k - 1 - at for k, at in zip(layer.filters[2:], f[2:], strict=True)))
        places = {
            "X": oracle.vec((x[0], *in_padding), padded),
            "F": c,
            "S": r,
            "G": r,
            "MX": r * layer.taps + c,
            "MF": r * layer.pixels + p,
            "VF": c,
            "VX": p,
            "Z": oracle.vec((0, *in_zeros), spread),
            "R": oracle.vec(turned, layer.filters[1:]),
        }
        for name, found in shown.items():
            found.add(places[name])
    return {name: sorted(found) for name, found in shown.items()}


def assert_marks(page, layer, mode):
    """Point at entries of every kind; the marks are those of the triple sum."""
    r, c, p = layer.positions // 2, layer.taps - 2, layer.pixels // 2 + 1
    padded = oracle.vec(
        (p // np.prod(layer.image[1:]), *(np.add(np.unravel_index(p, layer.image)[1:], np.array(layer.padding)[:, 0]))),
        (layer.image[0], *layer.padded),
    )
    pointed = [
        ("S", r, lambda *at: at[0] == r),
        ("G", 0, lambda *at: at[0] == 0),
        ("F", c, lambda *at: at[1] == c),
        ("X", int(padded), lambda *at: at[2] == p),
        ("MX", r * layer.taps + c, lambda *at: at[:2] == (r, c)),
        ("MF", r * layer.pixels + p, lambda *at: (at[0], at[2]) == (r, p)),
        *{"S": [], "F": [("VF", c, lambda *at: at[1] == c)], "X": [("VX", p, lambda *at: at[2] == p)]}[mode],
    ]
    for panel, n, wanted in pointed:
        entry(page, panel, n).hover()
        assert marks(page) == expected_marks(layer, mode, wanted), (panel, n)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("geometry", "labels"), [(LECTURE, "1 0 1"), (UNEVEN, "2,1 1:0,0:2 1"), (UNEVEN, "2 1 2"), (DEEP, "1 2 1")], ids=str
)
def test_pointing_marks_what_an_entry_is_made_of(opened, geometry, labels, mode):
    page = opened(geometry)
    choose(page, mode=mode, **dict(zip(("stride", "padding", "dilation"), labels.split(), strict=True)))
    assert_marks(page, layer_of(geometry, labels), mode)


def test_wrong_marks_are_noticed(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(*WRONG["filter turned in M_F"])
    file = tmp_path / "wrong.html"
    file.write_text(explorer.explore(LECTURE), encoding="utf-8")
    with pytest.raises(AssertionError, match=NOTICED):
        assert_marks(opened(address=file.as_uri()), LECTURE, "S")


def test_the_filter_lies_on_its_patch_and_turned_on_g(opened):
    page = opened()
    entry(page, "S", 6).hover()  # S23
    patch = {("X", 6 * y + x): f"F{y}{x - 1}" for y in (1, 2, 3) for x in (2, 3, 4)}
    assert laid(page) == patch
    choose(page, mode="F")
    entry(page, "VF", 1).hover()  # v2
    assert laid(page) == {("X", 6 * y + x + 1): f"g{4 * y + x + 1}" for y in range(4) for x in range(4)}
    choose(page, mode="X")
    entry(page, "VX", 7).hover()  # v8
    turned = {("Z", 8 * y + x): f"F{4 - y}{4 - x}" for y in (1, 2, 3) for x in (1, 2, 3)}
    assert laid(page) == turned
    entry(page, "MF", 35).hover()  # S11 does not read X66
    assert marks(page) == {panel: [] for panel in marks(page)}


@pytest.mark.parametrize(
    ("mode", "panel", "n", "first", "second"),
    [
        ("S", "S", 6, "S23", "S23 = X23F11 + X24F12 + X25F13 + X33F21 + X34F22 + X35F23 + X43F31 + X44F32 + X45F33"),
        ("S", "MX", 6 * 9 + 1, "∂S23/∂F12 = X24", "S23 = X23F11 + X24F12"),
        ("S", "MF", 35, "∂S11/∂X66 = 0: S11 does not read X66", "S11 = X11F11"),
        ("S", "X", 1, "X12", "is in S11 with F12, S12 with F11"),
        ("S", "G", 6, "g7 = ∂l/∂S23", "S23 = X23F11"),
        ("F", "VF", 1, "∂l/∂F12", "v2 = g1X12 + g2X13"),
        ("F", "G", 15, "g16 = ∂l/∂S44", "is in v1 with X44, v2 with X45"),
        ("X", "VX", 7, "∂l/∂X22", "v8 = g1F22 + g2F21 + g5F12 + g6F11"),
        ("X", "Z", 0, "0: there is no such response", ""),
        ("X", "F", 0, "F11", "is in v1 with g1, v2 with g2"),
    ],
)
def test_the_formula_of_an_entry(opened, mode, panel, n, first, second):
    page = opened()
    choose(page, mode=mode)
    entry(page, panel, n).hover()
    assert page.locator("#entry").text_content().startswith(first)
    assert page.locator("#sum").text_content().startswith(second)
    assert page.locator("#sum mark").count() == (panel == "MX")


def test_keys_walk_through_a_grid_and_tab_to_the_next(opened):
    page = opened()
    focused = "document.activeElement.dataset.key ?? document.activeElement.id"
    page.locator("#formula").focus()
    walk = [
        ("Tab", "p1"), ("ArrowRight", "p2"), ("ArrowDown", "p8"), ("ArrowLeft", "p7"), ("ArrowLeft", "p7"),
        ("ArrowUp", "p1"), ("ArrowUp", "p1"), ("End", "p6"), ("Control+End", "p36"), ("Control+Home", "p1"),
        ("Tab", "c1"), ("Tab", "r1"), ("Shift+Tab", "c1"), ("Shift+Tab", "p1"),
    ]  # fmt: skip
    for key, at in walk:
        page.keyboard.press(key)
        assert page.evaluate(focused) == at, (key, at)
    assert marks(page) == expected_marks(LECTURE, "S", lambda r, c, p: p == 0)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    page.locator("#MF td:focus, #MF td[tabindex='0']").first.focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "r2p1"
    stops = page.evaluate(
        "[...document.querySelectorAll('table')].map(each => each.querySelectorAll('[tabindex=\"0\"]').length)"
    )
    assert stops == [1] * 6


def test_a_switch_changes_what_is_computed_and_options_change_the_layer(opened):
    page = opened()
    shown = "[...document.querySelectorAll('figure')].map(each => each.id).sort().join(' ')"
    assert page.evaluate(shown) == "F G MF MX S X"
    choose(page, mode="X", stride="2", padding="1")
    assert page.evaluate(shown) == "F G MF MX R S VX X Z"
    assert page.locator("#MF").get_by_role("row").count() == 1 + 9
    assert page.locator("#sum").text_content() == "v15 = g5F22"
    narrow = opened(Geometry((1, 4, 5), (1, 1, 3, 3)))
    assert narrow.locator("input[name=dilation][value='2']").is_disabled()
    choose(narrow, padding="1")
    assert narrow.locator("input[name=dilation][value='2']").is_enabled()


def test_the_guided_steps_show_what_they_say(opened):
    page = opened()
    sums = []
    for step in page.locator("#tour button").all():
        step.click()
        assert step.get_attribute("aria-expanded") == "true"
        assert page.locator("#tour p:visible").count() == 1
        sums.append(page.locator("#sum").text_content().split(" + ")[0])
    assert sums == ["S11 = X11F11", "S12 = X12F11", "v1 = g1X11", "v15 = g1F33", "v15 = g1F33"]
    assert page.locator("input[name=stride]:checked").input_value() == "2"


def test_dark_follows_the_system_and_the_switch(opened):
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light, dark = opened(), opened(scheme="dark")
    papers = light.evaluate(paper), dark.evaluate(paper)
    assert papers[0] != papers[1]
    for page, other in ((light, papers[1]), (dark, papers[0])):
        page.get_by_role("button", name="Dark").click()
        assert page.evaluate(paper) == other


@pytest.mark.parametrize("geometry", [LECTURE, DEEP, Geometry((1, 9, 9), (1, 1, 3, 3))], ids=str)
def test_nothing_is_wider_than_a_phone(opened, geometry):
    page = opened(geometry, width=360)
    for mode in MODES:
        choose(page, mode=mode, padding="2")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        if geometry is LECTURE:  # the whole of M_F^filter is seen at once
            assert page.locator(f"#MF {ENTRIES}").last.bounding_box()["x"] < 360


@pytest.mark.parametrize(
    ("mode", "scheme", "width"), [("S", "light", 1400), ("F", "dark", 360), ("X", "light", 800), ("X", "dark", 1400)]
)
def test_accessibility_rules_hold(opened, mode, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
    page = opened(Geometry((1, 4, 5), (1, 1, 2, 3)), scheme=scheme, width=width)
    choose(page, mode=mode, padding="1")
    found = axe.Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"], each["nodes"][0]["failureSummary"]) for each in found] == []


def test_axe_notices_what_is_wrong(opened):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing")
    page = opened(Geometry((1, 2, 3), (1, 1, 2, 2)))
    page.evaluate("document.querySelector('#theme').textContent = ''")
    assert [each["id"] for each in axe.Axe().run(page).response["violations"]] == ["button-name"]


def test_panels_and_formula_have_names_for_those_who_do_not_see_them(opened):
    page = opened()
    assert page.get_by_role("grid").count() == 6
    assert page.get_by_role("grid", name="X, 6 × 6, image").get_by_role("gridcell", name="X23").count() == 1
    assert page.get_by_role("region", name="Formula").get_attribute("aria-live") == "polite"
    assert page.get_by_role("radio", name="∂l/∂X").count() == 1
    assert page.locator("#MX").get_by_role("rowheader").count() == 16
    assert json.loads(page.locator("#data").text_content())["start"] == ["1", "0", "1"]
