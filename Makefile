# Every target sets up what it needs: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: install demo test tests test-viewer test-fast lint bench faults clean

# What a user needs; torch goes first so that nothing else decides its version.
$(VENV)/.user: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Segue needs Python 3.11 or newer, this is " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable .
	touch $@

# What a developer needs besides: linters, type checker, test runner, the library that bench compares with.
$(VENV)/.developer: $(VENV)/.user
	$(PIP) --editable '.[dev]'
	touch $@

install: $(VENV)/.user

demo: install
	$(BIN)/segue demo --out runs/demo

lint: $(VENV)/.developer
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/pyright

# The tests run beside the linters and, after these, the viewer's tests; if one fails, so does this.
test: $(VENV)/.developer
	$(MAKE) --jobs=2 tests test-viewer

# Gradio leaves event loops open, for which any later test would be blamed: the viewer has a process of its own.
test-viewer: lint
	$(BIN)/pytest -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning tests/viewer

# Three processes for two cores: tests that wait for processes of their own leave a third of them idle.
tests: $(VENV)/.developer
	$(BIN)/pytest -n 3 --dist worksteal --ignore tests/viewer

test-fast: $(VENV)/.developer
	$(BIN)/pytest -n 2 --dist worksteal -m 'not slow'

bench: $(VENV)/.developer
	$(BIN)/segue bench --json benchmarks/speed_cpu.json

faults: $(VENV)/.developer
	$(BIN)/python benchmarks/faults.py

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
