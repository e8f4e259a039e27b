"""Which of the people in an image is the one that it shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reidprep.datasets.frames import Box

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
