import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from reidprep.errors import ReidError
from reidprep.files import file_sha256
from reidprep.poses.reader import PoseSet
from reidprep.store.manifest import MANIFEST
from reidprep.verify import verify


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
    file = PoseSet(poses).manifest.files[0]
    with h5py.File(poses / file.name, "r+") as content:
        content[column][3] = value
    manifest = json.loads((poses / MANIFEST).read_text())
    manifest.pop("sha256", None)
    manifest["parts"][0]["sha256"] = file_sha256(poses / file.name)
    (poses / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ReidError) as error:
        PoseSet(poses).column("pids")
    assert f"{file.name}: row 3: " in str(error.value) and reason in str(error.value)
    assert [(fault.file, fault.row) for fault in verify(poses)] == [(file.name, 3)]
