"""A shard directory, opened to look at."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ImageError, ReidError
from reidprep.inspect.index import Index, concatenated, damaged_rows, share_outside
from reidprep.inspect.samples import CROPS, Geometry, Picture, Samples
from reidprep.records import SPLITS, Split
from reidprep.shards.format import ShardFile
from reidprep.shards.reader import ShardSet

# A page asks for the crops of a sample one by one, and each read checks all of them.
_KEPT = 256


class ShardSamples(Samples):
    """The samples of a complete shard directory.

    Args:
        path: a complete shard directory.
        source: where the source images are now, None for where they were.

    Attributes:
        boxes: (n, 5, 4) float32 xyxy, whole body and parts, in source pixels; nan for damaged samples.

    Raises:
        ReidError: not a complete shard directory, or `source` holds other images.
    """

    kind = "shards"
    filled_word = "filled"

    def __init__(self, path: Path, source: Path | None = None) -> None:
        self.shards = ShardSet.open(path)
        rows = len(self.shards)
        self._problems: dict[str, str] = {}
        self._joints, self._measured = np.empty((2, rows, 18, 2), dtype=np.float32)
        self._spreads = np.full((rows, 18), np.nan, dtype=np.float32)
        self.boxes = np.full((rows, 5, 4), np.nan, dtype=np.float32)
        # Width and height; 0 where not known yet.
        self._sizes = np.zeros((rows, 2), dtype=np.int32)
        self._starts = np.cumsum([0, *(file.rows for file in self.shards.files)])
        pieces = (self._read(file, start) for file, start in zip(self.shards.files, self._starts, strict=False))
        dataset = self.shards.plan.poses.dataset
        super().__init__(path, self.shards.manifest, dataset, concatenated(pieces, rows), source)
        self.sizes_known = bool((self._sizes.all(axis=1) | self.index.damaged).all())
        sizes = self.shards.stored_sizes
        self.crops = CROPS if "image" in sizes else CROPS[:-1]
        self.crop_sizes = {name: sizes["whole" if name == "whole" else "parts"] for name in CROPS[:-1]}
        if "image" in sizes:
            self.crop_sizes["plain"] = sizes["image"]
        self._raw = self.shards.plan.encoding == "raw"
        self._recent: OrderedDict[int, list[NDArray[np.uint8]]] = OrderedDict()
        self._lock = Lock()

    def _read(self, file: ShardFile, start: int) -> Index:
        split = file.statistics.split
        try:
            columns = self.shards.file_columns(file)
        except ReidError as error:
            self._problems[file.name] = str(error)
            return damaged_rows(file.rows, split)
        rows = slice(start, start + file.rows)
        self._joints[rows], self.boxes[rows] = columns["joints_filled"], columns["boxes"]
        self._measured[rows] = columns["joints"][..., :2]
        if "joint_spreads" in columns:
            self._spreads[rows] = columns["joint_spreads"]
        if "image_sizes" in columns:
            self._sizes[rows] = columns["image_sizes"]
        return _index(columns, split)

    def geometry(self, index: int) -> Geometry:
        """Joints and boxes of a sample, as its file holds them."""
        self._check(index)
        return Geometry(
            joints=self._joints[index],
            scores=self.index.scores[index],
            measured=self._measured[index],
            spreads=self._spreads[index],
            filled=self.index.filled[index],
            boxes=self.boxes[index],
            size=self._size(index),
        )

    def _size(self, index: int) -> tuple[int, int] | None:
        if not self._sizes[index].all():
            try:
                self._sizes[index] = self.source(index).shape[1::-1]
            except ImageError:
                return None
        width, height = self._sizes[index].tolist()
        return width, height

    def crop(self, index: int, name: str) -> Picture:
        """A crop as it is stored; raw ones as PNG."""
        if name not in self.crops:
            raise ReidError(f"the shards hold no {name.replace('_', ' ')} image; build them --with-image")
        data = self._encoded(index)[self.crops.index(name)]
        if not self._raw:
            return Picture(data.tobytes(), "image/jpeg")
        shape = (*self.crop_sizes[name], 3)
        if data.size != np.prod(shape):
            raise ImageError(f"{data.size} bytes for a raw image of shape {shape}")
        _, encoded = cv2.imencode(".png", data.reshape(shape)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        return Picture(encoded.tobytes(), "image/png")

    def place(self, index: int) -> tuple[str, int]:
        """File and row of a sample."""
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.shards.files[number].name, int(index - self._starts[number])

    def _check(self, index: int) -> None:
        if self.index.damaged[index]:
            raise ReidError(self._problems[self.place(index)[0]])

    def _encoded(self, index: int) -> list[NDArray[np.uint8]]:
        with self._lock:
            if index in self._recent:
                self._recent.move_to_end(index)
                return self._recent[index]
        self._check(index)
        images = self.shards.encoded(index)
        with self._lock:
            self._recent[index] = images
            while len(self._recent) > _KEPT:
                self._recent.popitem(last=False)
        return images


def _index(columns: dict[str, NDArray[Any]], split: Split) -> Index:
    boxes = columns["boxes"][:, 0]
    rows = len(boxes)
    return Index(
        paths=columns["paths"].tolist(),
        pids=columns["pids"],
        camids=columns["camids"],
        splits=np.full(rows, SPLITS.index(split), dtype=np.int8),
        sequences=columns["sequences"],
        frames=columns["frames"],
        scores=np.nan_to_num(columns["joints"][:, :, 2]),
        filled=columns["filled"],
        flags=columns["flags"],
        residuals=columns["residuals"],
        heights=boxes[:, 3] - boxes[:, 1],
        outside=share_outside(boxes, columns.get("image_sizes")),
        damaged=np.zeros(rows, dtype=np.bool_),
    )
