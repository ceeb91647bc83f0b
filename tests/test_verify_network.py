"""Layers at true size, in blocks: what holds, what is refused, and that nothing of a run is lost."""

import dataclasses
import errno
import json
import math
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

from jacobians import Geometry, TooLargeError, VerificationError, convolution, matrices, workers
from jacobians.errors import Interrupted, StoppedError
from jacobians.evidence import exact
from jacobians.sizes import amount
from jacobians.verify import journal, large, layers, verify_network
from tests import crashing
from tests.test_cli import run as command

PLAIN = Geometry((2, 5, 6), (4, 2, 2, 3), padding=1)
NETWORK = {
    "plain": PLAIN,
    "again": PLAIN,
    "uneven": Geometry((3, 7, 6), (5, 3, 2, 2), padding=((1, 0), (0, 2)), stride=(2, 1)),
    "groups": Geometry((6, 5, 4), (9, 2, 2, 2), groups=3, dilation=(2, 1)),
    "depthwise": Geometry((5, 4, 4), (5, 1, 3, 3), padding=1, groups=5),
    "signal": Geometry((2, 13), (3, 2, 4), stride=3, padding=2),
    "volume": Geometry((1, 3, 4, 3), (2, 1, 2, 2, 1)),
    "pointwise": Geometry((3, 3, 4), (2, 3, 1, 1), stride=2),
}
GEOMETRIES = len(set(NETWORK.values()))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several filters, or groups, to a block, and several pieces to a block."""
    monkeypatch.setattr(large, "BLOCK_NONZEROS", 600)
    monkeypatch.setattr(large, "IMAGE_FILTERS", 3)
    monkeypatch.setattr(large, "IMAGE_PRODUCTS", 1800)
    monkeypatch.setattr(large, "PIECE_NONZEROS", 200)


@pytest.fixture(scope="module")
def right():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large, "BLOCK_NONZEROS", 600)
        patch.setattr(large, "IMAGE_FILTERS", 3)
        patch.setattr(large, "IMAGE_PRODUCTS", 1800)
        return verify_network(NETWORK)


def failures(report):
    return {(row.names[0], failure.entry.split("[")[0]) for row in report.rows for failure in row.failures}


# what holds -----------------------------------------------------------------------------------------------------------


def test_right_forms_and_matrices_hold_and_every_block_is_compared(right):
    assert right.check() is right
    assert right.rows[0].names == ("plain", "again")
    assert (len(right.rows), right.layers, right.left) == (GEOMETRIES, len(NETWORK), 0)
    assert 0 < right.miss <= Fraction(1, 2**60)
    for row in right.rows:
        matrix = matrices.jacobian_wrt_image(np.ones(row.geometry.filters), row.geometry)
        assert row.nonzeros == matrix.nnz
        assert set(row.counts) == set(large.EQUATIONS)
        # S and ∂l/∂X are compared in every block, the others with the image matrix alone, on three draws each.
        assert row.counts["S"] == row.counts["∂l/∂X"] == 3 * row.blocks
        assert row.counts["S"] > row.counts["∂l/∂F"] == row.counts["∂l/∂b"] > 1
    assert max(row.blocks for row in right.rows) > 2


@pytest.mark.parametrize("name", NETWORK)
def test_blocks_hold_every_filter_once_in_layers_of_their_own(name):
    geometry = NETWORK[name]
    blocks = large.blocks(name, geometry, 0, 2**30)
    for matrix in ("image", "filter"):
        held = [i for block in blocks if block.matrix == matrix for i in block.filters]
        assert held == list(range(geometry.filters[0]))
    for block in blocks:
        some, planes = large._layer_of(geometry, block.filters)
        seen = {k for i in block.filters for k in range(*geometry.planes_of(geometry.group_of(i)).indices(10**6))}
        assert seen == set(range(planes.start, planes.stop))
        assert some.responses == (len(block.filters), *geometry.responses[1:])


@pytest.mark.parametrize("name", NETWORK)
def test_the_nonzeros_of_blocks_are_those_of_the_matrices_that_they_build(name):
    geometry = NETWORK[name]
    of_group = [matrices.image_matrix(np.ones(geometry.image), geometry, group=g).nnz for g in range(geometry.groups)]
    blocks = large.blocks(name, geometry, 0, 2**30)
    assert sum(each.nonzeros for each in blocks if each.matrix == "filter") == geometry.nonzeros
    for block in blocks:
        if block.matrix == "image":
            assert block.nonzeros == sum(of_group[group] for group in block.groups)


@pytest.mark.parametrize(
    ("most", "cuts"),
    [
        (1, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (2, [2, 3, 5, 6, 8, 9]),
        (3, [3, 6, 9]),
        (5, [3, 6, 9]),
        (6, [6, 9]),
        (20, [9]),
    ],
)
def test_filters_are_cut_within_groups_or_between_them(monkeypatch, most, cuts):
    """Nine filters, three to a group, of 25 positions and 8 taps each."""
    geometry = Geometry((6, 6, 6), (9, 2, 2, 2), groups=3)
    assert (geometry.positions * geometry.taps, geometry.nonzeros) == (200, 9 * 200)
    monkeypatch.setattr(large, "IMAGE_FILTERS", 1)
    monkeypatch.setattr(large, "IMAGE_PRODUCTS", 200 * most + 199)
    monkeypatch.setattr(large, "BLOCK_NONZEROS", 200 * most + 199)
    for ranges in (large._image_ranges(geometry), large._filter_ranges(geometry)):
        assert [each.stop for each in ranges] == cuts
        assert [each.start for each in ranges] == [0, *cuts[:-1]]


def test_blocks_have_a_filter_at_least_and_more_for_the_image_matrix(monkeypatch):
    one = Geometry((1, 1), (4, 1, 1))
    monkeypatch.setattr(large, "BLOCK_NONZEROS", 3)
    assert list(map(len, large._filter_ranges(one))) == [3, 1]
    nothing = Geometry((1, 1), (4, 1, 1), stride=3, padding=((2, 0),))
    assert (nothing.nonzeros, list(map(len, large._filter_ranges(nothing)))) == (0, [3, 1])
    monkeypatch.setattr(large, "BLOCK_NONZEROS", 0)
    monkeypatch.setattr(large, "IMAGE_PRODUCTS", 0)
    assert list(map(len, large._filter_ranges(one))) == [1, 1, 1, 1]
    assert list(map(len, large._image_ranges(one))) == [3, 1]


@pytest.mark.parametrize(
    ("geometry", "image", "filters"),
    [
        (Geometry((1, 13), (1, 1, 12)), 12 + 1, 12),  # taps and bias; taps
        (Geometry((1, 3), (5, 1, 2)), 5 * 2, 3 * 2),  # taps of all filters of a group; of those of a block
        (Geometry((1, 9), (1, 1, 1)), 9, 1),  # positions
    ],
)
def test_the_longest_sums_of_a_block_by_hand(monkeypatch, geometry, image, filters):
    right, terms = exact.exact_magnitude, []

    def noting(dtype, count):
        terms.append(count)
        return right(dtype, count)

    monkeypatch.setattr(large.exact, "exact_magnitude", noting)
    for matrix, by_hand in (("image", image), ("filter", filters)):
        next(large._draws(large.Block("", geometry, matrix, range(min(3, geometry.filters[0])), 0, 2**30)))
        assert terms.pop() == by_hand


def test_draws_are_three_and_no_more_than_their_target_takes(monkeypatch):
    assert large.TARGET <= Fraction(1, 2**60) < 2 * large.TARGET
    for block in large.blocks("plain", PLAIN, 0, 2**30):
        misses = [draw.miss for draw in large._draws(block)]
        assert len(misses) == 3
        for outcome in large.check_block(block):
            assert (outcome.checks, outcome.miss, outcome.size) == (3, math.prod(misses), 60 + 48 + 144)
        with monkeypatch.context() as patch:
            patch.setattr(large, "TARGET", misses[0] * misses[1])
            assert len(list(large._draws(block))) == 2


@pytest.mark.parametrize("name", NETWORK)
def test_no_sum_of_a_block_can_be_rounded(name):
    for block in large.blocks(name, NETWORK[name], 0, 2**30):
        geometry, missed = block.geometry, Fraction(1)
        for draw in large._draws(block):
            X, F, G, b = (np.abs(each) for each in (draw.X, draw.F, draw.G, draw.b))
            some, planes = large._layer_of(geometry, block.filters)
            sums = [large._convolve(X, F, geometry, block.filters) + b.max() * (block.matrix == "image")]
            sums += [large._input_gradient(G, F, geometry, block.filters)]
            if block.matrix == "image":
                sums += [convolution.filter_gradient(X[planes], G, some), convolution.bias_gradient(G)]
            assert 2**36 < max(each.max() for each in sums) <= exact.exact_limit(large.DTYPE)
            missed *= draw.miss
        assert missed <= large.TARGET


def test_draws_differ_from_block_to_block_and_with_the_seed():
    first, second = large.blocks("plain", PLAIN, 0, 2**30)[-2:]
    other = large.blocks("plain", PLAIN, 1, 2**30)[-2]
    drawn = [next(large._draws(block)).X.tolist() for block in (first, first, second, other)]
    assert drawn[0] == drawn[1]
    assert len({str(each) for each in drawn}) == 3


# what is refused ------------------------------------------------------------------------------------------------------


def off_by_one(entry):
    """A builder of which one entry of the whole matrix is off by one, whatever rows are built."""

    def wrap(right):
        def wrong(operand, geometry, *, rows=None, **options):
            matrix = right(operand, geometry, rows=rows, **options)
            if rows.start <= entry < rows.stop and geometry == PLAIN:
                matrix.data[matrix.indptr[entry - rows.start]] += 1
            return matrix

        return wrong

    return wrap


def wrong_rows(first, stop):
    """A builder that takes some rows from elsewhere."""

    def wrap(right):
        def wrong(operand, geometry, *, rows=None, **options):
            matrix = right(operand, geometry, rows=rows, **options)
            if rows.start < stop and rows.stop > first:
                matrix.indices[:] = matrix.indices[::-1].copy()
            return matrix

        return wrong

    return wrap


def raising(right):
    def wrong(*args, **options):
        raise RuntimeError("no such kernel")

    return wrong


def entry_off(place):
    def wrap(right):
        def wrong(*args, **options):
            result = right(*args, **options)
            result.flat[place] += 1
            return result

        return wrong

    return wrap


def only_whole(right):
    """∂l/∂X that is wrong if all filters are given at once."""

    def wrong(G, F, geometry):
        return right(G, F, geometry) * (2 if geometry == PLAIN else 1)

    return wrong


WRONG = {
    "an entry of the filter matrix": (matrices, "jacobian_wrt_image", off_by_one(50), {"S", "∂l/∂X"}),
    "rows of the filter matrix": (matrices, "jacobian_wrt_image", wrong_rows(90, 95), {"S", "∂l/∂X"}),
    "filter matrix that raises": (matrices, "jacobian_wrt_image", raising, {"S", "∂l/∂X"}),
    "an entry of the image matrix": (matrices, "image_matrix", off_by_one(7), {"S", "∂l/∂F"}),
    "rows of the image matrix": (matrices, "image_matrix", wrong_rows(7, 9), {"S", "∂l/∂F"}),
    "an entry of the bias matrix": (matrices, "jacobian_wrt_bias", off_by_one(50), {"∂l/∂b"}),
    "filter that is not rotated": (convolution, "turn", lambda right: lambda F: F, {"∂l/∂X"}),
    "responses": (convolution, "convolve", entry_off(-1), {"S"}),
    "gradient of the filters": (convolution, "filter_gradient", entry_off(3), {"∂l/∂F"}),
    "gradient of the bias": (convolution, "bias_gradient", entry_off(0), {"∂l/∂b"}),
    "gradient of the image": (convolution, "input_gradient", entry_off(-1), {"∂l/∂X"}),
    "gradient of the image of all filters": (convolution, "input_gradient", only_whole, {"∂l/∂X"}),
    "convolution that raises": (convolution, "convolve", raising, {"S"}),
    "convolution without an axis": (convolution, "convolve", lambda right: lambda *a, **k: right(*a, **k)[0], {"S"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(monkeypatch, name):
    module, function, wrap, equations = WRONG[name]
    monkeypatch.setattr(module, function, wrap(getattr(module, function)))
    report = verify_network({"plain": PLAIN})
    assert failures(report) == {("plain", equation) for equation in equations}
    with pytest.raises(VerificationError, match="plain does not hold"):
        report.check()


def test_a_failure_says_layer_block_index_expected_and_actual(monkeypatch):
    monkeypatch.setattr(large, "BLOCK_NONZEROS", 1)
    place, t = 50, PLAIN.positions
    monkeypatch.setattr(matrices, "jacobian_wrt_image", off_by_one(place)(matrices.jacobian_wrt_image))
    (row,) = verify_network({"plain": PLAIN}, seed=4).rows
    failure = next(each for each in row.failures if each.entry.startswith("S"))
    l, m = divmod(place % t, PLAIN.responses[2])
    assert failure.entry == f"S[{place // t}, {l}, {m}]"
    assert (failure.index, failure.seed, failure.geometry, failure.wrong) == (place, 4, PLAIN, 1)
    blocks = large.blocks("plain", PLAIN, 4, 2**30)
    block = next(each for each in blocks if each.matrix == "filter" and place // t in each.filters)
    draw = next(large._draws(block))
    exactly = int(convolution.convolve(draw.X, draw.F, PLAIN).flat[place])
    assert int(failure.actual) == exactly
    column = matrices.filter_matrix(draw.F[place // t], PLAIN).indices  # of the entry that is off
    assert int(failure.expected) - exactly in {int(pixel) for pixel in draw.X.flat[column]}
    assert (
        f"layer plain, {PLAIN!r}, rows {place // t * t} … {(place // t + 1) * t - 1} of ∂vec(S)/∂vec(X)"
        in failure.where
    )


@pytest.mark.parametrize(
    ("module", "function", "change", "told"),
    [
        (convolution, "convolve", lambda S: S[0], ("actual", "shape (6, 6)")),
        (convolution, "convolve", lambda S: S[None], ("actual", "shape (1, 4, 6, 6)")),
        (convolution, "convolve", lambda S: S[:-1], ("actual", "shape (3, 6, 6)")),
        (convolution, "convolve", lambda S: np.repeat(S, 2, axis=0), ("actual", "shape (8, 6, 6)")),
        (convolution, "convolve", lambda S: S * np.nan, ("actual", "nan")),
        (convolution, "convolve", lambda S: S + 0.5, ("actual", ".5")),
        (convolution, "convolve", lambda S: 1 // 0, ("actual", "ZeroDivisionError")),
        (matrices, "image_matrix", lambda M: 1 // 0, ("expected", "ZeroDivisionError")),
    ],
)
def test_what_is_no_array_of_integers_of_the_right_shape_is_told(monkeypatch, module, function, change, told):
    right = getattr(module, function)
    monkeypatch.setattr(module, function, lambda *args, **options: change(right(*args, **options)))
    monkeypatch.setattr(large, "MAGNITUDE", 1 << 10)  # halves are not rounded
    block = large.blocks("plain", PLAIN, 0, 2**30)[0]
    assert block.rows == "rows 0 … 35 of M_X^im, filters 0 … 3"
    failure = next(each.failure for each in large.check_block(block) if each.identity == "S")
    assert told[1] in getattr(failure, told[0])
    assert block.rows in failure.where


def test_a_wrong_layer_is_told_apart_from_right_ones(monkeypatch):
    monkeypatch.setattr(matrices, "jacobian_wrt_image", off_by_one(0)(matrices.jacobian_wrt_image))
    report = verify_network(NETWORK)
    assert [row.verdict for row in report.rows] == ["FAILS"] + ["holds"] * (GEOMETRIES - 1)
    assert "✗ plain and 1 more does not hold" in str(report)
    assert all("layer plain," in failure.where for failure in report.rows[0].failures)


# memory ---------------------------------------------------------------------------------------------------------------


def test_memory_changes_how_many_rows_are_built_at_once_and_nothing_else(monkeypatch, right):
    built = []

    def noted(name):
        right = getattr(matrices, name)

        def build(*operands, rows, **options):
            built.append(rows.stop - rows.start)
            return right(*operands, rows=rows, **options)

        monkeypatch.setattr(matrices, name, build)

    noted("jacobian_wrt_image")
    noted("image_matrix")
    monkeypatch.setattr(large, "PIECE_NONZEROS", 2**22)
    blocks = [each for name, geometry in NETWORK.items() for each in large.blocks(name, geometry, 0, 2**30)]
    least = max(large._held_bytes(block) + block.geometry.taps * large.NONZERO_BYTES for block in blocks)
    assert verify_network(NETWORK, memory="1GiB") == right
    whole = built.copy()
    built.clear()
    assert verify_network(NETWORK, memory=least) == right
    assert min(built) == 1 < min(whole)
    with pytest.raises(TooLargeError, match=r"^layer \w+, Geometry\(.* MiB for its arrays and one row of its matrix"):
        verify_network(NETWORK, memory=least - 1)


def test_the_memory_of_a_block_by_hand(monkeypatch):
    """Of 2·7·8 padded pixels, 4·12 taps, 4·36 responses, those with zeros between, and integers to draw from.

    A row has 12 nonzeros, and 16 rows have 192 of at most 200.
    """
    block = large.blocks("plain", PLAIN, 0, 2**30)[0]
    slabs = 2 * convolution.SLAB_ENTRIES
    arrays = 5 * 2 * 7 * 8 + 3 * 4 * 12 + 5 * 4 * 36 + 4 * (7 + 2) * (8 + 3)
    held = large._held_bytes(block)
    assert held == 8 * (50 * 4 * 36 + arrays + slabs)
    for memory, rows in ((2**30, 16), (held + 3 * 12 * 32, 3), (held + 4 * 12 * 32 - 1, 3), (held + 12 * 32, 1)):
        assert large._piece_rows(dataclasses.replace(block, memory=memory)) == rows
    with pytest.raises(TooLargeError, match=rf"needs {re.escape(amount(held + 12 * 32))} for its arrays"):
        large._piece_rows(dataclasses.replace(block, memory=held + 12 * 32 - 1))
    monkeypatch.setattr(large, "PIECE_NONZEROS", 1)
    assert large._piece_rows(block) == 1
    monkeypatch.setattr(large, "MAGNITUDE", 1000)
    assert large._held_bytes(block) == 8 * (2 * 1000 + arrays + slabs)


def test_pieces_of_a_few_rows_are_put_together(monkeypatch):
    monkeypatch.setattr(large, "PIECE_NONZEROS", 7)
    monkeypatch.setattr(large, "IMAGE_PRODUCTS", 0)
    assert verify_network({"plain": PLAIN}).ok


@pytest.mark.parametrize("memory", ["much", "4", "-1GiB", "0MiB", 0, -5, True, 1.5, None])
def test_an_amount_that_is_none_is_refused(memory):
    with pytest.raises(ValueError, match=r"^memory is .*; it needs a number with a unit, such as 4GiB"):
        verify_network(NETWORK, memory=memory)


# executors ------------------------------------------------------------------------------------------------------------


def test_the_report_does_not_depend_on_who_does_what_when(right):
    with ThreadPoolExecutor(2) as executor:
        assert verify_network(NETWORK, executor=executor) == right


def test_pieces_of_work_may_be_done_in_any_order(right, monkeypatch):
    def backwards(executor, function, pieces):
        return reversed([(number, function(piece)) for number, piece in enumerate(pieces)])

    monkeypatch.setattr(layers, "completed", backwards)
    assert verify_network(NETWORK) == right


def test_a_process_that_dies_costs_its_piece_a_try_and_one_that_always_dies_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "TRIES", 2)
    with workers.Pool(1, lambda printed: None) as pool:
        marker = tmp_path / "died"
        assert [*workers.completed(pool, crashing.dies_once, [marker, marker])] == [(0, "alive"), (1, "alive")]
        with pytest.raises(workers.BrokenExecutor, match=f"at each of {workers.TRIES} tries"):
            pool.submit(crashing.dies, None).result()
        with pytest.raises(Exception, match="pickle"):
            pool.submit(lambda: None).result()
        assert list(pool.map(abs, [-1, 2])) == [1, 2]
    with pytest.raises(RuntimeError, match="take no more work"):
        pool.submit(abs, 1)


@pytest.mark.parametrize("version", ["0.0.9", "999.0.0"])
def test_work_that_another_version_made_is_refused(monkeypatch, version):
    block = large.blocks("plain", PLAIN, 0, 2**30)[0]
    monkeypatch.setattr(large, "__version__", version)
    with pytest.raises(RuntimeError, match=rf"has jacobians {re.escape(version)} but the run"):
        large.check_block(block)


def test_progress_is_told_to_the_end():
    told = []
    verify_network({"plain": PLAIN}, progress=lambda done, total: told.append((done, total)))
    done, totals = zip(*told, strict=True)
    assert done[0] == 0
    assert list(done) == sorted(set(done))
    assert set(totals) == {done[-1]}


# a record to go on from -----------------------------------------------------------------------------------------------


def stop_after(monkeypatch, count, error=KeyboardInterrupt):
    """Let a run end after some blocks; return which blocks were checked."""
    checked = []
    right = large.check_block

    def check(block):
        if len(checked) == count:
            raise error
        checked.append(block)
        return right(block)

    monkeypatch.setattr(layers, "check_block", check)
    return checked


def lines(file):
    return file.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize("wrong", [False, True])
def test_a_run_goes_on_where_it_ended_and_its_report_is_that_of_a_whole_run(tmp_path, monkeypatch, wrong):
    if wrong:
        monkeypatch.setattr(matrices, "image_matrix", off_by_one(7)(matrices.image_matrix))
    whole, record = verify_network(NETWORK), tmp_path / "record.jsonl"
    total = sum(row.blocks for row in whole.rows)
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(Interrupted, match=f"^Ended early, with {total - 4} blocks not done") as stop:
            verify_network(NETWORK, resume=record)
    so_far = stop.value.report
    assert (so_far.left, so_far.ok, bool(so_far.stories)) == (total - 4, False, wrong)
    assert {row.verdict for row in so_far.rows} >= {"not checked"}
    assert len(lines(record)) == 1 + 4
    record.write_bytes(record.read_bytes()[:-9])  # a torn last line
    with monkeypatch.context() as patch:
        checked = stop_after(patch, -1)
        assert verify_network(NETWORK, resume=record, memory="2GiB") == whole
    assert len(checked) == total - 3
    assert len(lines(record)) == 1 + total
    assert all(json.loads(line) for line in lines(record))
    with monkeypatch.context() as patch:
        stop_after(patch, 0)
        assert verify_network(NETWORK, resume=record) == whole  # nothing is left to do


def test_a_line_is_in_the_record_as_soon_as_its_block_is_done(tmp_path):
    record, told = tmp_path / "record.jsonl", []
    verify_network({"plain": PLAIN}, resume=record, progress=lambda done, total: told.append(len(lines(record))))
    assert told == list(range(1, 1 + len(told)))
    assert "∂l/∂X" in record.read_text("utf-8")


def test_a_last_line_that_no_json_reads_is_dropped(tmp_path):
    record = tmp_path / "record.jsonl"
    report, written = verify_network({"plain": PLAIN}, resume=record), record.read_bytes()
    record.write_bytes(written + b'{"block":\n')
    assert verify_network({"plain": PLAIN}, resume=record) == report
    assert record.read_bytes() == written


def test_a_record_that_is_torn_in_its_first_line_is_begun_anew(tmp_path):
    record = tmp_path / "record.jsonl"
    verify_network({"plain": PLAIN}, resume=record)
    first = lines(record)[0]
    for content in (b"", first[:30], first[:-1]):
        record.write_bytes(content)
        verify_network({"plain": PLAIN}, resume=record)
        assert lines(record)[0] == first


OTHER = Geometry((2, 5, 6), (4, 2, 2, 2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 3}, "its seed is 3, and that of this run 0"),
        ({"version": "0.0.1"}, "its version is 0.0.1, and that of this run"),
        ({"layers": {"plain": repr(OTHER)}}, f"its plain is {OTHER!r}, and that of this run {PLAIN!r}"),
        (
            {"layers": {"plain": repr(PLAIN), "more": repr(OTHER)}},
            "its more is Geometry.*, and that of this run not there",
        ),
    ],
)
def test_a_record_of_another_run_is_refused_and_left_as_it_is(tmp_path, change, said):
    record = tmp_path / "record.jsonl"
    of_this = layers.plan({"plain": PLAIN}, None, 0, 2**30).record
    content = json.dumps({"record": journal.KIND, **of_this, **change}) + "\n"
    record.write_text(content)
    with pytest.raises(ValueError, match=f"^resume is .*{said.replace('(', '.').replace(')', '.')}"):
        verify_network({"plain": PLAIN}, resume=record)
    assert record.read_text() == content


@pytest.mark.parametrize(
    "content", ["notes", "notes\n", "[1]\n", '{"record": "another"}\n', '{"record": "some"}\n', "{}\n{}\n", "\n\n"]
)
def test_a_file_that_is_no_record_is_refused_and_left_as_it_is(tmp_path, content):
    record = tmp_path / "notes.txt"
    record.write_text(content)
    with pytest.raises(ValueError, match="which is no record of jacobians verify --network"):
        verify_network({"plain": PLAIN}, resume=record)
    assert record.read_text() == content
    with pytest.raises(ValueError, match="which is no record"):
        verify_network({"plain": PLAIN}, resume=tmp_path)


@pytest.mark.parametrize(
    "line",
    [{}, {"block": 99, "outcomes": []}, {"block": 0, "outcomes": [{"identity": "S"}]}, {"block": -9, "outcomes": []}],
)
def test_a_line_that_no_run_writes_is_refused(tmp_path, line):
    record = tmp_path / "record.jsonl"
    verify_network({"plain": PLAIN}, resume=record)
    record.write_bytes(lines(record)[0] + json.dumps(line).encode() + b"\n" + lines(record)[1])
    with pytest.raises(ValueError, match="has a line that no run writes"):
        verify_network({"plain": PLAIN}, resume=record)


def test_a_full_disk_loses_nothing_that_was_found(tmp_path, monkeypatch):
    record, whole = tmp_path / "record.jsonl", verify_network(NETWORK)
    synced = iter([None] * 3)

    def full(_):
        if next(synced, "full") is not None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoppedError, match=r"^resume is .*, which cannot be written: No space left") as stop:
            verify_network(NETWORK, resume=record)
    report = stop.value.report
    assert report.left == sum(row.blocks for row in whole.rows) - 3  # the third of them is in the report alone
    assert verify_network(NETWORK, resume=record) == whole


def test_a_record_that_cannot_be_begun_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^resume is .*, which cannot be read or written: No such file or directory"):
        verify_network({"plain": PLAIN}, resume=tmp_path / "no" / "record.jsonl")


def test_a_run_that_cannot_go_on_tells_what_it_found(monkeypatch):
    stop_after(monkeypatch, 2, MemoryError("no room"))
    with pytest.raises(StoppedError, match="no room") as stop:
        verify_network({"plain": PLAIN})
    (row,) = stop.value.report.rows
    assert row.verdict == f"2 of {row.blocks} blocks"


# the report, and the command ------------------------------------------------------------------------------------------


def test_the_record_for_machines_is_plain(monkeypatch):
    monkeypatch.setattr(matrices, "jacobian_wrt_image", off_by_one(0)(matrices.jacobian_wrt_image))
    record = json.loads(json.dumps(verify_network(NETWORK).to_dict()))
    assert (record["ok"], record["left"]) == (False, 0)
    assert record["log2_miss_probability"] <= -60
    assert record["layers"][0]["names"] == ["plain", "again"]
    assert record["layers"][0]["failures"][0]["index"] == 0
    nothing = verify_network({})
    assert (nothing.to_dict()["ok"], nothing.miss) == (False, 0)


def test_the_report_is_shown_in_notebooks(right):
    assert right._repr_html_().count("✓") == GEOMETRIES + 1


def test_the_command_verifies_a_network_and_goes_on_from_its_record(capsys, monkeypatch, tmp_path):
    monkeypatch.undo()
    record, written = tmp_path / "record.jsonl", tmp_path / "record.json"
    asked = ("verify", "--network", "lenet-5", "--jobs", "1", "--memory", "64MiB", "--resume", str(record))
    status, out, err = command(capsys, monkeypatch, *asked, "--json", str(written))
    assert (status, err) == (0, "")
    assert "3 geometries hold at true size" in out
    assert [each["names"] for each in json.loads(written.read_text())["layers"]] == [["c1"], ["c3"], ["c5"]]
    stop_after(monkeypatch, 0)
    assert command(capsys, monkeypatch, *asked)[:2] == (0, out)
    status, _, err = command(capsys, monkeypatch, *asked, "--seed", "3")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"jacobians: --resume is {record}, which is the record of another run: its seed is 0")


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, 130), (MemoryError("no room"), 2)])
def test_the_command_says_what_it_found_until_it_ended(capsys, monkeypatch, error, status):
    stop_after(monkeypatch, 2, error)
    found, out, err = command(capsys, monkeypatch, "verify", "--network", "lenet-5", "--jobs", "1")
    assert found == status
    assert re.search(r"2 of \d+ blocks", out)
    assert err == ("" if status == 130 else "jacobians: no room\n")


def test_what_is_wrong_is_said_although_the_command_cannot_go_on(capsys, monkeypatch):
    monkeypatch.setattr(convolution, "bias_gradient", entry_off(0)(convolution.bias_gradient))
    stop_after(monkeypatch, 1, MemoryError("no room"))
    status, out, err = command(capsys, monkeypatch, "verify", "--network", "lenet-5", "--jobs", "1")
    assert status == 1
    assert "✗ c1 does not hold" in out
    assert err.startswith("jacobians: no room")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--network", "vgg-61"], "did you mean vgg-16?"),
        (["--network", "no.onnx"], "no.onnx does not exist"),
        (["--network", "vgg-16", "--quick"], "--quick is for a run without --network"),
        (["--network", "vgg-16", "--full"], "--full is for a run without --network"),
        (["--network", "vgg-16", "--only", "L18"], "--only is for a run without --network"),
        (["--memory", "1GiB"], "--memory is for a run with --network"),
        (["--resume", "x"], "--resume is for a run with --network"),
        (["--image", "3x8x8"], "--image is for a run with --network"),
        (["--network", "vgg-16", "--memory", "1"], "--memory is '1'; it needs a number with a unit"),
        (["--network", "vgg-16", "--memory", "1MiB"], "let it take more memory"),
        (["--network", "vgg-16", "--image", "3x8xa"], "--image has 'a'"),
        (["--network", "vgg-16", "--image", "4"], "--image"),
        (
            ["--network", "vgg-16", "--resume", "no/folder/x"],
            "in a folder that does not exist",
        ),
        (["--network", "vgg-16", "--resume", "/dev/null"], "--resume is /dev/null, which is no record"),
        (["--jobs", "2", "--dask", "127.0.0.1:1"], "--jobs and --dask are both given"),
    ],
)
def test_unusable_arguments_end_with_status_2_and_one_line(capsys, monkeypatch, arguments, said):
    monkeypatch.setenv("COLUMNS", "500")
    jobs = [] if "--jobs" in arguments else ["--jobs", "1"]
    status, out, err = command(capsys, monkeypatch, "verify", *arguments, *jobs)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_what_dask_needs_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    status, out, err = command(capsys, monkeypatch, "verify", "--dask", "127.0.0.1:1")
    assert (status, out) == (2, "")
    assert err == "jacobians: --dask needs distributed, which is not installed: pip install 'jacobians[dask]'\n"
