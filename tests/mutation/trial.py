"""Whether tests notice a mutant: tried in forked processes, in memory; no file is changed.

Tests are collected once. For each mutant a process is forked that has its code in the place of the right one, and it
runs the tests up to the first that fails, those first that killed most so far. What is computed while a module is
imported cannot be exchanged so: such mutants are tried in a process that imports the package from the mutant's source.
That is slower, and the surer way, since no value of a test comes from the right code.
"""

import contextlib
import gc
import importlib
import importlib.machinery
import importlib.util
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NoReturn

from tests.mutation.mutants import Mutant

__all__ = ["Outcome", "Tests", "trials"]

# No plugin that shuffles, measures or keeps anything.
OPTIONS = [
    "-x",
    "-qq",
    "-s",
    "--assert=plain",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:faulthandler",
    "-p",
    "_hypothesis_pytestplugin",
]
# Imported before anything is forked; the package itself never is.
WARM = ("numpy", "scipy.sparse", "sympy", "mpmath", "ml_dtypes", "hypothesis.extra.numpy", "pytest", "islpy", "typer")
MEMORY = 8 << 30  # a mutant that asks for more than any test needs gets a MemoryError
FORK = get_context("fork")


@dataclass(frozen=True)
class Outcome:
    """What became of a trial: `killed`, `timed out`, `survived` or `unfit` to be tried this way; and what failed."""

    state: str
    test: str = ""
    seconds: dict[str, float] = field(default_factory=dict, repr=False)
    taken: float = 0.0


@dataclass
class Tests:
    """The files that decide about a module, and what their tests take and have killed."""

    files: tuple[str, ...]
    without: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    spare: float = 2.0

    def rank(self, nodeid: str) -> tuple[float, int, float]:
        """Tests that killed most in the time they take come first, then file by file the fast ones."""
        seconds = self.seconds.get(nodeid, 0.0)
        place = next((n for n, file in enumerate(self.files) if nodeid.startswith(file)), len(self.files))
        return -self.kills[nodeid] / (seconds + 0.01), place, seconds

    def learn(self, outcome: Outcome) -> None:
        """Note which test killed."""
        if outcome.test:
            self.kills[outcome.test] += 1

    def measured(self, outcome: Outcome) -> None:
        """Note what the tests take without a mutant; they have to pass."""
        if outcome.state != "survived":
            raise SystemExit(f"{' '.join(self.files)}: without any mutant: {outcome.state} {outcome.test}")
        self.seconds = outcome.seconds

    @property
    def options(self) -> list[str]:
        """What pytest is called with, but for the files."""
        return [*OPTIONS, *(f"--deselect={each}" for each in self.without)]

    @property
    def limit(self) -> float:
        """Seconds that the processor may spend on one test; without end as long as nothing is known of the tests."""
        return self.spare + 3 * max(self.seconds.values()) if self.seconds else 0.0


def trials(
    root: Path, mutants: Iterable[Mutant], tests: Tests, *, jobs: int = 1, sure: bool = False
) -> Iterator[tuple[Mutant, Outcome]]:
    """Try each mutant, at most `jobs` at a time, and yield what became of it; `sure` imports all from source."""
    _warm(root)
    left = []
    for mutant, outcome in _exchanged(root, list(mutants), tests, jobs):
        if outcome.state == "unfit" or (sure and outcome.state == "survived"):
            left.append(mutant)
        else:
            tests.learn(outcome)
            yield mutant, outcome

    def imported(mutant: Mutant) -> Callable[[Connection], None]:
        return lambda answer: _import_and_test(root, mutant, tests, answer)

    for mutant, outcome in _forked(left, imported, tests, jobs):
        tests.learn(outcome)
        yield mutant, outcome


def _warm(root: Path) -> None:
    # threads do not survive a fork
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(root / ".cache/mutants")
    for name in WARM:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # what is there before the fork is never looked through again


# ----------------------------------------------------------------------------------------------------- one process each


