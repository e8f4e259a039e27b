"""What is filtered, sorted and counted: columns over all samples, in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reidprep.records import SPLITS

UNKNOWN = np.iinfo(np.int64).min
"""Person id and camera of samples whose columns cannot be read."""


@dataclass(frozen=True, eq=False)
class Index:
    """Columns over n samples, in the order of the directory.

    Rows of a damaged file have `UNKNOWN` ids and cameras, no flags, nan for every measure and an empty path.

    Attributes:
        paths: n texts.
        pids: (n,) int64.
        camids: (n,) int64.
        splits: (n,) int8, position in `SPLITS`, -1 where unknown.
        sequences: (n,) int64, -1 where unknown.
        frames: (n,) int64, -1 where unknown.
        scores: (n, 18) float32 of the joints as measured, 0 where there is none.
        filled: (n, 18) bool, True where a joint is an estimate; in poses, where its score is too low.
        flags: (n,) int32 of `Flag`; zeros in poses.
        residuals: (n,) float32, fraction of body height; nan in poses.
        heights: (n,) float32, height of the whole-body box in source pixels; nan in poses.
        outside: (n,) float32, share of the whole-body box's area outside the image (see `share_outside`); nan in poses.
        damaged: (n,) bool.
    """

    paths: list[str]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    splits: NDArray[np.int8]
    sequences: NDArray[np.int64]
    frames: NDArray[np.int64]
    scores: NDArray[np.float32]
    filled: NDArray[np.bool_]
    flags: NDArray[np.int32]
    residuals: NDArray[np.float32]
    heights: NDArray[np.float32]
    outside: NDArray[np.float32]
    damaged: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.paths)

    def split(self, index: int) -> str:
        """The name of a sample's split."""
        return SPLITS[self.splits[index]] if self.splits[index] >= 0 else "unknown"


def damaged_rows(rows: int, split: str | None) -> Index:
    """What stands for the rows of a file that cannot be read."""
    nothing = np.full(rows, np.nan, dtype=np.float32)
    unknown = np.full(rows, UNKNOWN, dtype=np.int64)
    return Index(
        paths=[""] * rows,
        pids=unknown,
        camids=unknown,
        splits=np.full(rows, SPLITS.index(split) if split in SPLITS else -1, dtype=np.int8),
        sequences=np.full(rows, -1, dtype=np.int64),
        frames=np.full(rows, -1, dtype=np.int64),
        scores=np.full((rows, 18), np.nan, dtype=np.float32),
        filled=np.zeros((rows, 18), dtype=np.bool_),
        flags=np.zeros(rows, dtype=np.int32),
        residuals=nothing,
        heights=nothing,
        outside=nothing,
        damaged=np.ones(rows, dtype=np.bool_),
    )


def concatenated(pieces: Iterable[Index], rows: int) -> Index:
    """Pieces one after the other, of `rows` rows in all; no two of them are held at a time."""
    start = 0
    columns = {name: value for name, value in vars(damaged_rows(0, None)).items() if name != "paths"}
    columns = {name: np.empty((rows, *column.shape[1:]), column.dtype) for name, column in columns.items()}
    paths: list[str] = []
    for piece in pieces:
        for name, column in columns.items():
            column[start : start + len(piece)] = getattr(piece, name)
        paths += piece.paths
        start += len(piece)
    return Index(paths=paths, **columns)


def share_outside(boxes: NDArray[np.float32], image_sizes: NDArray[np.int32] | None) -> NDArray[np.float32]:
    """Share of each box's area outside its image.

    Args:
        boxes: (n, 4) xyxy.
        image_sizes: (n, 2) width and height; None where they are not known, and only what is beyond the upper and the
            left edge counts.

    Returns:
        (n,) float32, 0 to 1.
    """
    corners = boxes.astype(np.float64)
    low, high = corners[:, :2], corners[:, 2:]
    limit = np.inf if image_sizes is None else image_sizes.astype(np.float64)
    inside = (np.minimum(high, limit) - np.maximum(low, 0)).clip(min=0).prod(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share: NDArray[np.float32] = (1 - inside / (high - low).prod(axis=1)).astype(np.float32)
    return share
