"""At which layers a result is wrong, in words: where k ≠ l, where there are several images, where there is a tail."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from jacobians.audit.facts import labels
from jacobians.audit.judge import FINE
from jacobians.audit.probes import Case

if TYPE_CHECKING:
    from jacobians.audit.run import Comparison

__all__ = ["circumstances"]

Holds = Callable[[Case], bool]
Size = Callable[["Comparison"], int]

# So many layers of either kind that a circumstance is no chance.
LEAST = 3
ELSEWHERE = "and is right elsewhere"


def _unequal(sizes: Sequence[int]) -> bool:
    return len(set(sizes)) > 1


def _long_padding(case: Case) -> bool:
    layer = case.geometry
    pairs = zip(layer.padding, layer.extent, strict=True)
    return any(max(zeros) >= extent for zeros, extent in pairs)


def _larger_than_image(case: Case) -> bool:
    layer = case.geometry
    return any(extent > size for extent, size in zip(layer.extent, layer.image[1:], strict=True))


# The plainest first: of those that hold at the same layers, it is named.
CIRCUMSTANCES: tuple[tuple[str, Holds], ...] = (
    ("there are several images", lambda case: case.images > 1),
    ("there are several planes", lambda case: case.geometry.image[0] > 1),
    ("there are several filters", lambda case: case.geometry.filters[0] > 1),
    ("a group has several planes", lambda case: case.geometry.planes_per_group > 1),
    ("a group has several filters", lambda case: case.geometry.filters_per_group > 1),
    ("there are other numbers of planes and filters", lambda case: case.geometry.image[0] != case.geometry.filters[0]),
    ("there are other numbers of images and filters", lambda case: case.images != case.geometry.filters[0]),
    ("k ≠ l", lambda case: _unequal(case.geometry.filters[2:])),
    ("H ≠ W", lambda case: _unequal(case.geometry.image[1:])),
    ("h' ≠ w'", lambda case: _unequal(case.geometry.responses[1:])),
    ("rows or columns are left over (a tail)", lambda case: any(case.geometry.tail)),
    ("no rows or columns are left over (no tail)", lambda case: not any(case.geometry.tail)),
    ("filters have an even number of taps on an axis", lambda case: any(k % 2 == 0 for k in case.geometry.filters[2:])),
    ("filters have several taps", lambda case: math.prod(case.geometry.filters[2:]) > 1),
    ("filters have one tap", lambda case: math.prod(case.geometry.filters[2:]) == 1),
    ("there are several responses", lambda case: case.geometry.positions > 1),
    ("there is one response", lambda case: case.geometry.positions == 1),
    ("padding is larger than K − 1 on an axis", _long_padding),
    ("filters are larger than the image without its padding", _larger_than_image),
)
# Sizes from which on it is worth saying that only larger ones are wrong, as no circumstance above says it.
MANY = 3
# Of the layer, beside those of the axes of a result.
SIZES: dict[str, Size] = {
    "taps on an axis": lambda each: max(each.probe.geometry.filters[2:]),
    "taps of a filter, over all planes": lambda each: each.probe.geometry.taps,
    "planes": lambda each: each.probe.geometry.image[0],
    "images": lambda each: each.probe.case.images,
}
# Above what they may be kept in 16 bits.
OFFSETS: dict[str, Size] = {
    "an image has": lambda each: each.probe.geometry.pixels,
    "the responses to an image have": lambda each: math.prod(each.probe.geometry.responses),
}


def circumstances(failed: Sequence[Comparison], tried: Sequence[Comparison]) -> Iterator[str]:
    """Say what the layers have in common at which a result is wrong, or the code raises.

    Parameters
    ----------
    failed : sequence of Comparison
        Where it is wrong.
    tried : sequence of Comparison
        All comparisons of this result.

    Yields
    ------
    str
        A circumstance, if there is one; where that does not say all, the sizes from which on it is wrong. Nothing where
        some layers are neither, as where rounding cannot be told from a small error.
    """
    right = [each for each in tried if each.kind in FINE]
    wrong, fine, every = ({each.probe.case for each in some} for some in (failed, right, tried))
    if every - fine - wrong:
        return
    does = "raises" if {each.kind for each in failed} == {"exception"} else "is wrong"
    common = list(_common(wrong, fine - wrong, does))
    yield from common
    if not any(ELSEWHERE in each for each in common):
        yield from _sizes(failed, right, tried, does)
    for label, size in OFFSETS.items():
        if max(map(size, right), default=0) <= 2**15 < min(map(size, failed)):
            yield f"it {does} only where {label} more than 2^15 entries: an offset may be kept in 16 bits"


def _common(wrong: Collection[Case], fine: Collection[Case], does: str) -> Iterator[str]:
    """Name the first circumstance of all layers that failed and of none that are right; else, that of the fewest right.

    The latter only if it sets some layers that are right apart, and most that have it failed. Nothing where either are
    few.

    Yields
    ------
    str
        At most one fact.
    """
    if min(len(wrong), len(fine)) < LEAST:
        return
    common = {words: sum(map(holds, fine)) for words, holds in CIRCUMSTANCES if all(map(holds, wrong))}
    if not common:
        return
    words = min(common, key=common.__getitem__)
    if common[words] == 0:
        yield f"it {does} where {words}, {ELSEWHERE}"
    elif len(fine) - common[words] >= LEAST and len(wrong) >= common[words]:
        yield f"it {does} only where {words}, there at {len(wrong)} of {len(wrong) + common[words]} layers"


def _length(each: Comparison, *, axis: int) -> int:
    return int(each.right.shape[axis])


def _sizes(
    failed: Sequence[Comparison], right: Sequence[Comparison], tried: Sequence[Comparison], does: str
) -> Iterator[str]:
    """Say from which size on it is wrong, of the layer and of the result: columns of responses, not of images."""
    axes = labels(failed[0].name, failed[0].right.ndim)
    own = {label: functools.partial(_length, axis=axis) for axis, label in enumerate(axes)}
    for label, size in (SIZES | own).items():
        least, most = min(map(size, failed)), max(map(size, right), default=0)
        if least > MANY and 0 < most < least:
            yield f"it is right up to {most} {label}, and {does} from {least} on"
        elif least > MANY and label in own and any(size(each) < least for each in tried):
            yield f"it {does} at {least} {label} or more only"
