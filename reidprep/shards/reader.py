"""Random access to the samples of a shard directory."""

from __future__ import annotations

import operator
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from reidprep.alignment.align import Flag
from reidprep.errors import ImageError, ReidError
from reidprep.records import SPLITS
from reidprep.shards.file import OpenShard, open_shard, read_encoded, read_images
from reidprep.shards.format import (
    COLUMNS,
    POSITIONS,
    SHARDS,
    VIEWS,
    Sample,
    ShardFile,
    ShardManifest,
    View,
    full_sizes,
    image_shapes,
    stored_sizes,
)
from reidprep.store.fields import Size
from reidprep.store.manifest import read_manifest
from reidprep.text import counted

# Open files per process; least recently used ones are closed beyond that.
MAX_OPEN_FILES = 64


class ShardSet:
    """The samples of one split, or of all, in a fixed order. Make one with `ShardSet.open`.

    No file is open until a sample is read. Each process opens its own: the object may be pickled, and used
    in workers started by fork or spawn. Reading from several threads is safe.

    Example:
        >>> from reidprep import ShardSet
        >>> shards = ShardSet.open("shards", "train")
        >>> shards
        ShardSet(shards, train: 8 samples, whole 144x72, parts 60x120)
        >>> len(shards), shards[-1].pid, [sample.pid for sample in shards[:3]]
        (8, 4, [2, 2, 2])
        >>> shards.camids.tolist()  # without decoding any image
        [1, 1, 2, 2, 1, 1, 2, 2]

    Attributes:
        path: the directory.
        split: train, query or gallery; None for all.
        manifest: its manifest.
        plan: how the shards were built.
        summary: totals over all splits.
        files: the shard files of this set.
        full_sizes: height and width that each view was asked for at: what a network takes.
        stored_sizes: height and width at which each view is stored, and read: at most the full size, and less where
            the source images cannot fill it. Both are without the views that the shards do not hold.
        view_shapes: shape of the pixels of each of these views, parts being four.
        train_labels: class index of each training identity, 0 to classes - 1 in the order of the ids.
    """

    full_sizes: dict[View, Size]
    stored_sizes: dict[View, Size]
    view_shapes: dict[View, tuple[int, ...]]

    def __init__(
        self, path: Path, manifest: ShardManifest, files: tuple[ShardFile, ...], split: str | None = None
    ) -> None:
        self.path = path
        self.split = split
        self.manifest = manifest
        self.plan, self.summary = manifest.plan, manifest.summary
        self.files = files
        self._starts = np.cumsum([0, *(file.rows for file in files)]).tolist()
        self._shapes = image_shapes(self.plan)
        self.full_sizes, self.stored_sizes = full_sizes(self.plan), stored_sizes(self.plan)
        self.view_shapes = {
            view: (*([4] if view == "parts" else []), *self._shapes[POSITIONS[view][0]]) for view in self.stored_sizes
        }
        self.train_labels = dict(self.summary.train_labels)
        self._opened: OrderedDict[str, OpenShard] = OrderedDict()
        self._lock = Lock()
        self._process = os.getpid()

    @classmethod
    def open(cls, path: str | Path, split: str | None = None) -> ShardSet:
        """Open a shard directory.

        Args:
            path: the directory.
            split: train, query or gallery; None for all, in that order.

        Raises:
            ReidError: not a complete shard directory of a known version, or an unknown split.
        """
        path = Path(path)
        manifest = read_manifest(path, SHARDS)
        if not manifest.complete:
            raise ReidError(f"{path}: the shards are not complete; run the same build-shards command again to finish")
        if split is not None and split not in SPLITS:
            raise ReidError(f"unknown split {split!r}; choose {', '.join(SPLITS)}")
        wanted = SPLITS if split is None else (split,)
        files = tuple(file for name in wanted for file in manifest.files if file.statistics.split == name)
        return cls(path, manifest, files, split)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __iter__(self) -> Iterator[Sample]:
        return map(self.__getitem__, range(len(self)))

    def __repr__(self) -> str:
        splits = [split for split in SPLITS if any(file.statistics.split == split for file in self.files)]
        sizes = ", ".join(f"{view} {height}x{width}" for view, (height, width) in self.stored_sizes.items())
        return f"ShardSet({self.path}, {', '.join(splits)}: {counted(len(self), 'sample', 'samples')}, {sizes})"

    @overload
    def __getitem__(self, index: SupportsIndex) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Sample | list[Sample]:
        """Read and decode one sample, or those of a slice; negative numbers count from the end.

        Raises:
            IndexError: out of range.
            TypeError: neither a whole number nor a slice.
            ReidError: the file is missing or the sample damaged; names file and row.
        """
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        index = operator.index(index)
        shard, row = self._locate(index)
        images = self.pixels(index, tuple(self.stored_sizes))
        column = {key: values[row] for key, values in shard.columns.items()}
        return Sample(
            whole=images["whole"],
            parts=images["parts"],
            image=images.get("image"),
            pid=int(column["pids"]),
            camid=int(column["camids"]),
            path=str(column["paths"]),
            sequence=int(column["sequences"]),
            frame=int(column["frames"]),
            joints=column["joints"],
            joints_filled=column["joints_filled"],
            filled=column["filled"],
            joint_spreads=column.get("joint_spreads"),
            boxes=column["boxes"],
            residual=float(column["residuals"]),
            flags=Flag(int(column["flags"])),
        )

    def pixels(
        self, index: int, views: Sequence[View], out: Mapping[View, NDArray[np.uint8]] | None = None
    ) -> Mapping[View, NDArray[np.uint8]]:
        """Read one sample, and decode only the views asked for.

        Args:
            index: the sample.
            views: which; see `Sample` for their shapes.
            out: contiguous arrays that their pixels are written to, None for new ones.

        Raises:
            IndexError: out of range.
            ReidError: the file is missing or the sample damaged; names file and row. Or a view the shards do not hold.
        """
        if missing := [view for view in views if view not in self.stored_sizes]:
            known = "; build the shards --with-image" if missing[0] in VIEWS else f"; choose from {', '.join(VIEWS)}"
            raise ReidError(f"{self.path}: holds no view {missing[0]!r}{known}")
        shard, row = self._locate(index)
        out = {view: np.empty(self.view_shapes[view], np.uint8) for view in views} if out is None else out
        places = [place for view in views for place in (out[view] if view == "parts" else [out[view]])]
        wanted = dict(zip((position for view in views for position in POSITIONS[view]), places, strict=True))
        try:
            read_images(shard.images, shard.offsets, shard.crc32, row, self._shapes, self.plan.encoding, wanted)
        except (ImageError, OSError) as error:
            raise ReidError(f"{shard.file.filename}: row {row}: {error}; run 'reidprep verify'") from None
        return out

    def encoded(self, index: int) -> list[NDArray[np.uint8]]:
        """Read the images of one sample as they are stored, decoding none.

        Args:
            index: the sample.

        Returns:
            Whole body, the four parts and, if the shards hold it, the plain image: each the bytes of a JPEG file, or
            the pixels of a raw image.

        Raises:
            IndexError: out of range.
            ReidError: the file is missing or the sample damaged; names file and row.
        """
        shard, row = self._locate(index)
        try:
            return read_encoded(shard.images, shard.offsets, shard.crc32, row, len(self._shapes))
        except (ImageError, OSError) as error:
            raise ReidError(f"{shard.file.filename}: row {row}: {error}; run 'reidprep verify'") from None

    def row(self, index: int) -> dict[str, Any]:
        """The columns of one sample; no image is read.

        Raises:
            IndexError: out of range.
            ReidError: the file is missing or damaged.
        """
        shard, row = self._locate(index)
        return {name: values[row] for name, values in shard.columns.items()}

    def file_columns(self, file: ShardFile) -> dict[str, NDArray[Any]]:
        """The columns of one of `files`; they are not kept.

        Raises:
            ReidError: the file is missing or damaged, or has not as many rows as the manifest says.
        """
        shard = open_shard(self.path / file.name, file.rows)
        with shard.file:
            return shard.columns

    def _locate(self, index: int) -> tuple[OpenShard, int]:
        """The file that holds a sample, and its row there."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        index = int(index) % len(self)
        number = bisect_right(self._starts, index) - 1
        return self._shard(self.files[number]), index - self._starts[number]

    @property
    def pids(self) -> NDArray[np.int64]:
        """Person id of every sample, without decoding any."""
        return self.column("pids")

    @property
    def camids(self) -> NDArray[np.int64]:
        """Camera of every sample, without decoding any."""
        return self.column("camids")

    def column(self, name: str) -> NDArray[Any]:
        """One column of docs/shards-format.md over all samples, such as `flags` or `boxes`."""
        known = [name for name, column in COLUMNS.items() if column.per_sample]
        if name not in known:
            raise ReidError(f"no column {name!r}; there are {', '.join(known)}")
        shards = [self._shard(file).columns for file in self.files]
        if not all(name in columns for columns in shards):
            raise ReidError(f"{self.path}: was built before shards had the column {name!r}; build it again")
        columns = [columns[name] for columns in shards]
        return np.concatenate(columns) if columns else np.zeros(0, np.int64)

    def close(self) -> None:
        """Close the files this process opened."""
        while self._opened:
            self._opened.popitem()[1].file.close()

    def _shard(self, file: ShardFile) -> OpenShard:
        if self._process != os.getpid():
            # Handles inherited through fork belong to the parent, and so may a lock held by its threads.
            self._opened, self._lock, self._process = OrderedDict(), Lock(), os.getpid()
        with self._lock:
            shard = self._opened.pop(file.name, None) or open_shard(self.path / file.name, file.rows)
            self._opened[file.name] = shard
            while len(self._opened) > MAX_OPEN_FILES:
                # Not closed by force, as another thread may be reading: h5py closes what nobody holds.
                self._opened.popitem(last=False)
            return shard

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "manifest": self.manifest, "files": self.files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
