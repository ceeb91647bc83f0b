"""Singular values: against the dense decomposition, and, with circular padding, against the matrix written down."""

import itertools
import math
import pickle

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator

from jacobians import Geometry, ShapeError, TooLargeError, matrices, spectra
from jacobians.models import ConvolutionLayer, layers
from jacobians.operators import filter_operator, layer_operator
from jacobians.spectra import SingularValue, circular_singular_values, singular_values, spectral_norm
from tests.strategies import distinct

GROUPED = Geometry((4, 7, 6), (6, 2, 3, 2), stride=(2, 1), padding=((1, 2), (0, 1)), dilation=(1, 2), groups=2)
SIGNAL = Geometry((2, 9), (3, 2, 4), stride=3, padding=1)
VOLUME = Geometry((2, 3, 4, 6), (4, 1, 2, 3, 2), stride=(1, 2, 3), dilation=(2, 1, 1), padding=1, groups=2)
PLAIN = Geometry((3, 6, 8), (2, 3, 3, 2), padding=1)


def filters(geometry):
    return np.random.default_rng(3).normal(size=geometry.filters)


def exact(geometry, F):
    return np.linalg.svd(matrices.jacobian_wrt_image(F, geometry).toarray(), compute_uv=False)


def rounding(values):
    """What LAPACK promises but for a small factor, here the number of values (LAPACK Users' Guide, section 4.9)."""
    return len(values) * np.finfo(float).eps * values.max()


def circular(geometry, F):
    """The layer that continues its image periodically, as a dense matrix, entry by entry."""
    sizes = geometry.image[1:]
    out = [size // stride for size, stride in zip(sizes, geometry.stride, strict=True)]
    A = np.zeros((geometry.filters[0], *out, *geometry.image))
    for i in range(geometry.filters[0]):
        for k, at in itertools.product(range(geometry.filters[1]), np.ndindex(*out)):
            plane = geometry.planes_of(geometry.group_of(i)).start + k
            for tap in np.ndindex(*geometry.filters[2:]):
                pixel = [
                    (l * s + a * d) % size
                    for l, s, a, d, size in zip(at, geometry.stride, tap, geometry.dilation, sizes, strict=True)
                ]
                A[(i, *at, plane, *pixel)] += F[(i, k, *tap)]
    return A.reshape(geometry.filters[0] * math.prod(out), -1)


@pytest.fixture(params=["decomposed whole", "iterated"])
def way(request, monkeypatch):
    monkeypatch.setattr(spectra, "DENSE_ENTRIES", 1 << 20 if request.param == "decomposed whole" else 0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("geometry", [GROUPED, SIGNAL, VOLUME, PLAIN], ids=repr)
def test_singular_values_are_those_of_the_matrix(geometry):
    F = filters(geometry)
    wanted = exact(geometry, F)
    found = singular_values(ConvolutionLayer("one", geometry, F, None), 4, accuracy=0)
    assert len(found) == 4
    for value, right in zip(found, wanted, strict=False):
        assert abs(value - right) <= value.error + rounding(wanted)
        assert value.error <= geometry.pixels * rounding(wanted)
    norm = spectral_norm(layer_operator(F, geometry), accuracy=0)
    assert abs(norm - wanted[0]) <= norm.error + rounding(wanted)


def test_all_singular_values_can_be_asked_for(monkeypatch):
    monkeypatch.setattr(spectra, "DENSE_ENTRIES", 0)
    F = filters(SIGNAL)
    wanted = exact(SIGNAL, F)
    found = singular_values(layer_operator(F, SIGNAL), len(wanted), accuracy=0)
    assert np.abs(np.array(found) - wanted).max() <= rounding(wanted)


def test_the_error_bounds_what_an_early_end_leaves(monkeypatch):
    """Products that are a little wrong are an operator with other singular values: the error must not hide it."""
    monkeypatch.setattr(spectra, "DENSE_ENTRIES", 0)
    F, right = filters(PLAIN), exact(PLAIN, filters(PLAIN))
    early = singular_values(layer_operator(F, PLAIN), 2, accuracy=0.9)
    for value in early:
        assert np.abs(right - value).min() <= value.error + rounding(right)
    U, values, Vt = np.linalg.svd(matrices.jacobian_wrt_image(F, PLAIN).toarray(), full_matrices=False)
    A = layer_operator(F, PLAIN)
    wrong = spectra._with_errors(A, U[:, :2], values[:2] * 1.25, Vt[:2].T)
    for value, true in zip(wrong, values, strict=False):
        assert abs(value.error - abs(value - true)) <= rounding(values)  # u and v are exact, σ is not
    turned = spectra._with_errors(A, U[:, 1:3], values[:2], Vt[:2].T)
    assert all(value.error > values[1] / 2 for value in turned)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "longdouble"])
