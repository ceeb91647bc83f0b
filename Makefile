# Every target sets up .venv first, once. `make help` lists the targets.
PYTHON ?= python3
EXTRAS ?= dev
HYPOTHESIS_PROFILE ?= fast
export HYPOTHESIS_PROFILE

BIN := .venv/bin
# Three processes for two cores, since many tests wait for a browser or another process.
# Hundreds of processes are started by the tests: none compiles a package anew, even where the environment says so.
BYTECODE := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=
# What a user needs, and what a developer needs: two sets of packages in one environment.
RUNTIME := .venv/.installed-prove
READY := .venv/.installed-$(EXTRAS)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help verify show test lint types docs bench sweep zoo pythons mutants check

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

verify: $(RUNTIME)  ## check every equation, and print what each verdict rests on
	@$(BIN)/jacobians verify

show: $(RUNTIME)  ## print the matrices of the 6×6 image and 3×3 filter with symbols
	@$(BIN)/jacobians show

test: $(READY)  ## run the tests and the documentation's code (HYPOTHESIS_PROFILE=thorough searches longer, ARGS=--cov measures coverage)
	@$(BYTECODE) $(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

lint: $(READY)  ## check style, formatting and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo

types: $(READY)  ## check the types, strictly
	@$(BIN)/mypy

# not --quiet: it would also keep --strict from seeing the warnings
docs: $(READY)  ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: .venv/.installed-dev,bench,test-torch  ## measure what building and multiplying costs beside other libraries, for the docs (ARGS=--quick)
	@$(BIN)/python -m pytest -q -k same_matrix tests/test_benchmarks.py
	@$(BIN)/python -m tests.benchmarks $(ARGS)

sweep: $(READY)  ## audit right implementations with 100 seeds, hours (EXTRAS=dev,test-torch,jax takes PyTorch and JAX with it)
	@$(BIN)/python -m tests.false_alarms $(ARGS)

zoo: $(READY)  ## audit wrong programs put together at random, and count what is found, read and predicted (ARGS="--seeds 100 --show")
	@$(BIN)/python -m tests.zoo $(ARGS)

pythons: $(READY)  ## try each Python that is here, and the oldest releases that are allowed (ARGS="3.13 floors" tries these)
	@$(BIN)/python -m tests.pythons $(ARGS)

mutants: .venv/.installed-dev,mutants  ## try small wrong versions of the modules that decide, and count those that no test notices (ARGS="--sample 30 --seed 1")
	@$(BIN)/python -m tests.mutation $(ARGS)

check: lint types test docs verify  ## all that CI runs, in this order

# The stamp is written last, so an interrupted installation is taken up again; an environment without a working pip is made anew.
# Every set of extras holds the runtime's, so that nothing is installed twice.
.venv/.installed-%: pyproject.toml
	@command -v '$(PYTHON)' >/dev/null || \
	  { echo "make: '$(PYTHON)' is not on the PATH; name a Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: jacobians needs Python 3.11 or newer, but '$(PYTHON)' is $$('$(PYTHON)' --version 2>&1);" \
	         "name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "setting up .venv with the packages of '$*' (once) …"
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || '$(PYTHON)' -m venv --clear .venv
	@rm -f $(RUNTIME)
	@$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[prove,$*]' >.venv/install.log 2>&1 || \
	  { cat .venv/install.log >&2; echo "make: the installation failed; the reason is above" >&2; exit 1; }
	@! grep 'does not provide the extra' .venv/install.log >&2 || { echo "make: EXTRAS names an unknown extra" >&2; exit 1; }
	@touch $(RUNTIME) $@
