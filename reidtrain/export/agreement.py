"""Whether a file computes what the network computes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reidtrain.data.dataset import Batch
from reidtrain.data.preprocessing import Preprocessor
from reidtrain.export.formats import Crops, Runner
from reidtrain.export.network import Outputs
from reidtrain.models.factory import Model, run

NOISE = ((1, 1.0), (2, 1.3), (3, 0.4))
"""Numbers of random images, and their sizes as multiples of the network's."""


@dataclass(frozen=True)
class Agreement:
    """How far outputs are from those of the network.

    Attributes:
        images: that were compared.
        absolute: largest difference of a value.
        relative: largest Euclidean length of a difference, over that of the network's output, for one image and output;
            nan where shapes differ or something is not a number.
        output: for which that is.
    """

    images: int
    absolute: float
    relative: float
    output: str


def random_crops(views: Sequence[str], sizes: Mapping[str, tuple[int, int]]) -> list[Crops]:
    """Batches of noise, always the same, for every input that may vary."""
    generator = torch.Generator().manual_seed(0)
    batches: list[Crops] = []
    for number, scale in NOISE:
        crops: dict[str, Tensor] = {}
        for view in views:
            height, width = (round(scale * side) for side in sizes[view])
            shape = (number, *([4] if view == "parts" else []), height, width, 3)
            crops[view] = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        batches.append(crops)
    return batches


class Reference:
    """Outputs of a network as the toolkit computes features, but for one thing.

    Pixels are resized in floating point, as on a GPU; on a CPU the toolkit rounds them to whole numbers meanwhile.
    """

    def __init__(self, model: Model, preprocessor: Preprocessor, outputs: Outputs) -> None:
        self.model = model
        self.preprocessor = preprocessor
        self.outputs = outputs

    @torch.no_grad()
    def __call__(self, crops: Crops) -> dict[str, Tensor]:
        """Outputs by name."""
        views = {view: images.movedim(-1, -3).float() for view, images in crops.items()}
        number = len(next(iter(views.values())))
        blank = dict.fromkeys(("labels", "pids", "camids", "indices"), torch.zeros(number, dtype=torch.int64))
        batch = Batch(views.get("whole"), views.get("parts"), views.get("image"), **blank)
        return self.outputs.named(run(self.model, self.preprocessor(batch), **self.outputs.options))


def compare(reference: Runner, runner: Runner, batches: Sequence[Crops]) -> Agreement:
    """Compare two ways to compute outputs on some crops."""
    images, absolute, relative, worst = 0, 0.0, 0.0, ""
    for crops in batches:
        expected, found = reference(crops), runner(crops)
        images += len(next(iter(crops.values())))
        for name, values in expected.items():
            if name not in found or found[name].shape != values.shape:
                return Agreement(images, math.nan, math.nan, name)
            target = values.double().flatten(1)
            difference = found[name].double().flatten(1) - target
            share = (difference.norm(dim=1) / target.norm(dim=1).clamp(min=1e-30)).max().item()
            if math.isnan(share):
                return Agreement(images, math.nan, math.nan, name)
            absolute = max(absolute, difference.abs().max().item())
            if share >= relative:
                relative, worst = share, name
    return Agreement(images, absolute, relative, worst)
