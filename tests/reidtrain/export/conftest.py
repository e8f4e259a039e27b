"""Checkpoints of small networks that have seen no training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the models need PyTorch: pip install 'reidprep[train]'")

from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import Checkpoint, checkpoint_content, load_checkpoint, make_preprocessor
from reidtrain.data.preprocessing import ChannelMeans
from reidtrain.models.factory import build_model
from reidtrain.recipes.loading import recipe_from_dict

INPUT = {"whole_size": [48, 24], "part_size": [16, 24], "image_size": [48, 24], "divisor": 57}
STAGE = {"epochs": 1, "batch": {"size": 4}}
MakeCheckpoint = Callable[..., Checkpoint]


@pytest.fixture(scope="session")
def make_checkpoint(drawn_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeCheckpoint:
    """A network of a kind with the channel means of the drawn people, and batch statistics of noise."""

    def make(network: str, model: dict[str, object] | None = None, **input: object) -> Checkpoint:
        shards = ShardSet.open(drawn_shards)
        recipe = recipe_from_dict({"network": network, "model": model or {}, "input": INPUT | input, "stages": [STAGE]})
        net = build_model(recipe.model, 3, seed=1)
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        generator = torch.Generator().manual_seed(1)
        shapes = {view: (8, *([4] if view == "parts" else []), 3, *recipe.input.sizes[view]) for view in net.views}
        with torch.no_grad():
            net(**{view: torch.randn(shape, generator=generator) for view, shape in shapes.items()})
        modules = {
            "model": net,
            "preprocessor": make_preprocessor(recipe, ChannelMeans.of(shards), augmented=False),
        }
        schema = shards.manifest.schema
        source = {"kind": "shards", "schema": [schema.name, schema.version], "alignment": "pose"}
        content = checkpoint_content(recipe, ["1", "2", "3"], source, None, 0, [])
        content["state_dict"] = {
            f"{prefix}.{key}": value for prefix, module in modules.items() for key, value in module.state_dict().items()
        }
        path = tmp_path_factory.mktemp(network) / "last.ckpt"
        torch.save(content, path)
        return load_checkpoint(path)

    return make
