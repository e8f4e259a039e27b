"""Attention maps as PNG sheets and a page: a crop, then the maps of each model from shallow to deep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from reidprep.device import torch_device
from reidprep.drawing.album import Album, Look, heading, write_album
from reidprep.drawing.palette import FAINT
from reidprep.drawing.sheets import Canvas, Mark
from reidprep.errors import ReidError
from reidprep.progress import Progress, unseen
from reidprep.records import Split
from reidprep.shards.reader import ShardSet
from reidprep.text import counted
from reidtrain.checkpoints import Checkpoint, Which, load_checkpoint
from reidtrain.features.extractor import Computing
from reidtrain.plots.attention_cards import AttentionCard, Panel, Viewed, attention_cards
from reidtrain.plots.attention_maps import heat_colours

SAMPLES = 12
PER_SHEET = 6

_WIDTH, _HEIGHT = 112, 224
_GAP, _LINE = 6, 17
_ROW = _LINE + _HEIGHT + _LINE + 8
_BETWEEN = 22
"""Between the crop and the maps of each model."""
_HEAD = 2 * _LINE + 4


def load_viewed(paths: Sequence[Path], shards_path: Path, computing: Computing, which: Which = "last") -> list[Viewed]:
    """Trained models, to show their attention.

    Args:
        paths: checkpoints or run folders.
        shards_path: what they will be shown.
        computing: how they compute.
        which: checkpoint of a run folder, `last` or `best`.

    Raises:
        ReidError: an unusable checkpoint, or shards of another kind than it was trained on.
    """
    shards = ShardSet.open(shards_path)
    viewed = []
    for path in paths:
        checkpoint = load_checkpoint(path, which)
        checkpoint.check_shards(shards)
        viewed.append(viewed_network(checkpoint, computing, str(path)))
    return viewed


def viewed_network(checkpoint: Checkpoint, computing: Computing, label: str = "") -> Viewed:
    """A trained network, to show its attention; `label` names it."""
    device = torch_device(computing.device)
    return Viewed(label, checkpoint.model().to(device), checkpoint.preprocessor().to(device), device)


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
) -> Album:
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
    return write_album(
        out,
        Look("reidtrain.plots", "attention", _legend(), draw_card),
        count,
        lambda rows: attention_cards(viewed, shards, chosen[rows.start : rows.stop].tolist()),
        title=heading(shards, "attention maps"),
        what=f"{count:,} of {counted(len(shards), f'{split} sample')}, {how}",
        about={"ramp": [tuple(colour) for colour in heat_colours()[::15].tolist()]},
        per_sheet=per_sheet,
        progress=progress,
    )


def _legend() -> list[Mark]:
    ramp = Image.fromarray(heat_colours()[None]).resize((140, 14))
    return [Mark(ramp, "attention from low to high, each map by itself; its range stands below")]


def draw_card(card: AttentionCard) -> Image.Image:
    """Draw a sample and its maps."""
    widths = [max(len(row.panels) for row in rows) * (_WIDTH + _GAP) - _GAP for _, rows in card.groups]
    width = _WIDTH + sum(_BETWEEN + room for room in widths)
    canvas = Canvas(width, _HEAD + _LINE + max(len(rows) for _, rows in card.groups) * _ROW)
    canvas.write(0, _LINE // 2, card.path, 14, room=width)
    canvas.write(0, _LINE + _LINE // 2, f"#{card.index}, person {card.pid}, camera {card.camid}", 13, FAINT)
    canvas.show(0, _HEAD + 2 * _LINE, card.picture, _WIDTH, _HEIGHT)
    left = _WIDTH + _BETWEEN
    for (label, rows), room in zip(card.groups, widths, strict=True):
        canvas.write(left, _HEAD + _LINE // 2, label, room=room)
        for number, row in enumerate(rows):
            y = _HEAD + _LINE + number * _ROW
            canvas.write(left, y + _LINE // 2, row.label, 12, FAINT)
            for column, panel in enumerate(row.panels):
                _show_panel(canvas, left + column * (_WIDTH + _GAP), y + _LINE, panel)
        left += room + _BETWEEN
    return canvas.image


def _show_panel(canvas: Canvas, x: int, y: int, panel: Panel) -> None:
    canvas.show(x, y, panel.picture, _WIDTH, _HEIGHT)
    canvas.write(x, y + _HEIGHT + _LINE // 2, panel.title, 12)
    canvas.write(x + _WIDTH, y + _HEIGHT + _LINE // 2, panel.range, 11, FAINT, anchor="r")
