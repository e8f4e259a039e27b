"""Describe a pose or shard directory without reading any image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidprep import poses
from reidprep.manifest import MANIFEST, read_manifest
from reidprep.poses import PoseSet
from reidprep.records import SPLITS
from reidprep.shards import ShardSet
from reidprep.shards import format as shards
from reidprep.skeleton import JOINTS


def describe(path: Path) -> dict[str, Any]:
    """What a directory holds, as JSON values: kind, plan, counts per split, joints, skipped files, size on disk.

    Raises:
        ReidError: no readable manifest of a known version, or a damaged part.
    """
    manifest = read_manifest(path, poses.SCHEMA, shards.SCHEMA)
    is_poses = manifest.schema == poses.SCHEMA
    files = [MANIFEST, *(part.name for part in manifest.parts)]
    joints = manifest.summary.get("joints_found" if is_poses else "joints_filled", [])
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
        "joints_found" if is_poses else "joints_filled": dict(zip(JOINTS, joints, strict=False)),
        "summary": {
            key: value
            for key, value in manifest.summary.items()
            if key not in ("joints_found", "joints_filled", "train_labels")
        },
        "skipped": manifest.skipped,
        "plan": dict(manifest.plan),
    }


def _splits(path: Path, is_poses: bool) -> dict[str, dict[str, int]]:
    if not is_poses:
        sets = {split: ShardSet.open(path, split) for split in SPLITS}
        return {split: split_counts(shards.pids, shards.camids) for split, shards in sets.items()}
    pose_set = PoseSet(path)
    of_row, pids, camids = (pose_set.column(name) for name in ("splits", "pids", "camids"))
    return {split: split_counts(pids[of_row == split], camids[of_row == split]) for split in SPLITS}


def split_counts(pids: NDArray[Any], camids: NDArray[Any]) -> dict[str, int]:
    """Images, identities, cameras and junk images (id -1) of a split."""
    known = pids >= 0
    return {
        "images": len(pids),
        "ids": len(np.unique(pids[known])),
        "cameras": len(np.unique(camids[known])),
        "junk": int((~known).sum()),
    }
