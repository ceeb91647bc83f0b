"""The command line: `jacobians verify`, `jacobians show` and `jacobians audit`. The only place that prints."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from jacobians.errors import DtypeError, ShapeError, TooLargeError
from jacobians.geometry import Geometry

__all__ = ["app", "main"]

HOLDS, FAILS, UNUSABLE = 0, 1, 2

app = typer.Typer(
    name="jacobians",
    help="Explicit Jacobians of convolution layers: shown with symbols, proved, and held against other code.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Format(StrEnum):
    """How matrices are written."""

    unicode = "unicode"
    text = "text"
    latex = "latex"


def main() -> None:
    """Run the command line; unusable arguments end it with one line and exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without these characters still shows the rest
    try:
        app()
    except (ShapeError, DtypeError, TooLargeError, OverflowError, IndexError, ValueError, ChildProcessError) as error:
        _refuse(str(error))


def _refuse(message: str) -> None:
    print(f"jacobians: {message}", file=sys.stderr)
    sys.exit(UNUSABLE)


# verify ---------------------------------------------------------------------------------------------------------------


@app.command()
def verify(
    full: Annotated[bool, typer.Option("--full", help="Draw eight times as many layers.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all draws.")] = 0,
    identities: Annotated[
        str | None, typer.Option("--only", metavar="IDS", help="Check these equations only, like L18,L20.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes to run in; by default one per core.", show_default=False)
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the record to FILE as JSON.", dir_okay=False)
    ] = None,
) -> None:
    """Check every equation of the lecture, L1 … L24, and say on what evidence it holds.

    Exit status 0 if all hold, 1 if one does not, 2 if the arguments are unusable.

    Examples: `jacobians verify`, `jacobians verify --only L18,L20 --seed 7`, `jacobians verify --json record.json`
    """
    import jacobians

    _check_folder("--json", json_file)
    only = [name.strip() for name in identities.split(",")] if identities else None
    out = Console(highlight=False)
    with _executor(jobs or os.cpu_count() or 1) as executor, _progress("checking layers") as progress:
        try:
            report = jacobians.verify(identities=only, seed=seed, executor=executor, full=full, progress=progress)
        except ValueError as error:
            _refuse(str(error).replace("identities", "--only", 1))
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if out.is_terminal:
        _print_report(out, report)
    else:
        print(report)
    sys.exit(HOLDS if report.ok else FAILS)


def _print_report(out: Console, report: Any) -> None:
    from jacobians.verify import table

    out.print(table(report))
    for row in report.rows:
        if row.failure:
            out.print(f"[bold red]✗ {row.id} does not hold:[/] ", end="")
            out.print(f"{row.formula}\n{row.failure}\n", markup=False)
    out.print(report.conclusion, markup=False, style="bold" if report.ok else "bold red")


@contextmanager
def _executor(jobs: int) -> Iterator[Executor | None]:
    if jobs == 1:
        yield None
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_use_one_thread) as executor:
        yield executor


def _use_one_thread() -> None:
    """Keep the linear algebra of one process from taking the cores of the others."""
    import numpy  # noqa: F401, ICN001  # its library has to be loaded before it can be limited
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(title)
        yield lambda done, total: bar.update(task, completed=done, total=total)


# audit ----------------------------------------------------------------------------------------------------------------


