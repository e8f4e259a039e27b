"""Shards -> contact sheets and a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reidprep.datasets.base import ImageSource
from reidprep.datasets.registry import open_images
from reidprep.errors import ReidError
from reidprep.files import write_file
from reidprep.preview.folder import PAGE, claim, sheet_name
from reidprep.preview.page import card, page
from reidprep.preview.selection import Selection, choose, doubt, matching
from reidprep.preview.sheet import draw_sheet
from reidprep.preview.shown import Shown
from reidprep.progress import Progress, unseen
from reidprep.shards.reader import ShardSet

PER_SHEET = 8


@dataclass(frozen=True)
class PreviewSummary:
    """What was written.

    Attributes:
        page: the page to open.
        sheets: the contact sheets, in order.
        shown: samples shown.
        matched: samples that split and ids leave to choose from.
        total: samples in the shards.
        missing: samples shown without their source image, because it cannot be read.
    """

    page: Path
    sheets: tuple[Path, ...]
    shown: int
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
    if per_sheet < 1:
        raise ReidError(f"{per_sheet} samples per sheet; give 1 or more")
    shards = ShardSet.open(shards_path)
    rows = [file.rows for file in shards.files]
    splits = np.repeat(np.array([file.statistics.split for file in shards.files], dtype=np.str_), rows)
    candidates = matching(shards.pids, splits, selection.split, selection.ids)
    doubts = doubt(*(shards.column(name) for name in ("flags", "filled", "residuals")))
    seed = 0 if selection.random is None else selection.random
    chosen = choose(candidates, shards.pids, doubts, selection, np.random.default_rng(seed))
    images, problem = _images(shards, source)

    groups = [chosen[start : start + per_sheet].tolist() for start in range(0, len(chosen), per_sheet)]
    names = [sheet_name(number + 1) for number in range(len(groups))]
    claim(out, [PAGE, *names])
    what = describe(selection, len(chosen), len(candidates), len(shards))
    dataset = shards.plan.poses.dataset.name
    cards: list[str] = []
    missing = 0
    for number, (name, group) in enumerate(zip(names, groups, strict=True), start=1):
        samples = [_shown(shards, index, str(splits[index]), images, problem) for index in group]
        title = f"{dataset}: {what} (sheet {number} of {len(groups)})"
        write_file(out / name, draw_sheet(samples, title))
        cards += [card(sample) for sample in samples]
        missing += sum(sample.source is None for sample in samples)
        progress(len(cards), len(chosen))
    write_file(out / PAGE, page(shards, what, cards).encode())
    sheets = tuple(out / name for name in names)
    return PreviewSummary(out / PAGE, sheets, len(chosen), len(candidates), len(shards), missing)


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
    pool = f"{matched} samples {' '.join(of)}" if of else f"{total} samples"
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
