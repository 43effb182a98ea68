# Everything lives in .venv; nothing outside this directory is touched. `make setup` runs by itself when needed.
PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A process that crashes ends the tests: in its place pytest-xdist 3.8 would start one that waits for ever.
SIDE_BY_SIDE := -n $(WORKERS) --max-worker-restart 0

# Tests share one compile cache; the demo and the benchmarks show what a user gets, so they do not use it.
test test-integration test-slow test-faults: export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
# Tests run side by side, and threads of OpenMP that share a core wait for each other actively.
test test-integration test-slow test-faults: export OMP_NUM_THREADS ?= 1
# Fast tests compile for longer than they run: less optimisation takes a third off the one and adds little to the other.
test test-integration test-faults: export XLA_FLAGS ?= --xla_backend_optimization_level=1

.PHONY: help setup demo docs notebooks dist test test-integration test-slow test-faults bench lint format clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## create .venv and install wavefoundry with its developer tools

$(STAMP): pyproject.toml constraints.txt
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "wavefoundry needs Python 3.11 or newer, but '$(PYTHON)' was not found." >&2; \
	  echo "Name one with: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "wavefoundry needs Python 3.11 or newer, but '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1)." >&2; \
	  echo "Name another with: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 \
	  || "$(PYTHON)" -m venv --clear $(VENV) || { \
	  echo "Could not create $(VENV); on Debian and Ubuntu install the package python3-venv first." >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $(STAMP)

demo: setup  ## map the phase diagram of the transverse-field Ising chain into demo/
	$(BIN)/wavefoundry demo diagram --out demo --overwrite

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/.docs  ## build the documentation site into build/site
	$(BIN)/mkdocs build --quiet

notebooks: setup  ## run the notebooks of the guides and keep what they show
	$(BIN)/jupyter-execute --inplace --NotebookClient.record_timing=False docs/notebooks/*.ipynb

dist: $(VENV)/.dist  ## build wheel and source distribution into dist/
	rm -rf dist build/lib
	$(BIN)/python -m build --outdir dist

$(VENV)/.dist: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build -c constraints.txt
	@touch $@

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]' -c constraints.txt
	@touch $@

test: setup  ## run the fast tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --dist loadscope

test-integration: setup  ## run the tests that train networks or run whole studies
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --dist loadscope -m "integration and not slow and not faults"

test-slow: setup  ## run the tests that take minutes
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m slow

test-faults: setup  ## kill, stop and damage whole runs of every kind (about 10 minutes)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "faults or not faults" tests/faults

bench: setup  ## run every benchmark in its short form
	@set -e; for script in benchmarks/[!_]*.py; do \
	  test -e "$$script" || continue; \
	  echo "== $$script"; $(BIN)/python "$$script" --quick; \
	done

lint: setup  ## style, format, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: setup  ## rewrite the sources in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove caches and build products; .venv, runs/ and demo/ stay
	rm -rf build dist *.egg-info .cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
