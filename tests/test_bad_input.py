"""Every wrong argument raises an error whose text names it, says what it got and what it needs, and what to do."""

import re
import traceback

import numpy as np
import pytest

import jacobians
from jacobians import Geometry, errors, layers, network, plots, symbolic, testing
from jacobians.audit import isolated, subject, with_layout
from jacobians.formula import blackbox
from tests.strategies import distinct

G = Geometry((2, 6, 4), (6, 2, 3, 2))


def says(error, text):
    """The error's whole text; … stands for anything."""
    pattern = re.escape(text).replace("…", ".*")
    return pytest.raises(error, match=f"(?s)^{pattern}$")


# ------------------------------------------------------------------------------------------------------------ Geometry

SHAPES = {
    "filter larger than the image": (
        ((1, 3, 9), (1, 1, 5, 2), {}),
        "filters has 5 taps on spatial axis 0, which with dilation 1 cover 5 pixels, but the padded image has only 3; "
        "make the image larger, the filter smaller, or pad by 2 more",
    ),
    "dilated filter larger than the padded image": (
        ((1, 9, 4), (1, 1, 2, 3), {"dilation": (1, 3), "padding": ((0, 0), (0, 1))}),
        "filters has 3 taps on spatial axis 1, which with dilation 3 cover 7 pixels, but the padded image has only 5; "
        "make the image larger, the filter smaller, or pad by 2 more",
    ),
    "planes": (
        ((3, 7, 9), (4, 2, 3, 2), {}),
        "filters has 2 planes per filter but image has 3 planes in 1 group; filters.shape[1] needs to be 3",
    ),
    "planes of a depthwise layer": (
        ((4, 7, 9), (4, 1, 3, 2), {}),
        "filters has 1 plane per filter but image has 4 planes in 1 group; filters.shape[1] needs to be 4, or groups=4",
    ),
    "planes that no groups explain": (
        ((4, 7, 9), (3, 1, 3, 2), {}),
        "filters has 1 plane per filter but image has 4 planes in 1 group; filters.shape[1] needs to be 4",
    ),
    "planes not cut by groups": (
        ((4, 7, 9), (4, 4, 3, 2), {"groups": 2}),
        "filters has 4 planes per filter but image has 4 planes in 2 groups; "
        "filters.shape[1] needs to be 2, or groups=1",
    ),
    "groups do not divide the planes": (
        ((3, 7, 9), (4, 1, 3, 2), {"groups": 2}),
        "groups is 2 but image has 3 planes, which cannot be cut into 2 equal groups; "
        "groups needs to divide both d = 3 and n = 4",
    ),
    "groups do not divide the filters": (
        ((4, 7, 9), (3, 2, 3, 2), {"groups": 2}),
        "groups is 2 but filters has 3 filters, which cannot be cut into 2 equal groups; "
        "groups needs to divide both d = 4 and n = 3",
    ),
    "filters without a plane axis": (
        ((2, 7, 9), (4, 3, 2), {}),
        "filters has 3 axes (4, 3, 2) but an image of shape (2, 7, 9) has 2 spatial axes and needs filters with "
        "4 axes: (n, d // groups, *taps)",
    ),
    "filters with an axis too many": (
        ((2, 7), (4, 2, 3, 2), {}),
        "filters has 4 axes (4, 2, 3, 2) but an image of shape (2, 7) has 1 spatial axis and needs filters with "
        "3 axes: (n, d // groups, *taps)",
    ),
    "image without a plane axis": (
        ((7,), (4, 1, 3), {}),
        "image has shape (7,), which has no spatial axis; it needs (d, *spatial): for one plane write (1, 7)",
    ),
    "no axis": (((), (1, 1, 3), {}), "image has shape (), which has no spatial axis; it needs (d, *spatial)"),
    "empty image": (
        ((2, 0, 9), (4, 2, 3, 2), {}),
        "image has shape (2, 0, 9), with 0 entries on axis 1; every axis needs at least 1",
    ),
    "no filters": (
        ((2, 7, 9), (0, 2, 3, 2), {}),
        "filters has shape (0, 2, 3, 2), with 0 entries on axis 0; every axis needs at least 1",
    ),
    "negative size": (
        ((2, 7, -9), (4, 2, 3, 2), {}),
        "image has shape (2, 7, -9), with -9 entries on axis 2; every axis needs at least 1",
    ),
    "fractional size": (((2, 7.0, 9), (4, 2, 3, 2), {}), "image[1] is 7.0; it needs an integer"),
    "a bool among the sizes": (((True, 7, 9), (4, 1, 3, 2), {}), "image[0] is True; it needs an integer"),
    "a bool among the taps": (((2, 7, 9), (4, 2, 3, np.True_), {}), "filters[3] is np.True_; it needs an integer"),
    "image itself": (
        (np.ones((2, 7, 9)), (4, 2, 3, 2), {}),
        "image is an array; it needs a shape (d, *spatial): pass the array's .shape",
    ),
    "a number in an array": (
        (np.array(5), (1, 1, 3), {}),
        "image is an array; it needs a shape (d, *spatial): pass the array's .shape",
    ),
    "a number": ((5, (1, 1, 3), {}), "image is 5; it needs a shape (d, *spatial)"),
    "no image": ((None, (1, 1, 3), {}), "image is None; it needs a shape (d, *spatial)"),
    "no filter shape": (((1, 3), None, {}), "filters is None; it needs a shape (n, d // groups, *taps)"),
    "text": (("abc", (1, 1, 3), {}), "image is 'abc'; it needs a shape (d, *spatial)"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes_that_make_no_geometry(case):
    (image, filters, options), text = SHAPES[case]
    with says(errors.ShapeError, text):
        Geometry(image, filters, **options)


@pytest.mark.parametrize(("missing", "pixels"), [({"padding": ((0, 0), (0, 2))}, 2), ({"padding": 1}, 2)])
def test_the_cure_for_a_large_filter_cures_it(missing, pixels):
    with pytest.raises(errors.ShapeError, match=f"or pad by {pixels} more$"):
        Geometry((1, 9, 3), (1, 1, 2, 5))
    assert Geometry((1, 9, 3), (1, 1, 2, 5), **missing).responses[2] == 1


NUMBER = "it needs an integer of at least"
OPTIONS = [
    ({"stride": 0}, f"stride is 0; {NUMBER} 1"),
    ({"stride": -1}, f"stride is -1; {NUMBER} 1"),
    ({"stride": 1.5}, f"stride is 1.5; {NUMBER} 1"),
    ({"stride": 2.0}, f"stride is 2.0; {NUMBER} 1"),
    ({"stride": np.float64(2)}, f"stride is np.float64(2.0); {NUMBER} 1"),
    ({"stride": np.array(2.5)}, f"stride is array(2.5); {NUMBER} 1"),
    ({"stride": "2"}, f"stride is '2'; {NUMBER} 1"),
    ({"stride": None}, f"stride is None; {NUMBER} 1"),
    ({"stride": {2, 1}}, f"stride is {{1, 2}}; {NUMBER} 1"),
    ({"stride": (1, 0)}, f"stride[1] is 0; {NUMBER} 1"),
    ({"stride": (1, None)}, f"stride[1] is None; {NUMBER} 1"),
    (
        {"stride": (1, 2, 3)},
        "stride has 3 entries (1, 2, 3) but there are 2 spatial axes: give one integer, or one integer per axis",
    ),
    ({"dilation": 0}, f"dilation is 0; {NUMBER} 1"),
    ({"dilation": (0.5, 1)}, f"dilation[0] is 0.5; {NUMBER} 1"),
    ({"dilation": None}, f"dilation is None; {NUMBER} 1"),
    (
        {"dilation": (2,)},
        "dilation has 1 entries (2,) but there are 2 spatial axes: give one integer, or one integer per axis",
    ),
    ({"padding": -1}, f"padding is -1; {NUMBER} 0"),
    ({"padding": 0.5}, f"padding is 0.5; {NUMBER} 0"),
    ({"padding": None}, f"padding is None; {NUMBER} 0"),
    ({"padding": (0, -2)}, f"padding[1] is -2; {NUMBER} 0"),
    ({"padding": (0, (1, -2))}, f"padding[1][1] is -2; {NUMBER} 0"),
    ({"padding": (0, "same")}, f"padding[1] is 'same'; {NUMBER} 0"),
    ({"padding": ((1,), 0)}, "padding[0] is (1,); it needs one integer or one (before, after) pair"),
    ({"padding": ((1, 2, 3), 0)}, "padding[0] is (1, 2, 3); it needs one integer or one (before, after) pair"),
    (
        {"padding": (1, 2, 1, 2)},
        "padding has 4 entries (1, 2, 1, 2) but there are 2 spatial axes: "
        "give one integer, one integer per axis, or one (before, after) pair per axis",
    ),
    (
        {"padding": (1,)},
        "padding has 1 entries (1,) but there are 2 spatial axes: "
        "give one integer, one integer per axis, or one (before, after) pair per axis",
    ),
    ({"padding": "full"}, "padding is 'full'; the words are 'valid' and 'same', or give integers"),
    ({"padding": "SAME"}, "padding is 'SAME'; the words are 'valid' and 'same', or give integers; did you mean same?"),
    *(
        (
            {"padding": "same", "stride": stride},
            f"padding is 'same' with stride {stride}; 'same' needs stride 1, because frameworks disagree on what it "
            "means otherwise: give the zeros as (before, after) pairs",
        )
        for stride in ((1, 2), (2, 2))
    ),
    ({"groups": 0}, f"groups is 0; {NUMBER} 1"),
    ({"groups": 1.0}, f"groups is 1.0; {NUMBER} 1"),
    ({"groups": None}, f"groups is None; {NUMBER} 1"),
    ({"groups": (1, 1)}, f"groups is (1, 1); {NUMBER} 1"),
    ({"groups": True}, f"groups is True; {NUMBER} 1"),
    ({"stride": True}, f"stride is True; {NUMBER} 1"),
    ({"stride": (1, np.True_)}, f"stride[1] is np.True_; {NUMBER} 1"),
    ({"dilation": True}, f"dilation is True; {NUMBER} 1"),
    ({"padding": False}, f"padding is False; {NUMBER} 0"),
    ({"padding": ((0, True), 0)}, f"padding[0][1] is True; {NUMBER} 0"),
]


@pytest.mark.parametrize(("options", "text"), OPTIONS, ids=lambda value: repr(value) if isinstance(value, dict) else "")
def test_options_that_make_no_geometry(options, text):
    with says(errors.ShapeError, text):
        Geometry((2, 7, 9), (4, 2, 3, 2), **options)


def test_a_pair_for_one_axis_is_two_entries():
    with pytest.raises(errors.ShapeError, match=r"for zeros before and after write padding=\(\(1, 2\),\)$"):
        Geometry((1, 5), (1, 1, 2), padding=(1, 2))
    assert Geometry((1, 5), (1, 1, 2), padding=((1, 2),)).responses == (1, 7)


@pytest.mark.parametrize(
    ("image", "filters", "options", "name"),
    [
        ((1, 2**40, 2**40), (1, 1, 1, 1), {}, "image"),
        ((1, 2, 2), (1, 1, 1, 1), {"padding": 2**40}, "image"),
        ((1, 2**32), (2**32, 1, 1), {}, "responses"),
        ((1, 2), (1, 1, 1), {"stride": 2**63}, "stride"),
        ((2, 2**62), (1, 2, 1), {}, "image"),
    ],
)
def test_sizes_that_int64_cannot_count_are_refused(image, filters, options, name):
    with pytest.raises(
        OverflowError, match=rf"^{name} counts to \d+ .*at most 9223372036854775807; make the layer smal"
    ):
        Geometry(image, filters, **options)


def test_the_largest_size_that_int64_counts_is_accepted():
    assert Geometry((1, 2**63 - 1), (1, 1, 1)).pixels == 2**63 - 1


# -------------------------------------------------------------------------------------------------------------- arrays

# How each function takes its arrays, by the name its messages use and the shape that G gives them.
X, F, F_I, UP, BIAS = (2, 6, 4), (6, 2, 3, 2), (2, 3, 2), (6, 4, 3), (6,)
TAKES = {
    "convolve-X": ("X", X, lambda a: jacobians.convolve(a, distinct(F), G)),
    "convolve-F": ("F", F, lambda a: jacobians.convolve(distinct(X), a, G)),
    "convolve-bias": ("bias", BIAS, lambda a: jacobians.convolve(distinct(X), distinct(F), G, bias=a)),
    "filter_gradient-X": ("X", X, lambda a: jacobians.filter_gradient(a, distinct(UP), G)),
    "filter_gradient-G": ("G", UP, lambda a: jacobians.filter_gradient(distinct(X), a, G)),
    "input_gradient-G": ("G", UP, lambda a: jacobians.input_gradient(a, distinct(F), G)),
    "input_gradient-F": ("F", F, lambda a: jacobians.input_gradient(distinct(UP), a, G)),
    "zero_pad-G": ("G", UP, lambda a: jacobians.zero_pad(a, G)),
    "image_matrix-X": ("X", X, lambda a: jacobians.image_matrix(a, G)),
    "filter_matrix-F_i": ("F_i", F_I, lambda a: jacobians.filter_matrix(a, G)),
    "jacobian_wrt_image-F": ("F", F, lambda a: jacobians.jacobian_wrt_image(a, G)),
    "jacobian_wrt_filters-X": ("X", X, lambda a: jacobians.jacobian_wrt_filters(a, G)),
}
takes = pytest.mark.parametrize("taken", TAKES)


@takes
def test_the_right_shape_is_accepted(taken):
    _, shape, call = TAKES[taken]
    call(distinct(shape))
    call(distinct(shape).tolist())
    call(distinct(shape).astype(np.uint8))


CURES = {
    "flattened": (
        lambda A: A.ravel(),
        "it has the right size: if its entries are in vec order, {name}.reshape({shape})",
    ),
    "planes-last": (lambda A: np.moveaxis(A, 0, -1), "the planes come first: np.moveaxis({name}, -1, 0)"),
    "transposed": (
        lambda A: np.swapaxes(A, -1, -2),
        "its axes are in another order: put them right with {name}.transpose(…)",
    ),
    "batched": (lambda A: np.stack([A, A]), "it looks like a batch: pass one entry at a time, {name}[0]"),
    "batch of one": (lambda A: A[None], "it looks like a batch: pass one entry at a time, {name}[0]"),
    "too short": (lambda A: A[:, :-1], "pass an array of that shape, or make the Geometry of this one"),
    "too many planes": (
        lambda A: np.concatenate([A, A]),
        "pass an array of that shape, or make the Geometry of this one",
    ),
    "plane left out": (lambda A: A[0], "pass an array of that shape, or make the Geometry of this one"),
    "empty": (lambda A: A[:0], "pass an array of that shape, or make the Geometry of this one"),
}


@pytest.mark.parametrize("mistake", CURES)
@pytest.mark.parametrize("taken", [taken for taken, (_, shape, _) in TAKES.items() if len(shape) > 1])
def test_another_shape_is_refused_with_its_cure(taken, mistake):
    name, shape, call = TAKES[taken]
    change, cure = CURES[mistake]
    wrong = change(distinct(shape))
    text = f"{name} has shape {wrong.shape} but {G!r} needs {shape}; {cure.format(name=name, shape=shape)}"
    with says(errors.ShapeError, text):
        call(wrong)


DTYPES = {
    "object": (object, "convert it: {name}.astype('float64'), or use jacobians.symbolic for symbols"),
    "str": ("U9", "convert it: {name}.astype('float64')"),
    "bytes": ("S9", "convert it: {name}.astype('float64')"),
    "bool": (bool, "say which integers you mean: {name}.astype('int8')"),
    "complex": (complex, "the formulas are linear in {name}: pass {name}.real and {name}.imag, one after the other"),
}


@takes
@pytest.mark.parametrize("dtype", DTYPES)
def test_entries_that_are_not_real_numbers_are_refused_with_their_cure(taken, dtype):
    name, shape, call = TAKES[taken]
    kind, cure = DTYPES[dtype]
    text = f"{name} has dtype … which is not integer or real floating-point; {cure.format(name=name)}"
    with says(errors.DtypeError, text):
        call(distinct(shape).astype(kind))


@takes
def test_masked_arrays_are_refused_with_their_cure(taken):
    name, shape, call = TAKES[taken]
    masked = np.ma.masked_array(distinct(shape), distinct(shape) % 2 == 0)
    text = f"{name} is a masked array; …: pass {name}.filled(0), or {name}.data to use the numbers under the mask"
    for given in (masked, list(masked)):
        with says(errors.DtypeError, text):
            call(given)
    call(masked.filled(0))
    call(masked.data)


MASKED = np.ma.masked_array([0.5, 0.25, 0.25], [False, True, False])
ONE_HOT = [1, 0, 0]
LAYERS = {
    "relu": ("S", layers.relu),
    "relu_jacobian": ("S", layers.relu_jacobian),
    "fully_connected-h": ("h", lambda a: layers.fully_connected([[1, 2, 3]], a)),
    "fully_connected-W": ("W", lambda a: layers.fully_connected(a[None], [1, 2, 3])),
    "fully_connected-b": ("b", lambda a: layers.fully_connected(np.ones((3, 1)), [1], a)),
    "fully_connected_jacobian_wrt_weights": ("h", lambda a: layers.fully_connected_jacobian_wrt_weights(a, 2)),
    "softmax": ("s", layers.softmax),
    "softmax_jacobian": ("p", layers.softmax_jacobian),
    "softmax_jacobian of symbols": ("p", lambda a: layers.softmax_jacobian(a.astype(object))),
    "cross_entropy": ("s", lambda a: layers.cross_entropy(a, ONE_HOT)),
    "cross_entropy-y": ("y", lambda a: layers.cross_entropy([1, 2, 3], a)),
    "l2_gradient": ("weight", lambda a: layers.l2_gradient(a, 1)),
    "assert_forward-S": ("S", lambda a: testing.assert_forward(a.reshape(1, 1, 3), *SMALL)),
    "assert_forward-X": ("X", lambda a: testing.assert_forward(SMALL[0], a.reshape(1, 1, 3), *SMALL[1:])),
}
SMALL = (np.ones((1, 1, 3)), np.ones((1, 1, 1, 1)), Geometry((1, 1, 3), (1, 1, 1, 1)))


@pytest.mark.parametrize("taken", LAYERS)
def test_other_layers_refuse_masked_arrays_too(taken):
    name, call = LAYERS[taken]
    with says(errors.DtypeError, f"{name} is a masked array, …"):
        call(MASKED)


def test_the_cure_for_complex_numbers_cures_them():
    Z = distinct(X) + 1j * distinct(X, start=100)
    parts = jacobians.convolve(Z.real, distinct(F), G) + 1j * jacobians.convolve(Z.imag, distinct(F), G)
    assert (
        parts == [[[(Z[:, l : l + 3, m : m + 2] * f).sum() for m in range(3)] for l in range(4)] for f in distinct(F)]
    ).all()


@pytest.mark.parametrize("taken", [taken for taken in TAKES if taken != "convolve-bias"])
def test_no_array_is_refused(taken):
    name, _, call = TAKES[taken]
    with says(errors.DtypeError, f"{name} is None; it needs an array of integers or real floating-point numbers"):
        call(None)


@takes
def test_ragged_rows_are_refused(taken):
    name, _, call = TAKES[taken]
    with says(errors.ShapeError, f"{name} is not an array; make its rows equally long (NumPy says: …)"):
        call([[[1, 2], [3]]])


@pytest.mark.parametrize(("image", "filters"), [((3, 4), (1, 1, 2, 2)), ((3, 4, 1), (1, 1, 2, 2)), ((1, 3), (1, 1, 4))])
def test_convolve_without_a_geometry_says_which_array_is_meant(image, filters):
    text = f"X of shape {image} is the image and F of shape {filters} the filters: filters has …"
    with says(errors.ShapeError, text):
        jacobians.convolve(distinct(image), distinct(filters))


def test_arrays_without_a_geometry():
    with says(
        errors.ShapeError, "F has shape (3, 2); it needs (n, d // groups, *taps) with at least one spatial axis: …"
    ):
        jacobians.rot180(np.ones((3, 2)))
    for G_ in (np.ones(4), np.ones((2, 0))):
        with says(
            errors.ShapeError, f"G has shape {G_.shape}; it needs (n, *out) with at least one spatial axis and …"
        ):
            jacobians.bias_gradient(G_)
    with says(errors.DtypeError, "F is None; it needs an array …"):
        jacobians.rot180(None)
    with says(errors.DtypeError, "G has dtype bool, which …"):
        jacobians.bias_gradient(np.ones((2, 3), bool))


NO_GEOMETRY = {
    "convolve": lambda g: jacobians.convolve(distinct(X), distinct(F), g),
    "filter_gradient": lambda g: jacobians.filter_gradient(distinct(X), distinct(UP), g),
    "input_gradient": lambda g: jacobians.input_gradient(distinct(UP), distinct(F), g),
    "zero_pad": lambda g: jacobians.zero_pad(distinct(UP), g),
    "image_matrix": lambda g: jacobians.image_matrix(distinct(X), g),
    "filter_matrix": lambda g: jacobians.filter_matrix(distinct(F_I), g),
    "stack_matrix": lambda g: jacobians.stack_matrix(0, g),
    "jacobian_wrt_image": lambda g: jacobians.jacobian_wrt_image(distinct(F), g),
    "jacobian_wrt_filters": lambda g: jacobians.jacobian_wrt_filters(distinct(X), g),
    "jacobian_wrt_bias": jacobians.jacobian_wrt_bias,
}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        (name, given)
        for name in NO_GEOMETRY
        for given in (None, 2, (1, 1), np.ones((2, 6, 4)))
        if name != "convolve" or given is not None  # there, None is stride 1, no padding, no dilation and one group
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_geometry_is_refused(name, given):
    text = (
        f"geometry has type {type(given).__name__}; it needs a Geometry: Geometry(X.shape, F.shape), with stride, "
        "padding, dilation and groups as its options"
    )
    with says(TypeError, text):
        NO_GEOMETRY[name](given)


# --------------------------------------------------------------------------------------------------- indices and rows

TWO_GROUPS = Geometry((2, 6, 4), (6, 1, 3, 2), groups=2)
INDEXED = {
    "image_matrix": ("group", 2, lambda index: jacobians.image_matrix(distinct(X), TWO_GROUPS, group=index)),
    "filter_matrix": ("group", 2, lambda index: jacobians.filter_matrix(distinct((1, 3, 2)), TWO_GROUPS, group=index)),
    "pixel_table": ("group", 2, lambda index: TWO_GROUPS.pixel_table(group=index)),
    "stack_matrix": ("i", 6, lambda index: jacobians.stack_matrix(index, TWO_GROUPS)),
}


@pytest.mark.parametrize("name", INDEXED)
def test_an_index_out_of_range_is_refused(name):
    argument, count, call = INDEXED[name]
    for index in (0, count - 1, np.int8(1), np.uint64(1)):
        call(index)
    for index in (-1, count, np.int64(count)):
        text = f"{argument} is {index} but {TWO_GROUPS!r} has {count} of them, counted from 0: it needs 0 … {count - 1}"
        with pytest.raises(IndexError, match=f"^{re.escape(text)}$"):
            call(index)
    for index in (0.5, 1.0, "0", None):
        with says(errors.ShapeError, f"{argument} is {index!r}; it needs an integer"):
            call(index)


def test_groups_filters_and_axes_of_a_geometry_are_counted():
    for call in (G.group_of, G.planes_of, G.filters_of, G.axis_table, G.axis_reach):
        for index in (-1, 99):
            with pytest.raises(IndexError, match=rf"is {index} but Geometry\("):
                call(index)


BLOCKS = {
    "image_matrix": lambda rows: jacobians.image_matrix(distinct(X), G, rows=rows),
    "filter_matrix": lambda rows: jacobians.filter_matrix(distinct(F_I), G, rows=rows),
    "stack_matrix": lambda rows: jacobians.stack_matrix(0, G, rows=rows),
    "jacobian_wrt_image": lambda rows: jacobians.jacobian_wrt_image(distinct(F), G, rows=rows),
    "jacobian_wrt_filters": lambda rows: jacobians.jacobian_wrt_filters(distinct(X), G, rows=rows),
    "jacobian_wrt_bias": lambda rows: jacobians.jacobian_wrt_bias(G, rows=rows),
}
NOT_ROWS = [3, [1, 2], range(3), (0, 3), "all", slice(0, 4, 2), slice(4, 0, -1), slice(0.5, 2), slice("a", "b")]


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("rows", NOT_ROWS, ids=repr)
def test_rows_that_are_not_a_slice_of_step_1_are_refused(name, rows):
    count = BLOCKS[name](None).shape[0]
    text = f"rows is {rows!r}; it needs a slice of step 1 into the {count} rows, like slice(0, 100)"
    with says(errors.ShapeError, text):
        BLOCKS[name](rows)


def test_rows_of_numpy_integers_are_accepted():
    for build in BLOCKS.values():
        assert build(slice(np.int64(1), np.uint8(4), np.int32(1))).shape[0] == 3


# -------------------------------------------------------------------------------------------------- too large, overflow


def test_a_matrix_that_does_not_fit_is_refused():
    with pytest.raises(MemoryError, match=r"^a matrix of shape ") as raised:
        jacobians.image_matrix(distinct(X), G, max_bytes=1000)
    assert raised.type is errors.TooLargeError
    facts = ["(12, 12)", "144 nonzeros", "1.66e-06 GiB", "9.31e-07 GiB", "operators.filter_operator", "rows=slice(…)"]
    assert [fact for fact in facts if fact not in str(raised.value)] == []


def test_integers_that_may_overflow_are_refused():
    large = distinct(X) * 2**55
    text = (
        "the integers are too large for int64: with max|X| = 1513209474796486656, max|F| = 73 and terms = 12 a sum may "
        "reach …, above 2⁶³ − 1; make them smaller, or use float64"
    )
    with says(OverflowError, text):
        jacobians.convolve(large, distinct(F, start=2), G)
    with pytest.raises(OverflowError, match=r"max\|X\| = .*, max\|G\| = .* and terms = 12 a sum"):
        jacobians.filter_gradient(large, distinct(UP), G)
    with pytest.raises(OverflowError, match=r"max\|G\| = .*, max\|F\| = .* and terms = 36 a sum"):
        jacobians.input_gradient(distinct(UP) * 2**55, distinct(F), G)
    with pytest.raises(OverflowError, match=r"with max\|G\| = .* and terms = 12 a sum"):
        jacobians.bias_gradient(distinct(UP) * 2**57)


def test_the_errors_are_the_built_in_ones_too():
    pairs = {"ShapeError": ValueError, "DtypeError": TypeError, "TooLargeError": MemoryError}
    assert all(issubclass(getattr(errors, name), built_in) for name, built_in in pairs.items())


def test_a_bias_of_another_shape_is_refused():
    for wrong, cure in (
        (3, "pass an array of that shape, or make the Geometry of this one"),
        ([1, 2], "pass an array of that shape, or make the Geometry of this one"),
        (np.ones((6, 1, 1)), "it has the right size: if its entries are in vec order, bias.reshape((6,))"),
        (np.ones((1, 6)), "it looks like a batch: pass one entry at a time, bias[0]"),
    ):
        with says(errors.ShapeError, f"bias has shape {np.shape(wrong)} but {G!r} needs (6,); {cure}"):
            jacobians.convolve(distinct(X), distinct(F), G, bias=wrong)


# ---------------------------------------------------------------------------------- too large to be made or looked at

SIDE = 2**20
LARGE = Geometry((1, SIDE, SIDE), (1, 1, 3, 3))
LONG = Geometry((1, 2**50), (1, 1, 3))
# No memory is behind these.
X_LARGE, F_LARGE = np.broadcast_to(1, LARGE.image), np.ones(LARGE.filters, int)
G_LARGE = np.broadcast_to(1, LARGE.responses)
TOO_LARGE = {
    "pixel_table": LARGE.pixel_table,
    "axis_table": lambda: LONG.axis_table(0),
    "axis_reach": lambda: LONG.axis_reach(0),
    "convolve": lambda: jacobians.convolve(X_LARGE, F_LARGE),
    "filter_gradient": lambda: jacobians.filter_gradient(X_LARGE, G_LARGE, LARGE),
    "input_gradient": lambda: jacobians.input_gradient(G_LARGE, F_LARGE, LARGE),
    "bias_gradient": lambda: jacobians.bias_gradient(G_LARGE),
    "zero_pad": lambda: jacobians.zero_pad(G_LARGE, LARGE),
    "zero_pad of a stride": lambda: jacobians.zero_pad([[1, 2]], Geometry((1, 2**50), (1, 1, 2), stride=2**50 - 2)),
    "padding": lambda: jacobians.convolve([[1, 2]], [[[1]]], Geometry((1, 2), (1, 1, 1), padding=2**45)),
    "image_matrix": lambda: jacobians.image_matrix(X_LARGE, LARGE),
    "image_matrix of a few rows": lambda: jacobians.image_matrix(X_LARGE, LARGE, rows=slice(0, 9)),
    "filter_matrix": lambda: jacobians.filter_matrix(F_LARGE[0], LARGE),
    "stack_matrix": lambda: jacobians.stack_matrix(0, LARGE),
    "jacobian_wrt_image": lambda: jacobians.jacobian_wrt_image(F_LARGE, LARGE),
    "jacobian_wrt_filters": lambda: jacobians.jacobian_wrt_filters(X_LARGE, LARGE),
    "jacobian_wrt_bias": lambda: jacobians.jacobian_wrt_bias(LARGE),
    **{f"symbolic.{name}": lambda name=name: symbolic.view(name, LARGE) for name in symbolic.VIEWS if name != "rot180"},
    "symbolic.names": lambda: symbolic.names("X", "image", LARGE),
    "symbolic.responses": lambda: symbolic.responses(Geometry((1, 2000), (1, 1, 1000))),
    "plots.image_matrix": lambda: plots.image_matrix(LARGE),
    "plots.filter_matrix": lambda: plots.filter_matrix(LARGE),
    "plots.jacobian": lambda: plots.jacobian(LARGE),
    "plots.stack_matrix": lambda: plots.stack_matrix(0, LARGE),
    "plots.patch": lambda: plots.patch(LARGE),
    "plots.rotated_filter": lambda: plots.rotated_filter(LARGE),
    "audit": lambda: jacobians.audit(lambda X, F: X, geometries=[Geometry((1, 4, 4), (1, 1, 3, 3)), LARGE]),
    "verify": lambda: jacobians.verify([LARGE]),
    "relu": lambda: layers.relu(X_LARGE),
    "relu_jacobian": lambda: layers.relu_jacobian(X_LARGE),
    "fully_connected_jacobian_wrt_weights": lambda: layers.fully_connected_jacobian_wrt_weights([1, 2], 2**50),
    "fully_connected_jacobian_wrt_bias": lambda: layers.fully_connected_jacobian_wrt_bias(2**50),
    "softmax_jacobian": lambda: layers.softmax_jacobian(np.broadcast_to(0.5, 2**22)),
    "Network.parameters": lambda: network.Network([LARGE], 10).parameters(0),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_is_too_large_is_refused_at_once_with_its_size_and_a_cure(name):
    with pytest.raises(errors.TooLargeError, match=r"(GiB but may take|entries, but .* at most) [^;]+; \w+ ") as raised:
        TOO_LARGE[name]()
    assert "\n" not in str(raised.value)


def test_the_layer_of_an_audit_that_is_too_large_is_named():
    with pytest.raises(errors.TooLargeError, match=r"^an audit at geometries\[1\], Geometry\(\(1, 1048576, 1048576\)"):
        TOO_LARGE["audit"]()


def test_what_can_be_shown_of_a_large_layer_is_shown():
    assert "F33" in symbolic.view("rot180", LARGE, form="text")
    assert jacobians.filter_matrix(F_LARGE[0], LARGE, rows=slice(0, 9)).nnz == 81


def test_the_result_of_a_function_that_is_read_is_not_copied_where_it_is_too_large():
    calls = []

    def forward(X, F):
        calls.append(X.shape)
        return np.broadcast_to(1.0, (2**40,))

    with pytest.raises(blackbox.Unreadable, match=r"the result has 1099511627776 = 1099511627776 entries"):
        blackbox.read(forward)
    assert len(calls) == 1


def test_a_formula_is_evaluated_for_arrays_that_fit():
    found = blackbox.read(right, layout="NCW,OIW->NCW", spatial_ndim=1, groups=1)
    X, F = np.ones((1, 2, 3)), np.ones((1, 2, 1))
    assert found.responses(X, F).tolist() == [[[2, 2, 2]]]
    for arrays, text in (
        ((np.ma.masked_array(X), F), "X is a masked array"),
        ((X[0], F), r"X has shape \(2, 3\); it needs \(N, d"),
        ((X, np.broadcast_to(1.0, (2**40, 2, 1))), "GiB but may take"),
    ):
        with pytest.raises((errors.DtypeError, errors.ShapeError, errors.TooLargeError), match=text):
            found.responses(*arrays)


# --------------------------------------------------------------------------------------- results that are too large


def right(X, F):
    return np.stack([jacobians.convolve(x, F) for x in X])


FEW = {"geometries": [Geometry((1, 1, size), (1, 1, 1, 2)) for size in range(2, 8)]}


def test_a_result_of_too_many_entries_is_a_finding_about_its_shape():
    def backward(X, F, G):
        return X * 0, np.broadcast_to(0.0, (2**20, 2**20))

    report = jacobians.audit(right, backward, **FEW)
    found = {each.about: each for each in report.findings}
    assert (found["∂l/∂F"].kind, found["∂l/∂F"].wrong) == ("shape", 6)
    assert "(1048576, 1048576), not (1, 1, 1, 2)" in found["∂l/∂F"].title
    # The other result of these calls is judged as it would be.
    assert "0 everywhere" in found["∂l/∂X"].title
    assert set(found) == {"∂l/∂F", "∂l/∂X"}


def test_code_that_gives_gigabytes_is_not_called_for_ever():
    made = []

    def forward(X, F):
        made.append(X.shape)
        return np.empty(2**28)

    (found,) = jacobians.audit(forward, **FEW).findings
    assert (found.kind, len(made)) == ("shape", 3)
    assert any("forward was not called at 5 other layers" in each for each in found.known)


def test_a_result_that_is_not_asked_for_again_is_not_said_to_be_unwritten():
    report = jacobians.audit(right, lambda X, F, G: (X * 0, np.empty(2**28)), **FEW)
    assert {each.about for each in report.findings} == {"∂l/∂X", "∂l/∂F"}
    assert not any("never written" in each.title for each in report.findings)


def test_code_for_one_image_at_a_time_that_gives_too_much_is_a_finding_too():
    def forward(X, F):
        return np.broadcast_to(1.0, (2**40, 1, 1))

    report = jacobians.audit(*with_layout(forward, None, "CHW,OIHW->OHW"), **FEW)
    assert [each.kind for each in report.findings] == ["shape"]


def test_a_large_result_is_copied_where_some_array_is_as_large():
    X = np.ones(subject.MOST_COPIED + 1)
    (alike,) = subject.call(lambda X: X * 2, subject.Call({"X": X}, {"S": "S"}, [(X.shape, X.dtype)], 1)).values()
    assert np.array_equal(alike.value, X * 2)
    (larger,) = subject.call(
        lambda X: np.append(X, 1), subject.Call({"X": X}, {"S": "S"}, [(X.shape, X.dtype)], 1)
    ).values()
    assert (larger.value, larger.shape) == (None, (X.size + 1,))


# ------------------------------------------------------------------------------------------- dtypes, seeds, lists


def relu_backward(S, G):
    return G * (S > 0)


TAKE_DTYPES = {
    "audit_relu": lambda dtype: jacobians.audit_relu(relu_backward, dtype=dtype).options,
    "audit": lambda dtype: jacobians.audit(right, dtype=dtype, geometries=FEW["geometries"][:1]).options,
    "fully_connected": lambda dtype: (
        jacobians.audit_fully_connected(lambda W, H, b: H.reshape(len(H), -1) @ W.T + b, dtype=dtype).options
    ),
    "softmax": lambda dtype: jacobians.audit_softmax_cross_entropy(lambda s, y: s * 0, dtype=dtype).options,
    "images": lambda dtype: str(testing.images(G, dtype=dtype)) and "float32",
}


@pytest.mark.parametrize("name", TAKE_DTYPES)
def test_dtypes_are_taken_by_name_as_types_and_as_dtypes(name):
    for dtype in (np.float32, np.dtype("=f4")):
        assert "float32" in TAKE_DTYPES[name](dtype)
    for dtype in (None, "x", "", 3, True, bool, complex, object, "M8[s]", np.dtype(">f4"), [], np.nan):
        with pytest.raises(errors.DtypeError, match=rf"^dtype is {re.escape(repr(dtype))}; it needs one of float64, "):
            TAKE_DTYPES[name](dtype)


@pytest.mark.parametrize("seed", ["x", "", None, True, -1, 2.5, np.nan, [], [1]], ids=repr)
def test_a_seed_is_an_integer(seed):
    for call in (
        lambda: jacobians.verify([G], seed=seed),
        lambda: jacobians.audit(right, seed=seed),
        lambda: network.Network([G], 2).parameters(seed),
    ):
        with pytest.raises(ValueError, match=rf"^seed is {re.escape(repr(seed))}; it needs an integer of at least 0$"):
            call()


@pytest.mark.parametrize("geometries", ["abc", "", 3, True, 2.5, np.nan, G], ids=repr)
def test_geometries_are_a_list_of_geometry(geometries):
    for call in (jacobians.verify, lambda given: jacobians.audit(right, geometries=given)):
        with pytest.raises(TypeError, match=rf"^geometries is {re.escape(repr(geometries))}; it needs a list of Geom"):
            call(geometries)
        with pytest.raises(TypeError, match=r"^geometries\[1\] has type str; it needs a Geometry"):
            call([G, "abc"])


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"identities": "L18"}, TypeError, "identities is 'L18'; it needs a list of ids"),
        ({"identities": ""}, TypeError, "identities is ''; it needs a list of ids"),
        ({"identities": 5}, TypeError, "identities is 5; it needs a list of ids"),
        ({"identities": []}, ValueError, "identities is empty; it needs ids among L1"),
        ({"identities": [""]}, ValueError, "identities has ''; it needs ids among L1"),
        ({"identities": [None]}, ValueError, "identities has None; it needs ids among L1"),
        ({"full": "x"}, TypeError, "full is 'x'; it needs True or False"),
    ],
)
def test_what_verify_cannot_use_is_refused(options, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}"):
        jacobians.verify([G], **options)


