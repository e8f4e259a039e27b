"""A pose directory as the JSON files that OpenPifPaf writes: `NAME.predictions.json` for each image.

The format is that of `openpifpaf.predict --json-output`: a list with an object for each person, of which ours has one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reidprep.export.base import Exported
from reidprep.export.per_image import export_per_image
from reidprep.files import FolderKind
from reidprep.poses.format import Poses
from reidprep.progress import Progress, unseen
from reidprep.records import SPLITS, Split
from reidprep.skeleton import COCO17_JOINTS, indices

SUFFIX = ".predictions.json"
EXPORT = FolderKind("an OpenPifPaf export", "openpifpaf", None, f".+{re.escape(SUFFIX)}")

_ORDER = indices(*COCO17_JOINTS)
_PERSON = 1


def export_openpifpaf(
    poses_path: Path,
    out: Path,
    *,
    splits: Sequence[Split] = SPLITS,
    overwrite: bool = False,
    progress: Progress = unseen,
) -> Exported:
    """Write the poses of a directory as OpenPifPaf's predictions, a file per image.

    Args:
        poses_path: a complete pose directory.
        out: the folder; the sub-folders in it are those of the images.
        splits: which to write.
        overwrite: replace an earlier export.
        progress: called with the images done, and all images.

    Raises:
        ReidError: as `reidprep.export.per_image.export_per_image`.
    """
    return export_per_image(
        poses_path,
        out,
        EXPORT,
        lambda path: path + SUFFIX,
        _content,
        splits=splits,
        overwrite=overwrite,
        progress=progress,
    )


def _content(poses: Poses, row: int, joints: Any, confidence: float) -> bytes:
    width, height = poses.image_sizes[row].tolist()
    return predictions(joints, (width, height), confidence)


def predictions(joints: Sequence[Sequence[float | None]], size: tuple[int, int], confidence: float) -> bytes:
    """The file of an image.

    Args:
        joints: x, y, score of each of our 18; None where a number is not finite.
        size: width and height of the image.
        confidence: score from which a joint counts as found.
    """
    keypoints = [(0, 0, 0) if None in joints[k] else tuple(joints[k]) for k in _ORDER]
    # OpenPifPaf's box is that of the joints; where none was found it is the image.
    found = [(x, y) for x, y, score in keypoints if score >= confidence] or [(0, 0), size]
    xs, ys = zip(*found, strict=True)
    person = {
        "keypoints": [value for keypoint in keypoints for value in keypoint],
        "bbox": [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)],
        "score": round(sum(score for _, _, score in keypoints) / len(keypoints), 4),
        "category_id": _PERSON,
    }
    return json.dumps([person], separators=(",", ":")).encode()
