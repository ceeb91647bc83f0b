import contextlib
import functools
import io
import json
import sys

import pytest
from rich.console import Console

import jacobians
from jacobians import cli, convolution
from jacobians.audit import isolation
from jacobians.audit.frameworks import in_framework


def run(capsys, monkeypatch, *arguments: str) -> tuple[int, str, str]:
    """Run the command in this process; return its exit status and what it printed."""
    monkeypatch.setattr(sys, "argv", ["jacobians", *arguments])
    try:
        cli.main()
    except SystemExit as stop:
        printed = capsys.readouterr()
        return int(stop.code or 0), printed.out, printed.err
    raise AssertionError("the command did not set an exit status")


def test_verify_holds(capsys, monkeypatch, tmp_path) -> None:
    record = tmp_path / "record.json"
    status, out, err = run(capsys, monkeypatch, "verify", "--only", "L4,L6", "--jobs", "1", "--json", str(record))
    assert (status, err) == (0, "")
    assert "∂l/∂s = −yᵀ" in out
    assert "2 equations hold" in out
    assert json.loads(record.read_text(encoding="utf-8"))["ok"] is True


@pytest.mark.parametrize("arguments", [["--version"], ["-h"], ["read", "-h"]])
def test_version_and_help_are_said(capsys, monkeypatch, arguments) -> None:
    status, out, err = run(capsys, monkeypatch, *arguments)
    assert (status, err) == (0, "")
    assert (jacobians.__version__ if "--version" in arguments else "Usage: jacobians") in out


def test_verify_fails_with_status_1_and_names_the_equation(capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(convolution, "turn", lambda F: F)
    record = tmp_path / "record.json"
    status, out, _ = run(capsys, monkeypatch, "verify", "--only", "L17,L18", "--jobs", "1", "--json", str(record))
    assert status == 1
    assert "✗ L18 does not hold" in out
    assert "✗ L17" not in out
    assert json.loads(record.read_text(encoding="utf-8"))["ok"] is False


def test_verify_in_several_processes(capsys, monkeypatch) -> None:
    status, out, _ = run(capsys, monkeypatch, "verify", "--only", "L5,L6", "--jobs", "2", "--seed", "3")
    assert status == 0
    assert "(seed 3)" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "--only", "L99"], "--only has 'L99'; it needs ids among L1, L2"),
        (["verify", "--seed", "-1"], "Invalid value for '--seed'"),
        (["verify", "--seed", "x"], "Invalid value for '--seed'"),
        (["audit", "x.py:f", "--timeout", "-1"], "Invalid value for '--timeout'"),
        (["read", "x.py:f", "--timeout", "soon"], "Invalid value for '--timeout'"),
        (["verify", "--json", "no/such/folder/record.json"], "in a folder that does not exist; make it first"),
        (["show", "filter-matrx"], "did you mean filter_matrix?"),
        (["show", "--image", "6"], "image has shape (6,), which has no spatial axis"),
        (["show", "--image", "1x6xa"], "--image has 'a'; it needs sizes with x between them, like 3x6x6"),
        (["show", "--stride", "1.5"], "--stride has '1.5'; it needs a number"),
        (["show", "--stride", "0"], "stride is 0; it needs an integer of at least 1"),
        (["show", "--padding", "full"], "padding is 'full'"),
        (["show", "--padding", "1:x"], "--padding has 'x'; it needs a number"),
        (["show", "--filters", "1x2x3x3"], "filters has 2 planes per filter but image has 1"),
        (["show", "--index", "1"], "filter is 1 but"),
        (["show", "--format", "html"], "'html' is not one of"),
        (["show", "--fomat", "text"], "No such option: --fomat"),
        (["prove"], "No such command"),
        (["verfy"], "Did you mean 'verify'?"),
        (["audit", "x.py:f", "--pad", "1"], "(Possible options: --padding)"),
        (["verify", "--only", "L81"], "did you mean L18?"),
        (["verify", "--only", "l18,L4"], "did you mean L18?"),
    ],
)
def test_unusable_arguments_end_with_status_2_and_one_message(capsys, monkeypatch, arguments, said) -> None:
    status, out, err = run(capsys, monkeypatch, *arguments)
    assert status == 2
    assert out == ""
    assert said in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


