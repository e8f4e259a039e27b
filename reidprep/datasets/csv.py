"""Any dataset, listed in a CSV file: path, pid, camid, split, optionally sequence, frame and a box in the image."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from reidprep.datasets.base import ImageSource, Listing, Reader, did_you_mean
from reidprep.datasets.images import Box, FolderImages, FrameImages, missing_files, missing_note, split_box, with_box
from reidprep.datasets.market1501 import NUMBER
from reidprep.errors import ReidError
from reidprep.records import SPLITS, Record, Split, why_unsafe
from reidprep.text import csv_rows, quoted

REQUIRED = ("path", "pid", "camid", "split")
OPTIONAL = ("sequence", "frame")
BOX = ("x", "y", "width", "height")
"""Left and upper edge of a box, and its size, in pixels: all or none."""

_MAX_REPORTED = 10
_ONE_SPLIT = "an image has one split, so of a person's test images some are queries, the others gallery"


_Made = TypeVar("_Made")


class _BadValue(Exception):
    """Why a row cannot be used."""


def _find(source: Path) -> Path | None:
    return source if source.suffix.lower() == ".csv" and source.is_file() else None


def open_listed(root: Path) -> ImageSource:
    """The images that a file lists, which lie below its folder."""
    _, header = next(csv_rows(root), (0, []))
    # Without box columns nothing is cut out, whatever the files are called.
    return FrameImages(root.parent) if _has_boxes(_columns(header)) else FolderImages(root.parent)


def _columns(header: Sequence[str]) -> list[str]:
    return [name.strip().lower() for name in header]


def _has_boxes(columns: Sequence[str]) -> bool:
    """Whether rows may name boxes. A width and a height alone are taken for the image's."""
    return "x" in columns or "y" in columns


def _list(root: Path, options: Mapping[str, str]) -> Listing:
    lines: dict[str, tuple[int, Split]] = {}

    def record(line: int, row: Mapping[str, str]) -> Record:
        made = _record(row)
        if made.path in lines:
            earlier, split = lines[made.path]
            end = f" as {split}; {_ONE_SPLIT}" if split != made.split else ""
            raise _BadValue(f"{made.path!r} is listed already on line {earlier}{end}")
        lines[made.path] = line, made.split
        return made

    columns, records = _read(root, REQUIRED, record)
    return Listing(records, _notes(root, columns, records))


def list_unlabelled(file: Path) -> list[str]:
    """Record paths of a list that need not say who the people are: the column `path`, and perhaps those of a box.

    Raises:
        ReidError: the file cannot be read, or a row cannot be used.
    """
    return _read(file, REQUIRED[:1], lambda _, row: _path(row))[1]


def _read(
    root: Path, required: Sequence[str], make: Callable[[int, Mapping[str, str]], _Made]
) -> tuple[list[str], list[_Made]]:
    """The columns of a file, and what is made of each row: its line and its values by column."""
    rows = csv_rows(root)
    _, header = next(rows, (0, []))
    columns = _columns(header)
    _check_header(root, columns, required)
    made: list[_Made] = []
    faults: list[str] = []
    for line, row in rows:
        if not any(value.strip() for value in row):
            continue
        try:
            if len(row) != len(columns):
                raise _BadValue(f"{len(row)} values for {len(columns)} columns")
            made.append(make(line, dict(zip(columns, row, strict=True))))
        except _BadValue as fault:
            faults.append(f"line {line}: {fault}")
    if faults:
        more = len(faults) - _MAX_REPORTED
        listed = faults[:_MAX_REPORTED] + ([f"and {more:,} more"] if more > 0 else [])
        raise ReidError(f"{root}: rows that cannot be used, to correct or remove:\n  " + "\n  ".join(listed))
    return columns, made


