"""Shapes, options and the pixel table, against the literal definition of a window."""

import copy
import dataclasses
import math
import pickle
import re
from itertools import product

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from jacobians import Geometry, ShapeError, TooLargeError, testing
from jacobians.geometry import as_plane, boxes
from tests import oracle, strategies

FIXED = [*strategies.option_grid(), *strategies.AWKWARD.values()]
AWKWARD = Geometry(
    (4, 9, 6), (6, 2, 3, 2), stride=(4, 3), padding=((1, 0), (0, 3)), dilation=(2, 1), groups=2
)  # no two axes, sides or counts agree


def windows(size, taps, stride, zeros, dilation):
    """The pixels that each window of one axis reads, slid over the padded axis one place at a time."""
    padded = list(range(-zeros[0], size + zeros[1]))
    starts = [at for at in range(len(padded)) if at + (taps - 1) * dilation < len(padded)]
    return [padded[at : at + (taps - 1) * dilation + 1 : dilation] for at in starts if at % stride == 0]


def axis_windows(geometry, axis):
    options = geometry.stride[axis], geometry.padding[axis], geometry.dilation[axis]
    return windows(geometry.image[1 + axis], geometry.filters[2 + axis], *options)


# ------------------------------------------------------------------------------------------------------------- shapes


def test_a_signal_is_an_image_of_one_row():
    signal = Geometry((4, 11), (6, 2, 3), stride=2, padding=[(1, 2)], dilation=3, groups=2)
    plane = as_plane(signal)
    steps, zeros = {"stride": (1, 2), "dilation": (1, 3)}, [(0, 0), (1, 2)]
    assert plane == Geometry((4, 1, 11), (6, 2, 1, 3), **steps, padding=zeros, groups=2)
    assert all(np.array_equal(plane.pixel_table(group=group), signal.pixel_table(group=group)) for group in range(2))
    assert as_plane(AWKWARD) == AWKWARD


def test_shapes_of_the_lecture():
    lecture = Geometry((3, 32, 32), (4, 3, 5, 5))
    assert lecture.responses == (4, 28, 28)
    assert (lecture.positions, lecture.taps, lecture.pixels, lecture.spatial_ndim) == (784, 75, 3072, 2)


def test_layers_of_the_lecture_follow_each_other():
    first = Geometry((3, 32, 32), (6, 3, 5, 5))
    second = Geometry(first.responses, (10, 6, 3, 3))
    assert (first.responses, second.responses) == ((6, 28, 28), (10, 26, 26))


def test_an_awkward_geometry_by_hand():
    assert AWKWARD.padded == (10, 9)
    assert AWKWARD.extent == (5, 2)
    assert AWKWARD.responses == (6, 2, 3)
    assert AWKWARD.tail == (1, 1)
    assert (AWKWARD.positions, AWKWARD.taps, AWKWARD.pixels) == (6, 12, 216)
    assert (AWKWARD.planes_per_group, AWKWARD.filters_per_group) == (2, 3)
    assert [AWKWARD.group_of(i) for i in range(6)] == [0, 0, 0, 1, 1, 1]
    assert (AWKWARD.planes_of(1), AWKWARD.filters_of(1)) == (slice(2, 4), slice(3, 6))


def test_a_tail_of_two_rows():
    assert Geometry((1, 9, 4), (1, 1, 3, 3), stride=(4, 1)).tail == (2, 0)


@given(testing.geometries())
def test_counts_match_the_windows(geometry):
    for axis in range(geometry.spatial_ndim):
        reads = axis_windows(geometry, axis)
        end = geometry.image[1 + axis] + geometry.padding[axis][1]
        assert geometry.responses[1 + axis] == len(reads)
        assert geometry.extent[axis] == reads[0][-1] - reads[0][0] + 1
        assert geometry.padded[axis] == end + geometry.padding[axis][0]
        assert geometry.tail[axis] == end - 1 - reads[-1][-1] < geometry.stride[axis]
    assert geometry.positions == math.prod(geometry.responses[1:])