def test_show_prints_the_lectures_matrices(capsys, monkeypatch) -> None:
    status, out, _ = run(capsys, monkeypatch, "show", "--format", "text")
    assert status == 0
    assert "[ X11  X12  X13  X21  X22  X23  X31  X32  X33 ]  (S11)" in out
    assert "M_F^filter" in out
    assert "v8  = g1F22 + g2F21 + g5F12 + g6F11" in out
    assert "[ F33  F32  F31 ]" in out
    assert max(map(len, out.splitlines())) <= 110


def test_show_whole_and_options(capsys, monkeypatch) -> None:
    options = ["--image", "2x4x5", "--filters", "2x1x2x3", "--stride", "2,1", "--padding", "1:0,0:1", "--groups", "2"]
    status, out, _ = run(capsys, monkeypatch, "show", "filter-matrix", *options, "-i", "1", "--whole")
    assert status == 0
    assert "M_F_2^filter = ∂vec(S_2)/∂vec(X)" in out
    assert "8 × 40" in out
    assert "⋯" not in out
    status, same, _ = run(capsys, monkeypatch, "show", "image_matrix", "--padding", "same", "--dilation", "2")
    assert "36 × 9" in same


def test_show_takes_one_plane_and_one_filter_by_their_sizes_and_a_name_by_its_beginning(capsys, monkeypatch) -> None:
    _, out, _ = run(capsys, monkeypatch, "show", "image-m", "--image", "4x3", "--filters", "2x2")
    assert "a row per response, a column per tap  (L8, L9), 6 × 4" in out
    _, out, _ = run(capsys, monkeypatch, "show", "filter-m", "--image", "4x4x3", "--filters", "2x1", "--groups", "2")
    assert "9 × 48" in out
    _, out, _ = run(capsys, monkeypatch, "show", "filter-m", "--image", "2x7", "--filters", "1x2x3")
    assert "5 × 14" in out


def test_show_latex_can_be_pasted(capsys, monkeypatch) -> None:
    _, out, _ = run(capsys, monkeypatch, "show", "input_gradient", "--format", "latex")
    assert out.startswith("% ∂l/∂vec(X)")
    assert "\\begin{aligned}" in out


RIGHT = """
import numpy as np
from tests.convolutions import Layer
layer = Layer(stride=2, padding=1)
forward, backward = layer.forward, layer.backward
def unrotated(X, F, G):
    dX, dF = layer.backward(X, F[:, :, ::-1, ::-1], G)
    return dX, layer.backward(X, F, G)[1]
def last(X, F):
    return np.moveaxis(layer.forward(np.moveaxis(X, -1, 1), F.transpose(3, 2, 0, 1)), 1, -1)
"""


@pytest.fixture
def code(tmp_path):
    file = tmp_path / "somebodys.py"
    file.write_text(RIGHT)
    return str(file)


def test_audit_of_right_and_of_wrong_code(capsys, monkeypatch, tmp_path, code) -> None:
    options = ["--stride", "2", "--padding", "1"]
    status, out, _ = run(capsys, monkeypatch, "audit", f"{code}:forward", "--backward", "backward", *options)
    assert status == 0
    assert out.startswith("✓ S, ∂l/∂X, ∂l/∂F are right: 2 spatial axes, stride 2, padding 1, float64")
    record, junit = tmp_path / "record.json", tmp_path / "junit.xml"
    files = ["--json", str(record), "--junit", str(junit)]
    status, out, _ = run(capsys, monkeypatch, "audit", f"{code}:-", "--backward", "unrotated", *options, *files)
    assert status == 1
    assert out.startswith("✗ ∂l/∂X is wrong")
    assert json.loads(record.read_text(encoding="utf-8"))["findings"][0]["about"] == "∂l/∂X"
    assert "<failure" in junit.read_text(encoding="utf-8")


def test_several_values_of_options_are_one_report(capsys, monkeypatch, tmp_path) -> None:
    record = tmp_path / "record.json"
    given = ["--stride", "1", "2", "--padding", "0", "same", "--taps", "3x3", "--json", str(record)]
    status, out, _ = run(capsys, monkeypatch, "audit", "tests.convolutions:Taking.forward", *given)
    assert status == 1
    found = json.loads(record.read_text(encoding="utf-8"))
    assert found["options"].startswith("3 combinations of options: ")
    assert "stride 2, padding same" not in found["options"]
    assert any("padding same" in note for note in found["notes"])
    assert {each["about"] for each in found["findings"]} == {"S"}
    assert "F 1×1×3×3" in out