@pytest.mark.parametrize("value", [None, True, "x", "", -1, np.nan, np.inf, [], 1j, b"x"], ids=repr)
def test_a_strength_and_a_rate_are_numbers(value):
    net = network.Network([Geometry((1, 3, 4), (1, 1, 2, 2))], 2)
    for name, give in (
        ("strength", lambda: layers.l2_penalty([[1.0]], value)),
        ("strength", lambda: layers.l2_gradient([1.0], value)),
        ("rate", lambda: net.step(net.parameters(0), np.ones((1, 1, 3, 4)), [[1, 0]], value)),
    ):
        with pytest.raises(ValueError, match=rf"^{name} is {re.escape(repr(value))}; it needs a "):
            give()


@pytest.mark.parametrize("value", [True, "x", 1e9, np.nan, [], -1], ids=repr)
def test_max_bytes_is_an_integer(value):
    with pytest.raises(errors.ShapeError, match=rf"^max_bytes is {re.escape(repr(value))}; it needs an integer of at"):
        jacobians.image_matrix(distinct(X), G, max_bytes=value)


@pytest.mark.parametrize("value", [True, "x", 0, -1, np.nan, [], 1j, np.ones(2)], ids=repr)
def test_a_time_limit_is_a_number(value):
    with pytest.raises(
        ValueError, match=r"^timeout is .*; it needs a number of seconds above 0, or None for no limit$"
    ):
        isolated(right, timeout=value)
    with pytest.raises(TypeError, match=r"^load has type \w+; it needs a function"):
        isolated(value)


