"""PyTorch through the adapter: the memory and the dtype it gets and gives, right code, and wrong code."""

import functools
import math
import re
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from jacobians import AuditError, DtypeError, Geometry, audit, convolve, filter_gradient, input_gradient
from jacobians.audit.frameworks import from_torch
from jacobians.testing import assert_convolution, option_pairs
from tests.false_alarms import layers

torch = pytest.importorskip("torch", reason="the torch extra is not installed: pip install 'jacobians[torch]'")

MODULES = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}
DTYPES = ["float64", "float32", "float16", "bfloat16"]
# Where the fact is what the adapter does, and not what an audit tries.
FEW = layers({"groups": 1}, 2)


def numpy_dtype(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def padded(options):
    """A convolution that also pads unevenly, which PyTorch's own does not."""
    zeros = [amount for pair in reversed(options["padding"]) for amount in pair]
    others = {name: value for name, value in options.items() if name != "padding"}

    def call(X, F, b=None):
        return torch.nn.functional.conv2d(torch.nn.functional.pad(X, zeros), F, b, **others)

    return call


def test_importing_the_adapters_imports_no_framework():
    code = "import sys, jacobians.audit.frameworks, jacobians.audit.layouts; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {"torch", "jax"} & set(loaded.split()) == set()
    assert "jacobians.audit.frameworks" in loaded.split()


# what goes in and out -------------------------------------------------------------------------------------------------

ARRANGEMENTS = {
    "contiguous": np.copy,
    "Fortran order": np.asfortranarray,
    "transposed": lambda A: A.swapaxes(-1, -2).copy().swapaxes(-1, -2),
    "every other": lambda A: np.repeat(A, 2, axis=-1)[..., ::2],
    "broadcast": lambda A: np.broadcast_to(A[:1], A.shape),
    "reversed": lambda A: A[..., ::-1],
    "unaligned": lambda A: np.frombuffer(b"." + A.tobytes(), A.dtype, A.size, 1).reshape(A.shape),
}


@pytest.mark.parametrize("dtype", [*DTYPES, "int64", "int32"])
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_arrays_of_all_strides_arrive_in_their_own_dtype_and_come_back(arrangement, dtype):
    X = ARRANGEMENTS[arrangement](np.arange(120).reshape(2, 3, 4, 5).astype(numpy_dtype(dtype)))
    seen = []
    forward, _ = from_torch(lambda X, F: seen.append(X) or X)
    result = forward(X, X)
    assert str(seen[0].dtype) == f"torch.{dtype}"
    assert result.dtype == X.dtype
    assert np.array_equal(result, X)
    if arrangement in {"contiguous", "Fortran order", "transposed", "every other"}:
        assert seen[0].stride() == tuple(step // X.itemsize for step in X.strides)
        assert np.shares_memory(result, X)


def test_the_gradient_is_of_the_upstream_gradient_and_leaves_its_inputs_alone():
    geometry, generator = Geometry((2, 5, 6), (4, 1, 2, 3), stride=2, groups=2), np.random.default_rng(0)
    shapes = (2, 2, 5, 6), (4, 1, 2, 3), (4,), (2, 4, 2, 2)
    X, F, b, G = (generator.integers(-50, 50, shape).astype(float) for shape in shapes)
    copies = [each.copy() for each in (X, F, b, G)]
    forward, backward = from_torch(functools.partial(torch.nn.functional.conv2d, stride=2, groups=2), bias=True)
    dX, dF, db = backward(X, F, b, G)
    assert np.array_equal(forward(X, F, b), np.stack([convolve(x, F, geometry, bias=b) for x in X]))
    assert np.array_equal(dX, np.stack([input_gradient(g, F, geometry) for g in G]))
    assert np.array_equal(dF, sum(filter_gradient(x, g, geometry) for x, g in zip(X, G, strict=True)))
    assert np.array_equal(db, G.sum(axis=(0, 2, 3)))
    assert all(np.array_equal(*each) for each in zip(copies, (X, F, b, G), strict=True))
    with torch.no_grad():
        assert np.array_equal(backward(X, F, b, G)[0], dX)


# right code passes ----------------------------------------------------------------------------------------------------


# In every dtype, number of axes and pair of options, at two layers each: tests/test_false_alarms.py.


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_conv2d_is_right_at_all_layers(dtype):
    options = option_pairs()[10]
    report = assert_convolution(*from_torch(padded(options), dtype=dtype, bias=True), bias=True, dtype=dtype, **options)
    assert report.audited == ("S", "∂l/∂X", "∂l/∂F", "∂l/∂b")
    assert report.notes == ()


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize(("ndim", "bias"), [(1, True), (2, False), (2, True), (3, False)])
def test_a_module_is_audited_with_any_shapes_and_not_changed(ndim, bias):
    options = {"stride": 2, "padding": 1, "groups": 2}
    module = MODULES[ndim](2, 4, 3, bias=bias, **options)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    few = layers(options, ndim)
    assert_convolution(*from_torch(module, bias=bias), spatial_ndim=ndim, bias=bias, geometries=few, **options)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(each.grad is None for each in module.parameters())


def test_a_layer_inside_a_module_is_found():
    module = torch.nn.Sequential(torch.nn.ZeroPad2d((1, 2, 0, 1)), torch.nn.Conv2d(1, 1, 1, bias=False))
    options = {"padding": ((0, 1), (1, 2)), "groups": 1}
    assert_convolution(*from_torch(module), geometries=layers(options, 2), **options)


def test_a_module_without_parameters_is_a_function():
    class Convolution(torch.nn.Module):
        def forward(self, X, F):
            return torch.nn.functional.conv2d(X, F)

    assert_convolution(*from_torch(Convolution()), geometries=FEW)


# wrong code is found --------------------------------------------------------------------------------------------------


def function_with(turn_filter=False, lose=None, scale=1, change=None):
    """conv2d with a backward pass of its own."""

    class Convolution(torch.autograd.Function):
        @staticmethod
        def forward(context, X, F):
            context.save_for_backward(X, F)
            return torch.nn.functional.conv2d(X, F)

        @staticmethod
        def backward(context, G):
            X, F = context.saved_tensors
            turned = F.flip(2, 3) if turn_filter else F
            dX = torch.nn.grad.conv2d_input(X.shape, turned, G) * scale
            dF = torch.nn.grad.conv2d_weight(X, F.shape, G)
            if change:
                return change(dX, dF)
            return None if lose == "X" else dX, None if lose == "F" else dF

    return Convolution


@pytest.mark.usefixtures("fewer", "unread")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_wrong_backward_of_an_autograd_function_is_named(dtype):
    report = audit(*from_torch(function_with(turn_filter=True).apply), dtype=dtype, geometries=FEW)
    assert str(report).startswith("✗ ∂l/∂X is wrong")
    assert [finding.about for finding in report.findings] == ["∂l/∂X"]
    assert audit(*from_torch(function_with().apply), dtype=dtype, geometries=FEW).check().ok


@pytest.mark.usefixtures("fewer", "unread")
def test_a_wrong_factor_is_found():
    with pytest.raises(AuditError, match=r"^✗ ∂l/∂X is wrong"):
        audit(*from_torch(function_with(scale=2).apply), geometries=FEW).check()


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize("lost", ["X", "F"])
def test_a_gradient_that_autograd_does_not_have_is_a_failure(lost):
    _, backward = from_torch(function_with(lose=lost).apply)
    X, F, G = np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1)), np.ones((1, 1, 2, 2))
    pattern = (
        rf"^autograd gives no gradient with respect to {lost}, because the graph is cut; do not use \.detach\(\), "
        r"\.data, torch\.no_grad\(\), torch\.tensor\(\) or NumPy in forward, .* audit the forward pass alone$"
    )
    with pytest.raises(RuntimeError, match=pattern):
        backward(X, F, G)
    report = audit(*from_torch(function_with(lose=lost).apply), geometries=FEW)
    said = f"✗ backward raises on a legal layer: RuntimeError: autograd gives no gradient with respect to {lost}"
    assert str(report).startswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda dX, dF: (dX[0], dF),
            r"ConvolutionBackward returned an invalid gradient at index 0 - got \[1, 2, 2\] but",
        ),
        (lambda dX, dF: dX, r"ConvolutionBackward returned an incorrect number of gradients \(expected 2, got 1\)"),
        (lambda dX, dF: (dX.numpy(), dF), r"expected Variable or None \(got numpy\.ndarray\)"),
    ],
    ids=["shape", "number", "NumPy"],
)
def test_of_gradients_that_autograd_refuses_it_is_said_what_is_needed(change, said):
    needed = (
        "; the backward of an autograd.Function needs to return, for each argument of its forward, in their order, a "
        "tensor of the argument's shape, or None if the argument is not a tensor"
    )
    X, F, G = np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1)), np.ones((1, 1, 2, 2))
    with pytest.raises(RuntimeError, match=f"{said}.*{re.escape(needed)}$"):
        from_torch(function_with(change=change).apply)[1](X, F, G)


