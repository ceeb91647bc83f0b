"""The public test tools: what they draw, to what it shrinks, and what they say of wrong code."""

import itertools
import re
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from hypothesis import Phase, assume, find, given, settings
from hypothesis import strategies as st

from jacobians import Geometry, bias_gradient, convolve, filter_gradient, input_gradient, rot180
from jacobians.convolution import filter_sums, forward_sums, input_sums
from jacobians.errors import AuditError, DtypeError, ShapeError
from jacobians.evidence import exact
from jacobians.testing import (
    assert_bias_gradient,
    assert_filter_gradient,
    assert_forward,
    assert_input_gradient,
    biases,
    filters,
    geometries,
    images,
    layers,
    profiles,
    register_profiles,
    strategies,
    upstream_gradients,
)
from tests.strategies import AWKWARD, distinct

DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8")
LECTURE = Geometry((1, 6, 6), (1, 1, 3, 3))
SMALL = Geometry((1, 1, 3), (1, 1, 1, 2))
RICH = Geometry((4, 6, 7), (4, 2, 2, 3), stride=(2, 1), padding=((0, 1), (2, 0)), dilation=(1, 2), groups=2)


def simplest(strategy, holds=lambda _: True):
    return find(strategy, holds)


def numbers(geometry, seed=3, dtype="float64"):
    """X, F and G of a layer: real numbers between −1 and 1."""
    generator = np.random.default_rng(seed)
    shapes = geometry.image, geometry.filters, geometry.responses
    return tuple(generator.uniform(-1, 1, shape).astype(dtype) for shape in shapes)


# geometries -----------------------------------------------------------------------------------------------------------


@given(st.data())
def test_options_that_are_given_are_kept(data):
    geometry = data.draw(geometries(stride=(2, 1), padding=((0, 1), (2, 0)), dilation=3, groups=2))
    assert (geometry.spatial_ndim, geometry.stride, geometry.dilation, geometry.groups) == (2, (2, 1), (3, 3), 2)
    assert geometry.padding == ((0, 1), (2, 0))
    same = data.draw(geometries(padding="same", spatial_ndim=st.integers(1, 3)))
    assert same.responses[1:] == same.image[1:]
    drawn = data.draw(geometries(stride=st.sampled_from([2, 3]), groups=st.integers(2, 3), spatial_ndim=1))
    assert drawn.stride in {(2,), (3,)}
    assert drawn.groups in {2, 3}


@given(geometries(max_taps=2, max_size=5, max_planes=3, max_filters=1))
def test_sizes_stay_below_what_is_given(geometry):
    assert max(geometry.filters[2:]) <= 2
    assert geometry.planes_per_group <= 3
    assert geometry.filters_per_group == 1
    for size, extent in zip(geometry.image[1:], geometry.extent, strict=True):
        assert size <= max(5, extent)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stride": (1, 2), "dilation": (1, 2, 3)}, r"dilation has 3 entries \(1, 2, 3\) but there are 2 spatial axes"),
        ({"stride": (1, 2), "spatial_ndim": 3}, "stride has 2 entries"),
        ({"stride": 0, "spatial_ndim": 1}, "stride is 0; it needs an integer of at least 1"),
        ({"max_taps": 0}, "max_taps is 0; it needs an integer of at least 1"),
        ({"padding": "same", "stride": 2, "spatial_ndim": 2}, "'same' needs stride 1"),
    ],
)
def test_options_that_make_no_convolution_are_refused_at_once(options, said):
    with pytest.raises(ShapeError, match=said):
        geometries(**options)


SIMPLEST = {
    "anything": (lambda _: True, Geometry((1, 1, 1), (1, 1, 1, 1))),
    "the lecture's filter": (lambda g: g.filters[2:] == (3, 3), Geometry((1, 3, 3), (1, 1, 3, 3))),
    "the lecture's layer": (lambda g: g.filters[2:] == (3, 3) and min(g.responses[1:]) > 3, LECTURE),
    "a tail": (lambda g: max(g.tail) > 0, Geometry((1, 1, 2), (1, 1, 1, 1), stride=(1, 2))),
    "padding": (lambda g: g.padding[0][0] > 0, Geometry((1, 1, 1), (1, 1, 1, 1), padding=((1, 0), (0, 0)))),
    "groups": (lambda g: g.groups > 1, Geometry((2, 1, 1), (2, 1, 1, 1), groups=2)),
    "one axis": (lambda g: g.spatial_ndim == 1, Geometry((1, 1), (1, 1, 1))),
}


