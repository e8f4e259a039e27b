"""What was found for each query, by name: as values, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.files import claim_file, write_file
from reidprep.text import json_file, utf8
from reidtrain.metrics.protocols import JUNK

Verdict = Literal["right", "wrong", "junk"]
"""Of a gallery image: shows the query's person, somebody else, or counts for neither: nobody (pid -1), or the query's
person at the query's camera."""


@dataclass(frozen=True)
class Shown:
    """What is known of an image; None is not known.

    Attributes:
        path: of its file.
        pid: who it shows.
        camid: camera.
    """

    path: str | None = None
    pid: int | None = None
    camid: int | None = None


@dataclass(frozen=True)
class Entry:
    """A gallery image in a list.

    Attributes:
        rank: from 1.
        index: position in the gallery.
        distance: from the query.
        image: what is known of it.
        verdict: None where persons are not known.
    """

    rank: int
    index: int
    distance: float
    image: Shown
    verdict: Verdict | None


@dataclass(frozen=True)
class FoundList:
    """The gallery images found for a query, nearest first.

    Attributes:
        query: position of the query.
        image: what is known of it.
        entries: what was found.
        model: whose features found it, where there are several.
    """

    query: int
    image: Shown
    entries: tuple[Entry, ...]
    model: str | None = None


class Known:
    """What is known of the images of a side, counted through its parts.

    Args:
        parts: number of images of each part.
        paths: of the images, by part; None where they are not known.
        pids: persons, the same. If all are -1, nobody is known.
        camids: cameras, the same.
    """

    def __init__(
        self,
        parts: Sequence[int],
        paths: Sequence[NDArray[np.str_]] | None = None,
        pids: Sequence[NDArray[np.int64]] | None = None,
        camids: Sequence[NDArray[np.int64]] | None = None,
    ) -> None:
        self._starts = np.cumsum([0, *parts])
        self._paths = paths
        self._pids = None if pids is None or all((part == JUNK).all() for part in pids) else pids
        self._camids = None if self._pids is None else camids

    @property
    def named(self) -> bool:
        """Whether paths are known."""
        return self._paths is not None

    @property
    def cameras(self) -> set[int]:
        """The cameras that are known."""
        return {camera for part in self._camids or () for camera in np.unique(part).tolist()}

    def __getitem__(self, index: int) -> Shown:
        part = int(self._starts.searchsorted(index, side="right")) - 1
        row = index - int(self._starts[part])
        path = None
        if self._paths is not None:
            # A file may hold what is no character, and no output takes it.
            path = str(self._paths[part][row]).encode("utf-8", "replace").decode("utf-8", "replace")
        pid, camid = (None if labels is None else int(labels[part][row]) for labels in (self._pids, self._camids))
        return Shown(path, pid, camid)


def found_lists(
    queries: Known,
    gallery: Known,
    indices: NDArray[np.int64],
    distances: NDArray[Any],
    numbers: Sequence[int] | None = None,
    *,
    cameras: bool = True,
) -> list[FoundList]:
    """Lists of what a search found.

    Args:
        queries: what is known of the queries.
        gallery: the same of the gallery.
        indices: (q, n) positions in the gallery, nearest first; -1 for none.
        distances: (q, n).
        numbers: positions of the queries; None for 0 to q - 1.
        cameras: whether images of the query's person at the query's camera are junk.
    """
    lists = []
    for number, found, far in zip(
        range(len(indices)) if numbers is None else numbers, indices.tolist(), distances.tolist(), strict=True
    ):
        query = queries[number]
        images = [(index, distance, gallery[index]) for index, distance in zip(found, far, strict=True) if index >= 0]
        entries = tuple(
            Entry(rank, index, distance, image, _verdict(query, image, cameras))
            for rank, (index, distance, image) in enumerate(images, start=1)
        )
        lists.append(FoundList(number, query, entries))
    return lists


def _verdict(query: Shown, image: Shown, cameras: bool) -> Verdict | None:
    if query.pid is None or query.pid == JUNK or image.pid is None:
        return None
    if image.pid == JUNK:
        return "junk"
    if image.pid != query.pid:
        return "wrong"
    return "junk" if cameras and query.camid is not None and query.camid == image.camid else "right"


def as_record(entry: Entry) -> dict[str, Any]:
    """A gallery image in JSON; what is not known is left out."""
    values = {"rank": entry.rank, "index": entry.index, "distance": entry.distance, **_labels(entry.image)}
    return values if entry.verdict is None else {**values, "verdict": entry.verdict}


def as_records(lists: Sequence[FoundList]) -> list[dict[str, Any]]:
    """Lists in JSON: of each query `query`, what is known of it, and `found`."""
    return [
        {
            "query": found.query,
            **_labels(found.image),
            **({} if found.model is None else {"model": found.model}),
            "found": [as_record(entry) for entry in found.entries],
        }
        for found in lists
    ]


def _labels(image: Shown) -> dict[str, Any]:
    values = {"path": image.path, "pid": image.pid, "camera": image.camid}
    return {name: value for name, value in values.items() if value is not None}


LIST_SUFFIXES = (".csv", ".json")


def require_list_file(path: Path) -> None:
    """Make sure, before long work, that a list can be written to a file of this name; its folder is made if need be.

    Raises:
        ReidError: it ends otherwise, is a folder, or its folder cannot be written to.
    """
    if path.suffix.lower() not in LIST_SUFFIXES or path.is_dir():
        raise ReidError(f"{path}: lists are files that end in {' or '.join(LIST_SUFFIXES)}")
    claim_file(path, overwrite=True)


def write_lists(path: Path, lists: Sequence[FoundList]) -> None:
    """Write lists to a `.csv` file, a line for each image found, or a `.json` file; what is there is replaced.

    Raises:
        ReidError: as `require_list_file`, or the file cannot be written.
    """
    require_list_file(path)
    if path.suffix.lower() == ".json":
        write_file(path, json_file({"queries": as_records(lists)}))
        return
    several = any(found.model is not None for found in lists)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = ["query", "query_path", "query_pid", "query_camera"]
    writer.writerow([*head, *(["model"] if several else []), "rank", "path", "pid", "camera", "distance", "verdict"])
    for found in lists:
        asked = [found.query, found.image.path, found.image.pid, found.image.camid, *([found.model] if several else [])]
        for entry in found.entries:
            image = entry.image
            writer.writerow(
                [*asked, entry.rank, image.path, image.pid, image.camid, f"{entry.distance:.7g}", entry.verdict]
            )
    write_file(path, utf8(stream.getvalue()))
