"""Hypothesis profiles; HYPOTHESIS_PROFILE=ci or =thorough searches longer. What makes thousands of small tests fast."""

import gc
import importlib.metadata
import os

import pytest

# Read when NumPy and PyTorch are loaded. On layers as small as these, threads only wait for each other.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
# JAX compiles for every shape, of which each is called a few times.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


def version_of(package):
    """Return the release of a package that need not be installed, as major.minor."""
    try:
        return ".".join(importlib.metadata.version(package).split(".")[:2])
    except importlib.metadata.PackageNotFoundError:
        return None


# Compiling takes a third without these; a release that did not know them would end the process, so only where tried.
if version_of("jaxlib") == "0.10":
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1")

from jacobians.audit import curriculum  # noqa: E402
from jacobians.audit.formulas import ByFormula  # noqa: E402
from jacobians.testing import register_profiles  # noqa: E402

register_profiles()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Keep the garbage collector away from what is loaded here, which stays to the end."""
    gc.disable()
    found = yield
    gc.collect()
    gc.freeze()
    gc.enable()
    return found


@pytest.fixture
def unread(monkeypatch):
    """Let audits read no formulas, which takes most of their time, where the fact is that wrong code is found."""
    monkeypatch.setattr(ByFormula, "explain", lambda *_: None)


@pytest.fixture
def fewer(monkeypatch):
    """Let audits of convolutions try every fourth layer, where the fact is of one layer, or of what is said of it."""
    every = curriculum.curriculum
    monkeypatch.setattr(curriculum, "curriculum", lambda options: every(options)[::4])
