"""What a pose estimator must offer, and the images it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


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

    def __call__(self, images: Images, paths: Sequence[str] = ()) -> NDArray[np.float32]:
        """Images -> (n, 18, 3) of x, y (source pixels), score; an image alone is one of one.

        `paths` are the record paths of the images, for estimators that look joints up instead of seeing them. A row of
        NaN says that the estimator has nothing for an image, which is then left out and listed.

        Coordinates are continuous: (0, 0) is the image's top-left corner. Must be safe to call from several threads,
        and give an image the same joints whatever else is in its batch.

        Raises:
            ValueError: as `image_list`.
        """
        ...


Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
"""A list of images, each (h, w, 3) uint8 RGB of its own size; (n, h, w, 3), or one image."""


def image_list(images: Images) -> Sequence[NDArray[np.uint8]]:
    """The images that an estimator was called with: a single one is a list of one.

    Raises:
        ValueError: something else than images; says which, and what makes it one.
    """
    listed = [images] if isinstance(images, np.ndarray) and images.ndim < 4 else list(images)
    for number, image in enumerate(listed):
        if problem := _problem(image):
            raise ValueError(f"image {number} {problem}; an image is a NumPy array (height, width, 3) of uint8, RGB")
    return listed


def _problem(image: object) -> str | None:
    if not isinstance(image, np.ndarray):
        return f"is a {type(image).__name__}: read files by reidprep.read_image"
    if image.ndim == 2:
        return f"has shape {image.shape}, it is grey: make it RGB by np.stack([image] * 3, axis=-1)"
    if image.ndim == 3 and image.shape[2] == 4:
        return f"has shape {image.shape}: leave out the fourth channel by image[..., :3]"
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
        return f"has shape {image.shape}, channels first: put them last by image.transpose(1, 2, 0)"
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        return f"has shape {image.shape}"
    if np.issubdtype(image.dtype, np.floating):
        return f"is {image.dtype}: if it is 0 to 1, take (image * 255).round().astype(np.uint8)"
    if image.dtype != np.uint8:
        return f"is {image.dtype}: if it is 0 to 255, take image.astype(np.uint8)"
    return None


@runtime_checkable
class LooksUpPaths(Protocol):
    """What an estimator offers besides if it looks joints up by the paths of the images instead of seeing them."""

    def check_paths(self, paths: Sequence[str]) -> None:
        """To be called with the record paths of all images to come, before the first of them.

        Raises:
            ReidError: it has joints for none of them, or cannot tell some of them apart.
        """
        ...
