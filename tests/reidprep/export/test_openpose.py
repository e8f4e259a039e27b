from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reidprep.errors import ReidError
from reidprep.export.openpose import export_openpose
from reidprep.poses.format import Poses

from .conftest import contents, run_export


def person(file: Path) -> dict:
    content = json.loads(file.read_text())
    assert content["version"] == 1.3
    (found,) = content["people"]
    return found


def test_a_file_per_image(drawn_poses: Path, some_poses: Poses, tmp_path: Path) -> None:
    result = export_openpose(drawn_poses, tmp_path / "out")
    files = contents(tmp_path / "out")
    assert set(files) == {path.removesuffix(".jpg") + "_keypoints.json" for path in some_poses.paths.tolist()}
    assert (result.files, result.bytes) == (len(files), sum(map(len, files.values())))
    for row, path in enumerate(some_poses.paths.tolist()):
        found = person(tmp_path / "out" / (path.removesuffix(".jpg") + "_keypoints.json"))
        np.testing.assert_array_equal(
            np.array(found["pose_keypoints_2d"], np.float32).reshape(18, 3), some_poses.joints[row]
        )
        assert found["person_id"] == [some_poses.pids[row]]
        assert found["face_keypoints_2d"] == found["hand_left_keypoints_2d"] == found["pose_keypoints_3d"] == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_names(renamed: Callable[[list[str]], Path], tmp_path: Path) -> None:
    paths = ["a.jpg.jpg", "b.c/d", "größe 1.png", "f/1.jpg#xywh=1,2,3,4", "f/1.jpg#xywh=5,2,3,4", "f/1.jpg"]
    export_openpose(renamed(paths), tmp_path / "out")
    names = ["a.jpg", "b.c/d", "größe 1", "f/1#xywh=1,2,3,4", "f/1#xywh=5,2,3,4", "f/1"]
    assert set(contents(tmp_path / "out")) == {f"{name}_keypoints.json" for name in names}


def test_images_that_would_share_a_file_are_named(renamed: Callable[[list[str]], Path], tmp_path: Path) -> None:
    with pytest.raises(ReidError, match=r"x/a\.jpg and x/a\.png would both become x/a_keypoints\.json"):
        export_openpose(renamed(["b.jpg", "x/a.jpg", "a.png", "x/a.png"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_joint_that_is_not_finite_is_missing(
    some_poses: Poses, make_poses: Callable[[Poses], Path], tmp_path: Path
) -> None:
    joints = some_poses.joints.copy()
    joints[0, 1] = 5, np.nan, 0.9
    export_openpose(make_poses(replace(some_poses, joints=joints)), tmp_path / "out")
    values = person(tmp_path / "out" / (some_poses.paths[0].removesuffix(".jpg") + "_keypoints.json"))
    assert values["pose_keypoints_2d"][3:6] == [0, 0, 0] and values["pose_keypoints_2d"][0] != 0


def test_one_split(drawn_poses: Path, tmp_path: Path) -> None:
    result = export_openpose(drawn_poses, tmp_path / "out", splits=("query",))
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["query"]
    assert list(result.images) == ["query"]


def test_an_earlier_export_is_replaced_on_demand_only(drawn_poses: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is no obstacle
    export_openpose(drawn_poses, out, splits=("query",))
    before = contents(out)
    with pytest.raises(ReidError, match="holds an OpenPose export already"):
        export_openpose(drawn_poses, out)
    assert contents(out) == before
    export_openpose(drawn_poses, out, splits=("train",), overwrite=True)
    assert [entry.name for entry in out.iterdir()] == ["bounding_box_train"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_refused(drawn_poses: Path, tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "out" / "sub").mkdir(parents=True)
    (tmp_path / "out" / "sub" / "thesis.tex").write_text("years of work")
    with pytest.raises(ReidError, match=r"holds no export \(found 'sub/thesis\.tex'\)"):
        export_openpose(drawn_poses, tmp_path / "out", overwrite=overwrite)
    assert contents(tmp_path) == {"out/sub/thesis.tex": b"years of work"}
    with pytest.raises(ReidError, match="is a file; choose a folder"):
        export_openpose(drawn_poses, tmp_path / "out" / "sub" / "thesis.tex", overwrite=overwrite)


def test_a_killed_run_leaves_nothing_under_the_name_and_a_rerun_clears_up(drawn_poses: Path, tmp_path: Path) -> None:
    export_openpose(drawn_poses, tmp_path / "undisturbed")
    out = tmp_path / "out"
    assert run_export(export_openpose, drawn_poses, out, killed_at=7, splits=("gallery",))[0] == -9
    assert [entry.name for entry in out.iterdir()] == [".export.unfinished"]
    export_openpose(drawn_poses, out)
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "undisturbed"]


def test_a_full_disk(drawn_poses: Path, tmp_path: Path) -> None:
    status, errors = run_export(export_openpose, drawn_poses, tmp_path / "out", limit=100)
    assert status == 1 and "cannot be written" in errors and "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_is_kept_out(drawn_poses: Path, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    messages: list[str] = []

    def meanwhile(done: int, total: int) -> None:
        if done == 1:
            with pytest.raises(ReidError) as caught:
                export_openpose(drawn_poses, tmp_path / "out")
            messages.append(str(caught.value))

    export_openpose(drawn_poses, tmp_path / "out", progress=meanwhile)
    assert len(messages) == 1 and "another run is writing here" in messages[0]
    assert len(contents(tmp_path / "out")) > 1
