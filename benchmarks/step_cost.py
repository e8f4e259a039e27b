"""What a training step asks of a device: operations launched and bytes moved, counted without one.

    python benchmarks/step_cost.py [--recipe NAME|FILE] [--set KEY=VALUE] [--batch 4]

The step runs once on the CPU, with the part branches grouped as on a GPU, under the recipe's precision. Every operation
that computes counts as launched once, views do not; it moves its inputs and outputs. Caches are not thought of, and one
operation may be several kernels, so compare counts with counts.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reidprep.skeleton import PARTS
from reidtrain.checkpoints import make_preprocessor
from reidtrain.data.dataset import Batch
from reidtrain.data.preprocessing import ChannelMeans
from reidtrain.losses import forward_options, loss_terms
from reidtrain.models.attention_driven import AttentionDrivenNet
from reidtrain.models.factory import build_model, run
from reidtrain.recipes.loading import load_recipe

GREY = (100.0, 100.0, 100.0)


class Counting(TorchDispatchMode):
    """Counts operations and their bytes, by the part of the step."""

    def __init__(self) -> None:
        super().__init__()
        self.part = ""
        self.launched: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()
        self.wide: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.is_view or "empty" in func.name() or "detach" in func.name():
            return result
        tensors = [each for each in tree_leaves((args, kwargs, result)) if isinstance(each, torch.Tensor)]
        size = sum(each.numel() * each.element_size() for each in tensors)
        self.launched[self.part] += 1
        self.moved[self.part] += size
        self.wide[self.part] += sum(each.numel() * 4 for each in tensors if each.dtype == torch.float32)
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="attention-driven-scratch")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--batch", type=int, default=4)
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    model = build_model(recipe.model, 751, seed=0).to(memory_format=torch.channels_last).train()
    if isinstance(model, AttentionDrivenNet):
        model.part_computation = "grouped"
    means = ChannelMeans(GREY, (GREY,) * len(PARTS), GREY)
    preprocessor = make_preprocessor(recipe, means, augmented=True).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6, fused=True)
    for weight in model.parameters():  # the first step makes what the optimiser remembers
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    optimizer.zero_grad()
    numbers = torch.arange(arguments.batch)
    views = dict.fromkeys(("whole", "parts", "image"))
    for view in model.views:
        height, width = recipe.input.sizes[view]
        parts = (len(PARTS),) if view == "parts" else ()
        shape = (arguments.batch, *parts, height, width, 3)
        views[view] = torch.randint(0, 255, shape, dtype=torch.uint8).movedim(-1, -3)
    batch = Batch(**views, labels=numbers, pids=numbers, camids=numbers, indices=numbers)  # type: ignore[arg-type]
    loss_of = recipe.stages[0].loss

    with Counting() as counting:
        counting.part = "input"
        inputs = preprocessor(batch, torch.Generator())
        counting.part = "forward"
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.execution.precision == "bf16"):
            output = run(model, inputs, **forward_options(loss_of))
            loss = torch.stack([*loss_terms(output, batch.labels, loss_of).values()]).sum()
        counting.part = "backward"
        loss.backward()
        counting.part = "optimiser"
        optimizer.step()

    print(f"{recipe.network}, {recipe.execution.precision}, batch {arguments.batch}")
    print(f"{'':<12}{'operations':>12}{'MB an image':>14}{'of it float32':>16}")
    rows = [*counting.launched, "all"]
    counting.launched["all"], counting.moved["all"], counting.wide["all"] = (
        sum(counts.values()) for counts in (counting.launched, counting.moved, counting.wide)
    )
    for part in rows:
        launched, moved = counting.launched[part], counting.moved[part]
        wide = counting.wide[part] / max(1, moved)
        print(f"{part:<12}{launched:>12,}{moved / arguments.batch / 1e6:>14.1f}{wide:>16.0%}")


if __name__ == "__main__":
    main()
