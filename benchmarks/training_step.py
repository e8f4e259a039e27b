"""Training step of both networks: what each switch of `execution` does to time and memory, against plain float32.

    python benchmarks/training_step.py SHARDS [--recipe NAME|FILE] [--batch 16] [--steps 5] [--device cuda]

For each arrangement in one run: time per step split into waiting for data, moving and preparing it, forward, backward
and optimiser; the peak of memory; and the ratio of its step to that of the first line. Steps of the arrangements take
turns, and the median is printed, so that a busy machine is unfair to none.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch

from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import make_preprocessor
from reidtrain.data.dataset import Batch, BatchLoader, ShardDataset
from reidtrain.data.preprocessing import ChannelMeans
from reidtrain.data.samplers import ShuffledBatchSampler
from reidtrain.losses import forward_options, loss_terms
from reidtrain.models.factory import build_model, run
from reidtrain.recipes.loading import load_recipe
from reidtrain.recipes.schema import Execution, Recipe
from reidtrain.training.fit import arranged

PLAIN = Execution(channels_last=False)
ARRANGEMENTS = {
    "float32": PLAIN,
    "channels last": Execution(),
    "bf16": replace(PLAIN, precision="bf16"),
    "channels last, bf16": Execution(precision="bf16"),
    "channels last, compiled": Execution(compile=True),
    "channels last, bf16, compiled": Execution(precision="bf16", compile=True),
}
SPLIT = ("data", "input", "forward", "backward", "optimiser")


class Arrangement:
    """A network that trains under one set of switches."""

    def __init__(self, recipe: Recipe, execution: Execution, classes: int, means: ChannelMeans, device: str) -> None:
        self.recipe, self.execution, self.device = recipe, execution, device
        self.model = arranged(build_model(recipe.model, classes, recipe.seed), execution).to(device).train()
        self.preprocessor = make_preprocessor(recipe, means, augmented=True).to(device).train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-6, fused=device != "cpu")
        self.generator = torch.Generator(device).manual_seed(0)
        self.times: list[list[float]] = []
        self.peak = 0

    def step(self, batches: Iterator[Batch]) -> None:
        """One step, timed; on a GPU every part is waited for."""
        if self.device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        marks = [time.perf_counter()]

        def mark() -> None:
            if self.device != "cpu":
                torch.cuda.synchronize()
            marks.append(time.perf_counter())

        batch = next(batches)
        mark()
        inputs = self.preprocessor(batch.to(self.device, non_blocking=True), self.generator)
        if not self.execution.channels_last:
            views = {view: getattr(inputs, view).contiguous() for view in self.model.views}
            inputs = replace(inputs, **views)
        mark()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.execution.precision == "bf16"):
            loss_of = self.recipe.stages[0].loss
            output = run(self.model, inputs, **forward_options(loss_of))
            loss = torch.stack([*loss_terms(output, inputs.labels, loss_of).values()]).sum()
        mark()
        self.optimizer.zero_grad()
        loss.backward()
        mark()
        self.optimizer.step()
        mark()
        self.times.append([after - before for before, after in pairwise(marks)])
        if self.device != "cpu":
            self.peak = max(self.peak, torch.cuda.max_memory_allocated())


def endless(loader: BatchLoader) -> Iterator[Batch]:
    """Epoch after epoch."""
    while True:
        yield from loader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--recipe", default="attention-driven-market1501")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", choices=ARRANGEMENTS, default=list(ARRANGEMENTS))
    arguments = parser.parse_args()

    torch.backends.cudnn.benchmark = True
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    shards = ShardSet.open(arguments.shards, "train")
    dataset = ShardDataset(shards, recipe.model.views)
    sampler = ShuffledBatchSampler(len(dataset), arguments.batch, seed=0, drop_last=True)
    loader = BatchLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=arguments.workers,
        pin_memory=arguments.device != "cpu",
    )
    batches = endless(loader)
    means = ChannelMeans.of(shards)
    classes = len(shards.train_labels)
    chosen = {
        name: Arrangement(recipe, ARRANGEMENTS[name], classes, means, arguments.device) for name in arguments.only
    }
    for step in range(arguments.steps + 1):
        for arrangement in chosen.values():
            arrangement.step(batches)
            if step == 0:  # compiles, allocates, and starts the workers
                arrangement.times.clear()

    sizes = ", ".join(f"{view} {recipe.input.sizes[view]}" for view in recipe.model.views)
    print(f"{recipe.network}, batch {arguments.batch}, {sizes}, {arguments.device}, {torch.get_num_threads()} threads")
    print(f"{'':<30}{'step, ms':>10}{'ratio':>8}" + "".join(f"{name:>11}" for name in SPLIT) + f"{'peak, MB':>10}")
    first = None
    for name, arrangement in chosen.items():
        parts = [statistics.median(column) * 1e3 for column in zip(*arrangement.times, strict=True)]
        total = sum(parts)
        first = first or total
        row = f"{name:<30}{total:>10.1f}{first / total:>8.2f}" + "".join(f"{part:>11.1f}" for part in parts)
        print(row + (f"{arrangement.peak / 1e6:>10.0f}" if arrangement.peak else f"{'':>10}"))
    if arguments.device == "cpu":
        print(
            f"peak of the process, all arrangements: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB"
        )


if __name__ == "__main__":
    main()
