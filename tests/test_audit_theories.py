"""Wrong formulas by their author's code: borders, groups, orders, ReLUs, axes, and remainders of loops."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import convolve, correlate

from jacobians import Geometry, audit
from jacobians.testing import option_pairs
from tests.convolutions import Im2col

PLAIN = Im2col()
REMAINDER = "is wrong: the remainder of a loop over the {} is left out of the sum"


def first(*functions, **options):
    return audit(*functions, **options).findings[0]


def padded(X):
    return np.pad(X, ((0, 0), (0, 0), (1, 1), (1, 1)))


def flat_index(X, F):
    """A bounds check of the flat index alone."""
    h, w = X.shape[2:]
    y, x = np.mgrid[-1 : h + 1, -1 : w + 1]
    at = y * w + x
    inside = (at >= 0) & (at < h * w)
    return PLAIN.forward(np.where(inside, X.reshape(*X.shape[:2], -1)[..., at * inside], 0), F)


def without(X, at):
    X = X.copy()
    X[:, :, at] = X[..., at] = 0
    return X


def shifted(X, F):
    """Taps added to np.roll in the wrong direction."""
    k, l = F.shape[2:]
    S = sum(np.einsum("ndhw,id->nihw", np.roll(X, (a, b), (2, 3)), F[:, :, a, b]) for a in range(k) for b in range(l))
    return S[:, :, : X.shape[2] - k + 1, : X.shape[3] - l + 1]


def images_first(X, F):
    """Columns of im2col run over positions and images, and are read as images and positions."""
    windows = sliding_window_view(X, F.shape[2:], axis=(2, 3))
    S = np.einsum("ndhwkl,idkl->ihwn", windows, F)
    return S.reshape(len(F), len(X), *S.shape[1:3]).swapaxes(0, 1)


def of_groups(X, F):
    m, c = len(F) // 2, F.shape[1]
    return np.concatenate([PLAIN.forward(X[:, g * m : g * m + c], F[g * m : (g + 1) * m]) for g in (0, 1)], axis=1)


@pytest.mark.parametrize(
    ("forward", "title", "options"),
    [
        (flat_index, "padding is read from the neighbouring row", {"padding": 1}),
        (
            lambda X, F: PLAIN.forward(padded(without(X, 0)), F),
            "the first row and column of the image are taken for padding",
            {"padding": 1},
        ),
        (
            lambda X, F: PLAIN.forward(padded(without(X, -1)), F),
            "the last row and column of the image are taken for padding",
            {"padding": 1},
        ),
        (shifted, "it is the circular convolution: taps run to the left, around the edge", {}),
        (images_first, "it is reshaped with images before positions", {}),
    ],
)
def test_wrong_responses_are_named(forward, title, options):
    assert first(forward, **options).title == f"is wrong: {title}"


def test_groups_whose_planes_are_counted_by_filters():
    layers = [layer for layer in _layers(groups=2) if layer.filters_per_group <= layer.planes_per_group]
    title = "is wrong: the planes of a group start at its number times n/groups"
    assert first(of_groups, groups=2, geometries=layers).title == title


def _layers(**options):
    from jacobians.audit import probes, run

    fixed = run.options(1, 0, 1, options["groups"], 2, bias=False, dtype="float64")
    return [case.geometry for case in probes.curriculum(fixed)]


def test_a_relu_before_the_bias():
    def forward(X, F, b):
        return np.maximum(PLAIN.forward(X, F), 0) + b.reshape(-1, 1, 1)

    assert first(forward, bias=True).title == "is wrong: a ReLU is left in, before the bias"


@pytest.mark.parametrize(("mask", "words"), [(np.greater, "S > 0"), (np.greater_equal, "S ≥ 0")])
def test_gradients_behind_a_relu_that_is_not_part_of_the_layer(mask, words):
    def backward(X, F, G):
        S = PLAIN.forward(X, F)
        return PLAIN.backward(X, F, G * mask(S, 0))

    titles = {(each.about, each.title) for each in audit(None, backward).findings}
    if words == "S > 0":
        assert titles == {
            (about, f"is wrong: the upstream gradient is masked by {words}") for about in ("∂l/∂X", "∂l/∂F")
        }
    else:
        assert all(title.startswith("is wrong: the upstream gradient is masked by S") for _, title in titles)


@pytest.mark.parametrize("axes", [(2,), (3,), (4,), (2, 3), (2, 4), (3, 4)])
def test_filters_of_three_axes_that_are_turned_along_some(axes):
    def backward(X, F, G):
        # scipy.signal.convolve turns the filter along all axes: turned before, an axis is not turned.
        forgotten = np.flip(F, tuple({2, 3, 4} - set(axes)))
        dX = [[sum(map(convolve, g, forgotten[:, plane])) for plane in range(F.shape[1])] for g in G]
        pairs = [[[correlate(x, g, "valid") for x in image] for g in maps] for image, maps in zip(X, G, strict=True)]
        return np.array(dX), np.sum(pairs, axis=0)

    named = " and ".join(("first", "middle", "last")[axis - 2] for axis in axes)
    assert first(None, backward, spatial_ndim=3).title == f"is wrong: the filter is turned along its {named} axis only"


def kept(A, axis, step, *, whole=True):
    size = A.shape[axis]
    count = size // step * step if size >= step or not whole else size
    result = A.copy()
    np.moveaxis(result, axis, 0)[count:] = 0
    return result


@pytest.mark.parametrize("step", [2, 3, 4, 8, 16, 32, 64])
@pytest.mark.parametrize("whole", [True, False])
def test_planes_and_filters_that_a_loop_leaves_out_of_a_sum(step, whole):
    finding = first(lambda X, F: PLAIN.forward(X, kept(F, 1, step, whole=whole)))
    assert finding.title == REMAINDER.format("planes")
    assert finding.cause.startswith(f"A loop adds {step} planes at once")
    finding = first(
        None, lambda X, F, G: (PLAIN.backward(X, kept(F, 0, step, whole=whole), G)[0], PLAIN.backward(X, F, G)[1])
    )
    assert finding.title == REMAINDER.format("filters")
    assert finding.cause.startswith(f"A loop adds {step} filters at once")


@pytest.mark.parametrize(("axis", "label"), [(0, "images"), (3, "columns")])
@pytest.mark.parametrize("step", [2, 4, 8, 16])
def test_images_and_columns_that_a_loop_leaves_out_of_a_sum(axis, label, step):
    def backward(X, F, G):
        return PLAIN.backward(X, F, G)[0], PLAIN.backward(X, F, kept(G, axis, step))[1]

    finding = first(None, backward)
    assert finding.title == REMAINDER.format(label)
    assert finding.cause.startswith(f"A loop adds {step} {label} at once")


@pytest.mark.parametrize("step", [2, 4, 6])
def test_tiles_that_do_not_cover_the_responses(step):
    finding = first(lambda X, F: kept(kept(PLAIN.forward(X, F), 2, step, whole=False), 3, step, whole=False))
    assert finding.title == "is wrong: rows and columns behind the last whole tile are not computed"
    assert finding.cause.startswith(f"Tiles of {step} ")


@pytest.mark.parametrize(("axis", "label"), [(0, "N mod {} images"), (1, "n mod {} filters"), (3, "w' mod {} columns")])
@pytest.mark.parametrize("step", [2, 3, 6, 8])
def test_remainders_that_are_not_computed(axis, label, step):
    finding = first(lambda X, F: kept(PLAIN.forward(X, F), axis, step))
    assert finding.title == f"is wrong: the last {label.format(step)} are not computed; they hold 0"


def test_a_block_that_ends_is_no_loop_in_steps_that_would_be_wrong_elsewhere():
    finding = first(lambda X, F: PLAIN.forward(X, F * (np.arange(F.shape[1]) < 200).reshape(-1, 1, 1)))
    assert "remainder" not in finding.title


def test_the_products_that_are_left_out_or_too_many_are_named():
    finding = first(lambda X, F: PLAIN.forward(X, F * (np.arange(F[0].size) < 32).reshape(F.shape[1:])))
    assert finding.known[0] == "in S11, 3 of 35 products are left out: X55F55, X56F56, X57F57"

    def backward(X, F, G):
        dX, dF = PLAIN.backward(X, F, G)
        dF[:, :, -1, -1] += G[:, :, 0, 0].T @ X[:, :, 0, 0] * (F.shape[3] > 1)
        return dX, dF

    finding = first(None, backward)
    assert finding.known[0] == "in v2, 1 product is too many: g1X11"


@pytest.mark.parametrize(("dtype", "wide"), [("int64", np.float64), ("int32", np.float32)])
def test_integers_that_pass_through_floating_point(dtype, wide):
    def forward(X, F):
        return PLAIN.forward(X.astype(wide), F.astype(wide)).astype(dtype)

    finding = first(forward, dtype=dtype)
    assert finding.title == f"is summed in a lower precision than {dtype}"
    assert f"sums in {np.dtype(wide)}" in finding.cause
    assert finding.entries


def test_an_offset_in_sixteen_bits_within_an_image():
    def forward(X, F):
        at = np.arange(X[0].size).reshape(X.shape[1:]).astype(np.uint16).astype(int)
        return PLAIN.forward(X.reshape(len(X), -1)[:, at], F)

    layers = [Geometry((planes, 15, 18), (1, planes, 1, 1)) for planes in (3, 60, 257)]
    finding = first(forward, geometries=layers)
    assert (
        "it is wrong only where an image has more than 2^15 entries: an offset may be kept in 16 bits" in finding.known
    )


@pytest.mark.parametrize("options", option_pairs(2))
def test_right_code_passes_with_every_pair_of_options_at_all_layers(options):
    layer = Im2col(**options)
    audit(layer.forward, layer.backward, **options).check()


def test_results_that_are_never_computed():
    def backward(X, F, G):
        return np.zeros_like(X), PLAIN.backward(X, F, G)[1]

    for functions in ((lambda X, F: PLAIN.forward(X, F) * 0,), (None, backward)):
        assert [each.title for each in audit(*functions).findings] == ["is wrong: it is 0 everywhere"]
