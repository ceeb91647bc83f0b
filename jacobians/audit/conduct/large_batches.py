"""More images than 8 or 16 bits count, or a block holds."""

from __future__ import annotations

from collections.abc import Iterator

from jacobians.audit.compare import Comparison, Run
from jacobians.audit.findings import Because, finding
from jacobians.audit.layer import Probe
from jacobians.audit.report import Finding

__all__ = ["large_batches"]

# One more than powers of two, where grids and offsets wrap; the last is more than 16 bits count.
COUNTS = tuple(2**k + 1 for k in range(17))
BLOCKS = (
    "The code takes images in blocks, and the images after the first block, or in the last one, are wrong.",
    "Let the last block hold the images that are left, and give every block its own offset.",
    "memory",
)


def large_batches(run: Run) -> Iterator[Finding]:
    """Try more images than 16 bits count, with 1×1 everything, where no cases were given and nothing is wrong yet."""
    # Code for one image at a time has no batch.
    layouts = [getattr(function, "layout", "") for function in run.subject.functions.values()]
    if any(layout and "N" not in layout for layout in layouts):
        return
    if run.restricted or run.broken or (largest := run.layer.large_batch(COUNTS[-1])) is None:
        return
    for name, each in _wrong(run, largest).items():
        # Of results of fast algorithms, the bound on the rounding errors of so long sums tells nothing.
        if name not in run.inexact or each.result.value is None:
            smaller = (probe for count in COUNTS if (probe := run.layer.large_batch(count)))
            first = next((found[name] for probe in smaller if name in (found := _wrong(run, probe))), each)
            images, raised = first.probe.case.images, first.result.raised
            title = f"is wrong for {images} images{f': {raised}' if raised else ''}"
            yield finding(run, first, title, "large batch", _because(images))


def _wrong(run: Run, probe: Probe) -> dict[str, Comparison]:
    return {each.name: each for each in run.compared(probe) if not each.fine}


def _because(count: int) -> Because:
    bits = next((bits for bits in (8, 16) if count in {2**bits + 1, 2 ** (bits - 1) + 1}), None)
    return (f"A size or an offset is kept in {bits} bits.", "Count in 64 bits.", "memory") if bits else BLOCKS