# ---------------------------------------------------------------------------------- anything at all as any argument


class Odd:
    """An object of a class that nobody knows."""


# Functions with arguments that they take; each is then exchanged for each odd value.
TINY = Geometry((1, 2, 3), (1, 1, 2, 2))
NET = network.Network([TINY], 2)
PARAMETERS, X_TINY = NET.parameters(0), distinct(TINY.image)
MATRIX = symbolic.image_matrix(TINY)
BATCH = {"parameters": PARAMETERS, "images": X_TINY[None], "labels": [[1, 0]]}
ONE = {"parameters": PARAMETERS, "X": X_TINY, "y": [1, 0]}
WRITTEN = {"form": "text", "whole": False, "width": 80}
DRAWN = {"dtype": "float64", "accumulate": None}
AUDIT = {"bias": False, "dtype": "float64", "seed": 0, "geometries": [Geometry((1, 3), (1, 1, 2))], "executor": None}
FUNCTIONS = {
    jacobians.convolve: {"X": X_TINY, "F": distinct(TINY.filters), "geometry": TINY, "bias": [1]},
    jacobians.image_matrix: {"X": X_TINY, "geometry": TINY, "group": 0, "rows": None, "max_bytes": None},
    jacobians.stack_matrix: {"i": 0, "geometry": TINY, "dtype": "float64"},
    jacobians.verify: {"geometries": [TINY], "identities": ["L21"], "seed": 0, "full": False, "executor": None},
    jacobians.audit_relu: {"backward": relu_backward, "dtype": "float64", "seed": 0},
    TINY.axis_reach: {"axis": 0, "positions": range(1)},
    TINY.axis_entries: {"axis": 0, "positions": range(1)},
    TINY.planes_of: {"group": 0},
    symbolic.names: {"letter": "X", "role": "image", "geometry": TINY},
    symbolic.write: {"expression": MATRIX[0], "form": "text", "width": 80},
    symbolic.render: {"matrix": MATRIX, **WRITTEN, "labels": ["S11", "S12"]},
    symbolic.equations: {"left": ["S11"], "right": [MATRIX[0]], **WRITTEN},
    symbolic.view: {"name": "filter_matrix", "geometry": TINY, "i": 0, **WRITTEN},
    plots.filter_matrix: {"geometry": TINY, "i": 0, "ax": None},
    plots.jacobian: {"geometry": TINY, "wrt": "image"},
    plots.patch: {"geometry": TINY, "row": 0, "ax": None},
    plots.network: {"model": NET, "parameter": "W", "ax": None},
    plots.save: {"ax": plots.stack_matrix(0, TINY), "file": "x.png"},
    layers.fully_connected: {"W": [[1, 2]], "h": [1, 2], "b": [3]},
    layers.fully_connected_jacobian_wrt_weights: {"h": [1, 2], "classes": 2},
    layers.fully_connected_jacobian_wrt_bias: {"classes": 2, "dtype": "float64"},
    layers.cross_entropy_jacobian: {"p": [0.5, 0.5], "y": [1, 0]},
    layers.cross_entropy: {"s": [1, 2], "y": [1, 0]},
    layers.l2_penalty: {"weights": [[1, 2]], "strength": 0.5},
    network.Network: {"layers": [TINY], "classes": 2, "l2": 0.5},
    NET.trace: ONE,
    NET.gradients_by_jacobians: ONE,
    NET.pull_back: {"parameters": PARAMETERS, "trace": NET.trace(**ONE), "upstream": [0.5, 1], "by": "convolutions"},
    NET.batch_gradients: {**BATCH, "by": "jacobians"},
    NET.step: {**BATCH, "rate": 0.5},
    NET.predict: {"parameters": PARAMETERS, "images": X_TINY[None]},
    testing.assert_bias_gradient: {"db": [6], "G": [[[1, 2, 3]]], "geometry": Geometry((1, 1, 3), (1, 1, 1, 1))},
    testing.option_pairs: {"spatial_ndim": 1, "groups": True, "uneven_padding": True},
    testing.register_profiles: {"load": "fast"},
    testing.geometries: dict.fromkeys(["spatial_ndim", "stride", "padding", "dilation", "groups", "max_taps"]),
    testing.images: {"geometry": TINY, "batch": 1, **DRAWN},
    testing.filters: {"geometry": TINY, **DRAWN},
    testing.assert_convolution: {"forward": right, "spatial_ndim": 1, "stride": 1, "groups": 1, **AUDIT},
    blackbox.read: {"function": right, "spatial_ndim": 1, "bias": False, "layout": "NCW,OIW->NCW", "groups": 1},
    with_layout: {"forward": right, "backward": None, "layout": "NHWC,HWIO->NHWC"},
}
ODD = [
    None,
    True,
    "x",
    "N,x",
    "",
    b"x",
    -1,
    2.5,
    10**30,
    np.nan,
    1j,
    (),
    [None],
    ["a"],
    [[1, 2], [3]],
    {"a": 1},
    {1},
    Odd(),
]
ODD += [int, len, slice(None), range(3), TINY, np.array(2.5), np.array([object()]), np.ma.masked_array([1, 2], [0, 1])]
# What these take, though it is odd.
TAKEN = {
    (jacobians.verify, "geometries"): [None],
    (jacobians.verify, "identities"): [None],
    (testing.assert_convolution, "geometries"): [None],
}


