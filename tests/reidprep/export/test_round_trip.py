"""Poses out and in again through `--estimator files`: not a bit may change."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidprep.datasets.images import split_box
from reidprep.datasets.registry import open_dataset
from reidprep.estimators.base import PoseEstimator
from reidprep.estimators.registry import create_estimator
from reidprep.export.coco import export_coco
from reidprep.export.openpose import export_openpose
from reidprep.poses.extract import extract_poses
from reidprep.poses.format import Poses
from reidprep.poses.reader import PoseSet

EXPORTS = {"coco": export_coco, "openpose": export_openpose}


def poses_of(path: Path) -> Poses:
    poses = PoseSet(path)
    return poses.read(np.arange(len(poses)))


@pytest.mark.parametrize("format", EXPORTS)
def test_poses_come_back_bit_for_bit(format: str, drawn: Path, drawn_poses: Path, tmp_path: Path) -> None:
    EXPORTS[format](drawn_poses, tmp_path / "out")
    back = create_estimator("files", keypoints=tmp_path / "out")
    manifest = extract_poses(open_dataset(drawn), tmp_path / "poses", back)
    assert not manifest.skipped and manifest.plan.estimator.options["format"] == format
    before, after = poses_of(drawn_poses), poses_of(tmp_path / "poses")
    for field in fields(Poses):
        np.testing.assert_array_equal(getattr(after, field.name), getattr(before, field.name))
    if format == "coco":
        assert PoseSet(tmp_path / "poses").plan.confidence == PoseSet(drawn_poses).plan.confidence
        assert manifest.plan.estimator.score_scale == PoseSet(drawn_poses).plan.estimator.score_scale


@pytest.mark.parametrize("format", EXPORTS)
def test_boxes_in_frames_come_back_too(format: str, drawn: Path, estimator: PoseEstimator, tmp_path: Path) -> None:
    people = [record for record in open_dataset(drawn).records if record.split == "train"][:4]
    rows = "path,pid,camid,split,x,y,width,height\n"
    frame = np.zeros((150, 300, 3), np.uint8)
    for number, record in enumerate(people):
        with Image.open(drawn / record.path) as image:
            frame[number : number + 128, 70 * number : 70 * number + 64] = np.asarray(image)
        rows += f"1.png,{record.pid},{record.camid},train,{70 * number},{number},64,128\n"
    Image.fromarray(frame).save(tmp_path / "1.png")
    (tmp_path / "people.csv").write_text(rows)
    dataset = open_dataset(tmp_path / "people.csv")
    extract_poses(dataset, tmp_path / "before", estimator)
    EXPORTS[format](tmp_path / "before", tmp_path / "out")
    extract_poses(dataset, tmp_path / "after", create_estimator("files", keypoints=tmp_path / "out"))
    before, after = poses_of(tmp_path / "before"), poses_of(tmp_path / "after")
    assert all(split_box(str(path))[1] for path in after.paths) and len(after) == 4
    np.testing.assert_array_equal(after.joints, before.joints)
    np.testing.assert_array_equal(after.paths, before.paths)