@pytest.mark.parametrize("what", SIMPLEST)
def test_geometries_shrink_to_the_lectures_way_of_writing(what):
    holds, expected = SIMPLEST[what]
    assert simplest(geometries(), holds) == expected


# numbers --------------------------------------------------------------------------------------------------------------


def symmetries(A):
    """Every way to reverse axes or to exchange two, by explicit indices."""
    for steps in itertools.product((1, -1), repeat=A.ndim):
        if any(step < 0 and size > 1 for step, size in zip(steps, A.shape, strict=True)):
            yield A[tuple(slice(None, None, step) for step in steps)]
    for order in itertools.permutations(range(A.ndim)):
        moved = A.transpose(order)
        exchanged = [axis for axis, at in enumerate(order) if at != axis]
        if moved.shape == A.shape and len(exchanged) == 2 and A.shape[exchanged[0]] > 1:
            yield moved


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.data())
def test_numbers_are_exact_and_never_degenerate(dtype, data):
    batch = data.draw(st.sampled_from([None, 1, 3]))
    geometry, X, F, G = data.draw(layers(dtype=dtype, batch=batch))
    lead = () if batch is None else (batch,)
    assert (X.shape, F.shape, G.shape) == (
        (*lead, *geometry.image),
        geometry.filters,
        (*lead, *geometry.responses),
    )
    b = data.draw(biases(geometry, dtype=dtype))
    for A in (X, F, G, b):
        assert A.dtype == (ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype))
        wide = A.astype(np.float64)
        assert np.all(wide != 0)
        assert not any(np.array_equal(wide, other) for other in symmetries(wide))
    sizes = [np.abs(A.astype(object).astype(np.int64)).astype(object) for A in (X, F, G, b)]
    each = zip(*(A if lead else A[None] for A in (sizes[0], sizes[2])), strict=True)
    sums = [
        (forward_sums(x, sizes[1], geometry), filter_sums(x, g, geometry), input_sums(g, sizes[1], geometry))
        for x, g in each
    ]
    bias = sizes[3].max()
    largest = [
        max(S.max() for S, _, _ in sums) + bias,
        sum(dF for _, dF, _ in sums).max(),
        max(dX.max() for *_, dX in sums),
    ]
    assert max(largest) <= exact.exact_limit(dtype)


@given(st.data())
def test_numbers_are_distinct_where_so_many_are_exact(data):
    _, X, F, G = data.draw(layers(dtype="float32", batch=2))
    for A in (X, F, G):
        assert len(np.unique(A)) == A.size


@given(st.data())
def test_a_wider_accumulator_makes_room_for_larger_numbers(data):
    assert np.abs(data.draw(images(LECTURE, dtype="int8"))).max() <= exact.exact_magnitude("int8", 16) == 2
    wide = data.draw(images(LECTURE, dtype="int8", accumulate="int32"))
    assert wide.dtype == np.int8
    assert np.abs(wide.astype(int)).max() > 2


def test_layers_whose_sums_are_too_long_are_refused_with_the_cure():
    with pytest.raises(ShapeError, match="bfloat16 has no exact integers for them; draw smaller layers with max_size"):
        images(Geometry((1, 40, 40), (1, 1, 2, 2)), dtype="bfloat16")
    with pytest.raises(DtypeError, match=r"dtype is 'float23'; it needs one of float64, .*; did you mean float32\?"):
        images(LECTURE, dtype="float23")
    with pytest.raises(DtypeError, match=r"accumulate is 'itn32'; .*; did you mean int32\?"):
        images(LECTURE, dtype="int8", accumulate="itn32")
    with pytest.raises(TypeError, match="geometry has type tuple; it needs a Geometry"):
        filters((1, 6, 6))


