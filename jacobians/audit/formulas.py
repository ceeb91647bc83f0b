"""The formula that wrong code computes in the place of the right one: read, compared at every layer, put into words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from jacobians.audit.cases import Case, Options
from jacobians.audit.compare import Comparison, Run
from jacobians.audit.layer import Explanation, Probe
from jacobians.audit.numbers import ConvolutionProbe, dtype_of
from jacobians.formula import structure as structures
from jacobians.formula.circumstances import circumstances
from jacobians.formula.products import Unreadable
from jacobians.formula.reading import formula_of
from jacobians.formula.relation import Formula
from jacobians.formula.structure import Layer, Structure, sizes_of
from jacobians.formula.words import explain
from jacobians.formula.writing import beside
from jacobians.geometry import Geometry

__all__ = ["formula_finding"]

Array = npt.NDArray[Any]

# Axes whose indices have names.
MOST_AXES = 3
# Atoms of what is added to the right products.
ADDED = {"array-added", "constant-added", "decay", "otherwise-added"}
# A formula is no cause where it leaves more of the wrong layers unexplained than this share.
MOST_UNEXPLAINED = 0.5


class Kind(Protocol):
    """What is read: a layer that is a convolution in a notation of its own."""

    @property
    def options(self) -> Options:
        """What the code was fixed to."""

    @property
    def dtype(self) -> str:
        """In which it is audited."""

    def called(self, name: str) -> str:
        """Return the name that a convolution has for a result."""

    def own(self, probe: ConvolutionProbe) -> Probe:
        """Return numbers in the letters and shapes of the code."""

    def convolved(self, name: str, result: Array, case: Case) -> Array:
        """Return a result of the code in the shape of a convolution's."""

    def shaped(self, name: str, result: Array) -> Array:
        """Return a result of a convolution in the shape of the code's."""

    def reading_layers(self) -> Sequence[Layer] | None:
        """Return the layers at which the code is read, where they are not those of any convolution."""

    def relation(self, right: Formula) -> Formula:
        """Return the right formula of a convolution as it is at these layers."""

    def worded(self, text: str) -> str:
        """Write what is said of a convolution in the names of the code."""

    def agrees(self, explanation: Explanation, each: Comparison) -> bool:
        """Whether a formula gives what a comparison has."""


def formula_finding(kind: Kind, run: Run, comparisons: Sequence[Comparison]) -> Explanation | None:
    """Read which formula a convolution computes for one result.

    Parameters
    ----------
    kind : Kind
        The layer.
    run : Run
        The audit.
    comparisons : sequence of Comparison
        All comparisons of the result, right ones among them.

    Returns
    -------
    Explanation or None
        None where none was read, or it says of most wrong layers something else than the code gives.
    """
    options, called = kind.options, kind.called(comparisons[0].name)
    if options.spatial_ndim > MOST_AXES:
        return None
    structure = Structure(options.spatial_ndim, options.groups)
    read = _read(kind, run, comparisons[0].name, structure)
    if read is None:
        return None
    right = kind.relation(_right(options, called, structure, comparisons[0].probe.case.geometry))
    # Where formulas differ is known for the sizes of any convolution alone.
    any_size = kind.reading_layers() is None
    words = explain(read, right)
    where = circumstances(read, right, structure) if any_size else None
    if not words.causes or (where and where.text == "nowhere"):
        return None
    found = Explanation(kind.worded(", and ".join(words.causes)), predict=_predictor(kind, read))
    given = [each for each in comparisons if each.result.value is not None]
    agree = [each for each in given if kind.agrees(found, each)]
    wrong = [each for each in given if run.is_wrong(each)]
    if len(agree) < len(given) and ADDED & set(words.atoms):
        # Memory that was never written may hold the same in every call, and look like a term.
        return None
    if sum(each in agree for each in wrong) < (1 - MOST_UNEXPLAINED) * len(wrong):
        return None
    code, line = beside(read, right)
    cases, others = ({each.probe.case for each in some} for some in (given, [one for one in given if one not in agree]))
    return dataclasses.replace(
        found,
        formula=kind.worded(code),
        right=kind.worded(line),
        cause=f"The two differ {where}." if where and where.text else "",
        cure=kind.worded(" ".join(dict.fromkeys(words.cures))) if any_size else "",
        anchor=words.anchors[0] if any_size else "",
        predicts=len(cases - others),
        of=len(cases),
    )


def _read(kind: Kind, run: Run, name: str, structure: Structure) -> Formula | None:
    """Read the formula in float64, in which numbers tell most, or in the dtype of the audit."""
    for dtype in dict.fromkeys(("float64", kind.dtype)):
        try:
            call = _call(kind, run, name, dtype)
            layers = kind.reading_layers()
            return formula_of(call, kind.called(name), structure, kind.options.geometry, dtype, layers=layers)
        except Unreadable:
            continue
    return None


def _call(kind: Kind, run: Run, name: str, dtype: str) -> Callable[[Layer, dict[str, Array]], Array | None]:
    """Return what calls the code for one result, with zeros for the arrays that are not given."""
    of, bias = dtype_of(dtype), kind.options.bias

    def call(layer: Layer, arrays: dict[str, Array]) -> Array | None:
        case = Case(layer.geometry, layer.images)
        given = {letter: np.zeros(shape, of) for letter, shape in case.shapes.items()}
        given |= {letter: array.astype(of) for letter, array in arrays.items() if letter != "b" or bias}
        result = run.again(kind.own(ConvolutionProbe(case, given)), name).value
        return None if result is None else kind.convolved(kind.called(name), np.asarray(result), case)

    return call


def _right(options: Options, called: str, structure: Structure, geometry: Geometry) -> Formula:
    right = structures.right(called, structure, geometry, same=options.padding is None)
    return structures.with_bias(right, structure) if called == "S" and options.bias else right


def _predictor(kind: Kind, read: Formula) -> Callable[..., Array]:
    def predict(geometry: Geometry, *, X: Any = None, F: Any = None, G: Any = None, b: Any = None) -> Array:
        """Evaluate the formula at one layer."""
        arrays = {
            letter: np.asarray(each) for letter, each in zip("XFGb", (X, F, G, b), strict=True) if each is not None
        }
        images = next(len(arrays[letter]) for letter in "XG" if letter in arrays)
        return kind.shaped(read.result, read.predict(sizes_of(Layer(geometry, images)), arrays))

    return predict