# ------------------------------------------------------------------------------------------------------------ options


def test_options_are_normalised_to_one_per_axis():
    short = Geometry([2, 7, 9], np.array([4, 1, 3, 2]), stride=2, padding=1, dilation=[1, 2], groups=2)
    long = Geometry((2, 7, 9), (4, 1, 3, 2), stride=(2, 2), padding=((1, 1), (1, 1)), dilation=(1, 2), groups=2)
    assert short == long
    assert hash(short) == hash(long)
    assert (short.stride, short.padding, short.dilation) == ((2, 2), ((1, 1), (1, 1)), (1, 2))
    assert (short.image, short.filters) == ((2, 7, 9), (4, 1, 3, 2))


@pytest.mark.parametrize("padding", [(0, 2), [0, (2, 2)], ((0, 0), [2, 2]), np.array([[0, 0], [2, 2]]), iter((0, 2))])
def test_padding_has_many_spellings(padding):
    assert Geometry((1, 4, 5), (1, 1, 2, 2), padding=padding).padding == ((0, 0), (2, 2))


def test_valid_padding_is_none():
    assert Geometry((1, 4, 5), (1, 1, 2, 2), padding="valid") == Geometry((1, 4, 5), (1, 1, 2, 2))


@pytest.mark.parametrize("number", [np.int8(2), np.int64(2), np.uint16(2), np.array(2)], ids=lambda n: repr(type(n)))
def test_integers_of_numpy_become_integers(number):
    geometry = Geometry((number, 9, 9), (number, 1, 2, number), stride=number, padding=number, groups=number)
    assert geometry == Geometry((2, 9, 9), (2, 1, 2, 2), stride=2, padding=2, groups=2)
    everything = [*geometry.image, *geometry.filters, *geometry.stride, *np.ravel(geometry.padding).tolist()]
    assert {type(each) for each in (*everything, *geometry.padding[0], geometry.groups)} == {int}


