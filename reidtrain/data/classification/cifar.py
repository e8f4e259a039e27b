"""CIFAR-100's binary version: 3,074 bytes an image, two labels and then a plane of 32x32 for each colour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ImageError, ReidError
from reidprep.files import read_file
from reidprep.text import counted
from reidtrain.data.classification.base import ClassificationData, ClassificationSplit

CLASSES = 100
_LABELS, _PIXELS = 2, 3 * 32 * 32
_RECORD = _LABELS + _PIXELS
_PUBLISHED = {"train.bin": 50_000, "test.bin": 10_000}


@dataclass(frozen=True)
class CifarImages:
    """The images of one file; it is opened for each, so that any number of workers may read.

    Attributes:
        path: the file.
        count: images in it.
    """

    path: Path
    count: int

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """File and position."""
        return f"{self.path.name}, image {index}"

    def read(self, index: int) -> NDArray[np.uint8]:
        """Read one image as (32, 32, 3) uint8 RGB."""
        try:
            planes = np.fromfile(self.path, np.uint8, _PIXELS, offset=index * _RECORD + _LABELS)
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}") from None
        if len(planes) < _PIXELS:
            raise ImageError("the file has become shorter")
        return np.ascontiguousarray(planes.reshape(3, 32, 32).transpose(1, 2, 0))


def open_cifar100(root: Path) -> ClassificationData:
    """Open ROOT/train.bin and, where there is one, ROOT/test.bin for validation; labels are the 100 fine ones.

    Class names are the lines of ROOT/fine_label_names.txt, or numbers where it is missing.

    Raises:
        ReidError: no train.bin, a file that is no whole number of records, or labels beyond CIFAR-100's.
    """
    notes: list[str] = []
    return ClassificationData(
        name="cifar-100",
        root=root,
        classes=_class_names(root / "fine_label_names.txt", notes),
        train=_split(root / "train.bin", notes),
        val=_split(root / "test.bin", notes) if (root / "test.bin").exists() else None,
        notes=tuple(notes),
    )


def _split(path: Path, notes: list[str]) -> ClassificationSplit:
    try:
        content = np.frombuffer(read_file(path), np.uint8)
    except OSError as error:
        raise ReidError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not len(content) or len(content) % _RECORD:
        raise ReidError(
            f"{path}: {len(content):,} bytes are no whole number of records of {_RECORD:,} bytes; "
            "the file is cut short or not of CIFAR-100's binary version: unpack it again"
        )
    labels = content.reshape(-1, _RECORD)[:, 1].astype(np.int64)
    if len(labels) != _PUBLISHED[path.name]:
        notes.append(f"{path.name} has {counted(len(labels), 'image')}, the published file {_PUBLISHED[path.name]:,}")
    return ClassificationSplit(CifarImages(path, len(labels)), labels)


def _class_names(path: Path, notes: list[str]) -> tuple[str, ...]:
    if not path.exists():
        notes.append(f"{path.name} is missing: classes are called by their numbers")
        return tuple(str(label) for label in range(CLASSES))
    try:
        names = tuple(read_file(path).decode().split())
    except (OSError, UnicodeDecodeError) as error:
        raise ReidError(f"{path}: cannot be read ({error}); unpack it again, or remove it to use numbers") from None
    if len(names) != CLASSES or len(set(names)) != CLASSES:
        raise ReidError(
            f"{path}: {len(set(names))} different names, not {CLASSES}; unpack it again, or remove it to use numbers"
        )
    return names
