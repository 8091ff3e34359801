# Two commands do everything: `make search` and `make test`. Both make .venv when it is not there,
# with uv where there is uv, else with pip; constraints.txt pins the versions that were tested.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(if $(shell command -v uv),uv pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check)
ARGS ?=

.PHONY: search test test-fast lint format lock clean

search: .venv/.run  ## search on the embedded demo; options in ARGS="--data DIR …"
	$(BIN)/python tuning/search.py $(ARGS)

test: .venv/.dev  ## all tests; the networks' under both backends
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)
	KERAS_BACKEND=jax $(BIN)/python -m pytest -n 2 --dist loadfile tests/models tests/test_full_space.py $(ARGS)

test-fast: .venv/.dev  ## what takes under 30 seconds a test
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

lint: .venv/.dev  ## formatting, style, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock:  ## newest versions that fit; run the tests before you commit them
	uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate \
	  --upgrade --all-extras pyproject.toml --output-file constraints.txt

clean:
	rm -rf .venv build *.egg-info

.venv/bin/python:
	$(if $(shell command -v uv),uv venv --quiet --seed --python $(PYTHON) .venv,$(PYTHON) -m venv .venv)

.venv/.run: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -c constraints.txt -e .
	touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -c constraints.txt -e '.[dev,dashboard]'
	touch $@ .venv/.run
