# `make lab` and `make test` need nothing but a Python >= 3.11: what else they use, they set up in .venv.
# With PYTHON=python3.12 the environment is .venv-3.12. With LOWEST=1 it has the lowest versions that pyproject.toml allows.
.DEFAULT_GOAL := help
.PHONY: help lab test test-hosts lint coverage book site instructor samples pictures bench bench-docs bench-gpu gpu-check bench-explorer bench-book bench-audit bench-record bench-install dist clean
# An interrupted set-up is started again.
.DELETE_ON_ERROR:

VERSION_OF = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo none)
export PYTHON
export VENV := .venv$(if $(PYTHON),-$(call VERSION_OF,$(PYTHON)))$(if $(LOWEST),-lowest)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet
INSTALL_LOWEST := $(BIN)/python -m uv pip install --quiet --python $(BIN)/python --resolution lowest-direct --editable '.[dev]'
# Without a browser JupyterLab prints its address, so the tour is named by address and not as a file.
# JupyterLab starts as root only with --allow-root.
LAB_FLAGS := --LabApp.default_url=/lab/tree/notebooks/00_tour.ipynb $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)
SCHEMA := $(BIN)/check-jsonschema --builtin-schema
# tests/conftest.py says how many workers there are, and which tests share one.
PYTEST := $(BIN)/python -m pytest --numprocesses auto
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab: $(VENV)/lab-ready ## open JupyterLab on the tour
	$(BIN)/python -m jupyterlab $(LAB_FLAGS)

test: lint ## lint, then all tests: numbers, JavaScript, notebooks, browser
	@$(BIN)/python tools/find_browser.py
	$(PYTEST)

test-hosts: $(VENV)/dev-ready ## the real hosts, each in an environment of its own; TABLE=docs/hosts.json writes the book's table
	@$(BIN)/python tools/find_browser.py
	$(BIN)/python -m pytest tests/hosts --table $(or $(TABLE),build/hosts.json)

lint: $(VENV)/dev-ready ## style, format, types, directions of imports, JavaScript, schemas of YAML files
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/lint-imports --no-logo --cache-dir .cache/import-linter
	$(SCHEMA) vendor.github-workflows .github/workflows/*.yml
	$(SCHEMA) vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	$(SCHEMA) vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(SCHEMA) vendor.dependabot .github/dependabot.yml
	$(SCHEMA) vendor.citation-file-format --default-filetype yaml CITATION.cff
	$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/python tools/check_javascript.py

coverage: $(VENV)/dev-ready ## all tests, with the lines that they miss; pages in build/coverage
	@$(BIN)/python tools/find_browser.py
	$(PYTEST) --cov --cov-report=term --cov-report=html

book: $(VENV)/dev-ready ## the course as a site, in build/book/html
	$(BIN)/python tools/make_book.py

# JupyterLite has an environment of its own: JupyterLab beside it would load the extension of its kernel, too.
site: $(VENV)/dev-ready ## the book, the playground and the course with Python in the browser as one site, in build/site
	$(BIN)/python tools/make_book.py build/book --lite lite/
	rm -rf build/site && cp -R build/book/html build/site
	$(BIN)/python -m normviz playground --no-open --output build/site/playground.html
	$(BIN)/python -m venv .cache/lite
	.cache/lite/bin/python -m pip install --quiet '.[lite]'
	.cache/lite/bin/python -m normviz lite build/site/lite

instructor: $(VENV)/dev-ready ## the notebooks with solutions and notes for the teacher, in normviz-instructor
	$(BIN)/python -m normviz instructor

samples: $(VENV)/samples-ready ## make the sample activations again
	$(BIN)/python -m normviz.samples.make

bench: $(VENV)/dev-ready ## what the numbers cost, beside torch and a copy, in 10 minutes, to build/speed.json
	@$(BIN)/python -m benchmarks.cpu --out build/speed.json

bench-docs: $(VENV)/dev-ready ## measure the book's page on speed again, to docs/speed.json, in 20 minutes
	@$(BIN)/python tools/find_browser.py
	$(BIN)/python -m benchmarks.cpu --out docs/speed.json
	$(BIN)/python -m benchmarks.explorer --out docs/speed.json
	$(BIN)/python -m benchmarks.explorer.tensor --out docs/speed.json
	$(BIN)/python tools/make_book.py
	$(BIN)/python -m benchmarks.book --out docs/speed.json

bench-gpu: $(VENV)/dev-ready ## what the numbers cost on a CUDA GPU, to benchmarks/results
	@mkdir -p benchmarks/results
	$(BIN)/python -m benchmarks.gpu benchmarks/results/gpu.json

gpu-check: $(VENV)/dev-ready ## all that needs a CUDA GPU, in one run of 510 s at most; its figures in build/gpu
	$(BIN)/python -m benchmarks.gpu.check build/gpu

bench-explorer: $(VENV)/dev-ready ## what a change costs in the browser, beside a FigureWidget
	@$(BIN)/python tools/find_browser.py
	$(BIN)/python -m benchmarks.explorer
	$(BIN)/python -m benchmarks.explorer.tensor

bench-book: $(VENV)/dev-ready ## what a page of ten explorers weighs, and when it is painted
	@$(BIN)/python tools/find_browser.py
	@$(BIN)/python -m benchmarks.book

bench-audit: $(VENV)/dev-ready ## what an audit costs beside a forward, and what it says of many networks of timm
	$(BIN)/python -m benchmarks.audit --networks

bench-record: $(VENV)/dev-ready ## what a recording costs beside the training steps of a ResNet-18
	$(BIN)/python -m benchmarks.record

bench-install: $(VENV)/python-ready ## what a user waits for: pip install in a new environment, then each command
	$(BIN)/python -m benchmarks.install

dist: $(VENV)/dev-ready ## wheel and sdist in dist, checked, with their sizes
	rm -rf dist
	$(BIN)/python -m hatchling build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m check_wheel_contents dist/*.whl
	@wc -c dist/*

pictures: $(VENV)/dev-ready ## make the README's pictures and the labs' still pictures again; the latter need npx
	@$(PIP) pillow
	$(BIN)/python tools/pictures.py
	$(BIN)/python tools/lab_stills.py

clean: ## remove .venv and all that was built
	rm -rf .venv .venv-* build dist .cache .coverage .hypothesis .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/python-ready: tools/make_venv.sh
	@sh tools/make_venv.sh
	@touch $@

$(VENV)/lab-ready: pyproject.toml $(VENV)/python-ready
	@echo "Installing normviz, JupyterLab and numba into $(VENV) (once, a minute or so) ..."
	@$(PIP) --editable '.[lab]'
	@$(PIP) --editable '.[fast]' || echo "numba cannot be installed here; all works without it, large tensors more slowly."
	@touch $@

# torch comes first, because a dependency that asks for torch would bring the build for GPUs.
$(VENV)/dev-ready: pyproject.toml tools/install_torch.py $(VENV)/python-ready
	@echo "Installing normviz and what its tests need into $(VENV) (once, a few minutes) ..."
ifdef LOWEST
	@$(PIP) uv
	@$(INSTALL_LOWEST) --torch-backend=cpu || $(INSTALL_LOWEST)
else
	@$(BIN)/python tools/install_torch.py
	@$(PIP) --editable '.[dev]'
endif
	@touch $@

$(VENV)/samples-ready: pyproject.toml $(VENV)/python-ready
	@$(PIP) --editable '.[samples]'
	@touch $@
