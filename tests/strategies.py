"""Geometries and arrays for the tests that need the same ones each time: awkward on purpose, with distinct entries."""

import math
import os
from itertools import product

import numpy as np

from jacobians import Geometry

# Of audits of right code, none of which may find anything; `make sweep` takes more for convolutions.
SEEDS = range(100 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 30)


def distinct(shape, *, start=-5, dtype=np.int64):
    """Distinct integers in no order that a transposition or a reversal keeps."""
    count = math.prod(shape)
    step = next(step for step in range(max(2, round(0.6 * count)), 10**9) if math.gcd(step, count) == 1)
    return (start + np.arange(count) * step % count).reshape(shape).astype(dtype)


def layer(geometry):
    return tuple(
        distinct(shape, start=start)
        for shape, start in ((geometry.image, -5), (geometry.filters, 2), (geometry.responses, -9))
    )


def option_grid():
    """Every combination of stride, padding, dilation and groups, on one, two and three axes; no two axes are alike."""
    sizes, taps = (9, 8, 7), (3, 2, 2)
    options = {
        "stride": (None, (2, 3, 1)),
        "padding": (None, ((1, 0), (0, 3), (2, 1))),
        "dilation": (None, (2, 3, 1)),
        "groups": (1, 2),
    }
    for ndim, *chosen in product((1, 2, 3), *options.values()):
        given = dict(zip(options, chosen, strict=True))
        groups = given.pop("groups")
        each = {name: value[:ndim] for name, value in given.items() if value}
        if ndim == 3:
            yield Geometry((2, 5, 4, 3), (2 * groups, 2 // groups, *taps), groups=groups, **each)
        else:
            yield Geometry((4, *sizes[:ndim]), (2 * groups, 4 // groups, *taps[:ndim]), groups=groups, **each)


# Each hides or shows something that the others do not.
AWKWARD = {
    "1×1 filter, gaps": Geometry((2, 4, 5), (3, 2, 1, 1), stride=(2, 3)),
    "filter as large as the image": Geometry((2, 3, 4), (2, 2, 3, 4)),
    "one pixel, padded": Geometry((1, 1, 1), (2, 1, 1, 1), padding=((1, 0), (0, 2))),
    "tail of two, two axes apart": Geometry((1, 9, 6), (1, 1, 3, 2), stride=(4, 3)),
    "padding beyond k − 1": Geometry((1, 3, 2), (1, 1, 2, 1), padding=((3, 2), (1, 4))),
    "windows wholly in padding, dilated": Geometry((1, 2, 3), (2, 1, 2, 2), padding=4, dilation=3, stride=2),
    "even filter, groups of two filters": Geometry((4, 5, 4), (4, 2, 2, 4), padding=((0, 1), (2, 1)), groups=2),
    "depthwise with multiplier": Geometry((3, 5), (6, 1, 2), stride=2, groups=3),
    "dilation steps over the image": Geometry((1, 2, 2), (1, 1, 3, 2), dilation=(4, 3), padding=(4, 2)),
    "four axes": Geometry((1, 2, 3, 2, 3), (2, 1, 1, 2, 2, 2), padding=(0, 1, 0, 1), stride=(1, 2, 1, 3)),
}


def _every_second(A):
    roomy = np.zeros([2 * size for size in A.shape], A.dtype)
    view = roomy[(slice(None, None, 2),) * A.ndim]
    view[...] = A
    return view


# The same entries in another memory layout.
LAYOUTS = {
    "C": np.array,
    "Fortran": np.asfortranarray,
    "reversed": lambda A: np.flip(np.flip(A).copy()),
    "every second": _every_second,
    "last two axes exchanged": lambda A: np.swapaxes(np.swapaxes(A, -1, -2).copy(), -1, -2),
    "big-endian": lambda A: A.astype(A.dtype.newbyteorder(">")),
    "read-only": lambda A: np.frombuffer(A.tobytes(), A.dtype).reshape(A.shape),
    "unaligned": lambda A: np.frombuffer(b"\0" + A.tobytes(), np.uint8)[1:].view(A.dtype).reshape(A.shape),
}
