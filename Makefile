# make demo       the main job end to end on synthetic CTs; opens nothing, says where
# make test       the tests that everyone runs (minutes on 2 cores)
# make test-slow  the longer ones too
# make fuzz       thousands of damaged files through inference (COUNT, SEED)
# make bench      this program against PyTorch (SUITE=quick, cpu, gpu, layers, race or multi)
# make test-baseline  the tests that need PyTorch and MONAI
# make check      lint, format, the order of the rooms
# make docs       the documentation as pages, in docs/_build/html
# make clean      removes what the other targets made, the environment included

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BASELINE ?= .venv-baseline
SUITE ?= quick
WORKERS ?= 2
COUNT ?= 2000
SEED ?= 0
TORCH ?= torch==2.13.0
# A file of tests stays with one worker, its fixtures are made once; in the order of tests/conftest.py.
SPREAD := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-slow fuzz bench test-baseline check format docs clean

demo: $(VENV)/.installed
	$(BIN)/python bin/demo.py --out demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow" --durations=30 --durations-min=3 $(SPREAD)

test-slow: $(VENV)/.installed-dev
	XLA_FLAGS= $(BIN)/python -m pytest $(SPREAD)

fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m tests.fuzz --nifti $(COUNT) --seed $(SEED)

# PyTorch stays out of the environment that everyone has.
bench: $(BASELINE)/.installed-baseline
	$(BASELINE)/bin/python bin/bench.py --suite $(SUITE)

test-baseline: $(BASELINE)/.installed-baseline
	$(BASELINE)/bin/python -m pytest tests/baseline

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest tests/test_layering.py

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs docs/_build/html
	@echo "open docs/_build/html/index.html"

$(BIN)/python $(BASELINE)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "vnet_jax needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)
	$@ -m pip install --quiet --upgrade pip

$(VENV)/.installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	@touch $@

$(BASELINE)/.installed-baseline: $(BASELINE)/bin/python pyproject.toml
	$(BASELINE)/bin/python -m pip install --quiet "$(TORCH)"
	$(BASELINE)/bin/python -m pip install --quiet --editable ".[baseline,dev]"
	@touch $@

clean:
	rm -rf $(VENV) $(BASELINE) demo docs/_build fuzz_faults .pytest_cache .ruff_cache build *.egg-info
