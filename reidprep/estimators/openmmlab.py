"""OpenMMLab with care: imports without the parts that body models never use, checkpoints without running code."""

from __future__ import annotations

import hashlib
import importlib
import pickle
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn
from urllib.parse import urlparse

import numpy as np

from reidprep.errors import ReidError, first_line
from reidprep.files import check_archive
from reidprep.pickles import numpy_scalars, why_refused

# What is imported at module level without body models needing it: bottom-up and transformer heads (mmdet, compiled mmcv
# operators), drawing (torchvision), evaluation and masks of bottom-up training (xtcocotools).
NOT_NEEDED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "mmpose": {
        "mmcv.ops": ("MultiScaleDeformableAttention",),
        "mmdet.utils": ("ConfigType", "reduce_mean"),
        "torchvision.transforms": ("ToPILImage",),
        "xtcocotools.mask": (),
        "xtcocotools.coco": ("COCO",),
        "xtcocotools.cocoeval": ("COCOeval",),
    },
    # The backbone of ViTPose; the rest is for data sets, for other networks, and for finding model files.
    "mmpretrain": {
        "einops": ("rearrange", "repeat"),
        "importlib_metadata": ("PackageNotFoundError", "distribution"),
        "mat4py": (),
        "modelindex.load_model_index": ("load",),
        "modelindex.models.Model": ("Model",),
        "torchvision.ops.boxes": (),
        "torchvision.transforms.functional": (),
        "torchvision.transforms.transforms": ("InterpolationMode",),
    },
}


class _Missing(type):
    """The class of stand-in classes: they can be imported and named in annotations, and nothing else."""

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise _missing(f"{cls.__module__}.{cls.__name__}")


class _Placeholder(ModuleType):
    def __init__(self, name: str, names: tuple[str, ...]) -> None:
        super().__init__(name, "Stands for a module that is not installed.")
        # Packages look for each other by their spec, and an empty path keeps submodules from being found.
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        self.__path__: list[str] = []
        for each in names:
            setattr(self, each, _Missing(each, (), {"__module__": name}))

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _missing(f"{self.__name__}.{name}")


def _missing(name: str) -> ImportError:
    package = "mmcv with its compiled operators (mmcv._ext)" if name.startswith("mmcv.") else name.split(".")[0]
    return ImportError(f"{name} is needed here: install {package}", name=name)


