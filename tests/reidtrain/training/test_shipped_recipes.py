"""Every shipped recipe's batches, learning rates and losses on small images: slow, so run only when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F

from reidprep.datasets.registry import open_dataset
from reidprep.estimators.base import PoseEstimator
from reidprep.poses.extract import extract_poses
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.synth.dataset import generate
from reidtrain.checkpoints import make_preprocessor
from reidtrain.data.dataset import Batch, collate
from reidtrain.data.samplers import IdentityBatchSampler, ShuffledBatchSampler
from reidtrain.losses import forward_options, loss_terms
from reidtrain.models.factory import Model, build_model, run
from reidtrain.recipes.loading import load_recipe
from reidtrain.recipes.names import recipe_names
from reidtrain.recipes.schema import BatchShape, Execution, Input, Recipe, Stage, Validation
from reidtrain.training.module import StageModule, lr_factor
from reidtrain.training.tasks import Task, identities_task

STEPS = 200
LARGEST_BATCH = 32
"""Larger ones are cut to it, and their learning rates in proportion (Goyal et al. 2017, section 2.1)."""
EPOCH = 12_936
"""Training images of Market-1501."""
SIZES = Input(whole_size=(32, 16), part_size=(16, 16), image_size=(16, 16))
RECIPES = {load_recipe(name): name for name in recipe_names()}
"""Some datasets share one."""


@pytest.fixture(scope="module")
def many_shards(estimator: PoseEstimator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of twenty drawn people to train on, twelve images each."""
    path = tmp_path_factory.mktemp("many")
    generate(path / "drawn", identities=40, cameras=3, images_per_camera=4)
    extract_poses(open_dataset(path / "drawn"), path / "poses", estimator)
    options = BuildOptions(whole_size=(64, 32), part_size=(32, 32), image_size=(32, 32))
    build_shards(path / "poses", path / "shards", options)
    return path / "shards"


def batches(module: StageModule) -> Iterator[Batch]:
    """Those of a stage, epoch after epoch."""
    shape, labels = module.stage.batch, module.task.labels
    options = {"seed": module.recipe.seed, "stage": module.index}
    sampler: ShuffledBatchSampler | IdentityBatchSampler
    if shape.size is not None:
        sampler = ShuffledBatchSampler(len(labels), shape.size, drop_last=True, **options)
    else:
        sampler = IdentityBatchSampler(labels, shape.identities, shape.images, **options)
    for epoch in count():
        sampler.set_epoch(epoch)
        for batch in sampler:
            yield collate([module.task.dataset[index] for index in batch])


def smaller(batch: Batch, model: Model) -> Batch:
    """Plain images averaged to 16x8, and for networks that keep four times the resolution to 4x4."""
    if batch.image is None:
        return batch
    return replace(batch, image=F.avg_pool2d(batch.image, 4 if model.config.small_images else (1, 2)))


def cut(stage: Stage) -> Stage:
    """The stage with batches of `LARGEST_BATCH` at most."""
    batch = stage.batch
    if batch.total <= LARGEST_BATCH:
        return stage
    smaller = BatchShape(size=LARGEST_BATCH)
    if batch.images is not None:
        smaller = BatchShape(identities=LARGEST_BATCH // batch.images, images=batch.images)
    rate = stage.optimizer.lr * smaller.total / batch.total
    return replace(stage, batch=smaller, optimizer=replace(stage.optimizer, lr=rate))


def losses(module: StageModule, steps: int) -> list[float]:
    """Of the first steps of a stage, at the learning rates they have on `EPOCH` images."""
    (optimizer, stage, random) = (module.configure_optimizers(), module.stage, torch.Generator().manual_seed(0))
    values = []
    for step, batch in zip(range(steps), batches(module), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = stage.optimizer.lr * lr_factor(
                stage.schedule, (step + 0.5) * stage.batch.total / EPOCH, stage.epochs
            )
        inputs = smaller(module.preprocessor(batch, random), module.model)
        output = run(module.model, inputs, **forward_options(stage.loss))
        loss = sum(loss_terms(output, batch.labels, stage.loss).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    return values


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=RECIPES.values())
def test_200_steps_are_finite_and_the_loss_falls(recipe: Recipe, many_shards: Path) -> None:
    small = replace(
        recipe,
        input=replace(SIZES, divisor=recipe.input.divisor),
        stages=tuple(map(cut, recipe.stages)),
        identities=None,
        validation=Validation(every=0),
        execution=Execution(),
    )
    task: Task = identities_task(many_shards, small, small.model.views)
    model = build_model(small.model, task.classes, seed=0).train()
    preprocessor = make_preprocessor(small, task.means, augmented=True).train()
    for index, stage in enumerate(small.stages):
        module = StageModule(model, preprocessor, task, small, index, 0, 0, None, 0, lambda *_: {}, lambda: None)
        values = losses(module, STEPS // len(small.stages))
        twenties = [float(np.mean(values[at : at + 20])) for at in range(0, len(values), 20)]
        print(f"\n{RECIPES[recipe]}, {stage.name}:", *(f"{each:.2f}" for each in twenties), end=" ")
        assert np.isfinite(values).all()
        assert twenties[-1] < twenties[0]
