"""A convolution: its curriculum, its draws, what is right, and how its entries are called."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from jacobians import writing
from jacobians.audit import curriculum, readout, sums
from jacobians.audit.cases import Case, options
from jacobians.audit.formulas import ByFormula
from jacobians.audit.layer import REAL, Probe, Reach, Right, widened
from jacobians.audit.layers import spreading
from jacobians.audit.numbers import ConvolutionProbe, draw, dtype_of, integers, miss_of, reals
from jacobians.audit.subject import Subject
from jacobians.evidence import exact
from jacobians.formula.layouts import SPATIAL as LETTERS
from jacobians.formula.structure import Layer

__all__ = ["Convolution", "entry_names", "options"]

Array = npt.NDArray[Any]

# Magnitude of numbers that are easy to read, and of which many sums can be added up.
SMALL = 9
# What integers are multiplied by: no product is subnormal in half precision.
FRACTION = 2.0**-4
# Numbers of one image up to which very many of them are tried.
MOST_PER_IMAGE = 100
# Layers at which a formula is read of code that is for some alone.
MOST_READ = 60
# The letter of the entries of an array or a result, and whose sizes they have.
ENTRIES: dict[str, tuple[str, Any]] = {
    "X": ("X", "image"),
    "F": ("F", "filters"),
    "b": ("b", "bias"),
    "G": ("g", "responses"),
    "S": ("S", "responses"),
    "dX": ("v", "image"),
    "dF": ("v", "filters"),
    "db": ("v", "bias"),
}
# Axes of a result, and the letters of their sizes.
AXES: dict[str, tuple[tuple[str, str], ...]] = {
    "S": (("images", "N"), ("filters", "n"), ("rows", "h'"), ("columns", "w'")),
    "dX": (("images", "N"), ("planes", "d"), ("rows", "h"), ("columns", "w")),
    "dF": (("filters", "n"), ("planes", "d"), ("tap rows", "k"), ("tap columns", "l")),
    "db": (("filters", "n"),),
}
# How spatial axes are counted.
ORDINALS = ("first", "second", "third")
COUNTED = re.compile(rf"\b({'|'.join(ORDINALS)})\b(?= axis| and the \w+ axis)")
# What is counted along an axis, and the letters of its sizes: of the image, taps, responses, a filter and padding.
PLANE = (
    ("rows", "H", "k", "h'", "K", "the padding of rows"),
    ("columns", "W", "l", "w'", "L", "the padding of columns"),
)
SPATIAL = [(f"entries of axis {k}", f"H{k}", f"k{k}", f"h'{k}", f"K{k}", f"the padding of axis {k}") for k in range(9)]


def entry_names(name: str, case: Case) -> list[str]:
    """Name the entries of an array or a result as the lecture does; those of image 2 end in ^(2)."""
    letter, role = ENTRIES[name]
    single = writing.names(letter, role, case.geometry)
    if case.images == 1 or role in {"filters", "bias"}:
        return single
    return [f"{each}^({image})" for image in range(1, case.images + 1) for each in single]


@dataclasses.dataclass(frozen=True)
class Convolution(ByFormula):
    """A convolution at fixed options."""

    unit: ClassVar[str] = "layer"
    verb: ClassVar[str] = "summed"
    labels: ClassVar[dict[str, str]] = {"S": "S", "dX": "∂l/∂X", "dF": "∂l/∂F", "db": "∂l/∂b"}
    batched: ClassVar[str] = "XG"
    transforms: ClassVar[bool] = True
    by_function: ClassVar[bool] = False
    legal: ClassVar[str] = "a legal layer"
    named_axes: ClassVar[dict[str, tuple[tuple[str, str], ...]]] = AXES

    @property
    def title(self) -> str:
        """The options."""
        return str(self.options)

    def worded(self, text: str) -> str:
        """Count spatial axes in the order in which the code has them."""
        order = "".join(self.options.orders["X"].axes) if self.options.orders else ""
        spatial = [letter for letter in order if letter in LETTERS]
        counts = {ORDINALS[at]: ORDINALS[spatial.index(letter)] for at, letter in enumerate(sorted(spatial))}
        return COUNTED.sub(lambda found: counts.get(found[0], found[0]), text)

    @property
    def factors(self) -> dict[str, tuple[str, ...]]:
        """Two arrays of every result, but for ∂l/∂b."""
        return {
            self.notation[name]: tuple(self.notation[letter] for letter in letters)
            for name, letters in sums.FACTORS.items()
        }

    def reading_layers(self) -> Sequence[Layer] | None:
        """Return those of the curriculum where code is for some layers alone."""
        if self.options.only is None:
            return None
        return [Layer(case.geometry, case.images) for case in self.curriculum()[:MOST_READ]]

    # which numbers --------------------------------------------------------------------------------------------------

    def curriculum(self) -> Sequence[Case]:
        """Return small, awkward layers."""
        return curriculum.curriculum(self.options)

    def draw(self, case: Case, seed: int, number: int = 0) -> Probe:
        """Draw integers of which no sum rounds."""
        return self.own(draw(case, self.options, seed, number))

    def miss(self, case: Case) -> Fraction | None:
        """Bound the probability that a draw misses a wrong form."""
        return miss_of(case, self.dtype)

    def near_miss(self, probe: Probe) -> Fraction:
        """Bound the same where results of fast algorithms are accepted."""
        return sums.near_miss(self.canonical(probe))

    def small(self, case: Case, seed: int) -> Probe:
        """Draw integers of which, where the dtype allows, the results of three calls can be added up."""
        most = min(SMALL, exact.exact_magnitude(self.dtype, 3 * case.terms))
        return self.own(integers(case, self.options, max(most, 1), np.random.default_rng(seed)))

    def fractions(self, case: Case, seed: int) -> Probe | None:
        """Draw integers of at most 9 times a power of two, whose sums are as exact as theirs."""
        most = min(SMALL, exact.exact_magnitude(self.dtype, case.terms))
        if dtype_of(self.dtype).kind in "iu" or most < 1:
            return None
        probe = integers(case, self.options, most, np.random.default_rng(seed))
        # Every product is multiplied by the same; the bias, too.
        by = {"X": FRACTION, "F": FRACTION, "G": FRACTION, "b": FRACTION**2}
        scaled = {letter: (widened(probe.arrays[letter]) * by[letter]).astype(probe.dtype) for letter in by}
        return self.own(probe.replaced(**scaled))

    def reals(self, case: Case, seed: int) -> Probe | None:
        """Draw numbers with all digits and of very different sizes."""
        if dtype_of(self.dtype).kind in "iu" or self.options.updates:
            return None
        return self.own(reals(case, self.options, np.random.default_rng(seed)))

    def fresh(self, cases: Sequence[Case]) -> tuple[Case, Case, Case, Case]:
        """Choose layers that the curriculum does not have, or other numbers of images of those that were given."""
        built = set(self.curriculum()) if len(cases) > 2 else set()
        found = curriculum.unused(self.options) if built >= set(cases) else None
        if found:
            return found
        small, *_, large = (case.geometry for case in sorted((*cases, *cases)[:4], key=lambda case: case.numbers))
        return Case(small, 3), Case(large, 4), Case(large, 6), Case(large, 7)

    def observed(self, cases: Sequence[Case]) -> Sequence[Case]:
        """Choose a layer with several of everything, and one wider than tiles, beyond which a NaN may spread."""
        # The largest of those that are small; where these have one image, filter or tap each, a larger one.
        small = cases[: len(cases) * 2 // 3 + 1]
        several = max(
            (*small, next((each for each in cases if each.several), small[-1])),
            key=lambda each: (each.several, min(each.images, 2), min(each.geometry.responses[1:]) > 1, each.numbers),
        )
        most = 4 * spreading.TILE
        wide = min(cases, key=lambda each: (-min(max(each.geometry.responses[1:]), most), each.numbers))
        return list(dict.fromkeys((several, wide)))

    def large_batch(self, images: int) -> Probe | None:
        """Draw numbers for 1×1 everything, or as little as there can be behind the padding."""
        case = curriculum.large_batch(self.options, images)
        if case is None or case.geometry.pixels + case.geometry.positions > MOST_PER_IMAGE:
            return None
        magnitude = exact.exact_magnitude(self.dtype, case.terms)
        probe = integers(case, self.options, max(magnitude, 1), np.random.default_rng(0))
        if magnitude < 1:
            # Sums over so many images are not exact in this dtype: let the first and the last entry of G count.
            G = np.zeros_like(probe.G)
            G.reshape(-1)[[0, -1]] = 1
            probe = probe.replaced(G=G)
        return self.own(probe)

    # what is right --------------------------------------------------------------------------------------------------

    def right(self, probe: Probe) -> dict[str, Right]:
        """Compute it by the explicit image matrix."""
        given = self.canonical(probe)
        direct = sums.rounding_bounds(given) if probe.what == REAL else {}
        errors = {name: np.maximum(bound, self._transformed(given, name)) for name, bound in direct.items()}
        found = {}
        for name, value in sums.expected(given).items():
            error = self.shaped(name, errors[name]) if name in errors else 0.0
            found[self.notation[name]] = Right(self.shaped(name, value), error)
        return found

    def _transformed(self, given: ConvolutionProbe, name: str) -> float:
        """Return the bound of fast algorithms; 0 where there are none."""
        return sums.slack(given, name) if self.transforms else 0.0

    def slack(self, probe: Probe, name: str) -> float:
        """Return the bound of fast algorithms."""
        return self._transformed(self.canonical(probe), self.called(name))

    def lower(self, probe: Probe, name: str, dtype: str, right: Right) -> Array:
        """Bound the errors of sums in a lower precision."""
        given = self.canonical(probe)
        return np.asarray(
            sums.transform_bound(exact.SIGNIFICAND[dtype], given.case) * sums.norms(given, self.called(name))
        )

    def reach(self, probe: Probe, letter: str) -> tuple[Probe, Reach] | None:
        """Put a NaN into the entry that is in the fewest sums."""
        if probe.dtype.kind in "iu" or (self.options.updates and letter == "F"):
            return None
        found = spreading.reach(self.canonical(probe), self.called(letter))
        if found is None:
            return None
        spoiled, masks = found
        return self.own(spoiled), {
            self.notation[name]: (self.shaped(name, wanted), self.shaped(name, allowed))
            for name, (wanted, allowed) in masks.items()
        }

    # how it is written ----------------------------------------------------------------------------------------------

    def text(self, probe: Probe, side: str) -> str:
        """Return the layer."""
        del side
        return probe.case.written(self.options.orders) if self.options.orders else str(probe.case)

    def names(self, name: str, case: Case) -> list[str]:
        """Name entries as the lecture does."""
        return entry_names(name, case)

    def sizes(self, case: Case) -> dict[str, tuple[str, int]]:
        """Name the sizes of a layer, whole ones before those of single axes."""
        g = case.geometry
        found = {
            "images": ("N", case.images),
            "planes": ("d", g.image[0]),
            "filters": ("n", g.filters[0]),
            "planes of a group": ("d/groups", g.planes_per_group),
            "filters of a group": ("n/groups", g.filters_per_group),
            "taps of a plane": ("k·l", math.prod(g.filters[2:])),
            "responses": ("h'·w'", g.positions),
            "taps of a filter": ("d·k·l", g.taps),
            "rows or columns in the tail": ("the tail", max(g.tail)),
        }
        spatial = PLANE if g.spatial_ndim == 2 else SPATIAL
        for k, (axis, size, tap, out, extent, padding) in enumerate(spatial[: g.spatial_ndim]):
            found |= {f"{axis} of taps": (tap, g.filters[2 + k]), f"{axis} of responses": (out, g.responses[1 + k])}
            found |= {f"{axis} of the image": (size, g.image[1 + k]), f"{axis} of a filter": (extent, g.extent[k])}
            found[f"{axis} of padding"] = padding, max(g.padding[k])
        return found

    def axes(self, name: str, ndim: int) -> tuple[tuple[str, str], ...]:
        """Name the axes of a result, and their sizes."""
        axes = self.named_axes[name]
        if ndim == 3 and len(axes) == 4:
            axes = (*axes[:2], axes[-1])
        return axes if ndim == len(axes) else super().axes(name, ndim)

    def symbols(self, subject: Subject, probe: Probe, name: str, at: int, got: Array) -> tuple[str, str] | None:
        """Read both sums of products out, where that of the code gives what it computes."""
        shapes, dtype = probe.case.shapes, dtype_of(self.dtype)
        zeros = self.own(
            ConvolutionProbe(probe.case, {letter: np.zeros(shape, dtype) for letter, shape in shapes.items()})
        )
        wanted, found = (
            self._sum(functools.partial(self._entry, whose, zeros, name, at), probe, name) for whose in (None, subject)
        )
        if wanted is None or found is None or wanted[0] == found[0]:
            return None
        bound = float(exact.gamma(len(found[1]) + 2, "float64")) * np.sum(np.abs(found[1])) + self.slack(probe, name)
        return (wanted[0], found[0]) if abs(np.sum(found[1]) - np.ravel(got)[at]) <= bound else None

    def _sum(self, value: readout.Value, probe: Probe, name: str) -> tuple[str, list[float]] | None:
        """Read a sum of products out, and of responses the bias: in symbols, and its terms for these numbers."""
        texts, terms = list[str](), list[float]()
        b, wide = self.notation["b"], {letter: np.ravel(each) for letter, each in probe.wide.items()}
        for letters in (self.factors[name], *([(b,)] if self.options.bias and name == self.notation["S"] else [])):
            found = readout.products(value, {letter: wide[letter].size for letter in letters})
            text = readout.text(found, {letter: self.names(letter, probe.case) for letter in letters})
            if found is None or text is None:
                return None
            texts += [text] if text != "0" else []
            for places, number in found.items():
                pairs = zip(letters, places, strict=True)
                terms.append(number * math.prod(float(wide[letter][place]) for letter, place in pairs))
        return " + ".join(texts).replace("+ -", "- ") or "0", terms

    def _entry(
        self, subject: Subject | None, zeros: Probe, name: str, at: int, arrays: Mapping[str, Array]
    ) -> float | None:
        """Return one entry of a result for some flat arrays, where the others are 0; None for what is right."""
        shaped = {
            letter: flat.astype(zeros.dtype).reshape(zeros.arrays[letter].shape) for letter, flat in arrays.items()
        }
        probe: Probe = zeros.replaced(**shaped)
        if subject is None:
            return float(np.ravel(self.right(probe)[name].value)[at])
        result = subject.results(probe.arrays, only=subject.side(name))[name].value
        number = float(np.ravel(widened(result))[at]) if result is not None and np.size(result) > at else math.nan
        if not math.isfinite(number):
            return None
        return float(round(number)) if abs(number - round(number)) <= self.slack(probe, name) else number

    # smaller cases --------------------------------------------------------------------------------------------------

    def smaller(self, case: Case) -> Iterator[Case]:
        """Cut one size."""
        return curriculum.smaller_cases(case, self.options)

    def smallest(self) -> Sequence[Case]:
        """Return layers of a few numbers."""
        return curriculum.small_cases(self.options)

    def readable(self, case: Case, count: int) -> Iterator[Probe]:
        """Draw numbers of one digit, and then such as an audit draws."""
        generator = np.random.default_rng(1)
        most = exact.exact_magnitude(self.dtype, case.terms)
        for _ in range(count if most else 0):
            yield self.own(integers(case, self.options, min(SMALL, most), generator))
        if most > SMALL:
            yield self.own(integers(case, self.options, most, generator))
