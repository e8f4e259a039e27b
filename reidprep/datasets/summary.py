"""What a list of records amounts to: counts per split, and what stands in the way of an evaluation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from reidprep.datasets.base import Dataset
from reidprep.records import JUNK_PID, SPLITS, Record, Split, SplitCounts
from reidprep.text import counted, quoted

_MAX_IDS = 20


def describe(dataset: Dataset) -> list[SplitCounts]:
    """Counts of the train, query and gallery splits, in this order."""
    of_split = {split: [record for record in dataset.records if record.split == split] for split in SPLITS}
    return [
        SplitCounts.of(split, [record.pid for record in records], [record.camid for record in records])
        for split, records in of_split.items()
    ]


def evaluation_notes(
    records: Sequence[Record],
    separate_numbering: bool,
    splits: Collection[Split] = SPLITS,
    *,
    options: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Sentences on what makes an evaluation impossible or doubtful; empty if nothing does.

    Args:
        records: of these splits.
        separate_numbering: training and test ids are numbered apart, so the same number may occur in both.
        splits: which are wanted; nothing is said about others.
        options: of the reader: `cameras=none` where cameras are not known.
    """
    pids: dict[Split, set[int]] = {split: set() for split in SPLITS}
    cameras: dict[Split, dict[int, set[int]]] = {split: defaultdict(set) for split in SPLITS}
    for record in records:
        if record.pid != JUNK_PID:
            pids[record.split].add(record.pid)
            cameras[record.split][record.pid].add(record.camid)
    lost = {"train": "training", "query": "evaluation", "gallery": "evaluation"}
    present = {record.split for record in records}
    notes = [
        f"the {split} split {'holds only junk' if split in present else 'is empty'}: no {lost[split]} possible"
        for split in SPLITS
        if split in splits and not pids[split]
    ]
    if pids["query"] and pids["gallery"]:
        notes += _search_notes(cameras["query"], cameras["gallery"], known=options.get("cameras") != "none")
    both = pids["train"] & (pids["query"] | {pid for pid in pids["gallery"] if pid > 0})
    if both and not separate_numbering:
        ids = counted(len(both), "id is", "ids are")
        notes.append(f"{ids} used for training and for testing, which flatters an evaluation: {_ids(both)}")
    return notes


def lost_tracklets(dataset: Dataset, skipped: Collection[str]) -> list[str]:
    """A sentence on tracklets of a dataset of which no image is left; nothing if there are none.

    Args:
        dataset: what was processed.
        skipped: paths of the images that were left out.
    """
    if dataset.options.get("tracklets") != "yes":
        return []
    left_out = frozenset(skipped)
    images: dict[tuple[int, int, int], list[bool]] = defaultdict(list)
    for record in dataset.records:
        images[record.pid, record.camid, record.sequence].append(record.path in left_out)
    lost = [tracklet for tracklet, out in images.items() if all(out) and tracklet[2] >= 0]
    if not lost:
        return []
    listed = quoted((f"person {pid} camera {camid} number {number}" for pid, camid, number in lost), _MAX_IDS)
    return [f"{counted(len(lost), 'tracklet has', 'tracklets have')} no image left: {listed}"]


def _search_notes(query: dict[int, set[int]], gallery: dict[int, set[int]], known: bool) -> list[str]:
    """Who cannot be found: evaluation looks for a person in the images of the other cameras only, if it knows them."""
    everywhere = set[int]().union(*query.values(), *gallery.values())
    if not known:
        absent = query.keys() - gallery.keys()
        ids = counted(len(absent), "query id has", "query ids have")
        return [f"{ids} no gallery image: {_ids(absent)}"] if absent else []
    if len(everywhere) == 1:
        return [
            f"query and gallery have one camera only ({everywhere.pop()}), "
            "but a person is searched in the other cameras: no evaluation is possible but by --protocol no-cameras"
        ]
    searches = [(pid, camid) for pid, seen in query.items() for camid in seen]
    unmatched = [(pid, camid) for pid, camid in searches if not gallery.get(pid, set()) - {camid}]
    if not unmatched:
        return []
    pids = {pid for pid, _ in unmatched}
    ids = counted(len(pids), "query id has", "query ids have")
    end = "; no evaluation is possible" if len(unmatched) == len(searches) else ""
    return [f"{ids} a query without a gallery image from another camera: {_ids(pids)}{end}"]


def _ids(pids: set[int]) -> str:
    return "pid " + quoted(sorted(pids), _MAX_IDS)
