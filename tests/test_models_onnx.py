"""Layers of ONNX files: of what PyTorch exports, of every option of Conv, and of files that are broken."""

import re
import warnings

import numpy as np
import pytest

from jacobians import Geometry, convolve
from jacobians.errors import DtypeError, ShapeError
from jacobians.models import layers, onnx_files
from tests.oracle import assert_same
from tests.test_cli import run

onnx = pytest.importorskip("onnx", reason="the onnx extra is not installed: pip install 'jacobians[onnx]'")
from onnx.reference import ReferenceEvaluator  # noqa: E402

helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT

UPPER, LOWER = {"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}
F = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)


def tensor(name, array):
    return onnx.numpy_helper.from_array(np.asarray(array), name)


def image_of(*shape, name="X"):
    return helper.make_tensor_value_info(name, FLOAT, shape)


W = [tensor("w", F)]


def conv(name="conv", X="X", weight="w", S="S", **attributes):
    inputs = [each for each in (X, *weight.split(",")) if each]
    return helper.make_node("Conv", inputs, [S], name=name, **attributes)


def model_of(nodes, tensors, inputs=None, *, outputs=("S",), opsets=(), **given):
    inputs = [image_of(1, 3, 6, 7)] if inputs is None else inputs
    results = [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "graph", inputs, results, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), *opsets], **given)


@pytest.fixture
def saved(tmp_path):
    def save(*parts, file="model.onnx", **given):
        onnx.save_model(model_of(*parts, **given), tmp_path / file)
        return tmp_path / file

    return save


# what a file says -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "filters", "attributes", "options"),
    [
        ((3, 6, 7), (2, 3, 2, 2), {}, {}),
        (
            (4, 9, 8),
            (6, 2, 3, 2),
            {"pads": [1, 0, 0, 2], "strides": [2, 1], "dilations": [1, 3], "group": 2, "kernel_shape": [3, 2]},
            {"padding": ((1, 0), (0, 2)), "stride": (2, 1), "dilation": (1, 3), "groups": 2},
        ),
        ((3, 6, 7), (2, 3, 2, 3), UPPER, {"padding": ((0, 1), (1, 1))}),
        ((3, 6, 7), (2, 3, 2, 3), LOWER, {"padding": ((1, 0), (1, 1))}),
        ((3, 6, 7), (2, 3, 2, 4), UPPER | {"strides": [3, 2]}, {"padding": ((0, 0), (1, 2)), "stride": (3, 2)}),
        ((3, 6, 7), (2, 3, 2, 4), LOWER | {"strides": [3, 2]}, {"padding": ((0, 0), (2, 1)), "stride": (3, 2)}),
        ((3, 6, 7), (2, 3, 2, 2), UPPER | {"dilations": [3, 2]}, {"padding": ((1, 2), (1, 1)), "dilation": (3, 2)}),
        ((3, 6, 7), (2, 3, 2, 2), {"auto_pad": "VALID", "pads": [0, 0, 0, 0]}, {}),
        ((2, 9), (3, 2, 4), {"pads": [2, 1], "strides": [2]}, {"padding": ((2, 1),), "stride": 2}),
        ((2, 4, 5, 6), (3, 2, 1, 2, 3), {"pads": [0, 1, 2, 0, 1, 2]}, {"padding": (0, 1, 2)}),
    ],
)  # fmt: skip
def test_every_option_of_a_conv_is_read(saved, image, filters, attributes, options):
    """The evaluator of onnx computes the same responses from the same integers, exactly."""
    draw = np.random.default_rng(0)
    weights, biases, X = (draw.integers(-9, 10, shape).astype("f") for shape in (filters, filters[:1], image))
    tensors = [tensor("w", weights), tensor("b", biases)]
    file = saved([conv(weight="w,b", **attributes)], tensors, [image_of(1, *image)])
    (layer,) = layers(file)
    assert layer.geometry == Geometry(image, filters, **options)
    (S,) = ReferenceEvaluator(onnx.load_model(file)).run(None, {"X": X[None]})
    assert_same(convolve(X, layer.F, layer.geometry, bias=layer.b), S[0])


