"""The truth file of a drawn dataset, and how well estimated joints agree with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import read_file
from reidprep.skeleton import JOINTS

FILE_NAME = "truth.json"
SCHEMA = "reidprep.synth.truth"
VERSION = 1


def is_drawn(folder: Path) -> bool:
    """Whether `reidprep synth` drew the images of a folder."""
    return (folder / FILE_NAME).is_file()


@dataclass(frozen=True, slots=True)
class Truth:
    """What the images of a drawn dataset show; arrays share their first axis with `paths`.

    Attributes:
        paths: relative POSIX paths.
        joints: (n, 18, 2) float32, continuous source pixels; joints may lie outside the image, and are NaN
            where an image shows nobody.
        visible: (n, 18) bool, in the image and not covered.
        pids: (n,) int64.
        camids: (n,) int64.
        yaws: (n,) float32 degrees; 0 faces the camera, 90 walks to the right, 180 shows the back, NaN nobody.
        parameters: what `generate` was called with.
    """

    paths: tuple[str, ...]
    joints: NDArray[np.float32]
    visible: NDArray[np.bool_]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    yaws: NDArray[np.float32]
    parameters: Mapping[str, int]

    def select(self, paths: Iterable[str]) -> Truth:
        """The given images in the given order, for comparison with poses of a part of the dataset.

        Raises:
            ReidError: the truth does not know a path.
        """
        position = {path: i for i, path in enumerate(self.paths)}
        wanted = [str(path) for path in paths]
        unknown = [path for path in wanted if path not in position]
        if unknown:
            raise ReidError(f"{FILE_NAME} does not name {unknown[0]}; do the poses belong to this dataset?")
        rows = np.array([position[path] for path in wanted], dtype=np.int64)
        return Truth(
            paths=tuple(wanted),
            joints=self.joints[rows],
            visible=self.visible[rows],
            pids=self.pids[rows],
            camids=self.camids[rows],
            yaws=self.yaws[rows],
            parameters=self.parameters,
        )


@dataclass(frozen=True, slots=True)
class Pck:
    """Share of correct keypoints.

    Attributes:
        fraction: allowed distance as a share of body height.
        overall: share over all visible joints, NaN if there are none.
        per_joint: share by joint name, NaN where a joint is never visible.
        counts: visible joints by name.
    """

    fraction: float
    overall: float
    per_joint: Mapping[str, float]
    counts: Mapping[str, int]


def load_truth(dataset: Path) -> Truth:
    """Read the truth of a dataset that `generate` wrote.

    Raises:
        ReidError: there is no such file, or another program or version wrote it.
    """
    file = dataset / FILE_NAME
    try:
        content = json.loads(read_file(file))
    except FileNotFoundError:
        raise ReidError(f"{file} does not exist; make the dataset with 'reidprep synth'") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ReidError(f"{file} is not valid JSON ({error}); make the dataset again") from None
    found = (content.get("schema"), content.get("version")) if isinstance(content, dict) else None
    if found != (SCHEMA, VERSION):
        raise ReidError(f"{file} is not a {SCHEMA} version {VERSION} file; make the dataset again")
    images: list[dict[str, Any]] = content["images"]
    nobody = [[np.nan, np.nan]] * len(JOINTS)
    return Truth(
        paths=tuple(image["path"] for image in images),
        joints=np.array([image["joints"] or nobody for image in images], dtype=np.float32),
        visible=np.array([image["visible"] for image in images], dtype=bool),
        pids=np.array([image["pid"] for image in images], dtype=np.int64),
        camids=np.array([image["camid"] for image in images], dtype=np.int64),
        yaws=np.array([image["yaw"] for image in images], dtype=np.float32),
        parameters=content["parameters"],
    )


def pck(truth: Truth, joints: NDArray[np.floating], fraction: float = 0.1) -> Pck:
    """Share of the visible joints that an estimate puts within a fraction of body height of the truth.

    Body height is the vertical extent of all true joints of the person, whether visible or not
    (from eyes to ankles, a little less than the person's own height).

    Args:
        truth: n images.
        joints: (n, 18, 2) or (n, 18, 3) continuous source pixels, images in the truth's order; a score is
            not looked at, so every visible joint counts; NaN is a miss.
        fraction: allowed distance.

    Raises:
        ValueError: the estimate is of another shape than the truth.
    """
    if joints.shape[:2] != truth.visible.shape or joints.shape[2:] not in ((2,), (3,)):
        raise ValueError(f"joints of shape {joints.shape} do not fit a truth of shape {truth.joints.shape}")
    y = truth.joints[..., 1]
    height = y.max(axis=1) - y.min(axis=1)
    distance = np.linalg.norm(joints[..., :2] - truth.joints, axis=-1)
    correct = (distance <= fraction * height[:, None]) & truth.visible
    counts, hits = truth.visible.sum(axis=0), correct.sum(axis=0)
    return Pck(
        fraction=fraction,
        overall=_share(int(hits.sum()), int(counts.sum())),
        per_joint={name: _share(int(h), int(c)) for name, h, c in zip(JOINTS, hits, counts, strict=True)},
        counts={name: int(c) for name, c in zip(JOINTS, counts, strict=True)},
    )


def _share(hits: int, count: int) -> float:
    return hits / count if count else float("nan")
