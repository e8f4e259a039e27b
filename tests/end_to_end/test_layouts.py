"""From files in a layout of somebody's own to a score."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reidprep.datasets.registry import open_dataset, open_images
from reidprep.estimators.base import PoseEstimator
from reidprep.poses.extract import extract_poses
from reidprep.records import Names
from reidprep.shards.build import BuildOptions, build_shards
from reidprep.shards.reader import ShardSet

if TYPE_CHECKING:
    from reidtrain.checkpoints import Checkpoint

NAMES = ("Ann", "Bo", "Cy", "Dee")


@pytest.fixture
def tracklets(drawn: Path, tmp_path: Path) -> Path:
    """Drawn people, two tracklets of each at either camera, one with a frame that cannot be read."""
    for source in sorted(drawn.rglob("*.jpg")):
        pid, camid, frame = re.match(r"(-?\d+)_c(\d)s\d_(\d+)", source.name).groups()  # type: ignore[union-attr]
        if int(pid) < 1:
            continue
        folder = tmp_path / "people" / NAMES[int(pid) - 1] / f"cam{camid}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / f"{len(list(folder.iterdir()))}-{frame}.jpg")
        if len(list(folder.iterdir())) == 1:
            (folder / "0-9999.jpg").write_bytes(b"no image")
            shutil.copy(source, folder / "3-1.jpg")
    return tmp_path / "people"


def test_tracklets_of_people_with_names_are_scored(
    tracklets: Path, tmp_path: Path, estimator: PoseEstimator, make_checkpoint: Callable[..., Checkpoint]
) -> None:
    from reidtrain.evaluation.evaluate import evaluate
    from reidtrain.evaluation.report import as_text
    from reidtrain.evaluation.scoring import Scoring, score_files
    from reidtrain.features.extract import extract_to_file
    from reidtrain.features.extractor import Computing

    dataset = open_dataset(tracklets, "pattern", {"pattern": "{pid}/cam{cam}/{tracklet}-{frame}", "train": "0"})
    manifest = extract_poses(dataset, tmp_path / "poses", estimator)
    assert len(manifest.skipped) == 8
    sizes = BuildOptions(whole_size=(48, 24), part_size=(16, 24), image_size=(48, 24))
    shards = tmp_path / "shards"
    assert build_shards(tmp_path / "poses", shards, sizes).summary.names == Names(people=NAMES)
    source = (tmp_path / "poses" / manifest.source).resolve()
    open_images("pattern", source, manifest.plan.dataset.options).read(dataset.records[-1].path)

    checkpoint = make_checkpoint("self-attention")
    computing = Computing(device="cpu", workers=0)
    evaluation = evaluate(checkpoint, shards, computing=computing)
    queries = ShardSet.open(shards, "query")
    assert evaluation.tracklet_images is not None
    assert evaluation.rows[0].metrics.queries == 8
    assert f"8 queries, 8 gallery tracklets (of {len(queries)} and " in as_text(evaluation)
    extract_to_file(checkpoint, shards, tmp_path / "features.npz", computing=computing)
    again = score_files([tmp_path / "features.npz"], Scoring())
    assert again.named() == evaluation.rows[-1].metrics.named()
