"""A trained network set up to compute features of shards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from reidprep.errors import ReidError
from reidprep.shards import ShardSet
from reidtrain.checkpoints import Checkpoint
from reidtrain.data.failures import plain_failures
from reidtrain.features import Features, extract

Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class Computing:
    """How a trained network computes.

    Attributes:
        accelerator: `cpu`, `gpu`, or `auto` for a GPU if there is one.
        workers: processes that decode; 0 decodes in this one.
        batch_size: images at once.
        precision: None is what the network was trained in.
        flip: average the features of an image with those of its mirror image.
    """

    accelerator: str = "auto"
    workers: int = 2
    batch_size: int = 64
    precision: Precision | None = None
    flip: bool = False

    def device(self) -> str:
        """PyTorch's name of the device.

        Raises:
            ReidError: a GPU that is not there.
        """
        there = torch.cuda.is_available()
        if self.accelerator == "gpu" and not there:
            raise ReidError("--accelerator gpu: PyTorch finds no GPU here; use cpu or auto")
        return "cuda" if there and self.accelerator != "cpu" else "cpu"

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
        self._device = computing.device()
        self._model = checkpoint.model().to(self._device)
        self._preprocessor = checkpoint.preprocessor().to(self._device)

    def __call__(
        self,
        shards: ShardSet,
        rows: NDArray[np.int64] | None = None,
        progress: Callable[[int, int], None] | None = None,
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
            return extract(
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
