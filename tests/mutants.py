"""Deliberately wrong forms, each a function to put in the place of a right one, and the equations that must notice."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from jacobians import convolution, layers, matrices, network


@dataclass(frozen=True)
class Mutant:
    """What is wrong, where it is put, what must fail and what must go on holding."""

    name: str
    module: Any
    function: str
    wrong: Callable[..., Any]
    fails: frozenset[str]
    holds: frozenset[str]


def _tail_in_front(G, geometry):
    """The rows and columns that no window reached are put back at the wrong end."""
    right = convolution_spread(G, geometry)
    return np.roll(right, geometry.tail, axis=tuple(range(1, right.ndim)))


def _one_too_many_in_front(G, geometry):
    """There is one zero too many in front of the upstream gradient, and one too few behind it."""
    right = convolution_pad_to_lattice(G, geometry)
    return np.roll(right, 1, axis=tuple(range(1, right.ndim)))


def _tail_forgotten(G, F, geometry):
    """Pixels of the tail are left out, and the result is filled up in front of them."""
    right = convolution_input_sums(G, F, geometry)
    cut = right[:, *(slice(0, size - tail) for size, tail in zip(right.shape[1:], geometry.tail, strict=True))]
    wrong = np.zeros_like(right)
    wrong[:, *(slice(tail, None) for tail in geometry.tail)] = cut
    return wrong


def _stride_and_dilation_exchanged(X, G, geometry):
    windows = convolution._windows(
        np.pad(X, ((0, 0), *((0, 40),) * geometry.spatial_ndim)),
        geometry.responses[1:],
        geometry.stride,
        geometry.dilation,
    )[:, *(slice(0, size) for size in geometry.filters[2:])]
    axes = range(1, 1 + geometry.spatial_ndim)
    return np.concatenate(
        [
            np.tensordot(
                G[geometry.filters_of(g)],
                windows[geometry.planes_of(g)],
                (list(axes), [geometry.spatial_ndim + a for a in axes]),
            )
            for g in range(geometry.groups)
        ]
    )


def _axes_exchanged(X, G, geometry):
    """∂l/∂F comes with its last two axes exchanged."""
    right = convolution_filter_sums(X, G, geometry)
    return right.swapaxes(-1, -2) if geometry.spatial_ndim > 1 else right


def _planes_exchanged(X, *rest):
    return pixel_entries(X[::-1], *rest)


def _filter_planes_exchanged(F_i, *rest):
    return tap_entries(F_i[::-1], *rest)


def _padding_swapped(X, geometry):
    return np.pad(X, ((0, 0), *((after, before) for before, after in geometry.padding)))


def _assigned(G, F, geometry):
    """∂l/∂X takes the last product instead of the sum wherever windows overlap."""
    padded = np.zeros((geometry.image[0], *geometry.padded), G.dtype)
    for i in range(len(F)):
        for position in np.ndindex(*geometry.responses[1:]):
            for tap in np.ndindex(*geometry.filters[2:]):
                at = tuple(
                    l * s + a * d for l, s, a, d in zip(position, geometry.stride, tap, geometry.dilation, strict=True)
                )
                planes = geometry.planes_of(geometry.group_of(i))
                padded[(planes, *at)] = G[(i, *position)] * F[(i, slice(None), *tap)]
    sides = zip(geometry.padding, geometry.image[1:], strict=True)
    return padded[:, *(slice(before, before + size) for (before, _), size in sides)]


def _block_moved(i, geometry, **options):
    return stack_matrix((i + 1) % geometry.filters[0], geometry, **options)


def _true_convolution(X, F, geometry):
    return convolution_forward_sums(X, convolution.turn(F), geometry)


def _first_group_for_all(F_i, geometry, group=0, *rest):
    return tap_entries(F_i, geometry, 0, *rest)


def _doubled(G):
    return 2 * np.sum(G, axis=tuple(range(1, G.ndim)))


convolution_spread = convolution.spread
convolution_pad_to_lattice = convolution._pad_to_lattice
convolution_input_sums = convolution.input_sums
convolution_filter_sums = convolution.filter_sums
convolution_forward_sums = convolution.forward_sums
pixel_entries = matrices.pixel_entries
tap_entries = matrices.tap_entries
stack_matrix = matrices.stack_matrix

MUTANTS = [
    Mutant(name, module, function, wrong, frozenset(fails.split()), frozenset(holds.split()))
    for name, module, function, wrong, fails, holds in [
        (
            "rotation left out",
            convolution,
            "turn",
            lambda F: F,
            "L16 L18 L19 L20",
            "L1 L8 L9 L12 L13 L14 L17",
        ),
        (
            "rotation in one axis only",
            convolution,
            "turn",
            lambda F: np.flip(F, axis=-1),
            "L16 L18 L19 L20",
            "L1 L12 L13 L17",
        ),
        ("h and w exchanged", convolution, "filter_sums", _axes_exchanged, "L12", "L1 L10 L11 L20"),
        ("tail in front", convolution, "spread", _tail_in_front, "L18 L19 L20", "L12 L13 L16 L17"),
        (
            "zeros around G at the wrong end",
            convolution,
            "_pad_to_lattice",
            _one_too_many_in_front,
            "L16 L20",
            "L12 L13 L17",
        ),
        ("tail forgotten", convolution, "input_sums", _tail_forgotten, "L16 L20", "L12 L13 L17 L18"),
        (
            "stride and dilation exchanged",
            convolution,
            "filter_sums",
            _stride_and_dilation_exchanged,
            "L12",
            "L1 L10 L11 L20",
        ),
        ("planes of X exchanged", matrices, "pixel_entries", _planes_exchanged, "L9 L10 L11 L12", "L1 L14 L20"),
        (
            "planes of F exchanged",
            matrices,
            "tap_entries",
            _filter_planes_exchanged,
            "L13 L15 L16 L19 L20",
            "L9 L12 L17 L18",
        ),
        ("padding swapped", convolution, "_pad", _padding_swapped, "L1 L2 L8 L9 L12 L14", "L7 L10 L13 L17 L18"),
        ("assignment for accumulation", convolution, "input_sums", _assigned, "L16 L20", "L12 L13 L18"),
        ("one stack block moved", matrices, "stack_matrix", _block_moved, "L7 L10", "L9 L11 L12 L20"),
        ("true convolution", convolution, "forward_sums", _true_convolution, "L1 L2 L8 L9 L14", "L10 L13 L17"),
        (
            "first group's planes for all",
            matrices,
            "tap_entries",
            _first_group_for_all,
            "L13 L14 L15 L16 L20",
            "L8 L9 L12",
        ),
        (
            "filter turned in M_F",
            matrices,
            "tap_entries",
            lambda F_i, *rest: tap_entries(convolution.turn(F_i[None])[0], *rest),
            "L13 L14 L15 L16 L17 L18 L19 L20",
            "L8 L9 L12",
        ),
        (
            "pixels reversed in M_X",
            matrices,
            "pixel_entries",
            lambda X, *rest: pixel_entries(np.flip(X, axis=-1), *rest),
            "L8 L9 L10 L11 L12",
            "L13 L20",
        ),
        ("bias gradient doubled", convolution, "response_sums", _doubled, "L21", "L12 L20"),
    ]
]

NETWORK_MUTANTS = [
    ("L3", network, "cross_entropy", lambda s, y: -layers.cross_entropy(s, y)),
    ("L3", network, "relu", np.abs),
    ("L4", layers, "softmax_jacobian", lambda p: -np.outer(p, p)),
    ("L4", layers, "cross_entropy_gradient", lambda s, y: y - layers.softmax(s)),
    ("L5", layers, "fully_connected_jacobian_wrt_input", lambda W: np.asarray(W)[::-1]),
    ("L5", layers, "fully_connected_jacobian_wrt_weights", lambda h, C: csr_array(np.tile(h, (C, C)))),
    ("L6", layers, "relu_jacobian", lambda S: csr_array(np.diag((np.ravel(S) >= 0).astype(int)))),
    ("L22", network, "l2_gradient", lambda weight, strength: strength * weight),
    ("L22", network, "filter_gradient", lambda X, G, geometry: convolution.filter_gradient(X, G, geometry) / 2),
    ("L23", network, "relu_jacobian", lambda S: csr_array(np.diag(np.ones(np.size(S))))),
    ("L23", network, "input_gradient", lambda G, F, geometry: -convolution.input_gradient(G, F, geometry)),
]