@pytest.mark.usefixtures("fewer")
@pytest.mark.parametrize("bias", [False, True])
def test_responses_of_another_shape_are_the_one_finding(bias):
    def padded_twice(X, F, *b):
        return torch.nn.functional.conv2d(X, F, *b, padding=2)

    few = layers({"padding": 1, "groups": 1}, 2)
    report = audit(*from_torch(padded_twice, bias=bias), padding=1, bias=bias, geometries=few)
    (finding,) = report.findings
    assert "; ∂l/∂X" in finding.title


def test_what_else_autograd_raises_is_left_as_it_is():
    def in_place(X, F):
        return torch.nn.functional.conv2d(X.mul_(1), F)

    X, F, G = np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1)), np.ones((1, 1, 2, 2))
    with pytest.raises(RuntimeError, match=r"being used in an in-place operation\.$"):
        from_torch(in_place)[1](X, F, G)


def test_code_that_leaves_autograd_says_so_of_all_arguments():
    def detached(X, F):
        return torch.nn.functional.conv2d(X, F).detach()

    X, F, G = np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1)), np.ones((1, 1, 2, 2))
    with pytest.raises(RuntimeError, match=r"^autograd gives no gradient with respect to X and F"):
        from_torch(detached)[1](X, F, G)


def test_inputs_changed_in_place_are_found():
    def changing(X, F):
        S = torch.nn.functional.conv2d(X, F)
        F.mul_(2)
        return S

    report = audit(from_torch(changing)[0], geometries=FEW)
    assert "changes F in place" in str(report)


