"""The layout of Market-1501 and its followers: three folders of images named by id and camera."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from reidprep.datasets.base import Listing
from reidprep.datasets.folder import counted, quoted, scan
from reidprep.records import Record, Split

FOLDERS: dict[Split, str] = {
    "train": "bounding_box_train",
    "query": "query",
    "gallery": "bounding_box_test",
}

# At most nine digits fit every integer column; Market-1501 has names that end .jpg.jpg.
NUMBER = r"[0-9]{1,9}"
SUFFIX = r"(?:\.(?:jpe?g|png|bmp|tiff?|webp))+"

Parse = Callable[[re.Match[str], str, Split], Record]
"""Makes a record of a matching name, the image's path and its split."""


def pattern(form: str) -> re.Pattern[str]:
    """Compile the form of an image name without its suffix."""
    return re.compile(form + SUFFIX, re.IGNORECASE)


def has_layout(root: Path, name: re.Pattern[str]) -> bool:
    """Whether root has one of the two larger folders, and an image of the given name form in any."""
    if not any((root / FOLDERS[split]).is_dir() for split in ("train", "gallery")):
        return False
    return any(has_image(root / folder, name) for folder in FOLDERS.values())


def has_image(folder: Path, name: re.Pattern[str]) -> bool:
    """Whether a folder holds at least one file named in the given form."""
    try:
        with os.scandir(folder) as entries:
            return any(name.fullmatch(entry.name) for entry in entries)
    except OSError:
        return False


def list_layout(root: Path, name: re.Pattern[str], parse: Parse, prefix: str = "") -> Listing:
    """List the three folders; what is no image or named otherwise is left out and noted.

    Args:
        root: the dataset's folder.
        name: form of a full image name.
        parse: makes the record.
        prefix: sub-folder of root that holds the three folders, "" or ending in "/".
    """
    records: list[Record] = []
    notes: list[str] = []
    for split, folder in FOLDERS.items():
        found, remarks = list_folder(root, prefix + folder, split, name, parse)
        records += found
        notes += remarks
    return Listing(records, notes)


def list_folder(
    root: Path, folder: str, split: Split, name: re.Pattern[str], parse: Parse
) -> tuple[list[Record], list[str]]:
    """List one folder: its records, and remarks on what was left out."""
    if not (root / folder).is_dir():
        return [], [f"there is no folder {folder}"]
    entries = scan(root / folder)
    records: list[Record] = []
    unparsable: list[str] = []
    for image in entries.images:
        match = name.fullmatch(image)
        if match:
            records.append(parse(match, f"{folder}/{image}", split))
        else:
            unparsable.append(image)
    notes = []
    if entries.others:
        number = counted(len(entries.others), "entry that is", "entries that are")
        notes.append(f"{folder}: ignored {number} no image file: {quoted(entries.others)}")
    if unparsable:
        number = counted(len(unparsable), "image whose name does", "images whose names do")
        notes.append(f"{folder}: ignored {number} not tell id and camera: {quoted(unparsable)}")
    return records, notes
