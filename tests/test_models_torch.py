"""Layers of PyTorch modules: against what the modules compute, exactly, on integers."""

import itertools
import sys

import numpy as np
import pytest

from jacobians import Geometry, convolve
from jacobians.errors import DtypeError, ShapeError
from jacobians.models import layers
from tests.oracle import assert_same
from tests.test_cli import run

torch = pytest.importorskip("torch", reason="the torch extra is not installed: pip install 'jacobians[torch]'")
nn = torch.nn

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


def with_integers(model, seed=0):
    """Give a model small integers as weights, in float64: what it computes is exact."""
    generator = torch.Generator().manual_seed(seed)
    for each in model.parameters():
        each.data = torch.randint(-9, 10, each.shape, generator=generator).double()
    return model.double()


def images_and_responses(model, image):
    """What every convolution reads and gives in one forward pass on an image of integers."""
    seen = []
    convolutions = [each for each in model.modules() if isinstance(each, (nn.Conv1d, nn.Conv2d, nn.Conv3d))]
    handles = [
        each.register_forward_hook(
            lambda module, given, named, result: seen.append(((*given, *named.values())[0][0], result[0])),
            with_kwargs=True,
        )
        for each in convolutions
    ]
    X = torch.randint(-9, 10, (1, *image), generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        model(X)
    for each in handles:
        each.remove()
    return [(X.numpy(), S.numpy()) for X, S in seen]


class Residual(nn.Module):
    """A convolution that is called twice, and one whose weights another one shares."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.again = nn.Conv2d(4, 4, (3, 2), padding="same", bias=False)
        self.shared = nn.Conv2d(4, 4, (3, 2), dilation=(1, 2), bias=False)
        self.shared.weight = self.again.weight
        self.up = nn.ConvTranspose2d(4, 4, 2)

    def forward(self, X):
        X = self.again(self.first(X).relu())
        return self.up(self.shared(input=self.again(X) + X))


MODELS = {
    "strided, dilated and grouped": (
        lambda: nn.Sequential(nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), groups=2), nn.ReLU(),
                              nn.Conv2d(6, 6, 3, dilation=(2, 1), groups=6, padding="valid")),
        (4, 11, 9),
    ),
    "same padding with even taps": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, (4, 3), padding="same", dilation=(1, 3)), nn.Conv2d(3, 2, 2, padding="same")
        ),
        (2, 7, 8),
    ),
    "one axis": (lambda: nn.Sequential(nn.Conv1d(2, 3, 4, padding="same"), nn.Conv1d(3, 2, 3, stride=2)), (2, 13)),
    "three axes": (lambda: nn.Conv3d(2, 3, (1, 2, 3), padding=(0, 1, 2), stride=(1, 2, 1)), (2, 3, 4, 5)),
    "called twice, and shared": (Residual, (3, 9, 8)),
    "a convolution alone": (lambda: nn.Conv2d(1, 2, 3), (1, 5, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_layer_computes_what_the_module_computes_exactly(name):
    make, image = MODELS[name]
    model = with_integers(make())
    found, seen = list(layers(model, image)), images_and_responses(model, image)
    assert len(found) == len(seen)
    for layer, (X, S) in zip(found, seen, strict=True):
        assert layer.F.dtype == np.float64
        assert_same(convolve(X, layer.F, layer.geometry, bias=layer.b), S)


def test_names_are_those_of_the_module_and_a_second_call_is_numbered():
    found = layers(with_integers(Residual()), (3, 9, 8))
    assert list(found.geometries) == ["first", "again", "again#2", "shared"]
    assert found.passed_over == {"ConvTranspose2d": 1}
    assert [layer.b is None for layer in found] == [False, True, True, True]
    (alone,) = layers(nn.Conv1d(1, 1, 2), (1, 4))
    assert alone.name == "Conv1d"


def test_the_weights_are_copies_of_those_at_the_time_when_a_layer_is_asked_for():
    model = nn.Sequential(nn.Conv1d(1, 1, 1), nn.Conv1d(1, 1, 1))
    found = layers(model, (1, 4))
    first = next(found)
    before = first.F.copy()
    with torch.no_grad():
        model[0].weight += 1
        model[1].weight.fill_(7)
    assert np.array_equal(first.F, before)
    assert next(found).F == 7


class Refusing(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)

    def forward(self, X):
        assert not self.training
        assert not torch.is_grad_enabled()
        return self.norm(self.conv(X)).reshape(-1, 100)


@pytest.mark.parametrize("image", [(3, 12, 12), (3, 5, 5), (4, 12, 12)])
def test_a_module_is_left_as_it_was_also_where_its_forward_pass_fails(image):
    model = Refusing()
    model.train()
    model.norm.eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    if image == (3, 12, 12):
        assert len(list(layers(model, image))) == 1
    else:
        with pytest.raises(ValueError, match=r"forward pass of Refusing fails on an image of shape \(\d, \d+, \d+\)"):
            layers(model, image)
    assert [each.training for each in model.modules()] == [True, True, False]
    assert not any(each._forward_hooks for each in model.modules())
    assert torch.is_grad_enabled()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_a_padding_mode_other_than_zeros_is_refused_with_its_name_and_the_layers(mode):
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1, padding_mode=mode))
    with pytest.raises(ShapeError, match=f"^1: .*{mode}"):
        layers(model, (1, 5, 5))
    (unpadded,) = layers(nn.Conv2d(1, 1, 3, padding_mode=mode), (1, 5, 5))
    assert unpadded.geometry == Geometry((1, 5, 5), (1, 1, 3, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32_with_the_same_values(dtype):
    model = nn.Conv2d(2, 3, 2).to(dtype)
    (layer,) = layers(model, (2, 4, 4))
    assert (layer.F.dtype, layer.b.dtype) == (np.float32, np.float32)
    assert torch.equal(torch.from_numpy(layer.F).to(dtype), model.weight)
    assert np.array_equal(layer.F, model.weight.detach().double().numpy())


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 3, dtype=torch.cfloat)), DtypeError, "weight of 0 .*complex64"),
        (lambda: nn.Sequential(torch.ao.nn.quantized.Conv2d(1, 2, 3)), DtypeError, "0 is a quantised Conv2d"),
        (lambda: nn.Sequential(nn.ReLU(), nn.LazyConv2d(2, 3)), ValueError, "1 is a LazyConv2d that has no weights"),
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), ValueError, "1 is a LazyLinear"),
        (lambda: nn.Linear(3, 4), ValueError, "forward pass of Linear fails"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor, torch.quantize_per_channel")
@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
def test_what_cannot_be_read_is_refused(make, error, said):
    model = make()
    training = [each.training for each in model.modules()]
    with pytest.raises(error, match=said):
        layers(model, (1, 5, 5))
    assert [each.training for each in model.modules()] == training


def test_the_class_of_a_module_is_no_model():
    with pytest.raises(TypeError, match="class Conv2d"):
        layers(nn.Conv2d)


def test_weights_without_numbers_give_geometries_and_no_layers():
    with torch.device("meta"):
        found = layers(nn.Conv2d(1, 2, 3), (1, 5, 5))
    assert found.geometries == {"Conv2d": Geometry((1, 5, 5), (2, 1, 3, 3))}
    with pytest.raises(ValueError, match="weight of Conv2d is on the device meta"):
        next(found)


class Standardised(nn.Conv2d):
    """Weights that are not those it multiplies by: what a reader of its attributes gets wrong."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.inside = nn.Identity()

    def forward(self, X):
        return nn.functional.conv2d(X, self.weight - self.weight.mean(), self.bias)


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.own, self.unused = nn.Conv2d(1, 1, 2), Standardised(1, 1, 2), nn.Conv2d(1, 1, 2)

    def forward(self, X):
        return nn.functional.conv2d(self.own(self.conv(X)), self.conv.weight)


def test_convolutions_that_cannot_be_read_are_passed_over_and_named():
    found = layers(Mixed(), (1, 6, 6))
    assert [layer.name for layer in found] == ["conv"]
    assert found.passed_over == {
        "Standardised with a forward pass of its own": 1,
        "Identity": 1,
        "Conv2d that is not called": 1,
        "convolution that is called as a function": 2,
    }


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("compiled", [torch.jit.script, lambda model: torch.jit.trace(model, torch.zeros(1, 1, 6, 6))])
def test_convolutions_of_a_compiled_module_are_passed_over_and_named(compiled):
    found = layers(compiled(nn.Sequential(nn.Conv2d(1, 1, 2), nn.ConvTranspose2d(1, 1, 2))), (1, 6, 6))
    assert found.geometries == {}
    assert found.passed_over["convolution that is called as a function"] == 1


def test_parametrised_weights_are_those_that_are_multiplied_by():
    model = nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 2, 2))
    with torch.no_grad():
        model.parametrizations.weight.original0 *= 3
    (layer,) = layers(model, (1, 4, 4))
    assert np.array_equal(layer.F, model.weight.detach().numpy())


