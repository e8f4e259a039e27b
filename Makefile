# Two commands from a fresh clone: `make demo`, then `make test`.
PYTHON ?= python3
VENV := .venv
# dev,train adds torch, which the tests of the networks need (they are skipped without).
EXTRAS ?= dev
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint clean

# The main job end to end, on drawn pedestrians or, with DATA=PATH, on a dataset of yours.
demo: $(STAMP)
	rm -rf demo
	$(BIN)/reidprep demo demo $(if $(DATA),--data "$(DATA)") $(if $(LIMIT),--limit $(LIMIT))

test: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) demo build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