def test_audit_with_a_layout(capsys, monkeypatch, code) -> None:
    options = ["--stride", "2", "--padding", "1", "--layout", "NHWC,HWIO->NHWC"]
    assert run(capsys, monkeypatch, "audit", f"{code}:last", *options)[0] == 0


BLACK_BOXES = """
import os
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
def last(X, F):
    X = np.pad(X, ((0, 0), (1, 0), (0, 2), (0, 0)))
    windows = sliding_window_view(X, F.shape[:2], axis=(1, 2))[:, ::2]
    return np.einsum("nhwdkl,kldi->nhwi", windows, F[::-1, ::-1])
def forward(X, F, b):
    windows = sliding_window_view(X, F.shape[2:], axis=(2, 3))
    return np.einsum("nkhwab,ikab->nihw", windows, F) + b[:, None, None]
def relu(X, F):
    return np.maximum(forward(X, F, np.zeros(len(F))), 0)
def broken(X, F):
    return X.nope
def dies(X, F):
    os._exit(3)
"""


@pytest.fixture
def boxes(tmp_path):
    file = tmp_path / "boxes_of_somebody.py"
    file.write_text(BLACK_BOXES)
    return str(file)


def test_read_prints_the_formula_and_which_convolution_it_is(capsys, monkeypatch, tmp_path, boxes) -> None:
    record = tmp_path / "record.json"
    status, out, _ = run(capsys, monkeypatch, "read", f"{boxes}:last", "--json", str(record))
    assert status == 0
    assert "y = 2l − a + K − 2,  x = m − b + L − 1" in out
    assert "a convolution: stride (2, 1), padding (1 before and 0 after, 0 before and 2 after)" in out
    found = json.loads(record.read_text(encoding="utf-8"))
    assert (found["stride"], found["padding"], found["turned"]) == ([2, 1], [[1, 0], [0, 2]], True)
    assert found["layout"] == "NHWC,HWIO->NHWC"


def test_read_writes_latex(capsys, monkeypatch, boxes) -> None:
    status, out, _ = run(capsys, monkeypatch, "read", f"{boxes}:forward", "--bias", "--latex")
    assert (status, len(out.splitlines())) == (0, 1)
    assert "b_{i}" in out


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("broken", "no attribute 'nope' (broken, line 15: `return X.nope`)"),
        ("dies", "the process ended"),
    ],
)
def test_read_says_why_there_is_no_formula(capsys, monkeypatch, tmp_path, boxes, name, why) -> None:
    record = tmp_path / "record.json"
    status, out, _ = run(capsys, monkeypatch, "read", f"{boxes}:{name}", "--json", str(record))
    assert status == 1
    assert why in out
    found = json.loads(record.read_text(encoding="utf-8"))
    assert found["formula"] is None
    assert why in found["why"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.py:forward"], "nowhere.py does not exist"),
        (["{boxes}:lsat"], "did you mean last?"),
        (["{boxes}:-"], "it needs a file and a function in it"),
        (["boxes"], "FUNCTION is 'boxes'"),
        (["{boxes}:last", "--layout", "NHCW"], 'layout is "NHCW"'),
        (["{boxes}:last", "--dtype", "float16"], "dtype is 'float16'"),
        (["{boxes}:last", "--axes", "4"], "--axes is 4"),
        (["{boxes}:last", "--torch", "--jax"], "--torch and --jax are both given"),
        (["{boxes}:last", "--json", "no/such/folder/f.json"], "in a folder that does not exist"),
    ],
)
def test_read_refuses_unusable_arguments(capsys, monkeypatch, boxes, arguments, said) -> None:
    status, _, err = run(capsys, monkeypatch, "read", *(each.format(boxes=boxes) for each in arguments))
    assert status == 2
    assert said in err


CLASSES = """
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
class Conv:
    def __init__(self, in_channels, filters, kernel_size, strides=2):
        self.W, self.strides = np.zeros((*kernel_size, in_channels, filters)), strides
    def __call__(self, X):
        s, windows = self.strides, sliding_window_view(X, self.W.shape[:2], axis=(1, 2))
        return np.einsum("nlmkab,abki->nlmi", windows[:, ::s, ::s], self.W)
class Square(Conv):
    def __init__(self, in_channels, filters, kernel_size):
        super().__init__(in_channels, filters, (kernel_size, kernel_size), 1)
"""


