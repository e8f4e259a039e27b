"""Which entry of a keypoint file belongs to an image, and which of the people there the image shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from reidprep.datasets.images import Box, split_box, without_suffix
from reidprep.errors import ReidError
from reidprep.keypoints.base import Entry


@dataclass(frozen=True)
class Match:
    """The entry of an image.

    Attributes:
        entry: what the file has.
        box: the image is this part of the image that the entry is about; None: it is that image itself.
    """

    entry: Entry
    box: Box | None


class Names:
    """Finds entries by record paths.

    A name fits a path if the two agree, folder by folder from the end, as far as the shorter goes; where the format
    leaves out the suffix of the images, the path's is left out as well. A name equal to the path goes before others.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Raises `ReidError` if two entries have one name."""
        self._by_last: dict[str, list[tuple[tuple[str, ...], Entry]]] = {}
        for entry in entries:
            parts = PurePosixPath(entry.name).parts
            others = self._by_last.setdefault(parts[-1] if parts else "", [])
            for other_parts, other in others:
                if other_parts == parts and other.has_suffix == entry.has_suffix:
                    raise ReidError(f"{other.where} and {entry.where} are both about {entry.name}; remove one")
            others.append((parts, entry))

    def find(self, path: str) -> Match | None:
        """The entry for a record path, None if there is none.

        The path of a box in a frame is looked for as it is, and then as that of the whole frame.

        Raises:
            ReidError: several fit equally well; names two.
        """
        entry = self._find(path)
        if entry is not None:
            return Match(entry, None)
        frame, box = split_box(path)
        entry = self._find(frame) if box else None
        return Match(entry, box) if entry is not None else None

    def _find(self, path: str) -> Entry | None:
        fitting: list[tuple[bool, Entry]] = []
        for has_suffix, wanted in (
            (True, PurePosixPath(path).parts),
            (False, PurePosixPath(without_suffix(path)).parts),
        ):
            for parts, entry in self._by_last.get(wanted[-1], ()):
                common = min(len(parts), len(wanted))
                if entry.has_suffix == has_suffix and parts[-common:] == wanted[-common:]:
                    fitting.append((parts == wanted, entry))
        exact = [entry for equal, entry in fitting if equal]
        found = exact or [entry for _, entry in fitting]
        if len(found) > 1:
            raise ReidError(
                f"{path}: both {found[0].where} ({found[0].name}) and {found[1].where} ({found[1].name}) fit; "
                "name the image in full, with its folders, in the keypoint files"
            )
        return found[0] if found else None

    def check(self, paths: Iterable[str]) -> None:
        """Check that entries can be told apart for these images.

        Raises:
            ReidError: one entry fits two images, or nothing fits any image.
        """
        used: dict[int, str] = {}
        last = ""
        for last in paths:
            match = self.find(last)
            if match is None:
                continue
            image = split_box(last)[0] if match.box else last
            other = used.setdefault(id(match.entry), image)
            if other != image:
                raise ReidError(
                    f"{match.entry.where}: {match.entry.name} fits both {other} and {image}; "
                    "name the images in full, with their folders, in the keypoint files"
                )
        if last and not used:
            names = [entry.name for entries in self._by_last.values() for _, entry in entries]
            has = f"the keypoint files name {names[0]!r}" if names else "the keypoint files name no image"
            raise ReidError(f"no image has keypoints: {has}, the dataset {last!r}, for instance; do the names agree?")


CENTRE = 0.75
"""Sides of the rectangle around the image's centre that people are compared with, relative to the image's: about what
the joints of a pedestrian take up in a detector's box (Market-1501: .73 of the width and .83 of the height)."""


def best_person(people: NDArray[np.float32], width: float, height: float) -> int | None:
    """The person who overlaps best with the middle of an image.

    Overlap is intersection over union of the rectangle around a person's joints (those of a score above 0) and the
    rectangle around the image's centre with `CENTRE` of its width and height. Of equal ones the higher sum of scores
    counts, then the first. A single person needs no overlap.

    Args:
        people: (m, 18, 3).
        width: of the image, in pixels.
        height: of the image, in pixels.

    Returns:
        The person's number, None if there is none with a joint.
    """
    if len(people) == 1:
        return 0
    centre = np.array([width, height]) / 2
    half = centre * CENTRE
    ranked = [
        (overlap(box, (centre - half, centre + half)), float(np.clip(person[:, 2], 0, None).sum()), -number)
        for number, person in enumerate(people)
        if (box := joint_box(person)) is not None
    ]
    return -max(ranked)[2] if ranked else None


def person_in_box(people: NDArray[np.float32], box: Box) -> NDArray[np.float32] | None:
    """The person of a frame who fits a box best, in pixels of the box; None if nobody reaches into it.

    Args:
        people: (m, 18, 3) in pixels of the frame.
        box: part of the frame.

    Returns:
        (18, 3).
    """
    moved = people.copy()
    moved[..., :2] -= np.where(people[..., 2:] > 0, np.array([box.x, box.y], np.float32), 0)
    inside = [person for person in moved if _reaches_into(person, box)]
    chosen = best_person(np.array(inside, np.float32).reshape(-1, 18, 3), box.width, box.height)
    return inside[chosen] if chosen is not None else None


def _reaches_into(person: NDArray[np.float32], box: Box) -> bool:
    corners = joint_box(person)
    if corners is None:
        return False
    low, high = corners
    return bool((high >= 0).all() and (low <= np.array([box.width, box.height])).all())


def joint_box(person: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Lower and upper corner (x, y) of the rectangle around the joints with a score above 0; None if there are none."""
    points = person[person[:, 2] > 0, :2].astype(np.float64)
    return (points.min(axis=0), points.max(axis=0)) if len(points) else None


def overlap(
    one: tuple[NDArray[np.float64], NDArray[np.float64]], other: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> float:
    """Intersection over union of two rectangles, each a lower and an upper corner; 0 if both are empty."""
    sides = np.clip(np.minimum(one[1], other[1]) - np.maximum(one[0], other[0]), 0, None)
    shared = float(sides.prod())
    union = float((one[1] - one[0]).prod() + (other[1] - other[0]).prod()) - shared
    return shared / union if union > 0 else 0.0