def test_numbers_shrink_to_the_names_of_their_entries():
    assert simplest(images(Geometry((2, 2, 2), (1, 2, 1, 1)))).tolist() == [
        [[111, 112], [121, 122]],
        [[211, 212], [221, 222]],
    ]
    assert simplest(filters(Geometry((1, 2, 3), (1, 1, 2, 2)))).tolist() == [[[[11, 12], [21, 22]]]]
    assert simplest(upstream_gradients(LECTURE)).ravel().tolist() == list(range(1, 17))
    assert simplest(biases(Geometry((1, 1), (3, 1, 1)))).tolist() == [1, 2, 3]
    assert simplest(biases(Geometry((1, 1), (1, 1, 1)))).tolist() == [1]
    # Names that are too large to be exact, or not unique as numbers, are counted.
    assert simplest(filters(LECTURE, dtype="float16")).ravel().tolist() == list(range(1, 10))
    wide = simplest(images(Geometry((11, 1, 11), (1, 11, 1, 1)))).ravel().tolist()
    assert wide == list(range(1, 122))


def test_numbers_that_repeat_are_still_not_symmetric():
    """int8 holds few integers of which long sums are exact: two, here."""
    tiny = images(Geometry((1, 3, 3), (1, 1, 3, 3)), dtype="int8", batch=12)
    assert exact.exact_magnitude("int8", 12) == 3
    A = simplest(tiny)
    assert len(np.unique(A)) <= 6
    assert not any(np.array_equal(A, other) for other in symmetries(A))
    assert strategies._is_degenerate(np.array([[1, 2, 1]]))
    assert strategies._is_degenerate(np.array([[1, 2], [2, 3]]))
    assert not strategies._is_degenerate(np.array([[1, 2], [3, 2]]))


# the search for a small case ------------------------------------------------------------------------------------------


def failure(test):
    """Run a property that does not hold; return what it raises."""
    quiet = settings(database=None, derandomize=True, phases=set(Phase) - {Phase.explain}, print_blob=False)
    with pytest.raises(AuditError, match="✗") as caught:
        quiet(test)()
    # The arrays themselves are printed, not the calls that make them.
    assert not any("seed" in note or "_filled" in note for note in caught.value.__notes__)
    return caught.value


def test_a_filter_that_is_not_rotated_is_shown_on_two_taps():
    @given(layers())
    def test(layer):
        geometry, _, F, G = layer
        assert_input_gradient(input_gradient(G, rot180(F), geometry), G, F, geometry)

    error = failure(test)
    assert str(error).splitlines() == [
        "✗ ∂l/∂X is wrong",
        "  layer: X 1×1×2, F 1×1×1×2, stride 1, padding 0, float64",
        "  v1: expected g1F11 = 11, got 12",
        "  v2: expected g1F12 = 12, got 11",
        "  2 of 2 entries are wrong",
        "  cure: Audit the function, which reads out the formula that it computes: jacobians.audit(forward, backward).",
    ]
    (note, *_) = error.__notes__
    assert "Geometry((1, 1, 2), (1, 1, 1, 2))" in note
    assert re.search(r"\[11\.?, 12\.?\]", note)


def test_a_sign_that_is_lost_is_shown_on_one_negative_number():
    @given(layers(dtype="int64", batch=2))
    def test(layer):
        geometry, X, F, _ = layer
        assert_forward(np.abs([convolve(x, F, geometry) for x in X]), X, F, geometry)

    assert "X11^(2)F11 = -211, got 211" in str(failure(test))


def test_a_stride_that_is_ignored_is_shown_on_the_smallest_image_it_takes():
    @given(layers(stride=2, padding=0, spatial_ndim=1, dtype="float32"))
    def test(layer):
        geometry, X, _, G = layer
        plain = Geometry(geometry.image, geometry.filters, dilation=geometry.dilation, groups=geometry.groups)
        assume(geometry.positions > 1)
        spread = np.zeros(plain.responses, G.dtype)
        spread[:, : G.shape[1]] = G
        assert_filter_gradient(filter_gradient(X, spread, plain), X, G, geometry)

    text = str(failure(test))
    assert "layer: X 1×1×3, F 1×1×1, stride 2, padding 0, float32" in text
    assert "v1: expected g1X1 + g2X3 = 7, got 5" in text


