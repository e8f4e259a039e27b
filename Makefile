# Two commands from a fresh clone: `make demo`, then `make test`.
PYTHON ?= python3
VENV := .venv
# EXTRAS=dev leaves torch out: the demo then ends with the preview, and tests of the networks are skipped.
EXTRAS ?= dev,train,inspect
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COMMA := ,
# Some machines have it set: each process would then compile anew what it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint setup-mmpose clean

# The main job end to end on drawn pedestrians; with DATA=PATH, up to the preview, on a dataset of yours. What a folder holds
# already is kept and gone on with, and a dataset of yours has a folder of its own.
OUT ?= demo$(if $(DATA),-$(shell basename "$(DATA)"))
TRAINS := $(if $(DATA),,$(findstring train,$(EXTRAS)))
demo: $(STAMP)
	$(BIN)/reidprep demo "$(OUT)" $(if $(DATA),--data "$(DATA)") $(if $(LIMIT),--limit $(LIMIT)) || [ $$? = 3 ]  # images it had to leave out
ifneq ($(TRAINS),)
	$(BIN)/reidtrain fit "$(OUT)/shards" --out "$(OUT)/run" --recipe demo
	$(BIN)/reidtrain evaluate "$(OUT)/run" "$(OUT)/shards"
	$(BIN)/reidtrain rank "$(OUT)/run" "$(OUT)/shards" "$(OUT)/ranked" > /dev/null
	$(BIN)/reidtrain attention "$(OUT)/run" "$(OUT)/shards" "$(OUT)/attention"
endif
	@echo
	@echo "Made: poses, shards and pictures of them$(if $(TRAINS),$(COMMA) a small network and its scores), in $(OUT)."
	@echo "Open: $(OUT)/preview/index.html$(if $(TRAINS),$(COMMA) $(OUT)/ranked/index.html and $(OUT)/attention/index.html)."
	@echo "Next: $(if $(DATA),. $(BIN)/activate; reidtrain recipes; reidtrain fit '$(OUT)/shards' --out run --recipe NAME,make demo DATA=path/to/your/dataset LIMIT=200) (docs/getting-started.md)."

# One process more than there are cores; `make test WORKERS=0` runs everything in one.
WORKERS ?= auto
test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# pip alone cannot: MMPose needs none of the dependencies that do not build, but packages it does not name (docs/estimators.md).
setup-mmpose: $(STAMP)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[mmpose]"
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --no-deps mmengine mmcv-lite mmpose mmpretrain

# Not compiled, for pip would compile all of it: what is imported is compiled then, and that is less than half.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[$(EXTRAS)]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) demo build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
