"""The equations of the lecture as statements, each with at least two sides that are computed independently.

An `Identity` holds for every geometry that it applies to. Its sides take a `Draw` of numbers or symbols, and return the
same array. ``triple sum`` is the literal sum of L1 and its derivatives, written out in `jacobians.oracle`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jacobians import oracle, symbolic
from jacobians.geometry import Geometry
from jacobians.verify import forms
from jacobians.verify.cases import LECTURE

__all__ = ["IDENTITIES", "Draw", "Identity"]

Array = npt.NDArray[Any]
Side = Callable[["Draw"], Any]
Role = Literal["image", "filters", "responses", "bias"]

ORACLE = "triple sum"
# Sides that no one computes for a layer with more products than this: term by term, the whole layer at once, or the
# same again in smaller pieces.
LARGE_LAYER = 100_000
SMALL_ONLY = {
    ORACLE,
    "chain of matrices",
    "Jacobian of the layer",
    "matrices of the planes",
    "one by one",
    "X ∗ G",
    "reshaped row vector",
    "Σ_i G_i^zero-pad ∗ F_ik^rot180",
}


@dataclass(frozen=True)
class Draw:
    """Entries for one layer: X, F, the upstream gradient G and the bias b, numbers or symbols."""

    geometry: Geometry
    X: Array
    F: Array
    G: Array
    b: Array


@dataclass(frozen=True)
class Identity:
    """One equation of the lecture.

    Attributes
    ----------
    id : str
        L1 … L21.
    formula : str
        The equation on one line.
    inputs : str
        The arrays of the draw that it is multilinear in: letters of X, F, G and b.
    entries : (str, str)
        Letter and role that name the entries of both sides, as `jacobians.symbolic.names` takes them.
    sides : mapping of str to callable
        What each side is computed from, and the computation.
    applies : callable
        Whether the equation, as the lecture states it, is about this geometry.
    """

    id: str
    formula: str
    inputs: str
    entries: tuple[str, Role]
    sides: Mapping[str, Side]
    applies: Callable[[Geometry], bool] = lambda geometry: True

    def sides_for(self, geometry: Geometry) -> dict[str, Side]:
        """Sides to compare at `geometry`; none where the equation does not speak of it, or fewer than two are left."""
        large = geometry.filters[0] * geometry.positions * geometry.taps > LARGE_LAYER
        sides = {name: side for name, side in self.sides.items() if not (large and name in SMALL_ONLY)}
        return sides if len(sides) > 1 and self.applies(geometry) else {}

    def terms(self, geometry: Geometry) -> int:
        """Products, and single numbers, in the longest sum of any side."""
        lengths = {
            "XF": geometry.taps,
            "XFb": geometry.taps + 1,
            "XG": geometry.positions,
            "GF": geometry.filters_per_group * math.prod(geometry.filters[2:]),
            "G": geometry.positions,
        }
        return lengths[self.inputs]


# what the sides are made of -------------------------------------------------------------------------------------------


def _filters(geometry: Geometry) -> range:
    return range(geometry.filters[0])


def _one_plane(geometry: Geometry) -> Geometry:
    """Return the layer that sees a single plane with a single filter of one plane."""
    return Geometry(
        (1, *geometry.image[1:]),
        (1, 1, *geometry.filters[2:]),
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
    )


def _planes(draw: Draw, i: int) -> Array:
    """Return the planes of X that filter `i` sees."""
    return draw.X[draw.geometry.planes_of(draw.geometry.group_of(i))]


def _plane_matrices(draw: Draw) -> Callable[[int], list[Any]]:
    """Return, as a function of the filter, the matrices M_Xk^im of the planes that it sees."""
    geometry, one = draw.geometry, _one_plane(draw.geometry)
    matrices = [forms.image_matrix(plane[None], one) for plane in draw.X]
    return lambda i: matrices[geometry.planes_of(geometry.group_of(i))]


def _sum(terms: Any) -> Any:
    """Sum arrays from left to right; `sum` would start from an int, which hides an empty sum."""
    first, *rest = terms
    for term in rest:
        first = first + term
    return first


def triple_sum_responses(draw: Draw) -> Array:
    """S by L1, term by term."""
    return oracle.responses(draw.X, draw.F, draw.geometry)


def triple_sum_filter_gradient(draw: Draw) -> Array:
    """∂l/∂F: the derivative of l = Σ g S with respect to every tap, term by term."""
    return oracle.filter_gradient(draw.X, draw.G, draw.geometry)


def triple_sum_input_gradient(draw: Draw) -> Array:
    """∂l/∂X: the derivative of l = Σ g S with respect to every pixel, term by term."""
    return oracle.input_gradient(draw.G, draw.F, draw.geometry)


def _add_bias(S: Array, b: Array) -> Array:
    return np.asarray(S + np.expand_dims(b, tuple(range(1, S.ndim))))


# forward: L1, L2, L7, L8, L9, L14, L15 --------------------------------------------------------------------------------


def windows(draw: Draw) -> Array:
    """S by the convolution form."""
    return forms.convolve(draw.X, draw.F, draw.geometry)


def triple_sum_and_bias(draw: Draw) -> Array:
    """S by L1 and L2, term by term."""
    return _add_bias(triple_sum_responses(draw), draw.b)


def windows_and_bias(draw: Draw) -> Array:
    """S by the convolution form, bias included."""
    return forms.convolve(draw.X, draw.F, draw.geometry, draw.b)


def filter_by_filter(draw: Draw) -> Array:
    """S_i = X ∗ F_i + b_i, one filter at a time, stacked."""
    geometry = draw.geometry
    per_filter = Geometry(
        (geometry.planes_per_group, *geometry.image[1:]),
        (1, *geometry.filters[1:]),
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
    )
    maps = [forms.convolve(_planes(draw, i), draw.F[i : i + 1], per_filter) for i in _filters(geometry)]
    return _add_bias(np.concatenate(maps), draw.b)


def response_maps(draw: Draw) -> Array:
    """vec(S), for S = G."""
    return draw.G


def stacked(draw: Draw) -> Array:
    """Σ_i ∂vec(S)/∂vec(S_i) · vec(S_i), for S = G."""
    G = draw.G
    maps = [forms.stack_matrix(i, draw.geometry, G.dtype) @ G[i].ravel() for i in _filters(draw.geometry)]
    return np.asarray(_sum(maps))


def image_matrix_times_filters(draw: Draw) -> Array:
    """M_X^im vec(F_i) for every filter."""
    geometry = draw.geometry
    matrices = [forms.image_matrix(draw.X, geometry, group) for group in range(geometry.groups)]
    return np.concatenate([matrices[geometry.group_of(i)] @ draw.F[i].ravel() for i in _filters(geometry)])


def plane_image_matrices_times_filters(draw: Draw) -> Array:
    """(M_X1^im … M_Xd^im) vec(F_i) for every filter, as the sum over the planes."""
    matrices = _plane_matrices(draw)
    return np.concatenate(
        [
            _sum(matrix @ taps.ravel() for matrix, taps in zip(matrices(i), draw.F[i], strict=True))
            for i in _filters(draw.geometry)
        ]
    )


def filter_matrices_times_image(draw: Draw) -> Array:
    """M_Fi^filter vec(X) for every filter."""
    x = draw.X.ravel()
    return np.concatenate([forms.filter_matrix(draw.F, draw.geometry, i) @ x for i in _filters(draw.geometry)])


def plane_filter_matrices_times_image(draw: Draw) -> Array:
    """(M_F1^filter … M_Fd^filter) vec(X) for every filter, as the sum over the planes."""
    one = _one_plane(draw.geometry)
    return np.concatenate(
        [
            _sum(
                forms.filter_matrix(taps[None, None], one, 0) @ plane.ravel()
                for plane, taps in zip(_planes(draw, i), draw.F[i], strict=True)
            )
            for i in _filters(draw.geometry)
        ]
    )


# backward to the filters: L10, L11, L12, L21 --------------------------------------------------------------------------


def chained_row_vectors(draw: Draw) -> Array:
    """∂l/∂vec(S) · ∂vec(S)/∂vec(S_i) · M_X^im for every filter."""
    geometry, g = draw.geometry, draw.G.ravel()
    matrices = [forms.image_matrix(draw.X, geometry, group) for group in range(geometry.groups)]
    return np.concatenate(
        [g @ forms.stack_matrix(i, geometry, g.dtype) @ matrices[geometry.group_of(i)] for i in _filters(geometry)]
    )


def plane_row_vectors(draw: Draw) -> Array:
    """{∂l/∂vec(S_i) M_X1^im, …, ∂l/∂vec(S_i) M_Xd^im} for every filter."""
    matrices = _plane_matrices(draw)
    return np.concatenate([draw.G[i].ravel() @ matrix for i in _filters(draw.geometry) for matrix in matrices(i)])


def reshaped_row_vectors(draw: Draw) -> Array:
    """Option 1: g_i M_X^im, reshaped to the filter."""
    geometry = draw.geometry
    matrices = [forms.image_matrix(draw.X, geometry, group) for group in range(geometry.groups)]
    rows = [draw.G[i].ravel() @ matrices[geometry.group_of(i)] for i in _filters(geometry)]
    return np.stack([row.reshape(geometry.filters[1:]) for row in rows])


def whole_filter_jacobian(draw: Draw) -> Array:
    """∂l/∂vec(S) · ∂vec(S)/∂vec(F)."""
    return np.asarray(draw.G.ravel() @ forms.jacobian_wrt_filters(draw.X, draw.geometry))


def image_convolved_with_gradient(draw: Draw) -> Array:
    """Option 2: {X_k ∗ ∂l/∂S_i} by `convolve`, with stride and dilation swapped and cut to the filter's size."""
    geometry = draw.geometry
    taps = geometry.filters[2:]
    result = np.zeros(geometry.filters, np.result_type(draw.X, draw.G))
    for group in range(geometry.groups):
        G = draw.G[geometry.filters_of(group), None]
        swapped = Geometry(
            (1, *geometry.image[1:]),
            G.shape,
            stride=geometry.dilation,
            padding=geometry.padding,
            dilation=geometry.stride,
        )
        for k, plane in enumerate(draw.X[geometry.planes_of(group)]):
            S = forms.convolve(plane[None], G, swapped)
            result[geometry.filters_of(group), k] = S[:, *(slice(0, size) for size in taps)]
    return result


