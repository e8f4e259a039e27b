"""A shard directory as tar files for WebDataset (https://github.com/webdataset/webdataset).

Members that belong together stand one after the other and share their name up to the first dot, the key.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from reidprep.alignment.align import Flag
from reidprep.datasets.images import without_suffix
from reidprep.errors import ReidError
from reidprep.export.base import Exported, check_shards, exact
from reidprep.files import file_sha256, whole_file
from reidprep.progress import Progress, unseen
from reidprep.records import SPLITS, Split
from reidprep.shards.format import ShardManifest, ShardPlan, StoredMeans, image_shapes
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import JOINTS, PARTS
from reidprep.store.fields import Count, Id, Positive
from reidprep.store.hdf5 import Schema
from reidprep.store.manifest import Format, Origin, StoreFile
from reidprep.store.writer import StoreWriter, relative_source

SAMPLES_PER_TAR = 1000
MEMBERS = ("whole", *PARTS, "image")
"""Names of a sample's images, in the order in which shards store them."""


@dataclass(frozen=True, kw_only=True)
class ShardsUsed(ShardPlan, Origin):
    """The shards that were exported."""


@dataclass(frozen=True, kw_only=True)
class TarPlan:
    """Every parameter that shapes tar files.

    Attributes:
        shards: what was exported.
        splits: those that were.
        samples_per_tar: samples per file.
        members: names of a sample's members, without the key.
    """

    shards: ShardsUsed
    splits: tuple[Split, ...]
    samples_per_tar: Positive
    members: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TarStatistics:
    """What a file is of: samples of one split."""

    split: Split


@dataclass(frozen=True, kw_only=True)
class TarSummary:
    """Totals, and what is needed to train.

    Attributes:
        images: by split.
        joints: names, in the order of all columns.
        train_labels: as those of the shards.
        channel_means: as those of the shards.
    """

    images: Mapping[str, Count]
    joints: tuple[str, ...]
    train_labels: Mapping[Id, Count]
    channel_means: StoredMeans


TARS = Format(
    Schema("reidprep.webdataset", 1),
    TarPlan,
    TarSummary,
    TarStatistics,
    command="reidprep export --format webdataset",
    most_rows=lambda plan: plan.samples_per_tar,
)


@dataclass(frozen=True)
class _Tar:
    """One tar file to write: samples `start` to `stop - 1` of a split."""

    name: str
    split: Split
    shards: ShardSet
    start: int
    stop: int


def export_webdataset(
    shards_path: Path,
    out: Path,
    *,
    splits: Sequence[Split] = SPLITS,
    samples_per_tar: int = SAMPLES_PER_TAR,
    overwrite: bool = False,
    progress: Progress = unseen,
) -> Exported:
    """Copy the samples of a shard directory into tar files; resumes an interrupted export.

    The JPEG bytes are those of the shards. The same shards and parameters give the same bytes.

    Args:
        shards_path: a complete shard directory.
        out: the folder, which gets `train-00000.tar` and so on, and a manifest (docs/export-data.md).
        splits: which to write.
        samples_per_tar: samples in a tar file, fewer in the last of a split.
        overwrite: replace an export of other shards or with other parameters.
        progress: called with the samples done, and all samples, those of an earlier run included.

    Raises:
        ReidError: unusable or damaged shards, none in the splits, an unusable `out`, a full disk.
    """
    sets = {split: ShardSet.open(shards_path, split) for split in SPLITS if split in splits}
    total = sum(map(len, sets.values()))
    if not total:
        raise ReidError(f"{shards_path}: no sample in the splits {', '.join(sets)}")
    manifest = ShardSet.open(shards_path).manifest
    plan = _plan(manifest, tuple(sets), samples_per_tar)
    with StoreWriter(out, TARS, relative_source(shards_path, out), plan, overwrite=overwrite) as directory:
        tars = [
            _Tar(f"{split}-{number:05d}.tar", split, shards, start, min(start + samples_per_tar, len(shards)))
            for split, shards in sets.items()
            for number, start in enumerate(range(0, len(shards), samples_per_tar))
        ]
        missing = [tar for tar in tars if tar.name not in directory.present]
        done = total - sum(tar.stop - tar.start for tar in missing)
        progress(done, total)
        if missing:
            check_shards(sets.values())
            keys = sample_keys({split: shards.column("paths").tolist() for split, shards in sets.items()})
        for tar in missing:
            with whole_file(out / tar.name) as file:
                for _ in _write_tar(file, tar, keys[tar.split], plan.members):
                    done += 1
                    progress(done, total)
            sha256 = file_sha256(out / tar.name)
            if sha256 is None:
                raise ReidError(f"{out / tar.name}: cannot be read back; run the command again")
            directory.add(StoreFile(tar.name, tar.stop - tar.start, sha256, (), TarStatistics(split=tar.split)))
        images: dict[str, int] = {split: len(shards) for split, shards in sets.items()}
        labels, means = manifest.summary.train_labels, manifest.summary.channel_means
        directory.finish(TarSummary(images=images, joints=JOINTS, train_labels=labels, channel_means=means))
    files = [out / tar.name for tar in tars]
    return Exported(out, images, len(files), sum(file.stat().st_size for file in files))