# assertions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.data())
def test_right_results_pass(dtype, data):
    geometry, X, F, G = data.draw(layers(dtype=dtype))
    b = data.draw(biases(geometry, dtype=dtype))
    wide = [A.astype(np.int64 if dtype.startswith("int") else np.float64) for A in (X, F, G, b)]
    S = convolve(wide[0], wide[1], geometry, bias=wide[3]).astype(X.dtype)
    assert_forward(S, X, F, geometry, bias=b)
    assert_filter_gradient(filter_gradient(wide[0], wide[2], geometry).astype(X.dtype), X, G, geometry)
    assert_input_gradient(input_gradient(wide[2], wide[1], geometry).astype(X.dtype), G, F, geometry)
    assert_bias_gradient(bias_gradient(wide[2]).astype(X.dtype), G, geometry)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("geometry", [RICH, LECTURE, *AWKWARD.values()], ids=str)
def test_real_numbers_are_held_to_the_rounding_bound(geometry, dtype):
    X, F, G = numbers(geometry, dtype=dtype)
    results = {
        assert_forward: (lambda X, F: convolve(X, F, geometry), X, F),
        assert_filter_gradient: (lambda X, G: filter_gradient(X, G, geometry), X, G),
        assert_input_gradient: (lambda G, F: input_gradient(G, F, geometry), G, F),
        assert_bias_gradient: (bias_gradient, G),
    }
    for check, (compute, *factors) in results.items():
        right, sizes = compute(*factors), compute(*map(np.abs, factors))
        check(right, *factors, geometry)
        # One entry that is wrong by more than any order of summation makes it.
        at = np.unravel_index(np.argmax(sizes), sizes.shape)
        off = right.copy()
        off[at] += 4 * (geometry.taps + geometry.positions + 8) * float(exact.unit_roundoff(dtype)) * sizes[at]
        with pytest.raises(AuditError, match=r"expected .* ± .*, got"):
            check(off, *factors, geometry)


@pytest.mark.parametrize("lead", [1, 3])
def test_batches_are_summed_where_the_gradient_is_of_a_parameter(lead):
    X, G = (distinct((lead, *shape), dtype=np.float32) for shape in (RICH.image, RICH.responses))
    F = distinct(RICH.filters, dtype=np.float32)
    assert_forward(np.stack([convolve(x, F, RICH) for x in X]), X, F, RICH)
    assert_input_gradient(np.stack([input_gradient(g, F, RICH) for g in G]), G, F, RICH)
    each = [filter_gradient(x, g, RICH) for x, g in zip(X, G, strict=True)]
    assert_filter_gradient(sum(each), X, G, RICH)
    assert_bias_gradient(sum(bias_gradient(g) for g in G), G, RICH)
    if lead > 1:
        with pytest.raises(AuditError, match="∂l/∂F is wrong"):
            assert_filter_gradient(each[-1], X, G, RICH)


