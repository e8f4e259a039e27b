"""The crops of a shard directory as image files in the layout of Market-1501, for other trainers.

What they go by is the name: `0002_c1s1_000451_03.jpg` is person 2 at camera 1. torchreid's and fast-reid's readers of
Market-1501 take persons up to 1501 and cameras 1 to 6, so others are numbered anew.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from reidprep.datasets.market1501 import FOLDERS
from reidprep.datasets.registry import READERS
from reidprep.errors import ReidError
from reidprep.export.base import Exported, check_shards, exact
from reidprep.export.openpifpaf import SUFFIX, predictions
from reidprep.files import TOOL, FolderKind, whole_folder
from reidprep.images import decode_jpeg, encode_jpeg
from reidprep.progress import Progress, unseen
from reidprep.records import JUNK_PID, SPLITS, Split
from reidprep.shards.format import ShardPlan, image_shapes
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import PARTS
from reidprep.store.fields import Size
from reidprep.text import json_file

MARKER, TABLE = "export.json", "images.csv"
EXPORT = FolderKind(
    "an export of images", "reidprep.images", MARKER, "|".join((*FOLDERS.values(), *PARTS, TABLE.replace(".", r"\.")))
)
MOST_PEOPLE, MOST_CAMERAS = 1501, 6
"""What readers of Market-1501 take."""

_DISTRACTOR_PID = 0
_DIGITS = 9
_QUALITY = 95


def export_images(
    shards_path: Path,
    out: Path,
    *,
    splits: Sequence[Split] = SPLITS,
    size: Size | None = None,
    parts: bool = False,
    part_size: Size | None = None,
    keypoints: bool = False,
    overwrite: bool = False,
    progress: Progress = unseen,
) -> Exported:
    """Write the whole-body crops as JPEG files in the folders and under names as Market-1501 has them.

    JPEGs of the size asked for are the bytes of the shards; others are resized and encoded anew.

    Args:
        shards_path: a complete shard directory.
        out: the folder, which also gets `images.csv`, that tells what each image is of, and `export.json`; it is there
            whole or not at all.
        splits: which to write.
        size: height and width of the whole bodies, None as stored.
        parts: write the four parts as well, each in a folder of its own with the same layout.
        part_size: height and width of the parts, None as stored.
        keypoints: write the joints as OpenPifPaf's predictions beside the whole bodies, in their pixels.
        overwrite: replace an earlier export.
        progress: called with the samples done, and all samples.

    Raises:
        ReidError: unusable or damaged shards, none in the splits, `out` holds something, a full disk.
    """
    sets = {split: ShardSet.open(shards_path, split) for split in SPLITS}
    chosen = [split for split in SPLITS if split in splits]
    total = sum(len(sets[split]) for split in chosen)
    if not total:
        raise ReidError(f"{shards_path}: no sample in the splits {', '.join(chosen)}")
    check_shards(sets[split] for split in chosen)
    manifest = sets["train"].manifest
    numbers = _numbers(sets)
    sizes: list[Size | None] = [size, *([part_size] * len(PARTS) if parts else [])]
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("path", "source", "pid", "camid", "split"))
    images: dict[str, int] = dict.fromkeys(chosen, 0)
    files = written = 0
    with whole_folder(out, EXPORT, overwrite=overwrite) as folder:
        places = (folder, *(folder / part for part in PARTS if parts))
        for place in places:
            for name in FOLDERS.values():  # readers want all three
                (place / name).mkdir(parents=True)
        taken: Counter[str] = Counter()
        for split in chosen:
            shards = sets[split]
            for index in range(len(shards)):
                row = shards.row(index)
                stem = f"{FOLDERS[split]}/{numbers.stem(split, row)}"
                path = f"{stem}_{taken[stem]:02d}.jpg"
                taken[stem] += 1
                crops = _crops(shards, index, sizes)
                for place, data in zip(places, crops, strict=True):
                    (place / path).write_bytes(data)
                if keypoints:
                    crops.append(_keypoints(row, sizes[0] or image_shapes(shards.plan)[0][:2], shards.plan.confidence))
                    (folder / (path + SUFFIX)).write_bytes(crops[-1])
                files += len(crops)
                written += sum(map(len, crops))
                rows.writerow((path, str(row["paths"]), int(row["pids"]), int(row["camids"]), split))
                images[split] += 1
                progress(sum(images.values()), total)
        (folder / TABLE).write_text(table.getvalue(), encoding="utf-8")
        about = {
            "schema": EXPORT.schema,
            "version": 1,
            "tool": TOOL,
            "shards_sha256": manifest.sha256,
            "dataset": manifest.plan.poses.dataset.name,
            "images": images,
            "notes": numbers.notes,
        }
        (folder / MARKER).write_bytes(json_file(about))
    return Exported(out, images, files, written, tuple(numbers.notes))


@dataclass(frozen=True)
class _Numbers:
    """How people and cameras are numbered in names.

    Attributes:
        people: by whether the image is for training, where these are other people, and by pid.
        cameras: by split and camera.
        separate: whether equal numbers in training and testing are different people.
        notes: what is to be said about it.
    """

    people: Mapping[tuple[bool, int], int]
    cameras: Mapping[tuple[Split, int], int]
    separate: bool
    notes: Sequence[str]

    def stem(self, split: Split, row: Mapping[str, Any]) -> str:
        """The name of a sample without its last number."""
        pid = self.people[self.separate and split == "train", int(row["pids"])]
        camid = self.cameras[split, int(row["camids"])]
        sequence, frame = int(row["sequences"]), int(row["frames"])
        person = str(pid) if pid < 0 else f"{pid:04d}"
        return f"{person}_c{camid}s{sequence if sequence >= 0 else 1}_{max(frame, 0):06d}"


def _numbers(sets: Mapping[Split, ShardSet]) -> _Numbers:
    dataset = sets["train"].plan.poses.dataset
    separate = dataset.name in READERS and READERS[dataset.name].separate_numbering
    pids = {split: {*shards.pids.tolist()} for split, shards in sets.items()}
    seen = sorted({(separate and split == "train", pid) for split in SPLITS for pid in pids[split]})
    nobody = {JUNK_PID} | ({_DISTRACTOR_PID} - pids["train"] - pids["query"])
    people = [key for key in seen if key[1] not in nobody]
    notes = []
    if separate or any(not 1 <= pid <= MOST_PEOPLE for _, pid in people):
        numbers = {key: number for number, key in enumerate(people, start=1)}
        notes.append(f"people are numbered anew, 1 to {len(people)}; {TABLE} has their own numbers")
    else:
        numbers = {key: key[1] for key in people}
    if max(numbers.values(), default=0) > MOST_PEOPLE:
        notes.append(
            f"{len(people):,} people: readers of Market-1501 that take {MOST_PEOPLE:,}, as torchreid's and "
            "fast-reid's, refuse them"
        )
    numbers |= {key: key[1] for key in seen if key[1] in nobody}

    at = {(split, camid) for split in SPLITS for camid in {*sets[split].camids.tolist()}}
    if dataset.options.get("cameras") == "none":
        # As is customary: whoever is searched for was never seen by the camera that the gallery is of.
        cameras = {key: 2 if key[0] == "gallery" else 1 for key in at}
        notes.append("cameras are not known: c1 stands for training and queries, c2 for the gallery")
        return _Numbers(numbers, cameras, separate, notes)
    # Where distractors were seen may be unknown, which is camera 0, and does not matter.
    known = sorted({camid for split in SPLITS for camid in _cameras_of_people(sets[split], nobody)})
    given = {camid: camid for camid in known}
    if any(not 1 <= camid <= MOST_CAMERAS for camid in known):
        given = {camid: number for number, camid in enumerate(known, start=1)}
        if given != {camid: camid for camid in known}:
            notes.append(f"cameras are numbered anew, 1 to {len(known)}; {TABLE} has their own numbers")
    if max(given.values(), default=0) > MOST_CAMERAS:
        notes.append(
            f"{len(known)} cameras: readers of Market-1501 that take {MOST_CAMERAS}, as torchreid's and fast-reid's, "
            "refuse them" + (f"; those above {_DIGITS} they read by the first digit" if len(known) > _DIGITS else "")
        )
    cameras = {(split, camid): given.get(camid, 1) for split, camid in at}
    return _Numbers(numbers, cameras, separate, notes)


def _cameras_of_people(shards: ShardSet, nobody: set[int]) -> set[int]:
    """Cameras of a split, but for those of distractors and junk that are not known."""
    unknown = (shards.camids == 0) & np.isin(shards.pids, list(nobody))
    return {*shards.camids[~unknown].tolist()}


def _crops(shards: ShardSet, index: int, sizes: Sequence[Size | None]) -> list[bytes]:
    """JPEG files of the first crops of a sample, in these sizes."""
    return [
        _jpeg(data, shape, size or shape[:2], shards.plan)
        for data, shape, size in zip(shards.encoded(index), image_shapes(shards.plan), sizes, strict=False)
    ]


def _jpeg(data: NDArray[np.uint8], stored: tuple[int, int, int], size: Size, plan: ShardPlan) -> bytes:
    if plan.encoding == "jpeg" and size == stored[:2]:
        return data.tobytes()
    image = decode_jpeg(data) if plan.encoding == "jpeg" else data.reshape(stored)
    height, width = size
    if size != stored[:2]:
        smaller = height <= stored[0] and width <= stored[1]
        interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
    return encode_jpeg(image, plan.quality or _QUALITY)


def _keypoints(row: Mapping[str, Any], size: Size, confidence: float) -> bytes:
    """Predictions of a whole-body crop: joints in its pixels."""
    height, width = size
    x0, y0, x1, y1 = row["boxes"][0].tolist()
    joints = row["joints"].copy()
    joints[:, :2] = (joints[:, :2] - (x0, y0)) * (width / (x1 - x0), height / (y1 - y0))
    return predictions(exact(joints), (width, height), confidence)
