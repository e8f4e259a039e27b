"""Shards built by hand, for what drawn people do not give: any path, any flag, images that are gone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reidprep.alignment.align import Flag, align
from reidprep.alignment.canonical import load
from reidprep.images import encode_jpeg
from reidprep.shards.format import SHARDS, Sample, ShardFile, ShardPlan, ShardSummary, image_shapes, shard_bytes
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import JOINTS
from reidprep.store.writer import StoreWriter

SIZE = (64, 128)
STANDING = {
    "nose": (32, 18), "neck": (32, 30),
    "r_shoulder": (22, 31), "r_elbow": (18, 46), "r_wrist": (17, 60),
    "l_shoulder": (42, 31), "l_elbow": (46, 46), "l_wrist": (47, 60),
    "r_hip": (26, 62), "r_knee": (26, 86), "r_ankle": (26, 110),
    "l_hip": (38, 62), "l_knee": (38, 86), "l_ankle": (38, 110),
    "r_eye": (30, 16), "l_eye": (34, 16), "r_ear": (27, 17), "l_ear": (37, 17),
}  # fmt: skip

MakeShards = Callable[..., Path]


def standing(missing: tuple[str, ...] = ()) -> np.ndarray:
    """Joints (18, 3) of somebody standing upright in a 64x128 image."""
    return np.array([(*STANDING[name], 0.1 if name in missing else 0.9) for name in JOINTS], dtype=np.float32)


@pytest.fixture
def make_shards(
    tmp_path: Path,
    shard_plan: Callable[..., ShardPlan],
    shard_summary: Callable[..., ShardSummary],
    shard_file: Callable[..., ShardFile],
) -> MakeShards:
    """Writes a shard directory with one split, from joints and paths; there are no source images."""

    def make(paths: list[str], joints: list[np.ndarray] | None = None, name: str = "made") -> Path:
        joints = joints or [standing()] * len(paths)
        sizes = np.tile(np.array(SIZE, dtype=np.int32), (len(paths), 1))
        aligned = align(np.stack(joints), sizes, load(), alignment="pose", beta=0.0625, confidence=0.3)
        plan = shard_plan()
        crops = [np.full(shape, 90, dtype=np.uint8) for shape in image_shapes(plan)]
        columns = {
            "paths": np.array(paths),
            "pids": np.arange(len(paths)),
            "camids": np.ones(len(paths)),
            "sequences": np.full(len(paths), -1),
            "frames": np.full(len(paths), -1),
            "joints": np.stack(joints),
            "joints_filled": aligned.joints,
            "filled": aligned.filled,
            "boxes": aligned.boxes,
            "residuals": aligned.residuals,
            "flags": aligned.flags,
        }
        data = shard_bytes(columns, [[encode_jpeg(crop, 90) for crop in crops]] * len(paths), plan)
        flags = {flag.name: int((aligned.flags & flag > 0).sum()) for flag in Flag}
        filled = tuple(aligned.filled.mean(axis=0).tolist())
        with StoreWriter(tmp_path / name, SHARDS, "gone", plan) as directory:
            (tmp_path / name / "query-00000.h5").write_bytes(data)
            directory.add(shard_file("query-00000.h5", len(paths), "0" * 64, "query"))
            directory.finish(shard_summary(joints_filled=filled, flags=flags))
        return tmp_path / name

    return make


@pytest.fixture
def sample(make_shards: MakeShards) -> Sample:
    """One sample whose left wrist and ankle were not found."""
    path = make_shards(["a.jpg"], [standing(missing=("l_wrist", "l_ankle"))], name="one")
    return ShardSet.open(path)[0]
