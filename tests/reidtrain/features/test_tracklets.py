from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reidprep.errors import ReidError
from reidtrain.evaluation.scoring import Scoring, score_files
from reidtrain.features.files import GALLERY, QUERY, Features, open_output, read_query_and_gallery
from reidtrain.features.tracklets import pooled

PIDS = np.array([5, 5, 2, 5, 5, -1, 5], np.int64)
CAMIDS = np.array([1, 1, 1, 1, 2, 1, 1], np.int64)
TRACKLETS = np.array([7, 7, 7, -1, 7, 7, -1], np.int64)


def made(rows: int = 7, tracklets: bool = True) -> Features:
    values = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    arrays = {"embedding": values, "whole": values[:, :2]}
    return Features(arrays, PIDS[:rows], CAMIDS[:rows], tracklets=TRACKLETS[:rows] if tracklets else None)


def test_tracklets_become_unit_means_in_the_order_of_their_first_images() -> None:
    images = made()
    result = pooled(images)
    groups = [[0, 1], [2], [3], [4], [5], [6]]
    assert (result.pids.tolist(), result.camids.tolist()) == ([5, 2, 5, 5, -1, 5], [1, 1, 1, 2, 1, 1])
    for name, values in images.arrays.items():
        means = np.array([values[rows].mean(axis=0) for rows in groups])
        expected = means / np.linalg.norm(means, axis=1, keepdims=True)
        np.testing.assert_allclose(result.arrays[name], expected, rtol=1e-5)
    assert result.tracklets is None
    assert pooled(result) is result


def write(file: Path, query: Features, gallery: Features) -> Path:
    with open_output(file) as output:
        output.write(query, QUERY, len(query.pids))
        output.write(gallery, GALLERY, len(gallery.pids))
        about = {"schema": "reidtrain.features", "version": 1, "dimensions": query.dimensions}
        output.finish(about)
    return file


@pytest.mark.parametrize("name", ["features.npz", "features"])
def test_files_of_tracklets_are_scored_as_tracklets(tmp_path: Path, name: str) -> None:
    query = made(2)
    file = write(tmp_path / name, query, made().take(np.array([4, 2, 3])))
    read, _ = read_query_and_gallery(file)
    assert read.tracklets is not None
    assert read.tracklets.tolist() == [7, 7]
    metrics = score_files([file], Scoring())
    assert metrics.queries == 1
    plain = write(tmp_path / f"plain-{name}", made(2, tracklets=False), made(tracklets=False).take(np.array([4, 2])))
    assert read_query_and_gallery(plain)[0].tracklets is None
    assert score_files([plain], Scoring()).queries == 2


def test_tracklets_that_are_no_whole_numbers_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "features.npz", made(2), made())
    arrays = dict(np.load(file)) | {"query_tracklets": np.array([0.5, 1])}
    np.savez(file, **arrays)
    with pytest.raises(ReidError, match="query_tracklets has shape .* it needs one whole number per image"):
        score_files([file], Scoring())


def test_tracklets_of_one_side_alone_are_refused(tmp_path: Path) -> None:
    """Only that side would be scaled to length 1."""
    file = write(tmp_path / "features.npz", made(2), made(tracklets=False))
    with pytest.raises(ReidError, match="lacks gallery_tracklets"):
        score_files([file], Scoring())