def filter_windows(draw: Draw) -> Array:
    """∂l/∂F by the convolution form."""
    return forms.filter_gradient(draw.X, draw.G, draw.geometry)


def bias_row_vector(draw: Draw) -> Array:
    """∂l/∂vec(S) · ∂vec(S)/∂b."""
    return np.asarray(draw.G.ravel() @ forms.jacobian_wrt_bias(draw.geometry, draw.G.dtype))


def bias_sums(draw: Draw) -> Array:
    """∂l/∂b by the convolution form."""
    return forms.bias_gradient(draw.G)


def bias_one_by_one(draw: Draw) -> Array:
    """Sum of ∂l/∂S_i, entry after entry."""
    return symbolic.object_array([_sum(G_i.ravel().tolist()) for G_i in draw.G], draw.b.shape)


# backward to the image: L13, L16 … L20 --------------------------------------------------------------------------------


def sum_over_children(draw: Draw) -> Array:
    """Σ_i ∂l/∂vec(S_i) · M_Fi^filter."""
    rows = (draw.G[i].ravel() @ forms.filter_matrix(draw.F, draw.geometry, i) for i in _filters(draw.geometry))
    return np.asarray(_sum(rows))


def reshaped_sum_over_children(draw: Draw) -> Array:
    """Option 1: Σ_i ∂l/∂vec(S_i) · M_Fi^filter, reshaped to the image."""
    return sum_over_children(draw).reshape(draw.geometry.image)


