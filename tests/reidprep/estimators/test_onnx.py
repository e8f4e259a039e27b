import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from reidprep.errors import ReidError
from reidprep.estimators.base import ChecksJoints
from reidprep.estimators.onnx import OnnxFile
from reidprep.estimators.registry import create_estimator
from reidprep.skeleton import INDEX

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# Where a colour is strongest, (x, y) in an image 48 wide and 64 high.
SPOTS = {0: (10, 20), 1: (40, 7), 2: (23, 55)}
# COCO joint -> colour: nose red, left eye green, right eye blue, ..., left wrist (9) red.
COLOURS = {"nose": 0, "l_eye": 1, "r_eye": 2, "l_wrist": 0}


def spotted(height: int = 64, width: int = 48) -> np.ndarray:
    image = np.full((height, width, 3), 20, np.uint8)
    for colour, (x, y) in SPOTS.items():
        image[y, x, colour] = 200
    return image


def normalised(value: float, channel: int) -> float:
    return (value - MEAN[channel]) / STD[channel]


# With padding 1.25 an image 48 x 64 exactly fills 60 x 80 at scale 1, and 120 x 160 at scale 2.
@pytest.mark.parametrize("size", [(80, 60), (160, 120)])
@pytest.mark.parametrize("kind", ["simcc", "heat maps"])
def test_finds_the_spots_at_their_pixels(make_graph, kind: str, size: tuple[int, int]) -> None:
    estimator = OnnxFile(make_graph(kind, shape=("n", 3, *size)), device="cpu")
    image = spotted()
    joints = estimator([image], ["a.jpg"])[0]
    # A heat map cell is four pixels of the input; the quarter step towards a neighbour adds one.
    tolerance = 0 if kind == "simcc" else 4 * 80 / size[0]
    for name, colour in COLOURS.items():
        x, y, score = joints[INDEX[name]]
        assert abs(x - SPOTS[colour][0]) <= tolerance and abs(y - SPOTS[colour][1]) <= tolerance
        assert score == pytest.approx(normalised(200, colour), abs=1e-4)
    shoulders = joints[[INDEX["l_shoulder"], INDEX["r_shoulder"]]]
    np.testing.assert_allclose(joints[INDEX["neck"], :2], shoulders[:, :2].mean(axis=0))


@pytest.mark.parametrize(("joints", "nose", "neck", "l_ankle"), [(18, 0, 1, 13), (26, 0, 18, 15), (133, 0, None, 15)])
def test_the_number_of_joints_decides_the_skeleton(make_graph, joints: int, nose: int, neck: int, l_ankle: int) -> None:
    got = OnnxFile(make_graph(joints=joints), device="cpu")([spotted()])[0]
    assert got[INDEX["nose"], :2].tolist() == list(SPOTS[nose % 3])
    assert got[INDEX["l_ankle"], :2].tolist() == list(SPOTS[l_ankle % 3])
    if neck is not None:
        assert got[INDEX["neck"], :2].tolist() == list(SPOTS[neck % 3])


def test_joints_in_another_order_than_their_number_tells_are_refused(make_graph) -> None:
    estimator = OnnxFile(make_graph(joints=18), device="cpu")
    assert isinstance(estimator, ChecksJoints)
    joints, sizes = estimator([spotted()] * 8), np.full((8, 2), (48, 64), np.int32)
    with pytest.raises(ReidError, match=r"simcc\.onnx: in most images eyes and ears are far from the nose"):
        estimator.check_joints(joints, sizes, estimator.confidence)
    estimator.check_joints(joints[:7], sizes[:7], estimator.confidence)  # too few to tell


def test_colour_order_mean_and_std_from_options(make_graph) -> None:
    estimator = OnnxFile(make_graph(), device="cpu", color="bgr", mean=(1, 2, 3), std=(4, 5, 6), padding=1.25)
    joints = estimator([spotted()])[0]
    # The network's first channel is now blue.
    assert joints[INDEX["nose"], :2].tolist() == list(SPOTS[2])
    assert joints[INDEX["nose"], 2] == pytest.approx((200 - 1) / 4)
    assert estimator.options == {
        "input_size": [80, 60], "mean": [1, 2, 3], "std": [4, 5, 6], "color": "bgr", "padding": 1.25,
    }  # fmt: skip