@pytest.mark.usefixtures("fewer")
def test_strides_that_are_ignored_are_found():
    def flat(X, F):
        whole = torch.as_strided(X, X.shape, torch.empty(X.shape).stride())
        return torch.nn.functional.conv2d(whole, F)

    assert any(finding.kind == "memory layout" for finding in audit(from_torch(flat)[0], geometries=FEW).findings)


def test_a_dtype_that_is_not_the_inputs_is_found():
    def widening(X, F):
        return torch.nn.functional.conv2d(X.double(), F.double())

    report = audit(from_torch(widening)[0], dtype="float32", geometries=FEW)
    assert any(finding.kind == "dtype" for finding in report.findings)


# errors ---------------------------------------------------------------------------------------------------------------


def test_what_is_no_function_is_refused():
    with pytest.raises(
        TypeError, match=r"^forward has type int; it needs a function of tensors or a torch\.nn\.Module"
    ):
        from_torch(3)
    with pytest.raises(TypeError, match=r"^bias is 'no'; it needs True or False$"):
        from_torch(torch.nn.functional.conv2d, bias="no")
    with pytest.raises(
        TypeError, match=r"^forward is the class Conv2d; it needs a function of tensors or a torch\.nn\.M"
    ):
        from_torch(torch.nn.Conv2d)
    pattern = r"^forward is the class Convolution; give the function that is called: Convolution\.apply$"
    with pytest.raises(TypeError, match=pattern):
        from_torch(function_with())


@pytest.mark.parametrize(
    ("module", "bias", "said"),
    [
        (
            torch.nn.Conv2d(1, 1, 1),
            False,
            "forward is a Conv2d with parameters weight, bias; with bias=False it needs exactly weight: pass "
            "bias=True, or make the module with bias=False",
        ),
        (
            torch.nn.Conv2d(1, 1, 1, bias=False),
            True,
            "forward is a Conv2d with parameters weight; with bias=True it needs exactly weight and bias: leave "
            "bias=True out, or make the module with bias=True",
        ),
        (
            torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1, bias=False), torch.nn.Conv2d(1, 1, 1, bias=False)),
            False,
            r"forward is a Sequential with parameters 0\.weight, 1\.weight; with bias=False it needs exactly weight: "
            r"give a function of \(X, F\) or \(X, F, b\) that calls it",
        ),
    ],
    ids=["a bias too many", "no bias", "two layers"],
)
def test_modules_with_other_parameters_are_refused(module, bias, said):
    with pytest.raises(TypeError, match=f"^{said}$"):
        from_torch(module, bias=bias)


def test_results_that_are_no_tensor_are_refused():
    X, F = np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1))
    with pytest.raises(TypeError, match=r"^forward returned 2 results; it needs to return one torch\.Tensor, S$"):
        from_torch(lambda X, F: (X, F))[0](X, F)
    with pytest.raises(TypeError, match=r"^forward returned ndarray; it needs to return one torch\.Tensor, S$"):
        from_torch(lambda X, F: X.detach().numpy())[1](X, F, X)


def test_arrays_of_another_dtype_are_refused_not_cast():
    X, F = np.ones((1, 1, 2, 2), "float32"), np.ones((1, 1, 1, 1), "float32")
    forward, backward = from_torch(torch.nn.functional.conv2d, dtype="float16")
    pattern = "^X has dtype float32 but from_torch has dtype=float16, and arrays are not cast: give both the same dtype"
    with pytest.raises(DtypeError, match=pattern):
        forward(X, F)
    with pytest.raises(DtypeError, match=pattern):
        backward(X, F, X)


def test_integers_have_no_gradient():
    X, F = np.ones((1, 1, 2, 2), "int64"), np.ones((1, 1, 1, 1), "int64")
    with pytest.raises(
        DtypeError, match=r"^X has dtype int64 but autograd needs floating-point numbers; audit with dtype='f"
    ):
        from_torch(torch.nn.functional.conv2d)[1](X, F, X)


def test_a_bias_that_is_not_announced_is_refused():
    arrays = [np.ones(shape) for shape in ((1, 1, 2, 2), (1, 1, 1, 1), (1,))]
    pattern = (
        "^3 arrays were given, but from_torch has bias=False and needs 2: X, F; give from_torch and audit the "
        "same bias$"
    )
    with pytest.raises(TypeError, match=pattern):
        from_torch(torch.nn.functional.conv2d)[0](*arrays)
    with pytest.raises(TypeError, match=r"^3 arrays were .* has bias=True and needs 4: X, F, b, G; give"):
        from_torch(torch.nn.functional.conv2d, bias=True)[1](*arrays)
    assert math.prod(from_torch(torch.nn.functional.conv2d, bias=True)[0](*arrays).shape) == 4