LINE = np.array([[[1.0, 5, 7]]]), np.array([[[[2.0, 3]]]]), np.array([[[4.0, 9]]])
WRONG = {
    "one entry of S": (
        lambda X, F, G: assert_forward([[[17.0, 38]]], X, F, SMALL),
        ["S is wrong", "S12: expected X12F11 + X13F12 = 31, got 38", "1 of 2 entries are wrong"],
    ),
    "a bias": (
        lambda X, F, G: assert_forward(convolve(X, F, SMALL), X, F, SMALL, bias=np.array([6.0])),
        ["S is wrong", "S11: expected X11F11 + X12F12 + b1 = 23, got 17"],
    ),
    "a mean": (
        lambda X, F, G: assert_filter_gradient(filter_gradient(X, G, SMALL) / 2, X, G, SMALL),
        ["∂l/∂F is wrong", "v1: expected g1X11 + g2X12 = 49, got 24.5", "cure: "],
    ),
    "a NaN": (
        lambda X, F, G: assert_input_gradient([[[8.0, np.nan, 27]]], G, F, SMALL),
        ["v2: expected g1F12 + g2F11 = 30, got nan", "1 of 3 entries are wrong"],
    ),
    "a bias gradient": (
        lambda X, F, G: assert_bias_gradient([4.0], G, SMALL),
        ["∂l/∂b is wrong", "v1: expected g1 + g2 = 13, got 4", "1 of 1 entry is wrong"],
    ),
    "a shape": (
        lambda X, F, G: assert_input_gradient(np.zeros((1, 1, 2)), G, F, SMALL),
        ["∂l/∂X has shape (1, 1, 2), not (1, 1, 3)", "layer: X 1×1×3, F 1×1×1×2, stride 1, padding 0, float64"],
    ),
    "a vector": (
        lambda X, F, G: assert_input_gradient(input_gradient(G, F, SMALL).ravel(), G, F, SMALL),
        ["∂l/∂X has shape (3,), not (1, 1, 3)"],
    ),
    "a dtype": (
        lambda X, F, G: assert_forward(convolve(X, F, SMALL).astype(np.float32), X, F, SMALL),
        ["S has dtype float32, not float64", "cure: Return the dtype of the inputs"],
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_in_symbols(what):
    check, said = WRONG[what]
    with pytest.raises(AuditError, match="✗") as caught:
        check(*LINE)
    assert [line for line in said if line not in str(caught.value)] == []


def test_numbers_of_a_batch_are_named_by_their_image():
    X, F = np.stack([LINE[0], 2 * LINE[0]]), LINE[1]
    S = np.stack([convolve(x, F, SMALL) for x in X])
    S[1, 0, 0, 1] += 1
    with pytest.raises(AuditError, match=r"S12\^\(2\): expected X12\^\(2\)F11 \+ X13\^\(2\)F12 = 62, got 63"):
        assert_forward(S, X, F, SMALL)
    G = np.stack([LINE[2], LINE[2]])
    with pytest.raises(AuditError, match=r"expected g1\^\(1\) \+ g1\^\(2\) \+ g2\^\(1\) \+ g2\^\(2\) = 26, got 13"):
        assert_bias_gradient([13.0], G, SMALL)


def test_long_sums_are_cut_and_large_layers_are_said_in_numbers():
    X, F, G = (distinct(shape, dtype=np.float64) for shape in (LECTURE.image, LECTURE.filters, LECTURE.responses))
    with pytest.raises(AuditError, match=r"v1: +expected g1X11 \+ .* \+ \.\.\. \+ g16X44 = ") as caught:
        assert_filter_gradient(filter_gradient(X, G, LECTURE) + 1, X, G, LECTURE)
    assert max(map(len, str(caught.value).splitlines())) < 120
    assert "9 of 9 entries are wrong" in str(caught.value)
    large = Geometry((3, 60, 60), (4, 3, 3, 3))
    X, F = distinct(large.image), distinct(large.filters)
    S = convolve(X, F, large)
    S[2, 4, 7] += 1
    with pytest.raises(
        AuditError, match=rf"S_3,5,8: expected {S[2, 4, 7] - 1}, got {S[2, 4, 7]}\n  1 of 13456 entries"
    ):
        assert_forward(S, X, F, large)


def through_fft(X, F):
    """A full convolution along the last axis by the FFT: right, but for rounding."""
    size = X.shape[-1] + F.shape[-1] - 1
    spectrum = np.fft.rfft(X, size) * np.fft.rfft(F[0, :, :, ::-1], size)
    return np.fft.irfft(spectrum, size)[..., F.shape[-1] - 1 : X.shape[-1]]


def test_fast_algorithms_are_judged_by_their_own_bound():
    geometry = Geometry((1, 1, 37), (1, 1, 1, 5))
    X, F = distinct(geometry.image, dtype=np.float64) * 7, distinct(geometry.filters, dtype=np.float64)
    S = through_fft(X, F)
    assert not np.array_equal(S, convolve(X, F, geometry))
    with pytest.raises(AuditError, match=r"cure: If this is an FFT or Winograd algorithm, .*, pass fast=True"):
        assert_forward(S, X, F, geometry)
    assert_forward(S, X, F, geometry, fast=True)
    with pytest.raises(AuditError, match="1 of 33 entries are wrong"):
        assert_forward(S + (np.arange(33) == 7) / 8, X, F, geometry, fast=True)


def test_integers_come_back_as_integers_of_any_width_and_exact_beyond_float64():
    X, F = np.array([[[2**40 + 1, 3]]]), np.array([[[[2**20 + 1]]]])
    geometry = Geometry(X.shape, F.shape)
    right = convolve(X, F, geometry)
    assert_forward(right, X, F, geometry)
    with pytest.raises(AuditError, match=f"expected X11F11 = {right[0, 0, 0]}, got {right[0, 0, 0] + 1}"):
        assert_forward(right + np.array([[[1, 0]]]), X, F, geometry)
    small = np.array([[[100, 3]]], np.int8)
    assert_forward(np.array([[[10000, 300]]], np.int32), small, np.array([[[[100]]]], np.int8), geometry)
    with pytest.raises(AuditError, match="S has dtype float64, not int64"):
        assert_forward(right.astype(float), X, F, geometry)
    with pytest.raises(OverflowError, match="beyond int64; make the integers smaller"):
        assert_forward(X, X * 2**20, F * 2**20, geometry)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda X, F, G: assert_forward(G, F, X, SMALL), ShapeError, r"X has shape .* needs \(1, 1, 3\)"),
        (lambda X, F, G: assert_forward(G, X, F, SMALL, bias=[[1.0]]), ShapeError, r"bias has shape \(1, 1\)"),
        (lambda X, F, G: assert_forward(G, X * 1j, F, SMALL), DtypeError, "X has dtype complex128; it needs integers"),
        (lambda X, F, G: assert_forward(G, X, F, None), TypeError, "geometry has type NoneType; it needs a Geometry"),
        (
            lambda X, F, G: assert_filter_gradient(F, np.stack([X, X]), np.stack([G] * 3), SMALL),
            ShapeError,
            "X has 2 images but G has 3; each image needs its upstream gradient",
        ),
        (lambda X, F, G: assert_filter_gradient(F, np.stack([X, X]), G, SMALL), ShapeError, "X has shape"),
    ],
)
def test_inputs_that_do_not_fit_are_no_finding(call, error, said):
    with pytest.raises(error, match=said):
        call(*LINE)


