"""Agreement with torchreid's compiled ranker, where its wheel is at hand."""

import importlib.util
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from reidtrain.metrics.ranking import evaluate_ranking


@pytest.fixture(scope="module")
def evaluate_cy(tmp_path_factory):
    wheel = os.environ.get("REID_TORCHREID_WHEEL")
    if not wheel:
        pytest.skip("needs torchreid's ranker: set REID_TORCHREID_WHEEL to the wheel of pyppbox-torchreid 1.4.1.0")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if "/rank_cy." in name]
        path = archive.extract(member, tmp_path_factory.mktemp("torchreid"))
    spec = importlib.util.spec_from_file_location("rank_cy", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.evaluate_cy


@pytest.mark.parametrize("clustered", [False, True])
def test_same_numbers(evaluate_cy, clustered):
    rng = np.random.default_rng(4)
    query_pids, gallery_pids = rng.integers(1, 90, 300), rng.integers(0, 100, 2000)
    query_camids, gallery_camids = rng.integers(0, 6, 300), rng.integers(0, 6, 2000)
    values = rng.random((300, 2000)) - 0.4 * clustered * (query_pids[:, None] == gallery_pids)
    # Whole numbers, all different: equal distances would be ordered by chance there.
    distances = values.ravel().argsort().argsort().reshape(values.shape).astype(np.float32)
    labels = query_pids, gallery_pids, query_camids, gallery_camids
    cmc, mean_ap = evaluate_cy(distances, *labels, 20)
    metrics = evaluate_ranking(distances, *labels, ranks=range(1, 21))
    np.testing.assert_allclose(metrics.cmc, cmc, atol=1e-6)
    assert metrics.mAP == pytest.approx(mean_ap, abs=1e-6)


def test_same_numbers_for_real_images(evaluate_cy, market1501):
    """Thumbnails as features: a poor model's distances, of real people."""

    def load(split, step):
        paths = [path for path in sorted((market1501 / split).glob("*.jpg")) if not path.name.startswith("-1")][::step]
        thumbnails = [np.asarray(Image.open(path).resize((8, 16)), np.float32).ravel() for path in paths]
        labels = [(int(path.name[:4]), int(path.name[6])) for path in paths]
        return np.stack(thumbnails), *np.array(labels).T

    query, query_pids, query_camids = load("query", 40)
    gallery, gallery_pids, gallery_camids = load("bounding_box_test", 30)
    distances = np.linalg.norm(query[:, None] - gallery, axis=2)
    labels = query_pids, gallery_pids, query_camids, gallery_camids
    cmc, mean_ap = evaluate_cy(distances, *labels, 20)
    metrics = evaluate_ranking(distances, *labels, ranks=range(1, 21))
    np.testing.assert_allclose(metrics.cmc, cmc, atol=1e-6)
    assert metrics.mAP == pytest.approx(mean_ap, abs=1e-6) and 0.01 < metrics.mAP < 0.5
