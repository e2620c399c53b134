# make demo: see it work.  make test: every check, and every test but the longest (make test-long).  Both make .venv on first use.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
RUNS := runs/demo
QUIET := --quiet --disable-pip-version-check

.PHONY: demo test test-long check fast results-check test-lowest test-newest lock clean

demo: $(VENV)/ready
	rm -rf $(RUNS)
	$(PY) train.py experiment=demo_vqvae run_dir=$(RUNS)/vqvae
	$(PY) train.py experiment=demo_prior tokenizer=$(RUNS)/vqvae run_dir=$(RUNS)/prior
	$(PY) sample.py task=reconstruct run=$(RUNS)/vqvae
	$(PY) sample.py run=$(RUNS)/prior num_samples=36 temperature=0.9 guidance=2
	$(PY) sample.py task=evaluate run=$(RUNS)/prior num_samples=600 temperature=0.9 guidance=2 \
		classifier=shapes_classifier metrics=[label_accuracy,precision_recall,density_coverage]

test: check
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -rf --durations=20 -m "not long"

# the rest, before a release: ten minutes of kills, signals, searches and services
test-long: $(VENV)/ready
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -rf -m long

check: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PY) -m tests.versions.audit

# the tests that need no more than two minutes
fast: $(VENV)/ready
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -m "not slow"

# measures the released runs again and compares with docs/results.md: a few minutes, and Fashion-MNIST
results-check: $(VENV)/ready
	$(PY) -m tests.benchmarks.results --check

# the fast tests with the lowest versions that pyproject.toml allows, and with the newest, Hydra's release candidate too.
# TESTS=PATHS takes some of them; LOWEST=torch==2.13.0 another version than the lowest, as one has it without CUDA
test-lowest: $(VENV)/lowest/ready
	OMP_NUM_THREADS=1 $(VENV)/lowest/bin/python -m pytest -n 2 --dist worksteal -m "not slow" $(TESTS)

test-newest: $(VENV)/newest/ready
	OMP_NUM_THREADS=1 $(VENV)/newest/bin/python -m pytest -n 2 --dist worksteal -m "not slow" $(TESTS)

$(VENV)/lowest/ready: pyproject.toml tests/versions/lowest.py | $(VENV)/ready
	$(PYTHON) -m venv --clear $(VENV)/lowest
	$(PY) -m tests.versions.lowest $(LOWEST) > $(VENV)/lowest/lowest.txt
	$(VENV)/lowest/bin/python -m pip install $(QUIET) -c $(VENV)/lowest/lowest.txt -e ".[test]"
	touch $@

$(VENV)/newest/ready: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)/newest
	$(VENV)/newest/bin/python -m pip install $(QUIET) -e ".[test,sweep]" "hydra-core>=1.4.0rc1"
	touch $@

# the locks from constraints.txt, with the hashes of all wheels, and of the build of torch without CUDA that pip finds
lock: $(VENV)/ready
	$(PY) -m pip install $(QUIET) uv
	$(PY) -m pip download $(QUIET) --no-deps -c constraints.txt -d $(VENV)/wheels torch
	$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		-c constraints.txt pyproject.toml | $(PY) -m tests.versions.lock $(VENV)/wheels/torch-*+cpu*.whl

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install $(QUIET) -c constraints.txt torch
	$(PY) -m pip install $(QUIET) -c constraints.txt -e ".[dev,dashboard,datasets,hub,mlflow,onnx,sweep,tensorboard,trackio]"
	touch $@

clean:
	rm -rf $(VENV) runs multirun data
