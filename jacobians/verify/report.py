"""The records of a verification: one failure, what one kind of evidence says, and the whole report."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

from jacobians import notebook
from jacobians.errors import VerificationError
from jacobians.geometry import Geometry

__all__ = ["KINDS", "Evidence", "Failure", "LayerRow", "NetworkReport", "Outcome", "Report", "Row", "table"]

Evidence = Literal["symbolic", "every size", "exact", "bound"]
KINDS = ("symbolic", "every size", "exact", "bound")
HEADER = ("id", "equation", *KINDS, "worst", "verdict")
WIDTH, WIDE = 80, 100
SIGNS = {"holds": "✓ ", "FAILS": "✗ "}
STYLES = {"holds": "green", "FAILS": "bold red"}
LEGEND = """\
symbolic    comparisons of polynomials, which hold for all real numbers
every size  strides, dilations and groups at which a proof covers all sizes
exact       comparisons by == of integers that no arithmetic rounds
bound       comparisons of real numbers, up to a derived rounding bound
worst       the largest rounding error, as a fraction of that bound
–           this evidence does not apply to this equation, or was not asked for
"""
WITHOUT_PROOF = "Nothing is proved for every size, because islpy is not installed: pip install 'jacobians[prove]'"


@dataclasses.dataclass(frozen=True)
class Failure:
    """The first wrong entry of a side that does not hold.

    Attributes
    ----------
    evidence : str
        The kind of check that failed.
    where : str
        The layer, and what else is needed to reproduce it.
    seed : int
        Seed of the run.
    sides : (str, str)
        The reference, and the side that differs from it.
    entry : str
        Name of the first wrong entry.
    expected, actual : str
        What it should be and what it is, in symbols where they are known.
    wrong, total : int
        `wrong` of `total` entries differ.
    geometry : Geometry or None
        The layer, if the equation is about one.
    index : int or None
        Flat index of the entry, if the side computed one.
    """

    evidence: Evidence
    where: str
    seed: int
    sides: tuple[str, str]
    entry: str
    expected: str
    actual: str
    wrong: int
    total: int
    geometry: Geometry | None = None
    index: int | None = None

    def __str__(self) -> str:
        """Return what is wrong in four lines."""
        return (
            f"  “{self.sides[1]}” differs from “{self.sides[0]}” "
            f"in {self.wrong} of {self.total} entries; the first is\n"
            f"  {self.entry}: expected {self.expected}\n"
            f"  {' ' * len(self.entry)}  got      {self.actual}\n"
            f"  at {self.where}, {self.evidence} evidence, seed {self.seed}"
        )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one kind of evidence says about one equation at one layer.

    Attributes
    ----------
    identity : str
        L1 … L24.
    evidence : str
        symbolic, every size, exact or bound.
    checks : int
        Number of sides compared with the reference, over all draws. For every size, the number of combinations of
        stride, dilation and groups for which the equation was proved.
    miss : Fraction or None
        For exact evidence, the probability that a wrong multilinear form passed.
    worst : float or None
        For bound evidence, the largest error as a fraction of its bound.
    size : int
        Numbers in the layer, by which the smallest failure is chosen.
    failure : Failure or None
        What differs.
    """

    identity: str
    evidence: Evidence
    checks: int
    size: int
    miss: Fraction | None = None
    worst: float | None = None
    failure: Failure | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """What is known of one equation.

    Attributes
    ----------
    id, formula : str
        The equation.
    counts : dict of str to int
        Number of comparisons, by kind of evidence. For ``"every size"``, the number of combinations of stride, dilation
        and groups for which the equation was proved.
    worst : float or None
        Largest error as a fraction of its bound, if bounds were compared.
    failure : Failure or None
        The smallest case in which it does not hold.
    provable : bool
        Whether its sides are compositions of index maps, which can be proved equal for every size.
    """

    id: str
    formula: str
    counts: dict[str, int]
    worst: float | None
    failure: Failure | None
    provable: bool = False

    @property
    def ok(self) -> bool:
        """Whether the equation holds, and at least one result of code was compared."""
        return self.failure is None and any(count for kind, count in self.counts.items() if kind != "every size")

    @property
    def verdict(self) -> str:
        """``holds``, ``FAILS``, or ``not checked`` if no layer allowed a comparison."""
        return "FAILS" if self.failure else "holds" if self.ok else "not checked"


