"""A pose directory as a folder with one file per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reidprep.errors import ReidError
from reidprep.export.base import Exported, exact
from reidprep.files import FolderKind, whole_folder
from reidprep.poses.format import Poses
from reidprep.poses.reader import PoseSet
from reidprep.progress import Progress
from reidprep.records import SPLITS, Split


def export_per_image(
    poses_path: Path,
    out: Path,
    kind: FolderKind,
    file_name: Callable[[str], str],
    content: Callable[[Poses, int, Any, float], bytes],
    *,
    splits: Sequence[Split],
    overwrite: bool,
    progress: Progress,
) -> Exported:
    """Write a file for each image of a pose directory; the folder is there whole or not at all.

    Args:
        poses_path: a complete pose directory.
        out: the folder; the sub-folders in it are those of the images.
        kind: what it is to hold.
        file_name: path of an image -> name of its file, below the folder.
        content: poses, a row of them, its joints as nested lists of exact decimals, and the score from which a joint
            counts as found -> what the file is to hold.
        splits: which to write.
        overwrite: replace an earlier export.
        progress: called with the images done, and all images.

    Raises:
        ReidError: unusable poses, none in the splits, two images that would get one file, `out` holds something, a
            full disk.
    """
    poses = PoseSet(poses_path)
    chosen = np.isin(poses.column("splits"), splits)
    total = int(chosen.sum())
    if not total:
        raise ReidError(f"{poses_path}: no image in the splits {', '.join(splits)}")
    named: dict[str, str] = {}
    for path in poses.column("paths")[chosen].tolist():
        other = named.setdefault(file_name(path), path)
        if other != path:
            raise ReidError(
                f"{poses_path}: {other} and {path} would both become {file_name(path)}, where the suffix is left out; "
                "rename one of the images, or use --format coco"
            )
    images: dict[str, int] = {split: 0 for split in SPLITS if split in splits}
    size = 0
    with whole_folder(out, kind, overwrite=overwrite) as folder:
        for piece in map(poses.read_file, poses.manifest.files):
            values = exact(piece.joints)
            for row in np.flatnonzero(np.isin(piece.splits, splits)).tolist():
                data = content(piece, row, values[row], poses.plan.confidence)
                file = folder / file_name(str(piece.paths[row]))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
                size += len(data)
                images[str(piece.splits[row])] += 1
                progress(sum(images.values()), total)
    return Exported(out, images, total, size)
