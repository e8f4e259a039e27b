import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reidprep.errors import ReidError
from reidtrain.metrics.ranking import evaluate_features
from reidtrain.retrieval import exact
from reidtrain.retrieval.exact import search
from reidtrain.retrieval.gallery import Gallery


def distances(query, gallery, metric):
    query, gallery = query.astype(np.float64), gallery.astype(np.float64)
    if metric == "euclidean":
        return np.linalg.norm(query[:, None] - gallery, axis=2)
    query, gallery = (array / np.linalg.norm(array, axis=1, keepdims=True) for array in (query, gallery))
    return 1 - query @ gallery.T


@pytest.mark.parametrize("block", [1, 1 << 10, 1 << 26])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_equals_sorting_all_distances(dtype, metric, block, monkeypatch):
    monkeypatch.setattr(exact, "BLOCK_BYTES", block)
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(9, 12)).astype(dtype), rng.normal(size=(200, 12)).astype(dtype)
    found = search(query, [gallery[:70], gallery[70:71], gallery[71:]], top=15, metric=metric)
    expected = distances(query, gallery, metric)
    order = np.argsort(expected, axis=1)[:, :15]
    np.testing.assert_array_equal(found.indices, order)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(found.distances, np.take_along_axis(expected, order, axis=1), atol=tolerance)
    assert found.distances.dtype == (np.float64 if dtype == np.float64 else np.float32)


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32), values=st.sampled_from([1, 2, 3]), top=st.integers(1, 40), part=st.integers(1, 30))
def test_the_lower_index_goes_first_among_equals(seed, values, top, part):
    # Small whole numbers have exact distances, many of them equal.
    rng = np.random.default_rng(seed)
    query, gallery = rng.integers(0, values, (3, 3)), rng.integers(0, values, (30, 3))
    found = search(query, [gallery[first : first + part] for first in range(0, 30, part)], top=top)
    order = np.argsort(distances(query, gallery, "euclidean"), axis=1, kind="stable")
    np.testing.assert_array_equal(found.indices, order[:, :top])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_copies_of_an_image_are_at_distance_zero_in_order(metric):
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(5000, 64)).astype(np.float32)
    gallery[[40, 700, 4999]] = gallery[3]
    found = search(gallery[3:4], [gallery], top=5, metric=metric)
    assert found.indices[0, :4].tolist() == [3, 40, 700, 4999]
    assert (found.distances[0, :4] == 0).all() and found.distances[0, 4] > 0


def test_single_images_of_several_parts():
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(30, 4))
    gallery = Gallery.of([whole[:10], whole[10:11], whole[11:]])
    indices = np.array([29, 0, 10, 11, 9, 0])
    np.testing.assert_array_equal(gallery.take(indices), whole[indices])
    assert (len(gallery), gallery.dimension) == (30, 4)


def test_progress_reaches_the_whole_gallery(monkeypatch):
    monkeypatch.setattr(exact, "BLOCK_BYTES", 4 * 3 * 7)
    seen = []
    search(np.ones((2, 3)), [np.ones((20, 3)), np.ones((5, 3))], progress=lambda *values: seen.append(values))
    assert seen == [(7, 25), (14, 25), (20, 25), (25, 25)]


@pytest.mark.parametrize("dtype", ["<f8", ">f8"])
def test_double_precision_of_either_byte_order(dtype):
    people = np.random.default_rng(0).normal(size=(50, 8))
    gallery, numbers = np.concatenate([people, people + 1e-6]).astype(dtype), np.arange(100)
    query = (people + 1e-7).astype(dtype)
    found = search(query, [gallery], top=1)
    assert found.distances.dtype == np.float64 and found.indices[:, 0].tolist() == numbers[:50].tolist()
    metrics = evaluate_features(query, gallery, numbers[:50], numbers, numbers[:50] * 0, numbers * 0 + 1)
    assert metrics.mAP == 1


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_features_that_differ_by_a_thousandth_are_not_lost_in_rounding(metric):
    """Their distances are differences of numbers a million times as large."""
    people, noise = np.random.default_rng(0).normal(size=(2, 200, 64))
    gallery, query = ((1 + 1e-3 * values).astype(np.float32) for values in (people, people + noise))
    found, exact_ones = (search(query.astype(kind), [gallery], top=10) for kind in (np.float32, np.float64))
    np.testing.assert_array_equal(found.indices, exact_ones.indices)
    labels = np.arange(200), np.arange(200), np.zeros(200, int), np.ones(200, int)
    scores = [evaluate_features(query.astype(kind), gallery, *labels, metric=metric).mAP for kind in (float, "f4")]
    assert scores[0] == scores[1]


def test_tensors():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(5, 8)).astype(np.float32), rng.normal(size=(90, 8)).astype(np.float32)
    expected = search(query, [gallery], top=7)
    places = [torch.device("cpu")] + [torch.device("cuda")] * torch.cuda.is_available()
    for place in places:
        tensor = torch.from_numpy(query).to(place)
        for parts in ([gallery], [torch.from_numpy(gallery[:50]).to(place), gallery[50:]]):
            np.testing.assert_array_equal(search(tensor, parts, top=7).indices, expected.indices)


@pytest.mark.parametrize(
    ("query", "gallery", "options", "message"),
    [
        (np.ones(3), [np.ones((4, 3))], {}, r"query_features has shape \(3,\)"),
        (np.ones((2, 3)), [np.ones(3)], {}, r"gallery_features has shape \(3,\)"),
        (np.ones((2, 3)), [np.ones((0, 3))], {}, r"gallery_features has shape \(0, 3\)"),
        (np.ones((2, 3)), [], {}, "parts of the gallery are none"),
        (np.ones((2, 3)), [np.ones((4, 3)), np.ones((4, 2))], {}, "have 3, 2 dimensions; they need features of one"),
        (np.ones((2, 3)), [np.ones((4, 2))], {}, "3 dimensions, gallery_features 2: .* different models"),
        (np.array([[1, np.nan]]), [np.ones((4, 2))], {}, "query_features holds nan in row 0, column 1"),
        (np.ones((2, 3)), [np.array([["a"]])], {}, "gallery_features holds <U1"),
        (np.ones((2, 3)), [np.ones((4, 3))], {"top": 0}, "top is 0"),
        (np.ones((2, 3)), [np.ones((4, 3))], {"metric": "l1"}, "metric is 'l1'; it is one of euclidean, cosine"),
        (np.ones((2, 3)), [np.ones((4, 3)), np.zeros((4, 3))], {"metric": "cosine"}, "row 4 is all zeros"),
    ],
)
def test_bad_input(query, gallery, options, message):
    with pytest.raises(ReidError, match=message):
        search(query, gallery, **options)


def test_bad_numbers_are_named_by_their_place_in_the_whole_gallery(monkeypatch):
    monkeypatch.setattr(exact, "BLOCK_BYTES", 4 * 3 * 7)
    gallery = np.ones((40, 3), np.float32)
    gallery[33, 2] = np.inf
    with pytest.raises(ReidError, match="gallery_features holds inf in row 33, column 2"):
        search(np.ones((2, 3)), [gallery[:20], gallery[20:]])
