"""Models of MMPose, exported: the ONNX estimator gives their joints."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from reidprep.datasets.registry import open_dataset
from reidprep.estimators.onnx import OnnxFile

for package, remedy in (("mmpose", "MMPose: make setup-mmpose"), ("onnxscript", "onnxscript: the extra export")):
    if importlib.util.find_spec(package) is None:  # to import it takes seconds, and every process collects the tests
        pytest.skip(f"needs {remedy}", allow_module_level=True)
torch = pytest.importorskip("torch")

from reidprep.estimators.mmpose import MMPose
from reidprep.estimators.openmmlab import import_openmmlab

WIDTH, HEIGHT = 64, 128
HEADS = {
    "heat map": {
        "type": "HeatmapHead", "in_channels": 64, "out_channels": 17, "deconv_out_channels": [16, 16],
        "deconv_kernel_sizes": [4, 4],
        "decoder": {"type": "MSRAHeatmap", "input_size": [WIDTH, HEIGHT], "heatmap_size": [8, 16], "sigma": 2},
    },
    "SimCC": {
        "type": "SimCCHead", "in_channels": 64, "out_channels": 17, "input_size": [WIDTH, HEIGHT],
        "in_featuremap_size": [2, 4], "simcc_split_ratio": 3.0, "deconv_out_channels": None,
        "decoder": {"type": "SimCCLabel", "input_size": [WIDTH, HEIGHT], "sigma": 6.0, "simcc_split_ratio": 3.0},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def export() -> Callable[[Path, Path, Path], None]:
    """The script's function."""
    file = Path(__file__).parents[3] / "scripts" / "mmpose_to_onnx.py"
    spec = importlib.util.spec_from_file_location("mmpose_to_onnx", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda config, checkpoint, out: module.main(str(config), str(checkpoint), str(out))


@pytest.fixture(scope="module")
def people(drawn: Path) -> list[np.ndarray]:
    """Drawn people, some of other sizes."""
    dataset = open_dataset(drawn)
    drawn_people = [dataset.images.read(record.path) for record in dataset.records[:9]]
    return [*drawn_people, cv2.resize(drawn_people[0], (200, 150)), cv2.resize(drawn_people[1], (33, 301))]


def write_model(kind: str, folder: Path, *, bgr_to_rgb: bool) -> tuple[Path, Path]:
    """Config and checkpoint of a tiny model of random weights, with values of its own everywhere."""
    import_openmmlab("mmpose", "apis", "datasets", "models")
    from mmpose.apis import init_model

    pipeline = [
        {"type": "LoadImage"},
        {"type": "GetBBoxCenterScale", "padding": 1.3},
        {"type": "TopdownAffine", "input_size": [WIDTH, HEIGHT]},
        {"type": "PackPoseInputs"},
    ]
    coco = {"from_file": "configs/_base_/datasets/coco.py"}
    data = {"dataset": {"type": "CocoDataset", "metainfo": coco, "pipeline": pipeline}}
    normalise = {"mean": [90.0, 100.0, 110.0], "std": [50.0, 60.0, 70.0], "bgr_to_rgb": bgr_to_rgb}
    config = {
        "default_scope": "mmpose",
        "model": {
            "type": "TopdownPoseEstimator",
            "data_preprocessor": {"type": "PoseDataPreprocessor", **normalise},
            "backbone": {"type": "ResNet", "depth": 18, "stem_channels": 8, "base_channels": 8},
            "head": HEADS[kind],
        },
        "train_dataloader": data,
        "test_dataloader": data,
    }
    file, checkpoint = folder / "tiny.json", folder / "tiny.pth"
    file.write_text(json.dumps(config))
    torch.manual_seed(3)
    model = init_model(str(file), None, device="cpu")
    for weight in model.parameters():
        if weight.ndim > 1:  # large enough for the image to matter
            torch.nn.init.kaiming_normal_(weight)
    torch.save({"state_dict": model.state_dict()}, checkpoint)
    return file, checkpoint


@pytest.mark.parametrize(("kind", "bgr_to_rgb"), [("heat map", True), ("SimCC", False)])
def test_every_kind_of_head(kind: str, bgr_to_rgb: bool, export, people: list[np.ndarray], tmp_path: Path) -> None:
    config, checkpoint = write_model(kind, tmp_path, bgr_to_rgb=bgr_to_rgb)
    export(config, checkpoint, tmp_path / "tiny.onnx")
    estimator = OnnxFile(tmp_path / "tiny.onnx", device="cpu", batch_size=3)
    assert estimator.options == {
        "input_size": [HEIGHT, WIDTH], "mean": [90, 100, 110], "std": [50, 60, 70],
        "color": "rgb" if bgr_to_rgb else "bgr", "padding": 1.3,
    }  # fmt: skip
    got, expected = estimator(people), MMPose(config=config, checkpoint=checkpoint, device="cpu")(people)
    assert np.ptp(got[:9, :, :2] / [64, 128], axis=0).max() > 0.01  # the images matter
    distance = np.abs(got - expected)
    # Sums of another order may turn the order of two equal cells.
    assert (distance[..., :2].max(axis=2) > 0.01).mean() < 0.02
    found = expected[..., 2] > 0
    np.testing.assert_allclose(got[found, 2], expected[found, 2], rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def rtmpose(models: Path, export, tmp_path_factory: pytest.TempPathFactory) -> tuple[OnnxFile, MMPose]:
    config = models / "rtmpose-t_market1501_192x96.py"
    file = tmp_path_factory.mktemp("onnx") / "rtmpose-t.onnx"
    export(config, config.with_suffix(".pth"), file)
    mmpose = MMPose(config=config, checkpoint=config.with_suffix(".pth"), device="cpu")
    return OnnxFile(file, device="cpu"), mmpose


@pytest.mark.parametrize("count", [30, pytest.param(500, marks=pytest.mark.slow)])
def test_rtmpose_on_real_images(count: int, market1501: Path, rtmpose: tuple[OnnxFile, MMPose]) -> None:
    dataset = open_dataset(market1501)
    chosen = np.random.default_rng(1).choice(len(dataset.records), count, replace=False)
    images = [dataset.images.read(dataset.records[i].path) for i in chosen]
    onnx, mmpose = rtmpose
    difference = np.abs(onnx(images) - mmpose(images))
    assert (difference[..., :2].max(axis=2) > 0.01).mean() < 1e-3
    assert difference[..., 2].max() < 1e-4
    assert (onnx.score_scale != "") and onnx.confidence == mmpose.confidence


def test_an_image_has_the_same_joints_in_every_batch(
    rtmpose: tuple[OnnxFile, MMPose], people: list[np.ndarray]
) -> None:
    onnx, _ = rtmpose
    alone = np.concatenate([onnx([image]) for image in people])
    np.testing.assert_array_equal(onnx(people), alone)
    np.testing.assert_array_equal(onnx(people[::-1]), alone[::-1])


def test_the_exported_graph_leaves_the_batch_size_free(rtmpose: tuple[OnnxFile, MMPose]) -> None:
    onnx, _ = rtmpose
    session = onnxruntime.InferenceSession(onnx.file)
    assert isinstance(session.get_inputs()[0].shape[0], str)