def whole_image_jacobian(draw: Draw) -> Array:
    """∂l/∂vec(S) · ∂vec(S)/∂vec(X)."""
    return np.asarray(draw.G.ravel() @ forms.jacobian_wrt_image(draw.F, draw.geometry))


def padded_gradient_convolved_with_turned_filter(draw: Draw) -> Array:
    """Σ_i {G_i^zero-pad ∗ F_ik^rot180} by `convolve`, with the padding cut off."""
    geometry = draw.geometry
    padded, turned = forms.zero_pad(draw.G, geometry), forms.rot180(draw.F)
    planes = []
    for k in range(geometry.image[0]):
        group, of_group = divmod(k, geometry.planes_per_group)
        G, F = padded[geometry.filters_of(group)], turned[None, geometry.filters_of(group), of_group]
        planes.append(forms.convolve(G, F, Geometry(G.shape, F.shape, dilation=geometry.dilation))[0])
    sides = zip(geometry.padding, geometry.image[1:], strict=True)
    return np.stack(planes)[:, *(slice(before, before + size) for (before, _), size in sides)]


def input_windows(draw: Draw) -> Array:
    """∂l/∂X by the convolution form."""
    return forms.input_gradient(draw.G, draw.F, draw.geometry)


# the statements -------------------------------------------------------------------------------------------------------


