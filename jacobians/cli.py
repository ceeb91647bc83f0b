"""The command line: `jacobians verify`, `show`, `plot`, `explore`, `audit`, `vectors`, `read` and `layers`.

It is the only place that prints.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Annotated, Any

import typer
import typer.core
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from jacobians import files, signs, workers
from jacobians.arguments import bytes_of
from jacobians.errors import CallError, DtypeError, Interrupted, ShapeError, StoppedError, nearest
from jacobians.geometry import Geometry

__all__ = ["app", "main"]

HOLDS, FAILS, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
# Processes for each core, and spatial axes.
MOST_JOBS, MOST_AXES = 16, 3
# Seconds for one call of code that somebody else has written.
TIMEOUT = 60.0
# Seconds for a cluster to answer, and as many for its workers.
ANSWER = 4.0


class _Commands(typer.core.TyperGroup):
    """The commands; if an option does not exist, the nearest one is suggested."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            given, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
            if given is None or context is None or not hasattr(error, "possibilities"):
                raise
            known = [option for each in context.command.get_params(context) for option in each.opts]
            suggested = nearest(given, [each for each in known if each.startswith("--")])
            error.possibilities = [suggested.removeprefix("; did you mean ").removesuffix("?")] if suggested else None
            raise


app = typer.Typer(
    name="jacobians",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Build the Jacobian matrices of convolution layers, show and prove them, and check your code with them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="For completion of commands, options and names in your shell: jacobians --install-completion",
)


class Format(StrEnum):
    """How matrices are written."""

    unicode = "unicode"
    text = "text"
    latex = "latex"


def main() -> None:
    """Run the command line; unusable arguments end it with one line and exit status 2, a Ctrl-C with 130."""
    if signal.getsignal(signal.SIGINT) in {signal.default_int_handler, signal.SIG_DFL}:
        signal.signal(signal.SIGINT, _interrupted)
    _terminal.ascii_alone = signs.prepare(sys.stdout, sys.stderr)
    try:
        try:
            app(prog_name="jacobians")  # also as python -m jacobians, which shells complete nothing for
        finally:
            print(end="", flush=True)
    except (ShapeError, DtypeError, CallError, OverflowError, IndexError, ValueError, ChildProcessError) as error:
        _refuse(str(error))
    except MemoryError as error:
        _refuse(str(error) or "there is not enough memory; take smaller layers, or end other programs")
    except BrokenPipeError:  # who reads it has seen enough
        _print_no_more()
        sys.exit(UNUSABLE)
    except OSError as error:  # such as a full disk that is printed to
        _print_no_more()
        _refuse(str(error))


# Whether what is printed to takes ASCII alone; a dataclass is refused where typer's documentation loads this file.
_terminal = SimpleNamespace(ascii_alone=False)


def _print(said: object) -> None:
    """Print text, in ASCII where there is nothing else, with its columns."""
    print(signs.in_ascii(str(said)) if _terminal.ascii_alone else said)


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Come to an end; a second Ctrl-C is not waited with."""
    del frame
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt


def _refuse(message: str) -> None:
    print(f"jacobians: {message}", file=sys.stderr)
    sys.exit(UNUSABLE)


def _until_interrupted(checked: Callable[[], Any]) -> tuple[Any, int]:
    """Return a report, of what was found out until a Ctrl-C if there is one, and the exit status."""
    try:
        report = checked()
    except Interrupted as stop:
        return stop.report, INTERRUPTED
    except KeyboardInterrupt:
        print("Interrupted before there was a result; no file was written.")
        sys.exit(INTERRUPTED)
    return report, HOLDS if report.ok else FAILS


# An option, the file that it names, and what that is to hold.
Output = tuple[str, Path | None, str]


def _json(file: Path | None, record: dict[str, Any]) -> Output:
    return "--json", file, json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def _end(status: int, say: Callable[[], None], *outputs: Output, stopped: str = "") -> None:
    """Say what was found out, then write the files, whatever becomes of either, and end with the status."""
    lost = [stopped] if stopped else []
    try:
        say()
        print(end="", flush=True)
    except OSError as error:
        _print_no_more()
        if not isinstance(error, BrokenPipeError):  # who reads it has seen enough
            lost.append(f"the report cannot be printed: {error.strerror}")
    asked = [(option, file, functools.partial(files.write, file, text)) for option, file, text in outputs if file]
    lost += [said for option, file, write in asked if (said := _unwritten(option, file, write))]
    for said in lost:
        verdict = "; the exit status is still 1, because something is wrong" if status == FAILS else ""
        print(f"jacobians: {said}{verdict}", file=sys.stderr)
    sys.exit(UNUSABLE if lost and status == HOLDS else status)


def _print_no_more() -> None:
    """Let what is left to be printed go nowhere, or Python would fail on it again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _unwritten(option: str, file: Path, write: Callable[[], None]) -> str:
    """Write a file; return why it cannot be."""
    try:
        write()
    except OSError as error:
        return f"{option} is {file}, which cannot be written: {error.strerror or error}"
    return ""


