"""Compute features of the samples of a shard directory by a trained network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, Subset

from reidprep.device import torch_device
from reidprep.progress import Progress, unseen
from reidprep.shards.format import View
from reidprep.shards.reader import ShardSet
from reidtrain.checkpoints import Checkpoint
from reidtrain.data.dataset import Batch, BatchLoader, Item, ShardDataset
from reidtrain.data.preprocessing import Preprocessor
from reidtrain.failures import plain_failures
from reidtrain.features.files import EMBEDDING, Features
from reidtrain.models.attention_driven import AttentionDrivenOutput
from reidtrain.models.factory import Model, run
from reidtrain.models.self_attention import SelfAttentionOutput

Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class Computing:
    """How a trained network computes.

    Attributes:
        device: one of `reidprep.device.DEVICES`.
        workers: processes that decode; 0 decodes in this one.
        batch_size: images at once.
        precision: None is what the network was trained in.
        flip: average the features of an image with those of its mirror image; see `flipped_features`.
    """

    device: str = "auto"
    workers: int = 2
    batch_size: int = 64
    precision: Precision | None = None
    flip: bool = False

    def precision_for(self, checkpoint: Checkpoint) -> Precision:
        """The precision that a network is computed in."""
        return self.precision or checkpoint.recipe.execution.precision


class Extractor:
    """Computes features by the network of a checkpoint, which is loaded once.

    Args:
        checkpoint: the network.
        computing: how it computes.

    Raises:
        ReidError: a GPU that is not there, or weights that do not fit the network.
    """

    def __init__(self, checkpoint: Checkpoint, computing: Computing) -> None:
        self._checkpoint = checkpoint
        self._computing = computing
        self._device = torch_device(computing.device)
        self._model = checkpoint.model().to(self._device)
        self._preprocessor = checkpoint.preprocessor().to(self._device)

    @property
    def views(self) -> tuple[View, ...]:
        """Crops that the network takes."""
        return tuple(self._model.views)

    def batch(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """Features of a batch of uint8 views, by name."""
        values = flipped_features if self._computing.flip else plain_features
        bf16 = self._computing.precision_for(self._checkpoint) == "bf16"
        return compute_batch(self._model, self._preprocessor, batch, values, torch.device(self._device), bf16)

    def __call__(
        self,
        shards: ShardSet,
        rows: NDArray[np.int64] | None = None,
        progress: Progress = unseen,
    ) -> Features:
        """The features of samples.

        Args:
            shards: the samples.
            rows: which, in this order; None is all.
            progress: called with samples done and in total.

        Raises:
            ReidError: shards of another kind than the network was trained on, or without crops it needs; a damaged
                sample; out of memory; or a process that died.
        """
        self._checkpoint.check_shards(shards)
        how = self._computing
        with plain_failures(
            memory=f"lower --batch-size (now {how.batch_size})", worker=f"lower --workers (now {how.workers})"
        ):
            return compute_features(
                self._model,
                self._preprocessor,
                shards,
                indices=rows,
                flip=how.flip,
                batch_size=how.batch_size,
                workers=how.workers,
                device=self._device,
                bf16=how.precision_for(self._checkpoint) == "bf16",
                progress=progress,
            )


def interleaved(shares: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The values of all samples from those of processes that took every n-th sample each, or none."""
    filled = [share for share in shares if share]
    total = sum(len(next(iter(share.values()))) for share in filled)
    order = np.argsort(np.concatenate([np.arange(start, total, len(shares)) for start in range(len(filled))]))
    return {name: np.concatenate([share[name] for share in filled])[order] for name in filled[0]}


