# What there is to do, on a machine with Python 3.11, 3.12 or 3.13 (with venv), make and git:
#
#   make run    serves MMUViz on http://127.0.0.1:8050/ (HOST=… PORT=… to choose another place)
#   make test   runs every check: floors, lint, types, tests
#   make check  runs those that take under three minutes: floors, lint, types, fast laws
#
# and, for who looks after it, bench (speed, in a table), firefox (the page in another browser), pictures (of the page,
# for the README), evidence, lock and clean.
#
# PYTHON=… names the Python to use, CHROMIUM=… the browser of the tests, ARGS=… what `make tests` hands to pytest.

VENV ?= .venv
PYTHON ?=

python := $(VENV)/bin/python
pip := $(python) -m pip --disable-pip-version-check --quiet
# On every core, which pip does not do; some packages ship a file that is no Python of this version.
bytecode = $(python) -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true
sources := $(shell find mmuviz -name '*.py')

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

.PHONY: help
help:
	@sed -n 's/^#   \(make .*\)/\1/p' $(firstword $(MAKEFILE_LIST))

# --- the environment: each stamp in .venv says that its step is done, so that nothing is done twice -------------------

# Made anew where PYTHON names another Python than it was made with, or where its Python is gone.
asked_for := $(shell test -x $(python) && cat $(VENV)/.python 2>/dev/null || echo gone)
ifneq ($(asked_for),$(or $(PYTHON),$(asked_for)))
.PHONY: $(VENV)/.python
else ifeq ($(asked_for),gone)
.PHONY: $(VENV)/.python
endif

$(VENV)/.python:
	@PYTHON='$(PYTHON)' sh tools/make-venv.sh '$(VENV)'

$(VENV)/.requirements: requirements.txt pyproject.toml $(VENV)/.python
	@echo "Installing the pinned requirements (once, about a minute)"
	@$(pip) install --no-compile --require-hashes -r requirements.txt
	@$(pip) install --no-deps --no-build-isolation --editable .
	@$(bytecode)
	@touch $@

$(VENV)/.requirements-dev: requirements-dev.txt $(VENV)/.requirements
	@echo "Installing the pinned requirements of the tests (once, about a minute)"
	@$(pip) install --no-compile --require-hashes -r requirements-dev.txt
	@$(bytecode)
	@touch $@

$(VENV)/.warm: $(VENV)/.requirements $(sources)
	@echo "Compiling the simulation (once for each change of the code)"
	@$(python) -m mmuviz warm
	@touch $@

.PHONY: compiled
compiled: $(VENV)/.warm
	@:

# --- run --------------------------------------------------------------------------------------------------------------

# HOST and PORT reach the command through the environment; their defaults stand in mmuviz/cli alone.
.PHONY: run
run: $(VENV)/.warm
	@exec $(python) -m mmuviz serve

# --- test, cheapest check first ---------------------------------------------------------------------------------------

.PHONY: test check text laws floors lint types tests
test: text
	@$(MAKE) --no-print-directory tests

# The same checks of the text, and those laws that need neither a browser nor every recording.
check: text
	@$(MAKE) --no-print-directory laws

# Compiling takes longest and needs nobody: it goes on beside the checks of the text.
text: $(VENV)/.requirements
	@$(MAKE) --no-print-directory compiled & compiled=$$!; \
		$(MAKE) --no-print-directory floors lint types || { kill $$compiled; exit 1; }; wait $$compiled

laws: $(VENV)/.requirements-dev $(VENV)/.warm
	@exec $(python) -m pytest -q --numprocesses=auto tests/core tests/workloads tests/costs tests/recording \
		tests/engine/test_lookahead.py tests/engine/test_repeated_periods.py tests/engine/test_cells.py \
		tests/engine/test_bins.py tests/engine/test_pml.py tests/mmu/test_walks.py tests/mmu/test_laws.py

floors: $(VENV)/.requirements-dev
	@$(VENV)/bin/lint-imports --no-logo

lint: $(VENV)/.requirements-dev
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .

types: $(VENV)/.requirements-dev
	@$(python) -m mypy

# What measures time runs first and alone, the rest on every core.
ALONE = $$(grep -rl --include='test_*.py' 'pytest\.mark\.alone' tests)
ifeq ($(ARGS),)
tests: $(VENV)/.requirements-dev $(VENV)/.warm
	@CHROMIUM=$$(sh tools/find-browser.sh) && export CHROMIUM && $(python) -m pytest -q -m alone $(ALONE) && \
		exec $(python) -m pytest -m "not alone" --numprocesses=$$(($$($(python) -c "import os; print(os.cpu_count())") + 1)) \
		--maxprocesses=8
else
tests: $(VENV)/.requirements-dev $(VENV)/.warm
	@CHROMIUM=$$(sh tools/find-browser.sh) && export CHROMIUM && exec $(python) -m pytest $(ARGS)
endif

# In Debian's Firefox, which has to be there: apt-get install firefox-esr, or FIREFOX=/path/to/firefox.
.PHONY: firefox
firefox: $(VENV)/.requirements-dev $(VENV)/.warm
	@$(pip) install --no-compile --require-hashes -r requirements-firefox.txt
	@exec $(python) -W ignore -m pytest -q -s -W ignore::DeprecationWarning -W ignore::SyntaxWarning tests/firefox/firefox_plays.py

.PHONY: bench
bench: $(VENV)/.requirements-dev $(VENV)/.warm
	@CHROMIUM=$$(sh tools/find-browser.sh) && export CHROMIUM && exec $(python) -m bench

# --- upkeep -----------------------------------------------------------------------------------------------------------

# What the page shows as evidence; some twenty minutes.
evidence := mmuviz/data/evidence/evidence.json
.PHONY: evidence
evidence: $(VENV)/.warm
	@$(python) -m mmuviz.studies.evidence tests/recordings >$(evidence).new && mv $(evidence).new $(evidence)

# The README's, of the page as it is.
.PHONY: pictures
pictures: $(VENV)/.requirements-dev $(VENV)/.warm
	@CHROMIUM=$$(sh tools/find-browser.sh) && export CHROMIUM && exec $(python) -m bench.picture

# Existing pins stay; LOCK_FLAGS=--upgrade moves them.
.PHONY: lock
lock: $(VENV)/.python
	@PYTHON=$(python) sh tools/lock.sh

.PHONY: clean
clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
