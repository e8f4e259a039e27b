"""How right joints are where an estimator really fails: as measured, filled as before, and as estimated now.

The joints that the embedded estimator is sure of, in an image and in its mirror image, are the truth. The image is made
hard (smaller, blurred, dark, occluded, cut, with a second person) until scores fall, its joints are estimated again,
and those within a tenth of the body height of the truth count as right. Then the boxes. Drawn people have a truth of
their own.

    python benchmarks/degraded_images.py MARKET [--images 600] [--copies 4] [--flip-test]
    python benchmarks/degraded_images.py MARKET --mmpose-config CONFIG.py --mmpose-checkpoint WEIGHTS.pth
    python benchmarks/degraded_images.py DRAWN --drawn

With `--keep FOLDER` what the estimators say is kept there, and trying another fill costs the fill only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from previous_fill import previous_fill
from rich.console import Console
from rich.table import Table

from reidprep.alignment.boxes import body_boxes
from reidprep.alignment.canonical import default_poses
from reidprep.alignment.filling import fill
from reidprep.alignment.noise import calibration_of, shipped_noise
from reidprep.datasets.base import Dataset
from reidprep.datasets.registry import open_dataset
from reidprep.estimators.base import PoseEstimator
from reidprep.estimators.registry import create_estimator
from reidprep.records import Record
from reidprep.skeleton import LIMBS, MIRROR, PARTS, indices
from reidprep.synth.truth import load_truth

Image = NDArray[np.uint8]
Joints = NDArray[np.float64]
Mask = NDArray[np.bool_]

BANDS = 6
LIMB_JOINTS = np.isin(np.arange(18), indices(
    *(f"{side}_{name}" for side in "rl" for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
))  # fmt: skip
SURE, NEAR, RIGHT = 0.4, 0.04, 0.1


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


class Measured(NamedTuple):
    """Estimated joints (n, 18, 3) of images of the sizes (n, 2), and where they are (n, 18, 2).

    That is known of some, and of nearly all joints (18 less one at most) in some images, `whole`.
    """

    joints: NDArray[np.float32]
    sizes: NDArray[np.int32]
    truth: Joints
    known: Mask
    whole: Mask
    heights: Joints
    kinds: NDArray[np.str_]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--drawn", action="store_true", help="the dataset was drawn: its own truth, nothing degraded")
    parser.add_argument("--split", default="query")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--copies", type=int, default=4, help="degraded images of each")
    parser.add_argument("--mmpose-config")
    parser.add_argument("--mmpose-checkpoint")
    parser.add_argument("--flip-test", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for what the estimators say, not asked again")
    arguments = parser.parse_args()

    chosen: dict[str, object] = {"flip_test": arguments.flip_test or None, "device": "cpu"}
    if arguments.mmpose_config:
        chosen |= {"mmpose_config": arguments.mmpose_config, "mmpose_checkpoint": arguments.mmpose_checkpoint}
    estimator = create_estimator("mmpose" if arguments.mmpose_config else "movenet", **chosen)  # type: ignore[arg-type]
    rng = np.random.default_rng(arguments.seed)
    if arguments.drawn:
        data = drawn(arguments.dataset, arguments.images, estimator, arguments.keep)
    else:
        dataset = open_dataset(arguments.dataset)
        records = of_identities(dataset, arguments.split, arguments.images, calibration=False)
        data = degraded(dataset, records, arguments.copies, estimator, rng, arguments.keep)
    report(data, estimator)


def of_identities(dataset: Dataset, split: str, count: int, *, calibration: bool) -> list[Record]:
    """Images of the identities that the shipped figures were calibrated on, every second one, or of the others."""
    records = [r for r in dataset.records if r.split == split and r.pid > 0 and (r.pid // 2) % 2 != calibration]
    return records[:: max(1, len(records) // count)][:count]


def degraded(
    dataset: Dataset,
    records: Sequence[Record],
    copies: int,
    estimator: PoseEstimator,
    rng: np.random.Generator,
    keep: Path | None,
) -> Measured:
    """Those of the images that are sure, made hard."""
    images = [dataset.images.read(record.path) for record in records]
    reference = create_estimator("movenet", device="cpu")
    joints = measure(reference, images, keep)
    mirrored = measure(reference, [image[:, ::-1] for image in images], keep)[:, MIRROR]
    widths = np.array([image.shape[1] for image in images])
    mirrored[..., 0] = widths[:, None] - mirrored[..., 0]
    truth = (joints[..., :2].astype(np.float64) + mirrored[..., :2]) / 2
    sure = np.minimum(joints[..., 2], mirrored[..., 2]) >= SURE
    y = truth[..., 1]
    heights = np.where(sure, y, -np.inf).max(axis=1) - np.where(sure, y, np.inf).min(axis=1)
    sure &= np.linalg.norm(joints[..., :2] - mirrored[..., :2], axis=2) < NEAR * heights[:, None]
    face, ankles = indices("r_eye", "l_eye", "r_ear", "l_ear"), indices("r_ankle", "l_ankle")
    good = np.flatnonzero((sure.sum(axis=1) >= 15) & sure[:, face].any(axis=1) & sure[:, ankles].any(axis=1))
    made, rows, kinds = [], [], []
    for row in good:
        for kind in rng.permutation(list(DEGRADATIONS))[:copies]:
            other = int(rng.choice(good))
            person = DEGRADATIONS[kind](Person(images[row], truth[row]), Person(images[other], truth[other]), rng)
            made.append(person)
            rows.append(row)
            kinds.append(kind)
    estimated = measure(estimator, [person.image for person in made], keep)
    places = np.stack([person.joints for person in made])
    sizes = np.array([person.image.shape[1::-1] for person in made], np.int32)
    known = sure[rows] & ((places >= 0) & (places <= sizes[:, None])).all(axis=2)
    # Where the second person is the one that was found, nothing can be learnt about the first.
    away = np.linalg.norm(estimated[..., :2] - places, axis=2) > 0.2 * heights[rows, None]
    same = (away & known).sum(axis=1) <= 0.6 * known.sum(axis=1)
    whole = sure[rows].sum(axis=1) >= 17
    every = Measured(estimated, sizes, places, known, whole, heights[rows], np.array(kinds))
    return Measured(*(values[same] for values in every))


def drawn(root: Path, count: int, estimator: PoseEstimator, keep: Path | None) -> Measured:
    """Drawn people as they are."""
    dataset = open_dataset(root)
    records = [record for record in dataset.records if record.pid > 0][:count]
    images = [dataset.images.read(record.path) for record in records]
    truth = load_truth(root).select(record.path for record in records)
    return Measured(
        joints=measure(estimator, images, keep),
        sizes=np.array([image.shape[1::-1] for image in images], np.int32),
        truth=truth.joints.astype(np.float64),
        known=np.isfinite(truth.joints).all(axis=2),
        whole=np.isfinite(truth.joints).all(axis=(1, 2)),
        heights=np.ptp(truth.joints[..., 1], axis=1).astype(np.float64),
        kinds=np.array(["drawn"] * len(images)),
    )


def measure(estimator: PoseEstimator, images: Sequence[Image], keep: Path | None) -> NDArray[np.float32]:
    """Joints of images, on all cores, or as the folder `keep` has them."""
    asked = hashlib.sha256(json.dumps([estimator.name, estimator.weights_sha256, dict(estimator.options)]).encode())
    for image in images:
        asked.update(np.ascontiguousarray(image))
    kept = keep / f"{asked.hexdigest()[:16]}.npy" if keep else None
    if kept and kept.exists():
        known: NDArray[np.float32] = np.load(kept)
        return known
    pieces = [images[start : start + 16] for start in range(0, len(images), 16)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        joints = np.concatenate(list(threads.map(estimator, pieces)))
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, joints)
    return joints


def report(data: Measured, estimator: PoseEstimator) -> None:
    """Print the tables."""
    confidence, poses = estimator.confidence, default_poses()
    noise = shipped_noise(*calibration_of(estimator.score_scale, confidence))
    ways = {
        "measured": data.joints[..., :2].astype(np.float64),
        "before": previous_fill(data.joints, data.sizes, poses, confidence),
        "now": fill(data.joints, data.sizes, poses, confidence, noise).joints.astype(np.float64),
        "exact": fill(data.joints, data.sizes, poses, confidence, noise, exact=True).joints.astype(np.float64),
    }
    score, truth, heights = data.joints[..., 2], data.truth, data.heights[:, None]
    right = {name: np.linalg.norm(way - truth, axis=2) <= RIGHT * heights for name, way in ways.items()}
    limbs = data.known & LIMB_JOINTS
    console = Console(width=220)

    table = Table(title=f"{estimator.name}: limb joints that are right, by score; {len(heights)} images")
    for column in ("score", "joints", *ways, "now - measured", "standard error"):
        table.add_column(column, justify="right")
    step = confidence / BANDS
    hard = (score.mean(axis=1) < 1.2 * confidence)[:, None]
    lines = {
        "all": limbs, "weak": limbs & (score < confidence), "found": limbs & (score >= confidence),
        "all of hard images": limbs & hard, "weak of hard images": limbs & hard & (score < confidence),
        **{f"{a:.3g}-{a + step:.3g}": limbs & (score >= a) & (score < a + step)
           for a in step * np.arange(BANDS)},
        "face and neck": data.known & ~LIMB_JOINTS,
    }  # fmt: skip
    for name, mask in lines.items():
        if mask.any():
            gain, error = mean_by_image(right["now"].astype(float) - right["measured"], mask)
            shares = (f"{of[mask].mean():.3f}" for of in right.values())
            table.add_row(name, str(mask.sum()), *shares, f"{gain:+.3f}", f"{error:.3f}")
    console.print(table)

    expected, _ = body_boxes(truth[data.whole].astype(np.float32), data.sizes[data.whole])
    names, shown = ("whole", *PARTS), ("before", "now", "exact")
    table = Table(title="IoU of boxes with those of the truth")
    for column in ("images", "number", *(f"{name} {way}" for name in names for way in shown)):
        table.add_column(column, justify="right")
    kinds = data.kinds[data.whole]
    overlaps = {
        name: overlap(body_boxes(way[data.whole].astype(np.float32), data.sizes[data.whole])[0], expected)
        for name, way in ways.items()
    }
    for kind in ("all", *dict.fromkeys(kinds.tolist())):
        rows = (kinds == kind) | (kind == "all")
        cells = [f"{overlaps[way][rows, box].mean():.3f}" for box in range(len(names)) for way in shown]
        table.add_row(kind, str(rows.sum()), *cells)
    console.print(table)
    console.print("worst region:", {way: names[int(of.mean(axis=0).argmin())] for way, of in overlaps.items()})


def mean_by_image(values: Joints, mask: Mask) -> tuple[float, float]:
    """Mean of the values (n, 18) in the mask and its standard error, the joints of an image going together."""
    mean, count = float(values[mask].mean()), int(mask.sum())
    return mean, float(np.sqrt(np.square(((values - mean) * mask).sum(axis=1)).sum())) / count


def overlap(boxes: NDArray[np.floating], others: NDArray[np.floating]) -> Joints:
    """Intersection over union of boxes (..., 4)."""
    low, high = np.maximum(boxes[..., :2], others[..., :2]), np.minimum(boxes[..., 2:], others[..., 2:])
    shared = np.prod(np.maximum(0, high - low), axis=-1)
    areas = [np.prod(of[..., 2:] - of[..., :2], axis=-1) for of in (boxes, others)]
    result: Joints = shared / (areas[0] + areas[1] - shared)
    return result


if __name__ == "__main__":
    main()
