"""Joints that other software found and wrote to files, in the place of an estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.images import Images, image_list
from reidprep.keypoints.matching import Names, best_person, person_in_box
from reidprep.keypoints.places import check_frame, check_places, to_size
from reidprep.keypoints.reading import read_keypoints
from reidprep.skeleton import JOINTS


class KeypointFiles:
    """Looks the joints of an image up by its record path (docs/keypoint-files.md).

    Images that no file is about get NaN; images in which the files have no people get zeros, no joint found.
    """

    name = "files"
    device = "cpu"
    batch_size = 1

    def __init__(
        self,
        source: Path,
        *,
        format: str | None = None,
        images: Path | None = None,
        device: str = "auto",
        batch_size: int | None = None,
    ) -> None:
        """Read all files.

        Args:
            source: a keypoint file, or a folder of them.
            format: `openpose`, `coco`, `mmpose`, `alphapose` or `table`; detected if None.
            images: COCO annotation file that names the images of a list of COCO results.
            device: `auto` or `cpu`.
            batch_size: None.

        Raises:
            ReidError: files that cannot be used, or a device or batch size, as nothing is computed.
        """
        if device not in ("auto", "cpu") or batch_size is not None:
            option = "--device" if batch_size is None else "--batch-size"
            raise ReidError(f"--estimator files looks joints up and computes nothing; leave out {option}")
        self._source = source
        keypoints = read_keypoints(source, format, images)
        self._names = Names(keypoints.content.entries)
        self.weights_sha256 = keypoints.sha256
        self.score_scale = keypoints.content.score_scale
        self.confidence = keypoints.content.confidence
        self.options: Mapping[str, Any] = {"format": keypoints.format, "files": keypoints.files}

    def check_paths(self, paths: Sequence[str]) -> None:
        """Check that the files name the images with these paths clearly (`LooksUpPaths`)."""
        self._names.check(paths)

    def check_joints(self, joints: NDArray[np.float32], image_sizes: NDArray[np.int32], confidence: float) -> None:
        """See `ChecksJoints.check_joints`."""
        try:
            check_places(joints, image_sizes, confidence)
        except ReidError as error:
            raise ReidError(f"{self._source}: {error}") from None

    def __call__(self, images: Images, paths: Sequence[str] = ()) -> NDArray[np.float32]:
        """Look the joints of images up by their paths (`PoseEstimator`).

        Raises:
            ReidError: several entries fit a path equally well; or one is about an image of another shape.
            ValueError: not as many paths as images.
        """
        images = image_list(images)
        if len(paths) != len(images):
            raise ValueError(
                f"{len(images)} images, {len(paths)} paths: joints are looked up by the path of each image"
            )
        rows = np.full((len(images), len(JOINTS), 3), np.nan, np.float32)
        for row, image, path in zip(rows, images, paths, strict=True):
            match = self._names.find(path)
            if match is None:
                continue
            row[:] = 0
            people = match.entry.people
            height, width = image.shape[:2]
            if match.box is None:
                if match.entry.size is not None:
                    people = to_size(people, match.entry.size, (width, height), match.entry.where)
                chosen = best_person(people, width, height)
                if chosen is not None:
                    row[:] = people[chosen]
            else:
                if match.entry.size is not None:
                    check_frame(match.entry.size, match.box, (width, height), match.entry.where)
                person = person_in_box(people, match.box)
                if person is not None:
                    row[:] = person
        return rows
