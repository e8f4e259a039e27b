"""Any dataset, listed in a CSV file: path, pid, camid, split, optionally sequence, frame and a box in the image."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from reidprep.datasets.base import ImageSource, Listing, Reader, did_you_mean
from reidprep.datasets.images import Box, FolderImages, FrameImages, missing_notes, split_box, with_box
from reidprep.datasets.labels import NUMBER, OPTIONS, Labelled, all_names, labelled_listing
from reidprep.errors import ReidError
from reidprep.records import SPLITS, Split, why_unsafe
from reidprep.text import counted, csv_rows, quoted

REQUIRED = ("path", "pid", "camid", "split")
OPTIONAL = ("sequence", "frame", "tracklet")
SEPARATORS = ",;\t"
BOX = ("x", "y", "width", "height")
"""Left and upper edge of a box, and its size, in pixels: all or none."""

_MAX_REPORTED = 10
_NO_NUMBER = "is not a whole number from"
_INSTEAD = {
    "split": "--split-by-identity 0.5 divides the people itself",
    "camid": "--dataset-option cameras=none says that cameras are not known",
}
_ONE_SPLIT = "an image has one split, so of a person's test images some are queries, the others gallery"


_Made = TypeVar("_Made")


class _BadValue(Exception):
    """Why a row cannot be used."""


def _find(source: Path) -> Path | None:
    if source.is_file():
        return source if source.suffix.lower() == ".csv" else None
    lists = [file for file in sorted(source.glob("[!.]*.[cC][sS][vV]")) if file.is_file() and _may_list(file)]
    return lists[0] if len(lists) == 1 else None


def _may_list(file: Path) -> bool:
    """Whether a file names the columns of a dataset, or cannot be read, which is said where it is opened."""
    try:
        return {*REQUIRED[:2]} <= {*_columns(next(csv_rows(file, SEPARATORS), (0, []))[1])}
    except ReidError:
        return True


def open_listed(root: Path) -> ImageSource:
    """The images that a file lists, which lie below its folder."""
    _, header = next(csv_rows(root, SEPARATORS), (0, []))
    # Without box columns nothing is cut out, whatever the files are called.
    return FrameImages(root.parent) if _has_boxes(_columns(header)) else FolderImages(root.parent)


def _columns(header: Sequence[str]) -> list[str]:
    return [name.strip().lower() for name in header]


def _has_boxes(columns: Sequence[str]) -> bool:
    """Whether rows may name boxes. A width and a height alone are taken for the image's."""
    return "x" in columns or "y" in columns


def _list(root: Path, options: Mapping[str, str]) -> Listing:
    lines: dict[str, tuple[int, str]] = {}
    required = [column for column in REQUIRED if column not in _left_out(options)]
    named = _named_columns(root, options)

    def labelled(line: int, row: Mapping[str, str]) -> Labelled:
        made = _labelled(row, required, named)
        if made.path in lines:
            earlier, split = lines[made.path]
            end = f" as {split}; {_ONE_SPLIT}" if split != made.split else ""
            raise _BadValue(f"{made.path!r} is listed already on line {earlier}{end}")
        lines[made.path] = line, made.split
        return made

    columns, images = _read(root, required, labelled)
    _check_columns(root, columns, options)
    notes = _notes(root, columns, [image.path for image in images])
    return labelled_listing(images, options, notes) if images else Listing((), notes)


def _left_out(options: Mapping[str, str]) -> set[str]:
    """The columns that these options stand for."""
    return {column for column, option in (("split", "train"), ("camid", "cameras")) if option in options}


def _named_columns(root: Path, options: Mapping[str, str]) -> set[str]:
    """Those of the columns of people and cameras that hold names."""
    rows = csv_rows(root, SEPARATORS)
    columns = _columns(next(rows, (0, []))[1])
    named = {"pid", "camid"} & {*columns}
    if not named or options.get("ids") == "text":
        return named
    values: dict[str, set[str]] = {name: set() for name in named}
    for _, row in rows:
        for name, value in zip(columns, row, strict=False):
            if name in named:
                values[name].add(value.strip())
    return {name for name in named if all_names(values[name])} if options.get("ids") != "numbers" else set()


