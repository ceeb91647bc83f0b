"""The sides of the equations as relations between indices, written from the lecture's text.

A layer is a sum of products, and a side of an equation is one way to say which: which planes and filters meet, and on
every spatial axis which response ``l``, tap ``a`` and pixel ``y``. Each is written here step by step as the lecture
says it, with stride, dilation, padding and groups as on the page of this name, and not from another side. The places
between two steps, such as an index in a padded array, are hidden indices.

Sizes of one spatial axis: ``h`` pixels, ``k`` taps, ``p`` and ``p'`` zeros before and after, ``h'`` responses, and a
tail of ``t`` rows that no window reaches; ``s`` is the stride and ``δ`` the dilation. Sizes of the planes: ``d'``
planes and ``n'`` filters in each of ``g`` groups, of which one is ``γ``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from jacobians.formula.prove import Piece, Space
from jacobians.verify import identities
from jacobians.verify.identities import Side

__all__ = ["BIAS", "STACK", "TRILINEAR", "WRITTEN", "Form", "Term"]

AXIS_SIZES = ("h", "k", "p", "p'", "h'", "t")
AXIS_LEGAL = (
    "h ≥ 1",
    "k ≥ 1",
    "p ≥ 0",
    "p' ≥ 0",
    "h' ≥ 1",
    "0 ≤ t < s",
    "h + p + p' = s·(h' − 1) + δ·(k − 1) + 1 + t",
)
PLANE_SIZES = ("d'", "n'")
PLANE_LEGAL = ("d' ≥ 1", "n' ≥ 1")


@dataclass(frozen=True)
class Form:
    """Which indices the arrays of a product have.

    Attributes
    ----------
    planes : Space
        Indices of planes and filters.
    axis : Space
        Indices on one spatial axis.
    arrays : mapping of str to (tuple of str, tuple of str)
        Per array, its indices of planes and filters, and those on each axis. ``S`` is the responses as a result.
    """

    planes: Space
    axis: Space
    arrays: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]


def _form(planes: str, axis: str, **arrays: str) -> Form:
    def names(text: str) -> tuple[str, ...]:
        return tuple(text.split())

    def pair(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        before, _, behind = text.partition("|")
        return names(before), names(behind)

    return Form(
        Space(names(planes), PLANE_SIZES, PLANE_LEGAL),
        Space(names(axis), AXIS_SIZES, AXIS_LEGAL),
        {name: pair(text) for name, text in arrays.items()},
    )


TRILINEAR = _form("i k j q", "l a y", S="i|l", G="i|l", X="k|y", F="j q|a")
"""The products of L1: response map i, plane k of the image, plane q of filter j; response l, tap a, pixel y."""

BIAS = _form("i j", "l", S="i|l", G="i|l", b="j|")
"""The products of L2's second term: response map i, bias j, response l."""

STACK = _form("i' i", "l' l", S="i'|l'", G="i|l")
"""The entries of L7's matrices: row (i', l') of vec(S), column (i, l)."""


@dataclass(frozen=True)
class Term:
    """Products of one form: the planes that meet, a piece per group γ, and what meets on every spatial axis."""

    form: Form
    planes: Piece
    axis: Piece

    def planes_at(self, groups: int) -> tuple[Piece, ...]:
        """Return the pieces of all groups; one piece where the text does not speak of single groups."""
        return _in_groups(self.planes, groups)


# Equations share sides, which are compared at every stride and dilation.
@functools.cache
def _in_groups(planes: Piece, groups: int) -> tuple[Piece, ...]:
    grouped = any("γ" in each for each in planes.conditions)
    return tuple(planes.at({"g": groups, "γ": group}) for group in range(groups if grouped else 1))


# one spatial axis -----------------------------------------------------------------------------------------------------

SUM = Piece(("0 ≤ l < h'", "0 ≤ a < k", "y = s·l + δ·a − p", "0 ≤ y < h"))
"""L1: S_l = Σ_a X_{s·l + δ·a − p} F_a, over the pixels that there are."""

WINDOWS = Piece(
    (
        "z = y + p",  # zeros around the image
        "0 ≤ y < h",
        "w = s·l",  # windows start a stride apart, as many as fit
        "0 ≤ w < h + p + p' − δ·(k − 1)",
        "z = w + δ·a",  # and are read at steps of the dilation
        "0 ≤ a < k",
    ),
    ("z", "w"),
)
"""X ∗ F: the filter slides over the zero-padded image."""

