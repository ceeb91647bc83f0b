"""The code of a finding: what wrong code makes it print differs from what is right, and right code makes it equal."""

import copy
import itertools

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from jacobians import Geometry, audit
from jacobians.audit.conduct.layouts import LAYOUTS
from tests.convolutions import Im2col, Layer

PLAIN, LOOPS = Im2col(), Layer()
COUNTER = itertools.count(1)


def printed(finding, **functions):
    """The last two things that the code of a finding prints."""
    values = []
    # An import of this module would give the wrong functions also where the right ones are asked for.
    text = "\n".join(line for line in finding.code.splitlines() if not line.startswith("from "))
    exec(text, {**functions, "print": values.append})
    # Dtypes are no numbers.
    return [each if isinstance(each, np.dtype) else np.asarray(each, np.float64) for each in values[-2:]]


def same(got, right):
    if isinstance(got, np.dtype):
        return got == right
    return np.array_equal(got, right, equal_nan=True)


def forward_with(change):
    return lambda X, F: change(PLAIN.forward(X, F), X, F)


def backward_with(change):
    return lambda X, F, G: change(*PLAIN.backward(X, F, G), X, F, G)


class Buffer:
    def __init__(self):
        self.held = {}

    def __call__(self, X, F):
        S = PLAIN.forward(X, F)
        kept = self.held.setdefault(S.shape, np.empty_like(S))
        kept[...] = S
        return kept


class Sums(Buffer):
    def __call__(self, X, F):
        key = X.shape, F.shape
        self.held[key] = self.held.get(key, 0) + PLAIN.forward(X, F)
        return self.held[key].copy()


class Cache(Buffer):
    """Filters by a key that others have too."""

    def __init__(self, key):
        super().__init__()
        self.key = key

    def __call__(self, X, F):
        return PLAIN.forward(X, self.held.setdefault((F.shape, self.key(F)), F.copy()))


class Last(Buffer):
    """A shift is left from a call with a larger image."""

    def __init__(self, images):
        super().__init__()
        self.images = images

    def __call__(self, X, F):
        before = self.held.get("size", 0)
        self.held["size"] = X.size
        left = before > 500 and len(X) == self.images
        return PLAIN.forward(X, F) + left * 3 * np.nan_to_num(X).max() * np.nan_to_num(F).max()


class Saved:
    def forward(self, X, F):
        self.X = X.copy()
        return PLAIN.forward(X, F)

    def backward(self, X, F, G):
        return PLAIN.backward(self.X, F, G)


def strides_ignored(X, F):
    step = X.itemsize * np.cumprod((1, *X.shape[:0:-1]))[::-1]
    return PLAIN.forward(as_strided(X, X.shape, step.tolist()).copy(), F)


def in_place(X, F):
    X *= 2
    return PLAIN.forward(X, F) / 2


def blocks(X, F):
    S = PLAIN.forward(X, F)
    S[256:] = 0
    return S


def blocks_of_sums(dX, dF, X, F, G):
    return dX, PLAIN.backward(X[:65536], F, G[:65536])[1]


SAVED = Saved()
# Title, and the wrong code.
WRONG = {
    "depends on the memory layout of X": (strides_ignored, None),
    "changes X in place": (in_place, None),
    "is overwritten by a later call": (Buffer(), None),
    "is added to the result of the call before": (Sums(), None),
    "is the result of the call before": (Cache(lambda F: float(F.sum())), None),
    "depends on earlier calls: it is right for the first numbers": (Cache(lambda F: 0), None),
    "depends on the call before": (Last(2), None),
    "depends on the call": (Last(1), None),
    "depends on the last call of forward": (SAVED.forward, SAVED.backward),
    "differs from call to call": (forward_with(lambda S, X, F: S + next(COUNTER) % 3), None),
    "is wrong now and then: in ": (forward_with(lambda S, X, F: S + (next(COUNTER) % 50 == 9)), None),
    "is not 0 where all numbers are 0": (forward_with(lambda S, X, F: S + 1e-9), None),
    "is not 0 where F is 0": (forward_with(lambda S, X, F: S + 1e-9 * np.sign(X).max()), None),
    "is wrong: 0.001·F is added": (None, backward_with(lambda dX, dF, X, F, G: (dX, dF + 1e-3 * F))),
    "is rounded to integers": (forward_with(lambda S, X, F: np.rint(S)), None),
    "is wrong for real numbers": (forward_with(lambda S, X, F: np.round(S, 9)), None),
    "is wrong for a NaN in X: the NaN does not reach": (forward_with(lambda S, X, F: np.nan_to_num(S)), None),
    "is wrong for a NaN in F: the NaN does not reach": (lambda X, F: PLAIN.forward(X, np.nan_to_num(F)), None),
    "is wrong for a NaN in F: the NaN reaches": (forward_with(lambda S, X, F: S + 0 * F.sum()), None),
    "is wrong for a NaN in X: the NaN reaches": (forward_with(lambda S, X, F: S + 0 * X[-1].sum()), None),
    "is wrong for a NaN in G: the NaN reaches": (None, backward_with(lambda dX, dF, X, F, G: (dX, dF + 0 * G.sum()))),
    "has dtype float32": (forward_with(lambda S, X, F: S.astype(np.float32)), None),
    "has shape (1,), not (1, 1, 1, 1)": (forward_with(lambda S, X, F: S.ravel()), None),
    "is wrong for 257 images": (blocks, None),
    "is wrong for 65537 images": (None, backward_with(blocks_of_sums)),
}


@pytest.mark.parametrize("title", WRONG)
def test_the_code_of_a_finding_shows_it(title, request):
    if "NaN" not in title:  # which reaches too far at large layers alone
        request.getfixturevalue("fewer")
    forward, backward = WRONG[title]
    fresh = copy.deepcopy(WRONG[title])  # without what the audit leaves in it
    finding = next(each for each in audit(forward, backward).findings if each.title.startswith(title))
    assert "jacobians" not in finding.code
    got, right = printed(finding, forward=fresh[0], backward=fresh[1])
    assert not same(got, right)
    got, right = printed(finding, forward=PLAIN.forward, backward=PLAIN.backward)
    assert same(got, right)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: each.name)
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5), (3, 1, 2)])
def test_the_python_of_a_layout_makes_that_layout(layout, shape):
    A = np.random.default_rng(3).integers(1, 99, shape).astype(np.float32)
    made = eval(layout.text, {"np": np, "A": A})
    np.testing.assert_array_equal(made, A)
    np.testing.assert_array_equal(layout.arrange(A), A)
    assert made.strides == layout.arrange(A).strides
    assert (made.base is None) == (layout.arrange(A).base is None)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "int32"])
def test_the_code_of_a_large_case_has_all_of_its_numbers(dtype):
    def wrong(X, F):
        S = LOOPS.forward(X, F)
        S[..., -1] += X.size > 3000
        return S

    layer = Geometry((3, 32, 35), (2, 3, 1, 1))
    finding = audit(wrong, dtype=dtype, geometries=[layer]).findings[0]
    got, right = printed(finding, forward=wrong)
    assert got.size
    assert not np.any(got == right)
    assert all(each.size == 0 for each in printed(finding, forward=LOOPS.forward))
