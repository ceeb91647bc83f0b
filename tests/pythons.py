"""The installed package on each Python of its classifiers, and on its declared floors: ``python -m tests.pythons``."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = [found[1] for each in PROJECT["classifiers"] if (found := re.search(r":: (\d+\.\d+)$", each))]
# The oldest releases of what is required, on the oldest Python: newer ones may have no wheels of them.
FLOORS = "floors"
FOLDER = ROOT / ".cache" / "pythons"

# What is likely to break with another Python or another release of NumPy, SciPy, SymPy or Typer, and takes seconds.
TESTS = (
    *(f"tests/test_{name}.py" for name in ("convolution", "matrices", "layers", "network", "oracle", "symbolic")),
    *(f"tests/test_{name}.py" for name in ("exact", "readout", "bad_input", "errors", "operators", "spectra")),
    "tests/test_cli.py::test_unusable_arguments_end_with_status_2_and_one_message",
    "tests/test_plots.py::test_unusable_arguments_of_plot",
    "tests/test_every_size.py::test_rotation_left_out",
)
# Old releases of others warn of what newer ones of theirs are about to drop.
ALLOWED = ("-W", "ignore::DeprecationWarning")
AUDITED = """
def relu(S, G):
    return G * (S > 0)
def identity(S, G):
    return G
"""


def interpreter(version: str) -> str | None:
    """Return a Python of this version: one on the PATH, or one of pyenv; None if there is none."""
    found = shutil.which(f"python{version}")
    if found and _prints([found, "--version"]).startswith(f"Python {version}."):  # pyenv's may only say what to do
        return found
    prefix = _prints(["pyenv", "prefix", version]) if shutil.which("pyenv") else ""
    return f"{prefix}/bin/python" if prefix else None


def _prints(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def install(python: str, where: Path, resolution: str) -> None:
    """Make an environment that has the package as others get it, and what its tests need."""
    environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}
    uv = (sys.executable, "-m", "uv")
    subprocess.run([*uv, "venv", "-q", "--clear", "--python", python, where], check=True, env=environment)
    asked = ("--resolution", resolution, "--python", where, f"{ROOT}[test]")
    subprocess.run([*uv, "pip", "install", "-q", *asked], check=True, env=environment)


def tried(where: Path, more: tuple[str, ...]) -> bool:
    """Run the tests, a verification and two audits, of which one has to fail; return whether all went well."""
    programs = where / ("Scripts" if os.name == "nt" else "bin")
    tests = [programs / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *more, *TESTS]
    code = where / "audited.py"
    code.write_text(AUDITED, "utf-8")
    command = programs / "jacobians"
    audit = (command, "audit", "--layer", "relu")
    expected = [
        (tests, ROOT, 0),
        ([command, "verify", "--only", "L4,L6,L18,L20"], where, 0),
        ([*audit, f"{code}:relu"], where, 0),
        ([*audit, f"{code}:identity"], where, 1),
    ]
    for asked, folder, status in expected:
        done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)
        if done.returncode != status:
            print(*asked)
            print(f"{done.stdout}{done.stderr}exit status {done.returncode}, not {status}")
            return False
    return True


def main() -> int:
    """Try what is here, and say what was left out."""
    parser = argparse.ArgumentParser(prog="python -m tests.pythons", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{', '.join([FLOORS, *PYTHONS])}; by default all but the one that runs this",
    )
    here = ".".join(map(str, sys.version_info[:2]))
    names = parser.parse_args().names
    if not names:
        print(f"{here}: left out, the other tests run on it", flush=True)
        names = [FLOORS, *(each for each in PYTHONS if each != here)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each waits for processes
        return int(not all([*pool.map(passes, names)]))


def passes(name: str) -> bool:
    """Try one environment, and say how it went, or that it was left out."""
    began, version = time.monotonic(), PYTHONS[0] if name == FLOORS else name
    python = interpreter(version)
    if python is None:
        print(f"{name}: left out, there is no python{version} on the PATH or of pyenv", flush=True)
        return True
    install(python, FOLDER / name, "lowest-direct" if name == FLOORS else "highest")
    ok = tried(FOLDER / name, ALLOWED if name == FLOORS else ())
    print(f"{name}: {'passed' if ok else 'FAILED'} on {python}, {time.monotonic() - began:.0f} s", flush=True)
    return ok


if __name__ == "__main__":
    sys.exit(main())
