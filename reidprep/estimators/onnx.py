"""Top-down pose networks from ONNX files: SimCC or heat maps, as mmdeploy exports them and rtmlib offers them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from reidprep.errors import ReidError, first_line
from reidprep.estimators.onnx_graph import (
    HEAT_MAPS,
    SIMCC,
    check_outputs,
    free_dimensions,
    inspect_graph,
    preprocessing,
)
from reidprep.estimators.runtime import onnxruntime_device, session_device, start_session
from reidprep.estimators.top_down import HEAT_MAP_SCORES, SIMCC_SCORES, decode_heat_maps, decode_simcc, to_image, warp
from reidprep.files import read_file
from reidprep.images import Images, image_list
from reidprep.keypoints.places import check_order
from reidprep.skeleton import to_18_joints
from reidprep.text import counted

_SCORES = {SIMCC: SIMCC_SCORES, HEAT_MAPS: HEAT_MAP_SCORES}


class OnnxFile:
    """A top-down network of an ONNX file; the whole image is one person.

    What the network sees, and how its answers are read, follows mmpose (`reidprep.estimators.top_down`), so that joints
    are those which mmpose gives for the same network, without test-time flipping.
    """

    name = "onnx"

    def __init__(
        self,
        file: Path,
        *,
        input_size: tuple[int, int] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        color: str | None = None,
        padding: float | None = None,
        device: str = "auto",
        batch_size: int | None = None,
    ) -> None:
        """Load a network. What is not given comes from the file's metadata, else it is as usual in mmpose.

        Args:
            file: the network, with its weights inside.
            input_size: (height, width), needed where the graph leaves it open.
            mean: of the three channels, 0 to 255, subtracted.
            std: the channels are divided by it.
            color: order of the channels, `rgb` or `bgr`.
            padding: size of what the network sees, relative to the image.
            device: `auto`, `cpu` or `cuda`.
            batch_size: images per forward pass; where the graph fixes it, only that is possible.

        Raises:
            ReidError: not a usable ONNX file, another kind of network, or options that contradict it.
        """
        self.file = file
        chosen = onnxruntime_device(device)
        try:
            model = read_file(file)
        except OSError as error:
            raise ReidError(f"{file}: cannot be read: {error.strerror or error}") from None
        self.weights_sha256 = hashlib.sha256(model).hexdigest()
        self._graph = inspect_graph(file, _start(file, model, "cpu", {}))
        given = {"input_size": input_size, "mean": mean, "std": std, "color": color, "padding": padding}
        self._pre = preprocessing(file, self._graph, given)
        fixed = self._graph.batch_size
        if batch_size and fixed and batch_size != fixed:
            raise ReidError(f"{file}: takes {counted(fixed, 'image')} at a time; leave out --batch-size")
        self.batch_size = fixed or batch_size or (64 if chosen == "cuda" else 4)
        # With a known batch size an image has the same joints whatever else is in its batch, last batches included.
        dimensions = free_dimensions(self._graph, self.batch_size, self._pre.input_size)
        self._session = _start(file, model, chosen, dimensions)
        self.device = session_device(self._session, device)
        self._mean = np.asarray(self._pre.mean, np.float32)
        self._factor = 1 / np.asarray(self._pre.std, np.float32)
        self.score_scale, self.confidence = _SCORES[self._graph.kind]
        self.options: Mapping[str, Any] = self._pre.as_dict()
        black = np.zeros((self.batch_size, *self._pre.input_size, 3), np.uint8)
        check_outputs(file, self._graph, self.forward(black), (self.batch_size, 3, *self._pre.input_size))

    def __call__(self, images: Images, paths: Sequence[str] = ()) -> NDArray[np.float32]:
        """Estimate the joints of images (`PoseEstimator`).

        Raises:
            ReidError: the network answers with what is no number.
        """
        images = image_list(images)
        size, padding = self._pre.input_size, self._pre.padding
        joints: list[NDArray[np.float32]] = []
        for start in range(0, len(images), self.batch_size):
            chunk = images[start : start + self.batch_size]
            batch = np.zeros((self.batch_size, *size, 3), dtype=np.uint8)
            for row, image in zip(batch, chunk, strict=False):
                row[:] = warp(image, size, padding)
            keypoints = self._decode(self.forward(batch))[: len(chunk)]
            for row, image in zip(keypoints, chunk, strict=True):
                row[:, :2] = to_image(row[:, :2], (image.shape[0], image.shape[1]), size, padding)
            joints.append(to_18_joints(keypoints))
        return np.concatenate([np.zeros((0, 18, 3), np.float32), *joints])

    def check_joints(self, joints: NDArray[np.float32], image_sizes: NDArray[np.int32], confidence: float) -> None:
        """See `ChecksJoints.check_joints`: a file tells how many joints there are, and not which."""
        try:
            check_order(joints, confidence)
        except ReidError as error:
            raise ReidError(f"{self.file}: {error} --estimator mmpose goes by the names of a model's joints") from None

    def forward(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The network alone: (`batch_size`, height, width, 3) uint8 RGB -> x and y, or heat maps.

        Raises:
            ReidError: the network cannot be run.
        """
        if self._pre.color == "bgr":
            batch = batch[..., ::-1]
        values = ((batch - self._mean) * self._factor).transpose(0, 3, 1, 2)
        feed = {self._graph.input: np.ascontiguousarray(values)}
        try:
            outputs: list[NDArray[np.float32]] = self._session.run(list(self._graph.outputs), feed)
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise ReidError(f"{self.file}: the network cannot be run: {first_line(error)}") from None
        return outputs

    def _decode(self, outputs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        if not all(np.isfinite(output).all() for output in outputs):
            raise ReidError(
                f"{self.file}: the network's answers are not all numbers (NaN or infinite); check mean and std, "
                "or export it again in 32-bit floats"
            )
        if self._graph.kind == SIMCC:
            return decode_simcc(outputs[0], outputs[1], self._pre.input_size)
        return decode_heat_maps(outputs[0], self._pre.input_size)


def _start(file: Path, model: bytes, device: str, dimensions: Mapping[str, int]) -> onnxruntime.InferenceSession:
    try:
        return start_session(model, device, dimensions)
    except Exception as error:  # onnxruntime's exceptions have no common base class
        reason = first_line(error)
        if "external data" in reason.lower() or "model_path" in reason:
            raise ReidError(
                f"{file}: keeps its weights in other files; save it with the weights inside: "
                "onnx.save(onnx.load(FILE), NEW_FILE)"
            ) from None
        raise ReidError(f"{file}: is not a usable ONNX file: {reason}") from None
