"""The estimators by name, the options of each, and how one is made."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from reidprep.errors import ReidError
from reidprep.estimators.base import PoseEstimator

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "movenet": {"flip_test": "flip_test"},
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
            owners = " and ".join(other for other, known in OPTIONS.items() if option in known)
            belongs = f"belongs to --estimator {owners}" if owners else "is not known"
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

    Example:
        >>> from reidprep import create_estimator, read_image
        >>> estimator = create_estimator("movenet")
        >>> joints = estimator([read_image("person.jpg")])
        >>> joints.shape  # x and y in pixels, score
        (1, 18, 3)
    """
    given = {option: value for option, value in options.items() if value is not None}
    check_options(name, given)
    values = {OPTIONS[name][option]: value for option, value in given.items()}
    if name == "movenet":
        from reidprep.estimators.movenet import MoveNet

        return MoveNet(device=device, batch_size=batch_size, **values)
    if name == "mmpose":
        from reidprep.estimators.mmpose import MMPose

        return MMPose(device=device, batch_size=batch_size, **values)
    if name == "onnx":
        from reidprep.estimators.onnx import OnnxFile

        return OnnxFile(device=device, batch_size=batch_size, **values)
    from reidprep.keypoints.estimator import KeypointFiles

    return KeypointFiles(device=device, batch_size=batch_size, **values)
