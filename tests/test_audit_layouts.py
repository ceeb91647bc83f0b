"""Layouts against arrays that einsum and reshape put in order, letter by letter, and the audit through them."""

import itertools
import re

import ml_dtypes
import numpy as np
import pytest

from jacobians import Geometry, ShapeError, audit, bias_gradient, convolve, filter_gradient, input_gradient
from jacobians.audit.layouts import with_layout
from tests.convolutions import Layer

LAYER = Layer()
# No two sizes are the same, of images, planes, filters, taps and responses.
SIZES = {1: ((3, 7), (5, 3, 2)), 2: ((3, 7, 9), (5, 3, 2, 4)), 3: ((3, 7, 9, 11), (5, 3, 2, 4, 8))}
IMAGES = 2


def parts(layout):
    return re.fullmatch(r"(.*),(.*)->(.*)", layout).groups()


def axes(part):
    return re.findall(r"\(\w+\)|\w", part)


def standard(name, part):
    """The letters of one array, planes first."""
    order = {"X": "NCDHW", "F": "OIDHW", "S": "NOCDHW"}[name]
    return "".join(letter for letter in order if letter in part)


def laid_out(name, array, part):
    """An array with planes first, in another layout."""
    turned = np.einsum(f"{standard(name, part)}->{re.sub(r'[()]', '', part)}", array)
    sizes = dict(zip(standard(name, part), array.shape, strict=True))
    return turned.reshape([np.prod([sizes[each] for each in axis if each.isalpha()], dtype=int) for axis in axes(part)])


def planes_first(name, array, part, shape):
    """The inverse of `laid_out`, found by where each entry goes."""
    where = laid_out(name, np.arange(np.prod(shape)).reshape(shape), part)
    assert where.shape == array.shape
    result = np.empty(np.prod(shape), array.dtype)
    result[where.ravel()] = array.ravel()
    return result.reshape(shape)


class InLayout:
    """The right convolution of one geometry, by code that takes a layout."""

    def __init__(self, layout, geometry):
        self.parts, self.geometry = dict(zip("XFS", parts(layout), strict=True)), geometry
        self.images = (IMAGES,) if "N" in self.parts["X"] else ()

    def shape(self, name):
        g = self.geometry
        return {"X": (*self.images, *g.image), "F": g.filters, "S": (*self.images, *g.responses)}[name]

    def read(self, name, array):
        return planes_first(name, array, self.parts[name], self.shape(name))

    def forward(self, X, F, *b):
        X, F = self.read("X", X), self.read("F", F)
        S = [convolve(x, F, self.geometry, bias=b[0] if b else None) for x in (X if self.images else [X])]
        return laid_out("S", np.stack(S) if self.images else S[0], self.parts["S"])

    def backward(self, X, F, *rest):
        X, F, G = self.read("X", X), self.read("F", F), self.read("S", rest[-1])
        given = list(zip(X, G, strict=True)) if self.images else [(X, G)]
        dX = [input_gradient(g, F, self.geometry) for _, g in given]
        dX = laid_out("X", np.stack(dX) if self.images else dX[0], self.parts["X"])
        dF = laid_out("F", sum(filter_gradient(x, g, self.geometry) for x, g in given), self.parts["F"])
        return (dX, dF) if len(rest) == 1 else (dX, dF, sum(bias_gradient(g) for _, g in given))


def integers(generator, shape, dtype=np.int64):
    return generator.integers(-50, 50, shape).astype(dtype)


def drawn_layout(generator, ndim, *, batched=True):
    """Any order of the letters, any neighbours of which flattened."""
    spatial, written = "DHW"[3 - ndim :], []
    for leading in ("NC", "OI", "N" + str(generator.choice(["O", "C"]))):
        letters = list((leading if batched else leading.replace("N", "")) + spatial)
        letters = [str(each) for each in generator.permutation(letters)]
        cuts = [0, *(i for i in range(1, len(letters)) if generator.random() < 0.6), len(letters)]
        groups = ["".join(letters[a:b]) for a, b in itertools.pairwise(cuts)]
        written.append("".join(each if len(each) == 1 else f"({each})" for each in groups))
    return "{},{}->{}".format(*written)


