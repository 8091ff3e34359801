# Two commands do everything: `make search` and `make test`. Both make .venv when it is not there,
# with uv where there is uv, else with pip; constraints.txt pins the versions that were tested.
# `make test` is what a change needs tested many times a day, `make check` all that must pass.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(if $(shell command -v uv),uv pip install --quiet --compile-bytecode --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check)
ARGS ?=
# Tests start hundreds of processes, which should not compile the same modules each.
QUICK := PYTHONDONTWRITEBYTECODE=
# Under JAX a quarter of all compiling is of what another test has compiled already.
KEPT := JAX_COMPILATION_CACHE_DIR=$(CURDIR)/.venv/jax JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0

CLUSTER ?= cluster.yaml
RAY = RAY_AUTH_MODE=token $(BIN)/ray
# Where all machines find pictures, features and runs.
STORE ?= $(error Give STORE=s3://BUCKET or gs://BUCKET, or a folder that all machines see: STORE=/shared)
SYNC = $(if $(filter s3://%,$(STORE)),aws s3 sync,$(if $(filter gs://%,$(STORE)),gcloud storage rsync --recursive))
JOB = python ~/little-data-tuner/tuning/search.py --address auto --data $(STORE)/pictures --cache $(STORE)/cache --runs $(STORE)/runs

# Not in `make test`: clusters, what breaks, what people get, read and had before, benchmarks.
BESIDE := tests/benchmarks tests/cluster tests/faults tests/release
JAX := tests/models tests/training/test_scan.py tests/training/test_mixed_precision.py tests/features/test_precision.py tests/run/test_without_tensorflow.py
# As many side by side as there are cores: more take a quarter more of their time, since four large
# processes have no room in their caches.
TESTS = $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not soak"

.PHONY: search test test-fast check soak dist docs lint format lock clean
.PHONY: cluster-up cluster-data cluster-search cluster-logs cluster-report cluster-down

search: .venv/.run  ## search on the embedded demo; options in ARGS="--data DIR …"
	$(BIN)/python tuning/search.py $(ARGS)

test: .venv/.dev  ## what tests the tuner on one machine, with TensorFlow
	$(QUICK) KERAS_BACKEND=tensorflow $(TESTS) $(BESIDE:%=--ignore=%) $(ARGS)

test-fast: .venv/.dev  ## what takes a few seconds a test
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not slow and not soak" $(ARGS)

# In one go, and one more side by side: some wait for hosts, and leave their time to others.
check: lint  ## all that must pass: lint and all tests, the networks' under JAX as well
	$(QUICK) KERAS_BACKEND=tensorflow $(TESTS) -n 3
	$(QUICK) $(KEPT) KERAS_BACKEND=jax $(TESTS) $(JAX)

soak: .venv/.dev  ## what takes hours, and further variants; for whoever changes what they cover
	$(BIN)/python -m pytest -m soak $(ARGS)
	$(KEPT) KERAS_BACKEND=jax $(BIN)/python -m pytest tests/models tests/training tests/features $(ARGS)

dist: .venv/.dev  ## a wheel and an sdist in dist/
	rm -rf build dist
	$(BIN)/python -m build --no-isolation --quiet
	$(BIN)/python -m twine check --strict dist/*

docs: .venv/.dev  ## the documentation as a site in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

lint: .venv/.dev  ## formatting, style, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

cluster-up: .venv/.cluster  ## start the machines of CLUSTER=cluster.yaml
	(umask 077; $(BIN)/ray get-auth-token --generate > /dev/null)
	chmod 600 ~/.ray/auth_token
	$(RAY) up -y $(CLUSTER)

cluster-data: .venv/.cluster  ## send DATA=DIR
	$(if $(SYNC),$(SYNC) $(DATA) $(STORE)/pictures,$(RAY) rsync-up $(CLUSTER) $(DATA)/ $(STORE)/pictures/)

cluster-search: .venv/.cluster  ## search as the job NAME=…; options in ARGS="--trials 200 …"
	$(RAY) exec $(CLUSTER) 'ray job submit --no-wait --submission-id $(NAME) -- $(JOB) --name $(NAME) $(ARGS)'

cluster-logs: .venv/.cluster  ## follow the job NAME=…
	$(RAY) exec $(CLUSTER) 'ray job logs --follow $(NAME)'

cluster-report: .venv/.cluster  ## fetch the run folder of NAME=…
	mkdir -p runs/$(NAME)
	$(if $(SYNC),$(SYNC) $(STORE)/runs/$(NAME) runs/$(NAME),$(RAY) rsync-down $(CLUSTER) $(STORE)/runs/$(NAME)/ runs/$(NAME)/)

cluster-down: .venv/.cluster  ## end all its machines
	$(RAY) down -y $(CLUSTER)

lock:  ## newest versions that fit; run the tests before you commit them
	uv pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate \
	  --upgrade --all-extras pyproject.toml --output-file constraints.txt

clean:
	rm -rf .venv build dist site *.egg-info

.venv/bin/python:
	$(if $(shell command -v uv),uv venv --quiet --seed --python $(PYTHON) .venv,$(PYTHON) -m venv .venv)

.venv/.run: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -c constraints.txt -e .
	touch $@

.venv/.cluster: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -c constraints.txt -e '.[cluster]'
	touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -c constraints.txt -e '.[dev,dashboard,cluster]'
	touch $@ .venv/.run