IMAGE_MATRIX = Piece(
    (
        "0 ≤ r < h'",  # row r of M_X^im is the patch that the filter covers at response r
        "w = s·r − p",  # where it starts, in the image
        "0 ≤ c < k",
        "y = w + δ·c",
        "0 ≤ y < h",
        "r = l",
        "c = a",  # column c stands against entry c of vec(F)
    ),
    ("r", "c", "w"),
)
"""L8: M_X^im, a patch per row."""

FILTER_MATRIX = Piece(
    (
        "0 ≤ c < h",  # column c of M_F^filter stands against entry c of vec(X)
        "c = y",
        "e = δ·a − p",  # row 0 has tap a here
        "0 ≤ a < k",
        "c − e = s·r",  # and every row has it a stride further to the right than the row above
        "0 ≤ r < h'",
        "r = l",
    ),
    ("r", "c", "e"),
)
"""L14: M_F^filter, the filter once per row, moved on."""

IMAGE_WITH_GRADIENT = Piece(
    (
        "z = y + p",
        "0 ≤ y < h",
        "e = s·l",  # s − 1 zeros between the entries of G
        "0 ≤ l < h'",
        "z = v + e",  # ∗ with G as the filter
        "0 ≤ v < h + p + p' − s·(h' − 1)",
        "v = δ·a",  # read out at steps of δ
        "0 ≤ a < k",  # and cut to the filter's size
    ),
    ("z", "e", "v"),
)
"""L12: X ∗ G."""

GRADIENT_WITH_TURNED_FILTER = Piece(
    (
        "e = s·l",  # s − 1 zeros between the entries of G
        "0 ≤ l < h'",
        "z = e + δ·(k − 1)",  # extent − 1 zeros on every side, behind it the tail
        "c = k − 1 − a",  # the filter rotated by 180°
        "0 ≤ c < k",
        "z = v + δ·c",  # ∗ with δ − 1 zeros between its entries
        "0 ≤ v < s·(h' − 1) + 1 + t + δ·(k − 1)",
        "y = v − p",  # the padding cut off
        "0 ≤ y < h",
    ),
    ("e", "z", "c", "v"),
)
"""L18: G^zero-pad ∗ F^rot180."""

CHAIN = Piece(
    (
        "0 ≤ u < h'",  # entry u of ∂l/∂vec(S) in the block that the stack matrix picks
        "u = l",
        "u = r",
        "0 ≤ r < h'",
        "w = s·r − p",
        "0 ≤ a < k",
        "y = w + δ·a",
        "0 ≤ y < h",
    ),
    ("u", "r", "w"),
)
"""L10: ∂l/∂vec(S) · ∂vec(S)/∂vec(S_i) · M_X^im."""

EVERY_RESPONSE = Piece(("0 ≤ l < h'",))
EVERY_WINDOW = Piece(("w = s·l", "0 ≤ w < h + p + p' − δ·(k − 1)"), ("w",))
ONES = Piece(("0 ≤ r < h'", "r = l"), ("r",))
SAME_RESPONSE = Piece(("l' = l", "0 ≤ l < h'"))
UNIT_MATRIX = Piece(("0 ≤ r < h'", "0 ≤ c < h'", "r = c", "l' = r", "l = c"), ("r", "c"))

# planes and filters ---------------------------------------------------------------------------------------------------

EVERY_FILTER = Piece(("γ·n' ≤ i < γ·n' + n'", "j = i", "k = γ·d' + q", "0 ≤ q < d'"))
"""L1, L2: filter i is as deep as the planes that it sees, those of its group."""

GROUP_BY_GROUP = Piece(
    ("0 ≤ f < n'", "0 ≤ e < d'", "q = e", "j = γ·n' + f", "k = γ·d' + e", "i = γ·n' + f"),
    ("f", "e"),
)
"""Each group a layer by itself, with filters f and planes e; the response maps stacked."""

PLANE_BY_PLANE = Piece(
    ("0 ≤ i < g·n'", "γ·n' ≤ i ≤ γ·n' + n' − 1", "j = i", "γ·d' ≤ k < γ·d' + d'", "q = k − γ·d'"),
)
"""S_i = Σ_k X_k ∗ F_ik, ∂l/∂F_i = {X_1 ∗ G_i, …, X_d ∗ G_i}: filter after filter, over the planes that it sees."""

IMAGE_BLOCKS = Piece(
    ("0 ≤ e < d'", "k = γ·d' + e", "q = e", "γ·n' ≤ j < γ·n' + n'", "i = j"),
    ("e",),
)
"""L9: M_X^im = (M_X1^im … M_Xd^im), with block e against plane e of vec(F_i)."""

