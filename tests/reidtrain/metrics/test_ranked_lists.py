from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidprep.errors import ReidError
from reidtrain.metrics.distances import Metric
from reidtrain.metrics.ranked_lists import NOBODY, rank_lists
from reidtrain.metrics.ranking import evaluate_features


def problem(seed: int, queries: int = 7, gallery: int = 40) -> dict[str, np.ndarray]:
    """Few persons, cameras and feature values, so that junk, left-out images and ties all occur."""
    rng = np.random.default_rng(seed)
    return {
        "query_features": rng.integers(1, 4, (queries, 3)).astype(np.float32),
        "gallery_features": rng.integers(1, 4, (gallery, 3)).astype(np.float32),
        "query_pids": rng.integers(0, 4, queries),
        "gallery_pids": rng.integers(-1, 4, gallery),
        "query_camids": rng.integers(1, 4, queries),
        "gallery_camids": rng.integers(1, 4, gallery),
    }


def slow_list(data: dict[str, np.ndarray], query: int, metric: Metric) -> list[tuple[float, bool, int]]:
    """(distance, right, position) of every gallery image that counts, sorted."""
    result = []
    for i, (pid, camid) in enumerate(zip(data["gallery_pids"], data["gallery_camids"], strict=True)):
        right = bool(pid == data["query_pids"][query])
        if pid == -1 or (right and camid == data["query_camids"][query]):
            continue
        a, b = (data[name].astype(float) for name in ("query_features", "gallery_features"))
        if metric == "euclidean":
            distance = float(np.linalg.norm(a[query] - b[i]))
        else:
            distance = float(1 - a[query] @ b[i] / (np.linalg.norm(a[query]) * np.linalg.norm(b[i])))
        result.append((round(distance, 6), right, i))
    return sorted(result)


@given(st.integers(0, 10_000), st.integers(1, 45))
@settings(max_examples=60)
def test_lists_are_the_start_of_a_full_sort(seed: int, top: int) -> None:
    data = problem(seed)
    lists = rank_lists(**data, queries=[6, 0, 3], top=top)
    assert lists.queries.tolist() == [6, 0, 3]
    for row, query in enumerate(lists.queries):
        expected = slow_list(data, query, "euclidean")[:top]
        count = len(expected)
        assert lists.gallery[row].tolist() == [i for _, _, i in expected] + [NOBODY] * (top - count)
        assert lists.right[row].tolist() == [right for _, right, _ in expected] + [False] * (top - count)
        np.testing.assert_allclose(lists.distances[row, :count], [d for d, _, _ in expected], atol=2e-6)
        assert np.isnan(lists.distances[row, count:]).all()


def test_without_cameras_the_persons_own_camera_counts() -> None:
    data = problem(1)
    lists = rank_lists(**data, queries=range(7), top=45, protocol="no-cameras")
    apart = data | {"query_camids": np.full(7, 8)}
    np.testing.assert_array_equal(lists.gallery, rank_lists(**apart, queries=range(7), top=45).gallery)
    assert (lists.gallery >= 0).sum() == 7 * (data["gallery_pids"] >= 0).sum()


def test_cosine_distances() -> None:
    """Vectors of different lengths, none of them parallel: no ties for rounding to break."""
    rng = np.random.default_rng(0)
    data = problem(3) | {
        "query_features": rng.normal(size=(7, 3)) * rng.uniform(0.1, 9, (7, 1)),
        "gallery_features": rng.normal(size=(40, 3)) * rng.uniform(0.1, 9, (40, 1)),
    }
    lists = rank_lists(**data, queries=range(7), top=5, metric="cosine")
    for query in range(7):
        expected = slow_list(data, query, "cosine")[:5]
        assert lists.gallery[query].tolist() == [i for _, _, i in expected]
        np.testing.assert_allclose(lists.distances[query], [d for d, _, _ in expected], atol=2e-6)


@pytest.mark.parametrize("seed", range(5))
def test_lists_agree_with_the_scores(seed: int) -> None:
    """Average precision and first match, computed from the whole list, are those that are reported beside it."""
    data = problem(seed)
    metrics = evaluate_features(**data)
    lists = rank_lists(**data, queries=np.arange(7), top=40)
    for query in range(7):
        ranks = np.flatnonzero(lists.right[query]) + 1
        if len(ranks):
            assert ranks[0] == metrics.first_match_rank[query]
            precision = np.mean(np.arange(1, len(ranks) + 1) / ranks)
            assert precision == pytest.approx(metrics.average_precision[query])
        else:
            assert np.isnan(metrics.average_precision[query])


def test_blocks_do_not_change_the_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    data = problem(1)
    whole = rank_lists(**data, queries=range(7), top=9)
    monkeypatch.setattr("reidtrain.metrics.distances.BLOCK_BYTES", 2 * 40 * 4)
    blocks = rank_lists(**data, queries=range(7), top=9)
    for name in ("gallery", "distances", "right"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(blocks, name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top": 0}, "give 1 or more"),
        ({"queries": [7]}, "there is no query 7; they are counted from 0 to 6"),
        ({"queries": [-1]}, "there is no query -1"),
        ({"queries": [0.5]}, "whole numbers"),
        ({"gallery_features": np.ones((40, 4))}, "different models"),
        ({"gallery_pids": np.ones(39, dtype=int)}, "39 entries for 40 images"),
    ],
)
def test_wrong_use(change: dict, message: str) -> None:
    with pytest.raises(ReidError, match=message):
        rank_lists(**{**problem(0), "queries": [0], "top": 3, **change})


def test_a_gallery_of_which_nothing_counts() -> None:
    """Junk, and the query's person at the query's camera."""
    data = problem(0, queries=1, gallery=2)
    data |= {"query_pids": [3], "gallery_pids": [-1, 3], "query_camids": [1], "gallery_camids": [2, 1]}
    assert rank_lists(**data, queries=[0], top=2).gallery.tolist() == [[NOBODY, NOBODY]]


def test_tensors_give_the_same_lists() -> None:
    torch = pytest.importorskip("torch")
    data = problem(2)
    expected = rank_lists(**data, queries=[4, 1], top=9)
    tensors = data | {name: torch.from_numpy(data[name]) for name in ("query_features", "gallery_features")}
    np.testing.assert_array_equal(rank_lists(**tensors, queries=[4, 1], top=9).gallery, expected.gallery)
