"""What an audit finds beside formulas: layouts nobody gave, state, sizes, rounding, and bad arguments."""

import itertools
import json
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from jacobians import Geometry, ShapeError, audit
from jacobians.audit.layouts import with_layout
from tests.convolutions import Im2col, Layer

PLAIN = Im2col()


def first(*functions, **options):
    return audit(*functions, **options).findings[0]


def labels(*functions, **options):
    return {each.about for each in audit(*functions, **options).findings}


# layouts --------------------------------------------------------------------------------------------------------------


def planes_last(X, F):
    windows = sliding_window_view(X, F.shape[:2], axis=(1, 2))
    return np.einsum("nhwckl,klco->nhwo", windows, F)


def filters_second(X, F):
    return PLAIN.forward(X, F.swapaxes(0, 1).copy())


def one_image(X, F):
    return PLAIN.forward(X[None], F)[0]


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize(
    ("forward", "layout", "differs"),
    [
        (planes_last, "NHWC,HWIO->NHWC", "takes X as N×H×W×C and takes F as H×W×I×O and gives S as N×H×W×C"),
        (filters_second, "NCHW,IOHW->NCHW", "takes F as I×O×H×W"),
        (one_image, "CHW,OIHW->CHW", "takes X as C×H×W and takes F as O×I×H×W and gives S as C×H×W"),
    ],
)
def test_the_layout_that_makes_it_right_is_named_and_is_right(forward, layout, differs):
    finding = first(forward)
    assert finding.title == f"is right in another layout: {layout}"
    assert finding.cause == f"The code {differs}."
    assert f'--layout "{layout}"' in finding.cure
    assert audit(*with_layout(forward, None, layout)).ok


@pytest.mark.parametrize("given", ["NHWC,OIHW->NHWC", "NCHW,HWIO->NHWC", "NHWC,OHWI->NHWC"])
def test_of_a_wrong_layout_the_right_one_is_named(given):
    finding = first(*with_layout(planes_last, None, given))
    assert finding.title == "is right in another layout: NHWC,HWIO->NHWC"


@pytest.mark.usefixtures("fewer")
def test_gradients_in_the_same_layout_are_no_findings_of_their_own_and_wrong_ones_are_said():
    planes_first = with_layout(PLAIN.forward, PLAIN.backward, "NHWC,HWIO->NHWC")
    right = audit(*planes_first).findings
    assert [each.follows for each in right] == [("∂l/∂X", "∂l/∂F")]
    assert not right[0].known

    def doubled(X, F, G):
        dX, dF = PLAIN.backward(X, F, G)
        return dX, 2 * dF

    wrong = audit(*with_layout(PLAIN.forward, doubled, "NHWC,HWIO->NHWC")).findings
    assert [each.known for each in wrong] == [("in that layout ∂l/∂F is wrong too",)]


def test_a_layout_is_not_named_that_only_fits_some_layers():
    def wrong(X, F):
        S = planes_last(X, F)
        return 2 * S if X.shape[1] > 20 else S

    assert "another layout" not in first(wrong).title


def test_exchanged_options_are_no_layout():
    def wrong(X, F):
        return Im2col(padding=((2, 0), (0, 1))).forward(X, F)

    assert "another layout" not in first(wrong, padding=((0, 1), (2, 0))).title


def test_a_layout_of_other_axes_than_the_audit_is_refused():
    functions = with_layout(planes_last, None, "NHWC,HWIO->NHWC")
    with pytest.raises(ShapeError, match=r'layout is "NHWC,HWIO->NHWC" with .* axes H, W, but spatial_ndim is 1'):
        audit(*functions, spatial_ndim=1)


# state ----------------------------------------------------------------------------------------------------------------


def test_a_buffer_that_adds_up():
    sums = {}

    def backward(X, F, G):
        dX, dF = PLAIN.backward(X, F, G)
        sums[F.shape] = sums.get(F.shape, 0) + dF
        return dX, sums[F.shape].copy()

    assert first(PLAIN.forward, backward).title == "is added to the result of the call before"


