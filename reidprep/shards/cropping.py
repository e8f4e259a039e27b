"""From images of people to the crops that shards would hold of them, without shards on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from reidprep.alignment.align import Flag
from reidprep.alignment.boxes import strip_boxes
from reidprep.alignment.canonical import CanonicalPoses, default_poses
from reidprep.alignment.noise import calibration_of, shipped_sha256
from reidprep.errors import ReidError
from reidprep.estimators.base import PoseEstimator
from reidprep.estimators.registry import create_estimator
from reidprep.images import Images, decode_jpeg, encode_jpeg, image_list
from reidprep.poses.extract import estimator_plan
from reidprep.shards.build import aligned, cut_crops
from reidprep.shards.format import POSITIONS, NoisePlan, ShardPlan, View, image_shapes
from reidprep.skeleton import JOINTS
from reidprep.store.fields import plain
from reidprep.text import differences


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of n of the images that a `Cropper` was called with.

    Attributes:
        rows: (n,) int64, which of the images: all but those that the estimator has no joints for.
        joints: (n, 18, 3) as measured: x, y in pixels, score; zeros where no crop needs joints.
        image_sizes: (n, 2) int32, width and height.
        pixels: by view, (n, height, width, 3), of parts (n, 4, height, width, 3), uint8 RGB.
        flags: (n,) int32 of `reidprep.Flag`, what is doubtful; 0 where no crop needs joints.
    """

    rows: NDArray[np.int64]
    joints: NDArray[np.float32]
    image_sizes: NDArray[np.int32]
    pixels: Mapping[View, NDArray[np.uint8]]
    flags: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Cropper:
    """Makes the crops that `build_shards` would store, in memory. Safe to call from several threads.

    Attributes:
        plan: how the shards are built.
        views: which crops.
        estimator: finds the joints; None where no crop needs them (`needs_joints`).
        canonical: poses to fill gaps from, those of the plan (`with_poses`); None for the shipped ones.
        encoded: take crops through the JPEG of the plan, as those that are read from shards.
    """

    plan: ShardPlan
    views: Sequence[View]
    estimator: PoseEstimator | None
    canonical: CanonicalPoses | None = None
    encoded: bool = True

    def __call__(self, images: Images, paths: Sequence[str] = ()) -> Crops:
        """Crops of images of one person each.

        Args:
            images: (h, w, 3) uint8 RGB each.
            paths: their record paths, for estimators that look joints up.

        Raises:
            ValueError: something else than images.
        """
        images = image_list(images)
        sizes = np.array([image.shape[1::-1] for image in images], np.int32).reshape(-1, 2)
        rows = np.arange(len(images))
        joints = np.zeros((len(images), len(JOINTS), 3), np.float32)
        if self.estimator is None:
            boxes, flags = strip_boxes(sizes), np.zeros(len(images), np.int32)
        else:
            joints = self.estimator(images, paths)
            rows = np.flatnonzero(~np.isnan(joints).all(axis=(1, 2)))
            alignment = aligned(joints[rows], sizes[rows], self.canonical or default_poses(), self.plan)
            boxes, flags = alignment.boxes, alignment.flags
        shapes = image_shapes(self.plan)
        wanted = [position for view in self.views for position in POSITIONS[view]]
        crops = [
            [self._stored(crop) for crop in cut_crops(images[row], box, shapes, self.plan.border, wanted)]
            for row, box in zip(rows.tolist(), boxes, strict=True)
        ]
        return Crops(rows, joints[rows], sizes[rows], self._views(crops, shapes), flags)

    def _stored(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not self.encoded or self.plan.quality is None:
            return crop
        return decode_jpeg(np.frombuffer(encode_jpeg(crop, self.plan.quality), np.uint8))

    def _views(
        self, crops: Sequence[Sequence[NDArray[np.uint8]]], shapes: Sequence[tuple[int, int, int]]
    ) -> dict[View, NDArray[np.uint8]]:
        pixels: dict[View, NDArray[np.uint8]] = {}
        start = 0
        for view in self.views:
            count = len(POSITIONS[view])
            stacked = np.array([sample[start : start + count] for sample in crops], np.uint8)
            stacked = stacked.reshape(-1, count, *shapes[POSITIONS[view][0]])
            pixels[view] = stacked if view == "parts" else stacked[:, 0]
            start += count
        return pixels


def needs_joints(plan: ShardPlan, views: Sequence[View]) -> bool:
    """Whether crops are where joints say: neither the plain image is, nor are strips."""
    return plan.alignment == "pose" and any(view != "image" for view in views)


def planned_estimator(
    plan: ShardPlan, name: str | None = None, *, device: str = "auto", **options: Any
) -> PoseEstimator:
    """Make the estimator that shards were made with, or another one.

    Args:
        plan: of the shards.
        name: of `create_estimator`; None for that of the plan.
        device: as for `create_estimator`.
        **options: of the estimator, such as its files; those of MoveNet are in the plan.

    Raises:
        ReidError: as `create_estimator`; or the plan's cannot be made without its files, or were keypoint files.
    """
    planned = plan.poses.estimator
    if name is None and planned.name == "files" and not options:
        raise ReidError(
            "the joints of the shards were read from keypoint files, which say nothing about other images: give theirs "
            "by --estimator files --keypoints FILES, or let another estimator find them, such as --estimator movenet"
        )
    if name is None and planned.name in ("mmpose", "onnx") and not options:
        needed = "--mmpose-config CONFIG, and --mmpose-checkpoint FILE" if planned.name == "mmpose" else "--onnx FILE"
        raise ReidError(
            f"the joints of the shards were found by {planned.name} with weights of SHA-256 "
            f"{planned.weights_sha256[:12]}...: give this model by {needed}, or another estimator, such as "
            "--estimator movenet"
        )
    if name is None and planned.name == "movenet" and planned.options is not UNSET:
        options = {**planned.options, **options}
    return create_estimator(name or planned.name, device=device, **options)


def with_estimator(plan: ShardPlan, estimator: PoseEstimator) -> tuple[ShardPlan, list[str]]:
    """The plan of shards that are made with an estimator, and in what it differs from the plan's own, in words.

    If it scores on another scale, its own confidence and the calibration for it take the place of the plan's.
    """
    own = replace(estimator_plan(estimator), device=plan.poses.estimator.device)
    if own == plan.poses.estimator:
        return plan, []
    changed = replace(plan, poses=replace(plan.poses, estimator=own))
    if own.score_scale != plan.poses.estimator.score_scale:
        changed = replace(changed, confidence=estimator.confidence)
        if plan.noise is not UNSET:
            calibration, threshold = calibration_of(own.score_scale, estimator.confidence)
            noise = NoisePlan(calibration=calibration, threshold=threshold, sha256=shipped_sha256())
            changed = replace(changed, noise=noise)
    return changed, differences(plain(plan.poses.estimator), plain(own))


def with_poses(plan: ShardPlan, canonical: CanonicalPoses | None = None) -> tuple[ShardPlan, list[str]]:
    """The plan of shards whose gaps are filled by this version, and in what it differs from the plan's own, in words.

    Args:
        plan: of the shards.
        canonical: poses to fill gaps from; None for the shipped ones, which must be those of the plan.

    Raises:
        ReidError: none are given, and the plan's are not the shipped ones.
    """
    sha256 = (canonical or default_poses()).sha256
    differing = []
    if sha256 != plan.canonical_sha256:
        if canonical is None:
            raise ReidError(
                f"gaps in the shards' poses were filled by canonical poses of SHA-256 {plan.canonical_sha256[:8]}, "
                "which are not those of this version; give their file by --canonical, or take this version's by "
                "--canonical shipped, at slightly other crops"
            )
        differing.append("other canonical poses")
    changed = replace(plan, canonical_sha256=sha256)
    if plan.noise is not UNSET and plan.noise.sha256 != shipped_sha256():
        changed = replace(changed, noise=replace(plan.noise, sha256=shipped_sha256()))
        differing.append("another calibration of scores, that of this version")
    return changed, differing


def crop_parameters(plan: ShardPlan) -> dict[str, Any]:
    """What decides where crops are cut, as plain values: features of crops that were cut otherwise differ.

    How large crops are stored and encoded, and the colour outside of the image, change little, and follow from the
    dataset; they are left out.
    """
    estimator = plain(plan.poses.estimator)
    return {
        "estimator": {key: value for key, value in estimator.items() if key not in ("device", "score_scale")},
        "confidence": plan.confidence,
        "canonical_sha256": plan.canonical_sha256,
        "alignment": plan.alignment,
        "beta": plan.beta,
        "noise": None if plan.noise is UNSET else plain(plan.noise),
        "exact": plan.exact is True,
    }


def doubts(flags: NDArray[np.int32]) -> dict[str, int]:
    """How many of some images have each flag, by its words, without those that none has."""
    counts = {" ".join(flag.words): int((flags & flag > 0).sum()) for flag in Flag}
    return {words: count for words, count in counts.items() if count}