class Collected:
    """Values of samples as they are computed, in arrays made once.

    Kept as they come, they would lie between what a batch takes for a while, and cut a CPU's memory into pieces
    too small for the next batch: half a megabyte was lost with each image.

    Args:
        most: samples, at most.

    Attributes:
        done: samples so far.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.done = 0
        self._arrays: dict[str, NDArray[Any]] = {}

    def add(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Take the values of the next samples: an array with a row for each, by name; the same names each time."""
        count = 0
        for name, rows in values.items():
            if name not in self._arrays:
                self._arrays[name] = np.empty((self.most, *rows.shape[1:]), rows.dtype)
            count = len(rows)
            self._arrays[name][self.done : self.done + count] = rows
        self.done += count

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The values of all samples."""
        return {name: array[: self.done] for name, array in self._arrays.items()}


Values = Callable[[Model, Batch], dict[str, Tensor]]
"""Values of n samples, by name and with n rows, from a model and a preprocessed batch."""

Computer = Callable[[Dataset[Item], Values, NDArray[np.int64] | None], dict[str, NDArray[Any]]]
"""Computes values of some samples of a dataset by all processes, or of all samples where the indices are None."""


@torch.inference_mode()
def compute_batch(
    model: Model, preprocessor: Preprocessor, batch: Batch, values: Values, device: torch.device, bf16: bool
) -> dict[str, NDArray[Any]]:
    """Compute values of a batch of uint8 views from anywhere; the arguments are those of `compute`."""
    inputs = preprocessor(batch.to(device, non_blocking=True))
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        computed = values(model, inputs)
    return {
        name: (value.float() if value.is_floating_point() else value).cpu().numpy() for name, value in computed.items()
    }


def compute(
    model: Model,
    preprocessor: Preprocessor,
    dataset: Dataset[Item],
    values: Values,
    *,
    indices: NDArray[np.int64] | None = None,
    batch_size: int = 64,
    workers: int = 2,
    device: torch.device | str = "cpu",
    bf16: bool = False,
    progress: Progress = unseen,
) -> dict[str, NDArray[Any]]:
    """Compute values of the samples of a dataset.

    Args:
        model: on `device`, in evaluation mode.
        preprocessor: on `device`, in evaluation mode.
        dataset: the samples.
        values: computes those of a batch.
        indices: samples to take, in this order; None is all.
        batch_size: images at once.
        workers: processes that decode; 0 decodes in this one.
        device: where the model is.
        bf16: compute in bfloat16 where that is safe.
        progress: called with samples done and in total.

    Returns:
        Arrays with a row for each sample, by name.

    Raises:
        ReidError: a damaged sample.
    """
    chosen = np.arange(len(dataset)) if indices is None else indices  # type: ignore[arg-type]
    device = torch.device(device)
    loader = BatchLoader(
        Subset(dataset, chosen.tolist()),
        batch_size=batch_size,
        num_workers=min(workers, -(-len(chosen) // batch_size)),
        pin_memory=device.type == "cuda",
    )
    found = Collected(len(chosen))
    for batch in loader:
        found.add(compute_batch(model, preprocessor, batch, values, device, bf16))
        progress(found.done, len(chosen))
    return found.arrays()


def compute_features(
    model: Model,
    preprocessor: Preprocessor,
    shards: ShardSet,
    *,
    indices: NDArray[np.int64] | None = None,
    flip: bool = False,
    **options: Any,
) -> Features:
    """Compute the features of samples; `options` and what is raised are those of `compute`.

    Args:
        model: on the device, in evaluation mode.
        preprocessor: on the device, in evaluation mode.
        shards: samples of one split, or of all.
        indices: samples to take, in this order; None is all.
        flip: average with the features of the mirrored image.
        **options: batch_size, workers, device, bf16, progress.

    Raises:
        ReidError: crops that the model needs are missing.
    """
    dataset = ShardDataset(shards, model.views)
    arrays = compute(
        model, preprocessor, dataset, flipped_features if flip else plain_features, indices=indices, **options
    )
    return Features.of(shards, indices, arrays)


def plain_features(model: Model, inputs: Batch) -> dict[str, Tensor]:
    """The `Values` of `named_features`."""
    return named_features(run(model, inputs))


def flipped_features(model: Model, inputs: Batch) -> dict[str, Tensor]:
    """The mean of each feature with that of the mirrored image.

    Features of length 1 are so again after the mean, each half of the attention-driven embedding for itself.
    """
    plain, mirrored = run(model, inputs), run(model, inputs.map_views(lambda _, images: images.flip(-1)))
    if isinstance(plain, SelfAttentionOutput):
        assert isinstance(mirrored, SelfAttentionOutput)
        return named_features(plain._replace(feature=(plain.feature + mirrored.feature) / 2))
    assert isinstance(mirrored, AttentionDrivenOutput)

    def mean(first: Tensor, second: Tensor) -> Tensor:
        return (F.normalize(first, dim=1) + F.normalize(second, dim=1)) / 2

    features = {name: mean(value, mirrored.features[name]) for name, value in plain.features.items()}
    fused = None if plain.fused is None or mirrored.fused is None else mean(plain.fused, mirrored.fused)
    return named_features(plain._replace(features=features, fused=fused))


def named_features(output: AttentionDrivenOutput | SelfAttentionOutput) -> dict[str, Tensor]:
    """Each (n, dimension) feature that can be compared, by name; those of branches are of length 1."""
    if isinstance(output, SelfAttentionOutput):
        return {EMBEDDING: output.embedding}
    alone = dict(output.features)
    if output.fused is not None and not output.fuses_whole and len(alone.keys() - {"whole"}) > 1:
        alone["fused"] = output.fused
    return {EMBEDDING: output.embedding, **{name: F.normalize(value, dim=1) for name, value in alone.items()}}
