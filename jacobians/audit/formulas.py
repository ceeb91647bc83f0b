"""The formula that wrong code computes in the place of the right one: read, held against every layer, put into words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jacobians.audit.cases import Case
from jacobians.audit.compare import Comparison, Run
from jacobians.audit.layer import Explanation
from jacobians.audit.numbers import ConvolutionProbe, dtype_of
from jacobians.formula import structure as structures
from jacobians.formula.circumstances import Circumstances, circumstances
from jacobians.formula.read import Unreadable
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
# A formula is no cause where it leaves more of the wrong layers unexplained than this share.
MOST_UNEXPLAINED = 0.5


def formula_finding(run: Run, comparisons: Sequence[Comparison]) -> Explanation | None:
    """Read which formula a convolution computes for one result.

    Parameters
    ----------
    run : Run
        The audit; ``run.layer`` is a `Convolution`.
    comparisons : sequence of Comparison
        All comparisons of the result, right ones among them.

    Returns
    -------
    Explanation or None
        None where none was read, or it says of most wrong layers something else than the code gives.
    """
    options, called = run.layer.options, run.layer.called(comparisons[0].name)
    if options.spatial_ndim > MOST_AXES:
        return None
    structure = Structure(options.spatial_ndim, options.groups)
    read = _read(run, comparisons[0].name, called, structure)
    if read is None:
        return None
    right = _right(run, called, structure, comparisons[0].probe.case.geometry)
    words = explain(read, right)
    if not words.causes:
        return None
    predict = _predictor(read)
    found = Explanation(", and ".join(words.causes), predict=predict)
    wrong = [each for each in comparisons if run.is_wrong(each) and each.result.value is not None]
    explained = [each for each in wrong if run.layer.agrees(found, each)]
    if len(explained) < (1 - MOST_UNEXPLAINED) * len(wrong):
        return None
    code, line = beside(read, right)
    given = [each for each in comparisons if each.result.value is not None]
    agree = {each.probe.case for each in given} - {
        each.probe.case for each in given if not run.layer.agrees(found, each)
    }
    return dataclasses.replace(
        found,
        formula=code,
        right=line,
        cause=_where(circumstances(read, right, structure)),
        cure=" ".join(dict.fromkeys(words.cures)),
        anchor=words.anchors[0],
        predicts=len(agree),
        of=len({each.probe.case for each in given}),
    )


def _read(run: Run, name: str, called: str, structure: Structure) -> Formula | None:
    """Read the formula in float64, in which numbers tell most, or in the dtype of the audit."""
    for dtype in dict.fromkeys(("float64", run.layer.dtype)):
        try:
            return formula_of(_call(run, name, called, dtype), called, structure, run.layer.options.geometry, dtype)
        except Unreadable:
            continue
    return None


def _call(run: Run, name: str, called: str, dtype: str) -> Callable[[Layer, dict[str, Array]], Array | None]:
    """Return what calls the code for one result, with zeros for the arrays that are not given."""
    kind = dtype_of(dtype)

    def call(layer: Layer, arrays: dict[str, Array]) -> Array | None:
        case = Case(layer.geometry, layer.images)
        zeros = {letter: np.zeros(shape, kind) for letter, shape in case.shapes.items()}
        given = {letter: array.astype(kind) for letter, array in arrays.items() if letter != "b" or run.layer.options.bias}
        result = run.again(run.layer.own(ConvolutionProbe(case, {**zeros, **given})), name).value
        return None if result is None else run.layer.convolved(called, np.asarray(result), case)

    return call


def _right(run: Run, called: str, structure: Structure, geometry: Geometry) -> Formula:
    right = structures.right(called, structure, geometry, same=run.layer.options.padding is None)
    if called == "S" and run.layer.options.bias:
        return structures.with_bias(right, structure)
    return right


def _predictor(read: Formula) -> Callable[..., Array]:
    def predict(geometry: Geometry, *, X: Any = None, F: Any = None, G: Any = None, b: Any = None) -> Array:
        """Evaluate the formula at one layer."""
        arrays = {letter: np.asarray(each) for letter, each in zip("XFGb", (X, F, G, b), strict=True) if each is not None}
        images = next(len(arrays[letter]) for letter in "XG" if letter in arrays)
        return read.predict(sizes_of(Layer(geometry, images)), arrays)

    return predict


def _where(found: Circumstances) -> str:
    """Say at which sizes two formulas differ, and how that is known."""
    return f"The two differ {found}." if found.text else ""
