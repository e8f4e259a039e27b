"""A pose directory as one COCO keypoints file.

The format is that of the COCO data set (https://cocodataset.org/#format-data, "Keypoint Detection"). What it has no
place for, the neck and the scores above all, stands in further fields, which COCO tools ignore (docs/export-data.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from reidprep.errors import ReidError
from reidprep.export.base import Exported, exact
from reidprep.files import TOOL, claim_file, whole_file
from reidprep.keypoints.coco import OURS
from reidprep.poses.format import Poses, take
from reidprep.poses.reader import PoseSet
from reidprep.progress import Progress, unseen
from reidprep.records import SPLITS, Split
from reidprep.skeleton import COCO17_JOINTS, COCO17_NAMES, JOINTS, indices
from reidprep.store.fields import plain

SCHEMA = {"schema": OURS, "version": 1}
"""Stands in `info.reidprep`: annotations have the field `joints`, (18, 3) x, y, score in the order of `JOINTS`."""

_ORDER = indices(*COCO17_JOINTS)
_SKELETON = (
    ("left_ankle", "left_knee"), ("left_knee", "left_hip"), ("right_ankle", "right_knee"), ("right_knee", "right_hip"),
    ("left_hip", "right_hip"), ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
    ("left_shoulder", "right_shoulder"), ("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow"),
    ("left_elbow", "left_wrist"), ("right_elbow", "right_wrist"), ("left_eye", "right_eye"), ("nose", "left_eye"),
    ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"), ("left_ear", "left_shoulder"),
    ("right_ear", "right_shoulder"),
)  # fmt: skip
_PERSON = 1


def export_coco(
    poses_path: Path,
    out: Path,
    *,
    splits: Sequence[Split] = SPLITS,
    overwrite: bool = False,
    progress: Progress = unseen,
) -> Exported:
    """Write the poses of a directory as a COCO keypoints file, which is there whole or not at all.

    Args:
        poses_path: a complete pose directory.
        out: the file.
        splits: which to write.
        overwrite: replace the file if it exists.
        progress: called with the images done, and all images.

    Raises:
        ReidError: unusable poses, none in the splits, `out` exists, a full disk.
    """
    poses = PoseSet(poses_path)
    if out.is_dir():
        raise ReidError(f"{out}: is a folder; --format coco writes one file, such as {out / 'poses.json'}")
    of_row = poses.column("splits")
    images: dict[str, int] = {split: int((of_row == split).sum()) for split in SPLITS if split in splits}
    total = sum(images.values())
    if not total:
        raise ReidError(f"{poses_path}: no image in the splits {', '.join(images)}")
    claim_file(out, overwrite=overwrite)

    def lines(of: Callable[[Poses, int, float], Iterator[str]], done: int) -> Iterator[str]:
        number = 0
        for piece in map(poses.read_file, poses.manifest.files):
            piece = take(piece, np.flatnonzero(np.isin(piece.splits, list(images))))
            yield from of(piece, number + 1, poses.plan.confidence)
            number += len(piece)
            # The file has two passes over the poses.
            progress((done + number) // 2, total)

    with whole_file(out) as file:
        file.write(_head(poses).encode())
        _write_list(file, "images", lines(_images, 0))
        file.write(b",\n")
        _write_list(file, "annotations", lines(_annotations, total))
        file.write(b"\n}\n")
    return Exported(out, images, 1, out.stat().st_size)


def _head(poses: PoseSet) -> str:
    info = {
        "description": "Poses of a person re-identification data set",
        "version": "1.0",
        "contributor": TOOL,
        "reidprep": {
            **SCHEMA,
            "joints": JOINTS,
            "confidence": poses.plan.confidence,
            "estimator": plain(poses.plan.estimator),
            "dataset": plain(poses.plan.dataset),
        },
    }
    person = {
        "id": _PERSON,
        "name": "person",
        "supercategory": "person",
        "keypoints": COCO17_NAMES,
        # Counted from 1, as COCO does.
        "skeleton": [[COCO17_NAMES.index(a) + 1, COCO17_NAMES.index(b) + 1] for a, b in _SKELETON],
    }
    return f'{{\n"info": {_json(info)},\n"licenses": [],\n"categories": [{_json(person)}],\n'


def _write_list(file: BinaryIO, name: str, lines: Iterator[str]) -> None:
    file.write(f'"{name}": ['.encode())
    for number, line in enumerate(lines):
        file.write((",\n" if number else "\n").encode() + line.encode())
    file.write(b"\n]")


def _images(poses: Poses, first: int, confidence: float) -> Iterator[str]:
    for row in range(len(poses)):
        width, height = poses.image_sizes[row].tolist()
        yield _json(
            {
                "id": first + row,
                "file_name": str(poses.paths[row]),
                "width": width,
                "height": height,
                "pid": int(poses.pids[row]),
                "camid": int(poses.camids[row]),
                "split": str(poses.splits[row]),
                "sequence": int(poses.sequences[row]),
                "frame": int(poses.frames[row]),
            }
        )


def _annotations(poses: Poses, first: int, confidence: float) -> Iterator[str]:
    found = (poses.joints[..., 2] >= confidence) & np.isfinite(poses.joints).all(axis=-1)
    for row, joints in enumerate(exact(poses.joints)):
        width, height = poses.image_sizes[row].tolist()
        keypoints = [[*joints[k][:2], 2] if found[row, k] else [0, 0, 0] for k in _ORDER]
        yield _json(
            {
                "id": first + row,
                "image_id": first + row,
                "category_id": _PERSON,
                "iscrowd": 0,
                "bbox": [0, 0, width, height],
                "area": width * height,
                "num_keypoints": int(found[row, _ORDER].sum()),
                "keypoints": [value for keypoint in keypoints for value in keypoint],
                "joints": joints,
            }
        )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