def test_every_dtype_has_singular_values(dtype):
    F = (distinct(SIGNAL.filters) % 7 - 3).astype(dtype)
    wanted = exact(SIGNAL, F.astype(float))
    found = singular_values(layer_operator(F, SIGNAL), 2)
    assert all(
        abs(a - b) <= a.error + 9 * np.finfo("float32").eps * wanted[0] for a, b in zip(found, wanted, strict=False)
    )
    in_its_own = any(value.error > rounding(wanted) for value in found)
    assert in_its_own == (dtype == "float32")  # as float64 otherwise


def test_a_value_is_a_float_with_an_error():
    value = SingularValue(2.5, 1e-3)
    assert value + 1 == 3.5
    assert value.error == 1e-3
    assert str(value) == "2.5 ± 1.0e-03"
    assert pickle.loads(pickle.dumps(value)).error == value.error  # our own bytes


def test_any_operator_has_singular_values():
    F, X = filters(PLAIN), np.random.default_rng(1).normal(size=PLAIN.image)
    matrix = matrices.jacobian_wrt_filters(X, PLAIN)
    wanted = np.linalg.svd(matrix.toarray(), compute_uv=False)
    for each in (filter_operator(X, PLAIN), aslinearoperator(matrix)):
        assert abs(spectral_norm(each, accuracy=0) - wanted[0]) <= rounding(wanted)
    right = exact(PLAIN, F)
    assert abs(spectral_norm(layer_operator(F, PLAIN).T, accuracy=0) - right[0]) <= rounding(right)


@pytest.mark.parametrize(
    "geometry",
    [
        PLAIN,
        Geometry((4, 6, 8), (6, 2, 3, 2), stride=(2, 4), dilation=(1, 2), groups=2),
        Geometry((2, 9), (3, 2, 4), stride=3),
        VOLUME,
        Geometry((1, 5, 7), (1, 1, 3, 3)),
        Geometry((2, 3), (2, 2, 3), dilation=2, padding=2),  # taps meet around the circle
    ],
    ids=repr,
)
def test_circular_singular_values_are_those_of_the_circular_matrix(geometry):
    F = filters(geometry)
    A = circular(geometry, F)
    found = circular_singular_values(layer_operator(F, geometry))
    wanted = np.linalg.svd(A, compute_uv=False)
    assert len(found) <= len(wanted)
    wanted, rest = wanted[: len(found)], wanted[len(found) :]
    assert np.abs(found - wanted).max() <= rounding(wanted)
    assert (rest <= rounding(wanted)).all()


def test_one_plane_has_the_sizes_of_its_fourier_transform():
    """For one plane and one filter the singular values are |F̂| (Sedghi, Gupta and Long 2019, section 2.1)."""
    F = np.random.default_rng(5).normal(size=(1, 1, 3, 3))
    wanted = np.sort(np.abs(np.fft.fft2(F[0, 0], (5, 7))).ravel())[::-1]
    found = circular_singular_values(layer_operator(F, Geometry((1, 5, 7), F.shape)))
    assert np.abs(found - wanted).max() <= rounding(wanted)


