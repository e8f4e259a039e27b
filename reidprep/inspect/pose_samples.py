"""A pose directory, opened to look at: source images and joints, no crops."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from reidprep.errors import ReidError
from reidprep.inspect.index import Index, concatenated, damaged_rows
from reidprep.inspect.samples import Geometry, Picture, Samples
from reidprep.poses.format import PoseFile, Poses
from reidprep.poses.reader import PoseSet
from reidprep.records import SPLITS
from reidprep.skeleton import JOINTS


class PoseSamples(Samples):
    """The images of a complete pose directory.

    Args:
        path: a complete pose directory.
        source: where the source images are now, None for where they were.

    Raises:
        ReidError: not a complete pose directory, or `source` holds other images.
    """

    kind = "poses"
    filled_word = "not found"
    crops = ()
    crop_sizes: Mapping[str, tuple[int, int]] = MappingProxyType({})
    sizes_known = True

    def __init__(self, path: Path, source: Path | None = None) -> None:
        poses = PoseSet(path)
        self._content: list[Poses | str] = []
        index = concatenated((self._read(poses, file) for file in poses.manifest.files), len(poses))
        super().__init__(path, poses.manifest, poses.plan.dataset, index, source)
        self._starts = np.cumsum([0, *(file.rows for file in poses.manifest.files)])

    def _read(self, poses: PoseSet, file: PoseFile) -> Index:
        try:
            content = poses.read_file(file)
        except ReidError as error:
            self._content.append(str(error))
            return damaged_rows(file.rows, None)
        self._content.append(content)
        return _index(content, poses.plan.confidence)

    def geometry(self, index: int) -> Geometry:
        """Joints of an image, as its file holds them; there are no boxes yet."""
        poses, row = self._located(index)
        width, height = poses.image_sizes[row].tolist()
        return Geometry(
            joints=poses.joints[row, :, :2],
            scores=poses.joints[row, :, 2],
            measured=poses.joints[row, :, :2],
            spreads=np.full(len(JOINTS), np.nan, dtype=np.float32),
            filled=self.index.filled[index],
            boxes=np.zeros((0, 4), dtype=np.float32),
            size=(width, height),
        )

    def crop(self, index: int, name: str) -> Picture:
        """Raise a `ReidError`: poses have no crops."""
        raise ReidError("poses have no crops; build shards from them")

    def place(self, index: int) -> tuple[str, int]:
        """File and row of an image."""
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.manifest.files[number].name, int(index - self._starts[number])

    def _located(self, index: int) -> tuple[Poses, int]:
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        content = self._content[number]
        if isinstance(content, str):
            raise ReidError(content)
        return content, int(index - self._starts[number])


def _index(poses: Poses, confidence: float) -> Index:
    scores = np.nan_to_num(poses.joints[:, :, 2])
    nothing = np.full(len(poses), np.nan, dtype=np.float32)
    return Index(
        paths=poses.paths.tolist(),
        pids=poses.pids,
        camids=poses.camids,
        splits=np.array([SPLITS.index(split) if split in SPLITS else -1 for split in poses.splits.tolist()], np.int8),
        sequences=poses.sequences,
        frames=poses.frames,
        scores=scores,
        filled=~((scores >= confidence) & np.isfinite(poses.joints).all(axis=2)),
        flags=np.zeros(len(poses), dtype=np.int32),
        residuals=nothing,
        heights=nothing,
        outside=nothing,
        damaged=np.zeros(len(poses), dtype=np.bool_),
    )
