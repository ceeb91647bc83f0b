"""The convolution forms against the literal triple sum, and the lecture's statements about them."""

import re

import numpy as np
import pytest
from hypothesis import given

from jacobians import (
    Geometry,
    bias_gradient,
    convolution,
    convolve,
    filter_gradient,
    input_gradient,
    rot180,
    testing,
    zero_pad,
)
from tests import oracle, strategies
from tests.strategies import LAYOUTS, distinct

LECTURE = Geometry((1, 6, 6), (1, 1, 3, 3))
FIXED = [*strategies.option_grid(), *strategies.AWKWARD.values()]
# Square, one plane, stride 2, padding 1, with a tail, and its opposite: not square, many planes, groups.
TWO = [
    Geometry((1, 6, 6), (1, 1, 3, 3), stride=2, padding=1),
    Geometry((4, 5, 7), (4, 2, 2, 3), stride=(2, 1), padding=((0, 1), (2, 0)), dilation=(1, 2), groups=2),
]


def assert_forms_are_the_triple_sums(geometry, X, F, G):
    layer = oracle.plain(geometry)
    oracle.assert_same(convolve(X, F, geometry), oracle.convolve(X, F, **layer))
    oracle.assert_same(filter_gradient(X, G, geometry), oracle.filter_gradient(X, G, **layer))
    oracle.assert_same(input_gradient(G, F, geometry), oracle.input_gradient(G, F, **layer))


@given(testing.layers(dtype="int64"))
def test_forms_are_the_triple_sums(layer):
    assert_forms_are_the_triple_sums(*layer)


@pytest.mark.parametrize("geometry", FIXED, ids=repr)
def test_forms_are_the_triple_sums_for_every_pair_of_options(geometry):
    assert_forms_are_the_triple_sums(geometry, *strategies.layer(geometry))


def test_a_sum_by_hand():
    X = [[[1, 2, 3], [4, 5, 6]], [[10, 20, 30], [40, 50, 60]]]
    F = [[[[1, 0], [0, 7]], [[0, 2], [0, 0]]]]
    assert convolve(X, F).tolist() == [[[1 + 7 * 5 + 2 * 20, 2 + 7 * 6 + 2 * 30]]]


