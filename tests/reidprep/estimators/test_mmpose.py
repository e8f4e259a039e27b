"""MMPose models: an RTMPose trained for this project, and tiny untrained ones of every kind of head."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from reid_cli.reidprep.main import main

from reidprep.datasets.registry import open_dataset
from reidprep.errors import ReidError
from reidprep.estimators.registry import create_estimator
from reidprep.poses.reader import PoseSet
from reidprep.skeleton import JOINTS

if find_spec("mmpose") is None:
    pytest.skip("needs MMPose: make setup-mmpose", allow_module_level=True)
torch = pytest.importorskip("torch")

from reidprep.estimators.mmpose import ALIASES, JointMapping, MMPose, _published
from reidprep.estimators.openmmlab import import_openmmlab, load_checkpoint

INPUT = (64, 128)  # width, height
HEADS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "heat map": (
        {
            "type": "HeatmapHead", "in_channels": 64, "out_channels": 17,
            "deconv_out_channels": [16, 16], "deconv_kernel_sizes": [4, 4],
        },
        {"type": "MSRAHeatmap", "input_size": INPUT, "heatmap_size": (8, 16), "sigma": 2},
    ),
    "unbiased heat map": (
        {
            "type": "HeatmapHead", "in_channels": 64, "out_channels": 17,
            "deconv_out_channels": [16, 16], "deconv_kernel_sizes": [4, 4],
        },
        {"type": "UDPHeatmap", "input_size": INPUT, "heatmap_size": (8, 16), "sigma": 2},
    ),
    "SimCC": (
        {
            "type": "SimCCHead", "in_channels": 64, "out_channels": 17, "input_size": INPUT,
            "in_featuremap_size": (2, 4), "simcc_split_ratio": 2.0, "deconv_out_channels": None,
        },
        {"type": "SimCCLabel", "input_size": INPUT, "sigma": 6.0, "simcc_split_ratio": 2.0},
    ),
    "regression": (
        {"type": "RegressionHead", "in_channels": 64, "num_joints": 17},
        {"type": "RegressionLabel", "input_size": INPUT},
    ),
    "regression with spread": (
        {"type": "RLEHead", "in_channels": 64, "num_joints": 17},
        {"type": "RegressionLabel", "input_size": INPUT},
    ),
}  # fmt: skip
Settings = dict[str, Any]
MakeModel = Callable[..., tuple[Path, Path]]


def settings(kind: str = "heat map", joints: int = 17, skeleton: str = "coco") -> Settings:
    """The config of a tiny model."""
    head, codec = HEADS[kind]
    count = "num_joints" if "num_joints" in head else "out_channels"
    pipeline = [
        {"type": "LoadImage"},
        {"type": "GetBBoxCenterScale"},
        {"type": "TopdownAffine", "input_size": INPUT, "use_udp": codec["type"] == "UDPHeatmap"},
        {"type": "PackPoseInputs"},
    ]
    dataset = {
        "type": "CocoDataset",
        "metainfo": {"from_file": f"configs/_base_/datasets/{skeleton}.py"},
        "pipeline": pipeline,
    }
    model = {
        "type": "TopdownPoseEstimator",
        "data_preprocessor": {
            "type": "PoseDataPreprocessor",
            "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375],
            "bgr_to_rgb": True,
        },
        "backbone": {"type": "ResNet", "depth": 18, "stem_channels": 8, "base_channels": 8},
        **({"neck": {"type": "GlobalAveragePooling"}} if "num_joints" in head else {}),
        "head": {**head, count: joints, "decoder": codec},
        "test_cfg": {"flip_test": True},
    }
    return {
        "default_scope": "mmpose",
        "model": model,
        "train_dataloader": {"dataset": dataset},
        "test_dataloader": {"dataset": dataset},
    }


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Not where tests are collected, which every process does: it takes seconds."""
    import_openmmlab("mmpose", "apis", "datasets", "models")


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Writes a config and a checkpoint of random weights."""

    def make(config: Settings | None = None, name: str = "tiny", **options: Any) -> tuple[Path, Path]:
        content = config or settings(**options)
        path, checkpoint = tmp_path / f"{name}.json", tmp_path / f"{name}.pth"
        path.write_text(json.dumps(content))
        torch.manual_seed(3)
        model = front_end(path, None)
        for weight in model.parameters():
            if weight.ndim > 1:  # large enough for the image to matter
                torch.nn.init.kaiming_normal_(weight)
        state = model.state_dict()
        torch.save({"state_dict": state, "meta": {"epoch": np.int64(1)}}, checkpoint)
        return path, checkpoint

    return make


def front_end(config: Path, checkpoint: Path | None, flip_test: bool = False) -> Any:
    """The model as mmpose's own functions make it."""
    from mmpose.apis import init_model

    model = init_model(str(config), None, device="cpu", cfg_options={"model": {"test_cfg": {"flip_test": flip_test}}})
    if checkpoint:
        model.load_state_dict(load_checkpoint(str(checkpoint))[0])
    return model


