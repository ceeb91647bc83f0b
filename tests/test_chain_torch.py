"""Classifiers written in PyTorch, read as chains: products with the Jacobian are those of ``torch.func``, exactly."""

import copy
import math

import numpy as np
import pytest

from jacobians.chain import AveragePool, BatchNorm, Chain, Convolution, Sum
from jacobians.errors import DtypeError, ShapeError
from jacobians.evidence.exact import exact_limit
from tests.oracle import assert_same

torch = pytest.importorskip("torch", reason="the torch extra is not installed: pip install 'jacobians[torch]'")
nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # in torch.func

# The least common multiple of all numbers of places of a window here: what is shared out is not rounded.
SHARED = math.lcm(*range(1, 13))


def integer_weights(module, seed):
    """Give a module integers for weights, and variances whose roots are powers of 2 with ε."""
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.tensor(generator.integers(-3, 4, parameter.shape)))
        for layer in module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eps = 1.0
                layer.running_mean.copy_(torch.tensor(generator.integers(-5, 6, layer.num_features)))
                layer.running_var.copy_(torch.tensor(generator.choice([0, 3, 15], layer.num_features)))
    return module.double().eval()


def vgg():
    return nn.Sequential(
        nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(6, 8, (3, 2), padding="same", dilation=(1, 2), groups=2, bias=False),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
        ),
        nn.AvgPool2d(2, stride=1),
        nn.AdaptiveAvgPool2d((1, 2)),
        nn.Flatten(),
        nn.Linear(16, 7),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(7, 5),
    )


