from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")

from reidprep.poses.reader import PoseSet
from reidprep.shards.build import BuildOptions, build_shards
from reidtrain.checkpoints import load_checkpoint
from reidtrain.evaluation.comparison import compare, other_crops
from reidtrain.evaluation.images import query_gallery_images
from reidtrain.papers.rows import BENCHMARKS, Benchmark
from reidtrain.recipes.loading import load_recipe

OVERRIDES = (
    *("input.whole_size=[48, 24]", "input.part_size=[24, 24]", "model.attention=none", "model.fusion=concatenation"),
    "training.max_minutes=30",
)


@pytest.fixture
def checkpoint(untrained, monkeypatch):
    monkeypatch.setitem(BENCHMARKS, "market1501", Benchmark(2, 2, 3))  # as if the drawn people were all there are
    return load_checkpoint(untrained(load_recipe("attention-driven-market1501", OVERRIDES), ("2", "4")))


def test_training_that_is_not_over_is_a_difference(checkpoint, drawn_shards) -> None:
    images = query_gallery_images(drawn_shards)
    found = compare(checkpoint, images)
    assert found.place is not None
    assert found.remarks[-1] == "after 0 epochs of the 100 of the recipe, which ends after 30 minutes"
    over = compare(replace(checkpoint, epoch=100), images)
    assert over.remarks == found.remarks[:-1]


@pytest.mark.parametrize("other", [{"name": "dukemtmc"}, {"options": {"boxes": "detected"}}])
def test_equal_ids_of_another_dataset_are_other_people(checkpoint, drawn_shards, other) -> None:
    plan = checkpoint.source["plan"]
    poses = {**plan["poses"], "dataset": {**plan["poses"]["dataset"], **other}}
    elsewhere = replace(checkpoint, source={**checkpoint.source, "plan": {**plan, "poses": poses}})
    assert compare(elsewhere, query_gallery_images(drawn_shards)).place is None


def test_crops_that_were_cut_otherwise_are_told(checkpoint, drawn_shards) -> None:
    shards = query_gallery_images(drawn_shards).shards
    assert other_crops(checkpoint, shards) == ""
    plan = {**checkpoint.source["plan"], "beta": 0.125}
    trained = replace(checkpoint, source={**checkpoint.source, "plan": plan})
    assert other_crops(trained, shards) == "crops are cut otherwise than those trained on (beta 0.125 -> 0.0625)"


def test_images_that_are_not_in_the_shards_are_told(checkpoint, drawn_poses, tmp_path) -> None:
    impostors = [path for path in PoseSet(drawn_poses).column("paths").tolist() if "/0000_" in path]
    build_shards(drawn_poses, tmp_path / "fewer", BuildOptions(), exclude=impostors[2:])
    assert compare(checkpoint, query_gallery_images(tmp_path / "fewer")).remarks[-1] == (
        "2 query or gallery images left out on demand"
    )
