"""MSMT17 (Wei et al., CVPR 2018), version 1 and version 2 (faces masked)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from reidprep.datasets.base import Listing, Option, Reader
from reidprep.datasets.images import FolderImages, missing_notes
from reidprep.datasets.labels import NUMBER
from reidprep.datasets.pattern import SUFFIX
from reidprep.errors import ReidError
from reidprep.files import read_file
from reidprep.records import Record, Split, why_unsafe


@dataclass(frozen=True)
class _List:
    """One of the four list files: the split it feeds, and whether its images lie in the training folder."""

    file: str
    split: Split
    in_train_folder: bool


_LISTS = (
    _List("list_train.txt", "train", True),
    _List("list_query.txt", "query", False),
    _List("list_gallery.txt", "gallery", False),
)
_VALIDATION = _List("list_val.txt", "train", True)

# Folder of the training and of the test images, by version.
_FOLDERS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))

# 0000_000_01_0303morning_0015_0.jpg: person, image, camera, date and time of day, two numbers of the box.
_NAME = re.compile(rf"{NUMBER}_{NUMBER}_({NUMBER})_[^/]+{SUFFIX}", re.IGNORECASE)
_LINE = re.compile(rf"(\S.*?)\s+({NUMBER})")


def _find(source: Path) -> Path | None:
    lists = any((source / entry.file).is_file() for entry in _LISTS)
    return source if lists and _folders(source) else None


def _folders(root: Path) -> tuple[str, str] | None:
    return next((pair for pair in _FOLDERS if any((root / folder).is_dir() for folder in pair)), None)


def _list(root: Path, options: Mapping[str, str]) -> Listing:
    train, test = _folders(root) or _FOLDERS[0]
    wanted = [*_LISTS, _VALIDATION] if options["val"] == "train" else _LISTS
    records: list[Record] = []
    notes: list[str] = []
    for entry in wanted:
        if (root / entry.file).is_file():
            records += _read_list(root / entry.file, train if entry.in_train_folder else test, entry.split)
        else:
            notes.append(f"there is no {entry.file}")
    notes += missing_notes(root, (record.path for record in records))
    return Listing(records, notes)


def _read_list(file: Path, folder: str, split: Split) -> list[Record]:
    try:
        lines = read_file(file).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise ReidError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ReidError(f"{file}: is not UTF-8 text; extract the list file again") from None
    rows = ((number, line.strip()) for number, line in enumerate(lines, 1))
    return [_record(row, folder, split, f"{file}, line {number}") for number, row in rows if row]


def _record(line: str, folder: str, split: Split, where: str) -> Record:
    match = _LINE.fullmatch(line)
    if not match:
        raise ReidError(
            f"{where}: expected an image path and a person id, "
            f"such as '0000/0000_000_01_0303morning_0015_0.jpg 0', found {line!r}"
        )
    path, pid = match.groups()
    unsafe = why_unsafe(path)
    if unsafe:
        raise ReidError(f"{where}: {path!r}: {unsafe}")
    relative = PurePosixPath(path)
    camera = _NAME.fullmatch(relative.name)
    if not camera:
        raise ReidError(f"{where}: no camera in {relative.name!r}, where it is the third field of a name")
    return Record(f"{folder}/{relative}", int(pid), int(camera.group(1)), split)


READER = Reader(
    looked_for=(
        "a folder with list_train.txt, list_query.txt and list_gallery.txt, and the image folders "
        "train and test (version 1) or mask_train_v2 and mask_test_v2 (version 2)"
    ),
    options={"val": Option(("train", "skip"), "train")},
    find=_find,
    list_records=_list,
    open_images=FolderImages,
    separate_numbering=True,
)
