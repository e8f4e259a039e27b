"""Any dataset, listed in a CSV file: path, pid, camid, split and optionally sequence, frame."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from reidprep.datasets.base import Listing, Reader, did_you_mean
from reidprep.datasets.box_folders import NUMBER
from reidprep.datasets.folder import FolderImages, missing_files, quoted, why_unsafe
from reidprep.errors import ReidError
from reidprep.records import SPLITS, Record, Split

REQUIRED = ("path", "pid", "camid", "split")
OPTIONAL = ("sequence", "frame")

_MAX_REPORTED = 10


class _BadValue(Exception):
    """Why a row cannot be used."""


def _find(source: Path) -> Path | None:
    return source if source.suffix.lower() == ".csv" and source.is_file() else None


def _open_images(root: Path) -> FolderImages:
    return FolderImages(root.parent)


def _list(root: Path, options: Mapping[str, str]) -> Listing:
    rows = _rows(root)
    _, header = next(rows, (0, []))
    columns = [name.strip().lower() for name in header]
    _check_header(root, columns)
    records: list[Record] = []
    faults: list[str] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        if not any(value.strip() for value in row):
            continue
        try:
            if len(row) != len(columns):
                raise _BadValue(f"{len(row)} values for {len(columns)} columns")
            record = _record(dict(zip(columns, row, strict=True)))
            if record.path in lines:
                raise _BadValue(f"{record.path!r} is listed already on line {lines[record.path]}")
            lines[record.path] = line
            records.append(record)
        except _BadValue as fault:
            faults.append(f"line {line}: {fault}")
    if faults:
        more = len(faults) - _MAX_REPORTED
        listed = faults[:_MAX_REPORTED] + ([f"and {more:,} more"] if more > 0 else [])
        raise ReidError(f"{root}: rows that cannot be used, to correct or remove:\n  " + "\n  ".join(listed))
    return Listing(records, _notes(root, columns, records))


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of their last line."""
    try:
        # utf-8-sig: spreadsheet programs put a byte order mark in front.
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ReidError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ReidError(f"{file}, line {line}: is not UTF-8; save the file as 'CSV UTF-8'") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise ReidError(f"{file}, line {reader.line_num}: is not valid CSV: {error}") from None


def _check_header(file: Path, columns: list[str]) -> None:
    if not columns:
        raise ReidError(f"{file}: is empty; its first line must name the columns {','.join(REQUIRED)}")
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ReidError(
            f"{file}: the first line must name the columns {','.join(REQUIRED)}, separated by commas, "
            f"and may name {','.join(OPTIONAL)}; missing: {', '.join(missing)}; "
            f"found: {quoted(map(repr, columns), 10)}"
        )
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise ReidError(f"{file}: the first line names a column twice: {', '.join(twice)}")


def _record(row: Mapping[str, str]) -> Record:
    path = row["path"]
    unsafe = why_unsafe(path)
    if unsafe:
        raise _BadValue(f"{path!r}: {unsafe}")
    return Record(
        path=str(PurePosixPath(path)),
        pid=_integer(row, "pid", lowest=-1),
        camid=_integer(row, "camid", lowest=0),
        split=_split(row["split"].strip()),
        sequence=_integer(row, "sequence", lowest=-1, default=-1),
        frame=_integer(row, "frame", lowest=-1, default=-1),
    )


def _integer(row: Mapping[str, str], column: str, lowest: int, default: int | None = None) -> int:
    text = row.get(column, "").strip()
    if not text and default is not None:
        return default
    if not re.fullmatch(rf"-?{NUMBER}", text) or int(text) < lowest:
        raise _BadValue(f"{column} {text!r} is not a whole number from {lowest} to 999999999")
    return int(text)


def _split(text: str) -> Split:
    for split in SPLITS:
        if text == split:
            return split
    raise _BadValue(f"split {text!r} is none of {', '.join(SPLITS)}{did_you_mean(text, SPLITS)}")


def _notes(file: Path, columns: list[str], records: list[Record]) -> list[str]:
    notes = []
    unused = [repr(name) for name in columns if name not in REQUIRED + OPTIONAL]
    if unused:
        notes.append(f"columns not used: {quoted(unused, 10)}")
    missing = missing_files(file.parent, (record.path for record in records))
    if missing:
        notes.append(f"{len(missing):,} of the listed images are missing: {quoted(missing)}")
    return notes


READER = Reader(
    looked_for=f"a file ending in .csv whose first line names the columns {','.join(REQUIRED)}",
    options={},
    find=_find,
    list_records=_list,
    open_images=_open_images,
)
