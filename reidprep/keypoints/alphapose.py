"""AlphaPose's `--format open` and `cmu`: a JSON object with the images as its keys; `sep-json` has a file for each.

Its default format is a list of COCO results, which `reidprep.keypoints.coco` reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.keypoints.base import Content, Entry, field, flat_joints, load_json, shown, stack

_FIELDS = {"people": "pose_keypoints_2d", "bodies": "joints"}
"""List of people -> the joints of one, of `open` and of `cmu`."""


def is_alphapose(document: Any) -> bool:
    """Whether a document is the object of all images."""
    if not isinstance(document, dict) or not document:
        return False
    first = next(iter(document.values()))
    return isinstance(first, dict) and any(name in first for name in _FIELDS)


def read_alphapose(file: Path, document: Any) -> Content:
    """Read the object of all images.

    Args:
        file: for messages.
        document: its content.

    Raises:
        ReidError: another form; names the image.
    """
    if not isinstance(document, dict):
        raise ReidError(f"{file}: {shown(document)} in place of an object with the images as its keys")
    entries = []
    for name, image in document.items():
        where = f"{file}: image {shown(name)}"
        entries.append(Entry(name.replace("\\", "/"), True, where, _people(image, where)))
    return _content(entries)


def read_alphapose_folder(files: Sequence[tuple[str, Path]]) -> Content:
    """Read the files of `sep-json`.

    Args:
        files: name below the folder, and file.

    Raises:
        ReidError: a file of another form; names it.
    """
    return _content(
        [
            Entry(name.removesuffix(".json"), False, str(file), _people(load_json(file), str(file)))
            for name, file in files
        ]
    )


def _content(entries: Sequence[Entry]) -> Content:
    return Content(entries, "AlphaPose joint confidence")


def _people(image: Any, where: str) -> NDArray[np.float32]:
    listed = next((name for name in _FIELDS if isinstance(image, dict) and name in image), "people")
    return stack(
        [
            flat_joints(field(person, _FIELDS[listed], list, f"{where}: person {number}"), f"{where}: person {number}")
            for number, person in enumerate(field(image, listed, list, where))
        ]
    )
