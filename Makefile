# Two commands from a fresh clone: `make demo`, then `make test`.
PYTHON ?= python3
VENV := .venv
# EXTRAS=dev leaves torch out: the demo then ends with the preview, and tests of the networks are skipped.
EXTRAS ?= dev,train,inspect
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint setup-mmpose clean

# The main job end to end on drawn pedestrians; with DATA=PATH, up to the preview, on a dataset of yours.
demo: $(STAMP)
	rm -rf demo
	$(BIN)/reidprep demo demo $(if $(DATA),--data "$(DATA)") $(if $(LIMIT),--limit $(LIMIT))
ifeq ($(DATA),)
ifneq ($(findstring train,$(EXTRAS)),)
	$(BIN)/reidtrain fit demo/shards --out demo/run --recipe demo
	$(BIN)/reidtrain evaluate demo/run demo/shards
	$(BIN)/reidtrain rank demo/run demo/shards demo/ranked --worst
	$(BIN)/reidtrain attention demo/run demo/shards demo/attention
endif
endif

# As many processes as there are cores; `make test WORKERS=0` runs everything in one.
WORKERS ?= auto
test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# pip alone cannot: MMPose needs none of the dependencies that do not build, but packages it does not name (docs/estimators.md).
setup-mmpose: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[mmpose]"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps mmengine mmcv-lite mmpose mmpretrain

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) demo build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
