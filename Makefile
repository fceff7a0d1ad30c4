# Everything that is done with a checkout. `make` alone lists it.
#
# PYTHON chooses the interpreter (3.11 or newer) for the virtual environment in .venv.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
WORKERS := --numprocesses=auto --maxprocesses=4 --dist=loadfile
MEASURED := tests/bench/hot_paths/measure.py -p benchmark -p tests.bench.hot_paths.stored_form \
	--quiet --no-header --benchmark-quiet --benchmark-disable-gc \
	--benchmark-autosave --benchmark-storage=file://tests/bench/history

.DEFAULT_GOAL := help
.PHONY: help demo test test-long bench gpu-check check format dist clean

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(INSTALLED)  ## serve a model, freeze its streams with long prompts, then thaw them
	@$(BIN)/sarathictl demo

test: $(INSTALLED)  ## run the test suite
	@$(BIN)/python -m pytest $(WORKERS)

test-long: $(INSTALLED)  ## run the tests that take minutes
	@$(BIN)/python -m pytest -m long

bench: $(INSTALLED)  ## measure the hot paths, store the run and print its ratios to the last one
	@$(BIN)/python -m pytest $(MEASURED)
	@$(BIN)/python -m tests.bench.hot_paths.ratios

gpu-check: $(INSTALLED)  ## hold the kernels to the reference on this machine's GPU, and measure it
	@$(BIN)/python -m tests.gpu.check

check: $(INSTALLED)  ## format, lint, types, import contracts, tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(MAKE) --no-print-directory test

format: $(INSTALLED)  ## rewrite the sources as the formatter wants them
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

dist: $(INSTALLED)  ## build the wheel and try it in an empty environment
	@rm -rf dist
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	@set -e; empty=$$(mktemp -d); trap 'rm -rf "$$empty"' EXIT; \
	echo "Installing $$(echo dist/*.whl) into an empty environment"; \
	$(BIN)/python -m venv "$$empty/venv"; \
	"$$empty/venv/bin/pip" install -qq dist/*.whl; \
	cd "$$empty"; \
	venv/bin/sarathid --version; \
	venv/bin/sarathictl --help >/dev/null; \
	venv/bin/sarathid serve --check --runtime-dir "$$empty/run"

clean:  ## remove what was built, cached and installed here
	@rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "$(PYTHON) is not Python 3.11 or newer; name one that is: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing into .venv (minutes the first time, mostly for torch)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --editable '.[dev]'
	@touch $@
