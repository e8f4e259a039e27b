import tracemalloc

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidprep.errors import ReidError
from reidtrain.metrics import distances
from reidtrain.metrics.ranking import evaluate_features, evaluate_ranking
from reidtrain.metrics.scores import average_splits

RANKS = (1, 2, 3, 5)
MULTI, CLASSIC = "market1501", "cuhk03-classic"


@st.composite
def rankings(draw, most=9):
    """Few persons, cameras and distances, so that ties, junk and queries without match are common."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    queries, gallery = draw(st.integers(1, 6)), draw(st.integers(1, most))
    return (
        rng.integers(0, draw(st.sampled_from([2, 6, 1000])), (queries, gallery)).astype(
            draw(st.sampled_from([np.float32, np.float64, np.int64]))
        ),
        rng.integers(-1, 4, queries),
        rng.integers(-1, 4, gallery),
        rng.integers(0, 3, queries),
        rng.integers(0, 3, gallery),
    )


def assert_equal_to(expected, ranking, **options):
    scored = [scores for scores in expected if scores is not None]
    if not scored:
        with pytest.raises(ReidError, match="nothing can be scored"):
            evaluate_ranking(*ranking, ranks=RANKS, **options)
        return
    metrics = evaluate_ranking(*ranking, ranks=RANKS, **options)
    assert metrics.queries == len(expected)
    assert metrics.queries_without_match == len(expected) - len(scored)
    nan = oracles.Scores([], *[np.nan] * 3)
    filled = [scores or nan for scores in expected]
    np.testing.assert_allclose(metrics.average_precision, [s.ap for s in filled], rtol=1e-12)
    np.testing.assert_allclose(metrics.first_match_rank, [s.first for s in filled], rtol=1e-12)
    np.testing.assert_allclose(metrics.cmc, np.mean([s.cmc for s in scored], axis=0), rtol=1e-12, atol=1e-15)
    assert metrics.mAP == pytest.approx(np.mean([s.ap for s in scored]), rel=1e-12)
    assert metrics.mINP == pytest.approx(np.mean([s.inp for s in scored]), rel=1e-12)


@pytest.mark.parametrize("protocol", [MULTI, "cuhk03-np"])
@pytest.mark.parametrize("ap", ["step", "trapezoid"])
@given(ranking=rankings())
def test_whole_gallery_equals_the_walk_down_the_list(ap, protocol, ranking):
    assert_equal_to(oracles.multi_shot(*ranking, RANKS, ap), ranking, ap=ap, protocol=protocol)


@given(ranking=rankings())
def test_without_cameras_all_images_of_people_count(ranking):
    *known, query_camids, gallery_camids = ranking
    apart = (*known, np.zeros_like(query_camids), np.ones_like(gallery_camids))
    assert_equal_to(oracles.multi_shot(*apart, RANKS, "step"), ranking, protocol="no-cameras")


@pytest.mark.parametrize("any_camera", [False, True])
@pytest.mark.parametrize("ap", ["step", "trapezoid"])
@settings(max_examples=30)
@given(ranking=rankings(most=12))
def test_classic_equals_the_mean_over_all_galleries(ap, any_camera, ranking):
    protocol = "cuhk03-classic-any-camera" if any_camera else CLASSIC
    assert_equal_to(oracles.single_shot(*ranking, RANKS, ap, any_camera=any_camera), ranking, ap=ap, protocol=protocol)


def test_classic_equals_ten_thousand_random_galleries():
    rng = np.random.default_rng(3)
    people, images, draws = 20, 4, 10_000
    pids, camids = np.repeat(np.arange(people), images), np.ones(people * images, int)
    matrix = rng.random((people, people * images)) - 0.3 * (pids == np.arange(people)[:, None])
    metrics = evaluate_ranking(
        matrix, np.arange(people), pids, np.zeros(people, int), camids, ranks=RANKS, protocol=CLASSIC
    )
    drawn = rng.integers(0, images, (draws, people)) + np.arange(0, people * images, images)
    galleries = matrix[:, drawn]  # (query, draw, person)
    own = galleries[np.arange(people), :, np.arange(people)]
    rank = (galleries <= own[..., None]).sum(axis=2)
    for k, value in zip(RANKS, metrics.cmc, strict=True):
        found = (rank <= k).mean(axis=0)
        assert abs(value - found.mean()) < 5 * found.std() / np.sqrt(draws)
    np.testing.assert_allclose(metrics.average_precision, (1 / rank).mean(axis=1), atol=0.02)
    np.testing.assert_allclose(metrics.first_match_rank, rank.mean(axis=1), atol=0.25)


@pytest.mark.parametrize("protocol", [MULTI, CLASSIC])
@settings(max_examples=30)
@given(ranking=rankings(), seed=st.integers(0, 1000))
def test_order_of_images_does_not_matter(protocol, ranking, seed):
    matrix, query_pids, gallery_pids, query_camids, gallery_camids = ranking
    rng = np.random.default_rng(seed)
    q, g = rng.permutation(len(query_pids)), rng.permutation(len(gallery_pids))
    shuffled = (matrix[q][:, g], query_pids[q], gallery_pids[g], query_camids[q], gallery_camids[g])
    try:
        metrics = evaluate_ranking(*ranking, protocol=protocol)
    except ReidError:
        with pytest.raises(ReidError):
            evaluate_ranking(*shuffled, protocol=protocol)
        return
    again = evaluate_ranking(*shuffled, protocol=protocol)
    np.testing.assert_allclose(metrics.average_precision[q], again.average_precision, rtol=1e-12)
    np.testing.assert_allclose(metrics.cmc, again.cmc, rtol=1e-12)


@pytest.fixture
def labels():
    """10 persons, 3 images each at camera 1, queried from camera 0."""
    return np.arange(10), np.repeat(np.arange(10), 3), np.zeros(10, int), np.ones(30, int)


@pytest.mark.parametrize("protocol", [MULTI, CLASSIC])
@pytest.mark.parametrize("ap", ["step", "trapezoid"])
def test_perfect_ranking(labels, protocol, ap):
    matrix = (labels[0][:, None] != labels[1]).astype(np.float32)
    metrics = evaluate_ranking(matrix, *labels, protocol=protocol, ap=ap)
    assert (metrics.mAP, metrics.mINP, *metrics.cmc) == pytest.approx((1,) * 6)


@pytest.mark.parametrize("matrix", ["reversed", "all equal"])
def test_reversed_ranking_and_equal_distances_score_worst(labels, matrix):
    same = (labels[0][:, None] == labels[1]).astype(np.float32)
    metrics = evaluate_ranking(same if matrix == "reversed" else same * 0, *labels, ranks=(27, 28))
    assert (metrics.first_match_rank == 28).all() and list(metrics.cmc) == [0, 1]
    assert metrics.mAP == pytest.approx((1 / 28 + 2 / 29 + 3 / 30) / 3)
    assert metrics.mINP == pytest.approx(3 / 30)
    assert evaluate_ranking(same, *labels, protocol=CLASSIC).mAP == pytest.approx(1 / 10)


def test_hand_made_lists():
    # Matches at ranks 1 and 3 of 4, after one ignored and one junk image that rank best.
    matrix = np.array([[0.1, 0.2, 1, 2, 3, 4]])
    labels = [7], [7, -1, 7, 5, 7, 5], [0], [0, 1, 1, 0, 2, 1]
    step = evaluate_ranking(matrix, *labels, ranks=(1,))
    assert step.mAP == pytest.approx((1 + 2 / 3) / 2)
    assert step.mINP == pytest.approx(2 / 3) and step.cmc_at(1) == 1
    trapezoid = evaluate_ranking(matrix, *labels, ap="trapezoid")
    assert trapezoid.mAP == pytest.approx(((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2) / 2)


def test_duplicates_of_an_impostor_each_push_the_match_back():
    labels = [1], [1, 2, 2, 2], [0], [1, 1, 1, 1]
    metrics = evaluate_ranking([[0.5, 0.5, 0.5, 0.4]], *labels)
    assert metrics.first_match_rank[0] == 4


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("protocol", [MULTI, CLASSIC])
def test_features_score_as_their_distances_in_blocks_of_any_size(metric, protocol, monkeypatch):
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(300, 8)), rng.normal(size=(70, 8))
    labels = rng.integers(0, 9, 300), rng.integers(-1, 9, 70), rng.integers(0, 3, 300), rng.integers(0, 3, 70)
    if metric == "euclidean":
        matrix = np.linalg.norm(query[:, None] - gallery, axis=2)
    else:
        unit = [features / np.linalg.norm(features, axis=1, keepdims=True) for features in (query, gallery)]
        matrix = 1 - unit[0] @ unit[1].T
    expected = evaluate_ranking(matrix, *labels, protocol=protocol)
    for size in (1, 70 * 8 * 7, 1 << 20):
        monkeypatch.setattr(distances, "BLOCK_BYTES", size)
        found = evaluate_features(query, gallery, *labels, metric=metric, protocol=protocol)
        np.testing.assert_allclose(found.average_precision, expected.average_precision)
        np.testing.assert_allclose(found.cmc, expected.cmc)


@pytest.mark.parametrize("dtype", [np.float16, np.int8])
def test_other_number_types(dtype):
    rng = np.random.default_rng(0)
    query, gallery = (rng.integers(-3, 4, (n, 5)).astype(dtype) for n in (20, 50))
    labels = rng.integers(0, 4, 20), rng.integers(0, 4, 50), rng.integers(0, 3, 20), rng.integers(0, 3, 50)
    expected = evaluate_features(query.astype(float), gallery.astype(float), *labels)
    assert evaluate_features(query, gallery, *labels).mAP == expected.mAP


def test_features_never_need_the_whole_matrix(monkeypatch):
    monkeypatch.setattr(distances, "BLOCK_BYTES", 1 << 18)
    rng = np.random.default_rng(0)
    query, gallery = rng.random((500, 4), np.float32), rng.random((20000, 4), np.float32)
    labels = rng.integers(0, 2500, 500), rng.integers(0, 2500, 20000), np.zeros(500, int), np.ones(20000, int)
    tracemalloc.start()
    evaluate_features(query, gallery, *labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500 * 20000 * 4 / 4


def test_average_of_splits_weighs_each_the_same(labels):
    good = evaluate_ranking((labels[0][:, None] != labels[1]).astype(float), *labels, protocol=CLASSIC)
    half = labels[0][:5], labels[1], labels[2][:5], labels[3]
    bad = evaluate_ranking((half[0][:, None] == half[1]).astype(float), *half, protocol=CLASSIC)
    mean = average_splits([good, bad])
    assert mean.mAP == pytest.approx((1 + 1 / 10) / 2)
    assert mean.queries == 15 and len(mean.average_precision) == 15
    assert list(mean.cmc) == pytest.approx([0.5, 0.5, 1, 1])
    with pytest.raises(ValueError, match="at least one"):
        average_splits([])