def _check_columns(root: Path, columns: Sequence[str], options: Mapping[str, str]) -> None:
    for column in sorted(_left_out(options) & {*columns}):
        option = "--split-by-identity" if column == "split" else "cameras=none"
        raise ReidError(f"{root}: has a column {column}, so leave out {option}, or rename the column")
    if {"sequence", "tracklet"} <= {*columns}:
        raise ReidError(f"{root}: has the columns sequence and tracklet, which are kept in one place; rename one")


def list_unlabelled(file: Path) -> tuple[list[str], list[str]]:
    """Record paths of a list that need not say who the people are: the column `path`, and perhaps those of a box.

    Returns:
        The paths, and what is to be said about the columns.

    Raises:
        ReidError: the file cannot be read, or a row cannot be used.
    """
    columns, paths = _read(file, REQUIRED[:1], lambda _, row: _path(row))
    return paths, _unused_notes(columns)


def _read(
    root: Path, required: Sequence[str], make: Callable[[int, Mapping[str, str]], _Made]
) -> tuple[list[str], list[_Made]]:
    """The columns of a file, and what is made of each row: its line and its values by column."""
    rows = csv_rows(root, SEPARATORS)
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
                mixed = "; other separators than in the first line" if len(row) == 1 and len(columns) > 1 else ""
                raise _BadValue(f"{counted(len(row), 'value')} for {counted(len(columns), 'column')}{mixed}")
            made.append(make(line, dict(zip(columns, row, strict=True))))
        except _BadValue as fault:
            faults.append(f"line {line}: {fault}")
    if faults:
        more = len(faults) - _MAX_REPORTED
        listed = faults[:_MAX_REPORTED] + ([f"and {more:,} more"] if more > 0 else [])
        if any(f"{column} " in fault and _NO_NUMBER in fault for fault in faults for column in ("pid", "camid")):
            listed.append("(people and cameras that have names, not numbers: --dataset-option ids=text)")
        raise ReidError(f"{root}: rows that cannot be used, to correct or remove:\n  " + "\n  ".join(listed))
    return columns, made


def _check_header(file: Path, columns: list[str], required: Sequence[str]) -> None:
    if not columns:
        raise ReidError(f"{file}: is empty; its first line must name the columns {','.join(required)}")
    missing = [name for name in required if name not in columns]
    if missing:
        instead = "".join(f"; {text}" for name, text in _INSTEAD.items() if name in missing and len(missing) < 3)
        raise ReidError(
            f"{file}: the first line must name the columns {','.join(required)}, separated by commas, semicolons or "
            f"tabs throughout, and may name {','.join(OPTIONAL + BOX)}; missing: {', '.join(missing)}{instead}; "
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


def _labelled(row: Mapping[str, str], required: Sequence[str], named: Collection[str]) -> Labelled:
    return Labelled(
        path=_path(row),
        pid=_name_or_number(row, "pid", -1, named),
        camera=_name_or_number(row, "camid", 0, named) if "camid" in required else "",
        split=_split(row["split"].strip()) if "split" in required else "",
        tracklet=row.get("tracklet", "").strip(),
        sequence=_integer(row, "sequence", lowest=-1, default=-1),
        frame=_integer(row, "frame", lowest=-1, default=-1),
    )


def _name_or_number(row: Mapping[str, str], column: str, lowest: int, named: Collection[str]) -> str:
    if column not in named:
        return str(_integer(row, column, lowest))
    text = row[column].strip()
    if not text:
        raise _BadValue(f"{column} is empty")
    return text


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
        raise _BadValue(f"{column} {text!r} {_NO_NUMBER} {lowest} to 999999999")
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


def _notes(file: Path, columns: Sequence[str], paths: Sequence[str]) -> list[str]:
    if _has_boxes(columns):
        paths = list(dict.fromkeys(split_box(path)[0] for path in paths))
    return _unused_notes(columns) + missing_notes(file.parent, paths)


def _unused_notes(columns: Sequence[str]) -> list[str]:
    used = REQUIRED + OPTIONAL + (BOX if _has_boxes(columns) else ())
    unused = [repr(name) for name in columns if name not in used]
    return [f"columns not used: {quoted(unused, 10)}"] if unused else []


READER = Reader(
    looked_for=(
        f"a file ending in .csv whose first line names the columns {','.join(REQUIRED)}, or a folder with one such file"
    ),
    options=OPTIONS,
    find=_find,
    list_records=_list,
    open_images=open_listed,
    asked="last",
)
