"""A program in any language as the (forward, backward) that an audit calls: arrays come and go as .npy files."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from jacobians.arguments import flag
from jacobians.audit.cases import Options
from jacobians.audit.layers.convolution import options as options_of
from jacobians.audit.subject import ENDED, LARGE, LATE, UNTRIED, ProgramError, printable

__all__ = ["CASE", "from_command"]

Array = npt.NDArray[Any]

CASE = "{case}"
OPTIONS = "options.json"
# Calls that are not done in time, after which no more are made.
MOST_LATE = 3
# Of what a program prints, the last bytes are looked at, and so many characters of the last line are said.
TAIL, LINE = 4096, 300
# What malloc of glibc fills new memory with, other bytes in each call: what is never written is a large number then.
BYTES = tuple(first + more for more in range(15) for first in (0x70, 0xF0))
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def from_command(
    forward: str | None,
    backward: str | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: Any = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    bias: bool = False,
    timeout: float | None = None,
) -> tuple[_Program | None, _Program | None]:
    """Make functions of NumPy arrays from a program in any language, so that an audit can call it.

    Each call makes a folder and runs the command, in which the name of the folder replaces ``{case}``. In this folder,
    the program finds options.json, X.npy, F.npy, b.npy if there is a bias, and G.npy in the backward pass. The forward
    pass writes S.npy; the backward pass writes dX.npy, dF.npy, and db.npy if there is a bias. Afterwards, the folder is
    removed.

    Parameters
    ----------
    forward, backward : str or None
        The commands, such as ``./conv {case}``, or None. Both may be the same command: ``"pass"`` in options.json says
        which pass to compute. Commands are split into words as by a shell, but run without a shell.
    stride, padding, dilation, groups, bias
        As in `jacobians.audit.audit`. They are written to options.json.
    timeout : float, optional
        The number of seconds that each call may take, with all processes that the program starts. After three calls
        that take longer, no more calls are made. By default, there is no limit.

    Returns
    -------
    forward, backward : callable or None
        Arguments for `jacobians.audit.audit`, which needs the same options.

    Raises
    ------
    ValueError
        If a command does not contain ``{case}``, names a program that does not exist, or `timeout` is not positive.

    Notes
    -----
    The files have version 1.0 of the .npy format, C order, the byte order of this machine, and a leading batch axis.
    options.json holds ``pass`` ("forward" or "backward"), ``stride``, ``dilation`` (one per axis), ``padding`` (a pair
    per axis), ``groups``, ``spatial_ndim``, ``bias`` and ``dtype``. On Linux, malloc fills new memory with large
    numbers, so that the audit finds results that the program never writes.

    Examples
    --------
    >>> from jacobians import audit
    >>> functions = from_command("./conv {case}", stride=2, timeout=60)  # doctest: +SKIP
    >>> audit(*functions, stride=2).check()  # doctest: +SKIP
    """
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout is {timeout!r}; it needs a number of seconds above 0, or None for no limit")
    fixed = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    results = {"forward": ("S",), "backward": ("dX", "dF", "db") if flag("bias", bias) else ("dX", "dF")}
    commands = {"forward": forward, "backward": backward}
    made = [
        None if command is None else _Program(_words(which, command), which, results[which], fixed, timeout)
        for which, command in commands.items()
    ]
    return made[0], made[1]


def _words(which: str, command: str) -> list[str]:
    """Split a command; refuse one that cannot be run."""
    try:
        words = shlex.split(command, posix=os.name == "posix")
    except ValueError as error:
        raise ValueError(f"the {which} command is {command!r}, which cannot be split into words: {error}") from None
    if not any(CASE in word for word in words[1:]):
        raise ValueError(
            f"the {which} command is {command!r}; write {CASE} in it, in the place of the folder that holds the "
            "arrays: "
            f"{shlex.join([*words, CASE]).replace(shlex.quote(CASE), CASE) or './conv ' + CASE}"
        )
    if shutil.which(words[0]) is None:
        raise ValueError(
            f"the {which} command is {command!r}, but no program {words[0]!r} can be run; check its name and its "
            "permissions"
        )
    return words


# A function that runs a program, without this package.
SOURCE = """\
import pathlib, subprocess, tempfile
def {name}({letters}):
    folder = tempfile.mkdtemp()
    for letter, array in zip("{letters}".split(", "), ({letters})):
        np.save(f"{{folder}}/{{letter}}.npy", np.ascontiguousarray(array))
    pathlib.Path(folder, "options.json").write_text({told!r})
    subprocess.run([{words}], check=True)
    return {loaded}"""


class _Program:
    """One pass of a program, called with arrays."""

    def __init__(
        self,
        words: Sequence[str],
        which: str,
        results: Sequence[str],
        fixed: Mapping[str, Any],
        timeout: float | None,
    ) -> None:
        self.words, self.which, self.results, self.fixed, self.timeout = words, which, results, fixed, timeout
        self.late = 0
        self.bytes = itertools.cycle(BYTES)

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        """Run the program on arrays; how it fails is what `ProgramError` says."""
        if self.late == MOST_LATE:
            raise ProgramError(f"{LATE} {MOST_LATE} times at other layers, so this one {UNTRIED}")
        last = ["G"] if self.which == "backward" else []
        given = dict(zip(["X", "F", *["b"] * (len(arrays) - 2 - len(last)), *last], arrays, strict=True))
        with tempfile.TemporaryDirectory(prefix="jacobians-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            for letter, array in given.items():
                np.save(folder / f"{letter}.npy", np.ascontiguousarray(array), allow_pickle=False)
            told = self._told(given["X"], given["F"], bias="b" in given)
            (folder / OPTIONS).write_text(json.dumps(told), "utf-8")
            self._run(folder)
            return tuple(_read(folder / f"{result}.npy", told["dtype"]) for result in self.results)

    @property
    def expected(self) -> str:
        """What an audit expects of the program, where every call fails."""
        given = "X.npy, F.npy and G.npy" if self.which == "backward" else "X.npy and F.npy"
        return (
            f"Run the command yourself on a folder: the program must read {given} and {OPTIONS} there and write "
            f"{' and '.join(f'{each}.npy' for each in self.results)}; finding.code (--code) makes such a folder."
        )

    def source(self, name: str, given: Mapping[str, Array]) -> str:
        """Return Python that defines a function which runs the program as this does, at the sizes of these arrays."""
        told = self._told(given["X"], given["F"], bias="b" in given)
        words = ", ".join("folder" if word == CASE else repr(word) for word in self.words)
        loaded = ", ".join(f'np.load(f"{{folder}}/{result}.npy")' for result in self.results)
        return SOURCE.format(name=name, letters=", ".join(given), told=json.dumps(told), words=words, loaded=loaded)

    def _told(self, X: Array, F: Array, *, bias: bool) -> dict[str, Any]:
        """Return the options as the program is told them."""
        fixed: Options = options_of(**self.fixed, spatial_ndim=X.ndim - 2, bias=bias, dtype=X.dtype)
        return {
            "pass": self.which,
            "spatial_ndim": fixed.spatial_ndim,
            "stride": fixed.stride,
            "padding": fixed.zeros(F.shape[2:]),
            "dilation": fixed.dilation,
            "groups": fixed.groups,
            "bias": bias,
            "dtype": fixed.dtype,
        }

    def _run(self, folder: Path) -> None:
        words = [word.replace(CASE, str(folder)) for word in self.words]
        around = {**os.environ, "MALLOC_PERTURB_": str(0xFF - next(self.bytes))}
        with tempfile.TemporaryFile() as printed:
            try:
                # Not a pipe, which a child of the program may hold open.
                process = subprocess.Popen(
                    words, env=around, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, start_new_session=True
                )
            except OSError as error:
                raise ProgramError(f"{ENDED} before it began: {error.strerror}") from None
            with _ended(process, self.timeout) as late:
                process.wait()
            if late:
                self.late += 1
                raise ProgramError(f"{LATE} within {self.timeout:g} s")
            if process.returncode:
                raise ProgramError(_how(process.returncode) + _last_line(printed))


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes], timeout: float | None) -> Iterator[list[bool]]:
    """End a process, and all that it started, in time and however this is left; the list holds whether it was late."""
    late: list[bool] = []

    def end() -> None:
        late.append(True)
        _kill(process)

    timer = threading.Timer(timeout, end) if timeout else None
    try:
        if timer:
            timer.start()
        yield late
    except BaseException:  # a Ctrl-C
        _kill(process)
        process.wait()
        raise
    finally:
        if timer:
            timer.cancel()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _how(code: int) -> str:
    names = {each.value: each.name for each in signal.Signals}
    return f"{ENDED} with {names.get(-code, f'signal {-code}') if code < 0 else f'exit status {code}'}"


def _last_line(printed: IO[bytes]) -> str:
    """Return what was printed last, where anything was."""
    size = printed.seek(0, os.SEEK_END)
    printed.seek(max(size - TAIL, 0))
    lines = printed.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {printable(last[:LINE])}" if last else ""


def _read(file: Path, dtype: str) -> Array:
    if not file.is_file():
        raise ProgramError(f"returned no {file.name}: the program ended with exit status 0 and wrote no such file")
    try:
        # Of what is far too large, nothing is read but the shape.
        found: Array = np.load(file, mmap_mode="r" if file.stat().st_size > LARGE else None, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ProgramError(f"returned a {file.name} that holds no array: {printable(str(error))}") from None
    if not isinstance(found, np.ndarray):  # but several, in the format .npz
        raise ProgramError(f"returned a {file.name} that holds no array")
    if found.dtype.kind == "V" and found.dtype.itemsize == BFLOAT16.itemsize and dtype == BFLOAT16.name:
        return found.view(BFLOAT16)  # the format has no name for it
    return found.astype(found.dtype.newbyteorder("="), copy=False)
