from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.export.images import export_images
from reidprep.images import read_image
from reidprep.poses.format import PoseFile, Poses, poses_bytes, take
from reidprep.records import SPLITS
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import COCO17_JOINTS, JOINTS, PARTS

from .conftest import contents


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "images.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_names_and_bytes_are_those_of_the_shards(drawn_shards: Path, tmp_path: Path) -> None:
    result = export_images(drawn_shards, tmp_path / "out", parts=True, keypoints=True)
    assert result.notes == ()
    dataset = open_dataset(tmp_path / "out", "market1501")
    of_path = {record.path: record for record in dataset.records}
    listed = iter(rows(tmp_path / "out"))
    for split in SPLITS:
        shards = ShardSet.open(drawn_shards, split)
        for index in range(len(shards)):
            row, entry = shards.row(index), next(listed)
            record = of_path[entry["path"]]
            stored = (row["pids"], row["camids"], row["sequences"], row["frames"])
            assert (record.pid, record.camid, record.sequence, record.frame) == stored
            assert (record.split, entry["split"], entry["source"]) == (split, split, row["paths"])
            whole, *parts = shards.encoded(index)[:5]
            assert (tmp_path / "out" / record.path).read_bytes() == whole.tobytes()
            for part, data in zip(PARTS, parts, strict=True):
                assert (tmp_path / "out" / part / record.path).read_bytes() == data.tobytes()
    assert next(listed, None) is None
    assert len(of_path) == len(ShardSet.open(drawn_shards))


