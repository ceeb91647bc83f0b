"""`verify()`: every equation of the lecture, checked by every kind of evidence it allows, and the report of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

from jacobians.arguments import bytes_of, instance, seed_of
from jacobians.errors import Interrupted, StoppedError
from jacobians.geometry import Geometry
from jacobians.verify.report import LayerRow, NetworkReport, Outcome, Report, Row
from jacobians.workers import completed

__all__ = ["Interrupted", "LayerRow", "NetworkReport", "Report", "Row", "StoppedError", "verify", "verify_network"]

# Bytes that one block of a network's layers may take.
MEMORY = 1 << 30


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
        Runs the checks, one layer at a time: threads, processes, or other machines, such as
        ``distributed.Client(address).get_executor()``. By default they run in this thread. The report is the same.
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
    told = {number for number, task in enumerate(tasks) if not isinstance(task, run.ProofTask)}
    found: dict[int, list[Outcome]] = {}

    def report() -> Report:
        done, outcomes = [tasks[number] for number in sorted(found)], [found[number] for number in sorted(found)]
        left = len(tasks) - len(found)
        return run.report(wanted, done, list(chain.from_iterable(outcomes)), seed, left=left, left_out=shortened)

    try:
        for number, outcomes in completed(executor, run.run, tasks):
            found[number] = outcomes
            if progress and number in told:
                progress(len(told & found.keys()), len(told))
    except KeyboardInterrupt as stop:
        so_far = report()
        raise Interrupted(so_far.conclusion, so_far) from stop
    return report()


def verify_network(
    network: Any,
    image: Sequence[int] | None = None,
    *,
    seed: int = 0,
    executor: Executor | None = None,
    memory: int | str = MEMORY,
    resume: str | PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NetworkReport:
    """Hold the explicit matrices of a network's convolutions at true size against the convolution forms.

    Parameters
    ----------
    network : torch.nn.Module, path of an ONNX file, name of a published network, or mapping of str to Geometry
        As `jacobians.models.layers` takes it, or the layers by their names. Shapes and options count; the entries of
        all arrays are drawn.
    image : sequence of int, optional
        Shape of the network's input, ``(d, *spatial)``, as for `jacobians.models.layers`.
    seed : int
        Seed of all random numbers.
    executor : concurrent.futures.Executor, optional
        Runs the blocks, by layers and rows: threads, processes, or other machines, such as
        ``distributed.Client(address).get_executor()``. By default they run in this thread.
    memory : int or str
        What one block may take, besides Python and its libraries: bytes, or a text such as ``"512MiB"``. It changes how
        many rows are built at once, and nothing of what is found.
    resume : path, optional
        A record, to which a line is written for every block that is done. If it is there, the run goes on where it
        ended.
    progress : callable, optional
        Called with the number of nonzeros that are done, and of all.

    Returns
    -------
    NetworkReport
        The record, whose text is a table with a row per geometry. It does not depend on the executor, on the memory, or
        on interruptions. ``report.check()`` raises if something does not hold.

    Raises
    ------
    ValueError
        If the model is none, as `jacobians.models.layers` says; the memory is no amount; or the record is none, of
        another run, or unreadable.
    TypeError, FileNotFoundError, ModuleNotFoundError, ShapeError, DtypeError
        As `jacobians.models.layers`; also if the executor is none.
    TooLargeError
        If a layer's own arrays and one row of its matrix do not fit into the memory of a block.
    Interrupted
        After Ctrl-C, with the report of what was checked until then.
    StoppedError
        If the run cannot go on, such as where the record's disk is full or processes keep dying, with such a report.

    Notes
    -----
    Compared by ``==`` are, on integers that no sum rounds in float64: S, ∂l/∂F and ∂l/∂b of all filters with the
    products of M_X^im, built by `image_matrix`, and of ∂vec(S)/∂b; S and ∂l/∂X of some filters at a time with the
    products of their rows of ∂vec(S)/∂vec(X), built by `jacobian_wrt_image`; and ∂l/∂X of all filters with the sum of
    these. Every entry of those matrices is built and is part of a product. ∂vec(S)/∂vec(F) has M_X^im once per filter
    on its diagonal and is not built.

    Examples
    --------
    >>> report = verify_network({"conv": Geometry((2, 9, 8), (4, 2, 3, 3), padding=1)})
    >>> report.ok, report.rows[0].verdict, report.rows[0].nonzeros
    (True, 'holds', 4400)
    """
    from jacobians.verify import layers  # scipy, which it needs, takes long to load, too

    instance("executor", executor, Executor | None, "a concurrent.futures.Executor, or None")
    work = layers.plan(network, image, seed_of(seed), bytes_of("memory", memory))
    return layers.run(work, executor, None if resume is None else Path(resume), progress)
