import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidprep.errors import ReidError
from reidtrain.metrics import distances
from reidtrain.metrics.distances import FeatureDistances
from reidtrain.metrics.ranking import evaluate_features, evaluate_ranking
from reidtrain.metrics.reranking import KReciprocal, Reranking


def squared_distances(query, gallery, metric):
    images = np.concatenate([query, gallery]).astype(np.float64)
    if metric == "euclidean":
        return np.square(images[:, None] - images).sum(axis=2)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    return np.square(1 - images @ images.T)


def people(rng, queries, gallery, persons, dtype=np.float32):
    """Features that cluster by person, and the labels."""
    centres = rng.normal(size=(persons, 16))
    pids = rng.integers(0, persons, queries + gallery)
    features = (centres[pids] + 0.7 * rng.normal(size=(len(pids), 16))).astype(dtype)
    camids = rng.integers(0, 3, len(pids))
    return [array[part] for part in (slice(queries), slice(queries, None)) for array in (features, pids, camids)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("parameters", [Reranking(), Reranking(7, 3, 0.5), Reranking(9, 1, 0), Reranking(3, 9, 1)])
def test_equals_the_dense_method(parameters, metric, dtype):
    query, _, _, gallery, _, _ = people(np.random.default_rng(1), 15, 90, 8, dtype)
    found = KReciprocal.encode(FeatureDistances.checked(query, gallery, metric), parameters).block(0, 15)
    squared = squared_distances(query, gallery, metric)
    expected = oracles.k_reciprocal(squared, 15, parameters.k1, parameters.k2, parameters.weight)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), values=st.sampled_from([1, 2, 4]), k1=st.integers(1, 8), k2=st.integers(1, 4))
def test_equals_the_dense_method_with_duplicates_and_ties(seed, values, k1, k2):
    # Small whole numbers have exact distances, many of them equal.
    features = np.random.default_rng(seed).integers(0, values, (24, 3)).astype(np.float32)
    found = KReciprocal.encode(
        FeatureDistances.checked(features[:6], features[6:], "euclidean"), Reranking(k1, k2)
    ).block(0, 6)
    squared = squared_distances(features[:6], features[6:], "euclidean")
    np.testing.assert_allclose(found, oracles.k_reciprocal(squared, 6, k1, k2, 0.3), atol=1e-5)


def test_blocks_do_not_matter(monkeypatch):
    query, _, _, gallery, _, _ = people(np.random.default_rng(2), 20, 80, 8)
    features = FeatureDistances.checked(query, gallery, "euclidean")
    whole = KReciprocal.encode(features, Reranking()).block(0, 20)
    monkeypatch.setattr(distances, "BLOCK_BYTES", 1)
    encoded = KReciprocal.encode(features, Reranking())
    parts = [encoded.block(start, start + 4) for start in range(0, 20, 4)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_evaluation_leaves_junk_out_of_the_neighbourhoods():
    query, query_pids, query_camids, gallery, gallery_pids, gallery_camids = people(
        np.random.default_rng(3), 40, 200, 10
    )
    junk = np.arange(200) % 5 == 0
    gallery_pids[junk] = -1
    metrics = evaluate_features(
        query, gallery, query_pids, gallery_pids, query_camids, gallery_camids, rerank=Reranking()
    )
    kept = ~junk
    matrix = KReciprocal.encode(FeatureDistances.checked(query, gallery[kept], "euclidean"), Reranking())
    labels = query_pids, gallery_pids[kept], query_camids, gallery_camids[kept]
    assert metrics.mAP == pytest.approx(evaluate_ranking(matrix.block(0, 40), *labels).mAP)
    assert metrics.mAP > evaluate_features(query, gallery[kept], *labels).mAP


def test_queries_of_nobody_change_no_score():
    query, *query_labels, gallery, gallery_pids, gallery_camids = people(np.random.default_rng(3), 40, 200, 10)
    pids, camids = query_labels
    alone = evaluate_features(query, gallery, pids, gallery_pids, camids, gallery_camids, rerank=Reranking())
    among = np.insert(query, 5, gallery[:30], axis=0)
    pids, camids = (np.insert(labels, 5, np.full(30, value)) for labels, value in ((pids, -1), (camids, 0)))
    metrics = evaluate_features(among, gallery, pids, gallery_pids, camids, gallery_camids, rerank=Reranking())
    assert (metrics.mAP, metrics.queries, metrics.queries_without_match) == (alone.mAP, 70, 30)
    np.testing.assert_array_equal(metrics.average_precision[pids >= 0], alone.average_precision)
    assert np.isnan(metrics.first_match_rank[5:35]).all()


@pytest.mark.parametrize("values", [{"k1": 0}, {"k2": 0}, {"weight": 1.1}, {"weight": float("nan")}])
def test_parameters_are_checked(values):
    with pytest.raises(ReidError, match="k1 and k2 must be at least 1"):
        Reranking(**values)