def expected_joints(model: Any, images: list[np.ndarray]) -> np.ndarray:
    """What `inference_topdown` finds, joint by joint under our names."""
    from mmpose.apis import inference_topdown

    names = {"l": "left", "r": "right"}
    place = model.dataset_meta["keypoint_name2id"]
    result = np.zeros((len(images), 18, 3), np.float32)
    for row, image in zip(result, images, strict=True):
        found = inference_topdown(model, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), None)[0].pred_instances
        points = np.column_stack([found.keypoints[0], found.keypoint_scores[0]])
        for i, joint in enumerate(JOINTS):
            name = f"{names[joint[0]]}_{joint[2:]}" if joint[1] == "_" else joint
            if name in place:
                row[i] = points[place[name]]
            else:
                left, right = points[place["left_shoulder"]], points[place["right_shoulder"]]
                row[i] = [*((left + right) / 2)[:2], min(left[2], right[2])]
    return result


@pytest.fixture(scope="module")
def images(drawn: Path) -> list[np.ndarray]:
    """Drawn people, some of other sizes."""
    dataset = open_dataset(drawn)
    people = [dataset.images.read(record.path) for record in dataset.records[:9]]
    return [*people, cv2.resize(people[0], (200, 150)), cv2.resize(people[1], (33, 301)), people[2][:1, :1]]


@pytest.fixture(scope="module")
def rtmpose(models: Path) -> tuple[Path, Path]:
    """Config and checkpoint of the RTMPose-t trained on Market-1501."""
    path = models / "rtmpose-t_market1501_192x96.py"
    return path, path.with_suffix(".pth")


@pytest.mark.parametrize("count", [30, pytest.param(500, marks=pytest.mark.slow)])
def test_equals_inference_topdown_on_real_images(count: int, market1501: Path, rtmpose: tuple[Path, Path]) -> None:
    dataset = open_dataset(market1501)
    chosen = np.random.default_rng(0).choice(len(dataset.records), count, replace=False)
    people = [dataset.images.read(dataset.records[i].path) for i in chosen]
    got = MMPose(config=rtmpose[0], checkpoint=rtmpose[1], device="cpu")(people)
    expected = expected_joints(front_end(*rtmpose), people)
    # The network sees 1.1 times the image, of shape 1:2, in 384 bins along its height.
    one_bin = np.array([1.1 * max(h, 2 * w) / 384 for h, w, _ in (image.shape for image in people)])
    distance = np.abs(got - expected)[..., :2].max(axis=2) / one_bin[:, None]
    assert distance.max() <= 1.001
    assert (distance > 0.01).mean() < 1e-3
    np.testing.assert_allclose(got[..., 2], expected[..., 2], atol=1e-4)


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize("kind", HEADS)
def test_every_kind_of_head_equals_inference_topdown(
    kind: str, flip_test: bool, make_model: MakeModel, images: list[np.ndarray]
) -> None:
    config, checkpoint = make_model(kind=kind)
    estimator = MMPose(config=config, checkpoint=checkpoint, device="cpu", batch_size=5, flip_test=flip_test)
    expected = expected_joints(front_end(config, checkpoint, flip_test), images)
    got = estimator(images)
    assert np.ptp(got[:9, :, :2] / [64, 128], axis=0).max() > 0.01  # the images matter
    compared = np.ones(expected.shape[:2], bool)
    if kind == "unbiased heat map":  # refining untrained maps throws some joints far away, where nothing is exact
        sizes = np.array([image.shape[1::-1] for image in images])[:, None]
        compared = (expected[..., :2] > -sizes).all(axis=2) & (expected[..., :2] < 2 * sizes).all(axis=2)
        assert compared.mean() > 0.5
    np.testing.assert_allclose(got[compared], expected[compared], rtol=1e-4, atol=0.05)
    assert estimator.options["flip_test"] is flip_test


