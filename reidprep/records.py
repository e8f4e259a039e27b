"""What a dataset reader says about an image, before the image is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "query", "gallery"]
SPLITS: tuple[Split, ...] = ("train", "query", "gallery")
JUNK_PID = -1
"""Marks detections that are neither a match nor an impostor."""


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


@dataclass(frozen=True)
class SplitCounts:
    """The size of one split.

    Attributes:
        split: train, query or gallery.
        images: number of images, junk included.
        identities: number of person ids, junk (-1) not counted.
        cameras: number of cameras.
        junk: number of images of pid -1.
    """

    split: Split
    images: int
    identities: int
    cameras: int
    junk: int

    @classmethod
    def of(cls, split: Split, pids: Sequence[int], camids: Sequence[int]) -> SplitCounts:
        """Count the images of one split, given by their ids and cameras."""
        return cls(
            split=split,
            images=len(pids),
            identities=len(set(pids) - {JUNK_PID}),
            cameras=len(set(camids)),
            junk=sum(pid == JUNK_PID for pid in pids),
        )