class _Trial:
    """One forked process, which answers with an outcome."""

    def __init__(self, work: Callable[[Connection], None], tests: Tests) -> None:
        self.tests, self.start = tests, time.monotonic()
        self.answer, theirs = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=self._work, args=(work, theirs))
        self.process.start()
        theirs.close()

    def _work(self, work: Callable[[Connection], None], answer: Connection) -> None:
        os.setsid()  # so that what the tests start ends with them
        signal.setitimer(signal.ITIMER_PROF, 5 * self.tests.limit)  # for the imports
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        work(answer)

    def over(self) -> bool:
        return self.answer.poll() or not self.process.is_alive() or self._late()

    def _late(self) -> bool:
        """Whether it takes longer than a busy machine explains: it sleeps or waits."""
        return time.monotonic() - self.start > 60 + 10 * (sum(self.tests.seconds.values()) or 60)

    def end(self) -> Outcome:
        """Its outcome; it is ended, and all that it started."""
        answer = None
        with contextlib.suppress(EOFError):
            answer = self.answer.recv() if self.answer.poll() else None
        late = self._late()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        return answer or Outcome("timed out" if late or self.process.exitcode == -signal.SIGPROF else "killed")


def _forked(
    mutants: Iterable[Mutant | None], work: Callable[[Any], Callable[[Connection], None]], tests: Tests, jobs: int
) -> Iterator[tuple[Any, Outcome]]:
    """Yield (mutant, outcome) as they come, at most `jobs` at a time."""
    waiting, running = iter(list(mutants)), {}
    try:
        while True:
            while len(running) < jobs and (mutant := next(waiting, waiting)) is not waiting:
                running[_Trial(work(mutant), tests)] = mutant
            if not running:
                return
            wait([each for trial in running for each in (trial.process.sentinel, trial.answer)], timeout=1)
            for trial in [trial for trial in running if trial.over()]:
                yield running.pop(trial), trial.end()
    finally:
        for trial in running:
            trial.end()


class _Watch:
    """The plugin of a trial: orders the tests, notes what each takes, and answers when one fails."""

    def __init__(self, tests: Tests, answer: Connection) -> None:
        self.tests, self.answer = tests, answer
        self.start = time.process_time()
        self.seconds: Counter[str] = Counter()

    def pytest_collection(self) -> None:
        from hypothesis import Phase, settings

        # no shrinking: that a test fails is all that is asked
        settings.register_profile("mutants", settings.default, database=None, phases=(Phase.explicit, Phase.generate))
        settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items.sort(key=lambda item: self.tests.rank(item.nodeid))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        signal.setitimer(signal.ITIMER_PROF, self.tests.limit)  # whose signal ends the process

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.end("killed", report.nodeid)

    def end(self, state: str, test: str = "") -> NoReturn:
        """Answer, and leave without tidying up, which may take longer than the test."""
        self.answer.send(Outcome(state, test, dict(self.seconds), time.process_time() - self.start))
        os._exit(0)


# ----------------------------------------------------------------------------------------- from the mutant's source


class _Exchanged(importlib.machinery.SourceFileLoader):
    """Loads a module from another source than its file's."""

    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec", dont_inherit=True)


class _Finder:
    """Finds one module, and no other."""

    def __init__(self, root: Path, mutant: Mutant) -> None:
        self.name = ".".join(Path(mutant.path).with_suffix("").parts)
        self.loader = _Exchanged(self.name, str(root / mutant.path), mutant.source)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name == self.name:
            return importlib.util.spec_from_file_location(name, self.loader.path, loader=self.loader)
        return None


def _import_and_test(root: Path, mutant: Mutant, tests: Tests, answer: Connection) -> None:
    import pytest

    os.chdir(root)
    sys.path.insert(0, str(root))
    sys.meta_path.insert(0, _Finder(root, mutant))
    watch = _Watch(tests, answer)
    for file in tests.files:  # one after the other, since most mutants die before the next one is read
        if pytest.main([*tests.options, file], plugins=[watch]):
            watch.end("killed")
    watch.end("survived")


# ------------------------------------------------------------------------------------------ exchanged where it is