@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5])
def test_same_padding_keeps_the_size_and_puts_an_odd_zero_behind(taps, dilation):
    """PyTorch's rule (torch.nn.functional.conv2d, padding="same"): total = dilation·(taps − 1), left = total // 2."""
    geometry = Geometry((1, 7, 20), (1, 1, taps, 3), padding="same", dilation=(dilation, 1))
    total = dilation * (taps - 1)
    assert geometry.padding == ((total // 2, total - total // 2), (1, 1))
    assert geometry.responses == (1, 7, 20)


def test_different_options_are_different_geometries():
    base = {"image": (2, 7, 9), "filters": (4, 2, 3, 2)}
    others = [
        {},
        {"stride": (1, 2)},
        {"stride": (2, 1)},
        {"padding": ((1, 0), (0, 0))},
        {"padding": ((0, 1), (0, 0))},
        {"dilation": (1, 2)},
        {"groups": 2, "filters": (4, 1, 3, 2)},
        {"image": (2, 9, 7)},
    ]
    assert len({Geometry(**base | other) for other in others}) == len(others)


def test_a_geometry_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError, match="stride"):
        AWKWARD.stride = (1, 1)


@pytest.mark.parametrize("geometry", FIXED, ids=repr)
def test_repr_pickle_and_copy_give_the_same_geometry(geometry):
    again = eval(repr(geometry))
    for other in (again, pickle.loads(pickle.dumps(geometry)), copy.deepcopy(geometry)):
        assert other == geometry
        assert hash(other) == hash(geometry)
        assert repr(other) == repr(geometry)


@given(testing.geometries())
def test_repr_gives_any_geometry(geometry):
    assert eval(repr(geometry)) == geometry


def test_a_notebook_shows_the_shapes():
    shown = Geometry((2, 5, 4), (3, 2, 2, 2))._repr_html_()
    assert re.findall(r"\d+(?: × \d+)+", shown) == [
        "2 × 5 × 4",
        "3 × 2 × 2 × 2",
        "3 × 4 × 3",
        "12 × 8",
        "12 × 40",
        "36 × 24",
        "36 × 40",
    ]
    assert "stride=" not in shown
    assert "stride=2" in Geometry((2, 5, 4), (3, 2, 2, 2), stride=2)._repr_html_()


def test_repr_is_short():
    assert repr(Geometry((1, 6, 6), (1, 1, 3, 3))) == "Geometry((1, 6, 6), (1, 1, 3, 3))"
    assert repr(Geometry((1, 5, 5), (1, 1, 2, 2), stride=2, padding=1)) == (
        "Geometry((1, 5, 5), (1, 1, 2, 2), stride=2, padding=1)"
    )
    assert repr(Geometry((1, 5), (1, 1, 2), padding=((0, 1),))) == "Geometry((1, 5), (1, 1, 2), padding=((0, 1),))"


# ---------------------------------------------------------------------------------------------------- the pixel table


@given(testing.geometries())
def test_axis_tables_are_the_windows(geometry):
    for axis in range(geometry.spatial_ndim):
        oracle.assert_same(geometry.axis_table(axis), axis_windows(geometry, axis))


@given(testing.geometries())
def test_axis_reach_finds_the_taps_that_read_pixels(geometry):
    for axis in range(geometry.spatial_ndim):
        for reads, first, stop in zip(axis_windows(geometry, axis), *geometry.axis_reach(axis), strict=True):
            inside = [tap for tap, pixel in enumerate(reads) if 0 <= pixel < geometry.image[1 + axis]]
            assert list(range(first, stop)) == inside


@given(testing.geometries(), st.data())
def test_axis_entries_counts_what_reads_pixels(geometry, data):
    for axis in range(geometry.spatial_ndim):
        start = data.draw(st.integers(0, geometry.responses[1 + axis]))
        positions = range(start, data.draw(st.integers(start, geometry.responses[1 + axis])))
        windows = np.reshape(axis_windows(geometry, axis), (-1, geometry.filters[2 + axis]))
        reads = windows[positions.start : positions.stop]
        assert geometry.axis_entries(axis, positions) == np.sum((reads >= 0) & (reads < geometry.image[1 + axis]))
        for part, whole in zip(geometry.axis_reach(axis, positions), geometry.axis_reach(axis), strict=True):
            oracle.assert_same(part, whole[positions.start : positions.stop])


def test_tables_that_do_not_fit_are_refused_by_their_shapes():
    long, longest = (Geometry((1, 3, 2 * taps), (1, 1, 2, taps)) for taps in (2**21, 2**39))
    for build, shape in (
        (long.pixel_table, (2 * (2**21 + 1), 2 * 2**21)),
        (lambda: long.axis_table(1), (2**21 + 1, 2**21)),
        (lambda: longest.axis_reach(1), (2**39 + 1, 1)),
    ):
        # Its entries, of 8 bytes each, and what they are made of: as many twice.
        needed = f", of shape {shape}, needs {3 * 8 * math.prod(shape) / 2**30:.3g} GiB"
        with pytest.raises(TooLargeError, match=re.escape(needed)):
            build()
    assert long.axis_table(0).shape == (2, 2)


@pytest.mark.parametrize("positions", [range(0, 2, 2), range(2, 0, -1), slice(2), [0, 1]])
def test_positions_are_a_range_of_neighbours(positions):
    for of_axis in (AWKWARD.axis_reach, AWKWARD.axis_entries):
        with pytest.raises(ShapeError, match=r"^positions is .*a range of step 1"):
            of_axis(0, positions)


@pytest.mark.parametrize("geometry", FIXED, ids=repr)
def test_axis_entries_of_a_whole_axis(geometry):
    for axis, size in enumerate(geometry.image[1:]):
        reads = np.array(axis_windows(geometry, axis))
        count = geometry.axis_entries(axis, range(geometry.responses[1 + axis]))
        assert count == np.sum((reads >= 0) & (reads < size))


def pixel_table(geometry, group):
    """From the oracle's products of the group's first filter."""
    table = np.full((geometry.positions, geometry.taps), -1)
    for (i, *position), (_, *tap), pixel in oracle.products(**oracle.plain(geometry)):
        if i == group * geometry.filters_per_group:
            row, column = oracle.vec(position, geometry.responses[1:]), oracle.vec(tap, geometry.filters[1:])
            table[row, column] = oracle.vec(pixel, geometry.image)
    return table


@given(testing.geometries())
def test_the_pixel_table_is_the_triple_sum(geometry):
    for group in range(geometry.groups):
        oracle.assert_same(geometry.pixel_table(group=group), pixel_table(geometry, group))


@pytest.mark.parametrize("option", ["stride", "padding", "dilation"])
def test_the_pixel_table_of_axes_exchanged_is_told_apart(option):
    values = {"stride": (2, 1), "padding": ((1, 0), (0, 1)), "dilation": (1, 2)}[option]
    right, wrong = (Geometry((1, 5, 5), (1, 1, 2, 2), **{option: each}) for each in (values, values[::-1]))
    tables = right.pixel_table(), pixel_table(wrong, 0)
    assert tables[0].shape != tables[1].shape or (tables[0] != tables[1]).any()


# -------------------------------------------------------------------------------------------------------------- boxes


@given(st.data())
def test_boxes_cut_a_range_in_order(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    start, stop = sorted(data.draw(st.integers(0, math.prod(shape))) for _ in range(2))
    cut = list(boxes(shape, start, stop))
    assert [oracle.vec(index, shape) for box in cut for index in product(*box)] == list(range(start, stop))
    assert len(cut) <= 2 * len(shape) - 1
    assert all(len(each) for box in cut for each in box)


def test_boxes_of_every_range_of_a_small_array():
    shape = (2, 3, 2)
    for start, stop in product(range(13), repeat=2):
        flat = [oracle.vec(index, shape) for box in boxes(shape, start, stop) for index in product(*box)]
        assert flat == list(range(start, stop))


def test_the_whole_array_is_one_box():
    assert list(boxes((3, 4, 5), 0, 60)) == [(range(3), range(4), range(5))]


# --------------------------------------------------------------------------------------------- what the drawing draws

DRAWN = {
    "three axes": lambda g: g.spatial_ndim == 3,
    "tail of two rows": lambda g: max(g.tail) >= 2,
    "padding beyond k − 1": lambda g: any(max(p) > k - 1 for p, k in zip(g.padding, g.filters[2:], strict=True)),
    "one-sided padding": lambda g: any(before != after for before, after in g.padding),
    "window wholly in padding": lambda g: any(p[0] >= e for p, e in zip(g.padding, g.extent, strict=True)),
    "gaps between windows": lambda g: any(s > e for s, e in zip(g.stride, g.extent, strict=True)),
    "even filter": lambda g: any(k % 2 == 0 for k in g.filters[2:]),
    "filter as large as the image": lambda g: g.extent == g.image[1:] and math.prod(g.extent) > 1,
    "1×1 filter": lambda g: g.spatial_ndim == 2 and g.taps == 1,
    "groups of two filters": lambda g: g.groups > 1 and g.filters_per_group > 1,
    "groups of two planes": lambda g: g.groups > 1 and g.planes_per_group > 1,
    "stride and dilation": lambda g: any(s > 1 < d for s, d in zip(g.stride, g.dilation, strict=True)),
}


@pytest.mark.parametrize("feature", DRAWN)
def test_the_strategy_draws(feature):
    once = settings(phases=[Phase.generate], max_examples=2000)  # nothing is shrunk
    assert DRAWN[feature](find(testing.geometries(), DRAWN[feature], settings=once))
