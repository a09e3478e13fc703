# Everything a developer or a newcomer runs. Needs make and Python 3.11 or newer, nothing else set up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What we are compared with, apart from what we need.
PEERS := .venv-peers

.DEFAULT_GOAL := help
.PHONY: demo demo-instructions docs test test-all check chaos peers parity bench constraints pages screenshots check-image wheel clean help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /	/' | while IFS='	' read -r target text; do printf '  make %-17s %s\n' "$$target" "$$text"; done

demo: $(VENV)/.installed ## curate this Python environment's own documentation
	@$(BIN)/python -m pipelines.demo

demo-instructions: $(VENV)/.installed ## choose pairs of question and answer, and export them
	@$(BIN)/python -m pipelines.demo_instructions

# Threads that spin while they wait take the cores from the other of two test processes.
PYTEST := OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed ## every feature once: while you work (six minutes)
	@$(PYTEST)

test-all: $(VENV)/.installed ## all tests but the slow ones (half an hour)
	@$(PYTEST) -m 'not slow'

check: $(VENV)/.installed ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

chaos: $(VENV)/.installed ## every failpoint with every kind of kill (an hour)
	@$(BIN)/python -m pytest -q -m slow --timeout 3600 tests

peers: $(PEERS)/.installed ## install what we are compared with, apart from the rest

parity: $(VENV)/.installed $(PEERS)/.installed ## ask datatrove again, and compare everything
	@$(PEERS)/bin/python tests/parity/make_datatrove_vectors.py --words build/parity/words.parquet $(if $(wildcard ../shared/data),--data ../shared/data)
	@$(BIN)/python -m pytest -q tests/parity

bench: $(VENV)/.installed $(PEERS)/.installed ## every benchmark, each against its peer
	@for file in $(filter-out %_peers.py,$(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

docs: $(VENV)/.docs ## build the documentation site: build/docs/index.html
	@$(BIN)/python docs/generate.py
	@$(BIN)/python -m sphinx -W --keep-going -n -q -E -b html docs build/docs
	@echo "build/docs/index.html"

constraints: $(VENV)/.docs ## pin what is installed here: docker/constraints.txt
	@$(BIN)/python docker/constraints.py

pages: ## build the scripts and styles of report and page (npm)
	@cd pipelines/pages && npm ci --silent --no-audit --no-fund && npm run --silent build

screenshots: demo ## pictures of report and page, from the demo (Chromium)
	@$(BIN)/python docs/screenshots.py demo/workspace

check-image: ## run what the image installs, without Docker (minutes)
	@docker/check-install.sh

wheel: $(VENV)/.installed ## build dist/*.whl, and run the demo from it (2 GB)
	@rm -rf build dist
	@$(BIN)/python -m pip wheel -qq --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir dist .
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder/environment" && \
	  "$$folder/environment/bin/python" -m pip install -qq --disable-pip-version-check -c docker/constraints.txt dist/*.whl && \
	  cd "$$folder" && unset PYTHONPATH && environment/bin/curate --help > /dev/null && environment/bin/python -m pipelines.demo

clean: ## remove what runs and tools left, but not .venv
	rm -rf demo demo-instructions build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -type d -prune -exec rm -rf {} +

# The stamp is written last, so an install that was interrupted starts again.
$(VENV)/.installed: pyproject.toml docker/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; choose one with: make PYTHON=/path/to/python3" >&2; exit 2; }
	@echo "Installing into $(VENV) (2 GB; two to five minutes, once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c docker/constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c docker/constraints.txt -e '.[docs]'
	@touch $@

$(PEERS)/.installed:
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/pip install -qq --disable-pip-version-check datatrove==0.10.1 spacy==3.8.18 nltk==3.10.4 pyarrow==26.0.1 tokenizers==0.23.3 xxhash==3.8.2 datasketch==2.0.0 rensa==0.5.0 apricot-select==0.6.1 scikit-learn==1.9.0
	@touch $@
