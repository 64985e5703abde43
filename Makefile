# Set-up and every-day work. Needs python3.11 or newer, pip, venv, make and gcc; brings the rest.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
LOCK   := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
          --no-emit-index-url --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help install demo test chaos lint format bench docs screenshots lock clean

help: ## list what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY) ## make the environment in .venv (the others do it themselves)

# pip brings a pinned uv, which installs everything else from hashes ten times as fast.
$(READY): pyproject.toml requirements/dev.txt requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'afin needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@echo 'Installing into $(VENV) (about 6 GB, mostly torch; once) ...' >&2
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements/dev.txt
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $(READY)

demo: $(READY) ## draw samples, train, classify every account, show the verdicts
	@$(BIN)/afin demo

test: $(READY) ## run all tests (those that need a server that isn't there say so)
	$(BIN)/pytest

chaos: $(READY) ## kill workers, broker and databases during bulk runs, fifty times (up to an hour)
	$(BIN)/pytest -s -m chaos tests/chaos

lint: $(READY) ## check style, types and the arrows between rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## measure: make bench NAME=endtoend
	@test -n "$(NAME)" || { echo 'Name one: make bench NAME=endtoend' >&2; exit 2; }
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

docs: $(READY) ## build the documentation as pages, in build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file deploy/mkdocs.yml
	@echo 'Open build/docs/index.html'

screenshots: $(READY) ## take the documentation's screenshots from what make demo left
	$(BIN)/python -m tests.browser.screenshots

lock: $(READY) ## pin the newest dependencies that fit pyproject.toml
	$(LOCK) --upgrade pyproject.toml --extra otel -o requirements/runtime.txt
	$(LOCK) --upgrade pyproject.toml --group dev -o requirements/dev.txt
	$(LOCK) requirements/slim.in -c requirements/runtime.txt -o requirements/slim.txt

clean: ## remove the environment and the demo's data
	rm -rf $(VENV) demo-data
