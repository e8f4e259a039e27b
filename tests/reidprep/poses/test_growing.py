"""Poses of a dataset that grew: the same bytes as from nothing, and no pose estimated twice."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from reidprep.datasets.base import Dataset
from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.images import read_image
from reidprep.poses.extract import ExtractOptions, extract_poses
from reidprep.poses.reader import PoseSet
from reidprep.records import Names
from reidprep.store.manifest import MANIFEST
from reidprep.verify import verify

OPTIONS = ExtractOptions(rows_per_part=5)
Contents = dict[str, bytes]


class Brightest:
    """An estimator that sees images, and quickly: all joints are at the brightest pixel."""

    name = "brightest"
    weights_sha256 = "0" * 64
    score_scale = "constant"
    confidence = 0.5
    device = "cpu"
    batch_size = 3
    options: Mapping[str, object] = {}

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, images: Sequence[np.ndarray], paths: Sequence[str]) -> np.ndarray:
        self.seen += paths
        at = [np.unravel_index(image.sum(axis=2).argmax(), image.shape[:2]) for image in images]
        return np.tile(np.array([[[x, y, 1]] for y, x in at], np.float32), (1, 18, 1))


@pytest.fixture
def dataset(drawn: Path) -> Dataset:
    return open_dataset(drawn)


def part_of(dataset: Dataset, chosen: Sequence[bool]) -> Dataset:
    return replace(dataset, records=tuple(r for r, there in zip(dataset.records, chosen, strict=True) if there))


def contents(path: Path) -> Contents:
    return {entry.name: entry.read_bytes() for entry in sorted(path.iterdir())}


def grow(dataset: Dataset, out: Path) -> tuple[Sequence[str], int]:
    estimator = Brightest()
    manifest = extract_poses(dataset, out, estimator, OPTIONS, grow=True)
    return sorted(estimator.seen), manifest.kept


@pytest.fixture
def some(dataset: Dataset) -> Dataset:
    """Most of the images, but the first and others between."""
    return part_of(dataset, [number % 4 != 0 for number in range(len(dataset.records))])


@pytest.fixture
def grown(dataset: Dataset, some: Dataset, tmp_path: Path) -> Path:
    """Poses of most of the images, to be grown; those of all are in `whole` beside."""
    extract_poses(dataset, tmp_path / "whole", Brightest(), OPTIONS)
    extract_poses(some, tmp_path / "p", Brightest(), OPTIONS)
    return tmp_path / "p"


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 2), min_size=22, max_size=22).filter(lambda times: 0 in times))
def test_whatever_is_added_the_bytes_are_those_of_a_build_from_nothing(
    dataset: Dataset, tmp_path: Path, times: list[int]
) -> None:
    for name in ("p", "whole"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    for step in range(3):
        new = [record.path for record, time in zip(dataset.records, times, strict=True) if time == step]
        now = part_of(dataset, [time <= step for time in times])
        seen, kept = grow(now, tmp_path / "p")
        assert seen == sorted(new) and kept == len(now.records) - len(new)
    extract_poses(dataset, tmp_path / "whole", Brightest(), OPTIONS)
    assert contents(tmp_path / "p") == contents(tmp_path / "whole")


def test_without_leave_the_poses_stay_as_they_are(dataset: Dataset, grown: Path) -> None:
    before = contents(grown)
    with pytest.raises(ReidError, match=r"was made of other images \(the number of images 16 -> 22.*--grow"):
        extract_poses(dataset, grown, Brightest(), OPTIONS)
    with pytest.raises(ReidError, match="other parameters.*--rows-per-part 5 -> 6"):
        extract_poses(dataset, grown, Brightest(), ExtractOptions(rows_per_part=6), grow=True)
    assert contents(grown) == before


def test_a_kill_at_any_moment_leaves_the_old_or_the_new_poses(
    dataset: Dataset, grown: Path, killed, tmp_path: Path
) -> None:
    old, new = contents(grown), contents(tmp_path / "whole")
    shutil.copytree(grown, tmp_path / "kept")
    (tmp_path / "kept" / "exclude.csv").write_text("path\n")
    counted = tmp_path / "counted"
    shutil.copytree(tmp_path / "kept", counted)
    changes = killed.changes(lambda: grow(dataset, counted))
    for change in (0, changes // 2, *range(changes - 8, changes)):  # what fills a directory is tested elsewhere
        shutil.rmtree(grown)
        shutil.copytree(tmp_path / "kept", grown)
        assert killed.before(change, lambda: grow(dataset, grown))
        found = {name: data for name, data in contents(grown).items() if name != "exclude.csv"}
        assert found in (old, new)
        grow(dataset, grown)
        assert contents(grown) == {**new, "exclude.csv": b"path\n"}
        assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_where_folders_are_not_exchanged_at_once_a_kill_in_between_is_mended(
    dataset: Dataset, grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reidprep.files._renamed_at_once", lambda *_: False)
    left = 0

    def rename(path: Path, target: Path) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        shutil.move(path, target)

    for renamed in range(3):
        left = renamed
        shutil.rmtree(grown, ignore_errors=True)
        extract_poses(part_of(dataset, [True] * 4 + [False] * 18), grown, Brightest(), OPTIONS)
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(Path, "rename", rename)
            grow(dataset, grown)
        assert grow(dataset, grown)[0] == []
        assert contents(grown) == contents(tmp_path / "whole")
        assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_what_an_interrupted_growth_has_done_is_kept(dataset: Dataset, grown: Path, tmp_path: Path) -> None:
    class Failing(Brightest):
        def __call__(self, images: Sequence[np.ndarray], paths: Sequence[str]) -> np.ndarray:
            if dataset.records[12].path in paths:
                raise ReidError("out of memory on the device")
            return super().__call__(images, paths)

    with pytest.raises(ReidError, match="out of memory"):
        extract_poses(dataset, grown, Failing(), OPTIONS, grow=True)
    assert len(PoseSet(grown)) == 16
    seen, _ = grow(dataset, grown)
    assert 0 < len(seen) < 6
    assert contents(grown) == contents(tmp_path / "whole")


def test_damaged_and_missing_files_of_the_old_poses_are_made_anew(
    dataset: Dataset, grown: Path, tmp_path: Path
) -> None:
    (grown / "part-00000.h5").write_bytes(b"not HDF5")
    (grown / "part-00001.h5").unlink()
    seen, kept = grow(dataset, grown)
    assert len(seen) == 16 and kept == 6
    assert contents(grown) == contents(tmp_path / "whole")


def shrunk(dataset: Dataset) -> Dataset:
    return replace(dataset, records=dataset.records[2:])


def relabelled(dataset: Dataset) -> Dataset:
    return replace(dataset, records=(*dataset.records[:-1], replace(dataset.records[-1], pid=7, camid=3)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shrunk, r"poses of 1 image that the dataset does not have .*bounding_box_train/.*; put .* by --overwrite"),
        (relabelled, r"1 image has other labels now .*bounding_box_test/.*: person \d -> 7, camera 2 -> 3\).*--over"),
    ],
)
def test_a_dataset_that_did_not_only_grow_is_refused_and_says_why(
    change: Callable[[Dataset], Dataset], message: str, dataset: Dataset, grown: Path
) -> None:
    before = contents(grown)
    with pytest.raises(ReidError, match=message):
        grow(change(dataset), grown)
    assert contents(grown) == before
    assert not (grown.parent / ".p.grown").exists()


@pytest.mark.parametrize(("name", "accepted"), [("Adam", True), ("Bert", False)])
def test_people_are_told_by_their_names_where_they_have_some(
    name: str, accepted: bool, dataset: Dataset, tmp_path: Path
) -> None:
    names = Names(people=("Bea", "Cleo", "Dora", "Eva"))
    numbered = [replace(record, pid=number % 4 + 1) for number, record in enumerate(dataset.records)]
    before = replace(dataset, names=names, records=tuple(numbered[:-1]))
    extract_poses(before, tmp_path / "p", Brightest(), OPTIONS)
    people = tuple(sorted({*names.people, "Adam", name}))
    now = [replace(record, pid=people.index(names.people[record.pid - 1]) + 1) for record in numbered]
    now[3] = replace(now[3], pid=people.index(name if name != "Adam" else names.people[numbered[3].pid - 1]) + 1)
    after = replace(dataset, names=Names(people=people), records=tuple(now))
    if accepted:
        assert grow(after, tmp_path / "p") == ([dataset.records[-1].path], 21)
    else:
        with pytest.raises(ReidError, match=r"person Eva -> Bert\)"):
            grow(after, tmp_path / "p")


def test_an_image_that_was_replaced_is_estimated_again(drawn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    shutil.copytree(drawn, folder)
    everything = open_dataset(folder)
    extract_poses(part_of(everything, [True] * 20 + [False] * 2), tmp_path / "p", Brightest(), OPTIONS)
    first, last = everything.records[0].path, everything.records[-1].path
    shutil.copy(folder / last, folder / first)
    estimator = Brightest()
    manifest = extract_poses(everything, tmp_path / "p", estimator, OPTIONS, grow=True)
    assert manifest.replaced == (first,) and manifest.kept == 19 and len(estimator.seen) == 3
    extract_poses(everything, tmp_path / "whole", Brightest(), OPTIONS)
    assert contents(tmp_path / "p") == contents(tmp_path / "whole")


def test_a_mirrored_image_is_another(drawn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    shutil.copytree(drawn, folder)
    everything = open_dataset(folder)
    first = everything.records[0].path
    image = Image.fromarray(read_image(folder / first))
    image.save(folder / first, "PNG")
    extract_poses(part_of(everything, [True] * 20 + [False] * 2), tmp_path / "p", Brightest(), OPTIONS)
    ImageOps.mirror(image).save(folder / first, "PNG")
    [fault] = verify(tmp_path / "p", source=folder)
    assert fault.row == 0 and "other pixels of the same mean colour" in fault.reason
    assert extract_poses(everything, tmp_path / "p", Brightest(), OPTIONS, grow=True).replaced == (first,)
    assert verify(tmp_path / "p", source=folder) == []


def test_images_that_could_not_be_read_are_tried_again(drawn: Path, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    shutil.copytree(drawn, folder)
    everything = open_dataset(folder)
    first = folder / everything.records[0].path
    data = first.read_bytes()
    first.write_bytes(b"")
    manifest = extract_poses(part_of(everything, [True] * 20 + [False] * 2), tmp_path / "p", Brightest(), OPTIONS)
    assert len(manifest.skipped) == 1
    first.write_bytes(data)
    seen, kept = grow(everything, tmp_path / "p")
    assert len(seen) == 3 and kept == 19
    assert not PoseSet(tmp_path / "p").manifest.skipped


def test_a_link_to_the_poses_stays_one(dataset: Dataset, grown: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(grown)
    grow(dataset, link)
    assert link.is_symlink() and (link / MANIFEST).is_file()
    assert contents(grown) == contents(tmp_path / "whole")
