"""What a pose estimator must offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from reidprep.images import Images


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
            ValueError: as `reidprep.images.image_list`.
        """
        ...


@runtime_checkable
class ChecksJoints(Protocol):
    """What an estimator offers besides if it cannot know that its joints are what it takes them for."""

    def check_joints(self, joints: NDArray[np.float32], image_sizes: NDArray[np.int32], confidence: float) -> None:
        """Check what it gave for all images, once their sizes are known.

        Args:
            joints: (n, 18, 3) x, y, score.
            image_sizes: (n, 2) width and height.
            confidence: score from which a joint counts as found.

        Raises:
            ReidError: these are no pixels of the images, or other joints.
        """
        ...


@runtime_checkable
class LooksUpPaths(ChecksJoints, Protocol):
    """What an estimator offers besides if it looks joints up by the paths of the images instead of seeing them."""

    def check_paths(self, paths: Sequence[str]) -> None:
        """Check the record paths of all images to come; to be called before the first of them.

        Raises:
            ReidError: it has joints for none of them, or cannot tell some of them apart.
        """
        ...