@pytest.mark.parametrize(
    ("options", "stride"), [(["--stride", "1"], [1, 1]), (["--stride", "3", "--layout", "NHWC,HWIO->NHWC"], [3, 3])]
)
def test_read_takes_what_audit_takes(capsys, monkeypatch, tmp_path, options, stride) -> None:
    (tmp_path / "layers_of_somebody.py").write_text(CLASSES)
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(capsys, monkeypatch, "read", "layers_of_somebody:Conv", *options, "--json", "r.json")
    record = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert (status, record["stride"]) == (0, stride)
    assert "S[l, m, i] = Σ X[y, x, k] · F[a, b, k, i]" in out
    assert record["layout"].startswith("NHWC,HWIO->")
    assert "layer.W" in record["notes"][0]


def test_read_refuses_code_that_takes_square_filters_alone(capsys, monkeypatch, tmp_path) -> None:
    (tmp_path / "layers_of_somebody.py").write_text(CLASSES)
    status, out, _ = run(capsys, monkeypatch, "read", f"{tmp_path / 'layers_of_somebody.py'}:Square")
    assert status == 1
    assert "one size for all axes of a filter" in out


def test_progress_is_shown_on_a_terminal_alone(monkeypatch) -> None:
    with cli._progress("calling") as progress:
        assert progress is None
    screen = io.StringIO()
    console = functools.partial(Console, force_terminal=True, file=screen, width=80)
    monkeypatch.setattr(cli, "Console", lambda stderr: console())
    with cli._progress("calling") as progress:
        assert progress is not None
        progress(3, 12)
    assert "3/12" in screen.getvalue()


@pytest.mark.parametrize("command", ["audit", "read"])
def test_every_call_is_progress(capsys, monkeypatch, boxes, command) -> None:
    told: list[tuple[int, int | None]] = []
    monkeypatch.setattr(cli, "_progress", lambda title: contextlib.nullcontext(lambda *counts: told.append(counts)))
    run(capsys, monkeypatch, command, f"{boxes}:relu", "--axes", "1")
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert len(told) > 100
    assert all(total is None or done <= total for done, total in told)


OTHER_LAYERS = """
import numpy as np
def relu(S, G):
    return G * (S > 0)
def relu_of_g(S, G):
    return G * (G > 0)
def forward(W, H):
    return H.reshape(len(H), -1) @ W.T
def backward(W, H, g):
    return g.T @ H.reshape(len(H), -1), (g @ W).reshape(H.shape)
def forward_bias(W, H, b):
    return forward(W, H) - b
def softmax(s, y):
    p = np.exp(s - s.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True) - y
def loss(s, y):
    z = s - s.max(axis=1, keepdims=True)
    return (np.log(np.exp(z).sum(axis=1)) - (y * z).sum(axis=1)).mean()
"""


@pytest.fixture
def layers(tmp_path):
    file = tmp_path / "layers_of_somebody.py"
    file.write_text(OTHER_LAYERS)
    return str(file)


@pytest.mark.parametrize(
    ("name", "options", "status", "said"),
    [
        ("relu", ["--layer", "relu", "--dtype", "float16"], 0, "✓ ∂l/∂S is right: ReLU, float16"),
        ("-", ["--layer", "relu", "--backward", "relu"], 0, "✓ ∂l/∂S is right: ReLU, float64"),
        (
            "relu_of_g",
            ["--layer", "relu", "--seed", "2"],
            1,
            "✗ ∂l/∂S is wrong: the mask is computed from G, not from S",
        ),
        ("forward", ["--layer", "fully-connected", "--backward", "backward"], 0, "✓ s, ∂l/∂W, ∂l/∂H are right"),
        ("forward_bias", ["--layer", "fully-connected", "--bias"], 1, "✗ s is wrong: the sign of the bias is wrong"),
        ("loss", ["--layer", "softmax"], 0, "✓ l is right: softmax with cross-entropy, mean over the mini-batch"),
        ("-", ["--layer", "softmax", "--sum", "--backward", "softmax"], 0, "✓ ∂l/∂s is right"),
        ("-", ["--layer", "softmax", "--backward", "softmax"], 1, "✗ ∂l/∂s is wrong: it is not divided by the number"),
    ],
)
def test_audit_of_other_layers(capsys, monkeypatch, layers, name, options, status, said) -> None:
    found, out, err = run(capsys, monkeypatch, "audit", f"{layers}:{name}", *options)
    assert (found, err) == (status, "")
    assert out.startswith(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--layer", "relu", "--stride", "1"], "--stride is for --layer convolution, not for relu; leave it out"),
        (["--layer", "softmax", "--padding", "1"], "--padding is for --layer convolution, not for softmax"),
        (["--layer", "relu", "--dilation", "2"], "--dilation is for --layer convolution, not for relu"),
        (["--layer", "fully-connected", "--groups", "2"], "--groups is for --layer convolution, not for fully-connec"),
        (["--layer", "fully-connected", "--axes", "2"], "--axes is for --layer convolution"),
        (["--layer", "relu", "--torch"], "--torch is for --layer convolution"),
        (["--layer", "relu", "--jax"], "--jax is for --layer convolution"),
        (["--layer", "softmax", "--layout", "NC"], "--layout is for --layer convolution"),
        (["--layer", "relu", "--bias"], "--bias is for --layer convolution and fully-connected, not for relu; leave"),
        (["--sum"], "--sum is for --layer softmax, not for convolution; leave it out"),
        (["--layer", "relu", "--backward", "relu"], "--layer relu audits only a backward pass"),
        (["--layer", "softmax", "--dtype", "int32"], "dtype is 'int32'; it needs one of float64, float32"),
        (["--layer", "pooling"], "'pooling' is not one of"),
    ],
)
def test_options_that_do_not_apply_to_a_layer(capsys, monkeypatch, layers, arguments, said) -> None:
    status, out, err = run(capsys, monkeypatch, "audit", f"{layers}:relu", *arguments)
    assert (status, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())


