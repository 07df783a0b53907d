# Every target sets up what it needs: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: install demo test test-fast test-view lint bench faults clean

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
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests
	$(BIN)/pyright

test: lint
	$(BIN)/pytest -n 2 --dist worksteal

test-fast: $(VENV)/.developer
	$(BIN)/pytest -n 2 --dist worksteal -m 'not slow'

# The page of `segue view` has an environment of its own upon the developer's, as Gradio wants an older Pillow and an older
# tomlkit than everything else is tested with, and leaves event loops open. The browser is Debian's: apt-get install chromium chromium-driver.
VIEW := $(VENV)/view
$(VIEW)/.ready: $(VENV)/.developer
	test -x $(VIEW)/bin/python || $(PYTHON) -m venv $(VIEW)
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> $$($(VIEW)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/developer.pth
	grep -v -E '^(pillow|tomlkit)==' constraints.txt > $(VIEW)/constraints.txt
	$(VIEW)/bin/python -m pip --disable-pip-version-check install --quiet --constraint $(VIEW)/constraints.txt 'gradio>=6.20'
	touch $@

test-view: $(VIEW)/.ready
	$(VIEW)/bin/python -m pytest -W ignore::ResourceWarning -W ignore::pytest.PytestUnraisableExceptionWarning tests/viewer

bench: $(VENV)/.developer
	$(BIN)/segue bench encoder
	$(BIN)/segue bench head
	$(BIN)/segue bench step

faults: $(VENV)/.developer
	$(BIN)/python benchmarks/faults.py

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
