import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reidprep.errors import ReidError
from reidtrain.metrics import distances
from reidtrain.metrics.distances import FeatureDistances, GivenDistances
from reidtrain.metrics.protocols import Labels
from reidtrain.metrics.ranking import evaluate_features, evaluate_ranking, score_distances
from reidtrain.metrics.reranking import KReciprocal, Reranking

torch = pytest.importorskip("torch")
from reidtrain.metrics.arrays import NUMPY, as_arrays
from reidtrain.metrics.torch_arrays import TORCH

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


@pytest.fixture
def people():
    """Query and gallery features that cluster by person, with duplicates, and their labels with junk."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 16))
    pids = rng.integers(-1, 12, 240)
    features = (centres[pids] + 0.8 * rng.normal(size=(240, 16))).astype(np.float32)
    features[50:60] = features[60:70]
    camids = rng.integers(0, 3, 240)
    return (features[:40], features[40:]), (pids[:40], pids[40:], camids[:40], camids[40:])


def on(device, features, metric):
    """Distances computed by PyTorch, on the CPU too, where tensors are otherwise taken as NumPy's arrays."""
    checked = FeatureDistances.checked(*features, metric)
    fields = (checked.query, checked.gallery, checked.query_squares, checked.gallery_squares)
    query, gallery, *squares = (torch.from_numpy(field).to(device) for field in fields)
    return FeatureDistances(query, gallery, metric, *squares)


def assert_same(found, expected):
    np.testing.assert_allclose(found.average_precision, expected.average_precision, rtol=1e-5)
    np.testing.assert_allclose(found.cmc, expected.cmc, rtol=1e-12)
    assert (found.queries, found.queries_without_match) == (expected.queries, expected.queries_without_match)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_tensors_score_as_arrays(people, device, metric):
    features, labels = people
    tensors = [torch.from_numpy(values).to(device) for values in (*features, *labels)]
    expected = evaluate_features(*features, *labels, metric=metric)
    assert_same(evaluate_features(*tensors, metric=metric), expected)
    matrix = FeatureDistances.checked(*features, metric).block(0, 40)
    assert_same(evaluate_ranking(torch.from_numpy(matrix).to(device), *tensors[2:]), expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("protocol", ["market1501", "cuhk03-classic"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("block", [1, 1 << 12, 1 << 20])
def test_computing_by_torch_scores_the_same(people, device, metric, protocol, block, monkeypatch):
    features, labels = people
    expected = evaluate_features(*features, *labels, metric=metric, protocol=protocol)
    monkeypatch.setattr(distances, "BLOCK_BYTES", block)
    checked = Labels.checked(*labels, 40, 200)
    assert_same(score_distances(on(device, features, metric), checked, "step", (1, 5, 10, 20), protocol), expected)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_reranking_by_torch(people, device, metric):
    features, _ = people
    expected = KReciprocal.encode(FeatureDistances.checked(*features, metric), Reranking()).block(0, 40)
    found = KReciprocal.encode(on(device, features, metric), Reranking()).block(0, 40)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_reranked_scores_of_tensors(people, device):
    features, labels = people
    expected = evaluate_features(*features, *labels, rerank=Reranking())
    tensors = [torch.from_numpy(values).to(device) for values in features]
    assert_same(evaluate_features(*tensors, *labels, rerank=Reranking()), expected)


@given(st.integers(0, 2**32), st.sampled_from([1, 3, 50]), st.sampled_from([np.float32, np.float64, np.int64]))
def test_operations_agree_on_ties(seed, values, dtype):
    rng = np.random.default_rng(seed)
    block = rng.integers(0, values, (4, 30)).astype(dtype)
    tensor = torch.from_numpy(block.copy())
    for count in (1, 7, 30):
        for found, expected in zip(TORCH.smallest(tensor, count), NUMPY.smallest(block, count), strict=True):
            np.testing.assert_array_equal(found, expected)
    rows = np.sort(rng.integers(0, 4, 9))
    limits = block[rows, rng.integers(0, 30, 9)]
    np.testing.assert_array_equal(TORCH.count_at_most(tensor, rows, limits), NUMPY.count_at_most(block, rows, limits))
    np.testing.assert_array_equal(TORCH.largest(tensor), NUMPY.largest(block))
    TORCH.set_diagonal(tensor, 5, -1)
    NUMPY.set_diagonal(block, 5, -1)
    np.testing.assert_array_equal(tensor.numpy(), block)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_distances_must_be_finite(value):
    matrix = torch.zeros(3, 4)
    matrix[1, 2] = value
    labels = Labels.checked([1, 2, 3], [1, 2, 3, 3], [0, 0, 0], [1, 1, 1, 1], 3, 4)
    with pytest.raises(ReidError, match=f"query 1 and gallery image 2 is {value}"):
        evaluate_ranking(matrix, [1, 2, 3], [1, 2, 3, 3], [0, 0, 0], [1, 1, 1, 1])
    with pytest.raises(ReidError, match=f"query 1 and gallery image 2 is {value}"):
        TORCH.require_finite(matrix)
    with pytest.raises(ReidError, match=f"query 1 and gallery image 2 is {value}"):
        score_distances(GivenDistances(matrix.numpy()), labels, "step", (1,), "cuhk03-classic")


def test_bfloat16_and_gradients(people):
    features, labels = people
    rounded = [torch.from_numpy(values).bfloat16() for values in features]
    expected = evaluate_features(*(values.float().numpy() for values in rounded), *labels)
    assert_same(evaluate_features(*(values.requires_grad_() for values in rounded), *labels), expected)


def test_arrays_of_two_devices():
    with pytest.raises(ReidError, match="query_features on meta, gallery_features on cpu: move all"):
        as_arrays(query_features=torch.zeros(2, 2, device="meta"), gallery_features=np.zeros((2, 2)))