# published networks, as they are usually written in PyTorch -----------------------------------------------------------


def vgg_16():
    rows = [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512]
    planes = [3, *filter(None, rows)]
    convolutions = (nn.Conv2d(d, n, 3, padding=1) for d, n in itertools.pairwise(planes))
    return nn.Sequential(*(nn.Sequential(next(convolutions), nn.ReLU()) if n else nn.MaxPool2d(2) for n in rows))


class Bottleneck(nn.Module):
    def __init__(self, d, n, stride, *, first):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(d, n, 1, stride, bias=False), nn.BatchNorm2d(n), nn.ReLU()),
            *(nn.Conv2d(n, n, 3, padding=1, bias=False), nn.BatchNorm2d(n), nn.ReLU()),
            *(nn.Conv2d(n, 4 * n, 1, bias=False), nn.BatchNorm2d(4 * n)),
        )
        self.shortcut = nn.Conv2d(d, 4 * n, 1, stride, bias=False) if first else nn.Identity()

    def forward(self, X):
        return nn.functional.relu(self.body(X) + self.shortcut(X))


def resnet_50():
    blocks, d = [], 64
    for n, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for number in range(count):
            blocks.append(Bottleneck(d, n, 2 if number == 0 and n > 64 else 1, first=number == 0))
            d = 4 * n
    stem = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    return nn.Sequential(*stem, *blocks)


