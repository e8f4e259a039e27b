import json
import multiprocessing
import pickle
import re
import shutil
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from reidprep.alignment.align import Flag
from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.poses.reader import PoseSet
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.format import View
from reidprep.shards.reader import MAX_OPEN_FILES, ShardSet
from reidprep.store.manifest import MANIFEST
from reidprep.verify import verify


def test_a_sample_has_the_documented_shapes(drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards, split="train")
    sample = shards[0]
    assert shards.full_sizes == {"whole": (384, 192), "parts": (96, 192), "image": (256, 128)}
    assert sample.whole.shape == (*shards.stored_sizes["whole"], 3) and sample.whole.dtype == np.uint8
    assert sample.parts.shape == (4, *shards.stored_sizes["parts"], 3) and sample.parts.dtype == np.uint8
    assert sample.image is not None and sample.image.shape == (*shards.stored_sizes["image"], 3)
    assert sample.joints.shape == (18, 3) and sample.joints.dtype == np.float32
    assert sample.joints_filled.shape == (18, 2)
    assert sample.filled.shape == (18,) and sample.filled.dtype == np.bool_
    assert sample.boxes.shape == (5, 4)
    assert sample.joint_spreads is not None and sample.joint_spreads.shape == (18,)
    assert (sample.joint_spreads > 0).all()
    with pytest.raises(FrozenInstanceError):
        sample.pid = 3  # type: ignore[misc]


def test_splits_add_up(drawn_shards: Path) -> None:
    everything = ShardSet.open(drawn_shards)
    sizes = [len(ShardSet.open(drawn_shards, split)) for split in ("train", "query", "gallery")]
    assert len(everything) == sum(sizes) and min(sizes) > 0
    assert everything[sizes[0]].path == ShardSet.open(drawn_shards, "query")[0].path


def test_columns_agree_with_samples(drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards)
    samples = [shards[i] for i in range(len(shards))]
    assert shards.pids.tolist() == [sample.pid for sample in samples]
    assert shards.camids.tolist() == [sample.camid for sample in samples]
    assert shards.column("paths").tolist() == [sample.path for sample in samples]
    with pytest.raises(ReidError, match="no column 'pid'"):
        shards.column("pid")


def test_train_labels_number_the_training_ids(drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards, "train")
    pids = sorted(set(shards.pids.tolist()))
    assert shards.train_labels == {pid: label for label, pid in enumerate(pids)}


def test_indexing_like_a_sequence(drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards)
    assert shards[-1].path == shards[len(shards) - 1].path
    for index in (len(shards), -len(shards) - 1):
        with pytest.raises(IndexError):
            shards[index]
    assert shards[np.int64(2)].path == shards[2].path
    paths = shards.column("paths").tolist()
    assert [sample.path for sample in shards] == paths
    for some in (slice(3), slice(-2, None), slice(None, None, -5), slice(3, 3)):
        assert [sample.path for sample in shards[some]] == paths[some]
    for wrong in (1.0, "1", None, [0, 1]):
        with pytest.raises(TypeError):
            shards[wrong]  # type: ignore[call-overload]


def test_each_prints_as_one_line(drawn: Path, drawn_poses: Path, drawn_shards: Path) -> None:
    shards, poses = ShardSet.open(drawn_shards), PoseSet(drawn_poses)
    assert str(drawn_shards) in repr(shards) and "train, query, gallery: 22 samples, whole " in repr(shards)
    assert repr(ShardSet.open(drawn_shards, "query")).count("4 samples") == 1
    assert repr(poses) == f"PoseSet({drawn_poses}, 22 images of market1501, movenet)"
    assert repr(poses.read([0])) == "Poses(1 image)"
    assert repr(open_dataset(drawn)) == f"Dataset(market1501, {drawn}: 8 train, 4 query, 10 gallery)"
    sample = shards[0]
    filled = int(sample.filled.sum())
    assert repr(replace(sample, flags=Flag(9))) == (
        f"Sample({sample.path}, pid 2, camid 1, whole {sample.whole.shape[0]}x{sample.whole.shape[1]}, "
        f"{filled} joint{'s' * (filled != 1)} filled, FEW_JOINTS, TRUNCATED)"
    )