def test_responses_that_add_up_where_the_first_ones_are_right():
    sums = {}

    def forward(X, F):
        sums[X.shape, F.shape] = sums.get((X.shape, F.shape), 0) + PLAIN.forward(X, F)
        return sums[X.shape, F.shape].copy()

    assert first(forward).title == "is added to the result of the call before"


def test_a_border_that_is_not_cleared():
    scratch = np.zeros((40, 6, 80, 80))

    def forward(X, F):
        h, w = X.shape[2:]
        padded = scratch[: len(X), : X.shape[1], : h + 2, : w + 2]
        padded[:, :, 1:-1, 1:-1] = X
        return PLAIN.forward(padded.copy(), F)

    layers = [Geometry((2, 9, 8), (1, 2, 3, 2), padding=1), Geometry((2, 4, 5), (3, 2, 2, 3), padding=1)]
    assert first(forward, padding=1, geometries=layers).title == "depends on the call before"


@pytest.mark.parametrize("key", [lambda F: float(F.sum()), lambda F: float(F.flat[0])], ids=["sum", "first entry"])
def test_a_cache_by_a_key_that_other_numbers_have(key):
    known = {}

    def forward(X, F):
        return PLAIN.forward(X, known.setdefault((F.shape, key(F)), F.copy()))

    assert first(forward).title.startswith("is the result of the call before")


@pytest.mark.usefixtures("fewer")
def test_a_backward_pass_that_uses_what_the_forward_pass_saved():
    saved = {}

    def forward(X, F):
        saved["X"] = X.copy()
        return PLAIN.forward(X, F)

    finding = first(forward, lambda X, F, G: PLAIN.backward(saved["X"], F, G))
    assert finding.about == "∂l/∂F"
    assert finding.title == "depends on the last call of forward"
    whole = audit(forward, lambda X, F, G: PLAIN.backward((forward(X, F), saved["X"])[1], F, G))
    assert whole.ok


@pytest.mark.usefixtures("fewer", "unread")
@pytest.mark.parametrize("share", [0.5, 0.02])
def test_dropout_is_called_random_and_not_memory_or_a_cache(share):
    drawn = np.random.default_rng(0)

    def forward(X, F):
        S = PLAIN.forward(X, F)
        return S * (drawn.random(S.shape) >= share)

    def backward(X, F, G):
        dX, dF = PLAIN.backward(X, F, G)
        return dX * (drawn.random(dX.shape) >= share), dF

    assert [each.title for each in audit(forward, backward).findings] == 2 * ["differs from call to call"]


def test_a_cache_of_filters_by_their_shape():
    known = {}

    def forward(X, F):
        return PLAIN.forward(X, known.setdefault(F.shape, F.copy()))

    assert first(forward).title.startswith("depends on earlier calls: it is right for the first numbers of a size")


def test_inputs_that_are_changed_at_few_layers_only():
    def forward(X, F):
        S = PLAIN.forward(X, F)
        if F.shape[2:] == (1, 1):
            X *= 2
        return S

    finding = first(forward)
    assert (finding.about, finding.title) == ("forward", "changes X in place")


# sizes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("step", [4, 16, 64, 256])
@pytest.mark.parametrize("axis", [0, 1], ids=["filters", "planes"])
def test_planes_and_filters_behind_the_last_block(axis, step):
    def forward(X, F):
        count = F.shape[axis] // step * step
        kept = np.arange(F.shape[axis]) < (count or F.shape[axis])
        return PLAIN.forward(X, F * kept.reshape((-1, 1, 1, 1) if axis == 0 else (1, -1, 1, 1)))

    assert not audit(forward).ok


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("width", [64, 128, 256])
def test_columns_beyond_a_block(width):
    assert not audit(lambda X, F: PLAIN.forward(np.where(np.arange(X.shape[3]) < width, X, 0), F)).ok


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("taps", [5, 10])
@pytest.mark.parametrize("axis", [2, 3])
def test_large_filters(axis, taps):
    def forward(X, F):
        kept = np.arange(F.shape[axis]) < taps
        return PLAIN.forward(X, F * (kept[:, None] if axis == 2 else kept))

    assert not audit(forward).ok


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("padding", [1, 2, ((0, 2), (1, 1))])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_single_response_behind_padding(stride, padding):
    layer = Im2col(stride=stride, padding=padding)

    def forward(X, F):
        S = layer.forward(X, F)
        return S * 0 if S.shape[2:] == (1, 1) else S

    assert not audit(forward, stride=stride, padding=padding).ok


