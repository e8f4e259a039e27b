"""Rankings are those of the protocol, and are kept until the network or the shards are others."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from reidtrain.evaluation.images import query_gallery_images
from reidtrain.evaluation.scoring import Scoring, score
from reidtrain.explore import rankings as module
from reidtrain.explore.rankings import ABSENT, JUNK, RIGHT, WRONG, nearness, rank, rankings_of
from reidtrain.explore.sources import Explored
from reidtrain.features.files import EMBEDDING, Features

from .conftest import OTHER


def people(rng: np.random.Generator, n: int) -> Features:
    # Whole numbers: many distances are equal.
    arrays = {name: rng.integers(0, 3, (n, size)).astype(np.float32) for name, size in ((EMBEDDING, 4), ("head", 3))}
    return Features(arrays, rng.integers(-1, 6, n), rng.integers(1, 4, n))


@pytest.mark.parametrize("protocol", ["market1501", "no-cameras"])
def test_lists_and_ranks_are_those_of_the_protocol(protocol) -> None:
    rng = np.random.default_rng(0)
    query, gallery = people(rng, 12), people(rng, 70)
    rows = np.arange(12) + 5, np.arange(70) + 17
    found = rank(query, gallery, rows, {"protocol": protocol}, top=25)
    metrics = score(query, gallery, Scoring(protocol))
    np.testing.assert_allclose(found.average_precision, metrics.average_precision)
    np.testing.assert_array_equal(found.first_rank, metrics.first_match_rank)
    for i in range(12):
        distances = np.linalg.norm(query.embedding[i] - gallery.embedding, axis=1)
        same = (gallery.pids == query.pids[i]) & (query.pids[i] != -1)
        near = same & (gallery.camids == query.camids[i]) & (protocol == "market1501")
        verdicts = np.where((gallery.pids == -1) | near, JUNK, np.where(same, RIGHT, WRONG))
        order = sorted(range(70), key=lambda j: (distances[j], (WRONG, JUNK, RIGHT).index(verdicts[j]), j))
        np.testing.assert_array_equal(found.lists[i], rows[1][order[:25]])
        np.testing.assert_array_equal(found.verdicts[i], verdicts[order[:25]])
        np.testing.assert_allclose(found.distances[i], distances[order[:25]], atol=1e-5)
        heads = np.linalg.norm(query.arrays["head"][i] - gallery.arrays["head"], axis=1)
        np.testing.assert_allclose(found.part_distances[i, :, 0], heads[order[:25]], atol=1e-5)
        np.testing.assert_allclose(found.typical[i], [np.sqrt(np.mean(d**2)) for d in (distances, heads)], rtol=1e-5)
        counted = [j for j in order if verdicts[j] != JUNK]
        ranks = [1 + place for place, j in enumerate(counted) if verdicts[j] == RIGHT]
        of = found.matches(i)
        np.testing.assert_array_equal(found.match_ranks[of], ranks)
        assert set(found.match_rows[of]) == {rows[1][j] for j in counted if verdicts[j] == RIGHT}
        np.testing.assert_allclose(found.match_distances[of], sorted(distances[verdicts == RIGHT]), atol=1e-5)


def test_a_list_longer_than_the_gallery_ends_with_it() -> None:
    rng = np.random.default_rng(1)
    query, gallery = people(rng, 5), people(rng, 8)
    found = rank(query, gallery, (np.arange(5), np.arange(8)), {"protocol": "market1501"})
    assert found.lists.shape == (5, 8) and (found.verdicts != ABSENT).all()


def test_nearness_is_1_for_the_same_and_0_for_the_usual() -> None:
    assert nearness(np.float32([0, 2, 4]), np.float32([2, 2, 2])).tolist() == [1, 0, -3]


def test_rankings_are_read_from_their_file_until_something_changes(
    explored: Explored, a_run, make_checkpoint, monkeypatch, tmp_path
) -> None:
    images = query_gallery_images(explored.shards, junk=True)
    # What is kept is replaced below.
    explored = replace(explored, out=shutil.copytree(explored.out, tmp_path / "kept"))
    monkeypatch.setattr(module, "rank", lambda *_, **__: pytest.fail("computed again"))
    kept = rankings_of(explored, images, "market1501")
    for name, values in vars(a_run.rankings).items():
        if isinstance(values, np.ndarray) and name in module._table(1, 1):
            np.testing.assert_array_equal(getattr(kept, name), values)
    for other in (
        replace(explored, checkpoint=make_checkpoint("attention-driven", OTHER)),
        replace(explored, computing=replace(explored.computing, flip=True)),
    ):
        with pytest.raises(pytest.fail.Exception, match="computed again"):
            rankings_of(other, images, "market1501")