def _single(geometry: Geometry) -> bool:
    return geometry.filters[:2] == (1, 1)


def _single_filter(geometry: Geometry) -> bool:
    return geometry.filters[0] == 1


def _single_plane(geometry: Geometry) -> bool:
    return geometry.planes_per_group == 1


def _several_planes(geometry: Geometry) -> bool:
    return geometry.planes_per_group > 1


IDENTITIES: tuple[Identity, ...] = (
    Identity(
        "L1",
        "S_lm = Σ_k Σ_i Σ_j X_{k,i+l−1,j+m−1} F_kij",
        "XF",
        ("S", "responses"),
        {ORACLE: triple_sum_responses, "convolution": windows},
    ),
    Identity(
        "L2",
        "S_i = X ∗ F_i + b_i,  S = {S_1 … S_n}",
        "XFb",
        ("S", "responses"),
        {
            ORACLE: triple_sum_and_bias,
            "filter by filter": filter_by_filter,
            "convolution": windows_and_bias,
        },
    ),
    Identity(
        "L7",
        "vec(S) = Σ_i ∂vec(S)/∂vec(S_i) · vec(S_i)",
        "G",
        ("S", "responses"),
        {"vec(S)": response_maps, "stack matrices": stacked},
    ),
    Identity(
        "L8",
        "vec(S_i) = M_X^im vec(F_i)",
        "XF",
        ("S", "responses"),
        {ORACLE: triple_sum_responses, "convolution": windows, "matrix": image_matrix_times_filters},
        _single_plane,
    ),
    Identity(
        "L9",
        "M_X^im = (M_X1^im … M_Xd^im)",
        "XF",
        ("S", "responses"),
        {
            ORACLE: triple_sum_responses,
            "matrices of the planes": plane_image_matrices_times_filters,
            "convolution": windows,
            "matrix": image_matrix_times_filters,
        },
        _several_planes,
    ),
    Identity(
        "L10",
        "∂l/∂vec(F_i) = ∂l/∂vec(S) · ∂vec(S)/∂vec(S_i) · M_X^im = {∂l/∂vec(S_i) M_Xk^im}",
        "XG",
        ("v", "filters"),
        {
            ORACLE: triple_sum_filter_gradient,
            "matrices of the planes": plane_row_vectors,
            "chain of matrices": chained_row_vectors,
        },
    ),
    Identity(
        "L11",
        "∂l/∂F_i = reshape(∂l/∂vec(S) · ∂vec(S)/∂vec(F_i))",
        "XG",
        ("v", "filters"),
        {
            ORACLE: triple_sum_filter_gradient,
            "reshaped row vector": reshaped_row_vectors,
            "Jacobian of the layer": whole_filter_jacobian,
        },
    ),
    Identity(
        "L12",
        "∂l/∂F_i = {X_1 ∗ ∂l/∂S_i, …, X_d ∗ ∂l/∂S_i}",
        "XG",
        ("v", "filters"),
        {
            ORACLE: triple_sum_filter_gradient,
            "matrix": reshaped_row_vectors,
            "X ∗ G": image_convolved_with_gradient,
            "convolution": filter_windows,
        },
    ),
    Identity(
        "L13",
        "∂l/∂vec(X) = Σ_i ∂l/∂vec(S_i) · ∂vec(S_i)/∂vec(X)",
        "GF",
        ("v", "image"),
        {
            ORACLE: triple_sum_input_gradient,
            "Jacobian of the layer": whole_image_jacobian,
            "sum over the filters": sum_over_children,
        },
    ),
    Identity(
        "L14",
        "vec(S_i) = M_Fi^filter vec(X)",
        "XF",
        ("S", "responses"),
        {ORACLE: triple_sum_responses, "convolution": windows, "matrix": filter_matrices_times_image},
        _single_plane,
    ),
    Identity(
        "L15",
        "M_F^filter = (M_F1^filter … M_Fd^filter)",
        "XF",
        ("S", "responses"),
        {
            ORACLE: triple_sum_responses,
            "matrices of the planes": plane_filter_matrices_times_image,
            "convolution": windows,
            "matrix": filter_matrices_times_image,
        },
        _several_planes,
    ),
    Identity(
        "L16",
        "∂l/∂X = reshape(Σ_i ∂l/∂vec(S_i) · M_Fi^filter)",
        "GF",
        ("v", "image"),
        {
            ORACLE: triple_sum_input_gradient,
            "convolution": input_windows,
            "reshaped row vector": reshaped_sum_over_children,
        },
    ),
    Identity(
        "L17",
        "(v1 … v_pixels) = (g1 … g_t) M_F^filter",
        "GF",
        ("v", "image"),
        {ORACLE: triple_sum_input_gradient, "matrix": sum_over_children},
        _single,
    ),
    Identity(
        "L18",
        "V = G^zero-pad ∗ F^rot180",
        "GF",
        ("v", "image"),
        {
            ORACLE: triple_sum_input_gradient,
            "matrix": sum_over_children,
            "G^zero-pad ∗ F^rot180": padded_gradient_convolved_with_turned_filter,
        },
        _single,
    ),
    Identity(
        "L19",
        "gᵀ M_F^filter = vec{G^zero-pad ∗ F_1^rot180, …, G^zero-pad ∗ F_d^rot180}",
        "GF",
        ("v", "image"),
        {
            ORACLE: triple_sum_input_gradient,
            "matrix": sum_over_children,
            "G^zero-pad ∗ F_k^rot180": padded_gradient_convolved_with_turned_filter,
        },
        _single_filter,
    ),
    Identity(
        "L20",
        "∂l/∂X = Σ_i {G_i^zero-pad ∗ F_i1^rot180, …, G_i^zero-pad ∗ F_id^rot180}",
        "GF",
        ("v", "image"),
        {
            ORACLE: triple_sum_input_gradient,
            "matrix": sum_over_children,
            "Σ_i G_i^zero-pad ∗ F_ik^rot180": padded_gradient_convolved_with_turned_filter,
            "convolution": input_windows,
        },
    ),
    Identity(
        "L21",
        "∂l/∂b_i = ∂l/∂vec(S_i) · (1 … 1)ᵀ = sum of ∂l/∂S_i",
        "G",
        ("v", "bias"),
        {"one by one": bias_one_by_one, "matrix": bias_row_vector, "convolution": bias_sums},
    ),
    Identity(
        "L24",
        "X 32×32×3 ∗ four filters 5×5×3 → S 28×28×4",
        "XF",
        ("S", "responses"),
        {
            "convolution, planes last": lambda draw: (
                np.moveaxis(windows(draw), 0, -1).reshape(28, 28, 4).transpose(2, 0, 1)
            ),
            "matrix": image_matrix_times_filters,
        },
        lambda geometry: geometry == LECTURE,
    ),
)
