from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reidprep.export.openpifpaf import export_openpifpaf, predictions
from reidprep.poses.format import Poses
from reidprep.poses.reader import PoseSet
from reidprep.skeleton import COCO17_JOINTS, JOINTS

from .conftest import MakePoses


def test_each_image_has_a_file_of_its_whole_name(drawn_poses: Path, some_poses: Poses, tmp_path: Path) -> None:
    result = export_openpifpaf(drawn_poses, tmp_path / "out", splits=("query",))
    assert result.files == result.images["query"] == int((some_poses.splits == "query").sum())
    confidence = PoseSet(drawn_poses).plan.confidence
    for row in np.flatnonzero(some_poses.splits == "query"):
        (person,) = json.loads((tmp_path / "out" / f"{some_poses.paths[row]}.predictions.json").read_text())
        keypoints = np.array(person["keypoints"], np.float32).reshape(17, 3)
        np.testing.assert_array_equal(keypoints, some_poses.joints[row, [JOINTS.index(name) for name in COCO17_JOINTS]])
        found = keypoints[keypoints[:, 2] >= confidence, :2]
        np.testing.assert_allclose(person["bbox"], [*found.min(axis=0), *np.ptp(found, axis=0)], rtol=1e-5)
        assert person["category_id"] == 1
        assert person["score"] == pytest.approx(keypoints[:, 2].mean(), abs=1e-4)


def test_joints_that_are_not_finite_are_missing_and_nobody_fills_the_image(
    make_poses: MakePoses, some_poses: Poses, tmp_path: Path
) -> None:
    some_poses.joints[:] = np.nan
    export_openpifpaf(make_poses(some_poses), tmp_path / "out")
    width, height = some_poses.image_sizes[0].tolist()
    (person,) = json.loads((tmp_path / "out" / f"{some_poses.paths[0]}.predictions.json").read_text())
    assert person == {"keypoints": [0] * 51, "bbox": [0, 0, width, height], "score": 0, "category_id": 1}


def test_a_joint_below_the_confidence_is_written_but_not_in_the_box() -> None:
    joints = [[0.0, 0.0, 0.0]] * len(JOINTS)
    joints[0], joints[2], joints[3] = [5.0, 6.0, 0.9], [8.0, 9.0, 0.5], [50.0, 60.0, 0.1]
    (person,) = json.loads(predictions(joints, (64, 128), 0.3))
    assert person["bbox"] == [5, 6, 3, 3]
    assert [50.0, 60.0, 0.1] in np.array(person["keypoints"]).reshape(17, 3).tolist()
