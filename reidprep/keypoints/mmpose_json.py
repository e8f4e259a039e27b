"""mmpose's predictions: a file NAME.json per image, as its inferencers (`pred_out_dir`) and its demos write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.keypoints.base import (
    Content,
    Entry,
    check_names,
    field,
    flat_joints,
    joints,
    load_json,
    numbers,
    shown,
    stack,
)

_DEMO_PREFIX = "results_"


def read_mmpose(files: Sequence[tuple[str, Path]]) -> Content:
    """Read files of mmpose: a list of people, or an object with that list as `instance_info`.

    Args:
        files: name below the folder, and file.

    Raises:
        ReidError: a file of another form; names it.
    """
    entries = []
    for name, file in files:
        document = load_json(file)
        folder, slash, last = name.rpartition("/")
        stem = last.removesuffix(".json")
        if isinstance(document, dict):
            _check_meta(document.get("meta_info"), str(file))
            document = field(document, "instance_info", list, str(file))
            stem = stem.removeprefix(_DEMO_PREFIX)
        if not isinstance(document, list):
            raise ReidError(f"{file}: {shown(document)} in place of a list of people")
        entries.append(Entry(folder + slash + stem, False, str(file), _people(document, str(file))))
    return Content(entries, "keypoint score as mmpose's model gives it")


def _check_meta(meta: Any, where: str) -> None:
    named = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if isinstance(named, dict):
        check_names([named.get(str(number)) for number in range(len(named))], where)


def _people(document: list[Any], where: str) -> NDArray[np.float32]:
    found = []
    for number, person in enumerate(document):
        place = f"{where}: person {number}"
        if isinstance(person, dict) and "frame_id" in person:
            raise ReidError(f"{where}: holds the frames of a video, which have no names; run mmpose on the images")
        points = field(person, "keypoints", list, place)
        if "keypoint_scores" not in person and all(isinstance(point, list) and len(point) == 3 for point in points):
            # mmpose 0.x; 1.x has scores, and three coordinates in 3D predictions.
            found.append(flat_joints([value for point in points for value in point], place))
            continue
        scores = numbers(field(person, "keypoint_scores", list, place), place)
        if len(scores) != len(points) or not all(isinstance(point, list) and len(point) == 2 for point in points):
            raise ReidError(f"{place}: expected as many keypoints [x, y] as keypoint_scores; are these 2D predictions?")
        flat = numbers([value for point in points for value in point], place)
        found.append(joints(np.column_stack([np.reshape(flat, (-1, 2)), scores]).ravel(), place))
    return stack(found)
