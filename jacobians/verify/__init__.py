"""`verify()`: every equation of the lecture, checked by every kind of evidence it allows, and the report of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor

from jacobians.arguments import instance
from jacobians.errors import Interrupted
from jacobians.geometry import Geometry
from jacobians.verify.report import Outcome, Report, Row

__all__ = ["Interrupted", "Report", "Row", "verify"]


def verify(
    geometries: Iterable[Geometry] | None = None,
    *,
    identities: Sequence[str] | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    full: bool = False,
    quick: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Check the equations L1 … L24, which the page "The lecture" of the guide lists.

    Parameters
    ----------
    geometries : iterable of Geometry, optional
        The layers. By default these are the lecture's, published first layers at true size, and some hundreds that are
        drawn at random.
        Equations about whole networks (L3 … L6, L22, L23) have layers of their own and are left out where layers are
        given, unless `identities` asks for them.
    identities : sequence of str, optional
        Ids of the equations, like ``["L18", "L20"]``; by default all that are about the layers.
    seed : int
        Seed of all random numbers.
    executor : concurrent.futures.Executor, optional
        Runs the checks, one layer at a time; by default they run in this thread.
    full : bool
        Draw eight times as many layers.
    quick : bool
        Try some thirty layers instead of some three hundred; the report says what was left out. It changes nothing if
        layers are given.
    progress : callable, optional
        Called with the number of layers that are done and the number of all layers.

    Returns
    -------
    Report
        The record, whose text is a table. ``report.check()`` raises if an equation does not hold.

    Raises
    ------
    ValueError
        If there is no such equation, the seed is not an integer of at least 0, or both `full` and `quick` are True.
    TypeError
        If a layer is not a Geometry, or an argument has a wrong type.
    TooLargeError
        If the numbers of a layer do not fit into memory.
    Interrupted
        After Ctrl-C, with the report of what was checked until then. It is a KeyboardInterrupt.

    Examples
    --------
    >>> from jacobians import Geometry
    >>> report = verify([Geometry((1, 3, 4), (1, 1, 2, 2))], identities=["L18"])
    >>> report.ok, report.rows[0].verdict
    (True, 'holds')
    """
    from jacobians.verify import run  # sympy, which it needs, takes longer to load than everything else

    instance("executor", executor, Executor | None, "a concurrent.futures.Executor, or None")
    wanted, tasks = run.tasks(geometries, identities, seed, full=full, quick=quick)
    shortened = run.left_out(identities, seed) if quick and geometries is None else ""
    outcomes: list[Outcome] = []
    told = [not isinstance(task, run.ProofTask) for task in tasks]
    done = 0
    try:
        for found in (executor.map if executor else map)(run.run, tasks):
            outcomes += found
            done += 1
            if progress and told[done - 1]:
                progress(sum(told[:done]), sum(told))
    except KeyboardInterrupt as stop:
        report = run.report(wanted, tasks[:done], outcomes, seed, left=len(tasks) - done, left_out=shortened)
        raise Interrupted(report.conclusion, report) from stop
    return run.report(wanted, tasks, outcomes, seed, left_out=shortened)