def test_the_flip_test_is_off_by_default_and_changes_joints(make_model: MakeModel, images: list[np.ndarray]) -> None:
    config, checkpoint = make_model()
    plain, flipped = (
        create_estimator(
            "mmpose", device="cpu", mmpose_config=str(config), mmpose_checkpoint=str(checkpoint), **options
        )
        for options in ({}, {"flip_test": True})
    )
    assert plain.options["flip_test"] is False and flipped.options["flip_test"] is True
    assert np.abs(plain(images, []) - flipped(images, []))[..., 2].max() > 1e-3


@pytest.mark.parametrize(
    ("kind", "scale", "confidence"),
    [("heat map", "heat map", 0.3), ("SimCC", "SimCC", 0.4), ("regression with spread", "spread", 0.3)],
)
def test_scores_are_described(kind: str, scale: str, confidence: float, make_model: MakeModel) -> None:
    config, checkpoint = make_model(kind=kind)
    estimator = MMPose(config=config, checkpoint=checkpoint, device="cpu", batch_size=1)
    assert scale in estimator.score_scale and estimator.confidence == confidence


@pytest.mark.parametrize("kind", ["heat map", "SimCC"])
def test_an_image_gets_the_same_joints_in_every_batch_and_thread(
    kind: str, make_model: MakeModel, images: list[np.ndarray]
) -> None:
    config, checkpoint = make_model(kind=kind)
    estimator = MMPose(config=config, checkpoint=checkpoint, device="cpu", batch_size=4)
    together = estimator(images)
    np.testing.assert_array_equal(np.concatenate([estimator([image]) for image in images]), together)
    backwards = list(reversed(range(len(images))))
    with ThreadPoolExecutor(4) as executor:
        results = executor.map(lambda order: estimator([images[i] for i in order])[np.argsort(order)], [backwards] * 8)
        for result in results:
            np.testing.assert_array_equal(result, together)


def test_no_images_no_joints(make_model: MakeModel) -> None:
    config, checkpoint = make_model()
    assert MMPose(config=config, checkpoint=checkpoint, device="cpu", batch_size=1)([]).shape == (0, 18, 3)


@pytest.mark.parametrize(
    ("skeleton", "joints"),
    [("coco", 17), ("coco_openpose", 18), ("halpe26", 26), ("coco_wholebody", 133), ("coco_wholebody_openpose", 134)],
)
def test_skeletons_are_mapped_by_the_names_of_their_joints(
    skeleton: str, joints: int, make_model: MakeModel, images: list[np.ndarray]
) -> None:
    config, checkpoint = make_model(skeleton=skeleton, joints=joints)
    got = MMPose(config=config, checkpoint=checkpoint, device="cpu", batch_size=4)(images[:4])
    np.testing.assert_allclose(got, expected_joints(front_end(config, checkpoint), images[:4]), atol=0.01)


