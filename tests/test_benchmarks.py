"""What `make bench` compares is the same, and its record is what the page shows. No time is asserted."""

import json
import platform
import re

import numpy as np
import pytest
from mkdocs.exceptions import PluginError

from jacobians import Geometry, image_matrix, jacobian_wrt_image
from jacobians.operators import layer_operator
from tests.benchmarks import __main__ as bench
from tests.benchmarks import groups, machine, race, rivals
from tests.strategies import distinct
from tests.test_site import PAGE, ROOT, hook

MARKDOWN = (ROOT / "docs" / "explain" / "benchmarks.md").read_text("utf-8")
TINY = groups.Plan(
    sides=(3, 4),
    builders=((image_matrix, Geometry((2, 5, 4), (3, 2, 2, 3))),),
    networks={},
    same=(),
    gradcheck=Geometry((1, 3, 3), (1, 1, 2, 2)),
    seconds=0,
)


@pytest.fixture(scope="module")
def site():
    return hook("benchmarks")


# the comparison is fair -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", groups.SCALING)
@pytest.mark.parametrize("taps", [2, 3])
def test_every_rival_builds_the_same_matrix(name, taps):
    build, module, _ = groups.SCALING[name]
    pytest.importorskip(module, reason=f"{module} is not installed: the extras bench and test-torch")
    geometry = rivals.full(5, taps)
    F = distinct(geometry.filters).astype(np.float64)
    theirs, ours = build(F, geometry), jacobian_wrt_image(F, geometry)
    assert np.array_equal(theirs if isinstance(theirs, np.ndarray) else theirs.toarray(), ours.toarray())
    assert ours.nnz == geometry.nonzeros == (taps * 5) ** 2


def test_pylops_multiplies_by_the_same_matrix():
    pytest.importorskip("pylops", reason="pylops is not installed: the extra bench")
    geometry = Geometry((1, 5, 7), (1, 1, 3, 5), padding=(1, 2))
    F = distinct(geometry.filters).astype(np.float64)
    A, x = layer_operator(F, geometry), distinct((geometry.pixels,)).astype(np.float64)
    for method in ("direct", "fft"):
        B = rivals.pylops_operator(F, geometry, method)
        assert (A.matvec(x) == np.rint(B.matvec(x))).all()  # a Fourier transform rounds
        assert (A.rmatvec(x) == np.rint(B.rmatvec(x))).all()


def test_pytorch_multiplies_by_the_same_matrix():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra test-torch")
    geometry = Geometry((4, 7, 6), (6, 2, 3, 2), stride=(2, 1), padding=(1, 2), groups=2)
    F = distinct(geometry.filters).astype(np.float32)
    A, (forward, backward) = layer_operator(F, geometry), rivals.torch_products(F, geometry)
    X, G = (np.arange(size, dtype=np.float32) % 13 - 5 for size in reversed(A.shape))
    assert (forward(torch.from_numpy(X)).numpy().ravel() == A.matvec(X)).all()
    assert (backward(torch.from_numpy(G)).numpy().ravel() == A.rmatvec(G)).all()


def test_the_limit_fills_arrays_of_the_same_sizes():
    matrix = jacobian_wrt_image(np.ones((1, 1, 2, 2), np.float32), rivals.full(4, 2))
    assert [(each.size, each.dtype) for each in groups.fill(matrix)] == [
        (each.size, each.dtype) for each in groups.parts(matrix)
    ]


def test_calls_take_turns():
    called = []
    times = race.race({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, seconds=0, rounds=9)
    assert set(times) == {"a", "b"}
    assert called[:2] == ["a", "b"]
    assert re.fullmatch("aba+b+", "".join(called))


# the record -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch):
    """A record of small sizes, on a machine that has nothing but scipy."""
    monkeypatch.setattr(rivals, "installed", lambda module: module == "scipy")
    wanted = ["scaling", "builders", "pylops"]
    return bench.measured(TINY, wanted, bench.Console(quiet=True)) | bench.about("make bench")


def test_what_is_measured_fits_the_page(site, measured):
    assert json.loads(json.dumps(measured)) == measured
    assert [row["nonzeros"] for row in measured["groups"]["scaling"]] == [81, 144]
    shown = "\n".join(line for name in ("about", "goals", *measured["groups"]) for line in site.lines(measured, name))
    assert re.search(r"\| 3×3 \| 81 \| \S+ \S+ \|( \S+ × \|){2}( not installed \|){3}\n", shown)
    assert "image_matrix, float32" in shown
    assert site.lines(measured, "pylops") == ["This was left out: pylops not installed."]
    assert site.drawn(measured).startswith(b"<?xml")


def test_a_rival_that_takes_too_long_or_too_much_is_left_out():
    geometry = rivals.full(100)
    known = {"scipy.sparse.kron": (geometry.nonzeros / 10, 1.9), "basis probing": (geometry.nonzeros / 10, 0.3)}
    for name, power in (("scipy.sparse.kron", 1), ("basis probing", 2)):
        slow = known | {name: (known[name][0], known[name][1] * 1.5)}
        assert groups.left_out(name, "numpy", power, geometry, known) == ("" if power == 1 else "over 20 s")
        assert groups.left_out(name, "numpy", power, geometry, slow) == "over 20 s"
    assert groups.left_out("torch.func.jacrev", "numpy", 2, rivals.full(333), {}).endswith(" GiB")


def test_the_page_says_which_goals_are_missed_and_by_how_much(site):
    def row(ratio):
        return groups.case("a case", {groups.OURS: 1, "limit": 2}, goals={"speed": ratio})

    rows = [row(1.0), row(1.2), row(1.5)]
    record = {"goals": {"speed": ["time", 1.2], "never measured": ["time", 1]}, "groups": {"g": rows}, "left out": {}}
    assert site.lines(record, "goals")[2:] == ["| speed | 1.2 × | 1.20 | 1.50 | 2 of 3 | 25 % |"]
    assert [line.split("|")[-2] for line in site.lines(record, "g")[2:]] == [
        " 1.00 (≤ 1.2) ",
        " 1.20 (≤ 1.2) ",
        " **1.50** (≤ 1.2) ",
    ]


def test_the_page_shows_all_of_the_record(site):
    record = json.loads(site.RECORD.read_text("utf-8"))
    shown = {name for _, name in site.PLACE.findall(MARKDOWN)}
    assert shown == {"about", "goals", *groups.GROUPS}
    assert {*record["groups"], *record["left out"]} == set(groups.GROUPS)
    assert record["goals"] == groups.GOALS
    written = site.on_page_markdown(MARKDOWN, PAGE)
    assert "<!-- benchmarks" not in written
    assert f"]({'../' + site.PICTURE})" in written
    with pytest.raises(PluginError, match=r"learn/page\.md: no benchmarks are called speed"):
        site.on_page_markdown("<!-- benchmarks: speed -->", PAGE)


def test_the_record_names_a_kind_of_machine_and_no_place_of_one(site):
    about = bench.about("make bench")
    text = site.RECORD.read_text("utf-8") + json.dumps(about)
    assert str(ROOT) not in text
    assert platform.node() not in about["machine"]
    assert re.search(r", \d+ cores, \d+ GiB, ", machine.kind())
    assert {"Python", "numpy", "scipy"} <= set(about["versions"])
