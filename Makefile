# Everything a fresh machine needs is Python (3.11 to 3.13) and make.
#   make demo    set up, then play a camera and a file through the whole pipeline into out/demo/
#   make test    set up, then run every test
#   make check   lint, types and the one-way imports
#   make bench   the numbers in docs/performance.md
#   make bench-gpu   every engine on an NVIDIA GPU, into docs/benchmarks/gpu-*.json

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: help setup demo test check bench bench-gpu clean

help:
	@sed -n "s|^#   ||p" Makefile

setup: $(STAMP)

# The newest Python that every wheel exists for; a name on PATH may be a shim that does not run, so each one is tried.
$(STAMP): pyproject.toml
	@set -e; for python in python3.13 python3.12 "$$HOME"/.pyenv/versions/3.13*/bin/python "$$HOME"/.pyenv/versions/3.12*/bin/python python3.11 python3; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "error: no Python 3.11, 3.12 or 3.13 with venv found; install one (Debian: apt-get install python3 python3-venv)" >&2; exit 2; fi; \
	echo "setting up $(VENV) with $$("$$found" --version) (a minute or two; about 7 GB with torch)"; \
	[ -x $(BIN)/python ] || "$$found" -m venv $(VENV); \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' 2> >(grep -v "^WARNING: Location" >&2)
	@touch $@

demo: $(STAMP)
	@$(BIN)/hoistream demo --out out/demo

test: $(STAMP)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	@$(BIN)/python -m benchmarks

bench-gpu: $(STAMP)
	@$(BIN)/python -m benchmarks.gpu

clean:
	rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache
