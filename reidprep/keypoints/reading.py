"""Read keypoint files of any known format."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reidprep.errors import ReidError
from reidprep.files import file_sha256
from reidprep.keypoints.alphapose import is_alphapose, read_alphapose, read_alphapose_folder
from reidprep.keypoints.base import Content, load_json
from reidprep.keypoints.coco import read_coco
from reidprep.keypoints.mmpose_json import read_mmpose
from reidprep.keypoints.openpose import SUFFIX, read_openpose
from reidprep.keypoints.table import read_table

FORMATS = ("openpose", "coco", "mmpose", "alphapose", "table")


_READ_FOLDER: dict[str, Callable[[Sequence[tuple[str, Path]]], Content]] = {
    "openpose": read_openpose,
    "mmpose": read_mmpose,
    "alphapose": read_alphapose_folder,
}
_LARGEST_SCORE = 2
"""Heatmaps may peak somewhat above 1."""


@dataclass(frozen=True)
class Keypoints:
    """What keypoint files hold.

    Attributes:
        format: one of `FORMATS`.
        content: images and people.
        files: how many files there are.
        sha256: hash over the names and contents of the files.
    """

    format: str
    content: Content
    files: int
    sha256: str


def read_keypoints(source: Path, format: str | None = None, images: Path | None = None) -> Keypoints:
    """Read a keypoint file, or all of a folder and the folders in it.

    Args:
        source: a folder of OpenPose's, mmpose's or AlphaPose's files, or a file.
        format: one of `FORMATS`, None to detect it.
        images: see `coco.read_coco`.

    Raises:
        ReidError: nothing there, an unknown format, or a file that is not of that format; names the file.
    """
    if format not in (None, *FORMATS):
        raise ReidError(f"unknown keypoint format {format!r}; known: {', '.join(FORMATS)}")
    if not source.is_dir():
        format, content = _read_file(source, format, images)
        files = [(source.name, source)]
    else:
        format, files = _files(source, format)
        content = _READ_FOLDER[format](files)
    if images and format != "coco":
        raise ReidError(f"{source}: --keypoint-images is for lists of COCO results, this is {format}")
    _refuse_other_scales(source, content)
    read = [*files, *([("--keypoint-images", images)] if images else [])]
    return Keypoints(format, content, len(files), _sha256(read))


def _read_file(file: Path, format: str | None, images: Path | None) -> tuple[str, Content]:
    if format == "table" or (format is None and file.suffix.lower() == ".csv"):
        return "table", read_table(file)
    document = load_json(file)
    format = format or _detected(file, document)
    if format == "coco":
        return format, read_coco(file, document, images)
    if format == "alphapose":
        return format, read_alphapose(file, document)
    return format, _READ_FOLDER[format]([(file.name, file)])


def _detected(file: Path, document: Any) -> str:
    first = document[0] if isinstance(document, list) and document else document
    fields = first if isinstance(first, dict) else {}
    if isinstance(document, list) and "image_id" in fields:
        return "coco"
    if isinstance(document, list) and (not document or "keypoint_scores" in fields or "frame_id" in fields):
        return "mmpose"
    if is_alphapose(document):
        return "alphapose"
    for field, format in (("people", "openpose"), ("annotations", "coco"), ("instance_info", "mmpose")):
        if field in fields and not isinstance(document, list):
            return format
    raise ReidError(f"{file}: is no keypoint file that is known; --keypoint-format is one of {', '.join(FORMATS)}")


def _files(folder: Path, format: str | None) -> tuple[str, list[tuple[str, Path]]]:
    """Format and files of a folder, with their names below it."""
    if format in ("coco", "table"):
        raise ReidError(f"{folder}: is a folder; keypoints of the format {format} are one file")
    found: list[tuple[str, Path]] = []
    try:
        for root, folders, names in os.walk(folder, onerror=_raise):
            folders.sort()
            for name in sorted(names):
                path = Path(root, name)
                # A pipe would be waited for without end.
                if name.endswith(".json") and not name.startswith(".") and path.is_file():
                    found.append((path.relative_to(folder).as_posix(), path))
    except OSError as error:
        raise ReidError(f"{error.filename or folder}: cannot be listed: {error.strerror or error}") from None
    of_openpose = [(name, path) for name, path in found if name.endswith(SUFFIX)]
    if format is None:
        format = "openpose" if of_openpose else _detected_in_folder(found)
    files = of_openpose if format == "openpose" else found
    if not files:
        what = f"NAME{SUFFIX} (OpenPose)" + (" or NAME.json (mmpose)" if format == "mmpose" else "")
        raise ReidError(f"{folder}: holds no {what}; COCO files and tables are given as files")
    return format, files


def _detected_in_folder(files: Sequence[tuple[str, Path]]) -> str:
    document = load_json(files[0][1]) if files else None
    return "alphapose" if isinstance(document, dict) and {"people", "bodies"} & document.keys() else "mmpose"


def _raise(error: OSError) -> None:
    raise error


def _refuse_other_scales(source: Path, content: Content) -> None:
    """Coordinates relative to the image's size would pass for joints in its corner, percentages for sure scores."""
    found = [entry.people[entry.people[..., 2] > 0] for entry in content.entries]
    joints = np.concatenate([np.zeros((0, 3), np.float32), *found])
    if not len(joints):
        return
    # Some joints may lie outside of their images.
    if 0 < np.quantile(np.abs(joints[:, :2]), 0.9) <= 1:
        raise ReidError(
            f"{source}: nearly all coordinates lie between -1 and 1; write them in pixels (OpenPose: without "
            "--keypoint_scale)"
        )
    if np.median(joints[:, 2]) > _LARGEST_SCORE:
        raise ReidError(
            f"{source}: half of all scores exceed {_LARGEST_SCORE}, up to {joints[:, 2].max():g}; scores are 0 to 1; "
            "divide percentages by 100"
        )


def _sha256(files: Sequence[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, file in files:
        digest.update(f"{file_sha256(file)} {name}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