def _exchanged(root: Path, mutants: list[Mutant], tests: Tests, jobs: int) -> Iterator[tuple[Mutant, Outcome]]:
    """Try mutants in forks of a process that has collected the tests."""
    ours, theirs = FORK.Pipe(duplex=False)
    server = FORK.Process(target=_serve, args=(root, mutants, tests, jobs, theirs))
    server.start()
    theirs.close()
    tests.measured(ours.recv())
    try:
        with contextlib.suppress(EOFError):
            while True:
                number, outcome = ours.recv()
                yield mutants[number], outcome
    finally:
        server.terminate()
        server.join()


def _serve(root: Path, mutants: list[Mutant], tests: Tests, jobs: int, answer: Connection) -> None:
    import pytest

    os.chdir(root)
    sys.path.insert(0, str(root))
    server = _Server(root, mutants, tests, jobs, answer)
    status = pytest.main([*tests.options, *tests.files], plugins=[server])
    with contextlib.suppress(OSError):
        answer.send(Outcome(f"tests cannot be collected, status {status}"))
    os._exit(0)


class _Server(_Watch):
    """The plugin that runs no test itself, but forks."""

    def __init__(self, root: Path, mutants: list[Mutant], tests: Tests, jobs: int, answer: Connection) -> None:
        super().__init__(tests, answer)
        self.root, self.mutants, self.jobs = root, mutants, jobs
        self.watch = self  # the plugin that hears of failures: in a fork, the fork's own
        self.functions: dict[tuple[str, str, int], list[FunctionType]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        _Watch.pytest_runtest_logreport(self.watch, report)

    def pytest_runtestloop(self, session: Any) -> NoReturn:
        self._find_functions()
        gc.freeze()

        def work(number: int | None) -> Callable[[Connection], None]:
            return lambda answer: self._try(number, session, answer)

        for _, outcome in _forked([None], work, self.tests, 1):
            self.answer.send(outcome)
            self.tests.measured(outcome)
        for number, outcome in _forked(range(len(self.mutants)), work, self.tests, self.jobs):
            self.tests.learn(outcome)
            self.answer.send((number, outcome))
        os._exit(0)

    def _find_functions(self) -> None:
        gc.unfreeze()  # frozen objects are not listed
        for each in gc.get_objects():
            if isinstance(each, FunctionType):
                self.functions.setdefault(_place(each.__code__), []).append(each)

    def _try(self, number: int | None, session: Any, answer: Connection) -> None:
        self.watch = _Watch(self.tests, answer)
        if number is not None and not self._exchange(self.mutants[number]):
            self.watch.end("unfit")
        items = sorted(session.items, key=lambda item: self.tests.rank(item.nodeid))
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        self.watch.end("survived")

    def _exchange(self, mutant: Mutant) -> bool:
        """Put the mutant's code into the functions that are there; False where it differs outside of functions."""
        file = str(self.root / mutant.path)
        old = compile(Path(file).read_text("utf-8"), file, "exec", dont_inherit=True)
        pairs = list(_differences(old, compile(mutant.source, file, "exec", dont_inherit=True)))
        for right, wrong in pairs:
            functions = self.functions.get(_place(right), [])
            if not functions or right.co_freevars != wrong.co_freevars:
                return False
            for function in functions:
                function.__code__ = wrong
        return bool(pairs)


def _place(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_name, code.co_firstlineno


def _differences(right: CodeType, wrong: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """The outermost functions whose code differs; the code of the module itself where it differs by more than that."""
    inner = [[each for each in code.co_consts if isinstance(each, CodeType)] for code in (right, wrong)]
    others = [
        (code.co_code, code.co_names, [each for each in code.co_consts if not isinstance(each, CodeType)])
        for code in (right, wrong)
    ]
    if others[0] != others[1] or len(inner[0]) != len(inner[1]):
        yield right, wrong
        return
    for left, other in zip(*inner, strict=True):
        if left != other:
            function = left.co_flags & 2  # CO_NEWLOCALS: no class
            yield from [(left, other)] if function else _differences(left, other)
