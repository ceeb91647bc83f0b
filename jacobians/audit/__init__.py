"""`audit()`: whether somebody else's convolution is right, and if it is not, which formula it is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from jacobians import notebook
from jacobians.audit.layers import audit_fully_connected, audit_relu, audit_softmax_cross_entropy
from jacobians.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Executor

    from jacobians.geometry import Geometry

__all__ = [
    "AuditReport",
    "Finding",
    "audit",
    "audit_fully_connected",
    "audit_relu",
    "audit_softmax_cross_entropy",
]


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
    known : tuple of str
        What is known where no theory fits.
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
    """

    about: str
    title: str
    kind: str
    case: str = ""
    entries: tuple[str, ...] = ()
    cause: str = ""
    cure: str = ""
    anchor: str = ""
    known: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    wrong: int = 0
    tried: int = 0
    unit: str = "layer"
    arrays: dict[str, Any] = dataclasses.field(default_factory=dict)
    code: str = ""

    def __str__(self) -> str:
        """Return the finding, what is wrong first."""
        lines = [f"✗ {self.about} {self.title}"]
        if self.case:
            lines.append(f"  smallest case: {self.case}")
        lines += [f"  {entry}" for entry in self.entries]
        lines += [f"  known: {each}" for each in self.known]
        lines += [f"  {name}: {text}" for name, text in (("cause", self.cause), ("cure", self.cure)) if text]
        if self.anchor:
            lines.append(f"  see: docs/reference/theories.md#{self.anchor}")
        if self.tried:
            lines.append(f"  wrong at {self.wrong} of {self.tried} {_several(self.unit)}")
        return "\n".join(lines)

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

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; for reading. Use `check` to act on it."""
        return not self.findings

    def check(self) -> AuditReport:
        """Raise if anything is wrong.

        Returns
        -------
        AuditReport
            This report, if nothing is.

        Raises
        ------
        AuditError
            With the whole text otherwise.
        """
        if self.findings:
            raise AuditError(str(self))
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values, for machines.

        Returns
        -------
        dict
            The attributes, and ``ok``.
        """
        return {"ok": self.ok, **dataclasses.asdict(self)}

    def to_junit(self) -> str:
        """Return the record as JUnit XML: one test case per thing looked at.

        Returns
        -------
        str
            An XML document.
        """
        from xml.etree import ElementTree as ET

        suite = ET.Element(
            "testsuite", name="jacobians audit", tests=str(len(self._subjects)), failures=str(len(self._failed))
        )
        for subject in self._subjects:
            case = ET.SubElement(suite, "testcase", classname=f"audit {self.options}", name=subject)
            for finding in self.findings:
                if subject in {finding.about, *finding.follows}:
                    ET.SubElement(case, "failure", message=f"{finding.about} {finding.title}").text = str(finding)
        return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"

    @property
    def _failed(self) -> set[str]:
        return {about for finding in self.findings for about in (finding.about, *finding.follows)}

    @property
    def _subjects(self) -> list[str]:
        return list(dict.fromkeys([*self.audited, *(finding.about for finding in self.findings)]))

    def __str__(self) -> str:
        """Return what is wrong, or on what evidence nothing is."""
        parts = [str(finding) for finding in self.findings]
        if not parts:
            parts.append(
                f"✓ {', '.join(self.audited)} {'is' if len(self.audited) == 1 else 'are'} right: {self.options}"
            )
            how = "within the rounding bound" if any("inexact" in note for note in self.notes) else "exact"
            tried = f"{self.layers} {_several(self.unit)}"
            parts.append(f"  {how} on integers at {tried}, {self.calls} calls, seed {self.seed}")
        if not self.findings and self.log2_miss is not None:
            bound = f"2^{_ceil(self.log2_miss)}"
            parts.append(f"  a wrong bilinear form passes one {self.unit} with probability below {bound}")
        parts += [f"  note: {note}" for note in self.notes]
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        if not self.findings:
            return notebook.story(str(self))
        stories = [notebook.story(str(finding), finding.code) for finding in self.findings]
        return "".join([*stories, *(notebook.story(f"note: {note}") for note in self.notes)])


def _several(unit: str) -> str:
    return f"{unit}es" if unit.endswith("ch") else f"{unit}s"


def _ceil(number: float) -> int:
    return -int(-number // 1)


def audit(
    forward: Callable[..., Any] | None,
    backward: Callable[..., Any] | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] | Sequence[Sequence[int]] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    spatial_ndim: int = 2,
    bias: bool = False,
    dtype: str = "float64",
    geometries: Iterable[Geometry] | None = None,
    seed: int = 0,
    executor: Executor | None = None,
) -> AuditReport:
    """Hold somebody's convolution against the explicit matrices, and say what is wrong with it.

    Parameters
    ----------
    forward : callable or None
        ``forward(X, F[, b]) -> S`` on NumPy arrays with a leading batch axis: X (N, d, *spatial),
        F (n, d/groups, *taps), b (n,), S (N, n, *out). None audits the backward pass alone.
    backward : callable, optional
        ``backward(X, F, [b,] G) -> (dX, dF[, db])`` with G of the shape of S.
    stride, padding, dilation, groups
        What the code was fixed to, as `Geometry` takes them.
    spatial_ndim : int
        Number of spatial axes.
    bias : bool
        Whether the functions take a bias and return its gradient.
    dtype : str
        Of the arrays: float64, float32, float16, bfloat16, int64 or int32.
    geometries : iterable of Geometry, optional
        The layers to try, with two images each, and with the options above; by default a curriculum of small, awkward
        ones, without those that these options make so large that the audit would take minutes.
    seed : int
        Of all draws.
    executor : concurrent.futures.Executor, optional
        Where to run the layers: a ThreadPoolExecutor, for code that may be called from several threads at once; none of
        processes, whose memory an audit does not see. By default in this thread.

    Returns
    -------
    AuditReport
        What is wrong, or that nothing is and on what evidence; ``report.check()`` raises where something is wrong.

    Raises
    ------
    ShapeError
        If the options make no convolution, or only layers too large to try, or those of a geometry or of a layout are
        others.
    TypeError
        If there is nothing to call, `geometries` or `executor` is none that it can use, or `bias` is no bool.
    ValueError
        If the dtype is not one of those above, or the seed is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from jacobians import convolve
    >>> report = audit(lambda X, F: np.stack([convolve(x, F) for x in X]))
    >>> report.ok
    True
    """
    from jacobians.audit import run

    options = run.options(stride, padding, dilation, groups, spatial_ndim, bias=bias, dtype=dtype)
    return run.audit(run.Subject(forward, backward, options), geometries, seed, executor)