@dataclasses.dataclass(frozen=True)
class Report(notebook.Shown):
    """The result of `verify`; ``print`` it to read it.

    Attributes
    ----------
    rows : tuple of Row
        One for each equation, in the order of the lecture.
    seed : int
        Seed of the random numbers.
    layers : int
        The number of layers at which the equations were checked.
    miss : Fraction
        Upper bound of the probability that a wrong multilinear form passed all exact comparisons, summed over all
        equations and layers.
    can_prove : bool
        Whether islpy is installed, without which nothing is proved for every size.
    left : int
        Number of pieces of work, such as the equations at one layer, that an interruption left undone.
    left_out : str
        What a quick run did not try, in one sentence; empty for a whole run.
    """

    rows: tuple[Row, ...]
    seed: int
    layers: int
    miss: Fraction
    can_prove: bool = True
    left: int = 0
    left_out: str = ""

    @property
    def ok(self) -> bool:
        """Whether every equation was checked and holds, and there was one. A test should call `check`, which raises."""
        return bool(self.rows) and not self.left and all(row.ok for row in self.rows)

    def check(self) -> Report:
        """Raise an error if an equation does not hold or was not checked.

        Returns
        -------
        Report
            This report, if every equation was checked and holds.

        Raises
        ------
        VerificationError
            Otherwise, with the text of the report.
        """
        if not self.ok:
            raise VerificationError(str(self))
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values, for JSON.

        Returns
        -------
        dict
            ``ok``, ``seed``, ``layers``, ``log2_miss_probability`` (None where no exact comparison was made),
            ``can_prove``, ``left``, ``left_out`` and ``identities``: per equation ``id``, ``formula``, ``verdict``,
            ``counts``, ``worst``, ``failure`` and ``provable``.
        """
        return {
            "ok": self.ok,
            "seed": self.seed,
            "layers": self.layers,
            "log2_miss_probability": _log2(self.miss) if self.miss else None,
            "can_prove": self.can_prove,
            "left": self.left,
            "left_out": self.left_out,
            "identities": [
                {
                    "id": row.id,
                    "formula": row.formula,
                    "verdict": row.verdict,
                    "counts": row.counts,
                    "worst": row.worst,
                    "failure": dataclasses.asdict(row.failure) if row.failure else None,
                    "provable": row.provable,
                }
                for row in self.rows
            ],
        }

    def __str__(self) -> str:
        """Return the table, what its columns count, the failures, and last what the whole is worth."""
        return "\n".join([_text(table(self)), self.legend, *(f"{told}\n" for told in self.stories), self.conclusion])

    def _repr_html_(self) -> str:
        rows = [[*_cells(row, can_prove=self.can_prove), SIGNS.get(row.verdict, "") + row.verdict] for row in self.rows]
        stories = [*self.stories, ("✓ " if self.ok else "✗ ") + self.conclusion]
        return notebook.table(HEADER, rows) + "".join(map(notebook.story, stories))

    @property
    def legend(self) -> str:
        """What the columns of the table count."""
        return LEGEND

    @property
    def stories(self) -> list[str]:
        """What is wrong, in some lines for each failure."""
        return [f"✗ {row.id} does not hold: {row.formula}\n{row.failure}" for row in self.rows if row.failure]

    @property
    def conclusion(self) -> str:
        """The last sentences."""
        failed = [row.id for row in self.rows if row.failure]
        if failed:
            said = f"{_listed(failed)} {'does' if len(failed) == 1 else 'do'} not hold (seed {self.seed})."
        elif not self.rows:
            return "Nothing was checked: no equation is about these layers."
        else:
            said = self._held
        if self.left:
            said = f"Interrupted, with {self.left} pieces of work not done. So far: {said}"
        said = f"{said} {self.left_out}".rstrip()
        missing = any(row.provable for row in self.rows) and not self.can_prove
        return f"{said} {WITHOUT_PROOF}" if missing else said

    @property
    def _held(self) -> str:
        unchecked = [row.id for row in self.rows if row.verdict == "not checked"]
        held = f"{_equations(len(self.rows) - len(unchecked), 'holds', 'hold')}"
        if self.layers:
            held += f" at {self.layers} layer{'' if self.layers == 1 else 's'}"
        held += f" (seed {self.seed})"
        if unchecked:
            held += f"; {_listed(unchecked)}: not checked{'' if self.left else ', no layer allows a comparison'}"
        said = [f"{held}."]
        if self.miss:
            said.append(
                "The probability that a wrong form passed every exact comparison is below "
                f"2^{math.ceil(_log2(self.miss))}, if what was run computes multilinear forms."
            )
        proved = sum(row.counts.get("every size", 0) > 0 for row in self.rows)
        if proved:
            said.append(f"{_equations(proved, 'is', 'are')} proved for every size of image, filter, padding and tail.")
        return " ".join(said)


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """What is known of one layer at true size.

    Attributes
    ----------
    names : tuple of str
        The layers that have this geometry: they are one statement.
    geometry : Geometry
        Their shapes and options.
    nonzeros : int
        Of ∂vec(S)/∂vec(X), whose every entry is part of a product that was compared.
    counts : dict of str to int
        Arrays compared by ``==``, by what they are: S, ∂l/∂F, ∂l/∂X, ∂l/∂b.
    done, blocks : int
        Blocks of work that were checked, of how many.
    failures : tuple of Failure
        For each of S, ∂l/∂F, ∂l/∂X, ∂l/∂b that does not hold, where it fails first.
    """

    names: tuple[str, ...]
    geometry: Geometry
    nonzeros: int
    counts: dict[str, int]
    done: int
    blocks: int
    failures: tuple[Failure, ...] = ()

    @property
    def id(self) -> str:
        """Name of the first of the layers, and how many more there are."""
        first, *more = self.names
        return f"{first} and {len(more)} more" if more else first

    @property
    def ok(self) -> bool:
        """Whether all of it was checked and holds."""
        return not self.failures and self.done == self.blocks > 0

    @property
    def verdict(self) -> str:
        """Holds, FAILS, how much of it was checked, or not checked."""
        if self.failures or self.ok:
            return "FAILS" if self.failures else "holds"
        return f"{self.done} of {self.blocks} blocks" if self.done else "not checked"


@dataclasses.dataclass(frozen=True)
class NetworkReport(notebook.Shown):
    """The record of a verification of layers at true size.

    Attributes
    ----------
    rows : tuple of LayerRow
        One per geometry, in the network's order.
    seed : int
        Of the draws.
    layers : int
        How many layers the network has; some may have the same geometry.
    miss : Fraction
        Bound of the probability that wrong multilinear forms, or wrong matrices, pass all comparisons.
    """

    rows: tuple[LayerRow, ...]
    seed: int
    layers: int
    miss: Fraction

    @property
    def ok(self) -> bool:
        """Whether every layer was checked and holds, and there was one; for reading. Use `check` to act on it."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    @property
    def left(self) -> int:
        """Blocks of work that were not done."""
        return sum(row.blocks - row.done for row in self.rows)

    def check(self) -> NetworkReport:
        """Raise if anything does not hold.

        Returns
        -------
        NetworkReport
            This report, if every layer was checked and holds.

        Raises
        ------
        VerificationError
            With the whole text otherwise.
        """
        if not self.ok:
            raise VerificationError(str(self))
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values, for machines.

        Returns
        -------
        dict
            ``ok``, ``seed``, ``log2_miss_probability`` (None where nothing was compared), ``left`` and ``layers``: per
            geometry ``names``, ``geometry``, ``verdict``, ``nonzeros``, ``counts``, ``blocks``, ``done`` and
            ``failures``.
        """
        return {
            "ok": self.ok,
            "seed": self.seed,
            "log2_miss_probability": _log2(self.miss) if self.miss else None,
            "left": self.left,
            "layers": [
                {
                    "names": list(row.names),
                    "geometry": repr(row.geometry),
                    "verdict": row.verdict,
                    "nonzeros": row.nonzeros,
                    "counts": row.counts,
                    "blocks": row.blocks,
                    "done": row.done,
                    "failures": [{**dataclasses.asdict(each), "geometry": repr(row.geometry)} for each in row.failures],
                }
                for row in self.rows
            ],
        }

    def __str__(self) -> str:
        """Return the table, the failures, and last what the whole is worth."""
        return "\n".join(
            [_text(table(self), WIDE), self.legend, *(f"{told}\n" for told in self.stories), self.conclusion]
        )

    def _repr_html_(self) -> str:
        stories = [*self.stories, ("✓ " if self.ok else "✗ ") + self.conclusion]
        rows = [[*cells[:-1], SIGNS.get(cells[-1], "") + cells[-1]] for cells in map(_layer_cells, self.rows)]
        return notebook.table(LAYER_HEADER, rows) + "".join(map(notebook.story, stories))

    @property
    def legend(self) -> str:
        """What the columns of the table count."""
        return LAYER_LEGEND

    @property
    def stories(self) -> list[str]:
        """What is wrong, in some lines for each failure."""
        return [f"✗ {row.id} does not hold\n{failure}" for row in self.rows for failure in row.failures]

    @property
    def conclusion(self) -> str:
        """The last sentences."""
        failed = [row.id for row in self.rows if row.failures]
        if not self.rows:
            return "Nothing was checked: there is no convolution layer."
        if failed:
            said = f"{_listed(failed)} {'does' if len(failed) == 1 else 'do'} not hold (seed {self.seed})."
        else:
            said = self._held
        return f"Ended early, with {self.left} blocks not done. So far: {said}" if self.left else said

    @property
    def _held(self) -> str:
        held = [row for row in self.rows if row.ok]
        if not held:
            return "no layer was checked completely."
        counted = "1 geometry holds" if len(held) == 1 else f"{len(held)} geometries hold"
        compared = sum(sum(row.counts.values()) for row in held)
        of = "1 layer" if self.layers == 1 else f"{self.layers} layers"
        built = f"{sum(row.nonzeros for row in held):.3g} nonzeros"
        return (
            f"{counted} at true size, of {of}: {built}, and {compared} comparisons by == of S, ∂l/∂F, "
            f"∂l/∂X and ∂l/∂b (seed {self.seed}). "
            "The probability that a wrong form or matrix passed every comparison is at most "
            f"2^{math.ceil(_log2(self.miss))}, if what was run computes multilinear forms."
        )


LAYER_LEGEND = """\
nonzeros  of ∂vec(S)/∂vec(X), all of them built and multiplied
"""
LAYER_HEADER = ("layer", "image", "filters", "options", "nonzeros", "verdict")


def _layer_cells(row: LayerRow) -> list[str]:
    sizes = ["×".join(map(str, shape)) for shape in (row.geometry.image, row.geometry.filters)]
    return [row.id, *sizes, ", ".join(row.geometry.options) or "–", f"{row.nonzeros:.2e}", row.verdict]


def _layer_table(report: NetworkReport) -> Any:
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for header in LAYER_HEADER:
        grid.add_column(header, overflow="fold")
    for row in report.rows:
        *cells, verdict = _layer_cells(row)
        grid.add_row(*cells, f"[{STYLES.get(verdict, 'yellow')}]{verdict}[/]")
    return grid


def table(report: Report | NetworkReport) -> Any:
    """Return the report's table for `rich`, which the command line prints in colour; long equations are wrapped."""
    from rich.table import Table

    if isinstance(report, NetworkReport):
        return _layer_table(report)
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for header in HEADER:
        numbers = header in {*KINDS, "worst"}
        width = max(map(len, header.split())) if numbers else None
        grid.add_column(header, justify="right" if numbers else "left", min_width=width, max_width=width)
    for row in report.rows:
        style = STYLES.get(row.verdict, "yellow")
        grid.add_row(*_cells(row, can_prove=report.can_prove), f"[{style}]{row.verdict}[/]")
    return grid


def _cells(row: Row, *, can_prove: bool) -> list[str]:
    nothing = {"every size": "islpy" if row.provable and not can_prove else "–"}
    counts = [str(row.counts[kind]) if row.counts.get(kind) else nothing.get(kind, "–") for kind in KINDS]
    return [row.id, row.formula, *counts, "–" if row.worst is None else _share(row.worst)]


def _text(renderable: Any, width: int = WIDTH) -> str:
    from io import StringIO

    from rich.console import Console

    page = Console(file=StringIO(), width=width, color_system=None, highlight=False)
    page.print(renderable)
    printed: str = page.file.getvalue()  # type: ignore[attr-defined]  # the file is the StringIO above
    return "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


def _share(worst: float) -> str:
    return ">1" if worst > 1 else f"{worst:.2f}" if worst >= 0.005 else "<0.01"


def _log2(probability: Fraction) -> float:
    return math.log2(probability.numerator) - math.log2(probability.denominator)


def _equations(count: int, one: str, several: str) -> str:
    return f"{count} equation {one}" if count == 1 else f"{count} equations {several}"


def _listed(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{', '.join(ids[:-1])} and {ids[-1]}"
