# `make demo` and `make test` need Python 3.11 or later, pip and make, and prepare .venv by themselves.
# Another Python: make demo PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/pytest --numprocesses auto --maxprocesses 4

.PHONY: help demo test quick torture docs release weights-hashes clean

help:
	@echo "make demo    train, score, sample and classify on built-in data (under six minutes on two cores)"
	@echo "make test    lint, types and tests"
	@echo "make quick   the same without tests that start processes or train through a command"
	@echo "make torture kill, damage and race on purpose, at full size (more than an hour on two cores)"
	@echo "make docs    the documentation as a site: open build/site/index.html"
	@echo "make release the files of a release in dist/, tried in an empty environment"
	@echo "make weights-hashes   after weights were replaced: their hashes, which downloads are checked by"
	@echo "make clean   remove the demo, caches and .venv; other runs and data stay"

# The five commands, on made-up characters. A second `make demo` goes on from where the first one stopped.
demo: export VMA_RUNS = demo
demo: export VMA_DATA = data
demo: .venv/.installed
	$(BIN)/vma info
	$(BIN)/vma train $(if $(wildcard demo/glyphs/config.toml),--resume glyphs,--dataset glyphs --name glyphs)
	$(BIN)/vma score glyphs --classes 8 --shots 4 --samples 100 --episodes 4
	$(BIN)/vma sample glyphs --memory-from test --classes 8 --out demo/samples.png
	$(BIN)/vma classify glyphs --way 5 --way 20 --shot 1 --shot 5 --episodes 50

test: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST)

quick: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PYTEST) -m "not slow"

torture: .venv/.installed-dev
	$(BIN)/python -m tests.torture

docs: .venv/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# What an earlier build listed in *.egg-info would be packed again.
release: .venv/.installed-dev
	rm -rf dist *.egg-info
	$(BIN)/python -m build
	$(BIN)/python -m tools.weights pack dist/weights
	VMA_DIST=$(CURDIR)/dist $(BIN)/pytest --durations 5 tests/test_release.py
	@ls -l dist dist/weights

weights-hashes: .venv/.installed-dev
	$(BIN)/python -m tools.weights hashes

clean:
	rm -rf .venv demo build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find vmacore vmacli tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed once, and again only when pyproject.toml has changed: the stamps are newer than it until then.
.venv/.installed: pyproject.toml
	$(call install,)

.venv/.installed-dev: pyproject.toml
	$(call install,[dev])
	@touch .venv/.installed

.venv/.installed-docs: pyproject.toml
	$(call install,[docs])
	@touch .venv/.installed

define install
@$(BIN)/python -m pip --version >/dev/null 2>&1 || \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "vma needs Python 3.11 or later, which '$(PYTHON)' is not; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; \
	exit 1; }
@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf .venv; $(PYTHON) -m venv .venv >/dev/null 2>&1; } || { \
	rm -rf .venv; \
	echo "'$(PYTHON) -m venv .venv' failed; its venv module may be missing (Debian, Ubuntu: apt install python3-venv)"; \
	exit 1; }
@echo "Installing into .venv; the first time this takes a minute or two ..."
@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.$(1)'
@touch $@
endef
