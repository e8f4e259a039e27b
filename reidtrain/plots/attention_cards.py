"""What is shown of one sample: its crop, and the attention maps of each model laid over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reidprep.errors import ReidError
from reidprep.shards.format import Sample
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import PARTS
from reidtrain.data.dataset import ShardDataset
from reidtrain.data.preprocessing import Preprocessor
from reidtrain.models.factory import Model, run
from reidtrain.models.self_attention import SelfAttentionOutput
from reidtrain.plots.attention_maps import fuse_parts, overlay, stretch

FIRST_BLOCK, FIRST_STAGE = 2, 4


@dataclass(frozen=True, eq=False)
class Viewed:
    """A model whose attention is shown: on `device`, both in evaluation mode; `label` names it."""

    label: str
    model: Model
    preprocessor: Preprocessor
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class Panel:
    """A map over the image.

    Attributes:
        title: the block or stage.
        picture: (h, w, 3) uint8 RGB.
        low: value of the map drawn darkest.
        high: value drawn brightest.
    """

    title: str
    picture: NDArray[np.uint8]
    low: float
    high: float

    @property
    def range(self) -> str:
        """Lowest and highest value."""
        return f"{self.low:.3f}-{self.high:.3f}"


@dataclass(frozen=True, eq=False)
class Row:
    """Maps from shallow to deep, of what `label` says."""

    label: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, eq=False)
class AttentionCard:
    """A sample.

    Attributes:
        index: position in the split.
        path: of the source image.
        pid: person.
        camid: camera.
        picture: (h, w, 3) uint8 RGB, what the first model is shown.
        groups: label of each model and its rows: whole body and parts for the attention-driven network, one row for
            the self-attention network.
    """

    index: int
    path: str
    pid: int
    camid: int
    picture: NDArray[np.uint8]
    groups: tuple[tuple[str, tuple[Row, ...]], ...]


def attention_cards(viewed: Sequence[Viewed], shards: ShardSet, indices: Sequence[int]) -> list[AttentionCard]:
    """Compute the attention maps of some samples.

    Args:
        viewed: the models.
        shards: the samples of a split.
        indices: which samples; all go through the models at once.

    Raises:
        ReidError: a model without attention, crops that a model needs and the shards lack, or a damaged sample.
    """
    samples = [shards[index] for index in indices]
    rows = [_model_rows(each, shards, samples, indices) for each in viewed]
    plain = "image" in viewed[0].model.views
    return [
        AttentionCard(
            index,
            sample.path,
            sample.pid,
            sample.camid,
            _plain(sample) if plain else sample.whole,
            tuple((each.label, of_model[number]) for each, of_model in zip(viewed, rows, strict=True)),
        )
        for number, (index, sample) in enumerate(zip(indices, samples, strict=True))
    ]


@torch.inference_mode()
def _model_rows(
    viewed: Viewed, shards: ShardSet, samples: Sequence[Sample], indices: Sequence[int]
) -> list[tuple[Row, ...]]:
    """The rows of each sample."""
    dataset = ShardDataset(shards, viewed.model.views)
    batch = viewed.preprocessor(dataset.batch(indices).to(viewed.device))
    output = run(viewed.model, batch, attention_maps=True)
    if isinstance(output, SelfAttentionOutput):
        maps = [_numpy(each) for each in output.attention]
        return [(_stage_row(sample, [each[n] for each in maps]),) for n, sample in enumerate(samples)]
    branches = {name: [_numpy(each) for each in blocks] for name, blocks in output.attention.items() if blocks}
    if not branches:
        raise ReidError(f"{viewed.label}: this network has no attention to show (its recipe has attention: none)")
    return [
        _block_rows(sample, {name: [each[n] for each in blocks] for name, blocks in branches.items()})
        for n, sample in enumerate(samples)
    ]


def _numpy(maps: Tensor) -> NDArray[np.float32]:
    return np.asarray(maps.float().cpu().numpy(), np.float32)


def _stage_row(sample: Sample, maps: Sequence[NDArray[np.float32]]) -> Row:
    panels = [
        _panel(f"stage {number}", _plain(sample), stretch(each), [each])
        for number, each in enumerate(maps, start=FIRST_STAGE)
    ]
    return Row("whole image", tuple(panels))


def _block_rows(sample: Sample, branches: dict[str, list[NDArray[np.float32]]]) -> tuple[Row, ...]:
    rows = []
    if "whole" in branches:
        panels = [
            _panel(f"block {number}", sample.whole, stretch(each), [each])
            for number, each in enumerate(branches["whole"], start=FIRST_BLOCK)
        ]
        rows.append(Row("whole body", tuple(panels)))
    parts = [name for name in PARTS if name in branches]
    if parts:
        boxes = sample.boxes[[1 + PARTS.index(name) for name in parts]]
        panels = []
        for number, maps in enumerate(zip(*(branches[name] for name in parts), strict=True), start=FIRST_BLOCK):
            # Each part has a network of its own, so their levels cannot be compared.
            fused = fuse_parts([stretch(each) for each in maps], boxes, sample.boxes[0], sample.whole.shape[:2])
            panels.append(_panel(f"block {number}", sample.whole, fused, maps))
        names = "four parts" if len(parts) == len(PARTS) else ", ".join(name.replace("_", " ") for name in parts)
        rows.append(Row(names, tuple(panels)))
    return tuple(rows)


def _panel(title: str, picture: NDArray[np.uint8], heat: NDArray[np.float32], maps: Sequence[NDArray[Any]]) -> Panel:
    return Panel(
        title, overlay(picture, heat), min(float(each.min()) for each in maps), max(float(each.max()) for each in maps)
    )


def _plain(sample: Sample) -> NDArray[np.uint8]:
    assert sample.image is not None, "ShardDataset refuses shards without plain images for such a model"
    return sample.image