def content_of(checkpoint: Path) -> dict[str, Any]:
    state, meta, _ = load_checkpoint(str(checkpoint))
    return {"state_dict": state, "meta": meta}


def test_the_checkpoint_knows_its_skeleton_better_than_the_config(
    make_model: MakeModel, images: list[np.ndarray]
) -> None:
    config, checkpoint = make_model(skeleton="coco_openpose", joints=18)
    content = content_of(checkpoint)
    content["meta"]["dataset_meta"] = front_end(config, None).dataset_meta
    torch.save(content, checkpoint)
    expected = expected_joints(front_end(config, checkpoint), images[:2])
    config.write_text(json.dumps(settings(skeleton="coco", joints=18)))
    got = MMPose(config=config, checkpoint=checkpoint, device="cpu", batch_size=2)(images[:2])
    np.testing.assert_allclose(got, expected, atol=0.01)


@pytest.mark.parametrize(
    ("skeleton", "joints", "lacking"),
    [("mpii", 16, "nose, l_eye, r_eye, l_ear, r_ear"), ("posetrack18", 17, "l_eye, r_eye"), ("horse10", 22, "nose")],
)
def test_another_skeleton_is_refused_with_the_joints_it_lacks(
    skeleton: str, joints: int, lacking: str, make_model: MakeModel
) -> None:
    config, checkpoint = make_model(skeleton=skeleton, joints=joints)
    with pytest.raises(ReidError, match=rf"skeleton lacks {lacking}.*; choose a model of the whole body"):
        MMPose(config=config, checkpoint=checkpoint, device="cpu")


def test_only_the_neck_may_be_missing() -> None:
    names = [{"l_": "left_", "r_": "right_"}.get(name[:2], name[:2]) + name[2:] for name in JOINTS]
    joints = np.arange(18 * 3, dtype=np.float32).reshape(1, 18, 3)
    np.testing.assert_array_equal(JointMapping(names, "model")(joints), joints)
    for missing in names:
        rest = [name for name in names if name != missing]
        if missing == "neck":
            got = JointMapping(rest, "model")(joints[:, [names.index(name) for name in rest]])
            np.testing.assert_array_equal(got[0, 1, :2], joints[0, [2, 5], :2].mean(axis=0))
        else:
            with pytest.raises(ReidError, match="model: this model's skeleton lacks"):
                JointMapping(rest, "model")


def test_missing_files_are_named(tmp_path: Path, make_model: MakeModel) -> None:
    config, checkpoint = make_model()
    with pytest.raises(ReidError, match="nothing.py: no such config file"):
        MMPose(config=tmp_path / "nothing.py", checkpoint=checkpoint, device="cpu")
    with pytest.raises(ReidError, match="rtmpose-huge: neither a config file .* short names: rtmpose-s"):
        MMPose(config="rtmpose-huge", checkpoint=checkpoint, device="cpu")
    with pytest.raises(ReidError, match="nothing.pth: no such checkpoint"):
        MMPose(config=config, checkpoint=tmp_path / "nothing.pth", device="cpu")
    with pytest.raises(ReidError, match="its weights are not known; give their file with --mmpose-checkpoint"):
        MMPose(config=config, device="cpu")


