from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.estimators.base import PoseEstimator
from reidprep.estimators.movenet import SQUARE_SCALE, MoveNet, decode_heads, letterbox, merge
from reidprep.estimators.registry import create_estimator
from reidprep.skeleton import MIRROR, from_coco17


def published_joints(graph: onnxruntime.InferenceSession, image: np.ndarray) -> np.ndarray:
    """What the published single-image graph says, in source pixels."""
    y, x, score = graph.run(None, {"input:0": letterbox(image)[None].astype(np.int32)})[0][0, 0].T
    height, width = image.shape[:2]
    side = SQUARE_SCALE * max(height, width)
    coco = np.stack([x * side + (width - side) / 2, y * side + (height - side) / 2, score], axis=-1)
    return from_coco17(coco[None])[0]


@pytest.mark.parametrize("count", [30, pytest.param(500, marks=pytest.mark.slow)])
def test_equals_the_published_graph_on_real_images(
    count: int, market1501: Path, models: Path, estimator: PoseEstimator
) -> None:
    dataset = open_dataset(market1501)
    chosen = np.random.default_rng(0).choice(len(dataset.records), count, replace=False)
    images = [dataset.images.read(dataset.records[i].path) for i in chosen]
    graph = onnxruntime.InferenceSession(models / "movenet-thunder.onnx")
    expected = np.stack([published_joints(graph, image) for image in images])
    got = np.concatenate([estimator(images[i : i + 50]) for i in range(0, count, 50)])
    assert np.abs(got - expected)[..., :2].max() < 0.1
    assert np.abs(got - expected)[..., 2].max() < 1e-4


def test_a_batch_gives_each_image_what_it_gets_alone(drawn: Path, estimator: PoseEstimator) -> None:
    dataset = open_dataset(drawn)
    images = [dataset.images.read(record.path) for record in dataset.records[:7]]
    images.append(np.kron(images[0], np.ones((3, 2, 1), np.uint8)))  # of another size
    np.testing.assert_array_equal(estimator(images), np.concatenate([estimator([image]) for image in images]))


def test_joints_scale_with_the_image(drawn: Path, estimator: PoseEstimator) -> None:
    dataset = open_dataset(drawn)
    small = dataset.images.read(dataset.records[0].path)
    large = cv2.resize(small, None, fx=8, fy=8, interpolation=cv2.INTER_LINEAR)
    one, eight = estimator([small])[0], estimator([large])[0]
    sure = (one[:, 2] > 0.4) & (eight[:, 2] > 0.4)
    assert sure.sum() >= 8
    assert np.median(np.abs(eight[sure, :2] / 8 - one[sure, :2])) < 2


def test_joints_seen_twice_are_averaged_where_both_agree_and_the_surer_where_not() -> None:
    one = np.array([[[10, 20, 0.5], [10, 20, 0.5], [10, 20, 0.2]]], np.float32)
    other = np.array([[[14, 20, 0.3], [40, 20, 0.3], [40, 20, 0.3]]], np.float32)
    expected = [[12, 20, 0.4], [10, 20, 0.5], [40, 20, 0.3]]
    np.testing.assert_allclose(merge(one, other, np.array([[64, 128]], np.float32))[0], expected)


def test_with_the_flip_test_a_mirrored_image_has_mirrored_joints(drawn: Path, estimator: PoseEstimator) -> None:
    dataset = open_dataset(drawn)
    image = dataset.images.read(dataset.records[0].path)
    flipped = create_estimator("movenet", device="cpu", flip_test=True)
    assert flipped.options == {"flip_test": True} and estimator.options == {}
    one, other = flipped([image])[0], flipped([image[:, ::-1]])[0][MIRROR]
    np.testing.assert_allclose(other, one * (-1, 1, 1) + (image.shape[1], 0, 0), atol=1e-3)
    assert not np.array_equal(one, estimator([image])[0])


def test_no_images_no_joints(estimator: PoseEstimator) -> None:
    assert estimator([]).shape == (0, 18, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (3000, 20), (128, 64)])
def test_any_image_size(size: tuple[int, int], estimator: PoseEstimator) -> None:
    joints = estimator([np.full((*size, 3), 128, np.uint8)])
    assert joints.shape == (1, 18, 3) and np.isfinite(joints).all()


def test_unknown_names_and_missing_devices() -> None:
    with pytest.raises(ReidError, match="unknown estimator 'openpose'"):
        create_estimator("openpose")
    with pytest.raises(ReidError, match="unknown device 'tpu'"):
        create_estimator(device="tpu")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(ReidError, match="pip install onnxruntime-gpu"):
            create_estimator(device="cuda")


def decode_oracle(center: np.ndarray, regression: np.ndarray, heatmap: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The decode for one image, cell by cell."""
    cells = [(y, x) for y in range(64) for x in range(64)]
    py, px = max(cells, key=lambda cell: center[cell[0], cell[1], 0])
    result = []
    for joint in range(17):
        ey = regression[2 * joint, py, px] + py
        ex = regression[2 * joint + 1, py, px] + px
        y, x = max(cells, key=lambda c: heatmap[joint, c[0], c[1]] / (np.hypot(c[0] - ey, c[1] - ex) + 1.7998047))
        result.append(((x + offset[2 * joint + 1, y, x]) * 4, (y + offset[2 * joint, y, x]) * 4, heatmap[joint, y, x]))
    return np.array(result)


def test_decode_equals_the_loop() -> None:
    rng = np.random.default_rng(3)
    center = rng.random((2, 64, 64, 1), dtype=np.float32)
    regression = rng.normal(0, 10, (2, 34, 64, 64)).astype(np.float32)
    heatmap = rng.random((2, 17, 64, 64), dtype=np.float32)
    offset = rng.normal(0, 1, (2, 34, 64, 64)).astype(np.float32)
    got = decode_heads(center, regression, heatmap, offset)
    for i in range(2):
        expected = decode_oracle(center[i], regression[i], heatmap[i], offset[i])
        np.testing.assert_allclose(got[i], expected, rtol=1e-4, atol=1e-3)


def test_the_hash_is_that_of_the_weights_file() -> None:
    import hashlib

    import reidprep

    weights = Path(reidprep.__file__).parent / "estimators" / "movenet_thunder.onnx"
    assert MoveNet(device="cpu").weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