def test_layers_come_in_order_behind_other_operators_which_are_named(saved):
    nodes = [
        conv("first", S="a"),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2]),
        conv("second", "p", "v", "c"),
        helper.make_node("ConvTranspose", ["c", "v"], ["S"]),
    ]
    found = layers(saved(nodes, [tensor("w", F), tensor("v", F[:, :2])]))
    assert found.passed_over == {"Relu": 1, "MaxPool": 1, "ConvTranspose": 1}
    assert {name: each.image for name, each in found.geometries.items()} == {"first": (3, 6, 7), "second": (2, 4, 5)}
    assert [each.F.shape for each in found] == [(2, 3, 2, 2), (2, 2, 2, 2)]
    assert next(found, None) is None


def test_weights_may_be_constants_and_shared(saved):
    nodes = [
        helper.make_node("Constant", [], ["k"], value=tensor("", F)),
        helper.make_node("Identity", ["k"], ["same"]),
        conv("", weight="k", S="a"),
        conv("", weight="same", S="S"),
    ]
    first, second = layers(saved(nodes, []))
    assert np.array_equal(first.F, F)
    assert np.array_equal(second.F, F)
    assert (first.name, second.name) == ("a", "S")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_weights_keep_their_values_in_every_precision(saved, dtype):
    import ml_dtypes

    wanted = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    element = helper.np_dtype_to_tensor_dtype(wanted)
    inputs = [helper.make_tensor_value_info("X", element, (1, 3, 6, 7))]
    (layer,) = layers(saved([conv()], [helper.make_tensor("w", element, F.shape, (F / 7).ravel())], inputs))
    assert layer.F.dtype == (np.float64 if dtype == "float64" else np.float32)
    assert np.array_equal(layer.F, (F / 7).astype(wanted).astype(np.float64))


def test_biases_may_be_a_constant_of_floats(saved):
    nodes = [helper.make_node("Constant", [], ["b"], value_floats=[1.0, 2.0]), conv(weight="w,b")]
    (layer,) = layers(saved(nodes, W))
    assert layer.b.tolist() == [1, 2]


def test_functions_of_a_file_are_written_out(saved):
    body = [conv("inner", "x", "f", "s")]
    function = helper.make_function("own", "Layer", ["x", "f"], ["s"], body, [helper.make_opsetid("", 18)])
    file = saved([helper.make_node("Layer", ["X", "w"], ["S"], domain="own")], [tensor("w", F)],
                 opsets=[helper.make_opsetid("own", 1)], functions=[function])  # fmt: skip
    (layer,) = layers(file)
    assert layer.geometry == Geometry((3, 6, 7), F.shape)


# shapes that a file leaves open ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "image", "expected"),
    [
        (("batch", 3, "h", "w"), None, (3, 224, 224)),
        (("batch", 3, "h", "w"), (3, 10, 12), (3, 10, 12)),
        ((8, 3, 10, None), (3, 10, 12), (3, 10, 12)),
        (("batch", 3, 10, 12), None, (3, 10, 12)),
        (None, (3, 10, 12), (3, 10, 12)),
    ],
)
def test_what_a_file_leaves_open_is_taken_from_the_image(saved, shape, image, expected):
    inputs = [helper.make_tensor_value_info("X", FLOAT, shape)]
    (layer,) = layers(saved([conv()], [tensor("w", F)], inputs), image)
    assert layer.geometry.image == expected


def test_what_was_inferred_for_an_open_shape_is_inferred_again(saved):
    file = saved(
        [conv(S="a"), conv("next", "a", "v")], [tensor("w", F), tensor("v", F[:, :2])], [image_of("n", 3, "h", "w")]
    )
    onnx.save_model(onnx.shape_inference.infer_shapes(onnx.load_model(file)), file)
    assert [each.geometry.image for each in layers(file, (3, 9, 8))] == [(3, 9, 8), (2, 8, 7)]