def test_keypoints_are_in_pixels_of_the_crop(drawn_shards: Path, tmp_path: Path) -> None:
    export_images(drawn_shards, tmp_path / "out", splits=("query",), size=(256, 128), keypoints=True)
    sample = ShardSet.open(drawn_shards, "query")[0]
    entry = rows(tmp_path / "out")[0]
    (person,) = json.loads((tmp_path / "out" / f"{entry['path']}.predictions.json").read_text())
    keypoints = np.array(person["keypoints"]).reshape(17, 3)
    x0, y0, x1, y1 = sample.boxes[0]
    joints = sample.joints[[JOINTS.index(name) for name in COCO17_JOINTS]]
    np.testing.assert_allclose(keypoints[:, 0], (joints[:, 0] - x0) / (x1 - x0) * 128, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(keypoints[:, 1], (joints[:, 1] - y0) / (y1 - y0) * 256, rtol=1e-4, atol=1e-3)


def test_other_sizes_are_resized_and_the_export_is_repeatable(drawn_shards: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        sizes = {"size": (64, 32), "part_size": (20, 10), "parts": True}
        export_images(drawn_shards, tmp_path / name, splits=("query",), **sizes)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    path = rows(tmp_path / "one")[0]["path"]
    assert read_image(tmp_path / "one" / path).shape == (64, 32, 3)
    assert read_image(tmp_path / "one" / "head" / path).shape == (20, 10, 3)
    for folder in ("bounding_box_train", "head/bounding_box_train"):
        assert list((tmp_path / "one" / folder).iterdir()) == []
    with pytest.raises(ReidError, match="holds an export of images already"):
        export_images(drawn_shards, tmp_path / "one")
    export_images(drawn_shards, tmp_path / "one", splits=("train",), overwrite=True)
    assert not (tmp_path / "one" / "head").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.jpg").touch()
    with pytest.raises(ReidError, match="the folder is not empty"):
        export_images(drawn_shards, tmp_path / "mine", overwrite=True)


@pytest.fixture
def shards_of(some_poses: Poses, drawn: Path, drawn_poses: Path, tmp_path: Path) -> Callable[..., Path]:
    """Shards of drawn people whose numbers, and whose dataset's options, are changed."""
    from dataclasses import replace

    from reidprep.poses.format import POSES
    from reidprep.store.manifest import read_manifest
    from reidprep.store.writer import StoreWriter, relative_source

    def make(
        options: Mapping[str, str], pid: Callable[[int], int], camid: Callable[[int], int], name: str = "folders"
    ) -> Path:
        poses = take(some_poses, np.arange(len(some_poses)))
        poses.pids[:] = [pid(value) for value in poses.pids.tolist()]
        poses.camids[:] = [camid(value) for value in poses.camids.tolist()]
        manifest = read_manifest(drawn_poses, POSES)
        plan = replace(manifest.plan, dataset=replace(manifest.plan.dataset, name=name, options=options))
        out = tmp_path / "changed"
        with StoreWriter(out, POSES, relative_source(drawn, out), plan) as directory:
            data = poses_bytes(poses, plan)
            (out / "part-00000.h5").write_bytes(data)
            from hashlib import sha256

            statistics = manifest.files[0].statistics
            directory.add(PoseFile("part-00000.h5", len(poses), sha256(data).hexdigest(), (), statistics))
            directory.finish(manifest.summary)
        sizes = BuildOptions(whole_size=(48, 24), part_size=(16, 24), encoding="raw")
        build_shards(out, tmp_path / "shards", sizes, source=drawn)
        return tmp_path / "shards"

    return make


@pytest.mark.parametrize(
    ("options", "pid", "camid", "numbered", "note"),
    [
        (
            {},
            lambda pid: pid * 7000 if pid > 0 else pid,
            lambda camid: camid * 5,
            True,
            "people are numbered anew, 1 to 4",
        ),
        ({"cameras": "none"}, lambda pid: pid, lambda camid: 0, False, "cameras are not known: c1 stands for"),
    ],
)
def test_other_numbers_fit_the_readers_of_market1501(
    shards_of: Callable[..., Path],
    tmp_path: Path,
    options: Mapping[str, str],
    pid: Callable[[int], int],
    camid: Callable[[int], int],
    numbered: bool,
    note: str,
) -> None:
    result = export_images(shards_of(options, pid, camid), tmp_path / "out")
    assert any(entry.startswith(note) for entry in result.notes)
    people = {}
    for entry in rows(tmp_path / "out"):
        folder, name = entry["path"].split("/")
        found = re.match(r"(-?\d+)_c(\d)s\d+_\d{6}_\d\d\.jpg$", name)
        assert found
        people.setdefault(int(entry["pid"]), set()).add(int(found[1]))
        assert -1 <= int(found[1]) <= 4
        if options:
            assert int(found[2]) == (2 if folder == "bounding_box_test" else 1)
        else:
            assert int(found[2]) * 5 == int(entry["camid"])
    assert people == {pid(number): {number} for number in (-1, 0, 1, 2, 3, 4)}


READ = """
import sys
sys.modules["torchvision"] = None
sys.path.insert(0, sys.argv[1])
import importlib, types
package = types.ModuleType("pyppbox_torchreid")
package.__path__ = [sys.argv[1] + "/pyppbox_torchreid"]
sys.modules["pyppbox_torchreid"] = package
utils = types.ModuleType("pyppbox_torchreid.utils")
utils.__path__ = [sys.argv[1] + "/pyppbox_torchreid/utils"]
sys.modules["pyppbox_torchreid.utils"] = utils
tools = importlib.import_module("pyppbox_torchreid.utils.tools")
vars(utils).update({name: getattr(tools, name) for name in ("read_image", "download_url", "mkdir_if_missing")})
for name in ("data", "data.datasets", "data.datasets.image"):
    module = types.ModuleType("pyppbox_torchreid." + name)
    module.__path__ = [sys.argv[1] + "/pyppbox_torchreid/" + name.replace(".", "/")]
    sys.modules[module.__name__] = module
Market1501 = importlib.import_module("pyppbox_torchreid.data.datasets.image.market1501").Market1501
dataset = Market1501(root=sys.argv[2], mode="query", verbose=False)
for images in (dataset.train, dataset.query, dataset.gallery):
    print(len(images), len({image[1] for image in images}), sorted({image[2] for image in images}))
image = tools.read_image(dataset.query[0][0])
print(image.size)
"""


def test_torchreids_reader_of_market1501_opens_the_crops(drawn_shards: Path, tmp_path: Path) -> None:
    wheel = os.environ.get("REID_TORCHREID_WHEEL")
    if not wheel:
        pytest.skip("needs torchreid's reader: set REID_TORCHREID_WHEEL to the wheel of pyppbox-torchreid 1.4.1.0")
    pytest.importorskip("torch")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "wheel")
    export_images(drawn_shards, tmp_path / "market1501", size=(256, 128))
    command = [sys.executable, "-c", READ, str(tmp_path / "wheel"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = []
    for split in SPLITS:
        shards = ShardSet.open(drawn_shards, split)
        people = shards.pids >= 0
        cameras = sorted({camid - 1 for camid in shards.camids[people].tolist()})
        expected.append(f"{people.sum()} {len({*shards.pids[people].tolist()})} {cameras}")
    assert done.stdout.splitlines() == [*expected, "(128, 256)"]