def assert_adapted(layout, ndim, *, dtype=np.int64, **options):
    """Through the adapter, code in this layout gives what the convolution gives."""
    image, filters = SIZES[ndim]
    geometry = Geometry(image, filters, **options)
    generator = np.random.default_rng(len(layout))
    X, F, b = (integers(generator, shape, dtype) for shape in ((IMAGES, *image), filters, filters[:1]))
    G = integers(generator, (IMAGES, *geometry.responses), dtype)
    code = InLayout(layout, geometry)
    forward, backward = with_layout(code.forward, code.backward, layout, **options)
    right_dX = np.stack([input_gradient(g, F, geometry) for g in G])
    right_dF = sum(filter_gradient(x, g, geometry) for x, g in zip(X, G, strict=True))
    for given, gradients in (((), ()), ((b,), (sum(map(bias_gradient, G)),))):
        S = np.stack([convolve(x, F, geometry, bias=given[0] if given else None) for x in X])
        results = forward(X, F, *given), *backward(X, F, *given, G)
        for result, right in zip(results, (S, right_dX, right_dF, *gradients), strict=True):
            assert result.shape == right.shape
            assert result.dtype == dtype
            assert np.array_equal(result, right)


# every order and every flattening -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_any_layout_gives_what_the_convolution_gives(seed):
    generator = np.random.default_rng(seed)
    ndim = 1 + seed % 3
    assert_adapted(drawn_layout(generator, ndim, batched=seed % 5 > 0), ndim)


@pytest.mark.parametrize(
    "layout",
    [
        "NCHW,OIHW->NCHW",
        "NCHW,OIHW->NOHW",
        "NHWC,HWIO->NHWC",
        "HWCN,HWIO->HWON",
        "N(CHW),O(IHW)->N(OHW)",
        "N(WHC),(WHI)O->(WHO)N",
        "CHW,OIHW->OHW",
        "HWC,HWIO->HWO",
        "(CHW),O(IHW)->(OHW)",
        " N H W C , H W I O -> N H W C ",
    ],
)
def test_the_layouts_of_the_documentation(layout):
    assert_adapted(layout.replace(" ", ""), 2)
    assert with_layout(LAYER.forward, LAYER.backward, layout)


@pytest.mark.parametrize("options", [{"stride": 2}, {"padding": ((2, 0), (0, 1))}, {"stride": (3, 1), "dilation": 2}])
def test_the_options_give_the_sizes_of_flattened_responses(options):
    assert_adapted("N(CHW),O(IHW)->N(OHW)", 2, **options)
    assert_adapted("(HWC),(HWI)O->(HW)O", 2, **options)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16, np.int32])
def test_one_image_at_a_time_is_stacked_and_summed_in_its_own_dtype(dtype):
    def contract(indices, *arrays):  # a 1×1 convolution; einsum has no bfloat16
        return np.einsum(indices, *(each.astype(float) for each in arrays)).astype(dtype)

    def forward(x, F):
        return contract("chw,oc->ohw", x, F[:, :, 0, 0])

    def backward(x, F, b, g):
        dF = contract("ohw,chw->oc", g, x)[:, :, None, None]
        return contract("ohw,oc->chw", g, F[:, :, 0, 0]), dF, contract("ohw->o", g)

    forward, backward = with_layout(forward, backward, "CHW,OIHW->OHW")
    generator = np.random.default_rng(0)
    shapes = (4, 2, 1, 3), (3, 2, 1, 1), (3,), (4, 3, 1, 3)
    X, F, b, G = (generator.integers(-3, 4, shape).astype(dtype) for shape in shapes)
    S, dX, dF, db = forward(X, F), *backward(X, F, b, G)
    assert {each.dtype for each in (S, dX, dF, db)} == {np.dtype(dtype)}
    x, f, g = (each.astype(int) for each in (X, F, G))
    assert np.array_equal(S.astype(int), np.einsum("nchw,oc->nohw", x, f[:, :, 0, 0]))
    assert np.array_equal(dX.astype(int), np.einsum("nohw,oc->nchw", g, f[:, :, 0, 0]))
    assert np.array_equal(dF.astype(int)[:, :, 0, 0], np.einsum("nohw,nchw->oc", g, x))
    assert np.array_equal(db.astype(int), g.sum(axis=(0, 2, 3)))


# what the code gets, and what it does to it ---------------------------------------------------------------------------


def seen_by(array, layout="NHWC,HWIO->NHWC"):
    seen = []
    forward, _ = with_layout(lambda X, F: seen.append(X) or np.zeros((1, 1, 1, 1)), None, layout)
    forward(array, np.ones((1, array.shape[1], 1, 1)))
    return seen[0]


def test_contiguous_arrays_come_contiguous_and_others_do_not():
    X = np.arange(120.0).reshape(2, 3, 4, 5)
    assert seen_by(X).flags.c_contiguous
    for view in (X[:, :, ::-1], X.swapaxes(2, 3), np.repeat(X, 2, axis=3)[..., ::2]):
        assert not seen_by(view).flags.c_contiguous
        assert np.shares_memory(seen_by(view), view)
        assert np.array_equal(seen_by(view), np.einsum("nchw->nhwc", view))


