"""Checkpoints: weights with everything that says what they are (docs/checkpoints.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

import msgspec
from torch import Tensor

from reidprep.errors import ReidError
from reidprep.files import TOOL, file_sha256
from reidprep.shards.format import VIEWS, ShardPlan, View
from reidprep.shards.reader import ShardSet
from reidprep.skeleton import PARTS
from reidprep.store.fields import Count
from reidprep.store.hdf5 import Schema
from reidprep.store.manifest import MANIFEST
from reidprep.text import counted
from reidtrain.data.preprocessing import Augmentation, ChannelMeans, Preprocessor
from reidtrain.models.factory import Model, build_model
from reidtrain.models.layers import without_weights
from reidtrain.models.weights import CHECKPOINT_KEY, load_torch, unusable
from reidtrain.recipes.loading import recipe_from_dict, recipe_to_dict, stored_recipe
from reidtrain.recipes.schema import Recipe

SCHEMA = Schema("reidtrain.checkpoint", 1)
Which = Literal["last", "best"]


@dataclass(frozen=True)
class Unfinished:
    """How far the epoch after the last whole one has come.

    Attributes:
        steps: batches done, by each process.
        processes: how many trained together.
        sums: of the figures of these batches, mean over the processes.
        schedule: where a run of given length stands, in epochs over all stages; None: batches are counted.
    """

    steps: Count
    processes: Count
    sums: dict[str, float]
    schedule: float | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A trained model.

    Attributes:
        path: the file.
        recipe: how it was trained.
        class_names: of each output of its classifiers: person ids, or the classes of pre-training.
        source: what it was trained on, as plain values.
        init: the weights it started from (`path`, `sha256`, `report`), None if random.
        stage: index of the stage it is from.
        epoch: epochs done over all stages.
        history: one row of figures per epoch done.
        state: weights and buffers of the network (`model.`) and of its input (`preprocessor.`).
        unfinished: how far the next epoch has come, None if it has not begun.
    """

    path: Path
    recipe: Recipe
    class_names: tuple[str, ...]
    source: Mapping[str, Any]
    init: Mapping[str, Any] | None
    stage: int
    epoch: int
    history: Sequence[Mapping[str, Any]]
    state: Mapping[str, Tensor]
    unfinished: Unfinished | None = None

    def __repr__(self) -> str:
        classes = counted(len(self.class_names), "class", "classes")
        return f"Checkpoint({self.path}, {self.recipe.network} network, {classes}, epoch {self.epoch})"

    @cached_property
    def sha256(self) -> str | None:
        """Of the file when first asked for: a run that goes on replaces it. None if it cannot be read any more."""
        return file_sha256(self.path)

    def model(self) -> Model:
        """The network with these weights, in evaluation mode, on the CPU."""
        with without_weights():
            model = build_model(self.recipe.model, len(self.class_names))
        # What `to_empty` does, but that loads SymPy first, which takes most of a second.
        model._apply(lambda tensor: tensor.new_empty(tensor.shape, device="cpu"))  # type: ignore[no-untyped-call]
        self.load_into(model)
        return model.eval()

    def preprocessor(self) -> Preprocessor:
        """What makes its input, in evaluation mode, on the CPU."""
        whole, parts, image = (self._means(view) for view in VIEWS)
        if whole is None or parts is None:
            raise ReidError(f"{self.path}: the channel means are missing; the checkpoint is damaged")
        means = ChannelMeans(
            whole=_colour(whole),
            parts=tuple(_colour(part) for part in parts),
            image=None if image is None else _colour(image),
        )
        return make_preprocessor(self.recipe, means, augmented=False).eval()

    def _means(self, view: View) -> Tensor | None:
        """Channel means of a view, (3, 1, 1) or, of the parts, (4, 3, 1, 1)."""
        name = f"preprocessor.{view}_mean"
        mean = self.state.get(name)
        if mean is None:
            return None
        shape = ((len(PARTS),) if view == "parts" else ()) + (3, 1, 1)
        if tuple(mean.shape) != shape or not mean.is_floating_point() or not ((mean >= 0) & (mean <= 255)).all():
            raise ReidError(
                f"{self.path}: {name} is {mean.dtype}{tuple(mean.shape)}, it needs {shape} numbers of 0 to 255; "
                "the checkpoint is damaged"
            )
        return mean

    def check_shards(self, shards: ShardSet) -> None:
        """Make sure that shards are of the kind the model was trained on.

        Raises:
            ReidError: another schema, or crops that were aligned in another way.
        """
        if self.source.get("kind") != "shards":
            return
        about = shards.manifest
        schema, alignment = [about.schema.name, about.schema.version], about.plan.alignment
        for name, theirs, ours in (
            ("schema", schema, self.source.get("schema")),
            ("alignment", alignment, self.source.get("alignment")),
        ):
            if theirs != ours:
                raise ReidError(
                    f"{shards.path} has {name} {theirs}, {self.path} was trained on {name} {ours}; "
                    "build shards of the same kind"
                )

    def shard_plan(self, shards: Path | None = None) -> ShardPlan:
        """How crops are cut for the network: the plan of the shards it was trained on.

        Args:
            shards: shards of the same kind, whose plan to take instead.

        Raises:
            ReidError: as `check_shards`; it was not trained on shards; or they are not there any more, and it was
                trained before checkpoints kept their plan.
        """
        if shards is not None:
            given = ShardSet.open(shards)
            self.check_shards(given)
            return given.plan
        if self.source.get("kind") != "shards":
            raise ReidError(f"{self.path}: was trained on no shards of people; give a checkpoint of reidtrain fit")
        if "plan" in self.source:
            try:
                return msgspec.convert(self.source["plan"], ShardPlan, str_keys=True)
            except msgspec.ValidationError as error:
                raise ReidError(f"{self.path}: the plan of its shards is damaged ({error}); give --shards") from None
        trained_on = Path(str(self.source.get("path")))
        if self.source.get("manifest_sha256") == (file_sha256(trained_on / MANIFEST) or "none"):
            return ShardSet.open(trained_on).plan
        raise ReidError(
            f"{self.path}: does not say how its crops were cut, as it was trained before checkpoints kept this, and "
            f"{trained_on} does not hold its shards any more; give them by --shards"
        )

    def load_into(self, model: Model) -> None:
        """Give a network of the same recipe these weights.

        Raises:
            ReidError: they do not fit it, or are not finite.
        """
        own = {key.removeprefix("model."): value for key, value in self.state.items() if key.startswith("model.")}
        for name, wanted in model.state_dict().items():
            value = own.get(name)
            if value is None or value.shape != wanted.shape:
                continue  # PyTorch says so below
            problem = f"holds {value.dtype}, not {wanted.dtype}" if value.dtype != wanted.dtype else ""
            if not problem and not value.isfinite().all():
                problem = "holds numbers that are not finite"
            if problem:
                raise ReidError(f"{self.path}: model.{name} {problem}; the checkpoint is damaged, or training diverged")
        try:
            model.load_state_dict(own)
        except RuntimeError as error:
            # PyTorch names every weight, hundreds of them.
            first = shorten((str(error).splitlines()[1:2] or [str(error)])[0], 200, placeholder=" ...")
            raise ReidError(f"{self.path}: the weights do not fit the network its recipe describes ({first})") from None


