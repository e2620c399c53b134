# make demo: see it work.  make test: every check and test.  Both make .venv on first use.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
RUNS := runs/demo

.PHONY: demo test check fast results-check clean

demo: $(VENV)/ready
	rm -rf $(RUNS)
	$(PY) train.py experiment=demo_vqvae run_dir=$(RUNS)/vqvae
	$(PY) train.py experiment=demo_prior tokenizer=$(RUNS)/vqvae run_dir=$(RUNS)/prior
	$(PY) sample.py task=reconstruct run=$(RUNS)/vqvae
	$(PY) sample.py run=$(RUNS)/prior num_samples=36 temperature=0.7

test: check
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -rf

check: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# the tests that need no more than two minutes
fast: $(VENV)/ready
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal -m "not slow"

# measures the released runs again and compares with docs/results.md: a few minutes, and Fashion-MNIST
results-check: $(VENV)/ready
	$(PY) -m tests.benchmarks.results --check

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,onnx,sweep,tensorboard,dashboard]"
	touch $@

clean:
	rm -rf $(VENV) runs multirun data