class Block(nn.Module):
    """The basic block of He et al. 2016."""

    def __init__(self, before, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(before, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU()
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(before, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + self.shortcut(x))


BLOCKS = {
    Block: lambda block: [
        ([block.conv1, block.bn1, block.relu, block.conv2, block.bn2], block.shortcut),
        block.relu,
    ]
}


def resnet():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=1, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
        Block(4, 4),
        Block(4, 6, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )


CLASSIFIERS = {"vgg": (vgg, (3, 12, 10)), "resnet": (resnet, (3, 8, 16))}


def check_products(module, chain, X, *, v, g):
    """The value, J v and vᵀ J, for one image."""

    def forward(x):
        return module(x[None])[0]

    x = torch.tensor(X)
    value, right = torch.func.jvp(forward, (x,), (torch.tensor(v).reshape(X.shape),))
    _, pull = torch.func.vjp(forward, x)
    (left,) = pull(torch.tensor(g).reshape(value.shape))
    operator = chain.operator(X)
    assert_same(chain(X), value.detach().numpy())
    assert_same(operator @ v, right.detach().numpy().ravel())
    assert_same(g @ operator, left.detach().numpy().ravel())
    assert operator.dtype == X.dtype


def check_matrix(module, chain, X):
    J = torch.func.jacrev(lambda x: module(x[None])[0])(torch.tensor(X)).detach().numpy().reshape(-1, X.size)
    assert_same(chain.matrix(X).toarray(), J)
    return J


def magnitudes(module, image, size):
    """A bound on every partial sum: the same passes over magnitudes, for which every ReLU is open."""
    positive = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in positive.parameters():
            parameter.abs_()
        for layer in positive.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.running_mean.abs_().neg_()
    chain = Chain.of(positive, image, blocks=BLOCKS)
    X = np.full(image, float(size))
    operator = chain.operator(X)
    return max(np.max(chain(X)), np.max(operator @ X.ravel()), size * np.max(np.ones(operator.shape[0]) @ operator))


@pytest.mark.parametrize("most", [2, 50], ids=["many ties", "few ties"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_products_are_those_of_torch_func(name, most):
    make, image = CLASSIFIERS[name]
    generator = np.random.default_rng(most)
    module = integer_weights(make(), 0)
    # Of halvings there are at most 13: two in each of five batch normalisations, and three in the average.
    assert magnitudes(module, image, most) * 2**13 <= exact_limit("float64")
    chain = Chain.of(module, image, blocks=BLOCKS)
    X = generator.integers(-most, most + 1, image).astype(float)
    for _ in range(3):
        v, g = (generator.integers(-most, most + 1, count).astype(float) for count in (X.size, 5))
        check_products(module, chain, X, v=v, g=g)
    J = check_matrix(module, chain, X)
    assert (J != 0).mean() > 0.1


def other_weight(module):
    module[0].weight[0, 0, 1, 1] += 1


def other_statistics(module):
    module[1].running_var += 12


def other_windows(module):
    module[3].padding, module[3].ceil_mode = 0, True


def other_classes(module):
    module[8].weight.copy_(module[8].weight.flip(0))


@pytest.mark.parametrize("change", [other_weight, other_statistics, other_windows, other_classes])
def test_the_chain_of_another_module_is_caught(change):
    module = integer_weights(resnet(), 0)
    other = copy.deepcopy(module)
    with torch.no_grad():
        change(other)
    X = np.random.default_rng(0).integers(-9, 10, (3, 8, 16)).astype(float)
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        check_matrix(module, Chain.of(other, X.shape, blocks=BLOCKS), X)


def test_the_reading_of_a_residual_block():
    chain = Chain.of(integer_weights(resnet(), 0), (3, 8, 16), blocks=BLOCKS)
    kinds = [type(layer).__name__ for layer in chain.layers]
    assert kinds[4:8] == ["Sum", "ReLU", "Sum", "ReLU"]
    straight, shortcut = chain.layers[4].branches
    assert len(straight.layers) == 5
    assert shortcut.layers == ()
    assert chain.responses((3, 8, 16)) == (5,)


def test_lists_are_read_one_after_the_other_and_tuples_are_added():
    layer = integer_weights(nn.Conv2d(2, 2, 3, padding=1), 0)
    chain = Chain.of([layer, (layer, []), nn.ReLU()], (2, 4, 5))
    assert isinstance(chain.layers[1], Sum)
    x = torch.arange(40, dtype=torch.float64).reshape(1, 2, 4, 5) - 20
    assert_same(chain(x[0].numpy()), torch.relu(layer(layer(x)) + layer(x)).detach().numpy()[0])


POOLS = [
    (nn.MaxPool1d(3, 2, 1), (2, 9)),
    (nn.MaxPool2d((3, 2), (2, 1), (1, 0), dilation=(1, 2)), (2, 7, 8)),
    (nn.MaxPool2d(3, 2, ceil_mode=True), (2, 6, 8)),
    (nn.MaxPool2d(2, 3, 1, ceil_mode=True), (1, 6, 8)),
    (nn.MaxPool3d(2, (1, 2, 1)), (1, 3, 4, 5)),
    (nn.AvgPool1d(3, 2, 1), (2, 9)),
    (nn.AvgPool1d(3, 2, 1, count_include_pad=False), (2, 9)),
    (nn.AvgPool2d((3, 2), 2, (1, 0)), (2, 7, 8)),
    (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 7, 8)),
    (nn.AvgPool2d(3, 2, 1, ceil_mode=True), (2, 6, 8)),
    (nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 6, 8)),
    (nn.AvgPool2d(2, 3, 1, ceil_mode=True), (1, 6, 8)),
    (nn.AvgPool3d(2, (1, 2, 1)), (1, 3, 4, 5)),
    (nn.AdaptiveAvgPool1d(3), (2, 9)),
    (nn.AdaptiveAvgPool2d((None, 2)), (2, 3, 8)),
    (nn.AdaptiveAvgPool3d(1), (2, 2, 3, 2)),
]


@pytest.mark.parametrize(("module", "image"), POOLS, ids=str)
def test_a_pooling_layer_is_pytorchs(module, image):
    generator = np.random.default_rng(0)
    chain = Chain.of(module, image)
    X, v, g = (generator.integers(-3, 4, shape) * float(SHARED) for shape in (image, image, chain.responses(image)))
    check_products(module, chain, X, v=v.ravel(), g=g.ravel())
    check_matrix(module, chain, X)


OTHERS = [
    (nn.Conv1d(2, 4, 3, stride=2, padding=1), (2, 9)),
    (nn.Conv3d(2, 2, 2, groups=2), (2, 3, 4, 3)),
    (nn.BatchNorm1d(4), (4,)),
    (nn.BatchNorm1d(4), (4, 3)),
    (nn.BatchNorm3d(2, affine=False), (2, 1, 3, 2)),
    (nn.Sequential(nn.Identity(), nn.Dropout2d(), nn.Flatten(1, 3)), (2, 3, 4)),
]


@pytest.mark.parametrize(("module", "image"), OTHERS, ids=str)
def test_another_layer_is_pytorchs(module, image):
    generator = np.random.default_rng(1)
    module = integer_weights(module, 3)
    chain = Chain.of(module, image)
    X, v, g = (generator.integers(-9, 10, shape).astype(float) for shape in (image, image, chain.responses(image)))
    check_products(module, chain, X, v=v.ravel(), g=g.ravel())


@pytest.mark.parametrize("dim", [1, -1])
def test_softmax_of_equal_scores_is_pytorchs(dim):
    """Four classes of exactly one quarter each, so that nothing is rounded."""
    module = nn.Sequential(nn.Linear(3, 4), nn.Softmax(dim=dim)).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1, 2, 3], [3, 1, 2], [2, 3, 1], [3, 2, 1]]))
        module[0].bias.zero_()
    X, v, g = np.full(3, 5.0), np.array([4.0, -8.0, 1.0]), np.array([1.0, -2.0, 4.0, 3.0])
    check_products(module, Chain.of(module, (3,)), X, v=v, g=g)