def make_preprocessor(recipe: Recipe, means: ChannelMeans, augmented: bool) -> Preprocessor:
    """The input of a recipe's network."""
    return Preprocessor(
        means,
        recipe.augmentation if augmented else Augmentation(),
        divisor=recipe.input.divisor,
        sizes=recipe.input.sizes,
    )


def checkpoint_content(
    recipe: Recipe,
    class_names: Sequence[str],
    source: Mapping[str, Any],
    init: Mapping[str, Any] | None,
    stage: int,
    history: Sequence[Mapping[str, Any]],
    unfinished: Unfinished | None = None,
) -> dict[str, Any]:
    """What `load_checkpoint` reads besides the weights, as plain values."""
    return {
        CHECKPOINT_KEY: {
            "schema": SCHEMA.name,
            "version": SCHEMA.version,
            "tool": TOOL,
            "recipe": recipe_to_dict(recipe),
            "class_names": list(class_names),
            "source": dict(source),
            "init": None if init is None else dict(init),
            "stage": stage,
            "epoch": len(history),
            "history": [dict(row) for row in history],
            "unfinished": None if unfinished is None else asdict(unfinished),
        }
    }


def checkpoint_path(path: Path, which: Which = "last") -> Path:
    """The file of a checkpoint: itself, or the last or best one of a run folder.

    Raises:
        ReidError: a folder without one.
    """
    if not path.is_dir():
        return path
    inside = path / "checkpoints" / f"{which}.ckpt"
    if not inside.is_file():
        raise ReidError(f"{path}: no checkpoints/{which}.ckpt here; give a run folder that has one, or a file")
    return inside