class Inverted(nn.Module):
    def __init__(self, d, n, stride, factor):
        super().__init__()
        wide = d * factor
        expand = [nn.Conv2d(d, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()] if factor > 1 else []
        filtered = nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()
        self.body = nn.Sequential(*expand, *filtered, nn.Conv2d(wide, n, 1, bias=False), nn.BatchNorm2d(n))
        self.skips = stride == 1 and d == n

    def forward(self, X):
        return X + self.body(X) if self.skips else self.body(X)


def mobilenet_v2():
    rows = (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    blocks, d = [nn.Conv2d(3, 32, 3, 2, 1, bias=False)], 32
    for factor, n, count, stride in rows:
        for number in range(count):
            blocks.append(Inverted(d, n, stride if number == 0 else 1, factor))
            d = n
    return nn.Sequential(*blocks, nn.Conv2d(320, 1280, 1, bias=False))


@pytest.mark.parametrize(
    ("name", "make"), [("vgg-16", vgg_16), ("resnet-50", resnet_50), ("mobilenet-v2", mobilenet_v2)]
)
def test_a_published_network_has_the_geometries_of_the_same_network_in_pytorch(name, make):
    """On the device meta, where a forward pass computes shapes alone."""
    with torch.device("meta"):
        found = layers(make(), (3, 224, 192))
    assert list(found.geometries.values()) == list(layers(name, (3, 224, 192)).geometries.values())


def test_pytorch_is_not_needed_to_name_a_network(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert len(list(layers("lenet-5"))) == 3


# the command ----------------------------------------------------------------------------------------------------------

FILE = """
import torch

class Net(torch.nn.Sequential):
    def __init__(self, planes=1):
        super().__init__(torch.nn.Conv2d(planes, 2, 3), torch.nn.Flatten(), torch.nn.Linear(2 * 4 * 5, 3))

net = Net(3)
flat = torch.nn.Flatten()
seven = lambda: 7
def needs(planes): return Net(planes)
"""


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["net", "--image", "3x6x7"], 0, "3×6×7"),
        (["Net", "--image", "1x6x7"], 0, "Linear"),
        (["net"], 2, "forward pass of Net fails on an image of shape (3, 224, 224)"),
        (["flat"], 2, "there is no convolution in"),
        (["seven"], 2, "is no torch.nn.Module"),
        (["needs"], 2, "cannot be called without arguments"),
        (["nets"], 2, "has no function 'nets'; did you mean Net?"),
    ],
)
def test_the_command_reads_modules_of_python_files(capsys, monkeypatch, tmp_path, arguments, status, said):
    (tmp_path / "nets.py").write_text(FILE)
    name, *options = arguments
    ended, out, err = run(capsys, monkeypatch, "layers", f"{tmp_path / 'nets.py'}:{name}", *options)
    assert ended == status
    assert said in out + err
    assert len(err.splitlines()) == (status != 0)
