import json
import math
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

from jacobians import Geometry, VerificationError, _blocks, convolution, layers, network, verify
from jacobians.verify import Interrupted, Report, Row, cases, check, large, run
from jacobians.verify.identities import IDENTITIES
from jacobians.verify.networks import NETWORK_IDENTITIES
from jacobians.verify.report import Failure
from tests.mutants import MUTANTS, NETWORK_MUTANTS

LAYERS = [
    cases.EXAMPLE,
    Geometry((1, 4, 6), (1, 1, 2, 3), stride=(3, 2)),
    Geometry((3, 4, 3), (1, 3, 2, 2), padding=((1, 0), (0, 2))),
    Geometry((4, 3, 4), (4, 2, 2, 1), dilation=(2, 1), groups=2),
    Geometry((2, 8), (3, 2, 2), stride=2, dilation=3, padding=((2, 0),)),
    Geometry((1, 2, 3, 4), (2, 1, 1, 2, 3), stride=(1, 1, 2), padding=(0, 1, 0)),
    Geometry((2, 5, 4), (2, 1, 2, 2), stride=2, padding=((0, 1), (1, 0)), groups=2),
]
ALL = [f"L{k}" for k in range(1, 25)]


def failed(report: Report) -> set[str]:
    return {row.id for row in report.rows if row.failure}


def test_every_equation_of_the_lecture_has_a_statement() -> None:
    assert run.ORDER == ALL
    assert len({each.formula for each in (*IDENTITIES, *NETWORK_IDENTITIES)}) == len(ALL)


def test_right_forms_hold() -> None:
    report = verify([*LAYERS, cases.LECTURE])
    assert report.check() is report
    assert failed(report) == set()
    assert {row.id for row in report.rows} == {each.id for each in IDENTITIES}
    assert report.miss < Fraction(1, 2**60)
    for row in report.rows:
        assert row.counts["exact"] > 0
        assert row.worst is None or 0 < row.worst <= 1
        assert row.id in {"L24"} or row.counts["symbolic"] > 0


