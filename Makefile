# Referee's targets. Nothing is assumed but Python 3.11 or newer, make, and the package registries.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8765
SAMPLES := samples/apps/models
WORKERS ?= 2
PROGRAMS := bwrap:bubblewrap curl:curl nmap:nmap ab:apache2-utils
export REFEREE_HOME ?= $(CURDIR)/.referee

.PHONY: help setup run check test test-durations test-all bench docs lock down

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(BIN)/uv: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Referee needs Python 3.11 or newer. Set PYTHON=/path/to/python3.11 and run make again."; exit 1; }
	@test -x $(BIN)/python || sh scripts/create-venv $(PYTHON) $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/.installed: $(BIN)/uv requirements/development.txt pyproject.toml
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/development.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(VENV)/.installed ## Create the virtual environment and fetch what the tools need from the system
	@sh scripts/system-packages $(PROGRAMS)

run: setup ## Run the four sample apps, analyse each with all tools, and leave the server at the page that shows them
	@$(BIN)/referee tool install deep
	@$(BIN)/referee video install
	@$(BIN)/referee status >/dev/null 2>&1 || $(BIN)/referee up --detach --port $(PORT)
	@for app in $(SAMPLES)/*/app*; do \
	  case "$$app" in */app1) template=task-board ;; *) template=shop-orders ;; esac; \
	  echo; $(BIN)/referee analyze "$$app" --profile deep --allow-unavailable \
	    --template samples/templates/$$template.json || exit $$?; done
	@echo; $(BIN)/referee status | head -1; echo "Stop it with: REFEREE_HOME=$(REFEREE_HOME) $(BIN)/referee down"

down: ## Stop the server that make run left running
	@$(BIN)/referee down

check: setup ## Format, lint, types and the direction of imports
	@$(BIN)/ruff format --check --quiet . || { echo "Run $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@PYTHONPATH=src $(BIN)/lint-imports --no-logo >/dev/null || { PYTHONPATH=src $(BIN)/lint-imports --no-logo; exit 1; }

test: setup ## Run the default tests: real database, real tools, real browser
	@sh scripts/system-packages $(PROGRAMS) chromium:chromium chromedriver:chromium-driver
	@$(BIN)/referee tool install all
	@$(BIN)/referee video install
	@sh scripts/run-tests $(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not slow" --durations=40 --durations-min=5

test-durations: setup ## Run the default tests and say where their time went
	@sh scripts/run-tests $(BIN)/pytest -q -n $(WORKERS) --dist worksteal -m "not slow" --durations=0 | $(BIN)/python scripts/slowest-tests

test-all: setup ## Run every test, the slow ones too
	@sh scripts/system-packages $(PROGRAMS) chromium:chromium chromedriver:chromium-driver
	@$(BIN)/referee tool install all
	@$(BIN)/referee video install
	@sh scripts/run-tests $(BIN)/pytest -n $(WORKERS) --dist worksteal

bench: setup ## Measure speed and size; results are printed and kept in bench/results
	@$(BIN)/referee tool install
	@$(BIN)/referee video install
	@$(BIN)/python -m bench

docs: setup ## Write the generated reference pages
	@$(BIN)/python scripts/generate_reference.py

lock: setup ## Pin every dependency again, with hashes
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade requirements/bootstrap.in -o requirements/bootstrap.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade requirements/build.in -o requirements/build.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade pyproject.toml -o requirements/referee.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade --extra grpc --extra parquet --group development -c requirements/referee.txt pyproject.toml -o requirements/development.txt