@pytest.mark.parametrize("numbers", ["[1, 2, 3]", "1,2,3", " 1.0, 2,3e0 "])
def test_metadata_counts_but_for_options(make_graph, numbers: str) -> None:
    metadata = {"mean": numbers, "color": "bgr", "padding": "1.0", "input_size": "80x60", "author": "{"}
    estimator = OnnxFile(make_graph(shape=("n", 3, "h", "w"), metadata=metadata), device="cpu", padding=1.25)
    assert estimator.options == {
        "input_size": [80, 60], "mean": [1, 2, 3], "std": list(STD), "color": "bgr", "padding": 1.25,
    }  # fmt: skip
    assert estimator([spotted()])[0, INDEX["nose"], :2].tolist() == list(SPOTS[2])


@pytest.mark.parametrize("shape", [("n", 3, "h", "w"), (None, 3, None, None), ("n", None, "side", "side")])
def test_an_open_input_size_must_be_given(make_graph, shape: tuple) -> None:
    weights = np.zeros((17, 3, 1, 1), np.float32)
    weights[np.arange(17), np.arange(17) % 3] = 1
    file = make_graph(shape=shape, weights=weights)
    with pytest.raises(ReidError, match="--onnx-input-size"):
        OnnxFile(file, device="cpu")
    size = (80, 80) if "side" in shape else (80, 60)
    estimator = OnnxFile(file, device="cpu", input_size=size, batch_size=3)
    assert estimator([spotted()] * 4)[3, INDEX["l_wrist"], :2].tolist() == list(SPOTS[0])


@pytest.mark.parametrize("fixed", [1, 3])
def test_a_fixed_batch_size_is_used(make_graph, fixed: int) -> None:
    file = make_graph(shape=(fixed, 3, 80, 60))
    estimator = OnnxFile(file, device="cpu")
    assert estimator.batch_size == fixed
    images = [spotted(), np.zeros((30, 90, 3), np.uint8)] * 2
    single = np.concatenate([estimator([image]) for image in images])
    np.testing.assert_array_equal(estimator(images), single)
    with pytest.raises(ReidError, match=f"takes {fixed} images? at a time; leave out --batch-size"):
        OnnxFile(file, device="cpu", batch_size=fixed + 1)


def test_same_joints_whatever_else_is_in_the_batch_and_from_threads(make_graph) -> None:
    rng = np.random.default_rng(0)
    file = make_graph("heat maps", weights=rng.normal(0, 1, (17, 3, 7, 7)))
    estimator = OnnxFile(file, device="cpu", batch_size=4)
    images = [rng.integers(0, 256, (*rng.integers(9, 90, 2), 3), np.uint8) for _ in range(22)]
    alone = np.concatenate([estimator([image]) for image in images])
    np.testing.assert_array_equal(estimator(images), alone)
    np.testing.assert_array_equal(estimator(images[::-1]), alone[::-1])
    with ThreadPoolExecutor(4) as threads:
        for got in threads.map(lambda _: estimator(images), range(8)):
            np.testing.assert_array_equal(got, alone)


def test_attributes(make_graph) -> None:
    file = make_graph()
    simcc = create_estimator("onnx", onnx=file, device="cpu")
    assert simcc.weights_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (simcc.name, simcc.device) == ("onnx", "cpu")
    assert "SimCC" in simcc.score_scale and simcc.confidence == 0.4
    heat = create_estimator("onnx", onnx=make_graph("heat maps"), device="cpu")
    assert "heat map" in heat.score_scale and heat.confidence == 0.3
    assert simcc([], []).shape == (0, 18, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (3000, 20)])
def test_any_image_size(make_graph, size: tuple[int, int]) -> None:
    joints = OnnxFile(make_graph(), device="cpu")([np.full((*size, 3), 128, np.uint8)])
    assert joints.shape == (1, 18, 3) and np.isfinite(joints).all()


