"""Against PyTorch's autograd, exactly: integer data makes float arithmetic exact, so ``==`` is the test."""

import math
from itertools import combinations

import numpy as np
import pytest

from jacobians import Geometry, bias_gradient, convolve, filter_gradient, input_gradient
from jacobians.evidence.exact import exact_limit, gamma
from jacobians.layers import cross_entropy, cross_entropy_gradient
from jacobians.network import Network
from tests.oracle import assert_same

torch = pytest.importorskip("torch", reason="the torch extra is not installed: pip install 'jacobians[torch]'")

CONVOLUTIONS = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}
OPTIONS = ("stride", "padding", "dilation", "groups")


def chosen(seed):
    """Every subset of the options in turn."""
    return [name for bit, name in enumerate(OPTIONS) if seed >> bit & 1]


def draw_geometry(generator, ndim, options, image=None):
    """A layer with these options on; sizes of two axes differ, paddings before and after differ."""
    groups = 2 if "groups" in options else 1
    planes = groups * int(generator.integers(1, 3)) if image is None else image[0]
    filters = groups * int(generator.integers(1, 3))
    taps, stride, padding, dilation, sizes = [], [], [], [], []
    for axis in range(ndim):
        dilation.append(2 if "dilation" in options else 1)
        room = None if image is None else image[1 + axis]
        zeros = tuple(int(z) for z in generator.permutation(3)[:2]) if "padding" in options else (0, 0)
        padding.append(zeros)
        most = 3 if room is None else min(3, (room + sum(zeros) - 1) // dilation[-1] + 1)
        taps.append(int(generator.integers(1, most + 1)))
        stride.append(int(generator.integers(2, 4)) if "stride" in options else 1)
        sizes.append((taps[-1] - 1) * dilation[-1] + 1 + axis + int(generator.integers(0, 3 if ndim == 3 else 5)))
    if ndim > 1 and sizes[0] == sizes[1]:
        sizes[1] += 1
    return Geometry(
        (planes, *sizes) if image is None else image,
        (filters, planes // groups, *taps),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


def integers(generator, shape, dtype=np.float64):
    """Distinct integers, of both signs."""
    count = math.prod(shape)
    return (generator.permutation(2 * count)[:count] - count + 0.0).reshape(shape).astype(dtype)


def torch_convolve(X, F, b, geometry):
    # F.pad counts from the last axis; it alone can pad before and after differently.
    zeros = [amount for pair in reversed(geometry.padding) for amount in pair]
    padded = torch.nn.functional.pad(X, zeros)
    convolution = CONVOLUTIONS[geometry.spatial_ndim]
    options = {"stride": geometry.stride, "dilation": geometry.dilation, "groups": geometry.groups}
    return convolution(padded[None], F, b, **options)[0]


def leaves(arrays):
    return {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}


def gradients_of(loss, tensors):
    loss.backward()
    return {name: tensor.grad.numpy() for name, tensor in tensors.items()}


# ------------------------------------------------------------------------------------------------------- one layer

LAYERS = range(60)


def layer_of(seed):
    generator = np.random.default_rng(seed)
    # 3 and 16 have no common factor: 48 seeds are all pairs of dimension and subset of options.
    return draw_geometry(generator, 1 + seed % 3, chosen(seed % 16)), generator


def test_the_layers_cover_every_pair_of_options_in_every_dimension():
    seen = {(1 + seed % 3, *pair) for seed in LAYERS for pair in combinations(chosen(seed % 16), 2)}
    assert seen == {(ndim, *pair) for ndim in (1, 2, 3) for pair in combinations(OPTIONS, 2)}
    assert any(any(layer_of(seed)[0].tail) for seed in LAYERS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", LAYERS)
def test_a_convolution_layer_is_pytorchs(seed, dtype):
    geometry, generator = layer_of(seed)
    shapes = {"X": geometry.image, "F": geometry.filters, "b": geometry.filters[:1]}
    arrays = {name: integers(generator, shape, dtype) for name, shape in shapes.items()}
    G = integers(generator, geometry.responses, dtype)
    X, F, b = arrays.values()

    # No partial sum exceeds these sums of magnitudes, so none is rounded.
    magnitudes = [
        convolve(abs(X), abs(F), geometry, bias=abs(b)),
        filter_gradient(abs(X), abs(G), geometry),
        input_gradient(abs(G), abs(F), geometry),
        bias_gradient(abs(G)),
    ]
    assert max(each.max() for each in magnitudes) <= exact_limit(dtype)

    tensors = leaves(arrays)
    S = torch_convolve(*tensors.values(), geometry)
    assert_same(convolve(X, F, geometry, bias=b), S.detach().numpy())
    expected = gradients_of((S * torch.tensor(G)).sum(), tensors)
    assert_same(filter_gradient(X, G, geometry), expected["F"])
    assert_same(input_gradient(G, F, geometry), expected["X"])
    assert_same(bias_gradient(G), expected["b"])


# -------------------------------------------------------------------------------------------------------- networks

NETWORKS = range(40)


def network_of(seed):
    """One or two convolution layers of one to three axes; half of the seeds each."""
    generator = np.random.default_rng(1000 + seed)
    ndim = (2, 2, 1, 3)[seed // 2 % 4]
    layers = [draw_geometry(generator, ndim, chosen(seed // 2 % 16))]
    if seed % 2:
        options = [
            name for name in chosen(int(generator.integers(16))) if name != "groups" or layers[0].filters[0] % 2 == 0
        ]
        layers.append(draw_geometry(generator, ndim, options, image=layers[0].responses))
    return Network(layers, int(generator.integers(2, 5))), generator


def torch_scores(network, tensors):
    H = tensors["X"]
    for k, layer in enumerate(network.layers, start=1):
        H = torch.relu(torch_convolve(H, tensors[f"F{k}"], tensors[f"b{k}"], layer))
    return tensors["W"] @ H.flatten() + tensors["b"]


def magnitudes_of(network, parameters, X, upstream):
    """The same passes over magnitudes, for which every response is positive: no partial sum is larger."""
    positive = {name: abs(array) + 1 for name, array in parameters.items()}
    trace = network.trace(positive, abs(X) + 1, np.eye(network.classes)[0])
    gradients = network.pull_back(positive, trace, abs(upstream), "convolutions")
    del trace["p"], trace["l"]
    return [np.max(each) for each in (*trace.values(), *gradients.values())]


@pytest.mark.parametrize("seed", NETWORKS)
def test_both_forms_of_the_gradients_are_autograds(seed):
    network, generator = network_of(seed)
    parameters = {name: integers(generator, shape) for name, shape in network.shapes.items()}
    X, upstream = integers(generator, network.layers[0].image), integers(generator, (network.classes,)) * 2 + 1
    assert max(magnitudes_of(network, parameters, X, upstream)) <= exact_limit("float64")

    tensors = leaves(parameters | {"X": X})
    scores = torch_scores(network, tensors)
    expected = gradients_of((scores * torch.tensor(upstream)).sum(), tensors)
    trace = network.trace(parameters, X, np.eye(network.classes)[0])
    assert_same(trace["s"], scores.detach().numpy())
    for by in ("jacobians", "convolutions"):
        gradients = network.pull_back(parameters, trace, upstream, by)
        assert gradients.keys() == expected.keys()
        for name, gradient in gradients.items():
            assert_same(gradient, expected[name])


def test_the_networks_are_not_degenerate():
    """Most have responses of both signs in every layer, and a gradient that is not 0 reaches the image."""
    both = reached = 0
    for seed in NETWORKS:
        network, generator = network_of(seed)
        parameters = {name: integers(generator, shape) for name, shape in network.shapes.items()}
        X, upstream = integers(generator, network.layers[0].image), integers(generator, (network.classes,)) * 2 + 1
        trace = network.trace(parameters, X, np.eye(network.classes)[0])
        responses = [node for name, node in trace.items() if name[0] == "S"]
        both += all((each > 0).any() and (each < 0).any() for each in responses)
        reached += network.pull_back(parameters, trace, upstream, "convolutions")["X"].any()
    assert both >= len(NETWORKS) // 2
    assert reached >= 3 * len(NETWORKS) // 4


# --------------------------------------------------------------------------------------- softmax and cross-entropy


def roundings(s):
    """Roundings in one probability, as in test_layers.py: of differences, powers (4 units each), sum and quotient."""
    return 2 * (math.ceil(min(746, s.max() - s.min())) + 8) + len(s) + 4


@pytest.mark.parametrize("seed", range(20))
def test_the_loss_and_its_gradient_are_pytorchs_within_the_rounding_of_both(seed):
    """Each side is within γ_N of the exact value; here they are held against each other, so twice that is allowed."""
    generator = np.random.default_rng(seed)
    classes = int(generator.integers(2, 11))
    s, y = generator.normal(scale=10.0 ** (seed % 4 - 1), size=classes), np.eye(classes)[generator.integers(classes)]
    tensors = leaves({"s": s})
    loss = torch.nn.functional.cross_entropy(tensors["s"], torch.tensor(y))
    expected = gradients_of(loss, tensors)["s"]
    once = float(gamma(roundings(s), "float64"))
    p = expected + y
    assert np.all(np.abs(cross_entropy_gradient(s, y) - expected) <= 2 * once * (p + y) + np.finfo(float).tiny)
    # PyTorch subtracts the score from log Σ exp, both of up to the spread of the scores; 1 more where that is small.
    assert abs(cross_entropy(s, y) - loss.item()) <= 2 * once * (np.ptp(s) + math.log(classes) + 1)
