"""COCO keypoints: annotation files, and lists of results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.keypoints.base import (
    FARTHEST,
    Content,
    Entry,
    check_names,
    field,
    joints,
    load_json,
    numbers,
    shown,
    stack,
)
from reidprep.skeleton import JOINTS

_VISIBILITY = "COCO visibility: 0 missing, 0.5 hidden, 1 visible"
_SCORES = "score in COCO keypoint results"
Key = int | str
"""An id of an image or of a category."""

OURS = "reidprep.coco"
"""Schema of the files that `reidprep export` writes."""


def read_coco(file: Path, document: Any, images: Path | None) -> Content:
    """Read an annotation file or a list of results.

    Args:
        file: for messages.
        document: its content.
        images: an annotation file whose `images` have the ids that a list of results refers to; without it a number is
            the file name as COCO numbers its own images, twelve digits.

    Raises:
        ReidError: another form; names the annotation.
    """
    if isinstance(document, list):
        if images is None:
            return _results(file, document, None, {})
        listed = load_json(images)
        names, sizes = _images(images, listed)
        _person_categories(images, listed)  # results are in the order of the joints that it names
        return _results(file, document, names, sizes)
    if images:
        raise ReidError(f"{file}: names its images itself; leave out --keypoint-images")
    return _annotations(file, document)


def _annotations(file: Path, document: Any) -> Content:
    names, sizes = _images(file, document)
    persons = _person_categories(file, document)
    ours = _our_settings(file, document)
    found: dict[Key, list[tuple[str, NDArray[np.float64]]]] = {image: [] for image in names}
    for number, annotation in enumerate(field(document, "annotations", list, str(file))):
        where = f"{file}: annotation {number}"
        image = field(annotation, "image_id", (int, str), where)
        if image not in names:
            raise ReidError(f"{where}: image_id {shown(image)} is none of the images")
        other = persons is not None and annotation.get("category_id") not in persons
        if other or annotation.get("iscrowd") or "keypoints" not in annotation:
            continue
        found[image].append((where, _values(annotation, where, exact=ours is not None)))

    thirds = [values[2::3] for people in found.values() for _, values in people]
    visibility = ours is None and all(np.isin(values, (0, 1, 2)).all() for values in thirds)
    if visibility:
        for third in thirds:  # views of what `found` holds
            third /= 2
    entries = [
        Entry(
            name,
            True,
            f"{file}: image {shown(image)}",
            stack([joints(values, where) for where, values in found[image]]),
            sizes.get(image),
        )
        for image, name in names.items()
    ]
    if ours is not None:
        return Content(entries, *ours)
    return Content(entries, _VISIBILITY if visibility else _SCORES)


def _results(
    file: Path, document: list[Any], names: Mapping[Key, str] | None, sizes: Mapping[Key, tuple[int, int]]
) -> Content:
    found: dict[Key, list[NDArray[np.float32]]] = {image: [] for image in names or ()}
    for number, result in enumerate(document):
        where = f"{file}: result {number}"
        image = field(result, "image_id", (int, str), where)
        if names is not None and image not in names:
            raise ReidError(f"{where}: image_id {shown(image)} is none of the images that --keypoint-images names")
        found.setdefault(image, []).append(joints(_values(result, where, exact=False), where))
    entries = []
    for image, people in found.items():
        name = (
            names[image]
            if names is not None
            else image.replace("\\", "/")
            if isinstance(image, str)
            else f"{image:012d}"
        )
        has_suffix = names is not None or bool(PurePosixPath(name).suffix)
        entries.append(Entry(name, has_suffix, f"{file}: image_id {shown(image)}", stack(people), sizes.get(image)))
    return Content(entries, _SCORES)


def _images(file: Path, document: Any) -> tuple[dict[Key, str], dict[Key, tuple[int, int]]]:
    """Names of the images by their ids, and width and height of those of which the file says it."""
    names: dict[Key, str] = {}
    sizes: dict[Key, tuple[int, int]] = {}
    taken: dict[str, Key] = {}
    for number, image in enumerate(field(document, "images", list, str(file))):
        where = f"{file}: image {number}"
        key = field(image, "id", (int, str), where)
        name = field(image, "file_name", str, where).replace("\\", "/")
        if key in names or name in taken:
            raise ReidError(f"{where} has the id {shown(key)} or the file_name {shown(name)} of one before")
        names[key] = name
        taken[name] = key
        width, height = image.get("width"), image.get("height")
        if type(width) is int and type(height) is int and 0 < width < FARTHEST and 0 < height < FARTHEST:
            sizes[key] = width, height
    return names, sizes


def _person_categories(file: Path, document: dict[str, Any]) -> list[Key] | None:
    """The ids of the category person, None where the file names no such category: then all are taken for persons."""
    if document.get("categories") is None:
        return None
    listed = [
        (f"{file}: category {number}", category)
        for number, category in enumerate(field(document, "categories", list, str(file)))
    ]
    persons = [(where, category) for where, category in listed if field(category, "name", str, where) == "person"]
    for where, category in persons or listed:
        check_names(category.get("keypoints"), where)
    return [field(category, "id", (int, str), where) for where, category in persons] or None


def _our_settings(file: Path, document: dict[str, Any]) -> tuple[str, float] | None:
    """Score scale and confidence of poses that `reidprep export` wrote, None for other files."""
    info = document.get("info")
    ours = info.get("reidprep") if isinstance(info, dict) else None
    if not isinstance(ours, dict) or ours.get("schema") != OURS or ours.get("joints") != list(JOINTS):
        return None
    where = f"{file}: info.reidprep"
    estimator = field(ours, "estimator", dict, where)
    (confidence,) = numbers([ours.get("confidence")], where)
    if not 0 <= confidence < math.inf:
        raise ReidError(f"{where}: confidence {confidence} is no score")
    return field(estimator, "score_scale", str, where), confidence


def _values(person: dict[str, Any], where: str, *, exact: bool) -> NDArray[np.float64]:
    """x, y, score of joint after joint; `exact`: from the field `joints`, which holds what COCO has no place for."""
    if exact:
        rows = field(person, "joints", list, where)
        if not all(isinstance(row, list) for row in rows):
            raise ReidError(f"{where}: joints are no list of [x, y, score]")
        return np.array(numbers([value for row in rows for value in row], where))
    return np.array(numbers(field(person, "keypoints", list, where), where))