def test_float32_stays_float32_and_weights_are_copies():
    module = integer_weights(nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)), 0).float()
    chain, X = Chain.of(module, (1, 3, 3)), np.arange(9, dtype=np.float32).reshape(1, 3, 3) - 4
    check_products(module, chain, X, v=np.ones(9, np.float32), g=np.ones(3, np.float32))
    before = chain(X)
    with torch.no_grad():
        module[0].weight.zero_()
    assert_same(chain(X), before)
    assert chain.matrix(X).dtype == np.float32


def test_half_precision_and_less_becomes_float32():
    for dtype in (torch.float16, torch.bfloat16, torch.float8_e4m3fn):
        module = integer_weights(nn.Conv2d(1, 1, 2), 0)
        chain = Chain.of(copy.deepcopy(module).to(dtype), (1, 2, 2))
        assert chain.layers[0].F.dtype == np.float32
        assert_same(chain.layers[0].F, module.weight.detach().numpy())


def test_the_options_of_the_layers():
    chain = Chain.of(
        [nn.Conv2d(4, 4, 3, stride=2, padding=1, dilation=2, groups=2), nn.AvgPool2d(2, padding=1)], (4, 9, 8)
    )
    convolution, average = chain.layers
    assert isinstance(convolution, Convolution)
    assert isinstance(average, AveragePool)
    assert (convolution.geometry.stride, convolution.geometry.dilation, convolution.geometry.groups) == (
        (2, 2),
        (2, 2),
        2,
    )
    assert average.geometry.padding == ((1, 1), (1, 1))


# -------------------------------------------------------------------------------------------------------------- errors


class Halved(nn.ReLU):
    """A layer by inheritance, but not by what it computes."""

    def forward(self, x):
        return super().forward(x) / 2


class Rotated(nn.Conv2d):
    """The same below its forward pass."""

    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight.flip(2, 3), bias)


class Twice(nn.Sequential):
    """A Sequential by inheritance, but not by what it computes."""

    def forward(self, x):
        return super().forward(super().forward(x))


def hooked():
    layer = nn.ReLU()
    layer.register_forward_hook(lambda module, inputs, output: 2 * output)
    return layer


