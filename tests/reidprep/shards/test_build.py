import dataclasses
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from reidprep.alignment.align import Flag, align
from reidprep.alignment.boxes import strip_boxes
from reidprep.alignment.canonical import load
from reidprep.datasets.registry import open_dataset
from reidprep.errors import Interrupted, ReidError
from reidprep.estimators.registry import create_estimator
from reidprep.files import write_file
from reidprep.images import crop_box, encode_jpeg
from reidprep.poses.extract import ExtractOptions, extract_poses
from reidprep.poses.format import EXCLUDE, POSES, Poses, poses_bytes
from reidprep.poses.reader import PoseSet
from reidprep.shards.build import BuildOptions, build_shards, cut_crops
from reidprep.shards.exclusions import write_exclusions
from reidprep.shards.format import full_sizes, stored_sizes
from reidprep.shards.reader import ShardSet
from reidprep.store import writer
from reidprep.store.writer import StoreWriter
from reidprep.synth.dataset import generate
from reidprep.verify import verify

RAW = BuildOptions(encoding="raw", image_size=(256, 128), samples_per_shard=10)


@pytest.fixture(scope="module")
def raw(drawn_poses: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of the drawn people with all their pixels. Read only."""
    path = tmp_path_factory.mktemp("raw") / "shards"
    build_shards(drawn_poses, path, RAW)
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in sorted(path.iterdir())}


def with_joints(poses_path: Path, out: Path, change: object) -> Path:
    """A pose directory whose joints went through `change`."""
    poses = PoseSet(poses_path)
    manifest = poses.manifest
    with StoreWriter(out, POSES, str(poses.source), manifest.plan) as directory:
        for part in manifest.files:
            content: Poses = poses.read(np.arange(len(poses)))
            content = dataclasses.replace(content, joints=change(content.joints.copy()))  # type: ignore[operator]
            data = poses_bytes(content, manifest.plan)
            directory.add(dataclasses.replace(part, sha256=write_file(out / part.name, data)))
        directory.finish(manifest.summary)
    return out


@pytest.mark.parametrize("scale", ["source", "full"])
def test_a_sample_is_what_the_pure_functions_give(scale: str, drawn: Path, drawn_poses: Path, tmp_path: Path) -> None:
    manifest = build_shards(drawn_poses, tmp_path / "s", dataclasses.replace(RAW, scale=scale))
    shards, poses, source = ShardSet.open(tmp_path / "s"), PoseSet(drawn_poses), open_dataset(drawn).images
    border, sizes = manifest.plan.border, shards.stored_sizes
    for row in (0, 7, len(shards) - 1):
        sample = shards[row]
        one = poses.read([row])
        aligned = align(one.joints, one.image_sizes, load(), alignment="pose", beta=3 / 48, confidence=0.3)
        np.testing.assert_allclose(sample.boxes, aligned.boxes[0], atol=1e-3)  # BLAS sums by batch
        np.testing.assert_array_equal(sample.joints, one.joints[0])
        np.testing.assert_allclose(sample.joints_filled, aligned.joints[0], atol=1e-3)
        image = source.read(sample.path)
        np.testing.assert_array_equal(sample.whole, crop_box(image, sample.boxes[0], sizes["whole"], border))
        for part, box in zip(sample.parts, sample.boxes[1:], strict=True):
            np.testing.assert_array_equal(part, crop_box(image, box, sizes["parts"], border))
        height, width = image.shape[:2]
        np.testing.assert_array_equal(sample.image, crop_box(image, (0, 0, width, height), sizes["image"], border))


def test_jpeg_is_close_to_raw(raw: Path, drawn_poses: Path, tmp_path: Path) -> None:
    build_shards(drawn_poses, tmp_path / "jpeg", BuildOptions(quality=95))
    jpeg = ShardSet.open(tmp_path / "jpeg")
    difference = np.abs(ShardSet.open(raw)[0].whole.astype(int) - jpeg[0].whole)
    assert difference.mean() < 3 and difference.max() > 0
    assert jpeg[0].image is None


def test_border_is_the_mean_of_the_training_images(drawn: Path, raw: Path) -> None:
    dataset = open_dataset(drawn)
    train = [record.path for record in dataset.records if record.split == "train"]
    expected = np.mean([dataset.images.read(path).reshape(-1, 3).mean(axis=0) for path in train], axis=0)
    np.testing.assert_allclose(ShardSet.open(raw).plan.border, expected, atol=0.01)


def test_channel_means_are_those_of_the_training_crops(raw: Path) -> None:
    train = ShardSet.open(raw, "train")
    samples = [train[i] for i in range(len(train))]
    means = train.summary.channel_means
    np.testing.assert_allclose(means.whole, np.mean([s.whole.mean(axis=(0, 1)) for s in samples], 0), atol=2e-3)
    np.testing.assert_allclose(means.parts, np.mean([s.parts.mean(axis=(1, 2)) for s in samples], 0), atol=2e-3)
    np.testing.assert_allclose(means.image, np.mean([s.image.mean(axis=(0, 1)) for s in samples], 0), atol=2e-3)


@pytest.mark.parametrize("name", ["alignment", "scale", "encoding"])
def test_a_choice_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(ReidError, match=f"{name} is 'poses'; it is one of "):
        BuildOptions(**{name: "poses"})


def test_workers_do_not_change_a_byte(drawn_poses: Path, tmp_path: Path) -> None:
    for workers in (1, 2):  # of raw pixels: see test_the_order_of_a_list_and_what_is_unknown_in_it_change_no_byte
        build_shards(drawn_poses, tmp_path / str(workers), BuildOptions(samples_per_shard=7), workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_resume_redoes_only_what_is_missing(drawn_poses: Path, tmp_path: Path) -> None:
    options = BuildOptions(samples_per_shard=7)
    build_shards(drawn_poses, tmp_path / "s", options)
    whole = contents(tmp_path / "s")
    times = {entry.name: entry.stat().st_mtime_ns for entry in (tmp_path / "s").iterdir()}
    (tmp_path / "s" / "query-00000.h5").write_bytes(b"cut off")
    seen: list[tuple[int, int]] = []
    build_shards(drawn_poses, tmp_path / "s", options, progress=lambda *call: seen.append(call))
    assert contents(tmp_path / "s") == whole
    assert (tmp_path / "s" / "train-00000.h5").stat().st_mtime_ns == times["train-00000.h5"]
    assert 0 < seen[0][0] < seen[0][1] and seen[-1][0] == seen[-1][1]


def test_a_stopped_run_ends_the_file_it_makes_and_goes_on(drawn_poses: Path, tmp_path: Path) -> None:
    options = BuildOptions(samples_per_shard=7)
    build_shards(drawn_poses, tmp_path / "whole", options)

    def stop(done: int, total: int) -> None:
        if done:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="7 of 22 samples are done and kept"):
        build_shards(drawn_poses, tmp_path / "s", options, progress=stop)
    build_shards(drawn_poses, tmp_path / "s", options)
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


def test_strips_are_the_whole_image_and_quarters(drawn_poses: Path, tmp_path: Path) -> None:
    build_shards(drawn_poses, tmp_path / "s", BuildOptions(alignment="strips"))
    sizes = PoseSet(drawn_poses).column("image_sizes")
    np.testing.assert_array_equal(ShardSet.open(tmp_path / "s").column("boxes"), strip_boxes(sizes))


def test_images_that_were_replaced_in_place_are_left_out(drawn: Path, drawn_poses: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(drawn, tmp_path / "images"))
    one, other, *_ = sorted((source / "query").iterdir())
    shutil.copy(other, one)
    manifest = build_shards(drawn_poses, tmp_path / "s", source=source)
    [skipped] = manifest.skipped
    assert skipped.path == f"query/{one.name}"
    assert "was changed since its pose was estimated: its mean colour is" in skipped.reason


def test_no_image_left_is_an_error_and_no_finished_folder(drawn: Path, drawn_poses: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(drawn, tmp_path / "images"))
    for image in source.rglob("*.jpg"):
        write_file(image, encode_jpeg(np.zeros((128, 64, 3), np.uint8), 90))
    with pytest.raises(ReidError, match="none of the .* poses could be used; the first: .* was changed since"):
        build_shards(drawn_poses, tmp_path / "s", source=source)
    assert "not complete" in str(verify(tmp_path / "s")[0])


def test_a_finished_folder_that_cannot_be_written_is_kept(
    drawn_poses: Path, drawn_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = Path(shutil.copytree(drawn_shards, tmp_path / "deeper" / "shards"))  # so that its source is another

    def refuse(path: Path, data: bytes) -> str:
        raise ReidError(f"{path}: cannot be written")

    monkeypatch.setattr(writer, "write_file", refuse)
    manifest = build_shards(drawn_poses, shards, BuildOptions(image_size=(256, 128), samples_per_shard=8))
    assert manifest.kept == manifest.rows == len(ShardSet.open(shards))


def test_other_sizes(drawn_poses: Path, tmp_path: Path) -> None:
    build_shards(drawn_poses, tmp_path / "s", BuildOptions(whole_size=(128, 64), part_size=(32, 80), scale="full"))
    sample = ShardSet.open(tmp_path / "s")[0]
    assert sample.whole.shape == (128, 64, 3) and sample.parts.shape == (4, 32, 80, 3)


def test_stored_sizes_follow_the_source_images(drawn_poses: Path, tmp_path: Path) -> None:
    """Drawn images are 128x64, of which bodies fill about 120x60; see test_scale.py for the rule."""
    options = BuildOptions(whole_size=(64, 32), image_size=(512, 256))
    manifest = build_shards(drawn_poses, tmp_path / "s", options)
    shards = ShardSet.open(tmp_path / "s")
    assert shards.full_sizes == {"whole": (64, 32), "parts": (96, 192), "image": (512, 256)}
    assert shards.stored_sizes["whole"] == (64, 32)  # the source has more than was asked for
    assert shards.stored_sizes["image"] == (128, 64)  # and here just as much as that
    assert shards.stored_sizes["parts"] < (96, 192)
    assert manifest.plan.scale == "source"
    sample = shards[0]
    for view, size in shards.stored_sizes.items():
        assert getattr(sample, view).shape[-3:-1] == size


@pytest.mark.parametrize(("scale", "quality"), [("source", 95), ("full", 90)])
def test_quality_suits_the_scale(scale: str, quality: int, drawn_poses: Path, tmp_path: Path) -> None:
    plan = build_shards(drawn_poses, tmp_path / "s", BuildOptions(scale=scale)).plan
    assert plan.quality == quality
    assert (stored_sizes(plan) == full_sizes(plan)) == (scale == "full")


@pytest.mark.parametrize(
    "change",
    [
        lambda joints: joints * np.nan,
        lambda joints: joints * 0,
        lambda joints: joints + np.inf,
        lambda joints: -joints,
    ],
    ids=["NaN", "zero", "infinite", "negative"],
)
def test_useless_joints_still_give_crops_and_are_flagged(drawn_poses: Path, tmp_path: Path, change: object) -> None:
    build_shards(with_joints(drawn_poses, tmp_path / "p", change), tmp_path / "s")
    shards = ShardSet.open(tmp_path / "s")
    assert len(shards) == len(PoseSet(drawn_poses))
    for i in range(len(shards)):
        sample = shards[i]
        assert sample.flags & (Flag.FEW_JOINTS | Flag.DEGENERATE_BOXES)
        assert sample.filled.all()
        assert np.isfinite(sample.boxes).all() and np.isfinite(sample.joints_filled).all()


def test_a_person_cut_at_the_border_is_padded_not_squeezed(drawn: Path) -> None:
    image = open_dataset(drawn).images.read(open_dataset(drawn).records[0].path)
    shapes = [(384, 192, 3), *[(96, 192, 3)] * 4]
    height = image.shape[0]
    box = np.array([0, 0, 64, 2 * height], np.float32)  # the lower half is outside
    whole = cut_crops(image, np.stack([box] * 5), shapes, (1, 2, 3))[0]
    assert (whole[200:] == (1, 2, 3)).all()
    assert not (whole[:180] == (1, 2, 3)).all(axis=2).any()


def test_images_that_vanish_or_change_are_left_out_and_listed(drawn: Path, drawn_poses: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(drawn, moved)
    records = open_dataset(moved).records
    (moved / records[0].path).unlink()
    shutil.copy(drawn / records[2].path, moved / records[1].path)
    from PIL import Image

    Image.new("RGB", (10, 20)).save(moved / records[1].path)
    manifest = build_shards(drawn_poses, tmp_path / "s", source=moved)
    assert [entry.path for entry in manifest.skipped] == [records[0].path, records[1].path]
    assert "10x20 now" in manifest.skipped[1].reason
    assert len(ShardSet.open(tmp_path / "s")) == len(records) - 2


def test_a_wrong_source_is_an_error_not_thousands_of_skips(drawn_poses: Path, tmp_path: Path) -> None:
    with pytest.raises(ReidError, match="nowhere"):
        build_shards(drawn_poses, tmp_path / "s", source=tmp_path / "nowhere")


def test_images_that_were_moved_are_asked_for(drawn: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(drawn, tmp_path / "images"))
    extract_poses(open_dataset(source), tmp_path / "p", create_estimator(), ExtractOptions(limit=1))
    moved = source.rename(tmp_path / "elsewhere")
    with pytest.raises(ReidError, match=r"images: .*by --source"):
        build_shards(tmp_path / "p", tmp_path / "s")
    assert build_shards(tmp_path / "p", tmp_path / "s", source=moved).complete


def test_a_source_with_other_images_is_an_error_too(drawn_poses: Path, tmp_path: Path) -> None:
    generate(tmp_path / "other", identities=2, cameras=2, images_per_camera=2, seed=9)
    for image in list((tmp_path / "other").rglob("*.jpg")):
        image.rename(image.with_name("9" + image.name[1:]))
    with pytest.raises(ReidError, match=r"does not hold the images of the poses .*--source"):
        build_shards(drawn_poses, tmp_path / "s", source=tmp_path / "other")
    assert not (tmp_path / "s").exists()


def test_changed_parameters_are_refused(drawn_poses: Path, tmp_path: Path) -> None:
    build_shards(drawn_poses, tmp_path / "s")
    with pytest.raises(ReidError, match=r"beta 0\.0625 -> 0\.1"):
        build_shards(drawn_poses, tmp_path / "s", BuildOptions(beta=0.1))
    with pytest.raises(ReidError, match=r"scale source -> full, stored size of the parts"):
        build_shards(drawn_poses, tmp_path / "s", BuildOptions(scale="full"))
    with pytest.raises(ReidError, match=r"--with-image None -> \[256, 128\]"):
        build_shards(drawn_poses, tmp_path / "s", BuildOptions(image_size=(256, 128)))
    build_shards(drawn_poses, tmp_path / "s", BuildOptions(beta=0.1), overwrite=True)
    assert ShardSet.open(tmp_path / "s").plan.beta == 0.1


def test_excluded_images_are_left_out_of_everything(drawn: Path, drawn_poses: Path, tmp_path: Path) -> None:
    """As if the dataset had never had them, but for the manifest, which says so."""
    records = open_dataset(drawn).records
    pid = next(record.pid for record in records if record.split == "train")
    gone = [record.path for record in records if record.split == "train" and record.pid == pid]
    gone.append(next(record.path for record in records if record.split == "query"))
    manifest = build_shards(drawn_poses, tmp_path / "s", RAW, exclude=[*gone, "unknown.jpg"])

    shards = ShardSet.open(tmp_path / "s")
    assert shards.column("paths").tolist() == [record.path for record in records if record.path not in gone]
    kept = [record for record in records if record.split == "train" and record.path not in gone]
    assert sorted(shards.train_labels) == sorted({record.pid for record in kept if record.pid >= 0})
    assert sorted(shards.train_labels.values()) == list(range(len(shards.train_labels)))
    expected = np.mean([open_dataset(drawn).images.read(r.path).reshape(-1, 3).mean(axis=0) for r in kept], axis=0)
    np.testing.assert_allclose(manifest.plan.border, expected, atol=0.01)
    train = ShardSet.open(tmp_path / "s", "train")
    whole = np.mean([train[i].whole.mean(axis=(0, 1)) for i in range(len(train))], axis=0)
    np.testing.assert_allclose(manifest.summary.channel_means.whole, whole, atol=2e-3)
    assert manifest.plan.excluded.images == len(gone)
    assert manifest.summary.excluded == {"train": len(gone) - 1, "query": 1, "gallery": 0}
    assert sum(manifest.summary.images.values()) == len(records) - len(gone) == manifest.rows


def test_the_order_of_a_list_and_what_is_unknown_in_it_change_no_byte(drawn_poses: Path, tmp_path: Path) -> None:
    some = PoseSet(drawn_poses).column("paths")[[1, 4]].tolist()
    build_shards(drawn_poses, tmp_path / "1", RAW, exclude=some)
    build_shards(drawn_poses, tmp_path / "2", RAW, exclude=["unknown.jpg", *some[::-1]], workers=2)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    build_shards(drawn_poses, tmp_path / "2", RAW, exclude=some)  # nor is it another list to resume with
    for other in (some[:1], ()):
        with pytest.raises(ReidError, match="other images .*--exclude"):
            build_shards(drawn_poses, tmp_path / "1", RAW, exclude=other)


def test_a_list_that_excludes_nothing_or_all_makes_no_folder(drawn_poses: Path, tmp_path: Path) -> None:
    for exclude in (["other.jpg"], PoseSet(drawn_poses).column("paths").tolist()):
        with pytest.raises(ReidError, match="exclude"):
            build_shards(drawn_poses, tmp_path / "s", exclude=exclude)
    assert not (tmp_path / "s").exists()


def test_the_list_beside_the_shards_stays(drawn_poses: Path, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    write_exclusions(tmp_path / "s" / EXCLUDE, {"a.jpg": ""})
    listed = (tmp_path / "s" / EXCLUDE).read_bytes()
    for overwrite in (False, False, True):
        build_shards(drawn_poses, tmp_path / "s", RAW, overwrite=overwrite)
        assert (tmp_path / "s" / EXCLUDE).read_bytes() == listed
    assert verify(tmp_path / "s") == []
    (tmp_path / "s" / "manifest.json").write_text("{")
    build_shards(drawn_poses, tmp_path / "s", RAW, overwrite=True)
    assert (tmp_path / "s" / EXCLUDE).read_bytes() == listed