WRONG = {
    "no dilation": (
        "_phases",
        lambda right: lambda g, axis: right(Geometry(g.image, g.filters, stride=g.stride, groups=2), axis),
    ),
    "no residues": ("_phases", lambda right: lambda g, axis: np.repeat(right(g, axis)[:, :1], g.stride[axis], axis=1)),
    "half of the frequencies": ("_blocks", lambda right: lambda *args: ((block, 1) for block, _ in right(*args))),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_transform_is_noticed(wrong, monkeypatch):
    geometry = Geometry((4, 6, 8), (6, 2, 3, 2), stride=(2, 1), dilation=(1, 2), groups=2)
    F = filters(geometry)
    wanted = np.linalg.svd(circular(geometry, F), compute_uv=False)
    name, made = WRONG[wrong]
    right = circular_singular_values(layer_operator(F, geometry))
    monkeypatch.setattr(spectra, name, made(getattr(spectra, name)))
    found = circular_singular_values(layer_operator(F, geometry))
    assert np.abs(right - wanted[: len(right)]).max() <= rounding(wanted)
    assert len(found) < len(right) or np.abs(found - wanted[: len(found)]).max() > rounding(wanted)


def test_zero_padding_is_a_part_of_the_circle_of_the_padded_image():
    F = filters(PLAIN)
    padded = Geometry((3, *PLAIN.padded), PLAIN.filters)
    inside, around = exact(PLAIN, F), circular_singular_values(layer_operator(F, padded))
    assert (inside <= around[: len(inside)] + rounding(around)).all()


def test_layers_of_a_network_have_singular_values():
    found = {layer.name: spectral_norm(layer, accuracy=0.1) for layer in layers("lenet-5")}
    assert list(found) == ["c1", "c3", "c5"]
    assert all(value > 0 for value in found.values())
    assert found == {layer.name: spectral_norm(layer, accuracy=0.1) for layer in layers("lenet-5")}


def test_memory_is_asked_for_what_is_made(monkeypatch):
    """Of a matrix of 9×18 entries: itself, U and V; or k pairs of vectors, twice; or all values, thrice."""
    asked = []
    monkeypatch.setattr(spectra, "check_bytes", lambda what, needed, cure: asked.append(needed // 8))
    A = layer_operator(filters(SIGNAL), SIGNAL)
    singular_values(A, 2)
    monkeypatch.setattr(spectra, "DENSE_ENTRIES", 9 * 18 - 1)
    singular_values(A, 2)
    circular_singular_values(A)
    assert asked == [3 * 9 * 18, 4 * 2 * (9 + 18), 3 * 3 * 3]
    of_one_plane = Geometry((1, 8), (4, 1, 2), stride=2)
    found = circular_singular_values(layer_operator(filters(of_one_plane), of_one_plane))
    assert asked.pop() == 3 * len(found)
    monkeypatch.setattr(spectra, "DENSE_ENTRIES", 9 * 18)
    singular_values(A, 2)
    assert asked[3:] == [3 * 9 * 18]


def test_by_default_six_digits_are_right(monkeypatch):
    monkeypatch.setattr(spectra, "DENSE_ENTRIES", 0)
    A = layer_operator(filters(PLAIN), PLAIN)
    for value in (*singular_values(A, 3), spectral_norm(A)):
        assert value.error <= 1e-6 * value
    rough = {"accuracy": 0.5}
    (value,) = singular_values(A, 1, **rough)
    same = [*singular_values(A, 1, **rough, seed=0), spectral_norm(A, **rough), spectral_norm(A, **rough, seed=0)]
    assert [(each, each.error) for each in same] == [(value, value.error)] * 3
    assert value.error != spectral_norm(A, **rough, seed=1).error


def test_matrices_of_up_to_a_million_entries_are_decomposed_whole(monkeypatch):
    """Where one side is short, the other's 2¹⁹ singular vectors must not be made."""
    asked = []
    monkeypatch.setattr(spectra, "check_bytes", lambda what, needed, cure: asked.append(needed // 8))
    for size in (2**19, 2**19 + 1):
        matrix = np.zeros((2, size))
        matrix[0, 1], matrix[1, -1] = 3, 5
        assert abs(spectral_norm(aslinearoperator(matrix)) - 5) < 1e-9
    assert asked == [3 * 2 * 2**19, 4 * (2 + 2**19 + 1)]


@pytest.mark.parametrize(
    ("call", "error", "facts"),
    [
        (lambda A: singular_values(A.matrix(), 1), TypeError, ["layer", "csr_array", "layer_operator"]),
        (lambda A: singular_values(A, 0), ValueError, ["k", "0", "1", "9"]),
        (lambda A: singular_values(A, 10), ValueError, ["k", "10", "9"]),
        (lambda A: singular_values(A, 1.5), ShapeError, ["k", "1.5"]),
        (lambda A: singular_values(A, 1, accuracy=-1), ValueError, ["accuracy", "-1"]),
        (lambda A: singular_values(A, 1, accuracy="all"), ValueError, ["accuracy", "all"]),
        (lambda A: singular_values(A, 1, accuracy=np.inf), ValueError, ["accuracy", "inf"]),
        (lambda A: singular_values(A, 1, seed=-1), ValueError, ["seed", "-1"]),
        (lambda A: circular_singular_values(A.T), TypeError, ["layer", "layer_operator"]),
        (
            lambda A: circular_singular_values(
                layer_operator(np.ones((1, 1, 2)), Geometry((1, 7), (1, 1, 2), stride=3))
            ),
            ShapeError,
            ["size 7", "axis 0", "stride 3"],
        ),
        (
            lambda A: circular_singular_values(
                layer_operator(np.ones((2, 2, 1, 1)), Geometry((2, 2**20, 2**20), (2, 2, 1, 1)))
            ),
            TooLargeError,
            ["2199023255552 singular values"],
        ),
        (
            lambda A: singular_values(layer_operator(np.ones((1, 1, 1)), Geometry((1, 2**24), (1, 1, 1))), 2**24),
            TooLargeError,
            ["(16777216, 16777216)", "fewer"],
        ),
    ],
)
def test_errors_say_what_is_wrong(call, error, facts, monkeypatch):
    monkeypatch.setattr(spectra, "DENSE_ENTRIES", 0)
    with pytest.raises(error) as caught:
        call(layer_operator(filters(SIGNAL), SIGNAL))
    assert [fact for fact in facts if fact not in str(caught.value)] == []
