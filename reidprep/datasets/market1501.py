"""Market-1501 (Zheng et al., ICCV 2015), with its optional 500,000 distractors.

Its layout, three folders of images named by id and camera, is that of its followers too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from reidprep.datasets.base import Listing, Option, Reader
from reidprep.datasets.images import FolderImages, scan
from reidprep.datasets.labels import NUMBER, UNKNOWN_CAMERA
from reidprep.datasets.pattern import SUFFIX
from reidprep.errors import ReidError
from reidprep.records import Record, Split
from reidprep.text import counted, quoted

FOLDERS: dict[Split, str] = {
    "train": "bounding_box_train",
    "query": "query",
    "gallery": "bounding_box_test",
}

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


# 0002_c1s1_000451_03.jpg: person, camera, sequence, frame, number of the box in the frame.
_NAME = pattern(rf"(-1|{NUMBER})_c({NUMBER})s({NUMBER})_({NUMBER})_{NUMBER}")
# The same without its fixed start and end: what a distractor's name tells, if anything.
_CAMERA = re.compile(rf"_c({NUMBER})(?:s({NUMBER})_({NUMBER}))?")

DISTRACTOR_FOLDERS = ("images", "distractors", "distractors_500k")
DISTRACTOR_PID = 0


def _find(source: Path) -> Path | None:
    return source if has_layout(source, _NAME) else None


def _record(match: re.Match[str], path: str, split: Split) -> Record:
    pid, camid, sequence, frame = (int(group) for group in match.groups())
    return Record(path, pid, camid, split, sequence, frame)


def _list(root: Path, options: Mapping[str, str]) -> Listing:
    listing = list_layout(root, _NAME, _record)
    if options["distractors"] == "no":
        return listing
    records, notes = _distractors(root)
    return Listing([*listing.records, *records], [*listing.notes, *notes])


def _distractors(root: Path) -> tuple[list[Record], list[str]]:
    folder = next((name for name in DISTRACTOR_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise ReidError(
            f"{root}: distractors=yes, but there is no folder {' or '.join(DISTRACTOR_FOLDERS)}; "
            "extract distractors_500k.zip here, or leave the option out"
        )
    entries = scan(root / folder)
    if not entries.images:
        raise ReidError(f"{root / folder}: distractors=yes, but this folder holds no image file")
    notes = []
    if entries.others:
        number = counted(len(entries.others), "entry that is", "entries that are")
        notes.append(f"{folder}: ignored {number} no image file: {quoted(entries.others)}")
    return [_distractor(folder, name) for name in entries.images], notes


def _distractor(folder: str, name: str) -> Record:
    match = _CAMERA.search(name)
    camid, sequence, frame = match.groups() if match else (None, None, None)
    return Record(
        path=f"{folder}/{name}",
        pid=DISTRACTOR_PID,
        camid=int(camid) if camid else UNKNOWN_CAMERA,
        split="gallery",
        sequence=int(sequence) if sequence else -1,
        frame=int(frame) if frame else -1,
    )


READER = Reader(
    looked_for=(
        "a folder with bounding_box_train, query and bounding_box_test, "
        "and images in them named like 0002_c1s1_000451_03.jpg"
    ),
    options={"distractors": Option(("no", "yes"), "no")},
    find=_find,
    list_records=_list,
    open_images=FolderImages,
)
