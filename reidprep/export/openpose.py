"""A pose directory as the JSON files that OpenPose writes for a folder of images.

The format is that of OpenPose's `--write_json` (its doc/02_output.md) with the model COCO: 18 parts in the order of
`reidprep.skeleton.JOINTS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from reidprep.datasets.images import without_suffix
from reidprep.export.base import Exported
from reidprep.export.per_image import export_per_image
from reidprep.files import FolderKind
from reidprep.keypoints.openpose import SUFFIX
from reidprep.poses.format import Poses
from reidprep.progress import Progress, unseen
from reidprep.records import SPLITS, Split

EXPORT = FolderKind("an OpenPose export", "openpose", None, f".+{re.escape(SUFFIX)}")
_OTHERS = (
    "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d",
    "pose_keypoints_3d", "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d",
)  # fmt: skip


def export_openpose(
    poses_path: Path,
    out: Path,
    *,
    splits: Sequence[Split] = SPLITS,
    overwrite: bool = False,
    progress: Progress = unseen,
) -> Exported:
    """Write the poses of a directory as OpenPose JSON files, one per image; the folder is there whole or not at all.

    Args:
        poses_path: a complete pose directory.
        out: the folder; the sub-folders in it are those of the images.
        splits: which to write.
        overwrite: replace an earlier export.
        progress: called with the images done, and all images.

    Raises:
        ReidError: unusable poses, none in the splits, two images that differ in their suffix alone, `out` holds
            something, a full disk.
    """
    return export_per_image(
        poses_path, out, EXPORT, file_name, _person, splits=splits, overwrite=overwrite, progress=progress
    )


def file_name(path: str) -> str:
    """Where the joints of an image are, below the folder."""
    return without_suffix(path) + SUFFIX


def _person(poses: Poses, row: int, joints: list[list[float | None]], confidence: float) -> bytes:
    # Zeros are OpenPose's way to say that a part is missing.
    flat = [value for joint in joints for value in ([0, 0, 0] if None in joint else joint)]
    person = {"person_id": [int(poses.pids[row])], "pose_keypoints_2d": flat, **{name: [] for name in _OTHERS}}
    return json.dumps({"version": 1.3, "people": [person]}, separators=(",", ":")).encode()
