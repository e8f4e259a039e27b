"""MoveNet SinglePose Thunder on onnxruntime: the embedded default estimator."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.estimators.runtime import onnxruntime_device, session_device, start_session
from reidprep.images import Images, crop_box, image_list
from reidprep.skeleton import COCO17_JOINTS, COCO17_MIRROR, from_coco17

INPUT_SIZE = 256
GRID = 64
STRIDE = INPUT_SIZE // GRID
# A square 1.1 times the longer side, centred on the image, works best on re-identification crops.
SQUARE_SCALE = 1.1
# The published decode weighs scores by 1 / (distance in cells + 1.8); the constant is stored as fp16.
_DISTANCE_OFFSET = np.float32(np.float16(1.8))
_AGREEMENT = 0.06


class MoveNet:
    """Single-person COCO-17 estimator, 8 ms per image on two CPU cores.

    Source and licence of the weights: NOTICE. How the graph was cut: docs/estimators.md.
    """

    name = "movenet"
    score_scale = "sigmoid heat map value at the joint, 0 to 1"
    confidence = 0.3

    def __init__(self, *, device: str = "auto", batch_size: int | None = None, flip_test: bool = False) -> None:
        """Load the network; arguments as for `create_estimator`, and `flip_test` to look at mirror images too."""
        self.options: Mapping[str, Any] = MappingProxyType({"flip_test": True} if flip_test else {})
        chosen = onnxruntime_device(device)
        weights = files("reidprep.estimators").joinpath("movenet_thunder.onnx").read_bytes()
        self.weights_sha256 = hashlib.sha256(weights).hexdigest()
        self.batch_size = batch_size or (64 if chosen == "cuda" else 2)
        # With a known batch size the results are those of the published graph to the last bit.
        self._session = start_session(weights, chosen, {"n": self.batch_size})
        self.device = session_device(self._session, device)

    def __call__(self, images: Images, paths: Sequence[str] = ()) -> NDArray[np.float32]:
        """Estimate the joints of images (`PoseEstimator`)."""
        images = image_list(images)
        sizes = np.array([image.shape[1::-1] for image in images], dtype=np.float32).reshape(-1, 2)
        joints = self._joints(images, sizes)
        if self.options:
            other_way = self._joints([image[:, ::-1] for image in images], sizes)[:, COCO17_MIRROR]
            other_way[..., 0] = sizes[:, :1] - other_way[..., 0]
            joints = merge(joints, other_way, sizes)
        return from_coco17(joints)

    def _joints(self, images: Sequence[NDArray[np.uint8]], sizes: NDArray[np.float32]) -> NDArray[np.float32]:
        """The COCO-17 joints of images of the sizes (n, 2) in source pixels, (n, 17, 3)."""
        joints = np.zeros((len(images), len(COCO17_JOINTS), 3), dtype=np.float32)
        for start in range(0, len(images), self.batch_size):
            chunk = images[start : start + self.batch_size]
            batch = np.zeros((self.batch_size, INPUT_SIZE, INPUT_SIZE, 3), dtype=np.uint8)
            for square, image in zip(batch, chunk, strict=False):
                square[:] = letterbox(image)
            heads = (head[: len(chunk)] for head in self.forward(batch))
            joints[start : start + len(chunk)] = decode_heads(*heads)

        sides = np.array([_square_side(image) for image in images], dtype=np.float32)
        joints[..., :2] *= (sides / INPUT_SIZE)[:, None, None]
        joints[..., :2] += ((sizes - sides[:, None]) / 2)[:, None]
        return joints

    def forward(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """The network alone: (`batch_size`, 256, 256, 3) uint8 -> its heads, as `decode_heads` takes them."""
        return tuple(self._session.run(["center", "regression", "heatmap", "offset"], {"images": batch}))


def merge(
    joints: NDArray[np.float32], other_way: NDArray[np.float32], sizes: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Joints seen twice: the mean where both agree within 0.06 of the image's longer side, else the surer one.

    Args:
        joints: (n, joints, 3) of x, y, score.
        other_way: the same from the mirror image, mirrored back.
        sizes: (n, 2) of the images.
    """
    distance = np.linalg.norm(joints[..., :2] - other_way[..., :2], axis=2)
    agree = distance <= _AGREEMENT * sizes.max(axis=1, keepdims=True)
    surer = np.where(joints[..., 2:] >= other_way[..., 2:], joints, other_way)
    return np.where(agree[..., None], (joints + other_way) / 2, surer)


def _square_side(image: NDArray[np.uint8]) -> float:
    return SQUARE_SCALE * float(max(image.shape[:2]))


def letterbox(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Centre an RGB image in the network's (256, 256, 3) square, aspect kept, black around it."""
    height, width = image.shape[:2]
    side = _square_side(image)
    left, top = (width - side) / 2, (height - side) / 2
    return crop_box(image, (left, top, left + side, top + side), (INPUT_SIZE, INPUT_SIZE), (0, 0, 0))


def decode_heads(
    center: NDArray[np.float32],
    regression: NDArray[np.float32],
    heatmap: NDArray[np.float32],
    offset: NDArray[np.float32],
) -> NDArray[np.float32]:
    """MoveNet's single-person decode, for a batch.

    The person is the cell with the highest weighted centre score; its regressed joints say
    where to look; each joint is the best heat map cell near there, refined by its offset.

    Args:
        center: (n, 64, 64, 1), centre score weighted by nearness to the middle.
        regression: (n, 34, 64, 64), (y, x) per joint in cells, relative to the cell.
        heatmap: (n, 17, 64, 64), 0 to 1.
        offset: (n, 34, 64, 64), (y, x) per joint in cells.

    Returns:
        (n, 17, 3) of x, y in pixels of the 256-pixel square, score 0 to 1; COCO-17 order.
    """
    n, joints = len(center), len(COCO17_JOINTS)
    rows = np.arange(n)
    person = center.reshape(n, -1).argmax(axis=1)
    vectors = regression.reshape(n, joints, 2, -1)[rows, :, :, person]
    expected_y = vectors[..., 0] + (person // GRID)[:, None].astype(np.float32)
    expected_x = vectors[..., 1] + (person % GRID)[:, None].astype(np.float32)

    cells = np.arange(GRID, dtype=np.float32)
    distance = np.sqrt(
        np.square(cells - expected_y[..., None])[..., :, None] + np.square(cells - expected_x[..., None])[..., None, :]
    )
    best = (heatmap / (distance + _DISTANCE_OFFSET)).reshape(n, joints, -1).argmax(axis=2)

    people, joint = rows[:, None], np.arange(joints)
    shift = offset.reshape(n, joints, 2, -1)[people, joint, :, best]
    x = ((best % GRID) + shift[..., 1]) * STRIDE
    y = ((best // GRID) + shift[..., 0]) * STRIDE
    score = heatmap.reshape(n, joints, -1)[people, joint, best]
    return np.stack([x, y, score], axis=-1).astype(np.float32)
