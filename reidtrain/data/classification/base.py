"""What every reader of an image classification set gives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.text import counted, quoted


class Images(Protocol):
    """The images of one split, in a fixed order; picklable and without open files, for workers of any kind."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def name(self, index: int) -> str:
        """What to call an image in a message: its path below the data set's folder."""
        ...

    def read(self, index: int) -> NDArray[np.uint8]:
        """Read one image as (h, w, 3) uint8 RGB.

        Raises:
            ImageError: missing or unreadable; the message is the reason alone, the caller knows the name.
        """
        ...


@dataclass(frozen=True, eq=False)
class ClassificationSplit:
    """Images and what they show.

    Attributes:
        images: the images.
        labels: (images,) int64 positions in the data set's classes.
    """

    images: Images
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class ClassificationData:
    """An image classification set as found on disk: which images it has, not their pixels.

    Attributes:
        name: of the format, "image-folder" or "cifar-100".
        root: the folder that image names are relative to.
        classes: names of the classes, by label.
        train: the training images.
        val: the validation images, None where there are none.
        notes: what looked odd, in plain words.

    Raises:
        ReidError: fewer than two classes have training images, a split is empty, or a label is out of range.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    train: ClassificationSplit
    val: ClassificationSplit | None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for split, images in self.splits.items():
            if not len(images):
                raise ReidError(f"{self.root}: no image in {split}; check the path, or leave the split out")
            wrong = np.flatnonzero((images.labels < 0) | (images.labels >= len(self.classes)))
            if len(wrong):
                raise ReidError(
                    f"{self.root}: {images.images.name(int(wrong[0]))} has label {images.labels[wrong[0]]}, but there "
                    f"are {counted(len(self.classes), 'class', 'classes')}; the file is damaged or of another data set"
                )
        shown = np.unique(self.train.labels)
        if len(shown) < 2:
            names = quoted(self.classes[label] for label in shown)
            raise ReidError(
                f"{self.root}: all training images are of one class, {names}; a classifier needs at least two: "
                "check that the path is the folder above the classes"
            )

    @property
    def splits(self) -> dict[str, ClassificationSplit]:
        """Those there are, by name: train and val."""
        return {"train": self.train} if self.val is None else {"train": self.train, "val": self.val}

    def split(self, name: str) -> ClassificationSplit:
        """One split.

        Raises:
            ReidError: the data set does not have it.
        """
        if name not in self.splits:
            raise ReidError(f"{self.root}: there is no split {name!r}; there are {', '.join(self.splits)}")
        return self.splits[name]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the classes and of the name and label of every image, not of pixels: tells data sets apart."""
        digest = hashlib.sha256("\n".join((self.name, *self.classes)).encode())
        for split, images in self.splits.items():
            digest.update(f"\n{split}\n".encode())
            for index, label in enumerate(images.labels):
                digest.update(f"{label} {images.images.name(index)}\n".encode())
        return digest.hexdigest()