@pytest.mark.parametrize("views", [(), ("image",), ("parts",), ("image", "whole"), ("whole", "parts", "image")])
def test_some_views_of_a_sample(drawn_shards: Path, views: tuple[View, ...]) -> None:
    shards = ShardSet.open(drawn_shards)
    for index in (0, -1):
        pixels = shards.pixels(index, views)
        assert tuple(pixels) == views
        for view, images in pixels.items():
            np.testing.assert_array_equal(images, getattr(shards[index], view))


def test_views_that_are_not_asked_for_are_checked_but_not_decoded(drawn_shards: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(drawn_shards, tmp_path / "shards"))
    expected = ShardSet.open(path, "train")[0]
    name = ShardSet.open(path, "train").files[0].name
    with h5py.File(path / name, "r+") as file:
        file["images"][: file["offsets"][1]] = 0  # the whole body of the first sample
        with_crc = zlib.crc32(file["images"][: file["offsets"][6]])
        without_crc, file["crc32"][0] = file["crc32"][0], with_crc
    shards = ShardSet.open(path, "train")
    pixels = shards.pixels(0, ("parts", "image"))
    np.testing.assert_array_equal(pixels["parts"], expected.parts)
    np.testing.assert_array_equal(pixels["image"], expected.image)
    with pytest.raises(ReidError, match=rf"{name}: row 0: .*not a JPEG"):
        shards.pixels(0, ("whole",))
    shards.close()
    with h5py.File(path / name, "r+") as file:
        file["crc32"][0] = without_crc
    with pytest.raises(ReidError, match=rf"{name}: row 0: .*checksum"):
        ShardSet.open(path, "train").pixels(0, ("image",))


def test_views_that_there_are_not(drawn_poses: Path, tmp_path: Path) -> None:
    build_shards(drawn_poses, tmp_path / "s")
    shards = ShardSet.open(tmp_path / "s")
    assert set(shards.stored_sizes) == set(shards.full_sizes) == {"whole", "parts"}
    with pytest.raises(ReidError, match="holds no view 'image'; build the shards --with-image"):
        shards.pixels(0, ("whole", "image"))
    with pytest.raises(ReidError, match="holds no view 'head'; choose from whole, parts, image"):
        shards.pixels(0, ("head",))  # type: ignore[arg-type]


def test_shards_from_before_there_was_a_choice_of_scale(drawn_poses: Path, tmp_path: Path) -> None:
    build_shards(drawn_poses, tmp_path / "s", BuildOptions(scale="full", image_size=(64, 32)))
    expected = ShardSet.open(tmp_path / "s")[0]
    content = json.loads((tmp_path / "s" / MANIFEST).read_text())
    content.pop("sha256", None)
    del content["plan"]["scale"], content["plan"]["stored_sizes"]
    (tmp_path / "s" / MANIFEST).write_text(json.dumps(content))
    shards = ShardSet.open(tmp_path / "s")
    assert shards.stored_sizes == shards.full_sizes == {"whole": (384, 192), "parts": (96, 192), "image": (64, 32)}
    np.testing.assert_array_equal(shards[0].parts, expected.parts)
    assert verify(tmp_path / "s") == []


def test_nothing_is_open_before_the_first_sample(drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards)
    assert not shards._opened
    shards[0]
    assert len(shards._opened) == 1
    shards.close()
    assert shards[0].whole.any()


def checksum(shards: ShardSet, index: int) -> int:
    return int(shards[index].whole.sum())


@pytest.mark.parametrize(("method", "workers"), [("fork", 2), ("spawn", 1)])
def test_workers_read_what_the_parent_reads(drawn_shards: Path, method: str, workers: int) -> None:
    shards = ShardSet.open(drawn_shards)
    expected = [checksum(shards, i) for i in range(len(shards))]  # opens files in the parent first
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context(method)) as pool:
        got = list(pool.map(checksum, [shards] * len(shards), range(len(shards))))
    assert got == expected


def read_inherited(index: int) -> int:
    return checksum(INHERITED[0], index)


INHERITED: list[ShardSet] = []


