"""Keypoints of other software in the place of an estimator, up to the shards."""

import json
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidprep.alignment.align import Flag
from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.estimators.base import LooksUpPaths
from reidprep.estimators.registry import create_estimator
from reidprep.export.coco import export_coco
from reidprep.export.openpose import export_openpose
from reidprep.poses.extract import NO_JOINTS, extract_poses
from reidprep.poses.reader import PoseSet
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.reader import ShardSet
from reidprep.store.manifest import Skipped
from reidprep.verify import verify

from .conftest import coco, standing


def write_openpose(folder: Path, **people: list[np.ndarray]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in people.items():
        document = {"people": [{"pose_keypoints_2d": np.asarray(person).ravel().tolist()} for person in found]}
        (folder / f"{name}_keypoints.json").write_text(json.dumps(document))
    return folder


IMAGE = np.zeros((128, 64, 3), np.uint8)


def test_looks_up_people_by_path(tmp_path: Path) -> None:
    away = standing(4)
    folder = write_openpose(tmp_path / "k", one=[standing()], two=[away, standing()], none=[])
    estimator = create_estimator("files", keypoints=folder)
    assert isinstance(estimator, LooksUpPaths)
    got = estimator([IMAGE] * 4, ["q/one.jpg", "q/two.jpg", "q/none.jpg", "q/other.jpg"])
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[:2], [standing(), standing()])
    assert (got[2] == 0).all() and np.isnan(got[3]).all()
    # In a wide image the middle is elsewhere.
    np.testing.assert_array_equal(estimator([IMAGE[:, :8]], ["two.jpg"])[0], away)


def test_attributes_and_unwanted_options(tmp_path: Path) -> None:
    folder = write_openpose(tmp_path / "k", one=[standing()])
    estimator = create_estimator("files", keypoints=folder, device="cpu", keypoint_format=None)
    assert (estimator.name, estimator.device, estimator.confidence) == ("files", "cpu", 0.05)
    assert estimator.options == {"format": "openpose", "files": 1} and len(estimator.weights_sha256) == 64
    with pytest.raises(ReidError, match="leave out --device"):
        create_estimator("files", keypoints=folder, device="cuda")
    with pytest.raises(ReidError, match="leave out --batch-size"):
        create_estimator("files", keypoints=folder, batch_size=4)


def test_can_be_made_elsewhere(tmp_path: Path) -> None:
    folder = write_openpose(tmp_path / "k", one=[standing()])
    make = pickle.loads(pickle.dumps(partial(create_estimator, "files", keypoints=folder)))
    np.testing.assert_array_equal(make()([IMAGE], ["one.jpg"])[0], standing())


