"""Describe a pose or shard directory without reading any image."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from reidprep.poses.format import POSES
from reidprep.poses.reader import PoseSet
from reidprep.records import SPLITS, SplitCounts
from reidprep.shards.format import SHARDS
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import JOINTS
from reidprep.store.fields import plain
from reidprep.store.manifest import MANIFEST, read_manifest


def describe(path: Path) -> dict[str, Any]:
    """What a directory holds, as JSON values: kind, plan, counts per split, joints, skipped files, size on disk.

    Raises:
        ReidError: no readable manifest of a known version, or a damaged file.
    """
    manifest = read_manifest(path, POSES, SHARDS)
    is_poses = manifest.schema == POSES.schema
    files = [MANIFEST, *(file.name for file in manifest.files)]
    joints = "joints_found" if is_poses else "joints_filled"
    summary = plain(manifest.totals) if manifest.complete else {}
    return {
        "kind": manifest.schema.name.removeprefix("reidprep."),
        "version": manifest.schema.version,
        "tool": manifest.tool,
        "complete": manifest.complete,
        "source": manifest.source,
        "rows": manifest.rows,
        "files": len(files),
        "bytes": sum((path / name).stat().st_size for name in files if (path / name).exists()),
        "splits": _splits(path, is_poses) if manifest.complete else {},
        joints: dict(zip(JOINTS, summary.get(joints, ()), strict=False)),
        "summary": {key: value for key, value in summary.items() if key not in (joints, "train_labels", "names")},
        "names": summary.get("names", {}),
        "skipped": plain(manifest.skipped),
        "plan": dict(manifest.parameters),
    }


def _splits(path: Path, is_poses: bool) -> dict[str, dict[str, Any]]:
    if is_poses:
        poses = PoseSet(path)
        of_row, pids, camids = (poses.column(name) for name in ("splits", "pids", "camids"))
        rows = {split: (pids[of_row == split], camids[of_row == split]) for split in SPLITS}
    else:
        sets = {split: ShardSet.open(path, split) for split in SPLITS}
        rows = {split: (shards.pids, shards.camids) for split, shards in sets.items()}
    counts = (SplitCounts.of(split, pids.tolist(), camids.tolist()) for split, (pids, camids) in rows.items())
    return {entry.split: asdict(entry) for entry in counts}
