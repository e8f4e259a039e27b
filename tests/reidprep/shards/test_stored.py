"""What is stored, read without decoding: bytes of images, rows, columns."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from reidprep.errors import ReidError
from reidprep.images import decode_jpeg
from reidprep.poses.reader import PoseSet
from reidprep.shards.reader import ShardSet


@pytest.fixture
def copied(drawn_shards: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn_shards, tmp_path / "copied")
    return tmp_path / "copied"


def test_encoded_images_are_those_that_pixels_decodes(drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards)
    for index in (0, len(shards) - 1):
        images = [decode_jpeg(data) for data in shards.encoded(index)]
        sample = shards[index]
        assert sample.image is not None
        for image, expected in zip(images, [sample.whole, *sample.parts, sample.image], strict=True):
            np.testing.assert_array_equal(image, expected)


def test_encoded_images_of_damaged_rows(copied: Path) -> None:
    name = ShardSet.open(copied).files[0].name
    with h5py.File(copied / name, "r+") as file:
        file["images"][5] ^= 255
        file["offsets"][8] = 2**63
        offsets = file["offsets"][:-3]
        del file["offsets"]
        file["offsets"] = offsets
    shards = ShardSet.open(copied)
    with pytest.raises(ReidError, match=r"row 0: .* checksum; run 'reidprep verify'"):
        shards.encoded(0)
    with pytest.raises(ReidError, match="row 1: the offsets of the stored images are not in order"):
        shards.encoded(1)
    assert shards.encoded(2)
    last = shards.files[0].rows - 1
    with pytest.raises(ReidError, match=f"row {last}: the offsets of the stored images end before this row"):
        shards.encoded(last)
    with pytest.raises(IndexError):
        shards.encoded(len(shards))


def test_a_row_and_the_columns_of_a_file(drawn_shards: Path) -> None:
    shards = ShardSet.open(drawn_shards)
    start = 0
    for file in shards.files:
        columns = shards.file_columns(file)
        for name in ("paths", "joints", "flags", "image_sizes"):
            np.testing.assert_array_equal(columns[name], shards.column(name)[start : start + file.rows])
            np.testing.assert_array_equal(shards.row(start)[name], columns[name][0])
        start += file.rows


def test_a_file_of_another_length_than_the_manifest_says(copied: Path) -> None:
    shards = ShardSet.open(copied)
    first, second = shards.files[:2]
    shutil.copy(copied / second.name, copied / first.name)
    if first.rows == second.rows:
        pytest.skip("the files have equal lengths")
    with pytest.raises(ReidError, match=f"holds {second.rows} rows, the manifest says {first.rows}"):
        shards.file_columns(first)


def test_image_sizes_are_those_of_the_poses(drawn_shards: Path, drawn_poses: Path) -> None:
    shards, poses = ShardSet.open(drawn_shards), PoseSet(drawn_poses)
    of_path = dict(zip(poses.column("paths").tolist(), poses.column("image_sizes").tolist(), strict=True))
    expected = [of_path[path] for path in shards.column("paths").tolist()]
    assert shards.column("image_sizes").tolist() == expected


def test_older_shards_have_no_image_sizes(copied: Path) -> None:
    for file in copied.glob("*.h5"):
        with h5py.File(file, "r+") as content:
            del content["image_sizes"]
    shards = ShardSet.open(copied)
    assert shards[0].path and len(shards.column("flags")) == len(shards)
    with pytest.raises(ReidError, match="before shards had the column 'image_sizes'; build it again"):
        shards.column("image_sizes")


def test_a_file_with_a_wrong_column_is_refused_before_an_image_is_read(copied: Path) -> None:
    shards = ShardSet.open(copied)
    with h5py.File(copied / shards.files[0].name, "r+") as content:
        del content["boxes"]
        content["boxes"] = np.zeros(3)
    with pytest.raises(ReidError, match=r"column boxes is float64\(3,\), expected .*; run 'reidprep verify'"):
        shards.encoded(0)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../a.jpg", "a/../../b.jpg"])
def test_a_path_that_leads_out_of_the_dataset_is_refused(copied: Path, path: str) -> None:
    shards = ShardSet.open(copied)
    with h5py.File(copied / shards.files[0].name, "r+") as content:
        content["paths"][1] = path
    with pytest.raises(ReidError, match=rf"{shards.files[0].name}: row 1: '{path}': the path "):
        shards.row(0)
