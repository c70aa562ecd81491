# `make lab` and `make test` need nothing but a Python >= 3.11: what else they use, they set up in .venv.
.DEFAULT_GOAL := help
.PHONY: help lab test lint types book instructor samples pictures bench bench-gpu bench-explorer bench-book clean
# A half-finished set-up must not pass for a finished one.
.DELETE_ON_ERROR:

export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet
# An address rather than a file, so that the one it prints where there is no browser leads to the tour as well.
# JupyterLab refuses to start as root unless told that this is meant.
LAB_FLAGS := --LabApp.default_url=/lab/tree/notebooks/00_tour.ipynb $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)

help: ## these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab: .venv/lab-ready ## open JupyterLab on the tour
	$(BIN)/python -m jupyterlab $(LAB_FLAGS)

test: .venv/dev-ready ## everything: style, backends, laws, JavaScript, notebooks, browser
	@$(BIN)/python tools/find_browser.py
	$(BIN)/python -m ruff check .
	$(BIN)/python -m pytest

lint: .venv/dev-ready ## style alone
	$(BIN)/python -m ruff check .

types: .venv/dev-ready ## pyright
	$(BIN)/python -m pyright

book: .venv/dev-ready ## the course as a site, in build/book/html
	$(BIN)/python tools/make_book.py

instructor: .venv/dev-ready ## the notebooks with solutions and notes for the teacher, in normviz-instructor
	$(BIN)/python -m normviz instructor

samples: .venv/samples-ready ## make the sample activations again
	$(BIN)/python -m normviz.samples.make

bench: .venv/dev-ready ## what the numbers cost, beside torch, NumPy and a copy
	@$(BIN)/python -m benchmarks.cpu

bench-gpu: .venv/dev-ready ## what the numbers cost on a CUDA GPU, to benchmarks/results
	@mkdir -p benchmarks/results
	$(BIN)/python -m benchmarks.gpu benchmarks/results/gpu.json

bench-explorer: .venv/dev-ready ## what a change costs in the browser, beside a FigureWidget
	@$(BIN)/python tools/find_browser.py
	$(BIN)/python -m benchmarks.explorer

bench-book: .venv/dev-ready ## what a page of ten explorers weighs, and when it is painted
	@$(BIN)/python tools/find_browser.py
	@$(BIN)/python -m benchmarks.book

pictures: .venv/dev-ready ## make the pictures of the README again
	@$(PIP) pillow
	$(BIN)/python tools/pictures.py

clean: ## remove .venv and all that was built
	rm -rf .venv build dist .cache .hypothesis .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/python-ready: tools/make_venv.sh
	@sh tools/make_venv.sh
	@touch $@

.venv/lab-ready: pyproject.toml .venv/python-ready
	@echo "Installing normviz and JupyterLab into .venv (once, a minute or so) ..."
	@$(PIP) --editable '.[lab]'
	@touch $@

# torch first: anything installed before it could ask for torch in its own words and bring a build for GPUs.
.venv/dev-ready: pyproject.toml tools/install_torch.py .venv/python-ready
	@echo "Installing normviz and what its tests need into .venv (once, a few minutes) ..."
	@$(BIN)/python tools/install_torch.py
	@$(PIP) --editable '.[dev]'
	@touch $@

.venv/samples-ready: pyproject.toml .venv/python-ready
	@$(PIP) --editable '.[samples]'
	@touch $@