def test_networks_hold() -> None:
    report = verify([], identities=[each.id for each in NETWORK_IDENTITIES])
    assert report.check().ok
    assert [row.id for row in report.rows] == ["L3", "L4", "L5", "L6", "L22", "L23"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_wrong_forms_fail_with_the_right_equation_named(mutant, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "islpy", None)  # proofs of the lecture's equations know nothing of the code
    monkeypatch.setattr(mutant.module, mutant.function, mutant.wrong)
    report = verify(LAYERS, identities=sorted(mutant.fails | mutant.holds))
    assert mutant.fails <= failed(report)
    assert not mutant.holds & failed(report)
    with pytest.raises(VerificationError, match="does not hold"):
        report.check()


@pytest.mark.parametrize(
    ("identity", "module", "function", "wrong"),
    NETWORK_MUTANTS,
    ids=[f"{name} {function} {number}" for number, (name, _, function, _) in enumerate(NETWORK_MUTANTS)],
)
def test_wrong_layers_fail(identity, module, function, wrong, monkeypatch) -> None:
    monkeypatch.setattr(module, function, wrong)
    report = verify([], identities=[identity])
    assert failed(report) == {identity}


def interrupted(*_: object) -> None:
    """As NumPy's loops over objects report a Ctrl-C."""
    raise SystemError("<class 'int'> returned a result with an exception set") from KeyboardInterrupt()


def test_a_ctrl_c_that_numpy_reports_as_another_error_is_no_finding(monkeypatch) -> None:
    monkeypatch.setattr(convolution, "turn", interrupted)
    with pytest.raises(Interrupted, match=r"^Interrupted") as caught:
        verify([cases.EXAMPLE], identities=["L18"])
    assert not any(row.failure for row in caught.value.report.rows)


def test_it_is_none_in_blocks_of_true_size_or_where_a_failure_is_read_out(monkeypatch) -> None:
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        large._computed(interrupted, (2,))
    monkeypatch.setattr(run, "read_out", interrupted)
    identity = next(each for each in IDENTITIES if each.id == "L18")
    names = tuple(identity.sides_for(cases.EXAMPLE))[:2]
    failure = Failure("exact", "", 0, names, "v1", "1", "2", 1, 9, cases.EXAMPLE, 0)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        run._in_symbols(identity, failure)


def test_every_equation_has_a_wrong_form_that_it_notices() -> None:
    noticed = set().union(*(mutant.fails for mutant in MUTANTS)) | {name for name, *_ in NETWORK_MUTANTS}
    assert set(ALL) - noticed == {"L24"}  # see test_the_lectures_layer


@pytest.mark.parametrize(("module", "function"), [(convolution, "forward_sums"), (_blocks, "write_pixels")])
def test_the_lectures_layer(module, function, monkeypatch) -> None:
    right = getattr(module, function)
    monkeypatch.setattr(module, function, lambda X, *rest, **options: right(X[::-1], *rest, **options))
    assert failed(verify([cases.LECTURE], identities=["L24"])) == {"L24"}


@pytest.mark.parametrize("kind", ["symbolic", "exact", "bound"])
def test_each_kind_of_evidence_finds_a_wrong_form_by_itself(kind, monkeypatch) -> None:
    monkeypatch.setattr(convolution, "turn", lambda F: F)
    task = check.Task(Geometry((1, 2, 3), (1, 1, 2, 2)), tuple(IDENTITIES), 0, symbolic=True)
    outcomes = [each for each in check.check(task) if each.identity == "L18" and each.evidence == kind]
    assert [each.failure is not None for each in outcomes] == [True]


def test_a_failure_says_what_is_wrong_in_symbols(monkeypatch) -> None:
    monkeypatch.setattr(convolution, "turn", lambda F: F)
    geometry = Geometry((1, 1, 2), (1, 1, 1, 2))
    text = str(verify([geometry, cases.EXAMPLE], identities=["L18"], seed=5))
    assert "✗ L18 does not hold: V = G^zero-pad ∗ F^rot180" in text
    assert "v1: expected g1F11\n" in text
    assert "got      g1F12\n" in text
    assert f"at {geometry!r}, symbolic evidence, seed 5" in text
    assert "2 of 2 entries" in text
    assert text.endswith("L18 does not hold (seed 5).")


def test_a_failure_of_numbers_alone_is_read_out_in_symbols(monkeypatch) -> None:
    right = convolution.input_gradient
    monkeypatch.setattr(convolution, "input_gradient", lambda G, F, geometry: right(G, F[..., ::-1], geometry))
    failure = verify([Geometry((1, 1, 2), (1, 1, 1, 2))], identities=["L20"]).rows[0].failure
    assert failure.evidence == "exact"
    assert re.fullmatch(r"g1F11  \(here -?\d+\)", failure.expected)
    assert re.fullmatch(r"g1F12  \(here -?\d+\)", failure.actual)


def test_code_that_raises_fails_with_what_it_raised(monkeypatch) -> None:
    def broken(*_):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(convolution, "input_gradient", broken)
    failure = verify([cases.EXAMPLE], identities=["L20"]).rows[0].failure
    assert failure.actual == "RuntimeError: no such kernel"


@pytest.mark.parametrize(
    ("change", "actual"),
    [
        (lambda V: V[:, 1:], "30 entries"),
        (lambda V: np.repeat(V, 2), "72 entries"),
        (lambda V: np.where(np.arange(6) == 2, np.nan, V), "nan"),
    ],
    ids=["fewer", "more", "not a number"],
)
def test_an_array_of_another_size_or_without_a_number_fails(change, actual, monkeypatch) -> None:
    right = convolution.input_gradient
    monkeypatch.setattr(convolution, "input_gradient", lambda *arrays: change(right(*arrays)))
    task = check.Task(cases.EXAMPLE, tuple(each for each in IDENTITIES if each.id == "L20"), 0, symbolic=False)
    failures = {each.evidence: each.failure for each in check.check(task)}
    assert [failures[kind].actual for kind in ("exact", "bound")] == [actual] * 2


@pytest.mark.parametrize(("shape", "calls"), [((200, 100), True), ((177, 113), False)])
def test_entries_of_up_to_20000_pairs_of_basis_elements_are_read_out(shape, calls) -> None:
    """And none of 177·113 = 20 001."""
    pixels, taps = shape

    def called(draw):
        raise RuntimeError("called")

    layer = Geometry((1, pixels), (1, 1, taps))
    if calls:
        with pytest.raises(RuntimeError, match="called"):
            check.read_out(called, "XF", layer, 0)
    else:
        assert check.read_out(called, "XF", layer, 0) is None


def test_running_out_of_memory_is_no_verdict(monkeypatch) -> None:
    def full(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(convolution, "input_gradient", full)
    with pytest.raises(MemoryError, match="no room"):
        verify([cases.EXAMPLE], identities=["L20"])


def test_rounding_beyond_the_bound_fails(monkeypatch) -> None:
    right = convolution.convolve
    monkeypatch.setattr(
        convolution, "convolve", lambda X, F, geometry, bias=None: right(X, F, geometry, bias=bias).astype(np.float16)
    )
    task = check.Task(cases.EXAMPLE, tuple(each for each in IDENTITIES if each.id == "L1"), 0, symbolic=False)
    bound = next(each for each in check.check(task) if each.evidence == "bound")
    assert bound.failure is not None
    assert bound.worst > 1
    value, _, limit = bound.failure.expected.partition(" ± ")
    error = abs(float(bound.failure.actual) - float(value))
    assert 0 < float(limit) < error < bound.worst * float(limit) * 1.05  # the limit is written with two digits


def test_an_equation_that_nothing_allows_to_check_is_not_said_to_hold() -> None:
    report = verify([cases.EXAMPLE], identities=["L19", "L24"])
    assert [row.verdict for row in report.rows] == ["holds", "not checked"]
    with pytest.raises(VerificationError, match="L24: not checked"):
        report.check()


def test_no_layers_hold_nothing() -> None:
    assert not verify([], identities=["L18"]).ok


def test_equations_about_layers_given_leave_out_what_does_not_apply() -> None:
    report = verify([Geometry((2, 5, 4), (2, 2, 2, 3), stride=2)])
    left_out = {"L3", "L4", "L5", "L6", "L8", "L14", "L17", "L18", "L19", "L22", "L23", "L24"}
    assert {row.id for row in report.rows} == set(ALL) - left_out
    assert report.ok


def test_large_layers_are_checked_without_the_triple_sum() -> None:
    report = verify([cases.PUBLISHED["LeNet-5 C1"]])
    assert report.ok
    assert {"L8", "L12", "L14", "L20"} <= {row.id for row in report.rows}


def test_published_layers_have_their_published_sizes() -> None:
    """Responses, weights without biases, and rows that no window reaches."""
    layers = cases.PUBLISHED | {"lecture": cases.LECTURE, "example": cases.EXAMPLE, "sibling": cases.SIBLING}
    assert {name: (each.responses, math.prod(each.filters), each.tail) for name, each in layers.items()} == {
        "LeNet-5 C1": ((6, 28, 28), 156 - 6, (0, 0)),
        "AlexNet conv1": ((96, 55, 55), 34_944 - 96, (0, 0)),
        "VGG-16 conv1_1": ((64, 224, 224), 1792 - 64, (0, 0)),
        "ResNet-50 conv1": ((64, 112, 112), 9408, (1, 1)),
        "MobileNet depthwise": ((32, 112, 112), 288, (0, 0)),
        "lecture": ((4, 28, 28), 4 * 75, (0, 0)),
        "example": ((1, 4, 4), 9, (0, 0)),
        "sibling": ((1, 4, 4), 36, (0, 0)),
    }


def test_drawn_layers_are_of_all_small_sizes_and_of_no_others() -> None:
    layers = list(cases.drawn(3, 300))
    assert len(layers) == 300
    smallest = cases.drawn(0, 3, most_products=1)
    assert [layer.filters[0] * layer.positions * layer.taps for layer in smallest] == [1, 1, 1]
    seen = {
        "axes": {layer.spatial_ndim for layer in layers},
        "groups": {layer.groups for layer in layers},
        "planes": {layer.planes_per_group for layer in layers},
        "filters": {layer.filters_per_group for layer in layers},
        "taps": {size for layer in layers for size in layer.filters[2:]},
        "stride": {size for layer in layers for size in layer.stride},
        "dilation": {size for layer in layers for size in layer.dilation},
        "before": {before for layer in layers for before, _ in layer.padding},
        "after": {after for layer in layers for _, after in layer.padding},
    }
    one_to_three = {1, 2, 3}
    assert seen == {
        "axes": one_to_three,
        "groups": one_to_three,
        "planes": {1, 2},
        "filters": {1, 2},
        "taps": one_to_three,
        "stride": one_to_three,
        "dilation": one_to_three,
        "before": {0, *one_to_three},
        "after": {0, *one_to_three},
    }
    for axes, most in ((1, 12), (2, 7), (3, 4)):
        own = [layer for layer in layers if layer.spatial_ndim == axes]
        assert {size for layer in own for size in layer.image[1:]} == set(range(1, most + 1))
    # Drawn as often as each other: none, the same before and after, or any. More padding fits more filters.
    padded = [[pair for pair in layer.padding if any(pair)] for layer in layers]
    even = sum(all(before == after for before, after in each) for each in padded if each)
    assert min(padded.count([]), even, len(layers) - padded.count([]) - even) > len(layers) / 8


def test_the_default_layers_hold_every_pair_of_options() -> None:
    layers = list(cases.drawn(0, run.DRAWN))
    traits = {
        "axes": lambda g: g.spatial_ndim,
        "stride": lambda g: max(g.stride) > 1,
        "dilation": lambda g: max(g.dilation) > 1,
        "padding": lambda g: (
            "none" if not np.any(g.padding) else "even" if all(a == b for a, b in g.padding) else "uneven"
        ),
        "padding beyond the filter": lambda g: any(max(p) > e - 1 for p, e in zip(g.padding, g.extent, strict=True)),
        "tail": lambda g: min(max(g.tail), 2),
        "gaps": lambda g: any(s > e for s, e in zip(g.stride, g.extent, strict=True)),
        "groups": lambda g: g.groups > 1,
        "filters in a group": lambda g: g.filters_per_group > 1,
        "planes in a group": lambda g: g.planes_per_group > 1,
        "even filter": lambda g: any(k % 2 == 0 for k in g.filters[2:]),
        "not square": lambda g: len(set(g.image[1:])) > 1,
    }
    # A gap needs a stride above 1, and so does a tail; a padding beyond the filter needs padding.
    impossible = {("stride", False, "tail", 1), ("stride", False, "tail", 2), ("stride", False, "gaps", True),
                  ("padding", "none", "padding beyond the filter", True), ("axes", 1, "not square", True)}  # fmt: skip
    names = list(traits)
    values = [[traits[name](layer) for name in names] for layer in layers]
    for a, first in enumerate(names):
        for b in range(a + 1, len(names)):
            seen = {(row[a], row[b]) for row in values}
            for x in {row[a] for row in values}:
                for y in {row[b] for row in values}:
                    assert (x, y) in seen or (first, x, names[b], y) in impossible, (first, x, names[b], y)


def test_runs_are_repeatable_and_seeds_matter() -> None:
    geometry = Geometry((2, 4, 5), (2, 2, 2, 3))
    assert verify([geometry], seed=3) == verify([geometry], seed=3)
    first, again, other = (next(check.integer_draws("XF", 6, geometry, seed))[0].X.tolist() for seed in (3, 3, 4))
    assert first == again != other


def test_integer_draws_reach_the_target_and_are_exact() -> None:
    geometry = Geometry((2, 4, 5), (2, 2, 2, 3), padding=1)
    missed = Fraction(1)
    for draw, miss in check.integer_draws("GF", 12, geometry, 0):
        missed *= miss
        largest = [int(np.abs(each).max()) for each in (draw.G, draw.F)]
        assert 12 * largest[0] * largest[1] <= check.exact.exact_limit(draw.G.dtype)
        assert not draw.X.any()
        assert len(np.unique(draw.F)) == draw.F.size
    assert missed <= check.TARGET


def test_an_executor_gives_the_same_report() -> None:
    with ThreadPoolExecutor(2) as executor:
        assert verify(LAYERS[1:4], executor=executor) == verify(LAYERS[1:4])


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    verify(LAYERS[:3], identities=["L1"], progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_record_is_plain_and_complete(monkeypatch) -> None:
    record = json.loads(json.dumps(verify([cases.EXAMPLE], identities=["L18", "L7"]).to_dict()))
    assert record["ok"] is True
    assert record["log2_miss_probability"] < -60
    assert [each["id"] for each in record["identities"]] == ["L7", "L18"]
    monkeypatch.setattr(convolution, "turn", lambda F: F)
    record = json.loads(json.dumps(verify([cases.EXAMPLE], identities=["L18"]).to_dict()))
    assert record["ok"] is False
    failure = record["identities"][0]["failure"]
    assert (failure["entry"], failure["expected"], failure["actual"]) == ("v1", "g1F11", "g1F33")


def test_the_table_names_counts_and_verdicts() -> None:
    text = str(verify([cases.EXAMPLE], identities=["L18"]))
    assert "V = G^zero-pad ∗ F^rot180" in text
    assert "holds" in text
    assert (
        "1 equation holds at 1 layer (seed 0). The probability that a wrong form passed every exact comparison" in text
    )


@pytest.mark.parametrize(
    ("geometries", "identities", "error", "message"),
    [
        (None, ["L25"], ValueError, "identities has 'L25'; it needs ids among L1, "),
        (None, ["rotation"], ValueError, "identities has 'rotation'; it needs ids among L1"),
        ([(1, 6, 6)], None, TypeError, "it needs a Geometry"),
    ],
)
def test_unusable_arguments(geometries, identities, error, message) -> None:
    with pytest.raises(error, match=message):
        verify(geometries, identities=identities)


def test_a_quick_run_tries_fewer_layers_and_says_so(monkeypatch) -> None:
    report = verify(identities=["L18"], quick=True).check()
    whole = [task for task in run.tasks(None, ["L18"], 0, full=False)[1] if isinstance(task, run.LayerTask)]
    assert 0 < report.layers < len(whole)
    assert f"tried {report.layers} of the {len(whole)} layers" in report.conclusion
    assert report.to_dict()["left_out"] in report.conclusion
    assert verify([cases.EXAMPLE], identities=["L18"], quick=True).left_out == ""
    with pytest.raises(ValueError, match="full and quick are both True"):
        verify(full=True, quick=True)
    monkeypatch.setattr(convolution, "turn", lambda F: F)
    assert failed(verify(identities=["L18"], quick=True)) == {"L18"}


def test_only_layers_of_which_the_chosen_equations_speak_are_tried() -> None:
    for name in ("L9", "L18", "L24"):
        tasks = run.tasks(None, [name], 0, full=False)[1]
        layers = [task.geometry for task in tasks if isinstance(task, run.LayerTask)]
        assert layers
        assert all(run.LAYER[name].sides_for(each) for each in layers)


def test_a_row_without_comparisons_is_not_ok() -> None:
    assert Row("L1", "", {}, None, None).verdict == "not checked"
    assert not Row("L1", "", {"exact": 0}, None, None).ok


def test_modules_under_test_are_the_right_ones_again() -> None:
    """Patches of other tests are gone: the names the mutants replace are the modules' own functions."""
    for mutant in MUTANTS:
        assert getattr(mutant.module, mutant.function).__module__ == mutant.module.__name__
    assert network.relu is layers.relu


def test_the_terms_of_an_equation_are_those_of_its_longest_sum() -> None:
    """In a ring of polynomials nothing is summed up: a sum is as long as its polynomial."""
    geometry = Geometry((4, 5, 4), (6, 2, 2, 2), groups=2)
    sides = check._Sides(check.symbolic_draw(geometry))
    longest: dict[str, int] = {}
    for each in IDENTITIES:
        lengths = [len(entry) for side in each.sides_for(geometry).values() for entry in sides(side)]
        longest[each.inputs] = max([longest.get(each.inputs, 0), *lengths])
    assert longest == {each.inputs: each.terms(geometry) for each in IDENTITIES if each.inputs in longest}
    assert set(longest) == {"XF", "XFb", "XG", "GF", "G"}


@pytest.mark.parametrize(
    ("geometry", "products"),
    [
        (Geometry((1, 199), (10, 1, 100)), 100_000),
        (Geometry((1, 199), (11, 1, 100)), 110_000),
        (Geometry((1, 9091), (11, 1, 9091)), 100_001),
    ],
)
def test_a_layer_of_more_than_100000_products_is_large(geometry, products) -> None:
    assert geometry.filters[0] * geometry.positions * geometry.taps == products
    (identity,) = (each for each in IDENTITIES if each.id == "L20")
    assert ("triple sum" not in identity.sides_for(geometry)) == (products > 100_000)


def test_comparisons_are_counted_by_hand() -> None:
    """Each draw holds every side but the first against the first."""
    geometry = Geometry((2, 3, 3), (2, 2, 2, 2))
    chosen = tuple(each for each in IDENTITIES if each.id in {"L18", "L19", "L20"} and each.sides_for(geometry))
    draws = len(list(check.integer_draws("GF", chosen[0].terms(geometry), geometry, 0)))
    assert draws > 2
    counted = {(each.identity, each.evidence): each.checks for each in check.check(_task(geometry, chosen))}
    for identity in chosen:
        others = len(identity.sides_for(geometry)) - 1
        assert counted[identity.id, "symbolic"] == others
        assert counted[identity.id, "exact"] == draws * others
        assert counted[identity.id, "bound"] == 2 * others
        assert counted[identity.id, "every size"] == 0


def _task(geometry, identities):
    return check.Task(geometry, identities, seed=0, symbolic=True)


def test_dtypes_that_tell_nothing_apart_are_not_drawn() -> None:
    small = Geometry((1, 2, 3), (1, 1, 2, 2))
    drawn = [(draw.X.dtype.name, miss) for draw, miss in check.integer_draws("XF", 2**25, small, 0)]
    assert {name for name, _ in drawn} == {"float64", "int64"}
    assert all(miss < 1 for _, miss in drawn)
    # No draw is made that is not needed.
    assert math.prod(miss for _, miss in drawn) <= check.TARGET < math.prod(miss for _, miss in drawn[:-1])


@pytest.mark.parametrize(("size", "dtypes"), [(20_000, {"float64", "int64", "float32"}), (20_001, {"float64"})])
def test_large_images_are_drawn_in_float64_alone(size, dtypes) -> None:
    (first, second, *_) = (
        draw.X.dtype.name for draw, _ in check.integer_draws("XF", 2, Geometry((1, size), (1, 1, size)), 0)
    )
    assert {first, second} == {"float64", "int64"} & dtypes


def test_equations_of_several_planes_speak_of_no_others() -> None:
    one, two = Geometry((2, 3, 3), (2, 1, 2, 2), groups=2), Geometry((2, 3, 3), (2, 2, 2, 2))
    speak = [{each.id for each in IDENTITIES if each.sides_for(layer)} for layer in (one, two)]
    assert speak[0] - speak[1] == {"L8", "L14"}
    assert speak[1] - speak[0] == {"L9", "L15"}


def test_errors_are_shares_of_their_bounds() -> None:
    assert check._share(0.75, 2, Fraction(1, 2), 2) == 1
    assert check._share(np.float32(-1.5), 1, Fraction(5), 1) == Fraction(1, 2)
    # Where nothing rounds, nothing may differ; what is no number is beyond every bound.
    assert check._share(3.0, 3, Fraction(0), 1) == 0
    beyond = [(3.5, 3, Fraction(0)), (np.nan, 0, Fraction(9)), (np.inf, 0, Fraction(9)), (-np.inf, 0, Fraction(0))]
    assert {check._share(got, value, bound, 1) for got, value, bound in beyond} == {2}


def test_real_draws_come_with_the_same_numbers_as_integers() -> None:
    """A bias is a term of its own, so that it is larger by the scale of a product of two."""
    geometry = Geometry((1, 2, 3), (2, 1, 2, 2))
    floats, exactly, scale = check._reals("XFb", geometry, np.random.default_rng(0), "float32")
    assert scale == 2**48
    for letter, factor in {"X": 2**24, "F": 2**24, "b": 2**48, "G": 0}.items():
        given, whole = (getattr(draw, letter).ravel().tolist() for draw in (floats, exactly))
        assert [Fraction(each) * factor for each in given] == whole
        assert any(given) == (letter != "G")
