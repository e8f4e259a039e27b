"""Runs of small networks, trained and not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from reidprep.datasets.registry import open_dataset
from reidprep.estimators.base import PoseEstimator
from reidprep.poses.extract import extract_poses
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.reader import ShardSet
from reidprep.synth.dataset import generate

SMALL = ("input.whole_size=[96,48]", "input.part_size=[48,48]", "input.image_size=[64,32]")
MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(drawn_shards: Path, tmp_path: Path) -> MakeRun:
    """Writes a run folder with an untrained network."""
    torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")
    from reidtrain.checkpoints import checkpoint_content, make_preprocessor
    from reidtrain.data.preprocessing import ChannelMeans
    from reidtrain.models.factory import build_model
    from reidtrain.recipes.loading import load_recipe

    def make(
        name: str,
        recipe_name: str = "attention-driven-market1501",
        *overrides: str,
        class_names: Sequence[str] = ("1", "2", "3"),
        which: str = "last",
    ) -> Path:
        shards = ShardSet.open(drawn_shards)
        recipe = load_recipe(recipe_name, (*SMALL, *overrides))
        modules = {
            "model": build_model(recipe.model, len(class_names), seed=recipe.seed),
            "preprocessor": make_preprocessor(recipe, ChannelMeans.of(shards), augmented=False),
        }
        schema = shards.manifest.schema
        source = {"kind": "shards", "schema": [schema.name, schema.version], "alignment": "pose"}
        content = checkpoint_content(recipe, class_names, source, None, 0, [])
        content["state_dict"] = {
            f"{prefix}.{key}": value for prefix, module in modules.items() for key, value in module.state_dict().items()
        }
        path = tmp_path / name / "checkpoints" / f"{which}.ckpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, path)
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def crowd_shards(estimator: PoseEstimator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of twice as many drawn people, four of them for training. Read only."""
    path = tmp_path_factory.mktemp("crowd")
    generate(path / "images", identities=8, cameras=2, images_per_camera=2, seed=3)
    extract_poses(open_dataset(path / "images"), path / "poses", estimator)
    build_shards(path / "poses", path / "shards", BuildOptions())
    return path / "shards"