def _say_version(asked: bool) -> None:
    if asked:
        import jacobians

        print(f"jacobians {jacobians.__version__}")
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Explicit Jacobians of convolution layers: shown with symbols, proved, and compared with other code."""
    del version


# completion in the shell ----------------------------------------------------------------------------------------------


def _ids(begun: str) -> list[str]:
    """Return lists of ids that go on from what is typed."""
    from jacobians.verify.run import ORDER

    typed, _, last = begun.rpartition(",")
    return [f"{typed},{name}" if typed else name for name in ORDER if name.startswith(last)]


def _names_of_dtypes(begun: str) -> list[str]:
    from jacobians.audit.numbers import DTYPES

    return [name for name in DTYPES if name.startswith(begun)]


def _names_of_views(begun: str) -> list[str]:
    from jacobians.symbolic import VIEWS

    spelt = [name.replace("_", "-") if "-" in begun else name for name in VIEWS]
    return [name for name in spelt if name.startswith(begun)]


def _names_of_pictures(begun: str) -> list[str]:
    return [name for name in (each.replace("_", "-") for each in PICTURES) if name.startswith(begun)]


# verify ---------------------------------------------------------------------------------------------------------------


@app.command()
def verify(
    full: Annotated[bool, typer.Option("--full", help="Try eight times as many random layers.")] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Try a tenth of the layers, in about 10 seconds; the report says what was left out."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 0,
    identities: Annotated[
        str | None,
        typer.Option("--only", metavar="IDS", help="Check these equations only, like L18,L20.", autocompletion=_ids),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of processes; by default one for each core.", show_default=False)
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Share the work out to the Dask cluster whose scheduler is there."),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.onnx",
            help="Verify every convolution of a network at true size instead: vgg-16, resnet-50 …, or an ONNX file.",
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="DxHxW", help="With --network: shape of its input, if it is not what the model says."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="With --network: what each process may take for a block, such as 512MiB; 1GiB by default.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --network: write a line to FILE for every block that is done; go on from it if it is there.",
            dir_okay=False,
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the record to FILE as JSON.", dir_okay=False)
    ] = None,
) -> None:
    """Check the equations L1 … L24 that this project rests on, and say which evidence each verdict has.

    They are the equations of one lecture on convolution layers. The table that is printed has all of them.

    With --network, the explicit matrices of every convolution of a network are built at true size, in blocks, and held
    against the convolution forms: S, ∂l/∂F, ∂l/∂X and ∂l/∂b, exactly.

    The exit status is 0 if all hold, 1 if one does not, 2 if the arguments cannot be used or a file cannot be written,
    and 130 after Ctrl-C. Ctrl-C prints what was checked until then; the JSON record then has ok = false and says how
    much is left.

    Examples: `jacobians verify --quick`, `jacobians verify --only L18,L20 --seed 7`,
    `jacobians verify --json record.json`, `jacobians verify --network vgg-16 --resume vgg.jsonl`
    """
    import jacobians
    from jacobians.verify import MEMORY, verify_network

    _check_outputs(("--json", json_file), ("--resume", resume))
    of_equations = {"--full": full, "--quick": quick, "--only": identities}
    of_network = {"--image": image, "--memory": memory, "--resume": resume}
    for option, given in (of_equations if network else of_network).items():
        if given:
            _refuse(f"{option} is for a run {'without' if network else 'with'} --network; leave it out")
    if full and quick:
        _refuse("--full and --quick are both given; choose one of them")
    if dask and jobs:
        _refuse("--jobs and --dask are both given; a cluster has as many processes as it was started with")
    cores = os.cpu_count() or 1
    if jobs is not None and jobs > MOST_JOBS * cores:
        _refuse(f"--jobs is {jobs}; it needs at most {MOST_JOBS * cores}, as there are {cores} cores")
    amount = MEMORY if memory is None else bytes_of("--memory", memory)
    shape = None if image is None else _sizes("--image", image)
    out = Console(highlight=False)

    def checked() -> Any:
        with (
            _dask(dask) if dask else _executor(jobs or cores) as executor,
            _progress("checking layers") as progress,
        ):
            run: dict[str, Any] = {"seed": seed, "executor": executor, "progress": progress}
            if network:
                return verify_network(network, shape, memory=amount, resume=resume, **run)
            only = None if identities is None else [name.strip() for name in identities.split(",")]
            return jacobians.verify(identities=only, full=full, quick=quick, **run)

    stopped = ""
    try:
        report, status = _until_interrupted(checked)
    except StoppedError as stop:
        report, stopped = stop.report, _as_options(str(stop))
        status = FAILS if report.stories else UNUSABLE
    except ValueError as error:
        _refuse(_as_options(str(error)))
    coloured = out.is_terminal and not _terminal.ascii_alone
    say = functools.partial(_print_report, out, report) if coloured else functools.partial(_print, report)
    _end(status, say, _json(json_file, report.to_dict()), stopped=stopped)


# What the command line calls the arguments that a message may begin with.
ARGUMENTS = {"identities": "--only", "resume": "--resume", "model": "--network", "image": "--image"}


def _as_options(message: str) -> str:
    """Name options in a message as the command line does."""
    name, space, rest = message.partition(" ")
    return ARGUMENTS.get(name, name) + space + rest


def _print_report(out: Console, report: Any) -> None:
    from jacobians.verify.report import table

    out.print(table(report))
    out.print(f"\n{report.legend}", markup=False, style="dim")
    for told in report.stories:
        first, _, rest = told.partition("\n")
        out.print(first, markup=False, style="bold red")
        out.print(f"{rest}\n", markup=False)
    out.print(report.conclusion, markup=False, style="bold" if report.ok else "bold red")


@contextmanager
def _executor(jobs: int) -> Iterator[Executor | None]:
    if jobs == 1:
        yield None
        return
    with workers.Pool(jobs, _print_bytes) as executor:
        yield executor


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    """Connect to a cluster, which puts its tasks to other workers where one dies."""
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
    except ModuleNotFoundError:
        _refuse("--dask needs distributed, which is not installed: pip install 'jacobians[dask]'")
    with contextlib.ExitStack() as stack:
        try:
            get_address_host_port(address)  # before there is a client that no one could close
            client = stack.enter_context(Client(address, timeout=ANSWER, set_as_default=False))
            client.wait_for_workers(1, timeout=ANSWER)
        except (OSError, ValueError, TypeError) as error:
            why = "no worker is there" if isinstance(error, TimeoutError) and "workers" in str(error) else str(error)
            _refuse(f"--dask is {address}, which does not answer: {why}")
        yield client.get_executor()


def _print_bytes(printed: bytes) -> None:
    sys.stderr.write(printed.decode(errors="replace"))


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int | None], None] | None]:
    """Show a bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)  # it moves until something is known
        yield lambda done, total: bar.update(task, completed=done, total=total)


# audit ----------------------------------------------------------------------------------------------------------------


Timeout = Annotated[
    float,
    typer.Option(metavar="SECONDS", min=0, help="Time limit for loading the file and for each call; 0 means none."),
]


class Audited(StrEnum):
    """Which layer is audited."""

    convolution = "convolution"
    relu = "relu"
    fully_connected = "fully-connected"
    softmax = "softmax"


# The layers that an option is for, where it is not for all.
ONLY_FOR = {
    **dict.fromkeys(("stride", "padding", "dilation", "groups", "axes"), (Audited.convolution,)),
    **dict.fromkeys(("layout", "torch", "jax", "command"), (Audited.convolution,)),
    "bias": (Audited.convolution, Audited.fully_connected),
    "total": (Audited.softmax,),
}