@pytest.mark.parametrize("export", [export_coco, export_openpose])
def test_what_was_exported_is_read_back(drawn: Path, drawn_poses: Path, tmp_path: Path, export) -> None:
    out = export(drawn_poses, tmp_path / "exported").out
    extract_poses(open_dataset(drawn), tmp_path / "poses", create_estimator("files", keypoints=out), workers=2)
    old, new = PoseSet(drawn_poses), PoseSet(tmp_path / "poses")
    for column in ("paths", "joints", "image_sizes", "channel_means"):
        np.testing.assert_array_equal(new.column(column), old.column(column))
    if export is export_coco:
        assert new.plan.confidence == old.plan.confidence
        assert new.plan.estimator.score_scale == old.plan.estimator.score_scale
    assert new.plan.estimator.options["format"] == export.__name__.removeprefix("export_")


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Four images of one person, listed in a CSV file."""
    rows = []
    for number, name in enumerate(("a", "b", "c", "d")):
        Image.fromarray(IMAGE + np.uint8(40 * number)).save(tmp_path / f"{name}.png")
        rows.append(f"{name}.png,1,{number},train")
    (tmp_path / "list.csv").write_text("path,pid,camid,split\n" + "\n".join(rows))
    return tmp_path / "list.csv"


def test_images_without_keypoints_are_left_out_and_those_without_people_kept(listed: Path, tmp_path: Path) -> None:
    outside = standing()
    outside[4] = (-9e5, 9e5, 0.9)
    outside[7, :2] = (-3, 140)
    folder = write_openpose(tmp_path / "k", a=[standing()], b=[], c=[outside])
    estimator = create_estimator("files", keypoints=folder)
    manifest = extract_poses(open_dataset(listed), tmp_path / "poses", estimator)
    assert manifest.skipped == [Skipped("d.png", NO_JOINTS)]
    joints = PoseSet(tmp_path / "poses").column("joints")
    np.testing.assert_array_equal(joints, [standing(), np.zeros((18, 3)), outside])
    with pytest.raises(ReidError, match=r"d\.png"):
        extract_poses(open_dataset(listed), tmp_path / "strict", estimator, on_error="fail")

    build_shards(tmp_path / "poses", tmp_path / "shards", BuildOptions(), workers=1)
    shards = ShardSet.open(tmp_path / "shards")
    samples = [shards[i] for i in range(len(shards))]
    assert len(samples) == 3 and verify(tmp_path / "shards") == []
    assert [Flag.FEW_JOINTS in sample.flags for sample in samples] == [False, True, False]
    np.testing.assert_array_equal(samples[2].joints, outside)


def test_the_same_files_resume_and_others_do_not(listed: Path, tmp_path: Path) -> None:
    folder = write_openpose(tmp_path / "k", a=[standing()])
    data, out = open_dataset(listed), tmp_path / "poses"
    extract_poses(data, out, create_estimator("files", keypoints=folder))
    again = tmp_path / "elsewhere" / "k2"
    again.parent.mkdir()
    folder.rename(again)
    extract_poses(data, out, create_estimator("files", keypoints=again))
    write_openpose(again, b=[standing()])
    with pytest.raises(ReidError, match="the estimator.s weights"):
        extract_poses(data, out, create_estimator("files", keypoints=again))


def test_names_are_checked_before_the_first_image(listed: Path, tmp_path: Path) -> None:
    other = create_estimator("files", keypoints=write_openpose(tmp_path / "k", z=[standing()]))
    with pytest.raises(ReidError, match=r"the keypoint files name 'z', the dataset '.\.png', for instance"):
        extract_poses(open_dataset(listed), tmp_path / "poses", other)
    write_openpose(tmp_path / "two" / "x", a=[standing()])
    both = create_estimator("files", keypoints=write_openpose(tmp_path / "two" / "y", a=[standing()]).parent)
    with pytest.raises(ReidError, match=r"a\.png: both .*x.a_keypoints\.json .* and .*y.a_keypoints\.json .* fit"):
        extract_poses(open_dataset(listed), tmp_path / "poses", both)


def test_keypoints_of_frames_go_to_their_boxes(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((200, 400, 3), np.uint8)).save(tmp_path / "1.png")
    rows = [f"1.png,{n},0,train,{x},30,64,128" for n, x in enumerate((20, 120, 300))]
    (tmp_path / "list.csv").write_text("path,pid,camid,split,x,y,width,height\n" + "\n".join(rows))
    people = [np.add(standing(32 + x), (0, 30, 0)) for x in (120, 20)]
    folder = write_openpose(tmp_path / "k", **{"1": people})
    extract_poses(open_dataset(tmp_path / "list.csv"), tmp_path / "poses", create_estimator("files", keypoints=folder))
    joints = PoseSet(tmp_path / "poses").column("joints")
    order = np.argsort([int(path.split("=")[1].split(",")[0]) for path in PoseSet(tmp_path / "poses").column("paths")])
    np.testing.assert_allclose(joints[order], [standing(), standing(), np.zeros((18, 3))], atol=1e-4)

    document = coco({"1.png": [person * (0.5, 0.5, 1) for person in people]})
    document["images"][0] |= {"width": 200, "height": 100}
    (tmp_path / "half.json").write_text(json.dumps(document))
    with pytest.raises(ReidError, match="is for a frame of 200x100"):
        extract_poses(
            open_dataset(tmp_path / "list.csv"),
            tmp_path / "other",
            create_estimator("files", keypoints=tmp_path / "half.json"),
        )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "movenet",
            {"onnx_mean": (1, 2, 3)},
            "--estimator movenet takes no --onnx-mean; it belongs to --estimator onnx",
        ),
        (
            "files",
            {"keypoints": Path("k"), "flip_test": True},
            "takes no --flip-test; it belongs to --estimator movenet and mmpose",
        ),
        ("onnx", {"colour": "rgb"}, "takes no --colour; it is not known"),
        ("onnx", {}, "--estimator onnx needs --onnx$"),
        ("files", {"keypoint_format": "coco"}, "--estimator files needs --keypoints$"),
        ("mmpose", {"mmpose_config": None}, "--estimator mmpose needs --mmpose-config$"),
    ],
)
def test_options_that_do_not_go_together(name: str, options: dict, message: str) -> None:
    with pytest.raises(ReidError, match=message):
        create_estimator(name, **options)


def test_joints_of_enlarged_images_are_scaled_if_the_file_says_so(
    drawn: Path, drawn_poses: Path, tmp_path: Path
) -> None:
    poses = PoseSet(drawn_poses)
    joints, sizes = poses.column("joints"), poses.column("image_sizes").tolist()
    found = joints * (3, 3, 1)
    document = coco({path: [person] for path, person in zip(poses.column("paths").tolist(), found, strict=True)})
    del document["categories"]
    for image, (width, height) in zip(document["images"], sizes, strict=True):
        image |= {"width": 3 * width, "height": 3 * height}
    (tmp_path / "k.json").write_text(json.dumps(document))
    extract_poses(open_dataset(drawn), tmp_path / "poses", create_estimator("files", keypoints=tmp_path / "k.json"))
    np.testing.assert_allclose(PoseSet(tmp_path / "poses").column("joints"), joints, rtol=1e-5)

    for image in document["images"]:
        del image["width"], image["height"]
    (tmp_path / "k.json").write_text(json.dumps(document))
    estimator = create_estimator("files", keypoints=tmp_path / "k.json")
    for _ in range(2):  # the second time all poses are there
        with pytest.raises(ReidError, match=r"k\.json: .*% of the joints lie outside of their images"):
            extract_poses(open_dataset(drawn), tmp_path / "others", estimator)
