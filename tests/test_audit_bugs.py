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


def turned(F):
    return F[:, :, ::-1, ::-1]


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


def without_tail(r, X, F, G, layer):
    h, w = (size - rest for size, rest in zip(X.shape[2:], tail(X, F, layer), strict=True))
    return r[0][:, :, :h, :w]


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


def starts(layer):
    return tuple(before for before, _ in layer.p)


def taps_from_behind(r, X, F, G, layer):
    taps = [k + rest for k, rest in zip(F.shape[2:], tail(X, F, layer), strict=True)]
    wide = gathered(X, F, G, starts(layer), layer.s, layer.d, taps)
    return wide[:, :, -F.shape[2] :, -F.shape[3] :]


def all_taps(r, X, F, G, layer):
    taps = [k + rest for k, rest in zip(F.shape[2:], tail(X, F, layer), strict=True)]
    return gathered(X, F, G, starts(layer), layer.s, layer.d, taps)


ONE, TWO = (1, 1), (2, 2)
P1 = ((1, 1), (1, 1))


def windows(layer, X, F):
    """Yield (filter, row, column, index of its window in the padded image)."""
    k, l = ((size - 1) * step + 1 for size, step in zip(F.shape[2:], layer.d, strict=True))
    H, W = (size + sum(zeros) for size, zeros in zip(X.shape[2:], layer.p, strict=True))
    c, m = F.shape[1], len(F) // layer.g
    for i in range(len(F)):
        for y in range((H - k) // layer.s[0] + 1):
            for x in range((W - l) // layer.s[1] + 1):
                top, left, first = y * layer.s[0], x * layer.s[1], i // m * c
                rows, columns = slice(top, top + k, layer.d[0]), slice(left, left + l, layer.d[1])
                yield i, y, x, (slice(None), slice(first, first + c), rows, columns)


def assigned(r, X, F, G, layer):
    padded = layer.pad(np.zeros_like(X))
    for i, y, x, window in windows(layer, X, F):
        if i == 0:
            padded[window] = np.tensordot(G[:, :, y, x], F, 1)
    return layer.cut(padded, X)


def columns_planes_last(S, X, F):
    order = np.moveaxis(F.reshape(len(F), *F.shape[2:], F.shape[1]), -1, 1)
    return PLAIN.forward(X, order)


def by_first_group(layer):
    return lambda S, X, F: layer.forward(np.concatenate([X[:, : F.shape[1]]] * layer.g, axis=1), F)


def interleaved(S, X, F):
    order = np.arange(len(F)).reshape(-1, 2).T.ravel()
    result = np.empty_like(S)
    result[:, order] = S
    return result


def stale(X):
    """Memory that is not zero by chance."""
    return np.full_like(X, np.nan)


def unwritten(r, X, F, G, layer):
    dX = stale(X)
    reached = layer.backward(X, np.ones_like(F), np.ones_like(G))[0] != 0
    dX[reached] = r[0][reached]
    return dX


def in_memory(A):
    return np.ravel(A, order="K").reshape(A.shape)


def left_out(step, held):
    def change(S, X, F):
        first = S.shape[3] // step * step
        if S.shape[3] > step:
            S[..., first:] = held(S, first)
        return S

    return change


def other_map(S, X, F):
    """Numbers of another column."""
    return S[..., ::-1]


def racing():
    """Threads of 16 products each add to shared sums without a lock: where there are two, updates get lost."""
    chance = np.random.default_rng()  # as little to be foretold as the order of threads

    def change(r, X, F, G, layer):
        lost = chance.random(G.shape) < (0.5 if G[:, 0].size > 16 else 0)
        return layer.backward(X, F, np.where(lost, 0, G))[1]

    return change


def cached():
    kept = {}
    return lambda S, X, F: kept.setdefault((X.shape, F.shape), S)


def in_place(S, X, F):
    X += 1
    return S


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
    on_image(
        "tail missing",
        "has shape (1, 1, 1, 1), not (1, 1, 1, 2): the tail's rows and columns are missing",
        29,
        without_tail,
        stride=2,
    ),
    on_image("tail in front", "is wrong: the tail is put back in front", 29, rolled, stride=2, padding=1),
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
        "k + r taps",
        "has shape (1, 1, 1, 3), not (1, 1, 1, 2): the tail's rows and columns are not cut off",
        29,
        all_taps,
        stride=2,
        padding=1,
    ),
    on_filters(
        "k + r taps, cut at the wrong end",
        "is wrong: the tail is cut at the wrong end",
        29,
        taps_from_behind,
        stride=2,
        padding=1,
    ),
    on_image(
        "stride ignored",
        "is wrong: the upstream gradient is not spread by the stride",
        14,
        lambda r, X, F, G, l: scattered(X, F, G, (0, 0), ONE, ONE),
        stride=2,
    ),
    on_filters(
        "stride ignored",
        "is wrong: the upstream gradient is not spread by the stride",
        14,
        lambda r, X, F, G, l: gathered(X, F, G, (0, 0), ONE, ONE),
        stride=2,
    ),
    on_image(
        "stride ↔ dilation",
        "is wrong: stride and dilation are exchanged",
        9,
        lambda r, X, F, G, l: scattered(X, F, G, (0, 0), ONE, TWO),
        stride=2,
    ),
    on_filters(
        "stride ↔ dilation",
        "is wrong: stride and dilation are exchanged",
        9,
        lambda r, X, F, G, l: gathered(X, F, G, (0, 0), ONE, TWO),
        stride=2,
    ),
    on_responses(
        "stride ↔ dilation",
        "has shape (1, 1, 1, 1), not (1, 1, 1, 2): stride and dilation are exchanged",
        9,
        with_stride({"dilation": 1, "stride": 2}),
        dilation=2,
    ),
    on_image(
        "dilation ignored",
        "is wrong: the dilation is ignored",
        14,
        lambda r, X, F, G, l: scattered(X, F, G, (0, 0), ONE, ONE),
        dilation=2,
    ),
    on_filters(
        "dilation ignored",
        "is wrong: the dilation is ignored",
        14,
        lambda r, X, F, G, l: gathered(X, F, G, (0, 0), ONE, ONE),
        dilation=2,
    ),
    on_responses(
        "dilation ignored",
        "has shape (1, 1, 1, 2), not (1, 1, 1, 1): the dilation is ignored",
        14,
        with_stride({}),
        dilation=2,
    ),
    on_responses(
        "padding ignored",
        "has shape (1, 1, 1, 0), not (1, 1, 1, 2): the padding is ignored",
        11,
        with_stride({}),
        padding=((0, 0), (1, 1)),
    ),
    on_responses(
        "dilation forgotten in the padding",
        "has shape (1, 1, 1, 0), not (1, 1, 1, 1): the padding is that of a filter that is not dilated",
        29,
        lambda S, X, F: Layer(dilation=2, padding=[((k - 1) // 2, k // 2) for k in F.shape[2:]]).forward(X, F),
        dilation=2,
        padding=((0, 0), (1, 1)),
    ),
    on_responses(
        "one axis for both: stride",
        "has shape (1, 1, 1, 1), not (1, 1, 1, 2): the stride of the first axis is used for all",
        6,
        with_stride({"stride": 3}),
        stride=(3, 2),
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
    on_image(
        "not rotated",
        "is wrong: the filter is not rotated by 180°",
        5,
        lambda r, X, F, G, l: l.backward(X, turned(F), G)[0],
    ),
    on_image(
        "rotated in one axis",
        "is wrong: the filter is turned along its last axis only",
        5,
        lambda r, X, F, G, l: l.backward(X, F[:, :, ::-1], G)[0],
    ),
    on_filters("rotated where it must not be", "is wrong: it is turned by 180°", 5, lambda r, X, F, G, l: turned(r[1])),
    on_responses(
        "true convolution",
        "is wrong: the filter is turned by 180°",
        5,
        lambda S, X, F: PLAIN.forward(X, turned(F)),
    ),
    on_image(
        "channel axes not exchanged",
        "is wrong: the channel axes of F are exchanged",
        8,
        lambda r, X, F, G, l: l.backward(X, F.swapaxes(0, 1), G)[0] if len(F) == F.shape[1] else r[0],
    ),
    on_image(
        "channels reshaped",
        "is wrong: the channel axes of F are exchanged",
        8,
        lambda r, X, F, G, l: l.backward(X, F.reshape(F.shape[1], len(F), *F.shape[2:]).swapaxes(0, 1), G)[0],
    ),
    on_responses(
        "one plane summed",
        "is wrong: only the first plane is summed",
        8,
        lambda S, X, F: PLAIN.forward(X[:, :1], F[:, :1]),
    ),
    on_image("windows overwrite", "is wrong: windows overwrite each other", 7, assigned),
    on_image(
        "last filter wins",
        "is wrong: only the last filter counts",
        8,
        lambda r, X, F, G, l: l.backward(X, F[-1:], G[:, -1:])[0],
    ),
    on_filters(
        "last image wins",
        "is wrong: only the last image counts",
        5,
        lambda r, X, F, G, l: l.backward(X[-1:], F, G[-1:])[1],
    ),
    on_responses(
        "columns planes last",
        "is wrong: columns are planes last, filters planes first",
        22,
        columns_planes_last,
    ),
    on_responses(
        "filters column by column",
        "is wrong: filters are written column by column",
        22,
        lambda S, X, F: PLAIN.forward(X, F.swapaxes(2, 3).reshape(F.shape)),
    ),
    on_responses(
        "S column by column",
        "is wrong: it is reshaped column by column",
        22,
        lambda S, X, F: S.reshape(*S.shape[:2], S.shape[3], S.shape[2]).swapaxes(2, 3),
    ),
    on_image(
        "dX column by column",
        "is wrong: it is written column by column",
        22,
        lambda r, X, F, G, l: r[0].swapaxes(2, 3).reshape(X.shape),
    ),
    on_responses(
        "S without a transpose",
        "is wrong: it is written planes last",
        8,
        lambda S, X, F: np.moveaxis(S, 1, -1).reshape(S.shape),
    ),
    on_responses(
        "S in Fortran order",
        "is wrong: it is reshaped in Fortran order",
        22,
        lambda S, X, F: np.stack([each.ravel().reshape(each.shape, order="F") for each in S]),
    ),
    on_responses(
        "group 0 for all",
        "is wrong: every group sees the planes of group 0",
        6,
        by_first_group(Layer(groups=2)),
        groups=2,
    ),
    on_responses(
        "interleaved groups",
        "is wrong: response maps come interleaved over the groups",
        10,
        interleaved,
        groups=2,
    ),
    on_image(
        "padding larger than k − 1",
        "is wrong: padding larger than the filter is clipped",
        27,
        lambda r, X, F, G, l: scattered(X, F, G, [min(k - 1, 2) for k in F.shape[2:]], ONE, ONE),
        padding=2,
    ),
    on_responses(
        "padding exchanged",
        "is wrong: padding before and after are exchanged",
        11,
        with_stride({"padding": ((1, 0), (1, 0))}),
        padding=((0, 1), (0, 1)),
    ),
    on_image(
        "[p:-p] at p = 0",
        "has shape (1, 1, 0, 0), not (1, 1, 1, 1): it is empty, as A[p:-p] is for p = 0",
        11,
        lambda r, X, F, G, l: r[0][:, :, 0:-0, 0:-0],
    ),
    on_image(
        "padding not cut off",
        "has shape (1, 1, 3, 3), not (1, 1, 1, 1): the padding is not cut off",
        11,
        lambda r, X, F, G, l: Layer().backward(l.pad(X), F, G)[0],
        padding=1,
    ),
    on_bias(
        "mean for sum",
        "is wrong: it is divided by images times responses",
        8,
        lambda r, X, F, G, l: G.mean(axis=(0, 2, 3)),
    ),
    on_bias(
        "wrong axes",
        "has shape (1, 1, 1), not (1,): the positions are not summed",
        8,
        lambda r, X, F, G, l: G.sum(axis=0),
    ),
    on_bias(
        "images not summed",
        "has shape (1, 1), not (1,): the images are not summed",
        8,
        lambda r, X, F, G, l: G.sum(axis=(2, 3)),
    ),
    on_bias("one sum for all", "is wrong: one sum for all filters", 8, lambda r, X, F, G, l: np.full(len(F), G.sum())),
    on_bias(
        "columns left",
        "is wrong: it is summed over the wrong axes: columns are left, not filters",
        8,
        lambda r, X, F, G, l: G.sum(axis=(0, 1, 2)) if G.shape[3] == len(F) else r[2],
    ),
    on_responses(
        "b[0] for all",
        "is wrong: one bias is used for all filters",
        8,
        lambda S, X, F, b: PLAIN.forward(X, F) + b[0],
        bias=True,
    ),
    on_responses(
        "bias along columns",
        "is wrong: the bias runs along the columns, not the filters",
        8,
        along(3),
        bias=True,
    ),
    on_responses("bias along rows", "is wrong: the bias runs along the rows, not the filters", 8, along(2), bias=True),
    on_filters(
        "divided by N",
        "is wrong: it is divided by the number of images",
        5,
        lambda r, X, F, G, l: r[1] / len(X),
    ),
    on_filters(
        "divided by N·h'·w'",
        "is wrong: it is divided by images times responses",
        5,
        lambda r, X, F, G, l: r[1] / (G[:, 0].size),
    ),
    on_image("twice", "is wrong: it is twice what it should be", 5, lambda r, X, F, G, l: 2 * r[0]),
    on_image(
        "G of ones",
        "is wrong: the upstream gradient is replaced by ones",
        3,
        lambda r, X, F, G, l: l.backward(X, F, np.ones_like(G))[0],
    ),
    on_image(
        "stale memory",
        "is NaN or ∞ in 1 entry, of finite numbers: memory that was never written",
        6,
        unwritten,
        stride=(1, 2),
    ),
    on_responses(
        "memory layout",
        "depends on the memory layout of X (wrong for Fortran order)",
        9,
        lambda S, X, F: PLAIN.forward(in_memory(X), F),
    ),
    on_responses(
        "sixteen bits",
        "is wrong for 65537 images",
        8 * 65537 + 1,
        lambda S, X, F: PLAIN.forward(X[np.arange(len(X)) % 2**16], F),
    ),
    on_responses(
        "remainder of 4",
        "is wrong: what remains of the columns of S after blocks of 4 stays 0",
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
        "is wrong: the last w' mod 16 columns are not computed; they hold right numbers of other places",
        35,
        left_out(16, lambda S, first: S[..., :1]),
    ),
    on_responses(
        "garbage for a remainder",
        "is wrong: the last w' mod 8 columns are not computed; they hold memory that was never written",
        19,
        left_out(8, lambda S, first: np.nan),
    ),
    on_responses(
        "even k",
        "is wrong, and no known formula explains it",
        9,
        lambda S, X, F: np.roll(S, 1, axis=3) if F.shape[3] % 2 == 0 else S,
    ),
    on_responses(
        "combination",
        "is wrong: the number of groups is used as the stride",
        40,
        with_stride({"stride": 2, "groups": 2}),
        stride=3,
        groups=2,
    ),
    on_responses("state", "depends on the calls before", 10, cached()),
    dataclasses.replace(on_responses("in place", "", 5, in_place), said="forward changes X in place"),
    on_filters("race", "differs from call to call", 60, racing()),
    on_responses("NaN spreads", "is wrong for a NaN in X: it reaches", 12, lambda S, X, F: S + 0 * X.sum()),
    on_responses(
        "NaN is swallowed", "is wrong for a NaN in X: it misses", 12, lambda S, X, F: PLAIN.forward(np.nan_to_num(X), F)
    ),
    on_responses(
        "precision",
        "is summed in a lower precision than float64",
        100,
        lambda S, X, F: S.astype(np.float32).astype(float),
    ),
    on_responses("wrapped", "wraps at 32 bits", 3, lambda S, X, F: S.astype(np.int64).astype(np.int32).astype(float)),
    on_responses(
        "flatten",
        "is wrong: it is written planes last",
        8,
        lambda S, X, F: np.moveaxis(S, 1, -1).reshape(S.shape),
    ),
    on_responses(
        "rounded up",
        "has shape (1, 1, 1, 2), not (1, 1, 1, 1): the number of responses is rounded up",
        10,
        lambda S, X, F: np.pad(S, ((0, 0), (0, 0), *((0, int(rest > 0)) for rest in tail(X, F, Layer(stride=2))))),
        stride=2,
    ),
    on_responses(
        "one too few",
        "has shape (1, 1, 0, 0), not (1, 1, 1, 1): the number of responses is one too small",
        10,
        lambda S, X, F: S[:, :, :-1, :-1],
    ),
]


def numbers_of(finding, options):
    """Count the numbers of X, F and S in the case that a finding names: its arrays are empty where they are large."""
    X, F = (tuple(map(int, sizes.split("×"))) for sizes in re.findall(r"[XF] ([\d×]+)", finding.case))
    X = (1, *X)[-4:]
    responses = layer_of(options).out(np.broadcast_to(0, X), np.broadcast_to(0, F))
    return math.prod(X) + math.prod(F) + X[0] * F[0] * math.prod(responses)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.said.split()[0]} {bug.name}")
def test_bug_is_found_named_and_small(bug) -> None:
    report = audit(bug.forward, bug.backward, bias=bug.bias, **bug.options)
    finding = report.findings[0]
    about, said = bug.said.split(" ", 1)
    assert finding.about == about, str(report)
    # Formulas have names of their own; what else is wrong is said in these words.
    if not said.startswith(("is wrong: ", "is wrong, ", "has shape ")) or "mod" in said:
        assert finding.title.startswith(said), str(report)
    assert len({each.about for each in report.findings}) == 1, str(report)
    assert finding.cure or finding.known
    # What depends on other calls is shown where these were made.
    assert finding.kind in {"state", "in place"} or numbers_of(finding, bug.options) <= bug.numbers + 8, str(report)


def test_a_race_is_not_taken_for_a_formula_or_rounding() -> None:
    backward = next(bug.backward for bug in BUGS if bug.name == "race")
    assert audit(None, backward).findings[0].title == "differs from call to call"