def _check_header(file: Path, columns: list[str], required: Sequence[str]) -> None:
    if not columns:
        raise ReidError(f"{file}: is empty; its first line must name the columns {','.join(required)}")
    missing = [name for name in required if name not in columns]
    if missing:
        raise ReidError(
            f"{file}: the first line must name the columns {','.join(required)}, separated by commas, "
            f"and may name {','.join(OPTIONAL + BOX)}; missing: {', '.join(missing)}; "
            f"found: {quoted(map(repr, columns), 10)}"
        )
    missing = [name for name in BOX if name not in columns]
    if _has_boxes(columns) and missing:
        raise ReidError(
            f"{file}: boxes are given by the columns {','.join(BOX)}; missing: {', '.join(missing)}; "
            "add them, or rename the others if they are no boxes"
        )
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise ReidError(f"{file}: the first line names a column twice: {', '.join(twice)}")


def _record(row: Mapping[str, str]) -> Record:
    return Record(
        path=_path(row),
        pid=_integer(row, "pid", lowest=-1),
        camid=_integer(row, "camid", lowest=0),
        split=_split(row["split"].strip()),
        sequence=_integer(row, "sequence", lowest=-1, default=-1),
        frame=_integer(row, "frame", lowest=-1, default=-1),
    )


def _path(row: Mapping[str, str]) -> str:
    path = row["path"]
    unsafe = why_unsafe(path)
    if unsafe:
        raise _BadValue(f"{path!r}: {unsafe}")
    path = str(PurePosixPath(path))
    if not _has_boxes(list(row)):
        return path
    box = _box(row)
    if split_box(path)[1]:
        raise _BadValue(f"{path!r}: the file name ends like a box; rename the file")
    return with_box(path, box) if box else path


def _integer(row: Mapping[str, str], column: str, lowest: int, default: int | None = None) -> int:
    text = row.get(column, "").strip()
    if not text and default is not None:
        return default
    if not re.fullmatch(rf"-?{NUMBER}", text) or int(text) < lowest:
        raise _BadValue(f"{column} {text!r} is not a whole number from {lowest} to 999999999")
    return int(text)


def _box(row: Mapping[str, str]) -> Box | None:
    """The box, its edges on whole pixels, without what lies left of or above the frame; None for the whole frame."""
    if not any(row[column].strip() for column in BOX):
        return None
    x, y, width, height = (_pixels(row, column) for column in BOX)
    if width <= 0 or height <= 0:
        raise _BadValue(f"the box is empty: width {width:g}, height {height:g}")
    left, upper, right, lower = (math.floor(edge + 0.5) for edge in (x, y, x + width, y + height))
    if right <= 0 or lower <= 0:
        raise _BadValue(f"the box lies outside the frame: it ends at x {x + width:g}, y {y + height:g}")
    left, upper = max(0, left), max(0, upper)
    if right == left or lower == upper:
        raise _BadValue(f"the box {x:g},{y:g},{width:g},{height:g} covers no whole pixel")
    return Box(left, upper, right - left, lower - upper)


def _pixels(row: Mapping[str, str], column: str) -> float:
    text = row[column].strip()
    if not re.fullmatch(rf"-?{NUMBER}(\.[0-9]*)?", text):
        raise _BadValue(f"{column} {text!r} is not a number of pixels")
    return float(text)


def _split(text: str) -> Split:
    for split in SPLITS:
        if text == split:
            return split
    raise _BadValue(f"split {text!r} is none of {', '.join(SPLITS)}{did_you_mean(text, SPLITS)}")


def _notes(file: Path, columns: list[str], records: list[Record]) -> list[str]:
    notes = []
    used = REQUIRED + OPTIONAL + (BOX if _has_boxes(columns) else ())
    unused = [repr(name) for name in columns if name not in used]
    if unused:
        notes.append(f"columns not used: {quoted(unused, 10)}")
    paths = [record.path for record in records]
    if _has_boxes(columns):
        paths = list(dict.fromkeys(split_box(path)[0] for path in paths))
    missing = missing_files(file.parent, paths)
    if missing:
        notes.append(missing_note(file.parent, missing))
    return notes


READER = Reader(
    looked_for=f"a file ending in .csv whose first line names the columns {','.join(REQUIRED)}",
    options={},
    find=_find,
    list_records=_list,
    open_images=open_listed,
)
