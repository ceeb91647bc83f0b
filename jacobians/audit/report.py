"""The records of an audit: what is wrong, and what was looked at."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from jacobians import notebook
from jacobians.errors import AuditError
from jacobians.formula.writing import marked
from jacobians.geometry import Geometry

__all__ = ["AuditReport", "Finding", "several"]

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Finding(notebook.Shown):
    """One thing that is wrong.

    Attributes
    ----------
    about : str
        S, ∂l/∂X, ∂l/∂F, ∂l/∂b, forward or backward.
    title : str
        What is wrong, in words.
    kind : str
        values, shape, dtype, exception, not written, precision, range, in place, state, memory layout, not a number or
        large batch.
    case : str
        The smallest layer that shows it.
    entries : tuple of str
        The first wrong entries, in symbols where they are known.
    cause, cure : str
        One sentence each; empty where they are not known.
    anchor : str
        Where the documentation derives the right formula.
    formula, right : str
        What the code computes, and what is right, one line each; empty where no formula was read.
    known : tuple of str
        What else was observed.
    follows : tuple of str
        Other results that are wrong because of this, and are no findings of their own.
    wrong, tried : int
        At how many of the layers, cases or mini-batches it shows.
    unit : str
        What these two count, in the singular.
    arrays : dict of str to nested lists
        The smallest case as numbers: inputs, what was computed, and what is right.
    code : str
        Python that reproduces it, without this package.
    predicts, of : int
        At how many layers the formula gives exactly what the code computes, of how many.
    predictor : callable or None
        What `predict` evaluates.
    """

    about: str
    title: str
    kind: str
    case: str = ""
    entries: tuple[str, ...] = ()
    cause: str = ""
    cure: str = ""
    anchor: str = ""
    formula: str = ""
    right: str = ""
    known: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    wrong: int = 0
    tried: int = 0
    unit: str = "layer"
    arrays: dict[str, Any] = dataclasses.field(default_factory=dict)
    code: str = ""
    predicts: int = 0
    of: int = 0
    predictor: Callable[..., Any] | None = dataclasses.field(default=None, repr=False, compare=False)

    def predict(self, geometry: Geometry, *, X: Any = None, F: Any = None, G: Any = None, b: Any = None) -> Array:
        """Evaluate the formula that was read.

        Parameters
        ----------
        geometry : Geometry
            The layer.
        X, F, G, b : ndarray, optional
            X (N, d, *spatial), F (n, d/groups, *taps), G (N, n, *out), b (n,); those that the formula does not read
            are ignored.

        Returns
        -------
        ndarray
            What the formula says that the code returns, in the shape in which the code returns it.

        Raises
        ------
        ValueError
            If no formula was read.
        """
        if self.predictor is None:
            raise ValueError(
                f"this finding has no formula to evaluate: {self.about} {self.title}; ask those whose .formula is not "
                "empty"
            )
        return np.asarray(self.predictor(geometry, X=X, F=F, G=G, b=b))

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values, for machines."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        del fields["predictor"]
        return copy.deepcopy(fields)

    def __str__(self) -> str:
        """Return the finding, what is wrong first."""
        lines = [f"✗ {self.about} {self.title}", *(f"  {line}" for line in self._formulas())]
        if self.case:
            lines.append(f"  smallest case: {self.case}")
        lines += [f"  {entry}" for entry in self.entries]
        lines += [f"  observed: {each}" for each in self.known]
        lines += [f"  {name}: {text}" for name, text in (("cause", self.cause), ("cure", self.cure)) if text]
        if self.anchor:
            lines.append(f"  see: jacobians explain {self.anchor}")
        if self.tried:
            lines.append(f"  the code fails for {self.wrong} of the {self.tried} {several(self.unit)} tried")
        return "\n".join(lines)

    def _formulas(self) -> Iterator[str]:
        """Write what the code computes over what is right, and mark where they differ."""
        if self.formula:
            code, right, marks = marked(self.formula, self.right)
            yield f"your code:  {code}"
            yield f"right:      {right}"
            yield from [f"            {marks}"] if marks.strip() else []
        if self.of:
            yield f"this formula predicts your code exactly at {self.predicts} of {self.of} {several(self.unit)}"

    def _repr_html_(self) -> str:
        return notebook.story(str(self), self.code)


@dataclasses.dataclass(frozen=True)
class AuditReport(notebook.Shown):
    """The record of an audit.

    Attributes
    ----------
    findings : tuple of Finding
        What is wrong; empty if nothing is.
    notes : tuple of str
        What is worth knowing and not wrong.
    audited : tuple of str
        What was looked at: S, ∂l/∂X, ∂l/∂F, ∂l/∂b.
    options : str
        The options that the code was fixed to, and its dtype.
    layers, calls : int
        How many layers, cases or mini-batches were tried, in how many calls.
    log2_miss : float or None
        Logarithm of the probability that a wrong bilinear form passed, at the layer where it is largest.
    seed : int
        Of the draws.
    unit : str
        What was tried, in the singular: a layer, or a case or a mini-batch of one layer.
    interrupted : str
        How far it came where a Ctrl-C has ended it, in words; empty if it came to its end.
    seconds : dict of str to float
        How long the calls took, by what was looked at; the results of one function have equal parts.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    audited: tuple[str, ...]
    options: str
    layers: int
    calls: int
    log2_miss: float | None
    seed: int
    unit: str = "layer"
    interrupted: str = ""
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether all was tried and nothing is wrong; for reading. Use `check` to act on it."""
        return not self.findings and not self.interrupted

    def check(self) -> AuditReport:
        """Raise if anything is wrong, or not everything was tried.

        Returns
        -------
        AuditReport
            This report, if nothing is.

        Raises
        ------
        AuditError
            With the whole text otherwise.
        """
        __tracebackhide__ = True
        if not self.ok:
            raise AuditError(str(self))
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values, for machines: the attributes, and ``ok``."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        fields["seconds"] = dict(self.seconds)
        return {"ok": self.ok, **fields, "findings": [each.to_dict() for each in self.findings]}

    def to_junit(self) -> str:
        """Return the record as JUnit XML: one test case per thing looked at."""
        subjects = dict.fromkeys((*self.audited, *(finding.about for finding in self.findings)))
        failed = set(subjects) - set(self._fine())
        undecided = [each for each in subjects if self.interrupted and each not in failed]
        counts = {"tests": str(len(subjects)), "failures": str(len(failed)), "errors": str(len(undecided))}
        counts["time"] = f"{sum(self.seconds.values()):.3f}"
        suite = ET.Element("testsuite", {"name": "jacobians audit", **counts})
        for subject in subjects:
            case = ET.SubElement(suite, "testcase", classname=f"audit {self.options}", name=subject)
            case.set("time", f"{self.seconds.get(subject, 0):.3f}")
            for finding in self.findings:
                if subject in {finding.about, *finding.follows}:
                    ET.SubElement(case, "failure", message=f"{finding.about} {finding.title}").text = str(finding)
            if subject in undecided:
                ET.SubElement(case, "error", message=self.interrupted)
        return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"

    def __str__(self) -> str:
        """Return what is wrong, or on what evidence nothing is."""
        parts = [str(finding) for finding in self.findings]
        if self.ok:
            parts += self._evidence()
        elif self.interrupted:
            parts.append(self.interrupted)
        elif fine := self._fine():
            parts.append(f"  no mistake was found in {', '.join(fine)}")
        return "\n".join([*parts, *(f"  note: {note}" for note in self.notes)])

    def _fine(self) -> list[str]:
        """What was looked at, and is in no finding."""
        told = {about for finding in self.findings for about in (finding.about, *finding.follows)}
        return [each for each in self.audited if each not in told]

    def _evidence(self) -> Iterator[str]:
        yield f"✓ {', '.join(self.audited)} {'is' if len(self.audited) == 1 else 'are'} right: {self.options}"
        how = "within the rounding bound" if any("inexact" in note for note in self.notes) else "exact"
        yield f"  {how} on integers at {self.layers} {several(self.unit)}, {self.calls} calls, seed {self.seed}"
        if self.log2_miss is not None:
            bound = f"2^{math.ceil(self.log2_miss)}"
            yield f"  a wrong sum of products would pass any one {self.unit} by luck with probability below {bound}"

    def _repr_html_(self) -> str:
        if not self.findings:
            return notebook.story(str(self))
        stories = [notebook.story(str(finding), finding.code) for finding in self.findings]
        more = [self.interrupted] if self.interrupted else []
        return "".join([*stories, *map(notebook.story, [*more, *(f"note: {note}" for note in self.notes)])])


def several(unit: str) -> str:
    """Write the plural of what was tried."""
    return f"{unit}es" if unit.endswith("ch") else f"{unit}s"