@pytest.mark.parametrize("layout", ["NHWC,HWIO->NHWC", "HWC,HWIO->HWC", "N(CHW),O(IHW)->N(OHW)", "NCHW,OIHW->NCHW"])
@pytest.mark.parametrize("arrange", [np.copy, np.asfortranarray], ids=["C order", "Fortran order"])
def test_what_the_code_writes_into_its_inputs_is_written_back(layout, arrange):
    X, F = arrange(np.ones((2, 3, 4, 5))), np.ones((6, 3, 1, 1))

    def forward(X, F):
        X *= 2
        return "no array"

    assert with_layout(forward, None, layout)[0](X, F) == "no array"
    assert np.array_equal(X, np.full((2, 3, 4, 5), 2.0))


def test_read_only_inputs_are_not_written_back():
    X = np.ones((2, 3, 4, 5))
    X.flags.writeable = False
    assert with_layout(lambda X, F: 7, None, "NHWC,HWIO->NHWC")[0](X, np.ones((6, 3, 1, 1))) == 7


def test_what_is_no_array_or_no_pair_stays_what_it_is():
    X, F, G = np.ones((2, 1, 2, 2)), np.ones((1, 1, 1, 1)), np.ones((2, 1, 2, 2))
    for layout in ("NHWC,HWIO->NHWC", "HWC,HWIO->HWC"):
        forward, backward = with_layout(lambda X, F: None, lambda X, F, G: G, layout)
        assert forward(X, F) is None
        assert isinstance(backward(X, F, G), np.ndarray)
        assert with_layout(None, lambda X, F, G: (None, None), layout)[1](X, F, G) == (None, None)
    assert with_layout(None, None, "NHWC,HWIO->NHWC") == (None, None)


# audits ---------------------------------------------------------------------------------------------------------------


def channels_last(function):
    """The right code, for arrays of TensorFlow's layout."""

    def call(X, F, *rest):
        X, F = X.transpose(0, 3, 1, 2), F.transpose(3, 2, 0, 1)
        returned = function(X, F, *(each.transpose(0, 3, 1, 2) if each.ndim > 1 else each for each in rest))
        if not isinstance(returned, tuple):
            return returned.transpose(0, 2, 3, 1)
        return returned[0].transpose(0, 2, 3, 1), returned[1].transpose(2, 3, 1, 0), *returned[2:]

    return call


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize("seed", range(5))
def test_a_right_convolution_with_planes_last_passes(seed):
    options = {"stride": (2, 1), "padding": ((1, 0), (0, 2)), "groups": 2}
    layer = Layer(**options)
    functions = with_layout(channels_last(layer.forward), channels_last(layer.backward), "NHWC,HWIO->NHWC")
    assert audit(*functions, **options, bias=True, seed=seed).check().ok


@pytest.mark.parametrize("seed", range(5))
def test_a_right_convolution_of_one_image_passes(seed):
    def forward(x, F):
        return LAYER.forward(x[None], F)[0]

    def backward(x, F, g):
        dX, dF = LAYER.backward(x[None], F, g[None])
        return dX[0], dF

    few = [Geometry((2, 4, 5), (3, 2, 2, 3))]
    assert audit(*with_layout(forward, backward, "CHW,OIHW->OHW"), seed=seed, geometries=few).check().ok


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize("layout", ["NHWC,WHIO->NHWC", "NWHC,HWIO->NHWC", "NHWC,HWIO->NWHC"])
def test_the_audit_finds_a_layout_that_is_not_the_codes(layout):
    forward, _ = with_layout(channels_last(LAYER.forward), None, layout)
    assert not audit(forward).ok


# errors ---------------------------------------------------------------------------------------------------------------

NEAREST = {
    "NHWC,HWCO->NHWC": ('F has "C"; it needs O for the filter, I for its planes', "NHWC,HWIO->NHWC"),
    "HWCN,HWCN->HWCN": ('F has "C"', "HWCN,HWIO->HWCN"),
    "NCL,OIL->NCL": ('X has "L"; it needs N for the image, C for its planes, and W for 1 spatial', "NCW,OIW->NCW"),
    "NCH,OIH->NCH": ('X has "H"; it needs', "NCW,OIW->NCW"),
    "NCHD,OIHD->NOHD": ('X has "D"; it needs', "NCHW,OIHW->NOHW"),
    "nchw,oihw->nchw": ('X has "c"; it needs', "NCHW,OIHW->NCHW"),
    "BCHW,KCHW->BKHW": ('X has "B"; it needs', "NCHW,OIHW->NOHW"),
    "NHWC,HWIO->NHWX": ('S has "X"; it needs N for the image, O or C for the filter, and HW', "NHWC,HWIO->NHWO"),
    "N1HW,OIHW->NOHW": ('X has "1"; it needs', "NCHW,OIHW->NOHW"),
    "NCHW,OIHW->NCHWW": ("S has W twice; each letter comes once", "NCHW,OIHW->NCHW"),
    "NCHW,OIHW->NOCHW": ("S has both O and C, which mean the same in S", "NCHW,OIHW->NOHW"),
    "NCHW,OIHW->CHW": ("X has N but S has none", "NCHW,OIHW->NCHW"),
    "CHW,OIHW->NCHW": ("S has N but X has none", "CHW,OIHW->CHW"),
    "NHW,OIHW->NOHW": ("X lacks C", "NCHW,OIHW->NOHW"),
    "HW,HW->HW": ("X lacks C", "CHW,OIHW->OHW"),
    "NCHW,OIW->NOHW": ("F lacks H", "NCHW,OIHW->NOHW"),
    "N(CH),O(IHW)->N(OHW)": ("X lacks W", "N(CHW),O(IHW)->N(OHW)"),
}


