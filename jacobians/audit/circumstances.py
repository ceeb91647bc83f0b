"""At which layers a result is wrong, in words: where k ≠ l, where there are several images, where there is a tail."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from jacobians.audit.judge import FINE
from jacobians.audit.probes import Case

if TYPE_CHECKING:
    from jacobians.audit.run import Comparison

__all__ = ["circumstances"]

Holds = Callable[[Case], bool]
Size = Callable[[Case], int]

# So many layers of either kind that a circumstance is no chance.
LEAST = 3


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
# From which on it is worth saying that only larger ones are wrong, as no circumstance above says it.
MANY = 3
# What the axes of results do not show.
SIZES: dict[str, Size] = {
    "taps on an axis": lambda case: max(case.geometry.filters[2:]),
    "taps of a filter, over all planes": lambda case: case.geometry.taps,
    "planes": lambda case: case.geometry.image[0],
    "images": lambda case: case.images,
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
        The first circumstance of all layers that failed and of none that did not; else, the one that the fewest others
        have, if it sets some layers that did not fail apart and most that have it failed. Then the sizes from which on
        it is wrong. Nothing where either are fewer than three layers.
    """
    wrong, right = [{each.probe.case for each in some} for some in (failed, [e for e in tried if e.kind in FINE])]
    right -= wrong
    if min(len(wrong), len(right)) < LEAST:
        return
    does = "raises" if {each.kind for each in failed} == {"exception"} else "is wrong"
    for label, size in SIZES.items():
        most, least = max(map(size, right)), min(map(size, wrong))
        if max(most, MANY) < least:
            yield f"it is right up to {most} {label}, and {does} at {least} or more"
    common = {words: sum(map(holds, right)) for words, holds in CIRCUMSTANCES if all(map(holds, wrong))}
    if not common:
        return
    words = min(common, key=common.__getitem__)
    if common[words] == 0:
        yield f"it {does} where {words}, and is right elsewhere"
    elif len(right) - common[words] >= LEAST and len(wrong) >= common[words]:
        yield f"it {does} only where {words}, there at {len(wrong)} of {len(wrong) + common[words]} layers"
