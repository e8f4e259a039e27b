"""Top-down 2D body models of MMPose 1.x: heat map, SimCC (RTMPose) and regression heads."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from reidprep.device import torch_device
from reidprep.errors import ReidError, first_line
from reidprep.estimators.openmmlab import import_openmmlab, load_checkpoint, load_weights
from reidprep.estimators.top_down import HEAT_MAP_SCORES, SIMCC_SCORES
from reidprep.images import Images, image_list
from reidprep.skeleton import COCO17_JOINTS, INDEX, from_coco17
from reidprep.text import counted

ALIASES = {
    "rtmpose-s": "rtmpose-s_8xb256-420e_body8-256x192",
    "rtmpose-m": "rtmpose-m_8xb256-420e_body8-256x192",
    "rtmpose-l": "rtmpose-l_8xb256-420e_body8-256x192",
    "hrnet-w32": "td-hm_hrnet-w32_8xb64-210e_coco-256x192",
}
# What the codec that decodes the head's output makes of it: meaning of the scores, score from which a joint counts.
_SCORES = {
    "SimCCLabel": SIMCC_SCORES,
    "RegressionLabel": ("1 minus the predicted spread, or 1 for every joint where the head predicts none", 0.3),
    "IntegralRegressionLabel": ("1 for every joint: the head predicts no score", 0.3),
}
_BLANK = np.zeros((1, 1, 3), dtype=np.uint8)


class MMPose:
    """Any top-down 2D body model of MMPose, the whole image being the person's box.

    The joints are those of `mmpose.apis.inference_topdown(model, bgr, None)`, computed for a batch of images at once.
    """

    name = "mmpose"

    def __init__(
        self,
        *,
        config: str | Path,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        batch_size: int | None = None,
        flip_test: bool = False,
    ) -> None:
        """Build the model and its test pipeline.

        Args:
            config: a config file, one of `ALIASES`, or the name of a config that comes with MMPose. A config written in
                Python is a program, and is run.
            checkpoint: a file, an http(s) URL, or None for the published weights of a named config.
            device: `auto`, `cpu` or `cuda`.
            batch_size: images per forward pass; 16 on a CPU and 64 on a GPU if None.
            flip_test: average with the mirrored image: twice the time.

        Raises:
            ReidError: MMPose is not installed; config or checkpoint are missing, unusable or not made for each other;
                no top-down model; a skeleton without the joints needed; the device is not available.
        """
        import_openmmlab("mmpose", "apis", "datasets", "models")
        import torch
        from mmengine.dataset import Compose
        from mmengine.model import revert_sync_batchnorm
        from mmengine.registry import init_default_scope
        from mmpose.models import build_pose_estimator

        self.device: str = torch_device(device)
        self.batch_size = batch_size or (64 if self.device == "cuda" else 16)
        settings, published = _load_config(str(config), flip_test)
        weights = checkpoint or published
        if weights is None:
            raise ReidError(f"{config}: its weights are not known; give their file with --mmpose-checkpoint")
        init_default_scope("mmpose")
        try:
            model = revert_sync_batchnorm(build_pose_estimator(settings.model))
            decoder = getattr(model.head, "pose_head", model.head).decoder
            self._pipeline = Compose(settings.test_dataloader.dataset.pipeline)
        # A registry or a constructor of any class the config names.
        except Exception as error:
            raise ReidError(f"{config}: mmpose cannot build this model: {first_line(error)}") from error
        state, meta, self.weights_sha256 = load_checkpoint(str(weights))
        load_weights(model, state, str(config), str(weights))
        self._meta = _dataset_meta(meta, settings, str(config))
        try:
            names = [self._meta["keypoint_id2name"][i] for i in range(self._meta["num_keypoints"])]
            names = [names[i] for i in settings.model.test_cfg.get("output_keypoint_indices", range(len(names)))]
        except (KeyError, IndexError, TypeError) as error:
            raise ReidError(f"{config}: the names of the model's joints are not to be had: {error!r}") from error
        self._mapping = JointMapping(names, str(config))

        self.score_scale, self.confidence = _SCORES.get(type(decoder).__name__, HEAT_MAP_SCORES)
        shaping = (settings.model.to_dict(), settings.test_dataloader.dataset.pipeline, names)
        listing = json.dumps(shaping, sort_keys=True, default=str)
        self.options: Mapping[str, Any] = {
            "config": Path(str(config)).stem,
            "config_sha256": hashlib.sha256(listing.encode()).hexdigest(),
            "flip_test": flip_test,
            # Another batch size adds in another order, after which a joint may lie in the next bin.
            **({"batch_size": batch_size} if batch_size else {}),
        }
        model.eval().to(self.device)
        # Convolutions on a CPU run faster on this layout.
        self._model = model.to(memory_format=torch.channels_last) if self.device == "cpu" else model
        self._inference_mode = torch.inference_mode
        self._threads = ThreadpoolController()
        try:
            blank = self._predict([_BLANK])[0]
        except Exception as error:
            raise ReidError(f"{config}: the model does not run: {first_line(error)}") from error
        if not np.isfinite(blank).all():
            raise ReidError(f"{weights}: with these weights the model's answers are no numbers; is the file damaged?")
        if len(blank) != len(names):
            raise ReidError(
                f"{config}: the model finds {counted(len(blank), 'joint')}, its dataset's skeleton has {len(names)}"
            )

    def __call__(self, images: Images, paths: Sequence[str] = ()) -> NDArray[np.float32]:
        """Estimate the joints of images (`PoseEstimator`)."""
        images = image_list(images)
        joints = [self._predict(images[i : i + self.batch_size]) for i in range(0, len(images), self.batch_size)]
        return self._mapping(np.concatenate(joints)) if joints else np.zeros((0, len(INDEX), 3), np.float32)

    def _predict(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(n, joints of the model, 3) for up to `batch_size` images."""
        # A constant batch size keeps the order of summation, and with it an image's joints, the same in every batch.
        padded = [*images, *[_BLANK] * (self.batch_size - len(images))]
        # One thread per call and several calls at once: faster than many threads in one call.
        with self._inference_mode(), self._threads.limit(limits=1, user_api="openmp"):
            samples = [self._prepare(image) for image in padded]
            batch = {key: [sample[key] for sample in samples] for key in ("inputs", "data_samples")}
            results = [result.pred_instances for result in self._model.test_step(batch)[: len(images)]]
        return np.stack([np.column_stack([r.keypoints[0], r.keypoint_scores[0]]) for r in results]).astype(np.float32)

    def _prepare(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        height, width = image.shape[:2]
        sample = {
            "img": cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
            "bbox": np.array([[0, 0, width, height]], dtype=np.float32),
            "bbox_score": np.ones(1, dtype=np.float32),
        }
        prepared: dict[str, Any] = self._pipeline(sample | self._meta)
        return prepared


class JointMapping:
    """Joints of a skeleton whose names are known -> the 18 joints."""

    def __init__(self, names: Sequence[str], origin: str) -> None:
        """Find the joints by their names in MMPose: `nose`, `left_eye`, ..., and `neck` where there is one.

        Args:
            names: one for each joint of the model.
            origin: for the message.

        Raises:
            ReidError: a joint is missing; only the neck may be.
        """
        place = {re.sub("^(l|r)(eft|ight)_", r"\1_", name): i for i, name in enumerate(names)}
        if lacking := [name for name in COCO17_JOINTS if name not in place]:
            raise ReidError(
                f"{origin}: this model's skeleton lacks {', '.join(lacking)}; choose a model of the whole body"
            )
        self._coco = [place[name] for name in COCO17_JOINTS]
        self._neck = place.get("neck")

    def __call__(self, joints: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, joints of the model, 3) -> (n, 18, 3), the neck halfway between the shoulders if it is not a joint."""
        result = from_coco17(joints[:, self._coco])
        if self._neck is not None:
            result[:, INDEX["neck"]] = joints[:, self._neck]
        return result


def _load_config(config: str, flip_test: bool) -> tuple[Any, str | None]:
    """The config as MMPose's `init_model` would use it, and the URL of its published weights."""
    from mmengine.config import Config
    from mmpose.registry import MODELS

    path, url = Path(config), None
    if path.suffix not in (".py", ".json", ".yaml", ".yml"):
        path, url = _published(ALIASES.get(config, config))
    if not path.is_file():
        raise ReidError(f"{path}: no such config file; choose another --mmpose-config")
    try:
        settings = Config.fromfile(path)
    # A config is a program: anything can go wrong in it.
    except Exception as error:
        raise ReidError(f"{path}: the config does not load: {first_line(error)}") from error
    model, loader = settings.get("model", {}), settings.get("test_dataloader", {})
    kind = model.get("type", "none at all") if isinstance(model, dict) else repr(model)
    if str(getattr(kind, "__name__", kind)).rpartition(".")[2] != "TopdownPoseEstimator":
        raise ReidError(f"{path}: no top-down model but {kind}; choose a top-down 2D body model")
    dataset = loader.get("dataset") if isinstance(loader, dict) else None
    if not isinstance(dataset, dict) or "pipeline" not in dataset:
        raise ReidError(f"{path}: the config lacks the test pipeline, test_dataloader.dataset.pipeline")
    # The checkpoint brings all weights.
    model.train_cfg, model.backbone = None, {**(model.get("backbone") or {}), "init_cfg": None}
    # MMPose carries its own copy of the backbone that RTMPose's configs take from MMDetection.
    if model.backbone.get("_scope_") == "mmdet" and model.backbone.get("type") in MODELS.module_dict:
        model.backbone._scope_ = "mmpose"
    if "mmpretrain" in str(model.backbone):
        import_openmmlab("mmpretrain", "models")
    model.test_cfg = {**(model.get("test_cfg") or {}), "flip_test": flip_test}
    return settings, url


def _published(name: str) -> tuple[Path, str | None]:
    """File and weights of a config that comes with MMPose."""
    import mmpose
    import yaml

    package = Path(mmpose.__file__).parent
    # An installed package has its configs in .mim, a checkout beside the package.
    configs = next((folder / "configs" for folder in (package / ".mim", package.parent) if folder.is_dir()), package)
    for path in configs.rglob("*.py"):
        if path.stem == name:
            for index in path.parent.glob("*.yml"):
                for entry in yaml.safe_load(index.read_text(encoding="utf-8")).get("Models", ()):
                    if entry["Name"] == name:
                        return path, entry.get("Weights")
            return path, None
    raise ReidError(
        f"{name}: neither a config file (.py) nor the name of a config of mmpose; short names: {', '.join(ALIASES)}"
    )


def _dataset_meta(meta: Mapping[str, Any], settings: Any, config: str) -> dict[str, Any]:
    """The checkpoint's own, as in MMPose, or the config's."""
    from mmpose.apis.inference import dataset_meta_from_config

    found = meta.get("dataset_meta")
    for mode in ("train", "val", "test"):
        if not isinstance(found, dict) or "keypoint_id2name" not in found:
            try:
                with warnings.catch_warnings():
                    # That it takes the file of this name from its own folder.
                    warnings.filterwarnings("ignore", "The metainfo config file")
                    found = dataset_meta_from_config(settings, mode)
            except (KeyError, FileNotFoundError, AssertionError) as error:
                raise ReidError(f"{config}: the dataset's metadata is unusable: {first_line(error)}") from error
    if not found:
        raise ReidError(f"{config}: neither config nor checkpoint say which joints the model finds")
    return dict(found)
