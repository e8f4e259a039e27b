from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reidprep.datasets.base import Dataset
from reidprep.datasets.images import FolderImages
from reidprep.datasets.selection import select
from reidprep.datasets.summary import evaluation_notes
from reidprep.errors import ReidError
from reidprep.records import JUNK_PID, SPLITS, Record


def dataset(seed: int = 0) -> Dataset:
    """A dataset like Market-1501: people of 1 to 9 images, 60 % of the gallery impostors and junk, which come first."""
    rng = np.random.default_rng(seed)
    people = [
        (split, pid)
        for pid in range(1, 40)
        for split in (("train",) if pid % 2 else ("query", "gallery"))
        for _ in range(rng.integers(1, 10))
    ]
    people += [("gallery", pid) for pid in (JUNK_PID, 0) for _ in range(60)]
    records = [
        Record(f"{split}/{pid:05d}_{number:05d}.jpg", pid, int(rng.integers(1, 4)), split)
        for number, (split, pid) in enumerate(people)
    ]
    records.sort(key=lambda record: (SPLITS.index(record.split), record.path))
    return Dataset("market1501", Path("d"), {}, tuple(records), FolderImages(Path("d")), ("2 files ignored",))


def of(data: Dataset, split: str) -> list[Record]:
    return [record for record in data.records if record.split == split]


@pytest.mark.parametrize("limit", [10, 20, 50, 100])
def test_identities_are_whole_and_queries_have_matches(limit: int) -> None:
    whole = dataset()
    some = select(whole, limit=limit)
    assert all(0 < len(of(some, split)) <= limit for split in SPLITS)
    assert list(some.records) == [record for record in whole.records if record in set(some.records)]
    people = Counter((record.split, record.pid) for record in some.records if record.pid > 0)
    all_people = Counter((record.split, record.pid) for record in whole.records)
    assert all(all_people[person] == count for person, count in people.items())
    assert {pid for split, pid in people if split == "query"} == {pid for split, pid in people if split == "gallery"}
    assert any(
        found.pid == query.pid and found.camid != query.camid
        for query in of(some, "query")
        for found in of(some, "gallery")
    )


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_a_limit_below_one_identity_still_finds_somebody(limit: int, seed: int) -> None:
    some = select(dataset(seed), limit=limit)
    assert all(0 < len(of(some, split)) <= limit for split in SPLITS)
    assert any(
        found.pid == query.pid and found.camid != query.camid
        for query in of(some, "query")
        for found in of(some, "gallery")
    )


def test_all_is_all_and_twice_is_once() -> None:
    whole = dataset()
    assert select(whole, limit=len(whole.records)).records == whole.records
    some = select(whole, limit=30)
    assert select(some, limit=30).records == some.records


def test_remarks_are_about_what_is_left() -> None:
    whole = dataset()
    records = (*whole.records, Record("query/x.jpg", 999, 1, "query"))
    whole = replace(whole, records=records, notes=(*whole.notes, *evaluation_notes(records, False)))
    assert "999" in str(whole.notes)
    some = select(whole, limit=8)
    assert some.notes == ("2 files ignored", *evaluation_notes(some.records, False))
    assert some.notes != whole.notes
    assert "the gallery split is empty" not in str(select(whole, ("train", "query"), limit=15).notes)


def test_people_may_be_counted_from_0() -> None:
    records = tuple(Record(f"train/{number}.jpg", number // 4, 1, "train") for number in range(20))
    some = select(Dataset("csv", Path("d"), {}, records, FolderImages(Path("d")), ()), ("train",), limit=9)
    assert Counter(record.pid for record in some.records) == {0: 4, 1: 4}


def test_a_split_without_images_is_an_error() -> None:
    whole = dataset()
    with pytest.raises(ReidError, match="d: no image in the splits query"):
        select(Dataset(**{**vars(whole), "records": tuple(of(whole, "train"))}), ("query",))