def run_subfolder(path: Path, name: str) -> Path:
    """A folder in the run folder that a checkpoint belongs to.

    Args:
        path: the run folder, or one of its checkpoints.
        name: of the folder.

    Raises:
        ReidError: a checkpoint outside of a run folder.
    """
    run = path if path.is_dir() else path.parent.parent
    if not path.is_dir() and not (path.parent.name == "checkpoints" and (run / "run.json").is_file()):
        raise ReidError(f"{path}: is not in a run folder, in which the folder {name} would be made; say where by --out")
    return run / name


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a file made by `reidtrain fit` or `pretrain`; nothing but tensors and plain values is unpickled.

    Raises:
        ReidError: missing, damaged, something else, or of a version this program does not know.
    """
    content = load_torch(path, "a checkpoint", "give a file made by reidtrain")
    about = content.get(CHECKPOINT_KEY) if isinstance(content, dict) else None
    if not isinstance(about, dict) or about.get("schema") != SCHEMA.name:
        raise ReidError(f"{path} is no checkpoint of reidtrain; weights of other origin go to fit --init")
    if about.get("version") != SCHEMA.version:
        raise ReidError(
            f"{path}: {SCHEMA.name} version {about.get('version')} (written by {about.get('tool')}) is not known to "
            f"{TOOL}, which reads version {SCHEMA.version}; update the tool"
        )
    return dict(content)


def load_checkpoint(path: str | Path, which: Which = "last") -> Checkpoint:
    """Load a trained model.

    Args:
        path: a checkpoint, or a run folder.
        which: which one of the folder.

    Raises:
        ReidError: as `read_checkpoint`; or fields are missing or wrong.

    Example:
        >>> from reidtrain import load_checkpoint
        >>> checkpoint = load_checkpoint("run")
        >>> checkpoint
        Checkpoint(run/checkpoints/last.ckpt, attention-driven network, 3 classes, epoch 0)
        >>> model, preprocess = checkpoint.model(), checkpoint.preprocessor()
    """
    path = checkpoint_path(Path(path), which)
    content = read_checkpoint(path)
    _require_plain(content[CHECKPOINT_KEY], path)
    try:
        about = msgspec.convert(content[CHECKPOINT_KEY], _About)
        state = msgspec.convert(content.get("state_dict"), dict[str, Any])
    except msgspec.ValidationError as error:
        raise ReidError(f"{path}: a field of the checkpoint is missing or wrong ({error})") from None
    for name, value in state.items():
        if problem := unusable(value):
            raise ReidError(f"{path}: {name} {problem}; the checkpoint is damaged")
    recipe = recipe_from_dict(stored_recipe(about.recipe), f"{path}: recipe")
    if (
        about.stage >= len(recipe.stages)
        or about.epoch != len(about.history)
        or (about.epoch > recipe.epochs and recipe.training.max_minutes is None)
    ):
        raise ReidError(
            f"{path}: stage {about.stage} and epoch {about.epoch} with figures of {len(about.history)} do not fit a "
            f"recipe of {counted(len(recipe.stages), 'stage')} and {counted(recipe.epochs, 'epoch')}; the checkpoint "
            "is damaged"
        )
    return Checkpoint(path=path, state=state, **vars(about) | {"recipe": recipe})


@dataclass(frozen=True)
class _About:
    """What a checkpoint says besides its weights."""

    recipe: dict[str, Any]
    class_names: tuple[str, ...]
    source: dict[str, Any]
    init: dict[str, Any] | None
    stage: Count
    epoch: Count
    history: list[dict[str, str | int | float | bool | None]]
    unfinished: Unfinished | None = None  # before there were such


_MOST_VALUES, _DEEPEST = 10_000_000, 32


def _require_plain(value: object, path: Path) -> None:
    """Refuse what is no JSON value, or refers to itself so often that it would never end.

    Raises:
        ReidError: says so.
    """
    level: list[object] = [value]
    seen = 0
    for _ in range(_DEEPEST):
        seen += len(level)
        if not level or seen > _MOST_VALUES:
            break
        below: list[object] = []
        for entry in level:
            if isinstance(entry, dict):
                below += [*entry.keys(), *entry.values()]
            elif isinstance(entry, list | tuple):
                below += entry
            elif entry is not None and not isinstance(entry, str | int | float):
                raise ReidError(f"{path}: what the checkpoint says about itself holds a {type(entry).__name__}")
            if len(below) > _MOST_VALUES:
                break
        level = below
    if level:
        raise ReidError(f"{path}: what the checkpoint says about itself is too large or nested too deeply")


def as_checkpoint(checkpoint: Checkpoint | str | Path) -> Checkpoint:
    """A checkpoint itself, or the one that `load_checkpoint` finds."""
    return checkpoint if isinstance(checkpoint, Checkpoint) else load_checkpoint(checkpoint)


def _colour(mean: Tensor) -> tuple[float, float, float]:
    red, green, blue = mean.flatten().tolist()
    return red, green, blue