def test_the_backward_pass_alone_needs_a_backward_pass(capsys, monkeypatch, layers) -> None:
    status, _, err = run(capsys, monkeypatch, "audit", f"{layers}:-")
    assert status == 2
    assert err == f"jacobians: FORWARD is '{layers}:-', for the backward pass alone; it needs --backward\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.py:forward"], "nowhere.py does not exist; name a Python file"),
        (["no.such.module:forward"], "no.such.module does not exist; name a Python file"),
        (["forward"], "FORWARD is 'forward'; it needs a file and a function in it, like conv.py:forward"),
        (["CODE:forwrd"], "has no function 'forwrd'; did you mean forward?"),
        (["CODE:forward", "--torch", "--jax"], "--torch and --jax are both given"),
        (["CODE:forward", "--dtype", "float8"], "dtype is 'float8'; it needs one of"),
        (["CODE:forward", "--dtype", "flaot32"], "did you mean float32?"),
        (["CODE:forward", "--padding", "smae"], "did you mean same?"),
        (["CODE:zzz"], "has no function 'zzz'; it has Layer, "),
        (
            ["CODE:forward", "--junit", "no/such/folder/x.xml"],
            "--junit is no/such/folder/x.xml, in a folder that does not",
        ),
        (["CODE:forward", "--torch", "--backward", "backward"], "--backward is for NumPy code"),
    ],
)
def test_unusable_arguments_of_audit(capsys, monkeypatch, code, arguments, said) -> None:
    given = [argument.replace("CODE", code) for argument in arguments]
    status, out, err = run(capsys, monkeypatch, "audit", *given)
    assert (status, out) == (2, "")
    assert said in err


MODULES = """
from torch.nn import Conv2d, Module, Parameter
from torch import randn
from torch.nn.functional import conv2d
depthwise, strided = Conv2d(4, 4, 3, padding=1, groups=4), Conv2d(1, 1, 1, stride=2, bias=False)
class Own(Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1):
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.weight = stride, Parameter(randn(out_channels, in_channels, *kernel_size))
    def forward(self, x):
        return conv2d(x, self.weight[:, : self.in_channels], stride=self.stride)
own = Own(3, 2, (3, 2), 2)
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    pytest.importorskip("torch")
    file = tmp_path_factory.mktemp("modules") / "modules_of_somebody.py"
    file.write_text(MODULES)
    return str(file)


@pytest.fixture
def loaded_here(monkeypatch):
    """Load code in this process: PyTorch takes longer to load in another one than all that is tested."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(isolation, "isolated", lambda load, timeout: load())
    yield
    sys.modules.pop("modules_of_somebody", None)


