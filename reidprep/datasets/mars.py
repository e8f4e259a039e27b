"""MARS (Zheng et al., ECCV 2016): tracklets of the people of Market-1501.

The images and, beside them, the folder `info` of the authors' MARS-evaluation, which says what the tracklets are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep.datasets.base import Listing, Option, Reader
from reidprep.datasets.images import FolderImages, missing_notes
from reidprep.datasets.mat import read_mat
from reidprep.errors import ReidError
from reidprep.files import read_file
from reidprep.records import Record, Split

TRAIN, TEST, INFO = "bbox_train", "bbox_test", "info"

# 0001C1T0001F001.jpg: person, camera, tracklet, frame. Junk is called 00-1.
_NAME = re.compile(r"([0-9]{4}|00-1)C([0-9])T([0-9]{4})F([0-9]{3,9})\.jpg", re.IGNORECASE)


@dataclass(frozen=True)
class _Part:
    """The training or the test part: its folder, and the files of `info` that list its images and tracklets."""

    folder: str
    names: str
    tracks: str
    variable: str


_TRAINING = _Part(TRAIN, "train_name.txt", "tracks_train_info", "track_train_info")
_TESTING = _Part(TEST, "test_name.txt", "tracks_test_info", "track_test_info")


def _find(source: Path) -> Path | None:
    return source if (source / TRAIN).is_dir() or (source / TEST).is_dir() else None


def _list(root: Path, options: Mapping[str, str]) -> Listing:
    if not (root / INFO).is_dir():
        raise ReidError(
            f"{root}: there is no folder {INFO}, which says what the tracklets and the queries are; it comes with the "
            "authors' MARS-evaluation: put it here"
        )
    records: list[Record] = []
    notes: list[str] = []
    for part in (_TRAINING, _TESTING):
        if (root / part.folder).is_dir():
            records += _records(root, part)
        else:
            notes.append(f"there is no folder {part.folder}")
    notes += missing_notes(root, (record.path for record in records))
    return Listing(records, notes)


def _records(root: Path, part: _Part) -> list[Record]:
    info = root / INFO
    names = _text(info / part.names).split()
    tracks_file, tracks = _numbers(info, part.tracks, part.variable)
    if tracks.ndim != 2 or tracks.shape[1] != 4:
        raise ReidError(
            f"{tracks_file}: expected rows of first image, last image, person, camera; shape {tracks.shape}"
        )
    queries = _queries(info, len(tracks)) if part is _TESTING else frozenset()
    records: list[Record] = []
    for number, (first, last, pid, camid) in enumerate(tracks.tolist(), start=1):
        where = f"{tracks_file}, tracklet {number}"
        if not 1 <= first <= last <= len(names):
            raise ReidError(f"{where}: images {first} to {last}, but {part.names} names 1 to {len(names)}")
        split: Split = "train" if part is _TRAINING else "query" if number in queries else "gallery"
        for name in names[first - 1 : last]:
            match = _NAME.fullmatch(name)
            if not match:
                raise ReidError(f"{info / part.names}: {name[:80]!r} is no image name such as 0001C1T0001F001.jpg")
            said = -1 if match[1] == "00-1" else int(match[1])
            if (said, int(match[2])) != (pid, camid):
                raise ReidError(f"{where}: is of person {pid} at camera {camid}, but holds {name}")
            path = f"{part.folder}/{match[1]}/{name}"
            records.append(Record(path, pid, camid, split, sequence=number, frame=int(match[4])))
    return records


def _queries(info: Path, tracklets: int) -> frozenset[int]:
    file, numbers = _numbers(info, "query_IDX", "query_IDX")
    queries = numbers.reshape(-1).tolist()
    for number in queries:
        if not 1 <= number <= tracklets:
            raise ReidError(f"{file}: holds {number}, but there are {tracklets} test tracklets")
    return frozenset(queries)


def _numbers(info: Path, stem: str, variable: str) -> tuple[Path, NDArray[np.int64]]:
    """The whole numbers of a `.mat` file or, where there is none, of a text file with the same rows."""
    file = next((path for path in (info / f"{stem}.mat", info / f"{stem}.txt") if path.is_file()), None)
    if file is None:
        raise ReidError(f"{info}: there is no {stem}.mat, which comes with the authors' MARS-evaluation; put it here")
    if file.suffix == ".mat":
        content: Any = read_mat(file, (variable,), "mars").get(variable)
        if content is None:
            raise ReidError(f"{file}: lacks {variable}; is this the file of MARS?")
    else:
        rows = [line.split() for line in _text(file).splitlines() if line.strip()]
        content = _table(rows)
    numbers = np.asarray(content)
    if numbers.dtype.kind not in "iuf" or not (np.isfinite(numbers).all() and (numbers == np.round(numbers)).all()):
        raise ReidError(f"{file}: expected whole numbers in rows of equal length")
    return file, numbers.astype(np.int64)


def _table(rows: Sequence[Sequence[str]]) -> NDArray[Any]:
    """Numbers, or text if they are none."""
    try:
        return np.array(rows, np.float64)
    except ValueError:
        return np.array("")


def _text(file: Path) -> str:
    try:
        return read_file(file).decode("utf-8-sig")
    except OSError as error:
        raise ReidError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ReidError(f"{file}: is not UTF-8 text; extract it again") from None


READER = Reader(
    looked_for=f"a folder with {TRAIN} and {TEST}, images in them like 0001/0001C1T0001F001.jpg, and {INFO}",
    options={"tracklets": Option(("yes",), "yes")},
    find=_find,
    list_records=_list,
    open_images=FolderImages,
)
