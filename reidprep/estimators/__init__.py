"""Pose estimators: what one must offer, and how one is made by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError


class PoseEstimator(Protocol):
    """Finds the one person a re-identification image shows.

    Attributes:
        name: what `create_estimator` takes.
        weights_sha256: hash of the weights file, hex.
        score_scale: what the scores mean, in words; stored with the poses.
        confidence: the score from which a joint counts as found, on this estimator's scale.
        device: what it runs on, `cpu` or `cuda`.
        batch_size: images per forward pass; calls with a multiple of it waste nothing.
        options: what else shapes the joints, such as a flip test; JSON values, stored with the poses.
    """

    name: str
    weights_sha256: str
    score_scale: str
    confidence: float
    device: str
    batch_size: int
    options: Mapping[str, Any]

    def __call__(self, images: Sequence[NDArray[np.uint8]], paths: Sequence[str]) -> NDArray[np.float32]:
        """RGB images, each (h, w, 3) uint8 of its own size -> (n, 18, 3) of x, y (source pixels), score.

        `paths` are the record paths of the images, for estimators that look joints up instead of seeing them. A row of
        NaN says that the estimator has nothing for an image, which is then left out and listed.

        Coordinates are continuous: (0, 0) is the image's top-left corner. Must be safe to call from several threads,
        and give an image the same joints whatever else is in its batch.
        """
        ...


@runtime_checkable
class LooksUpPaths(Protocol):
    """What an estimator offers besides if it looks joints up by the paths of the images instead of seeing them."""

    def check_paths(self, paths: Sequence[str]) -> None:
        """To be called with the record paths of all images to come, before the first of them.

        Raises:
            ReidError: it has joints for none of them, or cannot tell some of them apart.
        """
        ...


OPTIONS: Mapping[str, Mapping[str, str]] = {
    "movenet": {},
    "mmpose": {"mmpose_config": "config", "mmpose_checkpoint": "checkpoint", "flip_test": "flip_test"},
    "onnx": {
        "onnx": "file",
        "onnx_input_size": "input_size",
        "onnx_mean": "mean",
        "onnx_std": "std",
        "onnx_color": "color",
        "onnx_padding": "padding",
    },
    "files": {"keypoints": "source", "keypoint_format": "format", "keypoint_images": "images"},
}
"""For each estimator the options it takes besides device and batch size, and the names its class has for them."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "mmpose": ("mmpose_config",),
    "onnx": ("onnx",),
    "files": ("keypoints",),
}
"""The options without which an estimator cannot be made."""

ESTIMATORS = tuple(OPTIONS)


def check_options(name: str, options: Collection[str]) -> None:
    """Refuse options that an estimator does not take, and the lack of those it needs.

    Args:
        name: one of `ESTIMATORS`.
        options: the names of those given.

    Raises:
        ReidError: with the options written as on a command line.
    """
    if name not in OPTIONS:
        raise ReidError(f"unknown estimator {name!r}; known: {', '.join(ESTIMATORS)}")
    for option in options:
        if option not in OPTIONS[name]:
            owner = next((other for other, known in OPTIONS.items() if option in known), None)
            belongs = f"belongs to --estimator {owner}" if owner else "is not known"
            raise ReidError(f"--estimator {name} takes no {_dashed(option)}; it {belongs}")
    for option in REQUIRED.get(name, ()):
        if option not in options:
            raise ReidError(f"--estimator {name} needs {_dashed(option)}")


def _dashed(option: str) -> str:
    return "--" + option.replace("_", "-")


def create_estimator(
    name: str = "movenet", *, device: str = "auto", batch_size: int | None = None, **options: Any
) -> PoseEstimator:
    """Make an estimator.

    Args:
        name: one of `ESTIMATORS`.
        device: `auto`, `cpu` or `cuda`.
        batch_size: images per forward pass; what suits the device if None.
        options: those of `OPTIONS[name]`; None is as good as not given. All may be pickled.

    Raises:
        ReidError: unknown name or option, a missing option, a file that cannot be used, or the device is not available.
    """
    given = {option: value for option, value in options.items() if value is not None}
    check_options(name, given)
    values = {OPTIONS[name][option]: value for option, value in given.items()}
    if name == "movenet":
        from reidprep.estimators.movenet import MoveNet

        return MoveNet(device=device, batch_size=batch_size)
    if name == "mmpose":
        from reidprep.estimators.mmpose import MMPose

        return MMPose(device=device, batch_size=batch_size, **values)
    if name == "onnx":
        from reidprep.estimators.onnx_file import OnnxFile

        return OnnxFile(device=device, batch_size=batch_size, **values)
    from reidprep.estimators.keypoint_files import KeypointFiles

    return KeypointFiles(device=device, batch_size=batch_size, **values)