def test_outputs_of_other_names(make_graph) -> None:
    file = make_graph(outputs=("first", "second"))
    assert OnnxFile(file, device="cpu")([spotted()])[0, 0, :2].tolist() == list(SPOTS[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is not a usable ONNX file"), (b"hello world", "is not a usable ONNX file"), (None, "cannot be read")],
)
def test_not_an_onnx_file(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "weights.onnx"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ReidError, match=rf"weights\.onnx: {message}"):
        OnnxFile(file, device="cpu")


def test_a_damaged_file_is_an_error_or_no_harm(make_graph) -> None:
    file = make_graph()
    content = file.read_bytes()
    refused = 0
    for cut in range(1, len(content), 37):
        file.write_bytes(content[:cut])
        try:
            OnnxFile(file, device="cpu")
        except ReidError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": ("n", 4, 80, 60), "weights": np.zeros((17, 4, 1, 1))}, "takes images of 4 channels"),
        ({"joints": 21}, "a skeleton of 21 joints; known: 17 .COCO., 18"),
        ({"kind": "heat maps", "joints": 16}, "a skeleton of 16 joints"),
        ({"metadata": {"mean": "1,2"}}, r"mean in its metadata is \[1, 2\]; expected 3 finite numbers"),
        ({"metadata": {"std": "[0, 1, 1]"}}, "std in its metadata is .* above 0"),
        ({"metadata": {"mean": '["1", 2, 3]'}}, "mean in its metadata"),
        ({"metadata": {"mean": "[" * 100_000}}, "mean in its metadata"),
        ({"metadata": {"std": "[NaN, 1, 1]"}}, "std in its metadata"),
        ({"metadata": {"color": "rbg"}}, "color in its metadata is 'rbg'; expected rgb or bgr"),
        ({"metadata": {"padding": "1e999"}}, "padding in its metadata"),
        ({"metadata": {"input_size": "81x60"}}, "the input is 80 high and 60 wide, 81x60 is not possible"),
        ({"metadata": {"input_size": "-1,60"}}, "is not possible|input_size in its metadata"),
        ({"shape": ("n", 3, "h", "w"), "metadata": {"input_size": "999999x60"}}, "at most 4096"),
    ],
)
def test_other_networks_and_metadata_are_refused(make_graph, changes: dict, message: str) -> None:
    file = make_graph(**changes)
    with pytest.raises(ReidError, match=message):
        OnnxFile(file, device="cpu")


def test_outputs_that_are_no_pose_are_refused(make_graph, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(make_graph("heat maps"))
    flat = onnx.helper.make_node("Flatten", ["maps"], ["features"])
    model.graph.node.append(flat)
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["n", None]))
    onnx.save(model, tmp_path / "features.onnx")
    with pytest.raises(ReidError, match=r"gives features \['n', .*\]; expected simcc_x and simcc_y"):
        OnnxFile(tmp_path / "features.onnx", device="cpu")


def test_swapped_simcc_outputs_are_noticed(make_graph) -> None:
    file = make_graph(outputs=("simcc_y", "simcc_x"))
    with pytest.raises(ReidError, match="bins along x and y are not in the proportion of the input"):
        OnnxFile(file, device="cpu")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_no_numbers(make_graph, value: float) -> None:
    weights = np.full((17, 3, 1, 1), value, np.float32)
    estimator = OnnxFile(make_graph(weights=weights), device="cpu")
    with pytest.raises(ReidError, match="not all numbers"):
        estimator([spotted()])


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/hostname", "a/../../weights.bin"])
def test_weights_in_other_files_are_refused(
    make_graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    file = make_graph(external=location)
    for folder in (tmp_path, tmp_path.parent):
        np.zeros((17, 3), np.float32).tofile(folder / "weights.bin")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReidError, match="keeps its weights in other files; save it with the weights inside"):
        OnnxFile(file, device="cpu")


def test_missing_devices(make_graph) -> None:
    with pytest.raises(ReidError, match="unknown device 'tpu'"):
        OnnxFile(make_graph(), device="tpu")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(ReidError, match="pip install onnxruntime-gpu"):
            OnnxFile(make_graph(), device="cuda")
