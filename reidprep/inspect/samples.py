"""The opened directory: its index, the overlays and the pictures of its samples."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reidprep.datasets.base import ImageSource
from reidprep.datasets.registry import open_images
from reidprep.errors import ImageError, ReidError
from reidprep.inspect.index import Index
from reidprep.poses.format import POSES, DatasetPlan
from reidprep.shards.format import SHARDS
from reidprep.skeleton import PARTS
from reidprep.store.manifest import MANIFEST, Manifest, read_manifest

CROPS = ("whole", *PARTS, "plain")
"""Pictures of a sample beside its source image, in the order that shards store them."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """What is drawn over a source image, in its pixels.

    Attributes:
        joints: (18, 2) complete joints; in poses, as measured.
        scores: (18,) as measured.
        measured: (18, 2) where joints were measured.
        spreads: (18,) standard deviations of the joints; nan where unknown.
        filled: (18,) bool, True where a joint is an estimate; in poses, where its score is too low.
        boxes: (5, 4) xyxy, whole body and parts; (0, 4) in poses.
        size: width and height of the image, None where unknown.
    """

    joints: NDArray[np.float32]
    scores: NDArray[np.float32]
    measured: NDArray[np.float32]
    spreads: NDArray[np.float32]
    filled: NDArray[np.bool_]
    boxes: NDArray[np.float32]
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Picture:
    """An image file."""

    data: bytes
    media_type: str


class Samples(ABC):
    """A shard or pose directory, opened to look at. Safe to use from several threads.

    Attributes:
        kind: what the directory is.
        filled_word: what a joint is that was not measured well enough.
        path: the directory.
        manifest: its manifest.
        dataset: name of the dataset.
        index: the columns of all samples.
        crops: those of `CROPS` that the samples have.
        crop_sizes: height and width of each.
        source_problem: why the source images cannot be opened, empty if they can.
        sizes_known: whether `Index.outside` takes in what is beyond the lower and the right edge.
    """

    kind: Literal["shards", "poses"]
    filled_word: str
    crops: tuple[str, ...]
    crop_sizes: Mapping[str, tuple[int, int]]
    sizes_known: bool

    def __init__(
        self, path: Path, manifest: Manifest[Any, Any, Any], dataset: DatasetPlan, index: Index, source: Path | None
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.index = index
        self.dataset = dataset.name
        self.source_problem = ""
        self._stamp: tuple[int, int, int] | None = None
        self._source = source or (path / manifest.source).resolve()
        self._images: ImageSource | None = None
        try:
            self._images = open_images(self.dataset, self._source, dataset.options)
        except ReidError as error:
            if source is not None:
                raise
            self.source_problem = f"{str(error).splitlines()[0]}; give the images' folder by --source"

    @cached_property
    def version(self) -> str:
        """Changes when what is shown at an address changes."""
        text = f"{self.path.resolve()}\n{self._source.resolve()}\n{self.manifest.to_json().decode()}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def source(self, index: int) -> NDArray[np.uint8]:
        """The source image of a sample, (h, w, 3) uint8 RGB.

        Raises:
            ImageError: it cannot be read; the message is the reason.
        """
        if self._images is None:
            raise ImageError(self.source_problem)
        if self.index.damaged[index]:
            raise ImageError("the path is not known, as the sample's file is damaged")
        try:
            return self._images.read(self.index.paths[index])
        except ImageError:
            raise
        except ReidError as error:
            raise ImageError(str(error)) from None

    def check_unchanged(self) -> None:
        """Make sure that the directory is still the one that was opened: numbers are in memory, crops are read from it.

        Raises:
            ReidError: it was made again, or is gone.
        """
        try:
            status = (self.path / MANIFEST).stat()
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            stamp = None
        if stamp is None or stamp != self._stamp:
            if read_manifest(self.path, SHARDS, POSES).to_json() != self.manifest.to_json():
                raise ReidError(f"{self.path}: was made again since it was opened; end this command and start it again")
            self._stamp = stamp

    @abstractmethod
    def geometry(self, index: int) -> Geometry:
        """What is drawn over a sample's source image.

        Raises:
            ReidError: the file that holds it is damaged.
        """

    @abstractmethod
    def crop(self, index: int, name: str) -> Picture:
        """One of `crops`.

        Raises:
            ReidError: the sample is damaged, or has no such crop.
        """

    @abstractmethod
    def place(self, index: int) -> tuple[str, int]:
        """Name of the file that holds a sample, and its row there."""