# What a written test says of a layer, besides its options, dtype and seed.
WRITTEN: dict[Audited, tuple[str, ...]] = {
    Audited.convolution: ("spatial_ndim", "bias"),
    Audited.fully_connected: ("bias",),
    Audited.softmax: ("mean",),
    Audited.relu: (),
}
# Options of audit that take several values, and what a value of them looks like.
SEVERAL = {"--stride", "--padding", "--dilation", "--groups"}
VALUE = re.compile(r"\d[\d,:]*|valid|same(-\w+)?")


class _SeveralValues(typer.core.TyperCommand):
    """A command with options that take several values, one after the other."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write an option again before each of its values."""
        found, option, first = list[str](), "", False
        for each in args:
            if option and VALUE.fullmatch(each):
                found += [each] if first else [option, each]
                first = False
                continue
            name, equals, _ = each.partition("=")
            option, first = (name, not equals) if name in SEVERAL else ("", False)
            found.append(each)
        parsed: list[str] = super().parse_args(ctx, found)
        return parsed


@app.command(cls=_SeveralValues)
def audit(
    context: typer.Context,
    forward: Annotated[
        str | None,
        typer.Argument(
            metavar="WHERE:FORWARD",
            help="The forward pass (for a ReLU, the backward pass). Give FILE.py:- to audit the backward pass alone.",
            show_default=False,
        ),
    ] = None,
    backward: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:BACKWARD",
            help="The backward pass; its name is enough if it is in the same file. With --command, a command.",
        ),
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            metavar="'PROGRAM {case}'",
            help="Audit a program in any language instead of FORWARD; it is run with a folder of .npy files. Give - to "
            "audit the backward pass alone.",
        ),
    ] = None,
    stride: Annotated[
        list[str] | None,
        typer.Option(
            metavar="S[,S] …",
            help="Stride, by default 1. It is passed to code that takes a stride; "
            "otherwise, it says which stride the code "
            "has. `1,2` is one per axis, `1 2` audits both.",
        ),
    ] = None,
    padding: Annotated[
        list[str] | None,
        typer.Option(
            metavar="P[,P] …",
            help="One number, one for each axis, before:after for each axis, valid, same, same-lower or same-tf; by "
            "default 0.",
        ),
    ] = None,
    dilation: Annotated[
        list[str] | None, typer.Option(metavar="D[,D] …", help="One number, or one for each axis; by default 1.")
    ] = None,
    groups: Annotated[
        list[int] | None, typer.Option(metavar="G …", help="Number of groups of planes and filters; by default 1.")
    ] = None,
    axes: Annotated[int, typer.Option(metavar="1|2|3", help="Number of spatial axes.")] = 2,
    bias: Annotated[
        bool | None,
        typer.Option(
            "--bias/--no-bias",
            help="Whether the code takes a bias and returns its gradient; by default, the audit finds out.",
        ),
    ] = None,
    dtype: Annotated[
        str,
        typer.Option(
            help="Dtype of the arrays: float64, float32, float16, bfloat16, int64 or int32.",
            autocompletion=_names_of_dtypes,
        ),
    ] = "float64",
    layer: Annotated[Audited, typer.Option(help="Which layer the code computes.")] = Audited.convolution,
    total: Annotated[
        bool, typer.Option("--sum", help="The loss of softmax is the sum over the mini-batch, not the mean.")
    ] = False,
    layout: Annotated[
        str | None,
        typer.Option(
            help="Order of the axes of X, F and S, like NHWC,HWIO->NHWC; by default planes come first (NCHW)."
        ),
    ] = None,
    taps: Annotated[
        str | None, typer.Option(metavar="KxL", help="The code is for filters of this size only, like 3x3.")
    ] = None,
    square: Annotated[
        bool, typer.Option("--square", help="The code is for square filters and square images only.")
    ] = False,
    odd: Annotated[bool, typer.Option("--odd", help="The code is for filters of odd sizes only.")] = False,
    one_plane: Annotated[bool, typer.Option("--one-plane", help="The code is for images of one plane only.")] = False,
    torch: Annotated[bool, typer.Option("--torch", help="FORWARD is a PyTorch function or module.")] = False,
    jax: Annotated[bool, typer.Option("--jax", help="FORWARD is a JAX function.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 0,
    timeout: Timeout = TIMEOUT,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the record to FILE as JSON.", dir_okay=False)
    ] = None,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML to FILE.", dir_okay=False)
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option("--write-test", metavar="FILE.py", help="Write a pytest file of this audit.", dir_okay=False),
    ] = None,
    show_code: Annotated[bool, typer.Option("--code", help="Print Python that reproduces each finding.")] = False,
) -> None:
    """Compare a convolution, or another layer, with the explicit matrices, and say what is wrong with it.

    FORWARD and BACKWARD name a function, a class, a method or an object, in a file or a module: FILE.py:NAME or
    package.module:NAME. For each layer, an audit makes an object of a class, puts F into its weights, and passes
    options by the names of its parameters, such as stride, pad and dilation. A note of the report says how it called
    the code.

    \b
    forward(X, F[, b]) -> S                    X (N, d, h, w)   F (n, d/groups, k, l)   b (n,)   S (N, n, h', w')
    backward(X, F, [b,] G) -> (dX, dF[, db])   G is ∂l/∂S, of the shape of S
    forward(X, F, b, conv_param) -> (S, cache), backward(G, cache) -> (dX, dF, db)
    class Conv: __init__(in_channels, out_channels, kernel_size, …), forward(X), backward(G)

    The exit status is 0 if the code is right, 1 if it is wrong, 2 if the code cannot be called, the arguments cannot be
    used or a file cannot be written, and 130 after Ctrl-C. Ctrl-C prints what was found until then, and marks the
    written files as interrupted.

    Examples: `jacobians audit conv.py:forward --backward backward --stride 2 --padding 1`,
    `jacobians audit mypackage.layers:Conv --stride 1 2 --padding 0 1`, `jacobians audit conv.py:Conv.forward`,
    `jacobians audit cs231n.py:conv_forward --backward conv_backward --padding 1`,
    `jacobians audit layer.py:conv --torch --dtype float16 --junit report.xml`,
    `jacobians audit layer.py:relu_backward --layer relu`, `jacobians audit --command './conv {case}' --stride 2`
    """  # noqa: D301  # it is what keeps the lines apart
    import jacobians
    from jacobians.audit.cases import Only
    from jacobians.audit.loading import load_both

    _check_options(context, layer, ONLY_FOR, "--layer ")
    code = () if command else (forward, backward)
    _check_outputs(("--json", json_file), ("--junit", junit_file), ("--write-test", test), code=code)
    _check_axes(axes)
    _check_kind({"FORWARD": forward, "--command": command}, {"--torch": torch, "--jax": jax})
    combinations, left_out = _combinations(stride, padding, dilation, groups)
    if len(combinations) > 1 and command:
        _refuse("--command is for one value of each option; give one")
    options = combinations[0]
    only = None if taps is None else _sizes("--taps", taps)
    where = Only(taps=only, square_filters=square, square_images=square, odd=odd, one_plane=one_plane)
    framework = "" if command else _framework(torch, jax, forward or "", backward)
    if not command:
        _check_names(forward or "", backward)

    def audited() -> Any:
        with _progress("calling the code") as progress:
            return _audit(progress)

    def _audit(progress: Callable[[int, int | None], None] | None) -> Any:
        if command:
            functions = _programs(command, backward, options, bias=bool(bias), timeout=timeout)
        else:
            load = functools.partial(load_both, forward or "", backward)
            functions = _isolated(load, timeout, forward, backward)
        if layer is Audited.convolution:
            more: dict[str, Any] = {
                "spatial_ndim": axes,
                "bias": bias,
                "dtype": dtype,
                "layout": layout,
                "framework": framework,
                "where": where if where != Only() else None,
            }
            more |= options if len(combinations) == 1 else {"options": combinations}
            found = jacobians.audit(functions[0], functions[1], **more, seed=seed, progress=progress)
            return dataclasses.replace(found, notes=(*found.notes, *left_out))
        of: dict[str, Any] = {"dtype": dtype, "seed": seed, "progress": progress}
        return _audit_other(layer, *functions, bias=bool(bias), total=total, of=of)

    report, status = _until_interrupted(audited)
    out = Console(highlight=False, soft_wrap=True)
    coloured = out.is_terminal and not _terminal.ascii_alone
    said = _audit_text(report, code=show_code)
    say = functools.partial(_print_audit, out, said) if coloured else functools.partial(_print, said)
    about = forward, backward, command, framework, layout, timeout or None
    of_layer: dict[str, Any] = {"spatial_ndim": axes, "bias": bias, "mean": not total, "dtype": dtype, "seed": seed}
    written = _written_test(about, test, combinations, of_layer, layer) if test else ""
    outputs = ("--junit", junit_file, report.to_junit()), ("--write-test", test, written)
    _end(status, say, _json(json_file, report.to_dict()), *outputs)


