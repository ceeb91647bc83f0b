"""A fully connected layer: a convolution whose filters are as large as the image, in its own letters and shapes."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy.typing as npt

from jacobians.arguments import flag
from jacobians.audit.cases import Case
from jacobians.audit.layer import Probe
from jacobians.audit.layers.convolution import Convolution, options
from jacobians.formula import structure
from jacobians.formula.normal import expanded
from jacobians.formula.relation import Equation, Formula, Linear, Term
from jacobians.geometry import Geometry

__all__ = ["FullyConnected", "fully_connected"]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

# Images, classes, planes × rows × columns: everything 1, each alone 2, m = C, and remainders of 4, 8, 16 and 32.
SIZES: tuple[Shape, ...] = (
    (1, 1, 1, 1, 1), (1, 1, 1, 1, 2), (1, 2, 1, 1, 1), (2, 1, 1, 1, 1), (1, 2, 1, 1, 2), (1, 1, 1, 2, 2),
    (1, 1, 2, 1, 2), (2, 2, 1, 1, 1), (2, 3, 1, 2, 1), (2, 4, 2, 1, 2), (2, 3, 2, 2, 3), (3, 12, 2, 3, 2),
    (3, 5, 3, 1, 11), (5, 17, 2, 2, 4),
)  # fmt: skip
# At which formulas are read: no size follows from others.
READ: tuple[Shape, ...] = (
    (1, 2, 1, 2, 3), (2, 1, 2, 3, 1), (3, 4, 2, 3, 4), (2, 3, 3, 2, 2), (1, 1, 1, 1, 2), (2, 2, 1, 1, 1),
    (1, 3, 4, 1, 2), (3, 1, 1, 2, 4), (4, 2, 3, 1, 3), (2, 5, 2, 2, 1), (1, 4, 1, 5, 2), (3, 3, 2, 2, 4),
    (2, 6, 1, 3, 3), (4, 3, 2, 4, 3), (1, 1, 5, 2, 2), (2, 4, 1, 2, 2), (1, 8, 2, 2, 2),
)  # fmt: skip
# What the names and words of a convolution are here: the array X is H, and the size H is h.
WORDS = {
    "X": "H", "F": "W", "G": "g", "S": "s", "H": "h", "W": "w", "K": "h", "L": "w", "n": "C",
    "filter": "class", "filters": "classes", "response map": "class", "response maps": "classes",
    "tap": "entry", "taps": "entries",
}  # fmt: skip
# The size n, not the index n of an image; and the only row and column of a response map, which are none here.
NAMED = r"(?<![\w'])(?:response maps?|filters?|taps?|[XFGSHWKL]|(?<!, )(?<!\[)n(?!'|,(?! and)|\]| =))(?![\w'])"
ONLY = ((r"([GS]\[[^]]*), (?:0, 0|l, m)\]", r"\1]"), (r"\b[lm] = 0(?:,  )?", ""), (r",?  +over  (?=\)|  |$)", ""),
        (r"\+ \(([^() ]+)\)", r"+ \1"))  # fmt: skip
SHAPES = "With H as an (N, m) matrix: s = H @ W.T + b, dW = g.T @ H, dH = (g @ W).reshape(…), db = g.sum(axis=0)."
LETTERS = {"W": "W", "H": "h", "b": "b", "g": "g", "s": "s", "dW": "dW", "dH": "dh", "db": "db"}
AXES: dict[str, tuple[tuple[str, str], ...]] = {
    "s": (("images", "N"), ("classes", "C")),
    "dW": (("classes", "C"), ("entries of h", "m")),
    "dH": (("images", "N"), ("planes", "d"), ("rows", "h"), ("columns", "w")),
    "db": (("classes", "C"),),
}


def fully_connected(dtype: Any, *, bias: bool) -> FullyConnected:
    """Return what an audit of this layer is about, with or without a bias."""
    found = options(1, 0, 1, 1, 2, bias=flag("bias", bias), dtype=dtype)
    return FullyConnected(found.dtype, found)


def _case(sizes: Sequence[int]) -> Case:
    images, classes, *image = sizes
    return Case(Geometry(image, (classes, *image)), images)


def _single(term: Term) -> Term:
    """Return the sum with responses in row and column 0 alone."""
    letter = next(view.tensor.letter for view in term.views if view.tensor.letter in "GS")
    first = {f"{letter}.{index}": Linear.of({}) for index in "lm"}
    equations = [dataclasses.replace(each, value=expanded(each.value, first)) for each in term.equations]
    return dataclasses.replace(term, equations=(*equations, *(Equation(*each) for each in first.items())))


@dataclasses.dataclass(frozen=True)
class FullyConnected(Convolution):
    """W (C, m), H (N, d, h, w), b (C,) and g (N, C) in the place of F, X, b and G, which has one response."""

    unit: ClassVar[str] = "mini-batch"
    anchor: ClassVar[str] = "fully-connected"
    is_general: ClassVar[bool] = False
    verb: ClassVar[str] = "computed"
    labels: ClassVar[dict[str, str]] = {"s": "s", "dW": "∂l/∂W", "dH": "∂l/∂H", "db": "∂l/∂b"}
    batched: ClassVar[str] = "Hg"
    widens: ClassVar[bool] = True
    transforms: ClassVar[bool] = False
    by_function: ClassVar[bool] = True
    legal: ClassVar[str] = "legal input"
    named_axes: ClassVar[dict[str, tuple[tuple[str, str], ...]]] = AXES
    raised: ClassVar[Mapping[str, tuple[str, str]]] = {"ValueError": ("", SHAPES)}
    notation: ClassVar[dict[str, str]] = {
        "F": "W", "X": "H", "b": "b", "G": "g", "S": "s", "dF": "dW", "dX": "dH", "db": "db",
    }  # fmt: skip

    @property
    def title(self) -> str:
        """The layer and its options."""
        return f"fully connected {'with' if self.options.bias else 'without'} bias, {self.dtype}"

    def shaped(self, name: str, result: Array) -> Array:
        """Return an array or a result of a convolution in the shape of the code's."""
        return result.reshape(len(result), -1) if name in {"S", "G", "F", "dF"} else result

    def convolved(self, name: str, result: Array, case: Case) -> Array:
        """Return a result of the code in the shape of a convolution's, where it has the size for it."""
        shape = {"S": case.shapes["G"], "dF": case.shapes["F"]}.get(name)
        return result.reshape(shape) if shape and result.shape == (shape[0], math.prod(shape[1:])) else result

    def reading_layers(self) -> Sequence[structure.Layer]:
        """Return small ones whose filters are as large as the image."""
        return [*map(_case, READ)]

    def relation(self, right: Formula) -> Formula:
        """Put the only row and column of a response map in the place of all."""
        return dataclasses.replace(right, terms=tuple(map(_single, right.terms)))

    def worded(self, text: str) -> str:
        """Write what is said of a convolution in the names of this layer."""
        for pattern, instead in ONLY:
            text = re.sub(pattern, instead, text)
        return re.sub(NAMED, lambda found: WORDS[found[0]], text)

    def curriculum(self) -> Sequence[Case]:
        """Return small mini-batches."""
        return sorted(map(_case, SIZES), key=lambda case: case.numbers)

    def fresh(self, cases: Sequence[Case]) -> tuple[Case, Case, Case, Case]:
        """Choose mini-batches that the curriculum does not have."""
        return _case((2, 2, 2, 1, 2)), _case((4, 2, 3, 1, 1)), _case((4, 3, 1, 3, 1)), _case((4, 4, 1, 1, 3))

    def observed(self, cases: Sequence[Case]) -> Sequence[Case]:
        """Choose one of which every array has several numbers."""
        return [max(cases, key=lambda case: min(map(math.prod, case.shapes.values())))]

    def large_batch(self, images: int) -> Probe | None:
        """Return none: every size is among the others already."""
        del images
        return None

    def text(self, probe: Probe, side: str) -> str:
        """Return the numbers where they are few, else the shapes."""
        return probe.text(self.takes[side])

    def sizes(self, case: Case) -> dict[str, tuple[str, int]]:
        """Name the sizes of a mini-batch."""
        planes, rows, columns = case.geometry.image
        classes, entries = case.geometry.filters[0], case.geometry.pixels
        found = {"images": ("N", case.images), "classes": ("C", classes), "entries of h": ("m", entries)}
        return {**found, "planes": ("d", planes), "rows": ("h", rows), "columns": ("w", columns)}

    def names(self, name: str, case: Case) -> list[str]:
        """Name entries by class and place in h; those of image 2 end in ^(2)."""
        letter, (classes, entries) = LETTERS[name], (case.geometry.filters[0], case.geometry.pixels)
        if name in {"b", "db"}:
            return [f"{letter}{c + 1}" for c in range(classes)]
        if name in {"W", "dW"}:
            comma = "," if max(classes, entries) > 9 else ""
            return [f"{letter}{c + 1}{comma}{j + 1}" for c in range(classes) for j in range(entries)]
        count = classes if name in {"s", "g"} else entries
        ends = [f"^({image + 1})" if case.images > 1 else "" for image in range(case.images)]
        return [f"{letter}{j + 1}{end}" for end in ends for j in range(count)]

    def smaller(self, case: Case) -> Iterator[Case]:
        """Cut one size."""
        now = [case.images, case.geometry.filters[0], *case.geometry.image]
        for at, value in enumerate(now):
            for less in sorted({1, value // 2, value - 1} - {0, value}):
                yield _case([*now[:at], less, *now[at + 1 :]])

    def smallest(self) -> Sequence[Case]:
        """Return mini-batches whose sizes are 1 or 2."""
        return sorted(map(_case, itertools.product((1, 2), repeat=5)), key=lambda case: case.numbers)