WRONG = {
    "filter flipped": lambda X, F, G, g: (X, np.flip(F, (2, 3)), G),
    "flipped in one axis": lambda X, F, G, g: (X, np.flip(F, 3), G),
    "taps transposed": lambda X, F, G, g: (X, np.swapaxes(F, 2, 3), G),
    "planes reversed": lambda X, F, G, g: (X[::-1], F, G),
    "filters shuffled": lambda X, F, G, g: (X, F[::-1], G),
    "one tap off": lambda X, F, G, g: (X, np.where(np.arange(F.size).reshape(F.shape) == 7, F + 1, F), G),
    "upstream ignored": lambda X, F, G, g: (X, F, np.ones_like(G)),
    "upstream transposed": lambda X, F, G, g: (X, F, np.swapaxes(G, 1, 2)),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_the_comparison_sees_wrong_code(mistake):
    geometry = Geometry((2, 6, 6), (2, 2, 3, 3), stride=2, padding=1)
    X, F, G = strategies.layer(geometry)
    wrong = WRONG[mistake](X, F, G, geometry)
    layer = oracle.plain(geometry)
    differs = [
        (convolve(*wrong[:2], geometry) != oracle.convolve(X, F, **layer)).any(),
        (filter_gradient(wrong[0], wrong[2], geometry) != oracle.filter_gradient(X, G, **layer)).any(),
        (input_gradient(wrong[2], wrong[1], geometry) != oracle.input_gradient(G, F, **layer)).any(),
    ]
    touched = [wrong[0] is not X, wrong[1] is not F, wrong[2] is not G]
    assert differs == [touched[0] or touched[1], touched[0] or touched[2], touched[2] or touched[1]]


OPTIONS_WRONG = {
    "padding on the other side": {"padding": ((2, 1), (3, 2))},
    "axes exchanged": {"padding": ((2, 3), (1, 2))},
    "stride exchanged": {"stride": (3, 2)},
    "dilation exchanged": {"dilation": (2, 1)},
    "groups ignored": {"groups": 1},
}


@pytest.mark.parametrize("mistake", OPTIONS_WRONG)
def test_the_comparison_sees_wrong_options(mistake):
    right = {"stride": (2, 3), "padding": ((1, 2), (2, 3)), "dilation": (1, 2), "groups": 2}
    X, F = distinct((4, 7, 7)), distinct((4, 2, 3, 3))
    wrong = oracle.convolve(X, F, **oracle.plain(Geometry(X.shape, F.shape, **right)) | OPTIONS_WRONG[mistake])
    actual = convolve(X, F, Geometry(X.shape, F.shape, **right))
    assert actual.shape != wrong.shape or (actual != wrong).any()


@pytest.mark.parametrize("name", ["convolve", "filter_gradient", "input_gradient"])
def test_slabs_do_not_show(name, monkeypatch):
    """Large layers are worked through slab by slab; the seams must not be seen."""
    for geometry in TWO:
        X, F, G = strategies.layer(geometry)
        operands = {"convolve": (X, F), "filter_gradient": (X, G), "input_gradient": (G, F)}[name]
        whole = getattr(convolution, name)(*operands, geometry)
        for entries in (1, 100, 300):
            with monkeypatch.context() as patch:
                patch.setattr(convolution, "SLAB_ENTRIES", entries)
                oracle.assert_same(getattr(convolution, name)(*operands, geometry), whole)


def test_a_slab_bounds_what_is_copied_at_once(monkeypatch):
    """Of 20 rows of 5 responses, each of them 2·3·3 entries, 630 entries are 7 rows; less than a row is one."""
    geometry = Geometry((2, 22, 7), (1, 2, 3, 3))
    X, F = distinct(geometry.image), distinct(geometry.filters)
    copied, patches = [], convolution._patches

    def counted(*args):
        for slab, each in patches(*args):
            copied.append(each.size // (5 * 18))
            yield slab, each

    monkeypatch.setattr(convolution, "_patches", counted)
    for entries in (630, 1):
        monkeypatch.setattr(convolution, "SLAB_ENTRIES", entries)
        oracle.assert_same(convolve(X, F, geometry), oracle.convolve(X, F, **oracle.plain(geometry)))
    assert copied == [7, 7, 6] + 20 * [1]


def test_memory_is_asked_for_what_is_made(monkeypatch):
    """G^zero-pad has 8×11 entries a map, and 4×11 without the zeros of the stride; pixels have two residues."""
    geometry = Geometry((2, 5, 7), (4, 2, 2, 3), stride=(2, 1), padding=1)
    X, F, G = (distinct(shape).astype(float) for shape in (geometry.image, geometry.filters, geometry.responses))
    asked = []
    monkeypatch.setattr(convolution, "check_bytes", lambda what, needed, cure: asked.append((what, needed // 8)))
    forms = {
        "S": lambda: convolve(X, F, geometry),
        "G^zero-pad": lambda: zero_pad(G, geometry),
        "∂l/∂X": lambda: input_gradient(G, F, geometry),
    }
    wanted = {
        "S": [2 * 5 * 7, 4 * 2 * 2 * 3, 2 * 7 * 9, 4 * 3 * 7],
        "G^zero-pad": [4 * 8 * 11],
        "∂l/∂X": [4 * 3 * 7, 4 * 2 * 2 * 3, 4 * 4 * 11, 2 * 7 * 9, 2 * 4 * 9, 2 * 3 * 9],
    }
    for name, form in forms.items():
        asked.clear()
        form()
        assert [entries for _, entries in asked] == wanted[name]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("geometry", TWO, ids=repr)
def test_memory_layout_does_not_matter(layout, geometry):
    change = LAYOUTS[layout]
    X, F, G = strategies.layer(geometry)
    assert_forms_are_the_triple_sums(geometry, *map(change, (X, F, G)))
    oracle.assert_same(rot180(change(F)), rot180(F))
    oracle.assert_same(zero_pad(change(G), geometry), zero_pad(G, geometry))
    oracle.assert_same(bias_gradient(change(G)), bias_gradient(G))


def test_operands_are_left_alone():
    geometry = TWO[1]
    operands = strategies.layer(geometry)
    X, F, G = kept = [A.copy() for A in operands]
    convolve(X, F, geometry), filter_gradient(X, G, geometry), input_gradient(G, F, geometry), zero_pad(G, geometry)
    for now, before in zip(kept, operands, strict=True):
        oracle.assert_same(now, before)


def test_without_a_geometry_the_layer_is_the_lectures():
    X, F = distinct((3, 5, 6)), distinct((2, 3, 2, 4))
    oracle.assert_same(convolve(X, F), convolve(X, F, Geometry((3, 5, 6), (2, 3, 2, 4))))
    assert convolve(X, F).shape == (2, 4, 3)


# --------------------------------------------------------------------------------------------------------------- bias


@pytest.mark.parametrize("geometry", TWO, ids=repr)
def test_bias_is_one_scalar_per_filter(geometry):
    X, F, _ = strategies.layer(geometry)
    bias = distinct((geometry.filters[0],), start=100)
    without, added = convolve(X, F, geometry), convolve(X, F, geometry, bias=bias)
    for i in range(geometry.filters[0]):
        oracle.assert_same(added[i], without[i] + int(bias[i]))


def test_bias_widens_the_dtype():
    X, F = np.ones((1, 2), np.float32), np.ones((1, 1, 2), np.float32)
    assert convolve(X, F, bias=np.float32([1])).dtype == np.float32
    assert convolve(X, F, bias=[0.5]).dtype == np.float64


def test_bias_gradient_is_the_sum_of_a_map():
    G = distinct((3, 2, 4))
    assert bias_gradient(G).tolist() == [sum(G[i].ravel().tolist()) for i in range(3)]
    assert bias_gradient(G[:, 0]).tolist() == [sum(G[i, 0].tolist()) for i in range(3)]


# ------------------------------------------------------------------------------------------------------------- dtypes


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_integers_are_summed_in_int64(dtype):
    """Products and sums that leave every narrow dtype stay right."""
    geometry = TWO[1]
    least, most = max(np.iinfo(dtype).min, -(2**20)), min(np.iinfo(dtype).max, 2**20)
    X, F, G = (
        np.resize(np.array([least, most, most - 1, least + 1, 3, most - 7]), shape).astype(dtype)
        for shape in (geometry.image, geometry.filters, geometry.responses)
    )
    assert_forms_are_the_triple_sums(geometry, X, F, G)
    oracle.assert_same(bias_gradient(G), G.astype(object).sum((1, 2)))
    results = convolve(X, F, geometry), filter_gradient(X, G, geometry), input_gradient(G, F, geometry)
    assert {result.dtype for result in results} == {np.dtype(np.int64)}


def test_int8_would_wrap_if_it_were_summed_as_it_is():
    X, F = np.full((1, 2), 100, np.int8), np.array([[[100, 101]]], np.int8)
    assert convolve(X, F).tolist() == [[20100]]
    assert (X * F[0])[0, 0] != 100 * 100  # as NumPy does it


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_floating_point_keeps_its_dtype_and_is_exact_on_small_integers(dtype):
    geometry = TWO[1]
    X, F, G = (A % 7 - 3 for A in strategies.layer(geometry))
    floats = [A.astype(dtype) for A in (X, F, G)]
    assert_forms_are_the_triple_sums(geometry, *floats)
    results = convolve(*floats[:2], geometry), filter_gradient(floats[0], floats[2], geometry)
    assert {result.dtype for result in (*results, bias_gradient(floats[2]))} == {np.dtype(dtype)}
    assert input_gradient(floats[2], floats[1], geometry).dtype == dtype


def test_integers_with_floating_point_numbers_give_numpys_dtype():
    X, F = distinct((1, 4)), distinct((1, 1, 2))
    assert convolve(X.astype(np.int8), F.astype(np.float32)).dtype == np.float32
    assert convolve(X, F.astype(np.float32)).dtype == np.float64


@pytest.mark.parametrize("dtype", [bool, complex, object, str, "datetime64[s]"])
@pytest.mark.parametrize("position", [0, 1])
def test_other_entries_are_refused(dtype, position):
    operands = [distinct((1, 4)), distinct((1, 1, 2))]
    operands[position] = operands[position].astype(dtype)
    with pytest.raises(TypeError, match=rf"^{'XF'[position]} has dtype .*not integer or real floating-point; \w"):
        convolve(*operands)


# ----------------------------------------------------------------------------------------------------------- overflow

LARGEST = 2**63 - 1


def test_the_largest_sum_that_fits_is_exact():
    """2⁶³ − 1 = 7·1317624576693539401: one term."""
    X, F = np.array([[LARGEST // 7]]), np.array([[[7]]])
    assert convolve(X, F).item() == LARGEST
    assert convolve(X, -F).item() == -LARGEST
    assert filter_gradient(X, [[7]], Geometry((1, 1), (1, 1, 1))).item() == LARGEST
    assert input_gradient([[LARGEST // 7]], F, Geometry((1, 1), (1, 1, 1))).item() == LARGEST
    assert bias_gradient([[LARGEST]]).item() == LARGEST


def test_one_more_is_refused():
    message = re.escape(
        "the integers are too large for int64: with max|X| = 1317624576693539401, max|F| = 7, max|bias| = 1 and "
        "terms = 1 a sum may reach 9223372036854775808, above 2⁶³ − 1; make them smaller, or use float64"
    )
    with pytest.raises(OverflowError, match=f"^{message}$"):
        convolve([[LARGEST // 7]], [[[7]]], bias=[1])
    assert convolve([[LARGEST // 7]], [[[7]]], bias=[0]).item() == LARGEST


@pytest.mark.parametrize("terms", [2, 3])
def test_the_bound_counts_the_terms(terms):
    fits, taps = LARGEST // terms, np.ones((1, 1, terms), int)
    X = np.full((1, terms), fits)
    assert convolve(X, taps).item() == terms * fits
    with pytest.raises(OverflowError, match=rf"max\|X\| = {fits + 1}, .* and terms = {terms} "):
        convolve(X + 1, taps)
    with pytest.raises(OverflowError, match=rf"max\|G\| = {fits + 1}, max\|F\| = 1 and terms = {terms} "):
        input_gradient(np.full((1, terms), fits + 1), taps, Geometry((1, 2 * terms - 1), (1, 1, terms)))
    with pytest.raises(OverflowError, match=rf"max\|X\| = {fits + 1}, max\|G\| = 1 and terms = {terms} "):
        filter_gradient(X + 1, np.ones((1, terms), int), Geometry((1, terms), (1, 1, 1)))
    with pytest.raises(OverflowError, match=rf"with max\|G\| = {fits + 1} and terms = {terms} "):
        bias_gradient(X + 1)


@pytest.mark.parametrize("large", [np.uint64(2**63), np.int64(-(2**63))])
def test_an_entry_that_int64_cannot_negate_or_hold_is_refused(large):
    with pytest.raises(OverflowError, match=r"max\|X\| = 9223372036854775808"):
        convolve(np.full((1, 1), large), [[[0]]])


def test_floating_point_numbers_are_not_bounded():
    assert convolve([[2.0**62, 2.0**62]], [[[4, 4]]]).item() == 2.0**65


# -------------------------------------------------------------------------------------------------------- non-finite


def test_nan_reaches_exactly_the_responses_whose_window_holds_it():
    geometry = Geometry((1, 5, 6), (2, 1, 2, 3), stride=(1, 2), padding=1)
    X, F, _ = strategies.layer(geometry)
    X = X.astype(float)
    X[0, 2, 3] = np.nan
    coded = np.zeros(geometry.image, int)
    coded[0, 2, 3] = 1
    holds = convolve(coded, np.ones_like(F), geometry) == 1
    assert 0 < holds.sum() < holds.size
    oracle.assert_same(np.isnan(convolve(X, F, geometry)), holds)


# ---------------------------------------------------------------------------------------- the lecture's L12, L17, L18


def lecture_v(g, F):
    """V of L17, written down term by term as far as the lecture does; g1 is g[1]."""
    F11, F12, F13, F21, F22, F23, F31, F32, F33 = F.ravel().tolist()
    return {
        1: g[1] * F11,
        2: g[1] * F12 + g[2] * F11,
        3: g[1] * F13 + g[2] * F12 + g[3] * F11,
        4: g[2] * F13 + g[3] * F12 + g[4] * F11,
        5: g[3] * F13 + g[4] * F12,
        6: g[4] * F13,
        7: g[1] * F21 + g[5] * F11,
        8: g[1] * F22 + g[2] * F21 + g[5] * F12 + g[6] * F11,
        9: g[1] * F23 + g[2] * F22 + g[3] * F21 + g[5] * F13 + g[6] * F12 + g[7] * F11,
        10: g[2] * F23 + g[3] * F22 + g[4] * F21 + g[6] * F13 + g[7] * F12 + g[8] * F11,
        11: g[3] * F23 + g[4] * F22 + g[7] * F13 + g[8] * F12,
        12: g[4] * F23 + g[8] * F13,
        13: g[1] * F31 + g[5] * F21 + g[9] * F11,
        14: g[1] * F32 + g[2] * F31 + g[5] * F22 + g[6] * F21 + g[9] * F12 + g[10] * F11,
        15: g[1] * F33
        + g[2] * F32
        + g[3] * F31
        + g[5] * F23
        + g[6] * F22
        + g[7] * F21
        + g[9] * F13
        + g[10] * F12
        + g[11] * F11,
    }


def test_l18_the_input_gradient_is_the_zero_padded_upstream_gradient_with_the_turned_filter():
    _, F, G = strategies.layer(LECTURE)
    g = dict(enumerate(G.ravel().tolist(), start=1))
    padded = zero_pad(G, LECTURE)
    assert padded.shape == (1, 8, 8)
    oracle.assert_same(padded, np.pad(G, ((0, 0), (2, 2), (2, 2))))
    V = convolve(padded, rot180(F))
    assert V.shape == (1, 6, 6)
    assert {k: V.ravel()[k - 1] for k in range(1, 16)} == lecture_v(g, F)
    oracle.assert_same(V, input_gradient(G, F, LECTURE))


@pytest.mark.parametrize("turned", [lambda F: F, lambda F: np.flip(F, 2), lambda F: np.swapaxes(F, 2, 3)])
def test_l18_fails_without_the_rotation(turned):
    _, F, G = strategies.layer(LECTURE)
    V = convolve(zero_pad(G, LECTURE), turned(F)).ravel()
    assert {k: V[k - 1] for k in range(1, 16)} != lecture_v(dict(enumerate(G.ravel().tolist(), start=1)), F)


def test_l12_the_filter_gradient_is_the_image_with_the_upstream_gradient():
    geometry = Geometry((3, 6, 7), (2, 3, 3, 2))
    X, _, G = strategies.layer(geometry)
    expected = [[convolve(X[k : k + 1], G[i][None, None])[0] for k in range(3)] for i in range(2)]
    oracle.assert_same(filter_gradient(X, G, geometry), expected)


# -------------------------------------------------------------------------------------------------- zero_pad, rot180


def zero_padded(G, geometry):
    """Entry by entry: extent − 1 zeros, then the entries a stride apart, then the tail and extent − 1 zeros."""
    sizes = [
        2 * (extent - 1) + (count - 1) * step + 1 + tail
        for extent, count, step, tail in zip(geometry.extent, G.shape[1:], geometry.stride, geometry.tail, strict=True)
    ]
    padded = np.zeros((G.shape[0], *sizes), G.dtype)
    for (i, *position), entry in np.ndenumerate(G):
        at = [e - 1 + l * s for e, l, s in zip(geometry.extent, position, geometry.stride, strict=True)]
        padded[i, *at] = entry
    return padded


@given(testing.layers(dtype="int64"))
def test_zero_pad_spreads_by_the_stride_and_puts_the_tail_back(layer):
    geometry, _, _, G = layer
    oracle.assert_same(zero_pad(G, geometry), zero_padded(G, geometry))


def test_zero_pad_keeps_the_dtype():
    assert zero_pad(np.ones((1, 2), np.int8), Geometry((1, 3), (1, 1, 2))).dtype == np.int8
    assert zero_pad(np.ones((1, 2), np.float16), Geometry((1, 3), (1, 1, 2))).dtype == np.float16


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 1, 3, 4), (1, 2, 2, 3, 4)])
def test_rot180_reverses_the_taps_and_nothing_else(shape):
    F = distinct(shape)
    for index, entry in np.ndenumerate(rot180(F)):
        opposite = tuple(size - 1 - at for at, size in zip(index[2:], shape[2:], strict=True))
        assert entry == F[index[:2] + opposite]
    assert (rot180(F) != F).any()
