"""Shards of poses that grew: the same bytes as from nothing, and no crop encoded twice."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reidprep.datasets.base import Dataset
from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.images import encode_jpeg
from reidprep.poses.extract import extract_poses
from reidprep.poses.reader import PoseSet
from reidprep.shards import build
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.reader import ShardSet

GREY = (128.0, 128.0, 128.0)
OPTIONS = BuildOptions(
    whole_size=(48, 24), part_size=(16, 24), image_size=(48, 24), border=GREY, scale="full", samples_per_shard=5
)
TESTED = settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Remembered:
    """Gives images the joints that were estimated of them once."""

    name = "remembered"
    weights_sha256 = "0" * 64
    score_scale = "heatmap"
    confidence = 0.3
    device = "cpu"
    batch_size = 8
    options: Mapping[str, object] = {}

    def __init__(self, poses: Path) -> None:
        known = PoseSet(poses)
        self.joints = dict(zip(known.column("paths").tolist(), known.column("joints"), strict=True))

    def __call__(self, images: Sequence[np.ndarray], paths: Sequence[str]) -> np.ndarray:
        return np.stack([self.joints[path] for path in paths])


class Growing:
    """A dataset, of which some images are there, in poses and shards that grow."""

    def __init__(self, dataset: Dataset, poses: Path, folder: Path, encodes: list[int]) -> None:
        self.dataset, self.estimator, self.folder, self.encodes = dataset, Remembered(poses), folder, encodes
        self.shards = folder / "shards"

    def poses(self, there: Sequence[bool], name: str = "poses") -> None:
        records = tuple(r for r, chosen in zip(self.dataset.records, there, strict=True) if chosen)
        dataset = replace(self.dataset, records=records)
        extract_poses(dataset, self.folder / name, self.estimator, overwrite=True)

    def build(self, name: str = "shards", options: BuildOptions = OPTIONS, **more: object) -> tuple[int, int]:
        """Build shards; how many samples are said to be kept, and how many were encoded."""
        self.encodes.clear()
        kept = build_shards(self.folder / "poses", self.folder / name, options, **more).kept
        return kept, len(self.encodes) // 6

    def check(self, options: BuildOptions = OPTIONS, **more: object) -> None:
        """Make sure that a build from nothing gives the same bytes."""
        self.build("whole", options, overwrite=True, **more)
        assert contents(self.shards) == contents(self.folder / "whole")


def contents(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in sorted(path.iterdir())}


@pytest.fixture
def growing(drawn: Path, drawn_poses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Growing:
    encodes: list[int] = []

    def counting(image: np.ndarray, quality: int) -> bytes:
        encodes.append(quality)
        return encode_jpeg(image, quality)

    monkeypatch.setattr(build, "encode_jpeg", counting)
    return Growing(open_dataset(drawn), drawn_poses, tmp_path, encodes)


MOST = [number % 4 != 0 for number in range(22)]
ALL = [True] * 22


@TESTED
@given(st.lists(st.integers(0, 2), min_size=22, max_size=22).filter(lambda times: 0 in times))
def test_whatever_is_added_the_bytes_are_those_of_a_build_from_nothing(growing: Growing, times: list[int]) -> None:
    shutil.rmtree(growing.shards, ignore_errors=True)
    for step in range(3):
        growing.poses([time <= step for time in times])
        new = times.count(step)
        assert growing.build(grow=True) == (sum(time < step for time in times), new)
    growing.check()


@pytest.mark.parametrize("options", [replace(OPTIONS, encoding="raw"), replace(OPTIONS, alignment="strips")])
def test_however_crops_are_stored(growing: Growing, options: BuildOptions) -> None:
    growing.poses(MOST)
    growing.build(options=options)
    growing.poses(ALL)
    assert growing.build(options=options, grow=True)[0] == 16
    growing.check(options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (replace(OPTIONS, border=None), r"was ([\d.]+,[\d.]+,[\d.]+) and is .*; --border \1 keeps"),
        (replace(OPTIONS, scale="source", whole_size=(384, 192)), "stored at other sizes"),
    ],
)
def test_what_follows_from_all_images_has_all_cut_anew_and_says_so(
    growing: Growing, options: BuildOptions, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing.poses(MOST)
    growing.build(options=options)
    growing.poses(ALL)
    if options.border is not None:
        monkeypatch.setattr("reidprep.shards.sizes.STEPS", 3)
    lines: list[str] = []
    assert growing.build(options=options, grow=True, log=lines.append) == (0, 22)
    (line,) = lines
    assert re.search(reason, line)
    growing.check(options)


def test_joints_of_keypoint_files_do_not_vouch_for_images(growing: Growing) -> None:
    growing.estimator.name = "files"
    growing.poses(MOST)
    growing.build()
    growing.poses(ALL)
    lines: list[str] = []
    assert growing.build(grow=True, log=lines.append)[0] == 0
    assert "do not tell whether an image was replaced" in lines[0]


def test_a_sample_whose_joints_are_others_now_is_cut_anew(growing: Growing) -> None:
    growing.poses(ALL)
    growing.build()
    growing.estimator.joints[growing.dataset.records[3].path][0, 0] += 1
    growing.poses(ALL)
    assert growing.build(grow=True) == (21, 1)
    growing.check()


def test_images_may_be_excluded_and_brought_back(growing: Growing) -> None:
    growing.poses(ALL)
    growing.build()
    exclude = [growing.dataset.records[0].path, growing.dataset.records[9].path]
    assert growing.build(grow=True, exclude=exclude) == (20, 0)
    growing.check(exclude=exclude)
    assert growing.build(grow=True) == (20, 2)
    growing.check()


def test_an_image_that_is_needed_for_the_colour_sums_and_gone_for_now_spoils_nothing(
    growing: Growing, drawn: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "people"
    shutil.copytree(drawn, folder)
    growing.dataset = open_dataset(folder)
    growing.poses(MOST)
    growing.build()
    growing.poses(ALL)
    gone = {record.path for record in growing.dataset.records[5:7]}
    for path in gone:
        (folder / path).unlink()
    growing.build(grow=True)
    skipped = {entry.path for entry in ShardSet.open(growing.shards).manifest.skipped}
    assert skipped == gone
    for path in gone:
        shutil.copy(drawn / path, folder / path)
    growing.build(grow=True)
    growing.check()


def test_a_damaged_file_is_made_anew(growing: Growing) -> None:
    growing.poses(MOST)
    growing.build()
    growing.poses(ALL)
    (growing.shards / "train-00000.h5").write_bytes(b"not HDF5")
    assert growing.build(grow=True) == (11, 11)
    growing.check()


def test_shards_of_images_that_the_poses_do_not_have_are_refused(growing: Growing) -> None:
    growing.poses(ALL)
    growing.build()
    growing.poses(MOST)
    before = contents(growing.shards)
    with pytest.raises(ReidError, match=r"made of other images .*--grow"):
        growing.build()
    with pytest.raises(ReidError, match=r"samples of 2 images that the dataset does not have .*--overwrite"):
        growing.build(grow=True)
    assert contents(growing.shards) == before
    assert len(ShardSet.open(growing.shards)) == 22


@pytest.mark.parametrize("scale", ["source", "full"])
def test_whatever_else_is_asked_for_is_refused_by_its_name(growing: Growing, scale: str) -> None:
    options = replace(OPTIONS, scale=scale)
    growing.poses(MOST)
    growing.build(options=options)
    growing.poses(ALL)
    before = contents(growing.shards)
    changes: dict[str, object] = {
        "beta": 0.1,
        "confidence": 0.5,
        "alignment": "strips",
        "whole_size": (64, 32),
        "part_size": (8, 16),
        "image_size": None,
        "scale": "full" if scale == "source" else "source",
        "encoding": "raw",
        "quality": 50,
        "samples_per_shard": 6,
        "exact": True,
    }
    named = {"samples_per_shard": "--shard-size", "image_size": "--with-image"}
    for name, value in changes.items():
        option = named.get(name, f"--{name}".replace("_", "-"))
        with pytest.raises(ReidError, match=rf"other parameters \(.*{option}"):
            growing.build(grow=True, options=replace(options, **{name: value}))
    assert contents(growing.shards) == before
