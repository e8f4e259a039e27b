import numpy as np
import pytest

from reidprep.errors import ReidError
from reidtrain.metrics.ranking import evaluate_features, evaluate_ranking
from reidtrain.metrics.reranking import Reranking

NAMES = ("query_features", "gallery_features", "query_pids", "gallery_pids", "query_camids", "gallery_camids")


@pytest.fixture
def good():
    rng = np.random.default_rng(0)
    return {
        "query_features": rng.random((4, 3), dtype=np.float32),
        "gallery_features": rng.random((6, 3), dtype=np.float32),
        "query_pids": np.array([1, 2, 3, 1]),
        "gallery_pids": np.array([1, 2, 3, 1, 2, 3]),
        "query_camids": np.array([0, 0, 0, 1]),
        "gallery_camids": np.array([1, 1, 1, 2, 2, 2]),
    }


def evaluate(arrays, **options):
    return evaluate_features(*(arrays[name] for name in NAMES), **options)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["query_features", "gallery_features"])
def test_features_must_be_finite(good, name, value, metric):
    good[name][2, 1] = value
    with pytest.raises(ReidError, match=f"{name} holds {value} in row 2, column 1"):
        evaluate(good, metric=metric)


def test_a_row_too_large_before_one_that_is_no_number(good):
    good["gallery_features"][1:3] = [[1e30], [np.nan]]
    with pytest.raises(ReidError, match="gallery_features, row 1: the values are too large"):
        evaluate(good)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("query_pids", [1, 2, 3], "query_pids has 3 entries for 4 images"),
        ("gallery_camids", [1] * 7, "gallery_camids has 7 entries for 6 images"),
        ("gallery_pids", np.zeros(6), "gallery_pids holds float64; it needs whole numbers"),
        ("query_camids", ["a"] * 4, "query_camids holds <U1"),
        ("query_pids", np.full(4, 2**64 - 1, np.uint64), "query_pids holds 18446744073709551615, which is larger"),
        ("query_pids", np.ones((4, 1), int), r"query_pids has shape \(4, 1\)"),
        ("query_features", np.zeros(4), r"query_features has shape \(4,\)"),
        ("gallery_features", np.zeros((0, 3)), r"gallery_features has shape \(0, 3\)"),
        ("gallery_features", np.zeros((6, 3), complex), "gallery_features holds complex128"),
        ("gallery_features", np.zeros((6, 2)), "3 dimensions, gallery_features 2: .* different models"),
        ("query_features", np.full((4, 3), 1e30, np.float32), "query_features, row 0: .* too large"),
    ],
)
def test_arrays_that_do_not_fit(good, name, value, message):
    with pytest.raises(ReidError, match=message):
        evaluate(good | {name: value})


def test_zero_features_have_no_cosine(good):
    good["gallery_features"][5] = 0
    evaluate(good)
    with pytest.raises(ReidError, match="gallery_features, row 5 is all zeros"):
        evaluate(good, metric="cosine")


@pytest.mark.parametrize("protocol", ["market1501", "cuhk03-np", "cuhk03-classic", "cuhk03-classic-any-camera"])
def test_one_camera_only(good, protocol):
    arrays = good | {"query_camids": np.full(4, 3), "gallery_camids": np.full(6, 3)}
    with pytest.raises(ReidError) as error:
        evaluate(arrays, protocol=protocol)
    message = str(error.value)
    assert "the 3 persons in both (1, 2, 3) appear at the same camera only" in message
    assert "gallery pids 1, 2, 3 at cameras 3" in message


def test_no_person_in_common(good):
    with pytest.raises(ReidError) as error:
        evaluate(good | {"gallery_pids": np.arange(10, 70, 10)})
    assert "query and gallery have no person in common" in str(error.value)
    assert "Query pids 1, 2, 3 at cameras 0, 1" in str(error.value)
    assert "gallery pids 10, 20, 30, 40, 50, 60 at cameras 1, 2" in str(error.value)


def test_junk_matches_nothing(good):
    with pytest.raises(ReidError, match="no person in common"):
        evaluate(good | {"query_pids": np.full(4, -1), "gallery_pids": np.array([-1] * 5 + [1])})


def test_long_lists_of_ids_are_shortened(good):
    arrays = {name: np.repeat(good[name], 10, axis=0) for name in NAMES}
    arrays["gallery_pids"] = np.arange(100, 160)
    with pytest.raises(ReidError, match=r"gallery pids 100, 101, .*107, \.\.\. \(60 in all\)"):
        evaluate(arrays)


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        ([[0, 1], [np.nan, 1]], "query 1 and gallery image 0 is nan"),
        ([[0, 1], [1, np.inf]], "query 1 and gallery image 1 is inf"),
        ([0, 1], r"distances have shape \(2,\)"),
        (np.zeros((0, 2)), r"distances have shape \(0, 2\)"),
        ([["a", "b"], ["c", "d"]], "distances hold <U1"),
        (np.zeros((2, 3)), "gallery_pids has 2 entries for 3 images"),
    ],
)
def test_distances(distances, message):
    with pytest.raises(ReidError, match=message):
        evaluate_ranking(distances, [1, 2], [1, 2], [0, 0], [1, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "duke"}, "protocol is 'duke'; it is one of market1501"),
        ({"ap": "area"}, "ap is 'area'; it is one of step, trapezoid"),
        ({"metric": "l1"}, "metric is 'l1'; it is one of euclidean, cosine"),
        ({"ranks": (0, 1)}, r"ranks are \(0, 1\)"),
        ({"ranks": ()}, r"ranks are \(\)"),
        ({"protocol": "cuhk03-classic", "rerank": Reranking()}, "protocol cuhk03-classic draws the gallery"),
    ],
)
def test_options(good, options, message):
    with pytest.raises(ReidError, match=message):
        evaluate(good, **options)


def test_a_gallery_of_junk_names_pids_and_cameras(good) -> None:
    good["gallery_pids"][:] = -1
    with pytest.raises(
        ReidError, match=r"all of 6 gallery images are of no person .*Query pids 1, 2, 3 at cameras 0, 1; "
    ):
        evaluate(good)
