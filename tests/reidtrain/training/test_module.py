from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks need PyTorch: pip install 'reidprep[train]'")

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reidtrain.checkpoints import make_preprocessor
from reidtrain.data.dataset import Batch
from reidtrain.data.preprocessing import ChannelMeans
from reidtrain.losses import class_logits, forward_options, loss_terms
from reidtrain.models.factory import build_model, run
from reidtrain.models.layers import without_weights
from reidtrain.recipes.loading import load_recipe

GREY = (100.0, 100.0, 100.0)


class Apart(TorchDispatchMode):
    """Lists operations on tensors of two devices at once, but for copies that nobody waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        devices = {each.device.type for each in tree_leaves((args, kwargs, result)) if isinstance(each, torch.Tensor)}
        if len(devices) > 1 and not kwargs.get("non_blocking"):
            self.mixed.append(func.name())
        return result


@pytest.mark.parametrize("name", ["attention-driven-scratch", "self-attention-scratch", "self-attention-market1501"])
def test_a_step_asks_the_device_for_nothing(name: str) -> None:
    """Of a tensor without contents a value cannot be asked, nor a shape that depends on it: the host never waits."""
    sizes = ["input.whole_size=[32,16]", "input.part_size=[16,32]", "input.image_size=[32,16]"]
    recipe = load_recipe(name, [*sizes, "augmentation={horizontal_flip: 0.5, random_erasing: 0.5, pad_and_crop: 0.1}"])
    with without_weights():
        model = build_model(recipe.model, 5).train()
    preprocessor = make_preprocessor(recipe, ChannelMeans(GREY, (GREY,) * 4, GREY), augmented=True).to("meta").train()
    views = {
        view: torch.empty(8, *((4,) if view == "parts" else ()), 3, 24, 12, dtype=torch.uint8) for view in model.views
    }
    numbers = dict.fromkeys(("labels", "pids", "camids", "indices"), torch.arange(8))
    batch = Batch(**{"whole": None, "parts": None, "image": None, **views, **numbers}).to("meta")
    for stage in recipe.stages:
        with Apart() as apart:
            output = run(model, preprocessor(batch, torch.Generator()), **forward_options(stage.loss))
            (class_logits(output).argmax(1) == batch.labels).float().mean()
            torch.stack([*loss_terms(output, batch.labels, stage.loss).values()]).sum().backward()
        assert not apart.mixed
