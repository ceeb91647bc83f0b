"""The geometry of a convolution: its shapes, its vec order and the pixel table.

The order of indices is defined here alone. ``vec`` writes planes one after the other and each plane row by row, which
is the C order of a planes-first array; every flat index in the toolkit is such an index.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from jacobians import notebook
from jacobians.arguments import entries, instance, integer, numeric, shown
from jacobians.errors import ShapeError, nearest
from jacobians.sizes import check_bytes

__all__ = ["Geometry"]

IntArray = npt.NDArray[np.int64]

PADDING_WORDS = ("valid", "same")
# What a convolution of PyTorch says of itself.
MODULE_OPTIONS = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
# Spatial axes: an array of NumPy has 64 axes, two of which are others.
MOST_AXES = 62


@dataclass(frozen=True, init=False, repr=False)
class Geometry(notebook.Shown):
    """Shapes and options of one convolution layer.

    Parameters
    ----------
    image : sequence of int
        ``X.shape = (d, *spatial)``: planes first, then one size per spatial axis.
    filters : sequence of int
        ``F.shape = (n, d // groups, *taps)``.
    stride, dilation : int or sequence of int
        One for all spatial axes, or one per spatial axis; each at least 1.
    padding : int, sequence of int, sequence of pairs of int, "valid" or "same"
        Zeros around the image: one for all sides, one per spatial axis, or one ``(before, after)`` pair per axis.
        ``"valid"`` is 0; ``"same"`` keeps the spatial size, needs stride 1, and puts an odd zero after the image.
    groups : int
        The planes are divided into this many equal groups; filter ``i`` reads the planes of group
        ``i // (n / groups)``.

    Attributes
    ----------
    image, filters, stride, dilation, groups
        As given, as tuples with one entry per axis.
    padding : tuple of (int, int)
        One ``(before, after)`` pair per spatial axis.

    Raises
    ------
    ShapeError
        If the shapes and options do not describe a convolution.

    Notes
    -----
    On one spatial axis, response ``l`` reads with tap ``i`` the pixel ``l·stride − before + i·dilation``; outside the
    image it reads a zero of the padding. The pixel table of the layer is the sum over the axes of these offsets
    (L8 and L14, with options as on the page "Stride, padding, dilation and groups" of the guide).

    Examples
    --------
    >>> geometry = Geometry((1, 6, 6), (1, 1, 3, 3))
    >>> geometry.responses, geometry.positions, geometry.taps, geometry.pixels
    ((1, 4, 4), 16, 9, 36)
    >>> Geometry((3, 7, 9), (4, 3, 3, 2), stride=(2, 1), padding=((1, 0), (0, 2)))
    Geometry((3, 7, 9), (4, 3, 3, 2), stride=(2, 1), padding=((1, 0), (0, 2)))
    """

    image: tuple[int, ...]
    filters: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int

    def __init__(
        self,
        image: Sequence[int],
        filters: Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: int | str | Sequence[int] | Sequence[Sequence[int]] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> None:
        image = check_shape("image", image, "(d, *spatial)")
        filters = check_shape("filters", filters, "(n, d // groups, *taps)")
        if len(image) < 2:
            raise ShapeError(
                f"image has shape {image}, which has no spatial axis; it needs (d, *spatial)"
                + (f": for one plane write {(1, *image)}" if image else "")
            )
        axes = len(image) - 1
        if len(filters) != axes + 2:
            raise ShapeError(
                f"filters has {len(filters)} axes {filters} but an image of shape {image} has {axes} spatial "
                f"{_plural('axis', axes)} and needs filters with {axes + 2} axes: (n, d // groups, *taps)"
            )
        put = object.__setattr__
        put(self, "image", image)
        put(self, "filters", filters)
        put(self, "stride", _per_axis("stride", stride, axes))
        put(self, "dilation", _per_axis("dilation", dilation, axes))
        put(self, "groups", integer("groups", groups, least=1))
        put(self, "padding", self._normal_padding(padding))
        self._check_groups()
        self._check_extent()
        self._check_int64()

    @classmethod
    def of(cls, module: Any, image: Sequence[int]) -> Geometry:
        """Return the geometry of a PyTorch convolution on an image.

        Parameters
        ----------
        module : torch.nn.Conv1d, Conv2d or Conv3d
            Or anything else with their ``in_channels``, ``out_channels``, ``kernel_size``, ``stride``, ``padding``,
            ``dilation`` and ``groups``; PyTorch itself is not needed.
        image : sequence of int
            ``X.shape = (d, *spatial)`` of one image, without the axis of the batch.

        Returns
        -------
        Geometry
            With the module's padding as it pads: ``"same"`` puts an odd zero after the image, as PyTorch does.

        Raises
        ------
        TypeError
            If it is no convolution.
        ShapeError
            If it is a transposed convolution, pads with anything but zeros, has no weights yet, or the image is not
            one that it takes.

        Examples
        --------
        >>> import torch  # doctest: +SKIP
        >>> Geometry.of(torch.nn.Conv2d(3, 16, 3, stride=2, padding=1), (3, 32, 32))  # doctest: +SKIP
        Geometry((3, 32, 32), (16, 3, 3, 3), stride=2, padding=1)
        """
        kind = type(module).__name__
        if isinstance(module, type) or any(not hasattr(module, each) for each in MODULE_OPTIONS):
            what = f"is the class {module.__name__}" if isinstance(module, type) else f"has type {kind}"
            raise TypeError(
                f"module {what}; it needs a convolution of PyTorch such as torch.nn.Conv2d(3, 16, 3), or an object "
                f"with {', '.join(MODULE_OPTIONS)}"
            )
        if getattr(module, "transposed", False):
            raise ShapeError(
                f"module is a {kind}, a transposed convolution; its matrix is the transpose of a convolution's: make "
                "the Geometry of the convolution from its output to its input"
            )
        if module.in_channels == 0:
            raise ShapeError(f"module is a {kind} that has no weights yet; call it once on an image")
        geometry = cls(
            image,
            (module.out_channels, module.in_channels // module.groups, *module.kernel_size),
            stride=module.stride,
            padding=module.padding,
            dilation=module.dilation,
            groups=module.groups,
        )
        mode = getattr(module, "padding_mode", "zeros")
        if mode != "zeros" and set(geometry.padding) != {(0, 0)}:
            raise ShapeError(
                f"module pads with padding_mode {mode!r}; the matrices are those of padding with zeros: it needs "
                "padding_mode 'zeros', or padding 0 behind a layer that pads"
            )
        return geometry

    # shapes -----------------------------------------------------------------------------------------------------------

    @property
    def spatial_ndim(self) -> int:
        """Number of spatial axes, 1 or more."""
        return len(self.image) - 1

    @cached_property
    def extent(self) -> tuple[int, ...]:
        """Pixels from a filter's first to its last tap, ``(k − 1)·dilation + 1``, one per spatial axis."""
        return tuple((k - 1) * step + 1 for k, step in zip(self.filters[2:], self.dilation, strict=True))

    @cached_property
    def padded(self) -> tuple[int, ...]:
        """Sizes of the padded image, one per spatial axis."""
        return tuple(size + before + after for size, (before, after) in zip(self.image[1:], self.padding, strict=True))

    @cached_property
    def responses(self) -> tuple[int, ...]:
        """``S.shape = (n, *out)``."""
        out = (
            (size - extent) // step + 1
            for size, extent, step in zip(self.padded, self.extent, self.stride, strict=True)
        )
        return (self.filters[0], *out)

    @cached_property
    def tail(self) -> tuple[int, ...]:
        """Rows of the padded image behind the last window, one count per spatial axis; no response reads them."""
        return tuple(
            (size - extent) % step for size, extent, step in zip(self.padded, self.extent, self.stride, strict=True)
        )

    @cached_property
    def positions(self) -> int:
        """``t``, the entries of one response map."""
        return math.prod(self.responses[1:])

    @cached_property
    def taps(self) -> int:
        """Entries of one filter, ``d/groups · k₁ · k₂ ⋯``."""
        return math.prod(self.filters[1:])

    @cached_property
    def pixels(self) -> int:
        """Entries of the image, ``d · h · w``."""
        return math.prod(self.image)

    @cached_property
    def nonzeros(self) -> int:
        """Entries of ∂vec(S)/∂vec(X), and of ∂vec(S)/∂vec(F): products of L1 that do not fall into padding."""
        held = (self.axis_entries(axis, range(size)) for axis, size in enumerate(self.responses[1:]))
        return self.filters[0] * self.planes_per_group * math.prod(held)

    @property
    def planes_per_group(self) -> int:
        """Planes that one filter reads, ``d / groups``."""
        return self.filters[1]

    @property
    def filters_per_group(self) -> int:
        """Filters that read the same planes, ``n / groups``."""
        return self.filters[0] // self.groups

    def group_of(self, i: int) -> int:
        """Group whose planes filter `i` reads; filters are counted from 0."""
        return self.check_index("i", i, self.filters[0]) // self.filters_per_group

    def planes_of(self, group: int) -> slice:
        """Slice of the image's planes that `group` reads."""
        group = self.check_index("group", group, self.groups)
        return slice(group * self.planes_per_group, (group + 1) * self.planes_per_group)

    def filters_of(self, group: int) -> slice:
        """Slice of the filters that read the planes of `group`."""
        group = self.check_index("group", group, self.groups)
        return slice(group * self.filters_per_group, (group + 1) * self.filters_per_group)

    # the pixel table --------------------------------------------------------------------------------------------------

    def axis_table(self, axis: int) -> IntArray:
        """The pixel table of one spatial axis.

        Parameters
        ----------
        axis : int
            Spatial axis, counted from 0.

        Returns
        -------
        ndarray of int64, shape (out[axis], taps[axis])
            Entry ``[l, i] = l·stride − before + i·dilation``, the pixel that tap ``i`` reads for response ``l``.
            Negative, or at least ``image[1 + axis]``, where it falls into padding.

        Raises
        ------
        IndexError
            If there is no such axis.
        TooLargeError
            If the table does not fit into memory.
        """
        axis = self.check_index("axis", axis, self.spatial_ndim)
        self._check_table(self.responses[1 + axis], self.filters[2 + axis])
        responses = np.arange(self.responses[1 + axis], dtype=np.int64) * self.stride[axis] - self.padding[axis][0]
        taps = np.arange(self.filters[2 + axis], dtype=np.int64) * self.dilation[axis]
        return responses[:, None] + taps

    def axis_reach(self, axis: int, positions: range | None = None) -> tuple[IntArray, IntArray]:
        """First tap, and one behind the last tap, that read pixels of the image, for the responses of one axis.

        Parameters
        ----------
        axis : int
            Spatial axis, counted from 0.
        positions : range, optional
            Which responses; by default all ``out[axis]`` of them.

        Returns
        -------
        first, stop : ndarray of int64, shape (len(positions),)
            Taps ``first[l] … stop[l] − 1`` read pixels for response ``positions[l]``; the others fall into padding.
            Equal where the whole window lies in padding.

        Raises
        ------
        IndexError, TooLargeError
            As `axis_table`.
        ShapeError
            If `positions` is not a range of step 1.
        """
        axis = self.check_index("axis", axis, self.spatial_ndim)
        size, taps, step = self.image[1 + axis], self.filters[2 + axis], self.dilation[axis]
        l = range(self.responses[1 + axis]) if positions is None else _range(positions)
        self._check_table(len(l), 1)
        start = np.arange(l.start, l.stop, dtype=np.int64) * self.stride[axis] - self.padding[axis][0]
        first = np.clip(-(start // step), 0, taps)
        stop = np.clip((size - 1 - start) // step + 1, first, taps)
        return first, stop

    def axis_entries(self, axis: int, positions: range) -> int:
        """How many pairs of a response and a tap of one axis read a pixel of the image.

        Parameters
        ----------
        axis : int
            Spatial axis, counted from 0.
        positions : range
            Which responses.

        Returns
        -------
        int
            The sum of ``stop − first`` of `axis_reach`, found tap by tap: no array is as long as the axis.

        Raises
        ------
        IndexError, ShapeError
            As `axis_reach`.
        """
        axis, positions = self.check_index("axis", axis, self.spatial_ndim), _range(positions)
        stride, size = self.stride[axis], self.image[1 + axis]
        # Tap i reads pixel l·stride − behind, which is at least 0 from one response on, and at least size from another.
        behind = self.padding[axis][0] - np.arange(self.filters[2 + axis], dtype=np.int64) * self.dilation[axis]
        first, stop = (np.clip(-(-each // stride), positions.start, positions.stop) for each in (behind, behind + size))
        return int(np.sum(stop - first))

    def pixel_table(self, *, group: int = 0) -> IntArray:
        """The whole pixel table P of one group: which pixel each tap reads for each response.

        Parameters
        ----------
        group : int
            Group of planes, counted from 0.

        Returns
        -------
        ndarray of int64, shape (positions, taps)
            ``P[r, c]``, an index into vec(X), is the pixel that tap ``c`` reads for response ``r``; −1 where it falls
            into padding.

        Raises
        ------
        IndexError
            If there is no such group.
        TooLargeError
            If the table does not fit into memory.

        Notes
        -----
        This table is for looking at and for small layers; the functions of `jacobians.matrices` never hold all of it.
        """
        group = self.check_index("group", group, self.groups)
        self._check_table(self.positions, self.taps)
        l = np.unravel_index(np.arange(self.positions), self.responses[1:])
        q, *a = np.unravel_index(np.arange(self.taps), self.filters[1:])
        table = (self.planes_of(group).start + q) * math.prod(self.image[1:])
        inside = np.ones_like(table, bool)
        for axis, size in enumerate(self.image[1:]):
            first = l[axis] * self.stride[axis] - self.padding[axis][0]
            pixel = first[:, None] + a[axis] * self.dilation[axis]
            inside = inside & (pixel >= 0) & (pixel < size)
            table = table + pixel * math.prod(self.image[2 + axis :])
        return np.where(inside, table, -1)

    # checks -----------------------------------------------------------------------------------------------------------

    def _check_table(self, responses: int, taps: int) -> None:
        """Refuse a table that does not fit: besides the entries, a sum of as many is made, and its parts."""
        check_bytes(
            f"the pixel table of {self!r}, of shape {(responses, taps)},",
            responses * taps * 3 * np.dtype(np.int64).itemsize,
            "take a smaller layer, or build its matrix in blocks, of jacobians.image_matrix with rows=slice(…)",
        )

    def check_index(self, name: str, index: int, count: int) -> int:
        """Return `index` as an int between 0 and `count` − 1.

        Parameters
        ----------
        name : str
            Name of the argument, for the message.
        index : int
            What was given.
        count : int
            How many there are.

        Returns
        -------
        int
            The index.

        Raises
        ------
        IndexError
            If it is not.
        """
        number = integer(name, index)
        if not 0 <= number < count:
            raise IndexError(
                f"{name} is {number} but {self!r} has {count} of them, counted from 0: it needs 0 … {count - 1}"
            )
        return number

    def check_array(self, name: str, array: npt.ArrayLike, role: str) -> npt.NDArray[Any]:
        """Return `array` as a numeric array of exactly the shape that the geometry gives to its role.

        Parameters
        ----------
        name : str
            Name of the argument, for the message.
        array : array_like
            What was given.
        role : {"image", "filters", "filter", "responses", "bias"}
            Which of the geometry's shapes it must have.

        Returns
        -------
        ndarray
            The same entries, dtype and memory.

        Raises
        ------
        ShapeError
            If the shape is another one, also if it merely has the right size.
        DtypeError
            If the entries are not integers or real floating-point numbers.
        """
        shapes = {
            "image": self.image,
            "filters": self.filters,
            "filter": self.filters[1:],
            "responses": self.responses,
            "bias": self.filters[:1],
        }
        result, needed = numeric(name, array), shapes[role]
        if result.shape == needed:
            return result
        raise ShapeError(f"{name} has shape {result.shape} but {self!r} needs {needed}; {_cure(name, result, needed)}")

    def _normal_padding(self, padding: object) -> tuple[tuple[int, int], ...]:
        axes = self.spatial_ndim
        if isinstance(padding, str):
            return self._padding_of_word(padding)
        if not is_list(padding):
            amount = integer("padding", padding, least=0)
            return ((amount, amount),) * axes
        entries = tuple(padding)
        if len(entries) != axes:
            hint = f"; for zeros before and after write padding=({entries},)" if axes == 1 else ""
            raise ShapeError(
                f"padding has {len(entries)} entries {entries} but there {_plural('is', axes)} {axes} spatial "
                f"{_plural('axis', axes)}: give one integer, one integer per axis, or one (before, after) pair per axis"
                + hint
            )
        return tuple(_pair(axis, entry) for axis, entry in enumerate(entries))

    def _padding_of_word(self, word: str) -> tuple[tuple[int, int], ...]:
        if word not in PADDING_WORDS:
            raise ShapeError(
                f"padding is {word!r}; the words are 'valid' and 'same', or give integers{nearest(word, PADDING_WORDS)}"
            )
        if word == "valid":
            return ((0, 0),) * self.spatial_ndim
        if set(self.stride) != {1}:
            raise ShapeError(
                f"padding is 'same' with stride {self.stride}; 'same' needs stride 1, because frameworks disagree on "
                "what it means otherwise: give the zeros as (before, after) pairs"
            )
        return tuple(((extent - 1) // 2, extent // 2) for extent in self.extent)

    def _check_groups(self) -> None:
        (d, n, groups, planes) = self.image[0], self.filters[0], self.groups, self.filters[1]
        if d % groups or n % groups:
            what, count = ("image", d) if d % groups else ("filters", n)
            noun = "planes" if d % groups else "filters"
            raise ShapeError(
                f"groups is {groups} but {what} has {count} {noun}, which cannot be cut into {groups} equal groups; "
                f"groups needs to divide both d = {d} and n = {n}"
            )
        if planes * groups != d:
            raise ShapeError(
                f"filters has {planes} {_plural('plane', planes)} per filter but image has {d} "
                f"{_plural('plane', d)} in {groups} {_plural('group', groups)}; filters.shape[1] needs to be "
                f"{d // groups}" + (f", or groups={d // planes}" if d % planes == 0 and n % (d // planes) == 0 else "")
            )

    def _check_extent(self) -> None:
        for axis, (padded, extent) in enumerate(zip(self.padded, self.extent, strict=True)):
            if extent > padded:
                raise ShapeError(
                    f"filters has {self.filters[2 + axis]} taps on spatial axis {axis}, which with dilation "
                    f"{self.dilation[axis]} cover {extent} pixels, but the padded image has only {padded}; "
                    f"make the image larger, the filter smaller, or pad by {extent - padded} more"
                )

    def _check_int64(self) -> None:
        padded, most = math.prod(self.padded) * self.image[0], 2**63 - 1
        counts = {
            "image": padded,
            "filters": math.prod(self.filters),
            "responses": math.prod(self.responses),
            "stride": max(self.stride),
        }
        for name, count in counts.items():
            if count > most:
                raise OverflowError(
                    f"{name} counts to {count} (with padding), which 64-bit indices cannot: it needs at most {most}; "
                    "make the layer smaller"
                )

    def __repr__(self) -> str:
        """Return the shortest call that makes this geometry."""
        return f"Geometry({', '.join([str(self.image), str(self.filters), *self.options])})"

    @property
    def options(self) -> list[str]:
        """What of stride, padding, dilation and groups is not the default, as the call writes it."""
        options = []
        if set(self.stride) != {1}:
            options.append(f"stride={_shortest(self.stride)}")
        if set(self.padding) != {(0, 0)}:
            options.append(f"padding={self._shortest_padding()}")
        if set(self.dilation) != {1}:
            options.append(f"dilation={_shortest(self.dilation)}")
        if self.groups != 1:
            options.append(f"groups={self.groups}")
        return options

    def _repr_html_(self) -> str:
        """Return the shapes of the layer's arrays and matrices as a table."""
        t = self.positions
        shapes = {
            "X": self.image,
            "F": self.filters,
            "S": self.responses,
            "M_X^im": (t, self.taps),
            "M_F^filter": (t, self.pixels),
            "∂vec(S)/∂vec(F)": (self.filters[0] * t, math.prod(self.filters)),
            "∂vec(S)/∂vec(X)": (self.filters[0] * t, self.pixels),
        }
        rows = [(name, " × ".join(map(str, shape))) for name, shape in shapes.items()]
        return notebook.table(("", "shape"), [*rows, *([("options", ", ".join(self.options))] if self.options else [])])

    def _shortest_padding(self) -> str:
        if all(before == after for before, after in self.padding):
            return _shortest(tuple(before for before, _ in self.padding))
        return str(self.padding)


def check_geometry(geometry: object, name: str = "geometry") -> Geometry:
    """Return `geometry` if it is one.

    Parameters
    ----------
    geometry : object
        What was given.
    name : str
        Name of the argument, for the message.

    Returns
    -------
    Geometry
        The same.

    Raises
    ------
    TypeError
        If it is not a geometry, with the cure.
    """
    needs = "a Geometry: Geometry(X.shape, F.shape), with stride, padding, dilation and groups as its options"
    checked: Geometry = instance(name, geometry, Geometry, needs)
    return checked


def check_geometries(geometries: object, name: str = "geometries") -> list[Geometry]:
    """Return `geometries` as a list, if they are some.

    Parameters
    ----------
    geometries : object
        What was given.
    name : str
        Name of the argument, for the message.

    Returns
    -------
    list of Geometry
        The same, in their order.

    Raises
    ------
    TypeError
        If `geometries` has no entries, or an entry is not a Geometry.
    """
    given = entries(name, geometries, "a list of Geometry, such as [Geometry(…)]")
    return [check_geometry(geometry, f"{name}[{number}]") for number, geometry in enumerate(given)]


def as_plane(geometry: Geometry) -> Geometry:
    """Return the layer with two spatial axes: a signal is an image of one row.

    Parameters
    ----------
    geometry : Geometry
        A layer with one or two spatial axes: image (d, W) or (d, H, W), filters (n, d/groups, L) or
        (n, d/groups, K, L).

    Returns
    -------
    Geometry
        Of one axis, that with image (d, 1, W) and filters (n, d/groups, 1, L), whose pixel table is the same; else the
        same layer.
    """
    if geometry.spatial_ndim == 2:
        return geometry
    (d, size), (n, depth, taps) = geometry.image, geometry.filters
    return Geometry(
        (d, 1, size),
        (n, depth, 1, taps),
        stride=(1, *geometry.stride),
        padding=((0, 0), *geometry.padding),
        dilation=(1, *geometry.dilation),
        groups=geometry.groups,
    )


def boxes(shape: Sequence[int], start: int, stop: int) -> Iterator[tuple[range, ...]]:
    """Cut the flat C-order range ``start … stop − 1`` of an array into boxes, in order.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array.
    start, stop : int
        First flat index, and one behind the last.

    Yields
    ------
    tuple of range
        One range per axis; at most ``2·len(shape) − 1`` boxes.
    """
    if start >= stop:
        return
    if len(shape) == 1:
        yield (range(start, stop),)
        return
    inner = math.prod(shape[1:])
    whole = range(-(-start // inner), stop // inner)
    if whole.start > whole.stop:
        cuts = [(whole.stop, start % inner, stop % inner)]
    else:
        cuts = [(whole.start - 1, start - inner * (whole.start - 1), inner), (whole.stop, 0, stop % inner)]
        if start % inner == 0:
            del cuts[0]
    for line, first, last in cuts:
        if line == whole.stop and whole:
            yield (whole, *map(range, shape[1:]))
        for box in boxes(shape[1:], first, last):
            yield (range(line, line + 1), *box)


def _range(positions: object) -> range:
    if isinstance(positions, range) and positions.step == 1:
        return positions
    raise ShapeError(f"positions is {shown(positions)}; it needs a range of step 1, like range(0, 100)")


def is_list(value: object) -> TypeGuard[Iterable[object]]:
    """Whether `value` has entries in an order; a 0-dimensional array is a number."""
    if isinstance(value, tuple | list):  # at once, since each geometry asks this of all its arguments
        return True
    unordered = isinstance(value, str | bytes | Set | Mapping)
    return isinstance(value, Iterable) and not unordered and getattr(value, "ndim", 1) > 0


def check_shape(name: str, shape: object, form: str) -> tuple[int, ...]:
    """Return a shape as a tuple of int.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    shape : sequence of int
        What was given.
    form : str
        What it needs to be, for the message.

    Returns
    -------
    tuple of int
        The sizes, each at least 1.

    Raises
    ------
    ShapeError
        If it is no shape.
    """
    if getattr(shape, "ndim", 1) != 1:
        raise ShapeError(f"{name} is an array; it needs a shape {form}: pass the array's .shape")
    if not is_list(shape):
        raise ShapeError(f"{name} is {shown(shape)}; it needs a shape {form}")
    sizes = tuple(integer(f"{name}[{axis}]", size) for axis, size in enumerate(shape))
    for axis, size in enumerate(sizes):
        if size < 1:
            raise ShapeError(
                f"{name} has shape {sizes}, with {size} entries on axis {axis}; every axis needs at least 1"
            )
    return sizes


def _per_axis(name: str, value: object, axes: int) -> tuple[int, ...]:
    if not is_list(value):
        return (integer(name, value, least=1),) * axes
    entries = tuple(value)
    if len(entries) != axes:
        raise ShapeError(
            f"{name} has {len(entries)} entries {entries} but there {_plural('is', axes)} {axes} spatial "
            f"{_plural('axis', axes)}: give one integer, or one integer per axis"
        )
    return tuple(integer(f"{name}[{axis}]", entry, least=1) for axis, entry in enumerate(entries))


def _pair(axis: int, entry: object) -> tuple[int, int]:
    name = f"padding[{axis}]"
    if not is_list(entry):
        amount = integer(name, entry, least=0)
        return (amount, amount)
    sides = tuple(integer(f"{name}[{side}]", amount, least=0) for side, amount in enumerate(entry))
    if len(sides) != 2:
        raise ShapeError(f"{name} is {sides}; it needs one integer or one (before, after) pair")
    return (sides[0], sides[1])


def _shortest(entries: tuple[int, ...]) -> str:
    return str(entries[0] if len(set(entries)) == 1 else entries)


def _plural(noun: str, count: int) -> str:
    plurals = {"axis": "axes", "is": "are"}
    return noun if count == 1 else plurals.get(noun, noun + "s")


def _cure(name: str, array: npt.NDArray[Any], needed: tuple[int, ...]) -> str:
    shape = array.shape
    if shape == (*needed[1:], needed[0]):
        return f"the planes come first: np.moveaxis({name}, -1, 0)"
    if sorted(shape) == sorted(needed):
        return f"its axes are in another order: put them right with {name}.transpose(…)"
    if shape[1:] == needed:
        return f"it looks like a batch: pass one entry at a time, {name}[0]"
    if array.size == math.prod(needed):
        return f"it has the right size: if its entries are in vec order, {name}.reshape({needed})"
    return "pass an array of that shape, or make the Geometry of this one"
