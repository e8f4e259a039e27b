"""CUHK03 (Li et al., CVPR 2014): the official .mat file, extracted images, or the CUHK03-NP folders.

Protocols: classic (20 splits of 100 test people, one image per person in the gallery) and np (767 people to
train, 700 to test; Zhong et al., CVPR 2017).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from reidprep.datasets.base import ImageSource, Listing, Option, Reader
from reidprep.datasets.cuhk03_names import (
    BOXES,
    ImageId,
    classic_split,
    classic_tested_people,
    np_split,
    parse_name,
    record,
)
from reidprep.datasets.images import FolderImages, scan
from reidprep.datasets.labels import NUMBER
from reidprep.datasets.market1501 import FOLDERS, has_layout, list_layout, pattern
from reidprep.errors import ReidError
from reidprep.records import Record, Split
from reidprep.text import counted, quoted

MAT_FILE = "cuhk-03.mat"
RELEASE_FOLDER = "cuhk03_release"

# CUHK03-NP: 0001_c1_301.png: person, view, image.
_NP_NAME = pattern(rf"({NUMBER})_c({NUMBER})_{NUMBER}")


def _find(source: Path) -> Path | None:
    if source.suffix.lower() == ".mat" and source.is_file():
        return source
    for file in (source / MAT_FILE, source / RELEASE_FOLDER / MAT_FILE):
        if file.is_file():
            return file
    if any((source / f"images_{boxes}").is_dir() for boxes in BOXES):
        return source
    if any(has_layout(folder, _NP_NAME) for folder in (source, *(source / boxes for boxes in BOXES))):
        return source
    return None


def _open_images(root: Path) -> ImageSource:
    if root.is_file():
        from reidprep.datasets.cuhk03_mat import MatImages

        return MatImages(root)
    return FolderImages(root)


def _list(root: Path, options: Mapping[str, str]) -> Listing:
    if not root.is_file() and not any((root / f"images_{boxes}").is_dir() for boxes in BOXES):
        return _list_np_folders(root, options)
    boxes, protocol = options.get("boxes", "labeled"), options.get("protocol", "classic")
    if protocol == "np":
        _refuse_split(options)
    split = int(options.get("split", "1"))
    images, notes = _in_mat(root, boxes) if root.is_file() else _in_folder(root, boxes)
    if protocol == "np":
        folders = (root.parent, root.parent.parent) if root.is_file() else (root,)
        listed = np_split(folders, boxes)
        notes += _compare(listed, images)
        records = [record(image, path, listed[image]) for image, path in images.items() if image in listed]
        return Listing(records, notes, {"boxes": boxes, "protocol": protocol})
    if root.is_file():
        from reidprep.datasets.cuhk03_mat import tested_people

        tested = tested_people(root, split)
    else:
        tested = classic_tested_people(root, boxes, split)
    records = [record(image, path, classic_split(image, tested)) for image, path in images.items()]
    return Listing(records, notes, {"boxes": boxes, "protocol": protocol, "split": str(split)})


def _in_mat(root: Path, boxes: str) -> tuple[dict[ImageId, str], list[str]]:
    """Path of every image in the .mat file: a name for it, the same for all protocols and splits."""
    from reidprep.datasets.cuhk03_mat import list_images

    return {image: f"{boxes}/{image.name}" for image in list_images(root, boxes)}, []


def _in_folder(root: Path, boxes: str) -> tuple[dict[ImageId, str], list[str]]:
    """Path of every extracted image, and remarks on other files."""
    folder = f"images_{boxes}"
    _require_folder(root, folder, boxes)
    entries = scan(root / folder)
    images: dict[ImageId, str] = {}
    ignored = list(entries.others)
    for name in entries.images:
        image = parse_name(name)
        if image is None or image in images:
            ignored.append(name)
        else:
            images[image] = f"{folder}/{name}"
    if not ignored:
        return images, []
    number = counted(len(ignored), "entry", "entries")
    return images, [f"{folder}: ignored {number} not named like 1_001_1_01.png: {quoted(sorted(ignored))}"]


def _compare(listed: Mapping[ImageId, Split], images: Mapping[ImageId, str]) -> list[str]:
    notes = []
    missing = [image.name for image in listed if image not in images]
    if missing:
        notes.append(f"{counted(len(missing), 'image', 'images')} of the protocol's lists missing: {quoted(missing)}")
    unlisted = [image.name for image in images if image not in listed]
    if unlisted:
        notes.append(
            f"{counted(len(unlisted), 'image is', 'images are')} in no list of the protocol: {quoted(unlisted)}"
        )
    return notes


def _list_np_folders(root: Path, options: Mapping[str, str]) -> Listing:
    if options.get("protocol", "np") != "np":
        raise ReidError(
            f"{root}: the CUHK03-NP folders hold the 767/700 protocol only; for protocol=classic "
            f"give {MAT_FILE}, or extracted images with splits_classic_labeled.json"
        )
    _refuse_split(options)
    if has_layout(root, _NP_NAME):
        if "boxes" in options:
            raise ReidError(f"{root}: holds one kind of boxes only, so leave out boxes={options['boxes']}")
        return _np_listing(root, "", {"protocol": "np"})
    boxes = options.get("boxes", "labeled")
    _require_folder(root, boxes, boxes)
    return _np_listing(root, f"{boxes}/", {"boxes": boxes, "protocol": "np"})


def _np_listing(root: Path, prefix: str, options: Mapping[str, str]) -> Listing:
    listing = list_layout(root, _NP_NAME, _np_record, prefix)
    return Listing(listing.records, listing.notes, options)


def _np_record(match: re.Match[str], path: str, split: Split) -> Record:
    pid, camid = (int(group) for group in match.groups())
    return Record(path, pid, camid, split)


def _refuse_split(options: Mapping[str, str]) -> None:
    if "split" in options:
        raise ReidError(f"cuhk03: split={options['split']} is for protocol=classic; protocol=np has only one")


def _require_folder(root: Path, folder: str, boxes: str) -> None:
    if not (root / folder).is_dir():
        other = BOXES[1 - BOXES.index(boxes)]
        raise ReidError(f"{root}: there is no folder {folder} for boxes={boxes}; try boxes={other}")


READER = Reader(
    looked_for=(
        f"{MAT_FILE} (the file, or a folder with it or with {RELEASE_FOLDER}/{MAT_FILE}); "
        "or a folder with images_labeled or images_detected holding images named like 1_001_1_01.png; "
        f"or a folder with labeled or detected holding {', '.join(FOLDERS.values())} "
        "and images named like 0001_c1_301.png"
    ),
    options={
        "boxes": Option(BOXES),
        "protocol": Option(("classic", "np")),
        "split": Option(tuple(str(i) for i in range(1, 21))),
    },
    find=_find,
    list_records=_list,
    open_images=_open_images,
)
