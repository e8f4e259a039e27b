"""A pose directory as the JSON files that OpenPose writes for a folder of images.

The format is that of OpenPose's `--write_json` (its doc/02_output.md) with the model COCO: 18 parts in the order of
`reidprep.skeleton.JOINTS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reidprep.datasets.images import without_suffix
from reidprep.errors import ReidError
from reidprep.export.base import Exported, exact
from reidprep.files import FolderKind, whole_folder
from reidprep.keypoints.openpose import SUFFIX
from reidprep.poses.reader import PoseSet
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
    poses = PoseSet(poses_path)
    chosen = np.isin(poses.column("splits"), splits)
    total = int(chosen.sum())
    if not total:
        raise ReidError(f"{poses_path}: no image in the splits {', '.join(splits)}")
    _check_names(poses_path, poses.column("paths")[chosen].tolist())
    images: dict[str, int] = {split: 0 for split in SPLITS if split in splits}
    size = 0
    with whole_folder(out, EXPORT, overwrite=overwrite) as folder:
        for piece in map(poses.read_file, poses.manifest.files):
            values = exact(piece.joints)
            for row in np.flatnonzero(np.isin(piece.splits, splits)):
                data = _person(values[row], int(piece.pids[row]))
                file = folder / file_name(str(piece.paths[row]))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
                size += len(data)
                images[str(piece.splits[row])] += 1
                progress(sum(images.values()), total)
    return Exported(out, images, total, size)


def file_name(path: str) -> str:
    """Where the joints of an image are, below the folder."""
    return without_suffix(path) + SUFFIX


def _check_names(poses_path: Path, paths: Sequence[str]) -> None:
    named: dict[str, str] = {}
    for path in paths:
        other = named.setdefault(file_name(path), path)
        if other != path:
            raise ReidError(
                f"{poses_path}: {other} and {path} would both become {file_name(path)}, as OpenPose leaves the suffix "
                "out; rename one of the images, or use --format coco"
            )


def _person(joints: list[list[float | None]], pid: int) -> bytes:
    # Zeros are OpenPose's way to say that a part is missing.
    flat = [value for joint in joints for value in ([0, 0, 0] if None in joint else joint)]
    person = {"person_id": [pid], "pose_keypoints_2d": flat, **{name: [] for name in _OTHERS}}
    return json.dumps({"version": 1.3, "people": [person]}, separators=(",", ":")).encode()
