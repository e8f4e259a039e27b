"""Every shipped recipe's learning rates, optimisers and losses, at a reduced size: slow, so run only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from reidprep.datasets.registry import open_dataset
from reidprep.estimators.base import PoseEstimator
from reidprep.poses.extract import extract_poses
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.reader import ShardSet
from reidprep.synth.dataset import generate
from reidtrain.recipes.loading import load_recipe, recipe_names
from reidtrain.recipes.schema import BatchShape, Execution, Input, Recipe, Stage, Validation
from reidtrain.training.module import StageModule

STEPS = 200
BATCH = 8
SIZES = Input(whole_size=(32, 16), part_size=(16, 16), image_size=(32, 16))
RECIPES = {load_recipe(name): name for name in recipe_names()}
"""Some datasets share one."""


@pytest.fixture(scope="module")
def many_shards(estimator: PoseEstimator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of twelve drawn people to train on, twelve images each."""
    path = tmp_path_factory.mktemp("many")
    generate(path / "drawn", identities=24, cameras=3, images_per_camera=4)
    extract_poses(open_dataset(path / "drawn"), path / "poses", estimator)
    options = BuildOptions(whole_size=(96, 48), part_size=(32, 48), image_size=(96, 48))
    build_shards(path / "poses", path / "shards", options)
    return path / "shards"


def reduced(recipe: Recipe, images: int) -> Recipe:
    """The recipe for small images, small batches and `STEPS` steps over all stages; of a schedule all is kept."""

    def stage(full: Stage) -> Stage:
        batch = BatchShape(size=BATCH) if full.batch.size else BatchShape(identities=BATCH // 2, images=2)
        epochs = -(-STEPS // len(recipe.stages) // (images // BATCH))
        warmup = full.schedule.warmup * epochs / full.epochs
        return replace(full, batch=batch, epochs=epochs, schedule=replace(full.schedule, warmup=warmup))

    small = getattr(recipe.model, "small_images", False)
    return replace(
        recipe,
        stages=tuple(map(stage, recipe.stages)),
        # Networks for small images do not reduce them at first, and cost four times as much.
        input=replace(SIZES, divisor=recipe.input.divisor, image_size=(16, 16) if small else SIZES.image_size),
        identities=None,
        validation=Validation(every=0),
        execution=Execution(),
    )


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=RECIPES.values())
def test_200_steps_are_finite_and_the_loss_falls(
    recipe: Recipe, run: Callable[..., object], many_shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[list[float]] = [[] for _ in recipe.stages]
    step = StageModule.training_step

    def recording(self: StageModule, batch: object, batch_idx: int) -> object:
        loss = step(self, batch, batch_idx)
        losses[self.index].append(loss.item())
        return loss

    monkeypatch.setattr(StageModule, "training_step", recording)
    run(reduced(recipe, len(ShardSet.open(many_shards, "train"))), shards=many_shards)
    for values in losses:
        tenth = len(values) // 10
        print([round(float(np.mean(values[first : first + tenth])), 3) for first in range(0, len(values), tenth)])
        assert len(values) >= STEPS // len(recipe.stages) and np.isfinite(values).all()
        assert max(values) < 3 * values[0], "the loss runs away"
        assert np.mean(values[-tenth:]) < np.mean(values[:tenth])
