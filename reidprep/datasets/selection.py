"""A part of a dataset, to try something on: some splits, and not more than so many images of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from reidprep.datasets.base import Dataset
from reidprep.datasets.registry import READERS
from reidprep.datasets.summary import evaluation_notes
from reidprep.errors import ReidError
from reidprep.records import JUNK_PID, SPLITS, Record, Split

_IMPOSTOR_PID = 0


def select(dataset: Dataset, splits: Collection[Split] = SPLITS, limit: int | None = None) -> Dataset:
    """Some splits of a dataset, and with a limit some identities of them.

    An identity is taken with all its images of all splits or not at all, the lowest ids that fit first: those that
    queries can find at another camera, then others, then impostors and junk. If not even one fits, some images of the
    first are taken, cameras in turn.

    Args:
        dataset: the dataset.
        splits: those to keep.
        limit: most images of each split, None for all.

    Returns:
        The dataset with fewer records, in their order, and remarks on those.

    Raises:
        ReidError: no image is left.

    Example:
        >>> from reidprep import open_dataset
        >>> from reidprep.datasets.selection import select
        >>> select(open_dataset("people"), limit=6)
        Dataset(market1501, people: 4 train, 2 query, 6 gallery; see notes)
    """
    records = [record for record in dataset.records if record.split in splits]
    if not records:
        raise ReidError(f"{dataset.root}: no image in the splits {', '.join(splits)}")
    if limit is None:
        return replace(dataset, records=tuple(records))
    taken = {
        id(record)
        for group in (("train",), ("query", "gallery"))
        for record in _limited([record for record in records if record.split in group], limit)
    }
    kept = [record for record in records if id(record) in taken]
    apart = dataset.name in READERS and READERS[dataset.name].separate_numbering
    old = evaluation_notes(dataset.records, apart, options=dataset.options)
    notes = [note for note in dataset.notes if note not in old]
    return replace(
        dataset, records=tuple(kept), notes=(*notes, *evaluation_notes(kept, apart, splits, options=dataset.options))
    )


def _limited(records: Sequence[Record], limit: int) -> list[Record]:
    """Records of training, or of a test, at most `limit` of a split."""
    people: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        people[record.pid].append(record)
    # Impostors and junk are nobody, of whom any part will do. Some datasets count their people from 0.
    impostors = {_IMPOSTOR_PID} if {record.split for record in people[_IMPOSTOR_PID]} == {"gallery"} else set()
    nobody = [[record] for pid in (*impostors, JUNK_PID) for record in people.pop(pid, [])]
    searched = {pid for pid, images in people.items() if _matched(images)}
    # The sort is stable: within each kind, the lowest ids first.
    groups = [people[pid] for pid in sorted(sorted(people), key=lambda pid: pid not in searched) if people[pid]]
    room = dict.fromkeys(SPLITS, limit)
    taken: list[Record] = []
    for group in groups:
        _take(group, room, taken)
    if groups and not taken:
        first = groups[0]
        if searched:  # a query, and then first those images that it is to find
            query = next(record for record in first if record.split == "query" and _finds(record, first))
            first = [query, *sorted(first, key=lambda record: record.camid == query.camid)]
        for record in dict.fromkeys(first if searched else _cameras_in_turn(first)):
            _take([record], room, taken)
    for group in nobody:
        _take(group, room, taken)
    return taken


def _take(group: Sequence[Record], room: dict[Split, int], taken: list[Record]) -> None:
    """Take a group if there is room for all of it."""
    if all(sum(record.split == split for record in group) <= left for split, left in room.items()):
        for record in group:
            room[record.split] -= 1
        taken += group


def _matched(images: Sequence[Record]) -> bool:
    return any(record.split == "query" and _finds(record, images) for record in images)


def _finds(query: Record, images: Sequence[Record]) -> bool:
    return any(record.split == "gallery" and record.camid != query.camid for record in images)


def _cameras_in_turn(images: Iterable[Record]) -> list[Record]:
    seen: dict[int, int] = defaultdict(int)
    turns: list[tuple[int, Record]] = []
    for record in images:
        turns.append((seen[record.camid], record))
        seen[record.camid] += 1
    return [record for _, record in sorted(turns, key=lambda turn: turn[0])]
