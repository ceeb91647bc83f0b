"""Layers at true size, in blocks: their explicit matrices held against the convolution forms, by ``==`` on integers.

A block of work is the image matrix and what some filters make of it, or the filter matrices of some filters: rows that
follow each other in ∂vec(S)/∂vec(X). It is built in pieces of as many rows as its memory allows, which are multiplied
and forgotten. Blocks know nothing of each other, so that any process of any machine can do any of them.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jacobians import convolution, matrices
from jacobians._version import __version__
from jacobians.errors import TooLargeError, raise_interrupt
from jacobians.evidence import exact
from jacobians.geometry import Geometry
from jacobians.sizes import amount
from jacobians.verify.report import Failure, Outcome

__all__ = ["EQUATIONS", "Block", "blocks", "check_block"]

Array = npt.NDArray[Any]

EQUATIONS = ("S", "∂l/∂F", "∂l/∂X", "∂l/∂b")
# A wrong form passes all draws of a block with this probability at most.
TARGET = Fraction(1, 2**60)
DTYPE = np.dtype(np.float64)
# Magnitude that is large enough for three draws: NumPy draws distinct integers from an array of all of them, unless
# they are more than so many times those that are drawn.
MAGNITUDE, SPARSELY = 1 << 22, 50
# Nonzeros of the filter matrices of one block: a second or two of work.
BLOCK_NONZEROS = 1 << 28
# Products of the convolutions of one block with the image matrix, and its fewest filters: they share that matrix.
IMAGE_PRODUCTS, IMAGE_FILTERS = 1 << 33, 16
# Nonzeros of a piece that is built at once: more of them leave the caches, fewer do not hide the calls.
PIECE_NONZEROS = 1 << 21
# Bytes of a nonzero, with its index of 4 or 8 bytes, its share of what building it takes, and where it is dense.
NONZERO_BYTES = 32


@dataclasses.dataclass(frozen=True)
class Block:
    """A unit of work that can be sent to another process.

    Attributes
    ----------
    name : str
        Of the layer.
    geometry : Geometry
        The layer.
    matrix : str
        ``"image"`` for the matrices M_X^im of the groups of the filters, ``"filter"`` for their matrices M_Fi^filter.
    filters : range
        Of one group, or of several whole groups.
    seed : int
        Of the run.
    memory : int
        Bytes that the block may take.
    version : str
        Of the toolkit that made it: another one checks other code.
    """

    name: str
    geometry: Geometry
    matrix: Literal["image", "filter"]
    filters: range
    seed: int
    memory: int
    version: str = __version__

    @property
    def nonzeros(self) -> int:
        """Nonzeros of the matrices that it builds."""
        each = self.geometry.nonzeros // self.geometry.filters[0]
        return each * (len(self.groups) if self.matrix == "image" else len(self.filters))

    @property
    def groups(self) -> range:
        """Groups of the filters."""
        return range(self.geometry.group_of(self.filters.start), self.geometry.group_of(self.filters.stop - 1) + 1)

    @property
    def rows(self) -> str:
        """Which rows of which matrix they are."""
        t = self.geometry.positions
        if self.matrix == "image":
            return f"rows 0 … {t - 1} of M_X^im, filters {self.filters.start} … {self.filters.stop - 1}"
        return f"rows {self.filters.start * t} … {self.filters.stop * t - 1} of ∂vec(S)/∂vec(X)"


@dataclasses.dataclass(frozen=True)
class Draw:
    """Integers in floating point for a layer, which no sum of its forms rounds, and how likely they miss something."""

    X: Array
    F: Array
    G: Array
    b: Array
    miss: Fraction


def blocks(name: str, geometry: Geometry, seed: int, memory: int) -> list[Block]:
    """Cut the work at one layer into blocks.

    Parameters
    ----------
    name : str
        Of the layer, for messages.
    geometry : Geometry
        The layer.
    seed : int
        Of the run.
    memory : int
        Bytes that a block may take.

    Returns
    -------
    list of Block
        Those with the image matrix first. Which filters are checked together depends on the geometry alone.

    Raises
    ------
    TooLargeError
        If not even the arrays of the layer and one row of its matrix fit.
    """
    found = [Block(name, geometry, "image", filters, seed, memory) for filters in _image_ranges(geometry)]
    found += [Block(name, geometry, "filter", filters, seed, memory) for filters in _filter_ranges(geometry)]
    for block in found:
        _piece_rows(block)
    return found


def check_block(block: Block) -> list[Outcome]:
    """Check the equations of one block on as many draws as it takes.

    Parameters
    ----------
    block : Block
        What to check.

    Returns
    -------
    list of Outcome
        One per equation, of exact evidence; its failure has the index in the array of the whole layer.

    Raises
    ------
    RuntimeError
        If another version of the toolkit made the block.
    """
    if block.version != __version__:
        raise RuntimeError(f"a process has jacobians {__version__} but the run {block.version}; install the same")
    sides = _image_sides if block.matrix == "image" else _filter_sides
    failures: dict[str, Failure] = {}
    compared: dict[str, int] = {}
    missed = Fraction(1)
    for draw in _draws(block):
        for comparison in sides(block, draw):
            failure = comparison.failure(block)
            compared[comparison.equation] = compared.get(comparison.equation, 0) + 1
            if failure:
                failures.setdefault(comparison.equation, failure)
        missed *= draw.miss
    size = block.geometry.pixels + math.prod(block.geometry.filters) + math.prod(block.geometry.responses)
    return [
        Outcome(equation, "exact", count, size, missed, None, failures.get(equation))
        for equation, count in compared.items()
    ]


# comparison -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Comparison:
    """Two sides of an equation on one draw; `first` is where they begin in the first axis of the whole array."""

    equation: str
    names: tuple[str, str]
    sides: tuple[Callable[[], Array], Callable[[], Array]]
    shape: tuple[int, ...]
    first: int = 0

    def failure(self, block: Block) -> Failure | None:
        """Return where the sides differ first."""
        (expected, missing), (actual, complaint) = (_computed(side, self.shape) for side in self.sides)
        difference = exact.first_difference(expected, actual)
        if difference is None:
            return None
        entry, wrong = difference
        place = [int(each) for each in np.unravel_index(entry, self.shape)]
        place[0] += self.first
        index = entry + self.first * math.prod(self.shape[1:])
        where = f"layer {block.name}, {block.geometry!r}, {block.rows}"
        right, got = missing or _number(expected.flat[entry]), complaint or _number(actual.flat[entry])
        named, total = f"{self.equation}{place}", math.prod(self.shape)
        return Failure("exact", where, block.seed, self.names, named, right, got, wrong, total, block.geometry, index)


def _computed(side: Callable[[], Array], shape: tuple[int, ...]) -> tuple[Array, str]:
    """Return what a side computes; what is wrong with it instead where it is no array of the right shape."""
    nothing = np.full(shape, np.nan)
    try:
        actual = side()
    except MemoryError:
        raise
    except Exception as error:  # whatever wrong code raises is the finding
        raise_interrupt(error)
        return nothing, f"{type(error).__name__}: {error}"
    return (actual, "") if actual.shape == shape else (nothing, f"shape {actual.shape}")


def _number(value: Any) -> str:
    return str(int(value)) if math.isfinite(value) and float(value).is_integer() else str(value)


# draws ----------------------------------------------------------------------------------------------------------------


def _draws(block: Block) -> Iterator[Draw]:
    """Draw integers until a wrong form of the block is missed with the target probability at most."""
    geometry = block.geometry
    responses = len(block.filters), *geometry.responses[1:]
    shapes = {"X": geometry.image, "F": geometry.filters, "G": responses, "b": geometry.filters[:1]}
    if block.matrix == "image":
        multilinear = ["XFb", "XG", "GF"]
        summed = [geometry.taps + 1, geometry.positions, geometry.filters_per_group * math.prod(geometry.filters[2:])]
    else:
        multilinear = ["XF", "GF"]
        summed = [geometry.taps, len(block.filters) * math.prod(geometry.filters[2:])]
    magnitude = min(MAGNITUDE, exact.exact_magnitude(DTYPE, max(summed)))
    drawn = {letter: exact.Draw(magnitude, math.prod(shape)) for letter, shape in shapes.items()}
    miss = max(exact.miss_probability(*(drawn[letter] for letter in letters)) for letters in multilinear)
    missed = Fraction(1)
    for number in itertools.count():
        generator = np.random.default_rng((block.seed, *_spelt(block), number))
        X, F, G, b = (exact.draw_integers(generator, each, magnitude, DTYPE) for each in shapes.values())
        yield Draw(X, F, G, b, miss)
        missed *= miss
        if missed <= TARGET:
            return


def _spelt(block: Block) -> tuple[int, ...]:
    """Return numbers that are those of this block alone."""
    geometry = block.geometry
    padding = itertools.chain.from_iterable(geometry.padding)
    of_layer = *geometry.image, *geometry.filters, *geometry.stride, *padding, *geometry.dilation, geometry.groups
    return (*of_layer, block.filters.start, len(block.matrix))


# the image matrix: S, ∂l/∂F, ∂l/∂b, and the convolutions of all filters at once ---------------------------------------


def _image_sides(block: Block, draw: Draw) -> Iterator[_Comparison]:
    geometry, filters = block.geometry, block.filters
    (some, planes), own = _layer_of(geometry, filters), _cut(filters)
    products = functools.cache(lambda: _image_products(block, draw))
    yield _Comparison(
        "S",
        ("M_X^im vec(F_i) + b_i", "X ∗ F_i + b_i"),
        (lambda: products()[0], lambda: convolution.convolve(draw.X[planes], draw.F[own], some, bias=draw.b[own])),
        some.responses,
        filters.start,
    )
    yield _Comparison(
        "∂l/∂F",
        ("(∂l/∂S_i)ᵀ M_X^im", "X ∗ ∂l/∂S_i"),
        (lambda: products()[1], lambda: convolution.filter_gradient(draw.X[planes], draw.G, some)),
        some.filters,
        filters.start,
    )
    yield _Comparison(
        "∂l/∂b",
        ("(∂l/∂S)ᵀ ∂vec(S)/∂b", "Σ ∂l/∂S_i"),
        (lambda: _bias_product(block, draw.G), lambda: convolution.bias_gradient(draw.G)),
        some.filters[:1],
        filters.start,
    )
    # The filter matrices of fewer filters are held against the convolution of these; here is the one of all of them.
    yield _Comparison(
        "∂l/∂X",
        ("Σ_i G_i^zero-pad ∗ F_i^rot180, fewer filters at a time", "G^zero-pad ∗ F^rot180"),
        (
            lambda: _input_gradient_by_ranges(draw.G, draw.F, geometry, filters),
            lambda: _input_gradient(draw.G, draw.F, geometry, filters),
        ),
        geometry.image,
    )


def _image_products(block: Block, draw: Draw) -> tuple[Array, Array]:
    """Multiply M_X^im of each group, piece by piece, by its filters and by the upstream gradient."""
    geometry, filters = block.geometry, block.filters
    t, taps = geometry.positions, geometry.taps
    F, G = draw.F[_cut(filters)].reshape(-1, taps), draw.G.reshape(-1, t)
    S, dF = np.empty(G.shape), np.zeros(F.shape)
    per_group = len(filters) // len(block.groups)
    for number, group in enumerate(block.groups):
        own = slice(number * per_group, (number + 1) * per_group)
        for rows in _pieces(range(t), _piece_rows(block)):
            M = matrices.image_matrix(draw.X, geometry, group=group, rows=rows).toarray()
            S[own, rows] = F[own] @ M.T
            dF[own] += G[own, rows] @ M
    S += draw.b[_cut(filters), None]
    return S.reshape(draw.G.shape), dF.reshape(-1, *geometry.filters[1:])


def _bias_product(block: Block, G: Array) -> Array:
    n, t = block.geometry.filters[0], block.geometry.positions
    first, g, db = block.filters.start * t, G.ravel(), np.zeros(n)
    for rows in _pieces(range(first, first + g.size), PIECE_NONZEROS):
        J = matrices.jacobian_wrt_bias(block.geometry, rows=rows)
        db += J.T @ g[rows.start - first : rows.stop - first]
    return db[_cut(block.filters)]


# the filter matrices: S and ∂l/∂X -------------------------------------------------------------------------------------


def _filter_sides(block: Block, draw: Draw) -> Iterator[_Comparison]:
    geometry, filters = block.geometry, block.filters
    products = functools.cache(lambda: _filter_products(block, draw))
    yield _Comparison(
        "S",
        ("M_Fi^filter vec(X)", "X ∗ F_i"),
        (lambda: products()[0], lambda: _convolve(draw.X, draw.F, geometry, filters)),
        (len(filters), *geometry.responses[1:]),
        filters.start,
    )
    yield _Comparison(
        "∂l/∂X",
        ("Σ_i (∂l/∂S_i)ᵀ M_Fi^filter", "Σ_i G_i^zero-pad ∗ F_i^rot180"),
        (lambda: products()[1], lambda: _input_gradient(draw.G, draw.F, geometry, filters)),
        geometry.image,
    )


def _filter_products(block: Block, draw: Draw) -> tuple[Array, Array]:
    """Multiply the rows of ∂vec(S)/∂vec(X), piece by piece, by the image and by the upstream gradient."""
    geometry, filters = block.geometry, block.filters
    x, g, first = draw.X.ravel(), draw.G.ravel(), filters.start * geometry.positions
    S, dX = np.empty(g.size), np.zeros(x.size)
    for rows in _pieces(range(first, first + g.size), _piece_rows(block)):
        J = matrices.jacobian_wrt_image(draw.F, geometry, rows=rows)
        here = slice(rows.start - first, rows.stop - first)
        S[here] = J @ x
        dX += J.T @ g[here]
    return S.reshape(draw.G.shape), dX.reshape(geometry.image)


def _convolve(X: Array, F: Array, geometry: Geometry, filters: range) -> Array:
    some, planes = _layer_of(geometry, filters)
    return convolution.convolve(X[planes], F[_cut(filters)], some)


def _input_gradient(G: Array, F: Array, geometry: Geometry, filters: range) -> Array:
    """Return ∂l/∂X of some filters; 0 in planes that they do not see."""
    some, planes = _layer_of(geometry, filters)
    dX = np.zeros(geometry.image)
    dX[planes] = convolution.input_gradient(G, F[_cut(filters)], some)
    return dX


def _input_gradient_by_ranges(G: Array, F: Array, geometry: Geometry, filters: range) -> Array:
    dX = np.zeros(geometry.image)
    for each in _filter_ranges(geometry):
        some = range(max(each.start, filters.start), min(each.stop, filters.stop))
        if some:
            dX += _input_gradient(G[some.start - filters.start : some.stop - filters.start], F, geometry, some)
    return dX


def _layer_of(geometry: Geometry, filters: range) -> tuple[Geometry, slice]:
    """Return the layer that some filters of one group, or of several whole groups, make, and the planes it sees."""
    first, last = geometry.group_of(filters.start), geometry.group_of(filters.stop - 1)
    planes = slice(geometry.planes_of(first).start, geometry.planes_of(last).stop)
    some = Geometry(
        (planes.stop - planes.start, *geometry.image[1:]),
        (len(filters), *geometry.filters[1:]),
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
        groups=last - first + 1,
    )
    return some, planes


# cutting --------------------------------------------------------------------------------------------------------------


def _image_ranges(geometry: Geometry) -> list[range]:
    return _ranges(geometry, max(IMAGE_FILTERS, IMAGE_PRODUCTS // (geometry.positions * geometry.taps)))


def _filter_ranges(geometry: Geometry) -> list[range]:
    return _ranges(geometry, max(1, BLOCK_NONZEROS // max(1, geometry.nonzeros // geometry.filters[0])))


def _ranges(geometry: Geometry, most: int) -> list[range]:
    """Cut the filters into ranges of one group, or of several whole groups, of so many filters at most."""
    n, per_group = geometry.filters[0], geometry.filters_per_group
    if most >= per_group:
        length = most // per_group * per_group
        return [range(start, min(start + length, n)) for start in range(0, n, length)]
    return [
        range(start, min(start + most, group + per_group))
        for group in range(0, n, per_group)
        for start in range(group, group + per_group, most)
    ]


def _piece_rows(block: Block) -> int:
    """Return how many rows are built at once, within the block's memory."""
    held, row = _held_bytes(block), block.geometry.taps * NONZERO_BYTES
    if held + row > block.memory:
        raise TooLargeError(
            f"layer {block.name}, {block.geometry!r}, needs {amount(held + row)} for its arrays and one row of its "
            f"matrix, but a block of work may take {amount(block.memory)}; let it take more memory"
        )
    return max(1, min((block.memory - held) // row, PIECE_NONZEROS // block.geometry.taps))


def _held_bytes(block: Block) -> int:
    """Bytes of the arrays that a block holds at once: drawn, of both forms, and what the convolutions need."""
    geometry = block.geometry
    filters = len(block.filters)
    padded = geometry.image[0] * math.prod(geometry.padded)
    spread = filters * math.prod(map(sum, zip(geometry.padded, geometry.extent, strict=True)))
    largest = max(geometry.pixels, math.prod(geometry.filters), filters * geometry.positions)
    drawn_from = min(2 * MAGNITUDE, SPARSELY * largest)
    numbers = drawn_from + 5 * padded + 3 * math.prod(geometry.filters) + 5 * filters * geometry.positions + spread
    return DTYPE.itemsize * (numbers + 2 * convolution.SLAB_ENTRIES)


def _pieces(rows: range, length: int) -> Iterator[slice]:
    for start in range(rows.start, rows.stop, length):
        yield slice(start, min(start + length, rows.stop))


def _cut(filters: range) -> slice:
    return slice(filters.start, filters.stop)