@pytest.mark.parametrize(
    ("function", "name"),
    [(function, name) for function, given in FUNCTIONS.items() for name in given],
    ids=lambda value: getattr(value, "__qualname__", value),
)
def test_whatever_is_given_is_taken_or_refused_in_one_line_that_names_it(function, name, monkeypatch):
    monkeypatch.delenv("HYPOTHESIS_PROFILE", raising=False)
    refused = 0
    for value in ODD:
        if any(value is each for each in TAKEN.get((function, name), ())):
            continue
        try:
            function(**FUNCTIONS[function] | {name: value})
        except (errors.AuditError, errors.CallError):  # of the code that is audited
            pass
        except Exception as error:  # whatever it is, it is to be one of this package's own
            refused += 1
            wrong = _is_of_internals(error, name)
            if wrong:
                pytest.fail(f"{name}={value!r}: {wrong}: {error!r}")
    assert refused > 0


def _is_of_internals(error, name):
    """What keeps an error from being one that tells the user what to do."""
    raised = traceback.extract_tb(error.__traceback__)[-1]
    if "jacobians" not in raised.filename or not (raised.line or "").startswith("raise "):
        return f"not raised on purpose, at {raised.filename}:{raised.lineno}"
    text = str(error)
    named = re.search(rf"\b{name}\b", text) or isinstance(error, MemoryError | OverflowError) or repr(TINY) in text
    return "" if named and "\n" not in text else "it does not name the argument in one line"
