"""What a dataset reader says about an image, before the image is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "query", "gallery"]
SPLITS: tuple[Split, ...] = ("train", "query", "gallery")


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a dataset.

    Attributes:
        path: relative POSIX path below the dataset's root (or inside its container file).
        pid: person id as the dataset gives it; -1 marks junk detections.
        camid: camera number as the dataset gives it.
        split: train, query or gallery.
        sequence: recording sequence at the camera, -1 if the dataset does not say.
        frame: frame number within the sequence, -1 if the dataset does not say.
    """

    path: str
    pid: int
    camid: int
    split: Split
    sequence: int = -1
    frame: int = -1
