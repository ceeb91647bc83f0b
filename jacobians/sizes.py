"""What is too large, refused before it is made: entries to look at, bytes of memory, and integers of 64 bits."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

from jacobians.errors import TooLargeError

__all__ = ["amount", "available", "check_bytes", "check_entries", "check_int64", "magnitude"]

# Below this size a look at the machine's free memory costs more than it saves.
UNCHECKED_BYTES = 1 << 20


def check_entries(what: str, shape: Sequence[int], most: int, limit: str, cure: str) -> None:
    """Refuse what has more entries than can be looked at.

    Parameters
    ----------
    what : str
        What it is, and of which layer.
    shape : sequence of int
        Its shape.
    most : int
        How many entries it may have.
    limit : str
        What takes no more, with its verb: "the explorer shows".
    cure : str
        What to do instead.

    Raises
    ------
    TooLargeError
        If it has more.
    """
    entries = math.prod(shape)
    if entries > most:
        sizes = " × ".join(map(str, shape))
        raise TooLargeError(f"{what} has {sizes} = {entries} entries, but {limit} at most {most}; {cure}")


def check_bytes(what: str, needed: int, cure: str, most: int | None = None) -> None:
    """Refuse what needs more memory than it may take.

    Parameters
    ----------
    what : str
        What it is, and of which shape.
    needed : int
        Bytes.
    cure : str
        What to do instead.
    most : int, optional
        Bytes that it may take; by default those that are available.

    Raises
    ------
    TooLargeError
        If it needs more.
    """
    if most is None:
        if needed <= UNCHECKED_BYTES:
            return
        most = available()
    if needed > most:
        raise TooLargeError(f"{what} needs {needed / 2**30:.3g} GiB but may take {most / 2**30:.3g} GiB; {cure}")


def check_int64(what: str, bound: int) -> None:
    """Refuse integers that int64 may not hold.

    Parameters
    ----------
    what : str
        What is summed.
    bound : int
        Magnitude that no partial sum exceeds.

    Raises
    ------
    OverflowError
        If it is above 2⁶³ − 1.
    """
    if bound >= 2**63:
        raise OverflowError(
            f"{what} may reach {bound}, above 2⁶³ − 1, the largest number of int64; make the integers smaller, or use "
            "float64"
        )


def magnitude(integers: Any) -> int:
    """Return the largest magnitude of integers.

    Parameters
    ----------
    integers : ndarray of integers
        Of any shape.

    Returns
    -------
    int
        Also where int64 does not hold it, since −2⁶³ has no counterpart there; 0 where there are no integers.
    """
    return max(abs(int(integers.max(initial=0))), abs(int(integers.min(initial=0))))


def amount(size: float) -> str:
    """Write bytes with a unit.

    Parameters
    ----------
    size : float
        Bytes.

    Returns
    -------
    str
        In MiB, or in GiB from 1 GiB on.

    Examples
    --------
    >>> amount(4.5e6), amount(3 << 30)
    ('4.29 MiB', '3 GiB')
    """
    unit, name = (2**30, "GiB") if size >= 2**30 else (2**20, "MiB")
    return f"{size / unit:.3g} {name}"


def available() -> int:
    """Return the bytes that this process can still have, by the machine and by its own limit (``ulimit -v``)."""
    import psutil  # the numeric core loads numpy and scipy only, until it must ask the machine

    free = [int(psutil.virtual_memory().available)]
    with contextlib.suppress(ModuleNotFoundError):  # there are no such limits on Windows
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            free.append(max(limit - int(psutil.Process().memory_info().vms), 0))
    return min(free)
