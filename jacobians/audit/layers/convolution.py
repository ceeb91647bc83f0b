"""A convolution: its curriculum, its draws, what is right, and how its entries are called."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from jacobians import writing
from jacobians.audit import curriculum, readout, sums
from jacobians.audit.cases import Case, Options
from jacobians.audit.compare import Comparison, Run
from jacobians.audit.formulas import formula_finding
from jacobians.audit.layer import REAL, Explanation, Layer, Probe, Reach, Right, widened
from jacobians.audit.layers import spreading
from jacobians.audit.numbers import ConvolutionProbe, check_dtype, draw, dtype_of, integers, miss_of, reals
from jacobians.audit.subject import Subject, check_flag
from jacobians.errors import ShapeError
from jacobians.evidence import exact
from jacobians.formula import structure
from jacobians.formula.relation import Formula
from jacobians.geometry import Geometry

__all__ = ["Convolution", "entry_names", "options"]

Array = npt.NDArray[Any]

# Magnitude of numbers that are easy to read, and of which many sums can be added up.
SMALL = 9
# What integers are multiplied by: no product is subnormal in half precision.
FRACTION = 2.0**-4
# Numbers of one image up to which very many of them are tried.
MOST_PER_IMAGE = 100
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
AXES = {
    "S": (("images", "N"), ("filters", "n"), ("rows", "h'"), ("columns", "w'")),
    "dX": (("images", "N"), ("planes", "d"), ("rows", "h"), ("columns", "w")),
    "dF": (("filters", "n"), ("planes", "d"), ("tap rows", "k"), ("tap columns", "l")),
    "db": (("filters", "n"),),
}


def options(
    stride: Any, padding: Any, dilation: Any, groups: Any, spatial_ndim: Any, *, bias: bool, dtype: str
) -> Options:
    """Check and normalise what the code under audit was fixed to."""
    if not isinstance(spatial_ndim, int) or spatial_ndim < 1:
        raise ShapeError(f"spatial_ndim is {spatial_ndim!r}; it needs an integer of at least 1")
    if not isinstance(groups, int | np.integer) or isinstance(groups, bool) or groups < 1:
        raise ShapeError(f"groups is {groups!r}; it needs an integer of at least 1, the number of groups of planes")
    check_flag("bias", bias)
    groups, dtype = int(groups), check_dtype(dtype)
    # Large enough for any option; only the options are looked at.
    image, one = (groups, *(2**20,) * spatial_ndim), (groups, 1, *(1,) * spatial_ndim)
    layer = Geometry(image, one, stride=stride, padding=padding, dilation=dilation, groups=groups)
    same = isinstance(padding, str) and padding == "same"
    return Options(
        spatial_ndim, layer.stride, None if same else layer.padding, layer.dilation, layer.groups, bias, dtype
    )


def entry_names(name: str, case: Case) -> list[str]:
    """Name the entries of an array or a result as the lecture does; those of image 2 end in ^(2)."""
    letter, role = ENTRIES[name]
    single = writing.names(letter, role, case.geometry)
    if case.images == 1 or role in {"filters", "bias"}:
        return single
    return [f"{each}^({image})" for image in range(1, case.images + 1) for each in single]


@dataclasses.dataclass(frozen=True)
class Convolution(Layer):
    """A convolution at fixed options."""

    options: Options

    unit: ClassVar[str] = "layer"
    verb: ClassVar[str] = "summed"
    labels: ClassVar[dict[str, str]] = {"S": "S", "dX": "∂l/∂X", "dF": "∂l/∂F", "db": "∂l/∂b"}
    batched: ClassVar[str] = "XG"
    transforms: ClassVar[bool] = True
    by_function: ClassVar[bool] = False
    legal: ClassVar[str] = "a legal layer"
    otherwise: ClassVar[str] = ", or restrict the audit with geometries="
    # The names of arrays and results of a convolution in the code's notation, which is another one for other layers.
    notation: ClassVar[dict[str, str]] = {name: name for name in ENTRIES}

    @property
    def title(self) -> str:
        """The options."""
        return str(self.options)

    @property
    def takes(self) -> dict[str, tuple[str, ...]]:
        """X, F, with a bias b, and G."""
        forward = ("X", "F", *(("b",) if self.options.bias else ()))
        return {"forward": forward, "backward": (*forward, "G")}

    @property
    def gives(self) -> dict[str, tuple[str, ...]]:
        """S, and the gradients."""
        return {"forward": ("S",), "backward": ("dX", "dF", *(("db",) if self.options.bias else ()))}

    @property
    def factors(self) -> dict[str, tuple[str, ...]]:
        """Two arrays of every result, but for ∂l/∂b."""
        return {
            self.notation[name]: tuple(self.notation[letter] for letter in letters)
            for name, letters in sums.FACTORS.items()
        }

    # the notation of a convolution ----------------------------------------------------------------------------------

    def canonical(self, probe: Probe) -> ConvolutionProbe:
        """Return the numbers in the letters and shapes of a convolution."""
        return ConvolutionProbe(probe.case, probe.arrays, probe.what)

    def own(self, probe: ConvolutionProbe) -> Probe:
        """Return the numbers in the letters and shapes of the code."""
        return probe

    def shaped(self, name: str, result: Array) -> Array:
        """Return a result of a convolution in the shape of the code's."""
        del name
        return result

    def convolved(self, name: str, result: Array, case: Case) -> Array:
        """Return a result of the code in the shape of a convolution's, where it has the size for it."""
        del name, case
        return result

    def reading_layers(self) -> Sequence[structure.Layer] | None:
        """Return None: those of any convolution tell its formula."""
        return None

    def relation(self, right: Formula) -> Formula:
        """Return it as it is."""
        return right

    def worded(self, text: str) -> str:
        """Return it as it is."""
        return text

    def called(self, name: str) -> str:
        """Return the name that a convolution has for a result or an array of the code."""
        return next(each for each, own in self.notation.items() if own == name)

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

    def small(self, case: Case, seed: int) -> Probe | None:
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
        if dtype_of(self.dtype).kind in "iu":
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
        several = max(
            cases[: len(cases) * 2 // 3 + 1],
            key=lambda each: (min(each.images, 2), min(each.geometry.responses[1:]) > 1, each.numbers),
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
        right = sums.expected(given)
        bounds: dict[str, Any] = dict.fromkeys(right, 0.0)
        if probe.what == REAL:
            direct = sums.rounding_bounds(given)
            bounds = {name: np.maximum(bound, self._transformed(given, name)) for name, bound in direct.items()}
        return {
            self.notation[name]: Right(self.shaped(name, value), self._bound(name, bounds[name], value))
            for name, value in right.items()
        }

    def _bound(self, name: str, bound: Any, value: Array) -> Any:
        return self.shaped(name, np.broadcast_to(bound, value.shape)) if np.ndim(bound) else bound

    def _transformed(self, given: ConvolutionProbe, name: str) -> float:
        """Return the bound of fast algorithms; 0 where there are none."""
        return sums.slack(given, name) if self.transforms else 0.0

    def slack(self, probe: Probe, name: str) -> float:
        """Return the bound of fast algorithms."""
        return self._transformed(self.canonical(probe), self.called(name))

    def lower(self, probe: Probe, name: str, dtype: str, right: Right) -> Array:
        """Bound the errors of sums in a lower precision."""
        given = self.canonical(probe)
        bound = sums.transform_bound(exact.SIGNIFICAND[dtype], given) * sums.norms(given, self.called(name))
        return np.asarray(bound)

    def reach(self, probe: Probe, letter: str) -> tuple[Probe, Reach] | None:
        """Put a NaN into the entry that is in the fewest sums."""
        if probe.dtype.kind in "iu":
            return None
        given, called = self.canonical(probe), self.called(letter)
        found = spreading.of_bias(given) if called == "b" else spreading.reach(given, called)
        if found is None:
            return None
        spoiled, masks = found
        return self.own(spoiled), {
            self.notation[name]: (self.shaped(name, wanted), self.shaped(name, allowed))
            for name, (wanted, allowed) in masks.items()
        }

    def explain(self, run: Run, comparisons: Sequence[Comparison]) -> Explanation | None:
        """Read the relation between indices that the code computes."""
        return formula_finding(self, run, comparisons)

    def agrees(self, explanation: Explanation, each: Comparison) -> bool:
        """Whether a formula gives these numbers in this shape, up to what fast algorithms may be off."""
        if explanation.predict is None or each.result.value is None:
            return each.result.value is not None
        given = self.canonical(each.probe)
        predicted = explanation.predict(given.geometry, X=given.X, F=given.F, G=given.G, b=given.b)
        return Right(widened(predicted), self.slack(each.probe, each.name)).allows(each.got)

    # how it is written ----------------------------------------------------------------------------------------------

    def text(self, probe: Probe, side: str) -> str:
        """Return the layer."""
        del side
        return str(probe.case)

    def names(self, name: str, case: Case) -> list[str]:
        """Name entries as the lecture does."""
        return entry_names(name, case)

    def sizes(self, case: Case) -> dict[str, tuple[str, int]]:
        """Name the sizes of a layer, whole ones before those of single axes."""
        g = case.geometry
        found = {"images": ("N", case.images), "planes": ("d", g.image[0]), "filters": ("n", g.filters[0])}
        if g.groups > 1:
            found |= {"planes of a group": ("d/groups", g.planes_per_group)}
            found |= {"filters of a group": ("n/groups", g.filters_per_group)}
        found |= {"taps of a plane": ("k·l", math.prod(g.filters[2:])), "responses": ("h'·w'", g.positions)}
        found |= {
            "taps of a filter": ("d·k·l", g.taps),
            "left-over rows or columns (a tail)": ("the tail", max(g.tail)),
        }
        plane = g.spatial_ndim == 2
        for k in range(g.spatial_ndim):
            axis, at = ("rows", "columns")[k] if plane else f"entries of axis {k}", "" if plane else f"{k}"
            size, tap, out = (("H", "W")[k], "kl"[k], ("h'", "w'")[k]) if plane else (f"H{at}", f"k{at}", f"h'{at}")
            found |= {f"{axis} of taps": (tap, g.filters[2 + k]), f"{axis} of responses": (out, g.responses[1 + k])}
            found |= {
                f"{axis} of the image": (size, g.image[1 + k]),
                f"{axis} of a filter": ("KL"[k % 2] + at, g.extent[k]),
            }
            found |= {f"{axis} of padding": (f"the padding {'above' if k == 0 else 'left'}", max(g.padding[k]))}
        return found

    def axes(self, name: str, ndim: int) -> tuple[tuple[str, str], ...]:
        """Name the axes of a result, and their sizes."""
        axes = AXES[name]
        if ndim == 3 and name != "db":
            axes = (*axes[:2], axes[-1])
        return axes if ndim == len(axes) else super().axes(name, ndim)

    def symbols(self, subject: Subject, probe: Probe, name: str, at: int, got: Array) -> tuple[str, str] | None:
        """Read both sums of products out."""
        wanted, found = (self._sum(whose, probe.case, name, at) for whose in (None, subject))
        if found is None or wanted is None or found == wanted or not self._doubles(subject, probe, name):
            return None
        return wanted, found

    def _sum(self, subject: Subject | None, case: Case, name: str, at: int) -> str | None:
        """Read the sum out; of responses, the bias too."""
        zeros, b = self._zeros(case), self.notation["b"]
        value = functools.partial(self._entry, subject, zeros, name, at)
        texts = []
        for letters in (self.factors[name], *([(b,)] if self.options.bias and name == self.notation["S"] else [])):
            found = readout.products(value, {letter: zeros.arrays[letter].size for letter in letters}, self.dtype)
            texts.append(readout.text(found, {letter: self.names(letter, case) for letter in letters}))
        if None in texts:
            return None
        return " + ".join(text for text in texts if text and text != "0").replace("+ -", "- ") or "0"

    def _zeros(self, case: Case) -> Probe:
        dtype = dtype_of(self.dtype)
        return self.own(ConvolutionProbe(case, {letter: np.zeros(size, dtype) for letter, size in case.shapes.items()}))

    def _entry(
        self, subject: Subject | None, zeros: Probe, name: str, at: int, arrays: Mapping[str, Array]
    ) -> float | None:
        """Return one entry of a result for some flat arrays, where the others are 0."""
        given = {
            letter: flat.astype(zeros.dtype).reshape(zeros.arrays[letter].shape) for letter, flat in arrays.items()
        }
        probe: Probe = zeros.replaced(**given)
        if subject is None:
            return float(np.ravel(self.right(probe)[name].value)[at])
        result = subject.results(probe.arrays, only=subject.side(name))[name].value
        if result is None or np.size(result) <= at:
            return None
        number = float(np.ravel(np.asarray(result, np.float64))[at])
        whole = float(round(number)) if math.isfinite(number) else math.nan
        return whole if abs(number - whole) <= self.slack(probe, name) else number if math.isfinite(number) else None

    def _doubles(self, subject: Subject, probe: Probe, name: str) -> bool:
        """Whether the code is linear in what it is read out with: doubling a factor doubles the result."""
        b, letter = self.notation["b"], self.factors[name][0]
        plain = probe.replaced(**{b: probe.arrays[b] * 0}) if b in probe.arrays else probe
        doubled = plain.replaced(**{letter: plain.arrays[letter] * 2})
        side = subject.side(name)
        twice, once = (subject.results(each.arrays, only=side)[name].value for each in (doubled, plain))
        if twice is None or once is None or twice.shape != once.shape:
            return False
        return np.array_equal(widened(twice), 2 * widened(once))

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