def test_a_module_in_another_process_has_its_own_options(capsys, monkeypatch, modules) -> None:
    status, out, _ = run(capsys, monkeypatch, "audit", f"{modules}:depthwise", "--torch")
    assert status == 0
    assert out.splitlines()[0].endswith(": 2 spatial axes, stride 1, padding 1, groups 4, bias, float64")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("own", [], "2 spatial axes, stride 2, padding 0, float64"),
        ("Own", ["--torch", "--stride", "2"], "2 spatial axes, stride 2, padding 0, float64"),
    ],
)
def test_a_modules_options_are_its_own(capsys, monkeypatch, loaded_here, modules, name, options, said) -> None:
    status, out, _ = run(capsys, monkeypatch, "audit", f"{modules}:{name}", *options)
    assert (status, out.splitlines()[0].partition(": ")[2]) == (0, said)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("strided", ["--stride", "1"], "stride is 1, but the code under audit has stride (2, 2)"),
        ("strided", ["--bias"], "forward is a Conv2d with parameters weight; with bias=True it needs exactly"),
        ("depthwise", ["--no-bias"], "forward is a Conv2d with parameters weight, bias; with bias=False it needs"),
    ],
)
def test_options_that_contradict_a_module_are_no_verdict(
    capsys, monkeypatch, loaded_here, modules, name, options, said
) -> None:
    status, out, err = run(capsys, monkeypatch, "audit", f"{modules}:{name}", "--torch", *options)
    assert (status, out) == (2, "")
    assert err.startswith(f"jacobians: {said}")


def test_a_framework_that_is_not_installed_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ValueError, match=r"^--jax needs jax: pip install 'jacobians\[jax\]'$"):
        in_framework("jax", convolution.convolve, dtype="float64", bias=False)


@pytest.mark.parametrize("command", [command.callback.__name__ for command in cli.app.registered_commands])
def test_help_has_examples(capsys, monkeypatch, command) -> None:
    status, out, _ = run(capsys, monkeypatch, command, "--help")
    assert status == 0
    assert f"`jacobians {command}" in out.partition("Examples")[2]


def test_help_says_how_to_switch_completion_on(capsys, monkeypatch) -> None:
    _, out, _ = run(capsys, monkeypatch, "--help")
    assert "completion of commands, options and names in your shell: jacobians --install-completion" in " ".join(
        out.split()
    )


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ver", ["verify"]),
        ("show fil", ["filter_matrix", "filter_gradient"]),
        ("show filter-", ["filter-matrix", "filter-gradient"]),
        ("show --format la", ["latex"]),
        ("plot rot", ["rotated-filter"]),
        ("audit conv.py:forward --layer so", ["softmax"]),
        ("audit conv.py:forward --dtype bf", ["bfloat16"]),
        ("verify --only L1", ["L1", *(f"L1{digit}" for digit in range(10))]),
        ("verify --only L18,L24", ["L18,L24"]),
    ],
)
def test_the_shell_is_offered_what_goes_on_from_what_is_typed(capsys, monkeypatch, typed, offered) -> None:
    monkeypatch.setenv("_JACOBIANS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"jacobians {typed}")
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split())))
    status, out, _ = run(capsys, monkeypatch)
    assert status == 0
    assert out.split() == offered


def test_explore_writes_a_page_and_says_where(capsys, monkeypatch, tmp_path) -> None:
    file = tmp_path / "page.html"
    options = ["--image", "2x3x4", "--filter", "2x3", "--stride", "2,1", "--padding", "1:0,0", "-o", str(file)]
    status, out, err = run(capsys, monkeypatch, "explore", *options)
    assert (status, err) == (0, "")
    assert f"; open it in a browser: {file.as_uri()}" in out
    page = file.read_text(encoding="utf-8")
    assert '"start":{"stride":"2,1","padding":"1:0,0","dilation":"1"}' in page
    assert "X_2,34" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--image", "6x6x6x6"],
            "filters has 4 axes (1, 6, 3, 3) but an image of shape (6, 6, 6, 6) has 3 spatial axes",
        ),
        (["--image", "1x3x3x3", "--filter", "1x1x2x2x2"], "geometry has 3 spatial axes but the explorer shows planes"),
        (["--image", "12x12"], "take a smaller image, of at most 11×11 pixels"),
        (["--image", "2x2"], "filters has 3 taps on spatial axis 0"),
        (["-o", "no/such/folder/x.html"], "--output is no/such/folder/x.html, in a folder that does not exist"),
    ],
)
def test_unusable_arguments_of_explore(capsys, monkeypatch, tmp_path, arguments, said) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, monkeypatch, "explore", *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert list(tmp_path.iterdir()) == []
