"""Real images made hard, so that an estimator's scores fall as they do where it really fails.

The joints that an estimator is sure of in the clean image are the truth for the degraded one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reidprep.skeleton import LIMBS

Image = NDArray[np.uint8]
Joints = NDArray[np.float64]


@dataclass(frozen=True)
class Person:
    """An image and where its joints are: (h, w, 3) uint8 RGB, (18, 2) in pixels."""

    image: Image
    joints: Joints


def shrunk(person: Person, other: Person, rng: np.random.Generator) -> Person:
    """A quarter to a half of the resolution, at the old size."""
    height, width = person.image.shape[:2]
    factor = rng.uniform(0.12, 0.4)
    small = cv2.resize(
        person.image, (max(4, round(width * factor)), max(8, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    return Person(_bytes(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)), person.joints)


def blurred(person: Person, other: Person, rng: np.random.Generator) -> Person:
    """Out of focus, and moved along a line."""
    height = person.image.shape[0]
    length = max(3, round(height * rng.uniform(0.05, 0.2)))
    angle = rng.uniform(0, np.pi)
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    reach = middle * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(int(value) for value in np.round(middle + sign * reach)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1)
    moved = cv2.filter2D(person.image, -1, kernel / kernel.sum())
    return Person(_bytes(cv2.GaussianBlur(moved, (0, 0), height * rng.uniform(0.004, 0.02))), person.joints)


def darkened(person: Person, other: Person, rng: np.random.Generator) -> Person:
    """Little light and the noise of a sensor."""
    noise = rng.normal(0, rng.uniform(3, 14), person.image.shape)
    return Person(_bytes(person.image * rng.uniform(0.04, 0.25) + noise), person.joints)


def occluded(person: Person, other: Person, rng: np.random.Generator) -> Person:
    """A piece of another image over a side, the legs or any place of this one."""
    height, width = person.image.shape[:2]
    tall, wide = (
        (rng.uniform(0.5, 1), rng.uniform(0.25, 0.5)),
        (rng.uniform(0.2, 0.5), 1.0),
        (rng.uniform(0.2, 0.5), rng.uniform(0.3, 0.8)),
    )[rng.integers(3)]
    rows, columns = max(4, round(tall * height)), max(4, round(wide * width))
    top = height - rows if rng.random() < 0.5 else int(rng.integers(0, height - rows + 1))
    left = int(rng.choice([0, width - columns, rng.integers(0, width - columns + 1)]))
    piece = cv2.resize(other.image, (width, height))
    source_top, source_left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
    image = person.image.copy()
    image[top : top + rows, left : left + columns] = piece[
        source_top : source_top + rows, source_left : source_left + columns
    ]
    return Person(image, person.joints)


def cut(person: Person, other: Person, rng: np.random.Generator) -> Person:
    """The frame takes away the head, the legs or a side."""
    height, width = person.image.shape[:2]
    share = rng.uniform(0.12, 0.45)
    side = rng.integers(4)
    if side == 0:
        top = round(share * height)
        return Person(person.image[top:].copy(), person.joints - (0, top))
    if side == 1:
        return Person(person.image[: height - round(share * height)].copy(), person.joints)
    if side == 2:
        left = round(share * width)
        return Person(person.image[:, left:].copy(), person.joints - (left, 0))
    return Person(person.image[:, : width - round(share * width)].copy(), person.joints)


def overlapped(person: Person, other: Person, rng: np.random.Generator) -> Person:
    """A second person in front, or behind, to one side."""
    height, width = person.image.shape[:2]
    scale = np.array([width, height]) / other.image.shape[1::-1]
    resized = cv2.resize(other.image, (width, height))
    shift = rng.choice([-1, 1]) * rng.uniform(0.25, 0.6) * width
    down = rng.uniform(-0.1, 0.1) * height
    move = np.array([[1, 0, shift], [0, 1, down]])
    body = _silhouette(other.joints * scale, height, width)
    mask = cv2.warpAffine(body, move, (width, height))
    if rng.random() < 0.4:
        mask = mask * (1 - _silhouette(person.joints, height, width))
    moved = cv2.warpAffine(resized, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return Person(_bytes(person.image * (1 - mask[..., None]) + moved * mask[..., None]), person.joints)


DEGRADATIONS: Mapping[str, Callable[[Person, Person, np.random.Generator], Person]] = {
    "shrunk": shrunk,
    "blurred": blurred,
    "darkened": darkened,
    "occluded": occluded,
    "cut": cut,
    "overlapped": overlapped,
}


def _silhouette(joints: Joints, height: int, width: int) -> NDArray[np.float32]:
    """About where a person is, (h, w) 0 to 1: limbs as thick lines, a torso and a head, with soft edges."""
    mask = np.zeros((height, width), np.float32)
    extent = float(np.ptp(joints[:, 1]))
    points = np.round(joints).astype(int)
    for a, b in LIMBS:
        cv2.line(mask, points[a].tolist(), points[b].tolist(), 1, max(2, round(0.09 * extent)))
    cv2.fillConvexPoly(mask, cv2.convexHull(points[[2, 5, 8, 11]].astype(np.int32)), 1)
    cv2.circle(mask, points[0].tolist(), max(2, round(0.08 * extent)), 1, -1)
    return cv2.GaussianBlur(mask, (0, 0), max(0.5, 0.006 * extent)).astype(np.float32)


def _bytes(values: NDArray[np.generic]) -> Image:
    return np.clip(np.asarray(values, dtype=np.float64), 0, 255).astype(np.uint8)
