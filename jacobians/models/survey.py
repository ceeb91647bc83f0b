"""What the matrices of a model's layers cost, as one record, before any of them is built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import StringIO
from typing import Any

from jacobians.geometry import Geometry
from jacobians.models.layer import Estimate, Layers

__all__ = ["Row", "Survey", "survey", "table"]

WIDTH = 80
HEADER = ("layer", "X", "F", "S", "nonzeros", "size", "fits")


@dataclass(frozen=True)
class Row:
    """One layer, whether it has a bias, and what its matrix costs."""

    name: str
    geometry: Geometry
    bias: bool
    estimate: Estimate


@dataclass(frozen=True)
class Survey:
    """What the matrices ∂vec(S)/∂vec(X) of all layers of a model cost.

    Attributes
    ----------
    rows : tuple of Row
        One for each layer, in order.
    passed_over : dict of str to int
        What the model has besides convolutions, and how often.
    """

    rows: tuple[Row, ...]
    passed_over: dict[str, int]

    @property
    def available(self) -> int:
        """Bytes that this process can still have."""
        return min((row.estimate.available for row in self.rows), default=0)

    @property
    def conclusion(self) -> str:
        """Whether all fit, what to do if not, how long it takes, and what was passed over."""
        fitting, memory = [row.estimate for row in self.rows if row.estimate.fits], _size(self.available)
        count, seconds = len(self.rows), sum(each.seconds for each in fitting)
        if len(fitting) == count:
            said = f"{_matrices(count)} {'fits' if count == 1 else 'fit one at a time'} into the {memory} available."
        else:
            said = (
                f"{count - len(fitting)} of {_matrices(count)} {'does' if count - len(fitting) == 1 else 'do'} not fit "
                f"into the {memory} available: multiply by layer.operator(), which needs no matrix, or build blocks of "
                "rows with layer.matrix(rows=slice(…))."
            )
        if fitting:
            them = "it" if count == 1 else "them all" if len(fitting) == count else "those that fit"
            said += f" To build {them} takes about {_duration(seconds)} here."
        named = ", ".join(f"{name} ×{times}" if times > 1 else name for name, times in self.passed_over.items())
        return f"{said} Passed over: {named}." if named else said

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values, for machines.

        Returns
        -------
        dict
            ``available`` in bytes, ``passed_over`` and ``layers``: for each ``name``, its shapes and options, ``bias``,
            ``shape``, ``nonzeros``, ``bytes`` and ``seconds`` of the matrix, and whether it ``fits``.
        """
        return {
            "available": self.available,
            "passed_over": self.passed_over,
            "layers": [
                {
                    "name": row.name,
                    "image": row.geometry.image,
                    "filters": row.geometry.filters,
                    "responses": row.geometry.responses,
                    "stride": row.geometry.stride,
                    "padding": row.geometry.padding,
                    "dilation": row.geometry.dilation,
                    "groups": row.geometry.groups,
                    "bias": row.bias,
                    **{name: each for name, each in dataclasses.asdict(row.estimate).items() if name != "available"},
                    "fits": row.estimate.fits,
                }
                for row in self.rows
            ],
        }

    def __str__(self) -> str:
        """Return the table, and the conclusion below it."""
        from rich.console import Console

        page = Console(file=StringIO(), width=WIDTH, color_system=None, highlight=False)
        with page.capture() as printed:
            page.print(table(self))
            page.print(f"\n{self.conclusion}", markup=False)
        return "\n".join(line.rstrip() for line in printed.get().splitlines())


def survey(layers: Layers, progress: Callable[[int, int], None] | None = None) -> Survey:
    """Estimate every layer of a model.

    Parameters
    ----------
    layers : Layers
        Its layers, of which none was asked for yet.
    progress : callable, optional
        Called with how many layers were estimated, and how many there are.

    Returns
    -------
    Survey
        In their order.
    """
    rows = list[Row]()
    for layer in layers:
        rows.append(Row(layer.name, layer.geometry, layer.b is not None, layer.estimate()))
        if progress is not None:
            progress(len(rows), len(layers.geometries))
    return Survey(tuple(rows), layers.passed_over)


def table(found: Survey) -> Any:
    """Return the table for `rich`; long names are wrapped."""
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for header in HEADER:
        grid.add_column(
            header,
            justify="right" if header in {"nonzeros", "size"} else "left",
            no_wrap=header != "layer",
            overflow="fold",
        )
    for row in found.rows:
        geometry, cost = row.geometry, row.estimate
        shapes = map(_by, (geometry.image, geometry.filters, geometry.responses))
        fits = "[green]yes[/]" if cost.fits else "[bold red]no[/]"
        grid.add_row(
            row.name, *shapes, f"{cost.nonzeros:.2e}".replace("e+0", "e").replace("e+", "e"), _size(cost.bytes), fits
        )
    return grid


def _matrices(count: int) -> str:
    return "The matrix" if count == 1 else f"{count} matrices"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{max(seconds, 0.001):.1g} s"


def _by(sizes: Iterable[int]) -> str:
    return "×".join(map(str, sizes))


def _size(count: float) -> str:
    """Write bytes with three digits, in the unit that makes them fewer than a thousand."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"
