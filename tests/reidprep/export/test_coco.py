from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reidprep.errors import ReidError
from reidprep.export.coco import export_coco
from reidprep.poses.format import Poses
from reidprep.poses.reader import PoseSet
from reidprep.skeleton import INDEX, JOINTS

from .conftest import run_export

# The order of COCO's own annotation files, written out.
COCO = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
]  # fmt: skip


def read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def test_images_and_joints(drawn_poses: Path, some_poses: Poses, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    result = export_coco(drawn_poses, tmp_path / "new" / "a.json", progress=lambda *step: steps.append(step))
    content = read(result.out)
    confidence = PoseSet(drawn_poses).plan.confidence
    assert [image["file_name"] for image in content["images"]] == some_poses.paths.tolist()
    assert result.bytes == result.out.stat().st_size and sum(result.images.values()) == len(some_poses)
    assert steps[-1] == (len(some_poses), len(some_poses)) and steps == sorted(steps)
    (person,) = content["categories"]
    assert person["keypoints"] == COCO and person["name"] == "person"
    hidden = 0
    for row, (image, annotation) in enumerate(zip(content["images"], content["annotations"], strict=True)):
        assert annotation["image_id"] == image["id"] == annotation["id"] == row + 1
        assert (image["width"], image["height"]) == tuple(some_poses.image_sizes[row])
        for name, column in (("pid", "pids"), ("camid", "camids"), ("split", "splits"), ("frame", "frames")):
            assert image[name] == getattr(some_poses, column)[row]
        assert annotation["bbox"] == [0, 0, 64, 128] and annotation["area"] == 64 * 128
        count = 0
        for number, name in enumerate(COCO):
            x, y, score = some_poses.joints[row, INDEX[name.replace("left_", "l_").replace("right_", "r_")]]
            found = annotation["keypoints"][3 * number : 3 * number + 3]
            if score >= confidence:
                assert np.float32(found[0]) == x and np.float32(found[1]) == y and found[2] == 2
                count += 1
            else:
                assert found == [0, 0, 0]
                hidden += 1
        assert annotation["num_keypoints"] == count
        np.testing.assert_array_equal(np.array(annotation["joints"], np.float32), some_poses.joints[row])
    assert hidden and content["info"]["reidprep"]["joints"] == list(JOINTS)


def test_pycocotools_opens_and_scores_it(drawn_poses: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    export_coco(drawn_poses, tmp_path / "a.json")
    truth = coco.COCO(str(tmp_path / "a.json"))
    (person,) = truth.getCatIds(["person"])
    annotations = truth.loadAnns(truth.getAnnIds(catIds=[person]))
    assert {image["file_name"] for image in truth.loadImgs(truth.getImgIds())} and len(annotations) == len(truth.imgs)
    found = [
        {"image_id": a["image_id"], "category_id": person, "keypoints": a["keypoints"], "score": 1.0}
        for a in annotations
    ]
    scored = evaluation.COCOeval(truth, truth.loadRes(found), "keypoints")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert scored.stats[0] == 1.0


def test_the_skeleton_joins_neighbours(drawn_poses: Path, tmp_path: Path) -> None:
    export_coco(drawn_poses, tmp_path / "a.json")
    (person,) = read(tmp_path / "a.json")["categories"]
    limbs = {frozenset(COCO[end - 1] for end in limb) for limb in person["skeleton"]}
    assert len(limbs) == 19 and frozenset(("left_knee", "left_ankle")) in limbs
    mirror = {frozenset(_mirrored(name) for name in limb) for limb in limbs}
    assert mirror == limbs


def _mirrored(name: str) -> str:
    return "right_" + name[5:] if name.startswith("left_") else name.replace("right_", "left_")


def test_values_that_are_not_finite_are_null(
    some_poses: Poses, make_poses: Callable[[Poses], Path], tmp_path: Path
) -> None:
    joints = some_poses.joints.copy()
    joints[0, 0] = np.nan, 3, 0.9
    joints[1, 3] = 1, np.inf, 0.9
    export_coco(make_poses(replace(some_poses, joints=joints)), tmp_path / "a.json")
    first, second, *_ = read(tmp_path / "a.json")["annotations"]
    assert first["joints"][0][0] is None and first["keypoints"][:3] == [0, 0, 0]
    assert second["joints"][3][1] is None
    assert "NaN" not in (tmp_path / "a.json").read_text()


def test_one_split(drawn_poses: Path, some_poses: Poses, tmp_path: Path) -> None:
    result = export_coco(drawn_poses, tmp_path / "a.json", splits=("query",))
    paths = some_poses.paths[some_poses.splits == "query"].tolist()
    content = read(tmp_path / "a.json")
    assert [image["file_name"] for image in content["images"]] == paths and result.images == {"query": len(paths)}
    assert [annotation["image_id"] for annotation in content["annotations"]] == list(range(1, len(paths) + 1))


def test_an_empty_split_is_an_error(some_poses: Poses, make_poses: Callable[[Poses], Path], tmp_path: Path) -> None:
    path = make_poses(replace(some_poses, splits=np.full(len(some_poses), "train")))
    with pytest.raises(ReidError, match="no image in the splits query"):
        export_coco(path, tmp_path / "a.json", splits=("query",))
    assert not (tmp_path / "a.json").exists()


def test_a_file_is_replaced_on_demand_only(drawn_poses: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.json"
    out.write_text("mine")
    with pytest.raises(ReidError, match=r"a\.json: exists already"):
        export_coco(drawn_poses, out)
    assert out.read_text() == "mine"
    export_coco(drawn_poses, out, overwrite=True)
    assert read(out)["images"]
    with pytest.raises(ReidError, match="is a folder; --format coco writes one file"):
        export_coco(drawn_poses, tmp_path)


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_damaged_poses(drawn_poses: Path, tmp_path: Path, damage: str) -> None:
    path = Path(shutil.copytree(drawn_poses, tmp_path / "poses"))
    part = sorted(path.glob("*.h5"))[-1]
    part.unlink() if damage == "missing" else part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(ReidError, match=rf"{part.name}: (the file is missing|is damaged or was changed)"):
        export_coco(path, tmp_path / "a.json")
    assert [entry.name for entry in tmp_path.iterdir()] == ["poses"]


def test_a_killed_run_leaves_no_file_under_the_name(drawn_poses: Path, tmp_path: Path) -> None:
    assert run_export(export_coco, drawn_poses, tmp_path / "a.json", killed_at=1)[0] == -9
    assert not (tmp_path / "a.json").exists()
    export_coco(drawn_poses, tmp_path / "a.json")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
    assert read(tmp_path / "a.json")["annotations"]


def test_a_full_disk(drawn_poses: Path, tmp_path: Path) -> None:
    status, errors = run_export(export_coco, drawn_poses, tmp_path / "a.json", limit=9000)
    assert status == 1 and "a.json: cannot be written" in errors and "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
