"""OpenPose's `--write_json`: a file NAME_keypoints.json per image, with COCO-18 or BODY_25 parts.

Before 1.2 it wrote `pose_keypoints` in place of `pose_keypoints_2d`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reidprep.errors import ReidError
from reidprep.keypoints.base import Content, Entry, field, flat_joints, load_json, stack
from reidprep.text import counted

SUFFIX = "_keypoints.json"
_PARTS = (18, 25)


def read_openpose(files: Sequence[tuple[str, Path]]) -> Content:
    """Read files of OpenPose.

    Args:
        files: name below the folder, and file.

    Raises:
        ReidError: a file of another form; names it.
    """
    entries = [
        Entry(name.removesuffix(SUFFIX), False, str(file), people(load_json(file), str(file))) for name, file in files
    ]
    return Content(entries, "OpenPose part confidence, 0 to 1", confidence=0.05)


def people(document: Any, where: str) -> Any:
    """The people of one file, (m, 18, 3).

    Raises:
        ReidError: it has another form.
    """
    found = []
    for number, person in enumerate(field(document, "people", list, where)):
        place = f"{where}: person {number}"
        old = isinstance(person, dict) and "pose_keypoints_2d" not in person and "pose_keypoints" in person
        values = field(person, "pose_keypoints" if old else "pose_keypoints_2d", list, place)
        if not values:  # a face or a hand without a body
            continue
        if len(values) not in [3 * parts for parts in _PARTS]:
            raise ReidError(
                f"{place} has {counted(len(values), 'number')}; OpenPose's models COCO and BODY_25 give 54 and 75 (x, "
                "y, score)"
            )
        found.append(flat_joints(values, place))
    return stack(found)