def broken(change: str) -> Settings:
    config = settings()
    if change == "bottom-up":
        config["model"]["type"] = "BottomupPoseEstimator"
    elif change == "no model":
        del config["model"]
    elif change == "no pipeline":
        del config["test_dataloader"]
    elif change == "unknown part":
        config["model"]["backbone"]["type"] = "NoSuchNet"
    elif change == "no backbone":
        config["model"]["backbone"] = None
    elif change == "number as model":
        config["model"] = 5
    elif change == "number as loader":
        config["test_dataloader"] = 5
    elif change == "unknown joint":
        config["model"]["test_cfg"]["output_keypoint_indices"] = [0, 99]
    elif change == "no skeleton":
        del config["train_dataloader"], config["test_dataloader"]["dataset"]["metainfo"]
        config["test_dataloader"]["dataset"]["type"] = "NoSuchDataset"
    elif change == "other skeleton":
        config["train_dataloader"]["dataset"]["metainfo"]["from_file"] = "configs/_base_/datasets/halpe26.py"
    return config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("bottom-up", "no top-down model but BottomupPoseEstimator; choose a top-down 2D body model"),
        ("no model", "no top-down model but none at all"),
        ("no pipeline", "lacks the test pipeline"),
        ("unknown part", "mmpose cannot build this model: .*NoSuchNet"),
        ("no backbone", "mmpose cannot build this model"),
        ("number as model", "no top-down model but 5"),
        ("number as loader", "lacks the test pipeline"),
        ("unknown joint", "the names of the model's joints are not to be had"),
        ("no skeleton", "neither config nor checkpoint say which joints"),
        ("other skeleton", "the model finds 17 joints, its dataset's skeleton has 26"),
    ],
)
def test_unusable_configs_are_refused(change: str, message: str, make_model: MakeModel, tmp_path: Path) -> None:
    _, checkpoint = make_model()
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(broken(change)))
    with pytest.raises(ReidError, match=f"broken.json: .*{message}"):
        MMPose(config=path, checkpoint=checkpoint, device="cpu")


@pytest.mark.parametrize("meta", ["text", {"dataset_meta": "text"}, {"dataset_meta": {}}])
def test_a_checkpoint_without_usable_metadata_leaves_it_to_the_config(meta: object, make_model: MakeModel) -> None:
    config, checkpoint = make_model()
    torch.save({**content_of(checkpoint), "meta": meta}, checkpoint)
    assert MMPose(config=config, checkpoint=checkpoint, device="cpu", batch_size=1)([]).shape == (0, 18, 3)


def test_a_checkpoint_whose_joints_have_no_names_is_refused(make_model: MakeModel) -> None:
    config, checkpoint = make_model()
    meta = {"dataset_meta": {"keypoint_id2name": {0: "nose"}, "num_keypoints": 17}}
    torch.save({**content_of(checkpoint), "meta": meta}, checkpoint)
    with pytest.raises(ReidError, match="names of the model's joints are not to be had"):
        MMPose(config=config, checkpoint=checkpoint, device="cpu")


@pytest.mark.parametrize(
    ("value", "message"),
    [(float("nan"), "tiny.pth: with these weights the model's answers are no numbers"), ("text", "layers .*conv1")],
)
def test_weights_that_are_no_numbers_are_refused(value: object, message: str, make_model: MakeModel) -> None:
    config, checkpoint = make_model()
    content = content_of(checkpoint)
    layer = "backbone.conv1.weight"
    state = content["state_dict"]
    state = {**state, layer: torch.full_like(state[layer], value) if isinstance(value, float) else value}
    torch.save({"state_dict": state}, checkpoint)
    with pytest.raises(ReidError, match=message):
        MMPose(config=config, checkpoint=checkpoint, device="cpu")


def test_a_chosen_batch_size_is_part_of_what_shaped_the_joints(make_model: MakeModel) -> None:
    config, checkpoint = make_model()
    options = [MMPose(config=config, checkpoint=checkpoint, device="cpu", batch_size=n).options for n in (None, 3)]
    assert options[1] == {**options[0], "batch_size": 3}


@pytest.mark.parametrize("text", ["model = dict(", "raise ValueError('not today')", "_base_ = ['nothing.py']"])
def test_configs_that_do_not_load_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ReidError, match="broken.py: the config does not load: "):
        MMPose(config=path, checkpoint="unused.pth", device="cpu")


def test_a_bottom_up_model_of_mmpose_is_refused() -> None:
    with pytest.raises(ReidError, match="no top-down model but BottomupPoseEstimator"):
        MMPose(config="rtmo-s_8xb32-600e_coco-640x640", checkpoint="unused.pth", device="cpu")


