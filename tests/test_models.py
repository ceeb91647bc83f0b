"""Published networks, what a layer costs, and what no model is; without PyTorch and without onnx."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jacobians import Geometry, jacobian_wrt_image
from jacobians.errors import DtypeError, ShapeError, TooLargeError
from jacobians.matrices import layer_size
from jacobians.models import ConvolutionLayer, layer, layers
from jacobians.models.published import NETWORKS
from jacobians.models.survey import Row, Survey
from tests.test_cli import run


def small_layer(dtype="float32"):
    geometry = Geometry((4, 9, 8), (6, 2, 3, 2), stride=(2, 1), padding=((1, 0), (0, 2)), groups=2)
    return ConvolutionLayer("conv", geometry, np.arange(72, dtype=dtype).reshape(geometry.filters))


# what a layer is and costs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8"])
def test_an_estimate_has_exactly_the_nonzeros_and_bytes_that_are_built(dtype):
    one = small_layer(dtype)
    cost, J = one.estimate(), one.matrix()
    assert (cost.shape, cost.nonzeros) == (J.shape, J.nnz)
    assert cost.bytes == J.data.nbytes + J.indices.nbytes + J.indptr.nbytes
    assert cost.seconds > 0
    assert cost.fits


@pytest.mark.parametrize("rows", [slice(0, 7), slice(5, 60), slice(3, 3)])
def test_the_size_of_a_block_of_rows_is_that_of_what_is_built(rows):
    one = small_layer()
    size, J = layer_size(one.geometry, one.F.dtype, rows), one.matrix(rows=rows)
    assert (size.shape, size.nonzeros, size.index_dtype) == (J.shape, J.nnz, J.indices.dtype)
    assert size.bytes == J.data.nbytes + J.indices.nbytes + J.indptr.nbytes


def test_an_estimate_of_what_no_machine_holds_takes_no_memory_and_does_not_fit():
    geometry = Geometry((4096, 512, 512), (4096, 4096, 3, 3), padding=1)
    F = np.broadcast_to(np.float32(1), geometry.filters)
    cost = ConvolutionLayer("huge", geometry, F).estimate()
    assert cost.nonzeros == 4096**2 * (3 * 512 - 2) ** 2
    assert cost.bytes == cost.nonzeros * (4 + 8) + (4096 * 512 * 512 + 1) * 8
    assert not cost.fits


def test_a_matrix_is_the_jacobian_in_whole_or_in_part():
    one = small_layer()
    whole = jacobian_wrt_image(one.F, one.geometry)
    assert (one.matrix() != whole).nnz == 0
    assert (one.matrix(rows=slice(10, 20)) != whole[10:20]).nnz == 0
    with pytest.raises(TooLargeError, match="GiB"):
        one.matrix(max_bytes=100)


def test_the_operator_multiplies_by_the_matrix():
    one = small_layer("int64")
    x = np.arange(one.geometry.pixels) % 11 - 5
    assert np.array_equal(one.operator() @ x, one.matrix() @ x)


def test_weights_that_are_not_the_geometrys_are_refused():
    one = small_layer()
    with pytest.raises(ShapeError, match="F has shape"):
        ConvolutionLayer("conv", one.geometry, one.F[:-1])
    with pytest.raises(ShapeError, match="b has shape"):
        ConvolutionLayer("conv", one.geometry, one.F, np.zeros(5))
    with pytest.raises(DtypeError, match="complex64"):
        ConvolutionLayer("conv", one.geometry, one.F * 1j)
    assert "array" not in repr(one)
    assert "float32" in repr(one)


# published networks ---------------------------------------------------------------------------------------------------

# Convolutions, weights and biases of them, and the last responses, as the papers and their code say. LeNet-5 is the
# paper's 156 + 48120, and C3 with all of its connections; U-Net is 31 030 658 without its up-convolutions; MobileNet-V2
# is 3 504 872 without batch normalisation and classifier.
FIGURES = {
    "lenet-5": (3, 156 + 16 * (6 * 25 + 1) + 48_120, (120, 1, 1)),
    "alexnet": (5, 34_944 + 307_456 + 885_120 + 663_936 + 442_624, (256, 13, 13)),
    "vgg-16": (13, 14_714_688, (512, 14, 14)),
    "resnet-50": (53, 23_454_912, (2048, 7, 7)),
    "mobilenet-v2": (52, 3_504_872 - 34_112 - 1_281_000, (1280, 7, 7)),
    "u-net": (19, 31_030_658 - sum(4 * 2 * n * n + n for n in (512, 256, 128, 64)), (2, 388, 388)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_published_network_has_as_many_layers_and_weights_as_it_was_published_with(name):
    found = list(layers(name))
    weights = sum(each.F.size + (0 if each.b is None else each.b.size) for each in found)
    assert (len(found), weights, found[-1].geometry.responses) == FIGURES[name]
    assert len({each.name for each in found}) == len(found)
    assert all(each.F.dtype == np.float32 for each in found)


def test_layers_follow_each_other():
    """Where nothing lies between two convolutions, one reads the responses of the other."""
    geometries = layers("resnet-50").geometries
    assert geometries["conv2_1a"].responses == geometries["conv2_1b"].image
    assert geometries["conv3_1_proj"].image == geometries["conv2_3c"].responses
    assert geometries["conv3_1_proj"].responses == geometries["conv3_1c"].responses


def test_draws_are_he_s_and_depend_on_the_seed_and_the_layer_alone():
    first, again, other = layers("vgg16"), list(layers("VGG 16", seed=0)), layers("vgg-16", seed=1)
    second = [next(first), next(first)][1]
    assert np.array_equal(second.F, again[1].F)
    assert not np.array_equal(next(other).F, again[0].F)
    last = again[-1]
    deviation = (2 / last.geometry.taps) ** 0.5
    # Of 2.4 million normal draws, the deviation is within five of its own deviations.
    assert abs(last.F.std() / deviation - 1) < 5 / (2 * last.F.size) ** 0.5
    assert last.b.any()


def test_another_image_makes_other_geometries_of_the_same_filters():
    of_224, of_64 = layers("mobilenet-v2").geometries, layers("mobilenet-v2", (3, 64, 48)).geometries
    assert [each.filters for each in of_224.values()] == [each.filters for each in of_64.values()]
    assert of_64["conv2"].image == (320, 2, 2)


@pytest.mark.parametrize(
    ("model", "image", "error", "said"),
    [
        ("vgg17", None, ValueError, r"vgg17.*lenet-5, alexnet, .*u-net; did you mean vgg-16\?"),
        ("", None, ValueError, "lenet-5"),
        ("vgg16", (1, 224, 224), ShapeError, "3 planes"),
        ("vgg16", (3, 224), ShapeError, "3 planes"),
        ("lenet5", (1, 8, 8), ShapeError, "lenet-5 takes no image"),
        ("vgg16", 224, ShapeError, "image is 224"),
        ("vgg16", (3, 0, 224), ShapeError, "image has shape"),
        (None, None, TypeError, "NoneType"),
        (ConvolutionLayer, None, TypeError, "class ConvolutionLayer"),
        ("no/such.onnx", None, FileNotFoundError, "no/such.onnx does not exist"),
        ("resnet.onnx", None, FileNotFoundError, "resnet.onnx does not exist"),
    ],
)
def test_what_is_no_model_is_refused(model, image, error, said):
    with pytest.raises(error, match=said):
        layers(model, image)


def test_a_seed_that_is_none_is_refused():
    with pytest.raises(ValueError, match="seed is -1"):
        layers("vgg16", seed=-1)


def test_a_file_without_onnx_names_the_extra(monkeypatch, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jacobians\[onnx\]'"):
        layers(tmp_path / "model.onnx")


def test_names_that_come_again_are_numbered():
    geometry = small_layer().geometry
    found = [layer.Found(name, geometry, lambda: (np.zeros(geometry.filters), None)) for name in ("a", "b", "a", "a")]
    made = layer.Layers(found, {})
    assert list(made.geometries) == [each.name for each in made] == ["a", "b", "a#2", "a#3"]


# Geometry.of ----------------------------------------------------------------------------------------------------------


def like_a_module(**given):
    options = {"in_channels": 4, "out_channels": 6, "kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}
    return SimpleNamespace(**(options | {"dilation": (1, 2), "groups": 2} | given))


def test_a_geometry_of_a_module_reads_its_options():
    expected = Geometry((4, 9, 8), (6, 2, 3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    assert Geometry.of(like_a_module(), (4, 9, 8)) == expected
    same = Geometry.of(like_a_module(padding="same", stride=(1, 1)), (4, 9, 8))
    assert same.padding == ((1, 1), (1, 1))
    assert Geometry.of(like_a_module(padding=(0, 0), padding_mode="circular"), (4, 9, 8)).padding == ((0, 0), (0, 0))


@pytest.mark.parametrize(
    ("module", "image", "error", "said"),
    [
        (like_a_module(padding_mode="circular"), (4, 9, 8), ShapeError, "circular"),
        (like_a_module(padding_mode="zigzag"), (4, 9, 8), ShapeError, "zigzag"),
        (like_a_module(padding=(1, 1), padding_mode="circular"), (4, 9, 8), ShapeError, "circular"),
        (like_a_module(transposed=True), (4, 9, 8), ShapeError, "transposed"),
        (like_a_module(in_channels=0), (4, 9, 8), ShapeError, "no weights yet"),
        (like_a_module(), (3, 9, 8), ShapeError, "image has 3 planes"),
        (like_a_module(), (4, 9), ShapeError, "spatial axis"),
        (SimpleNamespace(in_features=3), (4, 9, 8), TypeError, "SimpleNamespace"),
        (SimpleNamespace, (4, 9, 8), TypeError, "class SimpleNamespace"),
    ],
)
def test_what_has_no_geometry_is_refused(module, image, error, said):
    with pytest.raises(error, match=said):
        Geometry.of(module, image)


# the command ----------------------------------------------------------------------------------------------------------


def test_the_command_lists_layers_and_writes_the_record(capsys, monkeypatch, tmp_path):
    record = tmp_path / "layers.json"
    status, out, err = run(capsys, monkeypatch, "layers", "lenet5", "--json", str(record))
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert [line.split()[:4] for line in out.splitlines()[1:4]] == [
        ["c1", "1×32×32", "6×1×5×5", "6×28×28"],
        ["c3", "6×14×14", "16×6×5×5", "16×10×10"],
        ["c5", "16×5×5", "120×16×5×5", "120×1×1"],
    ]
    written = json.loads(record.read_text("utf-8"))
    assert [each["nonzeros"] for each in written["layers"]] == [117_600, 240_000, 48_000]
    assert written["layers"][1]["filters"] == [16, 6, 5, 5]
    assert all(each["fits"] and each["bias"] and each["seconds"] > 0 for each in written["layers"])
    assert written["passed_over"] == {"subsampling": 2, "fully connected": 2}


def test_the_page_shows_what_the_command_prints(capsys, monkeypatch):
    """All but the last column, which is of the machine."""
    page = (Path(__file__).parents[1] / "docs/how-to/models.md").read_text("utf-8")
    shown = [line.split()[:-1] for line in page.splitlines() if line.startswith(("layer  ", "conv1_"))]
    _, out, _ = run(capsys, monkeypatch, "layers", "vgg16")
    assert [line.split()[:-1] for line in out.splitlines()[:3]] == shown
    assert len(shown) == 3


def test_what_does_not_fit_is_said_with_what_to_do(monkeypatch):
    one = small_layer()
    rows = [Row("fits", one.geometry, True, one.estimate())]
    monkeypatch.setattr(layer, "available", lambda: 1000)
    rows.append(Row("a layer with a name that is longer than its column", one.geometry, True, one.estimate()))
    said = str(Survey(tuple(rows), {}))
    assert [line.split()[-1] for line in said.splitlines() if "4×9×8" in line] == ["yes", "no"]
    assert max(map(len, said.splitlines())) <= 80
    assert "1 of 2" in said
    assert "layer.operator()" in said
    assert "rows=slice" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["vgg17"], "did you mean vgg-16?"),
        (["no.onnx"], "no.onnx does not exist"),
        (["no.py:Net"], "no.py does not exist"),
        (["vgg16", "--image", "1x224x224"], "3 planes"),
        (["vgg16", "--image", "3x8x8"], "vgg-16 takes no image"),
        (["vgg16", "--image", "3,8,8"], "--image has '3,8,8'"),
        (["vgg16", "--image", "0x8x8"], "image has shape (0, 8, 8)"),
        (["vgg16", "--json", "no/folder/x.json"], "in a folder that does not exist"),
        ([], "Missing argument"),
    ],
)
def test_what_the_command_cannot_use_ends_with_one_line_and_status_2(capsys, monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, monkeypatch, "layers", *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert not arguments or err.count("\n") == 1