CONV = nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")
ERRORS = [
    (
        lambda: nn.Sequential(nn.ReLU(), nn.Sequential(nn.GELU())),
        TypeError,
        r"^module\.1\.0 has type GELU.*Conv2d.*blocks=",
    ),
    (lambda: [nn.ReLU(), 5], TypeError, r"^module\[1\] has type int"),
    (Halved, TypeError, r"^module has type Halved"),
    (lambda: Rotated(1, 1, 2), TypeError, r"^module has type Rotated"),
    (lambda: Twice(nn.ReLU()), TypeError, r"^module has type Twice"),
    (lambda: ([Block(3, 3)], []), TypeError, r"^module\[0\]\[0\] has type Block"),
    (hooked, ValueError, r"^module, ReLU, has forward hooks"),
    (
        lambda: nn.Sequential(nn.BatchNorm2d(1)),
        ValueError,
        r"^module\.0, BatchNorm2d: training is True; it needs False",
    ),
    (nn.Dropout, ValueError, r"^module, Dropout: training is True; it needs False"),
    (lambda: nn.BatchNorm2d(1, track_running_stats=False).eval(), ValueError, r"track_running_stats is False"),
    (lambda: CONV, ValueError, r"^module, Conv2d: module pads with padding_mode 'reflect'"),
    (lambda: nn.Conv2d(2, 1, 3), ShapeError, r"^module, Conv2d: .*image has 1 plane"),
    (lambda: nn.Conv2d(1, 1, 3, dtype=torch.complex64), DtypeError, r"^module, Conv2d: F has dtype complex64"),
    (lambda: nn.LazyConv2d(1, 3), ValueError, r"^module, LazyConv2d, has no weights yet; call"),
    (lambda: nn.Sequential(nn.LazyLinear(1)), ValueError, r"^module\.0, LazyLinear, has no weights yet"),
    (lambda: nn.AvgPool2d(2, divisor_override=3), ValueError, r"divisor_override is 3; it needs None"),
    (lambda: nn.MaxPool2d(2, return_indices=True), ValueError, r"return_indices is True"),
    (lambda: nn.AdaptiveAvgPool2d(3), ShapeError, r"output_size is 3 but the image has shape \(1, 4, 4\)"),
    (lambda: nn.Linear(4, 2), ShapeError, r"^module, Linear: the image has shape \(1, 4, 4\).*put Flatten before"),
    (lambda: nn.Flatten(0), ValueError, r"start_dim is 0; it needs 1"),
    (lambda: nn.Softmax(dim=2), ValueError, r"dim is 2; it needs 1 or -1"),
    (lambda: nn.Softmax(dim=1), ShapeError, r"softmax needs scores"),
    (lambda: (nn.ReLU(), nn.MaxPool2d(2)), ShapeError, r"branches\[1\] has responses \(1, 2, 2\)"),
]


@pytest.mark.parametrize(("make", "error", "text"), ERRORS, ids=[text for *_, text in ERRORS])
def test_what_cannot_be_read_is_named_with_its_cure(make, error, text):
    with pytest.raises(error, match=text):
        Chain.of(make(), (1, 4, 4))


def test_integer_weights_stay_integers():
    layer = nn.Linear(2, 1, bias=False)
    layer.weight = nn.Parameter(torch.tensor([[100, 100]], dtype=torch.int8), requires_grad=False)
    chain = Chain.of(layer, (2,))
    assert chain.layers[0].W.dtype == np.int8
    assert chain(np.array([3, 4])).tolist() == [700]


def test_without_an_axis_there_are_no_entries_to_multiply():
    with pytest.raises(ShapeError, match=r"^module, Linear: the image has shape \(\)"):
        Chain.of(nn.Linear(1, 2), ())


def test_the_default_epsilon_is_pytorchs():
    assert BatchNorm([0], [1]).eps == nn.BatchNorm2d(1).eps