@pytest.mark.parametrize(
    ("shape", "image", "said"),
    [
        ((1, 3, 6, 7), (3, 6, 8), r"image is \(3, 6, 8\), but the input 'X' of .* takes 3×6×7"),
        (("n", 3, "h", 7), (3, 6), r"takes 3×\?×7"),
        (("n", 3, "length"), None, r"takes 3×\?; give the shape of an image"),
        (("n", "h", "w", 3), None, r"takes \?×\?×3; give the shape of an image"),
    ],
)
def test_an_image_that_a_file_does_not_take_is_refused(saved, shape, image, said):
    with pytest.raises(ShapeError, match=said):
        layers(saved([conv()], [tensor("w", F)], [image_of(*shape)]), image)


# faults ---------------------------------------------------------------------------------------------------------------

UNKNOWN = helper.make_node("Mystery", ["X"], ["m"], name="riddle", domain="com.acme")
OWN = helper.make_opsetid("com.acme", 1)


def test_unknown_operators_are_passed_over_where_the_file_says_what_shapes_they_give(saved):
    file = saved([UNKNOWN, conv(X="m")], [tensor("w", F)], opsets=[OWN])
    model = onnx.load_model(file)
    model.graph.value_info.append(image_of(1, 3, 5, 5, name="m"))
    onnx.save_model(model, file)
    found = layers(file)
    assert found.passed_over == {"com.acme.Mystery": 1}
    assert [each.geometry.image for each in found] == [(3, 5, 5)]


def test_an_unknown_operator_behind_the_convolutions_does_not_matter(saved):
    after = helper.make_node("Mystery", ["a"], ["S"], domain="com.acme")
    found = layers(saved([conv(S="a"), after], [tensor("w", F)], opsets=[OWN]))
    assert (len(list(found)), found.passed_over) == (1, {"com.acme.Mystery": 1})


IF = helper.make_node(
    "If", ["yes"], ["S"],
    then_branch=helper.make_graph([conv(S="t")], "then", [], [helper.make_tensor_value_info("t", FLOAT, None)]),
    else_branch=helper.make_graph([conv(S="e")], "else", [], [helper.make_tensor_value_info("e", FLOAT, None)]),
)  # fmt: skip


def test_convolutions_in_branches_are_named(saved):
    found = layers(saved([IF], [tensor("w", F), tensor("yes", np.array(True))]))
    assert (list(found), found.passed_over) == ([], {"If": 1, "Conv inside of If": 2})