def _plan(manifest: ShardManifest, splits: tuple[Split, ...], samples_per_tar: int) -> TarPlan:
    suffix = "jpg" if manifest.plan.encoding == "jpeg" else "npy"
    images = MEMBERS[: len(image_shapes(manifest.plan))]
    return TarPlan(
        shards=ShardsUsed(tool=manifest.tool, sha256=manifest.sha256, **vars(manifest.plan)),
        splits=splits,
        samples_per_tar=samples_per_tar,
        members=(*(f"{image}.{suffix}" for image in images), "json"),
    )


def sample_keys(paths: Mapping[Split, Sequence[str]]) -> dict[Split, list[str]]:
    """A key without a dot in its last component for every path; unique over all splits.

    It is the path without its suffix, other dots as `_`. Should two be equal, all get their number in the list.
    """
    plain = {split: [_key(path) for path in some] for split, some in paths.items()}
    if len({key for keys in plain.values() for key in keys}) == sum(map(len, plain.values())):
        return plain
    numbers = count()
    return {split: [f"{key}~{next(numbers)}" for key in keys] for split, keys in plain.items()}


def _key(path: str) -> str:
    folder, slash, name = without_suffix(path).rpartition("/")
    key = folder + slash + name.replace(".", "_")
    # A key that starts so may be taken for metadata, and left out.
    return f"-{key}" if key.startswith("__") else key


def _write_tar(file: BinaryIO, tar: _Tar, keys: Sequence[str], members: Sequence[str]) -> Iterator[None]:
    """Write the samples of a tar file, one per step."""
    labels = tar.shards.train_labels if tar.split == "train" else {}
    shapes = image_shapes(tar.shards.plan)
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for index in range(tar.start, tar.stop):
            row = tar.shards.row(index)
            images = zip(members, tar.shards.encoded(index), shapes, strict=False)
            content = [_npy(data, shape) if name.endswith("npy") else data.tobytes() for name, data, shape in images]
            content.append(_labels(row, tar.split, labels.get(int(row["pids"]), -1)))
            for name, data in zip(members, content, strict=True):
                # Owner 0, mode 644, time 0: nothing of the machine or the hour gets into the bytes.
                entry = tarfile.TarInfo(f"{keys[index]}.{name}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
            yield


def _npy(data: NDArray[np.uint8], shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.save(file, data.reshape(shape))
    return file.getvalue()


def _labels(row: Mapping[str, Any], split: Split, label: int) -> bytes:
    content = {
        "path": str(row["paths"]),
        "pid": int(row["pids"]),
        "label": label,
        "camid": int(row["camids"]),
        "split": split,
        "sequence": int(row["sequences"]),
        "frame": int(row["frames"]),
        "joints": exact(row["joints"]),
        "joints_filled": exact(row["joints_filled"]),
        "filled": row["filled"].tolist(),
        "boxes": dict(zip(("whole", *PARTS), exact(row["boxes"]), strict=True)),
        "residual": exact(row["residuals"]),
        "flags": [flag.name for flag in Flag if int(row["flags"]) & flag],
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
