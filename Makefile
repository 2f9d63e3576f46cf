# make demo: the main job.  make test: what CI runs.  Both set up .venv by themselves.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test test-slow lint setup clean

demo: .venv/.installed
	$(BIN)/python train.py experiment=demo
	$(BIN)/beyondlinear results multirun/demo --means

# two processes at a time; each file stays in one, for its fixtures; the longest files first (tests/conftest.py)
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# paper-sized checks
test-slow: .venv/.installed
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

setup: .venv/.installed

# torch first and by its exact version: an open range pulls gigabytes of CUDA packages onto a machine without a GPU
.venv/.installed: pyproject.toml setup.py constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found; install Python 3.11 or give make PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .import_linter_cache build src/*.egg-info
