"""More images than 8 or 16 bits count, or a block holds."""

from __future__ import annotations

from collections.abc import Iterator

from jacobians.audit.compare import Comparison, Run
from jacobians.audit.findings import finding
from jacobians.audit.layer import Probe
from jacobians.audit.python import shown_shape
from jacobians.audit.report import Finding
from jacobians.audit.reproduce import calls, script

__all__ = ["large_batches"]

# One more than powers of two, where grids and offsets wrap; the last is more than 16 bits count.
COUNTS = tuple(2**k + 1 for k in range(17))


def large_batches(run: Run) -> Iterator[Finding]:
    """Try more images than 16 bits count, with 1×1 everything.

    Parameters
    ----------
    run : Run
        The audit; it is not tried where its cases were given, or anything is wrong already.

    Yields
    ------
    Finding
        One per result that is wrong, at the smallest of the counts 2^k + 1 that shows it. Of results of fast
        algorithms, the bound on the rounding errors of so long sums tells nothing.
    """
    if run.restricted or run.broken or (largest := run.layer.large_batch(COUNTS[-1])) is None:
        return
    for name, each in _wrong(run, largest).items():
        if name in run.inexact and each.result.value is not None:
            continue
        smaller = (probe for count in COUNTS if (probe := run.layer.large_batch(count)))
        yield _finding(run, next((found[name] for probe in smaller if name in (found := _wrong(run, probe))), each))


def _wrong(run: Run, probe: Probe) -> dict[str, Comparison]:
    return {each.name: each for each in run.compared(probe) if not each.fine}


def _finding(run: Run, each: Comparison) -> Finding:
    images = each.probe.case.images
    title = f"is wrong for {images} images{f': {each.result.raised}' if each.result.raised else ''}"
    return finding(run, each, title, "large batch", (*_why(images), "memory"), text=_code(run, each))


def _code(run: Run, each: Comparison) -> str:
    """Return Python that compares a mini-batch with its images, one at a time."""
    name, side = each.name, run.subject.side(each.name)
    lines, first = calls(run, side), next(iter(run.layer.batched))
    given = ", ".join(f"{letter}[[m]]" if letter in run.layer.batched else letter for letter in run.subject.takes[side])
    gives = run.subject.gives[side]
    one = f"{side}({given})" + (f"[{gives.index(name)}]" if len(gives) > 1 else "")
    if each.kind == "shape":
        lines += shown_shape(name, each.right.value)
    elif len(each.right.value) == each.probe.case.images and each.right.value.ndim > 1:
        lines += [
            f"right = np.concatenate([{one} for m in range(len({first}))])",
            f"print(np.flatnonzero(({name} != right).any(axis={tuple(range(1, each.right.value.ndim))})))",
            "print(np.array([]))  # right: of no image",
        ]
    else:
        lines += [f"right = sum({one} for m in range(len({first})))", f"print({name})", "print(right)  # right"]
    return script(run, each.probe, lines, (side,))


def _why(count: int) -> tuple[str, str]:
    """Cause and cure by where it starts."""
    bits = next((bits for bits in (8, 16) if count in {2**bits + 1, 2 ** (bits - 1) + 1}), None)
    if bits:
        return f"A size or an offset is kept in {bits} bits.", "Count in 64 bits."
    return (
        "Images are taken in blocks, and those behind the first block, or in the last, are wrong.",
        "Let the last block hold what is left, and give every block its own offset.",
    )
