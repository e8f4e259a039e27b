"""Models and shards -> attention maps as PNG sheets and a page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from reidprep.device import torch_device
from reidprep.errors import ReidError
from reidprep.progress import Progress, unseen
from reidprep.records import Split
from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import load_checkpoint
from reidtrain.features.extractor import Computing
from reidtrain.plots.attention_cards import Viewed, attention_cards
from reidtrain.plots.attention_page import attention_article, attention_page
from reidtrain.plots.attention_sheet import draw_attention_sheet
from reidtrain.plots.write import Pictures, dataset_name, write_pictures

SAMPLES = 12
PER_SHEET = 6


def load_viewed(paths: Sequence[Path], shards_path: Path, computing: Computing) -> list[Viewed]:
    """Trained models, to show their attention.

    Args:
        paths: checkpoints or run folders.
        shards_path: what they will be shown.
        computing: how they compute.

    Raises:
        ReidError: an unusable checkpoint, or shards of another kind than it was trained on.
    """
    shards = ShardSet.open(shards_path)
    device = torch_device(computing.device)
    viewed = []
    for path in paths:
        checkpoint = load_checkpoint(path)
        checkpoint.check_shards(shards)
        model, preprocessor = checkpoint.model().to(device), checkpoint.preprocessor().to(device)
        viewed.append(Viewed(str(path), model, preprocessor, device))
    return viewed


def write_attention(
    viewed: Sequence[Viewed],
    shards_path: Path,
    out: Path,
    *,
    split: Split = "query",
    count: int = SAMPLES,
    seed: int | None = None,
    per_sheet: int = PER_SHEET,
    progress: Progress = unseen,
) -> Pictures:
    """Draw the attention maps of some samples, those of several models side by side.

    Args:
        viewed: the models.
        shards_path: a complete shard directory.
        out: an empty folder, or one with earlier pictures, which are replaced.
        split: where the samples are from.
        count: samples to show, at most.
        seed: choose them at random; None spreads them evenly.
        per_sheet: samples on one sheet; as many go through the models at once.
        progress: called with samples drawn, and all that will be.

    Raises:
        ReidError: unusable shards or output folder, a model without attention, or crops it needs are not there.
    """
    shards = ShardSet.open(shards_path, split)
    if not len(shards):
        raise ReidError(f"{shards_path}: no sample in the {split} split; choose another one")
    if count < 1:
        raise ReidError(f"{count} samples; show 1 or more")
    count = min(count, len(shards))
    if seed is None:
        chosen = np.arange(count) * len(shards) // count
    else:
        chosen = np.sort(np.random.default_rng(seed).choice(len(shards), size=count, replace=False))
    how = "spread evenly" if seed is None else f"at random (seed {seed})"
    what = f"{count:,} of {len(shards):,} {split} samples, {how}"
    title = f"{dataset_name(shards)}: attention maps"
    return write_pictures(
        out,
        count,
        lambda rows: attention_cards(viewed, shards, chosen[rows.start : rows.stop].tolist()),
        title=f"{title}, {what}",
        draw_sheet=draw_attention_sheet,
        article=attention_article,
        page=partial(attention_page, title, what),
        per_sheet=per_sheet,
        progress=progress,
    )
