"""Market-1501 (Zheng et al., ICCV 2015), with its optional 500,000 distractors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from reidprep.datasets.base import Listing, Option, Reader
from reidprep.datasets.box_folders import NUMBER, has_layout, list_layout, pattern
from reidprep.datasets.folder import FolderImages, counted, quoted, scan
from reidprep.errors import ReidError
from reidprep.records import Record, Split

# 0002_c1s1_000451_03.jpg: person, camera, sequence, frame, number of the box in the frame.
_NAME = pattern(rf"(-1|{NUMBER})_c({NUMBER})s({NUMBER})_({NUMBER})_{NUMBER}")
# The same without its fixed start and end: what a distractor's name tells, if anything.
_CAMERA = re.compile(rf"_c({NUMBER})(?:s({NUMBER})_({NUMBER}))?")

DISTRACTOR_FOLDERS = ("images", "distractors", "distractors_500k")
DISTRACTOR_PID = 0
UNKNOWN_CAMERA = 0


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
