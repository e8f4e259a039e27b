"""Runs of small networks, trained and not."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from reidprep.datasets.registry import open_dataset
from reidprep.estimators.base import PoseEstimator
from reidprep.poses.extract import extract_poses
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.synth.dataset import generate

SMALL = ("input.whole_size=[48,24]", "input.part_size=[24,24]", "input.image_size=[48,24]")
PLAIN = ("model.branches=[whole,head,lower_leg]", "model.attention=none")
MakeRun = Callable[..., Path]
MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture
def make_run(untrained: Callable[..., Path], tmp_path: Path) -> MakeRun:
    """Writes a run folder with an untrained network.

    Attention and the other two parts cost most of the time: tests that need them ask for them by overrides.
    """
    from reidtrain.recipes.loading import load_recipe

    def make(
        name: str,
        recipe_name: str = "attention-driven-market1501",
        *overrides: str,
        class_names: Sequence[str] = ("1", "2", "3"),
        which: str = "last",
    ) -> Path:
        checkpoints = tmp_path / name / "checkpoints"
        checkpoints.mkdir(parents=True, exist_ok=True)
        plain = PLAIN if recipe_name.startswith("attention-driven") else ()
        # A link: tests read checkpoints, or put another file in their place.
        os.link(
            untrained(load_recipe(recipe_name, (*SMALL, *plain, *overrides)), class_names),
            checkpoints / f"{which}.ckpt",
        )
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def crowd_shards(estimator: PoseEstimator, made_once: MadeOnce) -> Path:
    """Shards of twice as many drawn people, four of them for training. Read only."""

    def fill(folder: Path) -> None:
        generate(folder / "images", identities=8, cameras=2, images_per_camera=2, seed=3)
        extract_poses(open_dataset(folder / "images"), folder / "poses", estimator)
        build_shards(folder / "poses", folder / "shards", BuildOptions())

    return made_once("crowd", fill) / "shards"