@pytest.mark.parametrize("layout", NEAREST)
def test_a_wrong_layout_is_named_with_the_nearest(layout):
    said, nearest = NEAREST[layout]
    pattern = f'^layout is "{re.escape(layout)}", where {re.escape(said)}.*; the nearest layout is "(.*)"$'
    with pytest.raises(ShapeError, match=pattern) as caught:
        with_layout(LAYER.forward, None, layout)
    assert re.search(pattern, str(caught.value)).group(1) == nearest
    assert with_layout(LAYER.forward, None, nearest)


def test_every_suggestion_is_a_layout():
    generator = np.random.default_rng(1)
    for _ in range(500):
        words = ["".join(generator.choice(list("NCHWDOIBKLX"), generator.integers(1, 7))) for _ in range(3)]
        try:
            with_layout(None, None, "{},{}->{}".format(*words))
        except ShapeError as error:
            nearest = re.search(r'the nearest layout is "(.*)"$', str(error)).group(1)
            with_layout(None, None, nearest)


@pytest.mark.parametrize("layout", ["NCHW", "NCHW,OIHW", "NCHW->OIHW", "NCHW,OIHW,O->NOHW", "NCHW,->NOHW", "", "->"])
def test_a_layout_has_three_parts(layout):
    with pytest.raises(ShapeError, match=f'^layout is "{layout}"; it needs the axes of X, F and S in the form X,F->S'):
        with_layout(LAYER.forward, None, layout)


def test_a_layout_is_a_string():
    with pytest.raises(ShapeError, match=r"^layout is \('NCHW', 'OIHW', 'NCHW'\); it needs a string such as \"NHWC"):
        with_layout(LAYER.forward, None, ("NCHW", "OIHW", "NCHW"))


@pytest.mark.parametrize("part", ["N(CHW", "NCHW)", "N()CHW", "N((CH)W)", "N)C(HW"])
def test_parentheses_come_in_pairs(part):
    with pytest.raises(ShapeError, match=rf'the parentheses of X are "{re.escape(part)}"; each \( needs its own \)'):
        with_layout(LAYER.forward, None, f"{part},OIHW->NOHW")


def test_functions_are_functions():
    with pytest.raises(TypeError, match=r"^forward has type int; it needs a function of NumPy arrays"):
        with_layout(3, None, "NCHW,OIHW->NCHW")
    with pytest.raises(TypeError, match=r"^backward has type str; it needs a function of NumPy arrays"):
        with_layout(None, "backward", "NCHW,OIHW->NCHW")


def test_results_of_another_shape_are_refused_with_both_shapes():
    X, F, G = np.ones((2, 1, 3, 3)), np.ones((1, 1, 2, 2)), np.ones((2, 1, 2, 2))
    forward, backward = with_layout(lambda X, F: X[0], lambda X, F, G: (X, F[0]), "NHWC,HWIO->NHWO")
    with pytest.raises(
        ShapeError, match=r"^S has shape \(3, 3, 1\), which has 3 axes, but its layout NHWO has 4; return"
    ):
        forward(X, F)
    with pytest.raises(ShapeError, match=r"^dF has shape \(2, 1, 1\), which has 3 axes, but its layout HWIO has 4"):
        backward(X, F, G)
    forward, backward = with_layout(lambda X, F: X, lambda X, F, G: (G, F), "N(CHW),O(IHW)->N(OHW)")
    with pytest.raises(
        ShapeError,
        match=r"^S has shape \(2, 9\) with 9 entries on its axis \(OHW\), which needs 1 · 2 · 2 = 4; "
        "return all of O, H, W, or tell with_layout the stride",
    ):
        forward(X, F)
    with pytest.raises(
        ShapeError, match=r"^dX has shape \(2, 4\) with 4 entries .* 1 · 3 · 3 = 9; .* or change the layout"
    ):
        backward(X, F, G)
