"""The records of an audit: what is wrong, and what was examined."""

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
    """One thing that is wrong with the code under audit.

    Attributes
    ----------
    about : str
        Which result or function is wrong: S, ∂l/∂X, ∂l/∂F, ∂l/∂b, forward or backward.
    title : str
        What is wrong, in words; it continues the sentence that begins with `about`.
    kind : str
        values, shape, dtype, exception, not written, precision, range, in place, state, memory layout, not a number or
        large batch.
    case : str
        The smallest layer found that shows the mistake: the shapes of X and F, planes first, and the options.
    entries : tuple of str
        The first wrong entries of `about` in this case. They are sums of products if these could be read, and numbers
        otherwise.
    cause, cure : str
        Why the result is wrong, and where to look in the code; empty if this is not known.
    anchor : str
        The name that ``jacobians explain`` takes to explain the mistake; empty if there is none.
    formula, right : str
        The formula that the code computes and the right formula, one line each; empty if no formula was read.
    known : tuple of str
        What else was observed, one sentence each.
    follows : tuple of str
        Other results that are wrong only because of this one. They have no finding of their own.
    wrong, tried : int
        The code fails for `wrong` of the `tried` layers, cases or mini-batches.
    unit : str
        What `wrong` and `tried` count, in the singular.
    arrays : dict of str to nested lists
        The smallest case as numbers: the arguments, what the code computed, and what is right.
    code : str
        Python that reproduces the mistake without this package.
    predicts, of : int
        The formula gives exactly what the code computes at `predicts` of `of` layers.
    predictor : callable or None
        The function that `predict` calls.
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
        """Evaluate the formula that was read from the code, at a layer of your own.

        Parameters
        ----------
        geometry : Geometry
            The layer.
        X, F, G, b : ndarray, optional
            X (N, d, *spatial), F (n, d/groups, *taps), G (N, n, *out), b (n,). Arrays that do not occur in the formula
            are ignored.

        Returns
        -------
        ndarray
            What the code returns according to the formula, in the shape in which the code returns it.

        Raises
        ------
        ValueError
            If no formula was read.
        """
        if self.predictor is None:
            raise ValueError(
                f"this finding has no formula to evaluate: {self.about} {self.title}; call predict of a finding whose "
                ".formula is not empty"
            )
        return np.asarray(self.predictor(geometry, X=X, F=F, G=G, b=b))

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as plain values, for JSON."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        del fields["predictor"]
        return copy.deepcopy(fields)

    def __str__(self) -> str:
        """Return the finding, what is wrong first."""
        lines = [f"✗ {self.about} {self.title}", *(f"  {line}" for line in self._formulas())]
        if self.case:
            lines.append(f"  smallest case: {self.case}")
            lines += [f"  wrong entries of {self.about}:"] if self.entries else []
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
    """The result of an audit; ``print`` it to read it.

    Attributes
    ----------
    findings : tuple of Finding
        What is wrong; empty if nothing is.
    notes : tuple of str
        What is worth knowing but not wrong.
    audited : tuple of str
        The results that were compared: S, ∂l/∂X, ∂l/∂F, ∂l/∂b.
    options : str
        The options and the dtype that the code was audited with.
    layers, calls : int
        How many layers, cases or mini-batches were tried, and how many calls this took.
    log2_miss : float or None
        Base-2 logarithm of the probability that a wrong sum of products would pass by luck, at the layer where it is
        largest; None if the results are not such sums.
    seed : int
        The seed of all random draws.
    unit : str
        What was tried, in the singular: a layer, or a case or a mini-batch of one layer.
    interrupted : str
        How far the audit came before Ctrl-C ended it, in words; empty if it was completed.
    seconds : dict of str to float
        How long the calls took, for each of `audited`. The time of a function with several results is divided equally
        among them.
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
        """Whether the audit was completed and found nothing wrong. A test should call `check`, which raises."""
        return not self.findings and not self.interrupted

    def check(self) -> AuditReport:
        """Raise an error if anything is wrong or the audit was interrupted.

        Returns
        -------
        AuditReport
            This report, if nothing is wrong.

        Raises
        ------
        AuditError
            Otherwise, with the text of the report.
        """
        __tracebackhide__ = True
        if not self.ok:
            raise AuditError(str(self))
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes and ``ok`` as plain values, for JSON."""
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        fields["seconds"] = dict(self.seconds)
        return {"ok": self.ok, **fields, "findings": [each.to_dict() for each in self.findings]}

    def to_junit(self) -> str:
        """Return the report as JUnit XML, with one test case for each result."""
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