@app.command()
def audit(
    forward: Annotated[
        str,
        typer.Argument(metavar="FILE.py:FORWARD", help="The forward pass; FILE.py:- to audit the backward pass alone."),
    ],
    backward: Annotated[
        str | None, typer.Option(metavar="FILE.py:BACKWARD", help="The backward pass, or a name in the same file.")
    ] = None,
    stride: Annotated[
        str, typer.Option(metavar="S[,S]", help="What the code was fixed to: one, or one per axis.")
    ] = "1",
    padding: Annotated[
        str, typer.Option(metavar="P[,P]", help="One, one per axis, before:after per axis, valid or same.")
    ] = "0",
    dilation: Annotated[str, typer.Option(metavar="D[,D]", help="One, or one per axis.")] = "1",
    groups: Annotated[int, typer.Option(help="Groups of planes.")] = 1,
    axes: Annotated[int, typer.Option(min=1, help="Number of spatial axes.")] = 2,
    bias: Annotated[bool, typer.Option("--bias", help="The functions take a bias, and return its gradient.")] = False,
    dtype: Annotated[str, typer.Option(help="float64, float32, float16, bfloat16, int64 or int32.")] = "float64",
    layout: Annotated[
        str | None, typer.Option(help="Order of the axes, like NHWC,HWIO->NHWC; by default planes first.")
    ] = None,
    torch: Annotated[bool, typer.Option("--torch", help="FORWARD is a PyTorch function or module.")] = False,
    jax: Annotated[bool, typer.Option("--jax", help="FORWARD is a JAX function.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all draws.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the record to FILE as JSON.", dir_okay=False)
    ] = None,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML to FILE.", dir_okay=False)
    ] = None,
) -> None:
    """Hold a convolution in FILE.py against the explicit matrices, and say what is wrong with it.

    Exit status 0 if it is right, 1 if it is not, 2 if the arguments are unusable.

    Examples: `jacobians audit conv.py:forward --backward backward --stride 2 --padding 1`,
    `jacobians audit layer.py:conv --torch --dtype float16 --junit report.xml`
    """
    import jacobians
    from jacobians.audit.isolation import isolated

    for name, file in (("--json", json_file), ("--junit", junit_file)):
        _check_folder(name, file)
    if torch and jax:
        _refuse("--torch and --jax are both given; a function is of one of them")
    options: dict[str, Any] = {
        "stride": _per_axis("--stride", stride),
        "padding": _padding(padding),
        "dilation": _per_axis("--dilation", dilation),
        "groups": groups,
    }
    framework = "torch" if torch else "jax" if jax else ""
    load = functools.partial(_functions, forward, backward, framework, layout, options, dtype=dtype, bias=bias)
    report = jacobians.audit(
        *isolated(load),
        **options,
        spatial_ndim=axes,
        bias=bias,
        dtype=dtype,
        seed=seed,
    )
    if json_file is not None:
        json_file.write_text(json.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if junit_file is not None:
        junit_file.write_text(report.to_junit(), encoding="utf-8")
    out = Console(highlight=False, soft_wrap=True)
    for line in str(report).splitlines():
        style = {"✗": "bold red", "✓": "green"}.get(line[:1]) if out.is_terminal else None
        out.print(line, markup=False, style=style)
    sys.exit(HOLDS if report.ok else FAILS)


Functions = tuple[Callable[..., Any] | None, Callable[..., Any] | None]


def _functions(
    forward: str,
    backward: str | None,
    framework: str,
    layout: str | None,
    options: dict[str, Any],
    *,
    dtype: str,
    bias: bool,
) -> Functions:
    """Load the code under audit, in the process that runs it."""
    functions = _loaded(forward, backward, framework, dtype=dtype, bias=bias)
    if layout is None:
        return functions
    from jacobians.audit.layouts import with_layout

    return with_layout(*functions, layout, **options)


def _loaded(forward: str, backward: str | None, framework: str, *, dtype: str, bias: bool) -> Functions:
    file, _, name = forward.rpartition(":")
    if not file:
        raise ValueError(f"FORWARD is {forward!r}; it needs a file and a function in it, like conv.py:forward")
    given = None if name == "-" else _load(file, name)
    if framework:
        from jacobians.audit.frameworks import from_jax, from_torch

        if backward is not None or given is None:
            raise ValueError(
                "--backward is for NumPy code; of --torch and --jax functions the gradient is what autograd gives"
            )
        return from_torch(given, dtype=dtype, bias=bias) if framework == "torch" else from_jax(given, bias=bias)
    if backward is None:
        return given, None
    where, _, called = backward.rpartition(":")
    return given, _load(where or file, called)


def _load(file: str, name: str) -> Callable[..., Any]:
    """Load a function from a file, as if the file were run from its own folder."""
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"{file} does not exist; name a Python file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is no Python file; its name needs to end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.absolute()))
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the file does wrong is the user's to know
        raise ValueError(f"{file} does not load: {type(error).__name__}: {error}") from error
    function: Callable[..., Any] | None = getattr(module, name, None)
    if function is None or not callable(function):
        known = [each for each in vars(module) if callable(getattr(module, each)) and not each.startswith("_")]
        close = difflib.get_close_matches(name, known, n=1)
        raise ValueError(
            f"{file} has no function {name!r}"
            + (f"; did you mean {close[0]}?" if close else f"; it has {', '.join(known) or 'none'}")
        )
    return function


def _check_folder(option: str, file: Path | None) -> None:
    if file is not None and not file.absolute().parent.is_dir():
        _refuse(f"{option} is {file}, in a folder that does not exist; make it first")


# show -----------------------------------------------------------------------------------------------------------------


@app.command()
def show(
    name: Annotated[
        str | None, typer.Argument(help="What to show; everything if left out.", show_default=False)
    ] = None,
    image: Annotated[str, typer.Option(metavar="DxHxW", help="Shape of X, planes first.")] = "1x6x6",
    filters: Annotated[str, typer.Option(metavar="NxDxKxK", help="Shape of all filters F.")] = "1x1x3x3",
    stride: Annotated[str, typer.Option(metavar="S[,S]", help="One, or one per axis.")] = "1",
    padding: Annotated[
        str, typer.Option(metavar="P[,P]", help="One, one per axis, before:after per axis, valid or same.")
    ] = "0",
    dilation: Annotated[str, typer.Option(metavar="D[,D]", help="One, or one per axis.")] = "1",
    groups: Annotated[int, typer.Option(help="Groups of planes.")] = 1,
    i: Annotated[int, typer.Option("--filter", help="Which filter, for the matrices of one; counted from 0.")] = 0,
    form: Annotated[Format, typer.Option("--format", help="With subscripts, in ASCII, or for TeX.")] = Format.unicode,
    whole: Annotated[bool, typer.Option("--whole", help="Leave nothing out, however wide.")] = False,
) -> None:
    """Show the matrices of a layer with symbols as entries.

    NAME is one of image_matrix, filter_matrix, stack_matrix, responses, filter_gradient, zero_pad, rot180,
    input_gradient.

    Examples: `jacobians show`, `jacobians show filter_matrix --whole`,
    `jacobians show input_gradient --image 2x4x5 --filters 3x2x2x3 --stride 2,1 --padding 1:0,0:1 --format latex`
    """
    from jacobians import symbolic

    geometry = Geometry(
        _sizes("--image", image),
        _sizes("--filters", filters),
        stride=_per_axis("--stride", stride),
        padding=_padding(padding),
        dilation=_per_axis("--dilation", dilation),
        groups=groups,
    )
    geometry.check_index("filter", i, geometry.filters[0])
    width = Console().width if sys.stdout.isatty() else 100
    for view in _views(name, symbolic.VIEWS):
        print(symbolic.view(view, geometry, i, form.value, whole=whole, width=width))
        print()


def _views(name: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if name is None:
        return known
    wanted = name.replace("-", "_")
    if wanted in known:
        return (wanted,)
    close = difflib.get_close_matches(wanted, known, n=1, cutoff=0.4)
    _refuse(f"NAME is {name!r}; it needs one of {', '.join(known)}" + (f"; did you mean {close[0]}?" if close else ""))
    return ()


def _sizes(option: str, text: str) -> tuple[int, ...]:
    return tuple(_whole_number(option, part, "sizes with x between them, like 3x6x6") for part in text.split("x"))


def _per_axis(option: str, text: str) -> int | tuple[int, ...]:
    numbers = tuple(_whole_number(option, part, "a number, or one per axis, like 2,1") for part in text.split(","))
    return numbers[0] if len(numbers) == 1 else numbers


def _padding(text: str) -> Any:
    if text.isalpha():
        return text
    needs = "a number, one per axis like 1,0, before:after like 1:0,0:2, valid or same"
    sides = [tuple(_whole_number("--padding", part, needs) for part in axis.split(":")) for axis in text.split(",")]
    if all(len(pair) == 1 for pair in sides):
        return sides[0][0] if len(sides) == 1 else tuple(pair[0] for pair in sides)
    return tuple(pair if len(pair) > 1 else pair * 2 for pair in sides)


def _whole_number(option: str, text: str, needs: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ShapeError(f"{option} has {text!r}; it needs {needs}") from None