@pytest.mark.parametrize(
    ("block", "count", "cause"),
    [(2**16, 2**16 + 1, "16 bits"), (2**8, 2**8 + 1, "8 bits"), (2**10, 2**10 + 1, "blocks")],
)
def test_many_images_by_where_it_starts(block, count, cause):
    finding = first(lambda X, F: PLAIN.forward(X[np.arange(len(X)) % block], F))
    assert finding.title == f"is wrong for {count} images"
    assert cause in finding.cause


# numbers --------------------------------------------------------------------------------------------------------------


def rounded_to_float32(A):
    return A.astype(np.float32).astype(A.dtype)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    "change",
    [
        lambda A: np.round(A, 4),
        lambda A: np.rint(A * 256) / 256,
        lambda A: np.where(np.abs(A) < 1e-3, 0, A),
        lambda A: A if np.all(np.rint(A) == A) else rounded_to_float32(A),
    ],
    ids=["decimals", "fixed point", "threshold", "float32"],
)
@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize("letter", ["X", "F", "G"])
def test_real_numbers_that_are_changed(letter, change):
    def forward(X, F):
        return PLAIN.forward(change(X) if letter == "X" else X, change(F) if letter == "F" else F)

    def backward(X, F, G):
        return PLAIN.backward(X, F, change(G) if letter == "G" else G)

    finding = first(*((None, backward) if letter == "G" else (forward,)))
    assert finding.kind == "values"
    assert "real numbers" in finding.title or "fractions" in finding.title


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("seed", range(5))
def test_real_numbers_of_right_code_are_within_the_bound(dtype, seed):
    options = {"stride": (2, 1), "padding": 1, "dilation": (1, 2)}
    layer = (Layer if dtype == "bfloat16" else Im2col)(**options)
    few = [Geometry((4, 9, 11), (3, 4, 3, 2), **options), Geometry((2, 5, 7), (2, 2, 2, 3), **options)]
    assert audit(layer.forward, layer.backward, dtype=dtype, seed=seed, geometries=few, **options).ok


