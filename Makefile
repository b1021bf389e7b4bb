# Every target sets up what it needs in .venv, from PyPI; a second run finds it done.
# `make help` lists the targets.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install -qq --disable-pip-version-check
RUN    := $(VENV)/.installed-run
DEV    := $(VENV)/.installed-dev
PYTEST_ARGS ?= -q -n 2

.DEFAULT_GOAL := help
.PHONY: help demo test check bench coverage clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  make %-8s %s\n", $$1, $$2 }'

demo: $(RUN)  ## build an example for an emulated board, prove it, run it, show where to look
	$(BIN)/qdeploy build examples/pendulum/pendulum.onnx --inputs examples/pendulum/box.json -o build-demo
	$(BIN)/qdeploy verify build-demo/certificate.json --model examples/pendulum/pendulum.onnx --sources build-demo/library

test: $(DEV)  ## run every test (installs compilers and emulators where it may)
	@sh .ci/tools install
	@status=0; $(BIN)/python -m pytest $(PYTEST_ARGS) || status=$$?; \
	  sh .ci/tools report || status=1; exit $$status

check: $(DEV)  ## format, lint, types and layer contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEV)  ## measure speed, size and tightness
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

coverage: $(DEV)  ## whether the soundness tests take every accepting path of the checker (minutes)
	$(BIN)/python -m coverage run -m pytest -q tests/soundness \
	  $(addprefix --ignore=tests/soundness/test_,jobs.py importer_hostile.py wrong_runtimes.py)
	$(BIN)/python -m coverage report

clean:  ## remove what was built and installed here
	rm -rf $(VENV) build build-* dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "qdeploy needs Python 3.11 or newer; say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "python3-venv is missing: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(RUN): pyproject.toml | $(VENV)/bin/python
	@echo "installing qdeploy and the emulated board into $(VENV)"
	@$(PIP) -e '.[run]'
	@touch $@

$(DEV): pyproject.toml | $(VENV)/bin/python
	@echo "installing qdeploy and its development tools into $(VENV)"
	@$(PIP) -e '.[run,dev]'
	@touch $@ $(RUN)
