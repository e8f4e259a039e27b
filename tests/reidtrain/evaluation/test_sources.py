import numpy as np
import pytest

pytest.importorskip("torch")

from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import load_checkpoint
from reidtrain.evaluation.sources import split_features
from reidtrain.features.extractor import Computing, compute_features


def test_features_by_a_model_are_those_it_computes(make_checkpoint, drawn_shards) -> None:
    run = make_checkpoint("attention-driven", {"branches": ["whole", "head"], "attention": "none"}).path
    calls: list[tuple[int, int]] = []
    found = split_features(run, drawn_shards, Computing("cpu", 0, 3), lambda *call: calls.append(call))
    checkpoint = load_checkpoint(run)
    total = 0
    for split, features in zip(("query", "gallery"), found, strict=True):
        shards = ShardSet.open(drawn_shards, split)
        expected = compute_features(checkpoint.model(), checkpoint.preprocessor(), shards, workers=0).arrays[
            "embedding"
        ]
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
        total += len(shards)
    assert calls[-1] == (total, total) and calls == sorted(calls)