def winograd(X, F):
    """F(2, 3) on one axis, and direct sums for other filters."""
    if F.shape[2] != 3:
        windows = sliding_window_view(X, F.shape[2], axis=2)
        return np.einsum("ncwk,ock->now", windows, F)
    count = X.shape[2] - 2
    padded = np.concatenate([X, np.zeros((*X.shape[:2], 2), X.dtype)], axis=2)
    a, b, c, d = (padded[:, :, k : k + count + 1 : 2][:, :, : -(-count // 2)] for k in range(4))
    f, g, h = F[..., 0], F[..., 1], F[..., 2]
    products = [
        np.einsum("ncw,oc->now", left, right)
        for left, right in ((a - c, f), (b + c, (f + g + h) / 2), (c - b, (f - g + h) / 2), (b - d, h))
    ]
    S = np.empty((len(X), len(F), 2 * a.shape[2]), X.dtype)
    S[:, :, ::2] = products[0] + products[1] + products[2]
    S[:, :, 1::2] = products[1] - products[2] - products[3]
    return S[:, :, :count]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_winograd_is_right_although_a_nan_spreads_in_its_tiles(dtype):
    assert audit(winograd, spatial_ndim=1, dtype=dtype).check().ok


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_a_nan_that_reaches_other_images(dtype):
    def forward(X, F):
        spread = 0 * X.astype(np.float64).sum(axis=0).sum()
        return (PLAIN.forward(X.astype(np.float64), F.astype(np.float64)) + spread).astype(X.dtype)

    assert {each.kind for each in audit(forward, dtype=dtype).findings} == {"not a number"}


def test_a_nan_in_the_gradients_of_the_bias_and_of_what_does_not_hold_it():
    layer = Im2col()

    def swallowed(X, F, b, G):
        dX, dF, _ = layer.backward(X, F, b, G)
        return dX, dF, np.nansum(G, axis=(0, 2, 3))

    def spread(X, F, b, G):
        dX, dF, db = layer.backward(X, F, b, G)
        return dX + 0 * X.sum(), dF, db + 0 * X.sum()

    assert labels(layer.forward, swallowed, bias=True) == {"∂l/∂b"}
    assert labels(layer.forward, spread, bias=True) == {"∂l/∂X", "∂l/∂b"}


def test_the_memory_layout_of_the_bias_and_of_slices_from_within():
    def by_memory(A):
        return np.lib.stride_tricks.as_strided(A, strides=np.empty(A.shape, A.dtype).strides)

    def from_the_start(A):
        base = A.base if isinstance(A.base, np.ndarray) and A.flags.c_contiguous else A
        return base.ravel()[: A.size].reshape(A.shape)

    biased = first(lambda X, F, b: PLAIN.forward(X, F, by_memory(b)), bias=True)
    assert biased.title.startswith("depends on the memory layout of b")
    sliced = first(lambda X, F: PLAIN.forward(from_the_start(X), F))
    assert sliced.title == "depends on the memory layout of X (wrong for a slice from within an array)"


@pytest.mark.usefixtures("unread")
def test_wrong_formulas_near_the_right_numbers_are_no_lower_precision():
    def forward(X, F, b):
        S = PLAIN.forward(X, F)
        whole = S.shape[3] // 4 * 4 or S.shape[3]
        S[..., :whole] += b[:, None, None]
        return S

    assert first(forward, bias=True).kind != "precision"
    assert first(lambda X, F: PLAIN.forward(rounded_to_float32(X), F)).kind == "precision"


def test_zeros_are_not_called_clipped():
    assert "clipped" not in first(None, lambda X, F, G: (PLAIN.backward(X, F, G)[0], 0 * F)).title


# formulas -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap"])
def test_padding_by_pixels_is_found(mode):
    def forward(X, F):
        return PLAIN.forward(np.pad(X, ((0, 0), (0, 0), (1, 1), (2, 1)), mode=mode), F)

    finding = first(forward, padding=((1, 1), (2, 1)))
    assert (finding.about, finding.kind) == ("S", "values")


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    ("zeros", "mode"), [(lambda k: (k - 1, k - 1), "full"), (lambda k: (k // 2, (k - 1) // 2), "same")]
)
def test_modes_of_other_libraries_are_found(zeros, mode):
    def forward(X, F):
        return Im2col(padding=tuple(map(zeros, F.shape[2:]))).forward(X, F)

    assert (first(forward).about, first(forward).kind) == ("S", "shape"), mode


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("stride", [2, 3])
def test_the_zeros_of_tensorflow_are_found(stride):
    """There are ⌈H ÷ stride⌉ responses, and an odd zero stands behind."""

    def forward(X, F):
        pixels = np.array(X.shape[2:])
        missing = np.maximum((-(-pixels // stride) - 1) * stride + F.shape[2:] - pixels, 0)
        zeros = [(int(number) // 2, int(number + 1) // 2) for number in missing]
        return Im2col(stride=(stride, stride), padding=zeros).forward(X, F)

    assert labels(forward, stride=stride, padding=1) == {"S"}


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    ("change", "title"),
    [
        (lambda F: F[::-1, ::-1, ::-1, ::-1], "filters and planes are reversed in the place of rows and columns"),
        (lambda F: F[::-1, ::-1], "filters and planes are reversed as well"),
        (lambda F: F * (np.arange(F.shape[2]) == F.shape[2] - 1)[:, None], "only the last row of taps counts"),
        (lambda F: F * (np.arange(F.shape[3]) == F.shape[3] - 1), "only the last column of taps counts"),
    ],
)
def test_other_filters_in_the_gradient_of_the_image(change, title):
    def backward(X, F, G):
        return PLAIN.backward(X, np.ascontiguousarray(change(F)), G)[0], PLAIN.backward(X, F, G)[1]

    assert labels(None, backward) == {"∂l/∂X"}, title


@pytest.mark.usefixtures("unread")
def test_a_bias_per_image():
    finding = first(lambda X, F, b: PLAIN.forward(X, F) + len(X) * b[:, None, None], bias=True)
    assert (finding.about, finding.kind) == ("S", "values")


# arguments ------------------------------------------------------------------------------------------------------------

LAYER = Geometry((1, 5, 6), (1, 1, 2, 3))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"stride": 2, "geometries": [LAYER]}, ShapeError, r"geometries\[0\] has stride \(1, 1\), but the audit has"),
        (
            {"padding": 1, "geometries": [LAYER]},
            ShapeError,
            "has padding .* but the audit has padding",
        ),
        ({"padding": "same", "geometries": [LAYER]}, ShapeError, "but the audit has padding same"),
        ({"spatial_ndim": 1, "geometries": [LAYER]}, ShapeError, r"geometries\[0\] has spatial_ndim 2, but"),
        ({"geometries": LAYER}, TypeError, r"geometries is .*; it needs a list of Geometry"),
        ({"geometries": 3}, TypeError, r"geometries is 3; it needs a list of Geometry"),
        ({"groups": 0}, ShapeError, "groups is 0; it needs an integer of at least 1"),
        ({"groups": 1.5}, ShapeError, "groups is 1.5; it needs an integer of at least 1"),
        ({"bias": "no"}, TypeError, "bias is 'no'; it needs True or False"),
        ({"seed": -1}, ValueError, "seed is -1; it needs an integer of at least 0"),
        ({"seed": "a"}, ValueError, "seed is 'a'; it needs an integer of at least 0"),
        ({"executor": 3}, TypeError, "executor has type int; it needs a concurrent.futures.Executor"),
    ],
)
def test_bad_arguments_say_what_is_needed(options, error, text):
    with pytest.raises(error, match=text):
        audit(PLAIN.forward, **options)


def test_options_of_geometries_that_agree_are_taken():
    layer = Geometry((1, 5, 6), (1, 1, 3, 3), padding="same")
    same = Im2col(padding=1)
    assert audit(same.forward, padding="same", geometries=[layer]).ok


def test_code_that_ends_the_program_is_a_finding():
    finding = first(lambda X, F: sys.exit("no square") if X.shape[2] != X.shape[3] else PLAIN.forward(X, F))
    assert finding.title.startswith("raises on a legal layer: SystemExit: no square")


def test_an_exception_at_all_layers_that_is_none_of_arguments():
    def refuse(X, F):
        raise ValueError("no")

    finding = first(refuse)
    assert finding.cure.startswith("Every call fails. Check the signature, the adapter and the options: ")
    assert 'raise ValueError("no")' in finding.known[0]


def test_the_layers_hold_every_pair_of_blocks_of_planes_and_filters():
    from jacobians.audit import curriculum
    from jacobians.audit.layers import convolution

    fixed = convolution.options(1, 0, 1, 1, 2, bias=False, dtype="float64")
    cases = curriculum.curriculum(fixed)
    for step, place in itertools.product((4, 8, 16, 32), ("planes", "filters", "images")):
        sizes = {
            "planes": {each.geometry.image[0] for each in cases},
            "filters": {each.geometry.filters[0] for each in cases},
            "images": {each.images for each in cases},
        }[place]
        assert any(size > step and size % step for size in sizes), (step, place)


# records --------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fewer")
def test_records_hold_what_their_formats_can_whatever_the_code_says_and_gives():
    def loud(X, F):
        raise ValueError("\x1b[31mbad\x1b[0m \udcff")

    report = audit(loud)
    assert "\\x1b[31mbad" in str(report)
    failure = ET.fromstring(report.to_junit()).find("testcase/failure")
    assert failure.get("message").startswith("S raises on a legal layer: ValueError: \\x1b[31mbad")
    infinite = audit(lambda X, F: PLAIN.forward(X, F) * np.inf)
    assert not infinite.ok
    for each in (report, infinite):
        assert json.loads(json.dumps(each.to_dict(), allow_nan=False).encode("utf-8"))
