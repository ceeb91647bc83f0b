"""Every class of error in published convolution code: found by default, named, and shown on a case with few numbers."""

import dataclasses
import itertools
import math
import re
from collections.abc import Callable

import numpy as np
import pytest

from jacobians import audit
from tests.convolutions import Layer

PLAIN = Layer()


@dataclasses.dataclass(frozen=True)
class Bug:
    """Wrong code, the first line that its audit has to print, and the most numbers of X, F and S in its case."""

    name: str
    said: str
    numbers: int
    forward: Callable | None = None
    backward: Callable | None = None
    options: dict = dataclasses.field(default_factory=dict)
    bias: bool = False


def layer_of(options) -> Layer:
    return Layer(**options)


def gradients(options, *, dX=None, dF=None, db=None, bias=False):
    """A backward pass with some gradients replaced: functions of (right gradients, X, F, G, layer)."""
    layer = layer_of(options)

    def backward(X, F, *rest):
        right = list(layer.backward(X, F, *rest))
        changed = [
            change(right, X, F, rest[-1], layer) if change else each
            for change, each in zip((dX, dF, db), right, strict=False)
        ]
        return tuple(changed)

    return backward


def on_image(name, said, numbers, change, **options):
    return Bug(name, f"∂l/∂X {said}", numbers, backward=gradients(options, dX=change), options=options)


def on_filters(name, said, numbers, change, **options):
    return Bug(name, f"∂l/∂F {said}", numbers, backward=gradients(options, dF=change), options=options)


def on_bias(name, said, numbers, change):
    return Bug(name, f"∂l/∂b {said}", numbers, backward=gradients({}, db=change), bias=True)


def on_responses(name, said, numbers, change, *, bias=False, **options):
    layer = layer_of(options)

    def forward(X, F, *b):
        return change(layer.forward(X, F, *b), X, F, *b)

    return Bug(name, f"S {said}", numbers, forward=forward, options=options, bias=bias)


def tail(X, F, layer):
    """Rows and columns that no window reaches."""
    return [
        (size + sum(zeros) - (k - 1) * d - 1) % s
        for size, k, zeros, s, d in zip(X.shape[2:], F.shape[2:], layer.p, layer.s, layer.d, strict=True)
    ]


def rolled(r, X, F, G, layer):
    wide = Layer(stride=layer.s).backward(layer.pad(X), F, G)[0]
    return layer.cut(np.roll(wide, tail(X, F, layer), axis=(2, 3)), X)


def zero_tail(r, X, F, G, layer):
    dX = r[0].copy()
    for axis, rest in zip((2, 3), tail(X, F, layer), strict=True):
        if rest:
            np.moveaxis(dX, axis, 0)[-rest:] = 0
    return dX


def scattered(X, F, G, before, stride, dilation):
    """∂l/∂X by scattering each product to l·s − p + i·δ; what falls outside is lost."""
    dX = np.zeros_like(X)
    for y, x, a, b in itertools.product(*map(range, (*G.shape[2:], *F.shape[2:]))):
        at = [l * s - p + i * d for l, i, s, d, p in zip((y, x), (a, b), stride, dilation, before, strict=True)]
        if all(0 <= each < size for each, size in zip(at, X.shape[2:], strict=True)):
            dX[:, :, at[0], at[1]] += G[:, :, y, x] @ F[:, :, a, b]
    return dX


def gathered(X, F, G, before, stride, dilation, taps=None):
    """∂l/∂F by reading each product at l·s − p + i·δ."""
    dF = np.zeros((*F.shape[:2], *(taps or F.shape[2:])), X.dtype)
    for y, x, a, b in itertools.product(*map(range, (*G.shape[2:], *dF.shape[2:]))):
        at = [l * s - p + i * d for l, i, s, d, p in zip((y, x), (a, b), stride, dilation, before, strict=True)]
        if all(0 <= each < size for each, size in zip(at, X.shape[2:], strict=True)):
            dF[:, :, a, b] += G[:, :, y, x].T @ X[:, :, at[0], at[1]]
    return dF


ONE, TWO = (1, 1), (2, 2)


def left_out(step, held):
    def change(S, X, F):
        first = S.shape[3] // step * step
        if S.shape[3] > step:
            S[..., first:] = held(S, first)
        return S

    return change


def racing():
    """Threads of 16 products each add to shared sums without a lock: where there are two, updates get lost."""
    chance = np.random.default_rng()  # as little to be foretold as the order of threads

    def change(r, X, F, G, layer):
        lost = chance.random(G.shape) < (0.5 if G[:, 0].size > 16 else 0)
        return layer.backward(X, F, np.where(lost, 0, G))[1]

    return change


def with_stride(options):
    return lambda S, X, F: Layer(**options).forward(X, F)


def along(axis):
    """Add the bias along another axis where that is long enough, and to the first filters else."""

    def change(S, X, F, b):
        S = PLAIN.forward(X, F)
        if len(b) == S.shape[axis]:
            return S + b.reshape(-1, *(1,) * (3 - axis))
        return S + b[:, None, None]

    return change


