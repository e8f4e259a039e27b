"""Shards -> contact sheets and a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.alignment.doubt import doubt
from reidprep.datasets.base import ImageSource
from reidprep.datasets.registry import open_images
from reidprep.drawing.album import Album, Look, heading, write_album
from reidprep.errors import ReidError
from reidprep.preview.selection import Selection, choose, matching
from reidprep.preview.sheet import draw_card, marks
from reidprep.preview.shown import Shown
from reidprep.progress import Progress, unseen
from reidprep.records import SPLITS, SplitCounts
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import JOINTS
from reidprep.text import counted, flatten

PER_SHEET = 8


@dataclass(frozen=True)
class PreviewSummary(Album):
    """What was written, and what there was to choose from.

    Attributes:
        matched: samples that split and ids leave to choose from.
        total: samples in the shards.
        missing: samples shown without their source image, because it cannot be read.
    """

    matched: int
    total: int
    missing: int


def write_preview(
    shards_path: Path,
    out: Path,
    selection: Selection | None = None,
    *,
    source: Path | None = None,
    per_sheet: int = PER_SHEET,
    progress: Progress = unseen,
) -> PreviewSummary:
    """Write contact sheets as PNG, and one self-contained `index.html`. The same input gives the same files.

    Args:
        shards_path: a complete shard directory.
        out: an empty folder, or one with an earlier preview, which is replaced.
        selection: which samples, None for some spread evenly over all.
        source: where the images are now, None for where they were when the shards were built; if nothing is
            there any more, the whole-body crops take their place.
        per_sheet: samples on one sheet.
        progress: called with the samples drawn, and all that will be.

    Raises:
        ReidError: unusable shards, source or output folder; no sample fits the selection.
    """
    selection = selection or Selection()
    shards = ShardSet.open(shards_path)
    rows = [file.rows for file in shards.files]
    splits = np.repeat(np.array([file.statistics.split for file in shards.files], dtype=np.str_), rows)
    pids = shards.pids
    candidates = matching(pids, splits, selection.split, selection.ids)
    doubts = doubt(*(shards.column(name) for name in ("flags", "filled", "residuals")))
    seed = 0 if selection.random is None else selection.random
    chosen = choose(candidates, pids, doubts, selection, np.random.default_rng(seed))
    images, problem = _images(shards, source)

    what = describe(selection, len(chosen), len(candidates), len(shards))
    missing = 0

    def make(numbers: range) -> list[Shown]:
        nonlocal missing
        cards = [_shown(shards, index, str(splits[index]), images, problem) for index in chosen[numbers].tolist()]
        missing += sum(card.source is None for card in cards)
        return cards

    album = write_album(
        out,
        Look("reidprep.preview", "preview", marks(), draw_card),
        len(chosen),
        make,
        title=heading(shards, "aligned crops"),
        what=what,
        about=_about(shards, splits),
        per_sheet=per_sheet,
        progress=progress,
    )
    return PreviewSummary(album.page, album.sheets, album.shown, len(candidates), len(shards), missing)


def _about(shards: ShardSet, splits: NDArray[np.str_]) -> dict[str, Any]:
    """What the head of the page says of all samples."""
    pids, camids = shards.pids, shards.camids
    parameters = flatten(shards.manifest.parameters)
    return {
        "total": len(shards),
        "counts": [
            SplitCounts.of(split, pids[splits == split].tolist(), camids[splits == split].tolist()) for split in SPLITS
        ],
        "flags": [(name.lower().replace("_", " "), count) for name, count in shards.summary.flags.items()],
        "joints": list(zip(JOINTS, shards.summary.joints_filled, strict=True)),
        "parameters": [(name, value[:12] if name.endswith("sha256") else value) for name, value in parameters],
    }


def describe(selection: Selection, shown: int, matched: int, total: int) -> str:
    """The selection in words."""
    how = (
        "the most doubtful first"
        if selection.flagged
        else f"at random (seed {selection.random})"
        if selection.random is not None
        else "in equal shares"
        if selection.ids
        else "spread evenly"
    )
    of = [f"of person {', '.join(str(pid) for pid in selection.ids)}"] if selection.ids else []
    of += [f"in the {selection.split} split"] if selection.split else []
    pool = " ".join([counted(matched if of else total, "sample"), *of])
    return f"{shown} of {pool}, {how}" if shown < matched or selection.flagged else f"all {pool}"


def _images(shards: ShardSet, source: Path | None) -> tuple[ImageSource | None, str]:
    """The source images; or None and why they cannot be opened where the manifest says they were."""
    dataset = shards.plan.poses.dataset
    try:
        root = source or (shards.path / shards.manifest.source).resolve()
        return open_images(dataset.name, root, dataset.options), ""
    except ReidError as error:
        if source is not None:
            raise
        return None, f"{str(error).splitlines()[0]}; give the images' folder by --source"


def _shown(shards: ShardSet, index: int, split: str, images: ImageSource | None, problem: str) -> Shown:
    sample = shards[index]
    if images is not None:
        try:
            return Shown(index, split, sample, images.read(sample.path), "")
        except ReidError as error:
            problem = str(error)
    return Shown(index, split, sample, None, f"source image: {problem}")
