import dataclasses
import hashlib
import json
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from reidprep.datasets.base import Dataset
from reidprep.datasets.registry import open_dataset
from reidprep.errors import Interrupted, ReidError
from reidprep.estimators.base import PoseEstimator
from reidprep.poses.extract import ExtractOptions, extract_poses, fingerprint
from reidprep.poses.reader import PoseSet
from reidprep.records import Record


class Centre:
    """An estimator that is right about nothing but quick, to test what surrounds it."""

    name = "centre"
    weights_sha256 = "0" * 64
    score_scale = "constant"
    confidence = 0.5
    device = "cpu"
    batch_size = 3
    options: Mapping[str, object] = {}

    def __init__(self, value: float | None = None) -> None:
        self.value = value

    def __call__(self, images: Sequence[np.ndarray], paths: Sequence[str]) -> np.ndarray:
        joints = np.ones((len(images), 18, 3), np.float32)
        for row, image in zip(joints, images, strict=True):
            row[:, :2] = (image.shape[1] / 2, image.shape[0] / 2)
        if self.value is not None:
            joints[:] = self.value
        return joints


@pytest.fixture
def dataset(drawn: Path) -> Dataset:
    return open_dataset(drawn)


def contents(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in sorted(path.iterdir())}


def test_rows_follow_the_records(dataset: Dataset, tmp_path: Path) -> None:
    extract_poses(dataset, tmp_path / "p", Centre(), ExtractOptions(rows_per_part=5), workers=3)
    poses = PoseSet(tmp_path / "p")
    everything = poses.read(np.arange(len(poses)))
    assert everything.paths.tolist() == [record.path for record in dataset.records]
    assert everything.pids.tolist() == [record.pid for record in dataset.records]
    assert everything.splits.tolist() == [record.split for record in dataset.records]
    assert everything.frames.tolist() == [record.frame for record in dataset.records]
    for path, size, mean in zip(everything.paths, everything.image_sizes, everything.channel_means, strict=True):
        image = dataset.images.read(str(path))
        assert tuple(size) == (image.shape[1], image.shape[0])
        np.testing.assert_allclose(mean, image.reshape(-1, 3).mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(everything.joints[:, 0, :2], everything.image_sizes / 2)
    some = np.array([1, 4, 5, len(poses) - 1])
    np.testing.assert_array_equal(poses.read(some).paths, everything.paths[some])


def test_batches_workers_and_parts_do_not_change_the_joints(
    dataset: Dataset, tmp_path: Path, estimator: PoseEstimator
) -> None:
    results = []
    for i, (workers, rows) in enumerate([(1, 1000), (3, 1000), (2, 4)]):
        options = ExtractOptions(limit=3, rows_per_part=rows)
        extract_poses(dataset, tmp_path / str(i), estimator, options, workers=workers)
        results.append(PoseSet(tmp_path / str(i)).column("joints"))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_same_input_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 4)):
        extract_poses(dataset, tmp_path / name, Centre(), ExtractOptions(rows_per_part=4), workers=workers)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_resume_does_only_what_is_missing(dataset: Dataset, tmp_path: Path) -> None:
    options = ExtractOptions(rows_per_part=4)
    extract_poses(dataset, tmp_path / "p", Centre(), options)
    whole = contents(tmp_path / "p")
    (tmp_path / "p" / "part-00001.h5").unlink()

    class Counting(Centre):
        images = 0

        def __call__(self, images: Sequence[np.ndarray], paths: Sequence[str]) -> np.ndarray:
            Counting.images += len(images)
            return super().__call__(images, paths)

    extract_poses(dataset, tmp_path / "p", Counting(), options)
    assert Counting.images == 4
    assert contents(tmp_path / "p") == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("damaged", "left"), [(False, 4), (True, 22)])
def test_a_stopped_run_keeps_what_is_done_of_a_file(
    number: signal.Signals, damaged: bool, left: int, dataset: Dataset, tmp_path: Path
) -> None:
    extract_poses(dataset, tmp_path / "whole", Centre())

    def stop(done: int, total: int) -> None:
        if done:
            os.kill(os.getpid(), number)

    with pytest.raises(Interrupted, match="18 of 22 images are done and kept") as stopped:
        extract_poses(dataset, tmp_path / "p", Centre(), progress=stop)
    assert stopped.value.signal == number
    (kept,) = (tmp_path / "p").glob("unfinished-18-*.h5")
    if damaged:
        kept.write_bytes(kept.read_bytes()[:-1] + b"?")

    seen: list[int] = []

    class Counting(Centre):
        def __call__(self, images: Sequence[np.ndarray], paths: Sequence[str]) -> np.ndarray:
            seen.extend(range(len(images)))
            return super().__call__(images, paths)

    extract_poses(dataset, tmp_path / "p", Counting())
    assert len(seen) == left
    assert contents(tmp_path / "p") == contents(tmp_path / "whole")


