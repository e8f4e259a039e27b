"""What a dataset reader says about an image, before the image is opened."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
class Names:
    """What a dataset calls people and cameras that it does not number: the first name is that of number 1.

    Attributes:
        people: names in sorted order, empty where people are numbered.
        cameras: the same of cameras.
    """

    people: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.people or self.cameras)


NUMBERED = Names()
"""Of a dataset that numbers both."""


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


# Nearly all paths: names between slashes, none of them one or two dots. pathlib takes much longer to say so.
_PLAIN = re.compile(r"(?!\.{1,2}(?:/|$))[^/\\:\0\n]+(?:/(?!\.{1,2}(?:/|$))[^/\\:\0\n]+)*")


def why_unsafe(path: str) -> str | None:
    """Why a path must not be opened below a dataset's folder; None if it may.

    The path is checked as text: a symbolic link inside the folder was put there by its owner and is followed.
    """
    if _PLAIN.fullmatch(path):
        return None
    if not PurePosixPath(path).parts:
        return "the path is empty"
    if "\0" in path:
        return "the path contains a NUL character"
    if "\\" in path:
        return "the path contains a backslash; separate folders by /"
    if path.startswith("/") or PureWindowsPath(path).drive:
        return "the path is absolute; give it relative to the dataset's folder"
    if ".." in PurePosixPath(path).parts:
        return "the path leaves the dataset's folder through '..'"
    return None


def unsafe_rows(paths: NDArray[np.str_]) -> Iterator[tuple[int, str]]:
    """The rows whose paths, (n,) str, lead out of the dataset that they are of or to nothing, and why."""
    for row, path in enumerate(paths.tolist()):
        if unsafe := why_unsafe(path):
            yield row, f"{path[:80]!r}: {unsafe}"