FILTER_BLOCKS = Piece(
    ("0 ≤ k < g·d'", "e = k − γ·d'", "0 ≤ e < d'", "q = e", "i = j", "0 ≤ j − γ·n' < n'"),
    ("e",),
)
"""L15: M_Fi^filter = (… M_Fi1^filter … M_Fid^filter …), zero against planes of other groups."""

STACKED_BLOCKS = Piece(
    ("0 ≤ b < g·n'", "i = b", "j = b", "γ·n' ≤ b < γ·n' + n'", "0 ≤ e < d'", "k = γ·d' + e", "q = e"),
    ("b", "e"),
)
"""L10, L11: block b of vec(S), of the stack matrix and of the Jacobian, which speaks of filter b."""

CHILDREN = Piece(("0 ≤ k < g·d'", "k = γ·d' + q", "0 ≤ q < d'", "γ·n' ≤ i < γ·n' + n'", "j = i"))
"""L20: every plane k sums over the filters i that see it."""

OWN_BIAS = Piece(("0 ≤ i < g·n'", "j = i"))
BIAS_BLOCKS = Piece(("0 ≤ j < g·n'", "b = j", "i = b"), ("b",))
SAME_MAP = Piece(("i' = i", "0 ≤ i < g·n'"))
STACK_BLOCKS = Piece(("0 ≤ b < g·n'", "i' = b", "i = b"), ("b",))


def _bias(planes: Piece, axis: Piece) -> Term:
    return Term(BIAS, planes, axis)


def _products(planes: Piece, axis: Piece) -> Term:
    return Term(TRILINEAR, planes, axis)


TRIPLE_SUM = _products(EVERY_FILTER, SUM)
CONVOLUTION = _products(GROUP_BY_GROUP, WINDOWS)

WRITTEN: Mapping[Side, tuple[Term, ...]] = {
    identities.triple_sum_responses: (TRIPLE_SUM,),
    identities.triple_sum_filter_gradient: (TRIPLE_SUM,),
    identities.triple_sum_input_gradient: (TRIPLE_SUM,),
    identities.triple_sum_and_bias: (TRIPLE_SUM, _bias(OWN_BIAS, EVERY_RESPONSE)),
    identities.windows: (CONVOLUTION,),
    identities.windows_and_bias: (CONVOLUTION, _bias(OWN_BIAS, EVERY_WINDOW)),
    identities.filter_by_filter: (_products(PLANE_BY_PLANE, WINDOWS), _bias(OWN_BIAS, EVERY_WINDOW)),
    identities.response_maps: (Term(STACK, SAME_MAP, SAME_RESPONSE),),
    identities.stacked: (Term(STACK, STACK_BLOCKS, UNIT_MATRIX),),
    identities.image_matrix_times_filters: (_products(IMAGE_BLOCKS, IMAGE_MATRIX),),
    identities.plane_image_matrices_times_filters: (_products(PLANE_BY_PLANE, IMAGE_MATRIX),),
    identities.filter_matrices_times_image: (_products(FILTER_BLOCKS, FILTER_MATRIX),),
    identities.plane_filter_matrices_times_image: (_products(PLANE_BY_PLANE, FILTER_MATRIX),),
    identities.chained_row_vectors: (_products(STACKED_BLOCKS, CHAIN),),
    identities.plane_row_vectors: (_products(PLANE_BY_PLANE, IMAGE_MATRIX),),
    identities.reshaped_row_vectors: (_products(IMAGE_BLOCKS, IMAGE_MATRIX),),
    identities.whole_filter_jacobian: (_products(STACKED_BLOCKS, IMAGE_MATRIX),),
    identities.image_convolved_with_gradient: (_products(PLANE_BY_PLANE, IMAGE_WITH_GRADIENT),),
    identities.filter_windows: (_products(GROUP_BY_GROUP, IMAGE_WITH_GRADIENT),),
    identities.bias_one_by_one: (_bias(OWN_BIAS, EVERY_RESPONSE),),
    identities.bias_row_vector: (_bias(BIAS_BLOCKS, ONES),),
    identities.bias_sums: (_bias(OWN_BIAS, EVERY_WINDOW),),
    identities.sum_over_children: (_products(FILTER_BLOCKS, FILTER_MATRIX),),
    identities.reshaped_sum_over_children: (_products(FILTER_BLOCKS, FILTER_MATRIX),),
    identities.whole_image_jacobian: (_products(FILTER_BLOCKS, FILTER_MATRIX),),
    identities.padded_gradient_convolved_with_turned_filter: (_products(CHILDREN, GRADIENT_WITH_TURNED_FILTER),),
    identities.input_windows: (_products(GROUP_BY_GROUP, GRADIENT_WITH_TURNED_FILTER),),
}
"""The terms of every side of an equation that is put together of index maps; no others have a proof."""