def test_a_forked_process_reopens_inherited_files(drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards)
    expected = [checksum(shards, i) for i in range(len(shards))]
    INHERITED[:] = [shards]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(read_inherited, range(len(shards))) == expected
    assert [checksum(shards, i) for i in range(len(shards))] == expected


def test_threads_share_one_set(drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards)
    expected = [checksum(shards, i) for i in range(len(shards))]
    fresh = ShardSet.open(drawn_shards)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: checksum(fresh, i), range(len(shards)))) == expected


def test_pickling_carries_no_open_file(drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards)
    shards[0]
    assert pickle.loads(pickle.dumps(shards))[0].path == shards[0].path


def test_open_files_are_bounded(drawn_shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_OPEN_FILES >= 8
    monkeypatch.setattr("reidprep.shards.reader.MAX_OPEN_FILES", 2)
    shards = ShardSet.open(drawn_shards)
    for i in range(len(shards)):
        shards[i]
    assert len(shards.files) > 2 and len(shards._opened) == 2


def test_unusable_directories(drawn_shards: Path, drawn_poses: Path, tmp_path: Path) -> None:
    with pytest.raises(ReidError, match=r"no manifest\.json"):
        ShardSet.open(tmp_path)
    with pytest.raises(ReidError, match="holds 'reidprep.poses', expected shards"):
        ShardSet.open(drawn_poses)
    with pytest.raises(ReidError, match="unknown split 'test'"):
        ShardSet.open(drawn_shards, "test")


def test_a_flipped_bit_is_noticed_on_reading(drawn_shards: Path, tmp_path: Path) -> None:
    path = tmp_path / "shards"
    shutil.copytree(drawn_shards, path)
    shards = ShardSet.open(path, "train")
    name = shards.files[0].name
    stored = bytearray((path / name).read_bytes())
    stored[stored.index(b"\xff\xd8\xff") + 700] ^= 1  # inside the first JPEG
    (path / name).write_bytes(bytes(stored))
    with pytest.raises(ReidError, match=rf"{name}: row 0: .*checksum; run 'reidprep verify'"):
        shards[0]
    assert shards[1].whole.any()


def test_a_missing_file_is_named(drawn_shards: Path, tmp_path: Path) -> None:
    path = tmp_path / "shards"
    shutil.copytree(drawn_shards, path)
    shards = ShardSet.open(path)
    (path / shards.files[0].name).unlink()
    with pytest.raises(ReidError, match=rf"{shards.files[0].name}: the file is missing"):
        shards[0]


def test_unfinished_shards_are_refused(drawn_shards: Path, tmp_path: Path) -> None:
    path = tmp_path / "shards"
    shutil.copytree(drawn_shards, path)
    text = (path / MANIFEST).read_text().rpartition(',\n "sha256"')[0] + "\n}"
    (path / MANIFEST).write_text(text.replace('"complete": true', '"complete": false'))
    with pytest.raises(ReidError, match="not complete; run the same build-shards"):
        ShardSet.open(path)


@pytest.mark.parametrize(
    "field",
    ["plan.whole_size", "parts", "plan.encoding", "summary.train_labels", "parts[0].statistics.split"],
)
def test_a_manifest_without_a_field_is_a_plain_error(drawn_shards: Path, tmp_path: Path, field: str) -> None:
    path = tmp_path / "shards"
    shutil.copytree(drawn_shards, path)
    text = (path / MANIFEST).read_text().rpartition(',\n "sha256"')[0] + "\n}"
    name = field.rpartition(".")[2]
    (path / MANIFEST).write_text(text.replace(f'"{name}"', f'"{name}_"'))
    with pytest.raises(ReidError, match=rf"manifest\.json: {re.escape(field)}: is missing; make the directory again"):
        ShardSet.open(path)


def test_statistics_of_other_images_than_the_plan_has_are_refused(drawn_shards: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(drawn_shards, tmp_path / "shards"))
    content = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    del content["parts"][0]["statistics"]["channel_sums"][-1]
    (copy / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ReidError, match=r"manifest\.json: parts: \S+: its statistics do not fit the plan"):
        ShardSet.open(copy)
