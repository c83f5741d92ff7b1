# Everything starts here: `make run` needs only Python 3.11 or later and make.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

# Keep compiled modules, even on machines that turn that off: every process then starts a second sooner.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
BIN := $(VENV)/bin
UV ?= uv

# Run each candidate: version managers leave stubs on the PATH that only print an error.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,\
  $(shell $(name) -c 'import sys, venv, ensurepip; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.run ## Migrate, add the demo organisation and serve (PORT, DATABASE_URL and TOURNEE_* override)
	@$(BIN)/tournee run

.PHONY: demo
demo: $(VENV)/.dev ## Play a technician's offline day against the server at TOURNEE_URL or PORT, or start a server for it
	@PYTHONPATH=clients/python $(BIN)/python -m examples.offline_day

.PHONY: migrate
migrate: $(VENV)/.run ## Bring the database to the newest schema
	@$(BIN)/tournee migrate

.PHONY: test
test: $(VENV)/.dev ## Run the tests, on SQLite and on a PostgreSQL of their own (ARGS="tests/work --sqlite" narrows)
	@$(BIN)/pytest --numprocesses auto --dist loadfile -m "not prove" $(ARGS)

.PHONY: prove
prove: $(VENV)/.dev ## Run what `make test` leaves out: rules on PostgreSQL too, long histories, every deliberate bug (ARGS narrows)
	@$(BIN)/pytest --numprocesses auto --dist worksteal -m prove $(ARGS)

.PHONY: check
check: $(VENV)/.dev ## Check format, lint, types, imports, and what a domain still lacks; report everything at once
	@failed=; for check in "ruff format --check" "ruff check" "mypy" "lint-imports" "python -m tests.owed"; do \
	  $(BIN)/$$check || failed=1; done; test -z "$$failed"

.PHONY: bench
bench: $(VENV)/.dev ## Run the benchmarks, and print a line for each figure (ONLY=name for some, YEARS=5 for more history)
	@$(BIN)/python -m tests.bench $(ONLY)

.PHONY: simulate
simulate: $(VENV)/.dev ## Simulate devices on a bad network (SEEDS=200 or 100-199, SEED=17 prints one, DATABASE=postgresql)
	@SEEDS="$(SEEDS)" SEED="$(SEED)" DATABASE="$(DATABASE)" $(BIN)/python -m tests.simulator

.PHONY: mutate
mutate: $(VENV)/.dev ## Break rules on purpose and print what no test noticed (FILES=server/tournee/work N=30 SEED=1)
	@FILES="$(FILES)" N="$(N)" SEED="$(SEED)" PROCESSES="$(PROCESSES)" $(BIN)/python -m tests.mutation

.PHONY: format
format: $(VENV)/.dev ## Format the code and repair what the linter can
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

.PHONY: schema
schema: $(VENV)/.run ## Print schema/schema.graphql and the settings in docs/operating.md from the code
	@$(BIN)/tournee schema
	@$(BIN)/tournee settings --write

.PHONY: lock
lock: ## Pin the dependencies again (needs uv; LOCK=--upgrade takes newer versions)
	@$(COMPILE) --group build --output-file requirements.txt
	@$(COMPILE) --extra archive --constraint requirements.txt --output-file requirements-archive.txt
	@$(COMPILE) --extra archive --group build --group dev --constraint requirements.txt --output-file requirements-dev.txt

COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile pyproject.toml --quiet --universal \
  --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate $(LOCK)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later with venv was not found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# Install the project last, without dependencies or build isolation, because the requirements pin all it needs.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(VENV)/.run: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) ..." >&2
	@$(INSTALL) --require-hashes --requirement requirements.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@$(INSTALL) --require-hashes --requirement requirements-dev.txt
	@touch $@
