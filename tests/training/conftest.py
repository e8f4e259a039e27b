"""Small networks on the drawn people; `tiny` recipes train in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

TINY = {
    "input": {"whole_size": [48, 24], "part_size": [16, 24], "image_size": [48, 24]},
    "validation": {"every": 1},
}
SOFTMAX = {"name": "softmax", "epochs": 2, "batch": {"size": 4}, "optimizer": {"lr": 0.001}}
RANKING = {
    "name": "ranking",
    "epochs": 1,
    "batch": {"identities": 2, "images": 2},
    "optimizer": {"lr": 0.001},
    "loss": {"ranking": "quadruplet-hard"},
}


@pytest.fixture
def tiny():
    """A recipe from some of its values: two stages of the attention-driven network unless said otherwise."""
    pytest.importorskip("torch")
    from reidtrain.recipes import Recipe, recipe_from_dict

    def build(**values: object) -> Recipe:
        return recipe_from_dict({"network": "attention-driven", "stages": [SOFTMAX, RANKING], **TINY, **values})

    return build


@pytest.fixture
def run(drawn_shards: Path, tmp_path: Path):
    """Train on the drawn people, decoding in this process."""
    pytest.importorskip("torch")
    from reidtrain.training import Machine, RunResult, fit

    def train(recipe: object, out: str = "run", **options: object) -> RunResult:
        options.setdefault("machine", Machine(accelerator="cpu", workers=0))
        return fit(options.pop("shards", drawn_shards), tmp_path / out, recipe, **options)

    return train
