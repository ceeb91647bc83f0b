"""What is said of mutants: the record names code that is there, and the runner tells killed ones from survivors."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.__main__ import equivalents
from tests.mutation.mutants import function_at, mutants, one_line
from tests.mutation.rooms import ROOMS

ROOT = Path(__file__).parents[1]

FORMULA = """
LIMIT = 3

def positions(size, taps, stride):
    return (size - taps) // stride + 1

def untested(size):
    return size + 1

class Layer:
    @property
    def extent(self):
        return (LIMIT - 1) * 2 + 1
"""
TESTS = """
from small.formula import Layer, positions

def test_positions():
    assert positions(7, 3, 2) == 3

def test_extent():
    assert Layer().extent == 5
"""
CHANGES = {
    "size - taps": "size + taps",  # in a function
    "size + 1": "size - 1",
    "* 2": "// 2",  # behind a decorator
    "LIMIT = 3": "LIMIT = 4",  # at the module's own level
    "return (size - taps)": "while True: pass\n    return (size - taps)",
}
RUN = """
import sys
from pathlib import Path
from tests.mutation.mutants import Mutant
from tests.mutation import trial
from tests.mutation.trial import Tests, trials
trial.WARM = ("pytest",)
root, source, changes = Path(sys.argv[1]), Path(sys.argv[1], "small/formula.py").read_text(), eval(sys.argv[2])
mutants = [Mutant("small/formula.py", "", old, new, source.replace(old, new)) for old, new in changes.items()]
for mutant, outcome in trials(root, mutants, Tests(("test_small.py",), spare=0.4)):
    print(mutant.line, outcome.state, outcome.test, sep=";")
"""


def test_a_formula_that_breaks_is_killed_and_one_without_a_test_survives(tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "small/formula.py").write_text(FORMULA)
    (tmp_path / "test_small.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text("import gc\n\ndef pytest_collection_finish():\n    gc.freeze()\n")
    command = [sys.executable, "-c", RUN, str(tmp_path), repr(CHANGES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = {line.split(";")[0]: line.split(";")[1:] for line in done.stdout.splitlines() if ";" in line}
    assert found == {
        "size - taps": ["killed", "test_small.py::test_positions"],
        "size + 1": ["survived", ""],
        "* 2": ["killed", "test_small.py::test_extent"],
        "LIMIT = 3": ["killed", "test_small.py::test_extent"],
        "return (size - taps)": ["timed out", ""],
    }
    assert list(found)[-1] == "LIMIT = 3"  # which is tried from source, when all others were tried without
    assert (tmp_path / "small/formula.py").read_text() == FORMULA


def test_mutants_are_named_by_what_stands_there(tmp_path):
    pytest.importorskip("cosmic_ray", reason="the mutants extra is not installed: pip install 'jacobians[mutants]'")
    (tmp_path / "formula.py").write_text(FORMULA)
    made = {(each.function, each.line, each.becomes) for each in mutants(tmp_path, ["formula.py"])}
    assert ("positions", "return (size - taps) // stride + 1", "return (size + taps) // stride + 1") in made
    assert ("Layer.extent", "return (LIMIT - 1) * 2 + 1", "return (LIMIT - 1) * 3 + 1") in made
    assert ("", "LIMIT = 3", "LIMIT = 2") in made
    drawn = [each.key for each in mutants(tmp_path, ["formula.py"], sample=5, seed=1)]
    assert len(set(drawn)) == 5
    assert drawn == [each.key for each in mutants(tmp_path, ["formula.py"], sample=5, seed=1)]


@pytest.mark.parametrize("module", sorted({module for module, *_ in equivalents()}))
def test_what_is_recorded_as_equivalent_is_in_the_code(module):
    source = (ROOT / module).read_text("utf-8")
    tree, lines = ast.parse(source), source.splitlines()
    where = {}
    for number, line in enumerate(lines, 1):
        where.setdefault(function_at(tree, number), []).append(line)
    gone = [
        (function, line)
        for path, function, line, _ in equivalents()
        if path == module and line not in one_line(where.get(function, []))
    ]
    assert gone == []


def test_rooms_name_files_and_tests_that_are_there():
    gone = []
    for room in ROOMS:
        for name in (*room.modules, *room.tests, *room.without):
            file, _, test = name.partition("::")
            if not (ROOT / file).is_file() or f"def {test}" not in (ROOT / file).read_text("utf-8"):
                gone.append(name)
    assert gone == []
