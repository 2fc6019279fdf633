# Every target sets up what it needs; a second run starts at once. Needs Python 3.11 or later, git and make.

# The first of these that is new enough; or say which: make test PYTHON=python3.12
PYTHON ?= $(call first-new-enough,python3 python3.13 python3.12 python3.11)
# The oldest releases of our dependencies have wheels for the oldest Python only, and the other way round.
PYTHON_LOWEST ?= $(call first-new-enough,python3.11 $(PYTHON))
PYTHON_NEWEST ?= $(call first-new-enough,python3.13 python3.12 $(PYTHON))
WORKERS ?= 2
CHAINS ?= 6
PYTEST_ARGS ?=

new-enough = import sys; sys.exit(sys.version_info < (3, 11))
first-new-enough = $(shell for python in $(1); do \
	if $$python -c '$(new-enough)' >/dev/null 2>&1; then echo $$python; break; fi; done)

# uv when there is one that is new enough, else one of our own.
UV := $(shell uv pip install --help 2>/dev/null | grep -q -e --group && command -v uv || echo .make/uv/bin/uv)
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1

LOCKED := --extra demo --group test --group lint --group bench
READY := .venv/.ready
READY_LOWEST := .venv-lowest/.ready
READY_NEWEST := .venv-newest/.ready

.PHONY: help demo test coverage lint bench bench-drift lock test-lowest test-newest golden docs clean
.DELETE_ON_ERROR:

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(READY) ## replay a year of real flights and ask the questions, then two incidents
	@.venv/bin/setpoint demo
	@.venv/bin/setpoint demo lead-scoring --brief
	@.venv/bin/setpoint demo moderation --brief

test: lint ## lint, types, import directions, then all tests
	@.venv/bin/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

coverage: $(READY) ## the tests once more, with the share of lines and branches that they reach
	@.venv/bin/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

lint: $(READY) ## lint, format, types, import directions
	@echo "ruff check"; .venv/bin/ruff check .
	@echo "ruff format"; .venv/bin/ruff format --check .
	@echo "basedpyright"; .venv/bin/basedpyright
	@echo "lint-imports"; .venv/bin/lint-imports --no-logo --cache-dir .make/import-linter

bench: $(READY) ## run every benchmark and print its ratios
	@.venv/bin/python -m bench

bench-drift: $(READY) ## drift alarms beside the peers' rules; CHAINS=360 for the figures that the documents quote
	@CHAINS=$(CHAINS) .venv/bin/python -m bench drift

golden: $(READY) ## write the golden files anew; read the diff before you commit it
	@.venv/bin/python tests/golden/test_public_names.py

lock: $(UV) ## resolve the lock anew, for every Python and system, with hashes
	@echo "writing requirements.lock"
	@$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		$(LOCKED) pyproject.toml --output-file requirements.lock

test-lowest: $(READY_LOWEST) ## the tests with the oldest releases that we allow
	@.venv-lowest/bin/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

test-newest: $(READY_NEWEST) ## the tests with the newest releases there are
	@.venv-newest/bin/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

docs: $(READY) ## write the reference pages anew from the code
	@.venv/bin/python docs/generate.py

clean: ## remove environments, caches and builds
	rm -rf .venv .venv-lowest .venv-newest .make .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* \
		htmlcov build dist
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# check-python PYTHON: say what is missing rather than fail somewhere later.
check-python = @$(1) -c '$(new-enough)' 2>/dev/null || { \
	echo "Setpoint needs Python 3.11 or later; '$(1)' is older or missing." >&2; \
	echo "Install one, or say where it is: make test PYTHON=/path/to/python3" >&2; \
	exit 1; }

.make/uv/bin/uv:
	$(call check-python,$(or $(PYTHON),python3))
	@echo "setting up uv in .make/uv"
	@rm -rf .make/uv
	@$(PYTHON) -m venv .make/uv || { \
		echo "This Python cannot make environments: install its venv module (Debian: python3-venv), or uv." >&2; \
		rm -rf .make/uv; exit 1; }
	@.make/uv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'

.venv/.ready: pyproject.toml requirements.lock | $(UV)
	$(call check-python,$(or $(PYTHON),python3))
	@echo "setting up .venv from requirements.lock"
	@rm -rf .venv
	@$(UV) venv --quiet --python $(PYTHON) .venv
	@$(UV) pip sync --quiet --require-hashes --python .venv/bin/python requirements.lock
	@$(UV) pip install --quiet --no-deps --python .venv/bin/python --editable .
	@touch $@

.venv-lowest/.ready: pyproject.toml | $(UV)
	$(call check-python,$(or $(PYTHON_LOWEST),python3))
	@echo "setting up .venv-lowest with the oldest releases that pyproject.toml allows"
	@rm -rf .venv-lowest
	@$(UV) venv --quiet --python $(PYTHON_LOWEST) .venv-lowest
	@$(UV) pip install --quiet --resolution lowest-direct --python .venv-lowest/bin/python \
		--extra demo --group test --requirements pyproject.toml
	@$(UV) pip install --quiet --no-deps --python .venv-lowest/bin/python --editable .
	@touch $@

.venv-newest/.ready: pyproject.toml | $(UV)
	$(call check-python,$(or $(PYTHON_NEWEST),python3))
	@echo "setting up .venv-newest with the newest releases that pyproject.toml allows"
	@rm -rf .venv-newest
	@$(UV) venv --quiet --python $(PYTHON_NEWEST) .venv-newest
	@$(UV) pip install --quiet --upgrade --python .venv-newest/bin/python \
		--extra demo --group test --requirements pyproject.toml
	@$(UV) pip install --quiet --no-deps --python .venv-newest/bin/python --editable .
	@touch $@
