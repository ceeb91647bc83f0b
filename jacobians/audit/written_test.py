"""A pytest file that makes an audit again, in code that needs nothing but the public API."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jacobians.audit.layers.convolution import options as options_of

__all__ = ["Code", "written_test"]

HEAD = '''"""{what} held against explicit Jacobian matrices.

Written by ``jacobians audit``; select tests by their options, as in ``pytest -k {name}``, and add other options below.
"""

'''
OPTIONS = """OPTIONS = {{
{options}
}}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_convolution(options):
    functions = {functions}
    assert_convolution(*functions, **options, {fixed})
"""
OTHER = """def test_{layer}():
    {call}({arguments}).check()
"""


@dataclasses.dataclass(frozen=True)
class Code:
    """What an audit was asked to look at.

    Attributes
    ----------
    forward, backward : str or None
        ``FILE.py:name``, or of `backward` a name in the same file; with `command`, a command.
    command : str or None
        A program in the place of `forward`; ``-`` for none.
    framework : str
        torch, jax, or empty for NumPy.
    layout : str or None
        The order of the axes.
    timeout : float or None
        Seconds for each call of a command.
    """

    forward: str | None
    backward: str | None = None
    command: str | None = None
    framework: str = ""
    layout: str | None = None
    timeout: float | None = None

    @property
    def what(self) -> str:
        """The code in words."""
        return self.command or self.forward or ""


def written_test(
    code: Code, where: Path, options: Sequence[Mapping[str, Any]], fixed: Mapping[str, Any], layer: str = ""
) -> str:
    """Write the file.

    Parameters
    ----------
    code : Code
        What was audited.
    where : Path
        Where the file goes; the code is found from there.
    options : sequence of dict
        stride, padding, dilation and groups of a convolution, one for each audit.
    fixed : dict
        The other arguments of the audit.
    layer : str
        relu, fully_connected or softmax_cross_entropy; empty for a convolution.

    Returns
    -------
    str
        Python.
    """
    lines, names = _imported(code, where)
    audited = [names[each] for each in ("forward", "backward")]
    arguments = _arguments(fixed)
    if layer:
        passes = [each for each in audited if each != "None"] if layer == "relu" else audited
        passes = passes[::-1] if layer == "softmax_cross_entropy" else passes
        call = f"audit_{layer}"
        body = OTHER.format(layer=layer, call=call, arguments=", ".join([*passes, arguments]))
        return HEAD.format(what=code.what, name=layer) + "\n".join(
            [*lines(f"from jacobians import {call}"), "", "", body]
        )
    names_of = [_named(each, fixed) for each in options]
    functions, adapters = _functions(code, audited, fixed)
    if not code.command:
        more = {"layout": code.layout, "framework": code.framework}
        arguments = _arguments({**fixed, **{name: value for name, value in more.items() if value}})
    needed = ["import pytest", ""]
    needed += [f"from jacobians.audit import {', '.join(adapters)}"] if adapters else []
    needed += ["from jacobians.testing import assert_convolution"]
    rows = "\n".join(f'    "{name}": {_written(each)},' for name, each in zip(names_of, options, strict=True))
    body = OPTIONS.format(options=rows, functions=functions, fixed=arguments)
    return HEAD.format(what=code.what, name=names_of[0]) + "\n".join([*lines(*needed), "", body])


def _named(options: Mapping[str, Any], fixed: Mapping[str, Any]) -> str:
    """Return the name by which a test of these options is selected."""
    usual = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    of = {"spatial_ndim": fixed["spatial_ndim"], "bias": False, "dtype": fixed["dtype"]}
    return options_of(**{**usual, **options}, **of).name


def _functions(code: Code, audited: list[str], fixed: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return Python that makes the two functions, and the adapters that it calls."""
    found, adapters = ", ".join(audited), list[str]()
    bias = f"bias={fixed.get('bias', False)}"
    if code.command:
        commands = ", ".join(repr(None if each == "-" else each) for each in (code.command, code.backward))
        found, adapters = f"from_command({commands}, **options, {bias}, timeout={code.timeout})", ["from_command"]
        if code.layout:
            found, adapters = f"with_layout(*{found}, {code.layout!r}, **options)", [*adapters, "with_layout"]
    else:
        found = f"({found})"
    return found, adapters


def _imported(code: Code, where: Path) -> tuple[Any, dict[str, str]]:
    """Return what writes the imports, and what forward and backward are called then."""
    file, _, name = (code.forward or "").rpartition(":")
    other, _, called = (code.backward or "").rpartition(":")
    files = {"forward": (file, name), "backward": (other or file, called)}
    used = {side: each for side, each in files.items() if not code.command and all(each) and each[1] != "-"}
    names = {side: f"{_module(each[0])}.{each[1]}" for side, each in used.items()}

    def lines(*imports: str) -> list[str]:
        if not used:
            return list(imports)
        of_files = [each for each, _ in used.values() if each.endswith(".py")]
        folders = dict.fromkeys(_relative(Path(each).parent, where) for each in of_files)
        modules = dict.fromkeys(Path(each).stem if each in of_files else each for each, _ in used.values())
        paths = [f"sys.path.insert(0, str(Path(__file__).parent / {folder!r}))" for folder in folders]
        loaded = [f"{_module(each)} = importlib.import_module({each!r})" for each in modules]
        return ["import importlib", "import sys", "from pathlib import Path", "", *imports, "", *paths, *loaded]

    return lines, {side: names.get(side, "None") for side in ("forward", "backward")}


def _module(file: str) -> str:
    """Return a name for the module of a file."""
    stem = Path(file).stem if file.endswith(".py") else file
    return stem if stem.isidentifier() else "".join(each if each.isalnum() else "_" for each in f"code_{stem}")


def _relative(folder: Path, where: Path) -> str:
    try:
        return Path(os.path.relpath(folder.absolute(), where.absolute().parent)).as_posix()
    except ValueError:  # another drive
        return folder.absolute().as_posix()


def _arguments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _written(values: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f'"{name}": {value!r}' for name, value in values.items()) + "}"
