# Everything a fresh machine needs is Python (3.11 to 3.13) and make.
#   make demo        set up (about 0.9 GB, no torch), then play a camera and a file through the whole pipeline into out/demo/
#   make test        set up for development (about 7 GB with torch), then run every test; prints the slowest ten
#   make test-fast   the tests for the inner loop: under a minute
#   make slow-tests   run everything, and write which tests make test-fast leaves out
#   make soak        random faults for an hour (MINUTES=, SEED=), then foreign bytes for a quarter (FUZZ_MINUTES=); a failure
#                    prints the seed that brings it again
#   make mutants     change the code in small ways and see whether a test notices (ONLY=, SAMPLE=, SEED=, SURVIVORS=1)
#   make check       lint, types, the contract of every folder, the documentation's links
#   make docs        the documentation as a site, in site/
#   make bench       the numbers in docs/performance.md
#   make lock        write constraints.txt, the versions tested together
#   make bench-gpu   everything about an NVIDIA GPU, with a verdict, into docs/benchmarks/gpu-*.json

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test test-fast slow-tests soak mutants check docs bench bench-gpu lock clean

help:
	@sed -n "s|^#   ||p" Makefile

setup: $(VENV)/.dev

# The newest Python that every wheel exists for; a name on PATH may be a shim that does not run, so each one is tried.
$(BIN)/python:
	@set -e; for python in python3.13 python3.12 "$$HOME"/.pyenv/versions/3.13*/bin/python "$$HOME"/.pyenv/versions/3.12*/bin/python python3.11 python3; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "error: no Python 3.11, 3.12 or 3.13 with venv found; install one (Debian: apt-get install python3 python3-venv)" >&2; exit 2; fi; \
	echo "making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv $(VENV)

# What runs cameras and recordings, and the demonstration's server and camera; torch only in what `dev` adds.
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "installing hoistream[run,demo] (about 0.9 GB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[run,demo]' 2> >(grep -v "^WARNING: Location" >&2)
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "installing hoistream[dev] (a minute or two; about 7 GB with torch)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' 2> >(grep -v "^WARNING: Location" >&2)
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	@$(BIN)/hoistream demo --out out/demo

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --max-worker-restart 0 --durations 10

test-fast: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --max-worker-restart 0 --fast

# Which tests those are, measured anew: run it on an idle machine.
slow-tests: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --max-worker-restart 0 --list-slow

soak: $(VENV)/.dev
	@$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED))
	@$(BIN)/python -m tests.fuzz.long --minutes $(or $(FUZZ_MINUTES),15) $(if $(SEED),--seed $(SEED))

mutants: $(VENV)/.dev
	@nice -n 10 $(BIN)/python -m tests.mutants.run $(if $(ONLY),--only $(ONLY)) $(if $(SAMPLE),--sample $(SAMPLE)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(SURVIVORS),--survivors)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/check_tree.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir .site-check
	rm -rf .site-check

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks

bench-gpu: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.gpu

# The versions this tree was tested with, beside the ranges of pyproject.toml: pip install -c constraints.txt …
lock: $(VENV)/.dev
	@{ echo "# Tested together with Python $$($(BIN)/python -c 'import platform; print(platform.python_version())'); made by: make lock"; \
	   $(BIN)/python -m pip freeze --exclude-editable | grep -v "^hoistream\b" | sed 's/ @ .*//'; } > constraints.txt

clean:
	rm -rf $(VENV) out site .site-check .mypy_cache .ruff_cache .pytest_cache
