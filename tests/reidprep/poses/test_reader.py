import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from reidprep.errors import ReidError
from reidprep.files import file_sha256
from reidprep.poses.reader import PoseSet
from reidprep.store.manifest import MANIFEST
from reidprep.verify import verify


@contextmanager
def first_file(poses: Path) -> Iterator[tuple[str, h5py.File]]:
    """Name and content of the first file, to be changed; the manifest has its hash then."""
    name = PoseSet(poses).manifest.files[0].name
    with h5py.File(poses / name, "r+") as content:
        yield name, content
    manifest = json.loads((poses / MANIFEST).read_text())
    manifest.pop("sha256", None)
    manifest["parts"][0]["sha256"] = file_sha256(poses / name)
    (poses / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("paths", b"../secret.jpg", "'../secret.jpg': the path leaves the dataset's folder"),
        ("paths", b"/etc/passwd", "'/etc/passwd': the path is absolute"),
        ("paths", b"", "'': the path is empty"),
        ("splits", b"valid", "the split 'valid' is not one of train, query, gallery"),
        ("image_sizes", (0, 128), "image size [0, 128]"),
        ("channel_means", (1, np.nan, 1), "channel means [1.0, nan, 1.0], which are 0 to 255"),
        ("channel_means", (1, 1, 1e30), "which are 0 to 255"),
    ],
)
def test_rows_that_no_command_can_use(
    drawn_poses: Path, tmp_path: Path, column: str, value: object, reason: str
) -> None:
    """Whoever writes poses has the right hashes, whatever the values."""
    poses = Path(shutil.copytree(drawn_poses, tmp_path / "poses"))
    with first_file(poses) as (file, content):
        content[column][3] = value
    with pytest.raises(ReidError) as error:
        PoseSet(poses).column("pids")
    assert f"{file}: row 3: " in str(error.value) and reason in str(error.value)
    assert [(fault.file, fault.row) for fault in verify(poses)] == [(file, 3)]


def test_files_of_before_checksums_were_stored(drawn: Path, drawn_poses: Path, tmp_path: Path) -> None:
    poses = Path(shutil.copytree(drawn_poses, tmp_path / "poses"))
    with first_file(poses) as (_, content):
        del content["crc32"]
    assert (PoseSet(poses).column("crc32") == 0).any() and (PoseSet(drawn_poses).column("crc32") != 0).all()
    assert verify(poses, source=drawn) == []