def _combinations(
    stride: list[str] | None, padding: list[str] | None, dilation: list[str] | None, groups: list[int] | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return every combination of the values that are given, None for an option that is not, and what was left out."""
    given: dict[str, list[Any]] = {
        "stride": [_per_axis("--stride", each) for each in stride or ()],
        "padding": [_padding(each) for each in padding or ()],
        "dilation": [_per_axis("--dilation", each) for each in dilation or ()],
        "groups": list(groups or ()),
    }
    every = itertools.product(*(values or [None] for values in given.values()))
    found = [dict(zip(given, each, strict=True)) for each in every]
    some = [each for each in found if each["stride"] in {None, 1} or each["padding"] != "same"]
    if len(some) in {0, len(found)}:
        return found, []
    return some, ["padding same is defined for stride 1 only; its combinations with other strides were left out"]


def _written_test(
    about: tuple[Any, ...], test: Path, combinations: list[dict[str, Any]], given: dict[str, Any], layer: Audited
) -> str:
    from jacobians.audit.written_test import Code, written_test

    other = {Audited.convolution: "", Audited.softmax: "softmax_cross_entropy"}.get(layer, layer.name)
    if layer is Audited.fully_connected:
        given["bias"] = bool(given["bias"])
    fixed = {name: given[name] for name in (*WRITTEN[layer], "dtype", "seed") if given[name] is not None}
    options = [{name: value for name, value in each.items() if value is not None} for each in combinations]
    return written_test(Code(*about), test, options, fixed, other)


def _audit_text(report: Any, *, code: bool) -> str:
    """Return the report, with code if that is asked for, and where something is wrong, the command that says so."""
    parts = [str(report)]
    for each in report.findings if code else ():
        parts += [f"\nTo reproduce that {each.about} {each.title}:\n", each.code]
    if report.findings:
        parts.append(f"  reproduce it with: {shlex.join(['jacobians', *sys.argv[1:]])}")
    return "\n".join(parts)


def _print_audit(out: Console, said: str) -> None:
    for line in said.splitlines():
        out.print(line, markup=False, style={"✗": "bold red", "✓": "green"}.get(line[:1]))


Functions = tuple[Callable[..., Any] | None, Callable[..., Any] | None]


def _check_options(context: typer.Context, chosen: str, only_for: Mapping[str, Sequence[str]], what: str = "") -> None:
    for parameter in context.command.params:
        allowed = only_for.get(str(parameter.name), (chosen,))
        if chosen not in allowed and _is_given(context, str(parameter.name)):
            _refuse(f"{parameter.opts[0]} is for {what}{' and '.join(allowed)}, not for {chosen}; leave it out")


def _is_given(context: typer.Context, parameter: str) -> bool:
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def _check_kind(named: dict[str, str | None], frameworks: dict[str, bool]) -> None:
    """Refuse what is named twice or not at all, and frameworks that do not go together or with it."""
    if not any(named.values()):
        _refuse("there is nothing to audit: name FILE.py:FORWARD, or a program with --command")
    if all(named.values()):
        _refuse(f"{' and '.join(named)} are both given; leave one of them out, and give a backward pass by --backward")
    given = [option for option, value in frameworks.items() if value]
    if len(given) > 1:
        _refuse("--torch and --jax are both given; choose one of them")
    if given and named["--command"]:
        _refuse(f"--command is a program of its own; leave {given[0]} out")


def _programs(command: str, backward: str | None, options: dict[str, Any], *, bias: bool, timeout: float) -> Functions:
    from jacobians.audit.command import from_command

    if command == "-" and backward is None:
        _refuse("--command is -, for the backward pass alone; it needs --backward")
    forward = None if command == "-" else command
    usual = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    given = usual | {name: value for name, value in options.items() if value is not None}
    return from_command(forward, backward, **given, bias=bias, timeout=timeout or None)


def _framework(torch: bool, jax: bool, forward: str, backward: str | None = None) -> str:
    if torch and jax:
        _refuse("--torch and --jax are both given; choose one of them")
    if (torch or jax) and (backward is not None or forward.endswith(":-")):
        _refuse(
            "--backward is for NumPy code; with --torch or --jax, autograd computes the gradient: leave --backward out"
        )
    return "torch" if torch else "jax" if jax else ""


def _check_names(forward: str, backward: str | None) -> None:
    if ":" not in forward:
        _refuse(f"FORWARD is {forward!r}; it needs a file and a function in it, like conv.py:forward")
    if forward.endswith(":-") and backward is None:
        _refuse(f"FORWARD is {forward!r}, for the backward pass alone; it needs --backward")


def _isolated(load: Callable[[], Functions], timeout: float, *names: str | None) -> Functions:
    """Load code in a process of its own; what does not load is no verdict on what it computes."""
    from jacobians.audit.isolation import NOT_LOADING, isolated

    try:
        return isolated(load, timeout=timeout or None)
    except ChildProcessError as error:
        named = dict.fromkeys(each.rpartition(":")[0] for each in names if each)
        why = str(error).removeprefix(NOT_LOADING)
        raise ChildProcessError(f"{' or '.join(filter(None, named))} does not load: {why}") from error


def _audit_other(
    layer: Audited,
    forward: Callable[..., Any] | None,
    backward: Callable[..., Any] | None,
    *,
    bias: bool,
    total: bool,
    of: dict[str, Any],
) -> Any:
    import jacobians

    if layer is Audited.fully_connected:
        return jacobians.audit_fully_connected(forward, backward, bias=bias, **of)
    if layer is Audited.softmax:
        return jacobians.audit_softmax_cross_entropy(backward, forward, mean=not total, **of)
    passes = [each for each in (forward, backward) if each is not None]
    if len(passes) > 1:
        _refuse(
            "two functions are given, but --layer relu audits only a backward pass: name that one, and leave "
            "--backward out"
        )
    return jacobians.audit_relu(passes[0], **of)


def _check_outputs(*outputs: tuple[str, Path | None], code: Sequence[str | None] = ()) -> None:
    """Refuse files that cannot be written, and those that hold something else that is asked for."""
    taken = {Path(each.rpartition(":")[0]).resolve(): "the code" for each in code if each and ":" in each}
    for option, file in outputs:
        if file is None:
            continue
        if not file.absolute().parent.is_dir():
            _refuse(f"{option} is {file}, in a folder that does not exist; make it first")
        where = file.resolve()
        # A device may be written to twice.
        if where in taken and (file.is_file() or not file.exists()):
            _refuse(f"{option} is {file}, which is for {taken[where]}; name another file")
        taken[where] = option


def _check_axes(axes: int) -> None:
    if not 1 <= axes <= MOST_AXES:
        _refuse(f"--axes is {axes}; it needs an integer from 1 to {MOST_AXES}")


# read -----------------------------------------------------------------------------------------------------------------


@app.command()
def read(
    function: Annotated[
        str,
        typer.Argument(
            metavar="WHERE:FUNCTION",
            help="A function of an image and filters, or a class or module, as audit takes it.",
        ),
    ],
    stride: Annotated[
        str | None, typer.Option(metavar="S[,S]", help="Passed to the code; by default it has its own.")
    ] = None,
    padding: Annotated[str | None, typer.Option(metavar="P[,P]", help="The same.")] = None,
    dilation: Annotated[str | None, typer.Option(metavar="D[,D]", help="The same.")] = None,
    axes: Annotated[int, typer.Option("--axes", "--spatial-ndim", metavar="1|2|3", help="Number of spatial axes.")] = 2,
    bias: Annotated[
        bool | None, typer.Option("--bias/--no-bias", help="Whether it takes a bias; by default this is found out.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="float64, float32, int64 or int32.")] = "float64",
    layout: Annotated[
        str | None,
        typer.Option(
            help="Order of the axes of X, F and S, like NHWC,HWIO->NHWC; by default the usual orders are tried."
        ),
    ] = None,
    groups: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of groups; by default 1 to 4 are tried, and one for each plane.", show_default=False
        ),
    ] = None,
    torch: Annotated[bool, typer.Option("--torch", help="FUNCTION is a PyTorch function or module.")] = False,
    jax: Annotated[bool, typer.Option("--jax", help="FUNCTION is a JAX function.")] = False,
    timeout: Timeout = TIMEOUT,
    latex: Annotated[bool, typer.Option("--latex", help="Print only the formula, as LaTeX.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the record to FILE as JSON.", dir_okay=False)
    ] = None,
) -> None:
    """Read the formula that FUNCTION computes, right or wrong, and say which convolution it is, or why it is not one.

    Stride, padding, dilation, groups, the order of the axes, and whether the filter is rotated need not be known.
    The exit status is 0 if a formula was read, 1 if none could be read, and 2 if the arguments cannot be used.

    Options are passed to code that has parameters for them; those that are not given are left to the code.

    Examples: `jacobians read conv.py:forward`, `jacobians read mypackage.layers:Conv --stride 2`,
    `jacobians read layer.py:conv --torch --bias --json formula.json`
    """
    from jacobians.audit.isolation import prepared
    from jacobians.audit.loading import load_both
    from jacobians.audit.programs import Wanted
    from jacobians.formula import blackbox

    _check_outputs(("--json", json_file), code=(function,))
    _check_axes(axes)
    framework = _framework(torch, jax, function.removesuffix(":-"))
    file, _, name = function.rpartition(":")
    if not file or name == "-":
        _refuse(f"FUNCTION is {function!r}; it needs a file and a function in it, like conv.py:forward")
    asked: dict[str, Any] = {
        "stride": stride and _per_axis("--stride", stride),
        "padding": padding and _padding(padding),
    }
    asked |= {"dilation": dilation and _per_axis("--dilation", dilation), "groups": groups}
    wanted = Wanted(**asked, spatial_ndim=axes, bias=bias, dtype=dtype, framework=framework, leaves_defaults=True)
    functions = _isolated(functools.partial(load_both, function, None), timeout, function)
    code = prepared(*functions, wanted)
    if layout and code.notes:  # what is called by a program is called in its layout
        code, layout = prepared(*functions, dataclasses.replace(wanted, layout=layout)), None
    options: dict[str, Any] = {"spatial_ndim": axes, "bias": code.options.bias, "dtype": dtype}
    options |= {"layout": layout, "groups": groups}
    record: dict[str, Any]
    try:
        with _progress("calling the code") as progress:
            found = blackbox.read(_readable(code, progress), **options)
        found = dataclasses.replace(found, layout=code.options.layout or found.layout)
    except blackbox.Unreadable as error:
        record, said, status = {"formula": None, "why": str(error)}, f"No formula was read. {error}", FAILS
    else:
        said = found.write("latex") if latex else "\n".join([str(found), *(f"note: {note}" for note in code.notes)])
        record = {**found.to_dict(), "notes": list(code.notes)}
        status = HOLDS
    _end(status, functools.partial(_print, said), _json(json_file, record))


def _readable(code: Any, progress: Callable[[int, int | None], None] | None) -> Callable[..., Any]:
    """Return the forward pass of code that is for layers of all sizes, of which reading needs several."""
    from jacobians.formula.blackbox import Unreadable

    if code.options.only is not None:
        raise Unreadable(f"Reading needs layers of all sizes: {code.notes[-1]}. An audit reads such code.")
    return _called_elsewhere(code.functions["forward"], progress)


def _called_elsewhere(
    function: Callable[..., Any], progress: Callable[[int, int | None], None] | None
) -> Callable[..., Any]:
    """Make a function that runs in another process one that is called like any other."""
    from jacobians.audit.subject import Call, call

    numbers = itertools.count()

    def called(*arrays: Any) -> Any:
        given = dict(zip("XFb", arrays, strict=False))
        spoiled = [(each.shape, each.dtype) for each in arrays]
        number = next(numbers)
        result = call(function, Call(given, {"S": "S"}, spoiled, number))["S"]
        if progress:
            progress(number + 1, None)
        if result.value is None:
            raise ChildProcessError(result.raised)
        return result.value

    return called


# explain --------------------------------------------------------------------------------------------------------------


def _names_of_explanations(begun: str) -> list[str]:
    from jacobians.audit.explanations import names

    return [name for name in names() if name.startswith(begun)]


@app.command()
def explain(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The name in the line see: of a finding, or a word to look for; without it, all names are listed.",
            show_default=False,
            autocompletion=_names_of_explanations,
        ),
    ] = None,
) -> None:
    """Explain what a finding of an audit names: what is wrong, and where to look.

    Examples: `jacobians explain`, `jacobians explain filter-not-rotated`, `jacobians explain rotation`
    """
    from jacobians.audit import explanations

    _print("\n".join(explanations.names()) if name is None else explanations.explanation(name))


# vectors --------------------------------------------------------------------------------------------------------------


@app.command()
def vectors(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.", dir_okay=False)
    ] = Path("conv-vectors.json"),
    axes: Annotated[int, typer.Option(metavar="1|2|3", help="Number of spatial axes.")] = 2,
    stride: Annotated[str | None, typer.Option(metavar="S[,S]", help="One number, or one for each axis.")] = None,
    padding: Annotated[
        str | None,
        typer.Option(
            metavar="P[,P]", help="One number, one for each axis, before:after for each axis, same or same-lower."
        ),
    ] = None,
    dilation: Annotated[str | None, typer.Option(metavar="D[,D]", help="One number, or one for each axis.")] = None,
    groups: Annotated[int | None, typer.Option(help="Number of groups of planes and filters.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 0,
    schema: Annotated[bool, typer.Option("--schema", help="Write the JSON schema of the file instead.")] = False,
) -> None:
    """Write test vectors for code in any language: layers in integers, the right results, and the mistakes they catch.

    By default, the file has cases for nine combinations of options. If you give options, it has cases for these only.

    Examples: `jacobians vectors -o conv-vectors.json`, `jacobians vectors --stride 2 --padding 1 -o strided.json`
    """
    from jacobians import vectors as made

    _check_outputs(("--output", output))
    _check_axes(axes)
    given: dict[str, Any] = {"groups": groups, "stride": None, "padding": None, "dilation": None}
    given |= {"stride": stride and _per_axis("--stride", stride), "padding": padding and _padding(padding)}
    given |= {"dilation": dilation and _per_axis("--dilation", dilation)}
    options = {name: value for name, value in given.items() if value is not None}
    if schema:
        content, what = made.schema(), "the schema"
    else:
        with _progress("choosing cases") as progress:
            found = made.vectors([options] if options else None, spatial_ndim=axes, seed=seed, progress=progress)
        content, fewest = made.text(found), len(found["smallest"])
        what = f"{len(found['cases'])} cases, of which {fewest} catch all {len(found['mistakes'])} kinds of mistakes"
    if said := _unwritten("--output", output, functools.partial(files.write, output, content)):
        _refuse(said)
    print(f"wrote {output}: {what}")


# show -----------------------------------------------------------------------------------------------------------------

ImageShape = Annotated[
    str, typer.Option("--image", metavar="DxHxW", help="Shape of the image X, planes first; HxW means one plane.")
]
FiltersShape = Annotated[
    str,
    typer.Option(
        "--filters",
        "--filter",
        metavar="NxDxKxK",
        help="Shape of all filters F; KxK means one filter with as many planes as X.",
    ),
]
Stride = Annotated[str, typer.Option("--stride", metavar="S[,S]", help="One number, or one for each spatial axis.")]
Padding = Annotated[
    str,
    typer.Option(
        "--padding", metavar="P[,P]", help="One number, one for each axis, before:after for each axis, valid or same."
    ),
]
Dilation = Annotated[str, typer.Option("--dilation", metavar="D[,D]", help="One number, or one for each spatial axis.")]
Groups = Annotated[int, typer.Option("--groups", help="Number of groups into which planes and filters are divided.")]


Index = Annotated[
    int,
    typer.Option(
        "--index", "-i", metavar="I", min=0, help="Which filter to show, counted from 0, in views of a single filter."
    ),
]


@app.command()
def show(
    name: Annotated[
        str | None,
        typer.Argument(help="What to show; by default everything.", show_default=False, autocompletion=_names_of_views),
    ] = None,
    image: ImageShape = "1x6x6",
    filters: FiltersShape = "1x1x3x3",
    stride: Stride = "1",
    padding: Padding = "0",
    dilation: Dilation = "1",
    groups: Groups = 1,
    i: Index = 0,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="unicode has subscripts, text is ASCII, latex is for TeX; by default what the output can print.",
            show_default=False,
        ),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Print the whole matrix, however wide it is.")] = False,
) -> None:
    """Show the matrices of a layer with symbols as entries.

    NAME is one of image_matrix, filter_matrix, stack_matrix, responses, filter_gradient, zero_pad, rot180,
    input_gradient.

    Examples: `jacobians show`, `jacobians show filter_matrix --whole`,
    `jacobians show input_gradient --image 2x4x5 --filters 3x2x2x3 --stride 2,1 --padding 1:0,0:1 --format latex`
    """
    geometry = _geometry(image, filters, stride, padding, dilation, groups)
    geometry.check_index("filter", i, geometry.filters[0])

    from jacobians import symbolic

    width = Console().width if sys.stdout.isatty() else 100
    form = form or (Format.text if _terminal.ascii_alone else Format.unicode)
    for view in _views(name, symbolic.VIEWS):
        _print(symbolic.view(view, geometry, i, form.value, whole=whole, width=width))
        print()


def _views(name: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    if name is None:
        return known
    wanted = name.replace("-", "_")
    begun = [each for each in known if each.startswith(wanted)]
    if wanted in known or len(begun) == 1:
        return (wanted if wanted in known else begun[0],)
    _refuse(f"NAME is {name!r}; it needs one of {', '.join(known)}{nearest(wanted, known)}")
    return ()


def _geometry(image: str, filters: str, stride: str, padding: str, dilation: str, groups: int) -> Geometry:
    X, F = _sizes("--image", image), _sizes("--filters", filters)
    if len(X) == 2 and len(F) in {2, 4}:
        X = (1, *X)
    if len(F) == 2:
        F = (groups, X[0] // max(groups, 1), *F)
    return Geometry(
        X,
        F,
        stride=_per_axis("--stride", stride),
        padding=_padding(padding),
        dilation=_per_axis("--dilation", dilation),
        groups=groups,
    )


def _sizes(option: str, text: str) -> tuple[int, ...]:
    return tuple(_whole_number(option, part, "sizes with x between them, like 3x6x6") for part in text.split("x"))


def _per_axis(option: str, text: str) -> int | tuple[int, ...]:
    numbers = tuple(_whole_number(option, part, "a number, or one per axis, like 2,1") for part in text.split(","))
    return numbers[0] if len(numbers) == 1 else numbers


def _padding(text: str) -> Any:
    if text.replace("-", "").isalpha():
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


# layers ---------------------------------------------------------------------------------------------------------------


def _names_of_networks(begun: str) -> list[str]:
    from jacobians.models.published import NETWORKS

    return [name for name in NETWORKS if name.startswith(begun)]


@app.command()
def layers(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="FILE.onnx; a published network such as vgg16; or FILE.py:NAME, a PyTorch module, or what makes one.",
            show_default=False,
            autocompletion=_names_of_networks,
        ),
    ],
    image: Annotated[
        str | None,
        typer.Option(
            metavar="DxHxW",
            help="Shape of the image, planes first; by default that of the file or the paper, else 3x224x224.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the record to FILE as JSON.", dir_okay=False)
    ] = None,
) -> None:
    """List the convolutions of a model: their shapes, and what the Jacobian of each would cost as a matrix.

    For each there are the shapes of its image, filters and responses; the nonzeros and bytes of ∂vec(S)/∂vec(X); and
    whether it fits into the memory of this machine. The published networks are lenet-5, alexnet, vgg-16, resnet-50,
    mobilenet-v2 and u-net. Nothing in an ONNX file is executed; a Python file is.

    The exit status is 0 if the layers were listed, and 2 if the model or the arguments cannot be used.

    Examples: `jacobians layers vgg16`, `jacobians layers model.onnx --image 3x64x64`,
    `jacobians layers nets.py:Net --json layers.json`
    """
    from jacobians.models.survey import survey

    _check_outputs(("--json", json_file), code=(model,))
    found = _layers_of(model, image)
    with _progress("measuring layers") as progress:
        surveyed = survey(found, progress)
    out = Console(highlight=False)
    coloured = out.is_terminal and not _terminal.ascii_alone
    say = functools.partial(_print_survey, out, surveyed) if coloured else functools.partial(_print, surveyed)
    _end(HOLDS, say, _json(json_file, surveyed.to_dict()))


def _layers_of(model: str, image: str | None) -> Any:
    """Return the convolutions of a model, of which there is at least one."""
    from jacobians import models

    shape = None if image is None else _sizes("--image", image)
    try:
        found = models.layers(_model(model), shape)
    except ModuleNotFoundError as error:
        _refuse(str(error))
    if not found.geometries:
        _refuse(f"there is no convolution in {model}; it has {', '.join(found.passed_over) or 'nothing'}")
    return found


def _told(layers: Any, progress: Callable[[int, int], None] | None) -> Iterator[Any]:
    """Yield layers, and tell how many of them are done with."""
    for done, layer in enumerate(layers):
        if progress is not None:
            progress(done, len(layers.geometries))
        yield layer


def _print_survey(out: Console, surveyed: Any) -> None:
    from jacobians.models.survey import table

    out.print(table(surveyed))
    out.print(f"\n{surveyed.conclusion}", markup=False)


def _model(model: str) -> Any:
    """Return the module that FILE.py:NAME is or makes, and anything else as it is."""
    from jacobians.audit.loading import load

    where, _, name = model.rpartition(":")
    if not where.endswith(".py"):
        return model
    found = load(where, name)
    torch = sys.modules.get("torch")
    if torch is not None and not isinstance(found, torch.nn.Module):
        try:
            found = found()
        except Exception as error:  # of somebody else's code
            _refuse(f"{model} cannot be called without arguments: {error}; name a module, or a function that makes one")
    if torch is None or not isinstance(found, torch.nn.Module):
        _refuse(f"{model} is no torch.nn.Module, and makes none")
    return found


# explore --------------------------------------------------------------------------------------------------------------


@app.command()
def explore(
    image: ImageShape = "6x6",
    filters: FiltersShape = "3x3",
    stride: Stride = "1",
    padding: Padding = "0",
    dilation: Dilation = "1",
    groups: Groups = 1,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.", dir_okay=False)
    ] = Path("explorer.html"),
) -> None:
    """Write an HTML page in which a layer and its two Jacobian matrices move; it needs no network and no server.

    Its lessons lead from two taps to the rotation of the filter. If you give a layer, the page begins with it. Stride,
    padding and dilation can also be changed on the page.

    Examples: `jacobians explore`, `jacobians explore --image 5x7 --filter 2x3 --stride 2 -o strided.html`,
    `jacobians explore --image 4x3x4 --filters 4x2x2x2 --groups 2`
    """
    from jacobians import explorer

    _check_outputs(("--output", output))
    page = explorer.explore(_geometry(image, filters, stride, padding, dilation, groups))
    if said := _unwritten("--output", output, functools.partial(files.write, output, page)):
        _refuse(said)
    print(f"wrote {output} ({len(page.encode()) // 1000} kB); open it in a browser: {output.absolute().as_uri()}")


# plot -----------------------------------------------------------------------------------------------------------------

PICTURES = (
    "filter_matrix",
    "image_matrix",
    "jacobian",
    "stack_matrix",
    "patch",
    "rotated_filter",
    "network",
    "spectrum",
)
# The pictures that an option is for, where it is not for all.
ONLY_FOR_PICTURES = {
    "at": ("patch", "rotated-filter"),
    "wrt": ("jacobian",),
    "classes": ("network",),
    **dict.fromkeys(("model", "k"), ("spectrum",)),
}


class Wrt(StrEnum):
    """What the Jacobian of a layer is with respect to."""

    image = "image"
    filters = "filters"


@app.command()
def plot(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to draw.", show_default=False, autocompletion=_names_of_pictures)],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.png|.svg", help="The file to write.", dir_okay=False)
    ],
    image: ImageShape = "1x6x6",
    filters: Annotated[
        str,
        typer.Option(
            "--filters",
            "--filter",
            metavar="NxDxKxK",
            help="Shape of all filters F; for network, one shape for each layer, separated by commas.",
        ),
    ] = "1x1x3x3",
    stride: Stride = "1",
    padding: Padding = "0",
    dilation: Dilation = "1",
    groups: Groups = 1,
    i: Index = 0,
    at: Annotated[
        int | None,
        typer.Option(help="Which row (for patch) or pixel (for rotated-filter) to draw, counted from 0.", min=0),
    ] = None,
    wrt: Annotated[Wrt, typer.Option(help="For jacobian: with respect to what.")] = Wrt.image,
    classes: Annotated[int, typer.Option(help="For network: the number of classes.")] = 10,
    model: Annotated[
        str | None,
        typer.Option(
            help="For spectrum: the model, as `jacobians layers` takes it.", autocompletion=_names_of_networks
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="For spectrum: how many singular values of each layer.", min=1)] = 10,
) -> None:
    """Draw the matrices of a layer, or the singular values of a model's layers, as PNG or SVG.

    NAME is one of filter-matrix, image-matrix, jacobian (of the whole layer), stack-matrix, patch, rotated-filter,
    network, spectrum. The beginning of a name is enough. The spectrum of a large network takes minutes.

    Examples: `jacobians plot filter-matrix -o filter.svg`,
    `jacobians plot patch --image 2x8x8 --filters 3x2x3x3 --stride 2 --padding 1 --at 5 -o patch.png`,
    `jacobians plot network --image 3x32x32 --filters 6x3x5x5,10x6x3x3 -o network.svg`,
    `jacobians plot spectrum --model lenet-5 -o spectrum.svg`
    """
    plots = _plots()
    _check_outputs(("--output", output))
    if output.suffix.lower() not in plots.SUFFIXES:
        _refuse(f"--output is {output}; its name needs to end in {' or '.join(plots.SUFFIXES)}")
    (picture,) = _views(name, PICTURES)
    _check_options(context, picture.replace("_", "-"), ONLY_FOR_PICTURES)
    if picture == "spectrum":
        ax = _spectrum(plots, model, image if _is_given(context, "image") else None, k)
    elif picture == "network":
        ax = plots.network(_network(image, filters, stride, padding, dilation, groups, classes))
    else:
        geometry = _geometry(image, filters, stride, padding, dilation, groups)
        geometry.check_index("filter", i, geometry.filters[0])
        ax = {
            "filter_matrix": lambda: plots.filter_matrix(geometry, i=i),
            "image_matrix": lambda: plots.image_matrix(geometry, group=geometry.group_of(i)),
            "jacobian": lambda: plots.jacobian(geometry, wrt=wrt.value),
            "stack_matrix": lambda: plots.stack_matrix(i, geometry),
            "patch": lambda: plots.patch(geometry, i=i, row=at),
            "rotated_filter": lambda: plots.rotated_filter(geometry, i=i, pixel=at),
        }[picture]()
    if said := _unwritten("--output", output, functools.partial(plots.save, ax, output)):
        _refuse(said)
    print(output)


def _spectrum(plots: Any, model: str | None, image: str | None, k: int) -> Any:
    if model is None:
        _refuse("spectrum needs a model: jacobians plot spectrum --model lenet-5 -o spectrum.svg")
    found = _layers_of(str(model), image)
    with _progress("computing singular values") as progress:
        return plots.spectrum(_told(found, progress), k=k)


def _plots() -> Any:
    try:
        from jacobians import plots
    except ModuleNotFoundError as error:
        _refuse(str(error))
        raise AssertionError("unreachable: the command has ended") from error
    return plots


def _network(image: str, filters: str, stride: str, padding: str, dilation: str, groups: int, classes: int) -> Any:
    """Return the network whose layers have these filters; each sees the responses of the layer before."""
    from jacobians.network import Network

    layers: list[Geometry] = []
    for each in filters.split(","):
        layers.append(_geometry(image, each, stride, padding, dilation, groups))
        image = "x".join(map(str, layers[-1].responses))
    return Network(layers, classes)
