from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidprep.datasets.base import Dataset
from reidprep.datasets.images import FolderImages
from reidprep.datasets.summary import describe, evaluation_notes
from reidprep.records import SPLITS, Record, Split, SplitCounts

Short = tuple[Split, int, int]  # split, pid, camera

TRAIN: list[Short] = [("train", 1, 1), ("train", 1, 2)]


def records(rows: Sequence[Short]) -> list[Record]:
    return [Record(f"{i}.jpg", pid, camid, split) for i, (split, pid, camid) in enumerate(rows)]


def test_describe() -> None:
    rows = records([*TRAIN, ("gallery", -1, 1), ("gallery", 0, 1), ("gallery", 5, 3), ("gallery", 5, 3)])
    dataset = Dataset("csv", Path("a.csv"), {}, tuple(rows), FolderImages(Path()), ())
    assert describe(dataset) == [
        SplitCounts("train", images=2, identities=1, cameras=2, junk=0),
        SplitCounts("query", images=0, identities=0, cameras=0, junk=0),
        SplitCounts("gallery", images=4, identities=2, cameras=2, junk=1),
    ]


@pytest.mark.parametrize(
    ("rows", "notes"),
    [
        ([*TRAIN, ("query", 2, 1), ("gallery", 2, 2), ("gallery", 0, 1)], []),
        (TRAIN, ["the query split is empty", "the gallery split is empty"]),
        ([("query", 2, 1), ("gallery", 2, 2)], ["the train split is empty: no training possible"]),
        (
            [*TRAIN, ("query", 2, 1), ("gallery", -1, 2)],
            ["the gallery split holds only junk: no evaluation possible"],
        ),
        (
            [*TRAIN, ("query", 2, 1), ("query", 3, 1), ("gallery", 2, 2), ("gallery", 3, 1)],
            ["1 query id has a query without a gallery image from another camera: pid 3"],
        ),
        (
            [*TRAIN, ("query", 2, 1), ("query", 2, 2), ("gallery", 2, 2)],
            ["1 query id has a query without a gallery image from another camera: pid 2"],
        ),
        (
            [*TRAIN, ("query", 2, 1), ("query", 3, 1), ("gallery", 4, 2)],
            ["2 query ids have .* camera: pid 2, 3; no evaluation is possible"],
        ),
        (
            [*TRAIN, ("query", 2, 7), ("gallery", 2, 7)],
            [r"query and gallery have one camera only \(7\), .*no evaluation is possible"],
        ),
        (
            [("train", 2, 1), ("train", 0, 1), ("query", 2, 1), ("gallery", 2, 2), ("gallery", 0, 2)],
            ["1 id is used for training and for testing, .*: pid 2"],
        ),
    ],
)
def test_notes(rows: list[Short], notes: list[str]) -> None:
    found = evaluation_notes(records(rows), separate_numbering=False)
    assert len(found) == len(notes)
    for note, expected in zip(found, notes, strict=True):
        assert re.match(expected, note)


def test_equal_numbers_are_no_leak_where_numbered_apart() -> None:
    rows: list[Short] = [("train", 2, 1), ("query", 2, 1), ("gallery", 2, 2)]
    assert evaluation_notes(records(rows), separate_numbering=True) == []


@given(st.lists(st.tuples(st.sampled_from(["query", "gallery"]), st.integers(1, 4), st.integers(1, 3)), min_size=1))
def test_named_ids_are_those_a_search_cannot_find(rows: list[Short]) -> None:
    everyone = records([*TRAIN, *[(split, pid + 10, camid) for split, pid, camid in rows]])
    queries = [record for record in everyone if record.split == "query"]
    gallery = [record for record in everyone if record.split == "gallery"]
    lost = {
        query.pid
        for query in queries
        if not any(image.pid == query.pid and image.camid != query.camid for image in gallery)
    }
    notes = evaluation_notes(everyone, separate_numbering=False)
    if not queries or not gallery or len({record.camid for record in queries + gallery}) == 1:
        assert all("no evaluation" in note for note in notes)
        assert notes
    elif not lost:
        assert notes == []
    else:
        (note,) = notes
        assert f"camera: pid {', '.join(map(str, sorted(lost)))}" in note


def test_every_split_is_described_in_order() -> None:
    dataset = Dataset("csv", Path("a.csv"), {}, (), FolderImages(Path()), ())
    assert tuple(row.split for row in describe(dataset)) == SPLITS
