"""The formula that wrong code computes in the place of the right one: read, compared at every layer, put into words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from jacobians.arguments import numeric, unmasked
from jacobians.audit import sums
from jacobians.audit.cases import Case, Options
from jacobians.audit.compare import Comparison, Run
from jacobians.audit.layer import Explanation, Layer, Probe, Right, widened
from jacobians.audit.numbers import ConvolutionProbe, dtype_of
from jacobians.formula import structure as structures
from jacobians.formula.axes import arranged
from jacobians.formula.circumstances import circumstances
from jacobians.formula.products import Unreadable
from jacobians.formula.reading import formula_of
from jacobians.formula.relation import Formula
from jacobians.formula.structure import Structure, given_arrays, sizes_of
from jacobians.formula.words import explain
from jacobians.formula.writing import beside
from jacobians.geometry import Geometry, check_geometry

__all__ = ["ByFormula"]

Array = npt.NDArray[Any]

# Axes whose indices have names.
MOST_AXES = 3
# Atoms of what is added to the right products.
ADDED = {"array-added", "constant-added", "decay", "other-sum", "otherwise-added"}
# What is said of a formula that cannot be written in the axes of the code.
PLANES_FIRST = "the formulas have planes first, not the axes of the layout"
# A formula is no cause where it leaves more of the wrong layers unexplained than this share.
MOST_UNEXPLAINED = 0.5


@dataclasses.dataclass(frozen=True)
class ByFormula(Layer):
    """A layer that is a convolution, in letters, shapes and names of its own, whose formula can be read."""

    options: Options

    # Whether what is said of any convolution is said of it.
    is_general: ClassVar[bool] = True
    # The names of arrays and results of a convolution in the code's notation, in the order in which it takes them.
    notation: ClassVar[dict[str, str]] = {name: name for name in ("X", "F", "b", "G", "S", "dX", "dF", "db")}

    @property
    def takes(self) -> dict[str, tuple[str, ...]]:
        """The arrays of a convolution, with a bias b, and the upstream gradient."""
        letters = [
            own for letter, own in self.notation.items() if letter in "XF" or (letter == "b" and self.options.bias)
        ]
        return {"forward": tuple(letters), "backward": (*letters, self.notation["G"])}

    @property
    def gives(self) -> dict[str, tuple[str, ...]]:
        """The responses, and the gradients of the arrays."""
        gradients = [name for name in self.notation if name in {"dX", "dF"} or (name == "db" and self.options.bias)]
        return {"forward": (self.notation["S"],), "backward": tuple(self.notation[name] for name in gradients)}

    def canonical(self, probe: Probe) -> ConvolutionProbe:
        """Return the numbers in the letters and shapes of a convolution."""
        shapes = probe.case.shapes
        arrays = {letter: probe.arrays[self.notation[letter]].reshape(shape) for letter, shape in shapes.items()}
        return ConvolutionProbe(probe.case, arrays, probe.what)

    def own(self, probe: ConvolutionProbe) -> Probe:
        """Return the numbers in the letters and shapes of the code."""
        names = [(letter, own) for letter, own in self.notation.items() if letter in probe.arrays]
        return Probe(probe.case, {own: self.shaped(letter, probe.arrays[letter]) for letter, own in names}, probe.what)

    def shaped(self, name: str, result: Array) -> Array:
        """Return an array or a result of a convolution in the shape of the code's."""
        del name
        return result

    def convolved(self, name: str, result: Array, case: Case) -> Array:
        """Return a result of the code in the shape of a convolution's, where it has the size for it."""
        del name, case
        return result

    def laid(self, case: Case, name: str, array: Array) -> Array:
        """Return it in the layout of the code."""
        order = self.options.orders.get(self.called(name))
        if order is None or self._is_stacked(case):
            return array
        return order.give(array if len(order.letters) == array.ndim else array[0])

    def turned(self, case: Case, name: str) -> str:
        """Return what is written behind an array for the same."""
        array = np.empty(case.shapes[self.called(name)])
        order = self.options.orders.get(self.called(name))
        if order is None or self._is_stacked(case):
            return ""
        flat = "".join(order.axes)
        text = "" if len(order.letters) == array.ndim else "[0]"
        text += f".transpose{tuple(order.letters.index(letter) for letter in flat)}"
        return text + (f".reshape{self.laid(case, name, array).shape}" if len(flat) > len(order.axes) else "")

    def adapted(self, case: Case, side: str) -> str:
        """Say that code takes one image at a time, where there are several."""
        if not self._is_stacked(case):
            return ""
        layout, g = self.options.layout, case.geometry
        options = f"stride={g.stride}, padding={g.padding}, dilation={g.dilation}, groups={g.groups}"
        at, pair = (0, "forward, None") if side == "forward" else (1, "None, backward")
        return f'{side} = with_layout({pair}, "{layout}", {options})[{at}]'

    def _is_stacked(self, case: Case) -> bool:
        """Whether there are several images, of which the code takes one at a time."""
        return bool(self.options.orders) and "N" not in self.options.orders["X"].letters and case.images > 1

    def reading_layers(self) -> Sequence[structures.Layer] | None:
        """Return the layers at which the code is read; None for those of any convolution."""
        return None

    def relation(self, right: Formula) -> Formula:
        """Return the right formula of a convolution as it is at these layers."""
        return right

    def worded(self, text: str) -> str:
        """Write what is said of a convolution in the names of the code."""
        return text

    def called(self, name: str) -> str:
        """Return the name that a convolution has for a result or an array of the code."""
        return next(each for each, own in self.notation.items() if own == name)

    def explain(self, run: Run, comparisons: Sequence[Comparison]) -> Explanation | None:
        """Read the formula; None where it says of most wrong layers something else than the code gives."""
        name, geometry = self.called(comparisons[0].name), comparisons[0].probe.case.geometry
        structure = Structure(self.options.spatial_ndim, self.options.groups)
        read = self._read(run, comparisons[0].name, structure)
        if read is None:
            return None
        plain = structures.right(name, structure, geometry, same=self.options.padding is None)
        biased = name == "S" and self.options.bias
        right = self.relation(structures.with_bias(plain, structure) if biased else plain)
        # Where formulas differ is known for the sizes of any convolution alone.
        any_size = self.reading_layers() is None
        orders = self.options.orders
        shown = arranged((read, right), orders)
        if shown is None:
            shown, orders = [read, right], {}
        own, own_right = shown
        words = explain(own, own_right, orders)
        where = circumstances(read, right, structure) if any_size else None
        if not words.causes or (where and where.text == "nowhere"):
            return None
        found = Explanation(self.worded(", and ".join(words.causes)), predict=self._predictor(read))
        given = [each for each in comparisons if each.result.value is not None]
        other = [each for each in given if not self.agrees(found, each)]
        if other and ADDED & set(words.atoms):
            # Memory that was never written may hold the same in every call, and look like a term.
            return None
        if sum(map(run.is_wrong, other)) > MOST_UNEXPLAINED * sum(map(run.is_wrong, given)):
            return None
        code, line = beside(own, own_right)
        cases, others = ({each.probe.case for each in some} for some in (given, other))
        return dataclasses.replace(
            found,
            formula=self.worded(code),
            right=self.worded(line),
            cause=self.worded(f"The two formulas differ {where}.") if where and where.text else "",
            cure=self.worded(" ".join(dict.fromkeys(words.cures))) if self.is_general else "",
            anchor=words.anchors[0] if self.is_general else "",
            observed=() if orders == self.options.orders else (PLANES_FIRST,),
            predicts=len(cases - others),
            of=len(cases),
        )

    def agrees(self, explanation: Explanation, each: Comparison) -> bool:
        """Whether a formula gives these numbers in this shape, up to what algorithms and its coefficients round."""
        if explanation.predict is None or each.result.value is None:
            return each.result.value is not None
        if each not in explanation.agreed:
            explanation.agreed[each] = self._gives(explanation.predict, each)
        return explanation.agreed[each]

    def _gives(self, predict: Callable[..., Array], each: Comparison) -> bool:
        given = self.canonical(each.probe)
        predicted = widened(predict(given.geometry, X=given.X, F=given.F, G=given.G, b=given.b))
        larger = np.abs(predicted).max(initial=0) / max(np.abs(each.right.value).max(initial=0), 1)
        return Right(predicted, sums.slack(given, self.called(each.name)) * max(1.0, float(larger))).allows(each.got)

    def _read(self, run: Run, name: str, structure: Structure) -> Formula | None:
        """Read the formula in float64, in which numbers tell most, or in the dtype of the audit."""
        layers = self.reading_layers()
        for dtype in dict.fromkeys(("float64", self.dtype)) if self.options.spatial_ndim <= MOST_AXES else ():
            try:
                call = self._call(run, name, dtype)
                return formula_of(call, self.called(name), structure, self.options.geometry, dtype, layers=layers)
            except Unreadable:
                continue
        return None

    def _call(self, run: Run, name: str, dtype: str) -> Callable[[structures.Layer, dict[str, Array]], Array | None]:
        """Return what calls the code for one result, with zeros for the arrays that are not given."""
        of, bias = dtype_of(dtype), self.options.bias

        def call(layer: structures.Layer, arrays: dict[str, Array]) -> Array | None:
            case = Case(layer.geometry, layer.images)
            given = {letter: np.zeros(shape, of) for letter, shape in case.shapes.items()}
            given |= {letter: array.astype(of) for letter, array in arrays.items() if letter != "b" or bias}
            result = run.again(self.own(ConvolutionProbe(case, given)), name).value
            return None if result is None else self.convolved(self.called(name), np.asarray(result), case)

        return call

    def _predictor(self, read: Formula) -> Callable[..., Array]:
        def predict(geometry: Geometry, **given: Any) -> Array:
            """Evaluate the formula at one layer."""
            given = {letter: _read_in(letter, each) for letter, each in given.items() if each is not None}
            images = next((len(given[letter]) for letter in "XG" if letter in given), 1)
            layer = structures.Layer(check_geometry(geometry), images)
            return self.shaped(read.result, read.predict(sizes_of(layer), given_arrays(read, layer, given)))

        return predict


def _read_in(letter: str, given: Any) -> Array:
    """Return an array of numbers, of which those in formats that NumPy lacks are widened."""
    array = unmasked(letter, given)
    return widened(array) if array.dtype.kind == "V" else numeric(letter, array)
