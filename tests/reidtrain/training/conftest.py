"""Training on the drawn people."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def run(drawn_shards: Path, tmp_path: Path):
    """Train on the drawn people, decoding in this process."""
    pytest.importorskip("torch")
    from reidtrain.training.fit import Machine, RunResult, fit

    def train(recipe: object, out: str = "run", **options: object) -> RunResult:
        options.setdefault("machine", Machine(device="cpu", workers=0))
        return fit(options.pop("shards", drawn_shards), tmp_path / out, recipe, **options)

    return train
