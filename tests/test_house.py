"""The rules of the house that no other tool checks."""

import ast
import importlib
import inspect
import itertools
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SOURCES = sorted((ROOT / "jacobians").rglob("*.py"))
NOT_FOR_USERS = {"test", "test-torch", "test-browser", "lint", "bench", "mutants", "docs", "dev"}


def source_id(path):
    return path.relative_to(ROOT).as_posix()


def nodes(path):
    return ast.walk(ast.parse(path.read_text("utf-8")))


# ---------------------------------------------------------------------------------------------------- dependencies


def third_party_imports(path):
    for node in nodes(path):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case _:
                continue
        yield from {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"jacobians"}


def names(requirements):
    return {re.match(r"[\w-]+", requirement).group() for requirement in requirements}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    imported = {name for path in SOURCES for name in third_party_imports(path)}
    required = names(PROJECT["dependencies"])
    optional = {
        name
        for extra, requirements in PROJECT["optional-dependencies"].items()
        if extra not in NOT_FOR_USERS
        for name in names(requirements)
    }
    assert imported - required - optional == set()
    assert required - imported == set()


def in_a_fresh_interpreter(code):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_importing_jacobians_imports_only_the_numeric_core():
    heavy = {"sympy", "rich", "typer", "matplotlib", "torch", "jax", "psutil", "hypothesis", "islpy"}
    code = "import sys, jacobians; print(*sys.modules); import jacobians.verify.layers; print('sympy' in sys.modules)"
    loaded, by_networks = in_a_fresh_interpreter(code).splitlines()
    assert heavy & set(loaded.split()) == set()
    assert by_networks == "False"


@pytest.mark.parametrize("path", [path for path in SOURCES if "audit" in path.parts], ids=source_id)
def test_own_modules_are_imported_at_the_top(path):
    """Inside functions stand third-party packages that are optional or slow, and nothing else."""
    inside = {
        node.lineno
        for function in nodes(path)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "jacobians"
    }
    assert inside == set()


# ------------------------------------------------------------------------------------------------------ public API

CONTRACT = {
    "Geometry": lambda image, filters, *, stride=1, padding=0, dilation=1, groups=1: ...,
    "convolve": lambda X, F, geometry=None, *, bias=None: ...,
    "filter_gradient": lambda X, G, geometry: ...,
    "input_gradient": lambda G, F, geometry: ...,
    "bias_gradient": lambda G: ...,
    "zero_pad": lambda G, geometry: ...,
    "rot180": lambda F: ...,
    "image_matrix": lambda X, geometry, *, group=0, rows=None: ...,
    "filter_matrix": lambda F_i, geometry, *, group=0, rows=None: ...,
    "stack_matrix": lambda i, geometry: ...,
    "jacobian_wrt_image": lambda F, geometry: ...,
    "jacobian_wrt_filters": lambda X, geometry: ...,
    "jacobian_wrt_bias": lambda geometry: ...,
    "verify": lambda geometries=None, *, identities=None, seed=0, executor=None: ...,
    "audit_relu": lambda backward, *, dtype="float64", seed=0: ...,
    "audit_fully_connected": lambda forward, backward=None, *, bias=True, dtype="float64", seed=0: ...,
    "audit_softmax_cross_entropy": lambda backward, forward=None, *, mean=True, dtype="float64", seed=0: ...,
    "symbolic.image_matrix": lambda geometry: ...,
    "symbolic.filter_matrix": lambda geometry: ...,
    "symbolic.stack_matrix": lambda i, geometry: ...,
    "symbolic.responses": lambda geometry: ...,
    "symbolic.filter_gradient": lambda geometry: ...,
    "symbolic.input_gradient": lambda geometry: ...,
}
GEOMETRY_ATTRIBUTES = "responses positions taps pixels spatial_ndim stride padding dilation groups"


@pytest.mark.parametrize("name", CONTRACT)
def test_signatures_keep_their_contract(name):
    """Names, order, kinds and defaults are as promised; what was added since is keyword-only and optional."""
    module, _, attribute = f"jacobians.{name}".rpartition(".")
    promised = inspect.signature(CONTRACT[name]).parameters
    actual = inspect.signature(getattr(importlib.import_module(module), attribute)).parameters
    kept = [each.replace(annotation=each.empty) for each in actual.values() if each.name in promised]
    assert kept == list(promised.values())
    for added in actual.keys() - promised.keys():
        assert actual[added].kind is inspect.Parameter.KEYWORD_ONLY
        assert actual[added].default is not inspect.Parameter.empty