BUGS = [
    on_image("tail in front, stride 3", "is wrong: the tail is put back in front", 29, rolled, stride=3),
    on_image(
        "tail zero-filled",
        "is wrong: the tail's rows and columns are set to 0",
        29,
        zero_tail,
        stride=2,
        padding=1,
    ),
    on_filters(
        "stride ↔ dilation",
        "is wrong: stride and dilation are swapped",
        9,
        lambda r, X, F, G, l: gathered(X, F, G, (0, 0), ONE, TWO),
        stride=2,
    ),
    on_responses(
        "stride ↔ dilation",
        "has shape (1, 1, 1, 1), not (1, 1, 1, 2): stride and dilation are swapped",
        9,
        with_stride({"dilation": 1, "stride": 2}),
        dilation=2,
    ),
    on_responses(
        "dilation forgotten in the padding",
        "has shape (1, 1, 1, 0), not (1, 1, 1, 1): the padding is that of a filter that is not dilated",
        29,
        lambda S, X, F: Layer(dilation=2, padding=[((k - 1) // 2, k // 2) for k in F.shape[2:]]).forward(X, F),
        dilation=2,
        padding=((0, 0), (1, 1)),
    ),
    on_image(
        "one axis for both: stride",
        "is wrong: the stride of the first axis is used for all",
        6,
        lambda r, X, F, G, l: scattered(X, F, G, (0, 0), (3, 3), ONE),
        stride=(3, 2),
    ),
    on_image(
        "one axis for both: padding",
        "is wrong: the padding of the first axis is used for all",
        7,
        lambda r, X, F, G, l: scattered(X, F, G, (1, 1), ONE, ONE),
        padding=((1, 1), (2, 0)),
    ),
    on_responses(
        "h and w exchanged",
        "is wrong: h and w of the filter are exchanged",
        9,
        lambda S, X, F: PLAIN.forward(X, F.swapaxes(2, 3)) if F.shape[2] == F.shape[3] else S,
    ),
    on_responses(
        "one plane summed",
        "is wrong: only the first plane is summed",
        8,
        lambda S, X, F: PLAIN.forward(X[:, :1], F[:, :1]),
    ),
    on_responses(
        "S in Fortran order",
        "is wrong: it is reshaped in Fortran order",
        22,
        lambda S, X, F: np.stack([each.ravel().reshape(each.shape, order="F") for each in S]),
    ),
    on_bias(
        "wrong axes",
        "has shape (1, 1, 1), not (1,): the positions are not summed",
        8,
        lambda r, X, F, G, l: G.sum(axis=0),
    ),
    on_bias(
        "columns left",
        "is wrong: it is summed over the wrong axes: columns are left, not filters",
        8,
        lambda r, X, F, G, l: G.sum(axis=(0, 1, 2)) if G.shape[3] == len(F) else r[2],
    ),
    on_responses("bias along rows", "is wrong: the bias runs along the rows, not the filters", 8, along(2), bias=True),
    on_filters(
        "divided by N·h'·w'",
        "is wrong: it is divided by images times responses",
        5,
        lambda r, X, F, G, l: r[1] / (G[:, 0].size),
    ),
    on_image("twice", "is wrong: it is twice what it should be", 5, lambda r, X, F, G, l: 2 * r[0]),
    on_responses(
        "remainder of 4",
        "is wrong: the columns of S that are left over after blocks of 4 stay 0",
        11,
        left_out(4, lambda S, first: 0),
    ),
    on_responses(
        "remainder of 8",
        "is wrong: the last w' mod 8 columns are not computed; they hold 0",
        19,
        left_out(8, lambda S, first: 0),
    ),
    on_responses(
        "remainder of 16",
        "is wrong: the last w' mod 16 columns are not computed; they hold right numbers from other places",
        35,
        left_out(16, lambda S, first: S[..., :1]),
    ),
    on_responses(
        "even k",
        "is wrong, and no known formula explains it",
        9,
        lambda S, X, F: np.roll(S, 1, axis=3) if F.shape[3] % 2 == 0 else S,
    ),
    on_filters("race", "differs from call to call", 60, racing()),
    on_responses(
        "wrapped", "wraps around at 32 bits", 3, lambda S, X, F: S.astype(np.int64).astype(np.int32).astype(float)
    ),
    on_responses(
        "one too few",
        "has shape (1, 1, 0, 0), not (1, 1, 1, 1): the number of responses is one too small",
        10,
        lambda S, X, F: S[:, :, :-1, :-1],
    ),
]


# What is wrong at few layers.
WHOLE = {"bias along rows", "remainder of 8", "remainder of 16"}


def numbers_of(finding, options):
    """Count the numbers of X, F and S in the case that a finding names: its arrays are empty where they are large."""
    X, F = (tuple(map(int, sizes.split("×"))) for sizes in re.findall(r"[XF] ([\d×]+)", finding.case))
    X = (1, *X)[-4:]
    responses = layer_of(options).out(np.broadcast_to(0, X), np.broadcast_to(0, F))
    return math.prod(X) + math.prod(F) + X[0] * F[0] * math.prod(responses)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.said.split()[0]} {bug.name}")
def test_bug_is_found_named_and_small(bug, request) -> None:
    if bug.name not in WHOLE:
        request.getfixturevalue("fewer")
    report = audit(bug.forward, bug.backward, bias=bug.bias, **bug.options)
    finding = report.findings[0]
    about, said = bug.said.split(" ", 1)
    assert finding.about == about, str(report)
    # Formulas have names of their own (test_audit_table.py); what else is wrong is said in these words.
    if not said.startswith(("is wrong: ", "is wrong, ", "has shape ")) or "mod" in said:
        assert finding.title.startswith(said), str(report)
    assert len({each.about for each in report.findings}) == 1, str(report)
    assert finding.cure or finding.known
    # What depends on other calls is shown where these were made.
    assert finding.kind in {"state", "in place"} or numbers_of(finding, bug.options) <= bug.numbers + 8, str(report)