def test_a_checkpoint_for_another_config_is_refused_with_the_layers(make_model: MakeModel) -> None:
    config, _ = make_model()
    _, simcc = make_model(kind="SimCC", name="simcc")
    with pytest.raises(
        ReidError,
        match=r"simcc.pth is no checkpoint for .*tiny.json; .*shape: head.final_layer.weight; missing .*: head.deconv",
    ):
        MMPose(config=config, checkpoint=simcc, device="cpu")
    _, wholebody = make_model(skeleton="coco_wholebody", joints=133, name="wholebody")
    with pytest.raises(ReidError, match=r"layers of another shape: head.final_layer.weight, head.final_layer.bias$"):
        MMPose(config=config, checkpoint=wholebody, device="cpu")
    deeper = settings()
    deeper["model"]["backbone"]["depth"] = 34
    with pytest.raises(ReidError, match=r"layers unknown to the config: backbone.layer1.2.* and \d+ more$"):
        MMPose(config=config, checkpoint=make_model(deeper, name="deeper")[1], device="cpu")


def test_unknown_and_missing_devices(make_model: MakeModel) -> None:
    config, checkpoint = make_model()
    with pytest.raises(ReidError, match="unknown device 'tpu'"):
        MMPose(config=config, checkpoint=checkpoint, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ReidError, match="choose --device cpu"):
            MMPose(config=config, checkpoint=checkpoint, device="cuda")


@pytest.mark.parametrize("alias", ALIASES)
def test_aliases_are_configs_with_published_weights(alias: str) -> None:
    path, url = _published(ALIASES[alias])
    assert path.is_file() and url and url.startswith("https://download.openmmlab.com/") and alias in path.stem


def test_an_alias_takes_a_checkpoint_file(tmp_path: Path, images: list[np.ndarray]) -> None:
    from mmpose.models import build_pose_estimator

    from reidprep.estimators.mmpose import _load_config

    model = build_pose_estimator(_load_config("rtmpose-s", False)[0].model)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "weights.pth")
    estimator = MMPose(config="rtmpose-s", checkpoint=tmp_path / "weights.pth", device="cpu", batch_size=1)
    assert estimator.options["config"] == "rtmpose-s" and np.isfinite(estimator(images[:1])).all()


def test_backbones_of_mmpretrain(make_model: MakeModel, images: list[np.ndarray]) -> None:
    """ViTPose's."""
    pytest.importorskip("mmcv")
    import_openmmlab("mmpretrain", "models")
    config = settings()
    config["model"]["backbone"] = {
        "type": "mmpretrain.VisionTransformer",
        "arch": {"embed_dims": 64, "num_layers": 2, "num_heads": 2, "feedforward_channels": 64},
        "img_size": (128, 64), "patch_size": 16, "with_cls_token": False, "out_type": "featmap",
        "patch_cfg": {"padding": 2},
    }  # fmt: skip
    path, checkpoint = make_model(config)
    got = MMPose(config=path, checkpoint=checkpoint, device="cpu", batch_size=2)(images[:3])
    np.testing.assert_allclose(got, expected_joints(front_end(path, checkpoint), images[:3]), atol=0.01)


def test_the_command_stores_what_shaped_the_joints(make_model: MakeModel, drawn: Path, tmp_path: Path) -> None:
    config, checkpoint = make_model(kind="SimCC")
    arguments = ["extract-poses", drawn, tmp_path / "poses", "--estimator", "mmpose", "--mmpose-config", config]
    arguments += ["--mmpose-checkpoint", checkpoint, "--flip-test", "--limit", 2, "--workers", 2]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    poses = PoseSet(tmp_path / "poses")
    assert poses.plan.confidence == 0.4 and "SimCC" in poses.plan.estimator.score_scale
    assert {"config": "tiny", "flip_test": True}.items() <= poses.plan.estimator.options.items()
