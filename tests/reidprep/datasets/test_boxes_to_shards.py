"""People in frames, through all steps: the same joints and crops as from images cut out beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidprep.datasets.images import split_box
from reidprep.datasets.registry import open_dataset
from reidprep.estimators.base import PoseEstimator
from reidprep.info import describe
from reidprep.poses.extract import extract_poses
from reidprep.poses.reader import PoseSet
from reidprep.preview.selection import Selection
from reidprep.preview.write import write_preview
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.reader import ShardSet
from reidprep.store.manifest import Skipped
from reidprep.verify import verify

PER_FRAME = 5


@pytest.fixture(scope="module")
def files(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """CSV files of the drawn people, as boxes in frames and as images; the last of a frame is cut by its border."""
    folder = tmp_path_factory.mktemp("frames")
    boxes, images = "path,pid,camid,split,x,y,width,height\n", "path,pid,camid,split\n"
    records = open_dataset(drawn).records[::3]
    (folder / "frames").mkdir()
    (folder / "images").mkdir()
    for start in range(0, len(records), PER_FRAME):
        frame = np.full((200, 400, 3), 90, np.uint8)
        name = f"frames/{start:06d}.png"
        for number, record in enumerate(records[start : start + PER_FRAME]):
            x, y = 3 + 84 * number, 7 * number
            with Image.open(drawn / record.path) as image:
                person = np.asarray(image)
            frame[y : y + 128, x : x + 64] = person[:, : 400 - x]
            labels = f"{record.pid},{record.camid},{record.split}"
            boxes += f"{name},{labels},{x},{y},64,128\n"
            path = f"images/{start:06d}-{x},{y}.png"  # sorts as the boxes do
            Image.fromarray(np.ascontiguousarray(person[:, : 400 - x])).save(folder / path)
            images += f'"{path}",{labels}\n'
        Image.fromarray(frame).save(folder / name)
    for name, text in (("boxes.csv", boxes), ("images.csv", images)):
        (folder / name).write_text(text)
    return folder / "boxes.csv", folder / "images.csv"


@pytest.fixture(scope="module")
def shards(files: tuple[Path, Path], estimator: PoseEstimator, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Shards made from the two files, those of the boxes by two workers; the poses beside them."""
    out = tmp_path_factory.mktemp("out")
    paths = []
    for file, workers in zip(files, (2, 1), strict=True):
        extract_poses(open_dataset(file), out / f"poses-{file.stem}", estimator, workers=workers)
        paths.append(out / f"shards-{file.stem}")
        build_shards(out / f"poses-{file.stem}", paths[-1], BuildOptions(image_size=(128, 64)), workers=workers)
    return paths


def test_joints_and_crops_are_those_of_images_cut_out_beforehand(shards: list[Path]) -> None:
    boxes, images = map(ShardSet.open, shards)
    assert len(boxes) == len(images) > 0
    cut = 0
    for index in range(len(boxes)):
        assert split_box(boxes[index].path)[1] is not None
        for name in ("whole", "parts", "image", "joints", "boxes", "pid", "camid"):
            np.testing.assert_array_equal(getattr(boxes[index], name), getattr(images[index], name))
        cut += boxes[index].path.split("=")[1].startswith("339,")
    assert cut
    sizes = PoseSet(shards[0].with_name("poses-boxes")).column("image_sizes").tolist()
    assert sorted(map(tuple, sizes))[0] == (61, 128)


def test_poses_and_shards_are_whole_and_described(shards: list[Path]) -> None:
    for path in (shards[0], shards[0].with_name("poses-boxes")):
        assert verify(path) == []
        assert describe(path)["plan"].get("poses", describe(path)["plan"])["dataset"]["name"] == "csv"


def test_the_preview_shows_the_boxes(shards: list[Path], tmp_path: Path) -> None:
    summary = write_preview(shards[0], tmp_path / "preview", Selection(limit=2))
    assert summary.missing == 0 and summary.shown > 0
    assert "#xywh=" in summary.page.read_text(encoding="utf-8")


def test_a_box_outside_its_frame_is_left_out_and_listed(
    files: tuple[Path, Path], estimator: PoseEstimator, tmp_path: Path
) -> None:
    file = files[0].with_name("outside.csv")
    frame = "frames/000000.png,1,1,train"
    file.write_text(f"path,pid,camid,split,x,y,width,height\n{frame},0,0,64,128\n{frame},400,0,64,128\n")
    manifest = extract_poses(open_dataset(file), tmp_path / "poses", estimator)
    assert manifest.rows == 1
    assert manifest.skipped == [
        Skipped("frames/000000.png#xywh=400,0,64,128", "the box lies outside the frame, which is 400x200")
    ]