# profiles and imports -------------------------------------------------------------------------------------------------


@pytest.fixture
def profile():
    """Load the profile again that the other tests use."""
    loaded = settings.get_current_profile_name()
    yield
    settings.load_profile(loaded)


def test_profiles(profile, monkeypatch):
    monkeypatch.delenv("HYPOTHESIS_PROFILE", raising=False)
    assert register_profiles() == "fast"
    fast, ci, thorough = map(settings.get_profile, ("fast", "ci", "thorough"))
    assert fast.max_examples < ci.max_examples < thorough.max_examples
    assert (fast.derandomize, ci.derandomize, thorough.derandomize) == (True, True, False)
    assert {each.deadline for each in (fast, ci, thorough)} == {None}
    assert all(each.print_blob for each in (fast, ci, thorough))
    assert settings.default.max_examples == fast.max_examples
    assert register_profiles("ci") == "ci"
    monkeypatch.setenv("HYPOTHESIS_PROFILE", "thorough")
    assert register_profiles("ci") == "thorough"
    assert settings.default.max_examples == thorough.max_examples
    monkeypatch.setenv("HYPOTHESIS_PROFILE", "througho")
    with pytest.raises(ValueError, match=r"HYPOTHESIS_PROFILE is 'througho'; .* did you mean thorough\?"):
        register_profiles()
    monkeypatch.delenv("HYPOTHESIS_PROFILE")
    with pytest.raises(ValueError, match="load is 'quick'; it needs one of fast, ci, thorough"):
        profiles.register_profiles("quick")


def test_without_hypothesis_the_assertions_work_and_the_strategies_say_what_to_install():
    code = """
import sys
sys.modules["hypothesis"] = None
from jacobians.testing import assert_bias_gradient, assert_convolution, option_pairs
from jacobians import Geometry
assert_bias_gradient([3], [[1, 2]], Geometry((1, 2), (1, 1, 1)))
for name in ("geometries", "register_profiles"):
    try:
        exec(f"from jacobians.testing import {name}")
    except ModuleNotFoundError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "the strategies need hypothesis: pip install 'jacobians[testing]'",
        "the profiles need hypothesis: pip install 'jacobians[testing]'",
    ]