FAULTS = {
    "an unknown operator before": (
        ([UNKNOWN, helper.make_node("Relu", ["m"], ["r"]), conv(X="r")], W),
        ValueError,
        "'r', the image of the node 'conv' .*'riddle', of the operator com.acme.Mystery",
    ),
    "an image from nowhere": (([conv(X="nowhere")], W), ValueError, "'nowhere'"),
    "filters that are an input": (
        ([conv()], [], [image_of(1, 3, 6, 7), image_of(2, 3, 2, 2, name="w")]),
        ValueError,
        "F, the input 'w' of the node 'conv' .* is an input of the file",
    ),
    "filters that are computed": (
        ([helper.make_node("Neg", ["w"], ["n"], name="minus"), conv(weight="n")], W),
        ValueError,
        "computed by the node 'minus'",
    ),
    "filters from nowhere": (([conv(weight="v")], W), ValueError, "'v' .* is not in the file"),
    "quantised filters": (
        ([helper.make_node("DequantizeLinear", ["q", "scale"], ["f"], name="scaled"), conv(weight="f")],
         [tensor("q", F.astype(np.int8)), tensor("scale", np.float32(0.5))]),
        DtypeError,
        "quantised",
    ),
    "a quantised convolution": (
        ([helper.make_node("ConvInteger", ["X", "w"], ["S"], name="q")], [tensor("w", F.astype(np.int8))]),
        DtypeError,
        "node 'q' .* is a quantised convolution, a ConvInteger",
    ),
    "no filters": (([helper.make_node("Conv", ["X"], ["S"], name="bare")], W), ValueError, "'bare'"),
    "other planes": (([conv()], [tensor("w", F[:, :2])]), ShapeError, "node 'conv' .*2 planes per filter"),
    "filters without taps": (([conv()], [tensor("w", F[0, 0])]), ShapeError, "node 'conv'"),
    "other taps": (([conv(kernel_shape=[3, 2])], W), ShapeError, r"kernel_shape is \(3, 2\)"),
    "pads of one side": (([conv(pads=[1, 1])], W), ShapeError, r"pads is \[1, 1\]"),
    "negative pads": (([conv(pads=[-1, 0, 0, 0])], W), ShapeError, "-1"),
    "two paddings": (([conv(pads=[1, 1, 1, 1], auto_pad="VALID")], W), ShapeError, "VALID.*contradict"),
    "a word that is none": (([conv(auto_pad="SAME")], W), ShapeError, "auto_pad is b'SAME'"),
    "an unknown attribute": (([conv(stride=[2, 2])], W), ShapeError, "no attribute 'stride'; did you mean strides"),
    "biases of other filters": (
        ([conv(weight="w,b")], [*W, tensor("b", F[0, 0, 0, :1])]),
        ShapeError,
        r"node 'conv' .* b has shape \(1,\)",
    ),
    "strides of one axis": (([conv(strides=[2])], W), ShapeError, "stride has 1 entries"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_that_cannot_be_used_is_refused_with_the_node(saved, name):
    parts, error, said = FAULTS[name]
    with pytest.raises(error, match=said) as raised:
        layers(saved(*parts, opsets=[OWN]))
    assert "\n" not in str(raised.value)
    assert "model.onnx" in str(raised.value)


@pytest.mark.parametrize("name", ["S", "a"])
def test_a_file_that_says_other_shapes_than_it_computes_is_refused(saved, name):
    nodes = [conv(S="a"), helper.make_node("Relu", ["a"], ["r"]), conv("next", "r", "v")]
    file = saved(nodes, [*W, tensor("v", F[:, :2])])
    model = onnx.load_model(file)
    model.graph.value_info.append(image_of(1, 2, 9, 9, name=name))
    onnx.save_model(model, file)
    with pytest.raises(
        ValueError,
        match=rf"model.onnx contradicts itself: '{name}' is \(1, 2, \d, \d\), but the file says \(1, 2, 9, 9\)",
    ):
        layers(file)


def test_a_reader_that_pads_wrongly_is_noticed(saved, monkeypatch):
    monkeypatch.setattr(onnx_files, "_same", lambda *sizes, upper: (0, 0))
    with pytest.raises(ValueError, match=r"responses of shape \(2, 5, 6\), but onnx infers \(2, 6, 7\)"):
        layers(saved([conv(**UPPER)], W))


def cut(content, count):
    return content[: len(content) * count // 4]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: b"",
        lambda whole: b"no protobuf at all",
        lambda whole: b"\x00" * 100,
        *(lambda whole, count=count: cut(whole, count) for count in (1, 2, 3)),
        lambda whole: whole[:-1],
        lambda whole: whole[:50] + bytes(255 - each for each in whole[50:80]) + whole[80:],
    ],
)
def test_bytes_that_are_no_onnx_file_are_refused(saved, spoil):
    file = saved([conv()], W)
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(ValueError, match=r"model\.onnx") as raised:
        list(layers(file))
    assert "\n" not in str(raised.value)


def test_no_byte_that_is_lost_or_wrong_ends_in_another_error(saved):
    """Whatever a byte of the file is changed to, either layers are read or one clear error is raised."""
    whole = (file := saved([conv(pads=[1, 1, 1, 1])], [tensor("w", F[:, :1])], [image_of(1, 1, 6, 7)])).read_bytes()
    said = []
    for place in range(0, len(whole), 3):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            list(layers(file, (1, 6, 7)))
        except (ValueError, DtypeError, MemoryError, OverflowError) as error:
            said.append(str(error))
    assert all(said)
    assert len(set(said)) > 5


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no file"):
        layers(tmp_path)


# weights beside the file ----------------------------------------------------------------------------------------------


def with_external_data(file):
    onnx.save_model(onnx.load_model(file), file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return file.parent / "weights.bin"


def test_weights_in_a_file_beside_it_are_read_when_a_layer_is_asked_for(saved):
    file = saved([conv()], W)
    beside = with_external_data(file)
    (layer,) = layers(file)
    assert np.array_equal(layer.F, F)
    beside.write_bytes(beside.read_bytes()[:-4])
    found = layers(file)
    assert len(found.geometries) == 1
    with pytest.raises(ValueError, match=r"the array 'w' .* is broken or missing"):
        next(found)
    beside.unlink()
    with pytest.raises(ValueError, match=r"the array 'w' .* is broken or missing"):
        list(layers(file))


@pytest.mark.parametrize("how", ["a path upwards", "a whole path", "a link", "a zero byte"])
def test_nothing_outside_of_the_folder_is_read(saved, tmp_path, how):
    file = saved([conv()], W)
    beside = with_external_data(file)
    outside = tmp_path / "secret.bin"
    outside.write_bytes(beside.read_bytes())
    folder = tmp_path / "folder"
    folder.mkdir()
    inside = file.rename(folder / file.name)
    location = {"a path upwards": "../secret.bin", "a whole path": str(outside), "a link": "link.bin"}.get(how, "a\0b")
    (folder / "link.bin").symlink_to(outside)
    model = onnx.load_model(inside, load_external_data=False)
    next(each for each in model.graph.initializer[0].external_data if each.key == "location").value = location
    inside.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"the array 'w' .* outside of the file's folder"):
        list(layers(inside))


# the command ----------------------------------------------------------------------------------------------------------


def test_the_command_lists_the_layers_of_a_file(capsys, monkeypatch, saved):
    file = saved([conv(), helper.make_node("Relu", ["S"], ["r"])], W, [image_of("n", 3, "h", "w")])
    status, out, err = run(capsys, monkeypatch, "layers", str(file), "--image", "3x6x7")
    assert (status, err) == (0, "")
    assert out.splitlines()[1].split()[:4] == ["conv", "3×6×7", "2×3×2×2", "2×5×6"]
    assert "Passed over: Relu" in out


@pytest.mark.parametrize("name", ["an unknown operator before", "quantised filters", "filters that are an input"])
def test_a_file_that_the_command_cannot_use_ends_with_one_line_and_status_2(capsys, monkeypatch, saved, name):
    parts, _, said = FAULTS[name]
    status, out, err = run(capsys, monkeypatch, "layers", str(saved(*parts, opsets=[OWN])))
    assert (status, out) == (2, "")
    assert re.search(said, err)
    assert len(err.splitlines()) == 1


# both ways ------------------------------------------------------------------------------------------------------------


def test_a_model_of_pytorch_and_its_export_give_equal_layers(tmp_path):
    torch = pytest.importorskip("torch", reason="the torch extra is not installed: pip install 'jacobians[torch]'")
    first = torch.nn.Conv2d(3, 4, (3, 2), stride=2, padding=(1, 2), dilation=(1, 2))
    second = torch.nn.Conv2d(4, 6, 3, padding="same", groups=2, bias=False)
    model = torch.nn.Sequential(first, torch.nn.ReLU(), second)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, torch.zeros(1, 3, 9, 8), tmp_path / "model.onnx", dynamo=False)
    of_module, of_file = layers(model, (3, 9, 8)), layers(tmp_path / "model.onnx")
    assert of_module.geometries == of_file.geometries
    assert len(of_file.geometries) == 2
    for one, other in zip(of_module, of_file, strict=True):
        assert (one.name, one.F.dtype) == (other.name, other.F.dtype)
        assert np.array_equal(one.F, other.F)
        assert (one.b is None) == (other.b is None)
        assert one.b is None or np.array_equal(one.b, other.b)