@contextmanager
def placeholders(not_needed: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Lets packages be imported without modules they do not need for what they are imported for.

    A module that imports is left alone. The others are gone from `sys.modules` afterwards, so that whatever else asks
    for them gets the truth; what was imported in between keeps names that raise an ImportError when they are used.

    Args:
        not_needed: modules, and the names asked of them.

    Yields:
        The modules that are replaced, empty with a complete installation.
    """
    replaced: dict[str, ModuleType] = {}

    def add(name: str, names: tuple[str, ...]) -> None:
        parent, _, child = name.rpartition(".")
        if parent and parent not in sys.modules:
            add(parent, ())
        replaced[name] = sys.modules[name] = _Placeholder(name, names)
        if parent:
            setattr(sys.modules[parent], child, replaced[name])

    for name, names in not_needed.items():
        if not _imports(name):
            add(name, names)
    try:
        yield tuple(replaced)
    finally:
        for name, module in replaced.items():
            parent, _, child = name.rpartition(".")
            del sys.modules[name]
            if parent in sys.modules and vars(sys.modules[parent]).get(child) is module:
                delattr(sys.modules[parent], child)


def _imports(name: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module(name)
        # Built for another NumPy or torch, they fail with ValueError, RuntimeError, OSError and more.
        except Exception:
            return False
    return True


def import_openmmlab(package: str, *modules: str) -> tuple[str, ...]:
    """Import modules of one of the packages in `NOT_NEEDED`.

    Returns:
        The modules that placeholders stood for.

    Raises:
        ReidError: it is not installed, or does not import.
    """
    with placeholders(NOT_NEEDED[package]) as replaced, warnings.catch_warnings():
        # mmcv-lite says that it is mmcv-lite, and mmengine finds packages the old way.
        warnings.filterwarnings("ignore", "Fail to import ``MultiScaleDeformableAttention``")
        warnings.filterwarnings("ignore", "pkg_resources is deprecated")
        try:
            for name in modules:
                importlib.import_module(f"{package}.{name}")
        except (ImportError, AssertionError) as error:  # they assert each other's versions
            raise ReidError(
                f"{package} does not import ({error}); 'make setup-mmpose' installs it (docs/estimators.md)"
            ) from error
    # Of their code, for its maintainers; it would show at the first forward pass.
    warnings.filterwarnings("ignore", r"`torch.cuda.amp.autocast\(args", FutureWarning, rf"{package}\.")
    return replaced


class _Dropped:
    """What stands for training logs in a checkpoint."""

    def __setstate__(self, state: object) -> None:
        pass


def _dropped_attribute(owner: object, name: str) -> None:
    if owner is not _Dropped:
        raise pickle.UnpicklingError("GLOBAL getattr")


def _safe_globals() -> list[Any]:
    """The types that OpenMMLab's checkpoints hold besides tensors: NumPy arrays and scalars, and training logs."""
    reconstruct = np.empty(0).__reduce__()[0]
    # The log's method table is pickled as getattr(HistoryBuffer, "mean").
    return [
        *numpy_scalars(),
        np.ndarray,
        *((reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
        (_Dropped, "mmengine.logging.history_buffer.HistoryBuffer"),
        (_dropped_attribute, "builtins.getattr"),
    ]


def load_checkpoint(source: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Read a checkpoint without running code that it may hold.

    Args:
        source: a file, or an http(s) URL, which is downloaded once to where MMPose keeps its checkpoints.

    Returns:
        The weights by layer, the `meta` dictionary, and the SHA-256 of the file.

    Raises:
        ReidError: it cannot be fetched or read, or holds objects of other types than checkpoints need.
    """
    import torch

    path = Path(source)
    try:
        with torch.serialization.safe_globals(_safe_globals()):
            if source.startswith(("http://", "https://")):
                path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(source).path).name
                # MMPose's loader makes the same call, but lets the file run code.
                content = torch.hub.load_state_dict_from_url(source, map_location="cpu", weights_only=True)
            else:
                check_archive(path)
                content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ReidError(f"{source}: no such checkpoint; choose another --mmpose-checkpoint") from None
    except OSError as error:
        advice = "; without a network give a file with --mmpose-checkpoint" if "://" in source else ""
        raise ReidError(f"{source} cannot be read ({error}){advice}") from error
    except Exception as error:  # what is no checkpoint fails in many ways
        reason = why_refused(error) or "it is damaged, or no checkpoint"
        raise ReidError(f"{path}: not loaded as a checkpoint: {reason}") from error
    if not isinstance(content, dict) or not isinstance(content.get("state_dict", content), dict):
        raise ReidError(f"{path}: no checkpoint of MMPose")
    state = {str(name).removeprefix("module."): value for name, value in content.get("state_dict", content).items()}
    meta = content.get("meta")
    with path.open("rb") as file:
        return state, meta if isinstance(meta, dict) else {}, hashlib.sha256(file.read()).hexdigest()


def load_weights(model: Any, state: Mapping[str, Any], config: str, checkpoint: str) -> None:
    """Give a model the weights of a checkpoint, all of them.

    Raises:
        ReidError: it is a checkpoint of another model; `config` and `checkpoint` and some of the layers are named.
    """
    parts = {name for name, _ in model.named_children()} - {"data_preprocessor"}
    try:
        missing, unknown = model.load_state_dict(state, strict=False)
        misshapen = []
    except RuntimeError as error:
        missing, unknown = model.state_dict().keys() - state.keys(), []
        misshapen = re.findall(r'(?:size mismatch for |parameter named ")([\w.]+)', str(error)) or [first_line(error)]
    problems = {
        "of another shape": misshapen,
        "missing in the checkpoint": sorted(name for name in missing if "num_batches_tracked" not in name),
        "unknown to the config": [name for name in unknown if name.split(".")[0] in parts],
    }
    told = "; ".join(
        f"{problem}: {', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}"
        for problem, names in problems.items()
        if names
    )
    if told:
        raise ReidError(f"{checkpoint} is no checkpoint for {config}; layers {told}")