def test_progress_counts_every_image_once(dataset: Dataset, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    extract_poses(
        dataset,
        tmp_path / "p",
        Centre(),
        ExtractOptions(rows_per_part=4),
        progress=lambda *call: seen.append(call),
    )
    total = len(dataset.records)
    assert seen[0] == (0, total) and seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_limit_is_per_split(dataset: Dataset, tmp_path: Path) -> None:
    manifest = extract_poses(dataset, tmp_path / "p", Centre(), ExtractOptions(limit=2))
    assert manifest.summary.images == {"train": 2, "query": 2, "gallery": 2}


def test_splits_can_be_chosen(dataset: Dataset, tmp_path: Path) -> None:
    manifest = extract_poses(dataset, tmp_path / "p", Centre(), ExtractOptions(splits=("query",)))
    assert set(PoseSet(tmp_path / "p").column("splits")) == {"query"}
    assert manifest.rows == sum(record.split == "query" for record in dataset.records)


def test_the_order_of_the_splits_is_of_no_consequence(dataset: Dataset, tmp_path: Path) -> None:
    for splits in (("train", "query"), ("query", "train", "query")):
        extract_poses(dataset, tmp_path / "p", Centre(), ExtractOptions(splits=splits))


def test_no_more_images_than_a_batch_are_in_memory(dataset: Dataset, tmp_path: Path) -> None:
    sizes: list[int] = []

    class Watching(Centre):
        def __call__(self, images: Sequence[np.ndarray], paths: Sequence[str]) -> np.ndarray:
            sizes.append(len(images))
            return super().__call__(images, paths)

    extract_poses(dataset, tmp_path / "p", Watching())
    assert max(sizes) == Watching.batch_size and sum(sizes) == len(dataset.records)


@pytest.mark.parametrize("damage", ["changed", "swapped"])
def test_poses_that_are_not_those_of_the_manifest_are_refused(dataset: Dataset, tmp_path: Path, damage: str) -> None:
    extract_poses(dataset, tmp_path / "p", Centre(), ExtractOptions(rows_per_part=4))
    one, two = tmp_path / "p" / "part-00000.h5", tmp_path / "p" / "part-00001.h5"
    data = bytearray(one.read_bytes())
    if damage == "swapped":
        one.write_bytes(two.read_bytes())
    else:
        data[-1] ^= 1
        one.write_bytes(data)
    poses = PoseSet(tmp_path / "p")
    with pytest.raises(ReidError, match=r"part-00000\.h5: .*SHA-256 differs"):
        poses.read([0])
    assert len(poses.read([4])) == 1


@pytest.mark.parametrize("row", [-1, 10**6])
def test_rows_that_do_not_exist(drawn_poses: Path, row: int) -> None:
    with pytest.raises(IndexError):
        PoseSet(drawn_poses).read([0, row])


def test_nothing_to_do_is_an_error(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ReidError, match="no image in the splits"):
        extract_poses(dataset, tmp_path / "p", Centre(), ExtractOptions(splits=()))


@pytest.fixture
def damaged(drawn: Path, tmp_path: Path) -> Path:
    """The drawn dataset with one empty, one truncated and one text file among its training images."""

    path = tmp_path / "damaged"
    shutil.copytree(drawn, path)
    first, second, third, *_ = sorted((path / "bounding_box_train").glob("*.jpg"))
    first.write_bytes(b"")
    second.write_bytes(second.read_bytes()[: second.stat().st_size * 2 // 3])
    third.write_text("not a picture")
    return path


def test_damaged_images_are_left_out_and_listed(damaged: Path, tmp_path: Path) -> None:
    dataset = open_dataset(damaged)
    manifest = extract_poses(dataset, tmp_path / "p", Centre(), ExtractOptions(rows_per_part=4))
    assert manifest.complete and manifest.rows == len(dataset.records) - 3
    reasons = [entry.reason for entry in manifest.skipped]
    assert "empty" in reasons[0] and "cut off" in reasons[1] and "not an image" in reasons[2]
    assert [entry.path for entry in manifest.skipped] == [record.path for record in dataset.records[:3]]


def test_on_error_fail_names_the_file(damaged: Path, tmp_path: Path) -> None:
    dataset = open_dataset(damaged)
    with pytest.raises(ReidError, match=rf"{dataset.records[0].path}: the file is empty; .*--on-error skip"):
        extract_poses(dataset, tmp_path / "p", Centre(), on_error="fail")


def test_a_part_in_which_nothing_is_readable(damaged: Path, tmp_path: Path) -> None:
    manifest = extract_poses(open_dataset(damaged), tmp_path / "p", Centre(), ExtractOptions(rows_per_part=3))
    assert manifest.files[0].rows == 0
    assert len(PoseSet(tmp_path / "p").column("paths")) == manifest.rows


@pytest.mark.parametrize("value", [0.0, np.inf])
def test_useless_joints_are_stored_as_they_are(dataset: Dataset, tmp_path: Path, value: float) -> None:
    manifest = extract_poses(dataset, tmp_path / "p", Centre(value))
    assert manifest.summary.joints_found == (0.0,) * 18
    np.testing.assert_array_equal(PoseSet(tmp_path / "p").column("joints"), np.float32(value))


def test_a_changed_dataset_does_not_resume(dataset: Dataset, tmp_path: Path) -> None:
    extract_poses(dataset, tmp_path / "p", Centre())
    fewer = Dataset(dataset.name, dataset.root, dataset.options, dataset.records[1:], dataset.images, ())
    with pytest.raises(ReidError, match=r"other images \(the number of images.*--grow computes only what is new"):
        extract_poses(fewer, tmp_path / "p", Centre())


def test_incomplete_poses_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    class Failing(Centre):
        def __call__(self, images: Sequence[np.ndarray], paths: Sequence[str]) -> np.ndarray:
            raise ReidError("out of memory on the device")

    with pytest.raises(ReidError, match="out of memory"):
        extract_poses(dataset, tmp_path / "p", Failing())
    with pytest.raises(ReidError, match="not complete; run the same extract-poses"):
        PoseSet(tmp_path / "p")


def test_the_same_command_takes_in_mended_images(damaged: Path, drawn: Path, tmp_path: Path) -> None:
    dataset = open_dataset(damaged)
    extract_poses(dataset, tmp_path / "p", Centre(), ExtractOptions(rows_per_part=4))
    with pytest.raises(ReidError, match="the file is empty"):
        extract_poses(dataset, tmp_path / "p", Centre(), ExtractOptions(rows_per_part=4), on_error="fail")
    for record in dataset.records[:3]:
        shutil.copy(drawn / record.path, damaged / record.path)
    manifest = extract_poses(dataset, tmp_path / "p", Centre(), ExtractOptions(rows_per_part=4))
    assert manifest.skipped == [] and manifest.rows == len(dataset.records)
    extract_poses(open_dataset(drawn), tmp_path / "undamaged", Centre(), ExtractOptions(rows_per_part=4))
    mended, undamaged = contents(tmp_path / "p"), contents(tmp_path / "undamaged")
    assert {name: mended[name] for name in mended if name.endswith(".h5")} == {
        name: undamaged[name] for name in undamaged if name.endswith(".h5")
    }


@pytest.mark.parametrize("batch_size", [1, 3, 5])
def test_images_without_joints_are_left_out_and_listed(drawn: Path, tmp_path: Path, batch_size: int) -> None:
    dataset = open_dataset(drawn)
    missing = {record.path for record in dataset.records[::4]}

    class Partial(Centre):
        def __call__(self, images: Sequence[np.ndarray], paths: Sequence[str]) -> np.ndarray:
            joints = super().__call__(images, paths)
            joints[[path in missing for path in paths]] = np.nan
            return joints

    estimator = Partial()
    estimator.batch_size = batch_size
    manifest = extract_poses(dataset, tmp_path / "p", estimator)
    assert [entry.path for entry in manifest.skipped] == [r.path for r in dataset.records if r.path in missing]
    assert manifest.skipped[0].reason == "the estimator has no joints for it"
    poses = PoseSet(tmp_path / "p")
    assert set(poses.column("paths")) == {record.path for record in dataset.records} - missing
    with pytest.raises(ReidError, match=r"has no joints for it; .* --on-error skip"):
        extract_poses(dataset, tmp_path / "q", estimator, on_error="fail")


@pytest.mark.parametrize("count", [1, 8191, 8192, 8193, 20000])
def test_the_fingerprint_of_records_is_that_of_their_json(count: int) -> None:
    records = [Record(f"caf\u00e9 \udce9/{i}.jpg", i, i % 6, "train", i - 1) for i in range(count)]
    whole = json.dumps([dataclasses.astuple(record) for record in records], ensure_ascii=False)
    assert fingerprint(records) == hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


def test_rows_of_several_parts(dataset: Dataset, tmp_path: Path) -> None:
    """Parts may be empty, at the start, in the middle and at the end."""
    missing = {
        record.path for i, record in enumerate(dataset.records) if i // 3 in (0, 2, (len(dataset.records) - 1) // 3)
    }

    class Partial(Centre):
        def __call__(self, images: Sequence[np.ndarray], paths: Sequence[str]) -> np.ndarray:
            joints = super().__call__(images, paths)
            joints[[path in missing for path in paths]] = np.nan
            return joints

    extract_poses(dataset, tmp_path / "p", Partial(), ExtractOptions(rows_per_part=3))
    poses = PoseSet(tmp_path / "p")
    assert 0 in {part.rows for part in poses.manifest.files}
    paths = poses.column("paths")
    assert paths.tolist() == [record.path for record in dataset.records if record.path not in missing]
    rng = np.random.default_rng(0)
    for size in range(1, len(poses) + 1):
        rows = np.sort(rng.choice(len(poses), size, replace=False))
        assert poses.read(rows).paths.tolist() == paths[rows].tolist()
        assert sum(len(piece.rows) for piece in poses.pieces(rows)) == size
    splits, again = poses.columns("splits", "paths")
    assert again.tolist() == paths.tolist() and len(splits) == len(poses)