def test_verify_is_the_function_also_after_an_import_from_the_package_of_that_name():
    code = "import jacobians.verify.check, jacobians; print(callable(jacobians.verify))"
    assert in_a_fresh_interpreter(code).strip() == "True"


def test_the_version_is_the_one_in_pyproject():
    assert importlib.import_module("jacobians").__version__ == PROJECT["version"]


def test_a_geometry_is_a_hashable_value_with_normalised_options():
    from jacobians import Geometry

    geometry = Geometry((2, 7, 6), (3, 2, 3, 2), stride=2, padding=1)
    assert geometry == Geometry((2, 7, 6), (3, 2, 3, 2), stride=(2, 2), padding=((1, 1), (1, 1)))
    assert hash(geometry) == hash(Geometry((2, 7, 6), (3, 2, 3, 2), stride=(2, 2), padding=(1, 1)))
    assert [name for name in GEOMETRY_ATTRIBUTES.split() if not hasattr(geometry, name)] == []


def test_errors_are_the_built_in_errors_they_extend():
    from jacobians import errors

    assert issubclass(errors.ShapeError, ValueError)
    assert issubclass(errors.TooLargeError, MemoryError)
    assert issubclass(errors.VerificationError, AssertionError)


# ------------------------------------------------------------------------------------------- tolerances and prints


@pytest.mark.parametrize("path", SOURCES, ids=source_id)
def test_no_tolerance_is_chosen_by_hand(path):
    """Neither as an argument nor as the default inside a function that compares approximately."""
    chosen = {"rtol", "atol", "rel_tol", "abs_tol", "allclose", "isclose", "assert_allclose", "assert_almost_equal"}
    used = set()
    for node in nodes(path):
        match node:
            case ast.arg(arg=name) | ast.keyword(arg=name) | ast.Name(id=name) | ast.Attribute(attr=name):
                used.add(name)
            case _:
                pass
    assert used & chosen == set()


def test_what_tests_compare_approximately_has_a_derived_bound():
    given = {path.name for path in (ROOT / "tests").rglob("*.py") if "pytest." + "approx(" in path.read_text("utf-8")}
    assert given == {"rounding.py"}


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name != "cli.py"], ids=source_id)
def test_only_the_command_line_prints(path):
    assert [node.lineno for node in nodes(path) if isinstance(node, ast.Name) and node.id == "print"] == []


# -------------------------------------------------------------------------------------------------------- Makefile


def outside_make():
    """The environment as it is where no make runs."""
    given = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "EXTRAS", "ARGS"}
    return {name: value for name, value in os.environ.items() if name not in given}


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split()
    listed = subprocess.run(["make"], cwd=ROOT, env=outside_make(), capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^make (\w+) +\S", listed, re.MULTILINE) == targets


@pytest.mark.parametrize(
    ("target", "extras"), [("verify", "prove"), ("show", "prove"), ("test", "dev"), ("lint", "dev")]
)
def test_users_install_the_runtime_alone(target, extras, tmp_path):
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    dry = subprocess.run(
        ["make", "-n", target], cwd=tmp_path, env=outside_make(), capture_output=True, text=True, check=True
    )
    assert re.findall(r"-e '\.\[prove,(.*)\]'", dry.stdout) == [extras]


# --------------------------------------------------------------------------------------------------------- Pythons


def test_the_pythons_of_the_classifiers_are_those_that_are_tried_and_allowed():
    from tests.pythons import PYTHONS

    workflow = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    matrix = re.findall(r"[\d.]+", re.search(r"^ *python: \[(.*)\]$", workflow, re.MULTILINE)[1])
    at_once = re.findall(r"^ *(\d\.\d+)$", workflow, re.MULTILINE)
    assert len(PYTHONS) > 1
    assert matrix == sorted(at_once) == PYTHONS
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"


def test_everything_required_has_a_floor():
    extras = [each for name, each in PROJECT["optional-dependencies"].items() if name not in NOT_FOR_USERS]
    required = [*PROJECT["dependencies"], *itertools.chain(*extras)]
    assert [each for each in required if ">=" not in each] == []


def test_the_version_to_cite_is_the_one_in_pyproject():
    assert f"\nversion: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
